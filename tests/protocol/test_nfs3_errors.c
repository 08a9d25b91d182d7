/*
 * Errors that go with no procedure's own behaviour, or with that of several:
 * tests/ERRORS.md lists all, and where the others are.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root, file, dir, alias;

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "text", 0644);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_symlink(fixture, "lower0/link", "file");
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	client = fixture->client;
	root = nfs_root(client);
	file = nfs_find(client, root, "file");
	dir = nfs_find(client, root, "dir");
	alias = nfs_find(client, root, "link");
}

static void teardown(void)
{
	fixture_free(fixture);
}

static void assert_attr(const post_op_attr *attr, nfs_fh3 fh)
{
	nfs_assert_attr(attr, nfs_attributes(client, fh).fileid);
}

/* ---- SETATTR -------------------------------------------------------------- */

static void assert_not_set(nfs_fh3 fh, sattr3 set, nfsstat3 status)
{
	SETATTR3res *res = nfs_setattr(client, fh, set);

	ck_assert_int_eq(res->status, status);
	assert_attr(&res->SETATTR3res_u.resfail.obj_wcc.after, fh);
}

START_TEST(only_a_file_has_a_size_to_set)
{
	assert_not_set(alias, set_size(0), NFS3ERR_INVAL);
	assert_not_set(dir, set_size(0), NFS3ERR_ISDIR);
	ck_assert_int_eq(nfs_mknod(client, root, "fifo", NF3FIFO, 0, 0)->status,
	                 NFS3_OK);
	assert_not_set(nfs_find(client, root, "fifo"), set_size(0),
	               NFS3ERR_INVAL);
}
END_TEST

/* ---- COMMIT --------------------------------------------------------------- */

static void assert_not_committed(nfs_fh3 fh, uint64_t offset, nfsstat3 status)
{
	COMMIT3res *res = nfs_commit(client, fh, offset, 0);

	ck_assert_int_eq(res->status, status);
	assert_attr(&res->COMMIT3res_u.resfail.file_wcc.after, fh);
}

/* Wherever the range is. */
START_TEST(only_a_file_is_committed)
{
	assert_not_committed(dir, 0, NFS3ERR_ISDIR);
	assert_not_committed(alias, 0, NFS3ERR_INVAL);
	assert_not_committed(dir, UINT64_MAX, NFS3ERR_ISDIR);
	assert_not_committed(alias, UINT64_MAX, NFS3ERR_INVAL);
}
END_TEST

/* ---- making --------------------------------------------------------------- */

/* CREATE, MKDIR, SYMLINK and MKNOD have results of one form. */
static void assert_not_made(const void *result, nfsstat3 status)
{
	const CREATE3res *res = result;

	ck_assert_int_eq(res->status, status);
	assert_attr(&res->CREATE3res_u.resfail.dir_wcc.after, root);
	ck_assert_int_eq(nfs_lookup(client, root, "new")->status,
	                 NFS3ERR_NOENT);
}

/* A second has no more nanoseconds than a milliard. */
static sattr3 set_wrong_time(void)
{
	const nfstime3 time = { 1, 1000000000 };

	return (sattr3){ .mtime = { SET_TO_CLIENT_TIME, { time } } };
}

START_TEST(nothing_is_made_with_attributes_that_cannot_be)
{
	SYMLINK3args symlink = {
		.where = { root, (char *)"new" },
		.symlink = { set_wrong_time(), (char *)"target" },
	};
	MKNOD3args mknod = {
		.where = { root, (char *)"new" },
		.what = { .type = NF3FIFO },
	};

	mknod.what.mknoddata3_u.pipe_attributes = set_wrong_time();
	assert_not_made(nfs_create(client, root, "new", GUARDED,
	                           set_wrong_time()),
	                NFS3ERR_INVAL);
	assert_not_made(nfs_create(client, root, "new", GUARDED,
	                           set_size(UINT64_MAX)),
	                NFS3ERR_FBIG);
	assert_not_made(nfs_mkdir(client, root, "new", set_wrong_time()),
	                NFS3ERR_INVAL);
	assert_not_made(nfs_call(client, NFSPROC3_SYMLINK, &symlink),
	                NFS3ERR_INVAL);
	assert_not_made(nfs_call(client, NFSPROC3_MKNOD, &mknod),
	                NFS3ERR_INVAL);
}
END_TEST

/* In an upper that would be a whiteout, and hide what has its name. */
START_TEST(nobody_makes_device_0_0)
{
	assert_not_made(nfs_mknod(client, root, "new", NF3CHR, 0, 0),
	                NFS3ERR_PERM);
}
END_TEST

/* ---- names ---------------------------------------------------------------- */

static void assert_not_removed(const void *result, nfsstat3 status, nfs_fh3 in)
{
	const REMOVE3res *res = result;

	ck_assert_int_eq(res->status, status);
	assert_attr(&res->REMOVE3res_u.resfail.dir_wcc.after, in);
}

static void assert_not_renamed(const RENAME3res *res, nfsstat3 status,
                               nfs_fh3 from, nfs_fh3 to)
{
	ck_assert_int_eq(res->status, status);
	assert_attr(&res->RENAME3res_u.resfail.fromdir_wcc.after, from);
	assert_attr(&res->RENAME3res_u.resfail.todir_wcc.after, to);
}

START_TEST(a_name_is_taken_from_a_directory)
{
	assert_not_removed(nfs_rmdir(client, file, "x"), NFS3ERR_NOTDIR, file);
	assert_not_removed(nfs_rmdir(client, alias, "x"), NFS3ERR_NOTDIR,
	                   alias);
}
END_TEST

START_TEST(in_a_sticky_directory_only_owners_rename_and_remove_directories)
{
	nfs_fh3 tmp = nfs_new_dir(client, root, "tmp", 01777), mine;

	client_become(client, 31000, 31000);
	nfs_new_dir(client, tmp, "theirs", 0777);
	client_become(client, 31001, 31001);
	mine = nfs_new_dir(client, tmp, "mine", 0777);
	nfs_new_dir(client, mine, "sub", 0777);
	assert_not_removed(nfs_rmdir(client, tmp, "theirs"), NFS3ERR_PERM, tmp);
	assert_not_renamed(nfs_rename(client, tmp, "theirs", mine, "x"),
	                   NFS3ERR_PERM, tmp, mine);
	assert_not_renamed(nfs_rename(client, mine, "sub", tmp, "theirs"),
	                   NFS3ERR_PERM, mine, tmp);
}
END_TEST

START_TEST(a_directory_gets_no_second_name)
{
	LINK3res *res = nfs_link(client, dir, root, "new");

	ck_assert_int_eq(res->status, NFS3ERR_PERM);
	assert_attr(&res->LINK3res_u.resfail.file_attributes, dir);
	assert_attr(&res->LINK3res_u.resfail.linkdir_wcc.after, root);
	ck_assert_int_eq(nfs_lookup(client, root, "new")->status,
	                 NFS3ERR_NOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_errors");
	TCase *tcase = tcase_create("nfs3_errors");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, only_a_file_has_a_size_to_set);
	tcase_add_test(tcase, only_a_file_is_committed);
	tcase_add_test(tcase, nothing_is_made_with_attributes_that_cannot_be);
	tcase_add_test(tcase, nobody_makes_device_0_0);
	tcase_add_test(tcase, a_name_is_taken_from_a_directory);
	tcase_add_test(
		tcase,
		in_a_sticky_directory_only_owners_rename_and_remove_directories);
	tcase_add_test(tcase, a_directory_gets_no_second_name);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
