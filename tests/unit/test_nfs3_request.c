#include "config.h"

#include "server/nfs3_request.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <rpc/auth.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rpc/call.h"
#include "server/handle.h"
#include "tests/lib/suite.h"
#include "tests/unit/everybody.h"
#include "tests/unit/fake_ovl.h"

#define MAX_RESULTS (1u << 20)

static struct ovl one, two;
static struct nfsd_exports *exports;
static struct orpc_bufs bufs;
static struct orpc_buf *shared; /* replies go here without nfs3_reserve */
static struct orpc_request transport;
static struct nfs3_request request;
static struct sockaddr_in peer;
static int32_t results[64];

/* What the overlay says, and what it was asked. */
static int resolve_error, getattr_error;
static unsigned resolved;
static struct ovl *asked;
static uint32_t asked_uid;
static uint64_t asked_fileid;

/* ---- the stand-in ------------------------------------------------------- */

/* A node is the number of its object; never looked into. */
static struct ovl_node *node_of(uint64_t fileid)
{
	return (struct ovl_node *)(uintptr_t)fileid;
}

int ovl_resolve(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_id id, struct ovl_node **node)
{
	resolved++;
	asked = fs;
	asked_uid = caller->uid;
	asked_fileid = id.fileid;
	if (resolve_error == 0)
		*node = node_of(id.fileid);
	return resolve_error;
}

int ovl_getattr(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, struct ovl_attr *attr)
{
	(void)fs;
	(void)caller;
	if (getattr_error == 0)
		*attr = (struct ovl_attr){ .mode = S_IFREG | 0644,
			                   .nlink = 1,
			                   .fileid = (uintptr_t)node };
	return getattr_error;
}

/* ---- a call ------------------------------------------------------------- */

static void setup(void)
{
	struct nfsd_access access = { .secure = true,
		                      .all_squash = true,
		                      .anonuid = 33 };

	one = (struct ovl){ .id = 1, .key = { 1 } };
	two = (struct ovl){ .id = 2, .key = { 2 } };
	exports = nfsd_exports_new(NULL, NULL);
	ck_assert_int_eq(add_for_everybody(exports, "/one", &one, &access), 0);
	ck_assert_int_eq(add_for_everybody(exports, "/two", &two, &access), 0);
	orpc_bufs_init(&bufs, 2 * MAX_RESULTS);
	peer = (struct sockaddr_in){ .sin_family = AF_INET,
		                     .sin_port = htons(700) };
	shared = orpc_bufs_take(&bufs, ORPC_REPLY_ROOM);
	transport = (struct orpc_request){
		.call.peer = (const struct sockaddr *)&peer,
		.call.cred = { .flavor = AUTH_SYS, .uid = 1000, .gid = 100 },
		.call.max_results = MAX_RESULTS,
		.bufs = &bufs,
		.out = shared,
	};
	request = (struct nfs3_request){ .call = &transport.call,
		                         .exports = exports,
		                         .out = results };
}

static void teardown(void)
{
	if (transport.own_out)
		orpc_bufs_put(&bufs, transport.out);
	orpc_bufs_put(&bufs, shared);
	orpc_bufs_release(&bufs);
	nfsd_exports_free(exports);
}

/* The handle of an object of an export. */
static const struct nfsd_fh *handle(uint64_t export, uint64_t fileid)
{
	static unsigned char bytes[NFSD_HANDLE_BYTES];
	static struct nfsd_fh fh = { bytes, sizeof(bytes) };

	nfsd_handle_encode(nfsd_exports_by_id(exports, export),
	                   (struct ovl_id){ .fileid = fileid }, bytes);
	return &fh;
}

/* Word `i` of the results. */
static uint32_t word(int i)
{
	return ntohl((uint32_t)results[i]);
}

/* ---- handles ------------------------------------------------------------ */

START_TEST(a_handle_leads_to_its_object_as_the_squashed_caller)
{
	ck_assert_int_eq(nfs3_open(&request, handle(2, 7)), 0);
	ck_assert_ptr_eq(request.node[0], node_of(7));
	ck_assert_ptr_eq(request.fs, &two);
	ck_assert_ptr_eq(request.export, nfsd_exports_by_id(exports, 2));
	ck_assert_ptr_eq(asked, &two);
	ck_assert_uint_eq(asked_fileid, 7);
	ck_assert_uint_eq(asked_uid, 33);
}
END_TEST

START_TEST(what_is_no_handle_reaches_no_overlay)
{
	const struct nfsd_fh empty = { "", 0 };
	struct nfsd_fh fh = *handle(1, 7);

	ck_assert_int_eq(nfs3_open(&request, &empty), -EBADFD);
	fh.len--;
	ck_assert_int_eq(nfs3_open(&request, &fh), -EBADFD);
	ck_assert_uint_eq(resolved, 0);
	ck_assert_ptr_null(request.export);
	ck_assert_ptr_null(request.node[0]);
}
END_TEST

START_TEST(a_peer_that_may_not_call_reaches_no_overlay)
{
	peer.sin_port = htons(1024);
	ck_assert_int_eq(nfs3_open(&request, handle(1, 7)), -EACCES);
	ck_assert_uint_eq(resolved, 0);
	ck_assert_ptr_null(request.node[0]);
}
END_TEST

START_TEST(what_the_overlay_says_is_passed_on)
{
	static const int errors[] = { -ESTALE, -EAGAIN, -EINPROGRESS };

	for (int i = 0; i < 3; i++) {
		resolve_error = errors[i];
		ck_assert_int_eq(nfs3_open(&request, handle(1, 7)), errors[i]);
		ck_assert_ptr_null(request.node[0]);
	}
}
END_TEST

START_TEST(both_handles_are_of_one_export)
{
	ck_assert_int_eq(nfs3_open(&request, handle(1, 7)), 0);
	ck_assert_int_eq(nfs3_open_second(&request, handle(2, 8)), -EXDEV);
	ck_assert_ptr_null(request.node[1]);
	ck_assert_uint_eq(resolved, 1);
	ck_assert_int_eq(nfs3_open_second(&request, handle(1, 8)), 0);
	ck_assert_ptr_eq(request.node[0], node_of(7));
	ck_assert_ptr_eq(request.node[1], node_of(8));
	ck_assert_ptr_eq(asked, &one);
}
END_TEST

START_TEST(a_handle_in_results_opens_again)
{
	struct nfsd_fh fh;

	ck_assert_int_eq(nfs3_open(&request, handle(1, 7)), 0);
	nfs3_put_handle(&request, (struct ovl_id){ .fileid = 9 });
	ck_assert_ptr_eq(request.out, results + NFSD_XDR_FH / 4);
	ck_assert_uint_eq(word(0), NFSD_HANDLE_BYTES);
	fh = (struct nfsd_fh){ results + 1, word(0) };
	ck_assert_int_eq(nfs3_open(&request, &fh), 0);
	ck_assert_ptr_eq(request.node[0], node_of(9));
}
END_TEST

/* ---- room for results --------------------------------------------------- */

START_TEST(room_begins_behind_the_status)
{
	const size_t size = 500000;
	char *first;

	ck_assert_int_eq(nfs3_reserve(&request, size), 0);
	ck_assert_ptr_eq(transport.out->data + transport.at +
	                         ORPC_REPLY_OVERHEAD + 4,
	                 (unsigned char *)request.out);
	first = (char *)(request.out - 1);
	memset(first, 1, size); /* all of it is there */
}
END_TEST

START_TEST(without_room_the_cursor_stays)
{
	ck_assert_int_eq(nfs3_reserve(&request, MAX_RESULTS + 1), -EMSGSIZE);
	ck_assert_ptr_eq(request.out, results);
}
END_TEST

START_TEST(reads_and_writes_fit_the_transport_in_whole_pages)
{
	struct orpc_call call = { .max_results = (1u << 20) + 65536 };

	ck_assert_uint_eq(nfs3_io_max(&call), NFS3_IO_MAX);
	call.max_results = SIZE_MAX;
	ck_assert_uint_eq(nfs3_io_max(&call), NFS3_IO_MAX);
	for (size_t max = 0; max < 70000; max += 61) {
		call.max_results = max;
		ck_assert_uint_eq(nfs3_io_max(&call) % 4096, 0);
		/* With the attributes and the rest of a READ around it. */
		if (nfs3_io_max(&call) > 0)
			ck_assert_uint_le(nfs3_io_max(&call) +
			                          NFSD_XDR_POST_OP + 16,
			                  max);
		else
			ck_assert_uint_lt(max, 8192);
	}
}
END_TEST

/* ---- attributes --------------------------------------------------------- */

START_TEST(attributes_are_put_where_they_can_be_had)
{
	ck_assert_int_eq(nfs3_open(&request, handle(2, 7)), 0);
	ck_assert_int_eq(nfs3_put_attr(&request, request.node[0]), 0);
	ck_assert_ptr_eq(request.out, results + NFSD_XDR_POST_OP / 4);
	ck_assert_uint_eq(word(0), 1);
	ck_assert_uint_eq(word(13), 2); /* fsid: the export's id */
	ck_assert_uint_eq(word(15), 7); /* fileid */
}
END_TEST

START_TEST(attributes_that_cannot_be_had_are_left_out)
{
	ck_assert_int_eq(nfs3_put_attr(&request, NULL), 0);
	ck_assert_ptr_eq(request.out, results + 1);
	ck_assert_uint_eq(word(0), 0);
	getattr_error = -EIO;
	ck_assert_int_eq(nfs3_put_attr(&request, node_of(7)), 0);
	ck_assert_uint_eq(word(1), 0);
	/* By waiting they can: the call is to be repeated. */
	getattr_error = -EAGAIN;
	ck_assert_int_eq(nfs3_put_attr(&request, node_of(7)), -EAGAIN);
}
END_TEST

START_TEST(wcc_data_are_completed_where_the_overlay_left_them_open)
{
	ck_assert_int_eq(nfs3_open(&request, handle(1, 7)), 0);
	nfs3_put_wcc(&request, 0);
	ck_assert_uint_eq(word(0), 0); /* before: unknown */
	ck_assert_uint_eq(word(1), 1); /* after */
	ck_assert_uint_eq(word(16), 7);

	/* What the overlay has said is not asked for again. */
	request.out = results;
	request.change[0].has_after = true;
	request.change[0].after.fileid = 8;
	nfs3_put_wcc(&request, 0);
	ck_assert_uint_eq(word(16), 8);
}
END_TEST

START_TEST(wcc_data_of_what_is_not_open_are_empty)
{
	nfs3_put_wcc(&request, 1);
	ck_assert_ptr_eq(request.out, results + 2);
	ck_assert_uint_eq(word(0), 0);
	ck_assert_uint_eq(word(1), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_request");
	TCase *tcase = tcase_create("nfs3_request");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
	               a_handle_leads_to_its_object_as_the_squashed_caller);
	tcase_add_test(tcase, what_is_no_handle_reaches_no_overlay);
	tcase_add_test(tcase, a_peer_that_may_not_call_reaches_no_overlay);
	tcase_add_test(tcase, what_the_overlay_says_is_passed_on);
	tcase_add_test(tcase, both_handles_are_of_one_export);
	tcase_add_test(tcase, a_handle_in_results_opens_again);
	tcase_add_test(tcase, room_begins_behind_the_status);
	tcase_add_test(tcase, without_room_the_cursor_stays);
	tcase_add_test(tcase,
	               reads_and_writes_fit_the_transport_in_whole_pages);
	tcase_add_test(tcase, attributes_are_put_where_they_can_be_had);
	tcase_add_test(tcase, attributes_that_cannot_be_had_are_left_out);
	tcase_add_test(tcase,
	               wcc_data_are_completed_where_the_overlay_left_them_open);
	tcase_add_test(tcase, wcc_data_of_what_is_not_open_are_empty);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
