/*
 * What a client goes by when veneerd has ended, or was killed, and started again:
 * the verifier of its writes, and that of its exclusive creates.
 */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define VERIFIER_BITS 64

/* As the loop's index: how it is exported, and how it ends. */
static const struct {
	const char *options;
	int signal;
} ways[] = {
	{ "insecure,no_root_squash,sync", SIGTERM },
	{ "insecure,no_root_squash,sync", SIGKILL },
	{ "insecure,no_root_squash,async", SIGKILL },
	{ "insecure,no_root_squash,sync,userxattr", SIGKILL },
};
#define NWAYS (int)(sizeof(ways) / sizeof(ways[0]))

static struct daemon *veneerd;
static struct client *client;
static nfs_fh3 root;

static void start(int way)
{
	daemon_start(veneerd, ways[way].options);
	client = client_new(daemon_connect(veneerd));
	root = nfs_root(client);
}

static void restart(int way)
{
	client_free(client);
	daemon_end(veneerd, ways[way].signal);
	start(way);
}

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower");
}

static void teardown(void)
{
	client_free(client);
	daemon_free(veneerd);
}

/* The handle; the create must be taken for one that made it. */
static nfs_fh3 create(const char verifier[8])
{
	CREATE3res *res = nfs_create_exclusive(client, root, "new", verifier);

	ck_assert_int_eq(res->status, NFS3_OK);
	return res->CREATE3res_u.resok.obj.post_op_fh3_u.handle;
}

/* Trap 16. */
START_TEST(exclusive_knows_its_file_by_every_bit_after_a_restart)
{
	char verifier[8], other[8], handle[64];
	nfs_fh3 file;

	/* Not one that would fit into two times of 31 bits. */
	memcpy(verifier, "\xfe\xdc\xba\x98\xf6\x54\x32\x10", 8);
	start(_i);
	file = create(verifier);
	memcpy(handle, file.data.data_val, file.data.data_len);
	file.data.data_val = handle;
	restart(_i);
	ck_assert(nfs_same_handle(create(verifier), file));
	for (int bit = 0; bit < VERIFIER_BITS; bit++) {
		memcpy(other, verifier, 8);
		other[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert_int_eq(nfs_create_exclusive(client, root, "new",
		                                      other)
		                         ->status,
		                 NFS3ERR_EXIST);
	}
	ck_assert_int_eq(
		nfs_create_exclusive(client, root, "file", verifier)->status,
		NFS3ERR_EXIST);
}
END_TEST

/* Trap 16: the client's next call, whose create's reply was lost. */
START_TEST(the_mode_of_an_exclusive_file_is_set_after_a_restart)
{
	nfs_fh3 file;

	start(_i);
	create("verifier");
	restart(_i);
	file = create("verifier");
	ck_assert_uint_eq(nfs_attributes(client, file).mode & 0777, 0);
	ck_assert_int_eq(nfs_setattr(client, file, set_mode(0640))->status,
	                 NFS3_OK);
	nfs_put_text(client, file, "text");
	restart(_i);
	file = create("verifier");
	ck_assert_uint_eq(nfs_attributes(client, file).mode, 0640);
	nfs_assert_text(client, file, "text");
}
END_TEST

static void write_verifier(nfs_fh3 file, char verifier[8])
{
	WRITE3res *res = nfs_write(client, file, 0, "x", 1, UNSTABLE);

	ck_assert_int_eq(res->status, NFS3_OK);
	memcpy(verifier, res->WRITE3res_u.resok.verf, 8);
}

START_TEST(writes_have_another_verifier_at_each_start)
{
	char before[8], after[8];
	COMMIT3res *commit;

	start(_i);
	write_verifier(nfs_new_file(client, root, "new", 0644), before);
	for (int i = 0; i < 3; i++) {
		restart(_i);
		/* The client has not written since: it learns it here. */
		commit =
			nfs_commit(client, nfs_find(client, root, "new"), 0, 0);
		ck_assert_int_eq(commit->status, NFS3_OK);
		ck_assert_mem_ne(commit->COMMIT3res_u.resok.verf, before, 8);
		write_verifier(nfs_find(client, root, "new"), after);
		ck_assert_mem_eq(commit->COMMIT3res_u.resok.verf, after, 8);
		memcpy(before, after, 8);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("restarted");
	TCase *tcase = tcase_create("restarted");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(
		tcase, exclusive_knows_its_file_by_every_bit_after_a_restart, 0,
		NWAYS);
	tcase_add_loop_test(
		tcase, the_mode_of_an_exclusive_file_is_set_after_a_restart, 0,
		NWAYS);
	tcase_add_loop_test(tcase, writes_have_another_verifier_at_each_start,
	                    0, NWAYS);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
