/*
 * An export of which each client has an overlay of his own: one line of a file gives
 * each machine of a lab its own upper over the one golden image.
 */
#include "config.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/lib/suite.h"

static struct daemon *veneerd;
static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower");
	daemon_mkdir(veneerd, "lower/dir");
	daemon_write(veneerd, "lower/dir/inner", "inner");
}

static void teardown(void)
{
	daemon_free(veneerd);
}

static bool exists(const char *name)
{
	char path[PATH_MAX];

	return access(daemon_path(veneerd, name, path), F_OK) == 0;
}

static const char lab[] =
	"/export -insecure,no_root_squash,lowerdir=%1$s/lower,"
	"upperdir=%1$s/uppers/%%a,workdir=%1$s/works/%%a,"
	"statedir=%1$s/state 127.0.0.0/16 127.1.0.0/16(ro)\n";

struct machine {
	struct client *client;
	char room[64]; /* of the root's handle */
	nfs_fh3 root;
};

/* Where it is when it has mounted. */
static void mount_as(struct machine *machine, const char *address)
{
	machine->client = call_from(veneerd, address);
	machine->root = mount_from(machine->client, "/export", machine->room);
}

/* ---- each his own ---------------------------------------------------------------- */

START_TEST(each_machine_has_its_own_changes)
{
	struct machine one, two;
	nfs_fh3 file;

	serve(veneerd, lab);
	ck_assert(!exists("uppers/127.0.0.1"));
	mount_as(&one, "127.0.0.1");
	ck_assert(exists("uppers/127.0.0.1"));
	ck_assert(!exists("uppers/127.0.0.2"));
	mount_as(&two, "127.0.0.2");
	ck_assert(!nfs_same_handle(one.root, two.root));

	file = nfs_find(one.client, one.root, "file");
	nfs_put_text(one.client, file, "one's");
	nfs_new_file(one.client, one.root, "new", 0644);
	nfs_assert_text(two.client, nfs_find(two.client, two.root, "file"),
	                "lower");
	ck_assert_int_eq(nfs_lookup(two.client, two.root, "new")->status,
	                 NFS3ERR_NOENT);
	nfs_put_text(two.client, nfs_find(two.client, two.root, "file"),
	             "two's");
	nfs_assert_text(one.client, file, "one's");
	ck_assert(exists("uppers/127.0.0.1/new"));
	ck_assert(!exists("uppers/127.0.0.2/new"));
	client_free(one.client);
	client_free(two.client);
}
END_TEST

START_TEST(a_handle_of_one_is_nothing_to_another)
{
	struct machine one, two;
	nfs_fh3 file;

	serve(veneerd, lab);
	mount_as(&one, "127.0.0.1");
	mount_as(&two, "127.0.0.2");
	file = nfs_find(one.client, one.root, "file");
	ck_assert_int_eq(nfs_getattr(two.client, file)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_getattr(two.client, one.root)->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(
		nfs_write(two.client, file, 0, "x", 1, UNSTABLE)->status,
		NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_rename(two.client, one.root, "file", two.root,
	                            "mine")
	                         ->status,
	                 NFS3ERR_ACCES);
	ck_assert_int_eq(nfs_link(two.client, file, two.root, "mine")->status,
	                 NFS3ERR_ACCES);
	client_free(one.client);
	client_free(two.client);
}
END_TEST

/* Of a machine that has mounted nothing, whatever handle it makes up. */
START_TEST(only_a_mount_makes_directories)
{
	struct machine one;
	struct client *other;

	serve(veneerd, lab);
	mount_as(&one, "127.0.0.1");
	other = call_from(veneerd, "127.0.0.7");
	ck_assert_int_eq(nfs_getattr(other, one.root)->status, NFS3ERR_ACCES);
	one.room[3] ^= 1; /* another export's id */
	ck_assert_int_eq(nfs_getattr(other, one.root)->status,
	                 NFS3ERR_BADHANDLE);
	ck_assert(!exists("uppers/127.0.0.7"));
	ck_assert_int_eq(mount_status(veneerd, "127.9.9.9", "/export"),
	                 MNT3ERR_ACCES);
	ck_assert(!exists("uppers/127.9.9.9"));
	client_free(one.client);
	client_free(other);
}
END_TEST

START_TEST(handles_survive_a_restart_without_a_mount)
{
	const char *const arguments[] = { "-e", exports, NULL };
	struct machine one;
	char room[64];
	nfs_fh3 file;

	serve(veneerd, lab);
	mount_as(&one, "127.0.0.1");
	file = nfs_find(one.client, one.root, "file");
	memcpy(room, file.data.data_val, file.data.data_len);
	file.data.data_val = room;
	nfs_put_text(one.client, file, "one's");
	client_free(one.client);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	daemon_serve(veneerd, arguments);
	one.client = call_from(veneerd, "127.0.0.1");
	nfs_assert_text(one.client, file, "one's");
	client_free(one.client);
}
END_TEST

/* What is not his to change is as he has it. */
START_TEST(a_new_upper_looks_like_what_is_below)
{
	struct machine one;
	char path[PATH_MAX];
	fattr3 attr;

	ck_assert_int_eq(chmod(daemon_path(veneerd, "lower", path), 01750), 0);
	serve(veneerd, lab);
	mount_as(&one, "127.0.0.1");
	attr = nfs_attributes(one.client, one.root);
	ck_assert_uint_eq(attr.mode, 01750);
	client_free(one.client);
}
END_TEST

/* ---- by what they are told apart -------------------------------------------------- */

START_TEST(machines_of_a_network_may_share)
{
	struct client *client[3];
	static const char *const address[] = { "127.0.0.1", "127.0.77.1",
		                               "127.2.0.1" };
	char room[3][64];
	nfs_fh3 root[3];

	serve(veneerd, "/export -insecure,no_root_squash,lowerdir=%1$s/lower,"
	               "upperdir=%1$s/up%%%%er-%%n,workdir=%1$s/work-%%n,"
	               "statedir=%1$s/state 127.0.0.0/16 127.2.0.0/16\n");
	for (int i = 0; i < 3; i++) {
		client[i] = call_from(veneerd, address[i]);
		root[i] = mount_from(client[i], "/export", room[i]);
	}
	ck_assert(nfs_same_handle(root[0], root[1]));
	ck_assert(!nfs_same_handle(root[0], root[2]));
	ck_assert(exists("up%er-127.0.0.0-16"));
	ck_assert(exists("up%er-127.2.0.0-16"));
	nfs_new_file(client[0], root[0], "new", 0644);
	nfs_find(client[1], root[1], "new");
	for (int i = 0; i < 3; i++)
		client_free(client[i]);
}
END_TEST

/* The system may say otherwise, or nothing. */
static bool is_localhost(const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	char name[NI_MAXHOST];

	inet_pton(AF_INET, address, &in.sin_addr);
	return getnameinfo((struct sockaddr *)&in, sizeof(in), name,
	                   sizeof(name), NULL, 0, NI_NAMEREQD) == 0 &&
	       strcmp(name, "localhost") == 0;
}

START_TEST(machines_may_be_told_apart_by_name)
{
	struct client *client;
	char room[64];

	if (!is_localhost("127.0.0.1") || is_localhost("127.8.8.8")) {
		puts("machines_may_be_told_apart_by_name: skipped: no localhost");
		return;
	}
	serve(veneerd, "/export -insecure,no_root_squash,lowerdir=%1$s/lower,"
	               "upperdir=%1$s/up/%%h,workdir=%1$s/work/%%h,"
	               "statedir=%1$s/state *\n");
	client = call_from(veneerd, "127.0.0.1");
	mount_from(client, "/export", room);
	ck_assert(exists("up/localhost"));
	/* It has no name. */
	ck_assert_int_eq(mount_status(veneerd, "127.8.8.8", "/export"),
	                 MNT3ERR_ACCES);
	client_free(client);
}
END_TEST

START_TEST(lower_layers_may_be_each_machine_s_own)
{
	struct client *client;
	char room[64];
	nfs_fh3 root;

	daemon_mkdir(veneerd, "own");
	daemon_mkdir(veneerd, "own/127.0.0.1");
	daemon_write(veneerd, "own/127.0.0.1/name", "one");
	serve(veneerd, "/export -insecure,lowerdir=%1$s/own/%%a:%1$s/lower,"
	               "statedir=%1$s/state/%%a *\n");
	client = call_from(veneerd, "127.0.0.1");
	root = mount_from(client, "/export", room);
	nfs_assert_text(client, nfs_find(client, root, "name"), "one");
	nfs_assert_text(client, nfs_find(client, root, "file"), "lower");
	/* There is no such layer. */
	ck_assert_int_ne(mount_status(veneerd, "127.0.0.2", "/export"),
	                 MNT3_OK);
	client_free(client);
}
END_TEST

/* ---- read again ------------------------------------------------------------------- */

START_TEST(a_new_layer_on_top_comes_to_all)
{
	struct machine one;
	nfs_fh3 file;
	nfstime3 before;
	nfsstat3 status = NFS3ERR_JUKEBOX;

	daemon_mkdir(veneerd, "newer");
	daemon_write(veneerd, "newer/added", "added");
	serve(veneerd, lab);
	mount_as(&one, "127.0.0.1");
	file = nfs_find(one.client, one.root, "file");
	nfs_put_text(one.client, file, "one's");
	before = nfs_attributes(one.client, one.root).ctime;
	write_exports(veneerd,
	              "/export -insecure,no_root_squash,"
	              "lowerdir=%1$s/newer:%1$s/lower,"
	              "upperdir=%1$s/uppers/%%a,workdir=%1$s/works/%%a,"
	              "statedir=%1$s/state 127.0.0.0/16\n");
	ck_assert_int_eq(kill(veneerd->pid, SIGHUP), 0);
	daemon_await_log(veneerd, "in force");
	for (int i = 0; i < 2000 && status == NFS3ERR_JUKEBOX; i++) {
		usleep(10000);
		status = nfs_lookup(one.client, one.root, "added")->status;
	}
	ck_assert_int_eq(status, NFS3_OK);
	/* Who knew that there was no such name looks again. */
	ck_assert(nfs_is_later(nfs_attributes(one.client, one.root).ctime,
	                       before));
	nfs_assert_text(one.client, file, "one's");
	client_free(one.client);
}
END_TEST

/* ---- what is wrong --------------------------------------------------------------- */

static const struct wrong {
	const char *options, *why;
} wrongs[] = {
	{ "lowerdir=/l,upperdir=/u/%%x,workdir=/w/%%x", "comes a, h or n" },
	{ "lowerdir=/l,upperdir=/u/%%a,workdir=/w", "hold the same" },
	{ "lowerdir=/l/%%a,upperdir=/u,workdir=/w", "upperdir= does not" },
	{ "lowerdir=/l,upperdir=/u/%%a,workdir=/w/%%a,statedir=/s/%%a",
	  "of all clients together" },
	{ "lowerdir=/l,upperdir=/u/%%n,workdir=/w/%%n", "is no network" },
};
#define NWRONGS (int)(sizeof(wrongs) / sizeof(wrongs[0]))

START_TEST(what_makes_no_sense_is_refused)
{
	const char *const arguments[] = { "--check", "-e", exports, NULL };
	char line[1024], text[4096];

	snprintf(line, sizeof(line), "/export *(%s)\n", wrongs[_i].options);
	write_exports(veneerd, line);
	ck_assert_int_eq(daemon_run(arguments, text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, wrongs[_i].why) != NULL, "%s", text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("per_client");
	TCase *tcase = tcase_create("per_client");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, each_machine_has_its_own_changes);
	tcase_add_test(tcase, a_handle_of_one_is_nothing_to_another);
	tcase_add_test(tcase, only_a_mount_makes_directories);
	tcase_add_test(tcase, handles_survive_a_restart_without_a_mount);
	tcase_add_test(tcase, a_new_upper_looks_like_what_is_below);
	tcase_add_test(tcase, machines_of_a_network_may_share);
	tcase_add_test(tcase, machines_may_be_told_apart_by_name);
	tcase_add_test(tcase, lower_layers_may_be_each_machine_s_own);
	tcase_add_test(tcase, a_new_layer_on_top_comes_to_all);
	tcase_add_loop_test(tcase, what_makes_no_sense_is_refused, 0, NWRONGS);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
