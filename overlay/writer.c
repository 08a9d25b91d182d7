#include "config.h"

#include "overlay/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "overlay/map.h"

#define INTERVAL_S 1

struct ovl_writer {
	atomic_uint refs;
	struct ovl_store *store;
	pthread_t thread; /* where it is started */

	/* Held while a batch is written; guards the maps. */
	pthread_mutex_t batch;
	struct ovl_map *maps[OVL_NTABLES];

	pthread_mutex_t lock; /* guards what follows; innermost */
	pthread_cond_t wake, written;
	bool started;
	bool awake; /* there is something to do */
	bool over;
	unsigned batches;
};

struct ovl_store *ovl_writer_store(struct ovl_writer *writer)
{
	return writer->store;
}

/* `batch` is held. */
static void write_batch(struct ovl_writer *writer)
{
	int err;

	ovl_store_begin(writer->store);
	for (unsigned i = 0; i < OVL_NTABLES; i++)
		if (writer->maps[i])
			ovl_map_write(writer->maps[i], writer->store);
	err = ovl_store_end(writer->store);
	for (unsigned i = 0; i < OVL_NTABLES; i++)
		if (writer->maps[i])
			ovl_map_written(writer->maps[i], err);
}

/* Until there is something to do, and `next` has come. False: it is over. */
static bool wait_for_work(struct ovl_writer *writer,
                          const struct timespec *next)
{
	bool go_on;

	pthread_mutex_lock(&writer->lock);
	while (!writer->over && !writer->awake)
		pthread_cond_wait(&writer->wake, &writer->lock);
	while (!writer->over &&
	       !pthread_cond_timedwait(&writer->wake, &writer->lock, next))
		;
	writer->awake = false;
	go_on = !writer->over;
	pthread_mutex_unlock(&writer->lock);
	return go_on;
}

static void *run(void *arg)
{
	struct ovl_writer *writer = arg;
	struct timespec next = { 0 };

	pthread_setname_np(pthread_self(), "handles"); /* for top(1) */
	while (wait_for_work(writer, &next)) {
		clock_gettime(CLOCK_MONOTONIC, &next);
		next.tv_sec += INTERVAL_S;
		pthread_mutex_lock(&writer->batch);
		write_batch(writer);
		pthread_mutex_unlock(&writer->batch);
		pthread_mutex_lock(&writer->lock);
		writer->batches++;
		pthread_cond_broadcast(&writer->written);
		pthread_mutex_unlock(&writer->lock);
	}
	return NULL;
}

static void init_conds(struct ovl_writer *writer)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &monotonic);
	pthread_cond_init(&writer->written, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void destroy(struct ovl_writer *writer)
{
	pthread_mutex_destroy(&writer->batch);
	pthread_mutex_destroy(&writer->lock);
	pthread_cond_destroy(&writer->wake);
	pthread_cond_destroy(&writer->written);
	free(writer);
}

int ovl_writer_new(struct ovl_store *store, struct ovl_writer **writer)
{
	struct ovl_writer *fresh = calloc(1, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	atomic_init(&fresh->refs, 1);
	fresh->store = store;
	pthread_mutex_init(&fresh->batch, NULL);
	pthread_mutex_init(&fresh->lock, NULL);
	init_conds(fresh);
	*writer = fresh;
	return 0;
}

/* Where there is none to be had, the next that wakes it tries again. Has `lock`. */
static void start(struct ovl_writer *writer)
{
	sigset_t all, old;

	if (writer->started)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	writer->started =
		pthread_create(&writer->thread, NULL, run, writer) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void ovl_writer_unref(struct ovl_writer *writer)
{
	if (!writer || atomic_fetch_sub(&writer->refs, 1) != 1)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->over = true;
	pthread_cond_signal(&writer->wake);
	pthread_mutex_unlock(&writer->lock);
	if (writer->started)
		pthread_join(writer->thread, NULL);
	ovl_store_close(writer->store);
	destroy(writer);
}

void ovl_writer_join(struct ovl_writer *writer, struct ovl_map *map,
                     enum ovl_table table)
{
	atomic_fetch_add(&writer->refs, 1);
	pthread_mutex_lock(&writer->batch);
	writer->maps[table] = map;
	pthread_mutex_unlock(&writer->batch);
}

void ovl_writer_leave(struct ovl_writer *writer, enum ovl_table table)
{
	pthread_mutex_lock(&writer->batch);
	write_batch(writer);
	writer->maps[table] = NULL;
	pthread_mutex_unlock(&writer->batch);
	ovl_writer_unref(writer);
}

void ovl_writer_wake(struct ovl_writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	start(writer);
	/* Most come while it knows, and only waits for its time. */
	if (!writer->awake)
		pthread_cond_signal(&writer->wake);
	writer->awake = true;
	pthread_mutex_unlock(&writer->lock);
}

void ovl_writer_wait(struct ovl_writer *writer)
{
	struct timespec until;
	unsigned batches;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += INTERVAL_S;
	/* Its thread may not have been to be had when it was woken. */
	ovl_writer_wake(writer);
	pthread_mutex_lock(&writer->lock);
	batches = writer->batches;
	while (writer->batches == batches &&
	       !pthread_cond_timedwait(&writer->written, &writer->lock, &until))
		;
	pthread_mutex_unlock(&writer->lock);
}
