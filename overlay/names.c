#include "config.h"

#include "overlay/names.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/heap.h"
#include "overlay/overlay.h"

#define HASH_BITS 59
#define TIE_BITS 4
#define TIES (1u << TIE_BITS)

/* Entries of a chunk: what a change in the middle moves, at most. */
#define CHUNK_MAX 128
/* Chunks grow by this many entries, so that little of them stands empty. */
#define CHUNK_STEP 8

_Static_assert(crypto_shorthash_KEYBYTES == OVL_KEY_BYTES, "key size");
_Static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "hash size");

/* The cookie is kept here too: searching a chunk touches no record. */
struct entry {
	uint64_t cookie;
	struct ovl_name *record;
};

/*
 * The names whose cookies are from `first` up to the next chunk's `first`. Never
 * empty. The bounds stay when names come and go: only splitting, merging and
 * freeing chunks touch the array of chunks. The first chunk starts at 0, so
 * that every cookie has its chunk.
 */
struct chunk {
	uint64_t first;
	struct entry *entries;
	uint32_t count, capacity;
};

/* Names up to this long are remembered with their hash. */
#define LAST_MAX 38

struct ovl_names {
	ovl_hash_fn *hash;
	const unsigned char *key;
	unsigned first_tie;
	/* The name asked for last, as who makes or removes one asks for it again
	 * and again: its first cookie, and, until the set changes, what find_name
	 * says. A length of 0: none. */
	struct {
		uint64_t first;
		struct ovl_name *record;
		uint16_t taken;
		bool is_found;
		uint8_t len;
		char name[LAST_MAX];
	} last;
	struct chunk *chunks;
	size_t nchunks, chunks_capacity;
	size_t count;
	size_t bytes;
};

uint64_t ovl_names_hash(const unsigned char *key, const char *name, size_t len)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t hash;

	crypto_shorthash(out, (const unsigned char *)name, len, key);
	memcpy(&hash, out, sizeof(hash));
	/* Cookies outlive the machine: the same ones on each byte order. */
	return le64toh(hash);
}

static size_t record_size(size_t len)
{
	return offsetof(struct ovl_name, name) + len + 1;
}

struct ovl_names *ovl_names_new(ovl_hash_fn *hash, const unsigned char *key,
                                unsigned first_tie)
{
	struct ovl_names *set;

	assert(first_tie < TIES);
	set = calloc(1, sizeof(*set));
	if (!set)
		return NULL;
	set->hash = hash;
	set->key = key;
	set->first_tie = first_tie;
	set->bytes = ovl_heap_bytes(sizeof(*set));
	return set;
}

void ovl_names_free(struct ovl_names *set)
{
	size_t i, j;

	if (!set)
		return;
	for (i = 0; i < set->nchunks; i++) {
		for (j = 0; j < set->chunks[i].count; j++)
			free(set->chunks[i].entries[j].record);
		free(set->chunks[i].entries);
	}
	free(set->chunks);
	free(set);
}

/* ---- places -------------------------------------------------------------- */

/* The chunk that `cookie` belongs to; there is one. */
static size_t find_chunk(const struct ovl_names *set, uint64_t cookie)
{
	size_t low = 0, high = set->nchunks, middle;

	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (set->chunks[middle].first <= cookie)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* How many entries of the chunk have a cookie that is not above this one. */
static size_t find_slot(const struct chunk *chunk, uint64_t cookie)
{
	size_t low = 0, high = chunk->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (chunk->entries[middle].cookie <= cookie)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ovl_names_iter ovl_names_iter(const struct ovl_names *set,
                                     uint64_t cookie)
{
	struct ovl_names_iter iter = { .set = set };

	if (set->nchunks > 0) {
		iter.chunk = find_chunk(set, cookie);
		iter.slot = find_slot(&set->chunks[iter.chunk], cookie);
	}
	return iter;
}

struct ovl_name *ovl_names_next(struct ovl_names_iter *iter)
{
	const struct ovl_names *set = iter->set;

	if (iter->chunk < set->nchunks &&
	    iter->slot == set->chunks[iter->chunk].count) {
		iter->chunk++;
		iter->slot = 0;
	}
	if (iter->chunk == set->nchunks)
		return NULL;
	return set->chunks[iter->chunk].entries[iter->slot++].record;
}

struct ovl_name *ovl_names_after(const struct ovl_names *set, uint64_t cookie)
{
	struct ovl_names_iter iter = ovl_names_iter(set, cookie);

	return ovl_names_next(&iter);
}

static uint64_t hash_name(const struct ovl_names *set, const char *name,
                          size_t len)
{
	uint64_t hash = set->hash(set->key, name, len);

	hash &= (UINT64_C(1) << HASH_BITS) - 1;
	if (hash == 0) /* cookies below 16 are spoken for */
		hash = 1;
	return hash << TIE_BITS;
}

/* The cookie that this name has with a tie of 0. */
static uint64_t first_cookie(struct ovl_names *set, const char *name,
                             size_t len)
{
	if (len == set->last.len && memcmp(set->last.name, name, len) == 0)
		return set->last.first;
	if (len > LAST_MAX)
		return hash_name(set, name, len);
	set->last.first = hash_name(set, name, len);
	set->last.is_found = false;
	set->last.len = (uint8_t)len;
	memcpy(set->last.name, name, len);
	return set->last.first;
}

static struct ovl_name *search(const struct ovl_names *set, uint64_t first,
                               const char *name, size_t len, uint16_t *taken)
{
	struct ovl_names_iter iter = ovl_names_iter(set, first - 1);
	struct ovl_name *record;

	*taken = 0;
	while ((record = ovl_names_next(&iter)) &&
	       record->cookie >> TIE_BITS == first >> TIE_BITS) {
		if (record->len == len && memcmp(record->name, name, len) == 0)
			return record;
		*taken |= (uint16_t)(1u << (record->cookie % TIES));
	}
	return NULL;
}

/*
 * The record of a name whose first cookie is `first`, as first_cookie has just said,
 * or NULL; `taken` gets a bit for each tie in use by names that come before it in
 * order.
 */
static struct ovl_name *find_name(struct ovl_names *set, uint64_t first,
                                  const char *name, size_t len, uint16_t *taken)
{
	if (len > LAST_MAX)
		return search(set, first, name, len, taken);
	if (!set->last.is_found)
		set->last.record =
			search(set, first, name, len, &set->last.taken);
	set->last.is_found = true;
	*taken = set->last.taken;
	return set->last.record;
}

struct ovl_name *ovl_names_find(struct ovl_names *set, const char *name,
                                size_t len)
{
	uint16_t taken;

	return find_name(set, first_cookie(set, name, len), name, len, &taken);
}

size_t ovl_names_count(const struct ovl_names *set)
{
	return set->count;
}

size_t ovl_names_bytes(const struct ovl_names *set)
{
	return set->bytes;
}

/* ---- chunks -------------------------------------------------------------- */

/* Give the chunk room for exactly `capacity` entries. 0 or -ENOMEM. */
static int resize_chunk(struct ovl_names *set, struct chunk *chunk,
                        size_t capacity)
{
	struct entry *entries;

	entries = reallocarray(chunk->entries, capacity, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	if (chunk->capacity > 0)
		set->bytes -=
			ovl_heap_bytes(chunk->capacity * sizeof(*entries));
	set->bytes += ovl_heap_bytes(capacity * sizeof(*entries));
	chunk->entries = entries;
	chunk->capacity = capacity;
	return 0;
}

/* Make room for one chunk more at `index`; it is filled in by the caller. */
static int insert_chunk(struct ovl_names *set, size_t index)
{
	size_t capacity = set->chunks_capacity;
	struct chunk *chunks;

	if (set->nchunks == capacity) {
		capacity += capacity / 2 + 1;
		chunks = reallocarray(set->chunks, capacity, sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
		set->bytes +=
			(capacity - set->chunks_capacity) * sizeof(*chunks);
		set->chunks = chunks;
		set->chunks_capacity = capacity;
	}
	memmove(&set->chunks[index + 1], &set->chunks[index],
	        (set->nchunks - index) * sizeof(*set->chunks));
	set->chunks[index] = (struct chunk){ 0 };
	set->nchunks++;
	return 0;
}

/* Drop the chunk at `index`, which has no entries left. */
static void remove_chunk(struct ovl_names *set, size_t index)
{
	struct chunk *chunk = &set->chunks[index];

	set->bytes -= ovl_heap_bytes(chunk->capacity * sizeof(*chunk->entries));
	free(chunk->entries);
	set->nchunks--;
	memmove(chunk, chunk + 1, (set->nchunks - index) * sizeof(*chunk));
	if (index == 0 && set->nchunks > 0)
		set->chunks[0].first = 0;
}

/* Part a full chunk in two. */
static int split_chunk(struct ovl_names *set, size_t index)
{
	const size_t half = CHUNK_MAX / 2;
	struct chunk upper = { 0 }, *lower;
	int ret;

	ret = resize_chunk(set, &upper, half + CHUNK_STEP);
	if (ret < 0)
		return ret;
	ret = insert_chunk(set, index + 1);
	if (ret < 0) {
		set->bytes -=
			ovl_heap_bytes(upper.capacity * sizeof(struct entry));
		free(upper.entries);
		return ret;
	}
	lower = &set->chunks[index];
	memcpy(upper.entries, &lower->entries[half],
	       half * sizeof(*upper.entries));
	upper.first = upper.entries[0].cookie;
	upper.count = half;
	lower->count = half;
	set->chunks[index + 1] = upper;
	/* Giving memory back may fail: then it is kept. */
	resize_chunk(set, lower, half + CHUNK_STEP);
	return 0;
}

/* The chunk that `cookie` belongs to, with room for it. NULL: no memory. */
static struct chunk *make_room(struct ovl_names *set, uint64_t cookie)
{
	struct chunk *chunk;
	size_t index;

	if (set->nchunks == 0 && insert_chunk(set, 0) < 0)
		return NULL;
	index = find_chunk(set, cookie);
	if (set->chunks[index].count == CHUNK_MAX) {
		if (split_chunk(set, index) < 0)
			return NULL;
		if (set->chunks[index + 1].first <= cookie)
			index++;
	}
	chunk = &set->chunks[index];
	if (chunk->count == chunk->capacity &&
	    resize_chunk(set, chunk, chunk->capacity + CHUNK_STEP) < 0) {
		if (chunk->count == 0) /* the one made above */
			set->nchunks = 0;
		return NULL;
	}
	return chunk;
}

/*
 * Move the entries of the chunk after `index` into it, where they fit well:
 * half a chunk, lest the next insertion part them again.
 */
static void merge_with_next(struct ovl_names *set, size_t index)
{
	struct chunk *chunk = &set->chunks[index], *next = chunk + 1;
	size_t count;

	if (index + 1 >= set->nchunks)
		return;
	count = chunk->count + next->count;
	if (count > CHUNK_MAX / 2)
		return;
	if (count > chunk->capacity && resize_chunk(set, chunk, count) < 0)
		return;
	memcpy(&chunk->entries[chunk->count], next->entries,
	       next->count * sizeof(*next->entries));
	chunk->count = count;
	remove_chunk(set, index + 1);
}

/* ---- changes ------------------------------------------------------------- */

/* A free cookie for a name, `wanted` if that may be; 0: none is free. */
static uint64_t choose_cookie(const struct ovl_names *set, uint64_t first,
                              uint64_t wanted, uint16_t taken)
{
	unsigned i, tie;

	if (wanted != 0 && !(taken & 1u << (wanted % TIES)))
		return wanted;
	for (i = 0; i < TIES; i++) {
		tie = (set->first_tie + i) % TIES;
		if (!(taken & 1u << tie))
			return first + tie;
	}
	return 0;
}

static int insert_record(struct ovl_names *set, struct ovl_name *record)
{
	struct chunk *chunk = make_room(set, record->cookie);
	size_t slot;

	if (!chunk)
		return -ENOMEM;
	slot = find_slot(chunk, record->cookie);
	memmove(&chunk->entries[slot + 1], &chunk->entries[slot],
	        (chunk->count - slot) * sizeof(*chunk->entries));
	chunk->entries[slot].cookie = record->cookie;
	chunk->entries[slot].record = record;
	chunk->count++;
	set->last.is_found = false;
	set->count++;
	set->bytes += ovl_heap_bytes(record_size(record->len));
	return 0;
}

int ovl_names_put(struct ovl_names *set, const char *name, size_t len,
                  uint64_t cookie, uint64_t fileid, uint16_t part, uint8_t type)
{
	uint64_t first = first_cookie(set, name, len);
	struct ovl_name *record;
	uint16_t taken;
	int ret;

	assert(len >= 1 && len <= UINT8_MAX);
	assert(cookie == 0 || cookie >> TIE_BITS == first >> TIE_BITS);

	record = find_name(set, first, name, len, &taken);
	if (record) {
		record->fileid = fileid;
		record->part = part;
		record->type = type;
		return 0;
	}
	cookie = choose_cookie(set, first, cookie, taken);
	if (cookie == 0)
		return -EOVERFLOW;
	record = malloc(record_size(len));
	if (!record)
		return -ENOMEM;
	record->cookie = cookie;
	record->fileid = fileid;
	record->part = part;
	record->type = type;
	record->len = len;
	memcpy(record->name, name, len);
	record->name[len] = '\0';
	ret = insert_record(set, record);
	if (ret < 0)
		free(record);
	return ret;
}

int ovl_names_del(struct ovl_names *set, const char *name, size_t len)
{
	struct ovl_name *record = ovl_names_find(set, name, len);
	struct chunk *chunk;
	size_t index, slot;

	if (!record)
		return -ENOENT;
	set->last.is_found = false;
	index = find_chunk(set, record->cookie);
	chunk = &set->chunks[index];
	slot = find_slot(chunk, record->cookie - 1);
	chunk->count--;
	memmove(&chunk->entries[slot], &chunk->entries[slot + 1],
	        (chunk->count - slot) * sizeof(*chunk->entries));
	set->count--;
	set->bytes -= ovl_heap_bytes(record_size(len));
	free(record);

	if (chunk->count == 0) {
		remove_chunk(set, index);
		return 0;
	}
	if (chunk->capacity - chunk->count > CHUNK_MAX / 4)
		resize_chunk(set, chunk, chunk->count + CHUNK_STEP);
	merge_with_next(set, index);
	if (index > 0)
		merge_with_next(set, index - 1);
	return 0;
}
