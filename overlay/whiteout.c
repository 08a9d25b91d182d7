#include "config.h"

#include "overlay/whiteout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/beneath.h"
#include "overlay/flush.h"
#include "overlay/marks.h"
#include "overlay/xattr.h"

static int make_device(int dirfd, const char *name)
{
	return mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
}

int ovl_whiteout_choose(struct ovl *fs)
{
	int tmp = ovl_workdir_tmp(fs->workdir), err;
	char name[OVL_TMPNAME_SIZE];

	ovl_workdir_name(fs->workdir, name);
	err = make_device(tmp, name);
	fs->whiteouts_by_attribute = err == -EPERM;
	if (err == -EPERM) {
		ovl_log_line(
			&fs->log, LOG_NOTICE,
			"whiteouts cannot be devices here: they are made by "
			"attribute, which the kernel reads since Linux 6.7");
		return 0;
	}
	return err ? err : ovl_workdir_discard(fs->workdir, name);
}

/* ---- making them -------------------------------------------------------- */

/* In the work directory, from where it is put into place. */
static int make_by_attribute(struct ovl *fs, const char *tmpname)
{
	int tmp = ovl_workdir_tmp(fs->workdir), fd, err;

	fd = ovl_open_beneath(tmp, tmpname, O_WRONLY | O_CREAT | O_EXCL, 0600,
	                      false);
	if (fd < 0)
		return fd;
	err = ovl_xattr_set(&fs->upper, fd, OVL_XATTR_WHITEOUT, "y", 1);
	if (!err)
		err = ovl_flush_before(fs, fd);
	close(fd);
	if (err)
		unlinkat(tmp, tmpname, 0);
	return err;
}

static int make_in_tmp(struct ovl *fs, const char *tmpname)
{
	if (fs->whiteouts_by_attribute)
		return make_by_attribute(fs, tmpname);
	return make_device(ovl_workdir_tmp(fs->workdir), tmpname);
}

/* Before there is one in it: without the mark it would be an empty file. */
static int prepare_dir(struct ovl *fs, int dirfd)
{
	if (!fs->whiteouts_by_attribute)
		return 0;
	return ovl_xattr_set_whiteouts(&fs->upper, dirfd);
}

int ovl_whiteout_make(struct ovl *fs, int dirfd, const char *name)
{
	int tmp = ovl_workdir_tmp(fs->workdir), err;
	char tmpname[OVL_TMPNAME_SIZE];

	if (!fs->whiteouts_by_attribute)
		return make_device(dirfd, name);
	ovl_workdir_name(fs->workdir, tmpname);
	err = prepare_dir(fs, dirfd);
	if (!err)
		err = make_by_attribute(fs, tmpname);
	if (err)
		return err;
	if (renameat2(tmp, tmpname, dirfd, name, RENAME_NOREPLACE)) {
		err = -errno;
		unlinkat(tmp, tmpname, 0);
	}
	return err;
}

int ovl_whiteout_replace(struct ovl *fs, int dirfd, const char *name,
                         const char *tmpname)
{
	int tmp = ovl_workdir_tmp(fs->workdir), err;

	err = prepare_dir(fs, dirfd);
	if (!err)
		err = make_in_tmp(fs, tmpname);
	if (err)
		return err;
	if (renameat2(tmp, tmpname, dirfd, name, RENAME_EXCHANGE) == 0)
		return 0;
	err = -errno;
	unlinkat(tmp, tmpname, 0);
	/* A filesystem that cannot exchange may make the whiteout itself. */
	if (err == -EINVAL && !fs->whiteouts_by_attribute &&
	    renameat2(dirfd, name, tmp, tmpname, RENAME_WHITEOUT) == 0)
		err = 0;
	return err;
}

/* ---- renaming ----------------------------------------------------------- */

static int exchange(int from, const char *from_name, int to,
                    const char *to_name)
{
	return renameat2(from, from_name, to, to_name, RENAME_EXCHANGE) ? -errno
	                                                                : 0;
}

/* The whiteout is where it hides nothing; but may be seen, if `to` is opaque. */
static int exchange_with_new(struct ovl *fs, int from, const char *from_name,
                             int to, const char *to_name)
{
	int err = ovl_whiteout_make(fs, to, to_name);

	if (err)
		return err;
	err = exchange(from, from_name, to, to_name);
	if (err)
		unlinkat(to, to_name, 0);
	return err;
}

/* The mark hides, too: where it has to do so for good, it stays. */
static void put_whiteout_for_mark(struct ovl *fs, int dirfd, const char *name,
                                  const char *tmpname)
{
	int tmp = ovl_workdir_tmp(fs->workdir);

	if (renameat2(tmp, tmpname, dirfd, name, RENAME_NOREPLACE)) {
		unlinkat(tmp, tmpname, 0);
		/* Who makes something of that name expects a whiteout. */
		if (ovl_whiteout_make(fs, dirfd, name))
			return;
	}
	ovl_mark_unhide(dirfd, name);
}

/*
 * A whiteout can't be left in the step that moves. But what is below can be hidden
 * by a mark, which shows no sooner than the old name goes. -ENAMETOOLONG: not by
 * this one.
 */
static int hide_and_move(struct ovl *fs, int from, const char *from_name,
                         int to, const char *to_name)
{
	char tmpname[OVL_TMPNAME_SIZE];
	int err;

	ovl_workdir_name(fs->workdir, tmpname);
	err = make_by_attribute(fs, tmpname);
	if (err)
		return err;
	err = ovl_mark_hide(from, from_name);
	if (!err && renameat2(from, from_name, to, to_name, 0)) {
		err = -errno;
		ovl_mark_unhide(from, from_name);
	}
	if (err)
		unlinkat(ovl_workdir_tmp(fs->workdir), tmpname, 0);
	else
		put_whiteout_for_mark(fs, from, from_name, tmpname);
	return err;
}

/* In two steps: what was replaced is put away from the old name. */
static int exchange_and_replace(struct ovl *fs, int from, const char *from_name,
                                int to, const char *to_name)
{
	char tmpname[OVL_TMPNAME_SIZE];
	int err;

	ovl_workdir_name(fs->workdir, tmpname);
	err = exchange(from, from_name, to, to_name);
	if (err)
		return err;
	err = ovl_whiteout_replace(fs, from, from_name, tmpname);
	if (err)
		exchange(from, from_name, to, to_name);
	else
		ovl_workdir_discard(fs->workdir, tmpname);
	return err;
}

static int rename_by_attribute(struct ovl *fs, int from, const char *from_name,
                               int to, const char *to_name,
                               enum ovl_replaced replaced)
{
	int err = prepare_dir(fs, from);

	if (!err && replaced == OVL_WHITEOUT)
		return exchange(from, from_name, to, to_name);
	if (!err)
		err = hide_and_move(fs, from, from_name, to, to_name);
	if (err != -ENAMETOOLONG)
		return err;
	if (replaced == OVL_NOTHING)
		return exchange_with_new(fs, from, from_name, to, to_name);
	return exchange_and_replace(fs, from, from_name, to, to_name);
}

int ovl_whiteout_rename(struct ovl *fs, int from, const char *from_name, int to,
                        const char *to_name, enum ovl_replaced replaced)
{
	unsigned flags = RENAME_WHITEOUT;

	if (fs->whiteouts_by_attribute)
		return rename_by_attribute(fs, from, from_name, to, to_name,
		                           replaced);
	/* A directory cannot replace it: they change places. */
	if (replaced == OVL_WHITEOUT)
		flags = RENAME_EXCHANGE;
	return renameat2(from, from_name, to, to_name, flags) ? -errno : 0;
}

/* A mark hides what the whiteout did, which might be seen at the old name. */
static int mark_and_replace(struct ovl *fs, int from, const char *from_name,
                            int to, const char *to_name)
{
	int tmp = ovl_workdir_tmp(fs->workdir), err;
	char tmpname[OVL_TMPNAME_SIZE];

	err = ovl_mark_hide(to, to_name);
	if (err)
		return err;
	ovl_workdir_name(fs->workdir, tmpname);
	if (renameat2(to, to_name, tmp, tmpname, RENAME_NOREPLACE)) {
		err = -errno;
		ovl_mark_unhide(to, to_name);
		return err;
	}
	if (renameat2(from, from_name, to, to_name, RENAME_NOREPLACE)) {
		err = -errno;
		put_whiteout_for_mark(fs, to, to_name, tmpname);
		return err;
	}
	ovl_mark_unhide(to, to_name);
	unlinkat(tmp, tmpname, 0);
	return 0;
}

int ovl_whiteout_give_way(struct ovl *fs, int from, const char *from_name,
                          int to, const char *to_name)
{
	int err = -ENAMETOOLONG;

	/* Where nothing is below, no name is a mark. */
	if (fs->whiteouts_by_attribute && fs->upper.wh_names)
		err = mark_and_replace(fs, from, from_name, to, to_name);
	if (err != -ENAMETOOLONG)
		return err;
	err = exchange(from, from_name, to, to_name);
	if (!err)
		unlinkat(from, from_name, 0);
	return err;
}
