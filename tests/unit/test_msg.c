#include "config.h"

#include "rpc/msg.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Messages are built and compared word by word, in host order. */
struct words {
	uint32_t w[256];
	size_t n;
};

static size_t encode(const struct words *words, unsigned char *to)
{
	for (size_t i = 0; i < words->n; i++) {
		uint32_t word = htonl(words->w[i]);

		memcpy(to + 4 * i, &word, 4);
	}
	return 4 * words->n;
}

static struct orpc_call call;
static enum auth_stat why;
static size_t args;

static enum orpc_verdict decode_bytes(const struct words *words, size_t len)
{
	unsigned char *exact = malloc(len ? len : 1); /* for ASan */
	unsigned char wire[1024];
	enum orpc_verdict verdict;

	encode(words, wire);
	memcpy(exact, wire, len);
	memset(&call, 0xaa, sizeof(call));
	verdict = orpc_msg_decode(exact, len, &call, &args, &why);
	free(exact);
	return verdict;
}

static enum orpc_verdict decode(const struct words *words)
{
	return decode_bytes(words, 4 * words->n);
}

/* xid 7, NFS version 3, procedure 1, and what each test adds. */
#define CALL_OF_NFS 7, 0, 2, 100003, 3, 1

static const struct words with_auth_none = {
	.w = { CALL_OF_NFS, 0, 0, 0, 0, 99 }, .n = 11
};

static const struct words with_auth_sys = { .w = { CALL_OF_NFS, 1, 36, 0x5157,
	                                           3, 0x61626300, 1000, 100, 3,
	                                           4, 24, 27, 0, 0, 99 },
	                                    .n = 20 };

START_TEST(a_call_of_nobody)
{
	ck_assert_int_eq(decode(&with_auth_none), ORPC_MSG_CALL);
	ck_assert_uint_eq(call.xid, 7);
	ck_assert_uint_eq(call.prog, 100003);
	ck_assert_uint_eq(call.vers, 3);
	ck_assert_uint_eq(call.proc, 1);
	ck_assert_uint_eq(call.cred.flavor, AUTH_NONE);
	ck_assert_uint_eq(args, 40);
}
END_TEST

START_TEST(a_call_of_a_user)
{
	ck_assert_int_eq(decode(&with_auth_sys), ORPC_MSG_CALL);
	ck_assert_uint_eq(call.cred.flavor, AUTH_SYS);
	ck_assert_uint_eq(call.cred.uid, 1000);
	ck_assert_uint_eq(call.cred.gid, 100);
	ck_assert_uint_eq(call.cred.ngids, 3);
	ck_assert_uint_eq(call.cred.gids[0], 4);
	ck_assert_uint_eq(call.cred.gids[1], 24);
	ck_assert_uint_eq(call.cred.gids[2], 27);
	ck_assert_uint_eq(args, 76);
}
END_TEST

START_TEST(a_call_cut_short_anywhere_is_garbage)
{
	for (size_t len = 0; len < 76; len++)
		ck_assert_int_eq(decode_bytes(&with_auth_sys, len),
		                 ORPC_MSG_GARBAGE);
	ck_assert_int_eq(decode_bytes(&with_auth_sys, 76), ORPC_MSG_CALL);
}
END_TEST

START_TEST(a_reply_is_garbage)
{
	struct words reply = with_auth_none;

	reply.w[1] = REPLY;
	ck_assert_int_eq(decode(&reply), ORPC_MSG_GARBAGE);
	reply.w[1] = 2;
	ck_assert_int_eq(decode(&reply), ORPC_MSG_GARBAGE);
}
END_TEST

START_TEST(another_rpc_version_is_told_apart_even_with_nothing_behind)
{
	struct words other = with_auth_none;

	other.w[2] = 3;
	ck_assert_int_eq(decode(&other), ORPC_MSG_MISMATCH);
	ck_assert_uint_eq(call.xid, 7);
	ck_assert_int_eq(decode_bytes(&other, 12), ORPC_MSG_MISMATCH);
}
END_TEST

START_TEST(flavors_that_we_do_not_speak_are_rejected)
{
	/* AUTH_SHORT, AUTH_DH, RPCSEC_GSS, and one nobody has heard of */
	const uint32_t flavors[] = { 2, 3, 6, 0x7fffffff };

	for (size_t i = 0; i < 4; i++) {
		struct words other = with_auth_sys;

		other.w[6] = flavors[i];
		ck_assert_int_eq(decode(&other), ORPC_MSG_AUTH_ERROR);
		ck_assert_int_eq(why, AUTH_REJECTEDCRED);
		ck_assert_uint_eq(call.xid, 7);
	}
}
END_TEST

START_TEST(more_groups_than_auth_sys_allows_are_a_bad_credential)
{
	struct words many = { .w = { CALL_OF_NFS, 1, 20 + 17 * 4, 0, 0, 1, 1,
		                     17 } };

	many.n = 13 + 17 + 2;
	ck_assert_int_eq(decode(&many), ORPC_MSG_AUTH_ERROR);
	ck_assert_int_eq(why, AUTH_BADCRED);

	many.w[7] -= 4;
	many.w[12] = 16; /* just allowed */
	many.n--;
	ck_assert_int_eq(decode(&many), ORPC_MSG_CALL);
	ck_assert_uint_eq(call.cred.ngids, 16);
}
END_TEST

START_TEST(lengths_inside_a_credential_are_not_trusted)
{
	struct words bad = with_auth_sys;

	bad.w[9] = 0xfffffffd; /* the name: so long that it wraps */
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
	ck_assert_int_eq(why, AUTH_BADCRED);
	bad.w[9] = 256; /* over 255 bytes */
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
	bad.w[9] = 30; /* past the credential, not the message */
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
	bad = with_auth_sys;
	bad.w[13] = 4; /* one group more than it holds */
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
	ck_assert_int_eq(why, AUTH_BADCRED);
}
END_TEST

START_TEST(a_credential_over_400_bytes_is_bad)
{
	struct words bad = with_auth_sys;

	bad.w[7] = 404;
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
	ck_assert_int_eq(why, AUTH_BADCRED);
	bad.w[7] = 0xffffffff;
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
}
END_TEST

START_TEST(a_verifier_over_400_bytes_is_bad)
{
	struct words bad = with_auth_none;

	bad.w[9] = 401;
	ck_assert_int_eq(decode(&bad), ORPC_MSG_AUTH_ERROR);
	ck_assert_int_eq(why, AUTH_BADVERF);
}
END_TEST

START_TEST(a_verifier_is_skipped)
{
	struct words some = {
		.w = { CALL_OF_NFS, 0, 0, 0, 5, 1, 0x02000000, 99 }, .n = 13
	};

	ck_assert_int_eq(decode(&some), ORPC_MSG_CALL);
	ck_assert_uint_eq(args, 48);
}
END_TEST

static void expect(const unsigned char *wire, size_t len,
                   const struct words *words)
{
	unsigned char wanted[1024];

	ck_assert_uint_eq(len, encode(words, wanted));
	ck_assert_mem_eq(wire, wanted, len);
	ck_assert_uint_le(len, ORPC_REPLY_MAX);
}

START_TEST(accepted_replies)
{
	const enum accept_stat states[] = { SUCCESS, PROG_UNAVAIL, PROC_UNAVAIL,
		                            GARBAGE_ARGS, SYSTEM_ERR };
	const uint32_t numbers[] = { 0, 1, 3, 4, 5 };
	unsigned char wire[ORPC_REPLY_MAX];

	for (size_t i = 0; i < 5; i++) {
		struct words wanted = {
			.w = { 0xdeadbeef, 1, 0, 0, 0, numbers[i] }, .n = 6
		};
		size_t len = orpc_msg_accepted(wire, 0xdeadbeef, states[i]);

		ck_assert_uint_eq(len, ORPC_REPLY_HEADER);
		expect(wire, len, &wanted);
	}
}
END_TEST

START_TEST(a_program_mismatch_has_the_range)
{
	struct words wanted = { .w = { 5, 1, 0, 0, 0, 2, 1, 3 }, .n = 8 };
	unsigned char wire[ORPC_REPLY_MAX];

	expect(wire, orpc_msg_prog_mismatch(wire, 5, 1, 3), &wanted);
}
END_TEST

START_TEST(denied_replies)
{
	struct words version = { .w = { 5, 1, 1, 0, 2, 2 }, .n = 6 };
	struct words auth = { .w = { 5, 1, 1, 1, 5 }, .n = 5 };
	unsigned char wire[ORPC_REPLY_MAX];

	expect(wire, orpc_msg_rpc_mismatch(wire, 5), &version);
	expect(wire, orpc_msg_auth_error(wire, 5, AUTH_TOOWEAK), &auth);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("msg");
	TCase *tc = tcase_create("msg");

	tcase_add_test(tc, a_call_of_nobody);
	tcase_add_test(tc, a_call_of_a_user);
	tcase_add_test(tc, a_call_cut_short_anywhere_is_garbage);
	tcase_add_test(tc, a_reply_is_garbage);
	tcase_add_test(
		tc, another_rpc_version_is_told_apart_even_with_nothing_behind);
	tcase_add_test(tc, flavors_that_we_do_not_speak_are_rejected);
	tcase_add_test(tc,
	               more_groups_than_auth_sys_allows_are_a_bad_credential);
	tcase_add_test(tc, lengths_inside_a_credential_are_not_trusted);
	tcase_add_test(tc, a_credential_over_400_bytes_is_bad);
	tcase_add_test(tc, a_verifier_over_400_bytes_is_bad);
	tcase_add_test(tc, a_verifier_is_skipped);
	tcase_add_test(tc, accepted_replies);
	tcase_add_test(tc, a_program_mismatch_has_the_range);
	tcase_add_test(tc, denied_replies);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
