#include "config.h"

#include "rpc/replay.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 4096

static struct orpc_replays *replays;
static struct orpc_loop loop;

/* ---- a memory that may be lacking ----------------------------------------- */

static atomic_bool lacking;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	return atomic_load(&lacking) ? NULL : __real_malloc(size);
}

/* ---- calls ---------------------------------------------------------------- */

/* A call and its arguments, from 10.0.0.1, port 700, of user 1000. */
struct sent {
	struct sockaddr_storage peer;
	struct orpc_call call;
	unsigned char args[LARGE];
	size_t len;
};

static void set_peer(struct sent *sent, const char *address, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&sent->peer;

	*in = (struct sockaddr_in){ .sin_family = AF_INET,
		                    .sin_port = htons(port) };
	ck_assert_int_eq(inet_pton(AF_INET, address, &in->sin_addr), 1);
	sent->call.peer = (const struct sockaddr *)&sent->peer;
}

static void set_peer6(struct sent *sent, const char *address, uint32_t scope)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sent->peer;

	*in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
		                      .sin6_port = htons(700),
		                      .sin6_scope_id = scope };
	ck_assert_int_eq(inet_pton(AF_INET6, address, &in6->sin6_addr), 1);
}

static struct sent *make_sent(struct sent *sent, uint32_t xid)
{
	memset(sent, 0, sizeof(*sent));
	set_peer(sent, "10.0.0.1", 700);
	sent->call.xid = xid;
	sent->call.prog = 100003;
	sent->call.vers = 3;
	sent->call.proc = 8;
	sent->call.cred = (struct orpc_cred){ .flavor = 1,
		                              .uid = 1000,
		                              .gid = 100,
		                              .ngids = 2,
		                              .gids = { 7, 8 } };
	sent->len = 100;
	return sent;
}

/* What came of the last call. */
static struct orpc_replay *begun;
static char reply[9000];
static size_t reply_len;

static enum orpc_replay_state begin(const struct sent *sent)
{
	return orpc_replay_begin(replays, &sent->call, sent->args, sent->len,
	                         &begun, (unsigned char *)reply, &reply_len);
}

static enum orpc_replay_state begin_xid(uint32_t xid)
{
	struct sent sent;

	return begin(make_sent(&sent, xid));
}

static void end(struct orpc_replay *replay, const char *text, bool keep)
{
	orpc_replay_end(replay, (const unsigned char *)text, strlen(text),
	                keep);
}

/* Have it carried out, as the first. */
static void carry_out(uint32_t xid, const char *text)
{
	ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_FIRST);
	end(begun, text, true);
}

static void assert_reply(uint32_t xid, const char *text)
{
	ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_DONE);
	ck_assert_uint_eq(reply_len, strlen(text));
	ck_assert_mem_eq(reply, text, reply_len);
}

static struct orpc_stats statistics(void)
{
	struct orpc_stats stats = { 0 };

	orpc_replays_stats(replays, &stats);
	return stats;
}

static void setup(void)
{
	ck_assert_int_eq(orpc_replays_new(4, 1 << 20, 3, &replays), 0);
	ck_assert_int_eq(orpc_loop_init(&loop, NULL), 0);
}

static void teardown(void)
{
	orpc_replays_free(replays);
	orpc_loop_release(&loop);
}

/* ---- keys ----------------------------------------------------------------- */

START_TEST(a_call_that_comes_again_gets_the_reply_of_the_first)
{
	carry_out(1, "reply");
	assert_reply(1, "reply");
	assert_reply(1, "reply");
	ck_assert_uint_eq(statistics().replay_misses, 1);
	ck_assert_uint_eq(statistics().replay_hits, 2);
	ck_assert_uint_eq(statistics().replay_joins, 0);
	ck_assert_uint_eq(statistics().replay_entries, 1);
}
END_TEST

/* The call as it is but for one part; the last of them is none. */
static bool change_part(struct sent *sent, int part)
{
	switch (part) {
	case 0:
		set_peer(sent, "10.0.0.2", 700);
		return true;
	case 1:
		set_peer6(sent, "::a00:1", 0);
		return true;
	case 2:
		sent->peer.ss_family = AF_UNIX;
		return true;
	case 3:
		sent->call.xid++;
		return true;
	case 4:
		sent->call.prog++;
		return true;
	case 5:
		sent->call.vers++;
		return true;
	case 6:
		sent->call.proc++;
		return true;
	case 7:
		sent->args[0]++;
		return true;
	case 8:
		sent->args[99]++;
		return true;
	case 9:
		sent->len--;
		return true;
	case 10:
		sent->len++;
		return true;
	case 11:
		sent->call.cred.uid++;
		return true;
	case 12:
		sent->call.cred.gid++;
		return true;
	case 13:
		sent->call.cred.gids[1]++;
		return true;
	case 14:
		sent->call.cred.ngids--;
		return true;
	case 15:
		sent->call.cred.flavor = 0;
		return true;
	default:
		return false;
	}
}

START_TEST(a_call_that_differs_in_one_part_is_another)
{
	struct sent sent;

	ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_FIRST);
	end(begun, "reply", true);
	for (int part = 0; change_part(make_sent(&sent, 1), part); part++) {
		ck_assert_msg(begin(&sent) == ORPC_REPLAY_FIRST, "part %d",
		              part);
		orpc_replay_abandon(begun);
	}
	assert_reply(1, "reply");
}
END_TEST

START_TEST(addresses_of_ipv6_are_told_apart_by_their_interface_too)
{
	static const struct {
		const char *address;
		uint32_t scope;
	} peers[] = { { "fe80::1", 1 }, { "fe80::1", 2 }, { "fe80::2", 1 } };
	struct sent sent;

	for (int i = 0; i < 3; i++) {
		make_sent(&sent, 1);
		set_peer6(&sent, peers[i].address, peers[i].scope);
		ck_assert_int_eq(begin(&sent), ORPC_REPLAY_FIRST);
		end(begun, peers[i].address, true);
	}
	for (int i = 0; i < 3; i++) {
		set_peer6(&sent, peers[i].address, peers[i].scope);
		ck_assert_int_eq(begin(&sent), ORPC_REPLAY_DONE);
		ck_assert_mem_eq(reply, peers[i].address, reply_len);
	}
}
END_TEST

/* A new connection has another one; a datagram is no other call. */
START_TEST(the_port_and_the_transport_tell_nothing)
{
	struct sent sent;

	carry_out(1, "reply");
	make_sent(&sent, 1);
	set_peer(&sent, "10.0.0.1", 701);
	sent.call.datagram = true;
	sent.call.max_results = 100;
	sent.call.cred.gids[2] = 9; /* behind the last one */
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_DONE);
}
END_TEST

/* Two names of 255 bytes, for example, and their directories. */
START_TEST(of_most_calls_all_of_the_arguments_tells)
{
	struct sent sent;

	make_sent(&sent, 1)->len = 1024;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_FIRST);
	end(begun, "reply", true);
	sent.args[1023]++;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_FIRST);
	orpc_replay_abandon(begun);
	sent.args[1023]--;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_DONE);
}
END_TEST

START_TEST(of_long_arguments_the_beginning_and_the_length_tell)
{
	struct sent sent;

	make_sent(&sent, 1)->len = LARGE;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_FIRST);
	end(begun, "reply", true);
	sent.args[500]++;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_FIRST);
	orpc_replay_abandon(begun);
	sent.args[500]--;
	sent.len -= 4;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_FIRST);
	orpc_replay_abandon(begun);
	sent.len += 4;
	ck_assert_int_eq(begin(&sent), ORPC_REPLAY_DONE);
}
END_TEST

/* ---- bounds --------------------------------------------------------------- */

START_TEST(of_too_many_replies_the_oldest_goes)
{
	for (uint32_t xid = 0; xid < 5; xid++)
		carry_out(xid, "reply");
	ck_assert_uint_eq(statistics().replay_entries, 4);
	for (uint32_t xid = 1; xid < 5; xid++)
		assert_reply(xid, "reply");
	ck_assert_int_eq(begin_xid(0), ORPC_REPLAY_FIRST);
	end(begun, "anew", true);
	assert_reply(0, "anew");
	ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_FIRST);
	orpc_replay_abandon(begun);
}
END_TEST

START_TEST(of_too_many_bytes_the_oldest_go)
{
	static unsigned char bytes[8000];
	uint64_t one;

	orpc_replays_free(replays);
	ck_assert_int_eq(orpc_replays_new(1000, 40000, 3, &replays), 0);
	for (uint32_t xid = 0; xid < 10; xid++) {
		ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_FIRST);
		orpc_replay_end(begun, bytes, sizeof(bytes), true);
		ck_assert_uint_le(statistics().replay_bytes, 40000);
		if (xid == 0)
			one = statistics().replay_bytes;
	}
	ck_assert_uint_gt(one, sizeof(bytes));
	ck_assert_uint_eq(statistics().replay_bytes, 4 * one);
	ck_assert_uint_eq(statistics().replay_entries, 4);
	for (uint32_t xid = 6; xid < 10; xid++)
		ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_DONE);
	ck_assert_int_eq(begin_xid(5), ORPC_REPLAY_FIRST);
	orpc_replay_abandon(begun);
}
END_TEST

START_TEST(a_reply_larger_than_all_is_not_kept)
{
	orpc_replays_free(replays);
	ck_assert_int_eq(orpc_replays_new(1000, 100, 3, &replays), 0);
	carry_out(1, "reply");
	ck_assert_uint_eq(statistics().replay_entries, 0);
	ck_assert_uint_eq(statistics().replay_bytes, 0);
}
END_TEST

START_TEST(many_replies_are_kept_within_the_bounds_too)
{
	const uint32_t n = 20000;
	uint64_t kept, found = 0;

	orpc_replays_free(replays);
	ck_assert_int_eq(orpc_replays_new(8000, 64 << 20, 3, &replays), 0);
	for (uint32_t xid = 0; xid < n; xid++)
		carry_out(xid, "reply");
	kept = statistics().replay_entries;
	ck_assert_uint_le(kept, 8000);
	ck_assert_uint_ge(kept, 7000);
	for (uint32_t xid = 0; xid < n; xid++) {
		if (begin_xid(xid) == ORPC_REPLAY_DONE)
			found++;
		else
			orpc_replay_abandon(begun);
	}
	ck_assert_uint_eq(found, kept);
	/* About the oldest are gone, each part having its own. */
	for (uint32_t xid = n - 4000; xid < n; xid++)
		ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_DONE);
}
END_TEST

START_TEST(what_runs_is_never_forgotten)
{
	struct orpc_replay *running[100];

	for (uint32_t xid = 0; xid < 100; xid++) {
		ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_FIRST);
		running[xid] = begun;
	}
	for (uint32_t xid = 100; xid < 200; xid++)
		carry_out(xid, "reply");
	for (uint32_t xid = 0; xid < 100; xid++) {
		ck_assert_int_eq(begin_xid(xid), ORPC_REPLAY_RUNS);
		ck_assert_ptr_eq(begun, running[xid]);
		orpc_replay_unref(begun);
	}
	ck_assert_uint_eq(statistics().replay_joins, 100);
	for (uint32_t xid = 0; xid < 100; xid++)
		end(running[xid], "reply", true);
	ck_assert_uint_eq(statistics().replay_entries, 4);
}
END_TEST

START_TEST(without_memory_nothing_is_begun)
{
	enum orpc_replay_state known, new;
	struct sent sent[2];

	carry_out(1, "reply");
	make_sent(&sent[0], 1);
	make_sent(&sent[1], 2);
	atomic_store(&lacking, true);
	known = begin(&sent[0]);
	new = begin(&sent[1]);
	atomic_store(&lacking, false);
	ck_assert_int_eq(known, ORPC_REPLAY_DONE);
	ck_assert_int_eq(new, ORPC_REPLAY_NO_MEMORY);
}
END_TEST

/* ---- joining -------------------------------------------------------------- */

struct waiter {
	struct orpc_joiner joiner;
	char reply[64]; /* "": none, "-": it was abandoned */
};

static void answer(struct orpc_task *task)
{
	struct waiter *waiter =
		orpc_container(task, struct waiter, joiner.task);
	size_t len;
	const unsigned char *text = orpc_joiner_reply(&waiter->joiner, &len);

	ck_assert_str_eq(waiter->reply, "");
	if (text)
		memcpy(waiter->reply, text, len);
	else
		strcpy(waiter->reply, "-");
	orpc_replay_part(&waiter->joiner);
}

static bool join(struct waiter *waiter, struct orpc_loop *home, bool must)
{
	*waiter = (struct waiter){ .joiner.task.run = answer,
		                   .joiner.loop = home };
	return orpc_replay_join(begun, &waiter->joiner, must);
}

static void end_loop(struct orpc_task *task)
{
	(void)task;
	orpc_loop_end(&loop);
}

static void turned(struct orpc_loop *turning)
{
	(void)turning;
}

/* What has been posted until now is run. */
static void run_loop(void)
{
	struct orpc_task last = { .run = end_loop };

	loop.over = false;
	loop.turned = turned;
	orpc_loop_post(&loop, &last);
	orpc_loop_run(&loop);
}

/* Call 1 runs, and so many have joined it. */
static struct orpc_replay *run_with(struct waiter *waiters, int n)
{
	struct orpc_replay *first;

	ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_FIRST);
	first = begun;
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_RUNS);
		ck_assert(join(&waiters[i], &loop, false));
	}
	run_loop();
	for (int i = 0; i < n; i++)
		ck_assert_str_eq(waiters[i].reply, "");
	return first;
}

START_TEST(who_joins_gets_the_reply_when_it_is_there)
{
	struct waiter waiters[3];

	end(run_with(waiters, 3), "reply", true);
	run_loop();
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(waiters[i].reply, "reply");
	assert_reply(1, "reply");
}
END_TEST

START_TEST(a_reply_that_counts_for_now_goes_to_who_has_joined_alone)
{
	struct waiter waiters[2];

	end(run_with(waiters, 2), "later", false);
	run_loop();
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(waiters[i].reply, "later");
	ck_assert_uint_eq(statistics().replay_entries, 0);
	carry_out(1, "reply");
	assert_reply(1, "reply");
}
END_TEST

START_TEST(who_has_joined_what_is_abandoned_is_told)
{
	struct waiter waiters[2];

	orpc_replay_abandon(run_with(waiters, 2));
	run_loop();
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(waiters[i].reply, "-");
	carry_out(1, "reply");
}
END_TEST

START_TEST(without_memory_for_the_reply_it_is_as_abandoned)
{
	struct waiter waiters[2];
	struct orpc_replay *first = run_with(waiters, 2);

	atomic_store(&lacking, true);
	end(first, "reply", true);
	atomic_store(&lacking, false);
	run_loop();
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(waiters[i].reply, "-");
	carry_out(1, "reply");
}
END_TEST

/* It ends between the two steps of joining. */
START_TEST(who_joins_too_late_gets_the_reply_at_once)
{
	struct orpc_replay *first;
	struct waiter waiter;

	for (uint32_t keep = 0; keep < 2; keep++) {
		ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_FIRST);
		first = begun;
		ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_RUNS);
		end(first, "reply", keep == 1);
		for (uint32_t xid = 2; xid < 10; xid++)
			carry_out(xid + 10 * keep, "x");
		ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_FIRST);
		orpc_replay_abandon(begun);
		begun = first;
		ck_assert(join(&waiter, &loop, false));
		run_loop();
		ck_assert_str_eq(waiter.reply, "reply");
	}
}
END_TEST

START_TEST(who_leaves_hears_nothing)
{
	struct waiter waiters[3];
	struct orpc_replay *first = run_with(waiters, 3);

	ck_assert(orpc_replay_leave(&waiters[1].joiner));
	end(first, "reply", true);
	/* Too late: the task is on its way. */
	ck_assert(!orpc_replay_leave(&waiters[0].joiner));
	run_loop();
	ck_assert_str_eq(waiters[0].reply, "reply");
	ck_assert_str_eq(waiters[1].reply, "");
	ck_assert_str_eq(waiters[2].reply, "reply");
}
END_TEST

START_TEST(only_so_many_may_join_but_who_must)
{
	struct waiter waiters[5];
	struct orpc_replay *first = run_with(waiters, 3);

	for (int i = 3; i < 5; i++) {
		ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_RUNS);
		ck_assert(!join(&waiters[i], &loop, false));
		ck_assert(join(&waiters[i], &loop, true));
	}
	/* Those that leave, and those that part, make room. */
	for (int i = 2; i < 5; i++)
		ck_assert(orpc_replay_leave(&waiters[i].joiner));
	ck_assert_int_eq(begin_xid(1), ORPC_REPLAY_RUNS);
	ck_assert(join(&waiters[2], &loop, false));
	end(first, "reply", false);
	run_loop();
	ck_assert_str_eq(waiters[2].reply, "reply");
	end(run_with(waiters, 3), "again", true);
	run_loop();
}
END_TEST

/* ---- threads -------------------------------------------------------------- */

#define THREADS 4
#define CALLS 2000

static atomic_uint carried_out[CALLS], answered;

struct worker {
	pthread_t thread;
	struct orpc_loop loop;
	struct waiter waiter;
	struct orpc_task last;
	bool waits;
};

/* The reply to call `xid` is its number. */
static void check_reply(uint32_t xid, const char *text, size_t len)
{
	ck_assert_uint_eq(len, sizeof(xid));
	ck_assert_mem_eq(text, &xid, len);
	atomic_fetch_add(&answered, 1);
}

static void answer_worker(struct orpc_task *task)
{
	struct waiter *waiter =
		orpc_container(task, struct waiter, joiner.task);
	struct worker *worker = orpc_container(waiter, struct worker, waiter);
	size_t len;
	const unsigned char *text = orpc_joiner_reply(&waiter->joiner, &len);

	memcpy(waiter->reply, text, len);
	orpc_replay_part(&waiter->joiner);
	orpc_loop_end(&worker->loop);
}

static void do_call(struct worker *worker, uint32_t xid)
{
	struct orpc_joiner *joiner = &worker->waiter.joiner;
	struct orpc_replay *replay;
	unsigned char text[64];
	struct sent sent;
	size_t len;

	make_sent(&sent, xid);
	switch (orpc_replay_begin(replays, &sent.call, sent.args, sent.len,
	                          &replay, text, &len)) {
	case ORPC_REPLAY_FIRST:
		atomic_fetch_add(&carried_out[xid], 1);
		orpc_replay_end(replay, (unsigned char *)&xid, sizeof(xid),
		                true);
		atomic_fetch_add(&answered, 1);
		break;
	case ORPC_REPLAY_RUNS:
		*joiner = (struct orpc_joiner){ .task.run = answer_worker,
			                        .loop = &worker->loop };
		ck_assert(orpc_replay_join(replay, joiner, true));
		if (xid % 3 == 0 && orpc_replay_leave(joiner)) {
			atomic_fetch_add(&answered, 1);
			break;
		}
		worker->loop.over = false;
		orpc_loop_run(&worker->loop);
		check_reply(xid, worker->waiter.reply, sizeof(xid));
		break;
	case ORPC_REPLAY_DONE:
		check_reply(xid, (char *)text, len);
		break;
	case ORPC_REPLAY_NO_MEMORY:
		ck_abort();
	}
}

static void *work(void *arg)
{
	for (uint32_t xid = 0; xid < CALLS; xid++)
		do_call(arg, xid);
	return NULL;
}

START_TEST(of_many_at_once_one_carries_it_out)
{
	static struct worker workers[THREADS];

	orpc_replays_free(replays);
	ck_assert_int_eq(orpc_replays_new(65536, 64 << 20, 2, &replays), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(orpc_loop_init(&workers[i].loop, turned), 0);
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work,
		                                &workers[i]),
		                 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (int i = 0; i < THREADS; i++)
		orpc_loop_release(&workers[i].loop);
	for (int i = 0; i < CALLS; i++)
		ck_assert_uint_eq(carried_out[i], 1);
	ck_assert_uint_eq(answered, THREADS * CALLS);
	ck_assert_uint_eq(statistics().replay_misses, CALLS);
	ck_assert_uint_eq(statistics().replay_hits + statistics().replay_joins,
	                  (THREADS - 1) * CALLS);
}
END_TEST

static TCase *keys_case(void)
{
	TCase *tcase = tcase_create("keys");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
	               a_call_that_comes_again_gets_the_reply_of_the_first);
	tcase_add_test(tcase, a_call_that_differs_in_one_part_is_another);
	tcase_add_test(tcase,
	               addresses_of_ipv6_are_told_apart_by_their_interface_too);
	tcase_add_test(tcase, the_port_and_the_transport_tell_nothing);
	tcase_add_test(tcase, of_most_calls_all_of_the_arguments_tells);
	tcase_add_test(tcase,
	               of_long_arguments_the_beginning_and_the_length_tell);
	return tcase;
}

static TCase *bounds_case(void)
{
	TCase *tcase = tcase_create("bounds");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, of_too_many_replies_the_oldest_goes);
	tcase_add_test(tcase, of_too_many_bytes_the_oldest_go);
	tcase_add_test(tcase, a_reply_larger_than_all_is_not_kept);
	tcase_add_test(tcase, many_replies_are_kept_within_the_bounds_too);
	tcase_add_test(tcase, what_runs_is_never_forgotten);
	tcase_add_test(tcase, without_memory_nothing_is_begun);
	return tcase;
}

static TCase *joining_case(void)
{
	TCase *tcase = tcase_create("joining");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, who_joins_gets_the_reply_when_it_is_there);
	tcase_add_test(
		tcase,
		a_reply_that_counts_for_now_goes_to_who_has_joined_alone);
	tcase_add_test(tcase, who_has_joined_what_is_abandoned_is_told);
	tcase_add_test(tcase, without_memory_for_the_reply_it_is_as_abandoned);
	tcase_add_test(tcase, who_joins_too_late_gets_the_reply_at_once);
	tcase_add_test(tcase, who_leaves_hears_nothing);
	tcase_add_test(tcase, only_so_many_may_join_but_who_must);
	tcase_add_test(tcase, of_many_at_once_one_carries_it_out);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("replay");

	suite_add_tcase(suite, keys_case());
	suite_add_tcase(suite, bounds_case());
	suite_add_tcase(suite, joining_case());
	return suite_run(suite);
}
