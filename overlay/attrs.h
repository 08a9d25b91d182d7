/*
 * Setting attributes on disk.
 */
#ifndef VENEER_OVERLAY_ATTRS_H
#define VENEER_OVERLAY_ATTRS_H

#include "overlay/fs.h"

/*
 * Set owner, group, mode and times (not the size) of what is open as `fd`, which
 * may be O_PATH: of a symlink itself; where the upper has overrides, all but the
 * times in its override. 0 or -errno.
 */
int ovl_attrs_apply(struct ovl *fs, int fd, const struct ovl_setattr *set);

#endif
