#include "config.h"

#include "tests/crash/model.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* ---- names and objects ----------------------------------------------------- */

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	for (int i = 0; i < MODEL_NAMES; i++)
		model->names[i].object = -1;
}

static struct name *find_name(struct model *model, int dir, const char *name)
{
	for (int i = 0; i < MODEL_NAMES; i++) {
		struct name *at = &model->names[i];

		if (at->object >= 0 && at->dir == dir &&
		    strcmp(at->name, name) == 0)
			return at;
	}
	return NULL;
}

int model_find(const struct model *model, int dir, const char *name)
{
	const struct name *found = find_name((struct model *)model, dir, name);

	return found ? found->object : -1;
}

void model_add_name(struct model *model, int object, int dir, const char *name)
{
	int i = 0;

	while (i < MODEL_NAMES && model->names[i].object >= 0)
		i++;
	ck_assert_int_lt(i, MODEL_NAMES);
	ck_assert_uint_lt(strlen(name), MODEL_NAME);
	model->names[i].object = object;
	model->names[i].dir = dir;
	strcpy(model->names[i].name, name);
}

int model_add(struct model *model, const struct object *object, int dir,
              const char *name)
{
	int i = 0;

	while (i < MODEL_OBJECTS && model->objects[i].type)
		i++;
	ck_assert_int_lt(i, MODEL_OBJECTS);
	model->objects[i] = *object;
	if (name)
		model_add_name(model, i, dir, name);
	return i;
}

bool model_is_below(const struct model *model, int dir, int above)
{
	while (dir != above) {
		int i = 0;

		while (i < MODEL_NAMES && model->names[i].object != dir)
			i++;
		if (i == MODEL_NAMES)
			return false;
		dir = model->names[i].dir;
	}
	return true;
}

bool model_is_empty(const struct model *model, int dir)
{
	for (int i = 0; i < MODEL_NAMES; i++)
		if (model->names[i].object >= 0 && model->names[i].dir == dir)
			return false;
	return true;
}

/* ---- changes --------------------------------------------------------------- */

static void take_name(struct model *model, const struct place *at)
{
	struct name *name = find_name(model, at->dir, at->name);
	struct object *object;

	if (!name)
		return;
	object = &model->objects[name->object];
	name->object = -1;
	if (object->type == NF3DIR || --object->nlink == 0)
		memset(object, 0, sizeof(*object));
}

static void set_cells(struct object *file, unsigned cells)
{
	for (unsigned i = cells; i < MODEL_CELLS; i++)
		file->filled[i] = 0;
	file->cells = cells;
	file->is_dated = false;
}

static void set_attributes(struct object *object, const struct change *change)
{
	if (change->set & SET_MODE)
		object->mode = change->mode;
	if (change->set & SET_OWNER) {
		object->uid = change->uid;
		object->gid = change->gid;
	}
	if (change->set & SET_SIZE)
		set_cells(object, change->cells);
	if (change->set & SET_MTIME) {
		object->mtime = change->mtime;
		object->is_dated = object->type != NF3DIR;
	}
}

static void write_cells(struct object *file, const struct change *change)
{
	unsigned end = change->first + change->count;

	for (unsigned i = change->first; i < end; i++)
		file->filled[i] = change->number;
	if (file->cells < end)
		file->cells = end;
	file->is_dated = false;
}

static int make(struct model *model, const struct change *change, ftype3 type)
{
	struct object object = {
		.type = type,
		.mode = type == NF3LNK ? 0777 : change->mode,
		.nlink = 1,
		.major = change->major,
		.minor = change->minor,
	};

	if (type == NF3LNK)
		strcpy(object.target, change->target);
	if (type == NF3REG && change->how == EXCLUSIVE) {
		object.mode = 0;
		object.is_exclusive = true;
		memcpy(object.verifier, change->verifier, 8);
	}
	return model_add(model, &object, change->at.dir, change->at.name);
}

static int create(struct model *model, const struct change *change)
{
	int there = model_find(model, change->at.dir, change->at.name);

	if (there < 0)
		return make(model, change, NF3REG);
	set_cells(&model->objects[there], 0);
	return -1;
}

int model_apply(struct model *model, const struct change *change)
{
	struct object *object = &model->objects[change->object];
	struct name *name;

	switch (change->kind) {
	case CHANGE_SETATTR:
		set_attributes(object, change);
		break;
	case CHANGE_WRITE:
		write_cells(object, change);
		break;
	case CHANGE_CREATE:
		return create(model, change);
	case CHANGE_MKDIR:
		return make(model, change, NF3DIR);
	case CHANGE_SYMLINK:
		return make(model, change, NF3LNK);
	case CHANGE_MKNOD:
		return make(model, change, change->type);
	case CHANGE_REMOVE:
	case CHANGE_RMDIR:
		take_name(model, &change->at);
		break;
	case CHANGE_RENAME:
		take_name(model, &change->to);
		name = find_name(model, change->at.dir, change->at.name);
		name->dir = change->to.dir;
		strcpy(name->name, change->to.name);
		break;
	case CHANGE_LINK:
		object->nlink++;
		model_add_name(model, change->object, change->to.dir,
		               change->to.name);
		break;
	default:
		break;
	}
	return -1;
}

/* Its own attributes may have been set in any order. */
static bool setattr_outcome(const struct change *change, unsigned number,
                            struct model *outcome)
{
	struct change part = *change;

	part.set &= number;
	model_apply(outcome, &part);
	return number <= (SET_MODE | SET_OWNER | SET_SIZE | SET_MTIME);
}

static bool write_outcome(const struct change *change, unsigned number,
                          struct model *outcome)
{
	struct change part = *change;

	part.count = number;
	/* The first thing that a write does is to set the mtime. */
	outcome->objects[change->object].is_dated = false;
	if (number > 0)
		model_apply(outcome, &part);
	return number <= change->count;
}

bool model_outcome(const struct model *before, const struct change *change,
                   unsigned number, struct model *outcome)
{
	*outcome = *before;
	if (change->kind == CHANGE_SETATTR)
		return setattr_outcome(change, number, outcome);
	if (change->kind == CHANGE_WRITE)
		return write_outcome(change, number, outcome);
	if (number == 1)
		model_apply(outcome, change);
	return number <= 1;
}

/* ---- comparing ------------------------------------------------------------- */

struct comparison {
	const struct model *expected, *seen;
	int *pairs;
	char *why;
	size_t size;
};

static bool differ(struct comparison *c, const char *path, const char *what,
                   uint64_t expected, uint64_t seen)
{
	if (expected == seen)
		return false;
	snprintf(c->why, c->size, "%s: %s is %llu, not %llu", path, what,
	         (unsigned long long)seen, (unsigned long long)expected);
	return true;
}

static bool same_file(struct comparison *c, const char *path,
                      const struct object *e, const struct object *s)
{
	char what[32];

	if (differ(c, path, "nlink", e->nlink, s->nlink) ||
	    differ(c, path, "cells", e->cells, s->cells) ||
	    differ(c, path, "major", e->major, s->major) ||
	    differ(c, path, "minor", e->minor, s->minor) ||
	    differ(c, path, "target", strcmp(e->target, s->target) == 0, true))
		return false;
	for (unsigned i = 0; i < e->cells; i++) {
		snprintf(what, sizeof(what), "cell %u", i);
		if (differ(c, path, what, e->filled[i], s->filled[i]))
			return false;
	}
	return !e->is_dated || !s->is_dated ||
	       (!differ(c, path, "mtime", e->mtime.seconds, s->mtime.seconds) &&
	        !differ(c, path, "mtime's part", e->mtime.nseconds,
	                s->mtime.nseconds));
}

static bool same_object(struct comparison *c, const char *path, int expected,
                        int seen)
{
	const struct object *e = &c->expected->objects[expected];
	const struct object *s = &c->seen->objects[seen];

	if (differ(c, path, "type", e->type, s->type) ||
	    differ(c, path, "mode", e->mode, s->mode) ||
	    differ(c, path, "uid", e->uid, s->uid) ||
	    differ(c, path, "gid", e->gid, s->gid))
		return false;
	if (e->is_known &&
	    (differ(c, path, "fileid", e->fileid, s->fileid) ||
	     differ(c, path, "the handle's sameness", 1,
	            memcmp(e->handle, s->handle, MODEL_HANDLE) == 0)))
		return false;
	return e->type == NF3DIR || same_file(c, path, e, s);
}

/* An object of several names is one on both sides. */
static bool same_pair(struct comparison *c, const char *path, int expected,
                      int seen)
{
	if (c->pairs[expected] >= 0)
		return !differ(c, path, "the object of its other name",
		               (uint64_t)c->pairs[expected], (uint64_t)seen);
	for (int i = 0; i < MODEL_OBJECTS; i++)
		if (c->pairs[i] == seen) {
			snprintf(c->why, c->size, "%s: is another's, too",
			         path);
			return false;
		}
	c->pairs[expected] = seen;
	return same_object(c, path, expected, seen);
}

static bool same_directory(struct comparison *c, const char *path, int expected,
                           int seen);

static bool same_name(struct comparison *c, const char *dir,
                      const struct name *name, int seen_dir)
{
	int seen = model_find(c->seen, seen_dir, name->name);
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name->name);
	if (seen < 0) {
		snprintf(c->why, c->size, "%s: is not there", path);
		return false;
	}
	if (!same_pair(c, path, name->object, seen))
		return false;
	return c->expected->objects[name->object].type != NF3DIR ||
	       same_directory(c, path, name->object, seen);
}

static bool same_directory(struct comparison *c, const char *path, int expected,
                           int seen)
{
	for (int i = 0; i < MODEL_NAMES; i++) {
		const struct name *name = &c->expected->names[i];

		if (name->object >= 0 && name->dir == expected &&
		    !same_name(c, path, name, seen))
			return false;
	}
	for (int i = 0; i < MODEL_NAMES; i++) {
		const struct name *name = &c->seen->names[i];

		if (name->object >= 0 && name->dir == seen &&
		    model_find(c->expected, expected, name->name) < 0) {
			snprintf(c->why, c->size, "%s/%s: is there", path,
			         name->name);
			return false;
		}
	}
	return true;
}

bool model_same(const struct model *expected, const struct model *seen,
                int pairs[MODEL_OBJECTS], char *why, size_t size)
{
	static const char *const roots[] = { "own", "shared" };
	struct comparison c = { expected, seen, pairs, why, size };

	for (int i = 0; i < MODEL_OBJECTS; i++)
		pairs[i] = -1;
	for (int i = 0; i < MODEL_ROOTS; i++)
		if (!same_pair(&c, roots[i], i, i) ||
		    !same_directory(&c, roots[i], i, i))
			return false;
	return true;
}

/* ---- cells ----------------------------------------------------------------- */

void model_fill(uint32_t number, uint32_t cell[MODEL_CELL / 4])
{
	for (uint32_t i = 0; i < MODEL_CELL / 4; i++)
		cell[i] = number ? number + i : 0;
}

int64_t model_filled(const uint32_t cell[MODEL_CELL / 4])
{
	for (uint32_t i = 0; i < MODEL_CELL / 4; i++)
		if (cell[i] != (cell[0] ? cell[0] + i : 0))
			return -1;
	return cell[0];
}

/* ---- words ----------------------------------------------------------------- */

void model_tell(const struct change *change, char *text, size_t size)
{
	static const char *const kinds[] = {
		"SETATTR", "WRITE",  "COMMIT", "CREATE", "MKDIR", "SYMLINK",
		"MKNOD",   "REMOVE", "RMDIR",  "RENAME", "LINK",
	};

	snprintf(text, size,
	         "%s object %d at %d/%s to %d/%s set %x mode %o cells %u "
	         "first %u count %u number %u how %d",
	         kinds[change->kind], change->object, change->at.dir,
	         change->at.name, change->to.dir, change->to.name, change->set,
	         change->mode, change->cells, change->first, change->count,
	         change->number, (int)change->how);
}
