#include "config.h"

#include "server/status.h"

#include <errno.h>
#include <stddef.h>

/* By errno; 0 where it has no status of its own. */
static const nfsstat3 nfs3_statuses[] = {
	[EPERM] = NFS3ERR_PERM,
	[ENOENT] = NFS3ERR_NOENT,
	[ENXIO] = NFS3ERR_NXIO,
	[EACCES] = NFS3ERR_ACCES,
	[EEXIST] = NFS3ERR_EXIST,
	[EXDEV] = NFS3ERR_XDEV,
	[ENODEV] = NFS3ERR_NODEV,
	[ENOTDIR] = NFS3ERR_NOTDIR,
	[EISDIR] = NFS3ERR_ISDIR,
	[EINVAL] = NFS3ERR_INVAL,
	[EFBIG] = NFS3ERR_FBIG,
	[ENOSPC] = NFS3ERR_NOSPC,
	[EROFS] = NFS3ERR_ROFS,
	[EMLINK] = NFS3ERR_MLINK,
	[ENAMETOOLONG] = NFS3ERR_NAMETOOLONG,
	[ENOTEMPTY] = NFS3ERR_NOTEMPTY,
	[EDQUOT] = NFS3ERR_DQUOT,
	[ESTALE] = NFS3ERR_STALE,
	[EBADFD] = NFS3ERR_BADHANDLE,
	[EBADE] = NFS3ERR_NOT_SYNC,
	[EOPNOTSUPP] = NFS3ERR_NOTSUPP,
	[ENOBUFS] = NFS3ERR_TOOSMALL,
	[EMEDIUMTYPE] = NFS3ERR_BADTYPE,
	/* It may well go better in a while, and the client will try again. */
	[EAGAIN] = NFS3ERR_JUKEBOX,
	[EINPROGRESS] = NFS3ERR_JUKEBOX,
	[EINTR] = NFS3ERR_JUKEBOX,
	[EBUSY] = NFS3ERR_JUKEBOX,
	[ENOMEM] = NFS3ERR_JUKEBOX,
	[EMFILE] = NFS3ERR_JUKEBOX,
	[ENFILE] = NFS3ERR_JUKEBOX,
};

static const mountstat3 mount3_statuses[] = {
	[EPERM] = MNT3ERR_PERM,
	[ENOENT] = MNT3ERR_NOENT,
	[EACCES] = MNT3ERR_ACCES,
	[ENOTDIR] = MNT3ERR_NOTDIR,
	[EINVAL] = MNT3ERR_INVAL,
	[ENAMETOOLONG] = MNT3ERR_NAMETOOLONG,
	/*
	 * It may well go better in a while, which no status says, nor does mount.nfs
	 * try again after any: this one blames the server at least, and neither the
	 * path, nor the client, nor a disk.
	 */
	[EAGAIN] = MNT3ERR_SERVERFAULT,
	[EINPROGRESS] = MNT3ERR_SERVERFAULT,
	[ENOMEM] = MNT3ERR_SERVERFAULT,
	[EMFILE] = MNT3ERR_SERVERFAULT,
	[ENFILE] = MNT3ERR_SERVERFAULT,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

nfsstat3 nfsd_status_nfs3(int err)
{
	const size_t n = (size_t)-err;

	if (err == 0)
		return NFS3_OK;
	if (n >= COUNT(nfs3_statuses) || nfs3_statuses[n] == NFS3_OK)
		return NFS3ERR_IO;
	return nfs3_statuses[n];
}

mountstat3 nfsd_status_mount3(int err)
{
	const size_t n = (size_t)-err;

	if (err == 0)
		return MNT3_OK;
	if (n >= COUNT(mount3_statuses) || mount3_statuses[n] == MNT3_OK)
		return MNT3ERR_IO;
	return mount3_statuses[n];
}

uint32_t nfsd_status_mount1(int err)
{
	mountstat3 status = nfsd_status_mount3(err);

	return status == MNT3ERR_SERVERFAULT ? MNT3ERR_IO : status;
}
