/*
 * Stable storage: which changes are flushed, and what a failed flush means.
 */
#include "config.h"

#include "overlay/file.h"
#include "overlay/flush.h"

#include "stage.h"

static unsigned lines;
static uint64_t counted; /* flushes, before a change */

static void count_line(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
	lines++;
}

/* In memory nothing would be flushed: it is as on a disk. */
static void open_fs(void)
{
	stage_open();
	fs->upper.never_waits = false;
}

static uint64_t flushes(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats.flushes;
}

/* A change has come to this; it was flushed, or not. */
static void changed(int err, bool flushed)
{
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(flushes() > counted, flushed);
	counted = flushes();
}

/* One change of each kind; `each`: whether every one of them is flushed. */
static void change_all(bool each)
{
	struct ovl_setattr mode = { .has_mode = true, .mode = 0600 },
			   cut = { .has_size = true };
	struct ovl_node *node;

	counted = flushes();
	changed(make_file("", "file"), each);
	changed(make_dir("", "dir"), each);
	changed(link_name("file", "dir", "link"), each);
	changed(rename_name("", "file", "dir", "file"), each);
	node = get("dir/file");
	changed(ovl_setattr(fs, &root, node, &mode, NULL, NULL), each);
	changed(ovl_setattr(fs, &root, node, &cut, NULL, NULL), each);
	ovl_node_unref(node);
	node = get("lower"); /* copied up */
	changed(ovl_setattr(fs, &root, node, &mode, NULL, NULL), each);
	ovl_node_unref(node);
	changed(remove_name("dir", "file"), each);
	changed(remove_name("dir", "link"), each);
	changed(remove_dir("", "dir"), each);
}

/* In each way, as the loop's index. */
START_TEST(sync_flushes_every_change)
{
	tree_file("low/lower", "text");
	stage.sync = OVL_SYNC;
	open_fs();
	fs->batch.way = _i;
	change_all(true);
}
END_TEST

START_TEST(async_flushes_none_of_them)
{
	tree_file("low/lower", ""); /* nothing to copy */
	stage.sync = OVL_ASYNC;
	open_fs();
	fs->batch.way = OVL_BATCH_IN_ORDER;
	change_all(false);
}
END_TEST

/* Before it is in place: a crash would leave a file without its data. */
START_TEST(async_flushes_what_is_copied_up)
{
	tree_file("low/lower", "text");
	stage.sync = OVL_ASYNC;
	open_fs();
	fs->batch.way = OVL_BATCH_IN_ORDER;
	write_text("lower", "TEXT");
	ck_assert_uint_eq(flushes(), 1);
}
END_TEST

/* The same of what is in a metacopy's place. */
START_TEST(async_flushes_data_that_are_copied_up_later)
{
	struct ovl_setattr mode = { .has_mode = true, .mode = 0600 };
	struct ovl_node *node;

	tree_file("low/lower", "text");
	stage.sync = OVL_ASYNC;
	stage.metacopy = true;
	open_fs();
	fs->batch.way = OVL_BATCH_IN_ORDER;
	node = get("lower");
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &mode, NULL, NULL), 0);
	ovl_node_unref(node);
	ck_assert_uint_eq(flushes(), 0);
	write_text("lower", "TEXT");
	ck_assert_uint_eq(flushes(), 1);
}
END_TEST

START_TEST(async_keeps_the_order_where_no_log_does)
{
	tree_mkdir("low/dir");
	tree_file("low/dir/file", "text");
	stage.sync = OVL_ASYNC;
	open_fs();
	fs->batch.way = OVL_BATCH_EACH;
	counted = flushes();
	/* The mark that says where it goes on below. */
	changed(rename_name("", "dir", "", "moved"), true);
}
END_TEST

START_TEST(volatile_flushes_none_of_them)
{
	tree_file("low/lower", "text");
	stage.sync = OVL_VOLATILE;
	open_fs();
	change_all(false);
}
END_TEST

START_TEST(what_is_owed_is_flushed_once)
{
	struct ovl_node *node;
	struct ovl_fd *fd;
	uint64_t before;

	tree_file("up/file", "");
	stage.sync = OVL_SYNC;
	open_fs();
	node = get("file");
	ck_assert_int_eq(ovl_file_fd(node, true, &fd), 0);
	before = flushes();
	ck_assert_int_eq(ovl_flush_file(fs, fd, false), 0);
	ck_assert_uint_eq(flushes(), before); /* nothing was written */
	ovl_flush_owed(fs, fd);
	ck_assert_int_eq(ovl_flush_file(fs, fd, false), 0);
	ck_assert_int_eq(ovl_flush_file(fs, fd, false), 0);
	ck_assert_uint_eq(flushes(), before + 1);
	ovl_fd_unref(fs->tree.fds, fd);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_descriptor_is_flushed_before_it_is_closed)
{
	struct ovl_node *node;
	struct ovl_fd *fd;
	uint64_t before;

	tree_file("up/file", "");
	stage.sync = OVL_SYNC;
	open_fs();
	node = get("file");
	ck_assert_int_eq(ovl_file_fd(node, true, &fd), 0);
	ovl_flush_owed(fs, fd);
	ovl_fd_unref(fs->tree.fds, fd);
	before = flushes();
	ovl_fdslot_clear(fs->tree.fds, &node->fd, false);
	ck_assert_uint_eq(flushes(), before + 1);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_failure_changes_the_verifier_and_is_logged)
{
	uint64_t before, verifier;

	stage.log = count_line;
	open_fs();
	before = flushes();
	verifier = ovl_write_verifier(fs);
	lines = 0;
	ovl_flush_heard(fs, 0);
	ck_assert_uint_eq(ovl_write_verifier(fs), verifier);
	ck_assert_uint_eq(lines, 0);
	ovl_flush_heard(fs, -EIO);
	ck_assert_uint_ne(ovl_write_verifier(fs), verifier);
	ck_assert_uint_eq(lines, 1);
	ck_assert_uint_eq(flushes(), before + 2);
}
END_TEST

/* Data that nobody has committed yet may be lost with it. */
START_TEST(a_failure_of_any_flush_changes_the_verifier)
{
	uint64_t verifier;

	stage.sync = OVL_SYNC;
	open_fs();
	fs->batch.way = OVL_BATCH_EACH;
	verifier = ovl_write_verifier(fs);
	ck_assert_int_eq(ovl_flush_before(fs, -1), -EBADF);
	ck_assert_uint_ne(ovl_write_verifier(fs), verifier);
	verifier = ovl_write_verifier(fs);
	ck_assert_int_eq(ovl_flush_data(fs, -1), -EBADF);
	ck_assert_uint_ne(ovl_write_verifier(fs), verifier);
	verifier = ovl_write_verifier(fs);
	ck_assert_int_eq(ovl_flush_changes(fs, (int[]){ -1 }, 1), -EBADF);
	ck_assert_uint_ne(ovl_write_verifier(fs), verifier);
}
END_TEST

static uint64_t flushes_of_write(struct ovl_node *node, enum ovl_stable stable)
{
	uint64_t before = flushes();

	ck_assert_int_eq(ovl_write(fs, &root, node, "text", 4, 0, stable, NULL),
	                 4);
	return flushes() - before;
}

static uint64_t flushes_of_commit(struct ovl_node *node)
{
	uint64_t before = flushes();

	ck_assert_int_eq(ovl_commit(fs, &root, node, 0, 0, NULL), 0);
	return flushes() - before;
}

START_TEST(a_write_is_flushed_as_far_as_was_asked)
{
	struct ovl_node *node;

	tree_file("up/file", "");
	stage.sync = OVL_SYNC;
	open_fs();
	node = get("file");
	ck_assert_uint_eq(flushes_of_write(node, OVL_UNSTABLE), 0);
	ck_assert_uint_eq(flushes_of_write(node, OVL_DATA_SYNC), 1);
	/* What belongs to the data, the times, has still to be. */
	ck_assert_uint_eq(flushes_of_commit(node), 1);
	ck_assert_uint_eq(flushes_of_commit(node), 0);
	ck_assert_uint_eq(flushes_of_write(node, OVL_FILE_SYNC), 1);
	ck_assert_uint_eq(flushes_of_commit(node), 0);
	ovl_node_unref(node);
}
END_TEST

START_TEST(but_for_sync_no_write_is_flushed)
{
	struct ovl_node *node;

	tree_file("up/file", "");
	stage.sync = _i;
	open_fs();
	node = get("file");
	for (int stable = OVL_UNSTABLE; stable <= OVL_FILE_SYNC; stable++)
		ck_assert_uint_eq(flushes_of_write(node, stable), 0);
	ck_assert_uint_eq(flushes_of_commit(node), 0);
	ovl_node_unref(node);
	ck_assert_uint_eq(flushes(), 0);
}
END_TEST

/* Another writes to what was copied up, and the copier has not flushed that yet. */
START_TEST(what_is_written_is_stable_when_its_place_is)
{
	struct ovl_node *node;

	tree_file("up/file", "");
	stage.sync = OVL_SYNC;
	open_fs();
	fs->batch.way = _i;
	node = get("file");
	ovl_flush_placed(node);
	ck_assert_uint_eq(flushes_of_write(node, OVL_UNSTABLE), 0);
	ck_assert_uint_ge(flushes_of_write(node, OVL_DATA_SYNC), 2);
	ck_assert_uint_eq(flushes_of_write(node, OVL_DATA_SYNC), 1);
	ovl_flush_placed(node);
	ck_assert_uint_ge(flushes_of_commit(node), 2);
	ck_assert_uint_eq(flushes_of_commit(node), 0);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_copy_up_for_an_unstable_write_is_flushed)
{
	struct ovl_node *node;

	tree_mkdir("low/dir");
	tree_file("low/dir/file", "lower");
	stage.sync = OVL_SYNC;
	open_fs();
	node = get("dir/file");
	/* Its data, and then all there is of it. */
	ck_assert_uint_ge(flushes_of_write(node, OVL_UNSTABLE), 2);
	ck_assert_uint_eq(flushes_of_commit(node), 1);
	ovl_node_unref(node);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flush");
	TCase *tcase = tcase_create("flush");

	tcase_add_loop_test(tcase, sync_flushes_every_change,
	                    OVL_BATCH_IN_ORDER, OVL_BATCH_EACH + 1);
	tcase_add_test(tcase, async_flushes_none_of_them);
	tcase_add_test(tcase, async_flushes_what_is_copied_up);
	tcase_add_test(tcase, async_flushes_data_that_are_copied_up_later);
	tcase_add_test(tcase, async_keeps_the_order_where_no_log_does);
	tcase_add_test(tcase, volatile_flushes_none_of_them);
	tcase_add_test(tcase, what_is_owed_is_flushed_once);
	tcase_add_test(tcase, a_descriptor_is_flushed_before_it_is_closed);
	tcase_add_test(tcase, a_failure_changes_the_verifier_and_is_logged);
	tcase_add_test(tcase, a_failure_of_any_flush_changes_the_verifier);
	tcase_add_test(tcase, a_write_is_flushed_as_far_as_was_asked);
	tcase_add_loop_test(tcase, but_for_sync_no_write_is_flushed, OVL_ASYNC,
	                    OVL_VOLATILE + 1);
	tcase_add_loop_test(tcase, what_is_written_is_stable_when_its_place_is,
	                    OVL_BATCH_IN_ORDER, OVL_BATCH_EACH + 1);
	tcase_add_test(tcase, a_copy_up_for_an_unstable_write_is_flushed);
	return stage_run(suite, tcase);
}
