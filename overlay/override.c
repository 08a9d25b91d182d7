#include "config.h"

#include "overlay/override.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "overlay/fdcall.h"
#include "overlay/standin.h"
#include "overlay/xattr.h"

/*
 * The value of OVL_XATTR_OVERRIDE; numbers are little-endian. It is on users'
 * disks: another form gets another magic.
 */
struct override_value {
	unsigned char magic[8];
	uint32_t uid, gid;
	uint32_t mode; /* as st_mode */
	uint32_t rdev_major, rdev_minor;
};

static const unsigned char override_magic[8] = "veneer\1\1";

static bool is_device(mode_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

/* What a placeholder may be; a character device 0:0 would be a whiteout. */
static bool is_placeholder(const struct ovl_attr *attr)
{
	if (S_ISCHR(attr->mode))
		return attr->rdev_major || attr->rdev_minor;
	return S_ISBLK(attr->mode) || S_ISFIFO(attr->mode) ||
	       S_ISSOCK(attr->mode);
}

bool ovl_override_replaces(const struct ovl_layer *layer, mode_t type)
{
	return layer->userxattr &&
	       (is_device(type) || S_ISFIFO(type) || S_ISSOCK(type));
}

/* ---- showing ------------------------------------------------------------ */

/* Whether these are attributes that what is of this type on disk may show. */
static bool fits(const struct ovl_attr *attr, mode_t type)
{
	/* The highest number is no id (see chown(2)). */
	if (attr->uid == UINT32_MAX || attr->gid == UINT32_MAX ||
	    attr->mode & ~(uint32_t)(S_IFMT | 07777))
		return false;
	if ((attr->mode & S_IFMT) == type)
		return true;
	return S_ISREG(type) && is_placeholder(attr);
}

/* 0, -ENODATA: none that counts, or -errno. */
static int get(const struct ovl_layer *layer, int fd,
               const struct ovl_real *real, struct ovl_attr *attr)
{
	struct override_value value;
	ssize_t len = ovl_xattr_get_for(layer, fd, real, OVL_XATTR_OVERRIDE,
	                                &value, sizeof(value));

	if (len < 0 && len != -ERANGE)
		return (int)len;
	if (len != sizeof(value) ||
	    memcmp(value.magic, override_magic, sizeof(override_magic)) != 0)
		return -ENODATA;
	*attr = real->attr;
	attr->uid = le32toh(value.uid);
	attr->gid = le32toh(value.gid);
	attr->mode = le32toh(value.mode);
	/* A device on disk is the one that it is. */
	if (is_device(attr->mode) && S_ISREG(real->type)) {
		attr->rdev_major = le32toh(value.rdev_major);
		attr->rdev_minor = le32toh(value.rdev_minor);
	}
	return fits(attr, real->type) ? 0 : -ENODATA;
}

/* Nobody has set anything: it is whose it is on disk. */
static void show_host(const struct ovl_layer *layer, struct ovl_attr *attr)
{
	if (layer->has_host_uid && attr->uid == layer->server_uid)
		attr->uid = layer->host_uid;
	if (layer->has_host_gid && attr->gid == layer->server_gid)
		attr->gid = layer->host_gid;
}

int ovl_override_show(const struct ovl_layer *layer, int fd,
                      struct ovl_real *real)
{
	struct ovl_attr attr;
	int err;

	err = get(layer, fd, real, &attr);
	if (!err)
		real->attr = attr;
	else if (err == -ENODATA)
		show_host(layer, &real->attr);
	return err == -ENODATA ? 0 : err;
}

/* ---- setting ------------------------------------------------------------ */

/* The mode on disk below a mode that is shown. */
static mode_t mode_below(mode_t type, uint32_t mode)
{
	mode_t all = mode & (S_IROTH | S_IXOTH);

	return S_IRUSR | S_IWUSR | (mode & S_IXUSR) | all << 3 | all |
	       (S_ISDIR(type) ? S_IXUSR : 0);
}

static int set_value(const struct ovl_layer *layer, int fd,
                     const struct ovl_real *real, const struct ovl_attr *attr)
{
	struct override_value value = {
		.uid = htole32(attr->uid),
		.gid = htole32(attr->gid),
		.mode = htole32(attr->mode),
		.rdev_major = htole32(attr->rdev_major),
		.rdev_minor = htole32(attr->rdev_minor),
	};

	memcpy(value.magic, override_magic, sizeof(override_magic));
	return ovl_xattr_set_for(layer, fd, real, OVL_XATTR_OVERRIDE, &value,
	                         sizeof(value));
}

int ovl_override_set(const struct ovl_layer *layer, int fd,
                     const struct ovl_attr *attr)
{
	mode_t mode, on_disk;
	struct ovl_real real;
	int err;

	err = ovl_layer_look_on_disk(layer, fd, "", &real);
	if (err)
		return err;
	if (ovl_standin_needed(&real))
		return set_value(layer, fd, &real, attr);
	on_disk = real.attr.mode & 07777;
	mode = mode_below(real.type, attr->mode);
	/* The user of the host may have closed it, to himself as well. */
	if (mode != on_disk)
		err = ovl_fd_chmod(fd, mode);
	if (err)
		return err;
	err = set_value(layer, fd, &real, attr);
	if (err && mode != on_disk)
		ovl_fd_chmod(fd, on_disk);
	return err;
}
