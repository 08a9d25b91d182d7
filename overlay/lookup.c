/*
 * Finding nodes for callers: by handle and by name, verified against the layers
 * as far as these are trusted, and with search permission.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "overlay/find.h"
#include "overlay/may.h"
#include "overlay/verify.h"

/* Times that moves may come in between: then they are to wait, or the caller is. */
#define MAX_TRIES 16

/* ---- by identity -------------------------------------------------------------- */

/* Whether it can have one place only. */
static bool has_one_place(struct ovl_node *lower)
{
	bool has_one;

	ovl_node_lock(lower);
	has_one = lower->dir || lower->attr.nlink == 1;
	ovl_node_unlock(lower);
	return has_one;
}

/*
 * One try, without a walk. -ENOENT: not found so far; `*below`: the stack has it,
 * but it does not show at its place, unless by an upper part that was not found.
 */
static int resolve_once(struct ovl *fs, uint64_t fileid, bool may_wait,
                        struct ovl_node **node, bool *below)
{
	struct ovl_node *got = NULL, *lower = NULL;
	int err = -ENOENT;

	*below = false;
	if (fs->has_upper)
		got = ovl_tree_get(&fs->tree, fileid);
	if (got) {
		*node = got;
		return 0;
	}
	lower = ovl_tree_get(&fs->stack->tree, fileid);
	if (lower && ovl_find_is_shown(fs, lower)) {
		*node = lower;
		return 0;
	}
	if (lower) {
		err = ovl_find_over(fs, lower, may_wait, node);
		if (err == -ENOENT)
			*below = has_one_place(lower);
		ovl_node_unref(lower);
		if (err != -ENOENT)
			return err;
	}
	if (!may_wait)
		return -EAGAIN;
	if (fs->has_upper)
		err = ovl_find_by_rows(fs, &fs->tree, fileid, node);
	if (err != -ENOENT || !ovl_fileid_layer(fileid) || lower)
		return err;
	err = ovl_find_by_rows(fs, &fs->stack->tree, fileid, &lower);
	if (!err) {
		*below = has_one_place(lower);
		err = ovl_find_over(fs, lower, true, node);
		ovl_node_unref(lower);
	}
	return err;
}

/*
 * Have the walk look for it that may still find it: the overlay's, then the
 * stack's, of which it wants all names if it has been `seen` in vain. 0: it has
 * been seen; `*hold` keeps it in memory. -ESTALE: both have been everywhere.
 */
static int find_by_walk(struct ovl *fs, uint64_t fileid, bool below, bool seen,
                        struct ovl_node **hold)
{
	int err = -ENOENT;

	if (fs->has_upper && !ovl_map_complete(fs->tree.map))
		err = ovl_walk_find(&fs->walk, fileid, false, hold);
	if (err == -ENOENT && !below && ovl_fileid_layer(fileid) &&
	    fs->stack->nlayers && !ovl_map_complete(fs->stack->tree.map))
		err = ovl_walk_find(&fs->stack->walk, fileid, seen, hold);
	return err == -ENOENT ? -ESTALE : err;
}

/* The overlay's directory that a name of the stack's node shows in, and that. */
static int verify_shown(struct ovl *fs, const struct ovl_caller *caller,
                        struct ovl_node *node)
{
	struct ovl_node *in;
	int err, looked = 0;

	if (fs->cache == OVL_CACHE_ALWAYS)
		return 0;
	if (fs->has_upper && !node->tree->upper &&
	    !ovl_find_parent(fs, node, caller->may_wait, &in)) {
		looked = ovl_verify(fs, caller, in);
		ovl_node_unref(in);
		if (looked < 0 && looked != -ERESTART)
			return looked;
	}
	/* Even if that was forgotten: this may hold on to it. */
	err = ovl_verify(fs, caller, node);
	return err < 0 || !looked ? err : looked;
}

/*
 * As resolve_once, of what is verified. What is above it may turn out to have
 * changed, and then it may be something else that shows: hence once more.
 */
static int resolve_verified(struct ovl *fs, const struct ovl_caller *caller,
                            uint64_t fileid, struct ovl_node **node,
                            bool *below)
{
	struct ovl_node *got, *before = NULL;
	bool same = false;
	int err = 1;

	for (unsigned i = 0; i < MAX_TRIES && err > 0 && !same; i++) {
		err = resolve_once(fs, fileid, caller->may_wait, &got, below);
		if (err)
			break;
		same = got == before;
		if (!same)
			err = verify_shown(fs, caller, got);
		if (err == -ESTALE)
			*below = !got->tree->upper && has_one_place(got);
		ovl_node_unref(before);
		before = got;
	}
	if (err < 0) {
		ovl_node_unref(before);
		return err;
	}
	*node = before;
	return 0;
}

/* The same, while nothing moves. */
static int resolve_at_rest(struct ovl *fs, const struct ovl_caller *caller,
                           uint64_t fileid, struct ovl_node **node, bool *below)
{
	int err;

	if (!caller->may_wait)
		return -EAGAIN;
	pthread_mutex_lock(&fs->tree.moving);
	err = resolve_verified(fs, caller, fileid, node, below);
	pthread_mutex_unlock(&fs->tree.moving);
	return err;
}

/* As ovl_resolve, whatever generation. `*hold` is to be dropped in any case. */
static int resolve(struct ovl *fs, const struct ovl_caller *caller,
                   uint64_t fileid, struct ovl_node **node,
                   struct ovl_node **hold)
{
	bool below, seen = false, walked = false;
	unsigned restarts = 0;
	int err;

	for (unsigned i = 0; i < 2 * MAX_TRIES; i++) {
		if (restarts < MAX_TRIES || !fs->has_upper)
			err = resolve_verified(fs, caller, fileid, node,
			                       &below);
		else
			err = resolve_at_rest(fs, caller, fileid, node, &below);
		if (err == -ERESTART) {
			restarts++;
			continue;
		}
		if (err != -ENOENT && err != -ESTALE)
			return err;
		ovl_node_unref(*hold);
		*hold = NULL;
		err = find_by_walk(fs, fileid, below, seen, hold);
		seen = seen || !err;
		/* What a walk has not seen may be below what it has: a file of
		 * the stack's in a directory that moved, whose row is there
		 * only now. */
		if (err == -ESTALE && !walked)
			walked = true;
		else if (err)
			return err;
	}
	return -EINPROGRESS;
}

int ovl_resolve(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_id id, struct ovl_node **node)
{
	struct ovl_node *got = NULL, *hold = NULL;
	int err = resolve(fs, caller, id.fileid, &got, &hold);

	ovl_node_unref(hold);
	if (err)
		return err;
	if (got->id.generation != id.generation) {
		ovl_node_unref(got);
		return -ESTALE;
	}
	*node = got;
	return 0;
}

/* ---- by name ---------------------------------------------------------------- */

struct ovl_node *ovl_root(struct ovl *fs)
{
	return ovl_node_ref(fs->has_upper ? fs->tree.root
	                                  : fs->stack->tree.root);
}

/* The parent; if it was forgotten, what has taken its place. */
static int find_above(struct ovl *fs, const struct ovl_caller *caller,
                      struct ovl_node *dir, struct ovl_node **node)
{
	struct ovl_node *above;
	int err = ovl_find_parent(fs, dir, caller->may_wait, &above);

	if (err)
		return err;
	err = ovl_resolve(fs, caller, above->id, node);
	ovl_node_unref(above);
	return err;
}

/* As ovl_find_child; the directory has been verified. */
static int find_verified(struct ovl *fs, const struct ovl_caller *caller,
                         struct ovl_node *dir, const char *name,
                         struct ovl_node **node)
{
	struct ovl_node *got;
	int err = -ERESTART;

	for (unsigned i = 0; i < MAX_TRIES && err == -ERESTART; i++) {
		err = ovl_find_child(fs, dir, name, caller->may_wait, &got);
		if (err == -ESTALE && caller->may_wait) {
			/* It went in the second that its name is trusted. */
			err = ovl_verify_now(dir);
			continue;
		}
		if (err)
			return err;
		err = ovl_verify(fs, caller, got);
		if (err < 0)
			ovl_node_unref(got);
	}
	if (err < 0)
		return err == -ERESTART ? -EINPROGRESS : err;
	*node = got;
	return 0;
}

static int look_up(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *dir, const char *name,
                   struct ovl_node **node)
{
	int err;

	if (!dir->dir)
		return -ENOTDIR;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	err = ovl_may_access(fs, caller, dir, X_OK);
	if (err)
		return err;
	if (!strcmp(name, ".")) {
		*node = ovl_node_ref(dir);
		return 0;
	}
	if (!strcmp(name, ".."))
		return find_above(fs, caller, dir, node);
	return find_verified(fs, caller, dir, name, node);
}

int ovl_lookup(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name, struct ovl_node **node)
{
	struct ovl_node *upper = ovl_find_upper(fs, dir);
	int err = look_up(fs, caller, upper ? upper : dir, name, node);

	ovl_node_unref(upper);
	return err;
}
