#include "config.h"

#include "rpc/call.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "rpc/loop.h"

static unsigned char *reply_header(struct orpc_request *request)
{
	return request->out->data + request->at + ORPC_MARK_SIZE;
}

static size_t piped(const struct orpc_request *request)
{
	return request->pipe ? request->pipe->len : 0;
}

/* The reply has `len` bytes here: put its record mark in front. */
static void seal(struct orpc_request *request, size_t len)
{
	uint32_t mark =
		htobe32(ORPC_MARK_LAST | (uint32_t)(len + piped(request)));

	memcpy(request->out->data + request->at, &mark, sizeof(mark));
	request->reply_len = ORPC_MARK_SIZE + len;
}

/* A reply that says no more than this state. */
static enum orpc_outcome answer(struct orpc_request *request,
                                enum accept_stat state)
{
	seal(request, orpc_msg_accepted(reply_header(request),
	                                request->call.xid, state));
	return ORPC_REPLIED;
}

static enum orpc_outcome deny(struct orpc_request *request, enum auth_stat why)
{
	seal(request, orpc_msg_auth_error(reply_header(request),
	                                  request->call.xid, why));
	return ORPC_REPLIED;
}

/* PROG_MISMATCH, with the versions that there are. */
static enum orpc_outcome mismatch(struct orpc_request *request,
                                  const struct orpc_program *program)
{
	const struct orpc_version *low = &program->versions[0];
	const struct orpc_version *high = low + program->nversions - 1;

	seal(request,
	     orpc_msg_prog_mismatch(reply_header(request), request->call.xid,
	                            low->vers, high->vers));
	return ORPC_REPLIED;
}

static const struct orpc_program *
find_program(const struct orpc_programs *programs, uint32_t number)
{
	for (size_t i = 0; i < programs->n; i++) {
		if (programs->list[i].prog == number)
			return &programs->list[i];
	}
	return NULL;
}

static const struct orpc_version *
find_version(const struct orpc_program *program, uint32_t number)
{
	for (size_t i = 0; i < program->nversions; i++) {
		if (program->versions[i].vers == number)
			return &program->versions[i];
	}
	return NULL;
}

/* ORPC_PENDING: proc and arg are set. Else the reply says what is missing. */
static enum orpc_outcome find_proc(struct orpc_request *request,
                                   const struct orpc_programs *programs)
{
	struct orpc_call *call = &request->call;
	const struct orpc_program *program = find_program(programs, call->prog);
	const struct orpc_version *version;

	if (!program || program->nversions == 0)
		return answer(request, PROG_UNAVAIL);
	version = find_version(program, call->vers);
	if (!version) {
		return mismatch(request, program);
	}
	if (call->proc >= version->nprocs || !version->procs[call->proc].fn)
		return answer(request, PROC_UNAVAIL);
	request->proc = &version->procs[call->proc];
	if (request->proc->repeat == ORPC_ONCE &&
	    call->max_results > ORPC_RESULTS_MIN)
		call->max_results = ORPC_RESULTS_MIN;
	request->arg = program->arg;
	return ORPC_PENDING;
}

/* Encode results from here on, `size` bytes at most. */
static void open_results(struct orpc_request *request, size_t size)
{
	unsigned char *results =
		request->out->data + request->at + ORPC_REPLY_OVERHEAD;

	xdrmem_create(&request->call.results, (char *)results, (u_int)size,
	              XDR_ENCODE);
}

static enum orpc_status run_proc(struct orpc_request *request)
{
	struct orpc_call *call = &request->call;

	xdrmem_create(&call->args, (char *)request->args,
	              (u_int)request->args_len, XDR_DECODE);
	open_results(request, call->max_results < ORPC_RESULTS_MIN
	                              ? call->max_results
	                              : ORPC_RESULTS_MIN);
	return request->proc->fn(call, request->arg);
}

/* ORPC_PENDING: it is to be carried out now. */
static enum orpc_outcome find_replay(struct orpc_request *request)
{
	switch (orpc_replay_begin(
		request->replays, &request->call, request->args,
		request->args_len, &request->replay,
		request->out->data + request->at, &request->reply_len)) {
	case ORPC_REPLAY_FIRST:
		return ORPC_PENDING;
	case ORPC_REPLAY_RUNS:
		return ORPC_JOINS;
	case ORPC_REPLAY_DONE:
		return ORPC_REPLIED;
	case ORPC_REPLAY_NO_MEMORY:
		break;
	}
	return ORPC_NO_MEMORY;
}

static void drop_pipe(struct orpc_request *request)
{
	orpc_pipe_put(request->pipe);
	request->pipe = NULL;
}

static enum orpc_outcome encode(struct orpc_request *request,
                                enum orpc_status status)
{
	if (status != ORPC_DONE || piped(request) == 0)
		drop_pipe(request);
	switch (status) {
	case ORPC_DONE:
	case ORPC_NOT_NOW:
		orpc_msg_accepted(reply_header(request), request->call.xid,
		                  SUCCESS);
		seal(request,
		     ORPC_REPLY_HEADER + xdr_getpos(&request->call.results));
		return ORPC_REPLIED;
	case ORPC_WAIT:
		if (!request->call.may_wait)
			return ORPC_PENDING;
		break; /* it was allowed to wait: the program's mistake */
	case ORPC_GARBAGE_ARGS:
		return answer(request, GARBAGE_ARGS);
	case ORPC_AUTH_ERROR:
		return deny(request, AUTH_TOOWEAK);
	case ORPC_SYSTEM_ERR:
		break;
	}
	return answer(request, SYSTEM_ERR);
}

/* Run it, as far as it may; what has been understood and done is kept. */
static enum orpc_outcome run(struct orpc_request *request)
{
	enum orpc_status status = run_proc(request);
	enum orpc_outcome outcome = encode(request, status);

	if (outcome == ORPC_REPLIED && request->replay)
		orpc_replay_end(request->replay,
		                request->out->data + request->at,
		                request->reply_len, status == ORPC_DONE);
	return outcome;
}

enum orpc_outcome orpc_request_begin(struct orpc_request *request,
                                     const struct orpc_programs *programs,
                                     unsigned char *record, size_t len)
{
	struct orpc_call *call = &request->call;
	enum auth_stat why;
	size_t args;

	request->pipe = NULL;
	switch (orpc_msg_decode(record, len, call, &args, &why)) {
	case ORPC_MSG_GARBAGE:
		return ORPC_BROKEN;
	case ORPC_MSG_MISMATCH:
		seal(request,
		     orpc_msg_rpc_mismatch(reply_header(request), call->xid));
		return ORPC_REPLIED;
	case ORPC_MSG_AUTH_ERROR:
		return deny(request, why);
	case ORPC_MSG_CALL:
		break;
	}
	request->args = record + args;
	request->args_len = len - args;
	if (find_proc(request, programs) == ORPC_REPLIED)
		return ORPC_REPLIED;
	request->replay = NULL;
	if (request->proc->repeat == ORPC_ONCE && request->replays) {
		enum orpc_outcome found = find_replay(request);

		if (found != ORPC_PENDING)
			return found;
	}
	call->may_wait = false;
	return run(request);
}

void orpc_request_finish(struct orpc_request *request)
{
	request->call.may_wait = true;
	run(request);
}

void orpc_request_abandon(struct orpc_request *request)
{
	if (request->replay)
		orpc_replay_abandon(request->replay);
}

int orpc_call_pipe(struct orpc_call *call, size_t size)
{
	struct orpc_request *request =
		orpc_container(call, struct orpc_request, call);

	if (!request->pipes || size < ORPC_PIPE_LEAST ||
	    size > ORPC_PIPE_BYTES || size > call->max_results)
		return -1;
	request->pipe = orpc_pipe_take(request->pipes);
	return request->pipe ? request->pipe->to : -1;
}

bool orpc_call_piped(struct orpc_call *call, size_t len)
{
	struct orpc_request *request =
		orpc_container(call, struct orpc_request, call);
	static const char zeros[BYTES_PER_XDR_UNIT];
	const size_t padding = -len % sizeof(zeros);
	struct orpc_pipe *pipe = request->pipe;

	if (len > 0 && (padding == 0 ||
	                write(pipe->to, zeros, padding) == (ssize_t)padding)) {
		pipe->len = len + padding;
		return true;
	}
	drop_pipe(request);
	return false;
}

int orpc_call_reserve(struct orpc_call *call, size_t size)
{
	struct orpc_request *request =
		orpc_container(call, struct orpc_request, call);
	struct orpc_buf *buf;

	if (size > call->max_results)
		return -EMSGSIZE;
	size += ORPC_REPLY_OVERHEAD;
	if (request->out->cap - request->at < size) {
		/* A worker keeps off the store, which is the loop's. */
		buf = call->may_wait ? orpc_buf_new(request->bufs, size)
		                     : orpc_bufs_take(request->bufs, size);
		if (!buf)
			return -ENOMEM;
		if (request->own_out && call->may_wait)
			orpc_buf_free(request->bufs, request->out);
		else if (request->own_out)
			orpc_bufs_put(request->bufs, request->out);
		request->out = buf;
		request->at = 0;
		request->own_out = true;
	}
	open_results(request, size - ORPC_REPLY_OVERHEAD);
	return 0;
}
