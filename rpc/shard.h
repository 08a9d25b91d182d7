/*
 * A shard: one event loop with all that belongs to it.
 *
 * Connections and UDP sockets live in one shard from first to last. Shards
 * share nothing that a call touches, so they need no locks between them.
 *
 * Life cycle: orpc_shard_init, orpc_udp_new for its sockets, orpc_shard_start,
 * orpc_shard_hand, orpc_shard_wind_up, perhaps orpc_shard_cut, orpc_shard_join,
 * orpc_shard_release.
 */
#ifndef VENEER_RPC_SHARD_H
#define VENEER_RPC_SHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "rpc/buf.h"
#include "rpc/call.h"
#include "rpc/log.h"
#include "rpc/loop.h"
#include "rpc/orpc.h"
#include "rpc/pool.h"

struct orpc_conn;
struct orpc_udp;

/* What is the same for all shards, and constant while they run. */
struct orpc_service {
	struct orpc_config config; /* defaults filled in */
	bool bytes_given;          /* max_bytes is no default */
	struct orpc_programs programs;
	struct orpc_replays *replays;
	struct orpc_pipes pipes;
	struct orpc_log log;
	int ended_fd; /* an eventfd that counts the shards that have ended */
};

/* Written by the shard's thread alone, read by any. */
struct orpc_counters {
	_Atomic uint64_t calls, pooled, accepted, closed_idle, closed_broken,
		closed_stuck, dropped, waits;
};

#define ORPC_CACHE_LINE 64

/* Since when, where there is none */
#define ORPC_NONE UINT64_MAX

struct orpc_shard {
	/* On cache lines of its own: what a shard writes, no other reads. */
	_Alignas(ORPC_CACHE_LINE) struct orpc_loop loop;
	struct orpc_service *service;
	struct orpc_bufs bufs;
	struct orpc_gate gate;
	struct orpc_counters counters;
	TAILQ_HEAD(, orpc_conn) conns;
	TAILQ_HEAD(, orpc_conn) idle; /* owed nothing; idle longest first */
	/* Those that may be stuck; unmoved longest first (conn_memory.c). */
	TAILQ_HEAD(orpc_behind, orpc_conn) behind;
	/* For memory, longest first; and what is done about it. */
	TAILQ_HEAD(orpc_waiting, orpc_conn) waiting;
	struct orpc_task serve_waiting, relieve;
	bool serving, relieving;
	uint64_t relieved_at;
	uint64_t dropped_since; /* datagrams, for want of it; or ORPC_NONE */
	/* Of bufs.max, for brief calls: in all, those of calls in the pool; and
	 * who waits for it (conn_brief.c). */
	size_t lane, lane_used;
	unsigned lane_waiting;
	SLIST_HEAD(, orpc_udp) udps;
	unsigned joined; /* datagrams that wait for the first of their kind */
	bool winding_up;
	struct orpc_task wind_up, cut;
	pthread_t thread;
	atomic_uint nconns;             /* open, or on their way here */
	_Atomic uint64_t idle_since;    /* of the first idle one, in ms */
	_Atomic uint64_t unmoved_since; /* of the first of those behind */
};

int orpc_shard_init(struct orpc_shard *shard, struct orpc_service *service);
void orpc_shard_release(struct orpc_shard *shard);

/* Start its thread; at most `share` of its calls are in the pool at a time. */
int orpc_shard_start(struct orpc_shard *shard, unsigned number,
                     struct orpc_pool *pool, unsigned share);

/*
 * From any thread: take over a connection, which counts in nconns from now on.
 * With make_room one that is stuck gives way to it, or the one idle longest; if
 * there is neither, the newcomer is closed. With fd -1 nobody comes, and one goes
 * all the same.
 */
void orpc_shard_hand(struct orpc_shard *shard, int fd,
                     const struct sockaddr_storage *peer, bool make_room);

/* From any thread: read nothing more, and end when nothing is owed. */
void orpc_shard_wind_up(struct orpc_shard *shard);

/* From any thread, after that: close the connections at once. */
void orpc_shard_cut(struct orpc_shard *shard);

void orpc_shard_join(struct orpc_shard *shard);

/* One more, in the shard's own thread: no locked instruction. */
static inline void orpc_count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter,
	                      1 + atomic_load_explicit(counter,
	                                               memory_order_relaxed),
	                      memory_order_relaxed);
}

#endif
