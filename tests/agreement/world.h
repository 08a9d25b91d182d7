/*
 * What a sequence happens in: a mount namespace and a tmpfs of its own, and in
 * that two sets of like layers, "k" and "v", either of which the kernel can mount
 * or veneerd serve.
 *
 * What goes wrong ends the process.
 */
#ifndef VENEER_TESTS_AGREEMENT_WORLD_H
#define VENEER_TESTS_AGREEMENT_WORLD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/agreement/layers.h"
#include "tests/lib/daemon.h"

struct world {
	const char *top; /* where it is mounted */
	bool user;       /* an ordinary user's, in a user namespace */
	FILE *out;       /* what there is to say */
	struct layers_kind layers;
	bool redirects, metacopies;             /* are made */
	unsigned max_entries, max_files, cache; /* of veneerd */
	struct daemon *daemon;
};

/* Tell what went wrong, and end the process. */
_Noreturn void give_up(const struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Leave the namespaces of the caller; false: that cannot be done here. */
bool world_enter(const struct world *world);

/* Make layers, by a seed; and all else that is chosen. */
void world_make(struct world *world, uint64_t seed);

void world_at(const struct world *world, const char *name, char path[PATH_MAX]);

/* Mount a set of layers, and open the kernel's side; with an index or without. */
void world_mount(const struct world *world, const char *set, bool index);
void world_unmount(const struct world *world, const char *set);

/* Have veneerd serve a set of layers, and open its side. */
void world_serve(const struct world *world, const char *set);
/* End it by a signal. */
void world_stop(const struct world *world, int signal);

#endif
