/*
 * The results of one call, taken apart by hand. The program ends where they are not
 * what they should be.
 */
#ifndef VENEER_TESTS_BENCH_RESULTS_H
#define VENEER_TESTS_BENCH_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/calls.h"

#define RESULTS_MAX (2 << 20)
#define FATTR_BYTES 84

struct results {
	unsigned char bytes[RESULTS_MAX];
	size_t len, at;
};

/*
 * What the last of `calls` answers on this connection, from the status on: good
 * until the next one is asked. The calls are released.
 */
struct results *results_ask(int fd, struct calls *calls);

uint32_t results_take(struct results *results);
uint64_t results_take64(struct results *results);
struct handle results_take_handle(struct results *results);
/* Leave out that many bytes, and those that fill the last word. */
void results_pass(struct results *results, uint32_t len);

void bench_fail(const char *what);

#endif
