#include "config.h"

#include "overlay/copyup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/copy.h"
#include "overlay/copying.h"
#include "overlay/dir.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/links.h"
#include "overlay/metacopy.h"
#include "overlay/refresh.h"
#include "overlay/upper.h"
#include "overlay/xattr.h"

/* What a caller who may not wait has time for. */
#define QUICK_BYTES (64 << 10)
#define QUICK_NAMES 4000 /* to be read in again */

/* ---- making the copy ------------------------------------------------------------ */

/* What to copy. */
struct job {
	struct ovl_node *node;
	uint64_t size;
	/* By which of its names; NULL: any that shows it. */
	struct ovl_node *dir;
	const char *name;
	/* What the copy gets instead of the original's; NULL: nothing. */
	struct ovl_copyup_mode *mode;
};

/* A copy in the work directory, on its way to its place. */
struct copy {
	char tmp[OVL_TMPNAME_SIZE]; /* its name there */
	int fd;                     /* as ovl_copy_object gives it, or -1 */
	struct ovl_real real;       /* how it looks there */
	bool metacopy;
	bool indexed; /* it has more names than the one that it is put to */
	bool added;   /* to the index */
};

/* What is copied; of a file with its data, unless it may stay where it is. */
struct source {
	struct ovl_self self;
	struct ovl_data data;
	bool has_data;
};

/* Open for reading, it tells of its attributes at once; where it may be read. */
static void open_for_attributes(struct ovl_node *node)
{
	struct ovl_fd *fd;

	if (S_ISREG(ovl_node_type(node)) && !ovl_file_fd(node, true, &fd))
		ovl_fd_unref(node->tree->fds, fd);
}

/* The data first: by its descriptor the attributes can be had as well. */
static int open_source(struct ovl *fs, struct ovl_node *node, uint64_t size,
                       struct source *source)
{
	int err = 0;

	source->has_data = S_ISREG(ovl_node_type(node)) &&
	                   !(fs->metacopy && size == OVL_COPYUP_ATTRS);
	if (source->has_data)
		err = ovl_data_open(node, true, &source->data);
	else
		open_for_attributes(node);
	if (err)
		return err;
	err = ovl_self_open(node, &source->self);
	if (err && source->has_data)
		ovl_data_close(&source->data);
	return err;
}

static void close_source(struct source *source)
{
	ovl_self_close(&source->self);
	if (source->has_data)
		ovl_data_close(&source->data);
}

static int copy_object(struct ovl *fs, const struct source *source,
                       const struct ovl_attr *attr, uint64_t size,
                       struct ovl_copying *copying, struct copy *copy)
{
	struct ovl_copy_watch watch = {
		.step = ovl_copying_step,
		.arg = copying,
	};
	int err;

	err = ovl_copy_object(&fs->upper, source->self.num,
	                      source->has_data ? ovl_fd_num(source->data.fd)
	                                       : -1,
	                      attr, ovl_workdir_tmp(fs->workdir), copy->tmp,
	                      size, false, &watch, &copy->fd);
	atomic_fetch_add(&fs->copied_bytes, watch.copied);
	return err;
}

/*
 * Say in the copy where it was born, and how many links it has. A directory is
 * known by the one that it merges with.
 */
static int mark_copy(struct ovl *fs, struct ovl_node *node, int fd,
                     const struct ovl_real *real, uint32_t nlink, bool *indexed)
{
	int err;

	/* By any other name of it, it must not be copied again. */
	*indexed = !S_ISDIR(ovl_node_type(node)) && nlink > 1;
	if (S_ISDIR(ovl_node_type(node)))
		return 0;
	err = ovl_xattr_set_origin(&fs->upper, fd, real, node->id);
	/* All of its names show still, whether the copy has them or not. */
	if (!err && *indexed)
		err = ovl_links_set(&fs->upper, fd, nlink);
	return err;
}

/*
 * Before it is in place: its data, which no log has, lest a crash leave a file of
 * zeros; and its marks, lest it leave it under another identity.
 */
static int flush_copy(struct ovl *fs, struct ovl_node *node, int fd,
                      bool has_data)
{
	if (has_data)
		return ovl_flush_data(fs, fd);
	if (S_ISREG(ovl_node_type(node)) || S_ISDIR(ovl_node_type(node)))
		return ovl_flush_before(fs, fd);
	return ovl_flush_marks(fs, fd);
}

static int add_to_index(struct ovl *fs, struct ovl_node *node,
                        struct copy *copy)
{
	int err = ovl_index_add(fs->tree.index, node->id, copy->fd);

	copy->added = !err;
	return err ? err : ovl_flush_before(fs, ovl_index_dir(fs->tree.index));
}

/* Mark it, and make sure that it can take its place: `attr` is the original's. */
static int finish(struct ovl *fs, struct ovl_node *node,
                  const struct ovl_attr *attr, struct copy *copy)
{
	struct ovl_real *real = &copy->real;
	int err = 0;

	if (copy->metacopy)
		err = ovl_xattr_set_metacopy(&fs->upper, copy->fd);
	if (!err)
		err = ovl_layer_look(&fs->upper, copy->fd, "", real);
	if (!err)
		err = mark_copy(fs, node, copy->fd, real, attr->nlink,
		                &copy->indexed);
	if (!err)
		err = flush_copy(fs, node, copy->fd,
		                 S_ISREG(ovl_node_type(node)) &&
		                         !copy->metacopy && attr->size > 0);
	if (!err && copy->indexed)
		err = add_to_index(fs, node, copy);
	if (copy->indexed)
		real->attr.nlink = attr->nlink;
	return err;
}

static void discard_copy(struct ovl *fs, const struct ovl_node *node,
                         struct copy *copy)
{
	/* What cannot be taken out shows by all names after a restart: it is
	 * what they show now. */
	if (copy->added)
		ovl_index_remove(fs->tree.index, node->id);
	ovl_upper_discard(fs, copy->tmp, &copy->real);
	if (copy->fd >= 0)
		close(copy->fd);
}

/* The copy, complete with its origin. */
static int make_copy(struct ovl *fs, const struct job *what,
                     struct ovl_copying *copying, struct copy *copy)
{
	struct ovl_node *node = what->node;
	const uint64_t size = what->size;
	struct source source;
	struct ovl_attr attr;
	int err;

	*copy = (struct copy){ .fd = -1 };
	ovl_workdir_name(fs->workdir, copy->tmp);
	err = open_source(fs, node, size, &source);
	if (err)
		return err;
	err = ovl_node_attr(node, fs->cache, true, &attr);
	if (!err) {
		copy->metacopy = S_ISREG(ovl_node_type(node)) &&
		                 !source.has_data && attr.size > 0;
		/* What is cut shows as soon as the copy does. */
		if (source.has_data && size < attr.size)
			clock_gettime(CLOCK_REALTIME_COARSE, &attr.mtime);
		if (what->mode)
			attr.mode = (attr.mode & S_IFMT) | what->mode->mode;
		err = copy_object(fs, &source, &attr, size, copying, copy);
	}
	close_source(&source);
	if (err)
		return err;
	err = finish(fs, node, &attr, copy);
	if (err)
		discard_copy(fs, node, copy);
	return err;
}

/* ---- putting it into place -------------------------------------------------------- */

static struct ovl_node *add_node(struct ovl *fs, struct ovl_node *node,
                                 struct ovl_node *dir, const char *name,
                                 const struct copy *copy)
{
	const struct ovl_real *real = &copy->real;
	struct ovl_part part = { .layer = &fs->upper,
		                 .ino = real->ino,
		                 .generation = real->generation };
	struct ovl_node_spec spec = {
		.id = node->id,
		.layer = &fs->upper,
		.real = real,
		.parent = dir,
		.name = name,
		.seen = ovl_node_shapes(dir, NULL),
		.indexed =
			!node->dir && ovl_index_has(fs->tree.index, node->id),
		.copied_up = true,
	};

	if (copy->metacopy) {
		spec.metacopy = true;
		spec.lower = node;
		spec.data_used = ovl_node_used(node);
	}
	if (node->dir) {
		spec.lower = node;
		spec.extra_links = ovl_upper_links_below(node);
		spec.parts = &part;
		spec.nparts = 1;
		spec.empty = true;
	}
	return ovl_tree_add(&fs->tree, &spec);
}

/* A copy-up changes nothing that a client could see: nor the parent's times. */
static void put_back_times(int dirfd, const struct ovl_attr *attr)
{
	struct timespec times[2] = { attr->atime, attr->mtime };

	futimens(dirfd, times);
}

/* It has as many links as before, which its marks count. */
static void look_in_place(struct ovl *fs, struct copy *copy)
{
	const uint32_t nlink = copy->real.attr.nlink;

	ovl_upper_look_placed(fs, copy->fd, &copy->real);
	if (copy->indexed)
		copy->real.attr.nlink = nlink;
}

/* Whatever has the name by now, a whiteout too, stays. */
static int move_into_place(struct ovl *fs, struct copy *copy, int dirfd,
                           const char *name)
{
	if (renameat2(ovl_workdir_tmp(fs->workdir), copy->tmp, dirfd, name,
	              RENAME_NOREPLACE))
		return errno == EEXIST ? -ENOENT : -errno;
	look_in_place(fs, copy);
	return 0;
}

/*
 * Only now, when its inode has its links: who changed its names before would have
 * counted the one in the work directory.
 */
static void show_by_all_names(struct ovl *fs, const struct ovl_node *node)
{
	ovl_index_show(fs->tree.index, node->id);
	ovl_shown_forget(&fs->tree.shown);
}

/*
 * `dir` is the overlay's directory with an upper part, its `change` held. Once
 * `placed`, the copy is there to stay, whatever fails then.
 */
static int put_in_place(struct ovl *fs, struct ovl_node *node,
                        struct ovl_node *dir, const char *name,
                        struct copy *copy, bool *placed,
                        struct ovl_node **upper)
{
	struct ovl_node *fresh;
	struct ovl_attr dir_attr;
	struct ovl_fd *fd;
	int err;

	if (dir->dir->dead)
		return -ENOENT;
	err = ovl_dir_before_change(dir, fs->cache, &dir_attr);
	/* Else the disk would be asked for each name, from here on. */
	if (!err && dir->dir->former)
		err = ovl_dir_load(dir);
	if (!err)
		err = ovl_dir_fd(dir, 0, true, &fd);
	if (err)
		return err;
	err = move_into_place(fs, copy, ovl_fd_num(fd), name);
	*placed = !err;
	if (err)
		goto out;
	if (copy->added)
		show_by_all_names(fs, node);
	put_back_times(ovl_fd_num(fd), &dir_attr);
	ovl_dir_note(dir, name, node->id.fileid, IFTODT(ovl_node_type(node)));
	ovl_node_reread(dir, true, NULL);
	fresh = add_node(fs, node, dir, name, copy);
	if (!fresh)
		err = -ENOMEM;
	else
		*upper = fresh;
out:
	ovl_fd_unref(fs->tree.fds, fd);
	return err;
}

/* Its parent in the overlay, with an upper part, and its name there. */
static int upper_place(struct ovl *fs, const struct job *what,
                       struct ovl_node **dir, char *name)
{
	struct ovl_node *above;
	int err;

	if (what->name) {
		strcpy(name, what->name);
		return ovl_copyup(fs, what->dir, OVL_COPYUP_ALL, dir);
	}
	err = ovl_find_place(fs, what->node, &above, name);
	if (err)
		return err;
	err = ovl_copyup(fs, above, OVL_COPYUP_ALL, dir);
	ovl_node_unref(above);
	return err;
}

/*
 * In a log that is in order, what has no data need not be flushed now: the change
 * that it was copied up for is yet to come, and its flush is for both. A write may
 * be an unstable one, and has none.
 */
static int settle(struct ovl *fs, const struct job *what,
                  struct ovl_node *upper)
{
	if (ovl_flush_is_for_all(fs) &&
	    (!S_ISREG(ovl_node_type(upper)) || what->size == OVL_COPYUP_ATTRS))
		return 0;
	return ovl_flush_place(fs, upper);
}

/* Who writes to the copy next has it open. */
static void keep_open(struct ovl_node *upper, struct copy *copy)
{
	struct ovl_fd *fd;

	fd = ovl_fdslot_fill(upper->tree->fds, &upper->fd, copy->fd, true);
	if (fd)
		ovl_fd_unref(upper->tree->fds, fd);
	copy->fd = -1;
}

/* The copy is put into place, and nobody is kept waiting for the flush. */
static int install(struct ovl *fs, const struct job *what, struct ovl_node *dir,
                   const char *name, struct copy *copy, struct ovl_node **upper)
{
	struct ovl_node *fresh = NULL;
	bool placed = false;
	int err;

	pthread_mutex_lock(&dir->dir->change);
	err = put_in_place(fs, what->node, dir, name, copy, &placed, &fresh);
	pthread_mutex_unlock(&dir->dir->change);
	if (!placed) {
		discard_copy(fs, what->node, copy);
		return err;
	}
	if (fresh && S_ISREG(ovl_node_type(fresh)))
		keep_open(fresh, copy);
	else
		close(copy->fd);
	if (!err)
		err = settle(fs, what, fresh);
	if (err)
		ovl_node_unref(fresh);
	else
		*upper = fresh;
	return err;
}

static int copy_up(struct ovl *fs, const struct job *what,
                   struct ovl_copying *copying, struct ovl_node **upper)
{
	char name[NAME_MAX + 1];
	struct ovl_node *dir;
	struct copy copy;
	int err;

	err = upper_place(fs, what, &dir, name);
	if (err)
		return err;
	copying->dir = dir;
	copying->name = name;
	err = make_copy(fs, what, copying, &copy);
	if (!err)
		err = install(fs, what, dir, name, &copy, upper);
	if (!err)
		atomic_fetch_add(&fs->copyups, 1);
	if (!err && what->mode)
		what->mode->is_set = true;
	ovl_node_unref(dir);
	return err;
}

static int complete(struct ovl_node *node, uint64_t size,
                    struct ovl_copying *copying)
{
	char name[NAME_MAX + 1];
	int err;

	copying->dir = ovl_node_place(node, name);
	copying->name = name;
	err = ovl_metacopy_complete(node, size, copying);
	ovl_node_unref(copying->dir);
	return err;
}

static int copy_once(struct ovl *fs, const struct job *what,
                     struct ovl_node **upper)
{
	struct ovl_node *node = what->node;
	struct ovl_copying copying;
	struct ovl_node *over;
	int err;

	if (fs->read_only)
		return -EROFS;
	if (node->tree->upper &&
	    (what->size == OVL_COPYUP_ATTRS || ovl_node_has_data(node))) {
		*upper = ovl_node_ref(node);
		return 0;
	}
	/* What is copied of it, where its data may stay where it is, is little. */
	err = ovl_copying_begin(fs, &copying, node->id.fileid,
	                        fs->metacopy && what->size == OVL_COPYUP_ATTRS
	                                ? 0
	                                : what->size);
	if (err)
		return err;
	/* Somebody else may have done it by now. */
	err = ovl_find_over(fs, node, true, &over);
	if (!err && !over->tree->upper) {
		err = copy_up(fs, what, &copying, upper);
		ovl_node_unref(over);
	} else if (!err) {
		if (what->size != OVL_COPYUP_ATTRS)
			err = complete(over, what->size, &copying);
		if (err)
			ovl_node_unref(over);
		else
			*upper = over;
	}
	ovl_copying_end(&copying, err);
	return err;
}

/* Of what was found, and may have no name any more. */
static int copy_found(struct ovl *fs, const struct job *what,
                      struct ovl_node **upper)
{
	int err = copy_once(fs, what, upper);

	return err == -ENOENT ? -ESTALE : err;
}

int ovl_copyup(struct ovl *fs, struct ovl_node *node, uint64_t size,
               struct ovl_node **upper)
{
	const struct job what = { .node = node, .size = size };

	return copy_found(fs, &what, upper);
}

/* Whether a copy can be put there without delay. */
static bool takes_it_soon(const struct ovl *fs, struct ovl_node *dir)
{
	if (!dir->tree->upper ||
	    (fs->cache != OVL_CACHE_ALWAYS &&
	     atomic_load(&dir->dir->weight) > QUICK_NAMES) ||
	    (ovl_node_lower(dir) && !ovl_dir_is_read_in(ovl_node_lower(dir))) ||
	    !ovl_dir_lock_soon(dir))
		return false;
	pthread_mutex_unlock(&dir->dir->change);
	return true;
}

/* 0 or -EAGAIN. */
static int check_quick(struct ovl *fs, struct ovl_node *node, uint64_t size)
{
	bool has_data = size != OVL_COPYUP_ATTRS || !fs->metacopy;
	struct ovl_node *parent;
	struct ovl_attr attr;
	bool is_quick;

	if (!fs->tree.in_memory || !ovl_flush_never_waits(fs) ||
	    !S_ISREG(ovl_node_type(node)) || !ovl_node_has_data(node))
		return -EAGAIN;
	if (ovl_node_attr(node, fs->cache, false, &attr) || attr.nlink > 1 ||
	    (has_data && attr.size > QUICK_BYTES) ||
	    ovl_find_parent(fs, node, false, &parent))
		return -EAGAIN;
	is_quick = takes_it_soon(fs, parent);
	ovl_node_unref(parent);
	return is_quick ? 0 : -EAGAIN;
}

int ovl_copyup_for(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *node, uint64_t size,
                   struct ovl_copyup_mode *mode, struct ovl_node **upper)
{
	const struct job what = { .node = node, .size = size, .mode = mode };
	int err = 0;

	if (!caller->may_wait && !node->tree->upper && !fs->read_only)
		err = check_quick(fs, node, size);
	return err ? err : copy_found(fs, &what, upper);
}

int ovl_copyup_to_name(struct ovl *fs, struct ovl_node *node,
                       struct ovl_node **upper)
{
	const bool follows = fs->redirect_dir != OVL_REDIRECT_NOFOLLOW;
	const struct job what = {
		.node = node,
		.size = follows ? OVL_COPYUP_ATTRS : OVL_COPYUP_ALL,
	};

	return copy_once(fs, &what, upper);
}

int ovl_copyup_name(struct ovl *fs, struct ovl_node *dir, const char *name,
                    struct ovl_node *file, struct ovl_node **upper)
{
	const struct job what = {
		.node = file,
		.size = OVL_COPYUP_ATTRS,
		.dir = dir,
		.name = name,
	};

	return copy_once(fs, &what, upper);
}
