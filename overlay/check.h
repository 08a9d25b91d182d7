/*
 * Whether the directories of an overlay may be used together. Reads only.
 */
#ifndef VENEER_OVERLAY_CHECK_H
#define VENEER_OVERLAY_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* A directory that takes part, and what it is for. */
struct ovl_place {
	const char *what; /* "lowerdir", "upperdir", "workdir" or "statedir" */
	const char *path;
	int fd;
	bool to_be_made; /* it is not there: `fd` is of a directory above it */
};

/*
 * No directory may be, or lie in, another of them; but a statedir may lie in
 * the workdir. 0; -EINVAL with one line in `why`; -errno.
 */
int ovl_check_overlap(const struct ovl_place *places, size_t n, char *why,
                      size_t size);

/*
 * No overlay that the kernel has mounted, as /proc/self/mountinfo shows, may
 * have one of these two as its upper or work. 0; -EBUSY with a line in `why`.
 */
int ovl_check_unused(const struct ovl_place *upper,
                     const struct ovl_place *work, char *why, size_t size);

#endif
