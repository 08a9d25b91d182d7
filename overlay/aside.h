/*
 * A directory that looks empty may hold whiteouts, and then rename(2) does not
 * replace it. It steps aside for an opaque copy of itself, which needs none and
 * looks the same; when that has been replaced, it is removed, and where nothing
 * comes of it, it comes back.
 */
#ifndef VENEER_OVERLAY_ASIDE_H
#define VENEER_OVERLAY_ASIDE_H

#include "overlay/edit.h"

/*
 * Let the directory `dir`, at `name` of the edit's, step aside, if it has to:
 * then `tmp`, which is empty before, is its name in the work directory. Its
 * names and the edit's directory are locked (`change`). 0 or -errno, then it is
 * where it was.
 */
int ovl_aside_step(struct ovl_edit *edit, struct ovl_node *dir,
                   const char *name, char tmp[OVL_TMPNAME_SIZE]);

/* The copy has been replaced, or, with an error, has not. */
void ovl_aside_end(struct ovl_edit *edit, struct ovl_node *dir,
                   const char *name, const char *tmp, int err);

#endif
