/*
 * A directory of whiteouts steps aside, and comes back where it has to.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "overlay/aside.h"
#include "overlay/dir.h"
#include "overlay/remove.h"

#include "stage.h"

static struct ovl_edit edit;
static struct ovl_change change;
static struct ovl_node *victim;
static char tmp[OVL_TMPNAME_SIZE];

/* Lock the root and "dir" in it, and let it step aside. */
static int step(void)
{
	struct ovl_node *dir = get("");

	victim = get("dir");
	ck_assert_int_eq(ovl_edit_open(&edit, fs, dir, true, &change), 0);
	ovl_node_unref(dir);
	ck_assert_int_eq(ovl_edit_lock(&edit), 0);
	pthread_mutex_lock(&victim->dir->change);
	ck_assert_int_eq(ovl_dir_is_empty(victim), 0);
	tmp[0] = '\0';
	return ovl_aside_step(&edit, victim, "dir", tmp);
}

static void end(int err)
{
	if (tmp[0])
		ovl_aside_end(&edit, victim, "dir", tmp, err);
	pthread_mutex_unlock(&victim->dir->change);
	ck_assert_int_eq(ovl_edit_release(&edit, err), err);
	ovl_node_unref(victim);
}

/* "dir" looks empty, and holds a whiteout. */
static void make_things(void)
{
	tree_mkdir("low/dir");
	tree_file("low/dir/a", "a");
	stage_open();
	ck_assert_int_eq(remove_name("dir", "a"), 0);
	ck_assert(is_whiteout("up/dir/a"));
}

static bool is_opaque(const char *name)
{
	char value = 0;
	int fd = tree_open(name, O_RDONLY | O_DIRECTORY);

	fgetxattr(fd,
	          stage.userxattr ? "user.overlay.opaque"
	                          : "trusted.overlay.opaque",
	          &value, 1);
	close(fd);
	return value == 'y';
}

START_TEST(an_opaque_copy_stands_in)
{
	make_things();
	ck_assert_int_eq(step(), 0);
	ck_assert_int_ne(tmp[0], '\0');
	ck_assert_int_eq(count_names("up/dir"), 0);
	ck_assert(is_opaque("up/dir"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 1);
	ck_assert_int_eq(unlinkat(tree, "up/dir", AT_REMOVEDIR), 0);
	ck_assert_int_eq(mkdirat(tree, "up/dir", 0755), 0);
	end(0);
	ck_assert_int_eq(count_names("up/dir"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(it_comes_back_as_it_was)
{
	struct ovl_attr parent, dir;
	struct ovl_id id;

	make_things();
	id = id_of("dir");
	dir = attr_of("dir");
	parent = attr_of("");
	ck_assert_int_eq(step(), 0);
	end(-ENOSPC);
	ck_assert(is_whiteout("up/dir/a"));
	ck_assert(!is_opaque("up/dir"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	ck_assert_int_eq(seen("dir/a"), -ENOENT);
	ck_assert(same_id(id_of("dir"), id));
	ck_assert_int_eq(attr_of("dir").mtime.tv_nsec, dir.mtime.tv_nsec);
	ck_assert_int_eq(attr_of("").mtime.tv_nsec, parent.mtime.tv_nsec);
	stage_reopen();
	ck_assert_int_eq(seen("dir/a"), -ENOENT);
	ck_assert(same_id(id_of("dir"), id));
}
END_TEST

/* What it hid stays hidden all the same. */
START_TEST(where_it_cannot_come_back_the_copy_stays)
{
	make_things();
	ck_assert_int_eq(step(), 0);
	ck_assert_int_eq(ovl_workdir_discard(fs->workdir, tmp), 0);
	end(-EIO);
	ck_assert_int_eq(seen("dir"), 0);
	ck_assert_int_eq(seen("dir/a"), -ENOENT);
	ck_assert_int_eq(make_file("dir", "new"), 0);
	ck_assert(tree_has("up/dir/new"));
}
END_TEST

START_TEST(what_holds_no_whiteouts_stays)
{
	tree_mkdir("low/dir");
	stage_open();
	ck_assert_int_eq(step(), 0);
	ck_assert_int_eq(tmp[0], '\0');
	end(0);
	stage_close();
	tree_mkdir("up/dir");
	stage_open();
	ck_assert_int_eq(step(), 0);
	ck_assert_int_eq(tmp[0], '\0');
	end(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("aside");
	TCase *tcase = tcase_create("aside");

	tcase_add_test(tcase, an_opaque_copy_stands_in);
	tcase_add_test(tcase, it_comes_back_as_it_was);
	tcase_add_test(tcase, where_it_cannot_come_back_the_copy_stays);
	tcase_add_test(tcase, what_holds_no_whiteouts_stays);
	return stage_run(suite, tcase);
}
