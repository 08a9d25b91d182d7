#include "config.h"

#include "rpc/output.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* What replies are packed into, and how many such one system call takes. */
#define PACKED (64u << 10)
#define IOVECS 64

static void append(struct orpc_output *output, struct orpc_buf *buf)
{
	buf->next = NULL;
	if (output->last)
		output->last->next = buf;
	else
		output->first = buf;
	output->last = buf;
}

struct orpc_buf *orpc_output_place(struct orpc_output *output,
                                   struct orpc_bufs *bufs, size_t size,
                                   size_t *at)
{
	struct orpc_buf *buf = output->last;

	if (!buf || buf->pipe || buf->cap - buf->len < size) {
		buf = orpc_bufs_take(bufs, size > PACKED ? size : PACKED);
		if (!buf)
			return NULL;
		append(output, buf);
	}
	*at = buf->len;
	return buf;
}

void orpc_output_commit(struct orpc_output *output, struct orpc_buf *buf,
                        size_t at, size_t len, struct orpc_pipe *pipe)
{
	if (buf != output->last) {
		buf->sent = at;
		append(output, buf);
	}
	buf->len = at + len;
	buf->pipe = pipe;
	output->queued += len + (pipe ? pipe->len : 0);
}

/* The first buffer is done with. */
static void let_go(struct orpc_output *output, struct orpc_bufs *bufs)
{
	struct orpc_buf *buf = output->first;

	output->first = buf->next;
	if (!output->first)
		output->last = NULL;
	orpc_pipe_put(buf->pipe);
	buf->pipe = NULL;
	orpc_bufs_put(bufs, buf);
}

void orpc_output_release(struct orpc_output *output, struct orpc_bufs *bufs)
{
	while (output->first)
		let_go(output, bufs);
	output->queued = 0;
}

/* The next `n` bytes are out: let go of the buffers that are done with. */
static void sent(struct orpc_output *output, struct orpc_bufs *bufs, size_t n)
{
	output->queued -= n;
	if (output->queued == 0) {
		orpc_output_release(output, bufs);
		return;
	}
	while (!output->first->pipe &&
	       output->first->len - output->first->sent <= n) {
		n -= output->first->len - output->first->sent;
		let_go(output, bufs);
	}
	output->first->sent += n;
}

/* One system call, for what is up to the next pipe. How much of what was offered is
 * left over; or -errno. */
static ssize_t send_bytes(struct orpc_output *output, struct orpc_bufs *bufs,
                          int fd)
{
	struct iovec iov[IOVECS];
	struct msghdr msg = { .msg_iov = iov };
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	size_t offered = 0;
	ssize_t n;

	for (struct orpc_buf *buf = output->first;
	     buf && msg.msg_iovlen < IOVECS && !(flags & MSG_MORE);
	     buf = buf->next) {
		struct iovec *part = &iov[msg.msg_iovlen++];

		part->iov_base = buf->data + buf->sent;
		part->iov_len = buf->len - buf->sent;
		offered += part->iov_len;
		if (buf->pipe)
			flags |= MSG_MORE;
	}
	n = sendmsg(fd, &msg, flags);
	if (n < 0)
		return -errno;
	sent(output, bufs, (size_t)n);
	return (ssize_t)offered - n;
}

/* The same of the pipe that is next. */
static ssize_t send_pipe(struct orpc_output *output, struct orpc_bufs *bufs,
                         int fd)
{
	struct orpc_pipe *pipe = output->first->pipe;
	ssize_t n = orpc_pipe_send(pipe, fd, output->queued > pipe->len);
	ssize_t left;

	if (n < 0)
		return n;
	left = (ssize_t)pipe->len;
	output->queued -= (size_t)n;
	if (left == 0)
		let_go(output, bufs);
	return left;
}

static bool is_at_pipe(const struct orpc_output *output)
{
	const struct orpc_buf *buf = output->first;

	return buf->pipe && buf->sent == buf->len;
}

int orpc_output_send(struct orpc_output *output, struct orpc_bufs *bufs, int fd)
{
	ssize_t left = 0;

	if (output->queued == 0)
		orpc_output_release(output, bufs); /* a place never used */
	/* What was sent in part would not be taken at once either. */
	while (output->queued > 0 && (left == 0 || left == -EINTR))
		left = is_at_pipe(output) ? send_pipe(output, bufs, fd)
		                          : send_bytes(output, bufs, fd);
	return left < 0 && left != -EAGAIN && left != -EINTR ? (int)left : 0;
}
