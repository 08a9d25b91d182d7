/*
 * The power is cut: layers on a filesystem of their own, which is shut down at a
 * random moment, under load, without its log being flushed (as xfstests do it). It
 * is mounted again, which recovers the log, and served by a new server.
 *
 * tests/check runs it, not `make check`. By root, where filesystems can be mounted.
 * Each cut has a namespace of its own for mounts, so that none outlives it, nor the
 * loop device behind it.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/load.h"
#include "tests/crash/recovered.h"
#include "tests/lib/daemon.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#define CONNECTIONS 8

/* Of the export; each cut has others in turn. */
static const char *const variants[] = {
	"insecure,no_root_squash,metacopy=on",
	"insecure,no_root_squash,metacopy=off",
	"insecure,no_root_squash,userxattr",
};

/* XFS_IOC_GOINGDOWN, which ext4 has as EXT4_IOC_SHUTDOWN; and not to flush. */
#define GOINGDOWN _IOR('X', 125, uint32_t)
#define NOLOGFLUSH 2

static const struct filesystem {
	const char *name, *make, *size, *options;
} filesystems[] = {
	{ "ext4", "mkfs.ext4 -q -F", "64M", "loop" },
	/* The copies of an image are one to it. */
	{ "xfs", "mkfs.xfs -q -f", "300M", "loop,nouuid" },
};

static uint64_t seed;
static char images[256]; /* a directory of them */
static const struct filesystem *used;

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* By the shell; it must work. */
static void run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	ck_assert_msg(system(command) == 0, "failed: %s", command);
}

static void sleep_us(unsigned us)
{
	const struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&time, NULL);
}

/* ---- images ----------------------------------------------------------------- */

static bool enter_namespace(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/*
 * From the server, for whom ext4 is then a filesystem that has none: it flushes each
 * object. Has no effect on xfs.
 */
static void hide_journals(void)
{
	if (access("/proc/fs/jbd2", F_OK) == 0)
		ck_assert_int_eq(
			mount("tmpfs", "/proc/fs/jbd2", "tmpfs", 0, NULL), 0);
}

/* The layers of a load, in a filesystem mounted at `top`. */
static void plant(const char *top)
{
	struct load_model *model = malloc(sizeof(*model));
	int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC), layer;

	ck_assert_ptr_nonnull(model);
	ck_assert_int_eq(mkdirat(dir, "upper", 0755), 0);
	ck_assert_int_eq(mkdirat(dir, "work", 0755), 0);
	ck_assert_int_eq(mkdirat(dir, "lower", 0755), 0);
	layer = openat(dir, "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(layer, 0);
	ck_assert_int_eq(mkdirat(layer, "shared", 0755), 0);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		load_model_init(model, i);
		load_model_plant(model, layer);
	}
	close(layer);
	close(dir);
	free(model);
}

/* An image that is whole, to be copied for each cut. */
START_TEST(a_filesystem_is_made)
{
	char top[sizeof(images) + 8];

	umask(0);
	ck_assert(enter_namespace());
	snprintf(top, sizeof(top), "%s/mnt", images);
	run("rm -f %s/image && truncate -s %s %s/image", images, used->size,
	    images);
	run("%s %s/image >/dev/null && mkdir -p %s", used->make, images, top);
	run("mount -o %s %s/image %s", used->options, images, top);
	plant(top);
	ck_assert_int_eq(umount(top), 0);
}
END_TEST

/* A copy for this process alone. */
static void mount_copy(const char *top)
{
	run("mount -o %s %s/copy.%d %s", used->options, images, (int)getpid(),
	    top);
}

static void unmount(const char *top)
{
	/* What has just ended may still let go of it. */
	for (unsigned i = 0; i < 200; i++) {
		if (umount(top) == 0)
			return;
		sleep_us(10000);
	}
	ck_abort_msg("umount: %s", strerror(errno));
}

/* ---- the log ------------------------------------------------------------------ */

/*
 * What other programs do: the log is flushed, at moments that are none of the
 * server's, and so also in the midst of what it does in several steps.
 */
struct flusher {
	pthread_t thread;
	atomic_bool over;
	uint64_t random;
	int fd;
};

static void *flush_now_and_then(void *arg)
{
	struct flusher *flusher = arg;

	while (!atomic_load(&flusher->over)) {
		sleep_us(500 + test_random(&flusher->random) % 15000);
		if (test_random(&flusher->random) % 8 == 0)
			syncfs(flusher->fd);
		else if (futimens(flusher->fd, NULL) == 0)
			fsync(flusher->fd);
	}
	return NULL;
}

static void start_flusher(struct flusher *flusher, const char *top,
                          uint64_t random)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/flusher", top);
	flusher->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(flusher->fd, 0);
	flusher->random = random;
	atomic_init(&flusher->over, false);
	ck_assert_int_eq(pthread_create(&flusher->thread, NULL,
	                                flush_now_and_then, flusher),
	                 0);
}

static void end_flusher(struct flusher *flusher)
{
	atomic_store(&flusher->over, true);
	pthread_join(flusher->thread, NULL);
	close(flusher->fd);
}

static void cut_power(const char *top)
{
	const uint32_t how = NOLOGFLUSH;
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(ioctl(fd, GOINGDOWN, &how) == 0, "shutdown: %s",
	              strerror(errno));
	close(fd);
}

/* ---- one cut -------------------------------------------------------------------- */

/* Serve, load, cut, end. `flushed`: the log is flushed now and then, for sure. */
static struct load *serve_until_cut(struct daemon *veneerd, const char *options,
                                    bool flushed, uint64_t random)
{
	unsigned us = 20000 + test_random(&random) % 400000;
	struct load *load = load_new(CONNECTIONS, random);
	struct flusher flusher;

	ck_assert_ptr_nonnull(load);
	daemon_start(veneerd, options);
	flushed = flushed || test_random(&random) % 2;
	if (flushed)
		start_flusher(&flusher, veneerd->top, random);
	ck_assert_msg(load_start(load, veneerd->port, DAEMON_EXPORT),
	              "%s: no load", load_worker(load, 0)->trouble);
	sleep_us(us);
	load_let_fail(load);
	cut_power(veneerd->top);
	/* Some go on for a moment: what they are told has to hold as well. */
	sleep_us(test_random(&random) % 20000);
	load_stop(load);
	if (flushed)
		end_flusher(&flusher);
	daemon_end(veneerd, SIGKILL);
	return load;
}

static void say(const struct load *load, unsigned cut)
{
	unsigned done = 0, in_flight = 0;

	for (unsigned i = 0; i < load_count(load); i++) {
		const struct load_worker *w = load_worker(load, i);

		ck_assert_msg(!w->trouble[0], "connection %u: %s", i,
		              w->trouble);
		in_flight += w->in_flight;
		for (unsigned j = 0; j < LOAD_PROCS; j++)
			done += w->done[j];
	}
	printf("%s, cut %u: %u calls, %u in flight\n", used->name, cut, done,
	       in_flight);
	fflush(stdout);
}

static void assert_clean(const struct daemon *veneerd)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(daemon_path(veneerd, "work/veneer/tmp", path));

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		ck_assert_msg(entry->d_name[0] == '.', "rubbish: %s",
		              entry->d_name);
	closedir(dir);
}

/* A file can be made where files were being made. */
static void assert_goes_on(struct crash_link *link)
{
	char root[CRASH_HANDLE_BYTES], name[] = "afterwards";
	CREATE3args args = { .how = { .mode = GUARDED } };
	CREATE3res res;

	ck_assert(crash_link_mount(link, DAEMON_EXPORT, root));
	args.where = (diropargs3){ { { CRASH_HANDLE_BYTES, root } }, name };
	ck_assert(crash_link_call(link, NFSPROC3_CREATE, &args, &res));
	ck_assert_int_eq(res.status, NFS3_OK);
	crash_link_done(NFSPROC3_CREATE, &res);
}

static void cut(bool sync, unsigned number)
{
	uint64_t state = seed + number;
	char options[128];
	struct daemon *veneerd;
	struct crash_link *link;
	char why[RECOVERED_WHY];
	struct load *load;

	snprintf(options, sizeof(options), "%s,%s", variants[number % 3],
	         sync ? "sync" : "async");
	umask(0);
	ck_assert(enter_namespace());
	if (number % 4 == 2)
		hide_journals();
	run("cp --sparse=always %1$s/image %1$s/copy.%2$d", images,
	    (int)getpid());
	veneerd = daemon_new();
	mount_copy(veneerd->top);
	load = serve_until_cut(veneerd, options, !sync, test_random(&state));
	say(load, number);
	unmount(veneerd->top);

	mount_copy(veneerd->top);
	daemon_start(veneerd, options);
	assert_clean(veneerd);
	link = crash_link_new(veneerd->port);
	ck_assert_ptr_nonnull(link);
	if (!sync)
		ck_assert_msg(recovered_some(link, load, DAEMON_EXPORT, why),
		              "%s, cut %u: %s", used->name, number, why);
	for (unsigned i = 0; sync && i < CONNECTIONS; i++)
		ck_assert_msg(recovered_all(link, load_worker(load, i), why),
		              "%s, cut %u: %s", used->name, number, why);
	assert_goes_on(link);
	crash_link_free(link);
	load_free(load);
	daemon_end(veneerd, SIGKILL);
	unmount(veneerd->top);
	daemon_free(veneerd);
	run("rm %s/copy.%d", images, (int)getpid());
}

START_TEST(nothing_acknowledged_is_lost)
{
	cut(true, (unsigned)_i);
}
END_TEST

START_TEST(what_is_left_of_async_is_consistent)
{
	cut(false, (unsigned)_i);
}
END_TEST

/* ---- the whole ------------------------------------------------------------------ */

static bool can_enter_namespace(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(enter_namespace() ? EXIT_SUCCESS : EXIT_FAILURE);
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* It takes root, who may mount, and what makes the filesystem. */
static bool can_cut(const struct filesystem *fs)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %.*s >/dev/null",
	         (int)strcspn(fs->make, " "), fs->make);
	if (access("/dev/loop-control", W_OK) == 0 && can_enter_namespace() &&
	    system(command) == 0)
		return true;
	printf("no %s can be made and mounted here: not tested\n", fs->name);
	return false;
}

static int run_on(const struct filesystem *fs)
{
	const int rounds = test_rounds("TEST_CUTS", 3, 100);
	Suite *suite = suite_create(fs->name);
	TCase *tcase = tcase_create(fs->name);

	used = fs;
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_filesystem_is_made);
	tcase_add_loop_test(tcase, nothing_acknowledged_is_lost, 0, rounds);
	tcase_add_loop_test(tcase, what_is_left_of_async_is_consistent, 0,
	                    (rounds + 2) / 3);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}

int main(void)
{
	const unsigned n = sizeof(filesystems) / sizeof(filesystems[0]);
	const char *tmp = getenv("TMPDIR");
	char command[sizeof(images) + 8];
	unsigned skipped = 0;
	int failed = 0;

	seed = test_seed();
	snprintf(images, sizeof(images), "%s/veneer-powercut-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(images))
		return EXIT_FAILURE;
	for (unsigned i = 0; i < n; i++) {
		if (can_cut(&filesystems[i]))
			failed += run_on(&filesystems[i]);
		else
			skipped++;
	}
	snprintf(command, sizeof(command), "rm -rf %s", images);
	if (system(command) != 0)
		return EXIT_FAILURE;
	return failed ? EXIT_FAILURE : skipped == n ? 77 : EXIT_SUCCESS;
}
