/*
 * Stable storage, as clients see it: how many flushes calls in flight together
 * take, which writes are stable, and what becomes of a flush that fails.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>

#include "tests/lib/behind.h"
#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define CALLS 32
#define OTHERS 16 /* files in the upper layer */
#define SYNC_OPTIONS "insecure,no_root_squash,sync"

static struct fixture *fixture;
static nfs_fh3 root, dir;

static void start(const char *options)
{
	fixture_start(fixture, options, false);
	root = nfs_root(fixture->client);
	dir = nfs_find(fixture->client, root, "dir");
}

static void setup(void)
{
	char name[32];

	fixture = fixture_new(1);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	for (unsigned i = 0; i < OTHERS; i++) {
		snprintf(name, sizeof(name), "upper/other%u", i);
		fixture_write(fixture, name, "text", 0644);
	}
	start(SYNC_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* ---- a slow disk --------------------------------------------------------- */

static atomic_uint flushes;
static atomic_bool fails;

static int flush_slowly(void)
{
	const struct timespec a_while = { .tv_nsec = 50000000 };

	if (is_behind())
		return 0;
	atomic_fetch_add(&flushes, 1);
	nanosleep(&a_while, NULL);
	errno = EIO;
	return atomic_load(&fails) ? -1 : 0;
}

/* The linker's --wrap puts these in the place of the system's. */
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_syncfs(int fd);

int __wrap_fsync(int fd)
{
	(void)fd;
	return flush_slowly();
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	return flush_slowly();
}

int __wrap_syncfs(int fd)
{
	(void)fd;
	return flush_slowly();
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

/* Elsewhere what is made has a flush of its own, and the directory alone is shared. */
static bool shares_what_is_made(void)
{
	struct statfs fs;

	ck_assert_int_eq(fstatfs(fixture->topfd, &fs), 0);
	switch ((uint32_t)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

START_TEST(calls_in_flight_in_one_directory_share_their_flushes)
{
	unsigned made = (shares_what_is_made() ? 0 : CALLS) + CALLS / 2;

	/* It is copied up, which is not what is counted. */
	ck_assert_int_eq(call_create(fixture->client, "first"), NFS3_OK);
	ck_assert_uint_le(flushes_of("CREATE", call_create), made);
	ck_assert_uint_le(flushes_of("RENAME", call_rename), CALLS / 2);
	ck_assert_uint_le(flushes_of("REMOVE", call_remove), CALLS / 2);
	ck_assert_uint_le(flushes_of("MKDIR", call_mkdir), made);
}
END_TEST

/* ---- levels -------------------------------------------------------------- */

/* How many flushes a write of that level takes; it says no less. */
static unsigned flushes_of_write(nfs_fh3 file, stable_how how)
{
	WRITE3res *res;

	atomic_store(&flushes, 0);
	res = nfs_write(fixture->client, file, 0, "text", 4, how);
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_int_ge(res->WRITE3res_u.resok.committed, how);
	return atomic_load(&flushes);
}

static unsigned flushes_of_commit(nfs_fh3 file, uint64_t offset, uint32_t count)
{
	atomic_store(&flushes, 0);
	ck_assert_int_eq(
		nfs_commit(fixture->client, file, offset, count)->status,
		NFS3_OK);
	return atomic_load(&flushes);
}

START_TEST(a_write_is_as_stable_as_was_asked)
{
	nfs_fh3 file = nfs_new_file(fixture->client, dir, "new", 0644);

	ck_assert_uint_eq(flushes_of_write(file, UNSTABLE), 0);
	ck_assert_uint_eq(flushes_of_commit(file, 0, 0), 1);
	ck_assert_uint_eq(flushes_of_commit(file, 0, 0), 0);
	ck_assert_uint_eq(flushes_of_write(file, DATA_SYNC), 1);
	ck_assert_uint_eq(flushes_of_write(file, FILE_SYNC), 1);
	ck_assert_uint_eq(flushes_of_commit(file, 0, 0), 0);
}
END_TEST

/* What the range leaves out may be flushed as well. */
START_TEST(a_commit_of_a_range_flushes_it)
{
	nfs_fh3 file = nfs_new_file(fixture->client, dir, "new", 0644);

	ck_assert_uint_eq(flushes_of_write(file, UNSTABLE), 0);
	ck_assert_uint_eq(flushes_of_commit(file, 1, 2), 1);
	ck_assert_uint_eq(flushes_of_write(file, UNSTABLE), 0);
	ck_assert_uint_eq(flushes_of_commit(file, INT64_MAX, UINT32_MAX), 1);
	ck_assert_uint_eq(flushes_of_write(file, UNSTABLE), 0);
	ck_assert_uint_eq(flushes_of_commit(file, UINT64_MAX, 1), 1);
}
END_TEST

START_TEST(async_and_volatile_answer_first)
{
	static const char *const options[] = {
		"insecure,no_root_squash,async",
		"insecure,no_root_squash,volatile",
	};
	nfs_fh3 file;

	fixture_stop(fixture);
	start(options[_i]);
	/* The directory is copied up; the order of that may need a flush. */
	nfs_new_file(fixture->client, dir, "first", 0644);
	atomic_store(&flushes, 0);
	nfs_new_file(fixture->client, dir, "new", 0644);
	ck_assert_int_eq(call_rename(fixture->client, "new"), NFS3_OK);
	ck_assert_int_eq(call_remove(fixture->client, "new"), NFS3_OK);
	ck_assert_int_eq(call_mkdir(fixture->client, "new"), NFS3_OK);
	ck_assert_uint_eq(atomic_load(&flushes), 0);
	file = nfs_new_file(fixture->client, dir, "other", 0644);
	for (stable_how how = UNSTABLE; how <= FILE_SYNC; how++)
		ck_assert_uint_eq(flushes_of_write(file, how), 0);
	ck_assert_uint_eq(flushes_of_commit(file, 0, 0), 0);
}
END_TEST

/* ---- flushes that fail ------------------------------------------------------- */

static uint64_t verifier_now(nfs_fh3 file)
{
	uint64_t verifier;

	memcpy(&verifier,
	       nfs_write(fixture->client, file, 0, "text", 4, UNSTABLE)
	               ->WRITE3res_u.resok.verf,
	       sizeof(verifier));
	return verifier;
}

static uint64_t verifier_of_commit(nfs_fh3 file)
{
	COMMIT3res *res = nfs_commit(fixture->client, file, 0, 0);
	uint64_t verifier;

	ck_assert_int_eq(res->status, NFS3_OK);
	memcpy(&verifier, res->COMMIT3res_u.resok.verf, sizeof(verifier));
	return verifier;
}

/* Trap 18. */
START_TEST(a_stable_write_that_does_not_reach_the_disk_changes_the_verifier)
{
	nfs_fh3 file = nfs_new_file(fixture->client, dir, "new", 0644);
	uint64_t verifier = verifier_now(file);

	atomic_store(&fails, true);
	ck_assert_int_eq(nfs_write(fixture->client, file, 0, "text", 4,
	                           (stable_how)_i)
	                         ->status,
	                 NFS3ERR_IO);
	atomic_store(&fails, false);
	ck_assert_uint_ne(verifier_of_commit(file), verifier);
}
END_TEST

/* Trap 18: the log is where data of all files is lost. */
START_TEST(a_change_that_does_not_reach_the_disk_changes_the_verifier)
{
	nfs_fh3 file = nfs_new_file(fixture->client, dir, "new", 0644);
	uint64_t verifier = verifier_now(file);

	atomic_store(&fails, true);
	ck_assert_int_eq(call_mkdir(fixture->client, "dir"), NFS3ERR_IO);
	atomic_store(&fails, false);
	ck_assert_uint_ne(verifier_of_commit(file), verifier);
}
END_TEST

/* The write-back's error would be told to nobody after that. */
START_TEST(a_descriptor_that_is_closed_first_is_flushed_and_its_failure_told)
{
	nfs_fh3 file, other;
	uint64_t verifier;
	char name[16];

	fixture_stop(fixture);
	fixture->max_files = 4;
	start(SYNC_OPTIONS);
	file = nfs_new_file(fixture->client, dir, "new", 0644);
	verifier = verifier_now(file);
	atomic_store(&flushes, 0);
	atomic_store(&fails, true);
	/* Others' descriptors take its place. */
	for (unsigned i = 0; i < OTHERS && !atomic_load(&flushes); i++) {
		snprintf(name, sizeof(name), "other%u", i);
		other = nfs_find(fixture->client, root, name);
		nfs_read(fixture->client, other, 0, 10);
	}
	ck_assert_uint_ge(atomic_load(&flushes), 1);
	atomic_store(&fails, false);
	ck_assert_uint_ne(verifier_of_commit(file), verifier);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stable");
	TCase *tcase = tcase_create("stable");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
	               calls_in_flight_in_one_directory_share_their_flushes);
	tcase_add_test(tcase, a_write_is_as_stable_as_was_asked);
	tcase_add_test(tcase, a_commit_of_a_range_flushes_it);
	tcase_add_loop_test(tcase, async_and_volatile_answer_first, 0, 2);
	tcase_add_loop_test(
		tcase,
		a_stable_write_that_does_not_reach_the_disk_changes_the_verifier,
		DATA_SYNC, FILE_SYNC + 1);
	tcase_add_test(
		tcase,
		a_change_that_does_not_reach_the_disk_changes_the_verifier);
	tcase_add_test(
		tcase,
		a_descriptor_that_is_closed_first_is_flushed_and_its_failure_told);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
