#include "config.h"

#include "overlay/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "overlay/fdcall.h"

static int sync_once(int fd, enum ovl_sync_what what)
{
	switch (what) {
	case OVL_SYNC_DATA:
		return fdatasync(fd);
	case OVL_SYNC_FILE:
		return fsync(fd);
	default:
		return syncfs(fd);
	}
}

/*
 * Where a filesystem shuts down, since its log cannot be written or an
 * administrator says so, an fsync that waits at that moment may be told that all is
 * well: xfs finds its part of the log gone, and takes that for written; ext4 finds
 * the data written, and nothing left to commit. Whoever opens a file afterwards is
 * told; and to open one changes nothing, not even its atime, as an empty read does
 * on tmpfs. Seen on Linux 6.18, by the power-cut test.
 */
static int check_alive(int fd)
{
	char path[OVL_FD_PATH_SIZE];
	int again;

	ovl_fd_path(fd, path);
	again = openat(AT_FDCWD, path,
	               O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	/* Any other error is of opening it, and says nothing. */
	if (again < 0)
		return errno == EIO ? -EIO : 0;
	close(again);
	return 0;
}

int ovl_sync_fd(int fd, enum ovl_sync_what what)
{
	int ret;

	do {
		ret = sync_once(fd, what);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : check_alive(fd);
}
