/*
 * What one connection of a load knows of its files: all that was acknowledged to
 * it, and so has to be there after a crash. Plain data: to be copied by assignment.
 *
 * A connection has a directory of its own, and names in one that all share, which
 * begin with its number. Nobody else touches either.
 */
#ifndef VENEER_TESTS_CRASH_LOAD_MODEL_H
#define VENEER_TESTS_CRASH_LOAD_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/nfs3_prot.h"
#include "tests/crash/link.h"

#define LOAD_OBJECTS 256
#define LOAD_NAMES 64
#define LOAD_BLOCKS 4
#define LOAD_BLOCK 4096

/* Its number in `objects`. */
enum { LOAD_OWN_DIR, LOAD_SHARED_DIR };

/*
 * The versions of a block, which count its writes; 0 is zeros. After a crash it
 * has the stable one, or one that was written since that became stable.
 */
struct load_block {
	bool lower;      /* it was there before, in a lower file */
	uint32_t latest; /* of all that were written */
	uint32_t now;    /* 0 where that was cut away */
	uint32_t stable, since;
};

struct load_object {
	ftype3 type;
	bool dead;      /* its last name is gone */
	bool lower;     /* it was there before */
	bool truncated; /* ever */
	uint32_t mode;
	uint32_t mtime; /* seconds; 0: not known */
	bool has_handle;
	char handle[CRASH_HANDLE_BYTES];
	uint64_t fileid;
	/* Of a file: its size in blocks, at least and at most. */
	unsigned min_blocks, max_blocks;
	struct load_block blocks[LOAD_BLOCKS];
};

struct load_name {
	bool used;
	uint16_t dir, object;
	char name[12];
};

struct load_model {
	unsigned number; /* of the connection */
	unsigned nobjects;
	struct load_object objects[LOAD_OBJECTS];
	struct load_name names[LOAD_NAMES];
};

/* What is there at first: load_model_plant makes it. */
void load_model_init(struct load_model *model, unsigned number);

/* Make that in the lower layer open as `layer`. Fails the test. */
void load_model_plant(const struct load_model *model, int layer);

/* A number of an object of that type, with that name. -1: no room. */
int load_model_add(struct load_model *model, ftype3 type, unsigned dir,
                   const char *name);

/* Whether there is no room for a further name. */
bool load_model_is_full(const struct load_model *model);

/* A further name, or one less. */
void load_model_link(struct load_model *model, unsigned object, unsigned dir,
                     const char *name);
void load_model_unlink(struct load_model *model, struct load_name *name);

/* The name `*name` becomes that; what was there is gone. */
void load_model_rename(struct load_model *model, struct load_name *name,
                       unsigned dir, const char *to);

struct load_name *load_model_find(struct load_model *model, unsigned dir,
                                  const char *name);
unsigned load_model_count_links(const struct load_model *model,
                                unsigned object);
bool load_model_is_empty(const struct load_model *model, unsigned dir);

/* Whether `dir` is `above`, or somewhere below it. */
bool load_model_is_below(const struct load_model *model, unsigned dir,
                         unsigned above);

/* A block is written; what is stable is said by load_model_settle. */
void load_model_write(struct load_object *file, unsigned block);
void load_model_settle(struct load_object *file, unsigned block);
void load_model_cut(struct load_object *file, unsigned blocks);

/* Whether a file may have this version of a block after a crash. */
bool load_model_may_have(const struct load_object *file, unsigned block,
                         uint32_t version);

/* What is in a block of that version, LOAD_BLOCK bytes. */
void load_model_fill(unsigned number, unsigned object, unsigned block,
                     uint32_t version, void *data);

/* The version; -1: it is torn, or another file's. */
int64_t load_model_read(unsigned number, unsigned object, unsigned block,
                        const void *data);

/* The target of a symlink. */
void load_model_target(unsigned number, unsigned object, char target[64]);

#endif
