/*
 * An export of which each client has an overlay of his own: an upper for each machine,
 * over layers that they share. Where a path of its layers holds who the client is
 * (template.h), it is opened for him when he first comes; what there is not yet of
 * directories is made when he mounts it.
 *
 * What is lower is in memory once for all, unless it has a client in its path, too.
 *
 * Counted by the tables of exports that have it, which come and go in one thread.
 * Clients find theirs from any thread.
 */
#ifndef VENEER_SERVER_PER_CLIENT_H
#define VENEER_SERVER_PER_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/client.h"
#include "server/export_config.h"
#include "server/hosts.h"
#include "server/log.h"
#include "server/overlay_open.h"

/* Overlays of one export; further clients are refused. */
#define NFSD_PER_CLIENT_MAX 1024

struct nfsd_export;
struct nfsd_per_client;

/*
 * All but `config` is borrowed, that is copied. `limits` are for all of its overlays.
 * 0, or as ovl_open for what they share.
 */
int nfsd_per_client_new(const struct nfsd_export_config *config, bool read_only,
                        const struct nfsd_overlay_limits *limits,
                        struct nfsd_hosts *hosts, struct nfsd_log *log,
                        struct nfsd_per_client **out, char *why, size_t size);

void nfsd_per_client_ref(struct nfsd_per_client *each);
void nfsd_per_client_unref(struct nfsd_per_client *each); /* NULL is fine */

const struct nfsd_export_config *
nfsd_per_client_config(const struct nfsd_per_client *each);
bool nfsd_per_client_read_only(const struct nfsd_per_client *each);

/*
 * The one of this client, who calls from that address. `make`: also where its
 * directories are yet to be made; else -ENOENT. -EAGAIN: not without waiting;
 * -EACCES: he has no name; -EINPROGRESS: it is in use, still; -EMFILE: there are too
 * many; or as ovl_open, which is logged. What is found stays good while the export
 * is in force.
 */
int nfsd_per_client_find(struct nfsd_per_client *each,
                         const struct nfsd_client *client,
                         const struct in6_addr *address, bool may_wait,
                         bool make, const struct nfsd_export **export);

/* The open one of this id, or NULL. */
const struct nfsd_export *nfsd_per_client_by_id(struct nfsd_per_client *each,
                                                uint64_t id);

/* For each open one. */
typedef void nfsd_per_client_fn(void *arg, const struct nfsd_export *export);
void nfsd_per_client_each(struct nfsd_per_client *each, nfsd_per_client_fn *fn,
                          void *arg);

/* Of all, together with what they share. */
void nfsd_per_client_stats(struct nfsd_per_client *each,
                           struct ovl_stats *stats);

#endif
