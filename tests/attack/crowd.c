#include "config.h"

#include "tests/attack/crowd.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/nfs.h"

/* What the test has open beside the crowd. */
#define OTHER_FILES 64u
#define HEADER_BYTES 64u

void crowd_init(struct crowd *crowd, const struct daemon *daemon, unsigned n)
{
	*crowd = (struct crowd){ .daemon = daemon, .n = n };
	crowd->members = calloc(n, sizeof(*crowd->members));
	ck_assert_ptr_nonnull(crowd->members);
	for (unsigned i = 0; i < n; i++)
		crowd->members[i].fd = -1;
}

static void leave(struct crowd *crowd, unsigned i)
{
	if (crowd->members[i].fd >= 0)
		close(crowd->members[i].fd);
	crowd->members[i] = (struct crowd_member){ .fd = -1 };
}

void crowd_release(struct crowd *crowd)
{
	for (unsigned i = 0; i < crowd->n; i++)
		leave(crowd, i);
	free(crowd->members);
}

bool crowd_connect(struct crowd *crowd, unsigned i)
{
	/* Connecting waits, but not for ever. */
	const struct timeval patience = { .tv_usec = 200000 };
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons(crowd->daemon->port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd;

	if (crowd->members[i].fd >= 0)
		return true;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (crowd->receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &crowd->receive_buffer,
		           sizeof(crowd->receive_buffer));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		return false;
	}
	crowd->members[i] = (struct crowd_member){ .fd = fd };
	return true;
}

/* Closed by the server, or only not ready? */
static void note_error(struct crowd *crowd, unsigned i)
{
	if (errno != EAGAIN && errno != EINTR)
		leave(crowd, i);
}

size_t crowd_send(struct crowd *crowd, unsigned i, const void *bytes,
                  size_t len, size_t most)
{
	struct crowd_member *member = &crowd->members[i];
	size_t all = 0;

	while (member->fd >= 0 && all < most) {
		size_t at = member->sent % len, size = len - at;
		ssize_t n;

		if (size > most - all)
			size = most - all;
		n = send(member->fd, (const char *)bytes + at, size,
		         MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			note_error(crowd, i);
			break;
		}
		member->sent += (size_t)n;
		all += (size_t)n;
	}
	return all;
}

size_t crowd_receive(struct crowd *crowd, unsigned i)
{
	struct crowd_member *member = &crowd->members[i];
	char bytes[65536];
	size_t all = 0;

	while (member->fd >= 0) {
		ssize_t n =
			recv(member->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0)
			leave(crowd, i);
		else if (n < 0)
			note_error(crowd, i);
		if (n <= 0)
			break;
		all += (size_t)n;
	}
	return all;
}

unsigned crowd_limit(unsigned wanted)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_gt(limit.rlim_cur, OTHER_FILES);
	if (limit.rlim_cur - OTHER_FILES < wanted)
		wanted = (unsigned)(limit.rlim_cur - OTHER_FILES);
	return wanted;
}

/* ---- calls ----------------------------------------------------------------- */

unsigned char *crowd_record(uint32_t proc, const void *args, size_t *len)
{
	static const uint32_t sys[] = { AUTH_SYS, 20, 0, 0, 0, 0, 0 };
	unsigned char *record = malloc(HEADER_BYTES + CLIENT_MAX_BYTES);
	uint32_t head[16];
	unsigned n = 0;

	ck_assert_ptr_nonnull(record);
	*len = nfs_encode((char *)record + HEADER_BYTES, proc, args);
	*len += HEADER_BYTES;
	head[n++] = 0x80000000u | (uint32_t)(*len - 4);
	head[n++] = 1; /* xid */
	head[n++] = CALL;
	head[n++] = RPC_MSG_VERSION;
	head[n++] = NFS_PROGRAM;
	head[n++] = NFS_V3;
	head[n++] = proc;
	for (unsigned i = 0; i < sizeof(sys) / sizeof(sys[0]); i++)
		head[n++] = sys[i];
	head[n++] = AUTH_NONE;
	head[n++] = 0;
	ck_assert_uint_eq(n * sizeof(head[0]), HEADER_BYTES);
	for (unsigned i = 0; i < n; i++)
		head[i] = htonl(head[i]);
	memcpy(record, head, HEADER_BYTES);
	return record;
}
