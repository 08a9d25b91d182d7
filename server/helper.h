/*
 * A process beside the server that does what a server which is locked up cannot: it
 * looks names up, which runs code of others and reads files all over the system, and
 * registers with rpcbind. It has no access to layers, and no capabilities.
 *
 * It is forked while there is one thread, and ends when the server does, however that
 * comes about; signals do not end it before. Once it has ended there is no other:
 * that is logged once, and then nobody can tell what a name is.
 *
 * Thread-safe, but for nfsd_helper_new and nfsd_helper_free. Each question has a
 * channel of its own to a thread of the helper: one that hangs holds up no other. Who
 * asks waits for some seconds at the most; the channel is free again when its late
 * answer has come.
 *
 * For another kind of question: its struct, its line in the table of kinds, and what
 * answers it.
 */
#ifndef VENEER_SERVER_HELPER_H
#define VENEER_SERVER_HELPER_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/orpc.h"
#include "server/client.h"
#include "server/log.h"
#include "server/privileges.h"

struct nfsd_helper;

/* How many of a kind can be under way at a time. */
#define NFSD_HELPER_LOOKUPS 4
#define NFSD_HELPER_USERS 2

/* Groups of a user that are told. */
#define NFSD_HELPER_MAX_GROUPS 1024

/*
 * Start it, as this user (NULL: the one who starts it); where it is to register, it
 * keeps the right to call from a port of root's, which not every rpcbind asks for.
 * Both are borrowed: the user during the call, the log until nfsd_helper_free. 0, or
 * -errno with one line in `why`.
 */
int nfsd_helper_new(const struct nfsd_user *user, bool registers,
                    const struct nfsd_log *log, struct nfsd_helper **helper,
                    char *why, size_t size);

/* Ends it. NULL is fine. */
void nfsd_helper_free(struct nfsd_helper *helper);

pid_t nfsd_helper_pid(const struct nfsd_helper *helper);

/*
 * In all below, where no answer comes: -ENOTCONN: there is no helper (any more);
 * `helper` may be NULL. -EBUSY: too many wait. -ETIMEDOUT.
 */

/* As nfsd_resolve, in the helper. */
int nfsd_helper_is_client(struct nfsd_helper *helper,
                          const struct nfsd_client *client,
                          const struct in6_addr *address);

/* As nfsd_resolve_name; `name` has room for NI_MAXHOST bytes. */
int nfsd_helper_name(struct nfsd_helper *helper, const struct in6_addr *address,
                     char *name);

/* As nfsd_resolve_groups; `ids` has room for NFSD_HELPER_MAX_GROUPS. */
int nfsd_helper_groups(struct nfsd_helper *helper, uint32_t uid, uint32_t *ids);

/* As orpc_rpcbind_set and orpc_rpcbind_unset. -E2BIG: too many of anything. */
int nfsd_helper_register(struct nfsd_helper *helper,
                         const struct orpc_program *programs, size_t nprograms,
                         const char *const *addresses, size_t naddresses,
                         uint16_t port);
int nfsd_helper_unregister(struct nfsd_helper *helper,
                           const struct orpc_program *programs,
                           size_t nprograms);

#endif
