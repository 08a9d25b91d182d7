/*
 * Print a manifest of a directory tree: a line an object, sorted by path.
 *
 *   TYPE MODE OWNER GROUP LINKS SIZE MTIME CONTENT XATTRS PATH
 *
 * Two trees are the same where their manifests are. It runs on both sides: on
 * the server's machine over the layers, in the client over the mount.
 */
#include "config.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SUM_BYTES 16
#define SUM_TEXT (2 * SUM_BYTES + 1)
#define BUFFER_SIZE (1 << 20)
#define XATTR_LIST_SIZE 65536

struct options {
	unsigned long one_in; /* checksums of one file in so many; 0: none */
	const char *seed;     /* which ones */
	bool xattrs;
};

static void print_sum(crypto_generichash_state *state)
{
	unsigned char sum[SUM_BYTES];
	char text[SUM_TEXT];

	crypto_generichash_final(state, sum, sizeof(sum));
	sodium_bin2hex(text, sizeof(text), sum, sizeof(sum));
	printf(" %s", text);
}

/* The same files are sampled wherever the same tree lies. */
static bool is_sampled(const struct options *options, const char *path)
{
	crypto_generichash_state state;
	uint64_t sum[2];

	if (options->one_in <= 1)
		return options->one_in == 1;
	crypto_generichash_init(&state, NULL, 0, sizeof(sum));
	crypto_generichash_update(&state, (const void *)options->seed,
	                          strlen(options->seed));
	crypto_generichash_update(&state, (const void *)path, strlen(path));
	crypto_generichash_final(&state, (void *)sum, sizeof(sum));
	return sum[0] % options->one_in == 0;
}

static void print_file_sum(const char *path)
{
	static unsigned char buffer[BUFFER_SIZE];
	crypto_generichash_state state;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);

	crypto_generichash_init(&state, NULL, 0, SUM_BYTES);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		crypto_generichash_update(&state, buffer, (size_t)n);
	if (n == 0)
		print_sum(&state);
	else
		printf(" unreadable");
	close(fd);
}

static void print_link_sum(const char *path)
{
	char target[PATH_MAX];
	crypto_generichash_state state;
	ssize_t n = readlink(path, target, sizeof(target));

	if (n == -1)
		err(EXIT_FAILURE, "%s", path);
	crypto_generichash_init(&state, NULL, 0, SUM_BYTES);
	crypto_generichash_update(&state, (const void *)target, (size_t)n);
	print_sum(&state);
}

static void print_content(const struct options *options, const FTSENT *entry,
                          const char *path)
{
	if (S_ISLNK(entry->fts_statp->st_mode))
		print_link_sum(entry->fts_path);
	else if (S_ISREG(entry->fts_statp->st_mode) &&
	         is_sampled(options, path))
		print_file_sum(entry->fts_path);
	else
		printf(" -");
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One sum of all names and values, in the order of the names. */
static void print_xattrs(const char *path)
{
	static char list[XATTR_LIST_SIZE];
	static const char *names[XATTR_LIST_SIZE];
	static unsigned char value[XATTR_LIST_SIZE];
	crypto_generichash_state state;
	size_t count = 0;
	ssize_t n = llistxattr(path, list, sizeof(list));

	if (n <= 0) {
		printf(" -");
		return;
	}
	for (const char *p = list; p < list + n; p += strlen(p) + 1)
		names[count++] = p;
	qsort(names, count, sizeof(names[0]), compare_names);
	crypto_generichash_init(&state, NULL, 0, SUM_BYTES);
	for (size_t i = 0; i < count; i++) {
		n = lgetxattr(path, names[i], value, sizeof(value));
		crypto_generichash_update(&state, (const void *)names[i],
		                          strlen(names[i]) + 1);
		if (n > 0)
			crypto_generichash_update(&state, value, (size_t)n);
	}
	print_sum(&state);
}

static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	default:
		return 's';
	}
}

/* No byte of a name may look like the end of a line. */
static void print_path(const char *path)
{
	putchar(' ');
	for (const unsigned char *p = (const void *)path; *p != 0; p++)
		if (*p < ' ' || *p == '\\')
			printf("\\%03o", *p);
		else
			putchar(*p);
	putchar('\n');
}

/* Size and links of a directory are its filesystem's own affair. */
static void print_entry(const struct options *options, const FTSENT *entry,
                        const char *path)
{
	const struct stat *st = entry->fts_statp;

	printf("%c %04o %ju %ju", type_letter(st->st_mode),
	       (unsigned)st->st_mode & 07777, (uintmax_t)st->st_uid,
	       (uintmax_t)st->st_gid);
	if (S_ISDIR(st->st_mode))
		printf(" - -");
	else
		printf(" %ju %jd", (uintmax_t)st->st_nlink,
		       (intmax_t)st->st_size);
	printf(" %jd.%09ld", (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	print_content(options, entry, path);
	if (options->xattrs)
		print_xattrs(entry->fts_path);
	else
		printf(" -");
	print_path(path);
}

static int compare_entries(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void print_tree(const struct options *options, char *top)
{
	char *paths[] = { top, NULL };
	size_t skip = strlen(top);
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV,
	                    compare_entries);
	FTSENT *entry;

	if (fts == NULL)
		err(EXIT_FAILURE, "%s", top);
	while ((entry = fts_read(fts)) != NULL) {
		const char *path = entry->fts_path + skip;

		if (entry->fts_info == FTS_DP)
			continue;
		if (entry->fts_info == FTS_DNR)
			warnx("%s: cannot be listed", entry->fts_path);
		else if (entry->fts_info == FTS_NS ||
		         entry->fts_info == FTS_ERR)
			errx(EXIT_FAILURE, "%s: %s", entry->fts_path,
			     strerror(entry->fts_errno));
		print_entry(options, entry, *path != 0 ? path : "/");
	}
	if (errno != 0)
		err(EXIT_FAILURE, "%s", top);
	fts_close(fts);
}

int main(int argc, char **argv)
{
	struct options options = { .seed = "" };
	int opt;

	while ((opt = getopt(argc, argv, "c:s:x")) != -1)
		if (opt == 'c')
			options.one_in = strtoul(optarg, NULL, 10);
		else if (opt == 's')
			options.seed = optarg;
		else if (opt == 'x')
			options.xattrs = true;
		else
			return EXIT_FAILURE;
	if (argc - optind != 1)
		errx(EXIT_FAILURE, "usage: manifest [-x] [-c N [-s SEED]] DIR");
	if (sodium_init() == -1)
		errx(EXIT_FAILURE, "libsodium does not start");
	print_tree(&options, argv[optind]);
	if (fflush(stdout) != 0 || ferror(stdout))
		err(EXIT_FAILURE, "standard output");
	return EXIT_SUCCESS;
}
