/*
 * Removing a tree that is ours to remove: a place in the work directory, which
 * no client and no other server reaches. Nothing is followed and no mount is
 * entered. Depth costs neither stack nor descriptors.
 *
 * No state. Blocks.
 */
#ifndef VENEER_OVERLAY_RMTREE_H
#define VENEER_OVERLAY_RMTREE_H

/* Remove `name` in `dirfd` with all that is in it. 0, also where it is not
 * there, or -errno (-EXDEV, -EBUSY: a mount), with some of it gone. */
int ovl_rmtree(int dirfd, const char *name);

/* The same of all that is in `dirfd`, which stays; it may be O_PATH. */
int ovl_rmtree_contents(int dirfd);

#endif
