/*
 * What every change of a directory's names begins and ends with.
 */
#include "config.h"

#include "overlay/dir.h"
#include "overlay/edit.h"

#include "stage.h"

static struct ovl_edit edit;
static struct ovl_change change;

/* Begin a change of this directory. */
static void begin(const char *path)
{
	struct ovl_node *dir = get(path);

	ck_assert_int_eq(ovl_edit_open(&edit, fs, dir, true, &change), 0);
	ovl_node_unref(dir);
	ck_assert_int_eq(ovl_edit_lock(&edit), 0);
}

static void end(void)
{
	ck_assert_int_eq(ovl_edit_release(&edit, 0), 0);
}

/* Something new in the work directory, to be put into place. */
static void prepare(char tmp[OVL_TMPNAME_SIZE], bool is_dir)
{
	int work = ovl_workdir_tmp(fs->workdir);

	ovl_workdir_name(fs->workdir, tmp);
	if (is_dir)
		ck_assert_int_eq(mkdirat(work, tmp, 0755), 0);
	else
		ck_assert_int_eq(mknodat(work, tmp, S_IFREG | 0644, 0), 0);
}

START_TEST(it_copies_the_directory_up_and_tells_its_change)
{
	struct ovl_node *lower;
	char tmp[OVL_TMPNAME_SIZE];

	tree_mkdir("low/dir");
	stage_open();
	lower = get("dir");
	ck_assert(!tree_has("up/dir"));
	begin("dir");
	ck_assert(tree_has("up/dir"));
	ck_assert_ptr_eq(ovl_node_lower(edit.dir), lower);
	ck_assert(change.has_before && !change.has_after);
	prepare(tmp, true);
	ck_assert_int_eq(ovl_edit_place(&edit, tmp, "new", true), 0);
	ovl_edit_unlock(&edit);
	ck_assert(change.has_after);
	ck_assert_uint_eq(change.after.nlink, change.before.nlink + 1);
	end();
	ovl_node_unref(lower);
}
END_TEST

START_TEST(releasing_hands_the_error_on)
{
	struct ovl_edit none = OVL_EDIT_NONE;
	struct ovl_node *dir;

	tree_mkdir("up/dir");
	stage_open();
	ck_assert_int_eq(ovl_edit_release(&none, -EIO), -EIO);
	begin("dir");
	ck_assert_int_eq(ovl_edit_release(&edit, -EEXIST), -EEXIST);
	dir = get("dir"); /* and it is unlocked */
	ck_assert_int_eq(pthread_mutex_trylock(&dir->dir->change), 0);
	pthread_mutex_unlock(&dir->dir->change);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(a_removed_directory_is_stale)
{
	struct ovl_node *dir;

	tree_mkdir("up/dir");
	stage_open();
	dir = get("dir");
	ck_assert_int_eq(ovl_edit_open(&edit, fs, dir, true, NULL), 0);
	ck_assert_int_eq(remove_dir("", "dir"), 0);
	ck_assert_int_eq(ovl_edit_lock(&edit), -ESTALE);
	ck_assert_int_eq(ovl_edit_release(&edit, -ESTALE), -ESTALE);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(it_knows_what_is_above_and_what_below)
{
	bool covers;

	tree_mkdir("up/dir");
	tree_file("up/dir/own", "");
	ck_assert_int_eq(mknodat(tree, "up/dir/gone", S_IFCHR, 0), 0);
	tree_mkdir("low/dir");
	tree_file("low/dir/gone", "");
	tree_file("low/dir/below", "");
	stage_open();
	begin("dir");
	ck_assert_uint_eq(ovl_edit_upper_type(&edit, "own"), DT_REG);
	ck_assert_uint_eq(ovl_edit_upper_type(&edit, "gone"), DT_WHT);
	ck_assert_uint_eq(ovl_edit_upper_type(&edit, "below"), DT_UNKNOWN);
	ck_assert_int_eq(ovl_edit_covers(&edit, "own", &covers), 0);
	ck_assert(!covers);
	ck_assert_int_eq(ovl_edit_covers(&edit, "gone", &covers), 0);
	ck_assert(covers);
	ck_assert_int_eq(ovl_edit_covers(&edit, "below", &covers), 0);
	ck_assert(covers);
	end();
}
END_TEST

START_TEST(a_whiteout_makes_room_and_nothing_else_does)
{
	static const char *const names[] = { "file", "dir" };
	char tmp[OVL_TMPNAME_SIZE];
	struct stat st;

	tree_mkdir("up/in");
	tree_file("up/in/taken", "text");
	ck_assert_int_eq(mknodat(tree, "up/in/file", S_IFCHR, 0), 0);
	ck_assert_int_eq(mknodat(tree, "up/in/dir", S_IFCHR, 0), 0);
	stage_open();
	begin("in");
	for (unsigned i = 0; i < 2; i++) {
		prepare(tmp, i == 1);
		ck_assert_int_eq(ovl_edit_place(&edit, tmp, "taken", i == 1),
		                 -EEXIST);
		ck_assert_int_eq(ovl_edit_place(&edit, tmp, names[i], i == 1),
		                 0);
		ck_assert_int_eq(fstatat(ovl_fd_num(edit.fd), names[i], &st, 0),
		                 0);
		ck_assert_int_eq(S_ISDIR(st.st_mode), i == 1);
	}
	end();
	ck_assert(tree_file_is("up/in/taken", "text"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(a_link_is_another_name_of_the_same)
{
	struct ovl_node *node;

	tree_file("up/file", "text");
	tree_mkdir("up/dir");
	ck_assert_int_eq(mknodat(tree, "up/dir/link", S_IFCHR, 0), 0);
	stage_open();
	node = get("file");
	begin("dir");
	ck_assert_int_eq(ovl_edit_link(&edit, node, "link"), 0);
	end();
	ck_assert(same_id(id_of("dir/link"), ovl_node_id(node)));
	ck_assert_uint_eq(attr_of("file").nlink, 2);
	ck_assert(tree_file_is("up/dir/link", "text"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	ovl_node_unref(node);
}
END_TEST

/*
 * It had one name when its links were counted, and gets another in another directory
 * before that one goes. What has been written to it is still to be committed.
 */
START_TEST(what_is_linked_while_its_name_goes_stays)
{
	struct ovl_leaving leaving;
	struct ovl_node *node, *found;

	tree_mkdir("up/dir");
	tree_mkdir("up/other");
	tree_file("up/dir/file", "");
	stage.sync = OVL_SYNC;
	stage_open();
	node = get("dir/file");
	write_text("dir/file", "text");
	begin("dir");
	ck_assert_int_eq(ovl_edit_unlinking(&edit, node, "file", &leaving), 0);
	ck_assert_uint_eq(leaving.nlink, 1);
	ck_assert_int_eq(link_name("dir/file", "other", "link"), 0);
	ck_assert_int_eq(unlinkat(tree, "up/dir/file", 0), 0);
	ovl_dir_note(edit.dir, "file", 0, DT_UNKNOWN);
	ovl_edit_unlinked(&edit, node, "file", &leaving);
	end();
	ck_assert(ovl_fdslot_dirty(fs->tree.fds, &node->fd));
	ck_assert_int_eq(resolve(ovl_node_id(node), &found), 0);
	ck_assert_ptr_eq(found, node);
	ck_assert(has_text("other/link", "text"));
	ovl_node_unref(found);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_change_starts_unknown)
{
	struct ovl_change asked = { .has_before = true, .has_after = true };
	struct ovl_change unasked = asked;

	ck_assert_ptr_eq(ovl_change_start(&asked, &unasked), &asked);
	ck_assert(!asked.has_before && !asked.has_after);
	ck_assert_ptr_eq(ovl_change_start(NULL, &unasked), &unasked);
	ck_assert(!unasked.has_before && !unasked.has_after);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("edit");
	TCase *tcase = tcase_create("edit");

	tcase_add_test(tcase, it_copies_the_directory_up_and_tells_its_change);
	tcase_add_test(tcase, releasing_hands_the_error_on);
	tcase_add_test(tcase, a_removed_directory_is_stale);
	tcase_add_test(tcase, it_knows_what_is_above_and_what_below);
	tcase_add_test(tcase, a_whiteout_makes_room_and_nothing_else_does);
	tcase_add_test(tcase, a_link_is_another_name_of_the_same);
	tcase_add_test(tcase, what_is_linked_while_its_name_goes_stays);
	tcase_add_test(tcase, a_change_starts_unknown);
	return stage_run(suite, tcase);
}
