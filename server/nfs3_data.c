#include "config.h"

#include "server/nfs3_request.h"

#include <errno.h>

/* Before the data in READ's results: status, attributes, count, eof, length. */
#define READ_HEAD (4 + NFSD_XDR_POST_OP + 4 + 4 + 4)

/* No file has a byte at or past this offset. */
#define OFFSET_MAX ((uint64_t)INT64_MAX)

/* Of memory; a page of another size is made of such. */
#define PAGE_BYTES 4096

/* What of the data can go from the file to the connection by itself. 0: nothing. */
static ssize_t read_piped(struct nfs3_request *request, uint64_t offset,
                          uint32_t count, bool *eof)
{
	ssize_t got;
	int pipe;

	if (offset % PAGE_BYTES != 0 ||
	    !ovl_may_splice(request->fs, &request->caller))
		return 0;
	pipe = orpc_call_pipe(request->call, count);
	if (pipe < 0)
		return 0;
	got = ovl_read_to_pipe(request->fs, &request->caller, request->node[0],
	                       pipe, count, offset, eof);
	return orpc_call_piped(request->call, got > 0 ? (size_t)got : 0) ? got
	                                                                 : 0;
}

/* Read to where they leave from. */
static ssize_t read_copied(struct nfs3_request *request, uint64_t offset,
                           uint32_t count, bool *eof)
{
	int err = nfs3_reserve(request, READ_HEAD + nfsd_xdr_padded(count));

	/* From the cursor, which stands after the status already. */
	return err != 0 ? err
	                : ovl_read(request->fs, &request->caller,
	                           request->node[0],
	                           (char *)request->out + READ_HEAD - 4, count,
	                           offset, eof);
}

/* The results are laid out around the data: so attributes are there always. */
int nfs3_read(struct nfs3_request *request)
{
	struct nfsd_read_args args;
	struct ovl_attr attr;
	uint32_t count;
	ssize_t got;
	bool eof, piped;
	int err;

	if (!nfsd_get_read(&request->call->args, &args))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &args.file);
	if (err != 0)
		return err;
	/* There is nothing so far out, which is no error (RFC 1813, 3.3.6). */
	if (args.offset > OFFSET_MAX)
		args.offset = OFFSET_MAX;
	count = nfs3_io_max(request->call);
	if (count > args.count)
		count = args.count;
	if (count > OFFSET_MAX - args.offset)
		count = (uint32_t)(OFFSET_MAX - args.offset);

	got = read_piped(request, args.offset, count, &eof);
	piped = got > 0;
	if (got == 0)
		got = read_copied(request, args.offset, count, &eof);
	if (got < 0)
		return (int)got;
	err = ovl_getattr(request->fs, &request->caller, request->node[0],
	                  &attr);
	if (err != 0 && piped)
		orpc_call_piped(request->call, 0);
	if (err != 0)
		return err;
	request->out =
		nfsd_put_post_op(request->out, &attr, request->export->id);
	nfs3_put_u32(request, (uint32_t)got);
	nfs3_put_u32(request, eof);
	if (piped)
		nfs3_put_u32(request, (uint32_t)got);
	else
		request->out =
			nfsd_put_opaque(request->out, NULL, (uint32_t)got);
	return 0;
}

static const enum ovl_stable stables[] = {
	[UNSTABLE] = OVL_UNSTABLE,
	[DATA_SYNC] = OVL_DATA_SYNC,
	[FILE_SYNC] = OVL_FILE_SYNC,
};

/*
 * The verifier is taken before the write: where it changes in between, the
 * client may send again what was written, and never believes what was lost.
 */
int nfs3_write(struct nfs3_request *request)
{
	struct nfsd_write_args args;
	uint64_t verifier;
	ssize_t written;
	int err;

	if (!nfsd_get_write(&request->call->args, &args))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &args.file);
	if (err != 0)
		return err;
	if (args.offset > OFFSET_MAX || args.count > OFFSET_MAX - args.offset)
		return -EFBIG;
	if (args.count > NFS3_IO_MAX)
		args.count = NFS3_IO_MAX;
	verifier = ovl_write_verifier(request->fs);
	written = ovl_write(request->fs, &request->caller, request->node[0],
	                    args.data, args.count, args.offset,
	                    stables[args.stable], &request->change[0]);
	if (written < 0)
		return (int)written;
	nfs3_put_wcc(request, 0);
	nfs3_put_u32(request, (uint32_t)written);
	nfs3_put_u32(request, args.stable);
	nfs3_put_u64(request, verifier);
	return 0;
}

/*
 * Here the verifier is taken afterwards: it must differ if anything was lost
 * before or during the flush.
 */
int nfs3_commit(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct nfsd_fh fh;
	uint64_t offset;
	uint32_t count;
	int err;

	if (!nfsd_get_fh(args, &fh) || !nfsd_get_u64(args, &offset) ||
	    !nfsd_get_u32(args, &count))
		return NFS3_GARBAGE;
	err = nfs3_open(request, &fh);
	if (err != 0)
		return err;
	/*
	 * A range that ends where no file can goes to the end of the file. One that
	 * begins there is no error either (RFC 1813, 3.3.21, has none for it): the
	 * whole file is flushed.
	 */
	if (offset > OFFSET_MAX)
		offset = count = 0;
	if (count > OFFSET_MAX - offset)
		count = 0;
	err = ovl_commit(request->fs, &request->caller, request->node[0],
	                 offset, count, &request->change[0]);
	if (err != 0)
		return err;
	nfs3_put_wcc(request, 0);
	nfs3_put_u64(request, ovl_write_verifier(request->fs));
	return 0;
}
