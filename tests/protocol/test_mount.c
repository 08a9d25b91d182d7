#include "config.h"

#include <check.h>
#include <rpc/auth.h>
#include <stdlib.h>
#include <string.h>

#include "server/mount_table.h"
#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct fixture *fixture;
static struct client *client;

static void setup(void)
{
	fixture = fixture_new(1);
	fixture_mkdir(fixture, "lower0/dir", 0755);
	fixture_mkdir(fixture, "lower0/dir/sub", 0700);
	fixture_mkdir(fixture, "lower0/dir/sub/leaf", 0755);
	fixture_write(fixture, "lower0/file", "text", 0644);
	fixture_symlink(fixture, "lower0/link", "dir");
	fixture_start(fixture, FIXTURE_OPTIONS, true);
	client = fixture->client;
}

static void teardown(void)
{
	fixture_free(fixture);
}

/* `path` NULL: a procedure without arguments. */
static void *mount_call(uint32_t vers, uint32_t proc, const char *path,
                        void *decode, size_t size)
{
	if (path == NULL)
		return client_call_bytes(client, MOUNT_PROGRAM, vers, proc,
		                         NULL, 0, (xdrproc_t)decode, size);
	return client_call(client, MOUNT_PROGRAM, vers, proc,
	                   (xdrproc_t)xdr_dirpath, &path, (xdrproc_t)decode,
	                   size);
}

static mountstat3 mnt_status(const char *path)
{
	return nfs_mnt(client, path)->fhs_status;
}

static mountlist dump(void)
{
	mountlist *list = mount_call(MOUNT_V3, MOUNTPROC3_DUMP, NULL,
	                             xdr_mountlist, sizeof(mountlist));

	return *list;
}

static void umnt(const char *path)
{
	mount_call(MOUNT_V3, MOUNTPROC3_UMNT, path, xdr_void, 0);
}

/* ---- MNT ------------------------------------------------------------------ */

START_TEST(the_root_of_an_export_is_mounted)
{
	nfs_fh3 root = nfs_root(client);

	ck_assert_int_eq(nfs_attributes(client, root).type, NF3DIR);
}
END_TEST

/* Trap 21. */
START_TEST(handles_have_32_bytes)
{
	ck_assert_uint_eq(nfs_root(client).data.data_len, 32);
}
END_TEST

/* Trap 26. */
START_TEST(auth_sys_is_offered_first)
{
	mountres3 *res = nfs_mnt(client, FIXTURE_EXPORT);
	mountres3_ok *ok = &res->mountres3_u.mountinfo;

	ck_assert_int_eq(res->fhs_status, MNT3_OK);
	ck_assert_uint_ge(ok->auth_flavors.auth_flavors_len, 1);
	ck_assert_int_eq(ok->auth_flavors.auth_flavors_val[0], AUTH_SYS);
}
END_TEST

START_TEST(a_directory_below_an_export_has_the_handle_that_lookup_gives)
{
	nfs_fh3 found = nfs_find(client, nfs_root(client), "dir/sub");
	mountres3 *res = nfs_mnt(client, FIXTURE_EXPORT "/dir/sub");
	fhandle3 *fh = &res->mountres3_u.mountinfo.fhandle;
	nfs_fh3 mounted = { { fh->fhandle3_len, fh->fhandle3_val } };

	ck_assert_int_eq(res->fhs_status, MNT3_OK);
	ck_assert(nfs_same_handle(found, mounted));
}
END_TEST

START_TEST(a_path_may_have_needless_slashes_and_dots)
{
	ck_assert_int_eq(mnt_status("//export///dir/./sub/"), MNT3_OK);
	ck_assert_int_eq(mnt_status("/export/"), MNT3_OK);
}
END_TEST

START_TEST(whoever_mounts_below_need_not_be_allowed_to_look_there)
{
	client_become(client, 31000, 31000);
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/dir/sub/leaf"), MNT3_OK);
}
END_TEST

START_TEST(what_is_no_directory_is_not_mounted)
{
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/file"), MNT3ERR_NOTDIR);
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/file/x"), MNT3ERR_NOTDIR);
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/link"), MNT3ERR_NOTDIR);
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/link/sub"),
	                 MNT3ERR_NOTDIR);
}
END_TEST

START_TEST(what_is_not_there_is_not_mounted)
{
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/missing"), MNT3ERR_NOENT);
	ck_assert_int_eq(mnt_status("/exports"), MNT3ERR_NOENT);
	ck_assert_int_eq(mnt_status("/"), MNT3ERR_NOENT);
}
END_TEST

START_TEST(a_path_that_could_lead_out_is_refused)
{
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/.."), MNT3ERR_INVAL);
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT "/dir/../.."),
	                 MNT3ERR_INVAL);
	ck_assert_int_eq(mnt_status("/../export"), MNT3ERR_INVAL);
	ck_assert_int_eq(mnt_status("export"), MNT3ERR_INVAL);
	ck_assert_int_eq(mnt_status(""), MNT3ERR_INVAL);
}
END_TEST

START_TEST(a_name_that_is_too_long_is_told_so)
{
	char path[512] = FIXTURE_EXPORT "/";
	const size_t prefix = strlen(path);

	memset(path + prefix, 'x', 256);
	ck_assert_int_eq(mnt_status(path), MNT3ERR_NAMETOOLONG);
	path[prefix + 255] = '\0';
	ck_assert_int_eq(mnt_status(path), MNT3ERR_NOENT);
}
END_TEST

START_TEST(a_path_of_more_than_1024_bytes_is_garbage)
{
	char args[4 + 1028];
	struct client_reply reply;
	uint32_t len = 1025;
	XDR xdr;

	memset(args, '/', sizeof(args));
	xdrmem_create(&xdr, args, sizeof(args), XDR_ENCODE);
	ck_assert(xdr_uint32_t(&xdr, &len));
	client_send(client, MOUNT_PROGRAM, MOUNT_V3, MOUNTPROC3_MNT, args,
	            sizeof(args));
	reply = client_receive(client, client->xid, NULL);
	ck_assert(!reply.denied);
	ck_assert_uint_eq(reply.stat, GARBAGE_ARGS);
}
END_TEST

START_TEST(version_1_gives_the_same_handle)
{
	nfs_fh3 root = nfs_root(client);
	fhstatus *res = mount_call(MOUNT_V1, MOUNTPROC_MNT, FIXTURE_EXPORT,
	                           xdr_fhstatus, sizeof(fhstatus));

	ck_assert_uint_eq(res->fhs_status, 0);
	ck_assert_mem_eq(res->fhstatus_u.fhs_fhandle, root.data.data_val, 32);
	res = mount_call(MOUNT_V1, MOUNTPROC_MNT, "/other", xdr_fhstatus,
	                 sizeof(fhstatus));
	ck_assert_uint_eq(res->fhs_status, 2);
}
END_TEST

/* ---- who may mount --------------------------------------------------------- */

START_TEST(a_secure_export_wants_a_privileged_port)
{
	struct client *low, *high;

	fixture_stop(fixture);
	fixture_start(fixture, "secure", true);
	high = fixture_connect_tcp(fixture, false);
	ck_assert_int_eq(nfs_mnt(high, FIXTURE_EXPORT)->fhs_status,
	                 MNT3ERR_ACCES);
	low = fixture_connect_tcp(fixture, true);
	if (low != NULL)
		ck_assert_int_eq(nfs_mnt(low, FIXTURE_EXPORT)->fhs_status,
		                 MNT3_OK);
	client_free(high);
	client_free(low);
}
END_TEST

START_TEST(an_insecure_export_takes_any_port)
{
	struct client *high = fixture_connect_tcp(fixture, false);

	ck_assert_int_eq(nfs_mnt(high, FIXTURE_EXPORT)->fhs_status, MNT3_OK);
	client_free(high);
}
END_TEST

START_TEST(a_client_without_credential_may_mount)
{
	client->flavor = AUTH_NONE;
	ck_assert_int_eq(mnt_status(FIXTURE_EXPORT), MNT3_OK);
}
END_TEST

/* ---- the other procedures --------------------------------------------------- */

START_TEST(null_does_nothing_in_both_versions)
{
	mount_call(MOUNT_V1, MOUNTPROC_NULL, NULL, xdr_void, 0);
	mount_call(MOUNT_V3, MOUNTPROC3_NULL, NULL, xdr_void, 0);
}
END_TEST

START_TEST(export_names_the_export_for_everybody)
{
	exportlist *list;

	for (int version = 1; version <= 3; version += 2) {
		list = mount_call((uint32_t)version, MOUNTPROC3_EXPORT, NULL,
		                  xdr_exportlist, sizeof(exportlist));
		ck_assert_ptr_nonnull(*list);
		ck_assert_str_eq((*list)->ex_dir, FIXTURE_EXPORT);
		ck_assert_ptr_null((*list)->ex_groups);
		ck_assert_ptr_null((*list)->ex_next);
	}
	list = mount_call(MOUNT_V1, MOUNTPROC_EXPORTALL, NULL, xdr_exportlist,
	                  sizeof(exportlist));
	ck_assert_ptr_nonnull(*list);
}
END_TEST

START_TEST(dump_lists_what_is_mounted_once)
{
	mountlist list;

	ck_assert_ptr_null(dump());
	mnt_status(FIXTURE_EXPORT "/dir");
	mnt_status(FIXTURE_EXPORT);
	mnt_status(FIXTURE_EXPORT "/dir/");
	mnt_status(FIXTURE_EXPORT "/missing");
	list = dump();
	ck_assert_ptr_nonnull(list);
	ck_assert_str_eq(list->ml_directory, FIXTURE_EXPORT);
	ck_assert_str_eq(list->ml_hostname, "local");
	list = list->ml_next;
	ck_assert_ptr_nonnull(list);
	ck_assert_str_eq(list->ml_directory, FIXTURE_EXPORT "/dir");
	ck_assert_ptr_null(list->ml_next);
}
END_TEST

START_TEST(umnt_takes_one_entry_away_and_umntall_all)
{
	mnt_status(FIXTURE_EXPORT);
	mnt_status(FIXTURE_EXPORT "/dir");
	mnt_status(FIXTURE_EXPORT "/dir/sub");
	umnt(FIXTURE_EXPORT "//dir/");
	umnt("/never/mounted");
	ck_assert_str_eq(dump()->ml_directory, FIXTURE_EXPORT);
	ck_assert_str_eq(dump()->ml_next->ml_directory,
	                 FIXTURE_EXPORT "/dir/sub");
	ck_assert_ptr_null(dump()->ml_next->ml_next);
	mount_call(MOUNT_V3, MOUNTPROC3_UMNTALL, NULL, xdr_void, 0);
	ck_assert_ptr_null(dump());
}
END_TEST

START_TEST(umntall_leaves_other_hosts_alone)
{
	struct client *other = fixture_connect_tcp(fixture, false);

	mnt_status(FIXTURE_EXPORT);
	nfs_mnt(other, FIXTURE_EXPORT);
	mount_call(MOUNT_V3, MOUNTPROC3_UMNTALL, NULL, xdr_void, 0);
	ck_assert_str_eq(dump()->ml_hostname, "127.0.0.1");
	ck_assert_ptr_null(dump()->ml_next);
	client_free(other);
}
END_TEST

/* Through the table itself: a mount has to exist, and 1024 are many. */
START_TEST(the_oldest_entry_of_a_full_table_goes)
{
	struct nfsd_mount_table *table = nfsd_mount_table_new();
	char path[32], *buffer;
	mountlist list = NULL;
	size_t bytes, n = 0;
	XDR xdr;

	for (int i = 0; i < NFSD_MOUNT_TABLE_MAX + 3; i++) {
		snprintf(path, sizeof(path), "/path%d", i);
		nfsd_mount_table_add(table, "host", path);
	}
	bytes = nfsd_mount_table_bytes(table);
	buffer = malloc(bytes);
	ck_assert_ptr_nonnull(buffer);
	xdrmem_create(&xdr, buffer, (u_int)bytes, XDR_ENCODE);
	ck_assert(nfsd_mount_table_encode(table, &xdr, bytes));
	ck_assert_uint_eq(xdr_getpos(&xdr), bytes);

	xdrmem_create(&xdr, buffer, (u_int)bytes, XDR_DECODE);
	ck_assert(xdr_mountlist(&xdr, &list));
	ck_assert_str_eq(list->ml_directory, "/path3");
	for (mountlist entry = list; entry != NULL; entry = entry->ml_next)
		n++;
	ck_assert_uint_eq(n, NFSD_MOUNT_TABLE_MAX);
	xdr_free((xdrproc_t)xdr_mountlist, &list);

	/* Where there is less room, as many as it holds. */
	xdrmem_create(&xdr, buffer, 100, XDR_ENCODE);
	ck_assert(nfsd_mount_table_encode(table, &xdr, 100));
	xdrmem_create(&xdr, buffer, xdr_getpos(&xdr), XDR_DECODE);
	ck_assert(xdr_mountlist(&xdr, &list));
	ck_assert_ptr_nonnull(list);
	xdr_free((xdrproc_t)xdr_mountlist, &list);
	free(buffer);
	nfsd_mount_table_free(table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mount");
	TCase *tcase = tcase_create("mount");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_root_of_an_export_is_mounted);
	tcase_add_test(tcase, handles_have_32_bytes);
	tcase_add_test(tcase, auth_sys_is_offered_first);
	tcase_add_test(
		tcase,
		a_directory_below_an_export_has_the_handle_that_lookup_gives);
	tcase_add_test(tcase, a_path_may_have_needless_slashes_and_dots);
	tcase_add_test(tcase,
	               whoever_mounts_below_need_not_be_allowed_to_look_there);
	tcase_add_test(tcase, what_is_no_directory_is_not_mounted);
	tcase_add_test(tcase, what_is_not_there_is_not_mounted);
	tcase_add_test(tcase, a_path_that_could_lead_out_is_refused);
	tcase_add_test(tcase, a_name_that_is_too_long_is_told_so);
	tcase_add_test(tcase, a_path_of_more_than_1024_bytes_is_garbage);
	tcase_add_test(tcase, version_1_gives_the_same_handle);
	tcase_add_test(tcase, a_secure_export_wants_a_privileged_port);
	tcase_add_test(tcase, an_insecure_export_takes_any_port);
	tcase_add_test(tcase, a_client_without_credential_may_mount);
	tcase_add_test(tcase, null_does_nothing_in_both_versions);
	tcase_add_test(tcase, export_names_the_export_for_everybody);
	tcase_add_test(tcase, dump_lists_what_is_mounted_once);
	tcase_add_test(tcase, umnt_takes_one_entry_away_and_umntall_all);
	tcase_add_test(tcase, umntall_leaves_other_hosts_alone);
	tcase_add_test(tcase, the_oldest_entry_of_a_full_table_goes);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
