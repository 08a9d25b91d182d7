/*
 * Layers of OCI images: ".wh." names are marks, which no client sees or makes; in
 * a plain export they are names.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void start(void)
{
	fixture_start(fixture, FIXTURE_OPTIONS, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void setup(void)
{
	fixture = fixture_new(2);
	fixture_write(fixture, "lower1/gone", "", 0644);
	fixture_write(fixture, "lower1/file", "text", 0644);
	fixture_mkdir(fixture, "lower1/dir", 0755);
	fixture_write(fixture, "lower1/dir/old", "", 0644);
	fixture_write(fixture, "lower0/.wh.gone", "", 0644);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_write(fixture, "lower0/dir/.wh..wh..opq", "", 0644);
	fixture_write(fixture, "lower0/dir/new", "", 0644);
	start();
}

static void setup_plain(void)
{
	fixture = fixture_new(0);
	fixture_write(fixture, "upper/.wh.old", "", 0644);
	fixture_write(fixture, "upper/file", "text", 0644);
	start();
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* Whether READDIR shows the name; it must not show one that is a mark. */
static bool lists(nfs_fh3 dir, const char *name)
{
	READDIR3res *res = nfs_readdir(client, dir, 0, 4096);
	bool found = false;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(res->READDIR3res_u.resok.reply.eof);
	for (entry3 *entry = res->READDIR3res_u.resok.reply.entries; entry;
	     entry = entry->nextentry)
		found = found || !strcmp(entry->name, name);
	return found;
}

static nfsstat3 lookup(const char *name)
{
	return nfs_lookup(client, root, name)->status;
}

START_TEST(what_marks_hide_does_not_show_nor_do_they)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	ck_assert_int_eq(lookup("gone"), NFS3ERR_NOENT);
	ck_assert_int_eq(lookup(".wh.gone"), NFS3ERR_NOENT);
	ck_assert(lists(root, "file") && lists(dir, "new"));
	ck_assert(!lists(root, "gone") && !lists(root, ".wh.gone"));
	ck_assert(!lists(dir, "old") && !lists(dir, ".wh..wh..opq"));
}
END_TEST

START_TEST(no_client_makes_a_mark)
{
	static const char name[] = ".wh.file";
	nfs_fh3 file = nfs_find(client, root, "file");

	ck_assert_int_eq(nfs_create(client, root, name, UNCHECKED,
	                            set_nothing())
	                         ->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(
		nfs_create_exclusive(client, root, name, "12345678")->status,
		NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_mkdir(client, root, name, set_nothing())->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_symlink(client, root, name, "x")->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_mknod(client, root, name, NF3FIFO, 0, 0)->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_link(client, file, root, name)->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_rename(client, root, "file", root, name)->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_remove(client, root, ".wh.gone")->status,
	                 NFS3ERR_NOENT);
	ck_assert_int_eq(
		nfs_rename(client, root, ".wh.gone", root, "x")->status,
		NFS3ERR_NOENT);
	ck_assert_int_eq(lookup("file"), NFS3_OK);
	ck_assert(!fixture_exists(fixture, "upper/.wh.file"));
	ck_assert(!fixture_exists(fixture, "upper/file"));
}
END_TEST

START_TEST(what_a_mark_hides_is_made_anew_and_stays)
{
	nfs_put_text(client, nfs_new_file(client, root, "gone", 0644), "new");
	ck_assert_int_eq(
		nfs_rename(client, root, "gone", root, "moved")->status,
		NFS3_OK);
	fixture_stop(fixture);
	start();
	ck_assert_int_eq(lookup("gone"), NFS3ERR_NOENT);
	nfs_assert_text(client, nfs_find(client, root, "moved"), "new");
}
END_TEST

START_TEST(in_a_plain_export_they_are_names)
{
	ck_assert(lists(root, ".wh.old"));
	ck_assert_int_eq(lookup(".wh.old"), NFS3_OK);
	nfs_new_file(client, root, ".wh.file", 0644);
	ck_assert_int_eq(
		nfs_mkdir(client, root, ".wh.dir", set_nothing())->status,
		NFS3_OK);
	ck_assert_int_eq(nfs_rename(client, root, ".wh.old", root,
	                            ".wh..wh..opq")
	                         ->status,
	                 NFS3_OK);
	ck_assert_int_eq(lookup("file"), NFS3_OK);
	ck_assert_int_eq(nfs_remove(client, root, ".wh.file")->status, NFS3_OK);
	ck_assert(fixture_exists(fixture, "upper/.wh..wh..opq"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("marks over NFS");
	TCase *layered = tcase_create("layers");
	TCase *plain = tcase_create("plain");

	tcase_add_checked_fixture(layered, setup, teardown);
	tcase_add_test(layered, what_marks_hide_does_not_show_nor_do_they);
	tcase_add_test(layered, no_client_makes_a_mark);
	tcase_add_test(layered, what_a_mark_hides_is_made_anew_and_stays);
	suite_add_tcase(suite, layered);
	tcase_add_checked_fixture(plain, setup_plain, teardown);
	tcase_add_test(plain, in_a_plain_export_they_are_names);
	suite_add_tcase(suite, plain);
	return suite_run(suite);
}
