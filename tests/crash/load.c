#include "config.h"

#include "tests/crash/load.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/seed.h"

/* How many names there are in a directory, of each kind. */
#define NAMES_MAX 10

struct worker {
	struct load_worker seen; /* first: it is what load_worker gives */
	struct load *load;
	pthread_t thread;
	bool started;
	struct crash_link *link;
	uint64_t random;
	uint64_t verifier; /* of writes */
};

struct load {
	atomic_bool over, may_fail;
	unsigned n;
	struct worker workers[];
};

/* ---- choosing ------------------------------------------------------------- */

static unsigned any(struct worker *w, unsigned below)
{
	return (unsigned)(test_random(&w->random) % below);
}

/* Any object that is there and of that type (0: any but the two at the top). */
static int any_object(struct worker *w, ftype3 type)
{
	const struct load_model *m = &w->seen.before;

	for (unsigned tries = 0; tries < 50; tries++) {
		unsigned i = any(w, m->nobjects);
		const struct load_object *o = &m->objects[i];

		if (!o->dead && (type ? o->type == type : i > LOAD_SHARED_DIR))
			return (int)i;
	}
	return -1;
}

/* Mostly the two at the top, where names are many. */
static unsigned any_dir(struct worker *w)
{
	int dir = any(w, 3) ? (int)any(w, 2) : any_object(w, NF3DIR);

	return dir < 0 ? LOAD_OWN_DIR : (unsigned)dir;
}

/* Any name, of a directory or of all else. */
static struct load_name *any_name(struct worker *w, bool directory)
{
	struct load_model *m = &w->seen.after;

	for (unsigned tries = 0; tries < 50; tries++) {
		struct load_name *n = &m->names[any(w, LOAD_NAMES)];

		if (n->used &&
		    (m->objects[n->object].type == NF3DIR) == directory)
			return n;
	}
	return NULL;
}

/* One that may be used or not. */
static void make_name(struct worker *w, unsigned dir, char name[12])
{
	if (dir == LOAD_SHARED_DIR)
		snprintf(name, 12, "%u-n%u", w->seen.before.number,
		         any(w, NAMES_MAX));
	else
		snprintf(name, 12, "n%u", any(w, NAMES_MAX));
}

static bool free_name(struct worker *w, unsigned *dir, char name[12])
{
	for (unsigned tries = 0; tries < 20; tries++) {
		*dir = any_dir(w);
		make_name(w, *dir, name);
		if (!load_model_find(&w->seen.after, *dir, name))
			return true;
	}
	return false;
}

/* ---- calls ------------------------------------------------------------------ */

static nfs_fh3 handle(struct load_object *object)
{
	return (nfs_fh3){ { CRASH_HANDLE_BYTES, object->handle } };
}

static nfs_fh3 handle_of(struct worker *w, unsigned object)
{
	return handle(&w->seen.after.objects[object]);
}

static diropargs3 place(struct worker *w, unsigned dir, char *name)
{
	return (diropargs3){ handle_of(w, dir), name };
}

static bool trouble(struct worker *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* False. */
static bool trouble(struct worker *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->seen.trouble, sizeof(w->seen.trouble), format, args);
	va_end(args);
	return false;
}

/* True: it was acknowledged; `after` is what there is now. */
static bool call(struct worker *w, uint32_t proc, const void *args, void *res)
{
	nfsstat3 status;

	w->seen.in_flight = true;
	w->seen.proc = proc;
	if (!crash_link_call(w->link, proc, args, res))
		return atomic_load(&w->load->may_fail)
		               ? false
		               : trouble(w, "no answer to procedure %u", proc);
	memcpy(&status, res, sizeof(status));
	if (status != NFS3_OK)
		return atomic_load(&w->load->may_fail)
		               ? false
		               : trouble(w, "status %d of procedure %u", status,
		                         proc);
	w->seen.done[proc]++;
	return true;
}

/* What the call said to be there is. */
static bool settle(struct worker *w)
{
	w->seen.before = w->seen.after;
	w->seen.in_flight = false;
	return true;
}

static bool take_handle(struct worker *w, unsigned object,
                        const post_op_fh3 *fh, const post_op_attr *attr)
{
	struct load_object *o = &w->seen.after.objects[object];
	const nfs_fh3 *given = &fh->post_op_fh3_u.handle;

	if (!fh->handle_follows || !attr->attributes_follow ||
	    given->data.data_len != CRASH_HANDLE_BYTES)
		return trouble(w, "no handle of what was made");
	memcpy(o->handle, given->data.data_val, CRASH_HANDLE_BYTES);
	o->has_handle = true;
	o->fileid = attr->post_op_attr_u.attributes.fileid;
	return true;
}

/* ---- procedures: false where it failed, true also where there is nothing to do -- */

static sattr3 set_mode(uint32_t mode)
{
	sattr3 set = { .mode = { .set_it = TRUE } };

	set.mode.set_mode3_u.mode = mode;
	return set;
}

static uint32_t any_mode(struct worker *w)
{
	return 0600 + any(w, 0200);
}

static bool make_file(struct worker *w, unsigned object, struct load_object *o,
                      diropargs3 where)
{
	CREATE3args args = { .where = where };
	CREATE3res res;
	bool good;

	args.how.mode = (createmode3)any(w, 3);
	if (args.how.mode == EXCLUSIVE) {
		uint64_t verifier = test_random(&w->random);

		memcpy(args.how.createhow3_u.verf, &verifier, 8);
	} else {
		o->mode = any_mode(w);
		args.how.createhow3_u.obj_attributes = set_mode(o->mode);
	}
	good = call(w, NFSPROC3_CREATE, &args, &res) &&
	       take_handle(w, object, &res.CREATE3res_u.resok.obj,
	                   &res.CREATE3res_u.resok.obj_attributes);
	crash_link_done(NFSPROC3_CREATE, &res);
	return good && settle(w);
}

static bool make_dir(struct worker *w, unsigned object, struct load_object *o,
                     diropargs3 where)
{
	MKDIR3args args = { .where = where };
	MKDIR3res res;
	bool good;

	o->mode = 0700 + any(w, 0100);
	args.attributes = set_mode(o->mode);
	good = call(w, NFSPROC3_MKDIR, &args, &res) &&
	       take_handle(w, object, &res.MKDIR3res_u.resok.obj,
	                   &res.MKDIR3res_u.resok.obj_attributes);
	crash_link_done(NFSPROC3_MKDIR, &res);
	return good && settle(w);
}

static bool make_symlink(struct worker *w, unsigned object, diropargs3 where)
{
	SYMLINK3args args = { .where = where };
	SYMLINK3res res;
	char target[64];
	bool good;

	load_model_target(w->seen.before.number, object, target);
	args.symlink.symlink_data = target;
	good = call(w, NFSPROC3_SYMLINK, &args, &res) &&
	       take_handle(w, object, &res.SYMLINK3res_u.resok.obj,
	                   &res.SYMLINK3res_u.resok.obj_attributes);
	crash_link_done(NFSPROC3_SYMLINK, &res);
	return good && settle(w);
}

static bool make_fifo(struct worker *w, unsigned object, struct load_object *o,
                      diropargs3 where)
{
	MKNOD3args args = { .where = where, .what = { .type = NF3FIFO } };
	MKNOD3res res;
	bool good;

	o->mode = any_mode(w);
	args.what.mknoddata3_u.pipe_attributes = set_mode(o->mode);
	good = call(w, NFSPROC3_MKNOD, &args, &res) &&
	       take_handle(w, object, &res.MKNOD3res_u.resok.obj,
	                   &res.MKNOD3res_u.resok.obj_attributes);
	crash_link_done(NFSPROC3_MKNOD, &res);
	return good && settle(w);
}

static bool make(struct worker *w)
{
	static const ftype3 types[] = { NF3REG, NF3REG, NF3DIR, NF3LNK,
		                        NF3FIFO };
	ftype3 type = types[any(w, 5)];
	struct load_object *o;
	diropargs3 where;
	char name[12];
	unsigned dir;
	int object;

	if (!free_name(w, &dir, name))
		return true;
	object = load_model_add(&w->seen.after, type, dir, name);
	if (object < 0)
		return true;
	o = &w->seen.after.objects[object];
	where = place(w, dir, name);
	switch (type) {
	case NF3REG:
		return make_file(w, (unsigned)object, o, where);
	case NF3DIR:
		return make_dir(w, (unsigned)object, o, where);
	case NF3LNK:
		return make_symlink(w, (unsigned)object, where);
	default:
		return make_fifo(w, (unsigned)object, o, where);
	}
}

static bool remove_one(struct worker *w)
{
	struct load_name *n = any_name(w, false);
	REMOVE3args args;
	REMOVE3res res;
	char name[12];
	bool good;

	if (!n)
		return true;
	strcpy(name, n->name);
	args.object = place(w, n->dir, name);
	load_model_unlink(&w->seen.after, n);
	good = call(w, NFSPROC3_REMOVE, &args, &res);
	crash_link_done(NFSPROC3_REMOVE, &res);
	return good && settle(w);
}

static bool remove_dir(struct worker *w)
{
	struct load_name *n = any_name(w, true);
	RMDIR3args args;
	RMDIR3res res;
	char name[12];
	bool good;

	if (!n || !load_model_is_empty(&w->seen.after, n->object))
		return true;
	strcpy(name, n->name);
	args.object = place(w, n->dir, name);
	load_model_unlink(&w->seen.after, n);
	good = call(w, NFSPROC3_RMDIR, &args, &res);
	crash_link_done(NFSPROC3_RMDIR, &res);
	return good && settle(w);
}

/* Whether `n` may go there, by the rules of rename(2). */
static bool may_go(struct worker *w, const struct load_name *n, unsigned dir,
                   const char *to)
{
	struct load_model *m = &w->seen.after;
	const struct load_name *old = load_model_find(m, dir, to);
	bool directory = m->objects[n->object].type == NF3DIR;

	if (directory && load_model_is_below(m, dir, n->object))
		return false;
	if (!old)
		return true;
	if (old->object == n->object)
		return false;
	if (directory != (m->objects[old->object].type == NF3DIR))
		return false;
	return !directory || load_model_is_empty(m, old->object);
}

static bool rename_one(struct worker *w)
{
	struct load_name *n = any_name(w, any(w, 3) == 0);
	char from[12], to[12];
	RENAME3args args;
	RENAME3res res;
	unsigned dir;
	bool good;

	if (!n)
		return true;
	dir = any_dir(w);
	make_name(w, dir, to);
	if (!may_go(w, n, dir, to))
		return true;
	strcpy(from, n->name);
	args.from = place(w, n->dir, from);
	args.to = place(w, dir, to);
	load_model_rename(&w->seen.after, n, dir, to);
	good = call(w, NFSPROC3_RENAME, &args, &res);
	crash_link_done(NFSPROC3_RENAME, &res);
	return good && settle(w);
}

static bool link_one(struct worker *w)
{
	int object = any_object(w, NF3REG);
	LINK3args args;
	LINK3res res;
	char name[12];
	unsigned dir;
	bool good;

	if (object < 0 || !free_name(w, &dir, name))
		return true;
	if (load_model_is_full(&w->seen.after))
		return true;
	load_model_link(&w->seen.after, (unsigned)object, dir, name);
	args.file = handle_of(w, (unsigned)object);
	args.link = place(w, dir, name);
	good = call(w, NFSPROC3_LINK, &args, &res);
	crash_link_done(NFSPROC3_LINK, &res);
	return good && settle(w);
}

/* Mode, mtime, or size. */
static bool setattr(struct worker *w)
{
	int object = any_object(w, 0);
	struct load_object *o;
	SETATTR3args args = { 0 };
	SETATTR3res res;
	unsigned what;
	bool good;

	if (object < 0)
		return true;
	o = &w->seen.after.objects[object];
	args.object = handle(o);
	what = any(w, o->type == NF3REG ? 3 : 2);
	if (what == 0 && o->type != NF3LNK) {
		o->mode = o->type == NF3DIR ? 0700 + any(w, 0100) : any_mode(w);
		args.new_attributes = set_mode(o->mode);
	} else if (what == 2) {
		unsigned blocks = any(w, LOAD_BLOCKS + 1);

		load_model_cut(o, blocks);
		args.new_attributes.size.set_it = TRUE;
		args.new_attributes.size.set_size3_u.size =
			(uint64_t)blocks * LOAD_BLOCK;
	} else {
		o->mtime = 1 + any(w, 1000000000);
		args.new_attributes.mtime.set_it = SET_TO_CLIENT_TIME;
		args.new_attributes.mtime.set_mtime_u.mtime.seconds = o->mtime;
	}
	good = call(w, NFSPROC3_SETATTR, &args, &res);
	crash_link_done(NFSPROC3_SETATTR, &res);
	return good && settle(w);
}

/* Whether what was written is still what it was when it was acknowledged. */
static bool is_same_verifier(struct worker *w, const char *verf)
{
	uint64_t verifier;
	bool same;

	memcpy(&verifier, verf, sizeof(verifier));
	same = !w->verifier || w->verifier == verifier;
	w->verifier = verifier;
	return same;
}

static bool write_one(struct worker *w)
{
	int object = any_object(w, NF3REG);
	char data[LOAD_BLOCK];
	struct load_object *o;
	WRITE3args args;
	WRITE3res res;
	unsigned block;
	bool good;

	if (object < 0)
		return true;
	o = &w->seen.after.objects[object];
	block = any(w, o->max_blocks < LOAD_BLOCKS ? o->max_blocks + 1
	                                           : LOAD_BLOCKS);
	load_model_write(o, block);
	load_model_fill(w->seen.before.number, (unsigned)object, block,
	                o->blocks[block].latest, data);
	args = (WRITE3args){
		.file = handle(o),
		.offset = (uint64_t)block * LOAD_BLOCK,
		.count = LOAD_BLOCK,
		.stable = (stable_how)any(w, 3),
		.data = { LOAD_BLOCK, data },
	};
	good = call(w, NFSPROC3_WRITE, &args, &res);
	if (good) {
		const WRITE3resok *ok = &res.WRITE3res_u.resok;

		if (ok->count != LOAD_BLOCK || ok->committed < args.stable)
			good = trouble(w, "a short write");
		is_same_verifier(w, ok->verf);
		if (ok->committed != UNSTABLE)
			load_model_settle(o, block);
	}
	crash_link_done(NFSPROC3_WRITE, &res);
	return good && settle(w);
}

/* Whole, or the range of one block. */
static bool commit(struct worker *w)
{
	int object = any_object(w, NF3REG);
	unsigned first = 0, end = LOAD_BLOCKS;
	COMMIT3args args = { 0 };
	struct load_object *o;
	COMMIT3res res;
	bool good;

	if (object < 0)
		return true;
	o = &w->seen.after.objects[object];
	args.file = handle(o);
	if (any(w, 2)) {
		first = any(w, LOAD_BLOCKS);
		end = first + 1;
		args.offset = (uint64_t)first * LOAD_BLOCK;
		args.count = LOAD_BLOCK;
	}
	good = call(w, NFSPROC3_COMMIT, &args, &res);
	if (good && is_same_verifier(w, res.COMMIT3res_u.resok.verf))
		for (; first < end && first < o->max_blocks; first++)
			load_model_settle(o, first);
	crash_link_done(NFSPROC3_COMMIT, &res);
	return good && settle(w);
}

/* ---- connections ------------------------------------------------------------ */

/* The handle of one more name that is there at first. */
static bool look_up(struct worker *w, unsigned dir, char *name, unsigned object)
{
	LOOKUP3args args = { .what = place(w, dir, name) };
	struct load_object *o = &w->seen.after.objects[object];
	const LOOKUP3resok *ok;
	LOOKUP3res res;
	bool good;

	good = call(w, NFSPROC3_LOOKUP, &args, &res);
	ok = &res.LOOKUP3res_u.resok;
	if (good && (ok->object.data.data_len != CRASH_HANDLE_BYTES ||
	             !ok->obj_attributes.attributes_follow))
		good = trouble(w, "no handle of %s", name);
	if (good) {
		memcpy(o->handle, ok->object.data.data_val, CRASH_HANDLE_BYTES);
		o->has_handle = true;
		o->fileid = ok->obj_attributes.post_op_attr_u.attributes.fileid;
	}
	crash_link_done(NFSPROC3_LOOKUP, &res);
	return good && settle(w);
}

static bool look_around(struct worker *w, const char *export)
{
	struct load_model *m = &w->seen.after;
	char own[16], shared[] = "shared";
	bool good;

	/* From the root, which is taken for the directory for a moment. */
	snprintf(own, sizeof(own), "own%u", m->number);
	good = crash_link_mount(w->link, export,
	                        m->objects[LOAD_SHARED_DIR].handle) &&
	       look_up(w, LOAD_SHARED_DIR, own, LOAD_OWN_DIR) &&
	       look_up(w, LOAD_SHARED_DIR, shared, LOAD_SHARED_DIR);
	for (unsigned i = 0; good && i < LOAD_NAMES; i++)
		if (m->names[i].used)
			good = look_up(w, m->names[i].dir, m->names[i].name,
			               m->names[i].object);
	return good;
}

static void *work(void *arg)
{
	static bool (*const steps[])(struct worker *) = {
		make,      make,      make,       remove_one, remove_dir,
		setattr,   setattr,   rename_one, rename_one, link_one,
		write_one, write_one, write_one,  commit,
	};
	const unsigned n = sizeof(steps) / sizeof(steps[0]);
	struct worker *w = arg;
	bool good = true;

	while (good && !atomic_load(&w->load->over)) {
		w->seen.after = w->seen.before;
		good = steps[any(w, n)](w);
	}
	return NULL;
}

struct load *load_new(unsigned workers, uint64_t seed)
{
	struct load *load;

	load = calloc(1, sizeof(*load) + workers * sizeof(load->workers[0]));
	if (!load)
		return NULL;
	load->n = workers;
	for (unsigned i = 0; i < workers; i++) {
		struct worker *w = &load->workers[i];

		w->load = load;
		w->random = test_random(&seed);
		load_model_init(&w->seen.before, i);
		w->seen.after = w->seen.before;
	}
	return load;
}

bool load_start(struct load *load, uint16_t port, const char *export)
{
	bool good = true;

	for (unsigned i = 0; good && i < load->n; i++) {
		struct worker *w = &load->workers[i];

		w->link = crash_link_new(port);
		good = w->link && look_around(w, export);
	}
	for (unsigned i = 0; good && i < load->n; i++) {
		struct worker *w = &load->workers[i];

		good = pthread_create(&w->thread, NULL, work, w) == 0;
		w->started = good;
	}
	return good;
}

void load_let_fail(struct load *load)
{
	atomic_store(&load->may_fail, true);
}

void load_stop(struct load *load)
{
	atomic_store(&load->over, true);
	for (unsigned i = 0; i < load->n; i++) {
		struct worker *w = &load->workers[i];

		if (w->started)
			pthread_join(w->thread, NULL);
		w->started = false;
		crash_link_free(w->link);
		w->link = NULL;
	}
}

void load_free(struct load *load)
{
	if (!load)
		return;
	load_stop(load);
	free(load);
}

unsigned load_count(const struct load *load)
{
	return load->n;
}

const struct load_worker *load_worker(const struct load *load, unsigned i)
{
	return &load->workers[i].seen;
}
