/*
 * ONC RPC version 2 (RFC 5531) server over TCP and UDP: what a program sees.
 *
 * A program is a table of versions, each a table of procedures. The server
 * turns bytes into calls, hands each to its procedure, and turns the results
 * into bytes. It knows nothing of any program.
 *
 * Life cycle: orpc_server_new, any number of orpc_server_listen,
 * orpc_server_start, any number of orpc_server_adopt, orpc_server_stop,
 * orpc_server_free.
 *
 * Threads: one event loop a CPU, each owning its connections, and a pool. A
 * procedure is called on a loop first, with may_wait false: it answers from
 * memory, or returns ORPC_WAIT without having changed anything. Then the same
 * procedure is called again in the pool, with may_wait true. So a procedure
 * runs in many threads at once, and its own state needs its own locks.
 *
 * Errors of the functions below are negative errno values.
 */
#ifndef VENEER_RPC_ORPC_H
#define VENEER_RPC_ORPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <rpc/types.h>
#include <rpc/xdr.h>

/* Results that a procedure may encode without orpc_call_reserve, in bytes. */
#define ORPC_RESULTS_MIN 8192

/* Group ids that AUTH_SYS carries at most (RFC 5531, appendix A). */
#define ORPC_MAX_GIDS 16

/* Who calls, as the call says (AUTH_SYS), or nobody (AUTH_NONE). */
struct orpc_cred {
	uint32_t flavor; /* AUTH_NONE or AUTH_SYS */
	uint32_t uid;    /* AUTH_SYS only, as the four below */
	uint32_t gid;
	uint32_t ngids;
	uint32_t gids[ORPC_MAX_GIDS];
};

/*
 * One call, lent to a procedure while it runs. `args` decodes what the caller
 * sent, in place: xdr_inline points into the receive buffer, and stays good
 * until the procedure returns. `results` encodes the answer straight into the
 * reply. Both are xdrmem streams, so rpcgen's codecs and xdr_inline mix; in
 * `results`, xdr_getpos counts from the first byte of the results.
 */
struct orpc_call {
	uint32_t xid, prog, vers, proc;
	struct orpc_cred cred;
	const struct sockaddr *peer; /* AF_INET, AF_INET6 or AF_UNIX */
	bool may_wait;               /* in the pool: disk waits are allowed */
	bool datagram;               /* it came by UDP */
	size_t max_results;          /* what its reply can hold, */
	size_t usual_results; /* and others of this transport: where memory is
	                         short it may be less for once */
	XDR args;
	XDR results;
};

enum orpc_status {
	ORPC_DONE,         /* the results are encoded */
	ORPC_WAIT,         /* nothing done: call again in the pool */
	ORPC_GARBAGE_ARGS, /* the arguments do not decode */
	ORPC_SYSTEM_ERR,   /* no memory, or the like (RFC 5531: SYSTEM_ERR) */
	ORPC_AUTH_ERROR,   /* credential refused: MSG_DENIED, AUTH_TOOWEAK */
	ORPC_NOT_NOW,      /* the results are encoded; they say that nothing was
	                      done, and that the client should come again */
};

/*
 * `arg` is the program's. On all but ORPC_DONE and ORPC_NOT_NOW what was encoded
 * is void.
 */
typedef enum orpc_status orpc_proc_fn(struct orpc_call *call, void *arg);

/*
 * Make room for `size` bytes of results, ORPC_RESULTS_MIN being there already.
 * Only before anything is encoded. 0, -EMSGSIZE (more than max_results) or
 * -ENOMEM.
 */
int orpc_call_reserve(struct orpc_call *call, size_t size);

/*
 * Where the last `size` bytes of the results, a file's data, may be spliced to
 * instead of encoded (splice(2)): the end of an empty pipe that takes so many, if they
 * begin at the start of a page. -1: encode them. Only once in a call.
 * orpc_call_piped says how many are there; XDR's padding is put behind them. False:
 * there are none, or they do not go that way, and no pipe is wanted any more. With 0
 * they are taken back, as a failure has to that is encoded after all.
 */
#define ORPC_PIPE_LEAST (128u << 10) /* less is copied as fast */
int orpc_call_pipe(struct orpc_call *call, size_t size);
bool orpc_call_piped(struct orpc_call *call, size_t len);

/*
 * For a client that sends its call again a procedure is carried out again, or
 * only once (replay.h): then what it has said is kept, but with ORPC_NOT_NOW,
 * and its results have ORPC_RESULTS_MIN bytes at most.
 */
enum orpc_repeat {
	ORPC_AGAIN,
	ORPC_ONCE,
};

struct orpc_proc {
	const char *name; /* for logs and statistics */
	orpc_proc_fn *fn; /* NULL: PROC_UNAVAIL */
	enum orpc_repeat repeat;
};

struct orpc_version {
	uint32_t vers;
	const struct orpc_proc
		*procs; /* by number; 0 is NULL, as RFC 5531 asks */
	uint32_t nprocs;
};

struct orpc_program {
	uint32_t prog;
	const char *name;
	const struct orpc_version *versions; /* ascending */
	size_t nversions;
	void *arg; /* handed to each procedure */
};

/* Levels of log lines, as syslog(3) numbers them. */
typedef void orpc_log_fn(void *arg, int level, const char *line);

/* Each bound has a default, taken where the field is 0. */
struct orpc_config {
	unsigned threads;         /* event loops (one a CPU) */
	unsigned workers;         /* threads in the pool (16) */
	unsigned max_connections; /* over all loops (1024) */
	size_t max_record;        /* bytes of a call (1 MiB + 64 KiB) */
	size_t max_results;     /* bytes of results over TCP (1 MiB + 64 KiB) */
	size_t max_datagram;    /* bytes of results over UDP (32 KiB) */
	size_t max_brief;       /* that will do for each procedure where memory
	                             is short, 32 KiB at most; then calls of some
	                             KiB are answered all the same (0: none) */
	size_t max_queued;      /* reply bytes waiting on one connection before
	                             it is no longer read from (4 MiB) */
	size_t max_bytes;       /* of records and replies in memory, over all
	                             connections, divided among the loops
	                             (256 MiB, or what the loops need) */
	unsigned stuck_ms;      /* that a connection may hold memory without
	                             going on while others wait for it (2000) */
	unsigned max_inflight;  /* calls of one connection in the pool (64) */
	unsigned max_pending;   /* calls in the pool, over all (1024); as many
	                          more may wait for one that is there already */
	size_t max_replies;     /* kept for calls that come again (65536), */
	size_t max_reply_bytes; /* and bytes that these take (32 MiB) */
	orpc_log_fn *log;       /* NULL: silent */
	void *log_arg;
};

struct orpc_stats {
	uint64_t calls;         /* answered, whatever the answer */
	uint64_t pooled;        /* of which went to the pool */
	uint64_t accepted;      /* connections, ever */
	uint64_t connections;   /* now */
	uint64_t closed_idle;   /* given up for a newcomer */
	uint64_t closed_broken; /* closed for what they sent */
	uint64_t closed_stuck;  /* that others waited for */
	uint64_t waits;         /* of a connection for memory */
	uint64_t buffer_bytes;  /* of records and replies, now */
	uint64_t spare_bytes;   /* of buffers kept for the next ones */
	uint64_t dropped; /* datagrams that were no call, or found no room */
	/* Of procedures that run once: calls that came again, and got the reply
	 * of the first, or waited for it; and those that were the first. */
	uint64_t replay_hits, replay_joins, replay_misses;
	uint64_t replay_entries, replay_bytes; /* kept, now */
};

struct orpc_server;

/*
 * A server of `n` programs (the array is copied, the tables are borrowed and
 * must outlive it). 0, -EINVAL (two programs of one number, or a bound that
 * the protocol cannot hold), -ENOBUFS (max_bytes is too little for that many
 * loops, records and results of that length), or -errno.
 */
int orpc_server_new(const struct orpc_config *config,
                    const struct orpc_program *programs, size_t n,
                    struct orpc_server **server);

/*
 * Listen on a numeric IPv4 or IPv6 address, by TCP and by UDP, on one port.
 * Port 0 picks one that is free for both. `*port` is what came of it. IPv6
 * sockets take IPv6 only. Before orpc_server_start. 0, -EINVAL (no numeric
 * address), -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EBUSY (it is started), ...
 */
int orpc_server_listen(struct orpc_server *server, const char *address,
                       uint16_t *port);

/*
 * Serve a connected stream socket, such as one end of a socketpair(2). Takes
 * `fd`, which is closed even on failure. 0 or -EINVAL (it does not run).
 */
int orpc_server_adopt(struct orpc_server *server, int fd);

/* Start the threads. 0 or -errno (then none runs). */
int orpc_server_start(struct orpc_server *server);

/*
 * Accept and read nothing more, finish the calls in flight however long they
 * take, send their replies (to clients that take them within `timeout_ms`), end
 * the threads. It cannot be started again.
 */
void orpc_server_stop(struct orpc_server *server, int timeout_ms);

/* Stops first, where it still runs. NULL is fine. */
void orpc_server_free(struct orpc_server *server);

void orpc_server_stats(struct orpc_server *server, struct orpc_stats *stats);

#endif
