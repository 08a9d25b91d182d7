/*
 * Who has mounted what: the list behind MOUNT's DUMP.
 *
 * It holds NFSD_MOUNT_TABLE_MAX entries; then the oldest goes. Clients that
 * vanish never say UMNT, so it is a hint for people, as it is everywhere.
 *
 * Any thread; a lock inside.
 */
#ifndef VENEER_SERVER_MOUNT_TABLE_H
#define VENEER_SERVER_MOUNT_TABLE_H

#include <stddef.h>
#include <rpc/types.h>
#include <rpc/xdr.h>

#define NFSD_MOUNT_TABLE_MAX 1024

struct nfsd_mount_table;

struct nfsd_mount_table *nfsd_mount_table_new(void);
void nfsd_mount_table_free(struct nfsd_mount_table *table); /* NULL is fine */

/*
 * Note that `host` has mounted `path` (both copied); twice is once. Where
 * memory is out, it is not noted.
 */
void nfsd_mount_table_add(struct nfsd_mount_table *table, const char *host,
                          const char *path);

/* `path` NULL: all that the host has. What is not there is no error. */
void nfsd_mount_table_remove(struct nfsd_mount_table *table, const char *host,
                             const char *path);

/* Bytes that the list takes as a mountlist of the MOUNT protocol. */
size_t nfsd_mount_table_bytes(struct nfsd_mount_table *table);

/*
 * Encode it, oldest first, as far as `room` bytes hold it. False: the stream
 * had less room.
 */
bool_t nfsd_mount_table_encode(struct nfsd_mount_table *table, XDR *xdr,
                               size_t room);

#endif
