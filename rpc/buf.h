/*
 * Buffers for records and replies, of a few sizes, kept for reuse.
 *
 * A fresh megabyte costs more in page faults than the call it serves, so
 * buffers go back to a bounded store and not to malloc. Each event loop has a
 * store of its own; it takes no lock, and only that loop's thread may use it.
 * What a worker needs it makes with orpc_buf_new; the loop puts it into its
 * store when the reply is out, unless the loop has never needed so many: workers
 * take none from it, and theirs would pile up.
 *
 * A store has a bound on bytes: of what it gave out, what it keeps, and what it
 * promised. It never refuses a buffer for that: who is about to need one asks
 * orpc_bufs_fit first, and waits (conn_memory.c), or has what is to come promised
 * to him. Keeping gives way to both.
 *
 * A buffer is counted: a connection reads into it while calls that wait in the
 * pool have their arguments in it. The count is the loop's too.
 */
#ifndef VENEER_RPC_BUF_H
#define VENEER_RPC_BUF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define ORPC_BUF_SIZES 4

struct orpc_buf {
	struct orpc_buf *next; /* in a store, or in a queue of replies */
	size_t cap;            /* bytes in data */
	size_t sent, len;      /* replies: [sent, len) is still to be sent, */
	struct orpc_pipe
		*pipe; /* and then what is in there, if it is not NULL */
	unsigned refs;
	unsigned size; /* which of the store's sizes */
	_Alignas(16) unsigned char data[];
};

struct orpc_bufs {
	size_t cap[ORPC_BUF_SIZES]; /* ascending; the same in every store */
	unsigned nfree[ORPC_BUF_SIZES];
	unsigned missed[ORPC_BUF_SIZES]; /* takes that found none in `free` */
	struct orpc_buf *free[ORPC_BUF_SIZES];
	unsigned ahead; /* see record.h */
	size_t max;     /* bytes in all; SIZE_MAX until someone sets it */
	size_t promised;
	size_t kept; /* bytes in `free` */
	/* Bytes given out, by workers too; those and what is kept. Any thread may
	 * look: a buffer that comes or goes is counted in `held` at all times
	 * that it is in `used`. */
	atomic_size_t used, held;
};

/* A store whose largest buffer holds `largest` bytes. */
void orpc_bufs_init(struct orpc_bufs *bufs, size_t largest);
void orpc_bufs_release(struct orpc_bufs *bufs);

/* A buffer of `size` bytes or more, one reference; NULL: ENOMEM. */
struct orpc_buf *orpc_bufs_take(struct orpc_bufs *bufs, size_t size);

/* Give up one reference; the last puts the buffer back. NULL is fine. */
void orpc_bufs_put(struct orpc_bufs *bufs, struct orpc_buf *buf);

/* The same past the store: any thread may call these. */
struct orpc_buf *orpc_buf_new(struct orpc_bufs *bufs, size_t size);
void orpc_buf_free(struct orpc_bufs *bufs, struct orpc_buf *buf);

/* The bytes that a buffer of `size` bytes or more has; at most the largest. */
size_t orpc_bufs_size(const struct orpc_bufs *bufs, size_t size);
size_t orpc_bufs_largest(const struct orpc_bufs *bufs);

/* Would so many bytes more, given out or promised, be within the bound? */
bool orpc_bufs_fit(const struct orpc_bufs *bufs, size_t bytes);

/* Count bytes that will be needed, or need not be counted any longer. */
void orpc_bufs_promise(struct orpc_bufs *bufs, size_t bytes);
void orpc_bufs_release_promise(struct orpc_bufs *bufs, size_t bytes);

#endif
