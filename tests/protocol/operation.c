#include "config.h"

#include "tests/protocol/operation.h"

#include <check.h>
#include <stdio.h>

#include "tests/lib/fixture.h"

/* ---- reading and changing -------------------------------------------------- */

static nfsstat3 getattr(const struct place *place)
{
	return nfs_getattr(place->client, place->file)->status;
}

nfsstat3 operation_setattr_mode(const struct place *place)
{
	return nfs_setattr(place->client, place->file, set_mode(0600))->status;
}

static nfsstat3 setattr_size(const struct place *place)
{
	return nfs_setattr(place->client, place->file, set_size(3))->status;
}

static nfsstat3 setattr_dir(const struct place *place)
{
	return nfs_setattr(place->client, place->dir, set_mode(0700))->status;
}

static nfsstat3 setattr_owner(const struct place *place)
{
	sattr3 set = set_nothing();

	set.uid.set_it = set.gid.set_it = true;
	set.uid.set_uid3_u.uid = 7;
	set.gid.set_gid3_u.gid = 8;
	return nfs_setattr(place->client, place->file, set)->status;
}

static nfsstat3 setattr_times(const struct place *place)
{
	sattr3 set = set_nothing();

	set.mtime.set_it = SET_TO_CLIENT_TIME;
	set.mtime.set_mtime_u.mtime = (nfstime3){ 900000000, 9 };
	return nfs_setattr(place->client, place->file, set)->status;
}

static nfsstat3 setattr_link(const struct place *place)
{
	sattr3 set = set_nothing();

	set.uid.set_it = true;
	set.uid.set_uid3_u.uid = 7;
	return nfs_setattr(place->client, place->link, set)->status;
}

static nfsstat3 lookup(const struct place *place)
{
	return nfs_lookup(place->client, place->dir, "other")->status;
}

static nfsstat3 lookup_missing(const struct place *place)
{
	nfsstat3 status =
		nfs_lookup(place->client, place->dir, "missing")->status;

	return status == NFS3ERR_NOENT ? NFS3_OK : status;
}

static nfsstat3 access_file(const struct place *place)
{
	return nfs_access(place->client, place->file, ACCESS3_READ)->status;
}

static nfsstat3 readlink_it(const struct place *place)
{
	return nfs_readlink(place->client, place->link)->status;
}

static nfsstat3 read_file(const struct place *place)
{
	return nfs_read(place->client, place->file, 0, 100)->status;
}

static nfsstat3 write_file(const struct place *place)
{
	return nfs_write(place->client, place->file, 0, "x", 1, FILE_SYNC)
	        ->status;
}

static nfsstat3 write_unstable(const struct place *place)
{
	return nfs_write(place->client, place->file, 0, "x", 1, UNSTABLE)
	        ->status;
}

static nfsstat3 commit(const struct place *place)
{
	return nfs_commit(place->client, place->file, 0, 0)->status;
}

static nfsstat3 create_unchecked(const struct place *place)
{
	return nfs_create(place->client, place->dir, "new", UNCHECKED,
	                  set_mode(0640))
	        ->status;
}

/* The existing file, cut. */
static nfsstat3 create_over(const struct place *place)
{
	return nfs_create(place->client, place->dir, "file", UNCHECKED,
	                  set_size(0))
	        ->status;
}

static nfsstat3 create_guarded(const struct place *place)
{
	return nfs_create(place->client, place->dir, "new", GUARDED,
	                  set_mode(0640))
	        ->status;
}

static nfsstat3 create_exclusive(const struct place *place)
{
	return nfs_create_exclusive(place->client, place->dir, "new",
	                            "verifier")
	        ->status;
}

static nfsstat3 make_dir(const struct place *place)
{
	return nfs_mkdir(place->client, place->dir, "new", set_mode(0750))
	        ->status;
}

nfsstat3 operation_symlink(const struct place *place)
{
	return nfs_symlink(place->client, place->dir, "new", "target")->status;
}

nfsstat3 operation_mknod(const struct place *place)
{
	return nfs_mknod(place->client, place->dir, "new", NF3FIFO, 0, 0)
	        ->status;
}

static nfsstat3 make_socket(const struct place *place)
{
	return nfs_mknod(place->client, place->dir, "new", NF3SOCK, 0, 0)
	        ->status;
}

static nfsstat3 remove_link(const struct place *place)
{
	return nfs_remove(place->client, place->dir, "link")->status;
}

static nfsstat3 remove_file(const struct place *place)
{
	return nfs_remove(place->client, place->dir, "file")->status;
}

static nfsstat3 remove_dir(const struct place *place)
{
	return nfs_rmdir(place->client, place->dir, "empty")->status;
}

static nfsstat3 rename_file(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "file", place->dir, "new")
	        ->status;
}

static nfsstat3 rename_over(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "file", place->dir,
	                  "other")
	        ->status;
}

/* Where both are one file, both stay. */
static nfsstat3 rename_over_second(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "other", place->dir,
	                  "second")
	        ->status;
}

static nfsstat3 rename_away(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "file", place->root,
	                  "away")
	        ->status;
}

/* A lower one, that is: it is redirected. */
static nfsstat3 rename_dir(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "empty", place->dir, "new")
	        ->status;
}

static nfsstat3 rename_link(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "link", place->dir, "new")
	        ->status;
}

static nfsstat3 link_link(const struct place *place)
{
	return nfs_link(place->client, place->link, place->dir, "new")->status;
}

static nfsstat3 link_file(const struct place *place)
{
	return nfs_link(place->client, place->file, place->dir, "new")->status;
}

/* A listing that comes is a whole one. */
static nfsstat3 readdir_all(const struct place *place)
{
	READDIR3res *res = nfs_readdir(place->client, place->dir, 0, 8192);
	int names = 0;

	if (res->status != NFS3_OK)
		return res->status;
	for (entry3 *e = res->READDIR3res_u.resok.reply.entries; e != NULL;
	     e = e->nextentry)
		names++;
	ck_assert_int_eq(names, PLACE_NAMES);
	return NFS3_OK;
}

static nfsstat3 readdirplus_all(const struct place *place)
{
	READDIRPLUS3res *res =
		nfs_readdirplus(place->client, place->dir, 0, 8192, 8192);
	int names = 0;

	if (res->status != NFS3_OK)
		return res->status;
	for (entryplus3 *e = res->READDIRPLUS3res_u.resok.reply.entries;
	     e != NULL; e = e->nextentry)
		names++;
	ck_assert_int_eq(names, PLACE_NAMES);
	return NFS3_OK;
}

static nfsstat3 fsstat(const struct place *place)
{
	return nfs_fsstat(place->client, place->dir)->status;
}

/* MOUNT's statuses that matter here have NFS's numbers. */
static nfsstat3 mnt(const struct place *place)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s/empty", FIXTURE_EXPORT,
	         place->name);
	return (nfsstat3)nfs_mnt(place->client, path)->fhs_status;
}

/* ---- what is prepared, and what then follows ------------------------------- */

static nfsstat3 empty_full(const struct place *place)
{
	return nfs_remove(place->client,
	                  nfs_find(place->client, place->dir, "full"), "a")
	        ->status;
}

static nfsstat3 remove_full(const struct place *place)
{
	return nfs_rmdir(place->client, place->dir, "full")->status;
}

/* Where there was a lower file, a whiteout is. */
static nfsstat3 create_again(const struct place *place)
{
	return nfs_create(place->client, place->dir, "file", GUARDED,
	                  set_mode(0600))
	        ->status;
}

static nfsstat3 make_dir_again(const struct place *place)
{
	return nfs_mkdir(place->client, place->dir, "file", set_mode(0700))
	        ->status;
}

static nfsstat3 link_again(const struct place *place)
{
	return nfs_link(place->client, place->other, place->dir, "file")
	        ->status;
}

static nfsstat3 rename_again(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "other", place->dir,
	                  "file")
	        ->status;
}

static nfsstat3 rename_dir_again(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "empty", place->dir,
	                  "file")
	        ->status;
}

/* Over a directory that looks empty, and holds whiteouts. */
static nfsstat3 rename_over_dir(const struct place *place)
{
	return nfs_rename(place->client, place->dir, "empty", place->dir,
	                  "full")
	        ->status;
}

/* ---- what is lower is made upper first -------------------------------------- */

static nfsstat3 set_same_mode(const struct place *place, const char *name)
{
	nfs_fh3 fh = nfs_find(place->client, place->dir, name);
	mode3 mode = nfs_attributes(place->client, fh).mode;

	return nfs_setattr(place->client, fh, set_mode(mode))->status;
}

nfsstat3 operation_copy_attributes(const struct place *place)
{
	static const char *const names[] = { "file", "other", "second", "empty",
		                             "full" };

	for (int i = 0; i < 5; i++) {
		nfsstat3 status = set_same_mode(place, names[i]);

		if (status != NFS3_OK)
			return status;
	}
	return NFS3_OK;
}

nfsstat3 operation_copy_data(const struct place *place)
{
	WRITE3res *res =
		nfs_write(place->client, place->file, 0, "l", 1, FILE_SYNC);

	if (res->status == NFS3_OK)
		res = nfs_write(place->client, place->other, 0, "o", 1,
		                FILE_SYNC);
	return res->status == NFS3_OK ? operation_copy_attributes(place)
	                              : res->status;
}

#define MODE operation_setattr_mode

const struct operation operation_readers[] = {
	{ "GETATTR", NULL, getattr, false, false },
	{ "GETATTR of a copy", MODE, getattr, false, false },
	{ "LOOKUP", NULL, lookup, false, false },
	{ "LOOKUP in a merged directory", MODE, lookup, false, false },
	{ "LOOKUP of nothing", NULL, lookup_missing, false, false },
	{ "ACCESS", NULL, access_file, false, false },
	{ "READLINK", NULL, readlink_it, false, false },
	{ "READ", NULL, read_file, false, false },
	{ "READ of a copy", MODE, read_file, false, false },
	{ "READDIR", NULL, readdir_all, false, false },
	{ "READDIR of a merged directory", MODE, readdir_all, false, false },
	{ "READDIRPLUS", NULL, readdirplus_all, false, false },
	{ "READDIRPLUS of a merged one", MODE, readdirplus_all, false, false },
	{ "FSSTAT", NULL, fsstat, false, false },
	{ "MNT", NULL, mnt, false, true },
	{ NULL, NULL, NULL, false, false },
};

const struct operation operation_changers[] = {
	{ "SETATTR of a mode", NULL, MODE, false, false },
	{ "SETATTR of an owner", NULL, setattr_owner, false, false },
	{ "SETATTR of times", NULL, setattr_times, false, false },
	{ "SETATTR of a symlink", NULL, setattr_link, false, false },
	{ "SETATTR of a copy", setattr_dir, MODE, false, false },
	{ "SETATTR of a size", NULL, setattr_size, true, false },
	{ "SETATTR of a copy's size", MODE, setattr_size, true, false },
	{ "SETATTR of a directory", NULL, setattr_dir, false, false },
	{ "WRITE", NULL, write_file, false, false },
	{ "WRITE to a copy", MODE, write_file, false, false },
	{ "WRITE UNSTABLE", NULL, write_unstable, false, false },
	{ "COMMIT", write_unstable, commit, false, false },
	{ "CREATE UNCHECKED", NULL, create_unchecked, false, false },
	{ "CREATE over a file", NULL, create_over, true, false },
	{ "CREATE GUARDED", NULL, create_guarded, false, false },
	{ "CREATE over a whiteout", remove_file, create_again, false, false },
	{ "CREATE EXCLUSIVE", NULL, create_exclusive, false, false },
	{ "MKDIR", NULL, make_dir, false, false },
	{ "MKDIR over a whiteout", remove_file, make_dir_again, false, false },
	{ "SYMLINK", NULL, operation_symlink, false, false },
	{ "MKNOD", NULL, operation_mknod, false, false },
	{ "MKNOD of a socket", NULL, make_socket, false, false },
	{ "REMOVE of a symlink", NULL, remove_link, false, false },
	{ "REMOVE", NULL, remove_file, false, false },
	{ "REMOVE of a copy", MODE, remove_file, false, false },
	{ "RMDIR", NULL, remove_dir, false, false },
	{ "RMDIR of whiteouts", empty_full, remove_full, false, false },
	{ "RENAME", NULL, rename_file, false, false },
	{ "RENAME of a copy", MODE, rename_file, false, false },
	{ "RENAME over a file", NULL, rename_over, false, false },
	{ "RENAME over a whiteout", remove_file, rename_again, false, false },
	{ "RENAME over another file", NULL, rename_over_second, false, false },
	{ "RENAME of a symlink", NULL, rename_link, false, false },
	{ "RENAME to another directory", NULL, rename_away, false, false },
	{ "RENAME of a directory", NULL, rename_dir, false, false },
	{ "RENAME of a directory over a whiteout", remove_file,
	  rename_dir_again, false, false },
	{ "RENAME over a directory", empty_full, rename_over_dir, false,
	  false },
	{ "LINK", NULL, link_file, false, false },
	{ "LINK of a symlink", NULL, link_link, false, false },
	{ "LINK over a whiteout", remove_file, link_again, false, false },
	{ NULL, NULL, NULL, false, false },
};
