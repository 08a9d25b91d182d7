#include "config.h"

#include "tests/fuzz/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/rmtree.h"
#include "tests/fuzz/fuzz.h"

static char place[PATH_MAX / 2];
static int place_fd = -1;

static void remove_place(void)
{
	ovl_rmtree_contents(place_fd);
	close(place_fd);
	rmdir(place);
}

int fuzz_place_make(void)
{
	const char *tmp = getenv("TMPDIR");

	umask(0);
	snprintf(place, sizeof(place), "%s/veneer-fuzz.XXXXXX",
	         tmp != NULL ? tmp : "/tmp");
	FUZZ_MUST(mkdtemp(place) != NULL);
	place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_MUST(place_fd >= 0);
	FUZZ_MUST(atexit(remove_place) == 0);
	return place_fd;
}

char *fuzz_place_path(const char *name)
{
	char *path;

	FUZZ_MUST(asprintf(&path, "%s/%s", place, name) > 0);
	return path;
}

void fuzz_place_renew(const char *name)
{
	FUZZ_MUST(ovl_rmtree(place_fd, name) == 0);
	FUZZ_MUST(mkdirat(place_fd, name, 0755) == 0);
}

void fuzz_place_remove(const char *name)
{
	FUZZ_MUST(unlinkat(place_fd, name, 0) == 0 || errno == ENOENT);
}

/* FNV-1a. */
uint64_t fuzz_sum(uint64_t sum, const void *bytes, size_t n)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ byte[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static uint64_t sum_object(uint64_t sum, int dirfd, const char *name,
                           struct stat *st)
{
	FUZZ_MUST(fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0);
	sum = fuzz_sum(sum, name, strlen(name));
	sum = fuzz_sum(sum, &st->st_ino, sizeof(st->st_ino));
	sum = fuzz_sum(sum, &st->st_mode, sizeof(st->st_mode));
	sum = fuzz_sum(sum, &st->st_nlink, sizeof(st->st_nlink));
	sum = fuzz_sum(sum, &st->st_size, sizeof(st->st_size));
	sum = fuzz_sum(sum, &st->st_mtim, sizeof(st->st_mtim));
	return fuzz_sum(sum, &st->st_ctim, sizeof(st->st_ctim));
}

/* `fd` goes. */
static uint64_t sum_dir(int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	uint64_t sum = 0;

	FUZZ_MUST(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		/* Added, as they come in any order. */
		sum += sum_object(1, dirfd(dir), entry->d_name, &st);
		if (S_ISDIR(st.st_mode)) {
			fd = openat(dirfd(dir), entry->d_name,
			            O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
			                    O_CLOEXEC);
			/* By its mode, where this is not root. */
			FUZZ_MUST(fd >= 0 || errno == EACCES);
			if (fd >= 0)
				sum += 3 * sum_dir(fd);
		}
	}
	closedir(dir);
	return sum;
}

uint64_t fuzz_place_sum(const char *name)
{
	struct stat st;
	uint64_t sum = sum_object(1, place_fd, name, &st);
	int fd = openat(place_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	FUZZ_MUST(fd >= 0);
	return sum + sum_dir(fd);
}
