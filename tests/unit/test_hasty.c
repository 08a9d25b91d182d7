/*
 * What callers that may not wait can change: names and attributes where there is no
 * disk, and nothing else. Who is told to wait has changed nothing.
 */
#include "config.h"

#include "overlay/dir.h"

#include "stage.h"

#define NO_TMPFS "no tmpfs can be mounted"

static const struct ovl_caller hasty = { .may_wait = false };
static const struct ovl_setattr private = { .has_mode = true, .mode = 0600 };

/* The layers in memory. False: this user cannot mount that. */
static bool plant(void)
{
	if (!tree_move_to("tmpfs"))
		return false;
	stage_plant();
	/* Else what is young is read again, which is for others to do. */
	stage.cache = OVL_CACHE_ALWAYS;
	return true;
}

/* A directory that knows its names. */
static struct ovl_node *get_dir(const char *path)
{
	struct ovl_node *dir = get(path), *node = NULL;

	ck_assert_int_eq(ovl_lookup(fs, &root, dir, "none", &node), -ENOENT);
	return dir;
}

static int try_create(struct ovl_node *dir, const char *name)
{
	struct ovl_node *node = NULL;
	int err = ovl_create(fs, &hasty, dir, name, OVL_GUARDED, &private, 0,
	                     &node, NULL);

	ovl_node_unref(node);
	return err;
}

/* ---- what they can ---------------------------------------------------------- */

START_TEST(they_make_objects_of_each_type)
{
	struct ovl_node *dir, *node;
	struct ovl_change change;

	if (!plant())
		tree_skip(NO_TMPFS);
	stage_open();
	dir = get_dir("");
	ck_assert_int_eq(ovl_create(fs, &hasty, dir, "file", OVL_GUARDED,
	                            &private, 0, &node, &change),
	                 0);
	ovl_node_unref(node);
	ck_assert(change.has_before && change.has_after);
	ck_assert_int_eq(attr_of("file").mode, S_IFREG | 0600);
	ck_assert_int_eq(
		ovl_mkdir(fs, &hasty, dir, "dir", &private, &node, NULL), 0);
	/* It was just made: there is nothing to be read in. */
	ck_assert_int_eq(try_create(node, "in"), 0);
	ovl_node_unref(node);
	ck_assert_int_eq(attr_of("dir").mode, S_IFDIR | 0600);
	ck_assert_int_eq(seen("dir/in"), 0);
	ck_assert_int_eq(ovl_symlink(fs, &hasty, dir, "link", "target",
	                             &nothing, &node, NULL),
	                 0);
	ovl_node_unref(node);
	ck_assert(S_ISLNK(attr_of("link").mode));
	ck_assert_int_eq(ovl_mknod(fs, &hasty, dir, "fifo", S_IFIFO, 0,
	                           &nothing, &node, NULL),
	                 0);
	ovl_node_unref(node);
	ck_assert(S_ISFIFO(attr_of("fifo").mode));
	ck_assert_int_eq(count_names("up"), 4);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(they_remove_and_set_attributes)
{
	struct ovl_node *dir, *node;
	struct ovl_change change;

	if (!plant())
		tree_skip(NO_TMPFS);
	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	dir = get_dir("");
	node = get("file");
	ck_assert_int_eq(ovl_setattr(fs, &hasty, node, &private, NULL, &change),
	                 0);
	ck_assert_int_eq(change.after.mode, S_IFREG | 0600);
	ck_assert_int_eq(attr_of("file").mode, S_IFREG | 0600);
	ovl_node_unref(node);
	ck_assert_int_eq(ovl_remove(fs, &hasty, dir, "file", &change), 0);
	ck_assert(change.has_before && change.has_after);
	ck_assert_int_eq(seen("file"), -ENOENT);
	ck_assert_int_eq(count_names("up"), 0);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(they_copy_small_files_up)
{
	struct ovl_node *node;

	if (!plant())
		tree_skip(NO_TMPFS);
	tree_file("low/written", "lower");
	tree_file("low/set", "lower");
	stage_open();
	node = get("written");
	ck_assert_int_eq(ovl_write(fs, &hasty, node, "upper", 5, 0,
	                           OVL_UNSTABLE, NULL),
	                 5);
	ovl_node_unref(node);
	node = get("set");
	ck_assert_int_eq(ovl_setattr(fs, &hasty, node, &private, NULL, NULL),
	                 0);
	ovl_node_unref(node);
	ck_assert(has_text("written", "upper"));
	ck_assert(has_text("set", "lower"));
	ck_assert_int_eq(attr_of("set").mode, S_IFREG | 0600);
	ck_assert_int_eq(count_names("up"), 2);
	ck_assert(tree_file_is("low/written", "lower"));
}
END_TEST

START_TEST(they_hear_of_errors_as_others_do)
{
	struct ovl_node *dir;

	if (!plant())
		tree_skip(NO_TMPFS);
	tree_file("low/low", "low");
	stage_open();
	dir = get_dir("");
	ck_assert_int_eq(seen("low"), 0);
	ck_assert_int_eq(try_create(dir, "low"), -EEXIST);
	ck_assert_int_eq(ovl_remove(fs, &hasty, dir, "none", NULL), -ENOENT);
	ovl_node_unref(dir);
}
END_TEST

/* ---- what they cannot -------------------------------------------------------- */

static void assert_told_to_wait(const char *path)
{
	struct ovl_node *dir = get_dir(path);

	ck_assert_int_eq(try_create(dir, "new"), -EAGAIN);
	ovl_node_unref(dir);
}

static void assert_write_waits(const char *path)
{
	struct ovl_node *node = get(path);

	ck_assert_int_eq(ovl_write(fs, &hasty, node, "new", 3, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EAGAIN);
	ovl_node_unref(node);
}

START_TEST(on_a_disk_they_are_told_to_wait)
{
	if (!tree_move_to("ext4"))
		tree_skip("no ext4 can be mounted");
	stage_plant();
	stage_open();
	assert_told_to_wait("");
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

START_TEST(for_a_flush_they_are_told_to_wait)
{
	if (!plant())
		tree_skip(NO_TMPFS);
	stage.sync = OVL_SYNC;
	stage_open();
	assert_told_to_wait("");
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

START_TEST(for_a_copy_up_they_are_told_to_wait)
{
	struct ovl_node *node;

	if (!plant())
		tree_skip(NO_TMPFS);
	tree_mkdir("low/d");
	tree_file("low/d/file", "low");
	tree_file("low/linked", "low");
	ck_assert_int_eq(linkat(tree, "low/linked", tree, "low/other", 0), 0);
	tree_file("low/large", "low");
	ck_assert_int_eq(truncate(tree_at("low/large"), 1 << 20), 0);
	stage_open();
	assert_told_to_wait("d"); /* its directory has no upper part */
	assert_write_waits("d/file");
	assert_write_waits("linked");
	assert_write_waits("large");
	node = get_dir("");
	ck_assert_int_eq(ovl_remove(fs, &hasty, node, "linked", NULL), -EAGAIN);
	ovl_node_unref(node);
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

/* Those of the layer below as well: it may be on a disk. */
START_TEST(for_names_to_be_read_in_they_are_told_to_wait)
{
	struct ovl_node *dir;

	if (!plant())
		tree_skip(NO_TMPFS);
	tree_mkdir("low/d");
	tree_mkdir("up/d");
	stage_open();
	dir = get("d");
	ck_assert_int_eq(try_create(dir, "new"), -EAGAIN);
	ck_assert_int_eq(ovl_dir_lock(dir, true), 0);
	ovl_dir_unlock(dir);
	ck_assert_int_eq(try_create(dir, "new"), -EAGAIN);
	ck_assert_int_eq(seen("d/new"), -ENOENT);
	ck_assert_int_eq(try_create(dir, "new"), 0);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(while_another_has_the_directory_they_are_told_to_wait)
{
	struct ovl_node *dir;

	if (!plant())
		tree_skip(NO_TMPFS);
	stage_open();
	dir = get_dir("");
	pthread_mutex_lock(&dir->dir->change);
	ck_assert_int_eq(try_create(dir, "new"), -EAGAIN);
	pthread_mutex_unlock(&dir->dir->change);
	ck_assert_int_eq(try_create(dir, "new"), 0);
	ovl_node_unref(dir);
}
END_TEST

/* Its pages are given back by the call that takes its last name away. */
START_TEST(for_a_large_file_to_go_they_are_told_to_wait)
{
	struct ovl_setattr cut = { .has_size = true };
	struct ovl_node *dir, *node;
	static char data[2 << 20];

	if (!plant())
		tree_skip(NO_TMPFS);
	stage_open();
	ck_assert_int_eq(make_file("", "large"), 0);
	node = get("large");
	ck_assert_int_eq(ovl_write(fs, &root, node, data, sizeof(data), 0,
	                           OVL_UNSTABLE, NULL),
	                 sizeof(data));
	ck_assert_int_eq(ovl_setattr(fs, &hasty, node, &cut, NULL, NULL),
	                 -EAGAIN);
	ovl_node_unref(node);
	dir = get_dir("");
	ck_assert_int_eq(ovl_remove(fs, &hasty, dir, "large", NULL), -EAGAIN);
	ovl_node_unref(dir);
	ck_assert_uint_eq(attr_of("large").size, sizeof(data));
}
END_TEST

/* Whether its other name is known, the handles' file may have to say. */
START_TEST(for_one_of_several_names_to_go_they_are_told_to_wait)
{
	struct ovl_node *dir;

	if (!plant())
		tree_skip(NO_TMPFS);
	stage_open();
	ck_assert_int_eq(make_file("", "one"), 0);
	ck_assert_int_eq(link_name("one", "", "other"), 0);
	dir = get_dir("");
	ck_assert_int_eq(ovl_remove(fs, &hasty, dir, "one", NULL), -EAGAIN);
	ck_assert_int_eq(remove_name("", "other"), 0);
	ck_assert_uint_eq(attr_of("one").nlink, 1);
	ck_assert_int_eq(ovl_remove(fs, &hasty, dir, "one", NULL), 0);
	ovl_node_unref(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hasty");
	TCase *tcase = tcase_create("hasty");

	tcase_add_test(tcase, they_make_objects_of_each_type);
	tcase_add_test(tcase, they_remove_and_set_attributes);
	tcase_add_test(tcase, they_copy_small_files_up);
	tcase_add_test(tcase, they_hear_of_errors_as_others_do);
	tcase_add_test(tcase, on_a_disk_they_are_told_to_wait);
	tcase_add_test(tcase, for_a_flush_they_are_told_to_wait);
	tcase_add_test(tcase, for_a_copy_up_they_are_told_to_wait);
	tcase_add_test(tcase, for_names_to_be_read_in_they_are_told_to_wait);
	tcase_add_test(tcase,
	               while_another_has_the_directory_they_are_told_to_wait);
	tcase_add_test(tcase, for_a_large_file_to_go_they_are_told_to_wait);
	tcase_add_test(tcase,
	               for_one_of_several_names_to_go_they_are_told_to_wait);
	return stage_run(suite, tcase);
}
