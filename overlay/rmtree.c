#include "config.h"

#include "overlay/rmtree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/beneath.h"
#include "overlay/fdcall.h"

/*
 * A directory is emptied without descending more than one level: a directory
 * below its children that is not empty is moved up into it, and found there by
 * the next pass. Each directory is moved once at most.
 */
struct emptying {
	int top;        /* the directory to be emptied */
	unsigned moved; /* for new names in it */
	bool progress;  /* something went in this pass */
};

/* 0: gone; -ENOTEMPTY: a directory with something in it; -errno. */
static int remove_one(int at, const char *name)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/*
 * Without root a directory must have u+rwx to be emptied, and u+w to be moved
 * (its ".." changes), whatever mode it was given. An O_PATH descriptor.
 */
static int make_accessible(int at, const char *name)
{
	int fd = ovl_open_beneath(at, name, O_PATH | O_DIRECTORY, 0, false);
	int err;

	if (fd < 0)
		return fd;
	err = ovl_fd_chmod(fd, 0700);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* The stream has a descriptor of its own. */
static int open_stream(int dirfd, DIR **stream)
{
	int fd = ovl_open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0, false);
	int err = 0;

	if (fd < 0)
		return fd;
	*stream = fdopendir(fd);
	if (!*stream) {
		err = -errno;
		close(fd);
	}
	return err;
}

/* The next name but "." and ".."; NULL at the end or, `*err` set, on error. */
static const char *next_name(DIR *stream, int *err)
{
	for (;;) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(stream);
		if (!entry) {
			*err = -errno;
			return NULL;
		}
		if (entry->d_name[0] != '.' ||
		    (entry->d_name[1] != '\0' &&
		     (entry->d_name[1] != '.' || entry->d_name[2] != '\0')))
			return entry->d_name;
	}
}

/*
 * Move the directory `name` of `at` to the top, under a new name. An empty
 * directory that has this name already is replaced, which is as good.
 */
static int move_up(struct emptying *job, int at, const char *name)
{
	char new_name[16];
	int fd = make_accessible(at, name);

	if (fd < 0)
		return fd;
	close(fd);
	for (;;) {
		snprintf(new_name, sizeof(new_name), "up%u", job->moved++);
		if (renameat(at, name, job->top, new_name) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
			return -errno;
	}
}

/* Remove or move up what is in the directory `name` of the top. */
static int empty_child(struct emptying *job, const char *name)
{
	DIR *stream = NULL;
	const char *entry;
	int err = 0;
	int fd = make_accessible(job->top, name);

	if (fd < 0)
		return fd;
	err = open_stream(fd, &stream);
	while (!err && (entry = next_name(stream, &err))) {
		err = remove_one(dirfd(stream), entry);
		if (err == -ENOTEMPTY)
			err = move_up(job, dirfd(stream), entry);
		if (!err)
			job->progress = true;
	}
	if (stream)
		closedir(stream);
	close(fd);
	return err;
}

static int empty_entry(struct emptying *job, const char *name)
{
	int err = remove_one(job->top, name);

	if (err == -ENOTEMPTY) {
		err = empty_child(job, name);
		if (!err)
			err = remove_one(job->top, name);
	}
	if (!err)
		job->progress = true;
	/* Listings may skip names while others go: the next pass sees them. */
	return err == -ENOTEMPTY ? 0 : err;
}

/* `*any`: names were found. */
static int empty_pass(struct emptying *job, bool *any)
{
	DIR *stream = NULL;
	const char *name;
	int err = open_stream(job->top, &stream);

	*any = false;
	while (!err && (name = next_name(stream, &err))) {
		*any = true;
		err = empty_entry(job, name);
	}
	if (stream)
		closedir(stream);
	return err;
}

int ovl_rmtree_contents(int dirfd)
{
	struct emptying job = { .top = dirfd };
	bool any = true;
	int err = 0;

	while (!err && any) {
		job.progress = false;
		err = empty_pass(&job, &any);
		if (!err && any && !job.progress)
			err = -ENOTEMPTY;
	}
	return err;
}

int ovl_rmtree(int dirfd, const char *name)
{
	int err = remove_one(dirfd, name);
	int fd;

	if (err != -ENOTEMPTY)
		return err;
	fd = make_accessible(dirfd, name);
	if (fd < 0)
		return fd;
	err = ovl_rmtree_contents(fd);
	close(fd);
	return err ? err : remove_one(dirfd, name);
}
