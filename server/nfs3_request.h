/*
 * One NFS call on its way through a procedure.
 *
 * A procedure decodes its arguments, opens the handles in them, asks the
 * overlay and puts its results at the cursor. It returns 0, -errno, or
 * NFS3_GARBAGE. Everything that procedures have in common is done around it
 * (nfs3.c): the status, and on failure the attributes that RFC 1813 puts into
 * the failure arm, which depend on the procedure's `arm` alone. So a procedure
 * writes results only where it succeeds, and cannot forget the others.
 *
 * With call->may_wait false, an -EAGAIN of the overlay goes back as it is: the
 * call is then repeated in the pool.
 */
#ifndef VENEER_SERVER_NFS3_REQUEST_H
#define VENEER_SERVER_NFS3_REQUEST_H

#include <stdint.h>

#include "overlay/overlay.h"
#include "rpc/orpc.h"
#include "server/export.h"
#include "server/nfs3_xdr.h"

#define NFS3_GARBAGE 1 /* the arguments do not decode */

/* Bytes that READ and WRITE move at most, where the transport lets them. */
#define NFS3_IO_MAX (1u << 20)

struct nfs3_request {
	struct orpc_call *call;
	const struct nfsd_exports *exports;
	const struct nfsd_export *export; /* NULL until a handle is open */
	struct ovl *fs;                   /* of the export */
	struct ovl_caller caller;
	uint32_t groups[ORPC_MAX_GIDS];
	struct nfsd_group_list
		*own_groups; /* by the server's database; or NULL */
	/* By the order of the handles in the arguments; NULL: not open. */
	struct ovl_node *node[2];
	/* What has happened to them, for weak cache consistency data. */
	struct ovl_change change[2];
	/* Where results go, after the status. Room for ORPC_RESULTS_MIN. */
	int32_t *out;
};

/*
 * Open the handle `fh` as node[0] (nfs3_open) or node[1] (nfs3_open_second).
 * -EBADFD, -EACCES (the peer may not call), -EXDEV (the second is of another
 * export), -ESTALE, -EAGAIN, -EINPROGRESS.
 */
int nfs3_open(struct nfs3_request *request, const struct nfsd_fh *fh);
int nfs3_open_second(struct nfs3_request *request, const struct nfsd_fh *fh);

/*
 * Make room for `size` bytes of results and put the cursor at their beginning.
 * Only before anything has been put. -ENOMEM.
 */
int nfs3_reserve(struct nfs3_request *request, size_t size);

/* The same, on the transport of this call. */
uint32_t nfs3_io_max(const struct orpc_call *call);

/* The same of other calls on its transport: what a client may ask for. */
uint32_t nfs3_io_usual(const struct orpc_call *call);

static inline void nfs3_put_u32(struct nfs3_request *request, uint32_t value)
{
	request->out = nfsd_put_u32(request->out, value);
}

static inline void nfs3_put_u64(struct nfs3_request *request, uint64_t value)
{
	request->out = nfsd_put_u64(request->out, value);
}

/* The handle of a node, with its length. */
void nfs3_put_handle(struct nfs3_request *request, struct ovl_id id);

/*
 * Put the attributes of a node as post_op_attr, or that there are none, where
 * they cannot be had. 0, or -EAGAIN: they can, by waiting, which a call that
 * has changed nothing should do.
 */
int nfs3_put_attr(struct nfs3_request *request, struct ovl_node *node);

/* Put change[i] as wcc_data, completed where the overlay has left it open. */
void nfs3_put_wcc(struct nfs3_request *request, int i);

/* ---- the procedures, by the source they are in --------------------------- */

typedef int nfs3_run_fn(struct nfs3_request *request);

/* nfs3_attr.c */
nfs3_run_fn nfs3_getattr, nfs3_setattr, nfs3_access;
/* nfs3_lookup.c */
nfs3_run_fn nfs3_lookup, nfs3_readlink;
/* nfs3_data.c */
nfs3_run_fn nfs3_read, nfs3_write, nfs3_commit;
/* nfs3_create.c */
nfs3_run_fn nfs3_create, nfs3_mkdir, nfs3_symlink, nfs3_mknod;
/* nfs3_names.c */
nfs3_run_fn nfs3_remove, nfs3_rmdir, nfs3_rename, nfs3_link;
/* nfs3_list.c */
nfs3_run_fn nfs3_readdir, nfs3_readdirplus;
/* nfs3_fs.c */
nfs3_run_fn nfs3_fsstat, nfs3_fsinfo, nfs3_pathconf;

#endif
