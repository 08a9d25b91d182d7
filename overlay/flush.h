/*
 * Stable storage: what `sync`, `async` and `volatile` mean for a change. Every
 * flush of the overlay is made, or heard of, here. Whichever fails, the write
 * verifier changes: the filesystem may have lost unstable writes as well, and of
 * that the kernel may tell nobody again.
 */
#ifndef VENEER_OVERLAY_FLUSH_H
#define VENEER_OVERLAY_FLUSH_H

#include <stdbool.h>

#include "overlay/fs.h"

/*
 * With `sync`, bring to stable storage what has been changed until now: the
 * directories and new objects open as `fds`, at most OVL_BATCH_OBJECTS. Calls
 * share the flush (batch.h). Where the filesystem logs in order, this is for
 * every change before it but those of data, whatever is named. 0 or -errno.
 * Blocks: no lock may be held that another's call needs.
 */
int ovl_flush_changes(struct ovl *fs, const int *fds, unsigned n);

/*
 * Whether ovl_flush_changes is for all changes before it, so that no object need
 * be named; true where nothing is flushed at all.
 */
bool ovl_flush_is_for_all(const struct ovl *fs);

/* Whether no change of the upper waits for a disk, its flush included. */
bool ovl_flush_never_waits(const struct ovl *fs);

/*
 * But with `volatile`: what is open as `fd` must not reach the disk after the change
 * that comes next. A no-op where the filesystem logs in order. Not for data. 0 or
 * -errno. Blocks.
 */
int ovl_flush_before(struct ovl *fs, int fd);

/*
 * The same for marks of a device, socket, FIFO or symlink, which is open as `fd`
 * (O_PATH): where they are not on itself, on what has them in its place.
 */
int ovl_flush_marks(struct ovl *fs, int fd);

/*
 * The same for the data of a copy, which no filesystem has in order, before it
 * takes the place of what it was copied from: that is nothing that a client wrote,
 * and with `async`, too, no crash may leave a file without it.
 */
int ovl_flush_data(struct ovl *fs, int fd);

/*
 * With `sync`, flush that this upper node is in its place, with its data, if a
 * copy-up has not come to that yet: what another has written in it since may not
 * be called stable before. ovl_flush_placed says that there is. 0 or -errno.
 */
int ovl_flush_place(struct ovl *fs, struct ovl_node *node);
void ovl_flush_placed(struct ovl_node *node);

/*
 * The same for what was written through a cached descriptor; `metadata`: and for
 * the file's attributes.
 */
int ovl_flush_file(struct ovl *fs, struct ovl_fd *fd, bool metadata);

/*
 * Data was written through this descriptor, just now: with `sync`, it has to be
 * flushed before it is closed, at the latest.
 */
void ovl_flush_owed(struct ovl *fs, struct ovl_fd *fd);

/* What came of a flush; an ovl_flushed_fn, and an ovl_batch_heard_fn. */
void ovl_flush_heard(void *fs, int result);

#endif
