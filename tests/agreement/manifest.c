#include "config.h"

#include "tests/agreement/manifest.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINE 1024

struct object {
	char *path;
	int err; /* of looking at it */
	struct facts facts;
	uint64_t data;
	char *xattrs; /* or NULL */
	enum { TOLD_WHOLE, TOLD_TYPE, TOLD_NAME } told;
};

struct manifest {
	struct object *objects;
	unsigned n;
};

/* ---- extended attributes ----------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The hashes of them; the overlay's own with `own` only, which others can see. */
static void print_xattrs(FILE *out, const char *path, bool own)
{
	char names[4096], value[4096], *sorted[64];
	ssize_t size = llistxattr(path, names, sizeof(names)), len;
	unsigned n = 0;

	for (char *name = names; name < names + size; name += strlen(name) + 1)
		if (n < 64 && (own || !strstr(name, ".overlay.")))
			sorted[n++] = name;
	qsort(sorted, n, sizeof(sorted[0]), by_text);
	for (unsigned i = 0; i < n; i++) {
		len = lgetxattr(path, sorted[i], value, sizeof(value));
		fprintf(out, " %s=%016llx", sorted[i],
		        (unsigned long long)hash(HASH_START, value,
		                                 len > 0 ? len : 0));
	}
}

/* ---- taking ---------------------------------------------------------------- */

/* Where it is now. */
static unsigned add_object(struct manifest *manifest, const char *path)
{
	manifest->objects = reallocarray(manifest->objects, manifest->n + 1,
	                                 sizeof(*manifest->objects));
	ck_assert_ptr_nonnull(manifest->objects);
	manifest->objects[manifest->n] = (struct object){
		.path = strdup(path),
		.data = HASH_START,
	};
	return manifest->n++;
}

static int hash_target(const struct side *side, const char *path, uint64_t *sum)
{
	char target[PATH_MAX];
	int err = side->readlink(path, target);

	if (!err)
		*sum = hash(*sum, target, strlen(target));
	return err;
}

static void add_tree(struct manifest *manifest, const struct side *side,
                     const char *path, uint64_t fileid);

/* The error is of the listing. */
static int add_names(struct manifest *manifest, const struct side *side,
                     const char *path)
{
	struct side_names *names = calloc(1, sizeof(*names));
	char child[SIDE_PATH];
	int err;

	ck_assert_ptr_nonnull(names);
	err = side->list(path, true, names);
	names_sort(names);
	for (unsigned i = 0; !err && i < names->n; i++) {
		snprintf(child, sizeof(child), "%.250s%s%.250s", path,
		         *path ? "/" : "", names->names[i].name);
		add_tree(manifest, side, child, names->names[i].fileid);
	}
	free(names);
	return err;
}

/* `fileid`: as the listing has it; 0 for the root. */
static void add_tree(struct manifest *manifest, const struct side *side,
                     const char *path, uint64_t fileid)
{
	unsigned i = add_object(manifest, path);
	struct object *object = &manifest->objects[i];
	mode_t mode;
	int err;

	err = side->look(path, &object->facts);
	mode = object->facts.mode;
	if (!err && fileid && side == &nfs_side)
		ck_assert_msg(object->facts.fileid == fileid,
		              "'%s': the listing has another number", path);
	if (!err && S_ISREG(mode))
		err = side->read(path, &object->data);
	else if (!err && S_ISLNK(mode))
		err = hash_target(side, path, &object->data);
	else if (!err && S_ISDIR(mode))
		err = add_names(manifest, side, path);
	manifest->objects[i].err = err;
}

struct manifest *manifest_take(const struct side *side)
{
	struct manifest *manifest = calloc(1, sizeof(*manifest));

	ck_assert_ptr_nonnull(manifest);
	side->become(0, 0);
	add_tree(manifest, side, "", 0);
	return manifest;
}

void manifest_free(struct manifest *manifest)
{
	for (unsigned i = 0; i < manifest->n; i++) {
		free(manifest->objects[i].path);
		free(manifest->objects[i].xattrs);
	}
	free(manifest->objects);
	free(manifest);
}

void manifest_add_xattrs(struct manifest *manifest, const char *top)
{
	char path[PATH_MAX];
	size_t size;
	FILE *out;

	for (unsigned i = 0; i < manifest->n; i++) {
		struct object *object = &manifest->objects[i];

		snprintf(path, sizeof(path), "%s/%s", top, object->path);
		out = open_memstream(&object->xattrs, &size);
		ck_assert_ptr_nonnull(out);
		print_xattrs(out, path, false);
		fclose(out);
	}
}

void manifest_paths(const struct manifest *manifest, struct known *known)
{
	for (unsigned i = 1; i < manifest->n; i++)
		known_add(known, manifest->objects[i].path,
		          S_ISDIR(manifest->objects[i].facts.mode));
}

static bool has_links(const struct manifest *lower, uint64_t fileid)
{
	for (unsigned i = 0; i < lower->n; i++)
		if (lower->objects[i].facts.fileid == fileid &&
		    !S_ISDIR(lower->objects[i].facts.mode) &&
		    lower->objects[i].facts.nlink > 1)
			return true;
	return false;
}

void manifest_forgive_links(struct manifest *manifest,
                            const struct manifest *lower)
{
	for (unsigned i = 0; i < manifest->n; i++)
		if (has_links(lower, manifest->objects[i].facts.fileid))
			manifest->objects[i].told = TOLD_TYPE;
}

void manifest_forgive_special(struct manifest *manifest)
{
	for (unsigned i = 0; i < manifest->n; i++) {
		mode_t mode = manifest->objects[i].facts.mode;

		if (!S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))
			manifest->objects[i].told = TOLD_NAME;
	}
}

void manifest_unlock(const struct manifest *manifest, const struct side *side)
{
	struct ovl_setattr set = { .has_mode = true };

	for (unsigned i = 0; i < manifest->n; i++) {
		const struct object *object = &manifest->objects[i];
		mode_t mode = object->facts.mode;
		mode_t needed = S_ISDIR(mode) ? 0700 : 0600;

		if (S_ISLNK(mode) || (mode & needed) == needed)
			continue;
		set.mode = (mode & 07777) | needed;
		ck_assert_int_eq(side->setattr(object->path, &set), 0);
	}
}

/* ---- comparing ------------------------------------------------------------- */

static void print_object(const struct object *object, unsigned tell, int told,
                         FILE *out)
{
	const struct facts *facts = &object->facts;
	bool dir = S_ISDIR(facts->mode);

	fprintf(out, "/%s", object->path);
	if (told == TOLD_NAME)
		return;
	fprintf(out, " %06o", facts->mode & S_IFMT);
	if (told == TOLD_TYPE)
		return;
	if (object->err)
		fprintf(out, " %s", strerror(-object->err));
	fprintf(out, " size %llu device %u:%u data %016llx",
	        dir ? 0 : (unsigned long long)facts->size, facts->major,
	        facts->minor, (unsigned long long)object->data);
	if (tell & TELL_MODE)
		fprintf(out, " mode %04o", facts->mode & 07777);
	if (tell & TELL_OWNER)
		fprintf(out, " owner %u:%u", facts->uid, facts->gid);
	if (tell & TELL_LINKS)
		fprintf(out, " links %u", dir ? 0 : facts->nlink);
	if (tell & TELL_TIME && facts->mtime.tv_sec >= NOW_TIME)
		fprintf(out, " modified now");
	else if (tell & TELL_TIME)
		fprintf(out, " modified %lld.%09ld",
		        (long long)facts->mtime.tv_sec, facts->mtime.tv_nsec);
	if (tell & TELL_XATTRS && object->xattrs)
		fputs(object->xattrs, out);
	if (tell & TELL_IDENTITY)
		fprintf(out, " number %016llx handle %016llx",
		        (unsigned long long)facts->fileid,
		        (unsigned long long)facts->handle);
}

/* Whether one of two paths is the other, or leads to it. */
static bool is_on_the_way(const char *a, const char *b)
{
	size_t i = 0;

	while (a[i] && a[i] == b[i])
		i++;
	return (!a[i] && (!b[i] || b[i] == '/')) || (!b[i] && a[i] == '/');
}

void manifest_print(const struct manifest *manifest, const char *path,
                    FILE *out)
{
	for (unsigned i = 1; i < manifest->n; i++) {
		if (!is_on_the_way(manifest->objects[i].path, path))
			continue;
		print_object(&manifest->objects[i], TELL_ALL, TOLD_WHOLE, out);
		fputc('\n', out);
	}
}

static void line_of(const struct manifest *manifest, unsigned i, unsigned tell,
                    int told, char line[LINE])
{
	FILE *out = fmemopen(line, LINE, "w");

	ck_assert_ptr_nonnull(out);
	if (i < manifest->n)
		print_object(&manifest->objects[i], tell, told, out);
	else
		fprintf(out, "(no more)");
	fputc('\0', out);
	fclose(out);
}

static int how_told(const struct manifest *manifest, unsigned i)
{
	return i < manifest->n ? manifest->objects[i].told : TOLD_WHOLE;
}

bool manifest_same(const struct manifest *a, const char *a_name,
                   const struct manifest *b, const char *b_name, unsigned tell,
                   FILE *out)
{
	char a_line[LINE], b_line[LINE];

	for (unsigned i = 0; i < a->n || i < b->n; i++) {
		int told = how_told(a, i) > how_told(b, i) ? how_told(a, i)
		                                           : how_told(b, i);

		line_of(a, i, tell, told, a_line);
		line_of(b, i, tell, told, b_line);
		if (!strcmp(a_line, b_line))
			continue;
		fprintf(out, "%s: %s\n%s: %s\n", a_name, a_line, b_name,
		        b_line);
		return false;
	}
	return true;
}

/* ---- on disk --------------------------------------------------------------- */

/* Without a trace: a layer's times are older than its changes, so that any
 * other reading moves them. */
static void read_names(const char *path, struct side_names *names)
{
	DIR *dir = fdopendir(open(path, O_RDONLY | O_DIRECTORY | O_NOATIME));
	const struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	names->n = 0;
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		ck_assert_uint_lt(names->n, SIDE_NAMES);
		strcpy(names->names[names->n++].name, entry->d_name);
	}
	closedir(dir);
	names_sort(names);
}

static void print_data(FILE *out, const char *path)
{
	uint64_t sum = HASH_START;
	char data[4096];
	int fd = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	while ((n = read(fd, data, sizeof(data))) > 0)
		sum = hash(sum, data, n);
	ck_assert_int_eq(n, 0);
	close(fd);
	fprintf(out, " %016llx", (unsigned long long)sum);
}

/*
 * When a symlink was last read is left out where the server is not root: no flag
 * keeps readlinkat(2) from telling, and only root has a mount that does.
 */
static void print_whole(FILE *out, const char *path, const struct stat *st)
{
	fprintf(out, " %o %u:%u %lld %lld %lu %llx %lld.%ld %lld.%ld",
	        st->st_mode, st->st_uid, st->st_gid, (long long)st->st_size,
	        (long long)st->st_blocks, (unsigned long)st->st_nlink,
	        (unsigned long long)st->st_rdev, (long long)st->st_mtim.tv_sec,
	        st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
	        st->st_ctim.tv_nsec);
	if (!S_ISLNK(st->st_mode) || geteuid() == 0)
		fprintf(out, " %lld.%ld", (long long)st->st_atim.tv_sec,
		        st->st_atim.tv_nsec);
	print_xattrs(out, path, true);
	if (S_ISREG(st->st_mode))
		print_data(out, path);
}

static void walk(FILE *out, const char *path, size_t top)
{
	struct side_names *names;
	char child[PATH_MAX];
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	fprintf(out, "%s", path + top);
	print_whole(out, path, &st);
	fprintf(out, "\n");
	if (!S_ISDIR(st.st_mode))
		return;
	names = malloc(sizeof(*names));
	ck_assert_ptr_nonnull(names);
	read_names(path, names);
	for (unsigned i = 0; i < names->n; i++) {
		snprintf(child, sizeof(child), "%.2000s/%s", path,
		         names->names[i].name);
		walk(out, child, top);
	}
	free(names);
}

char *manifest_of_disk(const char *dir)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	walk(out, dir, strlen(dir));
	fclose(out);
	return text;
}
