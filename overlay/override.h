/*
 * Overrides: owner, group, mode, type and device number of an object as clients
 * have set them, in an attribute of the object, where the server may not, or is
 * not to, set them on disk. They are in use where the overlay's attributes are
 * in the user. namespace (struct ovl_layer.userxattr), by root's server too, and
 * nowhere else: anybody could forge a setuid file.
 *
 * The file underneath is the server's: always u+rw (a directory u+rwx), so that
 * the server can go on reading and marking it. Of the mode set, its owner keeps
 * x; other users of the host get to read and execute what everybody may, and
 * write nothing: setuid, setgid and the sticky bit would mean other users than
 * the client meant.
 *
 * A device, socket or FIFO is an empty regular file with an override that says
 * so. What can carry no attribute has a stand-in (standin.h).
 *
 * What has no override shows as it is on disk; but in an upper, what belongs to
 * the user that the server runs as shows struct ovl_layer's host_uid and
 * host_gid, where these are set.
 *
 * No state. All functions block.
 */
#ifndef VENEER_OVERLAY_OVERRIDE_H
#define VENEER_OVERLAY_OVERRIDE_H

#include <stdbool.h>
#include <sys/types.h>

#include "overlay/attr.h"
#include "overlay/layer.h"

/*
 * Change `real`, which is how the object open as `fd` (O_PATH will do) looks on
 * disk, to how it shows: `attr` only. An override that makes no sense, or does
 * not fit the type on disk, counts as none. 0 or -errno.
 */
int ovl_override_show(const struct ovl_layer *layer, int fd,
                      struct ovl_real *real);

/*
 * Make owner, group, mode (with its type) and device number of `attr` those that
 * the object open as `fd` (O_PATH will do) shows from now on. The layer is an
 * upper with overrides. -EPERM: it belongs to another user of the host; -ENOSPC,
 * -errno: then it shows what it did.
 */
int ovl_override_set(const struct ovl_layer *layer, int fd,
                     const struct ovl_attr *attr);

/* Whether this layer is given a placeholder for an object of this type. */
bool ovl_override_replaces(const struct ovl_layer *layer, mode_t type);

#endif
