/*
 * Listings, page by page, while names come and go: nothing that stays is skipped
 * or told twice (TRAPS 1, 2, 3, 7, 11).
 */
#include "config.h"

#include "seed.h"
#include "stage.h"

#define MAX_NAMES 400

static uint64_t seed;

/* What a listing has brought so far. */
struct listing {
	unsigned n;
	char name[MAX_NAMES][16];
	uint64_t fileid[MAX_NAMES];
	uint64_t cookie; /* the last one taken */
	unsigned room;   /* of this page */
	unsigned taken;
	bool eof;
};

static bool take(void *arg, const struct ovl_dirent *entry)
{
	struct listing *listing = arg;

	if (listing->taken == listing->room)
		return false;
	ck_assert_uint_gt(entry->cookie, listing->cookie);
	ck_assert_uint_lt(listing->n, MAX_NAMES);
	strcpy(listing->name[listing->n], entry->name);
	listing->fileid[listing->n++] = entry->fileid;
	listing->cookie = entry->cookie;
	listing->taken++;
	return true;
}

/* One page of up to `room` names. */
static void list_page(struct listing *listing, const char *path, unsigned room,
                      bool attrs)
{
	struct ovl_node *dir = get(path);

	listing->room = room;
	listing->taken = 0;
	ck_assert_int_eq(ovl_readdir(fs, &root, dir, listing->cookie, attrs,
	                             take, listing, &listing->eof),
	                 0);
	ck_assert(listing->taken || listing->eof);
	ovl_node_unref(dir);
}

static unsigned times_told(const struct listing *listing, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < listing->n; i++)
		n += !strcmp(listing->name[i], name);
	return n;
}

static void make_files(const char *dir, unsigned first, unsigned n)
{
	char path[64];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(path, sizeof(path), "%s/f%u", dir, i);
		tree_file(path, "");
	}
}

/* f0 to f99: some of them in both layers, and some in the upper. */
static void make_merged(void)
{
	char name[16];

	tree_mkdir("low/dir");
	tree_mkdir("high/dir");
	make_files("low/dir", 0, 50);
	make_files("high/dir", 40, 30);
	stage_open();
	for (unsigned i = 70; i < 100; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		ck_assert_int_eq(make_file("dir", name), 0);
	}
}

/* f0 to f99 each once, and the dots. */
static void check_whole(const struct listing *listing)
{
	char name[16];

	ck_assert_uint_eq(listing->n, 102);
	ck_assert_str_eq(listing->name[0], ".");
	ck_assert_str_eq(listing->name[1], "..");
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		ck_assert_uint_eq(times_told(listing, name), 1);
	}
}

/* ---- pages ---------------------------------------------------------------- */

START_TEST(pages_of_any_size_make_the_whole)
{
	static const unsigned rooms[] = { 1, 2, 3, 7, 63, 64, 65, 1000 };

	make_merged();
	for (unsigned i = 0; i < 16; i++) {
		struct listing listing = { 0 };

		while (!listing.eof)
			list_page(&listing, "dir", rooms[i / 2], i % 2);
		check_whole(&listing);
	}
}
END_TEST

START_TEST(cookies_outlive_a_restart_and_forgetting)
{
	struct listing listing = { 0 };

	stage.max_entries = 1;
	make_merged();
	while (!listing.eof) {
		list_page(&listing, "dir", 10, false);
		stage_reopen();
	}
	check_whole(&listing);
}
END_TEST

START_TEST(cookies_outlive_copy_up)
{
	struct listing listing = { 0 };
	char path[64];

	make_merged();
	for (unsigned i = 0; !listing.eof; i++) {
		list_page(&listing, "dir", 3, false);
		snprintf(path, sizeof(path), "dir/f%u", i * 3 % 70);
		write_text(path, "up");
	}
	check_whole(&listing);
}
END_TEST

START_TEST(fileids_are_the_same_everywhere)
{
	struct listing listing = { 0 };
	char path[64];

	make_merged();
	while (!listing.eof)
		list_page(&listing, "dir", 1000, false);
	for (unsigned i = 0; i < listing.n; i++) {
		snprintf(path, sizeof(path), "dir/%s", listing.name[i]);
		ck_assert_uint_eq(attr_of(path).fileid, listing.fileid[i]);
	}
	ck_assert_uint_eq(listing.fileid[1], attr_of("").fileid);
}
END_TEST

START_TEST(hard_links_in_one_directory_are_all_told)
{
	struct listing listing = { 0 };

	tree_file("low/a", "");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/b", 0), 0);
	stage_open();
	ck_assert_int_eq(link_name("a", "", "c"), 0);
	while (!listing.eof)
		list_page(&listing, "", 1, true);
	ck_assert_uint_eq(listing.n, 5);
	ck_assert_uint_eq(listing.fileid[2], listing.fileid[3]);
	ck_assert_uint_eq(listing.fileid[2], listing.fileid[4]);
}
END_TEST

START_TEST(an_empty_directory_has_its_dots)
{
	struct listing listing = { 0 };

	stage_open();
	ck_assert_int_eq(make_dir("", "new"), 0);
	list_page(&listing, "new", 1000, true);
	ck_assert(listing.eof);
	ck_assert_uint_eq(listing.n, 2);
	ck_assert_uint_eq(listing.fileid[0], id_of("new").fileid);
	ck_assert_uint_eq(listing.fileid[1], id_of("").fileid);
}
END_TEST

START_TEST(an_old_or_odd_cookie_resumes_behind_it)
{
	static const uint64_t odd[] = { 3, 15, UINT64_MAX, UINT64_MAX >> 1 };

	make_merged();
	for (unsigned i = 0; i < 4; i++) {
		struct listing listing = { .cookie = odd[i] };

		while (!listing.eof)
			list_page(&listing, "dir", 1000, false);
		ck_assert_uint_eq(listing.n, i < 2 ? 100 : 0);
	}
}
END_TEST

/* ---- changes meanwhile ---------------------------------------------------- */

/* `rm -r` lists a page, deletes what it has seen, and lists on. */
START_TEST(deleting_while_listing_misses_none)
{
	struct listing listing = { 0 };
	unsigned done = 0;

	make_merged();
	while (!listing.eof) {
		list_page(&listing, "dir", 7, false);
		for (; done < listing.n; done++)
			if (listing.name[done][0] != '.')
				ck_assert_int_eq(
					remove_name("dir", listing.name[done]),
					0);
	}
	check_whole(&listing);
	ck_assert_int_eq(remove_dir("", "dir"), 0);
}
END_TEST

/* What is there all the time is told once; what comes or goes, at most. */
START_TEST(survivors_are_told_once)
{
	uint64_t random = seed;
	char name[16];

	make_merged();
	for (unsigned round = 0; round < 20; round++) {
		struct listing listing = { 0 };

		while (!listing.eof) {
			list_page(&listing, "dir", 1 + test_random(&random) % 9,
			          false);
			/* f0 to f29 come and go, and so do new ones */
			snprintf(name, sizeof(name), "f%u",
			         (unsigned)(test_random(&random) % 30));
			if (remove_name("dir", name) == -ENOENT)
				ck_assert_int_eq(make_file("dir", name), 0);
			snprintf(name, sizeof(name), "n%u",
			         (unsigned)(test_random(&random) % 30));
			if (remove_name("dir", name) == -ENOENT)
				ck_assert_int_eq(make_file("dir", name), 0);
		}
		for (unsigned i = 30; i < 100; i++) {
			snprintf(name, sizeof(name), "f%u", i);
			ck_assert_uint_eq(times_told(&listing, name), 1);
		}
		for (unsigned i = 0; i < 30; i++) {
			snprintf(name, sizeof(name), "n%u", i);
			ck_assert_uint_le(times_told(&listing, name), 1);
		}
	}
}
END_TEST

static bool tells(const char *dir, const char *name)
{
	struct listing listing = { 0 };

	while (!listing.eof)
		list_page(&listing, dir, 1000, false);
	return times_told(&listing, name) == 1;
}

START_TEST(every_change_is_told_at_once)
{
	struct ovl_node *in, *node;

	make_merged();
	ck_assert_int_eq(make_dir("", "other"), 0);
	ck_assert(tells("", "other") && !tells("other", "moved"));
	ck_assert_int_eq(rename_name("dir", "f1", "other", "moved"), 0);
	ck_assert(!tells("dir", "f1") && tells("other", "moved"));
	ck_assert_int_eq(link_name("other/moved", "dir", "again"), 0);
	ck_assert(tells("dir", "again"));
	ck_assert_int_eq(remove_name("dir", "again"), 0);
	ck_assert(!tells("dir", "again"));
	in = get("dir");
	ck_assert_int_eq(ovl_symlink(fs, &root, in, "link", "x", &nothing,
	                             &node, NULL),
	                 0);
	ovl_node_unref(node);
	ovl_node_unref(in);
	ck_assert(tells("dir", "link"));
	ck_assert_int_eq(remove_dir("", "other"), -ENOTEMPTY);
	ck_assert_int_eq(remove_name("other", "moved"), 0);
	ck_assert_int_eq(remove_dir("", "other"), 0);
	ck_assert(!tells("", "other"));
}
END_TEST

/* ---- the bound ------------------------------------------------------------ */

START_TEST(memory_stays_bounded)
{
	struct ovl_stats stats;
	char name[16];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "low/d%u", i);
		tree_mkdir(name);
		make_files(name, 0, 40);
	}
	stage.max_entries = 200;
	stage.max_files = 20;
	stage_open();
	for (unsigned i = 0; i < 80; i++) {
		struct listing listing = { 0 };

		snprintf(name, sizeof(name), "d%u", i % 40);
		while (!listing.eof)
			list_page(&listing, name, 1000, true);
		ck_assert_uint_eq(listing.n, 42);
		ovl_stats(fs, &stats);
		/* One directory and what is held may come on top. */
		ck_assert_uint_le(stats.entries, 2 * 200 + 2 * 42);
		ck_assert_uint_le(stats.files, 20 + 2);
	}
}
END_TEST

/* Some other client's doing, in a directory of its own. */
START_TEST(a_listing_is_undisturbed_by_changes_elsewhere)
{
	struct listing listing = { 0 };
	char name[16];

	tree_mkdir("low/other");
	make_merged();
	for (unsigned i = 0; !listing.eof; i++) {
		list_page(&listing, "dir", 3, i % 2);
		snprintf(name, sizeof(name), "n%u", i);
		ck_assert_int_eq(make_file("other", name), 0);
		if (i % 2)
			ck_assert_int_eq(remove_name("other", name), 0);
	}
	check_whole(&listing);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("list");
	TCase *tcase = tcase_create("list");

	seed = test_seed();
	tcase_add_test(tcase, pages_of_any_size_make_the_whole);
	tcase_add_test(tcase, cookies_outlive_a_restart_and_forgetting);
	tcase_add_test(tcase, cookies_outlive_copy_up);
	tcase_add_test(tcase, fileids_are_the_same_everywhere);
	tcase_add_test(tcase, hard_links_in_one_directory_are_all_told);
	tcase_add_test(tcase, an_empty_directory_has_its_dots);
	tcase_add_test(tcase, an_old_or_odd_cookie_resumes_behind_it);
	tcase_add_test(tcase, deleting_while_listing_misses_none);
	tcase_add_test(tcase, survivors_are_told_once);
	tcase_add_test(tcase, every_change_is_told_at_once);
	tcase_add_test(tcase, a_listing_is_undisturbed_by_changes_elsewhere);
	tcase_add_test(tcase, memory_stays_bounded);
	return stage_run(suite, tcase);
}
