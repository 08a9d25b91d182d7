/*
 * Directories of a tree: their descriptors, and their names read in.
 *
 * A directory's names are known wholly or not at all. A stack's directory shows
 * the merge of its parts: the names that can be seen. An upper directory has its
 * own names only, whiteouts (DT_WHT) among them: what it says of a name goes
 * before what the stack's directory below it says, and what it does not know is
 * the stack's.
 */
#ifndef VENEER_OVERLAY_DIR_H
#define VENEER_OVERLAY_DIR_H

#include <limits.h>
#include <stdbool.h>

#include "overlay/tree.h"

/*
 * An open descriptor of a directory's part, to be given back by ovl_fd_unref to
 * the tree's cache. -EAGAIN (it is not open, and `may_wait` is false), -ESTALE
 * (what stands there is another directory), -errno.
 */
int ovl_dir_fd(struct ovl_node *dir, unsigned part, bool may_wait,
               struct ovl_fd **fd);

/*
 * Open what a layer has of the stack's or upper's `node`, with `flags` of open(2):
 * a descriptor, or -ESTALE where something else stands there, or -errno. Blocks.
 */
int ovl_part_open(struct ovl_node *node, const struct ovl_part *part,
                  int flags);

/*
 * Whether a mark (marks.h) that stands in this part hides `name` in what is
 * below that. 1, 0 or -errno. Asks the disk only where the names, which have
 * been read in before, had any.
 */
int ovl_dir_hides(struct ovl_node *dir, unsigned part, const char *name);

/*
 * Lock the node, with its names read in (dir->dir->names is not NULL). -ENOTDIR,
 * -EAGAIN, -errno: then it is not locked. Must not be called with `change` held.
 */
int ovl_dir_lock(struct ovl_node *dir, bool may_wait);
void ovl_dir_unlock(struct ovl_node *dir);

/*
 * The way to an object: an open directory and its name there. Of a file of the
 * index, that is the index.
 */
struct ovl_way {
	int dirfd;
	char name[NAME_MAX + 1];
	struct ovl_node *parent; /* what keeps `dirfd` open; may be NULL */
	struct ovl_fd *fd;
};

/* -EAGAIN, -ESTALE (the root has none), -errno: then there is none to close. */
int ovl_way_open(struct ovl_node *node, bool may_wait, struct ovl_way *way);
void ovl_way_close(struct ovl_way *way);

/*
 * Lock `change`, for who may not wait: others have it for some microseconds, unless
 * they wait for a disk with it. And who went out of their way to the pool would
 * hold up there whoever comes next. False: it is not to be had soon.
 */
bool ovl_dir_lock_soon(struct ovl_node *dir);

/* Read the names in, if they are not; `change` is held. 0 or -errno. */
int ovl_dir_load(struct ovl_node *dir);

/* One name, as it was at one moment. */
struct ovl_found {
	uint64_t cookie;
	uint64_t fileid; /* 0: not known yet */
	uint16_t part;
	uint8_t type;
};

/*
 * What the directory's own names say of `name`. False: nothing. The node is
 * locked (ovl_dir_lock).
 */
bool ovl_dir_find(struct ovl_node *dir, const char *name,
                  struct ovl_found *found);

/*
 * After a change on disk, while `change` is held: the upper directory's names,
 * if they are read in, say this of `name`; DT_UNKNOWN: nothing (it is gone).
 */
void ovl_dir_note(struct ovl_node *dir, const char *name, uint64_t fileid,
                  uint8_t type);

/* The fileid of a name whose record had none, now that it is known. */
void ovl_dir_learn(struct ovl_node *dir, const char *name, uint64_t fileid);

/* Whether its names are in memory at this moment. */
bool ovl_dir_is_read_in(struct ovl_node *dir);

#endif
