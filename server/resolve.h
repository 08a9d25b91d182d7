/*
 * Asks the system whether an address is one of a client's that is known by name:
 * /etc/hosts, DNS, netgroups, whatever is configured. It may take long, and runs
 * code of others in the process that asks: in a server that is locked up, that is
 * its helper (server/helper.h).
 *
 * A name that an address claims counts only where that name has the address.
 */
#ifndef VENEER_SERVER_RESOLVE_H
#define VENEER_SERVER_RESOLVE_H

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>

#include "server/client.h"

/*
 * 1: it is one; 0: it is not; below 0: nobody could tell. Thread-safe; `netgroups` is
 * the same for all threads: innetgr(3) is for one.
 */
int nfsd_resolve(const struct nfsd_client *client,
                 const struct in6_addr *address, pthread_mutex_t *netgroups);

/*
 * The name that the address has, and that has it. 1: it has one; 0: none; below 0:
 * nobody could tell. Thread-safe.
 */
int nfsd_resolve_name(const struct in6_addr *address, char name[NI_MAXHOST]);

/*
 * The groups that this user is in, of `max` at most: how many; 0: the system does not
 * know him; below 0: nobody could tell. Thread-safe.
 */
int nfsd_resolve_groups(uint32_t uid, uint32_t *ids, int max);

#endif
