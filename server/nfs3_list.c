#include "config.h"

#include "server/nfs3_request.h"

#include <errno.h>

/*
 * What stands before the entries, without the status, which the RFC's counts
 * leave out; and after them: the end of the list, and eof.
 */
#define LIST_HEAD (NFSD_XDR_POST_OP + 8)
#define LIST_TAIL (4 + 4)

/* What a client may ask of one reply; more is clamped to it. */
#define LIST_MAX NFS3_IO_MAX

/* A list of entries in the making. */
struct list {
	struct nfs3_request *request; /* its cursor is the list's */
	bool plus;
	int32_t *begin, *end;      /* of the room for entries */
	size_t dir_bytes, dir_max; /* READDIRPLUS's dircount, and its limit */
	/* Where the run of names of one hash began that the last is in. */
	int32_t *run;
	bool cut; /* an entry found no room */
};

/* Bytes of an entry, without attributes and handle, and "one follows". */
static size_t entry_bytes(const struct ovl_dirent *entry)
{
	return 8 + 4 + nfsd_xdr_padded(entry->namelen) + 8;
}

static size_t plus_bytes(const struct ovl_dirent *entry)
{
	return entry->has_attr ? NFSD_XDR_POST_OP + 4 + NFSD_XDR_FH : 4 + 4;
}

static void put_plus(struct nfs3_request *request,
                     const struct ovl_dirent *entry)
{
	request->out = nfsd_put_post_op(request->out,
	                                entry->has_attr ? &entry->attr : NULL,
	                                request->export->id);
	nfs3_put_u32(request, entry->has_attr);
	if (entry->has_attr)
		nfs3_put_handle(request, entry->id);
}

/*
 * dircount is a wish: it never keeps the first entry out, lest a client that
 * asks for nothing should get nothing for ever, and never parts names of one
 * hash.
 */
static bool has_room(const struct list *list, const struct ovl_dirent *entry,
                     size_t bytes)
{
	const int32_t *out = list->request->out;

	if (bytes > (size_t)(list->end - out) * sizeof(*out))
		return false;
	return out == list->begin || entry->same_hash ||
	       list->dir_bytes + entry_bytes(entry) <= list->dir_max;
}

static bool fill(void *arg, const struct ovl_dirent *entry)
{
	struct list *list = arg;
	struct nfs3_request *request = list->request;
	size_t bytes = 4 + entry_bytes(entry);

	if (list->plus)
		bytes += plus_bytes(entry);
	if (!has_room(list, entry, bytes)) {
		if (entry->same_hash)
			request->out = list->run;
		list->cut = true;
		return false;
	}
	if (!entry->same_hash)
		list->run = request->out;
	list->dir_bytes += entry_bytes(entry);

	nfs3_put_u32(request, TRUE);
	nfs3_put_u64(request, entry->fileid);
	request->out = nfsd_put_opaque(request->out, entry->name,
	                               (uint32_t)entry->namelen);
	nfs3_put_u64(request, entry->cookie);
	if (list->plus)
		put_plus(request, entry);
	return true;
}

/* The bytes of a list that may be answered: what is asked, clamped. */
static size_t list_max(const struct orpc_call *call, uint32_t asked)
{
	size_t max = call->max_results - 4;

	if (max > LIST_MAX)
		max = LIST_MAX;
	return asked < max ? asked : max;
}

/*
 * Make room for `max` bytes, put what stands before the entries, and begin the
 * list.
 */
static int begin_list(struct nfs3_request *request, size_t max,
                      struct list *list)
{
	struct ovl_attr attr;
	int err;

	err = ovl_getattr(request->fs, &request->caller, request->node[0],
	                  &attr);
	if (err != 0)
		return err;
	if (max < LIST_HEAD + LIST_TAIL)
		return -ENOBUFS;
	err = nfs3_reserve(request, 4 + max);
	if (err != 0)
		return err;
	list->end = request->out + (max - LIST_TAIL) / sizeof(*list->end);
	request->out =
		nfsd_put_post_op(request->out, &attr, request->export->id);
	nfs3_put_u64(request, 0); /* the verifier of all cookies */
	list->begin = list->run = request->out;
	return 0;
}

static int run_list(struct nfs3_request *request, bool plus)
{
	struct nfsd_readdir_args args;
	struct list list = { .request = request, .plus = plus };
	bool eof;
	int err;

	if (!nfsd_get_readdir(&request->call->args, plus, &args))
		return NFS3_GARBAGE;
	list.dir_max = args.dircount;
	err = nfs3_open(request, &args.dir);
	if (err == 0)
		err = begin_list(request,
		                 list_max(request->call, args.maxcount), &list);
	if (err == 0)
		err = ovl_readdir(request->fs, &request->caller,
		                  request->node[0], args.cookie, plus, fill,
		                  &list, &eof);
	if (err != 0)
		return err;
	if (list.cut && request->out == list.begin)
		return -ENOBUFS;
	nfs3_put_u32(request, FALSE);
	nfs3_put_u32(request, eof);
	return 0;
}

int nfs3_readdir(struct nfs3_request *request)
{
	return run_list(request, false);
}

int nfs3_readdirplus(struct nfs3_request *request)
{
	return run_list(request, true);
}
