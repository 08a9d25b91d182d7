/*
 * The MOUNT protocol, versions 1 and 3: the program, as the RPC server wants
 * it.
 *
 * MNT turns a path into a handle, for those who may have it. What cannot be told yet,
 * for a name that is being looked up or an export that is being opened, is waited for,
 * in the pool. Who has mounted what is noted for DUMP (showmount -a), as far as
 * clients tell; nothing else looks at it.
 *
 * Thread-safe, but for nfsd_mount_new and nfsd_mount_free.
 */
#ifndef VENEER_SERVER_MOUNT_H
#define VENEER_SERVER_MOUNT_H

#include "rpc/orpc.h"
#include "server/serving.h"

struct nfsd_mount;

/*
 * Calls that wait so at a time: half of the pool's threads, so that the other half is
 * there for all else. One more is told at once that it cannot be told.
 */
#define NFSD_MOUNT_MAX_WAITING 32

/* `serving` is borrowed. NULL: no memory. */
struct nfsd_mount *nfsd_mount_new(struct nfsd_serving *serving);
void nfsd_mount_free(struct nfsd_mount *mount); /* NULL is fine */

/* The server is to end: nobody waits any more. */
void nfsd_mount_wind_up(struct nfsd_mount *mount);

/* `mount` is borrowed for as long as the program is served. */
struct orpc_program nfsd_mount_program(struct nfsd_mount *mount);

#endif
