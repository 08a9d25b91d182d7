/*
 * Nodes of the upper: what their marks say of where they were born, and what of
 * that is believed.
 */
#include "config.h"

#include "overlay/upper.h"
#include "overlay/xattr.h"

#include "stage.h"

static bool born_in_upper(const char *path, const char *place)
{
	struct ovl_id id = id_of(path);
	struct stat st;

	ck_assert_int_eq(fstatat(tree, place, &st, AT_SYMLINK_NOFOLLOW), 0);
	return ovl_fileid_layer(id.fileid) == OVL_LAYER_UPPER &&
	       ovl_fileid_ino(id.fileid) == st.st_ino;
}

/* A mark as other hands copy it: byte by byte. */
static void copy_mark(const char *from, const char *to)
{
	int from_fd = tree_open(from, O_RDONLY),
	    to_fd = tree_open(to, O_RDONLY);
	char value[128];
	ssize_t n;

	n = ovl_xattr_get(&fs->upper, from_fd, OVL_XATTR_ORIGIN, value,
	                  sizeof(value));
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(ovl_xattr_set(&fs->upper, to_fd, OVL_XATTR_ORIGIN,
	                               value, (size_t)n),
	                 0);
	close(from_fd);
	close(to_fd);
}

/* Mark an upper file, truly, as born elsewhere. */
static void mark_origin(const char *name, struct ovl_id id)
{
	int fd = tree_open(name, O_RDONLY);
	struct ovl_real real;

	ck_assert_int_eq(ovl_layer_look(&fs->upper, fd, "", &real), 0);
	ck_assert_int_eq(ovl_xattr_set_origin(&fs->upper, fd, &real, id), 0);
	close(fd);
}

START_TEST(an_origin_is_honoured_wherever_the_file_stands)
{
	struct ovl_id born;

	tree_mkdir("up/dir");
	tree_file("low/file", "text");
	stage_open();
	born = id_of("file");
	ck_assert_uint_eq(ovl_fileid_layer(born.fileid), 1);
	write_text("file", "TEXT");
	stage_close();
	ck_assert_int_eq(renameat(tree, "up/file", tree, "up/dir/moved"), 0);
	ck_assert_int_eq(mknodat(tree, "up/file", S_IFCHR, 0), 0);
	stage_open();
	ck_assert(same_id(id_of("dir/moved"), born));
}
END_TEST

/* cp -a of a file that was copied up. */
START_TEST(a_copied_mark_is_not_believed)
{
	struct ovl_id born;

	tree_file("low/file", "text");
	stage_open();
	born = id_of("file");
	write_text("file", "TEXT");
	tree_file("up/copy", "TEXT");
	copy_mark("up/file", "up/copy");
	stage_reopen();
	ck_assert(born_in_upper("copy", "up/copy"));
	ck_assert(same_id(id_of("file"), born));
}
END_TEST

START_TEST(a_mark_that_makes_no_sense_is_none)
{
	int fd;

	stage_open();
	tree_file("up/file", "");
	fd = tree_open("up/file", O_RDONLY);
	ck_assert_int_eq(
		ovl_xattr_set(&fs->upper, fd, OVL_XATTR_ORIGIN, "?", 1), 0);
	close(fd);
	ck_assert_int_eq(seen("file"), 0);
	ck_assert(born_in_upper("file", "up/file"));
}
END_TEST

START_TEST(two_do_not_share_an_identity)
{
	struct ovl_node *file, *second;

	tree_file("low/file", "text");
	stage_open();
	write_text("file", "TEXT");
	tree_file("up/second", "");
	mark_origin("up/second", id_of("file"));
	stage_reopen();
	file = get("file");
	second = get("second");
	ck_assert(!same_id(ovl_node_id(file), ovl_node_id(second)));
	ck_assert(node_has_text(file, "TEXT"));
	ck_assert(node_has_text(second, ""));
	ovl_node_unref(file);
	ovl_node_unref(second);
}
END_TEST

START_TEST(an_opaque_directory_does_not_merge)
{
	int fd;

	tree_mkdir("up/opaque");
	tree_mkdir("up/merged");
	tree_mkdir("low/opaque");
	tree_mkdir("low/merged");
	tree_file("low/opaque/file", "");
	tree_file("low/merged/file", "");
	stage_open();
	fd = tree_open("up/opaque", O_RDONLY);
	ck_assert_int_eq(ovl_xattr_set_opaque(&fs->upper, fd), 0);
	close(fd);
	ck_assert_int_eq(seen("opaque/file"), -ENOENT);
	ck_assert(born_in_upper("opaque", "up/opaque"));
	ck_assert_int_eq(seen("merged/file"), 0);
	ck_assert_uint_eq(ovl_fileid_layer(id_of("merged").fileid), 1);
}
END_TEST

START_TEST(another_type_does_not_merge)
{
	tree_mkdir("up/dir");
	tree_file("low/dir", "a file");
	tree_file("up/file", "above");
	tree_mkdir("low/file");
	tree_file("low/file/inside", "");
	stage_open();
	ck_assert(born_in_upper("dir", "up/dir"));
	ck_assert(born_in_upper("file", "up/file"));
	ck_assert(has_text("file", "above"));
	ck_assert_int_eq(seen("file/inside"), -ENOTDIR);
}
END_TEST

START_TEST(a_copy_is_loaded_by_way_of_the_index)
{
	struct ovl_node *lower, *node = NULL;
	struct ovl_id born;

	tree_file("low/a", "text");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/b", 0), 0);
	stage_open();
	born = id_of("a");
	lower = get("b");
	ck_assert_int_eq(ovl_upper_load_indexed(fs, lower, &node), -ENOENT);
	write_text("a", "TEXT");
	ck_assert_int_eq(ovl_upper_load_indexed(fs, lower, &node), 0);
	ck_assert(same_id(ovl_node_id(node), born));
	ck_assert(node_has_text(node, "TEXT"));
	ovl_node_unref(node);
	ovl_node_unref(lower);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("upper");
	TCase *tcase = tcase_create("upper");

	tcase_add_test(tcase, an_origin_is_honoured_wherever_the_file_stands);
	tcase_add_test(tcase, a_copied_mark_is_not_believed);
	tcase_add_test(tcase, a_mark_that_makes_no_sense_is_none);
	tcase_add_test(tcase, two_do_not_share_an_identity);
	tcase_add_test(tcase, an_opaque_directory_does_not_merge);
	tcase_add_test(tcase, another_type_does_not_merge);
	tcase_add_test(tcase, a_copy_is_loaded_by_way_of_the_index);
	return stage_run(suite, tcase);
}
