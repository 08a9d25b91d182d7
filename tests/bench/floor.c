#include "config.h"

#include "tests/bench/floor.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ORIGIN_BYTES 40

static int large, copies, upper, work;
static int passage[2]; /* a pipe of 1 MiB */
static unsigned next_lower, copied, created, removed;

static void check(const char *what, ssize_t result)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static int open_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	check(path, fd);
	return fd;
}

static int make_dir(int at, const char *name)
{
	check(name, mkdirat(at, name, 0755));
	return open_dir(at, name);
}

static void open_passage(void)
{
	check("pipe", pipe2(passage, O_CLOEXEC));
	check("pipe", fcntl(passage[1], F_SETPIPE_SZ, 1 << 20));
}

void floor_open(const char *lower, const char *top)
{
	int below = open_dir(AT_FDCWD, lower), above = open_dir(AT_FDCWD, top);

	large = openat(below, "large", O_RDONLY | O_CLOEXEC);
	check("large", large);
	copies = open_dir(below, "copy-1");
	open_passage();
	upper = make_dir(above, "floor-upper");
	work = make_dir(above, "floor-work");
}

/* ---- looking --------------------------------------------------------------------- */

/* The attributes, for the reply. */
static struct statx look(int fd)
{
	struct statx stx;

	check("statx", statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
	return stx;
}

/* What tells a reused inode number apart, for the handle. */
static void look_at_handle(int fd)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} known = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount;

	check("name_to_handle_at",
	      name_to_handle_at(fd, "", &known.handle, &mount, AT_EMPTY_PATH));
}

static void name_file(char name[NAME_MAX + 1], unsigned number)
{
	snprintf(name, NAME_MAX + 1, "f%u", number);
}

/* ---- data ------------------------------------------------------------------------ */

void floor_read(void *data, size_t count, uint64_t offset)
{
	check("pread", pread(large, data, count, (off_t)offset));
}

void floor_send(int fd, size_t count, uint64_t offset)
{
	off64_t at = (off64_t)offset;
	ssize_t n;

	check("splice",
	      splice(large, &at, passage[1], NULL, count, SPLICE_F_NONBLOCK));
	for (; count > 0; count -= (size_t)n) {
		n = splice(passage[0], NULL, fd, NULL, count, 0);
		if (n < 0) { /* who asked has gone */
			close(passage[0]);
			close(passage[1]);
			open_passage();
			return;
		}
	}
}

/* With the attributes after it; those before are known since the last change. */
static void write_at(int fd, const void *data, size_t count, uint64_t offset)
{
	check("pwrite", pwrite(fd, data, count, (off_t)offset));
	look(fd);
}

void floor_write(const void *data, size_t count, uint64_t offset)
{
	static int file = -1;

	if (file < 0)
		file = openat(upper, "written", O_RDWR | O_CREAT | O_CLOEXEC,
		              0644);
	check("written", file);
	write_at(file, data, count, offset);
}

/* ---- names ------------------------------------------------------------------------ */

/* From the work directory to the upper, and how that is then. */
static void place(const char *name)
{
	check("renameat2",
	      renameat2(work, "tmp", upper, name, RENAME_NOREPLACE));
	look(upper);
}

void floor_create(void)
{
	char name[NAME_MAX + 1];
	int fd;

	name_file(name, created++);
	fd = openat(upper, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	check(name, fd);
	look_at_handle(fd);
	look(fd);
	close(fd);
	look(upper);
}

void floor_remove(void)
{
	char name[NAME_MAX + 1];
	struct stat st;

	name_file(name, removed++);
	check("fstatat", fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW));
	check("unlinkat", unlinkat(upper, name, 0));
	look(upper);
}

/* ---- copies ----------------------------------------------------------------------- */

/* The next lower file; after the last one the first again. */
static int open_lower(void)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
	char name[NAME_MAX + 1];
	int fd;

	name_file(name, next_lower++);
	fd = openat(copies, name, flags);
	if (fd < 0) {
		next_lower = 1;
		fd = openat(copies, "f0", flags);
	}
	check("copy-1/f0", fd);
	return fd;
}

/* Of the next lower file: without its data, or with it. Returns it, open. */
static int copy(bool with_data)
{
	const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
	static const char origin[ORIGIN_BYTES];
	int from = open_lower(), to;
	struct statx stx = look(from);
	char name[NAME_MAX + 1], list[256];

	look_at_handle(from);
	to = openat(work, "tmp", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	check("tmp", to);
	if (with_data)
		check("copy_file_range",
		      copy_file_range(from, NULL, to, NULL, stx.stx_size, 0));
	else
		check("ftruncate", ftruncate(to, (off_t)stx.stx_size));
	check("flistxattr", flistxattr(from, list, sizeof(list)));
	close(from);
	check("fchmod", fchmod(to, 0600));
	check("futimens", futimens(to, times));
	look_at_handle(to);
	look(to);
	check("fsetxattr", fsetxattr(to, "trusted.overlay.veneer.origin",
	                             origin, sizeof(origin), 0));
	if (!with_data)
		check("fsetxattr",
		      fsetxattr(to, "trusted.overlay.metacopy", "", 0, 0));
	snprintf(name, sizeof(name), "copy%u", copied++);
	place(name);
	/* That the times of the directory are as they were. */
	check("futimens", futimens(upper, times));
	return to;
}

void floor_first_write(const void *data, size_t count)
{
	int fd = copy(true);

	write_at(fd, data, count, 0);
	close(fd);
}

void floor_chmod(void)
{
	int fd = copy(false);

	look(fd);
	close(fd);
}
