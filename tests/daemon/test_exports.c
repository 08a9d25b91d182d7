/*
 * veneerd with a file of exports: who may mount what, and do what there, by the
 * address that he calls from (all of 127.0.0.0/8 is this machine).
 */
#include "config.h"

#include <check.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

static struct daemon *veneerd;
static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower");
	daemon_mkdir(veneerd, "other");
	daemon_write(veneerd, "other/file", "other");
}

static void teardown(void)
{
	daemon_free(veneerd);
}

/* ---- who may what ------------------------------------------------------------ */

static const char three_kinds[] =
	"# the lab\n"
	"/export -insecure,no_root_squash,lowerdir=%1$s/lower \\\n"
	"    127.0.0.1(upperdir=%1$s/upper,workdir=%1$s/work) \\\n"
	"    127.0.0.2(ro,upperdir=%1$s/upper,workdir=%1$s/work) \\\n"
	"    127.1.0.0/16(lowerdir=%1$s/other,statedir=%1$s/state)\n";

START_TEST(each_client_has_his_own_options)
{
	struct client *writer, *reader, *other;
	char room[3][64];
	nfs_fh3 one, two, three;
	nfs_fh3 file;

	serve(veneerd, three_kinds);
	writer = call_from(veneerd, "127.0.0.1");
	reader = call_from(veneerd, "127.0.0.2");
	other = call_from(veneerd, "127.1.2.3");
	one = mount_from(writer, "/export", room[0]);
	two = mount_from(reader, "/export", room[1]);
	three = mount_from(other, "/export", room[2]);
	/* The same overlay; and another. */
	ck_assert(nfs_same_handle(one, two));
	ck_assert(!nfs_same_handle(one, three));

	file = nfs_find(writer, one, "file");
	nfs_assert_text(writer, file, "lower");
	ck_assert_int_eq(
		nfs_write(writer, file, 0, "upper", 5, UNSTABLE)->status,
		NFS3_OK);
	nfs_assert_text(reader, nfs_find(reader, two, "file"), "upper");
	nfs_assert_text(other, nfs_find(other, three, "file"), "other");

	ck_assert_int_eq(nfs_write(reader, file, 0, "x", 1, UNSTABLE)->status,
	                 NFS3ERR_ROFS);
	ck_assert_int_eq(nfs_setattr(reader, file, set_mode(0600))->status,
	                 NFS3ERR_ROFS);
	ck_assert_int_eq(nfs_mkdir(reader, two, "new", set_mode(0755))->status,
	                 NFS3ERR_ROFS);
	ck_assert_int_eq(nfs_remove(reader, two, "file")->status, NFS3ERR_ROFS);
	ck_assert_int_eq(nfs_rename(reader, two, "file", two, "moved")->status,
	                 NFS3ERR_ROFS);
	ck_assert_int_eq(nfs_link(reader, file, two, "linked")->status,
	                 NFS3ERR_ROFS);
	nfs_assert_text(writer, file, "upper");
	client_free(writer);
	client_free(reader);
	client_free(other);
}
END_TEST

START_TEST(a_handle_is_worth_nothing_to_others)
{
	struct client *writer, *other, *nobody;
	char room[2][64];
	nfs_fh3 one, three;

	serve(veneerd, three_kinds);
	writer = call_from(veneerd, "127.0.0.1");
	other = call_from(veneerd, "127.1.2.3");
	nobody = call_from(veneerd, "127.2.0.1");
	one = mount_from(writer, "/export", room[0]);
	three = mount_from(other, "/export", room[1]);
	ck_assert_int_eq(nfs_getattr(other, one)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_getattr(writer, three)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_getattr(nobody, one)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_getattr(nobody, three)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_mnt(nobody, "/export")->fhs_status, MNT3ERR_ACCES);
	ck_assert_int_eq(nfs_mnt(nobody, "/none")->fhs_status, MNT3ERR_NOENT);
	ck_assert_int_eq(nfs_getattr(writer, one)->status, NFS3_OK);
	client_free(writer);
	client_free(other);
	client_free(nobody);
}
END_TEST

/* Both exports are below one directory, which neither leads to. */
START_TEST(nobody_leaves_his_export)
{
	struct client *client;
	nfs_fh3 root, dir, sub, at;
	char room[64];

	serve(veneerd,
	      "/export -insecure,no_root_squash,lowerdir=%1$s/lower,"
	      "upperdir=%1$s/upper,workdir=%1$s/work *\n"
	      "/two -insecure,ro,lowerdir=%1$s/other,statedir=%1$s/state *\n");
	client = call_from(veneerd, "127.0.0.1");
	root = mount_from(client, DAEMON_EXPORT, room);
	dir = nfs_new_dir(client, root, "dir", 0777);
	sub = nfs_new_dir(client, dir, "sub", 0777);
	/* By "..", from a directory that was moved, too. */
	ck_assert_int_eq(nfs_rename(client, dir, "sub", root, "moved")->status,
	                 NFS3_OK);
	at = sub;
	for (int i = 0; i < 4; i++)
		at = nfs_find(client, at, "..");
	ck_assert(nfs_same_handle(at, root));
	/* By moving what it is in below itself. */
	ck_assert_int_eq(nfs_rename(client, root, "moved", dir, "sub")->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_rename(client, root, "dir", sub, "dir")->status,
	                 NFS3ERR_INVAL);
	/* By a symlink: it is nothing but its text. */
	ck_assert_int_eq(nfs_symlink(client, root, "out", "../other")->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_lookup(client, nfs_find(client, root, "out"),
	                            "file")
	                         ->status,
	                 NFS3ERR_NOTDIR);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1",
	                              DAEMON_EXPORT "/out"),
	                 MNT3ERR_NOTDIR);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1",
	                              DAEMON_EXPORT "/out/file"),
	                 MNT3ERR_NOTDIR);
	/* By a path. */
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1",
	                              DAEMON_EXPORT "/../other"),
	                 MNT3ERR_INVAL);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/"),
	                 MNT3ERR_NOENT);
	/* By a handle that it made up. */
	room[12] ^= 1;
	ck_assert_int_eq(nfs_getattr(client, root)->status, NFS3ERR_BADHANDLE);
	client_free(client);
}
END_TEST

/* One overlay moves by no path into another. */
START_TEST(paths_have_overlays_of_their_own)
{
	struct client *client;
	char room[2][64];
	nfs_fh3 one, two;

	serve(veneerd,
	      "/second 127.0.0.1(insecure,no_root_squash,lowerdir=%1$s/other,"
	      "statedir=%1$s/state)\n"
	      "/export 127.0.0.1(insecure,no_root_squash,lowerdir=%1$s/lower,"
	      "upperdir=%1$s/upper,workdir=%1$s/work)\n");
	client = call_from(veneerd, "127.0.0.1");
	one = mount_from(client, "/export", room[0]);
	two = mount_from(client, "/second", room[1]);
	nfs_assert_text(client, nfs_find(client, one, "file"), "lower");
	nfs_assert_text(client, nfs_find(client, two, "file"), "other");
	ck_assert_int_eq(nfs_rename(client, one, "file", two, "file")->status,
	                 NFS3ERR_XDEV);
	ck_assert_int_eq(nfs_link(client, nfs_find(client, one, "file"), two,
	                          "x")
	                         ->status,
	                 NFS3ERR_XDEV);
	client_free(client);
}
END_TEST

/* ---- by name ----------------------------------------------------------------- */

/* This machine calls itself so: in /etc/hosts, nearly everywhere. */
static bool has_localhost(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char name[NI_MAXHOST];

	return getnameinfo((struct sockaddr *)&in, sizeof(in), name,
	                   sizeof(name), NULL, 0, NI_NAMEREQD) == 0 &&
	       strcmp(name, "localhost") == 0;
}

START_TEST(hosts_are_known_by_their_names)
{
	if (!has_localhost()) {
		puts("hosts_are_known_by_their_names: skipped: no localhost");
		return;
	}
	serve(veneerd,
	      "/host localhost(insecure,lowerdir=%1$s/lower,statedir=%1$s/a)\n"
	      "/wild local*(insecure,lowerdir=%1$s/lower,statedir=%1$s/b)\n"
	      "/group @veneer-none(insecure,lowerdir=%1$s/lower,"
	      "statedir=%1$s/c)\n"
	      "/export *(insecure,lowerdir=%1$s/lower,statedir=%1$s/d)\n");
	for (unsigned i = 0; i < 2; i++) { /* asked, and known */
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/host"),
		                 MNT3_OK);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/wild"),
		                 MNT3_OK);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/group"),
		                 MNT3ERR_ACCES);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.77", "/host"),
		                 MNT3ERR_ACCES);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.77", "/wild"),
		                 MNT3ERR_ACCES);
	}
}
END_TEST

/* The machines of a group, as the system has it: in files, here. */
START_TEST(netgroups_are_asked)
{
	if (geteuid() != 0) {
		puts("netgroups_are_asked: skipped: not root");
		return;
	}
	daemon_mkdir(veneerd, "etc");
	daemon_write(veneerd, "etc/nsswitch.conf",
	             "hosts: files\nnetgroup: files\n");
	daemon_write(veneerd, "etc/passwd", "root:x:0:0::/:/bin/sh\n");
	daemon_write(veneerd, "etc/hosts",
	             "127.0.0.1 first.example\n127.0.0.2 second.example\n"
	             "127.0.0.3 third.example\n");
	daemon_write(veneerd, "etc/netgroup",
	             "lab (first.example,,) more\n"
	             "more (second.example,,)\n");
	put_over(veneerd, "etc", "/etc");
	serve(veneerd, "/export @lab(insecure,lowerdir=%1$s/lower,"
	               "statedir=%1$s/a) second.example(insecure,ro,"
	               "lowerdir=%1$s/lower,statedir=%1$s/a)\n");
	for (unsigned i = 0; i < 2; i++) { /* asked, and known */
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/export"),
		                 MNT3_OK);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.2", "/export"),
		                 MNT3_OK);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.3", "/export"),
		                 MNT3ERR_ACCES);
		ck_assert_int_eq(mount_status(veneerd, "127.0.0.4", "/export"),
		                 MNT3ERR_ACCES);
	}
}
END_TEST

static mountstat3 status_by_ipv6(const char *path)
{
	struct client *client = call_by_ipv6(veneerd);
	mountstat3 status = nfs_mnt(client, path)->fhs_status;

	client_free(client);
	return status;
}

START_TEST(addresses_of_ipv6_are_clients)
{
	const char *const arguments[] = { "-b", "::1", "-e", exports, NULL };
	char path[PATH_MAX], room[64];
	struct client *client;
	nfs_fh3 root;

	if (access("/proc/net/if_inet6", F_OK) != 0) {
		puts("addresses_of_ipv6_are_clients: skipped: no IPv6");
		return;
	}
	write_exports(
		veneerd,
		"/export ::1(insecure,no_root_squash,lowerdir=%1$s/lower,"
		"upperdir=%1$s/upper,workdir=%1$s/work) ::/0(insecure,ro,"
		"lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work)\n"
		"/network ::/96(insecure,lowerdir=%1$s/lower,statedir=%1$s/a)\n"
		"/other 2001:db8::/32(insecure,lowerdir=%1$s/lower,"
		"statedir=%1$s/b)\n"
		"/four 127.0.0.0/8(insecure,lowerdir=%1$s/lower,"
		"statedir=%1$s/c)\n"
		"/each ::1(insecure,no_root_squash,lowerdir=%1$s/lower,"
		"upperdir=%1$s/up/%%a,workdir=%1$s/works/%%a,statedir=%1$s/d)\n");
	daemon_serve(veneerd, arguments);
	ck_assert_int_eq(status_by_ipv6("/network"), MNT3_OK);
	ck_assert_int_eq(status_by_ipv6("/other"), MNT3ERR_ACCES);
	ck_assert_int_eq(status_by_ipv6("/four"), MNT3ERR_ACCES);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/four"), MNT3_OK);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/network"),
	                 MNT3ERR_ACCES);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.1", "/export"),
	                 MNT3ERR_ACCES);
	/* The most specific counts, which is not the read-only one. */
	client = call_by_ipv6(veneerd);
	root = mount_from(client, "/export", room);
	nfs_new_file(client, root, "new", 0644);
	root = mount_from(client, "/each", room);
	nfs_new_file(client, root, "own", 0644);
	client_free(client);
	daemon_path(veneerd, "up/::1/own", path);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

/* ---- what is told -------------------------------------------------------------- */

START_TEST(clients_are_listed)
{
	struct client *client;
	exportlist *list, at;

	serve(veneerd, "/open *(insecure,lowerdir=%1$s/lower,statedir=%1$s/a)\n"
	               "/export -insecure,lowerdir=%1$s/lower,statedir=%1$s/b "
	               "@group 10.0.0.0/8 pc7.example\n");
	client = call_from(veneerd, "127.0.0.1");
	list = client_call_bytes(client, MOUNT_PROGRAM, MOUNT_V3,
	                         MOUNTPROC3_EXPORT, NULL, 0,
	                         (xdrproc_t)xdr_exportlist, sizeof(*list));
	at = *list;
	ck_assert_ptr_nonnull(at);
	ck_assert_str_eq(at->ex_dir, "/open");
	ck_assert_ptr_null(at->ex_groups);
	at = at->ex_next;
	ck_assert_ptr_nonnull(at);
	ck_assert_str_eq(at->ex_dir, "/export");
	ck_assert_str_eq(at->ex_groups->gr_name, "pc7.example");
	ck_assert_str_eq(at->ex_groups->gr_next->gr_name, "10.0.0.0/8");
	ck_assert_str_eq(at->ex_groups->gr_next->gr_next->gr_name, "@group");
	ck_assert_ptr_null(at->ex_groups->gr_next->gr_next->gr_next);
	ck_assert_ptr_null(at->ex_next);
	client_free(client);
}
END_TEST

static int check_file(char *text, size_t size)
{
	const char *const arguments[] = { "--check", "-e", exports, NULL };

	return daemon_run(arguments, text, size);
}

START_TEST(a_file_is_printed_as_understood)
{
	char once[8192], twice[8192];

	write_exports(veneerd,
	              "/\"two words\" -lowerdir=/a\\:b:/c\\,d::/e\\040f \\\n"
	              "  10.0.0.0/8(ro,anonuid=7) @g(upperdir=/u,workdir=/w,"
	              "async,cache=never,metacopy=off)\n"
	              "/b *(insecure,no_root_squash,upperdir=/back\\\\slash,"
	              "workdir=/w,redirect_dir=off,all_squash)\n");
	ck_assert_msg(check_file(once, sizeof(once)) == 0, "%s", once);
	ck_assert_ptr_nonnull(
		strstr(once, "/two\\040words 10.0.0.0/8(ro,sync,"));
	ck_assert_ptr_nonnull(strstr(once, "/two\\040words @g(rw,async,"));
	ck_assert_ptr_nonnull(strstr(once, "anonuid=7"));
	/* What is printed means what was meant. */
	daemon_write(veneerd, "exports", once);
	ck_assert_msg(check_file(twice, sizeof(twice)) == 0, "%s", twice);
	ck_assert_str_eq(once, twice);
}
END_TEST

START_TEST(what_is_wrong_with_a_file_is_told)
{
	char text[4096], where[PATH_MAX + 64];

	write_exports(veneerd,
	              "/a *(lowerdir=/l)\n/b *(lowerdir=/l,\\\n  ro)\n");
	ck_assert_int_eq(check_file(text, sizeof(text)), 1);
	snprintf(where, sizeof(where), "%s:3:1: a blank among options",
	         exports);
	ck_assert_msg(strstr(text, where) != NULL, "%s", text);
	write_exports(veneerd,
	              "/a -lowerdir=/l,statedir=/s b(sync) c(async)\n");
	ck_assert_int_eq(check_file(text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(
		strstr(text, ":1:37: client \"c\" of /a: line 1 has the same "
	                     "layers for \"b\", with another sync, async or "
	                     "volatile"));
	write_exports(veneerd, "# nothing\n");
	ck_assert_int_eq(check_file(text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, "nothing is exported"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exports");
	TCase *tcase = tcase_create("exports");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, each_client_has_his_own_options);
	tcase_add_test(tcase, a_handle_is_worth_nothing_to_others);
	tcase_add_test(tcase, nobody_leaves_his_export);
	tcase_add_test(tcase, paths_have_overlays_of_their_own);
	tcase_add_test(tcase, hosts_are_known_by_their_names);
	tcase_add_test(tcase, netgroups_are_asked);
	tcase_add_test(tcase, addresses_of_ipv6_are_clients);
	tcase_add_test(tcase, clients_are_listed);
	tcase_add_test(tcase, a_file_is_printed_as_understood);
	tcase_add_test(tcase, what_is_wrong_with_a_file_is_told);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
