#include "config.h"

#include "rpc/orpc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "rpc/acceptor.h"
#include "rpc/bind.h"
#include "rpc/shard.h"
#include "rpc/udp.h"

enum state { FRESH, RUNNING, STOPPED };

struct orpc_server {
	struct orpc_service service;
	struct orpc_acceptor *acceptor; /* in the first shard */
	struct orpc_task close_all;     /* posted there by orpc_server_stop */
	struct orpc_pool *pool;
	pthread_mutex_t lock; /* state, next; and who chooses a shard */
	enum state state;
	unsigned next; /* shard, where several are equal */
	unsigned nudp;
	unsigned nshards;
	struct orpc_shard shards[];
};

/* A reply of that fits in what a connection packs replies into. */
#define MAX_BRIEF (32u << 10)

/* ---- Configuration ---- */

static unsigned count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1; /* more than 1024 of them, or none of our business */
	return (unsigned)CPU_COUNT(&set);
}

static struct orpc_config with_defaults(const struct orpc_config *given)
{
	struct orpc_config c = *given;

	c.threads = c.threads ? c.threads : count_cpus();
	c.workers = c.workers ? c.workers : 16;
	c.max_connections = c.max_connections ? c.max_connections : 1024;
	c.max_record = c.max_record ? c.max_record : (1u << 20) + (64u << 10);
	c.max_results =
		c.max_results ? c.max_results : (1u << 20) + (64u << 10);
	c.max_datagram = c.max_datagram ? c.max_datagram : 32u << 10;
	c.max_queued = c.max_queued ? c.max_queued : 4u << 20;
	c.max_bytes = c.max_bytes ? c.max_bytes : 256u << 20;
	/* It takes several that do not read their replies to fill a loop's. */
	if (c.max_queued > c.max_bytes / c.threads / 8)
		c.max_queued = c.max_bytes / c.threads / 8;
	c.stuck_ms = c.stuck_ms ? c.stuck_ms : 2000;
	c.max_inflight = c.max_inflight ? c.max_inflight : 64;
	c.max_pending = c.max_pending ? c.max_pending : 1024;
	c.max_replies = c.max_replies ? c.max_replies : 65536;
	c.max_reply_bytes = c.max_reply_bytes ? c.max_reply_bytes : 32u << 20;
	return c;
}

/* Nothing that the lengths of the protocol cannot say. */
static int check(const struct orpc_config *config,
                 const struct orpc_program *programs, size_t n)
{
	/* What a datagram holds beside the header of a reply. */
	const size_t largest_datagram = 65507 - ORPC_REPLY_HEADER;
	const size_t largest = INT32_MAX / 2;

	if (config->max_brief > MAX_BRIEF ||
	    config->max_brief > config->max_results)
		return -EINVAL;
	if (config->max_record > largest || config->max_results > largest ||
	    config->max_datagram > largest_datagram)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (programs[i].prog == programs[j].prog)
				return -EINVAL;
		}
	}
	return 0;
}

/* ---- New connections ---- */

/* The shard with the fewest connections, the next in turn among equals. */
static struct orpc_shard *least_busy(struct orpc_server *server)
{
	struct orpc_shard *best = NULL;

	for (unsigned i = 0; i < server->nshards; i++) {
		unsigned k = (server->next + i) % server->nshards;
		struct orpc_shard *shard = &server->shards[k];

		if (!best ||
		    atomic_load(&shard->nconns) < atomic_load(&best->nconns))
			best = shard;
	}
	server->next = (unsigned)(best - server->shards) + 1;
	return best;
}

/* The shard that has the connection idle longest. */
static struct orpc_shard *longest_idle(struct orpc_server *server)
{
	struct orpc_shard *best = &server->shards[0];

	for (unsigned i = 1; i < server->nshards; i++) {
		struct orpc_shard *shard = &server->shards[i];

		if (atomic_load(&shard->idle_since) <
		    atomic_load(&best->idle_since))
			best = shard;
	}
	return best;
}

/*
 * The shard that has the connection stuck longest, or NULL. That one is spoken for
 * then, until the shard has had its turn: it may have no other.
 */
static struct orpc_shard *longest_stuck(struct orpc_server *server)
{
	const uint64_t now = orpc_loop_clock();
	const unsigned stuck_ms = server->service.config.stuck_ms;
	struct orpc_shard *best = NULL;
	uint64_t since = ORPC_NONE;

	for (unsigned i = 0; i < server->nshards; i++) {
		struct orpc_shard *shard = &server->shards[i];
		uint64_t its = atomic_load(&shard->unmoved_since);

		if (its < since && its + stuck_ms <= now) {
			since = its;
			best = shard;
		}
	}
	if (best)
		atomic_store(&best->unmoved_since, ORPC_NONE);
	return best;
}

/* The shard that one of the connections is to be closed in for another. */
static struct orpc_shard *where_to_make_room(struct orpc_server *server)
{
	struct orpc_shard *stuck = longest_stuck(server);

	return stuck ? stuck : longest_idle(server);
}

static unsigned count_connections(struct orpc_server *server)
{
	unsigned n = 0;

	for (unsigned i = 0; i < server->nshards; i++)
		n += atomic_load(&server->shards[i].nconns);
	return n;
}

/*
 * At the bound the newcomer goes where one is stuck, or where the one idle longest
 * is: that shard puts it in its place by itself.
 */
static void hand_out(struct orpc_server *server, int fd,
                     const struct sockaddr_storage *peer)
{
	if (count_connections(server) >= server->service.config.max_connections)
		orpc_shard_hand(where_to_make_room(server), fd, peer, true);
	else
		orpc_shard_hand(least_busy(server), fd, peer, false);
}

static void on_newcomer(void *arg, int fd, const struct sockaddr_storage *peer)
{
	struct orpc_server *server = arg;

	pthread_mutex_lock(&server->lock);
	hand_out(server, fd, peer);
	pthread_mutex_unlock(&server->lock);
}

static void on_shortage(void *arg, int err)
{
	struct orpc_server *server = arg;

	orpc_log_seldom(&server->service.log, ORPC_LOG_ACCEPT,
	                "no new connection can be taken: %s", strerror(err));
	orpc_shard_hand(where_to_make_room(server), -1, NULL, true);
}

int orpc_server_adopt(struct orpc_server *server, int fd)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	int flags = fcntl(fd, F_GETFL), err = 0;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	pthread_mutex_lock(&server->lock);
	if (server->state == RUNNING)
		hand_out(server, fd, &peer);
	else
		err = -EINVAL;
	pthread_mutex_unlock(&server->lock);
	if (err)
		close(fd);
	return err;
}

int orpc_server_listen(struct orpc_server *server, const char *address,
                       uint16_t *port)
{
	struct orpc_sockets sockets;
	uint16_t found = *port;
	unsigned home;
	int err;

	if (server->state != FRESH)
		return -EBUSY;
	err = orpc_bind(address, &found, &sockets);
	if (err)
		return err;
	home = server->nudp++ % server->nshards;
	err = orpc_udp_new(&server->shards[home], sockets.udp, sockets.family);
	if (err) {
		close(sockets.tcp);
		return err;
	}
	err = orpc_acceptor_add(server->acceptor, sockets.tcp);
	if (!err)
		*port = found;
	return err;
}

/* ---- Beginning and end ---- */

/*
 * In the first shard, where connections come from: the shards hear of the end
 * after all that were handed to them.
 */
static void close_all(struct orpc_task *task)
{
	struct orpc_server *server =
		orpc_container(task, struct orpc_server, close_all);

	orpc_acceptor_close(server->acceptor);
	for (unsigned i = 0; i < server->nshards; i++)
		orpc_shard_wind_up(&server->shards[i]);
}

static int init_shards(struct orpc_server *server, unsigned n)
{
	for (; server->nshards < n; server->nshards++) {
		int err = orpc_shard_init(&server->shards[server->nshards],
		                          &server->service);

		if (err)
			return err;
	}
	return orpc_acceptor_new(&server->shards[0].loop, on_newcomer,
	                         on_shortage, server, &server->acceptor);
}

static int copy_programs(struct orpc_server *server,
                         const struct orpc_program *programs, size_t n)
{
	struct orpc_program *copy = calloc(n + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (n > 0)
		memcpy(copy, programs, n * sizeof(*copy));
	server->service.programs = (struct orpc_programs){ copy, n };
	return 0;
}

int orpc_server_new(const struct orpc_config *given,
                    const struct orpc_program *programs, size_t n,
                    struct orpc_server **result)
{
	struct orpc_config config = with_defaults(given);
	struct orpc_server *server;
	size_t size =
		sizeof(*server) + config.threads * sizeof(server->shards[0]);
	int err = check(&config, programs, n);

	if (err)
		return err;
	server = aligned_alloc(ORPC_CACHE_LINE, size);
	if (!server)
		return -ENOMEM;
	memset(server, 0, size);
	server->service.config = config;
	server->service.bytes_given = given->max_bytes != 0;
	orpc_log_init(&server->service.log, config.log, config.log_arg);
	pthread_mutex_init(&server->lock, NULL);
	orpc_pipes_init(&server->service.pipes);
	server->close_all.run = close_all;
	server->service.ended_fd = eventfd(0, EFD_CLOEXEC);
	err = server->service.ended_fd < 0 ? -errno : 0;
	if (!err)
		err = copy_programs(server, programs, n);
	if (!err)
		err = orpc_replays_new(config.max_replies,
		                       config.max_reply_bytes,
		                       config.max_pending,
		                       &server->service.replays);
	if (!err)
		err = init_shards(server, config.threads);
	if (err) {
		orpc_server_free(server);
		return err;
	}
	*result = server;
	return 0;
}

int orpc_server_start(struct orpc_server *server)
{
	unsigned n = server->nshards, started = 0;
	unsigned share = server->service.config.max_pending / n;
	int err;

	if (server->state != FRESH)
		return -EINVAL;
	err = orpc_pool_new(server->service.config.workers, &server->pool);
	while (!err && started < n) {
		err = orpc_shard_start(&server->shards[started], started,
		                       server->pool, share ? share : 1);
		if (!err)
			started++;
	}
	pthread_mutex_lock(&server->lock);
	server->state = err ? STOPPED : RUNNING;
	pthread_mutex_unlock(&server->lock);
	if (!err)
		return 0;
	for (unsigned i = 0; i < started; i++) {
		orpc_shard_wind_up(&server->shards[i]);
		orpc_shard_join(&server->shards[i]);
	}
	orpc_pool_free(server->pool);
	server->pool = NULL;
	return err;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait until all shards have ended. False: the time is over. */
static bool await_end(struct orpc_server *server, int timeout_ms)
{
	struct pollfd ended = { server->service.ended_fd, POLLIN, 0 };
	int64_t until = now_ms() + timeout_ms;
	uint64_t n = 0, more;

	while (n < server->nshards) {
		int64_t left = until - now_ms();
		int ready = poll(&ended, 1, left > 0 ? (int)left : 0);

		if (ready > 0 &&
		    read(ended.fd, &more, sizeof(more)) == sizeof(more))
			n += more;
		else if (ready == 0)
			return false;
	}
	return true;
}

void orpc_server_stop(struct orpc_server *server, int timeout_ms)
{
	bool was_running;

	pthread_mutex_lock(&server->lock);
	was_running = server->state == RUNNING;
	server->state = STOPPED;
	pthread_mutex_unlock(&server->lock);
	if (!was_running)
		return;
	orpc_loop_post(&server->shards[0].loop, &server->close_all);
	if (!await_end(server, timeout_ms)) {
		for (unsigned i = 0; i < server->nshards; i++)
			orpc_shard_cut(&server->shards[i]);
	}
	for (unsigned i = 0; i < server->nshards; i++)
		orpc_shard_join(&server->shards[i]);
	orpc_pool_free(server->pool);
	server->pool = NULL;
	for (unsigned i = 0; i < server->nshards; i++)
		orpc_udps_free(&server->shards[i]);
}

void orpc_server_free(struct orpc_server *server)
{
	if (!server)
		return;
	orpc_server_stop(server, 0);
	orpc_acceptor_free(server->acceptor);
	for (unsigned i = 0; i < server->nshards; i++)
		orpc_shard_release(&server->shards[i]);
	if (server->service.ended_fd >= 0)
		close(server->service.ended_fd);
	orpc_replays_free(server->service.replays);
	orpc_pipes_release(&server->service.pipes);
	pthread_mutex_destroy(&server->lock);
	free((void *)server->service.programs.list);
	free(server);
}

static void sum(uint64_t *total, const _Atomic uint64_t *part)
{
	*total += atomic_load_explicit(part, memory_order_relaxed);
}

/* Together never more than there was at one time, though both change meanwhile. */
static void sum_buffers(struct orpc_stats *stats, const struct orpc_bufs *bufs)
{
	uint64_t held = atomic_load(&bufs->held);
	uint64_t used = atomic_load(&bufs->used);

	stats->buffer_bytes += used;
	stats->spare_bytes += held > used ? held - used : 0;
}

void orpc_server_stats(struct orpc_server *server, struct orpc_stats *stats)
{
	*stats =
		(struct orpc_stats){ .connections = count_connections(server) };
	for (unsigned i = 0; i < server->nshards; i++) {
		const struct orpc_counters *c = &server->shards[i].counters;

		sum(&stats->calls, &c->calls);
		sum(&stats->pooled, &c->pooled);
		sum(&stats->accepted, &c->accepted);
		sum(&stats->closed_idle, &c->closed_idle);
		sum(&stats->closed_broken, &c->closed_broken);
		sum(&stats->closed_stuck, &c->closed_stuck);
		sum(&stats->dropped, &c->dropped);
		sum(&stats->waits, &c->waits);
		sum_buffers(stats, &server->shards[i].bufs);
	}
	orpc_replays_stats(server->service.replays, stats);
}
