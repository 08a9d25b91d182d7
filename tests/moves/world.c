#include "config.h"

#include "tests/moves/world.h"

#include <check.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/nfs.h"
#include "tests/unit/seed.h"

/* Handles that a glance takes in. */
#define GLANCES 4

/* ---- being a client --------------------------------------------------------- */

void world_connect(struct world *world, const struct daemon *daemon)
{
	world->client = client_new(daemon_connect(daemon));
	world->client->patient = true;
	/* To the server, who is new under an old xid says an old thing again. */
	world->client->xid = (uint32_t)test_random(&world->random);
}

void world_leave(struct world *world)
{
	client_free(world->client);
	world->client = NULL;
}

/* The assertions of check(3) each write to a file when they hold: too slow. */
#define must(condition, ...)                       \
	do {                                       \
		if (!(condition))                  \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* ---- handles ---------------------------------------------------------------- */

/* The name of one object, for messages. */
static const char *path_of(const struct model *model, unsigned object)
{
	static char path[MODEL_PATH];

	if (object == MODEL_ROOT)
		return "/";
	if (model->objects[object].gone)
		return "what is gone";
	return model_path(model, model_a_name(model, object), path);
}

void world_given_out(struct world *world, unsigned object, nfs_fh3 handle,
                     const char *by)
{
	struct model_object *is = &world->model.objects[object];

	must(handle.data.data_len == MODEL_HANDLE_BYTES, "by %s: %u bytes", by,
	     handle.data.data_len);
	if (!is->known)
		memcpy(is->handle, handle.data.data_val, MODEL_HANDLE_BYTES);
	is->known = true;
	must(memcmp(is->handle, handle.data.data_val, MODEL_HANDLE_BYTES) == 0,
	     "%s (object %u): another handle by %s",
	     path_of(&world->model, object), object, by);
}

nfs_fh3 world_handle(struct world *world, unsigned object)
{
	struct model *model = &world->model;
	const struct model_name *name;
	LOOKUP3res *res;

	if (object == MODEL_ROOT && !model->objects[object].known)
		world_given_out(world, object, nfs_root(world->client), "MNT");
	if (!model->objects[object].known) {
		name = &model->names[model_a_name(model, object)];
		res = nfs_lookup(world->client, world_handle(world, name->dir),
		                 name->name);
		must(res->status == NFS3_OK, "%s: %d", path_of(model, object),
		     res->status);
		world_given_out(world, object, res->LOOKUP3res_u.resok.object,
		                "LOOKUP");
	}
	return model_handle(model, object);
}

/* ---- objects ---------------------------------------------------------------- */

ftype3 world_ftype(mode_t type)
{
	switch (type) {
	case S_IFDIR:
		return NF3DIR;
	case S_IFLNK:
		return NF3LNK;
	case S_IFIFO:
		return NF3FIFO;
	case S_IFSOCK:
		return NF3SOCK;
	case S_IFCHR:
		return NF3CHR;
	case S_IFBLK:
		return NF3BLK;
	default:
		return NF3REG;
	}
}

static void check_attributes(struct world *world, unsigned object,
                             const fattr3 *attr)
{
	struct model_object *is = &world->model.objects[object];
	const char *path = path_of(&world->model, object);

	if (is->fileid == 0)
		is->fileid = attr->fileid;
	must(attr->fileid == is->fileid,
	     "%s: fileid %#" PRIx64 ", was %#" PRIx64, path, attr->fileid,
	     is->fileid);
	must(attr->type == world_ftype(is->type), "%s: type %d", path,
	     attr->type);
	must(is->mode == 0 || attr->mode == is->mode, "%s: mode %o", path,
	     attr->mode);
	if (!S_ISDIR(is->type))
		must(attr->nlink == model_links(&world->model, object),
		     "%s: %u links", path, attr->nlink);
	if (S_ISREG(is->type) || S_ISLNK(is->type))
		must(attr->size == strlen(is->text), "%s: size %" PRIu64, path,
		     attr->size);
	if (S_ISCHR(is->type) || S_ISBLK(is->type))
		must(attr->rdev.specdata1 == is->major &&
		             attr->rdev.specdata2 == is->minor,
		     "%s: device %u:%u", path, attr->rdev.specdata1,
		     attr->rdev.specdata2);
}

static void check_content(struct world *world, unsigned object)
{
	struct model_object *is = &world->model.objects[object];
	nfs_fh3 handle = model_handle(&world->model, object);
	const char *path = path_of(&world->model, object);
	READLINK3res *target;
	READ3res *data;

	if (S_ISREG(is->type)) {
		data = nfs_read(world->client, handle, 0, 4096);
		must(data->status == NFS3_OK, "READ of %s: %d", path,
		     data->status);
		must(data->READ3res_u.resok.count == strlen(is->text),
		     "%s: %u bytes", path, data->READ3res_u.resok.count);
		must(memcmp(data->READ3res_u.resok.data.data_val, is->text,
		            strlen(is->text)) == 0,
		     "%s: not \"%s\"", path, is->text);
	} else if (S_ISLNK(is->type)) {
		target = nfs_readlink(world->client, handle);
		must(target->status == NFS3_OK, "READLINK of %s: %d", path,
		     target->status);
		must(strcmp(target->READLINK3res_u.resok.data, is->text) == 0,
		     "%s: not \"%s\"", path, is->text);
	}
}

static void check_handle(struct world *world, unsigned object)
{
	struct model_object *is = &world->model.objects[object];
	GETATTR3res *res;

	if (!is->known)
		return;
	res = nfs_getattr(world->client, model_handle(&world->model, object));
	if (is->gone) {
		must(res->status == NFS3ERR_STALE,
		     "what is gone (object %u, fileid %#" PRIx64 "): %d",
		     object, is->fileid, res->status);
		return;
	}
	must(res->status == NFS3_OK, "GETATTR of %s (object %u): %d",
	     path_of(&world->model, object), object, res->status);
	check_attributes(world, object,
	                 &res->GETATTR3res_u.resok.obj_attributes);
	check_content(world, object);
}

void world_glance(struct world *world)
{
	for (unsigned i = 0; i < GLANCES; i++)
		check_handle(world, test_random(&world->random) %
		                            world->model.nobjects);
}

/* In a random order, without any name having been looked up. */
static void check_handles(struct world *world)
{
	unsigned order[MODEL_OBJECTS], n = world->model.nobjects;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = test_random(&world->random) % (i + 1);

		order[i] = order[at];
		order[at] = i;
	}
	for (unsigned i = 0; i < n; i++)
		check_handle(world, order[i]);
}

/* ---- names ------------------------------------------------------------------- */

static void check_name(struct world *world, unsigned name)
{
	const struct model_name *is = &world->model.names[name];
	char path[MODEL_PATH];
	LOOKUP3res *res = nfs_lookup(world->client,
	                             world_handle(world, is->dir), is->name);

	must(res->status == NFS3_OK, "LOOKUP of %s: %d",
	     model_path(&world->model, name, path), res->status);
	world_given_out(world, is->object, res->LOOKUP3res_u.resok.object,
	                "LOOKUP");
}

/* The directory above that the server tells. */
static void check_parent(struct world *world, unsigned dir)
{
	const struct model *model = &world->model;
	unsigned above = dir;
	LOOKUP3res *res =
		nfs_lookup(world->client, world_handle(world, dir), "..");

	if (dir != MODEL_ROOT)
		above = model->names[model_a_name(model, dir)].dir;
	must(res->status == NFS3_OK, "%s: %d", path_of(&world->model, dir),
	     res->status);
	world_given_out(world, above, res->LOOKUP3res_u.resok.object,
	                "LOOKUP of ..");
}

static void check_entry(struct world *world, unsigned dir,
                        const entryplus3 *entry)
{
	int name = model_find(&world->model, dir, entry->name);
	unsigned object;

	must(name >= 0, "%s/%s is listed", path_of(&world->model, dir),
	     entry->name);
	object = world->model.names[name].object;
	if (entry->name_handle.handle_follows)
		world_given_out(world, object,
		                entry->name_handle.post_op_fh3_u.handle,
		                "READDIRPLUS");
	if (entry->name_attributes.attributes_follow)
		check_attributes(
			world, object,
			&entry->name_attributes.post_op_attr_u.attributes);
	must(world->model.objects[object].fileid == 0 ||
	             entry->fileid == world->model.objects[object].fileid,
	     "%s/%s: fileid %#" PRIx64, path_of(&world->model, dir),
	     entry->name, entry->fileid);
}

/* What the tests put there besides: the model does not know it. */
static bool is_of_the_model(const char *name)
{
	return name[0] != '.' && strcmp(name, "lost+found") != 0;
}

static void check_listing(struct world *world, unsigned dir)
{
	READDIRPLUS3res *res;
	unsigned n = 0;
	cookie3 cookie = 0;

	do {
		const entryplus3 *entry;

		res = nfs_readdirplus(world->client, world_handle(world, dir),
		                      cookie, 65536, 65536);
		must(res->status == NFS3_OK, "%s: %d",
		     path_of(&world->model, dir), res->status);
		entry = res->READDIRPLUS3res_u.resok.reply.entries;
		for (; entry; entry = entry->nextentry) {
			cookie = entry->cookie;
			if (!is_of_the_model(entry->name))
				continue;
			check_entry(world, dir, entry);
			n++;
		}
	} while (!res->READDIRPLUS3res_u.resok.reply.eof);
	must(n == model_entries(&world->model, dir), "%s: %u names, not %u",
	     path_of(&world->model, dir), n, model_entries(&world->model, dir));
}

static void check_names(struct world *world)
{
	const struct model *model = &world->model;

	for (unsigned i = 0; i < model->nnames; i++)
		check_name(world, i);
	for (unsigned i = 0; i < model->nobjects; i++) {
		if (!S_ISDIR(model->objects[i].type) || model->objects[i].gone)
			continue;
		check_parent(world, i);
		check_listing(world, i);
	}
}

void world_audit(struct world *world)
{
	check_handles(world);
	check_names(world);
}
