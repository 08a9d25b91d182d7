/*
 * What the layers of a stack have of one object: the parts that a merged
 * directory is made of, and where the data of a file is whose attributes alone
 * were copied up (metacopy). Follows redirects through the layers, as the
 * kernel's overlayfs does ("redirect_dir" and "metacopy" of its documentation).
 */
#ifndef VENEER_OVERLAY_GATHER_H
#define VENEER_OVERLAY_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "overlay/stack.h"

struct ovl_gathered {
	/* Of a directory: its parts, top first. Of a file: where its data is;
	 * none where it is with its attributes. */
	struct ovl_part *parts;
	unsigned nparts;
	struct ovl_id id;     /* where a directory was born: the lowest part */
	uint32_t extra_links; /* of the parts below the top */
	bool redirected;      /* it was looked for elsewhere, too */
	uint64_t used;        /* bytes on disk, where the data is elsewhere */
};

/*
 * Gather what there is of `name` in the stack's directory `dir`, in whose part
 * `part` it was seen first, as `top`: a directory that may be entered, or a
 * regular file. 0; -EPERM: a redirect or metacopy that the stack does not
 * follow; -EIO: marks that make no sense, or data that is nowhere; -errno. On
 * failure there is nothing to release.
 */
int ovl_gather(struct ovl_stack *stack, struct ovl_node *dir, const char *name,
               unsigned part, const struct ovl_real *top,
               struct ovl_gathered *gathered);

/*
 * Where the redirect of the metacopy open as `fd` in `layer`, above the stack,
 * leads in the layers that have data alone. 0; -EIO: to nothing; -errno.
 */
int ovl_gather_data(struct ovl_stack *stack, const struct ovl_layer *layer,
                    int fd, struct ovl_gathered *gathered);
void ovl_gathered_release(struct ovl_gathered *gathered);

#endif
