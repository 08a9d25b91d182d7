#include "config.h"

#include "layers.h"

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/beneath.h"

#include "seed.h"
#include "side.h"

#define MAX_DEPTH 3

static const char *const names[] = { "a", "b", "c", "dir", "sub", "long name" };
#define NNAMES (sizeof(names) / sizeof(names[0]))

/* One layer being made. */
struct making {
	int dir;        /* that all layers are in */
	unsigned layer; /* its number */
	bool lowest;
	uint64_t *random;
	char file[SIDE_PATH]; /* the last file made, to be linked to */
};

const char *layers_name(uint64_t *random)
{
	return names[test_random(random) % NNAMES];
}

void layers_path(uint64_t *random, char *path, unsigned size)
{
	unsigned depth = 1 + test_random(random) % MAX_DEPTH;

	snprintf(path, size, "%s", layers_name(random));
	while (--depth) {
		strncat(path, "/", size - strlen(path) - 1);
		strncat(path, layers_name(random), size - strlen(path) - 1);
	}
}

static bool chance(struct making *making, unsigned of)
{
	return test_random(making->random) % of == 0;
}

static void at(char full[SIDE_PATH], unsigned layer, const char *path)
{
	snprintf(full, SIDE_PATH, "l%u/%.256s", layer, path);
}

/* An old time; directories get theirs when they are full. */
static void age(int dir, const char *full, time_t seconds)
{
	const struct timespec time = { seconds, seconds % 1000 * 1000 };
	const struct timespec times[2] = { time, time };

	ck_assert_int_eq(utimensat(dir, full, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void own(struct making *making, const char *full)
{
	uid_t owner = chance(making, 3) ? 1000 : 0;

	ck_assert_int_eq(fchownat(making->dir, full, owner, owner,
	                          AT_SYMLINK_NOFOLLOW),
	                 0);
}

static void make_file(struct making *making, const char *full)
{
	static const mode_t modes[] = { 0644, 0600, 0755, 04755, 02755, 0444 };
	char data[5000];
	size_t len = test_random(making->random) % 100;
	int fd = openat(making->dir, full, O_CREAT | O_EXCL | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	memset(data, 'a' + making->layer, sizeof(data));
	if (chance(making, 8))
		len = sizeof(data);
	ck_assert_int_eq(pwrite(fd, data, len, chance(making, 6) ? 20000 : 0),
	                 len);
	close(fd);
	own(making, full);
	ck_assert_int_eq(fchmodat(making->dir, full,
	                          modes[test_random(making->random) % 6], 0),
	                 0);
	age(making->dir, full, 20000 + test_random(making->random) % 1000);
	strcpy(making->file, full);
}

static bool make_link(struct making *making, const char *full)
{
	if (!*making->file ||
	    linkat(making->dir, making->file, making->dir, full, 0) < 0)
		return false;
	age(making->dir, full, HARD_LINK_TIME);
	return true;
}

static void make_symlink(struct making *making, const char *full)
{
	char target[SIDE_PATH];

	layers_path(making->random, target, sizeof(target));
	ck_assert_int_eq(symlinkat(target, making->dir, full), 0);
	own(making, full);
	age(making->dir, full, 30000);
}

/*
 * The kernel hides whiteouts only in directories that merge: a whiteout is made
 * where the next layer has something by that name, in a directory that merges
 * with this one.
 */
static bool make_whiteout(struct making *making, const char *path,
                          const char *full, bool opaque)
{
	char below[SIDE_PATH];
	int fd;

	at(below, making->layer + 1, path);
	if (making->lowest || opaque)
		return false;
	fd = ovl_open_beneath(making->dir, below, O_PATH, 0, false);
	if (fd < 0)
		return false;
	close(fd);
	ck_assert_int_eq(mknodat(making->dir, full, S_IFCHR, 0), 0);
	return true;
}

static void fill(struct making *making, const char *path, unsigned depth,
                 bool opaque);

static void make_dir(struct making *making, const char *path, const char *full,
                     unsigned depth, bool opaque)
{
	static const mode_t modes[] = { 0755, 0755, 0777, 01777, 02775, 0700 };
	mode_t mode = modes[test_random(making->random) % 6];
	int fd;

	ck_assert_int_eq(mkdirat(making->dir, full, 0755), 0);
	own(making, full);
	ck_assert_int_eq(fchmodat(making->dir, full, mode, 0), 0);
	if (!making->lowest && chance(making, 6)) {
		fd = openat(making->dir, full, O_RDONLY | O_DIRECTORY);
		ck_assert_int_eq(
			fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0), 0);
		close(fd);
		opaque = true;
	}
	fill(making, path, depth + 1, opaque);
	age(making->dir, full, 40000 + test_random(making->random) % 1000);
}

static void make_one(struct making *making, const char *path, unsigned depth,
                     bool opaque)
{
	unsigned kind = test_random(making->random) % 16;
	char full[SIDE_PATH];

	at(full, making->layer, path);
	if (kind < 5 && depth < MAX_DEPTH) {
		make_dir(making, path, full, depth, opaque);
	} else if (kind < 7) {
		make_symlink(making, full);
	} else if (kind == 7) {
		ck_assert_int_eq(mkfifoat(making->dir, full, 0640), 0);
		age(making->dir, full, 50000);
	} else if ((kind > 9 || !make_whiteout(making, path, full, opaque)) &&
	           (kind != 10 || !make_link(making, full))) {
		make_file(making, full);
	}
}

static void fill(struct making *making, const char *path, unsigned depth,
                 bool opaque)
{
	char child[SIDE_PATH];

	for (unsigned i = 0; i < NNAMES; i++) {
		if (chance(making, 3))
			continue;
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "",
		         names[i]);
		make_one(making, child, depth, opaque);
	}
}

void layers_make(int dir, unsigned n, uint64_t seed)
{
	struct making making = { .dir = dir, .random = &seed };
	char full[SIDE_PATH];

	for (making.layer = n; making.layer-- > 0;) {
		making.lowest = making.layer == n - 1;
		making.file[0] = '\0';
		at(full, making.layer, "");
		ck_assert_int_eq(mkdirat(dir, full, 0755), 0);
		fill(&making, "", 0, false);
		age(dir, full, 60000 + making.layer);
	}
}
