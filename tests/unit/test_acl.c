/*
 * POSIX ACLs as values, and as they are kept with files. The kernel says what
 * makes sense, and what is inherited.
 */
#include "config.h"

#include "overlay/acl.h"

#include <sys/stat.h>

#include "overlay/layer.h"
#include "tests/unit/acls.h"
#include "tests/unit/tree.h"

#define ROUNDS 500
#define MANY 100 /* entries */

static struct ovl_layer layer = { .has_acls = true };
static uint64_t state;

static unsigned pick(unsigned n)
{
	return test_random(&state) % n;
}

static int parse(const struct acls *acls, struct ovl_acl **acl)
{
	unsigned char bytes[ACLS_SIZE];
	size_t size = acls_encode(acls, bytes);
	/* Of the very size, so that a read beyond it is noticed. */
	unsigned char *exact = malloc(size);
	int err;

	memcpy(exact, bytes, size);
	err = ovl_acl_parse(exact, size, acl);
	free(exact);
	return err;
}

/* ---- the binary form ----------------------------------------------------- */

START_TEST(what_is_parsed_is_encoded_the_same)
{
	unsigned char bytes[ACLS_SIZE], again[ACLS_SIZE];
	struct ovl_acl *acl;
	struct acls acls;
	size_t size;

	state = test_seed();
	for (unsigned i = 0; i < ROUNDS; i++) {
		acls = acls_random(&state);
		size = acls_encode(&acls, bytes);
		ck_assert_int_eq(parse(&acls, &acl), 0);
		ck_assert_uint_eq(acl->n, acls.n);
		ck_assert_uint_eq(ovl_acl_size(acl), size);
		ovl_acl_encode(acl, again);
		ck_assert_mem_eq(again, bytes, size);
		ovl_acl_unref(acl);
	}
}
END_TEST

START_TEST(no_size_and_no_version_is_believed)
{
	static const unsigned char version_3[4] = { 3 };
	static unsigned char big[XATTR_SIZE_MAX + 12] = { 2 };
	struct ovl_acl *acl = NULL;
	unsigned char bytes[ACLS_SIZE];
	struct acls acls = acls_with_user(0640, 1, 7);
	size_t size = acls_encode(&acls, bytes);

	for (size_t cut = 0; cut < size; cut++) {
		if (cut != 4)
			ck_assert_int_eq(ovl_acl_parse(bytes, cut, &acl), -EIO);
	}
	ck_assert_int_eq(ovl_acl_parse(big, sizeof(big), &acl), -EIO);
	ck_assert_int_eq(ovl_acl_parse(version_3, 4, &acl), -EIO);
	ck_assert_ptr_null(acl);
}
END_TEST

START_TEST(one_without_entries_is_none)
{
	struct ovl_acl *acl = (struct ovl_acl *)&layer;

	ck_assert_int_eq(ovl_acl_parse("\2\0\0", 4, &acl), 0);
	ck_assert_ptr_null(acl);
	ck_assert_ptr_null(ovl_acl_ref(NULL));
	ovl_acl_unref(NULL);
}
END_TEST

/* Spoil one that makes sense, or leave it. */
static void spoil(struct acls *acls)
{
	static const uint16_t tags[] = { 0, 1, 2, 4, 8, 16, 32, 64, 3, 0x101 };
	struct ovl_acl_entry *a = &acls->entries[pick(acls->n)];
	struct ovl_acl_entry *b = &acls->entries[pick(acls->n)], entry = *a;

	switch (pick(6)) {
	case 0:
		*a = *b;
		*b = entry;
		break;
	case 1:
		*a = *b;
		break;
	case 2:
		a->tag = tags[pick(10)];
		a->id = 1001;
		break;
	case 3:
		a->perm = 1 << pick(16);
		break;
	case 4:
		*a = acls->entries[--acls->n];
		break;
	default:
		break;
	}
}

START_TEST(the_kernel_takes_the_same)
{
	unsigned taken = 0, refused = 0;
	struct ovl_acl *acl;
	struct acls acls;
	int err, kernels;

	tree_file("file", "");
	if (!ovl_acl_supported(tree))
		tree_skip("no ACLs here");
	state = test_seed();
	for (unsigned i = 0; i < ROUNDS; i++) {
		acls = acls_random(&state);
		for (unsigned j = pick(3); j > 0; j--)
			spoil(&acls);
		acl = NULL;
		err = parse(&acls, &acl);
		ovl_acl_unref(acl);
		kernels = acls_set(tree_at("file"), ACLS_ACCESS, &acls);
		ck_assert_msg(!err == !kernels,
		              "round %u: the kernel says %d, we %d", i, kernels,
		              err);
		if (err)
			ck_assert_int_eq(err, -EIO);
		taken += !err;
		refused += !!err;
	}
	ck_assert_uint_gt(taken, 0);
	ck_assert_uint_gt(refused, 0);
}
END_TEST

/* ---- inheritance --------------------------------------------------------- */

static struct ovl_acl *load(const char *name, enum ovl_acl_kind kind)
{
	int fd = tree_open(name, O_PATH);
	struct ovl_acl *acl;

	ck_assert_int_eq(ovl_acl_load(&layer, fd, kind, &acl), 0);
	close(fd);
	return acl;
}

static bool same(const struct ovl_acl *a, const struct ovl_acl *b)
{
	if (!a || !b)
		return a == b;
	return a->n == b->n &&
	       !memcmp(a->entries, b->entries, a->n * sizeof(a->entries[0]));
}

static void make(const char *name, unsigned how, uint32_t mode)
{
	switch (how) {
	case 0:
		close(openat(tree, name, O_CREAT | O_EXCL | O_WRONLY, mode));
		break;
	case 1:
		ck_assert_int_eq(mkdirat(tree, name, mode), 0);
		break;
	default:
		ck_assert_int_eq(mkfifoat(tree, name, mode), 0);
	}
}

START_TEST(the_kernel_hands_on_the_same)
{
	struct ovl_acl *inherited, *ours, *kernels;
	struct acls acls;
	uint32_t mode;
	struct stat st;

	tree_mkdir("dir");
	if (!ovl_acl_supported(tree))
		tree_skip("no ACLs here");
	state = test_seed();
	umask(027); /* of no account */
	for (unsigned i = 0; i < ROUNDS; i++) {
		acls = acls_random(&state);
		ck_assert_int_eq(acls_set(tree_at("dir"), ACLS_DEFAULT, &acls),
		                 0);
		mode = pick(01000);
		make("dir/new", i % 3, mode);
		ck_assert_int_eq(fstatat(tree, "dir/new", &st, 0), 0);
		inherited = load("dir", OVL_ACL_DEFAULT);
		kernels = load("dir/new", OVL_ACL_ACCESS);
		ck_assert_int_eq(ovl_acl_inherit(inherited, &mode, &ours), 0);
		ck_assert_uint_eq(mode, st.st_mode & 07777);
		ck_assert(same(ours, kernels));
		ovl_acl_unref(inherited);
		ovl_acl_unref(ours);
		ovl_acl_unref(kernels);
		ck_assert_int_eq(unlinkat(tree, "dir/new",
		                          i % 3 == 1 ? AT_REMOVEDIR : 0),
		                 0);
	}
}
END_TEST

START_TEST(inheriting_leaves_the_rest_of_the_mode)
{
	struct acls acls = acls_with_user(0750, 1001, 6);
	struct ovl_acl *inherited, *access;
	uint32_t mode = S_IFDIR | 03775;

	ck_assert_int_eq(parse(&acls, &inherited), 0);
	ck_assert_int_eq(ovl_acl_inherit(inherited, &mode, &access), 0);
	ck_assert_uint_eq(mode, S_IFDIR | 03770);
	ovl_acl_unref(access);
	ovl_acl_unref(inherited);
}
END_TEST

/* ---- with a file ---------------------------------------------------------- */

START_TEST(what_is_stored_is_loaded)
{
	static const enum ovl_acl_kind kinds[] = { OVL_ACL_ACCESS,
		                                   OVL_ACL_DEFAULT };
	struct acls acls = acls_with_user(0640, 1001, 7);
	struct ovl_acl *acl, *loaded;
	int fd;

	tree_mkdir("dir");
	if (!ovl_acl_supported(tree))
		tree_skip("no ACLs here");
	ck_assert_int_eq(parse(&acls, &acl), 0);
	fd = tree_open("dir", O_PATH);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(ovl_acl_store(&layer, fd, kinds[i], acl), 0);
		loaded = load("dir", kinds[i]);
		ck_assert(same(acl, loaded));
		ovl_acl_unref(loaded);
	}
	close(fd);
	ovl_acl_unref(acl);
}
END_TEST

START_TEST(one_of_many_entries_is_loaded)
{
	struct acls acls = acls_with_user(0640, 1, 7);
	struct ovl_acl *acl;
	unsigned char bytes[4 + 8 * MANY] = { 2 };
	unsigned char small[ACLS_SIZE];

	tree_file("file", "");
	if (!ovl_acl_supported(tree))
		tree_skip("no ACLs here");
	/* The user's entry, time and again. */
	acls_encode(&acls, small);
	memcpy(bytes + 4, small + 4, 8);
	for (unsigned i = 1; i < MANY - 3; i++) {
		memcpy(bytes + 4 + 8 * i, small + 4 + 8, 8);
		bytes[4 + 8 * i + 4] = i;
	}
	memcpy(bytes + sizeof(bytes) - 24, small + 4 + 16, 24);
	ck_assert_int_eq(setxattr(tree_at("file"), ACLS_ACCESS, bytes,
	                          sizeof(bytes), 0),
	                 0);
	acl = load("file", OVL_ACL_ACCESS);
	ck_assert_ptr_nonnull(acl);
	ck_assert_uint_eq(acl->n, MANY);
	ck_assert_uint_eq(acl->entries[MANY - 4].id, MANY - 4);
	ovl_acl_unref(acl);
}
END_TEST

START_TEST(what_the_mode_says_is_no_acl)
{
	struct acls acls = { .n = 0 };

	acls_add(&acls, ACL_USER_OBJ, -1, 7);
	acls_add(&acls, ACL_GROUP_OBJ, -1, 5);
	acls_add(&acls, ACL_OTHER, -1, 0);
	tree_file("file", "");
	if (!ovl_acl_supported(tree))
		tree_skip("no ACLs here");
	ck_assert_int_eq(acls_set(tree_at("file"), ACLS_ACCESS, &acls), 0);
	ck_assert_ptr_null(load("file", OVL_ACL_ACCESS));
	ck_assert_ptr_null(load("file", OVL_ACL_DEFAULT));
}
END_TEST

START_TEST(where_there_can_be_none_there_is_none)
{
	struct acls acls = acls_with_user(0640, 1, 7);
	struct ovl_layer without = { .has_acls = false };
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ovl_acl *acl;

	ck_assert(!ovl_acl_supported(fd));
	ck_assert_int_eq(ovl_acl_load(&layer, fd, OVL_ACL_ACCESS, &acl), 0);
	ck_assert_ptr_null(acl);
	ck_assert_int_eq(ovl_acl_load(&without, fd, OVL_ACL_DEFAULT, &acl), 0);
	ck_assert_ptr_null(acl);
	ck_assert_int_eq(parse(&acls, &acl), 0);
	ck_assert_int_eq(ovl_acl_store(&layer, fd, OVL_ACL_ACCESS, acl),
	                 -EOPNOTSUPP);
	ck_assert_int_eq(ovl_acl_store(&without, fd, OVL_ACL_ACCESS, acl),
	                 -EOPNOTSUPP);
	ovl_acl_unref(acl);
	close(fd);
	/* A symlink has none of its own, and its target's are not its. */
	tree_file("file", "");
	ck_assert_int_eq(symlinkat("file", tree, "link"), 0);
	if (!ovl_acl_supported(tree))
		tree_skip("no ACLs here");
	ck_assert_ptr_null(load("link", OVL_ACL_ACCESS));
	ck_assert(ovl_acl_supported(tree));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acl");
	TCase *tcase = tcase_create("acl");

	tcase_add_test(tcase, what_is_parsed_is_encoded_the_same);
	tcase_add_test(tcase, no_size_and_no_version_is_believed);
	tcase_add_test(tcase, one_without_entries_is_none);
	tcase_add_test(tcase, the_kernel_takes_the_same);
	tcase_add_test(tcase, the_kernel_hands_on_the_same);
	tcase_add_test(tcase, inheriting_leaves_the_rest_of_the_mode);
	tcase_add_test(tcase, what_is_stored_is_loaded);
	tcase_add_test(tcase, one_of_many_entries_is_loaded);
	tcase_add_test(tcase, what_the_mode_says_is_no_acl);
	tcase_add_test(tcase, where_there_can_be_none_there_is_none);
	return tree_run(suite, tcase);
}
