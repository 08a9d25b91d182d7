/*
 * A server that does nothing: takes records, and answers each call with results of
 * the size that it would have. What it costs is the floor under every server's
 * figures, and what the load generator adds to them is seen with it. With the
 * directories of tests/bench/run it makes the system calls as well that no server
 * can do without.
 *
 * responder PORT [LOWER UPPER], on 127.0.0.1
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/floor.h"

#define INPUT (4 << 20)
#define MAX_LINES 1100
#define MAX_REPLIES 512
#define MAX_DATA (1 << 20)
#define WORDS 48 /* of a reply, but for the data of READ */

#define MOUNT 100005
#define SETATTR 2
#define LOOKUP 3
#define READ 6
#define WRITE 7
#define CREATE 8
#define REMOVE 12

struct line {
	unsigned char *input;
	size_t len;
};

/* Replies on their way to one connection. */
struct output {
	uint32_t words[MAX_REPLIES][WORDS];
	struct iovec iov[2 * MAX_REPLIES];
	unsigned n, niov;
};

static struct output output;
static unsigned char data[MAX_DATA];
static bool makes_calls;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t word_at(const unsigned char *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return ntohl(word);
}

/* ---- replies -------------------------------------------------------------------- */

/*
 * How many words they have, and what some of them are; all others are zero, a
 * status of success first. `*more` bytes of data follow.
 */
static unsigned results(uint32_t prog, uint32_t proc, uint32_t count,
                        uint32_t *words, uint32_t *more)
{
	*more = 0;
	if (proc == 0)
		return 0;
	if (prog == MOUNT || proc == LOOKUP) {
		words[1] = htonl(16); /* a handle */
		return prog == MOUNT ? 7 : 6 + 2 * 22;
	}
	if (proc == READ) {
		*more = count < MAX_DATA ? count & ~3u : MAX_DATA;
		words[23] = htonl(*more);
		words[25] = htonl(*more);
		return 26;
	}
	return 22; /* attributes */
}

/* Data that are less are copied as fast as the file's pages are passed on. */
#define LARGE (128 << 10)

static bool passes_on(uint32_t proc, uint32_t count)
{
	return makes_calls && proc == READ && count >= LARGE &&
	       count <= MAX_DATA;
}

/* `end`: of the call. What it ends with is known, and so where that is. */
static void make_calls(uint32_t proc, const unsigned char *end)
{
	uint32_t last = word_at(end - 4);

	switch (proc) {
	case READ: /* offset, count */
		if (!passes_on(proc, last))
			floor_read(data, last < MAX_DATA ? last : MAX_DATA,
			           word_at(end - 8));
		break;
	case WRITE: /* offset, count, stable, data: zeros, of one of two sizes */
		if (word_at(end - 4096 - 4) == 4096)
			floor_first_write(end - 4096, 4096);
		else
			floor_write(end - 65536, 65536,
			            word_at(end - 65536 - 16));
		break;
	case SETATTR:
		floor_chmod();
		break;
	case CREATE:
		floor_create();
		break;
	case REMOVE:
		floor_remove();
		break;
	}
}

static void answer(uint32_t xid, uint32_t prog, uint32_t proc, uint32_t count)
{
	uint32_t *words = output.words[output.n++], more;
	unsigned n;

	memset(words, 0, sizeof(output.words[0]));
	words[1] = htonl(xid);
	words[2] = htonl(1);
	n = 7 + results(prog, proc, count, words + 7, &more);
	words[0] = htonl(0x80000000u | (uint32_t)(4 * (n - 1) + more));
	output.iov[output.niov++] = (struct iovec){ words, 4 * n };
	if (more && !(prog != MOUNT && passes_on(proc, count)))
		output.iov[output.niov++] = (struct iovec){ data, more };
}

static void send_replies(int fd, int flags)
{
	struct msghdr msg = { .msg_iov = output.iov,
		              .msg_iovlen = output.niov };
	ssize_t n;

	while (msg.msg_iovlen > 0) {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | flags);
		if (n < 0)
			break; /* it has gone */
		for (; msg.msg_iovlen > 0 && (size_t)n >= msg.msg_iov->iov_len;
		     msg.msg_iov++, msg.msg_iovlen--)
			n -= (ssize_t)msg.msg_iov->iov_len;
		if (n > 0) {
			msg.msg_iov->iov_base =
				(char *)msg.msg_iov->iov_base + n;
			msg.msg_iov->iov_len -= (size_t)n;
		}
	}
	output.n = output.niov = 0;
}

/* ---- calls ---------------------------------------------------------------------- */

/* Whole records in the input are answered. */
static void take_calls(int fd, struct line *line)
{
	const unsigned char *record;
	size_t at = 0, len;

	while (line->len - at >= 4) {
		record = line->input + at;
		len = word_at(record) & 0x7fffffff;
		if (len < 40 || len + 4 > INPUT)
			len = line->len; /* no client of ours */
		if (line->len - at < 4 + len)
			break;
		if (output.n == MAX_REPLIES)
			send_replies(fd, 0);
		if (makes_calls && word_at(record + 16) != MOUNT)
			make_calls(word_at(record + 24), record + 4 + len);
		answer(word_at(record + 4), word_at(record + 16),
		       word_at(record + 24), word_at(record + len));
		if (word_at(record + 16) != MOUNT &&
		    passes_on(word_at(record + 24), word_at(record + len))) {
			send_replies(fd, MSG_MORE);
			floor_send(fd, word_at(record + len),
			           word_at(record + len - 4));
		}
		at += 4 + len;
	}
	send_replies(fd, 0);
	memmove(line->input, line->input + at, line->len - at);
	line->len -= at;
}

/* False: it has ended. */
static bool serve(int fd, struct line *line)
{
	ssize_t n = recv(fd, line->input + line->len, INPUT - line->len, 0);

	if (n <= 0)
		return false;
	line->len += (size_t)n;
	take_calls(fd, line);
	return true;
}

/* ---- connections ------------------------------------------------------------------ */

static struct pollfd fds[MAX_LINES];
static struct line lines[MAX_LINES];
static unsigned nfds;

static void accept_line(void)
{
	int fd = accept(fds[0].fd, NULL, NULL);

	if (fd < 0 || nfds == MAX_LINES)
		die("accept");
	lines[nfds] = (struct line){ .input = malloc(INPUT) };
	if (!lines[nfds].input)
		die("responder");
	fds[nfds++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static void drop_line(unsigned i)
{
	close(fds[i].fd);
	free(lines[i].input);
	nfds--;
	fds[i] = fds[nfds];
	lines[i] = lines[nfds];
}

static void listen_at(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, SOMAXCONN))
		die("responder");
	fds[nfds++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: responder PORT [LOWER UPPER]\n");
		return 2;
	}
	if (argc == 4) {
		floor_open(argv[2], argv[3]);
		makes_calls = true;
	}
	signal(SIGPIPE, SIG_IGN);
	listen_at((uint16_t)atoi(argv[1]));
	for (;;) {
		if (poll(fds, nfds, -1) < 0 && errno != EINTR)
			die("poll");
		for (unsigned i = nfds; i-- > 1;)
			if (fds[i].revents && !serve(fds[i].fd, &lines[i]))
				drop_line(i);
		if (fds[0].revents)
			accept_line();
	}
}
