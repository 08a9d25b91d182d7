/*
 * Copy-up: giving a lower object its upper part.
 */
#ifndef VENEER_OVERLAY_COPYUP_H
#define VENEER_OVERLAY_COPYUP_H

#include <stdint.h>

#include "overlay/fs.h"

/*
 * The node with an upper part of this object, referenced: itself, or what it has
 * become; it is copied up, and its parents first, if need be. `size`: how much
 * of a regular file is wanted, the rest being about to be cut off; UINT64_MAX:
 * all. One copy at a time is made of an object; others wait for it. Blocks.
 *
 * The object is made whole in the work directory and then renamed into place:
 * until then, and after any failure, the lower one is served. -ENOENT: it has
 * been removed meanwhile; -ENOSPC, -EDQUOT, -EIO, -EACCES, ...
 */
int ovl_copyup(struct ovl *fs, struct ovl_node *node, uint64_t size,
               struct ovl_node **upper);

#endif
