#include "config.h"

#include "server/log.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static int pipe_fds[2];
static struct nfsd_log log_to;
static char text[8192];

static void setup(void)
{
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	log_to = (struct nfsd_log){ .fd = pipe_fds[1], .level = LOG_NOTICE };
}

static void teardown(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* What has been written since. */
static const char *written(void)
{
	ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

START_TEST(an_event_is_a_line)
{
	nfsd_log(&log_to, LOG_NOTICE, "%s has %d files", "/export", 7);
	ck_assert_str_eq(written(), "veneerd: /export has 7 files\n");
	nfsd_log_line(&log_to, LOG_NOTICE, "100% done");
	ck_assert_str_eq(written(), "veneerd: 100% done\n");
}
END_TEST

START_TEST(what_is_wrong_says_so)
{
	nfsd_log(&log_to, LOG_ERR, "bad");
	ck_assert_str_eq(written(), "veneerd: error: bad\n");
	nfsd_log(&log_to, LOG_WARNING, "odd");
	ck_assert_str_eq(written(), "veneerd: warning: odd\n");
}
END_TEST

START_TEST(what_matters_less_than_the_level_is_left_out)
{
	nfsd_log(&log_to, LOG_INFO, "detail");
	ck_assert_str_eq(written(), "");
	log_to.level = LOG_DEBUG;
	nfsd_log(&log_to, LOG_DEBUG, "detail");
	ck_assert_str_eq(written(), "veneerd: detail\n");
}
END_TEST

/* Clients choose names: none may begin a line of its own. */
START_TEST(control_characters_do_not_get_through)
{
	nfsd_log(&log_to, LOG_NOTICE, "a\nb\033[2Jc\177");
	ck_assert_str_eq(written(), "veneerd: a?b?[2Jc?\n");
}
END_TEST

START_TEST(a_long_line_is_cut_and_still_ends)
{
	char line[4096];
	size_t len;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	nfsd_log_line(&log_to, LOG_NOTICE, line);
	len = strlen(written());
	ck_assert_uint_gt(len, 500);
	ck_assert_uint_lt(len, sizeof(line));
	ck_assert_ptr_eq(strchr(text, '\n'), text + len - 1);
}
END_TEST

START_TEST(levels_have_the_names_of_syslog)
{
	ck_assert_int_eq(nfsd_log_level("err"), LOG_ERR);
	ck_assert_int_eq(nfsd_log_level("error"), LOG_ERR);
	ck_assert_int_eq(nfsd_log_level("warning"), LOG_WARNING);
	ck_assert_int_eq(nfsd_log_level("notice"), LOG_NOTICE);
	ck_assert_int_eq(nfsd_log_level("debug"), LOG_DEBUG);
	ck_assert_int_eq(nfsd_log_level("loud"), -1);
	ck_assert_int_eq(nfsd_log_level(""), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_event_is_a_line);
	tcase_add_test(tcase, what_is_wrong_says_so);
	tcase_add_test(tcase, what_matters_less_than_the_level_is_left_out);
	tcase_add_test(tcase, control_characters_do_not_get_through);
	tcase_add_test(tcase, a_long_line_is_cut_and_still_ends);
	tcase_add_test(tcase, levels_have_the_names_of_syslog);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
