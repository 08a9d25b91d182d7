#include "config.h"

#include "overlay/map.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "overlay/heap.h"
#include "overlay/writer.h"

/*
 * A hash table in shards, so that threads seldom meet, and so that a table that
 * grows keeps only its own shard waiting.
 */
#define SHARDS 64
#define FIRST_BUCKETS 16
/* Rows a bucket, when full: those of a chain are in no cache. */
#define LOAD_MAX 1

/* What is in memory of a row: that it is, or with a file, that it is not. */
struct row {
	struct row *next;        /* in its bucket, newest first */
	TAILQ_ENTRY(row) queued; /* unless it is in flight */
	uint64_t hash;           /* of the fileid */
	uint64_t fileid;
	uint64_t parent;
	bool gone;
	bool sent;      /* in flight: `gone` as it is being written */
	bool in_flight; /* the writer has it, and it has not changed since */
	uint8_t len;
	char name[];
};

TAILQ_HEAD(queue, row);

struct shard {
	pthread_mutex_t lock; /* guards all of the shard */
	struct row **buckets;
	size_t nbuckets; /* 0, or a power of two */
	size_t count;
	size_t bytes; /* of its rows and buckets */
	/* Oldest first: what is to be written; where there is no file, all. */
	struct queue queue;
} __attribute__((aligned(64))); /* no two locks in one cache line */

struct ovl_map {
	struct shard shards[SHARDS];
	/* Inode numbers come from layers, which may be made to collide. */
	unsigned char key[crypto_shorthash_KEYBYTES];
	size_t max_bytes;          /* of a shard */
	struct ovl_writer *writer; /* held; NULL: no file */
	enum ovl_table table;
	/* What is being written; the writer's. */
	struct row **batch;
	size_t nbatch;

	pthread_mutex_t complete_lock; /* guards what follows */
	bool complete;
	unsigned losses, doubts;
};

struct ovl_map *ovl_map_new(struct ovl_writer *writer, enum ovl_table table,
                            size_t max_bytes)
{
	struct ovl_map *map;

	map = aligned_alloc(_Alignof(struct ovl_map), sizeof(*map));
	if (!map)
		return NULL;
	memset(map, 0, sizeof(*map));
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&map->shards[i].lock, NULL);
		TAILQ_INIT(&map->shards[i].queue);
	}
	pthread_mutex_init(&map->complete_lock, NULL);
	randombytes_buf(map->key, sizeof(map->key));
	map->max_bytes = max_bytes / SHARDS;
	map->table = table;
	map->writer = writer;
	if (writer)
		ovl_writer_join(writer, map, table);
	return map;
}

static void release_shard(struct shard *shard)
{
	struct row *row;

	for (size_t i = 0; i < shard->nbuckets; i++) {
		while ((row = shard->buckets[i])) {
			shard->buckets[i] = row->next;
			free(row);
		}
	}
	free(shard->buckets);
	pthread_mutex_destroy(&shard->lock);
}

void ovl_map_free(struct ovl_map *map)
{
	if (!map)
		return;
	if (map->writer)
		ovl_writer_leave(map->writer, map->table);
	for (unsigned i = 0; i < SHARDS; i++)
		release_shard(&map->shards[i]);
	pthread_mutex_destroy(&map->complete_lock);
	free(map);
}

/* ---- shards ------------------------------------------------------------------- */

/* The low bits choose the shard, those above them the bucket. */
static uint64_t hash_fileid(const struct ovl_map *map, uint64_t fileid)
{
	uint64_t hash;

	_Static_assert(crypto_shorthash_BYTES == sizeof(hash), "hash size");
	crypto_shorthash((unsigned char *)&hash, (unsigned char *)&fileid,
	                 sizeof(fileid), map->key);
	return hash;
}

static struct shard *lock_shard(struct ovl_map *map, uint64_t hash)
{
	struct shard *shard = &map->shards[hash % SHARDS];

	pthread_mutex_lock(&shard->lock);
	return shard;
}

static struct row **bucket_of(const struct shard *shard, uint64_t hash)
{
	return &shard->buckets[hash / SHARDS % shard->nbuckets];
}

/* The row that is `like` this one, and has that name, or NULL. */
static struct row *find_row(const struct shard *shard, const struct row *like,
                            const char *name)
{
	struct row *row = NULL;

	if (shard->nbuckets > 0)
		row = *bucket_of(shard, like->hash);
	for (; row; row = row->next) {
		if (row->hash == like->hash && row->fileid == like->fileid &&
		    row->parent == like->parent && row->len == like->len &&
		    !memcmp(row->name, name, row->len))
			break;
	}
	return row;
}

/*
 * Move the rows of one bucket into a table twice the size. They are taken from
 * the oldest to the newest, for each goes to the front of its bucket.
 */
static void move_rows(struct shard *to, struct row *row)
{
	struct row *reversed = NULL, *next, **bucket;

	for (; row; row = next) {
		next = row->next;
		row->next = reversed;
		reversed = row;
	}
	for (row = reversed; row; row = next) {
		next = row->next;
		bucket = bucket_of(to, row->hash);
		row->next = *bucket;
		*bucket = row;
	}
}

/* Double the buckets, if there is memory: longer chains work, too. */
static void grow(struct shard *shard)
{
	struct shard grown = { .nbuckets = shard->nbuckets * 2 };

	if (grown.nbuckets == 0)
		grown.nbuckets = FIRST_BUCKETS;
	grown.buckets = calloc(grown.nbuckets, sizeof(*grown.buckets));
	if (!grown.buckets)
		return;
	for (size_t i = 0; i < shard->nbuckets; i++)
		move_rows(&grown, shard->buckets[i]);
	free(shard->buckets);
	shard->bytes +=
		(grown.nbuckets - shard->nbuckets) * sizeof(*shard->buckets);
	shard->buckets = grown.buckets;
	shard->nbuckets = grown.nbuckets;
}

static size_t row_bytes(size_t len)
{
	return ovl_heap_bytes(offsetof(struct row, name) + len);
}

/* It is in no queue any more. */
static void remove_row(struct shard *shard, struct row *row)
{
	struct row **link = bucket_of(shard, row->hash);

	while (*link != row)
		link = &(*link)->next;
	*link = row->next;
	shard->count--;
	shard->bytes -= row_bytes(row->len);
	free(row);
}

static void remove_queued(struct shard *shard, struct row *row)
{
	TAILQ_REMOVE(&shard->queue, row, queued);
	remove_row(shard, row);
}

/*
 * Room for one more row. `*lost`: an older one had to go for it. False: there is
 * none, as what is to be written is not to be lost to something newer.
 */
static bool make_room(struct ovl_map *map, struct shard *shard, size_t len,
                      bool *lost)
{
	struct row *oldest;

	while (shard->bytes + row_bytes(len) > map->max_bytes) {
		oldest = TAILQ_FIRST(&shard->queue);
		if (map->writer || !oldest)
			return false;
		remove_queued(shard, oldest);
		*lost = true;
	}
	if (shard->count >= shard->nbuckets * LOAD_MAX)
		grow(shard);
	return shard->nbuckets > 0;
}

/* Put it where the writer, or who makes room, takes from. */
static void queue_row(struct ovl_map *map, struct shard *shard, struct row *row)
{
	bool first = TAILQ_EMPTY(&shard->queue);

	row->in_flight = false;
	TAILQ_INSERT_TAIL(&shard->queue, row, queued);
	if (first && map->writer)
		ovl_writer_wake(map->writer);
}

/* False: no room, or no memory. */
static bool add_row(struct ovl_map *map, struct shard *shard,
                    const struct row *like, const char *name, bool *lost)
{
	struct row *row, **bucket;

	if (!make_room(map, shard, like->len, lost))
		return false;
	row = malloc(offsetof(struct row, name) + like->len);
	if (!row)
		return false;
	memcpy(row, like, offsetof(struct row, name));
	memcpy(row->name, name, like->len);
	bucket = bucket_of(shard, row->hash);
	row->next = *bucket;
	*bucket = row;
	shard->count++;
	shard->bytes += row_bytes(row->len);
	queue_row(map, shard, row);
	return true;
}

/* ---- changing ------------------------------------------------------------------- */

/* It is to be, or not to be: what is in flight is to be written once more. */
static void turn(struct ovl_map *map, struct shard *shard, struct row *row,
                 bool gone)
{
	if (row->gone == gone)
		return;
	row->gone = gone;
	if (row->in_flight)
		queue_row(map, shard, row);
}

void ovl_map_put(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                 const char *name, size_t len)
{
	const struct row like = { .hash = hash_fileid(map, fileid),
		                  .fileid = fileid,
		                  .parent = parent,
		                  .len = (uint8_t)len };
	struct shard *shard = lock_shard(map, like.hash);
	struct row *row;
	bool lost = false;

	row = find_row(shard, &like, name);
	if (row)
		turn(map, shard, row, false);
	else if (!add_row(map, shard, &like, name, &lost))
		lost = true;
	pthread_mutex_unlock(&shard->lock);
	if (lost)
		ovl_map_lost(map);
}

void ovl_map_put_many(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                      const char *name, size_t len)
{
	struct shard *shard = &map->shards[hash_fileid(map, fileid) % SHARDS];
	bool full = map->writer;

	while (full) {
		pthread_mutex_lock(&shard->lock);
		full = shard->bytes > map->max_bytes / 2 && shard->count > 0;
		pthread_mutex_unlock(&shard->lock);
		if (full)
			ovl_writer_wait(map->writer);
	}
	ovl_map_put(map, fileid, parent, name, len);
}

void ovl_map_del(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                 const char *name, size_t len)
{
	const struct row like = { .hash = hash_fileid(map, fileid),
		                  .fileid = fileid,
		                  .parent = parent,
		                  .gone = true,
		                  .len = (uint8_t)len };
	struct shard *shard = lock_shard(map, like.hash);
	struct row *row;
	bool lost = false;

	row = find_row(shard, &like, name);
	if (row && !map->writer)
		remove_queued(shard, row);
	else if (row)
		turn(map, shard, row, true);
	else if (map->writer)
		/* Where there is no room, a row too many stays on disk. */
		add_row(map, shard, &like, name, &lost);
	pthread_mutex_unlock(&shard->lock);
}

/* ---- looking up ------------------------------------------------------------------ */

/* 0 or -ENOMEM. */
static int get_from_memory(struct ovl_map *map, uint64_t fileid,
                           struct ovl_rows *rows)
{
	uint64_t hash = hash_fileid(map, fileid);
	struct shard *shard = lock_shard(map, hash);
	const struct row *row = NULL;
	int err = 0;

	if (shard->nbuckets > 0)
		row = *bucket_of(shard, hash);
	for (; row && !err; row = row->next)
		if (row->fileid == fileid)
			err = ovl_rows_add(rows, row->parent, row->name,
			                   row->len, row->gone);
	pthread_mutex_unlock(&shard->lock);
	return err;
}

void ovl_map_get(struct ovl_map *map, uint64_t fileid, struct ovl_rows *rows)
{
	/* In this order: what has been written meanwhile is on disk by now. */
	int err = get_from_memory(map, fileid, rows);

	if (!err && map->writer)
		err = ovl_store_get(ovl_writer_store(map->writer), map->table,
		                    fileid, rows);
	if (err) {
		ovl_map_lost(map);
		if (map->writer)
			ovl_writer_wake(map->writer);
	}
	ovl_rows_settle(rows);
}

bool ovl_map_get_one(struct ovl_map *map, uint64_t fileid, uint64_t *parent,
                     char *name)
{
	struct ovl_rows rows = { 0 };
	bool found;

	ovl_map_get(map, fileid, &rows);
	found = rows.n > 0;
	if (found) {
		*parent = rows.row[0].parent;
		strcpy(name, rows.row[0].name);
	}
	ovl_rows_release(&rows);
	return found;
}

/* ---- complete or not --------------------------------------------------------------- */

void ovl_map_lost(struct ovl_map *map)
{
	pthread_mutex_lock(&map->complete_lock);
	map->complete = false;
	map->losses++;
	pthread_mutex_unlock(&map->complete_lock);
}

void ovl_map_doubt(struct ovl_map *map)
{
	pthread_mutex_lock(&map->complete_lock);
	map->complete = false;
	map->losses++;
	map->doubts++;
	pthread_mutex_unlock(&map->complete_lock);
}

unsigned ovl_map_doubts(struct ovl_map *map)
{
	unsigned doubts;

	pthread_mutex_lock(&map->complete_lock);
	doubts = map->doubts;
	pthread_mutex_unlock(&map->complete_lock);
	return doubts;
}

unsigned ovl_map_losses(struct ovl_map *map)
{
	unsigned losses;

	pthread_mutex_lock(&map->complete_lock);
	losses = map->losses;
	pthread_mutex_unlock(&map->complete_lock);
	return losses;
}

void ovl_map_walked(struct ovl_map *map, unsigned losses)
{
	pthread_mutex_lock(&map->complete_lock);
	if (map->losses == losses)
		map->complete = true;
	pthread_mutex_unlock(&map->complete_lock);
}

bool ovl_map_complete(struct ovl_map *map)
{
	bool complete;

	pthread_mutex_lock(&map->complete_lock);
	complete = map->complete;
	pthread_mutex_unlock(&map->complete_lock);
	return complete;
}

/* ---- writing ------------------------------------------------------------------------- */

/* In memory. */
static size_t count_rows(struct ovl_map *map)
{
	size_t count = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&map->shards[i].lock);
		count += map->shards[i].count;
		pthread_mutex_unlock(&map->shards[i].lock);
	}
	return count;
}

/* Up to `room` rows go on their way. False: some are left, that came meanwhile. */
static bool send_off(struct ovl_map *map, size_t room)
{
	struct shard *shard;
	struct row *row;
	bool all = true;

	for (unsigned i = 0; i < SHARDS; i++) {
		shard = &map->shards[i];
		pthread_mutex_lock(&shard->lock);
		while (map->nbatch < room &&
		       (row = TAILQ_FIRST(&shard->queue))) {
			TAILQ_REMOVE(&shard->queue, row, queued);
			row->in_flight = true;
			row->sent = row->gone;
			map->batch[map->nbatch++] = row;
		}
		if (!TAILQ_EMPTY(&shard->queue))
			all = false;
		pthread_mutex_unlock(&shard->lock);
	}
	return all;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = *(struct row *const *)a;
	const struct row *y = *(struct row *const *)b;

	return x->fileid < y->fileid ? -1 : x->fileid > y->fileid;
}

void ovl_map_write(struct ovl_map *map, struct ovl_store *store)
{
	size_t room = count_rows(map);

	map->nbatch = 0;
	map->batch = room ? malloc(room * sizeof(struct row *)) : NULL;
	/* Those who queued the rows left behind do not wake it once more. */
	if (!send_off(map, map->batch ? room : 0))
		ovl_writer_wake(map->writer);
	if (map->nbatch == 0)
		return;
	/* Neighbours share pages. */
	qsort(map->batch, map->nbatch, sizeof(struct row *), compare);
	for (size_t i = 0; i < map->nbatch; i++) {
		/* Nobody else changes or frees what is read here. */
		const struct row *row = map->batch[i];

		if (row->sent)
			ovl_store_del(store, map->table, row->fileid,
			              row->parent, row->name, row->len);
		else
			ovl_store_put(store, map->table, row->fileid,
			              row->parent, row->name, row->len);
	}
}

void ovl_map_written(struct ovl_map *map, int err)
{
	struct shard *shard;
	struct row *row;

	for (size_t i = 0; i < map->nbatch; i++) {
		row = map->batch[i];
		shard = lock_shard(map, row->hash);
		if (row->in_flight)
			remove_row(shard, row);
		pthread_mutex_unlock(&shard->lock);
	}
	free(map->batch);
	map->batch = NULL;
	map->nbatch = 0;
	if (err)
		ovl_map_lost(map);
}

/* ---- statistics ------------------------------------------------------------------------ */

uint64_t ovl_map_count(struct ovl_map *map)
{
	uint64_t count = count_rows(map);

	if (map->writer)
		count += ovl_store_count(ovl_writer_store(map->writer),
		                         map->table);
	return count;
}

size_t ovl_map_bytes(struct ovl_map *map)
{
	size_t bytes = sizeof(*map);

	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&map->shards[i].lock);
		bytes += map->shards[i].bytes;
		pthread_mutex_unlock(&map->shards[i].lock);
	}
	return bytes;
}

uint64_t ovl_map_file_bytes(struct ovl_map *map)
{
	return map->writer ? ovl_store_bytes(ovl_writer_store(map->writer)) : 0;
}
