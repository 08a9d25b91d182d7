#include "config.h"

#include "overlay/making.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "overlay/acl.h"
#include "overlay/attrs.h"
#include "overlay/flush.h"
#include "overlay/override.h"
#include "overlay/perm.h"
#include "overlay/refresh.h"
#include "overlay/upper.h"
#include "overlay/xattr.h"

/* Where it is made. */
struct site {
	int dirfd;
	const char *name;
};

/*
 * A descriptor of the new object: O_RDWR of a file, or a placeholder for what is
 * none, O_RDONLY of a directory, and O_PATH of all else. A file has its mode from
 * the start, since it may need no other.
 */
static int make_object(struct ovl *fs, const struct site *site,
                       const struct ovl_making *making, mode_t file_mode)
{
	const int dirfd = site->dirfd;
	const char *name = site->name;
	int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, fd, err;
	mode_t type = making->type;

	if (ovl_override_replaces(&fs->upper, type))
		type = S_IFREG;
	switch (type) {
	case S_IFREG:
		fd = openat(dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
		            file_mode);
		return fd < 0 ? -errno : fd;
	case S_IFDIR:
		err = mkdirat(dirfd, name, 0700);
		flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
		break;
	case S_IFLNK:
		err = symlinkat(making->target, dirfd, name);
		break;
	default:
		err = mknodat(dirfd, name, type | 0600, making->rdev);
	}
	if (err)
		return -errno;
	fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

/* The ACLs that it has by its directory's default ACL, which may be NULL. */
struct inheritance {
	struct ovl_acl *inherited, *access;
};

static void inheritance_release(struct inheritance *acls)
{
	ovl_acl_unref(acls->access);
	ovl_acl_unref(acls->inherited);
}

/*
 * What the directory's default ACL gives, and takes from `mode`: made elsewhere,
 * the object has not inherited it by itself.
 */
static int inherit(struct ovl_edit *edit, mode_t type, uint32_t *mode,
                   struct inheritance *acls)
{
	int err;

	*acls = (struct inheritance){ 0 };
	if (S_ISLNK(type))
		return 0;
	err = ovl_node_acl(edit->dir, OVL_ACL_DEFAULT, edit->fs->cache, true,
	                   &acls->inherited);
	if (!err && acls->inherited)
		err = ovl_acl_inherit(acls->inherited, mode, &acls->access);
	return err;
}

/* A new directory hands on what it inherits. */
static int store_acls(struct ovl *fs, int fd, mode_t type,
                      const struct inheritance *acls)
{
	int err = 0;

	if (acls->access)
		err = ovl_acl_store(&fs->upper, fd, OVL_ACL_ACCESS,
		                    acls->access);
	if (!err && acls->inherited && S_ISDIR(type))
		err = ovl_acl_store(&fs->upper, fd, OVL_ACL_DEFAULT,
		                    acls->inherited);
	return err;
}

/* The override of a new object says all of it, the type and device too. */
static int override(struct ovl *fs, int fd, const struct ovl_making *making,
                    struct ovl_setattr *set)
{
	struct ovl_attr attr = {
		.mode = making->type | (set->mode & 07777),
		.uid = set->uid,
		.gid = set->gid,
		.rdev_major = major(making->rdev),
		.rdev_minor = minor(making->rdev),
	};

	if (S_ISLNK(making->type))
		attr.mode = S_IFLNK | 0777;
	set->has_uid = set->has_gid = set->has_mode = false;
	return ovl_override_set(&fs->upper, fd, &attr);
}

/*
 * Owner, group, mode, times, size, of what looks like `real` so far. Returns 1
 * where it looks otherwise since.
 */
static int dress(struct ovl *fs, int fd, const struct ovl_making *making,
                 struct ovl_setattr *set, const struct ovl_real *real)
{
	const struct ovl_attr *attr = &real->attr;
	bool cut = set->has_size && S_ISREG(making->type) && set->size > 0;
	int err = 0;

	if (cut && ftruncate(fd, set->size))
		return -errno;
	set->has_uid = set->uid != attr->uid;
	set->has_gid = set->gid != attr->gid;
	/* Another owner takes setuid and setgid away. */
	set->has_mode =
		!S_ISLNK(making->type) && (set->has_uid || set->has_gid ||
	                                   (set->mode ^ attr->mode) & 07777);
	if (fs->upper.userxattr)
		err = override(fs, fd, making, set);
	if (!err)
		err = ovl_attrs_apply(fs, fd, set);
	if (err)
		return err;
	return cut || fs->upper.userxattr || set->has_uid || set->has_gid ||
	       set->has_mode || set->set_atime != OVL_TIME_KEEP ||
	       set->set_mtime != OVL_TIME_KEEP;
}

/* Whether it stays with the server's user, and open(2) can give it its mode. */
static bool is_server_s(const struct ovl *fs, const struct ovl_setattr *set)
{
	return !fs->upper.userxattr && set->uid == fs->upper.server_uid &&
	       !(set->mode & 07000);
}

/* What a file is made with: nobody is to use it before it has its owner. */
static mode_t first_mode(const struct ovl *fs, const struct ovl_setattr *set)
{
	return is_server_s(fs, set) ? set->mode : 0600;
}

/* What of our own goes with it. */
static int mark(struct ovl *fs, int fd, const struct ovl_making *making)
{
	/* Nothing of a layer that comes later is to shine through. */
	if (S_ISDIR(making->type))
		return ovl_xattr_set_opaque(&fs->upper, fd);
	if (making->verifier)
		return ovl_xattr_set(&fs->upper, fd, OVL_XATTR_VERIFIER,
		                     making->verifier,
		                     sizeof(*making->verifier));
	return 0;
}

/* All that it is to have, and how it looks then. */
static int furnish(struct ovl *fs, int fd, const struct ovl_making *making,
                   const struct inheritance *acls, struct ovl_setattr *set,
                   struct ovl_real *real)
{
	int err = mark(fs, fd, making);

	if (!err)
		err = store_acls(fs, fd, making->type, acls);
	if (!err)
		err = ovl_layer_look(&fs->upper, fd, "", real);
	if (!err)
		err = dress(fs, fd, making, set, real);
	if (err > 0)
		err = ovl_layer_look_again(&fs->upper, fd, real->generation,
		                           real);
	if (!err && !S_ISREG(making->type) && !S_ISDIR(making->type))
		err = ovl_flush_marks(fs, fd);
	return err;
}

/*
 * Whether a file is to have nothing but what open(2) gives it, and can have its name
 * at once. What turns out to be wrong all the same is put right in its place.
 */
static bool is_whole_at_once(struct ovl_edit *edit, const char *name,
                             const struct ovl_making *making,
                             const struct inheritance *acls,
                             const struct ovl_setattr *set)
{
	const struct ovl_layer *upper = &edit->fs->upper;
	const struct ovl_attr *dir = &edit->change->before;

	return S_ISREG(making->type) && !making->verifier && !acls->inherited &&
	       is_server_s(edit->fs, set) &&
	       set->gid ==
	               (dir->mode & S_ISGID ? dir->gid : upper->server_gid) &&
	       !(set->has_size && set->size) &&
	       set->set_atime == OVL_TIME_KEEP &&
	       set->set_mtime == OVL_TIME_KEEP &&
	       ovl_edit_upper_type(edit, name) == DT_UNKNOWN;
}

static struct site choose_site(struct ovl_edit *edit, const char *name,
                               const struct ovl_making *making,
                               const struct inheritance *acls,
                               const struct ovl_setattr *set,
                               struct ovl_made *made)
{
	struct ovl_workdir *workdir = edit->fs->workdir;

	made->in_place = is_whole_at_once(edit, name, making, acls, set);
	if (made->in_place)
		return (struct site){ ovl_fd_num(edit->fd), name };
	ovl_workdir_name(workdir, made->tmp);
	return (struct site){ ovl_workdir_tmp(workdir), made->tmp };
}

/* It may be there though it could not be opened; in its place it is another's then. */
static void discard(struct ovl_edit *edit, const struct site *site,
                    const struct ovl_made *made)
{
	if (!made->in_place) {
		ovl_upper_discard(edit->fs, site->name, &made->real);
	} else if (made->fd >= 0) {
		unlinkat(site->dirfd, site->name, 0);
		ovl_edit_keep_times(edit);
	}
	if (made->fd >= 0)
		close(made->fd);
}

int ovl_make(struct ovl_edit *edit, const struct ovl_caller *caller,
             const char *name, const struct ovl_making *making,
             struct ovl_made *made)
{
	struct ovl_setattr set = *making->set;
	struct ovl *fs = edit->fs;
	struct inheritance acls;
	struct site site;
	int err;

	made->real = (struct ovl_real){ 0 };
	ovl_perm_create(caller, &edit->change->before, S_ISDIR(making->type),
	                making->set, &set.uid, &set.gid, &set.mode);
	if (making->verifier)
		set.mode = 0;
	err = inherit(edit, making->type, &set.mode, &acls);
	if (!err) {
		site = choose_site(edit, name, making, &acls, &set, made);
		made->fd = make_object(fs, &site, making, first_mode(fs, &set));
		err = made->fd < 0 ? made->fd
		                   : furnish(fs, made->fd, making, &acls, &set,
		                             &made->real);
		if (err)
			discard(edit, &site, made);
	}
	inheritance_release(&acls);
	return err;
}
