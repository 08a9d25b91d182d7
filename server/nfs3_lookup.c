#include "config.h"

#include "server/nfs3_request.h"

#include <limits.h>

int nfs3_lookup(struct nfs3_request *request)
{
	struct ovl_node *node;
	struct nfsd_name name;
	struct nfsd_fh dir;
	int err;

	if (!nfsd_get_dirop(&request->call->args, &dir, &name))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &dir);
	if (err == 0)
		err = name.error;
	if (err == 0)
		err = ovl_lookup(request->fs, &request->caller,
		                 request->node[0], name.text, &node);
	if (err != 0)
		return err;
	nfs3_put_handle(request, ovl_node_id(node));
	err = nfs3_put_attr(request, node);
	if (err == 0)
		err = nfs3_put_attr(request, request->node[0]);
	ovl_node_unref(node);
	return err;
}

int nfs3_readlink(struct nfs3_request *request)
{
	char target[PATH_MAX];
	struct nfsd_fh fh;
	ssize_t len;
	int err;

	if (!nfsd_get_fh(&request->call->args, &fh))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &fh);
	if (err != 0)
		return err;
	len = ovl_readlink(request->fs, &request->caller, request->node[0],
	                   target, sizeof(target));
	if (len < 0)
		return (int)len;
	err = nfs3_put_attr(request, request->node[0]);
	request->out = nfsd_put_opaque(request->out, target, (uint32_t)len);
	return err;
}
