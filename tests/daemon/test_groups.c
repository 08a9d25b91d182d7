/*
 * manage_gids: what groups a caller is in, the server's own database says.
 *
 * For root, who gives the server a database of the test's own.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/lib/suite.h"

#define USER 34567
#define FIRST_GROUP 40001
#define GROUPS 40 /* AUTH_SYS has 16 */
#define OTHER_GROUP 50001

static struct daemon *veneerd;

/* A file below the lower layer that one group alone may read. */
static void give_to_group(const char *name, gid_t group)
{
	char path[PATH_MAX];

	daemon_write(veneerd, name, "text");
	daemon_path(veneerd, name, path);
	ck_assert_int_eq(chown(path, 0, group), 0);
	ck_assert_int_eq(chmod(path, 0040), 0);
}

static void write_database(void)
{
	char groups[8192];
	size_t len = 0;

	daemon_write(veneerd, "passwd",
	             "root:x:0:0::/:/bin/sh\nuser:x:34567:34567::/:/bin/sh\n");
	len += (size_t)sprintf(groups, "root:x:0:user\nuser:x:34567:\n");
	for (int i = 0; i < GROUPS; i++)
		len += (size_t)sprintf(groups + len, "group%d:x:%d:user\n", i,
		                       FIRST_GROUP + i);
	sprintf(groups + len, "other:x:%d:\n", OTHER_GROUP);
	daemon_write(veneerd, "group", groups);
}

static void setup(void)
{
	veneerd = daemon_new();
	give_to_group("lower/last", FIRST_GROUP + GROUPS - 1);
	give_to_group("lower/other", OTHER_GROUP);
	give_to_group("lower/roots", 0);
	write_database();
	put_over(veneerd, "passwd", "/etc/passwd");
	put_over(veneerd, "group", "/etc/group");
}

static void teardown(void)
{
	umount2("/etc/passwd", MNT_DETACH);
	umount2("/etc/group", MNT_DETACH);
	daemon_free(veneerd);
}

static nfsstat3 read_status(struct client *client, nfs_fh3 root,
                            const char *name)
{
	return nfs_read(client, nfs_find(client, root, name), 0, 4)->status;
}

/* A caller who says that he is in `claimed` as well. */
static struct client *call_as(uint32_t uid, uint32_t claimed)
{
	struct client *client = call_from(veneerd, "127.0.0.1");

	client_become(client, uid, uid);
	client->gids[client->ngids++] = claimed;
	return client;
}

/* What the user, who claims the other group, may read. */
static void assert_readable(const char *options, uint32_t uid, bool last,
                            bool other, bool roots)
{
	struct client *client;
	char room[64];
	nfs_fh3 root;

	daemon_start(veneerd, options);
	client = call_as(uid, OTHER_GROUP);
	root = mount_from(client, DAEMON_EXPORT, room);
	ck_assert_int_eq(read_status(client, root, "last"),
	                 last ? NFS3_OK : NFS3ERR_ACCES);
	ck_assert_int_eq(read_status(client, root, "other"),
	                 other ? NFS3_OK : NFS3ERR_ACCES);
	ck_assert_int_eq(read_status(client, root, "roots"),
	                 roots ? NFS3_OK : NFS3ERR_ACCES);
	client_free(client);
}

/* Root's group is nobody's, where root is nobody. */
START_TEST(the_server_s_groups_count_and_those_claimed_do_not)
{
	assert_readable("insecure,manage_gids", USER, true, false, false);
}
END_TEST

START_TEST(whom_the_server_does_not_know_is_in_none)
{
	assert_readable("insecure,manage_gids", USER + 1, false, false, false);
}
END_TEST

START_TEST(without_it_the_client_is_believed)
{
	assert_readable("insecure", USER, false, true, false);
}
END_TEST

START_TEST(root_that_is_not_squashed_is_in_his_groups)
{
	assert_readable("insecure,manage_gids,no_root_squash", USER, true,
	                false, true);
}
END_TEST

START_TEST(who_is_squashed_is_in_none)
{
	assert_readable("insecure,manage_gids,all_squash,anonuid=34567", USER,
	                false, false, false);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("groups");
	TCase *tcase = tcase_create("groups");

	if (geteuid() != 0) {
		puts("groups: skipped: only root can give it another database");
		return 77;
	}
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase,
	               the_server_s_groups_count_and_those_claimed_do_not);
	tcase_add_test(tcase, whom_the_server_does_not_know_is_in_none);
	tcase_add_test(tcase, without_it_the_client_is_believed);
	tcase_add_test(tcase, root_that_is_not_squashed_is_in_his_groups);
	tcase_add_test(tcase, who_is_squashed_is_in_none);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
