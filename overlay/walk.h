/*
 * The walk over a whole tree that finds where every object is, when a handle
 * comes whose place nobody remembers. It fills the tree's map.
 *
 * One walk serves all that wait for it, in a thread of its own. Objects made or
 * moved while it runs enter the map by themselves; a directory that is moved is
 * put into the queue, lest it slip from the part not yet seen into the part that
 * was. Each is walked once, wherever it is by then.
 * When a walk has reached the end, the map is complete, and stays so.
 */
#ifndef VENEER_OVERLAY_WALK_H
#define VENEER_OVERLAY_WALK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlay/tree.h"
#include "overlay/overlay.h"

/* The child of `dir` by name: a reference in `node`, or -errno. May wait. */
typedef int ovl_walk_lookup_fn(void *arg, struct ovl_node *dir,
                               const char *name, struct ovl_node **node);

struct ovl_walk {
	struct ovl_tree *tree;
	ovl_walk_lookup_fn *lookup;
	void *arg;
	ovl_log_fn *log;
	void *log_arg;
	atomic_bool stop; /* it is to end before its end */
	bool checks;      /* others may have changed the directories */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t ended;
	pthread_t thread;
	bool joinable; /* there is a thread to be joined */
	bool running;
	uint64_t walks;  /* begun, ever */
	uint64_t *queue; /* fileids of directories still to be walked */
	size_t nqueue, size;
	void *known; /* a tsearch tree of all that were ever in the queue */
};

void ovl_walk_init(struct ovl_walk *walk, struct ovl_tree *tree,
                   ovl_walk_lookup_fn *lookup, void *arg,
                   const struct ovl_config *config);

/* Stops a walk that still runs. */
void ovl_walk_release(struct ovl_walk *walk);

/*
 * Wait for a walk, up to a second; start one if none runs. 0: one has ended;
 * -EINPROGRESS: it goes on; -errno: none could be started.
 */
int ovl_walk_wait(struct ovl_walk *walk);

/* Walks begun, ever. */
uint64_t ovl_walk_count(struct ovl_walk *walk);

/* This directory has moved, and is in the map at its new place. */
void ovl_walk_moved(struct ovl_walk *walk, const struct ovl_node *dir);

#endif
