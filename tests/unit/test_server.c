#include "config.h"

#include "server/server.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/bind.h"
#include "tests/lib/fixture.h"
#include "tests/lib/suite.h"

static struct fixture *fixture; /* for its layers */
static struct nfsd_options *options;
static struct nfsd_server *server;
static char why[512];

static void setup(void)
{
	char text[1024];

	fixture = fixture_new(1);
	options = &fixture->options;
	options->port = 0;
	options->threads = 1;
	options->rpcbind = NFSD_RPCBIND_NO;
	snprintf(text, sizeof(text),
	         "lowerdir=%1$s/lower0,upperdir=%1$s/upper,workdir=%1$s/work",
	         fixture->top);
	ck_assert_int_eq(nfsd_export_config_parse(&options->export, text, NULL,
	                                          why, sizeof(why)),
	                 0);
	ck_assert_int_eq(nfsd_export_config_set_path(&options->export,
	                                             FIXTURE_EXPORT, why,
	                                             sizeof(why)),
	                 0);
}

static void teardown(void)
{
	nfsd_server_free(server);
	fixture_free(fixture);
}

static int make(bool listen)
{
	return nfsd_server_new(options, &fixture->log, NULL, listen, &server,
	                       why, sizeof(why));
}

/* A socket on this port of 127.0.0.1, or -1: it is taken. */
static int take(int type, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons(port),
		                       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static uint16_t free_port(void)
{
	struct orpc_sockets sockets;
	uint16_t port = 0;

	ck_assert_int_eq(orpc_bind("127.0.0.1", &port, &sockets), 0);
	orpc_sockets_close(&sockets);
	return port;
}

/* The lowest descriptor that is free: it rises where one is left open. */
static int lowest_free(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

START_TEST(the_port_is_told_as_soon_as_it_is_bound)
{
	int fd;

	options->addresses[options->naddresses++] = "127.0.0.1";
	ck_assert_int_eq(make(true), 0);
	ck_assert_uint_ne(nfsd_server_port(server), 0);
	ck_assert_int_eq(take(SOCK_STREAM, nfsd_server_port(server)), -1);
	ck_assert_int_eq(take(SOCK_DGRAM, nfsd_server_port(server)), -1);

	options->port = nfsd_server_port(server);
	nfsd_server_free(server);
	server = NULL;
	fd = take(SOCK_DGRAM, options->port);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(make(true), 0);
	ck_assert_uint_eq(nfsd_server_port(server), options->port);
}
END_TEST

START_TEST(without_addresses_it_is_the_loopback_alone)
{
	int fd;

	ck_assert_int_eq(make(true), 0);
	ck_assert_int_eq(take(SOCK_STREAM, nfsd_server_port(server)), -1);
	/* Another address of this machine is left to others. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(
		bind(fd,
	             (struct sockaddr *)&(struct sockaddr_in){
			     .sin_family = AF_INET,
			     .sin_port = htons(nfsd_server_port(server)),
			     .sin_addr = { htonl(INADDR_LOOPBACK + 1) } },
	             sizeof(struct sockaddr_in)),
		0);
	close(fd);
}
END_TEST

START_TEST(who_does_not_listen_has_no_port)
{
	options->port = 1; /* not looked at */
	ck_assert_int_eq(make(false), 0);
	ck_assert_uint_eq(nfsd_server_port(server), 0);
}
END_TEST

START_TEST(a_port_that_is_taken_is_named_and_no_layer_touched)
{
	const uint16_t port = free_port();
	int taken = take(SOCK_STREAM, port), before = lowest_free();
	char number[16];

	options->addresses[options->naddresses++] = "127.0.0.1";
	options->port = port;
	ck_assert_int_eq(make(true), -EADDRINUSE);
	ck_assert_ptr_null(server);
	snprintf(number, sizeof(number), " %u", options->port);
	ck_assert_ptr_nonnull(strstr(why, "127.0.0.1"));
	ck_assert_ptr_nonnull(strstr(why, number));
	ck_assert_int_eq(lowest_free(), before);
	/* An empty directory still. */
	ck_assert_int_eq(unlinkat(fixture->topfd, "work", AT_REMOVEDIR), 0);
	close(taken);
}
END_TEST

START_TEST(layers_that_are_refused_leave_the_port_free)
{
	int before = lowest_free(), fd;

	options->port = free_port();
	options->addresses[options->naddresses++] = "127.0.0.1";
	ck_assert_int_eq(unlinkat(fixture->topfd, "lower0", AT_REMOVEDIR), 0);
	ck_assert_int_eq(make(true), -ENOENT);
	ck_assert_ptr_null(server);
	ck_assert_ptr_nonnull(strstr(why, "lower0"));
	ck_assert_int_eq(lowest_free(), before);
	fd = take(SOCK_STREAM, options->port);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(unlinkat(fixture->topfd, "work", AT_REMOVEDIR), 0);
}
END_TEST

START_TEST(an_address_that_is_none_is_named)
{
	options->addresses[options->naddresses++] = "127.0.0.1";
	options->addresses[options->naddresses++] = "nonsense";
	ck_assert_int_eq(make(true), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "nonsense"));
	ck_assert_ptr_null(server);
}
END_TEST

START_TEST(memory_too_little_for_its_loops_is_named)
{
	options->max_memory = 64u << 20;
	options->threads = 100;
	ck_assert_int_eq(make(false), -ENOBUFS);
	ck_assert_ptr_nonnull(strstr(why, "--max-memory"));
	options->threads = 2;
	ck_assert_int_eq(make(false), 0);
	nfsd_server_free(server);
	server = NULL;
	/* Where it is not said, it is enough. */
	options->max_memory = 0;
	options->threads = 200;
	ck_assert_int_eq(make(false), 0);
}
END_TEST

START_TEST(statistics_in_a_layer_are_refused)
{
	static const char *const layers[] = { "lower0", "upper", "work" };
	char path[512], fresh[520];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s/stats", fixture->top,
		         layers[i]);
		options->stats = path;
		ck_assert_int_eq(make(false), -EINVAL);
		ck_assert_ptr_nonnull(strstr(why, path));
		snprintf(fresh, sizeof(fresh), "%s.new", path);
		ck_assert_int_eq(access(path, F_OK), -1);
		ck_assert_int_eq(access(fresh, F_OK), -1);
	}
}
END_TEST

START_TEST(layers_are_served_by_one_server_at_a_time)
{
	struct nfsd_server *second = NULL;

	ck_assert_int_eq(make(false), 0);
	ck_assert_int_ne(nfsd_server_new(options, &fixture->log, NULL, false,
	                                 &second, why, sizeof(why)),
	                 0);
	ck_assert_ptr_null(second);
	nfsd_server_free(server);
	server = NULL;
	ck_assert_int_eq(make(false), 0);
}
END_TEST

START_TEST(a_socket_for_a_server_that_does_not_run_is_closed)
{
	int fds[2];
	char byte;

	ck_assert_int_eq(make(false), 0);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(nfsd_server_adopt(server, fds[0]), -EINVAL);
	ck_assert_int_eq(read(fds[1], &byte, 1), 0);
	close(fds[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *tcase = tcase_create("server");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_port_is_told_as_soon_as_it_is_bound);
	tcase_add_test(tcase, without_addresses_it_is_the_loopback_alone);
	tcase_add_test(tcase, who_does_not_listen_has_no_port);
	tcase_add_test(tcase,
	               a_port_that_is_taken_is_named_and_no_layer_touched);
	tcase_add_test(tcase, layers_that_are_refused_leave_the_port_free);
	tcase_add_test(tcase, an_address_that_is_none_is_named);
	tcase_add_test(tcase, memory_too_little_for_its_loops_is_named);
	tcase_add_test(tcase, statistics_in_a_layer_are_refused);
	tcase_add_test(tcase, layers_are_served_by_one_server_at_a_time);
	tcase_add_test(tcase,
	               a_socket_for_a_server_that_does_not_run_is_closed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
