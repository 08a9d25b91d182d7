/*
 * Attributes kept with a node: how long they are trusted, and what shows when
 * the layer was changed behind the server's back.
 */
#include "config.h"

#include "overlay/fs.h"
#include "overlay/refresh.h"

#include "stage.h"

#define SECOND UINT64_C(1000000000)

/* The clock of directories is coarse: what comes later is to be another time. */
static void make_old(const char *name)
{
	const struct timespec times[2] = { { 1000, 0 }, { 1000, 0 } };

	ck_assert_int_eq(utimensat(tree, name, times, 0), 0);
}

/* A file of the upper, known to have mode 0644; on disk it has 0600 by now. */
static struct ovl_node *changed_file(void)
{
	struct ovl_node *node;
	struct ovl_attr attr;

	tree_file("up/file", "");
	stage_open();
	node = get("file");
	ck_assert_int_eq(ovl_node_reread(node, false, &attr), 0);
	ck_assert_uint_eq(attr.mode & 07777, 0644);
	ck_assert_int_eq(fchmodat(tree, "up/file", 0600, 0), 0);
	return node;
}

static uint32_t mode_of(struct ovl_node *node, enum ovl_cache cache)
{
	struct ovl_attr attr;

	ck_assert_int_eq(ovl_node_attr(node, cache, true, &attr), 0);
	return attr.mode & 07777;
}

START_TEST(always_trusts_what_it_knows)
{
	struct ovl_node *node = changed_file();

	node->checked -= 3600 * SECOND;
	ck_assert_uint_eq(mode_of(node, OVL_CACHE_ALWAYS), 0644);
	node->checked = 0; /* known to have changed, by the server itself */
	ck_assert_uint_eq(mode_of(node, OVL_CACHE_ALWAYS), 0600);
	ovl_node_unref(node);
}
END_TEST

START_TEST(never_looks_each_time)
{
	struct ovl_node *node = changed_file();
	struct ovl_attr attr;

	ck_assert_int_eq(ovl_node_attr(node, OVL_CACHE_NEVER, false, &attr),
	                 -EAGAIN);
	ck_assert_uint_eq(mode_of(node, OVL_CACHE_NEVER), 0600);
	ck_assert_int_eq(ovl_node_attr(node, OVL_CACHE_NEVER, false, &attr),
	                 -EAGAIN);
	ovl_node_unref(node);
}
END_TEST

START_TEST(auto_trusts_for_a_second)
{
	struct ovl_node *node = changed_file();
	uint64_t now = ovl_now();
	struct ovl_attr attr;
	int err;

	node->checked = now;
	err = ovl_node_attr(node, OVL_CACHE_AUTO, false, &attr);
	if (ovl_now() - now < SECOND) { /* this machine may be busy */
		ck_assert_int_eq(err, 0);
		ck_assert_uint_eq(attr.mode & 07777, 0644);
	}
	node->checked = now - SECOND;
	ck_assert_int_eq(ovl_node_attr(node, OVL_CACHE_AUTO, false, &attr),
	                 -EAGAIN);
	ck_assert_uint_eq(mode_of(node, OVL_CACHE_AUTO), 0600);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_directory_changed_by_others_is_listed_anew)
{
	tree_mkdir("up/dir");
	tree_file("up/dir/old", "");
	make_old("up/dir");
	stage.cache = OVL_CACHE_NEVER;
	stage_open();
	ck_assert_int_eq(seen("dir/old"), 0);
	ck_assert_int_eq(seen("dir/new"), -ENOENT);
	tree_file("up/dir/new", "");
	ck_assert_int_eq(seen("dir/new"), 0);
	make_old("up/dir");
	attr_of("dir");
	ck_assert_int_eq(unlinkat(tree, "up/dir/new", 0), 0);
	ck_assert_int_eq(seen("dir/new"), -ENOENT);
}
END_TEST

START_TEST(a_change_of_the_callers_forgets_no_names)
{
	struct ovl_node *dir;

	tree_mkdir("up/dir");
	make_old("up/dir");
	stage_open();
	ck_assert_int_eq(seen("dir/none"), -ENOENT);
	dir = get("dir");
	tree_file("up/dir/new", "");
	ck_assert_int_eq(ovl_node_reread(dir, true, NULL), 0);
	ck_assert_ptr_nonnull(dir->dir->names);
	make_old("up/dir");
	ck_assert_int_eq(ovl_node_reread(dir, false, NULL), 0);
	ck_assert_ptr_null(dir->dir->names);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(what_was_removed_or_replaced_is_stale)
{
	struct ovl_node *gone, *replaced;

	tree_file("up/gone", "");
	tree_file("up/replaced", "");
	stage_open();
	gone = get("gone");
	replaced = get("replaced");
	ck_assert_int_eq(unlinkat(tree, "up/gone", 0), 0);
	tree_file("other", "");
	ck_assert_int_eq(renameat(tree, "other", tree, "up/replaced"), 0);
	ck_assert_int_eq(ovl_node_reread(gone, false, NULL), -ESTALE);
	ck_assert_int_eq(ovl_node_reread(replaced, false, NULL), -ESTALE);
	ck_assert_ptr_null(ovl_tree_get(&fs->tree, gone->id.fileid));
	ck_assert_ptr_null(ovl_tree_get(&fs->tree, replaced->id.fileid));
	ovl_node_unref(gone);
	ovl_node_unref(replaced);
}
END_TEST

START_TEST(a_file_is_found_by_its_other_name)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	struct ovl_node *node;
	struct ovl_attr attr;

	tree_file("up/a", "");
	ck_assert_int_eq(linkat(tree, "up/a", tree, "up/b", 0), 0);
	stage_open();
	ck_assert_int_eq(seen("a"), 0);
	ck_assert_int_eq(seen("b"), 0);
	node = get("a");
	ovl_node_unref(ovl_node_place(node, name));
	snprintf(path, sizeof(path), "up/%s", name);
	ck_assert_int_eq(unlinkat(tree, path, 0), 0);
	ck_assert_int_eq(ovl_node_reread(node, false, &attr), 0);
	ck_assert_uint_eq(attr.nlink, 1);
	ovl_node_unref(node);
}
END_TEST

static uint32_t adopted_links(struct ovl_node *node, uint32_t nlink)
{
	struct ovl_real real = { 0 };

	ovl_node_lock(node);
	ovl_node_get_attr(node, &real.attr);
	real.attr.nlink = nlink;
	ovl_node_adopt(node, &real, ovl_now());
	nlink = node->attr.nlink;
	ovl_node_unlock(node);
	return nlink;
}

START_TEST(link_counts_are_what_a_client_needs)
{
	struct ovl_node *node;
	struct ovl_attr attr;
	int fd;

	tree_mkdir("high/dir");
	tree_mkdir("low/dir");
	tree_file("low/a", "");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/b", 0), 0);
	stage_open();
	node = get("dir");
	node->dir->extra_links = 0;
	ck_assert_uint_eq(adopted_links(node, 1), 2);
	node->dir->extra_links = 3; /* of the parts below */
	ck_assert_uint_eq(adopted_links(node, 1), 5);
	ck_assert_uint_eq(adopted_links(node, 4), 7);
	ovl_node_unref(node);
	node = get("a");
	ck_assert_uint_eq(adopted_links(node, 2), 2);
	ovl_node_unref(node);
	write_text("a", "text");
	node = get("a");
	/* Not those of the inode: the index has one, and "b" none. */
	ck_assert_int_eq(linkat(tree, "up/a", tree, "low/outside", 0), 0);
	ck_assert_int_eq(ovl_node_reread(node, false, &attr), 0);
	ck_assert_uint_eq(attr.nlink, 2);
	fd = tree_open("up/a", O_RDONLY);
	ck_assert_int_eq(ovl_node_reread_fd(node, fd, false, &attr), 0);
	ck_assert_uint_eq(attr.nlink, 2);
	close(fd);
	ovl_node_unref(node);
}
END_TEST

START_TEST(an_open_descriptor_tells_as_much)
{
	struct ovl_node *node = changed_file();
	int fd = tree_open("up/file", O_RDONLY);
	struct ovl_attr attr;

	ck_assert_int_eq(ovl_node_reread_fd(node, fd, false, &attr), 0);
	ck_assert_uint_eq(attr.mode & 07777, 0600);
	ck_assert_uint_eq(attr.fileid, node->id.fileid);
	ck_assert_uint_eq(mode_of(node, OVL_CACHE_ALWAYS), 0600);
	close(fd);
	ovl_node_unref(node);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("refresh");
	TCase *tcase = tcase_create("refresh");

	tcase_add_test(tcase, always_trusts_what_it_knows);
	tcase_add_test(tcase, never_looks_each_time);
	tcase_add_test(tcase, auto_trusts_for_a_second);
	tcase_add_test(tcase, a_directory_changed_by_others_is_listed_anew);
	tcase_add_test(tcase, a_change_of_the_callers_forgets_no_names);
	tcase_add_test(tcase, what_was_removed_or_replaced_is_stale);
	tcase_add_test(tcase, a_file_is_found_by_its_other_name);
	tcase_add_test(tcase, link_counts_are_what_a_client_needs);
	tcase_add_test(tcase, an_open_descriptor_tells_as_much);
	return stage_run(suite, tcase);
}
