#include "config.h"

#include "rpc/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

/* What a store keeps of each size, in bytes. */
#define KEPT_BYTES (8u << 20)

/* The sizes below the largest: four times one another. */
#define SMALLEST (16u << 10)

void orpc_bufs_init(struct orpc_bufs *bufs, size_t largest)
{
	size_t cap = SMALLEST;

	*bufs = (struct orpc_bufs){ .max = SIZE_MAX };
	for (unsigned i = 0; i < ORPC_BUF_SIZES; i++, cap *= 4)
		bufs->cap[i] = cap;
	/* The last is made to measure. */
	cap = bufs->cap[ORPC_BUF_SIZES - 2];
	bufs->cap[ORPC_BUF_SIZES - 1] = largest > cap ? largest : cap;
}

void orpc_bufs_release(struct orpc_bufs *bufs)
{
	for (unsigned i = 0; i < ORPC_BUF_SIZES; i++) {
		struct orpc_buf *buf = bufs->free[i];

		while (buf) {
			struct orpc_buf *next = buf->next;

			free(buf);
			buf = next;
		}
		bufs->free[i] = NULL;
		bufs->nfree[i] = 0;
	}
	atomic_fetch_sub(&bufs->held, bufs->kept);
	bufs->kept = 0;
}

/* The smallest size that holds `need` bytes; ORPC_BUF_SIZES where none does. */
static unsigned size_for(const struct orpc_bufs *bufs, size_t need)
{
	unsigned i = 0;

	while (i < ORPC_BUF_SIZES && bufs->cap[i] < need)
		i++;
	return i;
}

static struct orpc_buf *make(struct orpc_bufs *bufs, unsigned size)
{
	struct orpc_buf *buf;

	if (size == ORPC_BUF_SIZES)
		return NULL;
	buf = malloc(sizeof(*buf) + bufs->cap[size]);
	if (!buf)
		return NULL;
	*buf = (struct orpc_buf){ .cap = bufs->cap[size],
		                  .refs = 1,
		                  .size = size };
	atomic_fetch_add(&bufs->held, buf->cap);
	atomic_fetch_add(&bufs->used, buf->cap);
	return buf;
}

/* One that is neither used nor kept any more. */
static void destroy(struct orpc_bufs *bufs, struct orpc_buf *buf)
{
	atomic_fetch_sub(&bufs->held, buf->cap);
	free(buf);
}

struct orpc_buf *orpc_buf_new(struct orpc_bufs *bufs, size_t need)
{
	return make(bufs, size_for(bufs, need));
}

/* Take one that is kept. */
static struct orpc_buf *unkeep(struct orpc_bufs *bufs, unsigned size)
{
	struct orpc_buf *buf = bufs->free[size];

	bufs->free[size] = buf->next;
	bufs->nfree[size]--;
	bufs->kept -= buf->cap;
	return buf;
}

/* Keep less, where `bytes` more do not fit otherwise: large ones go first. */
static void give_way(struct orpc_bufs *bufs, size_t bytes)
{
	unsigned size = ORPC_BUF_SIZES;

	while (size-- > 0) {
		while (bufs->free[size] &&
		       !orpc_bufs_fit(bufs, bytes + bufs->kept)) {
			destroy(bufs, unkeep(bufs, size));
			if (bufs->missed[size] > 0)
				bufs->missed[size]--;
		}
	}
}

struct orpc_buf *orpc_bufs_take(struct orpc_bufs *bufs, size_t need)
{
	unsigned size = size_for(bufs, need);
	struct orpc_buf *buf;

	if (size == ORPC_BUF_SIZES)
		return NULL;
	if (!bufs->free[size]) {
		give_way(bufs, bufs->cap[size]);
		bufs->missed[size]++;
		return make(bufs, size);
	}
	buf = unkeep(bufs, size);
	atomic_fetch_add(&bufs->used, buf->cap);
	buf->next = NULL;
	buf->sent = buf->len = 0;
	buf->pipe = NULL;
	buf->refs = 1;
	return buf;
}

/* Whether the loop may need one more of that size than are kept. */
static bool has_use(const struct orpc_bufs *bufs, unsigned size)
{
	return bufs->nfree[size] <= bufs->missed[size] &&
	       bufs->nfree[size] < KEPT_BYTES / bufs->cap[size] + 1;
}

void orpc_bufs_put(struct orpc_bufs *bufs, struct orpc_buf *buf)
{
	if (!buf)
		return;
	assert(buf->refs > 0);
	if (--buf->refs > 0)
		return;
	atomic_fetch_sub(&bufs->used, buf->cap);
	if (!has_use(bufs, buf->size) ||
	    !orpc_bufs_fit(bufs, buf->cap + bufs->kept)) {
		destroy(bufs, buf);
		return;
	}
	bufs->kept += buf->cap;
	buf->next = bufs->free[buf->size];
	bufs->free[buf->size] = buf;
	bufs->nfree[buf->size]++;
}

void orpc_buf_free(struct orpc_bufs *bufs, struct orpc_buf *buf)
{
	if (!buf)
		return;
	assert(buf->refs == 1);
	atomic_fetch_sub(&bufs->used, buf->cap);
	destroy(bufs, buf);
}

size_t orpc_bufs_size(const struct orpc_bufs *bufs, size_t need)
{
	unsigned size = size_for(bufs, need);

	return size < ORPC_BUF_SIZES ? bufs->cap[size]
	                             : orpc_bufs_largest(bufs);
}

size_t orpc_bufs_largest(const struct orpc_bufs *bufs)
{
	return bufs->cap[ORPC_BUF_SIZES - 1];
}

bool orpc_bufs_fit(const struct orpc_bufs *bufs, size_t bytes)
{
	size_t taken = atomic_load_explicit(&bufs->used, memory_order_relaxed) +
	               bufs->promised;

	return taken <= bufs->max && bytes <= bufs->max - taken;
}

void orpc_bufs_promise(struct orpc_bufs *bufs, size_t bytes)
{
	give_way(bufs, bytes);
	bufs->promised += bytes;
}

void orpc_bufs_release_promise(struct orpc_bufs *bufs, size_t bytes)
{
	assert(bytes <= bufs->promised);
	bufs->promised -= bytes;
}
