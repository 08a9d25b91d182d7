/*
 * The LMDB file of the store (store.h): where it may be, that it is whole when it
 * is opened and while it is read, and how it is begun anew where it is not. Its seal
 * (seal.h) lies beside it and tells what it was when it was last written.
 *
 * One thread opens, writes and exchanges it; any may ask whether it is whole.
 */
#ifndef VENEER_OVERLAY_MDBFILE_H
#define VENEER_OVERLAY_MDBFILE_H

#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlay/log.h"
#include "overlay/seal.h"
#include "overlay/store.h"

struct ovl_mdbfile {
	int dirfd;
	size_t max;
	struct ovl_log log;

	MDB_env *env; /* NULL: no file */
	MDB_dbi tables[OVL_NTABLES];
	int fd;     /* the file, locked */
	int sealfd; /* its seal */

	pthread_mutex_t lock; /* guards what follows */
	struct ovl_seal seal;
	bool sealed;
	unsigned turns; /* of sealed */
};

/* A line about the file; `err` is 0, an errno or an error of LMDB's. */
void ovl_mdbfile_say(const struct ovl_mdbfile *file, int level,
                     const char *what, int err);

/*
 * Open it in the directory `dirfd`, which is kept as a copy, or begin it anew, with
 * a line in the log where one was there. Nothing to release on failure. -EREMOTE: on
 * a network filesystem; -EBUSY: another server has it; -errno.
 */
int ovl_mdbfile_open(struct ovl_mdbfile *file, int dirfd, size_t max,
                     const struct ovl_log *log);
void ovl_mdbfile_close(struct ovl_mdbfile *file);

/* A new one, empty, in its place; nobody uses it meanwhile. 0; -errno: there is
 * none now. */
int ovl_mdbfile_renew(struct ovl_mdbfile *file);

/* From here on it is not what the seal says. 0 or -errno. */
int ovl_mdbfile_unseal(struct ovl_mdbfile *file);

/* What has been written is on stable storage before the seal says so. */
int ovl_mdbfile_seal(struct ovl_mdbfile *file);

/*
 * Whether it is still as we left it: that of a running server may be damaged, too,
 * and a page that is gone from under a mapping is SIGBUS. What is done to it a
 * moment later is not seen; nothing is perfect.
 */
bool ovl_mdbfile_is_whole(struct ovl_mdbfile *file);

/* Whether a filesystem of this magic number (statfs(2)) is reached by network. */
bool ovl_mdbfile_is_remote(uint32_t magic);

#endif
