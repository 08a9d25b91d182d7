#include "config.h"

#include "overlay/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/beneath.h"
#include "overlay/rmtree.h"

struct ovl_workdir {
	int dir;                    /* WORK/veneer */
	int lock;                   /* WORK/veneer/lock */
	int tmp;                    /* WORK/veneer/tmp */
	atomic_uint_fast64_t names; /* given out */
};

/* ---- opening ------------------------------------------------------------ */

/*
 * Whether a rename from one directory to the other can work: it needs the same
 * filesystem, and the same mount of it.
 */
static int check_same_mount(int upper, int work)
{
	struct statx a, b;

	if (statx(upper, "", AT_EMPTY_PATH, STATX_MNT_ID, &a) < 0 ||
	    statx(work, "", AT_EMPTY_PATH, STATX_MNT_ID, &b) < 0)
		return -errno;
	if (a.stx_dev_major != b.stx_dev_major ||
	    a.stx_dev_minor != b.stx_dev_minor)
		return -EXDEV;
	if ((a.stx_mask & b.stx_mask & STATX_MNT_ID) &&
	    a.stx_mnt_id != b.stx_mnt_id)
		return -EXDEV;
	return 0;
}

/* Open the directory `name`, which is made where it is missing. */
static int make_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return ovl_open_beneath(at, name, O_RDONLY | O_DIRECTORY, 0, false);
}

static int take_lock(int dir)
{
	int fd = ovl_open_beneath(dir, "lock", O_RDWR | O_CREAT, 0600, false);
	int err;

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return err;
	}
	return fd;
}

/*
 * What is made in tmp/ must come out as it was asked for: no default ACL and no
 * setgid, which WORK may have handed down to it, may have a say.
 */
static int hand_nothing_on(int tmp)
{
	if (fremovexattr(tmp, "system.posix_acl_default") < 0 &&
	    errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	return fchmod(tmp, 0700) < 0 ? -errno : 0;
}

static int open_below(struct ovl_workdir *workdir, int work)
{
	int err;

	workdir->dir = make_dir(work, "veneer");
	if (workdir->dir < 0)
		return workdir->dir;
	workdir->lock = take_lock(workdir->dir);
	if (workdir->lock < 0)
		return workdir->lock;
	workdir->tmp = make_dir(workdir->dir, "tmp");
	if (workdir->tmp < 0)
		return workdir->tmp;
	err = hand_nothing_on(workdir->tmp);
	return err ? err : ovl_rmtree_contents(workdir->tmp);
}

int ovl_workdir_open(const char *path, int upper, struct ovl_workdir **workdir)
{
	struct ovl_workdir *new = NULL;
	int work, err;

	work = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (work < 0)
		return -errno;
	err = check_same_mount(upper, work);
	if (err)
		goto out;
	err = -ENOMEM;
	new = malloc(sizeof(*new));
	if (!new)
		goto out;
	*new = (struct ovl_workdir){ .dir = -1, .lock = -1, .tmp = -1 };
	err = open_below(new, work);
	if (err)
		goto out;
	*workdir = new;
	new = NULL;
out:
	ovl_workdir_close(new);
	close(work);
	return err;
}

void ovl_workdir_close(struct ovl_workdir *workdir)
{
	if (!workdir)
		return;
	if (workdir->tmp >= 0)
		close(workdir->tmp);
	if (workdir->lock >= 0)
		close(workdir->lock);
	if (workdir->dir >= 0)
		close(workdir->dir);
	free(workdir);
}

int ovl_workdir_fd(const struct ovl_workdir *workdir)
{
	return workdir->dir;
}

int ovl_workdir_tmp(const struct ovl_workdir *workdir)
{
	return workdir->tmp;
}

int ovl_workdir_marker(const struct ovl_workdir *workdir)
{
	return workdir->lock;
}

/* ---- temporary objects -------------------------------------------------- */

/* tmp/ was emptied at the start, so counting is enough. */
void ovl_workdir_name(struct ovl_workdir *workdir, char name[OVL_TMPNAME_SIZE])
{
	uint64_t number = atomic_fetch_add(&workdir->names, 1);

	snprintf(name, OVL_TMPNAME_SIZE, "%" PRIx64, number);
}

int ovl_workdir_discard(const struct ovl_workdir *workdir, const char *name)
{
	return ovl_rmtree(workdir->tmp, name);
}
