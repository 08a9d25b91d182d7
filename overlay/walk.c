#include "config.h"

#include "overlay/walk.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/refresh.h"

#define SECOND UINT64_C(1000000000)
/* Between two walks, times what the last one took. */
#define PAUSE 2
/* How a walk's thread gives way: see nice(2). */
#define NICE 10
/* Of a long walk, what is seen so far is logged now and then. */
#define TELL (2 * SECOND)
/* Names taken from a directory at a time, its lock held. */
#define BATCH 64
/* Directories above one; deeper ones than PATH_MAX cannot be named. */
#define MAX_DEPTH 4096

/* A directory in the queue, and where it was seen; NULL: it has rows. */
struct ovl_walk_dir {
	uint64_t fileid;
	struct ovl_node *parent;
	char *name;
};

void ovl_walk_init(struct ovl_walk *walk, struct ovl_tree *tree,
                   const struct ovl_walk_ways *ways, void *arg,
                   const struct ovl_config *config)
{
	pthread_condattr_t attr;

	memset(walk, 0, sizeof(*walk));
	walk->tree = tree;
	walk->ways = ways;
	walk->arg = arg;
	walk->log = (struct ovl_log){ config->log, config->log_arg };
	walk->checks = config->cache != OVL_CACHE_ALWAYS;
	pthread_mutex_init(&walk->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&walk->moment, &attr);
	pthread_condattr_destroy(&attr);
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

static void dir_release(struct ovl_walk_dir *dir)
{
	ovl_node_unref(dir->parent);
	free(dir->name);
}

/* The lock is held. */
static int queue(struct ovl_walk *walk, const struct ovl_walk_dir *dir)
{
	size_t size = walk->size ? walk->size * 2 : 256;
	struct ovl_walk_dir *larger;

	if (walk->nqueue == walk->size) {
		larger = reallocarray(walk->queue, size, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		walk->queue = larger;
		walk->size = size;
	}
	walk->queue[walk->nqueue++] = *dir;
	return 0;
}

/*
 * Into the queue, if it has never been there; or once more. Takes over what the
 * directory holds.
 */
static int push(struct ovl_walk *walk, struct ovl_walk_dir *dir, bool once_more)
{
	void *key = (void *)(uintptr_t)dir->fileid;
	bool queued = false;
	int err = 0;

	pthread_mutex_lock(&walk->lock);
	if (once_more || !tfind(key, &walk->known, compare)) {
		if (!tsearch(key, &walk->known, compare))
			err = -ENOMEM;
		else
			err = queue(walk, dir);
		queued = !err;
	}
	pthread_mutex_unlock(&walk->lock);
	if (!queued)
		dir_release(dir);
	return err;
}

/* One that was seen there. A name for which there is no memory has a row. */
static int push_seen(struct ovl_walk *walk, uint64_t fileid,
                     struct ovl_node *parent, const char *name)
{
	struct ovl_walk_dir dir = {
		.fileid = fileid,
		.parent = ovl_node_ref(parent),
		.name = strdup(name),
	};

	return push(walk, &dir, false);
}

/* The last one first: that keeps the queue short. */
static bool pop(struct ovl_walk *walk, struct ovl_walk_dir *dir)
{
	bool more;

	pthread_mutex_lock(&walk->lock);
	more = walk->nqueue > 0 && !walk->stop;
	if (more)
		*dir = walk->queue[--walk->nqueue];
	pthread_mutex_unlock(&walk->lock);
	return more;
}

void ovl_walk_moved(struct ovl_walk *walk, struct ovl_node *node)
{
	struct ovl_walk_dir dir = { .fileid = node->id.fileid };
	bool running;

	pthread_mutex_lock(&walk->lock);
	running = walk->running;
	if (walk->asked) {
		ovl_asked_found(walk->asked, node->id.fileid, NULL);
		pthread_cond_broadcast(&walk->moment);
	}
	pthread_mutex_unlock(&walk->lock);
	if (running && node->dir && push(walk, &dir, false))
		ovl_map_lost(walk->tree->map);
}

static void empty_queue(struct ovl_walk *walk)
{
	while (walk->nqueue > 0)
		dir_release(&walk->queue[--walk->nqueue]);
	tdestroy(walk->known, keep);
	walk->known = NULL;
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
	/* Something may have moved just when a walk had ended. */
	empty_queue(walk);
	ovl_asked_free(walk->asked);
	free(walk->queue);
	pthread_mutex_destroy(&walk->lock);
	pthread_cond_destroy(&walk->moment);
}

uint64_t ovl_walk_count(struct ovl_walk *walk)
{
	uint64_t count;

	pthread_mutex_lock(&walk->lock);
	count = walk->begun;
	pthread_mutex_unlock(&walk->lock);
	return count;
}

/* ---- one directory ------------------------------------------------------------ */

/* One walk under way. */
struct going {
	struct ovl_walk *walk;
	uint64_t names;    /* seen */
	uint64_t told;     /* when that was logged */
	unsigned losses;   /* of the map, before it began */
	unsigned doubts;   /* likewise, of which... */
	unsigned expected; /* ...so many came when a directory's turn did */
	struct batch {
		unsigned n;
		struct {
			uint64_t fileid;
			uint8_t type;
			char name[NAME_MAX + 1];
		} names[BATCH];
	} batch;
};

static void say(struct going *going, int level, const char *what)
{
	struct ovl_walk *walk = going->walk;

	ovl_log_line(&walk->log, level,
	             "walk of the %s layers for a handle: %s, %llu names seen",
	             walk->tree->upper ? "upper" : "lower", what,
	             (unsigned long long)going->names);
}

static void say_now_and_then(struct going *going)
{
	uint64_t now = ovl_now();

	if (now - going->told < TELL)
		return;
	going->told = now;
	say(going, LOG_NOTICE, "it goes on");
}

static struct ovl_node *find_in(struct ovl_walk *walk, struct ovl_node *parent,
                                const char *name, uint64_t fileid)
{
	struct ovl_node *node;

	if (walk->ways->lookup(walk->arg, parent, name, &node))
		return NULL;
	if (node->id.fileid == fileid)
		return ovl_node_if_dir(node);
	ovl_node_unref(node);
	return NULL;
}

/* By the rows that it has, this walk's or older ones. */
static struct ovl_node *find_by_rows(struct ovl_walk *walk, uint64_t fileid,
                                     unsigned depth)
{
	struct ovl_node *dir = ovl_tree_get(walk->tree, fileid), *parent;
	char name[NAME_MAX + 1];
	uint64_t above;

	if (dir || depth == MAX_DEPTH ||
	    !ovl_map_get_one(walk->tree->map, fileid, &above, name))
		return ovl_node_if_dir(dir);
	parent = find_by_rows(walk, above, depth + 1);
	if (!parent)
		return NULL;
	dir = find_in(walk, parent, name, fileid);
	ovl_node_unref(parent);
	return dir;
}

/* It was in memory when it was queued, and may have been forgotten since. */
static struct ovl_node *find_dir(struct ovl_walk *walk,
                                 const struct ovl_walk_dir *queued)
{
	struct ovl_node *dir = ovl_tree_get(walk->tree, queued->fileid);

	if (!dir && queued->name)
		dir = find_in(walk, queued->parent, queued->name,
		              queued->fileid);
	if (!dir)
		return find_by_rows(walk, queued->fileid, 0);
	return ovl_node_if_dir(dir);
}

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

static bool is_asked(struct ovl_walk *walk, uint64_t fileid)
{
	bool asked;

	pthread_mutex_lock(&walk->lock);
	asked = ovl_asked_is_open(walk->asked, fileid);
	pthread_mutex_unlock(&walk->lock);
	return asked;
}

/* Who asks for it needs wait no longer. */
static void found(struct ovl_walk *walk, struct ovl_node *node)
{
	pthread_mutex_lock(&walk->lock);
	if (ovl_asked_is_open(walk->asked, node->id.fileid)) {
		ovl_asked_found(walk->asked, node->id.fileid, node);
		pthread_cond_broadcast(&walk->moment);
	}
	pthread_mutex_unlock(&walk->lock);
}

static void put(struct ovl_walk *walk, uint64_t fileid,
                const struct ovl_node *dir, const char *name)
{
	ovl_map_put_many(walk->tree->map, fileid, dir->id.fileid, name,
	                 strlen(name));
}

/* -ENOMEM: then the walk is worth nothing. */
static int visit_node(struct ovl_walk *walk, struct ovl_node *dir,
                      const char *name)
{
	struct ovl_node *node;
	int err = walk->ways->lookup(walk->arg, dir, name, &node);

	if (err)
		return err == -ENOMEM ? err : 0; /* it is gone by now */
	/* A node that was in memory may know another name only. */
	put(walk, node->id.fileid, dir, name);
	found(walk, node);
	if (node->dir && node->tree == walk->tree)
		err = push_seen(walk, node->id.fileid, dir, name);
	ovl_node_unref(node);
	return err;
}

/* Most names need no look, or a short one. */
static int visit_name(struct ovl_walk *walk, struct ovl_node *dir,
                      const char *name, uint64_t fileid, uint8_t type)
{
	if (!fileid && type == DT_REG && walk->ways->identify &&
	    walk->ways->identify(walk->arg, dir, name, &fileid))
		fileid = 0;
	if (!fileid || type == DT_DIR || is_asked(walk, fileid))
		return visit_node(walk, dir, name);
	put(walk, fileid, dir, name);
	return 0;
}

/*
 * What is known of its names may be older than the question. What has changed in
 * it before its turn came does not disturb the walk. 0 or -errno.
 */
static int read_anew(struct going *going, struct ovl_node *dir)
{
	struct ovl_map *map = going->walk->tree->map;
	const unsigned doubts = ovl_map_doubts(map);
	int err = 0;

	if (going->walk->checks)
		ovl_node_reread(dir, false, NULL);
	err = ovl_dir_lock(dir, true);
	if (!err)
		ovl_dir_unlock(dir);
	going->expected += ovl_map_doubts(map) - doubts;
	return err;
}

/* `*again`: it could not be read; it may be on the move. */
static int visit_dir(struct going *going, struct ovl_node *dir, bool *again)
{
	struct ovl_walk *walk = going->walk;
	struct batch *batch = &going->batch;
	uint64_t cookie = 0;
	int err;

	err = read_anew(going, dir);
	while (!err && !walk->stop) {
		err = take_batch(dir, &cookie, batch);
		if (err || !batch->n)
			break;
		for (unsigned i = 0; i < batch->n && !err; i++)
			err = visit_name(walk, dir, batch->names[i].name,
			                 batch->names[i].fileid,
			                 batch->names[i].type);
		going->names += batch->n;
		say_now_and_then(going);
		if (err)
			return err;
	}
	*again = err && err != -ENOMEM;
	return *again ? 0 : err;
}

static int visit(struct going *going, struct ovl_walk_dir *queued)
{
	struct ovl_walk *walk = going->walk;
	unsigned moves = atomic_load(&walk->tree->moves);
	struct ovl_node *dir = find_dir(walk, queued);
	struct ovl_walk_dir once_more = { .fileid = queued->fileid };
	bool again = !dir, keep_names;
	int err = 0;

	dir_release(queued);
	if (dir) {
		/* What it reads in for itself is not to crowd out what calls
		 * have read in. */
		keep_names = ovl_dir_is_read_in(dir);
		err = visit_dir(going, dir, &again);
		if (!keep_names)
			ovl_tree_drop_names(dir);
	}
	ovl_node_unref(dir);
	/* Gone, or unreadable, unless something has moved meanwhile. */
	if (!err && again && atomic_load(&walk->tree->moves) != moves)
		err = push(walk, &once_more, true);
	return err;
}

/* ---- the whole ------------------------------------------------------------------ */

/* The lock is held. It has been everywhere. */
static void note_end(struct going *going)
{
	struct ovl_walk *walk = going->walk;
	struct ovl_map *map = walk->tree->map;

	walk->ended++;
	if (ovl_map_doubts(map) == going->doubts + going->expected)
		walk->sure = walk->begun;
	ovl_map_walked(map, going->losses + going->expected);
}

static void walk_all(struct going *going)
{
	struct ovl_walk *walk = going->walk;
	struct ovl_walk_dir dir = { .fileid = walk->tree->root->id.fileid };
	bool whole;
	int err;

	err = push(walk, &dir, false);
	while (!err && pop(walk, &dir))
		err = visit(going, &dir);

	pthread_mutex_lock(&walk->lock);
	/* A move that came in since would have queued its directory. */
	whole = !err && !walk->stop && walk->nqueue == 0;
	if (whole)
		note_end(going);
	empty_queue(walk);
	walk->running = false;
	walk->not_until = ovl_now() + PAUSE * (ovl_now() - walk->started);
	pthread_cond_broadcast(&walk->moment);
	pthread_mutex_unlock(&walk->lock);
	say(going, ovl_now() - walk->started > TELL ? LOG_NOTICE : LOG_INFO,
	    whole ? "done" : "broken off");
}

static void *run(void *arg)
{
	struct going *going = arg;

	/* This thread alone, on Linux. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	walk_all(going);
	free(going);
	return NULL;
}

static struct going *new_going(struct ovl_walk *walk)
{
	struct going *going = calloc(1, sizeof(*going));

	if (!going)
		return NULL;
	going->walk = walk;
	going->told = walk->started;
	/* In this order: a doubt is a loss, too. */
	going->losses = ovl_map_losses(walk->tree->map);
	going->doubts = ovl_map_doubts(walk->tree->map);
	return going;
}

int ovl_walk_start(struct ovl_walk *walk)
{
	struct going *going;
	sigset_t all, old;
	int err;

	if (walk->joinable)
		pthread_join(walk->thread, NULL);
	walk->joinable = false;
	walk->started = ovl_now();
	going = new_going(walk);
	if (!going)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&walk->thread, NULL, run, going);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		free(going);
		return err;
	}
	walk->joinable = true;
	walk->running = true;
	walk->begun++;
	return 0;
}
