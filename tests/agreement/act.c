#include "config.h"

#include "tests/agreement/act.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MUCH 70000
#define LONG_TARGET 2000

static const char *const names[ACT_KINDS] = {
	[ACT_CREATE] = "create",
	[ACT_CREATE_CUT] = "create, cutting",
	[ACT_CREATE_GUARDED] = "create guarded",
	[ACT_CREATE_GUARDED_CUT] = "create guarded, cutting",
	[ACT_CREATE_EXCLUSIVE] = "create exclusive",
	[ACT_CREATE_EXCLUSIVE_MODE] = "create exclusive, then chmod",
	[ACT_WRITE_START] = "write at the start",
	[ACT_WRITE_MIDDLE] = "write in the middle",
	[ACT_WRITE_PAST_END] = "write past the end",
	[ACT_WRITE_MUCH] = "write much",
	[ACT_WRITE_NOTHING] = "write nothing",
	[ACT_APPEND] = "append",
	[ACT_TRUNCATE_ZERO] = "truncate to nothing",
	[ACT_TRUNCATE_DOWN] = "truncate down",
	[ACT_TRUNCATE_UP] = "truncate up",
	[ACT_TRUNCATE_SAME] = "truncate to the same",
	[ACT_MKDIR] = "mkdir",
	[ACT_RMDIR] = "rmdir",
	[ACT_UNLINK] = "unlink",
	[ACT_REMOVE_TREE] = "remove all of",
	[ACT_RENAME] = "rename",
	[ACT_RENAME_WITHIN] = "rename in its directory",
	[ACT_RENAME_ONTO] = "rename onto",
	[ACT_RENAME_INTO] = "rename into",
	[ACT_RENAME_TO_ITSELF] = "rename to itself",
	[ACT_RENAME_BACK_AND_FORTH] = "rename there and back",
	[ACT_REPLACE] = "replace, by way of",
	[ACT_LINK] = "link",
	[ACT_LINK_WITHIN] = "link in its directory",
	[ACT_LINK_ONTO] = "link onto",
	[ACT_SYMLINK] = "symlink",
	[ACT_SYMLINK_LONG] = "symlink, long",
	[ACT_MKNOD_FIFO] = "mknod fifo",
	[ACT_MKNOD_SOCKET] = "mknod socket",
	[ACT_MKNOD_CHAR] = "mknod character device",
	[ACT_MKNOD_BLOCK] = "mknod block device",
	[ACT_CHMOD] = "chmod",
	[ACT_CHMOD_SPECIAL] = "chmod, special bits",
	[ACT_CHOWN] = "chown",
	[ACT_CHOWN_USER] = "chown user",
	[ACT_CHGRP] = "chgrp",
	[ACT_CHOWN_SAME] = "chown to the same",
	[ACT_UTIMES] = "utimes",
	[ACT_UTIMES_NOW] = "utimes now",
	[ACT_UTIMES_ACCESS] = "utimes, access",
	[ACT_UTIMES_MODIFICATION] = "utimes, modification",
	[ACT_STAT] = "stat",
	[ACT_READLINK] = "readlink",
	[ACT_READ] = "read",
	[ACT_LIST] = "list",
	[ACT_LIST_TYPES] = "list with types",
	[ACT_ACCESS] = "access",
	[ACT_HOLD] = "hold",
	[ACT_STAT_HELD] = "stat what is held",
	[ACT_READ_HELD] = "read what is held",
	[ACT_RESTART] = "restart",
};

/* ---- doing them ------------------------------------------------------------ */

static int create(const struct act *act, const struct side *side)
{
	struct ovl_setattr set = { .has_mode = true, .mode = act->mode };
	enum ovl_how how = OVL_UNCHECKED;
	int err;

	set.has_size = act->kind == ACT_CREATE_CUT ||
	               act->kind == ACT_CREATE_GUARDED_CUT;
	if (act->kind == ACT_CREATE_GUARDED ||
	    act->kind == ACT_CREATE_GUARDED_CUT)
		how = OVL_GUARDED;
	if (act->kind == ACT_CREATE_EXCLUSIVE ||
	    act->kind == ACT_CREATE_EXCLUSIVE_MODE)
		how = OVL_EXCLUSIVE;
	err = side->create(act->path, how, &set);
	if (!err && act->kind == ACT_CREATE_EXCLUSIVE_MODE)
		err = side->setattr(act->path, &set);
	return err;
}

static int write_data(const struct act *act, const struct side *side)
{
	static char data[MUCH];
	struct facts facts;
	uint64_t offset = 0;
	size_t len = 1 + act->size % 40;
	int err = side->look(act->path, &facts);

	if (err)
		return err;
	memset(data, 'A' + act->size % 26, sizeof(data));
	if (act->kind == ACT_WRITE_MIDDLE)
		offset = facts.size / 2;
	else if (act->kind == ACT_APPEND)
		offset = facts.size;
	else if (act->kind == ACT_WRITE_PAST_END)
		offset = facts.size + act->size;
	else if (act->kind == ACT_WRITE_MUCH)
		len = sizeof(data);
	else if (act->kind == ACT_WRITE_NOTHING)
		len = 0;
	return side->write(act->path, offset, data, len);
}

static int set_size(const struct act *act, const struct side *side)
{
	struct ovl_setattr set = { .has_size = true };
	struct facts facts;
	int err = side->look(act->path, &facts);

	if (err)
		return err;
	if (act->kind == ACT_TRUNCATE_DOWN)
		set.size = facts.size / 2;
	else if (act->kind == ACT_TRUNCATE_UP)
		set.size = facts.size + act->size;
	else if (act->kind == ACT_TRUNCATE_SAME)
		set.size = facts.size;
	return side->setattr(act->path, &set);
}

static int set_attributes(const struct act *act, const struct side *side)
{
	struct ovl_setattr set = {
		.mode = act->mode,
		.uid = act->owner,
		.gid = act->group,
		.atime = act->time,
		.mtime = act->time,
	};
	struct facts facts;

	switch (act->kind) {
	case ACT_CHMOD:
	case ACT_CHMOD_SPECIAL:
		set.has_mode = true;
		break;
	case ACT_CHOWN_SAME:
		if (side->look(act->path, &facts) == 0) {
			set.uid = facts.uid;
			set.gid = facts.gid;
		}
		set.has_uid = set.has_gid = true;
		break;
	case ACT_CHOWN:
	case ACT_CHOWN_USER:
	case ACT_CHGRP:
		set.has_uid = act->kind != ACT_CHGRP;
		set.has_gid = act->kind != ACT_CHOWN_USER;
		break;
	case ACT_UTIMES_NOW:
		set.set_atime = set.set_mtime = OVL_TIME_NOW;
		break;
	default:
		if (act->kind != ACT_UTIMES_MODIFICATION)
			set.set_atime = OVL_TIME_GIVEN;
		if (act->kind != ACT_UTIMES_ACCESS)
			set.set_mtime = OVL_TIME_GIVEN;
	}
	return side->setattr(act->path, &set);
}

static int make_node(const struct act *act, const struct side *side)
{
	static const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };

	/* 0:0 as well, which is no device but a whiteout. */
	return side->mknod(act->path,
	                   types[act->kind - ACT_MKNOD_FIFO] | act->mode,
	                   act->size % 3, act->size % 3 ? act->size % 200 : 0);
}

static int make_symlink(const struct act *act, const struct side *side)
{
	char target[LONG_TARGET + 1];

	if (act->kind == ACT_SYMLINK)
		return side->symlink(act->path, act->to);
	memset(target, 't', LONG_TARGET);
	target[LONG_TARGET] = '\0';
	return side->symlink(act->path, target);
}

/* What is there, and what is in it; the first error ends it. */
static int remove_tree(const char *path, const struct side *side)
{
	struct side_names *in;
	char child[SIDE_PATH];
	struct facts facts;
	int err = side->look(path, &facts);

	if (err || !S_ISDIR(facts.mode))
		return err ? err : side->unlink(path);
	in = calloc(1, sizeof(*in));
	ck_assert_ptr_nonnull(in);
	err = side->list(path, false, in);
	names_sort(in);
	for (unsigned i = 0; !err && i < in->n; i++) {
		snprintf(child, sizeof(child), "%.250s/%s", path,
		         in->names[i].name);
		err = remove_tree(child, side);
	}
	free(in);
	return err ? err : side->rmdir(path);
}

/* As editors save: a new file is written, and takes the old one's name. */
static int replace(const struct act *act, const struct side *side)
{
	const struct ovl_setattr set = { .has_mode = true, .mode = act->mode };
	int err = side->create(act->to, OVL_GUARDED, &set);

	if (!err)
		err = side->write(act->to, 0, "saved", 5);
	return err ? err : side->rename(act->to, act->path);
}

static int move(const struct act *act, const struct side *side)
{
	int err = side->rename(act->path, act->to);

	if (!err && act->kind == ACT_RENAME_BACK_AND_FORTH)
		err = side->rename(act->to, act->path);
	return err;
}

static int see_names(const struct act *act, const struct side *side,
                     uint64_t *seen)
{
	struct side_names *in = calloc(1, sizeof(*in));
	bool types = act->kind == ACT_LIST_TYPES;
	int err;

	ck_assert_ptr_nonnull(in);
	err = side->list(act->path, types, in);
	names_sort(in);
	for (unsigned i = 0; !err && i < in->n; i++) {
		struct side_name *name = &in->names[i];

		*seen = hash(*seen, name->name, strlen(name->name) + 1);
		if (types)
			*seen = hash(*seen, &name->type, sizeof(name->type));
	}
	free(in);
	return err;
}

static int see_facts(const struct act *act, const struct side *side,
                     uint64_t *seen)
{
	struct facts facts;
	int err = act->kind == ACT_STAT_HELD ? side->look_held(&facts)
	                                     : side->look(act->path, &facts);

	if (err)
		return err;
	*seen = hash(*seen, &facts.mode, sizeof(facts.mode));
	*seen = hash(*seen, &facts.uid, sizeof(facts.uid));
	*seen = hash(*seen, &facts.gid, sizeof(facts.gid));
	if (!S_ISDIR(facts.mode))
		*seen = hash(*seen, &facts.size, sizeof(facts.size));
	return 0;
}

static int see(const struct act *act, const struct side *side, uint64_t *seen)
{
	char target[PATH_MAX];
	int granted = 0, err;

	switch (act->kind) {
	case ACT_STAT:
	case ACT_STAT_HELD:
		return see_facts(act, side, seen);
	case ACT_READLINK:
		err = side->readlink(act->path, target);
		if (!err)
			*seen = hash(*seen, target, strlen(target));
		return err;
	case ACT_READ:
		return side->read(act->path, seen);
	case ACT_HOLD:
		return side->hold(act->path);
	case ACT_READ_HELD:
		return side->read_held(seen);
	case ACT_ACCESS:
		err = side->access(act->path, &granted);
		*seen = granted;
		return err;
	default:
		return see_names(act, side, seen);
	}
}

static int do_kind(const struct act *act, const struct side *side,
                   uint64_t *seen)
{
	if (act->kind >= ACT_STAT)
		return see(act, side, seen);
	if (act->kind >= ACT_CHMOD)
		return set_attributes(act, side);
	if (act->kind >= ACT_MKNOD_FIFO)
		return make_node(act, side);
	if (act->kind >= ACT_SYMLINK)
		return make_symlink(act, side);
	if (act->kind >= ACT_LINK)
		return side->link(act->path, act->to);
	if (act->kind == ACT_REPLACE)
		return replace(act, side);
	if (act->kind >= ACT_RENAME)
		return move(act, side);
	if (act->kind == ACT_REMOVE_TREE)
		return remove_tree(act->path, side);
	if (act->kind == ACT_UNLINK)
		return side->unlink(act->path);
	if (act->kind == ACT_RMDIR)
		return side->rmdir(act->path);
	if (act->kind == ACT_MKDIR)
		return side->mkdir(act->path, act->mode & 01777);
	if (act->kind >= ACT_TRUNCATE_ZERO)
		return set_size(act, side);
	if (act->kind >= ACT_WRITE_START)
		return write_data(act, side);
	return create(act, side);
}

struct outcome act_do(const struct act *act, const struct side *side)
{
	struct outcome outcome = { .seen = HASH_START };

	side->become(act->uid, act->gid);
	outcome.err = do_kind(act, side, &outcome.seen);
	side->become(0, 0);
	if (outcome.err)
		outcome.seen = HASH_START;
	return outcome;
}

void act_print(const struct act *act, FILE *out)
{
	fputs(names[act->kind], out);
	if (act->kind < ACT_STAT_HELD)
		fprintf(out, " '%s'", act->path);
	if (*act->to)
		fprintf(out, " '%s'", act->to);
	if (act->kind < ACT_WRITE_START ||
	    (act->kind >= ACT_MKNOD_FIFO && act->kind <= ACT_CHMOD_SPECIAL) ||
	    act->kind == ACT_MKDIR || act->kind == ACT_REPLACE)
		fprintf(out, " %04o", act->mode);
	if (act->kind >= ACT_CHOWN && act->kind <= ACT_CHGRP)
		fprintf(out, " %u:%u", act->owner, act->group);
	fprintf(out, " by %u:%u", act->uid, act->gid);
}
