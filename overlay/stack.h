/*
 * A lower stack: an ordered list of read-only layers, merged into one tree that
 * never changes. It is counted, and shared by all overlays upon it.
 */
#ifndef VENEER_OVERLAY_STACK_H
#define VENEER_OVERLAY_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "overlay/layer.h"
#include "overlay/log.h"
#include "overlay/tree.h"
#include "overlay/overlay.h"
#include "overlay/walk.h"

struct ovl_stack {
	atomic_uint refs;
	struct ovl_layer *layers; /* top first; never changes */
	size_t nlayers;
	size_t nmerged; /* of which make the tree; the rest has data alone */
	bool follow_redirects, follow_metacopy;
	struct ovl_tree tree; /* its root is NULL where there is no layer */
	struct ovl_walk walk;
	unsigned char cookie_key[OVL_KEY_BYTES];
	struct ovl_log log;
};

/*
 * A stack of these layers, which it takes over (the array and what is open), on
 * success only; its rows are kept by `writer` (NULL: in memory). 0 or -errno.
 */
int ovl_stack_new(struct ovl_layer *layers, size_t nlayers,
                  const struct ovl_config *config, struct ovl_writer *writer,
                  const unsigned char *cookie_key, struct ovl_stack **stack);
struct ovl_stack *ovl_stack_ref(struct ovl_stack *stack);
void ovl_stack_unref(struct ovl_stack *stack); /* NULL is fine */

/*
 * Whether `node` is still what shows as `name` in `dir`, and is made of the same
 * parts. 1, 0 or -errno. Blocks.
 */
int ovl_stack_is_same(struct ovl_stack *stack, struct ovl_node *dir,
                      const char *name, struct ovl_node *node);

/* The child of that name. -ENOENT, -ENOTDIR, -EAGAIN, -errno. */
int ovl_stack_lookup(struct ovl_stack *stack, struct ovl_node *dir,
                     const char *name, bool may_wait, struct ovl_node **node);

/*
 * The same, where the names of the directory are not in memory without reading
 * them in: for who comes by one name only. Blocks.
 */
int ovl_stack_seek(struct ovl_stack *stack, struct ovl_node *dir,
                   const char *name, struct ovl_node **node);

/*
 * What a redirect leads to: "/..." from the root, or a name in `dir`, which may be
 * NULL for the former. `anew`: what is on the way is looked at again first, since
 * nobody else looks at it. Blocks. -ENOENT, -ENOTDIR, -errno.
 */
int ovl_stack_follow(struct ovl_stack *stack, struct ovl_node *dir,
                     const char *redirect, bool anew, struct ovl_node **node);

/*
 * The path from the root to `node` ("/..."), into OVL_REDIRECT_SIZE bytes. 0 or
 * -ENAMETOOLONG.
 */
int ovl_stack_path(struct ovl_node *node, char *path);

#endif
