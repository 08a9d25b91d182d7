/*
 * A connection, as its sources see it: conn.c, which moves its bytes,
 * conn_memory.c, which says whether there is memory for more, conn_brief.c, which
 * lets short calls pass when there is not, and conn_joined.c, which lets calls wait
 * that run already.
 */
#ifndef VENEER_RPC_CONN_INTERNAL_H
#define VENEER_RPC_CONN_INTERNAL_H

#include "rpc/conn.h"
#include "rpc/output.h"
#include "rpc/record.h"
#include "rpc/shard.h"

struct orpc_conn;
struct pooled_call;

/* A call of a connection that waits for the first of its kind. */
struct joined_call {
	struct orpc_joiner joiner;
	struct orpc_conn *conn;
	size_t promised; /* for its reply */
	LIST_ENTRY(joined_call) in_conn;
};

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
	size_t spent;      /* of its turn, see conn.c */
	bool late;         /* its turn is over, and it has more to do */
	struct orpc_task next_turn;
	unsigned pooled; /* calls in the pool or at its gate, or joined */
	size_t pooled_bytes;
	const struct pooled_call *at_gate; /* no reading before it is done */
	struct orpc_input input;
	struct orpc_output output;
	bool is_idle;
	uint64_t idle_since;
	TAILQ_ENTRY(orpc_conn) in_conns, in_idle;
	struct sockaddr_storage peer;

	/* conn_joined.c */
	LIST_HEAD(, joined_call) joined;
	struct joined_call spare;
	bool spare_taken; /* no reading before it is done */

	/* conn_memory.c */
	bool waiting;         /* for memory, and not read from */
	bool called;          /* it is its turn among those that wait */
	size_t claim;         /* the buffer that was granted to the input, */
	size_t promised;      /* and what of it is promised in the store */
	uint64_t waits_since; /* in ms, as loop.now_ms */
	uint64_t moved_at;    /* when enough bytes had moved, in ms */
	size_t moved;         /* since then */
	TAILQ_ENTRY(orpc_conn) in_waiting;
	bool is_behind;        /* it is its peer's turn: to take, or to go on */
	uint64_t behind_since; /* moved_at when it was put there */
	TAILQ_ENTRY(orpc_conn) in_behind;

	/* conn_brief.c */
	bool brief;          /* the next record is answered in the lane, */
	size_t brief_len;    /* and so many bytes may be read for that */
	bool waits_for_lane; /* one is there, as a whole */
};

/* A call of a connection in the pool. */
struct pooled_call {
	struct orpc_request request;
	struct orpc_task task; /* first in the pool, then back in the loop */
	struct orpc_conn *conn;
	struct orpc_buf *in; /* where its arguments are */
	size_t promised;     /* for its reply */
	size_t lane;         /* bytes of the lane that it is in */
};

/* ---- conn.c ---- */

/* Go on with what was held back. */
void orpc_conn_go_on(struct orpc_conn *conn);

/* See, at the end of this turn, what it has come to; it may be closed. */
void orpc_conn_settle_soon(struct orpc_conn *conn);

/* A reply of `len` bytes is at `at` in `buf`, and in `pipe`, as orpc_output_commit has
 * it. */
void orpc_conn_queue(struct orpc_conn *conn, struct orpc_buf *buf, size_t at,
                     size_t len, struct orpc_pipe *pipe);

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

/* It waits no longer: it goes on, or closes. */
void orpc_conn_leave_waiting(struct orpc_conn *conn);

/* Count it among those behind, or no longer: at the end of what was done to it. */
void orpc_conn_see_behind(struct orpc_conn *conn);

/* ---- conn_brief.c ---- */

enum orpc_brief {
	ORPC_BRIEF_NOT,  /* it has to wait for memory */
	ORPC_BRIEF_NONE, /* nothing has come that could */
	ORPC_BRIEF_READ, /* it may read `brief_len` bytes, a record */
};

/* There is no memory to read into: may it read in the lane? */
enum orpc_brief orpc_conn_read_brief(struct orpc_conn *conn);

/* May the next of the records that it has read be answered there? */
bool orpc_conn_may_be_brief(struct orpc_conn *conn);

/* What it waits for could be done in the lane, now. */
bool orpc_conn_would_be_brief(const struct orpc_conn *conn);
void orpc_conn_leave_lane(struct orpc_conn *conn); /* it waits no longer */

/* Bytes of results that the next reply may have. */
size_t orpc_conn_reply_max(struct orpc_conn *conn);

/* Its call goes to the pool: the bytes of the lane that it takes, until they are
 * subtracted from shard->lane_used. */
size_t orpc_conn_enter_lane(struct orpc_conn *conn);

/* ---- conn_joined.c ---- */

/* Wait for the reply of a call that runs; the reference is taken. */
void orpc_conn_join(struct orpc_conn *conn, struct orpc_replay *replay);

/* It waits for none any longer, as it closes. */
void orpc_conn_leave_joined(struct orpc_conn *conn);

#endif
