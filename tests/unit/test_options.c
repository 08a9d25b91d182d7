#include "config.h"

#include "server/options.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define MAX_WORDS 32

static struct nfsd_options options;
static char why[512];

static void setup(void)
{
	why[0] = '\0';
	nfsd_options_init(&options);
}

static void teardown(void)
{
	nfsd_options_release(&options);
}

/* Parse a command line, words parted by single blanks. */
static int parse(const char *line)
{
	static char copy[1024];
	char *argv[MAX_WORDS + 1] = { "veneerd" };
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word != NULL;
	     word = strtok(NULL, " "))
		argv[argc++] = word;
	nfsd_options_release(&options);
	nfsd_options_init(&options);
	return nfsd_options_parse(&options, argc, argv, why, sizeof(why));
}

/* Export options alone, together with what every export needs. */
static int parse_o(const char *words)
{
	char line[1024];

	snprintf(line, sizeof(line), "-o lowerdir=/l,statedir=/s,%s /e", words);
	return parse(line);
}

static void assert_good(const char *line)
{
	ck_assert_msg(parse(line) == 0, "%s: %s", line, why);
}

/* Refused, and the line that says so names `what`. */
static void assert_bad(const char *line, const char *what)
{
	ck_assert_msg(parse(line) == -EINVAL, "%s: taken", line);
	ck_assert_msg(strstr(why, what) != NULL, "%s: \"%s\" is not in \"%s\"",
	              line, what, why);
	ck_assert_ptr_null(strchr(why, '\n'));
}

START_TEST(defaults_are_those_of_exports_5)
{
	const struct nfsd_export_config *export = &options.export;

	assert_good("-o lowerdir=/l,upperdir=/u,workdir=/w /e");
	ck_assert(export->access.secure);
	ck_assert(export->access.root_squash);
	ck_assert(!export->access.all_squash);
	ck_assert_uint_eq(export->access.anonuid, 65534);
	ck_assert_uint_eq(export->access.anongid, 65534);
	ck_assert_int_eq(export->sync, OVL_SYNC);
	ck_assert_int_eq(export->cache, OVL_CACHE_AUTO);
	ck_assert(!export->access.read_only);
	ck_assert_int_eq(export->userxattr, geteuid() != 0);
	ck_assert_uint_eq(options.port, 2049);
	ck_assert_uint_eq(options.naddresses, 0);
	ck_assert_int_eq(options.rpcbind, NFSD_RPCBIND_AUTO);
	ck_assert_int_eq(options.log_level, LOG_NOTICE);
}
END_TEST

START_TEST(layers_are_taken_in_order)
{
	assert_good("-o lowerdir=/top:/mid:/bottom,upperdir=/u,workdir=/w /e");
	ck_assert_uint_eq(options.export.nlowerdirs, 3);
	ck_assert_str_eq(options.export.lowerdirs[0], "/top");
	ck_assert_str_eq(options.export.lowerdirs[1], "/mid");
	ck_assert_str_eq(options.export.lowerdirs[2], "/bottom");
	ck_assert_str_eq(options.export.upperdir, "/u");
	ck_assert_str_eq(options.export.workdir, "/w");
	ck_assert_str_eq(options.export.path, "/e");
}
END_TEST

START_TEST(a_backslash_takes_the_meaning_from_what_follows)
{
	assert_good("-o lowerdir=/a\\:b:/c\\,d:/e\\\\f,upperdir=/u\\,v,"
	            "workdir=/w /e");
	ck_assert_uint_eq(options.export.nlowerdirs, 3);
	ck_assert_str_eq(options.export.lowerdirs[0], "/a:b");
	ck_assert_str_eq(options.export.lowerdirs[1], "/c,d");
	ck_assert_str_eq(options.export.lowerdirs[2], "/e\\f");
	ck_assert_str_eq(options.export.upperdir, "/u,v");
}
END_TEST

START_TEST(there_may_be_hundreds_of_layers)
{
	char *words = malloc(65536), *end = words;

	end += sprintf(end, "lowerdir=/l0");
	for (int i = 1; i < 2000; i++)
		end += sprintf(end, ":/l%d", i);
	ck_assert_int_eq(nfsd_export_config_parse(&options.export, words, NULL,
	                                          why, sizeof(why)),
	                 0);
	free(words);
	ck_assert_uint_eq(options.export.nlowerdirs, 2000);
	ck_assert_str_eq(options.export.lowerdirs[1999], "/l1999");
}
END_TEST

START_TEST(the_last_of_two_that_contradict_counts)
{
	assert_good("-o ro,sync,lowerdir=/a:/b -o rw,async,lowerdir=/c"
	            " -o statedir=/s /e");
	ck_assert(!options.export.access.read_only);
	ck_assert_int_eq(options.export.sync, OVL_ASYNC);
	ck_assert_uint_eq(options.export.nlowerdirs, 1);
	ck_assert_str_eq(options.export.lowerdirs[0], "/c");
}
END_TEST

START_TEST(every_word_means_what_it_says)
{
	const struct nfsd_export_config *export = &options.export;

	ck_assert_int_eq(parse_o("insecure,no_root_squash,all_squash,ro,"
	                         "userxattr,volatile,cache=never,anonuid=0,"
	                         "anongid=4294967294"),
	                 0);
	ck_assert(!export->access.secure);
	ck_assert(!export->access.root_squash);
	ck_assert(export->access.all_squash);
	ck_assert(export->access.read_only);
	ck_assert(export->userxattr);
	ck_assert_int_eq(export->sync, OVL_VOLATILE);
	ck_assert_int_eq(export->cache, OVL_CACHE_NEVER);
	ck_assert_uint_eq(export->access.anonuid, 0);
	ck_assert_uint_eq(export->access.anongid, 4294967294u);

	ck_assert_int_eq(parse_o("all_squash,no_all_squash,insecure,secure,"
	                         "no_root_squash,root_squash,cache=always"),
	                 0);
	ck_assert(export->access.secure);
	ck_assert(export->access.root_squash);
	ck_assert(!export->access.all_squash);
	ck_assert_int_eq(export->cache, OVL_CACHE_ALWAYS);
}
END_TEST

START_TEST(the_server_s_own_options_are_taken)
{
	assert_good("-p 12345 -b 127.0.0.1 --bind ::1 --no-rpcbind --threads 3"
	            " --max-connections=10 --max-entries=2000 --max-files=300"
	            " --max-memory 512M --max-replies 500 --stats /s/stats"
	            " --accept-changed-lower --log-level debug --user nobody"
	            " --allow /a --allow=/b --no-sandbox"
	            " -o lowerdir=/l,statedir=/s /e");
	ck_assert_uint_eq(options.port, 12345);
	ck_assert_uint_eq(options.naddresses, 2);
	ck_assert_str_eq(options.addresses[0], "127.0.0.1");
	ck_assert_str_eq(options.addresses[1], "::1");
	ck_assert_int_eq(options.rpcbind, NFSD_RPCBIND_NO);
	ck_assert_uint_eq(options.threads, 3);
	ck_assert_uint_eq(options.max_connections, 10);
	ck_assert_uint_eq(options.max_entries, 2000);
	ck_assert_uint_eq(options.max_files, 300);
	ck_assert_uint_eq(options.max_memory, 512u << 20);
	ck_assert_uint_eq(options.max_replies, 500);
	ck_assert_str_eq(options.stats, "/s/stats");
	ck_assert(options.accept_changed_lower);
	ck_assert_str_eq(options.user, "nobody");
	ck_assert_uint_eq(options.nallowed, 2);
	ck_assert_str_eq(options.allowed[0], "/a");
	ck_assert_str_eq(options.allowed[1], "/b");
	ck_assert(options.no_sandbox);
	ck_assert_int_eq(options.log_level, LOG_DEBUG);
	ck_assert_int_eq(options.action, NFSD_SERVE);
}
END_TEST

START_TEST(help_and_version_need_nothing_else)
{
	assert_good("--help");
	ck_assert_int_eq(options.action, NFSD_SHOW_HELP);
	assert_good("--version");
	ck_assert_int_eq(options.action, NFSD_SHOW_VERSION);
}
END_TEST

START_TEST(help_tells_every_option)
{
	static const char *const words[] = {
		"--port",        "--bind",        "--rpcbind",
		"--no-rpcbind",  "--threads",     "--max-connections",
		"--max-entries", "--max-files",   "--accept-changed-lower",
		"--max-memory",  "--stats",       "--log-level",
		"lowerdir=",     "upperdir=",     "workdir=",
		"statedir=",     "userxattr",     "cache=",
		"volatile",      "insecure",      "no_all_squash",
		"anonuid=",      "redirect_dir=", "metacopy=",
		"--user",        "--allow",       "--no-sandbox",
		"--max-replies", "--exports",     "--check",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ck_assert_msg(strstr(nfsd_options_help, words[i]) != NULL, "%s",
		              words[i]);
}
END_TEST

START_TEST(exports_come_from_a_file_or_from_here)
{
	assert_bad("-e /veneer/none", "/veneer/none: No such file");
	assert_bad("--check --exports /veneer/none",
	           "/veneer/none: No such file");
	assert_bad("-e /dev/null", "/dev/null: Invalid argument");
	assert_bad("-e /f -o lowerdir=/l /e", "-e: either");
	assert_bad("-o lowerdir=/l --exports /f /e", "-e: either");
	assert_bad("-e /f /e", "-e: either");
	assert_bad("--check -o lowerdir=/l /e", "--check");
	if (access(NFSD_EXPORTS_FILE, F_OK) != 0)
		assert_bad("-p 0", NFSD_EXPORTS_FILE ": No such file");
}
END_TEST

START_TEST(a_wrong_option_is_named)
{
	assert_bad("-o lowerdir=/l,nonsense /e", "nonsense");
	assert_bad("-o lowerdir=/l,nonsense=1 /e", "nonsense");
	assert_bad("-o lowerdir=/l,cache=sometimes /e", "sometimes");
	assert_bad("-o lowerdir=/l,anonuid=nobody /e", "anonuid");
	assert_bad("-o lowerdir=/l,anonuid=4294967295 /e", "anonuid");
	assert_bad("-o lowerdir=/l,anonuid=-1 /e", "anonuid");
	assert_bad("-o lowerdir /e", "lowerdir");
	assert_bad("-o lowerdir= /e", "lowerdir");
	assert_bad("-o lowerdir=/a::/b:/c /e", "lowerdir");
	assert_bad("-o lowerdir=/l,ro=yes /e", "ro");
	assert_bad("--nonsense -o lowerdir=/l /e", "--nonsense");
	assert_bad("-Z -o lowerdir=/l /e", "-Z");
	assert_bad("-p 65536 -o lowerdir=/l /e", "65536");
	assert_bad("-p http -o lowerdir=/l /e", "http");
	assert_bad("--threads 0 -o lowerdir=/l /e", "--threads");
	assert_bad("--log-level loud -o lowerdir=/l /e", "loud");
	assert_bad("-o lowerdir=/l /e -p", "-p");
}
END_TEST

START_TEST(what_does_not_belong_together_is_refused)
{
	assert_bad("/e", "lowerdir");
	assert_bad("-o ro /e", "lowerdir");
	assert_bad("-o lowerdir=/l,upperdir=/u /e", "workdir");
	assert_bad("-o lowerdir=/l,workdir=/w /e", "upperdir");
	assert_bad("-o lowerdir=/l,statedir=/s", "export");
	assert_bad("-o lowerdir=/l,statedir=/s /e /f", "/f");
}
END_TEST

START_TEST(an_upper_alone_will_do)
{
	assert_good("-o upperdir=/u,workdir=/w /e");
	ck_assert_uint_eq(options.export.nlowerdirs, 0);
}
END_TEST

START_TEST(the_export_s_path_is_made_clean)
{
	assert_good("-o lowerdir=/l,statedir=/s //a/./b///c/");
	ck_assert_str_eq(options.export.path, "/a/b/c");
	assert_good("-o lowerdir=/l,statedir=/s /.");
	ck_assert_str_eq(options.export.path, "/");
	assert_good("-o lowerdir=/l,statedir=/s /..a/b..");
	ck_assert_str_eq(options.export.path, "/..a/b..");
	assert_bad("-o lowerdir=/l,statedir=/s e", "\"e\"");
	assert_bad("-o lowerdir=/l,statedir=/s /a/../b", "/a/../b");
	assert_bad("-o lowerdir=/l,statedir=/s /..", "/..");
}
END_TEST

START_TEST(state_of_a_read_only_export_has_a_place_of_its_own)
{
	setenv("XDG_STATE_HOME", "/xdg", 1);
	assert_good("-o lowerdir=/l /srv/a-b");
	if (geteuid() == 0)
		ck_assert_str_eq(options.export.statedir,
		                 "/var/lib/veneer/srv-a\\x2db");
	else
		ck_assert_str_eq(options.export.statedir,
		                 "/xdg/veneer/srv-a\\x2db");
	assert_good("-o lowerdir=/l,statedir=/mine /srv/a");
	ck_assert_str_eq(options.export.statedir, "/mine");
	assert_good("-o lowerdir=/l,upperdir=/u,workdir=/w /srv/a");
	ck_assert_ptr_null(options.export.statedir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tcase = tcase_create("options");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, defaults_are_those_of_exports_5);
	tcase_add_test(tcase, layers_are_taken_in_order);
	tcase_add_test(tcase, a_backslash_takes_the_meaning_from_what_follows);
	tcase_add_test(tcase, there_may_be_hundreds_of_layers);
	tcase_add_test(tcase, the_last_of_two_that_contradict_counts);
	tcase_add_test(tcase, every_word_means_what_it_says);
	tcase_add_test(tcase, the_server_s_own_options_are_taken);
	tcase_add_test(tcase, help_and_version_need_nothing_else);
	tcase_add_test(tcase, help_tells_every_option);
	tcase_add_test(tcase, exports_come_from_a_file_or_from_here);
	tcase_add_test(tcase, a_wrong_option_is_named);
	tcase_add_test(tcase, what_does_not_belong_together_is_refused);
	tcase_add_test(tcase, an_upper_alone_will_do);
	tcase_add_test(tcase, the_export_s_path_is_made_clean);
	tcase_add_test(tcase,
	               state_of_a_read_only_export_has_a_place_of_its_own);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
