#include "config.h"

#include "tests/agreement/sequence.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/agreement/act.h"
#include "tests/agreement/choose.h"
#include "tests/agreement/manifest.h"
#include "tests/agreement/side.h"
#include "tests/agreement/world.h"

/* Nothing hangs for ever. */
#define DEADLINE_S 300

/* A run of it, in its process. */
struct run {
	const struct sequence *sequence;
	struct world world;
	FILE *out; /* the world's */
	struct act acts[MAX_STEPS];
	struct manifest *first; /* what the kernel showed at the start */
	bool parted;            /* the trees differ from here on */
};

/* ---- differences that have a reason ---------------------------------------- */

#define ANYTHING 1

/*
 * None of these is veneer's to mend; where one is met, the trees must still be
 * the same. With KERNEL_CONTRADICTS they cannot be, and the sequence ends.
 */
static const struct {
	enum act_kind first, last;
	int kernel, veneer; /* results */
	const char *why;
} argued[] = {
	{ ACT_STAT_HELD, ACT_READ_HELD, -ESTALE, ANYTHING,
	  "the kernel keeps what is open when its name is gone; a server does "
	  "where it has another name, and else the handle is stale" },
	{ ACT_RENAME, ACT_RENAME_BACK_AND_FORTH, -ESTALE, 0,
	  "one name of a file onto another does nothing (POSIX); without an "
	  "index the kernel does not see in time that the two are one" },
	{ ACT_RMDIR, ACT_REMOVE_TREE, KERNEL_CONTRADICTS, 0,
	  "where nothing but whiteouts by attribute is left, the kernel lists "
	  "nothing, but takes them for files when it is to remove the "
	  "directory: it looks at the attribute in readdir(3) only" },
	{ ACT_RENAME, ACT_RENAME_BACK_AND_FORTH, KERNEL_CONTRADICTS, 0,
	  "the same, when it is to replace the directory" },
	{ ACT_ACCESS, ACT_ACCESS, KERNEL_CONTRADICTS, 0,
	  "without an index, two names of one file are two inodes to the "
	  "kernel after a mount: it shows the mode that was set by the other, "
	  "and judges by the one before" },
};
#define NARGUED (sizeof(argued) / sizeof(argued[0]))

static bool is_argued(const struct act *act, const struct outcome *kernel,
                      const struct outcome *veneer)
{
	for (size_t i = 0; i < NARGUED; i++)
		if (act->kind >= argued[i].first &&
		    act->kind <= argued[i].last &&
		    kernel->err == argued[i].kernel &&
		    (veneer->err == argued[i].veneer ||
		     argued[i].veneer == ANYTHING))
			return true;
	return false;
}

/* ---- the steps ------------------------------------------------------------- */

static void compare_sides(struct run *run, const char *when)
{
	struct manifest *kernel = manifest_take(&kernel_side);
	struct manifest *veneer = manifest_take(&nfs_side);

	if (!manifest_same(kernel, "kernel", veneer, "veneer", TELL_ALL,
	                   run->out))
		give_up(&run->world, "%s", when);
	manifest_free(kernel);
	manifest_free(veneer);
}

/* What veneer shows, identities too, is the same after a restart. */
static void restart_veneer(struct run *run)
{
	struct manifest *before = manifest_take(&nfs_side), *after;

	world_stop(&run->world, run->sequence->seed % 2 ? SIGTERM : SIGKILL);
	world_serve(&run->world, "v");
	after = manifest_take(&nfs_side);
	if (!manifest_same(before, "before", after, "after",
	                   TELL_ALL | TELL_IDENTITY, run->out))
		give_up(&run->world, "a restart");
	manifest_free(before);
	manifest_free(after);
}

static void restart(struct run *run)
{
	restart_veneer(run);
	world_unmount(&run->world, "k");
	world_mount(&run->world, "k", true);
}

static const char *name_of(int err)
{
	if (err == KERNEL_CONTRADICTS)
		return "not what it shows";
	return err ? strerrorname_np(-err) : "0";
}

static void compare_outcomes(struct run *run, unsigned i,
                             const struct outcome *kernel,
                             const struct outcome *veneer)
{
	if (is_argued(&run->acts[i], kernel, veneer)) {
		run->parted = kernel->err == KERNEL_CONTRADICTS;
		return;
	}
	if (kernel->err != veneer->err)
		give_up(&run->world, "step %u: kernel %s, veneer %s", i,
		        name_of(kernel->err), name_of(veneer->err));
	if (kernel->seen != veneer->seen)
		give_up(&run->world, "step %u shows kernel %llx, veneer %llx",
		        i, (unsigned long long)kernel->seen,
		        (unsigned long long)veneer->seen);
}

static void one_step(struct run *run, unsigned i)
{
	const struct act *act = &run->acts[i];
	struct outcome kernel = { 0 }, veneer = { 0 };

	if (act->kind == ACT_RESTART) {
		restart(run);
	} else {
		kernel = act_do(act, &kernel_side);
		veneer = act_do(act, &nfs_side);
	}
	if (run->sequence->verbose) {
		fprintf(run->out, "%u: ", i);
		act_print(act, run->out);
		fprintf(run->out, ": %s\n", name_of(kernel.err));
	}
	compare_outcomes(run, i, &kernel, &veneer);
	if (run->sequence->careful && !run->parted)
		compare_sides(run, "after this step");
}

static bool is_kept(const struct sequence *sequence, unsigned i)
{
	return !sequence->kept || sequence->kept[i];
}

/* What stands at first where the steps will be. */
static void tell_first(struct run *run)
{
	for (unsigned i = 0; i < run->sequence->steps; i++) {
		if (!is_kept(run->sequence, i))
			continue;
		manifest_print(run->first, run->acts[i].path, run->out);
		if (*run->acts[i].to)
			manifest_print(run->first, run->acts[i].to, run->out);
	}
}

static void all_steps(struct run *run)
{
	const struct sequence *sequence = run->sequence;
	struct known *known = calloc(1, sizeof(*known));

	ck_assert_ptr_nonnull(known);
	manifest_paths(run->first, known);
	acts_make(run->acts, sequence->steps, sequence->seed, known,
	          sequence->user);
	free(known);
	if (sequence->verbose)
		tell_first(run);
	for (unsigned i = 0; i < sequence->steps && !run->parted; i++)
		if (is_kept(sequence, i))
			one_step(run, i);
}

/* ---- before and after ------------------------------------------------------ */

/* Of the set "v", as it is on disk; to be freed. */
static char *disk_of_lowers(struct run *run)
{
	const struct layers_kind *layers = &run->world.layers;
	char path[PATH_MAX], name[64], *text = NULL, *one;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (unsigned i = 0; i < layers->n + layers->data; i++) {
		snprintf(name, sizeof(name), "v/l%u", i);
		world_at(&run->world, i < layers->n ? name : "v/data", path);
		one = manifest_of_disk(path);
		fputs(one, out);
		free(one);
	}
	fclose(out);
	return text;
}

/* The first line in which they differ. */
static void compare_texts(struct run *run, const char *a, const char *b,
                          const char *what)
{
	const char *a_line = a, *b_line = b;

	if (!strcmp(a, b))
		return;
	for (size_t i = 0; a[i] == b[i]; i++)
		if (a[i] == '\n') {
			a_line = a + i + 1;
			b_line = b + i + 1;
		}
	give_up(&run->world, "%s:\n%.*s\n%.*s", what,
	        (int)strcspn(a_line, "\n"), a_line, (int)strcspn(b_line, "\n"),
	        b_line);
}

/*
 * Without an index, a name that was never touched of a lower file of several
 * links shows the file as it was, when another name has been written to. So
 * these are looked at with an index only. Overrides are veneer's own.
 */
static unsigned told_in_exchange(const struct run *run)
{
	return run->sequence->user ? 0 : TELL_ALL;
}

/* What the kernel shows at the mount of a side, with extended attributes. */
static struct manifest *take_kernel(const struct run *run, const char *mount)
{
	struct manifest *manifest = manifest_take(&kernel_side);
	char path[PATH_MAX];

	world_at(&run->world, mount, path);
	manifest_add_xattrs(manifest, path);
	return manifest;
}

/* The kernel shows what veneer wrote as it shows what it wrote itself. */
static void kernel_reads_veneer(struct run *run, const struct manifest *kernel)
{
	struct manifest *found;

	world_mount(&run->world, "v", false);
	found = take_kernel(run, "v/mnt");
	world_unmount(&run->world, "v");
	if (!manifest_same(kernel, "written by the kernel", found,
	                   "written by veneer",
	                   told_in_exchange(run) | TELL_XATTRS, run->out))
		give_up(&run->world, "what veneer wrote, read by the kernel");
	manifest_free(found);
}

/* And the other way round. */
static void veneer_reads_kernel(struct run *run, const struct manifest *kernel)
{
	struct manifest *found;

	world_serve(&run->world, "k");
	found = manifest_take(&nfs_side);
	world_stop(&run->world, SIGTERM);
	if (!manifest_same(kernel, "kernel", found, "veneer",
	                   told_in_exchange(run), run->out))
		give_up(&run->world, "what the kernel wrote, read by veneer");
	manifest_free(found);
}

static void exchange(struct run *run)
{
	struct manifest *kernel = take_kernel(run, "k/mnt");

	manifest_forgive_links(kernel, run->first);
	/* Without root, what is special stands in an override, and nothing
	 * opens what is closed to its owner. */
	if (run->sequence->user) {
		manifest_forgive_special(kernel);
		manifest_unlock(kernel, &kernel_side);
	}
	world_unmount(&run->world, "k");
	kernel_reads_veneer(run, kernel);
	veneer_reads_kernel(run, kernel);
}

/* ---- all of it ------------------------------------------------------------- */

static void run_sequence(struct run *run)
{
	char *before, *after;

	world_make(&run->world, run->sequence->seed);
	before = disk_of_lowers(run);
	run->world.daemon = daemon_new();
	umask(0);
	world_mount(&run->world, "k", true);
	world_serve(&run->world, "v");
	run->first = manifest_take(&kernel_side);
	compare_sides(run, "at the start");
	all_steps(run);
	if (!run->parted)
		compare_sides(run, "at the end");
	restart_veneer(run);
	world_stop(&run->world, SIGTERM);
	after = disk_of_lowers(run);
	compare_texts(run, before, after, "lower layers, before and after");
	if (!run->parted)
		exchange(run);
}

static _Noreturn void in_process(const struct sequence *sequence, int report,
                                 const char *dir)
{
	struct run *run = calloc(1, sizeof(*run));

	alarm(DEADLINE_S);
	run->sequence = sequence;
	run->out = fdopen(report, "w");
	setvbuf(run->out, NULL, _IOLBF, 0);
	run->world = (struct world){
		.top = dir,
		.user = sequence->user,
		.out = run->out,
	};
	if (!world_enter(&run->world))
		give_up(&run->world, "no namespace: %s", strerror(errno));
	/* Another user would not have kept it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("TMPDIR", dir, 1);
	run_sequence(run);
	fflush(run->out);
	_exit(EXIT_SUCCESS);
}

struct running sequence_start(const struct sequence *sequence, const char *dir)
{
	struct running running = {
		.report = memfd_create("report", MFD_CLOEXEC),
	};

	ck_assert_int_ge(running.report, 0);
	fflush(stdout);
	running.pid = fork();
	ck_assert_int_ge(running.pid, 0);
	if (running.pid == 0)
		in_process(sequence, running.report, dir);
	return running;
}

bool sequence_end(const struct running *running, int status, char **report)
{
	off_t size = lseek(running->report, 0, SEEK_END);
	char *text = calloc(1, size + 64);

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(pread(running->report, text, size, 0), size);
	close(running->report);
	if (status && (!WIFEXITED(status) || size == 0))
		sprintf(text + size, "its process ended with status %#x\n",
		        status);
	*report = text;
	return status == 0;
}

bool sequence_is_possible(bool user, const char *dir)
{
	struct world world = { .top = dir, .user = user, .out = stdout };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (!world_enter(&world))
			_exit(EXIT_FAILURE);
		world_make(&world, 1);
		world_mount(&world, "k", true);
		_exit(access(getenv("VENEERD"), X_OK) ? EXIT_FAILURE
		                                      : EXIT_SUCCESS);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}
