/*
 * From a record to a reply: decode the call, find its procedure, run it, and
 * encode what came of it.
 *
 * A request is a call on its way, with the buffers of both ends. It is run on
 * a loop first (orpc_request_begin), mostly on the stack; where the procedure
 * wants to wait, the owner copies the request to the heap, gives it a reply
 * buffer of its own, and lets a worker run it again (orpc_request_finish).
 *
 * A call of a procedure that runs once is looked for in the duplicate request
 * cache (replay.h) by orpc_request_begin, between the decoding and the procedure.
 */
#ifndef VENEER_RPC_CALL_H
#define VENEER_RPC_CALL_H

#include <stddef.h>

#include "rpc/buf.h"
#include "rpc/msg.h"
#include "rpc/orpc.h"
#include "rpc/pipe.h"
#include "rpc/record.h"
#include "rpc/replay.h"

/* What a reply needs without orpc_call_reserve, record mark and header too. */
#define ORPC_REPLY_OVERHEAD (ORPC_MARK_SIZE + ORPC_REPLY_HEADER)
#define ORPC_REPLY_ROOM (ORPC_REPLY_OVERHEAD + ORPC_RESULTS_MIN)

struct orpc_programs {
	const struct orpc_program *list;
	size_t n;
};

struct orpc_request {
	struct orpc_call call; /* what the procedure sees */
	const struct orpc_proc *proc;
	void *arg;
	unsigned char *args; /* in the record, and how many bytes */
	size_t args_len;
	struct orpc_replays *replays; /* NULL: each call is the first */
	struct orpc_replay *replay;   /* this one there, while it runs */
	struct orpc_bufs *bufs;       /* the store of the loop */
	struct orpc_buf *out;         /* the reply goes to out->data + at, */
	size_t at;                    /* with room for ORPC_REPLY_ROOM there */
	bool own_out;                 /* it is this reply's alone */
	size_t reply_len;             /* with its record mark; and then */
	struct orpc_pipes *pipes;     /* NULL: there are none here */
	struct orpc_pipe *pipe;       /* what is in there, if it is not NULL */
};

enum orpc_outcome {
	ORPC_REPLIED, /* the reply is in place */
	ORPC_PENDING, /* it has to run again in the pool */
	ORPC_JOINS,   /* it runs already: join `replay`, whose reference is the
	                 owner's from now on */
	ORPC_BROKEN,  /* it was no call: there is no reply */
	ORPC_NO_MEMORY, /* nothing was done, and nothing can be said */
};

/*
 * Run a record on the loop. Set before: peer, datagram, max_results and
 * usual_results of the call; replays, bufs, pipes, out and at. A procedure may have put
 * another buffer in `out` (then own_out is set), which is the owner's to put back or to
 * send; as is `pipe`.
 */
enum orpc_outcome orpc_request_begin(struct orpc_request *request,
                                     const struct orpc_programs *programs,
                                     unsigned char *record, size_t len);

/* Run a pending request in a worker, to its end. */
void orpc_request_finish(struct orpc_request *request);

/* Give up a pending request that has not been handed to a worker. */
void orpc_request_abandon(struct orpc_request *request);

#endif
