#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <rpc/rpc.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root, file;

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "text", 0644);
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	client = fixture->client;
	root = nfs_root(client);
	file = nfs_find(client, root, "file");
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* The server is as it was, to others. */
static void assert_unharmed(void)
{
	struct client *other = fixture_connect(fixture);

	nfs_assert_text(other, file, "text");
	client_free(other);
}

static void assert_accept(struct client_reply reply, enum accept_stat stat)
{
	ck_assert(!reply.denied);
	ck_assert_uint_eq(reply.stat, stat);
}

/* A call without arguments. */
static struct client_reply call(uint32_t prog, uint32_t vers, uint32_t proc)
{
	client_send(client, prog, vers, proc, NULL, 0);
	return client_receive(client, client->xid, NULL);
}

/* ---- what is no call ------------------------------------------------------ */

START_TEST(a_record_beyond_the_limit_closes_the_connection)
{
	const uint32_t mark = htonl(0xffffffff);

	ck_assert_int_eq(send(client->fd, &mark, 4, MSG_NOSIGNAL), 4);
	ck_assert(client_is_closed(client));
	assert_unharmed();
}
END_TEST

START_TEST(fragments_without_end_close_the_connection)
{
	const uint32_t fragment[2] = { htonl(4), 0 };
	ssize_t n = 8;

	for (int i = 0; i < 4000000 && n == 8; i++)
		n = send(client->fd, fragment, 8, MSG_NOSIGNAL);
	ck_assert_int_lt(n, 8);
	assert_unharmed();
}
END_TEST

START_TEST(garbage_instead_of_a_call_closes_the_connection)
{
	uint32_t record[11] = { htonl(0x80000000 | 40) };

	memset(record + 1, 0x5a, 40);
	ck_assert_int_eq(send(client->fd, record, 44, MSG_NOSIGNAL), 44);
	ck_assert(client_is_closed(client));
	assert_unharmed();
}
END_TEST

/* What follows then lies across words in the receive buffer. */
START_TEST(a_call_of_an_odd_length_does_no_harm_to_the_next)
{
	const char padding[8] = { 0 };
	GETATTR3args args = { .object = file };
	char bytes[64];
	uint32_t first;
	XDR xdr;

	xdrmem_create(&xdr, bytes, sizeof(bytes), XDR_ENCODE);
	ck_assert(xdr_GETATTR3args(&xdr, &args));
	for (size_t odd = 1; odd < sizeof(padding); odd++) {
		client_send(client, NFS_PROGRAM, NFS_V3, NFSPROC3_NULL, padding,
		            odd);
		first = client->xid;
		client_send(client, NFS_PROGRAM, NFS_V3, NFSPROC3_GETATTR,
		            bytes, xdr_getpos(&xdr));
		assert_accept(client_receive(client, first, NULL), SUCCESS);
		assert_accept(client_receive(client, client->xid, NULL),
		              SUCCESS);
	}
}
END_TEST

/* ---- what is not served ----------------------------------------------------- */

/* Trap 25. */
START_TEST(a_probe_for_version_4_is_told_3_to_3)
{
	static const uint32_t versions[] = { 0, 1, 2, 4, UINT32_MAX };

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct client_reply reply = call(NFS_PROGRAM, versions[i], 0);

		assert_accept(reply, PROG_MISMATCH);
		ck_assert_uint_eq(reply.low, 3);
		ck_assert_uint_eq(reply.high, 3);
	}
}
END_TEST

START_TEST(mount_tells_its_versions_too)
{
	struct client_reply reply = call(MOUNT_PROGRAM, 4, 0);

	assert_accept(reply, PROG_MISMATCH);
	ck_assert_uint_eq(reply.low, 1);
	ck_assert_uint_eq(reply.high, 3);
}
END_TEST

START_TEST(unknown_programs_and_procedures_are_told_so)
{
	assert_accept(call(100021, 4, 0), PROG_UNAVAIL);
	assert_accept(call(NFS_PROGRAM, 3, 22), PROC_UNAVAIL);
	assert_accept(call(NFS_PROGRAM, 3, UINT32_MAX), PROC_UNAVAIL);
	assert_accept(call(MOUNT_PROGRAM, 3, 6), PROC_UNAVAIL);
	assert_accept(call(MOUNT_PROGRAM, 1, 7), PROC_UNAVAIL);
	assert_accept(call(NFS_PROGRAM, 3, 0), SUCCESS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bad_call");
	TCase *tcase = tcase_create("bad_call");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_record_beyond_the_limit_closes_the_connection);
	tcase_add_test(tcase, fragments_without_end_close_the_connection);
	tcase_add_test(tcase, garbage_instead_of_a_call_closes_the_connection);
	tcase_add_test(tcase, a_call_of_an_odd_length_does_no_harm_to_the_next);
	tcase_add_test(tcase, a_probe_for_version_4_is_told_3_to_3);
	tcase_add_test(tcase, mount_tells_its_versions_too);
	tcase_add_test(tcase, unknown_programs_and_procedures_are_told_so);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
