/*
 * The overlay as its users see it: lookup, listing, copy-up, changes, identity.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/overlay.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

/* The server itself, so that all works without root, too. */
static struct ovl_caller root = { .may_wait = true };
static const struct ovl_setattr nothing;
static char top[256];
static struct ovl *fs;

/* ---- fixture ---------------------------------------------------------------- */

static const char *path(const char *name)
{
	static char buffer[4][512];
	static int turn;
	char *result = buffer[turn++ % 4];

	snprintf(result, sizeof(buffer[0]), "%s/%s", top, name);
	return result;
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(path(name), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void start(void)
{
	const char *lowers[] = { path("high"), path("low") };
	struct ovl_config config = {
		.lowerdirs = lowers,
		.nlowerdirs = 2,
		.upperdir = path("up"),
		.workdir = path("work"),
		.userxattr = geteuid() != 0,
		.max_entries = 1000,
		.max_files = 100,
		.sync = OVL_ASYNC,
	};
	char why[256];
	int err = ovl_open(&config, &fs, why, sizeof(why));

	ck_assert_msg(!err, "%s", why);
}

static void restart(void)
{
	ovl_close(fs);
	fs = NULL;
	start();
}

static void setup(void)
{
	const char *dirs[] = { "low",        "low/dir",  "low/dir/deep",
		               "low/hidden", "low/gone", "high",
		               "high/dir",   "up",       "work" };

	root.uid = geteuid();
	root.gid = getegid();
	scratch_make(top, sizeof(top), "overlay");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ck_assert_int_eq(mkdir(path(dirs[i]), 0755), 0);
	put("low/a", "low a");
	put("low/b", "low b");
	put("high/b", "high b");
	put("low/dir/x", "low x");
	put("high/dir/y", "high y");
	put("low/dir/deep/z", "low z");
	put("low/gone/inside", "");
	ck_assert_int_eq(link(path("low/a"), path("low/dir/linked")), 0);
	ck_assert_int_eq(symlink("target", path("low/dir/symlink")), 0);
	put("high/hidden", "a file over a directory");
	ck_assert_int_eq(mknod(path("high/gone"), S_IFCHR, 0), 0);
	start();
}

static void teardown(void)
{
	char command[sizeof(top) + 8];

	ovl_close(fs);
	fs = NULL;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* ---- words for the cases ------------------------------------------------------- */

/* The node at a path, or NULL with `*err`. */
static struct ovl_node *find(const char *where, int *err)
{
	struct ovl_node *node = ovl_root(fs), *next;
	char copy[512], *name, *rest;

	strcpy(copy, where);
	*err = 0;
	for (name = strtok_r(copy, "/", &rest); name;
	     name = strtok_r(NULL, "/", &rest)) {
		*err = ovl_lookup(fs, &root, node, name, &next);
		ovl_node_unref(node);
		if (*err)
			return NULL;
		node = next;
	}
	return node;
}

static struct ovl_node *get(const char *where)
{
	int err;
	struct ovl_node *node = find(where, &err);

	ck_assert_msg(node != NULL, "%s: %s", where, strerror(-err));
	return node;
}

static int lookup_error(const char *where)
{
	int err;

	ovl_node_unref(find(where, &err));
	return err;
}

static void assert_content(const char *where, const char *text)
{
	struct ovl_node *node = get(where);
	char data[256] = "";
	bool eof;

	ck_assert_int_eq(ovl_read(fs, &root, node, data, sizeof(data) - 1, 0,
	                          &eof),
	                 strlen(text));
	ck_assert_str_eq(data, text);
	ck_assert(eof);
	ovl_node_unref(node);
}

static void write_text(const char *where, const char *text)
{
	struct ovl_node *node = get(where);

	ck_assert_int_eq(ovl_write(fs, &root, node, text, strlen(text), 0,
	                           OVL_UNSTABLE, NULL),
	                 strlen(text));
	ovl_node_unref(node);
}

struct listed {
	char names[1024]; /* sorted, each behind a space */
	char list[64][64];
	int n;
};

static bool take(void *arg, const struct ovl_dirent *entry)
{
	struct listed *listed = arg;

	ck_assert_int_lt(listed->n, 64);
	strcpy(listed->list[listed->n++], entry->name);
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static const char *list(const char *where)
{
	static struct listed listed;
	struct ovl_node *dir = get(where);
	size_t len = 0;
	bool eof;

	memset(&listed, 0, sizeof(listed));
	ck_assert_int_eq(
		ovl_readdir(fs, &root, dir, 0, false, take, &listed, &eof), 0);
	ck_assert(eof);
	ovl_node_unref(dir);
	qsort(listed.list, listed.n, sizeof(listed.list[0]), by_name);
	for (int i = 0; i < listed.n && len < sizeof(listed.names); i++)
		len += snprintf(listed.names + len, sizeof(listed.names) - len,
		                i ? " %s" : "%s", listed.list[i]);
	return listed.names;
}

static struct ovl_id id_of(const char *where)
{
	struct ovl_node *node = get(where);
	struct ovl_id id = ovl_node_id(node);

	ovl_node_unref(node);
	return id;
}

static void assert_same_id(struct ovl_id a, struct ovl_id b)
{
	ck_assert_uint_eq(a.fileid, b.fileid);
	ck_assert_uint_eq(a.generation, b.generation);
}

static int make_file(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir), *node = NULL;
	int err = ovl_create(fs, &root, in, name, OVL_GUARDED, &nothing, 0,
	                     &node, NULL);

	ovl_node_unref(in);
	ovl_node_unref(node);
	return err;
}

static int make_dir(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir), *node = NULL;
	int err = ovl_mkdir(fs, &root, in, name, &nothing, &node, NULL);

	ovl_node_unref(in);
	ovl_node_unref(node);
	return err;
}

static int remove_name(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir);
	int err = ovl_remove(fs, &root, in, name, NULL);

	ovl_node_unref(in);
	return err;
}

static int remove_dir(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir);
	int err = ovl_rmdir(fs, &root, in, name, NULL);

	ovl_node_unref(in);
	return err;
}

static int rename_name(const char *from, const char *from_name, const char *to,
                       const char *to_name)
{
	struct ovl_node *a = get(from), *b = get(to);
	int err = ovl_rename(fs, &root, a, from_name, b, to_name, NULL, NULL);

	ovl_node_unref(a);
	ovl_node_unref(b);
	return err;
}

static bool is_whiteout(const char *where)
{
	struct stat st;

	return !lstat(path(where), &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == 0;
}

/* ---- the merged view --------------------------------------------------------------- */

START_TEST(the_top_layer_wins)
{
	assert_content("a", "low a");
	assert_content("b", "high b");
	assert_content("dir/x", "low x");
	assert_content("dir/y", "high y");
	assert_content("hidden", "a file over a directory");
}
END_TEST

START_TEST(whiteouts_hide)
{
	ck_assert_int_eq(lookup_error("gone"), -ENOENT);
	ck_assert_str_eq(list(""), ". .. a b dir hidden");
	ck_assert_str_eq(list("dir"), ". .. deep linked symlink x y");
}
END_TEST

START_TEST(a_merged_directory_was_born_in_the_lowest_layer)
{
	struct stat low;

	ck_assert_int_eq(stat(path("low/dir"), &low), 0);
	ck_assert_uint_eq(id_of("dir").fileid & ((UINT64_C(1) << 54) - 1),
	                  low.st_ino);
	ck_assert_uint_eq(id_of("dir").fileid >> 54, 1);
}
END_TEST

/* ---- changes ------------------------------------------------------------------------ */

START_TEST(a_write_copies_up_and_keeps_the_identity)
{
	struct ovl_id before = id_of("dir/deep/z");
	struct stat st;

	write_text("dir/deep/z", "HIGH");
	assert_content("dir/deep/z", "HIGHz");
	assert_same_id(before, id_of("dir/deep/z"));
	ck_assert_int_eq(stat(path("up/dir/deep/z"), &st), 0);
	restart();
	assert_content("dir/deep/z", "HIGHz");
	assert_same_id(before, id_of("dir/deep/z"));
}
END_TEST

START_TEST(a_removed_lower_name_is_whited_out)
{
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert_int_eq(lookup_error("a"), -ENOENT);
	ck_assert(is_whiteout("up/a"));
	ck_assert_str_eq(list(""), ". .. b dir hidden");
	ck_assert_int_eq(make_file("", "a"), 0);
	assert_content("a", "");
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert(is_whiteout("up/a"));
}
END_TEST

START_TEST(a_merged_directory_goes_when_it_looks_empty)
{
	ck_assert_int_eq(remove_dir("", "dir"), -ENOTEMPTY);
	ck_assert_int_eq(remove_name("dir", "x"), 0);
	ck_assert_int_eq(remove_name("dir", "y"), 0);
	ck_assert_int_eq(remove_name("dir", "linked"), 0);
	ck_assert_int_eq(remove_name("dir", "symlink"), 0);
	ck_assert_int_eq(remove_dir("", "dir"), -ENOTEMPTY);
	ck_assert_int_eq(remove_name("dir/deep", "z"), 0);
	ck_assert_int_eq(remove_dir("dir", "deep"), 0);
	ck_assert_int_eq(remove_dir("", "dir"), 0);
	ck_assert(is_whiteout("up/dir"));
	ck_assert_int_eq(make_dir("", "dir"), 0);
	ck_assert_str_eq(list("dir"), ". ..");
	restart();
	ck_assert_str_eq(list("dir"), ". ..");
}
END_TEST

START_TEST(rename_leaves_a_whiteout_and_keeps_the_identity)
{
	struct ovl_id before = id_of("a");

	ck_assert_int_eq(rename_name("", "a", "dir", "x"), 0);
	ck_assert_int_eq(lookup_error("a"), -ENOENT);
	assert_content("dir/x", "low a");
	assert_same_id(before, id_of("dir/x"));
	ck_assert(is_whiteout("up/a"));
	ck_assert_int_eq(rename_name("dir", "x", "", "a"), 0);
	assert_content("a", "low a");
	assert_same_id(before, id_of("a"));
	ck_assert_int_eq(lookup_error("dir/x"), -ENOENT);
}
END_TEST

START_TEST(a_symlink_keeps_its_identity)
{
	struct ovl_id before = id_of("dir/symlink");
	struct ovl_node *node;
	char target[16];

	ck_assert_int_eq(rename_name("dir", "symlink", "", "s"), 0);
	assert_same_id(before, id_of("s"));
	restart();
	assert_same_id(before, id_of("s"));
	node = get("s");
	ck_assert_int_eq(ovl_readlink(fs, &root, node, target, sizeof(target)),
	                 6);
	ovl_node_unref(node);
	ck_assert_int_eq(remove_name("", "s"), 0);
	restart();
	ck_assert_int_eq(ovl_resolve(fs, &root, before, &node), -ESTALE);
}
END_TEST

START_TEST(new_directories_move_with_what_is_in_them)
{
	struct ovl_id before;

	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(make_file("new", "file"), 0);
	write_text("new/file", "text");
	before = id_of("new/file");
	ck_assert_int_eq(rename_name("", "new", "new", "in"), -EINVAL);
	ck_assert_int_eq(rename_name("", "new", "dir", "moved"), 0);
	assert_content("dir/moved/file", "text");
	assert_same_id(before, id_of("dir/moved/file"));
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert_int_eq(rename_name("dir", "moved", "", "a"), 0);
	assert_content("a/file", "text");
	ck_assert_int_eq(rename_name("", "a", "dir/deep", "a"), 0);
	ck_assert(is_whiteout("up/a"));
	assert_content("dir/deep/a/file", "text");
}
END_TEST

START_TEST(a_directory_replaces_an_emptied_one)
{
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(make_file("new", "file"), 0);
	ck_assert_int_eq(rename_name("", "new", "dir", "deep"), -ENOTEMPTY);
	ck_assert_int_eq(remove_name("dir/deep", "z"), 0);
	ck_assert_int_eq(rename_name("", "new", "dir", "deep"), 0);
	ck_assert_str_eq(list("dir/deep"), ". .. file");
	restart();
	ck_assert_str_eq(list("dir/deep"), ". .. file");
}
END_TEST

START_TEST(all_names_of_a_lower_file_see_its_one_copy)
{
	struct ovl_id before = id_of("a");

	assert_same_id(before, id_of("dir/linked"));
	write_text("a", "LOW");
	assert_content("dir/linked", "LOW a");
	assert_same_id(before, id_of("dir/linked"));
	restart();
	assert_content("dir/linked", "LOW a");
	assert_same_id(before, id_of("dir/linked"));
	ck_assert_int_eq(rename_name("dir", "linked", "", "moved"), 0);
	write_text("moved", "new");
	assert_content("a", "new a");
	ck_assert_int_eq(remove_name("", "a"), 0);
	assert_content("moved", "new a");
	assert_same_id(before, id_of("moved"));
	restart();
	assert_content("moved", "new a");
	assert_same_id(before, id_of("moved"));
}
END_TEST

/* ---- handles -------------------------------------------------------------------------- */

static int resolve(struct ovl_id id, struct ovl_node **node)
{
	int err;

	for (int i = 0; i < 10; i++) {
		err = ovl_resolve(fs, &root, id, node);
		if (err != -EINPROGRESS)
			break;
	}
	return err;
}

START_TEST(an_identity_is_found_after_a_restart)
{
	const char *names[] = { "a", "dir", "dir/deep/z", "dir/y", "new" };
	struct ovl_id ids[5];
	struct ovl_node *node;

	ck_assert_int_eq(make_file("", "new"), 0);
	write_text("dir/deep/z", "HIGH");
	for (int i = 0; i < 5; i++)
		ids[i] = id_of(names[i]);
	ck_assert_int_eq(rename_name("dir/deep", "z", "", "z"), 0);
	for (int i = 0; i < 5; i++) {
		restart();
		ck_assert_int_eq(resolve(ids[i], &node), 0);
		assert_same_id(ovl_node_id(node), ids[i]);
		ovl_node_unref(node);
	}
}
END_TEST

START_TEST(what_is_gone_is_stale)
{
	struct ovl_id lower = id_of("b"), upper;
	struct ovl_node *node;

	ck_assert_int_eq(make_file("", "new"), 0);
	upper = id_of("new");
	ck_assert_int_eq(remove_name("", "b"), 0);
	ck_assert_int_eq(remove_name("", "new"), 0);
	ck_assert_int_eq(resolve(lower, &node), -ESTALE);
	ck_assert_int_eq(resolve(upper, &node), -ESTALE);
	restart();
	ck_assert_int_eq(resolve(lower, &node), -ESTALE);
	ck_assert_int_eq(resolve(upper, &node), -ESTALE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overlay");
	TCase *tcase = tcase_create("overlay");

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_top_layer_wins);
	tcase_add_test(tcase, whiteouts_hide);
	tcase_add_test(tcase, a_merged_directory_was_born_in_the_lowest_layer);
	tcase_add_test(tcase, a_write_copies_up_and_keeps_the_identity);
	tcase_add_test(tcase, a_removed_lower_name_is_whited_out);
	tcase_add_test(tcase, a_merged_directory_goes_when_it_looks_empty);
	tcase_add_test(tcase, rename_leaves_a_whiteout_and_keeps_the_identity);
	tcase_add_test(tcase, a_symlink_keeps_its_identity);
	tcase_add_test(tcase, new_directories_move_with_what_is_in_them);
	tcase_add_test(tcase, a_directory_replaces_an_emptied_one);
	tcase_add_test(tcase, all_names_of_a_lower_file_see_its_one_copy);
	tcase_add_test(tcase, an_identity_is_found_after_a_restart);
	tcase_add_test(tcase, what_is_gone_is_stale);
	return suite_run(suite);
}
