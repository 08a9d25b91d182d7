#include "config.h"

#include "rpc/bind.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Ports that UDP has and TCP may be given; in how many tries it is, surely. */
#define UDP_PORTS 500
#define ROUNDS 300

static struct orpc_sockets sockets;

static void setup(void)
{
	sockets = (struct orpc_sockets){ -1, -1, AF_UNSPEC };
}

static void teardown(void)
{
	orpc_sockets_close(&sockets);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		                     .sin_port = htons(port),
		                     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* A socket of somebody else on this port (0: any), or -1. */
static int take(int type, uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.ss_family == AF_INET6
	                     ? ((struct sockaddr_in6 *)&address)->sin6_port
	                     : ((struct sockaddr_in *)&address)->sin_port);
}

static int int_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

START_TEST(what_is_no_numeric_address_is_refused)
{
	static const char *const words[] = {
		"",       "localhost",   "256.0.0.1",  "127.0.0.1:80",
		"[::1]",  "127.0.0.1/8", " 127.0.0.1", "::1%nowhere",
		"::1::1", "/tmp/socket",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint16_t port = 0;

		ck_assert_msg(orpc_bind(words[i], &port, &sockets) == -EINVAL,
		              "\"%s\" is taken", words[i]);
		ck_assert_uint_eq(port, 0);
		ck_assert_int_eq(sockets.tcp, -1);
		ck_assert_int_eq(sockets.udp, -1);
	}
}
END_TEST

START_TEST(both_sockets_are_on_the_port_that_is_told)
{
	uint16_t port = 0;

	ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &sockets), 0);
	ck_assert_uint_ne(port, 0);
	ck_assert_uint_eq(port_of(sockets.tcp), port);
	ck_assert_uint_eq(port_of(sockets.udp), port);
	ck_assert_int_eq(sockets.family, AF_INET);
	ck_assert_int_eq(int_option(sockets.tcp, SOL_SOCKET, SO_TYPE),
	                 SOCK_STREAM);
	ck_assert_int_eq(int_option(sockets.udp, SOL_SOCKET, SO_TYPE),
	                 SOCK_DGRAM);
}
END_TEST

START_TEST(tcp_listens_and_neither_socket_blocks_or_is_inherited)
{
	uint16_t port = 0;

	ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &sockets), 0);
	ck_assert_int_eq(int_option(sockets.tcp, SOL_SOCKET, SO_ACCEPTCONN), 1);
	ck_assert(fcntl(sockets.tcp, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(sockets.udp, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(sockets.tcp, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(sockets.udp, F_GETFD) & FD_CLOEXEC);
}
END_TEST

START_TEST(any_port_is_one_free_for_udp_too)
{
	int others[UDP_PORTS];

	for (int i = 0; i < UDP_PORTS; i++)
		others[i] = take(SOCK_DGRAM, 0);
	for (int i = 0; i < ROUNDS; i++) {
		uint16_t port = 0;

		ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &sockets), 0);
		orpc_sockets_close(&sockets);
	}
	for (int i = 0; i < UDP_PORTS; i++)
		close(others[i]);
}
END_TEST

static uint16_t free_port(void)
{
	uint16_t port = 0;

	ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &sockets), 0);
	orpc_sockets_close(&sockets);
	return port;
}

/* Refused, because `type` is taken there, and the other one is let go. */
static void assert_refused(int type)
{
	const int other_type = type == SOCK_STREAM ? SOCK_DGRAM : SOCK_STREAM;
	const uint16_t port = free_port();
	int taken = take(type, port), other;
	uint16_t wish = port;

	ck_assert_int_ge(taken, 0);
	ck_assert_int_eq(orpc_bind("127.0.0.1", &wish, &sockets), -EADDRINUSE);
	ck_assert_uint_eq(wish, port);
	ck_assert_int_eq(sockets.tcp, -1);
	ck_assert_int_eq(sockets.udp, -1);
	other = take(other_type, port);
	ck_assert_int_ge(other, 0);
	close(other);
	close(taken);
}

START_TEST(a_port_that_either_has_taken_is_refused)
{
	assert_refused(SOCK_STREAM);
	assert_refused(SOCK_DGRAM);
}
END_TEST

START_TEST(an_address_of_another_machine_is_refused)
{
	uint16_t port = 0;

	/* RFC 5737: in documentation only. */
	ck_assert_int_eq(orpc_bind("192.0.2.1", &port, &sockets),
	                 -EADDRNOTAVAIL);
}
END_TEST

START_TEST(ipv6_takes_nothing_but_ipv6)
{
	struct orpc_sockets in4;
	uint16_t port = 0;

	if (orpc_bind("::1", &port, &sockets) == -EADDRNOTAVAIL) {
		puts("there is no IPv6 here");
		return;
	}
	ck_assert_int_eq(sockets.family, AF_INET6);
	ck_assert_uint_eq(port_of(sockets.udp), port);
	ck_assert_int_eq(int_option(sockets.tcp, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	ck_assert_int_eq(int_option(sockets.udp, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &in4), 0);
	orpc_sockets_close(&in4);
}
END_TEST

START_TEST(a_port_is_free_again_when_they_are_closed)
{
	uint16_t port = 0, same;

	ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &sockets), 0);
	orpc_sockets_close(&sockets);
	ck_assert_int_eq(sockets.tcp, -1);
	ck_assert_int_eq(sockets.udp, -1);
	orpc_sockets_close(&sockets); /* harmless */
	same = port;
	ck_assert_int_eq(orpc_bind("127.0.0.1", &same, &sockets), 0);
	ck_assert_uint_eq(same, port);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bind");
	TCase *tcase = tcase_create("bind");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_is_no_numeric_address_is_refused);
	tcase_add_test(tcase, both_sockets_are_on_the_port_that_is_told);
	tcase_add_test(tcase,
	               tcp_listens_and_neither_socket_blocks_or_is_inherited);
	tcase_add_test(tcase, any_port_is_one_free_for_udp_too);
	tcase_add_test(tcase, a_port_that_either_has_taken_is_refused);
	tcase_add_test(tcase, an_address_of_another_machine_is_refused);
	tcase_add_test(tcase, ipv6_takes_nothing_but_ipv6);
	tcase_add_test(tcase, a_port_is_free_again_when_they_are_closed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
