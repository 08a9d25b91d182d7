/*
 * What the system says of this machine's own name, "localhost".
 */
#include "config.h"

#include "server/hosts.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static const struct nfsd_log logging = { STDERR_FILENO, LOG_ERR };
static struct nfsd_helper *helper;
static struct nfsd_hosts *hosts;
static struct nfsd_client client;
static struct in6_addr here, there; /* 127.0.0.1, 127.0.0.77 */

static struct in6_addr mapped(const char *text)
{
	struct in6_addr address;
	char mapped[INET6_ADDRSTRLEN + 8];

	snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
	ck_assert_int_eq(inet_pton(AF_INET6, mapped, &address), 1);
	return address;
}

static void setup(void)
{
	char why[256];

	ck_assert_msg(nfsd_helper_new(NULL, false, &logging, &helper, why,
	                              sizeof(why)) == 0,
	              "%s", why);
	hosts = nfsd_hosts_new(&logging, helper);
	ck_assert_ptr_nonnull(hosts);
	here = mapped("127.0.0.1");
	there = mapped("127.0.0.77");
}

static void teardown(void)
{
	nfsd_hosts_free(hosts);
	nfsd_helper_free(helper);
	nfsd_client_release(&client);
}

static void take(const char *text)
{
	char why[256];

	ck_assert_int_eq(nfsd_client_parse(&client, text, why, sizeof(why)), 0);
}

static int match(const struct in6_addr *address, bool may_wait)
{
	return nfsd_hosts_match(hosts, &client, address, may_wait);
}

/* Asked for by one who may wait, known to all then. */
static void assert_told(const struct in6_addr *address, int is_one)
{
	ck_assert_int_eq(match(address, false), -EAGAIN);
	ck_assert_int_eq(match(address, true), is_one);
	ck_assert_int_eq(match(address, false), is_one);
}

/* In /etc/hosts, nearly everywhere. */
static bool has_localhost(const char *test)
{
	const struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	char name[NI_MAXHOST];

	if (getnameinfo((const struct sockaddr *)&in, sizeof(in), name,
	                sizeof(name), NULL, 0, NI_NAMEREQD) == 0 &&
	    strcmp(name, "localhost") == 0)
		return true;
	printf("%s: skipped: no localhost\n", test);
	return false;
}

START_TEST(a_host_is_its_addresses)
{
	if (!has_localhost(__func__))
		return;
	take("localhost");
	assert_told(&here, 1);
	assert_told(&there, 0);
}
END_TEST

START_TEST(a_pattern_is_for_the_names_of_addresses)
{
	if (!has_localhost(__func__))
		return;
	take("local[a-h]ost");
	assert_told(&here, 1);
	assert_told(&there, 0);
}
END_TEST

START_TEST(nobody_is_of_a_netgroup_that_is_not_there)
{
	take("@veneer-no-such-group");
	assert_told(&here, 0);
}
END_TEST

/* What was said of one client says nothing of another. */
START_TEST(answers_are_of_one_client)
{
	struct nfsd_client other;
	char why[256];

	if (!has_localhost(__func__))
		return;
	take("localhost");
	assert_told(&here, 1);
	ck_assert_int_eq(
		nfsd_client_parse(&other, "*.example", why, sizeof(why)), 0);
	ck_assert_int_eq(nfsd_hosts_match(hosts, &other, &here, false),
	                 -EAGAIN);
	ck_assert_int_eq(nfsd_hosts_match(hosts, &other, &here, true), 0);
	ck_assert_int_eq(match(&here, false), 1);
	nfsd_client_release(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hosts");
	TCase *tcase = tcase_create("hosts");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_host_is_its_addresses);
	tcase_add_test(tcase, a_pattern_is_for_the_names_of_addresses);
	tcase_add_test(tcase, nobody_is_of_a_netgroup_that_is_not_there);
	tcase_add_test(tcase, answers_are_of_one_client);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
