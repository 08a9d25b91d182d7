/*
 * The steps that both sides take: what each is called, and how it is done with
 * the calls of a side.
 */
#ifndef VENEER_TESTS_AGREEMENT_ACT_H
#define VENEER_TESTS_AGREEMENT_ACT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/agreement/side.h"

enum act_kind {
	ACT_CREATE,
	ACT_CREATE_CUT,
	ACT_CREATE_GUARDED,
	ACT_CREATE_GUARDED_CUT,
	ACT_CREATE_EXCLUSIVE,
	ACT_CREATE_EXCLUSIVE_MODE,
	ACT_WRITE_START,
	ACT_WRITE_MIDDLE,
	ACT_WRITE_PAST_END,
	ACT_WRITE_MUCH,
	ACT_WRITE_NOTHING,
	ACT_APPEND,
	ACT_TRUNCATE_ZERO,
	ACT_TRUNCATE_DOWN,
	ACT_TRUNCATE_UP,
	ACT_TRUNCATE_SAME,
	ACT_MKDIR,
	ACT_RMDIR,
	ACT_UNLINK,
	ACT_REMOVE_TREE,
	ACT_RENAME,
	ACT_RENAME_WITHIN,
	ACT_RENAME_ONTO,
	ACT_RENAME_INTO,
	ACT_RENAME_TO_ITSELF,
	ACT_RENAME_BACK_AND_FORTH,
	ACT_REPLACE,
	ACT_LINK,
	ACT_LINK_WITHIN,
	ACT_LINK_ONTO,
	ACT_SYMLINK,
	ACT_SYMLINK_LONG,
	ACT_MKNOD_FIFO,
	ACT_MKNOD_SOCKET,
	ACT_MKNOD_CHAR,
	ACT_MKNOD_BLOCK,
	ACT_CHMOD,
	ACT_CHMOD_SPECIAL,
	ACT_CHOWN,
	ACT_CHOWN_USER,
	ACT_CHGRP,
	ACT_CHOWN_SAME,
	ACT_UTIMES,
	ACT_UTIMES_NOW,
	ACT_UTIMES_ACCESS,
	ACT_UTIMES_MODIFICATION,
	ACT_STAT,
	ACT_READLINK,
	ACT_READ,
	ACT_LIST,
	ACT_LIST_TYPES,
	ACT_ACCESS,
	ACT_HOLD,
	ACT_STAT_HELD,
	ACT_READ_HELD,
	ACT_RESTART, /* of both sides; no call of theirs */
	ACT_KINDS,
};

struct act {
	enum act_kind kind;
	char path[SIDE_PATH];
	char to[SIDE_PATH]; /* where there is a second path, or a target */
	uint32_t uid, gid;  /* who does it */
	mode_t mode;        /* what is made with, or chmod's */
	uint32_t owner, group;
	uint64_t size; /* how much more, or less */
	struct timespec time;
};

/* What a step led to. */
struct outcome {
	int err;       /* 0 or -errno */
	uint64_t seen; /* hash of what it showed */
};

struct outcome act_do(const struct act *act, const struct side *side);

/* In one line, without a newline. */
void act_print(const struct act *act, FILE *out);

#endif
