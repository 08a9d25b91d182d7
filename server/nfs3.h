/*
 * NFS version 3 (RFC 1813): the program, as the RPC server wants it.
 */
#ifndef VENEER_SERVER_NFS3_H
#define VENEER_SERVER_NFS3_H

#include "rpc/orpc.h"
#include "server/serving.h"

/* `serving` is borrowed for as long as the program is served. */
struct orpc_program nfsd_nfs3_program(struct nfsd_serving *serving);

#endif
