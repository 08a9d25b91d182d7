/*
 * Where objects were last seen: fileid -> (parent's fileid, name), one row a
 * name, so a hard link has several. A row is a hint, believed only after the
 * object found there has that fileid and generation.
 *
 * The rows are whole in memory, about 40 bytes each beside the name; this is the
 * place of the table on disk to come. Thread-safe: it has its own locks, held for
 * no wait.
 */
#ifndef VENEER_OVERLAY_MAP_H
#define VENEER_OVERLAY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ovl_map;

struct ovl_map *ovl_map_new(void); /* NULL: no memory */
void ovl_map_free(struct ovl_map *map);

/* Add a row; one that is there already is no error. 0 or -ENOMEM. */
int ovl_map_put(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                const char *name, size_t len);

/* Remove that row, if it is there. */
void ovl_map_del(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                 const char *name, size_t len);

/*
 * The `index`th row of `fileid` (from 0, newest first): its parent and its
 * name, terminated, into `name` (at least 256 bytes). False: no such row.
 */
bool ovl_map_get(struct ovl_map *map, uint64_t fileid, unsigned index,
                 uint64_t *parent, char *name);

/*
 * Whether every object of the tree has its rows: then one without rows is gone.
 * Set by a walk that reached the end; whoever adds names keeps it true.
 */
void ovl_map_set_complete(struct ovl_map *map, bool complete);
bool ovl_map_complete(struct ovl_map *map);

size_t ovl_map_count(struct ovl_map *map); /* rows */

/* Bytes of memory that it takes. */
size_t ovl_map_bytes(struct ovl_map *map);

#endif
