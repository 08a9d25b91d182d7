/*
 * Calls that come again, over the whole transport: the first is carried out, and
 * each of them is answered.
 */
#include "config.h"

#include "rpc/orpc.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/toy.h"

#define PAIRS 6
#define CALLS 200

/* ---- a memory that may be lacking ----------------------------------------- */

static pthread_t tester;
static atomic_int until_lacking; /* by other threads; 0: it is not */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	if (atomic_load(&until_lacking) > 0 &&
	    !pthread_equal(pthread_self(), tester) &&
	    atomic_fetch_sub(&until_lacking, 1) == 1)
		return NULL;
	return __real_malloc(size);
}

/* ---- calls ---------------------------------------------------------------- */

static void setup(void)
{
	tester = pthread_self();
	toy_start(NULL);
	toy_runs = 0;
}

static void teardown(void)
{
	toy_stop();
}

/* The first of them is in the pool, and stays there. */
static void ask_first(int fd)
{
	toy_ask(fd, 1, TOY_ONCE, 77);
	sem_wait(&toy_begun);
}

/* It comes again, and what comes after it is answered before. */
static void ask_again(int fd)
{
	toy_ask(fd, 1, TOY_ONCE, 77);
	toy_ask(fd, 2, TOY_NULL, 0);
	toy_expect_done(fd, 2);
}

START_TEST(on_the_same_connection_it_joins_the_first)
{
	int fd = toy_pair();

	ask_first(fd);
	ask_again(fd);
	ask_again(fd);
	sem_post(&toy_release);
	for (int i = 0; i < 3; i++)
		toy_expect_word(fd, 1, 77);
	ck_assert_int_eq(toy_runs, 1);
	ck_assert_uint_eq(toy_stats().replay_misses, 1);
	ck_assert_uint_eq(toy_stats().replay_joins, 2);
	ck_assert_uint_eq(toy_stats().calls, 5);
	toy_ask(fd, 1, TOY_ONCE, 77);
	toy_expect_word(fd, 1, 77);
	ck_assert_int_eq(toy_runs, 1);
	ck_assert_uint_eq(toy_stats().replay_hits, 1);
	close(fd);
}
END_TEST

START_TEST(on_others_it_joins_the_first_whose_connection_is_gone)
{
	int first = toy_pair(), again[3];

	ask_first(first);
	close(first);
	for (int i = 0; i < 3; i++) {
		again[i] = toy_pair();
		ask_again(again[i]);
	}
	sem_post(&toy_release);
	for (int i = 0; i < 3; i++)
		toy_expect_word(again[i], 1, 77);
	first = toy_pair();
	toy_ask(first, 1, TOY_ONCE, 77);
	toy_expect_word(first, 1, 77);
	ck_assert_int_eq(toy_runs, 1);
	close(first);
	for (int i = 0; i < 3; i++)
		close(again[i]);
}
END_TEST

START_TEST(another_is_carried_out_meanwhile)
{
	int fd = toy_pair();

	ask_first(fd);
	toy_ask(fd, 1, TOY_ONCE, 78);
	sem_wait(&toy_begun);
	toy_ask(fd, 3, TOY_ONCE, 77);
	sem_wait(&toy_begun);
	for (int i = 0; i < 3; i++)
		sem_post(&toy_release);
	toy_ask(fd, 4, TOY_ONCE, 0);
	sem_post(&toy_release);
	for (int i = 0; i < 4; i++) {
		unsigned char reply[64];

		ck_assert_int_eq(toy_receive(fd, reply, sizeof(reply)), 28);
	}
	ck_assert_int_eq(toy_runs, 4);
	close(fd);
}
END_TEST

START_TEST(who_goes_away_again_is_not_waited_for)
{
	int first = toy_pair(), again[3];

	ask_first(first);
	for (int i = 0; i < 3; i++) {
		again[i] = toy_pair();
		ask_again(again[i]);
		ask_again(again[i]);
	}
	close(again[0]);
	close(again[2]);
	while (toy_stats().connections > 2)
		usleep(1000);
	sem_post(&toy_release);
	toy_expect_word(first, 1, 77);
	for (int i = 0; i < 2; i++)
		toy_expect_word(again[1], 1, 77);
	close(first);
	close(again[1]);
}
END_TEST

/* ---- bounds --------------------------------------------------------------- */

static void await_joins(uint64_t n)
{
	while (toy_stats().replay_joins < n)
		usleep(1000);
}

/* So many to the call, and one to what came after, in any order. */
static void expect_replies(int fd, int n)
{
	unsigned char reply[64];
	int again = 0;

	for (int i = 0; i < n + 1; i++) {
		ck_assert_int_gt(toy_receive(fd, reply, sizeof(reply)), 0);
		again += toy_word(reply) == 1;
	}
	ck_assert_int_eq(again, n);
}

/* One may join, and one more of each connection, which then brings no more. */
START_TEST(beyond_the_bound_a_connection_waits)
{
	const struct orpc_config config = { .threads = 1, .max_pending = 1 };
	int first, again[2];

	toy_stop();
	toy_start(&config);
	first = toy_pair();
	ask_first(first);
	for (int i = 0; i < 2; i++) {
		again[i] = toy_pair();
		if (i == 0)
			ask_again(again[i]); /* the one */
		for (int k = 0; k < 3; k++)
			toy_ask(again[i], 1, TOY_ONCE, 77);
		toy_ask(again[i], 2, TOY_NULL, 0);
	}
	await_joins(3);
	toy_expect_silence(again[0]);
	toy_expect_silence(again[1]);
	ck_assert_uint_eq(toy_stats().replay_joins, 3);
	sem_post(&toy_release);
	toy_expect_word(first, 1, 77);
	for (int i = 0; i < 2; i++) {
		expect_replies(again[i], 4 - i);
		close(again[i]);
	}
	ck_assert_int_eq(toy_runs, 1);
	close(first);
}
END_TEST

START_TEST(a_connection_that_waits_at_the_bound_may_be_closed)
{
	const struct orpc_config config = { .threads = 1, .max_pending = 1 };
	int first, again;

	toy_stop();
	toy_start(&config);
	first = toy_pair();
	ask_first(first);
	again = toy_pair();
	ask_again(again);
	toy_ask(again, 1, TOY_ONCE, 77);
	await_joins(2);
	close(again);
	sem_post(&toy_release);
	toy_expect_word(first, 1, 77);
	close(first);
}
END_TEST

/* The `n`th allocation on the way of that call fails; the client comes again. */
static void ask_while_lacking(int n, uint32_t xid)
{
	unsigned char reply[64];
	int fd = toy_pair();

	sem_post(&toy_release);
	sem_post(&toy_release);
	toy_ask(fd, 10, TOY_NULL, 0);
	toy_expect_done(fd, 10);
	atomic_store(&until_lacking, n);
	toy_ask(fd, xid, TOY_ONCE, 77);
	toy_receive(fd, reply, sizeof(reply));
	atomic_store(&until_lacking, 0);
	close(fd);
	fd = toy_pair();
	toy_ask(fd, xid, TOY_ONCE, 77);
	toy_expect_word(fd, xid, 77);
	close(fd);
}

/*
 * Each is carried out once, but for the one whose reply could not be kept. Which
 * allocation that is depends on the buffers that earlier connections have left, and
 * when: where none of a round's was it, another round has it.
 */
START_TEST(without_memory_it_can_come_again)
{
	enum { ALLOCATIONS = 8, ROUNDS = 50 };
	uint32_t xid = 100;

	for (int round = 0; round < ROUNDS; round++) {
		toy_runs = 0;
		for (int n = 1; n <= ALLOCATIONS; n++)
			ask_while_lacking(n, xid++);
		ck_assert_int_ge(toy_runs, ALLOCATIONS);
		ck_assert_int_le(toy_runs, ALLOCATIONS + 1);
		if (toy_runs == ALLOCATIONS + 1)
			return;
	}
	ck_abort_msg("no reply was lost to a lack of memory");
}
END_TEST

/* It cannot be passed on: who waits for it comes again. */
START_TEST(without_memory_for_the_reply_the_connections_that_joined_close)
{
	int first = toy_pair(), again = toy_pair();

	ask_first(first);
	ask_again(again);
	atomic_store(&until_lacking, 1);
	sem_post(&toy_release);
	toy_expect_word(first, 1, 77);
	toy_expect_closed(again);
	ck_assert_int_eq(atomic_load(&until_lacking), 0);
	close(first);
	close(again);
}
END_TEST

/* ---- datagrams ------------------------------------------------------------ */

static uint16_t port;

/* It listens, on one loop, and lets so many join. */
static void listen_at(unsigned threads, unsigned max_pending)
{
	const struct orpc_config config = { .threads = threads,
		                            .max_pending = max_pending };

	toy_stop();
	port = 0;
	toy_start_at(&config, "127.0.0.1", &port);
}

static void ask_udp(int fd, uint32_t xid)
{
	unsigned char call[64];
	size_t len = toy_call_word(call, xid, TOY_ONCE, 77);

	toy_send(fd, call + 4, len - 4);
}

static void expect_udp(int fd, uint32_t xid)
{
	unsigned char reply[256];

	ck_assert_int_eq(recv(fd, reply, sizeof(reply), 0), 28);
	ck_assert_uint_eq(toy_word(reply), xid);
	ck_assert_uint_eq(toy_word(reply + 4), 1);
	ck_assert_uint_eq(toy_word(reply + 24), 77);
}

START_TEST(it_comes_again_by_datagrams_and_connections)
{
	int udp[3], tcp[2];

	listen_at(2, 0);
	for (int i = 0; i < 3; i++)
		udp[i] = toy_connect(SOCK_DGRAM, "127.0.0.1", port);
	for (int i = 0; i < 2; i++)
		tcp[i] = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	ask_udp(udp[0], 1);
	sem_wait(&toy_begun);
	ask_udp(udp[0], 1);
	ask_udp(udp[1], 1);
	await_joins(2);
	ask_again(tcp[0]);
	sem_post(&toy_release);
	expect_udp(udp[0], 1);
	expect_udp(udp[0], 1);
	expect_udp(udp[1], 1);
	toy_expect_word(tcp[0], 1, 77);
	ask_udp(udp[2], 1);
	expect_udp(udp[2], 1);
	toy_ask(tcp[1], 1, TOY_ONCE, 77);
	toy_expect_word(tcp[1], 1, 77);
	ck_assert_int_eq(toy_runs, 1);
	ck_assert_uint_eq(toy_stats().replay_hits, 2);
	for (int i = 0; i < 3; i++)
		close(udp[i]);
	for (int i = 0; i < 2; i++)
		close(tcp[i]);
}
END_TEST

START_TEST(beyond_the_bound_datagrams_are_dropped)
{
	int fd;

	listen_at(1, 1);
	fd = toy_connect(SOCK_DGRAM, "127.0.0.1", port);
	ask_udp(fd, 1);
	sem_wait(&toy_begun);
	for (int i = 0; i < 3; i++)
		ask_udp(fd, 1);
	await_joins(3);
	while (toy_stats().dropped < 2)
		usleep(1000);
	sem_post(&toy_release);
	expect_udp(fd, 1);
	expect_udp(fd, 1);
	toy_expect_silence(fd);
	ck_assert_int_eq(toy_runs, 1);
	close(fd);
}
END_TEST

START_TEST(what_found_no_place_in_the_pool_is_the_first_when_it_comes_again)
{
	int fd;

	listen_at(1, 1);
	fd = toy_connect(SOCK_DGRAM, "127.0.0.1", port);
	ask_udp(fd, 1);
	sem_wait(&toy_begun);
	ask_udp(fd, 2);
	while (toy_stats().dropped < 1)
		usleep(1000);
	sem_post(&toy_release);
	expect_udp(fd, 1);
	sem_post(&toy_release);
	ask_udp(fd, 2);
	expect_udp(fd, 2);
	ck_assert_int_eq(toy_runs, 2);
	ck_assert_uint_eq(toy_stats().replay_joins, 0);
	close(fd);
}
END_TEST

/* ---- the end -------------------------------------------------------------- */

static void *release_soon(void *arg)
{
	usleep(100000);
	sem_post(&toy_release);
	return arg;
}

START_TEST(at_the_end_those_that_joined_are_answered)
{
	pthread_t thread;
	int first, again, udp;

	listen_at(2, 0);
	first = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	again = toy_connect(SOCK_STREAM, "127.0.0.1", port);
	udp = toy_connect(SOCK_DGRAM, "127.0.0.1", port);
	ask_first(first);
	ask_again(again);
	ask_udp(udp, 1);
	await_joins(2);
	ck_assert_int_eq(pthread_create(&thread, NULL, release_soon, NULL), 0);
	orpc_server_stop(toy, 20000);
	pthread_join(thread, NULL);
	toy_expect_word(first, 1, 77);
	toy_expect_word(again, 1, 77);
	expect_udp(udp, 1);
	close(first);
	close(again);
	close(udp);
}
END_TEST

START_TEST(at_a_sudden_end_nobody_is_waited_for_too_long)
{
	int first = toy_pair(), again = toy_pair();
	pthread_t thread;

	ask_first(first);
	ask_again(again);
	ck_assert_int_eq(pthread_create(&thread, NULL, release_soon, NULL), 0);
	orpc_server_stop(toy, 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(toy_runs, 1);
	close(first);
	close(again);
}
END_TEST

/* ---- many at once --------------------------------------------------------- */

static void expect_all(int fd)
{
	bool came[CALLS + 1] = { false };

	for (int i = 0; i < CALLS; i++) {
		unsigned char reply[64];
		uint32_t xid;

		ck_assert_int_eq(toy_receive(fd, reply, sizeof(reply)), 28);
		xid = toy_word(reply);
		ck_assert_uint_le(xid, CALLS);
		ck_assert(!came[xid]);
		came[xid] = true;
		ck_assert_uint_eq(toy_word(reply + 24), 1000 + xid);
	}
}

START_TEST(of_many_at_once_each_is_carried_out_once)
{
	int pairs[PAIRS];

	for (int i = 0; i < PAIRS; i++)
		pairs[i] = toy_pair();
	for (int i = 0; i < CALLS; i++)
		sem_post(&toy_release);
	for (uint32_t xid = 1; xid <= CALLS; xid++) {
		for (int i = 0; i < PAIRS; i++)
			toy_ask(pairs[i], xid, TOY_ONCE, 1000 + xid);
	}
	for (int i = 0; i < PAIRS; i++)
		expect_all(pairs[i]);
	ck_assert_int_eq(toy_runs, CALLS);
	ck_assert_uint_eq(toy_stats().replay_misses, CALLS);
	ck_assert_uint_eq(toy_stats().replay_joins + toy_stats().replay_hits,
	                  (PAIRS - 1) * CALLS);
	for (int i = 0; i < PAIRS; i++)
		close(pairs[i]);
}
END_TEST

static void add_datagrams(TCase *tcase)
{
	tcase_add_test(tcase, it_comes_again_by_datagrams_and_connections);
	tcase_add_test(tcase, beyond_the_bound_datagrams_are_dropped);
	tcase_add_test(
		tcase,
		what_found_no_place_in_the_pool_is_the_first_when_it_comes_again);
}

int main(void)
{
	Suite *suite = suite_create("orpc_replay");
	TCase *tcase = tcase_create("orpc_replay");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, on_the_same_connection_it_joins_the_first);
	tcase_add_test(tcase,
	               on_others_it_joins_the_first_whose_connection_is_gone);
	tcase_add_test(tcase, another_is_carried_out_meanwhile);
	tcase_add_test(tcase, who_goes_away_again_is_not_waited_for);
	tcase_add_test(tcase, beyond_the_bound_a_connection_waits);
	tcase_add_test(tcase,
	               a_connection_that_waits_at_the_bound_may_be_closed);
	tcase_add_test(tcase, without_memory_it_can_come_again);
	tcase_add_test(
		tcase,
		without_memory_for_the_reply_the_connections_that_joined_close);
	add_datagrams(tcase);
	tcase_add_test(tcase, at_the_end_those_that_joined_are_answered);
	tcase_add_test(tcase, at_a_sudden_end_nobody_is_waited_for_too_long);
	tcase_add_test(tcase, of_many_at_once_each_is_carried_out_once);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
