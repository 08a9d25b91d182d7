/*
 * What nodes grant by their ACLs, and when these are read: only where they make a
 * difference, and once for as long as they are trusted.
 */
#include "config.h"

#include <sys/xattr.h>

#include "overlay/fs.h"
#include "overlay/may.h"
#include "overlay/refresh.h"

#include "acls.h"
#include "stage.h"

#define SECOND UINT64_C(1000000000)
#define ALL (R_OK | W_OK | X_OK)

/* Reads of ACLs; what they get instead, if it is not NULL. */
static unsigned reads;
static const char *instead;

ssize_t __real_ovl_fd_get_xattr(int fd, const char *name, void *value,
                                size_t size);

ssize_t __wrap_ovl_fd_get_xattr(int fd, const char *name, void *value,
                                size_t size)
{
	if (strcmp(name, ACLS_ACCESS))
		return __real_ovl_fd_get_xattr(fd, name, value, size);
	reads++;
	if (!instead)
		return __real_ovl_fd_get_xattr(fd, name, value, size);
	memcpy(value, instead, strlen(instead));
	return strlen(instead);
}

/* Who is neither the owner of what a test makes, nor in its group. */
static struct ovl_caller other(void)
{
	return (struct ovl_caller){
		.uid = geteuid() + 1,
		.gid = getegid() + 1,
		.may_wait = true,
	};
}

static void plant_acl(const char *name, const char *kind, uint16_t perm)
{
	struct acls acls = acls_with_user(0640, geteuid() + 1, perm);

	ck_assert_int_eq(acls_set(tree_at(name), kind, &acls), 0);
}

/* "file" in the overlay, that the other user may read by an ACL, or not. */
static struct ovl_node *open_file(enum ovl_cache cache, bool with_acl)
{
	tree_file("low/file", "text");
	if (with_acl)
		plant_acl("low/file", ACLS_ACCESS, R_OK);
	stage.cache = cache;
	stage_open();
	reads = 0;
	instead = NULL;
	return get("file");
}

static int granted_to(const struct ovl_caller *caller, struct ovl_node *node)
{
	int granted = -1;

	ck_assert_int_eq(ovl_access(fs, caller, node, ALL, &granted), 0);
	return granted;
}

#define NO_ACLS "no ACLs here"

/* ---- when it is read ------------------------------------------------------- */

START_TEST(what_is_known_is_not_read_again)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	/* That there is none is known as well. */
	node = open_file(OVL_CACHE_ALWAYS, _i);
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ck_assert_uint_eq(reads, 1);
	ovl_node_unref(node);
}
END_TEST

START_TEST(it_is_read_only_where_it_makes_a_difference)
{
	struct ovl_caller caller = other(), superuser = { .may_wait = true };
	struct ovl_caller owner = { .uid = geteuid(), .may_wait = true };
	struct ovl_node *node;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_NEVER, true);
	if (owner.uid == 0) {
		owner.uid = other().uid + 1;
		ck_assert_int_eq(fchownat(tree, "low/file", owner.uid, 0, 0),
		                 0);
	}
	ck_assert_int_eq(granted_to(&owner, node), R_OK | W_OK);
	ck_assert_int_eq(granted_to(&superuser, node), ALL);
	/* The mask is empty: nobody gets anything by it. */
	ck_assert_int_eq(fchmodat(tree, "low/file", 0604, 0), 0);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ck_assert_uint_eq(reads, 0);
	ovl_node_unref(node);
}
END_TEST

START_TEST(where_a_layer_has_none_nothing_is_read)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;

	tree_file("up/file", "");
	node = open_file(OVL_CACHE_NEVER, false);
	fs->upper.has_acls = false;
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ck_assert_uint_eq(reads, 0);
	ovl_node_unref(node);
}
END_TEST

START_TEST(it_is_not_waited_for)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;
	int granted;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_ALWAYS, true);
	caller.may_wait = false;
	ck_assert_int_eq(ovl_access(fs, &caller, node, ALL, &granted), -EAGAIN);
	ck_assert_uint_eq(reads, 0);
	caller.may_wait = true;
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	caller.may_wait = false;
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ovl_node_unref(node);
}
END_TEST

/* ---- how long it is trusted ------------------------------------------------ */

START_TEST(always_trusts_the_acl_it_knows)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_ALWAYS, true);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	plant_acl("low/file", ACLS_ACCESS, 0);
	node->acl_checked -= 3600 * SECOND;
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ovl_node_unref(node);
}
END_TEST

START_TEST(never_reads_the_acl_each_time)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_NEVER, true);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	plant_acl("low/file", ACLS_ACCESS, 0);
	ck_assert_int_eq(granted_to(&caller, node), 0);
	ck_assert_int_eq(removexattr(tree_at("low/file"), ACLS_ACCESS), 0);
	ck_assert_int_eq(fchmodat(tree, "low/file", 0664, 0), 0);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ovl_node_unref(node);
}
END_TEST

START_TEST(auto_trusts_the_acl_for_a_second)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;
	uint64_t now;
	int granted;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_AUTO, true);
	now = ovl_now();
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	plant_acl("low/file", ACLS_ACCESS, 0);
	granted = granted_to(&caller, node);
	if (ovl_now() - now < SECOND) /* this machine may be busy */
		ck_assert_int_eq(granted, R_OK);
	node->acl_checked -= SECOND;
	ck_assert_int_eq(granted_to(&caller, node), 0);
	ovl_node_unref(node);
}
END_TEST

START_TEST(what_was_read_before_replaces_nothing_newer)
{
	struct ovl_node *node;
	struct ovl_acl *acl;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_ALWAYS, true);
	node->acl_checked = ovl_now() + 3600 * SECOND;
	ck_assert_int_eq(ovl_node_acl(node, OVL_ACL_ACCESS, OVL_CACHE_NEVER,
	                              true, &acl),
	                 0);
	ck_assert_ptr_nonnull(acl);
	ck_assert_ptr_null(ovl_node_kept_acl(node, OVL_ACL_ACCESS));
	ovl_acl_unref(acl);
	ovl_node_unref(node);
}
END_TEST

/* ---- what comes of it -------------------------------------------------------- */

START_TEST(one_that_makes_no_sense_denies)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;
	int granted;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_NEVER, true);
	instead = "garbage";
	ck_assert_int_eq(ovl_access(fs, &caller, node, ALL, &granted), -EIO);
	ck_assert_int_eq(granted_to(&root, node) & (R_OK | W_OK), R_OK | W_OK);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_change_of_mode_changes_the_mask)
{
	struct ovl_setattr set = { .has_mode = true, .mode = 0600 };
	struct ovl_caller caller = other();
	struct ovl_node *node;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	node = open_file(OVL_CACHE_ALWAYS, true);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ovl_node_unref(node);
	node = get("file");
	ck_assert_int_eq(granted_to(&caller, node), 0);
	set.mode = 0660;
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	set.mode = 0620;
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ck_assert_int_eq(granted_to(&caller, node), 0);
	ovl_node_unref(node);
	/* The ACL is still there, under its new mask. */
	ck_assert_int_eq(getxattr(tree_at("up/file"), ACLS_ACCESS, NULL, 0),
	                 4 + 5 * 8);
}
END_TEST

START_TEST(names_and_links_change_no_acl)
{
	struct ovl_caller caller = other();
	struct ovl_node *node;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	tree_mkdir("low/dir");
	plant_acl("low/dir", ACLS_DEFAULT, W_OK);
	ovl_node_unref(open_file(OVL_CACHE_ALWAYS, true));
	ck_assert_int_eq(link_name("file", "dir", "link"), 0);
	ck_assert_int_eq(rename_name("", "file", "dir", "moved"), 0);
	/* Without root, its mask is in the override. */
	ck_assert(geteuid() != 0 ||
	          acls_same(tree_at("low/file"), tree_at("up/dir/moved"),
	                    ACLS_ACCESS));
	node = get("dir/link");
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ovl_node_unref(node);
}
END_TEST

/* Of a directory that merges, the top one's counts, and is kept by copy-up. */
START_TEST(a_merged_directory_has_the_acl_of_its_top)
{
	struct ovl_caller caller = other();
	struct ovl_node *node, *found;

	if (!ovl_acl_supported(tree))
		tree_skip(NO_ACLS);
	tree_mkdir("low/dir");
	tree_file("low/dir/name", "");
	tree_mkdir("high/dir");
	plant_acl("low/dir", ACLS_ACCESS, ALL);
	plant_acl("high/dir", ACLS_ACCESS, R_OK);
	/* Without root, the server itself has to look into both. */
	ck_assert_int_eq(fchmodat(tree, "low/dir", 0770, 0), 0);
	ck_assert_int_eq(fchmodat(tree, "high/dir", 0770, 0), 0);
	stage_open();
	node = get("dir");
	ck_assert_int_eq(ovl_lookup(fs, &caller, node, "name", &found),
	                 -EACCES);
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ck_assert_int_eq(make_file("dir", "new"), 0);
	ck_assert(geteuid() != 0 || acls_same(tree_at("high/dir"),
	                                      tree_at("up/dir"), ACLS_ACCESS));
	ck_assert_int_eq(granted_to(&caller, node), R_OK);
	ovl_node_unref(node);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("may");
	TCase *tcase = tcase_create("may");

	tcase_add_loop_test(tcase, what_is_known_is_not_read_again, 0, 2);
	tcase_add_test(tcase, it_is_read_only_where_it_makes_a_difference);
	tcase_add_test(tcase, where_a_layer_has_none_nothing_is_read);
	tcase_add_test(tcase, it_is_not_waited_for);
	tcase_add_test(tcase, always_trusts_the_acl_it_knows);
	tcase_add_test(tcase, never_reads_the_acl_each_time);
	tcase_add_test(tcase, auto_trusts_the_acl_for_a_second);
	tcase_add_test(tcase, what_was_read_before_replaces_nothing_newer);
	tcase_add_test(tcase, one_that_makes_no_sense_denies);
	tcase_add_test(tcase, a_change_of_mode_changes_the_mask);
	tcase_add_test(tcase, names_and_links_change_no_acl);
	tcase_add_test(tcase, a_merged_directory_has_the_acl_of_its_top);
	return stage_run(suite, tcase);
}
