#include "config.h"

#include "overlay/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/gather.h"
#include "overlay/heap.h"
#include "overlay/marks.h"
#include "overlay/refresh.h"
#include "overlay/xattr.h"

/* ---- the root ------------------------------------------------------------ */

/*
 * The roots merge, down to one that a mark of an OCI image makes opaque (the
 * kernel's attribute says nothing there); the merged one was born in the lowest.
 */
static int add_root(struct ovl_stack *stack)
{
	struct ovl_part parts[OVL_LAYER_MAX] = { 0 };
	const struct ovl_layer *layer = NULL;
	struct ovl_node_spec spec = { 0 };
	struct ovl_real top, real;
	int err = 0;

	for (size_t i = 0; i < stack->nmerged && !err; i++) {
		layer = &stack->layers[i];

		err = ovl_layer_look(layer, layer->root, "", &real);
		if (err)
			return err;
		if (i == 0)
			top = real;
		else if (real.attr.nlink > 2)
			spec.extra_links += real.attr.nlink - 2;
		parts[i].layer = layer;
		parts[i].ino = layer->root_ino;
		parts[i].stamp =
			(struct ovl_stamp){ real.attr.mtime, real.attr.ctime };
		spec.nparts++;
		err = ovl_mark_in(layer, layer->root);
		if (err < 0)
			return err;
	}
	spec.id.fileid = ovl_fileid(layer->number, layer->root_ino);
	spec.id.generation = layer->root_generation;
	spec.layer = &stack->layers[0];
	spec.real = &top;
	spec.parts = parts;
	stack->tree.root = ovl_tree_add(&stack->tree, &spec);
	return stack->tree.root ? 0 : -ENOMEM;
}

static int walk_look_up(void *arg, struct ovl_node *dir, const char *name,
                        struct ovl_node **node)
{
	return ovl_stack_lookup(arg, dir, name, true, node);
}

static const struct ovl_walk_ways walk_ways = { .lookup = walk_look_up };

static bool are_in_memory(const struct ovl_layer *layers, size_t n)
{
	while (n > 0 && layers[n - 1].never_waits)
		n--;
	return n == 0;
}

int ovl_stack_new(struct ovl_layer *layers, size_t nlayers,
                  const struct ovl_config *config, struct ovl_writer *writer,
                  const unsigned char *cookie_key, struct ovl_stack **stack)
{
	struct ovl_stack *fresh;
	int err;

	if (nlayers > OVL_LAYER_MAX)
		return -EINVAL;
	fresh = ovl_heap_aligned(_Alignof(struct ovl_stack), sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	atomic_init(&fresh->refs, 1);
	memcpy(fresh->cookie_key, cookie_key, OVL_KEY_BYTES);
	fresh->log = (struct ovl_log){ config->log, config->log_arg };
	err = ovl_tree_init(&fresh->tree, layers, false, config, writer,
	                    fresh->cookie_key, NULL, NULL);
	if (err) {
		free(fresh);
		return err;
	}
	ovl_walk_init(&fresh->walk, &fresh->tree, &walk_ways, fresh, config);
	fresh->layers = layers;
	fresh->tree.in_memory = are_in_memory(layers, nlayers);
	fresh->nlayers = nlayers;
	fresh->nmerged = nlayers - config->ndatadirs;
	if (fresh->nmerged)
		layers[fresh->nmerged - 1].lowest = true;
	fresh->follow_redirects = config->redirect_dir != OVL_REDIRECT_NOFOLLOW;
	fresh->follow_metacopy = config->metacopy;
	if (nlayers) {
		err = add_root(fresh);
		if (err) {
			fresh->nlayers = 0; /* still the caller's */
			fresh->layers = NULL;
			ovl_stack_unref(fresh);
			return err;
		}
	}
	*stack = fresh;
	return 0;
}

struct ovl_stack *ovl_stack_ref(struct ovl_stack *stack)
{
	atomic_fetch_add(&stack->refs, 1);
	return stack;
}

void ovl_stack_unref(struct ovl_stack *stack)
{
	if (!stack || atomic_fetch_sub(&stack->refs, 1) != 1)
		return;
	ovl_walk_release(&stack->walk);
	ovl_tree_release(&stack->tree);
	for (size_t i = 0; i < stack->nlayers; i++)
		ovl_layer_release(&stack->layers[i]);
	free(stack->layers);
	free(stack);
}

/* ---- children -------------------------------------------------------------- */

/* `*metacopy`: it is a file without its data. */
static int look_in_part(struct ovl_node *dir, unsigned part, const char *name,
                        struct ovl_real *real, bool *metacopy)
{
	const struct ovl_layer *layer = dir->dir->parts[part].layer;
	struct ovl_fd *fd;
	int err;

	err = ovl_dir_fd(dir, part, true, &fd);
	if (err)
		return err;
	err = ovl_layer_look(layer, ovl_fd_num(fd), name, real);
	if (!err && S_ISREG(real->attr.mode) && !real->foreign) {
		err = ovl_xattr_is_metacopy_at(layer, ovl_fd_num(fd), name);
		*metacopy = err > 0;
	}
	ovl_fd_unref(dir->tree->fds, fd);
	return err < 0 ? err : 0;
}

struct ino_of {
	const char *name;
	uint64_t ino;
};

static int match_ino(void *arg, const char *name, size_t len, uint64_t ino,
                     uint8_t type)
{
	struct ino_of *search = arg;

	(void)len;
	(void)type;
	if (!strcmp(name, search->name))
		search->ino = ino;
	return 0;
}

/*
 * Another mount, or an inode number that does not fit, stands there: a place
 * that is not entered. It is known by the inode that the layer itself has there,
 * which only the listing tells.
 */
static int foreign_id(struct ovl_stack *stack, struct ovl_node *dir,
                      struct ovl_node_spec *spec)
{
	const struct ovl_layer *layer = dir->dir->parts[spec->part].layer;
	struct ino_of search = { .name = spec->name };
	struct ovl_fd *fd;
	int err;

	err = ovl_dir_fd(dir, spec->part, true, &fd);
	if (err)
		return err;
	err = ovl_layer_list(layer, ovl_fd_num(fd), match_ino, &search);
	ovl_fd_unref(dir->tree->fds, fd);
	if (err)
		return err;
	spec->id.fileid = ovl_fileid(layer->number, search.ino);
	spec->id.generation = 1;
	ovl_log_line(&stack->log, LOG_WARNING,
	             "%s: '%s' is another mount, or its inode number does not "
	             "fit: not entered",
	             layer->path, spec->name);
	return 0;
}

/* What takes part in it, besides what was seen first. */
static int gather(struct ovl_stack *stack, struct ovl_node *dir,
                  struct ovl_node_spec *spec, struct ovl_gathered *gathered)
{
	int err = ovl_gather(stack, dir, spec->name, spec->part, spec->real,
	                     gathered);

	if (err)
		return err;
	if (S_ISDIR(spec->real->attr.mode)) {
		spec->id = gathered->id;
		spec->parts = gathered->parts;
		spec->nparts = gathered->nparts;
		spec->extra_links = gathered->extra_links;
		spec->open_ended = gathered->redirected;
	} else if (gathered->nparts) {
		spec->data = gathered->parts;
		spec->data_used = gathered->used;
	}
	return 0;
}

static int load_child(struct ovl_stack *stack, struct ovl_node *dir,
                      const char *name, unsigned part, unsigned seen,
                      struct ovl_node **node)
{
	struct ovl_node_spec spec = {
		.parent = dir,
		.name = name,
		.part = part,
		.layer = dir->dir->parts[part].layer,
		.seen = seen,
	};
	struct ovl_gathered gathered = { 0 };
	struct ovl_real real;
	bool metacopy = false;
	int err;

	err = look_in_part(dir, part, name, &real, &metacopy);
	if (err)
		return err;
	if (real.whiteout)
		return -ENOENT;
	spec.real = &real;
	spec.id.fileid = ovl_fileid(spec.layer->number, real.ino);
	spec.id.generation = real.generation;
	if (real.foreign)
		err = foreign_id(stack, dir, &spec);
	else if (S_ISDIR(real.attr.mode) || metacopy)
		err = gather(stack, dir, &spec, &gathered);
	if (!err)
		err = ovl_tree_add_unique(&stack->tree, &spec, node);
	ovl_gathered_release(&gathered);
	return err;
}

/* ---- the same as before ------------------------------------------------------ */

static bool same_redirect(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_parts(const struct ovl_dir *dir,
                       const struct ovl_gathered *gathered)
{
	const struct ovl_part *a = dir->parts, *b = gathered->parts;

	if (dir->nparts != gathered->nparts)
		return false;
	for (unsigned i = 0; i < dir->nparts; i++)
		if (a[i].layer != b[i].layer || a[i].ino != b[i].ino ||
		    a[i].generation != b[i].generation ||
		    !same_redirect(a[i].redirect, b[i].redirect) ||
		    (!a[i].redirect && a[i].parent_part != b[i].parent_part))
			return false;
	return true;
}

static int is_same_dir(struct ovl_stack *stack, struct ovl_node *dir,
                       const char *name, unsigned part,
                       const struct ovl_real *real, struct ovl_node *node)
{
	struct ovl_gathered gathered;
	int err = ovl_gather(stack, dir, name, part, real, &gathered);
	bool same;

	if (err)
		return err == -ENOENT ? 0 : err;
	same = same_parts(node->dir, &gathered);
	if (same) {
		ovl_node_lock(node);
		if (node->dir->extra_links != gathered.extra_links) {
			node->dir->extra_links = gathered.extra_links;
			node->checked = 0; /* its link count has changed */
		}
		ovl_node_unlock(node);
	}
	ovl_gathered_release(&gathered);
	return same;
}

int ovl_stack_is_same(struct ovl_stack *stack, struct ovl_node *dir,
                      const char *name, struct ovl_node *node)
{
	struct ovl_found found;
	struct ovl_real real;
	bool metacopy = false, is_there;
	int err;

	err = ovl_dir_lock(dir, true);
	if (err)
		return err;
	is_there = ovl_dir_find(dir, name, &found);
	ovl_dir_unlock(dir);
	if (!is_there ||
	    dir->dir->parts[found.part].layer != ovl_node_layer(node))
		return 0;
	err = look_in_part(dir, found.part, name, &real, &metacopy);
	if (err)
		return err == -ENOENT ? 0 : err;
	/* Where the data of a file is that is elsewhere is found out anew. */
	if (!ovl_node_is_of(node, &real) || real.foreign || metacopy ||
	    ovl_node_data(node))
		return 0;
	return node->dir
	               ? is_same_dir(stack, dir, name, found.part, &real, node)
	               : 1;
}

/* ---- by name ------------------------------------------------------------------ */

int ovl_stack_lookup(struct ovl_stack *stack, struct ovl_node *dir,
                     const char *name, bool may_wait, struct ovl_node **node)
{
	struct ovl_found found;
	struct ovl_node *got;
	unsigned seen;
	bool is_there;
	int err;

	if (!dir->dir)
		return -ENOTDIR;
	seen = ovl_node_shapes(dir, NULL);
	err = ovl_dir_lock(dir, may_wait);
	if (err)
		return err;
	is_there = ovl_dir_find(dir, name, &found);
	ovl_dir_unlock(dir);
	if (!is_there)
		return -ENOENT;
	got = found.fileid ? ovl_tree_get(&stack->tree, found.fileid) : NULL;
	if (got) {
		ovl_node_remember(got, dir, name);
		*node = got;
		return 0;
	}
	if (!may_wait)
		return -EAGAIN;
	err = load_child(stack, dir, name, found.part, seen, &got);
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	if (got->id.fileid != found.fileid)
		ovl_dir_learn(dir, name, got->id.fileid);
	*node = got;
	return 0;
}

/* The part of the directory that shows this name. 0, -ENOENT, -errno. */
static int seek_part(struct ovl_node *dir, const char *name, unsigned *part)
{
	struct ovl_fd *fd;
	int err = 0;

	for (unsigned i = 0; i < dir->dir->nparts && !err; i++) {
		err = ovl_dir_fd(dir, i, true, &fd);
		if (err)
			return err;
		err = ovl_mark_seek(dir->dir->parts[i].layer, ovl_fd_num(fd),
		                    name);
		ovl_fd_unref(dir->tree->fds, fd);
		*part = i;
	}
	return err > 0 ? 0 : err ? err : -ENOENT;
}

int ovl_stack_seek(struct ovl_stack *stack, struct ovl_node *dir,
                   const char *name, struct ovl_node **node)
{
	unsigned part = 0, seen;
	int err;

	if (!dir->dir)
		return -ENOTDIR;
	if (ovl_dir_is_read_in(dir))
		return ovl_stack_lookup(stack, dir, name, true, node);
	seen = ovl_node_shapes(dir, NULL);
	err = seek_part(dir, name, &part);
	return err ? err : load_child(stack, dir, name, part, seen, node);
}

int ovl_stack_follow(struct ovl_stack *stack, struct ovl_node *dir,
                     const char *redirect, bool anew, struct ovl_node **node)
{
	struct ovl_node *at, *next = NULL;
	char name[NAME_MAX + 1];
	size_t len;
	int err = 0;

	if (*redirect != '/')
		return dir ? ovl_stack_lookup(stack, dir, redirect, true, node)
		           : -ENOENT;
	at = ovl_node_ref(stack->tree.root);
	while (!err && *redirect) {
		len = strcspn(++redirect, "/");
		if (len > NAME_MAX)
			err = -ENAMETOOLONG;
		else if (anew)
			err = ovl_node_reread(at, false, NULL);
		if (!err) {
			memcpy(name, redirect, len);
			name[len] = '\0';
			err = ovl_stack_lookup(stack, at, name, true, &next);
		}
		ovl_node_unref(at);
		at = next;
		redirect += len;
	}
	if (!err)
		*node = at;
	return err;
}

int ovl_stack_path(struct ovl_node *node, char *path)
{
	struct ovl_node *at = ovl_node_ref(node), *above;
	size_t start = OVL_REDIRECT_SIZE - 1, len;
	char name[NAME_MAX + 1];
	int err = 0;

	path[start] = '\0';
	while (!err && (above = ovl_node_place(at, name))) {
		ovl_node_unref(at);
		at = above;
		len = strlen(name) + 1;
		if (len > start) {
			err = -ENAMETOOLONG;
			break;
		}
		start -= len;
		path[start] = '/';
		memcpy(path + start + 1, name, len - 1);
	}
	ovl_node_unref(at);
	if (!err)
		memmove(path, path + start, OVL_REDIRECT_SIZE - start);
	return err;
}
