#include "config.h"

#include "tests/crash/link.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <rpc/rpc.h>

#include "server/mount_prot.h"

#define TIMEOUT_SECONDS 30
#define MAX_BYTES (256u << 10)
#define LAST_FRAGMENT 0x80000000u
/* Words before the arguments of a call: of the record, the header, AUTH_SYS. */
#define CALL_WORDS 16
/* And before the results of one that was accepted. */
#define REPLY_WORDS 6

struct crash_link {
	int fd;
	uint32_t xid;
	char *bytes; /* MAX_BYTES, of the call or its reply */
};

#define PROC(name)                                          \
	[NFSPROC3_##name] = { (xdrproc_t)xdr_##name##3args, \
		              (xdrproc_t)xdr_##name##3res,  \
		              sizeof(name##3res) }

static const struct proc {
	xdrproc_t args, res;
	size_t size;
} procs[] = {
	PROC(GETATTR), PROC(SETATTR), PROC(LOOKUP),  PROC(READLINK),
	PROC(READ),    PROC(WRITE),   PROC(CREATE),  PROC(MKDIR),
	PROC(SYMLINK), PROC(MKNOD),   PROC(REMOVE),  PROC(RMDIR),
	PROC(RENAME),  PROC(LINK),    PROC(READDIR), PROC(COMMIT),
};

struct crash_link *crash_link_new(uint16_t port)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct crash_link *link = calloc(1, sizeof(*link));
	struct timespec now;
	int one = 1;

	if (!link)
		return NULL;
	link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	link->bytes = malloc(MAX_BYTES);
	/* Not another's from this address: it would be taken for that one's. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	link->xid = (uint32_t)now.tv_nsec * 2654435761u;
	if (link->fd < 0 || !link->bytes ||
	    connect(link->fd, (struct sockaddr *)&address, sizeof(address))) {
		crash_link_free(link);
		return NULL;
	}
	setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
	           sizeof(timeout));
	setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return link;
}

void crash_link_free(struct crash_link *link)
{
	if (!link)
		return;
	if (link->fd >= 0)
		close(link->fd);
	free(link->bytes);
	free(link);
}

static bool send_call(struct crash_link *link, uint32_t prog, uint32_t proc,
                      xdrproc_t encode, const void *args)
{
	const uint32_t head[CALL_WORDS] = {
		0,
		++link->xid,
		CALL,
		RPC_MSG_VERSION,
		prog,
		3,
		proc,
		/* Stamp, machine's name, user, group, groups. */
		AUTH_SYS,
		20,
		0,
		0,
		0,
		0,
		0,
		AUTH_NONE,
		0,
	};
	uint32_t *words = (uint32_t *)(void *)link->bytes;
	size_t len;
	XDR xdr;

	for (unsigned i = 0; i < CALL_WORDS; i++)
		words[i] = htonl(head[i]);
	xdrmem_create(&xdr, link->bytes + sizeof(head),
	              MAX_BYTES - sizeof(head), XDR_ENCODE);
	if (!encode(&xdr, args))
		return false;
	len = sizeof(head) + xdr_getpos(&xdr);
	words[0] = htonl(LAST_FRAGMENT | (uint32_t)(len - 4));
	return send(link->fd, link->bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool receive(struct crash_link *link, void *to, size_t len)
{
	return recv(link->fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static bool receive_reply(struct crash_link *link, xdrproc_t decode, void *res)
{
	uint32_t words[REPLY_WORDS], mark, len;
	XDR xdr;

	if (!receive(link, &mark, sizeof(mark)))
		return false;
	len = ntohl(mark) & ~LAST_FRAGMENT;
	if (len < sizeof(words) || len > MAX_BYTES ||
	    !receive(link, link->bytes, len))
		return false;
	memcpy(words, link->bytes, sizeof(words));
	/* XID, REPLY, MSG_ACCEPTED, no verifier, SUCCESS. */
	if (ntohl(words[0]) != link->xid || ntohl(words[2]) != MSG_ACCEPTED ||
	    ntohl(words[5]) != SUCCESS)
		return false;
	xdrmem_create(&xdr, link->bytes + sizeof(words),
	              len - (uint32_t)sizeof(words), XDR_DECODE);
	return decode(&xdr, res);
}

bool crash_link_call(struct crash_link *link, uint32_t proc, const void *args,
                     void *res)
{
	const struct timespec a_while = { .tv_nsec = 20000000 };
	const struct proc *codec = &procs[proc];

	for (;;) {
		nfsstat3 status;

		memset(res, 0, codec->size);
		if (!send_call(link, NFS_PROGRAM, proc, codec->args, args) ||
		    !receive_reply(link, codec->res, res))
			return false;
		/* It comes first in every result. */
		memcpy(&status, res, sizeof(status));
		if (status != NFS3ERR_JUKEBOX)
			return true;
		crash_link_done(proc, res);
		nanosleep(&a_while, NULL);
	}
}

void crash_link_done(uint32_t proc, void *res)
{
	xdr_free(procs[proc].res, res);
}

bool crash_link_mount(struct crash_link *link, const char *path,
                      char root[CRASH_HANDLE_BYTES])
{
	const fhandle3 *fh;
	mountres3 res = { 0 };
	dirpath args = (char *)path;
	bool good;

	good = send_call(link, MOUNT_PROGRAM, MOUNTPROC3_MNT,
	                 (xdrproc_t)xdr_dirpath, &args) &&
	       receive_reply(link, (xdrproc_t)xdr_mountres3, &res) &&
	       res.fhs_status == MNT3_OK;
	fh = &res.mountres3_u.mountinfo.fhandle;
	good = good && fh->fhandle3_len == CRASH_HANDLE_BYTES;
	if (good)
		memcpy(root, fh->fhandle3_val, CRASH_HANDLE_BYTES);
	xdr_free((xdrproc_t)xdr_mountres3, &res);
	return good;
}
