#include "config.h"

#include "rpc/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/conn.h"
#include "rpc/record.h"
#include "rpc/thread.h"
#include "rpc/udp.h"

/* The part of its memory that a shard keeps for brief calls. */
#define LANE_SHARE 8

/* A connection on its way to its shard. */
struct newcomer {
	struct orpc_task task;
	struct orpc_shard *shard;
	int fd;
	bool make_room;
	struct sockaddr_storage peer;
};

/* The end of each turn: tell the acceptor how things stand; end when due. */
static void turned(struct orpc_loop *loop)
{
	struct orpc_shard *shard =
		orpc_container(loop, struct orpc_shard, loop);

	atomic_store_explicit(&shard->idle_since, orpc_conns_idle_since(shard),
	                      memory_order_relaxed);
	atomic_store_explicit(&shard->unmoved_since,
	                      orpc_conns_unmoved_since(shard),
	                      memory_order_relaxed);
	orpc_conns_look_after(shard);
	if (shard->winding_up && TAILQ_EMPTY(&shard->conns) &&
	    shard->gate.inside == 0 && shard->joined == 0)
		orpc_loop_end(loop);
}

static void wind_up(struct orpc_task *task)
{
	struct orpc_shard *shard =
		orpc_container(task, struct orpc_shard, wind_up);

	shard->winding_up = true;
	orpc_udps_rest(shard);
	orpc_conns_wind_up(shard);
}

static void cut(struct orpc_task *task)
{
	orpc_conns_close(orpc_container(task, struct orpc_shard, cut));
}

/* Its share of the bound on memory. 0 or -ENOBUFS. */
static int set_bound(struct orpc_shard *shard)
{
	const struct orpc_config *config = &shard->service->config;
	const bool given = shard->service->bytes_given;
	size_t least = orpc_least_bytes(&shard->bufs);

	shard->bufs.max = config->max_bytes / config->threads;
	if (shard->bufs.max < least && given)
		return -ENOBUFS;
	if (shard->bufs.max < least)
		shard->bufs.max = least;
	shard->lane = config->max_brief ? shard->bufs.max / LANE_SHARE : 0;
	if (shard->lane > shard->bufs.max - least)
		shard->lane = shard->bufs.max - least;
	return 0;
}

int orpc_shard_init(struct orpc_shard *shard, struct orpc_service *service)
{
	size_t record = orpc_input_largest(service->config.max_record);
	size_t reply = service->config.max_results + ORPC_REPLY_OVERHEAD;
	int err;

	memset(shard, 0, sizeof(*shard));
	shard->service = service;
	shard->dropped_since = ORPC_NONE;
	shard->wind_up.run = wind_up;
	shard->cut.run = cut;
	TAILQ_INIT(&shard->conns);
	TAILQ_INIT(&shard->idle);
	TAILQ_INIT(&shard->waiting);
	TAILQ_INIT(&shard->behind);
	SLIST_INIT(&shard->udps);
	atomic_init(&shard->nconns, 0);
	atomic_init(&shard->idle_since, ORPC_NONE);
	atomic_init(&shard->unmoved_since, ORPC_NONE);
	orpc_bufs_init(&shard->bufs, record > reply ? record : reply);
	err = orpc_loop_init(&shard->loop, turned);
	if (err)
		return err;
	err = set_bound(shard);
	if (err)
		orpc_shard_release(shard);
	return err;
}

void orpc_shard_release(struct orpc_shard *shard)
{
	orpc_udps_free(shard);
	orpc_bufs_release(&shard->bufs);
	orpc_loop_release(&shard->loop);
}

static void *run(void *arg)
{
	struct orpc_shard *shard = arg;
	uint64_t one = 1;

	orpc_loop_run(&shard->loop);
	/* An eventfd takes it whole or not at all, and has the room. */
	(void)!write(shard->service->ended_fd, &one, sizeof(one));
	return NULL;
}

int orpc_shard_start(struct orpc_shard *shard, unsigned number,
                     struct orpc_pool *pool, unsigned share)
{
	orpc_gate_init(&shard->gate, pool, share);
	return orpc_thread_start(&shard->thread, "loop", number, run, shard);
}

void orpc_shard_join(struct orpc_shard *shard)
{
	pthread_join(shard->thread, NULL);
}

/*
 * Let one that is stuck give way, or the one idle longest. In this order: who does
 * his part is idle in between, and would lose his place again and again to others
 * like him, while the stuck ones keep theirs.
 */
static bool make_room(struct orpc_shard *shard)
{
	const char *what = "none is idle, so a new one is closed";
	bool made = true;

	if (orpc_conns_evict_stuck(shard))
		what = "one that takes no replies gives way";
	else if (orpc_conns_evict(shard))
		what = "the one idle longest gives way";
	else
		made = false;
	orpc_log_seldom(&shard->service->log, ORPC_LOG_FULL,
	                "too many connections: %s", what);
	return made;
}

static void welcome(struct orpc_shard *shard, const struct newcomer *newcomer)
{
	bool turned_away = newcomer->make_room && !make_room(shard);

	if (turned_away || shard->winding_up ||
	    orpc_conn_new(shard, newcomer->fd, &newcomer->peer)) {
		close(newcomer->fd);
		atomic_fetch_sub(&shard->nconns, 1);
	} else {
		orpc_count(&shard->counters.accepted);
	}
}

static void arrive(struct orpc_task *task)
{
	struct newcomer *newcomer = orpc_container(task, struct newcomer, task);

	if (newcomer->fd >= 0)
		welcome(newcomer->shard, newcomer);
	else if (!orpc_conns_evict_stuck(newcomer->shard))
		orpc_conns_evict(newcomer->shard);
	free(newcomer);
}

void orpc_shard_hand(struct orpc_shard *shard, int fd,
                     const struct sockaddr_storage *peer, bool make_room)
{
	struct newcomer *newcomer = malloc(sizeof(*newcomer));

	if (!newcomer) {
		if (fd >= 0)
			close(fd);
		return;
	}
	*newcomer = (struct newcomer){ .task.run = arrive,
		                       .shard = shard,
		                       .fd = fd,
		                       .make_room = make_room };
	if (fd >= 0) {
		newcomer->peer = *peer;
		atomic_fetch_add(&shard->nconns, 1);
	}
	orpc_loop_post(&shard->loop, &newcomer->task);
}

void orpc_shard_wind_up(struct orpc_shard *shard)
{
	orpc_loop_post(&shard->loop, &shard->wind_up);
}

void orpc_shard_cut(struct orpc_shard *shard)
{
	orpc_loop_post(&shard->loop, &shard->cut);
}
