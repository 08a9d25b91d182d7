/*
 * Places: directories of one form in the lower of a fixture, so that a test can
 * try the same thing many times, each time with what is in no cache. Each holds
 * "file" ("lower text"), "other" ("other"), "link" (to "file") and "empty", a
 * directory, and has an old mtime.
 *
 * Life cycle: places_begin, place_new as often as wanted, places_end. When the
 * places of a fixture are used up, place_new begins a new one: what it gave
 * before, and the client of it, is gone then.
 */
#ifndef VENEER_TESTS_PROTOCOL_PLACE_H
#define VENEER_TESTS_PROTOCOL_PLACE_H

#include <stdbool.h>

#include "tests/lib/nfs.h"

struct place {
	struct client *client;
	nfs_fh3 root; /* the export's */
	char name[16];
	nfs_fh3 dir, file, link;
};

/* Serve places with these export options; in memory, if this user can mount. */
void places_begin(const char *options, bool in_memory);
void places_end(void);

struct place place_new(void);

/* That the client sees it as it was made; `what` says after what. */
void place_assert_as_before(const struct place *place, const char *what);

/* That the work directory holds nothing unfinished. */
void place_assert_no_rubbish(const char *what);

#endif
