/*
 * The link count of a copy in the index, as a client is to see it.
 *
 * The inode has the index's link and its names in the upper layer; names of the
 * lower layers that show it are no links of it. So the client's count is kept
 * with the copy in an attribute, in one of two forms: absolute, or as what is to
 * be added to the inode's own count.
 *
 * Who is about to change the inode's count chooses the form first with which the
 * client's is right before the change and after it:
 *   relative   a name is made or goes: both counts change
 *   absolute   a lower name gets a link in the upper layer: the client's stays
 * So it is right at every moment, whenever the server may be killed. From the
 * choice to the end of the change the tree's `moving` is held.
 *
 * A copy that somebody has taken the attribute from has its names in the upper
 * layer as its count, which may be too low. All functions block.
 */
#ifndef VENEER_OVERLAY_LINKS_H
#define VENEER_OVERLAY_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "overlay/layer.h"

/*
 * The count of the copy open as `fd` (O_PATH will do), whose inode has `nlink`
 * links, into `*count`: 0 where no name is left. 1; 0: it is only a guess, for
 * want of an attribute; -errno.
 */
int ovl_links_count(const struct ovl_layer *layer, int fd, uint32_t nlink,
                    uint32_t *count);

/* Set the count, in absolute form. 0 or -errno. */
int ovl_links_set(const struct ovl_layer *layer, int fd, uint32_t count);

/*
 * Choose the form; the count stays. Where that cannot be had, it will be too
 * high, and the copy be kept longer than need be, but never too low. 0 or -errno.
 */
int ovl_links_make_absolute(const struct ovl_layer *layer, int fd);
int ovl_links_make_relative(const struct ovl_layer *layer, int fd);

/* As ovl_layer_look, with the client's link count, of 1 at least. */
int ovl_links_look(const struct ovl_layer *layer, int dirfd, const char *name,
                   struct ovl_real *real);

#endif
