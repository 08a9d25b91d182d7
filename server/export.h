/*
 * Exports: an overlay, the path that clients mount it by, and who may do what.
 *
 * The table of exports is filled before the server starts, and does not change
 * while it serves: finding needs no lock, and what is found stays good.
 */
#ifndef VENEER_SERVER_EXPORT_H
#define VENEER_SERVER_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "overlay/overlay.h"
#include "rpc/orpc.h"
#include "server/export_config.h"

struct nfsd_export {
	char *path; /* clean (server/path.h) */
	struct ovl *fs;
	uint64_t id; /* in every handle, and the fsid; 56 bits */
	const unsigned char *handle_key;
	struct nfsd_access access;
};

struct nfsd_exports;

struct nfsd_exports *nfsd_exports_new(void);

/* Closes the overlays. NULL is fine. */
void nfsd_exports_free(struct nfsd_exports *exports);

/*
 * Add an export of `fs` at the clean `path` (copied). On success the table owns
 * `fs`. 0, -EEXIST (that path, or that id), -ENOMEM.
 */
int nfsd_exports_add(struct nfsd_exports *exports, const char *path,
                     struct ovl *fs, const struct nfsd_access *access);

size_t nfsd_exports_count(const struct nfsd_exports *exports);
const struct nfsd_export *nfsd_exports_get(const struct nfsd_exports *exports,
                                           size_t index);

/* NULL where there is none. */
const struct nfsd_export *nfsd_exports_by_id(const struct nfsd_exports *exports,
                                             uint64_t id);

/*
 * The export that the clean `path` is, or lies below: the nearest one. `*below`
 * is the rest of `path`, without a leading "/". NULL where there is none.
 */
const struct nfsd_export *
nfsd_exports_by_path(const struct nfsd_exports *exports, const char *path,
                     const char **below);

/*
 * May this peer call at all? A `secure` export wants a source port that only
 * root can have; a socket pair or UNIX socket has none and is admitted.
 */
bool nfsd_export_admits(const struct nfsd_export *export,
                        const struct sockaddr *peer);

/*
 * Who the caller is in this export: the credential, squashed. `groups` (room
 * for ORPC_MAX_GIDS) is lent to `caller`. may_wait and began are left alone.
 */
void nfsd_export_squash(const struct nfsd_export *export,
                        const struct orpc_cred *cred, struct ovl_caller *caller,
                        uint32_t *groups);

#endif
