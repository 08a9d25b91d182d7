/*
 * Making new objects: files, directories, symlinks, devices, sockets, FIFOs, and
 * further links. Each is made whole (making.h), and is then, in one step, in its
 * place.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "overlay/copyup.h"
#include "overlay/dir.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/making.h"
#include "overlay/marks.h"
#include "overlay/may.h"
#include "overlay/metacopy.h"
#include "overlay/upper.h"
#include "overlay/xattr.h"

static const struct ovl_setattr set_nothing;

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
                        struct ovl_made *made)
{
	int err = ovl_edit_place(edit, made->tmp, name,
	                         S_ISDIR(made->real.attr.mode));

	if (err)
		ovl_upper_discard(edit->fs, made->tmp, &made->real);
	else
		ovl_upper_look_placed(edit->fs, made->fd, &made->real);
	return err;
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

/* Who writes to a new file next, or makes something in a new directory, has it open. */
static int keep_open(struct ovl_edit *edit, const struct ovl_making *making,
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
                         const char *name, const struct ovl_making *making,
                         struct ovl_node **node)
{
	struct ovl_made made;
	int err = ovl_make(edit, caller, name, making, &made);

	if (err)
		return err;
	if (!made.in_place)
		err = put_in_place(edit, name, &made);
	if (err) {
		close(made.fd);
		return err;
	}
	ovl_dir_note(edit->dir, name,
	             ovl_fileid(OVL_LAYER_UPPER, made.real.ino),
	             IFTODT(making->type));
	*node = add_node(edit, name, &made.real);
	if (!*node) {
		close(made.fd);
		return -ENOMEM;
	}
	return keep_open(edit, making, *node, made.fd);
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
                      const struct ovl_making *making)
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
                const struct ovl_making *making, struct ovl_node **node,
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
	struct ovl_making making = {
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
	struct ovl_making making = { .type = S_IFDIR, .set = set };
	struct ovl_change unasked;

	change = ovl_change_start(change, &unasked);
	return make(fs, caller, dir, name, &making, node, NULL, change);
}

int ovl_symlink(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, const char *name, const char *target,
                const struct ovl_setattr *set, struct ovl_node **node,
                struct ovl_change *change)
{
	struct ovl_making making = {
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
	struct ovl_making making = { .type = type, .set = set };
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
	/* The file is known by its handle. */
	if (err == -ENOENT)
		err = -ESTALE;
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
