/*
 * The bytes of a regular file into another: cloned where the filesystem can,
 * else copied range by range, so that holes stay holes. Blocks.
 */
#ifndef VENEER_OVERLAY_COPYDATA_H
#define VENEER_OVERLAY_COPYDATA_H

#include <stdint.h>

/* How far a copy is. */
struct ovl_copy_progress {
	int to;            /* the descriptor that is written to */
	uint64_t at, size; /* all before the offset `at` is there, of `size` */
	uint64_t done;     /* bytes copied, holes not counted */
	uint64_t data;     /* about how many there will have been */
};

/* Called before each few mebibytes. 0; or -errno, with which the copy ends. */
typedef int ovl_copy_step_fn(void *arg,
                             const struct ovl_copy_progress *progress);

/* Who looks on while data is copied. All zero: nobody. */
struct ovl_copy_watch {
	uint64_t copied;        /* grows by the bytes copied, as they come */
	ovl_copy_step_fn *step; /* NULL: none; not asked for a clone */
	void *arg;
};

/*
 * Make the empty file `to` (open for writing) hold the first `size` bytes of
 * `from` (open for reading), or all of them where it has fewer. Of memory it
 * takes a buffer at most. 0 or -errno: -ENOSPC, -EDQUOT, -EFBIG, -EIO, -ENOMEM,
 * or what a step returned; `to` then holds anything.
 *
 * File offsets play no part but for that of `from`, which changes: it may be
 * shared only by those who do not use it.
 */
int ovl_copy_data(int from, int to, uint64_t size,
                  struct ovl_copy_watch *watch);

#endif
