#include "config.h"

#include "rpc/conn_internal.h"

/*
 * The bound on memory, of one shard: its share of max_bytes.
 *
 * Three kinds of need, and a margin kept free of each for those before it, so
 * that what has been begun can always be finished:
 *   1. a reply (orpc_step): may take all there is;
 *   2. the rest of a record that has begun: leaves room for one reply;
 *   3. a fresh buffer to read into: leaves room for that and for the largest
 *      record too.
 * A record that has begun is granted its whole length or nothing, so of many
 * that were begun there is always one that can be read to its end, and a whole
 * record can be answered as soon as replies have left. What is short waits in
 * one queue; nobody overtakes.
 *
 * A part is kept from all three, for calls that are short (conn_brief.c): they need
 * not wait behind those that are not.
 *
 * That leaves peers that do not their part: one stopped in the middle of a
 * record, one takes no replies. Once somebody waits, they have stuck_ms for each
 * STUCK_BYTES, then they are closed; their clients connect again.
 */
#define STUCK_BYTES (64u << 10)

/* How often that is looked at: so many times in stuck_ms. */
#define CHECKS 4
/* The same where brief calls wait. */
#define LANE_CHECK_MS 20

/* What one more call may take: its reply, perhaps twice while that grows, and
 * a buffer for replies to be packed into. */
size_t orpc_step(const struct orpc_bufs *bufs)
{
	return 2 * orpc_bufs_largest(bufs) + bufs->cap[1];
}

/* While a record outgrows its buffer the next smaller one is there as well. */
static size_t need_of(const struct orpc_bufs *bufs, size_t claim)
{
	const size_t smaller = bufs->cap[ORPC_BUF_SIZES - 2];

	return claim > smaller ? claim + smaller : claim;
}

static size_t margin(const struct orpc_bufs *bufs, bool midway)
{
	return orpc_step(bufs) +
	       (midway ? 0 : need_of(bufs, orpc_bufs_largest(bufs)));
}

size_t orpc_least_bytes(const struct orpc_bufs *bufs)
{
	return bufs->cap[1] + margin(bufs, false);
}

/* Beside what is kept for brief calls. */
static bool fits(const struct orpc_shard *shard, size_t bytes)
{
	return orpc_bufs_fit(&shard->bufs, bytes + orpc_lane_left(shard));
}

/* ---- Asking ---- */

static void wait_for_memory(struct orpc_conn *conn)
{
	struct orpc_shard *shard = conn->shard;

	if (conn->waiting)
		return;
	conn->waiting = true;
	conn->waits_since = shard->loop.now_ms;
	TAILQ_INSERT_TAIL(&shard->waiting, conn, in_waiting);
	orpc_count(&shard->counters.waits);
	orpc_conns_memory_freed(shard); /* or it might be there already */
}

void orpc_conn_leave_waiting(struct orpc_conn *conn)
{
	if (conn->waiting)
		TAILQ_REMOVE(&conn->shard->waiting, conn, in_waiting);
	orpc_conn_leave_lane(conn);
	conn->waiting = false;
	conn->moved_at = conn->shard->loop.now_ms;
	conn->moved = 0;
}

/* Whoever comes while others wait waits behind them. */
static bool is_in_turn(const struct orpc_conn *conn)
{
	return conn->called || TAILQ_EMPTY(&conn->shard->waiting);
}

bool orpc_conn_may_answer(struct orpc_conn *conn)
{
	struct orpc_shard *shard = conn->shard;

	if (conn->brief)
		return true;
	if (is_in_turn(conn) && fits(shard, orpc_step(&shard->bufs)))
		return true;
	conn->brief = orpc_conn_may_be_brief(conn);
	if (conn->brief)
		return true;
	wait_for_memory(conn);
	return false;
}

/* Is it in the buffer that the input has, or promised already? */
static bool is_granted(const struct orpc_conn *conn, size_t claim)
{
	return claim == 0 || (conn->promised > 0 && claim <= conn->claim);
}

/* The buffer that it asks for: what there is room for, or at least a small one
 * where nothing more is sure to come. 0: none. */
static size_t claim_of(struct orpc_conn *conn, bool *is_there)
{
	struct orpc_bufs *bufs = &conn->shard->bufs;
	bool midway = orpc_input_is_midway(&conn->input);
	size_t claim = orpc_input_claim(&conn->input, bufs);

	*is_there =
		is_granted(conn, claim) ||
		fits(conn->shard, need_of(bufs, claim) + margin(bufs, midway));
	if (*is_there || midway)
		return claim;
	orpc_input_be_modest(&conn->input);
	claim = orpc_input_claim(&conn->input, bufs);
	*is_there = fits(conn->shard, claim + margin(bufs, midway));
	return claim;
}

bool orpc_conn_may_read(struct orpc_conn *conn)
{
	enum orpc_brief brief;
	bool is_there;
	size_t claim = claim_of(conn, &is_there);

	if (is_granted(conn, claim))
		return true;
	if (!is_there || !is_in_turn(conn)) {
		brief = orpc_conn_read_brief(conn);
		if (brief == ORPC_BRIEF_NOT)
			wait_for_memory(conn);
		return brief == ORPC_BRIEF_READ;
	}
	orpc_conn_ungrant(conn);
	conn->claim = claim;
	conn->promised = need_of(&conn->shard->bufs, claim);
	orpc_bufs_promise(&conn->shard->bufs, conn->promised);
	return true;
}

void orpc_conn_spend_grant(struct orpc_conn *conn)
{
	orpc_bufs_release_promise(&conn->shard->bufs, conn->promised);
	conn->promised = 0;
}

void orpc_conn_keep_grant(struct orpc_conn *conn)
{
	if (conn->input.buf->cap >= conn->claim)
		conn->claim = 0;
	if (conn->claim == 0)
		return;
	conn->promised = conn->claim;
	orpc_bufs_promise(&conn->shard->bufs, conn->promised);
}

void orpc_conn_ungrant(struct orpc_conn *conn)
{
	orpc_conn_spend_grant(conn);
	conn->claim = 0;
}

/* ---- Getting ---- */

/* Would it get what it waits for? */
static bool would_go_on(struct orpc_conn *conn)
{
	struct orpc_shard *shard = conn->shard;
	bool is_there;

	if (orpc_conn_would_be_brief(conn))
		return true;
	if (conn->backlog)
		return fits(shard, orpc_step(&shard->bufs));
	claim_of(conn, &is_there);
	return is_there;
}

/* Each that waits in turn, once. What it leaves may do for one before it. */
static void serve_waiting(struct orpc_task *task)
{
	struct orpc_shard *shard =
		orpc_container(task, struct orpc_shard, serve_waiting);
	struct orpc_conn *conn = TAILQ_FIRST(&shard->waiting), *next;
	struct orpc_conn *last = TAILQ_LAST(&shard->waiting, orpc_waiting);

	bool any = false;

	shard->serving = false;
	for (; conn; conn = next) {
		next = conn == last ? NULL : TAILQ_NEXT(conn, in_waiting);
		if (!would_go_on(conn))
			continue;
		orpc_conn_leave_waiting(conn);
		conn->called = true;
		orpc_conn_go_on(conn);
		conn->called = false;
		any = true;
	}
	if (any)
		orpc_conns_memory_freed(shard);
}

void orpc_conns_memory_freed(struct orpc_shard *shard)
{
	if (shard->serving || TAILQ_EMPTY(&shard->waiting))
		return;
	shard->serving = true;
	shard->serve_waiting.run = serve_waiting;
	/* Posted, not deferred: others have their turn in between. */
	orpc_loop_post(&shard->loop, &shard->serve_waiting);
}

/* ---- Peers that do not their part ---- */

void orpc_conn_moved(struct orpc_conn *conn, size_t n)
{
	conn->moved += n;
	if (conn->moved < STUCK_BYTES)
		return;
	conn->moved = 0;
	conn->moved_at = conn->shard->loop.now_ms;
}

void orpc_conn_is_even(struct orpc_conn *conn)
{
	conn->moved = 0;
	conn->moved_at = conn->shard->loop.now_ms;
}

/* Has so long a time passed since then that it is enough? */
static bool is_long_ago(const struct orpc_shard *shard, uint64_t then)
{
	return shard->loop.now_ms - then >= shard->service->config.stuck_ms;
}

/* Is it for the peer to go on? */
static bool is_behind(const struct orpc_conn *conn)
{
	bool takes_nothing = conn->output.queued > 0;
	bool sends_nothing = conn->input.buf && !conn->waiting;

	return conn->fd >= 0 && conn->pooled == 0 && !conn->late &&
	       (takes_nothing || sends_nothing);
}

static bool is_stuck(const struct orpc_conn *conn)
{
	return is_behind(conn) && is_long_ago(conn->shard, conn->moved_at);
}

/* Most owe nothing at the end of a turn and go past this. */
void orpc_conn_see_behind(struct orpc_conn *conn)
{
	struct orpc_shard *shard = conn->shard;
	const bool behind = is_behind(conn);

	if (behind == conn->is_behind)
		return;
	conn->is_behind = behind;
	conn->behind_since = conn->moved_at;
	if (behind)
		TAILQ_INSERT_TAIL(&shard->behind, conn, in_behind);
	else
		TAILQ_REMOVE(&shard->behind, conn, in_behind);
}

/*
 * The one that has not moved for longest. Those that have moved since they were put
 * there go to the end once they are at the front, so nobody has to see to his place
 * each time that he moves.
 */
static struct orpc_conn *find_unmoved(struct orpc_shard *shard)
{
	struct orpc_conn *conn = TAILQ_FIRST(&shard->behind);

	while (conn && conn->behind_since != conn->moved_at) {
		conn->behind_since = conn->moved_at;
		TAILQ_REMOVE(&shard->behind, conn, in_behind);
		TAILQ_INSERT_TAIL(&shard->behind, conn, in_behind);
		conn = TAILQ_FIRST(&shard->behind);
	}
	return conn;
}

uint64_t orpc_conns_unmoved_since(struct orpc_shard *shard)
{
	const struct orpc_conn *conn = find_unmoved(shard);

	return conn ? conn->moved_at : ORPC_NONE;
}

bool orpc_conns_evict_stuck(struct orpc_shard *shard)
{
	struct orpc_conn *conn = find_unmoved(shard);

	if (!conn || !is_stuck(conn))
		return false;
	orpc_count(&shard->counters.closed_stuck);
	orpc_conn_give_up(conn, ORPC_LOG_STUCK,
	                  "others come, and it takes no replies");
	return true;
}

/* There is room again: who sends a datagram again is served. */
static void forget_dropped(struct orpc_shard *shard)
{
	size_t lane;

	if (shard->dropped_since != ORPC_NONE &&
	    orpc_datagram_fits(shard, &lane))
		shard->dropped_since = ORPC_NONE;
}

/* Has a connection waited for long, or have datagrams been dropped for so long? */
static bool is_overdue(const struct orpc_shard *shard)
{
	const struct orpc_conn *first = TAILQ_FIRST(&shard->waiting);

	return (first && is_long_ago(shard, first->waits_since)) ||
	       (shard->dropped_since != ORPC_NONE &&
	        is_long_ago(shard, shard->dropped_since));
}

static void relieve(struct orpc_task *task)
{
	struct orpc_shard *shard =
		orpc_container(task, struct orpc_shard, relieve);
	struct orpc_conn *conn;

	shard->relieving = false;
	orpc_conns_clear_lane(shard);
	conn = TAILQ_FIRST(&shard->conns);
	if (!is_overdue(shard))
		return;
	/* Whoever sends datagrams no more does not want any. */
	shard->dropped_since = ORPC_NONE;
	/* All of them, since those that wait will want as much. */
	for (; conn; conn = TAILQ_NEXT(conn, in_conns)) {
		if (!is_stuck(conn))
			continue;
		orpc_count(&shard->counters.closed_stuck);
		orpc_conn_give_up(conn, ORPC_LOG_STUCK,
		                  "memory is short, and it holds some without "
		                  "going on");
	}
	orpc_conns_memory_freed(shard);
}

void orpc_conns_look_after(struct orpc_shard *shard)
{
	const unsigned every =
		shard->lane_waiting > 0
			? LANE_CHECK_MS
			: shard->service->config.stuck_ms / CHECKS + 1;
	bool wait;

	forget_dropped(shard);
	wait = !TAILQ_EMPTY(&shard->waiting) ||
	       shard->dropped_since != ORPC_NONE;
	shard->loop.patience_ms = wait ? (int)every : -1;
	if (!wait || shard->relieving ||
	    shard->loop.now_ms - shard->relieved_at < every)
		return;
	shard->relieving = true;
	shard->relieved_at = shard->loop.now_ms;
	shard->relieve.run = relieve;
	orpc_loop_post(&shard->loop, &shard->relieve);
}
