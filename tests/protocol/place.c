#include "config.h"

#include "tests/protocol/place.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"

/* Of one fixture, besides the first, which nobody touches. */
#define PLACES 100

#define TEXT_SIZE 2048

static struct fixture *fixture;
static const char *with; /* export options */
static bool mounted;     /* in memory */
static int next;         /* place to be given */
static char as_before[TEXT_SIZE];

/* ---- making them ---------------------------------------------------------- */

static const char *path_in(int place, const char *name, char path[64])
{
	snprintf(path, 64, "lower0/%d/%s", place, name);
	return path;
}

static void make_place(int i)
{
	static const char *const names[] = { "file", "other", "link", "empty",
		                             "" };
	const struct timespec old[2] = { { 1000000000, 1 }, { 1000000000, 1 } };
	char path[64];

	fixture_mkdir(fixture, path_in(i, "", path), 0755);
	fixture_write(fixture, path_in(i, "file", path), "lower text", 0644);
	fixture_write(fixture, path_in(i, "other", path), "other", 0640);
	fixture_symlink(fixture, path_in(i, "link", path), "file");
	fixture_mkdir(fixture, path_in(i, "empty", path), 0755);
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		ck_assert_int_eq(utimensat(fixture->topfd,
		                           path_in(i, names[n], path), old,
		                           AT_SYMLINK_NOFOLLOW),
		                 0);
}

static struct place place_of(int i)
{
	struct place place = { .client = fixture->client };

	place.root = nfs_root(place.client);
	snprintf(place.name, sizeof(place.name), "%d", i);
	place.dir = nfs_find(place.client, place.root, place.name);
	place.file = nfs_find(place.client, place.dir, "file");
	place.link = nfs_find(place.client, place.dir, "link");
	return place;
}

/* ---- how they look -------------------------------------------------------- */

/* What a client sees of an object, but its identity, atime and ctime. */
static int describe_object(struct client *client, const char *name, nfs_fh3 fh,
                           char *text, size_t size)
{
	fattr3 attr = nfs_attributes(client, fh);
	bool is_dir = attr.type == NF3DIR;

	return snprintf(text, size,
	                "%s: type %d mode %o links %u owner %u %u "
	                "size %u time %u.%u\n",
	                name, attr.type, attr.mode, is_dir ? 0 : attr.nlink,
	                attr.uid, attr.gid, is_dir ? 0 : (unsigned)attr.size,
	                attr.mtime.seconds, attr.mtime.nseconds);
}

static void describe(const struct place *place, char text[TEXT_SIZE])
{
	struct client *client = place->client;
	READDIR3res *res = nfs_readdir(client, place->dir, 0, 8192);
	size_t len = 0;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(res->READDIR3res_u.resok.reply.eof);
	for (entry3 *e = res->READDIR3res_u.resok.reply.entries; e != NULL;
	     e = e->nextentry)
		if (strcmp(e->name, "..") != 0)
			len += (size_t)describe_object(
				client, e->name,
				nfs_find(client, place->dir, e->name),
				text + len, TEXT_SIZE - len);
	nfs_assert_text(client, nfs_find(client, place->dir, "file"),
	                "lower text");
	nfs_assert_text(client, nfs_find(client, place->dir, "other"), "other");
}

void place_assert_as_before(const struct place *place, const char *what)
{
	char now[TEXT_SIZE];

	describe(place, now);
	ck_assert_msg(strcmp(now, as_before) == 0, "%s:\n%sbefore:\n%s", what,
	              now, as_before);
}

void place_assert_no_rubbish(const char *what)
{
	int fd = openat(fixture->topfd, "work/veneer/tmp",
	                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		ck_assert_msg(entry->d_name[0] == '.', "%s leaves %s", what,
		              entry->d_name);
	closedir(dir);
}

/* ---- life ----------------------------------------------------------------- */

void places_begin(const char *options, bool in_memory)
{
	struct place first;

	with = options;
	mounted = in_memory;
	next = 1;
	fixture =
		mounted ? fixture_new_in_memory(1, "mode=755") : fixture_new(1);
	for (int i = 0; i <= PLACES; i++)
		make_place(i);
	fixture_start(fixture, with, false);
	first = place_of(0);
	describe(&first, as_before);
}

void places_end(void)
{
	fixture_free(fixture);
}

struct place place_new(void)
{
	if (next > PLACES) {
		places_end();
		places_begin(with, mounted);
	}
	return place_of(next++);
}
