#include "config.h"

#include "rpc/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

int orpc_loop_init(struct orpc_loop *loop,
                   void (*turned)(struct orpc_loop *loop))
{
	int err;

	*loop = (struct orpc_loop){ .turned = turned,
		                    .wake_fd = -1,
		                    .patience_ms = -1 };
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		err = -errno;
		orpc_loop_release(loop);
		return err;
	}
	/* Edge-triggered: each write wakes once, and nobody has to read it. */
	err = orpc_loop_watch(loop, loop->wake_fd, EPOLLIN | EPOLLET, NULL);
	if (err)
		orpc_loop_release(loop);
	return err;
}

void orpc_loop_release(struct orpc_loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	loop->epoll_fd = loop->wake_fd = -1;
}

int orpc_loop_watch(struct orpc_loop *loop, int fd, uint32_t events,
                    struct orpc_source *source)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno
	                                                            : 0;
}

void orpc_loop_change(struct orpc_loop *loop, int fd, uint32_t events,
                      struct orpc_source *source)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	/* It is watched, so there is nothing that this could fail of. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/*
 * A loop goes to sleep in two steps: it says so, then looks whether something
 * was posted. A post goes the other way: it puts its task there, then looks
 * whether the loop sleeps. Whoever is second sees the first, so no task is
 * left lying; and while the loop is awake a post costs no system call. Only
 * the first task of a batch needs to look.
 */
void orpc_loop_post(struct orpc_loop *loop, struct orpc_task *task)
{
	struct orpc_task *old = atomic_load(&loop->posted);
	uint64_t one = 1;

	do {
		task->next = old;
	} while (!atomic_compare_exchange_weak(&loop->posted, &old, task));
	if (old || !atomic_load(&loop->asleep))
		return;
	/* Cannot block or fail: the counter has 64 bits. */
	while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

uint64_t orpc_loop_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int wait_for_events(struct orpc_loop *loop, struct epoll_event *events)
{
	int n;

	atomic_store(&loop->asleep, true);
	n = epoll_wait(loop->epoll_fd, events, EVENTS_A_TURN,
	               atomic_load(&loop->posted) ? 0 : loop->patience_ms);
	atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
	loop->now_ms = orpc_loop_clock();
	return n;
}

static void run_tasks(struct orpc_task *task)
{
	while (task) {
		struct orpc_task *next = task->next;

		task->run(task); /* may free it, or queue it again */
		task = next;
	}
}

static void run_posted(struct orpc_loop *loop)
{
	struct orpc_task *task, *ordered = NULL;

	if (!atomic_load_explicit(&loop->posted, memory_order_relaxed))
		return;
	task = atomic_exchange(&loop->posted, NULL);
	while (task) {
		struct orpc_task *next = task->next;

		task->next = ordered;
		ordered = task;
		task = next;
	}
	run_tasks(ordered);
}

void orpc_loop_defer(struct orpc_loop *loop, struct orpc_task *task)
{
	task->next = loop->deferred;
	loop->deferred = task;
}

/* A deferred task may defer another. */
static void run_deferred(struct orpc_loop *loop)
{
	while (loop->deferred) {
		struct orpc_task *tasks = loop->deferred;

		loop->deferred = NULL;
		run_tasks(tasks);
	}
}

void orpc_loop_end(struct orpc_loop *loop)
{
	loop->over = true;
}

void orpc_loop_run(struct orpc_loop *loop)
{
	struct epoll_event events[EVENTS_A_TURN];

	while (!loop->over) {
		int n = wait_for_events(loop, events);

		for (int i = 0; i < n; i++) {
			struct orpc_source *source = events[i].data.ptr;

			if (source) /* else it is the wake-up */
				source->ready(source, events[i].events);
		}
		run_posted(loop);
		run_deferred(loop);
		loop->turned(loop);
	}
}
