/*
 * The kernel's overlay, as a server of NFS would use it:
 *   - a symlink on the way is no directory;
 *   - the owner may use the data whatever the mode says, and who may execute
 *     may read (RFC 1813, 4.4);
 *   - data are those of regular files alone;
 *   - who may not search a directory may not modify it;
 *   - fs.protected_hardlinks is for callers of link(2), not for servers.
 */
#include "config.h"

#include "tests/agreement/side.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int root = -1, held = -1;
static bool is_user;
static uint32_t caller, caller_group;

/* The capabilities that count: all that there are, or these alone. */
static void use_capabilities(bool all, uint32_t these)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct sets[2];

	ck_assert_int_eq(syscall(SYS_capget, &header, sets), 0);
	sets[0].effective = all ? sets[0].permitted : these;
	sets[1].effective = all ? sets[1].permitted : 0;
	ck_assert_int_eq(syscall(SYS_capset, &header, sets), 0);
}

static void use_ids(uint32_t uid, uint32_t gid)
{
	gid_t groups[] = { SIDE_GROUP };

	if (is_user) {
		use_capabilities(uid == 0, 0);
		return;
	}
	ck_assert_int_eq(setgroups(uid ? 1 : 0, groups), 0);
	setfsgid(gid);
	setfsuid(uid); /* and with it go or come the capabilities for files */
}

static void kernel_become(uint32_t uid, uint32_t gid)
{
	caller = uid;
	caller_group = gid;
	use_ids(uid, gid);
}

void kernel_side_open(const char *path, bool user)
{
	is_user = user;
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(root, 0);
}

void kernel_side_close(void)
{
	close(root);
	close(held);
	root = held = -1;
}

static int result(int n)
{
	return n < 0 ? -errno : 0;
}

/* The directory that the path's last name is in. */
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

/* What `call` gives for `name` in `dir`, the two that a path leads to. */
#define AT(path, call)                              \
	({                                          \
		const char *name;                   \
		int dir = open_parent(path, &name); \
		int err = dir < 0 ? dir : (call);   \
                                                    \
		if (dir >= 0)                       \
			close(dir);                 \
		err;                                \
	})

/* ---- data ------------------------------------------------------------------ */

/* The error that using its data gives where it is no regular file. */
static int check_regular(int dir, const char *name, struct stat *st)
{
	if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISREG(st->st_mode))
		return 0;
	return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
}

static int open_data(int dir, const char *name, int flags)
{
	struct stat st;
	int err = check_regular(dir, name, &st), fd;

	if (err)
		return err;
	fd = openat(dir, name, flags | O_CLOEXEC);
	if (fd >= 0 || errno != EACCES)
		return result(fd) ? -errno : fd;
	if (st.st_uid != caller &&
	    (flags != O_RDONLY || faccessat(dir, name, X_OK, AT_EACCESS) < 0))
		return -EACCES;
	use_ids(0, 0);
	fd = openat(dir, name, flags | O_CLOEXEC);
	err = result(fd);
	use_ids(caller, caller_group);
	return err ? err : fd;
}

static int read_opened(int fd, uint64_t *sum)
{
	static char data[1 << 16];
	ssize_t n;

	if (fd < 0)
		return fd;
	*sum = HASH_START;
	while ((n = read(fd, data, sizeof(data))) > 0)
		*sum = hash(*sum, data, n);
	n = result(n);
	close(fd);
	return n;
}

static int kernel_read(const char *path, uint64_t *sum)
{
	return AT(path, read_opened(open_data(dir, name, O_RDONLY), sum));
}

static int write_data(int dir, const char *name, uint64_t offset,
                      const void *data, size_t len)
{
	struct stat st;
	int fd, err;

	/* To write nothing does nothing; opening might complete a metacopy. */
	if (len == 0) {
		err = check_regular(dir, name, &st);
		return err || st.st_uid == caller
		               ? err
		               : result(faccessat(dir, name, W_OK, AT_EACCESS));
	}
	fd = open_data(dir, name, O_WRONLY);
	if (fd < 0)
		return fd;
	err = result(pwrite(fd, data, len, offset));
	close(fd);
	return err;
}

static int kernel_write(const char *path, uint64_t offset, const void *data,
                        size_t len)
{
	return AT(path, write_data(dir, name, offset, data, len));
}

static int cut(int dir, const char *name, uint64_t size)
{
	int fd = open_data(dir, name, O_WRONLY), err;

	if (fd < 0)
		return fd;
	err = result(ftruncate(fd, size));
	close(fd);
	return err;
}

/* ---- looking --------------------------------------------------------------- */

static int look(int dir, const char *name, struct facts *facts)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	*facts = (struct facts){
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.nlink = st.st_nlink,
		.size = st.st_size,
		.major = major(st.st_rdev),
		.minor = minor(st.st_rdev),
		.mtime = st.st_mtim,
		.fileid = st.st_ino,
	};
	return 0;
}

static int kernel_look(const char *path, struct facts *facts)
{
	return AT(path, look(dir, name, facts));
}

static int read_target(int dir, const char *name, char *target)
{
	ssize_t n = readlinkat(dir, name, target, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return 0;
}

static int kernel_readlink(const char *path, char target[PATH_MAX])
{
	return AT(path, read_target(dir, name, target));
}

static int list(int dir, const char *name, struct side_names *names)
{
	int fd = openat(dir, name,
	                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *entry;
	struct side_name *to;
	DIR *stream;

	names->n = 0;
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	stream = fdopendir(fd);
	while ((entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		ck_assert_uint_lt(names->n, SIDE_NAMES);
		to = &names->names[names->n++];
		strcpy(to->name, entry->d_name);
		to->type = DTTOIF(entry->d_type);
		to->fileid = entry->d_ino;
	}
	closedir(stream);
	return 0;
}

static int kernel_list(const char *path, bool types, struct side_names *names)
{
	(void)types;
	return AT(path, list(dir, name, names));
}

static int granted_of(int dir, const char *name, int *granted)
{
	static const int bits[] = { R_OK, W_OK, X_OK };
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*granted = 0;
	for (unsigned i = 0; i < 3; i++)
		if (!faccessat(dir, name, bits[i],
		               AT_EACCESS | AT_SYMLINK_NOFOLLOW))
			*granted |= bits[i];
	/* An owner has what the mode says, whatever ACL there is. */
	if (is_user && caller && st.st_uid == caller && st.st_nlink > 1 &&
	    S_ISREG(st.st_mode) && *granted != (int)(st.st_mode >> 6 & 7))
		return KERNEL_CONTRADICTS;
	if (S_ISDIR(st.st_mode) && !(*granted & X_OK))
		*granted &= ~W_OK;
	return 0;
}

static int kernel_access(const char *path, int *granted)
{
	return AT(path, granted_of(dir, name, granted));
}

/* ---- what is held --------------------------------------------------------- */

static int hold(int dir, const char *name)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(held);
	held = fd;
	return 0;
}

static int kernel_hold(const char *path)
{
	return AT(path, hold(dir, name));
}

/* Its path in /proc, if it still has a name. */
static int find_held(char path[64])
{
	static const char gone[] = " (deleted)";
	char name[PATH_MAX];
	ssize_t n, len = strlen(gone);

	snprintf(path, 64, "/proc/self/fd/%d", held);
	n = held < 0 ? -1 : readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return -EBADF;
	name[n] = '\0';
	return n > len && !strcmp(name + n - len, gone) ? -ESTALE : 0;
}

static int kernel_look_held(struct facts *facts)
{
	char path[64];
	int err = find_held(path);

	return err ? err : look(held, "", facts);
}

static int kernel_read_held(uint64_t *sum)
{
	struct stat st;
	char path[64];
	int err = find_held(path), fd;

	if (!err)
		err = result(fstat(held, &st));
	if (!err && !S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return read_opened(fd < 0 ? -errno : fd, sum);
}

/* ---- changing -------------------------------------------------------------- */

static int change_mode(int dir, const char *name, mode_t mode)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) /* it has none to change */
		return caller && caller != st.st_uid ? -EPERM : 0;
	return result(fchmodat(dir, name, mode & 07777, 0));
}

static struct timespec time_to_set(enum ovl_settime how, struct timespec given)
{
	if (how == OVL_TIME_GIVEN)
		return given;
	given.tv_nsec = how == OVL_TIME_NOW ? UTIME_NOW : UTIME_OMIT;
	return given;
}

static int set_attributes(int dir, const char *name,
                          const struct ovl_setattr *set)
{
	const struct timespec times[2] = {
		time_to_set(set->set_atime, set->atime),
		time_to_set(set->set_mtime, set->mtime),
	};
	int err = 0;

	if (set->has_size)
		err = cut(dir, name, set->size);
	if (!err && (set->has_uid || set->has_gid))
		err = result(fchownat(dir, name, set->has_uid ? set->uid : -1u,
		                      set->has_gid ? set->gid : -1u,
		                      AT_SYMLINK_NOFOLLOW));
	if (!err && set->has_mode)
		err = change_mode(dir, name, set->mode);
	if (!err && (set->set_atime || set->set_mtime))
		err = result(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
	return err;
}

static int kernel_setattr(const char *path, const struct ovl_setattr *set)
{
	return AT(path, set_attributes(dir, name, set));
}

static int create(int dir, const char *name, enum ovl_how how,
                  const struct ovl_setattr *set)
{
	struct stat st;
	int err, fd;

	if (how == OVL_UNCHECKED) {
		err = check_regular(dir, name, &st);
		if (err == -EINVAL)
			return 0; /* what is there serves as well */
		if (!err)
			return set->has_size ? cut(dir, name, set->size) : 0;
		if (err != -ENOENT)
			return err;
	}
	fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
	            how == OVL_EXCLUSIVE ? 0 : set->mode);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int kernel_create(const char *path, enum ovl_how how,
                         const struct ovl_setattr *set)
{
	return AT(path, create(dir, name, how, set));
}

static int kernel_mkdir(const char *path, mode_t mode)
{
	return AT(path, result(mkdirat(dir, name, mode)));
}

static int kernel_symlink(const char *path, const char *target)
{
	return AT(path, result(symlinkat(target, dir, name)));
}

static int kernel_mknod(const char *path, mode_t mode, uint32_t major,
                        uint32_t minor)
{
	return AT(path,
	          result(mknodat(dir, name, mode, makedev(major, minor))));
}

static int kernel_unlink(const char *path)
{
	return AT(path, result(unlinkat(dir, name, 0)));
}

/* The error for a directory that should have been empty. */
static int not_empty(int dir, const char *name)
{
	struct side_names *names = malloc(sizeof(*names));
	bool contradicts;

	ck_assert_ptr_nonnull(names);
	use_ids(0, 0);
	contradicts = list(dir, name, names) == 0 && names->n == 0;
	use_ids(caller, caller_group);
	free(names);
	return contradicts ? KERNEL_CONTRADICTS : -ENOTEMPTY;
}

static int remove_dir(int dir, const char *name)
{
	int err = result(unlinkat(dir, name, AT_REMOVEDIR));

	return err == -ENOTEMPTY ? not_empty(dir, name) : err;
}

static int kernel_rmdir(const char *path)
{
	return AT(path, remove_dir(dir, name));
}

static int rename_to(int dir, const char *name, const char *to)
{
	const char *to_name;
	int to_dir = open_parent(to, &to_name), err;

	if (to_dir < 0)
		return to_dir;
	err = result(renameat(dir, name, to_dir, to_name));
	if (err == -ENOTEMPTY)
		err = not_empty(to_dir, to_name);
	close(to_dir);
	return err;
}

static int kernel_rename(const char *path, const char *to)
{
	return AT(path, rename_to(dir, name, to));
}

static int link_to(int dir, const char *name, const char *to)
{
	const char *to_name;
	struct stat st;
	int err = result(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
	int to_dir = err ? err : open_parent(to, &to_name);

	if (to_dir < 0)
		return to_dir;
	/* It opens nothing but what the sysctl closes. */
	if (caller && !is_user)
		use_capabilities(false, 1u << CAP_FOWNER | 1u << CAP_SETUID |
		                                1u << CAP_SETGID);
	err = result(linkat(dir, name, to_dir, to_name, 0));
	if (caller && !is_user) {
		use_capabilities(true, 0);
		use_ids(0, 0);
		use_ids(caller, caller_group);
	}
	close(to_dir);
	return err;
}

static int kernel_link(const char *path, const char *to)
{
	return AT(path, link_to(dir, name, to));
}

const struct side kernel_side = {
	.name = "kernel",
	.become = kernel_become,
	.look = kernel_look,
	.read = kernel_read,
	.readlink = kernel_readlink,
	.list = kernel_list,
	.access = kernel_access,
	.hold = kernel_hold,
	.look_held = kernel_look_held,
	.read_held = kernel_read_held,
	.create = kernel_create,
	.write = kernel_write,
	.setattr = kernel_setattr,
	.mkdir = kernel_mkdir,
	.symlink = kernel_symlink,
	.mknod = kernel_mknod,
	.unlink = kernel_unlink,
	.rmdir = kernel_rmdir,
	.rename = kernel_rename,
	.link = kernel_link,
};
