/*
 * One overlay, opened as an export says.
 */
#ifndef VENEER_SERVER_OVERLAY_OPEN_H
#define VENEER_SERVER_OVERLAY_OPEN_H

#include <stdbool.h>
#include <stddef.h>

#include "overlay/overlay.h"
#include "server/export_config.h"
#include "server/log.h"

/* What an overlay may have of the server's means. */
struct nfsd_overlay_limits {
	unsigned max_entries; /* files and directories in memory */
	unsigned max_files;   /* open descriptors */
	size_t max_memory;    /* bytes of caches */
	bool accept_changed_lower;
	bool as_root; /* the server has root's capabilities, whoever it is */
};

/* A part of them, for one of `n` that share them; no less than makes sense, if there
 * is so much. */
struct nfsd_overlay_limits
nfsd_overlay_limits_share(const struct nfsd_overlay_limits *all, size_t n);

/*
 * `base`: NULL, or an open overlay of the same lower layers; `read_only`: for all of
 * its clients. `log` is borrowed while it is open. As ovl_open.
 */
int nfsd_overlay_open(const struct nfsd_export_config *config, bool read_only,
                      const struct ovl *base,
                      const struct nfsd_overlay_limits *limits,
                      struct nfsd_log *log, struct ovl **fs, char *why,
                      size_t size);

#endif
