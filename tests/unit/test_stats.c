#include "config.h"

#include "server/stats.h"

#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

/* ---- the text ------------------------------------------------------------- */

static char text[65536];

static void print(const struct orpc_stats *rpc,
                  const struct nfsd_export_stats *exports, size_t n)
{
	FILE *to = fmemopen(text, sizeof(text), "w");

	ck_assert_ptr_nonnull(to);
	nfsd_stats_print(to, rpc, exports, n);
	ck_assert_int_eq(fclose(to), 0);
}

/* The value of "NAME VALUE", at the beginning of a line; -1: no such line. */
static long long value_of(const char *name)
{
	size_t len = strlen(name);
	const char *line = text;

	for (; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return atoll(line + len);
	}
	return -1;
}

/* Each line is a comment, or a name, perhaps a label, and a number. */
static void check_form(void)
{
	char copy[sizeof(text)], *rest, *line;

	strcpy(copy, text);
	ck_assert_uint_gt(strlen(copy), 0);
	ck_assert_int_eq(copy[strlen(copy) - 1], '\n');
	for (line = strtok_r(copy, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		const char *value = strrchr(line, ' ');

		if (strncmp(line, "# HELP veneer_", 14) == 0 ||
		    strncmp(line, "# TYPE veneer_", 14) == 0)
			continue;
		ck_assert_msg(strncmp(line, "veneer_", 7) == 0, "%s", line);
		ck_assert_msg(isdigit((unsigned char)value[1]), "%s", line);
		ck_assert_uint_eq(strspn(value + 1, "0123456789"),
		                  strlen(value + 1));
		ck_assert(value[-1] == '}' ||
		          strspn(line, "abcdefghijklmnopqrstuvwxyz_") ==
		                  (size_t)(value - line));
	}
}

START_TEST(each_number_has_its_name)
{
	const struct orpc_stats rpc = { 1, 2,  3,  4,  5,  6,  7,  8,
		                        9, 10, 11, 12, 13, 14, 15, 16 };
	const struct nfsd_export_stats exports[] = {
		{ "/a", { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } },
		{ "/b", { .entries = UINT64_MAX } },
	};

	print(&rpc, exports, 2);
	check_form();
	ck_assert_int_eq(value_of("veneer_calls_total"), 1);
	ck_assert_int_eq(value_of("veneer_calls_pooled_total"), 2);
	ck_assert_int_eq(value_of("veneer_connections_accepted_total"), 3);
	ck_assert_int_eq(value_of("veneer_connections"), 4);
	ck_assert_int_eq(value_of("veneer_connections_closed_idle_total"), 5);
	ck_assert_int_eq(value_of("veneer_connections_closed_broken_total"), 6);
	ck_assert_int_eq(value_of("veneer_connections_closed_stuck_total"), 7);
	ck_assert_int_eq(value_of("veneer_connections_waited_total"), 8);
	ck_assert_int_eq(value_of("veneer_buffer_bytes"), 9);
	ck_assert_int_eq(value_of("veneer_buffer_spare_bytes"), 10);
	ck_assert_int_eq(value_of("veneer_datagrams_dropped_total"), 11);
	ck_assert_int_eq(value_of("veneer_replay_hits_total"), 12);
	ck_assert_int_eq(value_of("veneer_replay_joins_total"), 13);
	ck_assert_int_eq(value_of("veneer_replay_misses_total"), 14);
	ck_assert_int_eq(value_of("veneer_replies_kept"), 15);
	ck_assert_int_eq(value_of("veneer_reply_kept_bytes"), 16);
	ck_assert_int_eq(value_of("veneer_entries{export=\"/a\"}"), 1);
	ck_assert_int_eq(value_of("veneer_cache_bytes{export=\"/a\"}"), 2);
	ck_assert_int_eq(value_of("veneer_places{export=\"/a\"}"), 3);
	ck_assert_int_eq(value_of("veneer_place_bytes{export=\"/a\"}"), 4);
	ck_assert_int_eq(value_of("veneer_open_files{export=\"/a\"}"), 5);
	ck_assert_int_eq(value_of("veneer_copyups_total{export=\"/a\"}"), 6);
	ck_assert_int_eq(value_of("veneer_copied_bytes_total{export=\"/a\"}"),
	                 7);
	ck_assert_int_eq(value_of("veneer_walks_total{export=\"/a\"}"), 8);
	ck_assert_int_eq(value_of("veneer_place_file_bytes{export=\"/a\"}"),
	                 10);
	ck_assert_int_eq(value_of("veneer_flushes_total{export=\"/a\"}"), 9);
	ck_assert_ptr_nonnull(strstr(text, "veneer_entries{export=\"/b\"} "
	                                   "18446744073709551615\n"));
}
END_TEST

START_TEST(a_path_cannot_forge_a_line)
{
	const struct orpc_stats rpc = { 0 };
	const struct nfsd_export_stats odd = { "/a\"b\\c\nd",
		                               { .entries = 5 } };

	print(&rpc, &odd, 1);
	check_form();
	ck_assert_int_eq(
		value_of("veneer_entries{export=\"/a\\\"b\\\\c\\nd\"}"), 5);
}
END_TEST

START_TEST(without_exports_the_server_is_still_told_of)
{
	const struct orpc_stats rpc = { .calls = 3 };

	print(&rpc, NULL, 0);
	check_form();
	ck_assert_int_eq(value_of("veneer_calls_total"), 3);
	ck_assert_int_eq(value_of("veneer_connections"), 0);
}
END_TEST

/* ---- the file --------------------------------------------------------------- */

static struct fixture *fixture;
static char path[PATH_MAX];

static void setup(void)
{
	fixture = fixture_new(1);
	snprintf(path, sizeof(path), "%s/stats", fixture->top);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static bool read_file(void)
{
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL)
		return false;
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return true;
}

/* Whenever it is read it is whole, and it goes on changing. */
START_TEST(the_file_is_always_whole_and_goes_on)
{
	static const char calls[] = "veneer_calls_total";
	static const char last[] = "veneer_flushes_total{export=\"/export\"}";
	long long before;

	fixture->stats = path;
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	ck_assert(read_file()); /* at once */
	before = value_of(calls);
	nfs_root(fixture->client);
	for (int i = 0; i < 30000 && value_of(calls) <= before; i++) {
		ck_assert(read_file());
		check_form();
		ck_assert_int_ge(value_of(last), 0);
		usleep(1000);
	}
	ck_assert_int_gt(value_of(calls), before);
	ck_assert_int_eq(value_of("veneer_connections"), 1);
	ck_assert_int_ge(value_of("veneer_entries{export=\"/export\"}"), 1);
	ck_assert_int_ge(value_of("veneer_cache_bytes{export=\"/export\"}"),
	                 100);
}
END_TEST

START_TEST(the_end_is_written_too)
{
	struct stat st;
	nfs_fh3 root;

	fixture->stats = path;
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	root = nfs_root(fixture->client);
	nfs_new_file(fixture->client, root, "file", 0644);
	for (int i = 0; i < 50; i++)
		nfs_attributes(fixture->client, root);
	fixture_stop(fixture);
	ck_assert(read_file());
	ck_assert_int_ge(value_of("veneer_calls_total"), 52);
	ck_assert_int_eq(value_of("veneer_connections"), 0);
	/* Others may read it, and nothing else is left. */
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0644);
	strcat(path, ".new");
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* ---- places ----------------------------------------------------------------- */

static struct nfsd_stats *stats;
static const struct nfsd_stats_source source;

START_TEST(what_is_no_file_is_refused)
{
	char to[PATH_MAX];

	ck_assert_int_eq(nfsd_stats_new(fixture->top, &source, &stats),
	                 -EISDIR);
	ck_assert_int_eq(nfsd_stats_new("", &source, &stats), -EISDIR);
	ck_assert_int_eq(nfsd_stats_new("/dev/null", &source, &stats),
	                 -ENOTSUP);
	snprintf(to, sizeof(to), "%s/none/stats", fixture->top);
	ck_assert_int_eq(nfsd_stats_new(to, &source, &stats), -ENOENT);
	ck_assert_int_eq(symlink("/nowhere", path), 0);
	ck_assert_int_eq(nfsd_stats_new(path, &source, &stats), -ENOTSUP);
	ck_assert_ptr_null(stats);
}
END_TEST

START_TEST(an_old_file_stays_until_there_is_a_new_one)
{
	fixture_write(fixture, "stats", "old", 0644);
	fixture_write(fixture, "stats.new", "left by a killed server", 0644);
	ck_assert_int_eq(nfsd_stats_new(path, &source, &stats), 0);
	ck_assert_int_eq(nfsd_stats_prepare(stats), 0);
	nfsd_stats_free(stats);
	ck_assert(read_file());
	ck_assert_str_eq(text, "old");
	strcat(path, ".new");
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(a_place_below_a_directory_is_known)
{
	char dir[PATH_MAX];

	snprintf(path, sizeof(path), "%s/lower0/../lower0/stats", fixture->top);
	ck_assert_int_eq(nfsd_stats_new(path, &source, &stats), 0);
	ck_assert(nfsd_stats_is_below(stats, fixture->top));
	ck_assert(nfsd_stats_is_below(stats, "/"));
	snprintf(dir, sizeof(dir), "%s/lower0", fixture->top);
	ck_assert(nfsd_stats_is_below(stats, dir));
	snprintf(dir, sizeof(dir), "%s/lower", fixture->top);
	ck_assert(!nfsd_stats_is_below(stats, dir));
	snprintf(dir, sizeof(dir), "%s/upper", fixture->top);
	ck_assert(!nfsd_stats_is_below(stats, dir));
	nfsd_stats_free(stats);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats");
	TCase *texts = tcase_create("text"), *files = tcase_create("file");

	tcase_add_test(texts, each_number_has_its_name);
	tcase_add_test(texts, a_path_cannot_forge_a_line);
	tcase_add_test(texts, without_exports_the_server_is_still_told_of);
	suite_add_tcase(suite, texts);
	tcase_set_timeout(files, 60);
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, what_is_no_file_is_refused);
	tcase_add_test(files, an_old_file_stays_until_there_is_a_new_one);
	tcase_add_test(files, a_place_below_a_directory_is_known);
	tcase_add_test(files, the_file_is_always_whole_and_goes_on);
	tcase_add_test(files, the_end_is_written_too);
	suite_add_tcase(suite, files);
	return suite_run(suite);
}
