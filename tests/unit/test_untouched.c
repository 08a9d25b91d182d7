/*
 * Lower layers are never changed: not a byte, not a time, not an attribute,
 * whatever is done to the overlay.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "layers.h"
#include "seed.h"
#include "side.h"
#include "stage.h"

#define ACTS 2000

static uint64_t seed;

/* ---- a manifest ----------------------------------------------------------- */

static FILE *manifest;

static void add_xattrs(const char *path)
{
	char names[4096], value[4096];
	ssize_t size = llistxattr(path, names, sizeof(names)), len;

	for (const char *name = names; name < names + size;
	     name += strlen(name) + 1) {
		len = lgetxattr(path, name, value, sizeof(value));
		fprintf(manifest, " %s=%.*s", name, len > 0 ? (int)len : 0,
		        value);
	}
}

static void add_data(const char *path)
{
	char data[65536];
	int fd = open(path, O_RDONLY | O_NOATIME);
	ssize_t n = read(fd, data, sizeof(data));

	ck_assert_int_ge(n, 0);
	for (ssize_t i = 0; i < n; i++)
		if (data[i])
			fprintf(manifest, "%c", data[i]);
	close(fd);
}

static void add_object(const char *path, const struct stat *st)
{
	fprintf(manifest, "%s %o %u:%u %lld %lu %lld.%ld %lld.%ld %lld.%ld",
	        path, st->st_mode, st->st_uid, st->st_gid,
	        (long long)st->st_size, (unsigned long)st->st_nlink,
	        (long long)st->st_atim.tv_sec, st->st_atim.tv_nsec,
	        (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
	        (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	add_xattrs(path);
	if (S_ISREG(st->st_mode))
		add_data(path);
	fprintf(manifest, "\n");
}

/* Without a trace of its own: the layers' times are older than their changes,
 * so that any other reading moves them. */
static void add_tree(const char *path)
{
	const struct dirent *entry;
	char child[PATH_MAX];
	struct stat st;
	DIR *dir;

	ck_assert_int_eq(lstat(path, &st), 0);
	add_object(path, &st);
	if (!S_ISDIR(st.st_mode))
		return;
	dir = fdopendir(open(path, O_RDONLY | O_DIRECTORY | O_NOATIME));
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%.2000s/%s", path,
		         entry->d_name);
		add_tree(child);
	}
	closedir(dir);
}

static char *take_manifest(const char *dir)
{
	char *text = NULL;
	size_t size;

	manifest = open_memstream(&text, &size);
	add_tree(dir);
	fclose(manifest);
	return text;
}

/* ---- the case ------------------------------------------------------------- */

static void random_act(uint64_t *random)
{
	char path[SIDE_PATH], to[SIDE_PATH];
	struct act act = {
		.kind = test_random(random) % ACT_KINDS,
		.path = path,
		.to = to,
		.mode = 0755,
		.owner = 1000,
		.size = test_random(random) % 1000,
		.text = "written",
		.time = { 1000, 1000 },
	};
	struct side_names *names = malloc(sizeof(*names));
	char line[SIDE_LINE];

	layers_path(random, path, sizeof(path));
	layers_path(random, to, sizeof(to));
	if (test_random(random) % 4 == 0) {
		veneer_side.describe(path, line);
		veneer_side.list(path, names);
	} else {
		veneer_side.act(&act);
	}
	free(names);
}

START_TEST(lower_layers_are_never_changed)
{
	uint64_t random = seed;
	char lowers[PATH_MAX], *before, *after;
	int dir;

	if (geteuid() != 0)
		tree_skip("whiteouts and owners need root");
	tree_mkdir("lowers");
	strcpy(lowers, tree_at("lowers"));
	dir = tree_open("lowers", O_RDONLY | O_DIRECTORY);
	layers_make(dir, 2, seed);
	close(dir);
	strcpy(stage_paths[0], tree_at("lowers/l0"));
	strcpy(stage_paths[1], tree_at("lowers/l1"));
	before = take_manifest(lowers);
	stage_open();
	veneer_side_use(fs);
	free(side_manifest(&veneer_side));
	for (unsigned i = 0; i < ACTS; i++)
		random_act(&random);
	stage_reopen();
	veneer_side_use(fs);
	free(side_manifest(&veneer_side));
	after = take_manifest(lowers);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("untouched");
	TCase *tcase = tcase_create("untouched");

	seed = test_seed();
	tcase_add_test(tcase, lower_layers_are_never_changed);
	return stage_run(suite, tcase);
}
