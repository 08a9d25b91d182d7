/*
 * What an export keeps between starts, in its statedir: a random id, its
 * secrets (the keys of handles and of cookies), and the layer register.
 *
 * The register gives each lower layer its number for ever: numbered from the
 * bottom, known again by the inode, generation and birth of its root, so that a
 * new top layer renumbers nothing and a replaced one gets a fresh number.
 *
 * One file, written whole to a temporary one, fsynced and renamed; readable by
 * its owner only. Used by one thread, at start.
 */
#ifndef VENEER_OVERLAY_STATE_H
#define VENEER_OVERLAY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "overlay/layer.h"
#include "overlay/overlay.h"

struct ovl_state {
	uint64_t export_id; /* 56 bits, never 0 */
	unsigned char handle_key[OVL_KEY_BYTES];
	unsigned char cookie_key[OVL_KEY_BYTES];
	struct ovl_state_layer *layers; /* all ever seen, by number - 1 */
	size_t nlayers;
	/* When the stack last became another than it had been; 0: never. */
	struct timespec restacked;
	bool changed; /* to be saved */
};

/*
 * Read the state from the directory `dirfd`; with no file there, or no
 * directory (-1), a fresh one (changed is set). 0; -EINVAL: a file that is no
 * state file, or of a later version; -errno.
 */
int ovl_state_load(struct ovl_state *state, int dirfd);

/*
 * Write it to stable storage, and clear `changed`. 0 or -errno: then a crash may
 * find the old file, if there was one.
 */
int ovl_state_save(struct ovl_state *state, int dirfd);

/* Wipes the keys, too. */
void ovl_state_release(struct ovl_state *state);

/*
 * Give each of the `n` lower layers (top first) its number and its kind of
 * generation. `strict` (there is an upper that was used with the register): what
 * was the stack last time must still be its lower end, in the same order; layers
 * may only have been added on top; else -ESTALE. Without `strict`, a layer not
 * known gets a fresh number. -EOVERFLOW: OVL_LAYER_MAX layers have been seen.
 * `why` (of `size` bytes) says in one line which layer. On failure nothing
 * changes.
 */
int ovl_state_number(struct ovl_state *state, struct ovl_layer *layers,
                     size_t n, bool strict, char *why, size_t size);

/*
 * The same for a stack that `base` has numbered: its register and its key of cookies
 * from now on. What the old register has must have the same numbers there (-ESTALE),
 * and, if `strict`, be its lower end.
 */
int ovl_state_share(struct ovl_state *state, const struct ovl_state *base,
                    bool strict, char *why, size_t size);

#endif
