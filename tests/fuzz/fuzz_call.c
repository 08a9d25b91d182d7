/*
 * From a record to its reply: the header (what ours makes of it and what
 * libtirpc does is the same), the choice of the procedure, the cache of replies,
 * and the codecs of all arguments.
 *
 * An input: how the server is set up; then records, each after its length, as
 * bytes, or as a header made of choices. The program has a procedure for each
 * kind of NFS's arguments, which decodes them and encodes what it got.
 */
#include "config.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <rpc/rpc.h>

#include "rpc/call.h"
#include "server/nfs3_prot.h"
#include "server/nfs3_xdr.h"
#include "tests/fuzz/fuzz.h"

#define PROG NFS_PROGRAM
/* Versions: of what copies its arguments, and of the rest. */
#define COPYING 3
#define OTHERS 5

#define LARGEST (1u << 16)
#define MAX_RECORD 4096
#define MAX_RECORDS 32
#define ARGS_SIZE 512 /* of the largest struct of arguments, and more */

static struct orpc_bufs bufs;
static struct orpc_replays *replays;

/* Of the procedure at hand: how often it has run, and what it said. */
static unsigned runs;
static enum orpc_status said;

/* ---- the program ------------------------------------------------------------ */

/*
 * By number of the procedure. Where there are names or data, those of rpcgen
 * allocate what the wire claims, and the server has its own.
 */
static const xdrproc_t codecs[] = {
	[NFSPROC3_GETATTR] = (xdrproc_t)xdr_GETATTR3args,
	[NFSPROC3_SETATTR] = (xdrproc_t)xdr_SETATTR3args,
	[NFSPROC3_ACCESS] = (xdrproc_t)xdr_ACCESS3args,
	[NFSPROC3_READLINK] = (xdrproc_t)xdr_READLINK3args,
	[NFSPROC3_READ] = (xdrproc_t)xdr_READ3args,
	[NFSPROC3_READDIR] = (xdrproc_t)xdr_READDIR3args,
	[NFSPROC3_READDIRPLUS] = (xdrproc_t)xdr_READDIRPLUS3args,
	[NFSPROC3_FSSTAT] = (xdrproc_t)xdr_FSSTAT3args,
	[NFSPROC3_FSINFO] = (xdrproc_t)xdr_FSINFO3args,
	[NFSPROC3_PATHCONF] = (xdrproc_t)xdr_PATHCONF3args,
	[NFSPROC3_COMMIT] = (xdrproc_t)xdr_COMMIT3args,
};

/* What a name may be is known as soon as it is decoded. */
static void check_name(const struct nfsd_name *name)
{
	const size_t len = strnlen(name->text, sizeof(name->text));

	if (name->error != 0)
		return;
	FUZZ_MUST(len > 0 && len < sizeof(name->text));
	FUZZ_MUST(strchr(name->text, '/') == NULL);
	FUZZ_MUST((name->kind == NFSD_DOT) == (strcmp(name->text, ".") == 0));
	FUZZ_MUST((name->kind == NFSD_DOTDOT) ==
	          (strcmp(name->text, "..") == 0));
}

/* A handle and a name, then another pair, or a target, as far as there are. */
static enum orpc_status copies_names(struct orpc_call *call)
{
	XDR *xdr = &call->args;
	struct nfsd_name name;
	struct nfsd_target target;
	struct nfsd_fh dir;
	char *text = name.text, *bytes;

	if (!nfsd_get_dirop(xdr, &dir, &name))
		return ORPC_GARBAGE_ARGS;
	check_name(&name);
	bytes = (char *)dir.bytes;
	if (!xdr_bytes(&call->results, &bytes, &dir.len, NFS3_FHSIZE) ||
	    (name.error == 0 && !xdr_string(&call->results, &text, NAME_MAX)))
		return ORPC_SYSTEM_ERR;
	if (call->proc == NFSPROC3_RENAME) {
		if (!nfsd_get_dirop(xdr, &dir, &name))
			return ORPC_GARBAGE_ARGS;
		check_name(&name);
	} else if (call->proc == NFSPROC3_SYMLINK) {
		if (!nfsd_get_target(xdr, &target))
			return ORPC_GARBAGE_ARGS;
		if (target.error == 0)
			FUZZ_MUST(strnlen(target.text, PATH_MAX) < PATH_MAX);
	}
	return ORPC_DONE;
}

static enum orpc_status copies(struct orpc_call *call)
{
	const xdrproc_t codec = codecs[call->proc];
	_Alignas(16) char args[ARGS_SIZE] = { 0 };
	enum orpc_status status = ORPC_DONE;

	if (codec == NULL)
		return copies_names(call);
	if (!codec(&call->args, args))
		status = ORPC_GARBAGE_ARGS;
	else if (!codec(&call->results, args))
		status = ORPC_SYSTEM_ERR;
	xdr_free(codec, args);
	return status;
}

/* As much as the arguments ask for, in the pool where they say so. */
static enum orpc_status reserves(struct orpc_call *call)
{
	uint32_t size, how;
	char *to;

	if (!xdr_u_int(&call->args, &size) || !xdr_u_int(&call->args, &how))
		return ORPC_GARBAGE_ARGS;
	if (how & 1 && !call->may_wait)
		return ORPC_WAIT;
	if (how & 2 && orpc_call_reserve(call, size / 2) != 0)
		return ORPC_AUTH_ERROR;
	if (orpc_call_reserve(call, size) != 0)
		return ORPC_SYSTEM_ERR;
	to = (char *)xdr_inline(&call->results, size & ~3u);
	FUZZ_MUST(to != NULL);
	memset(to, 'r', size & ~3u);
	return how & 4 ? ORPC_NOT_NOW : ORPC_DONE;
}

/* All of the data is there. */
static enum orpc_status hot_write(XDR *xdr)
{
	struct nfsd_write_args write;
	unsigned char sum = 0;

	if (!nfsd_get_write(xdr, &write))
		return ORPC_GARBAGE_ARGS;
	for (uint32_t i = 0; i < write.count; i++)
		sum ^= ((const unsigned char *)write.data)[i];
	return sum == 0 ? ORPC_DONE : ORPC_NOT_NOW;
}

/* The decoders that are hot take what the generated ones take. */
static enum orpc_status hot(struct orpc_call *call)
{
	XDR *xdr = &call->args;
	const u_int at = xdr_getpos(xdr);
	struct nfsd_read_args read;
	struct nfsd_readdir_args readdir;
	_Alignas(16) char args[ARGS_SIZE] = { 0 };
	const xdrproc_t codec = codecs[call->proc];
	bool taken, generated;

	if (call->proc == NFSPROC3_WRITE)
		return hot_write(xdr);
	if (call->proc == NFSPROC3_READ)
		taken = nfsd_get_read(xdr, &read);
	else
		taken = nfsd_get_readdir(
			xdr, call->proc == NFSPROC3_READDIRPLUS, &readdir);
	FUZZ_MUST(xdr_setpos(xdr, at));
	generated = codec(xdr, args);
	xdr_free(codec, args);
	FUZZ_MUST(generated == taken);
	return taken ? ORPC_DONE : ORPC_GARBAGE_ARGS;
}

static enum orpc_status run_proc(struct orpc_call *call, void *arg)
{
	(void)arg;
	runs++;
	if (call->proc == NFSPROC3_NULL)
		said = ORPC_DONE;
	else if (call->vers == COPYING)
		said = copies(call);
	else
		said = call->proc <= 2 ? reserves(call) : hot(call);
	return said;
}

#define COPIES(proc, repeat) [NFSPROC3_##proc] = { #proc, run_proc, repeat }

static const struct orpc_proc copying[] = {
	[NFSPROC3_NULL] = { "NULL", run_proc, ORPC_AGAIN },
	COPIES(GETATTR, ORPC_AGAIN),
	COPIES(SETATTR, ORPC_ONCE),
	COPIES(LOOKUP, ORPC_AGAIN),
	COPIES(ACCESS, ORPC_AGAIN),
	COPIES(READLINK, ORPC_AGAIN),
	COPIES(READ, ORPC_AGAIN),
	COPIES(WRITE, ORPC_ONCE),
	COPIES(CREATE, ORPC_ONCE),
	COPIES(MKDIR, ORPC_ONCE),
	COPIES(SYMLINK, ORPC_ONCE),
	COPIES(MKNOD, ORPC_ONCE),
	COPIES(REMOVE, ORPC_ONCE),
	COPIES(RMDIR, ORPC_ONCE),
	COPIES(RENAME, ORPC_ONCE),
	COPIES(LINK, ORPC_ONCE),
	COPIES(READDIR, ORPC_AGAIN),
	COPIES(READDIRPLUS, ORPC_AGAIN),
	COPIES(FSSTAT, ORPC_AGAIN),
	COPIES(FSINFO, ORPC_AGAIN),
	COPIES(PATHCONF, ORPC_AGAIN),
	COPIES(COMMIT, ORPC_AGAIN),
};
static const struct orpc_proc others[] = {
	[NFSPROC3_NULL] = { "NULL", run_proc, ORPC_AGAIN },
	[1] = { "RESERVES", run_proc, ORPC_AGAIN },
	[2] = { "RESERVES ONCE", run_proc, ORPC_ONCE },
	[NFSPROC3_READ] = { "READ", run_proc, ORPC_AGAIN },
	[NFSPROC3_WRITE] = { "WRITE", run_proc, ORPC_AGAIN },
	[NFSPROC3_READDIR] = { "READDIR", run_proc, ORPC_AGAIN },
	[NFSPROC3_READDIRPLUS] = { "READDIRPLUS", run_proc, ORPC_AGAIN },
};
#define LENGTH(procs) (sizeof(procs) / sizeof((procs)[0]))

static const struct orpc_version versions[] = {
	{ COPYING, copying, LENGTH(copying) },
	{ OTHERS, others, LENGTH(others) },
};
static const struct orpc_program list[] = {
	{ PROG, "copies", versions, 2, NULL },
	{ PROG + 2, "empty", NULL, 0, NULL },
};
static const struct orpc_programs programs = { list, 2 };

/* ---- records ------------------------------------------------------------------ */

static void put(uint8_t *record, size_t *len, uint32_t word)
{
	word = htonl(word);
	memcpy(record + *len, &word, sizeof(word));
	*len += sizeof(word);
}

/* A credential or verifier, mostly a sound one. */
static void put_auth(struct fuzz_input *in, uint8_t *record, size_t *len)
{
	const unsigned kind = fuzz_choose(in, 8), ngids = kind & 3;
	size_t n = kind == 7 ? fuzz_byte(in) : 0;
	const uint8_t *bytes;

	if (kind < 3 || kind == 7) {
		put(record, len, kind == 7 ? fuzz_choose(in, 8) : AUTH_NONE);
		put(record, len, (uint32_t)n);
		bytes = fuzz_bytes(in, &n);
		memcpy(record + *len, bytes, n);
		*len += n;
		return;
	}
	put(record, len, AUTH_SYS);
	put(record, len, 4 * (5 + (uint32_t)ngids));
	put(record, len, 0);
	put(record, len, 0);
	put(record, len, fuzz_byte(in));
	put(record, len, fuzz_byte(in));
	put(record, len, ngids);
	for (unsigned i = 0; i < ngids; i++)
		put(record, len, i);
}

/* A call that is mostly sound: how long it is. */
static size_t make_record(struct fuzz_input *in, uint8_t *record)
{
	size_t len = 0, n = fuzz_byte(in);
	const uint8_t *bytes;

	put(record, &len, fuzz_choose(in, 4)); /* xid */
	put(record, &len, CALL);
	put(record, &len, RPC_MSG_VERSION);
	put(record, &len, PROG + (fuzz_choose(in, 8) == 7));
	put(record, &len, fuzz_byte(in) & 1 ? COPYING : OTHERS);
	put(record, &len, fuzz_choose(in, LENGTH(copying) + 2));
	put_auth(in, record, &len);
	put_auth(in, record, &len);
	n *= 8;
	if (n > MAX_RECORD - len)
		n = MAX_RECORD - len;
	bytes = fuzz_bytes(in, &n);
	memcpy(record + len, bytes, n);
	return len + n;
}

static size_t next_record(struct fuzz_input *in, uint8_t *record)
{
	const unsigned how = fuzz_byte(in);
	size_t n = (how & 15u) << 8 | fuzz_byte(in);
	const uint8_t *bytes;

	if (how & 128)
		return make_record(in, record);
	bytes = fuzz_bytes(in, &n);
	memcpy(record, bytes, n);
	return n;
}

/* ---- what libtirpc thinks of it ------------------------------------------------ */

/* The body of AUTH_SYS is decoded apart there, too. */
static bool good_auth_sys(struct opaque_auth *auth)
{
	struct authunix_parms parms = { 0 };
	XDR xdr;
	bool good;

	xdrmem_create(&xdr, auth->oa_base, auth->oa_length, XDR_DECODE);
	good = xdr_authunix_parms(&xdr, &parms);
	xdr.x_op = XDR_FREE;
	xdr_authunix_parms(&xdr, &parms);
	return good;
}

static enum orpc_verdict tirpc_verdict(const uint8_t *record, size_t len,
                                       struct rpc_msg *msg, size_t *args)
{
	enum orpc_verdict verdict = ORPC_MSG_CALL;
	struct opaque_auth *auth = &msg->rm_call.cb_cred;
	XDR xdr;

	xdrmem_create(&xdr, (char *)record, (u_int)len, XDR_DECODE);
	if (!xdr_callmsg(&xdr, msg))
		return ORPC_MSG_GARBAGE;
	*args = xdr_getpos(&xdr);
	if (auth->oa_flavor != AUTH_NONE &&
	    (auth->oa_flavor != AUTH_SYS || !good_auth_sys(auth)))
		verdict = ORPC_MSG_AUTH_ERROR;
	return verdict;
}

static void compare_header(const uint8_t *record, size_t len)
{
	char cred[MAX_AUTH_BYTES], verf[MAX_AUTH_BYTES];
	struct rpc_msg msg = { 0 };
	struct orpc_call call = { 0 };
	enum orpc_verdict ours, theirs;
	enum auth_stat why = AUTH_OK;
	size_t args = 0, their_args = 0;

	msg.rm_call.cb_cred.oa_base = cred;
	msg.rm_call.cb_verf.oa_base = verf;
	ours = orpc_msg_decode(record, len, &call, &args, &why);
	theirs = tirpc_verdict(record, len, &msg, &their_args);
	/* Theirs has no words for other versions, and bodies that are too long. */
	if (ours == ORPC_MSG_MISMATCH ||
	    (ours == ORPC_MSG_AUTH_ERROR && theirs == ORPC_MSG_GARBAGE))
		return;
	FUZZ_MUST(ours == theirs);
	if (ours != ORPC_MSG_CALL)
		return;
	FUZZ_MUST(args == their_args && args <= len);
	FUZZ_MUST(call.xid == msg.rm_xid);
	FUZZ_MUST(call.prog == msg.rm_call.cb_prog);
	FUZZ_MUST(call.vers == msg.rm_call.cb_vers);
	FUZZ_MUST(call.proc == msg.rm_call.cb_proc);
	FUZZ_MUST(call.cred.ngids <= ORPC_MAX_GIDS);
}

/* ---- one call ------------------------------------------------------------------- */

struct setup {
	bool replays, datagram;
	size_t max_results;
	struct sockaddr_in peer;
};

/* xdr_void, as the declaration of xdrproc_t wants it. */
static bool_t no_results(XDR *xdr, ...)
{
	(void)xdr;
	return TRUE;
}

/* The reply is one: its mark and its header, and no bytes too many. */
static void check_reply(const struct setup *setup,
                        const struct orpc_request *request)
{
	const unsigned char *reply = request->out->data + request->at;
	const size_t len = request->reply_len - ORPC_MARK_SIZE;
	struct rpc_msg msg = { 0 };
	uint32_t mark;
	XDR xdr;

	memcpy(&mark, reply, sizeof(mark));
	FUZZ_MUST(ntohl(mark) == (ORPC_MARK_LAST | len));
	msg.acpted_rply.ar_results.proc = no_results;
	xdrmem_create(&xdr, (char *)reply + ORPC_MARK_SIZE, (u_int)len,
	              XDR_DECODE);
	FUZZ_MUST(xdr_replymsg(&xdr, &msg));
	FUZZ_MUST(msg.rm_xid == request->call.xid);
	if (msg.rm_reply.rp_stat == MSG_ACCEPTED &&
	    msg.acpted_rply.ar_stat == SUCCESS)
		FUZZ_MUST(len <= ORPC_REPLY_HEADER + setup->max_results);
	else
		FUZZ_MUST(xdr_getpos(&xdr) == len);
}

static void let_go(struct orpc_request *request)
{
	orpc_bufs_put(&bufs, request->out);
}

/* False: it was no call. */
static bool run(const struct setup *setup, uint8_t *record, size_t len,
                struct orpc_request *request)
{
	enum orpc_outcome outcome;

	*request = (struct orpc_request){ 0 };
	request->call.peer = (const struct sockaddr *)&setup->peer;
	request->call.datagram = setup->datagram;
	request->call.max_results = setup->max_results;
	request->replays = setup->replays ? replays : NULL;
	request->bufs = &bufs;
	request->out = orpc_bufs_take(&bufs, ORPC_REPLY_ROOM);
	FUZZ_MUST(request->out != NULL);
	request->own_out = true;
	outcome = orpc_request_begin(request, &programs, record, len);
	FUZZ_MUST(outcome != ORPC_NO_MEMORY && outcome != ORPC_JOINS);
	if (outcome == ORPC_PENDING)
		orpc_request_finish(request);
	if (outcome == ORPC_BROKEN)
		let_go(request);
	else
		check_reply(setup, request);
	return outcome != ORPC_BROKEN;
}

/* Twice: the second time, what runs once has been carried out. */
static void run_twice(const struct setup *setup, const uint8_t *bytes,
                      size_t len)
{
	uint8_t *record = malloc(len + (len == 0));
	struct orpc_request first, again;
	unsigned ran;

	FUZZ_MUST(record != NULL);
	memcpy(record, bytes, len);
	compare_header(record, len);
	runs = 0;
	if (run(setup, record, len, &first)) {
		ran = runs;
		/* Arguments are decoded in place, and stay as they are. */
		FUZZ_MUST(memcmp(record, bytes, len) == 0);
		FUZZ_MUST(run(setup, record, len, &again));
		FUZZ_MUST(first.reply_len == again.reply_len);
		FUZZ_MUST(memcmp(first.out->data, again.out->data,
		                 first.reply_len) == 0);
		if (ran > 0 && setup->replays && said == ORPC_DONE &&
		    first.proc->repeat == ORPC_ONCE)
			FUZZ_MUST(runs == ran);
		let_go(&first);
		let_go(&again);
	}
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t record[2 * MAX_RECORD];
	struct fuzz_input in = { data, data + size };
	const unsigned how = fuzz_byte(&in);
	struct setup setup = {
		.replays = how & 1,
		.datagram = how & 2,
		.max_results = how & 4 ? LARGEST : 256u + 64 * fuzz_byte(&in),
		.peer = { .sin_family = AF_INET },
	};

	orpc_bufs_init(&bufs, ORPC_REPLY_OVERHEAD + LARGEST);
	FUZZ_MUST(orpc_replays_new(1 + (how >> 4), 1u << 16, 4, &replays) == 0);
	for (unsigned i = 0; i < MAX_RECORDS && fuzz_left(&in) > 0; i++)
		run_twice(&setup, record, next_record(&in, record));
	orpc_replays_free(replays);
	FUZZ_MUST(bufs.used == 0);
	orpc_bufs_release(&bufs);
	return 0;
}
