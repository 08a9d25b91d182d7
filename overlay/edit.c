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
#include "overlay/fdcall.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/links.h"
#include "overlay/refresh.h"

struct ovl_change *ovl_change_start(struct ovl_change *change,
                                    struct ovl_change *unasked)
{
	if (!change)
		change = unasked;
	change->has_before = change->has_after = false;
	return change;
}

void ovl_change_none(struct ovl *fs, struct ovl_node *dir, bool may_wait,
                     struct ovl_change *change)
{
	if (ovl_node_attr(dir, fs->cache, may_wait, &change->before))
		return;
	change->after = change->before;
	change->has_before = change->has_after = true;
}

int ovl_edit_may_begin(struct ovl *fs, const struct ovl_caller *caller,
                       const struct ovl_node *dir)
{
	if (caller->may_wait)
		return 0;
	return dir->tree->upper && ovl_flush_never_waits(fs) ? 0 : -EAGAIN;
}

int ovl_edit_open(struct ovl_edit *edit, struct ovl *fs, struct ovl_node *dir,
                  bool may_wait, struct ovl_change *change)
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
	edit->made = NULL;
	edit->may_wait = may_wait;
	edit->locked = false;
	return 0;
}

/* All names that a change may need to know, lest it wait for them halfway. */
static int read_names_in(struct ovl_edit *edit)
{
	struct ovl_node *dir = edit->dir;

	if (edit->may_wait)
		return ovl_dir_load(dir);
	if (!ovl_dir_is_read_in(dir) ||
	    (ovl_node_lower(dir) && !ovl_dir_is_read_in(ovl_node_lower(dir))))
		return -EAGAIN;
	return 0;
}

int ovl_edit_lock(struct ovl_edit *edit)
{
	struct ovl_node *dir = edit->dir;
	int err;

	if (edit->may_wait)
		pthread_mutex_lock(&dir->dir->change);
	else if (!ovl_dir_lock_soon(dir))
		return -EAGAIN;
	edit->locked = true;
	if (dir->dir->dead)
		return -ESTALE;
	err = ovl_dir_before_change(dir, edit->fs->cache,
	                            &edit->change->before);
	edit->change->has_before = !err;
	return err ? err : read_names_in(edit);
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

void ovl_edit_keep_times(struct ovl_edit *edit)
{
	const struct ovl_attr *before = &edit->change->before;
	const struct timespec times[2] = { before->atime, before->mtime };

	if (edit->change->has_before)
		futimens(ovl_fd_num(edit->fd), times);
}

/* What is to be flushed of it; returns how many of `fds` there are then. */
static unsigned list_changed(const struct ovl_edit *edit, int *fds, unsigned n)
{
	if (!edit->fs)
		return n;
	/* In this order, for filesystems that have no log at all. */
	if (edit->made)
		fds[n++] = ovl_fd_num(edit->made);
	fds[n++] = ovl_fd_num(edit->fd);
	return n;
}

static void let_go(struct ovl_edit *edit)
{
	if (!edit->fs)
		return;
	if (edit->made)
		ovl_fd_unref(edit->fs->tree.fds, edit->made);
	ovl_fd_unref(edit->fs->tree.fds, edit->fd);
	ovl_node_unref(edit->dir);
	edit->fs = NULL;
}

/*
 * No lock is held here: those who change the same directory meanwhile join the
 * next batch, all together.
 */
int ovl_edit_release_both(struct ovl_edit *a, struct ovl_edit *b, int err)
{
	/* What is made is made by one edit alone. */
	struct ovl_fd *made = a->fs ? a->made : NULL;
	int fds[OVL_BATCH_OBJECTS];
	unsigned n;

	ovl_edit_unlock(a);
	ovl_edit_unlock(b);
	n = list_changed(b, fds, list_changed(a, fds, 0));
	if (!err && n) {
		/* Others may write to it already, and commit that. */
		ovl_fd_flush_begin(made);
		err = ovl_flush_changes((a->fs ? a : b)->fs, fds, n);
		ovl_fd_flush_end(made);
	}
	let_go(a);
	let_go(b);
	return err;
}

int ovl_edit_release(struct ovl_edit *edit, int err)
{
	struct ovl_edit none = OVL_EDIT_NONE;

	return ovl_edit_release_both(edit, &none, err);
}

int ovl_edit_covers(struct ovl_edit *edit, const char *name, bool *covers)
{
	struct ovl_node *lower = ovl_node_lower(edit->dir);
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

	ovl_node_lock(dir);
	if (dir->dir->names &&
	    (!ovl_dir_find(dir, name, &found) || found.part == OVL_PART_NONE))
		found.type = DT_UNKNOWN;
	ovl_node_unlock(dir);
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

/* `names_fixed`: the client's count stays, since it counts the name already. */
static int choose_form(struct ovl_node *node, int fd, bool names_fixed)
{
	if (!node->indexed)
		return 0;
	return names_fixed ? ovl_links_make_absolute(ovl_node_layer(node), fd)
	                   : ovl_links_make_relative(ovl_node_layer(node), fd);
}

static int link_into_place(struct ovl_edit *edit, int fd, const char *name)
{
	char tmp[OVL_TMPNAME_SIZE];
	int err;

	ovl_workdir_name(edit->fs->workdir, tmp);
	err = link_to_tmp(edit, fd, tmp);
	if (err)
		return err;
	err = ovl_edit_place(edit, tmp, name, false);
	if (err)
		ovl_workdir_discard(edit->fs->workdir, tmp);
	return err;
}

static int add_link(struct ovl_edit *edit, struct ovl_node *node,
                    const char *name, bool names_fixed)
{
	struct ovl_self self;
	int err;

	err = ovl_self_open(node, &self);
	if (err)
		return err;
	/* A move, lest another name go before this one is known. */
	ovl_tree_move_begin(node->tree);
	atomic_fetch_add(&node->tree->linking, 1);
	err = choose_form(node, self.num, names_fixed);
	if (!err)
		err = link_into_place(edit, self.num, name);
	if (!err)
		ovl_map_put(node->tree->map, node->id.fileid,
		            edit->dir->id.fileid, name, strlen(name));
	atomic_fetch_add(&node->tree->linking, 1);
	ovl_tree_move_end(node->tree);
	ovl_self_close(&self);
	if (err)
		return err;
	ovl_dir_note(edit->dir, name, node->id.fileid,
	             IFTODT(ovl_node_type(node)));
	ovl_node_reread(node, false, NULL);
	return 0;
}

int ovl_edit_link(struct ovl_edit *edit, struct ovl_node *node,
                  const char *name)
{
	return add_link(edit, node, name, false);
}

int ovl_edit_link_lower(struct ovl_edit *edit, struct ovl_node *node,
                        const char *name)
{
	int err;

	if (!node || !node->indexed ||
	    ovl_edit_upper_type(edit, name) != DT_UNKNOWN)
		return 0;
	err = add_link(edit, node, name, true);
	if (!err)
		ovl_edit_keep_times(edit);
	return err;
}

int ovl_edit_keep_count(struct ovl *fs, struct ovl_node *dir, const char *name,
                        struct ovl_node *node)
{
	struct ovl_node *upper;
	struct ovl_attr attr;
	int err;

	if (!node || node->dir || node->tree->upper)
		return 0;
	err = ovl_node_attr(node, OVL_CACHE_ALWAYS, true, &attr);
	if (err || attr.nlink == 1)
		return err;
	/* By this name, lest one appear in the upper that nobody has touched. */
	err = ovl_copyup_name(fs, dir, name, node, &upper);
	if (!err)
		ovl_node_unref(upper);
	/* Another has the name by now: the caller will see. */
	return err == -ENOENT ? 0 : err;
}

/* Whether the lower file has one name only. False where that is not known. */
static bool has_one_lower_name(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_node *lower;
	struct ovl_attr attr;
	int err;

	if (ovl_find_lower(fs, node->id, &lower))
		return false;
	err = ovl_node_attr(lower, OVL_CACHE_ALWAYS, true, &attr);
	ovl_node_unref(lower);
	return !err && attr.nlink == 1;
}

/*
 * The last name is about to go, and the index's goes before it, lest a crash
 * leave that alone, where nobody would look for it. Where the count is a guess,
 * lower names may show the copy still, and the index keeps it.
 */
static int leave_index(struct ovl *fs, struct ovl_node *node, int fd)
{
	uint32_t count = 0;

	if (ovl_links_count(&fs->upper, fd, 0, &count) > 0 ||
	    has_one_lower_name(fs, node))
		return ovl_index_remove(fs->tree.index, node->id);
	return 0;
}

/* As ovl_edit_unlinking, of a copy in the index, open as `fd`. */
static int unlinking_counted(struct ovl *fs, struct ovl_node *node, int fd,
                             uint32_t *nlink)
{
	struct ovl_attr attr;
	int err;

	err = choose_form(node, fd, false);
	if (!err)
		err = ovl_node_reread_fd(node, fd, false, &attr);
	if (err)
		return err;
	*nlink = attr.nlink;
	return attr.nlink == 1 ? leave_index(fs, node, fd) : 0;
}

/* How many names the node has that the directory has by this one, on disk. */
static uint32_t count_names(struct ovl_edit *edit, const struct ovl_node *node,
                            const char *name)
{
	struct stat st;

	if (fstatat(ovl_fd_num(edit->fd), name, &st, AT_SYMLINK_NOFOLLOW) ||
	    st.st_ino != ovl_node_ino(node))
		return 1;
	return st.st_nlink;
}

int ovl_edit_unlinking(struct ovl_edit *edit, struct ovl_node *node,
                       const char *name, struct ovl_leaving *leaving)
{
	struct ovl_self self;
	int err;

	leaving->linking = atomic_load(&node->tree->linking);
	if (!node->indexed) {
		leaving->nlink = count_names(edit, node, name);
		return 0;
	}
	err = ovl_self_open(node, &self);
	if (err)
		return err;
	err = unlinking_counted(edit->fs, node, self.num, &leaving->nlink);
	ovl_self_close(&self);
	return err;
}

void ovl_edit_still_linked(struct ovl_node *node,
                           const struct ovl_leaving *leaving)
{
	/* It may have left the index: let it be found by its name. */
	if (node->indexed && leaving->nlink == 1)
		ovl_tree_forget(node->tree, node);
}

static bool has_row(struct ovl_node *node)
{
	char name[NAME_MAX + 1];
	uint64_t parent;

	return ovl_map_get_one(node->tree->map, node->id.fileid, &parent, name);
}

/*
 * Whether a file that had one name, which is gone by now, has got another since the
 * count, in another directory: that leaves a row. What begins to link it later finds
 * no file.
 */
static bool is_linked_anew(struct ovl_node *node,
                           const struct ovl_leaving *leaving)
{
	struct ovl_tree *tree = node->tree;
	bool is_linked;

	if (!(leaving->linking & 1) &&
	    atomic_load(&tree->linking) == leaving->linking)
		return false;
	pthread_mutex_lock(&tree->moving); /* it may be halfway */
	is_linked = has_row(node);
	pthread_mutex_unlock(&tree->moving);
	return is_linked;
}

void ovl_edit_unlinked(struct ovl_edit *edit, struct ovl_node *node,
                       const char *name, const struct ovl_leaving *leaving)
{
	bool last, gone, lost;

	/* Who goes through its names meanwhile may miss one. */
	atomic_fetch_add(&node->tree->moves, 2);
	ovl_map_del(node->tree->map, node->id.fileid, edit->dir->id.fileid,
	            name, strlen(name));
	last = node->dir ||
	       (leaving->nlink <= 1 && !is_linked_anew(node, leaving));
	gone = last && !(node->indexed &&
	                 ovl_index_has(edit->fs->tree.index, node->id));
	/* Names that nobody has looked up yet only a walk finds. */
	lost = !last && !node->indexed && !has_row(node);
	if (gone && !node->dir)
		ovl_standin_remove(edit->fs->standins, ovl_node_ino(node),
		                   ovl_node_ino_generation(node));
	if (last || lost) {
		ovl_fdslot_clear(node->tree->fds, &node->fd, gone);
		ovl_tree_forget(node->tree, node);
		return;
	}
	ovl_node_lock(node);
	node->checked = 0; /* its link count and ctime have changed */
	ovl_node_unlock(node);
}
