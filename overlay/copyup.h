/*
 * Copy-up: giving a lower object its upper part.
 */
#ifndef VENEER_OVERLAY_COPYUP_H
#define VENEER_OVERLAY_COPYUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "overlay/fs.h"

/* What of a regular file is wanted in the upper: see ovl_copyup. */
#define OVL_COPYUP_ALL UINT64_MAX
#define OVL_COPYUP_ATTRS (UINT64_MAX - 1)

/*
 * The node with an upper part of this object, referenced: itself, or what it has
 * become; it is copied up, and its parents first, if need be. `size`: how much
 * of a regular file is wanted, the rest being about to be cut off;
 * OVL_COPYUP_ALL; OVL_COPYUP_ATTRS: its data may stay where it is (metacopy). One
 * copy at a time is made of an object; others wait for it (copying.h). Blocks.
 *
 * The object is made whole in the work directory and then renamed into place:
 * until then, and after any failure, the lower one is served. -ESTALE: it has
 * been removed meanwhile; -EINPROGRESS: to be asked for again, in a while, since
 * it takes long, or too much else does; -ENOSPC, -EDQUOT, -EIO, -EACCES, ...
 */
int ovl_copyup(struct ovl *fs, struct ovl_node *node, uint64_t size,
               struct ovl_node **upper);

/* A mode (07777) for the copy, and whether a copy was made that has it. */
struct ovl_copyup_mode {
	mode_t mode;
	bool is_set;
};

/*
 * The same for this caller. If he may not wait, -EAGAIN, unless it is a small file
 * of one name in layers that are in memory, whose directory has an upper part.
 * `mode`: of a regular file, what a copy gets that is made now; NULL: the original's.
 */
int ovl_copyup_for(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *node, uint64_t size,
                   struct ovl_copyup_mode *mode, struct ovl_node **upper);

/*
 * The same of what is to get another name; but -ENOENT where it has been removed. A
 * metacopy would find its data by a
 * redirect from then on: where none is followed, the data come along.
 */
int ovl_copyup_to_name(struct ovl *fs, struct ovl_node *node,
                       struct ovl_node **upper);

/*
 * The same of a file (OVL_COPYUP_ATTRS) by one of its names, which the copy gets,
 * if it is made now: `name` in `dir`, by which `file` has been found. -ENOENT: it has
 * it no more.
 */
int ovl_copyup_name(struct ovl *fs, struct ovl_node *dir, const char *name,
                    struct ovl_node *file, struct ovl_node **upper);

#endif
