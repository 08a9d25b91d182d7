#include "config.h"

#include "rpc/conn.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "rpc/conn_internal.h"

/*
 * A connection with much to say has its turn cut off after so many reads, and
 * its replies sent at so many bytes, so that others come in between.
 *
 * One read may bring hundreds of calls, for hundreds of megabytes. So the replies
 * of a turn are bounded too: by their bytes, and each counts as so many more for
 * the work of making it. That comes to four replies of a megabyte or to 256 short
 * ones, which take a loop a millisecond or two, and the few system calls more
 * that a turn costs are nothing beside them.
 */
#define READS_A_TURN 8
#define SEND_AT (256u << 10)
#define REPLIES_A_TURN (4u << 20)
#define CALL_COUNTS_AS (16u << 10)

static void close_conn(struct orpc_conn *conn);

void orpc_conn_settle_soon(struct orpc_conn *conn)
{
	if (conn->settling)
		return;
	conn->settling = true;
	orpc_loop_defer(&conn->shard->loop, &conn->settle);
}

/* ---- What it owes ---- */

static bool owes(const struct orpc_conn *conn)
{
	return conn->pooled > 0 || conn->output.queued > 0 || conn->late;
}

/* Has it so much under way that it must not bring more? */
static bool is_stalled(const struct orpc_conn *conn)
{
	const struct orpc_config *config = &conn->shard->service->config;

	return conn->choked || conn->at_gate || conn->spare_taken ||
	       conn->waiting || conn->late ||
	       conn->pooled >= config->max_inflight ||
	       conn->pooled_bytes >= config->max_queued;
}

static void send_replies(struct orpc_conn *conn)
{
	size_t max = conn->shard->service->config.max_queued;
	size_t before = conn->output.queued;
	int err = orpc_output_send(&conn->output, &conn->shard->bufs, conn->fd);

	if (err) {
		close_conn(conn);
		return;
	}
	orpc_conn_moved(conn, before - conn->output.queued);
	if (before > 0 && conn->output.queued == 0)
		orpc_conn_is_even(conn);
	if (conn->output.queued <= max / 2)
		conn->choked = false;
}

void orpc_conn_queue(struct orpc_conn *conn, struct orpc_buf *buf, size_t at,
                     size_t len, struct orpc_pipe *pipe)
{
	const size_t before = conn->output.queued;

	if (conn->output.queued == 0)
		orpc_conn_is_even(conn);
	orpc_output_commit(&conn->output, buf, at, len, pipe);
	conn->spent += conn->output.queued - before + CALL_COUNTS_AS;
	if (conn->output.queued >= conn->shard->service->config.max_queued)
		conn->choked = true;
	orpc_count(&conn->shard->counters.calls);
}

static void queue_reply(struct orpc_conn *conn,
                        const struct orpc_request *request)
{
	orpc_conn_queue(conn, request->out, request->at, request->reply_len,
	                request->pipe);
}

/* ---- Calls ---- */

/* Back from the pool, in the loop. */
static void call_done(struct orpc_task *task)
{
	struct pooled_call *pooled =
		orpc_container(task, struct pooled_call, task);
	struct orpc_conn *conn = pooled->conn;
	struct orpc_shard *shard = conn->shard;

	orpc_gate_leave(&shard->gate);
	orpc_bufs_release_promise(&shard->bufs, pooled->promised);
	shard->lane_used -= pooled->lane;
	conn->pooled--;
	conn->pooled_bytes -= pooled->request.args_len;
	if (conn->at_gate == pooled)
		conn->at_gate = NULL;
	if (conn->fd >= 0) {
		queue_reply(conn, &pooled->request);
	} else {
		orpc_bufs_put(&shard->bufs, pooled->request.out);
		orpc_pipe_put(pooled->request.pipe);
	}
	orpc_bufs_put(&shard->bufs, pooled->in);
	free(pooled);
	orpc_conn_settle_soon(conn);
}

static void call_in_pool(struct orpc_task *task)
{
	struct pooled_call *pooled =
		orpc_container(task, struct pooled_call, task);

	orpc_request_finish(&pooled->request);
	task->run = call_done;
	orpc_loop_post(&pooled->conn->shard->loop, task);
}

/* Send a pending call to the pool, with all it needs. */
static int pool_call(struct orpc_conn *conn, struct orpc_request *request)
{
	struct orpc_bufs *bufs = &conn->shard->bufs;
	struct pooled_call *pooled = malloc(sizeof(*pooled));
	size_t largest;

	if (pooled && !request->own_out) {
		request->out = orpc_bufs_take(bufs, ORPC_REPLY_ROOM);
		request->at = 0;
		request->own_out = request->out != NULL;
	}
	if (!pooled || !request->own_out) {
		if (request->own_out)
			orpc_bufs_put(bufs, request->out);
		orpc_request_abandon(request);
		free(pooled);
		return -ENOMEM;
	}
	/* Its reply may still grow. */
	largest = orpc_bufs_size(bufs, orpc_conn_reply_max(conn) +
	                                       ORPC_REPLY_OVERHEAD);
	pooled->promised = request->out->cap < largest ? largest : 0;
	pooled->lane = orpc_conn_enter_lane(conn);
	orpc_bufs_promise(bufs, pooled->promised);
	pooled->request = *request;
	pooled->task.run = call_in_pool;
	pooled->conn = conn;
	pooled->in = conn->input.buf;
	pooled->in->refs++;
	conn->pooled++;
	conn->pooled_bytes += request->args_len;
	orpc_count(&conn->shard->counters.pooled);
	if (!orpc_gate_enter(&conn->shard->gate, &pooled->task))
		conn->at_gate = pooled;
	return 0;
}

static void log_closed(struct orpc_conn *conn, enum orpc_log_kind kind,
                       const char *why)
{
	char peer[ORPC_PEER_TEXT];

	orpc_log_peer((const struct sockaddr *)&conn->peer, peer);
	orpc_log_seldom(&conn->shard->service->log, kind,
	                "closing the connection of %s: %s", peer, why);
}

void orpc_conn_give_up(struct orpc_conn *conn, enum orpc_log_kind kind,
                       const char *why)
{
	log_closed(conn, kind, why);
	close_conn(conn);
}

/* It broke the rules: what was asked before that is still answered. */
static void break_off(struct orpc_conn *conn, enum orpc_log_kind kind,
                      const char *why)
{
	log_closed(conn, kind, why);
	orpc_count(&conn->shard->counters.closed_broken);
	send_replies(conn);
	close_conn(conn);
}

/* Answer one record, or send it to the pool. False: it closed. */
static bool take_record(struct orpc_conn *conn, unsigned char *record,
                        size_t len)
{
	struct orpc_shard *shard = conn->shard;
	struct orpc_request request;

	request.call.peer = (const struct sockaddr *)&conn->peer;
	request.call.datagram = false;
	request.call.max_results = orpc_conn_reply_max(conn);
	request.call.usual_results = shard->service->config.max_results;
	request.replays = shard->service->replays;
	request.bufs = &shard->bufs;
	request.pipes = &shard->service->pipes;
	request.own_out = false;
	request.out = orpc_output_place(&conn->output, &shard->bufs,
	                                ORPC_REPLY_ROOM, &request.at);
	if (!request.out)
		goto no_memory;
	switch (orpc_request_begin(&request, &shard->service->programs, record,
	                           len)) {
	case ORPC_REPLIED:
		queue_reply(conn, &request);
		return true;
	case ORPC_PENDING:
		if (pool_call(conn, &request))
			goto no_memory;
		return true;
	case ORPC_JOINS:
		orpc_conn_join(conn, request.replay);
		return true;
	case ORPC_NO_MEMORY:
		goto no_memory;
	case ORPC_BROKEN:
		break;
	}
	break_off(conn, ORPC_LOG_GARBAGE, "it sent something else than a call");
	return false;

no_memory:
	orpc_conn_give_up(conn, ORPC_LOG_MEMORY, "out of memory");
	return false;
}

/* With nothing in its input, it holds nothing and is granted nothing. */
static void rest(struct orpc_conn *conn)
{
	orpc_input_rest(&conn->input, &conn->shard->bufs);
	if (!conn->input.buf)
		orpc_conn_ungrant(conn);
}

/*
 * It goes on later. That is posted, not deferred: those that are ready now have
 * their turn before it. And it has one however many they are, as what is posted
 * runs in each turn of the loop.
 */
static void end_turn(struct orpc_conn *conn)
{
	conn->late = true;
	orpc_loop_post(&conn->shard->loop, &conn->next_turn);
}

/* Take the whole records that are there, as far as it may. */
static void take_records(struct orpc_conn *conn)
{
	size_t max_record = conn->shard->service->config.max_record, len;
	unsigned char *record;

	conn->backlog = true;
	while (conn->fd >= 0 && !is_stalled(conn)) {
		if (!orpc_input_is_midway(&conn->input)) {
			conn->backlog = false;
			rest(conn);
			return;
		}
		if (conn->spent >= REPLIES_A_TURN) {
			end_turn(conn);
			return;
		}
		if (!orpc_conn_may_answer(conn))
			return;
		switch (orpc_input_next(&conn->input, max_record, &record,
		                        &len)) {
		case ORPC_RECORD_PART:
			conn->brief = false;
			conn->backlog = false;
			rest(conn);
			return;
		case ORPC_RECORD_BROKEN:
			break_off(conn, ORPC_LOG_RECORD,
			          "a record too long, or in too many pieces");
			return;
		case ORPC_RECORD_WHOLE:
			orpc_conn_ungrant(conn);
			break;
		}
		if (take_record(conn, record, len) &&
		    conn->output.queued >= SEND_AT)
			send_replies(conn);
		conn->brief = false;
	}
}

/* ---- The socket ---- */

/* One read. False: there is no more for now. */
static bool read_some(struct orpc_conn *conn)
{
	unsigned char *to;
	const bool brief = conn->brief;
	size_t room;
	ssize_t n;

	orpc_conn_spend_grant(conn);
	if (orpc_input_room(&conn->input, &conn->shard->bufs, &to, &room)) {
		orpc_conn_give_up(conn, ORPC_LOG_MEMORY, "out of memory");
		return false;
	}
	orpc_conn_keep_grant(conn);
	if (conn->brief_len > 0 && room > conn->brief_len)
		room = conn->brief_len;
	conn->brief_len = 0;
	n = recv(conn->fd, to, room, MSG_DONTWAIT);
	if (n > 0) {
		if (conn->output.queued == 0 &&
		    !orpc_input_is_midway(&conn->input))
			orpc_conn_is_even(conn);
		orpc_conn_moved(conn, (size_t)n);
		orpc_input_fill(&conn->input, (size_t)n);
		take_records(conn);
		conn->brief = false;
		/* Who takes this reply may have the next. */
		if (brief && conn->fd >= 0)
			send_replies(conn);
		return (size_t)n == room;
	}
	conn->brief = false;
	if (n == 0)
		conn->deaf = true;
	else if (errno != EAGAIN && errno != EINTR)
		close_conn(conn);
	return false;
}

static void read_calls(struct orpc_conn *conn)
{
	for (int i = 0; i < READS_A_TURN; i++) {
		if (conn->deaf || is_stalled(conn) ||
		    !orpc_conn_may_read(conn) || !read_some(conn) ||
		    conn->fd < 0)
			break;
	}
	if (conn->fd >= 0 && !conn->backlog)
		rest(conn);
}

/* It waits for memory, but would not once a brief call is there as a whole. */
static bool may_pass(const struct orpc_conn *conn)
{
	return conn->waiting && !conn->backlog && conn->output.queued == 0 &&
	       !orpc_input_is_midway(&conn->input);
}

/*
 * Something has come to one that waits. Unless that is a brief call it keeps its
 * place, and the time that it has waited: else each byte would put it at the end of
 * those that wait, and those before it that are stuck would have their time again.
 */
static void pass(struct orpc_conn *conn)
{
	if (orpc_conn_read_brief(conn) != ORPC_BRIEF_READ)
		return;
	orpc_conn_leave_waiting(conn);
	if (read_some(conn) && conn->fd >= 0)
		read_calls(conn);
}

static void set_interest(struct orpc_conn *conn)
{
	uint32_t interest = 0;

	if (!conn->deaf && !is_stalled(conn))
		interest |= EPOLLIN;
	else if (!conn->deaf && may_pass(conn))
		interest |= EPOLLIN | EPOLLET;
	if (conn->output.queued > 0)
		interest |= EPOLLOUT;
	if (interest == conn->interest)
		return;
	orpc_loop_change(&conn->shard->loop, conn->fd, interest, &conn->source);
	conn->interest = interest;
}

/* Put it at the end of the idle ones, or take it out. */
static void set_idle(struct orpc_conn *conn, bool idle)
{
	struct orpc_shard *shard = conn->shard;

	if (conn->is_idle)
		TAILQ_REMOVE(&shard->idle, conn, in_idle);
	if (idle)
		TAILQ_INSERT_TAIL(&shard->idle, conn, in_idle);
	conn->is_idle = idle;
	conn->idle_since = shard->loop.now_ms;
}

/*
 * Close it with nothing owed. Bytes that came and were not read would make the
 * kernel send a reset, which may overtake the last replies: throw them away.
 */
static void part(struct orpc_conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
	recv(conn->fd, NULL, INT_MAX, MSG_TRUNC | MSG_DONTWAIT);
	close_conn(conn);
}

/*
 * After whatever happened to it: send what can be sent, go on with what was
 * held back, and see what to wait for.
 */
static void settle(struct orpc_conn *conn)
{
	send_replies(conn);
	while (conn->fd >= 0 && conn->backlog && !is_stalled(conn)) {
		take_records(conn);
		if (conn->fd >= 0)
			send_replies(conn);
	}
	if (conn->fd < 0)
		return;
	if (conn->deaf && !conn->backlog && !owes(conn)) {
		part(conn);
		return;
	}
	set_interest(conn);
	set_idle(conn, !owes(conn) && !conn->waiting);
	orpc_conn_see_behind(conn);
}

void orpc_conn_go_on(struct orpc_conn *conn)
{
	if (conn->backlog)
		take_records(conn);
	if (conn->fd >= 0)
		read_calls(conn);
	if (conn->fd >= 0)
		settle(conn);
}

static void ready(struct orpc_source *source, uint32_t events)
{
	struct orpc_conn *conn =
		orpc_container(source, struct orpc_conn, source);

	if (conn->fd < 0)
		return;
	if (!conn->late)
		conn->spent = 0;
	if (events & EPOLLIN && !may_pass(conn))
		read_calls(conn);
	else if (events & (EPOLLERR | EPOLLHUP))
		close_conn(conn);
	else if (events & EPOLLIN)
		pass(conn);
	if (conn->fd >= 0)
		settle(conn);
	orpc_conns_memory_freed(conn->shard);
}

/* Its turn was over before it was done. */
static void next_turn(struct orpc_task *task)
{
	struct orpc_conn *conn =
		orpc_container(task, struct orpc_conn, next_turn);
	struct orpc_shard *shard = conn->shard;

	conn->late = false;
	conn->spent = 0;
	if (conn->fd >= 0)
		orpc_conn_go_on(conn);
	else
		orpc_conn_settle_soon(conn);
	orpc_conns_memory_freed(shard);
}

/* ---- Beginning and end ---- */

/* The deferred end of a turn: settle it, or free what is closed. */
static void settle_task(struct orpc_task *task)
{
	struct orpc_conn *conn = orpc_container(task, struct orpc_conn, settle);
	struct orpc_shard *shard = conn->shard;

	conn->settling = false;
	if (conn->fd >= 0) {
		settle(conn);
	} else if (conn->pooled == 0 && !conn->late) {
		TAILQ_REMOVE(&shard->conns, conn, in_conns);
		free(conn);
	}
	orpc_conns_memory_freed(shard);
}

/* Twice is once: a send may have found the peer gone just before. */
static void close_conn(struct orpc_conn *conn)
{
	struct orpc_shard *shard = conn->shard;

	if (conn->fd < 0)
		return;
	if (conn->is_idle)
		set_idle(conn, false);
	orpc_conn_leave_waiting(conn);
	orpc_conn_leave_joined(conn);
	orpc_conn_ungrant(conn);
	orpc_input_release(&conn->input, &shard->bufs);
	orpc_output_release(&conn->output, &shard->bufs);
	atomic_fetch_sub(&shard->nconns, 1); /* who sees it close, sees this */
	close(conn->fd);
	conn->fd = -1;
	orpc_conn_see_behind(conn);
	/* Events of this turn may still name it: freed at the end. */
	orpc_conn_settle_soon(conn);
}

int orpc_conn_new(struct orpc_shard *shard, int fd,
                  const struct sockaddr_storage *peer)
{
	struct orpc_conn *conn = calloc(1, sizeof(*conn));
	int err;

	if (!conn)
		return -ENOMEM;
	conn->source.ready = ready;
	conn->settle.run = settle_task;
	conn->next_turn.run = next_turn;
	conn->shard = shard;
	conn->fd = fd;
	conn->interest = EPOLLIN;
	conn->peer = *peer;
	err = orpc_loop_watch(&shard->loop, fd, conn->interest, &conn->source);
	if (err) {
		free(conn);
		return err;
	}
	TAILQ_INSERT_TAIL(&shard->conns, conn, in_conns);
	set_idle(conn, true);
	return 0;
}

bool orpc_conns_evict(struct orpc_shard *shard)
{
	struct orpc_conn *conn = TAILQ_FIRST(&shard->idle);

	if (!conn)
		return false;
	orpc_count(&shard->counters.closed_idle);
	close_conn(conn);
	return true;
}

uint64_t orpc_conns_idle_since(const struct orpc_shard *shard)
{
	const struct orpc_conn *conn = TAILQ_FIRST(&shard->idle);

	return conn ? conn->idle_since : ORPC_NONE;
}

void orpc_conns_wind_up(struct orpc_shard *shard)
{
	struct orpc_conn *conn = TAILQ_FIRST(&shard->conns);

	for (; conn; conn = TAILQ_NEXT(conn, in_conns)) {
		conn->deaf = true;
		conn->backlog = false;
		orpc_conn_settle_soon(conn);
	}
}

void orpc_conns_close(struct orpc_shard *shard)
{
	struct orpc_conn *conn = TAILQ_FIRST(&shard->conns);

	for (; conn; conn = TAILQ_NEXT(conn, in_conns))
		close_conn(conn);
}
