/*
 * Connections: a stream of records in, a stream of replies out.
 *
 * A connection belongs to its shard and is touched in its thread only. It is
 * not read from while it owes too much: reply bytes over max_queued (until half
 * of that is sent), max_inflight calls in the pool, or a call that waits for a
 * place there; nor while the shard's memory is short, nor between two of its
 * turns. It closes itself when the peer does, or breaks the rules; its calls that
 * are still in the pool then end unheard.
 */
#ifndef VENEER_RPC_CONN_H
#define VENEER_RPC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct orpc_bufs;
struct orpc_shard;

/* Serve `fd`, which is counted in the shard's nconns. 0 or -errno. */
int orpc_conn_new(struct orpc_shard *shard, int fd,
                  const struct sockaddr_storage *peer);

/* Close the connection idle longest. False: none is idle. */
bool orpc_conns_evict(struct orpc_shard *shard);

/* Close the one that has not moved for longest, if that is config.stuck_ms or more.
 * False: there is none. */
bool orpc_conns_evict_stuck(struct orpc_shard *shard);

/* Since when the one idle longest has been idle, or ORPC_NONE. */
uint64_t orpc_conns_idle_since(const struct orpc_shard *shard);

/* Since when one has not moved, longest, that could be stuck; or ORPC_NONE. */
uint64_t orpc_conns_unmoved_since(struct orpc_shard *shard);

/*
 * Memory has been given back, or may have been: those that wait for some go on,
 * soon. Nothing where none waits.
 */
void orpc_conns_memory_freed(struct orpc_shard *shard);

/* At the end of each turn: those that wait must not wait for ever. */
void orpc_conns_look_after(struct orpc_shard *shard);

/* What one call may take; the least that a shard must be given. */
size_t orpc_step(const struct orpc_bufs *bufs);
size_t orpc_least_bytes(const struct orpc_bufs *bufs);

/* What nobody but brief calls may take now (conn_brief.c). */
size_t orpc_lane_left(const struct orpc_shard *shard);

/*
 * May a datagram be taken? It is a brief call; while connections wait it goes by the
 * lane only. `*lane` is what is to be added to shard->lane_used while it is in the
 * pool.
 */
bool orpc_datagram_fits(const struct orpc_shard *shard, size_t *lane);

/* Close connections, where brief calls wait and that makes room for them. */
void orpc_conns_clear_lane(struct orpc_shard *shard);

/* Read no more; each closes when it owes nothing. */
void orpc_conns_wind_up(struct orpc_shard *shard);

/* Close all, whatever they owe. */
void orpc_conns_close(struct orpc_shard *shard);

#endif
