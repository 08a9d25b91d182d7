/*
 * A connection, as its two sources see it: conn.c, which moves its bytes, and
 * conn_memory.c, which says whether there is memory for more.
 */
#ifndef VENEER_RPC_CONN_INTERNAL_H
#define VENEER_RPC_CONN_INTERNAL_H

#include "rpc/conn.h"
#include "rpc/output.h"
#include "rpc/record.h"
#include "rpc/shard.h"

struct pooled_call;

struct orpc_conn {
	struct orpc_source source;
	struct orpc_task settle; /* deferred to the end of the turn */
	bool settling;
	struct orpc_shard *shard;
	int fd;            /* -1: closed, waits for its calls */
	uint32_t interest; /* the events that epoll watches for */
	bool deaf;         /* nothing more is read: EOF, or winding up */
	bool choked;       /* too many reply bytes are queued */
	bool backlog;      /* whole records may be left in the input */
	unsigned pooled;   /* calls in the pool or at its gate */
	size_t pooled_bytes;
	const struct pooled_call *at_gate; /* no reading before it is done */
	struct orpc_input input;
	struct orpc_output output;
	bool is_idle;
	uint64_t idle_since;
	TAILQ_ENTRY(orpc_conn) in_conns, in_idle;
	struct sockaddr_storage peer;

	/* conn_memory.c */
	bool waiting;         /* for memory, and not read from */
	bool called;          /* it is its turn among those that wait */
	size_t claim;         /* the buffer that was granted to the input, */
	size_t promised;      /* and what of it is promised in the store */
	uint64_t waits_since; /* in ms, as loop.now_ms */
	uint64_t moved_at;    /* when enough bytes had moved, in ms */
	size_t moved;         /* since then */
	TAILQ_ENTRY(orpc_conn) in_waiting;
};

/* A call of a connection in the pool. */
struct pooled_call {
	struct orpc_request request;
	struct orpc_task task; /* first in the pool, then back in the loop */
	struct orpc_conn *conn;
	struct orpc_buf *in; /* where its arguments are */
	size_t promised;     /* for its reply */
};

/* ---- conn.c ---- */

/* Go on with what was held back. */
void orpc_conn_go_on(struct orpc_conn *conn);

/* Close it, saying why. */
void orpc_conn_give_up(struct orpc_conn *conn, enum orpc_log_kind kind,
                       const char *why);

/* ---- conn_memory.c ---- */

/*
 * May it answer one more record; may it read on? False: not now, it is waiting.
 * What it may read into is granted to it until orpc_conn_ungrant.
 */
bool orpc_conn_may_answer(struct orpc_conn *conn);
bool orpc_conn_may_read(struct orpc_conn *conn);

/* Around orpc_input_room: what it takes was promised. */
void orpc_conn_spend_grant(struct orpc_conn *conn);
void orpc_conn_keep_grant(struct orpc_conn *conn);

/* The record in hand is whole, or will never be. */
void orpc_conn_ungrant(struct orpc_conn *conn);

/* `n` bytes have moved, either way; it owes nothing, and is owed nothing. */
void orpc_conn_moved(struct orpc_conn *conn, size_t n);
void orpc_conn_is_even(struct orpc_conn *conn);

/* It waits no longer, as it closes. */
void orpc_conn_leave_waiting(struct orpc_conn *conn);

#endif
