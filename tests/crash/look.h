/*
 * What the server shows, as a model.
 */
#ifndef VENEER_TESTS_CRASH_LOOK_H
#define VENEER_TESTS_CRASH_LOOK_H

#include "tests/crash/model.h"
#include "tests/lib/client.h"

/* A handle as the client's functions take it; it is the object's. */
nfs_fh3 look_handle(struct object *object);

/* The server has told its handle and attributes. */
void look_remember(struct object *object, nfs_fh3 handle);
void look_date(struct object *object, const post_op_attr *attr);

/*
 * All below the two directories of these names below the export's root; of the
 * second, what begins with `letter`. Each name is looked up, each file is read,
 * and what is told of one object must agree.
 */
void look_at_all(struct client *client, const char *const roots[MODEL_ROOTS],
                 char letter, struct model *model);

/* The calls that are told to come again are sent again. */
#define LOOK_PATIENTLY(res, call) \
	do {                      \
		(res) = (call);   \
	} while ((res) && (res)->status == NFS3ERR_JUKEBOX && look_wait())

bool look_wait(void); /* true */

#endif
