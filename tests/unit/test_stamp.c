/*
 * Changes by others, seen by the times of directories; and those that the times
 * do not tell, since clocks are coarse.
 */
#include "config.h"

#include <time.h>

#include "overlay/dir.h"
#include "overlay/fs.h"
#include "overlay/refresh.h"
#include "overlay/stamp.h"

#include "stage.h"

/* A directory of all layers, its names read in, and held. */
static struct ovl_node *open_dir(void)
{
	static const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	static const char *const dirs[] = { "up/dir", "high/dir", "low/dir" };
	struct ovl_node *dir;

	for (unsigned i = 0; i < 3; i++) {
		tree_mkdir(dirs[i]);
		ck_assert_int_eq(utimensat(tree, dirs[i], old, 0), 0);
	}
	tree_file("low/dir/file", "");
	stage.cache = OVL_CACHE_ALWAYS; /* nothing is looked at unasked */
	stage_open();
	dir = get("dir");
	ck_assert_int_eq(seen("dir/file"), 0);
	return dir;
}

/* As if it had been read long after its last change. */
static void grow_up(struct ovl_node *dir)
{
	ovl_node_lock(dir);
	dir->dir->young = false;
	ovl_node_unlock(dir);
}

/* The change is hidden: it was in the same tick of the clock. */
static void hide_change(struct ovl_node *dir, const char *path, unsigned part)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, path, &st, 0), 0);
	dir->dir->parts[part].stamp =
		(struct ovl_stamp){ st.st_mtim, st.st_ctim };
}

static bool knows_names(struct ovl_node *dir)
{
	bool knows;

	ovl_node_lock(dir);
	knows = dir->dir->names;
	ovl_node_unlock(dir);
	return knows;
}

START_TEST(what_has_not_changed_is_known)
{
	struct ovl_node *dir = open_dir();
	unsigned shape = ovl_node_lower(dir)->dir->shape;

	grow_up(ovl_node_lower(dir));
	ovl_stamp_check(ovl_node_lower(dir), NULL, false);
	ck_assert(knows_names(ovl_node_lower(dir)));
	ck_assert_uint_eq(ovl_node_lower(dir)->dir->shape, shape);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(a_change_of_any_part_is_seen)
{
	static const char *const files[] = { "high/dir/new", "low/dir/new" };
	struct ovl_node *dir = open_dir(), *lower = ovl_node_lower(dir);
	unsigned shape = lower->dir->shape;

	grow_up(lower);
	tree_file(files[_i], "");
	ovl_stamp_check(lower, NULL, false);
	ck_assert(!knows_names(lower));
	ck_assert_uint_gt(lower->dir->shape, shape);
	ck_assert(!ovl_map_complete(lower->tree->map));
	ck_assert_int_eq(seen("dir/new"), 0);
	/* It is known now. */
	shape = lower->dir->shape;
	grow_up(lower);
	ovl_stamp_check(lower, NULL, false);
	ck_assert_uint_eq(lower->dir->shape, shape);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(what_is_young_is_read_once_more)
{
	struct ovl_node *dir = open_dir(), *lower = ovl_node_lower(dir);

	/* Read just after a change: a busy machine may need some tries. */
	for (unsigned i = 0; i < 100 && !lower->dir->young; i++) {
		ovl_node_lock(lower);
		ovl_node_set_names(lower, NULL);
		ovl_node_unlock(lower);
		ck_assert_int_eq(fchmodat(tree, "low/dir", 0700 + i % 8, 0), 0);
		ck_assert_int_eq(ovl_dir_lock(lower, true), 0);
		ovl_dir_unlock(lower);
	}
	ck_assert(lower->dir->young);
	tree_file("low/dir/new", "");
	hide_change(lower, "low/dir", 1);
	ovl_stamp_check(lower, NULL, false);
	ck_assert(!knows_names(lower));
	ck_assert_int_eq(seen("dir/new"), 0);
	usleep(50000);
	ovl_stamp_check(lower, NULL, false); /* it may be young still */
	ck_assert_int_eq(seen("dir/new"), 0);
	ck_assert(!lower->dir->young);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(what_the_server_has_edited_is_read_again_later)
{
	struct ovl_node *dir = open_dir();

	grow_up(dir);
	ck_assert_int_eq(make_file("dir", "mine"), 0);
	ck_assert(dir->dir->edited);
	tree_file("up/dir/theirs", "");
	hide_change(dir, "up/dir", 0);
	/* Reading it again is not to take more than a hundredth of the time. */
	dir->dir->loaded = ovl_now();
	ovl_stamp_check(dir, NULL, false);
	if (ovl_now() - dir->dir->loaded < 100000)
		ck_assert(knows_names(dir));
	dir->dir->loaded = ovl_now() - UINT64_C(1000000000);
	ovl_stamp_check(dir, NULL, false);
	ck_assert_int_eq(seen("dir/theirs"), 0);
	ck_assert_int_eq(seen("dir/mine"), 0);
	ck_assert(!dir->dir->edited);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(the_server_s_own_changes_are_no_surprise)
{
	struct ovl_node *dir = open_dir();
	struct ovl_setattr mode = { .has_mode = true, .mode = 0700 };
	unsigned shape = dir->dir->shape;

	grow_up(dir);
	ck_assert_int_eq(make_file("dir", "mine"), 0);
	ck_assert_int_eq(make_dir("dir", "sub"), 0);
	ck_assert_int_eq(rename_name("dir", "mine", "dir/sub", "x"), 0);
	ck_assert_int_eq(remove_name("dir", "file"), 0);
	dir->dir->edited = false; /* what the test before this one is for */
	ck_assert_int_eq(ovl_setattr(fs, &root, dir, &mode, NULL, NULL), 0);
	dir->dir->edited = false;
	ovl_stamp_check(dir, NULL, false);
	ck_assert(knows_names(dir));
	ck_assert_uint_eq(dir->dir->shape, shape);
	ovl_node_unref(dir);
}
END_TEST

/* Others have changed it just before the server does. */
START_TEST(an_edit_does_not_cover_up_for_others)
{
	struct ovl_node *dir;

	ovl_node_unref(open_dir());
	stage_close();
	stage.cache = OVL_CACHE_AUTO;
	stage_open();
	dir = get("dir");
	ck_assert_int_eq(seen("dir/file"), 0);
	grow_up(dir);
	tree_file("up/dir/theirs", "");
	ck_assert_int_eq(make_file("dir", "theirs"), -EEXIST);
	tree_file("up/dir/more", "");
	ck_assert_int_eq(make_file("dir", "mine"), 0);
	ck_assert_int_eq(seen("dir/more"), 0);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(while_somebody_edits_nothing_is_forgotten)
{
	struct ovl_node *dir = open_dir();

	grow_up(dir);
	tree_file("up/dir/new", "");
	pthread_mutex_lock(&dir->dir->change);
	ovl_stamp_check(dir, NULL, false);
	ck_assert(knows_names(dir));
	ovl_stamp_check(dir, NULL, true);
	ck_assert(!knows_names(dir));
	pthread_mutex_unlock(&dir->dir->change);
	ck_assert_int_eq(seen("dir/new"), 0);
	ovl_node_unref(dir);
}
END_TEST

/* The directory was looked at before the server's own change, and told after it. */
START_TEST(an_old_look_is_no_surprise)
{
	static const struct timespec later[2] = { { 2000, 0 }, { 2000, 0 } };
	struct ovl_node *dir = open_dir();
	struct ovl_attr old;
	unsigned shape;

	grow_up(dir);
	ck_assert_int_eq(ovl_node_attr(dir, OVL_CACHE_ALWAYS, true, &old), 0);
	ck_assert_int_eq(make_file("dir", "mine"), 0);
	dir->dir->edited = false;
	shape = dir->dir->shape;
	ovl_stamp_check(dir, &old, false);
	ck_assert(knows_names(dir));
	ck_assert_uint_eq(dir->dir->shape, shape);
	/* And where there is something to be seen: */
	tree_file("up/dir/theirs", "");
	ck_assert_int_eq(utimensat(tree, "up/dir", later, 0), 0);
	ovl_stamp_check(dir, &old, false);
	ck_assert(!knows_names(dir));
	ovl_node_unref(dir);
}
END_TEST

/*
 * The server's own changes make a directory look as if others might have changed
 * it in the same tick: it is not read in again for each of them.
 */
START_TEST(a_large_directory_is_not_read_again_for_each_change)
{
	struct ovl_node *dir;
	uint64_t loaded = 0;
	unsigned times = 0;
	char name[32];

	stage.cache = OVL_CACHE_AUTO;
	stage.max_entries = 100000;
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "up/name%u", i);
		tree_file(name, "");
	}
	stage_open();
	dir = ovl_root(fs);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "new%u", i);
		ck_assert_int_eq(make_file("", name), 0);
		times += dir->dir->loaded != loaded;
		loaded = dir->dir->loaded;
	}
	ovl_node_unref(dir);
	ck_assert_uint_lt(times, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stamp");
	TCase *tcase = tcase_create("stamp");

	tcase_add_test(tcase,
	               a_large_directory_is_not_read_again_for_each_change);
	tcase_add_test(tcase, what_has_not_changed_is_known);
	tcase_add_loop_test(tcase, a_change_of_any_part_is_seen, 0, 2);
	tcase_add_test(tcase, what_is_young_is_read_once_more);
	tcase_add_test(tcase, what_the_server_has_edited_is_read_again_later);
	tcase_add_test(tcase, the_server_s_own_changes_are_no_surprise);
	tcase_add_test(tcase, an_edit_does_not_cover_up_for_others);
	tcase_add_test(tcase, while_somebody_edits_nothing_is_forgotten);
	tcase_add_test(tcase, an_old_look_is_no_surprise);
	return stage_run(suite, tcase);
}
