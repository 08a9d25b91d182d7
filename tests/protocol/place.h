/*
 * Places: directories of one form in the lower of a fixture, so that a test can
 * try the same thing many times, each time with what is in no cache. Each holds
 * "file" ("lower text"), "other" ("other"), "link" (to "file"), and two
 * directories, "empty" and "full" (with a file "a"); all have an old mtime.
 *
 * Life cycle: places_begin, place_new as often as wanted, places_end. When the
 * places of a fixture are used up, place_new begins a new one: what it gave
 * before, and the client of it, is gone then.
 */
#ifndef VENEER_TESTS_PROTOCOL_PLACE_H
#define VENEER_TESTS_PROTOCOL_PLACE_H

#include <stdbool.h>

#include "tests/lib/nfs.h"

#define PLACE_NAMES 7 /* in its listing, with "." and ".." */

#define PLACE_TEXT 2048

struct place {
	struct client *client;
	nfs_fh3 root; /* the export's */
	char name[16];
	nfs_fh3 dir, file, other, link;
	char looks[PLACE_TEXT]; /* as it was made, or remembered */
};

/* Serve places with these export options; in memory, if this user can mount. */
void places_begin(const char *options, bool in_memory);
void places_end(void);

struct place place_new(void);

/* It has been changed: it is to look as it does now. */
void place_remember(struct place *place);

/* That the client sees it as it was; `what` says after what. */
void place_assert_as_before(const struct place *place, const char *what);

/* How many unfinished things the work directory holds. */
unsigned place_rubbish(void);

#endif
