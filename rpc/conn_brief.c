#include "config.h"

#include "rpc/conn_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

/*
 * The lane: memory of a shard that is kept free for brief calls, so that they are
 * answered while all other memory is held by peers that send large records, or do
 * not go on with what they have begun.
 *
 * A brief call is there as a whole, and short; its reply is short too (max_brief).
 * So the lane is held while the call runs, and not for as long as a peer likes: none
 * of it is taken before the record has come to its end, and who has not taken his
 * last reply gets no other from here. That one he holds. Where such replies have used
 * up the lane, those are closed that have not moved for longest, after a tenth of a
 * second instead of the two of conn_memory.c: by then a client moves that takes what
 * it has asked for, or comes after those that never will.
 *
 * A datagram is brief as well: neither it nor its reply is longer than 64 KiB.
 */
#define LONGEST_RECORD (16u << 10)
#define LEAST_UNMOVED_MS 100

/* What it takes: to be read into, for its reply, and for that to grow into. */
static size_t need(const struct orpc_shard *shard)
{
	return 3 * shard->bufs.cap[1];
}

size_t orpc_lane_left(const struct orpc_shard *shard)
{
	return shard->lane > shard->lane_used ? shard->lane - shard->lane_used
	                                      : 0;
}

/* Is there room in it, and is that room free indeed? */
static bool has_room(const struct orpc_shard *shard)
{
	return orpc_lane_left(shard) >= need(shard) &&
	       orpc_bufs_fit(&shard->bufs, need(shard));
}

bool orpc_datagram_fits(const struct orpc_shard *shard, size_t *lane)
{
	const size_t bytes = need(shard);

	if (TAILQ_EMPTY(&shard->waiting) &&
	    orpc_bufs_fit(&shard->bufs, bytes + orpc_lane_left(shard)))
		*lane = 0;
	else if (has_room(shard))
		*lane = bytes;
	else
		return false;
	return true;
}

static bool is_taking_replies(const struct orpc_conn *conn)
{
	return conn->output.queued == 0;
}

bool orpc_conn_may_be_brief(struct orpc_conn *conn)
{
	return is_taking_replies(conn) && has_room(conn->shard);
}

size_t orpc_conn_reply_max(struct orpc_conn *conn)
{
	const struct orpc_config *config = &conn->shard->service->config;

	return conn->brief ? config->max_brief : config->max_results;
}

/* The length of the record that comes next, if it is there and short; 0: nothing
 * has come; else more than any has. */
static size_t next_record(struct orpc_conn *conn)
{
	uint32_t mark = 0;
	ssize_t n =
		recv(conn->fd, &mark, sizeof(mark), MSG_PEEK | MSG_DONTWAIT);
	size_t len = ntohl(mark) & ~ORPC_MARK_LAST;
	int there = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		conn->deaf = true;
		return 0;
	}
	if (n < (ssize_t)sizeof(mark) || !(ntohl(mark) & ORPC_MARK_LAST) ||
	    len > LONGEST_RECORD || ioctl(conn->fd, FIONREAD, &there) ||
	    (size_t)there < ORPC_MARK_SIZE + len)
		return SIZE_MAX;
	return ORPC_MARK_SIZE + len;
}

/* It is brief, but for the lane. */
static void wait_for_lane(struct orpc_conn *conn)
{
	if (!conn->waits_for_lane)
		conn->shard->lane_waiting++;
	conn->waits_for_lane = true;
}

void orpc_conn_leave_lane(struct orpc_conn *conn)
{
	if (conn->waits_for_lane)
		conn->shard->lane_waiting--;
	conn->waits_for_lane = false;
}

enum orpc_brief orpc_conn_read_brief(struct orpc_conn *conn)
{
	size_t len;

	if (conn->shard->lane == 0 || conn->backlog ||
	    orpc_input_is_midway(&conn->input))
		return ORPC_BRIEF_NOT;
	len = next_record(conn);
	if (len == 0)
		return ORPC_BRIEF_NONE;
	if (len == SIZE_MAX || !is_taking_replies(conn))
		return ORPC_BRIEF_NOT;
	if (!has_room(conn->shard)) {
		wait_for_lane(conn);
		return ORPC_BRIEF_NOT;
	}
	orpc_conn_ungrant(conn);
	orpc_input_be_modest(&conn->input);
	conn->brief = true;
	conn->brief_len = len;
	return ORPC_BRIEF_READ;
}

bool orpc_conn_would_be_brief(const struct orpc_conn *conn)
{
	return (conn->waits_for_lane || conn->backlog) &&
	       is_taking_replies(conn) && has_room(conn->shard);
}

size_t orpc_conn_enter_lane(struct orpc_conn *conn)
{
	size_t bytes = conn->brief ? need(conn->shard) : 0;

	conn->shard->lane_used += bytes;
	return bytes;
}

/* Of those that have not taken a reply, the one that has not moved for longest. */
static struct orpc_conn *find_unmoved(struct orpc_shard *shard)
{
	struct orpc_conn *conn = TAILQ_FIRST(&shard->conns), *best = NULL;

	for (; conn; conn = TAILQ_NEXT(conn, in_conns)) {
		if (conn->fd < 0 || conn->pooled > 0 ||
		    is_taking_replies(conn) ||
		    shard->loop.now_ms - conn->moved_at < LEAST_UNMOVED_MS)
			continue;
		if (!best || conn->moved_at < best->moved_at)
			best = conn;
	}
	return best;
}

void orpc_conns_clear_lane(struct orpc_shard *shard)
{
	struct orpc_conn *conn;

	while (shard->lane_waiting > 0 &&
	       !orpc_bufs_fit(&shard->bufs, need(shard)) &&
	       (conn = find_unmoved(shard))) {
		orpc_count(&shard->counters.closed_stuck);
		orpc_conn_give_up(conn, ORPC_LOG_STUCK,
		                  "memory is short, and it takes no replies");
	}
}
