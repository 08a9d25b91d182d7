/*
 * What veneerd may do while it serves, as the kernel tells: capabilities, filters,
 * its user; and that it does with that all that root's server is there for.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"

#define OPTIONS "insecure,no_root_squash"

/* Nobody, by his number; who is not in the list of users would not do. */
#define USER "65534"

static struct daemon *veneerd;

static void setup(void)
{
	veneerd = daemon_new();
	daemon_write(veneerd, "lower/file", "lower");
	daemon_mkdir(veneerd, "lower/dir");
	daemon_write(veneerd, "lower/dir/one", "one");
}

static void teardown(void)
{
	daemon_free(veneerd);
}

static void serve(const char *option, const char *value)
{
	char layers[2048];
	const char *const arguments[] = { "-o", layers, option, value, NULL };

	snprintf(
		layers, sizeof(layers),
		"lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work," OPTIONS,
		veneerd->top);
	daemon_serve(veneerd, arguments);
}

static bool is_root(const char *test)
{
	if (geteuid() == 0)
		return true;
	printf("%s: skipped: not root\n", test);
	return false;
}

/* ---- what the kernel tells ---------------------------------------------------- */

/* The value of a field of /proc/PID/status, without the end of the line. */
static const char *status_of(pid_t pid, const char *field)
{
	static char line[256];
	const size_t len = strlen(field);
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, len) == 0 && line[len] == ':') {
			fclose(file);
			line[strcspn(line, "\n")] = '\0';
			return line + len + 1 + strspn(line + len + 1, "\t ");
		}
	ck_abort_msg("no %s in %s", field, path);
}

static uint64_t capabilities(pid_t pid, const char *field)
{
	return strtoull(status_of(pid, field), NULL, 16);
}

static uint64_t bit(unsigned capability)
{
	return UINT64_C(1) << capability;
}

/* Those that server/privileges.c has for files. */
static uint64_t expected(void)
{
	return bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FOWNER) |
	       bit(CAP_FSETID) | bit(CAP_MKNOD) | bit(CAP_SETFCAP) |
	       bit(CAP_SYS_ADMIN);
}

static void assert_capabilities(pid_t pid, uint64_t may_be)
{
	/* A machine may have kept some from this test itself. */
	const uint64_t ours = capabilities(getpid(), "CapPrm");

	ck_assert_uint_eq(capabilities(pid, "CapPrm"), may_be & ours);
	ck_assert_uint_eq(capabilities(pid, "CapEff"), may_be & ours);
	ck_assert_uint_eq(capabilities(pid, "CapInh"), 0);
	ck_assert_uint_eq(capabilities(pid, "CapAmb"), 0);
}

/* The one process that it has started; 0: there is none. */
static pid_t helper_of(pid_t pid)
{
	char path[64];
	int helper = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid,
	         (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%d", &helper) != 1)
		helper = 0;
	fclose(file);
	return helper;
}

static void assert_locked_up(pid_t pid)
{
	ck_assert_str_eq(status_of(pid, "NoNewPrivs"), "1");
	ck_assert_str_eq(status_of(pid, "Seccomp"), "2");
}

START_TEST(root_keeps_what_serving_takes)
{
	if (!is_root(__func__))
		return;
	daemon_start(veneerd, OPTIONS);
	assert_capabilities(veneerd->pid, expected());
	ck_assert_uint_eq(capabilities(veneerd->pid, "CapBnd"), 0);
	ck_assert_str_eq(status_of(veneerd->pid, "Uid"), "0\t0\t0\t0");
	assert_locked_up(veneerd->pid);
}
END_TEST

START_TEST(root_becomes_another_user)
{
	pid_t helper;

	if (!is_root(__func__))
		return;
	serve("--user", USER);
	assert_capabilities(veneerd->pid, expected());
	ck_assert_str_eq(status_of(veneerd->pid, "Uid"),
	                 USER "\t" USER "\t" USER "\t" USER);
	ck_assert_str_eq(status_of(veneerd->pid, "Gid"),
	                 USER "\t" USER "\t" USER "\t" USER);
	ck_assert_int_eq(atoi(status_of(veneerd->pid, "Groups")), 65534);
	assert_locked_up(veneerd->pid);
	helper = helper_of(veneerd->pid);
	if (helper == 0)
		return; /* a kernel that does not tell */
	ck_assert_str_eq(status_of(helper, "Uid"),
	                 USER "\t" USER "\t" USER "\t" USER);
	assert_capabilities(helper, 0);
	ck_assert_str_eq(status_of(helper, "NoNewPrivs"), "1");
}
END_TEST

START_TEST(the_filters_can_be_left_out)
{
	serve("--no-sandbox", NULL);
	ck_assert_str_eq(status_of(veneerd->pid, "Seccomp"), "0");
	ck_assert_str_eq(status_of(veneerd->pid, "NoNewPrivs"), "1");
	if (geteuid() == 0)
		assert_capabilities(veneerd->pid, expected());
}
END_TEST

/* Give the test's directories away, and become an ordinary user. */
static bool become_a_user(const char *test)
{
	static const char *const dirs[] = { "", "lower", "upper", "work" };
	char path[PATH_MAX];

	if (geteuid() != 0)
		return true;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ck_assert_int_eq(chown(daemon_path(veneerd, dirs[i], path),
		                       12345, 12345),
		                 0);
	ck_assert_int_eq(setresgid(12345, 12345, 12345), 0);
	ck_assert_int_eq(setresuid(12345, 12345, 12345), 0);
	if (access(getenv("VENEERD"), X_OK) == 0)
		return true;
	printf("%s: skipped: users may not run it\n", test);
	return false;
}

START_TEST(an_ordinary_user_has_the_filters_too)
{
	struct client *client;
	nfs_fh3 file;

	if (!become_a_user(__func__))
		return;
	daemon_start(veneerd, "insecure,all_squash");
	assert_capabilities(veneerd->pid, 0);
	assert_locked_up(veneerd->pid);
	client = client_new(daemon_connect(veneerd));
	file = nfs_find(client, nfs_root(client), "file");
	nfs_assert_text(client, file, "lower");
	client_free(client);
}
END_TEST

/* ---- what it does with that -------------------------------------------------------- */

static sattr3 set_owner(uint32_t uid, uint32_t gid)
{
	sattr3 set = set_nothing();

	set.uid.set_it = set.gid.set_it = TRUE;
	set.uid.set_uid3_u.uid = uid;
	set.gid.set_gid3_u.gid = gid;
	return set;
}

static struct stat stat_upper(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	ck_assert_msg(lstat(daemon_path(veneerd, name, path), &st) == 0,
	              "%s: %m", path);
	return st;
}

static void set_capability(const char *name)
{
	const struct vfs_cap_data data = { .magic_etc = VFS_CAP_REVISION_2 };
	char path[PATH_MAX];

	ck_assert_msg(setxattr(daemon_path(veneerd, name, path),
	                       "security.capability", &data, sizeof(data),
	                       0) == 0,
	              "%s: %m", path);
}

/* Each takes a capability that others do not have. */
static void assert_does_all_of_roots(struct client *client)
{
	nfs_fh3 root = nfs_root(client), dir, file;
	char path[PATH_MAX], value[256];
	struct stat st;

	/* Owners, whom the server is not. */
	file = nfs_new_file(client, root, "theirs", 0600);
	nfs_put_text(client, file, "theirs");
	ck_assert_int_eq(
		nfs_setattr(client, file, set_owner(1234, 4321))->status,
		NFS3_OK);
	st = stat_upper("upper/theirs");
	ck_assert_uint_eq(st.st_uid, 1234);
	ck_assert_uint_eq(st.st_gid, 4321);
	/* Files of others, to be read, written and changed. */
	nfs_put_text(client, file, "again!");
	nfs_assert_text(client, file, "again!");
	ck_assert_int_eq(nfs_setattr(client, file, set_mode(02755))->status,
	                 NFS3_OK);
	ck_assert_uint_eq(stat_upper("upper/theirs").st_mode & 07777, 02755);
	/* A directory that only its owner gets into, and what he makes there. */
	dir = nfs_new_dir(client, root, "private", 0700);
	ck_assert_int_eq(
		nfs_setattr(client, dir, set_owner(1234, 4321))->status,
		NFS3_OK);
	client_become(client, 1234, 4321);
	nfs_put_text(client, nfs_new_file(client, dir, "new", 0400), "new");
	ck_assert_uint_eq(stat_upper("upper/private/new").st_uid, 1234);
	client_become(client, 0, 0);
	/* Devices. */
	ck_assert_int_eq(nfs_mknod(client, root, "null", NF3CHR, 1, 3)->status,
	                 NFS3_OK);
	ck_assert(S_ISCHR(stat_upper("upper/null").st_mode));
	/* Whiteouts, marks, and file capabilities of what is copied up. */
	ck_assert_int_eq(nfs_remove(client, root, "file")->status, NFS3_OK);
	st = stat_upper("upper/file");
	ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	ck_assert_int_gt(getxattr(daemon_path(veneerd, "upper/private", path),
	                          "trusted.overlay.opaque", value,
	                          sizeof(value)),
	                 0);
	ck_assert_int_eq(nfs_link(client, nfs_find(client, root, "dir/one"),
	                          root, "two")
	                         ->status,
	                 NFS3_OK);
	ck_assert_int_gt(getxattr(daemon_path(veneerd, "upper/two", path),
	                          "security.capability", value, sizeof(value)),
	                 0);
	ck_assert_int_eq(
		nfs_rename(client, root, "dir", root, "renamed")->status,
		NFS3_OK);
	nfs_assert_text(client, nfs_find(client, root, "renamed/one"), "one");
}

static const char *const users[] = { "0", USER };

START_TEST(it_does_all_that_roots_server_does)
{
	struct client *client;
	char path[PATH_MAX];

	if (!is_root(__func__))
		return;
	set_capability("lower/dir/one");
	ck_assert_int_eq(chmod(daemon_path(veneerd, "lower/dir", path), 0700),
	                 0);
	serve("--user", users[_i]);
	client = client_new(daemon_connect(veneerd));
	assert_does_all_of_roots(client);
	client_free(client);
	/* And ends as it should, having written what it has to. */
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	serve("--user", users[_i]);
	client = client_new(daemon_connect(veneerd));
	nfs_assert_text(client, nfs_find(client, nfs_root(client), "two"),
	                "one");
	client_free(client);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
}
END_TEST

START_TEST(ports_below_1024_are_listened_on_before)
{
	const uint16_t first = 901, last = 999;

	if (!is_root(__func__))
		return;
	veneerd->port = (uint16_t)(first + getpid() % (last - first));
	serve("--user", USER);
	ck_assert_uint_lt(veneerd->port, 1024);
	ck_assert_uint_eq(capabilities(veneerd->pid, "CapPrm") &
	                          bit(CAP_NET_BIND_SERVICE),
	                  0);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------- */

static void assert_not_started(const char *option, const char *value,
                               const char *what)
{
	char text[4096], layers[1024];
	const char *const arguments[] = { "-p",   "0",   "-o",          layers,
		                          option, value, DAEMON_EXPORT, NULL };

	snprintf(layers, sizeof(layers),
	         "lowerdir=%1$s/lower,"
	         "statedir=%1$s/work",
	         veneerd->top);
	ck_assert_int_eq(daemon_run(arguments, text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, what) != NULL, "%s", text);
}

START_TEST(a_user_who_is_not_there)
{
	if (!is_root(__func__))
		return;
	assert_not_started("--user", "veneer-no-such-user",
	                   "there is no user \"veneer-no-such-user\"");
}
END_TEST

START_TEST(another_user_without_root)
{
	if (!become_a_user(__func__))
		return;
	assert_not_started("--user", USER, "only root can become");
}
END_TEST

START_TEST(an_allowed_directory_that_is_not_there)
{
	assert_not_started("--allow", "/veneer/none", "/veneer/none");
}
END_TEST

/* ---- the helper ------------------------------------------------------------------ */

static bool has_gone(pid_t pid)
{
	for (int i = 0; i < 1000; i++) {
		if (kill(pid, 0) != 0 && errno == ESRCH)
			return true;
		usleep(10000);
	}
	return false;
}

START_TEST(the_helper_ends_with_a_server_that_is_killed)
{
	pid_t helper;

	daemon_start(veneerd, OPTIONS);
	helper = helper_of(veneerd->pid);
	if (helper == 0) {
		printf("%s: skipped: /proc names no children\n", __func__);
		return;
	}
	daemon_end(veneerd, SIGKILL);
	ck_assert(has_gone(helper));
}
END_TEST

START_TEST(a_server_whose_helper_is_killed_goes_on)
{
	struct client *client;
	pid_t helper;

	daemon_start(veneerd, OPTIONS);
	helper = helper_of(veneerd->pid);
	if (helper == 0) {
		printf("%s: skipped: /proc names no children\n", __func__);
		return;
	}
	ck_assert_int_eq(kill(helper, SIGKILL), 0);
	client = client_new(daemon_connect(veneerd));
	nfs_assert_text(client, nfs_find(client, nfs_root(client), "file"),
	                "lower");
	client_free(client);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("privileges");
	TCase *tcase = tcase_create("privileges");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, root_keeps_what_serving_takes);
	tcase_add_test(tcase, root_becomes_another_user);
	tcase_add_test(tcase, the_filters_can_be_left_out);
	tcase_add_test(tcase, an_ordinary_user_has_the_filters_too);
	tcase_add_loop_test(tcase, it_does_all_that_roots_server_does, 0, 2);
	tcase_add_test(tcase, ports_below_1024_are_listened_on_before);
	tcase_add_test(tcase, a_user_who_is_not_there);
	tcase_add_test(tcase, another_user_without_root);
	tcase_add_test(tcase, an_allowed_directory_that_is_not_there);
	tcase_add_test(tcase, the_helper_ends_with_a_server_that_is_killed);
	tcase_add_test(tcase, a_server_whose_helper_is_killed_goes_on);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
