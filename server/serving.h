/*
 * The exports in force. A call takes them as they are when it begins, and keeps them
 * until it ends; they may be replaced at any time, and the old ones are let go when
 * the last call has ended that has them.
 *
 * Any thread may begin and end; one at a time replaces and tidies.
 */
#ifndef VENEER_SERVER_SERVING_H
#define VENEER_SERVER_SERVING_H

#include <stdbool.h>

#include "server/export.h"

struct nfsd_serving;

/* It owns the exports from here on, on success. NULL: no memory. */
struct nfsd_serving *nfsd_serving_new(struct nfsd_exports *exports);

/* No call may be running. NULL is fine. */
void nfsd_serving_free(struct nfsd_serving *serving);

/* The exports for one call; `entry` is for its end. */
const struct nfsd_exports *nfsd_serving_begin(struct nfsd_serving *serving,
                                              unsigned *entry);
void nfsd_serving_end(struct nfsd_serving *serving, unsigned entry);

/* For who replaces: what is in force; and what calls may have still, or NULL. */
struct nfsd_exports *nfsd_serving_exports(struct nfsd_serving *serving);
struct nfsd_exports *nfsd_serving_old(struct nfsd_serving *serving);

/* Others from now on, which it owns. Only when all is tidy. */
void nfsd_serving_replace(struct nfsd_serving *serving,
                          struct nfsd_exports *exports);

/*
 * Let go of what was replaced, if no call has it any more: false. To be asked again,
 * in a while, until it is true.
 */
bool nfsd_serving_tidy(struct nfsd_serving *serving);

#endif
