/*
 * Where objects were last seen, on disk: two tables of rows, fileid -> (parent's
 * fileid, name), one row a name, in one LMDB file in the statedir. That of the
 * overlay, and that of its stack: one that several overlays share has its rows
 * with the overlay that opened it.
 *
 * What it says are hints, to be verified; so it may be thrown away at any time,
 * and is, with a line in the log, when it is damaged (seal.h), or full. There is
 * none on network filesystems, where mappings and locks are not to be trusted.
 *
 * Reading is for any thread, and may wait for a disk; writing is for one thread
 * (writer.h).
 */
#ifndef VENEER_OVERLAY_STORE_H
#define VENEER_OVERLAY_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "overlay/log.h"
#include "overlay/rows.h"

#define OVL_STORE_FILE "handles.mdb"
#define OVL_STORE_LOCK OVL_STORE_FILE "-lock"
#define OVL_STORE_SEAL "handles.seal"

/* What the file may grow to: about 80 bytes a row. Only addresses are taken. */
#if SIZE_MAX > UINT32_MAX
#define OVL_STORE_MAX ((size_t)4 << 30)
#else
#define OVL_STORE_MAX ((size_t)256 << 20)
#endif

enum ovl_table { OVL_TABLE_UPPER, OVL_TABLE_LOWER, OVL_NTABLES };

struct ovl_store;

/*
 * Open the file in the directory `dirfd`, or begin it. It never grows beyond
 * `max` bytes. -EREMOTE: on a network filesystem; -EBUSY: another server has it;
 * -errno.
 */
int ovl_store_open(int dirfd, size_t max, const struct ovl_log *log,
                   struct ovl_store **store);
void ovl_store_close(struct ovl_store *store); /* NULL is fine */

/*
 * Add what the table has of this fileid to `rows`. 0; -EIO: the file can no
 * longer be read, and rows are lost; -ENOMEM. Blocks.
 */
int ovl_store_get(struct ovl_store *store, enum ovl_table table,
                  uint64_t fileid, struct ovl_rows *rows);

/*
 * A batch of changes: begin, changes (best in the order of their fileids), end.
 * What fails in between, the end tells: then all or part of the batch is lost.
 * -ESTALE: and all that was there before, since the file had to be begun anew.
 */
void ovl_store_begin(struct ovl_store *store);
void ovl_store_put(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len);
void ovl_store_del(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len);
int ovl_store_end(struct ovl_store *store);

/* As of the last batch: rows, and bytes on disk. Do not block. */
uint64_t ovl_store_count(struct ovl_store *store, enum ovl_table table);
uint64_t ovl_store_bytes(struct ovl_store *store);

#endif
