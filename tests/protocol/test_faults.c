/*
 * Every system call that a procedure makes fails in turn: the client is told
 * the status that belongs to the error, and all is as before. A call that the
 * server can do without may fail unseen.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fault.h"
#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/protocol/place.h"

/* What takes space, or changes a filesystem. */
#define CHANGES (FAULT_MAKE | FAULT_LINK | FAULT_MOVE | FAULT_FILL | FAULT_ATTR)
#define SPACE (FAULT_MAKE | FAULT_LINK | FAULT_MOVE | FAULT_FILL)
#define ALL_BUT_SYNC \
	(CHANGES | FAULT_LOOK | FAULT_OPEN | FAULT_READ | FAULT_GONE)

/* The client of the place at hand. */
static struct client *client;

static bool in_memory;

static void setup(void)
{
	places_begin(FIXTURE_OPTIONS ",cache=never", in_memory);
}

static void setup_sync(void)
{
	places_begin("insecure,no_root_squash,sync", in_memory);
}

static void teardown(void)
{
	fault_disarm();
	places_end();
}

static struct place new_place(void)
{
	struct place place = place_new();

	client = place.client;
	return place;
}

/* ---- the procedures ------------------------------------------------------- */

typedef nfsstat3 call_fn(const struct place *place);

static nfsstat3 getattr(const struct place *place)
{
	return nfs_getattr(client, place->file)->status;
}

static nfsstat3 setattr_mode(const struct place *place)
{
	return nfs_setattr(client, place->file, set_mode(0600))->status;
}

static nfsstat3 setattr_size(const struct place *place)
{
	return nfs_setattr(client, place->file, set_size(3))->status;
}

static nfsstat3 setattr_dir(const struct place *place)
{
	return nfs_setattr(client, place->dir, set_mode(0700))->status;
}

static nfsstat3 lookup(const struct place *place)
{
	return nfs_lookup(client, place->dir, "other")->status;
}

static nfsstat3 lookup_missing(const struct place *place)
{
	nfsstat3 status = nfs_lookup(client, place->dir, "missing")->status;

	return status == NFS3ERR_NOENT ? NFS3_OK : status;
}

static nfsstat3 access_file(const struct place *place)
{
	return nfs_access(client, place->file, ACCESS3_READ)->status;
}

static nfsstat3 readlink_it(const struct place *place)
{
	return nfs_readlink(client, place->link)->status;
}

static nfsstat3 read_file(const struct place *place)
{
	return nfs_read(client, place->file, 0, 100)->status;
}

static nfsstat3 write_file(const struct place *place)
{
	return nfs_write(client, place->file, 0, "x", 1, FILE_SYNC)->status;
}

static nfsstat3 create_unchecked(const struct place *place)
{
	return nfs_create(client, place->dir, "new", UNCHECKED, set_mode(0640))
	        ->status;
}

/* The existing file, cut. */
static nfsstat3 create_over(const struct place *place)
{
	return nfs_create(client, place->dir, "file", UNCHECKED, set_size(0))
	        ->status;
}

static nfsstat3 create_guarded(const struct place *place)
{
	return nfs_create(client, place->dir, "new", GUARDED, set_mode(0640))
	        ->status;
}

static nfsstat3 create_exclusive(const struct place *place)
{
	return nfs_create_exclusive(client, place->dir, "new", "verifier")
	        ->status;
}

static nfsstat3 make_dir(const struct place *place)
{
	return nfs_mkdir(client, place->dir, "new", set_mode(0750))->status;
}

static nfsstat3 make_symlink(const struct place *place)
{
	return nfs_symlink(client, place->dir, "new", "target")->status;
}

static nfsstat3 make_fifo(const struct place *place)
{
	return nfs_mknod(client, place->dir, "new", NF3FIFO, 0, 0)->status;
}

static nfsstat3 remove_file(const struct place *place)
{
	return nfs_remove(client, place->dir, "file")->status;
}

static nfsstat3 remove_dir(const struct place *place)
{
	return nfs_rmdir(client, place->dir, "empty")->status;
}

static nfsstat3 rename_file(const struct place *place)
{
	return nfs_rename(client, place->dir, "file", place->dir, "new")
	        ->status;
}

static nfsstat3 rename_over(const struct place *place)
{
	return nfs_rename(client, place->dir, "file", place->dir, "other")
	        ->status;
}

static nfsstat3 rename_away(const struct place *place)
{
	return nfs_rename(client, place->dir, "file", place->root, "away")
	        ->status;
}

/* A lower one, that is: it is redirected. */
static nfsstat3 rename_dir(const struct place *place)
{
	return nfs_rename(client, place->dir, "empty", place->dir, "new")
	        ->status;
}

static nfsstat3 link_file(const struct place *place)
{
	return nfs_link(client, place->file, place->dir, "new")->status;
}

/* A listing that comes is a whole one. */
static nfsstat3 readdir_all(const struct place *place)
{
	READDIR3res *res = nfs_readdir(client, place->dir, 0, 8192);
	int names = 0;

	if (res->status != NFS3_OK)
		return res->status;
	for (entry3 *e = res->READDIR3res_u.resok.reply.entries; e != NULL;
	     e = e->nextentry)
		names++;
	ck_assert_int_eq(names, 6);
	return NFS3_OK;
}

static nfsstat3 readdirplus_all(const struct place *place)
{
	READDIRPLUS3res *res =
		nfs_readdirplus(client, place->dir, 0, 8192, 8192);
	int names = 0;

	if (res->status != NFS3_OK)
		return res->status;
	for (entryplus3 *e = res->READDIRPLUS3res_u.resok.reply.entries;
	     e != NULL; e = e->nextentry)
		names++;
	ck_assert_int_eq(names, 6);
	return NFS3_OK;
}

static nfsstat3 fsstat(const struct place *place)
{
	return nfs_fsstat(client, place->dir)->status;
}

/* MOUNT's statuses that matter here have NFS's numbers. */
static nfsstat3 mnt(const struct place *place)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s/empty", FIXTURE_EXPORT,
	         place->name);
	return (nfsstat3)nfs_mnt(client, path)->fhs_status;
}

struct operation {
	const char *name;
	call_fn *call;
	/*
	 * Cuts a lower file, which is copied up as short as that: what fails
	 * then may have been done, as RFC 1813, 3.3.2 lets it be.
	 */
	bool cuts;
};

static const struct operation readers[] = {
	{ .name = "GETATTR", .call = getattr },
	{ .name = "LOOKUP", .call = lookup },
	{ .name = "LOOKUP of nothing", .call = lookup_missing },
	{ .name = "ACCESS", .call = access_file },
	{ .name = "READLINK", .call = readlink_it },
	{ .name = "READ", .call = read_file },
	{ .name = "READDIR", .call = readdir_all },
	{ .name = "READDIRPLUS", .call = readdirplus_all },
	{ .name = "FSSTAT", .call = fsstat },
	{ .name = "MNT", .call = mnt },
};

static const struct operation changers[] = {
	{ .name = "SETATTR of a mode", .call = setattr_mode },
	{ .name = "SETATTR of a size", .call = setattr_size, .cuts = true },
	{ .name = "SETATTR of a directory", .call = setattr_dir },
	{ .name = "WRITE", .call = write_file },
	{ .name = "CREATE UNCHECKED", .call = create_unchecked },
	{ .name = "CREATE over a file", .call = create_over, .cuts = true },
	{ .name = "CREATE GUARDED", .call = create_guarded },
	{ .name = "CREATE EXCLUSIVE", .call = create_exclusive },
	{ .name = "MKDIR", .call = make_dir },
	{ .name = "SYMLINK", .call = make_symlink },
	{ .name = "MKNOD", .call = make_fifo },
	{ .name = "REMOVE", .call = remove_file },
	{ .name = "RMDIR", .call = remove_dir },
	{ .name = "RENAME", .call = rename_file },
	{ .name = "RENAME over a file", .call = rename_over },
	{ .name = "RENAME to another directory", .call = rename_away },
	{ .name = "RENAME of a directory", .call = rename_dir },
	{ .name = "LINK", .call = link_file },
};

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

/* ---- each call fails in turn ---------------------------------------------- */

static bool is_expected(nfsstat3 status, nfsstat3 expected)
{
	return status == NFS3_OK || status == expected;
}

/* Nothing has been done, and then it can be. */
static void assert_undone(const struct operation *operation,
                          const struct place *place, const char *what)
{
	nfsstat3 again;

	place_assert_no_rubbish(what);
	if (!operation->cuts ||
	    nfs_attributes(client, place->file).size == strlen("lower text"))
		place_assert_as_before(place, what);
	again = operation->call(place);
	ck_assert_msg(again == NFS3_OK, "%s: then status %d", what, again);
}

/*
 * Let the first call of these kinds fail, the second, and so on, until the
 * operation makes no more; `lasting`: and all after it.
 */
static void sweep(const struct operation *operation, unsigned kinds, int error,
                  nfsstat3 expected, bool lasting)
{
	unsigned failures = 0, struck = 1;
	char what[128];

	for (unsigned nth = 1; struck > 0; nth++) {
		struct place place = new_place();
		nfsstat3 status;

		fault_arm(kinds, nth, error, lasting);
		status = operation->call(&place);
		struck = fault_disarm();
		snprintf(what, sizeof(what), "%s, %s of call %u",
		         operation->name, strerror(error), nth);
		ck_assert_msg(is_expected(status, expected), "%s: status %d",
		              what, status);
		if (status == NFS3_OK)
			continue;
		ck_assert_msg(struck > 0, "%s: status %d", what, status);
		failures++;
		assert_undone(operation, &place, what);
	}
	ck_assert_msg(failures > 0, "%s: no failure is told", operation->name);
}

static void sweep_changers(unsigned kinds, int error, nfsstat3 expected,
                           bool lasting)
{
	for (int i = 0; i < COUNT(changers); i++)
		sweep(&changers[i], kinds, error, expected, lasting);
}

START_TEST(a_reader_is_told_of_an_io_error)
{
	for (int i = 0; i < COUNT(readers); i++)
		sweep(&readers[i], ALL_BUT_SYNC, EIO, NFS3ERR_IO, false);
}
END_TEST

START_TEST(a_reader_comes_again_where_memory_is_lacking)
{
	for (int i = 0; i < COUNT(readers); i++)
		sweep(&readers[i], ALL_BUT_SYNC, ENOMEM,
		      readers[i].call == mnt ? (nfsstat3)MNT3ERR_SERVERFAULT
		                             : NFS3ERR_JUKEBOX,
		      false);
}
END_TEST

START_TEST(a_change_that_meets_an_io_error_is_none)
{
	sweep_changers(ALL_BUT_SYNC, EIO, NFS3ERR_IO, false);
}
END_TEST

START_TEST(a_change_that_finds_no_room_is_none)
{
	sweep_changers(SPACE, ENOSPC, NFS3ERR_NOSPC, true);
}
END_TEST

START_TEST(a_change_beyond_a_quota_is_none)
{
	sweep_changers(SPACE, EDQUOT, NFS3ERR_DQUOT, true);
}
END_TEST

START_TEST(a_change_of_a_filesystem_turned_read_only_is_none)
{
	sweep_changers(SPACE, EROFS, NFS3ERR_ROFS, true);
}
END_TEST

START_TEST(a_change_comes_again_where_descriptors_are_lacking)
{
	sweep_changers(FAULT_OPEN, EMFILE, NFS3ERR_JUKEBOX, false);
}
END_TEST

/* ---- one call fails -------------------------------------------------------- */

START_TEST(a_file_with_all_the_links_it_can_have_gets_no_more)
{
	struct place place = new_place();
	LINK3res *res;

	ck_assert_int_eq(setattr_mode(&place), NFS3_OK); /* copied up */
	fault_arm(FAULT_LINK, 1, EMLINK, false);
	res = nfs_link(client, place.file, place.dir, "new");
	ck_assert_uint_eq(fault_disarm(), 1);
	ck_assert_int_eq(res->status, NFS3ERR_MLINK);
	nfs_assert_attr(&res->LINK3res_u.resfail.file_attributes,
	                nfs_attributes(client, place.file).fileid);
	nfs_assert_attr(&res->LINK3res_u.resfail.linkdir_wcc.after,
	                nfs_attributes(client, place.dir).fileid);
	ck_assert_int_eq(nfs_lookup(client, place.dir, "new")->status,
	                 NFS3ERR_NOENT);
}
END_TEST

/* Some filesystems count a directory's directories. */
START_TEST(a_directory_with_all_the_directories_it_can_have_gets_no_more)
{
	struct place place = new_place();
	RENAME3res *res;

	nfs_new_dir(client, place.root, "new", 0755);
	fault_arm(FAULT_MOVE, 2, EMLINK, true); /* the first copies it up */
	res = nfs_rename(client, place.root, "new", place.dir, "new");
	ck_assert_uint_eq(fault_disarm(), 1);
	ck_assert_int_eq(res->status, NFS3ERR_MLINK);
	nfs_assert_attr(&res->RENAME3res_u.resfail.todir_wcc.after,
	                nfs_attributes(client, place.dir).fileid);
	place_assert_as_before(&place, "RENAME");
}
END_TEST

/* As FAT, which has no symlinks, sockets and devices, and exFAT. */
START_TEST(what_the_upper_has_no_such_thing_as_is_not_made)
{
	static call_fn *const makers[] = { make_symlink, make_fifo };

	for (int i = 0; i < COUNT(makers); i++) {
		struct place place = new_place();

		fault_arm(FAULT_MAKE, 2, EOPNOTSUPP, true); /* the directory */
		ck_assert_int_eq(makers[i](&place), NFS3ERR_NOTSUPP);
		ck_assert_uint_ge(fault_disarm(), 1);
		place_assert_as_before(&place, "making");
	}
}
END_TEST

/* ---- flushes --------------------------------------------------------------- */

START_TEST(a_change_that_does_not_reach_the_disk_is_told_so)
{
	for (int i = 0; i < COUNT(changers); i++) {
		struct place place = new_place();
		nfsstat3 status;

		fault_arm(FAULT_SYNC, 1, EIO, true);
		status = changers[i].call(&place);
		ck_assert_uint_ge(fault_disarm(), 1);
		ck_assert_msg(status == NFS3ERR_IO, "%s: status %d",
		              changers[i].name, status);
	}
}
END_TEST

/* Trap 18. */
START_TEST(a_commit_that_does_not_reach_the_disk_changes_the_verifier)
{
	struct place place = new_place();
	COMMIT3res *res;
	char verifier[8];

	memcpy(verifier,
	       nfs_write(client, place.file, 0, "x", 1, UNSTABLE)
	               ->WRITE3res_u.resok.verf,
	       8);
	fault_arm(FAULT_SYNC, 1, EIO, false);
	res = nfs_commit(client, place.file, 0, 0);
	ck_assert_uint_eq(fault_disarm(), 1);
	ck_assert_int_eq(res->status, NFS3ERR_IO);
	nfs_assert_attr(&res->COMMIT3res_u.resfail.file_wcc.after,
	                nfs_attributes(client, place.file).fileid);
	res = nfs_commit(client, place.file, 0, 0);
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_mem_ne(res->COMMIT3res_u.resok.verf, verifier, 8);
}
END_TEST

static TCase *faults_case(void)
{
	TCase *tcase = tcase_create("faults");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_reader_is_told_of_an_io_error);
	tcase_add_test(tcase, a_reader_comes_again_where_memory_is_lacking);
	tcase_add_test(tcase, a_change_that_meets_an_io_error_is_none);
	tcase_add_test(tcase, a_change_that_finds_no_room_is_none);
	tcase_add_test(tcase, a_change_beyond_a_quota_is_none);
	tcase_add_test(tcase,
	               a_change_of_a_filesystem_turned_read_only_is_none);
	tcase_add_test(tcase,
	               a_change_comes_again_where_descriptors_are_lacking);
	tcase_add_test(tcase,
	               a_file_with_all_the_links_it_can_have_gets_no_more);
	tcase_add_test(
		tcase,
		a_directory_with_all_the_directories_it_can_have_gets_no_more);
	tcase_add_test(tcase, what_the_upper_has_no_such_thing_as_is_not_made);
	return tcase;
}

static TCase *flushes_case(void)
{
	TCase *tcase = tcase_create("flushes");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup_sync, teardown);
	tcase_add_test(tcase, a_change_that_does_not_reach_the_disk_is_told_so);
	tcase_add_test(
		tcase,
		a_commit_that_does_not_reach_the_disk_changes_the_verifier);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("faults");
	SRunner *runner;
	int failed;

	if (!fixture_can_chown())
		return 77;
	in_memory = fixture_can_mount(); /* ext4 is slow to take so many */
	suite_add_tcase(suite, faults_case());
	suite_add_tcase(suite, flushes_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
