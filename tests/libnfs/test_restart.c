/* A client of libnfs through the ends and new starts of veneerd. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/lib/daemon.h"
#include "tests/lib/suite.h"
#include "tests/libnfs/mount.h"

#define OPTIONS "insecure,no_root_squash"

static struct daemon *veneerd;
static struct nfs_context *nfs;

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower\n");
	daemon_mkdir(veneerd, "lower/dir");
	daemon_mkdir(veneerd, "lower/dir/sub");
	daemon_write(veneerd, "lower/dir/sub/file", "below\n");
	daemon_start(veneerd, OPTIONS);
	nfs = mount_export(veneerd, "");
	nfs_set_autoreconnect(nfs, -1);
}

static void teardown(void)
{
	unmount_export(nfs);
	daemon_free(veneerd);
}

static void check_open_file(struct nfsfh *file, const char *contents, int size)
{
	char text[32];

	ck_assert_int_eq(nfs_pread(nfs, file, 0, sizeof(text), text), size);
	ck_assert_mem_eq(text, contents, (size_t)size);
}

/* Each kind of end, as the loop's index. */
static const int signals[] = { SIGTERM, SIGKILL };

START_TEST(handles_from_before_a_restart_work)
{
	struct nfsfh *lower, *copied, *deep;

	ck_nfs(nfs, nfs_open(nfs, "/dir/sub/file", O_RDONLY, &deep));
	ck_nfs(nfs, nfs_open(nfs, "/file", O_RDWR, &lower));
	ck_nfs(nfs, nfs_creat(nfs, "/dir/sub/new", 0644, &copied));
	ck_nfs(nfs, nfs_pwrite(nfs, copied, 0, 3, "new"));
	ck_nfs(nfs, nfs_fsync(nfs, copied));

	daemon_end(veneerd, signals[_i]);
	daemon_start(veneerd, OPTIONS);

	check_open_file(deep, "below\n", 6);
	check_open_file(copied, "new", 3);
	check_open_file(lower, "lower\n", 6);
	ck_nfs(nfs, nfs_pwrite(nfs, lower, 0, 2, "LO"));
	check_file(nfs, "/file", "LOwer\n", 6);
	ck_nfs(nfs, nfs_close(nfs, deep));
	ck_nfs(nfs, nfs_close(nfs, lower));
	ck_nfs(nfs, nfs_close(nfs, copied));
}
END_TEST

START_TEST(handle_follows_a_copied_up_file_through_a_restart)
{
	struct nfs_stat_64 before, after;
	struct nfsfh *file;

	ck_nfs(nfs, nfs_open(nfs, "/file", O_RDONLY, &file));
	ck_nfs(nfs, nfs_fstat64(nfs, file, &before));
	ck_nfs(nfs, nfs_truncate(nfs, "/file", 3));
	ck_nfs(nfs, nfs_rename(nfs, "/file", "/dir/moved"));

	daemon_end(veneerd, signals[_i]);
	daemon_start(veneerd, OPTIONS);

	check_open_file(file, "low", 3);
	ck_nfs(nfs, nfs_fstat64(nfs, file, &after));
	ck_assert_uint_eq(after.nfs_ino, before.nfs_ino);
	ck_nfs(nfs, nfs_close(nfs, file));
}
END_TEST

START_TEST(handle_of_a_removed_file_is_stale_after_a_restart)
{
	struct nfs_stat_64 st;
	struct nfsfh *file;
	char byte;

	ck_nfs(nfs, nfs_open(nfs, "/file", O_RDONLY, &file));
	ck_nfs(nfs, nfs_unlink(nfs, "/file"));
	daemon_end(veneerd, signals[_i]);
	daemon_start(veneerd, OPTIONS);
	/* libnfs makes EFAULT of NFS3ERR_STALE. */
	ck_assert_int_eq(nfs_pread(nfs, file, 0, 1, &byte), -EFAULT);
	ck_assert_int_eq(nfs_stat64(nfs, "/file", &st), -ENOENT);
	ck_nfs(nfs, nfs_close(nfs, file));
}
END_TEST

START_TEST(acknowledged_changes_survive_a_kill)
{
	put_file(nfs, "/new", "new", 3);
	ck_nfs(nfs, nfs_mkdir(nfs, "/made"));
	ck_nfs(nfs, nfs_unlink(nfs, "/dir/sub/file"));
	daemon_end(veneerd, SIGKILL);
	daemon_start(veneerd, OPTIONS);
	check_file(nfs, "/new", "new", 3);
	ck_assert_uint_eq(count_names(nfs, "/made"), 0);
	ck_assert_uint_eq(count_names(nfs, "/dir/sub"), 0);
}
END_TEST

START_TEST(mounting_again_shows_the_same)
{
	put_file(nfs, "/new", "new", 3);
	unmount_export(nfs);
	nfs = mount_export(veneerd, "");
	check_file(nfs, "/new", "new", 3);
	check_file(nfs, "/file", "lower\n", 6);
}
END_TEST

START_TEST(sigterm_ends_it_with_status_0)
{
	int status = daemon_end(veneerd, SIGTERM);

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	daemon_start(veneerd, OPTIONS);
}
END_TEST

static Suite *suite(void)
{
	const int n = sizeof(signals) / sizeof(signals[0]);
	Suite *suite = suite_create("restart");
	TCase *tcase = tcase_create("restart");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, handles_from_before_a_restart_work, 0, n);
	tcase_add_loop_test(
		tcase, handle_follows_a_copied_up_file_through_a_restart, 0, n);
	tcase_add_loop_test(
		tcase, handle_of_a_removed_file_is_stale_after_a_restart, 0, n);
	tcase_add_test(tcase, acknowledged_changes_survive_a_kill);
	tcase_add_test(tcase, mounting_again_shows_the_same);
	tcase_add_test(tcase, sigterm_ends_it_with_status_0);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return suite_run(suite());
}
