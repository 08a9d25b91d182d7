/*
 * All that a tree shows, to be compared: through a side, or of a directory on
 * disk as it is.
 */
#ifndef VENEER_TESTS_AGREEMENT_MANIFEST_H
#define VENEER_TESTS_AGREEMENT_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/agreement/choose.h"
#include "tests/agreement/side.h"

/* What is told of an object besides its type, its size and its data. */
enum {
	TELL_OWNER = 1,
	TELL_MODE = 2,
	TELL_LINKS = 4,     /* of what is no directory */
	TELL_TIME = 8,      /* modification */
	TELL_IDENTITY = 16, /* number and handle */
	TELL_XATTRS = 32,   /* as far as they have been added */
};
#define TELL_ALL (TELL_OWNER | TELL_MODE | TELL_LINKS | TELL_TIME)

/* Times from here on are the clock's, which no two runs agree on. */
#define NOW_TIME 1000000000

struct manifest;

/* Of the whole overlay, as root sees it. */
struct manifest *manifest_take(const struct side *side);
void manifest_free(struct manifest *manifest);

/* Add all extended attributes, of what is mounted at `top`. */
void manifest_add_xattrs(struct manifest *manifest, const char *top);

/*
 * The files of several links: those, and only those, of which `lower` has more
 * than one name are told of by their type alone from now on, by whatever name.
 */
void manifest_forgive_links(struct manifest *manifest,
                            const struct manifest *lower);

/* Special files are told of by their name alone from now on. */
void manifest_forgive_special(struct manifest *manifest);

/* Have the owner of all that is in it read and write it, where he may not. */
void manifest_unlock(const struct manifest *manifest, const struct side *side);

/* The paths in it. */
void manifest_paths(const struct manifest *manifest, struct known *known);

/* Print what is on the way to a path, and in it. */
void manifest_print(const struct manifest *manifest, const char *path,
                    FILE *out);

/* Write the first difference, if there is one, to `out`. */
bool manifest_same(const struct manifest *a, const char *a_name,
                   const struct manifest *b, const char *b_name, unsigned tell,
                   FILE *out);

/*
 * What is on disk in a directory: every attribute of every object, and its data,
 * without a trace of having been read. To be freed.
 */
char *manifest_of_disk(const char *dir);

#endif
