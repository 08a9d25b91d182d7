#include "config.h"

#include "overlay/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "overlay/spread.h"

#define FIRST_BUCKETS 64
/* Buckets looked at, at most, for one to forget; then the bound waits. */
#define CLOCK_STEPS 128
/* What the map has of a tree's memory: a part, and no more and no less than
 * that. */
#define MAP_SHARE 4
#define MAP_BYTES ((size_t)32 << 20)
#define MAP_LEAST ((size_t)256 << 10)
/* Nodes forgotten from a shard before the next one has its turn. */
#define SHARD_SHARE 4
/* Ties of upper names begin behind those of lower names (see names.h). */
#define UPPER_FIRST_TIE 8

/* ---- shards: hashing and the clock ------------------------------------ */

static struct ovl_shard *shard_of(struct ovl_tree *tree, uint64_t fileid)
{
	return &tree->shards[ovl_spread(fileid) >> 58];
}

static struct ovl_node **bucket_of(struct ovl_shard *shard, uint64_t fileid)
{
	return &shard->buckets[(ovl_spread(fileid) >> 16) &
	                       (shard->nbuckets - 1)];
}

/* What the fileid sets of the shard's traces, and where. */
static uint64_t trace_of(uint64_t fileid, unsigned *word)
{
	const uint64_t bit = (ovl_spread(fileid) >> 48) % OVL_TREE_TRACES;

	*word = (unsigned)bit / 64;
	return UINT64_C(1) << bit % 64;
}

static bool may_have(const struct ovl_shard *shard, uint64_t fileid)
{
	unsigned word;
	const uint64_t trace = trace_of(fileid, &word);

	return atomic_load(&shard->traces[word]) & trace;
}

static struct ovl_node *shard_find(struct ovl_shard *shard, uint64_t fileid)
{
	struct ovl_node *node = *bucket_of(shard, fileid);

	while (node && node->id.fileid != fileid)
		node = node->hash_next;
	return node;
}

/* A larger table, if there is memory for one: the old one works as well. */
static void shard_grow(struct ovl_shard *shard)
{
	size_t old_n = shard->nbuckets;
	struct ovl_node **old = shard->buckets, *node, *next, **bucket;
	struct ovl_node **larger = calloc(old_n * 2, sizeof(*larger));

	if (!larger)
		return;
	shard->buckets = larger;
	shard->nbuckets = old_n * 2;
	for (size_t i = 0; i < old_n; i++) {
		for (node = old[i]; node; node = next) {
			next = node->hash_next;
			bucket = bucket_of(shard, node->id.fileid);
			node->hash_next = *bucket;
			*bucket = node;
		}
	}
	free(old);
}

static void leave_trace(struct ovl_shard *shard, uint64_t fileid)
{
	unsigned word;
	const uint64_t trace = trace_of(fileid, &word);

	if (!(atomic_load(&shard->traces[word]) & trace))
		atomic_fetch_or(&shard->traces[word], trace);
}

static void shard_insert(struct ovl_shard *shard, struct ovl_node *node)
{
	struct ovl_node **bucket;

	leave_trace(shard, node->id.fileid);
	/* Then there are 8 bytes of table to a node. */
	if (shard->count >= shard->nbuckets + shard->nbuckets / 2)
		shard_grow(shard);
	bucket = bucket_of(shard, node->id.fileid);
	node->hash_next = *bucket;
	*bucket = node;
	shard->count++;
}

/* False: it is not in the table. */
static bool shard_remove(struct ovl_shard *shard, struct ovl_node *node)
{
	struct ovl_node **link = bucket_of(shard, node->id.fileid);

	while (*link && *link != node)
		link = &(*link)->hash_next;
	if (!*link)
		return false;
	*link = node->hash_next;
	shard->count--;
	return true;
}

/* ---- the bound ------------------------------------------------------------ */

void ovl_tree_drop_names(struct ovl_node *node)
{
	struct ovl_dir *dir = node->dir;

	if (!dir || pthread_mutex_trylock(&dir->change))
		return;
	if (ovl_node_trylock(node)) {
		if (dir->weight)
			ovl_node_set_names(node, NULL);
		ovl_node_unlock(node);
	}
	pthread_mutex_unlock(&dir->change);
}

/* What is to be done with a node that the hand stopped at. */
enum verdict { SPARE, FORGET, DROP_NAMES, FLUSH };

/*
 * References are taken under the shard's lock, from the table, or by someone who
 * has one: a node that only the table holds stays so while that is locked.
 */
static enum verdict judge(struct ovl_node *node)
{
	if (atomic_exchange(&node->used, false))
		return SPARE;
	if (atomic_load(&node->refs) > 1)
		return node->dir && node->dir->weight ? DROP_NAMES : SPARE;
	/* Flushed while it can still be found: who commits must not find a
	 * new node, without a descriptor, and take that for stable. */
	if (!node->dir && ovl_fdslot_dirty(node->tree->fds, &node->fd))
		return FLUSH;
	return FORGET;
}

/* The first in the bucket that something is to be done about, or NULL. */
static struct ovl_node *bucket_victim(struct ovl_node *node,
                                      enum verdict *verdict)
{
	for (; node; node = node->hash_next) {
		*verdict = judge(node);
		if (*verdict != SPARE)
			return node;
	}
	return NULL;
}

/*
 * Move the shard's hand over buckets whose nodes were used lately until it meets
 * one to do something about: that one, which the caller then holds, or NULL. Those
 * behind it in its bucket wait for the next round.
 */
static struct ovl_node *shard_victim(struct ovl_shard *shard,
                                     enum verdict *verdict)
{
	struct ovl_node *node = NULL;
	size_t steps;

	*verdict = SPARE;
	pthread_mutex_lock(&shard->lock);
	/* Once around at most: what was just spared is so still. */
	steps = shard->nbuckets < CLOCK_STEPS ? shard->nbuckets : CLOCK_STEPS;
	for (size_t i = 0; i < steps && !node; i++) {
		shard->hand = (shard->hand + 1) & (shard->nbuckets - 1);
		node = bucket_victim(shard->buckets[shard->hand], verdict);
	}
	if (*verdict == FORGET)
		shard_remove(shard, node); /* its reference is the caller's */
	else if (*verdict != SPARE)
		ovl_node_ref(node);
	pthread_mutex_unlock(&shard->lock);
	return *verdict == SPARE ? NULL : node;
}

/* Its descriptor stays where it is found: others may write through it meanwhile. */
static void flush_file(struct ovl_node *node)
{
	struct ovl_fd *fd = ovl_fdslot_get(node->tree->fds, &node->fd);

	if (!fd)
		return;
	ovl_fd_flush(fd, true, false);
	ovl_fd_unref(node->tree->fds, fd);
}

/* Forget something of this shard. False: there is nothing just now. */
static bool shrink_shard(struct ovl_shard *shard)
{
	enum verdict verdict;
	struct ovl_node *victim = shard_victim(shard, &verdict);

	if (!victim)
		return false;
	if (verdict == DROP_NAMES)
		/* It is held, by its children most likely. */
		ovl_tree_drop_names(victim);
	else if (verdict == FLUSH)
		flush_file(victim);
	ovl_node_unref(victim);
	return true;
}

static bool is_beyond(struct ovl_tree *tree)
{
	/* The excess first: whatever happens meanwhile, the difference does not
	 * wrap around, but where names have just been dropped. */
	const size_t excess_weight = atomic_load(&tree->excess_weight);
	const size_t excess_bytes = atomic_load(&tree->excess_bytes);
	const size_t weight = atomic_load(&tree->weight);
	const size_t bytes = atomic_load(&tree->bytes);

	return (weight > excess_weight &&
	        weight - excess_weight > tree->max_weight) ||
	       (bytes > excess_bytes && bytes - excess_bytes > tree->max_bytes);
}

/* A few from each shard in turn, until the tree is within its bounds again. */
static void shrink(struct ovl_tree *tree)
{
	for (unsigned i = 0; i < 2 * OVL_TREE_SHARDS; i++) {
		unsigned turn = atomic_fetch_add(&tree->next_shard, 1);
		struct ovl_shard *shard = &tree->shards[turn % OVL_TREE_SHARDS];

		for (unsigned n = 0; n < SHARD_SHARE; n++) {
			if (!is_beyond(tree))
				return;
			if (!shrink_shard(shard))
				break;
		}
	}
}

void ovl_tree_shrink(struct ovl_tree *tree)
{
	if (is_beyond(tree))
		shrink(tree);
}

void ovl_tree_charge(struct ovl_tree *tree, size_t weight, size_t bytes)
{
	atomic_fetch_add(&tree->weight, weight);
	atomic_fetch_add(&tree->bytes, bytes);
}

void ovl_tree_discharge(struct ovl_tree *tree, size_t weight, size_t bytes)
{
	atomic_fetch_sub(&tree->weight, weight);
	atomic_fetch_sub(&tree->bytes, bytes);
}

/* What `n` of one directory has beyond three quarters of a bound. */
static size_t excess(size_t n, size_t max)
{
	size_t most = max - max / 4;

	return n > most ? n - most : 0;
}

void ovl_tree_charge_names(struct ovl_tree *tree, struct ovl_dir *dir,
                           size_t weight, size_t bytes)
{
	const size_t max_weight = tree->max_weight;
	const size_t max_bytes = tree->max_bytes;

	/* Less of one is more of the other, and sums wrap around. The excess
	 * is never above what it is a part of. */
	atomic_fetch_add(&tree->weight, weight);
	atomic_fetch_add(&tree->bytes, bytes);
	atomic_fetch_add(&tree->excess_weight,
	                 excess(weight, max_weight) -
	                         excess(dir->weight, max_weight));
	atomic_fetch_add(&tree->excess_bytes,
	                 excess(bytes, max_bytes) -
	                         excess(dir->bytes, max_bytes));
	ovl_tree_discharge(tree, dir->weight, dir->bytes);
	dir->weight = weight;
	dir->bytes = bytes;
}

/* The path of a directory, or the last of it, which ends at `end`. */
static const char *path_of(struct ovl_node *dir, char *begin, char *end)
{
	struct ovl_node *at = ovl_node_ref(dir), *parent;
	char name[NAME_MAX + 1];
	char *path = end;
	size_t len;

	*path = '\0';
	while ((parent = ovl_node_place(at, name))) {
		ovl_node_unref(at);
		at = parent;
		len = strlen(name);
		if ((size_t)(path - begin) < len + 1)
			break;
		path -= len;
		memcpy(path, name, len);
		*--path = '/';
	}
	ovl_node_unref(at);
	return *path ? path : "/";
}

void ovl_tree_tell_huge(struct ovl_tree *tree, struct ovl_node *dir)
{
	const size_t bytes = dir->dir->bytes;
	char path[512];

	if (!tree->log.fn || bytes <= tree->max_bytes ||
	    atomic_exchange(&tree->told, dir->id.fileid) == dir->id.fileid)
		return;
	ovl_log_line(&tree->log, LOG_NOTICE,
	             "the names of %s alone take %zu bytes, which is more than "
	             "the bound on memory",
	             path_of(dir, path, path + sizeof(path) - 1), bytes);
}

struct ovl_names *ovl_tree_new_names(const struct ovl_tree *tree)
{
	return ovl_names_new(ovl_names_hash, tree->cookie_key,
	                     tree->upper ? UPPER_FIRST_TIE : 0);
}

void ovl_tree_count_change(struct ovl_tree *tree)
{
	if (tree->upper)
		ovl_shown_forget(&tree->shown);
	else
		atomic_fetch_add(&tree->changes, 1);
}

void ovl_tree_move_begin(struct ovl_tree *tree)
{
	pthread_mutex_lock(&tree->moving);
	atomic_fetch_add(&tree->moves, 1);
}

void ovl_tree_move_end(struct ovl_tree *tree)
{
	atomic_fetch_add(&tree->moves, 1);
	pthread_mutex_unlock(&tree->moving);
}

/* ---- trees ------------------------------------------------------------------ */

/*
 * Of so much memory, what rows may take that are not written yet: those of a
 * second, for they are written once a second.
 */
static size_t bytes_for_map(size_t max_memory)
{
	size_t bytes = max_memory / MAP_SHARE;

	return max_memory && bytes < MAP_BYTES ? bytes : MAP_BYTES;
}

int ovl_tree_init(struct ovl_tree *tree, const struct ovl_layer *layers,
                  bool upper, const struct ovl_config *config,
                  struct ovl_writer *writer, const unsigned char *cookie_key,
                  ovl_flushed_fn *flushed, void *arg)
{
	const size_t map_bytes = bytes_for_map(config->max_memory);
	pthread_mutexattr_t recursive;

	memset(tree, 0, sizeof(*tree));
	tree->max_weight = config->max_entries;
	tree->max_bytes =
		config->max_memory ? config->max_memory - map_bytes : SIZE_MAX;
	tree->log = (struct ovl_log){ config->log, config->log_arg };
	tree->cookie_key = cookie_key;
	tree->layers = layers;
	tree->upper = upper;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&tree->moving, &recursive);
	pthread_mutexattr_destroy(&recursive);
	for (size_t i = 0; i < OVL_TREE_LOCKS; i++)
		pthread_mutex_init(&tree->locks[i].lock, NULL);
	tree->max_files = config->max_files;
	tree->fds = ovl_fdcache_new(config->max_files, flushed, arg);
	tree->map =
		ovl_map_new(writer, upper ? OVL_TABLE_UPPER : OVL_TABLE_LOWER,
	                    map_bytes < MAP_LEAST ? MAP_LEAST : map_bytes);
	if (!tree->fds || !tree->map)
		goto no_memory;
	for (size_t i = 0; i < OVL_TREE_SHARDS; i++) {
		struct ovl_shard *shard = &tree->shards[i];

		shard->buckets = calloc(FIRST_BUCKETS, sizeof(*shard->buckets));
		if (!shard->buckets)
			goto no_memory;
		shard->nbuckets = FIRST_BUCKETS;
		pthread_mutex_init(&shard->lock, NULL);
	}
	return 0;

no_memory:
	ovl_tree_release(tree);
	return -ENOMEM;
}

void ovl_tree_release(struct ovl_tree *tree)
{
	ovl_node_unref(tree->root);
	tree->root = NULL;
	for (size_t i = 0; i < OVL_TREE_SHARDS; i++) {
		struct ovl_shard *shard = &tree->shards[i];

		for (size_t n = 0; n < shard->nbuckets; n++)
			while (shard->buckets[n])
				ovl_tree_forget(tree, shard->buckets[n]);
		free(shard->buckets);
		shard->buckets = NULL;
		shard->nbuckets = 0;
	}
	if (tree->fds)
		ovl_fdcache_free(tree->fds);
	tree->fds = NULL;
	ovl_map_free(tree->map);
	tree->map = NULL;
}

struct ovl_node *ovl_tree_get(struct ovl_tree *tree, uint64_t fileid)
{
	struct ovl_shard *shard = shard_of(tree, fileid);
	struct ovl_node *node;

	if (!may_have(shard, fileid))
		return NULL;
	pthread_mutex_lock(&shard->lock);
	node = shard_find(shard, fileid);
	if (node) {
		ovl_node_ref(node);
		atomic_store_explicit(&node->used, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&shard->lock);
	return node;
}

bool ovl_tree_has(struct ovl_tree *tree, const struct ovl_node *node)
{
	struct ovl_node *got = ovl_tree_get(tree, node->id.fileid);

	ovl_node_unref(got);
	return got == node;
}

struct ovl_node *ovl_tree_add(struct ovl_tree *tree,
                              const struct ovl_node_spec *spec)
{
	struct ovl_shard *shard = shard_of(tree, spec->id.fileid);
	struct ovl_node *fresh = ovl_node_new(tree, spec), *old, *stale = NULL;

	if (!fresh)
		return NULL;
	if (spec->parent && !spec->indexed)
		ovl_map_put(tree->map, spec->id.fileid, spec->parent->id.fileid,
		            spec->name, strlen(spec->name));

	pthread_mutex_lock(&shard->lock);
	old = shard_find(shard, spec->id.fileid);
	if (old && old->id.generation != spec->id.generation) {
		shard_remove(shard, old);
		stale = old;
		old = NULL;
	}
	if (old)
		ovl_node_ref(old);
	else
		shard_insert(shard, fresh);
	pthread_mutex_unlock(&shard->lock);

	ovl_node_unref(stale);
	if (old) {
		ovl_node_unref(fresh);
		ovl_node_unref(fresh);
		return old;
	}
	ovl_tree_shrink(tree);
	return fresh;
}

/* By identity: the directory may have been loaded anew since. */
static bool has_place_of(struct ovl_node *node,
                         const struct ovl_node_spec *spec)
{
	bool has;

	ovl_node_lock(node);
	has = node->parent && spec->parent &&
	      node->parent->id.fileid == spec->parent->id.fileid &&
	      !strcmp(ovl_node_name(node), spec->name);
	ovl_node_unlock(node);
	return has;
}

int ovl_tree_add_unique(struct ovl_tree *tree, struct ovl_node_spec *spec,
                        struct ovl_node **node)
{
	struct ovl_node *got = ovl_tree_add(tree, spec);

	if (got && (ovl_node_ino(got) != spec->real->ino ||
	            ovl_node_layer(got) != spec->layer)) {
		if (has_place_of(got, spec)) {
			ovl_tree_forget(tree, got);
		} else {
			spec->id.fileid = ovl_fileid(spec->layer->number,
			                             spec->real->ino);
			spec->id.generation = spec->real->generation;
			spec->indexed = false;
		}
		ovl_node_unref(got);
		got = ovl_tree_add(tree, spec);
	}
	if (!got)
		return -ENOMEM;
	*node = got;
	return 0;
}

void ovl_tree_forget(struct ovl_tree *tree, struct ovl_node *node)
{
	struct ovl_shard *shard = shard_of(tree, node->id.fileid);
	bool held;

	pthread_mutex_lock(&shard->lock);
	held = shard_remove(shard, node);
	pthread_mutex_unlock(&shard->lock);
	if (held)
		ovl_node_unref(node);
}
