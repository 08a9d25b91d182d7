#include "config.h"

#include "overlay/xattr.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/tree.h"

static struct ovl_layer layer;
static const char *prefix;

/* Each test runs in both namespaces. False: not to be had here. */
static bool have_namespace(int userxattr)
{
	char probe;

	layer.userxattr = userxattr;
	prefix = userxattr ? "user." : "trusted.";
	tree_file("file", "");
	tree_mkdir("dir");
	if (!userxattr && geteuid() != 0)
		return false;
	probe = 'x';
	return ovl_xattr_set(&layer, tree, "probe", &probe, 1) == 0;
}

#define NO_NAMESPACE "no attributes of that namespace here"

static const char *full(const char *name)
{
	static char full_name[256];

	snprintf(full_name, sizeof(full_name), "%s%s", prefix, name);
	return full_name;
}

START_TEST(attributes_are_kept_in_the_namespace)
{
	char value[8] = "";
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	fd = tree_open("file", O_PATH);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, "x", value, 8), -ENODATA);
	ck_assert_int_eq(ovl_xattr_set(&layer, fd, "x", "value", 5), 0);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, "x", value, 8), 5);
	ck_assert_str_eq(value, "value");
	ck_assert_int_eq(getxattr(tree_at("file"), full("x"), value, 8), 5);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, "x", value, 4), -ERANGE);
	ck_assert_int_eq(ovl_xattr_remove(&layer, fd, "x"), 0);
	ck_assert_int_eq(ovl_xattr_remove(&layer, fd, "x"), -ENODATA);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, "x", value, 8), -ENODATA);
}
END_TEST

START_TEST(a_symlinks_attributes_are_its_own)
{
	char value[8];
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	ck_assert_int_eq(symlinkat("file", tree, "link"), 0);
	ck_assert_int_eq(setxattr(tree_at("file"), full("x"), "file", 4, 0), 0);
	fd = tree_open("link", O_PATH);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, "x", value, 8), -ENODATA);
	if (layer.userxattr) {
		/* The kernel allows user.* of files and directories alone. */
		ck_assert_int_eq(ovl_xattr_set(&layer, fd, "x", "link", 4),
		                 -EPERM);
		return;
	}
	ck_assert_int_eq(ovl_xattr_set(&layer, fd, "x", "LINK", 4), 0);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, "x", value, 8), 4);
	ck_assert_mem_eq(value, "LINK", 4);
	ck_assert_int_eq(getxattr(tree_at("file"), full("x"), value, 8), 4);
	ck_assert_mem_eq(value, "file", 4);
}
END_TEST

START_TEST(what_can_have_no_attributes_has_none)
{
	char value[8];

	layer.userxattr = _i;
	/* proc(5) has neither namespace. */
	ck_assert_int_eq(ovl_xattr_get(&layer, open("/proc", O_PATH), "x",
	                               value, 8),
	                 -ENODATA);
	ck_assert_int_eq(ovl_xattr_is_opaque(&layer, open("/proc", O_PATH)), 0);
}
END_TEST

START_TEST(overlays_own_are_private_and_nothing_else)
{
	ck_assert(ovl_xattr_private("trusted.overlay.opaque"));
	ck_assert(ovl_xattr_private("user.overlay.opaque"));
	ck_assert(ovl_xattr_private("trusted." OVL_XATTR_ORIGIN));
	ck_assert(ovl_xattr_private("user." OVL_XATTR_VERIFIER));
	ck_assert(!ovl_xattr_private("user.overlay"));
	ck_assert(!ovl_xattr_private("user.overlayer.x"));
	ck_assert(!ovl_xattr_private("security.overlay.opaque"));
	ck_assert(!ovl_xattr_private("security.capability"));
	ck_assert(!ovl_xattr_private("user.mime_type"));
}
END_TEST

START_TEST(opaque_is_the_kernels_y)
{
	char value[2];
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	fd = tree_open("dir", O_PATH);
	ck_assert_int_eq(ovl_xattr_is_opaque(&layer, fd), 0);
	ck_assert_int_eq(ovl_xattr_set_opaque(&layer, fd), 0);
	ck_assert_int_eq(ovl_xattr_is_opaque(&layer, fd), 1);
	ck_assert_int_eq(
		getxattr(tree_at("dir"), full("overlay.opaque"), value, 2), 1);
	ck_assert_int_eq(value[0], 'y');
	/* "x" says that there may be attribute whiteouts in it. */
	ovl_xattr_set(&layer, fd, OVL_XATTR_OPAQUE, "x", 1);
	ck_assert_int_eq(ovl_xattr_is_opaque(&layer, fd), 0);
	ovl_xattr_set(&layer, fd, OVL_XATTR_OPAQUE, "yes", 3);
	ck_assert_int_eq(ovl_xattr_is_opaque(&layer, fd), 0);
	ovl_xattr_set(&layer, fd, OVL_XATTR_OPAQUE, "", 0);
	ck_assert_int_eq(ovl_xattr_is_opaque(&layer, fd), 0);
}
END_TEST

/* ---- origin ------------------------------------------------------------- */

static const struct ovl_real self = { .ino = 7, .generation = 8 };
static const struct ovl_id born = {
	.fileid = UINT64_C(0x0102030405060708),
	.generation = UINT64_C(0x1112131415161718),
};

START_TEST(an_origin_is_read_as_it_was_set)
{
	struct ovl_id id = { 0 };
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	fd = tree_open("file", O_PATH);
	ck_assert_int_eq(ovl_xattr_get_origin(&layer, fd, &self, &id),
	                 -ENODATA);
	ck_assert_int_eq(ovl_xattr_set_origin(&layer, fd, &self, born), 0);
	ck_assert_int_eq(ovl_xattr_get_origin(&layer, fd, &self, &id), 0);
	ck_assert_uint_eq(id.fileid, born.fileid);
	ck_assert_uint_eq(id.generation, born.generation);
}
END_TEST

START_TEST(an_origins_bytes_are_the_same_on_every_machine)
{
	static const unsigned char bytes[40] =
		"veneer\0\1"
		"\x08\x07\x06\x05\x04\x03\x02\x01"
		"\x18\x17\x16\x15\x14\x13\x12\x11"
		"\7\0\0\0\0\0\0\0"
		"\10\0\0\0\0\0\0";
	unsigned char value[64];
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	fd = tree_open("file", O_PATH);
	ck_assert_int_eq(ovl_xattr_set_origin(&layer, fd, &self, born), 0);
	ck_assert_int_eq(ovl_xattr_get(&layer, fd, OVL_XATTR_ORIGIN, value,
	                               sizeof(value)),
	                 40);
	ck_assert_mem_eq(value, bytes, 40);
}
END_TEST

START_TEST(an_origin_on_another_inode_is_not_believed)
{
	static const struct ovl_real others[] = {
		{ .ino = 9, .generation = 8 },
		{ .ino = 7, .generation = 9 },
	};
	struct ovl_id id = { .fileid = 42 };
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	fd = tree_open("file", O_PATH);
	ck_assert_int_eq(ovl_xattr_set_origin(&layer, fd, &self, born), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(ovl_xattr_get_origin(&layer, fd, &others[i],
		                                      &id),
		                 -ENODATA);
	ck_assert_uint_eq(id.fileid, 42);
}
END_TEST

START_TEST(an_origin_that_makes_no_sense_is_none)
{
	unsigned char value[41] = "";
	struct ovl_id id;
	int fd;

	if (!have_namespace(_i))
		tree_skip(NO_NAMESPACE);
	fd = tree_open("file", O_PATH);
	ovl_xattr_set_origin(&layer, fd, &self, born);
	ovl_xattr_get(&layer, fd, OVL_XATTR_ORIGIN, value, 40);
	for (size_t len = 0; len <= 41; len++) {
		ovl_xattr_set(&layer, fd, OVL_XATTR_ORIGIN, value, len);
		ck_assert_int_eq(ovl_xattr_get_origin(&layer, fd, &self, &id),
		                 len == 40 ? 0 : -ENODATA);
	}
	value[7] = 2; /* a form to come */
	ovl_xattr_set(&layer, fd, OVL_XATTR_ORIGIN, value, 40);
	ck_assert_int_eq(ovl_xattr_get_origin(&layer, fd, &self, &id),
	                 -ENODATA);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("xattr");

	tcase_add_loop_test(tcase, attributes_are_kept_in_the_namespace, 0, 2);
	tcase_add_loop_test(tcase, a_symlinks_attributes_are_its_own, 0, 2);
	tcase_add_loop_test(tcase, what_can_have_no_attributes_has_none, 0, 2);
	tcase_add_test(tcase, overlays_own_are_private_and_nothing_else);
	tcase_add_loop_test(tcase, opaque_is_the_kernels_y, 0, 2);
	tcase_add_loop_test(tcase, an_origin_is_read_as_it_was_set, 0, 2);
	tcase_add_loop_test(
		tcase, an_origins_bytes_are_the_same_on_every_machine, 0, 2);
	tcase_add_loop_test(tcase, an_origin_on_another_inode_is_not_believed,
	                    0, 2);
	tcase_add_loop_test(tcase, an_origin_that_makes_no_sense_is_none, 0, 2);
	return tree_run(suite_create("xattr"), tcase);
}
