#include "config.h"

#include "rpc/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* So many at a time, then what is connected has its turn. */
#define ACCEPTS_A_TURN 64

/* How long to wait for descriptors, in nanoseconds. */
#define PAUSE_NS 100000000

struct listener {
	struct orpc_source source;
	struct orpc_acceptor *acceptor;
	int fd;
	SLIST_ENTRY(listener) next;
};

struct orpc_acceptor {
	struct orpc_loop *loop;
	orpc_newcomer_fn *newcomer;
	orpc_shortage_fn *shortage;
	void *arg;
	SLIST_HEAD(, listener) listeners;
	struct orpc_source resume;
	int timer_fd; /* made beforehand: in need there would be none */
};

static void watch_all(struct orpc_acceptor *acceptor, uint32_t events)
{
	struct listener *listener = SLIST_FIRST(&acceptor->listeners);

	for (; listener; listener = SLIST_NEXT(listener, next))
		orpc_loop_change(acceptor->loop, listener->fd, events,
		                 &listener->source);
}

static void pause_all(struct orpc_acceptor *acceptor)
{
	struct itimerspec once = { .it_value.tv_nsec = PAUSE_NS };

	watch_all(acceptor, 0);
	timerfd_settime(acceptor->timer_fd, 0, &once, NULL);
}

static void resume(struct orpc_source *source, uint32_t events)
{
	struct orpc_acceptor *acceptor =
		orpc_container(source, struct orpc_acceptor, resume);
	uint64_t times;

	(void)events;
	if (read(acceptor->timer_fd, &times, sizeof(times)) > 0)
		watch_all(acceptor, EPOLLIN);
}

static void ready(struct orpc_source *source, uint32_t events)
{
	struct listener *listener =
		orpc_container(source, struct listener, source);
	struct orpc_acceptor *acceptor = listener->acceptor;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN && listener->fd >= 0; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len,
		                 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			acceptor->newcomer(acceptor->arg, fd, &peer);
			continue;
		}
		switch (errno) {
		case EAGAIN:
			return;
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			acceptor->shortage(acceptor->arg, errno);
			pause_all(acceptor);
			return;
		default: /* that connection has gone already (accept(2)) */
			break;
		}
	}
}

int orpc_acceptor_new(struct orpc_loop *loop, orpc_newcomer_fn *newcomer,
                      orpc_shortage_fn *shortage, void *arg,
                      struct orpc_acceptor **result)
{
	struct orpc_acceptor *acceptor = calloc(1, sizeof(*acceptor));
	int err;

	if (!acceptor)
		return -ENOMEM;
	SLIST_INIT(&acceptor->listeners);
	acceptor->loop = loop;
	acceptor->newcomer = newcomer;
	acceptor->shortage = shortage;
	acceptor->arg = arg;
	acceptor->resume.ready = resume;
	acceptor->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = acceptor->timer_fd < 0
	              ? -errno
	              : orpc_loop_watch(loop, acceptor->timer_fd, EPOLLIN,
	                                &acceptor->resume);
	if (err) {
		orpc_acceptor_free(acceptor);
		return err;
	}
	*result = acceptor;
	return 0;
}

int orpc_acceptor_add(struct orpc_acceptor *acceptor, int fd)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int err = listener ? orpc_loop_watch(acceptor->loop, fd, EPOLLIN,
	                                     &listener->source)
	                   : -ENOMEM;

	if (err) {
		close(fd);
		free(listener);
		return err;
	}
	listener->source.ready = ready;
	listener->acceptor = acceptor;
	listener->fd = fd;
	SLIST_INSERT_HEAD(&acceptor->listeners, listener, next);
	return 0;
}

void orpc_acceptor_close(struct orpc_acceptor *acceptor)
{
	struct listener *listener = SLIST_FIRST(&acceptor->listeners);

	for (; listener; listener = SLIST_NEXT(listener, next)) {
		if (listener->fd >= 0)
			close(listener->fd);
		listener->fd = -1;
	}
}

void orpc_acceptor_free(struct orpc_acceptor *acceptor)
{
	if (!acceptor)
		return;
	orpc_acceptor_close(acceptor);
	while (!SLIST_EMPTY(&acceptor->listeners)) {
		struct listener *listener = SLIST_FIRST(&acceptor->listeners);

		SLIST_REMOVE_HEAD(&acceptor->listeners, next);
		free(listener);
	}
	if (acceptor->timer_fd >= 0)
		close(acceptor->timer_fd);
	free(acceptor);
}
