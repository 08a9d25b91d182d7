#include "config.h"

#include "tests/unit/toy.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEADER 24 /* of an accepted reply */

sem_t toy_begun, toy_release;
struct orpc_server *toy;
int toy_log_lines;
int toy_runs;
static u_int count;

/* ---- The program ---- */

static void count_one(void)
{
	__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
}

static enum orpc_status do_null(struct orpc_call *call, void *arg)
{
	(void)call, (void)arg;
	count_one();
	return ORPC_DONE;
}

static enum orpc_status do_echo(struct orpc_call *call, void *arg)
{
	u_int len, padded;
	int32_t *from, *to;

	(void)arg;
	if (!xdr_u_int(&call->args, &len) || len > 1 << 20)
		return ORPC_GARBAGE_ARGS;
	padded = (len + 3) & ~3u;
	from = xdr_inline(&call->args, padded);
	if (!from)
		return ORPC_GARBAGE_ARGS;
	if (orpc_call_reserve(call, 4 + padded) ||
	    !xdr_u_int(&call->results, &len))
		return ORPC_SYSTEM_ERR;
	to = xdr_inline(&call->results, padded);
	memcpy(to, from, padded);
	return ORPC_DONE;
}

static enum orpc_status put_blob(struct orpc_call *call, u_int len)
{
	u_int padded = (len + 3) & ~3u;
	int32_t *to;

	if (!xdr_u_int(&call->results, &len))
		return ORPC_SYSTEM_ERR;
	to = xdr_inline(&call->results, padded);
	if (!to)
		return ORPC_SYSTEM_ERR;
	memset(to, (int)(len & 255), padded);
	return ORPC_DONE;
}

static enum orpc_status do_blob(struct orpc_call *call, void *arg)
{
	u_int len;

	(void)arg;
	count_one();
	if (!xdr_u_int(&call->args, &len))
		return ORPC_GARBAGE_ARGS;
	if (orpc_call_reserve(call, 4 + ((size_t)len + 3) / 4 * 4))
		return ORPC_SYSTEM_ERR;
	return put_blob(call, len);
}

static enum orpc_status do_slow_blob(struct orpc_call *call, void *arg)
{
	return call->may_wait ? do_blob(call, arg) : ORPC_WAIT;
}

static enum orpc_status do_cram(struct orpc_call *call, void *arg)
{
	u_int len;

	(void)arg;
	if (!xdr_u_int(&call->args, &len))
		return ORPC_GARBAGE_ARGS;
	return put_blob(call, len);
}

static enum orpc_status do_return(struct orpc_call *call, void *arg)
{
	u_int status, rubbish = 0xbad;

	(void)arg;
	if (!xdr_u_int(&call->args, &status))
		return ORPC_GARBAGE_ARGS;
	xdr_u_int(&call->results, &rubbish); /* void but on ORPC_DONE */
	return status;
}

static enum orpc_status do_who(struct orpc_call *call, void *arg)
{
	const struct orpc_cred *cred = &call->cred;
	uint32_t words[] = {
		(uint32_t)gettid(),
		cred->flavor,
		cred->uid,
		cred->gid,
		cred->ngids,
		cred->ngids ? cred->gids[cred->ngids - 1] : 0,
		call->peer->sa_family,
		call->datagram,
		(uint32_t)call->max_results,
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		xdr_u_int(&call->results, &words[i]);
	return ORPC_DONE;
}

static enum orpc_status do_hold(struct orpc_call *call, void *arg)
{
	u_int word;

	(void)arg;
	sem_post(&toy_begun);
	sem_wait(&toy_release);
	/* Only now, so that the arguments must have stayed where they were. */
	if (!xdr_u_int(&call->args, &word) || !xdr_u_int(&call->results, &word))
		return ORPC_GARBAGE_ARGS;
	return ORPC_DONE;
}

static enum orpc_status do_slow(struct orpc_call *call, void *arg)
{
	return call->may_wait ? do_hold(call, arg) : ORPC_WAIT;
}

static enum orpc_status do_count(struct orpc_call *call, void *arg)
{
	u_int n = __atomic_load_n(&count, __ATOMIC_SEQ_CST);

	(void)arg;
	return xdr_u_int(&call->results, &n) ? ORPC_DONE : ORPC_SYSTEM_ERR;
}

static enum orpc_status do_once(struct orpc_call *call, void *arg)
{
	enum orpc_status status = do_slow(call, arg);

	if (status == ORPC_DONE)
		__atomic_add_fetch(&toy_runs, 1, __ATOMIC_SEQ_CST);
	return status;
}

static const struct orpc_proc procs[] = {
	[TOY_NULL] = { "NULL", do_null, ORPC_AGAIN },
	[TOY_ECHO] = { "ECHO", do_echo, ORPC_AGAIN },
	[TOY_BLOB] = { "BLOB", do_blob, ORPC_AGAIN },
	[TOY_RETURN] = { "RETURN", do_return, ORPC_AGAIN },
	[TOY_HOLE] = { "HOLE", NULL, ORPC_AGAIN },
	[TOY_WHO] = { "WHO", do_who, ORPC_AGAIN },
	[TOY_SLOW] = { "SLOW", do_slow, ORPC_AGAIN },
	[TOY_SLOWBLOB] = { "SLOWBLOB", do_slow_blob, ORPC_AGAIN },
	[TOY_CRAM] = { "CRAM", do_cram, ORPC_AGAIN },
	[TOY_ONCE] = { "ONCE", do_once, ORPC_ONCE },
	[TOY_HOLD] = { "HOLD", do_hold, ORPC_AGAIN },
	[TOY_COUNT] = { "COUNT", do_count, ORPC_AGAIN },
};

static const struct orpc_version versions[] = { { 3, procs, TOY_PROCS } };
static const struct orpc_version other_versions[] = { { 1, procs, 1 },
	                                              { 4, procs, 1 } };
static const struct orpc_program programs[] = {
	{ TOY_PROG, "toy", versions, 1, NULL },
	{ TOY_OTHER_PROG, "other", other_versions, 2, NULL },
};

/* ---- The server ---- */

static void count_line(void *arg, int level, const char *line)
{
	(void)arg, (void)level;
	ck_assert_ptr_nonnull(line);
	__atomic_add_fetch(&toy_log_lines, 1, __ATOMIC_SEQ_CST);
}

static void make(const struct orpc_config *given)
{
	struct orpc_config config = { .threads = 2, .workers = 4 };

	if (given)
		config = *given;
	config.log = count_line;
	sem_init(&toy_begun, 0, 0);
	sem_init(&toy_release, 0, 0);
	ck_assert_int_eq(orpc_server_new(&config, programs, 2, &toy), 0);
}

void toy_start(const struct orpc_config *config)
{
	make(config);
	ck_assert_int_eq(orpc_server_start(toy), 0);
}

void toy_start_at(const struct orpc_config *config, const char *address,
                  uint16_t *port)
{
	make(config);
	ck_assert_int_eq(orpc_server_listen(toy, address, port), 0);
	ck_assert_int_eq(orpc_server_start(toy), 0);
}

void toy_stop(void)
{
	orpc_server_free(toy);
	toy = NULL;
}

struct orpc_stats toy_stats(void)
{
	struct orpc_stats stats;

	orpc_server_stats(toy, &stats);
	return stats;
}

/* ---- Sockets ---- */

static int with_timeout(int fd)
{
	struct timeval timeout = { .tv_sec = 30 };

	ck_assert_int_ge(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	return fd;
}

int toy_pair(void)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(orpc_server_adopt(toy, ends[1]), 0);
	return with_timeout(ends[0]);
}

int toy_connect(int type, const char *address, uint16_t port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		                  .ai_socktype = type };
	struct addrinfo *info;
	char service[8];
	int fd;

	snprintf(service, sizeof(service), "%u", port);
	ck_assert_int_eq(getaddrinfo(address, service, &hints, &info), 0);
	fd = with_timeout(socket(info->ai_family, type, 0));
	ck_assert_int_eq(connect(fd, info->ai_addr, info->ai_addrlen), 0);
	freeaddrinfo(info);
	return fd;
}

void toy_send(int fd, const void *data, size_t len)
{
	const char *from = data;

	while (len > 0) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		ck_assert_msg(n > 0, "send: %s", strerror(errno));
		from += n;
		len -= (size_t)n;
	}
}

void toy_settle(int fd)
{
	int unread = 1;

	for (int i = 0; i < 100000 && unread > 0; i++) {
		ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &unread), 0);
		if (unread > 0)
			usleep(20);
	}
	ck_assert_int_eq(unread, 0);
}

/* ---- Calls and replies ---- */

uint32_t toy_word(const void *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return ntohl(word);
}

size_t toy_put(void *at, uint32_t word)
{
	word = htonl(word);
	memcpy(at, &word, sizeof(word));
	return sizeof(word);
}

size_t toy_call(unsigned char *to, uint32_t xid, uint32_t proc,
                const void *args, size_t len)
{
	const uint32_t words[] = { 0x80000000u | (40 + (uint32_t)len),
		                   xid,
		                   0,
		                   2,
		                   TOY_PROG,
		                   3,
		                   proc,
		                   0,
		                   0,
		                   0,
		                   0 };
	size_t n = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		n += toy_put(to + n, words[i]);
	if (len > 0)
		memcpy(to + n, args, len);
	return n + len;
}

size_t toy_call_word(unsigned char *to, uint32_t xid, uint32_t proc,
                     uint32_t word)
{
	unsigned char arg[4];

	toy_put(arg, word);
	return toy_call(to, xid, proc, arg, sizeof(arg));
}

void toy_ask(int fd, uint32_t xid, uint32_t proc, uint32_t word)
{
	unsigned char call[64];

	toy_send(fd, call, toy_call_word(call, xid, proc, word));
}

/* True: all of it; false: the connection is closed. */
static bool receive_all(int fd, void *to, size_t len)
{
	ssize_t n = recv(fd, to, len, MSG_WAITALL);

	ck_assert_msg(n >= 0 || errno == ECONNRESET, "recv: %s",
	              strerror(errno));
	return n == (ssize_t)len;
}

ssize_t toy_receive(int fd, void *to, size_t size)
{
	unsigned char mark[4];
	uint32_t len;

	if (!receive_all(fd, mark, sizeof(mark)))
		return -1;
	len = toy_word(mark);
	ck_assert_uint_ne(len & 0x80000000u, 0); /* in one fragment */
	len &= 0x7fffffff;
	ck_assert_uint_le(len, size);
	return receive_all(fd, to, len) ? (ssize_t)len : -1;
}

/* The next reply is SUCCESS: the bytes of its results. */
static size_t expect_success(int fd, uint32_t xid, unsigned char *to,
                             size_t size)
{
	const uint32_t header[] = { xid, 1, 0, 0, 0, 0 };
	ssize_t n = toy_receive(fd, to, size);

	ck_assert_int_ge(n, HEADER);
	for (int i = 0; i < 6; i++)
		ck_assert_uint_eq(toy_word(to + 4 * i), header[i]);
	return (size_t)n - HEADER;
}

void toy_expect_done(int fd, uint32_t xid)
{
	unsigned char reply[256];

	ck_assert_uint_eq(expect_success(fd, xid, reply, sizeof(reply)), 0);
}

void toy_expect_word(int fd, uint32_t xid, uint32_t word)
{
	unsigned char reply[256];

	ck_assert_uint_eq(expect_success(fd, xid, reply, sizeof(reply)), 4);
	ck_assert_uint_eq(toy_word(reply + HEADER), word);
}

void toy_expect_blob(int fd, uint32_t xid, size_t n, unsigned char fill)
{
	size_t padded = (n + 3) & ~(size_t)3;
	unsigned char *reply = malloc(HEADER + 4 + padded);

	ck_assert_uint_eq(expect_success(fd, xid, reply, HEADER + 4 + padded),
	                  4 + padded);
	ck_assert_uint_eq(toy_word(reply + HEADER), n);
	for (size_t i = 0; i < n; i++) {
		if (reply[HEADER + 4 + i] != fill)
			ck_abort_msg("byte %zu of %zu is wrong", i, n);
	}
	free(reply);
}

void toy_expect_silence(int fd)
{
	struct pollfd readable = { fd, POLLIN, 0 };

	ck_assert_int_eq(poll(&readable, 1, 100), 0);
}

void toy_expect_closed(int fd)
{
	unsigned char reply[256];

	ck_assert_int_eq(toy_receive(fd, reply, sizeof(reply)), -1);
}

struct toy_who toy_who(int fd)
{
	unsigned char buf[256];
	struct toy_who who;
	size_t n = sizeof(who) / 4;
	uint32_t words[sizeof(who) / 4];

	toy_send(fd, buf, toy_call(buf, 1, TOY_WHO, NULL, 0));
	ck_assert_uint_eq(expect_success(fd, 1, buf, sizeof(buf)), 4 * n);
	for (size_t i = 0; i < n; i++)
		words[i] = toy_word(buf + HEADER + 4 * i);
	memcpy(&who, words, sizeof(who));
	return who;
}
