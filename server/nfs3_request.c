#include "config.h"

#include "server/nfs3_request.h"

#include <errno.h>
#include <rpc/auth.h>

#include "server/handle.h"

/*
 * The caller may have what he has not mounted since the server was started, or since
 * its export was closed to be opened with other layers.
 */
static int decode(const struct nfs3_request *request, const struct nfsd_fh *fh,
                  const struct nfsd_export **export, struct ovl_id *id)
{
	const struct orpc_call *call = request->call;
	int err = nfsd_handle_decode(request->exports, fh->bytes, fh->len,
	                             export, id);

	if ((err == -EBADFD || err == -ESTALE) &&
	    nfsd_exports_nper_client(request->exports) > 0) {
		err = nfsd_exports_open_own(request->exports, call->peer,
		                            call->may_wait);
		if (err == 0)
			err = nfsd_handle_decode(request->exports, fh->bytes,
			                         fh->len, export, id);
	}
	return err;
}

/* What others mount at that path is not his. */
static int check_own(const struct nfs3_request *request,
                     const struct nfsd_grant *grant,
                     const struct nfsd_export *export)
{
	const struct orpc_call *call = request->call;
	const struct nfsd_export *own;
	int err = nfsd_grant_export(grant, call->peer, call->may_wait, false,
	                            &own);

	if (err == -EAGAIN || err == -EINPROGRESS)
		return err;
	return err != 0 || own != export ? -EACCES : 0;
}

/*
 * What groups the caller is in, where he is not to say that himself. Whom the export
 * makes anonymous is in none.
 */
static int look_up_groups(struct nfs3_request *request,
                          const struct nfsd_access *access)
{
	const struct orpc_call *call = request->call;
	struct ovl_caller *caller = &request->caller;
	size_t n;
	int err;

	if (!access->manage_gids)
		return 0;
	caller->ngroups = 0;
	if (call->cred.flavor != AUTH_SYS || access->all_squash ||
	    caller->uid != call->cred.uid)
		return 0;
	err = nfsd_groups_get(nfsd_exports_groups(request->exports),
	                      caller->uid, call->may_wait,
	                      &request->own_groups);
	if (err != 0)
		return err;
	caller->groups = nfsd_group_list_ids(request->own_groups,
	                                     access->root_squash, &n);
	caller->ngroups = (unsigned)n;
	return 0;
}

int nfs3_open(struct nfs3_request *request, const struct nfsd_fh *fh)
{
	const struct orpc_call *call = request->call;
	const struct nfsd_export *export;
	const struct nfsd_point *point;
	const struct nfsd_grant *grant;
	struct ovl_id id;
	int err;

	err = decode(request, fh, &export, &id);
	if (err != 0)
		return err;
	point = nfsd_exports_point_of(request->exports, export);
	err = nfsd_exports_admit(request->exports, point, call->peer,
	                         call->may_wait, &grant);
	if (err == 0)
		err = check_own(request, grant, export);
	if (err != 0)
		return err;
	request->export = export;
	request->fs = export->fs;
	nfsd_grant_squash(&grant->access, &call->cred, &request->caller,
	                  request->groups);
	err = look_up_groups(request, &grant->access);
	if (err != 0)
		return err;
	request->caller.began = ovl_begin(request->fs);
	return ovl_resolve(request->fs, &request->caller, id,
	                   &request->node[0]);
}

int nfs3_open_second(struct nfs3_request *request, const struct nfsd_fh *fh)
{
	const struct nfsd_export *export;
	struct ovl_id id;
	int err;

	err = nfsd_handle_decode(request->exports, fh->bytes, fh->len, &export,
	                         &id);
	if (err != 0)
		return err;
	if (export != request->export)
		return -EXDEV;
	return ovl_resolve(request->fs, &request->caller, id,
	                   &request->node[1]);
}

int nfs3_reserve(struct nfs3_request *request, size_t size)
{
	XDR *results = &request->call->results;
	int err = orpc_call_reserve(request->call, size);

	if (err != 0)
		return err;
	/* The buffer may be another one now. */
	request->out = xdr_inline(results, 0);
	if (request->out == NULL)
		return -ENOMEM;
	request->out++; /* the status */
	return 0;
}

/*
 * Data in round numbers of pages, with room for what stands around them in a
 * READ's results (and less in a WRITE's arguments, plus the credential).
 */
static uint32_t io_max(size_t max)
{
	const size_t around = 1024, page = 4096;

	if (max < around + page)
		return 0;
	max = (max - around) & ~(page - 1);
	return max < NFS3_IO_MAX ? (uint32_t)max : NFS3_IO_MAX;
}

uint32_t nfs3_io_max(const struct orpc_call *call)
{
	return io_max(call->max_results);
}

uint32_t nfs3_io_usual(const struct orpc_call *call)
{
	return io_max(call->usual_results);
}

void nfs3_put_handle(struct nfs3_request *request, struct ovl_id id)
{
	unsigned char handle[NFSD_HANDLE_BYTES];

	nfsd_handle_encode(request->export, id, handle);
	request->out = nfsd_put_opaque(request->out, handle, sizeof(handle));
}

/* Without an export there is no node, and no attributes to put it into. */
static uint64_t fsid(const struct nfs3_request *request)
{
	return request->export == NULL ? 0 : request->export->id;
}

int nfs3_put_attr(struct nfs3_request *request, struct ovl_node *node)
{
	struct ovl_attr attr;
	int err = -ESTALE;

	if (node != NULL)
		err = ovl_getattr(request->fs, &request->caller, node, &attr);
	request->out = nfsd_put_post_op(request->out, err == 0 ? &attr : NULL,
	                                fsid(request));
	return err == -EAGAIN ? err : 0;
}

void nfs3_put_wcc(struct nfs3_request *request, int i)
{
	struct ovl_change *change = &request->change[i];
	struct ovl_node *node = request->node[i];

	if (!change->has_after && node != NULL)
		change->has_after = ovl_getattr(request->fs, &request->caller,
		                                node, &change->after) == 0;
	request->out = nfsd_put_wcc(request->out, change, fsid(request));
}
