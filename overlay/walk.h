/*
 * The walk over a whole tree that finds where every object is, when a handle
 * comes whose place nobody remembers. It fills the tree's map.
 *
 * One walk serves all that wait for it, in a thread of its own, which gives way
 * to those that serve calls. Objects made or moved while it runs enter the map by
 * themselves; a directory that is moved is put into the queue, lest it slip from
 * the part not yet seen into the part that was. Each is walked once, wherever it
 * is by then. What is asked for is found as soon as the walk comes by it.
 *
 * Only a walk that was begun after the question says that an object is gone: one
 * during which nobody else has changed the layers, or, where they are changed all
 * the time, the third. That it is gone is remembered, and between two walks is at
 * least twice the time that the last one took: so whatever is asked for, and
 * however often, a third of one processor's time is all that it gets.
 *
 * When a walk has reached the end, and nothing was lost meanwhile, the map is
 * complete, and stays so until others change something.
 */
#ifndef VENEER_OVERLAY_WALK_H
#define VENEER_OVERLAY_WALK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlay/asked.h"
#include "overlay/tree.h"
#include "overlay/overlay.h"

/* How a walk looks at its tree; all may wait. */
struct ovl_walk_ways {
	/* The child of `dir` by name: a reference in `node`, or -errno. */
	int (*lookup)(void *arg, struct ovl_node *dir, const char *name,
	              struct ovl_node **node);
	/* The fileid of a regular file, where a short look tells. 0 or -errno.
	 * NULL: it never does. */
	int (*identify)(void *arg, struct ovl_node *dir, const char *name,
	                uint64_t *fileid);
};

struct ovl_walk_dir;

struct ovl_walk {
	struct ovl_tree *tree;
	const struct ovl_walk_ways *ways;
	void *arg;
	struct ovl_log log;
	atomic_bool stop; /* it is to end before its end */
	bool checks;      /* others may have changed the directories */

	pthread_mutex_t lock;  /* guards what follows */
	pthread_cond_t moment; /* something was found, or it has ended */
	pthread_t thread;
	bool joinable; /* there is a thread to be joined */
	bool running;
	unsigned begun;          /* walks, ever */
	unsigned ended;          /* of them gone to the end */
	unsigned sure;           /* the last that nobody's changes disturbed */
	uint64_t started;        /* when the last one did: ns of ovl_now */
	uint64_t not_until;      /* the next one is to start */
	struct ovl_asked *asked; /* NULL until something is */
	struct ovl_walk_dir *queue; /* directories still to be walked */
	size_t nqueue, size;
	void *known; /* a tsearch tree of all that were ever in the queue */
};

void ovl_walk_init(struct ovl_walk *walk, struct ovl_tree *tree,
                   const struct ovl_walk_ways *ways, void *arg,
                   const struct ovl_config *config);

/* Stops a walk that still runs. */
void ovl_walk_release(struct ovl_walk *walk);

/*
 * Look for that object, which no row leads to, by a walk; wait for a second at
 * the most. 0: it has been seen, and is in memory while `*node` (which may be
 * NULL) is held, or has rows; -ENOENT: it is gone; -EINPROGRESS: ask again;
 * -errno: no walk could be started.
 *
 * `everywhere`: it does not show where it has been seen, and other names of it are
 * wanted. -ENOENT is then said when all that there are have rows.
 */
int ovl_walk_find(struct ovl_walk *walk, uint64_t fileid, bool everywhere,
                  struct ovl_node **node);

/* Begin one; the lock is held, and none runs. 0 or -errno. */
int ovl_walk_start(struct ovl_walk *walk);

/* Walks begun, ever. */
uint64_t ovl_walk_count(struct ovl_walk *walk);

/* This object has moved, and is in the map at its new place. */
void ovl_walk_moved(struct ovl_walk *walk, struct ovl_node *node);

#endif
