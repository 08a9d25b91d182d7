/*
 * Call and reply headers (RFC 5531, section 9): the one place that decodes a
 * call and builds every accepted and denied state of a reply.
 *
 * The functions are pure. The encoders write into `to`, which has room for
 * ORPC_REPLY_MAX bytes, and return how many they wrote.
 */
#ifndef VENEER_RPC_MSG_H
#define VENEER_RPC_MSG_H

#include <stddef.h>
#include <stdint.h>
#include <rpc/rpc.h>

#include "rpc/orpc.h"

/* An accepted reply, up to its results; and the longest without any. */
#define ORPC_REPLY_HEADER 24
#define ORPC_REPLY_MAX 32

enum orpc_verdict {
	ORPC_MSG_CALL,       /* to be looked up in the program tables */
	ORPC_MSG_GARBAGE,    /* no call: nothing can be answered */
	ORPC_MSG_MISMATCH,   /* a call of another RPC version */
	ORPC_MSG_AUTH_ERROR, /* credential or verifier refused */
};

/*
 * Decode a call into xid, prog, vers, proc and cred of `call`. On ORPC_MSG_CALL
 * `*args` is where the arguments begin; on ORPC_MSG_AUTH_ERROR `*why` is set;
 * on all but ORPC_MSG_GARBAGE the xid.
 */
enum orpc_verdict orpc_msg_decode(const unsigned char *msg, size_t len,
                                  struct orpc_call *call, size_t *args,
                                  enum auth_stat *why);

/* MSG_ACCEPTED with this state: SUCCESS, PROG_UNAVAIL, PROC_UNAVAIL, ... */
size_t orpc_msg_accepted(unsigned char *to, uint32_t xid,
                         enum accept_stat state);

/* MSG_ACCEPTED, PROG_MISMATCH: the program's versions are low to high. */
size_t orpc_msg_prog_mismatch(unsigned char *to, uint32_t xid, uint32_t low,
                              uint32_t high);

/* MSG_DENIED, RPC_MISMATCH: version 2 alone. */
size_t orpc_msg_rpc_mismatch(unsigned char *to, uint32_t xid);

/* MSG_DENIED, AUTH_ERROR. */
size_t orpc_msg_auth_error(unsigned char *to, uint32_t xid, enum auth_stat why);

#endif
