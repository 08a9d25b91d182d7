/*
 * Reading and writing the data of files, and the targets of symlinks.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "overlay/attrs.h"
#include "overlay/copyup.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/may.h"
#include "overlay/perm.h"
#include "overlay/refresh.h"

/* ---- reading ------------------------------------------------------------------ */

static int check_regular(const struct ovl_node *node)
{
	if (S_ISREG(ovl_node_type(node)))
		return 0;
	return S_ISDIR(ovl_node_type(node)) ? -EISDIR : -EINVAL;
}

/*
 * preadv2 until all is there or the file ends. Where it may not wait, a short
 * count says only that the rest is not in memory.
 */
static ssize_t read_all(int fd, void *data, size_t count, uint64_t offset,
                        int flags)
{
	size_t done = 0;
	ssize_t n;

	while (done < count) {
		struct iovec iov = { (char *)data + done, count - done };

		n = preadv2(fd, &iov, 1, offset + done, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EOPNOTSUPP && flags)
			return -EAGAIN;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

/* Of `count` bytes at `offset`, how many a file of that size has. */
static size_t up_to(size_t count, uint64_t offset, uint64_t size)
{
	if (offset >= size)
		return 0;
	return count < size - offset ? count : size - offset;
}

/*
 * The same to a pipe, which may take less. -EOPNOTSUPP: the filesystem cannot; or it
 * might wait, which splice(2) tells nobody beforehand.
 */
static ssize_t splice_all(int fd, int pipe, size_t count, uint64_t offset,
                          bool may_wait)
{
	off64_t at = (off64_t)offset;
	size_t done = 0;
	ssize_t n;

	if (!may_wait)
		return -EOPNOTSUPP;
	while (done < count) {
		n = splice(fd, &at, pipe, NULL, count - done,
		           SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return errno == EINVAL ? -EOPNOTSUPP : -errno;
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

/* Where data are read to. */
struct sink {
	void *data; /* NULL: to the pipe */
	int pipe;
};

static ssize_t read_to(const struct sink *sink, int fd, size_t count,
                       uint64_t offset, bool may_wait)
{
	return sink->data ? read_all(fd, sink->data, count, offset,
	                             may_wait ? 0 : RWF_NOWAIT)
	                  : splice_all(fd, sink->pipe, count, offset, may_wait);
}

static ssize_t read_file(struct ovl *fs, const struct ovl_caller *caller,
                         struct ovl_node *node, const struct sink *sink,
                         size_t count, uint64_t offset, bool *eof)
{
	struct ovl_attr attr;
	struct ovl_data data_fd;
	ssize_t n;

	n = check_regular(node);
	if (!n)
		n = ovl_may_read(fs, caller, node, &attr);
	if (n)
		return n;
	if (offset > INT64_MAX - count)
		return -EINVAL;
	n = ovl_data_open(node, caller->may_wait, &data_fd);
	if (n)
		return n;
	/* A metacopy may be cut shorter than the data that it is yet to get. */
	if (!ovl_node_has_data(node))
		count = up_to(count, offset, attr.size);
	n = read_to(sink, ovl_fd_num(data_fd.fd), count, offset,
	            caller->may_wait || data_fd.layer->never_waits);
	ovl_data_close(&data_fd);
	if (n >= 0)
		*eof = (size_t)n < count || offset + n >= attr.size;
	return n;
}

static ssize_t read_shown(struct ovl *fs, const struct ovl_caller *caller,
                          struct ovl_node *node, const struct sink *sink,
                          size_t count, uint64_t offset, bool *eof)
{
	struct ovl_node *upper = ovl_find_upper(fs, node);
	ssize_t n = read_file(fs, caller, upper ? upper : node, sink, count,
	                      offset, eof);

	ovl_node_unref(upper);
	return n;
}

ssize_t ovl_read(struct ovl *fs, const struct ovl_caller *caller,
                 struct ovl_node *node, void *data, size_t count,
                 uint64_t offset, bool *eof)
{
	const struct sink sink = { .data = data };

	return read_shown(fs, caller, node, &sink, count, offset, eof);
}

bool ovl_may_splice(const struct ovl *fs, const struct ovl_caller *caller)
{
	return caller->may_wait || (fs->has_upper && fs->upper.never_waits) ||
	       (fs->stack->nlayers > 0 && fs->stack->tree.in_memory);
}

ssize_t ovl_read_to_pipe(struct ovl *fs, const struct ovl_caller *caller,
                         struct ovl_node *node, int pipe, size_t count,
                         uint64_t offset, bool *eof)
{
	const struct sink sink = { .pipe = pipe };

	return read_shown(fs, caller, node, &sink, count, offset, eof);
}

ssize_t ovl_readlink(struct ovl *fs, const struct ovl_caller *caller,
                     struct ovl_node *node, char *target, size_t size)
{
	struct ovl_self self;
	ssize_t n;

	(void)fs;
	if (!S_ISLNK(ovl_node_type(node)))
		return -EINVAL;
	if (!caller->may_wait)
		return -EAGAIN;
	n = ovl_self_open(node, &self);
	if (n)
		return n;
	n = readlinkat(self.num, "", target, size);
	if (n < 0)
		n = -errno;
	ovl_self_close(&self);
	return n;
}

/* ---- writing -------------------------------------------------------------------- */

static ssize_t write_all(int fd, const void *data, size_t count,
                         uint64_t offset)
{
	size_t done = 0;
	ssize_t n;

	while (done < count) {
		n = pwrite(fd, (const char *)data + done, count - done,
		           offset + done);
		if (n < 0 && errno == EINTR)
			continue;
		/* What has been written is written: say so. */
		if (n < 0)
			return done ? (ssize_t)done : -errno;
		done += n;
	}
	return done;
}

/*
 * POSIX: setuid and setgid do not outlive a write by an ordinary user. They go
 * first, so that nobody runs what he wrote with them.
 */
static int strip_setid(struct ovl *fs, const struct ovl_caller *caller, int fd,
                       const struct ovl_attr *attr)
{
	struct ovl_setattr set = {
		.has_mode = true,
		.mode = ovl_perm_mode_after_write(caller, attr),
	};

	return set.mode != attr->mode ? ovl_attrs_apply(fs, fd, &set) : 0;
}

/*
 * Make stable what has been written: in the file, and the file in its place. `fd`
 * may be NULL: a descriptor that was closed since was flushed then.
 */
static int flush_written(struct ovl *fs, struct ovl_node *node,
                         struct ovl_fd *fd, bool metadata)
{
	int err = fd ? ovl_flush_file(fs, fd, metadata) : 0;

	return err ? err : ovl_flush_place(fs, node);
}

/* `change` ends here: whoever writes during the flush does so after it. */
static ssize_t write_data(struct ovl *fs, const struct ovl_caller *caller,
                          struct ovl_node *node, struct ovl_fd *fd,
                          const void *data, size_t count, uint64_t offset,
                          struct ovl_change *change)
{
	int num = ovl_fd_num(fd);
	unsigned begun;
	ssize_t n;

	n = ovl_node_before_change(node, num, fs->cache, &begun, change);
	if (!n)
		n = strip_setid(fs, caller, num, &change->before);
	if (!n)
		n = write_all(num, data, count, offset);
	ovl_flush_owed(fs, fd); /* only now: a flush before would not count */
	ovl_node_after_change(node, num, begun, change);
	/* Linux' client takes for `before`, where a write tells none, what it has
	 * in its cache, and so the write of another for its own after all. */
	if (!change->has_before)
		change->has_after = false;
	return n;
}

static ssize_t write_upper(struct ovl *fs, const struct ovl_caller *caller,
                           struct ovl_node *node, const void *data,
                           size_t count, uint64_t offset,
                           enum ovl_stable stable, struct ovl_change *change)
{
	struct ovl_fd *fd;
	ssize_t n;
	int err;

	err = ovl_file_fd(node, caller->may_wait, &fd);
	if (err)
		return err;
	n = write_data(fs, caller, node, fd, data, count, offset, change);
	if (n > 0 && stable != OVL_UNSTABLE) {
		err = flush_written(fs, node, fd, stable == OVL_FILE_SYNC);
		if (err)
			n = err;
	}
	ovl_fd_unref(node->tree->fds, fd);
	return n;
}

/* The call changes no attributes: one look tells both. */
static int tell_unchanged(struct ovl *fs, struct ovl_node *node, bool may_wait,
                          struct ovl_change *change)
{
	int err = ovl_node_attr(node, fs->cache, may_wait, &change->before);

	if (err)
		return err;
	change->after = change->before;
	change->has_before = change->has_after = true;
	return 0;
}

ssize_t ovl_write(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node, const void *data, size_t count,
                  uint64_t offset, enum ovl_stable stable,
                  struct ovl_change *change)
{
	struct ovl_change ignored;
	struct ovl_node *upper;
	ssize_t n;

	if (!change)
		change = &ignored;
	change->has_before = change->has_after = false;
	n = check_regular(node);
	if (!n)
		n = ovl_may_change(fs, caller);
	if (!n)
		n = ovl_may_write(fs, caller, node);
	if (n)
		return n;
	if (offset > INT64_MAX || count > INT64_MAX - offset)
		return -EFBIG;
	/* Not so much as a copy-up, which has its cost (RFC 1813, 3.3.7). */
	if (count == 0)
		return tell_unchanged(fs, node, caller->may_wait, change);
	/* A flush waits for a disk, and so may data that is yet to be copied. */
	if (!caller->may_wait &&
	    (!ovl_node_has_data(node) || stable != OVL_UNSTABLE))
		return -EAGAIN;
	n = ovl_copyup_for(fs, caller, node, OVL_COPYUP_ALL, NULL, &upper);
	if (n)
		return n;
	n = write_upper(fs, caller, upper, data, count, offset, stable, change);
	ovl_node_unref(upper);
	return n;
}

/*
 * The whole file, whatever the range. There is a way to flush a part (msync of a
 * mapping); but Linux' client always asks for the whole, and one that streams and
 * commits as it goes has no more to flush than its range: 256 MiB, committed by 16,
 * took 0.52 s so and 0.47 s by ranges.
 *
 * Its attributes as well (RFC 1813, 3.3.21, means fsync): another client may have
 * cached the data that was there before, and a crash must not bring back the mtime
 * of that.
 */
static int commit_upper(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_fd *fd = ovl_fdslot_get(node->tree->fds, &node->fd);
	int err = flush_written(fs, node, fd, true);

	if (fd)
		ovl_fd_unref(node->tree->fds, fd);
	return err;
}

int ovl_commit(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *node, uint64_t offset, uint64_t count,
               struct ovl_change *change)
{
	struct ovl_change ignored;
	struct ovl_node *upper, *now;
	int err, unseen;

	(void)offset;
	(void)count;
	if (!change)
		change = &ignored;
	change->has_before = change->has_after = false;
	err = check_regular(node);
	if (err)
		return err;
	if (!caller->may_wait)
		return -EAGAIN;
	upper = ovl_find_upper(fs, node);
	now = upper ? upper : node;
	err = now->tree->upper ? commit_upper(fs, now) : 0;
	/* Only now: a look before the flush, too, would take for this client's
	 * what others write meanwhile. */
	unseen = tell_unchanged(fs, now, true, change);
	ovl_node_unref(upper);
	return err ? err : unseen;
}
