#include "config.h"

#include "tests/moves/layers.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LOW, HIGH, UPPER, NLAYERS };

/* What stands on disk, where it shows, and, of a link, what to. */
struct entry {
	unsigned layer;
	const char *path;
	mode_t type; /* 0: a link */
	const char *other;
};

#define HIDDEN ""
#define WHITEOUT (S_IFCHR | 1)

/* In this order; `other` is where it shows, if not at `path`. */
static const struct entry entries[] = {
	{ LOW, "file", S_IFREG, NULL },
	{ LOW, "one", S_IFREG, NULL },
	{ LOW, "two", 0, "one" },
	{ LOW, "symlink", S_IFLNK, NULL },
	{ LOW, "fifo", S_IFIFO, NULL },
	{ LOW, "socket", S_IFSOCK, NULL },
	{ LOW, "device", S_IFCHR, NULL },
	{ LOW, "only", S_IFDIR, NULL },
	{ LOW, "only/file", S_IFREG, NULL },
	{ LOW, "only/three", 0, "one" },
	{ LOW, "only/symlink", 0, "symlink" },
	{ LOW, "only/deep", S_IFDIR, NULL },
	{ LOW, "only/deep/file", S_IFREG, NULL },
	{ LOW, "only/deep/symlink", S_IFLNK, NULL },
	{ LOW, "only/deep/deeper", S_IFDIR, NULL },
	{ LOW, "only/deep/deeper/file", S_IFREG, NULL },
	{ LOW, "merged", S_IFDIR, NULL },
	{ LOW, "merged/file", S_IFREG, NULL },
	{ LOW, "merged/both", S_IFREG, HIDDEN },
	{ LOW, "merged/fifo", 0, "fifo" },
	{ LOW, "merged/sub", S_IFDIR, NULL },
	{ LOW, "merged/sub/file", S_IFREG, NULL },
	{ LOW, "opaque", S_IFDIR, HIDDEN },
	{ LOW, "opaque/hidden", S_IFREG, HIDDEN },
	{ LOW, "hidden", S_IFREG, HIDDEN },
	{ LOW, "origin", S_IFDIR, "redirected" },
	{ LOW, "origin/file", S_IFREG, "redirected/file" },
	{ LOW, "origin/sub", S_IFDIR, "redirected/sub" },
	{ LOW, "origin/sub/file", S_IFREG, "redirected/sub/file" },
	{ HIGH, "high", S_IFREG, NULL },
	{ HIGH, "four", S_IFREG, NULL },
	{ HIGH, "merged", S_IFDIR, NULL },
	{ HIGH, "merged/both", S_IFREG, NULL },
	{ HIGH, "merged/five", 0, "four" },
	{ HIGH, "merged/sub", S_IFDIR, NULL },
	{ HIGH, "merged/sub/high", S_IFREG, NULL },
	{ HIGH, "opaque", S_IFDIR, NULL },
	{ HIGH, "opaque/file", S_IFREG, NULL },
	{ HIGH, "hidden", WHITEOUT, NULL },
	{ HIGH, "origin", WHITEOUT, NULL },
	{ HIGH, "redirected", S_IFDIR, NULL },
	{ HIGH, "redirected/high", S_IFREG, NULL },
	{ UPPER, "upper", S_IFREG, NULL },
	{ UPPER, "six", S_IFREG, NULL },
	{ UPPER, "merged", S_IFDIR, NULL },
	{ UPPER, "merged/seven", 0, "six" },
	{ UPPER, "merged/upper", S_IFREG, NULL },
	{ UPPER, "pure", S_IFDIR, NULL },
	{ UPPER, "pure/file", S_IFREG, NULL },
	{ UPPER, "pure/symlink", S_IFLNK, NULL },
	{ UPPER, "pure/fifo", S_IFIFO, NULL },
	{ UPPER, "pure/sub", S_IFDIR, NULL },
	{ UPPER, "pure/sub/file", S_IFREG, NULL },
};

struct making {
	int dirs[NLAYERS];
	bool userxattr;
	struct model *model;
};

/* Set an attribute of overlays on a directory of the upper of the two lowers. */
static void mark(const struct making *making, const char *path,
                 const char *attribute, const char *value)
{
	char name[64];
	int fd = openat(making->dirs[HIGH], path,
	                O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	snprintf(name, sizeof(name), "%s.overlay.%s",
	         making->userxattr ? "user" : "trusted", attribute);
	ck_assert_msg(fsetxattr(fd, name, value, strlen(value), 0) == 0,
	              "%s: %m", name);
	close(fd);
}

static void put_text(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	                0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void make_on_disk(const struct making *making, const struct entry *entry,
                         const char *text)
{
	int dir = making->dirs[entry->layer], err = 0;
	const char *path = entry->path;

	if (entry->type == 0)
		err = linkat(dir, entry->other, dir, path, 0);
	else if (entry->type == WHITEOUT)
		err = mknodat(dir, path, S_IFCHR, makedev(0, 0));
	else if (S_ISDIR(entry->type))
		err = mkdirat(dir, path, 0755);
	else if (S_ISLNK(entry->type))
		err = symlinkat(text, dir, path);
	else if (S_ISREG(entry->type))
		put_text(dir, path, text);
	else
		err = mknodat(dir, path, entry->type | 0644, makedev(1, 3));
	ck_assert_msg(err == 0, "%s: %m", path);
}

/* What it shows as; the model has merged directories once. */
static const char *show(struct making *making, const struct entry *entry)
{
	static const char hidden[] = "hidden";
	struct model *model = making->model;
	const char *shown = entry->path, *name;
	struct model_object *object;
	unsigned dir, number;

	if (entry->type != 0 && entry->other)
		shown = entry->other;
	if (*shown == '\0' || entry->type == WHITEOUT)
		return hidden;
	if (model_at(model, shown) >= 0) {
		ck_assert(S_ISDIR(entry->type));
		return hidden;
	}
	dir = model_split(model, shown, &name);
	if (entry->type == 0) {
		model_add_name(model, dir, name,
		               (unsigned)model_at(model, entry->other));
		return hidden;
	}
	number = model_add(model, dir, name, entry->type);
	object = &model->objects[number];
	if (S_ISCHR(entry->type)) {
		object->major = 1;
		object->minor = 3;
	}
	return object->text;
}

/* A user who is not root cannot make devices: those come by the server. */
static bool can_make(const struct entry *entry, unsigned nlayers)
{
	return entry->layer < nlayers &&
	       (entry->type != S_IFCHR || geteuid() == 0);
}

void layers_make(const char *high, const char *low, const char *upper,
                 bool userxattr, struct model *model)
{
	const char *const paths[] = { low, high, upper };
	const unsigned nlayers = upper ? NLAYERS : UPPER;
	struct making making = { .userxattr = userxattr, .model = model };

	model_init(model);
	for (unsigned i = 0; i < nlayers; i++) {
		making.dirs[i] =
			open(paths[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(making.dirs[i], 0);
	}
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (can_make(&entries[i], nlayers))
			make_on_disk(&making, &entries[i],
			             show(&making, &entries[i]));
	mark(&making, "opaque", "opaque", "y");
	mark(&making, "redirected", "redirect", "/origin");
	for (unsigned i = 0; i < nlayers; i++)
		close(making.dirs[i]);
}
