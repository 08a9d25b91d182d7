#include "config.h"

#include "overlay/map.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/heap.h"

/*
 * A hash table in shards, so that threads seldom meet, and so that a table that
 * grows keeps only its own shard waiting.
 */
#define SHARDS 64
#define FIRST_BUCKETS 16
/* Rows a bucket, when full: rows are many, and look-ups of them rare. */
#define LOAD_MAX 2

struct row {
	struct row *next; /* in its bucket, newest first */
	uint64_t fileid;
	uint64_t parent;
	char name[]; /* terminated */
};

struct shard {
	pthread_mutex_t lock; /* guards all of the shard */
	struct row **buckets;
	size_t nbuckets; /* 0, or a power of two */
	size_t count;
	size_t bytes;           /* of its rows */
} __attribute__((aligned(64))); /* no two locks in one cache line */

struct ovl_map {
	struct shard shards[SHARDS];
	/* Inode numbers come from layers, which may be made to collide. */
	unsigned char key[crypto_shorthash_KEYBYTES];
	atomic_bool complete;
};

struct ovl_map *ovl_map_new(void)
{
	struct ovl_map *map;
	unsigned i;

	map = aligned_alloc(_Alignof(struct ovl_map), sizeof(*map));
	if (!map)
		return NULL;
	memset(map, 0, sizeof(*map));
	for (i = 0; i < SHARDS; i++)
		pthread_mutex_init(&map->shards[i].lock, NULL);
	randombytes_buf(map->key, sizeof(map->key));
	atomic_init(&map->complete, false);
	return map;
}

static void release_shard(struct shard *shard)
{
	struct row *row;
	size_t i;

	for (i = 0; i < shard->nbuckets; i++) {
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
	unsigned i;

	if (!map)
		return;
	for (i = 0; i < SHARDS; i++)
		release_shard(&map->shards[i]);
	free(map);
}

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

/* The link to that row, or NULL. */
static struct row **find_row(const struct shard *shard, uint64_t hash,
                             uint64_t fileid, uint64_t parent, const char *name,
                             size_t len)
{
	struct row **link;

	if (shard->nbuckets == 0)
		return NULL;
	for (link = bucket_of(shard, hash); *link; link = &(*link)->next) {
		if ((*link)->fileid == fileid && (*link)->parent == parent &&
		    strncmp((*link)->name, name, len) == 0 &&
		    (*link)->name[len] == '\0')
			return link;
	}
	return NULL;
}

/*
 * Move the rows of one bucket into a table twice the size. They are taken from
 * the oldest to the newest, for each goes to the front of its bucket.
 */
static void move_rows(struct ovl_map *map, struct shard *to, struct row *row)
{
	struct row *reversed = NULL, *next, **bucket;

	for (; row; row = next) {
		next = row->next;
		row->next = reversed;
		reversed = row;
	}
	for (row = reversed; row; row = next) {
		next = row->next;
		bucket = bucket_of(to, hash_fileid(map, row->fileid));
		row->next = *bucket;
		*bucket = row;
	}
}

/* Double the buckets, if there is memory: longer chains work, too. */
static void grow(struct ovl_map *map, struct shard *shard)
{
	struct shard grown = { .nbuckets = shard->nbuckets * 2 };
	size_t i;

	if (grown.nbuckets == 0)
		grown.nbuckets = FIRST_BUCKETS;
	grown.buckets = calloc(grown.nbuckets, sizeof(*grown.buckets));
	if (!grown.buckets)
		return;
	for (i = 0; i < shard->nbuckets; i++)
		move_rows(map, &grown, shard->buckets[i]);
	free(shard->buckets);
	shard->buckets = grown.buckets;
	shard->nbuckets = grown.nbuckets;
}

static size_t row_size(size_t len)
{
	return offsetof(struct row, name) + len + 1;
}

/* Put a new row in front of its bucket. 0 or -ENOMEM. */
static int insert_row(struct ovl_map *map, struct shard *shard, uint64_t hash,
                      struct row *row)
{
	struct row **bucket;

	if (shard->count >= shard->nbuckets * LOAD_MAX)
		grow(map, shard);
	if (shard->nbuckets == 0)
		return -ENOMEM;
	bucket = bucket_of(shard, hash);
	row->next = *bucket;
	*bucket = row;
	shard->count++;
	shard->bytes += ovl_heap_bytes(row_size(strlen(row->name)));
	return 0;
}

int ovl_map_put(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                const char *name, size_t len)
{
	uint64_t hash = hash_fileid(map, fileid);
	struct shard *shard = lock_shard(map, hash);
	struct row *row = NULL;
	int ret = 0;

	if (find_row(shard, hash, fileid, parent, name, len))
		goto out;
	ret = -ENOMEM;
	row = malloc(row_size(len));
	if (!row)
		goto out;
	row->fileid = fileid;
	row->parent = parent;
	memcpy(row->name, name, len);
	row->name[len] = '\0';
	ret = insert_row(map, shard, hash, row);
	if (ret == 0)
		row = NULL;
out:
	pthread_mutex_unlock(&shard->lock);
	free(row);
	return ret;
}

void ovl_map_del(struct ovl_map *map, uint64_t fileid, uint64_t parent,
                 const char *name, size_t len)
{
	uint64_t hash = hash_fileid(map, fileid);
	struct shard *shard = lock_shard(map, hash);
	struct row **link, *row = NULL;

	link = find_row(shard, hash, fileid, parent, name, len);
	if (link) {
		row = *link;
		*link = row->next;
		shard->count--;
		shard->bytes -= ovl_heap_bytes(row_size(len));
	}
	pthread_mutex_unlock(&shard->lock);
	free(row);
}

bool ovl_map_get(struct ovl_map *map, uint64_t fileid, unsigned index,
                 uint64_t *parent, char *name)
{
	uint64_t hash = hash_fileid(map, fileid);
	struct shard *shard = lock_shard(map, hash);
	const struct row *row = NULL;

	if (shard->nbuckets > 0)
		row = *bucket_of(shard, hash);
	for (; row; row = row->next) {
		if (row->fileid == fileid && index-- == 0)
			break;
	}
	if (row) {
		*parent = row->parent;
		strcpy(name, row->name);
	}
	pthread_mutex_unlock(&shard->lock);
	return row != NULL;
}

void ovl_map_set_complete(struct ovl_map *map, bool complete)
{
	atomic_store(&map->complete, complete);
}

bool ovl_map_complete(struct ovl_map *map)
{
	return atomic_load(&map->complete);
}

size_t ovl_map_count(struct ovl_map *map)
{
	size_t count = 0;
	unsigned i;

	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&map->shards[i].lock);
		count += map->shards[i].count;
		pthread_mutex_unlock(&map->shards[i].lock);
	}
	return count;
}

size_t ovl_map_bytes(struct ovl_map *map)
{
	size_t bytes = sizeof(*map);
	struct shard *shard;
	unsigned i;

	for (i = 0; i < SHARDS; i++) {
		shard = &map->shards[i];
		pthread_mutex_lock(&shard->lock);
		bytes += shard->bytes +
		         shard->nbuckets * sizeof(*shard->buckets);
		pthread_mutex_unlock(&shard->lock);
	}
	return bytes;
}
