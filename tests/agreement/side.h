/*
 * Two ways to one overlay, so that the kernel's overlayfs can judge: its mount,
 * and veneerd through libnfs. A side offers what a client of NFS can ask for, a
 * call each, and tells of what it shows in the same words as the other.
 *
 * Paths are relative to the root ("" is the root), and no symlink is followed.
 * Results are 0 or -errno, as libnfs has them, if nothing else is said.
 */
#ifndef VENEER_TESTS_AGREEMENT_SIDE_H
#define VENEER_TESTS_AGREEMENT_SIDE_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "overlay/attr.h"
#include "overlay/overlay.h"

#define SIDE_PATH 512
#define SIDE_NAMES 96
#define SIDE_GROUP 1002

/* What stands at a path. */
struct facts {
	uint32_t mode, uid, gid, nlink;
	uint64_t size;
	uint32_t major, minor;
	struct timespec mtime;
	uint64_t fileid;
	uint64_t handle; /* what stands for the whole file handle */
};

struct side_names {
	unsigned n;
	struct side_name {
		char name[256];
		mode_t type; /* S_IFMT bits */
		uint64_t fileid;
	} names[SIDE_NAMES];
};

void names_sort(struct side_names *names);

struct side {
	const char *name;
	/*
	 * Who calls from now on. 0 is root; others are in SIDE_GROUP as well,
	 * where they are not the one user of a user namespace.
	 */
	void (*become)(uint32_t uid, uint32_t gid);

	int (*look)(const char *path, struct facts *facts);
	/* All of a regular file: the hash of its data. */
	int (*read)(const char *path, uint64_t *hash);
	int (*readlink)(const char *path, char target[PATH_MAX]);
	/* Without . and .. in no order; `types` or not are two procedures. */
	int (*list)(const char *path, bool types, struct side_names *names);
	/* Of R_OK, W_OK and X_OK, those that are granted. */
	int (*access)(const char *path, int *granted);

	/*
	 * Keep what stands at a path, as a client does what it has open, and use
	 * it, whatever has become of its name since. -EBADF: nothing is kept;
	 * the kernel: -ESTALE, its name is gone.
	 */
	int (*hold)(const char *path);
	int (*look_held)(struct facts *facts);
	int (*read_held)(uint64_t *hash);

	/* EXCLUSIVE: of `set` nothing counts. */
	int (*create)(const char *path, enum ovl_how how,
	              const struct ovl_setattr *set);
	int (*write)(const char *path, uint64_t offset, const void *data,
	             size_t len);
	int (*setattr)(const char *path, const struct ovl_setattr *set);
	int (*mkdir)(const char *path, mode_t mode);
	int (*symlink)(const char *path, const char *target);
	/* Mode with S_IFMT bits. */
	int (*mknod)(const char *path, mode_t mode, uint32_t major,
	             uint32_t minor);
	int (*unlink)(const char *path);
	int (*rmdir)(const char *path);
	int (*rename)(const char *path, const char *to);
	int (*link)(const char *path, const char *to);
};

extern const struct side kernel_side, nfs_side;

/*
 * What the kernel does against what it shows itself: it says -ENOTEMPTY of a directory
 * that it lists as empty, or gives an owner what the mode of his file does not, or not
 * what it does. An error that no file system gives.
 */
#define KERNEL_CONTRADICTS (-ENOTBLK)

/*
 * Where the kernel's overlay is mounted. With `user`, by an ordinary user in a
 * user namespace, who is root there only where root is called for.
 */
void kernel_side_open(const char *root, bool user);
void kernel_side_close(void);

/* veneerd on this port of 127.0.0.1, and its export. */
void nfs_side_open(uint16_t port, const char *export);
void nfs_side_close(void);

/* FNV-1a, to tell test data apart; begins with this. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t hash(uint64_t h, const void *data, size_t len);

#endif
