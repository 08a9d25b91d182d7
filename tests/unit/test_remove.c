/*
 * Taking names away: what stays on disk, what is refused, who may.
 */
#include "config.h"

#include "overlay/fs.h"
#include "overlay/remove.h"

#include "stage.h"

static int is_empty(const char *path)
{
	struct ovl_node *dir = get(path);
	int err;

	pthread_mutex_lock(&dir->dir->change);
	err = ovl_dir_is_empty(dir);
	pthread_mutex_unlock(&dir->dir->change);
	ovl_node_unref(dir);
	return err;
}

START_TEST(what_was_never_lower_leaves_nothing)
{
	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	ck_assert_int_eq(make_file("dir", "inside"), 0);
	ck_assert_int_eq(remove_name("dir", "inside"), 0);
	ck_assert_int_eq(remove_dir("", "dir"), 0);
	ck_assert_int_eq(remove_name("", "file"), 0);
	ck_assert_int_eq(count_names("up"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(a_refusal_changes_nothing)
{
	tree_file("low/file", "");
	tree_mkdir("low/dir");
	tree_mkdir("low/dir/full");
	tree_file("low/dir/full/inside", "");
	stage_open();
	ck_assert_int_eq(remove_dir("", "file"), -ENOTDIR);
	ck_assert_int_eq(remove_name("", "dir"), -EISDIR);
	ck_assert_int_eq(remove_name("dir", "none"), -ENOENT);
	ck_assert_int_eq(remove_name("file", "none"), -ENOTDIR);
	ck_assert_int_eq(remove_dir("dir", "full"), -ENOTEMPTY);
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

START_TEST(empty_is_what_looks_empty)
{
	tree_mkdir("low/lower");
	tree_mkdir("low/merged");
	tree_file("low/merged/file", "");
	tree_mkdir("up/merged");
	tree_mkdir("up/own");
	ck_assert_int_eq(mknodat(tree, "up/own/odd", S_IFCHR, 0), 0);
	stage_open();
	ck_assert_int_eq(is_empty("lower"), 0);
	ck_assert_int_eq(is_empty("own"), 0);
	ck_assert_int_eq(is_empty("merged"), -ENOTEMPTY);
	ck_assert_int_eq(remove_name("merged", "file"), 0);
	ck_assert_int_eq(is_empty("merged"), 0);
	ck_assert_int_eq(make_file("merged", "file"), 0);
	ck_assert_int_eq(is_empty("merged"), -ENOTEMPTY);
}
END_TEST

/* Whiteouts in it go with it, though no client sees them. */
START_TEST(a_directory_goes_with_its_whiteouts)
{
	tree_mkdir("up/own");
	ck_assert_int_eq(mknodat(tree, "up/own/odd", S_IFCHR, 0), 0);
	stage_open();
	ck_assert_int_eq(remove_dir("", "own"), 0);
	ck_assert_int_eq(count_names("up"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(nothing_is_made_in_what_is_removed)
{
	struct ovl_node *upper, *lower, *node = NULL;

	tree_mkdir("low/lower");
	tree_mkdir("up/upper");
	stage_open();
	upper = get("upper");
	lower = get("lower");
	ck_assert_int_eq(remove_dir("", "upper"), 0);
	ck_assert_int_eq(remove_dir("", "lower"), 0);
	ck_assert_int_eq(ovl_mkdir(fs, &root, upper, "new", &nothing, &node,
	                           NULL),
	                 -ESTALE);
	ck_assert_int_eq(ovl_mkdir(fs, &root, lower, "new", &nothing, &node,
	                           NULL),
	                 -ESTALE);
	ck_assert_int_eq(seen("lower"), -ENOENT);
	ck_assert(is_whiteout("up/lower"));
	ovl_node_unref(upper);
	ovl_node_unref(lower);
}
END_TEST

START_TEST(nothing_is_done_to_a_lower_file_that_is_gone)
{
	struct ovl_setattr mode = { .has_mode = true, .mode = 0600 };
	struct ovl_node *node, *dir;

	tree_file("low/file", "text");
	stage_open();
	node = get("file");
	dir = get("");
	ck_assert_int_eq(remove_name("", "file"), 0);
	ck_assert_int_eq(ovl_write(fs, &root, node, "x", 1, 0, OVL_UNSTABLE,
	                           NULL),
	                 -ESTALE);
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &mode, NULL, NULL),
	                 -ESTALE);
	ck_assert_int_eq(ovl_link(fs, &root, node, dir, "link", NULL), -ESTALE);
	ck_assert_int_eq(seen("link"), -ENOENT);
	ovl_node_unref(node);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(the_other_links_stay)
{
	stage_open();
	ck_assert_int_eq(make_file("", "a"), 0);
	write_text("a", "text");
	ck_assert_int_eq(link_name("a", "", "b"), 0);
	ck_assert_uint_eq(attr_of("b").nlink, 2);
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert_uint_eq(attr_of("b").nlink, 1);
	ck_assert(has_text("b", "text"));
}
END_TEST

START_TEST(the_last_name_takes_the_indexs_along)
{
	tree_file("low/a", "text");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/b", 0), 0);
	stage_open();
	write_text("a", "TEXT");
	ck_assert_int_eq(count_names("work/veneer/index"), 1);
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert(has_text("b", "TEXT"));
	ck_assert_int_eq(count_names("work/veneer/index"), 1);
	ck_assert_int_eq(remove_name("", "b"), 0);
	stage_reopen();
	ck_assert_int_eq(seen("a"), -ENOENT);
	ck_assert_int_eq(seen("b"), -ENOENT);
}
END_TEST

START_TEST(sticky_directories_are_respected)
{
	struct ovl_caller owner = { .uid = 1001,
		                    .gid = 1001,
		                    .may_wait = true },
			  other = { .uid = 1002,
		                    .gid = 1002,
		                    .may_wait = true };
	struct ovl_node *dir;
	int err;

	if (geteuid() != 0)
		tree_skip("owners need root");
	tree_mkdir("low/tmp");
	ck_assert_int_eq(fchmodat(tree, "low/tmp", 01777, 0), 0);
	tree_file("low/tmp/file", "");
	ck_assert_int_eq(fchownat(tree, "low/tmp/file", 1001, 1001, 0), 0);
	stage_open();
	dir = get("tmp");
	err = ovl_remove(fs, &other, dir, "file", NULL);
	ck_assert(err == -EPERM || err == -EACCES);
	ck_assert_int_eq(seen("tmp/file"), 0);
	ck_assert_int_eq(ovl_remove(fs, &owner, dir, "file", NULL), 0);
	ovl_node_unref(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("remove");
	TCase *tcase = tcase_create("remove");

	tcase_add_test(tcase, what_was_never_lower_leaves_nothing);
	tcase_add_test(tcase, a_refusal_changes_nothing);
	tcase_add_test(tcase, empty_is_what_looks_empty);
	tcase_add_test(tcase, a_directory_goes_with_its_whiteouts);
	tcase_add_test(tcase, nothing_is_made_in_what_is_removed);
	tcase_add_test(tcase, nothing_is_done_to_a_lower_file_that_is_gone);
	tcase_add_test(tcase, the_other_links_stay);
	tcase_add_test(tcase, the_last_name_takes_the_indexs_along);
	tcase_add_test(tcase, sticky_directories_are_respected);
	return stage_run(suite, tcase);
}
