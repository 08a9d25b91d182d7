/*
 * Finding nodes of an overlay: by name, by identity, upwards. An object is
 * either the overlay's (it has an upper part) or the stack's (it has none, and
 * nothing hides it). No permission is asked for here.
 */
#ifndef VENEER_OVERLAY_FIND_H
#define VENEER_OVERLAY_FIND_H

#include <stdbool.h>

#include "overlay/fs.h"

/*
 * The upper part that the object has by now, if it was the stack's when the caller
 * got it; referenced. NULL: it is what it was. Does not block.
 */
struct ovl_node *ovl_find_upper(struct ovl *fs, struct ovl_node *node);

/*
 * The child of that name ("." and ".." have no meaning here). -ENOENT, -ENOTDIR,
 * -EAGAIN, -errno.
 */
int ovl_find_child(struct ovl *fs, struct ovl_node *dir, const char *name,
                   bool may_wait, struct ovl_node **node);

/*
 * The same of a name that has just been listed with that fileid, in an upper
 * directory or the stack's: NULL where it takes more than a look at what is in
 * memory, and the name, too, has to be looked at.
 */
struct ovl_node *ovl_find_listed(struct ovl *fs, bool in_upper,
                                 uint64_t fileid);

/* The directory above; the root's is itself. */
int ovl_find_parent(struct ovl *fs, struct ovl_node *node, bool may_wait,
                    struct ovl_node **parent);

/*
 * Whether the stack's node is known to show as it is, by no more than a look at
 * what is in memory.
 */
bool ovl_find_is_shown(struct ovl *fs, struct ovl_node *lower);

/*
 * What the overlay has in place of the stack's node `lower`: the node that has
 * an upper part, or `lower` itself. -ENOENT: it is hidden, or was moved.
 */
int ovl_find_over(struct ovl *fs, struct ovl_node *lower, bool may_wait,
                  struct ovl_node **node);

/*
 * The tree's node of that fileid, by the rows of its map. -ENOENT: none of them
 * leads to it. -ERESTART: so it seems, but something has moved meanwhile. Blocks.
 */
int ovl_find_by_rows(struct ovl *fs, struct ovl_tree *tree, uint64_t fileid,
                     struct ovl_node **node);

/* The stack's node of this identity, by its rows at the most. -ENOENT. */
int ovl_find_lower(struct ovl *fs, struct ovl_id id, struct ovl_node **lower);

/*
 * Where the stack's node `lower`, which has no upper part, shows: the overlay's
 * directory and the name in it (at least 256 bytes). -ENOENT: nowhere. -EEXIST:
 * it has an upper part by now.
 */
int ovl_find_place(struct ovl *fs, struct ovl_node *lower,
                   struct ovl_node **dir, char *name);

#endif
