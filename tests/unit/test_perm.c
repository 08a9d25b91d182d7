#include "config.h"

#include "overlay/perm.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files and directories here belong to user 10 and group 20. */
static const uint32_t both[] = { 30, 20 };

static const struct ovl_caller root = { .uid = 0, .gid = 0 };
static const struct ovl_caller owner = { .uid = 10, .gid = 99 };
static const struct ovl_caller member = { .uid = 11, .gid = 20 };
static const struct ovl_caller supplementary = {
	.uid = 12,
	.gid = 99,
	.groups = both,
	.ngroups = 2,
};
static const struct ovl_caller other = { .uid = 13, .gid = 99 };
/* The owner, and of the group as well. */
static const struct ovl_caller owner_member = {
	.uid = 10,
	.gid = 99,
	.groups = both,
	.ngroups = 2,
};

static struct ovl_attr object(uint32_t mode)
{
	return (struct ovl_attr){ .mode = mode, .uid = 10, .gid = 20 };
}

/* ---- access -------------------------------------------------------------- */

static const struct {
	const struct ovl_caller *caller;
	uint32_t mode;
	int granted;
} access_cases[] = {
	/* The first class that fits decides, even where a later one is wider. */
	{ &owner, S_IFREG | 0400, R_OK },
	{ &owner, S_IFREG | 0077, 0 },
	{ &owner_member, S_IFREG | 0077, 0 },
	{ &member, S_IFREG | 0020, W_OK },
	{ &member, S_IFREG | 0707, 0 },
	{ &supplementary, S_IFREG | 0050, R_OK | X_OK },
	{ &supplementary, S_IFREG | 0707, 0 },
	{ &other, S_IFREG | 0003, W_OK | X_OK },
	{ &other, S_IFREG | 0770, 0 },
	{ &other, S_IFLNK | 0777, R_OK | W_OK | X_OK },
	/* Root: all but executing what nobody may; directories always. */
	{ &root, S_IFREG | 0000, R_OK | W_OK },
	{ &root, S_IFREG | 0666, R_OK | W_OK },
	{ &root, S_IFREG | 0100, R_OK | W_OK | X_OK },
	{ &root, S_IFREG | 0010, R_OK | W_OK | X_OK },
	{ &root, S_IFREG | 0001, R_OK | W_OK | X_OK },
	{ &root, S_IFDIR | 0000, R_OK | W_OK | X_OK },
	/* setuid, setgid and sticky grant nothing. */
	{ &other, S_IFREG | 07000, 0 },
	{ &root, S_IFREG | 07000, R_OK | W_OK },
};

START_TEST(the_first_class_that_fits_decides)
{
	struct ovl_attr attr = object(access_cases[_i].mode);
	const struct ovl_caller *caller = access_cases[_i].caller;
	int granted = access_cases[_i].granted, want;

	for (want = 0; want < 8; want++) {
		ck_assert_int_eq(ovl_perm_granted(caller, &attr, NULL, want),
		                 granted & want);
		ck_assert_int_eq(ovl_perm_check(caller, &attr, NULL, want),
		                 (granted & want) == want ? 0 : -EACCES);
	}
}
END_TEST

START_TEST(the_owner_may_read_and_write_whatever_the_mode)
{
	struct ovl_attr attr = object(S_IFREG | 0000);

	ck_assert_int_eq(ovl_perm_read(&owner, &attr, NULL), 0);
	ck_assert_int_eq(ovl_perm_write(&owner, &attr, NULL), 0);
	ck_assert_int_eq(ovl_perm_read(&root, &attr, NULL), 0);
	ck_assert_int_eq(ovl_perm_write(&root, &attr, NULL), 0);
	ck_assert_int_eq(ovl_perm_read(&member, &attr, NULL), -EACCES);
	ck_assert_int_eq(ovl_perm_write(&member, &attr, NULL), -EACCES);
	ck_assert_int_eq(ovl_perm_read(&other, &attr, NULL), -EACCES);
	ck_assert_int_eq(ovl_perm_write(&other, &attr, NULL), -EACCES);
}
END_TEST

START_TEST(who_may_execute_may_read_but_not_write)
{
	struct ovl_attr attr = object(S_IFREG | 0711);

	ck_assert_int_eq(ovl_perm_read(&member, &attr, NULL), 0);
	ck_assert_int_eq(ovl_perm_read(&other, &attr, NULL), 0);
	ck_assert_int_eq(ovl_perm_write(&other, &attr, NULL), -EACCES);
	ck_assert_int_eq(ovl_perm_check(&other, &attr, NULL, R_OK), -EACCES);
}
END_TEST

START_TEST(adding_a_name_asks_for_write_and_search)
{
	struct ovl_attr dir = object(S_IFDIR | 0732);

	ck_assert_int_eq(ovl_perm_add(&owner, &dir, NULL), 0);
	ck_assert_int_eq(ovl_perm_add(&member, &dir, NULL), 0);
	ck_assert_int_eq(ovl_perm_add(&other, &dir, NULL), -EACCES);
	dir.mode = S_IFDIR | 0001;
	ck_assert_int_eq(ovl_perm_add(&owner, &dir, NULL), -EACCES);
	ck_assert_int_eq(ovl_perm_add(&other, &dir, NULL), -EACCES);
	ck_assert_int_eq(ovl_perm_add(&root, &dir, NULL), 0);
}
END_TEST

START_TEST(a_sticky_directory_guards_its_names)
{
	struct ovl_attr dir = object(S_IFDIR | 01777);
	struct ovl_attr victim = object(S_IFREG | 0666);

	victim.uid = other.uid;
	ck_assert_int_eq(ovl_perm_remove(&root, &dir, NULL, &victim), 0);
	ck_assert_int_eq(ovl_perm_remove(&owner, &dir, NULL, &victim), 0);
	ck_assert_int_eq(ovl_perm_remove(&other, &dir, NULL, &victim), 0);
	ck_assert_int_eq(ovl_perm_remove(&member, &dir, NULL, &victim), -EPERM);
	ck_assert_int_eq(ovl_perm_add(&member, &dir, NULL), 0);
	dir.mode = S_IFDIR | 0777;
	ck_assert_int_eq(ovl_perm_remove(&member, &dir, NULL, &victim), 0);
	dir.mode = S_IFDIR | 01755; /* the mode is asked before */
	ck_assert_int_eq(ovl_perm_remove(&other, &dir, NULL, &victim), -EACCES);
}
END_TEST

/* ---- chmod --------------------------------------------------------------- */

#define NO_MODE UINT32_MAX

/* Ask for `set`; the mode to be set, or NO_MODE, or -errno. */
static int64_t ask(const struct ovl_caller *caller, uint32_t mode,
                   struct ovl_setattr set)
{
	struct ovl_attr attr = object(mode);
	struct ovl_setattr before = set;
	int ret = ovl_perm_setattr(caller, &attr, NULL, &set);

	if (ret < 0) {
		ck_assert_mem_eq(&set, &before, sizeof(set));
		return ret;
	}
	return set.has_mode ? set.mode : NO_MODE;
}

static int64_t ask_mode(const struct ovl_caller *caller, uint32_t mode,
                        uint32_t wanted)
{
	return ask(caller, mode,
	           (struct ovl_setattr){ .has_mode = true, .mode = wanted });
}

START_TEST(only_owner_and_root_change_the_mode)
{
	ck_assert_int_eq(ask_mode(&owner, S_IFREG | 0644, 0600), 0600);
	ck_assert_int_eq(ask_mode(&root, S_IFREG | 0644, 0600), 0600);
	ck_assert_int_eq(ask_mode(&member, S_IFREG | 0666, 0600), -EPERM);
	ck_assert_int_eq(ask_mode(&other, S_IFDIR | 0777, 0700), -EPERM);
	/* Also to what it is already. */
	ck_assert_int_eq(ask_mode(&other, S_IFREG | 0666, 0666), -EPERM);
	ck_assert_int_eq(ask_mode(&owner, S_IFREG | 0666, 0666), 0666);
}
END_TEST

START_TEST(setgid_is_for_members_of_the_group)
{
	ck_assert_int_eq(ask_mode(&owner, S_IFREG | 0755, 06755), 04755);
	ck_assert_int_eq(ask_mode(&owner, S_IFREG | 0644, 02644), 0644);
	ck_assert_int_eq(ask_mode(&owner, S_IFDIR | 02755, 02700), 0700);
	ck_assert_int_eq(ask_mode(&owner_member, S_IFREG | 0755, 06755), 06755);
	ck_assert_int_eq(ask_mode(&root, S_IFREG | 0755, 07755), 07755);
}
END_TEST

START_TEST(of_a_mode_only_the_permission_bits_count)
{
	ck_assert_int_eq(ask_mode(&root, S_IFREG | 0644, S_IFDIR | 01755),
	                 01755);
}
END_TEST

START_TEST(a_symlink_has_no_mode)
{
	ck_assert_int_eq(ask_mode(&owner, S_IFLNK | 0777, 0600), NO_MODE);
	ck_assert_int_eq(ask_mode(&other, S_IFLNK | 0777, 0600), -EPERM);
}
END_TEST

/* ---- chown --------------------------------------------------------------- */

static int64_t ask_uid(const struct ovl_caller *caller, uint32_t mode,
                       uint32_t uid)
{
	return ask(caller, mode,
	           (struct ovl_setattr){ .has_uid = true, .uid = uid });
}

static int64_t ask_gid(const struct ovl_caller *caller, uint32_t mode,
                       uint32_t gid)
{
	return ask(caller, mode,
	           (struct ovl_setattr){ .has_gid = true, .gid = gid });
}

START_TEST(only_root_gives_files_away)
{
	ck_assert_int_eq(ask_uid(&root, S_IFREG | 0644, 11), NO_MODE);
	ck_assert_int_eq(ask_uid(&owner, S_IFREG | 0644, 11), -EPERM);
	ck_assert_int_eq(ask_uid(&owner, S_IFREG | 0644, 10), NO_MODE);
	ck_assert_int_eq(ask_uid(&other, S_IFREG | 0666, 13), -EPERM);
	ck_assert_int_eq(ask_uid(&other, S_IFREG | 0666, 10), -EPERM);
}
END_TEST

START_TEST(the_owner_gives_a_file_to_a_group_he_is_in)
{
	ck_assert_int_eq(ask_gid(&owner_member, S_IFREG | 0644, 30), NO_MODE);
	ck_assert_int_eq(ask_gid(&owner, S_IFREG | 0644, 99), NO_MODE);
	ck_assert_int_eq(ask_gid(&owner, S_IFREG | 0644, 30), -EPERM);
	/* What it is already, though he is not in it. */
	ck_assert_int_eq(ask_gid(&owner, S_IFREG | 0644, 20), NO_MODE);
	ck_assert_int_eq(ask_gid(&member, S_IFREG | 0666, 20), -EPERM);
	ck_assert_int_eq(ask_gid(&root, S_IFREG | 0644, 12345), NO_MODE);
}
END_TEST

START_TEST(a_change_of_owner_or_group_clears_setuid_and_setgid)
{
	ck_assert_int_eq(ask_uid(&owner, S_IFREG | 06755, 10), 0755);
	ck_assert_int_eq(ask_gid(&owner_member, S_IFREG | 06755, 30), 0755);
	/* By root, too (chown(2) of Linux). */
	ck_assert_int_eq(ask_uid(&root, S_IFREG | 06755, 11), 0755);
	ck_assert_int_eq(ask_gid(&root, S_IFREG | 04755, 30), 0755);
	/* Not setgid that is no execution, where the caller might set it. */
	ck_assert_int_eq(ask_gid(&root, S_IFREG | 06644, 30), 02644);
	ck_assert_int_eq(ask_gid(&owner_member, S_IFREG | 02644, 30), NO_MODE);
	ck_assert_int_eq(ask_gid(&owner, S_IFREG | 02644, 99), 0644);
	/* Directories keep theirs. */
	ck_assert_int_eq(ask_gid(&owner_member, S_IFDIR | 06755, 30), NO_MODE);
	ck_assert_int_eq(ask_uid(&root, S_IFDIR | 06755, 30), NO_MODE);
}
END_TEST

START_TEST(a_mode_that_comes_with_an_owner_sets_no_setuid)
{
	struct ovl_setattr set = {
		.has_uid = true,
		.uid = 11,
		.has_mode = true,
		.mode = 06755,
	};

	ck_assert_int_eq(ask(&root, S_IFREG | 0644, set), 0755);
	ck_assert_int_eq(ask(&root, S_IFDIR | 0755, set), 06755);
	set.mode = 02644;
	ck_assert_int_eq(ask(&root, S_IFREG | 0644, set), 02644);
}
END_TEST

START_TEST(setgid_with_a_new_group_asks_for_membership_of_that_one)
{
	struct ovl_setattr set = {
		.has_gid = true,
		.gid = 99,
		.has_mode = true,
		.mode = 02755,
	};

	ck_assert_int_eq(ask(&owner, S_IFDIR | 0755, set), 02755);
	set.has_gid = false;
	ck_assert_int_eq(ask(&owner, S_IFDIR | 0755, set), 0755);
}
END_TEST

/* ---- size and writes ----------------------------------------------------- */

static int64_t ask_size(const struct ovl_caller *caller, uint32_t mode)
{
	return ask(caller, mode, (struct ovl_setattr){ .has_size = true });
}

START_TEST(truncation_is_a_write)
{
	ck_assert_int_eq(ask_size(&owner, S_IFREG | 0444), NO_MODE);
	ck_assert_int_eq(ask_size(&member, S_IFREG | 0664), NO_MODE);
	ck_assert_int_eq(ask_size(&other, S_IFREG | 0664), -EACCES);
	ck_assert_int_eq(ask_size(&root, S_IFREG | 0000), NO_MODE);
}
END_TEST

START_TEST(truncation_clears_setuid_and_setgid_unless_by_root)
{
	ck_assert_int_eq(ask_size(&owner, S_IFREG | 06755), 0755);
	ck_assert_int_eq(ask_size(&member, S_IFREG | 02664), NO_MODE);
	ck_assert_int_eq(ask_size(&other, S_IFREG | 02666), 0666);
	ck_assert_int_eq(ask_size(&root, S_IFREG | 06755), NO_MODE);
}
END_TEST

START_TEST(a_mode_that_comes_with_a_size_stands)
{
	struct ovl_setattr set = {
		.has_size = true,
		.has_mode = true,
		.mode = 04755,
	};

	ck_assert_int_eq(ask(&owner, S_IFREG | 0644, set), 04755);
}
END_TEST

START_TEST(a_write_clears_setuid_and_setgid_unless_by_root)
{
	struct ovl_attr attr = object(S_IFREG | 06777);

	ck_assert_uint_eq(ovl_perm_mode_after_write(&other, &attr),
	                  S_IFREG | 0777);
	ck_assert_uint_eq(ovl_perm_mode_after_write(&owner, &attr),
	                  S_IFREG | 0777);
	ck_assert_uint_eq(ovl_perm_mode_after_write(&root, &attr),
	                  S_IFREG | 06777);
	attr.mode = S_IFREG | 07666;
	ck_assert_uint_eq(ovl_perm_mode_after_write(&member, &attr),
	                  S_IFREG | 03666);
	ck_assert_uint_eq(ovl_perm_mode_after_write(&other, &attr),
	                  S_IFREG | 01666);
}
END_TEST

/* ---- times --------------------------------------------------------------- */

static int64_t ask_times(const struct ovl_caller *caller, uint32_t mode,
                         enum ovl_settime atime, enum ovl_settime mtime)
{
	return ask(caller, mode,
	           (struct ovl_setattr){ .set_atime = atime,
	                                 .set_mtime = mtime });
}

START_TEST(times_given_are_the_owners_to_set)
{
	ck_assert_int_eq(ask_times(&owner, S_IFREG | 0444, OVL_TIME_GIVEN,
	                           OVL_TIME_GIVEN),
	                 NO_MODE);
	ck_assert_int_eq(ask_times(&root, S_IFREG | 0444, OVL_TIME_GIVEN,
	                           OVL_TIME_KEEP),
	                 NO_MODE);
	ck_assert_int_eq(ask_times(&member, S_IFREG | 0666, OVL_TIME_GIVEN,
	                           OVL_TIME_KEEP),
	                 -EPERM);
	ck_assert_int_eq(ask_times(&other, S_IFREG | 0666, OVL_TIME_NOW,
	                           OVL_TIME_GIVEN),
	                 -EPERM);
}
END_TEST

START_TEST(who_may_write_may_set_the_times_to_now)
{
	ck_assert_int_eq(ask_times(&owner, S_IFREG | 0444, OVL_TIME_NOW,
	                           OVL_TIME_NOW),
	                 NO_MODE);
	ck_assert_int_eq(ask_times(&member, S_IFREG | 0464, OVL_TIME_NOW,
	                           OVL_TIME_NOW),
	                 NO_MODE);
	ck_assert_int_eq(ask_times(&member, S_IFREG | 0464, OVL_TIME_KEEP,
	                           OVL_TIME_NOW),
	                 NO_MODE);
	ck_assert_int_eq(ask_times(&other, S_IFREG | 0664, OVL_TIME_NOW,
	                           OVL_TIME_KEEP),
	                 -EACCES);
	ck_assert_int_eq(ask_times(&other, S_IFREG | 0000, OVL_TIME_KEEP,
	                           OVL_TIME_KEEP),
	                 NO_MODE);
}
END_TEST

/* ---- new objects --------------------------------------------------------- */

struct made {
	uint32_t uid, gid, mode;
};

static struct made make(const struct ovl_caller *caller, uint32_t dir_mode,
                        bool is_dir, struct ovl_setattr set)
{
	struct ovl_attr dir = object(S_IFDIR | dir_mode);
	struct made made;

	ovl_perm_create(caller, &dir, is_dir, &set, &made.uid, &made.gid,
	                &made.mode);
	return made;
}

static void assert_made(struct made made, uint32_t uid, uint32_t gid,
                        uint32_t mode)
{
	ck_assert_uint_eq(made.uid, uid);
	ck_assert_uint_eq(made.gid, gid);
	ck_assert_uint_eq(made.mode, mode);
}

START_TEST(new_objects_are_the_callers)
{
	struct ovl_setattr none = { 0 };

	assert_made(make(&other, 0777, false, none), 13, 99, 0666);
	assert_made(make(&other, 0777, true, none), 13, 99, 0777);
	assert_made(make(&root, 0777, false, none), 0, 0, 0666);
}
END_TEST

START_TEST(a_setgid_directory_hands_on_its_group)
{
	struct ovl_setattr none = { 0 };
	struct ovl_setattr set = { .has_mode = true, .mode = 0750 };

	assert_made(make(&other, 02777, false, none), 13, 20, 0666);
	assert_made(make(&other, 02777, true, none), 13, 20, 02777);
	assert_made(make(&other, 02777, true, set), 13, 20, 02750);
	assert_made(make(&root, 02777, true, set), 0, 20, 02750);
}
END_TEST

START_TEST(new_setgid_files_are_for_members_of_the_group)
{
	struct ovl_setattr set = { .has_mode = true, .mode = 06755 };

	assert_made(make(&other, 02777, false, set), 13, 20, 04755);
	assert_made(make(&supplementary, 02777, false, set), 12, 20, 06755);
	assert_made(make(&other, 0777, false, set), 13, 99, 06755);
	assert_made(make(&root, 02777, false, set), 0, 20, 06755);
}
END_TEST

START_TEST(owner_and_group_named_count_where_they_may_be_given)
{
	struct ovl_setattr set = {
		.has_uid = true,
		.uid = 77,
		.has_gid = true,
		.gid = 30,
	};

	assert_made(make(&root, 02777, false, set), 77, 30, 0666);
	assert_made(make(&supplementary, 0777, false, set), 12, 30, 0666);
	assert_made(make(&other, 0777, false, set), 13, 99, 0666);
	assert_made(make(&other, 02777, true, set), 13, 20, 02777);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("perm");
	TCase *tcase = tcase_create("perm");

	tcase_add_loop_test(tcase, the_first_class_that_fits_decides, 0,
	                    sizeof(access_cases) / sizeof(access_cases[0]));
	tcase_add_test(tcase, the_owner_may_read_and_write_whatever_the_mode);
	tcase_add_test(tcase, who_may_execute_may_read_but_not_write);
	tcase_add_test(tcase, adding_a_name_asks_for_write_and_search);
	tcase_add_test(tcase, a_sticky_directory_guards_its_names);
	tcase_add_test(tcase, only_owner_and_root_change_the_mode);
	tcase_add_test(tcase, setgid_is_for_members_of_the_group);
	tcase_add_test(tcase, of_a_mode_only_the_permission_bits_count);
	tcase_add_test(tcase, a_symlink_has_no_mode);
	tcase_add_test(tcase, only_root_gives_files_away);
	tcase_add_test(tcase, the_owner_gives_a_file_to_a_group_he_is_in);
	tcase_add_test(tcase,
	               a_change_of_owner_or_group_clears_setuid_and_setgid);
	tcase_add_test(tcase, a_mode_that_comes_with_an_owner_sets_no_setuid);
	tcase_add_test(tcase,
	               setgid_with_a_new_group_asks_for_membership_of_that_one);
	tcase_add_test(tcase, truncation_is_a_write);
	tcase_add_test(tcase,
	               truncation_clears_setuid_and_setgid_unless_by_root);
	tcase_add_test(tcase, a_mode_that_comes_with_a_size_stands);
	tcase_add_test(tcase, a_write_clears_setuid_and_setgid_unless_by_root);
	tcase_add_test(tcase, times_given_are_the_owners_to_set);
	tcase_add_test(tcase, who_may_write_may_set_the_times_to_now);
	tcase_add_test(tcase, new_objects_are_the_callers);
	tcase_add_test(tcase, a_setgid_directory_hands_on_its_group);
	tcase_add_test(tcase, new_setgid_files_are_for_members_of_the_group);
	tcase_add_test(tcase,
	               owner_and_group_named_count_where_they_may_be_given);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
