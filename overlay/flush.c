#include "config.h"

#include "overlay/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/overlay.h"
#include "overlay/xattr.h"

static void fail_verifier(struct ovl *fs, int err)
{
	atomic_fetch_add(&fs->verifier, 1);
	ovl_log(fs, LOG_ERR,
	        "a flush to disk failed: %s; clients are told to "
	        "write again",
	        strerrorname_np(-err));
}

int ovl_flush_object(struct ovl *fs, int fd)
{
	if (fs->sync != OVL_SYNC)
		return 0;
	atomic_fetch_add(&fs->flushes, 1);
	return fsync(fd) ? -errno : 0;
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

	if (fs->sync != OVL_SYNC || !fs->standins)
		return 0;
	num = open_carrier(fs, fd);
	if (num < 0)
		return num == -ENOENT ? 0 : num;
	err = ovl_flush_object(fs, num);
	close(num);
	if (!err)
		err = ovl_flush_object(fs, ovl_standins_dir(fs->standins));
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
