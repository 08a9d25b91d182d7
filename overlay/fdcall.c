#include "config.h"

#include "overlay/fdcall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

void ovl_fd_path(int fd, char path[OVL_FD_PATH_SIZE])
{
	snprintf(path, OVL_FD_PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* Whether the last call has failed since the descriptor is an O_PATH one. */
static bool needs_path(ssize_t ret, int fd, char path[OVL_FD_PATH_SIZE])
{
	if (ret >= 0 || errno != EBADF)
		return false;
	ovl_fd_path(fd, path);
	return true;
}

int ovl_fd_chmod(int fd, mode_t mode)
{
	char path[OVL_FD_PATH_SIZE];
	int ret = fchmod(fd, mode);

	if (needs_path(ret, fd, path))
		ret = chmod(path, mode);
	return ret < 0 ? -errno : 0;
}

int ovl_fd_utimens(int fd, const struct timespec times[2])
{
	char path[OVL_FD_PATH_SIZE];
	int ret = futimens(fd, times);

	if (needs_path(ret, fd, path))
		ret = utimensat(AT_FDCWD, path, times, 0);
	return ret < 0 ? -errno : 0;
}

ssize_t ovl_fd_get_xattr(int fd, const char *name, void *value, size_t size)
{
	char path[OVL_FD_PATH_SIZE];
	ssize_t len = fgetxattr(fd, name, value, size);

	if (needs_path(len, fd, path))
		len = getxattr(path, name, value, size);
	return len < 0 ? -errno : len;
}

ssize_t ovl_fd_list_xattrs(int fd, char *names, size_t size)
{
	char path[OVL_FD_PATH_SIZE];
	ssize_t len = flistxattr(fd, names, size);

	if (needs_path(len, fd, path))
		len = listxattr(path, names, size);
	return len < 0 ? -errno : len;
}

int ovl_fd_set_xattr(int fd, const char *name, const void *value, size_t size)
{
	char path[OVL_FD_PATH_SIZE];
	int ret = fsetxattr(fd, name, value, size, 0);

	if (needs_path(ret, fd, path))
		ret = setxattr(path, name, value, size, 0);
	return ret < 0 ? -errno : 0;
}

int ovl_fd_remove_xattr(int fd, const char *name)
{
	char path[OVL_FD_PATH_SIZE];
	int ret = fremovexattr(fd, name);

	if (needs_path(ret, fd, path))
		ret = removexattr(path, name);
	return ret < 0 ? -errno : 0;
}
