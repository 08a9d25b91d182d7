/*
 * Layers as somebody hostile would make them: an input says what is where, with
 * which of the overlay's attributes, and it is laid out on disk as far as the
 * filesystem and this user's rights allow.
 */
#ifndef VENEER_TESTS_FUZZ_IMAGE_H
#define VENEER_TESTS_FUZZ_IMAGE_H

#include "tests/fuzz/fuzz.h"

/* Top first; then the data layer, the upper one. */
#define IMAGE_LOWERS 3
#define IMAGE_LAYERS (IMAGE_LOWERS + 2)

extern const char *const image_layers[IMAGE_LAYERS];

/* What names there are, for who looks for them and makes more. */
#define IMAGE_NAMES 16
extern const char *image_names[IMAGE_NAMES];

/* Once. `place` holds the directories of the layers. */
void image_init(int place);

/*
 * Into layers that are empty. True: two objects may have one identity, and nothing
 * is sure but that everything ends. Something in the upper layer says of itself
 * that it is another, which nobody but who owns that layer can do; or a directory
 * has a redirect, and where it leads is seen by another way, too: then who of them
 * has the identity of what they share depends on which was found first.
 */
bool image_make(struct fuzz_input *in);

#endif
