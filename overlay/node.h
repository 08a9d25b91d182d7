/*
 * Nodes in memory: the objects of a tree, found by identity.
 *
 * There are two kinds of tree, and both are made of these. A stack's tree holds
 * the merged view of lower layers, and never changes. An overlay's tree holds
 * only what has an upper part; what has none is the stack's node, and is shared
 * by all overlays on that stack.
 *
 * A tree is bounded: beyond max_entries (nodes and cached names together) it
 * forgets what was not used lately and nobody holds. A node holds its parent.
 *
 * Order of locks, outermost first (a lock may be taken while holding only such
 * as stand before it):
 *   1. struct ovl.rename          renames that move between directories
 *   2. struct ovl_dir.change      an upper directory before the stack's below it;
 *                                 of two upper ones: the parent first, else by
 *                                 address
 *   3. struct ovl_tree.moving
 *   4. struct ovl_node.lock       an upper node before the stack's
 *   5. a tree's shard, the map's, the descriptor cache's, the walk's
 * Of these only 1 to 3 are held while waiting for a disk.
 */
#ifndef VENEER_OVERLAY_NODE_H
#define VENEER_OVERLAY_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlay/attr.h"
#include "overlay/fdcache.h"
#include "overlay/index.h"
#include "overlay/layer.h"
#include "overlay/map.h"
#include "overlay/names.h"

struct ovl_tree;

/* One layer's directory that takes part in a merged directory. */
struct ovl_part {
	const struct ovl_layer *layer;
	uint64_t ino;
	unsigned parent_part; /* the part of the parent that it stands in */
	struct ovl_fdslot fd; /* O_RDONLY | O_DIRECTORY */
};

/* What a directory has besides. */
struct ovl_dir {
	/* Held while its names change on disk, and while they are read in. */
	pthread_mutex_t change;
	/* All its names, or NULL: not read in. Guarded by the node's lock. */
	struct ovl_names *names;
	/* What the names count for in the tree's bound; changes under the
	 * node's lock, and is looked at without. */
	atomic_size_t weight;
	bool dead; /* removed; guarded by `change` */
	unsigned nparts;
	struct ovl_part parts[]; /* top first; of an upper directory: one */
};

struct ovl_node {
	struct ovl_id id;
	struct ovl_tree *tree;
	const struct ovl_layer *layer; /* where its attributes are read */
	struct ovl_node
		*lower; /* of a merged upper directory: the stack's, held */
	struct ovl_dir *dir;  /* NULL but for a directory */
	struct ovl_fdslot fd; /* of a regular file: O_RDONLY, O_RDWR if upper */
	uint64_t ino;         /* in its layer */
	uint64_t ino_generation;
	mode_t type;          /* S_IFMT bits */
	uint16_t part;        /* of its parent, in which it stands */
	bool foreign;         /* another mount: not entered */
	bool indexed;         /* reached through the index, by any name */
	uint32_t extra_links; /* a directory's, from its parts below the top */

	/* Guarded by `lock`. */
	pthread_mutex_t lock;
	struct ovl_node *parent; /* held; NULL: the root */
	char *name;              /* one that it has in its parent */
	struct ovl_attr attr;
	uint64_t
		checked; /* when attr was read: ns of CLOCK_MONOTONIC; 0: never */

	/* The tree's. */
	atomic_uint refs; /* one of them the tree's own */
	atomic_bool used;
	struct ovl_node *hash_next;
	struct ovl_node *clock_next, *clock_prev;
	bool hashed;
};

#define OVL_TREE_SHARDS 64

struct ovl_shard {
	pthread_mutex_t
		lock; /* guards the fields below, and hashing of nodes */
	struct ovl_node **buckets;
	size_t nbuckets, count;
	struct ovl_node *hand; /* where the search for what to forget goes on */
};

struct ovl_tree {
	struct ovl_shard shards[OVL_TREE_SHARDS];
	atomic_size_t weight; /* nodes and cached names */
	size_t max_weight;
	atomic_uint next_shard; /* to forget from */
	struct ovl_fdcache *fds;
	size_t max_files; /* what `fds` is bounded to */
	struct ovl_map *map;
	struct ovl_index *index;         /* borrowed; NULL but in an overlay */
	const unsigned char *cookie_key; /* borrowed, OVL_KEY_BYTES */
	struct ovl_node *root;           /* held; NULL: no layer */
	bool upper;                      /* an overlay's, not a stack's */
	bool writable;                   /* its files are opened for writing */
	/* Held while an object moves, on disk and in memory: who finds it
	 * neither here nor there takes it, and looks again, from above too:
	 * so it is recursive. */
	pthread_mutex_t moving;
	/* Odd while something moves: who found nothing, and this has changed
	 * since before, looks again. */
	atomic_uint moves;
};

/* A tree without a root. 0 or -ENOMEM. */
int ovl_tree_init(struct ovl_tree *tree, bool upper, size_t max_entries,
                  size_t max_files, const unsigned char *cookie_key,
                  ovl_flushed_fn *flushed, void *arg);

/* Drop the root and all nodes; nobody may hold any. */
void ovl_tree_release(struct ovl_tree *tree);

/* The node of that fileid, referenced, or NULL where it is not in memory. */
struct ovl_node *ovl_tree_get(struct ovl_tree *tree, uint64_t fileid);

/* What ovl_tree_add makes a node of. */
struct ovl_node_spec {
	struct ovl_id id;
	const struct ovl_layer *layer;
	const struct ovl_real *real;
	struct ovl_node *parent; /* NULL: the root */
	const char *name;
	unsigned part;
	struct ovl_node *lower;       /* or NULL; referenced anew */
	const struct ovl_part *parts; /* of a directory; copied */
	unsigned nparts;
	uint32_t extra_links;
	bool indexed; /* `parent` and `name` are only where it was seen */
};

/*
 * The node of this identity, referenced: the one in memory, else a new one,
 * which gets its row in the map. An old one of the same fileid and another
 * generation is forgotten: its inode number has been used again. May forget
 * other nodes, and so block. NULL: no memory.
 */
struct ovl_node *ovl_tree_add(struct ovl_tree *tree,
                              const struct ovl_node_spec *spec);

/* Make the tree forget a node, whoever still holds it: its object is gone. */
void ovl_tree_forget(struct ovl_tree *tree, struct ovl_node *node);

/* Add to, or take from, what the tree counts; may forget something. Blocks. */
void ovl_tree_charge(struct ovl_tree *tree, size_t weight);
void ovl_tree_discharge(struct ovl_tree *tree, size_t weight);

/* Around a move: `moving` is held, and who looks meanwhile will know of it. */
void ovl_tree_move_begin(struct ovl_tree *tree);
void ovl_tree_move_end(struct ovl_tree *tree);

/* The parent, referenced; NULL for the root. */
struct ovl_node *ovl_node_parent(struct ovl_node *node);

/*
 * The parent, referenced (NULL for the root), and the name, into at least 256
 * bytes, as they are at this moment.
 */
struct ovl_node *ovl_node_place(struct ovl_node *node, char *name);

/* It has moved, or is better known by another name. 0 or -ENOMEM. */
int ovl_node_set_place(struct ovl_node *node, struct ovl_node *parent,
                       const char *name);

/* A file has been found by this name: remember it, if it may have several. */
void ovl_node_remember(struct ovl_node *node, struct ovl_node *dir,
                       const char *name);

/* Replace a directory's names (NULL: forget them). The node's lock is held. */
void ovl_node_set_names(struct ovl_node *node, struct ovl_names *names);

/* Now, as struct ovl_node.checked counts. */
uint64_t ovl_now(void);

#endif
