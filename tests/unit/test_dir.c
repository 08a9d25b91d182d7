/*
 * Directories of a tree: descriptors, names read in, the way to an object.
 */
#include "config.h"

#include "overlay/dir.h"
#include "overlay/fs.h"

#include "stage.h"

/* What the directory says of a name; false: nothing. */
static bool find_name(struct ovl_node *dir, const char *name,
                      struct ovl_found *found)
{
	bool is_there;

	ck_assert_int_eq(ovl_dir_lock(dir, true), 0);
	is_there = ovl_dir_find(dir, name, found);
	ovl_dir_unlock(dir);
	return is_there;
}

static void note(struct ovl_node *dir, const char *name, uint64_t fileid,
                 uint8_t type)
{
	pthread_mutex_lock(&dir->dir->change);
	ovl_dir_note(dir, name, fileid, type);
	pthread_mutex_unlock(&dir->dir->change);
}

static void forget_names(struct ovl_node *dir)
{
	ovl_node_lock(dir);
	ovl_node_set_names(dir, NULL);
	ovl_node_unlock(dir);
}

static void doubt_names(struct ovl_node *dir)
{
	ovl_node_lock(dir);
	ovl_node_doubt_names(dir);
	ovl_node_unlock(dir);
}

/* ---- names ---------------------------------------------------------------- */

START_TEST(a_stacks_directory_shows_the_merge)
{
	struct ovl_node *dir;
	struct ovl_found found;

	tree_mkdir("high/dir");
	tree_mkdir("low/dir");
	tree_file("high/dir/both", "");
	ck_assert_int_eq(mknodat(tree, "high/dir/gone", S_IFCHR, 0), 0);
	tree_mkdir("low/dir/both");
	tree_mkdir("low/dir/below");
	tree_file("low/dir/gone", "");
	stage_open();
	dir = get("dir");
	ck_assert(find_name(dir, "both", &found));
	ck_assert_uint_eq(found.part, 0);
	ck_assert_uint_eq(found.type, DT_REG);
	ck_assert(find_name(dir, "below", &found));
	ck_assert_uint_eq(found.part, 1);
	ck_assert_uint_eq(found.type, DT_DIR);
	ck_assert(!find_name(dir, "gone", &found));
	ovl_node_unref(dir);
}
END_TEST

START_TEST(an_upper_directory_has_its_own_names_and_whiteouts)
{
	struct ovl_found above, below;
	struct ovl_node *dir;

	tree_mkdir("up/dir");
	tree_file("up/dir/copied", "");
	ck_assert_int_eq(mknodat(tree, "up/dir/gone", S_IFCHR, 0), 0);
	tree_mkdir("low/dir");
	tree_file("low/dir/copied", "");
	tree_file("low/dir/gone", "");
	tree_file("low/dir/below", "");
	stage_open();
	dir = get("dir");
	ck_assert(!find_name(dir, "below", &above));
	ck_assert(find_name(dir, "gone", &above));
	ck_assert_uint_eq(above.type, DT_WHT);
	/* Who lists on after a copy-up goes on at the same place. */
	ck_assert(find_name(dir, "copied", &above));
	ck_assert(find_name(ovl_node_lower(dir), "copied", &below));
	ck_assert_uint_eq(above.cookie, below.cookie);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(forgotten_names_are_read_in_again)
{
	struct ovl_found before, after;
	struct ovl_node *dir;
	size_t weight;

	tree_mkdir("low/dir");
	tree_file("low/dir/file", "");
	stage_open();
	dir = get("dir");
	ck_assert_int_eq(ovl_dir_lock(dir, false), -EAGAIN);
	ck_assert(find_name(dir, "file", &before));
	weight = atomic_load(&dir->tree->weight);
	forget_names(dir);
	ck_assert_int_eq(ovl_dir_lock(dir, false), -EAGAIN);
	ck_assert_uint_eq(atomic_load(&dir->tree->weight), weight - 1);
	ck_assert(find_name(dir, "file", &after));
	ck_assert_uint_eq(atomic_load(&dir->tree->weight), weight);
	ck_assert_uint_eq(after.cookie, before.cookie);
	ck_assert_int_eq(ovl_dir_lock(dir, false), 0);
	ovl_dir_unlock(dir);
	ovl_node_unref(dir);
}
END_TEST

/* One that was copied up, one that was made, one that another has replaced. */
START_TEST(what_doubted_names_stand_for_is_recalled)
{
	struct ovl_id copied, made;
	struct ovl_found found;
	struct ovl_node *dir, *held;

	tree_file("low/copied", "low");
	stage_open();
	copied = id_of("copied");
	write_text("copied", "high");
	ck_assert_int_eq(make_file("", "made"), 0);
	made = id_of("made");
	ck_assert_int_eq(make_file("", "replaced"), 0);
	held = get("replaced");
	dir = get("");
	tree_file("up/new", "new");
	ck_assert_int_eq(renameat(tree, "up/new", tree, "up/replaced"), 0);
	doubt_names(dir);
	ck_assert(find_name(dir, "copied", &found));
	ck_assert_uint_eq(found.fileid,
	                  fs->upper.true_d_ino ? copied.fileid : 0);
	ck_assert(find_name(dir, "made", &found));
	ck_assert_uint_eq(found.fileid, fs->upper.true_d_ino ? made.fileid : 0);
	ck_assert(find_name(dir, "replaced", &found));
	ck_assert_uint_eq(found.fileid, 0);
	/* Nothing is kept beyond that, nor by names that were forgotten. */
	ck_assert_ptr_null(dir->dir->former);
	forget_names(dir);
	ck_assert(find_name(dir, "made", &found));
	ck_assert_uint_eq(found.fileid, 0);
	ck_assert(has_text("replaced", "new"));
	ovl_node_unref(held);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(a_change_is_noted)
{
	struct ovl_found found;
	struct ovl_node *dir;
	size_t weight;

	tree_mkdir("up/dir");
	stage_open();
	dir = get("dir");
	note(dir, "unknown", 41, DT_REG); /* not read in: the disk will tell */
	ck_assert(!find_name(dir, "unknown", &found));
	weight = atomic_load(&dir->tree->weight);
	note(dir, "new", 0, DT_REG);
	ovl_dir_learn(dir, "new", 42);
	ovl_dir_learn(dir, "none", 43);
	ck_assert(find_name(dir, "new", &found));
	ck_assert_uint_eq(found.fileid, 42);
	ck_assert(!find_name(dir, "none", &found));
	note(dir, "new", 0, DT_WHT);
	ck_assert(find_name(dir, "new", &found));
	ck_assert_uint_eq(found.type, DT_WHT);
	ck_assert_uint_eq(atomic_load(&dir->tree->weight), weight + 1);
	note(dir, "new", 0, DT_UNKNOWN);
	ck_assert(!find_name(dir, "new", &found));
	ck_assert_uint_eq(atomic_load(&dir->tree->weight), weight);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(a_file_has_no_names)
{
	struct ovl_node *file;

	tree_file("low/file", "");
	stage_open();
	file = get("file");
	ck_assert_int_eq(ovl_dir_lock(file, true), -ENOTDIR);
	ovl_node_unref(file);
}
END_TEST

/* ---- descriptors ---------------------------------------------------------- */

START_TEST(another_directory_that_stands_there_is_refused)
{
	struct ovl_node *dir, *held;
	struct ovl_fd *fd;

	tree_mkdir("up/dir");
	tree_mkdir("up/held");
	stage_open();
	dir = get("dir");
	held = get("held");
	ck_assert_int_eq(ovl_dir_fd(dir, 0, false, &fd), -EAGAIN);
	ck_assert_int_eq(ovl_dir_fd(held, 0, true, &fd), 0);
	ovl_fd_unref(held->tree->fds, fd);
	ck_assert_int_eq(renameat(tree, "up/dir", tree, "old"), 0);
	ck_assert_int_eq(ovl_dir_fd(dir, 0, true, &fd), -ESTALE);
	tree_mkdir("up/dir");
	ck_assert_int_eq(ovl_dir_fd(dir, 0, true, &fd), -ESTALE);
	/* What is open needs no path. */
	ck_assert_int_eq(renameat(tree, "up/held", tree, "elsewhere"), 0);
	ck_assert_int_eq(ovl_dir_fd(held, 0, false, &fd), 0);
	ovl_fd_unref(held->tree->fds, fd);
	ovl_node_unref(dir);
	ovl_node_unref(held);
}
END_TEST

START_TEST(a_symlink_that_stands_there_is_refused)
{
	struct ovl_node *dir;
	struct ovl_fd *fd;

	tree_mkdir("up/dir");
	stage_open();
	dir = get("dir");
	ck_assert_int_eq(renameat(tree, "up/dir", tree, "up/old"), 0);
	ck_assert_int_eq(symlinkat("old", tree, "up/dir"), 0);
	ck_assert_int_eq(ovl_dir_fd(dir, 0, true, &fd), -ESTALE);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(the_way_leads_to_the_object)
{
	char name[OVL_INDEX_NAME_SIZE];
	struct ovl_node *node;
	struct ovl_way way;
	struct stat st;

	tree_mkdir("low/dir");
	tree_file("low/dir/file", "");
	ck_assert_int_eq(linkat(tree, "low/dir/file", tree, "low/link", 0), 0);
	stage_open();
	node = get("dir/file");
	ck_assert_int_eq(ovl_way_open(node, true, &way), 0);
	ck_assert_str_eq(way.name, "file");
	ck_assert_int_eq(fstatat(way.dirfd, way.name, &st, 0), 0);
	ck_assert_uint_eq(st.st_ino, ovl_node_ino(node));
	ovl_way_close(&way);
	ovl_node_unref(node);
	/* A copy of what has several names: through the index, by any. */
	write_text("link", "text");
	node = get("dir/file");
	ck_assert_int_eq(ovl_way_open(node, true, &way), 0);
	ovl_index_name(node->id, name);
	ck_assert_str_eq(way.name, name);
	ck_assert_int_eq(fstatat(way.dirfd, way.name, &st, 0), 0);
	ck_assert_uint_eq(st.st_ino, ovl_node_ino(node));
	ovl_way_close(&way);
	ovl_node_unref(node);
	node = get("");
	ck_assert_int_eq(ovl_way_open(node, true, &way), -ESTALE);
	ovl_node_unref(node);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dir");
	TCase *tcase = tcase_create("dir");

	tcase_add_test(tcase, a_stacks_directory_shows_the_merge);
	tcase_add_test(tcase,
	               an_upper_directory_has_its_own_names_and_whiteouts);
	tcase_add_test(tcase, forgotten_names_are_read_in_again);
	tcase_add_test(tcase, what_doubted_names_stand_for_is_recalled);
	tcase_add_test(tcase, a_change_is_noted);
	tcase_add_test(tcase, a_file_has_no_names);
	tcase_add_test(tcase, another_directory_that_stands_there_is_refused);
	tcase_add_test(tcase, a_symlink_that_stands_there_is_refused);
	tcase_add_test(tcase, the_way_leads_to_the_object);
	return stage_run(suite, tcase);
}
