/*
 * Directories with a lower part that were renamed: what is below shows at their
 * new place, by redirects, in the upper and between layers of the stack.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "overlay/fs.h"

#include "stage.h"

/* The name of an attribute of overlayfs, as this stage has it. */
static const char *attribute(const char *name)
{
	static char full[64];

	snprintf(full, sizeof(full), "%s.overlay.%s",
	         stage.userxattr ? "user" : "trusted", name);
	return full;
}

static void mark(const char *path, const char *name, const char *value)
{
	ck_assert_int_eq(lsetxattr(tree_at(path), attribute(name), value,
	                           strlen(value), 0),
	                 0);
}

static bool has_mark(const char *path, const char *name, const char *value)
{
	char found[PATH_MAX] = "";
	ssize_t len = lgetxattr(tree_at(path), attribute(name), found,
	                        sizeof(found) - 1);

	return value ? len == (ssize_t)strlen(value) && !strcmp(found, value)
	             : len < 0 && errno == ENODATA;
}

static void whiteout(const char *name)
{
	ck_assert_int_eq(mknodat(tree, name, S_IFCHR, 0), 0);
}

/* "dir" in both layers, with a directory in it, and a file in each. */
static void make_dirs(void)
{
	tree_mkdir("high/dir");
	tree_file("high/dir/high", "high");
	tree_mkdir("low/dir");
	tree_file("low/dir/low", "low");
	tree_mkdir("low/dir/sub");
	tree_file("low/dir/sub/file", "file");
	tree_mkdir("low/other");
	tree_file("low/other/thing", "thing");
}

static void assert_is_dir(const char *path)
{
	char below[PATH_MAX];

	snprintf(below, sizeof(below), "%s/high", path);
	ck_assert(has_text(below, "high"));
	snprintf(below, sizeof(below), "%s/low", path);
	ck_assert(has_text(below, "low"));
	snprintf(below, sizeof(below), "%s/sub/file", path);
	ck_assert(has_text(below, "file"));
}

static bool count_entry(void *arg, const struct ovl_dirent *entry)
{
	(void)entry;
	++*(unsigned *)arg;
	return true;
}

/* Names that a listing shows, but "." and "..". */
static unsigned listed(const char *path)
{
	struct ovl_node *dir = get(path);
	unsigned n = 0;
	bool eof;

	ck_assert_int_eq(
		ovl_readdir(fs, &root, dir, 2, true, count_entry, &n, &eof), 0);
	ovl_node_unref(dir);
	return n;
}

/* ---- renaming --------------------------------------------------------------- */

/* Trap 30. */
START_TEST(a_lower_directory_is_renamed_where_it_is)
{
	struct ovl_id dir, file;

	make_dirs();
	stage_open();
	dir = id_of("dir");
	file = id_of("dir/sub/file");
	ck_assert_int_eq(rename_name("", "dir", "", "new"), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_is_dir("new");
		ck_assert_uint_eq(listed("new"), 3);
		ck_assert_uint_eq(listed(""), 2);
		ck_assert_int_eq(seen("dir"), -ENOENT);
		ck_assert(same_id(dir, id_of("new")));
		ck_assert(same_id(file, id_of("new/sub/file")));
		stage_reopen();
	}
	ck_assert(has_mark("up/new", "redirect", "dir"));
	ck_assert(has_mark("up/new", "opaque", NULL));
	ck_assert(is_whiteout("up/dir"));
}
END_TEST

START_TEST(a_lower_directory_is_renamed_into_another)
{
	make_dirs();
	stage_open();
	ck_assert_int_eq(rename_name("", "dir", "other", "new"), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_is_dir("other/new");
		ck_assert(has_text("other/thing", "thing"));
		ck_assert_int_eq(seen("dir"), -ENOENT);
		stage_reopen();
	}
	ck_assert(has_mark("up/other/new", "redirect", "/dir"));
}
END_TEST

START_TEST(a_lower_directory_goes_into_a_new_one_and_back)
{
	struct ovl_id dir;

	make_dirs();
	stage_open();
	dir = id_of("dir");
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(rename_name("", "dir", "new", "a"), 0);
	ck_assert_int_eq(rename_name("new", "a", "new", "b"), 0);
	assert_is_dir("new/b");
	ck_assert(has_mark("up/new/b", "redirect", "/dir"));
	stage_reopen();
	assert_is_dir("new/b");
	ck_assert_int_eq(rename_name("new", "b", "", "dir"), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_is_dir("dir");
		ck_assert(same_id(dir, id_of("dir")));
		ck_assert_int_eq(seen("new/b"), -ENOENT);
		stage_reopen();
	}
}
END_TEST

START_TEST(what_is_below_moves_on_by_itself)
{
	make_dirs();
	stage_open();
	ck_assert_int_eq(rename_name("", "dir", "", "new"), 0);
	ck_assert_int_eq(rename_name("new", "sub", "other", "sub"), 0);
	ck_assert_int_eq(rename_name("", "new", "other", "new"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("other/sub/file", "file"));
		ck_assert(has_text("other/new/low", "low"));
		ck_assert_int_eq(seen("other/new/sub"), -ENOENT);
		stage_reopen();
	}
	ck_assert(has_mark("up/other/sub", "redirect", "/dir/sub"));
	ck_assert(has_mark("up/other/new", "redirect", "/dir"));
	ck_assert(is_whiteout("up/other/new/sub"));
}
END_TEST

START_TEST(what_is_below_is_written_at_its_new_place)
{
	struct ovl_id file;

	make_dirs();
	stage_open();
	file = id_of("dir/sub/file");
	ck_assert_int_eq(rename_name("", "dir", "", "new"), 0);
	stage_reopen();
	write_text("new/sub/file", "FILE");
	ck_assert_int_eq(make_file("new/sub", "more"), 0);
	ck_assert_int_eq(remove_name("new", "low"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("new/sub/file", "FILE"));
		ck_assert(same_id(file, id_of("new/sub/file")));
		ck_assert_int_eq(seen("new/sub/more"), 0);
		ck_assert_int_eq(seen("new/low"), -ENOENT);
		ck_assert(has_text("new/high", "high"));
		stage_reopen();
	}
	ck_assert(tree_file_is("up/new/sub/file", "FILE"));
	ck_assert(tree_file_is("low/dir/sub/file", "file"));
}
END_TEST

/* Trap 14. */
START_TEST(handles_below_find_the_new_place_after_a_restart)
{
	struct ovl_id file, sub;
	struct ovl_node *node;

	make_dirs();
	stage_open();
	file = id_of("dir/sub/file");
	sub = id_of("dir/sub");
	ck_assert_int_eq(rename_name("", "dir", "other", "new"), 0);
	ck_assert_int_eq(resolve(file, &node), 0);
	ovl_node_unref(node);
	stage_reopen();
	ck_assert_int_eq(resolve(file, &node), 0);
	ck_assert(node_has_text(node, "file"));
	ck_assert_int_eq(ovl_write(fs, &root, node, "FILE", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 4);
	ovl_node_unref(node);
	ck_assert(has_text("other/new/sub/file", "FILE"));
	ck_assert_int_eq(resolve(sub, &node), 0);
	ovl_node_unref(node);
	ck_assert(same_id(sub, id_of("other/new/sub")));
}
END_TEST

START_TEST(a_new_directory_at_the_old_name_is_another)
{
	struct ovl_id old;

	make_dirs();
	stage_open();
	old = id_of("dir");
	ck_assert_int_eq(rename_name("", "dir", "", "new"), 0);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(!same_id(old, id_of("dir")));
		ck_assert(same_id(old, id_of("new")));
		ck_assert_uint_eq(listed("dir"), 0);
		assert_is_dir("new");
		stage_reopen();
	}
}
END_TEST

START_TEST(a_lower_directory_replaces_an_empty_one)
{
	make_dirs();
	tree_mkdir("low/empty");
	tree_mkdir("low/emptied");
	tree_file("low/emptied/file", "");
	stage_open();
	ck_assert_int_eq(remove_name("emptied", "file"), 0);
	ck_assert_int_eq(rename_name("", "dir", "", "empty"), 0);
	assert_is_dir("empty");
	ck_assert_int_eq(rename_name("", "empty", "", "emptied"), 0);
	ck_assert_int_eq(rename_name("", "other", "", "emptied"), -ENOTEMPTY);
	for (unsigned i = 0; i < 2; i++) {
		assert_is_dir("emptied");
		ck_assert_uint_eq(listed("emptied"), 3);
		ck_assert_int_eq(seen("empty"), -ENOENT);
		ck_assert_int_eq(seen("dir"), -ENOENT);
		stage_reopen();
	}
}
END_TEST

START_TEST(a_renamed_directory_is_removed)
{
	make_dirs();
	stage_open();
	ck_assert_int_eq(rename_name("", "other", "", "new"), 0);
	ck_assert_int_eq(remove_dir("", "new"), -ENOTEMPTY);
	ck_assert_int_eq(remove_name("new", "thing"), 0);
	ck_assert_int_eq(remove_dir("", "new"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(seen("new"), -ENOENT);
		ck_assert_int_eq(seen("other"), -ENOENT);
		stage_reopen();
	}
	ck_assert(!tree_has("up/new"));
}
END_TEST

START_TEST(a_directory_does_not_go_into_itself_by_a_redirect)
{
	make_dirs();
	stage_open();
	ck_assert_int_eq(rename_name("", "dir", "", "new"), 0);
	ck_assert_int_eq(rename_name("", "new", "new/sub", "x"), -EINVAL);
	ck_assert_int_eq(rename_name("", "new", "new", "x"), -EINVAL);
	assert_is_dir("new");
}
END_TEST

START_TEST(without_redirects_a_rename_is_refused)
{
	static const enum ovl_redirect modes[] = { OVL_REDIRECT_OFF,
		                                   OVL_REDIRECT_FOLLOW,
		                                   OVL_REDIRECT_NOFOLLOW };

	stage.redirect_dir = modes[_i];
	make_dirs();
	stage_open();
	ck_assert_int_eq(rename_name("", "dir", "", "new"), -EXDEV);
	ck_assert_int_eq(rename_name("dir", "sub", "other", "new"), -EXDEV);
	assert_is_dir("dir");
	ck_assert(!tree_has("up/dir"));
	/* One that is new is renamed all the same. */
	ck_assert_int_eq(make_dir("", "own"), 0);
	ck_assert_int_eq(rename_name("", "own", "other", "own"), 0);
}
END_TEST

/* ---- following ---------------------------------------------------------------- */

START_TEST(redirects_are_followed_unless_told_not_to)
{
	static const struct {
		enum ovl_redirect mode;
		int result;
	} modes[] = { { OVL_REDIRECT_ON, 0 },
		      { OVL_REDIRECT_OFF, 0 },
		      { OVL_REDIRECT_FOLLOW, 0 },
		      { OVL_REDIRECT_NOFOLLOW, -EPERM } };

	stage.redirect_dir = modes[_i].mode;
	tree_mkdir("up/new");
	mark("up/new", "redirect", "dir");
	tree_mkdir("high/moved");
	mark("high/moved", "redirect", "/sub");
	tree_mkdir("low/dir");
	tree_file("low/dir/low", "low");
	tree_mkdir("low/sub");
	tree_file("low/sub/low", "low");
	stage_open();
	ck_assert_int_eq(seen("new/low"), modes[_i].result);
	ck_assert_int_eq(seen("moved/low"), modes[_i].result);
	ck_assert(has_text("sub/low", "low"));
}
END_TEST

START_TEST(redirects_lead_through_the_layers)
{
	tree_mkdir("up/a");
	mark("up/a", "redirect", "b");
	tree_mkdir("high/b");
	tree_file("high/b/high", "high");
	mark("high/b", "redirect", "/c/d");
	tree_mkdir("low/b");
	tree_file("low/b/no", "");
	tree_mkdir("low/c");
	tree_mkdir("low/c/d");
	tree_file("low/c/d/low", "low");
	tree_mkdir("low/c/d/sub");
	tree_file("low/c/d/sub/file", "file");
	stage_open();
	assert_is_dir("a");
	ck_assert_int_eq(seen("a/no"), -ENOENT);
	ck_assert_uint_eq(listed("a"), 3);
	/* And again when it is forgotten, from what is on disk. */
	stage_close();
	stage.max_entries = 1;
	stage_open();
	assert_is_dir("a");
}
END_TEST

static bool check_fileid(void *arg, const struct ovl_dirent *entry)
{
	(void)arg;
	ck_assert_uint_eq(entry->fileid, id_of(entry->name).fileid);
	return true;
}

/* Trap 7. */
START_TEST(a_listing_tells_the_fileid_of_where_it_leads)
{
	struct ovl_node *dir;
	bool eof;

	tree_mkdir("high/a");
	mark("high/a", "redirect", "b");
	tree_mkdir("high/c");
	tree_mkdir("low/b");
	tree_mkdir("low/d");
	tree_file("low/file", "");
	stage_open();
	dir = ovl_root(fs);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(ovl_readdir(fs, &root, dir, 2, false,
		                             check_fileid, NULL, &eof),
		                 0);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(what_is_on_the_way_of_a_path_counts)
{
	tree_mkdir("up/through_whiteout");
	mark("up/through_whiteout", "redirect", "/gone/sub");
	whiteout("high/gone");
	tree_mkdir("low/gone");
	tree_mkdir("low/gone/sub");
	tree_file("low/gone/sub/no", "");

	tree_mkdir("up/through_opaque");
	mark("up/through_opaque", "redirect", "/opaque/sub");
	tree_mkdir("high/opaque");
	mark("high/opaque", "opaque", "y");
	tree_mkdir("low/opaque");
	tree_mkdir("low/opaque/sub");
	tree_file("low/opaque/sub/no", "");

	tree_mkdir("up/through_moved");
	mark("up/through_moved", "redirect", "/moved/sub");
	tree_mkdir("high/moved");
	mark("high/moved", "redirect", "place");
	tree_mkdir("low/place");
	tree_mkdir("low/place/sub");
	tree_file("low/place/sub/yes", "yes");
	stage_open();
	ck_assert_uint_eq(listed("through_whiteout"), 0);
	ck_assert_uint_eq(listed("through_opaque"), 0);
	ck_assert(has_text("through_moved/yes", "yes"));
}
END_TEST

START_TEST(a_redirect_leads_out_of_an_opaque_directory)
{
	char lowest[PATH_MAX];
	const char *const lowers[] = { stage_paths[0], stage_paths[1], lowest };

	tree_mkdir("lowest");
	strcpy(lowest, tree_at("lowest"));
	stage.lowerdirs = lowers;
	stage.nlowerdirs = 3;
	tree_mkdir("high/a");
	mark("high/a", "redirect", "/opaque/b");
	tree_mkdir("low/opaque");
	mark("low/opaque", "opaque", "y");
	tree_mkdir("low/opaque/b");
	mark("low/opaque/b", "redirect", "/c");
	tree_file("low/opaque/b/low", "low");
	tree_mkdir("lowest/c");
	tree_file("lowest/c/lowest", "lowest");
	tree_mkdir("lowest/opaque");
	tree_mkdir("lowest/opaque/b");
	tree_file("lowest/opaque/b/no", "");
	stage_open();
	ck_assert(has_text("a/low", "low"));
	ck_assert(has_text("a/lowest", "lowest"));
	ck_assert_uint_eq(listed("a"), 2);
	ck_assert_uint_eq(listed("opaque/b"), 2);
}
END_TEST

START_TEST(redirects_that_make_no_sense_are_an_error_of_that_directory)
{
	static const char *const values[] = { "",    "a/b", "..",    ".",
		                              "/",   "//a", "/a/",   "/a//b",
		                              "/..", "/.",  "/a/..", "/../up" };

	tree_mkdir("low/good");
	tree_mkdir("up/upper");
	mark("up/upper", "redirect", values[_i]);
	tree_mkdir("high/lower");
	mark("high/lower", "redirect", values[_i]);
	stage_open();
	ck_assert_int_eq(seen("upper"), -EIO);
	ck_assert_int_eq(seen("lower"), -EIO);
	ck_assert_int_eq(seen("good"), 0);
}
END_TEST

START_TEST(redirects_in_a_circle_end)
{
	tree_mkdir("up/a");
	tree_mkdir("up/a/b");
	mark("up/a/b", "redirect", "/a");
	tree_mkdir("high/a");
	tree_file("high/a/file", "file");
	tree_mkdir("high/x");
	mark("high/x", "redirect", "x");
	stage_open();
	ck_assert(has_text("a/file", "file"));
	ck_assert(has_text("a/b/file", "file"));
	ck_assert_int_eq(seen("a/b/b"), -ENOENT);
	ck_assert_uint_eq(listed("x"), 0);
}
END_TEST

START_TEST(two_redirects_to_one_directory_are_two_objects)
{
	struct ovl_id one, two;

	tree_mkdir("up/one");
	mark("up/one", "redirect", "dir");
	tree_mkdir("up/two");
	mark("up/two", "redirect", "/dir");
	tree_mkdir("high/three");
	mark("high/three", "redirect", "dir");
	tree_mkdir("high/four");
	mark("high/four", "redirect", "dir");
	tree_mkdir("low/dir");
	tree_file("low/dir/file", "file");
	stage_open();
	one = id_of("one");
	two = id_of("two");
	ck_assert(!same_id(one, two));
	ck_assert(!same_id(id_of("three"), id_of("four")));
	ck_assert(has_text("one/file", "file"));
	ck_assert(has_text("two/file", "file"));
	ck_assert(has_text("three/file", "file"));
	ck_assert(has_text("four/file", "file"));
	ck_assert_int_eq(make_file("two", "new"), 0);
	ck_assert_int_eq(seen("one/new"), -ENOENT);
}
END_TEST

START_TEST(an_opaque_directory_redirects_nowhere)
{
	tree_mkdir("up/a");
	mark("up/a", "redirect", "dir");
	mark("up/a", "opaque", "y");
	tree_mkdir("low/dir");
	tree_file("low/dir/file", "");
	stage_open();
	ck_assert_uint_eq(listed("a"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("redirect");
	TCase *tcase = tcase_create("redirect");

	tcase_add_test(tcase, a_lower_directory_is_renamed_where_it_is);
	tcase_add_test(tcase, a_lower_directory_is_renamed_into_another);
	tcase_add_test(tcase, a_lower_directory_goes_into_a_new_one_and_back);
	tcase_add_test(tcase, what_is_below_moves_on_by_itself);
	tcase_add_test(tcase, what_is_below_is_written_at_its_new_place);
	tcase_add_test(tcase, handles_below_find_the_new_place_after_a_restart);
	tcase_add_test(tcase, a_new_directory_at_the_old_name_is_another);
	tcase_add_test(tcase, a_lower_directory_replaces_an_empty_one);
	tcase_add_test(tcase, a_renamed_directory_is_removed);
	tcase_add_test(tcase,
	               a_directory_does_not_go_into_itself_by_a_redirect);
	tcase_add_loop_test(tcase, without_redirects_a_rename_is_refused, 0, 3);
	tcase_add_loop_test(tcase, redirects_are_followed_unless_told_not_to, 0,
	                    4);
	tcase_add_test(tcase, redirects_lead_through_the_layers);
	tcase_add_test(tcase, a_listing_tells_the_fileid_of_where_it_leads);
	tcase_add_test(tcase, what_is_on_the_way_of_a_path_counts);
	tcase_add_test(tcase, a_redirect_leads_out_of_an_opaque_directory);
	tcase_add_loop_test(
		tcase,
		redirects_that_make_no_sense_are_an_error_of_that_directory, 0,
		12);
	tcase_add_test(tcase, redirects_in_a_circle_end);
	tcase_add_test(tcase, two_redirects_to_one_directory_are_two_objects);
	tcase_add_test(tcase, an_opaque_directory_redirects_nowhere);
	return stage_run(suite, tcase);
}
