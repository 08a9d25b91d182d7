/*
 * The procedures of NFS version 3 and MOUNT as functions, for tests. They
 * return the whole result, which belongs to the client; or, where the name says
 * so, insist on success and return what a test goes on with.
 */
#ifndef VENEER_TESTS_LIB_NFS_H
#define VENEER_TESTS_LIB_NFS_H

#include "server/mount_prot.h"
#include "server/nfs3_prot.h"
#include "tests/lib/client.h"

/* Any procedure: `args` and the result are the structs of that procedure. */
void *nfs_call(struct client *client, uint32_t proc, const void *args);

/* Its arguments as bytes, at most CLIENT_MAX_BYTES: how many. */
size_t nfs_encode(char *bytes, uint32_t proc, const void *args);

/* The same with bytes for arguments. */
void *nfs_call_bytes(struct client *client, uint32_t proc, const void *args,
                     size_t len);

GETATTR3res *nfs_getattr(struct client *client, nfs_fh3 fh);
SETATTR3res *nfs_setattr(struct client *client, nfs_fh3 fh, sattr3 set);
LOOKUP3res *nfs_lookup(struct client *client, nfs_fh3 dir, const char *name);
ACCESS3res *nfs_access(struct client *client, nfs_fh3 fh, uint32_t access);
READLINK3res *nfs_readlink(struct client *client, nfs_fh3 fh);
READ3res *nfs_read(struct client *client, nfs_fh3 fh, uint64_t offset,
                   uint32_t count);
WRITE3res *nfs_write(struct client *client, nfs_fh3 fh, uint64_t offset,
                     const void *data, uint32_t count, stable_how stable);
CREATE3res *nfs_create(struct client *client, nfs_fh3 dir, const char *name,
                       createmode3 mode, sattr3 set);
CREATE3res *nfs_create_exclusive(struct client *client, nfs_fh3 dir,
                                 const char *name, const char verifier[8]);
MKDIR3res *nfs_mkdir(struct client *client, nfs_fh3 dir, const char *name,
                     sattr3 set);
SYMLINK3res *nfs_symlink(struct client *client, nfs_fh3 dir, const char *name,
                         const char *target);
MKNOD3res *nfs_mknod(struct client *client, nfs_fh3 dir, const char *name,
                     ftype3 type, uint32_t major, uint32_t minor);
REMOVE3res *nfs_remove(struct client *client, nfs_fh3 dir, const char *name);
RMDIR3res *nfs_rmdir(struct client *client, nfs_fh3 dir, const char *name);
RENAME3res *nfs_rename(struct client *client, nfs_fh3 from,
                       const char *from_name, nfs_fh3 to, const char *to_name);
LINK3res *nfs_link(struct client *client, nfs_fh3 file, nfs_fh3 dir,
                   const char *name);
READDIR3res *nfs_readdir(struct client *client, nfs_fh3 dir, uint64_t cookie,
                         uint32_t count);
READDIRPLUS3res *nfs_readdirplus(struct client *client, nfs_fh3 dir,
                                 uint64_t cookie, uint32_t dircount,
                                 uint32_t maxcount);
FSSTAT3res *nfs_fsstat(struct client *client, nfs_fh3 fh);
FSINFO3res *nfs_fsinfo(struct client *client, nfs_fh3 fh);
PATHCONF3res *nfs_pathconf(struct client *client, nfs_fh3 fh);
COMMIT3res *nfs_commit(struct client *client, nfs_fh3 fh, uint64_t offset,
                       uint32_t count);

mountres3 *nfs_mnt(struct client *client, const char *path);

/* ---- what a test goes on with --------------------------------------------- */

/* The handle of the export's root. */
nfs_fh3 nfs_root(struct client *client);

/* The handle of a path of names below `dir`. */
nfs_fh3 nfs_find(struct client *client, nfs_fh3 dir, const char *path);

fattr3 nfs_attributes(struct client *client, nfs_fh3 fh);

/* A new file, directory. */
nfs_fh3 nfs_new_file(struct client *client, nfs_fh3 dir, const char *name,
                     mode3 mode);
nfs_fh3 nfs_new_dir(struct client *client, nfs_fh3 dir, const char *name,
                    mode3 mode);

/* Write text at the beginning, stable. */
void nfs_put_text(struct client *client, nfs_fh3 fh, const char *text);
void nfs_assert_text(struct client *client, nfs_fh3 fh, const char *text);

bool nfs_same_handle(nfs_fh3 a, nfs_fh3 b);
bool nfs_is_later(nfstime3 a, nfstime3 b); /* a than b */

/* That a reply carries attributes, with this fileid; both halves of wcc_data. */
void nfs_assert_attr(const post_op_attr *attr, uint64_t fileid);
void nfs_assert_wcc(const wcc_data *wcc, uint64_t fileid);

/* ---- sattr3 ---------------------------------------------------------------- */

sattr3 set_nothing(void);
sattr3 set_mode(mode3 mode);
sattr3 set_size(uint64_t size);

#endif
