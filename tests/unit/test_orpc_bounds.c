#include "config.h"

#include "rpc/orpc.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/toy.h"

/* Many at a time: the pool, the bounds, and the end. */

static void wait_begun(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(sem_wait(&toy_begun), 0);
}

static void release(int n)
{
	for (int i = 0; i < n; i++)
		sem_post(&toy_release);
}

static void expect_none_begun(void)
{
	int n;

	usleep(50000);
	ck_assert_int_eq(sem_getvalue(&toy_begun, &n), 0);
	ck_assert_int_eq(n, 0);
}

/* ---- The pool ---- */

START_TEST(slow_calls_are_overtaken)
{
	int fd, other;

	toy_start(&(struct orpc_config){ .threads = 1, .workers = 2 });
	fd = toy_pair();
	other = toy_pair();
	toy_ask(fd, 1, TOY_SLOW, 11);
	toy_ask(fd, 2, TOY_SLOW, 12);
	wait_begun(2);
	toy_ask(fd, 3, TOY_BLOB, 8); /* on the same connection */
	toy_expect_blob(fd, 3, 8, 8);
	toy_ask(other, 4, TOY_BLOB, 9); /* on the same loop */
	toy_expect_blob(other, 4, 9, 9);
	release(2);
	for (int i = 0; i < 2; i++) {
		unsigned char reply[64];

		ck_assert_int_eq(toy_receive(fd, reply, sizeof(reply)), 28);
		ck_assert_uint_eq(toy_word(reply) + 10, toy_word(reply + 24));
	}
	ck_assert_uint_eq(toy_stats().pooled, 2);
	ck_assert_uint_eq(toy_stats().calls, 4);
	toy_stop();
}
END_TEST

START_TEST(arguments_stay_while_their_call_waits)
{
	int fd;

	toy_start(&(struct orpc_config){ .threads = 1, .workers = 1 });
	fd = toy_pair();
	toy_ask(fd, 1, TOY_SLOW, 0x12345678);
	wait_begun(1);
	for (uint32_t i = 0; i < 3000; i++) { /* more than a buffer of them */
		toy_ask(fd, i, TOY_BLOB, 100);
		toy_expect_blob(fd, i, 100, 100);
	}
	release(1);
	toy_expect_word(fd, 1, 0x12345678);
	toy_stop();
}
END_TEST

START_TEST(a_connection_with_its_share_in_the_pool_is_not_read_from)
{
	int fd, other;

	toy_start(&(struct orpc_config){
		.threads = 1, .workers = 8, .max_inflight = 4 });
	fd = toy_pair();
	other = toy_pair();
	for (uint32_t i = 0; i < 6; i++)
		toy_ask(fd, i, TOY_SLOW, i);
	toy_ask(fd, 9, TOY_BLOB, 1);
	wait_begun(4);
	expect_none_begun();
	toy_expect_silence(fd);
	toy_ask(other, 1, TOY_BLOB, 7); /* that is no other's loss */
	toy_expect_blob(other, 1, 7, 7);
	release(1);
	wait_begun(1);
	expect_none_begun();
	release(5);
	for (int i = 0; i < 7; i++) {
		unsigned char reply[64];

		ck_assert_int_ge(toy_receive(fd, reply, sizeof(reply)), 28);
	}
	toy_stop();
}
END_TEST

START_TEST(a_full_pool_holds_up_slow_calls_alone)
{
	int fd[3];

	toy_start(&(struct orpc_config){
		.threads = 1, .workers = 8, .max_pending = 2 });
	for (int i = 0; i < 3; i++) {
		fd[i] = toy_pair();
		toy_ask(fd[i], 1, TOY_SLOW, (uint32_t)i);
	}
	wait_begun(2);
	expect_none_begun();
	for (int i = 0; i < 2; i++) {
		toy_ask(fd[i], 2, TOY_BLOB, 1);
		toy_expect_blob(fd[i], 2, 1, 1);
	}
	release(3);
	for (int i = 0; i < 3; i++)
		toy_expect_word(fd[i], 1, (uint32_t)i);
	toy_ask(fd[2], 2, TOY_BLOB, 1);
	toy_expect_blob(fd[2], 2, 1, 1);
	toy_stop();
}
END_TEST

START_TEST(a_client_may_go_while_its_calls_are_in_the_pool)
{
	int fd, other;

	toy_start(NULL);
	for (int i = 0; i < 4; i++) {
		fd = toy_pair();
		toy_ask(fd, 1, TOY_SLOW, 1);
		wait_begun(1);
		close(fd);
	}
	other = toy_pair();
	toy_ask(other, 1, TOY_BLOB, 1);
	toy_expect_blob(other, 1, 1, 1);
	release(4);
	toy_ask(other, 2, TOY_SLOW, 1);
	release(1);
	toy_expect_word(other, 2, 1);
	toy_stop();
}
END_TEST

START_TEST(two_connections_are_on_two_loops)
{
	int one, two;

	toy_start(NULL);
	one = toy_pair();
	two = toy_pair();
	ck_assert_uint_ne(toy_who(one).thread, toy_who(two).thread);
	ck_assert_uint_eq(toy_who(one).thread, toy_who(one).thread);
	toy_stop();
}
END_TEST

/* ---- Turns ---- */

enum { AT_ONCE = 700, LONG = 100000 };

/* Calls for more than a connection may have answered in one turn. */
static void ask_for_much(int fd, uint32_t proc)
{
	unsigned char *calls = malloc(AT_ONCE * 64);
	size_t n = 0;

	for (uint32_t i = 0; i < AT_ONCE; i++)
		n += toy_call_word(calls + n, i, proc, LONG);
	toy_send(fd, calls, n);
	free(calls);
}

static void expect_much(int fd, uint32_t proc)
{
	for (uint32_t i = 0; i < AT_ONCE; i++) {
		if (proc == TOY_NULL)
			toy_expect_done(fd, i);
		else
			toy_expect_blob(fd, i, LONG, (unsigned char)LONG);
	}
}

/* The word that is the next reply of a TOY_COUNT. */
static uint32_t receive_count(int fd)
{
	unsigned char reply[64];

	ck_assert_int_eq(toy_receive(fd, reply, sizeof(reply)), 28);
	return toy_word(reply + 24);
}

/*
 * The loop is held up until all have asked, so the order is known. Who has asked
 * for much has his turn first; then comes who has asked for little.
 */
START_TEST(who_asks_for_much_at_once_lets_others_come_in_between)
{
	const uint32_t procs[] = { TOY_NULL, TOY_BLOB };
	int holder, much[2], little;

	/* No bound on memory is to hold them up first. */
	toy_start(&(struct orpc_config){ .threads = 1,
	                                 .workers = 1,
	                                 .max_queued = 128u << 20,
	                                 .max_bytes = 1u << 30 });
	holder = toy_pair();
	much[0] = toy_pair();
	much[1] = toy_pair();
	little = toy_pair();
	toy_ask(holder, 1, TOY_HOLD, 1);
	wait_begun(1);
	ask_for_much(much[0], procs[_i]);
	ask_for_much(much[1], procs[_i]);
	toy_ask(little, 1, TOY_COUNT, 0);
	release(1);
	ck_assert_uint_lt(receive_count(little), AT_ONCE);
	expect_much(much[0], procs[_i]);
	expect_much(much[1], procs[_i]);
	toy_ask(little, 2, TOY_COUNT, 0);
	ck_assert_uint_eq(receive_count(little), 2 * AT_ONCE);
	toy_stop();
}
END_TEST

/* Its turn is over and the next one has been promised to it when it closes. */
START_TEST(who_asks_for_much_may_go)
{
	int fd;

	toy_start(&(struct orpc_config){ .threads = 1, .workers = 1 });
	for (int i = 0; i < 50; i++) {
		fd = toy_pair();
		ask_for_much(fd, i % 2 ? TOY_NULL : TOY_BLOB);
		usleep(rand() % 1000);
		close(fd);
	}
	fd = toy_pair();
	ask_for_much(fd, TOY_NULL);
	toy_expect_done(fd, 0);
	orpc_server_stop(toy, 10000);
	toy_stop();
}
END_TEST

/* ---- Memory ---- */

/* Ask until the server reads no more; how often. */
static uint32_t ask_until_blocked(int fd, uint32_t most)
{
	unsigned char call[64];
	uint32_t n = 0;

	for (int tries = 0; n < most && tries < 100;) {
		size_t len = toy_call_word(call, n, TOY_BLOB, 100000);

		if (send(fd, call, len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		    (ssize_t)len) {
			n++;
			tries = 0;
		} else {
			tries++;
			usleep(1000);
		}
	}
	return n;
}

START_TEST(a_client_that_reads_nothing_is_not_read_from)
{
	/* The replies would come to two gigabytes. */
	const uint32_t most = 20000;
	uint64_t held;
	uint32_t n;
	int fd;

	toy_start(&(struct orpc_config){
		.threads = 1, .workers = 1, .max_queued = 1 << 20 });
	fd = toy_pair();
	n = ask_until_blocked(fd, most);
	held = toy_stats().buffer_bytes;
	ck_assert_uint_lt(n, most);
	/* What may be queued, in buffers half full, one reply more; calls. */
	ck_assert_uint_gt(held, 1 << 20);
	ck_assert_uint_lt(held, 8 << 20);
	for (uint32_t i = 0; i < n; i++)
		toy_expect_blob(fd, i, 100000, (unsigned char)100000);
	toy_stop();
}
END_TEST

START_TEST(the_smallest_bounds_still_let_one_call_through)
{
	int fd;

	toy_start(&(struct orpc_config){ .threads = 2,
	                                 .workers = 1,
	                                 .max_connections = 1,
	                                 .max_queued = 1,
	                                 .max_inflight = 1,
	                                 .max_pending = 1 });
	fd = toy_pair();
	for (uint32_t i = 0; i < 20; i++)
		toy_ask(fd, i, i % 2 ? TOY_SLOWBLOB : TOY_BLOB, 1000 * i);
	for (uint32_t i = 0; i < 20; i++)
		toy_expect_blob(fd, i, 1000 * i, (unsigned char)(1000 * i));
	toy_stop();
}
END_TEST

START_TEST(idle_connections_hold_no_buffers)
{
	enum { N = 600 };
	unsigned char *args = calloc(1, 40004), *call = malloc(41000);
	size_t len;

	toy_start(&(struct orpc_config){ .threads = 1, .workers = 1 });
	toy_put(args, 40000);
	len = toy_call(call, 1, TOY_ECHO, args, 40004);
	for (int i = 0; i < N; i++) {
		int fd = toy_pair();

		toy_send(fd, call, len);
		toy_expect_blob(fd, 1, 40000, 0);
	}
	/* The last reply is here a moment before its buffer is given back. */
	for (int i = 0; i < 1000 && toy_stats().buffer_bytes > 0; i++)
		usleep(10000);
	ck_assert_uint_eq(toy_stats().buffer_bytes, 0);
	ck_assert_uint_eq(toy_stats().connections, N);
	/* They had the same few one after the other. */
	ck_assert_uint_le(toy_stats().spare_bytes, 8 * (64u << 10));
	toy_stop();
	free(args);
	free(call);
}
END_TEST

/* ---- Connections ---- */

/* One call, so that the server has seen this connection busy. */
static void touch(int fd)
{
	toy_ask(fd, 1, TOY_BLOB, 1);
	toy_expect_blob(fd, 1, 1, 1);
}

/* The same, longer ago than the clock of the loops ticks, and known to all. */
static void touch_earlier(int fd)
{
	touch(fd);
	usleep(100000);
}

/* Wait until a loop has done what it is sure to do, within seconds. */
#define AWAIT(condition)                                  \
	for (int i_ = 0; i_ < 3000 && !(condition); i_++) \
	usleep(10000)

START_TEST(the_connection_idle_longest_gives_way)
{
	int a, b, c, d;

	toy_start(&(struct orpc_config){
		.threads = 2, .workers = 1, .max_connections = 3 });
	a = toy_pair();
	touch_earlier(a);
	b = toy_pair();
	touch_earlier(b);
	c = toy_pair();
	touch_earlier(c);
	touch_earlier(a);
	d = toy_pair();
	toy_expect_closed(b);
	touch(d);
	touch(a);
	touch(c);
	ck_assert_uint_eq(toy_stats().closed_idle, 1);
	ck_assert_uint_eq(toy_stats().connections, 3);
	ck_assert_uint_eq(toy_stats().accepted, 4);
	toy_stop();
}
END_TEST

START_TEST(where_none_is_idle_the_newcomer_is_closed)
{
	int a, b;

	toy_start(&(struct orpc_config){
		.threads = 1, .workers = 2, .max_connections = 2 });
	a = toy_pair();
	toy_ask(a, 1, TOY_SLOW, 5);
	b = toy_pair();
	toy_ask(b, 1, TOY_SLOW, 6);
	wait_begun(2);
	toy_expect_closed(toy_pair());
	toy_expect_closed(toy_pair());
	release(2);
	toy_expect_word(a, 1, 5);
	toy_expect_word(b, 1, 6);
	ck_assert_uint_eq(toy_stats().closed_idle, 0);
	touch(toy_pair()); /* now they are idle */
	toy_stop();
}
END_TEST

/* Then who takes no replies has no right to a place. */
START_TEST(where_none_is_idle_one_that_is_stuck_gives_way)
{
	int fds[2];

	toy_start(&(struct orpc_config){ .threads = 1,
	                                 .workers = 2,
	                                 .max_connections = 2,
	                                 .stuck_ms = 100 });
	for (int i = 0; i < 2; i++) {
		fds[i] = toy_pair();
		toy_ask(fds[i], 1, TOY_BLOB, 1000000);
	}
	usleep(500000);
	touch(toy_pair());
	ck_assert_uint_eq(toy_stats().closed_stuck, 1);
	toy_stop();
}
END_TEST

/* One call, on the connection that it had, or else another. How many it has lost. */
static int call_again(int *fd)
{
	unsigned char reply[64], call[64];
	size_t len = toy_call_word(call, 1, TOY_BLOB, 1);
	int lost = 0;

	while (*fd < 0 || send(*fd, call, len, MSG_NOSIGNAL) < 0 ||
	       toy_receive(*fd, reply, sizeof(reply)) < 0) {
		lost += *fd >= 0;
		ck_assert_int_lt(lost, 100);
		*fd = toy_pair();
	}
	return lost;
}

/* Nor has he a right to outlast who is idle between calls, on whatever loop. */
START_TEST(who_is_stuck_gives_way_before_who_is_idle)
{
	int clients[2] = { -1, -1 }, lost = 0;

	toy_start(&(struct orpc_config){ .threads = 1 + (unsigned)_i,
	                                 .workers = 2,
	                                 .max_connections = 4,
	                                 .stuck_ms = 100 });
	for (int i = 0; i < 4; i++)
		toy_ask(toy_pair(), 1, TOY_BLOB, 1000000);
	usleep(500000);
	for (int i = 0; i < 10; i++) {
		lost += call_again(&clients[i % 2]);
		usleep(50000);
	}
	ck_assert_int_eq(lost, 0);
	ck_assert_uint_eq(toy_stats().closed_stuck, 2);
	ck_assert_uint_eq(toy_stats().closed_idle, 0);
	toy_stop();
}
END_TEST

/* Where all that are left on one loop are stuck, and all that are idle elsewhere. */
START_TEST(who_is_stuck_on_another_loop_gives_way_first)
{
	int idle, other;

	toy_start(&(struct orpc_config){ .threads = 2,
	                                 .workers = 2,
	                                 .max_connections = 2,
	                                 .stuck_ms = 100 });
	idle = toy_pair();
	touch(idle);
	toy_ask(toy_pair(), 1, TOY_BLOB, 1000000);
	usleep(500000);
	other = toy_pair();
	touch(other);
	touch(idle);
	ck_assert_uint_eq(toy_stats().closed_stuck, 1);
	toy_stop();
}
END_TEST

START_TEST(a_flood_of_connections_stays_within_the_bound)
{
	int fds[200];
	uint16_t port = 0;

	toy_start_at(&(struct orpc_config){ .threads = 2,
	                                    .workers = 1,
	                                    .max_connections = 10 },
	             "127.0.0.1", &port);
	for (int i = 0; i < 200; i++)
		fds[i] = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	touch(fds[199]);
	AWAIT(toy_stats().closed_idle >= 190 && toy_stats().connections <= 10);
	ck_assert_uint_le(toy_stats().connections, 10);
	ck_assert_uint_ge(toy_stats().closed_idle, 190);
	toy_stop();
}
END_TEST

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

START_TEST(without_descriptors_nothing_spins)
{
	struct rlimit limit, none;
	uint16_t port = 0;
	double before;
	int fd;

	toy_start_at(NULL, "127.0.0.1", &port);
	/* The client's socket takes the last descriptor. */
	fd = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	touch(fd);
	close(fd);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	none = limit;
	none.rlim_cur = (rlim_t)fd + 1;
	close(fd);
	usleep(20000);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	fd = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	AWAIT(__atomic_load_n(&toy_log_lines, __ATOMIC_SEQ_CST) > 0);
	before = cpu_seconds();
	usleep(1000000);
	/* Some wake up ten times a second. */
	ck_assert(cpu_seconds() - before < 0.25);
	ck_assert_int_eq(__atomic_load_n(&toy_log_lines, __ATOMIC_SEQ_CST), 1);

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	touch(fd); /* it was kept waiting, not lost */
	toy_stop();
}
END_TEST

/* ---- The end ---- */

static void *stop(void *arg)
{
	orpc_server_stop(toy, *(int *)arg);
	return NULL;
}

START_TEST(stopping_finishes_the_calls_in_flight)
{
	int patient = 10000, fd, idle;
	uint16_t port = 0;
	pthread_t stopper;

	toy_start_at(&(struct orpc_config){ .threads = 2, .workers = 1 },
	             "127.0.0.1", &port);
	idle = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	touch(idle);
	fd = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	toy_ask(fd, 1, TOY_SLOW, 5);
	toy_ask(fd, 2, TOY_SLOW, 6); /* waits for the one worker */
	wait_begun(1);
	ck_assert_int_eq(pthread_create(&stopper, NULL, stop, &patient), 0);
	toy_expect_closed(idle);
	toy_expect_silence(fd);
	release(2);
	toy_expect_word(fd, 1, 5);
	toy_expect_word(fd, 2, 6);
	toy_expect_closed(fd);
	pthread_join(stopper, NULL);
	ck_assert_uint_eq(toy_stats().connections, 0);
	ck_assert_int_eq(orpc_server_adopt(toy, dup(0)), -EINVAL);
	toy_stop();
}
END_TEST

START_TEST(stopping_does_not_wait_for_a_client_that_reads_nothing)
{
	struct timespec before, after;

	toy_start(NULL);
	ask_until_blocked(toy_pair(), 1000);
	clock_gettime(CLOCK_MONOTONIC, &before);
	orpc_server_stop(toy, 200);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_le(after.tv_sec - before.tv_sec, 20);
	toy_stop();
}
END_TEST

START_TEST(nothing_listens_after_the_end)
{
	struct orpc_server *again;
	uint16_t port = 0;

	toy_start_at(NULL, "127.0.0.1", &port);
	orpc_server_stop(toy, 1000);
	ck_assert_int_eq(orpc_server_new(&(struct orpc_config){ 0 }, NULL, 0,
	                                 &again),
	                 0);
	ck_assert_int_eq(orpc_server_listen(again, "127.0.0.1", &port), 0);
	orpc_server_free(again);
	toy_stop();
}
END_TEST

START_TEST(a_client_gone_before_its_reply_is_no_signal)
{
	toy_start(NULL);
	for (int i = 0; i < 50; i++) {
		int fd = toy_pair();

		toy_ask(fd, 1, TOY_BLOB, 500000);
		close(fd);
	}
	touch(toy_pair());
	toy_stop();
}
END_TEST

START_TEST(a_client_that_breaks_the_rules_and_goes_is_counted_once)
{
	unsigned char calls[128];
	size_t len = toy_call_word(calls, 1, TOY_BLOB, 100);

	memset(calls + len, 0xff, 4); /* a record of two gigabytes */
	toy_start(&(struct orpc_config){ .threads = 1, .workers = 1 });
	for (int i = 0; i < 200; i++) {
		int fd = toy_pair();

		toy_send(fd, calls, len + 4);
		close(fd);
	}
	touch(toy_pair());
	AWAIT(toy_stats().closed_broken >= 200 && toy_stats().connections <= 1);
	ck_assert_uint_eq(toy_stats().accepted, 201);
	ck_assert_uint_eq(toy_stats().connections, 1);
	ck_assert_uint_eq(toy_stats().closed_broken, 200);
	toy_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("orpc_bounds");
	TCase *tc = tcase_create("bounds");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, slow_calls_are_overtaken);
	tcase_add_test(tc, arguments_stay_while_their_call_waits);
	tcase_add_test(
		tc, a_connection_with_its_share_in_the_pool_is_not_read_from);
	tcase_add_test(tc, a_full_pool_holds_up_slow_calls_alone);
	tcase_add_test(tc, a_client_may_go_while_its_calls_are_in_the_pool);
	tcase_add_test(tc, two_connections_are_on_two_loops);
	tcase_add_loop_test(
		tc, who_asks_for_much_at_once_lets_others_come_in_between, 0,
		2);
	tcase_add_test(tc, who_asks_for_much_may_go);
	tcase_add_test(tc, a_client_that_reads_nothing_is_not_read_from);
	tcase_add_test(tc, the_smallest_bounds_still_let_one_call_through);
	tcase_add_test(tc, idle_connections_hold_no_buffers);
	tcase_add_test(tc, the_connection_idle_longest_gives_way);
	tcase_add_test(tc, where_none_is_idle_the_newcomer_is_closed);
	tcase_add_test(tc, where_none_is_idle_one_that_is_stuck_gives_way);
	tcase_add_loop_test(tc, who_is_stuck_gives_way_before_who_is_idle, 0,
	                    2);
	tcase_add_test(tc, who_is_stuck_on_another_loop_gives_way_first);
	tcase_add_test(tc, a_flood_of_connections_stays_within_the_bound);
	tcase_add_test(tc, without_descriptors_nothing_spins);
	tcase_add_test(tc, stopping_finishes_the_calls_in_flight);
	tcase_add_test(tc,
	               stopping_does_not_wait_for_a_client_that_reads_nothing);
	tcase_add_test(tc, nothing_listens_after_the_end);
	tcase_add_test(tc, a_client_gone_before_its_reply_is_no_signal);
	tcase_add_test(tc,
	               a_client_that_breaks_the_rules_and_goes_is_counted_once);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
