#include "config.h"

#include "tests/protocol/place.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

/* Of one fixture, besides the first, which nobody touches. */
#define PLACES 100

#define MAX_NAMES 32

static struct fixture *fixture;
static enum place_layout layout;
static const char *with; /* export options */
static bool mounted;     /* in memory */
static int next;         /* place to be given */
static char as_made[PLACE_TEXT];
static unsigned descriptors; /* before there was a server */

/* What is told of an object, besides what never changes by itself. */
enum { TELL_TIMES = 1 << 0, TELL_HANDLES = 1 << 1 };

/* Times that tests set are older. */
#define OLD 1000000000

/* ---- making them ---------------------------------------------------------- */

static const char *path_in(int layer, int place, const char *name,
                           char path[64])
{
	snprintf(path, 64, "lower%d/%d%s/%s", layer, place,
	         layout == PLACE_MERGED ? "/deep/below" : "", name);
	return path;
}

static void make_dir(int layer, int place, const char *name)
{
	char path[64];

	fixture_mkdir(fixture, path_in(layer, place, name, path), 0755);
}

static void make_file(int layer, int place, const char *name, const char *text)
{
	char path[64];

	fixture_write(fixture, path_in(layer, place, name, path), text, 0644);
}

static void make_above(int layer, int place)
{
	char path[64];

	snprintf(path, sizeof(path), "lower%d/%d", layer, place);
	fixture_mkdir(fixture, path, 0755);
	if (layout != PLACE_MERGED)
		return;
	strcat(path, "/deep");
	fixture_mkdir(fixture, path, 0755);
	make_dir(layer, place, "");
}

static void make_second(int place)
{
	char path[64], other[64];

	if (layout == PLACE_LINKED)
		ck_assert_int_eq(linkat(fixture->topfd,
		                        path_in(0, place, "file", path),
		                        fixture->topfd,
		                        path_in(0, place, "second", other), 0),
		                 0);
	else
		make_file(0, place, "second", "lower text");
}

static void make_old(int layer, int place)
{
	static const char *const names[] = { "file",  "second", "other", "link",
		                             "empty", "full/a", "full",  "" };
	const struct timespec old[2] = { { OLD, 1 }, { OLD, 1 } };
	char path[64];

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		ck_assert(utimensat(fixture->topfd,
		                    path_in(layer, place, names[n], path), old,
		                    AT_SYMLINK_NOFOLLOW) == 0 ||
		          errno == ENOENT);
}

static void make_place(int i)
{
	int bottom = layout == PLACE_MERGED;
	char path[64];

	make_above(0, i);
	make_file(0, i, "other", "other");
	make_dir(0, i, "full");
	if (bottom) {
		make_above(bottom, i);
		make_dir(bottom, i, "full");
	}
	make_file(bottom, i, "file", "lower text");
	make_second(i);
	make_file(bottom, i, "full/a", "a");
	fixture_symlink(fixture, path_in(bottom, i, "link", path), "file");
	make_dir(bottom, i, "empty");
	make_old(0, i);
	if (bottom)
		make_old(bottom, i);
}

/* Where it is, whatever has become of what is in it. */
static struct place find_place(int i)
{
	struct place place = { .client = fixture->client };

	place.root = nfs_root(place.client);
	snprintf(place.name, sizeof(place.name), "%d", i);
	place.dir = nfs_find(place.client, place.root, place.name);
	if (layout == PLACE_MERGED)
		place.dir = nfs_find(place.client, place.dir, "deep/below");
	return place;
}

static struct place place_of(int i)
{
	struct place place = find_place(i);

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

	if (text->len >= PLACE_TEXT)
		return; /* describe() will see: an assertion each time is slow */
	va_start(list, format);
	text->len += (size_t)vsnprintf(text->bytes + text->len,
	                               PLACE_TEXT - text->len, format, list);
	va_end(list);
}

static void add_time(struct text *text, const fattr3 *attr, unsigned tells)
{
	if (tells & TELL_TIMES)
		add(text, " time %u.%u", attr->mtime.seconds,
		    attr->mtime.nseconds);
	else if (attr->type != NF3DIR)
		add(text, " time %u",
		    attr->mtime.seconds <= OLD ? attr->mtime.seconds : OLD + 1);
}

static void add_handle(struct text *text, nfs_fh3 fh)
{
	for (u_int i = 0; i < fh.data.data_len; i++)
		add(text, "%02x", (unsigned char)fh.data.data_val[i]);
	add(text, " ");
}

/* What a client sees of an object, but its atime and ctime. */
static void add_object(struct text *text, struct client *client,
                       const entryplus3 *entry, unsigned tells)
{
	fattr3 attr = entry->name_attributes.post_op_attr_u.attributes;
	nfs_fh3 fh = entry->name_handle.post_op_fh3_u.handle;
	READ3resok *ok;

	ck_assert(entry->name_attributes.attributes_follow);
	ck_assert(entry->name_handle.handle_follows);
	if (tells & TELL_HANDLES)
		add_handle(text, fh);
	add(text, "type %d mode %o owner %u %u", attr.type, attr.mode, attr.uid,
	    attr.gid);
	add_time(text, &attr, tells);
	if (attr.type == NF3DIR)
		return;
	add(text, " links %u size %u", attr.nlink, (unsigned)attr.size);
	if (attr.type != NF3REG)
		return;
	ok = &nfs_read(client, fh, 0, 64)->READ3res_u.resok;
	add(text, " \"%.*s\"", (int)ok->data.data_len, ok->data.data_val);
}

/* The order of listings is another in each place. */
static int compare_names(const void *a, const void *b)
{
	return strcmp((*(entryplus3 *const *)a)->name,
	              (*(entryplus3 *const *)b)->name);
}

static unsigned list(struct client *client, nfs_fh3 dir,
                     entryplus3 *entries[MAX_NAMES])
{
	READDIRPLUS3res *res = nfs_readdirplus(client, dir, 0, 8192, 8192);
	entryplus3 *e = res->READDIRPLUS3res_u.resok.reply.entries;
	unsigned n = 0;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(res->READDIRPLUS3res_u.resok.reply.eof);
	for (; e != NULL && n < MAX_NAMES; e = e->nextentry)
		if (strcmp(e->name, "..") != 0)
			entries[n++] = e;
	ck_assert_ptr_null(e);
	qsort(entries, n, sizeof(entries[0]), compare_names);
	return n;
}

/* A directory, and all below it. */
static void add_directory(struct text *text, struct client *client, nfs_fh3 dir,
                          const char *name, unsigned tells)
{
	entryplus3 *entries[MAX_NAMES];
	unsigned n = list(client, dir, entries);

	for (unsigned i = 0; i < n; i++) {
		entryplus3 *e = entries[i];

		add(text, "%s/%s: ", name, e->name);
		add_object(text, client, e, tells);
		add(text, "\n");
		if (strcmp(e->name, ".") != 0 &&
		    e->name_attributes.post_op_attr_u.attributes.type == NF3DIR)
			add_directory(text, client,
			              e->name_handle.post_op_fh3_u.handle,
			              e->name, tells);
	}
}

static void describe(const struct place *place, char bytes[PLACE_TEXT],
                     unsigned tells)
{
	struct text text = { bytes, 0 };

	add_directory(&text, place->client, place->dir, "", tells);
	ck_assert_uint_lt(text.len, PLACE_TEXT);
}

void place_tell(const struct place *place, char text[PLACE_TEXT])
{
	describe(place, text, 0);
}

void place_remember(struct place *place)
{
	describe(place, place->looks, TELL_TIMES);
}

void place_assert_as_before(const struct place *place, const char *what)
{
	char now[PLACE_TEXT];

	describe(place, now, TELL_TIMES);
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

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* ---- life ----------------------------------------------------------------- */

void places_begin_as(enum place_layout as, const char *options, bool in_memory)
{
	const unsigned lowers = as == PLACE_MERGED ? 2 : 1;
	struct place first;

	layout = as;
	with = options;
	mounted = in_memory;
	next = 1;
	fixture = mounted ? fixture_new_in_memory(lowers, "mode=755")
	                  : fixture_new(lowers);
	for (int i = 0; i <= PLACES; i++)
		make_place(i);
	descriptors = count_descriptors();
	fixture_start(fixture, with, false);
	first = place_of(0);
	describe(&first, as_made, TELL_TIMES);
}

void places_begin(const char *options, bool in_memory)
{
	places_begin_as(PLACE_PLAIN, options, in_memory);
}

void places_end(void)
{
	fixture_free(fixture);
}

struct place place_new(void)
{
	if (next > PLACES) {
		places_assert_all_lasts();
		places_end();
		places_begin_as(layout, with, mounted);
	}
	return place_of(next++);
}

static void restart(void)
{
	fixture_stop(fixture);
	ck_assert_uint_eq(count_descriptors(), descriptors);
	fixture_start(fixture, with, false);
	ck_assert_uint_eq(place_rubbish(), 0);
}

struct place place_after_restart(const struct place *place)
{
	const int number = atoi(place->name);

	restart();
	return find_place(number);
}

void places_assert_all_lasts(void)
{
	char(*before)[PLACE_TEXT] = calloc(PLACES + 1, PLACE_TEXT);
	char after[PLACE_TEXT];
	struct place place;

	ck_assert_ptr_nonnull(before);
	for (int i = 0; i < next; i++) {
		place = find_place(i);
		describe(&place, before[i], TELL_TIMES | TELL_HANDLES);
	}
	restart();
	for (int i = 0; i < next; i++) {
		place = find_place(i);
		describe(&place, after, TELL_TIMES | TELL_HANDLES);
		ck_assert_msg(strcmp(before[i], after) == 0,
		              "place %d, before:\n%safter:\n%s", i, before[i],
		              after);
	}
	free(before);
}
