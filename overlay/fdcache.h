/*
 * A bounded cache of open descriptors.
 *
 * Whoever may want a descriptor again owns a slot, which holds one or none. The
 * cache closes the descriptors that were used longest ago (in a large cache, one of
 * the oldest) when there are more than its bound; their slots are empty then. A descriptor in use is counted
 * and is never closed under its user; those in use may exceed the bound.
 *
 * A descriptor with writes not yet on stable storage is marked dirty. It is
 * flushed before it is closed, while it still stands in its slot, so that who
 * finds a slot empty knows that nothing written through it is pending. Whoever
 * flushes, `flushed` hears the result first: where it is a failure, the write
 * verifier must have changed before another flush of that file can succeed (the
 * kernel tells an error only once).
 *
 * Thread-safe. Slots are guarded by the cache's own locks (sharded by the
 * slot's address), which are held for no system call. An evicted descriptor is
 * closed by the thread that brought the newcomer; a dirty one is passed over
 * unless that thread may wait. So a thread that may not wait can leave more
 * open than the bound: before it opens one more, it asks ovl_fdcache_count, and
 * leaves the call to one that may wait.
 */
#ifndef VENEER_OVERLAY_FDCACHE_H
#define VENEER_OVERLAY_FDCACHE_H

#include <stdbool.h>
#include <stddef.h>

struct ovl_fdcache;
struct ovl_fd; /* one open descriptor, counted */

/* Zero-initialised: empty. Not to be moved or copied while it is not. */
struct ovl_fdslot {
	struct ovl_fd *held;
};

/*
 * Told the result (0 or -errno) of each flush made, by ovl_fd_flush or by the
 * cache itself, in the thread that made it, before anyone else learns of it.
 * It must not call the cache.
 */
typedef void ovl_flushed_fn(void *arg, int result);

/* At most `max` descriptors, `flushed` may be NULL. NULL: no memory. */
struct ovl_fdcache *ovl_fdcache_new(unsigned max, ovl_flushed_fn *flushed,
                                    void *arg);

/* Every slot must have been cleared, and every reference dropped. */
void ovl_fdcache_free(struct ovl_fdcache *cache); /* NULL is fine */

/* The slot's descriptor, with a reference; NULL where it has none. */
struct ovl_fd *ovl_fdslot_get(struct ovl_fdcache *cache,
                              struct ovl_fdslot *slot);

/*
 * Put an open descriptor into the slot and return it with a reference. It is
 * the cache's to close from here on. Where another thread has filled the slot
 * before, `num` is closed and the other is returned. NULL: no memory (`num` is
 * closed). Blocks only where `may_wait`.
 */
struct ovl_fd *ovl_fdslot_fill(struct ovl_fdcache *cache,
                               struct ovl_fdslot *slot, int num, bool may_wait);

/*
 * Empty the slot; its descriptor is closed when its last user is done (without
 * a flush where `discard` says that nobody can miss the data). Blocks where
 * ovl_fdslot_dirty and not `discard`.
 */
void ovl_fdslot_clear(struct ovl_fdcache *cache, struct ovl_fdslot *slot,
                      bool discard);

/* Whether the slot holds a dirty descriptor. */
bool ovl_fdslot_dirty(struct ovl_fdcache *cache, struct ovl_fdslot *slot);

int ovl_fd_num(const struct ovl_fd *fd);

/*
 * Writes went through it that are not on stable storage yet: said after the
 * write, before its reply and before the reference is dropped.
 */
void ovl_fd_set_dirty(struct ovl_fd *fd);

/*
 * fsync where `metadata`, if it is dirty (`always`: even if not); else fdatasync,
 * if there is data to flush, which leaves it dirty. Blocks; flushes of one
 * descriptor take turns. 0 or -errno; after a failure it stays dirty. A write that
 * lands while it runs leaves it dirty.
 */
int ovl_fd_flush(struct ovl_fd *fd, bool metadata, bool always);

/*
 * Around a flush of it by other means, whose failure is told before the end: no
 * ovl_fd_flush runs meanwhile. NULL is fine. Block for as long as one does.
 */
void ovl_fd_flush_begin(struct ovl_fd *fd);
void ovl_fd_flush_end(struct ovl_fd *fd);

/*
 * Blocks only where the slot was cleared meanwhile and it is dirty: then it is
 * flushed first, whoever else uses it.
 */
void ovl_fd_unref(struct ovl_fdcache *cache, struct ovl_fd *fd);

/* Open now: cheap, and may be out of date at once. */
size_t ovl_fdcache_count(struct ovl_fdcache *cache);

#endif
