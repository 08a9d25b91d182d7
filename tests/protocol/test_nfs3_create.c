#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root;

static void start(const char *options)
{
	fixture_start(fixture, options, false);
	client = fixture->client;
	root = nfs_root(client);
}

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "lower text", 0644);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_symlink(fixture, "lower0/link", "file");
	start(FIXTURE_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* All four procedures have results of this form. */
_Static_assert(sizeof(CREATE3res) == sizeof(MKDIR3res) &&
                       sizeof(CREATE3res) == sizeof(SYMLINK3res) &&
                       sizeof(CREATE3res) == sizeof(MKNOD3res),
               "one form");

/* Success tells handle, attributes, and how the directory has changed. */
static nfs_fh3 assert_created(const void *result, nfs_fh3 dir)
{
	const CREATE3res *res = result;
	const CREATE3resok *ok = &res->CREATE3res_u.resok;
	nfs_fh3 fh = ok->obj.post_op_fh3_u.handle;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(ok->obj.handle_follows);
	nfs_assert_attr(&ok->obj_attributes, nfs_attributes(client, fh).fileid);
	nfs_assert_wcc(&ok->dir_wcc, nfs_attributes(client, dir).fileid);
	return fh;
}

/* The same for a file that was there: the directory has not changed. */
static nfs_fh3 assert_taken(const CREATE3res *res, nfs_fh3 dir)
{
	const CREATE3resok *ok = &res->CREATE3res_u.resok;
	nfs_fh3 fh = ok->obj.post_op_fh3_u.handle;

	ck_assert_int_eq(res->status, NFS3_OK);
	ck_assert(ok->obj.handle_follows);
	nfs_assert_attr(&ok->obj_attributes, nfs_attributes(client, fh).fileid);
	nfs_assert_attr(&ok->dir_wcc.after, nfs_attributes(client, dir).fileid);
	return fh;
}

/* And failure the directory's attributes. */
static void assert_failed(const void *result, nfsstat3 status, nfs_fh3 dir)
{
	const CREATE3res *res = result;

	ck_assert_int_eq(res->status, status);
	nfs_assert_attr(&res->CREATE3res_u.resfail.dir_wcc.after,
	                nfs_attributes(client, dir).fileid);
}

static sattr3 set_size_and_mode(uint64_t size, mode3 mode)
{
	sattr3 set = set_size(size);

	set.mode = set_mode(mode).mode;
	return set;
}

/* ---- CREATE --------------------------------------------------------------- */

START_TEST(a_file_is_made_with_its_attributes)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");
	CREATE3res *res =
		nfs_create(client, dir, "new", GUARDED, set_mode(0640));
	nfs_fh3 fh = assert_created(res, dir);

	ck_assert_int_eq(nfs_attributes(client, fh).type, NF3REG);
	ck_assert_uint_eq(nfs_attributes(client, fh).mode, 0640);
	ck_assert_uint_eq(nfs_attributes(client, fh).size, 0);
	ck_assert(nfs_same_handle(nfs_find(client, dir, "new"), fh));
	ck_assert(fixture_exists(fixture, "upper/dir/new"));
	ck_assert(!fixture_exists(fixture, "lower0/dir/new"));
}
END_TEST

START_TEST(a_new_file_is_the_caller_s)
{
	ck_assert_int_eq(nfs_setattr(client, root, set_mode(0777))->status,
	                 NFS3_OK);
	client_become(client, 31000, 100);
	nfs_new_file(client, root, "mine", 0600);
	ck_assert_uint_eq(
		nfs_attributes(client, nfs_find(client, root, "mine")).uid,
		31000);
	ck_assert_uint_eq(
		nfs_attributes(client, nfs_find(client, root, "mine")).gid,
		100);
}
END_TEST

START_TEST(guarded_leaves_an_existing_file)
{
	assert_failed(nfs_create(client, root, "file", GUARDED,
	                         set_size_and_mode(0, 0600)),
	              NFS3ERR_EXIST, root);
	assert_failed(nfs_create(client, root, "dir", GUARDED, set_mode(0600)),
	              NFS3ERR_EXIST, root);
	assert_failed(nfs_create(client, root, "link", GUARDED, set_mode(0600)),
	              NFS3ERR_EXIST, root);
	nfs_assert_text(client, nfs_find(client, root, "file"), "lower text");
}
END_TEST

START_TEST(unchecked_takes_an_existing_file_and_cuts_it_where_asked)
{
	nfs_fh3 file = nfs_find(client, root, "file");
	CREATE3res *res =
		nfs_create(client, root, "file", UNCHECKED, set_mode(0600));

	ck_assert(nfs_same_handle(assert_taken(res, root), file));
	nfs_assert_text(client, file, "lower text");
	res = nfs_create(client, root, "file", UNCHECKED,
	                 set_size_and_mode(0, 0600));
	ck_assert(nfs_same_handle(assert_taken(res, root), file));
	nfs_assert_text(client, file, "");
	fixture_assert_text(fixture, "lower0/file", "lower text");
}
END_TEST

/* As Linux does, whose open(2) with O_CREAT takes a FIFO too. */
START_TEST(unchecked_leaves_what_is_no_file_as_it_is)
{
	nfs_fh3 link = nfs_find(client, root, "link");
	CREATE3res *res;

	assert_failed(nfs_create(client, root, "dir", UNCHECKED, set_size(0)),
	              NFS3ERR_ISDIR, root);
	res = nfs_create(client, root, "link", UNCHECKED, set_size(0));
	ck_assert(nfs_same_handle(assert_taken(res, root), link));
	nfs_assert_text(client, nfs_find(client, root, "file"), "lower text");
}
END_TEST

START_TEST(unchecked_cuts_only_what_the_caller_may_write)
{
	ck_assert_int_eq(nfs_setattr(client, root, set_mode(0777))->status,
	                 NFS3_OK);
	client_become(client, 31000, 31000);
	assert_failed(nfs_create(client, root, "file", UNCHECKED, set_size(0)),
	              NFS3ERR_ACCES, root);
	nfs_assert_text(client, nfs_find(client, root, "file"), "lower text");
}
END_TEST

/* Trap 16: the bytes that a 32-bit time stamp would lose count too. */
START_TEST(exclusive_knows_its_own_file_by_the_whole_verifier)
{
	const char verifier[8] = "\x01\x02\x03\x04\x05\x06\x07\x08";
	nfs_fh3 file = assert_created(
		nfs_create_exclusive(client, root, "new", verifier), root);
	char other[8];

	ck_assert(nfs_same_handle(assert_taken(nfs_create_exclusive(client,
	                                                            root, "new",
	                                                            verifier),
	                                       root),
	                          file));
	for (int i = 0; i < 8; i++) {
		memcpy(other, verifier, 8);
		other[i] ^= (char)0x80;
		assert_failed(nfs_create_exclusive(client, root, "new", other),
		              NFS3ERR_EXIST, root);
	}
	assert_failed(nfs_create_exclusive(client, root, "file", verifier),
	              NFS3ERR_EXIST, root);
}
END_TEST

/* Trap 16. */
START_TEST(the_mode_of_an_exclusive_file_follows_by_setattr)
{
	nfs_fh3 file = assert_created(
		nfs_create_exclusive(client, root, "new", "verifier"), root);

	ck_assert_uint_eq(nfs_attributes(client, file).mode & 077, 0);
	ck_assert_int_eq(nfs_setattr(client, file, set_mode(0644))->status,
	                 NFS3_OK);
	ck_assert_uint_eq(nfs_attributes(client, file).mode, 0644);
	ck_assert_uint_eq(nfs_attributes(client, file).size, 0);
}
END_TEST

/* Trap 16. */
START_TEST(exclusive_survives_a_restart)
{
	assert_created(nfs_create_exclusive(client, root, "new", "verifier"),
	               root);
	fixture_stop(fixture);
	start(FIXTURE_OPTIONS);
	assert_taken(nfs_create_exclusive(client, root, "new", "verifier"),
	             root);
	ck_assert_int_eq(
		nfs_create_exclusive(client, root, "new", "VERIFIER")->status,
		NFS3ERR_EXIST);
}
END_TEST

START_TEST(a_removed_lower_name_is_made_anew)
{
	nfs_fh3 old = nfs_find(client, root, "file"), new;

	ck_assert_int_eq(nfs_remove(client, root, "file")->status, NFS3_OK);
	new = nfs_new_file(client, root, "file", 0644);
	ck_assert(!nfs_same_handle(old, new));
	nfs_assert_text(client, new, "");
	ck_assert_int_eq(nfs_getattr(client, old)->status, NFS3ERR_STALE);
}
END_TEST

/* ---- MKDIR ---------------------------------------------------------------- */

START_TEST(a_directory_is_made)
{
	MKDIR3res *res = nfs_mkdir(client, root, "new", set_mode(01770));
	nfs_fh3 fh = assert_created(res, root);

	ck_assert_int_eq(nfs_attributes(client, fh).type, NF3DIR);
	ck_assert_uint_eq(nfs_attributes(client, fh).mode, 01770);
	ck_assert(nfs_same_handle(nfs_find(client, fh, ".."), root));
}
END_TEST

START_TEST(mkdir_leaves_what_exists)
{
	assert_failed(nfs_mkdir(client, root, "dir", set_mode(0755)),
	              NFS3ERR_EXIST, root);
	assert_failed(nfs_mkdir(client, root, "file", set_mode(0755)),
	              NFS3ERR_EXIST, root);
}
END_TEST

START_TEST(a_directory_made_anew_over_a_lower_one_is_empty)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	nfs_new_file(client, dir, "f", 0644);
	ck_assert_int_eq(nfs_remove(client, dir, "f")->status, NFS3_OK);
	ck_assert_int_eq(nfs_rmdir(client, root, "dir")->status, NFS3_OK);
	dir = nfs_new_dir(client, root, "dir", 0755);
	ck_assert_int_eq(nfs_lookup(client, dir, "f")->status, NFS3ERR_NOENT);
}
END_TEST

START_TEST(setgid_directories_hand_on_their_group)
{
	nfs_fh3 dir = nfs_new_dir(client, root, "shared", 0777), sub;
	sattr3 set = set_mode(02777);

	set.gid.set_it = TRUE;
	set.gid.set_gid3_u.gid = 500;
	ck_assert_int_eq(nfs_setattr(client, dir, set)->status, NFS3_OK);
	ck_assert_int_eq(nfs_setattr(client, dir, set_mode(02777))->status,
	                 NFS3_OK);
	client_become(client, 31000, 31000);
	sub = nfs_new_dir(client, dir, "sub", 0755);
	ck_assert_uint_eq(nfs_attributes(client, sub).gid, 500);
	ck_assert_uint_eq(nfs_attributes(client, sub).mode, 02755);
	ck_assert_uint_eq(nfs_attributes(client,
	                                 nfs_new_file(client, sub, "f", 0644))
	                          .gid,
	                  500);
}
END_TEST

/* ---- SYMLINK -------------------------------------------------------------- */

START_TEST(a_symlink_is_made)
{
	SYMLINK3res *res = nfs_symlink(client, root, "new", "a/b");
	nfs_fh3 fh = assert_created(res, root);

	ck_assert_int_eq(nfs_attributes(client, fh).type, NF3LNK);
	ck_assert_uint_eq(nfs_attributes(client, fh).size, 3);
}
END_TEST

START_TEST(a_target_must_be_a_path)
{
	char target[PATH_MAX + 1];

	memset(target, 't', sizeof(target));
	target[PATH_MAX] = '\0';
	assert_failed(nfs_symlink(client, root, "new", ""), NFS3ERR_INVAL,
	              root);
	assert_failed(nfs_symlink(client, root, "new", target),
	              NFS3ERR_NAMETOOLONG, root);
	assert_failed(nfs_symlink(client, root, "file", "x"), NFS3ERR_EXIST,
	              root);
}
END_TEST

/* ---- MKNOD ---------------------------------------------------------------- */

START_TEST(special_files_are_made)
{
	fattr3 attr;
	nfs_fh3 fh;

	fh = assert_created(nfs_mknod(client, root, "chr", NF3CHR, 1, 3), root);
	attr = nfs_attributes(client, fh);
	ck_assert_int_eq(attr.type, NF3CHR);
	ck_assert_uint_eq(attr.rdev.specdata1, 1);
	ck_assert_uint_eq(attr.rdev.specdata2, 3);
	ck_assert_uint_eq(attr.mode, 0640);
	fh = assert_created(nfs_mknod(client, root, "blk", NF3BLK, 300, 70000),
	                    root);
	attr = nfs_attributes(client, fh);
	ck_assert_int_eq(attr.type, NF3BLK);
	ck_assert_uint_eq(attr.rdev.specdata1, 300);
	ck_assert_uint_eq(attr.rdev.specdata2, 70000);
	fh = assert_created(nfs_mknod(client, root, "fifo", NF3FIFO, 0, 0),
	                    root);
	ck_assert_int_eq(nfs_attributes(client, fh).type, NF3FIFO);
	assert_failed(nfs_mknod(client, root, "fifo", NF3FIFO, 0, 0),
	              NFS3ERR_EXIST, root);
}
END_TEST

/* Trap 36: a socket's address has 108 bytes, a name 255. */
START_TEST(a_socket_may_have_a_long_name)
{
	char name[256];
	nfs_fh3 fh;

	memset(name, 's', sizeof(name));
	name[255] = '\0';
	fh = assert_created(nfs_mknod(client, root, name, NF3SOCK, 0, 0), root);
	ck_assert_int_eq(nfs_attributes(client, fh).type, NF3SOCK);
	ck_assert(nfs_same_handle(nfs_find(client, root, name), fh));
}
END_TEST

START_TEST(mknod_makes_nothing_that_other_procedures_make)
{
	static const ftype3 types[] = { NF3REG, NF3DIR, NF3LNK, (ftype3)8,
		                        (ftype3)0 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		MKNOD3args args = { .where = { root, (char *)"new" },
			            .what.type = types[i] };

		assert_failed(nfs_call(client, NFSPROC3_MKNOD, &args),
		              NFS3ERR_BADTYPE, root);
	}
}
END_TEST

START_TEST(only_root_makes_devices)
{
	ck_assert_int_eq(nfs_setattr(client, root, set_mode(0777))->status,
	                 NFS3_OK);
	client_become(client, 31000, 31000);
	assert_failed(nfs_mknod(client, root, "chr", NF3CHR, 1, 3),
	              NFS3ERR_PERM, root);
	assert_created(nfs_mknod(client, root, "fifo", NF3FIFO, 0, 0), root);
}
END_TEST

/* ---- what all have in common ------------------------------------------------ */

typedef void *make_fn(nfs_fh3 dir, const char *name);

static void *make_file(nfs_fh3 dir, const char *name)
{
	return nfs_create(client, dir, name, UNCHECKED, set_mode(0644));
}

static void *make_guarded(nfs_fh3 dir, const char *name)
{
	return nfs_create(client, dir, name, GUARDED, set_mode(0644));
}

static void *make_exclusive(nfs_fh3 dir, const char *name)
{
	return nfs_create_exclusive(client, dir, name, "verifier");
}

static void *make_dir(nfs_fh3 dir, const char *name)
{
	return nfs_mkdir(client, dir, name, set_mode(0755));
}

static void *make_link(nfs_fh3 dir, const char *name)
{
	return nfs_symlink(client, dir, name, "target");
}

static void *make_fifo(nfs_fh3 dir, const char *name)
{
	return nfs_mknod(client, dir, name, NF3FIFO, 0, 0);
}

static make_fn *const makers[] = { make_file, make_guarded, make_exclusive,
	                           make_dir,  make_link,    make_fifo };
#define NMAKERS (int)(sizeof(makers) / sizeof(makers[0]))

START_TEST(a_new_name_must_be_one)
{
	char name[257];

	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_failed(makers[_i](root, "."), NFS3ERR_EXIST, root);
	assert_failed(makers[_i](root, ".."), NFS3ERR_EXIST, root);
	assert_failed(makers[_i](root, ""), NFS3ERR_ACCES, root);
	assert_failed(makers[_i](root, "a/b"), NFS3ERR_ACCES, root);
	assert_failed(makers[_i](root, name), NFS3ERR_NAMETOOLONG, root);
}
END_TEST

START_TEST(a_new_name_is_put_into_a_directory)
{
	nfs_fh3 file = nfs_find(client, root, "file");

	assert_failed(makers[_i](file, "new"), NFS3ERR_NOTDIR, file);
}
END_TEST

START_TEST(a_new_name_needs_write_permission)
{
	nfs_fh3 dir = nfs_find(client, root, "dir");

	client_become(client, 31000, 31000);
	assert_failed(makers[_i](dir, "new"), NFS3ERR_ACCES, dir);
	ck_assert(!fixture_exists(fixture, "upper/dir/new"));
}
END_TEST

START_TEST(nothing_is_put_into_a_directory_that_is_gone)
{
	nfs_fh3 dir = nfs_new_dir(client, root, "gone", 0755);
	CREATE3res *res;

	ck_assert_int_eq(nfs_rmdir(client, root, "gone")->status, NFS3_OK);
	res = makers[_i](dir, "new");
	ck_assert_int_eq(res->status, NFS3ERR_STALE);
	ck_assert(!res->CREATE3res_u.resfail.dir_wcc.after.attributes_follow);
}
END_TEST

/* Its way into its place moves the ctime, by which a client knows of changes. */
START_TEST(the_reply_tells_the_ctime_that_is_on_the_disk)
{
	CREATE3res *res = makers[_i](root, "new");
	nfstime3 told = res->CREATE3res_u.resok.obj_attributes.post_op_attr_u
	                        .attributes.ctime;
	struct stat st;

	assert_created(res, root);
	ck_assert_int_eq(fstatat(fixture->topfd, "upper/new", &st,
	                         AT_SYMLINK_NOFOLLOW),
	                 0);
	ck_assert_uint_eq(told.seconds, (uint32_t)st.st_ctim.tv_sec);
	ck_assert_uint_eq(told.nseconds, (uint32_t)st.st_ctim.tv_nsec);
}
END_TEST

START_TEST(nothing_is_made_on_a_read_only_export)
{
	fixture_stop(fixture);
	start("ro,insecure,no_root_squash");
	assert_failed(makers[_i](root, "new"), NFS3ERR_ROFS, root);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_create");
	TCase *tcase = tcase_create("nfs3_create");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_file_is_made_with_its_attributes);
	tcase_add_test(tcase, a_new_file_is_the_caller_s);
	tcase_add_test(tcase, guarded_leaves_an_existing_file);
	tcase_add_test(
		tcase,
		unchecked_takes_an_existing_file_and_cuts_it_where_asked);
	tcase_add_test(tcase, unchecked_leaves_what_is_no_file_as_it_is);
	tcase_add_test(tcase, unchecked_cuts_only_what_the_caller_may_write);
	tcase_add_test(tcase,
	               exclusive_knows_its_own_file_by_the_whole_verifier);
	tcase_add_test(tcase, the_mode_of_an_exclusive_file_follows_by_setattr);
	tcase_add_test(tcase, exclusive_survives_a_restart);
	tcase_add_test(tcase, a_removed_lower_name_is_made_anew);
	tcase_add_test(tcase, a_directory_is_made);
	tcase_add_test(tcase, mkdir_leaves_what_exists);
	tcase_add_test(tcase, a_directory_made_anew_over_a_lower_one_is_empty);
	tcase_add_test(tcase, setgid_directories_hand_on_their_group);
	tcase_add_test(tcase, a_symlink_is_made);
	tcase_add_test(tcase, a_target_must_be_a_path);
	tcase_add_test(tcase, special_files_are_made);
	tcase_add_test(tcase, a_socket_may_have_a_long_name);
	tcase_add_test(tcase, mknod_makes_nothing_that_other_procedures_make);
	tcase_add_test(tcase, only_root_makes_devices);
	tcase_add_loop_test(tcase, a_new_name_must_be_one, 0, NMAKERS);
	tcase_add_loop_test(tcase, a_new_name_is_put_into_a_directory, 0,
	                    NMAKERS);
	tcase_add_loop_test(tcase, a_new_name_needs_write_permission, 0,
	                    NMAKERS);
	tcase_add_loop_test(tcase, nothing_is_put_into_a_directory_that_is_gone,
	                    0, NMAKERS);
	tcase_add_loop_test(tcase,
	                    the_reply_tells_the_ctime_that_is_on_the_disk, 0,
	                    NMAKERS);
	tcase_add_loop_test(tcase, nothing_is_made_on_a_read_only_export, 0,
	                    NMAKERS);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
