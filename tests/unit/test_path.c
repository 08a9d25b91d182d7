#include "config.h"

#include "server/path.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* On the heap, so that a byte past the end would be noticed. */
static void assert_clean(const char *path, const char *clean)
{
	char *copy = strdup(path);

	ck_assert_msg(nfsd_path_clean(copy) == 0, "%s: refused", path);
	ck_assert_str_eq(copy, clean);
	free(copy);
}

static void assert_refused(const char *path)
{
	char *copy = strdup(path);

	ck_assert_msg(nfsd_path_clean(copy) == -EINVAL, "%s: taken", path);
	ck_assert_str_eq(copy, path);
	free(copy);
}

START_TEST(a_clean_path_stays_as_it_is)
{
	assert_clean("/", "/");
	assert_clean("/a", "/a");
	assert_clean("/srv/img/a b", "/srv/img/a b");
}
END_TEST

START_TEST(needless_slashes_go)
{
	assert_clean("//", "/");
	assert_clean("////", "/");
	assert_clean("//a", "/a");
	assert_clean("/a/", "/a");
	assert_clean("/a///b//", "/a/b");
}
END_TEST

START_TEST(components_that_are_a_dot_go)
{
	assert_clean("/.", "/");
	assert_clean("/./", "/");
	assert_clean("/./././a", "/a");
	assert_clean("/a/./b/.", "/a/b");
	assert_clean("/.//./", "/");
}
END_TEST

START_TEST(names_that_begin_with_dots_stay)
{
	assert_clean("/.a", "/.a");
	assert_clean("/...", "/...");
	assert_clean("/..a/b..", "/..a/b..");
	assert_clean("/a/.../..b", "/a/.../..b");
	assert_clean("/a./.b", "/a./.b");
}
END_TEST

START_TEST(dotdot_is_refused_wherever_it_stands)
{
	assert_refused("/..");
	assert_refused("/../");
	assert_refused("/../a");
	assert_refused("/a/..");
	assert_refused("//a//..//b");
	assert_refused("/a/./../b");
}
END_TEST

START_TEST(what_is_not_absolute_is_refused)
{
	assert_refused("");
	assert_refused("a");
	assert_refused("a/b");
	assert_refused("./a");
	assert_refused(".");
	assert_refused(" /a");
}
END_TEST

START_TEST(bytes_that_are_no_ascii_are_names_as_others)
{
	assert_clean("/\xff\xfe//\xc3\xa9/", "/\xff\xfe/\xc3\xa9");
	assert_clean("/a\nb/\\..", "/a\nb/\\..");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("path");
	TCase *tcase = tcase_create("path");

	tcase_add_test(tcase, a_clean_path_stays_as_it_is);
	tcase_add_test(tcase, needless_slashes_go);
	tcase_add_test(tcase, components_that_are_a_dot_go);
	tcase_add_test(tcase, names_that_begin_with_dots_stay);
	tcase_add_test(tcase, dotdot_is_refused_wherever_it_stands);
	tcase_add_test(tcase, what_is_not_absolute_is_refused);
	tcase_add_test(tcase, bytes_that_are_no_ascii_are_names_as_others);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
