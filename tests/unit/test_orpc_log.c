#include "config.h"

#include "rpc/log.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define A_MINUTE_MS 60000
#define THREADS 8

static struct orpc_log limited;
static atomic_uint lines;
static char last[512];
static int last_level;

static void note(void *arg, int level, const char *line)
{
	ck_assert_ptr_eq(arg, last);
	atomic_fetch_add(&lines, 1);
	last_level = level;
	snprintf(last, sizeof(last), "%s", line);
}

static void setup(void)
{
	orpc_log_init(&limited, note, last);
}

/* As if so much time had passed since the last line. */
static void pass(enum orpc_log_kind kind, uint64_t ms)
{
	atomic_fetch_sub(&limited.next_ms[kind], ms);
}

START_TEST(the_first_line_appears_as_it_was_written)
{
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "%s closed: %d", "me", 7);
	ck_assert_uint_eq(atomic_load(&lines), 1);
	ck_assert_str_eq(last, "me closed: 7");
	ck_assert_int_eq(last_level, LOG_NOTICE);
}
END_TEST

START_TEST(the_next_one_of_a_kind_appears_after_a_minute)
{
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "first");
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "at once");
	pass(ORPC_LOG_RECORD, A_MINUTE_MS / 2);
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "after half a minute");
	ck_assert_str_eq(last, "first");
	pass(ORPC_LOG_RECORD, A_MINUTE_MS / 2);
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "after a minute");
	ck_assert_str_eq(last, "after a minute");
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "at once again");
	ck_assert_uint_eq(atomic_load(&lines), 2);
}
END_TEST

START_TEST(one_kind_does_not_silence_another)
{
	for (int round = 0; round < 2; round++)
		for (int kind = 0; kind < ORPC_LOG_KINDS; kind++)
			orpc_log_seldom(&limited, (enum orpc_log_kind)kind,
			                "line");
	ck_assert_uint_eq(atomic_load(&lines), ORPC_LOG_KINDS);
}
END_TEST

static pthread_barrier_t start;

static void *say(void *arg)
{
	pthread_barrier_wait(&start);
	orpc_log_seldom(&limited, ORPC_LOG_FULL, "full");
	return arg;
}

START_TEST(of_many_threads_one_is_heard)
{
	pthread_t threads[THREADS];

	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, say, NULL),
		                 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	ck_assert_uint_eq(atomic_load(&lines), 1);
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	char text[2000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "%s", text);
	ck_assert_uint_gt(strlen(last), 200);
	ck_assert_uint_lt(strlen(last), sizeof(last) - 1);
	ck_assert_uint_eq(strspn(last, "x"), strlen(last));
}
END_TEST

START_TEST(a_server_without_a_log_is_silent)
{
	orpc_log_init(&limited, NULL, NULL);
	orpc_log_seldom(&limited, ORPC_LOG_RECORD, "nobody hears it");
	ck_assert_uint_eq(atomic_load(&lines), 0);
}
END_TEST

START_TEST(a_peer_has_its_address_and_port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET,
		                   .sin_port = htons(700) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		                    .sin6_port = htons(65535) };
	const struct sockaddr local = { .sa_family = AF_UNIX };
	char text[ORPC_PEER_TEXT];

	ck_assert_int_eq(inet_pton(AF_INET, "192.0.2.1", &in4.sin_addr), 1);
	orpc_log_peer((const struct sockaddr *)&in4, text);
	ck_assert_str_eq(text, "192.0.2.1 port 700");
	/* The longest there is. */
	ck_assert_int_eq(inet_pton(AF_INET6,
	                           "2001:db8:1111:2222:3333:4444:5555:6666",
	                           &in6.sin6_addr),
	                 1);
	orpc_log_peer((const struct sockaddr *)&in6, text);
	ck_assert_str_eq(text,
	                 "2001:db8:1111:2222:3333:4444:5555:6666 port 65535");
	orpc_log_peer(&local, text);
	ck_assert_str_eq(text, "a local socket");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("orpc_log");
	TCase *tcase = tcase_create("orpc_log");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, the_first_line_appears_as_it_was_written);
	tcase_add_test(tcase, the_next_one_of_a_kind_appears_after_a_minute);
	tcase_add_test(tcase, one_kind_does_not_silence_another);
	tcase_add_test(tcase, of_many_threads_one_is_heard);
	tcase_add_test(tcase, a_long_line_is_cut);
	tcase_add_test(tcase, a_server_without_a_log_is_silent);
	tcase_add_test(tcase, a_peer_has_its_address_and_port);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
