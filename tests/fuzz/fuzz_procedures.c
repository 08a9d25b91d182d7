/*
 * Each procedure of NFS and MOUNT through the whole server: replies decode to
 * their last byte, say what can be, and are within the bounds asked for; the
 * layers below stay as they are.
 *
 * An input: the options of the export; then calls, one after the other, of which
 * each is a procedure and who calls it, then its arguments: bytes as they are,
 * or choices among the handles that replies have brought, names, and numbers. A
 * call may be mangled at the end, or come twice.
 */
#include "config.h"

#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <rpc/rpc.h>

#include "server/mount_prot.h"
#include "server/nfs3_prot.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/place.h"
#include "tests/fuzz/served.h"

#define MAX_CALLS 40
#define MAX_HANDLES 16
#define HANDLE_BYTES 32

static const char *const lowers[] = { "high", "low" };

struct handle {
	u_int len;
	unsigned char bytes[NFS3_FHSIZE];
};

/* Of the input at hand: the root's, and those that replies brought last. */
static struct handle handles[MAX_HANDLES];
static unsigned nhandles;
static uint64_t last_cookie;

static uint64_t lower_sums[2];
static uint32_t xid;
static uint8_t reply[SERVED_MAX_REPLY];

/* ---- the layers below ---------------------------------------------------------- */

static void make_file(int place, const char *path, const char *text, off_t size)
{
	int fd = openat(place, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	const ssize_t len = (ssize_t)strlen(text);

	FUZZ_MUST(fd >= 0 && ftruncate(fd, size) == 0);
	FUZZ_MUST(pwrite(fd, text, (size_t)len, 0) == len);
	close(fd);
}

static void make_lowers(int place)
{
	static const char *const dirs[] = {
		"high",    "high/d",    "low",   "low/d",
		"low/d/x", "low/d/x/y", "low/o",
	};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		FUZZ_MUST(mkdirat(place, dirs[i], 0755) == 0);
	make_file(place, "high/a", "text", 4);
	make_file(place, "high/d/e", "inner", 5);
	FUZZ_MUST(linkat(place, "high/d/e", place, "high/d/f", 0) == 0);
	FUZZ_MUST(linkat(place, "high/d/e", place, "high/g", 0) == 0);
	make_file(place, "high/.wh.w", "", 0);
	make_file(place, "low/w", "gone", 4);
	make_file(place, "low/b", "large", 70000);
	make_file(place, "low/d/x/z", "deep", 4);
	make_file(place, "low/a", "below", 5);
	FUZZ_MUST(symlinkat("a/b/c", place, "low/l") == 0);
	FUZZ_MUST(mknodat(place, "low/p", S_IFIFO | 0644, 0) == 0);
	/* Without root, there is none. */
	(void)!mknodat(place, "low/c", S_IFCHR | 0644, makedev(1, 3));
	FUZZ_MUST(fchmodat(place, "low/o", 0700, 0) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int place = fuzz_place_make();

	(void)argc;
	(void)argv;
	make_lowers(place);
	served_init(lowers, 2);
	for (unsigned i = 0; i < 2; i++)
		lower_sums[i] = fuzz_place_sum(lowers[i]);
	return 0;
}

/* ---- arguments ------------------------------------------------------------------ */

struct call {
	uint8_t bytes[SERVED_MAX_CALL];
	size_t len;
	size_t args; /* where they begin */
	uint32_t prog, vers, proc;
	/* What was asked for, where the reply has to keep to it. */
	uint32_t count;
	struct handle handle; /* the first one */
};

static struct call call;

static void put(uint32_t word)
{
	word = htonl(word);
	memcpy(call.bytes + call.len, &word, sizeof(word));
	call.len += sizeof(word);
}

static void put_long(uint64_t value)
{
	put((uint32_t)(value >> 32));
	put((uint32_t)value);
}

static void put_opaque(const void *bytes, size_t n)
{
	put((uint32_t)n);
	memcpy(call.bytes + call.len, bytes, n);
	memset(call.bytes + call.len + n, 0, -n & 3);
	call.len += (n + 3) & ~(size_t)3;
}

/* One of those known; sometimes it is not quite that. */
static void put_handle(struct fuzz_input *in)
{
	const unsigned how = fuzz_byte(in);
	struct handle handle = handles[how % nhandles];
	unsigned char other;

	if (how >= 240) {
		other = fuzz_byte(in);
		handle.bytes[how % HANDLE_BYTES] ^= other;
		if (other == 0)
			handle.len = fuzz_choose(in, NFS3_FHSIZE + 1);
	}
	if (call.handle.len == 0)
		call.handle = handle;
	put_opaque(handle.bytes, handle.len);
}

static void put_name(struct fuzz_input *in)
{
	static const char *const names[] = {
		"a",  "b",     "c", "d", "e",   "f",      "g",    "l",  "p",
		"w",  "x",     "y", "z", "n1",  "n2",     "n3",   "o",  ".",
		"..", ".wh.a", "",  "/", "a/b", "\xff\n", ".wh.", "#1",
	};
	const unsigned n = sizeof(names) / sizeof(names[0]);
	char text[NAME_MAX + 10];
	const unsigned how = fuzz_byte(in);
	size_t len = how - 200;

	if (how < 190) {
		put_opaque(names[how % n], strlen(names[how % n]));
	} else if (how < 200) {
		memset(text, 'n', sizeof(text));
		put_opaque(text, NAME_MAX - 5 + how - 190);
	} else {
		const uint8_t *bytes = fuzz_bytes(in, &len);

		put_opaque(bytes, len);
	}
}

/* Small, large, or as large as it gets. */
static uint64_t choose_number(struct fuzz_input *in)
{
	static const uint64_t numbers[] = {
		70000,      4096,       65536,     1u << 20,   INT32_MAX,
		UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX, 1ull << 62,
	};
	const unsigned n = fuzz_byte(in);

	if (n < 200)
		return n < 100 ? n : (n - 99) * 64;
	return numbers[n % 10] - fuzz_choose(in, 3);
}

static uint32_t choose_count(struct fuzz_input *in)
{
	call.count = (uint32_t)choose_number(in);
	return call.count;
}

static void put_time(struct fuzz_input *in, unsigned how)
{
	put(how % 3);
	if (how % 3 == SET_TO_CLIENT_TIME) {
		put((uint32_t)choose_number(in));
		put(fuzz_byte(in) * 5000000u);
	}
}

static void put_sattr(struct fuzz_input *in)
{
	const unsigned which = fuzz_byte(in);

	put(which & 1);
	if (which & 1)
		put(fuzz_word(in) >> 20);
	for (unsigned bit = 2; bit <= 4; bit <<= 1) {
		put((which & bit) != 0);
		if (which & bit)
			put(fuzz_choose(in, 3) * 1000);
	}
	put((which & 8) != 0);
	if (which & 8)
		put_long(choose_number(in));
	put_time(in, which >> 4 & 3);
	put_time(in, which >> 6);
}

static void put_create(struct fuzz_input *in)
{
	const unsigned mode = fuzz_choose(in, 4);

	put_handle(in);
	put_name(in);
	put(mode);
	if (mode == EXCLUSIVE)
		put_long(fuzz_choose(in, 3));
	else
		put_sattr(in);
}

static void put_mknod(struct fuzz_input *in)
{
	const unsigned type = fuzz_choose(in, 10);

	put_handle(in);
	put_name(in);
	put(type);
	if (type == NF3CHR || type == NF3BLK || type == NF3SOCK ||
	    type == NF3FIFO)
		put_sattr(in);
	if (type == NF3CHR || type == NF3BLK) {
		put(fuzz_choose(in, 3));
		put(fuzz_choose(in, 3));
	}
}

static void put_write(struct fuzz_input *in)
{
	size_t n;
	const uint8_t *bytes;

	put_handle(in);
	put_long(choose_number(in));
	n = fuzz_byte(in);
	bytes = fuzz_bytes(in, &n);
	call.count = (uint32_t)n;
	put(call.count);
	put(fuzz_choose(in, 4));
	put_opaque(bytes, n);
}

static void put_readdir(struct fuzz_input *in, bool plus)
{
	const unsigned how = fuzz_byte(in);

	put_handle(in);
	put_long(how & 1 ? last_cookie : how & 2 ? choose_number(in) : 0);
	put_long(how & 4 ? how : 0); /* the verifier */
	if (plus)
		put((uint32_t)choose_number(in));
	put(choose_count(in));
}

static void put_nfs_args(struct fuzz_input *in)
{
	switch (call.proc) {
	case NFSPROC3_NULL:
		break;
	case NFSPROC3_SETATTR:
		put_handle(in);
		put_sattr(in);
		put(fuzz_choose(in, 2));
		put_long(fuzz_byte(in));
		break;
	case NFSPROC3_LOOKUP:
	case NFSPROC3_REMOVE:
	case NFSPROC3_RMDIR:
		put_handle(in);
		put_name(in);
		break;
	case NFSPROC3_ACCESS:
		put_handle(in);
		put(fuzz_byte(in));
		break;
	case NFSPROC3_READ:
		put_handle(in);
		put_long(choose_number(in));
		put(choose_count(in));
		break;
	case NFSPROC3_WRITE:
		put_write(in);
		break;
	case NFSPROC3_CREATE:
		put_create(in);
		break;
	case NFSPROC3_MKDIR:
		put_handle(in);
		put_name(in);
		put_sattr(in);
		break;
	case NFSPROC3_SYMLINK:
		put_handle(in);
		put_name(in);
		put_sattr(in);
		put_name(in);
		break;
	case NFSPROC3_MKNOD:
		put_mknod(in);
		break;
	case NFSPROC3_RENAME:
		put_handle(in);
		put_name(in);
		put_handle(in);
		put_name(in);
		break;
	case NFSPROC3_LINK:
		put_handle(in);
		put_handle(in);
		put_name(in);
		break;
	case NFSPROC3_READDIR:
		put_readdir(in, false);
		break;
	case NFSPROC3_READDIRPLUS:
		put_readdir(in, true);
		break;
	case NFSPROC3_COMMIT:
		put_handle(in);
		put_long(choose_number(in));
		put((uint32_t)choose_number(in));
		break;
	default:
		put_handle(in);
		break;
	}
}

static void put_mount_args(struct fuzz_input *in)
{
	static const char *const paths[] = {
		SERVED_EXPORT,
		SERVED_EXPORT "/d",
		SERVED_EXPORT "//d/x/",
		SERVED_EXPORT "/../export",
		"/",
		"",
		"export",
		"/exports",
		SERVED_EXPORT "/a",
		SERVED_EXPORT "/o/.",
	};
	const unsigned how = fuzz_byte(in);
	size_t n = how;
	const uint8_t *bytes;

	if (how < 128) {
		put_opaque(paths[how % 10], strlen(paths[how % 10]));
	} else {
		bytes = fuzz_bytes(in, &n);
		put_opaque(bytes, n);
	}
}

/* ---- a call ----------------------------------------------------------------------- */

static void put_credential(unsigned who)
{
	static const uint32_t ids[] = { 0, 1000, 65534, 7 };

	if (who == 4) {
		put(AUTH_NONE);
		put(0);
	} else {
		put(AUTH_SYS);
		put(4 * 6);
		put(0); /* stamp */
		put(0); /* machine */
		put(ids[who & 3]);
		put(ids[who & 3]);
		put(1);
		put(1000);
	}
	put(AUTH_NONE);
	put(0);
}

static void put_header(uint32_t prog, uint32_t vers, uint32_t proc,
                       unsigned who)
{
	call.prog = prog;
	call.vers = vers;
	call.proc = proc;
	call.len = 0;
	call.count = 0;
	call.handle.len = 0;
	put(++xid);
	put(CALL);
	put(RPC_MSG_VERSION);
	put(prog);
	put(vers);
	put(proc);
	put_credential(who);
	call.args = call.len;
}

/* Longer, shorter, or with other bytes. */
static void mangle(struct fuzz_input *in)
{
	const unsigned how = fuzz_byte(in), at = fuzz_byte(in);
	const size_t n = call.len - call.args;

	if (n == 0)
		return;
	if (how & 1)
		call.bytes[call.args + at % n] ^= fuzz_byte(in);
	if (how & 2)
		call.len -= (at >> 2) % n;
	if (how & 4)
		put(at);
}

/* The arguments are what the next bytes are. */
static void put_raw(struct fuzz_input *in)
{
	size_t n = fuzz_byte(in);
	const uint8_t *bytes = fuzz_bytes(in, &n);

	memcpy(call.bytes + call.len, bytes, n);
	call.len += n;
}

static void make_call(struct fuzz_input *in)
{
	const unsigned what = fuzz_byte(in), how = fuzz_byte(in);
	const unsigned proc = what % 26;

	if (proc <= NFSPROC3_COMMIT)
		put_header(NFS_PROGRAM, NFS_V3, proc, how & 7);
	else
		put_header(MOUNT_PROGRAM, proc & 1 ? MOUNT_V1 : MOUNT_V3,
		           fuzz_choose(in, 7), how & 7);
	if ((how & 0x70) == 0x70)
		put_raw(in);
	else if (call.prog == NFS_PROGRAM)
		put_nfs_args(in);
	else
		put_mount_args(in);
	if ((how & 0x70) == 0x60)
		mangle(in);
}

/* ---- what replies say ---------------------------------------------------------------- */

static void learn(const char *bytes, u_int len)
{
	static unsigned turn;

	FUZZ_MUST(len == HANDLE_BYTES);
	for (unsigned i = 0; i < nhandles; i++)
		if (memcmp(handles[i].bytes, bytes, len) == 0)
			return;
	/* The root's stays. */
	turn = nhandles < MAX_HANDLES ? nhandles++
	                              : 1 + turn % (MAX_HANDLES - 1);
	handles[turn].len = len;
	memcpy(handles[turn].bytes, bytes, len);
}

static uint64_t fileid_of(const void *handle)
{
	uint64_t fileid;

	memcpy(&fileid, (const char *)handle + 8, sizeof(fileid));
	return be64toh(fileid);
}

static void check_attr(const fattr3 *attr)
{
	FUZZ_MUST(attr->type >= NF3REG && attr->type <= NF3FIFO);
	FUZZ_MUST(attr->mode <= 07777);
	FUZZ_MUST(attr->nlink >= (attr->type == NF3DIR ? 2 : 1));
	FUZZ_MUST(attr->mtime.nseconds < 1000000000);
	FUZZ_MUST(attr->ctime.nseconds < 1000000000);
}

static void check_post_op(const post_op_attr *attr, const void *handle)
{
	if (!attr->attributes_follow)
		return;
	check_attr(&attr->post_op_attr_u.attributes);
	if (handle != NULL)
		FUZZ_MUST(attr->post_op_attr_u.attributes.fileid ==
		          fileid_of(handle));
}

static void check_new(const post_op_fh3 *fh, const post_op_attr *attr)
{
	const nfs_fh3 *handle = &fh->post_op_fh3_u.handle;

	if (!fh->handle_follows)
		return;
	learn(handle->data.data_val, handle->data.data_len);
	check_post_op(attr, handle->data.data_val);
}

static void check_cookie(uint64_t cookie, uint64_t *last)
{
	FUZZ_MUST(cookie > *last);
	*last = last_cookie = cookie;
}

static void check_readdir(const READDIR3resok *res, size_t len)
{
	uint64_t last = 0;

	FUZZ_MUST(len <= call.count);
	for (const entry3 *e = res->reply.entries; e; e = e->nextentry)
		check_cookie(e->cookie, &last);
}

static void check_readdirplus(const READDIRPLUS3resok *res, size_t len)
{
	uint64_t last = 0;

	FUZZ_MUST(len <= call.count);
	for (const entryplus3 *e = res->reply.entries; e; e = e->nextentry) {
		check_cookie(e->cookie, &last);
		check_new(&e->name_handle, &e->name_attributes);
		if (e->name_attributes.attributes_follow)
			FUZZ_MUST(e->name_attributes.post_op_attr_u.attributes
			                  .fileid == e->fileid);
	}
}

static void check_lookup(const LOOKUP3resok *res)
{
	const struct nfs_fh3 *handle = &res->object;

	learn(handle->data.data_val, handle->data.data_len);
	check_post_op(&res->obj_attributes, handle->data.data_val);
}

static void check_read(const READ3resok *res)
{
	FUZZ_MUST(res->count == res->data.data_len);
	FUZZ_MUST(res->count <= call.count);
	FUZZ_MUST(res->count > 0 || res->eof || call.count == 0);
	check_post_op(&res->file_attributes, call.handle.bytes);
}

/* Of a success; `sound`: the arguments are those that were chosen. */
static void check_results(const void *results, size_t len, bool sound)
{
	const CREATE3resok *made =
		&((const CREATE3res *)results)->CREATE3res_u.resok;
	const GETATTR3res *attr = results;
	const unsigned char *handle = call.handle.bytes;

	switch (call.proc) {
	case NFSPROC3_GETATTR:
		check_attr(&attr->GETATTR3res_u.resok.obj_attributes);
		if (sound)
			FUZZ_MUST(attr->GETATTR3res_u.resok.obj_attributes
			                  .fileid == fileid_of(handle));
		break;
	case NFSPROC3_LOOKUP:
		check_lookup(
			&((const LOOKUP3res *)results)->LOOKUP3res_u.resok);
		break;
	case NFSPROC3_CREATE: /* and its like, whose results are the same */
	case NFSPROC3_MKDIR:
	case NFSPROC3_SYMLINK:
	case NFSPROC3_MKNOD:
		check_new(&made->obj, &made->obj_attributes);
		break;
	case NFSPROC3_READ:
		if (sound)
			check_read(
				&((const READ3res *)results)->READ3res_u.resok);
		break;
	case NFSPROC3_WRITE:
		if (sound)
			FUZZ_MUST(((const WRITE3res *)results)
			                  ->WRITE3res_u.resok.count <=
			          call.count);
		break;
	case NFSPROC3_READDIR:
		if (sound)
			check_readdir(&((const READDIR3res *)results)
			                       ->READDIR3res_u.resok,
			              len);
		break;
	case NFSPROC3_READDIRPLUS:
		if (sound)
			check_readdirplus(&((const READDIRPLUS3res *)results)
			                           ->READDIRPLUS3res_u.resok,
			                  len);
		break;
	}
}

/* ---- decoding them -------------------------------------------------------------------- */

/* xdr_void, as the declaration of xdrproc_t wants it. */
static bool_t no_results(XDR *xdr, ...)
{
	(void)xdr;
	return TRUE;
}

#define PROC(name) [NFSPROC3_##name] = (xdrproc_t)xdr_##name##3res

static const xdrproc_t nfs_results[] = {
	[NFSPROC3_NULL] = no_results,
	PROC(GETATTR),
	PROC(SETATTR),
	PROC(LOOKUP),
	PROC(ACCESS),
	PROC(READLINK),
	PROC(READ),
	PROC(WRITE),
	PROC(CREATE),
	PROC(MKDIR),
	PROC(SYMLINK),
	PROC(MKNOD),
	PROC(REMOVE),
	PROC(RMDIR),
	PROC(RENAME),
	PROC(LINK),
	PROC(READDIR),
	PROC(READDIRPLUS),
	PROC(FSSTAT),
	PROC(FSINFO),
	PROC(PATHCONF),
	PROC(COMMIT),
};

static const xdrproc_t mount_results[][7] = {
	[0] = { no_results, (xdrproc_t)xdr_fhstatus, (xdrproc_t)xdr_mountlist,
	        no_results, no_results, (xdrproc_t)xdr_exportlist,
	        (xdrproc_t)xdr_exportlist },
	[1] = { no_results, (xdrproc_t)xdr_mountres3, (xdrproc_t)xdr_mountlist,
	        no_results, no_results, (xdrproc_t)xdr_exportlist, NULL },
};

static xdrproc_t results_of_call(void)
{
	if (call.prog == NFS_PROGRAM)
		return nfs_results[call.proc];
	return mount_results[call.vers == MOUNT_V3][call.proc];
}

/* Whether the results say that it was done: how they begin. */
static bool decode_results(const uint8_t *bytes, size_t len, bool sound)
{
	_Alignas(16) char results[1024] = { 0 };
	const xdrproc_t decode = results_of_call();
	uint32_t status = 0;
	XDR xdr;

	FUZZ_MUST(decode != NULL);
	xdrmem_create(&xdr, (char *)bytes, (u_int)len, XDR_DECODE);
	FUZZ_MUST(decode(&xdr, results));
	FUZZ_MUST(xdr_getpos(&xdr) == len);
	if (call.proc != 0 && len >= sizeof(status))
		memcpy(&status, bytes, sizeof(status));
	if (status == 0 && call.prog == NFS_PROGRAM && call.proc != 0)
		check_results(results, len - sizeof(status), sound);
	if (status == 0 && call.prog == MOUNT_PROGRAM &&
	    call.vers == MOUNT_V3 && call.proc == MOUNTPROC3_MNT) {
		const fhandle3 *fh = &((const mountres3 *)results)
		                              ->mountres3_u.mountinfo.fhandle;

		learn(fh->fhandle3_val, fh->fhandle3_len);
	}
	xdr_free(decode, results);
	return status == 0;
}

/* Send the call that was made. */
static bool run_call(bool sound)
{
	const size_t len = served_call(call.bytes, call.len, reply);
	uint32_t header[6];

	/* Its header is sound: there is an answer. */
	FUZZ_MUST(len >= sizeof(header) && len % 4 == 0);
	memcpy(header, reply, sizeof(header));
	for (unsigned i = 0; i < 6; i++)
		header[i] = ntohl(header[i]);
	FUZZ_MUST(header[0] == xid && header[1] == REPLY);
	FUZZ_MUST(header[2] == MSG_ACCEPTED && header[4] == 0);
	if (header[5] == SUCCESS)
		return decode_results(reply + sizeof(header),
		                      len - sizeof(header), sound);
	/* Nobody but the server itself can be to blame for SYSTEM_ERR. */
	FUZZ_MUST(header[5] == GARBAGE_ARGS || header[5] == PROC_UNAVAIL);
	FUZZ_MUST(len == sizeof(header));
	return false;
}

/* The same call has the same reply, where it changes something. */
static void run_again(void)
{
	static uint8_t first[SERVED_MAX_REPLY];
	const size_t len = served_call(call.bytes, call.len, first);
	uint32_t status;

	FUZZ_MUST(len >= 24);
	if (len < 28 || call.prog != NFS_PROGRAM)
		return;
	memcpy(&status, first + 24, sizeof(status));
	switch (call.proc) {
	case NFSPROC3_SETATTR:
	case NFSPROC3_WRITE:
	case NFSPROC3_CREATE ... NFSPROC3_LINK:
		if (ntohl(status) != NFS3ERR_JUKEBOX)
			FUZZ_MUST(served_call(call.bytes, call.len, reply) ==
			                  len &&
			          memcmp(first, reply, len) == 0);
		break;
	}
}

/* ---- one input -------------------------------------------------------------------------- */

/* The root, and what is in it. */
static void mount_export(void)
{
	nhandles = 0;
	last_cookie = 0;
	put_header(MOUNT_PROGRAM, MOUNT_V3, MOUNTPROC3_MNT, 0);
	put_opaque(SERVED_EXPORT, strlen(SERVED_EXPORT));
	FUZZ_MUST(run_call(false) && nhandles == 1);
	put_header(NFS_PROGRAM, NFS_V3, NFSPROC3_READDIRPLUS, 0);
	put_opaque(handles[0].bytes, handles[0].len);
	put_long(0);
	put_long(0);
	put(4096);
	call.count = 8192;
	put(call.count);
	FUZZ_MUST(run_call(true));
}

static const char *const options[] = {
	"insecure,no_root_squash,async",
	"insecure,no_root_squash,async,cache=never",
	"insecure,no_root_squash,async,userxattr",
	"insecure,no_root_squash,async,redirect_dir=off,metacopy=off",
	"insecure,no_root_squash,async,cache=always",
	"insecure,async,anonuid=1000",
	"insecure,no_root_squash,sync",
	"insecure,no_root_squash,ro",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };

	served_begin(options[fuzz_choose(&in, 8)]);
	mount_export();
	for (unsigned i = 0; i < MAX_CALLS && fuzz_left(&in) > 0; i++) {
		const unsigned how = in.end - in.at > 1 ? in.at[1] : 0;

		make_call(&in);
		if (how & 128)
			run_again();
		run_call((how & 0x70) < 0x60);
	}
	put_header(NFS_PROGRAM, NFS_V3, NFSPROC3_GETATTR, 0);
	call.handle = handles[0];
	put_opaque(handles[0].bytes, handles[0].len);
	FUZZ_MUST(run_call(true));
	served_end();
	for (unsigned i = 0; i < 2; i++)
		FUZZ_MUST(fuzz_place_sum(lowers[i]) == lower_sums[i]);
	return 0;
}
