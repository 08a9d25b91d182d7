/*
 * The upper side of an overlay: its nodes, made from what is in the upper layer.
 */
#ifndef VENEER_OVERLAY_UPPER_H
#define VENEER_OVERLAY_UPPER_H

#include <stdbool.h>

#include "overlay/fs.h"

/* The root: the upper's, merged with the stack's. 0 or -errno. */
int ovl_upper_add_root(struct ovl *fs);

/*
 * The node of what stands at `name` in the upper directory `dir`: born where its
 * origin says, or, a directory that merges, where the one below it was. -ENOENT
 * (nothing, or a whiteout), -errno. Blocks.
 */
int ovl_upper_load(struct ovl *fs, struct ovl_node *dir, const char *name,
                   struct ovl_node **node);

/*
 * The node of the copy that the index has of the stack's file `lower`. -ENOENT:
 * it has none. Blocks.
 */
int ovl_upper_load_indexed(struct ovl *fs, struct ovl_node *lower,
                           struct ovl_node **node);

/*
 * Whether `node` still stands as `name` in the upper directory `dir` (a file, by
 * any name that is known), and a directory merges with the same one. 1, 0 or
 * -errno. Blocks.
 */
int ovl_upper_is_same(struct ovl *fs, struct ovl_node *dir, const char *name,
                      struct ovl_node *node);

/*
 * Remove an object in the making, `tmp` of the work directory, with the stand-in
 * that it may have; `real` is how it looks, as far as it is known.
 */
void ovl_upper_discard(struct ovl *fs, const char *tmp,
                       const struct ovl_real *real);

/*
 * What is open as `fd` has come from the work directory into its place, which moved
 * its ctime, by which clients know of changes: how it looks now. If it cannot be
 * looked at, it stays as it looked before: too late for an error.
 */
void ovl_upper_look_placed(struct ovl *fs, int fd, struct ovl_real *real);

/* The links that a merged directory has from the stack's directory below it. */
uint32_t ovl_upper_links_below(struct ovl_node *lower);

/*
 * The fileid of the regular file `name` in the upper directory, where it was born
 * in the upper, by a short look. -EXDEV: it was born elsewhere. -errno.
 */
int ovl_upper_identify(struct ovl *fs, struct ovl_node *dir, const char *name,
                       uint64_t *fileid);

#endif
