#include "config.h"

#include "tests/crash/look.h"

#include <check.h>
#include <string.h>
#include <time.h>

#include "tests/lib/nfs.h"

#define LISTING_BYTES 4096 /* so that it takes several calls */

struct look {
	struct client *client;
	struct model *model;
	char letter;
};

bool look_wait(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	return true;
}

nfs_fh3 look_handle(struct object *object)
{
	return (nfs_fh3){ { MODEL_HANDLE, object->handle } };
}

void look_remember(struct object *object, nfs_fh3 handle)
{
	ck_assert_uint_eq(handle.data.data_len, MODEL_HANDLE);
	memcpy(object->handle, handle.data.data_val, MODEL_HANDLE);
	object->is_known = true;
}

static void set_date(struct object *object, const fattr3 *attr)
{
	object->fileid = attr->fileid;
	object->mtime = attr->mtime;
	/* A copy-up that a kill cuts short may leave a directory's time. */
	object->is_dated = attr->type != NF3DIR;
}

void look_date(struct object *object, const post_op_attr *attr)
{
	if (attr->attributes_follow)
		set_date(object, &attr->post_op_attr_u.attributes);
	else
		object->is_dated = false;
}

/* ---- objects --------------------------------------------------------------- */

static void read_target(struct look *look, struct object *object)
{
	READLINK3res *res;

	LOOK_PATIENTLY(res, nfs_readlink(look->client, look_handle(object)));
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_lt(strlen(res->READLINK3res_u.resok.data), MODEL_TARGET);
	strcpy(object->target, res->READLINK3res_u.resok.data);
}

static void read_cells(struct look *look, struct object *file)
{
	const uint32_t size = file->cells * MODEL_CELL;
	uint32_t cell[MODEL_CELL / 4];
	int64_t number;

	for (uint32_t at = 0, n; at < size; at += n) {
		READ3res *res;

		LOOK_PATIENTLY(res, nfs_read(look->client, look_handle(file),
		                             at, size - at));
		ck_assert_int_eq(res->status, NFS3_OK);
		n = res->READ3res_u.resok.count / MODEL_CELL * MODEL_CELL;
		ck_assert_uint_gt(n, 0);
		for (uint32_t i = 0; i < n; i += MODEL_CELL) {
			memcpy(cell, res->READ3res_u.resok.data.data_val + i,
			       MODEL_CELL);
			number = model_filled(cell);
			ck_assert_msg(number >= 0, "cell %u is torn",
			              (at + i) / MODEL_CELL);
			file->filled[(at + i) / MODEL_CELL] = (uint32_t)number;
		}
	}
}

static struct object object_of(nfs_fh3 handle, const fattr3 *attr)
{
	struct object object = {
		.type = attr->type,
		.mode = attr->mode,
		.uid = attr->uid,
		.gid = attr->gid,
		.nlink = attr->nlink,
	};

	look_remember(&object, handle);
	set_date(&object, attr);
	if (attr->type == NF3REG) {
		ck_assert_uint_eq(attr->size % MODEL_CELL, 0);
		ck_assert_uint_le(attr->size, MODEL_CELLS * MODEL_CELL);
		object.cells = (unsigned)(attr->size / MODEL_CELL);
	} else if (attr->type == NF3CHR) {
		object.major = attr->rdev.specdata1;
		object.minor = attr->rdev.specdata2;
	}
	return object;
}

static int find_handle(const struct model *model, const char *handle)
{
	for (int i = 0; i < MODEL_OBJECTS; i++)
		if (model->objects[i].type &&
		    memcmp(model->objects[i].handle, handle, MODEL_HANDLE) == 0)
			return i;
	return -1;
}

static void look_into(struct look *look, int dir);

/* By this name: one that is known by another already has the same to tell. */
static void look_at(struct look *look, int dir, const char *name)
{
	struct model *model = look->model;
	struct object object;
	LOOKUP3res *res;
	int known;

	LOOK_PATIENTLY(res,
	               nfs_lookup(look->client,
	                          look_handle(&model->objects[dir]), name));
	ck_assert_msg(res->status == NFS3_OK, "%s is listed: status %d", name,
	              res->status);
	ck_assert(res->LOOKUP3res_u.resok.obj_attributes.attributes_follow);
	object = object_of(res->LOOKUP3res_u.resok.object,
	                   &res->LOOKUP3res_u.resok.obj_attributes
	                            .post_op_attr_u.attributes);
	known = find_handle(model, object.handle);
	if (known >= 0) {
		ck_assert(object.type != NF3DIR);
		ck_assert_uint_eq(model->objects[known].nlink, object.nlink);
		ck_assert_uint_eq(model->objects[known].fileid, object.fileid);
		model_add_name(model, known, dir, name);
		return;
	}
	if (object.type == NF3REG)
		read_cells(look, &object);
	else if (object.type == NF3LNK)
		read_target(look, &object);
	known = model_add(model, &object, dir, name);
	if (object.type == NF3DIR)
		look_into(look, known);
}

/* ---- directories ----------------------------------------------------------- */

static bool is_ours(const struct look *look, int dir, const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	return dir != MODEL_SHARED || name[0] == look->letter;
}

static void look_into(struct look *look, int dir)
{
	struct object *object = &look->model->objects[dir];
	uint64_t cookie = 0;
	bool eof = false;

	while (!eof) {
		READDIR3res *res;
		READDIR3resok *ok;

		LOOK_PATIENTLY(res,
		               nfs_readdir(look->client, look_handle(object),
		                           cookie, LISTING_BYTES));
		ck_assert_int_eq(res->status, NFS3_OK);
		ok = &res->READDIR3res_u.resok;
		for (entry3 *e = ok->reply.entries; e; e = e->nextentry) {
			cookie = e->cookie;
			if (is_ours(look, dir, e->name))
				look_at(look, dir, e->name);
		}
		eof = ok->reply.eof;
	}
}

void look_at_all(struct client *client, const char *const roots[MODEL_ROOTS],
                 char letter, struct model *model)
{
	struct look look = { client, model, letter };
	nfs_fh3 export = nfs_root(client);

	model_init(model);
	for (int i = 0; i < MODEL_ROOTS; i++) {
		LOOKUP3res *res;

		LOOK_PATIENTLY(res, nfs_lookup(client, export, roots[i]));
		ck_assert_int_eq(res->status, NFS3_OK);
		model->objects[i] =
			object_of(res->LOOKUP3res_u.resok.object,
		                  &res->LOOKUP3res_u.resok.obj_attributes
		                           .post_op_attr_u.attributes);
	}
	for (int i = 0; i < MODEL_ROOTS; i++)
		look_into(&look, i);
}
