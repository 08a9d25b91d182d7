#include "config.h"

#include "overlay/names.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/overlay.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

static const unsigned char key[OVL_KEY_BYTES] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
};

/* ---- weak hashes --------------------------------------------------------- */

static uint64_t hash_zero(const unsigned char *k, const char *name, size_t len)
{
	(void)k, (void)name, (void)len;
	return 0;
}

static uint64_t hash_ones(const unsigned char *k, const char *name, size_t len)
{
	(void)k, (void)name, (void)len;
	return UINT64_MAX;
}

/* The number in the name over seven: seven names share a hash. */
static uint64_t hash_sevenths(const unsigned char *k, const char *name,
                              size_t len)
{
	(void)k, (void)len;
	return strtoul(name + 1, NULL, 10) / 7;
}

/* ---- failing allocations (the linker's --wrap) --------------------------- */

static unsigned fail_every; /* 0: never */
static uint64_t fail_state;
static bool failing; /* check allocates, too */

void *__real_malloc(size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
	if (failing && test_random(&fail_state) % fail_every == 0)
		return NULL;
	return __real_malloc(size);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
	if (failing && test_random(&fail_state) % fail_every == 0)
		return NULL;
	return __real_reallocarray(old, n, size);
}

/* ---- helpers ------------------------------------------------------------- */

static struct ovl_names *new_set(ovl_hash_fn *hash, unsigned first_tie)
{
	struct ovl_names *set = ovl_names_new(hash, key, first_tie);

	ck_assert_ptr_nonnull(set);
	return set;
}

static int put(struct ovl_names *set, const char *name, uint64_t fileid)
{
	return ovl_names_put(set, name, strlen(name), 0, fileid, 3, DT_REG);
}

static int del(struct ovl_names *set, const char *name)
{
	return ovl_names_del(set, name, strlen(name));
}

static struct ovl_name *find(struct ovl_names *set, const char *name)
{
	return ovl_names_find(set, name, strlen(name));
}

static uint64_t cookie_of(struct ovl_names *set, const char *name)
{
	struct ovl_name *record = find(set, name);

	ck_assert_ptr_nonnull(record);
	return record->cookie;
}

static const char *numbered(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "n%u", i);
	return name;
}

/* ---- cookies ------------------------------------------------------------- */

START_TEST(hash_is_siphash_2_4)
{
	/* The vector of the SipHash paper: cookies must never change. */
	char message[15];
	int i;

	for (i = 0; i < 15; i++)
		message[i] = i;
	ck_assert_uint_eq(ovl_names_hash(key, message, sizeof(message)),
	                  UINT64_C(0xa129ca6149be45e5));
}
END_TEST

START_TEST(cookies_are_16_or_more_and_never_have_the_top_bit)
{
	struct ovl_names *zero = new_set(hash_zero, 0);
	struct ovl_names *ones = new_set(hash_ones, 15);
	int i;

	for (i = 0; i < 16; i++) {
		ck_assert_int_eq(put(zero, numbered(i), 1), 0);
		ck_assert_int_eq(put(ones, numbered(i), 1), 0);
		ck_assert_uint_ge(cookie_of(zero, numbered(i)), 16);
		ck_assert_uint_le(cookie_of(ones, numbered(i)), INT64_MAX);
	}
	ovl_names_free(zero);
	ovl_names_free(ones);
}
END_TEST

/* The set remembers what it was asked for last, of short names. */
START_TEST(a_name_is_told_from_the_one_asked_for_before)
{
	struct ovl_names *set = new_set(ovl_names_hash, 0);
	char name[60];
	size_t len;

	memset(name, 'n', sizeof(name));
	for (len = 1; len < sizeof(name); len++) {
		name[len] = '\0';
		ck_assert_ptr_null(find(set, name));
		ck_assert_int_eq(put(set, name, len), 0);
		name[len - 1] = 'm';
		ck_assert_ptr_null(find(set, name));
		name[len - 1] = 'n';
		ck_assert_uint_eq(find(set, name)->fileid, len);
		ck_assert_uint_eq(cookie_of(set, name) >> 4,
		                  ovl_names_hash(key, name, len) &
		                          ((UINT64_C(1) << 59) - 1));
		name[len] = 'n';
	}
	ovl_names_free(set);
}
END_TEST

START_TEST(a_name_has_the_same_cookie_in_every_set_of_one_key)
{
	struct ovl_names *one = new_set(ovl_names_hash, 0);
	struct ovl_names *other = new_set(ovl_names_hash, 0);
	int i;

	for (i = 0; i < 500; i++)
		ck_assert_int_eq(put(one, numbered(i), 1), 0);
	for (i = 499; i >= 0; i--)
		ck_assert_int_eq(put(other, numbered(i), 2), 0);
	for (i = 0; i < 500; i++)
		ck_assert_uint_eq(cookie_of(one, numbered(i)),
		                  cookie_of(other, numbered(i)));
	ovl_names_free(one);
	ovl_names_free(other);
}
END_TEST

START_TEST(names_of_one_hash_have_cookies_of_their_own)
{
	struct ovl_names *set = new_set(hash_ones, 0);
	uint64_t cookie = 0;
	struct ovl_name *record;
	int i, seen = 0;

	for (i = 0; i < 16; i++)
		ck_assert_int_eq(put(set, numbered(i), i + 1), 0);
	while ((record = ovl_names_after(set, cookie))) {
		ck_assert_uint_gt(record->cookie, cookie);
		cookie = record->cookie;
		seen++;
	}
	ck_assert_int_eq(seen, 16);
	for (i = 0; i < 16; i++)
		ck_assert_uint_eq(find(set, numbered(i))->fileid, i + 1);
	ovl_names_free(set);
}
END_TEST

START_TEST(the_seventeenth_name_of_one_hash_overflows)
{
	struct ovl_names *set = new_set(hash_ones, 5);
	uint64_t cookie;
	int i;

	for (i = 0; i < 16; i++)
		ck_assert_int_eq(put(set, numbered(i), 1), 0);
	ck_assert_int_eq(put(set, "late", 1), -EOVERFLOW);
	ck_assert_ptr_null(find(set, "late"));
	ck_assert_uint_eq(ovl_names_count(set), 16);

	ck_assert_int_eq(put(set, numbered(7), 9), 0); /* is there already */
	cookie = cookie_of(set, numbered(7));
	ck_assert_int_eq(del(set, numbered(7)), 0);
	ck_assert_int_eq(put(set, "late", 1), 0);
	ck_assert_uint_eq(cookie_of(set, "late"), cookie);
	ovl_names_free(set);
}
END_TEST

START_TEST(ties_are_tried_from_the_first_one_upwards_and_around)
{
	struct ovl_names *set = new_set(hash_ones, 14);

	ck_assert_int_eq(put(set, "a", 1), 0);
	ck_assert_int_eq(put(set, "b", 1), 0);
	ck_assert_int_eq(put(set, "c", 1), 0);
	ck_assert_uint_eq(cookie_of(set, "a") % 16, 14);
	ck_assert_uint_eq(cookie_of(set, "b") % 16, 15);
	ck_assert_uint_eq(cookie_of(set, "c") % 16, 0);
	ovl_names_free(set);
}
END_TEST

START_TEST(a_cookie_asked_for_is_given_if_it_is_free)
{
	struct ovl_names *set = new_set(hash_ones, 0);
	uint64_t base, wanted;

	ck_assert_int_eq(put(set, "a", 1), 0);
	base = cookie_of(set, "a");
	wanted = base + 9;
	ck_assert_int_eq(ovl_names_put(set, "b", 1, wanted, 1, 0, DT_DIR), 0);
	ck_assert_uint_eq(cookie_of(set, "b"), wanted);
	ck_assert_int_eq(ovl_names_put(set, "c", 1, wanted, 1, 0, DT_DIR), 0);
	ck_assert_uint_eq(cookie_of(set, "c"), base + 1);
	ovl_names_free(set);
}
END_TEST

/* ---- the set ------------------------------------------------------------- */

START_TEST(an_empty_set_has_nothing)
{
	struct ovl_names *set = new_set(ovl_names_hash, 0);
	struct ovl_names_iter iter = ovl_names_iter(set, 0);

	ck_assert_ptr_null(ovl_names_next(&iter));
	ck_assert_ptr_null(ovl_names_next(&iter));
	ck_assert_ptr_null(ovl_names_after(set, 0));
	ck_assert_ptr_null(find(set, "a"));
	ck_assert_int_eq(del(set, "a"), -ENOENT);
	ck_assert_uint_eq(ovl_names_count(set), 0);
	ovl_names_free(set);
	ovl_names_free(NULL);
}
END_TEST

START_TEST(replacing_keeps_the_cookie)
{
	struct ovl_names *set = new_set(hash_ones, 0);
	struct ovl_name *record;
	uint64_t cookie;

	ck_assert_int_eq(put(set, "other", 1), 0);
	ck_assert_int_eq(put(set, "name", 1), 0);
	cookie = cookie_of(set, "name");
	ck_assert_int_eq(del(set, "other"), 0); /* frees a lower tie */
	ck_assert_int_eq(ovl_names_put(set, "name", 4, 0, 77, 400, DT_LNK), 0);
	record = find(set, "name");
	ck_assert_uint_eq(record->cookie, cookie);
	ck_assert_uint_eq(record->fileid, 77);
	ck_assert_uint_eq(record->part, 400);
	ck_assert_uint_eq(record->type, DT_LNK);
	ck_assert_uint_eq(ovl_names_count(set), 1);
	ovl_names_free(set);
}
END_TEST

START_TEST(names_are_told_apart_by_all_their_bytes)
{
	struct ovl_names *set = new_set(hash_ones, 0);
	char longest[256];

	memset(longest, 'x', 255);
	longest[255] = '\0';
	ck_assert_int_eq(put(set, "a", 1), 0);
	ck_assert_int_eq(put(set, "ab", 2), 0);
	ck_assert_int_eq(put(set, longest, 3), 0);
	longest[254] = 'y';
	ck_assert_int_eq(put(set, longest, 4), 0);
	ck_assert_uint_eq(find(set, "a")->fileid, 1);
	ck_assert_uint_eq(find(set, "ab")->fileid, 2);
	ck_assert_uint_eq(find(set, longest)->fileid, 4);
	ck_assert_str_eq(find(set, longest)->name, longest);
	ck_assert_uint_eq(find(set, longest)->len, 255);
	ck_assert_ptr_null(find(set, "abc"));
	ovl_names_free(set);
}
END_TEST

START_TEST(a_deleted_cookie_resumes_after_it)
{
	struct ovl_names *set = new_set(ovl_names_hash, 0);
	struct ovl_name *record;
	uint64_t cookie, next;
	int i;

	for (i = 0; i < 1000; i++)
		ck_assert_int_eq(put(set, numbered(i), 1), 0);
	for (i = 0; i < 999; i++) {
		record = ovl_names_after(set, 0);
		cookie = record->cookie;
		next = ovl_names_after(set, cookie)->cookie;
		ck_assert_int_eq(ovl_names_del(set, record->name, record->len),
		                 0);
		ck_assert_uint_eq(ovl_names_after(set, cookie)->cookie, next);
	}
	ovl_names_free(set);
}
END_TEST

START_TEST(memory_is_under_64_bytes_a_name_beyond_the_name)
{
	struct ovl_names *set = new_set(ovl_names_hash, 0);
	size_t empty = ovl_names_bytes(set), name_bytes = 0;
	unsigned i, n = 100000;

	for (i = 0; i < n; i++) {
		ck_assert_int_eq(put(set, numbered(i), 1), 0);
		name_bytes += strlen(numbered(i));
	}
	ck_assert_uint_lt(ovl_names_bytes(set), 64 * n + name_bytes);

	/* Also after most of them have gone. */
	for (i = 0; i < n; i++) {
		if (i % 50 == 0)
			continue;
		ck_assert_int_eq(del(set, numbered(i)), 0);
	}
	ck_assert_uint_lt(ovl_names_bytes(set), (64 + 16) * (n / 50) + 65536);
	for (i = 0; i < n; i += 50)
		ck_assert_int_eq(del(set, numbered(i)), 0);
	ck_assert_uint_lt(ovl_names_bytes(set), empty + 65536);
	ovl_names_free(set);
}
END_TEST

/* ---- against a model ----------------------------------------------------- */

#define MODEL_NAMES 3000

struct model {
	bool there[MODEL_NAMES];
	uint64_t cookie[MODEL_NAMES];
	uint64_t fileid[MODEL_NAMES];
	size_t count;
};

static unsigned number_of(const struct ovl_name *record)
{
	return strtoul(record->name + 1, NULL, 10);
}

/* The set holds what the model holds, once each, in order of cookies. */
static void compare(struct ovl_names *set, const struct model *model)
{
	struct ovl_names_iter iter = ovl_names_iter(set, 0);
	struct ovl_name *record;
	uint64_t last = 15;
	size_t count = 0;
	unsigned i;

	while ((record = ovl_names_next(&iter))) {
		i = number_of(record);
		ck_assert(model->there[i]);
		ck_assert_uint_eq(record->cookie, model->cookie[i]);
		ck_assert_uint_eq(record->fileid, model->fileid[i]);
		ck_assert_uint_gt(record->cookie, last);
		last = record->cookie;
		count++;
	}
	ck_assert_uint_eq(count, model->count);
	ck_assert_uint_eq(ovl_names_count(set), model->count);
}

/* Insert, replace or delete one name in both. */
static void step(struct ovl_names *set, struct model *model, uint64_t *random,
                 unsigned inserts)
{
	unsigned i = test_random(random) % MODEL_NAMES;
	uint64_t fileid = test_random(random);
	const char *name = numbered(i);
	int ret;

	if (test_random(random) % 100 >= inserts) {
		ret = del(set, name);
		ck_assert_int_eq(ret, model->there[i] ? 0 : -ENOENT);
		model->count -= model->there[i];
		model->there[i] = false;
		return;
	}
	failing = fail_every > 0;
	ret = put(set, name, fileid);
	failing = false;
	if (ret < 0) {
		ck_assert_int_eq(ret, -ENOMEM);
		ck_assert(fail_every && !model->there[i]);
		return;
	}
	if (!model->there[i])
		model->cookie[i] = cookie_of(set, name);
	ck_assert_uint_eq(cookie_of(set, name), model->cookie[i]);
	model->count += !model->there[i];
	model->there[i] = true;
	model->fileid[i] = fileid;
}

static void run_model(ovl_hash_fn *hash, unsigned fail_one_in)
{
	uint64_t random = test_seed();
	struct ovl_names *set = new_set(hash, random % 16);
	struct model *model = calloc(1, sizeof(*model));
	size_t empty = ovl_names_bytes(set);
	unsigned phase, i;

	fail_state = random;
	fail_every = fail_one_in;
	for (phase = 0; phase < 20; phase++) {
		/* It grows and shrinks in turn, down to very few. */
		for (i = 0; i < 4000; i++)
			step(set, model, &random, phase % 2 ? 3 : 80);
		compare(set, model);
	}
	for (i = 0; i < MODEL_NAMES; i++)
		del(set, numbered(i));
	ck_assert_uint_eq(ovl_names_count(set), 0);
	ck_assert_ptr_null(ovl_names_after(set, 0));
	ck_assert_uint_le(ovl_names_bytes(set), empty + 8192);
	free(model);
	ovl_names_free(set);
}

START_TEST(random_changes_agree_with_a_model)
{
	run_model(ovl_names_hash, 0);
}
END_TEST

START_TEST(random_changes_agree_with_a_model_when_hashes_collide)
{
	run_model(hash_sevenths, 0);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
	run_model(hash_sevenths, 5);
}
END_TEST

/* ---- listing while it changes -------------------------------------------- */

/*
 * Take a page of `n` names after `cookie`, and on to the end of the last one's
 * hash, as a listing does. `seen` counts; false: the end was reached.
 */
static bool take_page(struct ovl_names *set, uint64_t *cookie, unsigned n,
                      unsigned char *seen)
{
	struct ovl_names_iter iter = ovl_names_iter(set, *cookie);
	struct ovl_name *record;
	unsigned i;

	for (i = 0; (record = ovl_names_next(&iter)); i++) {
		if (i >= n && record->cookie >> 4 != *cookie >> 4)
			return true;
		seen[number_of(record)]++;
		*cookie = record->cookie;
	}
	return false;
}

/* The even names stay; odd ones come and go between the pages. */
static void list_while_changing(ovl_hash_fn *hash)
{
	uint64_t random = test_seed(), cookie = 0;
	struct ovl_names *set = new_set(hash, 0);
	unsigned char seen[MODEL_NAMES] = { 0 };
	unsigned i, j;
	bool more;

	for (i = 0; i < MODEL_NAMES; i += 2)
		ck_assert_int_eq(put(set, numbered(i), 1), 0);
	do {
		more = take_page(set, &cookie, 1 + test_random(&random) % 30,
		                 seen);
		for (j = 0; j < 200; j++) {
			i = test_random(&random) % MODEL_NAMES | 1;
			if (test_random(&random) % 2)
				ck_assert_int_eq(put(set, numbered(i), 1), 0);
			else
				del(set, numbered(i));
		}
	} while (more);
	/* One that goes and comes back in a crowd of one hash is a new one. */
	for (i = 0; i < MODEL_NAMES; i += 2)
		ck_assert_uint_eq(seen[i], 1);
	ovl_names_free(set);
}

START_TEST(listing_while_names_change_neither_repeats_nor_skips_a_survivor)
{
	list_while_changing(ovl_names_hash);
	list_while_changing(hash_sevenths);
}
END_TEST

/* rm -r: list a page, delete what it named, go on from its last cookie. */
START_TEST(deleting_while_listing_deletes_all)
{
	struct ovl_names *set = new_set(hash_sevenths, 0);
	unsigned char seen[MODEL_NAMES];
	uint64_t cookie = 0;
	unsigned i;
	bool more;

	for (i = 0; i < MODEL_NAMES; i++)
		ck_assert_int_eq(put(set, numbered(i), 1), 0);
	do {
		memset(seen, 0, sizeof(seen));
		more = take_page(set, &cookie, 20, seen);
		for (i = 0; i < MODEL_NAMES; i++) {
			if (seen[i])
				ck_assert_int_eq(del(set, numbered(i)), 0);
		}
	} while (more);
	ck_assert_uint_eq(ovl_names_count(set), 0);
	ovl_names_free(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tcase = tcase_create("names");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, hash_is_siphash_2_4);
	tcase_add_test(tcase,
	               cookies_are_16_or_more_and_never_have_the_top_bit);
	tcase_add_test(tcase, a_name_is_told_from_the_one_asked_for_before);
	tcase_add_test(tcase,
	               a_name_has_the_same_cookie_in_every_set_of_one_key);
	tcase_add_test(tcase, names_of_one_hash_have_cookies_of_their_own);
	tcase_add_test(tcase, the_seventeenth_name_of_one_hash_overflows);
	tcase_add_test(tcase,
	               ties_are_tried_from_the_first_one_upwards_and_around);
	tcase_add_test(tcase, a_cookie_asked_for_is_given_if_it_is_free);
	tcase_add_test(tcase, an_empty_set_has_nothing);
	tcase_add_test(tcase, replacing_keeps_the_cookie);
	tcase_add_test(tcase, names_are_told_apart_by_all_their_bytes);
	tcase_add_test(tcase, a_deleted_cookie_resumes_after_it);
	tcase_add_test(tcase, memory_is_under_64_bytes_a_name_beyond_the_name);
	tcase_add_test(tcase, random_changes_agree_with_a_model);
	tcase_add_test(tcase,
	               random_changes_agree_with_a_model_when_hashes_collide);
	tcase_add_test(tcase, without_memory_nothing_changes);
	tcase_add_test(
		tcase,
		listing_while_names_change_neither_repeats_nor_skips_a_survivor);
	tcase_add_test(tcase, deleting_while_listing_deletes_all);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
