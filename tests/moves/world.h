/*
 * A model, and a client of the server whose tree it tells of. Random steps are
 * done to both, and then an audit says whether they agree: each object that is
 * there answers to its handle, whatever led to it, and nothing answers to the
 * handle of what is gone.
 *
 * What goes wrong fails the test. Steps are told on standard output.
 */
#ifndef VENEER_TESTS_MOVES_WORLD_H
#define VENEER_TESTS_MOVES_WORLD_H

#include <stdint.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/moves/model.h"

struct world {
	struct model model;
	uint64_t random; /* the state of test_random */
	struct client *client;
};

/* Be, or be no longer, a client of the running server. */
void world_connect(struct world *world, const struct daemon *daemon);
void world_leave(struct world *world);

/*
 * Its handle, by a path from the root where it has none yet. What has been given
 * out once must be what is given out now.
 */
nfs_fh3 world_handle(struct world *world, unsigned object);
void world_given_out(struct world *world, unsigned object, nfs_fh3 handle,
                     const char *by);

/* The protocol's word for a type (S_IFMT bits). */
ftype3 world_ftype(mode_t type);

/* ---- changes ---------------------------------------------------------------- */

/* By number, `name` is a name of the model's, and `dir` an object. */

void world_make(struct world *world, unsigned dir, const char *name,
                mode_t type);
void world_write(struct world *world, unsigned name); /* a new text */
void world_chmod(struct world *world, unsigned name, mode_t mode);
void world_link(struct world *world, unsigned name, unsigned dir,
                const char *new_name);
void world_remove(struct world *world, unsigned name); /* or a directory */
void world_rename(struct world *world, unsigned name, unsigned dir,
                  const char *new_name);

/* One of them, at random. */
void world_step(struct world *world);

/* ---- checks ----------------------------------------------------------------- */

/* A few handles at random. */
void world_glance(struct world *world);

/* All handles in a random order; then all names, by LOOKUP and READDIRPLUS. */
void world_audit(struct world *world);

#endif
