/*
 * Making new objects: files, directories, symlinks, devices, sockets, FIFOs, and
 * further links. Each is made whole in the work directory and then put into
 * place in one step; but for a file that open(2) makes whole: that is made in its
 * place.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "overlay/acl.h"
#include "overlay/attrs.h"
#include "overlay/copyup.h"
#include "overlay/dir.h"
#include "overlay/edit.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/marks.h"
#include "overlay/may.h"
#include "overlay/metacopy.h"
#include "overlay/override.h"
#include "overlay/perm.h"
#include "overlay/refresh.h"
#include "overlay/upper.h"
#include "overlay/xattr.h"

/* What is to be made. */
struct making {
	mode_t type;
	const struct ovl_setattr *set;
	const char *target;       /* of a symlink */
	dev_t rdev;               /* of a device */
	const uint64_t *verifier; /* of an exclusive file, or NULL */
};

static const struct ovl_setattr set_nothing;

/* Where it is made: at its place, or by that name in the work directory. */
struct site {
	int dirfd;
	const char *name;
	bool is_place;
};

/* ---- whole --------------------------------------------------------------------- */

/*
 * A descriptor of the new object: O_RDWR of a file, or a placeholder for what is
 * none, O_RDONLY of a directory, and O_PATH of all else. A file has its mode from
 * the start, since it may need no other.
 */
static int make_object(struct ovl *fs, const struct site *site,
                       const struct making *making, mode_t file_mode)
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
static int override(struct ovl *fs, int fd, const struct making *making,
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
static int dress(struct ovl *fs, int fd, const struct making *making,
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

/*
 * What a file is made with: its mode, where it stays with the server's user. Else
 * nobody is to use it before it has its owner.
 */
static mode_t first_mode(const struct ovl *fs, const struct ovl_setattr *set)
{
	if (fs->upper.userxattr || set->uid != fs->upper.server_uid ||
	    (set->mode & 07000))
		return 0600;
	return set->mode & 0777;
}

/* What of our own goes with it. */
static int mark(struct ovl *fs, int fd, const struct making *making)
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

/*
 * Whether the new object is to be flushed by itself, too. If so, after it has got
 * its name, with the directory: it has no data, and in any log its name comes after
 * itself. Before, the flush would be for nobody else, with the directory locked.
 */
static bool needs_own_flush(const struct ovl *fs, mode_t type)
{
	return !ovl_flush_is_for_all(fs) && (S_ISREG(type) || S_ISDIR(type));
}

/* All that it is to have, and how it looks then. */
static int furnish(struct ovl *fs, int fd, const struct making *making,
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
                             const struct making *making,
                             const struct inheritance *acls,
                             const struct ovl_setattr *set)
{
	const struct ovl_layer *upper = &edit->fs->upper;
	const struct ovl_attr *dir = &edit->change->before;

	return S_ISREG(making->type) && !making->verifier && !acls->inherited &&
	       first_mode(edit->fs, set) == set->mode &&
	       set->gid ==
	               (dir->mode & S_ISGID ? dir->gid : upper->server_gid) &&
	       !(set->has_size && set->size) &&
	       set->set_atime == OVL_TIME_KEEP &&
	       set->set_mtime == OVL_TIME_KEEP &&
	       ovl_edit_upper_type(edit, name) == DT_UNKNOWN;
}

static struct site choose_site(struct ovl_edit *edit, const char *name,
                               const struct making *making,
                               const struct inheritance *acls,
                               const struct ovl_setattr *set,
                               char tmp[OVL_TMPNAME_SIZE])
{
	struct ovl_workdir *workdir = edit->fs->workdir;

	if (is_whole_at_once(edit, name, making, acls, set))
		return (struct site){ ovl_fd_num(edit->fd), name, true };
	ovl_workdir_name(workdir, tmp);
	return (struct site){ ovl_workdir_tmp(workdir), tmp, false };
}

/* It may be there though it could not be opened; at its place it is another's then. */
static void discard(struct ovl_edit *edit, const struct site *site, int fd,
                    const struct ovl_real *real)
{
	if (!site->is_place) {
		ovl_upper_discard(edit->fs, site->name, real);
	} else if (fd >= 0) {
		unlinkat(site->dirfd, site->name, 0);
		ovl_edit_keep_times(edit);
	}
}

/*
 * Make it, and tell how it looks, and at which `site`: at its place if that can be,
 * else under a name in the work directory, which goes to `tmp`. A descriptor of it,
 * as make_object gives it, or -errno.
 */
static int prepare(struct ovl_edit *edit, const struct ovl_caller *caller,
                   const char *name, const struct making *making,
                   char tmp[OVL_TMPNAME_SIZE], struct site *site,
                   struct ovl_real *real)
{
	struct ovl_setattr set = *making->set;
	struct ovl *fs = edit->fs;
	struct inheritance acls;
	int fd = -1, err;

	*real = (struct ovl_real){ 0 };
	ovl_perm_create(caller, &edit->change->before, S_ISDIR(making->type),
	                making->set, &set.uid, &set.gid, &set.mode);
	if (making->verifier)
		set.mode = 0;
	err = inherit(edit, making->type, &set.mode, &acls);
	if (!err) {
		*site = choose_site(edit, name, making, &acls, &set, tmp);
		fd = make_object(fs, site, making, first_mode(fs, &set));
		err = fd < 0 ? fd : furnish(fs, fd, making, &acls, &set, real);
		if (err)
			discard(edit, site, fd, real);
	}
	inheritance_release(&acls);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

/* ---- in place --------------------------------------------------------------------- */

static struct ovl_node *add_node(struct ovl_edit *edit, const char *name,
                                 const struct ovl_real *real)
{
	struct ovl_layer *upper = &edit->fs->upper;
	struct ovl_part part = { .layer = upper,
		                 .ino = real->ino,
		                 .generation = real->generation };
	struct ovl_node_spec spec = {
		.id = { ovl_fileid(OVL_LAYER_UPPER, real->ino),
		        real->generation },
		.layer = upper,
		.real = real,
		.parent = edit->dir,
		.name = name,
		.seen = ovl_node_shapes(edit->dir, NULL),
		.parts = &part,
		.nparts = S_ISDIR(real->attr.mode) ? 1 : 0,
		.empty = S_ISDIR(real->attr.mode),
	};

	return ovl_tree_add(&edit->fs->tree, &spec);
}

static int put_in_place(struct ovl_edit *edit, const char *name,
                        const struct making *making, const char *tmp, int fd,
                        struct ovl_real *real)
{
	int err = ovl_edit_place(edit, tmp, name, S_ISDIR(making->type));

	if (err)
		ovl_upper_discard(edit->fs, tmp, real);
	else
		ovl_upper_look_placed(edit->fs, fd, real);
	return err;
}

/* Who writes to a new file next, or makes something in a new directory, has it open. */
static int keep_open(struct ovl_edit *edit, const struct making *making,
                     struct ovl_node *node, int fd)
{
	struct ovl_fdcache *fds = edit->fs->tree.fds;
	struct ovl_fdslot *slot =
		node->dir ? &node->dir->parts[0].fd : &node->fd;
	struct ovl_fd *kept;

	if (!S_ISREG(making->type) && !S_ISDIR(making->type)) {
		close(fd);
		return 0;
	}
	/* The directory is locked: no other's flush is to be waited for. */
	kept = ovl_fdslot_fill(fds, slot, fd, false);
	if (!kept)
		return -ENOMEM;
	if (needs_own_flush(edit->fs, making->type))
		edit->made = kept;
	else
		ovl_fd_unref(fds, kept);
	return 0;
}

/* The directory is locked, and nothing can be seen at `name`. */
static int make_in_place(struct ovl_edit *edit, const struct ovl_caller *caller,
                         const char *name, const struct making *making,
                         struct ovl_node **node)
{
	char tmp[OVL_TMPNAME_SIZE];
	struct ovl_real real;
	struct site site = { .dirfd = -1 };
	int fd, err = 0;

	fd = prepare(edit, caller, name, making, tmp, &site, &real);
	if (fd < 0)
		return fd;
	if (!site.is_place)
		err = put_in_place(edit, name, making, tmp, fd, &real);
	if (err) {
		close(fd);
		return err;
	}
	ovl_dir_note(edit->dir, name, ovl_fileid(OVL_LAYER_UPPER, real.ino),
	             IFTODT(making->type));
	*node = add_node(edit, name, &real);
	if (!*node) {
		close(fd);
		return -ENOMEM;
	}
	return keep_open(edit, making, *node, fd);
}

static int check_add(struct ovl *fs, const struct ovl_caller *caller,
                     struct ovl_node *dir)
{
	int err = ovl_may_change(fs, caller);

	return err ? err : ovl_may_add(fs, caller, dir);
}

/* Whether the caller may see what is in `dir`, and the name can be one. */
static int check_dir(struct ovl *fs, const struct ovl_caller *caller,
                     struct ovl_node *dir, const char *name)
{
	int err = ovl_edit_may_begin(fs, caller, dir);

	if (err)
		return err;
	if (!dir->dir)
		return -ENOTDIR;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (ovl_mark_is_name(&fs->upper, name))
		return -EACCES; /* it would hide another */
	return ovl_may_access(fs, caller, dir, X_OK);
}

static bool is_device(mode_t type)
{
	return S_ISCHR(type) || S_ISBLK(type);
}

/* Devices are root's to make; one of them would be a whiteout. */
static int check_type(const struct ovl_caller *caller,
                      const struct making *making)
{
	if (!is_device(making->type))
		return 0;
	if (S_ISCHR(making->type) && making->rdev == makedev(0, 0))
		return -EPERM;
	return caller->uid != 0 ? -EPERM : 0;
}

/*
 * Make something new. -EEXIST: there is something, which `existing` gets a
 * reference to, if it is not NULL.
 */
static int make(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, const char *name,
                const struct making *making, struct ovl_node **node,
                struct ovl_node **existing, struct ovl_change *change)
{
	struct ovl_edit edit = OVL_EDIT_NONE;
	struct ovl_node *found = NULL, *fresh = NULL;
	int err;

	err = check_dir(fs, caller, dir, name);
	if (err)
		return err;
	/* What is there already says EEXIST even where nothing may be made. */
	err = ovl_find_child(fs, dir, name, caller->may_wait, &found);
	if (err == -ENOENT)
		err = check_add(fs, caller, dir);
	if (!err && !found)
		err = check_type(caller, making);
	if (!err && !found)
		err = ovl_edit_open(&edit, fs, dir, caller->may_wait, change);
	if (!err && !found)
		err = ovl_edit_lock(&edit);
	if (!err && !found) {
		err = ovl_find_child(fs, edit.dir, name, caller->may_wait,
		                     &found);
		if (err == -ENOENT)
			err = make_in_place(&edit, caller, name, making,
			                    &fresh);
	}
	if (found) {
		err = -EEXIST;
		if (existing)
			*existing = ovl_node_ref(found);
	}
	ovl_node_unref(found);
	err = ovl_edit_release(&edit, err);
	if (err)
		ovl_node_unref(fresh);
	else if (node)
		*node = fresh;
	else
		ovl_node_unref(fresh);
	return err;
}

/* ---- each kind ---------------------------------------------------------------------- */

/* An exclusive create that is sent again finds what the first one made. */
static int check_verifier(struct ovl *fs, struct ovl_node *node,
                          uint64_t verifier)
{
	uint64_t kept;
	struct ovl_self self;
	ssize_t n;
	int err;

	if (!node->tree->upper || !S_ISREG(ovl_node_type(node)))
		return -EEXIST;
	err = ovl_self_open(node, &self);
	if (err)
		return err;
	n = ovl_xattr_get(&fs->upper, self.num, OVL_XATTR_VERIFIER, &kept,
	                  sizeof(kept));
	ovl_self_close(&self);
	if (n != sizeof(kept) || kept != verifier)
		return -EEXIST;
	/* The first one may still wait for its flush, or have been killed. */
	ovl_flush_placed(node);
	return ovl_flush_place(fs, node);
}

/* An existing file serves as well, cut if that was asked for. */
static int take_existing(struct ovl *fs, const struct ovl_caller *caller,
                         struct ovl_node *node, const struct ovl_setattr *set)
{
	struct ovl_setattr cut = { .has_size = true };

	if (node->dir)
		return -EISDIR;
	if (!S_ISREG(ovl_node_type(node)) || !set->has_size || set->size != 0)
		return 0;
	return ovl_setattr(fs, caller, node, &cut, NULL, NULL);
}

int ovl_create(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name, enum ovl_how how,
               const struct ovl_setattr *set, uint64_t verifier,
               struct ovl_node **node, struct ovl_change *change)
{
	bool exclusive = how == OVL_EXCLUSIVE;
	struct making making = {
		.type = S_IFREG,
		.set = exclusive ? &set_nothing : set,
		.verifier = exclusive ? &verifier : NULL,
	};
	struct ovl_node *existing = NULL;
	struct ovl_change unasked;
	int err;

	change = ovl_change_start(change, &unasked);
	err = make(fs, caller, dir, name, &making, node, &existing, change);
	if (!existing)
		return err;
	ovl_change_none(fs, dir, caller->may_wait, change);
	if (how == OVL_UNCHECKED)
		err = take_existing(fs, caller, existing, set);
	else if (exclusive)
		err = check_verifier(fs, existing, verifier);
	if (err) {
		ovl_node_unref(existing);
		return err;
	}
	/* It may have been copied up by the cut. */
	err = ovl_find_over(fs, existing, caller->may_wait, node);
	ovl_node_unref(existing);
	return err;
}

int ovl_mkdir(struct ovl *fs, const struct ovl_caller *caller,
              struct ovl_node *dir, const char *name,
              const struct ovl_setattr *set, struct ovl_node **node,
              struct ovl_change *change)
{
	struct making making = { .type = S_IFDIR, .set = set };
	struct ovl_change unasked;

	change = ovl_change_start(change, &unasked);
	return make(fs, caller, dir, name, &making, node, NULL, change);
}

int ovl_symlink(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, const char *name, const char *target,
                const struct ovl_setattr *set, struct ovl_node **node,
                struct ovl_change *change)
{
	struct making making = {
		.type = S_IFLNK,
		.set = set,
		.target = target,
	};
	struct ovl_change unasked;

	change = ovl_change_start(change, &unasked);
	return make(fs, caller, dir, name, &making, node, NULL, change);
}

int ovl_mknod(struct ovl *fs, const struct ovl_caller *caller,
              struct ovl_node *dir, const char *name, mode_t type, dev_t rdev,
              const struct ovl_setattr *set, struct ovl_node **node,
              struct ovl_change *change)
{
	struct making making = { .type = type, .set = set };
	struct ovl_change unasked;

	change = ovl_change_start(change, &unasked);
	if (is_device(type))
		making.rdev = rdev;
	return make(fs, caller, dir, name, &making, node, NULL, change);
}

/* ---- links ------------------------------------------------------------------------------ */

int ovl_link(struct ovl *fs, const struct ovl_caller *caller,
             struct ovl_node *node, struct ovl_node *dir, const char *name,
             struct ovl_change *change)
{
	struct ovl_edit edit = OVL_EDIT_NONE;
	struct ovl_node *found = NULL, *upper = NULL;
	struct ovl_change unasked;
	int err;

	change = ovl_change_start(change, &unasked);
	if (!caller->may_wait)
		return -EAGAIN;
	err = check_dir(fs, caller, dir, name);
	if (!err)
		err = ovl_find_child(fs, dir, name, true, &found);
	if (!err)
		err = -EEXIST;
	else if (err == -ENOENT)
		err = check_add(fs, caller, dir);
	if (!err && node->dir)
		err = -EPERM;
	if (!err)
		err = ovl_copyup_to_name(fs, node, &upper);
	if (!err)
		err = ovl_metacopy_redirect(fs, upper);
	if (!err)
		err = ovl_edit_open(&edit, fs, dir, true, change);
	if (!err)
		err = ovl_edit_lock(&edit);
	if (!err) {
		err = ovl_find_child(fs, edit.dir, name, true, &found);
		if (!err)
			err = -EEXIST;
		else if (err == -ENOENT)
			err = ovl_edit_link(&edit, upper, name);
	}
	ovl_node_unref(found);
	err = ovl_edit_release(&edit, err);
	ovl_node_unref(upper);
	return err;
}
