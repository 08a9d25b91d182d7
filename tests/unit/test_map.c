#include "config.h"

#include "overlay/map.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/seed.h"

#define NAME_SIZE 256

static struct ovl_map *map;

static void setup(void)
{
	map = ovl_map_new();
	ck_assert_ptr_nonnull(map);
}

static void teardown(void)
{
	ovl_map_free(map);
	map = NULL;
}

static void put(uint64_t fileid, uint64_t parent, const char *name)
{
	ck_assert_int_eq(ovl_map_put(map, fileid, parent, name, strlen(name)),
	                 0);
}

static void del(uint64_t fileid, uint64_t parent, const char *name)
{
	ovl_map_del(map, fileid, parent, name, strlen(name));
}

static void assert_row(uint64_t fileid, unsigned index, uint64_t parent,
                       const char *name)
{
	char got_name[NAME_SIZE];
	uint64_t got_parent;

	ck_assert(ovl_map_get(map, fileid, index, &got_parent, got_name));
	ck_assert_uint_eq(got_parent, parent);
	ck_assert_str_eq(got_name, name);
}

static void assert_no_row(uint64_t fileid, unsigned index)
{
	char name[NAME_SIZE] = "untouched";
	uint64_t parent = 42;

	ck_assert(!ovl_map_get(map, fileid, index, &parent, name));
	ck_assert_uint_eq(parent, 42);
	ck_assert_str_eq(name, "untouched");
}

START_TEST(an_empty_map_has_no_rows)
{
	assert_no_row(1, 0);
	del(1, 2, "name");
	ck_assert_uint_eq(ovl_map_count(map), 0);
	ovl_map_free(NULL);
}
END_TEST

START_TEST(rows_of_a_file_come_newest_first)
{
	put(7, 1, "first");
	put(8, 1, "of another file");
	put(7, 1, "second");
	put(7, 2, "first");
	assert_row(7, 0, 2, "first");
	assert_row(7, 1, 1, "second");
	assert_row(7, 2, 1, "first");
	assert_no_row(7, 3);
	ck_assert_uint_eq(ovl_map_count(map), 4);
}
END_TEST

START_TEST(a_row_is_kept_once)
{
	put(7, 1, "name");
	put(7, 1, "other");
	put(7, 1, "name");
	ck_assert_uint_eq(ovl_map_count(map), 2);
	assert_no_row(7, 2);
}
END_TEST

START_TEST(only_the_row_named_is_removed)
{
	put(7, 1, "name");
	put(7, 2, "name");
	put(7, 1, "names");
	put(7, 1, "nam");
	put(8, 1, "name");
	del(7, 1, "name");
	assert_row(7, 0, 1, "nam");
	assert_row(7, 1, 1, "names");
	assert_row(7, 2, 2, "name");
	assert_no_row(7, 3);
	assert_row(8, 0, 1, "name");
	ck_assert_uint_eq(ovl_map_count(map), 4);
}
END_TEST

START_TEST(the_length_given_ends_the_name)
{
	ck_assert_int_eq(ovl_map_put(map, 7, 1, "name and more", 4), 0);
	assert_row(7, 0, 1, "name");
	ovl_map_del(map, 7, 1, "name, and other things", 4);
	assert_no_row(7, 0);
}
END_TEST

START_TEST(the_longest_name_and_the_largest_numbers_are_kept)
{
	char name[NAME_SIZE];

	memset(name, 'x', NAME_SIZE - 1);
	name[NAME_SIZE - 1] = '\0';
	put(UINT64_MAX, UINT64_MAX - 1, name);
	assert_row(UINT64_MAX, 0, UINT64_MAX - 1, name);
}
END_TEST

START_TEST(growing_keeps_every_row_and_the_order)
{
	enum { FILES = 20000 };
	uint64_t i;

	for (i = 0; i < FILES; i++)
		put(i, i / 10, "old");
	for (i = 0; i < FILES; i++)
		put(i, i / 10, "new");
	ck_assert_uint_eq(ovl_map_count(map), 2 * FILES);
	for (i = 0; i < FILES; i++) {
		assert_row(i, 0, i / 10, "new");
		assert_row(i, 1, i / 10, "old");
		assert_no_row(i, 2);
	}
	for (i = 0; i < FILES; i++) {
		del(i, i / 10, "old");
		del(i, i / 10, "new");
	}
	ck_assert_uint_eq(ovl_map_count(map), 0);
}
END_TEST

START_TEST(it_is_complete_only_when_told)
{
	ck_assert(!ovl_map_complete(map));
	ovl_map_set_complete(map, true);
	ck_assert(ovl_map_complete(map));
	ovl_map_set_complete(map, false);
	ck_assert(!ovl_map_complete(map));
}
END_TEST

/* ---- threads ------------------------------------------------------------- */

#define THREADS 4
#define SHARED_FILES 200

struct worker {
	pthread_t thread;
	uint64_t random;
	uint64_t parent; /* its own: so its rows are its own */
	bool there[SHARED_FILES];
	bool wrong;
};

/* Rows of one file belong to several threads; each minds its own. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	char name[NAME_SIZE];
	uint64_t parent;
	unsigned i, file;

	for (i = 0; i < 20000; i++) {
		file = test_random(&worker->random) % SHARED_FILES;
		if (worker->there[file])
			ovl_map_del(map, file, worker->parent, "name", 4);
		else if (ovl_map_put(map, file, worker->parent, "name", 4) < 0)
			worker->wrong = true;
		worker->there[file] = !worker->there[file];
		if (ovl_map_get(map, file, i % THREADS, &parent, name) &&
		    (parent > THREADS || strcmp(name, "name") != 0))
			worker->wrong = true;
	}
	return NULL;
}

START_TEST(threads_do_not_disturb_each_other)
{
	struct worker workers[THREADS] = { 0 };
	uint64_t seed = test_seed();
	size_t i, j, count = 0;

	for (i = 0; i < THREADS; i++) {
		workers[i].random = seed + i;
		workers[i].parent = i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work,
		                                &workers[i]),
		                 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		ck_assert(!workers[i].wrong);
		for (j = 0; j < SHARED_FILES; j++)
			count += workers[i].there[j];
	}
	ck_assert_uint_eq(ovl_map_count(map), count);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("map");
	TCase *tcase = tcase_create("map");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_empty_map_has_no_rows);
	tcase_add_test(tcase, rows_of_a_file_come_newest_first);
	tcase_add_test(tcase, a_row_is_kept_once);
	tcase_add_test(tcase, only_the_row_named_is_removed);
	tcase_add_test(tcase, the_length_given_ends_the_name);
	tcase_add_test(tcase,
	               the_longest_name_and_the_largest_numbers_are_kept);
	tcase_add_test(tcase, growing_keeps_every_row_and_the_order);
	tcase_add_test(tcase, it_is_complete_only_when_told);
	tcase_add_test(tcase, threads_do_not_disturb_each_other);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
