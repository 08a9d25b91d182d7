/*
 * Whether what is in memory is still what shows in the layers, where others may
 * have changed these behind the server's back.
 *
 * A node is verified from the root down: the directories above it, and the one
 * that it merges with, have been looked at (stamp.h), and it has been looked for
 * anew in them if one of them had changed. So with cache=auto a look at each part
 * of each directory, once a second while it is in use, is all that it costs, with
 * cache=never one at each call, and with cache=always nothing.
 *
 * What is not found again as it was is forgotten, and will be loaded anew; if it
 * still shows elsewhere, it is found there by its rows or by a walk. What the
 * server may not look at counts as unchanged. Where a redirect leads, nothing may be
 * today and something tomorrow: such a place is asked for each time.
 */
#ifndef VENEER_OVERLAY_VERIFY_H
#define VENEER_OVERLAY_VERIFY_H

#include <stdbool.h>

#include "overlay/fs.h"

/*
 * 0: it is known to be as it was. 1: it has been looked at, and is as it was; what
 * was decided before, by directories above it, may be otherwise by now. -ERESTART:
 * it has been forgotten: it is to be looked for again. -EAGAIN (it has to be
 * looked at, and the caller may not wait), -errno. No `change` and no lock is held.
 */
int ovl_verify(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *node);

/*
 * What the directory's names say has turned out to be wrong: look at it, and at
 * the one below it, however long they are trusted. -ERESTART, or -errno.
 */
int ovl_verify_now(struct ovl_node *dir);

#endif
