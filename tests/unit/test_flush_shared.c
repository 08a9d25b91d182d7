/*
 * Changes in flight together, in one directory: how many flushes they take. The
 * first flush lasts until all others have come to wait for the next one, which
 * they do only if nobody holds the directory's lock meanwhile.
 */
#include "config.h"

#include <pthread.h>
#include <sched.h>

#include "overlay/fs.h"
#include "tests/lib/behind.h"

#include "stage.h"

#define CALLS 32

static atomic_bool first_waits; /* for the others */

static unsigned gathered(void)
{
	unsigned n;

	pthread_mutex_lock(&fs->batch.lock);
	n = fs->batch.ngathered;
	pthread_mutex_unlock(&fs->batch.lock);
	return n;
}

/* The linker's --wrap puts these in the place of the system's. */
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);

int __wrap_fsync(int fd)
{
	if (!is_behind() && atomic_exchange(&first_waits, false))
		while (gathered() < CALLS - 1)
			sched_yield();
	return __real_fsync(fd);
}

/* Not for the whole of the disk that the tests run on. */
int __wrap_syncfs(int fd)
{
	(void)fd;
	return 0;
}

/* ---- calls ------------------------------------------------------------------ */

static int call_create(unsigned i, const char *name)
{
	(void)i;
	return make_file("dir", name);
}

static int call_mkdir(unsigned i, const char *name)
{
	(void)i;
	return make_dir("dir", name);
}

static int call_rename(unsigned i, const char *name)
{
	char to[32];

	snprintf(to, sizeof(to), "to%u", i);
	return rename_name("dir", name, "dir", to);
}

static int call_setattr(unsigned i, const char *name)
{
	struct ovl_setattr mode = { .has_mode = true, .mode = 0600 };
	struct ovl_node *node;
	char path[64];
	int err;

	(void)i;
	snprintf(path, sizeof(path), "dir/%s", name);
	node = get(path);
	err = ovl_setattr(fs, &root, node, &mode, NULL, NULL);
	ovl_node_unref(node);
	return err;
}

static int call_remove(unsigned i, const char *name)
{
	(void)i;
	return remove_name("dir", name);
}

static const struct kind {
	const char *name;
	int (*call)(unsigned i, const char *name);
	bool makes; /* what it works on: else that is there */
} kinds[] = {
	{ "CREATE", call_create, true },
	{ "MKDIR", call_mkdir, true },
	{ "RENAME", call_rename, false },
	{ "REMOVE", call_remove, false },
	/* A file's attributes share with others' only in a log. */
	{ "SETATTR", call_setattr, false },
};

struct caller {
	pthread_t thread;
	const struct kind *kind;
	unsigned number;
	int result;
};

static void *run(void *arg)
{
	struct caller *caller = arg;
	char name[32];

	snprintf(name, sizeof(name), "name%u", caller->number);
	caller->result = caller->kind->call(caller->number, name);
	return NULL;
}

static uint64_t flushes(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats.flushes;
}

/* How many flushes so many calls of this kind take. */
static unsigned flushes_of(const struct kind *kind)
{
	struct caller callers[CALLS];
	uint64_t before = flushes();

	atomic_store(&first_waits, true);
	for (unsigned i = 0; i < CALLS; i++) {
		callers[i] = (struct caller){ .kind = kind, .number = i };
		ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, run,
		                                &callers[i]),
		                 0);
	}
	for (unsigned i = 0; i < CALLS; i++) {
		pthread_join(callers[i].thread, NULL);
		ck_assert_int_eq(callers[i].result, 0);
	}
	return (unsigned)(flushes() - before);
}

static void open_with(const struct kind *kind, enum ovl_batch_way way)
{
	char name[32];

	tree_mkdir("up/dir");
	stage.sync = OVL_SYNC;
	stage_open();
	fs->batch.way = way;
	for (unsigned i = 0; i < CALLS && !kind->makes; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		ck_assert_int_eq(make_file("dir", name), 0);
	}
}

static void say(const struct kind *kind, unsigned n)
{
	printf("%s: %u calls in flight, %u flushes\n", kind->name, CALLS, n);
}

START_TEST(calls_in_flight_share_a_flush_of_a_log_in_order)
{
	unsigned n;

	open_with(&kinds[_i], OVL_BATCH_IN_ORDER);
	n = flushes_of(&kinds[_i]);
	say(&kinds[_i], n);
	ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(calls_in_flight_share_a_flush_of_all_that_there_is)
{
	unsigned n;

	open_with(&kinds[_i], OVL_BATCH_EACH_OR_ALL);
	n = flushes_of(&kinds[_i]);
	say(&kinds[_i], n);
	/* The first may have made something, besides the directory. */
	ck_assert_uint_le(n, 3);
}
END_TEST

START_TEST(calls_in_flight_share_the_flush_of_their_directory)
{
	unsigned n;

	open_with(&kinds[_i], OVL_BATCH_EACH);
	n = flushes_of(&kinds[_i]);
	say(&kinds[_i], n);
	/* What each has made is its own. */
	ck_assert_uint_eq(n, kinds[_i].makes ? CALLS + 2 : 2);
}
END_TEST

int main(void)
{
	const int n = sizeof(kinds) / sizeof(kinds[0]);
	Suite *suite = suite_create("flush_shared");
	TCase *tcase = tcase_create("flush_shared");

	tcase_add_loop_test(
		tcase, calls_in_flight_share_a_flush_of_a_log_in_order, 0, n);
	tcase_add_loop_test(tcase,
	                    calls_in_flight_share_a_flush_of_all_that_there_is,
	                    0, n - 1);
	tcase_add_loop_test(tcase,
	                    calls_in_flight_share_the_flush_of_their_directory,
	                    0, n - 1);
	return stage_run(suite, tcase);
}
