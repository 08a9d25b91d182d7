#include "config.h"

#include "rpc/call.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROG 400100
#define LARGEST (1u << 20)
#define AT 40 /* of the reply in its buffer: others are in front */

enum {
	WAITS = 1,
	GARBAGE,
	RESERVES,
	TWICE,
	OVER,
	NO_PROC,
	BEYOND,
	ONCE,
	MUCH_ONCE,
	NPROCS
};

static struct orpc_bufs bufs;
static struct orpc_request request;
static struct orpc_buf *shared; /* what the request is to write to */
static int ran[NPROCS];
static int thing;

/* ---- a program ---------------------------------------------------------- */

static enum orpc_status null(struct orpc_call *call, void *arg)
{
	(void)call;
	ck_assert_ptr_eq(arg, &thing);
	ran[0]++;
	return ORPC_DONE;
}

/* Answers with its argument, doubled; in the pool only. */
static enum orpc_status waits(struct orpc_call *call, void *arg)
{
	uint32_t value;

	(void)arg;
	ran[WAITS]++;
	ck_assert(xdr_u_int(&call->args, &value));
	value *= 2;
	/* Void, where the procedure then wants to wait. */
	ck_assert(xdr_u_int(&call->results, &value));
	return call->may_wait ? ORPC_DONE : ORPC_WAIT;
}

static enum orpc_status garbage(struct orpc_call *call, void *arg)
{
	uint32_t value = 7;

	(void)arg;
	ck_assert(xdr_u_int(&call->results, &value));
	return xdr_u_int(&call->args, &value) ? ORPC_DONE : ORPC_GARBAGE_ARGS;
}

/* Reserve the size in the argument and fill all of it. */
static enum orpc_status reserves(struct orpc_call *call, void *arg)
{
	uint32_t size;
	char *to;

	(void)arg;
	ck_assert(xdr_u_int(&call->args, &size));
	if (orpc_call_reserve(call, size) != 0)
		return ORPC_SYSTEM_ERR;
	to = (char *)xdr_inline(&call->results, size);
	ck_assert_ptr_nonnull(to);
	memset(to, 'r', size);
	return ORPC_DONE;
}

static enum orpc_status twice(struct orpc_call *call, void *arg)
{
	ck_assert_int_eq(orpc_call_reserve(call, 100000), 0);
	ck_assert_int_eq(orpc_call_reserve(call, 500000), 0);
	return reserves(call, arg);
}

static enum orpc_status over(struct orpc_call *call, void *arg)
{
	(void)arg;
	ck_assert_int_eq(orpc_call_reserve(call, call->max_results + 1),
	                 -EMSGSIZE);
	ck_assert_int_eq(orpc_call_reserve(call, SIZE_MAX), -EMSGSIZE);
	ck_assert_int_eq(orpc_call_reserve(call, call->max_results), 0);
	return ORPC_DONE;
}

/* How much goes in without a reservation? */
static enum orpc_status beyond(struct orpc_call *call, void *arg)
{
	uint32_t value = 0;

	(void)arg;
	while (xdr_u_int(&call->results, &value))
		value++;
	return ORPC_DONE;
}

/* Comes back with the status in its argument, and says how often it ran. */
static enum orpc_status once(struct orpc_call *call, void *arg)
{
	uint32_t status, runs = (uint32_t)++ran[ONCE];

	(void)arg;
	ck_assert(xdr_u_int(&call->args, &status));
	ck_assert(xdr_u_int(&call->results, &runs));
	return status == ORPC_WAIT && call->may_wait ? ORPC_DONE : status;
}

static enum orpc_status much_once(struct orpc_call *call, void *arg)
{
	(void)arg;
	ck_assert_int_eq(orpc_call_reserve(call, ORPC_RESULTS_MIN + 4),
	                 -EMSGSIZE);
	ck_assert_int_eq(orpc_call_reserve(call, ORPC_RESULTS_MIN), 0);
	return ORPC_DONE;
}

static const struct orpc_proc procs[NPROCS] = {
	[0] = { "NULL", null, ORPC_AGAIN },
	[WAITS] = { "WAITS", waits, ORPC_AGAIN },
	[GARBAGE] = { "GARBAGE", garbage, ORPC_AGAIN },
	[RESERVES] = { "RESERVES", reserves, ORPC_AGAIN },
	[TWICE] = { "TWICE", twice, ORPC_AGAIN },
	[OVER] = { "OVER", over, ORPC_AGAIN },
	[BEYOND] = { "BEYOND", beyond, ORPC_AGAIN },
	[ONCE] = { "ONCE", once, ORPC_ONCE },
	[MUCH_ONCE] = { "MUCH_ONCE", much_once, ORPC_ONCE },
};
static const struct orpc_version versions[] = { { 2, procs, NPROCS },
	                                        { 4, procs, 1 } };
static const struct orpc_program list[] = {
	{ PROG, "test", versions, 2, &thing },
	{ PROG + 1, "empty", NULL, 0, NULL },
};
static const struct orpc_programs programs = { list, 2 };

/* ---- a call, and its reply ---------------------------------------------- */

static void setup(void)
{
	orpc_bufs_init(&bufs, LARGEST + 1000);
	shared = orpc_bufs_take(&bufs, AT + ORPC_REPLY_ROOM);
	memset(shared->data, 'x', shared->cap);
	request = (struct orpc_request){ .call.max_results = LARGEST,
		                         .bufs = &bufs,
		                         .out = shared,
		                         .at = AT };
}

static void teardown(void)
{
	if (request.own_out)
		orpc_bufs_put(&bufs, request.out);
	orpc_bufs_put(&bufs, shared);
	orpc_bufs_release(&bufs);
}

/* A call of nobody (RFC 5531, section 9), with one number as its argument. */
static enum orpc_outcome begin(uint32_t prog, uint32_t vers, uint32_t proc,
                               uint32_t arg)
{
	static uint32_t record[11];
	const uint32_t words[] = { 77, CALL, 2, prog, vers, proc,
		                   0,  0,    0, 0,    arg };

	for (int i = 0; i < 11; i++)
		record[i] = htobe32(words[i]);
	return orpc_request_begin(&request, &programs, (unsigned char *)record,
	                          sizeof(record));
}

/* Word `i` of the reply: 0 is its record mark, 1 its xid, 6 its state. */
static uint32_t word(size_t i)
{
	uint32_t value;

	ck_assert_uint_le(4 * (i + 1), request.reply_len);
	memcpy(&value, request.out->data + request.at + 4 * i, sizeof(value));
	return be32toh(value);
}

/* An accepted reply in this state, with so many bytes behind the header. */
static void assert_reply(enum accept_stat state, size_t results)
{
	ck_assert_uint_eq(request.reply_len, ORPC_REPLY_OVERHEAD + results);
	ck_assert_uint_eq(word(0),
	                  ORPC_MARK_LAST |
	                          (uint32_t)(ORPC_REPLY_HEADER + results));
	ck_assert_uint_eq(word(1), 77);
	ck_assert_uint_eq(word(2), REPLY);
	ck_assert_uint_eq(word(3), MSG_ACCEPTED);
	ck_assert_uint_eq(word(6), state);
}

START_TEST(a_reply_is_encoded_where_it_was_to_be)
{
	ck_assert_int_eq(begin(PROG, 2, 0, 0), ORPC_REPLIED);
	ck_assert_int_eq(ran[0], 1);
	assert_reply(SUCCESS, 0);
	ck_assert_ptr_eq(request.out, shared);
	ck_assert(!request.own_out);
	/* Nothing in front of it or behind it was touched. */
	for (size_t i = 0; i < AT; i++)
		ck_assert_int_eq(shared->data[i], 'x');
	ck_assert_int_eq(shared->data[AT + request.reply_len], 'x');
}
END_TEST

START_TEST(what_is_not_there_is_told_apart)
{
	ck_assert_int_eq(begin(PROG + 2, 2, 0, 0), ORPC_REPLIED);
	assert_reply(PROG_UNAVAIL, 0);
	ck_assert_int_eq(begin(PROG + 1, 2, 0, 0), ORPC_REPLIED);
	assert_reply(PROG_UNAVAIL, 0);
	ck_assert_int_eq(begin(PROG, 3, 0, 0), ORPC_REPLIED);
	assert_reply(PROG_MISMATCH, 8);
	ck_assert_uint_eq(word(7), 2);
	ck_assert_uint_eq(word(8), 4);
	ck_assert_int_eq(begin(PROG, 2, NO_PROC, 0), ORPC_REPLIED);
	assert_reply(PROC_UNAVAIL, 0);
	ck_assert_int_eq(begin(PROG, 2, NPROCS, 0), ORPC_REPLIED);
	assert_reply(PROC_UNAVAIL, 0);
	ck_assert_int_eq(begin(PROG, 2, UINT32_MAX, 0), ORPC_REPLIED);
	assert_reply(PROC_UNAVAIL, 0);
	ck_assert_int_eq(ran[0], 0);
}
END_TEST

START_TEST(what_is_no_call_is_not_answered)
{
	unsigned char record[8] = { 0 };

	ck_assert_int_eq(orpc_request_begin(&request, &programs, record,
	                                    sizeof(record)),
	                 ORPC_BROKEN);
}
END_TEST

START_TEST(a_call_that_waits_runs_again_from_its_start)
{
	ck_assert_int_eq(begin(PROG, 2, WAITS, 21), ORPC_PENDING);
	ck_assert_int_eq(ran[WAITS], 1);
	/* As its owner does it: with a buffer of its own. */
	request.out = orpc_bufs_take(&bufs, ORPC_REPLY_ROOM);
	request.at = 0;
	request.own_out = true;
	orpc_request_finish(&request);
	ck_assert_int_eq(ran[WAITS], 2);
	assert_reply(SUCCESS, 4);
	ck_assert_uint_eq(word(7), 42);
}
END_TEST

START_TEST(what_was_encoded_before_a_failure_is_void)
{
	uint32_t record[10] = { htobe32(77),   0,          htobe32(2),
		                htobe32(PROG), htobe32(2), htobe32(GARBAGE) };

	ck_assert_int_eq(orpc_request_begin(&request, &programs,
	                                    (unsigned char *)record,
	                                    sizeof(record)),
	                 ORPC_REPLIED);
	assert_reply(GARBAGE_ARGS, 0);
}
END_TEST

START_TEST(large_results_get_a_buffer_of_their_own)
{
	ck_assert_int_eq(begin(PROG, 2, RESERVES, LARGEST), ORPC_REPLIED);
	assert_reply(SUCCESS, LARGEST);
	ck_assert(request.own_out);
	ck_assert_ptr_ne(request.out, shared);
	ck_assert_uint_eq(request.at, 0);
	ck_assert_uint_eq(word(7 + LARGEST / 4 - 1), 0x72727272);
}
END_TEST

START_TEST(results_that_fit_stay_where_they_are)
{
	const uint32_t fits =
		(uint32_t)(shared->cap - AT - ORPC_REPLY_OVERHEAD) & ~3u;

	ck_assert_int_eq(begin(PROG, 2, RESERVES, fits), ORPC_REPLIED);
	assert_reply(SUCCESS, fits);
	ck_assert_ptr_eq(request.out, shared);
	ck_assert(!request.own_out);
}
END_TEST

/* Leaks, if the first one got lost: so says the address sanitizer. */
START_TEST(who_reserves_again_gives_the_first_buffer_back)
{
	struct orpc_buf *first = orpc_bufs_take(&bufs, 100100);

	orpc_bufs_put(&bufs, first);
	ck_assert_int_eq(begin(PROG, 2, TWICE, 600000), ORPC_REPLIED);
	assert_reply(SUCCESS, 600000);
	ck_assert_ptr_eq(bufs.free[first->size], first);
}
END_TEST

START_TEST(a_worker_keeps_off_the_store)
{
	struct orpc_buf *kept = orpc_bufs_take(&bufs, LARGEST);

	orpc_bufs_put(&bufs, kept);
	ck_assert_int_eq(begin(PROG, 2, WAITS, 600000), ORPC_PENDING);
	request.proc = &procs[TWICE];
	orpc_request_finish(&request);
	assert_reply(SUCCESS, 600000);
	ck_assert_ptr_ne(request.out, kept);
	ck_assert_ptr_eq(bufs.free[kept->size], kept);
	ck_assert_uint_eq(bufs.nfree[kept->size], 1);
}
END_TEST

START_TEST(no_reservation_is_over_the_bound)
{
	ck_assert_int_eq(begin(PROG, 2, OVER, 0), ORPC_REPLIED);
	assert_reply(SUCCESS, 0);
}
END_TEST

START_TEST(without_a_reservation_there_is_the_least_room)
{
	ck_assert_int_eq(begin(PROG, 2, BEYOND, 0), ORPC_REPLIED);
	assert_reply(SUCCESS, ORPC_RESULTS_MIN);
	/* Or what the transport can carry, where that is less. */
	request.call.max_results = 1000;
	ck_assert_int_eq(begin(PROG, 2, BEYOND, 0), ORPC_REPLIED);
	assert_reply(SUCCESS, 1000);
}
END_TEST

/* ---- procedures that run once --------------------------------------------- */

static struct orpc_replays *replays;
static const struct sockaddr peer = { .sa_family = AF_UNIX };

static void setup_once(void)
{
	setup();
	ck_assert_int_eq(orpc_replays_new(100, 1 << 20, 10, &replays), 0);
	request.replays = replays;
	request.call.peer = &peer;
	ran[ONCE] = 0;
}

static void teardown_once(void)
{
	orpc_replays_free(replays);
	teardown();
}

static void begin_once(enum orpc_status status, uint32_t run)
{
	ck_assert_int_eq(begin(PROG, 2, ONCE, status), ORPC_REPLIED);
	assert_reply(SUCCESS, 4);
	ck_assert_uint_eq(word(7), run);
}

START_TEST(what_runs_once_is_answered_again_as_it_was)
{
	begin_once(ORPC_DONE, 1);
	memset(shared->data, 'x', shared->cap);
	begin_once(ORPC_DONE, 1);
	ck_assert_int_eq(ran[ONCE], 1);
	for (size_t i = 0; i < AT; i++)
		ck_assert_int_eq(shared->data[i], 'x');
	ck_assert_int_eq(shared->data[AT + request.reply_len], 'x');
}
END_TEST

START_TEST(what_may_run_again_does)
{
	begin(PROG, 2, RESERVES, 4);
	begin(PROG, 2, RESERVES, 4);
	request.replays = NULL;
	begin_once(ORPC_DONE, 1);
	begin_once(ORPC_DONE, 2);
}
END_TEST

START_TEST(what_was_not_done_is_carried_out_when_it_comes_again)
{
	static const struct {
		enum orpc_status status;
		enum accept_stat state;
	} cases[] = { { ORPC_GARBAGE_ARGS, GARBAGE_ARGS },
		      { ORPC_SYSTEM_ERR, SYSTEM_ERR } };
	int runs = 0;

	for (uint32_t run = 1; run < 3; run++, runs++)
		begin_once(ORPC_NOT_NOW, run);
	for (int i = 0; i < 4; i++, runs++) {
		ck_assert_int_eq(begin(PROG, 2, ONCE, cases[i / 2].status),
		                 ORPC_REPLIED);
		assert_reply(cases[i / 2].state, 0);
	}
	for (int i = 0; i < 2; i++, runs++) {
		ck_assert_int_eq(begin(PROG, 2, ONCE, ORPC_AUTH_ERROR),
		                 ORPC_REPLIED);
		ck_assert_uint_eq(word(3), MSG_DENIED);
	}
	ck_assert_int_eq(ran[ONCE], runs);
}
END_TEST

START_TEST(what_is_pending_is_joined_until_it_has_run)
{
	struct orpc_request first;

	ck_assert_int_eq(begin(PROG, 2, ONCE, ORPC_WAIT), ORPC_PENDING);
	first = request;
	ck_assert_int_eq(begin(PROG, 2, ONCE, ORPC_WAIT), ORPC_JOINS);
	ck_assert_ptr_eq(request.replay, first.replay);
	orpc_replay_unref(request.replay);
	ck_assert_int_eq(ran[ONCE], 1);
	orpc_request_finish(&first);
	ck_assert_int_eq(ran[ONCE], 2);
	begin_once(ORPC_WAIT, 2);
	ck_assert_int_eq(ran[ONCE], 2);
}
END_TEST

START_TEST(what_is_abandoned_is_the_first_when_it_comes_again)
{
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(begin(PROG, 2, ONCE, ORPC_WAIT), ORPC_PENDING);
		orpc_request_abandon(&request);
	}
	/* What has no place there can be abandoned as well. */
	ck_assert_int_eq(begin(PROG, 2, WAITS, 1), ORPC_PENDING);
	orpc_request_abandon(&request);
}
END_TEST

START_TEST(what_runs_once_has_short_results)
{
	ck_assert_int_eq(begin(PROG, 2, MUCH_ONCE, 0), ORPC_REPLIED);
	assert_reply(SUCCESS, 0);
}
END_TEST

/* A call of ONCE, of user 5 of 16 groups by AUTH_SYS, with this stamp. */
static uint32_t *make_stamped(uint32_t *record, uint32_t stamp, uint32_t group)
{
	uint32_t words[35] = { 77, CALL,  2, PROG, 2, ONCE, AUTH_SYS,
		               84, stamp, 0, 5,    6, 16 };

	words[13 + 15] = group;
	for (int i = 0; i < 35; i++)
		record[i] = htobe32(words[i]);
	return record;
}

/* Some clients stamp the time of each attempt into the credential. */
START_TEST(a_stamp_makes_no_other_call_and_a_group_does)
{
	static const uint32_t calls[][2] = { { 1, 9 }, { 2, 9 }, { 2, 10 } };
	static const int runs[] = { 1, 1, 2 };
	uint32_t record[35];

	for (int i = 0; i < 3; i++) {
		make_stamped(record, calls[i][0], calls[i][1]);
		ck_assert_int_eq(orpc_request_begin(&request, &programs,
		                                    (unsigned char *)record,
		                                    sizeof(record)),
		                 ORPC_REPLIED);
		ck_assert_int_eq(ran[ONCE], runs[i]);
	}
}
END_TEST

static TCase *once_case(void)
{
	TCase *tcase = tcase_create("once");

	tcase_add_checked_fixture(tcase, setup_once, teardown_once);
	tcase_add_test(tcase, what_runs_once_is_answered_again_as_it_was);
	tcase_add_test(tcase, what_may_run_again_does);
	tcase_add_test(tcase,
	               what_was_not_done_is_carried_out_when_it_comes_again);
	tcase_add_test(tcase, what_is_pending_is_joined_until_it_has_run);
	tcase_add_test(tcase,
	               what_is_abandoned_is_the_first_when_it_comes_again);
	tcase_add_test(tcase, what_runs_once_has_short_results);
	tcase_add_test(tcase, a_stamp_makes_no_other_call_and_a_group_does);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("call");
	TCase *tcase = tcase_create("call");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_reply_is_encoded_where_it_was_to_be);
	tcase_add_test(tcase, what_is_not_there_is_told_apart);
	tcase_add_test(tcase, what_is_no_call_is_not_answered);
	tcase_add_test(tcase, a_call_that_waits_runs_again_from_its_start);
	tcase_add_test(tcase, what_was_encoded_before_a_failure_is_void);
	tcase_add_test(tcase, large_results_get_a_buffer_of_their_own);
	tcase_add_test(tcase, results_that_fit_stay_where_they_are);
	tcase_add_test(tcase, who_reserves_again_gives_the_first_buffer_back);
	tcase_add_test(tcase, a_worker_keeps_off_the_store);
	tcase_add_test(tcase, no_reservation_is_over_the_bound);
	tcase_add_test(tcase, without_a_reservation_there_is_the_least_room);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, once_case());
	return suite_run(suite);
}
