/*
 * What is believed while the system cannot tell, as when a name server is down: of
 * clients that are known by name, and of the groups of users.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "server/groups.h"
#include "server/hosts.h"
#include "tests/lib/suite.h"

/* ---- the system (the linker's --wrap) -------------------------------------- */

static int told; /* what it says */
static unsigned asked;
static time_t
	later; /* the clock is put on by so much; check's too, at the end */

int __wrap_nfsd_helper_is_client(struct nfsd_helper *helper,
                                 const struct nfsd_client *client,
                                 const struct in6_addr *address);
int __wrap_nfsd_helper_groups(struct nfsd_helper *helper, uint32_t uid,
                              uint32_t *ids);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_nfsd_helper_is_client(struct nfsd_helper *helper,
                                 const struct nfsd_client *client,
                                 const struct in6_addr *address)
{
	(void)helper;
	(void)client;
	(void)address;
	asked++;
	return told;
}

/* So many groups: 1, 2, ... */
int __wrap_nfsd_helper_groups(struct nfsd_helper *helper, uint32_t uid,
                              uint32_t *ids)
{
	(void)helper;
	(void)uid;
	asked++;
	for (int i = 0; i < told; i++)
		ids[i] = (uint32_t)i + 1;
	return told;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	int err = __real_clock_gettime(clock, time);

	time->tv_sec += later;
	return err;
}

/* ---- clients ----------------------------------------------------------------- */

static const struct nfsd_log logging = { STDERR_FILENO, LOG_ERR };
static struct nfsd_hosts *hosts;
static struct nfsd_client client;
static struct nfsd_groups *groups;

static void setup(void)
{
	char why[256];

	asked = 0;
	later = 0;
	hosts = nfsd_hosts_new(&logging, NULL);
	groups = nfsd_groups_new(NULL);
	ck_assert_ptr_nonnull(hosts);
	ck_assert_ptr_nonnull(groups);
	ck_assert_int_eq(nfsd_client_parse(&client, "host.example", why,
	                                   sizeof(why)),
	                 0);
}

static void teardown(void)
{
	nfsd_client_release(&client);
	nfsd_groups_free(groups);
	nfsd_hosts_free(hosts);
}

static int match(const char *text)
{
	struct in6_addr address;

	ck_assert_int_eq(inet_pton(AF_INET6, text, &address), 1);
	return nfsd_hosts_match(hosts, &client, &address, true);
}

START_TEST(a_client_that_is_known_stays_one)
{
	told = 1;
	ck_assert_int_eq(match("fd00::1"), 1);
	told = -ETIMEDOUT;
	for (unsigned i = 0; i < 10; i++) {
		later += 400;
		ck_assert_int_eq(match("fd00::1"), 1);
		ck_assert_int_eq(match("fd00::2"), 0);
	}
	ck_assert_uint_eq(asked, 21);
	told = 0;
	later += 400;
	ck_assert_int_eq(match("fd00::1"), 0);
	told = -ETIMEDOUT;
	later += 400;
	ck_assert_int_eq(match("fd00::1"), 0);
	later = 0;
}
END_TEST

/* Each call would wait for it. */
START_TEST(it_is_asked_once_in_a_while)
{
	told = 1;
	ck_assert_int_eq(match("fd00::1"), 1);
	later += 400;
	told = -ETIMEDOUT;
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_eq(match("fd00::1"), 1);
		ck_assert_int_eq(match("fd00::2"), 0);
	}
	ck_assert_uint_eq(asked, 3);
	/* And once it can tell again, that counts soon. */
	told = 1;
	later += 20;
	ck_assert_int_eq(match("fd00::2"), 1);
	later = 0;
}
END_TEST

/* Slow names of others say nothing of this one. */
START_TEST(who_finds_all_busy_comes_again)
{
	told = -EBUSY;
	ck_assert_int_eq(match("fd00::1"), -EINPROGRESS);
	told = 1;
	ck_assert_int_eq(match("fd00::1"), 1);
	ck_assert_uint_eq(asked, 2);
	later = 0;
}
END_TEST

/* ---- groups ------------------------------------------------------------------ */

static size_t count_groups(uint32_t uid)
{
	struct nfsd_group_list *list;
	size_t n;

	ck_assert_int_eq(nfsd_groups_get(groups, uid, true, &list), 0);
	nfsd_group_list_ids(list, false, &n);
	nfsd_group_list_unref(list);
	return n;
}

START_TEST(a_user_stays_in_his_groups)
{
	told = 3;
	ck_assert_uint_eq(count_groups(1000), 3);
	told = -ETIMEDOUT;
	for (unsigned i = 0; i < 10; i++) {
		later += 400;
		ck_assert_uint_eq(count_groups(1000), 3);
		ck_assert_uint_eq(count_groups(1001), 0);
		ck_assert_uint_eq(count_groups(1000), 3);
	}
	ck_assert_uint_eq(asked, 21);
	told = 2;
	later += 20;
	ck_assert_uint_eq(count_groups(1000), 2);
	ck_assert_uint_eq(count_groups(1001), 2);
	later = 0;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("untold");
	TCase *tcase = tcase_create("untold");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_client_that_is_known_stays_one);
	tcase_add_test(tcase, it_is_asked_once_in_a_while);
	tcase_add_test(tcase, who_finds_all_busy_comes_again);
	tcase_add_test(tcase, a_user_stays_in_his_groups);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
