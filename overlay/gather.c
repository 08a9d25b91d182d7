#include "config.h"

#include "overlay/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/marks.h"
#include "overlay/xattr.h"

/* One gathering under way, from the top down. */
struct gathering {
	struct ovl_stack *stack;
	struct ovl_node *dir;
	/* What to look for: a name in the parts of `dir`, or, once a redirect has
	 * led elsewhere, a path ("/...") from the roots of all layers. */
	char at[OVL_REDIRECT_SIZE];
	bool renamed;  /* it is no longer the name it began with */
	unsigned part; /* of `dir`: where to look next for a name */
	size_t layer;  /* of the stack: where to look next for a path */
	bool is_dir;   /* a directory is gathered; else a file's data */
	bool last;     /* nothing further down takes part */
	struct ovl_gathered *out;
};

/* What one layer has there. */
struct found {
	const struct ovl_layer *layer;
	unsigned part;
	struct ovl_real real;
	int fd; /* O_PATH */
	bool renamed;
	bool hidden;                /* from those below: by a mark beside it */
	char at[OVL_REDIRECT_SIZE]; /* where, as in struct gathering */
};

static bool is_path(const struct gathering *g)
{
	return g->at[0] == '/';
}

static size_t layer_index(const struct gathering *g,
                          const struct ovl_layer *layer)
{
	return layer - g->stack->layers;
}

/* ---- redirects ------------------------------------------------------------ */

/*
 * The component of the path that ends before the last `rest` bytes goes on
 * elsewhere: from the root, or under another name where it is. From the root, it
 * does not matter that a directory above it is opaque.
 */
static int redirect_component(struct gathering *g, size_t rest,
                              const char *redirect)
{
	char path[OVL_REDIRECT_SIZE];
	size_t len = strlen(g->at), above = 0;
	int n;

	if (*redirect != '/' && is_path(g)) {
		above = len - rest;
		while (g->at[above - 1] != '/')
			above--;
	}
	n = snprintf(path, sizeof(path), "%.*s%s%s", (int)above, g->at,
	             redirect, g->at + len - rest);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -EIO;
	if (*redirect == '/')
		g->last = false;
	strcpy(g->at, path);
	g->renamed = true;
	return 0;
}

/* The redirect that `fd` carries, if it does, changes where to look below. */
static int follow(struct gathering *g, const struct ovl_layer *layer, int fd,
                  size_t rest)
{
	char redirect[OVL_REDIRECT_SIZE];
	int err = ovl_xattr_get_redirect(layer, fd, redirect);

	if (err <= 0)
		return err;
	if (!g->stack->follow_redirects)
		return -EPERM;
	return redirect_component(g, rest, redirect);
}

/* A directory that was found: what it says of those below. */
static int heed_dir(struct gathering *g, const struct ovl_layer *layer, int fd,
                    size_t rest)
{
	int err = ovl_mark_is_opaque(layer, fd);

	if (err < 0)
		return err;
	if (err > 0) {
		g->last = true;
		return 0;
	}
	return follow(g, layer, fd, rest);
}

/* ---- looking in one layer -------------------------------------------------- */

/*
 * Whether a mark stands beside `found`, or where it would be (`err` says so).
 * Returns `err`, or what asking for the mark said.
 */
static int heed_mark(struct gathering *g, struct found *found, int hidden,
                     int err)
{
	if (err && err != -ENOENT)
		return err;
	found->hidden = hidden > 0;
	if (err && hidden > 0)
		g->last = true;
	if (hidden < 0 && !err)
		close(found->fd);
	return hidden < 0 ? hidden : err;
}

static int open_found(int dirfd, const char *name, struct found *found)
{
	int err;

	found->fd = ovl_layer_open(found->layer, dirfd, name, O_PATH, false);
	if (found->fd < 0)
		return found->fd == -ENOTDIR ? -ENOENT : found->fd;
	err = ovl_layer_look(found->layer, found->fd, "", &found->real);
	/* An empty file may be a whiteout by attribute. */
	if (!err && S_ISREG(found->real.type) && !found->real.attr.size) {
		err = ovl_mark_seek(found->layer, dirfd, name);
		found->real.whiteout = err == -ENOENT;
		if (err > 0 || found->real.whiteout)
			err = 0;
	}
	if (err)
		close(found->fd);
	return err;
}

static int look_in_part(struct gathering *g, struct found *found)
{
	struct ovl_fd *fd;
	int err;

	found->part = g->part;
	found->layer = g->dir->dir->parts[g->part++].layer;
	err = ovl_dir_fd(g->dir, found->part, true, &fd);
	if (err)
		return err;
	err = open_found(ovl_fd_num(fd), g->at, found);
	ovl_fd_unref(g->dir->tree->fds, fd);
	return heed_mark(g, found, ovl_dir_hides(g->dir, found->part, g->at),
	                 err);
}

/*
 * A directory on the way. -ENOENT: the way ends here, and `last` says whether
 * for the layers below, too.
 */
static int pass(struct gathering *g, const struct found *on_way, size_t rest)
{
	if (!S_ISDIR(on_way->real.attr.mode) || on_way->real.foreign) {
		g->last = true;
		return -ENOENT;
	}
	return heed_dir(g, on_way->layer, on_way->fd, rest);
}

/* Step by step: what is on the way hides, and redirects, what is below. */
static int look_by_path(struct gathering *g, struct found *found)
{
	const struct ovl_layer *layer = &g->stack->layers[g->layer++];
	char path[OVL_REDIRECT_SIZE], *name = path, *end;
	int above = layer->root, err, hidden;

	strcpy(path, g->at);
	found->layer = layer;
	hidden = ovl_mark_in(layer, layer->root);
	if (hidden < 0)
		return hidden;
	if (hidden)
		g->last = true;
	for (;;) {
		end = strchrnul(++name, '/');
		const bool is_end = *end == '\0';
		const size_t rest = strlen(end);

		*end = '\0';
		err = open_found(above, name, found);
		hidden = ovl_mark_hides(layer, above, name);
		if (above != layer->root)
			close(above);
		err = heed_mark(g, found, hidden, err);
		if (err || is_end)
			return err;
		if (found->hidden)
			g->last = true;
		err = pass(g, found, rest);
		if (err) {
			close(found->fd);
			return err;
		}
		above = found->fd;
		name = end;
	}
}

/* The next layer that has something. 1: there is none. */
static int look_further(struct gathering *g, struct found *found)
{
	int err = -ENOENT;

	while (err == -ENOENT && !g->last) {
		if (is_path(g) ? g->layer == g->stack->nmerged
		               : g->part == g->dir->dir->nparts)
			break;
		/* What is on the way may change it for the layers below. */
		strcpy(found->at, g->at);
		found->renamed = g->renamed;
		err = is_path(g) ? look_by_path(g, found)
		                 : look_in_part(g, found);
	}
	return err == -ENOENT ? 1 : err;
}

/* ---- taking what was found --------------------------------------------------- */

static int add_part(struct gathering *g, const struct found *found)
{
	struct ovl_gathered *out = g->out;
	struct ovl_part *part, *parts;

	parts = reallocarray(out->parts, out->nparts + 1, sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	out->parts = parts;
	part = &parts[out->nparts];
	*part = (struct ovl_part){
		.layer = found->layer,
		.ino = found->real.ino,
		.generation = found->real.generation,
		.stamp = { found->real.attr.mtime, found->real.attr.ctime },
		.parent_part = found->part,
	};
	if (found->renamed) {
		part->redirect = strdup(found->at);
		if (!part->redirect)
			return -ENOMEM;
	}
	out->nparts++;
	return 0;
}

/* From here on a path is looked for from the layer below this one. */
static void go_below(struct gathering *g, const struct ovl_layer *layer)
{
	g->layer = layer_index(g, layer) + 1;
	if (g->layer == g->stack->nmerged && g->is_dir)
		g->last = true;
}

static int take_dir(struct gathering *g, const struct found *found)
{
	struct ovl_gathered *out = g->out;
	int err;

	if (!S_ISDIR(found->real.attr.mode) || found->real.foreign) {
		g->last = true;
		return 0;
	}
	err = add_part(g, found);
	if (err)
		return err;
	if (out->nparts > 1 && found->real.attr.nlink > 2)
		out->extra_links += found->real.attr.nlink - 2;
	out->id.fileid = ovl_fileid(found->layer->number, found->real.ino);
	out->id.generation = found->real.generation;
	go_below(g, found->layer);
	return g->layer == g->stack->nmerged
	               ? 0
	               : heed_dir(g, found->layer, found->fd, 0);
}

/* A file: its data is here, or it is a metacopy, and the data further down. */
static int take_file(struct gathering *g, const struct found *found, bool top)
{
	int err;

	if (!S_ISREG(found->real.attr.mode) || found->real.foreign ||
	    found->real.whiteout)
		return -EIO;
	err = ovl_xattr_is_metacopy(found->layer, found->fd);
	if (err < 0)
		return err;
	if (err > 0) {
		if (!g->stack->follow_metacopy)
			return -EPERM;
		go_below(g, found->layer);
		return follow(g, found->layer, found->fd, 0);
	}
	g->last = true;
	if (top)
		return 0;
	g->out->used = found->real.attr.used;
	return add_part(g, found);
}

/* Layers that have nothing but data, reached by a redirect alone. */
static int look_in_data_layers(struct gathering *g, struct found *found)
{
	int err = -ENOENT;

	if (!is_path(g))
		return -EIO;
	strcpy(found->at, g->at);
	found->renamed = true;
	for (size_t i = g->stack->nmerged;
	     err == -ENOENT && i < g->stack->nlayers; i++) {
		found->layer = &g->stack->layers[i];
		err = open_found(found->layer->root, g->at + 1, found);
	}
	return err == -ENOENT ? -EIO : err;
}

static int take(struct gathering *g, const struct found *found, bool top)
{
	int err = g->is_dir ? take_dir(g, found) : take_file(g, found, top);

	/* A redirect leads to where the mark says nothing. */
	if (g->is_dir && found->hidden && !strcmp(g->at, found->at))
		g->last = true;
	close(found->fd);
	return err;
}

static int take_data(struct gathering *g)
{
	struct found found;
	int err = look_in_data_layers(g, &found);

	if (!err)
		err = take(g, &found, false);
	/* Another metacopy, where data was promised. */
	return !err && !g->last ? -EIO : err;
}

static int gather(struct gathering *g)
{
	struct found found = { 0 };
	int err = look_further(g, &found);

	for (bool top = true; !err; top = false) {
		err = take(g, &found, top);
		if (err || g->last)
			return err;
		err = look_further(g, &found);
	}
	if (err < 0 || g->is_dir)
		return err < 0 ? err : 0;
	return take_data(g); /* none so far */
}

int ovl_gather(struct ovl_stack *stack, struct ovl_node *dir, const char *name,
               unsigned part, const struct ovl_real *top,
               struct ovl_gathered *gathered)
{
	struct gathering g = {
		.stack = stack,
		.dir = dir,
		.part = part,
		.is_dir = S_ISDIR(top->attr.mode),
		.out = gathered,
	};
	int err;

	*gathered = (struct ovl_gathered){ 0 };
	strcpy(g.at, name);
	err = gather(&g);
	/* It was there a moment ago. */
	if (!err && g.is_dir && !gathered->nparts)
		err = -ENOENT;
	gathered->redirected = g.renamed;
	if (err)
		ovl_gathered_release(gathered);
	return err;
}

int ovl_gather_data(struct ovl_stack *stack, const struct ovl_layer *layer,
                    int fd, struct ovl_gathered *gathered)
{
	struct gathering g = { .stack = stack, .out = gathered };
	int err;

	*gathered = (struct ovl_gathered){ 0 };
	err = ovl_xattr_get_redirect(layer, fd, g.at);
	if (err < 0)
		return err;
	err = take_data(&g);
	if (err)
		ovl_gathered_release(gathered);
	return err;
}

void ovl_gathered_release(struct ovl_gathered *gathered)
{
	for (unsigned i = 0; i < gathered->nparts; i++)
		free(gathered->parts[i].redirect);
	free(gathered->parts);
	*gathered = (struct ovl_gathered){ 0 };
}
