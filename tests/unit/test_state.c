#include "config.h"

#include "overlay/state.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/tree.h"

#define STACK_MAX 8

static struct ovl_state state;
static char why[256];

static void load(void)
{
	ovl_state_release(&state);
	ck_assert_int_eq(ovl_state_load(&state, tree), 0);
}

static void save_and_load(void)
{
	ck_assert_int_eq(ovl_state_save(&state, tree), 0);
	load();
}

static void release(void)
{
	ovl_state_release(&state);
}

/* ---- the file ----------------------------------------------------------- */

START_TEST(a_fresh_state_is_random_and_changed)
{
	struct ovl_state other;
	static const unsigned char zeros[OVL_KEY_BYTES];

	load();
	ck_assert_int_eq(ovl_state_load(&other, tree), 0);
	ck_assert(state.changed);
	ck_assert_uint_eq(state.nlayers, 0);
	ck_assert_uint_ne(state.export_id, 0);
	ck_assert_uint_eq(state.export_id >> 56, 0);
	ck_assert_uint_ne(state.export_id, other.export_id);
	ck_assert_mem_ne(state.handle_key, other.handle_key, OVL_KEY_BYTES);
	ck_assert_mem_ne(state.cookie_key, other.cookie_key, OVL_KEY_BYTES);
	ck_assert_mem_ne(state.handle_key, state.cookie_key, OVL_KEY_BYTES);
	ck_assert_mem_ne(state.handle_key, zeros, OVL_KEY_BYTES);
	ck_assert(!tree_has("state"));
	ovl_state_release(&other);
}
END_TEST

START_TEST(what_is_saved_is_loaded)
{
	struct ovl_state before;
	struct stat st;

	load();
	before = state;
	ck_assert_int_eq(ovl_state_save(&state, tree), 0);
	ck_assert(!state.changed);
	load();
	ck_assert(!state.changed);
	ck_assert_uint_eq(state.export_id, before.export_id);
	ck_assert_mem_eq(state.handle_key, before.handle_key, OVL_KEY_BYTES);
	ck_assert_mem_eq(state.cookie_key, before.cookie_key, OVL_KEY_BYTES);
	ck_assert_int_eq(fstatat(tree, "state", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert(!tree_has("state.new"));
}
END_TEST

START_TEST(what_a_crash_left_is_in_nobodys_way)
{
	struct stat st;

	load();
	tree_file("state.new", "half a li");
	save_and_load();
	ck_assert_int_eq(fstatat(tree, "state", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
}
END_TEST

START_TEST(a_save_that_fails_leaves_the_old_file)
{
	uint64_t id;

	load();
	save_and_load();
	id = state.export_id;
	state.export_id++;
	/* Nothing can be made under the name of the new file. */
	tree_mkdir("state.new");
	ck_assert_int_lt(ovl_state_save(&state, tree), 0);
	load();
	ck_assert_uint_eq(state.export_id, id);
}
END_TEST

#define GOOD                                                       \
	"veneer state 1\n"                                         \
	"export 00aabbccddeeff\n"                                  \
	"handle-key 000102030405060708090a0b0c0d0e0f\n"            \
	"cookie-key 101112131415161718191a1b1c1d1e1f\n"            \
	"layer 1 handle 2 123456789abcdef 1600000000000000000 1\n" \
	"layer 2 btime 7 99 0 0\n"                                 \
	"restacked 1700000000 000000042\n"

START_TEST(the_form_of_the_file_stays)
{
	char text[1024] = "";

	tree_file("state", GOOD);
	load();
	ck_assert_uint_eq(state.export_id, UINT64_C(0xaabbccddeeff));
	ck_assert_uint_eq(state.handle_key[15], 0x0f);
	ck_assert_uint_eq(state.cookie_key[0], 0x10);
	ck_assert_uint_eq(state.nlayers, 2);
	ck_assert_int_eq(state.restacked.tv_sec, 1700000000);
	ck_assert_int_eq(state.restacked.tv_nsec, 42);
	ck_assert_int_eq(ovl_state_save(&state, tree), 0);
	ck_assert_int_gt(
		read(tree_open("state", O_RDONLY), text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, GOOD);
}
END_TEST

/* Each of them breaks GOOD, whose first occurrence of `from` becomes `to`. */
static const struct {
	const char *from, *to;
} breaks[] = {
	{ "veneer state 1", "veneer state 2" },
	{ "veneer state 1\n", "" },
	{ "export 00aabbccddeeff", "export 0" },
	{ "export 00aabbccddeeff", "export 0100000000000000" },
	{ "export 00aabbccddeeff\n", "" },
	{ "ddeeff", "ddeefg" },
	{ "handle-key 0001", "handle-key 01" },
	{ "handle-key 0001", "handle-key 00012" },
	{ "handle-key 0001", "handle-key zz01" },
	{ "cookie-key 10", "cookie-kay 10" },
	{ "cookie-key 101112131415161718191a1b1c1d1e1f\n", "" },
	{ "layer 1", "layer 2" },
	{ "layer 2", "layer 3" },
	{ "handle 2", "handel 2" },
	{ "btime 7 99 0 0", "btime 7 99 0" },
	{ "btime 7 99 0 0", "btime 7 99 0 0 0" },
	{ "btime 7 99", "btime x 99" },
	{ "layer 2 btime 7 99 0 0", "a fact of tomorrow" },
	{ "layer 2 btime 7 99 0 0", "word" },
	{ "1700000000 ", "" },
	{ " 000000042", " -5" },
	{ " 000000042", " 1000000000" },
	{ " 000000042", " 42 42" },
};

START_TEST(a_broken_file_is_refused_and_left)
{
	const char *at = strstr(GOOD, breaks[_i].from);
	char text[1024];

	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - GOOD), GOOD,
	         breaks[_i].to, at + strlen(breaks[_i].from));
	tree_file("state", text);
	state.export_id = 42;
	ck_assert_int_eq(ovl_state_load(&state, tree), -EINVAL);
	ck_assert_uint_eq(state.export_id, 42);
	ck_assert(tree_has("state"));
}
END_TEST

START_TEST(what_is_no_text_or_no_file_is_refused)
{
	int fd;

	fd = openat(tree, "state", O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(ovl_state_load(&state, tree), -EINVAL);
	ck_assert_int_eq(write(fd, GOOD "\0", sizeof(GOOD)), sizeof(GOOD));
	ck_assert_int_eq(ovl_state_load(&state, tree), -EINVAL);
	ck_assert_int_eq(ftruncate(fd, 10 * 1024 * 1024), 0);
	ck_assert_int_eq(ovl_state_load(&state, tree), -EINVAL);
	close(fd);
	unlinkat(tree, "state", 0);
	ck_assert_int_eq(symlinkat("/etc/passwd", tree, "state"), 0);
	ck_assert_int_eq(ovl_state_load(&state, tree), -ELOOP);
}
END_TEST

/* ---- the register ------------------------------------------------------- */

/*
 * Stacks are written as strings, top first; a letter stands for a root, of its
 * own inode and generation.
 */
static struct ovl_layer layers[STACK_MAX];
static char paths[STACK_MAX][8];

static int number_layers(struct ovl_layer *stack, size_t n, bool strict)
{
	why[0] = '\0';
	return ovl_state_number(&state, stack, n, strict, why, sizeof(why));
}

static int number(const char *stack, bool strict)
{
	size_t n = strlen(stack);

	for (size_t i = 0; i < n; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/low/%c", stack[i]);
		layers[i] = (struct ovl_layer){
			.path = paths[i],
			.root = -1,
			.number = 777,
			.root_ino = (unsigned char)stack[i],
			.root_generation = (unsigned char)stack[i] * 1000,
			.root_birth = 5,
		};
	}
	return number_layers(layers, n, strict);
}

/* Number the stack, which gets these numbers, a digit a layer. */
static void number_is(const char *stack, bool strict, const char *numbers)
{
	ck_assert_int_eq(number(stack, strict), 0);
	for (size_t i = 0; stack[i]; i++)
		ck_assert_uint_eq(layers[i].number, (unsigned)numbers[i] - '0');
}

/* It is refused, with a line that has `word` in it, and nothing changes. */
static void refused(const char *stack, const char *word)
{
	size_t nlayers = state.nlayers;

	state.changed = false;
	ck_assert_int_eq(number(stack, true), -ESTALE);
	ck_assert_ptr_nonnull(strstr(why, word));
	ck_assert_ptr_null(strchr(why, '\n'));
	for (size_t i = 0; stack[i]; i++)
		ck_assert_uint_eq(layers[i].number, 777);
	ck_assert(!state.changed);
	ck_assert_uint_eq(state.nlayers, nlayers);
}

START_TEST(layers_are_numbered_from_the_bottom)
{
	load();
	number_is("CBA", true, "321");
	ck_assert(state.changed);
}
END_TEST

START_TEST(a_new_top_layer_renumbers_nothing)
{
	load();
	number_is("BA", true, "21");
	save_and_load();
	number_is("BA", true, "21");
	ck_assert(!state.changed);
	number_is("CBA", true, "321");
	ck_assert(state.changed);
	save_and_load();
	number_is("EDCBA", true, "54321");
}
END_TEST

/* Whoever keeps names is told by when. */
START_TEST(when_a_stack_became_another_is_kept)
{
	struct timespec before, after, then;

	load();
	number_is("BA", true, "21");
	save_and_load();
	ck_assert_int_eq(state.restacked.tv_sec, 0);
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	number_is("CBA", true, "321");
	clock_gettime(CLOCK_REALTIME_COARSE, &after);
	then = state.restacked;
	ck_assert_int_ge(then.tv_sec, before.tv_sec);
	ck_assert_int_le(then.tv_sec, after.tv_sec);
	save_and_load();
	ck_assert_mem_eq(&state.restacked, &then, sizeof(then));
	number_is("CBA", true, "321");
	ck_assert(!state.changed);
	ck_assert_mem_eq(&state.restacked, &then, sizeof(then));
}
END_TEST

START_TEST(under_an_upper_layers_are_only_added_on_top)
{
	load();
	number_is("CBA", true, "321");
	save_and_load();
	refused("BCA", "/low/C");  /* swapped */
	refused("CBAX", "/low/X"); /* one below */
	refused("CBX", "/low/X");  /* one replaced */
	refused("XBA", "/low/X");  /* the top one, too */
	refused("BA", "2 ");       /* missing */
	refused("", "0 ");
	number_is("CBA", true, "321");
}
END_TEST

START_TEST(a_layer_keeps_its_number_for_ever)
{
	load();
	number_is("CBA", false, "321");
	save_and_load();
	number_is("XA", false, "41");
	save_and_load();
	number_is("AB", false, "12");
	save_and_load();
	number_is("XCBA", false, "4321");
	save_and_load();
	/* The last stack is the one that counts. */
	number_is("XCBA", true, "4321");
	refused("CBA", "3 ");
}
END_TEST

START_TEST(a_layer_that_had_gone_may_come_back_on_top)
{
	load();
	number_is("BA", false, "21");
	number_is("A", false, "1");
	save_and_load();
	number_is("BA", true, "21");
}
END_TEST

START_TEST(a_replaced_image_gets_a_fresh_number)
{
	load();
	number_is("A", false, "1");
	/* All roots of one kind of filesystem may have the same inode. */
	layers[0].root_birth = 6;
	ck_assert_int_eq(number_layers(layers, 1, true), -ESTALE);
	ck_assert_int_eq(number_layers(layers, 1, false), 0);
	ck_assert_uint_eq(layers[0].number, 2);
	layers[0].root_generation++;
	ck_assert_int_eq(number_layers(layers, 1, false), 0);
	ck_assert_uint_eq(layers[0].number, 3);
}
END_TEST

START_TEST(a_birth_that_is_not_told_parts_nobody)
{
	load();
	number_is("A", false, "1");
	layers[0].root_birth = 0;
	ck_assert_int_eq(number_layers(layers, 1, true), 0);
	ck_assert_uint_eq(layers[0].number, 1);
	/* And it is not forgotten. */
	layers[0].root_birth = 6;
	ck_assert_int_eq(number_layers(layers, 1, true), -ESTALE);
}
END_TEST

START_TEST(twins_have_numbers_of_their_own)
{
	load();
	number_is("AABA", true, "4321");
	save_and_load();
	number_is("AABA", true, "4321");
	ck_assert(!state.changed);
	number_is("AABA", false, "4321");
}
END_TEST

START_TEST(the_kind_of_generation_is_kept)
{
	struct ovl_layer layer;
	uint64_t generation;

	load();
	ck_assert_int_eq(ovl_layer_init(&layer, tree_path, false), 0);
	if (layer.generation_kind != OVL_GENERATION_HANDLE)
		tree_skip("no file handles here");
	/* As if the filesystem had had no handles at first. */
	ck_assert_int_eq(ovl_layer_root_generation(&layer, OVL_GENERATION_BTIME,
	                                           &generation),
	                 0);
	layer.generation_kind = OVL_GENERATION_BTIME;
	layer.root_generation = generation;
	ck_assert_int_eq(number_layers(&layer, 1, true), 0);
	save_and_load();
	ovl_layer_release(&layer);
	ck_assert_int_eq(ovl_layer_init(&layer, tree_path, false), 0);
	ck_assert_int_eq(layer.generation_kind, OVL_GENERATION_HANDLE);
	ck_assert_int_eq(number_layers(&layer, 1, true), 0);
	ck_assert_uint_eq(layer.number, 1);
	ck_assert_int_eq(layer.generation_kind, OVL_GENERATION_BTIME);
	ck_assert_uint_eq(layer.root_generation, generation);
	ovl_layer_release(&layer);
}
END_TEST

START_TEST(two_new_filesystems_are_two_layers)
{
	struct ovl_layer images[2];

	load();
	if (!tree_may_mount())
		tree_skip("no mounts without root");
	tree_mkdir("one");
	tree_mkdir("two");
	if (!tree_mount_image("ext4", "one"))
		tree_skip("no ext4 image to be had");
	/* ext4 keeps the births of most roots by the second. */
	sleep(1);
	ck_assert(tree_mount_image("ext4", "two"));
	ck_assert_int_eq(ovl_layer_init(&images[0], tree_at("one"), false), 0);
	ck_assert_int_eq(ovl_layer_init(&images[1], tree_at("two"), false), 0);
	ck_assert_uint_eq(images[0].root_ino, images[1].root_ino);
	ck_assert_int_eq(number_layers(&images[0], 1, true), 0);
	ck_assert_int_eq(number_layers(&images[1], 1, true), -ESTALE);
	ovl_layer_release(&images[0]);
	ovl_layer_release(&images[1]);
}
END_TEST

START_TEST(there_are_1023_numbers_and_no_more)
{
	load();
	number("A", false);
	for (uint64_t i = 1; i <= OVL_LAYER_MAX; i++) {
		layers[0].root_ino = 1000 + i;
		layers[0].number = 777;
		if (i == OVL_LAYER_MAX)
			break;
		ck_assert_int_eq(number_layers(layers, 1, false), 0);
		ck_assert_uint_eq(layers[0].number, i + 1);
	}
	ck_assert_int_eq(number_layers(layers, 1, false), -EOVERFLOW);
	ck_assert_ptr_nonnull(strstr(why, "/low/A"));
	ck_assert_uint_eq(layers[0].number, 777);
	save_and_load();
	ck_assert_uint_eq(state.nlayers, OVL_LAYER_MAX);
	number_is("A", false, "1");
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("state");

	tcase_add_checked_fixture(tcase, NULL, release);
	tcase_add_test(tcase, a_fresh_state_is_random_and_changed);
	tcase_add_test(tcase, what_is_saved_is_loaded);
	tcase_add_test(tcase, what_a_crash_left_is_in_nobodys_way);
	tcase_add_test(tcase, a_save_that_fails_leaves_the_old_file);
	tcase_add_test(tcase, the_form_of_the_file_stays);
	tcase_add_loop_test(tcase, a_broken_file_is_refused_and_left, 0,
	                    sizeof(breaks) / sizeof(*breaks));
	tcase_add_test(tcase, what_is_no_text_or_no_file_is_refused);
	tcase_add_test(tcase, layers_are_numbered_from_the_bottom);
	tcase_add_test(tcase, a_new_top_layer_renumbers_nothing);
	tcase_add_test(tcase, when_a_stack_became_another_is_kept);
	tcase_add_test(tcase, under_an_upper_layers_are_only_added_on_top);
	tcase_add_test(tcase, a_layer_keeps_its_number_for_ever);
	tcase_add_test(tcase, a_layer_that_had_gone_may_come_back_on_top);
	tcase_add_test(tcase, a_replaced_image_gets_a_fresh_number);
	tcase_add_test(tcase, a_birth_that_is_not_told_parts_nobody);
	tcase_add_test(tcase, twins_have_numbers_of_their_own);
	tcase_add_test(tcase, the_kind_of_generation_is_kept);
	tcase_add_test(tcase, two_new_filesystems_are_two_layers);
	tcase_add_test(tcase, there_are_1023_numbers_and_no_more);
	return tree_run(suite_create("state"), tcase);
}
