/*
 * A tree of nodes by itself: the bound, references, identities used again.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>

#include "overlay/acl.h"
#include "overlay/fdcache.h"
#include "overlay/tree.h"
#include "tests/lib/suite.h"

#include "seed.h"
#include "stage.h"

#define BOUND 100

static const unsigned char key[OVL_KEY_BYTES];
static const struct ovl_config config = { .max_entries = BOUND,
	                                  .max_files = 10 };
static struct ovl_layer layer;
static struct ovl_tree nodes;
static uint64_t seed;

/* Trees need no disk until something is read. */
static void setup(void)
{
	struct ovl_real real = { .ino = 1,
		                 .generation = 1,
		                 .attr.mode = S_IFDIR | 0755 };
	struct ovl_part part = { .layer = &layer, .ino = 1 };
	struct ovl_node_spec spec = {
		.id = { 1, 1 },
		.layer = &layer,
		.real = &real,
		.parts = &part,
		.nparts = 1,
	};

	ck_assert_int_eq(ovl_tree_init(&nodes, &layer, true, &config, NULL, key,
	                               NULL, NULL),
	                 0);
	nodes.root = ovl_tree_add(&nodes, &spec);
	ck_assert_ptr_nonnull(nodes.root);
}

static void teardown(void)
{
	ovl_tree_release(&nodes);
	ck_assert_uint_eq(atomic_load(&nodes.weight), 0);
}

static struct ovl_node *add_in(struct ovl_node *parent, uint64_t ino,
                               uint64_t generation, mode_t type)
{
	struct ovl_real real = { .ino = ino,
		                 .generation = generation,
		                 .attr.mode = type | 0644,
		                 .attr.nlink = 1 };
	struct ovl_part part = { .layer = &layer, .ino = ino };
	char name[32];
	struct ovl_node_spec spec = {
		.id = { ino, generation },
		.layer = &layer,
		.real = &real,
		.parent = parent,
		.name = name,
		.parts = &part,
		.nparts = type == S_IFDIR,
	};
	struct ovl_node *node;

	snprintf(name, sizeof(name), "%llu", (unsigned long long)ino);
	node = ovl_tree_add(&nodes, &spec);
	ck_assert_ptr_nonnull(node);
	return node;
}

static struct ovl_node *add(uint64_t ino, uint64_t generation)
{
	return add_in(nodes.root, ino, generation, S_IFREG);
}

START_TEST(one_identity_is_one_node)
{
	struct ovl_node *a = add(7, 1), *b = add(7, 1), *c;

	ck_assert_ptr_eq(a, b);
	c = ovl_tree_get(&nodes, 7);
	ck_assert_ptr_eq(a, c);
	ck_assert_ptr_null(ovl_tree_get(&nodes, 8));
	ovl_node_unref(a);
	ovl_node_unref(b);
	ovl_node_unref(c);
}
END_TEST

START_TEST(another_generation_replaces)
{
	struct ovl_node *old = add(7, 1), *new = add(7, 2), *found;

	ck_assert_ptr_ne(old, new);
	found = ovl_tree_get(&nodes, 7);
	ck_assert_ptr_eq(found, new);
	ck_assert_uint_eq(ovl_node_id(old).generation, 1); /* still good */
	ovl_node_unref(found);
	ovl_node_unref(old);
	ovl_node_unref(new);
}
END_TEST

START_TEST(the_weight_stays_within_the_bound)
{
	for (uint64_t ino = 2; ino < 20000; ino++) {
		ovl_node_unref(add(ino, 1));
		ck_assert_uint_le(atomic_load(&nodes.weight), BOUND + 1);
	}
}
END_TEST

/* Of files below, of which there may be millions. */
START_TEST(an_entry_takes_less_than_200_bytes_beyond_its_name)
{
	struct ovl_node *node;
	size_t before;

	nodes.upper = false;
	before = atomic_load(&nodes.bytes);
	node = add(1234567, 1);
	ck_assert_uint_lt(atomic_load(&nodes.bytes) - before, 200 + 7);
	ck_assert_ptr_null(atomic_load(&node->more));
	ovl_node_unref(node);
}
END_TEST

START_TEST(the_bytes_stay_within_the_bound)
{
	const size_t before = atomic_load(&nodes.bytes);
	struct ovl_node *node = add(2, 1);
	const size_t one = atomic_load(&nodes.bytes) - before;

	ovl_node_unref(node);
	ck_assert_uint_gt(one, sizeof(*node));
	nodes.max_weight = 1000000;
	nodes.max_bytes = 50 * one;
	for (uint64_t ino = 3; ino < 20000; ino++) {
		ovl_node_unref(add(ino, 1));
		ck_assert_uint_le(atomic_load(&nodes.bytes), 52 * one);
	}
	ck_assert_uint_gt(atomic_load(&nodes.weight), 25);
}
END_TEST

/* A longer name weighs more; what goes takes its whole weight with it. */
START_TEST(bytes_follow_the_name)
{
	const size_t before = atomic_load(&nodes.bytes);
	struct ovl_node *node = add(2, 1);
	const size_t shorter = atomic_load(&nodes.bytes);
	char name[256];

	memset(name, 'x', 255);
	name[255] = '\0';
	ck_assert_int_eq(ovl_node_set_place(node, nodes.root, name), 0);
	ck_assert_uint_ge(atomic_load(&nodes.bytes), shorter + 240);
	ovl_tree_forget(&nodes, node);
	ovl_node_unref(node);
	ck_assert_uint_eq(atomic_load(&nodes.bytes), before);
}
END_TEST

START_TEST(bytes_count_an_acl)
{
	const size_t before = atomic_load(&nodes.bytes);
	const size_t size = 300 * sizeof(struct ovl_acl_entry);
	struct ovl_node *node = add(2, 1);
	const size_t without = atomic_load(&nodes.bytes);
	struct ovl_acl *acl = calloc(1, sizeof(*acl) + size);

	ck_assert_ptr_nonnull(acl);
	atomic_init(&acl->refs, 1);
	acl->n = 300;
	ovl_node_lock(node);
	ck_assert_int_eq(ovl_node_swap_acl(node, OVL_ACL_ACCESS, &acl), 0);
	ovl_node_unlock(node);
	ck_assert_ptr_null(acl);
	ck_assert_uint_ge(atomic_load(&nodes.bytes), without + size);
	ovl_tree_forget(&nodes, node);
	ovl_node_unref(node);
	ck_assert_uint_eq(atomic_load(&nodes.bytes), before);
}
END_TEST

/* What is held stays, and is found; the rest makes room. */
START_TEST(what_is_held_is_never_forgotten)
{
	struct ovl_node *held[BOUND * 2], *found;

	for (unsigned i = 0; i < BOUND * 2; i++)
		held[i] = add(i + 2, 1);
	for (uint64_t ino = 1000; ino < 5000; ino++)
		ovl_node_unref(add(ino, 1));
	for (unsigned i = 0; i < BOUND * 2; i++) {
		found = ovl_tree_get(&nodes, i + 2);
		ck_assert_ptr_eq(found, held[i]);
		ovl_node_unref(found);
	}
	ck_assert_uint_le(atomic_load(&nodes.weight), 2 * BOUND + 64 + 2);
	for (unsigned i = 0; i < BOUND * 2; i++)
		ovl_node_unref(held[i]);
	for (uint64_t ino = 5000; ino < 6000; ino++)
		ovl_node_unref(add(ino, 1));
	ck_assert_uint_le(atomic_load(&nodes.weight), BOUND + 1);
}
END_TEST

/* More than a stack has room for; ThreadSanitizer is slow, and has larger frames. */
#ifdef __SANITIZE_THREAD__
#define DEPTH 10000
#else
#define DEPTH 50000
#endif

/* A chain of parents goes with its last child, however long it is. */
START_TEST(a_deep_chain_is_let_go)
{
	struct ovl_node *at = ovl_node_ref(nodes.root), *child;

	for (uint64_t ino = 2; ino < DEPTH; ino++) {
		child = add_in(at, ino, 1, S_IFDIR);
		ovl_tree_forget(&nodes, child);
		ovl_node_unref(at);
		at = child;
	}
	ovl_node_unref(at);
	ck_assert_uint_eq(atomic_load(&nodes.weight), 1);
}
END_TEST

START_TEST(a_forgotten_node_is_still_its_holders)
{
	struct ovl_node *node = add(7, 1);

	ovl_tree_forget(&nodes, node);
	ovl_tree_forget(&nodes, node); /* twice does no harm */
	ck_assert_ptr_null(ovl_tree_get(&nodes, 7));
	ck_assert_uint_eq(ovl_node_id(node).fileid, 7);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_place_changes_with_its_name)
{
	struct ovl_node *node = add(7, 1), *dir, *parent;
	char name[256];

	dir = add_in(nodes.root, 8, 1, S_IFDIR);
	ck_assert_int_eq(ovl_node_set_place(node, dir, "elsewhere"), 0);
	parent = ovl_node_place(node, name);
	ck_assert_ptr_eq(parent, dir);
	ck_assert_str_eq(name, "elsewhere");
	ovl_node_unref(parent);
	parent = ovl_node_parent(dir);
	ck_assert_ptr_eq(parent, nodes.root);
	ovl_node_unref(parent);
	ck_assert_ptr_null(ovl_node_place(nodes.root, name));
	ovl_node_unref(node);
	ovl_node_unref(dir);
}
END_TEST

static void *add_and_forget(void *arg)
{
	uint64_t *random = arg;
	struct ovl_node *node;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t ino = 2 + test_random(random) % 300;

		node = add(ino, 1 + test_random(random) % 2);
		ck_assert_uint_eq(ovl_node_id(node).fileid, ino);
		if (test_random(random) % 50 == 0)
			ovl_tree_forget(&nodes, node);
		ovl_node_unref(node);
		ovl_node_unref(
			ovl_tree_get(&nodes, 2 + test_random(random) % 300));
	}
	return NULL;
}

START_TEST(threads_share_a_tree)
{
	pthread_t threads[4];
	uint64_t random[4];

	for (unsigned i = 0; i < 4; i++) {
		random[i] = seed + i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
		                                add_and_forget, &random[i]),
		                 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_le(atomic_load(&nodes.weight), BOUND + 4);
}
END_TEST

/* More of them than are told apart. */
START_TEST(a_change_that_has_been_alone_knows_it)
{
	struct ovl_node *file = add(2, 1);

	for (unsigned i = 0; i < 70000; i++)
		ck_assert(
			ovl_node_change_end(file, ovl_node_change_begin(file)));
	ovl_node_unref(file);
}
END_TEST

START_TEST(changes_that_overlap_have_not_been_alone)
{
	struct ovl_node *file = add(2, 1);
	unsigned a, b, c;

	a = ovl_node_change_begin(file);
	b = ovl_node_change_begin(file);
	ck_assert(!ovl_node_change_end(file, a));
	c = ovl_node_change_begin(file);
	ck_assert(!ovl_node_change_end(file, b));
	ck_assert(!ovl_node_change_end(file, c));
	/* One within the other. */
	a = ovl_node_change_begin(file);
	b = ovl_node_change_begin(file);
	ck_assert(!ovl_node_change_end(file, b));
	ck_assert(!ovl_node_change_end(file, a));
	a = ovl_node_change_begin(file);
	ck_assert(ovl_node_change_end(file, a));
	ovl_node_unref(file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("node");
	TCase *tcase = tcase_create("node");

	seed = test_seed();
	tcase_add_checked_fixture(tcase, setup, teardown);
	/* ThreadSanitizer takes long for what is held and cannot go. */
	tcase_set_timeout(tcase, 240);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, one_identity_is_one_node);
	tcase_add_test(tcase, another_generation_replaces);
	tcase_add_test(tcase, the_weight_stays_within_the_bound);
	tcase_add_test(tcase,
	               an_entry_takes_less_than_200_bytes_beyond_its_name);
	tcase_add_test(tcase, the_bytes_stay_within_the_bound);
	tcase_add_test(tcase, bytes_follow_the_name);
	tcase_add_test(tcase, bytes_count_an_acl);
	tcase_add_test(tcase, what_is_held_is_never_forgotten);
	tcase_add_test(tcase, a_deep_chain_is_let_go);
	tcase_add_test(tcase, a_forgotten_node_is_still_its_holders);
	tcase_add_test(tcase, a_place_changes_with_its_name);
	tcase_add_test(tcase, a_change_that_has_been_alone_knows_it);
	tcase_add_test(tcase, changes_that_overlap_have_not_been_alone);
	tcase_add_test(tcase, threads_share_a_tree);
	return suite_run(suite);
}
