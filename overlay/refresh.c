#include "config.h"

#include "overlay/refresh.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/acl.h"
#include "overlay/dir.h"
#include "overlay/file.h"
#include "overlay/layer.h"
#include "overlay/links.h"
#include "overlay/stamp.h"

/*
 * How the object looks to a client. A directory's link count counts the
 * subdirectories of all its parts, some of which may be hidden or merged: a tool
 * that stops looking for subdirectories after nlink - 2 of them misses none. It
 * is 2 at least, since some clients list nothing in a directory with less. Its ctime
 * tells who keeps its names that others may have come from a new layer below.
 */
void ovl_node_adopt(struct ovl_node *node, const struct ovl_real *real,
                    uint64_t begun)
{
	struct ovl_more *more = atomic_load(&node->more);
	struct ovl_attr attr;

	if (begun < node->checked)
		return;
	attr = real->attr;
	if (node->dir) {
		if (attr.nlink < 2)
			attr.nlink = 2;
		attr.nlink += node->dir->extra_links;
		if (ovl_time_is_before(&attr.ctime, &node->tree->restacked))
			attr.ctime = node->tree->restacked;
	}
	if (!ovl_node_has_data(node))
		attr.used = more->data_used;
	if (more && more->filling) {
		attr.atime = more->filling->times[0];
		attr.mtime = more->filling->times[1];
	}
	ovl_node_set_attr(node, &attr);
	node->checked = begun;
}

static int look_by_name(struct ovl_node *node, struct ovl_real *real)
{
	struct ovl_way way;
	int err;

	err = ovl_way_open(node, true, &way);
	if (err)
		return err;
	err = node->indexed ? ovl_links_look(ovl_node_layer(node), way.dirfd,
	                                     way.name, real)
	                    : ovl_layer_look(ovl_node_layer(node), way.dirfd,
	                                     way.name, real);
	ovl_way_close(&way);
	return err;
}

/* By a descriptor of the object, which is that of no other. */
static int look_by_fd(struct ovl_node *node, int fd, struct ovl_real *real)
{
	return node->indexed
	               ? ovl_links_look(ovl_node_layer(node), fd, "", real)
	               : ovl_layer_look_again(ovl_node_layer(node), fd,
	                                      ovl_node_ino_generation(node),
	                                      real);
}

/* What looking by a name said, is the last word: there is no other to try. */
static bool is_settled(const struct ovl_node *node, const struct ovl_real *real,
                       int err)
{
	return err ? err != -ENOENT && err != -ESTALE
	           : ovl_node_is_of(node, real);
}

/* It may have been forgotten; that is no reason to take what is in it for gone. */
static struct ovl_node *find_parent(struct ovl_tree *tree, uint64_t fileid)
{
	struct ovl_node *parent = ovl_tree_get(tree, fileid);

	if (!parent && tree->find &&
	    tree->find(tree->find_arg, fileid, &parent))
		return NULL;
	return ovl_node_if_dir(parent);
}

/* By one after the other of the names it has been seen under. */
static int look_by_rows(struct ovl_node *node, const struct ovl_rows *rows,
                        struct ovl_real *real)
{
	const struct ovl_row *row = rows->row;
	struct ovl_node *parent;
	int err;

	for (size_t i = 0; i < rows->n; i++, row++) {
		parent = find_parent(node->tree, row->parent);
		if (!parent)
			continue;
		err = ovl_node_set_place(node, parent, row->name);
		ovl_node_unref(parent);
		if (!err)
			err = look_by_name(node, real);
		if (is_settled(node, real, err))
			return err;
	}
	return -ESTALE;
}

/*
 * Look at the object, by its own descriptor where it has one, else by the name
 * it is known by, else by the other names it has been seen under.
 */
static int look_now(struct ovl_node *node, struct ovl_real *real)
{
	struct ovl_rows rows = { 0 };
	struct ovl_fd *fd;
	int err;

	if (node->dir) {
		err = ovl_dir_fd(node, 0, true, &fd);
		/* What may not be read may be looked at. */
		if (err == -EACCES)
			return look_by_name(node, real);
		if (err)
			return err;
		err = ovl_layer_look_again(ovl_node_layer(node), ovl_fd_num(fd),
		                           ovl_node_ino_generation(node), real);
		ovl_fd_unref(node->tree->fds, fd);
		/* It may be open, and removed. */
		return !err && !real->attr.nlink ? -ESTALE : err;
	}
	err = look_by_name(node, real);
	if (is_settled(node, real, err))
		return err;
	ovl_map_get(node->tree->map, node->id.fileid, &rows);
	err = look_by_rows(node, &rows, real);
	ovl_rows_release(&rows);
	return err;
}

static int look(struct ovl_node *node, struct ovl_real *real)
{
	int err = look_now(node, real);

	if (err != -ESTALE || !node->tree->upper)
		return err;
	/* It may be on the move: not while this is held. */
	pthread_mutex_lock(&node->tree->moving);
	err = look_now(node, real);
	pthread_mutex_unlock(&node->tree->moving);
	return err;
}

/* What a look at it, begun at that time, has shown is how it is from now on. */
static void take_over(struct ovl_node *node, const struct ovl_real *real,
                      uint64_t begun, bool changing, struct ovl_attr *attr)
{
	ovl_node_lock(node);
	ovl_node_adopt(node, real, begun);
	if (node->dir && changing)
		ovl_stamp_own(node, &real->attr);
	if (attr)
		ovl_node_get_attr(node, attr);
	ovl_node_unlock(node);
}

/* Nothing in it is looked at, and what is there stays as it was seen first. */
static void keep_foreign(struct ovl_node *node, struct ovl_attr *attr)
{
	ovl_node_lock(node);
	node->checked = ovl_now();
	if (attr)
		ovl_node_get_attr(node, attr);
	ovl_node_unlock(node);
}

static int look_for_same(struct ovl_node *node, struct ovl_real *real)
{
	int err = look(node, real);

	if (!err && !ovl_node_is_of(node, real))
		err = -ESTALE;
	if (err == -ESTALE) {
		ovl_tree_forget(node->tree, node);
		ovl_tree_count_change(node->tree);
	}
	return err;
}

int ovl_node_reread(struct ovl_node *node, bool changing, struct ovl_attr *attr)
{
	uint64_t begun = ovl_now();
	struct ovl_real real;
	int err;

	if (node->foreign) {
		keep_foreign(node, attr);
		return 0;
	}
	err = look_for_same(node, &real);
	if (err)
		return err;
	take_over(node, &real, begun, changing, attr);
	if (node->dir && !changing)
		ovl_stamp_check(node, &real.attr, false);
	return 0;
}

int ovl_dir_before_change(struct ovl_node *dir, enum ovl_cache cache,
                          struct ovl_attr *attr)
{
	struct ovl_real real;
	uint64_t begun;
	int err;

	/* The last change was ours, and is known. */
	if (cache == OVL_CACHE_ALWAYS)
		return ovl_node_attr(dir, cache, true, attr);
	begun = ovl_now();
	err = look_for_same(dir, &real);
	if (err)
		return err;
	ovl_stamp_check(dir, &real.attr, true);
	take_over(dir, &real, begun, true, attr);
	return 0;
}

int ovl_node_reread_fd(struct ovl_node *node, int fd, bool changing,
                       struct ovl_attr *attr)
{
	uint64_t begun = ovl_now();
	struct ovl_real real;
	int err;

	err = look_by_fd(node, fd, &real);
	if (!err)
		take_over(node, &real, begun, changing, attr);
	return err;
}

static bool is_fresh(uint64_t checked, enum ovl_cache cache)
{
	switch (cache) {
	case OVL_CACHE_ALWAYS:
		return checked != 0;
	case OVL_CACHE_AUTO:
		return ovl_now() - checked < OVL_AUTO_TRUST;
	default:
		return false;
	}
}

/* How it is, if that is known. */
static bool recall(struct ovl_node *node, enum ovl_cache cache,
                   struct ovl_attr *attr)
{
	bool fresh;

	ovl_node_lock(node);
	fresh = is_fresh(node->checked, cache);
	if (fresh)
		ovl_node_get_attr(node, attr);
	ovl_node_unlock(node);
	return fresh;
}

int ovl_node_before_change(struct ovl_node *node, int fd, enum ovl_cache cache,
                           unsigned *begun, struct ovl_change *change)
{
	int err = 0;

	*begun = ovl_node_change_begin(node);
	/* The last change was ours, and is known. */
	if (cache != OVL_CACHE_ALWAYS || !recall(node, cache, &change->before))
		err = ovl_node_reread_fd(node, fd, false, &change->before);
	change->has_before = !err;
	return err;
}

static void forget_attr(struct ovl_node *node)
{
	ovl_node_lock(node);
	node->checked = 0;
	ovl_node_unlock(node);
}

void ovl_node_after_change(struct ovl_node *node, int fd, unsigned begun,
                           struct ovl_change *change)
{
	change->has_after =
		!ovl_node_reread_fd(node, fd, false, &change->after);
	if (!change->has_after)
		forget_attr(node);
	if (!ovl_node_change_end(node, begun))
		change->has_before = false;
}

/* A look at it, and at what it is made of. */
static bool may_look(const struct ovl_node *node, bool may_wait)
{
	return may_wait || node->tree->in_memory;
}

int ovl_node_attr(struct ovl_node *node, enum ovl_cache cache, bool may_wait,
                  struct ovl_attr *attr)
{
	if (recall(node, cache, attr))
		return 0;
	if (!may_look(node, may_wait))
		return -EAGAIN;
	return ovl_node_reread(node, false, attr);
}

/* ---- ACLs ------------------------------------------------------------------- */

/* When that one was read; the node's lock is held. */
static uint64_t *acl_checked(struct ovl_node *node, enum ovl_acl_kind kind)
{
	return kind == OVL_ACL_ACCESS ? &node->acl_checked
	                              : &node->dir->default_acl_checked;
}

/* Read it from the layer now, and keep it. */
static int reread_acl(struct ovl_node *node, enum ovl_acl_kind kind,
                      struct ovl_acl **acl)
{
	uint64_t begun = ovl_now();
	struct ovl_acl *other;
	struct ovl_self self;
	int err;

	err = ovl_self_open(node, &self);
	if (err)
		return err;
	err = ovl_acl_load(ovl_node_layer(node), self.num, kind, acl);
	ovl_self_close(&self);
	if (err)
		return err;
	other = ovl_acl_ref(*acl);
	ovl_node_lock(node);
	/* Who began later has read what is newer. */
	if (begun >= *acl_checked(node, kind)) {
		err = ovl_node_swap_acl(node, kind, &other);
		if (!err)
			*acl_checked(node, kind) = begun;
	}
	ovl_node_unlock(node);
	ovl_acl_unref(other);
	if (err) {
		ovl_acl_unref(*acl);
		*acl = NULL;
	}
	return err;
}

int ovl_node_acl(struct ovl_node *node, enum ovl_acl_kind kind,
                 enum ovl_cache cache, bool may_wait, struct ovl_acl **acl)
{
	bool fresh;

	if (!ovl_node_layer(node)->has_acls || node->foreign) {
		*acl = NULL;
		return 0;
	}
	ovl_node_lock(node);
	fresh = is_fresh(*acl_checked(node, kind), cache);
	if (fresh)
		*acl = ovl_acl_ref(ovl_node_kept_acl(node, kind));
	ovl_node_unlock(node);
	if (fresh)
		return 0;
	return may_look(node, may_wait) ? reread_acl(node, kind, acl) : -EAGAIN;
}
