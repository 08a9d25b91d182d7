#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/overlay.h"
#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define MIB (1u << 20)

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static atomic_uint splices;

/* The linker's --wrap puts this in the place of the system's. */
ssize_t __real_splice(int in, off64_t *in_at, int out, off64_t *out_at,
                      size_t len, unsigned flags);
ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at,
                      size_t len, unsigned flags);

ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at,
                      size_t len, unsigned flags)
{
	splices++;
	return __real_splice(in, in_at, out, out_at, len, flags);
}

static bool fails; /* to look at the attributes, once */

int __real_ovl_getattr(struct ovl *fs, const struct ovl_caller *caller,
                       struct ovl_node *node, struct ovl_attr *attr);
int __wrap_ovl_getattr(struct ovl *fs, const struct ovl_caller *caller,
                       struct ovl_node *node, struct ovl_attr *attr);

int __wrap_ovl_getattr(struct ovl *fs, const struct ovl_caller *caller,
                       struct ovl_node *node, struct ovl_attr *attr)
{
	if (!fails)
		return __real_ovl_getattr(fs, caller, node, attr);
	fails = false;
	return -EIO;
}

static void start(const char *options)
{
	fixture_start(fixture, options, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "0123456789", 0644);
	fixture_write(fixture, "lower0/empty", "", 0644);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_symlink(fixture, "lower0/link", "file");
	start(FIXTURE_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

static void assert_read(nfs_fh3 fh, uint64_t offset, uint32_t count,
                        const char *text, bool eof)
{
	READ3res *res = nfs_read(client, fh, offset, count);
	READ3resok *ok = &res->READ3res_u.resok;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_eq(ok->count, strlen(text));
	ck_assert_uint_eq(ok->data.data_len, strlen(text));
	if (ok->count > 0)
		ck_assert_mem_eq(ok->data.data_val, text, ok->count);
	ck_assert_int_eq(ok->eof, eof);
	nfs_assert_attr(&ok->file_attributes,
	                nfs_attributes(client, fh).fileid);
}

static void assert_read_failure(nfs_fh3 fh, uint64_t offset, nfsstat3 status)
{
	READ3res *res = nfs_read(client, fh, offset, 10);

	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->READ3res_u.resfail.file_attributes,
	                nfs_attributes(client, fh).fileid);
}

static void assert_write_failure(nfs_fh3 fh, uint64_t offset, nfsstat3 status)
{
	WRITE3res *res = nfs_write(client, fh, offset, "x", 1, UNSTABLE);

	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->WRITE3res_u.resfail.file_wcc.after,
	                nfs_attributes(client, fh).fileid);
}

static void set_file_mode(nfs_fh3 fh, mode3 mode, uint32_t uid)
{
	sattr3 set = set_mode(mode);

	set.uid.set_it = TRUE;
	set.uid.set_uid3_u.uid = uid;
	ck_assert_int_eq(nfs_setattr(client, fh, set)->status, NFS3_OK);
}

/* ---- READ ----------------------------------------------------------------- */

START_TEST(any_part_of_a_file_is_read)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	assert_read(file, 0, 10, "0123456789", true);
	assert_read(file, 0, 4, "0123", false);
	assert_read(file, 3, 1, "3", false);
	assert_read(file, 7, 100, "789", true);
	assert_read(file, 9, 1, "9", true);
}
END_TEST

START_TEST(past_the_end_there_is_nothing_and_no_error)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	assert_read(file, 10, 1, "", true);
	assert_read(file, 11, 100, "", true);
	assert_read(file, INT64_MAX, 100, "", true);
	assert_read(nfs_find(client, root, "empty"), 0, 100, "", true);
}
END_TEST

START_TEST(nothing_is_read_where_nothing_is_asked)
{
	assert_read(nfs_find(client, root, "file"), 0, 0, "", false);
}
END_TEST

START_TEST(an_offset_beyond_63_bits_is_past_the_end)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	nfs_fh3 mine = nfs_new_file(client, root, "mine", 0600);

	assert_read(file, UINT64_C(1) << 63, 100, "", true);
	assert_read(file, UINT64_MAX, 100, "", true);
	assert_read(file, UINT64_MAX, 0, "", true);
	assert_read_failure(root, UINT64_MAX, NFS3ERR_ISDIR);
	client_become(client, 31000, 31000);
	assert_read_failure(mine, UINT64_MAX, NFS3ERR_ACCES);
}
END_TEST

START_TEST(a_read_has_a_mebibyte_at_most)
{
	nfs_fh3 file = nfs_new_file(client, root, "large", 0644);
	READ3res *res;

	ck_assert_int_eq(nfs_setattr(client, file, set_size(3 * MIB))->status,
	                 NFS3_OK);
	res = nfs_read(client, file, 0, 2 * MIB);
	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_eq(res->READ3res_u.resok.count, MIB);
	ck_assert(!res->READ3res_u.resok.eof);
	res = nfs_read(client, file, 2 * MIB, UINT32_MAX);
	ck_assert_uint_eq(res->READ3res_u.resok.count, MIB);
	ck_assert(res->READ3res_u.resok.eof);
}
END_TEST

/* ---- without a copy ---- */

/* Of a file in which no two places are alike, as far as one read or write goes. */
static char byte_at(uint64_t offset)
{
	return (char)(offset * 7 + (offset >> 8));
}

/* In memory: of what is on a disk a loop cannot know whether it would wait. */
static bool start_in_memory(void)
{
	if (!fixture_can_mount())
		return false;
	fixture_free(fixture);
	fixture = fixture_new_in_memory(1, "size=64m");
	start(FIXTURE_OPTIONS);
	return true;
}

static void assert_data(nfs_fh3 fh, uint64_t offset, uint32_t count,
                        uint32_t there, uint64_t size)
{
	READ3resok *ok = &nfs_read(client, fh, offset, count)->READ3res_u.resok;

	ck_assert_uint_eq(ok->count, there);
	ck_assert_uint_eq(ok->data.data_len, there);
	ck_assert_int_eq(ok->eof, offset + there == size);
	ck_assert_uint_eq(ok->file_attributes.post_op_attr_u.attributes.size,
	                  size);
	for (uint32_t i = 0; i < there; i++)
		if (ok->data.data_val[i] != byte_at(offset + i))
			ck_abort_msg("byte %u from %llu is wrong", i,
			             (unsigned long long)offset);
}

static void write_data(nfs_fh3 fh, uint64_t offset, uint32_t count)
{
	char *data = malloc(count);

	ck_assert_ptr_nonnull(data);
	for (uint32_t i = 0; i < count; i++)
		data[i] = byte_at(offset + i);
	ck_assert_int_eq(
		nfs_write(client, fh, offset, data, count, UNSTABLE)->status,
		NFS3_OK);
	free(data);
}

START_TEST(large_reads_go_from_the_file_to_the_connection)
{
	/* As far as the end, which is no multiple of anything. */
	const uint32_t size = 2 * MIB + 300003, tail = size - 2 * MIB;
	nfs_fh3 file;
	unsigned before;

	if (!start_in_memory())
		return;
	file = nfs_new_file(client, root, "large", 0644);
	write_data(file, 0, MIB);
	write_data(file, MIB, MIB);
	write_data(file, 2 * MIB, tail);
	before = splices;
	for (unsigned i = 0; i < 100; i++)
		assert_data(file, i % 2 * MIB, MIB, MIB, size);
	ck_assert_uint_ge(splices - before, 200);
	for (uint32_t i = 0; i < 8; i++) {
		assert_data(file, 2 * MIB, tail - i, tail - i, size);
		assert_data(file, 4096 * i, 200000 + i, 200000 + i, size);
		assert_data(file, 1 + i, MIB, MIB, size);
	}
	assert_data(file, 2 * MIB, MIB, tail, size);
	assert_data(file, 2 * MIB + 4096, MIB, tail - 4096, size);
	/* And what comes between goes where it belongs. */
	assert_data(file, 77, 1, 1, size);
	ck_assert_int_eq(nfs_setattr(client, file, set_size(MIB))->status,
	                 NFS3_OK);
	assert_data(file, 0, MIB, MIB, MIB);
	assert_data(file, MIB, MIB, 0, MIB);
}
END_TEST

/* The reply is decoded to its last byte. */
START_TEST(a_failure_takes_large_data_back)
{
	nfs_fh3 file;
	unsigned before;

	if (!start_in_memory())
		return;
	file = nfs_new_file(client, root, "large", 0644);
	write_data(file, 0, MIB);
	before = splices;
	fails = true;
	ck_assert_int_eq(nfs_read(client, file, 0, MIB)->status, NFS3ERR_IO);
	ck_assert(!fails && splices > before);
	assert_data(file, 0, MIB, MIB, MIB);
}
END_TEST

START_TEST(only_a_file_has_data)
{
	assert_read_failure(root, 0, NFS3ERR_ISDIR);
	assert_read_failure(nfs_find(client, root, "dir"), 0, NFS3ERR_ISDIR);
	assert_read_failure(nfs_find(client, root, "link"), 0, NFS3ERR_INVAL);
	ck_assert_int_eq(nfs_mknod(client, root, "fifo", NF3FIFO, 0, 0)->status,
	                 NFS3_OK);
	assert_read_failure(nfs_find(client, root, "fifo"), 0, NFS3ERR_INVAL);
}
END_TEST

START_TEST(a_reader_needs_permission)
{
	nfs_fh3 file = nfs_new_file(client, root, "mine", 0600);

	client_become(client, 31000, 31000);
	assert_read_failure(file, 0, NFS3ERR_ACCES);
}
END_TEST

/* Trap 22. */
START_TEST(the_owner_reads_and_writes_what_the_mode_has_closed)
{
	nfs_fh3 file = nfs_new_file(client, root, "mine", 0644);

	set_file_mode(file, 0444, 31000);
	client_become(client, 31000, 31000);
	nfs_put_text(client, file, "open before");
	client_become(client, 0, 0);
	set_file_mode(file, 0000, 31000);
	client_become(client, 31000, 31000);
	nfs_assert_text(client, file, "open before");
	client_become(client, 31001, 31001);
	assert_read_failure(file, 0, NFS3ERR_ACCES);
	assert_write_failure(file, 0, NFS3ERR_ACCES);
}
END_TEST

/* Trap 22: the client reads it to execute it. */
START_TEST(who_may_execute_may_read)
{
	nfs_fh3 file = nfs_new_file(client, root, "program", 0644);

	nfs_put_text(client, file, "#!");
	set_file_mode(file, 0711, 0);
	client_become(client, 31000, 31000);
	nfs_assert_text(client, file, "#!");
}
END_TEST

/* ---- WRITE ---------------------------------------------------------------- */

START_TEST(a_write_is_seen_by_the_next_read)
{
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);

	nfs_put_text(client, file, "hello");
	assert_read(file, 0, 100, "hello", true);
	nfs_put_text(client, file, "J");
	assert_read(file, 0, 100, "Jello", true);
}
END_TEST

/* Trap 10: the read before leaves a descriptor of the lower file. */
START_TEST(a_write_to_a_lower_file_is_seen_by_the_next_read)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	struct client *other = fixture_connect(fixture);

	assert_read(file, 0, 100, "0123456789", true);
	nfs_assert_text(other, file, "0123456789");
	nfs_put_text(client, file, "abc");
	assert_read(file, 0, 100, "abc3456789", true);
	nfs_assert_text(other, file, "abc3456789");
	ck_assert(nfs_same_handle(nfs_find(client, root, "file"), file));
	fixture_assert_text(fixture, "lower0/file", "0123456789");
	fixture_assert_text(fixture, "upper/file", "abc3456789");
	client_free(other);
}
END_TEST

START_TEST(a_write_tells_count_stability_and_attributes)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	WRITE3res *res;

	for (stable_how how = UNSTABLE; how <= FILE_SYNC; how++) {
		res = nfs_write(client, file, 10, "abc", 3, how);
		ck_assert_int_eq(res->status, NFS3_OK);
		ck_assert_uint_eq(res->WRITE3res_u.resok.count, 3);
		ck_assert_uint_ge(res->WRITE3res_u.resok.committed, how);
		nfs_assert_wcc(&res->WRITE3res_u.resok.file_wcc,
		               nfs_attributes(client, file).fileid);
		ck_assert_uint_eq(res->WRITE3res_u.resok.file_wcc.after
		                          .post_op_attr_u.attributes.size,
		                  13);
	}
}
END_TEST

START_TEST(a_hole_reads_as_zeros)
{
	nfs_fh3 file = nfs_new_file(client, root, "sparse", 0644);
	READ3res *res;

	ck_assert_int_eq(nfs_write(client, file, UINT64_C(1) << 40, "x", 1,
	                           UNSTABLE)
	                         ->status,
	                 NFS3_OK);
	ck_assert_uint_eq(nfs_attributes(client, file).size,
	                  (UINT64_C(1) << 40) + 1);
	ck_assert_uint_lt(nfs_attributes(client, file).used, MIB);
	res = nfs_read(client, file, (UINT64_C(1) << 40) - 3, 100);
	ck_assert_uint_eq(res->READ3res_u.resok.count, 4);
	ck_assert_mem_eq(res->READ3res_u.resok.data.data_val, "\0\0\0x", 4);
}
END_TEST

START_TEST(a_mebibyte_is_written_at_once)
{
	nfs_fh3 file = nfs_new_file(client, root, "large", 0644);
	char *data = malloc(MIB);
	READ3res *read;

	ck_assert_ptr_nonnull(data);
	for (uint32_t i = 0; i < MIB; i++)
		data[i] = byte_at(i);
	ck_assert_uint_eq(nfs_write(client, file, 0, data, MIB, UNSTABLE)
	                          ->WRITE3res_u.resok.count,
	                  MIB);
	read = nfs_read(client, file, 0, MIB);
	ck_assert_uint_eq(read->READ3res_u.resok.count, MIB);
	ck_assert_mem_eq(read->READ3res_u.resok.data.data_val, data, MIB);
	free(data);
}
END_TEST

START_TEST(writing_nothing_changes_nothing)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	WRITE3res *res = nfs_write(client, file, 100, NULL, 0, UNSTABLE);

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert_uint_eq(res->WRITE3res_u.resok.count, 0);
	assert_read(file, 0, 100, "0123456789", true);
}
END_TEST

START_TEST(no_file_grows_beyond_63_bits)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	assert_write_failure(file, UINT64_C(1) << 63, NFS3ERR_FBIG);
	assert_write_failure(file, UINT64_MAX, NFS3ERR_FBIG);
	assert_write_failure(file, INT64_MAX, NFS3ERR_FBIG);
	assert_read(file, 0, 100, "0123456789", true);
}
END_TEST

START_TEST(only_a_file_is_written_to)
{
	assert_write_failure(root, 0, NFS3ERR_ISDIR);
	assert_write_failure(nfs_find(client, root, "link"), 0, NFS3ERR_INVAL);
}
END_TEST

START_TEST(a_writer_needs_permission)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	client_become(client, 31000, 31000);
	assert_write_failure(file, 0, NFS3ERR_ACCES);
	assert_read(file, 0, 100, "0123456789", true);
	ck_assert(!fixture_exists(fixture, "upper/file"));
}
END_TEST

START_TEST(a_write_by_another_takes_setuid_away)
{
	nfs_fh3 file = nfs_new_file(client, root, "s", 0644);

	set_file_mode(file, 0777, 0);
	ck_assert_int_eq(nfs_setattr(client, file, set_mode(06777))->status,
	                 NFS3_OK);
	client_become(client, 31000, 31000);
	nfs_put_text(client, file, "x");
	ck_assert_uint_eq(nfs_attributes(client, file).mode, 0777);
}
END_TEST

START_TEST(a_read_only_export_is_not_written_to)
{
	fixture_stop(fixture);
	start("ro,insecure,no_root_squash");
	assert_write_failure(nfs_find(client, root, "file"), 0, NFS3ERR_ROFS);
}
END_TEST

START_TEST(an_export_may_be_read_only_although_it_has_an_upper)
{
	fixture_stop(fixture);
	start("insecure,no_root_squash,ro");
	assert_write_failure(nfs_find(client, root, "file"), 0, NFS3ERR_ROFS);
	ck_assert(!fixture_exists(fixture, "upper/file"));
}
END_TEST

/* ---- COMMIT --------------------------------------------------------------- */

START_TEST(commit_has_the_verifier_of_the_writes)
{
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	WRITE3res *write = nfs_write(client, file, 0, "data", 4, UNSTABLE);
	COMMIT3res *commit = nfs_commit(client, file, 0, 0);

	ck_assert_int_eq(write->status, NFS3_OK);
	ck_assert_int_eq(commit->status, NFS3_OK);
	ck_assert_mem_eq(commit->COMMIT3res_u.resok.verf,
	                 write->WRITE3res_u.resok.verf, 8);
	nfs_assert_attr(&commit->COMMIT3res_u.resok.file_wcc.after,
	                nfs_attributes(client, file).fileid);
}
END_TEST

START_TEST(the_verifier_is_another_after_a_restart)
{
	nfs_fh3 file = nfs_new_file(client, root, "new", 0644);
	char verifier[8];

	memcpy(verifier,
	       nfs_write(client, file, 0, "x", 1, UNSTABLE)
	               ->WRITE3res_u.resok.verf,
	       8);
	fixture_stop(fixture);
	start(FIXTURE_OPTIONS);
	file = nfs_find(client, root, "new");
	ck_assert_mem_ne(nfs_write(client, file, 0, "x", 1, UNSTABLE)
	                         ->WRITE3res_u.resok.verf,
	                 verifier, 8);
}
END_TEST

START_TEST(any_range_is_committed)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	nfs_put_text(client, file, "abc");
	ck_assert_int_eq(nfs_commit(client, file, 0, 1)->status, NFS3_OK);
	ck_assert_int_eq(nfs_commit(client, file, 1000, 0)->status, NFS3_OK);
	ck_assert_int_eq(
		nfs_commit(client, file, INT64_MAX, UINT32_MAX)->status,
		NFS3_OK);
	ck_assert_int_eq(nfs_commit(client, file, UINT64_C(1) << 63, 0)->status,
	                 NFS3_OK);
	ck_assert_int_eq(
		nfs_commit(client, file, UINT64_MAX, UINT32_MAX)->status,
		NFS3_OK);
}
END_TEST

START_TEST(a_lower_file_has_nothing_to_commit)
{
	ck_assert_int_eq(nfs_commit(client, nfs_find(client, root, "file"), 0,
	                            0)
	                         ->status,
	                 NFS3_OK);
	ck_assert(!fixture_exists(fixture, "upper/file"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_data");
	TCase *tcase = tcase_create("nfs3_data");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, any_part_of_a_file_is_read);
	tcase_add_test(tcase, past_the_end_there_is_nothing_and_no_error);
	tcase_add_test(tcase, nothing_is_read_where_nothing_is_asked);
	tcase_add_test(tcase, an_offset_beyond_63_bits_is_past_the_end);
	tcase_add_test(tcase, a_read_has_a_mebibyte_at_most);
	tcase_add_test(tcase, large_reads_go_from_the_file_to_the_connection);
	tcase_add_test(tcase, a_failure_takes_large_data_back);
	tcase_add_test(tcase, only_a_file_has_data);
	tcase_add_test(tcase, a_reader_needs_permission);
	tcase_add_test(tcase,
	               the_owner_reads_and_writes_what_the_mode_has_closed);
	tcase_add_test(tcase, who_may_execute_may_read);
	tcase_add_test(tcase, a_write_is_seen_by_the_next_read);
	tcase_add_test(tcase, a_write_to_a_lower_file_is_seen_by_the_next_read);
	tcase_add_test(tcase, a_write_tells_count_stability_and_attributes);
	tcase_add_test(tcase, a_hole_reads_as_zeros);
	tcase_add_test(tcase, a_mebibyte_is_written_at_once);
	tcase_add_test(tcase, writing_nothing_changes_nothing);
	tcase_add_test(tcase, no_file_grows_beyond_63_bits);
	tcase_add_test(tcase, only_a_file_is_written_to);
	tcase_add_test(tcase, a_writer_needs_permission);
	tcase_add_test(tcase, a_write_by_another_takes_setuid_away);
	tcase_add_test(tcase, a_read_only_export_is_not_written_to);
	tcase_add_test(tcase,
	               an_export_may_be_read_only_although_it_has_an_upper);
	tcase_add_test(tcase, commit_has_the_verifier_of_the_writes);
	tcase_add_test(tcase, the_verifier_is_another_after_a_restart);
	tcase_add_test(tcase, any_range_is_committed);
	tcase_add_test(tcase, a_lower_file_has_nothing_to_commit);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
