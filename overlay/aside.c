#include "config.h"

#include "overlay/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/copy.h"
#include "overlay/dir.h"
#include "overlay/refresh.h"
#include "overlay/xattr.h"

static int exchange(struct ovl_edit *edit, const char *name, const char *tmp)
{
	return renameat2(ovl_workdir_tmp(edit->fs->workdir), tmp,
	                 ovl_fd_num(edit->fd), name, RENAME_EXCHANGE)
	               ? -errno
	               : 0;
}

/* The directory open as `fd`, without its names, as `tmp`, opaque. */
static int make_copy(struct ovl *fs, int fd, const struct ovl_attr *attr,
                     const char *tmp)
{
	int copy = -1, err;

	err = ovl_copy_object(&fs->upper, fd, fd, attr,
	                      ovl_workdir_tmp(fs->workdir), tmp, UINT64_MAX,
	                      false, NULL, &copy);
	if (err)
		return err;
	err = ovl_xattr_set_opaque(&fs->upper, copy);
	close(copy);
	return err;
}

int ovl_aside_step(struct ovl_edit *edit, struct ovl_node *dir,
                   const char *name, char tmp[OVL_TMPNAME_SIZE])
{
	struct ovl_attr attr;
	struct ovl_fd *fd;
	int err;

	if (!dir->tree->upper ||
	    (!ovl_names_count(dir->dir->names) && !dir->dir->parts[0].marks))
		return 0;
	err = ovl_node_reread(dir, true, &attr);
	if (!err)
		err = ovl_dir_fd(dir, 0, true, &fd);
	if (err)
		return err;
	ovl_workdir_name(edit->fs->workdir, tmp);
	err = make_copy(edit->fs, ovl_fd_num(fd), &attr, tmp);
	if (!err)
		err = exchange(edit, name, tmp);
	ovl_fd_unref(dir->tree->fds, fd);
	if (err) {
		ovl_workdir_discard(edit->fs->workdir, tmp);
		tmp[0] = '\0';
	}
	return err;
}

static void come_back(struct ovl_edit *edit, struct ovl_node *dir,
                      const char *name, const char *tmp)
{
	if (exchange(edit, name, tmp)) {
		/* From now on it is the copy: another, and not merged. */
		dir->dir->dead = true;
		ovl_edit_unlinked(edit, dir, name, &(struct ovl_leaving){ 0 });
		ovl_node_lock(edit->dir);
		ovl_node_set_names(edit->dir, NULL);
		ovl_node_unlock(edit->dir);
	}
	ovl_edit_keep_times(edit);
}

void ovl_aside_end(struct ovl_edit *edit, struct ovl_node *dir,
                   const char *name, const char *tmp, int err)
{
	if (err)
		come_back(edit, dir, name, tmp);
	ovl_workdir_discard(edit->fs->workdir, tmp);
}
