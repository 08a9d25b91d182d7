/*
 * Setting attributes: of the object itself, as asked for or not at all.
 */
#include "config.h"

#include "overlay/attrs.h"

#include <sys/sysmacros.h>

#include "stage.h"

static int set_attr(const char *path, const struct ovl_setattr *set,
                    const struct timespec *guard, struct ovl_change *change)
{
	struct ovl_node *node = get(path);
	int err = ovl_setattr(fs, &root, node, set, guard, change);

	ovl_node_unref(node);
	return err;
}

static struct stat stat_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

START_TEST(a_symlink_is_changed_itself)
{
	struct ovl_setattr set = { .set_mtime = OVL_TIME_GIVEN,
		                   .mtime = { 1234, 5678 } };
	struct timespec before;
	int fd;

	tree_file("target", "");
	before = stat_of("target").st_mtim;
	ck_assert_int_eq(symlinkat("target", tree, "symlink"), 0);
	stage_open();
	fd = tree_open("symlink", O_PATH);
	ck_assert_int_eq(ovl_attrs_apply(fs, fd, &set), 0);
	close(fd);
	ck_assert_int_eq(stat_of("symlink").st_mtim.tv_sec, 1234);
	ck_assert_int_eq(stat_of("symlink").st_mtim.tv_nsec, 5678);
	ck_assert_int_eq(stat_of("target").st_mtim.tv_sec, before.tv_sec);
}
END_TEST

START_TEST(times_are_kept_given_or_now)
{
	const struct timespec old[2] = { { 1000, 0 }, { 2000, 0 } };
	struct ovl_setattr set = { .set_atime = OVL_TIME_NOW };
	int fd;

	tree_file("file", "");
	ck_assert_int_eq(utimensat(tree, "file", old, 0), 0);
	stage_open();
	fd = tree_open("file", O_PATH);
	ck_assert_int_eq(ovl_attrs_apply(fs, fd, &set), 0);
	ck_assert_int_gt(stat_of("file").st_atim.tv_sec, 2000);
	ck_assert_int_eq(stat_of("file").st_mtim.tv_sec, 2000);
	set = (struct ovl_setattr){ .set_atime = OVL_TIME_GIVEN,
		                    .atime = { 3000, 0 } };
	ck_assert_int_eq(ovl_attrs_apply(fs, fd, &set), 0);
	ck_assert_int_eq(stat_of("file").st_atim.tv_sec, 3000);
	ck_assert_int_eq(stat_of("file").st_mtim.tv_sec, 2000);
	close(fd);
}
END_TEST

/* chown takes setuid away: the mode comes after it. */
START_TEST(setuid_is_given_together_with_an_owner)
{
	struct ovl_setattr set = { .has_uid = true,
		                   .has_gid = true,
		                   .has_mode = true,
		                   .uid = 1000,
		                   .gid = 1001,
		                   .mode = 06755 };
	int fd;

	if (geteuid() != 0)
		tree_skip("owners need root");
	tree_file("file", "");
	stage_open();
	fd = tree_open("file", O_PATH);
	ck_assert_int_eq(ovl_attrs_apply(fs, fd, &set), 0);
	close(fd);
	ck_assert_uint_eq(stat_of("file").st_uid, 1000);
	ck_assert_uint_eq(stat_of("file").st_gid, 1001);
	ck_assert_uint_eq(stat_of("file").st_mode & 07777, 06755);
}
END_TEST

START_TEST(a_guard_of_another_time_keeps_it_as_it_is)
{
	struct ovl_setattr set = { .has_mode = true, .mode = 0600 };
	struct ovl_change change;
	struct timespec guard;

	tree_file("low/file", "");
	stage_open();
	guard = attr_of("file").ctime;
	guard.tv_nsec ^= 1;
	ck_assert_int_eq(set_attr("file", &set, &guard, &change), -EBADE);
	ck_assert(change.has_before && !change.has_after);
	ck_assert_int_eq(count_names("up"), 0);
	guard.tv_nsec ^= 1;
	ck_assert_int_eq(set_attr("file", &set, &guard, &change), 0);
	ck_assert_uint_eq(change.before.mode & 07777, 0644);
	ck_assert_uint_eq(change.after.mode & 07777, 0600);
	ck_assert_uint_eq(change.after.fileid, change.before.fileid);
	ck_assert_uint_eq(stat_of("low/file").st_mode & 07777, 0644);
}
END_TEST

START_TEST(sizes_are_of_files)
{
	struct ovl_setattr set = { .has_size = true, .size = 8 };

	tree_file("low/file", "text");
	tree_mkdir("low/dir");
	ck_assert_int_eq(mkfifoat(tree, "low/fifo", 0644), 0);
	stage_open();
	ck_assert_int_eq(set_attr("dir", &set, NULL, NULL), -EISDIR);
	ck_assert_int_eq(set_attr("fifo", &set, NULL, NULL), -EINVAL);
	set.size = (uint64_t)INT64_MAX + 1;
	ck_assert_int_eq(set_attr("file", &set, NULL, NULL), -EFBIG);
	ck_assert_int_eq(count_names("up"), 0);
	set.size = 8; /* what is new is zeros */
	ck_assert_int_eq(set_attr("file", &set, NULL, NULL), 0);
	ck_assert_uint_eq(attr_of("file").size, 8);
	set.size = 2;
	ck_assert_int_eq(set_attr("file", &set, NULL, NULL), 0);
	ck_assert(has_text("file", "te"));
}
END_TEST

START_TEST(strangers_set_nothing)
{
	struct ovl_setattr set = { .has_mode = true, .mode = 0777 };
	struct ovl_caller user = { .uid = 4242, .gid = 4242, .may_wait = true };
	struct ovl_node *node;

	tree_file("low/file", "");
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_setattr(fs, &user, node, &set, NULL, NULL),
	                 -EPERM);
	ovl_node_unref(node);
	ck_assert_uint_eq(attr_of("file").mode & 07777, 0644);
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

static int granted(const char *path, int want)
{
	struct ovl_caller user = { .uid = 4242, .gid = 4242, .may_wait = true };
	struct ovl_node *node = get(path);
	int may = 0;

	ck_assert_int_eq(ovl_access(fs, &user, node, want, &may), 0);
	ovl_node_unref(node);
	return may;
}

START_TEST(access_is_what_the_mode_and_the_export_allow)
{
	const int all = R_OK | W_OK | X_OK | OVL_DELETE_OK;

	tree_file("low/file", "");
	ck_assert_int_eq(fchmodat(tree, "low/file", 0606, 0), 0);
	tree_mkdir("low/open");
	ck_assert_int_eq(fchmodat(tree, "low/open", 0777, 0), 0);
	tree_mkdir("low/closed");
	stage_open();
	ck_assert_int_eq(granted("file", all), R_OK | W_OK);
	ck_assert_int_eq(granted("file", W_OK), W_OK);
	ck_assert_int_eq(granted("open", all), all);
	ck_assert_int_eq(granted("closed", all), R_OK | X_OK);
	stage.read_only = true;
	stage_reopen();
	ck_assert_int_eq(granted("file", all), R_OK);
	ck_assert_int_eq(granted("open", all), R_OK | X_OK);
}
END_TEST

/* As on a local mount that is read-only: /dev/null is there to be written to. */
START_TEST(read_only_keeps_nobody_from_a_fifo_or_a_device)
{
	tree_file("low/file", "");
	ck_assert_int_eq(fchmodat(tree, "low/file", 0666, 0), 0);
	ck_assert_int_eq(mkfifoat(tree, "low/fifo", 0), 0);
	ck_assert_int_eq(fchmodat(tree, "low/fifo", 0606, 0), 0);
	ck_assert_int_eq(mknodat(tree, "low/socket", S_IFSOCK, 0), 0);
	ck_assert_int_eq(fchmodat(tree, "low/socket", 0602, 0), 0);
	ck_assert_int_eq(mkfifoat(tree, "low/closed", 0600), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(
			mknodat(tree, "low/null", S_IFCHR, makedev(1, 3)), 0);
		ck_assert_int_eq(fchmodat(tree, "low/null", 0666, 0), 0);
	}
	stage.read_only = true;
	stage_open();
	if (geteuid() == 0)
		ck_assert_int_eq(granted("null", R_OK | W_OK), R_OK | W_OK);
	ck_assert_int_eq(granted("fifo", R_OK | W_OK), R_OK | W_OK);
	ck_assert_int_eq(granted("socket", R_OK | W_OK), W_OK);
	ck_assert_int_eq(granted("closed", R_OK | W_OK), 0);
	ck_assert_int_eq(granted("file", R_OK | W_OK), R_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attrs");
	TCase *tcase = tcase_create("attrs");

	tcase_add_test(tcase, a_symlink_is_changed_itself);
	tcase_add_test(tcase, times_are_kept_given_or_now);
	tcase_add_test(tcase, setuid_is_given_together_with_an_owner);
	tcase_add_test(tcase, a_guard_of_another_time_keeps_it_as_it_is);
	tcase_add_test(tcase, sizes_are_of_files);
	tcase_add_test(tcase, strangers_set_nothing);
	tcase_add_test(tcase, access_is_what_the_mode_and_the_export_allow);
	tcase_add_test(tcase, read_only_keeps_nobody_from_a_fifo_or_a_device);
	return stage_run(suite, tcase);
}
