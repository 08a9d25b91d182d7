#include "config.h"

#include "tests/protocol/deed.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static diropargs3 in(const struct deed_dir *dir, const char *name)
{
	return (diropargs3){ .dir = dir->fh, .name = (char *)name };
}

static bool is_there(const struct deed_dir *dir, const char *name)
{
	nfsstat3 status = nfs_lookup(dir->client, dir->fh, name)->status;

	ck_assert(status == NFS3_OK || status == NFS3ERR_NOENT);
	return status == NFS3_OK;
}

static bool new_is_there(const struct deed_dir *dir)
{
	return is_there(dir, "new");
}

static void remove_new(const struct deed_dir *dir)
{
	ck_assert_int_eq(nfs_remove(dir->client, dir->fh, "new")->status,
	                 NFS3_OK);
}

/* ---- SETATTR and WRITE ----------------------------------------------------- */

static size_t setattr(const struct deed_dir *dir, char *bytes)
{
	SETATTR3args args = {
		.object = dir->file,
		.new_attributes = set_mode(0600),
		.guard = { .check = TRUE },
	};

	args.guard.sattrguard3_u.obj_ctime =
		nfs_attributes(dir->client, dir->file).ctime;
	return nfs_encode(bytes, NFSPROC3_SETATTR, &args);
}

static void unset(const struct deed_dir *dir)
{
	ck_assert_int_eq(
		nfs_setattr(dir->client, dir->file, set_mode(0644))->status,
		NFS3_OK);
}

static bool is_set(const struct deed_dir *dir)
{
	return nfs_attributes(dir->client, dir->file).mode == 0600;
}

static size_t write_it(const struct deed_dir *dir, char *bytes)
{
	static char text[] = "written text";
	WRITE3args args = {
		.file = dir->file,
		.count = sizeof(text),
		.stable = UNSTABLE,
		.data = { .data_len = sizeof(text), .data_val = text },
	};

	return nfs_encode(bytes, NFSPROC3_WRITE, &args);
}

static void write_over(const struct deed_dir *dir)
{
	nfs_put_text(dir->client, dir->file, "another text");
}

static bool is_written(const struct deed_dir *dir)
{
	READ3res *res = nfs_read(dir->client, dir->file, 0, 7);

	ck_assert_int_eq(res->status, NFS3_OK);
	return memcmp(res->READ3res_u.resok.data.data_val, "written", 7) == 0;
}

/* ---- what makes ------------------------------------------------------------ */

static size_t create_guarded(const struct deed_dir *dir, char *bytes)
{
	CREATE3args args = { .where = in(dir, "new"), .how.mode = GUARDED };

	args.how.createhow3_u.obj_attributes = set_mode(0640);
	return nfs_encode(bytes, NFSPROC3_CREATE, &args);
}

static size_t create_exclusive(const struct deed_dir *dir, char *bytes)
{
	CREATE3args args = { .where = in(dir, "new"), .how.mode = EXCLUSIVE };

	memcpy(args.how.createhow3_u.verf, "verifier", 8);
	return nfs_encode(bytes, NFSPROC3_CREATE, &args);
}

/* The file that is there is cut. */
static size_t create_unchecked(const struct deed_dir *dir, char *bytes)
{
	CREATE3args args = { .where = in(dir, "file"), .how.mode = UNCHECKED };

	args.how.createhow3_u.obj_attributes = set_size(0);
	return nfs_encode(bytes, NFSPROC3_CREATE, &args);
}

static bool is_cut(const struct deed_dir *dir)
{
	return nfs_attributes(dir->client, dir->file).size == 0;
}

static size_t make_dir(const struct deed_dir *dir, char *bytes)
{
	MKDIR3args args = { .where = in(dir, "new"),
		            .attributes = set_mode(0750) };

	return nfs_encode(bytes, NFSPROC3_MKDIR, &args);
}

static void remove_new_dir(const struct deed_dir *dir)
{
	ck_assert_int_eq(nfs_rmdir(dir->client, dir->fh, "new")->status,
	                 NFS3_OK);
}

static size_t make_symlink(const struct deed_dir *dir, char *bytes)
{
	SYMLINK3args args = {
		.where = in(dir, "new"),
		.symlink = { .symlink_attributes = set_mode(0777),
		             .symlink_data = "target" },
	};

	return nfs_encode(bytes, NFSPROC3_SYMLINK, &args);
}

static size_t make_fifo(const struct deed_dir *dir, char *bytes)
{
	MKNOD3args args = { .where = in(dir, "new"), .what.type = NF3FIFO };

	args.what.mknoddata3_u.pipe_attributes = set_mode(0640);
	return nfs_encode(bytes, NFSPROC3_MKNOD, &args);
}

static size_t link_file(const struct deed_dir *dir, char *bytes)
{
	LINK3args args = { .file = dir->file, .link = in(dir, "new") };

	return nfs_encode(bytes, NFSPROC3_LINK, &args);
}

/* ---- what takes away ------------------------------------------------------- */

static size_t remove_old(const struct deed_dir *dir, char *bytes)
{
	REMOVE3args args = { .object = in(dir, "old") };

	return nfs_encode(bytes, NFSPROC3_REMOVE, &args);
}

static size_t rename_old(const struct deed_dir *dir, char *bytes)
{
	RENAME3args args = { .from = in(dir, "old"), .to = in(dir, "new") };

	return nfs_encode(bytes, NFSPROC3_RENAME, &args);
}

static void make_old_again(const struct deed_dir *dir)
{
	nfs_new_file(dir->client, dir->fh, "old", 0600);
}

static bool old_is_gone(const struct deed_dir *dir)
{
	return !is_there(dir, "old");
}

static size_t remove_dir(const struct deed_dir *dir, char *bytes)
{
	RMDIR3args args = { .object = in(dir, "empty") };

	return nfs_encode(bytes, NFSPROC3_RMDIR, &args);
}

static void make_dir_again(const struct deed_dir *dir)
{
	nfs_new_dir(dir->client, dir->fh, "empty", 0700);
}

static bool dir_is_gone(const struct deed_dir *dir)
{
	return !is_there(dir, "empty");
}

/* ---- all ------------------------------------------------------------------- */

const struct deed deeds[] = {
	/* The guard is no longer right. */
	{ "SETATTR", NFSPROC3_SETATTR, setattr, unset, is_set,
	  NFS3ERR_NOT_SYNC },
	{ "WRITE", NFSPROC3_WRITE, write_it, write_over, is_written, NFS3_OK },
	{ "CREATE GUARDED", NFSPROC3_CREATE, create_guarded, remove_new,
	  new_is_there, NFS3_OK },
	{ "CREATE EXCLUSIVE", NFSPROC3_CREATE, create_exclusive, remove_new,
	  new_is_there, NFS3_OK },
	{ "CREATE UNCHECKED", NFSPROC3_CREATE, create_unchecked, write_over,
	  is_cut, NFS3_OK },
	{ "MKDIR", NFSPROC3_MKDIR, make_dir, remove_new_dir, new_is_there,
	  NFS3_OK },
	{ "SYMLINK", NFSPROC3_SYMLINK, make_symlink, remove_new, new_is_there,
	  NFS3_OK },
	{ "MKNOD", NFSPROC3_MKNOD, make_fifo, remove_new, new_is_there,
	  NFS3_OK },
	{ "REMOVE", NFSPROC3_REMOVE, remove_old, make_old_again, old_is_gone,
	  NFS3_OK },
	{ "RMDIR", NFSPROC3_RMDIR, remove_dir, make_dir_again, dir_is_gone,
	  NFS3_OK },
	{ "RENAME", NFSPROC3_RENAME, rename_old, make_old_again, old_is_gone,
	  NFS3_OK },
	{ "LINK", NFSPROC3_LINK, link_file, remove_new, new_is_there, NFS3_OK },
	{ NULL, 0, NULL, NULL, NULL, NFS3_OK },
};

static const char *path_in(int i, const char *name, char path[64])
{
	snprintf(path, 64, "lower0/%d%s", i, name);
	return path;
}

void deed_prepare(struct fixture *fixture)
{
	char path[64];

	for (int i = 0; i < DEED_DIRS; i++) {
		fixture_mkdir(fixture, path_in(i, "", path), 0755);
		fixture_write(fixture, path_in(i, "/file", path), "lower text",
		              0644);
		fixture_write(fixture, path_in(i, "/old", path), "old", 0644);
		fixture_mkdir(fixture, path_in(i, "/empty", path), 0755);
	}
}

struct deed_dir deed_dir(struct client *client, int i)
{
	struct deed_dir dir = { .client = client };
	char name[16];

	snprintf(name, sizeof(name), "%d", i);
	dir.fh = nfs_find(client, nfs_root(client), name);
	dir.file = nfs_find(client, dir.fh, "file");
	return dir;
}
