/*
 * What ovl_open refuses, with one line that says what and where, and without
 * having touched anything.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "stage.h"

/* All names and times below the tree, as ls tells them. */
static char *look(void)
{
	static char text[2][65536];
	static unsigned turn;
	char command[PATH_MAX + 64], *result = text[turn++ % 2];
	size_t n;
	FILE *list;

	snprintf(command, sizeof(command),
	         "find '%s' -printf '%%p %%y %%m %%s %%T@ %%C@\\n' | sort",
	         tree_path);
	list = popen(command, "r");
	ck_assert_ptr_nonnull(list);
	n = fread(result, 1, sizeof(text[0]) - 1, list);
	result[n] = '\0';
	pclose(list);
	return result;
}

/* It is refused with this error, its line has these words, all is as before. */
static void refuses(int expected, const char *first, const char *second)
{
	const char *before = look();
	char why[512] = "";

	ck_assert_int_eq(stage_try_open(why), expected);
	ck_assert_ptr_null(fs);
	ck_assert_msg(strstr(why, first) && strstr(why, second), "%s", why);
	ck_assert_ptr_null(strchr(why, '\n'));
	ck_assert_str_eq(before, look());
}

/* ---- missing -------------------------------------------------------------- */

START_TEST(a_missing_layer_is_refused)
{
	stage_lowers[1] = tree_at("nowhere");
	refuses(-ENOENT, "lowerdir", "nowhere");
}
END_TEST

START_TEST(a_layer_that_is_a_file_is_refused)
{
	tree_file("file", "");
	stage_lowers[0] = tree_at("file");
	refuses(-ENOTDIR, "lowerdir", "file");
}
END_TEST

START_TEST(a_missing_upper_or_work_is_refused)
{
	stage.upperdir = tree_at("nowhere");
	refuses(-ENOENT, "upperdir", "nowhere");
	stage.upperdir = stage_paths[2];
	stage.workdir = tree_at("nowhere");
	refuses(-ENOENT, "workdir", "nowhere");
}
END_TEST

START_TEST(upper_and_work_go_together)
{
	stage.workdir = NULL;
	refuses(-EINVAL, "upperdir", "workdir");
	stage.workdir = stage.upperdir;
	stage.upperdir = NULL;
	refuses(-EINVAL, "upperdir", "workdir");
}
END_TEST

START_TEST(no_layer_at_all_is_refused)
{
	stage.upperdir = stage.workdir = NULL;
	stage.nlowerdirs = 0;
	refuses(-EINVAL, "lowerdir", "upperdir");
}
END_TEST

/* ---- overlapping ---------------------------------------------------------- */

START_TEST(layers_that_are_one_directory_are_refused)
{
	stage_lowers[1] = stage_lowers[0];
	refuses(-EINVAL, "same", "high");
	stage_lowers[1] = stage_paths[1];
	stage.upperdir = stage_paths[1];
	refuses(-EINVAL, "upperdir", "low");
	stage.upperdir = stage.workdir;
	refuses(-EINVAL, "upperdir", "workdir");
}
END_TEST

START_TEST(a_layer_in_another_is_refused)
{
	tree_mkdir("low/a");
	tree_mkdir("low/a/b");
	tree_mkdir("up/in");
	stage.upperdir = tree_at("low/a/b");
	refuses(-EINVAL, "upperdir", "lowerdir");
	stage.upperdir = stage_paths[2];
	stage.workdir = tree_at("low/a/b");
	refuses(-EINVAL, "workdir", "lowerdir");
	stage.workdir = tree_at("up/in");
	refuses(-EINVAL, "workdir", "upperdir");
	stage.workdir = stage_paths[3];
	stage_lowers[0] = tree_at("up/in");
	refuses(-EINVAL, "lowerdir", "upperdir");
	stage_lowers[0] = tree_at("low/a");
	refuses(-EINVAL, "lowerdir", "low/a");
}
END_TEST

START_TEST(a_way_through_a_symlink_does_not_hide_it)
{
	tree_mkdir("low/a");
	ck_assert_int_eq(symlinkat("low/a", tree, "link"), 0);
	stage.upperdir = tree_at("link");
	refuses(-EINVAL, "upperdir", "lowerdir");
}
END_TEST

START_TEST(a_statedir_in_a_layer_is_refused)
{
	tree_mkdir("low/state");
	tree_mkdir("up/state");
	stage.statedir = tree_at("low/state");
	refuses(-EINVAL, "statedir", "lowerdir");
	stage.statedir = tree_at("up/state");
	refuses(-EINVAL, "statedir", "upperdir");
}
END_TEST

START_TEST(a_statedir_to_be_made_in_a_layer_is_refused)
{
	stage.statedir = tree_at("low/new");
	refuses(-EINVAL, "statedir", "lowerdir");
	stage.statedir = tree_at("up/new/deep");
	refuses(-EINVAL, "statedir", "upperdir");
}
END_TEST

/* ---- filesystems, and who uses them --------------------------------------- */

START_TEST(upper_and_work_on_two_filesystems_are_refused)
{
	if (geteuid() != 0 || !tree_may_mount())
		tree_skip("mounts need root");
	tree_mount_tmpfs("work", "size=1M");
	refuses(-EINVAL, "workdir", "filesystem");
}
END_TEST

START_TEST(what_the_kernel_has_mounted_is_refused)
{
	char options[PATH_MAX * 4];

	if (geteuid() != 0 || !tree_may_mount())
		tree_skip("mounts need root");
	tree_mkdir("mnt");
	tree_mkdir("up:2, \\x");
	tree_mkdir("work2");
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s",
	         stage_paths[0], stage_paths[2], stage_paths[3]);
	if (mount("overlay", tree_at("mnt"), "overlay", 0, options) < 0)
		tree_skip("no overlay can be mounted");
	tree_mounted("mnt");
	refuses(-EBUSY, "upperdir", "kernel");
	stage.upperdir = tree_at("up:2, \\x");
	refuses(-EBUSY, "workdir", "kernel");
}
END_TEST

/* In another process, as another server is: a lock is a process's business. */
static int open_elsewhere(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		fs = NULL;
		_exit(-stage_try_open(NULL));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return -WEXITSTATUS(status);
}

START_TEST(a_second_server_on_a_workdir_is_refused)
{
	struct ovl *first;
	const char *before;

	stage_open();
	first = fs;
	before = look();
	ck_assert_int_eq(open_elsewhere(), -EBUSY);
	ck_assert_str_eq(before, look());
	fs = NULL;
	refuses(-EBUSY, "workdir", "in use");
	fs = first;
	stage_close();
	stage_open();
}
END_TEST

/* ---- changed layers ------------------------------------------------------- */

START_TEST(a_replaced_lower_is_refused_until_accepted)
{
	stage_open();
	stage_close();
	ck_assert_int_eq(renameat(tree, "low", tree, "old"), 0);
	tree_mkdir("low");
	tree_file("low/new", "new");
	refuses(-ESTALE, "low", "low");
	stage.accept_changed_lower = true;
	stage_open();
	ck_assert(has_text("new", "new"));
	stage.accept_changed_lower = false;
	stage_reopen();
}
END_TEST

START_TEST(a_missing_lower_is_refused_until_accepted)
{
	stage_open();
	stage_close();
	stage.nlowerdirs = 1;
	refuses(-ESTALE, "", "");
	stage.accept_changed_lower = true;
	stage_open();
}
END_TEST

START_TEST(a_new_top_layer_is_welcome)
{
	struct ovl_id before;

	tree_file("low/file", "text");
	stage_lowers[0] = stage_paths[1];
	stage.nlowerdirs = 1;
	stage_open();
	before = id_of("file");
	stage_close();
	stage_lowers[0] = stage_paths[0];
	stage.nlowerdirs = 2;
	stage_open();
	ck_assert(same_id(id_of("file"), before));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("check");
	TCase *tcase = tcase_create("check");

	tcase_add_test(tcase, a_missing_layer_is_refused);
	tcase_add_test(tcase, a_layer_that_is_a_file_is_refused);
	tcase_add_test(tcase, a_missing_upper_or_work_is_refused);
	tcase_add_test(tcase, upper_and_work_go_together);
	tcase_add_test(tcase, no_layer_at_all_is_refused);
	tcase_add_test(tcase, layers_that_are_one_directory_are_refused);
	tcase_add_test(tcase, a_layer_in_another_is_refused);
	tcase_add_test(tcase, a_way_through_a_symlink_does_not_hide_it);
	tcase_add_test(tcase, a_statedir_in_a_layer_is_refused);
	tcase_add_test(tcase, a_statedir_to_be_made_in_a_layer_is_refused);
	tcase_add_test(tcase, upper_and_work_on_two_filesystems_are_refused);
	tcase_add_test(tcase, what_the_kernel_has_mounted_is_refused);
	tcase_add_test(tcase, a_second_server_on_a_workdir_is_refused);
	tcase_add_test(tcase, a_replaced_lower_is_refused_until_accepted);
	tcase_add_test(tcase, a_missing_lower_is_refused_until_accepted);
	tcase_add_test(tcase, a_new_top_layer_is_welcome);
	return stage_run(suite, tcase);
}
