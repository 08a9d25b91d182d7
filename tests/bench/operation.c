#include "config.h"

#include "tests/bench/operation.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NFS 100003
#define MOUNT 100005
#define RESULTS (2 << 20)
#define FATTR_BYTES 84
#define LARGE (64u << 20) /* the file of that name */
#define SMALL_FILES 100
#define PAGE 65536 /* of a listing */

enum proc {
	PROC_NULL = 0,
	PROC_GETATTR = 1,
	PROC_SETATTR = 2,
	PROC_LOOKUP = 3,
	PROC_ACCESS = 4,
	PROC_READ = 6,
	PROC_WRITE = 7,
	PROC_CREATE = 8,
	PROC_MKDIR = 9,
	PROC_REMOVE = 12,
	PROC_READDIRPLUS = 17,
};

/* ---- results, by hand --------------------------------------------------------- */

struct results {
	unsigned char bytes[RESULTS];
	size_t len, at;
};

static void fail(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static uint32_t take(struct results *results)
{
	uint32_t word;

	if (results->at + sizeof(word) > results->len)
		fail("results are cut short");
	memcpy(&word, results->bytes + results->at, sizeof(word));
	results->at += sizeof(word);
	return ntohl(word);
}

static uint64_t take64(struct results *results)
{
	uint64_t high = take(results);

	return high << 32 | take(results);
}

static void pass(struct results *results, uint32_t len)
{
	results->at += (len + 3) & ~3u;
	if (results->at > results->len)
		fail("results are cut short");
}

static struct handle take_handle(struct results *results)
{
	struct handle handle = { .len = take(results) };
	size_t at = results->at;

	if (handle.len > sizeof(handle.bytes))
		fail("a handle that is too long");
	pass(results, handle.len);
	memcpy(handle.bytes, results->bytes + at, handle.len);
	return handle;
}

/* ---- what is not measured ------------------------------------------------------ */

static struct results *ask(int fd, struct calls *calls)
{
	static struct results results;

	calls_end(calls);
	results.len = drive_one(fd, calls, results.bytes, RESULTS);
	results.at = 0;
	calls_release(calls);
	return &results;
}

void bench_mount(struct bench *bench)
{
	int fd = drive_connect(bench->target.mount_port);
	struct calls calls = { 0 };
	struct results *results;

	calls_begin(&calls, MOUNT, 1);
	calls_put_name(&calls, bench->export_path);
	results = ask(fd, &calls);
	if (take(results))
		fail("the export cannot be mounted");
	bench->root = take_handle(results);
	close(fd);
	bench->fd = drive_connect(bench->target.nfs_port);
}

static struct handle look_up(struct bench *bench, const struct handle *dir,
                             const char *name)
{
	struct calls calls = { 0 };
	struct results *results;

	calls_begin(&calls, NFS, PROC_LOOKUP);
	calls_put_handle(&calls, dir);
	calls_put_name(&calls, name);
	results = ask(bench->fd, &calls);
	if (take(results)) {
		fprintf(stderr, "load: %s: ", name);
		fail("there is no such name");
	}
	return take_handle(results);
}

/* Attributes that leave all as it is, but for the mode. */
static void put_mode(struct calls *calls, uint32_t mode)
{
	calls_put(calls, 1);
	calls_put(calls, mode);
	for (unsigned i = 0; i < 5; i++)
		calls_put(calls, 0);
}

/* A new directory, in which there is nothing yet. */
static struct handle make_dir(struct bench *bench, const char *name)
{
	struct calls calls = { 0 };
	char full[64];

	snprintf(full, sizeof(full), "%s-%u", name, bench->tag);
	calls_begin(&calls, NFS, PROC_MKDIR);
	calls_put_handle(&calls, &bench->root);
	calls_put_name(&calls, full);
	put_mode(&calls, 0755);
	if (take(ask(bench->fd, &calls)))
		fail("a directory cannot be made");
	return look_up(bench, &bench->root, full);
}

static void put_create(struct calls *calls, const struct handle *dir,
                       unsigned number)
{
	char name[32];

	snprintf(name, sizeof(name), "name%u", number);
	calls_begin(calls, NFS, PROC_CREATE);
	calls_put_handle(calls, dir);
	calls_put_name(calls, name);
	calls_put(calls, 0); /* UNCHECKED */
	put_mode(calls, 0644);
	calls_end(calls);
}

/* ---- operations ------------------------------------------------------------------ */

static uint64_t prepare_null(struct bench *bench, struct calls *calls,
                             unsigned n)
{
	(void)bench;
	for (unsigned i = 0; i < n; i++) {
		calls_begin(calls, NFS, PROC_NULL);
		calls_end(calls);
	}
	return n;
}

/* Of one file, again and again; `word` ends the arguments. */
static uint64_t put_same(struct bench *bench, struct calls *calls, unsigned n,
                         enum proc proc, const uint32_t *word)
{
	struct handle file = look_up(bench, &bench->root, "large");

	for (unsigned i = 0; i < n; i++) {
		calls_begin(calls, NFS, proc);
		calls_put_handle(calls, &file);
		if (word)
			calls_put(calls, *word);
		calls_end(calls);
	}
	return n;
}

static uint64_t prepare_getattr(struct bench *bench, struct calls *calls,
                                unsigned n)
{
	return put_same(bench, calls, n, PROC_GETATTR, NULL);
}

static uint64_t prepare_access(struct bench *bench, struct calls *calls,
                               unsigned n)
{
	const uint32_t all = 0x3f;

	return put_same(bench, calls, n, PROC_ACCESS, &all);
}

static uint64_t prepare_lookup(struct bench *bench, struct calls *calls,
                               unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "small");
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "f%u", i % SMALL_FILES);
		calls_begin(calls, NFS, PROC_LOOKUP);
		calls_put_handle(calls, &dir);
		calls_put_name(calls, name);
		calls_end(calls);
	}
	return n;
}

static void put_read(struct calls *calls, const struct handle *file,
                     uint64_t offset, uint32_t count)
{
	calls_begin(calls, NFS, PROC_READ);
	calls_put_handle(calls, file);
	calls_put64(calls, offset);
	calls_put(calls, count);
	calls_end(calls);
}

static uint64_t prepare_read(struct bench *bench, struct calls *calls,
                             unsigned n)
{
	struct handle file = look_up(bench, &bench->root, "large");

	srand(1); /* the same places for each server */
	for (unsigned i = 0; i < n; i++)
		put_read(calls, &file,
		         (uint64_t)((unsigned)rand() % (LARGE / 4096)) * 4096,
		         4096);
	return n;
}

static uint64_t prepare_read_small(struct bench *bench, struct calls *calls,
                                   unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "small");
	struct handle files[SMALL_FILES];
	char name[32];

	for (unsigned i = 0; i < SMALL_FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		files[i] = look_up(bench, &dir, name);
	}
	for (unsigned i = 0; i < n; i++)
		put_read(calls, &files[i % SMALL_FILES], 0, 4096);
	return n;
}

static uint64_t prepare_read_large(struct bench *bench, struct calls *calls,
                                   unsigned n)
{
	struct handle file = look_up(bench, &bench->root, "large");

	for (unsigned i = 0; i < n; i++)
		put_read(calls, &file, (uint64_t)i % (LARGE >> 20) << 20,
		         1 << 20);
	return n;
}

struct page {
	uint64_t cookie;
	unsigned char verifier[8];
};

static void put_readdirplus(struct calls *calls, const struct handle *dir,
                            const struct page *page)
{
	calls_begin(calls, NFS, PROC_READDIRPLUS);
	calls_put_handle(calls, dir);
	calls_put64(calls, page->cookie);
	for (unsigned i = 0; i < 8; i += 4)
		calls_put(calls, (uint32_t)page->verifier[i] << 24 |
		                         (uint32_t)page->verifier[i + 1] << 16 |
		                         (uint32_t)page->verifier[i + 2] << 8 |
		                         page->verifier[i + 3]);
	calls_put(calls, PAGE);
	calls_put(calls, PAGE);
}

/* The entries of a page: where the next begins. */
static unsigned take_page(struct results *results, struct page *page, bool *eof)
{
	unsigned n = 0;

	if (take(results))
		fail("a directory cannot be listed");
	if (take(results))
		pass(results, FATTR_BYTES);
	memcpy(page->verifier, results->bytes + results->at, 8);
	pass(results, 8);
	while (take(results)) {
		take64(results); /* the fileid */
		pass(results, take(results));
		page->cookie = take64(results);
		if (take(results))
			pass(results, FATTR_BYTES);
		if (take(results))
			take_handle(results);
		n++;
	}
	*eof = take(results);
	return n;
}

/* The pages of the listing, `n` times; what counts is entries. */
static uint64_t prepare_readdirplus(struct bench *bench, struct calls *calls,
                                    unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "names");
	struct page pages[4096] = { 0 };
	struct calls one = { 0 };
	unsigned npages = 0;
	uint64_t names = 0;
	bool eof = false;

	while (!eof && npages + 1 < sizeof(pages) / sizeof(pages[0])) {
		pages[npages + 1] = pages[npages];
		put_readdirplus(&one, &dir, &pages[npages]);
		names += take_page(ask(bench->fd, &one), &pages[npages + 1],
		                   &eof);
		npages++;
	}
	for (unsigned i = 0; i < n * npages; i++) {
		put_readdirplus(calls, &dir, &pages[i % npages]);
		calls_end(calls);
	}
	return n * names;
}

static void put_write(struct calls *calls, const struct handle *file,
                      uint64_t offset, uint32_t count)
{
	calls_begin(calls, NFS, PROC_WRITE);
	calls_put_handle(calls, file);
	calls_put64(calls, offset);
	calls_put(calls, count);
	calls_put(calls, 0); /* UNSTABLE */
	calls_put_data(calls, count);
	calls_end(calls);
}

static uint64_t prepare_write(struct bench *bench, struct calls *calls,
                              unsigned n)
{
	struct handle dir = make_dir(bench, "write"), file;
	struct calls one = { 0 };

	put_create(&one, &dir, 0);
	drive(&(struct target){ bench->target.nfs_port, 0, 0, 1, 1 }, &one,
	      true);
	calls_release(&one);
	file = look_up(bench, &dir, "name0");
	for (unsigned i = 0; i < n; i++)
		put_write(calls, &file, (uint64_t)(i % 256) << 16, 1 << 16);
	return n;
}

static uint64_t prepare_create(struct bench *bench, struct calls *calls,
                               unsigned n)
{
	struct handle dir = make_dir(bench, "create");

	for (unsigned i = 0; i < n; i++)
		put_create(calls, &dir, i);
	return n;
}

static uint64_t prepare_remove(struct bench *bench, struct calls *calls,
                               unsigned n)
{
	struct handle dir = make_dir(bench, "remove");
	struct calls creates = { 0 };
	char name[32];

	for (unsigned i = 0; i < n; i++)
		put_create(&creates, &dir, i);
	drive(&bench->target, &creates, true);
	calls_release(&creates);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		calls_begin(calls, NFS, PROC_REMOVE);
		calls_put_handle(calls, &dir);
		calls_put_name(calls, name);
		calls_end(calls);
	}
	return n;
}

/* Lower files that no run has touched: each run has a directory of them. */
static struct handle untouched(struct bench *bench, const char *kind)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%u", kind, bench->tag);
	return look_up(bench, &bench->root, name);
}

static struct handle numbered(struct bench *bench, const struct handle *dir,
                              unsigned number)
{
	char name[32];

	snprintf(name, sizeof(name), "f%u", number);
	return look_up(bench, dir, name);
}

static uint64_t prepare_copy_up(struct bench *bench, struct calls *calls,
                                unsigned n)
{
	struct handle dir = untouched(bench, "copy"), file;

	for (unsigned i = 0; i < n; i++) {
		file = numbered(bench, &dir, i);
		put_write(calls, &file, 0, 4096);
	}
	return n;
}

static uint64_t prepare_chmod(struct bench *bench, struct calls *calls,
                              unsigned n)
{
	struct handle dir = untouched(bench, "chmod"), file;

	for (unsigned i = 0; i < n; i++) {
		file = numbered(bench, &dir, i);
		calls_begin(calls, NFS, PROC_SETATTR);
		calls_put_handle(calls, &file);
		put_mode(calls, 0600);
		calls_put(calls, 0); /* whatever its ctime */
		calls_end(calls);
	}
	return n;
}

const struct operation operations[] = {
	{ "null", false, 300000, prepare_null },
	{ "getattr", true, 300000, prepare_getattr },
	{ "access", true, 300000, prepare_access },
	{ "lookup", true, 300000, prepare_lookup },
	{ "read4k", true, 100000, prepare_read },
	{ "readsmall", true, 100000, prepare_read_small },
	{ "read1m", true, 2000, prepare_read_large },
	{ "readdirplus", true, 20, prepare_readdirplus },
	{ "write64k", true, 10000, prepare_write },
	{ "create", true, 20000, prepare_create },
	{ "remove", true, 20000, prepare_remove },
	{ "copyup", true, 2000, prepare_copy_up },
	{ "chmod", true, 2000, prepare_chmod },
	{ 0 },
};
