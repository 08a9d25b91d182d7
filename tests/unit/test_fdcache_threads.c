/*
 * The descriptor cache under threads: descriptors are never mixed up, and no
 * write is taken for stable that is not.
 */
#include "config.h"

#include "overlay/fdcache.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/seed.h"

#define THREADS 4
#define FILES 40

/*
 * A file: `inode` knows it again, whatever descriptor it
 * is reached by. Writes are counted, and how many of them had been made when
 * the last flush began.
 */
static struct file {
	struct ovl_fdslot slot;
	int original;
	ino_t inode;
	atomic_uint written, stable;
} files[FILES];

static struct ovl_fdcache *cache;
static atomic_uint wrong;

static int new_num(void)
{
	int num = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(num, 0);
	return num;
}

static int note_flush(int num)
{
	struct stat st;
	unsigned written, stable;
	int i;

	if (fstat(num, &st) < 0) {
		atomic_fetch_add(&wrong, 1);
		return -1;
	}
	for (i = 0; i < FILES && files[i].inode != st.st_ino; i++)
		;
	ck_assert_int_lt(i, FILES);
	written = atomic_load(&files[i].written);
	sched_yield(); /* a flush takes its time */
	stable = atomic_load(&files[i].stable);
	while (stable < written && !atomic_compare_exchange_weak(
					   &files[i].stable, &stable, written))
		;
	return 0;
}

/* The linker's --wrap puts these in the place of the system's. */
int __wrap_fsync(int num);
int __wrap_fdatasync(int num);

int __wrap_fsync(int num)
{
	return note_flush(num);
}

int __wrap_fdatasync(int num)
{
	return note_flush(num);
}

static struct ovl_fd *use(struct file *file, bool may_wait)
{
	struct ovl_fd *fd = ovl_fdslot_get(cache, &file->slot);

	if (fd)
		return fd;
	return ovl_fdslot_fill(cache, &file->slot,
	                       fcntl(file->original, F_DUPFD_CLOEXEC, 0),
	                       may_wait);
}

struct worker {
	pthread_t thread;
	uint64_t random;
	unsigned written[FILES]; /* the count after its own last write */
};

/*
 * COMMIT: what this thread has written is stable afterwards, although the
 * descriptor that it went through may have been evicted meanwhile. Only who
 * clears a slot under its users must flush whatever it finds.
 */
static void commit(struct worker *worker, int i, struct ovl_fd *fd)
{
	bool cleared = i % 2;

	if (ovl_fd_flush(fd, false, cleared) < 0 ||
	    atomic_load(&files[i].stable) < worker->written[i])
		atomic_fetch_add(&wrong, 1);
}

static void act(struct worker *worker, int i, uint64_t random)
{
	struct ovl_fd *fd = use(&files[i], random & 1);
	struct stat st;

	if (fstat(ovl_fd_num(fd), &st) < 0 || st.st_ino != files[i].inode)
		atomic_fetch_add(&wrong, 1);
	switch (random >> 8 & 7) {
	case 0:
	case 1:
		worker->written[i] = atomic_fetch_add(&files[i].written, 1) + 1;
		ovl_fd_set_dirty(fd);
		break;
	case 2:
		commit(worker, i, fd);
		break;
	case 3:
		if (i % 2)
			ovl_fdslot_clear(cache, &files[i].slot, false);
		break;
	}
	ovl_fd_unref(cache, fd);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint64_t number;
	int i;

	for (i = 0; i < 20000; i++) {
		number = test_random(&worker->random);
		act(worker, (number >> 32) % FILES, number);
	}
	return NULL;
}

static void hear(void *arg, int result)
{
	(void)arg;
	if (result < 0)
		atomic_fetch_add(&wrong, 1);
}

static void open_files(void)
{
	struct stat st;
	int i;

	for (i = 0; i < FILES; i++) {
		files[i].original = new_num();
		ck_assert_int_eq(fstat(files[i].original, &st), 0);
		files[i].inode = st.st_ino;
	}
}

START_TEST(threads_share_it_and_no_write_is_lost)
{
	struct worker workers[THREADS] = { 0 };
	uint64_t seed = test_seed();
	int i, before, after;

	open_files();
	before = new_num();
	close(before);
	cache = ovl_fdcache_new(FILES / 4, hear, NULL);
	for (i = 0; i < THREADS; i++) {
		workers[i].random = seed + i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work,
		                                &workers[i]),
		                 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (i = 0; i < FILES; i++) {
		ovl_fdslot_clear(cache, &files[i].slot, false);
		ck_assert_uint_eq(atomic_load(&files[i].stable),
		                  atomic_load(&files[i].written));
	}
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	ck_assert_uint_eq(ovl_fdcache_count(cache), 0);
	ovl_fdcache_free(cache);
	after = new_num(); /* the lowest free number: none has leaked */
	ck_assert_int_eq(after, before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fdcache_threads");
	TCase *tcase = tcase_create("fdcache_threads");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, threads_share_it_and_no_write_is_lost);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
