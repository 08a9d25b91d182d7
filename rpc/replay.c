#include "config.h"

#include "rpc/replay.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * Arguments up to ARGS_WHOLE bytes are told apart by all of them, which are most
 * but those of WRITE; longer ones by so many, and their length. What a WRITE has
 * beyond costs more to look at than it tells: its file, offset and length are in
 * front.
 */
#define ARGS_WHOLE 1024
#define ARGS_TOLD 512

/*
 * Keys are spread over so many parts, each with a lock and a share of the bounds
 * of its own, lest loops wait for each other. Few replies need only one.
 */
#define PARTS 16
#define FEW 1024

/* What the allocator adds to each of the two pieces of a kept reply. */
#define PIECE 16

/*
 * What makes two calls the same. Not the port: a new connection has another
 * one. Of the credential what it says, and not its bytes, as they may have a
 * stamp that is new each time a call is encoded, as older Linuxes do it.
 */
struct key {
	unsigned char address[16];
	uint32_t family, scope;
	uint32_t xid, prog, vers, proc;
	uint64_t len;        /* of the arguments */
	uint64_t cred, args; /* checksums */
};

_Static_assert(sizeof(struct key) == 16 + 6 * 4 + 3 * 8,
               "no byte of a key is left undefined");

enum state { RUNS, DONE, ABANDONED };

/* In this order: of one that is old, or not the one looked for, the first cache line
 * is needed, and the key is not. */
struct orpc_replay {
	STAILQ_ENTRY(orpc_replay) in_kept;
	SLIST_ENTRY(orpc_replay) in_bucket;
	struct bucket *bucket;
	struct part *part;
	uint32_t tag;     /* of the hash */
	atomic_uint refs; /* the table's, the runner's, and of each joiner */
	/* The rest is guarded by the lock of the part, while it runs; then
	 * state and reply are constant. */
	unsigned char *reply;
	uint32_t len;
	enum state state;
	LIST_HEAD(, orpc_joiner) joiners;
	struct key key;
};

_Static_assert(offsetof(struct orpc_replay, key) <= 64, "one cache line");

/* Mostly empty, and with one way only, as others in it are in no cache. */
SLIST_HEAD(bucket, orpc_replay);
#define BUCKETS_A_REPLY 2

struct part {
	struct orpc_replays *replays;
	pthread_mutex_t lock; /* all below */
	struct bucket *buckets;
	STAILQ_HEAD(, orpc_replay) kept; /* oldest first */
	size_t nkept, bytes;
	uint64_t hits, joins, misses;
};

struct orpc_replays {
	unsigned char secret[crypto_shorthash_KEYBYTES];
	size_t max_replies, max_bytes; /* of each part */
	size_t nbuckets;               /* of each part, a power of two */
	unsigned max_joined;
	atomic_uint njoined;
	size_t nparts;
	struct part parts[];
};

/* ---- keys ----------------------------------------------------------------- */

/* Keyed, so that nobody can make calls of one sum. */
static uint64_t sum(const struct orpc_replays *replays, const void *data,
                    size_t len)
{
	uint64_t value;

	_Static_assert(sizeof(value) == crypto_shorthash_BYTES, "as it is");
	crypto_shorthash((unsigned char *)&value, data, len, replays->secret);
	return value;
}

static void set_address(struct key *key, const struct sockaddr *peer)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

	key->family = peer->sa_family;
	if (peer->sa_family == AF_INET) {
		memcpy(key->address, &in->sin_addr, sizeof(in->sin_addr));
	} else if (peer->sa_family == AF_INET6) {
		memcpy(key->address, &in6->sin6_addr, sizeof(in6->sin6_addr));
		key->scope = in6->sin6_scope_id;
	}
}

static struct key make_key(const struct orpc_replays *replays,
                           const struct orpc_call *call,
                           const unsigned char *args, size_t len)
{
	const struct orpc_cred *cred = &call->cred;
	struct key key = { .xid = call->xid,
		           .prog = call->prog,
		           .vers = call->vers,
		           .proc = call->proc,
		           .len = len };

	set_address(&key, call->peer);
	key.cred = sum(replays, cred,
	               offsetof(struct orpc_cred, gids) +
	                       cred->ngids * sizeof(cred->gids[0]));
	key.args = sum(replays, args, len <= ARGS_WHOLE ? len : ARGS_TOLD);
	return key;
}

/* ---- all of them ---------------------------------------------------------- */

static size_t count_buckets(size_t replies)
{
	size_t n = 16;

	while (n < BUCKETS_A_REPLY * replies &&
	       n < SIZE_MAX / 2 / sizeof(struct bucket))
		n *= 2;
	return n;
}

int orpc_replays_new(size_t max_replies, size_t max_bytes, unsigned max_joined,
                     struct orpc_replays **result)
{
	/* More than the bytes allow will never be kept. */
	const size_t most = max_bytes / sizeof(struct orpc_replay) + 1;
	const size_t replies = max_replies < most ? max_replies : most;
	const size_t nparts = replies < FEW ? 1 : PARTS;
	struct orpc_replays *replays;

	replays = calloc(1,
	                 sizeof(*replays) + nparts * sizeof(replays->parts[0]));
	if (!replays)
		return -ENOMEM;
	randombytes_buf(replays->secret, sizeof(replays->secret));
	replays->max_replies = replies / nparts;
	replays->max_bytes = max_bytes / nparts;
	replays->max_joined = max_joined;
	replays->nbuckets = count_buckets(replays->max_replies);
	for (; replays->nparts < nparts; replays->nparts++) {
		struct part *part = &replays->parts[replays->nparts];

		part->buckets =
			calloc(replays->nbuckets, sizeof(part->buckets[0]));
		if (!part->buckets) {
			orpc_replays_free(replays);
			return -ENOMEM;
		}
		part->replays = replays;
		pthread_mutex_init(&part->lock, NULL);
		STAILQ_INIT(&part->kept);
	}
	*result = replays;
	return 0;
}

void orpc_replay_unref(struct orpc_replay *replay)
{
	if (atomic_fetch_sub(&replay->refs, 1) > 1)
		return;
	free(replay->reply);
	free(replay);
}

/* What a kept reply takes. */
static size_t size_of(const struct orpc_replay *replay)
{
	return sizeof(*replay) + replay->len + 2 * PIECE +
	       2 * BUCKETS_A_REPLY * sizeof(struct bucket);
}

/* The lock is held. */
static void keep(struct orpc_replay *replay)
{
	STAILQ_INSERT_TAIL(&replay->part->kept, replay, in_kept);
	replay->part->nkept++;
	replay->part->bytes += size_of(replay);
}

/* Take it out of the table; the lock is held. */
static void forget(struct orpc_replay *replay)
{
	SLIST_REMOVE(replay->bucket, replay, orpc_replay, in_bucket);
	orpc_replay_unref(replay);
}

/* The lock is held. */
static void forget_oldest(struct part *part)
{
	struct orpc_replay *replay = STAILQ_FIRST(&part->kept);

	STAILQ_REMOVE_HEAD(&part->kept, in_kept);
	part->nkept--;
	part->bytes -= size_of(replay);
	forget(replay);
	/* The next ones are in no cache any more: on their way until it is theirs
	 * to go. */
	replay = STAILQ_FIRST(&part->kept);
	if (replay) {
		__builtin_prefetch(replay->bucket);
		__builtin_prefetch(STAILQ_NEXT(replay, in_kept));
	}
}

/* The lock is held. */
static void forget_what_is_too_much(struct part *part)
{
	const struct orpc_replays *replays = part->replays;

	while (part->nkept > replays->max_replies ||
	       (part->nkept > 0 && part->bytes > replays->max_bytes))
		forget_oldest(part);
}

void orpc_replays_free(struct orpc_replays *replays)
{
	if (!replays)
		return;
	assert(replays->njoined == 0);
	for (size_t i = 0; i < replays->nparts; i++) {
		struct part *part = &replays->parts[i];

		while (!STAILQ_EMPTY(&part->kept))
			forget_oldest(part);
		free(part->buckets);
		pthread_mutex_destroy(&part->lock);
	}
	free(replays);
}

void orpc_replays_stats(struct orpc_replays *replays, struct orpc_stats *stats)
{
	for (size_t i = 0; i < replays->nparts; i++) {
		struct part *part = &replays->parts[i];

		pthread_mutex_lock(&part->lock);
		stats->replay_hits += part->hits;
		stats->replay_joins += part->joins;
		stats->replay_misses += part->misses;
		stats->replay_entries += part->nkept;
		stats->replay_bytes += part->bytes;
		pthread_mutex_unlock(&part->lock);
	}
}

/* ---- a call --------------------------------------------------------------- */

static struct orpc_replay *make(struct part *part, struct bucket *bucket,
                                uint32_t tag, const struct key *key)
{
	struct orpc_replay *replay = malloc(sizeof(*replay));

	if (!replay)
		return NULL;
	*replay = (struct orpc_replay){ .part = part,
		                        .bucket = bucket,
		                        .tag = tag,
		                        .key = *key,
		                        .refs = 2,
		                        .state = RUNS };
	return replay;
}

static struct orpc_replay *find(const struct bucket *bucket, uint32_t tag,
                                const struct key *key)
{
	struct orpc_replay *replay = SLIST_FIRST(bucket);

	while (replay &&
	       (replay->tag != tag || memcmp(&replay->key, key, sizeof(*key))))
		replay = SLIST_NEXT(replay, in_bucket);
	return replay;
}

enum orpc_replay_state orpc_replay_begin(struct orpc_replays *replays,
                                         const struct orpc_call *call,
                                         const unsigned char *args, size_t len,
                                         struct orpc_replay **result,
                                         unsigned char *reply,
                                         size_t *reply_len)
{
	struct key key = make_key(replays, call, args, len);
	uint64_t hash = sum(replays, &key, sizeof(key));
	struct part *part = &replays->parts[hash % replays->nparts];
	struct bucket *bucket =
		&part->buckets[(hash >> 32) & (replays->nbuckets - 1)];
	const uint32_t tag = (uint32_t)hash;
	struct orpc_replay *new = make(part, bucket, tag, &key), *old;
	enum orpc_replay_state state = ORPC_REPLAY_NO_MEMORY;

	pthread_mutex_lock(&part->lock);
	old = find(bucket, tag, &key);
	if (old && old->state == DONE) {
		state = ORPC_REPLAY_DONE;
		memcpy(reply, old->reply, old->len);
		*reply_len = old->len;
		part->hits++;
	} else if (old) {
		state = ORPC_REPLAY_RUNS;
		atomic_fetch_add(&old->refs, 1);
		*result = old;
		part->joins++;
	} else if (new) {
		state = ORPC_REPLAY_FIRST;
		SLIST_INSERT_HEAD(bucket, new, in_bucket);
		*result = new;
		new = NULL;
		part->misses++;
	}
	pthread_mutex_unlock(&part->lock);
	free(new);
	return state;
}

/* It runs no longer: tell who has joined. */
static void conclude(struct orpc_replay *replay, enum state state, bool kept)
{
	struct part *part = replay->part;
	struct orpc_joiner *joiner, *next;

	pthread_mutex_lock(&part->lock);
	replay->state = state;
	joiner = LIST_FIRST(&replay->joiners);
	if (kept) {
		keep(replay);
		forget_what_is_too_much(part);
	} else {
		forget(replay);
	}
	pthread_mutex_unlock(&part->lock);
	/* None can leave or join any more; each may go when its task has run. */
	for (; joiner; joiner = next) {
		next = LIST_NEXT(joiner, others);
		orpc_loop_post(joiner->loop, &joiner->task);
	}
	orpc_replay_unref(replay);
}

void orpc_replay_end(struct orpc_replay *replay, const unsigned char *reply,
                     size_t len, bool kept)
{
	unsigned char *copy = malloc(len);

	if (!copy) {
		orpc_replay_abandon(replay);
		return;
	}
	/* Nobody looks at it before it is done. */
	replay->reply = memcpy(copy, reply, len);
	replay->len = (uint32_t)len;
	conclude(replay, DONE, kept);
}

void orpc_replay_abandon(struct orpc_replay *replay)
{
	conclude(replay, ABANDONED, false);
}

/* ---- one that joins it ---------------------------------------------------- */

static bool may_join(struct orpc_replays *replays, bool must)
{
	if (atomic_fetch_add(&replays->njoined, 1) < replays->max_joined ||
	    must)
		return true;
	atomic_fetch_sub(&replays->njoined, 1);
	return false;
}

bool orpc_replay_join(struct orpc_replay *replay, struct orpc_joiner *joiner,
                      bool must)
{
	bool runs;

	if (!may_join(replay->part->replays, must))
		return false;
	joiner->replay = replay;
	pthread_mutex_lock(&replay->part->lock);
	runs = replay->state == RUNS;
	if (runs)
		LIST_INSERT_HEAD(&replay->joiners, joiner, others);
	pthread_mutex_unlock(&replay->part->lock);
	if (!runs)
		orpc_loop_post(joiner->loop, &joiner->task);
	return true;
}

const unsigned char *orpc_joiner_reply(const struct orpc_joiner *joiner,
                                       size_t *len)
{
	const struct orpc_replay *replay = joiner->replay;

	*len = replay->len;
	return replay->state == DONE ? replay->reply : NULL;
}

void orpc_replay_part(struct orpc_joiner *joiner)
{
	atomic_fetch_sub(&joiner->replay->part->replays->njoined, 1);
	orpc_replay_unref(joiner->replay);
	joiner->replay = NULL;
}

bool orpc_replay_leave(struct orpc_joiner *joiner)
{
	struct part *part = joiner->replay->part;
	bool runs;

	pthread_mutex_lock(&part->lock);
	runs = joiner->replay->state == RUNS;
	if (runs)
		LIST_REMOVE(joiner, others);
	pthread_mutex_unlock(&part->lock);
	if (runs)
		orpc_replay_part(joiner);
	return runs;
}
