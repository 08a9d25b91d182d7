/*
 * Removing whole trees: all that is in them, and nothing besides.
 */
#include "config.h"

#include <sys/resource.h>

#include "overlay/rmtree.h"

#include "tree.h"

#define DEPTH 3000

START_TEST(what_is_not_there_is_gone)
{
	tree_file("file", "");
	ck_assert_int_eq(symlinkat("nowhere", tree, "symlink"), 0);
	ck_assert_int_eq(ovl_rmtree(tree, "none"), 0);
	ck_assert_int_eq(ovl_rmtree(tree, "file"), 0);
	ck_assert_int_eq(ovl_rmtree(tree, "symlink"), 0);
	ck_assert(!tree_has("file"));
	ck_assert(!tree_has("symlink"));
}
END_TEST

START_TEST(symlinks_are_not_followed)
{
	tree_mkdir("outside");
	tree_file("outside/kept", "text");
	tree_mkdir("dir");
	tree_mkdir("dir/sub");
	ck_assert_int_eq(symlinkat("../outside", tree, "dir/link"), 0);
	ck_assert_int_eq(symlinkat("../../outside", tree, "dir/sub/link"), 0);
	ck_assert_int_eq(symlinkat("outside", tree, "top"), 0);
	ck_assert_int_eq(ovl_rmtree(tree, "dir"), 0);
	ck_assert_int_eq(ovl_rmtree(tree, "top"), 0);
	ck_assert(!tree_has("dir"));
	ck_assert(!tree_has("top"));
	ck_assert(tree_file_is("outside/kept", "text"));
}
END_TEST

/* Deeper than any path is long, with few descriptors. */
START_TEST(depth_costs_no_descriptors)
{
	struct rlimit limit = { .rlim_cur = 40, .rlim_max = 40 };
	int at, below;

	tree_mkdir("deep");
	at = tree_open("deep", O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < DEPTH; i++) {
		ck_assert_int_eq(mkdirat(at, "dir", 0755), 0);
		ck_assert_int_eq(mknodat(at, "file", S_IFREG | 0644, 0), 0);
		below = openat(at, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(below, 0);
		close(at);
		at = below;
	}
	close(at);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(ovl_rmtree(tree, "deep"), 0);
	ck_assert(!tree_has("deep"));
}
END_TEST

/* It moves directories up under names of its own: they may be taken. */
START_TEST(any_names_may_be_in_it)
{
	char name[64];

	tree_mkdir("dir");
	for (unsigned i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "dir/up%u", i);
		tree_mkdir(name);
		for (unsigned j = 0; j < 5; j++) {
			snprintf(name, sizeof(name), "dir/up%u/up%u", i, j);
			tree_mkdir(name);
			strcat(name, "/file");
			tree_file(name, "");
		}
	}
	tree_file("dir/up5", "");
	tree_file("dir/...", "");
	ck_assert_int_eq(ovl_rmtree(tree, "dir"), 0);
	ck_assert(!tree_has("dir"));
}
END_TEST

START_TEST(many_names_all_go)
{
	char name[64];

	tree_mkdir("wide");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "wide/%u", i);
		tree_mkdir(name);
		strcat(name, "/sub");
		tree_mkdir(name);
		strcat(name, "/file");
		tree_file(name, "");
	}
	ck_assert_int_eq(ovl_rmtree(tree, "wide"), 0);
	ck_assert(!tree_has("wide"));
}
END_TEST

START_TEST(contents_go_and_the_directory_stays)
{
	unsigned before = tree_open_files();
	struct stat st;
	int fd;

	tree_mkdir("dir");
	tree_mkdir("dir/sub");
	tree_file("dir/sub/file", "");
	tree_file("dir/.hidden", "");
	fd = tree_open("dir", O_PATH);
	ck_assert_int_eq(ovl_rmtree_contents(fd), 0);
	ck_assert_int_eq(fstatat(tree, "dir", &st, 0), 0);
	close(fd);
	ck_assert_int_eq(unlinkat(tree, "dir", AT_REMOVEDIR), 0);
	ck_assert_uint_eq(tree_open_files(), before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmtree");
	TCase *tcase = tcase_create("rmtree");

	tcase_add_test(tcase, what_is_not_there_is_gone);
	tcase_add_test(tcase, symlinks_are_not_followed);
	tcase_add_test(tcase, depth_costs_no_descriptors);
	tcase_add_test(tcase, any_names_may_be_in_it);
	tcase_add_test(tcase, many_names_all_go);
	tcase_add_test(tcase, contents_go_and_the_directory_stays);
	return tree_run(suite, tcase);
}
