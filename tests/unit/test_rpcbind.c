#include "config.h"

#include "rpc/rpcbind.h"
#include "server/helper.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <rpc/rpc.h>
#include <rpc/rpcb_prot.h>

/*
 * With an rpcbind of our own, in a network and a /run of our own: so it does
 * not meet one that runs here, and cannot be reached from elsewhere.
 */

#define PORT 2049 /* "8.1" in a universal address */

static const struct orpc_version versions[] = { { 1, NULL, 0 },
	                                        { 3, NULL, 0 } };
static const struct orpc_version version[] = { { 3, NULL, 0 } };
static const struct orpc_program programs[] = {
	{ 400200, "two", versions, 2, NULL },
	{ 400201, "one", version, 1, NULL },
};
static const struct orpc_program other = { 400300, "other", version, 1, NULL };

static const char *const loopback[] = { "127.0.0.1", "::1" };

static pid_t rpcbind;

static bool append(const char *path, const char *text)
{
	FILE *file = fopen(path, "ae");
	bool done = file && fputs(text, file) >= 0;

	return file && !fclose(file) && done;
}

/* The user that rpcbind becomes, where the package is only unpacked. */
static bool add_user(void)
{
	static const char user[] =
		"_rpc:x:65534:65534::/run:/usr/sbin/nologin\n";

	return !system("cp /etc/passwd /run/passwd") &&
	       append("/run/passwd", user) &&
	       !mount("/run/passwd", "/etc/passwd", NULL, MS_BIND, NULL);
}

static bool enter_own_world(void)
{
	struct ifreq lo = { .ifr_name = "lo",
		            .ifr_flags = IFF_UP | IFF_RUNNING };
	int s, err;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL))
		return false;
	if (!getpwnam("_rpc") && !add_user())
		return false;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = ioctl(s, SIOCSIFFLAGS, &lo);
	close(s);
	return err == 0;
}

/* All that is registered, to be freed; or NULL. */
static rpcblist *dump(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(PMAPPORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval timeout = { .tv_sec = 5 };
	xdrproc_t nothing = (xdrproc_t)(void (*)(void))xdr_void;
	rpcblist *list = NULL;
	int fd = RPC_ANYSOCK;
	CLIENT *client =
		clnttcp_create(&address, RPCBPROG, RPCBVERS, &fd, 0, 0);

	if (!client)
		return NULL;
	clnt_call(client, RPCBPROC_DUMP, nothing, NULL,
	          (xdrproc_t)xdr_rpcblist_ptr, &list, timeout);
	clnt_destroy(client);
	return list;
}

/*
 * How often this program is registered, with this netid and at this address
 * where they are not NULL.
 */
static int count(uint32_t prog, const char *netid, const char *uaddr)
{
	rpcblist *list = dump();
	int n = 0;

	for (rpcblist *at = list; at; at = at->rpcb_next) {
		if (at->rpcb_map.r_prog == prog &&
		    (!netid || !strcmp(at->rpcb_map.r_netid, netid)) &&
		    (!uaddr || !strcmp(at->rpcb_map.r_addr, uaddr)))
			n++;
	}
	xdr_free((xdrproc_t)xdr_rpcblist_ptr, &list);
	return n;
}

static void start_rpcbind(void)
{
	rpcbind = fork();
	if (rpcbind == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("rpcbind", "rpcbind", "-f", NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && count(RPCBPROG, NULL, NULL) == 0; i++)
		usleep(10000);
	ck_assert_int_gt(count(RPCBPROG, NULL, NULL), 0);
}

static void stop_rpcbind(void)
{
	kill(rpcbind, SIGTERM);
	waitpid(rpcbind, NULL, 0);
}

static int set(const char *const *addresses, size_t n, uint16_t port)
{
	return orpc_rpcbind_set(programs, 2, addresses, n, port);
}

START_TEST(every_version_is_registered_for_each_transport)
{
	ck_assert_int_eq(set(loopback, 2, PORT), 0);
	ck_assert_int_eq(count(400200, NULL, NULL), 8);
	ck_assert_int_eq(count(400201, NULL, NULL), 4);
	ck_assert_int_eq(count(400200, "tcp", "127.0.0.1.8.1"), 2);
	ck_assert_int_eq(count(400200, "udp", "127.0.0.1.8.1"), 2);
	ck_assert_int_eq(count(400200, "tcp6", "::1.8.1"), 2);
	ck_assert_int_eq(count(400200, "udp6", "::1.8.1"), 2);
}
END_TEST

START_TEST(only_the_families_that_are_served_are_registered)
{
	ck_assert_int_eq(set(loopback, 1, PORT), 0);
	ck_assert_int_eq(count(400201, NULL, NULL), 2);
	ck_assert_int_eq(count(400201, "tcp6", NULL), 0);
	ck_assert_int_eq(set(loopback + 1, 1, PORT), 0);
	ck_assert_int_eq(count(400201, NULL, NULL), 2);
	ck_assert_int_eq(count(400201, "tcp6", NULL), 1);
}
END_TEST

START_TEST(several_addresses_of_a_family_are_registered_as_any)
{
	const char *const two[] = { "127.0.0.1", "127.0.0.2" };

	ck_assert_int_eq(set(two, 2, PORT), 0);
	ck_assert_int_eq(count(400201, "tcp", "0.0.0.0.8.1"), 1);
}
END_TEST

START_TEST(what_was_registered_before_is_replaced)
{
	ck_assert_int_eq(set(loopback, 2, 1111), 0);
	ck_assert_int_eq(set(loopback, 2, PORT), 0);
	ck_assert_int_eq(count(400201, NULL, NULL), 4);
	ck_assert_int_eq(count(400201, "tcp", "127.0.0.1.8.1"), 1);
}
END_TEST

START_TEST(taking_back_leaves_others_alone)
{
	ck_assert_int_eq(orpc_rpcbind_set(&other, 1, loopback, 1, 1111), 0);
	ck_assert_int_eq(set(loopback, 2, PORT), 0);
	orpc_rpcbind_unset(programs, 2);
	ck_assert_int_eq(count(400200, NULL, NULL), 0);
	ck_assert_int_eq(count(400201, NULL, NULL), 0);
	ck_assert_int_eq(count(400300, NULL, NULL), 2);
	orpc_rpcbind_unset(programs, 2); /* nothing there: no harm */
}
END_TEST

START_TEST(what_another_user_registered_is_refused)
{
	ck_assert_int_eq(orpc_rpcbind_set(&programs[1], 1, loopback, 1, 1111),
	                 0);
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(set(loopback, 1, PORT), -EACCES);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(count(400200, NULL, NULL), 0); /* not by halves */
	ck_assert_int_eq(count(400201, "tcp", "127.0.0.1.4.87"), 1);
}
END_TEST

START_TEST(a_name_is_no_address)
{
	const char *const name[] = { "localhost" };

	ck_assert_int_eq(set(name, 1, PORT), -EINVAL);
}
END_TEST

/* As veneerd does it, which may not by itself; as another user, too. */
START_TEST(a_helper_registers_and_takes_back)
{
	const struct nfsd_log log = { STDERR_FILENO, LOG_ERR };
	gid_t group = 65534;
	const struct nfsd_user user = { 65534, 65534, &group, 1 };
	struct nfsd_helper *helper;
	char why[256];

	ck_assert_msg(nfsd_helper_new(_i == 0 ? NULL : &user, true, &log,
	                              &helper, why, sizeof(why)) == 0,
	              "%s", why);
	ck_assert_int_eq(nfsd_helper_register(helper, programs, 2, loopback, 2,
	                                      PORT),
	                 0);
	ck_assert_int_eq(count(400200, NULL, NULL), 8);
	ck_assert_int_eq(count(400200, "tcp6", "::1.8.1"), 2);
	ck_assert_int_eq(count(400201, "tcp", "127.0.0.1.8.1"), 1);
	ck_assert_int_eq(nfsd_helper_unregister(helper, programs, 2), 0);
	ck_assert_int_eq(count(400200, NULL, NULL), 0);
	ck_assert_int_eq(count(400201, NULL, NULL), 0);
	nfsd_helper_free(helper);
}
END_TEST

START_TEST(without_rpcbind_the_connection_is_refused)
{
	ck_assert_int_eq(set(loopback, 2, PORT), -ECONNREFUSED);
	orpc_rpcbind_unset(programs, 2);
}
END_TEST

START_TEST(an_rpcbind_that_hangs_costs_seconds)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
		                       .sun_path = _PATH_RPCBINDSOCK };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	time_t before = time(NULL);

	unlink(address.sun_path); /* of an rpcbind before */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
	                 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(set(loopback, 2, PORT), -ETIMEDOUT);
	ck_assert_int_le(time(NULL) - before, 8);
	unlink(address.sun_path);
}
END_TEST

int main(void)
{
	TCase *there, *away;
	Suite *suite;

	if (system("command -v rpcbind >/dev/null") || !enter_own_world()) {
		fprintf(stderr, "no rpcbind can be started: skipped\n");
		return 77;
	}
	suite = suite_create("rpcbind");
	there = tcase_create("there");
	away = tcase_create("away");
	tcase_set_timeout(there, 30);
	tcase_add_checked_fixture(there, start_rpcbind, stop_rpcbind);
	tcase_add_test(there, every_version_is_registered_for_each_transport);
	tcase_add_test(there, only_the_families_that_are_served_are_registered);
	tcase_add_test(there,
	               several_addresses_of_a_family_are_registered_as_any);
	tcase_add_test(there, what_was_registered_before_is_replaced);
	tcase_add_test(there, taking_back_leaves_others_alone);
	tcase_add_test(there, what_another_user_registered_is_refused);
	tcase_add_test(there, a_name_is_no_address);
	tcase_add_loop_test(there, a_helper_registers_and_takes_back, 0, 2);
	suite_add_tcase(suite, there);
	tcase_set_timeout(away, 30);
	tcase_add_test(away, without_rpcbind_the_connection_is_refused);
	tcase_add_test(away, an_rpcbind_that_hangs_costs_seconds);
	suite_add_tcase(suite, away);
	return suite_run(suite);
}
