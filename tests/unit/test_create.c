/*
 * Making new objects: what they look like, what they may replace.
 */
#include "config.h"

#include <sys/inotify.h>
#include <sys/sysmacros.h>

#include "overlay/fs.h"

#include "stage.h"

static struct ovl_attr take_attr(struct ovl_node *node)
{
	struct ovl_attr attr;

	ck_assert_int_eq(ovl_getattr(fs, &root, node, &attr), 0);
	ovl_node_unref(node);
	return attr;
}

static int create(const char *name, enum ovl_how how,
                  const struct ovl_setattr *set, uint64_t verifier,
                  struct ovl_node **node)
{
	struct ovl_node *dir = get("");
	int err = ovl_create(fs, &root, dir, name, how, set, verifier, node,
	                     NULL);

	ovl_node_unref(dir);
	return err;
}

static int make_node(const char *name, mode_t type, dev_t rdev)
{
	struct ovl_node *dir = get(""), *node = NULL;
	int err = ovl_mknod(fs, &root, dir, name, type, rdev, &nothing, &node,
	                    NULL);

	ovl_node_unref(dir);
	ovl_node_unref(node);
	return err;
}

static int make_symlink(const char *name)
{
	struct ovl_node *dir = get(""), *node = NULL;
	int err = ovl_symlink(fs, &root, dir, name, "target", &nothing, &node,
	                      NULL);

	ovl_node_unref(dir);
	ovl_node_unref(node);
	return err;
}

START_TEST(it_looks_as_asked_for)
{
	struct ovl_setattr set = {
		.has_mode = true,
		.mode = 0640,
		.has_size = true,
		.size = 5,
		.set_mtime = OVL_TIME_GIVEN,
		.mtime = { 1234, 5678 },
	};
	struct ovl_node *node = NULL;
	struct ovl_attr attr;

	stage_open();
	ck_assert_int_eq(create("file", OVL_GUARDED, &set, 0, &node), 0);
	attr = take_attr(node);
	ck_assert_uint_eq(attr.mode, S_IFREG | 0640);
	ck_assert_uint_eq(attr.size, 5);
	ck_assert_int_eq(attr.mtime.tv_sec, 1234);
	ck_assert_int_eq(attr.mtime.tv_nsec, 5678);
	ck_assert_uint_eq(attr.uid, root.uid);
	ck_assert_uint_eq(attr.nlink, 1);
}
END_TEST

START_TEST(the_servers_umask_plays_no_part)
{
	stage_open();
	umask(077);
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	ck_assert_int_eq(make_node("fifo", S_IFIFO, 0), 0);
	umask(0);
	ck_assert_uint_eq(attr_of("file").mode, S_IFREG | 0666);
	ck_assert_uint_eq(attr_of("dir").mode, S_IFDIR | 0777);
	ck_assert_uint_eq(attr_of("fifo").mode, S_IFIFO | 0666);
}
END_TEST

START_TEST(a_setgid_directory_gives_its_group)
{
	if (geteuid() != 0)
		tree_skip("groups need root");
	tree_mkdir("low/dir");
	ck_assert_int_eq(fchownat(tree, "low/dir", 0, 77, 0), 0);
	ck_assert_int_eq(fchmodat(tree, "low/dir", 02775, 0), 0);
	stage_open();
	ck_assert_int_eq(make_file("dir", "file"), 0);
	ck_assert_int_eq(make_dir("dir", "sub"), 0);
	ck_assert_uint_eq(attr_of("dir/file").gid, 77);
	ck_assert_uint_eq(attr_of("dir/file").mode & 02000, 0);
	ck_assert_uint_eq(attr_of("dir/sub").gid, 77);
	ck_assert_uint_eq(attr_of("dir/sub").mode & 02000, 02000);
}
END_TEST

START_TEST(every_kind_replaces_a_whiteout)
{
	static const char *const names[] = { "file", "dir", "symlink", "fifo" };
	static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO };
	char path[32];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "low/%s", names[i]);
		tree_file(path, "hidden");
	}
	stage_open();
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(remove_name("", names[i]), 0);
	ck_assert(is_whiteout("up/dir"));
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	ck_assert_int_eq(make_symlink("symlink"), 0);
	ck_assert_int_eq(make_node("fifo", S_IFIFO, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "up/%s", names[i]);
		ck_assert(!is_whiteout(path));
		ck_assert_uint_eq(attr_of(names[i]).mode & S_IFMT, types[i]);
	}
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(nothing_below_shines_through_a_new_directory)
{
	stage_open();
	ck_assert_int_eq(make_dir("", "new"), 0);
	stage_close();
	tree_mkdir("low/new");
	tree_file("low/new/file", "");
	stage_open();
	ck_assert_int_eq(seen("new"), 0);
	ck_assert_int_eq(seen("new/file"), -ENOENT);
}
END_TEST

START_TEST(an_exclusive_create_may_be_sent_again)
{
	struct ovl_node *first = NULL, *again = NULL;

	tree_file("low/file", "");
	stage_open();
	ck_assert_int_eq(create("new", OVL_EXCLUSIVE, &nothing, 42, &first), 0);
	ck_assert_uint_eq(attr_of("new").mode & 07777, 0);
	ck_assert_int_eq(create("new", OVL_EXCLUSIVE, &nothing, 43, &again),
	                 -EEXIST);
	ck_assert_int_eq(create("file", OVL_EXCLUSIVE, &nothing, 42, &again),
	                 -EEXIST);
	ck_assert_ptr_null(again);
	ovl_node_unref(first);
	stage_reopen(); /* the server may have crashed between */
	ck_assert_int_eq(create("new", OVL_EXCLUSIVE, &nothing, 42, &again), 0);
	ck_assert(same_id(ovl_node_id(again), id_of("new")));
	ovl_node_unref(again);
}
END_TEST

/* The server may have no right that the owner has not. */
START_TEST(what_its_owner_closes_is_found_again)
{
	struct ovl_setattr closed = { .has_mode = true };
	struct ovl_node *node = NULL;
	struct ovl_id file;

	stage_open();
	ck_assert_int_eq(create("file", OVL_GUARDED, &closed, 0, &node), 0);
	ovl_node_unref(node);
	file = id_of("file");
	stage_reopen();
	ck_assert(same_id(id_of("file"), file));
}
END_TEST

START_TEST(what_exists_is_taken_or_refused)
{
	struct ovl_setattr cut = { .has_size = true },
			   mode = { .has_mode = true, .mode = 0600 };
	struct ovl_node *node = NULL;

	tree_file("low/file", "text");
	tree_mkdir("low/dir");
	stage_open();
	ck_assert_int_eq(create("file", OVL_GUARDED, &cut, 0, &node), -EEXIST);
	ck_assert_int_eq(create("dir", OVL_UNCHECKED, &cut, 0, &node), -EISDIR);
	ck_assert_int_eq(make_dir("", "file"), -EEXIST);
	ck_assert_int_eq(make_symlink("dir"), -EEXIST);
	ck_assert_ptr_null(node);
	ck_assert_int_eq(create("file", OVL_UNCHECKED, &mode, 0, &node), 0);
	ck_assert_uint_eq(take_attr(node).mode & 07777, 0644);
	ck_assert(has_text("file", "text"));
	ck_assert_int_eq(count_names("up"), 0); /* nothing has changed yet */
	ck_assert_int_eq(create("file", OVL_UNCHECKED, &cut, 0, &node), 0);
	ck_assert_uint_eq(take_attr(node).size, 0);
	ck_assert(tree_file_is("low/file", "text"));
}
END_TEST

/* Others have put something there unseen: it is theirs. */
START_TEST(what_others_have_put_there_stays)
{
	const struct ovl_setattr owner = { .has_uid = true, .uid = 1234 };
	struct ovl_node *node;

	stage.cache = OVL_CACHE_ALWAYS;
	stage_open();
	ck_assert_int_eq(seen("file"), -ENOENT);
	tree_file("up/file", "theirs");
	tree_file("up/other", "theirs");
	ck_assert_int_eq(create("file", OVL_GUARDED, &nothing, 0, &node),
	                 -EEXIST);
	ck_assert_int_eq(create("other", OVL_GUARDED, &owner, 0, &node),
	                 -EEXIST);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	stage_reopen();
	ck_assert(has_text("file", "theirs"));
	ck_assert(has_text("other", "theirs"));
}
END_TEST

START_TEST(nobody_makes_whiteouts)
{
	struct ovl_caller user = { .uid = 1000, .gid = 1000, .may_wait = true };
	struct ovl_node *dir, *node = NULL;

	ck_assert_int_eq(fchmodat(tree, "up", 0777, 0), 0);
	stage_open();
	ck_assert_int_eq(make_node("gone", S_IFCHR, makedev(0, 0)), -EPERM);
	dir = get("");
	ck_assert_int_eq(ovl_mknod(fs, &user, dir, "disk", S_IFBLK,
	                           makedev(7, 0), &nothing, &node, NULL),
	                 -EPERM);
	ovl_node_unref(dir);
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

START_TEST(what_is_there_is_said_first_and_then_who_may_not)
{
	struct ovl_caller user = { .uid = 4321, .gid = 4321, .may_wait = true };
	struct ovl_node *dir, *node = NULL;

	tree_file("low/file", "");
	tree_mkdir("low/dir");
	stage_open();
	root.uid = 0;
	dir = get("");
	ck_assert_int_eq(make_node("file", S_IFCHR, makedev(0, 0)), -EEXIST);
	ck_assert_int_eq(ovl_mknod(fs, &user, dir, "file", S_IFCHR,
	                           makedev(1, 3), &nothing, &node, NULL),
	                 -EEXIST);
	ck_assert_int_eq(ovl_mknod(fs, &user, dir, "disk", S_IFCHR,
	                           makedev(1, 3), &nothing, &node, NULL),
	                 -EACCES);
	node = get("dir");
	ck_assert_int_eq(ovl_link(fs, &user, node, dir, "link", NULL), -EACCES);
	ck_assert_int_eq(ovl_link(fs, &root, node, dir, "link", NULL), -EPERM);
	ovl_node_unref(node);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct ovl_caller user = { .uid = 1000, .gid = 1000, .may_wait = true };
	struct ovl_node *dir, *node = NULL;
	char name[300];

	tree_file("low/file", "");
	tree_mkdir("low/dir");
	stage_open();
	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	ck_assert_int_eq(make_file("", name), -ENAMETOOLONG);
	name[255] = '\0';
	ck_assert_int_eq(make_file("", name), 0);
	ck_assert_int_eq(make_file("file", "in"), -ENOTDIR);
	ck_assert_int_eq(link_name("dir", "", "link"), -EPERM);
	ck_assert_int_eq(link_name("file", "", "dir"), -EEXIST);
	dir = get("dir");
	ck_assert_int_eq(ovl_mkdir(fs, &user, dir, "new", &nothing, &node,
	                           NULL),
	                 -EACCES);
	ovl_node_unref(dir);
	ck_assert(!tree_has("up/dir"));
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

/* New files stay open for the first write, which is flushed some time later. */
START_TEST(no_more_are_kept_open_than_the_bound)
{
	char name[16];

	stage.sync = OVL_SYNC;
	stage.max_files = 8;
	stage_open();
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		ck_assert_int_eq(make_file("", name), 0);
		write_text(name, "text");
		ck_assert_uint_le(ovl_fdcache_count(fs->tree.fds), 8);
	}
}
END_TEST

/* What the directory's watch has been told: IN_*. */
static uint32_t told(int watch)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t n = read(watch, events, sizeof(events));
	const struct inotify_event *event;
	uint32_t all = 0;

	for (char *at = events; n > 0 && at < events + n;
	     at += sizeof(*event) + event->len) {
		event = (const struct inotify_event *)at;
		all |= event->mask;
	}
	return all;
}

/*
 * No crash may leave a file at its place that is not its owner's yet. Mode 0600 is
 * what anything is made with before it has its owner.
 */
START_TEST(nothing_is_at_its_place_before_it_is_whole)
{
	static const struct {
		mode_t mode;
		bool userxattr, setgid, server_s, in_place;
	} cases[] = {
		{ 0600, false, false, true, true },
		{ 0640, false, false, true, true },
		{ 0600, false, false, false, false },
		{ 0600, false, true, false, false },
		{ 0600, true, false, true, false },
		{ 0640, true, false, true, false },
	};
	struct ovl_caller caller = { .uid = 1000, .may_wait = true };
	struct ovl_setattr set = { .has_mode = true, .mode = cases[_i].mode };
	struct ovl_node *dir, *node = NULL;
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (geteuid() != 0 && !cases[_i].userxattr)
		return;
	caller.gid = getegid();
	if (cases[_i].server_s)
		caller.uid = geteuid();
	stage.userxattr = cases[_i].userxattr;
	ck_assert_int_eq(
		fchmodat(tree, "up", cases[_i].setgid ? 02777 : 0777, 0), 0);
	stage_open();
	ck_assert_int_ge(inotify_add_watch(watch, stage_paths[2],
	                                   IN_CREATE | IN_MOVED_TO),
	                 0);
	dir = get("");
	ck_assert_int_eq(ovl_create(fs, &caller, dir, "file", OVL_GUARDED, &set,
	                            0, &node, NULL),
	                 0);
	ck_assert_uint_eq(told(watch),
	                  cases[_i].in_place ? IN_CREATE : IN_MOVED_TO);
	ovl_node_unref(dir);
	ovl_node_unref(node);
	close(watch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("create");
	TCase *tcase = tcase_create("create");

	tcase_add_test(tcase, it_looks_as_asked_for);
	tcase_add_test(tcase, the_servers_umask_plays_no_part);
	tcase_add_test(tcase, a_setgid_directory_gives_its_group);
	tcase_add_test(tcase, every_kind_replaces_a_whiteout);
	tcase_add_test(tcase, nothing_below_shines_through_a_new_directory);
	tcase_add_test(tcase, an_exclusive_create_may_be_sent_again);
	tcase_add_test(tcase, what_its_owner_closes_is_found_again);
	tcase_add_test(tcase, what_exists_is_taken_or_refused);
	tcase_add_test(tcase, what_others_have_put_there_stays);
	tcase_add_test(tcase, nobody_makes_whiteouts);
	tcase_add_test(tcase, what_is_there_is_said_first_and_then_who_may_not);
	tcase_add_test(tcase, what_cannot_be_is_refused);
	tcase_add_test(tcase, no_more_are_kept_open_than_the_bound);
	tcase_add_loop_test(tcase, nothing_is_at_its_place_before_it_is_whole,
	                    0, 6);
	return stage_run(suite, tcase);
}
