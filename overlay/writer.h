/*
 * The thread that writes rows of maps to the file behind (store.h): all that has
 * come together since the last time, at most once a second. It is started when there
 * is something to write: opening an overlay starts none, so that a server can lock
 * itself up between that and its threads.
 *
 * Counted; each map on it holds it. With the last one the file is closed.
 * Thread-safe.
 */
#ifndef VENEER_OVERLAY_WRITER_H
#define VENEER_OVERLAY_WRITER_H

#include <stdint.h>

#include "overlay/store.h"

struct ovl_map;
struct ovl_writer;

/* Takes over the store, on success only. 0 or -errno. */
int ovl_writer_new(struct ovl_store *store, struct ovl_writer **writer);
void ovl_writer_unref(struct ovl_writer *writer); /* NULL is fine */

struct ovl_store *ovl_writer_store(struct ovl_writer *writer);

/* Of a map: to be written from now on; holds the writer. */
void ovl_writer_join(struct ovl_writer *writer, struct ovl_map *map,
                     enum ovl_table table);

/* No more; what it has is written now. */
void ovl_writer_leave(struct ovl_writer *writer, enum ovl_table table);

/* There is something to write, or the file to be looked after. */
void ovl_writer_wake(struct ovl_writer *writer);

/* Wait until something has been written, or for a second. */
void ovl_writer_wait(struct ovl_writer *writer);

#endif
