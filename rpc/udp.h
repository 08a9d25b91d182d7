/*
 * UDP: a datagram is a call, and its reply one more.
 *
 * What is no call is dropped, and so is a call that finds no place in the pool:
 * its client will send it again. Sockets belong to their shard.
 */
#ifndef VENEER_RPC_UDP_H
#define VENEER_RPC_UDP_H

#include <sys/socket.h>

struct orpc_shard;

/*
 * Serve a bound socket of this family; before the shard is started. The shard
 * owns `fd` from now on, which is closed on failure too. 0 or -errno.
 */
int orpc_udp_new(struct orpc_shard *shard, int fd, sa_family_t family);

/* Take nothing more; replies still go out. In the shard's thread. */
void orpc_udps_rest(struct orpc_shard *shard);

/* Close and free them, when the shard has ended. */
void orpc_udps_free(struct orpc_shard *shard);

#endif
