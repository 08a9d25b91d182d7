/*
 * Nodes: the objects of a tree, in memory. A node holds its parent, and what it
 * is merged with; it goes when the last reference does.
 *
 * Order of locks, outermost first (a lock may be taken while holding only such
 * as stand before it):
 *   1. struct ovl.rename          renames that move between directories
 *   2. struct ovl_dir.change      an upper directory before the stack's below it;
 *                                 of two upper ones: the parent first, else by
 *                                 address; the stack's, whose holders take
 *                                 nothing of an overlay's, after 3 as well
 *   3. struct ovl_tree.moving
 *   4. ovl_node_lock              an upper node before the stack's; never two of
 *                                 one tree
 *   5. a tree's shard, the map's, the descriptor cache's, the walk's,
 *      the batch's
 * Of these only 1 to 3 are held while waiting for a disk; and one of struct
 * ovl.overriding, inside which nothing is locked.
 */
#ifndef VENEER_OVERLAY_NODE_H
#define VENEER_OVERLAY_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/stat.h>

#include "overlay/acl.h"
#include "overlay/attr.h"
#include "overlay/fdcache.h"
#include "overlay/layer.h"
#include "overlay/names.h"

struct ovl_tree;

/* When a directory was last changed (stamp.h). */
struct ovl_stamp {
	struct timespec mtime, ctime;
};

/*
 * Attributes in the room that they need: a node has its type and its fileid
 * besides, few are devices, and struct timespec is a quarter of nothing.
 */
struct ovl_kept_attr {
	uint64_t size, used; /* bytes; bytes on disk */
	int64_t atime, mtime, ctime;
	uint32_t atime_ns, mtime_ns, ctime_ns;
	uint32_t nlink, uid, gid;
};

/* What one layer has of an object: a directory that takes part in a merge. */
struct ovl_part {
	const struct ovl_layer *layer;
	uint64_t ino;
	uint64_t generation;  /* 0: of a root, which is held open */
	unsigned parent_part; /* the part of the parent that it stands in */
	/* Where it stands: a path from the layer's root ("/..."), or a name in
	 * the parent's part. NULL: by the node's name. Owned by the node. */
	char *redirect;
	struct ovl_fdslot fd; /* O_RDONLY | O_DIRECTORY */
	atomic_bool marks;    /* it has ".wh." names, or was not read in yet */
	struct ovl_stamp stamp; /* guarded by the node's lock */
};

/* What a directory has besides. */
struct ovl_dir {
	/* Held while its names change on disk, or its attributes are set, and
	 * while its names are read in. */
	pthread_mutex_t change;
	/* All its names, or NULL: not read in. Guarded by the node's lock. */
	struct ovl_names *names;
	/* Subdirectories of its parts below the top. Guarded likewise. */
	uint32_t extra_links;
	/* Of an upper directory that is to be read in again, since others may
	 * have changed something: what its names stood for. Guarded likewise. */
	struct ovl_names *former;
	/* What the names count for in the tree's bounds: how many, and their
	 * bytes. Change under the node's lock, and are looked at without. */
	atomic_size_t weight, bytes;
	bool dead; /* removed; guarded by `change` */
	/* Guarded by the node's lock; see stamp.h. */
	bool young;      /* what was read may have changed unseen since */
	bool edited;     /* the server has changed it since it was read */
	uint64_t loaded; /* when it was read: ns of ovl_now */
	/* What an upper directory hands on (held; NULL: nothing), and when that
	 * was read: ns of ovl_now. Guarded by the node's lock. */
	struct ovl_acl *default_acl;
	uint64_t default_acl_checked;
	/* Grows with each change by others that was seen. */
	atomic_uint shape;
	unsigned nparts;
	struct ovl_part parts[]; /* top first; of an upper directory: one */
};

/*
 * The times of a metacopy while its data come, which changes those on disk: as they
 * were, or as somebody has set them since.
 */
struct ovl_filling {
	struct timespec times[2]; /* atime, mtime */
	bool is_set;              /* since they were put on disk last */
};

/*
 * What the nodes of an upper layer have besides, and few of a stack's: a device, a
 * file with an ACL, with data elsewhere, or with another name than it came with.
 */
struct ovl_more {
	/* Of a merged upper directory, the stack's; of a metacopy, the stack's
	 * file that has its data, if it is not in `data`. Held. */
	struct ovl_node *lower;
	struct ovl_part *data; /* of a file whose data is elsewhere: where */
	uint64_t data_used;    /* bytes on disk of data that is elsewhere */
	/* In its layer; 0: as in the node's identity, which it was born with. */
	uint64_t ino, ino_generation;
	/* How often it was put into place by copy-up, or got its data there, and
	 * after how many of them that was flushed: see ovl_flush_place. */
	atomic_uint placed, settled;
	atomic_bool metacopy; /* an upper file without its data, for now */
	atomic_uint changes;  /* begun, and under way: ovl_node_change_begin */

	/* Guarded by ovl_node_lock. */
	uint32_t rdev_major, rdev_minor;
	char *name; /* that it is known by now; NULL: by the node's own */
	struct ovl_acl *access_acl;  /* held; NULL: none */
	struct ovl_filling *filling; /* NULL: its data do not come just now */
};

/* There may be millions: what not all of them need is elsewhere. */
struct ovl_node {
	struct ovl_id id;
	struct ovl_tree *tree;
	struct ovl_dir *dir; /* NULL but for a directory */
	/* NULL: as if it were all zero. Once there, it stays. */
	struct ovl_more *_Atomic more;
	struct ovl_fdslot fd; /* of a regular file: O_RDONLY, O_RDWR if upper */

	/* Guarded by ovl_node_lock. */
	struct ovl_node *parent; /* held; NULL: the root */
	struct ovl_kept_attr attr;
	/* When the attributes, and the access ACL, were read: ns of ovl_now;
	 * 0: never. */
	uint64_t checked, acl_checked;
	uint16_t mode; /* the 07777 part */

	uint16_t layer;     /* the tree's, where its attributes are read */
	uint16_t part;      /* of its parent, in which it stands */
	uint8_t d_type : 4; /* DT_* of <dirent.h>: ovl_node_type */
	bool foreign : 1;   /* another mount: not entered */
	bool indexed : 1;   /* reached through the index, by any name */
	/* A directory that a redirect leads on from: a part may come to be where
	 * nothing is, which no look at its parts would tell. */
	bool open_ended : 1;
	atomic_bool used; /* the tree's */

	/* Whether it is still what shows at its place (verify.h): the time for
	 * which that is known, ns of ovl_now, and what the shapes of the
	 * directories that it depends on were when it was found out. */
	atomic_uint_fast64_t verified;
	atomic_uint seen;

	/* The tree's. */
	atomic_uint refs; /* one of them its own */
	struct ovl_node *hash_next;

	char name[]; /* that it came with, in its parent: ovl_node_name */
};

/* What a node is made of. */
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
	bool metacopy;
	const struct ovl_part *data; /* or NULL; copied */
	uint64_t data_used;
	uint32_t extra_links;
	bool copied_up; /* just now */
	bool empty;     /* a directory that has just been made */
	bool indexed;   /* `parent` and `name` are only where it was seen */
	bool open_ended;
	unsigned seen; /* ovl_node_shapes, from before it was looked for */
};

/*
 * Lock the node, and with it others of its tree: a lock each would be a fifth of
 * what a node takes. Who holds one must not lock a second node of the tree.
 */
void ovl_node_lock(struct ovl_node *node);
bool ovl_node_trylock(struct ovl_node *node);
void ovl_node_unlock(struct ovl_node *node);

/* Where its attributes are read. */
const struct ovl_layer *ovl_node_layer(const struct ovl_node *node);

/*
 * The directory that an upper one merges with, or the file that has the data of a
 * metacopy; NULL: none. Borrowed: it stays.
 */
static inline struct ovl_node *ovl_node_lower(const struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return more ? more->lower : NULL;
}

/* Where the data of a stack's file is, or NULL: in itself. */
struct ovl_part *ovl_node_data(const struct ovl_node *node);

/* Whether an upper file is without its data, for now. */
bool ovl_node_is_metacopy(const struct ovl_node *node);

/*
 * A change of an upper node's data or attributes begins, before the look that tells
 * how it was; and ends, after the one that tells how it is: what `_begin` returned
 * goes to `_end`, which says whether it was alone: none other of the server's has
 * been under way meanwhile. Nobody waits. Changes of a directory hold its `change`
 * instead.
 */
unsigned ovl_node_change_begin(struct ovl_node *node);
bool ovl_node_change_end(struct ovl_node *node, unsigned begun);

/* Its inode number in its layer, and the generation of that. */
uint64_t ovl_node_ino(const struct ovl_node *node);
uint64_t ovl_node_ino_generation(const struct ovl_node *node);

/* Whether this is what it was made for: the same inode, of the same type. */
bool ovl_node_is_of(const struct ovl_node *node, const struct ovl_real *real);

/* What it is known by in its parent. The node's lock is held. */
const char *ovl_node_name(const struct ovl_node *node);

/* The attributes that were read last, and new ones. The node's lock is held. */
void ovl_node_get_attr(const struct ovl_node *node, struct ovl_attr *attr);
void ovl_node_set_attr(struct ovl_node *node, const struct ovl_attr *attr);

/*
 * Its ACL of that kind as it was read last, borrowed; and another, of which it takes
 * the reference and gives that to the one before. The node's lock is held. 0 or
 * -ENOMEM.
 */
struct ovl_acl *ovl_node_kept_acl(const struct ovl_node *node,
                                  enum ovl_acl_kind kind);
int ovl_node_swap_acl(struct ovl_node *node, enum ovl_acl_kind kind,
                      struct ovl_acl **acl);

/*
 * The shapes of all that decides what stands in the directory `parent`, and,
 * where it is no NULL, of `node` in it, in one number.
 */
unsigned ovl_node_shapes(const struct ovl_node *parent,
                         const struct ovl_node *node);

/*
 * A node with two references, the tree's and the caller's, and in no table yet.
 * NULL: no memory.
 */
struct ovl_node *ovl_node_new(struct ovl_tree *tree,
                              const struct ovl_node_spec *spec);

/* Whether the data of a file is where its attributes are. */
bool ovl_node_has_data(const struct ovl_node *node);

/* The bytes on disk that its attributes tell of. */
uint64_t ovl_node_used(struct ovl_node *node);

/*
 * For what was found by the number that a directory had: by now it may be that of
 * another object, with no names in it. Then NULL, and the reference goes. NULL is
 * fine.
 */
struct ovl_node *ovl_node_if_dir(struct ovl_node *node);

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

/* Its names are to be read in again; what they stand for is known, mostly. */
void ovl_node_doubt_names(struct ovl_node *node);

/* Count the names anew, after a change in them. The node's lock is held. */
void ovl_node_count_names(struct ovl_node *node);

/* Now, as struct ovl_node.checked counts. */
uint64_t ovl_now(void);

#endif
