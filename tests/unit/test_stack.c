/*
 * The merge of lower layers, as overlayfs has it: whiteouts, opaque directories,
 * files between directories, identity; and mounts inside a layer.
 */
#include "config.h"

#include <sys/xattr.h>

#include "overlay/fs.h"
#include "overlay/stack.h"
#include "tests/lib/suite.h"

#include "stage.h"

static char mid_path[PATH_MAX];
static const char *three_lowers[3];

/* A stage with a layer "mid" between "high" and "low". */
static void setup(void)
{
	stage_setup();
	tree_mkdir("mid");
	strcpy(mid_path, tree_at("mid"));
	three_lowers[0] = stage_paths[0];
	three_lowers[1] = mid_path;
	three_lowers[2] = stage_paths[1];
	stage.lowerdirs = three_lowers;
	stage.nlowerdirs = 3;
}

static void whiteout(const char *name)
{
	ck_assert_int_eq(mknodat(tree, name, S_IFCHR, 0), 0);
}

/* One directory of that name a layer, with a file named after the layer. */
static void make_dirs(void)
{
	tree_mkdir("high/dir");
	tree_file("high/dir/high", "");
	tree_mkdir("mid/dir");
	tree_file("mid/dir/mid", "");
	tree_mkdir("low/dir");
	tree_file("low/dir/low", "");
}

static bool born_at(const char *path, const char *place)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, place, &st, AT_SYMLINK_NOFOLLOW), 0);
	return ovl_fileid_ino(id_of(path).fileid) == st.st_ino;
}

START_TEST(a_whiteout_hides_only_what_is_below_it)
{
	tree_file("high/above", "above");
	whiteout("mid/above");
	tree_file("low/above", "below");
	whiteout("mid/gone");
	tree_file("low/gone", "");
	stage_open();
	ck_assert(has_text("above", "above"));
	ck_assert_int_eq(seen("gone"), -ENOENT);
}
END_TEST

START_TEST(directories_of_all_layers_merge)
{
	make_dirs();
	tree_mkdir("high/apart");
	tree_file("high/apart/high", "");
	tree_mkdir("low/apart"); /* nothing between */
	tree_file("low/apart/low", "");
	stage_open();
	ck_assert_int_eq(seen("dir/high"), 0);
	ck_assert_int_eq(seen("dir/mid"), 0);
	ck_assert_int_eq(seen("dir/low"), 0);
	ck_assert_int_eq(seen("apart/high"), 0);
	ck_assert_int_eq(seen("apart/low"), 0);
}
END_TEST

START_TEST(born_lowest_and_looking_like_the_top)
{
	make_dirs();
	ck_assert_int_eq(fchmodat(tree, "high/dir", 0700, 0), 0);
	stage_open();
	ck_assert(born_at("dir", "low/dir"));
	ck_assert_uint_eq(ovl_fileid_layer(id_of("dir").fileid), 1);
	ck_assert_uint_eq(attr_of("dir").mode & 07777, 0700);
}
END_TEST

START_TEST(a_whiteout_ends_the_merge)
{
	tree_mkdir("high/dir");
	tree_file("high/dir/high", "");
	whiteout("mid/dir");
	tree_mkdir("low/dir");
	tree_file("low/dir/low", "");
	stage_open();
	ck_assert_int_eq(seen("dir/high"), 0);
	ck_assert_int_eq(seen("dir/low"), -ENOENT);
	ck_assert(born_at("dir", "high/dir"));
}
END_TEST

START_TEST(a_file_between_ends_the_merge)
{
	tree_mkdir("high/dir");
	tree_file("high/dir/high", "");
	tree_file("mid/dir", "a file");
	tree_mkdir("low/dir");
	tree_file("low/dir/low", "");
	stage_open();
	ck_assert_int_eq(seen("dir/high"), 0);
	ck_assert_int_eq(seen("dir/low"), -ENOENT);
	ck_assert(born_at("dir", "high/dir"));
}
END_TEST

START_TEST(an_opaque_directory_is_the_last_that_merges)
{
	int fd, err;

	make_dirs();
	fd = tree_open("mid/dir", O_RDONLY);
	err = fsetxattr(fd,
	                stage.userxattr ? "user.overlay.opaque"
	                                : "trusted.overlay.opaque",
	                "y", 1, 0);
	close(fd);
	if (err)
		tree_skip("no such attributes here");
	stage_open();
	ck_assert_int_eq(seen("dir/high"), 0);
	ck_assert_int_eq(seen("dir/mid"), 0);
	ck_assert_int_eq(seen("dir/low"), -ENOENT);
	ck_assert(born_at("dir", "mid/dir"));
}
END_TEST

START_TEST(who_may_not_wait_gets_what_is_in_memory)
{
	struct ovl_node *node = NULL, *again = NULL;

	tree_file("low/file", "");
	stage_open();
	ck_assert_int_eq(ovl_stack_lookup(fs->stack, fs->stack->tree.root,
	                                  "file", false, &node),
	                 -EAGAIN);
	ck_assert_int_eq(ovl_stack_lookup(fs->stack, fs->stack->tree.root,
	                                  "file", true, &node),
	                 0);
	ck_assert_int_eq(ovl_stack_lookup(fs->stack, fs->stack->tree.root,
	                                  "file", false, &again),
	                 0);
	ck_assert_ptr_eq(again, node);
	ck_assert_int_eq(ovl_stack_lookup(fs->stack, fs->stack->tree.root,
	                                  "none", false, &again),
	                 -ENOENT);
	ck_assert_int_eq(ovl_stack_lookup(fs->stack, node, "file", true,
	                                  &again),
	                 -ENOTDIR);
	ovl_node_unref(node);
	ovl_node_unref(again);
}
END_TEST

/* ---- mounts --------------------------------------------------------------- */

/* A mount on low/mnt, with a file "inside"; low/mnt itself is empty. */
static bool mount_inside(void)
{
	if (geteuid() != 0 || !tree_may_mount())
		return false;
	tree_mkdir("low/mnt");
	tree_mount_tmpfs("low/mnt", "size=1M");
	tree_file("low/mnt/inside", "");
	return true;
}

START_TEST(what_is_mounted_inside_a_layer_is_not_served)
{
	if (!mount_inside())
		tree_skip("mounts need root");
	stage_open();
	ck_assert_int_eq(seen("mnt"), 0);
	ck_assert_int_ne(seen("mnt/inside"), 0);
}
END_TEST

START_TEST(without_root_a_mount_is_a_place_not_entered)
{
	struct stat st;
	struct ovl_node *dir;

	if (!mount_inside())
		tree_skip("mounts need root");
	ck_assert_int_eq(fchownat(tree, "up", 65534, 65534, 0), 0);
	ck_assert_int_eq(fchownat(tree, "work", 65534, 65534, 0), 0);
	tree_become_user();
	stage.userxattr = true;
	root.uid = root.gid = 65534;
	stage_open();
	dir = get("mnt");
	ck_assert_int_eq(ovl_node_type(dir), S_IFDIR);
	ck_assert_int_eq(seen("mnt/inside"), -ENOENT); /* looks empty */
	ck_assert_uint_eq(ovl_fileid_layer(ovl_node_id(dir).fileid), 1);
	/* It is the layer's place, not the root of what is mounted there. */
	ck_assert_int_eq(fstatat(tree, "low/mnt", &st, 0), 0);
	ck_assert_uint_ne(ovl_fileid_ino(ovl_node_id(dir).fileid), st.st_ino);
	ovl_node_unref(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stack");
	TCase *tcase = tcase_create("stack");

	tcase_add_checked_fixture(tcase, setup, stage_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, a_whiteout_hides_only_what_is_below_it);
	tcase_add_test(tcase, directories_of_all_layers_merge);
	tcase_add_test(tcase, born_lowest_and_looking_like_the_top);
	tcase_add_test(tcase, a_whiteout_ends_the_merge);
	tcase_add_test(tcase, a_file_between_ends_the_merge);
	tcase_add_test(tcase, an_opaque_directory_is_the_last_that_merges);
	tcase_add_test(tcase, who_may_not_wait_gets_what_is_in_memory);
	tcase_add_test(tcase, what_is_mounted_inside_a_layer_is_not_served);
	tcase_add_test(tcase, without_root_a_mount_is_a_place_not_entered);
	return suite_run(suite);
}
