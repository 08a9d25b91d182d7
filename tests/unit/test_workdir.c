#include "config.h"

#include "overlay/workdir.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/tree.h"

static struct ovl_workdir *workdir;

static int open_workdir(void)
{
	int upper = open(tree_at("upper"), O_PATH | O_CLOEXEC);
	int err = ovl_workdir_open(tree_at("work"), upper, &workdir);

	close(upper);
	return err;
}

static void plant(void)
{
	tree_mkdir("upper");
	tree_mkdir("work");
}

static void open_new(void)
{
	plant();
	ck_assert_int_eq(open_workdir(), 0);
}

static void close_it(void)
{
	ovl_workdir_close(workdir);
	workdir = NULL;
}

static bool tmp_has(const char *name)
{
	return faccessat(ovl_workdir_tmp(workdir), name, F_OK,
	                 AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- opening ------------------------------------------------------------ */

START_TEST(a_new_one_is_ones_own_and_empty)
{
	struct stat a, b;

	open_new();
	ck_assert_int_eq(fstat(ovl_workdir_fd(workdir), &a), 0);
	ck_assert_int_eq(fstatat(tree, "work/veneer", &b, 0), 0);
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert_uint_eq(a.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(fstat(ovl_workdir_tmp(workdir), &a), 0);
	ck_assert_int_eq(fstatat(tree, "work/veneer/tmp", &b, 0), 0);
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert_uint_eq(a.st_mode, S_IFDIR | 0700);
}
END_TEST

START_TEST(a_second_server_is_turned_away)
{
	struct ovl_workdir *first;

	open_new();
	first = workdir;
	tree_file("work/veneer/tmp/being_made", "");
	ck_assert_int_eq(open_workdir(), -EBUSY);
	/* What the first is making is still there. */
	ck_assert(tree_has("work/veneer/tmp/being_made"));
	ovl_workdir_close(first);
	workdir = NULL;
	ck_assert_int_eq(open_workdir(), 0);
	ck_assert(!tree_has("work/veneer/tmp/being_made"));
}
END_TEST

START_TEST(the_lock_goes_with_the_process)
{
	int status;
	pid_t pid;

	plant();
	pid = fork();
	if (pid == 0)
		_exit(open_workdir() ? 1 : 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(open_workdir(), 0);
}
END_TEST

START_TEST(a_wrong_place_is_left_untouched)
{
	unsigned files;

	tree_mkdir("upper");
	files = tree_open_files();
	ck_assert_int_eq(open_workdir(), -ENOENT);
	tree_file("work", "");
	ck_assert_int_eq(open_workdir(), -ENOTDIR);
	unlinkat(tree, "work", 0);
	tree_mkdir("work");
	tree_mkdir("elsewhere");
	ck_assert_int_eq(symlinkat("../elsewhere", tree, "work/veneer"), 0);
	ck_assert_int_lt(open_workdir(), 0);
	ck_assert(!tree_has("elsewhere/lock"));
	ck_assert(!tree_has("elsewhere/tmp"));
	ck_assert_uint_eq(tree_open_files(), files);
}
END_TEST

START_TEST(another_filesystem_or_mount_is_refused)
{
	plant();
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mount_tmpfs("work", NULL);
	ck_assert_int_eq(open_workdir(), -EXDEV);
	ck_assert(!tree_has("work/veneer"));
	/* Renames from one mount to another fail, though it is one disk. */
	tree_mkdir("same");
	tree_bind("same", "work");
	ck_assert_int_eq(open_workdir(), -EXDEV);
	ck_assert(!tree_has("same/veneer"));
}
END_TEST

START_TEST(a_read_only_one_is_refused)
{
	plant();
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("disk");
	tree_mount_tmpfs("disk", NULL);
	tree_mkdir("disk/upper");
	tree_mkdir("disk/work");
	ck_assert_int_eq(mount("none", tree_at("disk"), NULL,
	                       MS_REMOUNT | MS_RDONLY, NULL),
	                 0);
	ck_assert_int_eq(ovl_workdir_open(tree_at("disk/work"),
	                                  tree_open("disk/upper", O_PATH),
	                                  &workdir),
	                 -EROFS);
}
END_TEST

START_TEST(one_without_permission_is_refused)
{
	plant();
	if (geteuid() == 0)
		tree_become_user();
	else
		ck_assert_int_eq(fchmodat(tree, "work", 0500, 0), 0);
	ck_assert_int_eq(open_workdir(), -EACCES);
	ck_assert(!tree_has("work/veneer"));
}
END_TEST

START_TEST(nothing_is_handed_down_to_what_is_made)
{
	/* version 2; user:: rwx, user 1 rwx, group:: rwx, mask, other */
	static const unsigned char acl[44] = "\2\0\0\0"
					     "\1\0\7\0\xff\xff\xff\xff"
					     "\2\0\7\0\1\0\0\0"
					     "\4\0\7\0\xff\xff\xff\xff"
					     "\x10\0\7\0\xff\xff\xff\xff"
					     "\x20\0\7\0\xff\xff\xff\xff";
	struct stat st;

	plant();
	ck_assert_int_eq(fchmodat(tree, "work", 02777, 0), 0);
	if (setxattr(tree_at("work"), "system.posix_acl_default", acl,
	             sizeof(acl), 0) < 0)
		tree_skip("no ACLs here");
	ck_assert_int_eq(open_workdir(), 0);
	ck_assert_int_eq(fstat(ovl_workdir_tmp(workdir), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(mkdirat(ovl_workdir_tmp(workdir), "new", 0750), 0);
	ck_assert_int_eq(fstatat(ovl_workdir_tmp(workdir), "new", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0750);
	ck_assert_int_lt(getxattr(tree_at("work/veneer/tmp/new"),
	                          "system.posix_acl_access", NULL, 0),
	                 0);
}
END_TEST

/* ---- removing ----------------------------------------------------------- */

/* A tree of all that makes trees hard to remove. */
static void plant_rubbish(int at, const char *name)
{
	char long_name[NAME_MAX + 1];
	int fd, next;

	ck_assert_int_eq(mkdirat(at, name, 0755), 0);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY);
	/* Names that a remover may think of. */
	mkdirat(fd, "up0", 0755);
	mkdirat(fd, "up0/up1", 0755);
	mkdirat(fd, "up0/up1/up0", 0755);
	mkdirat(fd, "up0/up1/up0/up1", 0755);
	close(openat(fd, "up2", O_CREAT | O_WRONLY, 0));
	mkdirat(fd, "up3", 0755);
	ck_assert_int_eq(symlinkat("/etc", fd, "link"), 0);
	ck_assert_int_eq(symlinkat("../../../..", fd, "up0/link"), 0);
	ck_assert_int_eq(mknodat(fd, "whiteout", S_IFCHR, 0), 0);
	/* Too deep for a path or a stack of descriptors. */
	memset(long_name, 'd', NAME_MAX);
	long_name[NAME_MAX] = '\0';
	for (int i = 0; i < 2000; i++) {
		ck_assert_int_eq(mkdirat(fd, long_name, 0755), 0);
		next = openat(fd, long_name, O_RDONLY | O_DIRECTORY);
		close(openat(next, "file", O_CREAT | O_WRONLY, 0600));
		close(fd);
		fd = next;
	}
	close(fd);
}

/* Directories that their owner cannot enter. */
static void plant_closed(int at)
{
	ck_assert_int_eq(mkdirat(at, "closed", 0700), 0);
	ck_assert_int_eq(mkdirat(at, "closed/a", 0700), 0);
	ck_assert_int_eq(mkdirat(at, "closed/a/b", 0700), 0);
	ck_assert_int_eq(mkdirat(at, "closed/a/b/c", 0700), 0);
	ck_assert_int_eq(fchmodat(at, "closed/a/b/c", 0, 0), 0);
	ck_assert_int_eq(fchmodat(at, "closed/a/b", 0500, 0), 0);
	ck_assert_int_eq(fchmodat(at, "closed/a", 0100, 0), 0);
	ck_assert_int_eq(fchmodat(at, "closed", 0100, 0), 0);
}

START_TEST(what_a_crash_left_is_removed_and_nothing_else)
{
	open_new();
	plant_rubbish(ovl_workdir_tmp(workdir), "one");
	plant_rubbish(ovl_workdir_tmp(workdir), "two");
	tree_file("work/veneer/tmp/three", "");
	tree_file("work/veneer/mine", "kept");
	tree_file("work/others", "kept");
	tree_mkdir("upper/dir");
	ck_assert_int_eq(
		symlinkat("../../../upper", tree, "work/veneer/tmp/link"), 0);
	close_it();
	ck_assert_int_eq(open_workdir(), 0);
	ck_assert(!tmp_has("one") && !tmp_has("two") && !tmp_has("three"));
	/* Empty: only then can it be removed. */
	ck_assert_int_eq(unlinkat(tree, "work/veneer/tmp", AT_REMOVEDIR), 0);
	ck_assert(tree_file_is("work/veneer/mine", "kept"));
	ck_assert(tree_file_is("work/others", "kept"));
	ck_assert(tree_has("upper/dir"));
}
END_TEST

START_TEST(discarding_takes_one_name_and_all_below)
{
	unsigned files;

	open_new();
	plant_rubbish(ovl_workdir_tmp(workdir), "one");
	tree_file("work/veneer/tmp/two", "");
	tree_file("work/veneer/tmp/three", "");
	files = tree_open_files();
	ck_assert_int_eq(ovl_workdir_discard(workdir, "one"), 0);
	ck_assert_int_eq(ovl_workdir_discard(workdir, "two"), 0);
	ck_assert_int_eq(ovl_workdir_discard(workdir, "none"), 0);
	ck_assert(!tmp_has("one") && !tmp_has("two"));
	ck_assert(tmp_has("three"));
	ck_assert(tree_has("upper"));
	ck_assert_uint_eq(tree_open_files(), files);
}
END_TEST

START_TEST(closed_directories_are_removed_without_root)
{
	if (geteuid() == 0)
		tree_become_user();
	open_new();
	plant_closed(ovl_workdir_tmp(workdir));
	ck_assert_int_eq(ovl_workdir_discard(workdir, "closed"), 0);
	ck_assert(!tmp_has("closed"));
	plant_closed(ovl_workdir_tmp(workdir));
	close_it();
	ck_assert_int_eq(open_workdir(), 0);
	ck_assert(!tmp_has("closed"));
}
END_TEST

START_TEST(a_mount_is_not_emptied)
{
	plant();
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	ck_assert_int_eq(open_workdir(), 0);
	tree_mkdir("precious");
	tree_file("precious/file", "kept");
	tree_mkdir("work/veneer/tmp/dir");
	tree_mkdir("work/veneer/tmp/dir/bound");
	tree_bind("precious", "work/veneer/tmp/dir/bound");
	ck_assert_int_lt(ovl_workdir_discard(workdir, "dir"), 0);
	ck_assert(tree_file_is("precious/file", "kept"));
}
END_TEST

/* ---- names -------------------------------------------------------------- */

#define THREADS 4
#define NAMES 1000

static void *take_names(void *arg)
{
	char(*names)[OVL_TMPNAME_SIZE] = arg;

	for (int i = 0; i < NAMES; i++)
		ovl_workdir_name(workdir, names[i]);
	return NULL;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

START_TEST(no_name_is_given_twice)
{
	static char names[THREADS * NAMES][OVL_TMPNAME_SIZE];
	pthread_t threads[THREADS];

	open_new();
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_names,
		                                names[i * NAMES]),
		                 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	qsort(names, THREADS * NAMES, OVL_TMPNAME_SIZE, compare_names);
	for (int i = 1; i < THREADS * NAMES; i++)
		ck_assert_str_ne(names[i - 1], names[i]);
	ck_assert_str_ne(names[0], "");
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("workdir");

	tcase_add_checked_fixture(tcase, NULL, close_it);
	tcase_add_test(tcase, a_new_one_is_ones_own_and_empty);
	tcase_add_test(tcase, a_second_server_is_turned_away);
	tcase_add_test(tcase, the_lock_goes_with_the_process);
	tcase_add_test(tcase, a_wrong_place_is_left_untouched);
	tcase_add_test(tcase, another_filesystem_or_mount_is_refused);
	tcase_add_test(tcase, a_read_only_one_is_refused);
	tcase_add_test(tcase, one_without_permission_is_refused);
	tcase_add_test(tcase, nothing_is_handed_down_to_what_is_made);
	tcase_add_test(tcase, what_a_crash_left_is_removed_and_nothing_else);
	tcase_add_test(tcase, discarding_takes_one_name_and_all_below);
	tcase_add_test(tcase, closed_directories_are_removed_without_root);
	tcase_add_test(tcase, a_mount_is_not_emptied);
	tcase_add_test(tcase, no_name_is_given_twice);
	return tree_run(suite_create("workdir"), tcase);
}
