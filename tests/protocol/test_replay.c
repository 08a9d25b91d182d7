/*
 * The reply to a call is lost, and the client sends the call again: before the
 * first has finished, and after. It gets the reply of the first, which alone is
 * carried out; and no other call gets it.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/lib/fault.h"
#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/protocol/deed.h"

#define XID 0x1234
#define HERE "127.0.0.1"
#define ELSEWHERE "127.0.0.2"

/* What changes a filesystem. */
#define CHANGES                                                           \
	(FAULT_MAKE | FAULT_LINK | FAULT_MOVE | FAULT_FILL | FAULT_ATTR | \
	 FAULT_GONE)

static bool in_memory; /* where it can be: it takes less time */
static struct fixture *fixture;
static struct deed_dir dirs[DEED_DIRS];
static char stats_path[512];

/* The deed at hand: its arguments, and the reply to the first call. */
static const struct deed *deed;
static char args[CLIENT_MAX_BYTES], first_reply[4096];
static size_t args_len, first_len;

static void setup(void)
{
	fixture = in_memory ? fixture_new_in_memory(1, "mode=755")
	                    : fixture_new(1);
	snprintf(stats_path, sizeof(stats_path), "%s/stats", fixture->top);
	fixture->stats = stats_path;
	deed_prepare(fixture);
	fixture_start(fixture, FIXTURE_OPTIONS, true);
	for (int i = 0; i < DEED_DIRS; i++)
		dirs[i] = deed_dir(fixture->client, i);
}

static void teardown(void)
{
	fault_let_go();
	fault_disarm();
	fixture_free(fixture);
}

/* ---- calls ----------------------------------------------------------------- */

static struct client *tcp(void)
{
	return fixture_connect_from(fixture, SOCK_STREAM, HERE);
}

static struct client *udp(void)
{
	return fixture_connect_from(fixture, SOCK_DGRAM, HERE);
}

static void begin(int i)
{
	deed = &deeds[i];
	args_len = deed->encode(&dirs[0], args);
}

/* Send the call, with the xid that all have. */
static void send_it(struct client *client)
{
	client->xid = XID - 1;
	client_send(client, NFS_PROGRAM, NFS_V3, deed->proc, args, args_len);
}

/* The status of its reply, which is in client->results then. */
static nfsstat3 receive(struct client *client, size_t *len)
{
	struct client_reply reply =
		client_receive(client, XID, client->results);
	uint32_t status;

	ck_assert_msg(!reply.denied && reply.stat == SUCCESS, "%s", deed->name);
	ck_assert_uint_ge(reply.len, 4);
	memcpy(&status, client->results, 4);
	*len = reply.len;
	return (nfsstat3)ntohl(status);
}

static void receive_first(struct client *client)
{
	nfsstat3 status = receive(client, &first_len);

	ck_assert_msg(status == NFS3_OK, "%s: status %d", deed->name, status);
	ck_assert_uint_le(first_len, sizeof(first_reply));
	memcpy(first_reply, client->results, first_len);
}

/* The reply is the first one, to the last byte. */
static void receive_again(struct client *client)
{
	size_t len;
	nfsstat3 status = receive(client, &len);

	ck_assert_msg(status == NFS3_OK, "%s: status %d", deed->name, status);
	ck_assert_uint_eq(len, first_len);
	ck_assert_msg(memcmp(client->results, first_reply, len) == 0,
	              "%s: another reply", deed->name);
}

/* Send it by a client that goes then; its reply is the first one. */
static void repeat(struct client *client)
{
	send_it(client);
	receive_again(client);
	client_free(client);
}

static bool is_done(int i)
{
	return deed->is_done(&dirs[i]);
}

static void assert_undone(void)
{
	ck_assert_msg(!is_done(0), "%s: it was carried out again", deed->name);
}

/* ---- after ------------------------------------------------------------------ */

static void do_first(void)
{
	struct client *client = tcp();

	ck_assert(!is_done(0));
	send_it(client);
	receive_first(client);
	ck_assert(is_done(0));
	client_free(client);
}

/* Traps 17 and 32. */
START_TEST(what_has_been_done_is_answered_as_then)
{
	begin(_i);
	do_first();
	repeat(tcp());
	repeat(udp());
	deed->undo(&dirs[0]);
	for (int i = 0; i < 2; i++) {
		repeat(tcp());
		repeat(udp());
		assert_undone();
	}
}
END_TEST

/* Traps 17 and 32. */
START_TEST(what_was_done_by_datagram_is_answered_as_then)
{
	struct client *client = udp();

	begin(_i);
	send_it(client);
	receive_first(client);
	deed->undo(&dirs[0]);
	send_it(client);
	receive_again(client);
	repeat(udp());
	repeat(tcp());
	assert_undone();
	client_free(client);
}
END_TEST

/* ---- before ----------------------------------------------------------------- */

/* It has sent the call again, and that has been looked at. */
static void send_and_see(struct client *client)
{
	struct client_reply reply;

	send_it(client);
	client_send(client, NFS_PROGRAM, NFS_V3, NFSPROC3_NULL, NULL, 0);
	reply = client_receive(client, client->xid, NULL);
	ck_assert(!reply.denied);
	ck_assert_uint_eq(reply.len, 0);
}

/* The first is under way, and stays there until it is let go. */
static struct client *hold_first(void)
{
	struct client *client = tcp();

	fault_hold(CHANGES);
	send_it(client);
	ck_assert_msg(fault_await_held(), "%s: nothing to hold", deed->name);
	return client;
}

/* Traps 17 and 32. */
START_TEST(what_is_under_way_is_waited_for)
{
	struct client *first, *other, *datagrams;

	begin(_i);
	first = hold_first();
	other = tcp();
	datagrams = udp();
	send_and_see(first);
	send_and_see(other);
	send_and_see(datagrams);
	send_and_see(datagrams);
	fault_let_go();
	receive_first(first);
	receive_again(first);
	receive_again(other);
	receive_again(datagrams);
	receive_again(datagrams);
	ck_assert(is_done(0));
	deed->undo(&dirs[0]);
	repeat(other);
	repeat(datagrams);
	assert_undone();
	client_free(first);
}
END_TEST

/* Trap 17. */
START_TEST(what_is_under_way_is_waited_for_on_a_new_connection)
{
	struct client *again;

	begin(_i);
	client_free(hold_first());
	again = tcp();
	send_and_see(again);
	fault_let_go();
	receive_first(again);
	ck_assert(is_done(0));
	deed->undo(&dirs[0]);
	repeat(again);
	assert_undone();
}
END_TEST

/* ---- others ----------------------------------------------------------------- */

static nfsstat3 do_other(struct client *client)
{
	size_t len;

	send_it(client);
	return receive(client, &len);
}

/* It is carried out; and undone again. */
static void assert_carried_out(struct client *client)
{
	nfsstat3 status = do_other(client);

	ck_assert_msg(status == deed->anew, "%s: status %d", deed->name,
	              status);
	if (status != NFS3_OK)
		return;
	ck_assert(is_done(0));
	deed->undo(&dirs[0]);
}

START_TEST(another_call_of_the_same_number_is_carried_out)
{
	struct client *client = tcp();
	struct client *elsewhere =
		fixture_connect_from(fixture, SOCK_STREAM, ELSEWHERE);

	begin(_i);
	do_first();
	deed->undo(&dirs[0]);
	assert_carried_out(elsewhere);
	client_become(client, 0, 0);
	client->gids[client->ngids++] = 5;
	assert_carried_out(client);
	client->gids[0] = 6;
	assert_carried_out(client);

	args_len = deed->encode(&dirs[1], args);
	ck_assert(!is_done(1));
	client_become(client, 0, 0);
	ck_assert_int_eq(do_other(client), NFS3_OK);
	ck_assert(is_done(1));
	assert_undone();
	client_free(client);
	client_free(elsewhere);
}
END_TEST

/* As it comes from a client that starts anew, after the same number of calls. */
START_TEST(another_call_is_carried_out_while_one_is_under_way)
{
	struct client *elsewhere =
		fixture_connect_from(fixture, SOCK_STREAM, ELSEWHERE);
	struct client *first;
	size_t len;

	begin(_i);
	first = hold_first();
	args_len = deed->encode(&dirs[1], args);
	ck_assert_int_eq(do_other(elsewhere), NFS3_OK);
	ck_assert(is_done(1));
	fault_let_go();
	ck_assert_int_eq(receive(first, &len), NFS3_OK);
	client_free(first);
	client_free(elsewhere);
}
END_TEST

/* ---- what is kept, and what is not ------------------------------------------ */

START_TEST(a_failure_is_kept_too)
{
	REMOVE3args remove = { .object = { dirs[0].fh, "new" } };
	struct client *client = tcp();

	begin(0);
	while (deed->proc != NFSPROC3_REMOVE)
		deed++;
	args_len = nfs_encode(args, NFSPROC3_REMOVE, &remove);
	ck_assert_int_eq(do_other(client), NFS3ERR_NOENT);
	nfs_new_file(fixture->client, dirs[0].fh, "new", 0600);
	ck_assert_int_eq(do_other(client), NFS3ERR_NOENT);
	ck_assert_int_eq(nfs_lookup(fixture->client, dirs[0].fh, "new")->status,
	                 NFS3_OK);
	client_free(client);
}
END_TEST

START_TEST(what_was_to_come_again_is_carried_out_then)
{
	struct client *client = tcp();

	begin(_i);
	for (int i = 0; i < 2; i++) {
		fault_arm(FAULT_OPEN, 1, EMFILE, true);
		ck_assert_int_eq(do_other(client), NFS3ERR_JUKEBOX);
		ck_assert_uint_ge(fault_disarm(), 1);
	}
	send_it(client);
	receive_first(client);
	deed->undo(&dirs[0]);
	repeat(client);
	assert_undone();
}
END_TEST

START_TEST(what_changes_nothing_is_asked_again)
{
	GETATTR3args getattr = { .object = dirs[0].file };
	struct client *client = tcp();
	GETATTR3res *res;

	args_len = nfs_encode(args, NFSPROC3_GETATTR, &getattr);
	for (uint64_t size = 1; size < 3; size++) {
		ck_assert_int_eq(nfs_setattr(fixture->client, dirs[0].file,
		                             set_size(size))
		                         ->status,
		                 NFS3_OK);
		client->xid = XID - 1;
		res = nfs_call_bytes(client, NFSPROC3_GETATTR, args, args_len);
		ck_assert_int_eq(res->status, NFS3_OK);
		ck_assert_uint_eq(res->GETATTR3res_u.resok.obj_attributes.size,
		                  size);
	}
	client_free(client);
}
END_TEST

/* ---- statistics -------------------------------------------------------------- */

/* The value in the file of statistics, the server having ended. */
static uint64_t statistic(const char *name)
{
	FILE *from = fopen(stats_path, "r");
	uint64_t value = UINT64_MAX;
	char line[256];

	ck_assert_ptr_nonnull(from);
	while (fgets(line, sizeof(line), from) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, 10);
	fclose(from);
	return value;
}

START_TEST(hits_and_misses_are_counted_and_shown)
{
	struct client *first, *again;

	begin(0);
	first = hold_first();
	again = udp();
	send_and_see(first);
	send_and_see(again);
	fault_let_go();
	receive_first(first);
	receive_again(first);
	repeat(again);
	for (int i = 0; i < 3; i++)
		repeat(tcp());
	client_free(first);
	fixture_stop(fixture);
	ck_assert_uint_eq(statistic("veneer_replay_misses_total "), 1);
	ck_assert_uint_eq(statistic("veneer_replay_joins_total "), 2);
	ck_assert_uint_eq(statistic("veneer_replay_hits_total "), 4);
	ck_assert_uint_eq(statistic("veneer_replies_kept "), 1);
	ck_assert_uint_ge(statistic("veneer_reply_kept_bytes "), first_len);
}
END_TEST

static TCase *deeds_case(void)
{
	TCase *tcase = tcase_create("deeds");
	int n = 0;

	while (deeds[n].name != NULL)
		n++;
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, what_has_been_done_is_answered_as_then, 0,
	                    n);
	tcase_add_loop_test(
		tcase, what_was_done_by_datagram_is_answered_as_then, 0, n);
	tcase_add_loop_test(tcase, what_is_under_way_is_waited_for, 0, n);
	tcase_add_loop_test(tcase,
	                    what_is_under_way_is_waited_for_on_a_new_connection,
	                    0, n);
	tcase_add_loop_test(
		tcase, another_call_of_the_same_number_is_carried_out, 0, n);
	tcase_add_loop_test(tcase,
	                    another_call_is_carried_out_while_one_is_under_way,
	                    0, n);
	tcase_add_loop_test(tcase, what_was_to_come_again_is_carried_out_then,
	                    0, n);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("replay");
	TCase *tcase = tcase_create("kept");

	in_memory = fixture_can_mount();
	suite_add_tcase(suite, deeds_case());
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_failure_is_kept_too);
	tcase_add_test(tcase, what_changes_nothing_is_asked_again);
	tcase_add_test(tcase, hits_and_misses_are_counted_and_shown);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
