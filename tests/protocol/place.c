#include "config.h"

#include "tests/protocol/place.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"

/* Of one fixture, besides the first, which nobody touches. */
#define PLACES 100

static struct fixture *fixture;
static const char *with; /* export options */
static bool mounted;     /* in memory */
static int next;         /* place to be given */
static char as_made[PLACE_TEXT];

/* ---- making them ---------------------------------------------------------- */

static const char *path_in(int place, const char *name, char path[64])
{
	snprintf(path, 64, "lower0/%d/%s", place, name);
	return path;
}

static void make_place(int i)
{
	static const char *const names[] = { "file",   "other", "link", "empty",
		                             "full/a", "full",  "" };
	const struct timespec old[2] = { { 1000000000, 1 }, { 1000000000, 1 } };
	char path[64];

	fixture_mkdir(fixture, path_in(i, "", path), 0755);
	fixture_write(fixture, path_in(i, "file", path), "lower text", 0644);
	fixture_write(fixture, path_in(i, "other", path), "other", 0640);
	fixture_symlink(fixture, path_in(i, "link", path), "file");
	fixture_mkdir(fixture, path_in(i, "empty", path), 0755);
	fixture_mkdir(fixture, path_in(i, "full", path), 0755);
	fixture_write(fixture, path_in(i, "full/a", path), "a", 0644);
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
	place.other = nfs_find(place.client, place.dir, "other");
	place.link = nfs_find(place.client, place.dir, "link");
	strcpy(place.looks, as_made);
	return place;
}

/* ---- how they look -------------------------------------------------------- */

/* Text in the making. */
struct text {
	char *bytes; /* PLACE_TEXT */
	size_t len;
};

static void add(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	text->len += (size_t)vsnprintf(text->bytes + text->len,
	                               PLACE_TEXT - text->len, format, list);
	va_end(list);
	ck_assert_uint_lt(text->len, PLACE_TEXT);
}

/* What a client sees of an object, but its identity, atime and ctime. */
static void add_object(struct text *text, struct client *client,
                       const entryplus3 *entry)
{
	fattr3 attr = entry->name_attributes.post_op_attr_u.attributes;
	nfs_fh3 fh = entry->name_handle.post_op_fh3_u.handle;
	READ3resok *ok;

	ck_assert(entry->name_attributes.attributes_follow);
	ck_assert(entry->name_handle.handle_follows);
	add(text, "type %d mode %o owner %u %u time %u.%u", attr.type,
	    attr.mode, attr.uid, attr.gid, attr.mtime.seconds,
	    attr.mtime.nseconds);
	if (attr.type == NF3DIR)
		return;
	add(text, " links %u size %u", attr.nlink, (unsigned)attr.size);
	if (attr.type != NF3REG)
		return;
	ok = &nfs_read(client, fh, 0, 64)->READ3res_u.resok;
	add(text, " \"%.*s\"", (int)ok->data.data_len, ok->data.data_val);
}

/* A directory, and all below it. */
static void add_directory(struct text *text, struct client *client, nfs_fh3 dir,
                          const char *name)
{
	READDIRPLUS3res *res = nfs_readdirplus(client, dir, 0, 8192, 8192);
	entryplus3 *e = res->READDIRPLUS3res_u.resok.reply.entries;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(res->READDIRPLUS3res_u.resok.reply.eof);
	for (; e != NULL; e = e->nextentry) {
		if (strcmp(e->name, "..") == 0)
			continue;
		add(text, "%s/%s: ", name, e->name);
		add_object(text, client, e);
		add(text, "\n");
		if (strcmp(e->name, ".") != 0 &&
		    e->name_attributes.post_op_attr_u.attributes.type == NF3DIR)
			add_directory(text, client,
			              e->name_handle.post_op_fh3_u.handle,
			              e->name);
	}
}

static void describe(const struct place *place, char bytes[PLACE_TEXT])
{
	struct text text = { bytes, 0 };

	add_directory(&text, place->client, place->dir, "");
}

void place_remember(struct place *place)
{
	describe(place, place->looks);
}

void place_assert_as_before(const struct place *place, const char *what)
{
	char now[PLACE_TEXT];

	describe(place, now);
	ck_assert_msg(strcmp(now, place->looks) == 0, "%s:\n%sbefore:\n%s",
	              what, now, place->looks);
}

unsigned place_rubbish(void)
{
	int fd = openat(fixture->topfd, "work/veneer/tmp",
	                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
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
	describe(&first, as_made);
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
