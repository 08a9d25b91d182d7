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

START_TEST(sync_flushes_every_change)
{
	tree_file("low/lower", "text");
	stage.sync = OVL_SYNC;
	stage_open();
	change_all(true);
}
END_TEST

START_TEST(async_flushes_none_of_them)
{
	tree_file("low/lower", "text");
	stage.sync = OVL_ASYNC;
	stage_open();
	change_all(false);
}
END_TEST

START_TEST(volatile_flushes_none_of_them)
{
	tree_file("low/lower", "text");
	stage.sync = OVL_VOLATILE;
	stage_open();
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
	stage_open();
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
	stage_open();
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
	stage_open();
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

START_TEST(an_objects_failure_is_told)
{
	stage.sync = OVL_SYNC;
	stage_open();
	ck_assert_int_eq(ovl_flush_object(fs, -1), -EBADF);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flush");
	TCase *tcase = tcase_create("flush");

	tcase_add_test(tcase, sync_flushes_every_change);
	tcase_add_test(tcase, async_flushes_none_of_them);
	tcase_add_test(tcase, volatile_flushes_none_of_them);
	tcase_add_test(tcase, what_is_owed_is_flushed_once);
	tcase_add_test(tcase, a_descriptor_is_flushed_before_it_is_closed);
	tcase_add_test(tcase, a_failure_changes_the_verifier_and_is_logged);
	tcase_add_test(tcase, an_objects_failure_is_told);
	return stage_run(suite, tcase);
}
