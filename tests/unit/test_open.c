/*
 * Opening what is large, or little: five hundred lower layers, none, no upper.
 */
#include "config.h"

#include <fcntl.h>

#include "stage.h"

#define MANY 500

static char many_paths[MANY][300];
static const char *many[MANY];

/* Layers "l0" (top) to "l499", each with what they share and a name alone. */
static void make_many(void)
{
	char name[64];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "l%u", i);
		tree_mkdir(name);
		snprintf(many_paths[i], sizeof(many_paths[i]), "%s",
		         tree_at(name));
		many[i] = many_paths[i];
		snprintf(name, sizeof(name), "l%u/shared", i);
		tree_mkdir(name);
		snprintf(name, sizeof(name), "l%u/shared/file%u", i, i);
		tree_file(name, "alone");
		snprintf(name, sizeof(name), "l%u/top", i);
		tree_file(name, i ? "hidden" : "seen");
	}
	stage.lowerdirs = many;
	stage.nlowerdirs = MANY;
	stage.max_entries = 10000;
}

static bool count(void *arg, const struct ovl_dirent *entry)
{
	unsigned *n = arg;

	ck_assert_uint_ne(entry->fileid, 0);
	++*n;
	return true;
}

static unsigned count_listed(const char *path)
{
	struct ovl_node *dir = get(path);
	unsigned n = 0;
	bool eof;

	ck_assert_int_eq(ovl_readdir(fs, &root, dir, 0, true, count, &n, &eof),
	                 0);
	ovl_node_unref(dir);
	return n - 2;
}

START_TEST(five_hundred_lower_layers_are_one_tree)
{
	char path[64];

	make_many();
	stage_open();
	ck_assert_uint_eq(count_listed(""), 2);
	ck_assert_uint_eq(count_listed("shared"), MANY);
	ck_assert(has_text("top", "seen"));
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "shared/file%u", i);
		ck_assert(has_text(path, "alone"));
	}
	ck_assert_int_eq(remove_name("shared", "file499"), 0);
	write_text("shared/file250", "ALONE");
	stage_reopen();
	ck_assert_uint_eq(count_listed("shared"), MANY - 1);
	ck_assert(has_text("shared/file250", "ALONE"));
}
END_TEST

/* Descriptors are bounded, however many layers there are. */
START_TEST(few_descriptors_serve_many_layers)
{
	struct ovl_stats stats;

	make_many();
	stage.max_files = 10;
	stage_open();
	ck_assert_uint_eq(count_listed("shared"), MANY);
	ovl_stats(fs, &stats);
	ck_assert_uint_le(stats.files, 10);
}
END_TEST

START_TEST(one_layer_is_a_plain_export)
{
	stage.nlowerdirs = 0;
	stage_open();
	ck_assert_int_eq(make_dir("", "dir"), 0);
	ck_assert_int_eq(make_file("dir", "file"), 0);
	write_text("dir/file", "text");
	stage_reopen();
	ck_assert(has_text("dir/file", "text"));
	ck_assert_int_eq(rename_name("", "dir", "", "moved"), 0);
	ck_assert_int_eq(remove_name("moved", "file"), 0);
	ck_assert_int_eq(remove_dir("", "moved"), 0);
	ck_assert_int_eq(count_names("up"), 0); /* not a whiteout left */
}
END_TEST

START_TEST(no_upper_is_read_only)
{
	struct ovl_id id;
	struct ovl_node *node;

	tree_mkdir("state");
	tree_mkdir("low/dir");
	tree_file("low/dir/file", "text");
	stage.upperdir = stage.workdir = NULL;
	stage.statedir = tree_at("state");
	stage_open();
	ck_assert(ovl_read_only(fs));
	ck_assert(has_text("dir/file", "text"));
	id = id_of("dir/file");
	ck_assert_int_eq(make_file("dir", "new"), -EROFS);
	ck_assert_int_eq(rename_name("dir", "file", "", "x"), -EROFS);
	ck_assert_int_eq(remove_name("dir", "file"), -EROFS);
	ck_assert_int_eq(link_name("dir/file", "", "x"), -EROFS);
	stage.statedir = stage_paths[3]; /* another state: other keys */
	stage_reopen();
	ck_assert_int_eq(resolve(id, &node), 0);
	ovl_node_unref(node);
}
END_TEST

START_TEST(what_a_crash_left_in_the_workdir_is_removed)
{
	stage_open();
	stage_close();
	tree_file("work/veneer/tmp/rubbish", "");
	tree_mkdir("work/veneer/tmp/dir");
	tree_mkdir("work/veneer/tmp/dir/deep");
	tree_file("work/mine", "not the server's");
	stage_open();
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	ck_assert(tree_has("work/mine"));
}
END_TEST

START_TEST(the_export_keeps_its_id_and_keys)
{
	unsigned char key[OVL_KEY_BYTES];
	uint64_t id;

	stage_open();
	id = ovl_export_id(fs);
	memcpy(key, ovl_handle_key(fs), sizeof(key));
	stage_reopen();
	ck_assert_uint_eq(ovl_export_id(fs), id);
	ck_assert_mem_eq(ovl_handle_key(fs), key, sizeof(key));
}
END_TEST

/* Who knew that there is no such name is to look again; the clock is coarse. */
START_TEST(a_new_layer_on_top_is_later_than_what_was_seen)
{
	struct timespec before = { 0 }, now;
	char name[16];

	make_many();
	for (unsigned n = 1; n <= 10; n++) {
		stage.lowerdirs = many + MANY - n;
		stage.nlowerdirs = n;
		stage_open();
		now = attr_of("").ctime;
		ck_assert(ovl_time_is_before(&before, &now));
		snprintf(name, sizeof(name), "new%u", n);
		ck_assert_int_eq(make_file("", name), 0);
		before = attr_of("").ctime;
		ck_assert(!ovl_time_is_before(&before, &now));
		stage_close();
	}
	stage_open();
}
END_TEST

START_TEST(no_descriptor_leaks)
{
	unsigned before = tree_open_files();

	tree_file("low/file", "text");
	for (unsigned i = 0; i < 5; i++) {
		stage_open();
		write_text("file", "TEXT");
		stage_close();
		stage.nlowerdirs = 1; /* a failure, too */
		ck_assert_int_lt(stage_try_open(NULL), 0);
		stage.nlowerdirs = 2;
	}
	ck_assert_uint_eq(tree_open_files(), before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("open");
	TCase *tcase = tcase_create("open");

	tcase_add_test(tcase, five_hundred_lower_layers_are_one_tree);
	tcase_add_test(tcase, few_descriptors_serve_many_layers);
	tcase_add_test(tcase, one_layer_is_a_plain_export);
	tcase_add_test(tcase, no_upper_is_read_only);
	tcase_add_test(tcase, what_a_crash_left_in_the_workdir_is_removed);
	tcase_add_test(tcase, the_export_keeps_its_id_and_keys);
	tcase_add_test(tcase, a_new_layer_on_top_is_later_than_what_was_seen);
	tcase_add_test(tcase, no_descriptor_leaks);
	return stage_run(suite, tcase);
}
