#include "config.h"

#include "server/nfs3_request.h"

#include <sys/stat.h>
#include <unistd.h>

int nfs3_getattr(struct nfs3_request *request)
{
	struct ovl_attr attr;
	struct nfsd_fh fh;
	int err;

	if (!nfsd_get_fh(&request->call->args, &fh))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &fh);
	if (err == 0)
		err = ovl_getattr(request->fs, &request->caller,
		                  request->node[0], &attr);
	if (err == 0)
		request->out = nfsd_put_fattr(request->out, &attr,
		                              request->export->id);
	return err;
}

int nfs3_setattr(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct timespec ctime;
	struct ovl_setattr set;
	sattrguard3 guard;
	struct nfsd_fh fh;
	sattr3 sattr;
	int err;

	if (!nfsd_get_fh(args, &fh) || !xdr_sattr3(args, &sattr) ||
	    !xdr_sattrguard3(args, &guard))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &fh);
	if (err == 0)
		err = nfsd_sattr(&sattr, &set);
	if (err != 0)
		return err;
	if (guard.check) {
		ctime.tv_sec = guard.sattrguard3_u.obj_ctime.seconds;
		ctime.tv_nsec = guard.sattrguard3_u.obj_ctime.nseconds;
	}
	err = ovl_setattr(request->fs, &request->caller, request->node[0], &set,
	                  guard.check ? &ctime : NULL, &request->change[0]);
	if (err == 0)
		nfs3_put_wcc(request, 0);
	return err;
}

/* Each ACCESS bit, and what has to be granted for it. */
struct access_bit {
	uint32_t bit;
	int want;
};

static const struct access_bit directory_bits[] = {
	{ ACCESS3_READ, R_OK },
	{ ACCESS3_LOOKUP, X_OK },
	{ ACCESS3_MODIFY, W_OK | X_OK },
	{ ACCESS3_EXTEND, W_OK | X_OK },
	{ ACCESS3_DELETE, OVL_DELETE_OK },
	{ 0, 0 },
};

static const struct access_bit other_bits[] = {
	{ ACCESS3_READ, R_OK },
	{ ACCESS3_MODIFY, W_OK },
	{ ACCESS3_EXTEND, W_OK },
	{ ACCESS3_EXECUTE, X_OK },
	{ 0, 0 },
};

int nfs3_access(struct nfs3_request *request)
{
	const struct access_bit *bits;
	uint32_t wanted, allowed = 0;
	int want = 0, granted, err;
	struct nfsd_fh fh;

	if (!nfsd_get_fh(&request->call->args, &fh) ||
	    !nfsd_get_u32(&request->call->args, &wanted))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &fh);
	if (err != 0)
		return err;

	bits = S_ISDIR(ovl_node_type(request->node[0])) ? directory_bits
	                                                : other_bits;
	for (const struct access_bit *b = bits; b->bit != 0; b++)
		if ((wanted & b->bit) != 0)
			want |= b->want;
	err = ovl_access(request->fs, &request->caller, request->node[0], want,
	                 &granted);
	if (err != 0)
		return err;
	for (const struct access_bit *b = bits; b->bit != 0; b++)
		if ((wanted & b->bit) != 0 && (granted & b->want) == b->want)
			allowed |= b->bit;
	err = nfs3_put_attr(request, request->node[0]);
	nfs3_put_u32(request, allowed);
	return err;
}
