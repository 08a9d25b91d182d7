#include "config.h"

#include "tests/agreement/call.h"

#include <check.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <nfsc/libnfs-raw-mount.h>

/* Sanitizers make it slow. */
#define DEADLINE_MS 60000

/* libnfs puts what it decodes anywhere, aligned or not. */
#define LOOSE __attribute__((no_sanitize("alignment")))

static struct rpc_context *rpc;

/* ---- calls ----------------------------------------------------------------- */

static void came(struct reply *reply, int status, const void *data)
{
	reply->done = true;
	ck_assert_msg(status == RPC_STATUS_SUCCESS, "libnfs: %d: %s", status,
	              status == RPC_STATUS_ERROR ? (const char *)data : "");
}

void call_wait(struct reply *reply, int queued)
{
	struct pollfd fd;

	ck_assert_msg(queued == 0, "libnfs: %s", rpc_get_error(rpc));
	while (!reply->done) {
		fd = (struct pollfd){ .fd = rpc_get_fd(rpc),
			              .events = rpc_which_events(rpc) };
		ck_assert_msg(poll(&fd, 1, DEADLINE_MS) > 0,
		              "veneerd does not answer");
		ck_assert_msg(rpc_service(rpc, fd.revents) == 0, "libnfs: %s",
		              rpc_get_error(rpc));
	}
}

/* Whether to ask again, in a while, as clients do. */
bool call_again(struct reply *reply)
{
	const struct timespec a_while = { 0, 20000000 };

	if (reply->status != NFS3ERR_JUKEBOX)
		return false;
	nanosleep(&a_while, NULL);
	reply->done = false;
	return true;
}

struct nfs_fh3 call_fh(struct handle *handle)
{
	struct nfs_fh3 fh;

	fh.data.data_len = handle->len;
	fh.data.data_val = handle->bytes;
	return fh;
}

/* ---- what is taken of replies ----------------------------------------------- */

/* Of a procedure of which nothing but the status counts. */
void got_status(struct rpc_context *context, int status, void *data, void *arg)
{
	struct reply *reply = arg;

	(void)context;
	came(reply, status, data);
	if (data)
		reply->status = *(const nfsstat3 *)data;
}

static void take_handle(struct handle *handle, const struct nfs_fh3 *fh)
{
	ck_assert_uint_le(fh->data.data_len, NFS3_FHSIZE);
	handle->len = fh->data.data_len;
	memcpy(handle->bytes, fh->data.data_val, handle->len);
}

static mode_t type_of(ftype3 type)
{
	static const mode_t types[] = {
		[NF3REG] = S_IFREG,  [NF3DIR] = S_IFDIR, [NF3BLK] = S_IFBLK,
		[NF3CHR] = S_IFCHR,  [NF3LNK] = S_IFLNK, [NF3SOCK] = S_IFSOCK,
		[NF3FIFO] = S_IFIFO,
	};

	ck_assert_uint_le(type, NF3FIFO);
	return types[type];
}

LOOSE static void take_attributes(struct facts *facts,
                                  const struct fattr3 *attr)
{
	*facts = (struct facts){
		.mode = type_of(attr->type) | attr->mode,
		.uid = attr->uid,
		.gid = attr->gid,
		.nlink = attr->nlink,
		.size = attr->size,
		.mtime = { attr->mtime.seconds, attr->mtime.nseconds },
		.fileid = attr->fileid,
	};
	if (S_ISCHR(facts->mode) || S_ISBLK(facts->mode)) {
		facts->major = attr->rdev.specdata1;
		facts->minor = attr->rdev.specdata2;
	}
}

void got_object(struct rpc_context *context, int status, void *data, void *arg)
{
	struct reply *reply = arg;
	const LOOKUP3res *res = data;
	const LOOKUP3resok *ok = &res->LOOKUP3res_u.resok;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status == NFS3_OK)
		take_handle(&reply->handle, &ok->object);
}

void got_attributes(struct rpc_context *context, int status, void *data,
                    void *arg)
{
	struct reply *reply = arg;
	const GETATTR3res *res = data;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status == NFS3_OK)
		take_attributes(&reply->facts,
		                &res->GETATTR3res_u.resok.obj_attributes);
}

void got_data(struct rpc_context *context, int status, void *data, void *arg)
{
	struct reply *reply = arg;
	const READ3res *res = data;
	const READ3resok *ok = &res->READ3res_u.resok;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status != NFS3_OK)
		return;
	reply->hash = hash(reply->hash, ok->data.data_val, ok->data.data_len);
	reply->len = ok->data.data_len;
	reply->eof = ok->eof;
}

void got_target(struct rpc_context *context, int status, void *data, void *arg)
{
	struct reply *reply = arg;
	const READLINK3res *res = data;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status == NFS3_OK)
		snprintf(reply->text, PATH_MAX, "%s",
		         res->READLINK3res_u.resok.data);
}

LOOSE static void add_name(struct reply *reply, const char *name,
                           uint64_t fileid, uint64_t cookie,
                           const post_op_attr *attr)
{
	struct side_names *names = reply->names;
	struct side_name *to;
	struct facts facts = { 0 };

	reply->cookie = cookie;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return;
	if (attr && attr->attributes_follow) {
		take_attributes(&facts, &attr->post_op_attr_u.attributes);
		ck_assert_uint_eq(facts.fileid, fileid);
	}
	ck_assert_uint_lt(names->n, SIDE_NAMES);
	to = &names->names[names->n++];
	snprintf(to->name, sizeof(to->name), "%s", name);
	to->type = facts.mode & S_IFMT;
	to->fileid = fileid;
}

LOOSE void got_names(struct rpc_context *context, int status, void *data,
                     void *arg)
{
	struct reply *reply = arg;
	const READDIR3res *res = data;
	const dirlist3 *list = &res->READDIR3res_u.resok.reply;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status != NFS3_OK)
		return;
	for (const entry3 *e = list->entries; e; e = e->nextentry)
		add_name(reply, e->name, e->fileid, e->cookie, NULL);
	reply->eof = list->eof;
}

LOOSE void got_names_plus(struct rpc_context *context, int status, void *data,
                          void *arg)
{
	struct reply *reply = arg;
	const READDIRPLUS3res *res = data;
	const dirlistplus3 *list = &res->READDIRPLUS3res_u.resok.reply;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status != NFS3_OK)
		return;
	for (const entryplus3 *e = list->entries; e; e = e->nextentry)
		add_name(reply, e->name, e->fileid, e->cookie,
		         &e->name_attributes);
	reply->eof = list->eof;
}

void got_access(struct rpc_context *context, int status, void *data, void *arg)
{
	struct reply *reply = arg;
	const ACCESS3res *res = data;

	(void)context;
	came(reply, status, data);
	reply->status = res->status;
	if (res->status == NFS3_OK)
		reply->granted = res->ACCESS3res_u.resok.access;
}

/* ---- opening --------------------------------------------------------------- */

struct rpc_context *call_context(void)
{
	return rpc;
}

static void got_root(struct rpc_context *context, int status, void *data,
                     void *arg)
{
	struct reply *reply = arg;
	const mountres3 *res = data;

	(void)context;
	came(reply, status, data);
	ck_assert_int_eq(res->fhs_status, MNT3_OK);
	take_handle(
		&reply->handle,
		(const struct nfs_fh3 *)&res->mountres3_u.mountinfo.fhandle);
}

static void got_connection(struct rpc_context *context, int status, void *data,
                           void *arg)
{
	(void)context;
	came(arg, status, data);
}

void call_as(uint32_t uid, uint32_t gid)
{
	uint32_t groups[] = { SIDE_GROUP };

	rpc_set_auth(rpc, libnfs_authunix_create("test", uid, gid, uid ? 1 : 0,
	                                         groups));
}

void call_open(uint16_t port, const char *export, struct handle *root)
{
	struct reply connected = { 0 }, mounted = { 0 };

	rpc = rpc_init_context();
	ck_assert_ptr_nonnull(rpc);
	call_wait(&connected,
	          rpc_connect_port_async(rpc, "127.0.0.1", port, NFS_PROGRAM,
	                                 NFS_V3, got_connection, &connected));
	call_as(0, 0);
	call_wait(&mounted, rpc_mount3_mnt_async(rpc, got_root, (char *)export,
	                                         &mounted));
	*root = mounted.handle;
}

void call_close(void)
{
	rpc_destroy_context(rpc);
	rpc = NULL;
}
