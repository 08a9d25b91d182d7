#include "config.h"

#include "overlay/standin.h"

#include "tree.h"

static const struct ovl_real symlink_real = {
	.ino = 7,
	.generation = 8,
	.type = S_IFLNK,
};

static struct ovl_standins *standins;

static void open_them(void)
{
	ck_assert_int_eq(ovl_standins_open(tree, &standins), 0);
}

static void close_them(void)
{
	ovl_standins_close(standins);
	standins = NULL;
}

/* Whether there is one for it. */
static bool has(const struct ovl_real *real)
{
	int fd = ovl_standin_open(standins, real, false);

	if (fd >= 0)
		close(fd);
	else
		ck_assert_int_eq(fd, -ENOENT);
	return fd >= 0;
}

START_TEST(one_is_made_when_asked_for_and_stays)
{
	int fd;

	open_them();
	ck_assert(!has(&symlink_real));
	fd = ovl_standin_open(standins, &symlink_real, true);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert(has(&symlink_real));
	close_them();
	open_them();
	ck_assert(has(&symlink_real));
}
END_TEST

START_TEST(a_reused_inode_has_none)
{
	struct ovl_real other = symlink_real;

	open_them();
	close(ovl_standin_open(standins, &symlink_real, true));
	other.generation++;
	ck_assert(!has(&other));
	other = symlink_real;
	other.ino++;
	ck_assert(!has(&other));
}
END_TEST

START_TEST(removing_takes_one_and_harms_none)
{
	struct ovl_real other = symlink_real;

	open_them();
	other.generation++;
	close(ovl_standin_open(standins, &symlink_real, true));
	close(ovl_standin_open(standins, &other, true));
	ovl_standin_remove(standins, symlink_real.ino, symlink_real.generation);
	ck_assert(!has(&symlink_real));
	ck_assert(has(&other));
	ovl_standin_remove(standins, symlink_real.ino, symlink_real.generation);
	ovl_standin_remove(NULL, other.ino, other.generation);
	ck_assert(has(&other));
}
END_TEST

START_TEST(files_and_directories_need_none)
{
	static const mode_t types[] = { S_IFREG,  S_IFDIR, S_IFLNK, S_IFIFO,
		                        S_IFSOCK, S_IFCHR, S_IFBLK };
	struct ovl_real real = symlink_real;

	for (unsigned i = 0; i < 7; i++) {
		real.type = types[i];
		/* By the type on disk, whatever is shown. */
		real.attr.mode = S_IFLNK;
		ck_assert_int_eq(ovl_standin_needed(&real), i > 1);
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("standin");

	tcase_add_checked_fixture(tcase, NULL, close_them);
	tcase_add_test(tcase, one_is_made_when_asked_for_and_stays);
	tcase_add_test(tcase, a_reused_inode_has_none);
	tcase_add_test(tcase, removing_takes_one_and_harms_none);
	tcase_add_test(tcase, files_and_directories_need_none);
	return tree_run(suite_create("standin"), tcase);
}
