/*
 * Statistics: what is counted, as lines of the log and as a file.
 *
 * There is one table of them (stats.c). The file is in Prometheus's text format:
 * comments (# HELP, # TYPE) and one `name value` or `name{export="/PATH"} value`
 * a line. Names stay what they are; new ones may come. It is written beside its
 * place and renamed, so a reader sees the whole of it, of one moment.
 *
 * Life cycle of a file: nfsd_stats_new, nfsd_stats_prepare, nfsd_stats_start,
 * nfsd_stats_stop, nfsd_stats_free. A thread of its own writes it, every second.
 */
#ifndef VENEER_SERVER_STATS_H
#define VENEER_SERVER_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "overlay/overlay.h"
#include "rpc/orpc.h"
#include "server/log.h"
#include "server/serving.h"

/* Of one export. */
struct nfsd_export_stats {
	const char *path;
	struct ovl_stats fs;
};

/* The text of the file, and the lines of the log. */
void nfsd_stats_print(FILE *to, const struct orpc_stats *rpc,
                      const struct nfsd_export_stats *exports, size_t n);
void nfsd_stats_print_log(const struct nfsd_log *log,
                          const struct orpc_stats *rpc,
                          const struct nfsd_export_stats *exports, size_t n);

/* What they are of; borrowed by what is made of it. */
struct nfsd_stats_source {
	const struct nfsd_log *log;
	struct orpc_server *rpc;
	struct nfsd_serving *serving;
};

/* Log them as they are now. */
void nfsd_stats_log(const struct nfsd_stats_source *source);

struct nfsd_stats;

/*
 * Statistics for the file `path`. Nothing is touched yet. 0, -EISDIR, -ENOTSUP
 * (it is neither a file nor absent), -ENOENT, -ENOTDIR, -EACCES, ...
 */
int nfsd_stats_new(const char *path, const struct nfsd_stats_source *source,
                   struct nfsd_stats **stats);

/* Is its directory `dir`, or below it? Where there is no `dir`, it is not. */
bool nfsd_stats_is_below(const struct nfsd_stats *stats, const char *dir);

/*
 * Make sure that it can be written, by making PATH.new, which goes when all is
 * freed. 0 or -errno (-EACCES, -EROFS, -ENOSPC...).
 */
int nfsd_stats_prepare(struct nfsd_stats *stats);

/* Write it, and go on writing. 0 or -errno. */
int nfsd_stats_start(struct nfsd_stats *stats);

/* Write it for the last time, where it was started. NULL is fine. */
void nfsd_stats_stop(struct nfsd_stats *stats);

/* Stops first, where that was not done. NULL is fine. */
void nfsd_stats_free(struct nfsd_stats *stats);

#endif
