#include "config.h"

#include "overlay/copy.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/layer.h"
#include "tests/unit/seed.h"
#include "tests/unit/tree.h"

static const struct timespec times[2] = {
	{ 1000000001, 123456789 },
	{ 1999999999, 987654321 },
};

/* vfs_cap_data, revision 2: cap_net_raw, effective */
static const unsigned char capability[20] = "\1\0\0\2"
					    "\0\x20\0\0"
					    "\0\0\0\0"
					    "\0\0\0\0"
					    "\0\0\0\0";

/* version 2; user:: rw, user 1 rwx, group:: r, mask rwx, other:: none */
static const unsigned char acl[44] = "\2\0\0\0"
				     "\1\0\6\0\xff\xff\xff\xff"
				     "\2\0\7\0\1\0\0\0"
				     "\4\0\4\0\xff\xff\xff\xff"
				     "\x10\0\7\0\xff\xff\xff\xff"
				     "\x20\0\0\0\xff\xff\xff\xff";

/* from/ and to/ are on one filesystem, or on two. */
static int from, to;

static void open_both(void)
{
	from = tree_open("from", O_RDONLY);
	to = tree_open("to", O_RDONLY);
}

static void plant(void)
{
	tree_mkdir("from");
	tree_mkdir("to");
	open_both();
}

/* Where tests run on two filesystems, too: false where that cannot be. */
static bool plant_on(int two)
{
	tree_mkdir("from");
	tree_mkdir("to");
	if (two && !tree_may_mount())
		return false;
	if (two)
		tree_mount_tmpfs("to", NULL);
	open_both();
	return true;
}

#define ONE_ONLY "no second filesystem without root"

static void close_both(void)
{
	close(from);
	close(to);
}

/* Both: without overrides. */
static const struct ovl_layer layer = {
	.generation_kind = OVL_GENERATION_BTIME,
};

static struct ovl_attr attr_of(int dirfd, const char *name)
{
	struct ovl_real real;

	ck_assert_int_eq(ovl_layer_look(&layer, dirfd, name, &real), 0);
	return real.attr;
}

static int copy_part(const char *name, uint64_t size)
{
	struct ovl_attr attr = attr_of(from, name);
	int flags = S_ISREG(attr.mode) ? O_RDONLY : O_PATH | O_NOFOLLOW;
	int fd = openat(from, name, flags);
	int err = ovl_copy_object(&layer, fd, fd, &attr, to, name, size, true,
	                          NULL, NULL);

	close(fd);
	return err;
}

static int copy(const char *name)
{
	return copy_part(name, UINT64_MAX);
}

static void same_time(struct timespec a, struct timespec b)
{
	ck_assert_int_eq(a.tv_sec, b.tv_sec);
	ck_assert_int_eq(a.tv_nsec, b.tv_nsec);
}

/* Copy it whole; the copy looks as the original did. */
static void copies(const char *name)
{
	/* Before: reading the original may move its atime. */
	struct ovl_attr a = attr_of(from, name), b;

	ck_assert_int_eq(copy(name), 0);
	b = attr_of(to, name);
	ck_assert_uint_eq(a.mode, b.mode);
	ck_assert_uint_eq(a.uid, b.uid);
	ck_assert_uint_eq(a.gid, b.gid);
	ck_assert_uint_eq(a.rdev_major, b.rdev_major);
	ck_assert_uint_eq(a.rdev_minor, b.rdev_minor);
	if (!S_ISDIR(a.mode))
		ck_assert_uint_eq(a.size, b.size);
	same_time(a.atime, b.atime);
	same_time(a.mtime, b.mtime);
}

static void make_file(const char *name, const char *text, mode_t mode)
{
	int fd = openat(from, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	ck_assert_int_eq(futimens(fd, times), 0);
	close(fd);
}

static bool same_data(const char *name)
{
	int a = openat(from, name, O_RDONLY), b = openat(to, name, O_RDONLY);
	static char x[1 << 16], y[1 << 16];
	ssize_t n, m;

	do {
		n = read(a, x, sizeof(x));
		m = read(b, y, sizeof(y));
	} while (n > 0 && n == m && memcmp(x, y, (size_t)n) == 0);
	close(a);
	close(b);
	return n == 0 && m == 0;
}

/* ---- types -------------------------------------------------------------- */

START_TEST(a_file_is_copied_with_all_it_has)
{
	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	make_file("file", "some text", 0640);
	copies("file");
	ck_assert(same_data("file"));
}
END_TEST

START_TEST(a_directory_is_copied_without_what_is_in_it)
{
	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	ck_assert_int_eq(mkdirat(from, "dir", 03751), 0);
	ck_assert_int_eq(fchmodat(from, "dir", 03751, 0), 0);
	ck_assert_int_eq(mkdirat(from, "dir/below", 0755), 0);
	ck_assert_int_eq(utimensat(from, "dir", times, 0), 0);
	copies("dir");
	ck_assert_int_ne(faccessat(to, "dir/below", F_OK, 0), 0);
}
END_TEST

START_TEST(a_symlink_is_copied_itself_with_its_own_times)
{
	char target[PATH_MAX], read_back[PATH_MAX];
	size_t len = sizeof(target) - 1;

	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	/* The longest that there can be, and one that leads somewhere. */
	memset(target, 't', len);
	target[len] = '\0';
	if (symlinkat(target, from, "long") < 0) {
		len = 1023; /* XFS takes no more */
		target[len] = '\0';
		ck_assert_int_eq(symlinkat(target, from, "long"), 0);
	}
	make_file("file", "", 0600);
	ck_assert_int_eq(symlinkat("file", from, "link"), 0);
	ck_assert_int_eq(utimensat(from, "long", times, AT_SYMLINK_NOFOLLOW),
	                 0);
	ck_assert_int_eq(utimensat(from, "link", times, AT_SYMLINK_NOFOLLOW),
	                 0);
	copies("long");
	copies("link");
	ck_assert_int_eq(readlinkat(to, "long", read_back, PATH_MAX),
	                 (ssize_t)len);
	ck_assert_mem_eq(read_back, target, len);
	same_time(attr_of(from, "file").mtime, times[1]);
	same_time(attr_of(from, "file").atime, times[0]);
}
END_TEST

START_TEST(what_is_no_file_is_made_anew)
{
	/* Longer than the address of a socket may be. */
	static const char socket_name[] =
		"a socket whose name is longer than the hundred and eight "
		"bytes that bind would take, which is why nobody binds it";

	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	ck_assert_int_eq(mknodat(from, "fifo", S_IFIFO | 0620, 0), 0);
	ck_assert_int_eq(mknodat(from, socket_name, S_IFSOCK | 0755, 0), 0);
	copies("fifo");
	copies(socket_name);
	if (mknodat(from, "char", S_IFCHR | 0666, makedev(1, 3)) < 0)
		tree_skip("no devices without root");
	ck_assert_int_eq(
		mknodat(from, "block", S_IFBLK | 0600, makedev(300, 70000)), 0);
	copies("char");
	copies("block");
}
END_TEST

/* ---- attributes --------------------------------------------------------- */

START_TEST(owner_setuid_and_capabilities_are_kept)
{
	unsigned char value[sizeof(capability)];

	if (geteuid() != 0)
		tree_skip("needs root");
	plant();
	make_file("file", "text", 0600);
	ck_assert_int_eq(fchownat(from, "file", 1234, 5678, 0), 0);
	ck_assert_int_eq(fchmodat(from, "file", 06755, 0), 0);
	ck_assert_int_eq(setxattr(tree_at("from/file"), "security.capability",
	                          capability, sizeof(capability), 0),
	                 0);
	copies("file");
	ck_assert_uint_eq(attr_of(to, "file").mode & 07777, 06755);
	ck_assert_uint_eq(attr_of(to, "file").uid, 1234);
	ck_assert_int_eq(getxattr(tree_at("to/file"), "security.capability",
	                          value, sizeof(value)),
	                 sizeof(value));
	ck_assert_mem_eq(value, capability, sizeof(value));
}
END_TEST

START_TEST(a_symlink_keeps_its_owner)
{
	if (geteuid() != 0)
		tree_skip("needs root");
	plant();
	ck_assert_int_eq(symlinkat("/etc", from, "link"), 0);
	ck_assert_int_eq(
		fchownat(from, "link", 1234, 5678, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_int_eq(copy("link"), 0);
	ck_assert_uint_eq(attr_of(to, "link").uid, 1234);
	ck_assert_uint_eq(attr_of(to, "link").gid, 5678);
}
END_TEST

static void has_xattr(const char *path, const char *name, const void *value,
                      size_t size)
{
	unsigned char got[256];

	ck_assert_int_eq(getxattr(path, name, got, sizeof(got)), (ssize_t)size);
	ck_assert_mem_eq(got, value, size);
}

START_TEST(acls_are_kept)
{
	plant();
	make_file("file", "", 0670);
	ck_assert_int_eq(mkdirat(from, "dir", 0770), 0);
	if (setxattr(tree_at("from/file"), "system.posix_acl_access", acl,
	             sizeof(acl), 0) < 0)
		tree_skip("no ACLs here");
	ck_assert_int_eq(setxattr(tree_at("from/dir"),
	                          "system.posix_acl_default", acl, sizeof(acl),
	                          0),
	                 0);
	copies("file");
	ck_assert_int_eq(copy("dir"), 0);
	has_xattr(tree_at("to/file"), "system.posix_acl_access", acl,
	          sizeof(acl));
	has_xattr(tree_at("to/dir"), "system.posix_acl_default", acl,
	          sizeof(acl));
}
END_TEST

/* As the kernel's overlayfs has it. */
START_TEST(what_would_lose_its_acl_is_not_copied)
{
	plant();
	make_file("file", "", 0670);
	make_file("plain", "text", 0670);
	if (setxattr(tree_at("from/file"), "system.posix_acl_access", acl,
	             sizeof(acl), 0) < 0)
		tree_skip("no ACLs here");
	setxattr(tree_at("from/plain"), "user.name", "value", 5, 0);
	if (!tree_may_mount() ||
	    mount("none", tree_at("to"), "ramfs", 0, NULL) < 0)
		tree_skip("no filesystem without ACLs to be had");
	tree_mounted("to");
	close_both();
	open_both();
	ck_assert_int_eq(copy("file"), -EOPNOTSUPP);
	ck_assert(!tree_has("to/file"));
	copies("plain");
}
END_TEST

START_TEST(attributes_are_kept_but_the_overlays_own)
{
	plant();
	make_file("file", "", 0600);
	if (setxattr(tree_at("from/file"), "user.empty", "", 0, 0) < 0)
		tree_skip("no attributes here");
	setxattr(tree_at("from/file"), "user.name", "value", 5, 0);
	setxattr(tree_at("from/file"), "user.overlay.opaque", "y", 1, 0);
	setxattr(tree_at("from/file"), "user.overlay.veneer.origin", "z", 1, 0);
	setxattr(tree_at("from/file"), "trusted.overlay.origin", "z", 1, 0);
	setxattr(tree_at("from/file"), "trusted.own", "t", 1, 0);
	/* They can be set on what is writable only. */
	ck_assert_int_eq(fchmodat(from, "file", 0444, 0), 0);
	ck_assert_int_eq(copy("file"), 0);
	has_xattr(tree_at("to/file"), "user.empty", "", 0);
	has_xattr(tree_at("to/file"), "user.name", "value", 5);
	if (geteuid() == 0)
		has_xattr(tree_at("to/file"), "trusted.own", "t", 1);
	ck_assert_int_eq(getxattr(tree_at("to/file"), "user.overlay.opaque",
	                          NULL, 0),
	                 -1);
	ck_assert_int_eq(getxattr(tree_at("to/file"),
	                          "user.overlay.veneer.origin", NULL, 0),
	                 -1);
	ck_assert_int_eq(getxattr(tree_at("to/file"), "trusted.overlay.origin",
	                          NULL, 0),
	                 -1);
}
END_TEST

START_TEST(many_attributes_are_kept)
{
	char name[64];
	int i, n = 0;

	plant();
	make_file("file", "", 0600);
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.an-attribute-among-many-%d",
		         i);
		n += !setxattr(tree_at("from/file"), name, &i, sizeof(i), 0);
	}
	if (n == 0)
		tree_skip("no attributes here");
	ck_assert_int_eq(copy("file"), 0);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "user.an-attribute-among-many-%d",
		         i);
		has_xattr(tree_at("to/file"), name, &i, sizeof(i));
	}
}
END_TEST

START_TEST(a_user_copies_what_is_his)
{
	if (geteuid() == 0)
		tree_become_user();
	plant();
	make_file("file", "text", 04711);
	ck_assert_int_eq(mkdirat(from, "dir", 0555), 0);
	copies("file");
	copies("dir");
}
END_TEST

START_TEST(a_user_leaves_out_attributes_that_are_roots)
{
	if (geteuid() != 0)
		tree_skip("needs root first");
	plant();
	make_file("file", "text", 0755);
	ck_assert_int_eq(fchownat(from, "file", 65534, 65534, 0), 0);
	ck_assert_int_eq(setxattr(tree_at("from/file"), "security.capability",
	                          capability, sizeof(capability), 0),
	                 0);
	ck_assert_int_eq(fchmod(to, 0777), 0);
	tree_become_user();
	copies("file");
	ck_assert_int_eq(getxattr(tree_at("to/file"), "security.capability",
	                          NULL, 0),
	                 -1);
}
END_TEST

START_TEST(an_owner_that_cannot_be_given_fails_it)
{
	if (geteuid() != 0)
		tree_skip("needs root first");
	plant();
	make_file("file", "text", 0644);
	ck_assert_int_eq(mkdirat(from, "dir", 0755), 0);
	ck_assert_int_eq(fchmod(to, 0777), 0);
	tree_become_user();
	ck_assert_int_eq(copy("file"), -EPERM);
	ck_assert_int_eq(copy("dir"), -EPERM);
	ck_assert(!tree_has("to/file"));
	ck_assert(!tree_has("to/dir"));
}
END_TEST

/* ---- data --------------------------------------------------------------- */

START_TEST(as_much_is_copied_as_is_wanted)
{
	static const struct {
		uint64_t want, get;
	} cases[] = { { 0, 0 },   { 1, 1 },   { 7, 7 },
		      { 10, 10 }, { 11, 10 }, { 1000, 10 } };

	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	make_file("file", "0123456789", 0644);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[16] = "";
		int fd;

		ck_assert_int_eq(copy_part("file", cases[i].want), 0);
		ck_assert_uint_eq(attr_of(to, "file").size, cases[i].get);
		fd = openat(to, "file", O_RDONLY);
		ck_assert_int_eq(read(fd, text, sizeof(text)),
		                 (ssize_t)cases[i].get);
		ck_assert_int_eq(memcmp(text, "0123456789", cases[i].get), 0);
		close(fd);
		unlinkat(to, "file", 0);
	}
}
END_TEST

/* Whether both files have data and holes at the same places. */
static void same_holes(const char *name)
{
	int a = openat(from, name, O_RDONLY), b = openat(to, name, O_RDONLY);
	int whence = SEEK_DATA;
	off_t x = 0, y = 0;

	do {
		x = lseek(a, x, whence);
		y = lseek(b, y, whence);
		ck_assert_int_eq(x, y);
		whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
	} while (x >= 0);
	close(a);
	close(b);
}

START_TEST(holes_stay_holes)
{
	static char block[1 << 16];
	uint64_t seed = test_seed();
	int fd;

	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)test_random(&seed);
	fd = openat(from, "file", O_RDWR | O_CREAT, 0600);
	for (int i = 1; i < 20; i++)
		ck_assert_int_eq(pwrite(fd, block, sizeof(block),
		                        (off_t)(test_random(&seed) % 512) *
		                                (off_t)sizeof(block)),
		                 sizeof(block));
	/* Over 4 GiB, and a hole at the end. */
	ck_assert_int_eq(pwrite(fd, block, sizeof(block), 5LL << 30),
	                 sizeof(block));
	ck_assert_int_eq(ftruncate(fd, (6LL << 30) + 1), 0);
	close(fd);
	ck_assert_int_eq(copy("file"), 0);
	ck_assert_uint_eq(attr_of(to, "file").size, (6ULL << 30) + 1);
	same_holes("file");
	/* Small enough to be read whole. */
	truncate(tree_at("from/file"), 40 << 20);
	truncate(tree_at("to/file"), 40 << 20);
	ck_assert(same_data("file"));
}
END_TEST

START_TEST(a_file_that_is_one_hole_takes_no_space)
{
	if (!plant_on(_i))
		tree_skip(ONE_ONLY);
	make_file("file", "", 0600);
	ck_assert_int_eq(truncate(tree_at("from/file"), 1 << 30), 0);
	ck_assert_int_eq(copy("file"), 0);
	ck_assert_uint_eq(attr_of(to, "file").size, 1 << 30);
	ck_assert_uint_eq(attr_of(to, "file").used, 0);
}
END_TEST

START_TEST(what_was_copied_is_counted_and_handed_out)
{
	struct ovl_attr attr;
	struct ovl_copy_watch watch = { .copied = 1000 };
	char text[8];
	int fd, out = -1;

	plant();
	make_file("file", "text", 0400);
	attr = attr_of(from, "file");
	fd = openat(from, "file", O_RDONLY);
	ck_assert_int_eq(ovl_copy_object(&layer, fd, fd, &attr, to, "copy",
	                                 UINT64_MAX, false, &watch, &out),
	                 0);
	ck_assert_uint_eq(watch.copied, 1004);
	/* For writing, too. */
	ck_assert_int_eq(pwrite(out, "TE", 2, 0), 2);
	ck_assert_int_eq(pread(out, text, sizeof(text), 0), 4);
	ck_assert_mem_eq(text, "TExt", 4);
	ck_assert_int_eq(fcntl(out, F_GETFD), FD_CLOEXEC);
	/* It looks as it was told to. */
	attr.mode = S_IFREG | 0753;
	ck_assert_int_eq(ovl_copy_object(&layer, fd, fd, &attr, to, "other",
	                                 UINT64_MAX, false, NULL, NULL),
	                 0);
	ck_assert_uint_eq(attr_of(to, "other").mode, S_IFREG | 0753);
}
END_TEST

/* Bytes in use on the filesystem of to/. */
static uint64_t space_used(void)
{
	struct statvfs fs;

	ck_assert_int_eq(syncfs(to), 0);
	ck_assert_int_eq(fstatvfs(to, &fs), 0);
	return (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

START_TEST(data_is_shared_where_the_filesystem_can)
{
	static const char *const types[] = { "btrfs", "xfs" };
	static char block[1 << 20];
	uint64_t used;
	int fd;

	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("disk");
	if (!tree_mount_image(types[_i], "disk"))
		tree_skip("no image of a filesystem that shares to be had");
	tree_mkdir("disk/from");
	tree_mkdir("disk/to");
	from = tree_open("disk/from", O_RDONLY);
	to = tree_open("disk/to", O_RDONLY);
	fd = openat(from, "file", O_RDWR | O_CREAT, 0600);
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(write(fd, block, sizeof(block)),
		                 sizeof(block));
	close(fd);
	used = space_used();
	copies("file");
	ck_assert(same_data("file"));
	ck_assert_int_eq(unlinkat(to, "file", 0), 0);
	/* A part, which ends within a block. */
	ck_assert_int_eq(copy_part("file", 12345678), 0);
	ck_assert_uint_eq(attr_of(to, "file").size, 12345678);
	ck_assert_uint_lt(space_used(), used + (4 << 20));
}
END_TEST

static int refuse(void *arg, const struct ovl_copy_progress *progress)
{
	(void)arg;
	return progress->done ? 0 : -ECANCELED;
}

START_TEST(what_is_given_up_leaves_nothing_behind)
{
	struct ovl_copy_watch watch = { .step = refuse };
	struct ovl_attr attr;
	unsigned files;
	int fd, out = -1;

	/* There are no clones between two filesystems. */
	if (!plant_on(1))
		tree_skip(ONE_ONLY);
	make_file("file", "text", 0600);
	attr = attr_of(from, "file");
	fd = openat(from, "file", O_RDONLY);
	files = tree_open_files();
	ck_assert_int_eq(ovl_copy_object(&layer, fd, fd, &attr, to, "file",
	                                 UINT64_MAX, false, &watch, &out),
	                 -ECANCELED);
	ck_assert(!tree_has("to/file"));
	ck_assert_int_eq(out, -1);
	ck_assert_uint_eq(tree_open_files(), files);
	close(fd);
}
END_TEST

/* ---- failures ----------------------------------------------------------- */

START_TEST(a_full_disk_leaves_nothing_behind)
{
	static char block[1 << 20];
	unsigned files;
	int fd;

	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("from");
	tree_mkdir("to");
	tree_mount_tmpfs("to", "size=2m,nr_inodes=20");
	open_both();
	fd = openat(from, "file", O_RDWR | O_CREAT, 0600);
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(write(fd, block, sizeof(block)),
		                 sizeof(block));
	close(fd);
	files = tree_open_files();
	ck_assert_int_eq(copy("file"), -ENOSPC);
	ck_assert(!tree_has("to/file"));
	ck_assert_uint_eq(tree_open_files(), files);
	/* What fits still does: the space has been given back. */
	ck_assert_int_eq(copy_part("file", 1 << 20), 0);
	ck_assert_uint_eq(attr_of(to, "file").size, 1 << 20);
}
END_TEST

START_TEST(what_stands_there_is_left_alone)
{
	plant();
	make_file("file", "text", 0600);
	mkdirat(from, "dir", 0700);
	tree_file("to/file", "kept");
	tree_mkdir("to/dir");
	ck_assert_int_eq(copy("file"), -EEXIST);
	ck_assert_int_eq(copy("dir"), -EEXIST);
	ck_assert(tree_file_is("to/file", "kept"));
	ck_assert(tree_has("to/dir"));
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("copy");

	tcase_add_checked_fixture(tcase, NULL, close_both);
	tcase_add_loop_test(tcase, a_file_is_copied_with_all_it_has, 0, 2);
	tcase_add_loop_test(tcase, a_directory_is_copied_without_what_is_in_it,
	                    0, 2);
	tcase_add_loop_test(
		tcase, a_symlink_is_copied_itself_with_its_own_times, 0, 2);
	tcase_add_loop_test(tcase, what_is_no_file_is_made_anew, 0, 2);
	tcase_add_test(tcase, owner_setuid_and_capabilities_are_kept);
	tcase_add_test(tcase, a_symlink_keeps_its_owner);
	tcase_add_test(tcase, acls_are_kept);
	tcase_add_test(tcase, what_would_lose_its_acl_is_not_copied);
	tcase_add_test(tcase, attributes_are_kept_but_the_overlays_own);
	tcase_add_test(tcase, many_attributes_are_kept);
	tcase_add_test(tcase, a_user_copies_what_is_his);
	tcase_add_test(tcase, a_user_leaves_out_attributes_that_are_roots);
	tcase_add_test(tcase, an_owner_that_cannot_be_given_fails_it);
	tcase_add_loop_test(tcase, as_much_is_copied_as_is_wanted, 0, 2);
	tcase_add_loop_test(tcase, holes_stay_holes, 0, 2);
	tcase_add_loop_test(tcase, a_file_that_is_one_hole_takes_no_space, 0,
	                    2);
	tcase_add_test(tcase, what_was_copied_is_counted_and_handed_out);
	tcase_add_loop_test(tcase, data_is_shared_where_the_filesystem_can, 0,
	                    2);
	tcase_add_test(tcase, what_is_given_up_leaves_nothing_behind);
	tcase_add_test(tcase, a_full_disk_leaves_nothing_behind);
	tcase_add_test(tcase, what_stands_there_is_left_alone);
	return tree_run(suite_create("copy"), tcase);
}
