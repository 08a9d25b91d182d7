/*
 * Renaming: the rules of POSIX, and what is left in the upper layer.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "stage.h"

static const struct ovl_caller user = { .uid = 1000,
	                                .gid = 1000,
	                                .may_wait = true };

static bool is_opaque(const char *name)
{
	char value = 0;
	int fd = tree_open(name, O_RDONLY | O_DIRECTORY);

	fgetxattr(fd,
	          stage.userxattr ? "user.overlay.opaque"
	                          : "trusted.overlay.opaque",
	          &value, 1);
	close(fd);
	return value == 'y';
}

/* "new", "full" (with a file in it) and "empty" in the upper, the rest below. */
static void make_things(void)
{
	tree_file("low/file", "low");
	tree_file("low/other", "other");
	tree_mkdir("low/dir");
	tree_file("low/dir/inside", "");
	stage_open();
	ck_assert_int_eq(make_dir("", "full"), 0);
	ck_assert_int_eq(make_file("full", "f"), 0);
	ck_assert_int_eq(make_dir("", "empty"), 0);
	ck_assert_int_eq(make_file("", "new"), 0);
}

START_TEST(a_file_replaces_a_file)
{
	make_things();
	ck_assert_int_eq(rename_name("", "file", "", "new"), 0);
	ck_assert(has_text("new", "low"));
	ck_assert_int_eq(seen("file"), -ENOENT);
	ck_assert_int_eq(rename_name("", "new", "", "other"), 0);
	ck_assert(has_text("other", "low"));
	ck_assert(is_whiteout("up/file"));
	ck_assert(!tree_has("up/new")); /* nothing below it to be hidden */
}
END_TEST

START_TEST(a_file_replaces_no_directory)
{
	make_things();
	ck_assert_int_eq(rename_name("", "file", "", "empty"), -EISDIR);
	ck_assert_int_eq(rename_name("", "file", "", "dir"), -EISDIR);
	ck_assert_int_eq(rename_name("", "new", "", "full"), -EISDIR);
}
END_TEST

START_TEST(a_directory_replaces_no_file)
{
	make_things();
	ck_assert_int_eq(rename_name("", "full", "", "file"), -ENOTDIR);
	ck_assert_int_eq(rename_name("", "full", "", "new"), -ENOTDIR);
}
END_TEST

START_TEST(a_directory_replaces_only_an_empty_one)
{
	make_things();
	ck_assert_int_eq(rename_name("", "empty", "", "full"), -ENOTEMPTY);
	ck_assert_int_eq(rename_name("", "empty", "", "dir"), -ENOTEMPTY);
	ck_assert_int_eq(rename_name("", "full", "", "empty"), 0);
	ck_assert_int_eq(seen("empty/f"), 0);
}
END_TEST

START_TEST(a_directory_over_an_emptied_lower_one_is_opaque)
{
	make_things();
	ck_assert_int_eq(remove_name("dir", "inside"), 0);
	ck_assert_int_eq(rename_name("", "full", "", "dir"), 0);
	ck_assert(is_opaque("up/dir"));
	stage_reopen();
	ck_assert_int_eq(seen("dir/inside"), -ENOENT);
	ck_assert_int_eq(seen("dir/f"), 0);
}
END_TEST

/* One that was made by other hands, and not opaque. */
START_TEST(a_directory_that_was_not_opaque_becomes_so)
{
	tree_mkdir("up/plain");
	make_things();
	ck_assert_int_eq(remove_name("dir", "inside"), 0);
	ck_assert_int_eq(rename_name("", "plain", "", "dir"), 0);
	ck_assert(is_opaque("up/dir"));
	stage_reopen();
	ck_assert_int_eq(seen("dir/inside"), -ENOENT);
}
END_TEST

START_TEST(a_directory_goes_over_a_whiteout)
{
	make_things();
	ck_assert_int_eq(remove_name("", "file"), 0);
	ck_assert_int_eq(rename_name("", "full", "", "file"), 0);
	ck_assert(is_opaque("up/file"));
	ck_assert(!tree_has("up/full"));
	ck_assert_int_eq(rename_name("", "file", "", "full"), 0);
	ck_assert(is_whiteout("up/file"));
	ck_assert_int_eq(seen("file"), -ENOENT);
}
END_TEST

START_TEST(nothing_goes_into_itself)
{
	make_things();
	ck_assert_int_eq(make_dir("full", "in"), 0);
	ck_assert_int_eq(rename_name("", "full", "full", "x"), -EINVAL);
	ck_assert_int_eq(rename_name("", "full", "full/in", "x"), -EINVAL);
	ck_assert_int_eq(rename_name("full", "in", "", "full"), -ENOTEMPTY);
	ck_assert_int_eq(rename_name("", "full", "", "full"), 0);
	ck_assert_int_eq(seen("full/in"), 0);
}
END_TEST

START_TEST(links_of_one_file_stay_both)
{
	tree_file("low/a", "text");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/b", 0), 0);
	stage_open();
	ck_assert_int_eq(rename_name("", "a", "", "b"), 0);
	ck_assert_int_eq(seen("a"), 0);
	ck_assert_int_eq(seen("b"), 0);
	ck_assert_int_eq(make_file("", "c"), 0);
	ck_assert_int_eq(link_name("c", "", "d"), 0);
	ck_assert_int_eq(rename_name("", "c", "", "d"), 0);
	ck_assert_int_eq(seen("c"), 0);
	ck_assert_int_eq(seen("d"), 0);
}
END_TEST

START_TEST(what_is_replaced_is_gone)
{
	struct ovl_node *node;
	struct ovl_id lower, upper;

	make_things();
	lower = id_of("other");
	upper = id_of("new");
	ck_assert_int_eq(rename_name("", "file", "", "other"), 0);
	ck_assert_int_eq(resolve(lower, &node), -ESTALE);
	ck_assert_int_eq(rename_name("", "other", "", "new"), 0);
	ck_assert_int_eq(resolve(upper, &node), -ESTALE);
}
END_TEST

START_TEST(sticky_directories_are_respected)
{
	struct ovl_setattr sticky = { .has_mode = true, .mode = 01777 };
	struct ovl_node *dir;

	make_things();
	dir = get("");
	ck_assert_int_eq(ovl_setattr(fs, &root, dir, &sticky, NULL, NULL), 0);
	ck_assert_int_eq(ovl_rename(fs, &user, dir, "file", dir, "x", NULL,
	                            NULL),
	                 -EPERM);
	ck_assert_int_eq(ovl_rename(fs, &user, dir, "missing", dir, "x", NULL,
	                            NULL),
	                 -ENOENT);
	ovl_node_unref(dir);
	ck_assert_int_eq(seen("file"), 0);
}
END_TEST

START_TEST(both_directories_changes_are_told)
{
	struct ovl_change from_change, to_change;
	struct ovl_node *from, *to;

	make_things();
	from = get("");
	to = get("full");
	ck_assert_int_eq(ovl_rename(fs, &root, from, "file", to, "moved",
	                            &from_change, &to_change),
	                 0);
	ck_assert(from_change.has_before && from_change.has_after);
	ck_assert(to_change.has_before && to_change.has_after);
	ck_assert_uint_eq(from_change.after.fileid, id_of("").fileid);
	ck_assert_uint_eq(to_change.after.fileid, id_of("full").fileid);
	ck_assert_int_eq(memcmp(&to_change.after.mtime, &to_change.before.mtime,
	                        sizeof(struct timespec)) != 0,
	                 1);
	ovl_node_unref(from);
	ovl_node_unref(to);
}
END_TEST

START_TEST(a_failed_rename_changes_nothing)
{
	char name[300];

	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	stage.redirect_dir = OVL_REDIRECT_OFF;
	make_things();
	ck_assert_int_eq(rename_name("", "file", "", name), -ENAMETOOLONG);
	ck_assert_int_eq(rename_name("", "dir", "", "x"), -EXDEV);
	ck_assert_int_eq(rename_name("", "file", "", "empty"), -EISDIR);
	ck_assert(!tree_has("up/file") && !tree_has("up/dir"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rename");
	TCase *tcase = tcase_create("rename");

	tcase_add_test(tcase, a_file_replaces_a_file);
	tcase_add_test(tcase, a_file_replaces_no_directory);
	tcase_add_test(tcase, a_directory_replaces_no_file);
	tcase_add_test(tcase, a_directory_replaces_only_an_empty_one);
	tcase_add_test(tcase, a_directory_over_an_emptied_lower_one_is_opaque);
	tcase_add_test(tcase, a_directory_that_was_not_opaque_becomes_so);
	tcase_add_test(tcase, a_directory_goes_over_a_whiteout);
	tcase_add_test(tcase, nothing_goes_into_itself);
	tcase_add_test(tcase, links_of_one_file_stay_both);
	tcase_add_test(tcase, what_is_replaced_is_gone);
	tcase_add_test(tcase, sticky_directories_are_respected);
	tcase_add_test(tcase, both_directories_changes_are_told);
	tcase_add_test(tcase, a_failed_rename_changes_nothing);
	return stage_run(suite, tcase);
}
