/*
 * Places: directories of one form in the lower of a fixture, so that a test can
 * try the same thing many times, each time with what is in no cache. Each holds
 * "file" ("lower text"), "second" (the same; a link of it, where the layout has
 * links), "other" ("other"), "link" (to "file"), and two directories, "empty" and
 * "full" (with a file "a"); all have an old mtime.
 *
 * Life cycle: places_begin, place_new as often as wanted, places_end. When the
 * places of a fixture are used up, place_new begins a new one: what it gave
 * before, and the client of it, is gone then.
 */
#ifndef VENEER_TESTS_PROTOCOL_PLACE_H
#define VENEER_TESTS_PROTOCOL_PLACE_H

#include <stdbool.h>

#include "tests/lib/nfs.h"

#define PLACE_NAMES 8 /* in its listing, with "." and ".." */

#define PLACE_TEXT 4096

struct place {
	struct client *client;
	nfs_fh3 root; /* the export's */
	char name[16];
	nfs_fh3 dir, file, other, link;
	char looks[PLACE_TEXT]; /* as it was made, or remembered */
};

/* How places lie in the lower layers. */
enum place_layout {
	PLACE_PLAIN,
	PLACE_LINKED, /* "second" is another name of "file" */
	PLACE_MERGED, /* deep below, in two layers */
	PLACE_LAYOUTS
};

/* Serve places with these export options; in memory, if this user can mount. */
void places_begin(const char *options, bool in_memory);
void places_begin_as(enum place_layout layout, const char *options,
                     bool in_memory);
void places_end(void);

struct place place_new(void);

/*
 * The server is stopped, and started again over the same layers: this place, whose
 * handles but that of its directory are not looked up anew. No other place is to
 * be used any more.
 */
struct place place_after_restart(const struct place *place);

/*
 * The server is stopped, and started again over the same layers: all places that
 * were given must look as they last looked, with the same handles; and nothing
 * is left of the first server: no unfinished thing, no descriptor.
 */
void places_assert_all_lasts(void);

/* It has been changed: it is to look as it does now. */
void place_remember(struct place *place);

/* That the client sees it as it was; `what` says after what. */
void place_assert_as_before(const struct place *place, const char *what);

/*
 * How it looks, without what changes by itself: the times of directories, and
 * those that are not old.
 */
void place_tell(const struct place *place, char text[PLACE_TEXT]);

/* How many unfinished things the work directory holds. */
unsigned place_rubbish(void);

#endif
