/*
 * The groups of users by the server's own database, for exports with manage_gids: in
 * place of the 16 at most that AUTH_SYS carries. The system is asked (by the helper),
 * which may take long, and what it says is believed for some minutes; and for as long as
 * it cannot tell after that.
 *
 * Thread-safe.
 */
#ifndef VENEER_SERVER_GROUPS_H
#define VENEER_SERVER_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/helper.h"

struct nfsd_groups;

/* Of one user, counted; it never changes. */
struct nfsd_group_list;

/* `helper` is borrowed; NULL: nobody is in any group. NULL: no memory. */
struct nfsd_groups *nfsd_groups_new(struct nfsd_helper *helper);
void nfsd_groups_free(struct nfsd_groups *groups); /* NULL is fine */

/*
 * The groups of that user, referenced; one that the system does not know is in none.
 * 0; -EAGAIN: the system has to be asked, and `may_wait` is false; -EINPROGRESS: too
 * many wait for its answers; -ENOMEM.
 */
int nfsd_groups_get(struct nfsd_groups *groups, uint32_t uid, bool may_wait,
                    struct nfsd_group_list **list);
void nfsd_group_list_unref(struct nfsd_group_list *list); /* NULL is fine */

/* Its ids, borrowed; with `no_root` without group 0. */
const uint32_t *nfsd_group_list_ids(const struct nfsd_group_list *list,
                                    bool no_root, size_t *n);

#endif
