/*
 * Stable storage: what `sync`, `async` and `volatile` mean for a change. Every
 * flush of the overlay is made, or heard of, here; it is the place where changes
 * that arrive together come to share one.
 */
#ifndef VENEER_OVERLAY_FLUSH_H
#define VENEER_OVERLAY_FLUSH_H

#include <stdbool.h>

#include "overlay/fs.h"

/*
 * With `sync`, bring a directory (open as `fd`) or a new object to stable
 * storage. 0 or -errno. Blocks.
 */
int ovl_flush_object(struct ovl *fs, int fd);

/*
 * The same for marks of a device, socket, FIFO or symlink, which is open as `fd`
 * (O_PATH): where they are not on itself, on what has them in its place.
 */
int ovl_flush_marks(struct ovl *fs, int fd);

/*
 * The same for what was written through a cached descriptor; `metadata` too. A
 * failure changes the write verifier: unstable writes may be lost.
 */
int ovl_flush_file(struct ovl *fs, struct ovl_fd *fd, bool metadata);

/*
 * Data was written through this descriptor, just now: with `sync`, it has to be
 * flushed before it is closed, at the latest.
 */
void ovl_flush_owed(struct ovl *fs, struct ovl_fd *fd);

/* What came of each flush of a cached descriptor; an ovl_flushed_fn. */
void ovl_flush_heard(void *fs, int result);

#endif
