/*
 * veneerd reads its file of exports again: what is the same goes on, what is gone is
 * closed, what is new is there, and what is wrong changes nothing.
 */
#include "config.h"

#include <linux/landlock.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/lib/suite.h"

#define OURS "127.0.0.1"

static struct daemon *veneerd;
static void reload(const char *format, const char *line)
{
	write_exports(veneerd, format);
	ck_assert_int_eq(kill(veneerd->pid, SIGHUP), 0);
	daemon_await_log(veneerd, line);
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0,
	               LANDLOCK_CREATE_RULESET_VERSION) >= 2;
}

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

#define EXPORT                                                  \
	"/export -insecure,no_root_squash,lowerdir=%1$s/lower," \
	"upperdir=%1$s/upper,workdir=%1$s/work *\n"
#define OTHER "/other -insecure,ro,lowerdir=%1$s/other,statedir=%1$s/state *\n"

/* ---- what is there ----------------------------------------------------------- */

START_TEST(what_is_the_same_goes_on_and_what_is_new_is_there)
{
	struct client *client;
	char room[2][64];
	nfs_fh3 root, file, other;

	serve_with(veneerd, veneerd->top, EXPORT);
	client = call_from(veneerd, OURS);
	root = mount_from(client, "/export", room[0]);
	file = nfs_new_file(client, root, "new", 0644);
	nfs_put_text(client, file, "text");
	ck_assert_int_eq(mount_status(veneerd, OURS, "/other"), MNT3ERR_NOENT);
	reload(EXPORT OTHER, "1 opened, 0 closed, 0 to be opened");
	nfs_assert_text(client, file, "text");
	other = mount_from(client, "/other", room[1]);
	nfs_assert_text(client, nfs_find(client, other, "file"), "other");
	ck_assert(nfs_same_handle(root, nfs_find(client, root, ".")));
	client_free(client);
}
END_TEST

/* The server has locked itself out of what it did not know at its start. */
START_TEST(what_needs_another_directory_waits_for_a_restart)
{
	serve(veneerd, EXPORT);
	reload(EXPORT OTHER, "the exports stay as they are");
	daemon_await_log(veneerd, "--allow");
	ck_assert_int_eq(mount_status(veneerd, OURS, "/other"), MNT3ERR_NOENT);
	ck_assert_int_eq(mount_status(veneerd, OURS, "/export"), MNT3_OK);
}
END_TEST

START_TEST(what_is_gone_is_closed_and_its_layers_are_free)
{
	struct client *client;
	char room[64];
	nfs_fh3 root, file;

	serve_with(veneerd, veneerd->top, EXPORT OTHER);
	client = call_from(veneerd, OURS);
	root = mount_from(client, "/export", room);
	file = nfs_find(client, root, "file");
	reload(OTHER, "0 opened, 1 closed, 0 to be opened");
	ck_assert_int_eq(mount_status(veneerd, OURS, "/export"), MNT3ERR_NOENT);
	ck_assert_int_eq(nfs_getattr(client, root)->status, NFS3ERR_STALE);
	ck_assert_int_eq(nfs_write(client, file, 0, "x", 1, UNSTABLE)->status,
	                 NFS3ERR_STALE);
	/* And back again: it has the same handles, from the same state. */
	reload(EXPORT, "1 opened, 1 closed, 0 to be opened");
	nfs_assert_text(client, file, "lower");
	client_free(client);
}
END_TEST

START_TEST(what_clients_may_do_counts_from_the_next_call)
{
	struct client *client, *stranger;
	char room[64];
	nfs_fh3 root, file;

	serve_with(veneerd, veneerd->top, EXPORT);
	client = call_from(veneerd, OURS);
	stranger = call_from(veneerd, "127.0.0.9");
	root = mount_from(client, "/export", room);
	file = nfs_new_file(client, root, "new", 0644);
	nfs_put_text(stranger, file, "his");
	reload("/export -insecure,no_root_squash,lowerdir=%1$s/lower,"
	       "upperdir=%1$s/upper,workdir=%1$s/work 127.0.0.1 "
	       "127.0.0.2(ro)\n",
	       "0 opened, 0 closed, 0 to be opened");
	ck_assert_int_eq(nfs_getattr(stranger, file)->status, NFS3ERR_ACCES);
	ck_assert_int_eq(mount_status(veneerd, "127.0.0.9", "/export"),
	                 MNT3ERR_ACCES);
	nfs_put_text(client, file, "our");
	client_free(stranger);
	stranger = call_from(veneerd, "127.0.0.2");
	nfs_assert_text(stranger, file, "our");
	ck_assert_int_eq(nfs_write(stranger, file, 0, "x", 1, UNSTABLE)->status,
	                 NFS3ERR_ROFS);
	client_free(stranger);
	client_free(client);
}
END_TEST

/* ---- what changes ---------------------------------------------------------------- */

/* Within seconds it is opened with the new layers. */
static void await_name(struct client *client, nfs_fh3 dir, const char *name)
{
	nfsstat3 status = NFS3ERR_JUKEBOX;

	for (int i = 0; i < 2000; i++) {
		status = nfs_lookup(client, dir, name)->status;
		if (status != NFS3ERR_JUKEBOX && status != NFS3ERR_NOENT)
			break;
		usleep(10000);
	}
	ck_assert_int_eq(status, NFS3_OK);
}

START_TEST(a_new_layer_on_top_keeps_handles_and_changes)
{
	struct client *client;
	char room[64];
	nfs_fh3 root, file;
	nfstime3 before;

	daemon_mkdir(veneerd, "newer");
	daemon_write(veneerd, "newer/added", "added");
	serve_with(veneerd, veneerd->top, EXPORT);
	client = call_from(veneerd, OURS);
	root = mount_from(client, "/export", room);
	file = nfs_find(client, root, "file");
	nfs_put_text(client, file, "UPPER");
	before = nfs_attributes(client, root).ctime;
	reload("/export -insecure,no_root_squash,"
	       "lowerdir=%1$s/newer:%1$s/lower,upperdir=%1$s/upper,"
	       "workdir=%1$s/work *\n",
	       "0 opened, 1 closed, 1 to be opened");
	await_name(client, root, "added");
	nfs_assert_text(client, nfs_find(client, root, "added"), "added");
	/* Who knew that there was no such name looks again. */
	ck_assert(nfs_is_later(nfs_attributes(client, root).ctime, before));
	nfs_assert_text(client, file, "UPPER");
	client_free(client);
}
END_TEST

/* ---- what is wrong ----------------------------------------------------------------- */

static const struct wrong {
	const char *text, *line;
} wrongs[] = {
	{ "/export *(lowerdir=/nowhere,\n", "exports:1:10: no \")\"" },
	{ EXPORT "/other *(sometimes)\n", "exports:2:10: " },
	{ EXPORT "/more *(lowerdir=%1$s/nowhere,statedir=%1$s/state)\n",
	  "nowhere': No such file or directory; the exports stay as they are" },
	/* Another bottom below the same upper. */
	{ "/export -lowerdir=%1$s/other,upperdir=%1$s/upper,"
	  "workdir=%1$s/work *\n",
	  "exports stay as they are" },
	{ "# nothing\n", "nothing is exported" },
	/* Twice the same overlay, as when a line has been copied. */
	{ EXPORT "/more -insecure,lowerdir=%1$s/lower,upperdir=%1$s/upper,"
	         "workdir=%1$s/work *\n",
	  "same layers, or state; the exports stay as they are" },
	/* Twice the same upper: the first has it. */
	{ EXPORT "/more -insecure,lowerdir=%1$s/other:%1$s/lower,"
	         "upperdir=%1$s/upper,workdir=%1$s/work *\n",
	  "back to the old exports" },
};
#define NWRONGS (int)(sizeof(wrongs) / sizeof(wrongs[0]))

START_TEST(what_is_wrong_leaves_all_as_it_was)
{
	struct client *client;
	char room[64];
	nfs_fh3 root, file;

	serve_with(veneerd, veneerd->top, EXPORT);
	client = call_from(veneerd, OURS);
	root = mount_from(client, "/export", room);
	file = nfs_find(client, root, "file");
	nfs_put_text(client, file, "UPPER");
	reload(wrongs[_i].text, wrongs[_i].line);
	nfs_assert_text(client, file, "UPPER");
	nfs_put_text(client, file, "AGAIN");
	ck_assert_int_eq(mount_status(veneerd, OURS, "/export"), MNT3_OK);
	reload(EXPORT OTHER, "1 opened, 0 closed, 0 to be opened");
	nfs_assert_text(client, file, "AGAIN");
	ck_assert_int_eq(mount_status(veneerd, OURS, "/other"), MNT3_OK);
	client_free(client);
}
END_TEST

/* Within the test's directory, over a file if there is one. */
static void move_in(const char *from, const char *to)
{
	char paths[2][PATH_MAX];

	daemon_path(veneerd, from, paths[0]);
	daemon_path(veneerd, to, paths[1]);
	unlink(paths[1]);
	ck_assert_int_eq(rename(paths[0], paths[1]), 0);
}

/* What had to wait for the old exports can't be opened then, nor can these. */
START_TEST(where_neither_can_be_opened_the_next_file_counts)
{
	struct client *client;
	char room[64];
	nfs_fh3 root, file;

	serve_with(veneerd, veneerd->top, EXPORT OTHER);
	client = call_from(veneerd, OURS);
	root = mount_from(client, "/export", room);
	file = nfs_find(client, root, "file");
	nfs_put_text(client, file, "UPPER");
	/* Nothing can be made where things are made; a layer on top. */
	move_in("work/veneer/tmp", "kept");
	daemon_write(veneerd, "work/veneer/tmp", "in the way");
	daemon_mkdir(veneerd, "newer");
	reload("/export -insecure,no_root_squash,"
	       "lowerdir=%1$s/newer:%1$s/lower,upperdir=%1$s/upper,"
	       "workdir=%1$s/work *\n" OTHER,
	       "its clients are told to wait");
	ck_assert_int_eq(nfs_getattr(client, root)->status, NFS3ERR_JUKEBOX);
	ck_assert_int_eq(mount_status(veneerd, OURS, "/other"), MNT3_OK);
	move_in("kept", "work/veneer/tmp");
	reload(EXPORT OTHER, "1 opened, 0 closed, 0 to be opened");
	nfs_assert_text(client, file, "UPPER");
	client_free(client);
}
END_TEST

/* It is not root any more, and is to know that it was. */
START_TEST(what_root_began_another_user_goes_on_with)
{
	const char *const arguments[] = { "-e", exports, "--user", "65534",
		                          NULL };
	struct client *client;
	char room[64];
	nfs_fh3 root, file;
	sattr3 set = set_nothing();

	if (geteuid() != 0) {
		printf("%s: skipped: not root\n", __func__);
		return;
	}
	write_exports(veneerd, EXPORT);
	daemon_serve(veneerd, arguments);
	client = call_from(veneerd, OURS);
	root = mount_from(client, "/export", room);
	file = nfs_find(client, root, "file");
	/* A metacopy, which has a mark of root's. */
	set.mode.set_it = TRUE;
	set.mode.set_mode3_u.mode = 0600;
	ck_assert_int_eq(nfs_setattr(client, file, set)->status, NFS3_OK);
	reload(EXPORT, "0 opened, 0 closed, 0 to be opened");
	nfs_assert_text(client, file, "lower");
	client_free(client);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reload");
	TCase *tcase = tcase_create("reload");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase,
	               what_is_the_same_goes_on_and_what_is_new_is_there);
	if (has_landlock())
		tcase_add_test(
			tcase,
			what_needs_another_directory_waits_for_a_restart);
	tcase_add_test(tcase, what_is_gone_is_closed_and_its_layers_are_free);
	tcase_add_test(tcase, what_clients_may_do_counts_from_the_next_call);
	tcase_add_test(tcase, a_new_layer_on_top_keeps_handles_and_changes);
	tcase_add_loop_test(tcase, what_is_wrong_leaves_all_as_it_was, 0,
	                    NWRONGS);
	tcase_add_test(tcase, where_neither_can_be_opened_the_next_file_counts);
	tcase_add_test(tcase, what_root_began_another_user_goes_on_with);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
