/*
 * From exports as they are written to a table of them: opens the overlays, one for
 * all clients of a path that share its layers, but for those that another table has
 * open already.
 */
#ifndef VENEER_SERVER_EXPORTS_OPEN_H
#define VENEER_SERVER_EXPORTS_OPEN_H

#include "server/export.h"
#include "server/exports_file.h"
#include "server/log.h"
#include "server/overlay_open.h"

/*
 * Open them and fill the table, which is empty; `limits` are for all, together.
 * Entries and `log` are borrowed while the table is there. `before` (NULL: none) are
 * the exports that are in force: what is the same there is shared; what needs a layer
 * that is in use, by what of them is not the same, is deferred, and counted in
 * `*ndeferred` (NULL: nothing is, and that fails). 0, or -errno with one line in
 * `why`.
 */
int nfsd_exports_open(struct nfsd_exports *exports,
                      const struct nfsd_exports_entry *entries, size_t n,
                      const struct nfsd_exports *before,
                      const struct nfsd_overlay_limits *limits,
                      struct nfsd_log *log, size_t *ndeferred, char *why,
                      size_t size);

#endif
