/*
 * Worker threads for what may wait for a disk, and each loop's gate to them.
 *
 * A pool runs tasks in the order they come, as many at a time as it may have
 * threads, which it starts as they are wanted. It bounds nothing itself: each
 * loop has a gate that lets its share of the pool's bound in and makes the rest
 * wait in the loop, so loops need to know nothing of each other. A task that ran
 * tells its loop by orpc_loop_post, and the loop calls orpc_gate_leave.
 *
 * orpc_pool_submit may be called from any thread; a gate belongs to its loop.
 */
#ifndef VENEER_RPC_POOL_H
#define VENEER_RPC_POOL_H

#include <stdbool.h>

#include "rpc/loop.h"

struct orpc_pool;

/* For up to `threads` workers, 1 at least. 0 or -errno. */
int orpc_pool_new(unsigned threads, struct orpc_pool **pool);

/* Run what is queued, and end the workers. NULL is fine. */
void orpc_pool_free(struct orpc_pool *pool);

/* Run the task in a worker, which does not touch it afterwards. */
void orpc_pool_submit(struct orpc_pool *pool, struct orpc_task *task);

struct orpc_gate {
	struct orpc_pool *pool;
	unsigned inside, limit;
	struct orpc_task *first, **last; /* they wait outside */
};

void orpc_gate_init(struct orpc_gate *gate, struct orpc_pool *pool,
                    unsigned limit);

/* Is every place inside taken? */
bool orpc_gate_full(const struct orpc_gate *gate);

/* Submit the task: now, or as soon as a place is free. Says whether now. */
bool orpc_gate_enter(struct orpc_gate *gate, struct orpc_task *task);

/* One that was inside has come back. */
void orpc_gate_leave(struct orpc_gate *gate);

#endif
