/*
 * Reading, writing and making stable.
 */
#include "config.h"

#include <fcntl.h>

#include "stage.h"

static const struct ovl_caller user = { .uid = 1000,
	                                .gid = 1000,
	                                .may_wait = true };

static ssize_t write_at(const struct ovl_caller *caller, const char *path,
                        const void *data, size_t count, uint64_t offset)
{
	struct ovl_node *node = get(path);
	ssize_t n = ovl_write(fs, caller, node, data, count, offset,
	                      OVL_UNSTABLE, NULL);

	ovl_node_unref(node);
	return n;
}

static ssize_t read_at(const struct ovl_caller *caller, const char *path,
                       void *data, size_t count, uint64_t offset, bool *eof)
{
	struct ovl_node *node = get(path);
	ssize_t n = ovl_read(fs, caller, node, data, count, offset, eof);

	ovl_node_unref(node);
	return n;
}

START_TEST(the_end_of_a_file_is_told)
{
	char data[16];
	bool eof;

	tree_file("low/file", "0123456789");
	stage_open();
	ck_assert_int_eq(read_at(&root, "file", data, 5, 0, &eof), 5);
	ck_assert(!eof);
	ck_assert_int_eq(read_at(&root, "file", data, 5, 5, &eof), 5);
	ck_assert(eof);
	ck_assert_int_eq(read_at(&root, "file", data, 5, 8, &eof), 2);
	ck_assert(eof);
	ck_assert_int_eq(read_at(&root, "file", data, 5, 1000, &eof), 0);
	ck_assert(eof);
	ck_assert_int_eq(read_at(&root, "file", data, 0, 0, &eof), 0);
	ck_assert(!eof);
}
END_TEST

START_TEST(offsets_past_the_limits_are_refused)
{
	char data[16];
	bool eof;

	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(write_at(&root, "file", "x", 1, INT64_MAX), -EFBIG);
	ck_assert_int_eq(write_at(&root, "file", "x", 1, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(write_at(&root, "file", "xy", 2, INT64_MAX - 1),
	                 -EFBIG);
	ck_assert_int_eq(read_at(&root, "file", data, 1, UINT64_MAX, &eof),
	                 -EINVAL);
	ck_assert_uint_eq(attr_of("file").size, 0);
}
END_TEST

START_TEST(what_is_no_file_has_no_data)
{
	char data[16];
	bool eof;

	tree_mkdir("low/dir");
	ck_assert_int_eq(symlinkat("file", tree, "low/symlink"), 0);
	ck_assert_int_eq(mkfifoat(tree, "low/fifo", 0644), 0);
	stage_open();
	ck_assert_int_eq(read_at(&root, "dir", data, 1, 0, &eof), -EISDIR);
	ck_assert_int_eq(read_at(&root, "symlink", data, 1, 0, &eof), -EINVAL);
	ck_assert_int_eq(read_at(&root, "fifo", data, 1, 0, &eof), -EINVAL);
	ck_assert_int_eq(write_at(&root, "dir", "x", 1, 0), -EISDIR);
	ck_assert_int_eq(write_at(&root, "fifo", "x", 1, 0), -EINVAL);
}
END_TEST

START_TEST(a_write_behind_the_end_leaves_a_hole)
{
	char data[4] = "xxxx";
	bool eof;

	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(write_at(&root, "file", "end", 3, 100 << 20), 3);
	ck_assert_uint_eq(attr_of("file").size, (100 << 20) + 3);
	ck_assert_uint_lt(attr_of("file").used, 1 << 20);
	ck_assert_int_eq(read_at(&root, "file", data, 4, 1 << 20, &eof), 4);
	ck_assert(!memcmp(data, "\0\0\0\0", 4));
}
END_TEST

START_TEST(setuid_does_not_outlive_a_users_write)
{
	struct ovl_setattr set = { .has_mode = true, .mode = 06777 };
	struct ovl_node *node;

	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	node = get("file");
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	if (geteuid() == 0) { /* root may */
		ck_assert_int_eq(write_at(&root, "file", "x", 1, 0), 1);
		ck_assert_uint_eq(attr_of("file").mode & 07777, 06777);
	}
	ck_assert_int_eq(write_at(&user, "file", "x", 1, 0), 1);
	ck_assert_uint_eq(attr_of("file").mode & 07777, 0777);
	ovl_node_unref(node);
}
END_TEST

/* TRAPS 22. */
START_TEST(the_owner_goes_on_after_chmod)
{
	struct ovl_setattr set = { .has_mode = true, .mode = 0444 };
	struct ovl_setattr give = { .has_uid = true, .uid = 1000 };
	struct ovl_node *node;
	char data[4];
	bool eof;

	if (geteuid() != 0)
		tree_skip("giving files away needs root");
	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	node = get("file");
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &give, NULL, NULL), 0);
	ck_assert_int_eq(ovl_setattr(fs, &user, node, &set, NULL, NULL), 0);
	ck_assert_int_eq(write_at(&user, "file", "text", 4, 0), 4);
	set.mode = 0;
	ck_assert_int_eq(ovl_setattr(fs, &user, node, &set, NULL, NULL), 0);
	ck_assert_int_eq(read_at(&user, "file", data, 4, 0, &eof), 4);
	ovl_node_unref(node);
}
END_TEST

/* TRAPS 34. */
START_TEST(a_new_size_moves_the_times)
{
	struct ovl_setattr size = { .has_size = true, .size = 0 };
	struct ovl_setattr old = { .set_mtime = OVL_TIME_GIVEN,
		                   .mtime = { 1000, 5 } };
	struct ovl_node *node;

	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	node = get("file");
	for (size.size = 0; size.size < 3; size.size++) {
		ck_assert_int_eq(ovl_setattr(fs, &root, node, &old, NULL, NULL),
		                 0);
		ck_assert_int_eq(attr_of("file").mtime.tv_nsec, 5);
		ck_assert_int_eq(
			ovl_setattr(fs, &root, node, &size, NULL, NULL), 0);
		ck_assert_int_gt(attr_of("file").mtime.tv_sec, 1000);
	}
	ovl_node_unref(node);
}
END_TEST

START_TEST(the_change_tells_before_and_after)
{
	struct ovl_change change;
	struct ovl_node *node;

	tree_file("low/file", "text");
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_write(fs, &root, node, "longer text", 11, 0,
	                           OVL_FILE_SYNC, &change),
	                 11);
	ck_assert(change.has_before && change.has_after);
	ck_assert_uint_eq(change.before.size, 4);
	ck_assert_uint_eq(change.after.size, 11);
	ovl_node_unref(node);
}
END_TEST

START_TEST(to_write_nothing_does_nothing)
{
	struct ovl_change change;
	struct ovl_node *node;

	tree_file("low/file", "text");
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_write(fs, &root, node, "", 0, 100, OVL_FILE_SYNC,
	                           &change),
	                 0);
	ck_assert(change.has_after && change.after.size == 4);
	ck_assert(!tree_has("up/file"));
	ovl_node_unref(node);
}
END_TEST

START_TEST(each_start_has_its_own_verifier)
{
	uint64_t first;

	stage_open();
	first = ovl_write_verifier(fs);
	ck_assert_uint_eq(ovl_write_verifier(fs), first);
	stage_reopen();
	ck_assert_uint_ne(ovl_write_verifier(fs), first);
}
END_TEST

static uint64_t flushes(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats.flushes;
}

START_TEST(a_commit_flushes_what_was_written)
{
	struct ovl_node *node;
	uint64_t before;

	stage.sync = OVL_SYNC;
	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	node = get("file");
	before = flushes();
	ck_assert_int_eq(ovl_write(fs, &root, node, "text", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 4);
	ck_assert_uint_eq(flushes(), before);
	ck_assert_int_eq(ovl_commit(fs, &root, node, 0, 0, NULL), 0);
	ck_assert_uint_eq(flushes(), before + 1);
	ck_assert_int_eq(ovl_commit(fs, &root, node, 0, 0, NULL), 0);
	ck_assert_uint_eq(flushes(), before + 1);
	ck_assert_int_eq(ovl_write(fs, &root, node, "text", 4, 0, OVL_DATA_SYNC,
	                           NULL),
	                 4);
	ck_assert_uint_eq(flushes(), before + 2);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_volatile_overlay_never_flushes)
{
	struct ovl_node *node;

	tree_file("low/file", "text");
	stage.sync = OVL_VOLATILE;
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_write(fs, &root, node, "TEXT", 4, 0, OVL_FILE_SYNC,
	                           NULL),
	                 4);
	ck_assert_int_eq(ovl_commit(fs, &root, node, 0, 0, NULL), 0);
	ovl_node_unref(node);
	ck_assert_int_eq(make_file("", "new"), 0);
	ck_assert_uint_eq(flushes(), 0);
}
END_TEST

START_TEST(who_may_not_wait_changes_nothing)
{
	struct ovl_caller hasty = { .may_wait = false };
	struct ovl_node *node;

	tree_file("low/file", "text");
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_write(fs, &hasty, node, "TEXT", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EAGAIN);
	ovl_node_unref(node);
	ck_assert(has_text("file", "text"));
	ck_assert_int_eq(count_names("up"), 0);
	node = get("");
	ck_assert_int_eq(ovl_remove(fs, &hasty, node, "file", NULL), -EAGAIN);
	ovl_node_unref(node);
	ck_assert_int_eq(seen("file"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("io");
	TCase *tcase = tcase_create("io");

	tcase_add_test(tcase, the_end_of_a_file_is_told);
	tcase_add_test(tcase, offsets_past_the_limits_are_refused);
	tcase_add_test(tcase, what_is_no_file_has_no_data);
	tcase_add_test(tcase, a_write_behind_the_end_leaves_a_hole);
	tcase_add_test(tcase, setuid_does_not_outlive_a_users_write);
	tcase_add_test(tcase, the_owner_goes_on_after_chmod);
	tcase_add_test(tcase, a_new_size_moves_the_times);
	tcase_add_test(tcase, the_change_tells_before_and_after);
	tcase_add_test(tcase, to_write_nothing_does_nothing);
	tcase_add_test(tcase, each_start_has_its_own_verifier);
	tcase_add_test(tcase, a_commit_flushes_what_was_written);
	tcase_add_test(tcase, a_volatile_overlay_never_flushes);
	tcase_add_test(tcase, who_may_not_wait_changes_nothing);
	return stage_run(suite, tcase);
}
