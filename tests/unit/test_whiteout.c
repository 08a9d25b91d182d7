#include "config.h"

#include "overlay/whiteout.h"

#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "overlay/rmtree.h"
#include "overlay/xattr.h"

#include "stage.h"

/* Both kinds of whiteouts are made, one after the other, in each test. */
static bool by_attribute;

/* The process ends before the last of so many changes of the disk; 0: none is near. */
static unsigned changes_left;

static void count_change(void)
{
	if (changes_left && --changes_left == 0)
		_exit(EXIT_FAILURE);
}

/* In place of the C library's: a machine that lets nobody make whiteouts. */
int mknodat(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	count_change();
	if (by_attribute && S_ISCHR(mode) && dev == makedev(0, 0)) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_mknodat, dirfd, path, mode, dev);
}

int renameat2(int from, const char *from_name, int to, const char *to_name,
              unsigned flags)
{
	count_change();
	return (int)syscall(SYS_renameat2, from, from_name, to, to_name, flags);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	count_change();
	return (int)syscall(SYS_unlinkat, dirfd, path, flags);
}

/* ---- what is on disk ------------------------------------------------------ */

static const char *full_name(const char *name)
{
	static char full[64];

	snprintf(full, sizeof(full), "%s.overlay.%s",
	         stage.userxattr ? "user" : "trusted", name);
	return full;
}

static bool has_xattr(const char *path, const char *name, char value)
{
	char got;

	return getxattr(tree_at(path), full_name(name), &got, 1) == 1 &&
	       got == value;
}

/* A whiteout of the kind that is made; `dir` is what it is in. */
static bool hides(const char *dir, const char *path)
{
	struct stat st;

	if (!by_attribute)
		return is_whiteout(path);
	return fstatat(tree, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size == 0 &&
	       has_xattr(path, "whiteout", 'y') &&
	       has_xattr(dir, "opaque", 'x');
}

static void empty(const char *dir)
{
	int fd = tree_open(dir, O_RDONLY | O_DIRECTORY);

	ck_assert_int_eq(ovl_rmtree_contents(fd), 0);
	close(fd);
}

static bool has_none(const char *path)
{
	return !tree_has(path) && count_names("work/veneer/tmp") == 0;
}

static void plant(int attribute)
{
	by_attribute = attribute;
	stage_open();
	ck_assert_int_eq(fs->whiteouts_by_attribute, attribute);
}

/* ---- making them ---------------------------------------------------------- */

START_TEST(one_is_made_where_nothing_stands)
{
	int up;

	plant(_i);
	up = tree_open("up", O_RDONLY);
	ck_assert_int_eq(ovl_whiteout_make(fs, up, "gone"), 0);
	ck_assert(hides("up", "up/gone"));
	ck_assert_int_eq(ovl_whiteout_make(fs, up, "gone"), -EEXIST);
	tree_file("up/file", "kept");
	ck_assert_int_eq(ovl_whiteout_make(fs, up, "file"), -EEXIST);
	ck_assert(tree_file_is("up/file", "kept"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	close(up);
}
END_TEST

START_TEST(what_one_replaces_lands_in_tmp)
{
	static const char *const names[] = { "file", "dir", "link" };
	char target[8], path[64];
	int up;

	plant(_i);
	up = tree_open("up", O_RDONLY);
	tree_file("up/file", "text");
	tree_mkdir("up/dir");
	tree_file("up/dir/below", "text");
	ck_assert_int_eq(symlinkat("target", tree, "up/link"), 0);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "up/%s", names[i]);
		ck_assert_int_eq(
			ovl_whiteout_replace(fs, up, names[i], names[i]), 0);
		ck_assert(hides("up", path));
	}
	ck_assert(tree_file_is("work/veneer/tmp/file", "text"));
	ck_assert(tree_file_is("work/veneer/tmp/dir/below", "text"));
	ck_assert_int_eq(readlinkat(tree, "work/veneer/tmp/link", target, 8),
	                 6);
	close(up);
}
END_TEST

START_TEST(where_nothing_stands_nothing_is_replaced)
{
	int up;

	plant(_i);
	up = tree_open("up", O_RDONLY);
	ck_assert_int_eq(ovl_whiteout_replace(fs, up, "none", "tmp1"), -ENOENT);
	ck_assert(has_none("up/none"));
	close(up);
}
END_TEST

START_TEST(an_opaque_directory_stays_opaque)
{
	int up;

	plant(1);
	up = tree_open("up", O_RDONLY);
	ck_assert_int_eq(ovl_xattr_set_opaque(&fs->upper, up), 0);
	ck_assert_int_eq(ovl_whiteout_make(fs, up, "gone"), 0);
	ck_assert(has_xattr("up", "opaque", 'y'));
	close(up);
}
END_TEST

/* ---- through the overlay -------------------------------------------------- */

START_TEST(what_is_removed_stays_removed)
{
	tree_file("low/file", "");
	tree_mkdir("low/dir");
	tree_file("low/dir/one", "");
	tree_file("low/dir/two", "");
	plant(_i);
	ck_assert_int_eq(remove_name("", "file"), 0);
	ck_assert(hides("up", "up/file"));
	write_text("dir/one", "copied up");
	ck_assert_int_eq(remove_name("dir", "one"), 0);
	ck_assert(hides("up/dir", "up/dir/one"));
	ck_assert_int_eq(seen("dir/one"), -ENOENT);
	ck_assert_int_eq(remove_name("dir", "two"), 0);
	ck_assert_int_eq(remove_dir("", "dir"), 0);
	ck_assert(hides("up", "up/dir"));
	/* Each name can be had again. */
	ck_assert_int_eq(make_dir("", "file"), 0);
	ck_assert_int_eq(make_file("", "dir"), 0);
	ck_assert(!hides("up", "up/file") && !hides("up", "up/dir"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

/* Of each kind onto nothing, a whiteout, an upper and a lower file. */
START_TEST(a_renamed_lower_name_leaves_one)
{
	tree_file("low/a", "a");
	tree_file("low/b", "b");
	tree_file("low/c", "c");
	tree_file("low/d", "d");
	tree_file("low/gone", "");
	tree_file("low/lower", "");
	plant(_i);
	ck_assert_int_eq(make_file("", "upper"), 0);
	ck_assert_int_eq(remove_name("", "gone"), 0);
	ck_assert_int_eq(rename_name("", "a", "", "new"), 0);
	ck_assert_int_eq(rename_name("", "b", "", "gone"), 0);
	ck_assert_int_eq(rename_name("", "c", "", "upper"), 0);
	ck_assert_int_eq(rename_name("", "d", "", "lower"), 0);
	ck_assert(has_text("new", "a") && has_text("gone", "b"));
	ck_assert(has_text("upper", "c") && has_text("lower", "d"));
	ck_assert(hides("up", "up/a") && hides("up", "up/b"));
	ck_assert(hides("up", "up/c") && hides("up", "up/d"));
	ck_assert_int_eq(count_names("up"), 8);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

/* ---- crashes ---------------------------------------------------------------- */

static void prepare_object(void)
{
	write_text("upper", "UPPER");
	write_text("name", "NAMED");
}

/* Its own names are all there are: an attribute makes no whiteouts in it. */
static void prepare_opaque(void)
{
	ck_assert_int_eq(remove_name("dir", "name"), 0);
	ck_assert_int_eq(remove_name("dir", "from"), 0);
	ck_assert_int_eq(remove_dir("", "dir"), 0);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	write_text("name", "NAMED");
}

static void prepare_whiteout(void)
{
	prepare_opaque();
	ck_assert_int_eq(remove_name("", "name"), 0);
	ck_assert_int_eq(make_dir("dir", "from"), 0);
	ck_assert_int_eq(make_file("dir/from", "in"), 0);
}

/* What a file holds; NULL: there is none. */
struct look {
	const char *path, *text;
};

static bool shows(struct look look)
{
	if (!look.text)
		return seen(look.path) == -ENOENT;
	return seen(look.path) == 0 && has_text(look.path, look.text);
}

static const struct rename {
	void (*prepare)(void);
	const char *from_dir, *from, *to_dir, *to;
	struct look source, target; /* as they are before */
	struct look done;
} renames[] = {
	{ .prepare = prepare_object,
	  .from_dir = "",
	  .from = "name",
	  .to_dir = "",
	  .to = "upper",
	  .source = { "name", "NAMED" },
	  .target = { "upper", "UPPER" },
	  .done = { "upper", "NAMED" } },
	{ .prepare = prepare_opaque,
	  .from_dir = "",
	  .from = "name",
	  .to_dir = "dir",
	  .to = "name",
	  .source = { "name", "NAMED" },
	  .target = { "dir/name", NULL },
	  .done = { "dir/name", "NAMED" } },
	{ .prepare = prepare_whiteout,
	  .from_dir = "dir",
	  .from = "from",
	  .to_dir = "",
	  .to = "name",
	  .source = { "dir/from/in", "" },
	  .target = { "name", NULL },
	  .done = { "name/in", "" } },
};
#define NRENAMES ((int)(sizeof(renames) / sizeof(renames[0])))

/* Whether the server was killed in it before the `nth` change on disk. */
static bool killed_in_rename(const struct rename *r, unsigned nth)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		stage_open();
		r->prepare();
		changes_left = nth;
		if (rename_name(r->from_dir, r->from, r->to_dir, r->to))
			_exit(42);
		changes_left = 0;
		stage_close();
		_exit(EXIT_SUCCESS);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 42);
	return WEXITSTATUS(status) == EXIT_FAILURE;
}

/* Both names are as before, or as after; and can be had again. */
static void assert_done_or_not(const struct rename *r, bool killed)
{
	bool done = shows(r->done);
	char path[32];

	ck_assert(done || killed);
	if (!done) {
		ck_assert(shows(r->source) && shows(r->target));
		return;
	}
	snprintf(path, sizeof(path), "%s/%s", r->from_dir, r->from);
	ck_assert_int_eq(seen(path), -ENOENT);
	ck_assert_int_eq(make_dir(r->from_dir, r->from), 0);
	ck_assert_int_eq(seen(path), 0);
	ck_assert_int_eq(remove_dir(r->from_dir, r->from), 0);
}

START_TEST(a_rename_is_done_or_not_at_any_crash)
{
	const struct rename *r = &renames[_i / 2];
	bool killed = true;
	unsigned nth;

	by_attribute = _i % 2;
	for (nth = 1; killed; nth++) {
		tree_file("low/name", "lower");
		tree_file("low/upper", "lower");
		tree_mkdir("low/dir");
		tree_file("low/dir/name", "hidden");
		tree_file("low/dir/from", "hidden");
		killed = killed_in_rename(r, nth);
		stage_open();
		assert_done_or_not(r, killed);
		ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
		stage_close();
		empty("up");
		empty("low");
	}
	ck_assert_uint_gt(nth, 2);
}
END_TEST

/* ---- directories ------------------------------------------------------------ */

START_TEST(a_renamed_directory_leaves_one)
{
	tree_file("low/name", "");
	tree_file("low/gone", "");
	plant(_i);
	ck_assert_int_eq(remove_name("", "name"), 0);
	ck_assert_int_eq(remove_name("", "gone"), 0);
	ck_assert_int_eq(make_dir("", "name"), 0);
	ck_assert_int_eq(make_file("name", "file"), 0);
	ck_assert_int_eq(rename_name("", "name", "", "gone"), 0);
	ck_assert(hides("up", "up/name"));
	ck_assert_int_eq(seen("gone/file"), 0);
	ck_assert_int_eq(rename_name("", "gone", "", "new"), 0);
	ck_assert(hides("up", "up/gone"));
	ck_assert_int_eq(seen("new/file"), 0);
}
END_TEST

START_TEST(a_directory_of_whiteouts_is_replaced)
{
	tree_mkdir("low/dir");
	tree_file("low/dir/file", "");
	plant(_i);
	ck_assert_int_eq(remove_name("dir", "file"), 0);
	ck_assert(hides("up/dir", "up/dir/file"));
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(make_file("new", "in"), 0);
	ck_assert_int_eq(rename_name("", "new", "", "dir"), 0);
	ck_assert_int_eq(seen("dir/in"), 0);
	ck_assert_int_eq(seen("dir/file"), -ENOENT);
	ck_assert_int_eq(count_names("up/dir"), 1);
	ck_assert(has_none("up/new"));
	stage_reopen();
	ck_assert_int_eq(seen("dir/in"), 0);
	ck_assert_int_eq(seen("dir/file"), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("whiteout");
	TCase *tcase = tcase_create("whiteout");

	tcase_add_loop_test(tcase, one_is_made_where_nothing_stands, 0, 2);
	tcase_add_loop_test(tcase, what_one_replaces_lands_in_tmp, 0, 2);
	tcase_add_loop_test(tcase, where_nothing_stands_nothing_is_replaced, 0,
	                    2);
	tcase_add_test(tcase, an_opaque_directory_stays_opaque);
	tcase_add_loop_test(tcase, what_is_removed_stays_removed, 0, 2);
	tcase_add_loop_test(tcase, a_renamed_lower_name_leaves_one, 0, 2);
	tcase_add_loop_test(tcase, a_rename_is_done_or_not_at_any_crash, 0,
	                    2 * NRENAMES);
	tcase_add_loop_test(tcase, a_renamed_directory_leaves_one, 0, 2);
	tcase_add_loop_test(tcase, a_directory_of_whiteouts_is_replaced, 0, 2);
	return stage_run(suite, tcase);
}
