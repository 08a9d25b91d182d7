/*
 * Layers that are changed behind the server's back, as a client sees them.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

/* A change is to show within a second; a busy machine may take longer. */
#define PATIENCE 10

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root, dir, upper, lower, replaced;

static void setup(void)
{
	fixture = fixture_new(2);
	fixture_mkdir(fixture, "upper/dir", 0755);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_mkdir(fixture, "lower1/dir", 0755);
	fixture_write(fixture, "upper/dir/upper", "old", 0644);
	fixture_write(fixture, "lower0/dir/gone", "old", 0644);
	fixture_write(fixture, "lower1/dir/lower", "old", 0644);
	fixture_write(fixture, "lower1/dir/replaced", "old", 0644);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static nfs_fh3 copy(nfs_fh3 fh)
{
	char *data = malloc(fh.data.data_len);

	ck_assert_ptr_nonnull(data);
	memcpy(data, fh.data.data_val, fh.data.data_len);
	fh.data.data_val = data;
	return fh;
}

/* Start, and look at all there is, so that the server knows it. */
static void start(const char *options)
{
	char all[128];

	snprintf(all, sizeof(all), "%s,%s", FIXTURE_OPTIONS, options);
	fixture_start(fixture, all, false);
	client = fixture->client;
	root = copy(nfs_root(client));
	dir = copy(nfs_find(client, root, "dir"));
	upper = copy(nfs_find(client, dir, "upper"));
	lower = copy(nfs_find(client, dir, "lower"));
	replaced = copy(nfs_find(client, dir, "replaced"));
	nfs_assert_text(client, upper, "old");
	nfs_assert_text(client, lower, "old");
	nfs_assert_text(client, replaced, "old");
	ck_assert_int_eq(nfs_readdir(client, dir, 0, 4096)->status, NFS3_OK);
}

static void end(void)
{
	free(root.data.data_val);
	free(dir.data.data_val);
	free(upper.data.data_val);
	free(lower.data.data_val);
	free(replaced.data.data_val);
}

static void overwrite(const char *path, const char *text)
{
	int fd = openat(fixture->topfd, path, O_WRONLY | O_TRUNC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, 0600), 0);
	close(fd);
}

static void change(void)
{
	overwrite("upper/dir/upper", "newer");
	overwrite("lower1/dir/lower", "newer");
	fixture_write(fixture, "other", "newer", 0644);
	ck_assert_int_eq(renameat(fixture->topfd, "other", fixture->topfd,
	                          "lower1/dir/replaced"),
	                 0);
	ck_assert_int_eq(unlinkat(fixture->topfd, "lower0/dir/gone", 0), 0);
	fixture_write(fixture, "lower1/dir/added", "", 0644);
}

/* Its attributes and data. */
static bool is_newer(nfs_fh3 fh)
{
	GETATTR3res *attr = nfs_getattr(client, fh);
	READ3res *read;

	if (attr->status != NFS3_OK ||
	    attr->GETATTR3res_u.resok.obj_attributes.size != 5 ||
	    (attr->GETATTR3res_u.resok.obj_attributes.mode & 07777) != 0600)
		return false;
	read = nfs_read(client, fh, 0, 100);
	return read->status == NFS3_OK &&
	       read->READ3res_u.resok.data.data_len == 5 &&
	       !memcmp(read->READ3res_u.resok.data.data_val, "newer", 5);
}

static bool is_stale(nfs_fh3 fh)
{
	nfsstat3 read = nfs_read(client, fh, 0, 100)->status;

	return read == NFS3ERR_STALE &&
	       nfs_getattr(client, fh)->status == NFS3ERR_STALE;
}

static bool lists(const char *name)
{
	READDIR3res *res = nfs_readdir(client, dir, 0, 4096);
	bool found = false;

	ck_assert_int_eq(res->status, NFS3_OK);
	for (entry3 *entry = res->READDIR3res_u.resok.reply.entries; entry;
	     entry = entry->nextentry)
		found = found || !strcmp(entry->name, name);
	ck_assert_int_eq(nfs_lookup(client, dir, name)->status,
	                 found ? NFS3_OK : NFS3ERR_NOENT);
	return found;
}

static bool has_changed(void)
{
	return is_newer(upper) && is_newer(lower) && is_stale(replaced) &&
	       lists("added") && !lists("gone") && lists("replaced");
}

/* A handle that is looked for all over may have to be asked for once more. */
START_TEST(with_never_it_shows_at_once)
{
	start("cache=never");
	change();
	ck_assert(is_newer(upper) && is_newer(lower));
	ck_assert(lists("added") && !lists("gone"));
	nfs_assert_text(client, nfs_find(client, dir, "replaced"), "newer");
	for (unsigned i = 0; i < 100 && !is_stale(replaced); i++)
		usleep(100000);
	ck_assert(is_stale(replaced));
	end();
}
END_TEST

START_TEST(with_auto_it_shows_within_a_second)
{
	time_t begin;

	start("cache=auto");
	change();
	begin = time(NULL);
	while (!has_changed() && time(NULL) - begin < PATIENCE)
		usleep(100000);
	ck_assert(has_changed());
	nfs_assert_text(client, nfs_find(client, dir, "replaced"), "newer");
	end();
}
END_TEST

START_TEST(with_always_it_does_not_show)
{
	start("cache=always");
	change();
	sleep(1);
	usleep(100000);
	ck_assert_uint_eq(nfs_attributes(client, lower).size, 3);
	ck_assert(!lists("added"));
	ck_assert_int_eq(nfs_getattr(client, replaced)->status, NFS3_OK);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cache over NFS");
	TCase *tcase = tcase_create("cache over NFS");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, with_never_it_shows_at_once);
	tcase_add_test(tcase, with_auto_it_shows_within_a_second);
	tcase_add_test(tcase, with_always_it_does_not_show);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
