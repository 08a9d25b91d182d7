/*
 * Listing a directory: the merge of its own names and of those below it, in the
 * order of their cookies.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/find.h"
#include "overlay/may.h"
#include "overlay/refresh.h"

#define COOKIE_DOT 1
#define COOKIE_DOTDOT 2

/* Names taken at a time, while the locks are held. */
#define BATCH 64

struct batch {
	unsigned n;
	struct {
		uint64_t cookie;
		uint64_t fileid;
		bool upper; /* it is the directory's own, not from below */
		uint8_t len;
		char name[NAME_MAX + 1];
	} names[BATCH];
};

/* One listing under way. */
struct listing {
	struct ovl *fs;
	const struct ovl_caller *caller;
	struct ovl_node *dir;
	bool attrs;
	ovl_fill_fn *fill;
	void *arg;
	uint64_t last; /* cookie of the entry before */
};

/* ---- taking names -------------------------------------------------------------- */

/* Lock a directory and the one below it (or NULL), with their names. */
static int lock_both(struct ovl_node *dir, struct ovl_node *lower,
                     bool may_wait)
{
	int err;

	for (;;) {
		err = ovl_dir_lock(dir, may_wait);
		if (err || !lower)
			return err;
		err = ovl_dir_lock(lower, false);
		if (!err)
			return 0;
		ovl_dir_unlock(dir);
		if (err != -EAGAIN || !may_wait)
			return err;
		/* Not while the other is locked: this may wait. */
		err = ovl_dir_lock(lower, true);
		if (err)
			return err;
		ovl_dir_unlock(lower);
	}
}

static void add(struct batch *batch, const struct ovl_name *name, bool upper)
{
	batch->names[batch->n].upper = upper;
	batch->names[batch->n].cookie = name->cookie;
	batch->names[batch->n].fileid = name->fileid;
	batch->names[batch->n].len = name->len;
	memcpy(batch->names[batch->n++].name, name->name, name->len + 1);
}

static bool same_hash(uint64_t cookie, uint64_t other)
{
	return cookie >> 4 == other >> 4;
}

/*
 * Whether the upper has the name, too: then it is among its neighbours, `before` it
 * and `next` (or NULL), which spares most names the search.
 */
static bool is_covered(struct ovl_names *upper, const struct ovl_name *name,
                       uint64_t before, const struct ovl_name *next)
{
	if (!same_hash(before, name->cookie) &&
	    !(next && same_hash(next->cookie, name->cookie)))
		return false;
	return upper && ovl_names_find(upper, name->name, name->len);
}

/* The next names after `cookie`; both sets are locked, each may be NULL. */
static void merge(struct ovl_names *upper, const struct ovl_names *lower,
                  uint64_t cookie, struct batch *batch)
{
	struct ovl_names_iter upper_iter, lower_iter;
	const struct ovl_name *u = NULL, *l = NULL;

	if (upper) {
		upper_iter = ovl_names_iter(upper, cookie);
		u = ovl_names_next(&upper_iter);
	}
	if (lower) {
		lower_iter = ovl_names_iter(lower, cookie);
		l = ovl_names_next(&lower_iter);
	}
	while (batch->n < BATCH && (u || l)) {
		if (u && (!l || u->cookie <= l->cookie)) {
			if (u->type != DT_WHT)
				add(batch, u, true);
			cookie = u->cookie;
			u = ovl_names_next(&upper_iter);
		} else {
			if (!is_covered(upper, l, cookie, u))
				add(batch, l, false);
			l = ovl_names_next(&lower_iter);
		}
	}
}

static int take_batch(struct listing *listing, uint64_t cookie,
                      struct batch *batch)
{
	struct ovl_node *dir = listing->dir;
	struct ovl_node *lower = dir->tree->upper ? ovl_node_lower(dir) : NULL;
	int err;

	batch->n = 0;
	err = lock_both(dir, lower, listing->caller->may_wait);
	if (err)
		return err;
	if (dir->tree->upper)
		merge(dir->dir->names, lower ? lower->dir->names : NULL, cookie,
		      batch);
	else
		merge(NULL, dir->dir->names, cookie, batch);
	if (lower)
		ovl_dir_unlock(lower);
	ovl_dir_unlock(dir);
	return 0;
}

/* ---- handing them over ------------------------------------------------------------ */

static int add_attrs(struct listing *listing, struct ovl_node *node,
                     struct ovl_dirent *entry)
{
	int err;

	entry->fileid = node->id.fileid;
	if (!listing->attrs)
		return 0;
	err = ovl_node_attr(node, listing->fs->cache, listing->caller->may_wait,
	                    &entry->attr);
	if (err == -EAGAIN)
		return err;
	entry->has_attr = !err;
	entry->id = node->id;
	return 0;
}

/*
 * The number of what stands there itself, where its identity cannot be told: its
 * marks make no sense, say. -ENOENT: it is gone by now.
 */
static int own_fileid(struct ovl_node *dir, struct ovl_dirent *entry)
{
	const struct ovl_layer *layer;
	struct ovl_found found;
	struct ovl_real real;
	struct ovl_fd *fd;
	bool is_there;
	int err;

	err = ovl_dir_lock(dir, true);
	if (err)
		return err;
	is_there = ovl_dir_find(dir, entry->name, &found);
	ovl_dir_unlock(dir);
	if (!is_there && ovl_node_lower(dir))
		return own_fileid(ovl_node_lower(dir), entry);
	if (!is_there || found.part == OVL_PART_NONE)
		return -ENOENT;
	err = ovl_dir_fd(dir, found.part, true, &fd);
	if (err)
		return err;
	layer = dir->dir->parts[found.part].layer;
	err = ovl_layer_look(layer, ovl_fd_num(fd), entry->name, &real);
	ovl_fd_unref(dir->tree->fds, fd);
	if (!err && real.foreign)
		err = -ENOENT;
	if (!err)
		entry->fileid = ovl_fileid(layer->number, real.ino);
	return err;
}

/*
 * Fill in what the name alone does not tell. -ENOENT: it is gone by now. An
 * object that cannot be looked at is listed without attributes; what may be
 * otherwise the next time (no memory, a disk's error) fails the listing.
 */
static int complete(struct listing *listing, bool upper,
                    struct ovl_dirent *entry)
{
	bool may_wait = listing->caller->may_wait;
	struct ovl_node *node;
	int err = 0;

	if (entry->fileid && !listing->attrs)
		return 0;
	node = ovl_find_listed(listing->fs, upper, entry->fileid);
	if (!node)
		err = ovl_find_child(listing->fs, listing->dir, entry->name,
		                     may_wait, &node);
	if (err && err != -EAGAIN && err != -ENOENT && !entry->fileid)
		err = ovl_find_child(listing->fs, listing->dir, entry->name,
		                     may_wait, &node);
	if (err == -EAGAIN || err == -ENOENT)
		return err;
	if (err && entry->fileid)
		return 0;
	if (err)
		return err == -ENOMEM ? err : own_fileid(listing->dir, entry);
	err = add_attrs(listing, node, entry);
	ovl_node_unref(node);
	return err;
}

static bool hand_over(struct listing *listing, struct ovl_dirent *entry)
{
	entry->same_hash = same_hash(entry->cookie, listing->last) &&
	                   entry->cookie > COOKIE_DOTDOT;
	listing->last = entry->cookie;
	return listing->fill(listing->arg, entry);
}

/* "." and "..": 1 when there was no room. */
static int list_dots(struct listing *listing, uint64_t cookie)
{
	struct ovl_dirent entry = { 0 };
	struct ovl_node *node;
	int err = 0;

	for (uint64_t dot = cookie + 1; dot <= COOKIE_DOTDOT && !err; dot++) {
		if (dot == COOKIE_DOT)
			node = ovl_node_ref(listing->dir);
		else
			err = ovl_find_parent(listing->fs, listing->dir,
			                      listing->caller->may_wait, &node);
		if (err)
			break;
		entry = (struct ovl_dirent){
			.name = dot == COOKIE_DOT ? "." : "..",
			.namelen = dot,
			.cookie = dot,
		};
		err = add_attrs(listing, node, &entry);
		ovl_node_unref(node);
		if (!err && !hand_over(listing, &entry))
			err = 1;
	}
	return err;
}

/* 1: no room for more; 0: all of the batch was taken, or is gone. */
static int list_batch(struct listing *listing, const struct batch *batch)
{
	int err;

	for (unsigned i = 0; i < batch->n; i++) {
		struct ovl_dirent entry = {
			.name = batch->names[i].name,
			.namelen = batch->names[i].len,
			.fileid = batch->names[i].fileid,
			.cookie = batch->names[i].cookie,
		};

		err = complete(listing, batch->names[i].upper, &entry);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		if (!hand_over(listing, &entry))
			return 1;
	}
	return 0;
}

static int list(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, uint64_t cookie, bool attrs,
                ovl_fill_fn *fill, void *arg, bool *eof)
{
	struct listing listing = {
		.fs = fs,
		.caller = caller,
		.dir = dir,
		.attrs = attrs,
		.fill = fill,
		.arg = arg,
		.last = cookie,
	};
	struct batch batch;
	int err;

	if (!dir->dir)
		return -ENOTDIR;
	err = ovl_may_access(fs, caller, dir, R_OK);
	if (!err && cookie < COOKIE_DOTDOT)
		err = list_dots(&listing, cookie);
	do {
		if (!err)
			err = take_batch(&listing, cookie, &batch);
		if (!err && batch.n) {
			cookie = batch.names[batch.n - 1].cookie;
			err = list_batch(&listing, &batch);
		}
	} while (!err && batch.n);
	if (err < 0)
		return err;
	*eof = err == 0;
	return 0;
}

int ovl_readdir(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, uint64_t cookie, bool attrs,
                ovl_fill_fn *fill, void *arg, bool *eof)
{
	struct ovl_node *upper = ovl_find_upper(fs, dir);
	int err = list(fs, caller, upper ? upper : dir, cookie, attrs, fill,
	               arg, eof);

	ovl_node_unref(upper);
	return err;
}
