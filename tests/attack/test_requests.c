/*
 * Attacks by calls that are well-formed: with handles that are none, names that
 * were chosen, files that fill the disk, and listings without end.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "overlay/store.h"
#include "tests/attack/siege.h"
#include "tests/lib/client.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

/* Connections, which are not what these are about. */
#define PLENTY "1024"
#define CHUNK 65536u

static struct siege siege;
static uint64_t seed;

static void setup(void)
{
	seed = test_seed();
	siege_prepare(&siege);
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

/* A client of the attacker's; what it is told is kept no longer than it. */
static struct client *connect_to_it(void)
{
	return client_new(daemon_connect(siege.daemon));
}

/* Empty files file0, file1, ... in a directory of the lower layer. */
static void make_lower_files(const char *dir, unsigned n)
{
	char path[PATH_MAX], name[32];
	int fd;

	daemon_mkdir(siege.daemon, dir);
	fd = open(daemon_path(siege.daemon, dir, path),
	          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		ck_assert_int_eq(mknodat(fd, name, S_IFREG | 0644, 0), 0);
	}
	close(fd);
}

/* ---- handles ------------------------------------------------------------------ */

#define HANDLE 32
#define NHANDLES 2000

static char handles[NHANDLES][HANDLE];
static unsigned nhandles;

static void keep_handle(nfs_fh3 fh)
{
	ck_assert_uint_lt(nhandles, NHANDLES);
	ck_assert_uint_eq(fh.data.data_len, HANDLE);
	memcpy(handles[nhandles++], fh.data.data_val, HANDLE);
}

static void keep_handles_of(const char *dir, unsigned n)
{
	struct client *client = connect_to_it();
	nfs_fh3 fh = nfs_find(client, nfs_root(client), dir);
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		keep_handle(nfs_find(client, fh, name));
	}
	client_free(client);
}

/* GETATTR with a handle: what is said. Each thousand calls a new connection. */
static nfsstat3 ask(struct client **client, unsigned *calls, char *handle,
                    size_t len)
{
	nfs_fh3 fh = { { (u_int)len, handle } };

	if ((*calls)++ % 1000 == 0) {
		client_free(*client);
		*client = connect_to_it();
	}
	count(1);
	return nfs_getattr(*client, fh)->status;
}

/* What was a handle with some bits turned, and noise of any length. */
static void forge(struct siege *besieged)
{
	struct client *client = NULL;
	unsigned calls = 0;
	char forged[64];

	(void)besieged;
	while (goes_on()) {
		size_t len = HANDLE;
		uint64_t bit = test_random(&seed) % ((uint64_t)HANDLE * 8);

		if (test_random(&seed) % 4 == 0) {
			len = test_random(&seed) % (sizeof(forged) + 1);
			for (size_t i = 0; i < len; i++)
				forged[i] = (char)test_random(&seed);
		} else {
			memcpy(forged, handles[test_random(&seed) % nhandles],
			       HANDLE);
			forged[bit / 8] ^= (char)(1 << (bit % 8));
		}
		if (ask(&client, &calls, forged, len) != NFS3ERR_BADHANDLE)
			ck_abort_msg("a forged handle is taken for one");
	}
	client_free(client);
}

START_TEST(handles_are_forged)
{
	make_lower_files("lower/dir", 100);
	siege_start(&siege, PLENTY);
	keep_handles_of("dir", 100);
	siege_withstand(&siege, "forged handles", "calls", forge);
	ck_assert_uint_eq(siege_statistic(&siege, "veneer_walks_total"), 0);
}
END_TEST

static void ask_for_what_is_gone(struct siege *besieged)
{
	struct client *client = NULL;
	unsigned calls = 0;

	(void)besieged;
	while (goes_on()) {
		nfsstat3 status =
			ask(&client, &calls,
		            handles[test_random(&seed) % nhandles], HANDLE);

		if (status != NFS3ERR_STALE && status != NFS3ERR_JUKEBOX)
			ck_abort_msg("what is gone is found: %d", status);
	}
	client_free(client);
}

/* Of files that clients have removed. */
START_TEST(handles_are_stale)
{
	struct client *client;
	char name[32];
	nfs_fh3 root;

	siege_start(&siege, PLENTY);
	client = connect_to_it();
	root = nfs_root(client);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		keep_handle(nfs_new_file(client, root, name, 0644));
		ck_assert_int_eq(nfs_remove(client, root, name)->status,
		                 NFS3_OK);
	}
	client_free(client);
	siege_withstand(&siege, "stale handles", "calls", ask_for_what_is_gone);
	ck_assert_uint_le(siege_statistic(&siege, "veneer_walks_total"), 2);
}
END_TEST

/*
 * Of files that are gone without the server's doing, in a server that has lost what
 * it knew: only a walk can tell. One of the upper layer and one of the lower ones
 * answer for all.
 */
START_TEST(handles_are_unknown)
{
	const unsigned dirs = (unsigned)test_rounds("TEST_DIRS", 20, 500);
	char path[PATH_MAX], name[64];

	make_lower_files("lower/gone", NHANDLES - 1);
	for (unsigned i = 0; i < dirs; i++) {
		snprintf(name, sizeof(name), "lower/dir%u", i);
		make_lower_files(name, 500);
	}
	siege_start(&siege, PLENTY);
	keep_handles_of("gone", NHANDLES - 1);
	siege_stop(&siege);
	for (unsigned i = 0; i < NHANDLES - 1; i++) {
		snprintf(name, sizeof(name), "lower/gone/file%u", i);
		ck_assert_int_eq(unlink(daemon_path(siege.daemon, name, path)),
		                 0);
	}
	unlink(daemon_path(siege.daemon, "work/veneer/" OVL_STORE_FILE, path));
	siege_restart(&siege);
	siege_withstand(&siege, "unknown handles", "calls",
	                ask_for_what_is_gone);
	ck_assert_uint_le(siege_statistic(&siege, "veneer_walks_total"), 2);
}
END_TEST

/* ---- names that were chosen ----------------------------------------------------- */

#define NAMES 2000
#define PREFIX_BITS 12
#define HASH_BITS 59 /* of a name: its cookie without the last 4 bits */
#define MOST_OF_A_PREFIX 16

static char chosen[NAMES][24], any[NAMES][24];

/* The place in the order of cookies that a name has, in so many bits. */
static unsigned place(uint64_t hash)
{
	hash &= (UINT64_C(1) << HASH_BITS) - 1;
	return (unsigned)(hash >> (HASH_BITS - PREFIX_BITS));
}

/* Names that a server whose hash had no key would put into one place of 4096. */
static void choose_names(void)
{
	static const unsigned char no_key[crypto_shorthash_KEYBYTES];
	uint64_t hash;

	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(any[i], sizeof(any[i]), "n%016" PRIx64,
		         test_random(&seed));
		do {
			snprintf(chosen[i], sizeof(chosen[i]), "n%016" PRIx64,
			         test_random(&seed));
			crypto_shorthash((unsigned char *)&hash,
			                 (const unsigned char *)chosen[i],
			                 strlen(chosen[i]), no_key);
		} while (place(hash) != 0);
	}
}

static double now_us(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double times[NAMES])
{
	qsort(times, NAMES, sizeof(times[0]), compare);
	return times[NAMES / 2];
}

/* CREATE and LOOKUP of one: how long it took. */
static double make(struct client *client, nfs_fh3 dir, const char *name)
{
	const double begun = now_us();

	nfs_new_file(client, dir, name, 0644);
	nfs_find(client, dir, name);
	return now_us() - begun;
}

/* How many names of the directory are in the place that has most. */
static unsigned most_in_a_place(struct client *client, nfs_fh3 dir)
{
	static unsigned places[1 << PREFIX_BITS];
	unsigned most = 0, n = 0;
	uint64_t cookie = 0;
	bool eof = false;

	memset(places, 0, sizeof(places));
	while (!eof) {
		READDIR3res *res = nfs_readdir(client, dir, cookie, CHUNK);
		const dirlist3 *list = &res->READDIR3res_u.resok.reply;

		ck_assert_int_eq(res->status, NFS3_OK);
		for (const entry3 *e = list->entries; e; e = e->nextentry) {
			unsigned *in = &places[place(e->cookie >> 4)];

			cookie = e->cookie;
			if (cookie <= 2) /* "." and ".." */
				continue;
			n++;
			if (++*in > most)
				most = *in;
		}
		eof = list->eof;
	}
	ck_assert_uint_eq(n, NAMES);
	return most;
}

START_TEST(names_are_chosen_to_collide)
{
	static double of_chosen[NAMES], of_any[NAMES];
	struct client *client;
	nfs_fh3 root, dir, other;
	unsigned most;

	choose_names();
	siege_start(&siege, PLENTY);
	client = connect_to_it();
	root = nfs_root(client);
	dir = nfs_new_dir(client, root, "chosen", 0755);
	other = nfs_new_dir(client, root, "any", 0755);
	/* In turn, so that whatever else goes on hits both alike. */
	for (unsigned i = 0; i < NAMES; i++) {
		of_chosen[i] = make(client, dir, chosen[i]);
		of_any[i] = make(client, other, any[i]);
	}
	most = most_in_a_place(client, dir);
	printf("%u names that collide in %u bits without a key: %.0f us each, "
	       "any others %.0f us; at most %u in one place of %u\n",
	       NAMES, PREFIX_BITS, median(of_chosen), median(of_any), most,
	       1u << PREFIX_BITS);
	fflush(stdout);
	ck_assert_uint_le(most, MOST_OF_A_PREFIX);
	ck_assert_double_lt(of_chosen[NAMES / 2], 3 * of_any[NAMES / 2] + 100);
	client_free(client);
}
END_TEST

/* ---- a disk that is full ----------------------------------------------------------- */

/* A disk of its own for upper and work: that of the test goes with its process. */
static bool mount_disk(const char *options)
{
	char path[PATH_MAX];

	daemon_mkdir(siege.daemon, "disk");
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", daemon_path(siege.daemon, "disk", path), "tmpfs", 0,
	          options)) {
		printf("disk: skipped: no filesystem can be mounted\n");
		return false;
	}
	daemon_mkdir(siege.daemon, "disk/upper");
	daemon_mkdir(siege.daemon, "disk/work");
	siege.upper = "/disk";
	return true;
}

/* Files of a mebibyte, until there is no room, and then what still fits. */
static void fill_disk(struct siege *besieged)
{
	static const char data[CHUNK];
	struct client *client = connect_to_it();
	nfs_fh3 root = nfs_root(client), file;
	unsigned full = 0;
	char name[32];

	(void)besieged;
	for (unsigned i = 0; goes_on(); i++) {
		CREATE3res *res;
		nfsstat3 status = NFS3_OK;

		snprintf(name, sizeof(name), "filler%u", i % 1000);
		res = nfs_create(client, root, name, UNCHECKED, set_mode(0644));
		if (res->status == NFS3_OK) {
			file = res->CREATE3res_u.resok.obj.post_op_fh3_u.handle;
			for (unsigned k = 0; k < 16 && !status; k++)
				status = nfs_write(client, file,
				                   (uint64_t)k * CHUNK, data,
				                   CHUNK, UNSTABLE)
				                 ->status;
		} else {
			status = res->status;
		}
		if (status != NFS3_OK && status != NFS3ERR_NOSPC)
			ck_abort_msg("a full disk is told as %d", status);
		full += status == NFS3ERR_NOSPC;
		count(1);
	}
	ck_assert_uint_gt(full, 0);
	client_free(client);
}

START_TEST(the_disk_is_filled)
{
	nfs_fh3 root, file;
	char name[32];

	if (!mount_disk("size=24m,mode=755"))
		return;
	siege_start(&siege, PLENTY);
	siege_withstand(&siege, "a disk that is filled", "files", fill_disk);
	root = nfs_root(siege.client);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "filler%u", i);
		nfs_remove(siege.client, root, name);
	}
	/* With room again, all goes on. */
	file = nfs_new_file(siege.client, root, "new", 0644);
	nfs_put_text(siege.client, file, "text");
	nfs_assert_text(siege.client, file, "text");
}
END_TEST

/* ---- a huge directory ------------------------------------------------------------------ */

static void list_all_the_time(struct siege *besieged)
{
	struct client *client = NULL;
	uint64_t cookie = 0;
	unsigned calls = 0;
	nfs_fh3 dir;

	(void)besieged;
	while (goes_on()) {
		READDIRPLUS3res *res;
		const entryplus3 *entry;

		if (calls++ % 16 == 0) {
			client_free(client);
			client = connect_to_it();
			client->patient = true;
			dir = nfs_find(client, nfs_root(client), "huge");
		}
		res = nfs_readdirplus(client, dir, cookie, 1 << 20, 1 << 20);
		ck_assert_int_eq(res->status, NFS3_OK);
		entry = res->READDIRPLUS3res_u.resok.reply.entries;
		for (; entry; entry = entry->nextentry) {
			cookie = entry->cookie;
			count(1);
		}
		if (res->READDIRPLUS3res_u.resok.reply.eof)
			cookie = 0;
	}
	client_free(client);
}

START_TEST(a_huge_directory_is_listed_all_the_time)
{
	make_lower_files("lower/huge",
	                 (unsigned)test_rounds("TEST_NAMES", 20000, 500000));
	siege_start(&siege, PLENTY);
	siege_withstand(&siege, "a huge directory, again and again", "entries",
	                list_all_the_time);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attacks by calls");

	siege_add(suite, "forged", handles_are_forged, setup, teardown);
	siege_add(suite, "stale", handles_are_stale, setup, teardown);
	siege_add(suite, "unknown", handles_are_unknown, setup, teardown);
	siege_add(suite, "names", names_are_chosen_to_collide, setup, teardown);
	siege_add(suite, "disk", the_disk_is_filled, setup, teardown);
	siege_add(suite, "huge", a_huge_directory_is_listed_all_the_time, setup,
	          teardown);
	return suite_run(suite);
}
