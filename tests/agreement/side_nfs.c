/* veneerd through libnfs: a name is looked up at a time, as clients do. */
#include "config.h"

#include "tests/agreement/side.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/agreement/call.h"

#define READ_SIZE 65536

static struct handle root, held;
static uint64_t verifier; /* each exclusive create has its own */

/* ---- who, and where -------------------------------------------------------- */

void nfs_side_open(uint16_t port, const char *export)
{
	call_open(port, export, &root);
	held.len = 0;
}

void nfs_side_close(void)
{
	call_close();
}

/* The object at the first `len` bytes of a path. */
static int find(const char *path, size_t len, struct handle *handle)
{
	char copy[SIDE_PATH], *name, *rest;
	struct reply reply = { 0 };
	int err;

	*handle = root;
	snprintf(copy, sizeof(copy), "%.*s", (int)len, path);
	for (name = strtok_r(copy, "/", &rest); name;
	     name = strtok_r(NULL, "/", &rest)) {
		LOOKUP3args args = { { call_fh(handle), name } };

		reply.done = false;
		err = CALL(lookup, got_object, &reply, &args);
		if (err)
			return err;
		*handle = reply.handle;
	}
	return 0;
}

static int find_object(const char *path, struct handle *handle)
{
	return find(path, strlen(path), handle);
}

static int attributes_of(struct handle *handle, struct facts *facts)
{
	GETATTR3args args = { call_fh(handle) };
	struct reply reply = { 0 };
	int err = CALL(getattr, got_attributes, &reply, &args);

	*facts = reply.facts;
	facts->handle = hash(HASH_START, handle->bytes, handle->len);
	return err;
}

/* The directory that the path's last name is in, and that name. */
static int find_parent(const char *path, struct handle *dir, char **name)
{
	const char *slash = strrchr(path, '/');

	*name = (char *)(slash ? slash + 1 : path);
	return find(path, slash ? slash - path : 0, dir);
}

/* ---- looking --------------------------------------------------------------- */

static int veneer_look(const char *path, struct facts *facts)
{
	struct handle handle;
	int err = find_object(path, &handle);

	return err ? err : attributes_of(&handle, facts);
}

static int read_all(struct handle *handle, uint64_t *sum)
{
	struct reply reply = { .hash = HASH_START };
	READ3args args = { call_fh(handle), 0, READ_SIZE };
	int err = 0;

	while (!err && !reply.eof) {
		reply.done = false;
		err = CALL(read, got_data, &reply, &args);
		args.offset += reply.len;
		ck_assert(err || reply.eof || reply.len > 0);
	}
	*sum = reply.hash;
	return err;
}

static int veneer_read(const char *path, uint64_t *sum)
{
	struct handle handle;
	int err = find_object(path, &handle);

	return err ? err : read_all(&handle, sum);
}

static int veneer_hold(const char *path)
{
	struct handle handle;
	int err = find_object(path, &handle);

	if (!err)
		held = handle;
	return err;
}

static int veneer_look_held(struct facts *facts)
{
	return held.len ? attributes_of(&held, facts) : -EBADF;
}

static int veneer_read_held(uint64_t *sum)
{
	return held.len ? read_all(&held, sum) : -EBADF;
}

static int veneer_read_target(const char *path, char target[PATH_MAX])
{
	struct reply reply = { .text = target };
	struct handle handle;
	int err = find_object(path, &handle);
	READLINK3args args = { call_fh(&handle) };

	return err ? err : CALL(readlink, got_target, &reply, &args);
}

/* Replies are small, so that a listing takes several. */
static int veneer_list(const char *path, bool types, struct side_names *names)
{
	struct reply reply = { .names = names };
	struct handle handle;
	int err = find_object(path, &handle);

	names->n = 0;
	while (!err && !reply.eof) {
		READDIR3args plain = {
			call_fh(&handle), reply.cookie, { 0 }, 600
		};
		READDIRPLUS3args plus = {
			call_fh(&handle), reply.cookie, { 0 }, 300, 1500
		};

		reply.done = false;
		err = types ? CALL(readdirplus, got_names_plus, &reply, &plus)
		            : CALL(readdir, got_names, &reply, &plain);
	}
	return err;
}

static int veneer_granted(const char *path, int *granted)
{
	struct reply reply = { 0 };
	struct handle handle;
	struct facts facts;
	int err = find_object(path, &handle);
	ACCESS3args args = { call_fh(&handle),
		             ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_MODIFY |
		                     ACCESS3_EXTEND | ACCESS3_EXECUTE };

	if (!err)
		err = attributes_of(&handle, &facts);
	if (!err)
		err = CALL(access, got_access, &reply, &args);
	if (err)
		return err;
	*granted = reply.granted & ACCESS3_READ ? R_OK : 0;
	if (reply.granted & ACCESS3_MODIFY)
		*granted |= W_OK;
	if (reply.granted &
	    (S_ISDIR(facts.mode) ? ACCESS3_LOOKUP : ACCESS3_EXECUTE))
		*granted |= X_OK;
	return 0;
}

/* ---- changing -------------------------------------------------------------- */

static time_how how_of(enum ovl_settime how)
{
	return how == OVL_TIME_KEEP  ? DONT_CHANGE
	       : how == OVL_TIME_NOW ? SET_TO_SERVER_TIME
	                             : SET_TO_CLIENT_TIME;
}

static nfstime3 time_of(struct timespec time)
{
	return (nfstime3){ time.tv_sec, time.tv_nsec };
}

static sattr3 sattr_of(const struct ovl_setattr *set)
{
	sattr3 attr = { 0 };

	attr.mode.set_it = set->has_mode;
	attr.mode.set_mode3_u.mode = set->mode & 07777;
	attr.uid.set_it = set->has_uid;
	attr.uid.set_uid3_u.uid = set->uid;
	attr.gid.set_it = set->has_gid;
	attr.gid.set_gid3_u.gid = set->gid;
	attr.size.set_it = set->has_size;
	attr.size.set_size3_u.size = set->size;
	attr.atime.set_it = how_of(set->set_atime);
	attr.atime.set_atime_u.atime = time_of(set->atime);
	attr.mtime.set_it = how_of(set->set_mtime);
	attr.mtime.set_mtime_u.mtime = time_of(set->mtime);
	return attr;
}

static int veneer_setattr(const char *path, const struct ovl_setattr *set)
{
	struct reply reply = { 0 };
	struct handle handle;
	int err = find_object(path, &handle);
	SETATTR3args args = { .object = call_fh(&handle),
		              .new_attributes = sattr_of(set) };

	return err ? err : CALL(setattr, got_status, &reply, &args);
}

static int veneer_write_data(const char *path, uint64_t offset,
                             const void *data, size_t len)
{
	struct reply reply = { 0 };
	struct handle handle;
	int err = find_object(path, &handle);
	WRITE3args args = {
		call_fh(&handle), offset, len, UNSTABLE, { len, (char *)data }
	};

	return err ? err : CALL(write, got_status, &reply, &args);
}

static int veneer_create_file(const char *path, enum ovl_how how,
                              const struct ovl_setattr *set)
{
	struct reply reply = { 0 };
	struct handle dir;
	CREATE3args args = { 0 };
	int err = find_parent(path, &dir, &args.where.name);

	if (err)
		return err;
	args.where.dir = call_fh(&dir);
	args.how.mode = how == OVL_UNCHECKED ? UNCHECKED
	                : how == OVL_GUARDED ? GUARDED
	                                     : EXCLUSIVE;
	args.how.createhow3_u.obj_attributes = sattr_of(set);
	if (how == OVL_EXCLUSIVE) {
		verifier++;
		memcpy(args.how.createhow3_u.verf, &verifier, sizeof(verifier));
	}
	return CALL(create, got_status, &reply, &args);
}

static int veneer_make_dir(const char *path, mode_t mode)
{
	const struct ovl_setattr set = { .has_mode = true, .mode = mode };
	struct reply reply = { 0 };
	struct handle dir;
	MKDIR3args args = { .attributes = sattr_of(&set) };
	int err = find_parent(path, &dir, &args.where.name);

	args.where.dir = call_fh(&dir);
	return err ? err : CALL(mkdir, got_status, &reply, &args);
}

static int veneer_make_symlink(const char *path, const char *target)
{
	struct reply reply = { 0 };
	struct handle dir;
	SYMLINK3args args = { .symlink.symlink_data = (char *)target };
	int err = find_parent(path, &dir, &args.where.name);

	args.where.dir = call_fh(&dir);
	return err ? err : CALL(symlink, got_status, &reply, &args);
}

static int veneer_make_node(const char *path, mode_t mode, uint32_t major,
                            uint32_t minor)
{
	const struct ovl_setattr set = { .has_mode = true, .mode = mode };
	struct reply reply = { 0 };
	struct handle dir;
	MKNOD3args args = { 0 };
	devicedata3 device = { sattr_of(&set), { major, minor } };
	int err = find_parent(path, &dir, &args.where.name);

	args.where.dir = call_fh(&dir);
	args.what.mknoddata3_u.chr_device = device;
	args.what.type = S_ISCHR(mode)    ? NF3CHR
	                 : S_ISBLK(mode)  ? NF3BLK
	                 : S_ISSOCK(mode) ? NF3SOCK
	                                  : NF3FIFO;
	return err ? err : CALL(mknod, got_status, &reply, &args);
}

static int veneer_remove(const char *path)
{
	struct reply reply = { 0 };
	struct handle dir;
	REMOVE3args args = { 0 };
	int err = find_parent(path, &dir, &args.object.name);

	args.object.dir = call_fh(&dir);
	return err ? err : CALL(remove, got_status, &reply, &args);
}

static int veneer_remove_dir(const char *path)
{
	struct reply reply = { 0 };
	struct handle dir;
	RMDIR3args args = { 0 };
	int err = find_parent(path, &dir, &args.object.name);

	args.object.dir = call_fh(&dir);
	return err ? err : CALL(rmdir, got_status, &reply, &args);
}

static int veneer_move(const char *path, const char *to)
{
	struct reply reply = { 0 };
	struct handle from_dir, to_dir;
	RENAME3args args = { 0 };
	struct facts facts;
	int err = find_parent(path, &from_dir, &args.from.name);

	/* A client finds out before it goes on to the other path. */
	if (!err)
		err = attributes_of(&from_dir, &facts);
	if (!err && !S_ISDIR(facts.mode))
		err = -ENOTDIR;
	if (!err)
		err = find_parent(to, &to_dir, &args.to.name);
	if (err)
		return err;
	args.from.dir = call_fh(&from_dir);
	args.to.dir = call_fh(&to_dir);
	return CALL(rename, got_status, &reply, &args);
}

static int veneer_make_link(const char *path, const char *to)
{
	struct reply reply = { 0 };
	struct handle dir, object;
	LINK3args args = { 0 };
	int err = find_object(path, &object);

	if (!err)
		err = find_parent(to, &dir, &args.link.name);
	if (err)
		return err;
	args.file = call_fh(&object);
	args.link.dir = call_fh(&dir);
	return CALL(link, got_status, &reply, &args);
}

const struct side nfs_side = {
	.name = "veneer",
	.become = call_as,
	.look = veneer_look,
	.read = veneer_read,
	.readlink = veneer_read_target,
	.list = veneer_list,
	.access = veneer_granted,
	.hold = veneer_hold,
	.look_held = veneer_look_held,
	.read_held = veneer_read_held,
	.create = veneer_create_file,
	.write = veneer_write_data,
	.setattr = veneer_setattr,
	.mkdir = veneer_make_dir,
	.symlink = veneer_make_symlink,
	.mknod = veneer_make_node,
	.unlink = veneer_remove,
	.rmdir = veneer_remove_dir,
	.rename = veneer_move,
	.link = veneer_make_link,
};
