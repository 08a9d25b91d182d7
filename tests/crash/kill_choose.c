/*
 * What a client of the kill test does next.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/crash/kill_load.h"
#include "tests/unit/seed.h"

#define NAMES 8          /* in a directory */
#define MANY 40          /* objects: then rather less */
#define LONGEST_WRITE 16 /* cells */

static unsigned below(struct kill_load *load, unsigned n)
{
	return (unsigned)(test_random(&load->random) % n);
}

/* Any that is there, or -1. */
static int any_object(struct kill_load *load, ftype3 type)
{
	int from = (int)below(load, MODEL_OBJECTS);

	for (int i = 0; i < MODEL_OBJECTS; i++) {
		int at = (from + i) % MODEL_OBJECTS;
		ftype3 has = load->model.objects[at].type;

		if (has && (has == type || !type))
			return at;
	}
	return -1;
}

static void any_name(struct kill_load *load, char name[MODEL_NAME])
{
	snprintf(name, MODEL_NAME, "%c%u", load->letter, below(load, NAMES));
}

/* Where nothing is yet. */
static bool choose_free(struct kill_load *load, struct place *at)
{
	at->dir = any_object(load, NF3DIR);
	any_name(load, at->name);
	return model_find(&load->model, at->dir, at->name) < 0;
}

/* Where something is: the object. */
static int choose_taken(struct kill_load *load, struct place *at)
{
	int from = (int)below(load, MODEL_NAMES);

	for (int i = 0; i < MODEL_NAMES; i++) {
		const struct name *name =
			&load->model.names[(from + i) % MODEL_NAMES];

		if (name->object < 0)
			continue;
		at->dir = name->dir;
		strcpy(at->name, name->name);
		return name->object;
	}
	return -1;
}

/* ---- each kind ------------------------------------------------------------- */

static bool choose_setattr(struct kill_load *load, struct change *change)
{
	int object = any_object(load, 0);
	ftype3 type = load->model.objects[object].type;

	change->object = object;
	change->set = 1 + below(load, 15);
	if (below(load, 2))
		change->set = 1u << below(load, 4);
	if (type != NF3REG)
		change->set &= ~SET_SIZE;
	if (type == NF3LNK)
		change->set &= ~SET_MODE;
	change->uid = below(load, 60000);
	change->gid = below(load, 60000);
	change->cells = below(load, MODEL_CELLS + 1);
	change->mtime =
		(nfstime3){ below(load, 1u << 30), below(load, 1000000000) };
	/* What all share is not changed, lest others see it. */
	return change->set && object != MODEL_SHARED;
}

static bool choose_write(struct kill_load *load, struct change *change)
{
	static const stable_how levels[] = { UNSTABLE, DATA_SYNC, FILE_SYNC };

	change->object = any_object(load, NF3REG);
	if (change->object < 0)
		return false;
	change->first = below(load, MODEL_CELLS);
	change->count = 1 + below(load, LONGEST_WRITE);
	if (change->first + change->count > MODEL_CELLS)
		change->count = MODEL_CELLS - change->first;
	change->stable = levels[below(load, 3)];
	load->numbers += MODEL_CELL / 4;
	change->number = load->numbers;
	return true;
}

static bool choose_create(struct kill_load *load, struct change *change)
{
	static const createmode3 modes[] = { UNCHECKED, GUARDED, EXCLUSIVE };
	uint64_t verifier = test_random(&load->random);
	int there;

	change->how = modes[below(load, 3)];
	memcpy(change->verifier, &verifier, 8);
	if (change->how != UNCHECKED || below(load, 2))
		return choose_free(load, &change->at);
	there = choose_taken(load, &change->at);
	return there >= 0 && load->model.objects[there].type == NF3REG;
}

static bool choose_mknod(struct kill_load *load, struct change *change)
{
	static const ftype3 types[] = { NF3FIFO, NF3SOCK, NF3CHR };

	change->type = types[below(load, 3)];
	if (change->type == NF3CHR) {
		change->major = 1;
		change->minor = 3 + below(load, 7);
	}
	return choose_free(load, &change->at);
}

static bool choose_symlink(struct kill_load *load, struct change *change)
{
	snprintf(change->target, MODEL_TARGET, "to/%u", below(load, 1000));
	return choose_free(load, &change->at);
}

static bool choose_remove(struct kill_load *load, struct change *change,
                          bool directory)
{
	int there = choose_taken(load, &change->at);

	if (there < 0)
		return false;
	if (!directory)
		return load->model.objects[there].type != NF3DIR;
	return load->model.objects[there].type == NF3DIR &&
	       model_is_empty(&load->model, there);
}

static bool may_replace(const struct model *model, int source, int target)
{
	if (source == target)
		return false;
	if (model->objects[source].type == NF3DIR)
		return model->objects[target].type == NF3DIR &&
		       model_is_empty(model, target);
	return model->objects[target].type != NF3DIR;
}

static bool choose_rename(struct kill_load *load, struct change *change)
{
	int source = choose_taken(load, &change->at), target;
	const struct model *model = &load->model;

	if (source < 0)
		return false;
	/* Mostly over something, which else is rare. */
	if (below(load, 3) == 0)
		choose_taken(load, &change->to);
	else
		choose_free(load, &change->to);
	if (model->objects[source].type == NF3DIR &&
	    model_is_below(model, change->to.dir, source))
		return false;
	target = model_find(model, change->to.dir, change->to.name);
	return target < 0 || may_replace(model, source, target);
}

static bool choose_link(struct kill_load *load, struct change *change)
{
	change->object = any_object(load, below(load, 4) ? NF3REG : 0);
	return change->object >= 0 &&
	       load->model.objects[change->object].type != NF3DIR &&
	       choose_free(load, &change->to);
}

/* ---- all ------------------------------------------------------------------- */

static unsigned count_objects(const struct model *model)
{
	unsigned n = 0;

	for (int i = 0; i < MODEL_OBJECTS; i++)
		n += model->objects[i].type != 0;
	return n;
}

static bool makes_more(enum change_kind kind)
{
	return kind == CHANGE_CREATE || kind == CHANGE_MKDIR ||
	       kind == CHANGE_SYMLINK || kind == CHANGE_MKNOD ||
	       kind == CHANGE_LINK;
}

bool kill_choose(struct kill_load *load, struct change *change)
{
	*change = (struct change){ .kind = below(load, CHANGE_KINDS) };
	if (makes_more(change->kind) && count_objects(&load->model) > MANY)
		return false;
	change->mode = 0600 | below(load, 0200);
	switch (change->kind) {
	case CHANGE_SETATTR:
		return choose_setattr(load, change);
	case CHANGE_WRITE:
		return choose_write(load, change);
	case CHANGE_COMMIT:
		change->object = any_object(load, NF3REG);
		return change->object >= 0;
	case CHANGE_CREATE:
		return choose_create(load, change);
	case CHANGE_MKDIR:
		return choose_free(load, &change->at);
	case CHANGE_SYMLINK:
		return choose_symlink(load, change);
	case CHANGE_MKNOD:
		change->mode = 0640; /* as nfs_mknod has it */
		return choose_mknod(load, change);
	case CHANGE_REMOVE:
		return choose_remove(load, change, false);
	case CHANGE_RMDIR:
		return choose_remove(load, change, true);
	case CHANGE_RENAME:
		return choose_rename(load, change);
	default:
		return choose_link(load, change);
	}
}
