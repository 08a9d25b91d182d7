#include "config.h"

#include "tests/crash/load_model.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x564e4c44

/* ---- names --------------------------------------------------------------- */

/* A change of names moves a directory's time. */
static void touch(struct load_model *model, unsigned dir)
{
	model->objects[dir].mtime = 0;
}

struct load_name *load_model_find(struct load_model *model, unsigned dir,
                                  const char *name)
{
	for (unsigned i = 0; i < LOAD_NAMES; i++) {
		struct load_name *n = &model->names[i];

		if (n->used && n->dir == dir && strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

void load_model_link(struct load_model *model, unsigned object, unsigned dir,
                     const char *name)
{
	for (unsigned i = 0; i < LOAD_NAMES; i++) {
		struct load_name *n = &model->names[i];

		if (n->used)
			continue;
		n->used = true;
		n->dir = (uint16_t)dir;
		n->object = (uint16_t)object;
		snprintf(n->name, sizeof(n->name), "%s", name);
		touch(model, dir);
		return;
	}
	abort(); /* load_model_add says whether there is room */
}

bool load_model_is_full(const struct load_model *model)
{
	for (unsigned i = 0; i < LOAD_NAMES; i++)
		if (!model->names[i].used)
			return false;
	return true;
}

int load_model_add(struct load_model *model, ftype3 type, unsigned dir,
                   const char *name)
{
	if (load_model_is_full(model) || model->nobjects == LOAD_OBJECTS)
		return -1;
	model->objects[model->nobjects] = (struct load_object){ .type = type };
	load_model_link(model, model->nobjects, dir, name);
	return (int)model->nobjects++;
}

unsigned load_model_count_links(const struct load_model *model, unsigned object)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LOAD_NAMES; i++)
		n += model->names[i].used && model->names[i].object == object;
	return n;
}

void load_model_unlink(struct load_model *model, struct load_name *name)
{
	name->used = false;
	touch(model, name->dir);
	if (load_model_count_links(model, name->object) == 0)
		model->objects[name->object].dead = true;
}

void load_model_rename(struct load_model *model, struct load_name *name,
                       unsigned dir, const char *to)
{
	struct load_name *old = load_model_find(model, dir, to);

	if (old)
		load_model_unlink(model, old);
	touch(model, name->dir);
	touch(model, dir);
	name->dir = (uint16_t)dir;
	snprintf(name->name, sizeof(name->name), "%s", to);
}

bool load_model_is_empty(const struct load_model *model, unsigned dir)
{
	for (unsigned i = 0; i < LOAD_NAMES; i++)
		if (model->names[i].used && model->names[i].dir == dir)
			return false;
	return true;
}

bool load_model_is_below(const struct load_model *model, unsigned dir,
                         unsigned above)
{
	while (dir != above && dir > LOAD_SHARED_DIR) {
		for (unsigned i = 0; i < LOAD_NAMES; i++) {
			if (model->names[i].used &&
			    model->names[i].object == dir) {
				dir = model->names[i].dir;
				break;
			}
		}
	}
	return dir == above;
}

/* ---- data ---------------------------------------------------------------- */

static unsigned max(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

void load_model_write(struct load_object *file, unsigned block)
{
	file->blocks[block].now = ++file->blocks[block].latest;
	file->max_blocks = max(file->max_blocks, block + 1);
	file->mtime = 0;
}

void load_model_settle(struct load_object *file, unsigned block)
{
	struct load_block *b = &file->blocks[block];

	b->stable = b->now;
	b->since = b->latest;
	file->min_blocks = max(file->min_blocks, block + 1);
}

void load_model_cut(struct load_object *file, unsigned blocks)
{
	for (unsigned i = blocks; i < LOAD_BLOCKS; i++) {
		file->blocks[i].stable = file->blocks[i].now = 0;
		file->blocks[i].since = file->blocks[i].latest;
	}
	file->min_blocks = file->max_blocks = blocks;
	file->truncated = true;
	file->mtime = 0;
}

bool load_model_may_have(const struct load_object *file, unsigned block,
                         uint32_t version)
{
	const struct load_block *b = &file->blocks[block];

	return version == b->stable ||
	       (version > b->since && version <= b->latest);
}

void load_model_fill(unsigned number, unsigned object, unsigned block,
                     uint32_t version, void *data)
{
	uint32_t words[4] = { MAGIC + number, object, block, version };

	for (unsigned i = 0; i < LOAD_BLOCK; i += sizeof(words))
		memcpy((char *)data + i, words, sizeof(words));
}

int64_t load_model_read(unsigned number, unsigned object, unsigned block,
                        const void *data)
{
	static const char zeros[LOAD_BLOCK];
	char expected[LOAD_BLOCK];
	uint32_t words[4];

	if (memcmp(data, zeros, LOAD_BLOCK) == 0)
		return 0;
	memcpy(words, data, sizeof(words));
	load_model_fill(number, object, block, words[3], expected);
	return memcmp(data, expected, LOAD_BLOCK) == 0 ? (int64_t)words[3] : -1;
}

void load_model_target(unsigned number, unsigned object, char target[64])
{
	snprintf(target, 64, "target of %u of %u", object, number);
}

/* ---- what is there at first ------------------------------------------------ */

static unsigned plan(struct load_model *model, ftype3 type, unsigned dir,
                     const char *name)
{
	unsigned object = (unsigned)load_model_add(model, type, dir, name);

	model->objects[object].lower = true;
	model->objects[object].mode = type == NF3DIR ? 0755 : 0644;
	return object;
}

static unsigned plan_file(struct load_model *model, unsigned dir,
                          const char *name, unsigned blocks)
{
	unsigned object = plan(model, NF3REG, dir, name);
	struct load_object *file = &model->objects[object];

	file->min_blocks = file->max_blocks = blocks;
	for (unsigned i = 0; i < blocks; i++)
		file->blocks[i] = (struct load_block){
			.lower = true,
			.latest = 1,
			.now = 1,
			.stable = 1,
			.since = 1,
		};
	return object;
}

void load_model_init(struct load_model *model, unsigned number)
{
	unsigned dir;
	char name[12];

	*model = (struct load_model){ .number = number, .nobjects = 2 };
	for (unsigned i = 0; i < 2; i++)
		model->objects[i] = (struct load_object){
			.type = NF3DIR,
			.lower = true,
			.mode = 0755,
		};
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		plan_file(model, LOAD_OWN_DIR, name, 1 + i % LOAD_BLOCKS);
	}
	load_model_link(model, plan_file(model, LOAD_OWN_DIR, "n6", 2),
	                LOAD_OWN_DIR, "n7");
	plan(model, NF3LNK, LOAD_OWN_DIR, "n8");
	for (unsigned i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		dir = plan(model, NF3DIR, LOAD_OWN_DIR, name);
		plan_file(model, dir, "n0", 1);
		plan_file(model, plan(model, NF3DIR, dir, "d0"), "n0", 3);
	}
}

static void plant_object(const struct load_model *model, unsigned object,
                         int dir, const char *name)
{
	const struct load_object *o = &model->objects[object];
	char data[LOAD_BLOCK], target[64];
	int fd;

	if (o->type == NF3DIR) {
		ck_assert_int_eq(mkdirat(dir, name, o->mode), 0);
		return;
	}
	if (o->type == NF3LNK) {
		load_model_target(model->number, object, target);
		ck_assert_int_eq(symlinkat(target, dir, name), 0);
		return;
	}
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	            o->mode);
	for (unsigned i = 0; i < o->min_blocks; i++) {
		load_model_fill(model->number, object, i, 1, data);
		ck_assert_int_eq(write(fd, data, LOAD_BLOCK), LOAD_BLOCK);
	}
	ck_assert_int_eq(close(fd), 0);
}

void load_model_plant(const struct load_model *model, int layer)
{
	int dirs[LOAD_OBJECTS];
	char own[16];

	snprintf(own, sizeof(own), "own%u", model->number);
	ck_assert_int_eq(mkdirat(layer, own, 0755), 0);
	dirs[LOAD_OWN_DIR] = openat(layer, own, O_RDONLY | O_CLOEXEC);
	/* A directory comes before what is in it, and a file's names in turn. */
	for (unsigned i = 0; i < LOAD_NAMES && model->names[i].used; i++) {
		const struct load_name *n = &model->names[i];
		const struct load_name *before = i ? n - 1 : NULL;

		if (before && before->object == n->object) {
			ck_assert_int_eq(linkat(dirs[n->dir], before->name,
			                        dirs[n->dir], n->name, 0),
			                 0);
			continue;
		}
		plant_object(model, n->object, dirs[n->dir], n->name);
		dirs[n->object] =
			openat(dirs[n->dir], n->name,
		               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	}
	for (unsigned i = 0; i < model->nobjects; i++)
		if (i != LOAD_SHARED_DIR && dirs[i] >= 0)
			close(dirs[i]);
}
