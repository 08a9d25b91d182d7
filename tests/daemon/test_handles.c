/*
 * Handles at scale: many files, and a server that knows little of them by itself.
 * A sample; with TEST_FULL, of a million files.
 *
 * The layers are on tmpfs where /dev/shm is one, so that it is the server that is
 * measured. What is measured is printed.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "overlay/store.h"
#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#define OPTIONS "insecure,no_root_squash,async"
#define PER_DIR 1000
#define FEW_ENTRIES "1000"

static struct daemon *veneerd;
/* Whose lower layer has the files, for all tests; its server never runs. */
static struct daemon *forest;
static struct daemon *lower; /* whose lower layer is served */
static unsigned ndirs;
static uint64_t random_state;

/* ---- time ------------------------------------------------------------------- */

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts them, and prints what they are: in seconds, told in ms. */
static void tell(const char *what, double *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare);
	printf("%s: median %.3f ms, 99 of 100 in %.3f ms, all in %.3f ms\n",
	       what, times[n / 2] * 1e3, times[n * 99 / 100] * 1e3,
	       times[n - 1] * 1e3);
}

/* ---- the layers --------------------------------------------------------------- */

/* `n` files of the lower layer, PER_DIR in each directory. */
static void make_files(struct daemon *of, unsigned n)
{
	char name[64], path[PATH_MAX];

	lower = of;
	ndirs = n / PER_DIR;
	for (unsigned i = 0; i < ndirs; i++) {
		int fd;

		if (i % 100 == 0) {
			snprintf(name, sizeof(name), "lower/a%u", i / 100);
			daemon_mkdir(of, name);
		}
		snprintf(name, sizeof(name), "lower/a%u/d%u", i / 100, i);
		daemon_mkdir(of, name);
		fd = open(daemon_path(of, name, path),
		          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (unsigned k = 0; k < PER_DIR; k++) {
			snprintf(name, sizeof(name), "file%u", k);
			ck_assert_int_eq(mknodat(fd, name, S_IFREG | 0644, 0),
			                 0);
		}
		close(fd);
	}
}

static void plant(void)
{
	/* A million files are not for a disk. */
	if (getenv("TEST_FULL") && !access("/dev/shm", W_OK))
		setenv("TMPDIR", "/dev/shm", 1);
	forest = daemon_new();
	make_files(forest, (unsigned)test_rounds("TEST_FILES", 5000, 1000000));
}

static void fell(void)
{
	daemon_free(forest);
}

static void setup(void)
{
	veneerd = daemon_new();
	lower = forest;
	random_state = test_seed();
}

static void teardown(void)
{
	daemon_free(veneerd);
}

/* Within few entries, or many; returns the time that it took to start. */
static double start(const char *max_entries)
{
	char layers[1024], stats[512];
	const char *const arguments[] = {
		"-o",  layers,          "-o",        OPTIONS, "--stats",
		stats, "--max-entries", max_entries, NULL
	};
	double begun = now();

	snprintf(layers, sizeof(layers),
	         "lowerdir=%2$s/lower,upperdir=%1$s/upper,workdir=%1$s/work",
	         veneerd->top, lower->top);
	snprintf(stats, sizeof(stats), "%s/stats", veneerd->top);
	daemon_serve(veneerd, arguments);
	return now() - begun;
}

static struct client *connect_to_it(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons(veneerd->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	ck_assert_int_eq(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return client_new(fd);
}

static unsigned long value_of(const char *path, const char *head)
{
	FILE *file = fopen(path, "re");
	unsigned long value = 0;
	char line[256];
	bool found = false;

	ck_assert_ptr_nonnull(file);
	while (!found && fgets(line, sizeof(line), file)) {
		found = !strncmp(line, head, strlen(head));
		if (found)
			value = strtoul(line + strlen(head), NULL, 10);
	}
	fclose(file);
	ck_assert_msg(found, "no %s", head);
	return value;
}

/* What the server says of itself, a second ago at the most. */
static unsigned long stat_of(const char *name)
{
	char path[PATH_MAX], head[128];

	snprintf(head, sizeof(head), "veneer_%s{export=\"" DAEMON_EXPORT "\"} ",
	         name);
	return value_of(daemon_path(veneerd, "stats", path), head);
}

/* In KiB: memory of its own. Mapped pages of the handle cache, which the kernel
 * takes back as it likes, are not in it, as they are those of a file. */
static unsigned long memory(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", veneerd->pid);
	return value_of(path, "RssAnon:");
}

/* ---- handles -------------------------------------------------------------------- */

struct handle {
	char data[32];
};

/* All files' handles, as READDIRPLUS gives them. */
static struct handle *handles;
static size_t nhandles;
#define NUPPER 200

static nfs_fh3 fh_of(struct handle *handle)
{
	return (nfs_fh3){ { sizeof(handle->data), handle->data } };
}

static void take_entry(const entryplus3 *entry)
{
	const nfs_fh3 *fh = &entry->name_handle.post_op_fh3_u.handle;

	if (strncmp(entry->name, "file", 4) != 0)
		return;
	ck_assert(entry->name_handle.handle_follows);
	ck_assert_uint_eq(fh->data.data_len, sizeof(handles[0].data));
	memcpy(handles[nhandles++].data, fh->data.data_val,
	       sizeof(handles[0].data));
}

static void list_dir(struct client *client, nfs_fh3 dir)
{
	uint64_t cookie = 0;
	bool eof = false;

	while (!eof) {
		READDIRPLUS3res *res =
			nfs_readdirplus(client, dir, cookie, 1 << 20, 1 << 20);
		const dirlistplus3 *list = &res->READDIRPLUS3res_u.resok.reply;

		ck_assert_int_eq(res->status, NFS3_OK);
		for (const entryplus3 *entry = list->entries; entry;
		     entry = entry->nextentry) {
			take_entry(entry);
			cookie = entry->cookie;
		}
		eof = list->eof;
	}
}

/* Each directory by a client of its own: what one gets it keeps. */
static void list_all(void)
{
	char path[64];

	free(handles);
	handles = calloc((size_t)ndirs * PER_DIR + NUPPER, sizeof(*handles));
	nhandles = 0;
	for (unsigned i = 0; i < ndirs; i++) {
		struct client *client = connect_to_it();

		snprintf(path, sizeof(path), "a%u/d%u", i / 100, i);
		list_dir(client, nfs_find(client, nfs_root(client), path));
		client_free(client);
	}
	ck_assert_uint_eq(nhandles, (size_t)ndirs * PER_DIR);
}

/* Files, and one lower file more that is copied up, in a directory that moved. */
static void add_upper_files(void)
{
	struct client *client = connect_to_it();
	nfs_fh3 root = nfs_root(client), old = nfs_find(client, root, "a0/d0");
	nfs_fh3 dir = nfs_new_dir(client, root, "new", 0755), file;
	char name[32];

	for (unsigned i = 0; i < NUPPER; i++) {
		snprintf(name, sizeof(name), "new%u", i);
		file = nfs_new_file(client, dir, name, 0644);
		memcpy(handles[nhandles++].data, file.data.data_val,
		       sizeof(handles[0].data));
	}
	ck_assert_int_eq(nfs_rename(client, old, "file0", dir, "moved")->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_rename(client, root, "new", root, "other")->status,
	                 NFS3_OK);
	client_free(client);
}

static struct handle *any_handle(void)
{
	return &handles[test_random(&random_state) % nhandles];
}

/* GETATTR, again and again while the server is looking. */
static nfsstat3 ask(struct client *client, struct handle *handle)
{
	const double begun = now();
	nfsstat3 status;

	while ((status = nfs_getattr(client, fh_of(handle))->status) ==
	       NFS3ERR_JUKEBOX) {
		ck_assert_double_lt(now() - begun, 120);
		sleep_ms(20);
	}
	return status;
}

/* Some of the handles, each of which must work. */
static void ask_some(unsigned n)
{
	struct client *client = connect_to_it();

	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(ask(client, any_handle()), NFS3_OK);
	client_free(client);
}

/* Until what there is has been written, which is done once a second. */
static void wait_for_the_file(void)
{
	char path[PATH_MAX];
	struct stat before = { 0 }, st;

	daemon_path(veneerd, "work/veneer/" OVL_STORE_FILE, path);
	for (unsigned same = 0; same < 3; same++) {
		sleep_ms(500);
		ck_assert_int_eq(stat(path, &st), 0);
		if (st.st_mtim.tv_nsec != before.st_mtim.tv_nsec ||
		    st.st_mtim.tv_sec != before.st_mtim.tv_sec)
			same = 0;
		before = st;
	}
}

/* ---- with the file ---------------------------------------------------------------- */

/* Each kind of end, as the loop's index. */
static const int signals[] = { SIGTERM, SIGKILL };

START_TEST(old_handles_are_found_at_once_after_a_restart)
{
	enum { ASKED = 300 };
	struct client *client;
	double times[ASKED], begun, took;

	start("100000");
	begun = now();
	list_all();
	printf("%zu files listed in %.1f s\n", nhandles, now() - begun);
	add_upper_files();
	if (signals[_i] == SIGKILL)
		wait_for_the_file();
	daemon_end(veneerd, signals[_i]);
	took = start("100000");
	client = connect_to_it();
	for (unsigned i = 0; i < ASKED; i++) {
		struct handle *handle = any_handle();

		begun = now();
		ck_assert_int_eq(nfs_getattr(client, fh_of(handle))->status,
		                 NFS3_OK);
		times[i] = now() - begun;
	}
	client_free(client);
	printf("%zu files, %s: started in %.0f ms\n", nhandles,
	       signals[_i] == SIGKILL ? "killed" : "ended", took * 1e3);
	tell("a call with an old handle, there and back", times, ASKED);
	sleep_ms(1500); /* the statistics are a second old */
	ck_assert_uint_eq(stat_of("walks_total"), 0);
	/* Far more than it takes, and far less than without the file. */
	ck_assert_double_lt(took, 5);
	ck_assert_double_lt(times[ASKED / 2], 0.1);
}
END_TEST

/* ---- without it ---------------------------------------------------------------------- */

static void damage(unsigned how)
{
	char path[PATH_MAX], noise[4096];
	struct stat st;
	int fd;

	daemon_path(veneerd, "work/veneer/" OVL_STORE_FILE, path);
	if (how == 0) {
		ck_assert_int_eq(unlink(path), 0);
		return;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	if (how == 1) {
		ck_assert_int_eq(
			ftruncate(fd, test_random(&random_state) % st.st_size),
			0);
	} else {
		for (unsigned i = 0; i < sizeof(noise); i++)
			noise[i] = (char)test_random(&random_state);
		for (unsigned i = 0; i < 20; i++)
			ck_assert_int_gt(
				pwrite(fd, noise, sizeof(noise),
			               test_random(&random_state) % st.st_size),
				0);
	}
	close(fd);
}

START_TEST(whatever_becomes_of_the_file_all_handles_resolve)
{
	static const char *const what[] = { "deleted", "cut short",
		                            "filled with noise" };

	make_files(veneerd, 2 * PER_DIR);
	start("100000");
	list_all();
	add_upper_files();
	for (int i = 0; i < test_rounds("TEST_ROUNDS", 2, 20); i++) {
		/* In the middle of what is going on. */
		sleep_ms(test_random(&random_state) % 300);
		daemon_end(veneerd, i % 2 ? SIGTERM : SIGKILL);
		damage((unsigned)_i);
		start("100000");
		ask_some(300);
	}
	printf("%s: all found\n", what[_i]);
}
END_TEST

/* The calls of somebody else, while a walk goes on. */
static atomic_bool over;
#define MAX_TIMES 200000

struct other {
	pthread_t thread;
	struct client *client;
	double *times;
	size_t n;
	bool failed;
};

static void *call_all_the_time(void *arg)
{
	struct other *other = arg;
	nfs_fh3 root = nfs_root(other->client);
	double begun;

	while (!atomic_load(&over) && other->n < MAX_TIMES) {
		begun = now();
		other->failed |=
			nfs_lookup(other->client, root, "a0")->status !=
			NFS3_OK;
		other->times[other->n++] = now() - begun;
		usleep(500);
	}
	return NULL;
}

static void start_other(struct other *other)
{
	atomic_store(&over, false);
	other->client = connect_to_it();
	other->times = calloc(MAX_TIMES, sizeof(double));
	ck_assert_int_eq(pthread_create(&other->thread, NULL, call_all_the_time,
	                                other),
	                 0);
}

static void end_other(struct other *other, const char *what)
{
	atomic_store(&over, true);
	pthread_join(other->thread, NULL);
	client_free(other->client);
	ck_assert(!other->failed);
	tell(what, other->times, other->n);
	free(other->times);
}

START_TEST(a_walk_finds_all_and_other_calls_go_on)
{
	struct other other = { 0 };
	char path[PATH_MAX];
	double begun, first;
	struct client *client;

	start("100000");
	list_all();
	add_upper_files();
	daemon_end(veneerd, SIGTERM);
	ck_assert_int_eq(unlink(daemon_path(
				 veneerd, "work/veneer/" OVL_STORE_FILE, path)),
	                 0);
	start("100000");
	start_other(&other);
	client = connect_to_it();
	begun = now();
	ck_assert_int_eq(ask(client, any_handle()), NFS3_OK);
	first = now() - begun;
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(ask(client, any_handle()), NFS3_OK);
	printf("%zu files walked: the first handle in %.2f s, 300 in %.2f s\n",
	       nhandles, first, now() - begun);
	client_free(client);
	end_other(&other, "another client's calls meanwhile");
	sleep_ms(1500);
	/* One of the upper layer, and one of those below. */
	ck_assert_uint_le(stat_of("walks_total"), 2);
}
END_TEST

/*
 * Many handles of what is gone, while others change the layers all the time, so
 * that the table is never complete for long.
 */
START_TEST(what_is_gone_begins_few_walks)
{
	enum { GONE = 500 };
	struct client *client;
	char name[64], path[PATH_MAX];
	double begun;
	unsigned asked = 0, walks;

	make_files(veneerd, 2 * PER_DIR);
	start("100000");
	list_all();
	for (unsigned i = 0; i < PER_DIR; i++) {
		snprintf(name, sizeof(name), "lower/a0/d0/file%u", i);
		unlink(daemon_path(veneerd, name, path));
	}
	sleep_ms(1100); /* by then others' changes show */
	begun = now();
	client = connect_to_it();
	while (now() - begun < 2) {
		nfsstat3 status;

		/* The first directory's came first. */
		status = ask(client, &handles[asked++ % GONE]);
		ck_assert_int_eq(status, NFS3ERR_STALE);
		snprintf(name, sizeof(name), "lower/a0/d1/other%u", asked);
		daemon_write(veneerd, name, "");
		ck_assert_int_eq(ask(client, &handles[nhandles - 1]), NFS3_OK);
	}
	client_free(client);
	sleep_ms(1500);
	walks = (unsigned)stat_of("walks_total");
	printf("%u calls with handles of what is gone: %u walks\n", asked,
	       walks);
	ck_assert_uint_gt(asked, 20);
	ck_assert_uint_le(walks, 40);
}
END_TEST

/* ---- little memory ---------------------------------------------------------------------- */

/* Bytes that the README says: so much by itself, and so much an entry; of places
 * not written yet there are next to none here. */
#define README_BASE ((size_t)24 << 20)
#define README_ENTRY ((size_t)1024)

static void assert_within(unsigned long kib, size_t entries)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)kib;
	(void)entries;
#else
	ck_assert_uint_le((size_t)kib << 10,
	                  README_BASE + entries * README_ENTRY);
#endif
}

/* Traps 28 and 29: and whatever is asked for next, it is found. */
START_TEST(many_handles_work_in_little_memory)
{
	const unsigned calls =
		(unsigned)test_rounds("TEST_CALLS", 10000, 300000);
	struct client *client = NULL;
	double begun;
	unsigned long before;

	start(FEW_ENTRIES);
	before = memory();
	list_all();
	begun = now();
	for (unsigned i = 0; i < calls; i++) {
		if (i % 1000 == 0) {
			client_free(client);
			client = connect_to_it();
		}
		ck_assert_int_eq(ask(client, any_handle()), NFS3_OK);
	}
	client_free(client);
	printf("%u calls with %zu handles and room for " FEW_ENTRIES
	       ": %.3f ms each, RssAnon %lu KiB (%lu when it had started)\n",
	       calls, nhandles, (now() - begun) / calls * 1e3, memory(),
	       before);
	assert_within(memory(), atoi(FEW_ENTRIES));
	sleep_ms(1500);
	ck_assert_uint_le(stat_of("entries"), 2 * 1000 + 64);
}
END_TEST

/* Trap 27: what one client lists is no other's loss. */
START_TEST(a_listing_of_everything_makes_no_handle_stale)
{
	struct client *client;
	struct handle mine[100];

	make_files(veneerd, 5 * PER_DIR);
	start(FEW_ENTRIES);
	list_all();
	for (unsigned i = 0; i < 100; i++)
		mine[i] = *any_handle();
	client = connect_to_it();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 100; i++)
			ck_assert_int_eq(ask(client, &mine[i]), NFS3_OK);
		list_all();
	}
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(ask(client, &mine[i]), NFS3_OK);
	client_free(client);
}
END_TEST

/* What an entry takes, for the README. */
START_TEST(memory_grows_with_entries_only)
{
	unsigned long before, after;
	unsigned long entries;

	start("1000000");
	sleep_ms(1500);
	before = memory();
	entries = stat_of("entries");
	list_all();
	wait_for_the_file();
	after = memory();
	entries = stat_of("entries") - entries;
	printf("%lu entries (files and names): %lu KiB, %lu bytes each\n",
	       entries, after - before, (after - before) * 1024 / entries);
	assert_within(after, entries);
}
END_TEST

static void add_case(Suite *suite, const char *name, bool in_forest,
                     const TTest *test, int n)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, getenv("TEST_FULL") ? 900 : 120);
	if (in_forest)
		tcase_add_unchecked_fixture(tcase, plant, fell);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test, 0, n);
	suite_add_tcase(suite, tcase);
}

int main(void)
{
	Suite *suite = suite_create("handles");

	add_case(suite, "restart", true,
	         old_handles_are_found_at_once_after_a_restart, 2);
	add_case(suite, "damage", false,
	         whatever_becomes_of_the_file_all_handles_resolve, 3);
	add_case(suite, "walk", true, a_walk_finds_all_and_other_calls_go_on,
	         1);
	add_case(suite, "gone", false, what_is_gone_begins_few_walks, 1);
	add_case(suite, "memory", true, many_handles_work_in_little_memory, 1);
	add_case(suite, "listing", false,
	         a_listing_of_everything_makes_no_handle_stale, 1);
	add_case(suite, "entries", true, memory_grows_with_entries_only, 1);
	return suite_run(suite);
}
