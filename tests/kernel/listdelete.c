/*
 * Make `COUNT` files n0, n1, ... in a directory, list it, and delete each odd
 * one as it is seen, as rm -r does. Each name must be seen exactly once, and
 * afterwards the even ones must be there and no other.
 */
#include "config.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* mknod(2) costs a client fewer calls than open(2) and close(2). */
static void make(const char *path, long count)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	char name[32];

	if (dir == -1)
		err(EXIT_FAILURE, "%s", path);
	for (long n = 0; n < count; n++) {
		snprintf(name, sizeof(name), "n%ld", n);
		if (mknodat(dir, name, S_IFREG | 0644, 0) == -1)
			err(EXIT_FAILURE, "%s/%s", path, name);
	}
	close(dir);
}

/* The number of a name, or -1 for `.` and `..`. */
static long number_of(const char *name, long count)
{
	char *end;
	long n;

	if (name[0] == '.')
		return -1;
	n = strtol(name + 1, &end, 10);
	if (name[0] != 'n' || *end != 0 || n < 0 || n >= count)
		errx(EXIT_FAILURE, "%s: a name that nobody made", name);
	return n;
}

/* How often each name is seen in one go through the directory. */
static unsigned char *list(const char *path, long count, bool delete_odd)
{
	unsigned char *seen = calloc((size_t)count, 1);
	DIR *dir = opendir(path);
	struct dirent *entry;
	long n;

	if (seen == NULL || dir == NULL)
		err(EXIT_FAILURE, "%s", path);
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
		n = number_of(entry->d_name, count);
		if (n < 0)
			continue;
		seen[n]++;
		if (delete_odd && n % 2 == 1 &&
		    unlinkat(dirfd(dir), entry->d_name, 0) == -1)
			err(EXIT_FAILURE, "%s/%s", path, entry->d_name);
	}
	if (errno != 0)
		err(EXIT_FAILURE, "%s", path);
	closedir(dir);
	return seen;
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[2]) : 0;
	unsigned char *before, *after;

	if (count <= 0)
		errx(EXIT_FAILURE, "usage: listdelete DIR COUNT");
	make(argv[1], count);
	before = list(argv[1], count, true);
	after = list(argv[1], count, false);
	for (long n = 0; n < count; n++) {
		if (before[n] != 1)
			errx(EXIT_FAILURE, "n%ld was listed %d times", n,
			     before[n]);
		if (after[n] != (n % 2 == 0))
			errx(EXIT_FAILURE, "n%ld is listed %d times at the end",
			     n, after[n]);
	}
	free(before);
	free(after);
	return EXIT_SUCCESS;
}
