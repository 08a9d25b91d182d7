/*
 * What a tree has to be: its objects, which names each has, and the handle by
 * which a client knows it. What is gone stays, as its handle has to be stale.
 * No more than fits: model_is_full says when to stop making things.
 */
#ifndef VENEER_TESTS_MOVES_MODEL_H
#define VENEER_TESTS_MOVES_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/nfs3_prot.h"

#define MODEL_ROOT 0
#define MODEL_HANDLE_BYTES 32
#define MODEL_TEXT 64
#define MODEL_PATH 1024

struct model_object {
	mode_t type;           /* S_IFMT bits */
	mode_t mode;           /* the others; 0: not looked at */
	char text[MODEL_TEXT]; /* of a file, its contents; of a symlink, the
	                        * target */
	uint32_t major, minor; /* of a device */
	bool known;            /* has been given out: its handle and fileid */
	bool gone;
	char handle[MODEL_HANDLE_BYTES];
	uint64_t fileid;
};

struct model_name {
	unsigned dir, object;
	char name[32];
};

#define MODEL_OBJECTS 512
#define MODEL_NAMES 256

struct model {
	unsigned nobjects, nnames;
	struct model_object objects[MODEL_OBJECTS];
	struct model_name names[MODEL_NAMES]; /* in no order */
};

/* A root directory and nothing in it. */
void model_init(struct model *model);
bool model_is_full(const struct model *model);

/* A new object, and its name; the object's number. A file has a text of its own. */
unsigned model_add(struct model *model, unsigned dir, const char *name,
                   mode_t type);
void model_add_name(struct model *model, unsigned dir, const char *name,
                    unsigned object);

/* A name less; with the last one its object is gone. */
void model_drop_name(struct model *model, unsigned name);

/* Another text for a file. */
void model_retell(struct model *model, unsigned object);

/* The number of this name; -1: there is none. */
int model_find(const struct model *model, unsigned dir, const char *name);

/* The object at a path of the root's; -1: there is none. */
int model_at(const struct model *model, const char *path);

/* The directory that such a path leads to, which must be there, and its last name. */
unsigned model_split(const struct model *model, const char *path,
                     const char **name);

/* The number of the name at a path; it must be there. */
unsigned model_name_at(const struct model *model, const char *path);

/* How many names the object has; how many are in the directory. */
unsigned model_links(const struct model *model, unsigned object);
unsigned model_entries(const struct model *model, unsigned dir);

/* The number of one of its names; for what is not gone, and not the root. */
unsigned model_a_name(const struct model *model, unsigned object);

/* Whether `object` is `dir`, or below it. */
bool model_is_below(const struct model *model, unsigned object, unsigned dir);

/* Where a name is, for messages. */
const char *model_path(const struct model *model, unsigned name,
                       char path[MODEL_PATH]);

/* Its handle, which has been given out. */
nfs_fh3 model_handle(struct model *model, unsigned object);

#endif
