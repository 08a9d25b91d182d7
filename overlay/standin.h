/*
 * Stand-ins, WORK/veneer/standins: the kernel keeps attributes of the user.
 * namespace for regular files and directories only. What the overlay has to
 * remember of a symlink (or of a device, socket or FIFO that somebody else put
 * into the upper) lives on a small regular file of its own, named by the inode
 * and the generation of what it stands for, so that it is never taken for a
 * reused inode's.
 *
 * One goes with the last name of what it stands for. Where a crash comes in
 * between it stays, and means nothing.
 *
 * Thread-safe. Where the overlay's attributes are in the trusted. namespace,
 * which everything can carry, there are none.
 */
#ifndef VENEER_OVERLAY_STANDIN_H
#define VENEER_OVERLAY_STANDIN_H

#include <stdbool.h>

#include "overlay/layer.h"

struct ovl_standins;

/* In `workfd`, the descriptor of WORK/veneer. 0 or -errno. */
int ovl_standins_open(int workfd, struct ovl_standins **standins);
void ovl_standins_close(struct ovl_standins *standins); /* NULL is fine */

/* Whether what looks like this on disk can carry no attributes itself. */
bool ovl_standin_needed(const struct ovl_real *real);

/*
 * A descriptor of the stand-in for this object, which is made where it is
 * missing and `make` says so; the caller closes it. -ENOENT, -errno. Blocks.
 */
int ovl_standin_open(const struct ovl_standins *standins,
                     const struct ovl_real *real, bool make);

/* The object is gone: so is its stand-in, if it had one. NULL is fine. */
void ovl_standin_remove(const struct ovl_standins *standins, uint64_t ino,
                        uint64_t generation);

/* The directory that they are in, borrowed. */
int ovl_standins_dir(const struct ovl_standins *standins);

#endif
