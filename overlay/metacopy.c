#include "config.h"

#include "overlay/metacopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "overlay/copydata.h"
#include "overlay/file.h"
#include "overlay/flush.h"
#include "overlay/refresh.h"
#include "overlay/xattr.h"

/*
 * Writing takes a file's capabilities away, as it should where a client writes; what
 * is written here is what the file has had all along.
 */
struct capabilities {
	char value[XATTR_CAPS_SZ];
	ssize_t size;
};

static void keep_capabilities(int fd, struct capabilities *kept)
{
	kept->size = fgetxattr(fd, XATTR_NAME_CAPS, kept->value,
	                       sizeof(kept->value));
}

static int put_back_capabilities(int fd, const struct capabilities *kept)
{
	if (kept->size <= 0)
		return 0;
	return fsetxattr(fd, XATTR_NAME_CAPS, kept->value, (size_t)kept->size,
	                 0)
	               ? -errno
	               : 0;
}

/* Give back what space a copy has taken that came to nothing; it had this size. */
static void take_back(int fd, uint64_t size)
{
	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
	               size) &&
	    !ftruncate(fd, size))
		return;
	/* The data below counts, whatever becomes of this. */
	if (!ftruncate(fd, 0) && ftruncate(fd, size))
		return;
}

/* ---- times ------------------------------------------------------------------ */

static void set_filling(struct ovl_node *node, struct ovl_filling *filling)
{
	ovl_node_lock(node);
	atomic_load(&node->more)->filling = filling;
	ovl_node_unlock(node);
}

static void take_time(struct timespec *time, enum ovl_settime how,
                      const struct timespec *given)
{
	if (how == OVL_TIME_GIVEN)
		*time = *given;
	else if (how == OVL_TIME_NOW)
		clock_gettime(CLOCK_REALTIME_COARSE, time);
}

void ovl_metacopy_set_times(struct ovl_node *node,
                            const struct ovl_setattr *set)
{
	struct ovl_more *more = atomic_load(&node->more);
	struct ovl_filling *filling;

	if (set->set_atime == OVL_TIME_KEEP && set->set_mtime == OVL_TIME_KEEP)
		return;
	ovl_node_lock(node);
	filling = more->filling;
	if (filling) {
		take_time(&filling->times[0], set->set_atime, &set->atime);
		take_time(&filling->times[1], set->set_mtime, &set->mtime);
		filling->is_set = true;
	}
	ovl_node_unlock(node);
}

/*
 * Put the times on disk, and once more where somebody has set them meanwhile: what
 * he has put there himself may be gone again. `last`: nothing else changes them.
 */
static int put_times(struct ovl_node *node, struct ovl_filling *filling, int fd,
                     bool last)
{
	struct timespec times[2];
	bool again;
	int err;

	do {
		ovl_node_lock(node);
		times[0] = filling->times[0];
		times[1] = filling->times[1];
		filling->is_set = false;
		ovl_node_unlock(node);
		err = futimens(fd, times) ? -errno : 0;
		ovl_node_lock(node);
		again = filling->is_set && !err;
		if (last && !again)
			atomic_load(&node->more)->filling = NULL;
		ovl_node_unlock(node);
	} while (again);
	return err;
}

/* ---- data ---------------------------------------------------------------------- */

/* All of it, or what is left of the file when it is cut to `size`. */
static int copy_data(struct ovl_copying *copying, int from, int to,
                     uint64_t size, uint64_t whole)
{
	struct ovl_copy_watch watch = {
		.step = ovl_copying_step,
		.arg = copying,
	};
	/* A crash may have left it cut: what it lost then stays lost. */
	int err = ovl_copy_data(from, to, size < whole ? size : whole, &watch);

	atomic_fetch_add(&copying->fs->copied_bytes, watch.copied);
	if (!err && size < whole && ftruncate(to, size))
		err = -errno;
	return err;
}

/* That it is cut shows already; or it is not cut, after all. */
static void set_mtime(struct ovl_node *node, struct ovl_filling *filling,
                      const struct timespec *mtime)
{
	ovl_node_lock(node);
	if (mtime)
		filling->times[1] = *mtime;
	else
		clock_gettime(CLOCK_REALTIME_COARSE, &filling->times[1]);
	ovl_node_unlock(node);
}

/* What tells of the metacopy goes last: a crash before leaves it one. */
static int fill(struct ovl_copying *copying, struct ovl_node *node, int from,
                int to, uint64_t size)
{
	struct ovl *fs = copying->fs;
	struct ovl_filling filling = { 0 };
	struct capabilities kept;
	struct ovl_attr attr;
	int err;

	err = ovl_node_reread(node, false, &attr);
	if (err)
		return err;
	filling.times[0] = attr.atime;
	filling.times[1] = attr.mtime;
	set_filling(node, &filling);
	keep_capabilities(to, &kept);
	err = copy_data(copying, from, to, size, attr.size);
	if (!err && size < attr.size)
		set_mtime(node, &filling, NULL);
	if (!err)
		err = put_back_capabilities(to, &kept);
	if (!err)
		err = put_times(node, &filling, to, false);
	if (!err)
		err = ovl_flush_data(fs, to);
	if (!err)
		err = ovl_xattr_remove(&fs->upper, to, OVL_XATTR_METACOPY);
	if (err) {
		take_back(to, attr.size);
		put_back_capabilities(to, &kept);
		if (size < attr.size)
			set_mtime(node, &filling, &attr.mtime);
	}
	put_times(node, &filling, to, true);
	return err;
}

/*
 * In this order: who sees that it has its data writes to it, and what he writes is
 * lost with them.
 */
static void note_data(struct ovl_node *node)
{
	ovl_flush_placed(node);
	atomic_store(&atomic_load(&node->more)->metacopy, false);
}

/*
 * The same for the node that the tree has of this object by now: this one may have
 * been forgotten meanwhile, with one of its names.
 */
static void note_data_of_other(struct ovl_node *node)
{
	struct ovl_node *now = ovl_tree_get(node->tree, node->id.fileid);

	if (now && now != node && ovl_node_is_metacopy(now))
		note_data(now);
	ovl_node_unref(now);
}

/* As ovl_metacopy_complete, with its own descriptor. */
static int complete(struct ovl_node *node, struct ovl_fd *to, uint64_t size,
                    struct ovl_copying *copying)
{
	struct ovl *fs = copying->fs;
	struct ovl_data from;
	int err;

	/* By another node of it, it may have been done already. */
	err = ovl_xattr_is_metacopy(&fs->upper, ovl_fd_num(to));
	if (err > 0) {
		err = ovl_data_open(node, true, &from);
		if (err)
			return err;
		err = fill(copying, node, ovl_fd_num(from.fd), ovl_fd_num(to),
		           size);
		ovl_data_close(&from);
	}
	if (err)
		return err;
	note_data(node);
	note_data_of_other(node);
	return ovl_flush_place(fs, node);
}

int ovl_metacopy_complete(struct ovl_node *node, uint64_t size,
                          struct ovl_copying *copying)
{
	struct ovl_fd *to;
	int err;

	if (!ovl_node_is_metacopy(node))
		return 0;
	err = ovl_file_fd(node, true, &to);
	if (err)
		return err;
	err = complete(node, to, size, copying);
	ovl_fd_unref(node->tree->fds, to);
	return err ? err : ovl_node_reread(node, false, NULL);
}

int ovl_metacopy_redirect(struct ovl *fs, struct ovl_node *node)
{
	char redirect[OVL_REDIRECT_SIZE];
	struct ovl_fd *fd;
	int err;

	/* Where the stack has no node for the data, a redirect led to it. */
	if (!ovl_node_is_metacopy(node) || !ovl_node_lower(node))
		return 0;
	err = ovl_stack_path(ovl_node_lower(node), redirect);
	if (err)
		return err == -ENAMETOOLONG ? -EXDEV : err;
	err = ovl_file_fd(node, true, &fd);
	if (err)
		return err;
	err = ovl_xattr_set_redirect(&fs->upper, ovl_fd_num(fd), redirect);
	if (!err)
		err = ovl_flush_before(fs, ovl_fd_num(fd));
	ovl_fd_unref(node->tree->fds, fd);
	return err;
}
