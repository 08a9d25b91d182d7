/*
 * Layers of a fuzz target, in a directory of its own in $TMPDIR or /tmp, which
 * goes with the process.
 */
#ifndef VENEER_TESTS_FUZZ_PLACE_H
#define VENEER_TESTS_FUZZ_PLACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Its descriptor, once for a process. */
int fuzz_place_make(void);

/* The full path of `name` in it; to be freed. */
char *fuzz_place_path(const char *name);

/* A directory; there is none of that name, or it is a new one from here on. */
void fuzz_place_renew(const char *name);

/* A file, if it is there. */
void fuzz_place_remove(const char *name);

/*
 * A sum over all that is below the directory at `name`: names, attributes and
 * times. The same: nothing has changed there.
 */
uint64_t fuzz_place_sum(const char *name);

/* One more value into a sum. */
uint64_t fuzz_sum(uint64_t sum, const void *bytes, size_t n);

#endif
