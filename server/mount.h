/*
 * The MOUNT protocol, versions 1 and 3: the program, as the RPC server wants
 * it.
 *
 * MNT turns a path into a handle, for those who may have it. Who has mounted
 * what is noted for DUMP (showmount -a), as far as clients tell; nothing else
 * looks at it.
 */
#ifndef VENEER_SERVER_MOUNT_H
#define VENEER_SERVER_MOUNT_H

#include "rpc/orpc.h"
#include "server/serving.h"

struct nfsd_mount;

/* `serving` is borrowed. NULL: no memory. */
struct nfsd_mount *nfsd_mount_new(struct nfsd_serving *serving);
void nfsd_mount_free(struct nfsd_mount *mount); /* NULL is fine */

/* `mount` is borrowed for as long as the program is served. */
struct orpc_program nfsd_mount_program(struct nfsd_mount *mount);

#endif
