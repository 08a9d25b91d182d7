#include "config.h"

#include "overlay/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- overlap ------------------------------------------------------------------ */

static bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Open the directory above in place of `*fd`. 1: there is none. */
static int step_up(int *fd, const struct stat *here, struct stat *above)
{
	int up = openat(*fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (up < 0)
		return -errno;
	close(*fd);
	*fd = up;
	if (fstat(up, above))
		return -errno;
	return same_inode(here, above);
}

static bool may_contain(const struct ovl_place *outer,
                        const struct ovl_place *inner)
{
	if (outer->to_be_made)
		return true; /* `outer->fd` is only above it */
	return !strcmp(inner->what, "statedir") &&
	       !strcmp(outer->what, "workdir");
}

static int say_overlap(const struct ovl_place *inner,
                       const struct ovl_place *outer, bool same, char *why,
                       size_t size)
{
	snprintf(why, size,
	         same ? "%s '%s' and %s '%s' are the same directory"
	              : "%s '%s' lies in %s '%s'",
	         inner->what, inner->path, outer->what, outer->path);
	return -EINVAL;
}

/* Whether place `i`, or a directory above it, is another of them. */
static int check_one(const struct ovl_place *places, const struct stat *stats,
                     size_t n, size_t i, char *why, size_t size)
{
	struct stat here = stats[i], above;
	bool same = !places[i].to_be_made;
	int fd, err = 0;

	fd = openat(places[i].fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (!err) {
		for (size_t j = 0; j < n && !err; j++)
			if (j != i && same_inode(&here, &stats[j]) &&
			    !(may_contain(&places[j], &places[i])))
				err = say_overlap(&places[i], &places[j], same,
				                  why, size);
		if (!err)
			err = step_up(&fd, &here, &above);
		here = above;
		same = false;
	}
	close(fd);
	/* What lies above and may not be looked at cannot be a layer of ours. */
	return err == 1 || err == -EACCES ? 0 : err;
}

int ovl_check_overlap(const struct ovl_place *places, size_t n, char *why,
                      size_t size)
{
	struct stat *stats = calloc(n, sizeof(*stats));
	int err = stats ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++)
		if (fstat(places[i].fd, &stats[i]))
			err = -errno;
	for (size_t i = 0; i < n && !err; i++)
		err = check_one(places, stats, n, i, why, size);
	free(stats);
	return err;
}

/* ---- in use ------------------------------------------------------------------------ */

/* mountinfo writes blanks and backslashes as \ooo. */
static void unescape(char *text)
{
	char *to = text;
	unsigned c;

	while (*text) {
		if (text[0] == '\\' && sscanf(text + 1, "%3o", &c) == 1) {
			*to++ = c;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* The value of upperdir= or workdir= is one of our two. */
static bool is_used(char *option, const struct ovl_place *place)
{
	struct stat theirs, ours;
	char *path = strchr(option, '=');

	if (!path ||
	    (strncmp(option, "upperdir=", 9) && strncmp(option, "workdir=", 8)))
		return false;
	path++;
	unescape(path);
	return !stat(path, &theirs) && !fstat(place->fd, &ours) &&
	       same_inode(&theirs, &ours);
}

/* "... - overlay SOURCE OPTION,OPTION..." */
static bool line_uses(char *line, const struct ovl_place *place)
{
	char *type = strstr(line, " - "), *options, *option, *rest;

	if (!type || strncmp(type, " - overlay ", 11))
		return false;
	options = strchr(type + 11, ' ');
	if (!options)
		return false;
	options[strcspn(options, "\n")] = '\0';
	for (option = strtok_r(options + 1, ",", &rest); option;
	     option = strtok_r(NULL, ",", &rest))
		if (is_used(option, place))
			return true;
	return false;
}

static int check_line(const char *line, const struct ovl_place *place,
                      char *why, size_t size)
{
	char *copy = strdup(line);
	bool used = copy && line_uses(copy, place);

	free(copy);
	if (!used)
		return 0;
	snprintf(why, size,
	         "%s '%s' is in use: the kernel has an overlay "
	         "mounted on it",
	         place->what, place->path);
	return -EBUSY;
}

int ovl_check_unused(const struct ovl_place *upper,
                     const struct ovl_place *work, char *why, size_t size)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	if (!mounts)
		return 0; /* no /proc, no news */
	while (!err && getline(&line, &room, mounts) > 0) {
		err = check_line(line, upper, why, size);
		if (!err)
			err = check_line(line, work, why, size);
	}
	free(line);
	fclose(mounts);
	return err;
}
