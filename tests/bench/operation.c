#include "config.h"

#include "tests/bench/operation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/listing.h"
#include "tests/bench/results.h"

#define LARGE (64u << 20) /* the file of that name */
#define SMALL_FILES 100

/* ---- what is not measured ------------------------------------------------------ */

void bench_mount(struct bench *bench)
{
	int fd = drive_connect(bench->target.mount_port);
	struct calls calls = { 0 };
	struct results *results;

	calls_begin(&calls, MOUNT, 1);
	calls_put_name(&calls, bench->export_path);
	results = results_ask(fd, &calls);
	if (results_take(results))
		bench_fail("the export cannot be mounted");
	bench->root = results_take_handle(results);
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
	results = results_ask(bench->fd, &calls);
	if (results_take(results)) {
		fprintf(stderr, "load: %s: ", name);
		bench_fail("there is no such name");
	}
	return results_take_handle(results);
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
	if (results_take(results_ask(bench->fd, &calls)))
		bench_fail("a directory cannot be made");
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

/* Of all files of one directory. */
static uint64_t prepare_read_all(struct bench *bench, struct calls *calls,
                                 unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "names"), *files;
	size_t nfiles;

	files = listing_handles(bench->fd, &dir, &nfiles);
	for (size_t i = 0; i < n * nfiles; i++)
		put_read(calls, &files[i % nfiles], 0, 4096);
	free(files);
	return n * nfiles;
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

static uint64_t prepare_readdirplus(struct bench *bench, struct calls *calls,
                                    unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "names");

	return listing_put(bench->fd, &dir, false, calls, n);
}

/* As find(1) does, but that it knows all replies before it begins. */
static uint64_t prepare_find(struct bench *bench, struct calls *calls,
                             unsigned n)
{
	return listing_put(bench->fd, &bench->root, true, calls, n);
}

enum stable { UNSTABLE = 0, FILE_SYNC = 2 };

/* A new file in a new directory. */
static struct handle make_file(struct bench *bench, const char *name)
{
	struct handle dir = make_dir(bench, name);
	struct calls one = { 0 };

	put_create(&one, &dir, 0);
	drive(&(struct target){ .nfs_port = bench->target.nfs_port,
	                        .connections = 1,
	                        .depth = 1 },
	      &one, true);
	calls_release(&one);
	return look_up(bench, &dir, "name0");
}

static void put_write(struct calls *calls, const struct handle *file,
                      uint64_t offset, uint32_t count, enum stable stable)
{
	calls_begin(calls, NFS, PROC_WRITE);
	calls_put_handle(calls, file);
	calls_put64(calls, offset);
	calls_put(calls, count);
	calls_put(calls, stable);
	calls_put_data(calls, count);
	calls_end(calls);
}

static uint64_t prepare_write(struct bench *bench, struct calls *calls,
                              unsigned n)
{
	struct handle file = make_file(bench, "write");

	for (unsigned i = 0; i < n; i++)
		put_write(calls, &file, (uint64_t)(i % 256) << 16, 1 << 16,
		          UNSTABLE);
	return n;
}

/* Each is on the disk when it is answered. */
static uint64_t prepare_write_stable(struct bench *bench, struct calls *calls,
                                     unsigned n)
{
	struct handle file = make_file(bench, "stable");

	for (unsigned i = 0; i < n; i++)
		put_write(calls, &file, (uint64_t)(i % 256) << 12, 1 << 12,
		          FILE_SYNC);
	return n;
}

/* A byte, and the whole file is copied up for it. */
static uint64_t prepare_write_huge(struct bench *bench, struct calls *calls,
                                   unsigned n)
{
	struct handle file = look_up(bench, &bench->root, "huge");

	for (unsigned i = 0; i < n; i++)
		put_write(calls, &file, 0, 4, UNSTABLE);
	return n;
}

static uint64_t put_creates(struct calls *calls, const struct handle *dir,
                            unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_create(calls, dir, i);
	return n;
}

static uint64_t prepare_create(struct bench *bench, struct calls *calls,
                               unsigned n)
{
	struct handle dir = make_dir(bench, "create");

	return put_creates(calls, &dir, n);
}

/* In the directory that is listed; prepare_remove_in takes them away again. */
static uint64_t prepare_create_in(struct bench *bench, struct calls *calls,
                                  unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "names");

	return put_creates(calls, &dir, n);
}

static uint64_t put_removes(struct calls *calls, const struct handle *dir,
                            unsigned n)
{
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		calls_begin(calls, NFS, PROC_REMOVE);
		calls_put_handle(calls, dir);
		calls_put_name(calls, name);
		calls_end(calls);
	}
	return n;
}

static uint64_t prepare_remove_in(struct bench *bench, struct calls *calls,
                                  unsigned n)
{
	struct handle dir = look_up(bench, &bench->root, "names");

	return put_removes(calls, &dir, n);
}

static uint64_t prepare_remove(struct bench *bench, struct calls *calls,
                               unsigned n)
{
	struct handle dir = make_dir(bench, "remove");
	struct calls creates = { 0 };

	put_creates(&creates, &dir, n);
	drive(&bench->target, &creates, true);
	calls_release(&creates);
	return put_removes(calls, &dir, n);
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
		put_write(calls, &file, 0, 4096, UNSTABLE);
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
	{ "readall", true, 1, prepare_read_all },
	{ "read1m", true, 2000, prepare_read_large },
	{ "readdirplus", true, 20, prepare_readdirplus },
	{ "find", true, 1, prepare_find },
	{ "write64k", true, 10000, prepare_write },
	{ "writestable", true, 1000, prepare_write_stable },
	{ "writehuge", true, 1, prepare_write_huge },
	{ "create", true, 20000, prepare_create },
	{ "createin", true, 2000, prepare_create_in },
	{ "remove", true, 20000, prepare_remove },
	{ "removein", true, 2000, prepare_remove_in },
	{ "copyup", true, 2000, prepare_copy_up },
	{ "chmod", true, 2000, prepare_chmod },
	{ 0 },
};
