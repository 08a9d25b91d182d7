#include "config.h"

#include "server/client.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <string.h>

static struct nfsd_client client;
static char why[256];

static struct in6_addr address_of(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct in6_addr address;

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		ck_assert(
			nfsd_client_address((struct sockaddr *)&in, &address));
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
		ck_assert(
			nfsd_client_address((struct sockaddr *)&in6, &address));
	}
	return address;
}

static bool has(const char *text, const char *address)
{
	struct in6_addr in6 = address_of(address);
	bool is_one;

	ck_assert_msg(nfsd_client_parse(&client, text, why, sizeof(why)) == 0,
	              "%s", why);
	ck_assert(!nfsd_client_needs_name(&client));
	is_one = nfsd_client_has_address(&client, &in6);
	nfsd_client_release(&client);
	return is_one;
}

START_TEST(an_address_is_one_host)
{
	ck_assert(has("10.1.2.3", "10.1.2.3"));
	ck_assert(!has("10.1.2.3", "10.1.2.4"));
	ck_assert(has("2001:db8::1", "2001:db8:0::0:1"));
	ck_assert(!has("2001:db8::1", "2001:db8::2"));
	/* By whichever socket it comes. */
	ck_assert(has("10.1.2.3", "::ffff:10.1.2.3"));
	ck_assert(has("::ffff:10.1.2.3", "10.1.2.3"));
	ck_assert(!has("10.1.2.3", "::10.1.2.3"));
}
END_TEST

START_TEST(a_network_is_its_first_bits)
{
	ck_assert(has("10.0.0.0/8", "10.255.255.255"));
	ck_assert(!has("10.0.0.0/8", "11.0.0.0"));
	ck_assert(has("192.168.4.0/22", "192.168.7.255"));
	ck_assert(!has("192.168.4.0/22", "192.168.8.0"));
	ck_assert(has("192.168.4.0/255.255.252.0", "192.168.7.255"));
	ck_assert(!has("192.168.4.0/255.255.252.0", "192.168.8.0"));
	/* Bits of the host that are set do no harm. */
	ck_assert(has("192.168.4.9/30", "192.168.4.11"));
	ck_assert(!has("192.168.4.9/30", "192.168.4.12"));
	ck_assert(has("0.0.0.0/0", "255.1.2.3"));
	ck_assert(has("0.0.0.0/0.0.0.0", "255.1.2.3"));
	ck_assert(has("1.2.3.4/255.255.255.255", "1.2.3.4"));
	ck_assert(!has("1.2.3.4/255.255.255.255", "1.2.3.5"));
	/* All of IPv4 is none of IPv6, and the other way round. */
	ck_assert(!has("0.0.0.0/0", "2001:db8::1"));
	ck_assert(has("::/0", "2001:db8::1"));
	ck_assert(!has("::/0", "10.1.2.3"));
	ck_assert(!has("::/64", "10.1.2.3"));
	ck_assert(has("::ffff:10.0.0.0/104", "10.1.2.3"));
	ck_assert(has("2001:db8::/33", "2001:db8:7fff::1"));
	ck_assert(!has("2001:db8::/33", "2001:db8:8000::1"));
	ck_assert(has("2001:db8::1/128", "2001:db8::1"));
	ck_assert(!has("2001:db8::1/128", "2001:db8::"));
}
END_TEST

START_TEST(a_star_is_everybody)
{
	ck_assert(has("*", "10.1.2.3"));
	ck_assert(has("*", "2001:db8::1"));
}
END_TEST

static bool is_named(const char *text, const char *name)
{
	struct in6_addr any = address_of("10.1.2.3");
	bool is_one;

	ck_assert_msg(nfsd_client_parse(&client, text, why, sizeof(why)) == 0,
	              "%s", why);
	ck_assert(nfsd_client_needs_name(&client));
	ck_assert(!nfsd_client_has_address(&client, &any));
	is_one = nfsd_client_has_name(&client, name);
	nfsd_client_release(&client);
	return is_one;
}

START_TEST(names_are_compared_as_names)
{
	ck_assert(is_named("*.lab.example", "pc7.lab.example"));
	ck_assert(is_named("*.LAB.example", "pc7.lab.EXAMPLE"));
	/* A host is one of its addresses, whatever it is called. */
	ck_assert(!is_named("pc7.lab.example", "pc7.lab.example"));
	ck_assert(is_named("pc?.lab.example", "pc7.lab.example"));
	ck_assert(!is_named("pc?.lab.example", "pc17.lab.example"));
	ck_assert(is_named("pc[0-9].lab.example", "pc7.lab.example"));
	ck_assert(!is_named("pc[!0-9].lab.example", "pc7.lab.example"));
	ck_assert(!is_named("*.lab.example", "lab.example"));
	ck_assert(!is_named("*.lab.example", "pc7.lab.example.evil"));
	/* No netgroup of that name anywhere. */
	ck_assert(!is_named("@veneer-no-such-group", "pc7"));
}
END_TEST

START_TEST(the_most_specific_comes_first)
{
	static const char *const order[] = {
		"10.1.2.3", "10.1.2.0/30", "10.0.0.0/8", "2001:db8::/64",
		"::/0",     "*.example",   "@group",     "*",
	};
	const size_t n = sizeof(order) / sizeof(order[0]);
	struct nfsd_client a, b;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			ck_assert_int_eq(nfsd_client_parse(&a, order[i], why,
			                                   sizeof(why)),
			                 0);
			ck_assert_int_eq(nfsd_client_parse(&b, order[k], why,
			                                   sizeof(why)),
			                 0);
			ck_assert_msg(nfsd_client_before(&a, &b) == (i < k),
			              "%s, %s", order[i], order[k]);
			nfsd_client_release(&a);
			nfsd_client_release(&b);
		}
	/* A host is a host, by name or by address. */
	ck_assert_int_eq(nfsd_client_parse(&a, "host", why, sizeof(why)), 0);
	ck_assert_int_eq(nfsd_client_parse(&b, "1.2.3.4", why, sizeof(why)), 0);
	ck_assert(!nfsd_client_before(&a, &b) && !nfsd_client_before(&b, &a));
	nfsd_client_release(&a);
	nfsd_client_release(&b);
}
END_TEST

START_TEST(what_is_no_client_is_refused)
{
	static const struct {
		const char *text, *line;
	} wrong[] = {
		{ "", "client \"\": it is empty" },
		{ "@", "client \"@\": no netgroup named" },
		{ "10.0.0.0/33",
		  "client \"10.0.0.0/33\": neither a prefix of 0 "
		  "to 32 bits nor a netmask" },
		{ "10.0.0.0/", "client \"10.0.0.0/\": neither a prefix of 0 to "
		               "32 bits nor a netmask" },
		{ "10.0.0.0/255.0.255.0",
		  "client \"10.0.0.0/255.0.255.0\": neither a prefix of 0 to 32 "
		  "bits nor a netmask" },
		{ "2001:db8::/129",
		  "client \"2001:db8::/129\": not a prefix of 0 to 128 bits" },
		{ "2001:db8::/255.255.0.0",
		  "client \"2001:db8::/255.255.0.0\": not a prefix of 0 to 128 "
		  "bits" },
		{ "lab/24", "client \"lab/24\": what stands before \"/\" is no "
		            "address" },
		{ "10.0.0.0/8/8",
		  "client \"10.0.0.0/8/8\": neither a prefix of "
		  "0 to 32 bits nor a netmask" },
		{ "ho st", "client \"ho st\": neither a host nor an address" },
		{ "1::2::3", "client \"1::2::3\": neither a host nor an "
		             "address" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(nfsd_client_parse(&client, wrong[i].text, why,
		                                   sizeof(why)),
		                 -EINVAL);
		ck_assert_str_eq(why, wrong[i].line);
		ck_assert_ptr_null(client.text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *tcase = tcase_create("client");

	tcase_add_test(tcase, an_address_is_one_host);
	tcase_add_test(tcase, a_network_is_its_first_bits);
	tcase_add_test(tcase, a_star_is_everybody);
	tcase_add_test(tcase, names_are_compared_as_names);
	tcase_add_test(tcase, the_most_specific_comes_first);
	tcase_add_test(tcase, what_is_no_client_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
