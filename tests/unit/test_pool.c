#include "config.h"

#include "rpc/pool.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define JOBS 1000

/* A task that a test can see run, and hold back. */
struct job {
	struct orpc_task task;
	int number;
};

static struct orpc_pool *pool;
static sem_t begun, held;
static atomic_int running, most, done;
static int order[JOBS];  /* as they ended */
static int starts[JOBS]; /* as they began */
static atomic_int started;

static void setup(void)
{
	sem_init(&begun, 0, 0);
	sem_init(&held, 0, 0);
}

static void note_running(void)
{
	int now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);

	while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
		;
}

static void count(struct orpc_task *task)
{
	struct job *job = orpc_container(task, struct job, task);

	order[atomic_fetch_add(&done, 1)] = job->number;
}

static void hold(struct orpc_task *task)
{
	note_running();
	starts[atomic_fetch_add(&started, 1)] =
		orpc_container(task, struct job, task)->number;
	sem_post(&begun);
	sem_wait(&held);
	atomic_fetch_sub(&running, 1);
	count(task);
}

static struct job *jobs(int n, void (*run)(struct orpc_task *))
{
	struct job *job = calloc((size_t)n, sizeof(*job));

	for (int i = 0; i < n; i++) {
		job[i].task.run = run;
		job[i].number = i;
	}
	return job;
}

static void times(int n, int (*fn)(sem_t *), sem_t *sem)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(fn(sem), 0);
}

START_TEST(every_task_runs_once_before_the_pool_ends)
{
	struct job *job = jobs(JOBS, count);
	int seen[JOBS] = { 0 };

	ck_assert_int_eq(orpc_pool_new(4, &pool), 0);
	for (int i = 0; i < JOBS; i++)
		orpc_pool_submit(pool, &job[i].task);
	orpc_pool_free(pool);
	ck_assert_int_eq(atomic_load(&done), JOBS);
	for (int i = 0; i < JOBS; i++)
		seen[order[i]]++;
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(seen[i], 1);
	free(job);
}
END_TEST

START_TEST(one_worker_keeps_the_order)
{
	struct job *job = jobs(100, count);

	ck_assert_int_eq(orpc_pool_new(1, &pool), 0);
	for (int i = 0; i < 100; i++)
		orpc_pool_submit(pool, &job[i].task);
	orpc_pool_free(pool);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(order[i], i);
	free(job);
}
END_TEST

START_TEST(as_many_run_at_a_time_as_there_are_workers)
{
	struct job *job = jobs(10, hold);

	ck_assert_int_eq(orpc_pool_new(4, &pool), 0);
	for (int i = 0; i < 10; i++)
		orpc_pool_submit(pool, &job[i].task);
	times(4, sem_wait, &begun);
	times(10, sem_post, &held);
	orpc_pool_free(pool);
	ck_assert_int_eq(atomic_load(&most), 4);
	ck_assert_int_eq(atomic_load(&done), 10);
	free(job);
}
END_TEST

static void note_mask(struct orpc_task *task)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (sigismember(&mask, SIGTERM) && sigismember(&mask, SIGHUP))
		count(task);
}

START_TEST(workers_take_no_signals)
{
	struct job *job = jobs(1, note_mask);
	sigset_t mine;

	ck_assert_int_eq(orpc_pool_new(1, &pool), 0);
	orpc_pool_submit(pool, &job->task);
	orpc_pool_free(pool);
	ck_assert_int_eq(atomic_load(&done), 1);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	ck_assert(!sigismember(&mine, SIGTERM));
	free(job);
}
END_TEST

START_TEST(a_gate_lets_its_share_in_and_the_rest_in_turn)
{
	struct job *job = jobs(5, hold);
	struct orpc_gate gate;

	ck_assert_int_eq(orpc_pool_new(4, &pool), 0);
	orpc_gate_init(&gate, pool, 2);
	ck_assert(orpc_gate_enter(&gate, &job[0].task));
	ck_assert(!orpc_gate_full(&gate));
	ck_assert(orpc_gate_enter(&gate, &job[1].task));
	ck_assert(orpc_gate_full(&gate));
	for (int i = 2; i < 5; i++)
		ck_assert(!orpc_gate_enter(&gate, &job[i].task));
	times(2, sem_wait, &begun);

	for (int i = 0; i < 3; i++) {
		sem_post(&held); /* one comes out: one goes in */
		orpc_gate_leave(&gate);
		sem_wait(&begun);
		ck_assert_int_eq(starts[atomic_load(&started) - 1], i + 2);
	}
	times(2, sem_post, &held);
	orpc_pool_free(pool);
	ck_assert_int_eq(atomic_load(&done), 5);
	free(job);
}
END_TEST

/* ---- The way back: from many workers into one loop ---- */

static struct orpc_loop loop;
static int delivered;

static void deliver(struct orpc_task *task)
{
	(void)task;
	if (++delivered == JOBS)
		orpc_loop_end(&loop);
}

static void send_back(struct orpc_task *task)
{
	task->run = deliver;
	orpc_loop_post(&loop, task);
}

static void nothing(struct orpc_loop *l)
{
	(void)l;
}

START_TEST(no_task_posted_to_a_loop_is_lost)
{
	struct job *job = jobs(JOBS, send_back);

	ck_assert_int_eq(orpc_loop_init(&loop, nothing), 0);
	ck_assert_int_eq(orpc_pool_new(4, &pool), 0);
	for (int i = 0; i < JOBS; i++)
		orpc_pool_submit(pool, &job[i].task);
	orpc_loop_run(&loop); /* ends with the last one delivered */
	ck_assert_int_eq(delivered, JOBS);
	orpc_pool_free(pool);
	orpc_loop_release(&loop);
	free(job);
}
END_TEST

static void post_slowly(struct orpc_task *task)
{
	usleep(300); /* the loop has gone to sleep */
	send_back(task);
}

START_TEST(a_sleeping_loop_is_woken_each_time)
{
	struct job *job = jobs(JOBS, post_slowly);

	ck_assert_int_eq(orpc_loop_init(&loop, nothing), 0);
	ck_assert_int_eq(orpc_pool_new(1, &pool), 0);
	for (int i = 0; i < JOBS; i++)
		orpc_pool_submit(pool, &job[i].task);
	orpc_loop_run(&loop);
	ck_assert_int_eq(delivered, JOBS);
	orpc_pool_free(pool);
	orpc_loop_release(&loop);
	free(job);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("pool");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, every_task_runs_once_before_the_pool_ends);
	tcase_add_test(tc, one_worker_keeps_the_order);
	tcase_add_test(tc, as_many_run_at_a_time_as_there_are_workers);
	tcase_add_test(tc, workers_take_no_signals);
	tcase_add_test(tc, a_gate_lets_its_share_in_and_the_rest_in_turn);
	tcase_add_test(tc, no_task_posted_to_a_loop_is_lost);
	tcase_add_test(tc, a_sleeping_loop_is_woken_each_time);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
