/*
 * Codecs of NFS version 3 that are hot, or that must not do what rpcgen's do:
 * copy data, allocate what the wire asks for, stop a name at a NUL, recurse
 * along a list. Everything else uses the generated ones (server/nfs3_prot.h).
 *
 * Decoders (_get_) read from a stream and return false where the arguments are
 * garbage. What they hand out by pointer lies in the receive buffer.
 *
 * Encoders (_put_) write at a cursor and return it advanced; the caller has
 * made sure that there is room (the sizes are below).
 */
#ifndef VENEER_SERVER_NFS3_XDR_H
#define VENEER_SERVER_NFS3_XDR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <rpc/types.h>
#include <rpc/xdr.h>

#include "overlay/attr.h"
#include "server/nfs3_prot.h"

/* ---- arguments ---------------------------------------------------------- */

struct nfsd_fh {
	const void *bytes;
	uint32_t len; /* at most NFS3_FHSIZE */
};

/* A name or symlink target that may be one, or not: see `error`. */
struct nfsd_name {
	int error; /* 0; -EACCES: empty, with "/" or NUL; -ENAMETOOLONG */
	enum { NFSD_PLAIN, NFSD_DOT, NFSD_DOTDOT } kind;
	char text[NAME_MAX + 1];
};

struct nfsd_target {
	int error; /* 0; -EINVAL: empty or with NUL; -ENAMETOOLONG */
	char text[PATH_MAX];
};

struct nfsd_read_args {
	struct nfsd_fh file;
	uint64_t offset;
	uint32_t count;
};

struct nfsd_write_args {
	struct nfsd_fh file;
	uint64_t offset;
	uint32_t count; /* bytes of `data` */
	uint32_t stable;
	const void *data;
};

struct nfsd_readdir_args {
	struct nfsd_fh dir;
	uint64_t cookie;
	uint32_t dircount; /* READDIRPLUS only */
	uint32_t maxcount;
};

bool nfsd_get_u32(XDR *xdr, uint32_t *value);
bool nfsd_get_u64(XDR *xdr, uint64_t *value);
bool nfsd_get_fh(XDR *xdr, struct nfsd_fh *fh);
bool nfsd_get_name(XDR *xdr, struct nfsd_name *name);
bool nfsd_get_dirop(XDR *xdr, struct nfsd_fh *dir, struct nfsd_name *name);
bool nfsd_get_target(XDR *xdr, struct nfsd_target *target);
bool nfsd_get_read(XDR *xdr, struct nfsd_read_args *args);
bool nfsd_get_write(XDR *xdr, struct nfsd_write_args *args);
bool nfsd_get_readdir(XDR *xdr, bool plus, struct nfsd_readdir_args *args);

/*
 * sattr3, decoded by the generated codec, as the overlay wants it. 0, -EINVAL
 * (a time of a second of nanoseconds or more) or -EFBIG (no offset is so
 * large).
 */
int nfsd_sattr(const sattr3 *from, struct ovl_setattr *to);

/* ---- results ------------------------------------------------------------ */

#define NFSD_XDR_FH (4 + 32)
#define NFSD_XDR_FATTR 84
#define NFSD_XDR_POST_OP (4 + NFSD_XDR_FATTR)    /* at most */
#define NFSD_XDR_WCC (4 + 24 + NFSD_XDR_POST_OP) /* at most */

static inline int32_t *nfsd_put_u32(int32_t *p, uint32_t value)
{
	IXDR_PUT_U_INT32(p, value);
	return p;
}

static inline int32_t *nfsd_put_u64(int32_t *p, uint64_t value)
{
	p = nfsd_put_u32(p, (uint32_t)(value >> 32));
	return nfsd_put_u32(p, (uint32_t)value);
}

/* Bytes that `len` bytes of opaque data take, without their length. */
static inline size_t nfsd_xdr_padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* Opaque data of variable length. `data` NULL: they are in place already. */
static inline int32_t *nfsd_put_opaque(int32_t *p, const void *data,
                                       uint32_t len)
{
	char *bytes = (char *)nfsd_put_u32(p, len);
	const size_t padded = nfsd_xdr_padded(len);

	if (data != NULL)
		memcpy(bytes, data, len);
	memset(bytes + len, 0, padded - len);
	return (int32_t *)(bytes + padded);
}

int32_t *nfsd_put_fattr(int32_t *p, const struct ovl_attr *attr, uint64_t fsid);

/* `attr` NULL: none. */
int32_t *nfsd_put_post_op(int32_t *p, const struct ovl_attr *attr,
                          uint64_t fsid);

int32_t *nfsd_put_wcc(int32_t *p, const struct ovl_change *change,
                      uint64_t fsid);

#endif
