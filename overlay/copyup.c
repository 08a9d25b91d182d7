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

/* ---- making the copy ------------------------------------------------------------ */

/* Whether the copy may be one of the attributes alone. */
static bool wants_metacopy(const struct ovl *fs, const struct ovl_node *node,
                           const struct ovl_attr *attr, uint64_t size)
{
	return fs->metacopy && size == OVL_COPYUP_ATTRS &&
	       S_ISREG(node->type) && attr->size > 0;
}

/* Copy the object, with its data unless `metacopy`. */
static int copy_object(struct ovl_node *node, const struct ovl_attr *attr,
                       uint64_t size, bool metacopy,
                       struct ovl_copying *copying, const char *tmp, int *fd)
{
	const bool has_data = S_ISREG(node->type) && !metacopy;
	struct ovl_copy_watch watch = {
		.step = ovl_copying_step,
		.arg = copying,
	};
	struct ovl *fs = copying->fs;
	int work = ovl_workdir_tmp(fs->workdir);
	struct ovl_data data;
	struct ovl_self self;
	int err;

	err = ovl_self_open(node, &self);
	if (err)
		return err;
	err = has_data ? ovl_data_open(node, true, &data) : 0;
	if (!err) {
		err = ovl_copy_object(&fs->upper, self.num,
		                      has_data ? ovl_fd_num(data.fd) : -1, attr,
		                      work, tmp, size, false, &watch, fd);
		if (has_data)
			ovl_data_close(&data);
	}
	ovl_self_close(&self);
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
	*indexed = !S_ISDIR(node->type) && nlink > 1;
	if (S_ISDIR(node->type))
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
	if (S_ISREG(node->type) || S_ISDIR(node->type))
		return ovl_flush_before(fs, fd);
	return ovl_flush_marks(fs, fd);
}

static int add_to_index(struct ovl *fs, struct ovl_node *node, int fd)
{
	int err = ovl_index_add(fs->tree.index, node->id, fd);

	if (!err)
		err = ovl_flush_before(fs, ovl_index_dir(fs->tree.index));
	return err;
}

/*
 * The copy in the work directory, complete with its origin. `real` is how it
 * looks there.
 */
static int make_copy(struct ovl *fs, struct ovl_node *node, uint64_t size,
                     struct ovl_copying *copying, const char *tmp,
                     struct ovl_real *real, bool *metacopy)
{
	struct ovl_attr attr;
	int fd = -1, err;
	bool indexed;

	*real = (struct ovl_real){ 0 };
	err = ovl_node_reread(node, false, &attr);
	if (err)
		return err;
	*metacopy = wants_metacopy(fs, node, &attr, size);
	/* What is cut shows as soon as the copy does. */
	if (S_ISREG(node->type) && size < attr.size && !*metacopy)
		clock_gettime(CLOCK_REALTIME_COARSE, &attr.mtime);
	err = copy_object(node, &attr, size, *metacopy, copying, tmp, &fd);
	if (err)
		return err;
	if (*metacopy)
		err = ovl_xattr_set_metacopy(&fs->upper, fd);
	if (!err)
		err = ovl_layer_look(&fs->upper, fd, "", real);
	if (!err)
		err = mark_copy(fs, node, fd, real, attr.nlink, &indexed);
	if (!err)
		err = flush_copy(fs, node, fd,
		                 S_ISREG(node->type) && !*metacopy &&
		                         attr.size > 0);
	if (!err && indexed)
		err = add_to_index(fs, node, fd);
	/* The marks have moved the ctime. */
	if (!err && indexed)
		err = ovl_links_look(&fs->upper, fd, "", real);
	else if (!err)
		err = ovl_layer_look(&fs->upper, fd, "", real);
	close(fd);
	if (err)
		ovl_upper_discard(fs, tmp, real);
	return err;
}

/* ---- putting it into place -------------------------------------------------------- */

static struct ovl_node *add_node(struct ovl *fs, struct ovl_node *node,
                                 struct ovl_node *dir, const char *name,
                                 const struct ovl_real *real, bool metacopy)
{
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

	if (metacopy) {
		spec.metacopy = true;
		spec.lower = node;
		spec.data_used = ovl_node_used(node);
	}
	if (node->dir) {
		spec.lower = node;
		spec.extra_links = ovl_upper_links_below(node);
		spec.parts = &part;
		spec.nparts = 1;
	}
	return ovl_tree_add(&fs->tree, &spec);
}

/* A copy-up changes nothing that a client could see: nor the parent's times. */
static void put_back_times(int dirfd, const struct ovl_attr *attr)
{
	struct timespec times[2] = { attr->atime, attr->mtime };

	futimens(dirfd, times);
}

/* Whatever has the name by now, a whiteout too, stays. */
static int move_into_place(struct ovl *fs, const char *tmp, int dirfd,
                           const char *name)
{
	if (renameat2(ovl_workdir_tmp(fs->workdir), tmp, dirfd, name,
	              RENAME_NOREPLACE))
		return errno == EEXIST ? -ENOENT : -errno;
	return 0;
}

/*
 * `dir` is the overlay's directory with an upper part, its `change` held. Once
 * `placed`, the copy is there to stay, whatever fails then.
 */
static int put_in_place(struct ovl *fs, struct ovl_node *node,
                        struct ovl_node *dir, const char *name, const char *tmp,
                        const struct ovl_real *real, bool metacopy,
                        bool *placed, struct ovl_node **upper)
{
	struct ovl_node *fresh;
	struct ovl_attr dir_attr;
	struct ovl_fd *fd;
	int err;

	if (dir->dir->dead)
		return -ENOENT;
	err = ovl_dir_before_change(dir, fs->cache, &dir_attr);
	if (!err)
		err = ovl_dir_fd(dir, 0, true, &fd);
	if (err)
		return err;
	err = move_into_place(fs, tmp, ovl_fd_num(fd), name);
	*placed = !err;
	if (err)
		goto out;
	put_back_times(ovl_fd_num(fd), &dir_attr);
	ovl_dir_note(dir, name, node->id.fileid, IFTODT(node->type));
	ovl_node_reread(dir, true, NULL);
	fresh = add_node(fs, node, dir, name, real, metacopy);
	if (!fresh)
		err = -ENOMEM;
	else
		*upper = fresh;
out:
	ovl_fd_unref(fs->tree.fds, fd);
	return err;
}

/* What to copy, and by which of its names: NULL, any that shows it. */
struct job {
	struct ovl_node *node;
	uint64_t size;
	struct ovl_node *dir;
	const char *name;
};

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
	    (!S_ISREG(upper->type) || what->size == OVL_COPYUP_ATTRS))
		return 0;
	return ovl_flush_place(fs, upper);
}

/* The copy `tmp` is put into place, and nobody is kept waiting for the flush. */
static int install(struct ovl *fs, const struct job *what, struct ovl_node *dir,
                   const char *name, const char *tmp,
                   const struct ovl_real *real, bool metacopy,
                   struct ovl_node **upper)
{
	struct ovl_node *fresh = NULL;
	bool placed = false;
	int err;

	pthread_mutex_lock(&dir->dir->change);
	err = put_in_place(fs, what->node, dir, name, tmp, real, metacopy,
	                   &placed, &fresh);
	pthread_mutex_unlock(&dir->dir->change);
	if (!placed)
		ovl_upper_discard(fs, tmp, real);
	if (err)
		return err;
	err = settle(fs, what, fresh);
	if (err)
		ovl_node_unref(fresh);
	else
		*upper = fresh;
	return err;
}

static int copy(struct ovl *fs, const struct job *what,
                struct ovl_copying *copying, struct ovl_node **upper)
{
	char name[NAME_MAX + 1], tmp[OVL_TMPNAME_SIZE];
	struct ovl_real real;
	struct ovl_node *dir;
	bool metacopy;
	int err;

	err = upper_place(fs, what, &dir, name);
	if (err)
		return err;
	copying->dir = dir;
	copying->name = name;
	ovl_workdir_name(fs->workdir, tmp);
	err = make_copy(fs, what->node, what->size, copying, tmp, &real,
	                &metacopy);
	if (!err)
		err = install(fs, what, dir, name, tmp, &real, metacopy, upper);
	if (!err)
		atomic_fetch_add(&fs->copyups, 1);
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
	err = ovl_copying_begin(fs, &copying, node->id.fileid, what->size);
	if (err)
		return err;
	/* Somebody else may have done it by now. */
	err = ovl_find_over(fs, node, true, &over);
	if (!err && !over->tree->upper) {
		err = copy(fs, what, &copying, upper);
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

int ovl_copyup(struct ovl *fs, struct ovl_node *node, uint64_t size,
               struct ovl_node **upper)
{
	const struct job what = { .node = node, .size = size };

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
