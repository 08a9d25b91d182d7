#include "config.h"

#include "rpc/pipe.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 100

static struct orpc_pipes pipes;
static int near, far; /* both ends of a connection */

static void setup(void)
{
	int fds[2];

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
	orpc_pipes_release(&pipes);
	close(near);
	close(far);
}

/* As many as there are. */
static unsigned take_all(struct orpc_pipe *taken[MANY])
{
	unsigned n = 0;

	while (n < MANY && (taken[n] = orpc_pipe_take(&pipes)))
		n++;
	return n;
}

static void put_all(struct orpc_pipe *taken[MANY], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		orpc_pipe_put(taken[i]);
}

static void fill(struct orpc_pipe *pipe, const char *text, size_t len)
{
	ck_assert_int_eq(write(pipe->to, text, len), (ssize_t)len);
	pipe->len = len;
}

START_TEST(there_are_few)
{
	struct orpc_pipe *taken[MANY];
	unsigned n = take_all(taken);

	ck_assert_uint_ge(n, 1);
	ck_assert_uint_lt(n, MANY);
	put_all(taken, n);
	ck_assert_uint_eq(take_all(taken), n);
	put_all(taken, n);
}
END_TEST

START_TEST(one_takes_a_mebibyte)
{
	struct orpc_pipe *pipe = orpc_pipe_take(&pipes);
	static const char page[4096];

	ck_assert_ptr_nonnull(pipe);
	for (size_t n = 0; n < ORPC_PIPE_BYTES; n += sizeof(page))
		ck_assert_int_eq(write(pipe->to, page, sizeof(page)),
		                 sizeof(page));
	orpc_pipe_put(pipe);
}
END_TEST

START_TEST(what_is_left_in_one_comes_up_in_no_other)
{
	struct orpc_pipe *taken[MANY];
	unsigned n = take_all(taken);
	char byte;

	for (unsigned i = 0; i < n; i += 2)
		fill(taken[i], "another's", 9);
	put_all(taken, n);
	ck_assert_uint_eq(take_all(taken), n);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_eq(taken[i]->len, 0);
		ck_assert_int_eq(read(taken[i]->from, &byte, 1), -1);
		ck_assert_int_eq(errno, EAGAIN);
	}
	put_all(taken, n);
}
END_TEST

START_TEST(it_is_sent_as_far_as_the_socket_takes_it)
{
	struct orpc_pipe *pipe = orpc_pipe_take(&pipes);
	size_t sum = 0, got = 0;
	char text[4096];
	ssize_t n;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i % 251);
	while (sum < ORPC_PIPE_BYTES) {
		fill(pipe, text, sizeof(text));
		sum += sizeof(text);
	}
	pipe->len = sum;
	while (got < sum) {
		n = pipe->len > 0 ? orpc_pipe_send(pipe, near, false) : 0;
		ck_assert(n >= 0 || n == -EAGAIN);
		while ((n = read(far, text, 1000)) > 0)
			for (ssize_t i = 0; i < n; i++, got++)
				ck_assert_int_eq(text[i],
				                 (char)(got % 4096 % 251));
	}
	ck_assert_uint_eq(pipe->len, 0);
	orpc_pipe_put(pipe);
}
END_TEST

START_TEST(less_in_it_than_was_said_is_an_error)
{
	struct orpc_pipe *pipe = orpc_pipe_take(&pipes);

	fill(pipe, "text", 4);
	pipe->len = 5;
	ck_assert_int_eq(orpc_pipe_send(pipe, near, false), 4);
	/* It ends the connection, or it would be waited for for ever. */
	ck_assert_int_lt(orpc_pipe_send(pipe, near, false), 0);
	orpc_pipe_put(pipe);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipe");
	TCase *tcase = tcase_create("pipe");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, there_are_few);
	tcase_add_test(tcase, one_takes_a_mebibyte);
	tcase_add_test(tcase, what_is_left_in_one_comes_up_in_no_other);
	tcase_add_test(tcase, it_is_sent_as_far_as_the_socket_takes_it);
	tcase_add_test(tcase, less_in_it_than_was_said_is_an_error);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
