/*
 * What is tried in a place (tests/protocol/place.h): each procedure that can
 * fail, in the ways that differ.
 */
#ifndef VENEER_TESTS_PROTOCOL_OPERATION_H
#define VENEER_TESTS_PROTOCOL_OPERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/protocol/place.h"

/* One call, or several: the status. Of a listing, that it is whole, too. */
typedef nfsstat3 operation_fn(const struct place *place);

struct operation {
	const char *name;
	operation_fn *prepare; /* to be done before, in this place; or NULL */
	operation_fn *call;
	/*
	 * Cuts a lower file, which is copied up as short as that: what fails
	 * then may have been done, as RFC 1813, 3.3.2 lets it be.
	 */
	bool cuts;
	bool mounts; /* the status is MOUNT's, where that has the same */
};

/* They change nothing; and they do. The end has no name. */
extern const struct operation operation_readers[], operation_changers[];

/* Some of those, for tests that need a particular one. */
operation_fn operation_setattr_mode, operation_symlink, operation_mknod;

/* Copy up what is in the place: all but the data of files, or that, too. */
operation_fn operation_copy_attributes, operation_copy_data;

#endif
