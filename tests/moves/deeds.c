/* Single changes, done to the model and to the server. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/nfs.h"
#include "tests/moves/world.h"

/* On standard output; -1 and NULL: no such name. */
static void tell(struct world *world, const char *what, int name, unsigned dir,
                 const char *new_name)
{
	const struct model *model = &world->model;
	char path[MODEL_PATH] = "", to[MODEL_PATH] = "/";

	if (name >= 0)
		model_path(model, (unsigned)name, path);
	if (new_name && dir != MODEL_ROOT)
		model_path(model, model_a_name(model, dir), to);
	printf("%s %s %s %s\n", what, path, new_name ? to : "",
	       new_name ? new_name : "");
}

/* ---- making ---------------------------------------------------------------- */

static void take_handle(struct world *world, unsigned object,
                        const post_op_fh3 *handle, const char *by)
{
	if (handle->handle_follows)
		world_given_out(world, object, handle->post_op_fh3_u.handle,
		                by);
}

static void make_file(struct world *world, unsigned dir, const char *name)
{
	unsigned object = model_add(&world->model, dir, name, S_IFREG);
	CREATE3res *res = nfs_create(world->client, world_handle(world, dir),
	                             name, GUARDED, set_mode(0644));

	ck_assert_int_eq(res->status, NFS3_OK);
	take_handle(world, object, &res->CREATE3res_u.resok.obj, "CREATE");
	nfs_put_text(world->client, world_handle(world, object),
	             world->model.objects[object].text);
}

static void make_dir(struct world *world, unsigned dir, const char *name)
{
	unsigned object = model_add(&world->model, dir, name, S_IFDIR);
	MKDIR3res *res = nfs_mkdir(world->client, world_handle(world, dir),
	                           name, set_mode(0755));

	ck_assert_int_eq(res->status, NFS3_OK);
	take_handle(world, object, &res->MKDIR3res_u.resok.obj, "MKDIR");
}

static void make_symlink(struct world *world, unsigned dir, const char *name)
{
	unsigned object = model_add(&world->model, dir, name, S_IFLNK);
	SYMLINK3res *res = nfs_symlink(world->client, world_handle(world, dir),
	                               name, world->model.objects[object].text);

	ck_assert_int_eq(res->status, NFS3_OK);
	take_handle(world, object, &res->SYMLINK3res_u.resok.obj, "SYMLINK");
}

static void make_special(struct world *world, unsigned dir, const char *name,
                         mode_t type)
{
	unsigned object = model_add(&world->model, dir, name, type);
	struct model_object *made = &world->model.objects[object];
	MKNOD3res *res;

	if (S_ISCHR(made->type) || S_ISBLK(made->type)) {
		made->major = 7;
		made->minor = object;
	}
	res = nfs_mknod(world->client, world_handle(world, dir), name,
	                world_ftype(type), made->major, made->minor);
	ck_assert_int_eq(res->status, NFS3_OK);
	take_handle(world, object, &res->MKNOD3res_u.resok.obj, "MKNOD");
}

void world_make(struct world *world, unsigned dir, const char *name,
                mode_t type)
{
	tell(world, "make", -1, dir, name);
	if (S_ISREG(type))
		make_file(world, dir, name);
	else if (S_ISDIR(type))
		make_dir(world, dir, name);
	else if (S_ISLNK(type))
		make_symlink(world, dir, name);
	else
		make_special(world, dir, name, type);
}

/* ---- changing -------------------------------------------------------------- */

void world_write(struct world *world, unsigned name)
{
	unsigned object = world->model.names[name].object;
	struct model_object *file = &world->model.objects[object];

	tell(world, "write", (int)name, 0, NULL);
	model_retell(&world->model, object);
	nfs_put_text(world->client, world_handle(world, object), file->text);
}

void world_chmod(struct world *world, unsigned name, mode_t mode)
{
	unsigned object = world->model.names[name].object;
	SETATTR3res *res;

	tell(world, "chmod", (int)name, 0, NULL);
	res = nfs_setattr(world->client, world_handle(world, object),
	                  set_mode(mode));
	ck_assert_int_eq(res->status, NFS3_OK);
	world->model.objects[object].mode = mode;
}

/* ---- names ----------------------------------------------------------------- */

void world_link(struct world *world, unsigned name, unsigned dir,
                const char *new_name)
{
	unsigned object = world->model.names[name].object;
	LINK3res *res;

	tell(world, "link", (int)name, dir, new_name);
	res = nfs_link(world->client, world_handle(world, object),
	               world_handle(world, dir), new_name);
	ck_assert_int_eq(res->status, NFS3_OK);
	model_add_name(&world->model, dir, new_name, object);
}

void world_remove(struct world *world, unsigned name)
{
	const struct model_name *gone = &world->model.names[name];
	nfs_fh3 dir = world_handle(world, gone->dir);
	nfsstat3 status;

	tell(world, "remove", (int)name, 0, NULL);
	if (S_ISDIR(world->model.objects[gone->object].type))
		status = nfs_rmdir(world->client, dir, gone->name)->status;
	else
		status = nfs_remove(world->client, dir, gone->name)->status;
	ck_assert_int_eq(status, NFS3_OK);
	model_drop_name(&world->model, name);
}

/* What the model makes of it; two links of one file stay as they are. */
static void move(struct model *model, const struct model_name *from,
                 unsigned dir, const char *new_name)
{
	int victim = model_find(model, dir, new_name);

	if (victim >= 0 && model->names[victim].object == from->object)
		return;
	if (victim >= 0)
		model_drop_name(model, (unsigned)victim);
	model_add_name(model, dir, new_name, from->object);
	model_drop_name(model,
	                (unsigned)model_find(model, from->dir, from->name));
}

void world_rename(struct world *world, unsigned name, unsigned dir,
                  const char *new_name)
{
	const struct model_name from = world->model.names[name];
	RENAME3res *res;

	tell(world, "rename", (int)name, dir, new_name);
	res = nfs_rename(world->client, world_handle(world, from.dir),
	                 from.name, world_handle(world, dir), new_name);
	ck_assert_int_eq(res->status, NFS3_OK);
	move(&world->model, &from, dir, new_name);
}
