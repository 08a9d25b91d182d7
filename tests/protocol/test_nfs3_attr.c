#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define NSEC 123456789

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void start(const char *options)
{
	fixture_start(fixture, options, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "lower text", 0644);
	fixture_write(fixture, "lower0/other", "other", 0640);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_symlink(fixture, "lower0/link", "file");
	start(FIXTURE_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static fattr3 attributes(const char *path)
{
	return nfs_attributes(client, nfs_find(client, root, path));
}

static SETATTR3res *setattr(const char *path, sattr3 set)
{
	return nfs_setattr(client, nfs_find(client, root, path), set);
}

static nfsstat3 setattr_status(const char *path, sattr3 set)
{
	return setattr(path, set)->status;
}

static sattr3 set_times(uint32_t seconds, uint32_t nseconds)
{
	const nfstime3 time = { seconds, nseconds };

	return (sattr3){
		.atime = { SET_TO_CLIENT_TIME, { time } },
		.mtime = { SET_TO_CLIENT_TIME, { time } },
	};
}

static sattr3 set_owner(uint32_t uid, uint32_t gid)
{
	return (sattr3){ .uid = { TRUE, { uid } }, .gid = { TRUE, { gid } } };
}

/* ---- GETATTR -------------------------------------------------------------- */

START_TEST(attributes_are_those_of_the_layer)
{
	fattr3 attr = attributes("file");

	ck_assert_int_eq(attr.type, NF3REG);
	ck_assert_uint_eq(attr.mode, 0644);
	ck_assert_uint_eq(attr.size, 10);
	ck_assert_uint_eq(attr.nlink, 1);
	ck_assert_int_eq(attributes("dir").type, NF3DIR);
	ck_assert_int_eq(attributes("link").type, NF3LNK);
	ck_assert_uint_eq(attributes("link").size, 4);
}
END_TEST

/* Trap 8: 1 makes macOS list nothing, 0 is a stale file on Linux. */
START_TEST(a_directory_has_at_least_two_links_and_a_file_one)
{
	ck_assert_uint_ge(nfs_attributes(client, root).nlink, 2);
	ck_assert_uint_ge(attributes("dir").nlink, 2);
	nfs_new_dir(client, root, "new", 0755);
	ck_assert_uint_ge(attributes("new").nlink, 2);
	nfs_new_file(client, root, "f", 0644);
	ck_assert_uint_ge(attributes("f").nlink, 1);
	ck_assert_uint_ge(attributes("file").nlink, 1);
}
END_TEST

START_TEST(all_is_on_one_filesystem)
{
	uint64_t fsid = nfs_attributes(client, root).fsid;

	nfs_new_file(client, root, "new", 0644);
	ck_assert_uint_eq(attributes("file").fsid, fsid);
	ck_assert_uint_eq(attributes("new").fsid, fsid);
	ck_assert_uint_eq(attributes("dir").fsid, fsid);
}
END_TEST

START_TEST(a_removed_file_is_stale)
{
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	nfs_fh3 lower = nfs_find(client, root, "file");

	ck_assert_int_eq(nfs_remove(client, root, "new")->status, NFS3_OK);
	ck_assert_int_eq(nfs_remove(client, root, "file")->status, NFS3_OK);
	ck_assert_int_eq(nfs_getattr(client, file)->status, NFS3ERR_STALE);
	ck_assert_int_eq(nfs_getattr(client, lower)->status, NFS3ERR_STALE);
}
END_TEST

START_TEST(handles_and_fileids_are_the_same_after_a_restart)
{
	char file_bytes[32], dir_bytes[32];
	nfs_fh3 file = nfs_find(client, root, "file");
	nfs_fh3 dir = nfs_new_dir(client, root, "new", 0755);
	uint64_t fileid = nfs_attributes(client, file).fileid;

	memcpy(file_bytes, file.data.data_val, 32);
	memcpy(dir_bytes, dir.data.data_val, 32);
	fixture_stop(fixture);
	start(FIXTURE_OPTIONS);
	file.data.data_val = file_bytes;
	dir.data.data_val = dir_bytes;
	ck_assert_uint_eq(nfs_attributes(client, file).fileid, fileid);
	ck_assert_int_eq(nfs_attributes(client, dir).type, NF3DIR);
	ck_assert(nfs_same_handle(nfs_find(client, root, "file"), file));
	ck_assert(nfs_same_handle(nfs_find(client, root, "new"), dir));
}
END_TEST

/* ---- SETATTR -------------------------------------------------------------- */

START_TEST(mode_owner_and_group_are_set)
{
	sattr3 set = set_owner(31000, 100);
	SETATTR3res *res;

	set.mode = set_mode(0751).mode;
	res = setattr("file", set);
	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_wcc(&res->SETATTR3res_u.resok.obj_wcc,
	               attributes("file").fileid);
	ck_assert_uint_eq(attributes("file").mode, 0751);
	ck_assert_uint_eq(attributes("file").uid, 31000);
	ck_assert_uint_eq(attributes("file").gid, 100);
	ck_assert_int_eq(setattr_status("file", set_mode(04751)), NFS3_OK);
	ck_assert_uint_eq(attributes("file").mode, 04751);
	nfs_assert_text(client, nfs_find(client, root, "file"), "lower text");
	fixture_assert_text(fixture, "lower0/file", "lower text");
}
END_TEST

START_TEST(setting_nothing_is_no_error)
{
	fattr3 before = attributes("file");

	ck_assert_int_eq(setattr_status("file", set_nothing()), NFS3_OK);
	ck_assert_uint_eq(attributes("file").mode, before.mode);
	ck_assert_uint_eq(attributes("file").mtime.nseconds,
	                  before.mtime.nseconds);
}
END_TEST

/* Trap 38. */
START_TEST(times_keep_their_nanoseconds_both_ways)
{
	ck_assert_int_eq(setattr_status("file", set_times(1000000000, NSEC)),
	                 NFS3_OK);
	ck_assert_uint_eq(attributes("file").mtime.seconds, 1000000000);
	ck_assert_uint_eq(attributes("file").mtime.nseconds, NSEC);
	ck_assert_uint_eq(attributes("file").atime.seconds, 1000000000);
	ck_assert_uint_eq(attributes("file").atime.nseconds, NSEC);
}
END_TEST

START_TEST(times_are_set_to_the_server_s)
{
	sattr3 set = { .mtime = { .set_it = SET_TO_SERVER_TIME } };
	fattr3 attr;

	ck_assert_int_eq(setattr_status("file", set_times(1, NSEC)), NFS3_OK);
	ck_assert_int_eq(setattr_status("file", set), NFS3_OK);
	attr = attributes("file");
	ck_assert_uint_gt(attr.mtime.seconds, 1000000000);
	ck_assert_uint_eq(attr.atime.seconds, 1);
	ck_assert_uint_eq(attr.atime.nseconds, NSEC);
}
END_TEST

START_TEST(files_grow_and_shrink)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	READ3res *read;

	ck_assert_int_eq(setattr_status("file", set_size(5)), NFS3_OK);
	nfs_assert_text(client, file, "lower");
	ck_assert_int_eq(setattr_status("file", set_size(8)), NFS3_OK);
	ck_assert_uint_eq(attributes("file").size, 8);
	read = nfs_read(client, file, 0, 100);
	ck_assert_uint_eq(read->READ3res_u.resok.count, 8);
	ck_assert_mem_eq(read->READ3res_u.resok.data.data_val, "lower\0\0\0",
	                 8);
	fixture_assert_text(fixture, "lower0/file", "lower text");
}
END_TEST

/* Trap 34: clients keep old pages where these stay. */
START_TEST(a_change_of_size_changes_mtime_and_ctime)
{
	fattr3 before, after;

	ck_assert_int_eq(setattr_status("file", set_times(1, 1)), NFS3_OK);
	before = attributes("file");
	ck_assert_int_eq(setattr_status("file", set_size(100)), NFS3_OK);
	after = attributes("file");
	ck_assert(nfs_is_later(after.mtime, before.mtime));
	ck_assert(nfs_is_later(after.ctime, before.ctime) ||
	          after.ctime.seconds >= before.ctime.seconds);
	ck_assert_int_eq(setattr_status("file", set_times(1, 1)), NFS3_OK);
	ck_assert_int_eq(setattr_status("file", set_size(3)), NFS3_OK);
	ck_assert(nfs_is_later(attributes("file").mtime, before.mtime));
}
END_TEST

/* Trap 15: the handle survives the copy-up without data. */
START_TEST(a_file_cut_to_nothing_takes_writes)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	ck_assert_int_eq(setattr_status("file", set_size(0)), NFS3_OK);
	nfs_put_text(client, file, "new");
	nfs_assert_text(client, file, "new");
	ck_assert(nfs_same_handle(nfs_find(client, root, "file"), file));
}
END_TEST

/* Traps 23 and 37. */
START_TEST(a_symlink_s_own_owner_and_times_are_set_and_not_its_target_s)
{
	fattr3 before = attributes("file"), link;

	ck_assert_int_eq(setattr_status("link", set_times(77, NSEC)), NFS3_OK);
	ck_assert_int_eq(setattr_status("link", set_owner(31000, 100)),
	                 NFS3_OK);
	link = attributes("link");
	ck_assert_int_eq(link.type, NF3LNK);
	ck_assert_uint_eq(link.mtime.seconds, 77);
	ck_assert_uint_eq(link.mtime.nseconds, NSEC);
	ck_assert_uint_eq(link.uid, 31000);
	ck_assert_uint_eq(link.gid, 100);
	ck_assert_uint_eq(attributes("file").mtime.seconds,
	                  before.mtime.seconds);
	ck_assert_uint_eq(attributes("file").uid, before.uid);
}
END_TEST

START_TEST(a_guard_lets_through_only_what_it_has_seen)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	SETATTR3args args = { .object = file,
		              .new_attributes = set_mode(0600),
		              .guard.check = TRUE };
	nfstime3 *ctime = &args.guard.sattrguard3_u.obj_ctime;
	SETATTR3res *res;

	*ctime = nfs_attributes(client, file).ctime;
	ctime->nseconds ^= 1;
	res = nfs_call(client, NFSPROC3_SETATTR, &args);
	ck_assert_int_eq(res->status, NFS3ERR_NOT_SYNC);
	nfs_assert_attr(&res->SETATTR3res_u.resfail.obj_wcc.after,
	                attributes("file").fileid);
	ck_assert_uint_eq(attributes("file").mode, 0644);
	ctime->nseconds ^= 1;
	res = nfs_call(client, NFSPROC3_SETATTR, &args);
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_eq(attributes("file").mode, 0600);
}
END_TEST

START_TEST(attributes_that_cannot_be_are_refused)
{
	ck_assert_int_eq(setattr_status("file", set_times(0, 1000000000)),
	                 NFS3ERR_INVAL);
	ck_assert_int_eq(setattr_status("file", set_size(UINT64_C(1) << 63)),
	                 NFS3ERR_FBIG);
	ck_assert_int_eq(setattr_status("dir", set_size(0)), NFS3ERR_ISDIR);
	ck_assert_uint_eq(attributes("file").size, 10);
}
END_TEST

START_TEST(only_the_owner_changes_the_mode)
{
	ck_assert_int_eq(setattr_status("file", set_owner(31000, 31000)),
	                 NFS3_OK);
	client_become(client, 31001, 31001);
	ck_assert_int_eq(setattr_status("file", set_mode(0777)), NFS3ERR_PERM);
	client_become(client, 31000, 31000);
	ck_assert_int_eq(setattr_status("file", set_mode(0600)), NFS3_OK);
	ck_assert_uint_eq(attributes("file").mode, 0600);
}
END_TEST

START_TEST(only_root_gives_files_away)
{
	ck_assert_int_eq(setattr_status("file", set_owner(31000, 31000)),
	                 NFS3_OK);
	client_become(client, 31000, 31000);
	ck_assert_int_eq(setattr_status("file", set_owner(31001, 31000)),
	                 NFS3ERR_PERM);
	ck_assert_int_eq(setattr_status("file", set_owner(31000, 31001)),
	                 NFS3ERR_PERM);
	client->ngids = 1;
	client->gids[0] = 31001;
	ck_assert_int_eq(setattr_status("file", set_owner(31000, 31001)),
	                 NFS3_OK);
	ck_assert_uint_eq(attributes("file").gid, 31001);
}
END_TEST

START_TEST(who_may_write_may_cut_and_touch_but_not_set_times)
{
	sattr3 touch = { .mtime = { .set_it = SET_TO_SERVER_TIME },
		         .atime = { .set_it = SET_TO_SERVER_TIME } };

	ck_assert_int_eq(setattr_status("file", set_mode(0666)), NFS3_OK);
	client_become(client, 31000, 31000);
	ck_assert_int_eq(setattr_status("file", set_size(1)), NFS3_OK);
	ck_assert_int_eq(setattr_status("file", touch), NFS3_OK);
	ck_assert_int_eq(setattr_status("file", set_times(1, 1)), NFS3ERR_PERM);
	ck_assert_int_eq(setattr_status("other", set_size(1)), NFS3ERR_ACCES);
	ck_assert_int_eq(setattr_status("other", touch), NFS3ERR_ACCES);
}
END_TEST

START_TEST(nothing_is_set_on_a_read_only_export)
{
	SETATTR3res *res;

	fixture_stop(fixture);
	start("ro,insecure,no_root_squash");
	res = setattr("file", set_mode(0600));
	ck_assert_int_eq(res->status, NFS3ERR_ROFS);
	nfs_assert_attr(&res->SETATTR3res_u.resfail.obj_wcc.after,
	                attributes("file").fileid);
	ck_assert_uint_eq(attributes("file").mode, 0644);
}
END_TEST

/* ---- ACCESS --------------------------------------------------------------- */

#define ALL                                                                \
	(ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_MODIFY | ACCESS3_EXTEND | \
	 ACCESS3_DELETE | ACCESS3_EXECUTE)
#define FILE_ALL \
	(ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_EXECUTE)
#define DIR_ALL                                                            \
	(ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_MODIFY | ACCESS3_EXTEND | \
	 ACCESS3_DELETE)

static uint32_t granted(const char *path, uint32_t access)
{
	ACCESS3res *res =
		nfs_access(client, nfs_find(client, root, path), access);

	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_attr(&res->ACCESS3res_u.resok.obj_attributes,
	                attributes(path).fileid);
	return res->ACCESS3res_u.resok.access;
}

START_TEST(lookup_and_delete_are_for_directories_execute_for_others)
{
	ck_assert_int_eq(setattr_status("file", set_mode(0777)), NFS3_OK);
	ck_assert_int_eq(setattr_status("dir", set_mode(0777)), NFS3_OK);
	client_become(client, 31000, 31000);
	ck_assert_uint_eq(granted("file", ALL), FILE_ALL);
	ck_assert_uint_eq(granted("dir", ALL), DIR_ALL);
}
END_TEST

START_TEST(only_what_is_asked_is_answered)
{
	ck_assert_uint_eq(granted("file", ACCESS3_READ), ACCESS3_READ);
	ck_assert_uint_eq(granted("file", 0), 0);
	ck_assert_uint_eq(granted("file", ~(uint32_t)ALL), 0);
}
END_TEST

START_TEST(access_follows_owner_group_and_others)
{
	sattr3 set = set_owner(31000, 100);

	set.mode = set_mode(0640).mode;
	ck_assert_int_eq(setattr_status("file", set), NFS3_OK);
	client_become(client, 31000, 7);
	ck_assert_uint_eq(granted("file", ALL),
	                  ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND);
	client_become(client, 31001, 100);
	ck_assert_uint_eq(granted("file", ALL), ACCESS3_READ);
	client_become(client, 31001, 7);
	ck_assert_uint_eq(granted("file", ALL), 0);
	client->ngids = 1;
	client->gids[0] = 100;
	ck_assert_uint_eq(granted("file", ALL), ACCESS3_READ);
}
END_TEST

START_TEST(root_may_all_but_execute_what_nobody_may)
{
	ck_assert_uint_eq(granted("file", ALL), FILE_ALL & ~ACCESS3_EXECUTE);
	ck_assert_int_eq(setattr_status("file", set_mode(0100)), NFS3_OK);
	ck_assert_uint_eq(granted("file", ALL), FILE_ALL);
	ck_assert_int_eq(setattr_status("dir", set_mode(0)), NFS3_OK);
	ck_assert_uint_eq(granted("dir", ALL), DIR_ALL);
}
END_TEST

/* Trap 40: what ACCESS says is what then happens. */
START_TEST(access_and_deed_agree)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	ck_assert_int_eq(setattr_status("other", set_mode(0600)), NFS3_OK);
	client_become(client, 31000, 31000);
	ck_assert_uint_eq(granted("other", ALL), 0);
	ck_assert_int_eq(nfs_read(client, nfs_find(client, root, "other"), 0,
	                          10)
	                         ->status,
	                 NFS3ERR_ACCES);
	ck_assert_uint_eq(granted("dir", ALL), ACCESS3_READ | ACCESS3_LOOKUP);
	ck_assert_int_eq(
		nfs_create(client, dir, "f", GUARDED, set_mode(0644))->status,
		NFS3ERR_ACCES);
}
END_TEST

START_TEST(a_read_only_export_grants_no_writing)
{
	fixture_stop(fixture);
	ck_assert_int_eq(mkfifoat(fixture->topfd, "lower0/fifo", 0644), 0);
	start("ro,insecure,no_root_squash");
	ck_assert_uint_eq(granted("file", ALL), ACCESS3_READ);
	ck_assert_uint_eq(granted("dir", ALL), ACCESS3_READ | ACCESS3_LOOKUP);
	/* What is written to it does not come to the export. */
	ck_assert_uint_eq(granted("fifo", ALL),
	                  ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_attr");
	TCase *tcase = tcase_create("nfs3_attr");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, attributes_are_those_of_the_layer);
	tcase_add_test(tcase,
	               a_directory_has_at_least_two_links_and_a_file_one);
	tcase_add_test(tcase, all_is_on_one_filesystem);
	tcase_add_test(tcase, a_removed_file_is_stale);
	tcase_add_test(tcase, handles_and_fileids_are_the_same_after_a_restart);
	tcase_add_test(tcase, mode_owner_and_group_are_set);
	tcase_add_test(tcase, setting_nothing_is_no_error);
	tcase_add_test(tcase, times_keep_their_nanoseconds_both_ways);
	tcase_add_test(tcase, times_are_set_to_the_server_s);
	tcase_add_test(tcase, files_grow_and_shrink);
	tcase_add_test(tcase, a_change_of_size_changes_mtime_and_ctime);
	tcase_add_test(tcase, a_file_cut_to_nothing_takes_writes);
	tcase_add_test(
		tcase,
		a_symlink_s_own_owner_and_times_are_set_and_not_its_target_s);
	tcase_add_test(tcase, a_guard_lets_through_only_what_it_has_seen);
	tcase_add_test(tcase, attributes_that_cannot_be_are_refused);
	tcase_add_test(tcase, only_the_owner_changes_the_mode);
	tcase_add_test(tcase, only_root_gives_files_away);
	tcase_add_test(tcase,
	               who_may_write_may_cut_and_touch_but_not_set_times);
	tcase_add_test(tcase, nothing_is_set_on_a_read_only_export);
	tcase_add_test(
		tcase,
		lookup_and_delete_are_for_directories_execute_for_others);
	tcase_add_test(tcase, only_what_is_asked_is_answered);
	tcase_add_test(tcase, access_follows_owner_group_and_others);
	tcase_add_test(tcase, root_may_all_but_execute_what_nobody_may);
	tcase_add_test(tcase, access_and_deed_agree);
	tcase_add_test(tcase, a_read_only_export_grants_no_writing);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
