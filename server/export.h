/*
 * Exports: overlays, the paths that clients mount them by, and what which clients
 * may do there.
 *
 * At a path there are one or more grants, each to some clients; of those that a
 * host is one of, the most specific counts. Each leads to an overlay; several may
 * lead to one.
 *
 * A table of them is filled before it is in force, and does not change while it is
 * (serving.h): finding needs no lock, and what is found stays good. Others with other
 * exports may come after it and have overlays from it.
 */
#ifndef VENEER_SERVER_EXPORT_H
#define VENEER_SERVER_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "overlay/overlay.h"
#include "rpc/orpc.h"
#include "server/client.h"
#include "server/export_config.h"
#include "server/groups.h"
#include "server/hosts.h"

struct nfsd_point;
struct nfsd_overlay; /* an open one, counted by the tables that have it */
struct nfsd_per_client;

/* An overlay that is served at a path. */
struct nfsd_export {
	const struct nfsd_point *point;     /* NULL: one client's alone */
	struct nfsd_overlay *overlay;       /* likewise */
	struct nfsd_per_client *per_client; /* that it is of; or NULL */
	struct ovl *fs;
	uint64_t id; /* in every handle, and the fsid; 56 bits */
	const unsigned char *handle_key;
	const struct nfsd_export_config *config; /* what it was made of */
};

/* What some clients may do at a path. */
struct nfsd_grant {
	struct nfsd_client client;
	struct nfsd_access access;
	/* One of them; neither: not now (nfsd_exports_defer). */
	const struct nfsd_export *export;
	struct nfsd_per_client *per_client;
};

/* A path, and who may mount what there. */
struct nfsd_point {
	char *path;                /* clean (server/path.h) */
	struct nfsd_grant *grants; /* the most specific first */
	size_t ngrants;
};

struct nfsd_exports;

/*
 * Both are borrowed. `hosts` may be NULL: there are no clients that need a name; and
 * `groups`: no access with manage_gids.
 */
struct nfsd_exports *nfsd_exports_new(struct nfsd_hosts *hosts,
                                      struct nfsd_groups *groups);

/* Borrowed. */
struct nfsd_hosts *nfsd_exports_hosts(const struct nfsd_exports *exports);
struct nfsd_groups *nfsd_exports_groups(const struct nfsd_exports *exports);

/* Closes the overlays that no other table has. NULL is fine. */
void nfsd_exports_free(struct nfsd_exports *exports);

/*
 * Add an overlay at the clean `path` (copied), made of `config` (borrowed). On
 * success the table owns `fs`. 0, -EEXIST (that id is there), -ENOMEM.
 */
int nfsd_exports_add(struct nfsd_exports *exports, const char *path,
                     const struct nfsd_export_config *config, struct ovl *fs,
                     const struct nfsd_export **export);

/* The same of the overlay of another table's export: from then on it is in both. */
int nfsd_exports_share(struct nfsd_exports *exports, const char *path,
                       const struct nfsd_export_config *config,
                       const struct nfsd_export *other,
                       const struct nfsd_export **export);

/* Let clients use it (copied). 0 or -ENOMEM. */
int nfsd_exports_allow(struct nfsd_exports *exports,
                       const struct nfsd_export *export,
                       const struct nfsd_client *client,
                       const struct nfsd_access *access);

/*
 * Clients are to have an overlay each at that path, of these, which the table has too
 * from then on. 0 or -ENOMEM.
 */
int nfsd_exports_allow_each(struct nfsd_exports *exports, const char *path,
                            struct nfsd_per_client *per_client,
                            const struct nfsd_client *client,
                            const struct nfsd_access *access);

/*
 * Clients are to use at that path what cannot be opened yet: they are told to come
 * again. 0 or -ENOMEM.
 */
int nfsd_exports_defer(struct nfsd_exports *exports, const char *path,
                       const struct nfsd_client *client,
                       const struct nfsd_access *access);

/*
 * What `old` has and this table has not is not exported any more, or not now: its
 * handles are known, and are told so. 0 or -ENOMEM.
 */
int nfsd_exports_follow(struct nfsd_exports *exports,
                        const struct nfsd_exports *old);

/* The exports of which each client has his own. */
size_t nfsd_exports_nper_client(const struct nfsd_exports *exports);
struct nfsd_per_client *
nfsd_exports_per_client(const struct nfsd_exports *exports, size_t index,
                        const struct nfsd_point **point);

/* The other overlays. */
size_t nfsd_exports_count(const struct nfsd_exports *exports);
const struct nfsd_export *nfsd_exports_get(const struct nfsd_exports *exports,
                                           size_t index);

/* The paths. */
size_t nfsd_exports_npoints(const struct nfsd_exports *exports);
const struct nfsd_point *nfsd_exports_point(const struct nfsd_exports *exports,
                                            size_t index);

/* Where it is served. */
const struct nfsd_point *
nfsd_exports_point_of(const struct nfsd_exports *exports,
                      const struct nfsd_export *export);

/* NULL where there is none. */
const struct nfsd_export *nfsd_exports_by_id(const struct nfsd_exports *exports,
                                             uint64_t id);

/*
 * Why there is none: -EINPROGRESS (not now), -ESTALE (not any more), -EBADFD (there
 * never was).
 */
int nfsd_exports_why_not(const struct nfsd_exports *exports, uint64_t id);

/*
 * The export's path that the clean `path` is, or lies below: the nearest one.
 * `*below` is the rest of `path`, without a leading "/". NULL where there is none.
 */
const struct nfsd_point *
nfsd_exports_by_path(const struct nfsd_exports *exports, const char *path,
                     const char **below);

/*
 * What this peer may do at that path. A `secure` grant wants a source port that
 * only root can have; a socket pair or UNIX socket has none, and is anybody. 0,
 * -EACCES, -EINPROGRESS (not now), or as nfsd_hosts_match: -EAGAIN (not if
 * `may_wait`), -EINPROGRESS.
 */
int nfsd_exports_admit(const struct nfsd_exports *exports,
                       const struct nfsd_point *point,
                       const struct sockaddr *peer, bool may_wait,
                       const struct nfsd_grant **grant);

/*
 * What the grant leads this peer to. `make`: he mounts it, and what is his own may be
 * made. 0, -EACCES: he has no address, or no name; or as nfsd_per_client_find.
 */
int nfsd_grant_export(const struct nfsd_grant *grant,
                      const struct sockaddr *peer, bool may_wait, bool make,
                      const struct nfsd_export **export);

/*
 * Open what is this peer's own and is there already: he may have its handles from
 * before the server was started. 0, -EAGAIN (not if `may_wait`), -EINPROGRESS.
 */
int nfsd_exports_open_own(const struct nfsd_exports *exports,
                          const struct sockaddr *peer, bool may_wait);

/*
 * Who the caller is by this grant: the credential, squashed, and whether he may
 * change anything. `groups` (room for ORPC_MAX_GIDS) is lent to `caller`, whose
 * may_wait and began are left alone.
 */
void nfsd_grant_squash(const struct nfsd_access *access,
                       const struct orpc_cred *cred, struct ovl_caller *caller,
                       uint32_t *groups);

#endif
