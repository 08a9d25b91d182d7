#include "config.h"

#include "overlay/find.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "overlay/dir.h"
#include "overlay/marks.h"
#include "overlay/upper.h"

/* Directories above one another that rows of the map are followed through. */
#define MAX_DEPTH 4096
/* Rows that are followed for one object, lest damaged ones lead in circles. */
#define MAX_ROWS (4 * MAX_DEPTH)
/* Times that moves may come in between, before the caller is to come again. */
#define MAX_TRIES 16

/* ---- by name -------------------------------------------------------------- */

/*
 * Let the directory's names say which object has this name, unless something has
 * moved since `moves`, before that was found out: another may have it by now.
 */
static void learn(struct ovl *fs, unsigned moves, struct ovl_node *dir,
                  const char *name, uint64_t fileid)
{
	pthread_mutex_lock(&fs->tree.moving);
	if (atomic_load(&fs->tree.moves) == moves)
		ovl_dir_learn(dir, name, fileid);
	pthread_mutex_unlock(&fs->tree.moving);
}

/*
 * What the upper directory has by that name. 1: nothing, ask the one below.
 */
static int upper_child(struct ovl *fs, struct ovl_node *dir, const char *name,
                       bool may_wait, struct ovl_node **node)
{
	unsigned moves = atomic_load(&fs->tree.moves);
	struct ovl_found found;
	struct ovl_node *got;
	bool is_there;
	int err;

	err = ovl_dir_lock(dir, may_wait);
	if (err)
		return err;
	is_there = ovl_dir_find(dir, name, &found);
	ovl_dir_unlock(dir);
	if (!is_there)
		return ovl_node_lower(dir) ? 1 : -ENOENT;
	if (found.type == DT_WHT)
		return -ENOENT;
	got = found.fileid ? ovl_tree_get(&fs->tree, found.fileid) : NULL;
	if (got) {
		ovl_node_remember(got, dir, name);
		*node = got;
		return 0;
	}
	if (!may_wait)
		return -EAGAIN;
	err = ovl_upper_load(fs, dir, name, &got);
	if (err)
		return err;
	if (found.fileid != got->id.fileid)
		learn(fs, moves, dir, name, got->id.fileid);
	*node = got;
	return 0;
}

/*
 * The same, without reading the names in where they are not in memory, and so
 * without the directory's `change`: for who comes by one name only.
 */
static int upper_seek(struct ovl *fs, struct ovl_node *dir, const char *name,
                      bool may_wait, struct ovl_node **node)
{
	struct ovl_fd *fd;
	int err;

	err = upper_child(fs, dir, name, false, node);
	if (err != -EAGAIN || !may_wait)
		return err;
	err = ovl_dir_fd(dir, 0, true, &fd);
	if (err)
		return err;
	err = ovl_mark_seek(&fs->upper, ovl_fd_num(fd), name);
	ovl_fd_unref(fs->tree.fds, fd);
	if (err > 0)
		return ovl_upper_load(fs, dir, name, node);
	return err ? err : ovl_node_lower(dir) ? 1 : -ENOENT;
}

/*
 * A lower file of several names may have been copied up by another one: then
 * this one shows the copy, too. Takes over the reference to `lower`.
 */
static int over_link(struct ovl *fs, struct ovl_node *lower, bool may_wait,
                     struct ovl_node **node)
{
	struct ovl_node *upper;
	bool linked;
	int err = 0;

	if (!fs->has_upper || lower->dir) {
		*node = lower;
		return 0;
	}
	ovl_node_lock(lower);
	linked = lower->attr.nlink > 1;
	ovl_node_unlock(lower);
	if (!linked || !ovl_index_has(fs->tree.index, lower->id)) {
		*node = lower;
		return 0;
	}
	upper = ovl_tree_get(&fs->tree, lower->id.fileid);
	if (!upper)
		err = may_wait ? ovl_upper_load_indexed(fs, lower, &upper)
		               : -EAGAIN;
	ovl_node_unref(lower);
	if (!err)
		*node = upper;
	return err;
}

struct ovl_node *ovl_find_upper(struct ovl *fs, struct ovl_node *node)
{
	return fs->has_upper && !node->tree->upper
	               ? ovl_tree_get(&fs->tree, node->id.fileid)
	               : NULL;
}

int ovl_find_child(struct ovl *fs, struct ovl_node *dir, const char *name,
                   bool may_wait, struct ovl_node **node)
{
	struct ovl_node *got;
	int err = 1;

	if (!dir->dir)
		return -ENOTDIR;
	if (dir->tree->upper) {
		err = upper_child(fs, dir, name, may_wait, node);
		if (err <= 0)
			return err;
		dir = ovl_node_lower(dir);
	}
	err = ovl_stack_lookup(fs->stack, dir, name, may_wait, &got);
	if (err)
		return err;
	return over_link(fs, got, may_wait, node);
}

struct ovl_node *ovl_find_listed(struct ovl *fs, bool in_upper, uint64_t fileid)
{
	struct ovl_tree *tree = in_upper ? &fs->tree : &fs->stack->tree;
	struct ovl_node *node = fileid ? ovl_tree_get(tree, fileid) : NULL;
	bool has_more_names;

	if (!node)
		return NULL;
	ovl_node_lock(node);
	has_more_names = !node->dir && node->attr.nlink > 1;
	ovl_node_unlock(node);
	if (!has_more_names)
		return node;
	ovl_node_unref(node);
	return NULL;
}

/* As ovl_find_child, but by one name only. */
static int seek_child(struct ovl *fs, struct ovl_node *dir, const char *name,
                      struct ovl_node **node)
{
	struct ovl_node *got;
	int err;

	if (!dir->dir)
		return -ENOTDIR;
	if (dir->tree->upper) {
		err = upper_seek(fs, dir, name, true, node);
		if (err <= 0)
			return err;
		dir = ovl_node_lower(dir);
	}
	err = ovl_stack_seek(fs->stack, dir, name, &got);
	return err ? err : over_link(fs, got, true, node);
}

/* ---- by rows ---------------------------------------------------------------- */

/*
 * Forget a row that leads elsewhere. False: it may have been a move that made it
 * look so.
 */
static bool drop_row(struct ovl_tree *tree, unsigned moves, uint64_t fileid,
                     uint64_t parent, const char *name)
{
	bool quiet;

	pthread_mutex_lock(&tree->moving);
	quiet = atomic_load(&tree->moves) == moves;
	if (quiet)
		ovl_map_del(tree->map, fileid, parent, name, strlen(name));
	pthread_mutex_unlock(&tree->moving);
	return quiet;
}

/* One search by rows. */
struct climb {
	struct ovl *fs;
	struct ovl_tree *tree;
	unsigned rows; /* that have been followed */
};

static int by_rows(struct climb *climb, uint64_t fileid, unsigned depth,
                   struct ovl_node **node);

/* What the row leads to. -ENOENT: not to that object. */
static int follow_row(struct climb *climb, uint64_t fileid,
                      const struct ovl_row *row, unsigned depth,
                      struct ovl_node **node)
{
	struct ovl *fs = climb->fs;
	struct ovl_node *dir, *got;
	int err;

	err = by_rows(climb, row->parent, depth + 1, &dir);
	if (err)
		return err;
	err = climb->tree->upper
	              ? seek_child(fs, dir, row->name, &got)
	              : ovl_stack_seek(fs->stack, dir, row->name, &got);
	ovl_node_unref(dir);
	if (err)
		return err == -ESTALE || err == -ENOTDIR ? -ENOENT : err;
	if (got->id.fileid != fileid) {
		ovl_node_unref(got);
		return -ENOENT;
	}
	*node = got;
	return 0;
}

/*
 * The node of the tree by the rows of its map. -ENOENT: there is none that leads
 * to it. Rows that lead elsewhere are dropped. -ERESTART: nothing was found, but
 * something has moved meanwhile.
 */
static int by_rows(struct climb *climb, uint64_t fileid, unsigned depth,
                   struct ovl_node **node)
{
	struct ovl_tree *tree = climb->tree;
	unsigned moves = atomic_load(&tree->moves);
	struct ovl_node *got = ovl_tree_get(tree, fileid);
	struct ovl_rows rows = { 0 };
	int err = -ENOENT;

	if (got) {
		*node = got;
		return 0;
	}
	if (depth == MAX_DEPTH)
		return -ENOENT;
	ovl_map_get(tree->map, fileid, &rows);
	for (size_t i = 0; err == -ENOENT && i < rows.n; i++) {
		const struct ovl_row *row = &rows.row[i];

		if (climb->rows++ == MAX_ROWS)
			break;
		err = follow_row(climb, fileid, row, depth, node);
		if (err == -ENOENT &&
		    !drop_row(tree, moves, fileid, row->parent, row->name))
			err = -ERESTART;
	}
	/* What exists has a row at every moment, if it has any. */
	if (err == -ENOENT && rows.n &&
	    ((moves & 1) || atomic_load(&tree->moves) != moves))
		err = -ERESTART;
	ovl_rows_release(&rows);
	return err;
}

int ovl_find_by_rows(struct ovl *fs, struct ovl_tree *tree, uint64_t fileid,
                     struct ovl_node **node)
{
	struct climb climb = { .fs = fs, .tree = tree };

	return by_rows(&climb, fileid, 0, node);
}

int ovl_find_lower(struct ovl *fs, struct ovl_id id, struct ovl_node **lower)
{
	struct ovl_node *got;
	int err = ovl_find_by_rows(fs, &fs->stack->tree, id.fileid, &got);

	if (err)
		return err;
	if (got->id.generation != id.generation) {
		ovl_node_unref(got);
		return -ENOENT;
	}
	*lower = got;
	return 0;
}

/* ---- upwards ---------------------------------------------------------------- */

/*
 * Whether the stack's node shows as `name` in the overlay's directory `dir`,
 * which is, or is merged with, the directory that has this name for it below. 0:
 * as `*node`, which is `lower` itself where there is no upper part.
 */
static int shows_as(struct ovl *fs, struct ovl_node *lower,
                    struct ovl_node *dir, const char *name, bool may_wait,
                    struct ovl_node **node)
{
	struct ovl_node *got;
	int err = 1;

	if (dir->tree->upper)
		err = upper_seek(fs, dir, name, may_wait, &got);
	if (err == 1)
		return over_link(fs, ovl_node_ref(lower), may_wait, node);
	if (err)
		return err;
	if (got->id.fileid != lower->id.fileid) {
		ovl_node_unref(got);
		return -ENOENT;
	}
	*node = got;
	return 0;
}

/* The stack's directory of that fileid, if it is in memory or has a row. */
static struct ovl_node *stack_dir(struct ovl *fs, uint64_t fileid,
                                  unsigned depth)
{
	struct ovl_node *dir = ovl_tree_get(&fs->stack->tree, fileid), *above;
	char name[NAME_MAX + 1];
	uint64_t parent;

	if (dir || depth == MAX_DEPTH ||
	    !ovl_map_get_one(fs->stack->tree.map, fileid, &parent, name))
		return ovl_node_if_dir(dir);
	above = stack_dir(fs, parent, depth + 1);
	if (!above)
		return NULL;
	if (ovl_stack_seek(fs->stack, above, name, &dir))
		dir = NULL;
	ovl_node_unref(above);
	return dir;
}

/*
 * Whether the stack's node shows by the name `name` in the stack's directory
 * `dir`: its directory (not for NULL) in the overlay, and what it shows as.
 */
static int find_shown_in(struct ovl *fs, struct ovl_node *lower,
                         struct ovl_node *dir, const char *name, bool may_wait,
                         struct ovl_node **in, struct ovl_node **node)
{
	struct ovl_node *over;
	int err = ovl_find_over(fs, dir, may_wait, &over);

	if (err)
		return err;
	err = shows_as(fs, lower, over, name, may_wait, node);
	if (!err && in)
		*in = over;
	else
		ovl_node_unref(over);
	return err;
}

/* The same by all names that the map has of a file, which may have several. */
static int find_shown_by_rows(struct ovl *fs, struct ovl_node *lower,
                              struct ovl_node **in, char *name,
                              struct ovl_node **node)
{
	struct ovl_rows rows = { 0 };
	struct ovl_node *dir;
	int err = -ENOENT;

	ovl_map_get(lower->tree->map, lower->id.fileid, &rows);
	for (size_t i = 0; i < rows.n && err == -ENOENT; i++) {
		dir = stack_dir(fs, rows.row[i].parent, 0);
		if (!dir)
			continue;
		strcpy(name, rows.row[i].name);
		err = find_shown_in(fs, lower, dir, name, true, in, node);
		ovl_node_unref(dir);
	}
	ovl_rows_release(&rows);
	return err;
}

/*
 * Find a place where the stack's node shows: its directory (not for NULL) and
 * name in the overlay, and what it shows as. First the one it is known by.
 */
static int find_shown(struct ovl *fs, struct ovl_node *lower, bool may_wait,
                      struct ovl_node **in, char *name, struct ovl_node **node)
{
	struct ovl_node *dir = ovl_node_place(lower, name);
	int err;

	if (!dir)
		return -ENOENT;
	err = find_shown_in(fs, lower, dir, name, may_wait, in, node);
	ovl_node_unref(dir);
	if (err != -ENOENT || lower->dir)
		return err;
	/* Other names may need a disk. */
	return may_wait ? find_shown_by_rows(fs, lower, in, name, node)
	                : -EAGAIN;
}

/* A lower directory that has moved: the upper one that redirects to it. */
static int find_moved(struct ovl *fs, struct ovl_node *lower,
                      struct ovl_node **node)
{
	struct ovl_node *got;
	int err = -ERESTART;

	for (unsigned i = 0; i < MAX_TRIES && err == -ERESTART; i++)
		err = ovl_find_by_rows(fs, &fs->tree, lower->id.fileid, &got);
	if (err)
		return err == -ERESTART ? -EINPROGRESS : err;
	if (got->id.generation != lower->id.generation) {
		ovl_node_unref(got);
		return -ENOENT;
	}
	*node = got;
	return 0;
}

bool ovl_find_is_shown(struct ovl *fs, struct ovl_node *lower)
{
	const struct ovl_shown *shown = &fs->tree.shown;
	uint64_t dir = 0;

	if (!fs->has_upper)
		return true;
	if (ovl_shown_has(shown, lower->id.fileid))
		return true;
	if (lower->dir)
		return false;
	ovl_node_lock(lower);
	/* Of a file with more names, another one may be copied up. */
	if (lower->attr.nlink == 1)
		dir = lower->parent->id.fileid;
	ovl_node_unlock(lower);
	return dir && ovl_shown_has(shown, dir);
}

int ovl_find_over(struct ovl *fs, struct ovl_node *lower, bool may_wait,
                  struct ovl_node **node)
{
	char name[NAME_MAX + 1];
	struct ovl_node *upper;
	uint64_t changes;
	int err;

	if (lower->tree->upper || !fs->has_upper) {
		*node = ovl_node_ref(lower);
		return 0;
	}
	upper = ovl_tree_get(&fs->tree, lower->id.fileid);
	if (upper) {
		*node = upper;
		return 0;
	}
	if (ovl_find_is_shown(fs, lower)) {
		*node = ovl_node_ref(lower);
		return 0;
	}
	changes = ovl_shown_changes(&fs->tree.shown);
	err = find_shown(fs, lower, may_wait, NULL, name, node);
	/* A forgotten one knows nothing of where its object is now. */
	if (!err && *node == lower && ovl_tree_has(lower->tree, lower))
		ovl_shown_add(&fs->tree.shown, changes, lower->id.fileid);
	if (err != -ENOENT || !lower->dir)
		return err;
	return may_wait ? find_moved(fs, lower, node) : -EAGAIN;
}

int ovl_find_place(struct ovl *fs, struct ovl_node *lower,
                   struct ovl_node **dir, char *name)
{
	struct ovl_node *shown, *in;
	bool upper;
	int err;

	err = find_shown(fs, lower, true, &in, name, &shown);
	if (err)
		return err;
	upper = shown->tree->upper;
	ovl_node_unref(shown);
	if (upper) {
		ovl_node_unref(in);
		return -EEXIST;
	}
	*dir = in;
	return 0;
}

int ovl_find_parent(struct ovl *fs, struct ovl_node *node, bool may_wait,
                    struct ovl_node **parent)
{
	struct ovl_node *above = ovl_node_parent(node);
	int err = 0;

	if (!above)
		*parent = ovl_node_ref(node);
	else if (above->tree->upper)
		*parent = ovl_node_ref(above);
	else
		err = ovl_find_over(fs, above, may_wait, parent);
	ovl_node_unref(above);
	return err;
}
