/*
 * Metacopies: files of the upper layer that have their attributes alone, their
 * data being in a layer below (the kernel's overlay.metacopy).
 */
#ifndef VENEER_OVERLAY_METACOPY_H
#define VENEER_OVERLAY_METACOPY_H

#include <stdint.h>

#include "overlay/fs.h"

/*
 * Copy the data up, too, of a node of the upper that may be a metacopy: its first
 * `size` bytes, if the rest is about to be cut off, as in ovl_copyup. Until all of
 * it is there the data below is served. `copying` is what the copy counts as:
 * nobody else's. Blocks. 0, -EINPROGRESS (see copying.h), -ENOSPC, -EDQUOT, -EIO, ...: then it is a metacopy as before, and takes no
 * space.
 */
int ovl_metacopy_complete(struct ovl_node *node, uint64_t size,
                          struct ovl_copying *copying);

/*
 * The times of the node are about to be set, of which only those in `set` count. Where
 * its data come at this moment, they are to be those when all is there.
 */
void ovl_metacopy_set_times(struct ovl_node *node,
                            const struct ovl_setattr *set);

/*
 * A name of the node is about to be another: where it is a metacopy, say in it by
 * what path its data is found below. 0, -EXDEV (the path is too long), -errno.
 */
int ovl_metacopy_redirect(struct ovl *fs, struct ovl_node *node);

#endif
