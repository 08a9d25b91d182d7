/*
 * What is known to show as it is in the stack: no longer than it does, whatever comes
 * to hide it, or is copied up.
 */
#include "config.h"

#include "overlay/shown.h"

#include <fcntl.h>

#include "overlay/find.h"
#include "overlay/fs.h"

#include "stage.h"

/* ---- the memory ------------------------------------------------------------ */

static struct ovl_shown shown;
static _Atomic uint64_t below;

START_TEST(what_was_added_is_known_until_something_changes)
{
	ovl_shown_init(&shown, &below);
	ck_assert(!ovl_shown_has(&shown, 7));
	ovl_shown_add(&shown, ovl_shown_changes(&shown), 7);
	ovl_shown_add(&shown, ovl_shown_changes(&shown), 8);
	ck_assert(ovl_shown_has(&shown, 7));
	ck_assert(ovl_shown_has(&shown, 8));
	ck_assert(!ovl_shown_has(&shown, 9));

	ovl_shown_forget(&shown);
	ck_assert(!ovl_shown_has(&shown, 7));
	ovl_shown_add(&shown, ovl_shown_changes(&shown), 8);
	ck_assert(!ovl_shown_has(&shown, 7));
	ck_assert(ovl_shown_has(&shown, 8));

	atomic_fetch_add(&below, 1);
	ck_assert(!ovl_shown_has(&shown, 8));
	ovl_shown_add(&shown, ovl_shown_changes(&shown), 7);
	ck_assert(ovl_shown_has(&shown, 7));
	ck_assert(!ovl_shown_has(&shown, 8));
}
END_TEST

START_TEST(what_was_looked_at_before_a_change_is_worth_nothing)
{
	uint64_t changes;

	ovl_shown_init(&shown, &below);
	changes = ovl_shown_changes(&shown);
	ovl_shown_forget(&shown);
	ovl_shown_add(&shown, changes, 7);
	ck_assert(!ovl_shown_has(&shown, 7));
	changes = ovl_shown_changes(&shown);
	atomic_fetch_add(&below, 1);
	ovl_shown_add(&shown, changes, 7);
	ck_assert(!ovl_shown_has(&shown, 7));
}
END_TEST

/* Each drives out another, and is taken for no other. */
START_TEST(there_may_be_more_than_are_kept)
{
	const uint64_t n = 100000;
	unsigned known = 0;

	ovl_shown_init(&shown, &below);
	for (uint64_t i = 1; i <= n; i++) {
		ovl_shown_add(&shown, ovl_shown_changes(&shown), 2 * i);
		ck_assert(ovl_shown_has(&shown, 2 * i));
		ck_assert(!ovl_shown_has(&shown, 2 * i + 1));
	}
	for (uint64_t i = 1; i <= n; i++)
		known += ovl_shown_has(&shown, 2 * i);
	ck_assert_uint_le(known, 1u << OVL_SHOWN_BITS);
	ck_assert_uint_gt(known, 1u << (OVL_SHOWN_BITS - 1));
}
END_TEST

/* ---- in an overlay ----------------------------------------------------------- */

/* By its handle, as it was: a file (its text), or a directory (NULL). */
static void check_shows(struct ovl_id id, const char *text)
{
	struct ovl_node *node;

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(resolve(id, &node), 0);
		ck_assert(!node->tree->upper);
		if (text)
			ck_assert(node_has_text(node, text));
		else
			ck_assert(ovl_shown_has(&fs->tree.shown, id.fileid));
		ovl_node_unref(node);
	}
}

static void check_is_copied(struct ovl_id id)
{
	struct ovl_node *node;

	ck_assert_int_eq(resolve(id, &node), 0);
	ck_assert(node->tree->upper);
	ovl_node_unref(node);
}

static void check_is_gone(struct ovl_id id)
{
	struct ovl_node *node;

	ck_assert_int_eq(resolve(id, &node), -ESTALE);
}

static struct ovl_id file, other, near, dir, top;

static void open_with_files(enum ovl_cache cache)
{
	tree_mkdir("low/top");
	tree_mkdir("low/top/dir");
	tree_file("low/top/dir/file", "text");
	tree_file("low/top/dir/other", "other text");
	tree_file("low/near", "near");
	stage.cache = cache;
	stage_open();
	file = id_of("top/dir/file");
	other = id_of("top/dir/other");
	near = id_of("near");
	dir = id_of("top/dir");
	top = id_of("top");
	check_shows(file, "text");
	check_shows(other, "other text");
	check_shows(near, "near");
	check_shows(dir, NULL);
	check_shows(top, NULL);
}

START_TEST(what_is_removed_is_gone)
{
	open_with_files(OVL_CACHE_ALWAYS);
	ck_assert_int_eq(remove_name("", "near"), 0);
	check_is_gone(near);
	check_shows(file, "text");
	ck_assert_int_eq(remove_name("top/dir", "file"), 0);
	check_is_gone(file);
	check_is_copied(dir);
	check_is_copied(top);
	check_shows(other, "other text");
	ck_assert_int_eq(remove_name("top/dir", "other"), 0);
	check_is_gone(other);
	ck_assert_int_eq(remove_dir("top", "dir"), 0);
	check_is_gone(dir);
}
END_TEST

START_TEST(what_is_copied_up_is_the_copy)
{
	open_with_files(OVL_CACHE_ALWAYS);
	write_text("near", "NEAR");
	check_is_copied(near);
	check_shows(file, "text");
	write_text("top/dir/file", "TEXT");
	check_is_copied(file);
	check_is_copied(dir);
	ck_assert(has_text("top/dir/file", "TEXT"));
	check_shows(other, "other text");
	/* And where the copy is not in memory. */
	stage_reopen();
	check_is_copied(file);
	check_is_copied(near);
	check_shows(other, "other text");
}
END_TEST

START_TEST(what_is_below_a_renamed_directory_shows_there_alone)
{
	struct ovl_node *node;

	open_with_files(OVL_CACHE_ALWAYS);
	ck_assert_int_eq(rename_name("", "top", "", "moved"), 0);
	check_shows(file, "text");
	check_shows(dir, NULL);
	check_is_copied(top);
	ck_assert_int_eq(seen("top"), -ENOENT);
	ck_assert_int_eq(make_dir("", "top"), 0);
	ck_assert_int_eq(seen("top/dir"), -ENOENT);
	check_shows(file, "text");
	ck_assert_int_eq(resolve(dir, &node), 0);
	ovl_node_unref(node);
	ck_assert_int_eq(rename_name("moved/dir", "file", "top", "file"), 0);
	check_is_copied(file);
	ck_assert_int_eq(remove_name("moved/dir", "other"), 0);
	check_is_gone(other);
}
END_TEST

START_TEST(another_name_of_the_file_is_copied_up)
{
	struct ovl_id id, sibling;

	tree_mkdir("low/a");
	tree_mkdir("low/b");
	tree_file("low/b/sibling", "sibling");
	tree_file("low/a/name", "text");
	ck_assert_int_eq(linkat(tree, "low/a/name", tree, "low/b/link", 0), 0);
	open_with_files(OVL_CACHE_ALWAYS);
	id = id_of("a/name");
	sibling = id_of("b/sibling");
	check_shows(id, "text");
	write_text("a/name", "TEXT");
	check_is_copied(id);
	/* And where the copy is not in memory. */
	stage_reopen();
	check_shows(sibling, "sibling");
	check_shows(id_of("b"), NULL);
	check_is_copied(id);
	ck_assert(has_text("b/link", "TEXT"));
}
END_TEST

/* Once the directory that has changed has been looked at. */
START_TEST(what_others_hide_is_gone)
{
	open_with_files(OVL_CACHE_NEVER);
	tree_file("up/near", "of another");
	tree_file("up/top", "of another");
	attr_of("");
	ck_assert(has_text("top", "of another"));
	check_is_gone(file);
	check_is_gone(dir);
	check_is_gone(top);
	check_is_gone(near);
}
END_TEST

/* Others move "top/dir" to where the upper has something else, which is looked at. */
static void move_where_it_is_hidden(void)
{
	tree_mkdir("up/hidden");
	tree_file("up/hidden/dir", "hides it");
	tree_mkdir("low/hidden");
	ck_assert_int_eq(renameat(tree, "low/top/dir", tree, "low/hidden/dir"),
	                 0);
	ck_assert_int_eq(seen("top/dir"), -ENOENT);
}

START_TEST(what_others_move_below_is_where_it_is_now)
{
	open_with_files(OVL_CACHE_NEVER);
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(remove_dir("", "new"), 0);
	move_where_it_is_hidden();
	ck_assert(has_text("hidden/dir", "hides it"));
	check_is_gone(dir);
	check_is_gone(file);
}
END_TEST

/* A call that has begun before goes on with what it has found. */
START_TEST(what_a_forgotten_node_is_asked_about_is_not_believed)
{
	struct ovl_node *old, *got;

	open_with_files(OVL_CACHE_NEVER);
	old = get("top/dir");
	ck_assert_int_eq(make_dir("", "new"), 0);
	move_where_it_is_hidden();
	/* Until nothing is read in once more, since it was young. */
	for (unsigned i = 0; i < 3; i++) {
		usleep(50000);
		check_is_gone(dir);
	}
	ck_assert(!ovl_tree_has(old->tree, old));
	ck_assert_int_eq(ovl_find_over(fs, old, true, &got), 0);
	ovl_node_unref(got);
	check_is_gone(dir);
	ovl_node_unref(old);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shown");
	TCase *tcase = tcase_create("shown");

	tcase_add_test(tcase, what_was_added_is_known_until_something_changes);
	tcase_add_test(tcase,
	               what_was_looked_at_before_a_change_is_worth_nothing);
	tcase_add_test(tcase, there_may_be_more_than_are_kept);
	tcase_add_test(tcase, what_is_removed_is_gone);
	tcase_add_test(tcase, what_is_copied_up_is_the_copy);
	tcase_add_test(tcase,
	               what_is_below_a_renamed_directory_shows_there_alone);
	tcase_add_test(tcase, another_name_of_the_file_is_copied_up);
	tcase_add_test(tcase, what_others_hide_is_gone);
	tcase_add_test(tcase, what_others_move_below_is_where_it_is_now);
	tcase_add_test(tcase,
	               what_a_forgotten_node_is_asked_about_is_not_believed);
	return stage_run(suite, tcase);
}
