#include "config.h"

#include "rpc/buf.h"

#include <assert.h>
#include <stdlib.h>

/* What a store keeps of each size, in bytes. */
#define KEPT_BYTES (8u << 20)

/* The sizes below the largest: four times one another. */
#define SMALLEST (16u << 10)

void orpc_bufs_init(struct orpc_bufs *bufs, size_t largest)
{
	size_t cap = SMALLEST;

	*bufs = (struct orpc_bufs){ 0 };
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
}

/* The smallest size that holds `need` bytes; ORPC_BUF_SIZES where none does. */
static unsigned size_for(const struct orpc_bufs *bufs, size_t need)
{
	unsigned i = 0;

	while (i < ORPC_BUF_SIZES && bufs->cap[i] < need)
		i++;
	return i;
}

static struct orpc_buf *make(const struct orpc_bufs *bufs, unsigned size)
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
	return buf;
}

struct orpc_buf *orpc_buf_new(const struct orpc_bufs *bufs, size_t need)
{
	return make(bufs, size_for(bufs, need));
}

struct orpc_buf *orpc_bufs_take(struct orpc_bufs *bufs, size_t need)
{
	unsigned size = size_for(bufs, need);
	struct orpc_buf *buf;

	if (size == ORPC_BUF_SIZES || !bufs->free[size])
		return make(bufs, size);
	buf = bufs->free[size];
	bufs->free[size] = buf->next;
	bufs->nfree[size]--;
	buf->next = NULL;
	buf->sent = buf->len = 0;
	buf->refs = 1;
	return buf;
}

void orpc_bufs_put(struct orpc_bufs *bufs, struct orpc_buf *buf)
{
	if (!buf)
		return;
	assert(buf->refs > 0);
	if (--buf->refs > 0)
		return;
	if (bufs->nfree[buf->size] >= KEPT_BYTES / buf->cap + 1) {
		free(buf);
		return;
	}
	buf->next = bufs->free[buf->size];
	bufs->free[buf->size] = buf;
	bufs->nfree[buf->size]++;
}

void orpc_buf_free(struct orpc_buf *buf)
{
	assert(!buf || buf->refs == 1);
	free(buf);
}
