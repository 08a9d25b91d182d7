/*
 * Attacks on the transport: a client that has many connections, and does on them
 * what no client should.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/attack/crowd.h"
#include "tests/attack/siege.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define MANY 10000u
#define MAX_CONNECTIONS 1024u
#define LARGE (1u << 20)

static struct siege siege;
static char handle_bytes[64];
static nfs_fh3 large; /* a file of LARGE bytes */

static void start(const char *max_connections)
{
	nfs_fh3 fh;

	siege_start(&siege, max_connections);
	fh = nfs_find(siege.client, nfs_root(siege.client), "large");
	memcpy(handle_bytes, fh.data.data_val, fh.data.data_len);
	large = (nfs_fh3){ { fh.data.data_len, handle_bytes } };
}

static void setup(void)
{
	char path[PATH_MAX];

	siege_prepare(&siege);
	daemon_write(siege.daemon, "lower/large", "");
	ck_assert_int_eq(
		truncate(daemon_path(siege.daemon, "lower/large", path), LARGE),
		0);
}

static void teardown(void)
{
	siege_end(&siege);
}

static bool goes_on(void)
{
	return !atomic_load(&siege.over);
}

static void count(uint64_t deeds)
{
	atomic_fetch_add(&siege.deeds, deeds);
}

/* A READ of the whole large file. */
static unsigned char *read_record(size_t *len)
{
	READ3args args = { .file = large, .count = LARGE };

	return crowd_record(NFSPROC3_READ, &args, len);
}

/* A WRITE as long as one can be, with a handle that nobody has. */
static unsigned char *write_record(size_t *len)
{
	static char data[LARGE], forged[32];
	WRITE3args args = { .file = { { sizeof(forged), forged } },
		            .count = LARGE,
		            .data = { LARGE, data } };

	return crowd_record(NFSPROC3_WRITE, &args, len);
}

/* ---- opened and left --------------------------------------------------------- */

/* They stay open, and when all are, those that were closed come again. */
static void open_and_leave(struct siege *besieged)
{
	struct crowd crowd;
	unsigned n = crowd_limit(MANY);

	crowd_init(&crowd, besieged->daemon, n);
	for (unsigned i = 0; goes_on() && i < n; i++)
		count(crowd_connect(&crowd, i));
	for (unsigned i = 0; goes_on(); i = (i + 1) % n) {
		crowd_receive(&crowd, i);
		count(crowd.members[i].fd < 0 && crowd_connect(&crowd, i));
		usleep(100);
	}
	crowd_release(&crowd);
}

START_TEST(connections_are_opened_and_left)
{
	char what[64];

	start("1024");
	/* As many as the limit on descriptors allows. */
	snprintf(what, sizeof(what), "%u connections opened and left",
	         crowd_limit(MANY));
	siege_withstand(&siege, what, "connections in all", open_and_leave);
	ck_assert_uint_le(siege_statistic(&siege, "veneer_connections"),
	                  MAX_CONNECTIONS);
}
END_TEST

/* ---- a byte a second ------------------------------------------------------------ */

/* As many as may be, each with a part of a record that takes days to send; some
 * have sent more of it to begin with. */
static void send_slowly(struct siege *besieged)
{
	static const size_t begin_with[] = { 1, 4, 300, 5000 };
	enum { N = 1000, STEP_US = 1000000 / N };
	struct crowd crowd;
	unsigned char *record;
	size_t len;

	record = write_record(&len);
	crowd_init(&crowd, besieged->daemon, N);
	for (unsigned i = 0; goes_on(); i = (i + 1) % N) {
		struct crowd_member *member = &crowd.members[i];
		bool fresh = member->fd < 0 && crowd_connect(&crowd, i);

		crowd_receive(&crowd, i);
		count(crowd_send(&crowd, i, record, len,
		                 fresh ? begin_with[i % 4] : 1));
		if (i % 8 == 0)
			usleep(8 * STEP_US);
	}
	crowd_release(&crowd);
	free(record);
}

START_TEST(connections_send_a_byte_a_second)
{
	start("1024");
	siege_withstand(&siege, "1,000 connections, a byte a second each",
	                "bytes", send_slowly);
}
END_TEST

/* ---- replies that nobody reads ---------------------------------------------------- */

static void never_read(struct siege *besieged, unsigned n)
{
	struct crowd crowd;
	unsigned char *record;
	size_t len;

	record = read_record(&len);
	crowd_init(&crowd, besieged->daemon, n);
	crowd.receive_buffer = 4096;
	while (goes_on()) {
		for (unsigned i = 0; goes_on() && i < n; i++) {
			if (!crowd_connect(&crowd, i))
				continue;
			count(crowd_send(&crowd, i, record, len, 64 * len) /
			      len);
		}
		usleep(10000);
	}
	crowd_release(&crowd);
	free(record);
}

static void read_nothing(struct siege *besieged)
{
	never_read(besieged, SIEGE_IS_SANITIZED ? 24 : 200);
}

START_TEST(replies_are_never_read)
{
	start("1024");
	siege_withstand(&siege, "connections that read no reply",
	                "calls for a megabyte", read_nothing);
}
END_TEST

/* All places are taken by who owes the reading of a reply, and is never idle. */
START_TEST(whoever_comes_anew_finds_a_place)
{
	enum { PLACES = 8 };
	struct crowd crowd;
	struct client *client;
	unsigned char *record;
	unsigned tries = 0;
	void *done = NULL;
	size_t len;

	start("8");
	record = read_record(&len);
	crowd_init(&crowd, siege.daemon, PLACES);
	crowd.receive_buffer = 4096;
	for (unsigned i = 0; i < PLACES; i++) {
		ck_assert(crowd_connect(&crowd, i));
		crowd_send(&crowd, i, record, len, 3 * len);
	}
	usleep(500000);
	/* As a client would; those who owe have two seconds and a half. */
	while (!done && ++tries < 100) {
		client = client_new(daemon_connect(siege.daemon));
		client->may_end = true;
		done = nfs_getattr(client, large);
		client_free(client);
		usleep(100000);
	}
	printf("all places taken by who reads nothing: a new one is served at "
	       "the %u. try, 0.1 s apart\n",
	       tries);
	fflush(stdout);
	ck_assert_ptr_nonnull(done);
	crowd_release(&crowd);
	free(record);
}
END_TEST

/* ---- large records ------------------------------------------------------------------ */

static void send_large(struct siege *besieged)
{
	enum { N = 200 };
	struct crowd crowd;
	unsigned char *record;
	size_t len, bytes = 0;

	record = write_record(&len);
	crowd_init(&crowd, besieged->daemon, N);
	while (goes_on()) {
		size_t before = bytes;

		for (unsigned i = 0; goes_on() && i < N; i++) {
			if (!crowd_connect(&crowd, i))
				continue;
			bytes += crowd_send(&crowd, i, record, len, 65536);
			crowd_receive(&crowd, i);
		}
		count(bytes / len - before / len);
		if (bytes == before)
			usleep(1000);
	}
	crowd_release(&crowd);
	free(record);
}

START_TEST(records_are_as_large_as_can_be)
{
	start("1024");
	siege_withstand(&siege,
	                "the largest records on 200 connections at once",
	                "records", send_large);
}
END_TEST

/* Each stops in the middle of one, and goes on when he has been closed. */
static void stop_midway(struct siege *besieged)
{
	enum { N = 200 };
	struct crowd crowd;
	unsigned char *record;
	size_t len;

	record = write_record(&len);
	crowd_init(&crowd, besieged->daemon, N);
	while (goes_on()) {
		for (unsigned i = 0; goes_on() && i < N; i++) {
			bool fresh = crowd.members[i].fd < 0 &&
			             crowd_connect(&crowd, i);

			crowd_receive(&crowd, i);
			if (crowd.members[i].fd >= 0 &&
			    crowd.members[i].sent < LARGE / 2)
				crowd_send(&crowd, i, record, len,
				           LARGE / 2 - crowd.members[i].sent);
			count(fresh);
		}
		usleep(10000);
	}
	crowd_release(&crowd);
	free(record);
}

START_TEST(records_stop_midway)
{
	start("1024");
	siege_withstand(&siege, "200 connections that stop midway in a record",
	                "records", stop_midway);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attacks on connections");

	siege_add(suite, "opened", connections_are_opened_and_left, setup,
	          teardown);
	siege_add(suite, "slow", connections_send_a_byte_a_second, setup,
	          teardown);
	siege_add(suite, "unread", replies_are_never_read, setup, teardown);
	siege_add(suite, "place", whoever_comes_anew_finds_a_place, setup,
	          teardown);
	siege_add(suite, "large", records_are_as_large_as_can_be, setup,
	          teardown);
	siege_add(suite, "midway", records_stop_midway, setup, teardown);
	return suite_run(suite);
}
