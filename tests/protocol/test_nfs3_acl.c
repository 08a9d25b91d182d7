/*
 * POSIX ACLs, which no client sees: what ACCESS says of them, and what is then
 * done.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/unit/acls.h"

#define SKIPPED 77

/* Who is named in ACLs, by himself and by his group, and who is not. */
#define NAMED 1001
#define NAMED_GROUP 2001
#define ALSO_NAMED_GROUP 2002
#define STRANGER 1009

#define DATA (ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND)
#define FILE_ALL (DATA | ACCESS3_EXECUTE)
#define DIR_ALL (DATA | ACCESS3_LOOKUP | ACCESS3_DELETE)

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void start(void)
{
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "lower text", 0600);
	fixture_mkdir(fixture, "lower0/dir", 0700);
	fixture_write(fixture, "lower0/dir/name", "", 0600);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static void plant(const char *name, const char *kind, const struct acls *acls)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", fixture->top, name);
	ck_assert_int_eq(acls_set(path, kind, acls), 0);
}

/* Nobody but the owner and the user NAMED. */
static void plant_user(const char *name, const char *kind, uint16_t perm)
{
	struct acls acls = acls_with_user(0700, NAMED, perm);

	plant(name, kind, &acls);
}

static uint32_t granted(nfs_fh3 fh, uint32_t access)
{
	ACCESS3res *res = nfs_access(client, fh, access);

	ck_assert_int_eq(res->status, NFS3_OK);
	return res->ACCESS3res_u.resok.access;
}

static nfsstat3 expected(bool allowed)
{
	return allowed ? NFS3_OK : NFS3ERR_ACCES;
}

static nfsstat3 write_status(nfs_fh3 fh)
{
	return nfs_write(client, fh, 0, "LOWER", 5, FILE_SYNC)->status;
}

/* ---- users named --------------------------------------------------------------- */

/* Trap 40, with an ACL; for each set of permissions. */
START_TEST(access_and_deed_agree_on_a_file)
{
	uint32_t access = 0;
	nfs_fh3 file;

	plant_user("lower0/file", ACLS_ACCESS, _i);
	start();
	file = nfs_find(client, root, "file");
	access |= _i & R_OK ? ACCESS3_READ : 0;
	access |= _i & W_OK ? ACCESS3_MODIFY | ACCESS3_EXTEND : 0;
	access |= _i & X_OK ? ACCESS3_EXECUTE : 0;
	client_become(client, NAMED, STRANGER);
	ck_assert_uint_eq(granted(file, FILE_ALL), access);
	/* Who may execute may read. */
	ck_assert_int_eq(nfs_read(client, file, 0, 10)->status,
	                 expected(_i & (R_OK | X_OK)));
	ck_assert_int_eq(write_status(file), expected(_i & W_OK));
	/* It has been copied up, if he could write. */
	ck_assert_uint_eq(granted(file, FILE_ALL), access);
	ck_assert_int_eq(fixture_exists(fixture, "upper/file"), !!(_i & W_OK));
	client_become(client, STRANGER, STRANGER);
	ck_assert_uint_eq(granted(file, FILE_ALL), 0);
	ck_assert_int_eq(nfs_read(client, file, 0, 10)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(write_status(file), NFS3ERR_ACCES);
}
END_TEST

START_TEST(access_and_deed_agree_on_a_directory)
{
	bool writes = (_i & (W_OK | X_OK)) == (W_OK | X_OK);
	uint32_t access;
	nfs_fh3 dir;

	plant_user("lower0/dir", ACLS_ACCESS, _i);
	start();
	dir = nfs_find(client, root, "dir");
	client_become(client, NAMED, STRANGER);
	access = granted(dir, DIR_ALL);
	ck_assert_int_eq(!!(access & ACCESS3_READ), !!(_i & R_OK));
	ck_assert_int_eq(!!(access & ACCESS3_LOOKUP), !!(_i & X_OK));
	ck_assert_int_eq(!!(access & ACCESS3_DELETE), writes);
	ck_assert_int_eq(nfs_lookup(client, dir, "name")->status,
	                 expected(_i & X_OK));
	ck_assert_int_eq(nfs_readdir(client, dir, 0, 4096)->status,
	                 expected(_i & R_OK));
	ck_assert_int_eq(
		nfs_create(client, dir, "f", GUARDED, set_mode(0600))->status,
		expected(writes));
	ck_assert_int_eq(nfs_mkdir(client, dir, "d", set_mode(0700))->status,
	                 expected(writes));
	ck_assert_int_eq(nfs_rename(client, dir, "name", dir, "new")->status,
	                 expected(writes));
	ck_assert_int_eq(
		nfs_remove(client, dir, writes ? "new" : "name")->status,
		expected(writes));
}
END_TEST

/* ---- groups -------------------------------------------------------------------- */

START_TEST(any_group_named_gives_what_it_has)
{
	struct acls acls = { .n = 0 };
	nfs_fh3 file;

	acls_add(&acls, ACL_USER_OBJ, -1, 6);
	acls_add(&acls, ACL_GROUP_OBJ, -1, 0);
	acls_add(&acls, ACL_GROUP, NAMED_GROUP, 4);
	acls_add(&acls, ACL_GROUP, ALSO_NAMED_GROUP, 2);
	acls_add(&acls, ACL_MASK, -1, 6);
	acls_add(&acls, ACL_OTHER, -1, 7);
	plant("lower0/file", ACLS_ACCESS, &acls);
	start();
	file = nfs_find(client, root, "file");
	client_become(client, STRANGER, NAMED_GROUP);
	ck_assert_uint_eq(granted(file, FILE_ALL), ACCESS3_READ);
	ck_assert_int_eq(write_status(file), NFS3ERR_ACCES);
	client->ngids = 1;
	client->gids[0] = ALSO_NAMED_GROUP;
	ck_assert_uint_eq(granted(file, FILE_ALL), DATA);
	ck_assert_int_eq(write_status(file), NFS3_OK);
	client_become(client, STRANGER, STRANGER);
	ck_assert_uint_eq(granted(file, FILE_ALL), FILE_ALL);
}
END_TEST

/* ---- changes ------------------------------------------------------------------- */

START_TEST(a_mode_set_bounds_what_the_acl_gives)
{
	nfs_fh3 file;

	plant_user("lower0/file", ACLS_ACCESS, R_OK | W_OK);
	start();
	file = nfs_find(client, root, "file");
	client_become(client, NAMED, STRANGER);
	ck_assert_uint_eq(granted(file, FILE_ALL), DATA);
	client_become(client, 0, 0);
	ck_assert_int_eq(nfs_setattr(client, file, set_mode(0640))->status,
	                 NFS3_OK);
	client_become(client, NAMED, STRANGER);
	ck_assert_uint_eq(granted(file, FILE_ALL), ACCESS3_READ);
	ck_assert_int_eq(write_status(file), NFS3ERR_ACCES);
	client_become(client, 0, 0);
	ck_assert_int_eq(nfs_setattr(client, file, set_mode(0660))->status,
	                 NFS3_OK);
	client_become(client, NAMED, STRANGER);
	ck_assert_int_eq(write_status(file), NFS3_OK);
}
END_TEST

/* ---- inheritance --------------------------------------------------------------- */

START_TEST(what_is_made_in_a_directory_inherits_its_default)
{
	nfs_fh3 dir, file;

	plant_user("lower0/dir", ACLS_DEFAULT, R_OK | X_OK);
	plant_user("lower0/dir", ACLS_ACCESS, R_OK | X_OK);
	start();
	dir = nfs_find(client, root, "dir");
	/* The default ACL takes what others would get, and keeps the mask. */
	file = nfs_new_file(client, dir, "file", 0664);
	nfs_put_text(client, file, "text");
	ck_assert_uint_eq(nfs_attributes(client, file).mode, 0660);
	dir = nfs_new_dir(client, dir, "sub", 0755);
	ck_assert_uint_eq(nfs_attributes(client, dir).mode, 0750);
	nfs_new_file(client, dir, "below", 0600);
	client_become(client, NAMED, STRANGER);
	ck_assert_uint_eq(granted(file, FILE_ALL), ACCESS3_READ);
	nfs_assert_text(client, file, "text");
	ck_assert_int_eq(write_status(file), NFS3ERR_ACCES);
	ck_assert_uint_eq(granted(dir, DIR_ALL), ACCESS3_READ | ACCESS3_LOOKUP);
	/* The mode that this one was made with leaves nothing to him. */
	file = nfs_find(client, dir, "below");
	ck_assert_uint_eq(granted(file, FILE_ALL), 0);
	client_become(client, STRANGER, STRANGER);
	ck_assert_uint_eq(granted(dir, DIR_ALL), 0);
}
END_TEST

static bool can_have_acls(void)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool can = ovl_acl_supported(tmp);

	close(tmp);
	if (!can)
		puts("skipped: no ACLs here");
	return can;
}

int main(void)
{
	Suite *suite = suite_create("nfs3_acl");
	TCase *tcase = tcase_create("nfs3_acl");

	if (!can_have_acls())
		return SKIPPED;
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, access_and_deed_agree_on_a_file, 0, 8);
	tcase_add_loop_test(tcase, access_and_deed_agree_on_a_directory, 0, 8);
	tcase_add_test(tcase, any_group_named_gives_what_it_has);
	tcase_add_test(tcase, a_mode_set_bounds_what_the_acl_gives);
	tcase_add_test(tcase, what_is_made_in_a_directory_inherits_its_default);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
