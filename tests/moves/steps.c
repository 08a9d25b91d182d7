/* Random changes of the tree. */
#include "config.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/moves/world.h"
#include "tests/unit/seed.h"

/* Changes fill the model up no further than to this, so that it goes on. */
#define ENOUGH_NAMES 120

static unsigned pick(struct world *world, unsigned of)
{
	return (unsigned)(test_random(&world->random) % of);
}

/* ---- choosing -------------------------------------------------------------- */

/* A name of any object, of one of this type (0: any but directories); or -1. */
static int pick_name(struct world *world, mode_t type)
{
	const struct model *model = &world->model;

	for (unsigned i = 0; i < 100 && model->nnames > 0; i++) {
		unsigned name = pick(world, model->nnames);
		mode_t is = model->objects[model->names[name].object].type;

		if (type == S_IFMT || is == type || (type == 0 && !S_ISDIR(is)))
			return (int)name;
	}
	return -1;
}

static unsigned pick_dir(struct world *world)
{
	int name = pick(world, 6) == 0 ? -1 : pick_name(world, S_IFDIR);

	return name < 0 ? MODEL_ROOT : world->model.names[name].object;
}

/* A name that is not in the directory; few, so that they come again. */
static void pick_new_name(struct world *world, unsigned dir, char name[32])
{
	do {
		snprintf(name, 32, "n%u", pick(world, 40));
	} while (model_find(&world->model, dir, name) >= 0);
}

/* ---- the steps ------------------------------------------------------------- */

static void make(struct world *world)
{
	static const mode_t types[] = {
		S_IFREG, S_IFREG, S_IFREG,  S_IFDIR, S_IFDIR, S_IFLNK,
		S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK,
	};
	unsigned dir = pick_dir(world);
	char name[32];

	if (model_is_full(&world->model) || world->model.nnames >= ENOUGH_NAMES)
		return;
	pick_new_name(world, dir, name);
	world_make(world, dir, name,
	           types[pick(world, sizeof(types) / sizeof(types[0]))]);
}

/* What is lower is copied up. */
static void rewrite(struct world *world)
{
	int name = pick_name(world, S_IFREG);

	if (name >= 0)
		world_write(world, (unsigned)name);
}

/* What is lower is copied up without its data, where it may. */
static void set_a_mode(struct world *world)
{
	const struct model *model = &world->model;
	int name = pick_name(world, S_IFMT);

	if (name >= 0 &&
	    !S_ISLNK(model->objects[model->names[name].object].type))
		world_chmod(world, (unsigned)name, 0700 | pick(world, 0100));
}

static void link_one(struct world *world)
{
	int name = pick_name(world, 0);
	unsigned dir = pick_dir(world);
	char new_name[32];

	if (name < 0 || world->model.nnames >= ENOUGH_NAMES)
		return;
	pick_new_name(world, dir, new_name);
	world_link(world, (unsigned)name, dir, new_name);
}

static void remove_one(struct world *world)
{
	int name = pick_name(world, 0);

	if (name >= 0)
		world_remove(world, (unsigned)name);
}

/* A name in `top`, or below it, that nothing is in; its own if nothing else. */
static unsigned find_leaf(const struct model *model, unsigned top)
{
	for (unsigned i = 0; i < model->nnames; i++)
		if (model_is_below(model, model->names[i].dir, top) &&
		    model_entries(model, model->names[i].object) == 0)
			return i;
	return model_a_name(model, top);
}

/* A directory with all that is in it; seldom, or nothing would be left. */
static void remove_tree(struct world *world)
{
	const struct model *model = &world->model;
	int name = pick_name(world, S_IFDIR);
	unsigned top;

	if (name < 0 || pick(world, 3) != 0)
		return;
	top = model->names[name].object;
	while (!model->objects[top].gone)
		world_remove(world, find_leaf(model, top));
}

/* A name that it may replace; or -1. */
static int pick_victim(struct world *world, unsigned object)
{
	const struct model *model = &world->model;
	bool is_dir = S_ISDIR(model->objects[object].type);
	int name = pick_name(world, is_dir ? S_IFDIR : 0);

	if (name >= 0 && is_dir &&
	    (model->names[name].object == object ||
	     model_entries(model, model->names[name].object) > 0))
		return -1;
	return name;
}

static void move(struct world *world, mode_t type)
{
	const struct model *model = &world->model;
	int name = pick_name(world, type), victim = -1;
	struct model_name to = { 0 };
	unsigned object;

	if (name < 0)
		return;
	object = model->names[name].object;
	if (pick(world, 4) == 0)
		victim = pick_victim(world, object);
	if (victim >= 0) {
		to = model->names[victim];
	} else {
		to.dir = pick_dir(world);
		pick_new_name(world, to.dir, to.name);
	}
	if (!model_is_below(model, to.dir, object))
		world_rename(world, (unsigned)name, to.dir, to.name);
}

static void move_any(struct world *world)
{
	move(world, S_IFMT);
}

static void move_dir(struct world *world)
{
	move(world, S_IFDIR);
}

void world_step(struct world *world)
{
	static void (*const steps[])(struct world *) = {
		move_any,   move_any, move_dir, move_dir,   rewrite,
		set_a_mode, link_one, make,     remove_one, remove_tree,
	};

	steps[pick(world, sizeof(steps) / sizeof(steps[0]))](world);
}
