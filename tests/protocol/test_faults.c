/*
 * Every system call that a procedure makes fails in turn: the client is told
 * the status that belongs to the error, and all is as before. A call that the
 * server can do without may fail unseen.
 *
 * In the environment:
 *   TEST_SEED=NUMBER     chooses the sample
 *   FAULT_ONE_IN=N       of the operations, about each Nth is tried so; 1: all,
 *                        but with a sanitizer, which takes minutes for it
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
#include "tests/lib/suite.h"
#include "tests/protocol/operation.h"
#include "tests/protocol/place.h"
#include "tests/unit/seed.h"

/* Where each takes long: with a sanitizer, or on a disk. */
#define SAMPLE_ONE_IN 3
#ifdef WITH_SANITIZERS
#define ONE_IN SAMPLE_ONE_IN
#else
#define ONE_IN 1
#endif

/* What takes space, or changes a filesystem. */
#define CHANGES (FAULT_MAKE | FAULT_LINK | FAULT_MOVE | FAULT_FILL | FAULT_ATTR)
#define SPACE (FAULT_MAKE | FAULT_LINK | FAULT_MOVE | FAULT_FILL)
#define ALL_BUT_SYNC \
	(CHANGES | FAULT_LOOK | FAULT_OPEN | FAULT_READ | FAULT_GONE)

/* The client of the place at hand. */
static struct client *client;

static bool in_memory;
static uint64_t seed;
static int one_in;

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

static struct place prepared_place(const struct operation *operation)
{
	struct place place = new_place();

	if (operation->prepare == NULL)
		return place;
	ck_assert_int_eq(operation->prepare(&place), NFS3_OK);
	place_remember(&place);
	return place;
}

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
		struct place place = prepared_place(operation);
		unsigned rubbish = place_rubbish();
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
		ck_assert_msg(place_rubbish() == rubbish, "%s: rubbish", what);
		assert_undone(operation, &place, what);
	}
	/* What has been prepared may be open already. */
	ck_assert_msg(failures > 0 || operation->prepare != NULL,
	              "%s: no failure is told", operation->name);
}

/* Those of them that are in the sample, which `error` has for itself. */
static void sweep_all(const struct operation *operations, unsigned kinds,
                      int error, nfsstat3 expected, bool lasting)
{
	uint64_t random = seed + (uint64_t)error;

	for (int i = 0; operations[i].name != NULL; i++) {
		nfsstat3 status = expected;

		/* MOUNT knows no such word. */
		if (operations[i].mounts && expected == NFS3ERR_JUKEBOX)
			status = (nfsstat3)MNT3ERR_SERVERFAULT;
		if (test_random(&random) % (uint64_t)one_in == 0)
			sweep(&operations[i], kinds, error, status, lasting);
	}
}

START_TEST(a_reader_is_told_of_an_io_error)
{
	sweep_all(operation_readers, ALL_BUT_SYNC, EIO, NFS3ERR_IO, false);
}
END_TEST

START_TEST(a_reader_comes_again_where_memory_is_lacking)
{
	sweep_all(operation_readers, ALL_BUT_SYNC, ENOMEM, NFS3ERR_JUKEBOX,
	          false);
}
END_TEST

START_TEST(a_change_that_meets_an_io_error_is_none)
{
	sweep_all(operation_changers, ALL_BUT_SYNC, EIO, NFS3ERR_IO, false);
}
END_TEST

START_TEST(a_change_that_finds_no_room_is_none)
{
	sweep_all(operation_changers, SPACE, ENOSPC, NFS3ERR_NOSPC, true);
}
END_TEST

START_TEST(a_change_beyond_a_quota_is_none)
{
	sweep_all(operation_changers, SPACE, EDQUOT, NFS3ERR_DQUOT, true);
}
END_TEST

START_TEST(a_change_of_a_filesystem_turned_read_only_is_none)
{
	sweep_all(operation_changers, SPACE, EROFS, NFS3ERR_ROFS, true);
}
END_TEST

START_TEST(a_change_comes_again_where_descriptors_are_lacking)
{
	sweep_all(operation_changers, FAULT_OPEN, EMFILE, NFS3ERR_JUKEBOX,
	          false);
}
END_TEST

/* ---- one call fails -------------------------------------------------------- */

START_TEST(a_file_with_all_the_links_it_can_have_gets_no_more)
{
	struct place place = new_place();
	LINK3res *res;

	ck_assert_int_eq(operation_setattr_mode(&place),
	                 NFS3_OK); /* copied up */
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
	static operation_fn *const makers[] = { operation_symlink,
		                                operation_mknod };

	for (int i = 0; i < 2; i++) {
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
	for (int i = 0; operation_changers[i].name != NULL; i++) {
		struct place place = prepared_place(&operation_changers[i]);
		nfsstat3 status;

		fault_arm(FAULT_SYNC, 1, EIO, true);
		status = operation_changers[i].call(&place);
		ck_assert_uint_ge(fault_disarm(), 1);
		ck_assert_msg(status == NFS3ERR_IO, "%s: status %d",
		              operation_changers[i].name, status);
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

	tcase_set_timeout(tcase, 300);
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

	tcase_set_timeout(tcase, 300);
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

	seed = test_seed();
	in_memory = fixture_can_mount(); /* ext4 is slow to take so many */
	one_in = test_rounds("FAULT_ONE_IN", in_memory ? ONE_IN : SAMPLE_ONE_IN,
	                     1);
	suite_add_tcase(suite, faults_case());
	suite_add_tcase(suite, flushes_case());
	return suite_run(suite);
}
