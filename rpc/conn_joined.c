#include "config.h"

#include "rpc/conn_internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * Calls that came again while the first of them runs, here or elsewhere. Each
 * waits for that one's reply, and counts as a call in the pool does.
 *
 * There is a bound on how many may. Beyond it, or without memory, one takes the
 * spare place that each connection has, which brings nothing more until then: it
 * must neither be carried out nor be left without an answer.
 */

/* It waits no longer, in a connection that may be closed. */
static void let_go(struct joined_call *joined)
{
	struct orpc_conn *conn = joined->conn;

	orpc_bufs_release_promise(&conn->shard->bufs, joined->promised);
	LIST_REMOVE(joined, in_conn);
	conn->pooled--;
	if (joined == &conn->spare)
		conn->spare_taken = false;
	else
		free(joined);
}

/* Send on the reply, with its record mark. NULL: the first was given up. */
static void pass_on(struct orpc_conn *conn, const unsigned char *reply,
                    size_t len)
{
	struct orpc_buf *buf =
		reply ? orpc_bufs_take(&conn->shard->bufs, len) : NULL;

	if (!buf) {
		orpc_conn_give_up(conn, ORPC_LOG_MEMORY, "out of memory");
		return;
	}
	memcpy(buf->data, reply, len);
	orpc_conn_queue(conn, buf, 0, len, NULL);
}

/* Back in the loop: the first one has ended. */
static void first_ended(struct orpc_task *task)
{
	struct joined_call *joined =
		orpc_container(task, struct joined_call, joiner.task);
	struct orpc_conn *conn = joined->conn;
	const unsigned char *reply;
	size_t len;

	reply = orpc_joiner_reply(&joined->joiner, &len);
	if (conn->fd >= 0)
		pass_on(conn, reply, len);
	orpc_replay_part(&joined->joiner);
	let_go(joined);
	orpc_conn_settle_soon(conn);
}

static struct joined_call *prepare(struct orpc_conn *conn,
                                   struct joined_call *joined)
{
	*joined = (struct joined_call){
		.joiner = { .task.run = first_ended,
		            .loop = &conn->shard->loop },
		.conn = conn,
	};
	return joined;
}

static struct joined_call *join(struct orpc_conn *conn,
                                struct orpc_replay *replay)
{
	struct joined_call *joined = malloc(sizeof(*joined));

	if (joined &&
	    orpc_replay_join(replay, &prepare(conn, joined)->joiner, false))
		return joined;
	free(joined);
	joined = prepare(conn, &conn->spare);
	conn->spare_taken = true;
	orpc_replay_join(replay, &joined->joiner, true);
	return joined;
}

void orpc_conn_join(struct orpc_conn *conn, struct orpc_replay *replay)
{
	struct orpc_bufs *bufs = &conn->shard->bufs;
	struct joined_call *joined = join(conn, replay);

	joined->promised = orpc_bufs_size(bufs, ORPC_REPLY_ROOM);
	orpc_bufs_promise(bufs, joined->promised);
	LIST_INSERT_HEAD(&conn->joined, joined, in_conn);
	conn->pooled++;
}

void orpc_conn_leave_joined(struct orpc_conn *conn)
{
	struct joined_call *joined = LIST_FIRST(&conn->joined), *next;

	for (; joined; joined = next) {
		next = LIST_NEXT(joined, in_conn);
		if (orpc_replay_leave(&joined->joiner))
			let_go(joined);
	}
}
