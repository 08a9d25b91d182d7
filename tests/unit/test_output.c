#include "config.h"

#include "rpc/output.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGEST (1u << 20)

static struct orpc_bufs bufs;
static struct orpc_pipes pipes;
static struct orpc_output output;
static int near, far; /* both ends of the connection */
static size_t put, got;

static void setup(void)
{
	int fds[2];

	orpc_bufs_init(&bufs, LARGEST);
	orpc_pipes_init(&pipes);
	ck_assert_int_eq(socketpair(AF_UNIX,
	                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	                            0, fds),
	                 0);
	near = fds[0];
	far = fds[1];
}

static void teardown(void)
{
	orpc_output_release(&output, &bufs);
	orpc_bufs_release(&bufs);
	orpc_pipes_release(&pipes);
	close(near);
	close(far);
}

/* The byte at this place of everything that is ever sent. */
static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 7 + at / 251);
}

static void fill(unsigned char *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = pattern(put++);
}

/* A reply of `len` bytes, where up to `size` were asked for. */
static struct orpc_buf *reply(size_t size, size_t len)
{
	struct orpc_buf *buf;
	size_t at;

	buf = orpc_output_place(&output, &bufs, size, &at);
	ck_assert_ptr_nonnull(buf);
	ck_assert_uint_ge(buf->cap - at, size);
	fill(buf->data + at, len);
	orpc_output_commit(&output, buf, at, len, NULL);
	return buf;
}

/* A reply in a buffer of its own, as the pool hands it over. */
static struct orpc_buf *own_reply(size_t at, size_t len)
{
	struct orpc_buf *buf = orpc_bufs_take(&bufs, at + len);

	fill(buf->data + at, len);
	orpc_output_commit(&output, buf, at, len, NULL);
	return buf;
}

/* A reply that goes on in a pipe, of which there is one. */
static void piped_reply(size_t len, size_t in_pipe)
{
	struct orpc_pipe *pipe = orpc_pipe_take(&pipes);
	static unsigned char data[4096];
	struct orpc_buf *buf;
	size_t at, n;

	ck_assert_ptr_nonnull(pipe);
	buf = orpc_output_place(&output, &bufs, len, &at);
	fill(buf->data + at, len);
	for (; pipe->len < in_pipe; pipe->len += n) {
		n = in_pipe - pipe->len;
		if (n > sizeof(data))
			n = sizeof(data);
		fill(data, n);
		ck_assert_int_eq(write(pipe->to, data, n), (ssize_t)n);
	}
	orpc_output_commit(&output, buf, at, len, pipe);
}

/* Read what has arrived: it is what was put, in that order. */
static void receive(void)
{
	static unsigned char data[65536];
	ssize_t n;

	while ((n = read(far, data, sizeof(data))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (data[i] != pattern(got++))
				ck_abort_msg("byte %zu is wrong", got - 1);
}

START_TEST(small_replies_lie_in_one_buffer)
{
	struct orpc_buf *first = reply(1000, 100);

	for (int i = 0; i < 20; i++)
		ck_assert_ptr_eq(reply(1000, 100), first);
	ck_assert_uint_eq(output.queued, 2100);
	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	receive();
	ck_assert_uint_eq(got, 2100);
}
END_TEST

START_TEST(all_kinds_of_replies_go_out_in_order)
{
	size_t sum = 0;

	for (size_t i = 0; i < 30; i++) {
		reply(9000, 10 + i);
		own_reply(i, 1000 + i);
		reply(100000, 90000);
		sum += 10 + 1000 + 90000 + 2 * i;
	}
	ck_assert_uint_eq(output.queued, sum);
	for (int i = 0; i < 10000 && output.queued > 0; i++) {
		ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
		receive();
	}
	ck_assert_uint_eq(got, sum);
}
END_TEST

START_TEST(a_full_socket_takes_a_part_and_is_no_error)
{
	size_t sum;

	for (int i = 0; i < 4; i++)
		reply(LARGEST, LARGEST);
	sum = output.queued;
	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	ck_assert_uint_gt(output.queued, 0);
	ck_assert_uint_lt(output.queued, sum);
	/* No byte more fits, which is no error either. */
	sum = output.queued;
	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	ck_assert_uint_eq(output.queued, sum);
	for (int i = 0; i < 10000 && output.queued > 0; i++) {
		receive();
		ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	}
	receive();
	ck_assert_uint_eq(got, 4 * LARGEST);
}
END_TEST

START_TEST(a_reply_may_follow_one_that_is_out_in_part)
{
	for (int i = 0; i < 4; i++)
		reply(LARGEST, LARGEST / 2);
	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	ck_assert_uint_gt(output.queued, 0);
	reply(1000, 777);
	for (int i = 0; i < 10000 && output.queued > 0; i++) {
		receive();
		ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	}
	receive();
	ck_assert_uint_eq(got, 2 * LARGEST + 777);
}
END_TEST

START_TEST(what_is_in_a_pipe_goes_out_in_its_place)
{
	size_t sum = 0;

	for (size_t i = 0; i < 5; i++) {
		reply(9000, 10 + i);
		piped_reply(100 + i, ORPC_PIPE_BYTES - i);
		piped_reply(200, 1);
		own_reply(i, 1000 + i);
		sum += 1311 + ORPC_PIPE_BYTES + 2 * i;
	}
	ck_assert_uint_eq(output.queued, sum);
	for (int i = 0; i < 10000 && output.queued > 0; i++) {
		ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
		receive();
	}
	receive();
	ck_assert_uint_eq(got, sum);
	ck_assert_ptr_null(output.first);
}
END_TEST

START_TEST(what_nobody_takes_any_more_is_lost_with_its_pipe)
{
	unsigned char byte;
	struct orpc_pipe *pipe;

	piped_reply(100, 100000);
	orpc_output_release(&output, &bufs);
	ck_assert_uint_eq(output.queued, 0);
	pipe = orpc_pipe_take(&pipes);
	ck_assert_int_eq(read(pipe->from, &byte, 1), -1);
	orpc_pipe_put(pipe);
}
END_TEST

START_TEST(what_is_out_goes_back_to_the_store)
{
	struct orpc_buf *buf = reply(1000, 100);

	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	ck_assert_ptr_null(output.first);
	ck_assert_ptr_eq(bufs.free[buf->size], buf);
}
END_TEST

START_TEST(a_place_that_nobody_used_goes_back_too)
{
	size_t at;
	struct orpc_buf *buf = orpc_output_place(&output, &bufs, 1000, &at);

	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	ck_assert_ptr_null(output.first);
	ck_assert_ptr_eq(bufs.free[buf->size], buf);
	receive();
	ck_assert_uint_eq(got, 0);
}
END_TEST

START_TEST(a_peer_that_has_gone_is_an_error_and_no_signal)
{
	reply(1000, 100);
	close(far);
	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), -EPIPE);
	orpc_output_release(&output, &bufs);
	ck_assert_uint_eq(output.queued, 0);
	far = -1;
}
END_TEST

START_TEST(without_memory_there_is_no_place_and_nothing_lost)
{
	size_t at;

	reply(1000, 100);
	ck_assert_ptr_null(orpc_output_place(&output, &bufs, LARGEST + 1, &at));
	ck_assert_int_eq(orpc_output_send(&output, &bufs, near), 0);
	receive();
	ck_assert_uint_eq(got, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("output");
	TCase *tcase = tcase_create("output");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, small_replies_lie_in_one_buffer);
	tcase_add_test(tcase, all_kinds_of_replies_go_out_in_order);
	tcase_add_test(tcase, a_full_socket_takes_a_part_and_is_no_error);
	tcase_add_test(tcase, a_reply_may_follow_one_that_is_out_in_part);
	tcase_add_test(tcase, what_is_in_a_pipe_goes_out_in_its_place);
	tcase_add_test(tcase, what_nobody_takes_any_more_is_lost_with_its_pipe);
	tcase_add_test(tcase, what_is_out_goes_back_to_the_store);
	tcase_add_test(tcase, a_place_that_nobody_used_goes_back_too);
	tcase_add_test(tcase, a_peer_that_has_gone_is_an_error_and_no_signal);
	tcase_add_test(tcase,
	               without_memory_there_is_no_place_and_nothing_lost);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
