/*
 * The index: copies found by where they were born.
 */
#include "config.h"

#include "overlay/index.h"

#include "tree.h"

static const struct ovl_id born = { 0x40000000000007, 5 };
static struct ovl_index *idx;

static void open_index(void)
{
	ck_assert_int_eq(ovl_index_open(tree, &idx), 0);
}

static void reopen(void)
{
	ovl_index_close(idx);
	open_index();
}

static uint64_t ino_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

static void add(const char *name, struct ovl_id id)
{
	int fd = tree_open(name, O_PATH);

	ck_assert_int_eq(ovl_index_add(idx, id, fd), 0);
	close(fd);
	ck_assert(!ovl_index_has(idx, id));
	ovl_index_show(idx, id);
}

/* Whether `id` is an index's link of the tree's `name`, and known to be. */
static bool holds(struct ovl_id id, const char *name)
{
	char link[OVL_INDEX_NAME_SIZE];
	struct stat st;

	ovl_index_name(id, link);
	return ovl_index_has(idx, id) &&
	       fstatat(ovl_index_dir(idx), link, &st, AT_SYMLINK_NOFOLLOW) ==
	               0 &&
	       st.st_ino == ino_of(name);
}

START_TEST(what_is_added_is_found)
{
	struct ovl_id other = { born.fileid, born.generation + 1 };

	open_index();
	tree_file("file", "text");
	ck_assert(!ovl_index_has(idx, born));
	add("file", born);
	ck_assert(holds(born, "file"));
	ck_assert(!ovl_index_has(idx, other)); /* its inode number used again */
	ovl_index_close(idx);
}
END_TEST

START_TEST(what_is_removed_is_gone_from_disk_too)
{
	struct stat st;

	open_index();
	tree_file("file", "text");
	add("file", born);
	for (unsigned i = 0; i < 2; i++) { /* again does no harm */
		ck_assert_int_eq(ovl_index_remove(idx, born), 0);
		ck_assert(!ovl_index_has(idx, born));
		ck_assert_int_eq(fstatat(tree, "file", &st, 0), 0);
		ck_assert_uint_eq(st.st_nlink, 1);
	}
	ovl_index_close(idx);
}
END_TEST

START_TEST(it_survives_reopening)
{
	struct ovl_id id = { 1, 1 };
	char name[16];

	open_index();
	ck_assert_int_eq(symlinkat("nowhere", tree, "symlink"), 0);
	add("symlink", born);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		tree_file(name, "");
		id.fileid = i + 1;
		add(name, id);
	}
	id.fileid = 7;
	ck_assert_int_eq(ovl_index_remove(idx, id), 0);
	reopen();
	ck_assert(holds(born, "symlink"));
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		id.fileid = i + 1;
		ck_assert(i == 6 ? !ovl_index_has(idx, id) : holds(id, name));
	}
	ovl_index_close(idx);
}
END_TEST

/* A crash may have come between the index's link and the file's place. */
START_TEST(a_leftover_is_replaced)
{
	open_index();
	tree_file("leftover", "old");
	tree_file("file", "new");
	add("leftover", born);
	reopen();
	add("file", born);
	ck_assert(holds(born, "file"));
	reopen();
	ck_assert(holds(born, "file"));
	ovl_index_close(idx);
}
END_TEST

START_TEST(other_names_in_it_are_left_alone)
{
	tree_mkdir("index");
	tree_file("index/README", "not ours");
	open_index();
	tree_file("file", "");
	add("file", born);
	ck_assert_int_eq(ovl_index_remove(idx, born), 0);
	ovl_index_close(idx);
	ck_assert(tree_file_is("index/README", "not ours"));
}
END_TEST

START_TEST(it_is_no_symlink_to_elsewhere)
{
	tree_mkdir("elsewhere");
	ck_assert_int_eq(symlinkat("elsewhere", tree, "index"), 0);
	ck_assert_int_lt(ovl_index_open(tree, &idx), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("index");
	TCase *tcase = tcase_create("index");

	tcase_add_test(tcase, what_is_added_is_found);
	tcase_add_test(tcase, what_is_removed_is_gone_from_disk_too);
	tcase_add_test(tcase, it_survives_reopening);
	tcase_add_test(tcase, a_leftover_is_replaced);
	tcase_add_test(tcase, other_names_in_it_are_left_alone);
	tcase_add_test(tcase, it_is_no_symlink_to_elsewhere);
	return tree_run(suite, tcase);
}
