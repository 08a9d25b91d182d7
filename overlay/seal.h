/*
 * The seal of a file: what it looked like when the server last wrote to it. A
 * file that does not fit its seal has been cut, damaged or written to by others,
 * or the server was killed in the middle of a change.
 *
 * LMDB maps its file and believes every page of it: noise in one crashes the
 * process, as does a page beyond the end of a file that was cut. Its own meta
 * pages say nothing about the rest, and to read all of it at each start would
 * take the time that the file is to save. Whoever changes a file moves its
 * times; so size, times, inode and number of the last transaction, noted after
 * each of our own changes, tell without reading any of it.
 *
 * The seal is broken, on stable storage, before the file is changed, and put on
 * again when the change is on stable storage. So a file with a seal that fits is
 * whole after a kill and after a power cut. A kill in between costs the file: it
 * could not be told from one that was damaged meanwhile, short of reading it. That
 * time is that of a flush or two in each second of changes, and none where
 * nothing changes; the file holds nothing that cannot be found again.
 *
 * Not thread-safe.
 */
#ifndef VENEER_OVERLAY_SEAL_H
#define VENEER_OVERLAY_SEAL_H

#include <stdbool.h>
#include <stdint.h>

struct ovl_seal {
	uint64_t size, ino, transaction;
	int64_t mtime, mtime_ns, ctime, ctime_ns;
};

/* What the open file looks like now. 0 or -errno. */
int ovl_seal_look(int fd, struct ovl_seal *seal);

/* Whether the open file still looks like that. */
bool ovl_seal_fits(const struct ovl_seal *seal, int fd);

/* Read the seal that is kept in the open file `sealfd`. -EINVAL: it is none. */
int ovl_seal_read(int sealfd, struct ovl_seal *seal);

/* Keep it there, or none (NULL), on stable storage. 0 or -errno. */
int ovl_seal_write(int sealfd, const struct ovl_seal *seal);

#endif
