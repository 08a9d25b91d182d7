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

	if (!buf || buf->cap - buf->len < size) {
		buf = orpc_bufs_take(bufs, size > PACKED ? size : PACKED);
		if (!buf)
			return NULL;
		append(output, buf);
	}
	*at = buf->len;
	return buf;
}

void orpc_output_commit(struct orpc_output *output, struct orpc_buf *buf,
                        size_t at, size_t len)
{
	if (buf != output->last) {
		buf->sent = at;
		append(output, buf);
	}
	buf->len = at + len;
	output->queued += len;
}

void orpc_output_release(struct orpc_output *output, struct orpc_bufs *bufs)
{
	while (output->first) {
		struct orpc_buf *buf = output->first;

		output->first = buf->next;
		orpc_bufs_put(bufs, buf);
	}
	*output = (struct orpc_output){ 0 };
}

/* The next `n` bytes are out: let go of the buffers that are done with. */
static void sent(struct orpc_output *output, struct orpc_bufs *bufs, size_t n)
{
	output->queued -= n;
	if (output->queued == 0) {
		orpc_output_release(output, bufs);
		return;
	}
	while (output->first->len - output->first->sent <= n) {
		struct orpc_buf *buf = output->first;

		n -= buf->len - buf->sent;
		output->first = buf->next;
		orpc_bufs_put(bufs, buf);
	}
	output->first->sent += n;
}

/* One system call. How much of what was offered is left over; or -errno. */
static ssize_t send_some(struct orpc_output *output, struct orpc_bufs *bufs,
                         int fd)
{
	struct iovec iov[IOVECS];
	struct msghdr msg = { .msg_iov = iov };
	size_t offered = 0;
	ssize_t n;

	for (struct orpc_buf *buf = output->first;
	     buf && msg.msg_iovlen < IOVECS; buf = buf->next) {
		struct iovec *part = &iov[msg.msg_iovlen++];

		part->iov_base = buf->data + buf->sent;
		part->iov_len = buf->len - buf->sent;
		offered += part->iov_len;
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	sent(output, bufs, (size_t)n);
	return (ssize_t)offered - n;
}

int orpc_output_send(struct orpc_output *output, struct orpc_bufs *bufs, int fd)
{
	ssize_t left = 0;

	if (output->queued == 0)
		orpc_output_release(output, bufs); /* a place never used */
	/* What was sent in part would not be taken at once either. */
	while (output->queued > 0 && (left == 0 || left == -EINTR))
		left = send_some(output, bufs, fd);
	return left < 0 && left != -EAGAIN && left != -EINTR ? (int)left : 0;
}
