#include "config.h"

#include "rpc/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "rpc/thread.h"

struct orpc_pool {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t work;
	struct orpc_task *first, **last;
	unsigned queued;  /* tasks from `first` on */
	unsigned resting; /* workers that wait for work */
	bool over;
	unsigned nthreads, max;
	pthread_t threads[];
};

/* The next task, waiting for one; NULL when the pool ends. */
static struct orpc_task *next_task(struct orpc_pool *pool)
{
	struct orpc_task *task;

	pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->over) {
		pool->resting++;
		pthread_cond_wait(&pool->work, &pool->lock);
		pool->resting--;
	}
	task = pool->first;
	if (task) {
		pool->first = task->next;
		pool->queued--;
		if (!pool->first)
			pool->last = &pool->first;
	}
	pthread_mutex_unlock(&pool->lock);
	return task;
}

static void *work(void *arg)
{
	struct orpc_pool *pool = arg;
	struct orpc_task *task;

	while ((task = next_task(pool)) != NULL)
		task->run(task);
	return NULL;
}

/* The lock is held, or nobody knows of the pool yet. */
static int add_worker(struct orpc_pool *pool)
{
	int err = orpc_thread_start(&pool->threads[pool->nthreads], "pool",
	                            pool->nthreads, work, pool);

	if (!err)
		pool->nthreads++;
	return err;
}

int orpc_pool_new(unsigned threads, struct orpc_pool **result)
{
	struct orpc_pool *pool;
	int err;

	pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pool->last = &pool->first;
	pool->max = threads;
	err = add_worker(pool);
	if (err) {
		orpc_pool_free(pool);
		return err;
	}
	*result = pool;
	return 0;
}

void orpc_pool_free(struct orpc_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->over = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->nthreads; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void orpc_pool_submit(struct orpc_pool *pool, struct orpc_task *task)
{
	bool wake;

	task->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = task;
	pool->last = &task->next;
	pool->queued++;
	wake = pool->resting > 0;
	/* Where there is no thread for it, those that there are will do. */
	if (pool->queued > pool->resting && pool->nthreads < pool->max &&
	    !pool->over)
		add_worker(pool);
	pthread_mutex_unlock(&pool->lock);
	if (wake)
		pthread_cond_signal(&pool->work);
}

void orpc_gate_init(struct orpc_gate *gate, struct orpc_pool *pool,
                    unsigned limit)
{
	*gate = (struct orpc_gate){ .pool = pool, .limit = limit };
	gate->last = &gate->first;
}

bool orpc_gate_full(const struct orpc_gate *gate)
{
	return gate->inside >= gate->limit;
}

bool orpc_gate_enter(struct orpc_gate *gate, struct orpc_task *task)
{
	if (orpc_gate_full(gate)) {
		task->next = NULL;
		*gate->last = task;
		gate->last = &task->next;
		return false;
	}
	gate->inside++;
	orpc_pool_submit(gate->pool, task);
	return true;
}

void orpc_gate_leave(struct orpc_gate *gate)
{
	struct orpc_task *task = gate->first;

	assert(gate->inside > 0);
	gate->inside--;
	if (!task || orpc_gate_full(gate))
		return;
	gate->first = task->next;
	if (!gate->first)
		gate->last = &gate->first;
	orpc_gate_enter(gate, task);
}
