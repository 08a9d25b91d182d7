#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define NAMES 300 /* in "many", besides "." and ".." */
#define MAX_SEEN 1024
#define MIB (1u << 20)

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void start(const char *options)
{
	fixture_start(fixture, options, false);
	client = fixture->client;
	root = nfs_root(client);
}

/* "many" is merged from two lowers, each with half of the names. */
static void setup(void)
{
	char path[64];

	fixture = fixture_new(2);
	fixture_mkdir(fixture, "lower0/many", 0755);
	fixture_mkdir(fixture, "lower1/many", 0755);
	for (int i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "lower%d/many/%0*d", i % 2,
		         1 + i % 40, i);
		fixture_write(fixture, path, "", 0644);
	}
	fixture_mkdir(fixture, "lower0/empty", 0755);
	fixture_mkdir(fixture, "lower0/closed", 0700);
	fixture_write(fixture, "lower0/file", "text", 0644);
	start(FIXTURE_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* ---- listings ------------------------------------------------------------- */

struct seen {
	size_t count, replies;
	struct {
		char name[256];
		uint64_t fileid, cookie;
	} entries[MAX_SEEN];
};

static void see(struct seen *seen, const char *name, uint64_t fileid,
                uint64_t cookie)
{
	ck_assert_uint_lt(seen->count, MAX_SEEN);
	for (size_t i = 0; i < seen->count; i++) {
		ck_assert_str_ne(seen->entries[i].name, name);
		ck_assert_uint_ne(seen->entries[i].cookie, cookie);
	}
	snprintf(seen->entries[seen->count].name, 256, "%s", name);
	seen->entries[seen->count].fileid = fileid;
	seen->entries[seen->count].cookie = cookie;
	seen->count++;
}

static const uint64_t *fileid_of(const struct seen *seen, const char *name)
{
	for (size_t i = 0; i < seen->count; i++)
		if (strcmp(seen->entries[i].name, name) == 0)
			return &seen->entries[i].fileid;
	return NULL;
}

/* What one reply's entries need; false at the end of the directory. */
static bool see_readdir(struct seen *seen, nfs_fh3 dir, uint64_t *cookie,
                        uint32_t count)
{
	READDIR3res *res = nfs_readdir(client, dir, *cookie, count);
	READDIR3resok *ok = &res->READDIR3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_le(client_result_bytes(client) - 4, count);
	ck_assert(ok->dir_attributes.attributes_follow);
	for (entry3 *e = ok->reply.entries; e != NULL; e = e->nextentry) {
		see(seen, e->name, e->fileid, e->cookie);
		*cookie = e->cookie;
	}
	ck_assert(ok->reply.eof || ok->reply.entries != NULL);
	seen->replies++;
	return !ok->reply.eof;
}

static bool see_readdirplus(struct seen *seen, nfs_fh3 dir, uint64_t *cookie,
                            uint32_t dircount, uint32_t maxcount)
{
	READDIRPLUS3res *res =
		nfs_readdirplus(client, dir, *cookie, dircount, maxcount);
	READDIRPLUS3resok *ok = &res->READDIRPLUS3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_le(client_result_bytes(client) - 4, maxcount);
	ck_assert(ok->dir_attributes.attributes_follow);
	for (entryplus3 *e = ok->reply.entries; e != NULL; e = e->nextentry) {
		see(seen, e->name, e->fileid, e->cookie);
		*cookie = e->cookie;
	}
	ck_assert(ok->reply.eof || ok->reply.entries != NULL);
	seen->replies++;
	return !ok->reply.eof;
}

static struct seen *list(nfs_fh3 dir, uint32_t count)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	uint64_t cookie = 0;

	ck_assert_ptr_nonnull(seen);
	while (see_readdir(seen, dir, &cookie, count))
		;
	return seen;
}

static struct seen *list_plus(nfs_fh3 dir, uint32_t dircount, uint32_t maxcount)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	uint64_t cookie = 0;

	ck_assert_ptr_nonnull(seen);
	while (see_readdirplus(seen, dir, &cookie, dircount, maxcount))
		;
	return seen;
}

/* ---- what is listed ------------------------------------------------------- */

START_TEST(every_name_is_listed_once_in_pages_of_any_size)
{
	static const uint32_t sizes[] = { 512, 1024, 4096, 8192, 65536, MIB };
	nfs_fh3 many = nfs_find(client, root, "many");
	struct seen *seen;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		seen = list(many, sizes[i]);
		ck_assert_uint_eq(seen->count, NAMES + 2);
		free(seen);
		seen = list_plus(many, sizes[i], sizes[i]);
		ck_assert_uint_eq(seen->count, NAMES + 2);
		free(seen);
	}
}
END_TEST

/* Trap 4. */
START_TEST(readdir_and_readdirplus_page_alike)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	struct seen *plain = list(many, 1000);
	struct seen *plus = list_plus(many, 500, 2000);

	ck_assert_uint_gt(plain->replies, 3);
	ck_assert_uint_gt(plus->replies, 3);
	ck_assert_uint_eq(plain->count, plus->count);
	for (size_t i = 0; i < plain->count; i++) {
		ck_assert_str_eq(plain->entries[i].name, plus->entries[i].name);
		ck_assert_uint_eq(plain->entries[i].cookie,
		                  plus->entries[i].cookie);
	}
	free(plain);
	free(plus);
}
END_TEST

START_TEST(dot_and_dotdot_come_first)
{
	struct seen *seen = list(nfs_find(client, root, "many"), 8192);

	ck_assert_str_eq(seen->entries[0].name, ".");
	ck_assert_str_eq(seen->entries[1].name, "..");
	ck_assert_uint_eq(seen->entries[1].fileid,
	                  nfs_attributes(client, root).fileid);
	free(seen);
	seen = list(root, 8192);
	ck_assert_uint_eq(seen->entries[0].fileid, seen->entries[1].fileid);
	free(seen);
}
END_TEST

/* Trap 7. */
START_TEST(an_object_has_one_fileid_everywhere)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	struct seen *plain, *plus;

	nfs_new_file(client, many, "new", 0644);
	nfs_put_text(client, nfs_find(client, many, "0"), "copied up");
	plain = list(many, 65536);
	plus = list_plus(many, 65536, 65536);
	for (size_t i = 0; i < plain->count; i++) {
		const char *name = plain->entries[i].name;
		uint64_t fileid = plain->entries[i].fileid;

		ck_assert_uint_eq(plus->entries[i].fileid, fileid);
		ck_assert_uint_eq(nfs_attributes(client,
		                                 nfs_find(client, many, name))
		                          .fileid,
		                  fileid);
	}
	free(plain);
	free(plus);
}
END_TEST

START_TEST(readdirplus_tells_what_lookup_and_getattr_tell)
{
	READDIRPLUS3res *res = nfs_readdirplus(client, root, 0, 65536, 65536);
	size_t with = 0, without = 0;

	ck_assert_int_eq(res->status, NFS3_OK);
	for (entryplus3 *e = res->READDIRPLUS3res_u.resok.reply.entries;
	     e != NULL; e = e->nextentry) {
		nfs_fh3 fh = nfs_find(client, root, e->name);

		ck_assert_int_eq(e->name_attributes.attributes_follow,
		                 e->name_handle.handle_follows);
		if (!e->name_attributes.attributes_follow) {
			without++;
			continue;
		}
		with++;
		nfs_assert_attr(&e->name_attributes, e->fileid);
		ck_assert_int_eq(
			e->name_attributes.post_op_attr_u.attributes.type,
			nfs_attributes(client, fh).type);
		ck_assert(nfs_same_handle(e->name_handle.post_op_fh3_u.handle,
		                          fh));
	}
	ck_assert_uint_gt(with, without);
}
END_TEST

START_TEST(a_listing_follows_every_change)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	nfs_fh3 empty = nfs_find(client, root, "empty");
	struct seen *seen = list(many, 65536);

	free(seen);
	free(list(empty, 65536));
	nfs_new_file(client, many, "new", 0644);
	nfs_remove(client, many, "0");
	nfs_rename(client, many, "01", empty, "moved");
	nfs_link(client, nfs_find(client, root, "file"), many, "linked");
	seen = list(many, 65536);
	ck_assert_ptr_nonnull(fileid_of(seen, "new"));
	ck_assert_ptr_nonnull(fileid_of(seen, "linked"));
	ck_assert_ptr_null(fileid_of(seen, "0"));
	ck_assert_ptr_null(fileid_of(seen, "01"));
	ck_assert_uint_eq(seen->count, NAMES + 2);
	free(seen);
	seen = list(empty, 65536);
	ck_assert_ptr_nonnull(fileid_of(seen, "moved"));
	ck_assert_uint_eq(seen->count, 3);
	free(seen);
}
END_TEST

/* Trap 3. */
START_TEST(hard_links_in_one_directory_are_all_listed)
{
	nfs_fh3 empty = nfs_find(client, root, "empty");
	nfs_fh3 file = nfs_new_file(client, empty, "one", 0644);
	struct seen *seen;

	nfs_link(client, file, empty, "two");
	nfs_link(client, file, empty, "three");
	seen = list(empty, 512);
	ck_assert_uint_eq(seen->count, 5);
	ck_assert_uint_eq(*fileid_of(seen, "one"), *fileid_of(seen, "two"));
	ck_assert_uint_eq(*fileid_of(seen, "one"), *fileid_of(seen, "three"));
	free(seen);
}
END_TEST

START_TEST(names_of_255_bytes_are_listed)
{
	nfs_fh3 empty = nfs_find(client, root, "empty");
	struct seen *seen;
	char name[256];

	for (char c = 'a'; c < 'g'; c++) {
		memset(name, c, 255);
		name[255] = '\0';
		nfs_new_file(client, empty, name, 0644);
	}
	seen = list(empty, 512);
	ck_assert_uint_eq(seen->count, 8);
	ck_assert_ptr_nonnull(fileid_of(seen, name));
	free(seen);
	seen = list_plus(empty, 512, 1024);
	ck_assert_uint_eq(seen->count, 8);
	free(seen);
}
END_TEST

/* ---- cookies -------------------------------------------------------------- */

/* Trap 5. */
START_TEST(an_empty_reply_is_well_formed_and_says_eof)
{
	nfs_fh3 empty = nfs_find(client, root, "empty");
	READDIR3res *plain = nfs_readdir(client, empty, INT64_MAX, 8192);
	READDIRPLUS3res *plus =
		nfs_readdirplus(client, empty, INT64_MAX, 8192, 8192);

	ck_assert_int_eq(plain->status, NFS3_OK);
	ck_assert_ptr_null(plain->READDIR3res_u.resok.reply.entries);
	ck_assert(plain->READDIR3res_u.resok.reply.eof);
	ck_assert_int_eq(plus->status, NFS3_OK);
	ck_assert_ptr_null(plus->READDIRPLUS3res_u.resok.reply.entries);
	ck_assert(plus->READDIRPLUS3res_u.resok.reply.eof);
}
END_TEST

START_TEST(an_empty_directory_has_dot_and_dotdot)
{
	struct seen *seen = list(nfs_find(client, root, "empty"), 8192);

	ck_assert_uint_eq(seen->count, 2);
	ck_assert_uint_eq(seen->replies, 1);
	free(seen);
}
END_TEST

/* Trap 2: no cookie and no verifier is ever a bad one. */
START_TEST(there_is_no_bad_cookie)
{
	static const uint64_t cookies[] = {
		1, 2, 3, 15, 16, 12345, UINT64_C(1) << 62, INT64_MAX, UINT64_MAX
	};
	READDIR3args args = { .dir = nfs_find(client, root, "many"),
		              .count = 8192 };
	READDIR3res *res;

	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		args.cookie = cookies[i];
		memset(args.cookieverf, (int)i, 8);
		res = nfs_call(client, NFSPROC3_READDIR, &args);
		ck_assert_int_eq(res->status, NFS3_OK);
	}
}
END_TEST

/* Trap 2. */
START_TEST(deleting_while_listing_neither_skips_nor_repeats)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	struct seen *seen = calloc(1, sizeof(*seen));
	uint64_t cookie = 0;
	size_t removed = 0;
	bool more = true;

	while (more) {
		more = see_readdir(seen, many, &cookie, 600);
		for (; removed < seen->count; removed++)
			if (seen->entries[removed].name[0] != '.')
				ck_assert_int_eq(
					nfs_remove(client, many,
				                   seen->entries[removed].name)
						->status,
					NFS3_OK);
	}
	ck_assert_uint_eq(seen->count, NAMES + 2);
	ck_assert_int_eq(nfs_rmdir(client, root, "many")->status, NFS3_OK);
	free(seen);
}
END_TEST

/* Trap 1. */
START_TEST(a_cookie_is_good_after_a_restart_and_without_its_name)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	struct seen *before = list(many, 65536), *after;
	const size_t half = before->count / 2;
	uint64_t cookie = before->entries[half].cookie;

	nfs_remove(client, many, before->entries[half].name);
	nfs_remove(client, many, before->entries[half + 5].name);
	fixture_stop(fixture);
	start(FIXTURE_OPTIONS);
	many = nfs_find(client, root, "many");
	after = calloc(1, sizeof(*after));
	while (see_readdir(after, many, &cookie, 1024))
		;
	ck_assert_uint_eq(after->count, before->count - half - 2);
	ck_assert_str_eq(after->entries[0].name,
	                 before->entries[half + 1].name);
	free(before);
	free(after);
}
END_TEST

/* ---- sizes ---------------------------------------------------------------- */

/* Trap 6. */
START_TEST(a_reply_never_exceeds_what_is_asked)
{
	nfs_fh3 many = nfs_find(client, root, "many");

	for (uint32_t max = 0; max < 3000; max += 7) {
		READDIR3res *plain = nfs_readdir(client, many, 0, max);

		if (plain->status != NFS3ERR_TOOSMALL) {
			ck_assert_int_eq(plain->status, NFS3_OK);
			ck_assert_uint_le(client_result_bytes(client) - 4, max);
		}
		if (nfs_readdirplus(client, many, 0, max, max)->status !=
		    NFS3ERR_TOOSMALL)
			ck_assert_uint_le(client_result_bytes(client) - 4, max);
	}
}
END_TEST

/* Trap 6. */
START_TEST(what_is_asked_is_clamped)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	READDIRPLUS3res *res =
		nfs_readdirplus(client, many, 0, UINT32_MAX, UINT32_MAX);

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_le(client_result_bytes(client), MIB + 4);
	ck_assert_int_eq(nfs_readdir(client, many, 0, UINT32_MAX)->status,
	                 NFS3_OK);
}
END_TEST

START_TEST(too_small_for_one_entry_is_said_so)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	static const uint32_t sizes[] = { 0, 1, 100, 104, 120 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		READDIR3res *plain = nfs_readdir(client, many, 0, sizes[i]);
		READDIRPLUS3res *plus =
			nfs_readdirplus(client, many, 0, 8192, sizes[i]);

		ck_assert_int_eq(plain->status, NFS3ERR_TOOSMALL);
		ck_assert(plain->READDIR3res_u.resfail.dir_attributes
		                  .attributes_follow);
		ck_assert_int_eq(plus->status, NFS3ERR_TOOSMALL);
		ck_assert(plus->READDIRPLUS3res_u.resfail.dir_attributes
		                  .attributes_follow);
	}
}
END_TEST

/* fileid, name and cookie of each entry: what RFC 1813 means by dircount. */
static size_t dir_bytes(const READDIRPLUS3res *res)
{
	size_t bytes = 0;

	for (entryplus3 *e = res->READDIRPLUS3res_u.resok.reply.entries;
	     e != NULL; e = e->nextentry)
		bytes += 8 + 4 + (strlen(e->name) + 3) / 4 * 4 + 8;
	return bytes;
}

START_TEST(dircount_is_honoured_but_for_the_first_entry)
{
	nfs_fh3 many = nfs_find(client, root, "many");
	READDIRPLUS3res *res;

	for (uint32_t dircount = 64; dircount < 4096; dircount += 97) {
		res = nfs_readdirplus(client, many, 0, dircount, 65536);
		ck_assert_int_eq(res->status, NFS3_OK);
		ck_assert_uint_le(dir_bytes(res), dircount);
		ck_assert_uint_gt(dir_bytes(res) + 64, dircount);
	}
	res = nfs_readdirplus(client, many, 0, 0, 65536);
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_ptr_nonnull(res->READDIRPLUS3res_u.resok.reply.entries);
}
END_TEST

/* ---- failures ------------------------------------------------------------- */

static void assert_not_listed(nfs_fh3 dir, nfsstat3 status)
{
	READDIR3res *plain = nfs_readdir(client, dir, 0, 8192);
	READDIRPLUS3res *plus = nfs_readdirplus(client, dir, 0, 8192, 8192);
	uint64_t fileid = nfs_attributes(client, dir).fileid;

	ck_assert_int_eq(plain->status, status);
	nfs_assert_attr(&plain->READDIR3res_u.resfail.dir_attributes, fileid);
	ck_assert_int_eq(plus->status, status);
	nfs_assert_attr(&plus->READDIRPLUS3res_u.resfail.dir_attributes,
	                fileid);
}

START_TEST(only_a_directory_is_listed)
{
	assert_not_listed(nfs_find(client, root, "file"), NFS3ERR_NOTDIR);
}
END_TEST

START_TEST(read_permission_is_asked_for)
{
	nfs_fh3 closed = nfs_find(client, root, "closed");

	client_become(client, 31000, 31000);
	assert_not_listed(closed, NFS3ERR_ACCES);
}
END_TEST

START_TEST(a_removed_directory_is_stale)
{
	nfs_fh3 empty = nfs_find(client, root, "empty");
	READDIR3res *res;

	ck_assert_int_eq(nfs_rmdir(client, root, "empty")->status, NFS3_OK);
	res = nfs_readdir(client, empty, 0, 8192);
	ck_assert_int_eq(res->status, NFS3ERR_STALE);
	ck_assert(!res->READDIR3res_u.resfail.dir_attributes.attributes_follow);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_list");
	TCase *tcase = tcase_create("nfs3_list");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, every_name_is_listed_once_in_pages_of_any_size);
	tcase_add_test(tcase, readdir_and_readdirplus_page_alike);
	tcase_add_test(tcase, dot_and_dotdot_come_first);
	tcase_add_test(tcase, an_object_has_one_fileid_everywhere);
	tcase_add_test(tcase, readdirplus_tells_what_lookup_and_getattr_tell);
	tcase_add_test(tcase, a_listing_follows_every_change);
	tcase_add_test(tcase, hard_links_in_one_directory_are_all_listed);
	tcase_add_test(tcase, names_of_255_bytes_are_listed);
	tcase_add_test(tcase, an_empty_reply_is_well_formed_and_says_eof);
	tcase_add_test(tcase, an_empty_directory_has_dot_and_dotdot);
	tcase_add_test(tcase, there_is_no_bad_cookie);
	tcase_add_test(tcase, deleting_while_listing_neither_skips_nor_repeats);
	tcase_add_test(tcase,
	               a_cookie_is_good_after_a_restart_and_without_its_name);
	tcase_add_test(tcase, a_reply_never_exceeds_what_is_asked);
	tcase_add_test(tcase, what_is_asked_is_clamped);
	tcase_add_test(tcase, too_small_for_one_entry_is_said_so);
	tcase_add_test(tcase, dircount_is_honoured_but_for_the_first_entry);
	tcase_add_test(tcase, only_a_directory_is_listed);
	tcase_add_test(tcase, read_permission_is_asked_for);
	tcase_add_test(tcase, a_removed_directory_is_stale);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
