#include "config.h"

#include "rpc/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "rpc/conn.h"
#include "rpc/shard.h"

/* No datagram is longer than this. */
#define DATAGRAM (64u << 10)

/* So many, then the connections of the shard have their turn. */
#define CALLS_A_TURN 64

struct orpc_udp {
	struct orpc_source source;
	struct orpc_shard *shard;
	int fd;
	SLIST_ENTRY(orpc_udp) next;
};

/* Who sent a datagram, and at which of our addresses. */
struct ends {
	struct sockaddr_storage peer;
	socklen_t peer_len;
	size_t control_len;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
};

/* A call of a datagram in the pool. */
struct pooled_datagram {
	struct orpc_request request;
	struct orpc_task task;
	struct orpc_udp *udp;
	struct orpc_buf *in;
	size_t promised; /* for its reply */
	size_t lane;     /* bytes of the lane that it is in */
	struct ends ends;
};

/* A call of a datagram that waits for the first of its kind. */
struct joined_datagram {
	struct orpc_joiner joiner;
	struct orpc_udp *udp;
	struct ends ends;
};

/*
 * What came in is what a reply is sent with, but for the interface: routing
 * finds it, also where the way back is another than the way here.
 */
static void turn_round(struct msghdr *msg)
{
	struct cmsghdr *part = CMSG_FIRSTHDR(msg);
	struct in6_pktinfo info6;
	struct in_pktinfo info;

	if (!part)
		return;
	if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
		memcpy(&info, CMSG_DATA(part), sizeof(info));
		info.ipi_spec_dst = info.ipi_addr;
		info.ipi_ifindex = 0;
		memcpy(CMSG_DATA(part), &info, sizeof(info));
	} else if (part->cmsg_level == IPPROTO_IPV6 &&
	           part->cmsg_type == IPV6_PKTINFO) {
		memcpy(&info6, CMSG_DATA(part), sizeof(info6));
		info6.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(part), &info6, sizeof(info6));
	}
}

/* Bytes of the next datagram, or -1: there is none. */
static ssize_t receive(struct orpc_udp *udp, struct orpc_buf *in,
                       struct ends *ends)
{
	struct iovec iov = { in->data, in->cap };
	struct msghdr msg = {
		.msg_name = &ends->peer,
		.msg_namelen = sizeof(ends->peer),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ends->control,
		.msg_controllen = sizeof(ends->control),
	};
	ssize_t n = recvmsg(udp->fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return -1;
	turn_round(&msg);
	ends->peer_len = msg.msg_namelen;
	ends->control_len = msg.msg_controllen;
	return n;
}

/*
 * Send a reply, given as a record. One that the socket does not take at once is
 * lost, as datagrams are.
 */
static void send_record(struct orpc_udp *udp, struct ends *ends,
                        const unsigned char *record, size_t len)
{
	/* Record marks are for streams. */
	struct iovec iov = { (void *)(record + ORPC_MARK_SIZE),
		             len - ORPC_MARK_SIZE };
	struct msghdr msg = {
		.msg_name = &ends->peer,
		.msg_namelen = ends->peer_len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ends->control_len ? &ends->control : NULL,
		.msg_controllen = ends->control_len,
	};

	orpc_count(&udp->shard->counters.calls);
	if (sendmsg(udp->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		orpc_count(&udp->shard->counters.dropped);
}

static void reply(struct orpc_udp *udp, struct ends *ends,
                  const struct orpc_request *request)
{
	send_record(udp, ends, request->out->data + request->at,
	            request->reply_len);
}

/* Back from the pool, in the loop. */
static void call_done(struct orpc_task *task)
{
	struct pooled_datagram *pooled =
		orpc_container(task, struct pooled_datagram, task);
	struct orpc_shard *shard = pooled->udp->shard;

	orpc_gate_leave(&shard->gate);
	orpc_bufs_release_promise(&shard->bufs, pooled->promised);
	shard->lane_used -= pooled->lane;
	reply(pooled->udp, &pooled->ends, &pooled->request);
	orpc_bufs_put(&shard->bufs, pooled->request.out);
	orpc_bufs_put(&shard->bufs, pooled->in);
	free(pooled);
	orpc_conns_memory_freed(shard);
}

static void call_in_pool(struct orpc_task *task)
{
	struct pooled_datagram *pooled =
		orpc_container(task, struct pooled_datagram, task);

	orpc_request_finish(&pooled->request);
	task->run = call_done;
	orpc_loop_post(&pooled->udp->shard->loop, task);
}

/*
 * Send a pending call to the pool, if there is a place for it: then the reply
 * buffer goes with it.
 */
static bool pool_call(struct orpc_udp *udp, struct orpc_request *request,
                      struct orpc_buf *in, size_t lane, const struct ends *ends)
{
	struct orpc_shard *shard = udp->shard;
	struct pooled_datagram *pooled;
	size_t largest;

	if (orpc_gate_full(&shard->gate))
		return false;
	pooled = malloc(sizeof(*pooled));
	if (!pooled)
		return false;
	/* It may still grow so far. */
	largest = orpc_bufs_size(&shard->bufs, request->call.max_results +
	                                               ORPC_REPLY_OVERHEAD);
	pooled->promised = request->out->cap < largest ? largest : 0;
	pooled->lane = lane;
	shard->lane_used += lane;
	orpc_bufs_promise(&shard->bufs, pooled->promised);
	pooled->request = *request;
	pooled->task.run = call_in_pool;
	pooled->udp = udp;
	pooled->ends = *ends;
	pooled->request.call.peer = (struct sockaddr *)&pooled->ends.peer;
	pooled->in = in;
	in->refs++;
	request->out = NULL;
	orpc_count(&shard->counters.pooled);
	orpc_gate_enter(&shard->gate, &pooled->task);
	return true;
}

/* Back in the loop: the first one has ended. */
static void first_ended(struct orpc_task *task)
{
	struct joined_datagram *joined =
		orpc_container(task, struct joined_datagram, joiner.task);
	struct orpc_shard *shard = joined->udp->shard;
	const unsigned char *record;
	size_t len;

	record = orpc_joiner_reply(&joined->joiner, &len);
	if (record)
		send_record(joined->udp, &joined->ends, record, len);
	else
		orpc_count(&shard->counters.dropped);
	orpc_replay_part(&joined->joiner);
	free(joined);
	shard->joined--;
}

/* Wait for the reply of a call that runs, if there is room for one more. */
static bool join(struct orpc_udp *udp, struct orpc_replay *replay,
                 const struct ends *ends)
{
	struct joined_datagram *joined = malloc(sizeof(*joined));

	if (joined) {
		*joined = (struct joined_datagram){
			.joiner = { .task.run = first_ended,
			            .loop = &udp->shard->loop },
			.udp = udp,
			.ends = *ends,
		};
		if (orpc_replay_join(replay, &joined->joiner, false)) {
			udp->shard->joined++;
			return true;
		}
	}
	free(joined);
	orpc_replay_unref(replay);
	return false;
}

static void take_datagram(struct orpc_udp *udp, struct orpc_buf *in, size_t len,
                          size_t lane, struct ends *ends)
{
	struct orpc_shard *shard = udp->shard;
	struct orpc_request request;
	bool dropped = true;

	request.call.peer = (struct sockaddr *)&ends->peer;
	request.call.datagram = true;
	request.call.max_results = shard->service->config.max_datagram;
	request.call.usual_results = request.call.max_results;
	request.replays = shard->service->replays;
	request.bufs = &shard->bufs;
	request.pipes = NULL;
	request.at = 0;
	request.own_out = true;
	request.out = orpc_bufs_take(&shard->bufs, ORPC_REPLY_ROOM);
	if (request.out) {
		switch (orpc_request_begin(&request, &shard->service->programs,
		                           in->data, len)) {
		case ORPC_REPLIED:
			reply(udp, ends, &request);
			dropped = false;
			break;
		case ORPC_PENDING:
			dropped = !pool_call(udp, &request, in, lane, ends);
			if (dropped)
				orpc_request_abandon(&request);
			break;
		case ORPC_JOINS:
			dropped = !join(udp, request.replay, ends);
			break;
		case ORPC_NO_MEMORY:
		case ORPC_BROKEN:
			break;
		}
		orpc_bufs_put(&shard->bufs, request.out);
	}
	if (dropped)
		orpc_count(&shard->counters.dropped);
}

/* There is no memory for the next one, if there is one. */
static bool drop(struct orpc_udp *udp)
{
	struct orpc_shard *shard = udp->shard;

	if (recv(udp->fd, NULL, 0, MSG_DONTWAIT) < 0)
		return false;
	orpc_count(&shard->counters.dropped);
	if (shard->dropped_since == ORPC_NONE)
		shard->dropped_since = shard->loop.now_ms;
	return true;
}

static void ready(struct orpc_source *source, uint32_t events)
{
	struct orpc_udp *udp = orpc_container(source, struct orpc_udp, source);
	struct orpc_bufs *bufs = &udp->shard->bufs;
	struct ends ends;

	(void)events; /* errors are fetched by reading, too */
	for (int i = 0; i < CALLS_A_TURN && !udp->shard->winding_up; i++) {
		struct orpc_buf *in;
		size_t lane;
		ssize_t n;

		if (!orpc_datagram_fits(udp->shard, &lane)) {
			if (!drop(udp))
				break;
			continue;
		}
		in = orpc_bufs_take(bufs, DATAGRAM);
		n = in ? receive(udp, in, &ends) : -1;

		if (n >= 0)
			take_datagram(udp, in, (size_t)n, lane, &ends);
		orpc_bufs_put(bufs, in);
		if (n < 0)
			break;
	}
}

int orpc_udp_new(struct orpc_shard *shard, int fd, sa_family_t family)
{
	struct orpc_udp *udp = calloc(1, sizeof(*udp));
	int one = 1, err;

	if (!udp) {
		close(fd);
		return -ENOMEM;
	}
	/* Ask at which address each datagram came. */
	if (family == AF_INET6)
		err = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one,
		                 sizeof(one));
	else
		err = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	err = err ? -errno
	          : orpc_loop_watch(&shard->loop, fd, EPOLLIN, &udp->source);
	if (err) {
		close(fd);
		free(udp);
		return err;
	}
	udp->source.ready = ready;
	udp->shard = shard;
	udp->fd = fd;
	SLIST_INSERT_HEAD(&shard->udps, udp, next);
	return 0;
}

void orpc_udps_rest(struct orpc_shard *shard)
{
	struct orpc_udp *udp = SLIST_FIRST(&shard->udps);

	for (; udp; udp = SLIST_NEXT(udp, next))
		orpc_loop_change(&shard->loop, udp->fd, 0, &udp->source);
}

void orpc_udps_free(struct orpc_shard *shard)
{
	while (!SLIST_EMPTY(&shard->udps)) {
		struct orpc_udp *udp = SLIST_FIRST(&shard->udps);

		SLIST_REMOVE_HEAD(&shard->udps, next);
		close(udp->fd);
		free(udp);
	}
}
