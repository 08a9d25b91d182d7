#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <rpc/rpc.h>

#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#define FIRST_PROC NFSPROC3_GETATTR
#define LAST_PROC NFSPROC3_COMMIT
#define MAX_ARGS 4096

static struct fixture *fixture;
static struct client *client;
static nfs_fh3 root, file, dir;

static void start(const char *options)
{
	fixture_start(fixture, options, true);
	client = fixture->client;
	root = nfs_root(client);
	file = nfs_find(client, root, "file");
	dir = nfs_find(client, root, "dir");
}

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_write(fixture, "lower0/file", "text", 0644);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_write(fixture, "lower0/dir/inner", "inner", 0644);
	start(FIXTURE_OPTIONS);
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* The server is as it was: it answers, and nothing has changed. */
static void assert_unharmed(void)
{
	struct client *other = fixture_connect(fixture);

	nfs_assert_text(other, file, "text");
	ck_assert_int_eq(nfs_lookup(other, dir, "inner")->status, NFS3_OK);
	client_free(other);
}

/* ---- arguments of every procedure ------------------------------------------- */

/* Arguments in the making. */
static _Alignas(8) char args[MAX_ARGS];
static XDR xdr;

static void begin_args(void)
{
	memset(args, 0, sizeof(args));
	xdrmem_create(&xdr, args, sizeof(args), XDR_ENCODE);
}

static void put_word(uint32_t word)
{
	ck_assert(xdr_uint32_t(&xdr, &word));
}

static void put_words(int n)
{
	while (n-- > 0)
		put_word(0);
}

static void put_bytes(const char *bytes, u_int len)
{
	ck_assert(xdr_bytes(&xdr, (char **)&bytes, &len, UINT32_MAX));
}

static void put_handle(nfs_fh3 fh)
{
	put_bytes(fh.data.data_val, fh.data.data_len);
}

/* A sattr3 that sets nothing has six words. */
#define SATTR_WORDS 6

/*
 * Well-formed arguments of a procedure: its handles are all `fh`, its names all
 * `name`, the rest is 0.
 */
static void put_args(uint32_t proc, nfs_fh3 fh, const char *name, u_int len)
{
	begin_args();
	put_handle(fh);
	switch (proc) {
	case NFSPROC3_SETATTR:
		put_words(SATTR_WORDS + 1); /* no guard */
		break;
	case NFSPROC3_LOOKUP:
	case NFSPROC3_REMOVE:
	case NFSPROC3_RMDIR:
		put_bytes(name, len);
		break;
	case NFSPROC3_CREATE:
	case NFSPROC3_MKNOD:
		put_bytes(name, len);
		put_word(proc == NFSPROC3_CREATE ? (uint32_t)UNCHECKED
		                                 : (uint32_t)NF3FIFO);
		put_words(SATTR_WORDS);
		break;
	case NFSPROC3_MKDIR:
		put_bytes(name, len);
		put_words(SATTR_WORDS);
		break;
	case NFSPROC3_SYMLINK:
		put_bytes(name, len);
		put_words(SATTR_WORDS);
		put_bytes("target", 6);
		break;
	case NFSPROC3_RENAME:
		put_bytes(name, len);
		put_handle(fh);
		put_bytes(name, len);
		break;
	case NFSPROC3_LINK:
		put_handle(fh);
		put_bytes(name, len);
		break;
	case NFSPROC3_READDIR:
	case NFSPROC3_WRITE:
		put_words(5);
		break;
	case NFSPROC3_READDIRPLUS:
		put_words(6);
		break;
	case NFSPROC3_READ:
	case NFSPROC3_COMMIT:
		put_words(3);
		break;
	case NFSPROC3_ACCESS:
		put_words(1);
		break;
	default:
		break;
	}
}

/* The status of the procedure with the arguments made before. */
static nfsstat3 call_status(struct client *by, uint32_t proc)
{
	return *(nfsstat3 *)nfs_call_bytes(by, proc, args, xdr_getpos(&xdr));
}

static struct client_reply call_raw(uint32_t prog, uint32_t vers, uint32_t proc,
                                    size_t len)
{
	client_send(client, prog, vers, proc, args, len);
	return client_receive(client, client->xid, NULL);
}

static void assert_accept(struct client_reply reply, enum accept_stat stat)
{
	ck_assert(!reply.denied);
	ck_assert_uint_eq(reply.stat, stat);
}

/* ---- arguments that do not decode ------------------------------------------- */

START_TEST(arguments_cut_short_are_garbage)
{
	size_t whole;

	put_args((uint32_t)_i, file, "name", 4);
	whole = xdr_getpos(&xdr);
	for (size_t len = 0; len < whole; len += 4)
		assert_accept(call_raw(NFS_PROGRAM, NFS_V3, (uint32_t)_i, len),
		              GARBAGE_ARGS);
	assert_unharmed();
}
END_TEST

START_TEST(a_handle_of_more_than_64_bytes_is_garbage)
{
	char bytes[1024] = { 0 };
	const u_int sizes[] = { 65, 68, 128, 1024 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const nfs_fh3 fh = { { sizes[i], bytes } };

		put_args((uint32_t)_i, fh, "name", 4);
		assert_accept(call_raw(NFS_PROGRAM, NFS_V3, (uint32_t)_i,
		                       xdr_getpos(&xdr)),
		              GARBAGE_ARGS);
	}
}
END_TEST

START_TEST(choices_that_do_not_exist_are_garbage)
{
	begin_args();
	put_handle(dir);
	put_bytes("new", 3);
	put_word(3); /* CREATE: neither unchecked, guarded nor exclusive */
	put_words(SATTR_WORDS);
	assert_accept(call_raw(NFS_PROGRAM, NFS_V3, NFSPROC3_CREATE,
	                       xdr_getpos(&xdr)),
	              GARBAGE_ARGS);
	begin_args();
	put_handle(file);
	put_words(4);
	put_word(3); /* SETATTR: time_how */
	put_words(8);
	assert_accept(call_raw(NFS_PROGRAM, NFS_V3, NFSPROC3_SETATTR,
	                       xdr_getpos(&xdr)),
	              GARBAGE_ARGS);
	assert_unharmed();
}
END_TEST

/* Whatever comes, there is an answer, and the server lives. */
START_TEST(random_arguments_are_answered)
{
	uint64_t state = test_seed();
	uint32_t proc, *words = (uint32_t *)args;

	for (int i = 0; i < 5000; i++) {
		size_t len = test_random(&state) % 256;
		struct client_reply reply;

		proc = (uint32_t)(test_random(&state) % (LAST_PROC + 1));
		put_args(proc, test_random(&state) % 2 ? file : dir, "name", 4);
		/* A few words of what was well-formed, or all of it. */
		for (size_t n = test_random(&state) % 4; n > 0; n--)
			words[9 + test_random(&state) % 24] =
				(uint32_t)test_random(&state) %
				(test_random(&state) % 2 ? 8 : UINT32_MAX);
		/* Nothing that removes what the others need. */
		if (proc == NFSPROC3_REMOVE || proc == NFSPROC3_RENAME ||
		    proc == NFSPROC3_RMDIR || proc == NFSPROC3_WRITE ||
		    proc == NFSPROC3_SETATTR)
			continue;
		reply = call_raw(NFS_PROGRAM, NFS_V3, proc, len);
		ck_assert(!reply.denied);
		ck_assert(reply.stat == SUCCESS || reply.stat == GARBAGE_ARGS);
	}
	assert_unharmed();
}
END_TEST

/* ---- handles ---------------------------------------------------------------- */

/*
 * The bytes of a failure that has no attributes to tell: the status, and FALSE
 * for each post_op_attr and pre_op_attr that RFC 1813 puts behind it.
 */
static size_t bare_failure_bytes(uint32_t proc)
{
	switch (proc) {
	case NFSPROC3_GETATTR:
		return 4;
	case NFSPROC3_SETATTR:
	case NFSPROC3_WRITE:
	case NFSPROC3_CREATE:
	case NFSPROC3_MKDIR:
	case NFSPROC3_SYMLINK:
	case NFSPROC3_MKNOD:
	case NFSPROC3_REMOVE:
	case NFSPROC3_RMDIR:
	case NFSPROC3_COMMIT:
		return 4 + 8; /* wcc_data */
	case NFSPROC3_RENAME:
		return 4 + 8 + 8;
	case NFSPROC3_LINK:
		return 4 + 4 + 8;
	default:
		return 4 + 4; /* post_op_attr */
	}
}

/* Trap 24: every failure arm is encoded whole, and nothing follows it. */
static void assert_bare_failure(struct client *by, uint32_t proc,
                                nfsstat3 status)
{
	ck_assert_msg(call_status(by, proc) == status, "procedure %u", proc);
	ck_assert_uint_eq(client_result_bytes(by), bare_failure_bytes(proc));
}

START_TEST(a_mangled_handle_is_a_bad_one)
{
	nfs_fh3 mangled = { { 32, NULL } };
	char bytes[64] = { 0 };

	mangled.data.data_val = bytes;
	for (int byte = 0; byte < 32; byte++) {
		memcpy(bytes, dir.data.data_val, 32);
		bytes[byte] ^= 0x10;
		put_args((uint32_t)_i, mangled, "name", 4);
		assert_bare_failure(client, (uint32_t)_i, NFS3ERR_BADHANDLE);
	}
	memcpy(bytes, dir.data.data_val, 32);
	for (u_int len = 0; len <= 64; len += 4) {
		if (len == 32)
			continue;
		mangled.data.data_len = len;
		put_args((uint32_t)_i, mangled, "name", 4);
		assert_bare_failure(client, (uint32_t)_i, NFS3ERR_BADHANDLE);
	}
}
END_TEST

START_TEST(a_handle_of_what_is_gone_is_stale)
{
	nfs_fh3 gone = nfs_new_dir(client, root, "gone", 0755);

	ck_assert_int_eq(nfs_rmdir(client, root, "gone")->status, NFS3_OK);
	put_args((uint32_t)_i, gone, "name", 4);
	assert_bare_failure(client, (uint32_t)_i, NFS3ERR_STALE);
}
END_TEST

/* `second` is no handle of a directory that is there. */
static void assert_second_refused(nfs_fh3 second, nfsstat3 status)
{
	RENAME3res *rename = nfs_rename(client, root, "file", second, "x");
	LINK3res *link = nfs_link(client, file, second, "x");

	ck_assert_int_eq(rename->status, status);
	nfs_assert_attr(&rename->RENAME3res_u.resfail.fromdir_wcc.after,
	                nfs_attributes(client, root).fileid);
	ck_assert(!rename->RENAME3res_u.resfail.todir_wcc.after
	                   .attributes_follow);
	ck_assert_int_eq(link->status, status);
	nfs_assert_attr(&link->LINK3res_u.resfail.file_attributes,
	                nfs_attributes(client, file).fileid);
	ck_assert(
		!link->LINK3res_u.resfail.linkdir_wcc.after.attributes_follow);
	assert_unharmed();
}

START_TEST(the_second_handle_is_looked_at_too)
{
	char bytes[32] = { 0 };
	const nfs_fh3 bad = { { 32, bytes } };
	nfs_fh3 gone = nfs_new_dir(client, root, "gone", 0755);

	ck_assert_int_eq(nfs_rmdir(client, root, "gone")->status, NFS3_OK);
	assert_second_refused(bad, NFS3ERR_BADHANDLE);
	assert_second_refused(gone, NFS3ERR_STALE);
}
END_TEST

/* ---- names ------------------------------------------------------------------ */

static bool takes_name(uint32_t proc)
{
	switch (proc) {
	case NFSPROC3_LOOKUP:
	case NFSPROC3_CREATE:
	case NFSPROC3_MKDIR:
	case NFSPROC3_SYMLINK:
	case NFSPROC3_MKNOD:
	case NFSPROC3_REMOVE:
	case NFSPROC3_RMDIR:
	case NFSPROC3_RENAME:
	case NFSPROC3_LINK:
		return true;
	default:
		return false;
	}
}

static void assert_name(uint32_t proc, const char *name, u_int len,
                        nfsstat3 status)
{
	put_args(proc, dir, name, len);
	ck_assert_msg(call_status(client, proc) == status, "procedure %u",
	              proc);
}

START_TEST(names_that_are_none_are_refused)
{
	char name[MAX_ARGS / 4];

	if (!takes_name((uint32_t)_i))
		return;
	memset(name, 'n', sizeof(name));
	assert_name((uint32_t)_i, "", 0, NFS3ERR_ACCES);
	assert_name((uint32_t)_i, "/", 1, NFS3ERR_ACCES);
	assert_name((uint32_t)_i, "a/b", 3, NFS3ERR_ACCES);
	assert_name((uint32_t)_i, "inner\0x", 7, NFS3ERR_ACCES);
	assert_name((uint32_t)_i, "inner\0", 6, NFS3ERR_ACCES);
	assert_name((uint32_t)_i, "\0", 1, NFS3ERR_ACCES);
	assert_name((uint32_t)_i, name, 256, NFS3ERR_NAMETOOLONG);
	assert_name((uint32_t)_i, name, sizeof(name), NFS3ERR_NAMETOOLONG);
	assert_unharmed();
}
END_TEST

START_TEST(dot_and_dotdot_are_answered_by_procedure)
{
	static const struct {
		uint32_t proc;
		nfsstat3 dot, dotdot;
	} table[] = {
		{ NFSPROC3_LOOKUP, NFS3_OK, NFS3_OK },
		{ NFSPROC3_CREATE, NFS3ERR_EXIST, NFS3ERR_EXIST },
		{ NFSPROC3_MKDIR, NFS3ERR_EXIST, NFS3ERR_EXIST },
		{ NFSPROC3_SYMLINK, NFS3ERR_EXIST, NFS3ERR_EXIST },
		{ NFSPROC3_MKNOD, NFS3ERR_EXIST, NFS3ERR_EXIST },
		{ NFSPROC3_LINK, NFS3ERR_EXIST, NFS3ERR_EXIST },
		{ NFSPROC3_REMOVE, NFS3ERR_ACCES, NFS3ERR_ACCES },
		{ NFSPROC3_RMDIR, NFS3ERR_INVAL, NFS3ERR_EXIST },
		{ NFSPROC3_RENAME, NFS3ERR_INVAL, NFS3ERR_INVAL },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_name(table[i].proc, ".", 1, table[i].dot);
		assert_name(table[i].proc, "..", 2, table[i].dotdot);
	}
	assert_unharmed();
}
END_TEST

START_TEST(a_target_with_nul_is_refused)
{
	begin_args();
	put_handle(dir);
	put_bytes("new", 3);
	put_words(SATTR_WORDS);
	put_bytes("tar\0get", 7);
	ck_assert_int_eq(call_status(client, NFSPROC3_SYMLINK), NFS3ERR_INVAL);
	ck_assert_int_eq(nfs_lookup(client, dir, "new")->status, NFS3ERR_NOENT);
}
END_TEST

/* ---- clients that are not admitted ------------------------------------------- */

START_TEST(a_valid_handle_does_not_help_from_a_port_that_is_not_admitted)
{
	struct client *high;

	fixture_stop(fixture);
	start("secure,no_root_squash");
	high = fixture_connect_tcp(fixture, false);
	for (uint32_t proc = FIRST_PROC; proc <= LAST_PROC; proc++) {
		put_args(proc, dir, "name", 4);
		assert_bare_failure(high, proc, NFS3ERR_ACCES);
	}
	client_free(high);
	assert_unharmed();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bad_input");
	TCase *tcase = tcase_create("bad_input");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, arguments_cut_short_are_garbage, FIRST_PROC,
	                    LAST_PROC + 1);
	tcase_add_loop_test(tcase, a_handle_of_more_than_64_bytes_is_garbage,
	                    FIRST_PROC, LAST_PROC + 1);
	tcase_add_test(tcase, choices_that_do_not_exist_are_garbage);
	tcase_add_test(tcase, random_arguments_are_answered);
	tcase_add_loop_test(tcase, a_mangled_handle_is_a_bad_one, FIRST_PROC,
	                    LAST_PROC + 1);
	tcase_add_loop_test(tcase, a_handle_of_what_is_gone_is_stale,
	                    FIRST_PROC, LAST_PROC + 1);
	tcase_add_test(tcase, the_second_handle_is_looked_at_too);
	tcase_add_loop_test(tcase, names_that_are_none_are_refused, FIRST_PROC,
	                    LAST_PROC + 1);
	tcase_add_test(tcase, dot_and_dotdot_are_answered_by_procedure);
	tcase_add_test(tcase, a_target_with_nul_is_refused);
	tcase_add_test(
		tcase,
		a_valid_handle_does_not_help_from_a_port_that_is_not_admitted);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
