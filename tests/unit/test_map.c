/* The map alone, without a file (loop index 0), and over one (1). */
#include "config.h"

#include "overlay/map.h"

#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "overlay/writer.h"
#include "tests/lib/suite.h"

#include "seed.h"
#include "tree.h"

#define NAME_SIZE 256
#define ROOM ((size_t)32 << 20)

static struct ovl_map *map;
static bool with_file;

static struct ovl_writer *new_writer(void)
{
	const struct ovl_log silent = { .fn = NULL };
	struct ovl_writer *writer;
	struct ovl_store *store;

	ck_assert_int_eq(ovl_store_open(tree, OVL_STORE_MAX, &silent, &store),
	                 0);
	ck_assert_int_eq(ovl_writer_new(store, &writer), 0);
	return writer;
}

static void open_map(size_t room)
{
	struct ovl_writer *writer = with_file ? new_writer() : NULL;

	map = ovl_map_new(writer, OVL_TABLE_UPPER, room);
	ck_assert_ptr_nonnull(map);
	ovl_writer_unref(writer); /* the map holds it */
}

static void close_map(void)
{
	ovl_map_free(map);
	map = NULL;
}

/* What there is has been written, and is read from the file from here on. */
static void write_all(void)
{
	if (!with_file)
		return;
	close_map();
	open_map(ROOM);
}

static void begin(int with)
{
	with_file = with;
	open_map(ROOM);
}

static void teardown(void)
{
	close_map();
	tree_teardown();
}

static void put(uint64_t fileid, uint64_t parent, const char *name)
{
	ovl_map_put(map, fileid, parent, name, strlen(name));
}

static void del(uint64_t fileid, uint64_t parent, const char *name)
{
	ovl_map_del(map, fileid, parent, name, strlen(name));
}

static size_t count_rows(uint64_t fileid)
{
	struct ovl_rows rows = { 0 };
	size_t n;

	ovl_map_get(map, fileid, &rows);
	n = rows.n;
	ovl_rows_release(&rows);
	return n;
}

static bool has_row(uint64_t fileid, uint64_t parent, const char *name)
{
	struct ovl_rows rows = { 0 };
	bool found = false;

	ovl_map_get(map, fileid, &rows);
	for (size_t i = 0; i < rows.n; i++)
		if (rows.row[i].parent == parent &&
		    !strcmp(rows.row[i].name, name) &&
		    rows.row[i].len == strlen(name))
			found = true;
	ovl_rows_release(&rows);
	return found;
}

static void assert_first(uint64_t fileid, uint64_t parent, const char *name)
{
	char got_name[NAME_SIZE];
	uint64_t got_parent;

	ck_assert(ovl_map_get_one(map, fileid, &got_parent, got_name));
	ck_assert_uint_eq(got_parent, parent);
	ck_assert_str_eq(got_name, name);
}

START_TEST(an_empty_map_has_no_rows)
{
	char name[NAME_SIZE] = "untouched";
	uint64_t parent = 42;

	begin(_i);
	ck_assert(!ovl_map_get_one(map, 1, &parent, name));
	ck_assert_uint_eq(parent, 42);
	ck_assert_str_eq(name, "untouched");
	del(1, 2, "name");
	write_all();
	ck_assert_uint_eq(ovl_map_count(map), 0);
	ovl_map_free(NULL);
}
END_TEST

START_TEST(rows_of_a_file_come_newest_first)
{
	struct ovl_rows rows = { 0 };

	begin(_i);
	put(7, 1, "first");
	put(8, 1, "of another file");
	put(7, 1, "second");
	put(7, 2, "first");
	ovl_map_get(map, 7, &rows);
	ck_assert_uint_eq(rows.n, 3);
	if (!with_file) { /* there, some may have been written already */
		ck_assert_uint_eq(rows.row[0].parent, 2);
		ck_assert_str_eq(rows.row[1].name, "second");
		ck_assert_uint_eq(rows.row[2].parent, 1);
	}
	ovl_rows_release(&rows);
	assert_first(8, 1, "of another file");
	write_all();
	ck_assert_uint_eq(count_rows(7), 3);
	ck_assert_uint_eq(ovl_map_count(map), 4);
}
END_TEST

START_TEST(a_row_is_kept_once)
{
	begin(_i);
	put(7, 1, "name");
	put(7, 1, "other");
	write_all();
	put(7, 1, "name");
	ck_assert_uint_eq(count_rows(7), 2);
	write_all();
	ck_assert_uint_eq(count_rows(7), 2);
	ck_assert_uint_eq(ovl_map_count(map), 2);
}
END_TEST

START_TEST(only_the_row_named_is_removed)
{
	begin(_i);
	put(7, 1, "name");
	put(7, 2, "name");
	put(7, 1, "names");
	put(7, 1, "nam");
	put(8, 1, "name");
	write_all();
	del(7, 1, "name");
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(!has_row(7, 1, "name"));
		ck_assert(has_row(7, 1, "nam"));
		ck_assert(has_row(7, 1, "names"));
		ck_assert(has_row(7, 2, "name"));
		ck_assert(has_row(8, 1, "name"));
		write_all();
	}
	ck_assert_uint_eq(ovl_map_count(map), 4);
}
END_TEST

START_TEST(what_is_removed_may_come_again)
{
	begin(_i);
	for (unsigned i = 0; i < 3; i++) {
		put(7, 1, "name");
		ck_assert(has_row(7, 1, "name"));
		del(7, 1, "name");
		ck_assert(!has_row(7, 1, "name"));
		put(7, 1, "name");
		if (i == 1)
			write_all();
		ck_assert(has_row(7, 1, "name"));
		del(7, 1, "name");
		if (i == 2)
			write_all();
		ck_assert(!has_row(7, 1, "name"));
	}
	ck_assert_uint_eq(ovl_map_count(map), 0);
}
END_TEST

START_TEST(the_length_given_ends_the_name)
{
	begin(_i);
	ovl_map_put(map, 7, 1, "name and more", 4);
	assert_first(7, 1, "name");
	write_all();
	assert_first(7, 1, "name");
	ovl_map_del(map, 7, 1, "name, and other things", 4);
	ck_assert_uint_eq(count_rows(7), 0);
}
END_TEST

START_TEST(the_longest_name_and_the_largest_numbers_are_kept)
{
	char name[NAME_SIZE];

	begin(_i);
	memset(name, 'x', NAME_SIZE - 1);
	name[NAME_SIZE - 1] = '\0';
	put(UINT64_MAX, UINT64_MAX - 1, name);
	write_all();
	assert_first(UINT64_MAX, UINT64_MAX - 1, name);
}
END_TEST

START_TEST(growing_keeps_every_row)
{
	enum { FILES = 20000 };
	uint64_t i;

	begin(_i);
	for (i = 0; i < FILES; i++)
		put(i, i / 10, "old");
	for (i = 0; i < FILES; i++)
		put(i, i / 10, "new");
	write_all();
	ck_assert_uint_eq(ovl_map_count(map), 2 * FILES);
	for (i = 0; i < FILES; i++) {
		ck_assert(has_row(i, i / 10, "new"));
		ck_assert(has_row(i, i / 10, "old"));
		ck_assert_uint_eq(count_rows(i), 2);
	}
	for (i = 0; i < FILES; i++) {
		del(i, i / 10, "old");
		del(i, i / 10, "new");
	}
	write_all();
	ck_assert_uint_eq(ovl_map_count(map), 0);
}
END_TEST

START_TEST(it_is_complete_only_when_walked_and_nothing_is_lost)
{
	unsigned losses;

	begin(_i);
	ck_assert(!ovl_map_complete(map));
	losses = ovl_map_losses(map);
	ovl_map_walked(map, losses);
	ck_assert(ovl_map_complete(map));
	ovl_map_lost(map);
	ck_assert(!ovl_map_complete(map));
	ovl_map_walked(map, losses); /* it has been lost meanwhile */
	ck_assert(!ovl_map_complete(map));
	ovl_map_walked(map, ovl_map_losses(map));
	ck_assert(ovl_map_complete(map));
	write_all(); /* another life */
	ck_assert_int_eq(ovl_map_complete(map), !with_file);
}
END_TEST

/*
 * Beyond the bound, rows are lost, and it is not complete; it takes no more memory
 * than it may.
 */
START_TEST(memory_is_bounded)
{
	enum { FILES = 100000 };
	const size_t room = (size_t)1 << 20;

	with_file = _i;
	open_map(room);
	ovl_map_walked(map, ovl_map_losses(map));
	for (uint64_t i = 0; i < FILES; i++)
		put(i, i / 10, "the name of a file");
	ck_assert_uint_le(ovl_map_bytes(map), room + room / 4);
	ck_assert(!ovl_map_complete(map));
	/* Without a file the newest remain. */
	if (!with_file)
		assert_first(FILES - 1, (FILES - 1) / 10, "the name of a file");
}
END_TEST

/* Who may wait loses none, and leaves room for others. */
START_TEST(who_waits_loses_none)
{
	enum { FILES = 20000 };
	const char *name = "the name of a file, and a rather long one, too";

	with_file = true;
	open_map((size_t)2 << 20);
	ovl_map_walked(map, ovl_map_losses(map));
	for (uint64_t i = 0; i < FILES; i++)
		ovl_map_put_many(map, i, i / 10, name, strlen(name));
	ck_assert(ovl_map_complete(map));
	ck_assert_uint_le(ovl_map_bytes(map), (size_t)1 << 21);
	write_all();
	ck_assert_uint_eq(ovl_map_count(map), FILES);
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
		else
			ovl_map_put(map, file, worker->parent, "name", 4);
		worker->there[file] = !worker->there[file];
		if (ovl_map_get_one(map, file, &parent, name) &&
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

	begin(_i);
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
	write_all();
	ck_assert_uint_eq(ovl_map_count(map), count);
}
END_TEST

#define FILE_ROWS 1000 /* of a thread: a file has room for twice as many */

struct putter {
	pthread_t thread;
	struct ovl_writer *writer;
	uint64_t parent;
	uint64_t n; /* rows put */
};

static uint64_t rows_on_disk(struct ovl_writer *writer)
{
	return ovl_store_count(ovl_writer_store(writer), OVL_TABLE_UPPER);
}

/* Rows of one file, which are queued in one place, until some have been written. */
static void *put_until_written(void *arg)
{
	struct putter *putter = arg;
	char name[NAME_SIZE];

	do {
		snprintf(name, sizeof(name), "%" PRIu64, putter->n++);
		put(7, putter->parent, name);
	} while (putter->n < FILE_ROWS && rows_on_disk(putter->writer) == 0);
	return NULL;
}

/* Nobody asks for it: rows that come while others are collected, too. */
START_TEST(every_row_is_written_in_the_end)
{
	struct ovl_writer *writer = new_writer();
	struct putter putters[THREADS] = { 0 };
	uint64_t count = 0;

	map = ovl_map_new(writer, OVL_TABLE_UPPER, ROOM);
	ck_assert_ptr_nonnull(map);
	for (size_t i = 0; i < THREADS; i++) {
		putters[i].writer = writer;
		putters[i].parent = i;
		ck_assert_int_eq(pthread_create(&putters[i].thread, NULL,
		                                put_until_written, &putters[i]),
		                 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(putters[i].thread, NULL);
		count += putters[i].n;
	}
	for (unsigned i = 0; i < 100 && rows_on_disk(writer) < count; i++)
		usleep(100000);
	ck_assert_uint_eq(ovl_map_losses(map), 0);
	ck_assert_uint_eq(rows_on_disk(writer), count);
	ovl_writer_unref(writer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("map");
	TCase *tcase = tcase_create("map");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, tree_setup, teardown);
	tcase_add_loop_test(tcase, an_empty_map_has_no_rows, 0, 2);
	tcase_add_loop_test(tcase, rows_of_a_file_come_newest_first, 0, 2);
	tcase_add_loop_test(tcase, a_row_is_kept_once, 0, 2);
	tcase_add_loop_test(tcase, only_the_row_named_is_removed, 0, 2);
	tcase_add_loop_test(tcase, what_is_removed_may_come_again, 0, 2);
	tcase_add_loop_test(tcase, the_length_given_ends_the_name, 0, 2);
	tcase_add_loop_test(
		tcase, the_longest_name_and_the_largest_numbers_are_kept, 0, 2);
	tcase_add_loop_test(tcase, growing_keeps_every_row, 0, 2);
	tcase_add_loop_test(tcase,
	                    it_is_complete_only_when_walked_and_nothing_is_lost,
	                    0, 2);
	tcase_add_loop_test(tcase, memory_is_bounded, 0, 2);
	tcase_add_test(tcase, who_waits_loses_none);
	tcase_add_loop_test(tcase, threads_do_not_disturb_each_other, 0, 2);
	tcase_add_loop_test(tcase, every_row_is_written_in_the_end, 0, 5);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
