/*
 * Copies under way: who waits and who does not, who may make a large one, what
 * the log says. The clock is the test's.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <syslog.h>

#include "overlay/copying.h"
#include "overlay/fs.h"
#include "overlay/node.h"

#include "stage.h"

#define MIB (UINT64_C(1) << 20)
#define SECOND UINT64_C(1000000000)

static atomic_uint_fast64_t later;  /* than it is */
static atomic_uint_fast64_t frozen; /* it is then, and stays so */
static char lines[16][600];
static int levels[16];
static unsigned nlines;

uint64_t __real_ovl_now(void);
uint64_t __wrap_ovl_now(void);

uint64_t __wrap_ovl_now(void)
{
	uint64_t then = atomic_load(&frozen);

	return then ? then : __real_ovl_now() + atomic_load(&later);
}

static void note_line(void *arg, int level, const char *line)
{
	(void)arg;
	ck_assert_uint_lt(nlines, 16);
	levels[nlines] = level;
	snprintf(lines[nlines++], sizeof(lines[0]), "%s", line);
}

static void open_bounded(unsigned max_copies, unsigned max_waiting)
{
	stage.max_copies = max_copies;
	stage.max_waiting = max_waiting;
	stage.log = note_line;
	stage.sync = OVL_VOLATILE; /* there is no file to write out */
	stage_open();
}

static void begin(struct ovl_copying *copying, uint64_t fileid)
{
	ck_assert_int_eq(ovl_copying_begin(fs, copying, fileid, UINT64_MAX), 0);
}

/* A step of a copy that is so far, of so many mebibytes. */
static int step(struct ovl_copying *copying, uint64_t at, uint64_t size)
{
	const struct ovl_copy_progress progress = {
		.to = -1,
		.at = at * MIB,
		.size = size * MIB,
		.done = at * MIB,
		.data = size * MIB,
	};

	return ovl_copying_step(copying, &progress);
}

/* ---- who waits ------------------------------------------------------------ */

/* One who wants the object 1. */
struct joiner {
	pthread_t thread;
	uint64_t wanted;
	atomic_int result; /* 1: none yet */
};

static void *join_in(void *arg)
{
	struct joiner *joiner = arg;
	struct ovl_copying copying;
	int err = ovl_copying_begin(fs, &copying, 1, joiner->wanted);

	if (!err)
		ovl_copying_end(&copying, 0);
	joiner->result = err;
	return NULL;
}

static void start(struct joiner *joiner, uint64_t wanted)
{
	joiner->wanted = wanted;
	joiner->result = 1;
	ck_assert_int_eq(pthread_create(&joiner->thread, NULL, join_in, joiner),
	                 0);
}

static int result_of(struct joiner *joiner)
{
	pthread_join(joiner->thread, NULL);
	return joiner->result;
}

static unsigned waiting(void)
{
	unsigned n;

	pthread_mutex_lock(&fs->copies.lock);
	n = fs->copies.nwaiting;
	pthread_mutex_unlock(&fs->copies.lock);
	return n;
}

static void await_waiting(unsigned n)
{
	for (unsigned i = 0; i < 2000 && waiting() != n; i++)
		usleep(10000);
	ck_assert_uint_eq(waiting(), n);
}

START_TEST(other_objects_are_nobodys_business)
{
	struct ovl_copying a, b;

	open_bounded(1, 1);
	begin(&a, 1);
	begin(&b, 2);
	ovl_copying_end(&a, 0);
	begin(&a, 1);
	ovl_copying_end(&b, 0);
	ovl_copying_end(&a, 0);
}
END_TEST

START_TEST(only_so_many_wait_for_a_large_copy)
{
	struct joiner joiners[2], third;
	struct ovl_copying copying;

	open_bounded(1, 2);
	begin(&copying, 1);
	ck_assert_int_eq(step(&copying, 0, 100), 0);
	start(&joiners[0], UINT64_MAX);
	start(&joiners[1], UINT64_MAX);
	await_waiting(2);
	start(&third, UINT64_MAX);
	ck_assert_int_eq(result_of(&third), -EINPROGRESS);
	ovl_copying_end(&copying, 0);
	ck_assert_int_eq(result_of(&joiners[0]), 0);
	ck_assert_int_eq(result_of(&joiners[1]), 0);
	ck_assert_uint_eq(waiting(), 0);
}
END_TEST

static unsigned count_sent_away(const struct joiner *joiners, unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += joiners[i].result == -EINPROGRESS;
	return count;
}

/* Who waits already when it turns out to be large is sent away as well. */
START_TEST(a_copy_that_turns_out_large_is_no_longer_young)
{
	struct joiner joiners[8];
	struct ovl_copying copying;

	open_bounded(1, 2);
	begin(&copying, 1);
	for (unsigned i = 0; i < 8; i++)
		start(&joiners[i], UINT64_MAX);
	ck_assert_int_eq(step(&copying, 0, 100), 0);
	await_waiting(2);
	for (unsigned i = 0; i < 2000 && count_sent_away(joiners, 8) < 6; i++)
		usleep(10000);
	ck_assert_uint_eq(count_sent_away(joiners, 8), 6);
	ovl_copying_end(&copying, 0);
	for (unsigned i = 0; i < 8; i++)
		result_of(&joiners[i]);
	ck_assert_uint_eq(count_sent_away(joiners, 8), 6);
}
END_TEST

START_TEST(a_young_copy_is_waited_for_by_all)
{
	struct joiner joiners[8];
	struct ovl_copying copying;

	open_bounded(1, 1);
	begin(&copying, 1);
	copying.began += 3600 * SECOND; /* as young as can be */
	ck_assert_int_eq(step(&copying, 0, 1), 0);
	for (unsigned i = 0; i < 8; i++)
		start(&joiners[i], UINT64_MAX);
	usleep(100000);
	ck_assert_uint_eq(waiting(), 0);
	ovl_copying_end(&copying, 0);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(result_of(&joiners[i]), 0);
}
END_TEST

START_TEST(without_bounds_all_wait)
{
	struct joiner joiners[8];
	struct ovl_copying copying;

	open_bounded(0, 0);
	begin(&copying, 1);
	ck_assert_int_eq(step(&copying, 0, 100), 0);
	for (unsigned i = 0; i < 8; i++)
		start(&joiners[i], UINT64_MAX);
	await_waiting(8);
	ovl_copying_end(&copying, 0);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(result_of(&joiners[i]), 0);
}
END_TEST

START_TEST(what_found_no_room_is_not_tried_again_but_for_less)
{
	struct joiner whole, part;
	struct ovl_copying copying;

	open_bounded(0, 0);
	begin(&copying, 1);
	start(&whole, UINT64_MAX);
	start(&part, 100);
	await_waiting(2);
	ovl_copying_end(&copying, -ENOSPC);
	ck_assert_int_eq(result_of(&whole), -ENOSPC);
	ck_assert_int_eq(result_of(&part), 0);
}
END_TEST

START_TEST(what_may_go_better_is_tried_again)
{
	struct ovl_copying copying;
	struct joiner joiner;

	open_bounded(0, 0);
	begin(&copying, 1);
	start(&joiner, UINT64_MAX);
	await_waiting(1);
	ovl_copying_end(&copying, -ENOENT);
	ck_assert_int_eq(result_of(&joiner), 0);
}
END_TEST

/* ---- large ones ----------------------------------------------------------- */

START_TEST(there_are_only_so_many_large_copies)
{
	struct ovl_copying a, b, small;

	open_bounded(1, 1);
	begin(&a, 1);
	begin(&b, 2);
	begin(&small, 3);
	ck_assert_int_eq(step(&a, 0, 65), 0);
	ck_assert_int_eq(step(&b, 0, 65), -EINPROGRESS);
	ck_assert_int_eq(step(&small, 0, 64), 0);
	ovl_copying_end(&a, 0);
	ck_assert_int_eq(step(&b, 0, 65), 0);
	ck_assert_int_eq(step(&b, 8, 65), 0);
	ovl_copying_end(&b, 0);
	ovl_copying_end(&small, 0);
}
END_TEST

START_TEST(the_end_stops_what_would_take_long)
{
	struct ovl_copying large, small, begun;
	struct joiner joiner;

	open_bounded(0, 0);
	begin(&large, 1);
	begin(&small, 2);
	begin(&begun, 3);
	ck_assert_int_eq(step(&large, 0, 100), 0);
	start(&joiner, UINT64_MAX);
	await_waiting(1);
	ovl_wind_up(fs);
	ck_assert_int_eq(result_of(&joiner), -EINPROGRESS);
	ck_assert_int_eq(step(&large, 8, 100), -EINPROGRESS);
	ck_assert_int_eq(step(&small, 0, 1), 0);
	ck_assert_int_eq(step(&begun, 8, 64), -EINPROGRESS);
	ovl_copying_end(&large, -EINPROGRESS);
	ovl_copying_end(&small, 0);
	ovl_copying_end(&begun, -EINPROGRESS);
}
END_TEST

/* ---- in the log ----------------------------------------------------------- */

START_TEST(a_long_copy_is_told_of_now_and_then)
{
	struct ovl_copying copying;

	tree_mkdir("low/dir");
	open_bounded(0, 0);
	begin(&copying, 1);
	copying.dir = get("dir");
	copying.name = "file";
	ck_assert_int_eq(step(&copying, 0, 9000), 0);
	ck_assert_uint_eq(nlines, 0);
	atomic_store(&later, 10 * SECOND);
	ck_assert_int_eq(step(&copying, 3000, 9000), 0);
	ck_assert_int_eq(step(&copying, 3008, 9000), 0);
	atomic_store(&later, 20 * SECOND);
	ck_assert_int_eq(step(&copying, 8992, 9000), 0);
	ovl_node_unref(copying.dir);
	ovl_copying_end(&copying, 0);
	ck_assert_uint_eq(nlines, 3);
	ck_assert_str_eq(lines[0], "copying up /dir/file: 3000 of 9000 MiB");
	ck_assert_str_eq(lines[1], "copying up /dir/file: 8992 of 9000 MiB");
	ck_assert_int_eq(
		strncmp(lines[2], "copied up /dir/file: 9000 MiB in ", 33), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(levels[i], LOG_NOTICE);
}
END_TEST

START_TEST(a_quick_one_is_not)
{
	struct ovl_copying copying;

	open_bounded(0, 0);
	atomic_store(&frozen, 1000 * SECOND);
	begin(&copying, 1);
	ck_assert_int_eq(step(&copying, 0, 9000), 0);
	ovl_copying_end(&copying, 0);
	ck_assert_uint_eq(nlines, 0);
}
END_TEST

START_TEST(a_long_copy_that_fails_says_so)
{
	struct ovl_copying copying;

	open_bounded(0, 0);
	begin(&copying, 17);
	atomic_store(&later, 10 * SECOND);
	ck_assert_int_eq(step(&copying, 3000, 9000), 0);
	ovl_copying_end(&copying, -ENOSPC);
	ck_assert_uint_eq(nlines, 2);
	ck_assert_str_eq(lines[0], "copying up file 17: 3000 of 9000 MiB");
	ck_assert_str_eq(lines[1],
	                 "copying up file 17: given up at 3000 of 9000 MiB: "
	                 "No space left on device");
	ck_assert_int_eq(levels[1], LOG_WARNING);
}
END_TEST

/* Of a path without end the end is told. */
START_TEST(the_end_of_a_long_path_is_told)
{
	struct ovl_copying copying;
	char name[201], path[1024] = "low";

	memset(name, 'n', 200);
	name[200] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		strcat(path, "/");
		strcat(path, name);
		tree_mkdir(path);
	}
	open_bounded(0, 0);
	begin(&copying, 1);
	copying.dir = get(path + 4);
	copying.name = "file";
	atomic_store(&later, 10 * SECOND);
	ck_assert_int_eq(step(&copying, 3000, 9000), 0);
	ovl_node_unref(copying.dir);
	ovl_copying_end(&copying, -EIO);
	snprintf(path, sizeof(path), "copying up /%s/%s/file: 3000 of 9000 MiB",
	         name, name);
	ck_assert_str_eq(lines[0], path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copying");
	TCase *tcase = tcase_create("copying");

	tcase_add_test(tcase, other_objects_are_nobodys_business);
	tcase_add_test(tcase, only_so_many_wait_for_a_large_copy);
	tcase_add_test(tcase, a_copy_that_turns_out_large_is_no_longer_young);
	tcase_add_test(tcase, a_young_copy_is_waited_for_by_all);
	tcase_add_test(tcase, without_bounds_all_wait);
	tcase_add_test(tcase,
	               what_found_no_room_is_not_tried_again_but_for_less);
	tcase_add_test(tcase, what_may_go_better_is_tried_again);
	tcase_add_test(tcase, there_are_only_so_many_large_copies);
	tcase_add_test(tcase, the_end_stops_what_would_take_long);
	tcase_add_test(tcase, a_long_copy_is_told_of_now_and_then);
	tcase_add_test(tcase, a_quick_one_is_not);
	tcase_add_test(tcase, a_long_copy_that_fails_says_so);
	tcase_add_test(tcase, the_end_of_a_long_path_is_told);
	return stage_run(suite, tcase);
}
