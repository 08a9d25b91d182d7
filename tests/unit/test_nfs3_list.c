/*
 * How entries of one cookie hash are kept together in a listing. Names that
 * collide cannot be made for a keyed hash, so the overlay is a stand-in here.
 */
#include "config.h"

#include "server/nfs3_request.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/handle.h"
#include "tests/lib/suite.h"
#include "tests/unit/everybody.h"
#include "tests/unit/fake_ovl.h"

#define ENTRIES 12

/* Room for the largest list that is ever answered, and no more. */
#define BUFFER ((1u << 20) + 4)

/* Bytes of one entry, all names being of 4 bytes: READDIR, READDIRPLUS. */
#define ENTRY (4 + 8 + 4 + 4 + 8)
#define ENTRY_PLUS (ENTRY + NFSD_XDR_POST_OP + 4 + NFSD_XDR_FH)

/* What a reply has besides entries, without the status. */
#define FRAME (NFSD_XDR_POST_OP + 8 + 4 + 4)

static struct ovl fs = { .id = 1 };
static struct nfsd_exports *exports;
static _Alignas(8) char buffer[BUFFER];

/* Entries 4, 5 and 6 have one hash; so have 7 and 8. */
static bool same_hash(unsigned i)
{
	return i == 5 || i == 6 || i == 8;
}

/* ---- the stand-in ----------------------------------------------------------- */

int ovl_resolve(struct ovl *fs_, const struct ovl_caller *caller,
                struct ovl_id id, struct ovl_node **node)
{
	(void)fs_;
	(void)caller;
	(void)id;
	*node = (struct ovl_node *)buffer; /* never looked into */
	return 0;
}

int ovl_getattr(struct ovl *fs_, const struct ovl_caller *caller,
                struct ovl_node *node, struct ovl_attr *attr)
{
	(void)fs_;
	(void)caller;
	(void)node;
	*attr = (struct ovl_attr){ .mode = S_IFDIR | 0755, .nlink = 2 };
	return 0;
}

/* Cookies are 100, 101 and so on. */
int ovl_readdir(struct ovl *fs_, const struct ovl_caller *caller,
                struct ovl_node *dir, uint64_t cookie, bool attrs,
                ovl_fill_fn *fill, void *arg, bool *eof)
{
	char name[5];

	(void)fs_;
	(void)caller;
	(void)dir;
	*eof = false;
	for (unsigned i = 0; i < ENTRIES; i++) {
		const struct ovl_dirent entry = {
			.name = name,
			.namelen = 4,
			.fileid = i,
			.cookie = 100 + i,
			.same_hash = same_hash(i),
			.has_attr = attrs,
		};

		if (entry.cookie <= cookie)
			continue;
		snprintf(name, sizeof(name), "n%03u", i % 1000);
		if (!fill(arg, &entry))
			return 0;
	}
	*eof = true;
	return 0;
}

int orpc_call_reserve(struct orpc_call *call, size_t size)
{
	(void)call;
	return size <= BUFFER ? 0 : -EMSGSIZE;
}

/* ---- */

static void setup(void)
{
	const struct nfsd_access access = { .secure = false };

	exports = nfsd_exports_new(NULL, NULL);
	ck_assert_int_eq(add_for_everybody(exports, "/e", &fs, &access), 0);
}

static void teardown(void)
{
	nfsd_exports_free(exports);
}

/*
 * One call. The entries that came, from `cookie` on, are 0 or more; -ENOBUFS;
 * `eof` as in the reply.
 */
static int list(bool plus, uint64_t cookie, uint32_t dircount,
                uint32_t maxcount, bool *eof)
{
	const struct sockaddr peer = { .sa_family = AF_UNIX };
	struct orpc_call call = { .peer = &peer, .max_results = 4 * BUFFER };
	struct nfs3_request request = { .call = &call, .exports = exports };
	unsigned char handle[NFSD_HANDLE_BYTES];
	char args[128];
	size_t entries;
	int err;
	XDR xdr;

	nfsd_handle_encode(nfsd_exports_get(exports, 0), (struct ovl_id){ 0 },
	                   handle);
	xdrmem_create(&xdr, args, sizeof(args), XDR_ENCODE);
	if (plus)
		ck_assert(xdr_READDIRPLUS3args(
			&xdr,
			&(READDIRPLUS3args){ .dir = { { 32, (char *)handle } },
		                             .cookie = cookie,
		                             .dircount = dircount,
		                             .maxcount = maxcount }));
	else
		ck_assert(xdr_READDIR3args(
			&xdr,
			&(READDIR3args){ .dir = { { 32, (char *)handle } },
		                         .cookie = cookie,
		                         .count = maxcount }));
	xdrmem_create(&call.args, args, xdr_getpos(&xdr), XDR_DECODE);
	xdrmem_create(&call.results, buffer, BUFFER, XDR_ENCODE);
	err = plus ? nfs3_readdirplus(&request) : nfs3_readdir(&request);
	if (err != 0)
		return err;
	entries = (size_t)((char *)request.out - buffer) - 4 - FRAME;
	ck_assert_uint_le(entries + FRAME, maxcount);
	*eof = request.out[-1] != 0;
	return (int)(entries / (plus ? ENTRY_PLUS : ENTRY));
}

/* As many as fit, less those of a run that the next belongs to. */
static int expected(unsigned room)
{
	if (room >= ENTRIES)
		return ENTRIES;
	while (room > 0 && same_hash(room))
		room--;
	return (int)room;
}

START_TEST(names_of_one_hash_are_never_parted)
{
	for (int plus = 0; plus <= 1; plus++) {
		const uint32_t entry = plus ? ENTRY_PLUS : ENTRY;

		for (unsigned room = 1; room <= ENTRIES + 2; room++) {
			bool eof;

			ck_assert_int_eq(list(plus, 0, UINT32_MAX,
			                      FRAME + room * entry, &eof),
			                 expected(room));
			ck_assert_int_eq(eof, room >= ENTRIES);
			ck_assert_int_eq(list(plus, 0, UINT32_MAX,
			                      FRAME + (room + 1) * entry - 4,
			                      &eof),
			                 expected(room));
		}
	}
}
END_TEST

/* Else the client would be told to come again for ever. */
START_TEST(a_run_that_does_not_fit_alone_is_too_small)
{
	bool eof;

	for (uint32_t room = 0; room < 3; room++)
		ck_assert_int_eq(list(false, 103, UINT32_MAX,
		                      FRAME + room * ENTRY, &eof),
		                 -ENOBUFS);
	ck_assert_int_eq(list(false, 103, UINT32_MAX, FRAME + 3 * ENTRY, &eof),
	                 3);
}
END_TEST

START_TEST(a_wish_for_less_does_not_part_them_either)
{
	const uint32_t wish = 4 * (ENTRY - 4); /* entries 0 to 3 */
	bool eof;

	ck_assert_int_eq(list(true, 0, wish, BUFFER, &eof), 4);
	ck_assert_int_eq(list(true, 0, wish + ENTRY, BUFFER, &eof), 7);
	ck_assert_int_eq(list(true, 103, 0, BUFFER, &eof), 3);
}
END_TEST

/* Trap 6: whatever the client asks, and the transport can carry. */
START_TEST(a_list_has_a_mebibyte_at_most)
{
	bool eof;

	ck_assert_int_eq(list(false, 0, 0, UINT32_MAX, &eof), ENTRIES);
	ck_assert_int_eq(list(true, 0, UINT32_MAX, UINT32_MAX, &eof), ENTRIES);
}
END_TEST

START_TEST(after_the_last_cookie_there_is_nothing_but_the_end)
{
	bool eof = false;

	ck_assert_int_eq(list(false, 100 + ENTRIES, 0, 8192, &eof), 0);
	ck_assert(eof);
	ck_assert_int_eq(list(true, 100 + ENTRIES, 8192, FRAME, &eof), 0);
	ck_assert(eof);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_list");
	TCase *tcase = tcase_create("nfs3_list");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, names_of_one_hash_are_never_parted);
	tcase_add_test(tcase, a_run_that_does_not_fit_alone_is_too_small);
	tcase_add_test(tcase, a_wish_for_less_does_not_part_them_either);
	tcase_add_test(tcase, a_list_has_a_mebibyte_at_most);
	tcase_add_test(tcase,
	               after_the_last_cookie_there_is_nothing_but_the_end);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
