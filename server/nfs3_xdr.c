#include "config.h"

#include "server/nfs3_xdr.h"

#include <errno.h>
#include <sys/stat.h>

#define NSEC_PER_SEC 1000000000u

/* ---- arguments ---------------------------------------------------------- */

bool nfsd_get_u32(XDR *xdr, uint32_t *value)
{
	int32_t *p = xdr_inline(xdr, 4);

	if (p == NULL)
		return false;
	*value = IXDR_GET_U_INT32(p);
	return true;
}

bool nfsd_get_u64(XDR *xdr, uint64_t *value)
{
	int32_t *p = xdr_inline(xdr, 8);

	if (p == NULL)
		return false;
	*value = (uint64_t)IXDR_GET_U_INT32(p) << 32;
	*value |= IXDR_GET_U_INT32(p);
	return true;
}

/* Variable opaque data in place; the padding is skipped. */
static bool get_opaque(XDR *xdr, const void **data, uint32_t *len)
{
	if (!nfsd_get_u32(xdr, len) || *len > UINT32_MAX - 3)
		return false;
	*data = xdr_inline(xdr, (u_int)nfsd_xdr_padded(*len));
	return *data != NULL;
}

bool nfsd_get_fh(XDR *xdr, struct nfsd_fh *fh)
{
	return get_opaque(xdr, &fh->bytes, &fh->len) && fh->len <= NFS3_FHSIZE;
}

/*
 * A name is taken by its length, so that a NUL in it is seen. What cannot be a
 * name is no garbage: the call gets a status, as Linux and Solaris answer.
 */
bool nfsd_get_name(XDR *xdr, struct nfsd_name *name)
{
	const void *bytes;
	uint32_t len;

	if (!get_opaque(xdr, &bytes, &len))
		return false;
	name->kind = NFSD_PLAIN;
	name->error = 0;
	if (len > NAME_MAX) {
		name->error = -ENAMETOOLONG;
	} else if (len == 0 || memchr(bytes, '\0', len) != NULL ||
	           memchr(bytes, '/', len) != NULL) {
		name->error = -EACCES;
	} else {
		memcpy(name->text, bytes, len);
		name->text[len] = '\0';
		if (name->text[0] == '.' && len == 1)
			name->kind = NFSD_DOT;
		else if (name->text[0] == '.' && name->text[1] == '.' &&
		         len == 2)
			name->kind = NFSD_DOTDOT;
	}
	return true;
}

bool nfsd_get_dirop(XDR *xdr, struct nfsd_fh *dir, struct nfsd_name *name)
{
	return nfsd_get_fh(xdr, dir) && nfsd_get_name(xdr, name);
}

bool nfsd_get_target(XDR *xdr, struct nfsd_target *target)
{
	const void *bytes;
	uint32_t len;

	if (!get_opaque(xdr, &bytes, &len))
		return false;
	target->error = 0;
	if (len >= PATH_MAX) {
		target->error = -ENAMETOOLONG;
	} else if (len == 0 || memchr(bytes, '\0', len) != NULL) {
		target->error = -EINVAL;
	} else {
		memcpy(target->text, bytes, len);
		target->text[len] = '\0';
	}
	return true;
}

bool nfsd_get_read(XDR *xdr, struct nfsd_read_args *args)
{
	return nfsd_get_fh(xdr, &args->file) &&
	       nfsd_get_u64(xdr, &args->offset) &&
	       nfsd_get_u32(xdr, &args->count);
}

bool nfsd_get_write(XDR *xdr, struct nfsd_write_args *args)
{
	uint32_t len;

	return nfsd_get_fh(xdr, &args->file) &&
	       nfsd_get_u64(xdr, &args->offset) &&
	       nfsd_get_u32(xdr, &args->count) &&
	       nfsd_get_u32(xdr, &args->stable) && args->stable <= FILE_SYNC &&
	       get_opaque(xdr, &args->data, &len) && len == args->count;
}

bool nfsd_get_readdir(XDR *xdr, bool plus, struct nfsd_readdir_args *args)
{
	uint64_t verifier; /* constant, and not enforced */

	args->dircount = UINT32_MAX;
	return nfsd_get_fh(xdr, &args->dir) &&
	       nfsd_get_u64(xdr, &args->cookie) &&
	       nfsd_get_u64(xdr, &verifier) &&
	       (!plus || nfsd_get_u32(xdr, &args->dircount)) &&
	       nfsd_get_u32(xdr, &args->maxcount);
}

static enum ovl_settime settime(time_how how)
{
	switch (how) {
	case SET_TO_SERVER_TIME:
		return OVL_TIME_NOW;
	case SET_TO_CLIENT_TIME:
		return OVL_TIME_GIVEN;
	default:
		return OVL_TIME_KEEP;
	}
}

int nfsd_sattr(const sattr3 *from, struct ovl_setattr *to)
{
	const nfstime3 *atime = &from->atime.set_atime_u.atime;
	const nfstime3 *mtime = &from->mtime.set_mtime_u.mtime;

	*to = (struct ovl_setattr){
		.has_mode = from->mode.set_it,
		.has_uid = from->uid.set_it,
		.has_gid = from->gid.set_it,
		.has_size = from->size.set_it,
		.set_atime = settime(from->atime.set_it),
		.set_mtime = settime(from->mtime.set_it),
	};
	if (to->has_mode)
		to->mode = from->mode.set_mode3_u.mode & 07777;
	if (to->has_uid)
		to->uid = from->uid.set_uid3_u.uid;
	if (to->has_gid)
		to->gid = from->gid.set_gid3_u.gid;
	if (to->has_size)
		to->size = from->size.set_size3_u.size;
	if (to->set_atime == OVL_TIME_GIVEN)
		to->atime =
			(struct timespec){ atime->seconds, atime->nseconds };
	if (to->set_mtime == OVL_TIME_GIVEN)
		to->mtime =
			(struct timespec){ mtime->seconds, mtime->nseconds };
	if (to->atime.tv_nsec >= NSEC_PER_SEC ||
	    to->mtime.tv_nsec >= NSEC_PER_SEC)
		return -EINVAL;
	return to->size > INT64_MAX ? -EFBIG : 0;
}

/* ---- results ------------------------------------------------------------ */

static ftype3 file_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return NF3DIR;
	case S_IFBLK:
		return NF3BLK;
	case S_IFCHR:
		return NF3CHR;
	case S_IFLNK:
		return NF3LNK;
	case S_IFSOCK:
		return NF3SOCK;
	case S_IFIFO:
		return NF3FIFO;
	default:
		return NF3REG;
	}
}

/* Seconds have 32 bits, from 1970 to 2106; others are moved to the ends. */
static int32_t *put_time(int32_t *p, const struct timespec *time)
{
	uint32_t seconds = (uint32_t)time->tv_sec;

	if (time->tv_sec < 0)
		seconds = 0;
	else if (time->tv_sec > UINT32_MAX)
		seconds = UINT32_MAX;
	p = nfsd_put_u32(p, seconds);
	return nfsd_put_u32(p, (uint32_t)time->tv_nsec);
}

int32_t *nfsd_put_fattr(int32_t *p, const struct ovl_attr *attr, uint64_t fsid)
{
	p = nfsd_put_u32(p, file_type(attr->mode));
	p = nfsd_put_u32(p, attr->mode & 07777);
	p = nfsd_put_u32(p, attr->nlink);
	p = nfsd_put_u32(p, attr->uid);
	p = nfsd_put_u32(p, attr->gid);
	p = nfsd_put_u64(p, attr->size);
	p = nfsd_put_u64(p, attr->used);
	p = nfsd_put_u32(p, attr->rdev_major);
	p = nfsd_put_u32(p, attr->rdev_minor);
	p = nfsd_put_u64(p, fsid);
	p = nfsd_put_u64(p, attr->fileid);
	p = put_time(p, &attr->atime);
	p = put_time(p, &attr->mtime);
	return put_time(p, &attr->ctime);
}

int32_t *nfsd_put_post_op(int32_t *p, const struct ovl_attr *attr,
                          uint64_t fsid)
{
	p = nfsd_put_u32(p, attr != NULL);
	return attr == NULL ? p : nfsd_put_fattr(p, attr, fsid);
}

int32_t *nfsd_put_wcc(int32_t *p, const struct ovl_change *change,
                      uint64_t fsid)
{
	p = nfsd_put_u32(p, change->has_before);
	if (change->has_before) {
		p = nfsd_put_u64(p, change->before.size);
		p = put_time(p, &change->before.mtime);
		p = put_time(p, &change->before.ctime);
	}
	return nfsd_put_post_op(p, change->has_after ? &change->after : NULL,
	                        fsid);
}
