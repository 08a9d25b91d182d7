/*
 * A new object of the upper, made whole before anybody can see it: with its owner,
 * mode, size, times, ACLs and marks. That is done in the work directory, from
 * where it is to be put into place; but a file that open(2) makes whole is made in
 * its place.
 */
#ifndef VENEER_OVERLAY_MAKING_H
#define VENEER_OVERLAY_MAKING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "overlay/edit.h"

/* What is to be made. */
struct ovl_making {
	mode_t type;
	const struct ovl_setattr *set;
	const char *target;       /* of a symlink */
	dev_t rdev;               /* of a device */
	const uint64_t *verifier; /* of an exclusive file, or NULL */
};

/* What has been made. */
struct ovl_made {
	/* O_RDWR of a file, or of a placeholder for what is none, O_RDONLY of a
	 * directory, O_PATH of all else; the caller's. */
	int fd;
	struct ovl_real real;       /* how it looks */
	bool in_place;              /* it has its name */
	char tmp[OVL_TMPNAME_SIZE]; /* else its name in the work directory */
};

/*
 * Make what is to be `name` in the directory of `edit`, which is locked, and where
 * nothing can be seen by that name. 0, or -errno: then nothing is left of it.
 */
int ovl_make(struct ovl_edit *edit, const struct ovl_caller *caller,
             const char *name, const struct ovl_making *making,
             struct ovl_made *made);

#endif
