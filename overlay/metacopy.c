#include "config.h"

#include "overlay/metacopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
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

/* What tells of the metacopy goes last: a crash before leaves it one. */
static int fill(struct ovl_copying *copying, struct ovl_node *node, int from,
                int to, uint64_t size)
{
	struct ovl_copy_watch watch = {
		.step = ovl_copying_step,
		.arg = copying,
	};
	struct ovl *fs = copying->fs;
	struct capabilities kept;
	struct ovl_attr attr;
	struct timespec times[2];
	int err;

	err = ovl_node_reread(node, false, &attr);
	if (err)
		return err;
	keep_capabilities(to, &kept);
	/* A crash may have left it cut: what it lost then stays lost. */
	err = ovl_copy_data(from, to, size < attr.size ? size : attr.size,
	                    &watch);
	atomic_fetch_add(&fs->copied_bytes, watch.copied);
	if (!err && size < attr.size && ftruncate(to, size))
		err = -errno;
	if (!err)
		err = put_back_capabilities(to, &kept);
	times[0] = attr.atime;
	times[1] = attr.mtime;
	if (size < attr.size)
		times[1].tv_nsec = UTIME_NOW; /* it shows already */
	if (futimens(to, times) && !err)
		err = -errno;
	if (!err)
		err = ovl_flush_data(fs, to);
	if (!err)
		err = ovl_xattr_remove(&fs->upper, to, OVL_XATTR_METACOPY);
	if (err) {
		take_back(to, attr.size);
		put_back_capabilities(to, &kept);
		times[1] = attr.mtime;
		futimens(to, times);
	}
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
