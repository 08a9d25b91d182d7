/*
 * A node's attributes and its ACLs: kept with it, and read again from its layer
 * when they are to be checked.
 */
#ifndef VENEER_OVERLAY_REFRESH_H
#define VENEER_OVERLAY_REFRESH_H

#include <stdbool.h>

#include "overlay/acl.h"
#include "overlay/overlay.h"
#include "overlay/tree.h"

/* How long cache=auto trusts what it knows, in ns. */
#define OVL_AUTO_TRUST UINT64_C(1000000000)

/*
 * The attributes, as trusted as `cache` says. -EAGAIN (they have to be read and
 * `may_wait` is false), -ESTALE (the object is not there any more, behind the
 * server's back), -errno.
 */
int ovl_node_attr(struct ovl_node *node, enum ovl_cache cache, bool may_wait,
                  struct ovl_attr *attr);

/*
 * The ACL, referenced (NULL: none), as trusted as `cache` says; its absence is
 * kept as well. Only a directory has a default one. What the server itself
 * changes, owner and mode, is not taken from it (perm.h), so no change of the
 * server's makes it wrong. Errors as above, and -EIO: it makes no sense.
 */
int ovl_node_acl(struct ovl_node *node, enum ovl_acl_kind kind,
                 enum ovl_cache cache, bool may_wait, struct ovl_acl **acl);

/*
 * Read them from the layer now. Blocks. A directory whose times, or those of its
 * parts in other layers, tell of a change that was not ours forgets its names
 * (stamp.h), unless `changing` says that the change is the caller's. `attr` may
 * be NULL.
 */
int ovl_node_reread(struct ovl_node *node, bool changing,
                    struct ovl_attr *attr);

/*
 * The same by way of an open descriptor of the object; a directory's parts are not
 * looked at.
 */
int ovl_node_reread_fd(struct ovl_node *node, int fd, bool changing,
                       struct ovl_attr *attr);

/*
 * What is open as `fd`, an upper node but no directory, is about to be changed by
 * the server: how it is before, which is known where `cache` says that nobody else
 * changes it; and how it is after, which is to be called in any case, with the same
 * `begun`. It tells no `before` where another change of ours has been under way
 * meanwhile: that would pass for the client's own. Errors as above, and then there
 * is no `before` either. Blocks.
 */
int ovl_node_before_change(struct ovl_node *node, int fd, enum ovl_cache cache,
                           unsigned *begun, struct ovl_change *change);
void ovl_node_after_change(struct ovl_node *node, int fd, unsigned begun,
                           struct ovl_change *change);

/*
 * The upper directory, whose `change` is held, is about to be changed by the
 * server: how it is before, as trusted as `cache` says. What others have changed
 * is counted here (stamp.h), lest it be taken for ours. Errors as above. Blocks.
 */
int ovl_dir_before_change(struct ovl_node *dir, enum ovl_cache cache,
                          struct ovl_attr *attr);

/*
 * Take over what a look at the object has shown, which began at that time, unless
 * one that began later was faster; its lock is held.
 */
void ovl_node_adopt(struct ovl_node *node, const struct ovl_real *real,
                    uint64_t begun);

#endif
