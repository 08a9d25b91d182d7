#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define CLIENTS 4
#define ROUNDS 50
#define SLOT 16 /* bytes of the shared file that are one client's */

static struct fixture *fixture;
static nfs_fh3 root;

struct worker {
	pthread_t thread;
	struct client *client;
	unsigned number;
	void (*work)(struct worker *worker);
};

static void setup(void)
{
	fixture = fixture_new(2);
	fixture_mkdir(fixture, "lower0/shared", 0755);
	fixture_mkdir(fixture, "lower1/shared", 0755);
	for (int i = 0; i < 100; i++) {
		char path[64];

		snprintf(path, sizeof(path), "lower%d/shared/lower%d", i % 2,
		         i);
		fixture_write(fixture, path, "lower", 0644);
	}
	fixture_write(fixture, "lower1/file", "", 0644);
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	root = nfs_root(fixture->client);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static void *run(void *arg)
{
	struct worker *worker = arg;

	worker->work(worker);
	return NULL;
}

static void run_all(void (*work)(struct worker *worker))
{
	struct worker workers[CLIENTS];

	for (unsigned i = 0; i < CLIENTS; i++) {
		workers[i] = (struct worker){
			.client = fixture_connect(fixture),
			.number = i,
			.work = work,
		};
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, run,
		                                &workers[i]),
		                 0);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(workers[i].thread, NULL);
		client_free(workers[i].client);
	}
}

/* Names in a directory, but "." and "..". */
static size_t count_names(struct client *client, nfs_fh3 dir)
{
	uint64_t cookie = 0;
	size_t n = 0;
	bool eof = false;

	while (!eof) {
		READDIRPLUS3res *res =
			nfs_readdirplus(client, dir, cookie, 2048, 8192);
		dirlistplus3 *list = &res->READDIRPLUS3res_u.resok.reply;

		ck_assert_int_eq(res->status, NFS3_OK);
		for (entryplus3 *e = list->entries; e != NULL; e = e->nextentry)
			cookie = e->cookie, n++;
		eof = list->eof;
	}
	return n - 2;
}

/* ---- each client its own names in one directory -------------------------------- */

static void make_and_remove(struct worker *worker)
{
	struct client *client = worker->client;
	nfs_fh3 shared = nfs_find(client, root, "shared");
	char name[32], other[32];

	for (int i = 0; i < ROUNDS; i++) {
		nfs_fh3 file;

		snprintf(name, sizeof(name), "%u-%d", worker->number, i);
		snprintf(other, sizeof(other), "%u+%d", worker->number, i);
		file = nfs_new_file(client, shared, name, 0644);
		nfs_put_text(client, file, name);
		ck_assert_int_eq(
			nfs_rename(client, shared, name, root, other)->status,
			NFS3_OK);
		nfs_assert_text(client, file, name);
		ck_assert_int_eq(nfs_link(client, file, shared, name)->status,
		                 NFS3_OK);
		ck_assert(
			nfs_same_handle(nfs_find(client, shared, name), file));
		ck_assert_uint_ge(count_names(client, shared), 100);
		ck_assert_int_eq(nfs_remove(client, shared, name)->status,
		                 NFS3_OK);
		ck_assert_int_eq(nfs_remove(client, root, other)->status,
		                 NFS3_OK);
		ck_assert_int_eq(nfs_getattr(client, file)->status,
		                 NFS3ERR_STALE);
	}
}

START_TEST(clients_do_not_disturb_each_other_in_one_directory)
{
	run_all(make_and_remove);
	ck_assert_uint_eq(
		count_names(fixture->client,
	                    nfs_find(fixture->client, root, "shared")),
		100);
}
END_TEST

/* ---- all for the same names ---------------------------------------------------- */

static void fight(struct worker *worker)
{
	struct client *client = worker->client;
	char name[32];

	for (int i = 0; i < ROUNDS; i++) {
		nfsstat3 status;

		snprintf(name, sizeof(name), "fight%d", i % 3);
		status = nfs_mkdir(client, root, name, set_mode(0755))->status;
		ck_assert(status == NFS3_OK || status == NFS3ERR_EXIST);
		status = nfs_rename(client, root, name, root, "fight3")->status;
		ck_assert(status == NFS3_OK || status == NFS3ERR_NOENT);
		status = nfs_lookup(client, root, name)->status;
		ck_assert(status == NFS3_OK || status == NFS3ERR_NOENT);
		status = nfs_rmdir(client, root, name)->status;
		ck_assert(status == NFS3_OK || status == NFS3ERR_NOENT);
	}
}

START_TEST(a_name_is_one_client_s_or_another_s)
{
	run_all(fight);
	for (int i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), "fight%d", i);
		nfs_rmdir(fixture->client, root, name);
	}
	ck_assert_uint_eq(count_names(fixture->client, root), 2);
}
END_TEST

/* Of each name exactly one client is the maker. */
static unsigned made[ROUNDS];

static void make_guarded(struct worker *worker)
{
	char name[32];

	for (int i = 0; i < ROUNDS; i++) {
		nfsstat3 status;

		snprintf(name, sizeof(name), "guarded%d", i);
		status = nfs_create(worker->client, root, name, GUARDED,
		                    set_mode(0644))
		                 ->status;
		ck_assert(status == NFS3_OK || status == NFS3ERR_EXIST);
		if (status == NFS3_OK)
			__atomic_add_fetch(&made[i], 1, __ATOMIC_RELAXED);
	}
}

START_TEST(a_guarded_file_is_made_once)
{
	run_all(make_guarded);
	for (int i = 0; i < ROUNDS; i++)
		ck_assert_uint_eq(made[i], 1);
}
END_TEST

/* ---- one file that is copied up ------------------------------------------------- */

static void write_slot(struct worker *worker)
{
	struct client *client = worker->client;
	nfs_fh3 file = nfs_find(client, root, "file");
	char slot[SLOT + 1];

	for (int i = 0; i < ROUNDS; i++) {
		READ3res *res;

		snprintf(slot, sizeof(slot), "%-*d", SLOT, i);
		ck_assert_int_eq(nfs_write(client, file, worker->number * SLOT,
		                           slot, SLOT, UNSTABLE)
		                         ->status,
		                 NFS3_OK);
		res = nfs_read(client, file, worker->number * SLOT, SLOT);
		ck_assert_int_eq(res->status, NFS3_OK);
		ck_assert_uint_eq(res->READ3res_u.resok.count, SLOT);
		ck_assert_mem_eq(res->READ3res_u.resok.data.data_val, slot,
		                 SLOT);
	}
}

START_TEST(no_write_is_lost_while_a_file_is_copied_up)
{
	run_all(write_slot);
	ck_assert_uint_eq(
		nfs_attributes(fixture->client,
	                       nfs_find(fixture->client, root, "file"))
			.size,
		CLIENTS * SLOT);
	fixture_assert_text(fixture, "lower1/file", "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("concurrent");
	TCase *tcase = tcase_create("concurrent");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
	               clients_do_not_disturb_each_other_in_one_directory);
	tcase_add_test(tcase, a_name_is_one_client_s_or_another_s);
	tcase_add_test(tcase, a_guarded_file_is_made_once);
	tcase_add_test(tcase, no_write_is_lost_while_a_file_is_copied_up);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
