/*
 * The kernel's overlayfs is the judge: the same random acts on two like overlays,
 * one mounted by the kernel and one opened by veneer, have the same results, and
 * leave trees that look the same; and each reads the layers that the other wrote.
 *
 * One difference is by intent: a lower file of several links stays one file in
 * veneer when it is copied up, and falls into two in the kernel (index=off).
 * Such files are known by their time, and are not changed here.
 *
 * AGREEMENT_RUNS=N in the environment: that many runs. AGREEMENT_VERBOSE: a line
 * for each act.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "overlay/overlay.h"

#include "layers.h"
#include "seed.h"
#include "side.h"
#include "tree.h"

#define SAMPLE_RUNS 12
#define ALL_RUNS 120
#define ROUNDS 3
#define ACTS 250
#define MAX_LAYERS 4

static uint64_t seed;

/* ---- the two overlays ----------------------------------------------------- */

/* A run: directories "one" and "two", alike. */
struct run {
	uint64_t random;
	unsigned nlayers;
	unsigned max_entries, max_files;
	enum ovl_cache cache;
	struct ovl *fs;
	int mounted; /* root of the kernel's mount */
};

static void make_overlay_dirs(const struct run *run, const char *name,
                              uint64_t layers_seed)
{
	int dir;

	tree_mkdir(name);
	dir = tree_open(name, O_RDONLY | O_DIRECTORY);
	layers_make(dir, run->nlayers, layers_seed);
	ck_assert_int_eq(mkdirat(dir, "up", 0755), 0);
	ck_assert_int_eq(mkdirat(dir, "work", 0755), 0);
	ck_assert_int_eq(mkdirat(dir, "mnt", 0755), 0);
	close(dir);
}

static void open_veneer(struct run *run, const char *name)
{
	char lower[MAX_LAYERS][512], upper[512], work[512], why[256] = "";
	const char *lowers[MAX_LAYERS];
	struct ovl_config config = {
		.lowerdirs = lowers,
		.nlowerdirs = run->nlayers,
		.upperdir = upper,
		.workdir = work,
		.cache = run->cache,
		.sync = OVL_ASYNC,
		.max_entries = run->max_entries,
		.max_files = run->max_files,
	};
	int err;

	for (unsigned i = 0; i < run->nlayers; i++) {
		snprintf(lower[i], sizeof(lower[i]), "%s/%s/l%u", tree_path,
		         name, i);
		lowers[i] = lower[i];
	}
	snprintf(upper, sizeof(upper), "%s/%s/up", tree_path, name);
	snprintf(work, sizeof(work), "%s/%s/work", tree_path, name);
	err = ovl_open(&config, &run->fs, why, sizeof(why));
	ck_assert_msg(!err, "ovl_open: %s: %s", strerror(-err), why);
	veneer_side_use(run->fs);
}

static void close_veneer(struct run *run)
{
	ovl_close(run->fs);
	run->fs = NULL;
}

static int mount_kernel(struct run *run, const char *name)
{
	char options[4096] = "redirect_dir=on,metacopy=off,index=off,lowerdir=";
	size_t n = strlen(options);
	char mnt[512];

	for (unsigned i = 0; i < run->nlayers; i++)
		n += snprintf(options + n, sizeof(options) - n, "%s%s/%s/l%u",
		              i ? ":" : "", tree_path, name, i);
	snprintf(options + n, sizeof(options) - n,
	         ",upperdir=%s/%s/up,workdir=%s/%s/work", tree_path, name,
	         tree_path, name);
	snprintf(mnt, sizeof(mnt), "%s/%s/mnt", tree_path, name);
	if (mount("overlay", mnt, "overlay", 0, options) < 0)
		return -errno;
	run->mounted = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kernel_side_use(run->mounted);
	return 0;
}

static void unmount_kernel(struct run *run, const char *name)
{
	char mnt[512];

	close(run->mounted);
	snprintf(mnt, sizeof(mnt), "%s/%s/mnt", tree_path, name);
	ck_assert_int_eq(umount(mnt), 0);
}

/* ---- comparing ------------------------------------------------------------ */

/* The first line in which they differ, if they do. */
static void compare(const char *a, const char *a_name, const char *b,
                    const char *b_name, const char *when)
{
	const char *a_line = a, *b_line = b;
	size_t i;

	if (!strcmp(a, b))
		return;
	for (i = 0; a[i] == b[i]; i++) {
		if (a[i] == '\n') {
			a_line = a + i + 1;
			b_line = b + i + 1;
		}
	}
	ck_abort_msg("%s:\n%s: %.*s\n%s: %.*s", when, a_name,
	             (int)strcspn(a_line, "\n"), a_line, b_name,
	             (int)strcspn(b_line, "\n"), b_line);
}

static void compare_sides(const char *when)
{
	char *kernel = side_manifest(&kernel_side);
	char *veneer = side_manifest(&veneer_side);

	compare(kernel, "kernel", veneer, "veneer", when);
	free(kernel);
	free(veneer);
}

/* What veneer shows, identities too, is the same after a restart. */
static void compare_restarted(struct run *run, const char *name)
{
	char *before, *after;

	veneer_side_tell_identities(true);
	before = side_manifest(&veneer_side);
	close_veneer(run);
	open_veneer(run, name);
	after = side_manifest(&veneer_side);
	veneer_side_tell_identities(false);
	compare(before, "before", after, "after", "a restart");
	free(before);
	free(after);
}

/* ---- acts ----------------------------------------------------------------- */

/* Whether one of the paths leads to a lower file of several links. */
static bool was_linked(const char *path)
{
	char line[SIDE_LINE];

	return path && !kernel_side.describe(path, line) &&
	       strstr(line, " links 0 ") && strncmp(line, "04", 2);
}

static bool is_excepted(const struct act *act)
{
	switch (act->kind) {
	case ACT_CREATE:
	case ACT_WRITE:
	case ACT_APPEND:
	case ACT_TRUNCATE:
	case ACT_CHMOD:
	case ACT_CHOWN:
	case ACT_UTIMES:
		return was_linked(act->path);
	case ACT_RENAME:
		return was_linked(act->path) && was_linked(act->to);
	default:
		return false;
	}
}

/* Acts that the rules of NFS judge as POSIX does, whoever asks. */
static bool is_for_users(enum act_kind kind)
{
	switch (kind) {
	case ACT_CREATE_GUARDED:
	case ACT_MKDIR:
	case ACT_RMDIR:
	case ACT_UNLINK:
	case ACT_RENAME:
	case ACT_SYMLINK:
	case ACT_CHMOD:
		return true;
	default:
		return false;
	}
}

/* Names come and go more often than the rest happens. */
static enum act_kind random_kind(uint64_t *random)
{
	static const enum act_kind frequent[] = {
		ACT_RENAME, ACT_RENAME, ACT_MKDIR, ACT_RMDIR,
		ACT_UNLINK, ACT_UNLINK, ACT_LINK,
	};
	const unsigned n = sizeof(frequent) / sizeof(frequent[0]);
	unsigned i = test_random(random) % (ACT_KINDS + n);

	return i < ACT_KINDS ? i : frequent[i - ACT_KINDS];
}

/* A path, in a directory that is there for the most part. */
static void random_path(uint64_t *random, char path[SIDE_PATH])
{
	char dir[SIDE_PATH], line[SIDE_LINE];
	char *slash;

	for (unsigned i = 0; i < 6; i++) {
		layers_path(random, path, SIDE_PATH);
		strcpy(dir, path);
		slash = strrchr(dir, '/');
		if (!slash)
			break;
		*slash = '\0';
		if (!kernel_side.describe(dir, line) && !strncmp(line, "04", 2))
			break;
	}
}

static void one_act(struct run *run, unsigned number)
{
	static const mode_t modes[] = { 0644, 0755, 0777, 01777, 02775, 04711 };
	uint64_t *random = &run->random;
	char path[SIDE_PATH], to[SIDE_PATH];
	struct act act = {
		.kind = random_kind(random),
		.path = path,
		.mode = modes[test_random(random) % 6],
		.owner = 1000 + test_random(random) % 2,
		.cut = test_random(random) % 2,
		.size = test_random(random) % 10000,
		.text = "what is written",
		.time = { test_random(random) % 1000000, 123456789 },
	};
	int kernel, veneer;

	random_path(random, path);
	random_path(random, to);
	if (act.kind == ACT_RENAME || act.kind == ACT_LINK ||
	    act.kind == ACT_SYMLINK)
		act.to = to;
	if (act.kind == ACT_MKDIR)
		act.mode &= 01777; /* mkdir(2) takes no more */
	if (is_for_users(act.kind) && test_random(random) % 4 == 0)
		act.uid = 1000;
	if (is_excepted(&act))
		return;
	kernel = kernel_side.act(&act);
	veneer = veneer_side.act(&act);
	if (getenv("AGREEMENT_VERBOSE"))
		printf("%u: %s '%s' '%s' by %u: %s\n", number,
		       act_names[act.kind], path, act.to ? act.to : "", act.uid,
		       strerrorname_np(-kernel));
	ck_assert_msg(kernel == veneer,
	              "act %u: %s '%s' '%s' by %u: kernel %s, veneer %s",
	              number, act_names[act.kind], path, act.to ? act.to : "",
	              act.uid, strerrorname_np(-kernel),
	              strerrorname_np(-veneer));
	if (getenv("AGREEMENT_VERBOSE"))
		compare_sides("after this act");
}

/* ---- the cases ------------------------------------------------------------ */

static struct run new_run(unsigned number)
{
	static const unsigned sizes[] = { 1, 20, 1000 };
	struct run run = { .random = seed + number };
	uint64_t layers_seed;

	run.nlayers = 1 + test_random(&run.random) % MAX_LAYERS;
	run.max_entries = sizes[test_random(&run.random) % 3];
	run.max_files = sizes[test_random(&run.random) % 3];
	run.cache = test_random(&run.random) % 3;
	layers_seed = test_random(&run.random);
	make_overlay_dirs(&run, "one", layers_seed);
	make_overlay_dirs(&run, "two", layers_seed);
	return run;
}

/* They change places each round. */
static void one_round(struct run *run, const char *for_kernel,
                      const char *for_veneer)
{
	ck_assert_int_eq(mount_kernel(run, for_kernel), 0);
	open_veneer(run, for_veneer);
	compare_sides("at the start of a round");
	for (unsigned i = 0; i < ACTS; i++)
		one_act(run, i);
	compare_sides("at the end of a round");
	compare_restarted(run, for_veneer);
	compare_sides("after a restart");
	close_veneer(run);
	unmount_kernel(run, for_kernel);
}

START_TEST(the_kernel_and_veneer_agree)
{
	struct run run;

	printf("run %d\n", _i);
	fflush(stdout);
	ck_assert(tree_may_mount());
	if (_i % 2)
		tree_mount_tmpfs("", "size=64M");
	/* What was opened before the mount is what is below it. */
	close(tree);
	tree = open(tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	run = new_run(_i);
	for (unsigned round = 0; round < ROUNDS; round++)
		one_round(&run, round % 2 ? "two" : "one",
		          round % 2 ? "one" : "two");
}
END_TEST

static bool try_mount(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/tmp", "tmpfs", 0, NULL) == 0 &&
	       chdir("/tmp") == 0 && mkdir("low", 0755) == 0 &&
	       mkdir("up", 0755) == 0 && mkdir("work", 0755) == 0 &&
	       mount("none", "/tmp", "overlay", 0,
	             "lowerdir=low,upperdir=up,workdir=work") == 0;
}

/* Whether an overlay can be mounted here; in a child, so that nothing stays. */
static bool may_mount_overlays(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(try_mount() ? EXIT_SUCCESS : EXIT_FAILURE);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	Suite *suite;
	TCase *tcase;

	if (!may_mount_overlays()) {
		printf("skipped: no overlay can be mounted here\n");
		return 77;
	}
	suite = suite_create("agreement");
	tcase = tcase_create("agreement");
	seed = test_seed();
	tcase_add_loop_test(tcase, the_kernel_and_veneer_agree, 0,
	                    test_rounds("AGREEMENT_RUNS", SAMPLE_RUNS,
	                                ALL_RUNS));
	return tree_run(suite, tcase);
}
