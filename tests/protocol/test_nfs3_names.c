#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

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
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_write(fixture, "lower0/dir/a", "a", 0644);
	fixture_mkdir(fixture, "lower0/empty", 0755);
	fixture_symlink(fixture, "lower0/link", "file");
	start(FIXTURE_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static bool exists(nfs_fh3 dir, const char *name)
{
	nfsstat3 status = nfs_lookup(client, dir, name)->status;

	ck_assert(status == NFS3_OK || status == NFS3ERR_NOENT);
	return status == NFS3_OK;
}

static uint64_t fileid(nfs_fh3 fh)
{
	return nfs_attributes(client, fh).fileid;
}

static void fill_name(char *name, size_t len)
{
	memset(name, 'n', len);
	name[len] = '\0';
}

/* REMOVE and RMDIR have results of one form. */
static void assert_gone(const void *result, nfs_fh3 dir, const char *name)
{
	const REMOVE3res *res = result;

	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_wcc(&res->REMOVE3res_u.resok.dir_wcc, fileid(dir));
	ck_assert(!exists(dir, name));
}

static void assert_not_gone(const void *result, nfsstat3 status, nfs_fh3 dir)
{
	const REMOVE3res *res = result;

	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->REMOVE3res_u.resfail.dir_wcc.after, fileid(dir));
}

static void assert_renamed(RENAME3res *res, nfs_fh3 from, nfs_fh3 to)
{
	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_wcc(&res->RENAME3res_u.resok.fromdir_wcc, fileid(from));
	nfs_assert_wcc(&res->RENAME3res_u.resok.todir_wcc, fileid(to));
}

static void assert_not_renamed(RENAME3res *res, nfsstat3 status, nfs_fh3 from,
                               nfs_fh3 to)
{
	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->RENAME3res_u.resfail.fromdir_wcc.after,
	                fileid(from));
	nfs_assert_attr(&res->RENAME3res_u.resfail.todir_wcc.after, fileid(to));
}

static void assert_not_linked(LINK3res *res, nfsstat3 status, nfs_fh3 file,
                              nfs_fh3 dir)
{
	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->LINK3res_u.resfail.file_attributes, fileid(file));
	nfs_assert_attr(&res->LINK3res_u.resfail.linkdir_wcc.after,
	                fileid(dir));
}

/* ---- REMOVE --------------------------------------------------------------- */

START_TEST(every_kind_of_file_is_removed)
{
	assert_gone(nfs_remove(client, root, "file"), root, "file");
	assert_gone(nfs_remove(client, root, "link"), root, "link");
	nfs_new_file(client, root, "new", 0644);
	assert_gone(nfs_remove(client, root, "new"), root, "new");
	nfs_mknod(client, root, "fifo", NF3FIFO, 0, 0);
	assert_gone(nfs_remove(client, root, "fifo"), root, "fifo");
	ck_assert(fixture_exists(fixture, "lower0/file"));
	ck_assert(!fixture_exists(fixture, "upper/new"));
}
END_TEST

START_TEST(what_is_removed_stays_removed_after_a_restart)
{
	assert_gone(nfs_remove(client, root, "file"), root, "file");
	fixture_stop(fixture);
	start(FIXTURE_OPTIONS);
	ck_assert(!exists(root, "file"));
	assert_not_gone(nfs_remove(client, root, "file"), NFS3ERR_NOENT, root);
}
END_TEST

START_TEST(remove_refuses_what_is_no_file)
{
	char name[257];

	fill_name(name, 256);
	assert_not_gone(nfs_remove(client, root, "dir"), NFS3ERR_ISDIR, root);
	assert_not_gone(nfs_remove(client, root, "missing"), NFS3ERR_NOENT,
	                root);
	assert_not_gone(nfs_remove(client, root, "."), NFS3ERR_ACCES, root);
	assert_not_gone(nfs_remove(client, root, ".."), NFS3ERR_ACCES, root);
	assert_not_gone(nfs_remove(client, root, ""), NFS3ERR_ACCES, root);
	assert_not_gone(nfs_remove(client, root, "dir/a"), NFS3ERR_ACCES, root);
	assert_not_gone(nfs_remove(client, root, name), NFS3ERR_NAMETOOLONG,
	                root);
	assert_not_gone(nfs_remove(client, nfs_find(client, root, "file"), "x"),
	                NFS3ERR_NOTDIR, nfs_find(client, root, "file"));
}
END_TEST

START_TEST(remove_needs_permission_on_the_directory)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	client_become(client, 31000, 31000);
	assert_not_gone(nfs_remove(client, dir, "a"), NFS3ERR_ACCES, dir);
	ck_assert(exists(dir, "a"));
}
END_TEST

START_TEST(in_a_sticky_directory_only_owners_remove)
{
	nfs_fh3 dir = nfs_new_dir(client, root, "tmp", 01777);

	client_become(client, 31000, 31000);
	nfs_new_file(client, dir, "mine", 0666);
	client_become(client, 31001, 31001);
	assert_not_gone(nfs_remove(client, dir, "mine"), NFS3ERR_PERM, dir);
	client_become(client, 31000, 31000);
	assert_gone(nfs_remove(client, dir, "mine"), dir, "mine");
}
END_TEST

/* ---- RMDIR ---------------------------------------------------------------- */

START_TEST(an_empty_directory_is_removed)
{
	assert_gone(nfs_rmdir(client, root, "empty"), root, "empty");
	nfs_new_dir(client, root, "new", 0755);
	assert_gone(nfs_rmdir(client, root, "new"), root, "new");
	ck_assert(fixture_exists(fixture, "lower0/empty"));
}
END_TEST

START_TEST(a_merged_directory_that_looks_empty_is_removed)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	assert_gone(nfs_remove(client, dir, "a"), dir, "a");
	assert_gone(nfs_rmdir(client, root, "dir"), root, "dir");
	ck_assert_int_eq(nfs_getattr(client, dir)->status, NFS3ERR_STALE);
}
END_TEST

START_TEST(rmdir_refuses_what_is_no_empty_directory)
{
	assert_not_gone(nfs_rmdir(client, root, "dir"), NFS3ERR_NOTEMPTY, root);
	assert_not_gone(nfs_rmdir(client, root, "file"), NFS3ERR_NOTDIR, root);
	assert_not_gone(nfs_rmdir(client, root, "link"), NFS3ERR_NOTDIR, root);
	assert_not_gone(nfs_rmdir(client, root, "missing"), NFS3ERR_NOENT,
	                root);
	assert_not_gone(nfs_rmdir(client, root, "."), NFS3ERR_INVAL, root);
	assert_not_gone(nfs_rmdir(client, root, ".."), NFS3ERR_EXIST, root);
	assert_not_gone(nfs_rmdir(client, root, ""), NFS3ERR_ACCES, root);
	assert_not_gone(nfs_rmdir(client, root, "a/b"), NFS3ERR_ACCES, root);
}
END_TEST

START_TEST(rmdir_needs_permission)
{
	client_become(client, 31000, 31000);
	assert_not_gone(nfs_rmdir(client, root, "empty"), NFS3ERR_ACCES, root);
}
END_TEST

/* ---- RENAME --------------------------------------------------------------- */

START_TEST(a_file_is_renamed_and_keeps_its_handle)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");
	nfs_fh3 file = nfs_find(client, root, "file");

	assert_renamed(nfs_rename(client, root, "file", dir, "moved"), root,
	               dir);
	ck_assert(!exists(root, "file"));
	ck_assert(nfs_same_handle(nfs_find(client, dir, "moved"), file));
	nfs_assert_text(client, file, "lower text");
	ck_assert(fixture_exists(fixture, "lower0/file"));
}
END_TEST

START_TEST(a_file_replaces_a_file)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");
	nfs_fh3 file = nfs_find(client, root, "file");
	nfs_fh3 old = nfs_find(client, dir, "a");

	assert_renamed(nfs_rename(client, root, "file", dir, "a"), root, dir);
	ck_assert(nfs_same_handle(nfs_find(client, dir, "a"), file));
	ck_assert_int_eq(nfs_getattr(client, old)->status, NFS3ERR_STALE);
}
END_TEST

START_TEST(a_new_directory_is_renamed_with_what_is_in_it)
{
	nfs_fh3 dir = nfs_new_dir(client, root, "new", 0755);
	nfs_fh3 file = nfs_new_file(client, dir, "f", 0644);
	nfs_fh3 to = nfs_find(client, root, "dir");

	nfs_put_text(client, file, "text");
	assert_renamed(nfs_rename(client, root, "new", to, "moved"), root, to);
	ck_assert(nfs_same_handle(nfs_find(client, to, "moved/f"), file));
	nfs_assert_text(client, file, "text");
	ck_assert(nfs_same_handle(nfs_find(client, dir, ".."), to));
	/* Over an empty one. */
	assert_renamed(nfs_rename(client, to, "moved", root, "empty"), to,
	               root);
	ck_assert(nfs_same_handle(nfs_find(client, root, "empty/f"), file));
}
END_TEST

START_TEST(a_name_onto_itself_or_its_own_link_changes_nothing)
{
	nfs_fh3 file = nfs_new_file(client, root, "one", 0644);

	ck_assert_int_eq(nfs_rename(client, root, "one", root, "one")->status,
	                 NFS3_OK);
	ck_assert(nfs_same_handle(nfs_find(client, root, "one"), file));
	ck_assert_int_eq(nfs_link(client, file, root, "two")->status, NFS3_OK);
	ck_assert_int_eq(nfs_rename(client, root, "one", root, "two")->status,
	                 NFS3_OK);
	ck_assert(exists(root, "one"));
	ck_assert(exists(root, "two"));
}
END_TEST

START_TEST(a_name_over_a_removed_one_leaves_no_trace)
{
	assert_gone(nfs_remove(client, root, "file"), root, "file");
	nfs_new_file(client, root, "new", 0644);
	assert_renamed(nfs_rename(client, root, "new", root, "file"), root,
	               root);
	nfs_assert_text(client, nfs_find(client, root, "file"), "");
	assert_renamed(nfs_rename(client, root, "file", root, "other"), root,
	               root);
	ck_assert(!exists(root, "file"));
}
END_TEST

START_TEST(rename_replaces_only_like_by_like)
{
	nfs_new_dir(client, root, "new", 0755);
	assert_not_renamed(nfs_rename(client, root, "file", root, "empty"),
	                   NFS3ERR_ISDIR, root, root);
	assert_not_renamed(nfs_rename(client, root, "new", root, "file"),
	                   NFS3ERR_NOTDIR, root, root);
	assert_not_renamed(nfs_rename(client, root, "new", root, "dir"),
	                   NFS3ERR_NOTEMPTY, root, root);
	assert_not_renamed(nfs_rename(client, root, "missing", root, "x"),
	                   NFS3ERR_NOENT, root, root);
}
END_TEST

START_TEST(a_directory_does_not_go_into_itself)
{
	nfs_fh3 dir = nfs_new_dir(client, root, "new", 0755);
	nfs_fh3 sub = nfs_new_dir(client, dir, "sub", 0755);

	assert_not_renamed(nfs_rename(client, root, "new", dir, "x"),
	                   NFS3ERR_INVAL, root, dir);
	assert_not_renamed(nfs_rename(client, root, "new", sub, "x"),
	                   NFS3ERR_INVAL, root, sub);
}
END_TEST

START_TEST(a_directory_with_a_lower_part_is_renamed_and_keeps_its_handle)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");
	nfs_fh3 file = nfs_find(client, dir, "a");
	nfs_fh3 other = nfs_new_dir(client, root, "other", 0755);

	ck_assert_int_eq(
		nfs_rename(client, root, "dir", other, "moved")->status,
		NFS3_OK);
	ck_assert(!exists(root, "dir"));
	ck_assert(exists(other, "moved"));
	ck_assert(nfs_same_handle(dir, nfs_find(client, other, "moved")));
	ck_assert(nfs_same_handle(file, nfs_find(client, dir, "a")));
	ck_assert_uint_eq(nfs_attributes(client, file).size, 1);
}
END_TEST

START_TEST(without_redirects_a_directory_with_a_lower_part_is_not_renamed)
{
	fixture_stop(fixture);
	start(FIXTURE_OPTIONS ",redirect_dir=off");
	assert_not_renamed(nfs_rename(client, root, "dir", root, "moved"),
	                   NFS3ERR_XDEV, root, root);
	ck_assert(exists(root, "dir"));
	ck_assert(!exists(root, "moved"));
}
END_TEST

START_TEST(rename_refuses_names_that_are_none)
{
	static const struct {
		const char *name;
		nfsstat3 status;
	} bad[] = {
		{ ".", NFS3ERR_INVAL },
		{ "..", NFS3ERR_INVAL },
		{ "", NFS3ERR_ACCES },
		{ "a/b", NFS3ERR_ACCES },
	};
	char name[257];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_not_renamed(nfs_rename(client, root, bad[i].name, root,
		                              "x"),
		                   bad[i].status, root, root);
		assert_not_renamed(nfs_rename(client, root, "file", root,
		                              bad[i].name),
		                   bad[i].status, root, root);
	}
	fill_name(name, 256);
	assert_not_renamed(nfs_rename(client, root, "file", root, name),
	                   NFS3ERR_NAMETOOLONG, root, root);
	ck_assert(exists(root, "file"));
}
END_TEST

START_TEST(rename_needs_permission_on_both_directories)
{
	nfs_fh3 mine, dir = nfs_find(client, root, "dir");

	ck_assert_int_eq(nfs_setattr(client, root, set_mode(0777))->status,
	                 NFS3_OK);
	client_become(client, 31000, 31000);
	mine = nfs_new_dir(client, root, "mine", 0755);
	nfs_new_file(client, mine, "f", 0644);
	assert_not_renamed(nfs_rename(client, mine, "f", dir, "f"),
	                   NFS3ERR_ACCES, mine, dir);
	assert_not_renamed(nfs_rename(client, dir, "a", mine, "a"),
	                   NFS3ERR_ACCES, dir, mine);
}
END_TEST

START_TEST(rename_wants_directories)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	assert_not_renamed(nfs_rename(client, file, "x", root, "y"),
	                   NFS3ERR_NOTDIR, file, root);
	assert_not_renamed(nfs_rename(client, root, "file", file, "y"),
	                   NFS3ERR_NOTDIR, root, file);
}
END_TEST

/* ---- LINK ----------------------------------------------------------------- */

START_TEST(a_link_is_another_name_of_the_file)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	LINK3res *res = nfs_link(client, file, dir, "link");

	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_attr(&res->LINK3res_u.resok.file_attributes, fileid(file));
	nfs_assert_wcc(&res->LINK3res_u.resok.linkdir_wcc, fileid(dir));
	ck_assert(nfs_same_handle(nfs_find(client, dir, "link"), file));
	ck_assert_uint_eq(nfs_attributes(client, file).nlink, 2);
	assert_gone(nfs_remove(client, root, "new"), root, "new");
	ck_assert_uint_eq(nfs_attributes(client, file).nlink, 1);
	nfs_put_text(client, file, "still here");
	nfs_assert_text(client, nfs_find(client, dir, "link"), "still here");
}
END_TEST

START_TEST(a_lower_file_gets_a_link_that_is_the_same_file)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	ck_assert_int_eq(nfs_link(client, file, root, "hard")->status, NFS3_OK);
	ck_assert(nfs_same_handle(nfs_find(client, root, "hard"), file));
	nfs_put_text(client, file, "LOWER");
	nfs_assert_text(client, nfs_find(client, root, "hard"), "LOWER text");
	nfs_assert_text(client, nfs_find(client, root, "file"), "LOWER text");
	fixture_assert_text(fixture, "lower0/file", "lower text");
}
END_TEST

START_TEST(a_symlink_is_linked_itself)
{
	nfs_fh3 link = nfs_find(client, root, "link");

	ck_assert_int_eq(nfs_link(client, link, root, "hard")->status, NFS3_OK);
	ck_assert(nfs_same_handle(nfs_find(client, root, "hard"), link));
}
END_TEST

/* A client takes another ctime for another's change. */
static void assert_ctime(nfs_fh3 fh, const char *path)
{
	nfstime3 told = nfs_attributes(client, fh).ctime;
	struct stat st;

	ck_assert_int_eq(
		fstatat(fixture->topfd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_uint_eq(told.seconds, (uint32_t)st.st_ctim.tv_sec);
	ck_assert_uint_eq(told.nseconds, (uint32_t)st.st_ctim.tv_nsec);
}

START_TEST(the_ctime_told_is_that_on_the_disk_whatever_was_named)
{
	nfs_fh3 file, dir, a, made;

	fixture_stop(fixture);
	start(FIXTURE_OPTIONS ",cache=always");
	file = nfs_find(client, root, "file");
	dir = nfs_find(client, root, "dir");
	a = nfs_find(client, dir, "a");
	ck_assert_int_eq(nfs_link(client, file, root, "other")->status,
	                 NFS3_OK);
	assert_ctime(file, "upper/other");
	ck_assert_int_eq(nfs_rename(client, dir, "a", root, "b")->status,
	                 NFS3_OK);
	assert_ctime(a, "upper/b");
	assert_ctime(dir, "upper/dir");
	made = nfs_new_file(client, root, "made", 0644);
	assert_ctime(made, "upper/made");
	ck_assert_int_eq(nfs_rename(client, root, "made", dir, "c")->status,
	                 NFS3_OK);
	assert_ctime(made, "upper/dir/c");
	ck_assert_int_eq(nfs_link(client, made, root, "d")->status, NFS3_OK);
	ck_assert_int_eq(nfs_remove(client, dir, "c")->status, NFS3_OK);
	assert_ctime(made, "upper/d");
	made = nfs_new_dir(client, root, "e", 0755);
	ck_assert_int_eq(nfs_rename(client, root, "e", root, "f")->status,
	                 NFS3_OK);
	assert_ctime(made, "upper/f");
	assert_ctime(root, "upper");
}
END_TEST

START_TEST(link_refuses_what_cannot_be_linked)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	nfs_fh3 dir = nfs_find(client, root, "dir");
	char name[257];
	LINK3res *res;

	fill_name(name, 256);
	assert_not_linked(nfs_link(client, file, root, "link"), NFS3ERR_EXIST,
	                  file, root);
	assert_not_linked(nfs_link(client, file, root, "."), NFS3ERR_EXIST,
	                  file, root);
	assert_not_linked(nfs_link(client, file, root, ".."), NFS3ERR_EXIST,
	                  file, root);
	assert_not_linked(nfs_link(client, file, root, ""), NFS3ERR_ACCES, file,
	                  root);
	assert_not_linked(nfs_link(client, file, root, "a/b"), NFS3ERR_ACCES,
	                  file, root);
	assert_not_linked(nfs_link(client, file, root, name),
	                  NFS3ERR_NAMETOOLONG, file, root);
	assert_not_linked(nfs_link(client, file, file, "x"), NFS3ERR_NOTDIR,
	                  file, file);
	res = nfs_link(client, dir, root, "x");
	ck_assert(res->status == NFS3ERR_PERM || res->status == NFS3ERR_ISDIR);
	ck_assert(!exists(root, "x"));
}
END_TEST

START_TEST(link_needs_permission_on_the_directory)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	client_become(client, 31000, 31000);
	assert_not_linked(nfs_link(client, file, root, "x"), NFS3ERR_ACCES,
	                  file, root);
}
END_TEST

/* ---- all four --------------------------------------------------------------- */

START_TEST(no_name_changes_on_a_read_only_export)
{
	nfs_fh3 file;

	fixture_stop(fixture);
	start("ro,insecure,no_root_squash");
	file = nfs_find(client, root, "file");
	assert_not_gone(nfs_remove(client, root, "file"), NFS3ERR_ROFS, root);
	assert_not_gone(nfs_rmdir(client, root, "empty"), NFS3ERR_ROFS, root);
	assert_not_renamed(nfs_rename(client, root, "file", root, "x"),
	                   NFS3ERR_ROFS, root, root);
	assert_not_linked(nfs_link(client, file, root, "x"), NFS3ERR_ROFS, file,
	                  root);
}
END_TEST

/* Trap 14. */
START_TEST(handles_below_a_renamed_directory_go_on_working)
{
	nfs_fh3 dir = nfs_new_dir(client, root, "one", 0755);
	nfs_fh3 sub = nfs_new_dir(client, dir, "two", 0755);
	nfs_fh3 file = nfs_new_file(client, sub, "f", 0644);

	assert_renamed(nfs_rename(client, root, "one", root, "1"), root, root);
	assert_renamed(nfs_rename(client, dir, "two", root, "2"), dir, root);
	nfs_put_text(client, file, "text");
	nfs_new_file(client, sub, "g", 0644);
	ck_assert(nfs_same_handle(nfs_find(client, root, "2/f"), file));
	ck_assert(exists(sub, "g"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_names");
	TCase *tcase = tcase_create("nfs3_names");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, every_kind_of_file_is_removed);
	tcase_add_test(tcase, what_is_removed_stays_removed_after_a_restart);
	tcase_add_test(tcase, remove_refuses_what_is_no_file);
	tcase_add_test(tcase, remove_needs_permission_on_the_directory);
	tcase_add_test(tcase, in_a_sticky_directory_only_owners_remove);
	tcase_add_test(tcase, an_empty_directory_is_removed);
	tcase_add_test(tcase, a_merged_directory_that_looks_empty_is_removed);
	tcase_add_test(tcase, rmdir_refuses_what_is_no_empty_directory);
	tcase_add_test(tcase, rmdir_needs_permission);
	tcase_add_test(tcase, a_file_is_renamed_and_keeps_its_handle);
	tcase_add_test(tcase, a_file_replaces_a_file);
	tcase_add_test(tcase, a_new_directory_is_renamed_with_what_is_in_it);
	tcase_add_test(tcase,
	               a_name_onto_itself_or_its_own_link_changes_nothing);
	tcase_add_test(tcase, a_name_over_a_removed_one_leaves_no_trace);
	tcase_add_test(tcase, rename_replaces_only_like_by_like);
	tcase_add_test(tcase, a_directory_does_not_go_into_itself);
	tcase_add_test(
		tcase,
		a_directory_with_a_lower_part_is_renamed_and_keeps_its_handle);
	tcase_add_test(
		tcase,
		without_redirects_a_directory_with_a_lower_part_is_not_renamed);
	tcase_add_test(tcase, rename_refuses_names_that_are_none);
	tcase_add_test(tcase, rename_needs_permission_on_both_directories);
	tcase_add_test(tcase, rename_wants_directories);
	tcase_add_test(tcase, a_link_is_another_name_of_the_file);
	tcase_add_test(tcase, a_lower_file_gets_a_link_that_is_the_same_file);
	tcase_add_test(tcase, a_symlink_is_linked_itself);
	tcase_add_test(tcase,
	               the_ctime_told_is_that_on_the_disk_whatever_was_named);
	tcase_add_test(tcase, link_refuses_what_cannot_be_linked);
	tcase_add_test(tcase, link_needs_permission_on_the_directory);
	tcase_add_test(tcase, no_name_changes_on_a_read_only_export);
	tcase_add_test(tcase, handles_below_a_renamed_directory_go_on_working);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
