/*
 * The index, WORK/veneer/index: copies that are also to be found by where they
 * were born, as further links of them whose names are their identities.
 *
 * A file that has several names in the lower layers is copied up once, under the
 * name that was written to; through the index every other name finds the copy.
 *
 * Thread-safe: it has its own lock. Which identities it holds is in memory, so
 * that asking for one that is not there costs nothing.
 */
#ifndef VENEER_OVERLAY_INDEX_H
#define VENEER_OVERLAY_INDEX_H

#include <stdbool.h>

#include "overlay/attr.h"

struct ovl_index;

/* In `workfd`, the descriptor of WORK/veneer. 0 or -errno. */
int ovl_index_open(int workfd, struct ovl_index **index);
void ovl_index_close(struct ovl_index *index); /* NULL is fine */

/* Does not block. */
bool ovl_index_has(struct ovl_index *index, struct ovl_id id);

/*
 * Add the object open as `fd` (O_PATH will do), in place of what a crash may
 * have left there. 0 or -errno. Blocks. Nobody finds it before ovl_index_show: when it
 * has its own name, which changes the count of its links.
 */
int ovl_index_add(struct ovl_index *index, struct ovl_id id, int fd);
void ovl_index_show(struct ovl_index *index, struct ovl_id id);

/* Its last name is about to go, or it gets none: it goes too. 0 or -errno. Blocks. */
int ovl_index_remove(struct ovl_index *index, struct ovl_id id);

/*
 * The directory of the index, borrowed, and the name of an identity in it; it
 * has OVL_INDEX_NAME_SIZE bytes.
 */
#define OVL_INDEX_NAME_SIZE 36
int ovl_index_dir(const struct ovl_index *index);
void ovl_index_name(struct ovl_id id, char name[OVL_INDEX_NAME_SIZE]);

#endif
