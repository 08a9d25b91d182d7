/*
 * What removing and renaming have in common.
 */
#ifndef VENEER_OVERLAY_REMOVE_H
#define VENEER_OVERLAY_REMOVE_H

#include "overlay/edit.h"

/* 0 where nothing can be seen in it, else -ENOTEMPTY; its `change` is held. */
int ovl_dir_is_empty(struct ovl_node *dir);

#endif
