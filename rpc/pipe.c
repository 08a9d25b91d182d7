#include "config.h"

#include "rpc/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* All of a user's together may be 64 MiB, unless he has privileges (pipe(7)). */
#define PIPES 32

void orpc_pipes_init(struct orpc_pipes *pipes)
{
	*pipes = (struct orpc_pipes){ 0 };
	pthread_mutex_init(&pipes->lock, NULL);
}

static void close_pipe(struct orpc_pipe *pipe)
{
	close(pipe->to);
	close(pipe->from);
	free(pipe);
}

void orpc_pipes_release(struct orpc_pipes *pipes)
{
	while (pipes->first) {
		struct orpc_pipe *pipe = pipes->first;

		pipes->first = pipe->next;
		close_pipe(pipe);
	}
	pthread_mutex_destroy(&pipes->lock);
}

static struct orpc_pipe *make(struct orpc_pipes *pipes)
{
	struct orpc_pipe *pipe = malloc(sizeof(*pipe));
	int ends[2];

	if (!pipe)
		return NULL;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		free(pipe);
		return NULL;
	}
	*pipe = (struct orpc_pipe){ .owner = pipes,
		                    .from = ends[0],
		                    .to = ends[1] };
	if (fcntl(pipe->to, F_SETPIPE_SZ, ORPC_PIPE_BYTES) >=
	    (int)ORPC_PIPE_BYTES)
		return pipe;
	close_pipe(pipe);
	return NULL;
}

static void count_down(struct orpc_pipes *pipes)
{
	pthread_mutex_lock(&pipes->lock);
	pipes->n--;
	pthread_mutex_unlock(&pipes->lock);
}

struct orpc_pipe *orpc_pipe_take(struct orpc_pipes *pipes)
{
	struct orpc_pipe *pipe;
	bool may_make;

	pthread_mutex_lock(&pipes->lock);
	pipe = pipes->first;
	if (pipe)
		pipes->first = pipe->next;
	may_make = !pipe && pipes->n < PIPES;
	pipes->n += may_make;
	pthread_mutex_unlock(&pipes->lock);
	if (may_make) {
		pipe = make(pipes);
		if (!pipe)
			count_down(pipes);
	}
	return pipe;
}

/* Nothing that was meant for one client is ever to come to another. */
static bool is_empty(const struct orpc_pipe *pipe)
{
	int left;

	return ioctl(pipe->from, FIONREAD, &left) == 0 && left == 0;
}

void orpc_pipe_put(struct orpc_pipe *pipe)
{
	struct orpc_pipes *pipes;

	if (!pipe)
		return;
	pipes = pipe->owner;
	if (!is_empty(pipe)) {
		close_pipe(pipe);
		count_down(pipes);
		return;
	}
	pipe->len = 0;
	pthread_mutex_lock(&pipes->lock);
	pipe->next = pipes->first;
	pipes->first = pipe;
	pthread_mutex_unlock(&pipes->lock);
}

ssize_t orpc_pipe_send(struct orpc_pipe *pipe, int fd, bool more)
{
	ssize_t n = splice(pipe->from, NULL, fd, NULL, pipe->len,
	                   SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));

	if (n < 0)
		return -errno;
	/* It is not what it was said to be: nothing will come any more. */
	if (n == 0)
		return -EPIPE;
	pipe->len -= (size_t)n;
	return n;
}
