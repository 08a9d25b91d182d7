#include "config.h"

#include "tests/bench/drive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define INPUT (256 << 10)
/* xid, reply, accepted, two words of verifier, success, status. */
#define BEGINNING 7
#define MAX_IOV 128

struct line {
	int fd;
	size_t sent;     /* the next to be sent */
	size_t half;     /* bytes of it that went already */
	unsigned flying; /* calls that were sent, and not answered */
	size_t skip;     /* bytes of a reply that are of no interest */
	size_t len;      /* bytes in the input */
	unsigned char *input;
};

struct run {
	const struct target *target;
	const struct calls *calls;
	bool has_status;
	struct line *lines;
	uint64_t *times; /* of sending, then how long it took; nanoseconds */
	bool *in_flight;
	size_t done;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *get_memory(size_t n, size_t size)
{
	void *bytes = calloc(n, size);

	if (!bytes)
		die("load");
	return bytes;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static const char *source; /* NULL: any */

void drive_call_from(const char *address)
{
	source = address;
}

static void bind_to_source(int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	if (source && (inet_pton(AF_INET, source, &address.sin_addr) != 1 ||
	               bind(fd, (struct sockaddr *)&address, sizeof(address))))
		die(source);
}

int drive_connect(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("socket");
	bind_to_source(fd);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* ---- sending -------------------------------------------------------------------- */

/* What is left of it, after `skip` bytes; entries used. */
static int add_call(const struct calls *calls, size_t number, size_t skip,
                    struct iovec *iov)
{
	const struct call *call = &calls->call[number];
	int n = 0;

	if (skip < call->len)
		iov[n++] = (struct iovec){ calls->bytes + call->at + skip,
			                   call->len - skip };
	skip = skip < call->len ? 0 : skip - call->len;
	if (skip < call->data)
		iov[n++] = (struct iovec){ (void *)(calls_data() + skip),
			                   call->data - skip };
	return n;
}

/* `n` bytes have gone. */
static void note_sent(struct run *run, struct line *line, size_t n,
                      uint64_t when)
{
	const struct call *call;

	for (;;) {
		call = &run->calls->call[line->sent];
		if (line->half + n < call->len + call->data) {
			line->half += n;
			return;
		}
		n -= call->len + call->data - line->half;
		line->half = 0;
		run->times[line->sent] = when;
		run->in_flight[line->sent] = true;
		line->flying++;
		line->sent += run->target->connections;
		if (n == 0)
			return;
	}
}

/* As many as may be in flight, and the socket takes. */
static void send_calls(struct run *run, struct line *line)
{
	const unsigned step = run->target->connections;
	size_t end;
	struct iovec iov[MAX_IOV];
	size_t half, number;
	struct msghdr msg;
	uint64_t when;
	ssize_t sent;
	int n;

	while (line->flying < run->target->depth &&
	       line->sent < run->calls->n) {
		end = line->sent +
		      (size_t)(run->target->depth - line->flying) * step;
		n = 0;
		half = line->half;
		for (number = line->sent;
		     number < end && number < run->calls->n && n + 2 <= MAX_IOV;
		     number += step) {
			n += add_call(run->calls, number, half, iov + n);
			half = 0;
		}
		msg = (struct msghdr){ .msg_iov = iov,
			               .msg_iovlen = (size_t)n };
		/* Before: the replies may be there when it returns. */
		when = now();
		sent = sendmsg(line->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			die("send");
		note_sent(run, line, (size_t)sent, when);
	}
}

/* ---- receiving ------------------------------------------------------------------ */

static size_t beginning(const struct run *run)
{
	return (run->has_status ? BEGINNING : BEGINNING - 1) * sizeof(uint32_t);
}

/* The number of the call that it answers. */
static size_t judge(struct run *run, const unsigned char *bytes)
{
	uint32_t words[BEGINNING] = { 0 };
	size_t number;

	memcpy(words, bytes, beginning(run));
	for (unsigned i = 0; i < BEGINNING; i++)
		words[i] = ntohl(words[i]);
	number = words[0];
	if (number >= run->calls->n || !run->in_flight[number] ||
	    words[1] != 1 || words[2] || words[5] || words[6]) {
		fprintf(stderr, "load: reply to %u: %u %u, %u, status %u\n",
		        words[0], words[1], words[2], words[5], words[6]);
		exit(1);
	}
	return number;
}

/* The reply begins, and its beginning is there. */
static void take_reply(struct run *run, struct line *line,
                       const unsigned char *bytes, uint64_t when)
{
	const size_t number = judge(run, bytes);

	run->in_flight[number] = false;
	run->times[number] = when - run->times[number];
	line->flying--;
	run->done++;
}

/* Records in the input; what is not whole stays. */
static void take_input(struct run *run, struct line *line, uint64_t when)
{
	size_t at = 0, len;
	uint32_t mark;

	for (;;) {
		if (line->skip > 0) {
			len = line->len - at;
			if (len > line->skip)
				len = line->skip;
			line->skip -= len;
			at += len;
		}
		if (line->skip > 0 || line->len - at < 4 + beginning(run))
			break;
		memcpy(&mark, line->input + at, sizeof(mark));
		mark = ntohl(mark);
		len = mark & 0x7fffffff;
		if (!(mark >> 31) || len < beginning(run)) {
			fprintf(stderr, "load: a record of %zu bytes\n", len);
			exit(1);
		}
		take_reply(run, line, line->input + at + 4, when);
		at += 4;
		line->skip = len;
	}
	memmove(line->input, line->input + at, line->len - at);
	line->len -= at;
}

static void receive(struct run *run, struct line *line)
{
	ssize_t n;

	/* TCP throws away what goes to no buffer. */
	while (line->skip > INPUT) {
		n = recv(line->fd, NULL, line->skip, MSG_TRUNC | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			die("receive");
		line->skip -= (size_t)n;
	}
	n = recv(line->fd, line->input + line->len, INPUT - line->len,
	         MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("receive");
	line->len += (size_t)n;
	take_input(run, line, now());
}

/* ---- all of them ---------------------------------------------------------------- */

double drive_cpu(pid_t pid)
{
	char path[64], text[1024], *p;
	unsigned long user, system;
	FILE *file;
	size_t n;

	if (pid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		die(path);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	p = strrchr(text, ')');
	if (!p ||
	    sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
	           &user, &system) != 2) {
		fprintf(stderr, "load: %s is not understood\n", path);
		exit(1);
	}
	return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void begin_lines(struct run *run, struct pollfd *fds)
{
	struct line *line;

	for (unsigned i = 0; i < run->target->connections; i++) {
		line = &run->lines[i];
		line->fd = drive_connect(run->target->nfs_port);
		line->input = get_memory(1, INPUT);
		line->sent = i;
		fds[i].fd = line->fd;
	}
}

static void do_all(struct run *run, struct pollfd *fds)
{
	const unsigned lines = run->target->connections;
	struct line *line;

	for (unsigned i = 0; i < lines; i++)
		send_calls(run, &run->lines[i]);
	while (run->done < run->calls->n) {
		for (unsigned i = 0; i < lines; i++)
			fds[i].events =
				run->lines[i].half ? POLLIN | POLLOUT : POLLIN;
		if (poll(fds, lines, 60000) <= 0)
			die("load: the server is silent");
		for (unsigned i = 0; i < lines; i++) {
			line = &run->lines[i];
			if (fds[i].revents & ~POLLOUT)
				receive(run, line);
			if (fds[i].revents)
				send_calls(run, line);
		}
	}
}

double drive_clock(void)
{
	return (double)now() / 1e3;
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void count_latencies(const uint64_t *times, size_t n,
                            size_t latencies[LATENCIES])
{
	unsigned bucket = 0;

	memset(latencies, 0, LATENCIES * sizeof(*latencies));
	for (size_t i = 0; i < n; i++) { /* they are in order */
		while (bucket + 1 < LATENCIES && times[i] >= UINT64_C(1000)
		                                                     << bucket)
			bucket++;
		latencies[bucket]++;
	}
}

struct figures drive(const struct target *target, const struct calls *calls,
                     bool has_status)
{
	struct run run = { .target = target,
		           .calls = calls,
		           .has_status = has_status };
	struct figures figures;
	struct pollfd *fds;
	uint64_t start;
	double cpu;
	int *idle;

	idle = get_memory(target->idle + 1, sizeof(*idle));
	for (unsigned i = 0; i < target->idle; i++)
		idle[i] = drive_connect(target->nfs_port);
	/* That the server takes them does not count. */
	if (target->idle)
		usleep(500000);
	fds = get_memory(target->connections, sizeof(*fds));
	run.lines = get_memory(target->connections, sizeof(*run.lines));
	run.times = get_memory(calls->n, sizeof(*run.times));
	run.in_flight = get_memory(calls->n, sizeof(*run.in_flight));
	begin_lines(&run, fds);
	cpu = drive_cpu(target->pid);
	start = now();
	do_all(&run, fds);
	figures.wall = (double)(now() - start) / 1e3 / (double)calls->n;
	figures.cpu = (drive_cpu(target->pid) - cpu) / (double)calls->n;
	qsort(run.times, calls->n, sizeof(*run.times), compare);
	figures.median = (double)run.times[calls->n / 2] / 1e3;
	figures.p99 = (double)run.times[calls->n - 1 - calls->n / 100] / 1e3;
	count_latencies(run.times, calls->n, figures.latencies);
	for (unsigned i = 0; i < target->idle; i++)
		close(idle[i]);
	free(idle);
	for (unsigned i = 0; i < target->connections; i++) {
		close(run.lines[i].fd);
		free(run.lines[i].input);
	}
	free(run.lines);
	free(run.times);
	free(run.in_flight);
	free(fds);
	return figures;
}

/* ---- one -------------------------------------------------------------------------- */

static void receive_all(int fd, void *bytes, size_t len)
{
	if (recv(fd, bytes, len, MSG_WAITALL) != (ssize_t)len)
		die("receive");
}

size_t drive_one(int fd, const struct calls *calls, void *results, size_t room)
{
	const struct call *call = &calls->call[calls->n - 1];
	uint32_t mark, head[BEGINNING - 1];
	size_t len;

	if (send(fd, calls->bytes + call->at, call->len, MSG_NOSIGNAL) !=
	    (ssize_t)call->len)
		die("send");
	receive_all(fd, &mark, sizeof(mark));
	len = ntohl(mark) & 0x7fffffff;
	if (len < sizeof(head) || len - sizeof(head) > room) {
		fprintf(stderr, "load: a reply of %zu bytes\n", len);
		exit(1);
	}
	receive_all(fd, head, sizeof(head));
	if (head[2] || head[5]) {
		fprintf(stderr, "load: a call was refused\n");
		exit(1);
	}
	receive_all(fd, results, len - sizeof(head));
	return len - sizeof(head);
}
