/*
 * Attributes of objects: telling them, and setting them.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/attrs.h"
#include "overlay/copyup.h"
#include "overlay/dir.h"
#include "overlay/edit.h"
#include "overlay/fdcall.h"
#include "overlay/file.h"
#include "overlay/find.h"
#include "overlay/flush.h"
#include "overlay/may.h"
#include "overlay/metacopy.h"
#include "overlay/override.h"
#include "overlay/refresh.h"

int ovl_getattr(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, struct ovl_attr *attr)
{
	struct ovl_node *upper = ovl_find_upper(fs, node);
	int err = ovl_node_attr(upper ? upper : node, fs->cache,
	                        caller->may_wait, attr);

	ovl_node_unref(upper);
	return err;
}

/* What is written to a device, a FIFO or a socket goes to no layer. */
static bool writing_changes_it(const struct ovl_node *node)
{
	mode_t type = ovl_node_type(node);

	return S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type);
}

int ovl_access(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *node, int want, int *granted)
{
	struct ovl_node *upper = ovl_find_upper(fs, node);
	int err =
		ovl_may_which(fs, caller, upper ? upper : node, want, granted);

	if (!err && writing_changes_it(node) && ovl_may_change(fs, caller))
		*granted &= ~(W_OK | OVL_DELETE_OK);
	ovl_node_unref(upper);
	return err;
}

/* ---- setting ---------------------------------------------------------------- */

static struct timespec time_to_set(enum ovl_settime how,
                                   const struct timespec *given)
{
	struct timespec time = *given;

	if (how == OVL_TIME_NOW)
		time.tv_nsec = UTIME_NOW;
	else if (how == OVL_TIME_KEEP)
		time.tv_nsec = UTIME_OMIT;
	return time;
}

static int set_on_disk(int fd, const struct ovl_setattr *set)
{
	if ((set->has_uid || set->has_gid) &&
	    fchownat(fd, "", set->has_uid ? set->uid : (uid_t)-1,
	             set->has_gid ? set->gid : (gid_t)-1, AT_EMPTY_PATH))
		return -errno;
	/* After the owner, whose change takes setuid and setgid away. */
	return set->has_mode ? ovl_fd_chmod(fd, set->mode & 07777) : 0;
}

/* What is not set stays, whatever others set meanwhile. */
static int set_in_override(struct ovl *fs, int fd,
                           const struct ovl_setattr *set)
{
	pthread_mutex_t *lock;
	struct ovl_real real;
	int err;

	err = ovl_layer_look_on_disk(&fs->upper, fd, "", &real);
	if (err)
		return err;
	lock = &fs->overriding[real.ino % OVL_OVERRIDE_LOCKS];
	pthread_mutex_lock(lock);
	err = ovl_override_show(&fs->upper, fd, &real);
	if (set->has_uid)
		real.attr.uid = set->uid;
	if (set->has_gid)
		real.attr.gid = set->gid;
	if (set->has_mode)
		real.attr.mode =
			(real.attr.mode & S_IFMT) | (set->mode & 07777);
	if (!err)
		err = ovl_override_set(&fs->upper, fd, &real.attr);
	pthread_mutex_unlock(lock);
	return err;
}

int ovl_attrs_apply(struct ovl *fs, int fd, const struct ovl_setattr *set)
{
	struct timespec times[2] = {
		time_to_set(set->set_atime, &set->atime),
		time_to_set(set->set_mtime, &set->mtime),
	};
	int err = 0;

	if (!fs->upper.userxattr)
		err = set_on_disk(fd, set);
	else if (set->has_uid || set->has_gid || set->has_mode)
		err = set_in_override(fs, fd, set);
	if (err)
		return err;
	if (set->set_atime == OVL_TIME_KEEP && set->set_mtime == OVL_TIME_KEEP)
		return 0;
	return ovl_fd_utimens(fd, times);
}

/* A file, with what else there is to be flushed of it. */
static int flush_file(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_fd *fd;
	int err;

	err = ovl_file_fd(node, true, &fd);
	if (err)
		return err;
	ovl_flush_owed(fs, fd); /* only now: a flush before would not count */
	err = ovl_flush_file(fs, fd, true);
	ovl_fd_unref(fs->tree.fds, fd);
	return err;
}

/*
 * Attributes of what cannot be opened reach the disk with the directory's; where
 * they are in an override, what has that is flushed.
 */
static int flush_other(struct ovl *fs, struct ovl_node *node)
{
	struct ovl_node *in =
		node->dir ? ovl_node_ref(node) : ovl_node_parent(node);
	struct ovl_self self;
	struct ovl_fd *fd;
	int err, num;

	err = in ? ovl_dir_fd(in, 0, true, &fd) : -ESTALE;
	if (!err) {
		num = ovl_fd_num(fd);
		err = ovl_flush_changes(fs, &num, 1);
		ovl_fd_unref(fs->tree.fds, fd);
	}
	ovl_node_unref(in);
	if (err || node->dir)
		return err;
	err = ovl_self_open(node, &self);
	if (err)
		return err;
	err = ovl_flush_marks(fs, self.num);
	ovl_self_close(&self);
	return err;
}

/* A file's data are not meant: whoever wants those to be stable will say so. */
static int flush_attrs(struct ovl *fs, struct ovl_node *node)
{
	if (ovl_flush_is_for_all(fs))
		return ovl_flush_changes(fs, NULL, 0);
	return S_ISREG(ovl_node_type(node)) ? flush_file(fs, node)
	                                    : flush_other(fs, node);
}

static bool sets_more_than_size(const struct ovl_setattr *set)
{
	return set->has_mode || set->has_uid || set->has_gid ||
	       set->set_atime != OVL_TIME_KEEP ||
	       set->set_mtime != OVL_TIME_KEEP;
}

static int set_all(struct ovl *fs, int fd, const struct ovl_setattr *set)
{
	if (set->has_size && ftruncate(fd, set->size))
		return -errno;
	return sets_more_than_size(set) ? ovl_attrs_apply(fs, fd, set) : 0;
}

/* Its names are changed by others, who hold this as well. */
static int set_dir(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *dir, int fd, const struct ovl_setattr *set,
                   struct ovl_change *change)
{
	int err;

	if (caller->may_wait)
		pthread_mutex_lock(&dir->dir->change);
	else if (!ovl_dir_lock_soon(dir))
		return -EAGAIN;
	err = dir->dir->dead
	              ? -ESTALE
	              : ovl_dir_before_change(dir, fs->cache, &change->before);
	change->has_before = !err;
	if (!err)
		err = set_all(fs, fd, set);
	change->has_after = !ovl_node_reread_fd(dir, fd, true, &change->after);
	pthread_mutex_unlock(&dir->dir->change);
	return err;
}

static int set_other(struct ovl *fs, struct ovl_node *node, int fd,
                     const struct ovl_setattr *set, struct ovl_change *change)
{
	unsigned begun;
	int err;

	err = ovl_node_before_change(node, fd, fs->cache, &begun, change);
	/* Before, and after: its data may begin to come in between, or end. */
	ovl_metacopy_set_times(node, set);
	if (!err)
		err = set_all(fs, fd, set);
	if (!err)
		ovl_metacopy_set_times(node, set);
	ovl_node_after_change(node, fd, begun, change);
	return err;
}

/* What is to be cut has to be open for writing. */
static int open_to_set(struct ovl_node *node, const struct ovl_setattr *set,
                       struct ovl_self *self)
{
	int err;

	if (!set->has_size)
		return ovl_self_open(node, self);
	err = ovl_file_fd(node, true, &self->fd);
	if (err)
		return err;
	self->fds = node->tree->fds;
	self->num = ovl_fd_num(self->fd);
	return 0;
}

/*
 * How it was just before is asked for here, once more: a copy-up may have taken
 * minutes. And how it is then, before the flush, which may as well.
 */
static int set_upper(struct ovl *fs, const struct ovl_caller *caller,
                     struct ovl_node *node, const struct ovl_setattr *set,
                     struct ovl_change *change)
{
	struct ovl_self self;
	int err;

	err = open_to_set(node, set, &self);
	if (err)
		return err;
	err = node->dir ? set_dir(fs, caller, node, self.num, set, change)
	                : set_other(fs, node, self.num, set, change);
	ovl_self_close(&self);
	if (!err && (set->has_size || sets_more_than_size(set)))
		err = flush_attrs(fs, node);
	return err;
}

/*
 * How a copy is that was made with what is to be set. Its `before` is how the original
 * is; unless the copy has been changed since it is there, which shows in its count.
 */
static int tell_copy(struct ovl *fs, struct ovl_node *node,
                     struct ovl_change *change)
{
	const unsigned begun = ovl_node_change_begin(node);

	change->has_after =
		!ovl_node_attr(node, OVL_CACHE_ALWAYS, true, &change->after);
	if (!ovl_node_change_end(node, begun) || begun != 0)
		change->has_before = false;
	return flush_attrs(fs, node);
}

/* Whether it is the mode of a file that is set, and nothing else. */
static bool sets_file_mode(const struct ovl_node *node,
                           const struct ovl_setattr *set)
{
	return S_ISREG(ovl_node_type(node)) && set->has_mode && !set->has_uid &&
	       !set->has_gid && !set->has_size &&
	       set->set_atime == OVL_TIME_KEEP &&
	       set->set_mtime == OVL_TIME_KEEP;
}

/* Of what may have to be copied up first: if so, a new mode comes with the copy. */
static int set_over(struct ovl *fs, const struct ovl_caller *caller,
                    struct ovl_node *node, const struct ovl_setattr *set,
                    struct ovl_change *change)
{
	const uint64_t size = set->has_size ? set->size : OVL_COPYUP_ATTRS;
	struct ovl_copyup_mode mode = { .mode = set->mode & 07777 };
	struct ovl_node *upper;
	int err;

	err = ovl_copyup_for(fs, caller, node, size,
	                     sets_file_mode(node, set) ? &mode : NULL, &upper);
	if (err)
		return err;
	err = mode.is_set ? tell_copy(fs, upper, change)
	                  : set_upper(fs, caller, upper, set, change);
	ovl_node_unref(upper);
	return err;
}

static int check_size(const struct ovl_node *node,
                      const struct ovl_setattr *set)
{
	if (!set->has_size || S_ISREG(ovl_node_type(node)))
		return set->has_size && set->size > INT64_MAX ? -EFBIG : 0;
	return S_ISDIR(ovl_node_type(node)) ? -EISDIR : -EINVAL;
}

static bool is_guarded(const struct timespec *guard,
                       const struct ovl_attr *attr)
{
	return guard && (guard->tv_sec != attr->ctime.tv_sec ||
	                 guard->tv_nsec != attr->ctime.tv_nsec);
}

/* What is cut off takes its time to be given back, on any filesystem. */
static bool is_quick(const struct ovl *fs, const struct ovl_node *node,
                     const struct ovl_setattr *set)
{
	return !set->has_size && ovl_flush_never_waits(fs) &&
	       (node->tree->upper || fs->tree.in_memory);
}

/* Those of an upper file change with each write, which others may make beside us
 * unless they are trusted not to; a lower one has none. */
static int look_before(struct ovl *fs, struct ovl_node *node,
                       struct ovl_attr *attr)
{
	return node->tree->upper && fs->cache != OVL_CACHE_ALWAYS
	               ? ovl_node_reread(node, false, attr)
	               : ovl_node_attr(node, fs->cache, true, attr);
}

int ovl_setattr(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, const struct ovl_setattr *set,
                const struct timespec *guard, struct ovl_change *change)
{
	struct ovl_setattr wanted = *set;
	struct ovl_change unasked;
	int err;

	change = ovl_change_start(change, &unasked);
	if (!caller->may_wait && !is_quick(fs, node, set))
		return -EAGAIN;
	err = look_before(fs, node, &change->before);
	change->has_before = !err;
	if (!err)
		err = check_size(node, set);
	if (!err && is_guarded(guard, &change->before))
		err = -EBADE;
	if (!err)
		err = ovl_may_change(fs, caller);
	if (!err)
		err = ovl_may_setattr(fs, caller, node, &change->before,
		                      &wanted);
	return err ? err : set_over(fs, caller, node, &wanted, change);
}
