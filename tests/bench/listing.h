/*
 * Listings by READDIRPLUS: made once, so that the calls for it are known.
 */
#ifndef VENEER_TESTS_BENCH_LISTING_H
#define VENEER_TESTS_BENCH_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/calls.h"

/*
 * List the directory, with all below it if `deep`, on this connection; then encode
 * the same calls `n` times over. Returns how many entries these give.
 */
uint64_t listing_put(int fd, const struct handle *dir, bool deep,
                     struct calls *calls, unsigned n);

/* The handles of what is in the directory, to be freed, and how many these are. */
struct handle *listing_handles(int fd, const struct handle *dir, size_t *n);

#endif
