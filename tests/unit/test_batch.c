/*
 * Group commit: who shares a flush with whom, and who hears of its failure. The
 * flushes are stand-ins, which last until the test lets them end.
 */
#include "config.h"

#include "overlay/batch.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <time.h>

#include "tree.h"

#define OTHERS 8

/* The batch's marker, and objects; never opened, but for one test. */
enum { MARKER = 1000, OBJECT };

static struct ovl_batch batch;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Guarded by `lock`. */
static struct {
	bool closed;     /* flushes wait */
	unsigned inside; /* that wait, or have waited */
	unsigned fsyncs, syncfss, marks;
	unsigned of[64]; /* fsyncs, by object */
	int failing;     /* the object whose fsync fails, or the marker */
	unsigned heard, failures;
} disk;

static int flush_on_disk(int fd, unsigned *count)
{
	bool fails;

	pthread_mutex_lock(&lock);
	++*count;
	if (fd >= OBJECT)
		disk.of[fd - OBJECT]++;
	disk.inside++;
	pthread_cond_broadcast(&changed);
	while (disk.closed)
		pthread_cond_wait(&changed, &lock);
	fails = disk.failing == fd;
	pthread_mutex_unlock(&lock);
	errno = EIO;
	return fails ? -1 : 0;
}

/* The linker's --wrap puts these in the place of the system's. */
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);
int __wrap_futimens(int fd, const struct timespec times[2]);

int __wrap_fsync(int fd)
{
	return flush_on_disk(fd, &disk.fsyncs);
}

int __wrap_syncfs(int fd)
{
	return flush_on_disk(fd, &disk.syncfss);
}

int __wrap_futimens(int fd, const struct timespec times[2])
{
	ck_assert_int_eq(fd, MARKER);
	ck_assert_ptr_null(times);
	pthread_mutex_lock(&lock);
	disk.marks++;
	pthread_mutex_unlock(&lock);
	return 0;
}

static void hear(void *arg, int result)
{
	ck_assert_ptr_eq(arg, &batch);
	pthread_mutex_lock(&lock);
	disk.heard++;
	disk.failures += result != 0;
	pthread_mutex_unlock(&lock);
}

static void set_closed(bool closed)
{
	pthread_mutex_lock(&lock);
	disk.closed = closed;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void open_batch(enum ovl_batch_way way)
{
	memset(&disk, 0, sizeof(disk));
	ovl_batch_init(&batch, MARKER, hear, &batch);
	batch.way = way;
}

/* ---- calls ------------------------------------------------------------------ */

struct call {
	pthread_t thread;
	int fds[2];
	unsigned n;
	int result;
	bool over; /* guarded by `lock` */
};

static void *run(void *arg)
{
	struct call *call = arg;

	call->result = ovl_batch_flush(&batch, call->fds, call->n);
	pthread_mutex_lock(&lock);
	call->over = true;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void start(struct call *call)
{
	ck_assert_int_eq(pthread_create(&call->thread, NULL, run, call), 0);
}

/* What came of it. */
static int end(struct call *call)
{
	pthread_join(call->thread, NULL);
	return call->result;
}

static void await_flush(unsigned inside)
{
	pthread_mutex_lock(&lock);
	while (disk.inside < inside)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static unsigned gathered(void)
{
	unsigned n;

	pthread_mutex_lock(&batch.lock);
	n = batch.ngathered;
	pthread_mutex_unlock(&batch.lock);
	return n;
}

/*
 * One call that flushes, and others that have come meanwhile and wait for the
 * next flush; the first one's may end.
 */
static void gather(struct call *first, struct call others[OTHERS])
{
	set_closed(true);
	start(first);
	await_flush(1);
	for (unsigned i = 0; i < OTHERS; i++)
		start(&others[i]);
	while (gathered() < OTHERS)
		sched_yield();
	for (unsigned i = 0; i < OTHERS; i++) {
		pthread_mutex_lock(&lock);
		ck_assert(!others[i].over);
		pthread_mutex_unlock(&lock);
	}
}

/* ---- in order ------------------------------------------------------------------ */

START_TEST(the_log_is_flushed_by_a_change_of_ones_own)
{
	open_batch(OVL_BATCH_IN_ORDER);
	ck_assert_int_eq(ovl_batch_flush(&batch, NULL, 0), 0);
	ck_assert_int_eq(ovl_batch_flush(&batch, (int[]){ OBJECT }, 1), 0);
	ck_assert_uint_eq(disk.marks, 2);
	ck_assert_uint_eq(disk.fsyncs, 2);
	ck_assert_uint_eq(disk.of[0], 0);
	ck_assert_uint_eq(disk.heard, 2);
	ovl_batch_release(&batch);
}
END_TEST

START_TEST(who_comes_during_a_flush_shares_the_next)
{
	struct call first = { 0 }, others[OTHERS] = { 0 };

	open_batch(OVL_BATCH_IN_ORDER);
	gather(&first, others);
	set_closed(false);
	ck_assert_int_eq(end(&first), 0);
	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(end(&others[i]), 0);
	ck_assert_uint_eq(disk.fsyncs, 2);
	ck_assert_uint_eq(disk.marks, 2);
	ovl_batch_release(&batch);
}
END_TEST

START_TEST(a_failure_is_told_to_all_who_shared_the_flush)
{
	struct call first = { 0 }, others[OTHERS] = { 0 };

	open_batch(OVL_BATCH_IN_ORDER);
	disk.failing = MARKER;
	gather(&first, others);
	set_closed(false);
	ck_assert_int_eq(end(&first), -EIO);
	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(end(&others[i]), -EIO);
	ck_assert_uint_eq(disk.failures, 2);
	disk.failing = 0;
	ck_assert_int_eq(ovl_batch_flush(&batch, NULL, 0), 0);
	ovl_batch_release(&batch);
}
END_TEST

/* ---- object by object ------------------------------------------------------------- */

/* Objects 0 and 1 are the first's, 1 all the others' and 2.. one's own each. */
static void share_objects(enum ovl_batch_way way, int failing, int results[])
{
	struct call first = { .fds = { OBJECT, OBJECT + 1 }, .n = 2 };
	struct call others[OTHERS];

	open_batch(way);
	disk.failing = failing;
	for (int i = 0; i < OTHERS; i++)
		others[i] = (struct call){
			.fds = { OBJECT + 2 + i, OBJECT + 1 },
			.n = 2,
		};
	gather(&first, others);
	set_closed(false);
	ck_assert_int_eq(end(&first), failing == OBJECT + 1 ? -EIO : 0);
	for (unsigned i = 0; i < OTHERS; i++)
		results[i] = end(&others[i]);
	ovl_batch_release(&batch);
}

START_TEST(each_object_is_flushed_once_a_batch)
{
	int results[OTHERS];

	share_objects(OVL_BATCH_EACH, 0, results);
	ck_assert_uint_eq(disk.of[0], 1);
	ck_assert_uint_eq(disk.of[1], 2);
	for (unsigned i = 0; i < OTHERS; i++) {
		ck_assert_int_eq(results[i], 0);
		ck_assert_uint_eq(disk.of[2 + i], 1);
	}
	ck_assert_uint_eq(disk.syncfss, 0);
	ck_assert_uint_eq(disk.marks, 0);
	ck_assert_uint_eq(disk.heard, disk.fsyncs);
}
END_TEST

START_TEST(a_failure_is_told_to_all_whose_object_it_was)
{
	int results[OTHERS];

	share_objects(OVL_BATCH_EACH, OBJECT + 4, results);
	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(results[i], i == 2 ? -EIO : 0);
	share_objects(OVL_BATCH_EACH, OBJECT + 1, results);
	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(results[i], -EIO);
}
END_TEST

START_TEST(many_objects_are_flushed_with_all_that_there_is)
{
	int results[OTHERS];

	share_objects(OVL_BATCH_EACH_OR_ALL, 0, results);
	ck_assert_uint_eq(disk.fsyncs, 2); /* the first's */
	ck_assert_uint_eq(disk.syncfss, 1);
	share_objects(OVL_BATCH_EACH_OR_ALL, MARKER, results);
	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(results[i], -EIO);
	ck_assert_uint_eq(disk.failures, 1);
}
END_TEST

/* ---- filesystems -------------------------------------------------------------------- */

START_TEST(a_filesystem_that_nobody_knows_is_flushed_object_by_object)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	ovl_batch_init(&batch, fd, hear, &batch);
	ck_assert_int_eq(batch.way, OVL_BATCH_EACH);
	ovl_batch_release(&batch);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("batch");
	TCase *tcase = tcase_create("batch");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, the_log_is_flushed_by_a_change_of_ones_own);
	tcase_add_test(tcase, who_comes_during_a_flush_shares_the_next);
	tcase_add_test(tcase, a_failure_is_told_to_all_who_shared_the_flush);
	tcase_add_test(tcase, each_object_is_flushed_once_a_batch);
	tcase_add_test(tcase, a_failure_is_told_to_all_whose_object_it_was);
	tcase_add_test(tcase, many_objects_are_flushed_with_all_that_there_is);
	tcase_add_test(
		tcase,
		a_filesystem_that_nobody_knows_is_flushed_object_by_object);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
