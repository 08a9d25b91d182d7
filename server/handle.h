/*
 * File handles: 32 bytes that name one object of one export for ever.
 *
 *   0   version (1)
 *   1   export id, 7 bytes
 *   8   fileid
 *   16  generation
 *   24  MAC of the 24 bytes before, by the key of the export
 *
 * Numbers are big-endian. One object has exactly one handle, because clients
 * compare them byte by byte. Pure functions; any thread.
 */
#ifndef VENEER_SERVER_HANDLE_H
#define VENEER_SERVER_HANDLE_H

#include <stddef.h>

#include "overlay/attr.h"
#include "server/export.h"

#define NFSD_HANDLE_BYTES 32

void nfsd_handle_encode(const struct nfsd_export *export, struct ovl_id id,
                        unsigned char handle[NFSD_HANDLE_BYTES]);

/*
 * The export and the identity that a handle names. 0; -EBADFD: not one that this
 * server gave out (its size, its version, its MAC, or no such export); -ESTALE: of
 * what is not exported any more; -EINPROGRESS: of what is not now, but may be again.
 */
int nfsd_handle_decode(const struct nfsd_exports *exports, const void *handle,
                       size_t len, const struct nfsd_export **export,
                       struct ovl_id *id);

#endif
