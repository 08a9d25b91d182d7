/*
 * veneerd in the long run: what it holds open and what memory it has do not grow
 * with the calls that it has answered, and its statistics say so (trap 29).
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#define DIRS 8
#define FILES 50
#define CLIENTS 4
#define TURNS 15 /* of each client, a round */

#define MAX_FILES 64
#define MAX_ENTRIES 300
/* Layers, listeners, event loops, what is kept; and of the calls that run. */
#define OTHER_FILES 40

/* What is bounded may still be filling up in a sample. */
#define SLACK_KIB 4096
#define SLACK_KIB_OF_ALL 1024

/* Sanitizers keep what is freed, for a while: then memory tells nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__clang__)
#define IS_SANITIZED \
	(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define IS_SANITIZED false
#endif

static struct daemon *veneerd;
static uint64_t seed;
static char stats_path[PATH_MAX];

static unsigned pick(unsigned of)
{
	return (unsigned)(test_random(&seed) % of);
}

static void setup(void)
{
	char path[64];

	veneerd = daemon_new();
	daemon_path(veneerd, "stats", stats_path);
	for (unsigned d = 0; d < DIRS; d++) {
		snprintf(path, sizeof(path), "lower/dir%u", d);
		daemon_mkdir(veneerd, path);
		for (unsigned f = 0; f < FILES; f++) {
			snprintf(path, sizeof(path), "lower/dir%u/file%u", d,
			         f);
			daemon_write(veneerd, path, "text");
		}
	}
}

static void teardown(void)
{
	daemon_free(veneerd);
}

static void start(void)
{
	char layers[1024];
	const char *const arguments[] = {
		"-o",
		layers,
		"-o",
		"insecure,no_root_squash,async",
		"--max-files",
		"64",
		"--max-entries",
		"300",
		"--max-memory",
		"32M",
		"--threads",
		"2",
		"--stats",
		stats_path,
		NULL,
	};

	snprintf(layers, sizeof(layers),
	         "lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work",
	         veneerd->top);
	/* A heap for each thread would take hours to settle. */
	setenv("MALLOC_ARENA_MAX", "1", 1);
	daemon_serve(veneerd, arguments);
}

static struct client *connect_to_it(void)
{
	struct client *client = client_new(daemon_connect(veneerd));

	client->patient = true;
	client->xid = (uint32_t)test_random(&seed);
	return client;
}

/* ---- the calls ------------------------------------------------------------------ */

static nfs_fh3 find_dir(struct client *client)
{
	char name[16];

	snprintf(name, sizeof(name), "dir%u", pick(DIRS));
	return nfs_find(client, nfs_root(client), name);
}

static nfs_fh3 find_file(struct client *client)
{
	char name[16];

	snprintf(name, sizeof(name), "file%u", pick(FILES));
	return nfs_find(client, find_dir(client), name);
}

static void ck_status(nfsstat3 status)
{
	ck_assert_int_eq(status, NFS3_OK);
}

static void use_file(struct client *client)
{
	nfs_fh3 file = find_file(client);

	nfs_attributes(client, file);
	ck_status(nfs_access(client, file, ACCESS3_READ)->status);
	ck_status(nfs_read(client, file, 0, 4096)->status);
	ck_status(nfs_write(client, file, pick(4) * 4096, "more", 4, UNSTABLE)
	                  ->status);
	if (pick(4) == 0)
		ck_status(nfs_commit(client, file, 0, 0)->status);
	ck_status(nfs_setattr(client, file, set_mode(0640))->status);
}

/* What is made is removed again. */
static void make_and_remove(struct client *client)
{
	nfs_fh3 dir = find_dir(client), other = find_dir(client), file;

	file = nfs_new_file(client, dir, "new", 0600);
	nfs_put_text(client, file, "new");
	ck_status(nfs_link(client, file, other, "link")->status);
	ck_status(nfs_rename(client, dir, "new", other, "moved")->status);
	ck_status(nfs_remove(client, other, "moved")->status);
	ck_status(nfs_remove(client, other, "link")->status);
	ck_assert_int_eq(nfs_getattr(client, file)->status, NFS3ERR_STALE);
	ck_status(nfs_symlink(client, dir, "symlink", "target")->status);
	ck_status(nfs_remove(client, dir, "symlink")->status);
	nfs_new_dir(client, dir, "new", 0700);
	ck_status(nfs_rename(client, dir, "new", other, "moved")->status);
	ck_status(nfs_rmdir(client, other, "moved")->status);
}

static void list(struct client *client)
{
	nfs_fh3 dir = find_dir(client);

	ck_status(nfs_readdirplus(client, dir, 0, 65536, 65536)->status);
	ck_status(nfs_readdir(client, dir, 0, 65536)->status);
	ck_status(nfs_fsstat(client, dir)->status);
	ck_assert_int_eq(nfs_lookup(client, dir, "nothing")->status,
	                 NFS3ERR_NOENT);
}

/* Several clients at a time, which come and go. */
static void run_round(void)
{
	struct client *clients[CLIENTS];

	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = connect_to_it();
	for (unsigned turn = 0; turn < TURNS * CLIENTS; turn++) {
		struct client *client = clients[turn % CLIENTS];

		use_file(client);
		if (turn % 4 == 0)
			make_and_remove(client);
		if (turn % 8 == 0)
			list(client);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		client_free(clients[i]);
}

/* Each file is copied up, and all is in memory that ever will be. */
static void use_all(void)
{
	struct client *client = connect_to_it();
	char path[32];

	for (unsigned d = 0; d < DIRS; d++)
		for (unsigned f = 0; f < FILES; f++) {
			snprintf(path, sizeof(path), "dir%u/file%u", d, f);
			nfs_put_text(client,
			             nfs_find(client, nfs_root(client), path),
			             "text");
		}
	client_free(client);
}

/* ---- what it has ------------------------------------------------------------------ */

static unsigned count_files(void)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)veneerd->pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 2;
}

static unsigned anonymous_kib(void)
{
	char line[256];
	unsigned kib = 0;
	FILE *file;

	snprintf(line, sizeof(line), "/proc/%d/status", (int)veneerd->pid);
	file = fopen(line, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "RssAnon: %u kB", &kib);
	fclose(file);
	ck_assert_uint_gt(kib, 0);
	return kib;
}

/* A number of the statistics' file; UINT64_MAX: it is not there (yet). */
static uint64_t statistic(const char *name)
{
	FILE *file = fopen(stats_path, "re");
	uint64_t value = UINT64_MAX;
	size_t len = strlen(name);
	char line[256];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, len) == 0 &&
		    strchr(" {", line[len]) != NULL)
			value = strtoull(strrchr(line, ' ') + 1, NULL, 10);
	if (file != NULL)
		fclose(file);
	return value;
}

/* Within seconds: once all clients are gone, and that has been written. */
static void wait_for_statistics(void)
{
	uint64_t calls = UINT64_MAX, before;

	for (unsigned i = 0; i < 200; i++) {
		before = calls;
		calls = statistic("veneer_calls_total");
		if (calls == before && calls != UINT64_MAX &&
		    statistic("veneer_connections") == 0)
			return;
		usleep(100000);
	}
	ck_abort_msg("the statistics are late");
}

static void check_statistics(void)
{
	wait_for_statistics();
	ck_assert_uint_gt(statistic("veneer_open_files"), 0);
	ck_assert_uint_le(statistic("veneer_open_files"), MAX_FILES);
	/* The lower layers' and the overlay's; and one large directory's. */
	ck_assert_uint_gt(statistic("veneer_entries"), 0);
	ck_assert_uint_le(statistic("veneer_entries"),
	                  2 * (MAX_ENTRIES + FILES));
	ck_assert_uint_le(statistic("veneer_cache_bytes"),
	                  anonymous_kib() * UINT64_C(1024));
}

static void run_rounds(int rounds)
{
	while (rounds-- > 0) {
		run_round();
		ck_assert_uint_le(count_files(), MAX_FILES + OTHER_FILES);
	}
}

START_TEST(files_and_memory_do_not_grow_with_the_calls)
{
	int rounds = test_rounds("TEST_ROUNDS", 3, 200);
	unsigned slack = getenv("TEST_FULL") ? SLACK_KIB_OF_ALL : SLACK_KIB;
	unsigned early, late;

	seed = test_seed();
	start();
	use_all();
	run_rounds(rounds);
	early = anonymous_kib();
	run_rounds(3 * rounds);
	late = anonymous_kib();
	printf("%u files; %u KiB, then %u KiB\n", count_files(), early, late);
	check_statistics();
	if (!IS_SANITIZED)
		ck_assert_uint_le(late, early + slack);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("long run");
	TCase *tcase = tcase_create("long run");

	tcase_set_timeout(tcase, getenv("TEST_FULL") ? 1200 : 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, files_and_memory_do_not_grow_with_the_calls);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	if (getenv("VENEERD") == NULL) {
		puts("VENEERD is not set");
		return 77;
	}
	return suite_run(suite());
}
