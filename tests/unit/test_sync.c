/* Flushes of descriptors, and kernels that tell more than is true. */
#include "config.h"

#include "overlay/sync.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FD 1000

/* What the stand-ins have been asked for, and what they say: an errno, or 0. */
static unsigned fdatasyncs, fsyncs, syncfss;
static int interrupted; /* how often, before */
static int sync_error, open_error;

static int answer(int fd, unsigned *count)
{
	ck_assert_int_eq(fd, FD);
	++*count;
	errno = interrupted > 0 ? EINTR : sync_error;
	if (interrupted-- > 0)
		return -1;
	return sync_error ? -1 : 0;
}

/* The linker's --wrap puts these in the place of the system's. */
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);
int __wrap_openat(int dir, const char *path, int flags, ...);

int __wrap_fdatasync(int fd)
{
	return answer(fd, &fdatasyncs);
}

int __wrap_fsync(int fd)
{
	return answer(fd, &fsyncs);
}

int __wrap_syncfs(int fd)
{
	return answer(fd, &syncfss);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	char expected[32];

	(void)dir;
	snprintf(expected, sizeof(expected), "/proc/self/fd/%d", FD);
	ck_assert_str_eq(path, expected);
	ck_assert_int_eq(flags & (O_ACCMODE | O_CREAT | O_TRUNC), O_RDONLY);
	errno = open_error;
	return open_error ? -1 : dup(STDIN_FILENO);
}

START_TEST(what_is_asked_for_is_flushed)
{
	ck_assert_int_eq(ovl_sync_fd(FD, OVL_SYNC_DATA), 0);
	ck_assert_uint_eq(fdatasyncs, 1);
	ck_assert_int_eq(ovl_sync_fd(FD, OVL_SYNC_FILE), 0);
	ck_assert_uint_eq(fsyncs, 1);
	ck_assert_int_eq(ovl_sync_fd(FD, OVL_SYNC_ALL), 0);
	ck_assert_uint_eq(syncfss, 1);
	ck_assert_uint_eq(fdatasyncs + fsyncs, 2);
}
END_TEST

START_TEST(a_failure_is_told)
{
	sync_error = EDQUOT;
	for (int what = OVL_SYNC_DATA; what <= OVL_SYNC_ALL; what++)
		ck_assert_int_eq(ovl_sync_fd(FD, what), -EDQUOT);
}
END_TEST

START_TEST(an_interrupted_flush_is_made_again)
{
	interrupted = 3;
	ck_assert_int_eq(ovl_sync_fd(FD, OVL_SYNC_FILE), 0);
	ck_assert_uint_eq(fsyncs, 4);
}
END_TEST

/* It shut down meanwhile, and had the flush say that all was well. */
START_TEST(where_nothing_can_be_opened_nothing_was_flushed)
{
	open_error = EIO;
	for (int what = OVL_SYNC_DATA; what <= OVL_SYNC_ALL; what++)
		ck_assert_int_eq(ovl_sync_fd(FD, what), -EIO);
}
END_TEST

START_TEST(what_cannot_be_opened_for_itself_is_flushed)
{
	static const int errors[] = { EACCES, EMFILE, ENXIO };

	for (int i = 0; i < 3; i++) {
		open_error = errors[i];
		ck_assert_int_eq(ovl_sync_fd(FD, OVL_SYNC_FILE), 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync");
	TCase *tcase = tcase_create("sync");

	tcase_add_test(tcase, what_is_asked_for_is_flushed);
	tcase_add_test(tcase, a_failure_is_told);
	tcase_add_test(tcase, an_interrupted_flush_is_made_again);
	tcase_add_test(tcase, where_nothing_can_be_opened_nothing_was_flushed);
	tcase_add_test(tcase, what_cannot_be_opened_for_itself_is_flushed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
