#include "config.h"

#include "tests/crash/kill_load.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/look.h"
#include "tests/lib/nfs.h"
#include "tests/unit/seed.h"

#define WHY 256

/* ---- calls ----------------------------------------------------------------- */

/* What a call tells of an object: made, or changed. */
struct told {
	const post_op_fh3 *handle;
	const post_op_attr *attr;
};

/* -1: the server is gone. */
typedef int call_fn(struct kill_load *load, const struct change *change,
                    struct told *told);

static nfs_fh3 handle_of(struct kill_load *load, int object)
{
	ck_assert(load->model.objects[object].is_known);
	return look_handle(&load->model.objects[object]);
}

static sattr3 attributes_of(const struct change *change)
{
	sattr3 set = set_nothing();

	if (change->set & SET_MODE)
		set = set_mode(change->mode);
	if (change->set & SET_OWNER) {
		set.uid.set_it = set.gid.set_it = true;
		set.uid.set_uid3_u.uid = change->uid;
		set.gid.set_gid3_u.gid = change->gid;
	}
	if (change->set & SET_SIZE)
		set.size = set_size(change->cells * MODEL_CELL).size;
	if (change->set & SET_MTIME) {
		set.mtime.set_it = SET_TO_CLIENT_TIME;
		set.mtime.set_mtime_u.mtime = change->mtime;
	}
	return set;
}

static int call_setattr(struct kill_load *load, const struct change *change,
                        struct told *told)
{
	SETATTR3res *res;

	LOOK_PATIENTLY(res, nfs_setattr(load->client,
	                                handle_of(load, change->object),
	                                attributes_of(change)));
	if (!res)
		return -1;
	told->attr = &res->SETATTR3res_u.resok.obj_wcc.after;
	return res->status;
}

static int call_write(struct kill_load *load, const struct change *change,
                      struct told *told)
{
	const uint32_t count = change->count * MODEL_CELL;
	uint32_t *data = malloc(count);
	WRITE3res *res;

	ck_assert_ptr_nonnull(data);
	for (unsigned i = 0; i < change->count; i++)
		model_fill(change->number, data + i * (MODEL_CELL / 4));
	LOOK_PATIENTLY(res,
	               nfs_write(load->client, handle_of(load, change->object),
	                         (uint64_t)change->first * MODEL_CELL, data,
	                         count, change->stable));
	free(data);
	if (!res)
		return -1;
	if (res->status == NFS3_OK)
		ck_assert_uint_eq(res->WRITE3res_u.resok.count, count);
	told->attr = &res->WRITE3res_u.resok.file_wcc.after;
	return res->status;
}

static int call_commit(struct kill_load *load, const struct change *change,
                       struct told *told)
{
	COMMIT3res *res;

	LOOK_PATIENTLY(res, nfs_commit(load->client,
	                               handle_of(load, change->object), 0, 0));
	if (!res)
		return -1;
	told->attr = &res->COMMIT3res_u.resok.file_wcc.after;
	return res->status;
}

static int call_create(struct kill_load *load, const struct change *change,
                       struct told *told)
{
	nfs_fh3 dir = handle_of(load, change->at.dir);
	bool over =
		model_find(&load->model, change->at.dir, change->at.name) >= 0;
	sattr3 set = over ? set_size(0) : set_mode(change->mode);
	CREATE3res *res;

	LOOK_PATIENTLY(res,
	               change->how == EXCLUSIVE
	                       ? nfs_create_exclusive(load->client, dir,
	                                              change->at.name,
	                                              change->verifier)
	                       : nfs_create(load->client, dir, change->at.name,
	                                    change->how, set));
	if (!res)
		return -1;
	told->handle = &res->CREATE3res_u.resok.obj;
	told->attr = &res->CREATE3res_u.resok.obj_attributes;
	return res->status;
}

static int call_mkdir(struct kill_load *load, const struct change *change,
                      struct told *told)
{
	MKDIR3res *res;

	LOOK_PATIENTLY(res,
	               nfs_mkdir(load->client, handle_of(load, change->at.dir),
	                         change->at.name, set_mode(change->mode)));
	if (!res)
		return -1;
	told->handle = &res->MKDIR3res_u.resok.obj;
	told->attr = &res->MKDIR3res_u.resok.obj_attributes;
	return res->status;
}

static int call_symlink(struct kill_load *load, const struct change *change,
                        struct told *told)
{
	SYMLINK3res *res;

	LOOK_PATIENTLY(res, nfs_symlink(load->client,
	                                handle_of(load, change->at.dir),
	                                change->at.name, change->target));
	if (!res)
		return -1;
	told->handle = &res->SYMLINK3res_u.resok.obj;
	told->attr = &res->SYMLINK3res_u.resok.obj_attributes;
	return res->status;
}

static int call_mknod(struct kill_load *load, const struct change *change,
                      struct told *told)
{
	MKNOD3res *res;

	LOOK_PATIENTLY(res,
	               nfs_mknod(load->client, handle_of(load, change->at.dir),
	                         change->at.name, change->type, change->major,
	                         change->minor));
	if (!res)
		return -1;
	told->handle = &res->MKNOD3res_u.resok.obj;
	told->attr = &res->MKNOD3res_u.resok.obj_attributes;
	return res->status;
}

static int call_remove(struct kill_load *load, const struct change *change,
                       struct told *told)
{
	REMOVE3res *res;

	(void)told;
	LOOK_PATIENTLY(res,
	               nfs_remove(load->client, handle_of(load, change->at.dir),
	                          change->at.name));
	return res ? (int)res->status : -1;
}

static int call_rmdir(struct kill_load *load, const struct change *change,
                      struct told *told)
{
	RMDIR3res *res;

	(void)told;
	LOOK_PATIENTLY(res,
	               nfs_rmdir(load->client, handle_of(load, change->at.dir),
	                         change->at.name));
	return res ? (int)res->status : -1;
}

static int call_rename(struct kill_load *load, const struct change *change,
                       struct told *told)
{
	RENAME3res *res;

	(void)told;
	LOOK_PATIENTLY(res,
	               nfs_rename(load->client, handle_of(load, change->at.dir),
	                          change->at.name,
	                          handle_of(load, change->to.dir),
	                          change->to.name));
	return res ? (int)res->status : -1;
}

static int call_link(struct kill_load *load, const struct change *change,
                     struct told *told)
{
	LINK3res *res;

	LOOK_PATIENTLY(res,
	               nfs_link(load->client, handle_of(load, change->object),
	                        handle_of(load, change->to.dir),
	                        change->to.name));
	if (!res)
		return -1;
	told->attr = &res->LINK3res_u.resok.file_attributes;
	return res->status;
}

static call_fn *const calls[CHANGE_KINDS] = {
	[CHANGE_SETATTR] = call_setattr, [CHANGE_WRITE] = call_write,
	[CHANGE_COMMIT] = call_commit,   [CHANGE_CREATE] = call_create,
	[CHANGE_MKDIR] = call_mkdir,     [CHANGE_SYMLINK] = call_symlink,
	[CHANGE_MKNOD] = call_mknod,     [CHANGE_REMOVE] = call_remove,
	[CHANGE_RMDIR] = call_rmdir,     [CHANGE_RENAME] = call_rename,
	[CHANGE_LINK] = call_link,
};

/* ---- the load -------------------------------------------------------------- */

static void tell_history(const struct kill_load *load)
{
	unsigned n =
		load->changes < KILL_HISTORY ? load->changes : KILL_HISTORY;
	char text[WHY];

	for (unsigned i = load->changes - n; i < load->changes; i++) {
		model_tell(&load->history[i % KILL_HISTORY], text, WHY);
		printf("%c: %s\n", load->letter, text);
	}
	if (load->is_pending) {
		model_tell(&load->pending, text, WHY);
		printf("%c: %s (not answered)\n", load->letter, text);
	}
	fflush(stdout);
}

/* Another model holds from now on: what went is remembered. */
static void go_on_with(struct kill_load *load, const struct model *model)
{
	for (int i = 0; i < MODEL_OBJECTS; i++) {
		const struct object *object = &load->model.objects[i];

		if (object->type && !model->objects[i].type && object->is_known)
			memcpy(load->gone[load->ngone++ % KILL_GONE],
			       object->handle, MODEL_HANDLE);
	}
	load->model = *model;
}

static void acknowledge(struct kill_load *load, const struct change *change,
                        const struct told *told)
{
	struct model model = load->model;
	int made = model_apply(&model, change), object = made;

	if (made >= 0) {
		ck_assert(told->handle->handle_follows);
		look_remember(&model.objects[made],
		              told->handle->post_op_fh3_u.handle);
	} else if (change->kind == CHANGE_CREATE) {
		object = model_find(&model, change->at.dir, change->at.name);
	} else if (told->attr && change->kind != CHANGE_LINK) {
		object = change->object;
	}
	if (object >= 0)
		look_date(&model.objects[object], told->attr);
	load->history[load->changes++ % KILL_HISTORY] = *change;
	go_on_with(load, &model);
}

/* False: the server is gone. */
static bool change_something(struct kill_load *load)
{
	struct change change;
	struct told told = { 0 };
	char text[WHY];
	int status;

	while (!kill_choose(load, &change))
		;
	load->pending = change;
	load->is_pending = true;
	status = calls[change.kind](load, &change, &told);
	if (status < 0)
		return false;
	if (status != NFS3_OK) {
		tell_history(load);
		model_tell(&change, text, WHY);
		ck_abort_msg("%c: %s: status %d", load->letter, text, status);
	}
	load->is_pending = false;
	acknowledge(load, &change, &told);
	return true;
}

static int quarrel_about(struct kill_load *load, const struct change *change,
                         uint64_t random, nfs_fh3 file)
{
	SETATTR3res *set;
	LINK3res *link;

	if (random % 2) {
		LOOK_PATIENTLY(link, nfs_link(load->client, file,
		                              handle_of(load, MODEL_SHARED),
		                              change->to.name));
		return link ? (int)link->status : -1;
	}
	LOOK_PATIENTLY(set,
	               nfs_setattr(load->client, file,
	                           set_size(random / 80 % 9 * MODEL_CELL)));
	return set ? (int)set->status : -1;
}

/* One of the names that all change, and of the calls that they make. */
static int quarrel(struct kill_load *load)
{
	const struct place at = { MODEL_SHARED, "" };
	uint64_t random = test_random(&load->random);
	struct change change = { .at = at, .to = at };
	struct told told;
	LOOKUP3res *res;

	snprintf(change.at.name, MODEL_NAME, "s%u", (unsigned)(random % 4));
	snprintf(change.to.name, MODEL_NAME, "s%u", (unsigned)(random / 4 % 4));
	switch (random / 16 % 5) {
	case 0:
		return call_create(load, &change, &told);
	case 1:
		return call_remove(load, &change, &told);
	case 2:
		return call_rename(load, &change, &told);
	default:
		LOOK_PATIENTLY(res, nfs_lookup(load->client,
		                               handle_of(load, MODEL_SHARED),
		                               change.at.name));
	}
	if (!res || res->status != NFS3_OK)
		return res ? (int)res->status : -1;
	return quarrel_about(load, &change, random,
	                     res->LOOKUP3res_u.resok.object);
}

/*
 * Whatever comes of it is fine, as another may have the name meanwhile; what is
 * there in the end must be in order. False: the server is gone.
 */
static bool quarrel_well(struct kill_load *load)
{
	int status = quarrel(load);

	ck_assert_msg(status != NFS3ERR_IO && status != NFS3ERR_SERVERFAULT,
	              "%c: status %d", load->letter, status);
	return status >= 0;
}

void *kill_load_run(void *arg)
{
	struct kill_load *load = arg;

	load->is_pending = false;
	for (;;) {
		if (test_random(&load->random) % 8 == 0 && !quarrel_well(load))
			return NULL;
		if (!change_something(load))
			return NULL;
	}
}

/* ---- judging --------------------------------------------------------------- */

void kill_load_begin(struct kill_load *load, struct client *client)
{
	look_at_all(client, load->roots, load->letter, &load->model);
	load->changes = load->ngone = 0;
	load->is_pending = false;
}

/* A directory that was to be replaced may be an empty copy of itself by now. */
static void forgive_replaced(const struct change *change, struct model *outcome)
{
	int target = model_find(outcome, change->to.dir, change->to.name);

	if (change->kind == CHANGE_RENAME && target >= 0 &&
	    outcome->objects[target].type == NF3DIR)
		outcome->objects[target].is_known = false;
}

/* The outcome that is there; what it was found to be is in `pairs`. */
static void find_outcome(struct kill_load *load, const struct model *seen,
                         struct model *outcome, int pairs[MODEL_OBJECTS])
{
	const struct change nothing = { .kind = CHANGE_COMMIT };
	const struct change *change =
		load->is_pending ? &load->pending : &nothing;
	char why[WHY] = "", first[WHY] = "";
	unsigned i;

	for (i = 0; model_outcome(&load->model, change, i, outcome); i++) {
		if (i == 0)
			forgive_replaced(change, outcome);
		if (model_same(outcome, seen, pairs, why, WHY))
			return;
		if (i == 0)
			strcpy(first, why);
	}
	tell_history(load);
	ck_abort_msg("%c: what is there is no outcome: %s; %s", load->letter,
	             first, why);
}

static void assert_status(struct kill_load *load, struct client *client,
                          char handle[MODEL_HANDLE], nfsstat3 expected)
{
	GETATTR3res *res;

	LOOK_PATIENTLY(res, nfs_getattr(client,
	                                (nfs_fh3){ { MODEL_HANDLE, handle } }));
	if (res->status == expected)
		return;
	tell_history(load);
	ck_abort_msg("%c: an old handle: status %d, not %d", load->letter,
	             res->status, expected);
}

/* Of what neither was nor is to be touched. */
static bool is_there_for_sure(struct kill_load *load, int object)
{
	struct model after = load->model;

	if (load->is_pending)
		model_apply(&after, &load->pending);
	return load->model.objects[object].type && after.objects[object].type;
}

static void try_handles(struct kill_load *load, struct client *client)
{
	for (int i = 0; i < MODEL_OBJECTS; i++)
		if (is_there_for_sure(load, i))
			assert_status(load, client,
			              load->model.objects[i].handle, NFS3_OK);
	for (unsigned i = 0; i < load->ngone && i < KILL_GONE; i++)
		assert_status(load, client, load->gone[i], NFS3ERR_STALE);
}

/* As a client that did not hear of its success. */
static void create_again(struct kill_load *load, struct client *client,
                         const struct name *name)
{
	struct object *object = &load->model.objects[name->object];
	CREATE3res *res;

	LOOK_PATIENTLY(res,
	               nfs_create_exclusive(
			       client,
			       look_handle(&load->model.objects[name->dir]),
			       name->name, object->verifier));
	ck_assert_msg(res->status == NFS3_OK, "%c: %s again: status %d",
	              load->letter, name->name, res->status);
	ck_assert_mem_eq(
		res->CREATE3res_u.resok.obj.post_op_fh3_u.handle.data.data_val,
		object->handle, MODEL_HANDLE);
}

static void try_exclusive(struct kill_load *load, struct client *client)
{
	for (int i = 0; i < MODEL_NAMES; i++) {
		const struct name *name = &load->model.names[i];

		if (name->object >= 0 &&
		    load->model.objects[name->object].is_exclusive)
			create_again(load, client, name);
	}
}

void kill_load_judge(struct kill_load *load, struct client *client)
{
	bool handles_first = test_random(&load->random) % 2;
	int pairs[MODEL_OBJECTS];
	struct model seen, outcome;

	if (handles_first)
		try_handles(load, client);
	look_at_all(client, load->roots, load->letter, &seen);
	find_outcome(load, &seen, &outcome, pairs);
	/* What it knows by now of each object. */
	for (int i = 0; i < MODEL_OBJECTS; i++) {
		struct object *object = &outcome.objects[i];
		struct object old = *object;

		if (!object->type)
			continue;
		*object = seen.objects[pairs[i]];
		object->is_exclusive = old.is_exclusive;
		memcpy(object->verifier, old.verifier, 8);
	}
	go_on_with(load, &outcome);
	load->is_pending = false;
	if (!handles_first)
		try_handles(load, client);
	try_exclusive(load, client);
}
