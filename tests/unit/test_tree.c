/*
 * The bound on memory of what is cached of the layers: it holds whatever a
 * client lists and looks up, but for the one directory that it uses.
 */
#include "config.h"

#include <stdatomic.h>

#include "stage.h"

#define DIRS 30
#define FILES 60
#define LONG 150 /* bytes of a name */

/* What the two trees share. */
#define BOUND (100u << 10)

static atomic_int lines;
static char last_line[1024];

static void take_line(void *arg, int level, const char *line)
{
	(void)arg, (void)level;
	if (strstr(line, "bound on memory")) {
		lines++;
		snprintf(last_line, sizeof(last_line), "%s", line);
	}
}

static void long_name(char name[LONG + 1], unsigned i)
{
	memset(name, 'x', LONG);
	name[LONG] = '\0';
	name[snprintf(name, LONG, "f%u", i)] = '-';
}

static void fill_dir(const char *layer, const char *dir, unsigned n)
{
	char path[2 * LONG + 64], name[LONG + 1];

	snprintf(path, sizeof(path), "%s/%s", layer, dir);
	tree_mkdir(path);
	for (unsigned i = 0; i < n; i++) {
		long_name(name, i);
		snprintf(path, sizeof(path), "%s/%s/%s", layer, dir, name);
		tree_file(path, "");
	}
}

static void open_bounded(void)
{
	lines = 0;
	stage.max_entries = 1000000;
	stage.max_memory = BOUND;
	stage.log = take_line;
	stage_open();
}

static struct ovl_stats stats_now(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats;
}

/* ---- listing ---------------------------------------------------------------- */

struct page {
	uint64_t cookie;
	unsigned n, room, taken;
};

static bool take(void *arg, const struct ovl_dirent *entry)
{
	struct page *page = arg;

	if (page->taken == page->room)
		return false;
	page->taken++;
	page->n++;
	page->cookie = entry->cookie;
	return true;
}

/* List it all, in pages. How often its names had to be read in anew. */
static unsigned list_all(const char *path, unsigned n)
{
	struct page page = { .room = 16 };
	unsigned forgotten = 0;
	bool eof = false;

	while (!eof) {
		struct ovl_node *dir = get(path);
		struct ovl_caller loop = root;

		/* Without waiting they can only come from memory. */
		loop.may_wait = false;
		page.taken = 0;
		if (ovl_readdir(fs, &loop, dir, page.cookie, false, take, &page,
		                &eof) == -EAGAIN)
			forgotten++;
		page.taken = 0;
		ck_assert_int_eq(ovl_readdir(fs, &root, dir, page.cookie, true,
		                             take, &page, &eof),
		                 0);
		ovl_node_unref(dir);
	}
	ck_assert_uint_eq(page.n, n + 2);
	return forgotten;
}

START_TEST(a_tree_that_does_not_fit_is_listed_within_the_bound)
{
	uint64_t most = 0;
	char name[32];

	for (unsigned i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		fill_dir(i % 2 ? "low" : "up", name, FILES);
	}
	open_bounded();
	for (unsigned i = 0; i < 3 * DIRS; i++) {
		struct ovl_stats stats;

		snprintf(name, sizeof(name), "d%u", i % DIRS);
		list_all(name, FILES);
		stats = stats_now();
		if (stats.cache_bytes > most)
			most = stats.cache_bytes;
		/* What is being used may come on top: here one directory. */
		ck_assert_uint_le(stats.cache_bytes, BOUND + BOUND / 4);
	}
	/* It makes use of what it may have. */
	ck_assert_uint_gt(most, BOUND / 2);
	ck_assert_int_eq(lines, 0);
	/* Where they were seen is on disk, and counted by itself. */
	ck_assert_uint_gt(stats_now().places, 0);
	ck_assert_uint_lt(stats_now().place_bytes, 1 << 20);
}
END_TEST

START_TEST(looking_up_more_than_fits_stays_within_the_bound)
{
	char name[LONG + 1], path[LONG + 32];

	for (unsigned i = 0; i < DIRS; i++) {
		snprintf(path, sizeof(path), "d%u", i);
		fill_dir("low", path, FILES);
	}
	open_bounded();
	for (unsigned i = 0; i < DIRS * FILES; i++) {
		long_name(name, i / DIRS);
		snprintf(path, sizeof(path), "d%u/%s", i % DIRS, name);
		ck_assert_int_eq(seen(path), 0);
		ck_assert_uint_le(stats_now().cache_bytes, BOUND + BOUND / 4);
	}
}
END_TEST

/* ---- huge directories ------------------------------------------------------- */

/* Its names take far more than a tree's half of the bound. */
#define HUGE 1000

START_TEST(a_huge_directory_is_served_and_logged_once)
{
	fill_dir("low", "huge", HUGE);
	open_bounded();
	for (unsigned i = 0; i < 3; i++)
		list_all("huge", HUGE);
	ck_assert_int_eq(lines, 1);
	ck_assert_ptr_nonnull(strstr(last_line, " /huge "));
}
END_TEST

/* Else a listing would take the square of its time. */
START_TEST(a_huge_directory_is_not_read_anew_for_each_page)
{
	fill_dir("low", "huge", HUGE);
	open_bounded();
	/* Of 30 pages and more. */
	ck_assert_uint_le(list_all("huge", HUGE), 8);
	stage_close();
	/* Nor where the names are too many, not too long. */
	stage.max_memory = 0;
	stage.max_entries = HUGE / 2;
	stage_open();
	ck_assert_uint_le(list_all("huge", HUGE), 8);
	ck_assert_int_eq(lines, 1);
}
END_TEST

START_TEST(of_two_huge_directories_one_stays)
{
	fill_dir("low", "huge1", HUGE);
	fill_dir("low", "huge2", HUGE);
	open_bounded();
	for (unsigned i = 0; i < 4; i++) {
		list_all("huge1", HUGE);
		list_all("huge2", HUGE);
		/* Either takes 230 bytes a name at least. */
		ck_assert_uint_lt(stats_now().cache_bytes,
		                  HUGE * 300 + BOUND + BOUND / 4);
	}
}
END_TEST

/* One name at a time, so that it is not seen when it is read in. */
START_TEST(a_directory_that_grows_huge_is_logged)
{
	char name[LONG + 1];

	fill_dir("up", "dir", 1);
	open_bounded();
	for (unsigned i = 1; i < HUGE; i++) {
		long_name(name, i);
		ck_assert_int_eq(make_file("dir", name), 0);
	}
	ck_assert_int_eq(lines, 1);
	ck_assert_ptr_nonnull(strstr(last_line, " /dir "));
	list_all("dir", HUGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tree");
	TCase *tcase = tcase_create("tree");

	tcase_add_test(tcase,
	               a_tree_that_does_not_fit_is_listed_within_the_bound);
	tcase_add_test(tcase, looking_up_more_than_fits_stays_within_the_bound);
	tcase_add_test(tcase, a_huge_directory_is_served_and_logged_once);
	tcase_add_test(tcase, a_huge_directory_is_not_read_anew_for_each_page);
	tcase_add_test(tcase, of_two_huge_directories_one_stays);
	tcase_add_test(tcase, a_directory_that_grows_huge_is_logged);
	return stage_run(suite, tcase);
}
