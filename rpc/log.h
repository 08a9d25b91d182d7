/*
 * Log lines of the transport: about what others cause, so never often.
 */
#ifndef VENEER_RPC_LOG_H
#define VENEER_RPC_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "rpc/orpc.h"

/* A line of each kind appears once a minute at most, in the whole server. */
enum orpc_log_kind {
	ORPC_LOG_RECORD,  /* a connection closed for its record marking */
	ORPC_LOG_GARBAGE, /* a connection closed for what was no call */
	ORPC_LOG_FULL,    /* at the bound of connections */
	ORPC_LOG_ACCEPT,  /* no descriptor or memory for a connection */
	ORPC_LOG_MEMORY,  /* a connection closed for want of memory */
	ORPC_LOG_STUCK,   /* one closed that others wait for */
	ORPC_LOG_KINDS,
};

struct orpc_log {
	orpc_log_fn *fn;
	void *arg;
	_Atomic uint64_t next_ms[ORPC_LOG_KINDS]; /* not again before this */
};

void orpc_log_init(struct orpc_log *log, orpc_log_fn *fn, void *arg);

/* At LOG_NOTICE. Any thread may call it. */
__attribute__((format(printf, 3, 4))) void
orpc_log_seldom(struct orpc_log *log, enum orpc_log_kind kind,
                const char *format, ...);

/* "192.0.2.1 port 700", for such a line. */
#define ORPC_PEER_TEXT 80
void orpc_log_peer(const struct sockaddr *peer, char text[ORPC_PEER_TEXT]);

#endif
