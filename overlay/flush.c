#include "config.h"

#include "overlay/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/fdcall.h"
#include "overlay/file.h"
#include "overlay/overlay.h"
#include "overlay/sync.h"

static void fail_verifier(struct ovl *fs, int err)
{
	atomic_fetch_add(&fs->verifier, 1);
	ovl_log_line(&fs->log, LOG_ERR,
	             "a flush to disk failed: %s; clients are told to "
	             "write again",
	             strerrorname_np(-err));
}

static int flush_now(struct ovl *fs, int fd)
{
	int err;

	/* There is no disk. */
	if (fs->upper.never_waits)
		return 0;
	err = ovl_sync_fd(fd, OVL_SYNC_FILE);
	ovl_flush_heard(fs, err);
	return err;
}

int ovl_flush_changes(struct ovl *fs, const int *fds, unsigned n)
{
	return fs->sync == OVL_SYNC ? ovl_batch_flush(&fs->batch, fds, n) : 0;
}

bool ovl_flush_is_for_all(const struct ovl *fs)
{
	return fs->sync != OVL_SYNC || fs->batch.way == OVL_BATCH_IN_ORDER;
}

bool ovl_flush_never_waits(const struct ovl *fs)
{
	return fs->sync != OVL_SYNC && fs->upper.never_waits;
}

/* Whether order on disk has to be brought about by flushes. */
static bool needs_order(const struct ovl *fs)
{
	return fs->sync != OVL_VOLATILE && fs->batch.way != OVL_BATCH_IN_ORDER;
}

int ovl_flush_before(struct ovl *fs, int fd)
{
	return needs_order(fs) ? flush_now(fs, fd) : 0;
}

int ovl_flush_data(struct ovl *fs, int fd)
{
	return fs->sync != OVL_VOLATILE ? flush_now(fs, fd) : 0;
}

/* What carries the marks, open for a flush; -ENOENT: it has none. */
static int open_carrier(struct ovl *fs, int fd)
{
	char path[OVL_FD_PATH_SIZE];
	struct ovl_real real;
	int num;

	num = ovl_layer_look_on_disk(&fs->upper, fd, "", &real);
	if (num)
		return num;
	if (ovl_standin_needed(&real))
		return ovl_standin_open(fs->standins, &real, false);
	ovl_fd_path(fd, path);
	num = open(path, O_RDONLY | O_CLOEXEC);
	return num < 0 ? -errno : num;
}

int ovl_flush_marks(struct ovl *fs, int fd)
{
	int num, err;

	if (!needs_order(fs) || !fs->standins)
		return 0;
	num = open_carrier(fs, fd);
	if (num < 0)
		return num == -ENOENT ? 0 : num;
	err = flush_now(fs, num);
	close(num);
	if (!err)
		err = flush_now(fs, ovl_standins_dir(fs->standins));
	return err;
}

/* The directory that it stands in; and itself, whose marks say what it is. */
static int flush_both(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_node *dir = ovl_node_parent(node);
	struct ovl_fd *fd = NULL, *dir_fd = NULL;
	int fds[2], err;
	unsigned n = 0;

	err = dir ? ovl_dir_fd(dir, 0, true, &dir_fd) : -ESTALE;
	if (!err && S_ISREG(ovl_node_type(node)))
		err = ovl_file_fd(node, true, &fd);
	if (!err) {
		if (fd)
			fds[n++] = ovl_fd_num(fd);
		fds[n++] = ovl_fd_num(dir_fd);
		ovl_fd_flush_begin(fd);
		err = ovl_flush_changes(fs, fds, n);
		ovl_fd_flush_end(fd);
	}
	if (fd)
		ovl_fd_unref(fs->tree.fds, fd);
	if (dir_fd)
		ovl_fd_unref(fs->tree.fds, dir_fd);
	ovl_node_unref(dir);
	return err;
}

void ovl_flush_placed(struct ovl_node *node)
{
	atomic_fetch_add(&atomic_load(&node->more)->placed, 1);
}

int ovl_flush_place(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);
	unsigned placed;
	int err;

	if (fs->sync != OVL_SYNC || !more)
		return 0;
	placed = atomic_load(&more->placed);
	if (atomic_load(&more->settled) == placed)
		return 0;
	err = ovl_flush_is_for_all(fs) ? ovl_flush_changes(fs, NULL, 0)
	                               : flush_both(fs, node);
	if (!err)
		atomic_store(&more->settled, placed);
	return err;
}

int ovl_flush_file(struct ovl *fs, struct ovl_fd *fd, bool metadata)
{
	/* The cache tells ovl_flush_heard of what comes of it. */
	return fs->sync == OVL_SYNC ? ovl_fd_flush(fd, metadata, false) : 0;
}

void ovl_flush_owed(struct ovl *fs, struct ovl_fd *fd)
{
	if (fs->sync == OVL_SYNC)
		ovl_fd_set_dirty(fd);
}

void ovl_flush_heard(void *arg, int result)
{
	struct ovl *fs = arg;

	atomic_fetch_add(&fs->flushes, 1);
	if (result)
		fail_verifier(fs, result);
}

uint64_t ovl_write_verifier(struct ovl *fs)
{
	return atomic_load(&fs->verifier);
}
