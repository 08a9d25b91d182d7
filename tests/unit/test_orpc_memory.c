/*
 * The bound on bytes of records and replies, over all connections: it holds,
 * whatever clients send and do not read; all that do their part are served.
 */
#include "config.h"

#include "rpc/orpc.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/toy.h"

#define MANY 60
#define HOGS 20 /* of which a few fill the bound */
#define BOUND (6u << 20)
#define LARGE 1000000u
#define RECORD (48 + LARGE) /* of a call with so many bytes of arguments */

/* Nobody is stuck so soon, however slow the machine; or at once. */
#define PATIENT 60000
#define IMPATIENT 100

static unsigned char *record; /* TOY_ECHO of LARGE bytes */
static unsigned char *reply;  /* LARGE + 100 bytes */

static void setup(void)
{
	unsigned char *args = calloc(1, LARGE + 4);

	record = malloc(RECORD + 100);
	reply = malloc(LARGE + 100);
	toy_put(args, LARGE);
	ck_assert_uint_eq(toy_call(record, 1, TOY_ECHO, args, LARGE + 4),
	                  RECORD);
	free(args);
}

static void teardown(void)
{
	toy_stop();
	free(record);
	free(reply);
}

static void start(unsigned threads, unsigned stuck_ms)
{
	toy_start(&(struct orpc_config){ .threads = threads,
	                                 .workers = 4,
	                                 .max_connections = 1000,
	                                 .max_bytes = threads * BOUND,
	                                 .stuck_ms = stuck_ms });
}

static void check_bound(unsigned threads)
{
	struct orpc_stats stats = toy_stats();

	ck_assert_uint_le(stats.buffer_bytes + stats.spare_bytes,
	                  threads * BOUND);
}

/* Wait for something to read, looking at the bound the while. */
static void await(int fd, unsigned threads)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < 3000 && poll(&pollfd, 1, 10) == 0; i++)
		check_bound(threads);
	ck_assert_int_ne(pollfd.revents & POLLIN, 0);
}

/* On a slow machine we may seem stuck ourselves: then again, as clients do. */
static bool is_answered(uint32_t size, unsigned threads)
{
	unsigned char call[64];
	size_t len = toy_call_word(call, 7, TOY_BLOB, size);
	int fd = toy_pair();
	ssize_t n = -1;

	if (send(fd, call, len, MSG_NOSIGNAL) == (ssize_t)len) {
		await(fd, threads);
		n = toy_receive(fd, reply, LARGE + 100);
	}
	close(fd);
	ck_assert(n == -1 || n == 24 + 4 + (ssize_t)size);
	return n > 0;
}

static void expect_service(unsigned threads)
{
	int tries = 0;

	while (!is_answered(5000, threads))
		ck_assert_int_lt(++tries, 100);
	while (!is_answered(LARGE, threads))
		ck_assert_int_lt(++tries, 100);
}

/* Send what is taken, until nothing is for a while. */
static size_t send_some(int fd, const unsigned char *data, size_t len)
{
	size_t sent = 0;

	for (int tries = 0; sent < len && tries < 5;) {
		ssize_t n = send(fd, data + sent, len - sent,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			sent += (size_t)n;
			tries = 0;
		} else {
			tries++;
			usleep(1000);
		}
	}
	return sent;
}

START_TEST(a_bound_that_no_call_fits_in_is_refused)
{
	struct orpc_server *server = NULL;

	start(1, PATIENT); /* for teardown */
	ck_assert_int_eq(
		orpc_server_new(&(struct orpc_config){ .threads = 2,
	                                               .max_bytes = 7u << 20 },
	                        NULL, 0, &server),
		-ENOBUFS);
	ck_assert_ptr_null(server);
	/* The default is never too little. */
	ck_assert_int_eq(
		orpc_server_new(&(struct orpc_config){ .threads = 100 }, NULL,
	                        0, &server),
		0);
	orpc_server_free(server);
}
END_TEST

/* Also where the rest of the record is all that is missing. */
static const size_t parts[] = { 2, 4, 1000, LARGE / 2, LARGE };

START_TEST(records_begun_and_left_are_no_others_loss)
{
	for (int threads = 1; threads <= 2; threads++) {
		start(threads, IMPATIENT);
		for (int i = 0; i < HOGS; i++) {
			send_some(toy_pair(), record, parts[_i]);
			check_bound(threads);
		}
		expect_service(threads);
		expect_service(threads);
		if (threads == 1)
			toy_stop();
	}
	/* What is small enough takes nothing from anybody. */
	if (parts[_i] < LARGE / 2)
		return;
	ck_assert_uint_gt(toy_stats().closed_stuck, 0);
	ck_assert_uint_gt(toy_stats().waits, 0);
	/* One of each server: they are a minute apart. */
	ck_assert_int_eq(__atomic_load_n(&toy_log_lines, __ATOMIC_SEQ_CST), 2);
}
END_TEST

/* In the loop, and in the pool. */
static const uint32_t blobs[] = { TOY_BLOB, TOY_SLOWBLOB };

START_TEST(replies_that_are_not_read_are_no_others_loss)
{
	start(1, IMPATIENT);
	for (int i = 0; i < HOGS; i++) {
		int fd = toy_pair();

		for (uint32_t n = 0; n < 4; n++)
			toy_ask(fd, n, blobs[_i], LARGE);
		check_bound(1);
	}
	expect_service(1);
	expect_service(1);
	ck_assert_uint_gt(toy_stats().closed_stuck, 0);
}
END_TEST

START_TEST(small_replies_that_are_not_read_are_no_others_loss)
{
	unsigned char call[64];
	size_t len = toy_call_word(call, 1, TOY_BLOB, 4000);

	start(1, IMPATIENT);
	for (int i = 0; i < MANY; i++) {
		int fd = toy_pair();

		for (int n = 0; n < 100; n++) {
			if (send(fd, call, len, MSG_DONTWAIT | MSG_NOSIGNAL) <
			    0)
				break;
		}
		check_bound(1);
	}
	expect_service(1);
}
END_TEST

/* Is there something to read within so long a time? */
static bool is_readable(int fd, int ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, ms) > 0;
}

/* Bytes that come to one that waits do not begin its time anew. */
START_TEST(who_goes_on_sending_does_not_wait_longer)
{
	const uint32_t size = 20000;
	unsigned char *args = calloc(1, size + 4), *call = malloc(size + 100);
	int fd, more = 0;
	size_t len;

	toy_put(args, size);
	len = toy_call(call, 1, TOY_ECHO, args, size + 4);
	start(1, 300);
	/* Records are begun and left until this one waits, and no other does. */
	for (;;) {
		fd = toy_pair();
		toy_send(fd, call, len);
		if (!is_readable(fd, 50))
			break;
		close(fd);
		send_some(toy_pair(), record, LARGE / 2);
	}
	for (; !is_readable(fd, 100); more++) {
		ck_assert_int_lt(more, 20);
		toy_send(fd, call, toy_call(call, 2, TOY_NULL, NULL, 0));
	}
	toy_expect_blob(fd, 1, size, 0);
	while (more-- > 0)
		toy_expect_done(fd, 2);
	free(args);
	free(call);
}
END_TEST

/* ---- short calls -------------------------------------------------------------- */

/* Nobody is closed for standing still, in a time that matters here. */
static void start_with_lane(void)
{
	toy_start(&(struct orpc_config){ .threads = 1,
	                                 .workers = 4,
	                                 .max_connections = 1000,
	                                 .max_bytes = BOUND,
	                                 .max_brief = 8192,
	                                 .stuck_ms = PATIENT });
}

/* More of them than memory could be found for in turn. */
static void expect_short_calls(void)
{
	for (int i = 0; i < MANY; i++)
		ck_assert(is_answered(5000, 1));
	check_bound(1);
}

START_TEST(short_calls_pass_records_begun_and_left)
{
	start_with_lane();
	for (int i = 0; i < HOGS; i++)
		send_some(toy_pair(), record, parts[_i]);
	expect_short_calls();
	ck_assert_uint_eq(toy_stats().closed_stuck, 0);
}
END_TEST

START_TEST(short_calls_pass_long_replies_that_are_not_read)
{
	start_with_lane();
	for (int i = 0; i < HOGS; i++) {
		int fd = toy_pair();

		for (uint32_t n = 0; n < 4; n++)
			toy_ask(fd, n, blobs[_i], LARGE);
	}
	expect_short_calls();
}
END_TEST

/* These are in their way; in the pool, too. */
START_TEST(short_calls_have_short_replies_that_are_not_read_go)
{
	const uint32_t proc = _i ? TOY_SLOWBLOB : TOY_BLOB;
	unsigned char call[64];
	size_t len = toy_call_word(call, 1, proc, 5000);
	time_t end = time(NULL) + 50;

	start_with_lane();
	for (int i = 0; i < HOGS; i++)
		send_some(toy_pair(), record, LARGE);
	for (int i = 0; i < 4 * MANY; i++) {
		int fd = toy_pair();

		for (int n = 0; n < 100; n++) {
			if (send(fd, call, len, MSG_DONTWAIT | MSG_NOSIGNAL) <
			    0)
				break;
		}
	}
	/* Until they have used up all. */
	do {
		ck_assert_int_lt(time(NULL), end);
		expect_short_calls();
	} while (toy_stats().closed_stuck == 0);
}
END_TEST

/* A byte at a time, it is answered when it is whole. */
START_TEST(a_short_call_passes_in_pieces)
{
	unsigned char call[64];
	size_t len = toy_call_word(call, 7, TOY_BLOB, 5000);
	int fd;

	start_with_lane();
	for (int i = 0; i < HOGS; i++)
		send_some(toy_pair(), record, LARGE);
	fd = toy_pair();
	for (size_t i = 0; i < len; i++) {
		ck_assert_int_eq(send(fd, call + i, 1, MSG_NOSIGNAL), 1);
		usleep(1000);
	}
	await(fd, 1);
	toy_expect_blob(fd, 7, 5000, (unsigned char)5000);
	/* Two at once are two. */
	ck_assert_int_eq(send(fd, call, len, MSG_NOSIGNAL), (int)len);
	ck_assert_int_eq(send(fd, call, len, MSG_NOSIGNAL), (int)len);
	toy_expect_blob(fd, 7, 5000, (unsigned char)5000);
	toy_expect_blob(fd, 7, 5000, (unsigned char)5000);
}
END_TEST

/* ---- those that do their part ----------------------------------------------- */

struct client {
	int fd;
	size_t sent;
	size_t got;
};

/* Send a little of each record in turn, and take what comes. */
static bool go_on(struct client *client)
{
	static unsigned char taken[65536];
	size_t left = RECORD - client->sent;
	ssize_t n;

	if (left > 0) {
		n = send(client->fd, record + client->sent,
		         left < 50000 ? left : 50000,
		         MSG_DONTWAIT | MSG_NOSIGNAL);
		ck_assert(n > 0 || errno == EAGAIN);
		client->sent += n > 0 ? (size_t)n : 0;
	}
	n = recv(client->fd, taken, sizeof(taken), MSG_DONTWAIT);
	ck_assert(n > 0 || (n < 0 && errno == EAGAIN));
	client->got += n > 0 ? (size_t)n : 0;
	return client->got < 4 + 24 + 4 + LARGE;
}

START_TEST(all_records_that_go_on_are_answered)
{
	struct client clients[MANY] = { 0 };
	bool more = true;
	time_t end = time(NULL) + 50;

	start(1 + _i, PATIENT);
	for (int i = 0; i < MANY; i++)
		clients[i].fd = toy_pair();
	while (more) {
		more = false;
		for (int i = 0; i < MANY; i++) {
			if (clients[i].got < 4 + 24 + 4 + LARGE)
				more |= go_on(&clients[i]);
		}
		check_bound(1 + _i);
		ck_assert_msg(time(NULL) < end, "they wait for ever");
	}
	/* They do not fit all at once. */
	ck_assert_uint_gt(toy_stats().waits, 0);
	ck_assert_uint_eq(toy_stats().closed_stuck, 0);
	ck_assert_uint_eq(toy_stats().calls, MANY);
}
END_TEST

START_TEST(large_replies_from_the_pool_wait_for_room)
{
	int fd[MANY];

	start(1, PATIENT);
	for (int i = 0; i < MANY; i++) {
		fd[i] = toy_pair();
		toy_ask(fd[i], 1, TOY_SLOWBLOB, LARGE);
	}
	for (int i = 0; i < MANY; i++) {
		await(fd[i], 1);
		toy_expect_blob(fd[i], 1, LARGE, (unsigned char)LARGE);
	}
	check_bound(1);
}
END_TEST

/* Then nothing is left over, nor promised: a round of large ones fits still. */
START_TEST(what_is_done_holds_nothing)
{
	int fd[MANY];

	start(1, PATIENT);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < MANY; i++) {
			fd[i] = toy_pair();
			toy_ask(fd[i], 1, i % 2 ? TOY_BLOB : TOY_SLOWBLOB,
			        200000);
			/* Some go without taking it. */
			if (i % 3 == 0)
				close(fd[i]);
		}
		for (int i = 0; i < MANY; i++) {
			if (i % 3 == 0)
				continue;
			toy_expect_blob(fd[i], 1, 200000,
			                (unsigned char)200000);
			close(fd[i]);
		}
	}
	expect_service(1);
	/* As long as there are connections, something may be read from them. */
	for (int i = 0; i < 1000 && (toy_stats().connections > 0 ||
	                             toy_stats().buffer_bytes > 0);
	     i++)
		usleep(10000);
	ck_assert_uint_eq(toy_stats().connections, 0);
	ck_assert_uint_eq(toy_stats().buffer_bytes, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("orpc_memory");
	TCase *tc = tcase_create("memory");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_bound_that_no_call_fits_in_is_refused);
	tcase_add_loop_test(tc, records_begun_and_left_are_no_others_loss, 0,
	                    sizeof(parts) / sizeof(parts[0]));
	tcase_add_loop_test(tc, replies_that_are_not_read_are_no_others_loss, 0,
	                    2);
	tcase_add_test(tc, small_replies_that_are_not_read_are_no_others_loss);
	tcase_add_test(tc, who_goes_on_sending_does_not_wait_longer);
	tcase_add_loop_test(tc, short_calls_pass_records_begun_and_left, 0,
	                    sizeof(parts) / sizeof(parts[0]));
	tcase_add_loop_test(tc, short_calls_pass_long_replies_that_are_not_read,
	                    0, 2);
	tcase_add_loop_test(
		tc, short_calls_have_short_replies_that_are_not_read_go, 0, 2);
	tcase_add_test(tc, a_short_call_passes_in_pieces);
	tcase_add_loop_test(tc, all_records_that_go_on_are_answered, 0, 2);
	tcase_add_test(tc, large_replies_from_the_pool_wait_for_room);
	tcase_add_test(tc, what_is_done_holds_nothing);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
