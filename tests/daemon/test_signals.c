#include "config.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define OPTIONS "insecure,no_root_squash"
#define CALLS 20
#define MAX_TEXT 16384

static struct daemon *veneerd;
static char text[MAX_TEXT];

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower text");
}

static void teardown(void)
{
	daemon_free(veneerd);
}

static struct client *connect_to_it(void)
{
	return client_new(daemon_connect(veneerd));
}

static void assert_ended_well(int status)
{
	ck_assert_msg(WIFEXITED(status), "killed by signal %d",
	              WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static const char *read_file(const char *name)
{
	char path[PATH_MAX];
	FILE *file = fopen(daemon_path(veneerd, name, path), "re");
	size_t n;

	ck_assert_ptr_nonnull(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
#define NENDS (int)(sizeof(ends) / sizeof(ends[0]))

START_TEST(a_signal_ends_it_with_status_0)
{
	struct client *client;

	daemon_start(veneerd, OPTIONS);
	client = connect_to_it();
	nfs_put_text(client, nfs_find(client, nfs_root(client), "file"),
	             "UPPER");
	assert_ended_well(daemon_end(veneerd, ends[_i]));
	ck_assert(client_is_closed(client));
	client_free(client);
	ck_assert_str_eq(read_file("upper/file"), "UPPER text");
	ck_assert_str_eq(read_file("lower/file"), "lower text");
}
END_TEST

START_TEST(sigusr1_logs_statistics_and_it_goes_on)
{
	struct client *client;

	daemon_start(veneerd, OPTIONS);
	client = connect_to_it();
	nfs_root(client);
	ck_assert_int_eq(kill(veneerd->pid, SIGUSR1), 0);
	daemon_await_log(veneerd, "calls ");
	daemon_await_log(veneerd, "open files ");
	nfs_root(client);
	client_free(client);
	assert_ended_well(daemon_end(veneerd, SIGTERM));
}
END_TEST

START_TEST(other_signals_do_not_end_it)
{
	struct client *client;

	daemon_start(veneerd, OPTIONS);
	client = connect_to_it();
	ck_assert_int_eq(kill(veneerd->pid, SIGPIPE), 0);
	ck_assert_int_eq(kill(veneerd->pid, SIGXFSZ), 0);
	nfs_root(client);
	client_free(client);
	assert_ended_well(daemon_end(veneerd, SIGTERM));
}
END_TEST

/* ---- calls in flight ------------------------------------------------------ */

/* Send MKDIR of dir0, dir1 and so on, in one segment. */
static void send_mkdirs(struct client *client)
{
	MKDIR3args args = { .where.dir = nfs_root(client) };
	const int on = 1, off = 0;
	char bytes[512], name[32];
	XDR xdr;

	setsockopt(client->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	for (int i = 0; i < CALLS; i++) {
		snprintf(name, sizeof(name), "dir%d", i);
		args.where.name = name;
		xdrmem_create(&xdr, bytes, sizeof(bytes), XDR_ENCODE);
		ck_assert(xdr_MKDIR3args(&xdr, &args));
		client_send(client, NFS_PROGRAM, NFS_V3, NFSPROC3_MKDIR, bytes,
		            xdr_getpos(&xdr));
	}
	setsockopt(client->fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
}

/* The records that come until the connection ends, of one fragment each. */
static int count_replies(struct client *client)
{
	static unsigned char bytes[65536];
	size_t len = 0, at = 0;
	int replies = 0;
	ssize_t n;

	while ((n = recv(client->fd, bytes + len, sizeof(bytes) - len, 0)) > 0)
		len += (size_t)n;
	while (at + 4 <= len) {
		at += 4 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]);
		replies++;
	}
	ck_assert_uint_eq(at, len);
	return replies;
}

/* Once the first reply is there, all the calls are in flight. */
START_TEST(calls_in_flight_are_finished_and_answered)
{
	char name[32], path[PATH_MAX], byte;
	struct client *client;

	daemon_start(veneerd, OPTIONS ",sync");
	client = connect_to_it();
	send_mkdirs(client);
	ck_assert_int_eq(recv(client->fd, &byte, 1, MSG_PEEK), 1);
	assert_ended_well(daemon_end(veneerd, SIGTERM));
	ck_assert_int_eq(count_replies(client), CALLS);
	client_free(client);
	for (int i = 0; i < CALLS; i++) {
		snprintf(name, sizeof(name), "upper/dir%d", i);
		ck_assert_int_eq(access(daemon_path(veneerd, name, path), F_OK),
		                 0);
	}
}
END_TEST

/* ---- what needs no layers --------------------------------------------------- */

START_TEST(help_and_version_are_printed)
{
	const char *const help[] = { "--help", NULL };
	const char *const version[] = { "--version", NULL };

	ck_assert_int_eq(daemon_run(help, text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, "lowerdir="));
	ck_assert_int_eq(daemon_run(version, text, sizeof(text)), 0);
	ck_assert_str_eq(text, PACKAGE_STRING "\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("signals");
	TCase *tcase = tcase_create("signals");

	if (getenv("VENEERD") == NULL) {
		puts("VENEERD is not set");
		return 77;
	}
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, a_signal_ends_it_with_status_0, 0, NENDS);
	tcase_add_test(tcase, sigusr1_logs_statistics_and_it_goes_on);
	tcase_add_test(tcase, other_signals_do_not_end_it);
	tcase_add_test(tcase, calls_in_flight_are_finished_and_answered);
	tcase_add_test(tcase, help_and_version_are_printed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
