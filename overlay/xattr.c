#include "config.h"

#include "overlay/xattr.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/fdcall.h"
#include "overlay/standin.h"

#define TRUSTED "trusted."
#define USER "user."
#define OWN "overlay." /* the kernel's and ours alike */

#define FULL_NAME_SIZE 64

/*
 * The value of OVL_XATTR_ORIGIN; numbers are little-endian. It is on users'
 * disks: another form gets another magic.
 */
struct origin_value {
	unsigned char magic[8];
	uint64_t fileid;
	uint64_t generation;
	uint64_t self_ino;
	uint64_t self_generation;
};

static const unsigned char origin_magic[8] = "veneer\0\1";

/* ---- raw access --------------------------------------------------------- */

static void make_full(const struct ovl_layer *layer, const char *name,
                      char full[FULL_NAME_SIZE])
{
	int len = snprintf(full, FULL_NAME_SIZE, "%s%s",
	                   layer->userxattr ? USER : TRUSTED, name);

	assert(len < FULL_NAME_SIZE);
	(void)len;
}

/*
 * Where there can be no attribute of that name there is none; and user.* of what
 * the mode closes even to its owner could not have been written either.
 */
static int as_none(int err, bool userxattr)
{
	if (err == -EOPNOTSUPP ||
	    (userxattr && (err == -EPERM || err == -EACCES)))
		return -ENODATA;
	return err;
}

ssize_t ovl_xattr_get(const struct ovl_layer *layer, int fd, const char *name,
                      void *value, size_t size)
{
	char full[FULL_NAME_SIZE];
	ssize_t len;

	make_full(layer, name, full);
	len = ovl_fd_get_xattr(fd, full, value, size);
	return len < 0 ? as_none((int)len, layer->userxattr) : len;
}

int ovl_xattr_set(const struct ovl_layer *layer, int fd, const char *name,
                  const void *value, size_t size)
{
	char full[FULL_NAME_SIZE];

	make_full(layer, name, full);
	return ovl_fd_set_xattr(fd, full, value, size);
}

int ovl_xattr_remove(const struct ovl_layer *layer, int fd, const char *name)
{
	char full[FULL_NAME_SIZE];

	make_full(layer, name, full);
	return ovl_fd_remove_xattr(fd, full);
}

/* Whether a stand-in has the attributes of what looks like that. */
static bool has_standin(const struct ovl_layer *layer,
                        const struct ovl_real *real)
{
	return layer->standins && ovl_standin_needed(real);
}

ssize_t ovl_xattr_get_for(const struct ovl_layer *layer, int fd,
                          const struct ovl_real *real, const char *name,
                          void *value, size_t size)
{
	ssize_t len;
	int standin;

	if (!has_standin(layer, real))
		return ovl_xattr_get(layer, fd, name, value, size);
	standin = ovl_standin_open(layer->standins, real, false);
	if (standin < 0)
		return standin == -ENOENT ? -ENODATA : standin;
	len = ovl_xattr_get(layer, standin, name, value, size);
	close(standin);
	return len;
}

int ovl_xattr_set_for(const struct ovl_layer *layer, int fd,
                      const struct ovl_real *real, const char *name,
                      const void *value, size_t size)
{
	int standin, err;

	if (!has_standin(layer, real))
		return ovl_xattr_set(layer, fd, name, value, size);
	standin = ovl_standin_open(layer->standins, real, true);
	if (standin < 0)
		return standin;
	err = ovl_xattr_set(layer, standin, name, value, size);
	close(standin);
	return err;
}

/* In either namespace: the layers may have been an overlay of the other. */
bool ovl_xattr_private(const char *full_name)
{
	static const char trusted[] = TRUSTED OWN;
	static const char user[] = USER OWN;

	return strncmp(full_name, trusted, sizeof(trusted) - 1) == 0 ||
	       strncmp(full_name, user, sizeof(user) - 1) == 0;
}

/* ---- opaque ------------------------------------------------------------- */

static int opaque_is(const struct ovl_layer *layer, int fd, char wanted)
{
	char value;
	ssize_t len = ovl_xattr_get(layer, fd, OVL_XATTR_OPAQUE, &value, 1);

	/* Longer than "y" is not "y". */
	if (len == -ENODATA || len == -ERANGE)
		return 0;
	if (len < 0)
		return (int)len;
	return len == 1 && value == wanted;
}

int ovl_xattr_is_opaque(const struct ovl_layer *layer, int fd)
{
	return opaque_is(layer, fd, 'y');
}

int ovl_xattr_set_opaque(const struct ovl_layer *layer, int fd)
{
	return ovl_xattr_set(layer, fd, OVL_XATTR_OPAQUE, "y", 1);
}

int ovl_xattr_set_whiteouts(const struct ovl_layer *layer, int fd)
{
	int opaque = ovl_xattr_is_opaque(layer, fd);

	if (!opaque)
		return ovl_xattr_set(layer, fd, OVL_XATTR_OPAQUE, "x", 1);
	return opaque < 0 ? opaque : 0;
}

/* ---- redirect ----------------------------------------------------------- */

/* A name that can stand in a directory, of `len` bytes. */
static bool is_name(const char *name, size_t len)
{
	if (len == 0 || len > NAME_MAX)
		return false;
	return strncmp(name, "..", len) != 0; /* neither "." nor ".." */
}

/* Filesystems keep values up to this size, where they keep any. */
#define LONG_REDIRECT 512

static bool is_sound(const char *redirect)
{
	size_t len;

	if (*redirect != '/')
		return !strchr(redirect, '/') &&
		       is_name(redirect, strlen(redirect));
	do {
		len = strcspn(++redirect, "/");
		if (!is_name(redirect, len))
			return false;
		redirect += len;
	} while (*redirect);
	return true;
}

int ovl_xattr_get_redirect(const struct ovl_layer *layer, int fd,
                           char redirect[OVL_REDIRECT_SIZE])
{
	char value[OVL_REDIRECT_SIZE];
	ssize_t len = ovl_xattr_get(layer, fd, OVL_XATTR_REDIRECT, value,
	                            sizeof(value) - 1);

	if (len == -ENODATA)
		return 0;
	if (len < 0)
		return len == -ERANGE ? -EIO : (int)len;
	value[len] = '\0';
	if (strlen(value) != (size_t)len || !is_sound(value))
		return -EIO;
	strcpy(redirect, value);
	return 1;
}

int ovl_xattr_set_redirect(const struct ovl_layer *layer, int fd,
                           const char *redirect)
{
	size_t len = strlen(redirect);
	int err = -ERANGE;

	if (len < OVL_REDIRECT_SIZE)
		err = ovl_xattr_set(layer, fd, OVL_XATTR_REDIRECT, redirect,
		                    len);
	/* ext4 says ENOSPC of a value that is too long for it. */
	if (err == -ERANGE || err == -E2BIG ||
	    (err == -ENOSPC && len > LONG_REDIRECT))
		return -EXDEV;
	return err;
}

/* ---- metacopy ----------------------------------------------------------- */

/* The kernel may have put more into it than that it is there. */
int ovl_xattr_is_metacopy(const struct ovl_layer *layer, int fd)
{
	ssize_t len = ovl_xattr_get(layer, fd, OVL_XATTR_METACOPY, NULL, 0);

	if (len < 0)
		return len == -ENODATA ? 0 : (int)len;
	return 1;
}

/* Whether what has that name has the attribute. 1, 0 or -errno. */
static int has_at(const struct ovl_layer *layer, int dirfd, const char *name,
                  const char *attribute)
{
	char path[OVL_FD_PATH_SIZE + NAME_MAX + 1], full[FULL_NAME_SIZE];
	int err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	make_full(layer, attribute, full);
	if (lgetxattr(path, full, NULL, 0) >= 0)
		return 1;
	err = as_none(-errno, layer->userxattr);
	return err == -ENODATA ? 0 : err;
}

int ovl_xattr_is_metacopy_at(const struct ovl_layer *layer, int dirfd,
                             const char *name)
{
	return has_at(layer, dirfd, name, OVL_XATTR_METACOPY);
}

int ovl_xattr_has_origin_at(const struct ovl_layer *layer, int dirfd,
                            const char *name)
{
	return has_at(layer, dirfd, name, OVL_XATTR_ORIGIN);
}

int ovl_xattr_set_metacopy(const struct ovl_layer *layer, int fd)
{
	return ovl_xattr_set(layer, fd, OVL_XATTR_METACOPY, "", 0);
}

/* ---- whiteouts ---------------------------------------------------------- */

int ovl_xattr_may_hold_whiteouts(const struct ovl_layer *layer, int dirfd)
{
	return opaque_is(layer, dirfd, 'x');
}

int ovl_xattr_is_whiteout(const struct ovl_layer *layer, int dirfd,
                          const char *name)
{
	struct stat st;
	ssize_t len;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size)
		return 0;
	fd = ovl_layer_open(layer, dirfd, name, O_PATH, false);
	if (fd < 0)
		return fd == -EXDEV ? 0 : fd; /* another mount */
	len = ovl_xattr_get(layer, fd, OVL_XATTR_WHITEOUT, NULL, 0);
	close(fd);
	if (len == -ENODATA)
		return 0;
	return len < 0 ? (int)len : 1;
}

/* ---- origin ------------------------------------------------------------- */

int ovl_xattr_get_origin(const struct ovl_layer *layer, int fd,
                         const struct ovl_real *self, struct ovl_id *origin)
{
	struct origin_value value;
	ssize_t len = ovl_xattr_get_for(layer, fd, self, OVL_XATTR_ORIGIN,
	                                &value, sizeof(value));

	if (len < 0 && len != -ERANGE)
		return (int)len;
	if (len != sizeof(value) ||
	    memcmp(value.magic, origin_magic, sizeof(origin_magic)) != 0)
		return -ENODATA;
	if (le64toh(value.self_ino) != self->ino ||
	    le64toh(value.self_generation) != self->generation)
		return -ENODATA;
	origin->fileid = le64toh(value.fileid);
	origin->generation = le64toh(value.generation);
	return 0;
}

int ovl_xattr_set_origin(const struct ovl_layer *layer, int fd,
                         const struct ovl_real *self, struct ovl_id origin)
{
	struct origin_value value = {
		.fileid = htole64(origin.fileid),
		.generation = htole64(origin.generation),
		.self_ino = htole64(self->ino),
		.self_generation = htole64(self->generation),
	};

	memcpy(value.magic, origin_magic, sizeof(origin_magic));
	return ovl_xattr_set_for(layer, fd, self, OVL_XATTR_ORIGIN, &value,
	                         sizeof(value));
}
