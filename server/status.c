#include "config.h"

#include "server/status.h"

#include <errno.h>

nfsstat3 nfsd_status_nfs3(int err)
{
	switch (-err) {
	case 0:
		return NFS3_OK;
	case EPERM:
		return NFS3ERR_PERM;
	case ENOENT:
		return NFS3ERR_NOENT;
	case ENXIO:
		return NFS3ERR_NXIO;
	case EACCES:
		return NFS3ERR_ACCES;
	case EEXIST:
		return NFS3ERR_EXIST;
	case EXDEV:
		return NFS3ERR_XDEV;
	case ENODEV:
		return NFS3ERR_NODEV;
	case ENOTDIR:
		return NFS3ERR_NOTDIR;
	case EISDIR:
		return NFS3ERR_ISDIR;
	case EINVAL:
		return NFS3ERR_INVAL;
	case EFBIG:
		return NFS3ERR_FBIG;
	case ENOSPC:
		return NFS3ERR_NOSPC;
	case EROFS:
		return NFS3ERR_ROFS;
	case EMLINK:
		return NFS3ERR_MLINK;
	case ENAMETOOLONG:
		return NFS3ERR_NAMETOOLONG;
	case ENOTEMPTY:
		return NFS3ERR_NOTEMPTY;
	case EDQUOT:
		return NFS3ERR_DQUOT;
	case ESTALE:
		return NFS3ERR_STALE;
	case EBADFD:
		return NFS3ERR_BADHANDLE;
	case EBADE:
		return NFS3ERR_NOT_SYNC;
	case EOPNOTSUPP:
		return NFS3ERR_NOTSUPP;
	case ENOBUFS:
		return NFS3ERR_TOOSMALL;
	case EMEDIUMTYPE:
		return NFS3ERR_BADTYPE;
	/* It may well go better in a while, and the client will try again. */
	case EAGAIN:
	case EINPROGRESS:
	case EINTR:
	case EBUSY:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return NFS3ERR_JUKEBOX;
	default:
		return NFS3ERR_IO;
	}
}

mountstat3 nfsd_status_mount3(int err)
{
	switch (-err) {
	case 0:
		return MNT3_OK;
	case EPERM:
		return MNT3ERR_PERM;
	case ENOENT:
		return MNT3ERR_NOENT;
	case EACCES:
		return MNT3ERR_ACCES;
	case ENOTDIR:
		return MNT3ERR_NOTDIR;
	case EINVAL:
		return MNT3ERR_INVAL;
	case ENAMETOOLONG:
		return MNT3ERR_NAMETOOLONG;
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return MNT3ERR_SERVERFAULT;
	default:
		return MNT3ERR_IO;
	}
}

uint32_t nfsd_status_mount1(int err)
{
	mountstat3 status = nfsd_status_mount3(err);

	return status == MNT3ERR_SERVERFAULT ? MNT3ERR_IO : status;
}
