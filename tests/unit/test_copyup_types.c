/*
 * Copy-up of every type of object, on every filesystem that this machine has, by
 * root (trusted.*) and by an ordinary user (user.*).
 */
#include "config.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "overlay/copyup.h"
#include "tests/lib/suite.h"

#include "stage.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define LARGE (12 * MIB + 345)
#define USER 65534

/* NULL: where the tests run, whatever that is. */
static const char *const filesystems[] = { NULL, "ext4", "tmpfs", "btrfs",
	                                   "xfs" };
#define NFILESYSTEMS (sizeof(filesystems) / sizeof(filesystems[0]))

static bool as_root, planted_by_root;

/* ---- objects -------------------------------------------------------------- */

static void plant_file(const char *path, const void *data, size_t len, off_t at)
{
	int fd = openat(tree, path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

static void set_attribute(const char *path, const char *name, const void *value,
                          size_t len)
{
	ck_assert_msg(lsetxattr(tree_at(path), name, value, len, 0) == 0,
	              "%s: %s: %s", path, name, strerror(errno));
}

static void plant_empty(const char *path)
{
	plant_file(path, "", 0, 0);
}

static void plant_small(const char *path)
{
	plant_file(path, "text", 4, 0);
}

static void plant_large(const char *path)
{
	char *data = malloc(LARGE);

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < LARGE; i++)
		data[i] = (char)(i / 1000 + i);
	plant_file(path, data, LARGE, 0);
	free(data);
}

/* Data at the beginning, in the middle, and a hole at the end. */
static void plant_sparse(const char *path)
{
	plant_file(path, "begin", 5, 0);
	plant_file(path, "middle", 6, (off_t)(5 * GIB + 1));
	ck_assert_int_eq(truncate(tree_at(path), (off_t)(3 * TIB + 7)), 0);
}

static void plant_setuid(const char *path)
{
	plant_small(path);
	ck_assert_int_eq(fchmodat(tree, path, 06751, 0), 0);
}

static void plant_closed(const char *path)
{
	plant_small(path);
	ck_assert_int_eq(fchmodat(tree, path, 0, 0), 0);
}

static void plant_foreign(const char *path)
{
	plant_small(path);
	ck_assert_int_eq(fchownat(tree, path, 1000, 2000, 0), 0);
	ck_assert_int_eq(fchmodat(tree, path, 06755, 0), 0);
}

/* cap_net_raw, effective (vfs_cap_data, revision 2). */
static void plant_capable(const char *path)
{
	plant_small(path);
	set_attribute(path, "security.capability",
	              "\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
}

/* user:: rw, user 1 rwx, group:: r, mask rwx, other:: none (version 2) */
static const char acl[44] = "\2\0\0\0"
			    "\1\0\6\0\xff\xff\xff\xff"
			    "\2\0\7\0\1\0\0\0"
			    "\4\0\4\0\xff\xff\xff\xff"
			    "\x10\0\7\0\xff\xff\xff\xff"
			    "\x20\0\0\0\xff\xff\xff\xff";

static void plant_acl(const char *path)
{
	plant_small(path);
	set_attribute(path, "system.posix_acl_access", acl, 44);
}

static void plant_attributes(const char *path)
{
	char long_value[500]; /* more than ext4 keeps in an inode */

	plant_small(path);
	memset(long_value, 'v', sizeof(long_value));
	set_attribute(path, "user.empty", "", 0);
	set_attribute(path, "user.long", long_value, sizeof(long_value));
}

/* Where the filesystem has that, and it goes with its disk at the end. */
static void make_immutable(const char *path)
{
	int flags = FS_IMMUTABLE_FL, fd = tree_open(path, O_RDONLY);

	if (tree_outer >= 0)
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	close(fd);
}

static void plant_dir(const char *path)
{
	ck_assert_int_eq(mkdirat(tree, path, 0750), 0);
	ck_assert_int_eq(fchmodat(tree, path, 03771, 0), 0);
}

static void plant_acl_dir(const char *path)
{
	plant_dir(path);
	set_attribute(path, "system.posix_acl_access", acl, 44);
	set_attribute(path, "system.posix_acl_default", acl, 44);
}

static void plant_symlink(const char *path)
{
	ck_assert_int_eq(symlinkat("target", tree, path), 0);
}

/* As long as XFS has them. */
static void plant_long_symlink(const char *path)
{
	char target[1024];

	memset(target, 't', 1023);
	target[1023] = '\0';
	ck_assert_int_eq(symlinkat(target, tree, path), 0);
}

static void plant_fifo(const char *path)
{
	ck_assert_int_eq(mknodat(tree, path, S_IFIFO | 0640, 0), 0);
}

static void plant_socket(const char *path)
{
	ck_assert_int_eq(mknodat(tree, path, S_IFSOCK | 0755, 0), 0);
}

static void plant_char_device(const char *path)
{
	ck_assert_int_eq(mknodat(tree, path, S_IFCHR | 0620, makedev(260, 515)),
	                 0);
}

static void plant_block_device(const char *path)
{
	ck_assert_int_eq(mknodat(tree, path, S_IFBLK | 0660, makedev(7, 70000)),
	                 0);
}

static void plant_linked(const char *path)
{
	char other[NAME_MAX];

	plant_small(path);
	snprintf(other, sizeof(other), "%s-too", path);
	ck_assert_int_eq(linkat(tree, path, tree, other, 0), 0);
}

/* What a copy must not take over. */
static void plant_marked(const char *path)
{
	plant_small(path);
	set_attribute(path,
	              as_root ? "trusted.overlay.mark" : "user.overlay.mark",
	              "mark", 4);
}

static const struct object {
	const char *name;
	void (*plant)(const char *path);
	bool roots;   /* an ordinary user's server cannot copy all of it */
	bool by_root; /* nobody else can put it into a layer */
} objects[] = {
	{ "empty", plant_empty, false, false },
	{ "small", plant_small, false, false },
	{ "large", plant_large, false, false },
	{ "sparse", plant_sparse, false, false },
	{ "setuid", plant_setuid, false, false },
	{ "closed", plant_closed, true, false },
	{ "foreign", plant_foreign, false, true },
	{ "capable", plant_capable, true, true },
	{ "acl", plant_acl, false, false },
	{ "attributes", plant_attributes, false, false },
	{ "immutable", plant_small, false, false },
	{ "dir", plant_dir, false, false },
	{ "acl-dir", plant_acl_dir, false, false },
	{ "symlink", plant_symlink, false, false },
	{ "long-symlink", plant_long_symlink, false, false },
	{ "fifo", plant_fifo, false, false },
	{ "socket", plant_socket, false, false },
	{ "char", plant_char_device, false, true },
	{ "block", plant_block_device, false, true },
	{ "linked", plant_linked, false, false },
	{ "marked", plant_marked, false, false },
};
#define NOBJECTS (sizeof(objects) / sizeof(objects[0]))

static const char *below(const char *dir, const char *name)
{
	static char paths[2][NAME_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, NAME_MAX, "%s/%s", dir, name);
	return path;
}

static struct stat stat_of(const char *path)
{
	struct stat st;

	ck_assert_msg(fstatat(tree, path, &st, AT_SYMLINK_NOFOLLOW) == 0,
	              "%s: %s", path, strerror(errno));
	return st;
}

static void plant_object(const struct object *object, unsigned number)
{
	const char *path = below("low", object->name);
	struct timespec times[2] = { { 1000000001 + number, 123456789 },
		                     { 1600000001 + number, 987654321 } };

	object->plant(path);
	if (!as_root && geteuid() == 0 && object->plant != plant_foreign) {
		struct stat st = stat_of(path);

		ck_assert_int_eq(fchownat(tree, path, USER, USER,
		                          AT_SYMLINK_NOFOLLOW),
		                 0);
		if (!S_ISLNK(st.st_mode)) /* chown has taken setuid away */
			ck_assert_int_eq(
				fchmodat(tree, path, st.st_mode & 07777, 0), 0);
	}
	ck_assert_int_eq(utimensat(tree, path, times, AT_SYMLINK_NOFOLLOW), 0);
	if (!strcmp(object->name, "immutable"))
		make_immutable(path);
}

/* Whether this object is to be had here. */
static bool takes_part(const struct object *object)
{
	return as_root ||
	       (!object->roots && (planted_by_root || !object->by_root));
}

/* ---- where, and by whom --------------------------------------------------- */

static const char *const layer_dirs[] = { "", "high", "low", "up", "work" };

/* Say that this is not to be had here. */
static bool skip(const char *what)
{
	printf("copyup_types: skipped: no %s to be had\n", what);
	fflush(stdout);
	return false;
}

/*
 * All objects in the lower layer, and the overlay opened: on the filesystem of
 * that number / 2, by root where it is even. False: not to be had here.
 */
static bool open_on(unsigned number)
{
	const char *type = filesystems[number / 2];

	as_root = number % 2 == 0;
	planted_by_root = geteuid() == 0;
	if (as_root && geteuid() != 0)
		return skip("root");
	if (type && !tree_move_to(type))
		return skip(type);
	if (fsetxattr(tree, "user.test", "", 0, 0) < 0)
		return skip("user attributes");
	stage_plant();
	stage.userxattr = !as_root;
	for (unsigned i = 0; i < NOBJECTS; i++)
		if (takes_part(&objects[i]))
			plant_object(&objects[i], i);
	if (!as_root && geteuid() == 0) {
		for (unsigned i = 0; i < 5; i++)
			ck_assert_int_eq(fchownat(tree, layer_dirs[i], USER,
			                          USER, AT_EMPTY_PATH),
			                 0);
		tree_become_user();
	}
	stage_open();
	return true;
}

/* ---- what must be the same ------------------------------------------------ */

static void same_time(struct timespec a, struct timespec b, const char *name)
{
	ck_assert_msg(a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec,
	              "%s: another time", name);
}

static void same_attributes(const struct stat *a, const struct stat *b,
                            const char *name)
{
	ck_assert_msg(a->st_mode == b->st_mode, "%s: mode %o became %o", name,
	              a->st_mode, b->st_mode);
	ck_assert_msg(a->st_uid == b->st_uid, "%s: another owner", name);
	ck_assert_msg(a->st_gid == b->st_gid, "%s: another group", name);
	ck_assert_msg(a->st_rdev == b->st_rdev, "%s: another device", name);
	if (!S_ISDIR(a->st_mode))
		ck_assert_msg(a->st_size == b->st_size, "%s: %jd became %jd",
		              name, (intmax_t)a->st_size, (intmax_t)b->st_size);
	same_time(a->st_mtim, b->st_mtim, name);
}

/* How it looks to a client. */
static struct stat shown(const char *name)
{
	struct ovl_attr attr = attr_of(name);

	return (struct stat){
		.st_mode = attr.mode,
		.st_uid = attr.uid,
		.st_gid = attr.gid,
		.st_rdev = makedev(attr.rdev_major, attr.rdev_minor),
		.st_size = (off_t)attr.size,
		.st_atim = attr.atime,
		.st_mtim = attr.mtime,
	};
}

/* All data of `a`, and as many holes. */
static void same_data(const char *a_path, const char *b_path)
{
	static char a_data[65536], b_data[65536];
	int a = tree_open(a_path, O_RDONLY), b = tree_open(b_path, O_RDONLY);
	struct stat a_stat = stat_of(a_path), b_stat;
	off_t at = 0, end;

	while ((at = lseek(a, at, SEEK_DATA)) >= 0) {
		end = lseek(a, at, SEEK_HOLE);
		while (at < end) {
			size_t n = sizeof(a_data);

			if ((off_t)n > end - at)
				n = (size_t)(end - at);
			ck_assert_int_eq(pread(a, a_data, n, at), (ssize_t)n);
			ck_assert_int_eq(pread(b, b_data, n, at), (ssize_t)n);
			ck_assert_msg(!memcmp(a_data, b_data, n), "%s: data",
			              a_path);
			at += (off_t)n;
		}
	}
	fsync(b); /* blocks are counted when they are written */
	b_stat = stat_of(b_path);
	ck_assert_int_lt(b_stat.st_blocks, a_stat.st_blocks + 4096);
	close(a);
	close(b);
}

static void same_target(const char *a, const char *b)
{
	char a_target[2048] = "", b_target[2048] = "";

	ck_assert_int_gt(readlinkat(tree, a, a_target, sizeof(a_target) - 1),
	                 0);
	ck_assert_int_gt(readlinkat(tree, b, b_target, sizeof(b_target) - 1),
	                 0);
	ck_assert_str_eq(a_target, b_target);
}

static bool is_private(const char *name)
{
	return strstr(name, ".overlay.") != NULL;
}

static unsigned count_attributes(const char *names, ssize_t len)
{
	unsigned n = 0;

	for (const char *at = names; at < names + len; at += strlen(at) + 1)
		n += !is_private(at);
	return n;
}

/* What an ACL says again of the mode: without root, that is in an override. */
static void blank_mode(const char *name, char *value, ssize_t len)
{
	if (as_root || strcmp(name, "system.posix_acl_access"))
		return;
	for (ssize_t at = 4; at < len; at += 8)
		if (value[at] != 2 && value[at] != 4) /* USER, GROUP_OBJ */
			value[at + 2] = 0;
}

/* All extended attributes, and no others, but for the overlay's own. */
static void same_xattrs(const char *a, const char *b)
{
	char a_names[4096], b_names[4096], a_value[4096], b_value[4096];
	ssize_t a_len = llistxattr(tree_at(a), a_names, sizeof(a_names));
	ssize_t b_len = llistxattr(tree_at(b), b_names, sizeof(b_names));

	ck_assert_int_ge(a_len, 0);
	ck_assert_int_ge(b_len, 0);
	ck_assert_msg(count_attributes(a_names, a_len) ==
	                      count_attributes(b_names, b_len),
	              "%s: extended attributes", a);
	for (char *name = a_names; name < a_names + a_len;
	     name += strlen(name) + 1) {
		ssize_t n;

		if (is_private(name))
			continue;
		n = lgetxattr(tree_at(a), name, a_value, sizeof(a_value));
		ck_assert_msg(n == lgetxattr(tree_at(b), name, b_value,
		                             sizeof(b_value)),
		              "%s: %s", a, name);
		blank_mode(name, a_value, n);
		blank_mode(name, b_value, n);
		ck_assert_msg(!memcmp(a_value, b_value, (size_t)n), "%s: %s", a,
		              name);
	}
}

/*
 * Neither read nor changed in any way that shows; but only a mount of root's own
 * keeps the atime of a symlink that is read, or of a file of somebody else's.
 */
static void untouched(const struct stat *before, const char *path)
{
	struct stat now = stat_of(path);

	same_attributes(before, &now, path);
	same_time(before->st_ctim, now.st_ctim, path);
	if (as_root || (!S_ISLNK(now.st_mode) && now.st_uid == geteuid()))
		same_time(before->st_atim, now.st_atim, path);
	ck_assert_uint_eq(before->st_nlink, now.st_nlink);
	ck_assert_int_eq(before->st_blocks, now.st_blocks);
}

/* ---- copying up ----------------------------------------------------------- */

/* Change nothing that could be told, but so that it is copied up. */
static void copy_up(const char *name, const struct stat *st)
{
	const struct ovl_setattr set = {
		.set_atime = OVL_TIME_GIVEN,
		.set_mtime = OVL_TIME_GIVEN,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
	};
	struct ovl_node *node = get(name), *upper = NULL;
	int err;

	if (S_ISREG(st->st_mode))
		err = ovl_copyup(fs, node, OVL_COPYUP_ALL, &upper);
	else
		err = ovl_setattr(fs, &root, node, &set, NULL, NULL);
	ck_assert_msg(err == 0, "%s: %s", name, strerror(-err));
	ovl_node_unref(upper);
	ovl_node_unref(node);
	ck_assert_msg(tree_has(below("up", name)), "%s: not copied up", name);
}

/* TRAPS 13. */
START_TEST(every_type_keeps_what_it_is)
{
	if (!open_on(_i))
		return;
	for (unsigned i = 0; i < NOBJECTS; i++) {
		const char *name = objects[i].name;
		char low[NAME_MAX], up[NAME_MAX];
		struct stat before, after;

		if (!takes_part(&objects[i]))
			continue;
		strcpy(low, below("low", name));
		strcpy(up, below("up", name));
		before = stat_of(low);
		copy_up(name, &before);
		after = shown(name);
		same_attributes(&before, &after, name);
		same_time(before.st_atim, after.st_atim, name);
		untouched(&before, low);
		same_xattrs(low, up);
		if (S_ISREG(before.st_mode))
			same_data(low, up);
		else if (S_ISLNK(before.st_mode))
			same_target(low, up);
	}
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

/* TRAPS 12. */
START_TEST(private_attributes_stay_where_they_are)
{
	const char *mark;
	char value[8];
	struct stat st;

	if (!open_on(_i))
		return;
	mark = as_root ? "trusted.overlay.mark" : "user.overlay.mark";
	st = stat_of("low/marked");
	copy_up("marked", &st);
	ck_assert_int_eq(lgetxattr(tree_at("low/marked"), mark, value, 8), 4);
	ck_assert_int_lt(lgetxattr(tree_at("up/marked"), mark, value, 8), 0);
	ck_assert_int_eq(errno, ENODATA);
}
END_TEST

/* ---- identity ------------------------------------------------------------- */

static void same_object(const char *name, struct ovl_id id)
{
	struct ovl_node *node = NULL;

	ck_assert_msg(same_id(id_of(name), id), "%s: another identity", name);
	ck_assert_msg(resolve(id, &node) == 0, "%s: not found again", name);
	ovl_node_unref(node);
}

/* TRAPS 9. */
START_TEST(every_type_keeps_its_identity)
{
	struct ovl_id ids[NOBJECTS];

	if (!open_on(_i))
		return;
	for (unsigned i = 0; i < NOBJECTS; i++) {
		struct stat st;

		if (!takes_part(&objects[i]))
			continue;
		ids[i] = id_of(objects[i].name);
		st = stat_of(below("low", objects[i].name));
		copy_up(objects[i].name, &st);
		same_object(objects[i].name, ids[i]);
	}
	stage_reopen();
	for (unsigned i = 0; i < NOBJECTS; i++)
		if (takes_part(&objects[i]))
			same_object(objects[i].name, ids[i]);
}
END_TEST

/* TRAPS 31. */
START_TEST(all_names_of_a_lower_file_see_its_copy)
{
	if (!open_on(_i))
		return;
	write_text("linked-too", "TEXT");
	ck_assert(has_text("linked", "TEXT"));
	stage_reopen();
	ck_assert(has_text("linked", "TEXT"));
	ck_assert(same_id(id_of("linked"), id_of("linked-too")));
	ck_assert(tree_file_is("low/linked", "text"));
}
END_TEST

/* ---- clones --------------------------------------------------------------- */

/* Whether all of the file's blocks are another's, too. */
static bool is_shared(const char *path)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) +
		          64 * sizeof(struct fiemap_extent)];
	} extents = { .map = { .fm_length = FIEMAP_MAX_OFFSET,
		               .fm_flags = FIEMAP_FLAG_SYNC,
		               .fm_extent_count = 64 } };
	int fd = tree_open(path, O_RDONLY);
	unsigned n;

	ck_assert_int_eq(ioctl(fd, FS_IOC_FIEMAP, &extents.map), 0);
	close(fd);
	n = extents.map.fm_mapped_extents;
	for (unsigned i = 0; i < n; i++)
		if (!(extents.map.fm_extents[i].fe_flags &
		      FIEMAP_EXTENT_SHARED))
			return false;
	return n > 0;
}

START_TEST(what_can_share_its_blocks_does)
{
	struct stat st;

	if (!open_on(_i))
		return;
	st = stat_of("low/large");
	copy_up("large", &st);
	ck_assert(is_shared("up/large"));
	write_text("large", "TEXT");
	ck_assert(!is_shared("up/large"));
	ck_assert_uint_eq(attr_of("large").size, LARGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copyup_types");
	TCase *tcase = tcase_create("copyup_types");

	tcase_add_checked_fixture(tcase, tree_setup, stage_teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, every_type_keeps_what_it_is, 0,
	                    2 * NFILESYSTEMS);
	tcase_add_loop_test(tcase, private_attributes_stay_where_they_are, 0,
	                    2 * NFILESYSTEMS);
	tcase_add_loop_test(tcase, every_type_keeps_its_identity, 0,
	                    2 * NFILESYSTEMS);
	tcase_add_loop_test(tcase, all_names_of_a_lower_file_see_its_copy, 0,
	                    2 * NFILESYSTEMS);
	/* btrfs and xfs */
	tcase_add_loop_test(tcase, what_can_share_its_blocks_does, 6, 10);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
