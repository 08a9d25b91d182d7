#include "config.h"

#include "tests/attack/peer.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/nfs.h"

#define DIR_NAME "peer"
#define FILE_NAME "file"
#define TEXT "what the peer reads"

#define MAX_CALLS 1000000u
/* Between two calls. */
#define REST_US 500
/* Connections lost by one call, after which something else is wrong. */
#define MAX_LOSSES 100

struct handle {
	char data[64];
	nfs_fh3 fh;
};

struct peer {
	const struct daemon *daemon;
	struct client *client;
	struct handle dir, file;
	pthread_t thread;
	atomic_bool over;
	double *times; /* of MAX_CALLS, milliseconds */
	size_t calls;
	unsigned reconnected;
};

void peer_make_file(const struct daemon *daemon)
{
	daemon_mkdir(daemon, "lower/" DIR_NAME);
	daemon_write(daemon, "lower/" DIR_NAME "/" FILE_NAME, TEXT);
}

/* The server may close the connection, if it has to. */
static void connect_to_it(struct peer *peer)
{
	client_free(peer->client);
	peer->client = client_new(daemon_connect(peer->daemon));
	peer->client->patient = true;
	peer->client->may_end = true;
}

static void keep(struct handle *handle, nfs_fh3 fh)
{
	ck_assert_uint_le(fh.data.data_len, sizeof(handle->data));
	memcpy(handle->data, fh.data.data_val, fh.data.data_len);
	handle->fh = (nfs_fh3){ { fh.data.data_len, handle->data } };
}

struct peer *peer_new(const struct daemon *daemon)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	ck_assert_ptr_nonnull(peer);
	peer->times = malloc(MAX_CALLS * sizeof(*peer->times));
	ck_assert_ptr_nonnull(peer->times);
	peer->daemon = daemon;
	connect_to_it(peer);
	keep(&peer->dir,
	     nfs_find(peer->client, nfs_root(peer->client), DIR_NAME));
	keep(&peer->file, nfs_find(peer->client, peer->dir.fh, FILE_NAME));
	return peer;
}

void peer_free(struct peer *peer)
{
	if (peer == NULL)
		return;
	client_free(peer->client);
	free(peer->times);
	free(peer);
}

/* ---- the calls ------------------------------------------------------------- */

static double now_ms(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

/* What is called does not matter: NULL where the connection is lost. */
static const nfsstat3 *call(struct peer *peer)
{
	READ3res *read;

	switch (peer->calls % 3) {
	case 0:
		return (void *)nfs_getattr(peer->client, peer->file.fh);
	case 1:
		return (void *)nfs_lookup(peer->client, peer->dir.fh,
		                          FILE_NAME);
	default:
		read = nfs_read(peer->client, peer->file.fh, 0, 4096);
		if (read && read->status == NFS3_OK &&
		    read->READ3res_u.resok.count != strlen(TEXT))
			ck_abort_msg("the peer reads something else");
		return (void *)read;
	}
}

/* Until it is answered. */
static void make_one(struct peer *peer)
{
	const double begun = now_ms();
	const nfsstat3 *status;
	unsigned losses = 0;

	while ((status = call(peer)) == NULL) {
		if (++losses > MAX_LOSSES)
			ck_abort_msg("the peer is not answered");
		peer->reconnected++;
		connect_to_it(peer);
	}
	if (*status != NFS3_OK)
		ck_abort_msg("a call of the peer failed: %d", *status);
	peer->times[peer->calls++] = now_ms() - begun;
}

static void *call_all_the_time(void *arg)
{
	struct peer *peer = arg;

	while (!atomic_load(&peer->over) && peer->calls < MAX_CALLS) {
		make_one(peer);
		usleep(REST_US);
	}
	return NULL;
}

void peer_begin(struct peer *peer)
{
	atomic_store(&peer->over, false);
	peer->calls = 0;
	peer->reconnected = 0;
	ck_assert_int_eq(pthread_create(&peer->thread, NULL, call_all_the_time,
	                                peer),
	                 0);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct peer_times peer_end(struct peer *peer)
{
	atomic_store(&peer->over, true);
	pthread_join(peer->thread, NULL);
	ck_assert_uint_gt(peer->calls, 0);
	qsort(peer->times, peer->calls, sizeof(*peer->times), compare);
	return (struct peer_times){
		.calls = peer->calls,
		.median = peer->times[peer->calls / 2],
		.p99 = peer->times[peer->calls * 99 / 100],
		.worst = peer->times[peer->calls - 1],
		.reconnected = peer->reconnected,
	};
}
