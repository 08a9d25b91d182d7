/*
 * A large file is copied up, slowly: others are served meanwhile, whoever wants
 * the file gets it in the end, and one copy is made.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define MIB (1u << 20)
#define SIZE (72 * MIB)
#define TIB (UINT64_C(1) << 40)
#define WRITERS 64
#define LARGE_PIECE MIB /* no piece of a small file is larger */

static struct fixture *fixture;
static nfs_fh3 root;

/* ---- slowness ------------------------------------------------------------- */

static atomic_bool shut;            /* no piece of a large file is copied */
static atomic_uint pause_ms;        /* before each */
static atomic_uint begun;           /* pieces of large files */
static atomic_uint_fast64_t copied; /* bytes of them */

ssize_t __real_copy_file_range(int from, off_t *from_at, int to, off_t *to_at,
                               size_t count, unsigned flags);
ssize_t __wrap_copy_file_range(int from, off_t *from_at, int to, off_t *to_at,
                               size_t count, unsigned flags);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

ssize_t __wrap_copy_file_range(int from, off_t *from_at, int to, off_t *to_at,
                               size_t count, unsigned flags)
{
	bool large = count > LARGE_PIECE;
	ssize_t n;

	if (large) {
		atomic_fetch_add(&begun, 1);
		usleep(atomic_load(&pause_ms) * 1000);
		while (atomic_load(&shut))
			usleep(1000);
	}
	n = __real_copy_file_range(from, from_at, to, to_at, count, flags);
	if (large && n > 0)
		atomic_fetch_add(&copied, (uint64_t)n);
	return n;
}

/* A clone would be too fast. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	long arg;

	if (request == FICLONE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	va_start(args, request);
	arg = va_arg(args, long);
	va_end(args);
	return __real_ioctl(fd, request, arg);
}

static void await_begin(void)
{
	for (unsigned i = 0; i < 10000 && atomic_load(&begun) == 0; i++)
		usleep(1000);
	ck_assert_uint_gt(atomic_load(&begun), 0);
}

/* ---- layers --------------------------------------------------------------- */

static void make_large(const char *path)
{
	static char data[MIB];
	int fd;

	fixture_write(fixture, path, "", 0644);
	fd = openat(fixture->topfd, path, O_WRONLY | O_CLOEXEC);
	memset(data, 'd', sizeof(data));
	for (unsigned i = 0; i < SIZE / MIB; i++)
		ck_assert_int_eq(write(fd, data, MIB), MIB);
	close(fd);
}

static void setup(void)
{
	fixture = fixture_new(1);
	make_large("lower0/large");
	fixture_write(fixture, "lower0/small", "text", 0644);
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	root = nfs_root(fixture->client);
}

static void teardown(void)
{
	atomic_store(&shut, false);
	fixture_free(fixture);
}

/* ---- writers -------------------------------------------------------------- */

/* One who has sent a WRITE of one byte, and has not asked for the reply. */
struct writer {
	struct client *client;
	nfs_fh3 file;
	uint64_t offset;
};

static void send_write(struct writer *writer)
{
	WRITE3args args = {
		.file = writer->file,
		.offset = writer->offset,
		.count = 1,
		.stable = UNSTABLE,
		.data = { .data_len = 1, .data_val = "w" },
	};
	struct client *client = writer->client;
	size_t len = nfs_encode(client->args, NFSPROC3_WRITE, &args);

	client_send(client, NFS_PROGRAM, NFS_V3, NFSPROC3_WRITE, client->args,
	            len);
}

static void writer_send(struct writer *writer, nfs_fh3 file, uint64_t offset)
{
	*writer = (struct writer){ fixture_connect(fixture), file, offset };
	send_write(writer);
}

/* He sends his call again, over a new connection. */
static void writer_send_again(struct writer *again, const struct writer *first)
{
	*again = *first;
	again->client = fixture_connect(fixture);
	again->client->xid = first->client->xid - 1;
	send_write(again);
}

/* What he has sent has been looked at: the server answers what follows it. */
static void writer_is_seen(struct writer *writer)
{
	struct client *client = writer->client;
	uint32_t xid = client->xid;

	client_send(client, NFS_PROGRAM, NFS_V3, NFSPROC3_NULL, NULL, 0);
	ck_assert(!client_receive(client, client->xid, NULL).denied);
	client->xid = xid;
}

static nfsstat3 writer_receive(struct writer *writer)
{
	struct client *client = writer->client;
	struct client_reply reply;
	uint32_t status;

	reply = client_receive(client, client->xid, client->results);
	ck_assert(!reply.denied);
	ck_assert_uint_ge(reply.len, 4);
	memcpy(&status, client->results, 4);
	return (nfsstat3)ntohl(status);
}

/* As clients do, though sooner: come again while told so. */
static void writer_insist(struct writer *writer)
{
	nfsstat3 status = writer_receive(writer);

	for (unsigned i = 0; i < 1000 && status == NFS3ERR_JUKEBOX; i++) {
		usleep(10000);
		status = nfs_write(writer->client, writer->file, writer->offset,
		                   "w", 1, UNSTABLE)
		                 ->status;
	}
	ck_assert_int_eq(status, NFS3_OK);
	client_free(writer->client);
}

/* ---- tests ---------------------------------------------------------------- */

/* Everything that another client may do, on another connection. */
static void live_on(struct client *client, nfs_fh3 large)
{
	nfs_fh3 new, small = nfs_find(client, root, "small");

	ck_assert_uint_eq(nfs_attributes(client, large).size, SIZE);
	ck_assert_int_eq(nfs_read(client, large, 0, 4096)->status, NFS3_OK);
	nfs_put_text(client, small, "TEXT"); /* it is copied up */
	nfs_assert_text(client, small, "TEXT");
	new = nfs_new_file(client, root, "new", 0644);
	nfs_put_text(client, new, "new");
	ck_assert_int_eq(nfs_commit(client, new, 0, 0)->status, NFS3_OK);
	ck_assert_int_eq(nfs_readdir(client, root, 0, 8192)->status, NFS3_OK);
	ck_assert_int_eq(nfs_rename(client, root, "new", root, "old")->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_remove(client, root, "old")->status, NFS3_OK);
}

/*
 * The large file; in the second run of a test its attributes have been copied up
 * already, and its data alone is to follow.
 */
static nfs_fh3 find_large(int run)
{
	nfs_fh3 large = nfs_find(fixture->client, root, "large");

	if (run == 1)
		ck_assert_int_eq(nfs_setattr(fixture->client, large,
		                             set_mode(0600))
		                         ->status,
		                 NFS3_OK);
	ck_assert_uint_eq(atomic_load(&begun), 0);
	ck_assert_int_eq(fixture_exists(fixture, "upper/large"), run == 1);
	return large;
}

/* TRAPS 33. */
START_TEST(others_are_served_while_a_large_file_is_copied)
{
	struct writer writers[WRITERS];
	nfs_fh3 large = find_large(_i);
	char byte;
	int fd;

	atomic_store(&shut, true);
	for (unsigned i = 0; i < WRITERS; i++)
		writer_send(&writers[i], large, i * MIB);
	await_begin();
	live_on(fixture->client, large);
	atomic_store(&shut, false);
	for (unsigned i = 0; i < WRITERS; i++)
		writer_insist(&writers[i]);
	ck_assert_uint_eq(atomic_load(&copied), SIZE);
	fd = openat(fixture->topfd, "upper/large", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < WRITERS; i++) {
		ck_assert_int_eq(pread(fd, &byte, 1, i * MIB), 1);
		ck_assert_int_eq(byte, 'w');
		ck_assert_int_eq(pread(fd, &byte, 1, i * MIB + 1), 1);
		ck_assert_int_eq(byte, 'd');
	}
	close(fd);
}
END_TEST

/* TRAPS 33. */
START_TEST(a_retransmission_joins_the_wait)
{
	struct writer first, again;
	nfs_fh3 large = nfs_find(fixture->client, root, "large");

	atomic_store(&shut, true);
	writer_send(&first, large, 0);
	await_begin();
	writer_send_again(&again, &first);
	writer_is_seen(&again);
	atomic_store(&shut, false);
	ck_assert_int_eq(writer_receive(&first), NFS3_OK);
	ck_assert_int_eq(writer_receive(&again), NFS3_OK);
	ck_assert_uint_eq(atomic_load(&copied), SIZE);
	client_free(first.client);
	client_free(again.client);
}
END_TEST

/* Wait for a reply to one of them. */
static void await_reply(const struct writer *writers, unsigned n)
{
	struct pollfd fds[8];

	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = writers[i].client->fd,
			                  .events = POLLIN };
	ck_assert_int_ge(poll(fds, n, 30000), 1);
}

/* Those who are told to come again; all others are content. */
static unsigned count_sent_away(struct writer *writers, unsigned n)
{
	unsigned away = 0;

	for (unsigned i = 0; i < n; i++) {
		nfsstat3 status = writer_receive(&writers[i]);

		if (status == NFS3ERR_JUKEBOX)
			away++;
		else
			ck_assert_int_eq(status, NFS3_OK);
		client_free(writers[i].client);
	}
	return away;
}

#define AGAIN 6

/*
 * Traps 17 and 33. One copies, four may wait. Three do, and send again and
 * again; then one of the last two finds a place, and the other does not.
 */
START_TEST(retransmissions_take_no_places_of_others)
{
	nfs_fh3 large = nfs_find(fixture->client, root, "large");
	struct writer copier, writers[5], again[3][AGAIN];

	atomic_store(&shut, true);
	writer_send(&copier, large, 0);
	await_begin();
	for (unsigned i = 0; i < 3; i++) {
		writer_send(&writers[i], large, i * MIB);
		writer_is_seen(&writers[i]);
		for (unsigned k = 0; k < AGAIN; k++) {
			writer_send_again(&again[i][k], &writers[i]);
			writer_is_seen(&again[i][k]);
		}
	}
	for (unsigned i = 3; i < 5; i++)
		writer_send(&writers[i], large, i * MIB);
	await_reply(writers, 5);
	atomic_store(&shut, false);
	ck_assert_uint_eq(count_sent_away(&copier, 1), 0);
	ck_assert_uint_eq(count_sent_away(writers, 5), 1);
	/* Each of these has got what its first has. */
	for (unsigned i = 0; i < 3; i++) {
		unsigned away = count_sent_away(again[i], AGAIN);

		ck_assert(away == 0 || away == AGAIN);
	}
	ck_assert_uint_eq(atomic_load(&copied), SIZE);
}
END_TEST

/* -1: there is no such file. */
static blkcnt_t blocks_of(const char *path)
{
	struct stat stat;

	if (fstatat(fixture->topfd, path, &stat, 0) < 0)
		return -1;
	return stat.st_blocks;
}

static void *open_soon(void *arg)
{
	usleep(200000);
	atomic_store(&shut, false);
	return arg;
}

START_TEST(the_end_comes_soon_and_leaves_nothing_half_made)
{
	struct writer writers[8];
	nfs_fh3 found = find_large(_i), large;
	char handle[NFS3_FHSIZE];
	pthread_t thread;

	/* The one found goes with the client. */
	large.data.data_len = found.data.data_len;
	large.data.data_val =
		memcpy(handle, found.data.data_val, found.data.data_len);
	atomic_store(&shut, true);
	atomic_store(&pause_ms, 200);
	for (unsigned i = 0; i < 8; i++)
		writer_send(&writers[i], large, i * MIB);
	await_begin();
	ck_assert_int_eq(pthread_create(&thread, NULL, open_soon, NULL), 0);
	fixture_stop(fixture);
	pthread_join(thread, NULL);
	ck_assert_uint_lt(atomic_load(&copied), SIZE);
	ck_assert_int_eq(fixture_exists(fixture, "upper/large"), _i == 1);
	ck_assert_int_lt(blocks_of("upper/large"), MIB / 512);
	ck_assert_uint_eq(fixture_count(fixture, "work/veneer/tmp"), 0);
	for (unsigned i = 0; i < 8; i++) {
		/* What had not been read yet gets no answer. */
		if (!client_is_closed(writers[i].client))
			ck_assert_int_eq(writer_receive(&writers[i]),
			                 NFS3ERR_JUKEBOX);
		client_free(writers[i].client);
	}

	/* The client comes again. */
	atomic_store(&pause_ms, 0);
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	ck_assert_uint_eq(nfs_attributes(fixture->client, large).size, SIZE);
	ck_assert_int_eq(
		nfs_write(fixture->client, large, 0, "w", 1, UNSTABLE)->status,
		NFS3_OK);
	ck_assert_int_ge(blocks_of("upper/large"), SIZE / 512);
}
END_TEST

/* The largest size below so much that the filesystem takes. */
static uint64_t make_sparse(const char *path, uint64_t size)
{
	int fd;

	fixture_write(fixture, path, "begin", 0644);
	fd = openat(fixture->topfd, path, O_WRONLY | O_CLOEXEC);
	while (ftruncate(fd, (off_t)size) < 0) {
		ck_assert_int_eq(errno, EFBIG);
		size /= 2;
	}
	ck_assert_uint_gt(size, UINT64_C(32) << 30);
	ck_assert_int_eq(pwrite(fd, "end", 3, (off_t)size - 3), 3);
	close(fd);
	return size;
}

static void assert_bytes(nfs_fh3 file, uint64_t offset, const char *bytes)
{
	READ3res *res = nfs_read(fixture->client, file, offset,
	                         (uint32_t)strlen(bytes));

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_eq(res->READ3res_u.resok.count, strlen(bytes));
	ck_assert_mem_eq(res->READ3res_u.resok.data.data_val, bytes,
	                 strlen(bytes));
}

START_TEST(a_sparse_file_of_terabytes_is_copied_at_once)
{
	const uint64_t far = (UINT64_C(5) << 30) + 1;
	struct stat stat;
	uint64_t size;
	nfs_fh3 file;

	size = make_sparse("lower0/sparse", 8 * TIB);
	file = nfs_find(fixture->client, root, "sparse");
	ck_assert_uint_eq(nfs_attributes(fixture->client, file).size, size);
	ck_assert_int_eq(nfs_write(fixture->client, file, far, "far", 3,
	                           UNSTABLE)
	                         ->status,
	                 NFS3_OK);
	assert_bytes(file, 0, "begin");
	assert_bytes(file, far, "far");
	assert_bytes(file, size - 3, "end");
	ck_assert_uint_eq(nfs_attributes(fixture->client, file).size, size);
	ck_assert_uint_lt(nfs_attributes(fixture->client, file).used, MIB);
	ck_assert_int_eq(fstatat(fixture->topfd, "upper/sparse", &stat, 0), 0);
	ck_assert_uint_eq((uint64_t)stat.st_size, size);
	ck_assert_int_lt(stat.st_blocks * 512, MIB);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("large_copy");
	TCase *tcase = tcase_create("large_copy");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(
		tcase, others_are_served_while_a_large_file_is_copied, 0, 2);
	tcase_add_test(tcase, a_retransmission_joins_the_wait);
	tcase_add_test(tcase, retransmissions_take_no_places_of_others);
	tcase_add_loop_test(
		tcase, the_end_comes_soon_and_leaves_nothing_half_made, 0, 2);
	tcase_add_test(tcase, a_sparse_file_of_terabytes_is_copied_at_once);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
