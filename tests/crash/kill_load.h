/*
 * A client that changes its part of the export (model.h), one call after
 * another, until the server is gone; and that then judges what is there.
 */
#ifndef VENEER_TESTS_CRASH_KILL_LOAD_H
#define VENEER_TESTS_CRASH_KILL_LOAD_H

#include "tests/crash/model.h"
#include "tests/lib/client.h"

#define KILL_HISTORY 24 /* changes that a failure tells */
#define KILL_GONE 32    /* handles of what is gone that are tried */

struct kill_load {
	struct client *client; /* for as long as it runs; may_end is set */
	const char *roots[MODEL_ROOTS];
	char letter;
	uint64_t random;  /* state of test_random */
	uint32_t numbers; /* the last that filled a cell */
	struct model model;
	bool is_pending; /* a change was sent and not answered */
	struct change pending;
	/* A ring of what was answered; and of handles whose objects are gone. */
	struct change history[KILL_HISTORY];
	unsigned changes;
	char gone[KILL_GONE][MODEL_HANDLE];
	unsigned ngone;
};

/* What the server shows is where it begins. */
void kill_load_begin(struct kill_load *load, struct client *client);

/* A thread's main function: change things until the server is gone. */
void *kill_load_run(void *load);

/*
 * All that was acknowledged is there, and what was not is there whole or not at
 * all; handles are the same, and work, and those of what is gone are stale. The
 * model is then what is there.
 */
void kill_load_judge(struct kill_load *load, struct client *client);

/* What comes next of what can be done; false: try again. */
bool kill_choose(struct kill_load *load, struct change *change);

#endif
