#include "config.h"

#include "overlay/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum support { SUPPORT_UNKNOWN, SUPPORT_YES, SUPPORT_NO };

/*
 * A fact about the kernel, not a setting: threads that find it out at the same
 * time find the same.
 */
static atomic_int openat2_support = SUPPORT_UNKNOWN;

/* What tells one mount from another. */
struct mount {
	uint64_t id; /* 0 before Linux 5.8: the device alone tells then */
	uint32_t dev_major, dev_minor;
};

/* ---- with openat2 ------------------------------------------------------- */

static int sys_openat2(int dirfd, const char *path, struct open_how *how,
                       size_t size)
{
	long fd = syscall(SYS_openat2, dirfd, path, how, size);

	return fd < 0 ? -errno : (int)fd;
}

/*
 * A kernel that has the call refuses a size of 0 as invalid, before anything
 * else; anything else is its absence or a seccomp filter.
 */
static bool have_openat2(void)
{
	int support = atomic_load(&openat2_support);

	if (support == SUPPORT_UNKNOWN) {
		struct open_how how = { 0 };
		int err = sys_openat2(-1, "", &how, 0);

		support = err == -EINVAL ? SUPPORT_YES : SUPPORT_NO;
		atomic_store(&openat2_support, support);
	}
	return support == SUPPORT_YES;
}

static int open_by_openat2(int dirfd, const char *path, int flags, mode_t mode,
                           bool cached)
{
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = (flags & O_CREAT) ? mode : 0,
		.resolve =
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int fd;

	if (cached)
		how.resolve |= RESOLVE_CACHED;
	fd = sys_openat2(dirfd, path, &how, sizeof(how));
	/* Linux 5.6 to 5.11 do not know RESOLVE_CACHED. */
	if (fd == -EINVAL && cached)
		return -EAGAIN;
	return fd;
}

/* ---- without ------------------------------------------------------------ */

/* The mount that `name` in `dirfd` is on, and its type. */
static int look(int dirfd, const char *name, struct mount *mount, mode_t *type)
{
	struct statx stx;

	if (statx(dirfd, name,
	          AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
	          STATX_TYPE | STATX_MNT_ID, &stx) < 0)
		return -errno;
	mount->id = (stx.stx_mask & STATX_MNT_ID) ? stx.stx_mnt_id : 0;
	mount->dev_major = stx.stx_dev_major;
	mount->dev_minor = stx.stx_dev_minor;
	*type = stx.stx_mode & S_IFMT;
	return 0;
}

static bool same_mount(const struct mount *a, const struct mount *b)
{
	return a->id == b->id && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor;
}

/* Enter the directory `name`, which must be one, and on this mount. */
static int enter(int dirfd, const char *name, const struct mount *mount)
{
	int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct mount there;
	mode_t type;
	int err;

	if (fd < 0)
		return -errno;
	/* Judged by the descriptor: what is at the name may change meanwhile. */
	err = look(fd, "", &there, &type);
	if (!err && !same_mount(mount, &there))
		err = -EXDEV;
	if (!err && type == S_IFLNK)
		err = -ELOOP;
	if (!err && type != S_IFDIR)
		err = -ENOTDIR;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/*
 * Open the last component. The mount is looked at before, lest the open itself
 * do something there (cut a file, wake a device), and after, for certainty.
 */
static int open_last(int dirfd, const char *name, int flags, mode_t mode,
                     const struct mount *mount)
{
	struct mount there;
	mode_t type;
	int err, fd;

	err = look(dirfd, name, &there, &type);
	if (!err && !same_mount(mount, &there))
		return -EXDEV;
	if (err && err != -ENOENT)
		return err;
	fd = openat(dirfd, name, flags, mode);
	if (fd < 0)
		return -errno;
	err = look(fd, "", &there, &type);
	if (!err && !same_mount(mount, &there))
		err = -EXDEV;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int open_by_steps(int dirfd, const char *path, int flags, mode_t mode)
{
	char name[NAME_MAX + 1];
	struct mount mount;
	mode_t type;
	int at = dirfd;
	int fd = look(dirfd, "", &mount, &type);

	while (fd >= 0) {
		size_t len = strcspn(path, "/");
		const char *rest = path + len + strspn(path + len, "/");
		int next;

		if (len > NAME_MAX) {
			fd = -ENAMETOOLONG;
			break;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		if (!*rest) {
			if (path[len] == '/')
				flags |= O_DIRECTORY;
			fd = open_last(at, name, flags, mode, &mount);
			break;
		}
		next = enter(at, name, &mount);
		if (at != dirfd)
			close(at);
		at = fd = next;
		path = rest;
	}
	if (at != dirfd && at >= 0)
		close(at);
	return fd;
}

/* ---- both --------------------------------------------------------------- */

static bool has_dotdot(const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.')
			return true;
		path += len + strspn(path + len, "/");
	}
	return false;
}

/* A path shorter than PATH_MAX. */
static int open_piece(int dirfd, const char *path, int flags, mode_t mode,
                      bool cached)
{
	if (!*path)
		path = ".";
	if (have_openat2())
		return open_by_openat2(dirfd, path, flags, mode, cached);
	if (cached)
		return -EAGAIN;
	return open_by_steps(dirfd, path, flags, mode);
}

/*
 * Put the first components of `path`, as many as fit, into `piece`, and return
 * where the others begin; NULL where not even one fits.
 */
static const char *take_piece(const char *path, char piece[PATH_MAX])
{
	size_t len = strnlen(path, PATH_MAX);

	if (len == PATH_MAX) {
		len--;
		while (len > 0 && path[len] != '/')
			len--;
		if (len == 0)
			return NULL;
	}
	memcpy(piece, path, len);
	piece[len] = '\0';
	return path + len + strspn(path + len, "/");
}

int ovl_open_beneath(int dirfd, const char *path, int flags, mode_t mode,
                     bool cached)
{
	char piece[PATH_MAX];
	int at = dirfd;
	int fd;

	if (path[0] == '/' || has_dotdot(path))
		return -EXDEV;
	flags |= O_CLOEXEC | O_NOFOLLOW;
	if (strnlen(path, PATH_MAX) < PATH_MAX)
		return open_piece(dirfd, path, flags, mode, cached);
	for (;;) {
		path = take_piece(path, piece);
		if (!path)
			fd = -ENAMETOOLONG;
		else if (!*path)
			fd = open_piece(at, piece, flags, mode, cached);
		else
			fd = open_piece(at, piece,
			                O_PATH | O_DIRECTORY | O_NOFOLLOW |
			                        O_CLOEXEC,
			                0, cached);
		if (at != dirfd)
			close(at);
		if (fd < 0 || !*path)
			return fd;
		at = fd;
	}
}

void ovl_beneath_force_fallback(bool force)
{
	atomic_store(&openat2_support, force ? SUPPORT_NO : SUPPORT_UNKNOWN);
}
