/*
 * What veneerd refuses to start with: one line that says what and where, exit
 * status 1, and nothing touched.
 */
#include "config.h"

#include <check.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/daemon.h"
#include "tests/lib/suite.h"

#define OPTIONS "insecure,no_root_squash"

static struct daemon *veneerd;

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower\n");
	daemon_mkdir(veneerd, "lower/dir");
	daemon_mkdir(veneerd, "upper/dir");
}

static void teardown(void)
{
	daemon_free(veneerd);
}

/* ---- nothing touched ----------------------------------------------------- */

static unsigned long objects, newest;

static int look_at(const char *path, const struct stat *st, int type,
                   struct FTW *ftw)
{
	unsigned long changed = (unsigned long)st->st_ctim.tv_sec * 1000000000 +
	                        (unsigned long)st->st_ctim.tv_nsec;

	(void)path;
	(void)type;
	(void)ftw;
	objects++;
	if (changed > newest)
		newest = changed;
	return 0;
}

/* Counts what there is, and when it last changed. */
static void look(void)
{
	objects = newest = 0;
	ck_assert_int_eq(nftw(veneerd->top, look_at, 16, FTW_PHYS), 0);
}

/* ---- refusing ------------------------------------------------------------ */

/* `where` must be in the line. */
static void check_refusal(const char *const arguments[], const char *where)
{
	unsigned long objects_before, newest_before;
	char text[4096], *end;

	look();
	objects_before = objects;
	newest_before = newest;
	ck_assert_int_eq(daemon_run(arguments, text, sizeof(text)), 1);
	end = strchr(text, '\n');
	ck_assert_msg(end != NULL && end[1] == '\0', "not one line: %s", text);
	ck_assert_msg(strstr(text, where) != NULL, "\"%s\" does not name %s",
	              text, where);
	look();
	ck_assert_uint_eq(objects, objects_before);
	ck_assert_uint_eq(newest, newest_before);
}

/* Options in which each %s is the test's directory (at most four). */
static void check_options(const char *format, const char *where)
{
	const char *top = veneerd->top;
	char options[2048];
	const char *const arguments[] = { "-p",    "0",           "-o",
		                          options, DAEMON_EXPORT, NULL };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(options, sizeof(options), format, top, top, top, top);
#pragma GCC diagnostic pop
	check_refusal(arguments, where);
}

START_TEST(missing_lower)
{
	check_options("lowerdir=%s/none,upperdir=%s/upper,workdir=%s/work",
	              "/none");
}
END_TEST

START_TEST(missing_upper)
{
	check_options("lowerdir=%s/lower,upperdir=%s/none,workdir=%s/work",
	              "/none");
}
END_TEST

START_TEST(missing_workdir)
{
	check_options("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/none",
	              "/none");
}
END_TEST

START_TEST(lower_that_is_a_file)
{
	check_options(
		"lowerdir=%s/lower/file,upperdir=%s/upper,workdir=%s/work",
		"/lower/file");
}
END_TEST

START_TEST(upper_without_workdir)
{
	check_options("lowerdir=%s/lower,upperdir=%s/upper", "workdir");
}
END_TEST

START_TEST(upper_inside_lower)
{
	check_options("lowerdir=%s/lower,upperdir=%s/lower/dir,workdir=%s/work",
	              "/lower/dir");
}
END_TEST

START_TEST(lower_inside_upper)
{
	check_options("lowerdir=%s/upper/dir,upperdir=%s/upper,workdir=%s/work",
	              "/upper");
}
END_TEST

START_TEST(upper_that_is_the_lower)
{
	check_options("lowerdir=%s/lower,upperdir=%s/lower,workdir=%s/work",
	              "/lower");
}
END_TEST

START_TEST(workdir_inside_upper)
{
	check_options("lowerdir=%s/lower,upperdir=%s/upper,"
	              "workdir=%s/upper/dir",
	              "/upper");
}
END_TEST

START_TEST(lower_inside_another_lower)
{
	check_options("lowerdir=%s/lower/dir:%s/lower,upperdir=%s/upper,"
	              "workdir=%s/work",
	              "/lower");
}
END_TEST

static bool same_filesystem(const char *a, const char *b)
{
	struct stat st_a, st_b;

	ck_assert_int_eq(stat(a, &st_a), 0);
	ck_assert_int_eq(stat(b, &st_b), 0);
	return st_a.st_dev == st_b.st_dev;
}

/* /dev/shm is another filesystem nearly everywhere. */
START_TEST(workdir_on_another_filesystem)
{
	char work[] = "/dev/shm/veneer-test-XXXXXX", options[256];

	if (mkdtemp(work) == NULL || same_filesystem(work, veneerd->top))
		return;
	snprintf(options, sizeof(options),
	         "lowerdir=%%s/lower,upperdir=%%s/upper,workdir=%s", work);
	check_options(options, work);
	ck_assert_int_eq(rmdir(work), 0);
}
END_TEST

START_TEST(second_server_on_one_workdir)
{
	daemon_start(veneerd, OPTIONS);
	check_options("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
	              "/work");
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
}
END_TEST

START_TEST(port_that_is_taken)
{
	char port[8], options[1024];
	const char *const arguments[] = { "-p",          port, "-b",
		                          "127.0.0.1",   "-o", options,
		                          DAEMON_EXPORT, NULL };

	daemon_start(veneerd, OPTIONS);
	daemon_mkdir(veneerd, "upper2");
	daemon_mkdir(veneerd, "work2");
	snprintf(port, sizeof(port), "%u", veneerd->port);
	snprintf(options, sizeof(options),
	         "lowerdir=%1$s/lower,upperdir=%1$s/upper2,workdir=%1$s/work2",
	         veneerd->top);
	check_refusal(arguments, port);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
}
END_TEST

START_TEST(export_option_it_does_not_know)
{
	check_options("lowerdir=%s/lower,colour=blue", "colour");
}
END_TEST

START_TEST(option_it_does_not_know)
{
	const char *const arguments[] = { "--colour", DAEMON_EXPORT, NULL };

	check_refusal(arguments, "--colour");
}
END_TEST

static void check_stats(const char *stats)
{
	char options[1024];
	const char *const arguments[] = { "-p",          "0",       "-o",
		                          options,       "--stats", stats,
		                          DAEMON_EXPORT, NULL };

	snprintf(options, sizeof(options),
	         "lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work",
	         veneerd->top);
	check_refusal(arguments, stats);
}

START_TEST(statistics_that_cannot_be_written)
{
	char path[PATH_MAX];

	check_stats(veneerd->top);
	check_stats("/dev/null");
	check_stats("/proc/stats");
	check_stats(daemon_path(veneerd, "none/stats", path));
	check_stats(daemon_path(veneerd, "lower/file/stats", path));
	check_stats(daemon_path(veneerd, "lower/stats", path));
}
END_TEST

START_TEST(memory_that_is_no_size)
{
	const char *const arguments[] = { "--max-memory", "much",        "-o",
		                          "lowerdir=/",   DAEMON_EXPORT, NULL };

	check_refusal(arguments, "--max-memory");
}
END_TEST

START_TEST(no_export)
{
	const char *const arguments[] = { "-p", "0", NULL };

	check_refusal(arguments, "export");
}
END_TEST

START_TEST(a_changed_lower)
{
	char path[PATH_MAX], other[PATH_MAX];

	daemon_start(veneerd, OPTIONS);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	daemon_mkdir(veneerd, "other");
	daemon_path(veneerd, "lower", path);
	ck_assert_int_eq(rename(path, daemon_path(veneerd, "old", other)), 0);
	daemon_mkdir(veneerd, "lower");
	check_options("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
	              "/lower");
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("refusals");
	TCase *tcase = tcase_create("refusals");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, missing_lower);
	tcase_add_test(tcase, missing_upper);
	tcase_add_test(tcase, missing_workdir);
	tcase_add_test(tcase, lower_that_is_a_file);
	tcase_add_test(tcase, upper_without_workdir);
	tcase_add_test(tcase, upper_inside_lower);
	tcase_add_test(tcase, lower_inside_upper);
	tcase_add_test(tcase, upper_that_is_the_lower);
	tcase_add_test(tcase, workdir_inside_upper);
	tcase_add_test(tcase, lower_inside_another_lower);
	tcase_add_test(tcase, workdir_on_another_filesystem);
	tcase_add_test(tcase, second_server_on_one_workdir);
	tcase_add_test(tcase, port_that_is_taken);
	tcase_add_test(tcase, export_option_it_does_not_know);
	tcase_add_test(tcase, option_it_does_not_know);
	tcase_add_test(tcase, statistics_that_cannot_be_written);
	tcase_add_test(tcase, memory_that_is_no_size);
	tcase_add_test(tcase, no_export);
	tcase_add_test(tcase, a_changed_lower);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return suite_run(suite());
}
