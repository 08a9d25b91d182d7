/*
 * Identities: the same for ever, whatever happens to the object (TRAPS 7, 9, 14),
 * found again after a restart, and of what is gone, stale.
 */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "overlay/fs.h"
#include "overlay/layer.h"

#include "stage.h"

/* One object of each kind in the lower layers. */
static const char *const kinds[] = {
	"file",   "dir",           "merged",       "symlink",      "fifo",
	"device", "dir/deep/file", "merged/above", "merged/below",
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static void make_kinds(void)
{
	tree_file("low/file", "text");
	tree_mkdir("low/dir");
	tree_mkdir("low/dir/deep");
	tree_file("low/dir/deep/file", "deep");
	tree_mkdir("low/merged");
	tree_file("low/merged/below", "");
	tree_mkdir("high/merged");
	tree_file("high/merged/above", "");
	ck_assert_int_eq(symlinkat("target", tree, "low/symlink"), 0);
	ck_assert_int_eq(mkfifoat(tree, "low/fifo", 0644), 0);
	if (mknodat(tree, "low/device", S_IFCHR | 0644, 0x105) < 0)
		tree_file("low/device", ""); /* without root */
	stage_open();
}

static bool resolves(struct ovl_id id)
{
	struct ovl_node *node = NULL;
	int err = resolve(id, &node);

	ck_assert(err || same_id(ovl_node_id(node), id));
	ovl_node_unref(node);
	if (err)
		ck_assert_int_eq(err, -ESTALE);
	return !err;
}

static void copy_up(const char *path)
{
	struct ovl_setattr set = { .set_mtime = OVL_TIME_NOW };
	struct ovl_node *node = get(path);

	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ovl_node_unref(node);
}

START_TEST(every_kind_is_found_after_a_restart)
{
	struct ovl_id ids[NKINDS];

	make_kinds();
	for (unsigned i = 0; i < NKINDS; i++)
		ids[i] = id_of(kinds[i]);
	for (unsigned i = 0; i < NKINDS; i++) {
		stage_reopen_anew(); /* each by a walk of its own */
		ck_assert(resolves(ids[i]));
		ck_assert(same_id(id_of(kinds[i]), ids[i]));
	}
}
END_TEST

START_TEST(copy_up_changes_no_identity)
{
	struct ovl_id ids[NKINDS];

	make_kinds();
	for (unsigned i = 0; i < NKINDS; i++) {
		ids[i] = id_of(kinds[i]);
		copy_up(kinds[i]);
		ck_assert(same_id(id_of(kinds[i]), ids[i]));
		ck_assert_uint_eq(attr_of(kinds[i]).fileid, ids[i].fileid);
		ck_assert(resolves(ids[i]));
	}
	for (unsigned i = 0; i < NKINDS; i++) {
		stage_reopen();
		ck_assert(resolves(ids[i]));
		ck_assert(same_id(id_of(kinds[i]), ids[i]));
	}
}
END_TEST

START_TEST(rename_changes_no_identity)
{
	static const char *const names[] = { "file", "symlink", "fifo",
		                             "device" };
	struct ovl_id ids[4];
	char path[64];

	make_kinds();
	for (unsigned i = 0; i < 4; i++) {
		ids[i] = id_of(names[i]);
		ck_assert_int_eq(rename_name("", names[i], "dir", names[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		stage_reopen();
		ck_assert(resolves(ids[i]));
		snprintf(path, sizeof(path), "dir/%s", names[i]);
		ck_assert(same_id(id_of(path), ids[i]));
	}
}
END_TEST

START_TEST(what_is_below_a_renamed_directory_keeps_its_identity)
{
	struct ovl_id dir, file;

	make_kinds();
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(make_file("new", "f"), 0);
	dir = id_of("new");
	file = id_of("new/f");
	ck_assert_int_eq(rename_name("", "new", "dir/deep", "moved"), 0);
	ck_assert(resolves(dir) && resolves(file));
	ck_assert(same_id(id_of("dir/deep/moved/f"), file));
	stage_reopen();
	ck_assert(resolves(file));
	stage_reopen();
	ck_assert(resolves(dir));
}
END_TEST

START_TEST(identities_are_unique)
{
	struct ovl_id ids[NKINDS];

	make_kinds();
	for (unsigned i = 0; i < NKINDS; i++) {
		ids[i] = id_of(kinds[i]);
		for (unsigned j = 0; j < i; j++)
			ck_assert(!same_id(ids[i], ids[j]));
	}
}
END_TEST

/* The same inode number, used again, is another object. */
START_TEST(a_reused_inode_number_is_another_object)
{
	struct ovl_id old, new = { 0 };

	stage_open();
	ck_assert_int_eq(make_file("", "f"), 0);
	old = id_of("f");
	for (unsigned i = 0; i < 100 && new.fileid != old.fileid; i++) {
		ck_assert_int_eq(remove_name("", "f"), 0);
		ck_assert_int_eq(make_file("", "f"), 0);
		new = id_of("f");
	}
	if (new.fileid != old.fileid)
		tree_skip("this filesystem uses no number again");
	ck_assert_uint_ne(new.generation, old.generation);
	ck_assert(!resolves(old));
	ck_assert(resolves(new));
	stage_reopen();
	ck_assert(!resolves(old));
	ck_assert(resolves(new));
}
END_TEST

START_TEST(what_a_whiteout_hides_is_stale)
{
	struct ovl_id below, dir;

	make_kinds();
	below = id_of("merged/below");
	dir = id_of("merged");
	ck_assert_int_eq(remove_name("merged", "below"), 0);
	ck_assert_int_eq(remove_name("merged", "above"), 0);
	ck_assert_int_eq(remove_dir("", "merged"), 0);
	ck_assert(!resolves(below) && !resolves(dir));
	ck_assert_int_eq(make_dir("", "merged"), 0);
	ck_assert(!resolves(below) && !resolves(dir));
	ck_assert(!same_id(id_of("merged"), dir));
	stage_reopen();
	ck_assert(!resolves(below) && !resolves(dir));
}
END_TEST

/* ---- several names -------------------------------------------------------- */

static atomic_bool over;

/* Others change lower directories all the time. */
static void *disturb(void *arg)
{
	while (!atomic_load(&over)) {
		ovl_map_doubt(fs->stack->tree.map);
		usleep(20);
	}
	return arg;
}

/* It is seen below, again and again, and each walk is disturbed. */
START_TEST(links_that_whiteouts_hide_are_stale_whatever_others_change)
{
	time_t end = time(NULL) + 10;
	struct ovl_node *node;
	pthread_t thread;
	struct ovl_id id;
	int err;

	tree_mkdir("low/dir");
	tree_file("low/dir/a", "text");
	ck_assert_int_eq(linkat(tree, "low/dir/a", tree, "low/b", 0), 0);
	for (unsigned i = 0; i < 2000; i++) {
		char path[32];

		snprintf(path, sizeof(path), "low/dir/file%u", i);
		tree_file(path, "");
	}
	stage_open();
	id = id_of("b");
	stage_close();
	tree_mkdir("up/dir");
	ck_assert_int_eq(mknodat(tree, "up/dir/a", S_IFCHR, 0), 0);
	ck_assert_int_eq(mknodat(tree, "up/b", S_IFCHR, 0), 0);
	stage_reopen_anew();
	ck_assert_int_eq(pthread_create(&thread, NULL, disturb, NULL), 0);
	do {
		err = ovl_resolve(fs, &root, id, &node);
	} while (err == -EINPROGRESS && time(NULL) < end);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	ck_assert_int_eq(err, -ESTALE);
	ck_assert_uint_le(ovl_walk_count(&fs->stack->walk), 6);
}
END_TEST

START_TEST(a_link_that_nobody_has_looked_up_is_found_when_the_other_goes)
{
	struct ovl_id id;

	stage_open();
	ck_assert_int_eq(make_file("", "a"), 0);
	write_text("a", "text");
	ck_assert_int_eq(link_name("a", "", "b"), 0);
	stage_reopen();
	id = id_of("a");
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert(resolves(id));
	ck_assert(same_id(id_of("b"), id));
	ck_assert(has_text("b", "text"));
	ck_assert_uint_eq(attr_of("b").nlink, 1);
}
END_TEST

START_TEST(lower_links_are_one_object_before_and_after_copy_up)
{
	struct ovl_id id;

	tree_file("low/a", "text");
	tree_mkdir("low/dir");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/dir/b", 0), 0);
	stage_open();
	id = id_of("a");
	ck_assert(same_id(id_of("dir/b"), id));
	write_text("dir/b", "TEXT");
	ck_assert(has_text("a", "TEXT"));
	ck_assert(same_id(id_of("a"), id));
	stage_reopen();
	ck_assert(has_text("a", "TEXT"));
	ck_assert(same_id(id_of("dir/b"), id));
	ck_assert_int_eq(remove_name("", "a"), 0);
	ck_assert(resolves(id));
	stage_reopen();
	ck_assert(resolves(id));
	ck_assert(has_text("dir/b", "TEXT"));
}
END_TEST

/* ---- forged identities ---------------------------------------------------- */

static uint64_t walks(void)
{
	struct ovl_stats stats;

	ovl_stats(fs, &stats);
	return stats.walks;
}

START_TEST(forged_identities_do_not_start_a_walk_each)
{
	struct ovl_node *node;
	uint64_t before;

	make_kinds();
	for (uint64_t i = 0; i < 1000; i++) {
		struct ovl_id forged = {
			.fileid = ovl_fileid(i % 4, 1000000 + i),
			.generation = i,
		};

		ck_assert_int_eq(resolve(forged, &node), -ESTALE);
		if (i == 4)
			before = walks();
	}
	ck_assert_uint_le(before, 2); /* the upper, and the stack */
	ck_assert_uint_eq(walks(), before);
}
END_TEST

START_TEST(who_may_not_wait_starts_no_walk)
{
	struct ovl_caller hasty = { .may_wait = false };
	struct ovl_id forged = { ovl_fileid(1, 12345678), 1 };
	struct ovl_node *node;

	make_kinds();
	ck_assert_int_eq(ovl_resolve(fs, &hasty, forged, &node), -EAGAIN);
	ck_assert_uint_eq(walks(), 0);
}
END_TEST

/* What is made after a walk is known without another. */
START_TEST(what_is_new_after_a_walk_needs_none)
{
	struct ovl_id forged = { ovl_fileid(0, 12345678), 1 }, id;
	struct ovl_node *node;
	uint64_t before;

	stage.max_entries = 1; /* nothing is remembered but places */
	make_kinds();
	ck_assert_int_eq(resolve(forged, &node), -ESTALE);
	before = walks();
	ck_assert_int_eq(make_dir("", "new"), 0);
	ck_assert_int_eq(make_file("new", "f"), 0);
	id = id_of("new/f");
	for (unsigned i = 0; i < NKINDS; i++)
		attr_of(kinds[i]);
	ck_assert(resolves(id));
	ck_assert_int_eq(remove_name("new", "f"), 0);
	ck_assert(!resolves(id));
	ck_assert_uint_eq(walks(), before);
}
END_TEST

#define MANY 20000
#define FEW 200
#define ROUNDS 20000

static double thread_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What a look-up takes when handles of `n` files are in memory: the best of 5. */
static double time_of_look_up(const struct ovl_id *ids, unsigned n)
{
	double best = 1e9, begin, took;
	struct ovl_node *node;

	for (unsigned try = 0; try < 5; try++) {
		begin = thread_seconds();
		for (unsigned i = 0; i < ROUNDS; i++) {
			ck_assert_int_eq(ovl_resolve(fs, &root,
			                             ids[i * 7919 % n], &node),
			                 0);
			ovl_node_unref(node);
		}
		took = thread_seconds() - begin;
		best = took < best ? took : best;
	}
	return best;
}

/* A hundred times the handles would take a hundred times as long. */
START_TEST(a_handle_is_found_in_constant_time)
{
	struct ovl_id *ids = calloc(MANY, sizeof(*ids));
	double few, many;
	char name[32];

	stage.max_entries = 4 * MANY;
	tree_mkdir("low/dir");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "low/dir/f%u", i);
		tree_file(name, "");
	}
	stage_open();
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "dir/f%u", i);
		ids[i] = id_of(name);
	}
	few = time_of_look_up(ids, FEW);
	many = time_of_look_up(ids, MANY);
	ck_assert_msg(many < 25 * few, "%g s for %u, %g s for %u", few, FEW,
	              many, MANY);
	free(ids);
}
END_TEST

static atomic_bool over;

static void *move_all_the_time(void *arg)
{
	while (!over) {
		ovl_tree_move_begin(&fs->tree);
		ovl_tree_move_end(&fs->tree);
	}
	return arg;
}

/* A row of it is left, and it is no reason to have the client come again. */
START_TEST(what_is_gone_is_stale_whatever_moves)
{
	struct ovl_node *node, *top;
	pthread_t thread;
	struct ovl_id id;

	stage_open();
	ck_assert_int_eq(make_file("", "file"), 0);
	id = id_of("file");
	ck_assert_int_eq(remove_name("", "file"), 0);
	ck_assert(!resolves(id)); /* from now on the map is complete */
	top = get("");
	ck_assert_int_eq(pthread_create(&thread, NULL, move_all_the_time, NULL),
	                 0);
	for (unsigned i = 0; i < 1000; i++) {
		ovl_map_put(fs->tree.map, id.fileid, ovl_node_id(top).fileid,
		            "file", 4);
		ck_assert_int_eq(ovl_resolve(fs, &root, id, &node), -ESTALE);
	}
	over = true;
	pthread_join(thread, NULL);
	ovl_node_unref(top);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("find");
	TCase *tcase = tcase_create("find");

	tcase_add_test(tcase, every_kind_is_found_after_a_restart);
	tcase_add_test(tcase, copy_up_changes_no_identity);
	tcase_add_test(tcase, rename_changes_no_identity);
	tcase_add_test(tcase,
	               what_is_below_a_renamed_directory_keeps_its_identity);
	tcase_add_test(tcase, identities_are_unique);
	tcase_add_test(tcase, a_reused_inode_number_is_another_object);
	tcase_add_test(tcase, what_a_whiteout_hides_is_stale);
	tcase_add_test(
		tcase,
		links_that_whiteouts_hide_are_stale_whatever_others_change);
	tcase_add_test(
		tcase,
		a_link_that_nobody_has_looked_up_is_found_when_the_other_goes);
	tcase_add_test(tcase,
	               lower_links_are_one_object_before_and_after_copy_up);
	tcase_add_test(tcase, forged_identities_do_not_start_a_walk_each);
	tcase_add_test(tcase, who_may_not_wait_starts_no_walk);
	tcase_add_test(tcase, what_is_new_after_a_walk_needs_none);
	tcase_add_test(tcase, what_is_gone_is_stale_whatever_moves);
	tcase_add_test(tcase, a_handle_is_found_in_constant_time);
	return stage_run(suite, tcase);
}
