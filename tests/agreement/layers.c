#include "config.h"

#include "tests/agreement/layers.h"

#include <check.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/agreement/side.h"
#include "tests/unit/seed.h"

#define MAX_DEPTH 3
#define NDATA 4
#define DATA_SIZE(i) (100 + 700 * (i))

static const char *const names[] = { "a", "b", "c", "dir", "sub", "long name" };
#define NNAMES (sizeof(names) / sizeof(names[0]))

/* One layer being made. */
struct making {
	const struct layers_kind *kind;
	int dir;        /* that all layers are in */
	unsigned layer; /* its number */
	bool lowest;
	uint64_t *random;
	char file[SIDE_PATH]; /* the last file made, to be linked to */
};

/*
 * Where in it: `path` of the overlay's names; what it merges with in the next
 * layer stands at `below` there, or nothing does ("" is the root, NULL nothing).
 */
struct place {
	char path[SIDE_PATH];
	char full[SIDE_PATH + 16]; /* the same, with the layer's name */
	char below_path[SIDE_PATH];
	const char *below;
	unsigned depth;
	bool by_attribute; /* it marks whiteouts in it by an attribute */
};

const char *layers_name(uint64_t *random)
{
	return names[test_random(random) % NNAMES];
}

static unsigned pick(struct making *making, unsigned of)
{
	return test_random(making->random) % of;
}

static bool chance(struct making *making, unsigned of)
{
	return pick(making, of) == 0;
}

static void join(const char *dir, const char *name, char path[SIDE_PATH])
{
	snprintf(path, SIDE_PATH, "%.200s%s%.200s", dir, *dir ? "/" : "", name);
}

static void child_of(const struct making *making, const struct place *dir,
                     const char *name, struct place *child)
{
	join(dir->path, name, child->path);
	snprintf(child->full, sizeof(child->full), "l%u/%s", making->layer,
	         child->path);
	child->below = NULL;
	child->by_attribute = false;
	child->depth = dir->depth + 1;
	if (dir->below) {
		join(dir->below, name, child->below_path);
		child->below = child->below_path;
	}
}

static bool is_marked_whiteout(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return getxattr(path, "trusted.overlay.whiteout", NULL, 0) >= 0 ||
	       getxattr(path, "user.overlay.whiteout", NULL, 0) >= 0;
}

/* Whether something of this type is at `path` in the next layer; a whiteout by
 * attribute is no file. */
static bool is_below(const struct making *making, const char *path, mode_t type,
                     struct stat *st)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	char full[SIDE_PATH + 16];
	int fd, err;

	if (!path || making->lowest)
		return false;
	snprintf(full, sizeof(full), "l%u/%s", making->layer + 1, path);
	fd = syscall(SYS_openat2, making->dir, full, &how, sizeof(how));
	if (fd < 0)
		return false;
	err = fstat(fd, st) || (type == S_IFREG && is_marked_whiteout(fd));
	close(fd);
	return !err && (!type || (st->st_mode & S_IFMT) == type);
}

/* ---- attributes ------------------------------------------------------------ */

/* An old time; directories get theirs when they are full. */
static void age(struct making *making, const char *full, time_t seconds)
{
	const struct timespec time = { seconds, seconds % 1000 * 1000 };
	const struct timespec times[2] = { time, time };

	ck_assert_int_eq(
		utimensat(making->dir, full, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void own(struct making *making, const char *full)
{
	uid_t owner = chance(making, 3) ? 1000 : 0;

	if (making->kind->user)
		return;
	ck_assert_int_eq(fchownat(making->dir, full, owner, owner,
	                          AT_SYMLINK_NOFOLLOW),
	                 0);
}

/* Of what is no symlink. */
static void set_mode(struct making *making, const char *full, mode_t mode)
{
	if (making->kind->user)
		mode = (mode & 0777) | (mode & 0111 ? 0700 : 0600);
	ck_assert_int_eq(fchmodat(making->dir, full, mode, 0), 0);
}

static void set_xattr(struct making *making, const char *full, const char *name,
                      const void *value, size_t size)
{
	char path[64];
	int fd = openat(making->dir, full, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ck_assert_msg(setxattr(path, name, value, size, 0) == 0, "%s: %s: %m",
	              full, name);
	close(fd);
}

static void mark(struct making *making, const char *full, const char *name,
                 const char *value)
{
	char whole[64];

	snprintf(whole, sizeof(whole), "%s.overlay.%s",
	         making->kind->user ? "user" : "trusted", name);
	set_xattr(making, full, whole, value, strlen(value));
}

/* An ACL that gives user 1001 some rights; see acl(5) and posix_acl_xattr.h. */
static void set_acl(struct making *making, const char *full, bool for_new)
{
	struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} entries[5];
	} acl = { htole32(2),
		  { { htole16(0x01), htole16(6 + pick(making, 2)), -1u },
		    { htole16(0x02), htole16(pick(making, 8)), htole32(1001) },
		    { htole16(0x04), htole16(pick(making, 8)), -1u },
		    { htole16(0x10), htole16(pick(making, 8)), -1u },
		    { htole16(0x20), htole16(pick(making, 8)), -1u } } };

	set_xattr(making, full,
	          for_new ? "system.posix_acl_default"
	                  : "system.posix_acl_access",
	          &acl, sizeof(acl));
}

static void set_capability(struct making *making, const char *full)
{
	const struct vfs_cap_data caps = {
		htole32(VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
		{ { htole32(1u << CAP_NET_RAW), 0 } },
	};

	set_xattr(making, full, "security.capability", &caps, sizeof(caps));
}

static void set_xattrs(struct making *making, const char *full, bool dir)
{
	if (chance(making, 4))
		set_xattr(making, full, "user.colour", "blue", 4);
	if (!dir && !making->kind->user && chance(making, 6))
		set_capability(making, full);
	if (making->kind->acls && chance(making, 4))
		set_acl(making, full, false);
	if (making->kind->acls && dir && chance(making, 4))
		set_acl(making, full, true);
}

/* ---- files ----------------------------------------------------------------- */

static const mode_t file_modes[] = { 0644, 0600, 0755, 04755, 02755, 0444 };

static void make_file(struct making *making, const struct place *place)
{
	char data[5000];
	size_t len = pick(making, 100);
	off_t offset = 0;
	int fd = openat(making->dir, place->full, O_CREAT | O_EXCL | O_WRONLY,
	                0600);

	ck_assert_int_ge(fd, 0);
	memset(data, 'a' + making->layer, sizeof(data));
	if (chance(making, 8))
		len = sizeof(data);
	if (chance(making, 6))
		offset = chance(making, 4) ? 300000 : 20000;
	ck_assert_int_eq(pwrite(fd, data, len, offset), len);
	if (chance(making, 8))
		ck_assert_int_eq(ftruncate(fd, offset + 50000), 0);
	close(fd);
	own(making, place->full);
	set_mode(making, place->full, file_modes[pick(making, 6)]);
	set_xattrs(making, place->full, false);
	age(making, place->full, 20000 + pick(making, 1000));
	strcpy(making->file, place->full);
}

/* The data of metacopies, under names that no overlay shows. */
static void make_data_layer(int dir)
{
	char path[64], data[3000];
	int fd;

	ck_assert_int_eq(mkdirat(dir, "data", 0755), 0);
	for (unsigned i = 0; i < NDATA; i++) {
		snprintf(path, sizeof(path), "data/%u", i);
		fd = openat(dir, path, O_CREAT | O_EXCL | O_WRONLY, 0600);
		ck_assert_int_ge(fd, 0);
		memset(data, '0' + i, sizeof(data));
		ck_assert_int_eq(write(fd, data, DATA_SIZE(i)), DATA_SIZE(i));
		close(fd);
	}
}

/* Where a metacopy's data are, and how much that is; false: there are none. */
static bool choose_data(struct making *making, const struct place *place,
                        char redirect[SIDE_PATH + 1], off_t *size)
{
	unsigned i = pick(making, NDATA);
	struct stat st;

	*redirect = '\0';
	if (making->kind->data && chance(making, 2)) {
		snprintf(redirect, SIDE_PATH, "/%u", i);
		*size = DATA_SIZE(i);
		return true;
	}
	if (!is_below(making, place->below, S_IFREG, &st))
		return false;
	if (chance(making, 3)) /* as where it has been renamed */
		snprintf(redirect, SIDE_PATH + 1, "/%s", place->below);
	*size = st.st_size;
	return true;
}

/* A file with all but the data. */
static bool make_metacopy(struct making *making, const struct place *place)
{
	char to[SIDE_PATH + 1];
	off_t size;
	int fd;

	if (!making->kind->metacopies || !choose_data(making, place, to, &size))
		return false;
	fd = openat(making->dir, place->full, O_CREAT | O_EXCL | O_WRONLY,
	            0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
	own(making, place->full);
	set_mode(making, place->full, file_modes[pick(making, 6)]);
	set_xattrs(making, place->full, false);
	mark(making, place->full, "metacopy", "");
	if (*to)
		mark(making, place->full, "redirect", to);
	age(making, place->full, 25000 + pick(making, 1000));
	return true;
}

/* Not in a user's: only an index keeps them together once one is copied up. */
static bool make_link(struct making *making, const struct place *place)
{
	return *making->file && !making->kind->user &&
	       linkat(making->dir, making->file, making->dir, place->full, 0) ==
	               0;
}

static void make_symlink(struct making *making, const struct place *place)
{
	char target[SIDE_PATH];

	join(layers_name(making->random), layers_name(making->random), target);
	ck_assert_int_eq(symlinkat(target, making->dir, place->full), 0);
	own(making, place->full);
	age(making, place->full, 30000);
}

static void make_special(struct making *making, const struct place *place)
{
	static const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
	mode_t type = types[pick(making, making->kind->user ? 2 : 4)];

	ck_assert_int_eq(mknodat(making->dir, place->full, type | 0640,
	                         makedev(1, 3 + pick(making, 2))),
	                 0);
	own(making, place->full);
	age(making, place->full, 50000);
}

/*
 * The kernel hides whiteouts only in directories that merge: a whiteout is made
 * where the next layer has something by that name.
 */
static bool make_whiteout(struct making *making, const struct place *dir,
                          const struct place *place)
{
	struct stat st;

	if (!is_below(making, place->below, 0, &st))
		return false;
	if (!dir->by_attribute)
		return mknodat(making->dir, place->full, S_IFCHR, 0) == 0;
	ck_assert_int_eq(mknodat(making->dir, place->full, S_IFREG | 0600, 0),
	                 0);
	mark(making, place->full, "whiteout", "");
	return true;
}

/* ---- directories ----------------------------------------------------------- */

static void fill(struct making *making, const struct place *dir);

/* A directory of the next layer, found by chance; false: none. */
static bool some_dir_below(struct making *making, char path[SIDE_PATH])
{
	char longer[SIDE_PATH];
	struct stat st;

	join("", layers_name(making->random), path);
	if (!is_below(making, path, S_IFDIR, &st))
		return false;
	while (chance(making, 2)) {
		join(path, layers_name(making->random), longer);
		if (is_below(making, longer, S_IFDIR, &st))
			strcpy(path, longer);
	}
	return true;
}

/* In the layer being made: a directory that merges with the one below. */
static bool merges(struct making *making, const char *full)
{
	char path[64];
	int fd = openat(making->dir, full,
	                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool merges;

	if (fd < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	merges = getxattr(path, "trusted.overlay.opaque", NULL, 0) < 0 &&
	         getxattr(path, "trusted.overlay.redirect", NULL, 0) < 0;
	close(fd);
	return merges;
}

/*
 * Hide a directory of the next layer under a whiteout, as a rename leaves one
 * where it took a directory away: no directory has two places. False where it is
 * not in sight.
 */
static bool take_away(struct making *making, const char *path)
{
	char full[SIDE_PATH + 16];
	char *slash;

	snprintf(full, sizeof(full), "l%u/%s", making->layer, path);
	slash = strchr(full, '/');
	while ((slash = strchr(slash + 1, '/'))) {
		*slash = '\0';
		mkdirat(making->dir, full, 0755);
		if (!merges(making, full))
			return false;
		*slash = '/';
	}
	return mknodat(making->dir, full, S_IFCHR, 0) == 0;
}

/* Merge it with a directory that has another name below. */
static void redirect(struct making *making, struct place *place)
{
	char to[SIDE_PATH], value[SIDE_PATH + 1];
	size_t len = strlen(place->path);
	const char *slash;

	/* Nothing is moved into itself. */
	if (!some_dir_below(making, to) || !strncmp(to, place->path, len) ||
	    !take_away(making, to))
		return;
	slash = strrchr(to, '/');
	if (place->depth == 1 && !slash)
		strcpy(value, to); /* in the same directory: a name will do */
	else
		snprintf(value, sizeof(value), "/%s", to);
	mark(making, place->full, "redirect", value);
	strcpy(place->below_path, to);
	place->below = place->below_path;
}

static void make_dir(struct making *making, struct place *place)
{
	static const mode_t modes[] = { 0755, 0755, 0777, 01777, 02775, 0700 };

	ck_assert_int_eq(mkdirat(making->dir, place->full, 0755), 0);
	own(making, place->full);
	set_mode(making, place->full, modes[pick(making, 6)]);
	set_xattrs(making, place->full, true);
	if (!making->lowest && chance(making, 6)) {
		mark(making, place->full, "opaque", "y");
		place->below = NULL;
	} else if (!making->lowest && making->kind->redirects &&
	           chance(making, 4)) {
		redirect(making, place);
	} else if (!making->lowest && making->kind->marked_whiteouts &&
	           chance(making, 6)) {
		mark(making, place->full, "opaque", "x");
		place->by_attribute = true;
	}
	fill(making, place);
	age(making, place->full, 40000 + pick(making, 1000));
}

static void make_one(struct making *making, const struct place *dir,
                     struct place *place)
{
	switch (pick(making, 20)) {
	case 0 ... 6:
		if (place->depth <= MAX_DEPTH)
			make_dir(making, place);
		return;
	case 7 ... 8:
		make_symlink(making, place);
		return;
	case 9:
		make_special(making, place);
		return;
	case 10 ... 11:
		if (make_whiteout(making, dir, place))
			return;
		break;
	case 12 ... 13:
		if (make_link(making, place))
			return;
		break;
	case 14 ... 15:
		if (make_metacopy(making, place))
			return;
		break;
	default:
		break;
	}
	make_file(making, place);
}

static void fill(struct making *making, const struct place *dir)
{
	struct place child;

	for (unsigned i = 0; i < NNAMES; i++) {
		if (chance(making, 2))
			continue;
		child_of(making, dir, names[i], &child);
		if (faccessat(making->dir, child.full, F_OK,
		              AT_SYMLINK_NOFOLLOW) == 0)
			continue; /* taken away */
		make_one(making, dir, &child);
	}
}

void layers_make(int dir, const struct layers_kind *kind, uint64_t seed)
{
	struct making making = { .kind = kind, .dir = dir, .random = &seed };
	struct place root;

	if (kind->data)
		make_data_layer(dir);
	for (making.layer = kind->n; making.layer-- > 0;) {
		making.lowest = making.layer == kind->n - 1;
		making.file[0] = '\0';
		root = (struct place){ .below = "" };
		snprintf(root.full, sizeof(root.full), "l%u", making.layer);
		ck_assert_int_eq(mkdirat(dir, root.full, 0755), 0);
		fill(&making, &root);
		age(&making, root.full, 60000 + making.layer);
	}
}
