#include "config.h"

#include "overlay/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/beneath.h"
#include "overlay/copydata.h"
#include "overlay/fdcall.h"
#include "overlay/override.h"
#include "overlay/xattr.h"

/* ---- making the new object ---------------------------------------------- */

static int make_symlink(int fd, int to_dir, const char *name)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(fd, "", target, sizeof(target));

	if (len < 0)
		return -errno;
	if (len == sizeof(target))
		return -ENAMETOOLONG;
	target[len] = '\0';
	return symlinkat(target, to_dir, name) < 0 ? -errno : 0;
}

static void remove_object(int to_dir, const char *name, mode_t mode)
{
	unlinkat(to_dir, name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
}

static int make_nonregular(const struct ovl_layer *layer, int fd,
                           const struct ovl_attr *attr, int to_dir,
                           const char *name)
{
	dev_t rdev = makedev(attr->rdev_major, attr->rdev_minor);
	mode_t type = attr->mode & S_IFMT;

	if (type == S_IFLNK)
		return make_symlink(fd, to_dir, name);
	if (type == S_IFDIR)
		return mkdirat(to_dir, name, 0700) < 0 ? -errno : 0;
	if (ovl_override_replaces(layer, type)) {
		type = S_IFREG;
		rdev = 0;
	}
	return mknodat(to_dir, name, type | 0600, rdev) < 0 ? -errno : 0;
}

/*
 * Make an object of that type and open it. Until it has its owner and mode
 * nobody else may use it.
 */
static int make_object(const struct ovl_layer *layer, int fd,
                       const struct ovl_attr *attr, int to_dir,
                       const char *name)
{
	int flags = S_ISDIR(attr->mode) ? O_RDONLY | O_DIRECTORY : O_PATH;
	int err, new;

	if (S_ISREG(attr->mode))
		return ovl_open_beneath(to_dir, name, O_RDWR | O_CREAT | O_EXCL,
		                        0600, false);
	err = make_nonregular(layer, fd, attr, to_dir, name);
	if (err)
		return err;
	new = ovl_open_beneath(to_dir, name, flags, 0, false);
	if (new < 0)
		remove_object(to_dir, name, attr->mode);
	return new;
}

/* ---- extended attributes ------------------------------------------------ */

/* More names than nearly any file has: what the kernel makes room for is asked for
 * with each copy. */
#define FEW_NAMES 512

/* As many names as there may be, each terminated, to be freed; their length or
 * -errno. */
static ssize_t list_many(int fd, char **names)
{
	*names = malloc(XATTR_LIST_MAX);
	return *names ? ovl_fd_list_xattrs(fd, *names, XATTR_LIST_MAX)
	              : -ENOMEM;
}

/* Attributes of the system's, for which the server may lack the privilege. */
static bool is_privileged(const char *name)
{
	return strncmp(name, "security.", 9) == 0 ||
	       strncmp(name, "trusted.", 8) == 0;
}

/* Without its ACL a copy would be open to others than the original was. */
static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

static int copy_xattr(int from, int to, const char *name, void *value)
{
	ssize_t len = ovl_fd_get_xattr(from, name, value, XATTR_SIZE_MAX);
	int err = len < 0 ? (int)len : 0;

	if (!err)
		err = ovl_fd_set_xattr(to, name, value, (size_t)len);
	/* Gone meanwhile, or not of this filesystem. */
	if (err == -ENODATA || (err == -EOPNOTSUPP && !is_acl(name)))
		return 0;
	if ((err == -EPERM || err == -EACCES) && is_privileged(name))
		return 0;
	return err;
}

/* Those of our own stay behind. */
static int copy_listed(int from, int to, const char *names, size_t len)
{
	void *value = malloc(XATTR_SIZE_MAX);
	int err = value ? 0 : -ENOMEM;

	for (const char *name = names; !err && name < names + len;
	     name += strlen(name) + 1) {
		if (!ovl_xattr_private(name))
			err = copy_xattr(from, to, name, value);
	}
	free(value);
	return err;
}

static int copy_xattrs(int from, int to)
{
	char few[FEW_NAMES], *many = NULL;
	ssize_t len = ovl_fd_list_xattrs(from, few, sizeof(few));
	int err = 0;

	if (len == -ERANGE)
		len = list_many(from, &many);
	if (len > 0)
		err = copy_listed(from, to, many ? many : few, (size_t)len);
	else if (len != -EOPNOTSUPP)
		err = (int)len;
	free(many);
	return err;
}

/* ---- attributes --------------------------------------------------------- */

static int copy_owner(int fd, const struct ovl_attr *attr)
{
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return -errno;
	if (st.st_uid == attr->uid && st.st_gid == attr->gid)
		return 0;
	if (fchownat(fd, "", attr->uid, attr->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/*
 * The order matters: chown clears setuid, setgid and security.capability, an
 * ACL sets the mode's group bits, and each of them changes times. A symlink has
 * no mode of its own.
 */
static int copy_attributes(const struct ovl_layer *layer, int from, int to,
                           const struct ovl_attr *attr)
{
	const struct timespec times[2] = { attr->atime, attr->mtime };
	int err = layer->userxattr ? 0 : copy_owner(to, attr);

	if (!err)
		err = copy_xattrs(from, to);
	if (!err && layer->userxattr)
		err = ovl_override_set(layer, to, attr);
	else if (!err && !S_ISLNK(attr->mode))
		err = ovl_fd_chmod(to, attr->mode & 07777);
	return err ? err : ovl_fd_utimens(to, times);
}

/* ---- the whole ---------------------------------------------------------- */

int ovl_copy_object(const struct ovl_layer *layer, int fd, int data,
                    const struct ovl_attr *attr, int to_dir, const char *name,
                    uint64_t size, bool sync, struct ovl_copy_watch *watch,
                    int *out_fd)
{
	bool can_sync = S_ISREG(attr->mode) || S_ISDIR(attr->mode);
	struct ovl_copy_watch unwatched = { 0 };
	int new = make_object(layer, fd, attr, to_dir, name);
	int err = 0;

	if (new < 0)
		return new;
	if (S_ISREG(attr->mode) && data >= 0)
		err = ovl_copy_data(data, new, size,
		                    watch ? watch : &unwatched);
	else if (S_ISREG(attr->mode) && ftruncate(new, attr->size))
		err = -errno;
	if (!err)
		err = copy_attributes(layer, fd, new, attr);
	if (!err && sync && can_sync && fsync(new) < 0)
		err = -errno;
	if (err)
		remove_object(to_dir, name, attr->mode);
	if (!err && out_fd)
		*out_fd = new;
	else
		close(new);
	return err;
}
