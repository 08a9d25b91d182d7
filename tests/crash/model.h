/*
 * What one connection's part of the export holds, as far as its client knows:
 * objects, and the names by which two directories reach them: one of its own,
 * and one that all share, in which it minds the names that begin with its own
 * letter. A model is a value: to keep an earlier one is to copy it.
 *
 * A file is a row of cells. Each cell is filled from a number that was never
 * used before, so that what is read tells which write it is from, and whether
 * it is whole.
 */
#ifndef VENEER_TESTS_CRASH_MODEL_H
#define VENEER_TESTS_CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/nfs3_prot.h"

#define MODEL_CELL 4096 /* bytes */
#define MODEL_CELLS 64  /* of the longest file */
#define MODEL_OBJECTS 80
#define MODEL_NAMES 112
#define MODEL_NAME 8
#define MODEL_HANDLE 32
#define MODEL_TARGET 16

/* The two directories where it begins, as objects. */
enum { MODEL_OWN, MODEL_SHARED, MODEL_ROOTS };

struct object {
	ftype3 type; /* 0: there is none of this number */
	uint32_t mode, uid, gid, nlink;
	unsigned cells;               /* its size */
	uint32_t filled[MODEL_CELLS]; /* from which number; 0: with zeros */
	char target[MODEL_TARGET];
	uint32_t major, minor;
	bool is_exclusive; /* made so, with this verifier */
	char verifier[8];
	/* What the server has told, as far as it has. */
	bool is_known;
	char handle[MODEL_HANDLE];
	uint64_t fileid;
	bool is_dated;
	nfstime3 mtime;
};

struct name {
	int object; /* -1: there is none of this number */
	int dir;
	char name[MODEL_NAME];
};

struct model {
	struct object objects[MODEL_OBJECTS];
	struct name names[MODEL_NAMES];
};

/* What a SETATTR sets. */
enum {
	SET_MODE = 1 << 0,
	SET_OWNER = 1 << 1,
	SET_SIZE = 1 << 2,
	SET_MTIME = 1 << 3,
};

enum change_kind {
	CHANGE_SETATTR,
	CHANGE_WRITE,
	CHANGE_COMMIT,
	CHANGE_CREATE,
	CHANGE_MKDIR,
	CHANGE_SYMLINK,
	CHANGE_MKNOD,
	CHANGE_REMOVE,
	CHANGE_RMDIR,
	CHANGE_RENAME,
	CHANGE_LINK,
	CHANGE_KINDS
};

struct place {
	int dir;
	char name[MODEL_NAME];
};

/* One call that changes something. */
struct change {
	enum change_kind kind;
	int object; /* of SETATTR, WRITE, COMMIT, LINK */
	struct place at, to;
	unsigned set; /* of SETATTR */
	uint32_t mode, uid, gid;
	nfstime3 mtime;
	unsigned cells;        /* the new size */
	unsigned first, count; /* cells of a WRITE */
	uint32_t number;       /* with which it fills them */
	stable_how stable;
	createmode3 how;
	char verifier[8];
	ftype3 type; /* of MKNOD */
	uint32_t major, minor;
	char target[MODEL_TARGET];
};

void model_init(struct model *model);

/* The object of that name, or -1. */
int model_find(const struct model *model, int dir, const char *name);

/* A further object with one name, or with none (NULL). Its number. */
int model_add(struct model *model, const struct object *object, int dir,
              const char *name);
void model_add_name(struct model *model, int object, int dir, const char *name);

/* Whether the directory `dir` is, or is below, `above`. */
bool model_is_below(const struct model *model, int dir, int above);

bool model_is_empty(const struct model *model, int dir);

/* What the change makes of the model. The object that it has made, or -1. */
int model_apply(struct model *model, const struct change *change);

/*
 * What may be there when the change was under way: the `number`th such model,
 * from 0. False: there are no more. A change is done or not, but for what NFS
 * itself lets be done in part: SETATTR of several attributes (RFC 1813, 3.3.2),
 * and a WRITE, of which the cells up to some one may be there.
 */
bool model_outcome(const struct model *before, const struct change *change,
                   unsigned number, struct model *outcome);

/*
 * Whether what was `seen` is what was `expected`; `pairs` gets the number seen
 * of each object that is expected. If not, `why` says what differs.
 */
bool model_same(const struct model *expected, const struct model *seen,
                int pairs[MODEL_OBJECTS], char *why, size_t size);

/* Fill a cell, and say from which number it was filled; -1: it is not whole. */
void model_fill(uint32_t number, uint32_t cell[MODEL_CELL / 4]);
int64_t model_filled(const uint32_t cell[MODEL_CELL / 4]);

/* The change in words. */
void model_tell(const struct change *change, char *text, size_t size);

#endif
