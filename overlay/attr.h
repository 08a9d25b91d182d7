/*
 * Plain values that pass through the overlay: identity, attributes, callers.
 */
#ifndef VENEER_OVERLAY_ATTR_H
#define VENEER_OVERLAY_ATTR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/*
 * Where an object was born: layer number (10 bits) and inode number there (54
 * bits), and the generation that tells a reused inode number apart.
 */
struct ovl_id {
	uint64_t fileid;
	uint64_t generation;
};

struct ovl_attr {
	uint64_t fileid;
	uint64_t size; /* bytes */
	uint64_t used; /* bytes on disk */
	uint32_t mode; /* with S_IFMT, as st_mode */
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	struct timespec atime, mtime, ctime;
};

static inline bool ovl_time_is_before(const struct timespec *a,
                                      const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec
	                              : a->tv_nsec < b->tv_nsec;
}

/* What a time is set to. */
enum ovl_settime { OVL_TIME_KEEP, OVL_TIME_NOW, OVL_TIME_GIVEN };

/* Which attributes to set: those whose `has_` is true. */
struct ovl_setattr {
	bool has_mode, has_uid, has_gid, has_size;
	uint32_t mode; /* the 07777 part counts */
	uint32_t uid;
	uint32_t gid;
	uint64_t size;
	enum ovl_settime set_atime, set_mtime;
	struct timespec atime, mtime;
};

/* One object's attributes around a change. */
struct ovl_change {
	bool has_before, has_after;
	struct ovl_attr before, after;
};

/* On whose behalf, after squashing; borrowed by the call. */
struct ovl_caller {
	uint32_t uid; /* 0 is root, and may do everything */
	uint32_t gid;
	const uint32_t *groups; /* supplementary */
	unsigned ngroups;
	bool may_wait;  /* disk waits are allowed */
	bool read_only; /* may change nothing, whatever he may write to */
	/* Of ovl_begin: what was verified since need not be verified again.
	 * 0: not known. */
	uint64_t began;
};

#endif
