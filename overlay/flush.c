#include "config.h"

#include "overlay/flush.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/overlay.h"

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
