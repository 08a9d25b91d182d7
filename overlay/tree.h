/*
 * Trees: nodes found by identity, within a bound.
 *
 * There are two kinds of tree. A stack's holds the merged view of lower layers,
 * and never changes. An overlay's holds only what has an upper part; what has
 * none is the stack's node, and is shared by all overlays on that stack.
 *
 * Beyond max_entries (nodes and cached names together), and beyond max_bytes of
 * memory for them, a tree forgets what was not used lately and nobody holds. The
 * names of one huge directory may exceed either, or each page of its listing
 * would read it anew; those of two may not. Thread-safe; for the order of locks
 * see node.h.
 */
#ifndef VENEER_OVERLAY_TREE_H
#define VENEER_OVERLAY_TREE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "overlay/fdcache.h"
#include "overlay/index.h"
#include "overlay/log.h"
#include "overlay/map.h"
#include "overlay/node.h"
#include "overlay/overlay.h"
#include "overlay/shown.h"

#define OVL_TREE_SHARDS 64
#define OVL_TREE_LOCKS 256
/* What two threads write should not be in one of these. */
#define OVL_CACHE_LINE 64

/* Bits of a shard that tell what is not in it. */
#define OVL_TREE_TRACES 256

struct ovl_shard {
	/* Guards the fields below, and hashing of nodes. */
	_Alignas(OVL_CACHE_LINE) pthread_mutex_t lock;
	struct ovl_node **buckets;
	size_t nbuckets, count;

	/*
	 * One for some of all fileids each, set where one of those is, or was, in
	 * the table: who looks for another takes no lock. Of what an overlay
	 * shows, most has no upper part.
	 */
	_Alignas(OVL_CACHE_LINE) _Atomic uint64_t traces[OVL_TREE_TRACES / 64];
	size_t hand; /* the bucket where the search for what to forget goes on */
};

/* Of some nodes: see ovl_node_lock. */
struct ovl_tree_lock {
	_Alignas(OVL_CACHE_LINE) pthread_mutex_t lock;
};

struct ovl_tree {
	struct ovl_shard shards[OVL_TREE_SHARDS];
	struct ovl_tree_lock locks[OVL_TREE_LOCKS];
	atomic_size_t weight, bytes; /* of nodes and cached names */
	/* The part of it that huge directories are let off. */
	atomic_size_t excess_weight, excess_bytes;
	size_t max_weight, max_bytes;
	_Atomic uint64_t told; /* the fileid of the last one logged */
	struct ovl_log log;
	atomic_uint next_shard; /* to forget from */
	struct ovl_fdcache *fds;
	size_t max_files; /* what `fds` is bounded to */
	struct ovl_map *map;
	struct ovl_index *index; /* borrowed; NULL but in an overlay */
	/* What its nodes stand in, borrowed: OVL_LAYER_MAX at most. */
	const struct ovl_layer *layers;
	const unsigned char *cookie_key; /* borrowed, OVL_KEY_BYTES */
	struct ovl_node *root;           /* held; NULL: no layer */
	bool upper;                      /* an overlay's, not a stack's */
	bool writable;                   /* its files are opened for writing */
	bool in_memory; /* no layer that it shows waits for a disk */
	/* What is below its directories has changed then; 0: never. */
	struct timespec restacked;
	/* Finds, by its rows, what is not in memory; NULL: nobody does. No
	 * lock is taken that stands before `moving`. Blocks. */
	int (*find)(void *arg, uint64_t fileid, struct ovl_node **node);
	void *find_arg;
	/* Held while an object moves, on disk and in memory: who finds it
	 * neither here nor there takes it, and looks again, from above too:
	 * so it is recursive. */
	pthread_mutex_t moving;
	/* Odd while something moves: who found nothing, and this has changed
	 * since before, looks again. */
	atomic_uint moves;
	/* Odd while a file gets a further name, which is a move. */
	atomic_uint linking;
	/* How often others were seen to change a directory of a stack. */
	_Atomic uint64_t changes;
	struct ovl_shown shown; /* an overlay's, of the stack below */
};

/*
 * A tree of what stands in these layers, without a root, bounded and logging as
 * `config` says, whose map is kept by `writer` (NULL: in memory alone). 0 or
 * -ENOMEM.
 */
int ovl_tree_init(struct ovl_tree *tree, const struct ovl_layer *layers,
                  bool upper, const struct ovl_config *config,
                  struct ovl_writer *writer, const unsigned char *cookie_key,
                  ovl_flushed_fn *flushed, void *arg);

/* Drop the root and all nodes; nobody may hold any. */
void ovl_tree_release(struct ovl_tree *tree);

/* The node of that fileid, referenced, or NULL where it is not in memory. */
struct ovl_node *ovl_tree_get(struct ovl_tree *tree, uint64_t fileid);

/* Whether it has this very node, at this moment. */
bool ovl_tree_has(struct ovl_tree *tree, const struct ovl_node *node);

/*
 * The node of this identity, referenced: the one in memory, else a new one,
 * which gets its row in the map. An old one of the same fileid and another
 * generation is forgotten: its inode number has been used again. May forget
 * other nodes, and so block. NULL: no memory.
 */
struct ovl_node *ovl_tree_add(struct ovl_tree *tree,
                              const struct ovl_node_spec *spec);

/*
 * The same of what stands on disk as `spec->real`. Two objects may claim one
 * identity, by marks that were copied by other hands: the second is known by what
 * it is itself; where it has the other's place, it has replaced that. 0 or
 * -ENOMEM.
 */
int ovl_tree_add_unique(struct ovl_tree *tree, struct ovl_node_spec *spec,
                        struct ovl_node **node);

/* Make the tree forget a node, whoever still holds it: its object is gone. */
void ovl_tree_forget(struct ovl_tree *tree, struct ovl_node *node);

/* Add to, or take from, what the tree counts. */
void ovl_tree_charge(struct ovl_tree *tree, size_t weight, size_t bytes);
void ovl_tree_discharge(struct ovl_tree *tree, size_t weight, size_t bytes);

/* A directory's names, of which there are none yet. NULL: no memory. */
struct ovl_names *ovl_tree_new_names(const struct ovl_tree *tree);

/* The names of this directory count for so much from now on. */
void ovl_tree_charge_names(struct ovl_tree *tree, struct ovl_dir *dir,
                           size_t weight, size_t bytes);

/* Forget the names of a directory, unless it is in use right now. */
void ovl_tree_drop_names(struct ovl_node *node);

/* Forget something, where the tree is beyond its bounds. Blocks. */
void ovl_tree_shrink(struct ovl_tree *tree);

/* Log a directory whose names alone are beyond the bound on bytes, once. */
void ovl_tree_tell_huge(struct ovl_tree *tree, struct ovl_node *dir);

/* Others have changed a directory, or may have. */
void ovl_tree_count_change(struct ovl_tree *tree);

/* Around a move: `moving` is held, and who looks meanwhile will know of it. */
void ovl_tree_move_begin(struct ovl_tree *tree);
void ovl_tree_move_end(struct ovl_tree *tree);

#endif
