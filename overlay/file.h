/*
 * Descriptors: of regular files, and of objects of any type.
 */
#ifndef VENEER_OVERLAY_FILE_H
#define VENEER_OVERLAY_FILE_H

#include <stdbool.h>

#include "overlay/tree.h"

/*
 * An open descriptor of a regular file, to be given back by ovl_fd_unref to the
 * tree's cache: O_RDWR in a writable tree, else O_RDONLY. -EAGAIN, -ESTALE,
 * -errno.
 */
int ovl_file_fd(struct ovl_node *file, bool may_wait, struct ovl_fd **fd);

/*
 * A descriptor to read the file's data by, which may be elsewhere than its
 * attributes. To be closed by ovl_data_close. -EAGAIN, -ESTALE, -errno.
 */
struct ovl_data {
	struct ovl_fdcache *fds;
	struct ovl_fd *fd;
	const struct ovl_layer *layer; /* in which it is */
};

int ovl_data_open(struct ovl_node *file, bool may_wait, struct ovl_data *data);
void ovl_data_close(struct ovl_data *data);

/*
 * A descriptor of an object of any type, for its attributes: the one that is open
 * for what is in it, else an O_PATH one. To be closed by ovl_self_close. Blocks.
 */
struct ovl_self {
	int num;
	struct ovl_fdcache *fds;
	struct ovl_fd *fd; /* NULL: it is nobody else's */
};

int ovl_self_open(struct ovl_node *node, struct ovl_self *self);
void ovl_self_close(struct ovl_self *self);

#endif
