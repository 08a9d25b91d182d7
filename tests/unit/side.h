/*
 * Two ways to one overlay, for tests that let the kernel's overlayfs be the
 * judge: its mount, and ovl_open. Both do the same acts, and tell of what they
 * show in the same words.
 *
 * Paths are relative to the root ("" is the root), and no symlink is followed.
 */
#ifndef VENEER_TESTS_UNIT_SIDE_H
#define VENEER_TESTS_UNIT_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define SIDE_PATH 512
#define SIDE_LINE 1024
#define SIDE_NAMES 64

enum act_kind {
	ACT_CREATE,
	ACT_CREATE_GUARDED,
	ACT_CREATE_EXCLUSIVE,
	ACT_WRITE,
	ACT_APPEND,
	ACT_TRUNCATE,
	ACT_MKDIR,
	ACT_RMDIR,
	ACT_UNLINK,
	ACT_RENAME,
	ACT_LINK,
	ACT_SYMLINK,
	ACT_MKFIFO,
	ACT_MKNOD,
	ACT_CHMOD,
	ACT_CHOWN,
	ACT_UTIMES,
	ACT_KINDS,
};

extern const char *const act_names[ACT_KINDS];

struct act {
	enum act_kind kind;
	const char *path;
	const char *to;   /* rename, link: a path; symlink: the target */
	uint32_t uid;     /* on whose behalf; his group has the same number */
	mode_t mode;      /* of what is made, or chmod's */
	uint32_t owner;   /* chown's, and the group's */
	bool cut;         /* create: an existing file is emptied */
	uint64_t size;    /* truncate, or the offset to write at */
	const char *text; /* to write */
	struct timespec time;
};

struct side_names {
	unsigned n;
	char name[SIDE_NAMES][SIDE_PATH / 2];
};

struct side {
	const char *name;
	int (*act)(const struct act *act); /* 0 or -errno */
	/* What stands there, in one line; 0 or -errno. */
	int (*describe)(const char *path, char line[SIDE_LINE]);
	/* The names in a directory, in no order; 0 or -errno. */
	int (*list)(const char *path, struct side_names *names);
};

extern const struct side kernel_side, veneer_side;

/* Where the kernel's overlay is mounted: a descriptor of its root. */
void kernel_side_use(int root);

struct ovl;
void veneer_side_use(struct ovl *fs);

/* Whether its lines tell each object's identity, too. */
void veneer_side_tell_identities(bool tell);

/* ---- what both tell of an object ------------------------------------------ */

struct facts {
	uint32_t mode, uid, gid, nlink;
	uint64_t size;
	dev_t rdev;
	struct timespec mtime;
	const void *data; /* of a file; the target of a symlink */
	size_t len;
};

/*
 * Lower files of several links have this time: copying one name up parts it
 * from the others in the kernel (index=off), and does not in veneer.
 */
#define HARD_LINK_TIME 12345
/* Times from here on are the clock's, which no two runs agree on. */
#define NOW_TIME 1000000000

void facts_line(const struct facts *facts, char line[SIDE_LINE]);

/* The whole tree of a side, sorted, a line an object, into one string. */
char *side_manifest(const struct side *side);

#endif
