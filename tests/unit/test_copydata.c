/*
 * Copying data: the bytes, the size and the holes, by the kernel and by hand.
 */
#include "config.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "overlay/copydata.h"

#include "tree.h"

#define HOLE (1 << 20)
#define SIZE (3 * HOLE)

static int from = -1, to = -1;
static struct ovl_copy_watch watch;

/* Data at the begin and in the middle of SIZE bytes, holes between and after. */
static void fill(void)
{
	char data[4096];

	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(pwrite(from, data, 4096, 0), 4096);
	memset(data, 'y', sizeof(data));
	ck_assert_int_eq(pwrite(from, data, 4096, HOLE), 4096);
	ck_assert_int_eq(ftruncate(from, SIZE), 0);
}

static void open_both(void)
{
	tree_file("from", "");
	tree_file("to", "");
	from = tree_open("from", O_RDWR);
	to = tree_open("to", O_RDWR);
}

/* Another filesystem's file: the kernel does not copy between the two. */
static void open_from_memory(void)
{
	tree_file("to", "");
	from = memfd_create("from", MFD_CLOEXEC);
	to = tree_open("to", O_RDWR);
	ck_assert_int_ge(from, 0);
}

static void close_both(void)
{
	close(from);
	close(to);
}

static off_t size_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st.st_size;
}

/* `to` has the first `size` bytes of `from`, and no more. */
static void check_copy(off_t size)
{
	char a[4096], b[4096];

	ck_assert_int_eq(size_of(to), size);
	for (off_t at = 0; at < size; at += 4096) {
		ssize_t n = pread(to, b, sizeof(b), at);

		ck_assert_int_gt(n, 0);
		ck_assert_int_ge(pread(from, a, sizeof(a), at), n);
		ck_assert_int_eq(memcmp(a, b, n), 0);
	}
}

static void check_holes(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(to, &st), 0);
	ck_assert_int_lt(st.st_blocks * 512, HOLE);
}

START_TEST(holes_stay_holes)
{
	open_both();
	fill();
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), 0);
	check_copy(SIZE);
	check_holes();
	close_both();
}
END_TEST

START_TEST(by_hand_it_is_the_same)
{
	open_from_memory();
	fill();
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), 0);
	check_copy(SIZE);
	check_holes();
	ck_assert_uint_lt(watch.copied, HOLE); /* holes are not counted */
	ck_assert_uint_ge(watch.copied, 8192);
	close_both();
}
END_TEST

/* In the data, in a hole, at an odd place; behind the end. */
START_TEST(no_more_is_copied_than_wanted)
{
	static const off_t sizes[] = { 1,        4095, 4097,      HOLE - 1,
		                       HOLE + 7, SIZE, SIZE + 100 };

	open_from_memory();
	fill();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_assert_int_eq(ftruncate(to, 0), 0);
		ck_assert_int_eq(ovl_copy_data(from, to, sizes[i], &watch), 0);
		check_copy(sizes[i] < SIZE ? sizes[i] : SIZE);
	}
	close_both();
}
END_TEST

START_TEST(nothing_makes_nothing)
{
	open_both();
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), 0);
	ck_assert_int_eq(size_of(to), 0);
	fill();
	ck_assert_int_eq(ovl_copy_data(from, to, 0, &watch), 0);
	ck_assert_int_eq(size_of(to), 0);
	ck_assert_uint_eq(watch.copied, 0);
	close_both();
}
END_TEST

START_TEST(the_count_grows)
{
	open_from_memory();
	ck_assert_int_eq(pwrite(from, "text", 4, 0), 4);
	watch.copied = 100;
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), 0);
	ck_assert_uint_eq(watch.copied, 104);
	close_both();
}
END_TEST

/* ---- looking on ----------------------------------------------------------- */

static struct ovl_copy_progress last;
static unsigned steps;

/* Up to the third. */
static int look_on(void *arg, const struct ovl_copy_progress *progress)
{
	ck_assert_ptr_eq(arg, &steps);
	ck_assert_int_eq(progress->to, to);
	ck_assert_uint_eq(progress->size, 3 * SIZE);
	ck_assert_uint_ge(progress->at, last.at);
	ck_assert_uint_ge(progress->done, last.done);
	ck_assert_uint_eq(progress->done, watch.copied);
	last = *progress;
	return ++steps == 3 ? -ETXTBSY : 0;
}

static void watch_whole(void)
{
	static char data[SIZE];

	open_from_memory();
	memset(data, 'x', sizeof(data));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(write(from, data, sizeof(data)), sizeof(data));
	watch.step = look_on;
	watch.arg = &steps;
}

START_TEST(who_looks_on_hears_how_far_it_is)
{
	watch_whole();
	steps = 3; /* there is no third one to come */
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), 0);
	ck_assert_uint_ge(steps, 5);
	ck_assert_uint_ge(last.at, SIZE);
	ck_assert_uint_ge(last.data, 3 * SIZE);
	ck_assert_uint_eq(watch.copied, 3 * SIZE);
	close_both();
}
END_TEST

START_TEST(who_looks_on_may_end_it)
{
	watch_whole();
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), -ETXTBSY);
	ck_assert_uint_eq(steps, 3);
	ck_assert_uint_lt(watch.copied, 3 * SIZE);
	close_both();
}
END_TEST

START_TEST(a_failure_is_told)
{
	struct rlimit limit = { .rlim_cur = HOLE, .rlim_max = HOLE };

	open_from_memory();
	fill();
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(ovl_copy_data(from, to, UINT64_MAX, &watch), -EFBIG);
	close_both();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copydata");
	TCase *tcase = tcase_create("copydata");

	tcase_add_test(tcase, holes_stay_holes);
	tcase_add_test(tcase, by_hand_it_is_the_same);
	tcase_add_test(tcase, no_more_is_copied_than_wanted);
	tcase_add_test(tcase, nothing_makes_nothing);
	tcase_add_test(tcase, the_count_grows);
	tcase_add_test(tcase, who_looks_on_hears_how_far_it_is);
	tcase_add_test(tcase, who_looks_on_may_end_it);
	tcase_add_test(tcase, a_failure_is_told);
	return tree_run(suite, tcase);
}
