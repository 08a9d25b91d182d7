#include "config.h"

#include "side.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int root = -1;

void kernel_side_use(int fd)
{
	root = fd;
}

static int result(int n)
{
	return n < 0 ? -errno : 0;
}

/*
 * The directory that the path's last name is in. A symlink on the way is no
 * directory, as for a client of NFS, who looks up a name at a time.
 */
static int open_parent(const char *path, const char **name)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	char dir[SIDE_PATH] = ".";
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	*name = slash ? slash + 1 : path;
	if (!**name)
		*name = ".";
	fd = syscall(SYS_openat2, root, dir, &how, sizeof(how));
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	return fd;
}

/* ---- changing ------------------------------------------------------------- */

/* 0; the error that using its data gives where it is no regular file. */
static int check_regular(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return 0;
	return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

static int create(int dir, const char *name, const struct act *act)
{
	int flags = O_CREAT | O_WRONLY | O_NONBLOCK | O_CLOEXEC;
	mode_t mode = act->kind == ACT_CREATE_EXCLUSIVE ? 0 : act->mode;
	int fd, err;

	if (act->kind != ACT_CREATE) {
		flags |= O_EXCL;
	} else {
		err = check_regular(dir, name);
		if (err == -EINVAL)
			return 0; /* what is there serves as well */
		if (err && err != -ENOENT)
			return err;
		flags |= err ? O_EXCL : act->cut ? O_TRUNC : 0;
	}
	fd = openat(dir, name, flags, mode);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int write_data(int dir, const char *name, const struct act *act)
{
	bool append = act->kind == ACT_APPEND;
	size_t len = strlen(act->text);
	int err = check_regular(dir, name), fd;

	if (err)
		return err;
	fd = openat(dir, name, O_WRONLY | O_CLOEXEC | (append ? O_APPEND : 0));
	if (fd < 0)
		return -errno;
	err = result(append ? write(fd, act->text, len)
	                    : pwrite(fd, act->text, len, act->size));
	close(fd);
	return err;
}

static int cut(int dir, const char *name, const struct act *act)
{
	int err = check_regular(dir, name), fd;

	if (err)
		return err;
	fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = result(ftruncate(fd, act->size));
	close(fd);
	return err;
}

static int change_mode(int dir, const char *name, const struct act *act)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) /* it has none to change */
		return act->uid && act->uid != st.st_uid ? -EPERM : 0;
	return result(fchmodat(dir, name, act->mode, 0));
}

/* Acts with a second path. */
static int act_on_two(int dir, const char *name, const struct act *act)
{
	const char *to_name;
	int to = open_parent(act->to, &to_name), err;

	if (to < 0)
		return to;
	err = result(act->kind == ACT_LINK ? linkat(dir, name, to, to_name, 0)
	                                   : renameat(dir, name, to, to_name));
	close(to);
	return err;
}

static int act_in(int dir, const char *name, const struct act *act)
{
	const struct timespec times[2] = { act->time, act->time };

	switch (act->kind) {
	case ACT_CREATE:
	case ACT_CREATE_GUARDED:
	case ACT_CREATE_EXCLUSIVE:
		return create(dir, name, act);
	case ACT_WRITE:
	case ACT_APPEND:
		return write_data(dir, name, act);
	case ACT_TRUNCATE:
		return cut(dir, name, act);
	case ACT_MKDIR:
		return result(mkdirat(dir, name, act->mode));
	case ACT_RMDIR:
		return result(unlinkat(dir, name, AT_REMOVEDIR));
	case ACT_UNLINK:
		return result(unlinkat(dir, name, 0));
	case ACT_SYMLINK:
		return result(symlinkat(act->to, dir, name));
	case ACT_MKFIFO:
		return result(mknodat(dir, name, S_IFIFO | act->mode, 0));
	case ACT_MKNOD:
		return result(mknodat(dir, name, S_IFCHR | act->mode, 0x105));
	case ACT_CHMOD:
		return change_mode(dir, name, act);
	case ACT_CHOWN:
		return result(fchownat(dir, name, act->owner, act->owner,
		                       AT_SYMLINK_NOFOLLOW));
	case ACT_UTIMES:
		return result(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
	default:
		return act_on_two(dir, name, act);
	}
}

static int kernel_act(const struct act *act)
{
	const char *name;
	int dir, err;

	setfsgid(act->uid);
	setfsuid(act->uid);
	dir = open_parent(act->path, &name);
	err = dir;
	if (dir >= 0) {
		err = act_in(dir, name, act);
		close(dir);
	}
	setfsuid(0);
	setfsgid(0);
	return err;
}

/* ---- telling -------------------------------------------------------------- */

static int read_data(int dir, const char *name, mode_t mode, char *data,
                     size_t size)
{
	ssize_t n;
	int fd;

	if (S_ISLNK(mode)) {
		n = readlinkat(dir, name, data, size);
		return n < 0 ? -errno : (int)n;
	}
	if (!S_ISREG(mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, data, size);
	close(fd);
	return n < 0 ? -errno : (int)n;
}

static int kernel_describe(const char *path, char line[SIDE_LINE])
{
	static char data[1 << 16];
	struct facts facts;
	const char *name;
	struct stat st;
	int dir, n;

	dir = open_parent(path, &name);
	if (dir < 0)
		return dir;
	n = result(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
	if (!n)
		n = read_data(dir, name, st.st_mode, data, sizeof(data));
	close(dir);
	if (n < 0)
		return n;
	facts = (struct facts){
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.nlink = st.st_nlink,
		.size = st.st_size,
		.rdev = st.st_rdev,
		.mtime = st.st_mtim,
		.data = data,
		.len = n,
	};
	facts_line(&facts, line);
	return 0;
}

static int kernel_list(const char *path, struct side_names *names)
{
	const struct dirent *entry;
	const char *name;
	int dir, fd;
	DIR *stream;

	names->n = 0;
	dir = open_parent(path, &name);
	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(dir);
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	stream = fdopendir(fd);
	while ((entry = readdir(stream)) && names->n < SIDE_NAMES)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			strcpy(names->name[names->n++], entry->d_name);
	closedir(stream);
	return 0;
}

const struct side kernel_side = {
	.name = "kernel",
	.act = kernel_act,
	.describe = kernel_describe,
	.list = kernel_list,
};
