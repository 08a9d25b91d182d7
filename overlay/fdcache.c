#include "config.h"

#include "overlay/fdcache.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "overlay/heap.h"
#include "overlay/spread.h"
#include "overlay/sync.h"

#define SHARD_BITS 4
#define SHARDS (1u << SHARD_BITS)
/* How many one call closes at most: what other calls left is shared out. */
#define TRIM_MAX 8
/* In a cache of so many, one of the oldest is closed for the oldest. */
#define LARGE 1024

/*
 * A descriptor is in one of three states, told by `users` and `slot`:
 *   in use    users > 0
 *   idle      users = 0, slot set: in a list of its shard, may be evicted
 *   leaving   users = 0, slot NULL: it belongs to the thread that made it so,
 *             which closes it
 * Eviction and clearing are users as well while they flush: who looks into the
 * slot meanwhile gets this descriptor, still dirty, and not a second one, clean,
 * with which a COMMIT would find nothing to do.
 */
struct ovl_fd {
	struct ovl_fdcache *cache;
	struct shard *shard;
	int num;

	/* Guarded by the shard's lock. */
	struct ovl_fdslot *slot;
	unsigned users;
	bool discard;
	uint64_t used;          /* the cache's clock when it became idle */
	struct idle_list *idle; /* that it is in */
	TAILQ_ENTRY(ovl_fd) link;

	/*
	 * Writes counted, and how many of them are known to be stable: their
	 * data, and all that belongs to them. They move only while there is a
	 * user. A plain flag would not do: cleared before the flush, another
	 * flush would find nothing to wait for; cleared after it, a write that
	 * landed meanwhile would be forgotten.
	 */
	atomic_uint_least64_t written, stable_data, stable;
	/* Held while flushing; of locks only the batch's is taken in it. */
	pthread_mutex_t flushing;
};

TAILQ_HEAD(idle_list, ovl_fd); /* oldest first */

struct shard {
	/* Guards the slots, the lists, and what descriptors say it guards. */
	pthread_mutex_t lock;
	struct idle_list clean, dirty;
} __attribute__((aligned(64))); /* no two locks in one cache line */

struct ovl_fdcache {
	struct shard shards[SHARDS];
	unsigned max;
	ovl_flushed_fn *flushed;
	void *arg;
	atomic_size_t count;
	/*
	 * Counts fills, and so tells the older of two shards' descriptors: a
	 * clock that moves as fast as eviction does, and that is only read by
	 * those who find their descriptor in the cache.
	 */
	atomic_uint_least64_t clock;
};

struct ovl_fdcache *ovl_fdcache_new(unsigned max, ovl_flushed_fn *flushed,
                                    void *arg)
{
	struct ovl_fdcache *cache;
	unsigned i;

	cache = ovl_heap_aligned(_Alignof(struct ovl_fdcache), sizeof(*cache));
	if (!cache)
		return NULL;
	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&cache->shards[i].lock, NULL);
		TAILQ_INIT(&cache->shards[i].clean);
		TAILQ_INIT(&cache->shards[i].dirty);
	}
	cache->max = max;
	cache->flushed = flushed;
	cache->arg = arg;
	atomic_init(&cache->count, 0);
	atomic_init(&cache->clock, 0);
	return cache;
}

void ovl_fdcache_free(struct ovl_fdcache *cache)
{
	unsigned i;

	if (!cache)
		return;
	assert(atomic_load(&cache->count) == 0);
	for (i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&cache->shards[i].lock);
	free(cache);
}

size_t ovl_fdcache_count(struct ovl_fdcache *cache)
{
	return atomic_load_explicit(&cache->count, memory_order_relaxed);
}

/* ---- one descriptor ------------------------------------------------------ */

static struct ovl_fd *new_fd(struct ovl_fdcache *cache, int num)
{
	struct ovl_fd *fd = calloc(1, sizeof(*fd));

	if (!fd)
		return NULL;
	fd->cache = cache;
	fd->num = num;
	atomic_init(&fd->written, 0);
	atomic_init(&fd->stable_data, 0);
	atomic_init(&fd->stable, 0);
	pthread_mutex_init(&fd->flushing, NULL);
	return fd;
}

static void free_fd(struct ovl_fd *fd)
{
	close(fd->num);
	pthread_mutex_destroy(&fd->flushing);
	free(fd);
}

static bool is_dirty(const struct ovl_fd *fd)
{
	return atomic_load(&fd->written) != atomic_load(&fd->stable);
}

int ovl_fd_num(const struct ovl_fd *fd)
{
	return fd->num;
}

void ovl_fd_set_dirty(struct ovl_fd *fd)
{
	atomic_fetch_add(&fd->written, 1);
}

int ovl_fd_flush(struct ovl_fd *fd, bool metadata, bool always)
{
	atomic_uint_least64_t *stable =
		metadata ? &fd->stable : &fd->stable_data;
	struct ovl_fdcache *cache = fd->cache;
	uint64_t written;
	int ret = 0;

	/*
	 * One at a time, and the failure told before the next: the kernel tells
	 * a failure of write-back to the first who asks, and the second, who is
	 * told that all is well, must not answer with the old verifier.
	 */
	pthread_mutex_lock(&fd->flushing);
	written = atomic_load(&fd->written);
	if (always || written != atomic_load(stable)) {
		ret = ovl_sync_fd(fd->num,
		                  metadata ? OVL_SYNC_FILE : OVL_SYNC_DATA);
		if (ret == 0)
			atomic_store(&fd->stable_data, written);
		if (ret == 0 && metadata)
			atomic_store(&fd->stable, written);
		if (cache->flushed)
			cache->flushed(cache->arg, ret);
	}
	pthread_mutex_unlock(&fd->flushing);
	return ret;
}

void ovl_fd_flush_begin(struct ovl_fd *fd)
{
	if (fd)
		pthread_mutex_lock(&fd->flushing);
}

void ovl_fd_flush_end(struct ovl_fd *fd)
{
	if (fd)
		pthread_mutex_unlock(&fd->flushing);
}

/* Close a descriptor that is leaving. */
static void close_fd(struct ovl_fd *fd)
{
	struct ovl_fdcache *cache = fd->cache;

	if (!fd->discard && is_dirty(fd))
		ovl_fd_flush(fd, true, false);
	free_fd(fd);
	atomic_fetch_sub(&cache->count, 1);
}

/* ---- users; the shard's lock is held ------------------------------------- */

static void add_user(struct ovl_fd *fd)
{
	if (fd->users++ > 0)
		return;
	if (fd->idle)
		TAILQ_REMOVE(fd->idle, fd, link);
	fd->idle = NULL;
}

/* True: it is leaving, and the caller's to close, without the lock. */
static bool drop_user(struct ovl_fd *fd)
{
	if (--fd->users > 0)
		return false;
	if (!fd->slot)
		return true;
	fd->used =
		atomic_load_explicit(&fd->cache->clock, memory_order_relaxed);
	fd->idle = is_dirty(fd) ? &fd->shard->dirty : &fd->shard->clean;
	TAILQ_INSERT_TAIL(fd->idle, fd, link);
	return false;
}

static void leave_slot(struct ovl_fd *fd)
{
	if (fd->slot)
		fd->slot->held = NULL;
	fd->slot = NULL;
}

/* ---- the bound ----------------------------------------------------------- */

/* What is to be evicted first from a shard; its lock is held. */
static struct ovl_fd *oldest_in(struct shard *shard, bool may_wait)
{
	struct ovl_fd *clean = TAILQ_FIRST(&shard->clean);
	struct ovl_fd *dirty = may_wait ? TAILQ_FIRST(&shard->dirty) : NULL;

	if (clean && dirty)
		return clean->used <= dirty->used ? clean : dirty;
	return clean ? clean : dirty;
}

/*
 * Whether so many have been filled since that few can have been idle longer: all
 * shards need not be asked for one.
 */
static bool is_old(const struct ovl_fdcache *cache, const struct ovl_fd *fd)
{
	const uint64_t now =
		atomic_load_explicit(&cache->clock, memory_order_relaxed);

	return cache->max >= LARGE &&
	       now - fd->used >= cache->max - cache->max / 8;
}

/* Become a user of an old descriptor of that shard, or NULL. */
static struct ovl_fd *take_near(struct ovl_fdcache *cache, struct shard *near,
                                bool may_wait)
{
	struct ovl_fd *fd;

	pthread_mutex_lock(&near->lock);
	fd = oldest_in(near, may_wait);
	if (fd && !is_old(cache, fd))
		fd = NULL;
	if (fd)
		add_user(fd);
	pthread_mutex_unlock(&near->lock);
	return fd;
}

/* Become a user of the descriptor that has been idle longest, or NULL. */
static struct ovl_fd *take_oldest(struct ovl_fdcache *cache, bool may_wait)
{
	struct shard *shard, *best = NULL;
	uint64_t used = 0;
	struct ovl_fd *fd;
	unsigned i;

	for (i = 0; i < SHARDS; i++) {
		shard = &cache->shards[i];
		pthread_mutex_lock(&shard->lock);
		fd = oldest_in(shard, may_wait);
		if (fd && (!best || fd->used < used)) {
			best = shard;
			used = fd->used;
		}
		pthread_mutex_unlock(&shard->lock);
	}
	if (!best)
		return NULL;

	/* It may be another by now, hardly younger: that one will do. */
	pthread_mutex_lock(&best->lock);
	fd = oldest_in(best, may_wait);
	if (fd)
		add_user(fd);
	pthread_mutex_unlock(&best->lock);
	return fd;
}

/* Close one idle descriptor. False: there is none that may be. */
static bool evict(struct ovl_fdcache *cache, struct shard *near, bool may_wait)
{
	struct ovl_fd *fd = take_near(cache, near, may_wait);
	bool last, failed = false;
	uint64_t written;

	if (!fd)
		fd = take_oldest(cache, may_wait);
	if (!fd)
		return false;
	written = atomic_load(&fd->written);
	if (is_dirty(fd))
		failed = ovl_fd_flush(fd, true, false) < 0;

	pthread_mutex_lock(&fd->shard->lock);
	/* What failed has been told; but there may be new users and writes. */
	failed = failed && written == atomic_load(&fd->written);
	if (fd->users == 1 && (failed || !is_dirty(fd))) {
		fd->discard |= failed;
		leave_slot(fd);
	}
	last = drop_user(fd);
	pthread_mutex_unlock(&fd->shard->lock);
	if (last)
		close_fd(fd);
	return true;
}

/* `near`: that what made the cache too large is in. */
static void trim(struct ovl_fdcache *cache, struct shard *near, bool may_wait)
{
	unsigned i;

	for (i = 0; i < TRIM_MAX; i++) {
		if (ovl_fdcache_count(cache) <= cache->max)
			return;
		if (!evict(cache, near, may_wait))
			return;
	}
}

/* Nobody finds what was written through it any more, and it is not closed yet. */
static bool is_astray(const struct ovl_fd *fd)
{
	return !fd->slot && fd->users > 1 && !fd->discard && is_dirty(fd);
}

void ovl_fd_unref(struct ovl_fdcache *cache, struct ovl_fd *fd)
{
	struct shard *shard = fd->shard;
	bool last;

	pthread_mutex_lock(&shard->lock);
	/* It may be the caller who wrote; another may go on reading for long. */
	if (is_astray(fd)) {
		pthread_mutex_unlock(&shard->lock);
		ovl_fd_flush(fd, true, false);
		pthread_mutex_lock(&shard->lock);
	}
	last = drop_user(fd);
	pthread_mutex_unlock(&shard->lock);
	if (last)
		close_fd(fd);
	else
		trim(cache, shard, false);
}

/* ---- slots --------------------------------------------------------------- */

static struct shard *lock_shard(struct ovl_fdcache *cache,
                                const struct ovl_fdslot *slot)
{
	const uint64_t hash = ovl_spread((uintptr_t)slot);
	struct shard *shard = &cache->shards[hash >> (64 - SHARD_BITS)];

	pthread_mutex_lock(&shard->lock);
	return shard;
}

struct ovl_fd *ovl_fdslot_get(struct ovl_fdcache *cache,
                              struct ovl_fdslot *slot)
{
	struct shard *shard = lock_shard(cache, slot);
	struct ovl_fd *fd = slot->held;

	if (fd)
		add_user(fd);
	pthread_mutex_unlock(&shard->lock);
	return fd;
}

struct ovl_fd *ovl_fdslot_fill(struct ovl_fdcache *cache,
                               struct ovl_fdslot *slot, int num, bool may_wait)
{
	struct ovl_fd *fd = new_fd(cache, num), *held;
	struct shard *shard;

	if (!fd) {
		close(num);
		return NULL;
	}
	shard = lock_shard(cache, slot);
	if (!slot->held) {
		fd->shard = shard;
		fd->slot = slot;
		slot->held = fd;
		atomic_fetch_add(&cache->count, 1);
		atomic_fetch_add(&cache->clock, 1);
	}
	held = slot->held;
	add_user(held);
	pthread_mutex_unlock(&shard->lock);

	if (held != fd)
		free_fd(fd);
	else
		trim(cache, shard, may_wait);
	return held;
}

void ovl_fdslot_clear(struct ovl_fdcache *cache, struct ovl_fdslot *slot,
                      bool discard)
{
	struct shard *shard = lock_shard(cache, slot);
	struct ovl_fd *fd = slot->held;
	bool last = false;
	int err = 0;

	if (!fd)
		goto out;
	add_user(fd);
	/* Until no write lands meanwhile; a failure has been told. */
	while (!discard && !err && is_dirty(fd)) {
		pthread_mutex_unlock(&shard->lock);
		err = ovl_fd_flush(fd, true, false);
		pthread_mutex_lock(&shard->lock);
	}
	fd->discard |= discard;
	leave_slot(fd);
	last = drop_user(fd);
out:
	pthread_mutex_unlock(&shard->lock);
	if (last)
		close_fd(fd);
}

bool ovl_fdslot_dirty(struct ovl_fdcache *cache, struct ovl_fdslot *slot)
{
	struct shard *shard = lock_shard(cache, slot);
	bool dirty = slot->held && is_dirty(slot->held);

	pthread_mutex_unlock(&shard->lock);
	return dirty;
}
