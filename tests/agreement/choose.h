/* Random steps. */
#ifndef VENEER_TESTS_AGREEMENT_CHOOSE_H
#define VENEER_TESTS_AGREEMENT_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/agreement/act.h"

#define KNOWN_PATHS 400

/* Paths that lead somewhere for the most part. */
struct known {
	unsigned n;
	struct known_path {
		char path[SIDE_PATH];
		bool dir;
	} paths[KNOWN_PATHS];
};

void known_add(struct known *known, const char *path, bool dir);

/*
 * `n` steps; they depend on nothing but the seed and what is known at first.
 * With `user`, all are the doing of one ordinary user, and are such as he may.
 */
void acts_make(struct act *acts, unsigned n, uint64_t seed, struct known *known,
               bool user);

#endif
