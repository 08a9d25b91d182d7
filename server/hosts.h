/*
 * Whether a host is one of the clients that are known by name: the system is asked
 * (server/resolve.h), which may take long, and what it says is believed for some
 * minutes; and for as long as it cannot tell after that.
 *
 * Thread-safe.
 */
#ifndef VENEER_SERVER_HOSTS_H
#define VENEER_SERVER_HOSTS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "server/client.h"
#include "server/helper.h"
#include "server/log.h"

struct nfsd_hosts;

/* Both are borrowed. `helper` asks the system. NULL: no memory. */
struct nfsd_hosts *nfsd_hosts_new(const struct nfsd_log *log,
                                  struct nfsd_helper *helper);
void nfsd_hosts_free(struct nfsd_hosts *hosts); /* NULL is fine */

/*
 * An answer is known by the client's serial number. 1: it is one; 0: it is not.
 * -EAGAIN: the system has to be asked, and `may_wait` is false. -EINPROGRESS: too many
 * wait for its answers already.
 */
int nfsd_hosts_match(struct nfsd_hosts *hosts, const struct nfsd_client *client,
                     const struct in6_addr *address, bool may_wait);

/*
 * The name that the address has, and that has it, into NI_MAXHOST bytes. Blocks, and
 * nothing is kept. 0, -EACCES: it has none, or nobody can tell; -EINPROGRESS.
 */
int nfsd_hosts_name(struct nfsd_hosts *hosts, const struct in6_addr *address,
                    char *name);

#endif
