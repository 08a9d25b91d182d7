#include "config.h"

#include "tests/lib/client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <rpc/rpc.h>

#define TIMEOUT_SECONDS 20
#define LAST_FRAGMENT 0x80000000u

/* libcheck's own assertions write a mark each, also where they hold, and suites
 * make calls by the million. */
#define MUST(expr, ...)                            \
	do {                                       \
		if (!(expr))                       \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/*
 * libtirpc throws padding away into a static buffer that nobody reads: no race
 * worth a report of ThreadSanitizer, which asks here.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:libtirpc.so";
}

/* What a call decoded to, to be freed at the end. */
struct client_result {
	struct client_result *next;
	xdrproc_t decode;
	size_t bytes; /* on the wire */
	void *value;
};

struct client *client_new(int fd)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	struct client *client = calloc(1, sizeof(*client));
	int type = 0;
	socklen_t len = sizeof(type);

	ck_assert_ptr_nonnull(client);
	client->args = malloc(CLIENT_MAX_BYTES);
	client->results = malloc(CLIENT_MAX_BYTES);
	client->record = malloc(CLIENT_MAX_BYTES);
	ck_assert(client->args && client->results && client->record);
	client->fd = fd;
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len), 0);
	client->datagram = type == SOCK_DGRAM;
	/* No client's calls are another's that come again. */
	ck_assert_int_eq(getrandom(&client->xid, sizeof(client->xid), 0),
	                 sizeof(client->xid));
	client->flavor = AUTH_SYS;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	return client;
}

void client_free(struct client *client)
{
	if (client == NULL)
		return;
	while (client->kept != NULL) {
		struct client_result *result = client->kept;

		client->kept = result->next;
		xdr_free(result->decode, result->value);
		free(result->value);
		free(result);
	}
	close(client->fd);
	free(client->args);
	free(client->results);
	free(client->record);
	free(client);
}

void client_become(struct client *client, uint32_t uid, uint32_t gid)
{
	client->flavor = AUTH_SYS;
	client->uid = uid;
	client->gid = gid;
	client->ngids = 0;
}

/* ---- sending ------------------------------------------------------------ */

static void put(unsigned char **p, uint32_t value)
{
	value = htonl(value);
	memcpy(*p, &value, 4);
	*p += 4;
}

static void put_credential(struct client *client, unsigned char **p)
{
	put(p, client->flavor);
	if (client->flavor != AUTH_SYS) {
		put(p, 0);
		return;
	}
	put(p, 4 * (6 + client->ngids));
	put(p, 0); /* stamp */
	put(p, 4); /* machine */
	memcpy(*p, "test", 4);
	*p += 4;
	put(p, client->uid);
	put(p, client->gid);
	put(p, client->ngids);
	for (uint32_t i = 0; i < client->ngids; i++)
		put(p, client->gids[i]);
}

static bool is_end(int err)
{
	return err == EPIPE || err == ECONNRESET;
}

/* False: the server has ended, and may. */
static bool send_all(struct client *client, const unsigned char *bytes,
                     size_t len)
{
	while (len > 0) {
		ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && client->may_end && is_end(errno))
			return false;
		MUST(n > 0, "send: %s", strerror(errno));
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

bool client_send(struct client *client, uint32_t prog, uint32_t vers,
                 uint32_t proc, const void *args, size_t len)
{
	unsigned char *record = malloc(512 + len), *p = record + 4;
	bool sent;

	MUST(record != NULL, "no memory");
	put(&p, ++client->xid);
	put(&p, CALL);
	put(&p, RPC_MSG_VERSION);
	put(&p, prog);
	put(&p, vers);
	put(&p, proc);
	put_credential(client, &p);
	put(&p, AUTH_NONE); /* verifier */
	put(&p, 0);
	if (len > 0)
		memcpy(p, args, len);
	p += len;

	len = (size_t)(p - record);
	p = record;
	put(&p, LAST_FRAGMENT | (uint32_t)(len - 4));
	if (client->datagram)
		sent = send_all(client, p, len - 4);
	else
		sent = send_all(client, record, len);
	free(record);
	return sent;
}

/* ---- receiving ---------------------------------------------------------- */

static bool receive_all(struct client *client, unsigned char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(client->fd, bytes, len, 0);

		/* With a timeout, a debugger that looks on is enough. */
		if (n < 0 && errno == EINTR)
			continue;
		if (client->may_end && (n == 0 || (n < 0 && is_end(errno))))
			return false;
		MUST(n != 0, "connection closed");
		MUST(n > 0, "receive: %s", strerror(errno));
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static uint32_t get(const unsigned char **p)
{
	uint32_t value;

	memcpy(&value, *p, 4);
	*p += 4;
	return ntohl(value);
}

static size_t receive_datagram(int fd, unsigned char *record)
{
	ssize_t n = recv(fd, record, CLIENT_MAX_BYTES, 0);

	MUST(n > 0, "receive: %s", strerror(errno));
	return (size_t)n;
}

/* A record of any number of fragments; 0: the server has ended, and may. */
static size_t receive_record(struct client *client, unsigned char *record)
{
	uint32_t mark = 0;
	size_t len = 0;

	while ((mark & LAST_FRAGMENT) == 0) {
		unsigned char header[4];
		const unsigned char *p = header;

		if (!receive_all(client, header, sizeof(header)))
			return 0;
		mark = get(&p);
		MUST(len + (mark & ~LAST_FRAGMENT) <= CLIENT_MAX_BYTES,
		     "a record of more than %u bytes", CLIENT_MAX_BYTES);
		if (!receive_all(client, record + len, mark & ~LAST_FRAGMENT))
			return 0;
		len += mark & ~LAST_FRAGMENT;
	}
	return len;
}

struct client_reply client_receive(struct client *client, uint32_t xid,
                                   void *results)
{
	unsigned char *record = client->record;
	const unsigned char *p = record;
	struct client_reply reply = { 0 };
	size_t len;

	len = client->datagram ? receive_datagram(client->fd, record)
	                       : receive_record(client, record);
	if (client->may_end && len == 0) {
		reply.lost = true;
		return reply;
	}
	MUST(len >= 20, "a reply of %zu bytes", len);
	MUST(get(&p) == xid, "the reply to another call");
	MUST(get(&p) == REPLY, "no reply");
	reply.denied = get(&p) != MSG_ACCEPTED;
	if (!reply.denied) {
		get(&p); /* flavor of the verifier */
		MUST(get(&p) == 0, "the verifier has a body");
	}
	reply.stat = get(&p);
	if ((!reply.denied && reply.stat == PROG_MISMATCH) ||
	    (reply.denied && reply.stat == RPC_MISMATCH)) {
		reply.low = get(&p);
		reply.high = get(&p);
	} else if (reply.denied) {
		reply.low = get(&p);
	}
	reply.len = len - (size_t)(p - record);
	if (results != NULL)
		memcpy(results, p, reply.len);
	return reply;
}

bool client_is_closed(struct client *client)
{
	struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
	char byte;

	if (poll(&poll_fd, 1, TIMEOUT_SECONDS * 1000) != 1)
		return false;
	return recv(client->fd, &byte, 1, MSG_PEEK) <= 0;
}

/* ---- calls from end to end ---------------------------------------------- */

void *client_call_bytes(struct client *client, uint32_t prog, uint32_t vers,
                        uint32_t proc, const void *args, size_t len,
                        xdrproc_t decode, size_t size)
{
	struct client_result *result;
	struct client_reply reply = { 0 };
	XDR xdr;

	reply.lost = !client_send(client, prog, vers, proc, args, len);
	if (!reply.lost)
		reply = client_receive(client, client->xid, client->results);
	if (reply.lost)
		return NULL;
	MUST(!reply.denied && reply.stat == SUCCESS,
	     "program %u procedure %u: %s, %u", prog, proc,
	     reply.denied ? "denied" : "not done", reply.stat);
	result = calloc(1, sizeof(*result));
	MUST(result != NULL, "no memory");
	result->decode = decode;
	result->value = calloc(1, size == 0 ? 1 : size);
	MUST(result->value != NULL, "no memory");
	result->next = client->kept;
	client->kept = result;
	result->bytes = reply.len;
	xdrmem_create(&xdr, client->results, (u_int)reply.len, XDR_DECODE);
	MUST(decode(&xdr, result->value),
	     "program %u procedure %u: results are garbage", prog, proc);
	MUST(xdr_getpos(&xdr) == reply.len, "bytes after the results");
	return result->value;
}

size_t client_encode(char *bytes, xdrproc_t encode, const void *args)
{
	/* ThreadSanitizer takes all of the room for written, a megabyte a call. */
	const size_t len = xdr_sizeof(encode, (void *)args);
	XDR xdr;

	MUST(len <= CLIENT_MAX_BYTES, "%zu bytes of arguments", len);
	xdrmem_create(&xdr, bytes, (u_int)len, XDR_ENCODE);
	MUST(encode(&xdr, args), "arguments cannot be encoded");
	return len;
}

void *client_call(struct client *client, uint32_t prog, uint32_t vers,
                  uint32_t proc, xdrproc_t encode, const void *args,
                  xdrproc_t decode, size_t size)
{
	const size_t len = client_encode(client->args, encode, args);

	return client_call_bytes(client, prog, vers, proc, client->args, len,
	                         decode, size);
}

size_t client_result_bytes(const struct client *client)
{
	return client->kept->bytes;
}
