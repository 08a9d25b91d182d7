#include "config.h"

#include "tests/crash/recovered.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything there is, while it is walked over. */
#define SEEN_MAX 4096
#define DEPTH_MAX 32
#define DIR_BYTES 32768

static bool wrong(char *why, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* False. */
static bool wrong(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, RECOVERED_WHY / 2, format, args);
	va_end(args);
	return false;
}

static nfs_fh3 handle_of(const char *handle)
{
	return (nfs_fh3){ { CRASH_HANDLE_BYTES, (char *)handle } };
}

/* ---- calls ------------------------------------------------------------------ */

/* One name, as LOOKUP tells of it. */
struct found {
	char handle[CRASH_HANDLE_BYTES];
	fattr3 attr;
};

static bool look_up(struct crash_link *link, const char *dir, const char *name,
                    struct found *found, char *why)
{
	LOOKUP3args args = { .what = { handle_of(dir), (char *)name } };
	const LOOKUP3resok *ok;
	LOOKUP3res res;
	bool good;

	good = crash_link_call(link, NFSPROC3_LOOKUP, &args, &res);
	ok = &res.LOOKUP3res_u.resok;
	if (!good || res.status != NFS3_OK) {
		wrong(why, "%s: LOOKUP: %d", name, good ? (int)res.status : -1);
		good = false;
	} else if (ok->object.data.data_len != CRASH_HANDLE_BYTES ||
	           !ok->obj_attributes.attributes_follow) {
		good = wrong(why, "%s: LOOKUP tells too little", name);
	} else {
		memcpy(found->handle, ok->object.data.data_val,
		       CRASH_HANDLE_BYTES);
		found->attr = ok->obj_attributes.post_op_attr_u.attributes;
	}
	crash_link_done(NFSPROC3_LOOKUP, &res);
	return good;
}

/* GETATTR's status, or -1. */
static int get_attr(struct crash_link *link, const char *handle, fattr3 *attr)
{
	GETATTR3args args = { .object = handle_of(handle) };
	GETATTR3res res;
	int status = -1;

	if (crash_link_call(link, NFSPROC3_GETATTR, &args, &res)) {
		status = (int)res.status;
		*attr = res.GETATTR3res_u.resok.obj_attributes;
	}
	crash_link_done(NFSPROC3_GETATTR, &res);
	return status;
}

/* The names of a directory, but "." and "..", each called with `each`. */
typedef bool each_name(void *arg, const char *name, uint64_t fileid);

static bool list(struct crash_link *link, const char *dir, each_name *each,
                 void *arg, char *why)
{
	READDIR3args args = { .dir = handle_of(dir), .count = DIR_BYTES };
	bool good = true, eof = false;
	READDIR3res res;

	while (good && !eof) {
		good = crash_link_call(link, NFSPROC3_READDIR, &args, &res);
		if (!good || res.status != NFS3_OK)
			good = wrong(why, "READDIR: %d",
			             good ? (int)res.status : -1);
		for (entry3 *e = good ? res.READDIR3res_u.resok.reply.entries
		                      : NULL;
		     good && e; e = e->nextentry) {
			args.cookie = e->cookie;
			if (strcmp(e->name, ".") && strcmp(e->name, ".."))
				good = each(arg, e->name, e->fileid);
		}
		eof = good && res.READDIR3res_u.resok.reply.eof;
		crash_link_done(NFSPROC3_READDIR, &res);
	}
	return good;
}

/* ---- one object ------------------------------------------------------------- */

/* How a block of a file is looked at. */
typedef bool block_fn(const struct load_object *file, unsigned block,
                      uint32_t version);

static bool check_data(struct crash_link *link, const char *handle,
                       const struct load_model *m, unsigned object,
                       uint64_t size, block_fn *may_have, char *why)
{
	const struct load_object *o = &m->objects[object];
	READ3args args = {
		.file = handle_of(handle),
		.count = LOAD_BLOCKS * LOAD_BLOCK,
	};
	const READ3resok *ok;
	READ3res res;
	bool good;

	good = crash_link_call(link, NFSPROC3_READ, &args, &res) &&
	       res.status == NFS3_OK && res.READ3res_u.resok.count == size;
	if (!good)
		wrong(why, "READ fails, or is short");
	ok = &res.READ3res_u.resok;
	for (unsigned i = 0; good && i < size / LOAD_BLOCK; i++) {
		int64_t version =
			load_model_read(m->number, object, i,
		                        ok->data.data_val + i * LOAD_BLOCK);

		if (version < 0)
			good = wrong(why, "block %u is torn", i);
		else if (!may_have(o, i, (uint32_t)version))
			good = wrong(
				why,
				"block %u has version %d; stable is %u, of "
				"%u, up to %u",
				i, (int)version, o->blocks[i].stable,
				o->blocks[i].since, o->blocks[i].latest);
	}
	crash_link_done(NFSPROC3_READ, &res);
	return good;
}

static bool check_target(struct crash_link *link, const char *handle,
                         const struct load_model *m, unsigned object, char *why)
{
	READLINK3args args = { .symlink = handle_of(handle) };
	READLINK3res res;
	char target[64];
	bool good;

	load_model_target(m->number, object, target);
	good = crash_link_call(link, NFSPROC3_READLINK, &args, &res) &&
	       res.status == NFS3_OK &&
	       strcmp(res.READLINK3res_u.resok.data, target) == 0;
	crash_link_done(NFSPROC3_READLINK, &res);
	return good || wrong(why, "another target");
}

static bool check_attr(const struct load_model *m, unsigned object,
                       const fattr3 *attr, char *why)
{
	const struct load_object *o = &m->objects[object];
	unsigned nlink = load_model_count_links(m, object);

	if (attr->type != o->type)
		return wrong(why, "type %d, not %d", attr->type, o->type);
	if (o->has_handle && attr->fileid != o->fileid)
		return wrong(why, "another fileid");
	if (o->type != NF3LNK && attr->mode != o->mode)
		return wrong(why, "mode %o, not %o", attr->mode, o->mode);
	if (o->mtime && attr->mtime.seconds != o->mtime)
		return wrong(why, "mtime %u, not %u", attr->mtime.seconds,
		             o->mtime);
	if (o->type != NF3DIR && attr->nlink != nlink)
		return wrong(why, "%u links, not %u", attr->nlink, nlink);
	if (o->type == NF3REG &&
	    (attr->size % LOAD_BLOCK ||
	     attr->size < (uint64_t)o->min_blocks * LOAD_BLOCK ||
	     attr->size > (uint64_t)o->max_blocks * LOAD_BLOCK))
		return wrong(why, "size %llu, not of %u to %u blocks",
		             (unsigned long long)attr->size, o->min_blocks,
		             o->max_blocks);
	return true;
}

/* Put what it is about before what is wrong. False. */
static bool blame(char *why, const char *name, unsigned object)
{
	char what[RECOVERED_WHY / 2];

	snprintf(what, sizeof(what), "%s", why);
	return wrong(why, "%s (%u): %.900s", name, object, what);
}

/* ---- all that was acknowledged -------------------------------------------------- */

static bool check_handle(struct crash_link *link, const struct load_model *m,
                         unsigned object, char *why)
{
	const struct load_object *o = &m->objects[object];
	int expected = o->dead ? NFS3ERR_STALE : NFS3_OK, status;
	fattr3 attr;

	if (!o->has_handle)
		return true;
	status = get_attr(link, o->handle, &attr);
	if (status != expected)
		return wrong(why, "the old handle of %u: %d, not %d", object,
		             status, expected);
	if (status == NFS3_OK && !check_attr(m, object, &attr, why))
		return blame(why, "the old handle", object);
	return true;
}

static bool check_name(struct crash_link *link, struct load_model *m,
                       const struct load_name *n, char *why)
{
	struct load_object *o = &m->objects[n->object];
	struct found found;
	bool good;

	if (!look_up(link, m->objects[n->dir].handle, n->name, &found, why))
		return false;
	if (o->has_handle &&
	    memcmp(o->handle, found.handle, CRASH_HANDLE_BYTES) != 0)
		return wrong(why, "%s: another handle", n->name);
	memcpy(o->handle, found.handle, CRASH_HANDLE_BYTES);
	good = check_attr(m, n->object, &found.attr, why);
	o->has_handle = true;
	if (good && o->type == NF3REG)
		good = check_data(link, found.handle, m, n->object,
		                  found.attr.size, load_model_may_have, why);
	else if (good && o->type == NF3LNK)
		good = check_target(link, found.handle, m, n->object, why);
	return good || blame(why, n->name, n->object);
}

struct listing {
	struct load_model *m;
	unsigned dir, n;
	char *why;
};

static bool check_listed(void *arg, const char *name, uint64_t fileid)
{
	struct listing *l = arg;
	struct load_name *n;
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%u-", l->m->number);
	if (l->dir == LOAD_SHARED_DIR &&
	    strncmp(name, prefix, strlen(prefix)) != 0)
		return true; /* another connection's */
	n = load_model_find(l->m, l->dir, name);
	if (!n)
		return wrong(l->why, "%s is in %u", name, l->dir);
	if (l->m->objects[n->object].fileid &&
	    fileid != l->m->objects[n->object].fileid)
		return wrong(l->why, "%s is listed with another fileid", name);
	l->n++;
	return true;
}

static bool check_listing(struct crash_link *link, struct load_model *m,
                          unsigned dir, char *why)
{
	struct listing l = { .m = m, .dir = dir, .why = why };
	unsigned n = 0;

	if (!list(link, m->objects[dir].handle, check_listed, &l, why))
		return false;
	for (unsigned i = 0; i < LOAD_NAMES; i++)
		n += m->names[i].used && m->names[i].dir == dir;
	return n == l.n || wrong(why, "%u names of %u are listed", l.n, n);
}

/*
 * A call in flight may have copied something up: that puts the directory's times
 * back, but in a step of its own, which no filesystem makes one with the rename.
 */
static void forget_times(struct load_model *m)
{
	for (unsigned i = 0; i < m->nobjects; i++)
		if (m->objects[i].type == NF3DIR)
			m->objects[i].mtime = 0;
}

static bool matches(struct crash_link *link, const struct load_model *model,
                    bool in_flight, char *why)
{
	struct load_model *m = malloc(sizeof(*m));
	bool good = true;

	if (!m)
		abort();
	*m = *model; /* which learns of handles */
	if (in_flight)
		forget_times(m);
	/* First, before any look-up tells the server where things are. */
	for (unsigned i = 0; good && i < m->nobjects; i++)
		good = check_handle(link, m, i, why);
	for (unsigned i = 0; good && i < LOAD_NAMES; i++)
		if (m->names[i].used)
			good = check_name(link, m, &m->names[i], why);
	for (unsigned i = 0; good && i < m->nobjects; i++)
		if (m->objects[i].type == NF3DIR && !m->objects[i].dead)
			good = check_listing(link, m, i, why);
	free(m);
	return good;
}

bool recovered_all(struct crash_link *link, const struct load_worker *worker,
                   char *why)
{
	char other[RECOVERED_WHY / 2], first[RECOVERED_WHY / 2];

	if (matches(link, &worker->before, worker->in_flight, first))
		return true;
	if (!worker->in_flight) {
		snprintf(why, RECOVERED_WHY, "connection %u: %s",
		         worker->before.number, first);
		return false;
	}
	if (matches(link, &worker->after, true, other))
		return true;
	snprintf(
		why, RECOVERED_WHY,
		"connection %u, procedure %u in flight: not carried out: %.900s; "
		"carried out: %.900s",
		worker->before.number, worker->proc, first, other);
	return false;
}

/* ---- what may have been at some time --------------------------------------------- */

/* One that has been come upon. */
struct seen {
	uint64_t fileid;
	unsigned names, nlink;
	ftype3 type;
};

struct walk {
	struct crash_link *link;
	const struct load *load;
	char *why;
	struct seen seen[SEEN_MAX];
	unsigned n;
	unsigned depth;
	const char *dir; /* the handle of the one that is walked over */
	struct {
		char name[256];
		uint64_t fileid;
	} names[SEEN_MAX]; /* a stack of those still to be looked up */
	unsigned nnames;
};

static struct seen *see(struct walk *walk, const fattr3 *attr)
{
	struct seen *seen;

	for (unsigned i = 0; i < walk->n; i++)
		if (walk->seen[i].fileid == attr->fileid)
			return &walk->seen[i];
	if (walk->n == SEEN_MAX)
		abort();
	seen = &walk->seen[walk->n++];
	*seen = (struct seen){ .fileid = attr->fileid,
		               .nlink = attr->nlink,
		               .type = attr->type };
	return seen;
}

/* What the load knows of it. NULL: it had no answer yet that told its fileid. */
static const struct load_object *known(const struct load *load, uint64_t fileid,
                                       const struct load_model **model,
                                       unsigned *object)
{
	for (unsigned i = 0; i < load_count(load); i++) {
		const struct load_model *m = &load_worker(load, i)->after;

		for (unsigned j = 0; j < m->nobjects; j++) {
			if (!m->objects[j].has_handle ||
			    m->objects[j].fileid != fileid)
				continue;
			/* An inode number that was used again. */
			if (*model && m->objects[j].dead)
				continue;
			*model = m;
			*object = j;
		}
	}
	return *model ? &(*model)->objects[*object] : NULL;
}

static bool may_have_had(const struct load_object *file, unsigned block,
                         uint32_t version)
{
	/* What was below was never zeros, unless it was cut away. */
	if (version == 0 && file->blocks[block].lower)
		return file->truncated;
	return version <= file->blocks[block].latest;
}

static bool check_found(struct walk *walk, const char *name,
                        const struct found *found)
{
	const struct load_model *m = NULL;
	const struct load_object *o;
	unsigned object = 0;
	bool good = true;

	o = known(walk->load, found->attr.fileid, &m, &object);
	if (!o || (o->type != found->attr.type) || o->dead)
		return true;
	if (memcmp(o->handle, found->handle, CRASH_HANDLE_BYTES) != 0)
		return true; /* another of that inode number */
	if (o->type == NF3REG)
		good = check_data(walk->link, found->handle, m, object,
		                  found->attr.size, may_have_had, walk->why);
	else if (o->type == NF3LNK)
		good = check_target(walk->link, found->handle, m, object,
		                    walk->why);
	return good || blame(walk->why, name, object);
}

static bool push(void *arg, const char *name, uint64_t fileid)
{
	struct walk *walk = arg;

	if (walk->nnames == SEEN_MAX)
		abort();
	snprintf(walk->names[walk->nnames].name, 256, "%s", name);
	walk->names[walk->nnames++].fileid = fileid;
	return true;
}

static bool walk_dir(struct walk *walk, const char *dir);

static bool walk_name(struct walk *walk, const char *dir, unsigned i)
{
	const char *name = walk->names[i].name;
	struct found found;
	struct seen *seen;

	if (!look_up(walk->link, dir, name, &found, walk->why))
		return false;
	if (found.attr.fileid != walk->names[i].fileid)
		return wrong(walk->why, "%s: listed with another fileid", name);
	seen = see(walk, &found.attr);
	seen->names++;
	if (found.attr.type != NF3DIR)
		return check_found(walk, name, &found);
	if (seen->names > 1)
		return wrong(walk->why, "%s is in two places", name);
	return walk_dir(walk, found.handle);
}

static bool walk_dir(struct walk *walk, const char *dir)
{
	unsigned first = walk->nnames;
	bool good;

	if (++walk->depth > DEPTH_MAX)
		return wrong(walk->why, "a loop");
	good = list(walk->link, dir, push, walk, walk->why);
	for (unsigned i = first; good && i < walk->nnames; i++) {
		unsigned end = walk->nnames;

		good = walk_name(walk, dir, i);
		walk->nnames = end;
	}
	walk->nnames = first;
	walk->depth--;
	return good;
}

static bool check_old_handles(struct walk *walk)
{
	for (unsigned i = 0; i < load_count(walk->load); i++) {
		const struct load_model *m = &load_worker(walk->load, i)->after;

		for (unsigned j = 0; j < m->nobjects; j++) {
			const struct load_object *o = &m->objects[j];
			fattr3 attr;
			int status;

			if (!o->has_handle)
				continue;
			status = get_attr(walk->link, o->handle, &attr);
			if (status == NFS3_OK && attr.fileid == o->fileid &&
			    attr.type == o->type)
				continue;
			if (status != NFS3ERR_STALE)
				return wrong(walk->why,
				             "the old handle of %u of %u: %d",
				             j, i, status);
		}
	}
	return true;
}

bool recovered_some(struct crash_link *link, const struct load *load,
                    const char *export, char *why)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	char root[CRASH_HANDLE_BYTES];
	bool good;

	if (!walk)
		abort();
	walk->link = link;
	walk->load = load;
	walk->why = why;
	good = check_old_handles(walk);
	if (good && !crash_link_mount(link, export, root))
		good = wrong(why, "cannot mount");
	good = good && walk_dir(walk, root);
	for (unsigned i = 0; good && i < walk->n; i++) {
		const struct seen *seen = &walk->seen[i];

		if (seen->type != NF3DIR && seen->nlink != seen->names)
			good = wrong(why, "%u names of a file of %u links",
			             seen->names, seen->nlink);
	}
	free(walk);
	return good;
}
