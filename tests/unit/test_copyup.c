/*
 * Copy-up: whole, once, in one step, and nobody can tell but by the upper layer.
 */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "overlay/copyup.h"
#include "stage.h"

static atomic_bool over;

static struct stat stat_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void touch(const char *path)
{
	struct ovl_setattr set = { .set_atime = OVL_TIME_NOW };
	struct ovl_node *node = get(path);

	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ovl_node_unref(node);
}

static void set_times(const char *name, time_t seconds)
{
	const struct timespec times[2] = { { seconds, 111 }, { seconds, 222 } };

	ck_assert_int_eq(utimensat(tree, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static uint64_t copyups(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats.copyups;
}

/* ---- what is kept --------------------------------------------------------- */

static const char *const names[] = { "file", "dir",    "symlink",
	                             "fifo", "socket", "device" };
#define NNAMES 6

/* One of each type, as far as the user may make them. */
static void plant_every_type(void)
{
	tree_file("low/file", "text");
	tree_mkdir("low/dir");
	ck_assert_int_eq(symlinkat("target", tree, "low/symlink"), 0);
	ck_assert_int_eq(mkfifoat(tree, "low/fifo", 0640), 0);
	ck_assert_int_eq(mknodat(tree, "low/socket", S_IFSOCK | 0755, 0), 0);
	if (mknodat(tree, "low/device", S_IFBLK | 0600, makedev(7, 9)) < 0)
		tree_file("low/device", ""); /* without root */
}

static void copies_every_type(void)
{
	struct ovl_attr low[NNAMES], up;
	struct ovl_id ids[NNAMES];
	char path[PATH_MAX];

	for (unsigned i = 0; i < NNAMES; i++) {
		low[i] = attr_of(names[i]);
		ids[i] = id_of(names[i]);
		touch(names[i]);
		snprintf(path, sizeof(path), "%s/%s", stage.upperdir, names[i]);
		ck_assert_int_eq(faccessat(AT_FDCWD, path, F_OK,
		                           AT_SYMLINK_NOFOLLOW),
		                 0);
	}
	for (unsigned i = 0; i < 2 * NNAMES; i++) {
		if (i == NNAMES)
			stage_reopen();
		up = attr_of(names[i % NNAMES]);
		ck_assert(same_id(id_of(names[i % NNAMES]), ids[i % NNAMES]));
		ck_assert_uint_eq(up.mode, low[i % NNAMES].mode);
		ck_assert_uint_eq(up.rdev_major, low[i % NNAMES].rdev_major);
		ck_assert_uint_eq(up.rdev_minor, low[i % NNAMES].rdev_minor);
		ck_assert_uint_eq(up.uid, low[i % NNAMES].uid);
		ck_assert_uint_eq(up.gid, low[i % NNAMES].gid);
		ck_assert_int_eq(up.mtime.tv_sec, 1000 + i % NNAMES);
		ck_assert_int_eq(up.mtime.tv_nsec, 222);
	}
}

static void age_every_type(void)
{
	char path[64];

	for (unsigned i = 0; i < NNAMES; i++) {
		snprintf(path, sizeof(path), "low/%s", names[i]);
		set_times(path, 1000 + i);
	}
}

START_TEST(every_type_keeps_what_it_is)
{
	plant_every_type();
	age_every_type();
	stage_open();
	copies_every_type();
}
END_TEST

/* TRAPS 13. */
START_TEST(setuid_and_attributes_are_kept)
{
	char value[8];
	int fd;

	tree_file("low/file", "text");
	fd = tree_open("low/file", O_RDWR);
	if (fsetxattr(fd, "user.kept", "kept", 4, 0) < 0)
		tree_skip("no user attributes here");
	ck_assert_int_eq(fchmod(fd, 06755), 0);
	close(fd);
	stage_open();
	touch("file");
	ck_assert_uint_eq(attr_of("file").mode & 07777, 06755);
	fd = tree_open("up/file", O_RDONLY);
	ck_assert_int_eq(fgetxattr(fd, "user.kept", value, 8), 4);
	close(fd);
}
END_TEST

/* TRAPS 12. */
START_TEST(the_opaque_mark_stays_where_it_is)
{
	char value[8];
	int fd;

	if (geteuid() != 0)
		tree_skip("trusted attributes need root");
	tree_mkdir("low/dir");
	tree_file("low/dir/hidden", "");
	tree_mkdir("high/dir");
	fd = tree_open("high/dir", O_RDONLY);
	ck_assert_int_eq(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0), 0);
	close(fd);
	stage_open();
	ck_assert_int_eq(make_file("dir", "new"), 0);
	ck_assert_int_eq(seen("dir/hidden"), -ENOENT);
	fd = tree_open("up/dir", O_RDONLY);
	ck_assert_int_lt(fgetxattr(fd, "trusted.overlay.opaque", value, 8), 0);
	close(fd);
}
END_TEST

START_TEST(parents_come_first_and_keep_their_times)
{
	tree_mkdir("low/a");
	tree_mkdir("low/a/b");
	tree_file("low/a/b/file", "text");
	set_times("low/a/b", 2000);
	set_times("low/a", 1000);
	stage_open();
	touch("a/b/file");
	ck_assert_int_eq(stat_of("up/a").st_mtim.tv_sec, 1000);
	ck_assert_int_eq(stat_of("up/a/b").st_mtim.tv_sec, 2000);
	ck_assert_int_eq(attr_of("a/b").mtime.tv_sec, 2000);
	ck_assert_uint_eq(copyups(), 3);
}
END_TEST

START_TEST(holes_stay_holes)
{
	int fd;

	tree_file("low/sparse", "begin");
	fd = tree_open("low/sparse", O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "end", 3, 64 << 20), 3);
	close(fd);
	stage_open();
	touch("sparse");
	ck_assert_int_eq(stat_of("up/sparse").st_size, (64 << 20) + 3);
	ck_assert_int_lt(stat_of("up/sparse").st_blocks, 2048);
	ck_assert_uint_lt(attr_of("sparse").used, 1 << 20);
}
END_TEST

/* ---- handles in use ------------------------------------------------------- */

/* TRAPS 9 and 10, and 15. */
START_TEST(reads_after_a_write_see_it)
{
	struct ovl_setattr cut = { .has_size = true };
	struct ovl_node *node;
	struct ovl_id id;

	tree_file("low/file", "text");
	stage_open();
	ck_assert(has_text("file", "text")); /* its descriptor is cached */
	id = id_of("file");
	write_text("file", "TEXT");
	ck_assert_int_eq(resolve(id, &node), 0);
	ck_assert(node_has_text(node, "TEXT"));
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &cut, NULL, NULL), 0);
	ck_assert_int_eq(
		ovl_write(fs, &root, node, "new", 3, 0, OVL_UNSTABLE, NULL), 3);
	ck_assert(node_has_text(node, "new"));
	ovl_node_unref(node);
}
END_TEST

static bool find_new(void *arg, const struct ovl_dirent *entry)
{
	*(bool *)arg |= !strcmp(entry->name, "new");
	return true;
}

START_TEST(what_is_held_shows_the_copy)
{
	struct ovl_node *dir, *file, *new = NULL;
	bool found = false, eof;
	struct ovl_attr attr;

	tree_mkdir("low/dir");
	tree_file("low/dir/file", "text");
	stage_open();
	dir = get("dir");
	file = get("dir/file");
	ck_assert_int_eq(link_name("dir/file", "", "link"), 0);
	ck_assert_int_eq(ovl_getattr(fs, &root, file, &attr), 0);
	ck_assert_uint_eq(attr.nlink, 2);
	write_text("link", "TEXT");
	ck_assert(node_has_text(file, "TEXT"));
	ck_assert_int_eq(make_file("dir", "new"), 0);
	ck_assert_int_eq(ovl_lookup(fs, &root, dir, "new", &new), 0);
	ck_assert_int_eq(ovl_readdir(fs, &root, dir, 0, false, find_new, &found,
	                             &eof),
	                 0);
	ck_assert(found);
	ovl_node_unref(new);
	ovl_node_unref(file);
	ovl_node_unref(dir);
}
END_TEST

/* Who cuts a file needs none of what is cut. */
/* Else it would be opened again, by name, and looked at, for each first write. */
START_TEST(the_copy_stays_open_for_who_wanted_it)
{
	const uint64_t sizes[] = { OVL_COPYUP_ALL, OVL_COPYUP_ATTRS };
	struct ovl_node *node, *upper;
	struct ovl_fd *fd;

	tree_file("low/0", "text");
	tree_file("low/1", "text");
	stage_open();
	for (unsigned i = 0; i < 2; i++) {
		node = get(i ? "1" : "0");
		ck_assert_int_eq(ovl_copyup(fs, node, sizes[i], &upper), 0);
		fd = ovl_fdslot_get(upper->tree->fds, &upper->fd);
		ck_assert_ptr_nonnull(fd);
		ovl_fd_unref(upper->tree->fds, fd);
		ovl_node_unref(upper);
		ovl_node_unref(node);
	}
}
END_TEST

START_TEST(a_truncation_copies_only_what_stays)
{
	struct ovl_setattr cut = { .has_size = true, .size = 10 };
	struct ovl_stats stats;
	struct ovl_node *node;
	int fd;

	tree_file("low/file", "0123456789abc");
	fd = tree_open("low/file", O_WRONLY);
	ck_assert_int_eq(ftruncate(fd, 10 << 20), 0);
	ck_assert_int_eq(pwrite(fd, "far", 3, 9 << 20), 3);
	close(fd);
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &cut, NULL, NULL), 0);
	ovl_node_unref(node);
	ck_assert(has_text("file", "0123456789"));
	ovl_stats(fs, &stats);
	ck_assert_uint_le(stats.copied_bytes, 4096);
}
END_TEST

/* ---- at once -------------------------------------------------------------- */

static void *write_at_once(void *arg)
{
	write_text("dir/file", "TEXT");
	return arg;
}

START_TEST(two_at_once_make_one_copy)
{
	pthread_t threads[8];
	int fd;

	tree_mkdir("low/dir");
	tree_file("low/dir/file", "text");
	fd = tree_open("low/dir/file", O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "", 1, 8 << 20), 1);
	close(fd);
	stage_open();
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
		                                write_at_once, NULL),
		                 0);
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(copyups(), 2); /* and its directory's */
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

static void *read_on(void *arg)
{
	char data[4];
	struct ovl_node *node;
	bool eof;

	while (!atomic_load(&over)) {
		node = get("big");
		ck_assert_int_eq(ovl_read(fs, &root, node, data, 4, 0, &eof),
		                 4);
		ck_assert(!memcmp(data, "text", 4) || !memcmp(data, "TEXT", 4));
		ovl_node_unref(node);
	}
	return arg;
}

START_TEST(reads_go_on_meanwhile)
{
	pthread_t thread;
	char block[65536];
	int fd;

	tree_file("low/big", "text");
	fd = tree_open("low/big", O_WRONLY | O_APPEND);
	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < 500; i++)
		ck_assert_int_eq(write(fd, block, sizeof(block)),
		                 sizeof(block));
	close(fd);
	stage_open();
	ck_assert_int_eq(pthread_create(&thread, NULL, read_on, NULL), 0);
	write_text("big", "TEXT");
	usleep(10000);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(attr_of("big").size, 4 + 500 * sizeof(block));
}
END_TEST

/* ---- failing -------------------------------------------------------------- */

START_TEST(a_full_disk_leaves_the_lower_file_served)
{
	struct ovl_node *node;
	char block[65536];
	int fd;

	if (geteuid() != 0 || !tree_may_mount())
		tree_skip("mounts need root");
	tree_mkdir("small");
	tree_mount_tmpfs("small", "size=1M");
	tree_mkdir("small/up");
	tree_mkdir("small/work");
	strcpy(stage_paths[2], tree_at("small/up"));
	strcpy(stage_paths[3], tree_at("small/work"));
	tree_mkdir("low/dir");
	tree_file("low/dir/big", "text");
	fd = tree_open("low/dir/big", O_WRONLY | O_APPEND);
	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(write(fd, block, sizeof(block)),
		                 sizeof(block));
	close(fd);
	stage_open();
	node = get("dir/big");
	ck_assert_int_eq(ovl_write(fs, &root, node, "TEXT", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 -ENOSPC);
	ck_assert_int_eq(ovl_read(fs, &root, node, block, 4, 0, &(bool){ 0 }),
	                 4);
	ck_assert(!memcmp(block, "text", 4));
	ovl_node_unref(node);
	ck_assert_int_eq(count_names("small/work/veneer/tmp"), 0);
	ck_assert_int_eq(count_names("small/up/dir"), 0);
	stage_reopen();
	ck_assert_uint_eq(attr_of("dir/big").size, 4 + 40 * sizeof(block));
}
END_TEST

START_TEST(a_read_only_overlay_copies_nothing)
{
	struct ovl_node *node;

	tree_file("low/file", "text");
	stage.read_only = true;
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_write(fs, &root, node, "TEXT", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EROFS);
	ovl_node_unref(node);
	ck_assert_int_eq(make_file("", "new"), -EROFS);
	ck_assert_int_eq(remove_name("", "file"), -EROFS);
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copyup");
	TCase *tcase = tcase_create("copyup");

	tcase_add_test(tcase, every_type_keeps_what_it_is);
	tcase_add_test(tcase, setuid_and_attributes_are_kept);
	tcase_add_test(tcase, the_opaque_mark_stays_where_it_is);
	tcase_add_test(tcase, parents_come_first_and_keep_their_times);
	tcase_add_test(tcase, holes_stay_holes);
	tcase_add_test(tcase, reads_after_a_write_see_it);
	tcase_add_test(tcase, what_is_held_shows_the_copy);
	tcase_add_test(tcase, the_copy_stays_open_for_who_wanted_it);
	tcase_add_test(tcase, a_truncation_copies_only_what_stays);
	tcase_add_test(tcase, two_at_once_make_one_copy);
	tcase_add_test(tcase, reads_go_on_meanwhile);
	tcase_add_test(tcase, a_full_disk_leaves_the_lower_file_served);
	tcase_add_test(tcase, a_read_only_overlay_copies_nothing);
	return stage_run(suite, tcase);
}
