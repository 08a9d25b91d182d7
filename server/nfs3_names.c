#include "config.h"

#include "server/nfs3_request.h"

#include <errno.h>

/*
 * Open the directory of a call that takes a name away. Names that are none, and
 * "." and "..", which get `dot` and `dotdot`, end here.
 */
static int open_old(struct nfs3_request *request, const struct nfsd_fh *dir,
                    const struct nfsd_name *name, int dot, int dotdot)
{
	int err = nfs3_open(request, dir);

	if (err != 0)
		return err;
	if (name->error != 0)
		return name->error;
	switch (name->kind) {
	case NFSD_DOT:
		return dot;
	case NFSD_DOTDOT:
		return dotdot;
	default:
		return 0;
	}
}

int nfs3_remove(struct nfs3_request *request)
{
	struct nfsd_name name;
	struct nfsd_fh dir;
	int err;

	if (!nfsd_get_dirop(&request->call->args, &dir, &name))
		return NFS3_GARBAGE;
	err = open_old(request, &dir, &name, -EACCES, -EACCES);
	if (err == 0)
		err = ovl_remove(request->fs, &request->caller,
		                 request->node[0], name.text,
		                 &request->change[0]);
	if (err == 0)
		nfs3_put_wcc(request, 0);
	return err;
}

int nfs3_rmdir(struct nfs3_request *request)
{
	struct nfsd_name name;
	struct nfsd_fh dir;
	int err;

	if (!nfsd_get_dirop(&request->call->args, &dir, &name))
		return NFS3_GARBAGE;
	err = open_old(request, &dir, &name, -EINVAL, -EEXIST);
	if (err == 0)
		err = ovl_rmdir(request->fs, &request->caller, request->node[0],
		                name.text, &request->change[0]);
	if (err == 0)
		nfs3_put_wcc(request, 0);
	return err;
}

int nfs3_rename(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct nfsd_name from_name, to_name;
	struct nfsd_fh from, to;
	int err;

	if (!nfsd_get_dirop(args, &from, &from_name) ||
	    !nfsd_get_dirop(args, &to, &to_name))
		return NFS3_GARBAGE;
	/* Both, before any name is looked at: a failure tells of both. */
	err = nfs3_open(request, &from);
	if (err == 0)
		err = nfs3_open_second(request, &to);
	if (err != 0)
		return err;
	if (from_name.error != 0)
		return from_name.error;
	if (to_name.error != 0)
		return to_name.error;
	if (from_name.kind != NFSD_PLAIN || to_name.kind != NFSD_PLAIN)
		return -EINVAL;
	err = ovl_rename(request->fs, &request->caller, request->node[0],
	                 from_name.text, request->node[1], to_name.text,
	                 &request->change[0], &request->change[1]);
	if (err != 0)
		return err;
	nfs3_put_wcc(request, 0);
	nfs3_put_wcc(request, 1);
	return 0;
}

int nfs3_link(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct nfsd_fh file, dir;
	struct nfsd_name name;
	int err;

	if (!nfsd_get_fh(args, &file) || !nfsd_get_dirop(args, &dir, &name))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &file);
	if (err == 0)
		err = nfs3_open_second(request, &dir);
	if (err == 0)
		err = name.error;
	if (err == 0 && name.kind != NFSD_PLAIN)
		err = -EEXIST;
	if (err == 0)
		err = ovl_link(request->fs, &request->caller, request->node[0],
		               request->node[1], name.text,
		               &request->change[1]);
	if (err != 0)
		return err;
	nfs3_put_attr(request, request->node[0]);
	nfs3_put_wcc(request, 1);
	return 0;
}
