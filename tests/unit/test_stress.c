/*
 * Many threads do everything at once in a small tree, with hardly any room to
 * remember it: nothing crashes, waits for ever or is torn; each result is one
 * that some order of the calls explains; and what is left is the same after a
 * restart. It is meant to be run under ThreadSanitizer, too.
 *
 * STRESS_SECONDS=N in the environment: that long.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "seed.h"
#include "stage.h"

#define NTHREADS 6
#define SAMPLE_SECONDS 2
#define ALL_SECONDS 20

static uint64_t seed;
static atomic_bool over;
static atomic_ulong calls;

static const char *const dirs[] = { "", "d0", "d1", "d2", "d0/s", "d1/s" };
static const char *const names[] = { "a", "b", "c", "d0", "d1", "d2", "s" };

struct worker {
	uint64_t random;
	pthread_t thread;
};

static unsigned pick(struct worker *worker, unsigned of)
{
	return test_random(&worker->random) % of;
}

/* What may come of a call while others change the names under it. */
static void check_result(int err, const char *what)
{
	switch (err) {
	case 0:
	case -ENOENT:
	case -EEXIST:
	case -ENOTDIR:
	case -EISDIR:
	case -ENOTEMPTY:
	case -EINVAL:
	case -EXDEV:
	case -EPERM:
	case -ESTALE:
		return;
	default:
		ck_abort_msg("%s: %s", what, strerror(-err));
	}
}

static struct ovl_node *pick_dir(struct worker *worker)
{
	struct ovl_node *dir = NULL;
	int err = find(dirs[pick(worker, 6)], &dir);

	check_result(err, "look-up");
	return dir ? dir : ovl_root(fs);
}

static bool take(void *arg, const struct ovl_dirent *entry)
{
	unsigned *n = arg;

	/* Whoever a name belongs to by now: it is one that was made. */
	ck_assert_uint_eq(strlen(entry->name), entry->namelen);
	ck_assert_uint_le(entry->namelen, 2);
	return ++*n < 100;
}

/* What needs a file. */
static void use_node(struct worker *worker, struct ovl_node *node)
{
	static const char text[] = "some text to be written";
	struct ovl_setattr set = { .has_mode = true, .mode = 0755 };
	struct ovl_node *again = NULL;
	struct ovl_attr attr;
	char data[64];
	bool eof;
	int err;

	switch (pick(worker, 6)) {
	case 0:
		err = ovl_write(fs, &root, node, text, sizeof(text), 0,
		                OVL_UNSTABLE, NULL);
		check_result(err > 0 ? 0 : err, "write");
		break;
	case 1:
		err = ovl_read(fs, &root, node, data, sizeof(data), 0, &eof);
		check_result(err > 0 ? 0 : err, "read");
		break;
	case 2:
		check_result(ovl_setattr(fs, &root, node, &set, NULL, NULL),
		             "setattr");
		break;
	case 3:
		check_result(ovl_commit(fs, &root, node, 0, 0, NULL), "commit");
		break;
	case 4:
		err = ovl_resolve(fs, &root, ovl_node_id(node), &again);
		if (err != -EINPROGRESS)
			check_result(err, "resolve");
		ck_assert(err || ovl_node_id(again).fileid ==
		                         ovl_node_id(node).fileid);
		ovl_node_unref(again);
		break;
	default:
		check_result(ovl_getattr(fs, &root, node, &attr), "getattr");
	}
}

static void one_call(struct worker *worker)
{
	struct ovl_node *dir = pick_dir(worker), *to = pick_dir(worker);
	struct ovl_node *node = NULL;
	const char *name = names[pick(worker, 7)];
	const char *to_name = names[pick(worker, 7)];
	unsigned n = 0;
	bool eof;

	switch (pick(worker, 10)) {
	case 0:
		check_result(ovl_create(fs, &root, dir, name, OVL_UNCHECKED,
		                        &nothing, 0, &node, NULL),
		             "create");
		break;
	case 1:
		check_result(ovl_mkdir(fs, &root, dir, name, &nothing, &node,
		                       NULL),
		             "mkdir");
		break;
	case 2:
		check_result(ovl_remove(fs, &root, dir, name, NULL), "remove");
		break;
	case 3:
		check_result(ovl_rmdir(fs, &root, dir, name, NULL), "rmdir");
		break;
	case 4:
	case 5:
		check_result(ovl_rename(fs, &root, dir, name, to, to_name, NULL,
		                        NULL),
		             "rename");
		break;
	case 6:
		if (!ovl_lookup(fs, &root, dir, name, &node))
			check_result(ovl_link(fs, &root, node, to, to_name,
			                      NULL),
			             "link");
		break;
	case 7:
		check_result(ovl_readdir(fs, &root, dir, 0, pick(worker, 2),
		                         take, &n, &eof),
		             "readdir");
		break;
	case 8:
		check_result(ovl_symlink(fs, &root, dir, name, "target",
		                         &nothing, &node, NULL),
		             "symlink");
		break;
	default:
		if (!ovl_lookup(fs, &root, dir, name, &node))
			use_node(worker, node);
	}
	ovl_node_unref(node);
	ovl_node_unref(dir);
	ovl_node_unref(to);
	atomic_fetch_add(&calls, 1);
}

static void *work(void *arg)
{
	while (!atomic_load(&over))
		one_call(arg);
	return NULL;
}

static void fill_lowers(void)
{
	char path[64];

	for (unsigned i = 0; i < 6; i++) {
		snprintf(path, sizeof(path), "low/%s", dirs[i]);
		if (*dirs[i])
			tree_mkdir(path);
		for (unsigned n = 0; n < 3; n++) {
			snprintf(path, sizeof(path), "low/%s/%s", dirs[i],
			         names[n]);
			tree_file(path, "from below");
		}
	}
	tree_mkdir("high/d1");
	tree_file("high/d1/b", "from above");
	ck_assert_int_eq(linkat(tree, "low/d0/a", tree, "low/d0/s/s", 0), 0);
}

struct listing {
	char **names;
	unsigned n;
};

static bool take_name(void *arg, const struct ovl_dirent *entry)
{
	struct listing *listing = arg;

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return true;
	listing->names = realloc(listing->names,
	                         (listing->n + 1) * sizeof(*listing->names));
	listing->names[listing->n++] = strdup(entry->name);
	return true;
}

static void tell(FILE *out, struct ovl_node *node, const char *path);

/*
 * What is in a directory, which may lie hundreds deep: so names are looked up
 * where they are, and little stays on the stack.
 */
static void tell_below(FILE *out, struct ovl_node *dir, const char *path)
{
	struct listing listing = { 0 };
	struct ovl_node *node;
	char *below;
	bool eof;

	ck_assert_int_eq(ovl_readdir(fs, &root, dir, 0, false, take_name,
	                             &listing, &eof),
	                 0);
	for (unsigned i = 0; i < listing.n; i++) {
		ck_assert_int_eq(
			ovl_lookup(fs, &root, dir, listing.names[i], &node), 0);
		ck_assert_int_gt(
			asprintf(&below, "%s/%s", path, listing.names[i]), 0);
		tell(out, node, below);
		ovl_node_unref(node);
		free(below);
		free(listing.names[i]);
	}
	free(listing.names);
}

/* The tree below, with the identities. */
static void tell(FILE *out, struct ovl_node *node, const char *path)
{
	struct ovl_id id = ovl_node_id(node);

	fprintf(out, "%s %llx %llx %o\n", path, (unsigned long long)id.fileid,
	        (unsigned long long)id.generation, ovl_node_type(node));
	if (S_ISDIR(ovl_node_type(node)))
		tell_below(out, node, path);
}

static char *whole_tree(void)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct ovl_node *top = ovl_root(fs);

	tell(out, top, "");
	ovl_node_unref(top);
	fclose(out);
	return text;
}

START_TEST(threads_do_everything_at_once)
{
	static const unsigned rooms[] = { 4, 1000 };
	struct worker workers[NTHREADS];
	char *before, *after;

	fill_lowers();
	stage.max_entries = stage.max_files = rooms[_i % 2];
	stage.cache = _i / 2;
	stage_open();
	for (unsigned i = 0; i < NTHREADS; i++) {
		workers[i].random = seed + _i * NTHREADS + i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work,
		                                &workers[i]),
		                 0);
	}
	sleep(test_rounds("STRESS_SECONDS", SAMPLE_SECONDS, ALL_SECONDS));
	atomic_store(&over, true);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(workers[i].thread, NULL);
	printf("%lu calls\n", (unsigned long)atomic_load(&calls));
	fflush(stdout);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	before = whole_tree();
	stage_reopen();
	after = whole_tree();
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stress");
	TCase *tcase = tcase_create("stress");

	seed = test_seed();
	tcase_add_loop_test(tcase, threads_do_everything_at_once, 0, 6);
	return stage_run(suite, tcase);
}
