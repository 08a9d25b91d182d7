/*
 * Copies under way. One is made of an object at a time; who else wants it joins
 * and waits. A copy of a large file may take minutes: how many of them there
 * are, and how many calls wait for them, is bounded, lest they hold every thread
 * there is; it is told in the log how far they are; and they stop when the
 * overlay is to be closed.
 *
 * Thread-safe. All functions block, for as long as they say.
 */
#ifndef VENEER_OVERLAY_COPYING_H
#define VENEER_OVERLAY_COPYING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "overlay/copydata.h"

struct ovl;
struct ovl_node;
struct ovl_joined;

/* More bytes than these, holes not counted, make a copy a large one. */
#define OVL_COPY_LARGE (64u * 1024 * 1024)

struct ovl_copying {
	/* The overlay's. */
	struct ovl_copying *next;
	struct ovl_joined *joined;
	struct ovl *fs;
	uint64_t fileid;
	uint64_t wanted;
	bool large;
	/* The copier's own. */
	uint64_t began;    /* as ovl_now counts */
	uint64_t said;     /* when it was told last how far it is; 0: never */
	uint64_t at, size; /* how far it is */
	uint64_t settled; /* all before that offset is on disk, or on its way */
	char path[512];   /* by which it was told, or the end of it */
	/* Where it is, if known; borrowed by the steps. */
	struct ovl_node *dir;
	const char *name;
};

/* All of an overlay. */
struct ovl_copies {
	unsigned max_large, max_waiting; /* 0: no bound */
	pthread_mutex_t lock;            /* guards the fields below */
	pthread_cond_t changed;
	struct ovl_copying *first;
	unsigned nlarge;
	unsigned nwaiting; /* for copies that take long */
	bool over;         /* none is to take long any more */
};

void ovl_copies_init(struct ovl_copies *copies, unsigned max_large,
                     unsigned max_waiting);
void ovl_copies_release(struct ovl_copies *copies);

/* Stop those that take long, and send away who waits for them. */
void ovl_copies_stop(struct ovl_copies *copies);

/*
 * Begin to copy the object of that fileid, or `wanted` bytes of it (UINT64_MAX:
 * all), once nobody else does: 0, and ovl_copying_end must follow. The other may
 * have copied it by then: look.
 *
 * Where another copy of at least as much was waited for and found no room, or
 * could not be read or written, this one need not try: -ENOSPC, -EDQUOT, -EFBIG,
 * -EIO. -EINPROGRESS: it will take a while, and enough others wait already.
 */
int ovl_copying_begin(struct ovl *fs, struct ovl_copying *copying,
                      uint64_t fileid, uint64_t wanted);

/* What came of it, 0 or -errno, for those who have joined. */
void ovl_copying_end(struct ovl_copying *copying, int err);

/*
 * The step (ovl_copy_step_fn) of a copy's watch, `copying` being its argument.
 * -EINPROGRESS: too many large files are being copied, or the overlay is to be
 * closed. But with OVL_VOLATILE, what was copied is written out as the copy goes on, so
 * that the flush at its end takes no longer than any other: -EIO, ...
 */
int ovl_copying_step(void *copying, const struct ovl_copy_progress *progress);

#endif
