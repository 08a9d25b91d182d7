#include "config.h"

#include "server/handle.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/everybody.h"
#include "tests/unit/fake_ovl.h"

static struct ovl one = { .id = 0x11223344556677, .key = "0123456789abcde" };
static struct ovl two = { .id = 0x11223344556678, .key = "edcba9876543210" };
static const struct ovl_id id = { .fileid = 0x0123456789abcdef,
	                          .generation = 0xfedcba9876543210 };
static struct nfsd_exports *exports;

static void setup(void)
{
	const struct nfsd_access access = { 0 };

	exports = nfsd_exports_new(NULL, NULL);
	ck_assert_ptr_nonnull(exports);
	ck_assert_int_eq(add_for_everybody(exports, "/one", &one, &access), 0);
	ck_assert_int_eq(add_for_everybody(exports, "/two", &two, &access), 0);
}

static void teardown(void)
{
	nfsd_exports_free(exports);
}

static void encode(unsigned char *handle)
{
	nfsd_handle_encode(nfsd_exports_get(exports, 0), id, handle);
}

static int decode(const void *handle, size_t len)
{
	const struct nfsd_export *export;
	struct ovl_id got;

	return nfsd_handle_decode(exports, handle, len, &export, &got);
}

START_TEST(a_handle_names_its_export_and_object)
{
	unsigned char handle[NFSD_HANDLE_BYTES];
	const struct nfsd_export *export;
	struct ovl_id got;

	encode(handle);
	ck_assert_int_eq(nfsd_handle_decode(exports, handle, sizeof(handle),
	                                    &export, &got),
	                 0);
	ck_assert_str_eq(export->point->path, "/one");
	ck_assert_uint_eq(got.fileid, id.fileid);
	ck_assert_uint_eq(got.generation, id.generation);
}
END_TEST

START_TEST(an_object_has_one_handle)
{
	unsigned char a[NFSD_HANDLE_BYTES], b[NFSD_HANDLE_BYTES];

	encode(a);
	encode(b);
	ck_assert_mem_eq(a, b, sizeof(a));
}
END_TEST

/* Handles outlive servers: what is on the wire never changes. */
START_TEST(the_layout_is_fixed)
{
	const unsigned char head[] = {
		0x01, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
		0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10,
	};
	unsigned char handle[NFSD_HANDLE_BYTES];

	encode(handle);
	ck_assert_mem_eq(handle, head, sizeof(head));
}
END_TEST

START_TEST(any_flipped_bit_is_found)
{
	unsigned char handle[NFSD_HANDLE_BYTES];

	for (size_t bit = 0; bit < 8 * sizeof(handle); bit++) {
		encode(handle);
		handle[bit / 8] ^= (unsigned char)(1u << bit % 8);
		ck_assert_int_eq(decode(handle, sizeof(handle)), -EBADFD);
	}
}
END_TEST

START_TEST(any_other_size_is_refused)
{
	unsigned char handle[64] = { 0 };

	encode(handle);
	for (size_t len = 0; len <= sizeof(handle); len++)
		ck_assert_int_eq(decode(handle, len),
		                 len == NFSD_HANDLE_BYTES ? 0 : -EBADFD);
}
END_TEST

/* With the head of another export, the MAC is still by the key of the first. */
START_TEST(a_handle_does_not_move_to_another_export)
{
	unsigned char handle[NFSD_HANDLE_BYTES], other[NFSD_HANDLE_BYTES];

	encode(handle);
	nfsd_handle_encode(nfsd_exports_get(exports, 1), id, other);
	memcpy(handle, other, 8);
	ck_assert_int_eq(decode(handle, sizeof(handle)), -EBADFD);
	ck_assert_int_eq(decode(other, sizeof(other)), 0);
}
END_TEST

START_TEST(an_export_that_is_not_there_is_refused)
{
	unsigned char handle[NFSD_HANDLE_BYTES];
	struct ovl gone = { .id = 42 };
	const struct nfsd_export export = { .id = 42, .handle_key = gone.key };

	nfsd_handle_encode(&export, id, handle);
	ck_assert_int_eq(decode(handle, sizeof(handle)), -EBADFD);
}
END_TEST

START_TEST(failure_leaves_the_results_alone)
{
	const struct nfsd_export *export = NULL;
	unsigned char handle[NFSD_HANDLE_BYTES];
	struct ovl_id got = { 7, 8 };

	encode(handle);
	handle[31] ^= 1;
	ck_assert_int_eq(nfsd_handle_decode(exports, handle, sizeof(handle),
	                                    &export, &got),
	                 -EBADFD);
	ck_assert_ptr_null(export);
	ck_assert_uint_eq(got.fileid, 7);
	ck_assert_uint_eq(got.generation, 8);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handle");
	TCase *tcase = tcase_create("handle");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_handle_names_its_export_and_object);
	tcase_add_test(tcase, an_object_has_one_handle);
	tcase_add_test(tcase, the_layout_is_fixed);
	tcase_add_test(tcase, any_flipped_bit_is_found);
	tcase_add_test(tcase, any_other_size_is_refused);
	tcase_add_test(tcase, a_handle_does_not_move_to_another_export);
	tcase_add_test(tcase, an_export_that_is_not_there_is_refused);
	tcase_add_test(tcase, failure_leaves_the_results_alone);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
