#include "config.h"

#include "overlay/stamp.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "overlay/dir.h"

/* Two changes within this time may have one time, in ns... */
#define TICK INT64_C(20000000)
/* ...and on filesystems that keep whole seconds, in this. */
#define LONG_TICK INT64_C(2000000000)

/* Reading a name in takes about 1 us: a hundred times that, in ns. */
#define READ_AGAIN UINT64_C(100000)

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_stamp(const struct ovl_stamp *a, const struct ovl_stamp *b)
{
	return same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

/* None has been taken: it is a directory of our own making. */
static bool is_unset(const struct ovl_stamp *stamp)
{
	return same_stamp(stamp, &(struct ovl_stamp){ 0 });
}

/* Who has looked before is to look again. */
static void reshape(struct ovl_node *dir)
{
	atomic_fetch_add(&dir->dir->shape, 1);
	ovl_tree_count_change(dir->tree);
}

/* Others have changed something. */
static void count_change(struct ovl_node *dir)
{
	reshape(dir);
	/* A row, or the lack of one, may have been true only before. */
	ovl_map_doubt(dir->tree->map);
}

static int look(int fd, struct ovl_stamp *stamp)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*stamp = (struct ovl_stamp){ st.st_mtim, st.st_ctim };
	return 0;
}

/* Whether another change, after `now`, could leave the same stamp. */
static bool is_young(const struct ovl_stamp *stamp, const struct timespec *now)
{
	int64_t age = (int64_t)(now->tv_sec - stamp->ctime.tv_sec);

	/* Another server's clock may go before. Where ours was put back, a
	 * change would have another time for sure. */
	if (age > 10 || age < -10)
		return false;
	age = age * 1000000000 + now->tv_nsec - stamp->ctime.tv_nsec;
	return age < (stamp->ctime.tv_nsec ? TICK : LONG_TICK);
}

int ovl_stamp_take(struct ovl_node *dir, unsigned part, int fd)
{
	struct ovl_stamp stamp, *kept = &dir->dir->parts[part].stamp;
	struct timespec now;
	bool changed;
	int err;

	clock_gettime(CLOCK_REALTIME, &now);
	err = look(fd, &stamp);
	if (err)
		return err;
	ovl_node_lock(dir);
	if (part == 0)
		dir->dir->young = false;
	if (is_young(&stamp, &now))
		dir->dir->young = true;
	changed = !is_unset(kept) && !same_stamp(kept, &stamp);
	*kept = stamp;
	ovl_node_unlock(dir);
	if (changed)
		count_change(dir);
	return 0;
}

void ovl_stamp_names(struct ovl_node *dir)
{
	dir->dir->edited = false;
	dir->dir->loaded = ovl_now();
}

void ovl_stamp_own(struct ovl_node *dir, const struct ovl_attr *attr)
{
	dir->dir->parts[0].stamp =
		(struct ovl_stamp){ attr->mtime, attr->ctime };
	dir->dir->edited = true;
}

/* What cannot be looked at any more has changed. */
static struct ovl_stamp look_at_part(struct ovl_node *dir, unsigned part)
{
	struct ovl_stamp stamp = { 0 };
	struct ovl_fd *fd;

	if (!ovl_dir_fd(dir, part, true, &fd)) {
		if (look(ovl_fd_num(fd), &stamp))
			stamp = (struct ovl_stamp){ 0 };
		ovl_fd_unref(dir->tree->fds, fd);
	}
	return stamp;
}

static bool is_other(struct ovl_node *dir, unsigned part,
                     const struct ovl_stamp *now)
{
	struct ovl_stamp *kept = &dir->dir->parts[part].stamp;
	bool other;

	ovl_node_lock(dir);
	other = !is_unset(kept) && !same_stamp(kept, now);
	if (is_unset(kept))
		*kept = *now;
	ovl_node_unlock(dir);
	return other;
}

static bool has_changed(struct ovl_node *dir, const struct ovl_attr *top)
{
	struct ovl_stamp now;

	for (unsigned i = 0; i < dir->dir->nparts; i++) {
		if (i == 0 && top)
			now = (struct ovl_stamp){ top->mtime, top->ctime };
		else
			now = look_at_part(dir, i);
		if (is_other(dir, i, &now))
			return true;
	}
	return false;
}

static bool is_doubtful(struct ovl_node *dir)
{
	const struct ovl_dir *d = dir->dir;
	bool doubtful;

	ovl_node_lock(dir);
	/* Our own changes make it young over and over: it is not to be read
	 * again for each of them. */
	doubtful = d->names &&
	           (d->edited ? ovl_now() - d->loaded >
	                                ovl_names_count(d->names) * READ_AGAIN
	                      : d->young);
	ovl_node_unlock(dir);
	return doubtful;
}

/* From here on, what is there now counts as known: nobody knows any names. */
static void forget(struct ovl_node *dir)
{
	struct ovl_fd *fd;

	ovl_node_lock(dir);
	if (dir->tree->upper)
		ovl_node_doubt_names(dir);
	else
		ovl_node_set_names(dir, NULL);
	ovl_node_unlock(dir);
	/* Before the parts are looked at: what changes after that look is to be
	 * seen by the next one. */
	reshape(dir);
	for (unsigned i = 0; i < dir->dir->nparts; i++) {
		if (ovl_dir_fd(dir, i, true, &fd))
			continue;
		ovl_stamp_take(dir, i, ovl_fd_num(fd));
		ovl_fd_unref(dir->tree->fds, fd);
	}
}

static bool may_have_changed(struct ovl_node *dir, const struct ovl_attr *top)
{
	return is_doubtful(dir) || has_changed(dir, top);
}

void ovl_stamp_check(struct ovl_node *dir, const struct ovl_attr *top,
                     bool held)
{
	if (!may_have_changed(dir, top))
		return;
	if (held) {
		forget(dir);
		return;
	}
	if (pthread_mutex_trylock(&dir->dir->change))
		return;
	/* What `top` tells may be from before a change of our own. */
	if (may_have_changed(dir, NULL))
		forget(dir);
	pthread_mutex_unlock(&dir->dir->change);
}
