/*
 * The walk for a handle: over a large tree, shared by all who wait, while others
 * change what it walks over.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "stage.h"

#define NDIRS 40
#define NFILES 40

static atomic_bool over;

static uint64_t walks(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats.walks;
}

/* Directories of files in the upper, made by the overlay itself. */
static void make_many(void)
{
	struct ovl_node *in, *node;
	char name[32];

	for (unsigned i = 0; i < NDIRS; i++) {
		snprintf(name, sizeof(name), "dir%u", i);
		ck_assert_int_eq(make_dir("", name), 0);
		in = get(name);
		for (unsigned n = 0; n < NFILES; n++) {
			snprintf(name, sizeof(name), "file%u", n);
			ck_assert_int_eq(ovl_create(fs, &root, in, name,
			                            OVL_GUARDED, &nothing, 0,
			                            &node, NULL),
			                 0);
			ovl_node_unref(node);
		}
		ovl_node_unref(in);
	}
}

START_TEST(a_walk_finds_all_without_another)
{
	struct ovl_id ids[NDIRS];
	struct ovl_node *node;
	char path[64];

	stage.max_entries = 50; /* far fewer than there are */
	stage_open();
	make_many();
	for (unsigned i = 0; i < NDIRS; i++) {
		snprintf(path, sizeof(path), "dir%u/file%u", i, i % NFILES);
		ids[i] = id_of(path);
	}
	stage_reopen_anew();
	for (unsigned i = 0; i < NDIRS; i++) {
		ck_assert_int_eq(resolve(ids[i], &node), 0);
		ovl_node_unref(node);
	}
	ck_assert_uint_eq(walks(), 1);
}
END_TEST

/*
 * Without a file for rows, and with memory for few of them: a walk meets what is
 * asked for, even where the row is lost at once. What is gone is gone.
 */
START_TEST(what_has_no_room_in_memory_is_found_by_the_walk)
{
	enum { FILES = 1500 };
	struct ovl_id ids[FILES / 100], gone;
	struct ovl_node *node;
	char name[NAME_MAX + 1];

	memset(name, 'x', sizeof(name));
	tree_mkdir("low/many");
	tree_mkdir("state");
	tree_mkdir("state/" OVL_STORE_FILE); /* in its place */
	stage.statedir = tree_at("state");
	stage.max_entries = 50;
	stage.max_memory = 100 << 10;
	stage_open();
	ck_assert_int_eq(make_dir("", "new"), 0);
	for (unsigned i = 0; i < FILES; i++) {
		name[snprintf(name, 200, "f%u", i)] = '-';
		name[200] = '\0';
		ck_assert_int_eq(make_file("new", name), 0);
		if (i % 100 == 0) {
			char path[512];

			snprintf(path, sizeof(path), "new/%s", name);
			ids[i / 100] = id_of(path);
		}
	}
	gone = id_of("many");
	ck_assert_int_eq(rename_name("", "new", "many", "moved"), 0);
	stage_reopen();
	for (unsigned i = 0; i < FILES / 100; i++) {
		int err = -EINPROGRESS;

		for (unsigned k = 0; k < 60 && err == -EINPROGRESS; k++)
			err = resolve(ids[i], &node);
		ck_assert_int_eq(err, 0);
		ck_assert_uint_eq(ovl_node_id(node).fileid, ids[i].fileid);
		ovl_node_unref(node);
	}
	gone.fileid ^= UINT64_C(1) << 40;
	for (unsigned k = 0; k < 60; k++)
		if (resolve(gone, &node) == -ESTALE)
			return;
	ck_abort_msg("it is not said to be gone");
}
END_TEST

struct asking {
	struct ovl_id id;
	int err;
};

static void *ask(void *arg)
{
	struct asking *asking = arg;
	struct ovl_node *node = NULL;

	asking->err = resolve(asking->id, &node);
	ovl_node_unref(node);
	return NULL;
}

START_TEST(all_who_wait_share_one_walk)
{
	struct asking asking[8];
	pthread_t threads[8];
	char path[64];

	stage_open();
	make_many();
	for (unsigned i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "dir%u/file1", i);
		asking[i].id = id_of(path);
	}
	stage_reopen_anew();
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, ask, &asking[i]), 0);
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(asking[i].err, 0);
	}
	ck_assert_uint_le(walks(), 1);
}
END_TEST

/* Directories move to and fro, between what was walked and what was not. */
static void *move_about(void *arg)
{
	char name[32];

	for (unsigned i = 0; !atomic_load(&over); i++) {
		snprintf(name, sizeof(name), "dir%u", 2 + i / 2 % (NDIRS - 2));
		ck_assert_int_eq(i % 2 ? rename_name("dir1", name, "", name)
		                       : rename_name("", name, "dir1", name),
		                 0);
		usleep(2000); /* a walk must be able to keep up */
	}
	return arg;
}

START_TEST(nothing_is_missed_while_directories_move)
{
	struct ovl_id ids[NDIRS];
	struct ovl_node *node;
	pthread_t thread;
	char path[64];

	stage.max_entries = _i ? 50 : 10000;
	stage_open();
	make_many();
	for (unsigned i = 0; i < NDIRS; i++) {
		snprintf(path, sizeof(path), "dir%u/file1", i);
		ids[i] = id_of(path);
	}
	for (unsigned round = 0; round < 5; round++) {
		atomic_store(&over, false);
		stage_reopen_anew();
		ck_assert_int_eq(
			pthread_create(&thread, NULL, move_about, NULL), 0);
		for (unsigned i = 0; i < NDIRS; i++) {
			ck_assert_int_eq(resolve(ids[i], &node), 0);
			ovl_node_unref(node);
		}
		atomic_store(&over, true);
		pthread_join(thread, NULL);
		for (unsigned i = 2; i < NDIRS; i++) { /* back again */
			snprintf(path, sizeof(path), "dir%u", i);
			if (seen(path) == -ENOENT)
				rename_name("dir1", path, "", path);
		}
	}
}
END_TEST

START_TEST(closing_ends_a_walk)
{
	struct ovl_id id;
	pthread_t thread;
	struct asking asking;

	stage_open();
	make_many();
	id = id_of("dir1/file1");
	for (unsigned i = 0; i < 5; i++) {
		stage_reopen_anew();
		asking.id = id;
		ck_assert_int_eq(pthread_create(&thread, NULL, ask, &asking),
		                 0);
		pthread_join(thread, NULL);
		ck_assert_int_eq(asking.err, 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("walk");
	TCase *tcase = tcase_create("walk");

	tcase_add_test(tcase, a_walk_finds_all_without_another);
	tcase_add_test(tcase, what_has_no_room_in_memory_is_found_by_the_walk);
	tcase_add_test(tcase, all_who_wait_share_one_walk);
	tcase_add_loop_test(tcase, nothing_is_missed_while_directories_move, 0,
	                    2);
	tcase_add_test(tcase, closing_ends_a_walk);
	return stage_run(suite, tcase);
}
