/*
 * Stable storage, as clients see it: how many flushes calls in flight together
 * take, which writes are stable, and what becomes of a flush that fails.
 */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"

#define CALLS 32
#define SYNC_OPTIONS "insecure,no_root_squash,sync"

static struct fixture *fixture;
static nfs_fh3 root, dir;

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_start(fixture, SYNC_OPTIONS, false);
	root = nfs_root(fixture->client);
	dir = nfs_find(fixture->client, root, "dir");
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* ---- a slow disk --------------------------------------------------------- */

static atomic_uint flushes;

static void flush_slowly(void)
{
	const struct timespec a_while = { .tv_nsec = 50000000 };

	atomic_fetch_add(&flushes, 1);
	nanosleep(&a_while, NULL);
}

/* The linker's --wrap puts these in the place of the system's. */
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_syncfs(int fd);

int __wrap_fsync(int fd)
{
	(void)fd;
	flush_slowly();
	return 0;
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	flush_slowly();
	return 0;
}

int __wrap_syncfs(int fd)
{
	(void)fd;
	flush_slowly();
	return 0;
}

/* ---- calls together ------------------------------------------------------ */

struct caller {
	pthread_t thread;
	struct client *client;
	pthread_barrier_t *barrier;
	nfsstat3 (*call)(struct client *client, const char *name);
	char name[32];
	nfsstat3 status;
};

static nfsstat3 call_create(struct client *client, const char *name)
{
	return nfs_create(client, dir, name, GUARDED, set_nothing())->status;
}

static nfsstat3 call_rename(struct client *client, const char *name)
{
	char to[40];

	snprintf(to, sizeof(to), "to-%s", name);
	return nfs_rename(client, dir, name, dir, to)->status;
}

static nfsstat3 call_remove(struct client *client, const char *name)
{
	char to[40];

	snprintf(to, sizeof(to), "to-%s", name);
	return nfs_remove(client, dir, to)->status;
}

static nfsstat3 call_mkdir(struct client *client, const char *name)
{
	return nfs_mkdir(client, dir, name, set_nothing())->status;
}

static void *run(void *arg)
{
	struct caller *caller = arg;

	pthread_barrier_wait(caller->barrier);
	caller->status = caller->call(caller->client, caller->name);
	return NULL;
}

/* How many flushes it takes to make so many calls at once. */
static unsigned flushes_of(const char *what,
                           nfsstat3 (*call)(struct client *, const char *))
{
	struct caller callers[CALLS];
	pthread_barrier_t barrier;
	unsigned n;

	pthread_barrier_init(&barrier, NULL, CALLS);
	atomic_store(&flushes, 0);
	for (unsigned i = 0; i < CALLS; i++) {
		callers[i].client = fixture_connect(fixture);
		callers[i].barrier = &barrier;
		callers[i].call = call;
		sprintf(callers[i].name, "name%u", i);
		ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, run,
		                                &callers[i]),
		                 0);
	}
	for (unsigned i = 0; i < CALLS; i++) {
		pthread_join(callers[i].thread, NULL);
		ck_assert_int_eq(callers[i].status, NFS3_OK);
		client_free(callers[i].client);
	}
	pthread_barrier_destroy(&barrier);
	n = atomic_load(&flushes);
	printf("%s: %u calls in flight, %u flushes\n", what, CALLS, n);
	return n;
}

START_TEST(calls_in_flight_in_one_directory_share_their_flushes)
{
	/* It is copied up, which is not what is counted. */
	ck_assert_int_eq(call_create(fixture->client, "first"), NFS3_OK);
	ck_assert_uint_le(flushes_of("CREATE", call_create), CALLS / 2);
	ck_assert_uint_le(flushes_of("RENAME", call_rename), CALLS / 2);
	ck_assert_uint_le(flushes_of("REMOVE", call_remove), CALLS / 2);
	ck_assert_uint_le(flushes_of("MKDIR", call_mkdir), CALLS / 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stable");
	TCase *tcase = tcase_create("stable");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
	               calls_in_flight_in_one_directory_share_their_flushes);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
