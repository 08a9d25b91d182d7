/*
 * Hard links of lower files, as the kernel's overlayfs (index=on) has them: the
 * same acts, and after each the same tree, link counts and all, and as many files
 * in the index.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/agreement/manifest.h"
#include "tests/agreement/sequence.h"
#include "tests/agreement/world.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#define SAMPLE_RUNS 6
#define ALL_RUNS 200
#define ACTS 60

static uint64_t seed;
static char dir[256]; /* to be mounted on */
static struct world world;

/* ---- both overlays --------------------------------------------------------- */

static void link_in(int set, const char *from, const char *to)
{
	ck_assert_int_eq(linkat(set, from, set, to, 0), 0);
}

static void file_in(int set, const char *name)
{
	int fd = openat(set, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, name, strlen(name)), strlen(name));
	close(fd);
}

/* Links of each type, one that the layer does not hold, and one hidden in it. */
static void make_layers(const char *name)
{
	static const char *const dirs[] = {
		"up", "work", "mnt", "l0", "l1", "l1/d", "outside", "l1/gone"
	};
	char path[PATH_MAX];
	int set;

	world_at(&world, name, path);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	set = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ck_assert_int_eq(mkdirat(set, dirs[i], 0755), 0);
	file_in(set, "l1/a");
	link_in(set, "l1/a", "l1/d/b");
	link_in(set, "l1/a", "l1/d/c");
	file_in(set, "l1/x");
	file_in(set, "outside/file");
	link_in(set, "outside/file", "l1/o");
	file_in(set, "l1/h");
	link_in(set, "l1/h", "l1/gone/h");
	ck_assert_int_eq(mknodat(set, "l0/gone", S_IFCHR, 0), 0);
	ck_assert_int_eq(symlinkat("x", set, "l1/s"), 0);
	link_in(set, "l1/s", "l1/d/s");
	ck_assert_int_eq(mkfifoat(set, "l1/p", 0644), 0);
	link_in(set, "l1/p", "l1/d/p");
	ck_assert_int_eq(mknodat(set, "l1/n", S_IFCHR | 0644, 0x105), 0);
	link_in(set, "l1/n", "l1/d/n");
	close(set);
}

static void open_both(void)
{
	world_mount(&world, "k", true);
	world_serve(&world, "v");
}

static void close_both(void)
{
	world_stop(&world, SIGTERM);
	world_unmount(&world, "k");
}

/* Without data at first, or with: it shows no difference. False: not here. */
static bool start(bool metacopies)
{
	if (!sequence_is_possible(false, dir)) {
		printf("links: skipped: no overlay can be mounted here\n");
		return false;
	}
	world = (struct world){
		.top = dir,
		.out = stdout,
		.layers.n = 2,
		.redirects = metacopies,
		.metacopies = metacopies,
		.max_entries = 1000,
		.max_files = 100,
	};
	ck_assert(world_enter(&world));
	setenv("TMPDIR", dir, 1);
	world.daemon = daemon_new();
	umask(0);
	make_layers("k");
	make_layers("v");
	open_both();
	return true;
}

/* ---- comparing ------------------------------------------------------------- */

/* Copies in an index; the kernel keeps a whiteout there, "#...". */
static unsigned index_count(const char *name)
{
	const struct dirent *entry;
	char path[PATH_MAX];
	unsigned n = 0;
	DIR *index;

	world_at(&world, name, path);
	index = opendir(path);
	ck_assert_ptr_nonnull(index);
	while ((entry = readdir(index)))
		n += entry->d_name[0] != '.' && entry->d_name[0] != '#';
	closedir(index);
	return n;
}

static void compare(const char *when)
{
	struct manifest *kernel = manifest_take(&kernel_side);
	struct manifest *veneer = manifest_take(&nfs_side);

	ck_assert_msg(manifest_same(kernel, "kernel", veneer, "veneer",
	                            TELL_ALL, stdout),
	              "after %s", when);
	manifest_free(kernel);
	manifest_free(veneer);
	ck_assert_msg(index_count("k/work/index") ==
	                      index_count("v/work/veneer/index"),
	              "after %s: the indices differ", when);
}

static int act(const struct side *side, const char *word, const char *path,
               const char *to)
{
	const struct ovl_setattr set = {
		.has_mode = strcmp(word, "chown") != 0,
		.has_uid = !strcmp(word, "chown"),
		.mode = 0600,
		.uid = 1000,
	};

	if (!strcmp(word, "write"))
		return side->write(path, 0, "what is written", 15);
	if (!strcmp(word, "create"))
		return side->create(path, OVL_GUARDED, &set);
	if (!strcmp(word, "unlink"))
		return side->unlink(path);
	if (!strcmp(word, "rename"))
		return side->rename(path, to);
	if (!strcmp(word, "link"))
		return side->link(path, to);
	ck_assert(!strcmp(word, "chmod") || set.has_uid);
	return side->setattr(path, &set);
}

/* On both sides; "restart": both start anew. */
static void step(const char *word, const char *path, const char *to)
{
	int kernel = 0, veneer = 0;
	char when[256];

	snprintf(when, sizeof(when), "%s %s %s", word, path ? path : "",
	         to ? to : "");
	if (!strcmp(word, "restart")) {
		close_both();
		open_both();
	} else {
		kernel = act(&kernel_side, word, path, to);
		veneer = act(&nfs_side, word, path, to);
	}
	if (getenv("AGREEMENT_VERBOSE"))
		printf("%s: %s\n", when, strerrorname_np(-kernel));
	ck_assert_msg(kernel == veneer, "%s: kernel %s, veneer %s", when,
	              strerrorname_np(-kernel), strerrorname_np(-veneer));
	compare(when);
}

/* ---- the cases ------------------------------------------------------------- */

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

START_TEST(link_counts_are_the_kernel_s)
{
	char line[256], *word, *path, *rest;

	printf("%s\n", scripts[_i].what);
	fflush(stdout);
	if (!start(_i % 2))
		return;
	for (unsigned i = 0; i < 12 && scripts[_i].steps[i]; i++) {
		strcpy(line, scripts[_i].steps[i]);
		word = strtok_r(line, " ", &rest);
		path = strtok_r(NULL, " ", &rest);
		step(word, path, strtok_r(NULL, " ", &rest));
	}
	close_both();
}
END_TEST

START_TEST(and_so_they_are_whatever_is_done)
{
	static const char *const names[] = { "a",   "d/b", "d/c", "new",
		                             "d/a", "x",   "p",   "d/p",
		                             "s",   "d/s", "o",   "h" };
	static const char *const words[] = {
		"unlink", "unlink", "unlink", "rename", "rename", "rename",
		"link",   "link",   "write",  "chown",  "create", "restart",
	};
	uint64_t random = seed + _i;

	if (!start(_i % 2))
		return;
	for (unsigned i = 0; i < ACTS; i++) {
		const char *path = names[test_random(&random) % 12];
		const char *to = names[test_random(&random) % 12];

		step(words[test_random(&random) % 12], path, to);
	}
	for (unsigned i = 0; i < 12; i++)
		step("unlink", names[i], NULL);
	close_both();
}
END_TEST

static void setup(void)
{
	scratch_make(dir, sizeof(dir), "links");
}

static void teardown(void)
{
	if (world.daemon != NULL) {
		daemon_free(world.daemon);
		umount2(dir, MNT_DETACH);
	}
	rmdir(dir);
}

int main(void)
{
	Suite *suite = suite_create("links, and the kernel's");
	TCase *tcase = tcase_create("links, and the kernel's");

	seed = test_seed();
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, link_counts_are_the_kernel_s, 0,
	                    sizeof(scripts) / sizeof(scripts[0]));
	tcase_add_loop_test(tcase, and_so_they_are_whatever_is_done, 0,
	                    test_rounds("LINKS_RUNS", SAMPLE_RUNS, ALL_RUNS));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
