/*
 * Whatever moves, and whenever veneerd is started anew: a handle that a client
 * got is of the same object ever after, and stale once that is gone.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/layer.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/moves/layers.h"
#include "tests/moves/world.h"
#include "tests/unit/seed.h"

#define STEPS 50
/* Starts and audits come after so many steps, at random. */
#define STEPS_A_START 9
#define STEPS_AN_AUDIT 9
/* At some starts there is a layer more, on top. */
#define STARTS_A_LAYER 8
#define MAX_EXTRA 3
/* Names that somebody may have a hand in, between an end and a start. */
#define MEDDLINGS 4

/* More names than few entries leave room for, in a layer. */
#define BALLAST 200

static struct daemon *veneerd;
static struct world world;

static const struct variant {
	const char *name;
	bool lost; /* what is remembered of handles, at each start */
	bool few;  /* entries in memory */
} variants[] = {
	{ "as it is", false, false },
	{ "what is remembered is lost", true, false },
	{ "few entries", false, true },
};
#define NVARIANTS (int)(sizeof(variants) / sizeof(variants[0]))

/* One export through its starts. */
struct run {
	const struct variant *variant;
	bool userxattr, metacopy;
	unsigned extra; /* layers that came upon the others */
};

static unsigned pick(unsigned of)
{
	return (unsigned)(test_random(&world.random) % of);
}

/* ---- starting and ending ------------------------------------------------------ */

static void print_layers(const struct run *run, char *layers, size_t size)
{
	size_t n = (size_t)snprintf(layers, size, "lowerdir=");

	for (unsigned i = run->extra; i-- > 0;)
		n += (size_t)snprintf(layers + n, size - n,
		                      "%s/extra%u:", veneerd->top, i);
	snprintf(layers + n, size - n,
	         "%1$s/high:%1$s/low,upperdir=%1$s/upper,"
	         "workdir=%1$s/work,statedir=%1$s/state",
	         veneerd->top);
}

static void start(const struct run *run)
{
	static const char *const caches[] = { "auto", "always", "never" };
	char layers[4096], options[128];
	const char *arguments[] = { "-o", layers, "-o", options, "--threads",
		                    "2",  NULL,   NULL, NULL };

	print_layers(run, layers, sizeof(layers));
	snprintf(options, sizeof(options),
	         "insecure,no_root_squash,async,cache=%s,metacopy=%s%s",
	         caches[pick(3)], run->metacopy ? "on" : "off",
	         run->userxattr ? ",userxattr" : "");
	if (run->variant->few) {
		arguments[6] = "--max-entries";
		arguments[7] = "100";
	}
	daemon_serve(veneerd, arguments);
	world_connect(&world, veneerd);
}

/* All but what must be kept: ids, keys and the register. */
static void lose_what_is_remembered(void)
{
	char path[PATH_MAX];
	DIR *dir = opendir(daemon_path(veneerd, "state", path));
	const struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, "state") != 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

/* A new layer on top, with a file that nothing had the name of. */
static void add_layer(struct run *run)
{
	char name[32], path[64];
	unsigned file;

	if (run->extra == MAX_EXTRA)
		return;
	snprintf(name, sizeof(name), "extra%u", run->extra++);
	printf("%s is new\n", name);
	file = model_add(&world.model, MODEL_ROOT, name, S_IFREG);
	daemon_mkdir(veneerd, name);
	snprintf(path, sizeof(path), "%s/%s", name, name);
	daemon_write(veneerd, path, world.model.objects[file].text);
}

/*
 * Somebody renames something in the upper layer, or removes it, whose name covers
 * none of the layers below: those that the steps give.
 */
static void meddle(void)
{
	unsigned name = pick(world.model.nnames), object;
	struct model_name *is = &world.model.names[name];
	char path[MODEL_PATH], old[PATH_MAX], new[PATH_MAX], new_name[32];
	bool removes;

	snprintf(path, sizeof(path), "upper");
	model_path(&world.model, name, path + strlen(path));
	daemon_path(veneerd, path, old);
	snprintf(new_name, sizeof(new_name), "n%u", 100 + pick(100));
	if (is->name[0] != 'n' ||
	    faccessat(AT_FDCWD, old, F_OK, AT_SYMLINK_NOFOLLOW) != 0 ||
	    model_find(&world.model, is->dir, new_name) >= 0)
		return;
	object = is->object;
	/* Of what the server has counted names of, it is to count them. */
	removes = S_ISREG(world.model.objects[object].type) &&
	          world.model.objects[object].fileid >> OVL_INO_BITS == 0 &&
	          model_links(&world.model, object) == 1 && pick(2);
	printf("somebody %s %s\n", removes ? "removes" : "renames", path);
	if (removes) {
		ck_assert_int_eq(unlink(old), 0);
		model_drop_name(&world.model, name);
		return;
	}
	snprintf(new, sizeof(new), "%.*s/%s", (int)(strrchr(old, '/') - old),
	         old, new_name);
	ck_assert_int_eq(rename(old, new), 0);
	strcpy(is->name, new_name);
}

static void start_anew(struct run *run)
{
	int signal = pick(2) ? SIGTERM : SIGKILL, status;

	printf("%s, and a new start\n", signal == SIGTERM ? "end" : "kill");
	world_leave(&world);
	status = daemon_end(veneerd, signal);
	ck_assert(signal == SIGKILL || status == 0);
	if (run->variant->lost)
		lose_what_is_remembered();
	if (pick(STARTS_A_LAYER) == 0)
		add_layer(run);
	for (unsigned i = 0; i < MEDDLINGS; i++)
		meddle();
	start(run);
}

static void list_all(const char *name)
{
	nfs_fh3 dir = nfs_find(world.client, nfs_root(world.client), name);
	READDIRPLUS3res *res;
	entryplus3 *entry;
	cookie3 cookie = 0;

	do {
		res = nfs_readdirplus(world.client, dir, cookie, 65536, 65536);
		ck_assert_int_eq(res->status, NFS3_OK);
		entry = res->READDIRPLUS3res_u.resok.reply.entries;
		for (; entry; entry = entry->nextentry)
			cookie = entry->cookie;
	} while (!res->READDIRPLUS3res_u.resok.reply.eof);
}

/* Where there is room for few, this leaves none of the others in memory. */
static void list_ballast(void)
{
	list_all(".low");
	list_all(".upper");
}

/* ---- the layers --------------------------------------------------------------- */

static void make_ballast(const char *dir)
{
	char name[64];

	daemon_mkdir(veneerd, dir);
	for (unsigned i = 0; i < BALLAST; i++) {
		snprintf(name, sizeof(name), "%s/%u", dir, i);
		daemon_write(veneerd, name, "");
	}
}

static void make_layers(const struct run *run)
{
	char high[PATH_MAX], low[PATH_MAX], upper[PATH_MAX];

	daemon_mkdir(veneerd, "high");
	daemon_mkdir(veneerd, "low");
	if (run->variant->few) {
		make_ballast("low/.low");
		make_ballast("upper/.upper");
	}
	layers_make(daemon_path(veneerd, "high", high),
	            daemon_path(veneerd, "low", low),
	            daemon_path(veneerd, "upper", upper), run->userxattr,
	            &world.model);
}

static void begin(struct run *run)
{
	printf("%s, %s attributes%s\n", run->variant->name,
	       run->userxattr ? "user" : "trusted",
	       run->metacopy ? ", metacopy" : "");
	veneerd = daemon_new();
	make_layers(run);
	start(run);
}

static void finish(struct run *run)
{
	start_anew(run);
	world_audit(&world);
	world_leave(&world);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	daemon_free(veneerd);
}

/* By a loop's number; root has a choice of attributes. */
static struct run choose_run(int loop)
{
	struct run run = { .variant = &variants[loop % NVARIANTS] };

	world.random = test_seed();
	run.userxattr = pick(2) || geteuid() != 0;
	run.metacopy = pick(2);
	return run;
}

/* ---- the tests ---------------------------------------------------------------- */

static void check_after_start(struct run *run)
{
	start_anew(run);
	if (run->variant->few)
		list_ballast();
	world_audit(&world);
}

static void rename_path(const char *path, const char *to)
{
	const char *name;
	unsigned dir = model_split(&world.model, to, &name);

	world_rename(&world, model_name_at(&world.model, path), dir, name);
}

/* Lower, merged, opaque, redirected and pure directories. */
static const char *const dirs[] = { "only", "merged", "opaque", "redirected",
	                            "pure" };

/* Each directory `from`NAME becomes `to`NAME; then there is a new start. */
static void move_all(struct run *run, const char *from, const char *to)
{
	char old[64], new[64];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(old, sizeof(old), "%s%s", from, dirs[i]);
		snprintf(new, sizeof(new), "%s%s", to, dirs[i]);
		rename_path(old, new);
	}
	check_after_start(run);
}

/* Trap 14. */
START_TEST(a_renamed_tree_keeps_its_handles_through_every_start)
{
	struct run run = choose_run(_i);

	begin(&run);
	world_audit(&world);
	move_all(&run, "", "was-");
	world_make(&world, MODEL_ROOT, "above", S_IFDIR);
	move_all(&run, "was-", "above/");
	rename_path("above", "over");
	check_after_start(&run);
	rename_path("over/only/deep", "deep");
	rename_path("over/merged/sub", "over/only/sub");
	rename_path("over/redirected/sub", "over/pure/sub-of-another");
	check_after_start(&run);
	move_all(&run, "over/", "");
	finish(&run);
}
END_TEST

/* Names of one object each, of lower and of upper layers. */
static const char *const links[][3] = {
	{ "one", "two", "only/three" },  { "four", "merged/five", NULL },
	{ "six", "merged/seven", NULL }, { "symlink", "only/symlink", NULL },
	{ "fifo", "merged/fifo", NULL },
};

START_TEST(a_link_keeps_its_handle_while_its_other_names_go)
{
	struct run run = choose_run(_i);

	begin(&run);
	world_audit(&world);
	for (unsigned name = 0; name < 3; name++) {
		for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
			if (links[i][name])
				world_remove(&world,
				             model_name_at(&world.model,
				                           links[i][name]));
		check_after_start(&run);
	}
	finish(&run);
}
END_TEST

/* First the attributes, then the data of what has any; all names, in any order. */
START_TEST(what_is_copied_up_keeps_its_handle_through_every_start)
{
	const struct model *model = &world.model;
	struct run run = choose_run(_i);

	begin(&run);
	world_audit(&world);
	for (unsigned i = 0; i < model->nnames; i++)
		if (!S_ISLNK(model->objects[model->names[i].object].type))
			world_chmod(&world, i, 0700 | i % 0100);
	check_after_start(&run);
	for (unsigned i = 0; i < model->nnames; i++)
		if (S_ISREG(model->objects[model->names[i].object].type))
			world_write(&world, i);
	finish(&run);
}
END_TEST

/* Some handles are given out only when their objects have moved and changed. */
static void give_out_some(void)
{
	for (unsigned i = 0; i < world.model.nobjects; i++)
		if (pick(2))
			world_handle(&world, i);
}

static void run_sequence(struct run *run)
{
	begin(run);
	give_out_some();
	for (unsigned i = 0; i < STEPS; i++) {
		world_step(&world);
		if (run->variant->few && pick(2))
			list_ballast();
		world_glance(&world);
		if (pick(STEPS_A_START) == 0)
			start_anew(run);
		/* Or things go on without. */
		if (pick(STEPS_AN_AUDIT) == 0)
			world_audit(&world);
		fflush(stdout);
	}
	finish(run);
}

START_TEST(a_handle_is_of_its_object_whatever_moves_and_starts)
{
	int rounds = test_rounds("TEST_ROUNDS", 1, 30);
	struct run run = choose_run(_i);

	run.userxattr = _i < NVARIANTS || geteuid() != 0;
	while (rounds-- > 0) {
		run_sequence(&run);
		run.metacopy = pick(2);
		run.extra = 0;
	}
}
END_TEST

/* Each with each variant; at random, with either kind of attributes as well. */
static Suite *suite(void)
{
	Suite *suite = suite_create("moves");
	TCase *tcase = tcase_create("moves");

	tcase_set_timeout(tcase, getenv("TEST_FULL") ? 1200 : 120);
	tcase_add_loop_test(
		tcase, a_renamed_tree_keeps_its_handles_through_every_start, 0,
		NVARIANTS);
	tcase_add_loop_test(tcase,
	                    a_link_keeps_its_handle_while_its_other_names_go, 0,
	                    NVARIANTS);
	tcase_add_loop_test(
		tcase, what_is_copied_up_keeps_its_handle_through_every_start,
		0, NVARIANTS);
	tcase_add_loop_test(tcase,
	                    a_handle_is_of_its_object_whatever_moves_and_starts,
	                    0, (geteuid() == 0 ? 2 : 1) * NVARIANTS);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	if (getenv("VENEERD") == NULL) {
		puts("VENEERD is not set");
		return 77;
	}
	return suite_run(suite());
}
