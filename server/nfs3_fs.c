#include "config.h"

#include "server/nfs3_request.h"

/* READDIR's preferred size. */
#define DTPREF 65536

/* Sizes of READ and WRITE are best multiples of this. */
#define IO_MULTIPLE 4096

/* The smallest of what ext4, xfs and btrfs have; no client counts on it. */
#define LINK_MAX_NAMES 65000

static int open_object(struct nfs3_request *request)
{
	struct nfsd_fh fh;

	if (!nfsd_get_fh(&request->call->args, &fh))
		return NFS3_GARBAGE;
	return nfs3_open(request, &fh);
}

int nfs3_fsstat(struct nfs3_request *request)
{
	struct ovl_statfs stat;
	int err = open_object(request);

	if (err == 0)
		err = ovl_statfs(request->fs, &request->caller, &stat);
	if (err != 0)
		return err;
	err = nfs3_put_attr(request, request->node[0]);
	nfs3_put_u64(request, stat.total_bytes);
	nfs3_put_u64(request, stat.free_bytes);
	nfs3_put_u64(request, stat.avail_bytes);
	nfs3_put_u64(request, stat.total_files);
	nfs3_put_u64(request, stat.free_files);
	nfs3_put_u64(request, stat.avail_files);
	nfs3_put_u32(request, 0); /* invarsec */
	return err;
}

int nfs3_fsinfo(struct nfs3_request *request)
{
	uint32_t io_max = nfs3_io_usual(request->call);
	int err = open_object(request);

	if (err != 0)
		return err;
	err = nfs3_put_attr(request, request->node[0]);
	for (int i = 0; i < 2; i++) {          /* of READ, and of WRITE */
		nfs3_put_u32(request, io_max); /* at most */
		nfs3_put_u32(request, io_max); /* best */
		nfs3_put_u32(request, IO_MULTIPLE);
	}
	nfs3_put_u32(request, io_max < DTPREF ? io_max : DTPREF);
	nfs3_put_u64(request, INT64_MAX); /* largest file */
	nfs3_put_u32(request, 0);         /* times: seconds, and */
	nfs3_put_u32(request, 1);         /* nanoseconds */
	nfs3_put_u32(request, FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS |
	                              FSF3_CANSETTIME);
	return err;
}

int nfs3_pathconf(struct nfs3_request *request)
{
	int err = open_object(request);

	if (err != 0)
		return err;
	err = nfs3_put_attr(request, request->node[0]);
	nfs3_put_u32(request, LINK_MAX_NAMES);
	nfs3_put_u32(request, NAME_MAX);
	nfs3_put_u32(request, TRUE);  /* no_trunc */
	nfs3_put_u32(request, TRUE);  /* chown_restricted */
	nfs3_put_u32(request, FALSE); /* case_insensitive */
	nfs3_put_u32(request, TRUE);  /* case_preserving */
	return err;
}
