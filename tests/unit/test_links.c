/*
 * Hard links of lower files: one file by all names, and a count that is a
 * client's.
 */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/sysmacros.h>

#include "overlay/fs.h"
#include "overlay/links.h"
#include "overlay/xattr.h"

#include "stage.h"

/* ---- the count that is kept ----------------------------------------------- */

/* Of up/file, by what is kept with it. */
static uint32_t kept(void)
{
	int fd = tree_open("up/file", O_PATH);
	uint32_t count = 0;
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(ovl_links_count(&fs->upper, fd, st.st_nlink, &count),
	                 1);
	close(fd);
	return count;
}

static void add_link(const char *name)
{
	ck_assert_int_eq(linkat(tree, "up/file", tree, name, 0), 0);
}

START_TEST(each_form_keeps_the_count_through_its_changes)
{
	int fd;

	tree_file("up/file", "");
	stage_open();
	fd = tree_open("up/file", O_PATH);
	ck_assert_int_eq(ovl_links_set(&fs->upper, fd, 3), 0);
	ck_assert_uint_eq(kept(), 3);
	add_link("up/second");
	ck_assert_uint_eq(kept(), 3);
	ck_assert_int_eq(ovl_links_make_relative(&fs->upper, fd), 0);
	ck_assert_int_eq(ovl_links_make_relative(&fs->upper, fd), 0);
	ck_assert_uint_eq(kept(), 3);
	add_link("up/third");
	ck_assert_uint_eq(kept(), 4);
	ck_assert_int_eq(ovl_links_make_absolute(&fs->upper, fd), 0);
	add_link("up/fourth");
	ck_assert_uint_eq(kept(), 4);
	ck_assert_int_eq(ovl_links_set(&fs->upper, fd, 2), 0);
	ck_assert_int_eq(ovl_links_make_relative(&fs->upper, fd), 0);
	for (unsigned i = 2; i-- > 0;) {
		unlinkat(tree, i ? "up/second" : "up/third", 0);
		ck_assert_uint_eq(kept(), i);
	}
	close(fd);
}
END_TEST

START_TEST(what_keeps_no_count_has_the_upper_s_names)
{
	const char *const values[] = { "",
		                       "3",
		                       "=",
		                       "=00000000+3",
		                       "=+000000003",
		                       "?0000000003",
		                       "=9999999999",
		                       "=3" };
	uint32_t count;
	int fd;

	tree_file("up/file", "");
	stage_open();
	fd = tree_open("up/file", O_PATH);
	ck_assert_int_eq(ovl_links_make_relative(&fs->upper, fd), 0);
	ck_assert_int_eq(ovl_links_make_absolute(&fs->upper, fd), 0);
	ck_assert_int_eq(ovl_links_count(&fs->upper, fd, 3, &count), 0);
	ck_assert_uint_eq(count, 2);
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		ck_assert_int_eq(ovl_xattr_set(&fs->upper, fd, OVL_XATTR_LINKS,
		                               values[i], strlen(values[i])),
		                 0);
		ck_assert_int_eq(ovl_links_count(&fs->upper, fd, 3, &count), 0);
		ck_assert_uint_eq(count, 2);
	}
	close(fd);
}
END_TEST

/* ---- a client's view ------------------------------------------------------ */

static const char *const names[] = { "a", "dir/b", "dir/c" };

static void make_links(void)
{
	tree_file("low/a", "text");
	tree_mkdir("low/dir");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/dir/b", 0), 0);
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/dir/c", 0), 0);
	stage_open();
}

struct seeking {
	const char *name;
	bool found;
	struct ovl_attr attr;
};

static bool seek(void *arg, const struct ovl_dirent *entry)
{
	struct seeking *seeking = arg;

	if (!strcmp(entry->name, seeking->name)) {
		ck_assert(entry->has_attr);
		seeking->found = true;
		seeking->attr = entry->attr;
	}
	return true;
}

/* What a listing with attributes tells. */
static struct ovl_attr listed(const char *path)
{
	const char *slash = strchr(path, '/');
	struct seeking seeking = { .name = slash ? slash + 1 : path };
	struct ovl_node *dir = get(slash ? "dir" : "");
	bool eof;

	ck_assert_int_eq(
		ovl_readdir(fs, &root, dir, 0, true, seek, &seeking, &eof), 0);
	ovl_node_unref(dir);
	ck_assert(seeking.found);
	return seeking.attr;
}

/* All names there are show this text and as many links, however asked. */
static void check_all(const char *text, uint32_t nlink)
{
	struct ovl_id id = { 0 };

	for (unsigned i = 0; i < 3; i++) {
		if (seen(names[i]))
			continue;
		ck_assert(has_text(names[i], text));
		ck_assert_uint_eq(attr_of(names[i]).nlink, nlink);
		ck_assert_uint_eq(listed(names[i]).nlink, nlink);
		ck_assert(!id.fileid || same_id(id, id_of(names[i])));
		id = id_of(names[i]);
	}
	ck_assert_uint_ne(id.fileid, 0);
}

START_TEST(a_write_by_one_name_shows_by_all)
{
	struct ovl_stats stats;

	make_links();
	check_all("text", 3);
	write_text("dir/b", "TEXT");
	check_all("TEXT", 3);
	stage_reopen();
	check_all("TEXT", 3);
	write_text("dir/c", "teXT");
	check_all("teXT", 3);
	ovl_stats(fs, &stats);
	ck_assert_uint_eq(stats.copied_bytes, 0); /* once, before */
}
END_TEST

START_TEST(a_copy_that_finds_no_room_leaves_all_as_it_was)
{
	struct ovl_setattr mode = { .has_mode = true, .mode = 0600 };
	struct ovl_node *node;

	stage.cache = OVL_CACHE_ALWAYS;
	make_links();
	check_all("text", 3);
	node = get("a");
	/* Others are there first, and nobody knows. */
	tree_file("up/a", "theirs");
	ck_assert_int_ne(ovl_setattr(fs, &root, node, &mode, NULL, NULL), 0);
	ovl_node_unref(node);
	check_all("text", 3);
	ck_assert_int_eq(count_names("work/veneer/index"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	ck_assert_int_eq(unlinkat(tree, "up/a", 0), 0);
	write_text("dir/b", "TEXT");
	check_all("TEXT", 3);
}
END_TEST

START_TEST(a_new_link_to_one_name_leaves_the_others_linked)
{
	make_links();
	ck_assert_int_eq(link_name("dir/c", "", "new"), 0);
	check_all("text", 4);
	write_text("new", "TEXT");
	check_all("TEXT", 4);
	stage_reopen();
	check_all("TEXT", 4);
	ck_assert(has_text("new", "TEXT"));
	ck_assert_int_eq(remove_name("", "new"), 0);
	check_all("TEXT", 3);
}
END_TEST

START_TEST(a_name_that_went_before_any_write_is_not_counted)
{
	make_links();
	ck_assert_int_eq(remove_name("dir", "b"), 0);
	check_all("text", 2);
	stage_reopen();
	check_all("text", 2);
	write_text("a", "TEXT");
	check_all("TEXT", 2);
}
END_TEST

/* The upper has nothing by names that nobody has touched. */
START_TEST(a_removed_name_leaves_a_whiteout_and_no_more)
{
	make_links();
	ck_assert_int_eq(seen("a"), 0);
	ck_assert_int_eq(remove_name("dir", "b"), 0);
	ck_assert(is_whiteout("up/dir/b"));
	ck_assert(!tree_has("up/dir/c"));
	ck_assert(!tree_has("up/a"));
}
END_TEST

START_TEST(the_index_goes_with_the_last_name)
{
	struct ovl_node *node;
	struct ovl_id id;

	make_links();
	id = id_of("a");
	write_text("a", "TEXT");
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert_int_eq(rename_name("dir", "b", "", "moved"), 0);
	ck_assert_int_eq(remove_name("", "moved"), 0);
	check_all("TEXT", 1);
	ck_assert_int_eq(count_names("work/veneer/index"), 1);
	stage_reopen();
	check_all("TEXT", 1);
	ck_assert_int_eq(remove_name("dir", "c"), 0);
	ck_assert_int_eq(count_names("work/veneer/index"), 0);
	ck_assert_int_eq(resolve(id, &node), -ESTALE);
}
END_TEST

/* Other names of it may still be read by whoever mounts the layer. */
START_TEST(a_link_that_the_layer_does_not_hold_counts)
{
	tree_file("outside", "text");
	ck_assert_int_eq(linkat(tree, "outside", tree, "low/a", 0), 0);
	stage_open();
	write_text("a", "TEXT");
	ck_assert_uint_eq(attr_of("a").nlink, 2);
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert_int_eq(count_names("work/veneer/index"), 1);
	ck_assert_int_eq(seen("a"), -ENOENT);
	stage_reopen();
	ck_assert_int_eq(seen("a"), -ENOENT);
	ck_assert(tree_file_is("outside", "text"));
}
END_TEST

START_TEST(a_file_of_one_link_is_not_copied_to_be_removed)
{
	struct ovl_stats stats;

	tree_file("low/single", "text");
	stage_open();
	ck_assert_int_eq(remove_name("", "single"), 0);
	ovl_stats(fs, &stats);
	ck_assert_uint_eq(stats.copyups, 0);
	ck_assert_int_eq(count_names("work/veneer/index"), 0);
}
END_TEST

/* ---- many at a time ------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 50

/* Names of the one file come and go in a directory of the thread's own. */
static void *change_names(void *arg)
{
	const char *dir = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		link_name("keep", dir, "new");
		rename_name(dir, "new", dir, i % 2 ? "b" : "c");
		remove_name(dir, i % 3 ? "b" : "c");
	}
	return NULL;
}

START_TEST(changes_at_the_same_time_are_all_counted)
{
	static const char *const dirs[THREADS] = { "d0", "d1", "d2", "d3" };
	pthread_t threads[THREADS];
	unsigned n = 1;
	char path[16];

	tree_file("low/keep", "text");
	for (unsigned i = 0; i < THREADS; i++) {
		snprintf(path, sizeof(path), "low/d%u", i);
		tree_mkdir(path);
		strcat(path, "/b");
		ck_assert_int_eq(linkat(tree, "low/keep", tree, path, 0), 0);
	}
	stage_open();
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, change_names,
		                                (void *)dirs[i]),
		                 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 2 * THREADS; i++) {
		snprintf(path, sizeof(path), "d%u/%c", i / 2, 'b' + i % 2);
		n += seen(path) == 0;
	}
	ck_assert_uint_eq(attr_of("keep").nlink, n);
	stage_reopen();
	ck_assert_uint_eq(attr_of("keep").nlink, n);
}
END_TEST

/* ---- other types ---------------------------------------------------------- */

static void set_mtime(const char *path)
{
	struct ovl_setattr set = {
		.set_mtime = OVL_TIME_GIVEN,
		.mtime = { 1000, 0 },
	};
	struct ovl_node *node = get(path);

	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ovl_node_unref(node);
}

static void check_type(const char *first, const char *second)
{
	ck_assert_int_eq(linkat(tree, first, tree, second, 0), 0);
	stage_open();
	set_mtime("first");
	ck_assert_int_eq(attr_of("second").mtime.tv_sec, 1000);
	stage_reopen();
	ck_assert_int_eq(attr_of("second").mtime.tv_sec, 1000);
	ck_assert(same_id(id_of("first"), id_of("second")));
	ck_assert_uint_eq(attr_of("first").nlink, 2);
	ck_assert_int_eq(remove_name("", "second"), 0);
	ck_assert_uint_eq(attr_of("first").nlink, 1);
	ck_assert_int_eq(remove_name("", "first"), 0);
	ck_assert_int_eq(seen("first"), -ENOENT);
	ck_assert_int_eq(count_names("work/veneer/index"), 0);
}

START_TEST(symlinks_have_links_too)
{
	ck_assert_int_eq(symlinkat("target", tree, "low/first"), 0);
	check_type("low/first", "low/second");
}
END_TEST

START_TEST(fifos_have_links_too)
{
	ck_assert_int_eq(mkfifoat(tree, "low/first", 0644), 0);
	check_type("low/first", "low/second");
}
END_TEST

START_TEST(devices_have_links_too)
{
	if (geteuid() != 0)
		tree_skip("only root can make a device");
	ck_assert_int_eq(
		mknodat(tree, "low/first", S_IFCHR | 0644, makedev(1, 5)), 0);
	check_type("low/first", "low/second");
}
END_TEST

/* Somebody takes the attribute from a copy. */
static void forget_count(const char *path)
{
	int fd = tree_open(path, O_RDONLY);

	ck_assert_int_eq(ovl_xattr_remove(&fs->upper, fd, OVL_XATTR_LINKS), 0);
	close(fd);
}

START_TEST(symlinks_have_links_too_in_the_user_namespace)
{
	stage.userxattr = true;
	ck_assert_int_eq(symlinkat("target", tree, "low/first"), 0);
	check_type("low/first", "low/second");
	ck_assert_int_eq(count_names("work/veneer/standins"), 0);
}
END_TEST

/* The count is a guess then, but no name loses what was changed by another. */
START_TEST(without_a_count_the_other_names_keep_the_copy)
{
	tree_file("low/first", "");
	ck_assert_int_eq(linkat(tree, "low/first", tree, "low/second", 0), 0);
	stage_open();
	set_mtime("first");
	forget_count("up/first");
	ck_assert_int_eq(remove_name("", "first"), 0);
	ck_assert_int_eq(attr_of("second").mtime.tv_sec, 1000);
	stage_reopen();
	ck_assert_int_eq(attr_of("second").mtime.tv_sec, 1000);
	ck_assert_int_eq(remove_name("", "second"), 0);
	ck_assert_int_eq(seen("second"), -ENOENT);
}
END_TEST

/* ---- after a crash -------------------------------------------------------- */

/* The copy was in the index, but not yet in its place. */
START_TEST(a_copy_in_the_index_alone_shows_by_all_names)
{
	make_links();
	write_text("a", "TEXT");
	stage_close();
	ck_assert_int_eq(unlinkat(tree, "up/a", 0), 0);
	stage_open();
	check_all("TEXT", 3);
	ck_assert_int_eq(remove_name("dir", "b"), 0);
	check_all("TEXT", 2);
}
END_TEST

/* The index's link of the last name was gone, but not yet the name. */
START_TEST(a_last_name_without_the_index_is_the_file_still)
{
	struct ovl_id id;

	make_links();
	write_text("a", "TEXT");
	for (unsigned i = 1; i < 3; i++)
		ck_assert_int_eq(remove_name("dir", names[i] + 4), 0);
	id = id_of("a");
	ck_assert_int_eq(ovl_index_remove(fs->tree.index, id), 0);
	stage_reopen();
	check_all("TEXT", 1);
	ck_assert(same_id(id, id_of("a")));
	ck_assert_int_eq(link_name("a", "dir", "b"), 0);
	check_all("TEXT", 2);
	ck_assert_int_eq(remove_name("", "a"), 0);
	check_all("TEXT", 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("links");
	TCase *tcase = tcase_create("links");

	tcase_add_test(tcase, each_form_keeps_the_count_through_its_changes);
	tcase_add_test(tcase, what_keeps_no_count_has_the_upper_s_names);
	tcase_add_test(tcase, a_write_by_one_name_shows_by_all);
	tcase_add_test(tcase, a_new_link_to_one_name_leaves_the_others_linked);
	tcase_add_test(tcase, a_name_that_went_before_any_write_is_not_counted);
	tcase_add_test(tcase, a_removed_name_leaves_a_whiteout_and_no_more);
	tcase_add_test(tcase, the_index_goes_with_the_last_name);
	tcase_add_test(tcase, a_link_that_the_layer_does_not_hold_counts);
	tcase_add_test(tcase, a_file_of_one_link_is_not_copied_to_be_removed);
	tcase_add_test(tcase, changes_at_the_same_time_are_all_counted);
	tcase_add_test(tcase, symlinks_have_links_too);
	tcase_add_test(tcase, symlinks_have_links_too_in_the_user_namespace);
	tcase_add_test(tcase, fifos_have_links_too);
	tcase_add_test(tcase, devices_have_links_too);
	tcase_add_test(tcase, a_copy_that_finds_no_room_leaves_all_as_it_was);
	tcase_add_test(tcase, without_a_count_the_other_names_keep_the_copy);
	tcase_add_test(tcase, a_copy_in_the_index_alone_shows_by_all_names);
	tcase_add_test(tcase, a_last_name_without_the_index_is_the_file_still);
	return stage_run(suite, tcase);
}
