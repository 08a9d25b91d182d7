#include "config.h"

#include "rpc/orpc.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/toy.h"

static int fd;

static void begin(const struct orpc_config *config, const char *address)
{
	uint16_t port = 0;

	toy_start_at(config, address, &port);
	fd = toy_connect(SOCK_DGRAM, address, port);
}

static void end(void)
{
	close(fd);
	toy_stop();
}

static void ask(uint32_t xid, uint32_t proc, uint32_t word)
{
	unsigned char call[64];
	size_t len = toy_call_word(call, xid, proc, word);

	toy_send(fd, call + 4, len - 4); /* no record mark */
}

/* The next reply has these words first; its length. */
static size_t expect(const uint32_t *words, size_t n)
{
	static unsigned char reply[65536];
	ssize_t len = recv(fd, reply, sizeof(reply), 0);

	ck_assert_int_ge(len, (ssize_t)(4 * n));
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(toy_word(reply + 4 * i), words[i]);
	return (size_t)len;
}

static void expect_word(uint32_t xid, uint32_t word)
{
	const uint32_t reply[] = { xid, 1, 0, 0, 0, 0, word };

	ck_assert_uint_eq(expect(reply, 7), 28);
}

static void expect_blob(uint32_t xid, uint32_t len)
{
	const uint32_t reply[] = { xid, 1, 0, 0, 0, 0, len };

	ck_assert_uint_eq(expect(reply, 7), 28 + (len + 3) / 4 * 4);
}

static void expect_state(uint32_t xid, uint32_t state)
{
	const uint32_t reply[] = { xid, 1, 0, 0, 0, state };

	ck_assert_uint_eq(expect(reply, 6), 24);
}

static void expect_silence(void)
{
	struct pollfd readable = { fd, POLLIN, 0 };

	ck_assert_int_eq(poll(&readable, 1, 100), 0);
}

START_TEST(a_datagram_is_a_call_over_ipv4)
{
	begin(NULL, "127.0.0.1");
	ask(1, TOY_BLOB, 10);
	expect_blob(1, 10);
	ck_assert_uint_eq(toy_stats().calls, 1);
	end();
}
END_TEST

START_TEST(a_datagram_is_a_call_over_ipv6)
{
	begin(NULL, "::1");
	ask(1, TOY_BLOB, 10);
	expect_blob(1, 10);
	end();
}
END_TEST

START_TEST(a_procedure_sees_that_it_is_a_datagram)
{
	/* thread, flavor, uid, gid, ngids, last, family, datagram, most */
	const size_t family = 24 + 6 * 4;
	unsigned char reply[256];

	begin(NULL, "127.0.0.1");
	ask(1, TOY_WHO, 0);
	ck_assert_int_eq(recv(fd, reply, sizeof(reply), 0), 24 + 36);
	ck_assert_uint_eq(toy_word(reply + family), AF_INET);
	ck_assert_uint_eq(toy_word(reply + family + 4), 1);
	ck_assert_uint_eq(toy_word(reply + family + 8), 32 << 10);
	end();
}
END_TEST

START_TEST(garbage_is_dropped_and_counted)
{
	static const unsigned char zeros[60000];
	unsigned char call[64];
	size_t len;

	begin(NULL, "127.0.0.1");
	toy_send(fd, "x", 1);
	ck_assert_int_eq(send(fd, NULL, 0, 0), 0);
	toy_send(fd, "GET / HTTP/1.0\r\n\r\n", 18);
	toy_send(fd, zeros, 8);
	len = toy_call(call, 1, TOY_NULL, NULL, 0);
	toy_send(fd, call + 4, len - 8); /* cut short */
	toy_put(call + 8, 1);
	toy_send(fd, call + 4, len - 4); /* a reply */
	expect_silence();
	ck_assert_uint_eq(toy_stats().dropped, 6);
	ask(2, TOY_BLOB, 3);
	expect_blob(2, 3);
	end();
}
END_TEST

START_TEST(results_up_to_the_bound)
{
	begin(NULL, "127.0.0.1");
	ask(1, TOY_BLOB, (32 << 10) - 4);
	expect_blob(1, (32 << 10) - 4);
	ask(2, TOY_SLOWBLOB, (32 << 10) - 4);
	expect_blob(2, (32 << 10) - 4);
	end();
}
END_TEST

START_TEST(results_over_the_bound_are_a_system_error)
{
	begin(NULL, "127.0.0.1");
	ask(1, TOY_BLOB, (32 << 10) - 3);
	expect_state(1, 5);
	ask(2, TOY_BLOB, 1 << 20);
	expect_state(2, 5);
	end();
}
END_TEST

START_TEST(a_bound_below_the_least_room_holds)
{
	begin(&(struct orpc_config){ .max_datagram = 1000 }, "127.0.0.1");
	ask(1, TOY_CRAM, 996);
	expect_blob(1, 996);
	ask(2, TOY_CRAM, 997);
	expect_state(2, 5);
	end();
}
END_TEST

START_TEST(unknown_programs_and_versions_are_answered)
{
	const uint32_t unavail[] = { 1, 1, 0, 0, 0, 1 };
	const uint32_t mismatch[] = { 2, 1, 0, 0, 0, 2, 3, 3 };
	unsigned char call[64];
	size_t len;

	begin(NULL, "127.0.0.1");
	len = toy_call(call, 1, TOY_NULL, NULL, 0);
	toy_put(call + 16, 99);
	toy_send(fd, call + 4, len - 4);
	ck_assert_uint_eq(expect(unavail, 6), 24);
	len = toy_call(call, 2, TOY_NULL, NULL, 0);
	toy_put(call + 20, 4);
	toy_send(fd, call + 4, len - 4);
	ck_assert_uint_eq(expect(mismatch, 8), 32);
	end();
}
END_TEST

START_TEST(slow_calls_are_overtaken)
{
	begin(NULL, "127.0.0.1");
	ask(1, TOY_SLOW, 77);
	sem_wait(&toy_begun);
	ask(2, TOY_BLOB, 3);
	expect_blob(2, 3);
	sem_post(&toy_release);
	expect_word(1, 77);
	end();
}
END_TEST

START_TEST(a_call_without_a_place_in_the_pool_is_dropped)
{
	begin(&(struct orpc_config){ .threads = 1, .max_pending = 1 },
	      "127.0.0.1");
	ask(1, TOY_SLOW, 77);
	sem_wait(&toy_begun);
	ask(2, TOY_SLOW, 78);
	expect_silence();
	ck_assert_uint_eq(toy_stats().dropped, 1);
	sem_post(&toy_release);
	expect_word(1, 77);
	ask(2, TOY_SLOW, 78); /* sent again */
	sem_post(&toy_release);
	expect_word(2, 78);
	end();
}
END_TEST

/* ---- while memory is short ---- */

#define LARGE 1000000u

/* Nobody is stuck so soon, however slow the machine. */
#define PATIENT 60000

static uint16_t port;

static void begin_with_little_memory(unsigned stuck_ms, size_t max_brief)
{
	port = 0;
	toy_start_at(&(struct orpc_config){ .threads = 1,
	                                    .workers = 2,
	                                    .max_bytes = 6u << 20,
	                                    .max_brief = max_brief,
	                                    .stuck_ms = stuck_ms },
	             "127.0.0.1", &port);
	fd = toy_connect(SOCK_DGRAM, "127.0.0.1", port);
}

static bool is_answered(uint32_t proc, uint32_t word)
{
	static unsigned char reply[65536];
	struct pollfd readable = { fd, POLLIN, 0 };

	ask(1, proc, word);
	if (poll(&readable, 1, 200) == 0)
		return false;
	ck_assert_int_ge(recv(fd, reply, sizeof(reply), 0), 24);
	return true;
}

/* Until it has been taken, or the loop has seen that it cannot be. */
static void leave_unread(void)
{
	toy_ask(toy_pair(), 1, TOY_BLOB, LARGE);
	usleep(20000);
}

/* As much of a record as has the rest of it promised to it, and no more. */
static void leave_begun(void)
{
	static unsigned char part[100000];

	toy_put(part, 0x80000000u | LARGE);
	toy_send(toy_pair(), part, sizeof(part));
	usleep(20000);
}

START_TEST(datagrams_need_no_more_than_they_can_have)
{
	unsigned char calls[128];
	size_t len = toy_call_word(calls, 1, TOY_SLOW, 1);

	begin_with_little_memory(PATIENT, 0);
	leave_unread();
	leave_unread();
	/* These are read at once, so that there is no room for a large reply then,
	 * and nobody waits. */
	len += toy_call_word(calls + len, 2, TOY_BLOB, LARGE);
	toy_send(toy_pair(), calls, len);
	sem_wait(&toy_begun);
	usleep(20000);
	ck_assert_uint_eq(toy_stats().waits, 0);
	for (int i = 0; i < 20; i++)
		ck_assert(is_answered(i % 2 ? TOY_BLOB : TOY_SLOWBLOB, 20000));
	ck_assert_uint_eq(toy_stats().dropped, 0);
	sem_post(&toy_release);
	end();
}
END_TEST

START_TEST(datagrams_do_not_overtake_those_that_wait)
{
	begin_with_little_memory(PATIENT, 0);
	for (int i = 0; i < 10; i++)
		leave_unread();
	ck_assert_uint_gt(toy_stats().waits, 0);
	ck_assert(!is_answered(TOY_NULL, 0));
	ck_assert_uint_eq(toy_stats().dropped, 1);
	end();
}
END_TEST

START_TEST(datagrams_go_by_the_lane_while_others_wait)
{
	begin_with_little_memory(PATIENT, 8192);
	for (int i = 0; i < 10; i++)
		leave_begun();
	ck_assert_uint_gt(toy_stats().waits, 0);
	/* More than fit at once: what one has had is given back. */
	for (int i = 0; i < 20; i++)
		ck_assert(is_answered(i % 2 ? TOY_BLOB : TOY_SLOWBLOB, 20000));
	end();
}
END_TEST

/* Short calls on one connection until it has a reply more than its socket takes. */
static void leave_short_ones_unread(void)
{
	const int size = 4 + 24 + 4 + 8000;
	int conn = toy_pair(), n = 0, there;

	do {
		toy_ask(conn, 1, TOY_BLOB, 8000);
		toy_settle(conn);
		usleep(1000);
		ck_assert_int_eq(ioctl(conn, FIONREAD, &there), 0);
	} while (there >= ++n * size);
}

/* Then no connection waits; datagrams do, in their way. */
START_TEST(datagrams_that_are_dropped_have_those_go_that_are_stuck)
{
	time_t until = time(NULL) + 40;

	begin_with_little_memory(1000, 8192);
	for (int i = 0; i < 2; i++)
		leave_begun();
	do {
		leave_short_ones_unread();
		ck_assert_int_lt(time(NULL), until);
	} while (is_answered(TOY_NULL, 0));
	ck_assert_uint_eq(toy_stats().waits, 0);
	while (!is_answered(TOY_NULL, 0))
		ck_assert_int_lt(time(NULL), until);
	ck_assert_uint_gt(toy_stats().closed_stuck, 0);
	end();
}
END_TEST

/* ---- the end ---- */

START_TEST(stopping_finishes_the_calls_in_flight)
{
	begin(NULL, "127.0.0.1");
	ask(1, TOY_SLOW, 77);
	sem_wait(&toy_begun);
	sem_post(&toy_release);
	orpc_server_stop(toy, 1000);
	expect_word(1, 77);
	end();
}
END_TEST

/* Into a network of our own, where any address may be listened on. */
static bool enter_own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo",
		            .ifr_flags = IFF_UP | IFF_RUNNING };
	int s, err;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = ioctl(s, SIOCSIFFLAGS, &lo);
	close(s);
	return err == 0;
}

START_TEST(a_reply_comes_from_the_address_that_was_asked)
{
	struct sockaddr_in to = { .sin_family = AF_INET }, from;
	socklen_t len = sizeof(from);
	unsigned char call[64], reply[64];
	uint16_t port = 0;
	size_t n;

	if (!enter_own_network()) {
		fprintf(stderr, "no network namespace: not tested\n");
		return;
	}
	toy_start_at(NULL, "0.0.0.0", &port);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	to.sin_port = htons(port);
	n = toy_call(call, 1, TOY_NULL, NULL, 0);
	for (uint32_t host = 1; host < 5; host++) {
		to.sin_addr.s_addr = htonl(0x7f000000 | host);
		ck_assert_int_eq(sendto(fd, call + 4, n - 4, 0,
		                        (struct sockaddr *)&to, sizeof(to)),
		                 n - 4);
		ck_assert_int_eq(recvfrom(fd, reply, sizeof(reply), 0,
		                          (struct sockaddr *)&from, &len),
		                 24);
		ck_assert_uint_eq(from.sin_addr.s_addr, to.sin_addr.s_addr);
	}
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("orpc_udp");
	TCase *tc = tcase_create("udp");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_datagram_is_a_call_over_ipv4);
	tcase_add_test(tc, a_datagram_is_a_call_over_ipv6);
	tcase_add_test(tc, a_procedure_sees_that_it_is_a_datagram);
	tcase_add_test(tc, garbage_is_dropped_and_counted);
	tcase_add_test(tc, results_up_to_the_bound);
	tcase_add_test(tc, results_over_the_bound_are_a_system_error);
	tcase_add_test(tc, a_bound_below_the_least_room_holds);
	tcase_add_test(tc, unknown_programs_and_versions_are_answered);
	tcase_add_test(tc, slow_calls_are_overtaken);
	tcase_add_test(tc, a_call_without_a_place_in_the_pool_is_dropped);
	tcase_add_test(tc, datagrams_need_no_more_than_they_can_have);
	tcase_add_test(tc, datagrams_do_not_overtake_those_that_wait);
	tcase_add_test(tc, datagrams_go_by_the_lane_while_others_wait);
	tcase_add_test(tc,
	               datagrams_that_are_dropped_have_those_go_that_are_stuck);
	tcase_add_test(tc, stopping_finishes_the_calls_in_flight);
	tcase_add_test(tc, a_reply_comes_from_the_address_that_was_asked);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
