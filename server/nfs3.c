#include "config.h"

#include "server/nfs3.h"

#include <errno.h>

#include "server/nfs3_request.h"
#include "server/status.h"

/* What stands in a failure arm, after the status. */
enum arm {
	ARM_VOID,
	ARM_ATTR,     /* post_op_attr of the first handle */
	ARM_WCC,      /* wcc_data of the first handle */
	ARM_WCC_WCC,  /* RENAME: of both */
	ARM_ATTR_WCC, /* LINK: of the file, and of the directory */
};

struct operation {
	nfs3_run_fn *run;
	enum arm arm;
};

static const struct operation operations[] = {
	[NFSPROC3_GETATTR] = { nfs3_getattr, ARM_VOID },
	[NFSPROC3_SETATTR] = { nfs3_setattr, ARM_WCC },
	[NFSPROC3_LOOKUP] = { nfs3_lookup, ARM_ATTR },
	[NFSPROC3_ACCESS] = { nfs3_access, ARM_ATTR },
	[NFSPROC3_READLINK] = { nfs3_readlink, ARM_ATTR },
	[NFSPROC3_READ] = { nfs3_read, ARM_ATTR },
	[NFSPROC3_WRITE] = { nfs3_write, ARM_WCC },
	[NFSPROC3_CREATE] = { nfs3_create, ARM_WCC },
	[NFSPROC3_MKDIR] = { nfs3_mkdir, ARM_WCC },
	[NFSPROC3_SYMLINK] = { nfs3_symlink, ARM_WCC },
	[NFSPROC3_MKNOD] = { nfs3_mknod, ARM_WCC },
	[NFSPROC3_REMOVE] = { nfs3_remove, ARM_WCC },
	[NFSPROC3_RMDIR] = { nfs3_rmdir, ARM_WCC },
	[NFSPROC3_RENAME] = { nfs3_rename, ARM_WCC_WCC },
	[NFSPROC3_LINK] = { nfs3_link, ARM_ATTR_WCC },
	[NFSPROC3_READDIR] = { nfs3_readdir, ARM_ATTR },
	[NFSPROC3_READDIRPLUS] = { nfs3_readdirplus, ARM_ATTR },
	[NFSPROC3_FSSTAT] = { nfs3_fsstat, ARM_ATTR },
	[NFSPROC3_FSINFO] = { nfs3_fsinfo, ARM_ATTR },
	[NFSPROC3_PATHCONF] = { nfs3_pathconf, ARM_ATTR },
	[NFSPROC3_COMMIT] = { nfs3_commit, ARM_WCC },
};

/* -EAGAIN: by waiting, it can be done better. */
static int put_failure(struct nfs3_request *request, enum arm arm)
{
	switch (arm) {
	case ARM_VOID:
		break;
	case ARM_ATTR:
		return nfs3_put_attr(request, request->node[0]);
	case ARM_WCC:
		nfs3_put_wcc(request, 0);
		break;
	case ARM_WCC_WCC:
		nfs3_put_wcc(request, 0);
		nfs3_put_wcc(request, 1);
		break;
	case ARM_ATTR_WCC:
		nfs3_put_attr(request, request->node[0]);
		nfs3_put_wcc(request, 1);
		break;
	}
	return 0;
}

/* JUKEBOX: nothing was done, and the same call is to come again. */
static enum orpc_status kind_of(nfsstat3 status)
{
	return status == NFS3ERR_JUKEBOX ? ORPC_NOT_NOW : ORPC_DONE;
}

/*
 * Status first, then the arm that belongs to it. The results of a success are
 * there already, from the second word on.
 */
static enum orpc_status answer(struct nfs3_request *request,
                               const struct operation *operation, int err)
{
	const nfsstat3 status = nfsd_status_nfs3(err);
	XDR *results = &request->call->results;
	int32_t *begin;

	if (!xdr_setpos(results, 0))
		return ORPC_SYSTEM_ERR;
	begin = xdr_inline(results, 0);
	if (begin == NULL)
		return ORPC_SYSTEM_ERR;
	nfsd_put_u32(begin, status);
	if (err != 0) {
		request->out = begin + 1;
		if (put_failure(request, operation->arm) == -EAGAIN &&
		    !request->call->may_wait)
			return ORPC_WAIT;
	}
	if (!xdr_setpos(results, (u_int)((char *)request->out - (char *)begin)))
		return ORPC_SYSTEM_ERR;
	return kind_of(status);
}

static enum orpc_status run(struct orpc_call *call,
                            const struct nfsd_exports *exports)
{
	const struct operation *operation = &operations[call->proc];
	struct nfs3_request request;
	enum orpc_status status;
	int err;

	request.call = call;
	request.exports = exports;
	request.export = NULL;
	request.caller.may_wait = call->may_wait;
	request.caller.began = 0;
	request.own_groups = NULL;
	request.node[0] = request.node[1] = NULL;
	for (int i = 0; i < 2; i++)
		request.change[i].has_before = request.change[i].has_after =
			false;
	request.out = xdr_inline(&call->results, 0);
	if (request.out == NULL)
		return ORPC_SYSTEM_ERR;
	request.out++; /* the status comes last */

	err = operation->run(&request);
	if (err == NFS3_GARBAGE)
		status = ORPC_GARBAGE_ARGS;
	else if (err == -EAGAIN && !call->may_wait)
		status = ORPC_WAIT;
	else
		status = answer(&request, operation, err);
	ovl_node_unref(request.node[0]);
	ovl_node_unref(request.node[1]);
	nfsd_group_list_unref(request.own_groups);
	return status;
}

static enum orpc_status dispatch(struct orpc_call *call, void *serving)
{
	enum orpc_status status;
	unsigned entry;

	status = run(call, nfsd_serving_begin(serving, &entry));
	nfsd_serving_end(serving, entry);
	return status;
}

static enum orpc_status null(struct orpc_call *call, void *serving)
{
	(void)call;
	(void)serving;
	return ORPC_DONE;
}

static const struct orpc_proc procs[] = {
	[NFSPROC3_NULL] = { "NULL", null, ORPC_AGAIN },
	[NFSPROC3_GETATTR] = { "GETATTR", dispatch, ORPC_AGAIN },
	[NFSPROC3_SETATTR] = { "SETATTR", dispatch, ORPC_ONCE },
	[NFSPROC3_LOOKUP] = { "LOOKUP", dispatch, ORPC_AGAIN },
	[NFSPROC3_ACCESS] = { "ACCESS", dispatch, ORPC_AGAIN },
	[NFSPROC3_READLINK] = { "READLINK", dispatch, ORPC_AGAIN },
	[NFSPROC3_READ] = { "READ", dispatch, ORPC_AGAIN },
	[NFSPROC3_WRITE] = { "WRITE", dispatch, ORPC_ONCE },
	[NFSPROC3_CREATE] = { "CREATE", dispatch, ORPC_ONCE },
	[NFSPROC3_MKDIR] = { "MKDIR", dispatch, ORPC_ONCE },
	[NFSPROC3_SYMLINK] = { "SYMLINK", dispatch, ORPC_ONCE },
	[NFSPROC3_MKNOD] = { "MKNOD", dispatch, ORPC_ONCE },
	[NFSPROC3_REMOVE] = { "REMOVE", dispatch, ORPC_ONCE },
	[NFSPROC3_RMDIR] = { "RMDIR", dispatch, ORPC_ONCE },
	[NFSPROC3_RENAME] = { "RENAME", dispatch, ORPC_ONCE },
	[NFSPROC3_LINK] = { "LINK", dispatch, ORPC_ONCE },
	[NFSPROC3_READDIR] = { "READDIR", dispatch, ORPC_AGAIN },
	[NFSPROC3_READDIRPLUS] = { "READDIRPLUS", dispatch, ORPC_AGAIN },
	[NFSPROC3_FSSTAT] = { "FSSTAT", dispatch, ORPC_AGAIN },
	[NFSPROC3_FSINFO] = { "FSINFO", dispatch, ORPC_AGAIN },
	[NFSPROC3_PATHCONF] = { "PATHCONF", dispatch, ORPC_AGAIN },
	[NFSPROC3_COMMIT] = { "COMMIT", dispatch, ORPC_AGAIN },
};

/* Version 3 alone: a probe for version 4 is told so at once. */
static const struct orpc_version versions[] = {
	{ NFS_V3, procs, sizeof(procs) / sizeof(procs[0]) },
};

struct orpc_program nfsd_nfs3_program(struct nfsd_serving *serving)
{
	return (struct orpc_program){
		.prog = NFS_PROGRAM,
		.name = "NFS",
		.versions = versions,
		.nversions = sizeof(versions) / sizeof(versions[0]),
		.arg = serving,
	};
}
