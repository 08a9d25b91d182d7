/*
 * Deeds: each procedure that changes the tree, with what undoes it, so that a
 * test can tell whether a call was carried out, or carried out again.
 *
 * Each has objects of its own in each of two directories of the lower layer,
 * which are copied up by it; deeds in different directories differ in their
 * arguments.
 */
#ifndef VENEER_TESTS_PROTOCOL_DEED_H
#define VENEER_TESTS_PROTOCOL_DEED_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"

#define DEED_DIRS 2

/* One of the directories, as `client` sees it. */
struct deed_dir {
	struct client *client;
	nfs_fh3 fh;
	nfs_fh3 file; /* "file" there */
};

typedef size_t deed_encode_fn(const struct deed_dir *dir, char *bytes);
typedef void deed_undo_fn(const struct deed_dir *dir);
typedef bool deed_is_done_fn(const struct deed_dir *dir);

struct deed {
	const char *name;
	uint32_t proc;
	/* The arguments of the call, as bytes. */
	deed_encode_fn *encode;
	/* By other calls: undo it, as another client may; is it done? */
	deed_undo_fn *undo;
	deed_is_done_fn *is_done;
	/* What comes of it, once it has been done and undone. */
	nfsstat3 anew;
};

/* The end has no name. */
extern const struct deed deeds[];

/* Make the directories, in the lower of a fixture that has not started. */
void deed_prepare(struct fixture *fixture);

/* One of them, by a client that stays. */
struct deed_dir deed_dir(struct client *client, int i);

#endif
