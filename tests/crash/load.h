/*
 * A load of all procedures that change something, from several connections, each
 * with one call at a time. Each notes what was acknowledged to it (load_model.h),
 * until it is stopped, or has no answer any more.
 *
 * Life cycle: load_new, load_start, load_stop, then the workers may be looked at,
 * load_free. Nothing here fails a test: what went wrong is the worker's `trouble`.
 */
#ifndef VENEER_TESTS_CRASH_LOAD_H
#define VENEER_TESTS_CRASH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/crash/load_model.h"

/* Procedures have numbers below it. */
#define LOAD_PROCS 22

struct load;

/* One connection. */
struct load_worker {
	/* What has been acknowledged. */
	struct load_model before;
	/* The same with the call to which there was no answer, if `in_flight`,
	 * which is of that procedure; it may have been carried out or not. */
	struct load_model after;
	bool in_flight;
	uint32_t proc;
	unsigned done[LOAD_PROCS]; /* calls acknowledged, by procedure */
	char trouble[256];         /* an answer that should not be; or "" */
};

/* Connection I finds what load_model_init of I says. NULL: no memory. */
struct load *load_new(unsigned workers, uint64_t seed);
void load_free(struct load *load); /* NULL is fine */

/* Connect to the port, and begin. False: nobody answers. */
bool load_start(struct load *load, uint16_t port, const char *export);

/* From now on calls may fail; a connection ends with the first that does. */
void load_let_fail(struct load *load);

/* Begin no more calls, and wait until those under way have ended. */
void load_stop(struct load *load);

unsigned load_count(const struct load *load);
const struct load_worker *load_worker(const struct load *load, unsigned i);

#endif
