/*
 * Renames, while others use what is renamed: handles in use go on working, of
 * the file and of what lies below a directory (TRAPS 14), and nothing waits for
 * ever.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>

#include "seed.h"
#include "stage.h"

#define SECONDS 1

static atomic_bool over;
static uint64_t seed;

/* Go on renaming until the time is up; the other name is free. */
static void *rename_back_and_forth(void *arg)
{
	const char *const *names = arg;

	for (unsigned i = 0; !atomic_load(&over); i++) {
		const char *const *from = names + i % 2 * 2;
		const char *const *to = names + (i + 1) % 2 * 2;

		ck_assert_int_eq(rename_name(from[0], from[1], to[0], to[1]),
		                 0);
	}
	return NULL;
}

/* `names`: directory and name, and those it is renamed to. */
static void while_moving(const char *const names[4],
                         void (*use)(struct ovl_node *), struct ovl_node *node)
{
	time_t end = time(NULL) + 1 + SECONDS;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, rename_back_and_forth,
	                                (void *)names),
	                 0);
	while (time(NULL) < end)
		use(node);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
}

static void use_file(struct ovl_node *node)
{
	struct ovl_node *again = NULL;
	struct ovl_attr attr;
	char data[16];
	bool eof;

	ck_assert_int_eq(resolve(ovl_node_id(node), &again), 0);
	ck_assert_int_eq(ovl_getattr(fs, &root, again, &attr), 0);
	ck_assert_uint_eq(attr.size, 4);
	ck_assert_int_eq(ovl_read(fs, &root, again, data, 16, 0, &eof), 4);
	ck_assert_int_eq(ovl_write(fs, &root, again, "TEXT", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 4);
	ovl_node_unref(again);
}

/* A file that is being renamed, hardly any room to remember it. */
static void move_file(const char *const names[4])
{
	struct ovl_node *node;

	tree_mkdir("low/dir");
	stage.max_files = 1;
	stage.max_entries = 1;
	stage.cache = OVL_CACHE_NEVER;
	stage_open();
	ck_assert_int_eq(make_file("", "a"), 0);
	write_text("a", "text");
	node = get("a");
	while_moving(names, use_file, node);
	ovl_node_unref(node);
}

START_TEST(a_file_is_found_while_it_is_renamed)
{
	static const char *const names[] = { "", "a", "", "b" };

	move_file(names);
}
END_TEST

START_TEST(a_file_is_found_while_it_goes_to_and_fro)
{
	static const char *const names[] = { "", "a", "dir", "b" };

	move_file(names);
}
END_TEST

START_TEST(what_lies_below_a_directory_is_found_while_that_moves)
{
	static const char *const names[] = { "", "new", "dir", "moved" };
	struct ovl_node *node;

	tree_mkdir("low/dir");
	stage.max_files = 1;
	stage.max_entries = 1;
	stage.cache = OVL_CACHE_NEVER;
	stage_open();
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(make_dir("new", "in"), 0);
	ck_assert_int_eq(make_file("new/in", "file"), 0);
	write_text("new/in/file", "text");
	node = get("new/in/file");
	while_moving(names, use_file, node);
	ovl_node_unref(node);
}
END_TEST

static void use_name(struct ovl_node *node)
{
	struct ovl_node *again;

	ck_assert_int_eq(resolve(ovl_node_id(node), &again), 0);
	ck_assert(node_has_text(again, "text"));
	ovl_node_unref(again);
}

/* A link, whose first name goes as soon as the second one is there. */
static void *link_and_remove(void *arg)
{
	const char *names[] = { "a", "b" };

	for (unsigned i = 0; !atomic_load(&over); i++) {
		ck_assert_int_eq(
			link_name(names[i % 2], "", names[(i + 1) % 2]), 0);
		ck_assert_int_eq(remove_name("", names[i % 2]), 0);
	}
	return arg;
}

START_TEST(a_file_is_found_while_its_names_come_and_go)
{
	time_t end = time(NULL) + 1 + SECONDS;
	struct ovl_node *node;
	pthread_t thread;

	stage.cache = OVL_CACHE_NEVER;
	stage_open();
	ck_assert_int_eq(make_file("", "a"), 0);
	write_text("a", "text");
	node = get("a");
	ck_assert_int_eq(pthread_create(&thread, NULL, link_and_remove, NULL),
	                 0);
	while (time(NULL) < end)
		use_name(node);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	ovl_node_unref(node);
}
END_TEST

/* ---- threads that rename everything over everything ----------------------- */

static const char *const dirs[] = { "", "d0", "d1", "d0/s", "d1/s", "d2" };
static const char *const names[] = { "d0", "d1", "d2", "s", "f", "g" };

static void *rename_at_random(void *arg)
{
	uint64_t *random = arg;
	unsigned done = 0;

	while (!atomic_load(&over)) {
		struct ovl_node *from = NULL, *to = NULL;

		find(dirs[test_random(random) % 6], &from);
		find(dirs[test_random(random) % 6], &to);
		if (from && to && S_ISDIR(ovl_node_type(from)) &&
		    S_ISDIR(ovl_node_type(to)))
			done += !ovl_rename(fs, &root, from,
			                    names[test_random(random) % 6], to,
			                    names[test_random(random) % 6],
			                    NULL, NULL);
		ovl_node_unref(from);
		ovl_node_unref(to);
	}
	ck_assert_uint_gt(done, 10);
	return NULL;
}

static unsigned count_objects(const char *path);

struct counting {
	const char *path;
	unsigned n;
};

static bool count_one(void *arg, const struct ovl_dirent *entry)
{
	struct counting *counting = arg;
	char path[PATH_MAX];

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return true;
	snprintf(path, sizeof(path), "%s/%s", counting->path, entry->name);
	counting->n += count_objects(path);
	return true;
}

static unsigned count_objects(const char *path)
{
	struct counting counting = { path, 1 };
	struct ovl_node *node = get(path);
	bool eof;

	if (S_ISDIR(ovl_node_type(node)))
		ck_assert_int_eq(ovl_readdir(fs, &root, node, 0, false,
		                             count_one, &counting, &eof),
		                 0);
	ovl_node_unref(node);
	return counting.n;
}

/*
 * Directories move into one another and never become a loop out of reach: what
 * is counted from the root is what is on disk.
 */
START_TEST(renames_at_random_do_not_deadlock)
{
	static const char *const made[][2] = {
		{ "", "d0" },  { "", "d1" },  { "", "d2" },
		{ "d0", "s" }, { "d1", "s" },
	};
	uint64_t random[4];
	pthread_t threads[4];
	char command[512];
	unsigned seen;
	FILE *found;
	int on_disk = 0;

	stage.max_entries = _i ? 2 : 1000;
	stage_open();
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(make_dir(made[i][0], made[i][1]), 0);
	ck_assert_int_eq(make_file("d0", "f"), 0);
	ck_assert_int_eq(make_file("d1", "g"), 0);
	for (unsigned i = 0; i < 4; i++) {
		random[i] = seed + i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
		                                rename_at_random, &random[i]),
		                 0);
	}
	sleep(2 * SECONDS);
	atomic_store(&over, true);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	seen = count_objects("");
	snprintf(command, sizeof(command), "find '%s' | wc -l", tree_at("up"));
	found = popen(command, "r");
	ck_assert_int_eq(fscanf(found, "%d", &on_disk), 1);
	pclose(found);
	ck_assert_int_eq(seen, on_disk);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("moving");
	TCase *tcase = tcase_create("moving");

	seed = test_seed();
	tcase_add_test(tcase, a_file_is_found_while_it_is_renamed);
	tcase_add_test(tcase, a_file_is_found_while_it_goes_to_and_fro);
	tcase_add_test(tcase,
	               what_lies_below_a_directory_is_found_while_that_moves);
	tcase_add_test(tcase, a_file_is_found_while_its_names_come_and_go);
	tcase_add_loop_test(tcase, renames_at_random_do_not_deadlock, 0, 2);
	return stage_run(suite, tcase);
}
