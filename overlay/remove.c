/*
 * Taking names away: remove and rmdir.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/find.h"
#include "overlay/may.h"
#include "overlay/refresh.h"
#include "overlay/remove.h"
#include "overlay/whiteout.h"

/* What a file may have for its bytes to be given back without delay. */
#define QUICK_BYTES (1 << 20)

/* ---- emptiness -------------------------------------------------------------- */

/* Whether all names of the upper directory are whiteouts; it is locked. */
static bool has_whiteouts_only(struct ovl_node *dir)
{
	struct ovl_names_iter iter = ovl_names_iter(dir->dir->names, 0);
	const struct ovl_name *name;

	while ((name = ovl_names_next(&iter)))
		if (name->type != DT_WHT)
			return false;
	return true;
}

/* Whether each name of the directory below is hidden; both are locked. */
static bool hides_all(struct ovl_node *dir, struct ovl_node *lower)
{
	struct ovl_names_iter iter = ovl_names_iter(lower->dir->names, 0);
	const struct ovl_name *name;

	while ((name = ovl_names_next(&iter)))
		if (!ovl_names_find(dir->dir->names, name->name, name->len))
			return false;
	return true;
}

/*
 * Lock the upper directory and the one below it (NULL: none), both with their
 * names, without a wait while a lock is held. The `change` of `dir` is held.
 */
static int lock_both(struct ovl_node *dir, struct ovl_node *lower)
{
	int err;

	for (;;) {
		err = ovl_dir_load(dir);
		if (err)
			return err;
		ovl_node_lock(dir);
		err = lower ? ovl_dir_lock(lower, false) : 0;
		if (!err)
			return 0;
		ovl_node_unlock(dir);
		if (err == -EAGAIN)
			err = ovl_dir_lock(lower, true);
		if (err)
			return err;
		ovl_dir_unlock(lower);
	}
}

int ovl_dir_is_empty(struct ovl_node *dir)
{
	struct ovl_node *lower = ovl_node_lower(dir);
	bool empty;
	int err;

	if (!dir->tree->upper) {
		/* A stack's directory: its names never change. */
		err = ovl_dir_load(dir);
		if (err)
			return err;
		ovl_node_lock(dir);
		empty = ovl_names_count(dir->dir->names) == 0;
	} else {
		err = lock_both(dir, lower);
		if (err)
			return err;
		empty = has_whiteouts_only(dir) &&
		        (!lower || hides_all(dir, lower));
		if (lower)
			ovl_dir_unlock(lower);
	}
	ovl_node_unlock(dir);
	return empty ? 0 : -ENOTEMPTY;
}

/* ---- on disk -------------------------------------------------------------------- */

/*
 * Move what the upper has at `name` out of the way, into the work directory, and
 * leave a whiteout there, where one is needed, in the same step.
 */
static int take_away(struct ovl_edit *edit, const char *name, bool covers)
{
	struct ovl_workdir *workdir = edit->fs->workdir;
	int dirfd = ovl_fd_num(edit->fd), err = 0;
	char tmp[OVL_TMPNAME_SIZE];

	ovl_workdir_name(workdir, tmp);
	if (covers)
		err = ovl_whiteout_replace(edit->fs, dirfd, name, tmp);
	else if (renameat2(dirfd, name, ovl_workdir_tmp(workdir), tmp,
	                   RENAME_NOREPLACE))
		err = -errno;
	/* What cannot be removed now, the next start removes. */
	if (!err)
		ovl_workdir_discard(workdir, tmp);
	return err;
}

static int unlink_name(struct ovl_edit *edit, struct ovl_node *victim,
                       const char *name, bool covers)
{
	int dirfd = ovl_fd_num(edit->fd);

	if (ovl_edit_upper_type(edit, name) == DT_UNKNOWN)
		return ovl_whiteout_make(edit->fs, dirfd, name);
	/* A directory may hold whiteouts. */
	if (covers || victim->dir)
		return take_away(edit, name, covers);
	return unlinkat(dirfd, name, 0) ? -errno : 0;
}

/* Where its links are counted, their lock is held. */
static int unlink_upper(struct ovl_edit *edit, struct ovl_node *victim,
                        const char *name, bool covers)
{
	struct ovl_leaving leaving;
	int err;

	err = ovl_edit_unlinking(edit, victim, name, &leaving);
	if (err)
		return err;
	err = unlink_name(edit, victim, name, covers);
	if (err) {
		ovl_edit_still_linked(victim, &leaving);
		return err;
	}
	ovl_dir_note(edit->dir, name, 0, covers ? DT_WHT : DT_UNKNOWN);
	ovl_edit_unlinked(edit, victim, name, &leaving);
	return 0;
}

static int unlink_lower(struct ovl_edit *edit, struct ovl_node *victim,
                        const char *name)
{
	int err = unlink_name(edit, victim, name, true);

	if (!err)
		ovl_dir_note(edit->dir, name, 0, DT_WHT);
	return err;
}

/* The directory is locked, and so is a victim that is one. */
static int remove_in_place(struct ovl_edit *edit, struct ovl_node *victim,
                           const char *name)
{
	bool covers;
	int err;

	err = ovl_edit_covers(edit, name, &covers);
	/* So that the name and the count go in one step. */
	if (!err)
		err = ovl_edit_link_lower(edit, victim, name);
	if (err)
		return err;
	if (!victim->tree->upper)
		return unlink_lower(edit, victim, name);
	if (victim->indexed)
		pthread_mutex_lock(&victim->tree->moving);
	err = unlink_upper(edit, victim, name, covers);
	if (victim->indexed)
		pthread_mutex_unlock(&victim->tree->moving);
	return err;
}

static int remove_dir_in_place(struct ovl_edit *edit, struct ovl_node *victim,
                               const char *name)
{
	int err;

	/* Nobody is to make something in it meanwhile. */
	pthread_mutex_lock(&victim->dir->change);
	err = ovl_dir_is_empty(victim);
	if (!err)
		err = remove_in_place(edit, victim, name);
	if (!err && victim->tree->upper)
		victim->dir->dead = true;
	pthread_mutex_unlock(&victim->dir->change);
	return err;
}

/* ---- for callers ------------------------------------------------------------------ */

static int check_remove(struct ovl *fs, const struct ovl_caller *caller,
                        struct ovl_node *dir, struct ovl_node *victim,
                        bool directory)
{
	int err = ovl_may_change(fs, caller);

	if (!err)
		err = ovl_may_remove(fs, caller, dir, victim);
	if (!err && directory != (victim->dir != NULL))
		err = directory ? -ENOTDIR : -EISDIR;
	return err;
}

/* Whether it goes in no time, even without a wait for a disk. 0 or -EAGAIN. */
static int check_quick(struct ovl *fs, struct ovl_node *victim)
{
	struct ovl_attr attr;

	if (!victim->tree->upper || victim->dir || victim->indexed)
		return -EAGAIN;
	/* Whether others of its names are known, the handles' file may have to
	 * say, which may be on a disk. */
	if (ovl_node_attr(victim, fs->cache, false, &attr) || attr.nlink > 1 ||
	    attr.used > QUICK_BYTES)
		return -EAGAIN;
	return 0;
}

static int check_empty(struct ovl_node *dir)
{
	int err;

	pthread_mutex_lock(&dir->dir->change);
	err = ovl_dir_is_empty(dir);
	pthread_mutex_unlock(&dir->dir->change);
	return err;
}

static int take_name(struct ovl *fs, const struct ovl_caller *caller,
                     struct ovl_node *dir, const char *name, bool directory,
                     struct ovl_change *change)
{
	struct ovl_edit edit = OVL_EDIT_NONE;
	struct ovl_node *victim = NULL;
	struct ovl_change unasked;
	int err;

	change = ovl_change_start(change, &unasked);
	err = ovl_edit_may_begin(fs, caller, dir);
	if (err)
		return err;
	err = ovl_lookup(fs, caller, dir, name, &victim);
	if (!err && !caller->may_wait)
		err = check_quick(fs, victim);
	if (!err)
		err = check_remove(fs, caller, dir, victim, directory);
	if (!err && directory)
		err = check_empty(victim); /* before anything is copied up */
	if (!err)
		err = ovl_edit_keep_count(fs, dir, name, victim);
	if (!err)
		err = ovl_edit_open(&edit, fs, dir, caller->may_wait, change);
	if (!err)
		err = ovl_edit_lock(&edit);
	if (!err) {
		/* Another may have the name by now, or it an upper part. */
		ovl_node_unref(victim);
		victim = NULL;
		err = ovl_find_child(fs, edit.dir, name, caller->may_wait,
		                     &victim);
	}
	if (!err && !caller->may_wait)
		err = check_quick(fs, victim);
	if (!err)
		err = check_remove(fs, caller, edit.dir, victim, directory);
	if (!err)
		err = directory ? remove_dir_in_place(&edit, victim, name)
		                : remove_in_place(&edit, victim, name);
	err = ovl_edit_release(&edit, err);
	ovl_node_unref(victim);
	return err;
}

int ovl_remove(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name,
               struct ovl_change *change)
{
	return take_name(fs, caller, dir, name, false, change);
}

int ovl_rmdir(struct ovl *fs, const struct ovl_caller *caller,
              struct ovl_node *dir, const char *name, struct ovl_change *change)
{
	return take_name(fs, caller, dir, name, true, change);
}
