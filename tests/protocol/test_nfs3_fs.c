#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define MIB (1u << 20)

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "text", 0644);
	fixture_start(fixture, FIXTURE_OPTIONS, true);
	client = fixture->client;
	root = nfs_root(client);
}

static void teardown(void)
{
	fixture_free(fixture);
}

START_TEST(fsstat_is_of_the_upper_s_filesystem)
{
	FSSTAT3res *res = nfs_fsstat(client, root);
	FSSTAT3resok *ok = &res->FSSTAT3res_u.resok;
	struct statvfs stat;

	ck_assert_int_eq(fstatvfs(fixture->topfd, &stat), 0);
	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_attr(&ok->obj_attributes,
	                nfs_attributes(client, root).fileid);
	ck_assert_uint_eq(ok->tbytes, (uint64_t)stat.f_blocks * stat.f_frsize);
	ck_assert_uint_le(ok->abytes, ok->fbytes);
	ck_assert_uint_le(ok->fbytes, ok->tbytes);
	ck_assert_uint_le(ok->ffiles, ok->tfiles);
	ck_assert_uint_eq(ok->invarsec, 0);
}
END_TEST

START_TEST(fsinfo_tells_what_holds_over_tcp)
{
	FSINFO3res *res = nfs_fsinfo(client, root);
	FSINFO3resok *ok = &res->FSINFO3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	nfs_assert_attr(&ok->obj_attributes,
	                nfs_attributes(client, root).fileid);
	ck_assert_uint_eq(ok->rtmax, MIB);
	ck_assert_uint_eq(ok->rtpref, MIB);
	ck_assert_uint_eq(ok->wtmax, MIB);
	ck_assert_uint_eq(ok->wtpref, MIB);
	ck_assert_uint_eq(ok->dtpref, 65536);
	ck_assert_uint_eq(ok->maxfilesize, INT64_MAX);
	ck_assert_uint_eq(ok->time_delta.seconds, 0);
	ck_assert_uint_eq(ok->time_delta.nseconds, 1);
	ck_assert_uint_eq(ok->properties, FSF3_LINK | FSF3_SYMLINK |
	                                          FSF3_HOMOGENEOUS |
	                                          FSF3_CANSETTIME);
}
END_TEST

START_TEST(pathconf_tells_linux_s_rules)
{
	PATHCONF3res *res =
		nfs_pathconf(client, nfs_find(client, root, "file"));
	PATHCONF3resok *ok = &res->PATHCONF3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(ok->obj_attributes.attributes_follow);
	ck_assert_uint_gt(ok->linkmax, 1);
	ck_assert_uint_eq(ok->name_max, 255);
	ck_assert(ok->no_trunc);
	ck_assert(ok->chown_restricted);
	ck_assert(!ok->case_insensitive);
	ck_assert(ok->case_preserving);
}
END_TEST

START_TEST(a_stale_handle_has_no_attributes)
{
	nfs_fh3 file = nfs_new_file(client, root, "gone", 0644);
	FSSTAT3res *fsstat;
	FSINFO3res *fsinfo;
	PATHCONF3res *pathconf;

	ck_assert_int_eq(nfs_remove(client, root, "gone")->status, NFS3_OK);
	fsstat = nfs_fsstat(client, file);
	ck_assert_int_eq(fsstat->status, NFS3ERR_STALE);
	ck_assert(
		!fsstat->FSSTAT3res_u.resfail.obj_attributes.attributes_follow);
	fsinfo = nfs_fsinfo(client, file);
	ck_assert_int_eq(fsinfo->status, NFS3ERR_STALE);
	ck_assert(
		!fsinfo->FSINFO3res_u.resfail.obj_attributes.attributes_follow);
	pathconf = nfs_pathconf(client, file);
	ck_assert_int_eq(pathconf->status, NFS3ERR_STALE);
	ck_assert(!pathconf->PATHCONF3res_u.resfail.obj_attributes
	                   .attributes_follow);
}
END_TEST

/* ---- over UDP ------------------------------------------------------------- */

START_TEST(fsinfo_tells_what_fits_into_a_datagram)
{
	struct client *udp = fixture_connect_udp(fixture);
	FSINFO3resok *ok = &nfs_fsinfo(udp, root)->FSINFO3res_u.resok;

	ck_assert_uint_ge(ok->rtmax, 8192);
	ck_assert_uint_lt(ok->rtmax, 32768);
	ck_assert_uint_eq(ok->rtmax % 4096, 0);
	ck_assert_uint_eq(ok->wtmax, ok->rtmax);
	ck_assert_uint_le(ok->rtpref, ok->rtmax);
	ck_assert_uint_le(ok->dtpref, ok->rtmax);
	client_free(udp);
}
END_TEST

START_TEST(reads_and_writes_of_the_largest_size_go_through_a_datagram)
{
	struct client *udp = fixture_connect_udp(fixture);
	uint32_t max = nfs_fsinfo(udp, root)->FSINFO3res_u.resok.rtmax;
	nfs_fh3 file = nfs_new_file(udp, root, "large", 0644);
	char *data = malloc(max);
	WRITE3res *write;
	READ3res *read;

	ck_assert_ptr_nonnull(data);
	memset(data, 'd', max);
	write = nfs_write(udp, file, 0, data, max, FILE_SYNC);
	ck_assert_int_eq(write->status, NFS3_OK);
	ck_assert_uint_eq(write->WRITE3res_u.resok.count, max);
	read = nfs_read(udp, file, 0, max);
	ck_assert_uint_eq(read->READ3res_u.resok.count, max);
	ck_assert_mem_eq(read->READ3res_u.resok.data.data_val, data, max);
	read = nfs_read(udp, file, 0, MIB);
	ck_assert_uint_eq(read->READ3res_u.resok.count, max);
	free(data);
	client_free(udp);
}
END_TEST

START_TEST(a_listing_fits_into_a_datagram)
{
	struct client *udp = fixture_connect_udp(fixture);
	READDIRPLUS3res *res;
	char name[64];

	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "a name of some length %d", i);
		nfs_new_file(client, root, name, 0644);
	}
	res = nfs_readdirplus(udp, root, 0, MIB, MIB);
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(!res->READDIRPLUS3res_u.resok.reply.eof);
	ck_assert_uint_gt(client_result_bytes(udp), 16384);
	ck_assert_uint_le(client_result_bytes(udp), 32768);
	client_free(udp);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_fs");
	TCase *tcase = tcase_create("nfs3_fs");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, fsstat_is_of_the_upper_s_filesystem);
	tcase_add_test(tcase, fsinfo_tells_what_holds_over_tcp);
	tcase_add_test(tcase, pathconf_tells_linux_s_rules);
	tcase_add_test(tcase, a_stale_handle_has_no_attributes);
	tcase_add_test(tcase, fsinfo_tells_what_fits_into_a_datagram);
	tcase_add_test(
		tcase,
		reads_and_writes_of_the_largest_size_go_through_a_datagram);
	tcase_add_test(tcase, a_listing_fits_into_a_datagram);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
