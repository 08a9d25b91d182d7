#include "config.h"

#include "rpc/msg.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

/* What is left of a message, or of the body of a credential. */
struct reader {
	const unsigned char *at, *end;
};

static bool get(struct reader *in, uint32_t *value)
{
	if (in->end - in->at < (ptrdiff_t)sizeof(*value))
		return false;
	memcpy(value, in->at, sizeof(*value));
	*value = be32toh(*value);
	in->at += sizeof(*value);
	return true;
}

/* Split off the next `len` bytes and their padding. */
static bool get_opaque(struct reader *in, uint32_t len, struct reader *body)
{
	size_t padded = ((size_t)len + 3) & ~(size_t)3;

	if ((size_t)(in->end - in->at) < padded)
		return false;
	if (body)
		*body = (struct reader){ in->at, in->at + len };
	in->at += padded;
	return true;
}

/* The body of an AUTH_SYS credential (RFC 5531, appendix A). */
static bool get_auth_sys(struct reader in, struct orpc_cred *cred)
{
	uint32_t stamp, name_len;

	if (!get(&in, &stamp) || !get(&in, &name_len) ||
	    name_len > MAX_MACHINE_NAME || !get_opaque(&in, name_len, NULL) ||
	    !get(&in, &cred->uid) || !get(&in, &cred->gid) ||
	    !get(&in, &cred->ngids) || cred->ngids > ORPC_MAX_GIDS)
		return false;
	for (uint32_t i = 0; i < cred->ngids; i++) {
		if (!get(&in, &cred->gids[i]))
			return false;
	}
	return true;
}

/* AUTH_OK, or why a credential with this body is refused. */
static enum auth_stat check_cred(const struct reader *body,
                                 struct orpc_cred *cred)
{
	switch (cred->flavor) {
	case AUTH_NONE:
		cred->uid = cred->gid = cred->ngids = 0;
		return AUTH_OK;
	case AUTH_SYS:
		return get_auth_sys(*body, cred) ? AUTH_OK : AUTH_BADCRED;
	default:
		/* A flavor that we do not speak; libtirpc says the same. */
		return AUTH_REJECTEDCRED;
	}
}

enum orpc_verdict orpc_msg_decode(const unsigned char *msg, size_t len,
                                  struct orpc_call *call, size_t *args,
                                  enum auth_stat *why)
{
	struct reader in = { msg, msg + len }, body;
	uint32_t type, rpcvers, cred_len, verf, verf_len;

	if (!get(&in, &call->xid) || !get(&in, &type) || type != CALL ||
	    !get(&in, &rpcvers))
		return ORPC_MSG_GARBAGE;
	if (rpcvers != RPC_MSG_VERSION)
		return ORPC_MSG_MISMATCH;
	if (!get(&in, &call->prog) || !get(&in, &call->vers) ||
	    !get(&in, &call->proc) || !get(&in, &call->cred.flavor) ||
	    !get(&in, &cred_len))
		return ORPC_MSG_GARBAGE;

	*why = AUTH_BADCRED;
	if (cred_len > MAX_AUTH_BYTES)
		return ORPC_MSG_AUTH_ERROR;
	if (!get_opaque(&in, cred_len, &body) || !get(&in, &verf) ||
	    !get(&in, &verf_len))
		return ORPC_MSG_GARBAGE;
	*why = AUTH_BADVERF;
	if (verf_len > MAX_AUTH_BYTES)
		return ORPC_MSG_AUTH_ERROR;
	if (!get_opaque(&in, verf_len, NULL))
		return ORPC_MSG_GARBAGE;

	*args = (size_t)(in.at - msg);
	*why = check_cred(&body, &call->cred);
	return *why == AUTH_OK ? ORPC_MSG_CALL : ORPC_MSG_AUTH_ERROR;
}

static size_t put_words(unsigned char *to, const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t word = htobe32(words[i]);

		memcpy(to + 4 * i, &word, sizeof(word));
	}
	return 4 * n;
}

size_t orpc_msg_accepted(unsigned char *to, uint32_t xid,
                         enum accept_stat state)
{
	/* The verifier of a server without one: AUTH_NONE, empty. */
	uint32_t words[] = { xid, REPLY, MSG_ACCEPTED, AUTH_NONE, 0, state };

	return put_words(to, words, 6);
}

size_t orpc_msg_prog_mismatch(unsigned char *to, uint32_t xid, uint32_t low,
                              uint32_t high)
{
	size_t len = orpc_msg_accepted(to, xid, PROG_MISMATCH);
	uint32_t range[] = { low, high };

	return len + put_words(to + len, range, 2);
}

size_t orpc_msg_rpc_mismatch(unsigned char *to, uint32_t xid)
{
	uint32_t words[] = { xid,          REPLY,           MSG_DENIED,
		             RPC_MISMATCH, RPC_MSG_VERSION, RPC_MSG_VERSION };

	return put_words(to, words, 6);
}

size_t orpc_msg_auth_error(unsigned char *to, uint32_t xid, enum auth_stat why)
{
	uint32_t words[] = { xid, REPLY, MSG_DENIED, AUTH_ERROR, why };

	return put_words(to, words, 5);
}
