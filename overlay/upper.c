#include "config.h"

#include "overlay/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/gather.h"
#include "overlay/links.h"
#include "overlay/marks.h"
#include "overlay/refresh.h"
#include "overlay/xattr.h"

uint32_t ovl_upper_links_below(struct ovl_node *lower)
{
	uint32_t nlink;

	ovl_node_lock(lower);
	nlink = lower->attr.nlink;
	ovl_node_unlock(lower);
	return nlink - 2;
}

void ovl_upper_discard(struct ovl *fs, const char *tmp,
                       const struct ovl_real *real)
{
	ovl_workdir_discard(fs->workdir, tmp);
	ovl_standin_remove(fs->standins, real->ino, real->generation);
}

void ovl_upper_look_placed(struct ovl *fs, int fd, struct ovl_real *real)
{
	struct ovl_real now;

	if (!ovl_layer_look_again(&fs->upper, fd, real->generation, &now))
		*real = now;
}

/* Born where the directory below it was, with which it merges. */
static void merge(struct ovl_node_spec *spec, struct ovl_node *lower)
{
	spec->id = lower->id;
	spec->lower = lower;
	spec->extra_links = ovl_upper_links_below(lower);
}

int ovl_upper_add_root(struct ovl *fs)
{
	struct ovl_part part = {
		.layer = &fs->upper,
		.ino = fs->upper.root_ino,
	};
	struct ovl_node_spec spec = {
		.layer = &fs->upper,
		.parts = &part,
		.nparts = 1,
	};
	struct ovl_real real;
	int err;

	err = ovl_layer_look(&fs->upper, fs->upper.root, "", &real);
	if (err)
		return err;
	spec.real = &real;
	spec.id.fileid = ovl_fileid(OVL_LAYER_UPPER, real.ino);
	spec.id.generation = real.generation;
	part.stamp = (struct ovl_stamp){ real.attr.mtime, real.attr.ctime };
	err = ovl_mark_in(&fs->upper, fs->upper.root);
	if (err < 0)
		return err;
	if (fs->stack->tree.root && !err)
		merge(&spec, fs->stack->tree.root);
	fs->tree.root = ovl_tree_add(&fs->tree, &spec);
	return fs->tree.root ? 0 : -ENOMEM;
}

/*
 * What the upper object `name`, open as `fd`, goes on with below: where its
 * redirect (`*redirected`) leads, or what has its name there. -ENOENT: nothing.
 */
static int go_below(struct ovl *fs, struct ovl_node *dir, const char *name,
                    int fd, bool anew, bool *redirected,
                    struct ovl_node **lower)
{
	char redirect[OVL_REDIRECT_SIZE];
	int err = ovl_xattr_get_redirect(&fs->upper, fd, redirect);

	if (err < 0)
		return err;
	if (err > 0 && !fs->stack->follow_redirects)
		return -EPERM;
	*redirected = err > 0;
	if (*redirected) {
		name = redirect;
	} else {
		err = ovl_dir_hides(dir, 0, name);
		if (err)
			return err < 0 ? err : -ENOENT;
	}
	err = ovl_stack_follow(fs->stack, ovl_node_lower(dir), name, anew,
	                       lower);
	return err == -ENOTDIR ? -ENOENT : err;
}

/*
 * The stack's directory that the upper directory `name`, open as `fd`, merges
 * with: a reference in `*lower`, or NULL, and whether there may be one some day
 * where a redirect leads.
 */
static int find_lower(struct ovl *fs, struct ovl_node *dir, const char *name,
                      int fd, bool anew, bool *open_ended,
                      struct ovl_node **lower)
{
	struct ovl_node *found;
	int err;

	*lower = NULL;
	*open_ended = false;
	if (!fs->stack->tree.root)
		return 0;
	err = ovl_mark_is_opaque(&fs->upper, fd);
	if (err)
		return err < 0 ? err : 0;
	err = go_below(fs, dir, name, fd, anew, open_ended, &found);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (found->dir) {
		*lower = found;
		*open_ended = false;
	} else {
		ovl_node_unref(found);
	}
	return 0;
}

/*
 * The data of a metacopy: the stack's file that has it, a reference in `*lower`,
 * or a place in a layer of data alone.
 */
static int find_data(struct ovl *fs, struct ovl_node *dir, const char *name,
                     int fd, struct ovl_node **lower,
                     struct ovl_gathered *gathered)
{
	struct ovl_node *found;
	bool redirected;
	int err;

	if (!fs->metacopy)
		return -EPERM;
	err = go_below(fs, dir, name, fd, false, &redirected, &found);
	if (err == -ENOENT)
		return ovl_gather_data(fs->stack, &fs->upper, fd, gathered);
	if (err)
		return err;
	if (!S_ISREG(ovl_node_type(found))) {
		ovl_node_unref(found);
		return -EIO;
	}
	*lower = found;
	return 0;
}

/* Where it was born. `lower` is referenced where it merges. */
static int identify(struct ovl *fs, struct ovl_node *dir, const char *name,
                    int fd, struct ovl_node_spec *spec, struct ovl_node **lower)
{
	int err;

	if (S_ISDIR(spec->real->attr.mode)) {
		err = find_lower(fs, dir, name, fd, false, &spec->open_ended,
		                 lower);
		if (err)
			return err;
		if (*lower) {
			merge(spec, *lower);
			return 0;
		}
	}
	err = ovl_xattr_get_origin(&fs->upper, fd, spec->real, &spec->id);
	if (err != -ENODATA)
		return err;
	spec->id.fileid = ovl_fileid(OVL_LAYER_UPPER, spec->real->ino);
	spec->id.generation = spec->real->generation;
	return 0;
}

/* Where the data of the file open as `fd` is, if it is a metacopy. */
static int add_data(struct ovl *fs, int fd, struct ovl_node_spec *spec,
                    struct ovl_node **lower, struct ovl_gathered *gathered)
{
	int err;

	if (!fs->stack->tree.root)
		return 0;
	err = ovl_xattr_is_metacopy(&fs->upper, fd);
	if (err <= 0)
		return err;
	err = find_data(fs, spec->parent, spec->name, fd, lower, gathered);
	if (err)
		return err;
	spec->metacopy = true;
	spec->lower = *lower;
	spec->data = *lower ? NULL : gathered->parts;
	spec->data_used = *lower ? ovl_node_used(*lower) : gathered->used;
	return 0;
}

static int open_child(struct ovl *fs, struct ovl_node *dir, const char *name)
{
	struct ovl_fd *above;
	int fd;

	fd = ovl_dir_fd(dir, 0, true, &above);
	if (fd)
		return fd;
	fd = ovl_layer_open(&fs->upper, ovl_fd_num(above), name, O_PATH, false);
	if (fd == -EXDEV) {
		/* Another mount; or it was moved away while it was opened. */
		pthread_mutex_lock(&fs->tree.moving);
		fd = ovl_layer_open(&fs->upper, ovl_fd_num(above), name, O_PATH,
		                    false);
		pthread_mutex_unlock(&fs->tree.moving);
	}
	ovl_fd_unref(fs->tree.fds, above);
	return fd;
}

int ovl_upper_load_indexed(struct ovl *fs, struct ovl_node *lower,
                           struct ovl_node **node)
{
	char name[OVL_INDEX_NAME_SIZE];
	struct ovl_real real;
	struct ovl_node_spec spec = {
		.id = lower->id,
		.layer = &fs->upper,
		.real = &real,
		.parent = fs->tree.root,
		.name = name,
		.indexed = true,
	};
	int index = ovl_index_dir(fs->tree.index), err;

	if (!ovl_index_has(fs->tree.index, lower->id))
		return -ENOENT;
	ovl_index_name(lower->id, name);
	err = ovl_links_look(&fs->upper, index, name, &real);
	if (!err && S_ISREG(real.attr.mode))
		err = ovl_xattr_is_metacopy_at(&fs->upper, index, name);
	if (err < 0)
		return err;
	if (err > 0) {
		spec.metacopy = true;
		spec.lower = lower;
		spec.data_used = ovl_node_used(lower);
	}
	*node = ovl_tree_add(&fs->tree, &spec);
	return *node ? 0 : -ENOMEM;
}

/*
 * Add what has been looked at, unless something has moved since `moves`: it would
 * be known by a place that it has left, and once more when it is found where it
 * is; then each would know its names on its own. -ERESTART.
 */
static int add_unmoved(struct ovl *fs, unsigned moves,
                       struct ovl_node_spec *spec, struct ovl_node **node)
{
	int err = -ERESTART;

	pthread_mutex_lock(&fs->tree.moving);
	if (atomic_load(&fs->tree.moves) == moves)
		err = ovl_tree_add_unique(&fs->tree, spec, node);
	pthread_mutex_unlock(&fs->tree.moving);
	return err;
}

/* `still`: nothing can move, since `moving` is held. Else -ERESTART. */
static int load(struct ovl *fs, struct ovl_node *dir, const char *name,
                bool still, struct ovl_node **node)
{
	unsigned moves = atomic_load(&fs->tree.moves);
	struct ovl_part part = { .layer = &fs->upper };
	struct ovl_node_spec spec = {
		.layer = &fs->upper,
		.parent = dir,
		.name = name,
		.seen = ovl_node_shapes(dir, NULL),
	};
	struct ovl_gathered gathered = { 0 };
	struct ovl_node *lower = NULL;
	struct ovl_real real;
	int fd, err;

	fd = open_child(fs, dir, name);
	if (fd < 0)
		return fd == -EXDEV ? -EACCES : fd; /* another mount */
	err = ovl_layer_look(&fs->upper, fd, "", &real);
	if (!err && real.whiteout)
		err = -ENOENT;
	if (err)
		goto out;
	spec.real = &real;
	err = identify(fs, dir, name, fd, &spec, &lower);
	if (!err && S_ISREG(real.attr.mode))
		err = add_data(fs, fd, &spec, &lower, &gathered);
	if (err)
		goto out;
	if (S_ISDIR(real.attr.mode)) {
		part.ino = real.ino;
		part.generation = real.generation;
		part.stamp =
			(struct ovl_stamp){ real.attr.mtime, real.attr.ctime };
		spec.parts = &part;
		spec.nparts = 1;
	}
	spec.indexed = !S_ISDIR(real.attr.mode) &&
	               ovl_index_has(fs->tree.index, spec.id);
	if (spec.indexed)
		err = ovl_links_look(&fs->upper, fd, "", &real);
	if (!err)
		err = still ? ovl_tree_add_unique(&fs->tree, &spec, node)
		            : add_unmoved(fs, moves, &spec, node);
out:
	ovl_gathered_release(&gathered);
	ovl_node_unref(lower);
	close(fd);
	return err;
}

int ovl_upper_load(struct ovl *fs, struct ovl_node *dir, const char *name,
                   struct ovl_node **node)
{
	int err = load(fs, dir, name, false, node);

	if (err != -ERESTART)
		return err;
	pthread_mutex_lock(&fs->tree.moving);
	err = load(fs, dir, name, true, node);
	pthread_mutex_unlock(&fs->tree.moving);
	return err;
}

int ovl_upper_identify(struct ovl *fs, struct ovl_node *dir, const char *name,
                       uint64_t *fileid)
{
	struct ovl_fd *above;
	struct stat st;
	int err = ovl_dir_fd(dir, 0, true, &above);

	if (err)
		return err;
	err = ovl_xattr_has_origin_at(&fs->upper, ovl_fd_num(above), name);
	if (err > 0)
		err = -EXDEV;
	if (!err && fstatat(ovl_fd_num(above), name, &st,
	                    AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		err = -errno;
	ovl_fd_unref(fs->tree.fds, above);
	if (!err && (!S_ISREG(st.st_mode) || st.st_ino >> OVL_INO_BITS))
		err = -EXDEV;
	if (!err)
		*fileid = ovl_fileid(OVL_LAYER_UPPER, st.st_ino);
	return err;
}

/* ---- the same as before ------------------------------------------------------ */

static int is_same_dir(struct ovl *fs, struct ovl_node *dir, const char *name,
                       int fd, struct ovl_node *node)
{
	struct ovl_node *lower;
	struct ovl_real real;
	bool open_ended;
	int err;

	err = ovl_layer_look(&fs->upper, fd, "", &real);
	if (err)
		return err;
	if (!ovl_node_is_of(node, &real))
		return 0;
	err = find_lower(fs, dir, name, fd, true, &open_ended, &lower);
	if (err)
		return err;
	ovl_node_unref(lower);
	return lower == ovl_node_lower(node);
}

int ovl_upper_is_same(struct ovl *fs, struct ovl_node *dir, const char *name,
                      struct ovl_node *node)
{
	int fd, err;

	/* A file may have other names: it is looked for by all of them. */
	if (!node->dir) {
		err = ovl_node_reread(node, false, NULL);
		return err == -ESTALE ? 0 : err ? err : 1;
	}
	fd = open_child(fs, dir, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = is_same_dir(fs, dir, name, fd, node);
	close(fd);
	return err;
}
