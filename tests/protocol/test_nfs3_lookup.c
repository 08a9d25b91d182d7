#include "config.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void setup(void)
{
	fixture = fixture_new(2);
	fixture_write(fixture, "lower0/file", "top", 0644);
	fixture_write(fixture, "lower1/file", "bottom", 0644);
	fixture_write(fixture, "lower1/deep", "deep", 0644);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_mkdir(fixture, "lower1/dir", 0755);
	fixture_write(fixture, "lower0/dir/a", "a", 0644);
	fixture_write(fixture, "lower1/dir/b", "b", 0644);
	fixture_mkdir(fixture, "lower1/closed", 0700);
	fixture_write(fixture, "lower1/closed/f", "f", 0644);
	fixture_symlink(fixture, "lower1/link", "dir/../file");
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static nfsstat3 lookup_status(nfs_fh3 dir, const char *name)
{
	return nfs_lookup(client, dir, name)->status;
}

/* A failure tells the directory's attributes. */
static void assert_failure(LOOKUP3res *res, nfsstat3 status, nfs_fh3 dir)
{
	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->LOOKUP3res_u.resfail.dir_attributes,
	                nfs_attributes(client, dir).fileid);
}

/* ---- LOOKUP --------------------------------------------------------------- */

START_TEST(the_topmost_layer_counts)
{
	nfs_assert_text(client, nfs_find(client, root, "file"), "top");
	nfs_assert_text(client, nfs_find(client, root, "deep"), "deep");
	nfs_assert_text(client, nfs_find(client, root, "dir/a"), "a");
	nfs_assert_text(client, nfs_find(client, root, "dir/b"), "b");
}
END_TEST

START_TEST(lookup_tells_the_attributes_of_both)
{
	LOOKUP3res *res = nfs_lookup(client, root, "file");
	LOOKUP3resok *ok = &res->LOOKUP3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_attr(&ok->obj_attributes,
	                nfs_attributes(client, ok->object).fileid);
	nfs_assert_attr(&ok->dir_attributes,
	                nfs_attributes(client, root).fileid);
}
END_TEST

START_TEST(an_object_has_one_handle_whatever_the_way)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");
	nfs_fh3 back = nfs_find(client, dir, "../dir/.");

	ck_assert(nfs_same_handle(dir, back));
	ck_assert(nfs_same_handle(nfs_find(client, root, "dir/a"),
	                          nfs_find(client, back, "a")));
}
END_TEST

START_TEST(dot_is_the_directory_and_dotdot_its_parent)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	ck_assert(nfs_same_handle(nfs_find(client, dir, "."), dir));
	ck_assert(nfs_same_handle(nfs_find(client, dir, ".."), root));
}
END_TEST

START_TEST(the_root_s_dotdot_is_itself)
{
	ck_assert(nfs_same_handle(nfs_find(client, root, ".."), root));
}
END_TEST

START_TEST(a_name_that_is_not_there_is_noent)
{
	assert_failure(nfs_lookup(client, root, "missing"), NFS3ERR_NOENT,
	               root);
}
END_TEST

START_TEST(only_a_directory_has_names)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	nfs_fh3 link = nfs_find(client, root, "link");

	assert_failure(nfs_lookup(client, file, "x"), NFS3ERR_NOTDIR, file);
	assert_failure(nfs_lookup(client, link, "a"), NFS3ERR_NOTDIR, link);
	ck_assert_int_eq(lookup_status(file, "."), NFS3ERR_NOTDIR);
	ck_assert_int_eq(lookup_status(file, ".."), NFS3ERR_NOTDIR);
}
END_TEST

START_TEST(search_permission_is_asked_for)
{
	nfs_fh3 closed = nfs_find(client, root, "closed");

	client_become(client, 31000, 31000);
	assert_failure(nfs_lookup(client, closed, "f"), NFS3ERR_ACCES, closed);
	assert_failure(nfs_lookup(client, closed, "missing"), NFS3ERR_ACCES,
	               closed);
}
END_TEST

START_TEST(a_name_has_up_to_255_bytes)
{
	char name[257];

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	ck_assert_int_eq(lookup_status(root, name), NFS3ERR_NOENT);
	nfs_new_file(client, root, name, 0644);
	ck_assert_int_eq(lookup_status(root, name), NFS3_OK);
	name[255] = 'n';
	name[256] = '\0';
	assert_failure(nfs_lookup(client, root, name), NFS3ERR_NAMETOOLONG,
	               root);
}
END_TEST

START_TEST(names_are_bytes)
{
	static const char name[] = "\xff\x80 \n\t\\\"*\x01";

	nfs_new_file(client, root, name, 0644);
	ck_assert_int_eq(lookup_status(root, name), NFS3_OK);
}
END_TEST

/* ---- READLINK ------------------------------------------------------------- */

static void assert_target(const char *name, const char *target)
{
	READLINK3res *res = nfs_readlink(client, nfs_find(client, root, name));
	READLINK3resok *ok = &res->READLINK3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_str_eq(ok->data, target);
	ck_assert(ok->symlink_attributes.attributes_follow);
}

START_TEST(a_symlink_s_target_comes_as_it_was_written)
{
	assert_target("link", "dir/../file");
	ck_assert_int_eq(
		nfs_symlink(client, root, "new", "/etc/passwd")->status,
		NFS3_OK);
	assert_target("new", "/etc/passwd");
}
END_TEST

/* Trap 35. */
START_TEST(long_targets_come_whole)
{
	char target[PATH_MAX];

	memset(target, 't', sizeof(target));
	for (size_t i = 200; i < sizeof(target); i += 200)
		target[i] = '/';
	target[1024] = '\0';
	ck_assert_int_eq(nfs_symlink(client, root, "1024", target)->status,
	                 NFS3_OK);
	assert_target("1024", target);
	target[1024] = 't';
	target[PATH_MAX - 1] = '\0';
	ck_assert_int_eq(nfs_symlink(client, root, "4095", target)->status,
	                 NFS3_OK);
	assert_target("4095", target);
}
END_TEST

START_TEST(only_a_symlink_has_a_target)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	READLINK3res *res = nfs_readlink(client, file);

	ck_assert_int_eq(res->status, NFS3ERR_INVAL);
	nfs_assert_attr(&res->READLINK3res_u.resfail.symlink_attributes,
	                nfs_attributes(client, file).fileid);
	ck_assert_int_eq(nfs_readlink(client, root)->status, NFS3ERR_INVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_lookup");
	TCase *tcase = tcase_create("nfs3_lookup");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_topmost_layer_counts);
	tcase_add_test(tcase, lookup_tells_the_attributes_of_both);
	tcase_add_test(tcase, an_object_has_one_handle_whatever_the_way);
	tcase_add_test(tcase, dot_is_the_directory_and_dotdot_its_parent);
	tcase_add_test(tcase, the_root_s_dotdot_is_itself);
	tcase_add_test(tcase, a_name_that_is_not_there_is_noent);
	tcase_add_test(tcase, only_a_directory_has_names);
	tcase_add_test(tcase, search_permission_is_asked_for);
	tcase_add_test(tcase, a_name_has_up_to_255_bytes);
	tcase_add_test(tcase, names_are_bytes);
	tcase_add_test(tcase, a_symlink_s_target_comes_as_it_was_written);
	tcase_add_test(tcase, long_targets_come_whole);
	tcase_add_test(tcase, only_a_symlink_has_a_target);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
