#include "config.h"

#include "tests/attack/siege.h"

#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/attack/peer.h"
#include "tests/unit/seed.h"

/* How long the peer is alone, and then besieged. */
#define ALONE_MS 700
#define SIEGE_MS 2500
#define SIEGE_MS_FULL 30000
#define SAMPLE_MS 20

/* What the README says that the server has by itself, at most. */
#define OWN_MIB 24u
#define MAX_LINES 50u
#define PATIENCE_MS (SIEGE_IS_SANITIZED ? 2000.0 : 250.0)
#define PATIENCE_TIMES 20.0

static void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

/* ---- the server ------------------------------------------------------------ */

void siege_prepare(struct siege *siege)
{
	memset(siege, 0, sizeof(*siege));
	siege->upper = "";
	siege->daemon = daemon_new();
	peer_make_file(siege->daemon);
}

static void serve(struct siege *siege)
{
	char layers[1024], stats[PATH_MAX];
	const char *const arguments[] = {
		"-o",
		layers,
		"-o",
		"insecure,no_root_squash,async",
		"--max-memory",
		SIEGE_MEMORY,
		"--threads",
		"2",
		"--stats",
		daemon_path(siege->daemon, "stats", stats),
		"--max-connections",
		siege->max_connections,
		NULL,
	};

	snprintf(layers, sizeof(layers),
	         "lowerdir=%1$s/lower,upperdir=%1$s%2$s/upper,"
	         "workdir=%1$s%2$s/work",
	         siege->daemon->top, siege->upper);
	daemon_serve(siege->daemon, arguments);
	siege->client = client_new(daemon_connect(siege->daemon));
	siege->client->patient = true;
}

void siege_start(struct siege *siege, const char *max_connections)
{
	siege->max_connections = max_connections;
	serve(siege);
}

void siege_stop(struct siege *siege)
{
	client_free(siege->client);
	siege->client = NULL;
	ck_assert_int_eq(daemon_end(siege->daemon, SIGTERM), 0);
}

void siege_restart(struct siege *siege)
{
	serve(siege);
}

void siege_end(struct siege *siege)
{
	client_free(siege->client);
	daemon_free(siege->daemon);
}

/* ---- looking at it ----------------------------------------------------------- */

static unsigned anonymous_kib(const struct siege *siege)
{
	char line[256];
	unsigned kib = 0;
	FILE *file;

	snprintf(line, sizeof(line), "/proc/%d/status",
	         (int)siege->daemon->pid);
	file = fopen(line, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "RssAnon: %u kB", &kib);
	fclose(file);
	ck_assert_msg(kib > 0, "the server has ended");
	return kib;
}

static unsigned log_lines(const struct siege *siege)
{
	char path[PATH_MAX];
	FILE *file = fopen(daemon_path(siege->daemon, "log", path), "re");
	unsigned n = 0;
	int c;

	ck_assert_ptr_nonnull(file);
	while ((c = getc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

uint64_t siege_statistic(struct siege *siege, const char *name)
{
	char path[PATH_MAX], line[256];
	uint64_t value = UINT64_MAX;
	FILE *file;

	sleep_ms(1500); /* they are written every second */
	file = fopen(daemon_path(siege->daemon, "stats", path), "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0 &&
		    strchr(" {", line[strlen(name)]) != NULL)
			value = strtoull(strrchr(line, ' ') + 1, NULL, 10);
	fclose(file);
	ck_assert_msg(value != UINT64_MAX, "no statistic %s", name);
	return value;
}

/* ---- the siege ---------------------------------------------------------------- */

struct attacker {
	struct siege *siege;
	siege_attack_fn *attack;
};

static void *do_his_worst(void *arg)
{
	struct attacker *attacker = arg;

	attacker->attack(attacker->siege);
	return NULL;
}

/* The most memory that the server had in that time. */
static unsigned watch(struct siege *siege, unsigned ms)
{
	unsigned most = 0;

	for (unsigned i = 0; i < ms / SAMPLE_MS; i++) {
		unsigned kib = anonymous_kib(siege);

		most = kib > most ? kib : most;
		sleep_ms(SAMPLE_MS);
	}
	return most;
}

static struct peer_times call_alone(struct peer *peer)
{
	peer_begin(peer);
	sleep_ms(ALONE_MS);
	return peer_end(peer);
}

void siege_withstand(struct siege *siege, const char *what, const char *deeds,
                     siege_attack_fn *attack)
{
	const unsigned ms =
		(unsigned)test_rounds("TEST_SIEGE_MS", SIEGE_MS, SIEGE_MS_FULL);
	struct attacker attacker = { siege, attack };
	struct peer *peer = peer_new(siege->daemon);
	const struct peer_times alone = call_alone(peer);
	const double patience = PATIENCE_MS + PATIENCE_TIMES * alone.p99;
	unsigned lines = log_lines(siege), kib;
	struct peer_times then;
	pthread_t thread;

	atomic_store(&siege->over, false);
	atomic_store(&siege->deeds, 0);
	peer_begin(peer);
	ck_assert_int_eq(pthread_create(&thread, NULL, do_his_worst, &attacker),
	                 0);
	kib = watch(siege, ms);
	then = peer_end(peer);
	atomic_store(&siege->over, true);
	pthread_join(thread, NULL);
	peer_free(peer);
	lines = log_lines(siege) - lines;
	printf("%s: %" PRIu64 " %s; p99 alone %.1f ms, under attack %.1f ms "
	       "(median %.1f, worst %.0f, %zu calls, %u connections lost); "
	       "memory %.1f of %u MiB; %u log lines\n",
	       what, atomic_load(&siege->deeds), deeds, alone.p99, then.p99,
	       then.median, then.worst, then.calls, then.reconnected,
	       kib / 1024.0, SIEGE_MEMORY_MIB, lines);
	fflush(stdout);
	ck_assert_double_lt(then.p99, patience);
	/* Sanitizers keep what is freed, for a while. */
	if (!SIEGE_IS_SANITIZED)
		ck_assert_uint_le(kib, (SIEGE_MEMORY_MIB + OWN_MIB) * 1024);
	ck_assert_uint_lt(lines, MAX_LINES);
}

void siege_add(Suite *suite, const char *name, const TTest *test, SFun setup,
               SFun teardown)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, getenv("TEST_FULL") ? 600 : 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test);
	suite_add_tcase(suite, tcase);
}
