#include "config.h"

#include "tests/moves/model.h"

#include <assert.h>
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- objects --------------------------------------------------------------- */

static unsigned new_object(struct model *model, mode_t type)
{
	struct model_object *object = &model->objects[model->nobjects];

	assert(model->nobjects < MODEL_OBJECTS);
	*object = (struct model_object){ .type = type };
	if (type == S_IFREG || type == S_IFLNK)
		snprintf(object->text, sizeof(object->text), "object %u",
		         model->nobjects);
	return model->nobjects++;
}

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	new_object(model, S_IFDIR);
}

bool model_is_full(const struct model *model)
{
	return model->nobjects == MODEL_OBJECTS || model->nnames == MODEL_NAMES;
}

unsigned model_add(struct model *model, unsigned dir, const char *name,
                   mode_t type)
{
	unsigned object = new_object(model, type);

	model_add_name(model, dir, name, object);
	return object;
}

void model_retell(struct model *model, unsigned object)
{
	char *text = model->objects[object].text;
	unsigned number = 0, turn = 0;

	sscanf(text, "object %u turn %u", &number, &turn);
	snprintf(text, MODEL_TEXT, "object %u turn %u", number, turn + 1);
}

nfs_fh3 model_handle(struct model *model, unsigned object)
{
	assert(model->objects[object].known);
	return (nfs_fh3){ { MODEL_HANDLE_BYTES,
		            model->objects[object].handle } };
}

/* ---- names ----------------------------------------------------------------- */

void model_add_name(struct model *model, unsigned dir, const char *name,
                    unsigned object)
{
	struct model_name *new = &model->names[model->nnames];

	assert(model->nnames < MODEL_NAMES);
	assert(strlen(name) < sizeof(new->name));
	assert(model_find(model, dir, name) < 0);
	new->dir = dir;
	new->object = object;
	strcpy(new->name, name);
	model->nnames++;
}

void model_drop_name(struct model *model, unsigned name)
{
	unsigned object = model->names[name].object;

	model->names[name] = model->names[--model->nnames];
	if (model_links(model, object) == 0)
		model->objects[object].gone = true;
}

int model_find(const struct model *model, unsigned dir, const char *name)
{
	for (unsigned i = 0; i < model->nnames; i++)
		if (model->names[i].dir == dir &&
		    strcmp(model->names[i].name, name) == 0)
			return (int)i;
	return -1;
}

int model_at(const struct model *model, const char *path)
{
	unsigned object = MODEL_ROOT;
	char name[32];
	int found;

	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		found = model_find(model, object, name);
		if (found < 0)
			return -1;
		object = model->names[found].object;
		path += len + (path[len] == '/');
	}
	return (int)object;
}

unsigned model_split(const struct model *model, const char *path,
                     const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[MODEL_PATH] = "";
	int found;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	*name = slash ? slash + 1 : path;
	found = model_at(model, dir);
	assert(found >= 0);
	return (unsigned)found;
}

unsigned model_name_at(const struct model *model, const char *path)
{
	const char *last;
	unsigned dir = model_split(model, path, &last);
	int name = model_find(model, dir, last);

	ck_assert_msg(name >= 0, "%s is not there", path);
	return (unsigned)name;
}

unsigned model_links(const struct model *model, unsigned object)
{
	unsigned n = 0;

	for (unsigned i = 0; i < model->nnames; i++)
		n += model->names[i].object == object;
	return n;
}

unsigned model_entries(const struct model *model, unsigned dir)
{
	unsigned n = 0;

	for (unsigned i = 0; i < model->nnames; i++)
		n += model->names[i].dir == dir;
	return n;
}

unsigned model_a_name(const struct model *model, unsigned object)
{
	unsigned i = 0;

	while (i < model->nnames && model->names[i].object != object)
		i++;
	assert(i < model->nnames);
	return i;
}

bool model_is_below(const struct model *model, unsigned object, unsigned dir)
{
	while (object != dir && object != MODEL_ROOT)
		object = model->names[model_a_name(model, object)].dir;
	return object == dir;
}

const char *model_path(const struct model *model, unsigned name,
                       char path[MODEL_PATH])
{
	char below[MODEL_PATH] = "";
	unsigned dir;

	for (;;) {
		snprintf(path, MODEL_PATH, "/%s%.900s", model->names[name].name,
		         below);
		dir = model->names[name].dir;
		if (dir == MODEL_ROOT)
			return path;
		strcpy(below, path);
		name = model_a_name(model, dir);
	}
}
