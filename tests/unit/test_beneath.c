#include "config.h"

#include "overlay/beneath.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/tree.h"

/* Each test runs both ways: with openat2 and without. */
static void choose_way(int fallback)
{
	ovl_beneath_force_fallback(fallback);
}

static int open_it(const char *path, int flags)
{
	return ovl_open_beneath(tree, path, flags, 0, false);
}

static bool is_same(int fd, int dirfd, const char *name)
{
	struct stat a, b;

	return fstatat(fd, "", &a, AT_EMPTY_PATH) == 0 &&
	       fstatat(dirfd, name, &b, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ==
	               0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* a/b/file, a/link -> b, a/b/end -> file, and `outside` a symlink to /etc. */
static void plant(void)
{
	tree_mkdir("a");
	tree_mkdir("a/b");
	tree_file("a/b/file", "text");
	ck_assert_int_eq(symlinkat("b", tree, "a/link"), 0);
	ck_assert_int_eq(symlinkat("file", tree, "a/b/end"), 0);
	ck_assert_int_eq(symlinkat("/etc", tree, "outside"), 0);
}

START_TEST(what_is_below_opens)
{
	char text[8] = "";
	int fd;

	choose_way(_i);
	plant();
	fd = open_it("a/b/file", O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 4);
	ck_assert_str_eq(text, "text");
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fd = open_it("a//b/./", O_RDONLY | O_DIRECTORY);
	ck_assert(is_same(fd, tree, "a/b"));
}
END_TEST

START_TEST(the_empty_path_and_dot_are_the_directory_itself)
{
	int fd, path;

	choose_way(_i);
	plant();
	path = tree_open("a", O_PATH);
	fd = ovl_open_beneath(path, "", O_RDONLY | O_DIRECTORY, 0, false);
	ck_assert(is_same(fd, tree, "a"));
	fd = ovl_open_beneath(path, ".", O_RDONLY | O_DIRECTORY, 0, false);
	ck_assert(is_same(fd, tree, "a"));
	/* Opened for reading, although the original cannot be read. */
	ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE), O_RDONLY);
}
END_TEST

START_TEST(no_symlink_on_the_way_is_followed)
{
	choose_way(_i);
	plant();
	ck_assert_int_eq(open_it("a/link/file", O_RDONLY), -ELOOP);
	ck_assert_int_eq(open_it("a/link/file", O_PATH), -ELOOP);
	ck_assert_int_eq(open_it("outside/passwd", O_RDONLY), -ELOOP);
	ck_assert_int_eq(open_it("a/link/", O_RDONLY), _i ? -ENOTDIR : -ELOOP);
}
END_TEST

START_TEST(a_symlink_at_the_end_is_opened_itself_or_not_at_all)
{
	char target[8] = "";
	int fd;

	choose_way(_i);
	plant();
	ck_assert_int_eq(open_it("a/b/end", O_RDONLY), -ELOOP);
	ck_assert_int_eq(open_it("outside", O_RDONLY), -ELOOP);
	ck_assert_int_eq(open_it("outside", O_RDONLY | O_DIRECTORY), -ENOTDIR);
	fd = open_it("a/b/end", O_PATH);
	ck_assert(is_same(fd, tree, "a/b/end"));
	ck_assert_int_eq(readlinkat(fd, "", target, sizeof(target)), 4);
	ck_assert_str_eq(target, "file");
}
END_TEST

START_TEST(there_is_no_way_up)
{
	static const char *const paths[] = {
		"..",           "../x",    "a/..", "a/../a/b/file",
		"a/b/../../..", "a/..//b", "/",    "/etc/passwd",
	};

	choose_way(_i);
	plant();
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		ck_assert_int_eq(open_it(paths[i], O_PATH), -EXDEV);
	/* Dots that are names. */
	tree_file("a/..x", "");
	tree_mkdir("a/...");
	ck_assert_int_ge(open_it("a/..x", O_RDONLY), 0);
	ck_assert_int_ge(open_it("a/...", O_RDONLY), 0);
}
END_TEST

START_TEST(what_is_not_there_or_no_directory_says_so)
{
	char name[NAME_MAX + 2];

	choose_way(_i);
	plant();
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(open_it("a/none", O_RDONLY), -ENOENT);
	ck_assert_int_eq(open_it("a/none/file", O_RDONLY), -ENOENT);
	ck_assert_int_eq(open_it("a/b/file/x", O_RDONLY), -ENOTDIR);
	ck_assert_int_eq(open_it("a/b/file/", O_RDONLY), -ENOTDIR);
	ck_assert_int_eq(open_it(name, O_RDONLY), -ENAMETOOLONG);
}
END_TEST

START_TEST(a_file_is_created_with_its_mode)
{
	struct stat st;
	int fd;

	choose_way(_i);
	plant();
	fd = ovl_open_beneath(tree, "a/b/new", O_RDWR | O_CREAT | O_EXCL, 0640,
	                      false);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0640);
	ck_assert_int_eq(ovl_open_beneath(tree, "a/b/new",
	                                  O_RDWR | O_CREAT | O_EXCL, 0640,
	                                  false),
	                 -EEXIST);
	/* A mode where nothing is created is no error. */
	ck_assert_int_ge(
		ovl_open_beneath(tree, "a/b/new", O_RDONLY, 0640, false), 0);
}
END_TEST

/* Make directories down to a depth whose path has `len` bytes or more. */
static char *plant_deep(size_t len)
{
	char name[200], *path = calloc(1, len + sizeof(name) + 8);
	int fd = dup(tree);

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	while (strlen(path) < len) {
		int next;

		ck_assert_int_eq(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY);
		close(fd);
		fd = next;
		strcat(path, name);
		strcat(path, "/");
	}
	ck_assert_int_eq(symlinkat(".", fd, "link"), 0);
	ck_assert_int_ge(openat(fd, "file", O_CREAT | O_RDWR, 0600), 0);
	close(fd);
	return path;
}

START_TEST(a_path_of_any_length_opens)
{
	unsigned files;
	char *path, *end;
	struct stat st;
	int fd;

	choose_way(_i);
	path = plant_deep(3 * PATH_MAX);
	end = path + strlen(path);
	files = tree_open_files();
	strcpy(end, "file");
	fd = open_it(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	close(fd);
	strcpy(end, "link");
	ck_assert_int_eq(open_it(path, O_RDONLY), -ELOOP);
	strcpy(end, "none");
	ck_assert_int_eq(open_it(path, O_RDONLY), -ENOENT);
	ck_assert_uint_eq(tree_open_files(), files);
	free(path);
}
END_TEST

START_TEST(a_path_without_end_and_slashes_is_refused)
{
	char *path = malloc(PATH_MAX + 100);

	choose_way(_i);
	memset(path, 'x', PATH_MAX + 99);
	path[PATH_MAX + 99] = '\0';
	ck_assert_int_eq(open_it(path, O_RDONLY), -ENAMETOOLONG);
	free(path);
}
END_TEST

START_TEST(failures_leave_no_descriptor_open)
{
	unsigned files;

	choose_way(_i);
	plant();
	files = tree_open_files();
	open_it("a/b/none", O_RDONLY);
	open_it("a/link/file", O_RDONLY);
	open_it("a/b/file/x", O_RDONLY);
	open_it("a/b/..", O_RDONLY);
	ck_assert_uint_eq(tree_open_files(), files);
}
END_TEST

START_TEST(no_mount_is_entered)
{
	choose_way(_i);
	plant();
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("a/b/mount");
	tree_mkdir("a/b/bound");
	tree_file("a/b/bound_file", "");
	tree_mount_tmpfs("a/b/mount", NULL);
	tree_file("a/b/mount/file", "");
	/* The same filesystem, and still another mount. */
	tree_bind("a", "a/b/bound");
	tree_bind("a/b/file", "a/b/bound_file");
	ck_assert_int_eq(open_it("a/b/mount", O_PATH), -EXDEV);
	ck_assert_int_eq(open_it("a/b/mount", O_RDONLY), -EXDEV);
	ck_assert_int_eq(open_it("a/b/mount/file", O_RDONLY), -EXDEV);
	ck_assert_int_eq(open_it("a/b/bound", O_RDONLY), -EXDEV);
	ck_assert_int_eq(open_it("a/b/bound/b/file", O_RDONLY), -EXDEV);
	ck_assert_int_eq(open_it("a/b/bound_file", O_WRONLY | O_TRUNC), -EXDEV);
	ck_assert(tree_file_is("a/b/file", "text"));
	ck_assert_int_ge(open_it("a/b/file", O_RDONLY), 0);
}
END_TEST

/* While others on the machine rename something, it may have to be asked again. */
static int open_cached(const char *path)
{
	int fd = -EAGAIN;

	for (unsigned i = 0; i < 1000 && fd == -EAGAIN; i++)
		fd = ovl_open_beneath(tree, path, O_RDONLY, 0, true);
	return fd;
}

START_TEST(what_is_cached_opens_without_waiting)
{
	int fd;

	plant();
	ovl_beneath_force_fallback(true);
	fd = ovl_open_beneath(tree, "a/b/file", O_RDONLY, 0, true);
	ck_assert_int_eq(fd, -EAGAIN);
	ovl_beneath_force_fallback(false);
	fd = open_cached("a");
	if (fd == -EAGAIN)
		tree_skip("no RESOLVE_CACHED before Linux 5.12");
	ck_assert(is_same(fd, tree, "a"));
	fd = open_cached("a/b/file");
	ck_assert(is_same(fd, tree, "a/b/file"));
	/* What it forbids is forbidden at once. */
	fd = open_cached("a/link/file");
	ck_assert_int_eq(fd, -ELOOP);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("beneath");

	tcase_add_loop_test(tcase, what_is_below_opens, 0, 2);
	tcase_add_loop_test(
		tcase, the_empty_path_and_dot_are_the_directory_itself, 0, 2);
	tcase_add_loop_test(tcase, no_symlink_on_the_way_is_followed, 0, 2);
	tcase_add_loop_test(tcase,
	                    a_symlink_at_the_end_is_opened_itself_or_not_at_all,
	                    0, 2);
	tcase_add_loop_test(tcase, there_is_no_way_up, 0, 2);
	tcase_add_loop_test(tcase, what_is_not_there_or_no_directory_says_so, 0,
	                    2);
	tcase_add_loop_test(tcase, a_file_is_created_with_its_mode, 0, 2);
	tcase_add_loop_test(tcase, a_path_of_any_length_opens, 0, 2);
	tcase_add_loop_test(tcase, a_path_without_end_and_slashes_is_refused, 0,
	                    2);
	tcase_add_loop_test(tcase, failures_leave_no_descriptor_open, 0, 2);
	tcase_add_loop_test(tcase, no_mount_is_entered, 0, 2);
	tcase_add_test(tcase, what_is_cached_opens_without_waiting);
	return tree_run(suite_create("beneath"), tcase);
}
