/*
 * Whiteouts of the upper: made in the kernel's formats. A character device 0:0,
 * which nobody needs a privilege for since Linux 5.8; where the server may not
 * make that (an older kernel, some containers), an empty file with an attribute,
 * as Linux knows them since 6.7, in a directory that is marked to hold such.
 * What they hide is hidden with the names read in: see dir.h.
 *
 * All functions block.
 */
#ifndef VENEER_OVERLAY_WHITEOUT_H
#define VENEER_OVERLAY_WHITEOUT_H

#include "overlay/fs.h"

/* Find out which the server may make. The workdir is open. 0 or -errno. */
int ovl_whiteout_choose(struct ovl *fs);

/* Make `name` in `dirfd` a whiteout, where nothing stands. 0, -EEXIST, ... */
int ovl_whiteout_make(struct ovl *fs, int dirfd, const char *name);

/*
 * Make `name` in `dirfd`, which exists, a whiteout in one step: what stood
 * there lands in tmp/ under `tmpname`. 0 or -errno, then nothing has changed.
 */
int ovl_whiteout_replace(struct ovl *fs, int dirfd, const char *name,
                         const char *tmpname);

/* What a rename replaces. */
enum ovl_replaced { OVL_NOTHING, OVL_WHITEOUT, OVL_OBJECT };

/*
 * Rename, leaving a whiteout at the old name; one that is replaced changes
 * places. 0 or -errno, then nothing has changed.
 *
 * In one step. Where whiteouts are made by attribute, a crash may leave a mark
 * (marks.h) in place of the whiteout, or beside it; and where the old name is too
 * long for one (over 251 bytes), an object of the upper that was to be replaced at
 * the old name, or an empty file at the new one.
 */
int ovl_whiteout_rename(struct ovl *fs, int from, const char *from_name, int to,
                        const char *to_name, enum ovl_replaced replaced);

/*
 * Rename a directory over a whiteout, leaving nothing at the old name. 0 or -errno,
 * then nothing has changed. In one step; a crash may leave a whiteout at the old
 * name, where it hides nothing, or, where they are made by attribute, a mark beside
 * either (or an empty file at the old name, where the new one is too long for a
 * mark).
 */
int ovl_whiteout_give_way(struct ovl *fs, int from, const char *from_name,
                          int to, const char *to_name);

#endif
