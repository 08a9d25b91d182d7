/*
 * Pipes, through which the kernel passes the pages of a file on to a connection
 * without a copy of them (splice(2)): a megabyte that is copied into a buffer and
 * from there costs twice as much.
 *
 * They are few, and kept for reuse; where none is to be had, data are copied. What is
 * in one stands in the page cache, and counts as no memory of the server's.
 *
 * Thread-safe, but for what is said of one pipe: that belongs to who has it.
 */
#ifndef VENEER_RPC_PIPE_H
#define VENEER_RPC_PIPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What a pipe takes: as much as a user may give one, and pages of one file. */
#define ORPC_PIPE_BYTES (1u << 20)

struct orpc_pipe {
	struct orpc_pipes *owner;
	struct orpc_pipe *next; /* of those kept */
	int to, from;           /* what is put in, and what is taken out */
	size_t len;             /* bytes that are in it */
};

struct orpc_pipes {
	pthread_mutex_t lock;    /* guards what follows */
	struct orpc_pipe *first; /* kept: nothing is in them */
	unsigned n;              /* that there are */
};

void orpc_pipes_init(struct orpc_pipes *pipes);

/* All have been put back. */
void orpc_pipes_release(struct orpc_pipes *pipes);

/* An empty one; NULL: none is to be had. */
struct orpc_pipe *orpc_pipe_take(struct orpc_pipes *pipes);

/* Whatever may be in it is lost. NULL is fine. */
void orpc_pipe_put(struct orpc_pipe *pipe);

/*
 * Send what is in it to the socket `fd`, as far as that takes it (it is O_NONBLOCK).
 * How many bytes that were, or -errno. `more`: something follows at once.
 */
ssize_t orpc_pipe_send(struct orpc_pipe *pipe, int fd, bool more);

#endif
