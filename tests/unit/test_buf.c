#include "config.h"

#include "rpc/buf.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#define LARGEST ((1u << 20) + 4321)

/* What a store keeps of one size, and a buffer more. */
#define MOST_KEPT (8u << 20)

static struct orpc_bufs bufs;

static void setup(void)
{
	orpc_bufs_init(&bufs, LARGEST);
}

static void teardown(void)
{
	orpc_bufs_release(&bufs);
}

/* Bytes of this size that lie in the store. */
static size_t kept(unsigned size)
{
	size_t n = 0;

	for (struct orpc_buf *buf = bufs.free[size]; buf; buf = buf->next)
		n++;
	ck_assert_uint_eq(n, bufs.nfree[size]);
	return n * bufs.cap[size];
}

START_TEST(a_buffer_has_the_smallest_size_that_will_do)
{
	for (unsigned i = 0; i < ORPC_BUF_SIZES; i++) {
		size_t least = i == 0 ? 0 : bufs.cap[i - 1] + 1;
		struct orpc_buf *low = orpc_bufs_take(&bufs, least);
		struct orpc_buf *high = orpc_bufs_take(&bufs, bufs.cap[i]);

		ck_assert_uint_eq(low->cap, bufs.cap[i]);
		ck_assert_uint_eq(high->cap, bufs.cap[i]);
		ck_assert_uint_eq((uintptr_t)low->data % 16, 0);
		/* The last byte is there: so says the address sanitizer. */
		low->data[low->cap - 1] = high->data[high->cap - 1] = 1;
		orpc_bufs_put(&bufs, low);
		orpc_bufs_put(&bufs, high);
	}
}
END_TEST

START_TEST(the_largest_size_is_made_to_measure_and_nothing_is_larger)
{
	struct orpc_buf *buf = orpc_bufs_take(&bufs, LARGEST);

	ck_assert_uint_eq(buf->cap, LARGEST);
	orpc_bufs_put(&bufs, buf);
	ck_assert_ptr_null(orpc_bufs_take(&bufs, LARGEST + 1));
	ck_assert_ptr_null(orpc_bufs_take(&bufs, SIZE_MAX));
	ck_assert_ptr_null(orpc_buf_new(&bufs, LARGEST + 1));
}
END_TEST

START_TEST(a_small_largest_leaves_the_sizes_ascending)
{
	struct orpc_bufs small;

	orpc_bufs_init(&small, 1);
	for (unsigned i = 1; i < ORPC_BUF_SIZES; i++)
		ck_assert_uint_ge(small.cap[i], small.cap[i - 1]);
	orpc_bufs_release(&small);
}
END_TEST

START_TEST(what_was_put_back_is_taken_again_as_good_as_new)
{
	struct orpc_buf *buf = orpc_bufs_take(&bufs, 100), *again, *other;

	buf->sent = 5;
	buf->len = 17;
	orpc_bufs_put(&bufs, buf);
	again = orpc_bufs_take(&bufs, 200);
	ck_assert_ptr_eq(again, buf);
	ck_assert_uint_eq(again->sent, 0);
	ck_assert_uint_eq(again->len, 0);
	ck_assert_uint_eq(again->refs, 1);
	ck_assert_ptr_null(again->next);
	other = orpc_bufs_take(&bufs, 200);
	ck_assert_ptr_ne(other, again);
	orpc_bufs_put(&bufs, again);
	orpc_bufs_put(&bufs, other);
}
END_TEST

START_TEST(a_buffer_goes_back_with_its_last_reference)
{
	struct orpc_buf *buf = orpc_bufs_take(&bufs, 100);

	buf->refs += 2;
	orpc_bufs_put(&bufs, buf);
	orpc_bufs_put(&bufs, buf);
	ck_assert_uint_eq(kept(0), 0);
	ck_assert_uint_eq(buf->refs, 1);
	orpc_bufs_put(&bufs, buf);
	ck_assert_uint_eq(kept(0), buf->cap);
	orpc_bufs_put(&bufs, NULL);
}
END_TEST

START_TEST(a_store_keeps_so_much_of_each_size_and_no_more)
{
	for (unsigned i = 0; i < ORPC_BUF_SIZES; i++) {
		struct orpc_buf *all = NULL;
		size_t n = 2 * MOST_KEPT / bufs.cap[i];

		while (n-- > 0) {
			struct orpc_buf *buf =
				orpc_bufs_take(&bufs, bufs.cap[i]);

			buf->next = all;
			all = buf;
		}
		while (all) {
			struct orpc_buf *buf = all;

			all = buf->next;
			orpc_bufs_put(&bufs, buf);
		}
		ck_assert_uint_gt(kept(i), MOST_KEPT / 2);
		ck_assert_uint_le(kept(i), MOST_KEPT + bufs.cap[i]);
	}
}
END_TEST

START_TEST(what_a_worker_made_may_go_to_the_store)
{
	struct orpc_buf *buf = orpc_buf_new(&bufs, 100000);

	ck_assert_uint_eq(buf->refs, 1);
	orpc_bufs_put(&bufs, buf);
	ck_assert_ptr_eq(orpc_bufs_take(&bufs, 100000), buf);
	/* And what came from the store may be freed past it. */
	ck_assert_uint_eq(kept(buf->size), 0);
	orpc_buf_free(&bufs, buf);
}
END_TEST

/* The loop needs two at a time, whatever workers make. */
START_TEST(what_workers_make_does_not_pile_up)
{
	for (unsigned i = 0; i < 100; i++) {
		struct orpc_buf *a = orpc_bufs_take(&bufs, 1);
		struct orpc_buf *b = orpc_bufs_take(&bufs, 1);

		orpc_bufs_put(&bufs, orpc_buf_new(&bufs, 1));
		orpc_bufs_put(&bufs, a);
		orpc_bufs_put(&bufs, orpc_buf_new(&bufs, 1));
		orpc_bufs_put(&bufs, b);
		ck_assert_uint_le(kept(0), 3 * bufs.cap[0]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tcase = tcase_create("buf");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_buffer_has_the_smallest_size_that_will_do);
	tcase_add_test(
		tcase,
		the_largest_size_is_made_to_measure_and_nothing_is_larger);
	tcase_add_test(tcase, a_small_largest_leaves_the_sizes_ascending);
	tcase_add_test(tcase, what_was_put_back_is_taken_again_as_good_as_new);
	tcase_add_test(tcase, a_buffer_goes_back_with_its_last_reference);
	tcase_add_test(tcase, a_store_keeps_so_much_of_each_size_and_no_more);
	tcase_add_test(tcase, what_a_worker_made_may_go_to_the_store);
	tcase_add_test(tcase, what_workers_make_does_not_pile_up);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
