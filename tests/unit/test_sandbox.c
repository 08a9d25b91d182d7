/*
 * What can still be done inside of a server that has locked itself up: by the test's
 * own thread, which has done that just as main does, and by the server's.
 */
#include "config.h"

#include "server/sandbox.h"
#include "tests/lib/client.h"
#include "tests/lib/nfs.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "server/options.h"
#include "server/server.h"

/* ---- directories, which outlive the locked up process -------------------------- */

static char top[256];

/* In a buffer of its own for each of a line's. */
static const char *below(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
	return path;
}

static void write_text(const char *name, const char *text)
{
	int fd = open(below(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void make_dirs(void)
{
	static const char *const dirs[] = { "lower", "lower/dir",  "upper",
		                            "work",  "state",      "stats",
		                            "other", "other/deep", "spare" };

	umask(022);
	scratch_make(top, sizeof(top), "test");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ck_assert_int_eq(mkdir(below(dirs[i]), 0755), 0);
	write_text("lower/file", "lower");
	write_text("lower/dir/deep", "deep");
	write_text("other/file", "other");
}

static int remove_one(const char *path, const struct stat *stat, int type,
                      struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_dirs(void)
{
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- a server, locked up ------------------------------------------------------- */

static struct nfsd_log logging = { STDERR_FILENO, LOG_ERR };
static struct nfsd_options options;
static struct nfsd_server *server;
static struct client *client;
static char why[512];

/* As main does; the layers cannot be removed from inside. */
static void lock_up(void)
{
	char layers[2048], stats[512], spare[512];
	char *argv[] = { "veneerd", "-p", "0",    "--stats", stats, "--allow",
		         spare,     "-o", layers, "/export", NULL };
	int fds[2];

	snprintf(layers, sizeof(layers),
	         "lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work,"
	         "statedir=%1$s/state,insecure,no_root_squash",
	         top);
	snprintf(stats, sizeof(stats), "%s/stats/stats", top);
	snprintf(spare, sizeof(spare), "%s/spare", top);
	nfsd_options_init(&options);
	ck_assert_msg(nfsd_options_parse(&options, 10, argv, why,
	                                 sizeof(why)) == 0,
	              "%s", why);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_msg(nfsd_server_new(&options, &logging, NULL, true, &server,
	                              why, sizeof(why)) == 0,
	              "%s", why);
	ck_assert_msg(nfsd_server_confine(server, why, sizeof(why)) == 0, "%s",
	              why);
	ck_assert_msg(nfsd_server_start(server, why, sizeof(why)) == 0, "%s",
	              why);
	ck_assert_int_eq(nfsd_server_adopt(server, fds[0]), 0);
	client = client_new(fds[1]);
}

/* The end of a case: libcheck itself, after it, makes calls that are refused. */
static _Noreturn void leave(void)
{
	fflush(stdout);
	_exit(EXIT_SUCCESS);
}

static _Noreturn void let_go(void)
{
	client_free(client);
	nfsd_server_free(server);
	nfsd_options_release(&options);
	leave();
}

static bool has_landlock(const char *test)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0,
	            LANDLOCK_CREATE_RULESET_VERSION) >= 2)
		return true;
	printf("%s: skipped: no Landlock\n", test);
	return false;
}

/* ---- files ----------------------------------------------------------------------- */

static void assert_refused(const char *path, int flags)
{
	errno = 0;
	ck_assert_msg(open(path, flags | O_CLOEXEC, 0600) == -1 &&
	                      errno == EACCES,
	              "%s, %#x: %m", path, (unsigned)flags);
}

static void assert_opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0, "%s, %#x: %m", path, (unsigned)flags);
	close(fd);
}

static void *try_to_open(void *path)
{
	assert_refused(path, O_RDONLY);
	return NULL;
}

START_TEST(files_outside_of_the_layers_are_not_opened)
{
	pthread_t thread;

	if (!has_landlock(__func__))
		return;
	lock_up();
	assert_refused("/etc/passwd", O_RDONLY);
	assert_refused("/", O_RDONLY | O_DIRECTORY);
	assert_refused(top, O_RDONLY | O_DIRECTORY);
	assert_refused(below("other/file"), O_RDONLY);
	assert_refused(below("lower/../other/file"), O_RDONLY);
	assert_refused(below("other/new"), O_WRONLY | O_CREAT);
	assert_refused("/dev/null", O_WRONLY);
#ifndef WITH_SANITIZERS
	assert_refused("/proc/self/environ", O_RDONLY);
	assert_refused("/proc/self/mem", O_RDWR);
	assert_refused("/proc/1/cmdline", O_RDONLY);
#endif
	ck_assert_int_eq(
		pthread_create(&thread, NULL, try_to_open, "/etc/passwd"), 0);
	pthread_join(thread, NULL);
	let_go();
}
END_TEST

START_TEST(lower_layers_are_only_read)
{
	if (!has_landlock(__func__))
		return;
	lock_up();
	assert_opened(below("lower/file"), O_RDONLY);
	assert_opened(below("lower/dir"), O_RDONLY | O_DIRECTORY);
	assert_refused(below("lower/file"), O_WRONLY);
	assert_refused(below("lower/file"), O_RDWR);
	assert_refused(below("lower/new"), O_WRONLY | O_CREAT);
	ck_assert_int_eq(mkdir(below("lower/new"), 0700), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq(unlink(below("lower/file")), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq(rename(below("lower/file"), below("upper/file")), -1);
	ck_assert_int_eq(rename(below("lower/file"), below("lower/moved")), -1);
	assert_opened(below("upper/new"), O_WRONLY | O_CREAT);
	ck_assert_int_eq(rename(below("upper/new"), below("work/new")), 0);
	ck_assert_int_eq(unlink(below("work/new")), 0);
	let_go();
}
END_TEST

/* Nothing that serving takes is out of reach; each case has what others may not. */
START_TEST(all_can_be_served)
{
	nfs_fh3 root, dir, file, moved;
	struct stat st;

	lock_up();
	root = nfs_root(client);
	nfs_assert_text(client, nfs_find(client, root, "file"), "lower");
	file = nfs_find(client, root, "dir/deep");
	nfs_put_text(client, file, "upper"); /* copied up */
	nfs_assert_text(client, file, "upper");
	ck_assert_int_eq(nfs_setattr(client, nfs_find(client, root, "file"),
	                             set_mode(0640))
	                         ->status,
	                 NFS3_OK);
	dir = nfs_new_dir(client, root, "new", 0750);
	moved = nfs_new_file(client, dir, "one", 0600);
	nfs_put_text(client, moved, "one");
	ck_assert_int_eq(nfs_link(client, moved, root, "two")->status, NFS3_OK);
	ck_assert_int_eq(nfs_rename(client, dir, "one", root, "moved")->status,
	                 NFS3_OK);
	ck_assert_int_eq(
		nfs_rename(client, root, "dir", root, "renamed")->status,
		NFS3_OK);
	ck_assert_int_eq(nfs_symlink(client, dir, "link", "/etc")->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_mknod(client, dir, "fifo", NF3FIFO, 0, 0)->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_mknod(client, dir, "sock", NF3SOCK, 0, 0)->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_mknod(client, dir, "null", NF3CHR, 1, 3)->status,
	                 NFS3_OK);
	ck_assert_int_eq(nfs_remove(client, root, "file")->status, NFS3_OK);
	ck_assert_int_eq(nfs_remove(client, root, "two")->status, NFS3_OK);
	ck_assert_int_eq(nfs_commit(client, moved, 0, 0)->status, NFS3_OK);
	ck_assert_int_eq(nfs_fsstat(client, root)->status, NFS3_OK);
	ck_assert_int_eq(nfs_readdirplus(client, root, 0, 8192, 8192)->status,
	                 NFS3_OK);
	nfs_assert_text(client, nfs_find(client, root, "renamed/deep"),
	                "upper");
	ck_assert_int_eq(stat(below("stats/stats"), &st), 0);
	let_go();
}
END_TEST

/* ---- system calls ---------------------------------------------------------------- */

static char *const nothing[] = { NULL };

static long run_a_program(void)
{
	return execve("/bin/true", nothing, nothing);
}

static long fork_off_by_the_new_call(void)
{
	return syscall(SYS_clone3, NULL, 0);
}

static long call_somebody(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long make_packets(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
}

static long mount_something(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static long see_kernel_memory(void)
{
	return syscall(SYS_bpf, 0, NULL, 0);
}

static long go_around_by_a_ring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

static long open_by_handle(void)
{
	return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY);
}

static long become_somebody(void)
{
	return (int)syscall(SYS_setuid, 0);
}

#ifndef WITH_SANITIZERS /* whose runtimes may */
static long fork_off(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long type_for_the_user(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static long stop_a_process(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long end_a_process(void)
{
	return kill(getppid(), 0);
}

static long run_what_was_written(void)
{
	return (long)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long raise_a_limit(void)
{
	return setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

static long be_let_off(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}
#endif

static long (*const calls[])(void) = {
	run_a_program,   call_somebody,        make_packets,
	mount_something, see_kernel_memory,    go_around_by_a_ring,
	open_by_handle,  become_somebody,
#ifndef WITH_SANITIZERS
	fork_off,        type_for_the_user,    stop_a_process,
	end_a_process,   run_what_was_written, raise_a_limit,
	be_let_off,
#endif
};
#define NCALLS (int)(sizeof(calls) / sizeof(calls[0]))

/* Where the build is strict, the process ends instead. */
START_TEST(a_call_that_serving_does_not_take_is_refused)
{
	lock_up();
	errno = 0;
	ck_assert_int_eq(calls[_i](), -1);
	ck_assert_int_eq(errno, ENOSYS);
	let_go();
}
END_TEST

/* As libc asks for it first, and then for threads by clone(2). */
START_TEST(clone3_is_as_in_an_old_kernel)
{
	lock_up();
	ck_assert_int_eq(fork_off_by_the_new_call(), -1);
	ck_assert_int_eq(errno, ENOSYS);
	let_go();
}
END_TEST

/* ---- what is covered -------------------------------------------------------------- */

static struct nfsd_sandbox *sandbox;

static void lock_up_without_a_server(void)
{
	ck_assert_int_eq(nfsd_sandbox_new(&sandbox), 0);
	ck_assert_int_eq(nfsd_sandbox_allow(sandbox, below("lower"),
	                                    NFSD_SANDBOX_READ, why,
	                                    sizeof(why)),
	                 0);
	ck_assert_int_eq(nfsd_sandbox_allow(sandbox, below("upper"),
	                                    NFSD_SANDBOX_WRITE, why,
	                                    sizeof(why)),
	                 0);
	ck_assert_msg(nfsd_sandbox_enter(sandbox, &logging, why, sizeof(why)) ==
	                      0,
	              "%s", why);
}

static int covers(const char *name, enum nfsd_sandbox_use use)
{
	return nfsd_sandbox_covers(sandbox, below(name), use, why, sizeof(why));
}

START_TEST(what_is_covered_is_told)
{
	if (!has_landlock(__func__))
		return;
	lock_up_without_a_server();
	ck_assert_int_eq(covers("lower", NFSD_SANDBOX_READ), 0);
	ck_assert_int_eq(covers("lower/dir", NFSD_SANDBOX_READ), 0);
	ck_assert_int_eq(covers("upper", NFSD_SANDBOX_WRITE), 0);
	ck_assert_int_eq(covers("upper", NFSD_SANDBOX_READ), 0);
	ck_assert_int_eq(covers("other/../lower/dir/", NFSD_SANDBOX_READ), 0);
	/* To be made. */
	ck_assert_int_eq(covers("upper/a/b", NFSD_SANDBOX_WRITE), 0);
	ck_assert_int_eq(covers("lower/a/b", NFSD_SANDBOX_WRITE), -EACCES);
	ck_assert_int_eq(covers("a/b", NFSD_SANDBOX_WRITE), -EACCES);
	nfsd_sandbox_free(sandbox);
	leave();
}
END_TEST

START_TEST(what_is_not_covered_asks_for_a_new_start)
{
	if (!has_landlock(__func__))
		return;
	lock_up_without_a_server();
	ck_assert_int_eq(covers("other/deep", NFSD_SANDBOX_READ), -EACCES);
	ck_assert_ptr_nonnull(strstr(why, below("other/deep")));
	ck_assert_ptr_nonnull(strstr(why, "start it again"));
	ck_assert_ptr_nonnull(strstr(why, "--allow"));
	ck_assert_int_eq(covers("lower", NFSD_SANDBOX_WRITE), -EACCES);
	ck_assert_int_eq(covers("lower/../other", NFSD_SANDBOX_READ), -EACCES);
	ck_assert_int_eq(nfsd_sandbox_covers(sandbox, "/", NFSD_SANDBOX_READ,
	                                     why, sizeof(why)),
	                 -EACCES);
	nfsd_sandbox_free(sandbox);
	leave();
}
END_TEST

/* The rule goes with the directory, not with its name. */
START_TEST(another_directory_of_the_name_is_not_covered)
{
	if (!has_landlock(__func__))
		return;
	ck_assert_int_eq(nfsd_sandbox_new(&sandbox), 0);
	ck_assert_int_eq(nfsd_sandbox_allow(sandbox, below("spare"),
	                                    NFSD_SANDBOX_READ, why,
	                                    sizeof(why)),
	                 0);
	ck_assert_int_eq(rename(below("spare"), below("old")), 0);
	ck_assert_int_eq(mkdir(below("spare"), 0755), 0);
	ck_assert_int_eq(
		nfsd_sandbox_enter(sandbox, &logging, why, sizeof(why)), 0);
	ck_assert_int_eq(covers("old", NFSD_SANDBOX_READ), 0);
	ck_assert_int_eq(covers("spare", NFSD_SANDBOX_READ), -EACCES);
	assert_opened(below("old"), O_RDONLY | O_DIRECTORY);
	assert_refused(below("spare"), O_RDONLY | O_DIRECTORY);
	nfsd_sandbox_free(sandbox);
	leave();
}
END_TEST

START_TEST(without_a_sandbox_all_is_covered)
{
	ck_assert_int_eq(
		nfsd_sandbox_covers(NULL, "/", NFSD_SANDBOX_WRITE, NULL, 0), 0);
}
END_TEST

START_TEST(what_is_not_there_cannot_be_allowed)
{
	ck_assert_int_eq(nfsd_sandbox_new(&sandbox), 0);
	ck_assert_int_eq(nfsd_sandbox_allow(sandbox, below("none"),
	                                    NFSD_SANDBOX_READ, why,
	                                    sizeof(why)),
	                 -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "/none"));
	nfsd_sandbox_free(sandbox);
}
END_TEST

#ifndef WITH_SANITIZERS /* in whose processes it cannot tell */
static void *linger(void *arg)
{
	pause();
	return arg;
}

START_TEST(with_threads_it_is_too_late)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, linger, NULL), 0);
	ck_assert_int_eq(nfsd_sandbox_new(&sandbox), 0);
	ck_assert_int_eq(nfsd_sandbox_enter(sandbox, &logging, why,
	                                    sizeof(why)),
	                 -EBUSY);
	nfsd_sandbox_free(sandbox);
}
END_TEST
#endif

/* ------------------------------------------------------------------------------------ */

/* Cases that may not change what the others find: each has its directories. */
static TCase *add_tcase(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	/* Unchecked: outside of the process that locks itself up. */
	tcase_add_unchecked_fixture(tcase, make_dirs, remove_dirs);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *tcase = add_tcase(suite, "files");

	tcase_add_test(tcase, files_outside_of_the_layers_are_not_opened);
	tcase_add_test(tcase, lower_layers_are_only_read);
	tcase = add_tcase(suite, "serving");
	tcase_add_test(tcase, all_can_be_served);
	tcase = add_tcase(suite, "calls");
#ifdef STRICT_SANDBOX
	tcase_add_loop_test_raise_signal(
		tcase, a_call_that_serving_does_not_take_is_refused, SIGSYS, 0,
		NCALLS);
#else
	tcase_add_loop_test(tcase, a_call_that_serving_does_not_take_is_refused,
	                    0, NCALLS);
#endif
	tcase_add_test(tcase, clone3_is_as_in_an_old_kernel);
	tcase = add_tcase(suite, "covers");
	tcase_add_test(tcase, what_is_covered_is_told);
	tcase_add_test(tcase, what_is_not_covered_asks_for_a_new_start);
	tcase_add_test(tcase, another_directory_of_the_name_is_not_covered);
	tcase_add_test(tcase, without_a_sandbox_all_is_covered);
	tcase_add_test(tcase, what_is_not_there_cannot_be_allowed);
#ifndef WITH_SANITIZERS
	tcase_add_test(tcase, with_threads_it_is_too_late);
#endif
	return suite_run(suite);
}
