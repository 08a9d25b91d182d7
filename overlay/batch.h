/*
 * Group commit: changes that arrive together share their flush. Who wants one
 * joins a batch; the first of it leads, and flushes for all; who comes meanwhile
 * gathers for the next one, since a flush that began before a change does not
 * count for it.
 *
 * It is for what has no data: directories, new objects, attributes. Those of a
 * file's data are made in the threads that want them, and the kernel puts their
 * log writes together itself.
 *
 * Thread-safe.
 */
#ifndef VENEER_OVERLAY_BATCH_H
#define VENEER_OVERLAY_BATCH_H

#include <pthread.h>
#include <stdbool.h>

struct ovl_batch_member;

/* What it takes to flush changes, by the filesystem that they are in. */
enum ovl_batch_way {
	/*
	 * Its log has all metadata in the order in which it was changed (xfs;
	 * ext4 with a journal): whatever is flushed, all changes before it
	 * are. One fsync of any object that is in the log by now will do.
	 */
	OVL_BATCH_IN_ORDER,
	/* Each object; or, where they are many, all that there is: syncfs. */
	OVL_BATCH_EACH_OR_ALL,
	/* Each object: nobody knows what syncfs does there. */
	OVL_BATCH_EACH,
};

/* Beyond so many objects, OVL_BATCH_EACH_OR_ALL means all. */
#define OVL_BATCH_EACH_MAX 6

/* Told the result (0 or -errno) of each flush, before anyone learns of it. */
typedef void ovl_batch_heard_fn(void *arg, int result);

struct ovl_batch {
	enum ovl_batch_way way;
	int marker; /* a file of ours on the filesystem; borrowed */
	ovl_batch_heard_fn *heard;
	void *arg;

	pthread_mutex_t lock;                   /* guards what follows */
	struct ovl_batch_member *first, **last; /* gather for the next */
	unsigned ngathered;
	bool flushing; /* there is a leader */
};

/* `marker`: a descriptor for writing; its times are of no use to anybody. */
void ovl_batch_init(struct ovl_batch *batch, int marker,
                    ovl_batch_heard_fn *heard, void *arg);
void ovl_batch_release(struct ovl_batch *batch);

/*
 * Bring to stable storage what has been changed until now: these objects, each
 * open as one of `fds` (fsync must work on it), at most OVL_BATCH_OBJECTS; none
 * need be named with OVL_BATCH_IN_ORDER. 0, or the first -errno that was for one
 * of them. Blocks.
 */
#define OVL_BATCH_OBJECTS 4
int ovl_batch_flush(struct ovl_batch *batch, const int *fds, unsigned n);

#endif
