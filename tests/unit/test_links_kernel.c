/*
 * Hard links of lower files, as the kernel's overlayfs (index=on) has them: the
 * same acts, and after each the same tree, link counts and all, and as many files
 * in the index.
 */
#include "config.h"

#include <dirent.h>
#include <sys/wait.h>

#include "overlay/overlay.h"

#include "seed.h"
#include "side.h"
#include "tree.h"

#define SAMPLE_RUNS 6
#define ALL_RUNS 200
#define ACTS 60

static uint64_t seed;
static struct ovl *fs;
static int mounted = -1;

/* ---- both overlays -------------------------------------------------------- */

static void link_in(int dir, const char *from, const char *to)
{
	ck_assert_int_eq(linkat(dir, from, dir, to, 0), 0);
}

static void file_in(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, name, strlen(name)), strlen(name));
	close(fd);
}

/* Links of each type, one that the layer does not hold, and one hidden in it. */
static void make_layers(const char *name)
{
	static const char *const dirs[] = { "up",      "work",    "mnt",
		                            "high",    "low",     "low/d",
		                            "outside", "low/gone" };
	int dir;

	tree_mkdir(name);
	dir = tree_open(name, O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ck_assert_int_eq(mkdirat(dir, dirs[i], 0755), 0);
	file_in(dir, "low/a");
	link_in(dir, "low/a", "low/d/b");
	link_in(dir, "low/a", "low/d/c");
	file_in(dir, "low/x");
	file_in(dir, "outside/file");
	link_in(dir, "outside/file", "low/o");
	file_in(dir, "low/h");
	link_in(dir, "low/h", "low/gone/h");
	ck_assert_int_eq(mknodat(dir, "high/gone", S_IFCHR, 0), 0);
	ck_assert_int_eq(symlinkat("x", dir, "low/s"), 0);
	link_in(dir, "low/s", "low/d/s");
	ck_assert_int_eq(mkfifoat(dir, "low/p", 0644), 0);
	link_in(dir, "low/p", "low/d/p");
	ck_assert_int_eq(mknodat(dir, "low/n", S_IFCHR | 0644, 0x105), 0);
	link_in(dir, "low/n", "low/d/n");
	close(dir);
}

/* Without data at first, every other time: it shows no difference. */
static bool metacopy;

static void open_veneer(void)
{
	static char paths[4][sizeof(tree_path) + 16];
	static const char *const names[] = { "high", "low", "up", "work" };
	const char *lowers[] = { paths[0], paths[1] };
	struct ovl_config config = {
		.lowerdirs = lowers,
		.nlowerdirs = 2,
		.upperdir = paths[2],
		.workdir = paths[3],
		.metacopy = metacopy,
		.cache = OVL_CACHE_ALWAYS,
		.sync = OVL_ASYNC,
		.max_entries = 1000,
		.max_files = 100,
	};
	char why[256];

	for (unsigned i = 0; i < 4; i++)
		snprintf(paths[i], sizeof(paths[i]), "%s/v/%s", tree_path,
		         names[i]);
	ck_assert_msg(!ovl_open(&config, &fs, why, sizeof(why)), "%s", why);
	veneer_side_use(fs);
}

static void mount_kernel(void)
{
	char options[4 * sizeof(tree_path) + 200];

	snprintf(options, sizeof(options),
	         "index=on,redirect_dir=off,metacopy=off,"
	         "lowerdir=%s/k/high:%s/k/low,upperdir=%s/k/up,"
	         "workdir=%s/k/work",
	         tree_path, tree_path, tree_path, tree_path);
	ck_assert_int_eq(
		mount("overlay", tree_at("k/mnt"), "overlay", 0, options), 0);
	mounted = open(tree_at("k/mnt"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kernel_side_use(mounted);
}

static void restart(void)
{
	ovl_close(fs);
	close(mounted);
	ck_assert_int_eq(umount(tree_at("k/mnt")), 0);
	open_veneer();
	mount_kernel();
}

static void start(void)
{
	ck_assert(tree_may_mount());
	tree_mount_tmpfs("", "size=64M");
	close(tree);
	tree = open(tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_layers("k");
	make_layers("v");
	open_veneer();
	mount_kernel();
}

static void stop(void)
{
	ovl_close(fs);
	close(mounted);
	ck_assert_int_eq(umount(tree_at("k/mnt")), 0);
}

/* ---- comparing ------------------------------------------------------------ */

/* Copies in an index; the kernel keeps a whiteout there, "#...". */
static unsigned index_count(const char *path)
{
	DIR *dir = opendir(tree_at(path));
	const struct dirent *entry;
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.' && entry->d_name[0] != '#';
	closedir(dir);
	return n;
}

static void compare(const char *when)
{
	char *kernel = side_manifest(&kernel_side);
	char *veneer = side_manifest(&veneer_side);

	ck_assert_msg(!strcmp(kernel, veneer),
	              "after %s:\nkernel:\n%sveneer:\n%s", when, kernel,
	              veneer);
	free(kernel);
	free(veneer);
	ck_assert_msg(index_count("k/work/index") ==
	                      index_count("v/work/veneer/index"),
	              "after %s: the indices differ", when);
}

/* One act on both sides; ACT_KINDS: both start anew. */
static void step(enum act_kind kind, const char *path, const char *to)
{
	const struct act act = {
		.kind = kind,
		.path = path,
		.to = to,
		.mode = 0600,
		.owner = 1000,
		.text = "what is written",
		.time = { 1000, 0 },
	};
	char when[SIDE_LINE] = "a restart";
	int kernel = 0, veneer = 0;

	if (kind == ACT_KINDS) {
		restart();
	} else {
		snprintf(when, sizeof(when), "%s %s %s", act_names[kind], path,
		         to ? to : "");
		kernel = kernel_side.act(&act);
		veneer = veneer_side.act(&act);
	}
	if (getenv("LINKS_VERBOSE"))
		printf("%s: %s\n", when, strerrorname_np(-kernel));
	ck_assert_msg(kernel == veneer, "%s: kernel %s, veneer %s", when,
	              strerrorname_np(-kernel), strerrorname_np(-veneer));
	compare(when);
}

/* ---- the cases ------------------------------------------------------------ */

/* An act a line; the name says what it is about. */
static const struct {
	const char *what;
	const char *steps[12];
} scripts[] = {
	{ "write through one name, then the others go",
	  { "write d/b", "unlink a", "unlink d/c", "restart", "write d/b",
	    "unlink d/b" } },
	{ "a name goes before anything is written",
	  { "unlink d/b", "restart", "write a", "unlink d/c", "unlink a" } },
	{ "all names go, and nothing was written",
	  { "unlink d/b", "unlink a", "unlink d/c" } },
	{ "a name is renamed, and one over another of the same file",
	  { "rename d/c new", "rename new d/c", "restart", "rename d/b a",
	    "rename d/c d/b", "unlink a" } },
	{ "a name is replaced by another file, and that by a name",
	  { "rename x d/b", "rename a d/b", "restart", "create a",
	    "rename d/b a", "rename x d/c", "unlink a" } },
	{ "links are made by touched and untouched names",
	  { "link a e", "link d/b d/f", "unlink d/b", "restart", "link d/f d/b",
	    "unlink a", "unlink d/b", "unlink d/c", "unlink e", "restart",
	    "unlink d/f" } },
	{ "a link outside the layer counts for ever",
	  { "write o", "link o o2", "unlink o", "restart", "unlink o2" } },
	{ "so does one that is hidden", { "unlink h", "restart", "link x h" } },
	{ "symlinks have links as well",
	  { "chown s", "link d/s s2", "unlink s", "restart", "unlink d/s",
	    "unlink s2" } },
	{ "and FIFOs",
	  { "unlink d/p", "chmod p", "rename p d/p", "restart",
	    "unlink d/p" } },
	{ "and devices",
	  { "chmod d/n", "unlink d/n", "restart", "rename x n" } },
};

static enum act_kind kind_of(const char *word)
{
	if (!strcmp(word, "create"))
		return ACT_CREATE_GUARDED;
	for (enum act_kind kind = 0; kind < ACT_KINDS; kind++)
		if (!strcmp(word, act_names[kind]))
			return kind;
	ck_assert_str_eq(word, "restart");
	return ACT_KINDS;
}

START_TEST(link_counts_are_the_kernel_s)
{
	char line[SIDE_LINE], *word, *path, *rest;

	metacopy = _i % 2;
	printf("%s\n", scripts[_i].what);
	fflush(stdout);
	start();
	for (unsigned i = 0; i < 12 && scripts[_i].steps[i]; i++) {
		strcpy(line, scripts[_i].steps[i]);
		word = strtok_r(line, " ", &rest);
		path = strtok_r(NULL, " ", &rest);
		step(kind_of(word), path, strtok_r(NULL, " ", &rest));
	}
	stop();
}
END_TEST

START_TEST(and_so_they_are_whatever_is_done)
{
	static const char *const names[] = { "a",   "d/b", "d/c", "new",
		                             "d/a", "x",   "p",   "d/p",
		                             "s",   "d/s", "o",   "h" };
	static const enum act_kind kinds[] = {
		ACT_UNLINK, ACT_UNLINK, ACT_UNLINK,         ACT_RENAME,
		ACT_RENAME, ACT_RENAME, ACT_LINK,           ACT_LINK,
		ACT_WRITE,  ACT_CHOWN,  ACT_CREATE_GUARDED, ACT_KINDS,
	};
	uint64_t random = seed + _i;

	metacopy = _i % 2;
	start();
	for (unsigned i = 0; i < ACTS; i++) {
		const char *path = names[test_random(&random) % 12];
		const char *to = names[test_random(&random) % 12];

		step(kinds[test_random(&random) % 12], path, to);
	}
	for (unsigned i = 0; i < 12; i++)
		step(ACT_UNLINK, names[i], NULL);
	stop();
}
END_TEST

/* Whether an overlay with an index can be mounted; in a child. */
static bool may_mount_overlays(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		bool may = unshare(CLONE_NEWNS) == 0 &&
		           mount("none", "/", NULL, MS_REC | MS_PRIVATE,
		                 NULL) == 0 &&
		           mount("none", "/tmp", "tmpfs", 0, NULL) == 0 &&
		           chdir("/tmp") == 0 && mkdir("low", 0755) == 0 &&
		           mkdir("up", 0755) == 0 && mkdir("work", 0755) == 0 &&
		           mount("none", "/tmp", "overlay", 0,
		                 "index=on,lowerdir=low,upperdir=up,"
		                 "workdir=work") == 0 &&
		           access("/proc/self/fd", R_OK) == 0;

		_exit(may ? EXIT_SUCCESS : EXIT_FAILURE);
	}
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
	suite = suite_create("links, and the kernel's");
	tcase = tcase_create("links, and the kernel's");
	seed = test_seed();
	tcase_add_loop_test(tcase, link_counts_are_the_kernel_s, 0,
	                    sizeof(scripts) / sizeof(scripts[0]));
	tcase_add_loop_test(tcase, and_so_they_are_whatever_is_done, 0,
	                    test_rounds("LINKS_RUNS", SAMPLE_RUNS, ALL_RUNS));
	return tree_run(suite, tcase);
}
