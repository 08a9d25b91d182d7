/*
 * Whiteouts and opaque directories, in the forms that layers may have beside
 * character devices 0:0 and the kernel's attributes: the names of OCI images
 * (https://github.com/opencontainers/image-spec, layer.md), which a layer that
 * was unpacked by tar has. ".wh.NAME" hides NAME of the layers below, not that
 * of its own; ".wh..wh..opq" in a directory makes it opaque; what else begins
 * with ".wh..wh." is aufs' own. They are read, never made, and never shown.
 *
 * They mean something in lower layers, and in an upper that has any below it
 * (struct ovl_layer.wh_names), so that an upper shows the same when it is a lower
 * later.
 */
#ifndef VENEER_OVERLAY_MARKS_H
#define VENEER_OVERLAY_MARKS_H

#include <stdbool.h>

#include "overlay/layer.h"

/* Whether the name is a mark of this layer, and so none that can be seen. */
bool ovl_mark_is_name(const struct ovl_layer *layer, const char *name);

/* Of such a name, the one that it hides: a part of it; NULL: it hides none. */
const char *ovl_mark_hidden(const char *mark);

/* Whether a mark in the open directory hides `name` below. 1, 0 or -errno. */
int ovl_mark_hides(const struct ovl_layer *layer, int dirfd, const char *name);

/*
 * Hide `name` below by a mark in the directory, and no more. 0, -ENAMETOOLONG: no
 * mark has room for the name; -errno.
 */
int ovl_mark_hide(int dirfd, const char *name);
void ovl_mark_unhide(int dirfd, const char *name);

/*
 * Whether `name` shows in the open directory, without reading that in. 1; 0: no,
 * but what is below may; -ENOENT: no, and nothing below, whatever form the
 * whiteout has. -errno. Blocks.
 */
int ovl_mark_seek(const struct ovl_layer *layer, int dirfd, const char *name);

/*
 * Whether the open directory (O_PATH will do) is opaque by a mark in it. 1, 0 or
 * -errno.
 */
int ovl_mark_in(const struct ovl_layer *layer, int dirfd);

/* Whether it hides what is below it, by a mark or an attribute. Likewise. */
int ovl_mark_is_opaque(const struct ovl_layer *layer, int dirfd);

#endif
