/*
 * What perm.h decides, asked of nodes: by their attributes and ACL, as trusted as
 * the overlay's cache says. An ACL is read only where it can make a difference.
 *
 * Each returns 0, or -EACCES or -EPERM as the function of that name in perm.h
 * does; or what keeps the question from being answered: -EAGAIN (something has
 * to be read, and the caller may not wait), -ESTALE, -EIO (an ACL that makes no
 * sense), -errno.
 */
#ifndef VENEER_OVERLAY_MAY_H
#define VENEER_OVERLAY_MAY_H

#include "overlay/fs.h"

/* 0 or -EROFS: nothing here may be changed, or by nobody like him. */
int ovl_may_change(const struct ovl *fs, const struct ovl_caller *caller);

/* All of `want` (R_OK | W_OK | X_OK). */
int ovl_may_access(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *node, int want);

/* The part of `want`, which may have OVL_DELETE_OK, that the caller may do. */
int ovl_may_which(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node, int want, int *granted);

/* Read and write data; `attr` gets the attributes. */
int ovl_may_read(struct ovl *fs, const struct ovl_caller *caller,
                 struct ovl_node *node, struct ovl_attr *attr);
int ovl_may_write(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node);

/* Add a name to a directory; take the name of `victim` out of it. */
int ovl_may_add(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir);
int ovl_may_remove(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *dir, struct ovl_node *victim);

/* `attr`: as they are now. On success `set` is what is really to be set. */
int ovl_may_setattr(struct ovl *fs, const struct ovl_caller *caller,
                    struct ovl_node *node, const struct ovl_attr *attr,
                    struct ovl_setattr *set);

#endif
