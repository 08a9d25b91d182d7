/*
 * Whether the directories of the layers that make up a directory have been
 * changed behind the server's back since their names were read in. Each part has
 * a stamp: its mtime and ctime, taken just before it was read.
 *
 * Clocks of filesystems are coarse: two changes of one tick have one time. So
 * what was read so soon after a change that another one could hide behind it is
 * read once more, some time later. The same goes for our own changes, which move
 * the times by themselves: the names are kept right in place then, and what
 * others changed in that moment shows when they are read again; that is not done
 * so often that it would take more than about a hundredth of the time.
 *
 * Stamps are guarded by the node's lock.
 */
#ifndef VENEER_OVERLAY_STAMP_H
#define VENEER_OVERLAY_STAMP_H

#include <stdbool.h>

#include "overlay/tree.h"

/* The part, open as `fd`, is about to be read. Blocks. 0 or -errno. */
int ovl_stamp_take(struct ovl_node *dir, unsigned part, int fd);

/* All of them have been read, and `dir`, which is locked, knows its names. */
void ovl_stamp_names(struct ovl_node *dir);

/* An upper directory looks like this after a change of our own; it is locked. */
void ovl_stamp_own(struct ovl_node *dir, const struct ovl_attr *attr);

/*
 * Look at all parts, but for the top one where `top` tells how that looked just now;
 * where others may have changed something, forget the names, and count it in
 * dir->dir->shape. `held`: the caller holds `change`; else, while somebody does,
 * nothing is forgotten, and the next look sees to it. Blocks.
 */
void ovl_stamp_check(struct ovl_node *dir, const struct ovl_attr *top,
                     bool held);

#endif
