/*
 * An RPC client for tests: one call at a time over a stream or datagram socket,
 * encoded and decoded by the codecs of rpcgen.
 *
 * A call that cannot be sent, or whose reply does not come within seconds,
 * fails the test; unless the server may end meanwhile: then there is no result.
 * What a reply decodes to belongs to the client, until client_free.
 *
 * The socket, `fd`, may be used directly to send what no client would.
 */
#ifndef VENEER_TESTS_LIB_CLIENT_H
#define VENEER_TESTS_LIB_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <rpc/types.h>
#include <rpc/xdr.h>

/* The largest call and reply that tests deal with. */
#define CLIENT_MAX_BYTES ((1u << 20) + 65536)

struct client_result;

struct client {
	int fd;
	bool datagram;
	bool may_end; /* the server: a test's to set */
	uint32_t xid; /* of the last call */
	/* The credential of the next call. */
	uint32_t flavor; /* AUTH_SYS at first */
	uint32_t uid, gid;
	uint32_t gids[16], ngids;
	/* NFS is called again, for seconds, while it says NFS3ERR_JUKEBOX. */
	bool patient;
	struct client_result *kept;
	/* Of the call at hand, CLIENT_MAX_BYTES each. */
	char *args, *results;
	unsigned char *record;
};

/* How a reply's header ends. */
struct client_reply {
	bool lost; /* the server has ended; nothing else is set */
	bool denied;
	uint32_t stat;      /* accept_stat, or reject_stat */
	uint32_t low, high; /* of versions, or low: auth_stat */
	size_t len;         /* bytes of results */
};

/* A client, root by AUTH_SYS, that uses `fd` and owns it. */
struct client *client_new(int fd);
void client_free(struct client *client); /* NULL is fine */

/* The same user, or another, from the next call on. No groups. */
void client_become(struct client *client, uint32_t uid, uint32_t gid);

/* Send a call with these bytes of arguments. False: the server has ended. */
bool client_send(struct client *client, uint32_t prog, uint32_t vers,
                 uint32_t proc, const void *args, size_t len);

/*
 * Wait for the reply to the call `xid`, which must be the next; its results go
 * to `results` (CLIENT_MAX_BYTES).
 */
struct client_reply client_receive(struct client *client, uint32_t xid,
                                   void *results);

/* Does the server close the connection, within seconds? */
bool client_is_closed(struct client *client);

/* Encode arguments into CLIENT_MAX_BYTES: how many they take. */
size_t client_encode(char *bytes, xdrproc_t encode, const void *args);

/*
 * One call from end to end, which the server must accept. `decode` must find
 * its results well-formed to the last byte. `size` is that of what it decodes
 * to. NULL: the server has ended, and whether it did what was asked is not known.
 */
void *client_call(struct client *client, uint32_t prog, uint32_t vers,
                  uint32_t proc, xdrproc_t encode, const void *args,
                  xdrproc_t decode, size_t size);

/* The same for arguments that are encoded already. */
void *client_call_bytes(struct client *client, uint32_t prog, uint32_t vers,
                        uint32_t proc, const void *args, size_t len,
                        xdrproc_t decode, size_t size);

/* Bytes of results of the last call. */
size_t client_result_bytes(const struct client *client);

#endif
