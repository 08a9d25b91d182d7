/*
 * What is measured: operations on the tree that tests/bench/run lays out. Each
 * encodes its calls, after whatever has to be there before.
 */
#ifndef VENEER_TESTS_BENCH_OPERATION_H
#define VENEER_TESTS_BENCH_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/calls.h"
#include "tests/bench/drive.h"

struct bench {
	struct target target;
	const char *export_path;
	unsigned tag; /* the number of this run: new names begin with it */
	int fd;       /* a connection for what is not measured */
	struct handle root;
};

struct operation {
	const char *name;
	bool has_status;
	unsigned n; /* calls, but for what is made of a listing */
	/* Encode `n` calls; the number of things that they do, for the figures. */
	uint64_t (*prepare)(struct bench *bench, struct calls *calls,
	                    unsigned n);
};

/* The last one has no name. */
extern const struct operation operations[];

/* Mount: the root's handle. */
void bench_mount(struct bench *bench);

#endif
