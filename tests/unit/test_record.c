#include "config.h"

#include "rpc/record.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RECORD 100000

static struct orpc_bufs bufs;
static struct orpc_input input;

static void setup(void)
{
	orpc_bufs_init(&bufs, orpc_input_largest(MAX_RECORD));
	input = (struct orpc_input){ 0 };
}

static void teardown(void)
{
	orpc_input_release(&input, &bufs);
	orpc_bufs_release(&bufs);
}

/* Let these bytes arrive, in as many reads as the rooms given call for. */
static void feed(const void *data, size_t len)
{
	const char *from = data;

	while (len > 0) {
		unsigned char *to;
		size_t room;

		ck_assert_int_eq(orpc_input_room(&input, &bufs, &to, &room), 0);
		room = room < len ? room : len;
		memcpy(to, from, room);
		orpc_input_fill(&input, room);
		from += room;
		len -= room;
	}
}

static size_t put_mark(unsigned char *to, uint32_t mark)
{
	mark = htobe32(mark);
	memcpy(to, &mark, sizeof(mark));
	return sizeof(mark);
}

static enum orpc_record next(unsigned char **record, size_t *len)
{
	return orpc_input_next(&input, MAX_RECORD, record, len);
}

static void expect(const void *data, size_t size)
{
	unsigned char *record;
	size_t len;

	ck_assert_int_eq(next(&record, &len), ORPC_RECORD_WHOLE);
	ck_assert_uint_eq(len, size);
	ck_assert_mem_eq(record, data, size);
	ck_assert_uint_eq((uintptr_t)record % 4, 0);
}

static void expect_part(void)
{
	unsigned char *record;
	size_t len;

	ck_assert_int_eq(next(&record, &len), ORPC_RECORD_PART);
}

static void expect_broken(void)
{
	unsigned char *record;
	size_t len;

	ck_assert_int_eq(next(&record, &len), ORPC_RECORD_BROKEN);
}

static const unsigned char text[] =
	"a record of forty-four bytes, and a nul at e";

START_TEST(one_record_in_two_reads_cut_anywhere)
{
	unsigned char wire[4 + sizeof(text)];

	put_mark(wire, ORPC_MARK_LAST | sizeof(text));
	memcpy(wire + 4, text, sizeof(text));
	for (size_t cut = 1; cut < sizeof(wire); cut++) {
		feed(wire, cut);
		expect_part();
		feed(wire + cut, sizeof(wire) - cut);
		expect(text, sizeof(text));
		expect_part();
	}
}
END_TEST

START_TEST(one_record_in_two_fragments_cut_anywhere)
{
	unsigned char wire[8 + sizeof(text)];

	for (size_t cut = 0; cut <= sizeof(text); cut++) {
		size_t n = put_mark(wire, cut);

		memcpy(wire + n, text, cut);
		n += cut;
		n += put_mark(wire + n, ORPC_MARK_LAST | (sizeof(text) - cut));
		memcpy(wire + n, text + cut, sizeof(text) - cut);
		feed(wire, sizeof(wire));
		expect(text, sizeof(text));
	}
}
END_TEST

START_TEST(a_fragment_for_each_byte_and_a_read_for_each_byte)
{
	for (size_t i = 0; i < sizeof(text); i++) {
		bool last = i == sizeof(text) - 1;
		unsigned char wire[5];

		put_mark(wire, 1 | (last ? ORPC_MARK_LAST : 0));
		wire[4] = text[i];
		for (size_t k = 0; k < sizeof(wire); k++) {
			expect_part();
			feed(&wire[k], 1);
		}
	}
	expect(text, sizeof(text));
}
END_TEST

START_TEST(many_records_in_one_read)
{
	unsigned char wire[50 * (4 + sizeof(text))];
	size_t n = 0;

	/* Odd lengths, so that most records do not lie aligned. */
	for (size_t i = 1; i <= 50; i++) {
		size_t len = i % sizeof(text) + 1;

		n += put_mark(wire + n, ORPC_MARK_LAST | len);
		memcpy(wire + n, text, len);
		n += len;
	}
	feed(wire, n);
	for (size_t i = 1; i <= 50; i++)
		expect(text, i % sizeof(text) + 1);
	expect_part();
}
END_TEST

START_TEST(empty_records_and_fragments_are_skipped)
{
	unsigned char wire[12 + sizeof(text)];
	size_t n = 0;

	n += put_mark(wire, ORPC_MARK_LAST);
	n += put_mark(wire + n, 0);
	n += put_mark(wire + n, ORPC_MARK_LAST | sizeof(text));
	memcpy(wire + n, text, sizeof(text));
	feed(wire, n + sizeof(text));
	expect(text, sizeof(text));
	expect_part();
}
END_TEST

START_TEST(a_record_of_the_largest_size)
{
	unsigned char *data = calloc(1, MAX_RECORD), mark[4];

	for (size_t i = 0; i < MAX_RECORD; i++)
		data[i] = (unsigned char)(i * 7 >> 3);
	for (int round = 0; round < 3; round++) {
		feed(mark, put_mark(mark, ORPC_MARK_LAST | MAX_RECORD));
		expect_part();
		for (size_t at = 0; at < MAX_RECORD; at += 1000) {
			expect_part();
			feed(data + at, 1000);
		}
		expect(data, MAX_RECORD);
	}
	free(data);
}
END_TEST

START_TEST(a_large_record_in_small_fragments)
{
	unsigned char *data = calloc(1, MAX_RECORD);

	for (size_t i = 0; i < MAX_RECORD; i++)
		data[i] = (unsigned char)(i * 11 >> 2);
	for (size_t at = 0; at < MAX_RECORD; at += 50) {
		unsigned char wire[4 + 50];
		bool last = at + 50 == MAX_RECORD;

		put_mark(wire, 50 | (last ? ORPC_MARK_LAST : 0));
		memcpy(wire + 4, data + at, 50);
		expect_part();
		feed(wire, sizeof(wire));
	}
	expect(data, MAX_RECORD);
	free(data);
}
END_TEST

START_TEST(a_length_over_the_limit_is_refused_from_its_mark)
{
	unsigned char mark[4];

	feed(mark, put_mark(mark, ORPC_MARK_LAST | (MAX_RECORD + 1)));
	expect_broken();
}
END_TEST

START_TEST(a_length_of_two_gigabytes_is_refused)
{
	unsigned char mark[4];

	feed(mark, put_mark(mark, 0xffffffff));
	expect_broken();
}
END_TEST

START_TEST(fragments_that_add_up_over_the_limit_are_refused)
{
	unsigned char wire[4 + 10];

	memset(wire, 0, sizeof(wire));
	put_mark(wire, 10);
	feed(wire, sizeof(wire));
	expect_part();
	feed(wire, put_mark(wire, ORPC_MARK_LAST | (MAX_RECORD - 9)));
	expect_broken();
}
END_TEST

START_TEST(too_many_fragments_are_refused)
{
	unsigned char mark[4];

	for (int i = 0; i < ORPC_MAX_FRAGMENTS; i++) {
		feed(mark, put_mark(mark, 0));
		expect_part();
	}
	feed(mark, put_mark(mark, 0));
	expect_broken();
}
END_TEST

START_TEST(an_empty_input_has_no_buffer)
{
	unsigned char wire[4 + sizeof(text)];

	put_mark(wire, ORPC_MARK_LAST | sizeof(text));
	memcpy(wire + 4, text, sizeof(text));
	feed(wire, sizeof(wire));
	expect(text, sizeof(text));
	expect_part();
	orpc_input_rest(&input, &bufs);
	ck_assert_ptr_null(input.buf);

	feed(wire, 5); /* now there is something in it */
	expect_part();
	orpc_input_rest(&input, &bufs);
	ck_assert_ptr_nonnull(input.buf);
	feed(wire + 5, sizeof(wire) - 5);
	expect(text, sizeof(text));
}
END_TEST

/* A call in the pool keeps the record it is about, whatever comes after it. */
START_TEST(a_record_held_stays_while_more_arrive)
{
	unsigned char wire[4 + sizeof(text)], *record;
	struct orpc_buf *held;
	size_t len;

	put_mark(wire, ORPC_MARK_LAST | sizeof(text));
	memcpy(wire + 4, text, sizeof(text));
	feed(wire, sizeof(wire));
	ck_assert_int_eq(next(&record, &len), ORPC_RECORD_WHOLE);
	held = input.buf;
	held->refs++;

	memset(wire + 4, 'x', sizeof(text));
	for (int i = 0; i < 3000; i++) {
		feed(wire, 20); /* cut, so that parts have to move along */
		expect_part();
		feed(wire + 20, sizeof(wire) - 20);
		expect(wire + 4, sizeof(text));
	}
	ck_assert_mem_eq(record, text, sizeof(text));
	ck_assert_ptr_ne(input.buf, held);
	orpc_bufs_put(&bufs, held);
}
END_TEST

/* Read `len` bytes of a record of a megabyte, of which the mark comes first. */
static void begin_megabyte(struct orpc_input *in, struct orpc_bufs *store,
                           size_t len)
{
	unsigned char *to, *record;
	size_t room, n;

	for (size_t got = 0; got < len; got += room) {
		ck_assert_int_eq(orpc_input_room(in, store, &to, &room), 0);
		room = room < 8000 ? room : 8000;
		memset(to, 0, room);
		if (got == 0)
			put_mark(to, ORPC_MARK_LAST | 1 << 20);
		orpc_input_fill(in, room);
		ck_assert_int_eq(orpc_input_next(in, 1 << 20, &record, &n),
		                 ORPC_RECORD_PART);
	}
}

/* So that a thousand clients that claim much cost no more than they send. */
START_TEST(few_inputs_get_memory_for_a_mere_claim)
{
	enum { N = ORPC_INPUTS_AHEAD + 10 };
	struct orpc_input inputs[N] = { 0 };
	struct orpc_bufs store;
	int whole = 0;

	orpc_bufs_init(&store, orpc_input_largest(1 << 20));
	for (int i = 0; i < N; i++)
		begin_megabyte(&inputs[i], &store, 40000);
	for (int i = 0; i < N; i++) /* nobody needs more than the first yet */
		ck_assert_uint_le(inputs[i].buf->cap, 64 << 10);
	for (int i = 0; i < N; i++) {
		begin_megabyte(&inputs[i], &store, 32000);
		if (inputs[i].buf->cap >= 1 << 20)
			whole++;
		else
			ck_assert_uint_le(inputs[i].buf->cap, 4 * 72000);
	}
	ck_assert_int_eq(whole, ORPC_INPUTS_AHEAD);
	for (int i = 0; i < N; i++)
		orpc_input_release(&inputs[i], &store);
	ck_assert_uint_eq(store.ahead, 0);
	orpc_bufs_release(&store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record");
	TCase *tc = tcase_create("record");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_record_in_two_reads_cut_anywhere);
	tcase_add_test(tc, one_record_in_two_fragments_cut_anywhere);
	tcase_add_test(tc, a_fragment_for_each_byte_and_a_read_for_each_byte);
	tcase_add_test(tc, many_records_in_one_read);
	tcase_add_test(tc, empty_records_and_fragments_are_skipped);
	tcase_add_test(tc, a_record_of_the_largest_size);
	tcase_add_test(tc, a_large_record_in_small_fragments);
	tcase_add_test(tc, a_length_over_the_limit_is_refused_from_its_mark);
	tcase_add_test(tc, a_length_of_two_gigabytes_is_refused);
	tcase_add_test(tc, fragments_that_add_up_over_the_limit_are_refused);
	tcase_add_test(tc, too_many_fragments_are_refused);
	tcase_add_test(tc, an_empty_input_has_no_buffer);
	tcase_add_test(tc, a_record_held_stays_while_more_arrive);
	tcase_add_test(tc, few_inputs_get_memory_for_a_mere_claim);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
