/*
 * Calls of NFS through libnfs, one at a time, over one connection; and what is
 * taken of their replies. What goes wrong below NFS fails the test.
 */
#ifndef VENEER_TESTS_AGREEMENT_CALL_H
#define VENEER_TESTS_AGREEMENT_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-nfs.h>

#include "tests/agreement/side.h"

/* A file handle that is kept. */
struct handle {
	unsigned len;
	char bytes[NFS3_FHSIZE];
};

/* What came back: the status, and what the procedure has of the rest. */
struct reply {
	bool done;
	int status; /* nfsstat3 */
	struct handle handle;
	struct facts facts;
	struct side_names *names; /* to add to */
	uint64_t cookie;          /* of the last of them */
	char *text;               /* PATH_MAX bytes to fill */
	uint64_t hash;            /* to go on with */
	unsigned len;             /* of the data that went into it */
	uint32_t granted;
	bool eof;
};

/* Connect to this port of 127.0.0.1, and mount the export. */
void call_open(uint16_t port, const char *export, struct handle *root);
void call_close(void);

/* Who calls from now on. */
void call_as(uint32_t uid, uint32_t gid);

/* As an argument; borrows the handle. */
struct nfs_fh3 call_fh(struct handle *handle);

struct rpc_context *call_context(void);
void call_wait(struct reply *reply, int queued);
bool call_again(struct reply *reply);

/* Make a call, until it is answered; 0 or -errno. */
#define CALL(procedure, got, reply, args)                                     \
	({                                                                    \
		do {                                                          \
			call_wait(reply,                                      \
			          rpc_nfs3_##procedure##_async(               \
					  call_context(), got, args, reply)); \
		} while (call_again(reply));                                  \
		nfsstat3_to_errno((reply)->status);                           \
	})

/* What takes a reply, for CALL: `got_status` of any procedure, the others of one. */
void got_status(struct rpc_context *context, int status, void *data, void *arg);
void got_object(struct rpc_context *context, int status, void *data, void *arg);
void got_attributes(struct rpc_context *context, int status, void *data,
                    void *arg);
void got_data(struct rpc_context *context, int status, void *data, void *arg);
void got_target(struct rpc_context *context, int status, void *data, void *arg);
void got_names(struct rpc_context *context, int status, void *data, void *arg);
void got_names_plus(struct rpc_context *context, int status, void *data,
                    void *arg);
void got_access(struct rpc_context *context, int status, void *data, void *arg);

#endif
