/*
 * ACLs through the overlay, on several filesystems: copy-up keeps them, and what
 * is made inherits them as from the kernel.
 */
#include "config.h"

#include <sys/xattr.h>

#include "overlay/overlay.h"

#include "acls.h"
#include "stage.h"

#define ROUNDS 40

static uint64_t state;

/* What comes before the names of layers in the tree. */
static const char *prefix;

static const char *at(const char *name)
{
	static char paths[2][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, PATH_MAX, "%s%s", prefix, name);
	return path;
}

static void layers_on_disk(void)
{
	static const char *const dirs[] = { "high", "low", "up", "work" };

	prefix = "disk/";
	for (unsigned i = 0; i < 4; i++) {
		tree_mkdir(at(dirs[i]));
		strcpy(stage_paths[i], tree_at(at(dirs[i])));
	}
}

/* The layers in the test's tree, on a tmpfs, on an ext4: false, if not to be had. */
static bool place_layers(int where)
{
	prefix = "";
	if (where == 0)
		return ovl_acl_supported(tree);
	if (!tree_may_mount())
		return false;
	tree_mkdir("disk");
	if (where == 1)
		tree_mount_tmpfs("disk", "size=16m");
	else if (!tree_mount_image("ext4", "disk"))
		return false;
	layers_on_disk();
	return true;
}

#define NO_PLACE "no such filesystem with ACLs to be had"
/* And the mask of an ACL with them; tests/protocol/test_nfs3_acl.c goes by what
 * is granted. */
#define NOT_ON_DISK "without root, modes are in overrides"

static const char *full(const char *name)
{
	return tree_at(at(name));
}

static void plant(const char *name, const char *kind)
{
	struct acls acls = acls_with_user(0750, 1001, 6);

	ck_assert_int_eq(acls_set(full(name), kind, &acls), 0);
}

static uint32_t mode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, at(name), &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode;
}

static void assert_same(const char *name, const char *other)
{
	ck_assert_uint_eq(mode_of(name), mode_of(other));
	if (S_ISLNK(mode_of(name)))
		return;
	ck_assert(acls_same(full(name), full(other), ACLS_ACCESS));
	ck_assert(acls_same(full(name), full(other), ACLS_DEFAULT));
}

static bool has(const char *name, const char *kind)
{
	return getxattr(full(name), kind, NULL, 0) > 0;
}

/* ---- copy-up ---------------------------------------------------------------- */

static void touch(const char *path)
{
	struct ovl_setattr set = { .set_atime = OVL_TIME_NOW };
	struct ovl_node *node = get(path);

	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ovl_node_unref(node);
}

START_TEST(copy_up_keeps_both_kinds)
{
	if (geteuid() != 0)
		tree_skip(NOT_ON_DISK);
	if (!place_layers(_i))
		tree_skip(NO_PLACE);
	tree_mkdir(at("low/dir"));
	tree_file(at("low/dir/file"), "text");
	ck_assert_int_eq(mkfifoat(tree, at("low/dir/fifo"), 0600), 0);
	plant("low/dir", ACLS_DEFAULT);
	plant("low/dir", ACLS_ACCESS);
	plant("low/dir/file", ACLS_ACCESS);
	plant("low/dir/fifo", ACLS_ACCESS);
	stage_open();
	touch("dir/fifo");
	write_text("dir/file", "TEXT");
	assert_same("low/dir", "up/dir");
	assert_same("low/dir/fifo", "up/dir/fifo");
	assert_same("low/dir/file", "up/dir/file");
	ck_assert(has("up/dir", ACLS_ACCESS) && has("up/dir", ACLS_DEFAULT));
	ck_assert(has("up/dir/file", ACLS_ACCESS));
}
END_TEST

/* In a directory that hands one on, too: copying is not making. */
START_TEST(copy_up_adds_none)
{
	if (geteuid() != 0)
		tree_skip(NOT_ON_DISK);
	if (!place_layers(_i))
		tree_skip(NO_PLACE);
	tree_mkdir(at("low/dir"));
	tree_file(at("low/dir/file"), "text");
	tree_mkdir(at("low/dir/sub"));
	plant("low/dir", ACLS_DEFAULT);
	plant("work", ACLS_DEFAULT);
	stage_open();
	touch("dir/sub");
	write_text("dir/file", "TEXT");
	assert_same("low/dir/file", "up/dir/file");
	assert_same("low/dir/sub", "up/dir/sub");
	ck_assert(!has("up/dir/sub", ACLS_ACCESS));
	ck_assert(!has("up/dir/sub", ACLS_DEFAULT));
}
END_TEST

/* ---- inheritance ------------------------------------------------------------ */

enum how { EXCLUSIVE, PLAIN, FIFO, SYMLINK, DIRECTORY, HOWS };

static void make_by_kernel(enum how how, const char *name, uint32_t mode)
{
	const char *path = at(name);
	int err;

	if (how == DIRECTORY)
		err = mkdirat(tree, path, mode);
	else if (how == SYMLINK)
		err = symlinkat("target", tree, path);
	else
		err = mknodat(tree, path,
		              (how == FIFO ? S_IFIFO : S_IFREG) | mode, 0);
	ck_assert_int_eq(err, 0);
}

static void make_by_us(enum how how, const char *dir, const char *name,
                       uint32_t mode)
{
	struct ovl_setattr set = { .has_mode = true, .mode = mode };
	struct ovl_node *in = get(dir), *node = NULL;
	int err;

	if (how == DIRECTORY)
		err = ovl_mkdir(fs, &root, in, name, &set, &node, NULL);
	else if (how == SYMLINK)
		err = ovl_symlink(fs, &root, in, name, "target", &set, &node,
		                  NULL);
	else if (how == FIFO)
		err = ovl_mknod(fs, &root, in, name, S_IFIFO, 0, &set, &node,
		                NULL);
	else
		err = ovl_create(fs, &root, in, name,
		                 how == PLAIN ? OVL_GUARDED : OVL_EXCLUSIVE,
		                 &set, 42, &node, NULL);
	ck_assert_msg(!err, "%s/%s %o: %s", dir, name, mode, strerror(-err));
	/* The client sets the mode of an exclusive one when it has its handle. */
	if (how == EXCLUSIVE)
		ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL),
		                 0);
	ovl_node_unref(node);
	ovl_node_unref(in);
}

/* In a directory of the upper layer or of a lower one, and in its twin. */
static void make_and_compare(unsigned round)
{
	char dir[16], ours[64], theirs[64], name[8];
	uint32_t mode;

	snprintf(dir, sizeof(dir), "dir%u", round);
	for (unsigned how = PLAIN; how < HOWS; how++) {
		mode = 0600 | test_random(&state) % 01000;
		snprintf(name, sizeof(name), "n%u", how);
		snprintf(ours, sizeof(ours), "up/%s/%s", dir, name);
		snprintf(theirs, sizeof(theirs), "twin/%s/%s", dir, name);
		make_by_us(how, dir, name, mode);
		make_by_kernel(how, theirs, mode);
		assert_same(theirs, ours);
	}
}

static void plant_dirs(unsigned round, const struct acls *acls)
{
	char names[2][32];

	snprintf(names[0], 32, "%s/dir%u", round % 2 ? "up" : "low", round);
	snprintf(names[1], 32, "twin/dir%u", round);
	for (unsigned i = 0; i < 2; i++) {
		tree_mkdir(at(names[i]));
		ck_assert_int_eq(acls_set(full(names[i]), ACLS_DEFAULT, acls),
		                 0);
	}
}

START_TEST(what_is_made_inherits_as_from_the_kernel)
{
	struct acls acls;

	if (geteuid() != 0)
		tree_skip(NOT_ON_DISK);
	if (!place_layers(_i))
		tree_skip(NO_PLACE);
	state = test_seed();
	tree_mkdir(at("twin"));
	for (unsigned i = 0; i < ROUNDS; i++) {
		acls = acls_random(&state);
		acls.entries[0].perm = 7; /* the server works there, too */
		plant_dirs(i, &acls);
	}
	umask(027); /* of no account */
	stage_open();
	for (unsigned i = 0; i < ROUNDS; i++)
		make_and_compare(i);
	ck_assert_int_eq(count_names(at("work/veneer/tmp")), 0);
}
END_TEST

START_TEST(what_was_inherited_is_handed_on)
{
	if (!place_layers(_i))
		tree_skip(NO_PLACE);
	tree_mkdir(at("low/dir"));
	plant("low/dir", ACLS_DEFAULT);
	stage_open();
	ck_assert_int_eq(make_dir("dir", "sub"), 0);
	ck_assert_int_eq(make_dir("dir/sub", "sub"), 0);
	ck_assert_int_eq(make_file("dir/sub/sub", "file"), 0);
	ck_assert(acls_same(full("low/dir"), full("up/dir/sub/sub"),
	                    ACLS_DEFAULT));
	ck_assert(has("up/dir/sub/sub/file", ACLS_ACCESS));
	ck_assert(!has("up/dir/sub/sub/file", ACLS_DEFAULT));
	ck_assert_uint_eq(attr_of("dir/sub/sub/file").mode & 0777, 0660);
}
END_TEST

START_TEST(an_exclusive_file_has_the_acl_when_its_mode_follows)
{
	if (geteuid() != 0)
		tree_skip(NOT_ON_DISK);
	if (!place_layers(_i))
		tree_skip(NO_PLACE);
	tree_mkdir(at("low/dir"));
	tree_mkdir(at("twin"));
	plant("low/dir", ACLS_DEFAULT);
	plant("twin", ACLS_DEFAULT);
	stage_open();
	make_by_us(EXCLUSIVE, "dir", "file", 0640);
	make_by_kernel(PLAIN, "twin/file", 0640);
	assert_same("twin/file", "up/dir/file");
	ck_assert(has("up/dir/file", ACLS_ACCESS));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acls");
	TCase *tcase = tcase_create("acls");

	tcase_add_loop_test(tcase, copy_up_keeps_both_kinds, 0, 3);
	tcase_add_loop_test(tcase, copy_up_adds_none, 0, 2);
	tcase_add_loop_test(tcase, what_is_made_inherits_as_from_the_kernel, 0,
	                    3);
	tcase_add_loop_test(tcase, what_was_inherited_is_handed_on, 0, 2);
	tcase_add_loop_test(tcase,
	                    an_exclusive_file_has_the_acl_when_its_mode_follows,
	                    0, 2);
	return stage_run(suite, tcase);
}
