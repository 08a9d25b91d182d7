#include "config.h"

#include "server/export_config.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct nfsd_export_config config;
static char why[512];

static void setup(void)
{
	nfsd_export_config_init(&config, geteuid() == 0);
}

static void teardown(void)
{
	nfsd_export_config_release(&config);
}

static int parse(const char *options)
{
	return nfsd_export_config_parse(&config, options, NULL, why,
	                                sizeof(why));
}

static int set_path(const char *path)
{
	return nfsd_export_config_set_path(&config, path, why, sizeof(why));
}

static int finish(void)
{
	return nfsd_export_config_finish(&config, why, sizeof(why));
}

static void assert_good(const char *options)
{
	ck_assert_msg(parse(options) == 0, "%s: %s", options, why);
}

static void assert_refused(const char *options, const char *line)
{
	ck_assert_msg(parse(options) == -EINVAL, "%s: taken", options);
	ck_assert_str_eq(why, line);
}

/* ---- options ------------------------------------------------------------ */

START_TEST(each_flag_sets_what_it_names_and_nothing_else)
{
	static const struct {
		const char *word;
		size_t field;
		bool value;
	} flags[] = {
#define FIELD(name) offsetof(struct nfsd_export_config, name)
		{ "ro", FIELD(access.read_only), true },
		{ "rw", FIELD(access.read_only), false },
		{ "userxattr", FIELD(userxattr), true },
		{ "secure", FIELD(access.secure), true },
		{ "insecure", FIELD(access.secure), false },
		{ "root_squash", FIELD(access.root_squash), true },
		{ "no_root_squash", FIELD(access.root_squash), false },
		{ "all_squash", FIELD(access.all_squash), true },
		{ "no_all_squash", FIELD(access.all_squash), false },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct nfsd_export_config expected;
		bool *flag = (bool *)((char *)&config + flags[i].field);

		*flag = !flags[i].value;
		memcpy(&expected, &config, sizeof(config));
		*(bool *)((char *)&expected + flags[i].field) = flags[i].value;
		assert_good(flags[i].word);
		ck_assert_msg(memcmp(&config, &expected, sizeof(config)) == 0,
		              "%s", flags[i].word);
	}
}
END_TEST

START_TEST(each_way_to_sync_and_to_cache_has_its_word)
{
	assert_good("async");
	ck_assert_int_eq(config.sync, OVL_ASYNC);
	assert_good("volatile");
	ck_assert_int_eq(config.sync, OVL_VOLATILE);
	assert_good("sync");
	ck_assert_int_eq(config.sync, OVL_SYNC);
	assert_good("cache=always");
	ck_assert_int_eq(config.cache, OVL_CACHE_ALWAYS);
	assert_good("cache=never");
	ck_assert_int_eq(config.cache, OVL_CACHE_NEVER);
	assert_good("cache=auto");
	ck_assert_int_eq(config.cache, OVL_CACHE_AUTO);
}
END_TEST

START_TEST(redirects_and_metacopy_are_on_unless_told)
{
	ck_assert_int_eq(config.redirect_dir, OVL_REDIRECT_ON);
	ck_assert(config.metacopy);
	assert_good("redirect_dir=off,metacopy=off");
	ck_assert_int_eq(config.redirect_dir, OVL_REDIRECT_OFF);
	ck_assert(!config.metacopy);
	assert_good("redirect_dir=follow");
	ck_assert_int_eq(config.redirect_dir, OVL_REDIRECT_FOLLOW);
	assert_good("redirect_dir=nofollow");
	ck_assert_int_eq(config.redirect_dir, OVL_REDIRECT_NOFOLLOW);
	assert_good("redirect_dir=on,metacopy=on");
	ck_assert_int_eq(config.redirect_dir, OVL_REDIRECT_ON);
	ck_assert(config.metacopy);
	assert_refused("redirect_dir=yes",
	               "option redirect_dir: bad value \"yes\"");
	assert_refused("metacopy=", "option metacopy: bad value \"\"");
}
END_TEST

START_TEST(lowers_behind_two_colons_have_data_alone)
{
	assert_good("lowerdir=/a:/b");
	ck_assert_uint_eq(config.ndatadirs, 0);
	assert_good("lowerdir=/a:/b::/c::/d");
	ck_assert_uint_eq(config.nlowerdirs, 4);
	ck_assert_uint_eq(config.ndatadirs, 2);
	ck_assert_str_eq(config.lowerdirs[2], "/c");
	assert_good("lowerdir=/a");
	ck_assert_uint_eq(config.ndatadirs, 0);
	assert_refused("lowerdir=/a::/b:/c",
	               "option lowerdir: bad value \"/a::/b:/c\"");
	assert_refused("lowerdir=::/b", "option lowerdir: bad value \"::/b\"");
	assert_refused("lowerdir=/a::", "option lowerdir: bad value \"/a::\"");
	assert_refused("lowerdir=/a:::/b",
	               "option lowerdir: bad value \"/a:::/b\"");
}
END_TEST

START_TEST(commas_without_an_option_pass)
{
	assert_good("");
	assert_good(",,ro,,insecure,");
	ck_assert(config.access.read_only);
	ck_assert(!config.access.secure);
}
END_TEST

START_TEST(every_directory_may_have_commas_and_colons)
{
	assert_good("lowerdir=/a\\:b\\,c:/d\\\\:/e,upperdir=/u\\,1\\:2,"
	            "workdir=/w:x=y,statedir=/s\\\\\\,");
	ck_assert_uint_eq(config.nlowerdirs, 3);
	ck_assert_str_eq(config.lowerdirs[0], "/a:b,c");
	ck_assert_str_eq(config.lowerdirs[1], "/d\\");
	ck_assert_str_eq(config.lowerdirs[2], "/e");
	ck_assert_str_eq(config.upperdir, "/u,1:2");
	ck_assert_str_eq(config.workdir, "/w:x=y");
	ck_assert_str_eq(config.statedir, "/s\\,");
}
END_TEST

START_TEST(a_backslash_at_the_end_is_one)
{
	assert_good("lowerdir=/a\\");
	ck_assert_str_eq(config.lowerdirs[0], "/a\\");
}
END_TEST

START_TEST(five_hundred_lowers_that_need_escapes)
{
	char *words = malloc(65536), *end = words, dir[32];

	end += sprintf(end, "lowerdir=");
	for (int i = 0; i < 500; i++)
		end += sprintf(end, "%s/l\\:%d", i ? ":" : "", i);
	assert_good(words);
	free(words);
	ck_assert_uint_eq(config.nlowerdirs, 500);
	for (int i = 0; i < 500; i++) {
		snprintf(dir, sizeof(dir), "/l:%d", i);
		ck_assert_str_eq(config.lowerdirs[i], dir);
	}
}
END_TEST

START_TEST(the_last_of_each_directory_counts)
{
	assert_good("lowerdir=/a:/b:/c,upperdir=/u");
	assert_good("lowerdir=/d,upperdir=/v");
	ck_assert_uint_eq(config.nlowerdirs, 1);
	ck_assert_str_eq(config.lowerdirs[0], "/d");
	ck_assert_str_eq(config.upperdir, "/v");
}
END_TEST

START_TEST(the_line_says_what_is_wrong)
{
	assert_refused("ro,nonsense", "unknown option \"nonsense\"");
	assert_refused("nonsense=1", "unknown option \"nonsense=\"");
	assert_refused("RO", "unknown option \"RO\"");
	assert_refused(" ro", "unknown option \" ro\"");
	assert_refused("ro=1", "unknown option \"ro=\"");
	assert_refused("cache", "option cache: no value");
	assert_refused("cache=", "option cache: bad value \"\"");
	assert_refused("cache=Auto", "option cache: bad value \"Auto\"");
	assert_refused("anonuid=4294967295",
	               "option anonuid: bad value \"4294967295\"");
	assert_refused("anongid=-1", "option anongid: bad value \"-1\"");
	assert_refused("upperdir=", "option upperdir: bad value \"\"");
	assert_refused("lowerdir=/a:", "option lowerdir: bad value \"/a:\"");
	assert_refused("lowerdir=:/a", "option lowerdir: bad value \":/a\"");
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut)
{
	char word[100], line[16] = "";

	memset(word, 'x', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	ck_assert_int_eq(nfsd_export_config_parse(&config, word, NULL, line,
	                                          sizeof(line)),
	                 -EINVAL);
	ck_assert_str_eq(line, "unknown option ");
}
END_TEST

/* ---- the path ----------------------------------------------------------- */

START_TEST(a_path_has_as_many_bytes_as_mount_can_carry)
{
	char path[NFSD_EXPORT_PATH_MAX + 3];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	/* It is the clean path that counts. */
	path[NFSD_EXPORT_PATH_MAX] = '/';
	path[NFSD_EXPORT_PATH_MAX + 1] = '\0';
	ck_assert_int_eq(set_path(path), 0);
	ck_assert_uint_eq(strlen(config.path), NFSD_EXPORT_PATH_MAX);
	path[NFSD_EXPORT_PATH_MAX] = 'x';
	ck_assert_int_eq(set_path(path), -EINVAL);
}
END_TEST

START_TEST(a_refused_path_leaves_the_one_before)
{
	ck_assert_int_eq(set_path("/first"), 0);
	ck_assert_int_eq(set_path("/../second"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "\"/../second\""));
	ck_assert_str_eq(config.path, "/first");
	ck_assert_int_eq(set_path("/third"), 0);
	ck_assert_str_eq(config.path, "/third");
}
END_TEST

/* ---- what belongs together ---------------------------------------------- */

static void assert_unfinished(const char *path, const char *options,
                              const char *line)
{
	nfsd_export_config_release(&config);
	nfsd_export_config_init(&config, geteuid() == 0);
	assert_good(options);
	if (path != NULL)
		ck_assert_int_eq(set_path(path), 0);
	ck_assert_int_eq(finish(), -EINVAL);
	ck_assert_str_eq(why, line);
}

START_TEST(what_is_missing_is_told)
{
	assert_unfinished(NULL, "lowerdir=/l,statedir=/s", "no export given");
	assert_unfinished("/e", "statedir=/s",
	                  "neither lowerdir= nor upperdir= given");
	assert_unfinished("/e", "lowerdir=/l,upperdir=/u,statedir=/s",
	                  "upperdir= needs workdir=");
	assert_unfinished("/e", "lowerdir=/l,workdir=/w",
	                  "workdir= needs upperdir=");
}
END_TEST

/* The state of an export of this path, where nobody says where it is. */
static const char *statedir_of(const char *path)
{
	nfsd_export_config_release(&config);
	nfsd_export_config_init(&config, geteuid() == 0);
	assert_good("lowerdir=/l");
	ck_assert_int_eq(set_path(path), 0);
	ck_assert_int_eq(finish(), 0);
	return config.statedir;
}

START_TEST(no_two_exports_share_their_state)
{
	char *dirs[6];

	setenv("HOME", "/home/me", 1);
	dirs[0] = strdup(statedir_of("/a/b"));
	dirs[1] = strdup(statedir_of("/a-b"));
	dirs[2] = strdup(statedir_of("/a\\x2db"));
	dirs[3] = strdup(statedir_of("/a_b"));
	dirs[4] = strdup(statedir_of("/"));
	dirs[5] = strdup(statedir_of("/-"));
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(dirs[i], dirs[j]);
	for (int i = 0; i < 6; i++)
		free(dirs[i]);
}
END_TEST

START_TEST(state_is_kept_where_the_user_keeps_his)
{
	if (geteuid() == 0) {
		ck_assert_str_eq(statedir_of("/a/b"), "/var/lib/veneer/a-b");
		/* As a path is written, which this one is read as. */
		ck_assert_str_eq(statedir_of("/a%b"), "/var/lib/veneer/a%%b");
		return;
	}
	setenv("HOME", "/home/me", 1);
	setenv("XDG_STATE_HOME", "/xdg", 1);
	ck_assert_str_eq(statedir_of("/a/b"), "/xdg/veneer/a-b");
	/* Relative ones are to be ignored, says the specification. */
	setenv("XDG_STATE_HOME", "xdg", 1);
	ck_assert_str_eq(statedir_of("/a/b"),
	                 "/home/me/.local/state/veneer/a-b");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	assert_unfinished("/a/b", "lowerdir=/l",
	                  "no statedir= given, and no HOME either");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("export_config");
	TCase *tcase = tcase_create("export_config");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, each_flag_sets_what_it_names_and_nothing_else);
	tcase_add_test(tcase, each_way_to_sync_and_to_cache_has_its_word);
	tcase_add_test(tcase, redirects_and_metacopy_are_on_unless_told);
	tcase_add_test(tcase, lowers_behind_two_colons_have_data_alone);
	tcase_add_test(tcase, commas_without_an_option_pass);
	tcase_add_test(tcase, every_directory_may_have_commas_and_colons);
	tcase_add_test(tcase, a_backslash_at_the_end_is_one);
	tcase_add_test(tcase, five_hundred_lowers_that_need_escapes);
	tcase_add_test(tcase, the_last_of_each_directory_counts);
	tcase_add_test(tcase, the_line_says_what_is_wrong);
	tcase_add_test(tcase, a_line_that_is_too_long_is_cut);
	tcase_add_test(tcase, a_path_has_as_many_bytes_as_mount_can_carry);
	tcase_add_test(tcase, a_refused_path_leaves_the_one_before);
	tcase_add_test(tcase, what_is_missing_is_told);
	tcase_add_test(tcase, no_two_exports_share_their_state);
	tcase_add_test(tcase, state_is_kept_where_the_user_keeps_his);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
