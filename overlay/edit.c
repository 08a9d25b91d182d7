#include "config.h"

#include "overlay/edit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/copyup.h"
#include "overlay/dir.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/refresh.h"
#include "overlay/xattr.h"

struct ovl_change *ovl_change_start(struct ovl_change *change,
                                    struct ovl_change *unasked)
{
	if (!change)
		change = unasked;
	change->has_before = change->has_after = false;
	return change;
}

void ovl_change_none(struct ovl *fs, struct ovl_node *dir,
                     struct ovl_change *change)
{
	if (ovl_node_attr(dir, fs->cache, true, &change->before))
		return;
	change->after = change->before;
	change->has_before = change->has_after = true;
}

int ovl_edit_open(struct ovl_edit *edit, struct ovl *fs, struct ovl_node *dir,
                  struct ovl_change *change)
{
	struct ovl_node *upper;
	struct ovl_fd *fd;
	int err;

	err = ovl_copyup(fs, dir, OVL_COPYUP_ALL, &upper);
	if (err)
		return err;
	err = ovl_dir_fd(upper, 0, true, &fd);
	if (err) {
		ovl_node_unref(upper);
		return err;
	}
	edit->fs = fs;
	edit->dir = upper;
	edit->fd = fd;
	edit->change = ovl_change_start(change, &edit->unasked);
	edit->locked = false;
	return 0;
}

int ovl_edit_lock(struct ovl_edit *edit)
{
	struct ovl_node *dir = edit->dir;
	int err;

	pthread_mutex_lock(&dir->dir->change);
	edit->locked = true;
	if (dir->dir->dead)
		return -ESTALE;
	err = ovl_node_reread(dir, true, &edit->change->before);
	edit->change->has_before = !err;
	if (!err)
		err = ovl_dir_load(dir);
	return err;
}

void ovl_edit_unlock(struct ovl_edit *edit)
{
	if (!edit->fs || !edit->locked)
		return;
	edit->change->has_after =
		!ovl_node_reread(edit->dir, true, &edit->change->after);
	pthread_mutex_unlock(&edit->dir->dir->change);
	edit->locked = false;
}

int ovl_edit_release(struct ovl_edit *edit, int err)
{
	if (!edit->fs)
		return err;
	ovl_edit_unlock(edit);
	if (!err)
		err = ovl_flush_object(edit->fs, ovl_fd_num(edit->fd));
	ovl_fd_unref(edit->fs->tree.fds, edit->fd);
	ovl_node_unref(edit->dir);
	edit->fs = NULL;
	return err;
}

int ovl_edit_covers(struct ovl_edit *edit, const char *name, bool *covers)
{
	struct ovl_node *lower = edit->dir->lower;
	struct ovl_found found;
	int err;

	*covers = false;
	if (!lower)
		return 0;
	err = ovl_dir_lock(lower, true);
	if (err)
		return err;
	*covers = ovl_dir_find(lower, name, &found);
	ovl_dir_unlock(lower);
	return 0;
}

uint8_t ovl_edit_upper_type(struct ovl_edit *edit, const char *name)
{
	struct ovl_node *dir = edit->dir;
	struct ovl_found found = { .type = DT_UNKNOWN };

	pthread_mutex_lock(&dir->lock);
	if (dir->dir->names && !ovl_dir_find(dir, name, &found))
		found.type = DT_UNKNOWN;
	pthread_mutex_unlock(&dir->lock);
	return found.type;
}

int ovl_edit_place(struct ovl_edit *edit, const char *tmp, const char *name,
                   bool is_dir)
{
	int work = ovl_workdir_tmp(edit->fs->workdir);
	int dirfd = ovl_fd_num(edit->fd);
	unsigned flags = RENAME_NOREPLACE;

	/* A directory cannot replace a whiteout: they change places. */
	if (ovl_edit_upper_type(edit, name) == DT_WHT)
		flags = is_dir ? RENAME_EXCHANGE : 0;
	if (renameat2(work, tmp, dirfd, name, flags))
		return -errno;
	if (flags == RENAME_EXCHANGE)
		unlinkat(work, tmp, 0);
	return 0;
}

/* A link of what is open as `fd` under the name `tmp` of the work directory. */
static int link_to_tmp(struct ovl_edit *edit, int fd, const char *tmp)
{
	char path[OVL_FD_PATH_SIZE];

	/* AT_EMPTY_PATH would ask for a capability. */
	ovl_fd_path(fd, path);
	if (linkat(AT_FDCWD, path, ovl_workdir_tmp(edit->fs->workdir), tmp,
	           AT_SYMLINK_FOLLOW))
		return -errno;
	return 0;
}

int ovl_edit_link(struct ovl_edit *edit, struct ovl_node *node,
                  const char *name)
{
	char tmp[OVL_TMPNAME_SIZE];
	int fd, err;

	fd = ovl_node_open_path(node);
	if (fd < 0)
		return fd;
	ovl_workdir_name(edit->fs->workdir, tmp);
	err = link_to_tmp(edit, fd, tmp);
	close(fd);
	if (err)
		return err;
	/* A move, lest another name go before this one is known. */
	ovl_tree_move_begin(node->tree);
	err = ovl_edit_place(edit, tmp, name, false);
	if (!err && ovl_map_put(node->tree->map, node->id.fileid,
	                        edit->dir->id.fileid, name, strlen(name)))
		ovl_map_set_complete(node->tree->map, false);
	ovl_tree_move_end(node->tree);
	if (err) {
		ovl_workdir_discard(edit->fs->workdir, tmp);
		return err;
	}
	ovl_dir_note(edit->dir, name, node->id.fileid, IFTODT(node->type));
	ovl_node_reread(node, false, NULL);
	return 0;
}

/* The lower names of a file of the index that still show. */
enum showing { SHOWS, SHOWS_NOT, MAY_SHOW };

static enum showing lower_names(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_node *lower, *dir;
	char name[NAME_MAX + 1];
	struct ovl_attr attr;
	bool all_known;
	int err;

	all_known = ovl_map_complete(fs->stack->tree.map);
	if (ovl_find_lower(fs, node->id, &lower))
		return all_known ? SHOWS_NOT : MAY_SHOW;
	if (!ovl_node_attr(lower, OVL_CACHE_ALWAYS, true, &attr) &&
	    attr.nlink == 1)
		all_known = true;
	err = ovl_find_place(fs, lower, &dir, name);
	ovl_node_unref(lower);
	if (!err)
		ovl_node_unref(dir);
	if (!err || err == -EEXIST)
		return SHOWS;
	return all_known ? SHOWS_NOT : MAY_SHOW;
}

/* Whether the upper has a name of it, beside the index's own. */
static bool has_upper_name(struct ovl_node *node)
{
	struct ovl_real real;
	struct ovl_way way;
	int err;

	if (ovl_way_open(node, true, &way))
		return false;
	err = ovl_layer_look(node->layer, way.dirfd, way.name, &real);
	ovl_way_close(&way);
	return !err && real.attr.nlink > 1;
}

/*
 * Whether a file of the index has a name left. Where none is known but one may
 * turn up, the index keeps it, though the node is forgotten.
 */
static bool has_name_left(struct ovl *fs, struct ovl_node *node)
{
	enum showing showing;

	if (has_upper_name(node))
		return true;
	showing = lower_names(fs, node);
	if (showing == SHOWS_NOT)
		ovl_index_remove(fs->tree.index, node->id);
	return showing == SHOWS;
}

void ovl_edit_unlinked(struct ovl_edit *edit, struct ovl_node *node,
                       const char *name, uint32_t nlink)
{
	struct ovl_map *map = edit->fs->tree.map;
	char other[NAME_MAX + 1];
	uint64_t parent;
	bool gone, lost;

	/* Who goes through its names meanwhile may miss one. */
	atomic_fetch_add(&edit->fs->tree.moves, 2);
	ovl_map_del(map, node->id.fileid, edit->dir->id.fileid, name,
	            strlen(name));
	gone = node->indexed ? !has_name_left(edit->fs, node)
	                     : node->dir || nlink <= 1;
	/* Names that nobody has looked up yet only a walk finds. */
	lost = !node->indexed &&
	       !ovl_map_get(map, node->id.fileid, 0, &parent, other);
	if (gone || lost) {
		ovl_fdslot_clear(node->tree->fds, &node->fd,
		                 gone && !node->indexed);
		ovl_tree_forget(node->tree, node);
		return;
	}
	pthread_mutex_lock(&node->lock);
	node->checked = 0; /* its link count and ctime have changed */
	pthread_mutex_unlock(&node->lock);
}
