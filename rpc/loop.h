/*
 * An event loop: one thread that waits on epoll and does what comes.
 *
 * It watches sources (descriptors), and runs tasks that other threads post to
 * it. Everything that belongs to a loop is touched in its thread only, so
 * nothing of it needs a lock; orpc_loop_post is the one way in.
 *
 * One turn is: wait, the sources that are ready, the tasks posted, the tasks
 * deferred. So what many tasks of a turn have in common (sending the replies
 * of one connection, freeing what a later event of the turn may still name) is
 * deferred to its end, and done once.
 */
#ifndef VENEER_RPC_LOOP_H
#define VENEER_RPC_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The structure that `member` at `ptr` is part of. */
#define orpc_container(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Something to do: embedded in what it is done to; in one queue at a time. */
struct orpc_task {
	struct orpc_task *next;
	void (*run)(struct orpc_task *task);
};

/* A watched descriptor; `ready` gets the events of epoll. */
struct orpc_source {
	void (*ready)(struct orpc_source *source, uint32_t events);
};

struct orpc_loop {
	int epoll_fd, wake_fd;
	_Atomic(struct orpc_task *) posted; /* newest first */
	atomic_bool asleep;                 /* a post has to wake it */
	struct orpc_task *deferred;
	bool over;
	int patience_ms; /* that it waits for events, at most; -1: for ever */
	uint64_t now_ms; /* of this turn, since some start */
	void (*turned)(struct orpc_loop *loop); /* at the end of each turn */
};

/* 0 or -errno. */
int orpc_loop_init(struct orpc_loop *loop,
                   void (*turned)(struct orpc_loop *loop));
void orpc_loop_release(struct orpc_loop *loop);

/* Run it in this thread, until orpc_loop_end. */
void orpc_loop_run(struct orpc_loop *loop);

/* The time now, as now_ms has it: of the clock of all loops, and any thread. */
uint64_t orpc_loop_clock(void);

/* From any thread: run the task in the loop. Tasks run in the order posted. */
void orpc_loop_post(struct orpc_loop *loop, struct orpc_task *task);

/* The rest: in the loop's thread, or before it runs. */

/* Run the task at the end of this turn. */
void orpc_loop_defer(struct orpc_loop *loop, struct orpc_task *task);

/* Make this turn the last. */
void orpc_loop_end(struct orpc_loop *loop);

/* Watch for EPOLLIN, EPOLLOUT, ... (level-triggered). 0 or -errno. */
int orpc_loop_watch(struct orpc_loop *loop, int fd, uint32_t events,
                    struct orpc_source *source);

/* Watch for other events from now on. */
void orpc_loop_change(struct orpc_loop *loop, int fd, uint32_t events,
                      struct orpc_source *source);

#endif
