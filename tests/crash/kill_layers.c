#include "config.h"

#include "tests/crash/kill_layers.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/crash/model.h"
#include "tests/unit/seed.h"

#define PATH 64
/* Above what clients count to. */
#define LOWER_NUMBERS 0x80000000u

static uint32_t next_number(void)
{
	static uint32_t numbers = LOWER_NUMBERS;

	return numbers += MODEL_CELL / 4;
}

/* "DIR/xNAME", with the client's letter. */
static const char *path_of(char letter, const char *dir, const char *name,
                           char path[PATH])
{
	int n = snprintf(path, PATH, "%s/%c%s", dir, letter, name);

	ck_assert_int_lt(n, PATH);
	return path;
}

static void make_file(int layer, const char *path, unsigned cells)
{
	uint32_t cell[MODEL_CELL / 4];
	int fd = openat(layer, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	                0644);

	ck_assert_int_ge(fd, 0);
	/* Every fifth is a hole. */
	for (unsigned i = 0; i < cells; i++) {
		model_fill(next_number(), cell);
		if (i % 5 != 4)
			ck_assert_int_eq(pwrite(fd, cell, MODEL_CELL,
			                        (off_t)i * MODEL_CELL),
			                 MODEL_CELL);
	}
	ck_assert_int_eq(ftruncate(fd, (off_t)cells * MODEL_CELL), 0);
	close(fd);
}

static void make_dir(int layer, const char *path)
{
	ck_assert_int_eq(mkdirat(layer, path, 0755), 0);
}

/* What a client has in each of several directories. */
static void fill(int layer, char letter, const char *dir)
{
	char path[PATH], other[PATH];

	make_file(layer, path_of(letter, dir, "0", path), 3);
	make_file(layer, path_of(letter, dir, "1", path), MODEL_CELLS);
	ck_assert_int_eq(linkat(layer, path, layer,
	                        path_of(letter, dir, "2", other), 0),
	                 0);
	ck_assert_int_eq(
		symlinkat("to/0", layer, path_of(letter, dir, "3", path)), 0);
	ck_assert_int_eq(mknodat(layer, path_of(letter, dir, "4", path),
	                         S_IFIFO | 0644, 0),
	                 0);
	if (geteuid() == 0)
		ck_assert_int_eq(mknodat(layer, path_of(letter, dir, "5", path),
		                         S_IFCHR | 0644, makedev(1, 5)),
		                 0);
}

static void make_own(int top, int bottom, char letter)
{
	char own[8], sub[PATH], deep[PATH], path[PATH], other[PATH];

	snprintf(own, sizeof(own), "own%c", letter);
	path_of(letter, own, "6", sub);
	path_of(letter, sub, "6", deep);
	make_dir(bottom, own);
	fill(bottom, letter, own);
	make_dir(bottom, sub);
	fill(bottom, letter, sub);
	make_dir(bottom, deep);
	make_file(bottom, path_of(letter, deep, "0", path), 1);
	ck_assert_int_eq(linkat(bottom, path_of(letter, own, "1", path), bottom,
	                        path_of(letter, deep, "1", other), 0),
	                 0);
	/* Merged, with a file over a file and one beside. */
	make_dir(top, own);
	make_dir(top, sub);
	make_file(top, path_of(letter, sub, "0", path), 2);
	make_file(top, path_of(letter, sub, "7", path), 5);
	make_dir(top, path_of(letter, own, "7", path));
}

void kill_layers_make(int top, int bottom, unsigned clients)
{
	char name[PATH];

	make_dir(top, "shared");
	make_dir(bottom, "shared");
	for (unsigned i = 0; i < clients; i++) {
		make_own(top, bottom, (char)('a' + i));
		fill(bottom, (char)('a' + i), "shared");
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "shared/s%u", i);
		make_file(i % 2 ? top : bottom, name, 2);
	}
}

/* ---- whether they were changed ---------------------------------------------- */

static uint64_t sum; /* of the walk at hand: nftw(3) hands nothing on */

static int add(const char *path, const struct stat *st, int type,
               struct FTW *ftw)
{
	const uint64_t parts[] = {
		st->st_ino,
		st->st_mode,
		st->st_nlink,
		(uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec,
	};
	uint64_t state = 0;

	(void)type;
	(void)ftw;
	for (; *path; path++)
		state = state * 31 + (unsigned char)*path;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		state ^= parts[i];
		state = test_random(&state);
	}
	sum += state;
	return 0;
}

uint64_t kill_layers_sum(const char *path)
{
	sum = 0;
	ck_assert_int_eq(nftw(path, add, 16, FTW_PHYS), 0);
	return sum;
}
