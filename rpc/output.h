/*
 * The replies that wait to be sent on one connection.
 *
 * A reply is encoded where it will be sent from: orpc_output_place says where
 * the next one goes, orpc_output_commit that it is there. Small replies lie one
 * behind the other in one buffer, a large one has its own, and one system call
 * sends them all.
 *
 * Not thread-safe: it belongs to the loop of its connection.
 */
#ifndef VENEER_RPC_OUTPUT_H
#define VENEER_RPC_OUTPUT_H

#include <stddef.h>

#include "rpc/buf.h"
#include "rpc/pipe.h"

struct orpc_output {
	struct orpc_buf *first, *last;
	size_t queued; /* bytes to be sent */
};

/*
 * Where a reply of up to `size` bytes may be encoded: at `*at` in the buffer
 * returned, which stays the output's. NULL: ENOMEM.
 */
struct orpc_buf *orpc_output_place(struct orpc_output *output,
                                   struct orpc_bufs *bufs, size_t size,
                                   size_t *at);

/*
 * A reply of `len` bytes is at `at` in `buf`: the place last given, or a buffer
 * of the caller's, whose reference is taken; and goes on in `pipe`, which is taken
 * as well, if that is not NULL.
 */
void orpc_output_commit(struct orpc_output *output, struct orpc_buf *buf,
                        size_t at, size_t len, struct orpc_pipe *pipe);

/* Send what the socket takes. 0, or -errno (not -EAGAIN). */
int orpc_output_send(struct orpc_output *output, struct orpc_bufs *bufs,
                     int fd);

void orpc_output_release(struct orpc_output *output, struct orpc_bufs *bufs);

#endif
