/* What an application of libnfs does, against veneerd as a user starts it. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/lib/daemon.h"
#include "tests/lib/suite.h"
#include "tests/libnfs/mount.h"

#define OPTIONS "insecure,no_root_squash,async"
#define MANY_NAMES 20000
#define BIG_WRITE (1u << 20)
#define BIG_WRITES 64
#define FILES_A_CLIENT 200

static struct daemon *veneerd;
static struct nfs_context *nfs;

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower\n");
	daemon_mkdir(veneerd, "lower/dir");
	daemon_write(veneerd, "lower/dir/below", "below\n");
	daemon_write(veneerd, "upper/above", "upper\n");
	daemon_start(veneerd, OPTIONS);
	nfs = mount_export(veneerd, "");
}

static void teardown(void)
{
	unmount_export(nfs);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	daemon_free(veneerd);
}

static struct nfs_stat_64 stat_of(const char *path)
{
	struct nfs_stat_64 st;

	ck_nfs(nfs, nfs_lstat64(nfs, path, &st));
	return st;
}

/* ---- looking ------------------------------------------------------------- */

START_TEST(both_layers_show)
{
	check_file(nfs, "/file", "lower\n", 6);
	check_file(nfs, "/above", "upper\n", 6);
	check_file(nfs, "/dir/below", "below\n", 6);
	ck_assert_uint_eq(count_names(nfs, "/"), 3);
}
END_TEST

START_TEST(what_is_not_there_is_not_found)
{
	struct nfs_stat_64 st;

	ck_assert_int_eq(nfs_stat64(nfs, "/nothing", &st), -ENOENT);
	ck_assert_int_eq(nfs_stat64(nfs, "/file/below", &st), -ENOTDIR);
}
END_TEST

START_TEST(attributes_are_those_of_the_layer)
{
	struct nfs_stat_64 st = stat_of("/file");
	char path[PATH_MAX];
	struct stat real;

	ck_assert_int_eq(stat(daemon_path(veneerd, "lower/file", path), &real),
	                 0);
	ck_assert_uint_eq(st.nfs_mode, real.st_mode);
	ck_assert_uint_eq(st.nfs_uid, real.st_uid);
	ck_assert_uint_eq(st.nfs_gid, real.st_gid);
	ck_assert_uint_eq(st.nfs_size, 6);
	ck_assert_uint_eq(st.nfs_nlink, 1);
	ck_assert_uint_eq(st.nfs_mtime, (uint64_t)real.st_mtim.tv_sec);
	ck_assert_uint_eq(st.nfs_mtime_nsec, (uint64_t)real.st_mtim.tv_nsec);
	ck_assert_uint_ge(stat_of("/dir").nfs_nlink, 2);
}
END_TEST

START_TEST(a_directory_below_the_export_is_mounted)
{
	struct nfs_context *below = mount_export(veneerd, "/dir");

	check_file(below, "/below", "below\n", 6);
	unmount_export(below);
}
END_TEST

START_TEST(size_of_the_filesystem_is_that_of_the_upper)
{
	struct statvfs seen, real;
	char path[PATH_MAX];

	ck_nfs(nfs, nfs_statvfs(nfs, "/", &seen));
	ck_assert_int_eq(statvfs(daemon_path(veneerd, "upper", path), &real),
	                 0);
	ck_assert_uint_eq(seen.f_blocks * seen.f_frsize,
	                  real.f_blocks * real.f_frsize);
}
END_TEST

/* Each of n0, n1, ... once, with the attributes that stat shows. */
static void check_listing(size_t count)
{
	unsigned char *seen = calloc(count, 1);
	struct nfsdirent *entry;
	struct nfsdir *dir;
	char path[64];

	ck_assert_ptr_nonnull(seen);
	ck_nfs(nfs, nfs_opendir(nfs, "/many", &dir));
	while ((entry = nfs_readdir(nfs, dir)) != NULL) {
		unsigned long n = strtoul(entry->name + 1, NULL, 10);

		if (entry->name[0] == '.')
			continue;
		ck_assert_uint_lt(n, count);
		seen[n]++;
		if (n % 100 != 0)
			continue;
		snprintf(path, sizeof(path), "/many/%s", entry->name);
		ck_assert_uint_eq(entry->inode, stat_of(path).nfs_ino);
		ck_assert_uint_eq(entry->size, n);
	}
	nfs_closedir(nfs, dir);
	for (size_t n = 0; n < count; n++)
		ck_assert_msg(seen[n] == 1, "n%zu: %d times", n, seen[n]);
	free(seen);
}

START_TEST(directory_of_20000_names_lists_each_once)
{
	char name[PATH_MAX];

	daemon_mkdir(veneerd, "lower/many");
	for (int n = 0; n < MANY_NAMES; n++) {
		snprintf(name, sizeof(name), "%s/lower/many/n%d", veneerd->top,
		         n);
		ck_assert_int_eq(mknod(name, S_IFREG | 0644, 0), 0);
		ck_assert_int_eq(truncate(name, n), 0);
	}
	/* The layer has changed behind its back. */
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	daemon_start(veneerd, OPTIONS);
	check_listing(MANY_NAMES);
}
END_TEST

/* ---- changing ------------------------------------------------------------ */

START_TEST(created_file_reads_back)
{
	put_file(nfs, "/new", "new\n", 4);
	check_file(nfs, "/new", "new\n", 4);
	ck_assert_uint_eq(stat_of("/new").nfs_mode, S_IFREG | 0644);
	ck_assert_uint_eq(stat_of("/new").nfs_uid, geteuid());
}
END_TEST

START_TEST(exclusive_create_fails_on_what_exists)
{
	struct nfsfh *file;

	ck_assert_int_eq(nfs_create(nfs, "/file", O_RDWR | O_CREAT | O_EXCL,
	                            0644, &file),
	                 -EEXIST);
	ck_nfs(nfs,
	       nfs_create(nfs, "/new", O_RDWR | O_CREAT | O_EXCL, 0600, &file));
	ck_nfs(nfs, nfs_close(nfs, file));
	ck_assert_uint_eq(stat_of("/new").nfs_mode, S_IFREG | 0600);
}
END_TEST

START_TEST(lower_file_is_written_in_the_upper_alone)
{
	struct nfs_stat_64 before = stat_of("/file");
	char path[PATH_MAX], text[16] = "";
	struct nfsfh *file;
	FILE *lower;

	ck_nfs(nfs, nfs_open(nfs, "/file", O_RDWR, &file));
	ck_nfs(nfs, nfs_pwrite(nfs, file, 1, 2, "OW"));
	ck_nfs(nfs, nfs_fsync(nfs, file));
	ck_nfs(nfs, nfs_close(nfs, file));
	check_file(nfs, "/file", "lOWer\n", 6);
	ck_assert_uint_eq(stat_of("/file").nfs_ino, before.nfs_ino);

	lower = fopen(daemon_path(veneerd, "lower/file", path), "re");
	ck_assert_ptr_nonnull(lower);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), lower));
	fclose(lower);
	ck_assert_str_eq(text, "lower\n");
}
END_TEST

START_TEST(big_file_by_large_writes_reads_back)
{
	unsigned char *data = malloc(BIG_WRITE), *found = malloc(BIG_WRITE);
	struct nfsfh *file;
	int n;

	ck_assert(data != NULL && found != NULL);
	ck_assert_uint_ge(nfs_get_writemax(nfs), BIG_WRITE);
	ck_nfs(nfs, nfs_creat(nfs, "/big", 0644, &file));
	for (unsigned i = 0; i < BIG_WRITES; i++) {
		memset(data, (int)i + 1, BIG_WRITE);
		n = nfs_pwrite(nfs, file, (uint64_t)i * BIG_WRITE, BIG_WRITE,
		               data);
		ck_assert_int_eq(n, BIG_WRITE);
	}
	ck_nfs(nfs, nfs_fsync(nfs, file));
	for (unsigned i = 0; i < BIG_WRITES; i++) {
		memset(data, (int)i + 1, BIG_WRITE);
		n = nfs_pread(nfs, file, (uint64_t)i * BIG_WRITE, BIG_WRITE,
		              found);
		ck_assert_int_eq(n, BIG_WRITE);
		ck_assert(memcmp(data, found, BIG_WRITE) == 0);
	}
	ck_nfs(nfs, nfs_close(nfs, file));
	ck_assert_uint_eq(stat_of("/big").nfs_size,
	                  (uint64_t)BIG_WRITES * BIG_WRITE);
	free(data);
	free(found);
}
END_TEST

START_TEST(offsets_beyond_4_gib_work)
{
	const uint64_t offset = UINT64_C(5) << 30;
	struct nfsfh *file;
	char text[4];

	ck_nfs(nfs, nfs_creat(nfs, "/sparse", 0644, &file));
	ck_nfs(nfs, nfs_pwrite(nfs, file, offset, 3, "far"));
	ck_assert_int_eq(nfs_pread(nfs, file, offset, 4, text), 3);
	ck_assert(memcmp(text, "far", 3) == 0);
	ck_assert_int_eq(nfs_pread(nfs, file, offset - 4, 4, text), 4);
	ck_assert(memcmp(text, "\0\0\0", 4) == 0);
	ck_nfs(nfs, nfs_close(nfs, file));
	ck_assert_uint_eq(stat_of("/sparse").nfs_size, offset + 3);
}
END_TEST

START_TEST(renamed_lower_file_has_one_name)
{
	struct nfs_stat_64 st;

	ck_nfs(nfs, nfs_rename(nfs, "/file", "/dir/moved"));
	ck_assert_int_eq(nfs_stat64(nfs, "/file", &st), -ENOENT);
	check_file(nfs, "/dir/moved", "lower\n", 6);
	ck_nfs(nfs, nfs_rename(nfs, "/dir/moved", "/above"));
	check_file(nfs, "/above", "lower\n", 6);
	ck_assert_uint_eq(count_names(nfs, "/"), 2);
}
END_TEST

START_TEST(hard_link_shares_the_file)
{
	put_file(nfs, "/a", "one", 3);
	ck_nfs(nfs, nfs_link(nfs, "/a", "/dir/b"));
	ck_assert_uint_eq(stat_of("/a").nfs_nlink, 2);
	ck_assert_uint_eq(stat_of("/a").nfs_ino, stat_of("/dir/b").nfs_ino);
	ck_nfs(nfs, nfs_truncate(nfs, "/dir/b", 2));
	check_file(nfs, "/a", "on", 2);
	ck_nfs(nfs, nfs_unlink(nfs, "/a"));
	ck_assert_uint_eq(stat_of("/dir/b").nfs_nlink, 1);
}
END_TEST

START_TEST(symlink_keeps_its_target)
{
	char target[64];

	ck_nfs(nfs, nfs_symlink(nfs, "../no/where", "/link"));
	ck_nfs(nfs, nfs_readlink(nfs, "/link", target, sizeof(target)));
	ck_assert_str_eq(target, "../no/where");
	ck_assert_uint_eq(stat_of("/link").nfs_mode & S_IFMT, S_IFLNK);
}
END_TEST

START_TEST(removed_lower_names_stay_away)
{
	struct nfs_stat_64 st;

	ck_assert_int_eq(nfs_rmdir(nfs, "/dir"), -ENOTEMPTY);
	ck_nfs(nfs, nfs_unlink(nfs, "/dir/below"));
	ck_nfs(nfs, nfs_rmdir(nfs, "/dir"));
	ck_assert_int_eq(nfs_stat64(nfs, "/dir", &st), -ENOENT);
	ck_nfs(nfs, nfs_mkdir(nfs, "/dir"));
	ck_assert_uint_eq(count_names(nfs, "/dir"), 0);
}
END_TEST

START_TEST(truncate_cuts_and_grows)
{
	ck_nfs(nfs, nfs_truncate(nfs, "/file", 2));
	check_file(nfs, "/file", "lo", 2);
	ck_nfs(nfs, nfs_truncate(nfs, "/file", 4));
	check_file(nfs, "/file", "lo\0", 4);
}
END_TEST

START_TEST(mode_and_times_are_set)
{
	struct timeval times[2] = { { 1000000000, 1 }, { 1100000000, 2 } };
	struct nfs_stat_64 st;

	ck_nfs(nfs, nfs_chmod(nfs, "/file", 0741));
	ck_nfs(nfs, nfs_utimes(nfs, "/file", times));
	st = stat_of("/file");
	ck_assert_uint_eq(st.nfs_mode, S_IFREG | 0741);
	ck_assert_uint_eq(st.nfs_atime, 1000000000);
	ck_assert_uint_eq(st.nfs_mtime, 1100000000);
	ck_assert_uint_eq(st.nfs_mtime_nsec, 2000);
}
END_TEST

/* Only root gives files away. */
START_TEST(owner_is_set_by_root_alone)
{
	int result = nfs_chown(nfs, "/file", 1234, 4321);

	if (geteuid() != 0) {
		ck_assert_int_eq(result, -EPERM);
		return;
	}
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(stat_of("/file").nfs_uid, 1234);
	ck_assert_uint_eq(stat_of("/file").nfs_gid, 4321);
}
END_TEST

/* ---- two clients --------------------------------------------------------- */

START_TEST(one_client_sees_what_another_does)
{
	struct nfs_context *other = mount_export(veneerd, "");

	put_file(other, "/shared", "first", 5);
	check_file(nfs, "/shared", "first", 5);
	put_file(nfs, "/shared", "second", 6);
	check_file(other, "/shared", "second", 6);
	ck_nfs(other, nfs_unlink(other, "/shared"));
	ck_assert_uint_eq(count_names(nfs, "/"), 3);
	unmount_export(other);
}
END_TEST

struct worker {
	pthread_t thread;
	struct nfs_context *nfs;
	char letter;
};

/* Fails by what it leaves undone: check's assertions are not for threads. */
static void *make_files(void *arg)
{
	struct worker *worker = arg;
	struct nfsfh *file;
	char path[32];

	for (int n = 0; n < FILES_A_CLIENT; n++) {
		snprintf(path, sizeof(path), "/dir/%c%d", worker->letter, n);
		if (nfs_creat(worker->nfs, path, 0644, &file) != 0)
			return NULL;
		if (nfs_pwrite(worker->nfs, file, 0, strlen(path), path) < 0)
			return NULL;
		nfs_close(worker->nfs, file);
	}
	return NULL;
}

START_TEST(two_clients_at_once_lose_nothing)
{
	struct worker workers[2] = { { .letter = 'a' }, { .letter = 'b' } };
	char path[32];

	for (int i = 0; i < 2; i++) {
		workers[i].nfs = mount_export(veneerd, "");
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL,
		                                make_files, &workers[i]),
		                 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(workers[i].thread, NULL);
		unmount_export(workers[i].nfs);
	}
	ck_assert_uint_eq(count_names(nfs, "/dir"), 2 * FILES_A_CLIENT + 1);
	for (int n = 0; n < FILES_A_CLIENT; n++)
		for (int i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "/dir/%c%d",
			         workers[i].letter, n);
			check_file(nfs, path, path, strlen(path));
		}
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("libnfs");
	TCase *looking = tcase_create("looking");
	TCase *changing = tcase_create("changing");

	tcase_set_timeout(looking, 120);
	tcase_add_checked_fixture(looking, setup, teardown);
	tcase_add_test(looking, both_layers_show);
	tcase_add_test(looking, what_is_not_there_is_not_found);
	tcase_add_test(looking, attributes_are_those_of_the_layer);
	tcase_add_test(looking, a_directory_below_the_export_is_mounted);
	tcase_add_test(looking, size_of_the_filesystem_is_that_of_the_upper);
	tcase_add_test(looking, directory_of_20000_names_lists_each_once);
	suite_add_tcase(suite, looking);

	tcase_set_timeout(changing, 60);
	tcase_add_checked_fixture(changing, setup, teardown);
	tcase_add_test(changing, created_file_reads_back);
	tcase_add_test(changing, exclusive_create_fails_on_what_exists);
	tcase_add_test(changing, lower_file_is_written_in_the_upper_alone);
	tcase_add_test(changing, big_file_by_large_writes_reads_back);
	tcase_add_test(changing, offsets_beyond_4_gib_work);
	tcase_add_test(changing, renamed_lower_file_has_one_name);
	tcase_add_test(changing, hard_link_shares_the_file);
	tcase_add_test(changing, symlink_keeps_its_target);
	tcase_add_test(changing, removed_lower_names_stay_away);
	tcase_add_test(changing, truncate_cuts_and_grows);
	tcase_add_test(changing, mode_and_times_are_set);
	tcase_add_test(changing, owner_is_set_by_root_alone);
	tcase_add_test(changing, one_client_sees_what_another_does);
	tcase_add_test(changing, two_clients_at_once_lose_nothing);
	suite_add_tcase(suite, changing);
	return suite;
}

int main(void)
{
	return suite_run(suite());
}
