#include "config.h"

#include "overlay/layer.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tree.h"

static struct ovl_layer layer;

/* The tree as lower layer number 1. */
static void open_layer(void)
{
	ck_assert_int_eq(ovl_layer_init(&layer, tree_path, false), 0);
	layer.number = 1;
}

static void close_layer(void)
{
	if (layer.path)
		ovl_layer_release(&layer);
}

static struct ovl_real look(const char *name)
{
	struct ovl_real real;

	ck_assert_int_eq(ovl_layer_look(&layer, layer.root, name, &real), 0);
	return real;
}

/* ---- opening a layer ---------------------------------------------------- */

START_TEST(a_layer_is_a_directory_that_is_there)
{
	unsigned files = tree_open_files();

	tree_file("file", "");
	ck_assert_int_eq(ovl_layer_init(&layer, tree_at("none"), false),
	                 -ENOENT);
	ck_assert_int_eq(ovl_layer_init(&layer, tree_at("file"), false),
	                 -ENOTDIR);
	ck_assert_uint_eq(tree_open_files(), files);
	ck_assert_int_eq(ovl_layer_init(&layer, tree_path, true), 0);
	ck_assert_str_eq(layer.path, tree_path);
	ck_assert(layer.userxattr);
	ovl_layer_release(&layer);
	ck_assert_uint_eq(tree_open_files(), files);
}
END_TEST

START_TEST(the_root_is_known_again)
{
	struct ovl_layer again, other;
	struct ovl_real root;
	uint64_t generation;

	open_layer();
	root = look("");
	ck_assert_uint_eq(layer.root_ino, root.ino);
	ck_assert_uint_eq(layer.root_generation, root.generation);
	ck_assert_int_eq(ovl_layer_init(&again, tree_path, false), 0);
	ck_assert_uint_eq(again.root_ino, root.ino);
	ck_assert_uint_eq(again.root_generation, root.generation);
	ck_assert_uint_eq(again.root_birth, layer.root_birth);
	ck_assert_int_eq(ovl_layer_root_generation(
				 &layer, layer.generation_kind, &generation),
	                 0);
	ck_assert_uint_eq(generation, root.generation);
	tree_mkdir("other");
	ck_assert_int_eq(ovl_layer_init(&other, tree_at("other"), false), 0);
	ck_assert_uint_ne(other.root_ino, root.ino);
	ck_assert_uint_ne(other.root_generation, root.generation);
	ovl_layer_release(&again);
	ovl_layer_release(&other);
}
END_TEST

START_TEST(tmpfs_never_waits)
{
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("mount");
	tree_mount_tmpfs("mount", NULL);
	ck_assert_int_eq(ovl_layer_init(&layer, tree_at("mount"), false), 0);
	ck_assert(layer.never_waits);
	ovl_layer_release(&layer);
	ck_assert_int_eq(ovl_layer_init(&layer, "/proc", false), 0);
	ck_assert(!layer.never_waits);
}
END_TEST

/* ---- looking ------------------------------------------------------------ */

static void same_time(struct timespec a, struct timespec b)
{
	ck_assert_int_eq(a.tv_sec, b.tv_sec);
	ck_assert_int_eq(a.tv_nsec, b.tv_nsec);
}

START_TEST(attributes_are_those_of_stat)
{
	struct timespec times[2] = { { 1, 123456789 },
		                     { 2000000000, 987654321 } };
	struct ovl_real real;
	struct stat st;

	open_layer();
	tree_file("file", "hello");
	ck_assert_int_eq(linkat(tree, "file", tree, "second", 0), 0);
	ck_assert_int_eq(fchmodat(tree, "file", 06751, 0), 0);
	ck_assert_int_eq(utimensat(tree, "file", times, 0), 0);
	ck_assert_int_eq(fstatat(tree, "file", &st, 0), 0);
	real = look("file");
	ck_assert_uint_eq(real.ino, st.st_ino);
	ck_assert_uint_eq(real.attr.fileid, 0);
	ck_assert_uint_eq(real.attr.size, 5);
	ck_assert_uint_eq(real.attr.used, (uint64_t)st.st_blocks * 512);
	ck_assert_uint_eq(real.attr.mode, S_IFREG | 06751);
	ck_assert_uint_eq(real.attr.nlink, 2);
	ck_assert_uint_eq(real.attr.uid, st.st_uid);
	ck_assert_uint_eq(real.attr.gid, st.st_gid);
	same_time(real.attr.atime, times[0]);
	same_time(real.attr.mtime, times[1]);
	same_time(real.attr.ctime, st.st_ctim);
	ck_assert(!real.foreign && !real.whiteout);
}
END_TEST

START_TEST(a_symlink_is_looked_at_itself)
{
	struct ovl_real by_name, by_fd;
	int fd;

	open_layer();
	ck_assert_int_eq(symlinkat("/nowhere/at/all", tree, "link"), 0);
	by_name = look("link");
	ck_assert_uint_eq(by_name.attr.mode & S_IFMT, S_IFLNK);
	ck_assert_uint_eq(by_name.attr.size, 15);
	fd = tree_open("link", O_PATH);
	ck_assert_int_eq(ovl_layer_look(&layer, fd, "", &by_fd), 0);
	ck_assert_uint_eq(by_fd.ino, by_name.ino);
	ck_assert_uint_eq(by_fd.generation, by_name.generation);
}
END_TEST

START_TEST(what_is_missing_leaves_the_result_alone)
{
	struct ovl_real real = { .ino = 42 };

	open_layer();
	ck_assert_int_eq(ovl_layer_look(&layer, layer.root, "none", &real),
	                 -ENOENT);
	ck_assert_uint_eq(real.ino, 42);
}
END_TEST

START_TEST(a_device_0_0_is_a_whiteout)
{
	struct ovl_real real;

	open_layer();
	if (mknodat(tree, "gone", S_IFCHR, makedev(0, 0)) < 0)
		tree_skip("no whiteouts before Linux 5.8");
	ck_assert(look("gone").whiteout);
	if (mknodat(tree, "null", S_IFCHR | 0666, makedev(1, 3)) < 0)
		tree_skip("no devices without root");
	real = look("null");
	ck_assert(!real.whiteout);
	ck_assert_uint_eq(real.attr.rdev_major, 1);
	ck_assert_uint_eq(real.attr.rdev_minor, 3);
}
END_TEST

START_TEST(other_mounts_are_foreign)
{
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("dir");
	tree_mkdir("mount");
	tree_mkdir("bound");
	tree_mount_tmpfs("mount", NULL);
	tree_bind("dir", "bound");
	open_layer();
	ck_assert(look("mount").foreign);
	ck_assert(look("bound").foreign);
	ck_assert(!look("dir").foreign);
	ck_assert_uint_ne(look("mount").generation, 0);
}
END_TEST

/* ---- generations -------------------------------------------------------- */

START_TEST(a_generation_is_the_inodes_and_stays)
{
	struct ovl_real before;
	int fd;

	open_layer();
	tree_file("file", "x");
	before = look("file");
	ck_assert_uint_ne(before.generation, 0);
	ck_assert_int_eq(linkat(tree, "file", tree, "second", 0), 0);
	ck_assert_uint_eq(look("second").generation, before.generation);
	fd = tree_open("file", O_RDWR);
	ck_assert_int_eq(write(fd, "yyy", 3), 3);
	ck_assert_int_eq(fchmod(fd, 0600), 0);
	ck_assert_int_eq(renameat(tree, "file", tree, "third"), 0);
	ck_assert_uint_eq(look("third").generation, before.generation);
	ck_assert_uint_eq(look("third").ino, before.ino);
}
END_TEST

START_TEST(a_reused_inode_number_has_another_generation)
{
	struct ovl_real before, after;
	int reused = 0;

	open_layer();
	if (layer.generation_kind != OVL_GENERATION_HANDLE)
		tree_skip("no file handles here");
	for (int i = 0; i < 100; i++) {
		tree_file("file", "");
		before = look("file");
		unlinkat(tree, "file", 0);
		tree_file("file", "");
		after = look("file");
		unlinkat(tree, "file", 0);
		if (after.ino != before.ino)
			continue;
		ck_assert_uint_ne(after.generation, before.generation);
		reused++;
	}
	if (!reused)
		tree_skip("inode numbers are not reused here");
}
END_TEST

START_TEST(without_handles_the_birth_time_serves)
{
	struct statx stx;

	open_layer();
	tree_file("file", "");
	layer.generation_kind = OVL_GENERATION_BTIME;
	ck_assert_int_eq(statx(tree, "file", 0, STATX_BTIME, &stx), 0);
	if (!(stx.stx_mask & STATX_BTIME))
		tree_skip("no birth times here");
	ck_assert_uint_eq(look("file").generation,
	                  (uint64_t)stx.stx_btime.tv_sec * 1000000000 +
	                          stx.stx_btime.tv_nsec);
}
END_TEST

START_TEST(a_fileid_is_layer_and_inode)
{
	uint64_t ino = (UINT64_C(1) << OVL_INO_BITS) - 1;
	uint64_t id = ovl_fileid(OVL_LAYER_MAX, ino);

	ck_assert_uint_eq(id, UINT64_MAX);
	ck_assert_uint_eq(ovl_fileid_layer(id), OVL_LAYER_MAX);
	ck_assert_uint_eq(ovl_fileid_ino(id), ino);
	/* An object of the upper has its inode number. */
	ck_assert_uint_eq(ovl_fileid(OVL_LAYER_UPPER, 12345), 12345);
	id = ovl_fileid(3, 12345);
	ck_assert_uint_eq(ovl_fileid_layer(id), 3);
	ck_assert_uint_eq(ovl_fileid_ino(id), 12345);
}
END_TEST

/* ---- opening ------------------------------------------------------------ */

START_TEST(reading_a_lower_layer_leaves_its_times_alone)
{
	/* Older than mtime, so that relatime would touch it. */
	struct timespec times[2] = { { 1000, 1 }, { 2000, 2 } };
	char buffer[8], entries[4096];
	int fd;

	open_layer();
	tree_mkdir("dir");
	tree_file("dir/file", "text");
	ck_assert_int_eq(utimensat(tree, "dir/file", times, 0), 0);
	ck_assert_int_eq(utimensat(tree, "dir", times, 0), 0);
	fd = ovl_layer_open(&layer, layer.root, "dir/file", O_RDONLY, false);
	ck_assert_int_eq(read(fd, buffer, sizeof(buffer)), 4);
	fd = ovl_layer_open(&layer, layer.root, "dir", O_RDONLY | O_DIRECTORY,
	                    false);
	ck_assert_int_gt(getdents64(fd, entries, sizeof(entries)), 0);
	same_time(look("dir/file").attr.atime, times[0]);
	same_time(look("dir").attr.atime, times[0]);
}
END_TEST

START_TEST(what_is_not_ones_own_can_be_read_all_the_same)
{
	if (geteuid() != 0)
		tree_skip("needs another user's file");
	tree_file("file", "text");
	tree_become_user();
	open_layer();
	ck_assert_int_ge(
		ovl_layer_open(&layer, layer.root, "file", O_RDONLY, false), 0);
	ck_assert_int_eq(ovl_layer_open(&layer, layer.root, "none", O_RDONLY,
	                                false),
	                 -ENOENT);
}
END_TEST

START_TEST(opening_a_lower_layer_for_writing_is_our_own_mistake)
{
	int status;
	pid_t pid;

	open_layer();
	tree_file("file", "");
	pid = fork();
	if (pid == 0) {
		close(STDERR_FILENO);
		ovl_layer_open(&layer, layer.root, "file", O_RDWR, false);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

START_TEST(an_isolated_layer_is_out_of_reach)
{
	struct timespec old[2] = { { 1000, 1 }, { 2000, 2 } };
	char target[8];
	uint64_t mount;
	int fd;

	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("dir");
	tree_mkdir("dir/mount");
	tree_file("dir/file", "text");
	tree_mount_tmpfs("dir/mount", NULL);
	tree_file("dir/mount/hidden", "");
	ck_assert_int_eq(symlinkat("target", tree, "link"), 0);
	utimensat(tree, "link", old, AT_SYMLINK_NOFOLLOW);
	open_layer();
	mount = layer.mount_id;
	ovl_layer_isolate(&layer);
	if (layer.mount_id == mount)
		tree_skip("no mount_setattr before Linux 5.12");
	ck_assert_uint_eq(look("").ino, layer.root_ino);
	ck_assert_uint_eq(look("").generation, layer.root_generation);
	ck_assert(!look("dir/file").foreign);
	/* It cannot be changed by mistake, nor by reading a symlink. */
	ck_assert_int_eq(unlinkat(layer.root, "dir/file", 0), -1);
	ck_assert_int_eq(errno, EROFS);
	ck_assert_int_eq(readlinkat(layer.root, "link", target, 8), 6);
	same_time(look("link").attr.atime, old[0]);
	/* What is mounted in it stays outside. */
	ck_assert(!look("dir/mount").foreign);
	fd = ovl_layer_open(&layer, layer.root, "dir/mount/hidden", O_PATH,
	                    false);
	ck_assert_int_eq(fd, -ENOENT);
}
END_TEST

/* ---- listing ------------------------------------------------------------ */

struct listing {
	unsigned count;
	unsigned stop_at;
	unsigned types[16]; /* how many of each DT_*, but DT_WHT (14) */
};

static int note_name(void *arg, const char *name, size_t len, uint64_t ino,
                     uint8_t type)
{
	struct listing *listing = arg;

	ck_assert_uint_eq(len, strlen(name));
	ck_assert_str_ne(name, ".");
	ck_assert_str_ne(name, "..");
	if (layer.true_d_ino)
		ck_assert_uint_eq(look(name).ino, ino);
	listing->types[type]++;
	return ++listing->count == listing->stop_at ? -ECANCELED : 0;
}

START_TEST(a_listing_has_every_name_with_its_type)
{
	struct listing listing = { 0 };
	bool devices;

	open_layer();
	tree_mkdir("dir");
	tree_file("file", "");
	tree_file("..file", "");
	ck_assert_int_eq(symlinkat("x", tree, "link"), 0);
	ck_assert_int_eq(mknodat(tree, "fifo", S_IFIFO, 0), 0);
	ck_assert_int_eq(mknodat(tree, "socket", S_IFSOCK, 0), 0);
	ck_assert_int_eq(mknodat(tree, "gone", S_IFCHR, 0), 0);
	devices = mknodat(tree, "null", S_IFCHR, makedev(1, 3)) == 0;
	ck_assert_int_eq(
		ovl_layer_list(&layer, layer.root, note_name, &listing), 0);
	ck_assert_uint_eq(listing.count, 7 + devices);
	ck_assert_uint_eq(listing.types[DT_DIR], 1);
	ck_assert_uint_eq(listing.types[DT_REG], 2);
	ck_assert_uint_eq(listing.types[DT_LNK], 1);
	ck_assert_uint_eq(listing.types[DT_FIFO], 1);
	ck_assert_uint_eq(listing.types[DT_SOCK], 1);
	ck_assert_uint_eq(listing.types[DT_WHT], 1);
	ck_assert_uint_eq(listing.types[DT_CHR], devices);
}
END_TEST

START_TEST(a_long_listing_is_whole_each_time)
{
	unsigned files;
	char name[64];

	open_layer();
	files = tree_open_files();
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "a_name_of_some_length_%d", i);
		tree_file(name, "");
	}
	for (int i = 0; i < 2; i++) {
		struct listing listing = { 0 };

		ck_assert_int_eq(ovl_layer_list(&layer, layer.root, note_name,
		                                &listing),
		                 0);
		ck_assert_uint_eq(listing.count, 5000);
	}
	ck_assert_uint_eq(tree_open_files(), files);
}
END_TEST

START_TEST(a_listing_stops_when_told)
{
	struct listing listing = { .stop_at = 1 };
	unsigned files;
	int fd;

	open_layer();
	files = tree_open_files();
	tree_file("a", "");
	tree_file("b", "");
	/* Also through a descriptor that cannot be read itself. */
	fd = tree_open(".", O_PATH);
	ck_assert_int_eq(ovl_layer_list(&layer, fd, note_name, &listing),
	                 -ECANCELED);
	ck_assert_uint_eq(listing.count, 1);
	close(fd);
	ck_assert_uint_eq(tree_open_files(), files);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("layer");

	tcase_add_checked_fixture(tcase, NULL, close_layer);
	tcase_add_test(tcase, a_layer_is_a_directory_that_is_there);
	tcase_add_test(tcase, the_root_is_known_again);
	tcase_add_test(tcase, tmpfs_never_waits);
	tcase_add_test(tcase, attributes_are_those_of_stat);
	tcase_add_test(tcase, a_symlink_is_looked_at_itself);
	tcase_add_test(tcase, what_is_missing_leaves_the_result_alone);
	tcase_add_test(tcase, a_device_0_0_is_a_whiteout);
	tcase_add_test(tcase, other_mounts_are_foreign);
	tcase_add_test(tcase, a_generation_is_the_inodes_and_stays);
	tcase_add_test(tcase, a_reused_inode_number_has_another_generation);
	tcase_add_test(tcase, without_handles_the_birth_time_serves);
	tcase_add_test(tcase, a_fileid_is_layer_and_inode);
	tcase_add_test(tcase, reading_a_lower_layer_leaves_its_times_alone);
	tcase_add_test(tcase, what_is_not_ones_own_can_be_read_all_the_same);
	tcase_add_test(tcase,
	               opening_a_lower_layer_for_writing_is_our_own_mistake);
	tcase_add_test(tcase, an_isolated_layer_is_out_of_reach);
	tcase_add_test(tcase, a_listing_has_every_name_with_its_type);
	tcase_add_test(tcase, a_long_listing_is_whole_each_time);
	tcase_add_test(tcase, a_listing_stops_when_told);
	return tree_run(suite_create("layer"), tcase);
}
