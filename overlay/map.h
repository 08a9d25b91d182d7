/*
 * Where objects were last seen: fileid -> (parent's fileid, name), one row a
 * name, so a hard link has several. A row is a hint, believed only after the
 * object found there has that fileid and generation.
 *
 * The rows are on disk (store.h), written behind by a thread (writer.h); in
 * memory is only what is not written yet. Where there is no file, they are in
 * memory alone, and the oldest give way. Both are bounded: what finds no room is
 * lost, and found again by a walk. Thread-safe; its locks are held for no wait.
 */
#ifndef VENEER_OVERLAY_MAP_H
#define VENEER_OVERLAY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlay/rows.h"
#include "overlay/store.h"

struct ovl_map;
struct ovl_writer;

/*
 * The map of that table of the writer's file (NULL: in memory alone), which takes
 * about `max_bytes` of memory at most. NULL: no memory.
 */
struct ovl_map *ovl_map_new(struct ovl_writer *writer, enum ovl_table table,
                            size_t max_bytes);

/* What is not written yet is written first. NULL is fine. */
void ovl_map_free(struct ovl_map *map);

/* Add a row; one that is there already is no error. Does not block. */
void ovl_map_put(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                 const char *name, size_t len);

/*
 * The same, for who has many to add and may wait: waits until there is room, and
 * leaves half of it to others.
 */
void ovl_map_put_many(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                      const char *name, size_t len);

/* Remove that row, if it is there. Does not block. */
void ovl_map_del(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                 const char *name, size_t len);

/*
 * Add all rows of `fileid` to `rows`, those not written yet first, newest first.
 * Whoever got some gives them back by ovl_rows_release. Blocks.
 */
void ovl_map_get(struct ovl_map *map, uint64_t fileid, struct ovl_rows *rows);

/*
 * The first of them alone: its parent, and its name, terminated, into `name` (at
 * least 256 bytes). False: there is none. Blocks.
 */
bool ovl_map_get_one(struct ovl_map *map, uint64_t fileid, uint64_t *parent,
                     char *name);

/*
 * Whether every object of the tree has its rows: then one without rows is gone.
 * Only in this life of the server, for nobody knows what happens between two.
 */
bool ovl_map_complete(struct ovl_map *map);

/*
 * A walk has put all rows there are. It is complete, if none has been lost since
 * `losses`, from before the walk.
 */
void ovl_map_walked(struct ovl_map *map, unsigned losses);
unsigned ovl_map_losses(struct ovl_map *map);

/* A row is missing, or may be: it is not complete any more. */
void ovl_map_lost(struct ovl_map *map);

/*
 * The same, since others have changed something. These are counted as losses, and
 * by themselves.
 */
void ovl_map_doubt(struct ovl_map *map);
unsigned ovl_map_doubts(struct ovl_map *map);

uint64_t ovl_map_count(struct ovl_map *map); /* rows, on disk and in memory */

/* Bytes of memory that it takes. */
size_t ovl_map_bytes(struct ovl_map *map);

/* Bytes on disk of its file, which it may share; 0: none. */
uint64_t ovl_map_file_bytes(struct ovl_map *map);

/* ---- for the writer ------------------------------------------------------------- */

/* Write all that is not written yet to the store, between its begin and end. */
void ovl_map_write(struct ovl_map *map, struct ovl_store *store);

/* It is written; or, if `err` (of the store's end) says so, lost. */
void ovl_map_written(struct ovl_map *map, int err);

#endif
