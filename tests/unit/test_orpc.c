#include "config.h"

#include "rpc/orpc.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/toy.h"

/* The protocol, mostly over a socket pair. */

static int fd;

static void setup(void)
{
	toy_start(NULL);
	fd = toy_pair();
}

static void teardown(void)
{
	close(fd);
	toy_stop();
}

/* The connection still does its work. */
static void expect_alive(void)
{
	toy_ask(fd, 4711, TOY_BLOB, 10);
	toy_expect_blob(fd, 4711, 10, 10);
}

/* ---- Record marking ---- */

START_TEST(a_call_in_two_reads_cut_anywhere)
{
	unsigned char call[64];
	size_t len = toy_call_word(call, 9, TOY_BLOB, 5);

	for (size_t cut = 1; cut < len; cut++) {
		toy_send(fd, call, cut);
		toy_settle(fd);
		toy_send(fd, call + cut, len - cut);
		toy_expect_blob(fd, 9, 5, 5);
	}
}
END_TEST

START_TEST(a_call_in_two_fragments_cut_anywhere)
{
	unsigned char call[64], wire[80];
	size_t len = toy_call_word(call, 9, TOY_BLOB, 5) - 4;

	for (size_t cut = 0; cut <= len; cut++) {
		size_t n = toy_put(wire, (uint32_t)cut);

		memcpy(wire + n, call + 4, cut);
		n += cut;
		n += toy_put(wire + n, 0x80000000u | (uint32_t)(len - cut));
		memcpy(wire + n, call + 4 + cut, len - cut);
		toy_send(fd, wire, n + len - cut);
		toy_expect_blob(fd, 9, 5, 5);
	}
}
END_TEST

START_TEST(a_call_byte_by_byte_in_a_fragment_each)
{
	unsigned char call[64], wire[5];
	size_t len = toy_call_word(call, 9, TOY_BLOB, 5) - 4;

	for (size_t i = 0; i < len; i++) {
		toy_put(wire, (i == len - 1 ? 0x80000000u : 0) | 1);
		wire[4] = call[4 + i];
		for (size_t k = 0; k < sizeof(wire); k++) {
			toy_send(fd, wire + k, 1);
			toy_settle(fd);
		}
	}
	toy_expect_blob(fd, 9, 5, 5);
}
END_TEST

START_TEST(a_thousand_calls_in_one_segment)
{
	unsigned char *calls = malloc(1000 * 64);
	size_t n = 0;

	for (uint32_t i = 0; i < 1000; i++)
		n += toy_call_word(calls + n, i, TOY_BLOB, i % 50);
	toy_send(fd, calls, n);
	for (uint32_t i = 0; i < 1000; i++)
		toy_expect_blob(fd, i, i % 50, (unsigned char)(i % 50));
	free(calls);
}
END_TEST

START_TEST(calls_of_odd_lengths_in_one_segment)
{
	unsigned char calls[100 * 80];
	size_t n = 0;

	/* Bytes behind the arguments are nobody's business, but upset the
	   alignment of what follows. */
	for (uint32_t i = 0; i < 100; i++) {
		size_t len = toy_call_word(calls + n, i, TOY_BLOB, i);

		toy_put(calls + n, 0x80000000u | (uint32_t)(len - 4 + i % 7));
		memset(calls + n + len, 0xff, i % 7);
		n += len + i % 7;
	}
	toy_send(fd, calls, n);
	for (uint32_t i = 0; i < 100; i++)
		toy_expect_blob(fd, i, i, (unsigned char)i);
}
END_TEST

static void echo_megabytes(int socket)
{
	const uint32_t size = 1 << 20;
	unsigned char *args = malloc(4 + size), *call = malloc(100 + size);
	size_t len;

	toy_put(args, size);
	memset(args + 4, 'z', size);
	for (uint32_t i = 0; i < 5; i++) {
		len = toy_call(call, i, TOY_ECHO, args, 4 + size);
		toy_send(socket, call, len / 3);
		toy_send(socket, call + len / 3, len - len / 3);
		toy_expect_blob(socket, i, size, 'z');
	}
	free(args);
	free(call);
}

START_TEST(large_calls_over_many_segments)
{
	echo_megabytes(fd);
	expect_alive();
}
END_TEST

START_TEST(records_without_a_byte_are_harmless)
{
	unsigned char marks[40];

	for (size_t i = 0; i < 10; i++)
		toy_put(marks + 4 * i, 0x80000000u);
	toy_send(fd, marks, sizeof(marks));
	expect_alive();
}
END_TEST

/* ---- What closes the connection ---- */

static void expect_thrown_out(const void *data, size_t len)
{
	unsigned char call[64];
	struct orpc_stats stats;

	/* What came before is answered all the same. */
	toy_send(fd, call, toy_call(call, 1, TOY_NULL, NULL, 0));
	toy_send(fd, data, len);
	toy_expect_done(fd, 1);
	toy_expect_closed(fd);
	stats = toy_stats();
	ck_assert_uint_eq(stats.closed_broken, 1);
	ck_assert_uint_eq(stats.connections, 0);
	ck_assert_int_eq(__atomic_load_n(&toy_log_lines, __ATOMIC_SEQ_CST), 1);
}

START_TEST(a_record_over_the_limit_closes)
{
	unsigned char mark[4];

	toy_put(mark, 0x80000000u | ((1 << 20) + (64 << 10) + 1));
	expect_thrown_out(mark, sizeof(mark));
}
END_TEST

START_TEST(a_length_of_two_gigabytes_closes)
{
	unsigned char mark[4] = { 0x7f, 0xff, 0xff, 0xff };

	expect_thrown_out(mark, sizeof(mark));
}
END_TEST

START_TEST(a_fragment_bomb_closes)
{
	static const unsigned char marks[4 * 5000];

	expect_thrown_out(marks, sizeof(marks));
}
END_TEST

START_TEST(a_reply_closes)
{
	unsigned char call[64];
	size_t len = toy_call(call, 2, TOY_NULL, NULL, 0);

	toy_put(call + 8, 1);
	expect_thrown_out(call, len);
}
END_TEST

START_TEST(a_call_cut_short_closes)
{
	unsigned char call[64];

	toy_call(call, 2, TOY_NULL, NULL, 0);
	toy_put(call, 0x80000000u | 30);
	expect_thrown_out(call, 34);
}
END_TEST

START_TEST(another_protocol_closes)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

	expect_thrown_out(http, sizeof(http) - 1);
}
END_TEST

START_TEST(such_connections_are_logged_once_a_minute)
{
	for (int i = 0; i < 20; i++) {
		int other = toy_pair();

		toy_send(other, "\xff\xff\xff\xff", 4);
		toy_expect_closed(other);
		close(other);
	}
	ck_assert_uint_eq(toy_stats().closed_broken, 20);
	ck_assert_int_eq(__atomic_load_n(&toy_log_lines, __ATOMIC_SEQ_CST), 1);
}
END_TEST

/* ---- Accept and reject states ---- */

/* The reply to a call of these words is these words, and no more. */
static void expect_answer(const uint32_t *call, size_t ncall,
                          const uint32_t *reply, size_t nreply)
{
	unsigned char wire[256], wanted[256], got[256];
	size_t n = toy_put(wire, 0x80000000u | (uint32_t)(4 * ncall));

	for (size_t i = 0; i < ncall; i++)
		n += toy_put(wire + n, call[i]);
	toy_send(fd, wire, n);
	for (size_t i = 0; i < nreply; i++)
		toy_put(wanted + 4 * i, reply[i]);
	ck_assert_int_eq(toy_receive(fd, got, sizeof(got)),
	                 (ssize_t)(4 * nreply));
	ck_assert_mem_eq(got, wanted, 4 * nreply);
	expect_alive();
}

#define WORDS(...)                         \
	(const uint32_t[]){ __VA_ARGS__ }, \
		sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t)
#define NOBODY 0, 0, 0, 0

START_TEST(success)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_BLOB, NOBODY, 5),
	              WORDS(7, 1, 0, 0, 0, 0, 5, 0x05050505, 0x05050505));
}
END_TEST

START_TEST(an_unknown_rpc_version_is_rpc_mismatch)
{
	expect_answer(WORDS(7, 0, 3, TOY_PROG, 3, TOY_NULL, NOBODY),
	              WORDS(7, 1, 1, 0, 2, 2));
}
END_TEST

START_TEST(an_unknown_program_is_prog_unavail)
{
	expect_answer(WORDS(7, 0, 2, 99, 3, TOY_NULL, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 1));
}
END_TEST

/* A client that tries version 4 first must be told at once. */
START_TEST(an_unknown_version_is_prog_mismatch_with_the_range)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 4, TOY_NULL, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 2, 3, 3));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 0, 77, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 2, 3, 3));
	expect_answer(WORDS(7, 0, 2, TOY_OTHER_PROG, 3, TOY_NULL, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 2, 1, 4));
}
END_TEST

START_TEST(an_unknown_procedure_is_proc_unavail)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_PROCS, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 3));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, 0xffffffff, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 3));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_HOLE, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 3));
}
END_TEST

START_TEST(arguments_that_do_not_decode_are_garbage_args)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_BLOB, NOBODY),
	              WORDS(7, 1, 0, 0, 0, 4));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_ECHO, NOBODY, 8, 1),
	              WORDS(7, 1, 0, 0, 0, 4));
}
END_TEST

START_TEST(what_a_procedure_says_is_what_the_caller_gets)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_RETURN, NOBODY,
	                    ORPC_GARBAGE_ARGS),
	              WORDS(7, 1, 0, 0, 0, 4));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_RETURN, NOBODY,
	                    ORPC_SYSTEM_ERR),
	              WORDS(7, 1, 0, 0, 0, 5));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_RETURN, NOBODY,
	                    ORPC_AUTH_ERROR),
	              WORDS(7, 1, 1, 1, 5));
}
END_TEST

START_TEST(a_procedure_that_waits_for_ever_is_a_system_error)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_RETURN, NOBODY,
	                    ORPC_WAIT),
	              WORDS(7, 1, 0, 0, 0, 5));
}
END_TEST

START_TEST(an_unknown_flavor_is_a_rejected_credential)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_NULL, 6, 4, 1, 0, 0),
	              WORDS(7, 1, 1, 1, 2));
}
END_TEST

START_TEST(a_bad_credential_is_bad)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_NULL, 1, 8, 1, 300, 0, 0),
	              WORDS(7, 1, 1, 1, 1));
}
END_TEST

START_TEST(a_bad_verifier_is_bad)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_NULL, 0, 0, 0, 1000),
	              WORDS(7, 1, 1, 1, 3));
}
END_TEST

/* ---- Who calls ---- */

START_TEST(the_credential_reaches_the_procedure)
{
	const uint32_t call[] = { 0x80000000u | 76,
		                  1,
		                  0,
		                  2,
		                  TOY_PROG,
		                  3,
		                  TOY_WHO,
		                  1,
		                  36,
		                  0x5157,
		                  3,
		                  0x61626300,
		                  1000,
		                  100,
		                  3,
		                  4,
		                  24,
		                  27,
		                  0,
		                  0 };
	unsigned char wire[sizeof(call)], reply[256];

	for (size_t i = 0; i < sizeof(call) / 4; i++)
		toy_put(wire + 4 * i, call[i]);
	toy_send(fd, wire, sizeof(wire));
	ck_assert_int_eq(toy_receive(fd, reply, sizeof(reply)), 24 + 36);
	ck_assert_uint_eq(toy_word(reply + 28), 1);
	ck_assert_uint_eq(toy_word(reply + 32), 1000);
	ck_assert_uint_eq(toy_word(reply + 36), 100);
	ck_assert_uint_eq(toy_word(reply + 40), 3);
	ck_assert_uint_eq(toy_word(reply + 44), 27);
}
END_TEST

START_TEST(a_call_of_nobody_over_a_socket_pair)
{
	struct toy_who who = toy_who(fd);

	ck_assert_uint_eq(who.flavor, 0);
	ck_assert_uint_eq(who.family, AF_UNIX);
	ck_assert_uint_eq(who.datagram, 0);
	ck_assert_uint_eq(who.max_results, (1 << 20) + (64 << 10));
}
END_TEST

/* ---- Results ---- */

START_TEST(results_without_a_reservation_have_their_least_room)
{
	toy_ask(fd, 1, TOY_CRAM, ORPC_RESULTS_MIN - 4);
	toy_expect_blob(fd, 1, ORPC_RESULTS_MIN - 4,
	                (ORPC_RESULTS_MIN - 4) & 255);
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_CRAM, NOBODY,
	                    ORPC_RESULTS_MIN),
	              WORDS(7, 1, 0, 0, 0, 5));
}
END_TEST

START_TEST(results_of_all_sizes_one_behind_the_other)
{
	const uint32_t sizes[] = { 0,     1,     8000,  9000,   30000,
		                   64000, 65536, 70000, 300000, 1 << 20,
		                   12,    4096,  100000 };
	const uint32_t n = sizeof(sizes) / sizeof(sizes[0]);

	for (uint32_t i = 0; i < n; i++)
		toy_ask(fd, i, TOY_BLOB, sizes[i]);
	for (uint32_t i = 0; i < n; i++)
		toy_expect_blob(fd, i, sizes[i], (unsigned char)sizes[i]);
}
END_TEST

START_TEST(large_results_of_the_pool)
{
	for (uint32_t i = 0; i < 3; i++) {
		toy_ask(fd, i, TOY_SLOWBLOB, 1 << 20);
		toy_expect_blob(fd, i, 1 << 20, 0);
		toy_ask(fd, i, TOY_SLOWBLOB, 12000);
		toy_expect_blob(fd, i, 12000, (unsigned char)12000);
	}
}
END_TEST

START_TEST(a_reservation_over_the_bound_fails)
{
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_BLOB, NOBODY,
	                    (1 << 20) + (64 << 10) - 3),
	              WORDS(7, 1, 0, 0, 0, 5));
	expect_answer(WORDS(7, 0, 2, TOY_PROG, 3, TOY_BLOB, NOBODY, 0xffffffff),
	              WORDS(7, 1, 0, 0, 0, 5));
}
END_TEST

START_TEST(replies_still_come_after_the_client_has_said_its_last)
{
	toy_ask(fd, 1, TOY_BLOB, 20);
	toy_ask(fd, 2, TOY_SLOW, 2);
	shutdown(fd, SHUT_WR);
	toy_expect_blob(fd, 1, 20, 20);
	toy_expect_silence(fd);
	sem_post(&toy_release);
	toy_expect_word(fd, 2, 2);
	toy_expect_closed(fd);
}
END_TEST

/* ---- TCP ---- */

static void over_tcp(const char *address, unsigned family)
{
	uint16_t port = 0;
	int tcp;

	toy_start_at(NULL, address, &port);
	ck_assert_uint_ne(port, 0);
	tcp = toy_connect(SOCK_STREAM, address, port);
	ck_assert_uint_eq(toy_who(tcp).family, family);
	echo_megabytes(tcp);
	close(tcp);
	toy_stop();
}

START_TEST(over_ipv4)
{
	over_tcp("127.0.0.1", AF_INET);
}
END_TEST

START_TEST(over_ipv6)
{
	over_tcp("::1", AF_INET6);
}
END_TEST

START_TEST(both_families_on_one_port)
{
	const struct orpc_config config = { .threads = 1, .workers = 1 };
	struct orpc_server *server;
	uint16_t port = 0, same;

	ck_assert_int_eq(orpc_server_new(&config, NULL, 0, &server), 0);
	ck_assert_int_eq(orpc_server_listen(server, "127.0.0.1", &port), 0);
	same = port;
	ck_assert_int_eq(orpc_server_listen(server, "::1", &same), 0);
	ck_assert_uint_eq(same, port);
	ck_assert_int_eq(orpc_server_listen(server, "127.0.0.1", &same),
	                 -EADDRINUSE);
	ck_assert_int_eq(orpc_server_listen(server, "localhost", &same),
	                 -EINVAL);
	orpc_server_free(server);
}
END_TEST

START_TEST(two_programs_of_one_number_are_refused)
{
	const struct orpc_config config = { 0 };
	const struct orpc_program twice[] = { { .prog = 5 }, { .prog = 5 } };
	struct orpc_server *server;

	ck_assert_int_eq(orpc_server_new(&config, twice, 2, &server), -EINVAL);
}
END_TEST

static void add_protocol(TCase *tc)
{
	tcase_add_test(tc, a_call_in_two_reads_cut_anywhere);
	tcase_add_test(tc, a_call_in_two_fragments_cut_anywhere);
	tcase_add_test(tc, a_call_byte_by_byte_in_a_fragment_each);
	tcase_add_test(tc, a_thousand_calls_in_one_segment);
	tcase_add_test(tc, calls_of_odd_lengths_in_one_segment);
	tcase_add_test(tc, large_calls_over_many_segments);
	tcase_add_test(tc, records_without_a_byte_are_harmless);
	tcase_add_test(tc, a_record_over_the_limit_closes);
	tcase_add_test(tc, a_length_of_two_gigabytes_closes);
	tcase_add_test(tc, a_fragment_bomb_closes);
	tcase_add_test(tc, a_reply_closes);
	tcase_add_test(tc, a_call_cut_short_closes);
	tcase_add_test(tc, another_protocol_closes);
	tcase_add_test(tc, such_connections_are_logged_once_a_minute);
	tcase_add_test(tc, success);
	tcase_add_test(tc, an_unknown_rpc_version_is_rpc_mismatch);
	tcase_add_test(tc, an_unknown_program_is_prog_unavail);
	tcase_add_test(tc, an_unknown_version_is_prog_mismatch_with_the_range);
	tcase_add_test(tc, an_unknown_procedure_is_proc_unavail);
	tcase_add_test(tc, arguments_that_do_not_decode_are_garbage_args);
	tcase_add_test(tc, what_a_procedure_says_is_what_the_caller_gets);
	tcase_add_test(tc, a_procedure_that_waits_for_ever_is_a_system_error);
	tcase_add_test(tc, an_unknown_flavor_is_a_rejected_credential);
	tcase_add_test(tc, a_bad_credential_is_bad);
	tcase_add_test(tc, a_bad_verifier_is_bad);
	tcase_add_test(tc, the_credential_reaches_the_procedure);
	tcase_add_test(tc, a_call_of_nobody_over_a_socket_pair);
	tcase_add_test(tc, results_without_a_reservation_have_their_least_room);
	tcase_add_test(tc, results_of_all_sizes_one_behind_the_other);
	tcase_add_test(tc, large_results_of_the_pool);
	tcase_add_test(tc, a_reservation_over_the_bound_fails);
	tcase_add_test(tc,
	               replies_still_come_after_the_client_has_said_its_last);
}

int main(void)
{
	Suite *suite = suite_create("orpc");
	TCase *protocol = tcase_create("protocol");
	TCase *sockets = tcase_create("sockets");

	tcase_add_checked_fixture(protocol, setup, teardown);
	tcase_set_timeout(protocol, 60);
	add_protocol(protocol);
	suite_add_tcase(suite, protocol);
	tcase_set_timeout(sockets, 60);
	tcase_add_test(sockets, over_ipv4);
	tcase_add_test(sockets, over_ipv6);
	tcase_add_test(sockets, both_families_on_one_port);
	tcase_add_test(sockets, two_programs_of_one_number_are_refused);
	suite_add_tcase(suite, sockets);
	return suite_run(suite);
}
