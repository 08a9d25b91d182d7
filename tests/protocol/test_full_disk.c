#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define MIB (1u << 20)
#define CHUNK 65536

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;
static char data[CHUNK];

static void make_file(const char *path, unsigned chunks)
{
	int fd;

	fixture_write(fixture, path, "", 0644);
	fd = openat(fixture->topfd, path, O_WRONLY | O_CLOEXEC);
	for (unsigned i = 0; i < chunks; i++)
		ck_assert_int_eq(write(fd, data, CHUNK), CHUNK);
	close(fd);
}

/*
 * Layers on a filesystem of two mebibytes, half of one being in the top lower;
 * and another lower, on a filesystem of its own, with a file of twice that size.
 */
static void setup(void)
{
	char bottom[512];

	fixture = fixture_new_in_memory(2, "size=2m,mode=755");
	fixture_write(fixture, "lower0/small", "text", 0644);
	memset(data, 'd', sizeof(data));
	make_file("lower0/large", MIB / 2 / CHUNK);
	snprintf(bottom, sizeof(bottom), "%s/lower1", fixture->top);
	ck_assert_int_eq(mount("tmpfs", bottom, "tmpfs", 0, "size=8m,mode=755"),
	                 0);
	make_file("lower1/larger", 4 * MIB / CHUNK);
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* Write to a new file until nothing fits any more: its size. */
static uint64_t fill(nfs_fh3 file)
{
	uint64_t offset = 0;
	WRITE3res *res;

	for (;;) {
		ck_assert_uint_le(offset, 2 * MIB);
		res = nfs_write(client, file, offset, data, CHUNK, FILE_SYNC);
		if (res->status != NFS3_OK)
			break;
		offset += res->WRITE3res_u.resok.count;
	}
	ck_assert_int_eq(res->status, NFS3ERR_NOSPC);
	nfs_assert_attr(&res->WRITE3res_u.resfail.file_wcc.after,
	                nfs_attributes(client, file).fileid);
	return offset;
}

START_TEST(a_write_that_finds_no_room_is_told_so)
{
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	uint64_t size = fill(file);

	ck_assert_uint_ge(size, MIB / 2);
	ck_assert_uint_eq(nfs_attributes(client, file).size, size);
}
END_TEST

START_TEST(a_copy_up_that_finds_no_room_leaves_the_file_as_it_was)
{
	nfs_fh3 large = nfs_find(client, root, "large");
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	READ3res *read;

	fill(file);
	ck_assert_int_eq(nfs_write(client, large, 0, "x", 1, FILE_SYNC)->status,
	                 NFS3ERR_NOSPC);
	ck_assert_uint_eq(nfs_attributes(client, large).size, MIB / 2);
	read = nfs_read(client, large, 0, CHUNK);
	ck_assert_int_eq(read->status, NFS3_OK);
	ck_assert_mem_eq(read->READ3res_u.resok.data.data_val, data, CHUNK);
	ck_assert(!fixture_exists(fixture, "upper/large"));
}
END_TEST

static uint64_t free_bytes(void)
{
	struct statvfs disk;

	ck_assert_int_eq(statvfs(fixture->top, &disk), 0);
	return disk.f_bfree * disk.f_frsize;
}

static uint64_t own_bytes(void)
{
	static const char *const own[] = { "handles.mdb", "handles.mdb-lock",
		                           "handles.seal" };
	uint64_t bytes = 0;
	char path[128];
	struct stat st;

	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		snprintf(path, sizeof(path), "work/veneer/%s", own[i]);
		if (!fstatat(fixture->topfd, path, &st, 0))
			bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes;
}

/*
 * Bytes that are free, or taken by what the server keeps for itself; which it may
 * write just while that is looked at: then what it took would count twice.
 */
static uint64_t room(void)
{
	uint64_t before = free_bytes(), bytes = own_bytes();

	while (free_bytes() != before) {
		before = free_bytes();
		bytes = own_bytes();
	}
	return before + bytes;
}

/* Whatever the upper's filesystem would have to be, it is smaller. */
START_TEST(what_is_larger_than_the_disk_leaves_nothing)
{
	nfs_fh3 larger = nfs_find(client, root, "larger"), file;
	uint64_t before = room();
	READ3res *read;

	ck_assert_int_eq(
		nfs_write(client, larger, 0, "x", 1, FILE_SYNC)->status,
		NFS3ERR_NOSPC);
	ck_assert_uint_eq(nfs_attributes(client, larger).size, 4 * MIB);
	read = nfs_read(client, larger, 4 * MIB - CHUNK, CHUNK);
	ck_assert_int_eq(read->status, NFS3_OK);
	ck_assert_mem_eq(read->READ3res_u.resok.data.data_val, data, CHUNK);
	ck_assert(!fixture_exists(fixture, "upper/larger"));
	ck_assert_uint_eq(fixture_count(fixture, "work/veneer/tmp"), 0);
	ck_assert_uint_eq(room(), before);

	file = nfs_new_file(client, root, "new", 0644);
	nfs_put_text(client, file, "text");
	/* What needs no data needs no room. */
	ck_assert_int_eq(nfs_setattr(client, larger, set_size(1))->status,
	                 NFS3_OK);
	nfs_assert_text(client, larger, "d");
}
END_TEST

START_TEST(with_room_again_all_goes_on)
{
	nfs_fh3 large = nfs_find(client, root, "large");
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	READ3res *read;

	fill(file);
	ck_assert_int_eq(nfs_write(client, large, 0, "x", 1, FILE_SYNC)->status,
	                 NFS3ERR_NOSPC);
	ck_assert_int_eq(nfs_remove(client, root, "new")->status, NFS3_OK);
	ck_assert_int_eq(nfs_write(client, large, 0, "x", 1, FILE_SYNC)->status,
	                 NFS3_OK);
	read = nfs_read(client, large, 0, 3);
	ck_assert_mem_eq(read->READ3res_u.resok.data.data_val, "xdd", 3);
	ck_assert_uint_eq(nfs_attributes(client, large).size, MIB / 2);
}
END_TEST

START_TEST(reading_and_listing_need_no_room)
{
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);

	fill(file);
	nfs_assert_text(client, nfs_find(client, root, "small"), "text");
	ck_assert_int_eq(nfs_readdirplus(client, root, 0, 8192, 8192)->status,
	                 NFS3_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("full_disk");
	TCase *tcase = tcase_create("full_disk");

	if (!fixture_can_mount())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_write_that_finds_no_room_is_told_so);
	tcase_add_test(tcase,
	               a_copy_up_that_finds_no_room_leaves_the_file_as_it_was);
	tcase_add_test(tcase, what_is_larger_than_the_disk_leaves_nothing);
	tcase_add_test(tcase, with_room_again_all_goes_on);
	tcase_add_test(tcase, reading_and_listing_need_no_room);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
