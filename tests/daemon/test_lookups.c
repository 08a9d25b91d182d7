/*
 * Clients that are known by name, while the name server is silent: whoever is not
 * looked up yet waits for his turn, and for no more.
 *
 * For root, who gives the server a name server of the test's own.
 */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/helper.h"
#include "tests/daemon/caller.h"
#include "tests/lib/suite.h"

#define NAME_SERVER "127.77.0.53"

/* What a query has of "slow.example" and "late.example". */
#define SLOW "\4slow\7example"
#define LATE "\4late\7example"

static struct daemon *veneerd;
static int name_server;

/* Queries come there, and are not answered. */
static void listen_for_queries(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_port = htons(53) };
	const struct timeval patience = { .tv_sec = 20 };

	inet_pton(AF_INET, NAME_SERVER, &at.sin_addr);
	name_server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(name_server, 0);
	ck_assert_int_eq(bind(name_server, (struct sockaddr *)&at, sizeof(at)),
	                 0);
	ck_assert_int_eq(setsockopt(name_server, SOL_SOCKET, SO_RCVTIMEO,
	                            &patience, sizeof(patience)),
	                 0);
}

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower");
	daemon_mkdir(veneerd, "etc");
	daemon_write(veneerd, "etc/nsswitch.conf", "hosts: files dns\n");
	daemon_write(veneerd, "etc/passwd", "root:x:0:0::/:/bin/sh\n");
	daemon_write(veneerd, "etc/hosts", "127.0.0.1 known.example\n");
	daemon_write(veneerd, "etc/resolv.conf",
	             "nameserver " NAME_SERVER "\nsearch .\n"
	             "options timeout:2 attempts:1\n");
	put_over(veneerd, "etc", "/etc");
	listen_for_queries();
	/*
	 * Many mount the first two: their paths have no padding, which libtirpc throws
	 * away into one buffer for all threads. ThreadSanitizer takes that for a race.
	 */
	serve(veneerd, "/to/slow slow.example(insecure,lowerdir=%1$s/lower,"
	               "statedir=%1$s/a)\n"
	               "/to/late late.example(insecure,lowerdir=%1$s/lower,"
	               "statedir=%1$s/b)\n"
	               "/export known.example(insecure,lowerdir=%1$s/lower,"
	               "statedir=%1$s/c)\n");
}

static void teardown(void)
{
	close(name_server);
	daemon_free(veneerd);
}

/* ---- calls, and what is asked for them ---------------------------------------- */

/* One that is not waited for; the client is to be freed. */
static struct client *begin_mount(unsigned host, const char *path)
{
	char address[16], args[64];
	struct client *client;
	XDR xdr;

	snprintf(address, sizeof(address), "127.0.0.%u", host);
	client = call_from(veneerd, address);
	xdrmem_create(&xdr, args, sizeof(args), XDR_ENCODE);
	ck_assert(xdr_dirpath(&xdr, (dirpath *)&path));
	ck_assert(client_send(client, MOUNT_PROGRAM, MOUNT_V3, MOUNTPROC3_MNT,
	                      args, xdr_getpos(&xdr)));
	return client;
}

/* Is the next query, if there is one, for this name? */
static bool is_asked(const char *name, int flags, uint16_t *port)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char query[512];
	ssize_t n = recvfrom(name_server, query, sizeof(query), flags,
	                     (struct sockaddr *)&from, &len);

	if (n < 0)
		return false;
	*port = from.sin_port;
	return memmem(query, (size_t)n, name, strlen(name)) != NULL;
}

/* As many ask as can, each from a port of its own (for IPv4, and IPv6). */
static void await_lookups(void)
{
	uint16_t ports[NFSD_HELPER_LOOKUPS], port;
	unsigned n = 0, i;

	while (n < NFSD_HELPER_LOOKUPS) {
		ck_assert(is_asked(SLOW, 0, &port));
		for (i = 0; i < n && ports[i] != port; i++)
			;
		if (i == n)
			ports[n++] = port;
	}
}

static void begin_lookups(struct client *clients[NFSD_HELPER_LOOKUPS])
{
	for (unsigned i = 0; i < NFSD_HELPER_LOOKUPS; i++)
		clients[i] = begin_mount(11 + i, "/to/slow");
	await_lookups();
}

static void free_clients(struct client **clients, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		client_free(clients[i]);
}

START_TEST(a_mount_waits_for_its_turn_to_be_looked_up)
{
	struct client *clients[NFSD_HELPER_LOOKUPS];

	begin_lookups(clients);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/export"),
	                 MNT3_OK);
	free_clients(clients, NFSD_HELPER_LOOKUPS);
}
END_TEST

/* What is being looked up has to end; nobody else's turn comes. */
START_TEST(the_end_does_not_wait_for_those_who_wait)
{
	struct client *clients[NFSD_HELPER_LOOKUPS], *late[8];
	uint16_t port;

	begin_lookups(clients);
	for (unsigned i = 0; i < 8; i++)
		late[i] = begin_mount(21 + i, "/to/late");
	usleep(300000);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	do {
		port = 0;
		ck_assert(!is_asked(LATE, MSG_DONTWAIT, &port));
	} while (port != 0);
	free_clients(clients, NFSD_HELPER_LOOKUPS);
	free_clients(late, 8);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lookups");
	TCase *tcase = tcase_create("lookups");

	if (geteuid() != 0) {
		puts("lookups: skipped: only root can give it a name server");
		return 77;
	}
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_mount_waits_for_its_turn_to_be_looked_up);
	tcase_add_test(tcase, the_end_does_not_wait_for_those_who_wait);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
