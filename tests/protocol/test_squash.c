#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rpc/auth.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define NOBODY 65534

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
	fixture_write(fixture, "lower0/secret", "secret", 0600);
	fixture_mkdir(fixture, "lower0/open", 0777);
	fixture_mkdir(fixture, "lower0/closed", 0755);
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* The owner and group of a file that the client makes. */
static void assert_makes(const char *name, uint32_t uid, uint32_t gid)
{
	nfs_fh3 file = nfs_new_file(client, nfs_find(client, root, "open"),
	                            name, 0644);
	fattr3 attr = nfs_attributes(client, file);

	ck_assert_uint_eq(attr.uid, uid);
	ck_assert_uint_eq(attr.gid, gid);
}

static nfsstat3 read_secret(void)
{
	return nfs_read(client, nfs_find(client, root, "secret"), 0, 10)
	        ->status;
}

START_TEST(root_is_nobody_by_default)
{
	start("insecure");
	assert_makes("root", NOBODY, NOBODY);
	ck_assert_int_eq(read_secret(), NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_create(client, nfs_find(client, root, "closed"),
	                            "f", GUARDED, set_nothing())
	                         ->status,
	                 NFS3ERR_ACCES);
	client_become(client, 31000, 100);
	assert_makes("user", 31000, 100);
}
END_TEST

START_TEST(root_stays_root_with_no_root_squash)
{
	start("insecure,no_root_squash");
	assert_makes("root", 0, 0);
	ck_assert_int_eq(read_secret(), NFS3_OK);
}
END_TEST

START_TEST(everybody_is_whom_all_squash_says)
{
	start("insecure,all_squash,anonuid=33,anongid=44");
	assert_makes("root", 33, 44);
	client_become(client, 31000, 100);
	assert_makes("user", 33, 44);
}
END_TEST

START_TEST(a_lab_may_squash_all_to_root)
{
	start("insecure,all_squash,anonuid=0,anongid=0");
	client_become(client, 31000, 100);
	assert_makes("user", 0, 0);
	ck_assert_int_eq(read_secret(), NFS3_OK);
}
END_TEST

START_TEST(without_a_credential_the_caller_is_nobody)
{
	start("insecure,no_root_squash");
	client->flavor = AUTH_NONE;
	assert_makes("none", NOBODY, NOBODY);
	ck_assert_int_eq(read_secret(), NFS3ERR_ACCES);
}
END_TEST

START_TEST(all_16_groups_count)
{
	sattr3 set = set_mode(0640);
	nfs_fh3 file;

	start("insecure,no_root_squash");
	file = nfs_find(client, root, "secret");
	set.gid.set_it = TRUE;
	set.gid.set_gid3_u.gid = 515;
	ck_assert_int_eq(nfs_setattr(client, file, set)->status, NFS3_OK);
	client_become(client, 31000, 100);
	client->ngids = 15;
	for (uint32_t i = 0; i < 16; i++)
		client->gids[i] = 500 + i;
	ck_assert_int_eq(read_secret(), NFS3ERR_ACCES);
	client->ngids = 16;
	ck_assert_int_eq(read_secret(), NFS3_OK);
}
END_TEST

START_TEST(squashed_root_has_no_group_0_either)
{
	sattr3 set = set_mode(0640);
	nfs_fh3 file;

	start("insecure,no_root_squash");
	file = nfs_find(client, root, "secret");
	ck_assert_int_eq(nfs_setattr(client, file, set)->status, NFS3_OK);
	fixture_stop(fixture);
	start("insecure");
	client_become(client, 31000, 0);
	client->ngids = 1;
	client->gids[0] = 0;
	ck_assert_int_eq(read_secret(), NFS3ERR_ACCES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("squash");
	TCase *tcase = tcase_create("squash");

	if (geteuid() == NOBODY) {
		puts("nobody is somebody here: the owner of the lower layer");
		return 77;
	}
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, root_is_nobody_by_default);
	tcase_add_test(tcase, root_stays_root_with_no_root_squash);
	tcase_add_test(tcase, everybody_is_whom_all_squash_says);
	tcase_add_test(tcase, a_lab_may_squash_all_to_root);
	tcase_add_test(tcase, without_a_credential_the_caller_is_nobody);
	tcase_add_test(tcase, all_16_groups_count);
	tcase_add_test(tcase, squashed_root_has_no_group_0_either);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
