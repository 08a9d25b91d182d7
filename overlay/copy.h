/*
 * A copy of one object of a layer, made in the work directory: type, data
 * (cloned, or copied range by range, so that holes stay holes), extended
 * attributes and ACLs (never the overlay's own), owner, mode with setuid and
 * setgid, times. It knows nothing of trees and nodes. Blocks.
 */
#ifndef VENEER_OVERLAY_COPY_H
#define VENEER_OVERLAY_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "overlay/attr.h"
#include "overlay/copydata.h"
#include "overlay/layer.h"

/*
 * Copy the object open as `fd` (O_PATH will do), looking like `attr`, to `name` in
 * `to_dir`, where nothing stands and which is of `layer`'s filesystem. A directory
 * is copied without what is in it; a regular file with the data that is read by
 * `data`, or, where that is -1, with none, as a hole of its size. Where the layer
 * has overrides, owner, group and mode go into one, and a device, socket or FIFO
 * becomes a placeholder (override.h).
 *
 * `size`: for a regular file, how much of it is wanted (the rest is about to be
 * cut off); UINT64_MAX: all. `sync`: fsync a file or directory; others reach
 * stable storage with the directory they are in. `watch`, if not NULL, looks on
 * while data is copied. `out_fd`, if not NULL, gets a descriptor of the copy:
 * O_RDWR of a regular file, O_RDONLY of a directory, O_PATH else.
 *
 * Extended attributes that the filesystem there does not know, and those of
 * security.* and trusted.* that the server may not set, are left out. 0; -EEXIST
 * (what stands there is untouched); -EPERM: the owner cannot be given;
 * -EOPNOTSUPP: it has an ACL, which the filesystem there cannot keep; -ENOSPC,
 * -EDQUOT, -EIO, what a step of the watch returned, ...: then nothing is left at
 * `name`.
 */
int ovl_copy_object(const struct ovl_layer *layer, int fd, int data,
                    const struct ovl_attr *attr, int to_dir, const char *name,
                    uint64_t size, bool sync, struct ovl_copy_watch *watch,
                    int *out_fd);

#endif
