/*
 * From -errno to what goes over the wire. The one place that does it.
 *
 * The overlay's errors have their POSIX meaning. The server adds a few that
 * NFS has and POSIX has not, under errno values no filesystem call returns:
 *   -EBADFD       not a handle of ours         BADHANDLE
 *   -EBADE        SETATTR's guard differs      NOT_SYNC
 *   -ENOBUFS      no room for one entry        TOOSMALL
 *   -EMEDIUMTYPE  MKNOD of no special file     BADTYPE
 *   -EINPROGRESS  being looked for             JUKEBOX
 * -EAGAIN becomes JUKEBOX: a call that may not wait has been turned into a call
 * that may long before, so here it only says "later". MOUNT has no JUKEBOX: there
 * it is SERVERFAULT.
 */
#ifndef VENEER_SERVER_STATUS_H
#define VENEER_SERVER_STATUS_H

#include <stdint.h>

#include "server/mount_prot.h"
#include "server/nfs3_prot.h"

/* `err` is 0 or -errno. What has no status of its own is IO. */
nfsstat3 nfsd_status_nfs3(int err);
mountstat3 nfsd_status_mount3(int err);

/* MOUNT version 1 has the numbers of UNIX (RFC 1094, A.5). */
uint32_t nfsd_status_mount1(int err);

#endif
