#include "config.h"

#include "side.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "overlay/overlay.h"

static struct ovl *fs;
static uint64_t verifier; /* each exclusive create has its own */

static bool tells_identities;

void veneer_side_tell_identities(bool tell)
{
	tells_identities = tell;
}

void veneer_side_use(struct ovl *overlay)
{
	fs = overlay;
}

static struct ovl_caller caller_of(uint32_t uid)
{
	return (struct ovl_caller){ .uid = uid, .gid = uid, .may_wait = true };
}

/* The node at the first `len` bytes of a path. */
static int find(const struct ovl_caller *caller, const char *path, size_t len,
                struct ovl_node **node)
{
	struct ovl_node *at = ovl_root(fs), *next;
	char copy[SIDE_PATH], *name, *rest;
	int err;

	snprintf(copy, sizeof(copy), "%.*s", (int)len, path);
	for (name = strtok_r(copy, "/", &rest); name;
	     name = strtok_r(NULL, "/", &rest)) {
		err = ovl_lookup(fs, caller, at, name, &next);
		ovl_node_unref(at);
		if (err)
			return err;
		at = next;
	}
	*node = at;
	return 0;
}

static int find_parent(const struct ovl_caller *caller, const char *path,
                       struct ovl_node **dir, const char **name)
{
	const char *slash = strrchr(path, '/');
	int err;

	*name = slash ? slash + 1 : path;
	err = find(caller, path, slash ? slash - path : 0, dir);
	if (!err && S_ISDIR(ovl_node_type(*dir)))
		return 0;
	if (!err)
		ovl_node_unref(*dir);
	return err ? err : -ENOTDIR;
}

/* ---- changing ------------------------------------------------------------- */

static int make(const struct ovl_caller *caller, struct ovl_node *dir,
                const char *name, const struct act *act)
{
	struct ovl_setattr set = {
		.has_mode = true,
		.mode = act->mode,
		.has_size = act->cut,
		.size = 0,
	};
	struct ovl_node *node = NULL;
	int err;

	switch (act->kind) {
	case ACT_CREATE:
		err = ovl_create(fs, caller, dir, name, OVL_UNCHECKED, &set, 0,
		                 &node, NULL);
		break;
	case ACT_CREATE_GUARDED:
		err = ovl_create(fs, caller, dir, name, OVL_GUARDED, &set, 0,
		                 &node, NULL);
		break;
	case ACT_CREATE_EXCLUSIVE:
		err = ovl_create(fs, caller, dir, name, OVL_EXCLUSIVE, &set,
		                 ++verifier, &node, NULL);
		break;
	case ACT_MKDIR:
		err = ovl_mkdir(fs, caller, dir, name, &set, &node, NULL);
		break;
	case ACT_SYMLINK:
		err = ovl_symlink(fs, caller, dir, name, act->to, &set, &node,
		                  NULL);
		break;
	case ACT_MKFIFO:
		err = ovl_mknod(fs, caller, dir, name, S_IFIFO, 0, &set, &node,
		                NULL);
		break;
	default:
		err = ovl_mknod(fs, caller, dir, name, S_IFCHR, 0x105, &set,
		                &node, NULL);
	}
	ovl_node_unref(node);
	return err;
}

static int change_node(const struct ovl_caller *caller, struct ovl_node *node,
                       const struct act *act)
{
	struct ovl_setattr set = { 0 };
	struct ovl_attr attr;
	ssize_t n;
	int err;

	switch (act->kind) {
	case ACT_WRITE:
		n = ovl_write(fs, caller, node, act->text, strlen(act->text),
		              act->size, OVL_UNSTABLE, NULL);
		return n < 0 ? n : 0;
	case ACT_APPEND:
		err = ovl_getattr(fs, caller, node, &attr);
		if (err)
			return err;
		n = ovl_write(fs, caller, node, act->text, strlen(act->text),
		              attr.size, OVL_UNSTABLE, NULL);
		return n < 0 ? n : 0;
	case ACT_TRUNCATE:
		set.has_size = true;
		set.size = act->size;
		break;
	case ACT_CHMOD:
		set.has_mode = true;
		set.mode = act->mode;
		break;
	case ACT_CHOWN:
		set.has_uid = set.has_gid = true;
		set.uid = set.gid = act->owner;
		break;
	default:
		set.set_atime = set.set_mtime = OVL_TIME_GIVEN;
		set.atime = set.mtime = act->time;
	}
	return ovl_setattr(fs, caller, node, &set, NULL, NULL);
}

static int change(const struct ovl_caller *caller, const struct act *act)
{
	struct ovl_node *node;
	int err = find(caller, act->path, strlen(act->path), &node);

	if (err)
		return err;
	err = change_node(caller, node, act);
	ovl_node_unref(node);
	return err;
}

static int act_on_two(const struct ovl_caller *caller, struct ovl_node *dir,
                      const char *name, const struct act *act)
{
	struct ovl_node *to, *node;
	const char *to_name;
	int err = find_parent(caller, act->to, &to, &to_name);

	if (err)
		return err;
	if (act->kind == ACT_RENAME) {
		err = ovl_rename(fs, caller, dir, name, to, to_name, NULL,
		                 NULL);
	} else {
		err = ovl_lookup(fs, caller, dir, name, &node);
		if (!err) {
			err = ovl_link(fs, caller, node, to, to_name, NULL);
			ovl_node_unref(node);
		}
	}
	ovl_node_unref(to);
	return err;
}

static int act_in(const struct ovl_caller *caller, const struct act *act)
{
	struct ovl_node *dir;
	const char *name;
	int err = find_parent(caller, act->path, &dir, &name);

	if (err)
		return err;
	switch (act->kind) {
	case ACT_RMDIR:
		err = ovl_rmdir(fs, caller, dir, name, NULL);
		break;
	case ACT_UNLINK:
		err = ovl_remove(fs, caller, dir, name, NULL);
		break;
	case ACT_RENAME:
	case ACT_LINK:
		err = act_on_two(caller, dir, name, act);
		break;
	default:
		err = make(caller, dir, name, act);
	}
	ovl_node_unref(dir);
	return err;
}

static int veneer_act(const struct act *act)
{
	struct ovl_caller caller = caller_of(act->uid);

	switch (act->kind) {
	case ACT_WRITE:
	case ACT_APPEND:
	case ACT_TRUNCATE:
	case ACT_CHMOD:
	case ACT_CHOWN:
	case ACT_UTIMES:
		return change(&caller, act);
	default:
		return act_in(&caller, act);
	}
}

/* ---- telling -------------------------------------------------------------- */

static int describe_node(const struct ovl_caller *caller, struct ovl_node *node,
                         char line[SIDE_LINE])
{
	static char data[1 << 16];
	struct ovl_attr attr;
	struct facts facts;
	ssize_t n;
	bool eof;

	n = ovl_getattr(fs, caller, node, &attr);
	if (n)
		return n;
	ck_assert_uint_eq(attr.fileid, ovl_node_id(node).fileid);
	if (S_ISREG(attr.mode))
		n = ovl_read(fs, caller, node, data, sizeof(data), 0, &eof);
	else if (S_ISLNK(attr.mode))
		n = ovl_readlink(fs, caller, node, data, sizeof(data));
	if (n < 0)
		return n;
	facts = (struct facts){
		.mode = attr.mode,
		.uid = attr.uid,
		.gid = attr.gid,
		.nlink = attr.nlink,
		.size = attr.size,
		.rdev = makedev(attr.rdev_major, attr.rdev_minor),
		.mtime = attr.mtime,
		.data = data,
		.len = n,
	};
	facts_line(&facts, line);
	n = strlen(line);
	if (tells_identities)
		snprintf(line + n, SIDE_LINE - n, " id %016llx.%016llx",
		         (unsigned long long)ovl_node_id(node).fileid,
		         (unsigned long long)ovl_node_id(node).generation);
	return 0;
}

static int veneer_describe(const char *path, char line[SIDE_LINE])
{
	struct ovl_caller caller = caller_of(0);
	struct ovl_node *node;
	int err = find(&caller, path, strlen(path), &node);

	if (err)
		return err;
	err = describe_node(&caller, node, line);
	ovl_node_unref(node);
	return err;
}

struct taking {
	struct side_names *names;
	struct ovl_node *dir;
};

/* The listing, a look-up and the attributes agree on who an object is. */
static void check_identity(struct ovl_node *dir, const struct ovl_dirent *entry)
{
	struct ovl_caller caller = caller_of(0);
	struct ovl_node *node;

	ck_assert_int_eq(ovl_lookup(fs, &caller, dir, entry->name, &node), 0);
	ck_assert_uint_eq(entry->fileid, ovl_node_id(node).fileid);
	ck_assert(!entry->has_attr ||
	          entry->id.generation == ovl_node_id(node).generation);
	ovl_node_unref(node);
}

static bool take(void *arg, const struct ovl_dirent *entry)
{
	struct taking *taking = arg;
	struct side_names *names = taking->names;

	ck_assert_uint_eq(entry->namelen, strlen(entry->name));
	check_identity(taking->dir, entry);
	if (strcmp(entry->name, ".") && strcmp(entry->name, "..") &&
	    names->n < SIDE_NAMES)
		strcpy(names->name[names->n++], entry->name);
	return true;
}

static int veneer_list(const char *path, struct side_names *names)
{
	struct ovl_caller caller = caller_of(0);
	struct taking taking = { .names = names };
	bool eof = false;
	int err;

	names->n = 0;
	err = find(&caller, path, strlen(path), &taking.dir);
	if (err)
		return err;
	err = ovl_readdir(fs, &caller, taking.dir, 0, verifier++ & 1, take,
	                  &taking, &eof);
	ck_assert(err || eof);
	ovl_node_unref(taking.dir);
	return err;
}

const struct side veneer_side = {
	.name = "veneer",
	.act = veneer_act,
	.describe = veneer_describe,
	.list = veneer_list,
};
