/*
 * The bytes of a regular file into another: cloned where the filesystem can,
 * else copied range by range, so that holes stay holes. Blocks.
 */
#ifndef VENEER_OVERLAY_COPYDATA_H
#define VENEER_OVERLAY_COPYDATA_H

#include <stdint.h>

/*
 * Make the empty file `to` (open for writing) hold the first `size` bytes of
 * `from` (open for reading), or all of them where it has fewer. `*copied` grows
 * by their number as they come, holes not counted. 0 or -errno: -ENOSPC,
 * -EDQUOT, -EFBIG, -EIO, -ENOMEM; `to` then holds anything.
 *
 * File offsets play no part but for that of `from`, which changes: it may be
 * shared only by those who do not use it.
 */
int ovl_copy_data(int from, int to, uint64_t size, uint64_t *copied);

#endif
