#include "config.h"

#include "overlay/verify.h"

#include <errno.h>
#include <limits.h>

#include "overlay/refresh.h"
#include "overlay/stack.h"
#include "overlay/upper.h"

/* Directories above one another; what lies deeper is not looked at. */
#define MAX_DEPTH 4096

/* What a call has verified so far it takes for verified. */
struct pass {
	struct ovl *fs;
	uint64_t began; /* of the call, or 0: that is not known */
};

static int verify(const struct pass *pass, struct ovl_node *node,
                  unsigned depth, uint64_t *since);

static bool is_fresh(const struct pass *pass, struct ovl_node *node)
{
	uint64_t verified;

	if (pass->fs->cache == OVL_CACHE_ALWAYS)
		return true;
	verified = atomic_load(&node->verified);
	if (pass->began && verified >= pass->began)
		return true;
	/* To read the clock once a call is enough. */
	return pass->fs->cache == OVL_CACHE_AUTO &&
	       (pass->began ? pass->began : ovl_now()) - verified <
	               OVL_AUTO_TRUST;
}

/* ---- forgetting ------------------------------------------------------------- */

/*
 * Forget the node. Nobody changes an upper directory through it any more: who
 * comes later does so through the one that takes its place. False: somebody does
 * at this moment; the next time, then.
 */
static bool retire(struct ovl_node *node)
{
	if (node->dir && node->tree->upper) {
		if (pthread_mutex_trylock(&node->dir->change))
			return false;
		node->dir->dead = true;
		pthread_mutex_unlock(&node->dir->change);
	}
	/* Flushed while it can still be found: see tree.c. */
	if (!node->dir)
		ovl_fdslot_clear(node->tree->fds, &node->fd, false);
	ovl_tree_forget(node->tree, node);
	/* It may be found elsewhere, where it is not known to show. */
	ovl_tree_count_change(node->tree);
	return true;
}

/* ---- its place ---------------------------------------------------------------- */

/* A directory that the node depends on. */
static int verify_other(const struct pass *pass, struct ovl_node *other,
                        unsigned depth, uint64_t *since)
{
	uint64_t verified;
	int err = verify(pass, other, depth + 1, &verified);

	if (!err && !ovl_tree_has(other->tree, other))
		err = -ERESTART;
	if (!err && verified < *since)
		*since = verified;
	return err;
}

static int look_at_place(struct ovl *fs, struct ovl_node *node,
                         struct ovl_node *parent, const char *name)
{
	if (node->foreign)
		return 1;
	return node->tree->upper
	               ? ovl_upper_is_same(fs, parent, name, node)
	               : ovl_stack_is_same(fs->stack, parent, name, node);
}

/*
 * Whether it stands at its place in `parent`, and is made of the same parts.
 * `moves`: from before the place was asked for.
 */
static int verify_place(struct ovl *fs, struct ovl_node *node, unsigned moves,
                        struct ovl_node *parent, const char *name)
{
	unsigned shapes = ovl_node_shapes(parent, node);
	int same;

	if (atomic_load(&node->seen) == shapes && !node->open_ended)
		return 0;
	same = look_at_place(fs, node, parent, name);
	if (same < 0)
		return same;
	if (same) {
		atomic_store(&node->seen, shapes);
		return 0;
	}
	/* It may have been our own move that it was missed for. */
	if ((moves & 1) || atomic_load(&node->tree->moves) != moves)
		return 0;
	return -ERESTART;
}

/* ---- all of it ------------------------------------------------------------------ */

/* The directory itself: what it is made of may have changed. */
static int verify_dir(struct ovl *fs, struct ovl_node *dir, uint64_t *since)
{
	struct ovl_attr attr;
	int err = ovl_node_attr(dir, fs->cache, true, &attr);

	if (err == -ESTALE)
		return -ERESTART;
	ovl_node_lock(dir);
	if (dir->checked < *since)
		*since = dir->checked;
	/* As many names of subdirectories may have come to the parts below. */
	if (!err && ovl_node_lower(dir))
		dir->dir->extra_links =
			ovl_upper_links_below(ovl_node_lower(dir));
	ovl_node_unlock(dir);
	return err;
}

static int look(const struct pass *pass, struct ovl_node *node, unsigned depth,
                uint64_t *since)
{
	unsigned moves = atomic_load(&node->tree->moves);
	char name[NAME_MAX + 1];
	struct ovl_node *parent = ovl_node_place(node, name);
	int err = 0;

	if (parent)
		err = verify_other(pass, parent, depth, since);
	if (!err && node->dir && ovl_node_lower(node))
		err = verify_other(pass, ovl_node_lower(node), depth, since);
	if (!err && node->dir)
		err = verify_dir(pass->fs, node, since);
	if (!err && parent)
		err = verify_place(pass->fs, node, moves, parent, name);
	ovl_node_unref(parent);
	return err;
}

/* `*since`: the time for which it is known to be as it was. */
static int verify(const struct pass *pass, struct ovl_node *node,
                  unsigned depth, uint64_t *since)
{
	int err;

	*since = ovl_now();
	/* A file of the index is reached by no name of its own. */
	if (depth == MAX_DEPTH || node->indexed)
		return 0;
	if (is_fresh(pass, node)) {
		*since = atomic_load(&node->verified);
		return 0;
	}
	err = look(pass, node, depth, since);
	/* A part of what it stands in has gone while it was looked at. */
	if (err == -ESTALE)
		err = -ERESTART;
	if (err == -ERESTART && !retire(node))
		err = 0;
	else if (!err)
		atomic_store(&node->verified, *since);
	/* What the server may not look at, it takes for what it was. */
	return err == -EACCES || err == -EPERM ? 0 : err;
}

uint64_t ovl_begin(const struct ovl *fs)
{
	return fs->cache == OVL_CACHE_ALWAYS ? 0 : ovl_now();
}

int ovl_verify(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *node)
{
	const struct pass pass = { fs, caller->began };
	uint64_t since;
	int err;

	if (node->indexed || is_fresh(&pass, node))
		return 0;
	if (!caller->may_wait && !node->tree->in_memory)
		return -EAGAIN;
	err = verify(&pass, node, 0, &since);
	return err ? err : 1;
}

int ovl_verify_now(struct ovl_node *dir)
{
	int err = ovl_node_reread(dir, false, NULL);

	if (!err && ovl_node_lower(dir))
		err = ovl_node_reread(ovl_node_lower(dir), false, NULL);
	return err ? err : -ERESTART;
}
