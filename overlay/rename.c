/*
 * Renaming, within a directory and between two.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/aside.h"
#include "overlay/copyup.h"
#include "overlay/dir.h"
#include "overlay/edit.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/marks.h"
#include "overlay/may.h"
#include "overlay/metacopy.h"
#include "overlay/refresh.h"
#include "overlay/remove.h"
#include "overlay/whiteout.h"
#include "overlay/xattr.h"

/* One rename under way. */
struct renaming {
	struct ovl *fs;
	const struct ovl_caller *caller;
	const char *from_name, *to_name;
	struct ovl_edit from;
	struct ovl_edit to;      /* unused where the directories are one */
	struct ovl_edit *into;   /* &to, or &from */
	struct ovl_node *source; /* held */
	struct ovl_node *target; /* held; NULL: nothing there */
};

/* ---- whether it may be ---------------------------------------------------------- */

static int check_perms(struct renaming *r, struct ovl_node *from,
                       struct ovl_node *to)
{
	int err = ovl_may_remove(r->fs, r->caller, from, r->source);

	if (!err && r->target)
		err = ovl_may_remove(r->fs, r->caller, to, r->target);
	else if (!err)
		err = ovl_may_add(r->fs, r->caller, to);
	return err;
}

/* A directory that has a lower part has to be redirected there. */
static bool has_lower_part(const struct ovl_node *node)
{
	return node->dir && (!node->tree->upper || ovl_node_lower(node));
}

/* -EINVAL where the directory `to` lies in `source`, or is it. */
static int check_above(struct ovl *fs, struct ovl_node *source,
                       struct ovl_node *to)
{
	struct ovl_node *at = ovl_node_ref(to), *above = NULL;
	uint64_t root = fs->tree.root->id.fileid;
	int err = 0;

	while (source->dir && !err) {
		if (at->id.fileid == source->id.fileid) {
			err = -EINVAL;
			break;
		}
		if (at->id.fileid == root)
			break;
		err = ovl_find_parent(fs, at, true, &above);
		if (err)
			break;
		ovl_node_unref(at);
		at = above;
	}
	ovl_node_unref(at);
	return err;
}

/* Neither goes into itself. */
static int check_loops(struct renaming *r, struct ovl_node *from,
                       struct ovl_node *to)
{
	int err = check_above(r->fs, r->source, to);

	/* What the source lies in is not empty, nor is it to be locked. */
	if (!err && r->target && check_above(r->fs, r->target, from) == -EINVAL)
		err = -ENOTEMPTY;
	return err;
}

static int check_kinds(const struct renaming *r)
{
	if (r->target && r->source->dir && !r->target->dir)
		return -ENOTDIR;
	if (r->target && !r->source->dir && r->target->dir)
		return -EISDIR;
	return 0;
}

/* A directory itself is changed when it moves: its "..". */
static int check_move(struct renaming *r, struct ovl_node *from,
                      struct ovl_node *to)
{
	int err = 0;

	if (r->source->dir && from->id.fileid != to->id.fileid)
		err = ovl_may_access(r->fs, r->caller, r->source, W_OK);
	if (!err && has_lower_part(r->source) &&
	    r->fs->redirect_dir != OVL_REDIRECT_ON)
		err = -EXDEV;
	return err;
}

/* All that can be said before anything is copied up or locked, or after. */
static int check(struct renaming *r, struct ovl_node *from, struct ovl_node *to)
{
	int err = ovl_may_change(r->fs, r->caller);

	if (err)
		return err;
	if (ovl_mark_is_name(&r->fs->upper, r->to_name))
		return -EACCES; /* it would hide another */
	err = check_loops(r, from, to);
	if (!err)
		err = check_perms(r, from, to);
	if (!err)
		err = check_kinds(r);
	return err ? err : check_move(r, from, to);
}

/* ---- on disk ------------------------------------------------------------------------ */

static int open_child(struct ovl_edit *edit, const char *name, int flags)
{
	return ovl_layer_open(&edit->fs->upper, ovl_fd_num(edit->fd), name,
	                      flags, false);
}

static int set_opaque(struct ovl_edit *edit, const char *name)
{
	int fd = open_child(edit, name, O_PATH | O_DIRECTORY), err;

	if (fd < 0)
		return fd;
	err = ovl_xattr_set_opaque(&edit->fs->upper, fd);
	close(fd);
	return err;
}

/*
 * Where the source goes on below, said in a way that is true before it moves and
 * after: by its name there, where both directories merge with the one that it
 * stands in, else by its path.
 */
static int make_redirect(struct renaming *r, char *redirect)
{
	struct ovl_node *lower = ovl_node_lower(r->source), *in;
	int err = 0;

	in = ovl_node_place(lower, redirect);
	if (in != ovl_node_lower(r->from.dir) ||
	    in != ovl_node_lower(r->into->dir))
		err = ovl_stack_path(lower, redirect);
	ovl_node_unref(in);
	return err == -ENAMETOOLONG ? -EXDEV : err;
}

/* On disk no later than the move: without it, what is below would be lost. */
static int set_redirect(struct renaming *r)
{
	char redirect[OVL_REDIRECT_SIZE];
	int err, fd;

	err = make_redirect(r, redirect);
	if (err)
		return err;
	fd = open_child(&r->from, r->from_name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	err = ovl_xattr_set_redirect(&r->fs->upper, fd, redirect);
	if (!err)
		err = ovl_flush_before(r->fs, fd);
	close(fd);
	return err;
}

/*
 * What below is to show through the source at its new place, and what not. What
 * is opaque goes on being so.
 */
static int mark_source(struct renaming *r, bool to_covers)
{
	if (has_lower_part(r->source))
		return set_redirect(r);
	return to_covers ? set_opaque(&r->from, r->from_name) : 0;
}

/*
 * The one step. What a lower name would show through is whited out in that same
 * step.
 */
static int rename_on_disk(struct renaming *r, bool covers)
{
	int from = ovl_fd_num(r->from.fd), to = ovl_fd_num(r->into->fd);
	uint8_t there = ovl_edit_upper_type(r->into, r->to_name);
	enum ovl_replaced replaced = OVL_OBJECT;

	if (there == DT_UNKNOWN)
		replaced = OVL_NOTHING;
	else if (there == DT_WHT)
		replaced = OVL_WHITEOUT;
	if (covers)
		return ovl_whiteout_rename(r->fs, from, r->from_name, to,
		                           r->to_name, replaced);
	/* What is no directory replaces a whiteout as any file. */
	if (r->source->dir && replaced == OVL_WHITEOUT)
		return ovl_whiteout_give_way(r->fs, from, r->from_name, to,
		                             r->to_name);
	return renameat2(from, r->from_name, to, r->to_name, 0) ? -errno : 0;
}

/* ---- in memory ---------------------------------------------------------------------- */

static void note(struct renaming *r, bool covers,
                 const struct ovl_leaving *target)
{
	struct ovl_node *source = r->source, *into = r->into->dir;
	struct ovl_map *map = r->fs->tree.map;

	ovl_dir_note(r->from.dir, r->from_name, 0,
	             covers ? DT_WHT : DT_UNKNOWN);
	ovl_dir_note(into, r->to_name, source->id.fileid,
	             IFTODT(ovl_node_type(source)));
	/* In this order: what exists has a row at every moment. */
	ovl_map_put(map, source->id.fileid, into->id.fileid, r->to_name,
	            strlen(r->to_name));
	if (ovl_node_set_place(source, into, r->to_name))
		ovl_map_lost(map);
	ovl_map_del(map, source->id.fileid, r->from.dir->id.fileid,
	            r->from_name, strlen(r->from_name));
	if (r->target && r->target->tree->upper)
		ovl_edit_unlinked(r->into, r->target, r->to_name, target);
}

/* ---- the whole -------------------------------------------------------------------------- */

static int replace_on_disk(struct renaming *r, bool covers,
                           const struct ovl_leaving *target)
{
	int err = rename_on_disk(r, covers);

	if (!err)
		note(r, covers, target);
	else if (r->target && r->target->tree->upper)
		ovl_edit_still_linked(r->target, target);
	return err;
}

/* The move, as who looks for what moves knows it. */
static int move(struct renaming *r, bool covers)
{
	struct ovl_tree *tree = &r->fs->tree;
	struct ovl_leaving target = { 0 };
	int err = 0;

	ovl_tree_move_begin(tree);
	if (r->target && r->target->tree->upper)
		err = ovl_edit_unlinking(r->into, r->target, r->to_name,
		                         &target);
	if (!err)
		err = replace_on_disk(r, covers, &target);
	ovl_tree_move_end(tree);
	return err;
}

/* All is locked, and all checks have been made. */
static int rename_in_place(struct renaming *r)
{
	char tmp[OVL_TMPNAME_SIZE] = "";
	bool covers, to_covers;
	int err;

	err = ovl_edit_covers(&r->from, r->from_name, &covers);
	if (!err)
		err = ovl_edit_covers(r->into, r->to_name, &to_covers);
	if (!err && r->source->dir)
		err = mark_source(r, to_covers);
	if (!err)
		err = ovl_edit_link_lower(&r->from, r->source, r->from_name);
	if (!err)
		err = ovl_edit_link_lower(r->into, r->target, r->to_name);
	if (!err && r->target && r->target->dir)
		err = ovl_aside_step(r->into, r->target, r->to_name, tmp);
	if (!err)
		err = move(r, covers);
	if (tmp[0])
		ovl_aside_end(r->into, r->target, r->to_name, tmp, err);
	if (err) {
		ovl_edit_keep_times(&r->from);
		ovl_edit_keep_times(r->into);
		return err;
	}
	ovl_walk_moved(&r->fs->walk, r->source);
	if (r->target && r->target->dir && r->target->tree->upper)
		r->target->dir->dead = true;
	ovl_node_reread(r->source, true, NULL);
	return 0;
}

static int rename_over_dir(struct renaming *r)
{
	struct ovl_node *target = r->target;
	int err;

	pthread_mutex_lock(&target->dir->change);
	err = ovl_dir_is_empty(target);
	if (!err)
		err = rename_in_place(r);
	pthread_mutex_unlock(&target->dir->change);
	return err;
}

static int lock_edits(struct renaming *r)
{
	struct ovl_edit *first = &r->from, *second = &r->to;
	int err;

	if (r->into == &r->from)
		return ovl_edit_lock(&r->from);
	/* The one above first; its place cannot change: see ovl.rename. */
	if (check_above(r->fs, r->to.dir, r->from.dir) == -EINVAL ||
	    (check_above(r->fs, r->from.dir, r->to.dir) == 0 &&
	     (uintptr_t)r->to.dir < (uintptr_t)r->from.dir)) {
		first = &r->to;
		second = &r->from;
	}
	err = ovl_edit_lock(first);
	return err ? err : ovl_edit_lock(second);
}

/* Look again at what there is, now that nobody else can change it. */
static int look_again(struct renaming *r)
{
	struct ovl_node *source = NULL, *target = NULL;
	int err;

	err = ovl_find_child(r->fs, r->from.dir, r->from_name, true, &source);
	if (err)
		return err;
	err = ovl_find_child(r->fs, r->into->dir, r->to_name, true, &target);
	if (err && err != -ENOENT) {
		ovl_node_unref(source);
		return err;
	}
	ovl_node_unref(r->source);
	ovl_node_unref(r->target);
	r->source = source;
	r->target = target;
	return 0;
}

static bool is_one_object(const struct renaming *r)
{
	return r->target && r->source->id.fileid == r->target->id.fileid;
}

static int rename_locked(struct renaming *r)
{
	int err;

	err = lock_edits(r);
	if (!err)
		err = look_again(r);
	if (err)
		return err;
	if (is_one_object(r))
		return 0;
	err = check(r, r->from.dir, r->into->dir);
	if (!err && !r->source->tree->upper)
		err = -ESTALE; /* another got the name since */
	if (err)
		return err;
	return r->target && r->target->dir ? rename_over_dir(r)
	                                   : rename_in_place(r);
}

/* Copy up what takes part, and open the directories. */
static int open_edits(struct renaming *r, struct ovl_node *from,
                      struct ovl_node *to, struct ovl_change *from_change,
                      struct ovl_change *to_change)
{
	struct ovl_node *upper;
	int err;

	err = ovl_copyup_to_name(r->fs, r->source, &upper);
	if (err)
		return err;
	err = ovl_metacopy_redirect(r->fs, upper);
	ovl_node_unref(upper);
	if (!err)
		err = ovl_edit_keep_count(r->fs, to, r->to_name, r->target);
	if (err)
		return err;
	err = ovl_edit_open(&r->from, r->fs, from, true, from_change);
	if (err || from->id.fileid == to->id.fileid)
		return err;
	r->into = &r->to;
	return ovl_edit_open(&r->to, r->fs, to, true, to_change);
}

static int find_both(struct renaming *r, struct ovl_node *from,
                     struct ovl_node *to)
{
	int err;

	err = ovl_lookup(r->fs, r->caller, to, r->to_name, &r->target);
	if (err && err != -ENOENT)
		return err;
	return ovl_lookup(r->fs, r->caller, from, r->from_name, &r->source);
}

int ovl_rename(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *from, const char *from_name,
               struct ovl_node *to, const char *to_name,
               struct ovl_change *from_change, struct ovl_change *to_change)
{
	struct renaming r = {
		.fs = fs,
		.caller = caller,
		.from_name = from_name,
		.to_name = to_name,
		.into = &r.from,
	};
	struct ovl_change from_unasked, to_unasked;
	bool one_dir = from->id.fileid == to->id.fileid;
	int err;

	from_change = ovl_change_start(from_change, &from_unasked);
	to_change = ovl_change_start(to_change, &to_unasked);
	if (!caller->may_wait)
		return -EAGAIN;
	err = find_both(&r, from, to);
	if (!err && is_one_object(&r)) {
		ovl_change_none(fs, from, true, from_change);
		ovl_change_none(fs, to, true, to_change);
		goto out;
	}
	if (err)
		goto out;
	err = check(&r, from, to);
	if (!err)
		err = open_edits(&r, from, to, from_change, to_change);
	if (!err) {
		if (!one_dir)
			pthread_mutex_lock(&fs->rename);
		err = rename_locked(&r);
		ovl_edit_unlock(&r.from);
		ovl_edit_unlock(&r.to);
		if (!one_dir)
			pthread_mutex_unlock(&fs->rename);
	}
	err = ovl_edit_release_both(&r.from, &r.to, err);
	if (one_dir)
		*to_change = *from_change;
out:
	ovl_node_unref(r.source);
	ovl_node_unref(r.target);
	return err;
}
