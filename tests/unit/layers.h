/*
 * Random lower layers for tests: small trees of a few names that meet one
 * another, with all that layers can hold: whiteouts, opaque directories, files
 * over directories and the other way round, links of both kinds, FIFOs.
 */
#ifndef VENEER_TESTS_UNIT_LAYERS_H
#define VENEER_TESTS_UNIT_LAYERS_H

#include <stdint.h>

/* A name, out of few; borrowed for good. */
const char *layers_name(uint64_t *random);

/* Up to three names deep. */
void layers_path(uint64_t *random, char *path, unsigned size);

/*
 * Make `n` layers in the directory `dir`: "l0" (top) to "lN". The same seed makes
 * the same layers.
 */
void layers_make(int dir, unsigned n, uint64_t seed);

#endif
