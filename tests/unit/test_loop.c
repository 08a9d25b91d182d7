#include "config.h"

#include "rpc/loop.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS 4
#define POSTS 5000 /* by each thread */

static struct orpc_loop loop;
static unsigned turns;

static void count_turn(struct orpc_loop *l)
{
	(void)l;
	turns++;
}

static void setup(void)
{
	ck_assert_int_eq(orpc_loop_init(&loop, count_turn), 0);
}

static void teardown(void)
{
	orpc_loop_release(&loop);
}

/* ---- tasks that leave a trace ------------------------------------------- */

struct step {
	struct orpc_task task;
	char name;
	struct step *defers; /* where it runs, this is deferred */
};

static char trace[32];
static size_t traced;

static void leave_trace(struct orpc_task *task)
{
	struct step *step = orpc_container(task, struct step, task);

	trace[traced++] = step->name;
	if (step->defers)
		orpc_loop_defer(&loop, &step->defers->task);
}

static void end(struct orpc_task *task)
{
	leave_trace(task);
	orpc_loop_end(&loop);
}

START_TEST(tasks_run_in_the_order_posted)
{
	struct step steps[10];

	for (int i = 0; i < 10; i++) {
		steps[i] = (struct step){ { NULL, i == 9 ? end : leave_trace },
			                  (char)('a' + i),
			                  NULL };
		orpc_loop_post(&loop, &steps[i].task);
	}
	orpc_loop_run(&loop);
	ck_assert_str_eq(trace, "abcdefghij");
}
END_TEST

START_TEST(deferred_tasks_run_after_all_that_were_posted)
{
	struct step last = { { NULL, leave_trace }, 'z', NULL };
	struct step later = { { NULL, leave_trace }, 'y', &last };
	struct step first = { { NULL, leave_trace }, 'a', &later };
	struct step second = { { NULL, leave_trace }, 'b', NULL };
	struct step third = { { NULL, end }, 'c', NULL };

	orpc_loop_post(&loop, &first.task);
	orpc_loop_post(&loop, &second.task);
	orpc_loop_post(&loop, &third.task);
	orpc_loop_run(&loop);
	/* All in the turn that ended it. */
	ck_assert_str_eq(trace, "abcyz");
	ck_assert_uint_eq(turns, 1);
}
END_TEST

static void again(struct orpc_task *task)
{
	leave_trace(task);
	if (traced == 5)
		orpc_loop_end(&loop);
	else
		orpc_loop_post(&loop, task);
}

START_TEST(a_task_may_post_itself_again)
{
	struct step step = { { NULL, again }, 'a', NULL };

	orpc_loop_post(&loop, &step.task);
	orpc_loop_run(&loop);
	ck_assert_str_eq(trace, "aaaaa");
	ck_assert_uint_eq(turns, 5);
}
END_TEST

/* ---- many threads ------------------------------------------------------- */

struct post {
	struct orpc_task task;
	int thread, number;
};

static struct post posts[THREADS][POSTS];
static int seen[THREADS]; /* how many of each have run */
static int threads[THREADS];

static void expect_next(struct orpc_task *task)
{
	struct post *post = orpc_container(task, struct post, task);
	int sum = 0;

	ck_assert_int_eq(post->number, seen[post->thread]);
	seen[post->thread]++;
	for (int i = 0; i < THREADS; i++)
		sum += seen[i];
	if (sum == THREADS * POSTS)
		orpc_loop_end(&loop);
}

static void *post_all(void *arg)
{
	int thread = *(int *)arg;

	for (int i = 0; i < POSTS; i++) {
		struct post *post = &posts[thread][i];

		*post = (struct post){ { NULL, expect_next }, thread, i };
		orpc_loop_post(&loop, &post->task);
		if (i % 500 == 0)
			usleep(200); /* let it go to sleep now and then */
	}
	return NULL;
}

START_TEST(posts_of_many_threads_arrive_once_each_in_order)
{
	pthread_t ids[THREADS];

	for (int i = 0; i < THREADS; i++) {
		threads[i] = i;
		ck_assert_int_eq(pthread_create(&ids[i], NULL, post_all,
		                                &threads[i]),
		                 0);
	}
	orpc_loop_run(&loop);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(ids[i], NULL);
		ck_assert_int_eq(seen[i], POSTS);
	}
	ck_assert_ptr_null(atomic_load(&loop.posted));
}
END_TEST

/* ---- sources ------------------------------------------------------------ */

struct pipe_end {
	struct orpc_source source;
	int fd;
	unsigned calls;
	uint32_t events;
};

/* Leaves the byte in the pipe twice, and takes it the third time. */
static void take_late(struct orpc_source *source, uint32_t events)
{
	struct pipe_end *end = orpc_container(source, struct pipe_end, source);
	char byte;

	end->events = events;
	if (++end->calls == 3) {
		ck_assert_int_eq(read(end->fd, &byte, 1), 1);
		orpc_loop_end(&loop);
	}
}

START_TEST(a_source_is_ready_as_long_as_there_is_something)
{
	struct pipe_end end = { .source.ready = take_late };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	end.fd = fds[0];
	ck_assert_int_eq(orpc_loop_watch(&loop, end.fd, EPOLLIN, &end.source),
	                 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	orpc_loop_run(&loop);
	ck_assert_uint_eq(end.calls, 3);
	ck_assert_uint_eq(end.events, EPOLLIN);
	ck_assert_uint_eq(turns, 3);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static void never(struct orpc_source *source, uint32_t events)
{
	(void)source;
	ck_abort_msg("called for events %x", events);
}

START_TEST(a_source_is_left_alone_after_a_change_that_says_so)
{
	struct pipe_end end = { .source.ready = never };
	struct step step = { { NULL, again }, 'a', NULL };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(orpc_loop_watch(&loop, fds[0], EPOLLIN, &end.source),
	                 0);
	orpc_loop_change(&loop, fds[0], 0, &end.source);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	orpc_loop_post(&loop, &step.task);
	orpc_loop_run(&loop); /* some turns with nothing else to do */
	end.source.ready = take_late;
	end.fd = fds[0];
	orpc_loop_change(&loop, fds[0], EPOLLIN, &end.source);
	loop.over = false;
	orpc_loop_run(&loop);
	ck_assert_uint_eq(end.calls, 3);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_descriptor_that_is_none_is_refused)
{
	struct orpc_source source = { never };

	ck_assert_int_eq(orpc_loop_watch(&loop, -1, EPOLLIN, &source), -EBADF);
}
END_TEST

/* How many descriptors there may be, and whether that is enough for a loop. */
static int init_within(rlim_t files)
{
	struct rlimit old, limit;
	struct orpc_loop other;
	int err;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = (struct rlimit){ files, old.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	err = orpc_loop_init(&other, count_turn);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (err == 0)
		orpc_loop_release(&other);
	return err;
}

START_TEST(a_loop_that_cannot_be_made_leaves_no_descriptor)
{
	int fd = dup(0);

	close(fd); /* the lowest that is free */
	ck_assert_int_eq(init_within((rlim_t)fd), -EMFILE);
	ck_assert_int_eq(init_within((rlim_t)fd + 1), -EMFILE);
	ck_assert_int_eq(dup(0), fd);
	close(fd);
	ck_assert_int_eq(init_within((rlim_t)fd + 2), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tcase = tcase_create("loop");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, tasks_run_in_the_order_posted);
	tcase_add_test(tcase, deferred_tasks_run_after_all_that_were_posted);
	tcase_add_test(tcase, a_task_may_post_itself_again);
	tcase_add_test(tcase, posts_of_many_threads_arrive_once_each_in_order);
	tcase_add_test(tcase, a_source_is_ready_as_long_as_there_is_something);
	tcase_add_test(tcase,
	               a_source_is_left_alone_after_a_change_that_says_so);
	tcase_add_test(tcase, a_descriptor_that_is_none_is_refused);
	tcase_add_test(tcase, a_loop_that_cannot_be_made_leaves_no_descriptor);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
