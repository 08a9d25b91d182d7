#include "config.h"

#include "overlay/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/dir.h"
#include "overlay/refresh.h"

/* -ESTALE: another has got the name since, and maybe even the inode number. */
static int check_same(const struct ovl_node *node, int dirfd, const char *name)
{
	struct ovl_real real;
	int err = ovl_layer_look(ovl_node_layer(node), dirfd, name, &real);

	if (!err && !ovl_node_is_of(node, &real))
		err = -ESTALE;
	return err;
}

static int open_by_place(struct ovl_node *node, int flags, bool cached)
{
	struct ovl_way way;
	int fd, err;

	err = ovl_way_open(node, !cached, &way);
	if (err)
		return err;
	fd = ovl_layer_open(ovl_node_layer(node), way.dirfd, way.name, flags,
	                    cached);
	/* A whiteout has mode 0: without root, that is what it says. */
	if (fd == -EACCES && !cached) {
		err = check_same(node, way.dirfd, way.name);
		if (err)
			fd = err;
	}
	ovl_way_close(&way);
	if (fd >= 0 && check_same(node, fd, "")) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/*
 * Something else, of whatever type, stands where it was; or it was moved away
 * while it was opened (-EXDEV).
 */
static bool is_elsewhere(int err)
{
	return err == -ENOENT || err == -ESTALE || err == -ELOOP ||
	       err == -EISDIR || err == -ENXIO || err == -EXDEV;
}

static int open_node(struct ovl_node *node, int flags, bool cached)
{
	int fd = open_by_place(node, flags, cached);

	/* What was closed may have stood there for a moment only. */
	if (!is_elsewhere(fd) && fd != -EACCES)
		return fd;
	if (cached)
		return -EAGAIN;
	/* Reading its attributes finds it by another name, if it has one, and
	 * there it stays while nothing can move. */
	pthread_mutex_lock(&node->tree->moving);
	fd = ovl_node_reread(node, false, NULL);
	if (!fd)
		fd = open_by_place(node, flags, false);
	pthread_mutex_unlock(&node->tree->moving);
	return is_elsewhere(fd) ? -ESTALE : fd;
}

int ovl_file_fd(struct ovl_node *file, bool may_wait, struct ovl_fd **fd)
{
	/* What is no file any more must not keep an open waiting. */
	int flags = O_NONBLOCK | O_NOCTTY |
	            (file->tree->writable ? O_RDWR : O_RDONLY);
	struct ovl_fd *got = ovl_fdslot_get(file->tree->fds, &file->fd);
	int num;

	if (!got) {
		if (file->foreign)
			return -EACCES;
		/* At the bound, one that has to be flushed may have to go. */
		if (!may_wait &&
		    ovl_fdcache_count(file->tree->fds) >= file->tree->max_files)
			return -EAGAIN;
		num = open_node(file, flags, !may_wait);
		if (num < 0)
			return num;
		got = ovl_fdslot_fill(file->tree->fds, &file->fd, num,
		                      may_wait);
		if (!got)
			return -ENOMEM;
	}
	*fd = got;
	return 0;
}

/* The data of a file that is where a redirect led. */
static int open_data(struct ovl_node *file, bool may_wait, struct ovl_fd **fd)
{
	struct ovl_fdslot *slot = &ovl_node_data(file)->fd;
	struct ovl_fd *got = ovl_fdslot_get(file->tree->fds, slot);
	int num;

	if (!got) {
		if (!may_wait)
			return -EAGAIN;
		num = ovl_part_open(file, ovl_node_data(file),
		                    O_RDONLY | O_NONBLOCK | O_NOCTTY);
		if (num < 0)
			return is_elsewhere(num) ? -ESTALE : num;
		got = ovl_fdslot_fill(file->tree->fds, slot, num, true);
		if (!got)
			return -ENOMEM;
	}
	*fd = got;
	return 0;
}

int ovl_data_open(struct ovl_node *file, bool may_wait, struct ovl_data *data)
{
	int err;

	if (!ovl_node_has_data(file) && ovl_node_lower(file))
		file = ovl_node_lower(file);
	data->fds = file->tree->fds;
	if (ovl_node_has_data(file)) {
		data->layer = ovl_node_layer(file);
		err = ovl_file_fd(file, may_wait, &data->fd);
	} else {
		data->layer = ovl_node_data(file)->layer;
		err = open_data(file, may_wait, &data->fd);
	}
	return err;
}

void ovl_data_close(struct ovl_data *data)
{
	ovl_fd_unref(data->fds, data->fd);
}

int ovl_self_open(struct ovl_node *node, struct ovl_self *self)
{
	int err = 0;

	if (node->foreign)
		return -EACCES;
	self->fds = node->tree->fds;
	if (node->dir)
		err = ovl_dir_fd(node, 0, true, &self->fd);
	else
		self->fd = ovl_fdslot_get(self->fds, &node->fd);
	if (err)
		return err;
	self->num = self->fd ? ovl_fd_num(self->fd)
	                     : open_node(node, O_PATH, false);
	return self->num < 0 ? self->num : 0;
}

void ovl_self_close(struct ovl_self *self)
{
	if (self->fd)
		ovl_fd_unref(self->fds, self->fd);
	else
		close(self->num);
}
