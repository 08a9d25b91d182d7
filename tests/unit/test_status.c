#include "config.h"

#include "server/status.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* Each errno value with the status that RFC 1813, 2.6, describes for it. */
static const struct {
	int err;
	nfsstat3 status;
} table[] = {
	{ 0, NFS3_OK },
	{ EPERM, NFS3ERR_PERM },
	{ ENOENT, NFS3ERR_NOENT },
	{ EIO, NFS3ERR_IO },
	{ ENXIO, NFS3ERR_NXIO },
	{ EACCES, NFS3ERR_ACCES },
	{ EEXIST, NFS3ERR_EXIST },
	{ EXDEV, NFS3ERR_XDEV },
	{ ENODEV, NFS3ERR_NODEV },
	{ ENOTDIR, NFS3ERR_NOTDIR },
	{ EISDIR, NFS3ERR_ISDIR },
	{ EINVAL, NFS3ERR_INVAL },
	{ EFBIG, NFS3ERR_FBIG },
	{ ENOSPC, NFS3ERR_NOSPC },
	{ EROFS, NFS3ERR_ROFS },
	{ EMLINK, NFS3ERR_MLINK },
	{ ENAMETOOLONG, NFS3ERR_NAMETOOLONG },
	{ ENOTEMPTY, NFS3ERR_NOTEMPTY },
	{ EDQUOT, NFS3ERR_DQUOT },
	{ ESTALE, NFS3ERR_STALE },
	{ EOPNOTSUPP, NFS3ERR_NOTSUPP },
	{ EBADFD, NFS3ERR_BADHANDLE },
	{ EBADE, NFS3ERR_NOT_SYNC },
	{ ENOBUFS, NFS3ERR_TOOSMALL },
	{ EMEDIUMTYPE, NFS3ERR_BADTYPE },
};

START_TEST(each_error_has_its_status)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		ck_assert_int_eq(nfsd_status_nfs3(-table[i].err),
		                 table[i].status);
}
END_TEST

/* The client waits and asks again, which no other status makes it do. */
START_TEST(what_passes_is_jukebox)
{
	ck_assert_int_eq(nfsd_status_nfs3(-EINPROGRESS), NFS3ERR_JUKEBOX);
	ck_assert_int_eq(nfsd_status_nfs3(-EAGAIN), NFS3ERR_JUKEBOX);
	ck_assert_int_eq(nfsd_status_nfs3(-ENOMEM), NFS3ERR_JUKEBOX);
	ck_assert_int_eq(nfsd_status_nfs3(-EMFILE), NFS3ERR_JUKEBOX);
	ck_assert_int_eq(nfsd_status_nfs3(-ENFILE), NFS3ERR_JUKEBOX);
}
END_TEST

START_TEST(every_error_has_a_status_that_the_protocol_knows)
{
	for (int err = 1; err < 4096; err++) {
		nfsstat3 status = nfsd_status_nfs3(-err);
		bool known = status == NFS3ERR_IO || status == NFS3ERR_JUKEBOX;

		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			known = known || table[i].status == status;
		ck_assert_msg(known && status != NFS3_OK, "errno %d", err);
	}
}
END_TEST

/* A new failure of some filesystem must not look like a client's mistake. */
START_TEST(an_unknown_error_is_an_io_error)
{
	ck_assert_int_eq(nfsd_status_nfs3(-EUCLEAN), NFS3ERR_IO);
	ck_assert_int_eq(nfsd_status_nfs3(-EBADMSG), NFS3ERR_IO);
	ck_assert_int_eq(nfsd_status_nfs3(-4095), NFS3ERR_IO);
	ck_assert_int_eq(nfsd_status_mount3(-EUCLEAN), MNT3ERR_IO);
}
END_TEST

START_TEST(mount_has_statuses_of_its_own)
{
	ck_assert_int_eq(nfsd_status_mount3(0), MNT3_OK);
	ck_assert_int_eq(nfsd_status_mount3(-ENOENT), MNT3ERR_NOENT);
	ck_assert_int_eq(nfsd_status_mount3(-EACCES), MNT3ERR_ACCES);
	ck_assert_int_eq(nfsd_status_mount3(-ENOTDIR), MNT3ERR_NOTDIR);
	ck_assert_int_eq(nfsd_status_mount3(-EINVAL), MNT3ERR_INVAL);
	ck_assert_int_eq(nfsd_status_mount3(-ENAMETOOLONG),
	                 MNT3ERR_NAMETOOLONG);
	ck_assert_int_eq(nfsd_status_mount3(-EAGAIN), MNT3ERR_SERVERFAULT);
	ck_assert_int_eq(nfsd_status_mount3(-EINPROGRESS), MNT3ERR_SERVERFAULT);
}
END_TEST

/* They go into a byte of UNIX's errno on old clients. */
START_TEST(mount_1_has_the_numbers_of_unix)
{
	ck_assert_uint_eq(nfsd_status_mount1(0), 0);
	ck_assert_uint_eq(nfsd_status_mount1(-ENOENT), ENOENT);
	ck_assert_uint_eq(nfsd_status_mount1(-EACCES), EACCES);
	ck_assert_uint_eq(nfsd_status_mount1(-EAGAIN), EIO);
	for (int err = 1; err < 4096; err++) {
		ck_assert_uint_ne(nfsd_status_mount1(-err), 0);
		ck_assert_uint_lt(nfsd_status_mount1(-err), 256);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("status");
	TCase *tcase = tcase_create("status");

	tcase_add_test(tcase, each_error_has_its_status);
	tcase_add_test(tcase, what_passes_is_jukebox);
	tcase_add_test(tcase, every_error_has_a_status_that_the_protocol_knows);
	tcase_add_test(tcase, an_unknown_error_is_an_io_error);
	tcase_add_test(tcase, mount_has_statuses_of_its_own);
	tcase_add_test(tcase, mount_1_has_the_numbers_of_unix);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
