#include "config.h"

#include "server/number.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

static void assert_number(const char *text, uint64_t min, uint64_t max,
                          uint64_t expected)
{
	uint64_t number = expected + 1;

	ck_assert_msg(nfsd_number_parse(text, min, max, &number) == 0,
	              "%s: refused", text);
	ck_assert_uint_eq(number, expected);
}

static void assert_refused(const char *text, uint64_t min, uint64_t max)
{
	uint64_t number = 4711;

	ck_assert_msg(nfsd_number_parse(text, min, max, &number) == -EINVAL,
	              "\"%s\": taken", text);
	ck_assert_uint_eq(number, 4711);
}

START_TEST(both_ends_of_the_range_belong_to_it)
{
	assert_number("10", 10, 20, 10);
	assert_number("20", 10, 20, 20);
	assert_refused("9", 10, 20);
	assert_refused("21", 10, 20);
	assert_number("7", 7, 7, 7);
}
END_TEST

START_TEST(numbers_are_decimal)
{
	assert_number("0", 0, 100, 0);
	assert_number("010", 0, 100, 10);
	assert_refused("0x10", 0, 100);
	assert_refused("a", 0, 100);
	assert_refused("1e2", 0, 100);
}
END_TEST

START_TEST(nothing_may_stand_around_them)
{
	assert_refused("", 0, 100);
	assert_refused(" 1", 0, 100);
	assert_refused("1 ", 0, 100);
	assert_refused("\t1", 0, 100);
	assert_refused("1\n", 0, 100);
	assert_refused("1k", 0, 100);
	assert_refused("1,2", 0, 100);
	assert_refused("1.0", 0, 100);
}
END_TEST

START_TEST(there_are_no_signs)
{
	assert_refused("+1", 0, UINT64_MAX);
	assert_refused("-1", 0, UINT64_MAX);
	assert_refused("-0", 0, UINT64_MAX);
	/* strtoull(3) makes a 1 of it. */
	assert_refused("-18446744073709551615", 0, UINT64_MAX);
}
END_TEST

START_TEST(what_64_bits_do_not_hold_is_refused)
{
	assert_number("18446744073709551615", 0, UINT64_MAX, UINT64_MAX);
	assert_refused("18446744073709551616", 0, UINT64_MAX);
	assert_refused("99999999999999999999999999", 0, UINT64_MAX);
}
END_TEST

START_TEST(an_old_error_does_no_harm)
{
	errno = ERANGE;
	assert_number("5", 0, 10, 5);
}
END_TEST

static void assert_size(const char *text, uint64_t expected)
{
	uint64_t number = expected + 1;

	ck_assert_msg(nfsd_number_parse_size(text, 1, UINT64_MAX, &number) == 0,
	              "%s: refused", text);
	ck_assert_uint_eq(number, expected);
}

START_TEST(sizes_have_units)
{
	assert_size("1", 1);
	assert_size("4095", 4095);
	assert_size("3K", 3 << 10);
	assert_size("64m", 64 << 20);
	assert_size("5G", (uint64_t)5 << 30);
	assert_size("17179869183G", (uint64_t)17179869183 << 30);
	assert_size("18446744073709551615", UINT64_MAX);
}
END_TEST

START_TEST(what_is_no_size_is_refused)
{
	static const char *const bad[] = {
		"",
		"M",
		"-1M",
		"1MM",
		"1T",
		"1.5G",
		" 1M",
		"1M ",
		"0x1M",
		"1 M",
		"0",
		"0K",
		"17179869184G",
		"99999999999999999999999999999999999999999999999M",
	};
	uint64_t number = 4711;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(nfsd_number_parse_size(bad[i], 1, UINT64_MAX,
		                                     &number) == -EINVAL,
		              "\"%s\": taken", bad[i]);
	/* The range is of bytes. */
	ck_assert_int_eq(nfsd_number_parse_size("1K", 1025, 4096, &number),
	                 -EINVAL);
	ck_assert_int_eq(nfsd_number_parse_size("5K", 1025, 4096, &number),
	                 -EINVAL);
	ck_assert_uint_eq(number, 4711);
	ck_assert_int_eq(nfsd_number_parse_size("4K", 1025, 4096, &number), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("number");
	TCase *tcase = tcase_create("number");

	tcase_add_test(tcase, both_ends_of_the_range_belong_to_it);
	tcase_add_test(tcase, numbers_are_decimal);
	tcase_add_test(tcase, nothing_may_stand_around_them);
	tcase_add_test(tcase, there_are_no_signs);
	tcase_add_test(tcase, what_64_bits_do_not_hold_is_refused);
	tcase_add_test(tcase, an_old_error_does_no_harm);
	tcase_add_test(tcase, sizes_have_units);
	tcase_add_test(tcase, what_is_no_size_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
