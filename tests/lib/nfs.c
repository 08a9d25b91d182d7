#include "config.h"

#include "tests/lib/nfs.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

/* The codecs of each procedure, by number. */
#define PROC(name)                                          \
	[NFSPROC3_##name] = { (xdrproc_t)xdr_##name##3args, \
		              (xdrproc_t)xdr_##name##3res,  \
		              sizeof(name##3res) }

static const struct {
	xdrproc_t args, res;
	size_t size; /* of the result */
} procs[] = {
	PROC(GETATTR),     PROC(SETATTR), PROC(LOOKUP), PROC(ACCESS),
	PROC(READLINK),    PROC(READ),    PROC(WRITE),  PROC(CREATE),
	PROC(MKDIR),       PROC(SYMLINK), PROC(MKNOD),  PROC(REMOVE),
	PROC(RMDIR),       PROC(RENAME),  PROC(LINK),   PROC(READDIR),
	PROC(READDIRPLUS), PROC(FSSTAT),  PROC(FSINFO), PROC(PATHCONF),
	PROC(COMMIT),
};

/* Times that a patient client comes, and how long it is away in between. */
#define PATIENCE 600
#define AWAY_US 50000

void *nfs_call(struct client *client, uint32_t proc, const void *args)
{
	nfsstat3 *status; /* with which every result begins */
	unsigned times = client->patient ? PATIENCE : 1;

	do {
		status = client_call(client, NFS_PROGRAM, NFS_V3, proc,
		                     procs[proc].args, args, procs[proc].res,
		                     procs[proc].size);
		/* NULL: the server has gone. */
		if (!status || *status != NFS3ERR_JUKEBOX)
			break;
		if (--times > 0)
			usleep(AWAY_US);
	} while (times > 0);
	return status;
}

void *nfs_call_bytes(struct client *client, uint32_t proc, const void *args,
                     size_t len)
{
	return client_call_bytes(client, NFS_PROGRAM, NFS_V3, proc, args, len,
	                         procs[proc].res, procs[proc].size);
}

size_t nfs_encode(char *bytes, uint32_t proc, const void *args)
{
	return client_encode(bytes, procs[proc].args, args);
}

static diropargs3 dirop(nfs_fh3 dir, const char *name)
{
	return (diropargs3){ .dir = dir, .name = (char *)name };
}

GETATTR3res *nfs_getattr(struct client *client, nfs_fh3 fh)
{
	GETATTR3args args = { .object = fh };

	return nfs_call(client, NFSPROC3_GETATTR, &args);
}

SETATTR3res *nfs_setattr(struct client *client, nfs_fh3 fh, sattr3 set)
{
	SETATTR3args args = { .object = fh, .new_attributes = set };

	return nfs_call(client, NFSPROC3_SETATTR, &args);
}

LOOKUP3res *nfs_lookup(struct client *client, nfs_fh3 dir, const char *name)
{
	LOOKUP3args args = { .what = dirop(dir, name) };

	return nfs_call(client, NFSPROC3_LOOKUP, &args);
}

ACCESS3res *nfs_access(struct client *client, nfs_fh3 fh, uint32_t access)
{
	ACCESS3args args = { .object = fh, .access = access };

	return nfs_call(client, NFSPROC3_ACCESS, &args);
}

READLINK3res *nfs_readlink(struct client *client, nfs_fh3 fh)
{
	READLINK3args args = { .symlink = fh };

	return nfs_call(client, NFSPROC3_READLINK, &args);
}

READ3res *nfs_read(struct client *client, nfs_fh3 fh, uint64_t offset,
                   uint32_t count)
{
	READ3args args = { .file = fh, .offset = offset, .count = count };

	return nfs_call(client, NFSPROC3_READ, &args);
}

WRITE3res *nfs_write(struct client *client, nfs_fh3 fh, uint64_t offset,
                     const void *data, uint32_t count, stable_how stable)
{
	WRITE3args args = {
		.file = fh,
		.offset = offset,
		.count = count,
		.stable = stable,
		.data = { .data_len = count, .data_val = (char *)data },
	};

	return nfs_call(client, NFSPROC3_WRITE, &args);
}

CREATE3res *nfs_create(struct client *client, nfs_fh3 dir, const char *name,
                       createmode3 mode, sattr3 set)
{
	CREATE3args args = { .where = dirop(dir, name), .how.mode = mode };

	args.how.createhow3_u.obj_attributes = set;
	return nfs_call(client, NFSPROC3_CREATE, &args);
}

CREATE3res *nfs_create_exclusive(struct client *client, nfs_fh3 dir,
                                 const char *name, const char verifier[8])
{
	CREATE3args args = { .where = dirop(dir, name), .how.mode = EXCLUSIVE };

	memcpy(args.how.createhow3_u.verf, verifier, 8);
	return nfs_call(client, NFSPROC3_CREATE, &args);
}

MKDIR3res *nfs_mkdir(struct client *client, nfs_fh3 dir, const char *name,
                     sattr3 set)
{
	MKDIR3args args = { .where = dirop(dir, name), .attributes = set };

	return nfs_call(client, NFSPROC3_MKDIR, &args);
}

SYMLINK3res *nfs_symlink(struct client *client, nfs_fh3 dir, const char *name,
                         const char *target)
{
	SYMLINK3args args = {
		.where = dirop(dir, name),
		.symlink = { .symlink_attributes = set_mode(0777),
		             .symlink_data = (char *)target },
	};

	return nfs_call(client, NFSPROC3_SYMLINK, &args);
}

MKNOD3res *nfs_mknod(struct client *client, nfs_fh3 dir, const char *name,
                     ftype3 type, uint32_t major, uint32_t minor)
{
	MKNOD3args args = { .where = dirop(dir, name), .what.type = type };

	if (type == NF3CHR || type == NF3BLK)
		args.what.mknoddata3_u.device = (devicedata3){
			.dev_attributes = set_mode(0640),
			.spec = { major, minor },
		};
	else
		args.what.mknoddata3_u.pipe_attributes = set_mode(0640);
	return nfs_call(client, NFSPROC3_MKNOD, &args);
}

REMOVE3res *nfs_remove(struct client *client, nfs_fh3 dir, const char *name)
{
	REMOVE3args args = { .object = dirop(dir, name) };

	return nfs_call(client, NFSPROC3_REMOVE, &args);
}

RMDIR3res *nfs_rmdir(struct client *client, nfs_fh3 dir, const char *name)
{
	RMDIR3args args = { .object = dirop(dir, name) };

	return nfs_call(client, NFSPROC3_RMDIR, &args);
}

RENAME3res *nfs_rename(struct client *client, nfs_fh3 from,
                       const char *from_name, nfs_fh3 to, const char *to_name)
{
	RENAME3args args = { .from = dirop(from, from_name),
		             .to = dirop(to, to_name) };

	return nfs_call(client, NFSPROC3_RENAME, &args);
}

LINK3res *nfs_link(struct client *client, nfs_fh3 file, nfs_fh3 dir,
                   const char *name)
{
	LINK3args args = { .file = file, .link = dirop(dir, name) };

	return nfs_call(client, NFSPROC3_LINK, &args);
}

READDIR3res *nfs_readdir(struct client *client, nfs_fh3 dir, uint64_t cookie,
                         uint32_t count)
{
	READDIR3args args = { .dir = dir, .cookie = cookie, .count = count };

	return nfs_call(client, NFSPROC3_READDIR, &args);
}

READDIRPLUS3res *nfs_readdirplus(struct client *client, nfs_fh3 dir,
                                 uint64_t cookie, uint32_t dircount,
                                 uint32_t maxcount)
{
	READDIRPLUS3args args = { .dir = dir,
		                  .cookie = cookie,
		                  .dircount = dircount,
		                  .maxcount = maxcount };

	return nfs_call(client, NFSPROC3_READDIRPLUS, &args);
}

FSSTAT3res *nfs_fsstat(struct client *client, nfs_fh3 fh)
{
	FSSTAT3args args = { .fsroot = fh };

	return nfs_call(client, NFSPROC3_FSSTAT, &args);
}

FSINFO3res *nfs_fsinfo(struct client *client, nfs_fh3 fh)
{
	FSINFO3args args = { .fsroot = fh };

	return nfs_call(client, NFSPROC3_FSINFO, &args);
}

PATHCONF3res *nfs_pathconf(struct client *client, nfs_fh3 fh)
{
	PATHCONF3args args = { .object = fh };

	return nfs_call(client, NFSPROC3_PATHCONF, &args);
}

COMMIT3res *nfs_commit(struct client *client, nfs_fh3 fh, uint64_t offset,
                       uint32_t count)
{
	COMMIT3args args = { .file = fh, .offset = offset, .count = count };

	return nfs_call(client, NFSPROC3_COMMIT, &args);
}

mountres3 *nfs_mnt(struct client *client, const char *path)
{
	return client_call(client, MOUNT_PROGRAM, MOUNT_V3, MOUNTPROC3_MNT,
	                   (xdrproc_t)xdr_dirpath, &path,
	                   (xdrproc_t)xdr_mountres3, sizeof(mountres3));
}

/* ---- what a test goes on with --------------------------------------------- */

nfs_fh3 nfs_root(struct client *client)
{
	mountres3 *res = nfs_mnt(client, FIXTURE_EXPORT);
	fhandle3 *fh = &res->mountres3_u.mountinfo.fhandle;

	ck_assert_int_eq(res->fhs_status, MNT3_OK);
	return (nfs_fh3){ { fh->fhandle3_len, fh->fhandle3_val } };
}

nfs_fh3 nfs_find(struct client *client, nfs_fh3 dir, const char *path)
{
	char name[256];

	while (*path != '\0') {
		size_t len = strcspn(path, "/");
		LOOKUP3res *res;

		ck_assert_uint_lt(len, sizeof(name));
		memcpy(name, path, len);
		name[len] = '\0';
		res = nfs_lookup(client, dir, name);
		ck_assert_msg(res->status == NFS3_OK, "%s: status %d", name,
		              res->status);
		dir = res->LOOKUP3res_u.resok.object;
		path += len + (path[len] == '/');
	}
	return dir;
}

fattr3 nfs_attributes(struct client *client, nfs_fh3 fh)
{
	GETATTR3res *res = nfs_getattr(client, fh);

	ck_assert_int_eq(res->status, NFS3_OK);
	return res->GETATTR3res_u.resok.obj_attributes;
}

nfs_fh3 nfs_new_file(struct client *client, nfs_fh3 dir, const char *name,
                     mode3 mode)
{
	CREATE3res *res =
		nfs_create(client, dir, name, GUARDED, set_mode(mode));

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(res->CREATE3res_u.resok.obj.handle_follows);
	return res->CREATE3res_u.resok.obj.post_op_fh3_u.handle;
}

nfs_fh3 nfs_new_dir(struct client *client, nfs_fh3 dir, const char *name,
                    mode3 mode)
{
	MKDIR3res *res = nfs_mkdir(client, dir, name, set_mode(mode));

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(res->MKDIR3res_u.resok.obj.handle_follows);
	return res->MKDIR3res_u.resok.obj.post_op_fh3_u.handle;
}

void nfs_put_text(struct client *client, nfs_fh3 fh, const char *text)
{
	WRITE3res *res =
		nfs_write(client, fh, 0, text, (u_int)strlen(text), FILE_SYNC);

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_eq(res->WRITE3res_u.resok.count, strlen(text));
}

void nfs_assert_text(struct client *client, nfs_fh3 fh, const char *text)
{
	READ3res *res = nfs_read(client, fh, 0, 65536);
	READ3resok *ok = &res->READ3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(ok->eof);
	ck_assert_uint_eq(ok->count, ok->data.data_len);
	ck_assert_uint_eq(ok->data.data_len, strlen(text));
	if (*text != '\0')
		ck_assert_mem_eq(ok->data.data_val, text, strlen(text));
}

bool nfs_same_handle(nfs_fh3 a, nfs_fh3 b)
{
	return a.data.data_len == b.data.data_len &&
	       memcmp(a.data.data_val, b.data.data_val, a.data.data_len) == 0;
}

bool nfs_is_later(nfstime3 a, nfstime3 b)
{
	return a.seconds > b.seconds ||
	       (a.seconds == b.seconds && a.nseconds > b.nseconds);
}

void nfs_assert_attr(const post_op_attr *attr, uint64_t fileid)
{
	ck_assert(attr->attributes_follow);
	ck_assert_uint_eq(attr->post_op_attr_u.attributes.fileid, fileid);
}

void nfs_assert_wcc(const wcc_data *wcc, uint64_t fileid)
{
	ck_assert(wcc->before.attributes_follow);
	nfs_assert_attr(&wcc->after, fileid);
}

/* ---- sattr3 ------------------------------------------------------------- */

sattr3 set_nothing(void)
{
	return (sattr3){ .mode.set_it = FALSE };
}

sattr3 set_mode(mode3 mode)
{
	return (sattr3){ .mode = { .set_it = TRUE, .set_mode3_u.mode = mode } };
}

sattr3 set_size(uint64_t size)
{
	return (sattr3){ .size = { .set_it = TRUE, .set_size3_u.size = size } };
}
