/*
 * Changing the names of one directory: what every such change begins and ends
 * with. Between ovl_edit_lock and ovl_edit_unlock nobody else changes them.
 */
#ifndef VENEER_OVERLAY_EDIT_H
#define VENEER_OVERLAY_EDIT_H

#include <stdbool.h>

#include "overlay/fs.h"

struct ovl_edit {
	struct ovl *fs;
	struct ovl_node *dir; /* held; it has an upper part */
	struct ovl_fd *fd;    /* of that */
	struct ovl_change *change;
	struct ovl_change unasked; /* where the caller wants none */
	struct ovl_fd *made;       /* the new object, to be flushed; or NULL */
	bool may_wait;
	bool locked;
};

/* A change that is on none: ovl_edit_release does nothing. */
#define OVL_EDIT_NONE      \
	{                  \
		.fs = NULL \
	}

/* Clear a change that the caller may not want: never NULL afterwards. */
struct ovl_change *ovl_change_start(struct ovl_change *change,
                                    struct ovl_change *unasked);

/*
 * The call leaves the directory as it is: say so, lest the client think that
 * somebody else has changed it.
 */
void ovl_change_none(struct ovl *fs, struct ovl_node *dir, bool may_wait,
                     struct ovl_change *change);

/*
 * Whether the names of `dir` can be changed right now by a caller that may not
 * wait: where the upper needs no disk, for as long as others do not hold them up.
 * Else such a caller gets -EAGAIN here, or from the two below.
 */
int ovl_edit_may_begin(struct ovl *fs, const struct ovl_caller *caller,
                       const struct ovl_node *dir);

/*
 * Copy the directory up, if need be, and open it. `change` may be NULL; it hears
 * of the directory's attributes. On failure there is nothing to release.
 */
int ovl_edit_open(struct ovl_edit *edit, struct ovl *fs, struct ovl_node *dir,
                  bool may_wait, struct ovl_change *change);

/* -ESTALE: it has been removed. The names are read in. */
int ovl_edit_lock(struct ovl_edit *edit);

/* Reads its attributes again, and unlocks. No-op where it is not locked. */
void ovl_edit_unlock(struct ovl_edit *edit);

/* Nothing has happened in it that a client could see: its times are as before. */
void ovl_edit_keep_times(struct ovl_edit *edit);

/*
 * Unlock, where it is locked, bring the directory and what was made in it to
 * stable storage unless `err`, and let go. Returns `err`, or what the flush said.
 */
int ovl_edit_release(struct ovl_edit *edit, int err);

/* The same of two at once; each may be on none. */
int ovl_edit_release_both(struct ovl_edit *a, struct ovl_edit *b, int err);

/* Whether the directory below it has that name, so that a whiteout is needed. */
int ovl_edit_covers(struct ovl_edit *edit, const char *name, bool *covers);

/* What stands at that name in the upper: DT_*, DT_UNKNOWN for nothing. */
uint8_t ovl_edit_upper_type(struct ovl_edit *edit, const char *name);

/*
 * Put `tmp` of the work directory into place as `name`, where nothing can be
 * seen: over a whiteout, if there is one.
 */
int ovl_edit_place(struct ovl_edit *edit, const char *tmp, const char *name,
                   bool is_dir);

/*
 * A further link of `node`, which has an upper part, as `name`, where nothing of
 * the upper stands but a whiteout.
 */
int ovl_edit_link(struct ovl_edit *edit, struct ovl_node *node,
                  const char *name);

/*
 * Where `name` is a lower one that shows a file copied up by another: give it a
 * link of the copy. No client sees a difference. No-op elsewhere, and for NULL.
 */
int ovl_edit_link_lower(struct ovl_edit *edit, struct ovl_node *node,
                        const char *name);

/*
 * The name `name` in `dir` of `node` is about to go. A file of the stack that has
 * others is copied up, as the one place where their number can be kept; no effect
 * on all else, and for NULL. Blocks; nothing may be locked.
 */
int ovl_edit_keep_count(struct ovl *fs, struct ovl_node *dir, const char *name,
                        struct ovl_node *node);

/* What is known of a node when one of its names is about to go. */
struct ovl_leaving {
	uint32_t nlink; /* its links so far... */
	unsigned
		linking; /* ...and the tree's count from before they were counted */
};

/*
 * The name `name` of this upper node is about to go, now. If it is `indexed`, the
 * tree's `moving` is held, until after ovl_edit_unlinked, or ovl_edit_still_linked
 * where the name has not gone.
 */
int ovl_edit_unlinking(struct ovl_edit *edit, struct ovl_node *node,
                       const char *name, struct ovl_leaving *leaving);
void ovl_edit_still_linked(struct ovl_node *node,
                           const struct ovl_leaving *leaving);

/* The name is gone: the node's last one, or its row in the map only. */
void ovl_edit_unlinked(struct ovl_edit *edit, struct ovl_node *node,
                       const char *name, const struct ovl_leaving *leaving);

#endif
