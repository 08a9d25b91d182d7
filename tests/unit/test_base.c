/*
 * Overlays over one lower stack: each has its own changes, and nobody else's; what is
 * lower is in memory once.
 */
#include "config.h"

#include <fcntl.h>

#include "stage.h"

#define FILES 200
#define UPPERS 3

static struct ovl *base, *each[UPPERS];
static char uppers[UPPERS][2][300]; /* upper and work directories */
static char statedir[300];

static struct ovl_config base_config(void)
{
	struct ovl_config config = stage;

	snprintf(statedir, sizeof(statedir), "%s", tree_at("state"));
	config.upperdir = config.workdir = NULL;
	config.statedir = statedir;
	return config;
}

static void open_base(void)
{
	struct ovl_config config = base_config();
	char why[512] = "";

	ck_assert_msg(!ovl_open(&config, &base, why, sizeof(why)), "%s", why);
}

static int try_open_over(unsigned i, char why[512])
{
	static const char *const parts[] = { "up", "work" };
	struct ovl_config config = stage;
	char name[32];

	for (unsigned k = 0; k < 2; k++) {
		snprintf(name, sizeof(name), "%s%u", parts[k], i);
		mkdirat(tree, name, 0755);
		snprintf(uppers[i][k], sizeof(uppers[i][k]), "%s",
		         tree_at(name));
	}
	config.base = base;
	config.lowerdirs = NULL;
	config.nlowerdirs = 0;
	config.upperdir = uppers[i][0];
	config.workdir = uppers[i][1];
	return ovl_open(&config, &each[i], why, 512);
}

static void open_over(unsigned i)
{
	char why[512] = "";
	int err = try_open_over(i, why);

	ck_assert_msg(!err, "%s", why);
}

static void open_all(void)
{
	open_base();
	for (unsigned i = 0; i < UPPERS; i++)
		open_over(i);
}

static void close_all(void)
{
	ovl_close(base);
	base = NULL;
	for (unsigned i = 0; i < UPPERS; i++) {
		ovl_close(each[i]);
		each[i] = NULL;
	}
	fs = NULL;
}

static void setup(void)
{
	char name[64];

	stage_setup();
	tree_file("low/file", "low");
	tree_mkdir("low/dir");
	tree_file("low/dir/inner", "inner");
	tree_mkdir("low/many");
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "low/many/%u", i);
		tree_file(name, "x");
	}
}

static void teardown(void)
{
	close_all();
	stage_teardown();
}

/* ---- changes ------------------------------------------------------------------ */

START_TEST(a_change_shows_in_its_own_overlay_alone)
{
	open_all();
	fs = each[0];
	write_text("file", "0!!");
	ck_assert_int_eq(make_file("dir", "new"), 0);
	ck_assert_int_eq(remove_name("dir", "inner"), 0);
	fs = each[1];
	ck_assert(has_text("file", "low"));
	ck_assert_int_eq(seen("dir/new"), -ENOENT);
	ck_assert(has_text("dir/inner", "inner"));
	write_text("file", "1!!");
	fs = each[0];
	ck_assert(has_text("file", "0!!"));
	fs = each[2];
	ck_assert(has_text("file", "low"));
	fs = base;
	ck_assert(has_text("file", "low"));
}
END_TEST

START_TEST(all_know_lower_objects_by_the_same_numbers)
{
	struct ovl_id id;

	open_all();
	fs = each[0];
	id = id_of("dir/inner");
	for (unsigned i = 1; i < UPPERS; i++) {
		fs = each[i];
		ck_assert(same_id(id_of("dir/inner"), id));
		ck_assert_uint_ne(ovl_export_id(each[i]),
		                  ovl_export_id(each[0]));
		ck_assert(memcmp(ovl_handle_key(each[i]),
		                 ovl_handle_key(each[0]), OVL_KEY_BYTES) != 0);
	}
}
END_TEST

/* ---- memory --------------------------------------------------------------------- */

static void look_at_all(struct ovl *at)
{
	char path[32];

	fs = at;
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "many/%u", i);
		ck_assert(has_text(path, "x"));
	}
}

START_TEST(what_is_lower_is_in_memory_once)
{
	struct ovl_stats before, after, own;

	open_all();
	look_at_all(each[0]);
	ovl_stats(base, &before);
	ck_assert_uint_ge(before.entries, 2 * FILES);
	for (unsigned i = 1; i < UPPERS; i++)
		look_at_all(each[i]);
	ovl_stats(base, &after);
	ck_assert_uint_eq(after.entries, before.entries);
	ck_assert_uint_eq(after.cache_bytes, before.cache_bytes);
	ovl_stats(each[1], &own);
	ck_assert_uint_lt(own.entries, 10);
}
END_TEST

/* ---- starting anew ------------------------------------------------------------------ */

START_TEST(identities_survive_a_restart)
{
	struct ovl_id ids[UPPERS];
	uint64_t exports[UPPERS];
	struct ovl_node *node;

	open_all();
	for (unsigned i = 0; i < UPPERS; i++) {
		fs = each[i];
		write_text("file", "own");
		ids[i] = id_of("file");
		exports[i] = ovl_export_id(fs);
	}
	close_all();
	open_all();
	for (unsigned i = 0; i < UPPERS; i++) {
		fs = each[i];
		ck_assert_uint_eq(ovl_export_id(fs), exports[i]);
		ck_assert_int_eq(resolve(ids[i], &node), 0);
		ck_assert(node_has_text(node, "own"));
		ovl_node_unref(node);
	}
}
END_TEST

/* It goes on without what it was opened over. */
START_TEST(the_base_may_be_closed_before)
{
	open_all();
	ovl_close(base);
	base = NULL;
	look_at_all(each[0]);
	ovl_close(each[0]);
	each[0] = NULL;
	look_at_all(each[1]);
}
END_TEST

START_TEST(a_layer_may_be_added_on_top_for_all)
{
	const char *three[3];
	struct ovl_id id;

	open_all();
	fs = each[0];
	id = id_of("file");
	write_text("file", "own");
	close_all();
	tree_mkdir("top");
	tree_file("top/added", "added");
	three[0] = strdup(tree_at("top"));
	three[1] = stage_lowers[0];
	three[2] = stage_lowers[1];
	stage.lowerdirs = three;
	stage.nlowerdirs = 3;
	open_all();
	for (unsigned i = 0; i < UPPERS; i++) {
		fs = each[i];
		ck_assert(has_text("added", "added"));
		ck_assert(same_id(id_of("file"), id));
		ck_assert(has_text("file", i ? "low" : "own"));
	}
	close_all();
	free((void *)three[0]);
}
END_TEST

/* Its upper was used over others: what is lower there has other numbers here. */
START_TEST(an_upper_of_other_layers_is_refused)
{
	const char *other;
	char why[512] = "";

	open_all();
	close_all();
	tree_mkdir("other");
	other = strdup(tree_at("other"));
	stage.lowerdirs = &other;
	stage.nlowerdirs = 1;
	ck_assert_int_eq(renameat(tree, "state", tree, "state.old"), 0);
	open_base();
	ck_assert_int_eq(try_open_over(0, why), -ESTALE);
	ck_assert_ptr_nonnull(strstr(why, "lower layer 1 of the upper"));
	free((void *)other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *tcase = tcase_create("base");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_change_shows_in_its_own_overlay_alone);
	tcase_add_test(tcase, all_know_lower_objects_by_the_same_numbers);
	tcase_add_test(tcase, what_is_lower_is_in_memory_once);
	tcase_add_test(tcase, identities_survive_a_restart);
	tcase_add_test(tcase, the_base_may_be_closed_before);
	tcase_add_test(tcase, a_layer_may_be_added_on_top_for_all);
	tcase_add_test(tcase, an_upper_of_other_layers_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
