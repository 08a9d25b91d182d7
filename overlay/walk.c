#include "config.h"

#include "overlay/walk.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "overlay/dir.h"
#include "overlay/refresh.h"

/* How long a call waits for a walk before it is told to come again. */
#define WAIT_SECONDS 1
/* Names taken from a directory at a time, its lock held. */
#define BATCH 64
/* Directories above one; deeper ones than PATH_MAX cannot be named. */
#define MAX_DEPTH 4096

void ovl_walk_init(struct ovl_walk *walk, struct ovl_tree *tree,
                   ovl_walk_lookup_fn *lookup, void *arg,
                   const struct ovl_config *config)
{
	pthread_condattr_t attr;

	memset(walk, 0, sizeof(*walk));
	walk->tree = tree;
	walk->lookup = lookup;
	walk->arg = arg;
	walk->log = config->log;
	walk->log_arg = config->log_arg;
	walk->checks = config->cache != OVL_CACHE_ALWAYS;
	pthread_mutex_init(&walk->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&walk->ended, &attr);
	pthread_condattr_destroy(&attr);
}

void ovl_walk_release(struct ovl_walk *walk)
{
	bool joinable;

	walk->stop = true;
	pthread_mutex_lock(&walk->lock);
	joinable = walk->joinable;
	pthread_mutex_unlock(&walk->lock);
	if (joinable)
		pthread_join(walk->thread, NULL);
	free(walk->queue);
	pthread_mutex_destroy(&walk->lock);
	pthread_cond_destroy(&walk->ended);
}

/* ---- the queue -------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;

	return x < y ? -1 : x > y;
}

static void keep(void *fileid)
{
	(void)fileid; /* it is no pointer */
}

/* The lock is held. */
static int queue(struct ovl_walk *walk, uint64_t fileid)
{
	size_t size = walk->size ? walk->size * 2 : 256;
	uint64_t *larger;

	if (walk->nqueue == walk->size) {
		larger = reallocarray(walk->queue, size, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		walk->queue = larger;
		walk->size = size;
	}
	walk->queue[walk->nqueue++] = fileid;
	return 0;
}

/* Into the queue, if it has never been there; or once more. */
static int push(struct ovl_walk *walk, uint64_t fileid, bool once_more)
{
	void *key = (void *)(uintptr_t)fileid;
	int err = 0;

	pthread_mutex_lock(&walk->lock);
	if (once_more || !tfind(key, &walk->known, compare)) {
		if (!tsearch(key, &walk->known, compare))
			err = -ENOMEM;
		else
			err = queue(walk, fileid);
	}
	pthread_mutex_unlock(&walk->lock);
	return err;
}

/* The last one first: that keeps the queue short. */
static bool pop(struct ovl_walk *walk, uint64_t *fileid)
{
	bool more;

	pthread_mutex_lock(&walk->lock);
	more = walk->nqueue > 0 && !walk->stop;
	if (more)
		*fileid = walk->queue[--walk->nqueue];
	pthread_mutex_unlock(&walk->lock);
	return more;
}

void ovl_walk_moved(struct ovl_walk *walk, const struct ovl_node *dir)
{
	bool running;

	pthread_mutex_lock(&walk->lock);
	running = walk->running;
	pthread_mutex_unlock(&walk->lock);
	if (running && push(walk, dir->id.fileid, false))
		ovl_map_lost(walk->tree->map);
}

uint64_t ovl_walk_count(struct ovl_walk *walk)
{
	uint64_t count;

	pthread_mutex_lock(&walk->lock);
	count = walk->walks;
	pthread_mutex_unlock(&walk->lock);
	return count;
}

/* ---- one directory ------------------------------------------------------------ */

/*
 * A directory that was in memory when it was queued may have been forgotten:
 * find it again by the rows that this walk has made.
 */
static struct ovl_node *find_dir(struct ovl_walk *walk, uint64_t fileid,
                                 unsigned depth)
{
	struct ovl_node *dir = ovl_tree_get(walk->tree, fileid), *parent;
	char name[NAME_MAX + 1];
	uint64_t above;

	if (dir || depth == MAX_DEPTH ||
	    !ovl_map_get_one(walk->tree->map, fileid, &above, name))
		return dir;
	parent = find_dir(walk, above, depth + 1);
	if (!parent)
		return NULL;
	if (walk->lookup(walk->arg, parent, name, &dir))
		dir = NULL;
	ovl_node_unref(parent);
	return dir;
}

struct batch {
	unsigned n;
	struct {
		uint64_t fileid;
		uint8_t type;
		char name[NAME_MAX + 1];
	} names[BATCH];
};

/* The next names after `*cookie`, or none. 0 or -errno. */
static int take_batch(struct ovl_node *dir, uint64_t *cookie,
                      struct batch *batch)
{
	struct ovl_names_iter iter;
	const struct ovl_name *name;
	int err;

	batch->n = 0;
	err = ovl_dir_lock(dir, true);
	if (err)
		return err;
	iter = ovl_names_iter(dir->dir->names, *cookie);
	while (batch->n < BATCH && (name = ovl_names_next(&iter))) {
		*cookie = name->cookie;
		if (name->type == DT_WHT)
			continue;
		batch->names[batch->n].fileid = name->fileid;
		batch->names[batch->n].type = name->type;
		memcpy(batch->names[batch->n++].name, name->name,
		       name->len + 1);
	}
	ovl_dir_unlock(dir);
	return 0;
}

/* 0; -ENOMEM: then the walk is worth nothing. */
static int visit_name(struct ovl_walk *walk, struct ovl_node *dir,
                      const char *name, uint64_t fileid, uint8_t type)
{
	struct ovl_node *node;
	int err;

	if (fileid && type != DT_DIR) {
		ovl_map_put_many(walk->tree->map, fileid, dir->id.fileid, name,
		                 strlen(name));
		return 0;
	}
	err = walk->lookup(walk->arg, dir, name, &node);
	if (err)
		return err == -ENOMEM ? err : 0; /* it is gone by now */
	/* A node that was in memory may know another name only. */
	ovl_map_put_many(walk->tree->map, node->id.fileid, dir->id.fileid, name,
	                 strlen(name));
	if (node->dir)
		err = push(walk, node->id.fileid, false);
	ovl_node_unref(node);
	return err;
}

/* `*again`: it could not be read; it may be on the move. */
static int visit_dir(struct ovl_walk *walk, struct ovl_node *dir,
                     struct batch *batch, uint64_t *seen, bool *again)
{
	uint64_t cookie = 0;
	int err;

	/* What is known of it may be older than the question. */
	if (walk->checks)
		ovl_node_reread(dir, false, NULL);
	do {
		err = take_batch(dir, &cookie, batch);
		*again = err && err != -ENOMEM;
		for (unsigned i = 0; i < batch->n && !err; i++)
			err = visit_name(walk, dir, batch->names[i].name,
			                 batch->names[i].fileid,
			                 batch->names[i].type);
		*seen += batch->n;
	} while (!err && batch->n && !walk->stop);
	return *again ? 0 : err;
}

static int visit(struct ovl_walk *walk, uint64_t fileid, struct batch *batch,
                 uint64_t *seen)
{
	unsigned moves = atomic_load(&walk->tree->moves);
	struct ovl_node *dir = find_dir(walk, fileid, 0);
	bool again = !dir;
	int err = 0;

	if (dir)
		err = visit_dir(walk, dir, batch, seen, &again);
	ovl_node_unref(dir);
	/* Gone, or unreadable, unless something has moved meanwhile. */
	if (!err && again && atomic_load(&walk->tree->moves) != moves)
		err = push(walk, fileid, true);
	return err;
}

/* ---- the whole ------------------------------------------------------------------ */

static void say(struct ovl_walk *walk, const char *what, uint64_t seen)
{
	char line[128];

	if (!walk->log)
		return;
	snprintf(line, sizeof(line),
	         "walk of the %s layers for a handle: %s, "
	         "%llu names seen",
	         walk->tree->upper ? "upper" : "lower", what,
	         (unsigned long long)seen);
	walk->log(walk->log_arg, LOG_INFO, line);
}

static void *run(void *arg)
{
	struct ovl_walk *walk = arg;
	const unsigned losses = ovl_map_losses(walk->tree->map);
	struct batch *batch = malloc(sizeof(*batch));
	uint64_t fileid, seen = 0;
	bool whole;
	int err;

	err = batch ? push(walk, walk->tree->root->id.fileid, false) : -ENOMEM;
	while (!err && pop(walk, &fileid))
		err = visit(walk, fileid, batch, &seen);
	free(batch);

	pthread_mutex_lock(&walk->lock);
	/* A move that came in since would have queued its directory. */
	whole = !err && !walk->stop && walk->nqueue == 0;
	if (whole)
		ovl_map_walked(walk->tree->map, losses);
	walk->nqueue = 0;
	tdestroy(walk->known, keep);
	walk->known = NULL;
	walk->running = false;
	pthread_cond_broadcast(&walk->ended);
	pthread_mutex_unlock(&walk->lock);
	say(walk, whole ? "done" : "broken off", seen);
	return NULL;
}

static int start(struct ovl_walk *walk)
{
	sigset_t all, old;
	int err;

	if (walk->joinable)
		pthread_join(walk->thread, NULL);
	walk->joinable = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&walk->thread, NULL, run, walk);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err) {
		walk->joinable = true;
		walk->running = true;
		walk->walks++;
	}
	return err;
}

int ovl_walk_wait(struct ovl_walk *walk)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&walk->lock);
	if (!walk->running && !walk->stop)
		err = start(walk);
	while (!err && walk->running)
		err = -pthread_cond_timedwait(&walk->ended, &walk->lock,
		                              &until);
	pthread_mutex_unlock(&walk->lock);
	/* One that was broken off has found nothing out: another must try. */
	if (err == -ETIMEDOUT || (!err && !ovl_map_complete(walk->tree->map)))
		err = -EINPROGRESS;
	return err;
}
