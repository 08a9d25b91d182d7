#include "config.h"

#include "overlay/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "overlay/layer.h"
#include "overlay/marks.h"
#include "overlay/overlay.h"
#include "overlay/stamp.h"

#define LOCK_SOON 200000 /* ns */

/* ---- descriptors ---------------------------------------------------------- */

/* A path may have led elsewhere meanwhile: only that very directory will do. */
static int check_inode(int fd, const struct ovl_part *part)
{
	struct ovl_real real;
	int err;

	if (!part->generation)
		return 0;
	err = ovl_layer_look(part->layer, fd, "", &real);
	if (err)
		return err;
	return real.ino == part->ino && real.generation == part->generation
	               ? 0
	               : -ESTALE;
}

static int open_in_parent(struct ovl_node *dir, const struct ovl_part *part,
                          int flags)
{
	struct ovl_node *parent;
	struct ovl_fd *above;
	char name[NAME_MAX + 1];
	int fd, err;

	parent = ovl_node_place(dir, name);
	if (!parent)
		return ovl_layer_open(part->layer, part->layer->root, ".",
		                      flags, false);
	err = ovl_dir_fd(parent, part->parent_part, true, &above);
	if (err) {
		ovl_node_unref(parent);
		return err;
	}
	fd = ovl_layer_open(part->layer, ovl_fd_num(above),
	                    part->redirect ? part->redirect : name, flags,
	                    false);
	ovl_fd_unref(parent->tree->fds, above);
	ovl_node_unref(parent);
	return fd;
}

int ovl_part_open(struct ovl_node *node, const struct ovl_part *part, int flags)
{
	int fd, err;

	if (part->redirect && *part->redirect == '/')
		fd = ovl_layer_open(part->layer, part->layer->root,
		                    part->redirect + 1, flags, false);
	else
		fd = open_in_parent(node, part, flags);
	if (fd >= 0) {
		err = check_inode(fd, part);
		if (err) {
			close(fd);
			fd = err;
		}
	}
	return fd;
}

/* -EXDEV: it was moved away while it was opened. */
static bool is_elsewhere(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP ||
	       err == -ESTALE || err == -EXDEV;
}

int ovl_dir_fd(struct ovl_node *dir, unsigned index, bool may_wait,
               struct ovl_fd **fd)
{
	const int flags = O_RDONLY | O_DIRECTORY;
	struct ovl_part *part;
	struct ovl_fd *got;
	int num;

	if (index >= dir->dir->nparts)
		return -EACCES; /* another mount: not entered */
	part = &dir->dir->parts[index];
	got = ovl_fdslot_get(dir->tree->fds, &part->fd);
	if (!got) {
		if (!may_wait)
			return -EAGAIN;
		num = ovl_part_open(dir, part, flags);
		if (is_elsewhere(num)) {
			/* It, or what is above it, may be on the move. */
			pthread_mutex_lock(&dir->tree->moving);
			num = ovl_part_open(dir, part, flags);
			pthread_mutex_unlock(&dir->tree->moving);
		}
		if (is_elsewhere(num))
			return -ESTALE;
		if (num < 0)
			return num;
		got = ovl_fdslot_fill(dir->tree->fds, &part->fd, num, may_wait);
		if (!got)
			return -ENOMEM;
	}
	*fd = got;
	return 0;
}

int ovl_dir_hides(struct ovl_node *dir, unsigned index, const char *name)
{
	struct ovl_part *part = &dir->dir->parts[index];
	struct ovl_fd *fd;
	int err;

	if (!atomic_load(&part->marks))
		return 0;
	err = ovl_dir_fd(dir, index, true, &fd);
	if (err)
		return err;
	err = ovl_mark_hides(part->layer, ovl_fd_num(fd), name);
	ovl_fd_unref(dir->tree->fds, fd);
	return err;
}

/* Of the part that it was seen in first, unless it goes by another place now. */
static unsigned part_of(const struct ovl_node *node,
                        const struct ovl_node *parent)
{
	const struct ovl_dir *dir = parent->dir;
	unsigned i = node->part;

	if (i < dir->nparts && dir->parts[i].layer == ovl_node_layer(node))
		return i;
	for (i = 0; i < dir->nparts; i++)
		if (dir->parts[i].layer == ovl_node_layer(node))
			break;
	return i;
}

int ovl_way_open(struct ovl_node *node, bool may_wait, struct ovl_way *way)
{
	int err;

	way->parent = NULL;
	way->fd = NULL;
	if (node->indexed) {
		way->dirfd = ovl_index_dir(node->tree->index);
		ovl_index_name(node->id, way->name);
		return 0;
	}
	way->parent = ovl_node_place(node, way->name);
	if (!way->parent)
		return -ESTALE;
	err = ovl_dir_fd(way->parent, part_of(node, way->parent), may_wait,
	                 &way->fd);
	if (err) {
		ovl_node_unref(way->parent);
		return err;
	}
	way->dirfd = ovl_fd_num(way->fd);
	return 0;
}

void ovl_way_close(struct ovl_way *way)
{
	if (!way->parent)
		return;
	ovl_fd_unref(way->parent->tree->fds, way->fd);
	ovl_node_unref(way->parent);
}

/* ---- reading the names in --------------------------------------------------- */

struct loading {
	struct ovl_node *dir;
	struct ovl_names *names;
	unsigned part;
	bool marks; /* found in this part */
};

/*
 * The same name keeps its cookie when its file is copied up. The lower directory
 * is locked anew for each name, since its lock is not for holding over a wait.
 */
static int lower_cookie(struct ovl_node *dir, const char *name,
                        uint64_t *cookie)
{
	struct ovl_found found;
	int err;

	*cookie = 0;
	if (!ovl_node_lower(dir))
		return 0;
	err = ovl_dir_lock(ovl_node_lower(dir), true);
	if (err)
		return err;
	if (ovl_dir_find(ovl_node_lower(dir), name, &found))
		*cookie = found.cookie;
	ovl_dir_unlock(ovl_node_lower(dir));
	return 0;
}

/*
 * A ".wh." name hides one of the parts below. Its own part may have that one as
 * well, and tell of it sooner or later. In an upper directory nothing stands at
 * the hidden name itself, which who wants to put something there has to know.
 */
static int load_mark(struct loading *loading, const char *mark)
{
	struct ovl_node *dir = loading->dir;
	const char *name = ovl_mark_hidden(mark);
	uint64_t cookie;
	int err;

	loading->marks = true;
	if (!name || ovl_names_find(loading->names, name, strlen(name)))
		return 0;
	err = lower_cookie(dir, name, &cookie);
	if (err)
		return err;
	return ovl_names_put(loading->names, name, strlen(name), cookie, 0,
	                     dir->tree->upper ? OVL_PART_NONE : loading->part,
	                     DT_WHT);
}

/* A part tells each name once: it is known by a mark of this part. */
static bool is_by_mark(const struct loading *loading,
                       const struct ovl_name *name)
{
	return name->type == DT_WHT &&
	       (name->part == OVL_PART_NONE || name->part == loading->part);
}

/*
 * What the name stood for before, if that is the inode that it leads to still. Not
 * that nobody else can have got the number; but who looks at the object will see.
 */
static uint64_t recall(const struct loading *loading, const char *name,
                       size_t len, uint64_t ino, uint8_t type)
{
	struct ovl_node *dir = loading->dir, *node;
	const struct ovl_name *found = NULL;
	uint64_t fileid = 0;

	if (dir->dir->former)
		found = ovl_names_find(dir->dir->former, name, len);
	if (!found || found->type != type || !found->fileid)
		return 0;
	node = ovl_tree_get(dir->tree, found->fileid);
	if (node && ovl_node_ino(node) == ino)
		fileid = found->fileid;
	ovl_node_unref(node);
	return fileid;
}

static int load_name(void *arg, const char *name, size_t len, uint64_t ino,
                     uint8_t type)
{
	struct loading *loading = arg;
	const struct ovl_layer *layer =
		loading->dir->dir->parts[loading->part].layer;
	struct ovl_name *found;
	uint64_t cookie, fileid = 0;
	int err;

	if (ovl_mark_is_name(layer, name))
		return load_mark(loading, name);
	found = ovl_names_find(loading->names, name, len);
	if (found && !is_by_mark(loading, found)) {
		/* Directories merge: which of them was born lowest takes a
		 * look at each, and is found out when it is asked for. */
		if (found->type == DT_DIR && type == DT_DIR)
			found->fileid = 0;
		return 0;
	}
	/* An upper object may have been born elsewhere: its origin knows. So
	 * may a directory that redirects. Where getdents does not tell the
	 * inode, a look at it does. */
	if (!loading->dir->tree->upper && layer->true_d_ino &&
	    (type != DT_DIR || layer->lowest))
		fileid = ovl_fileid(layer->number, ino);
	else if (layer->true_d_ino)
		fileid = recall(loading, name, len, ino, type);
	err = lower_cookie(loading->dir, name, &cookie);
	if (err)
		return err;
	return ovl_names_put(loading->names, name, len, cookie, fileid,
	                     loading->part, type);
}

static int load_parts(struct loading *loading)
{
	struct ovl_node *dir = loading->dir;
	struct ovl_fd *fd;
	int err = 0;

	for (unsigned i = 0; i < dir->dir->nparts && !err; i++) {
		err = ovl_dir_fd(dir, i, true, &fd);
		if (err)
			break;
		loading->part = i;
		loading->marks = false;
		err = ovl_stamp_take(dir, i, ovl_fd_num(fd));
		if (!err)
			err = ovl_layer_list(dir->dir->parts[i].layer,
			                     ovl_fd_num(fd), load_name,
			                     loading);
		ovl_fd_unref(dir->tree->fds, fd);
		atomic_store(&dir->dir->parts[i].marks, loading->marks);
	}
	return err;
}

/* What a whiteout hid between the layers of a stack is hidden; so is it. */
static void strip_whiteouts(struct ovl_names *names)
{
	struct ovl_name *name;
	uint64_t cookie = 0;

	while ((name = ovl_names_after(names, cookie))) {
		cookie = name->cookie;
		if (name->type == DT_WHT)
			ovl_names_del(names, name->name, name->len);
	}
}

int ovl_dir_load(struct ovl_node *dir)
{
	bool upper = dir->tree->upper;
	struct loading loading = { .dir = dir };
	int err;

	if (dir->dir->names) /* changes only while `change` is held */
		return 0;
	loading.names = ovl_tree_new_names(dir->tree);
	if (!loading.names)
		return -ENOMEM;
	err = load_parts(&loading);
	if (err)
		goto failed;
	if (!upper)
		strip_whiteouts(loading.names);
	ovl_node_lock(dir);
	ovl_node_set_names(dir, loading.names);
	ovl_stamp_names(dir);
	ovl_node_unlock(dir);
	ovl_tree_tell_huge(dir->tree, dir);
	ovl_tree_shrink(dir->tree);
	return 0;

failed:
	ovl_names_free(loading.names);
	return err;
}

int ovl_dir_lock(struct ovl_node *dir, bool may_wait)
{
	int err;

	if (!dir->dir)
		return -ENOTDIR;
	for (;;) {
		ovl_node_lock(dir);
		if (dir->dir->names)
			return 0;
		ovl_node_unlock(dir);
		if (!may_wait)
			return -EAGAIN;
		pthread_mutex_lock(&dir->dir->change);
		err = ovl_dir_load(dir);
		pthread_mutex_unlock(&dir->dir->change);
		if (err)
			return err;
		/* It may have been forgotten again: then once more. */
	}
}

bool ovl_dir_is_read_in(struct ovl_node *dir)
{
	bool is_read_in;

	ovl_node_lock(dir);
	is_read_in = dir->dir->names;
	ovl_node_unlock(dir);
	return is_read_in;
}

void ovl_dir_unlock(struct ovl_node *dir)
{
	ovl_node_unlock(dir);
}

bool ovl_dir_lock_soon(struct ovl_node *dir)
{
	struct timespec until;

	if (!pthread_mutex_trylock(&dir->dir->change))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOCK_SOON;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return !pthread_mutex_clocklock(&dir->dir->change, CLOCK_MONOTONIC,
	                                &until);
}

/* ---- names, one by one --------------------------------------------------- */

bool ovl_dir_find(struct ovl_node *dir, const char *name,
                  struct ovl_found *found)
{
	const struct ovl_name *record;

	record = ovl_names_find(dir->dir->names, name, strlen(name));
	if (!record)
		return false;
	found->cookie = record->cookie;
	found->fileid = record->fileid;
	found->part = record->part;
	found->type = record->type;
	return true;
}

void ovl_dir_note(struct ovl_node *dir, const char *name, uint64_t fileid,
                  uint8_t type)
{
	struct ovl_names *names;
	uint64_t cookie = 0;
	size_t len = strlen(name);
	int err = 0;

	if (type != DT_UNKNOWN)
		err = lower_cookie(dir, name, &cookie);
	ovl_node_lock(dir);
	names = dir->dir->names;
	if (names) {
		if (type == DT_UNKNOWN)
			ovl_names_del(names, name, len);
		else if (!err)
			err = ovl_names_put(names, name, len, cookie, fileid, 0,
			                    type);
		/* Better to know none than to miss one. */
		if (err)
			ovl_node_set_names(dir, NULL);
		else
			ovl_node_count_names(dir);
	}
	ovl_node_unlock(dir);
	/* A directory may have come with all that is below it elsewhere. */
	if (cookie || err || type == DT_DIR)
		ovl_shown_forget(&dir->tree->shown);
	ovl_tree_tell_huge(dir->tree, dir);
}

void ovl_dir_learn(struct ovl_node *dir, const char *name, uint64_t fileid)
{
	struct ovl_name *record;

	ovl_node_lock(dir);
	if (dir->dir->names) {
		record = ovl_names_find(dir->dir->names, name, strlen(name));
		if (record)
			record->fileid = fileid;
	}
	ovl_node_unlock(dir);
}
