/*
 * Paths that hold who the client is: what stands for what, and that no name leads out
 * of its directory.
 */
#include "config.h"

#include "server/template.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/suite.h"

static struct in6_addr address;
static struct nfsd_client network;
static struct nfsd_template_values values;

static void setup(void)
{
	char why[256];

	ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:10.1.2.3", &address), 1);
	ck_assert_int_eq(nfsd_client_parse(&network, "10.1.0.0/16", why,
	                                   sizeof(why)),
	                 0);
	values = (struct nfsd_template_values){
		.address = &address,
		.name = "host.example",
		.network = &network,
	};
}

static void teardown(void)
{
	nfsd_client_release(&network);
}

static void assert_filled(const char *path, const char *wanted)
{
	char *filled = nfsd_template_fill(path, &values);

	ck_assert_ptr_nonnull(filled);
	ck_assert_str_eq(filled, wanted);
	free(filled);
}

START_TEST(each_stands_for_its_value)
{
	assert_filled("/plain", "/plain");
	assert_filled("/up/%a", "/up/10.1.2.3");
	assert_filled("/up/%h/x", "/up/host.example/x");
	assert_filled("/up/%n", "/up/10.1.0.0-16");
	assert_filled("%%a%%", "%a%");
	assert_filled("/%a%a", "/10.1.2.310.1.2.3");
}
END_TEST

START_TEST(ipv6_has_its_own_form)
{
	char why[256];

	ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::1", &address), 1);
	nfsd_client_release(&network);
	ck_assert_int_eq(nfsd_client_parse(&network, "2001:db8::/32", why,
	                                   sizeof(why)),
	                 0);
	assert_filled("/up/%a", "/up/2001:db8::1");
	assert_filled("/up/%n", "/up/2001:db8::-32");
}
END_TEST

START_TEST(what_a_path_holds_is_told)
{
	ck_assert_uint_eq(nfsd_template_kinds("/plain"), 0);
	ck_assert_uint_eq(nfsd_template_kinds("/%a/%n"),
	                  NFSD_TEMPLATE_ADDRESS | NFSD_TEMPLATE_NETWORK);
	ck_assert_uint_eq(nfsd_template_kinds("/%%a/%h"),
	                  NFSD_TEMPLATE_PERCENT | NFSD_TEMPLATE_NAME);
	ck_assert(nfsd_template_kinds("/%") & NFSD_TEMPLATE_WRONG);
	ck_assert(nfsd_template_kinds("/%x") & NFSD_TEMPLATE_WRONG);
	ck_assert(nfsd_template_kinds("/%%%") & NFSD_TEMPLATE_WRONG);
}
END_TEST

static const char *const no_names[] = { "",     ".",    "..",   "../x",
	                                "a/b",  "/etc", "a b",  "-x",
	                                "a\nb", ".x",   "\xff", NULL };

START_TEST(a_name_that_is_no_host_s_is_refused)
{
	for (int i = 0; i == 0 || no_names[i - 1] != NULL; i++) {
		values.name = no_names[i];
		ck_assert_ptr_null(nfsd_template_fill("/up/%h", &values));
	}
}
END_TEST

/* All of them, and no more, is what the server may get at. */
START_TEST(the_directory_above_all_is_the_nearest)
{
	static const char *const cases[][2] = {
		{ "/srv/lab/%a/up", "/srv/lab" },
		{ "/srv/lab-%a", "/srv" },
		{ "/%a/up", "/" },
		{ "lab/%a/up", "lab" },
		{ "lab-%a/up", "." },
		{ "%a", "." },
		{ "/plain/dir", "/plain/dir" },
		{ "/50%%/%a", "/50%" },
	};
	char *common;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		common = nfsd_template_common(cases[i][0]);
		ck_assert_str_eq(common, cases[i][1]);
		free(common);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("template");
	TCase *tcase = tcase_create("template");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, each_stands_for_its_value);
	tcase_add_test(tcase, ipv6_has_its_own_form);
	tcase_add_test(tcase, what_a_path_holds_is_told);
	tcase_add_test(tcase, a_name_that_is_no_host_s_is_refused);
	tcase_add_test(tcase, the_directory_above_all_is_the_nearest);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
