/*
 * Metacopies: files whose attributes alone were copied up. Their data is found
 * below, follows when it is to change, and leads through the layers.
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "overlay/fs.h"
#include "overlay/refresh.h"
#include "tests/lib/suite.h"

#include "stage.h"

/* Blocks that attributes may take. */
#define MARKS 16

static char data_path[PATH_MAX];
static const char *three_lowers[3];

/* With "data", a layer of data alone, below "high" and "low". */
static void setup(void)
{
	stage_setup();
	stage.metacopy = true;
	tree_mkdir("data");
	strcpy(data_path, tree_at("data"));
	three_lowers[0] = stage_paths[0];
	three_lowers[1] = stage_paths[1];
	three_lowers[2] = data_path;
	stage.lowerdirs = three_lowers;
	stage.nlowerdirs = 3;
	stage.ndatadirs = 1;
}

static const char *attribute(const char *name)
{
	static char full[64];

	snprintf(full, sizeof(full), "%s.overlay.%s",
	         stage.userxattr ? "user" : "trusted", name);
	return full;
}

static void mark(const char *path, const char *name, const char *value)
{
	ck_assert_int_eq(lsetxattr(tree_at(path), attribute(name), value,
	                           strlen(value), 0),
	                 0);
}

static bool has_mark(const char *path, const char *name)
{
	return lgetxattr(tree_at(path), attribute(name), NULL, 0) >= 0;
}

static bool has_redirect(const char *path, const char *value)
{
	char found[PATH_MAX] = "";

	return lgetxattr(tree_at(path), attribute("redirect"), found,
	                 sizeof(found) - 1) == (ssize_t)strlen(value) &&
	       !strcmp(found, value);
}

/* A file of that size without data. */
static void make_metacopy(const char *path, off_t size)
{
	tree_file(path, "");
	ck_assert_int_eq(truncate(tree_at(path), size), 0);
	mark(path, "metacopy", "");
}

static int set_mode(const char *path, uint32_t mode)
{
	struct ovl_setattr set = { .has_mode = true, .mode = mode };
	struct ovl_node *node = get(path);
	int err = ovl_setattr(fs, &root, node, &set, NULL, NULL);

	ovl_node_unref(node);
	return err;
}

static int set_size(const char *path, uint64_t size)
{
	struct ovl_setattr set = { .has_size = true, .size = size };
	struct ovl_node *node = get(path);
	int err = ovl_setattr(fs, &root, node, &set, NULL, NULL);

	ovl_node_unref(node);
	return err;
}

static void make_file_of(const char *path, size_t size)
{
	int fd = openat(tree, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	char block[4096];

	ck_assert_int_ge(fd, 0);
	memset(block, 'd', sizeof(block));
	for (; size; size -= sizeof(block))
		ck_assert_int_eq(write(fd, block, sizeof(block)),
		                 sizeof(block));
	close(fd);
}

static struct stat stat_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* ---- made ------------------------------------------------------------------ */

START_TEST(attributes_are_copied_up_without_the_data)
{
	struct ovl_attr before, after;
	struct ovl_stats stats;

	make_file_of("low/file", 1 << 20);
	stage_open();
	before = attr_of("file");
	ck_assert_int_eq(set_mode("file", 0600), 0);
	after = attr_of("file");
	ck_assert_uint_eq(after.mode & 07777, 0600);
	ck_assert_uint_eq(after.size, before.size);
	ck_assert_uint_eq(after.used, before.used);
	ck_assert_uint_eq(after.fileid, before.fileid);
	ck_assert_int_eq(
		memcmp(&after.mtime, &before.mtime, sizeof(after.mtime)), 0);
	ovl_stats(fs, &stats);
	ck_assert_uint_eq(stats.copied_bytes, 0);
	ck_assert_uint_eq(stat_of("up/file").st_size, 1 << 20);
	ck_assert_uint_le(stat_of("up/file").st_blocks, MARKS);
	ck_assert(has_mark("up/file", "metacopy"));
	stage_reopen();
	ck_assert_uint_eq(attr_of("file").used, before.used);
	ck_assert_uint_eq(attr_of("file").mode & 07777, 0600);
}
END_TEST

START_TEST(the_data_below_is_read)
{
	tree_file("low/file", "text");
	stage_open();
	ck_assert(has_text("file", "text"));
	ck_assert_int_eq(set_mode("file", 0600), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("file", "text"));
		stage_reopen();
	}
}
END_TEST

START_TEST(a_write_completes_it)
{
	struct ovl_id id;
	struct timespec times[2] = { { 5, 6 }, { 7, 8 } };

	tree_file("low/file", "text");
	ck_assert_int_eq(utimensat(tree, "low/file", times, 0), 0);
	stage_open();
	id = id_of("file");
	ck_assert_int_eq(set_mode("file", 0640), 0);
	write_text("file", "T");
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("file", "Text"));
		ck_assert_uint_eq(attr_of("file").mode & 07777, 0640);
		ck_assert(same_id(id, id_of("file")));
		stage_reopen();
	}
	ck_assert(!has_mark("up/file", "metacopy"));
	ck_assert(tree_file_is("up/file", "Text"));
	ck_assert(tree_file_is("low/file", "text"));
}
END_TEST

START_TEST(cutting_and_growing_complete_it)
{
	static const struct {
		uint64_t size;
		const char *text;
	} sizes[] = { { 0, "" }, { 2, "te" }, { 4, "text" } };
	uint64_t large = UINT64_C(5) << 30;

	for (unsigned i = 0; i < 3; i++) {
		char name[16], at[32];

		snprintf(name, sizeof(name), "file%u", i);
		snprintf(at, sizeof(at), "low/%s", name);
		tree_file(at, "text");
	}
	tree_file("low/grown", "text");
	stage_open();
	for (unsigned i = 0; i < 3; i++) {
		char name[16], at[32];

		snprintf(name, sizeof(name), "file%u", i);
		snprintf(at, sizeof(at), "up/%s", name);
		ck_assert_int_eq(set_mode(name, 0600), 0);
		ck_assert(has_mark(at, "metacopy"));
		ck_assert_int_eq(set_size(name, sizes[i].size), 0);
		ck_assert(has_text(name, sizes[i].text));
		ck_assert(!has_mark(at, "metacopy"));
		ck_assert(tree_file_is(at, sizes[i].text));
	}
	ck_assert_int_eq(set_mode("grown", 0600), 0);
	ck_assert_int_eq(set_size("grown", large), 0);
	ck_assert_uint_eq(attr_of("grown").size, large);
	stage_reopen();
	ck_assert_uint_eq(attr_of("grown").size, large);
}
END_TEST

static bool reads(const char *path, const char *bytes, size_t len)
{
	struct ovl_node *node = get(path);
	char data[16];
	bool eof;
	ssize_t n = ovl_read(fs, &root, node, data, sizeof(data), 0, &eof);

	ovl_node_unref(node);
	return n == (ssize_t)len && !memcmp(data, bytes, len);
}

/* As a crash leaves it while it is cut: the mark goes last. */
START_TEST(what_a_cut_one_has_lost_stays_lost)
{
	static const struct {
		const char *low, *up;
		off_t size;
		const char *grown, *written;
	} files[] = {
		{ "low/none", "up/none", 0, "\0\0\0\0", "\0\0\0\0\0X" },
		{ "low/some", "up/some", 2, "te\0\0", "te\0\0\0X" },
	};

	for (unsigned i = 0; i < 2; i++) {
		tree_file(files[i].low, "text text");
		make_metacopy(files[i].up, files[i].size);
	}
	stage_open();
	for (unsigned i = 0; i < 2; i++) {
		const char *name = files[i].up + strlen("up/");
		struct ovl_node *node = get(name);

		ck_assert(reads(name, files[i].grown, files[i].size));
		ck_assert_int_eq(set_size(name, 4), 0);
		ck_assert(reads(name, files[i].grown, 4));
		ck_assert_int_eq(ovl_write(fs, &root, node, "X", 1, 5,
		                           OVL_UNSTABLE, NULL),
		                 1);
		ck_assert(reads(name, files[i].written, 6));
		ovl_node_unref(node);
	}
}
END_TEST

START_TEST(renamed_and_linked_it_finds_its_data)
{
	struct ovl_id id;

	tree_mkdir("low/dir");
	tree_file("low/dir/file", "text");
	tree_mkdir("low/other");
	stage_open();
	id = id_of("dir/file");
	ck_assert_int_eq(rename_name("dir", "file", "other", "moved"), 0);
	ck_assert(has_mark("up/other/moved", "metacopy"));
	ck_assert(has_redirect("up/other/moved", "/dir/file"));
	ck_assert_int_eq(link_name("other/moved", "", "link"), 0);
	ck_assert_int_eq(rename_name("", "dir", "other", "dir"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("other/moved", "text"));
		ck_assert(has_text("link", "text"));
		ck_assert(same_id(id, id_of("link")));
		ck_assert_int_eq(seen("other/dir/file"), -ENOENT);
		stage_reopen();
	}
	write_text("link", "TEXT");
	ck_assert(has_text("other/moved", "TEXT"));
	stage_reopen();
	ck_assert(has_text("other/moved", "TEXT"));
	ck_assert(tree_file_is("low/dir/file", "text"));
}
END_TEST

/* A redirect that nobody follows would lose it at the next start. */
START_TEST(where_no_redirect_is_followed_a_new_name_completes_it)
{
	stage.redirect_dir = OVL_REDIRECT_NOFOLLOW;
	tree_file("low/file", "text");
	tree_file("low/linked", "text");
	stage_open();
	ck_assert_int_eq(rename_name("", "file", "", "moved"), 0);
	ck_assert_int_eq(link_name("linked", "", "link"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("moved", "text"));
		ck_assert(has_text("link", "text"));
		ck_assert(has_text("linked", "text"));
		stage_reopen();
	}
	ck_assert(!has_mark("up/moved", "metacopy"));
	ck_assert(!has_mark("up/moved", "redirect"));
}
END_TEST

START_TEST(in_a_renamed_directory_it_finds_its_data)
{
	tree_mkdir("low/dir");
	tree_file("low/dir/file", "text");
	stage_open();
	ck_assert_int_eq(set_mode("dir/file", 0600), 0);
	ck_assert_int_eq(rename_name("", "dir", "", "new"), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("new/file", "text"));
		stage_reopen();
	}
	ck_assert_int_eq(set_mode("new/file", 0644), 0);
	write_text("new/file", "TEXT");
	stage_reopen();
	ck_assert(has_text("new/file", "TEXT"));
}
END_TEST

START_TEST(all_names_of_a_lower_file_are_one_metacopy)
{
	tree_file("low/one", "text");
	ck_assert_int_eq(linkat(tree, "low/one", tree, "low/two", 0), 0);
	stage_open();
	ck_assert_int_eq(set_mode("one", 0600), 0);
	stage_reopen();
	ck_assert(has_text("two", "text"));
	ck_assert_uint_eq(attr_of("two").mode & 07777, 0600);
	write_text("two", "TEXT");
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("one", "TEXT"));
		ck_assert(has_text("two", "TEXT"));
		stage_reopen();
	}
}
END_TEST

START_TEST(an_empty_file_needs_none)
{
	tree_file("low/file", "");
	stage_open();
	ck_assert_int_eq(set_mode("file", 0600), 0);
	ck_assert(!has_mark("up/file", "metacopy"));
}
END_TEST

START_TEST(without_metacopy_the_data_comes_along)
{
	stage.metacopy = false;
	tree_file("low/file", "text");
	stage_open();
	ck_assert_int_eq(set_mode("file", 0600), 0);
	ck_assert(!has_mark("up/file", "metacopy"));
	ck_assert(tree_file_is("up/file", "text"));
}
END_TEST

/* A limit on the size of files stands in for a disk that is full. */
START_TEST(what_cannot_be_completed_stays_a_metacopy)
{
	struct rlimit limit = { 65536, RLIM_INFINITY };
	struct ovl_node *node;

	make_file_of("low/file", 1 << 20);
	stage_open();
	ck_assert_int_eq(set_mode("file", 0600), 0);
	node = get("file");
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(ovl_write(fs, &root, node, "x", 1, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EFBIG);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(has_mark("up/file", "metacopy"));
	ck_assert_uint_eq(stat_of("up/file").st_size, 1 << 20);
	ck_assert_uint_le(stat_of("up/file").st_blocks, MARKS);
	ck_assert_uint_eq(attr_of("file").size, 1 << 20);
	ck_assert_int_eq(
		ovl_write(fs, &root, node, "x", 1, 0, OVL_UNSTABLE, NULL), 1);
	ck_assert(!has_mark("up/file", "metacopy"));
	ovl_node_unref(node);
}
END_TEST

/*
 * One of its names goes while it is completed, and the tree has another node of it
 * from then on: what was written is not copied over once more.
 */
START_TEST(it_is_completed_once_by_whichever_node)
{
	struct ovl_node *first, *second;

	tree_file("low/file", "text");
	stage_open();
	ck_assert_int_eq(set_mode("file", 0600), 0);
	stage_close();
	mark("up/file", "redirect", "/file");
	ck_assert_int_eq(linkat(tree, "up/file", tree, "up/other", 0), 0);
	stage_open();
	first = get("file");
	ck_assert_int_eq(remove_name("", "file"), 0);
	second = get("other");
	ck_assert_ptr_ne(first, second);
	ck_assert_int_eq(ovl_write(fs, &root, first, "TEXT", 4, 0, OVL_UNSTABLE,
	                           NULL),
	                 4);
	ck_assert(node_has_text(second, "TEXT"));
	ck_assert_int_eq(
		ovl_write(fs, &root, second, "W", 1, 0, OVL_UNSTABLE, NULL), 1);
	ck_assert(has_text("other", "WEXT"));
	ck_assert(tree_file_is("up/other", "WEXT"));
	ovl_node_unref(first);
	ovl_node_unref(second);
}
END_TEST

/* cap_net_raw=ep, for any user. */
static const unsigned char capability[] = { 1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
	                                    0, 0, 0, 0, 0, 0,    0, 0, 0, 0 };

static bool has_capability(const char *path)
{
	unsigned char value[64];

	return lgetxattr(tree_at(path), "security.capability", value,
	                 sizeof(value)) == sizeof(capability) &&
	       !memcmp(value, capability, sizeof(capability));
}

/* Only a client's write takes them away. */
START_TEST(capabilities_are_kept_while_the_data_come)
{
	struct rlimit limit = { 65536, RLIM_INFINITY };

	if (geteuid() != 0) {
		printf("%s: skipped: not root\n", __func__);
		return;
	}
	make_file_of("low/file", 1 << 20);
	ck_assert_int_eq(lsetxattr(tree_at("low/file"), "security.capability",
	                           capability, sizeof(capability), 0),
	                 0);
	stage.redirect_dir = OVL_REDIRECT_NOFOLLOW;
	stage_open();
	ck_assert_int_eq(set_mode("file", 0700), 0);
	ck_assert(has_mark("up/file", "metacopy"));
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(rename_name("", "file", "", "name"), -EFBIG);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(has_capability("up/file"));
	ck_assert_int_eq(rename_name("", "file", "", "name"), 0);
	ck_assert(!has_mark("up/name", "metacopy"));
	ck_assert(has_capability("up/name"));
	write_text("name", "x");
	ck_assert(!has_capability("up/name"));
}
END_TEST

/* While the data come, once: what a client does, and whether they come. */
static void (*meanwhile)(void);
static int copy_errno;

ssize_t __real_copy_file_range(int from, off_t *from_at, int to, off_t *to_at,
                               size_t count, unsigned flags);
ssize_t __wrap_copy_file_range(int from, off_t *from_at, int to, off_t *to_at,
                               size_t count, unsigned flags);

ssize_t __wrap_copy_file_range(int from, off_t *from_at, int to, off_t *to_at,
                               size_t count, unsigned flags)
{
	ssize_t n =
		__real_copy_file_range(from, from_at, to, to_at, count, flags);

	if (!meanwhile)
		return n;
	meanwhile();
	meanwhile = NULL;
	errno = copy_errno;
	return copy_errno ? -1 : n;
}

static void set_times(void)
{
	static const struct ovl_setattr set = { .set_mtime = OVL_TIME_GIVEN,
		                                .mtime = { 2000, 2 } };
	struct ovl_node *node = get("file");

	struct ovl_attr attr;

	/* For clients it has not been written to. */
	ck_assert_int_eq(ovl_node_attr(node, OVL_CACHE_NEVER, true, &attr), 0);
	ck_assert_int_eq(attr.mtime.tv_sec, 1000);
	ck_assert_int_eq(ovl_setattr(fs, &root, node, &set, NULL, NULL), 0);
	ck_assert_int_eq(attr_of("file").mtime.tv_sec, 2000);
	ovl_node_unref(node);
}

START_TEST(times_that_are_set_while_the_data_come_stay)
{
	static const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

	make_file_of("low/file", 1 << 20);
	ck_assert_int_eq(utimensat(tree, "low/file", old, 0), 0);
	stage.redirect_dir = OVL_REDIRECT_NOFOLLOW;
	stage_open();
	ck_assert_int_eq(set_mode("file", 0700), 0);
	copy_errno = _i ? ENOSPC : 0;
	meanwhile = set_times;
	ck_assert_int_eq(rename_name("", "file", "", "name"), -copy_errno);
	ck_assert_ptr_null(meanwhile);
	ck_assert_int_eq(attr_of(_i ? "file" : "name").mtime.tv_sec, 2000);
	ck_assert_int_eq(stat_of(_i ? "up/file" : "up/name").st_mtim.tv_nsec,
	                 2);
	ck_assert_int_eq(stat_of(_i ? "up/file" : "up/name").st_atim.tv_sec,
	                 1000);
}
END_TEST

/* ---- followed --------------------------------------------------------------- */

START_TEST(metacopies_lead_through_the_layers)
{
	tree_mkdir("up/a");
	make_metacopy("up/a/file", 4);
	mark("up/a/file", "redirect", "/b/name");
	tree_mkdir("high/b");
	make_metacopy("high/b/name", 4);
	mark("high/b/name", "redirect", "other");
	tree_mkdir("low/b");
	tree_file("low/b/other", "text");
	make_metacopy("high/same", 4);
	tree_file("low/same", "same");
	stage_open();
	ck_assert(has_text("a/file", "text"));
	ck_assert(has_text("b/name", "text"));
	ck_assert(has_text("same", "same"));
	write_text("b/name", "TEXT");
	ck_assert(has_text("b/name", "TEXT"));
	ck_assert(has_text("a/file", "text"));
	write_text("a/file", "more");
	stage_reopen();
	ck_assert(has_text("b/name", "TEXT"));
	ck_assert(has_text("a/file", "more"));
}
END_TEST

START_TEST(data_may_be_in_a_layer_of_data_alone)
{
	tree_mkdir("data/d");
	tree_file("data/d/1", "one");
	tree_file("data/d/2", "two");
	make_metacopy("low/one", 3);
	mark("low/one", "redirect", "/d/1");
	make_metacopy("up/two", 3);
	mark("up/two", "redirect", "/d/2");
	stage_open();
	ck_assert_int_eq(seen("d"), -ENOENT);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("one", "one"));
		ck_assert(has_text("two", "two"));
		stage_reopen();
	}
	write_text("one", "ONE");
	write_text("two", "TWO");
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(has_text("one", "ONE"));
		ck_assert(has_text("two", "TWO"));
		stage_reopen();
	}
	ck_assert(tree_file_is("data/d/1", "one"));
}
END_TEST

START_TEST(a_metacopy_without_data_is_an_error_of_that_file)
{
	make_metacopy("up/upper", 4);
	make_metacopy("high/lower", 4);
	make_metacopy("low/lowest", 4);
	make_metacopy("up/dir", 4);
	tree_mkdir("low/dir");
	make_metacopy("high/lost", 4);
	mark("high/lost", "redirect", "/none");
	make_metacopy("data/meta", 4);
	make_metacopy("low/twice", 4);
	mark("low/twice", "redirect", "/meta");
	make_metacopy("high/hidden", 4);
	tree_file("low/hidden", "");
	mark("low/hidden", "whiteout", "");
	mark("low", "opaque", "x");
	tree_file("low/good", "good");
	stage_open();
	ck_assert_int_eq(seen("upper"), -EIO);
	ck_assert_int_eq(seen("lower"), -EIO);
	ck_assert_int_eq(seen("lowest"), -EIO);
	ck_assert_int_eq(seen("dir"), -EIO);
	ck_assert_int_eq(seen("lost"), -EIO);
	ck_assert_int_eq(seen("twice"), -EIO);
	ck_assert_int_eq(seen("hidden"), -EIO);
	ck_assert(has_text("good", "good"));
}
END_TEST

START_TEST(without_metacopy_none_is_followed)
{
	stage.metacopy = false;
	make_metacopy("up/upper", 4);
	tree_file("low/upper", "text");
	make_metacopy("high/lower", 4);
	tree_file("low/lower", "text");
	stage_open();
	ck_assert_int_eq(seen("upper"), -EPERM);
	ck_assert_int_eq(seen("lower"), -EPERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metacopy");
	TCase *tcase = tcase_create("metacopy");

	tcase_add_checked_fixture(tcase, setup, stage_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, attributes_are_copied_up_without_the_data);
	tcase_add_test(tcase, the_data_below_is_read);
	tcase_add_test(tcase, a_write_completes_it);
	tcase_add_test(tcase, cutting_and_growing_complete_it);
	tcase_add_test(tcase, what_a_cut_one_has_lost_stays_lost);
	tcase_add_test(tcase, renamed_and_linked_it_finds_its_data);
	tcase_add_test(tcase,
	               where_no_redirect_is_followed_a_new_name_completes_it);
	tcase_add_test(tcase, in_a_renamed_directory_it_finds_its_data);
	tcase_add_test(tcase, all_names_of_a_lower_file_are_one_metacopy);
	tcase_add_test(tcase, an_empty_file_needs_none);
	tcase_add_test(tcase, without_metacopy_the_data_comes_along);
	tcase_add_test(tcase, what_cannot_be_completed_stays_a_metacopy);
	tcase_add_test(tcase, it_is_completed_once_by_whichever_node);
	tcase_add_test(tcase, capabilities_are_kept_while_the_data_come);
	tcase_add_loop_test(tcase, times_that_are_set_while_the_data_come_stay,
	                    0, 2);
	tcase_add_test(tcase, metacopies_lead_through_the_layers);
	tcase_add_test(tcase, data_may_be_in_a_layer_of_data_alone);
	tcase_add_test(tcase, a_metacopy_without_data_is_an_error_of_that_file);
	tcase_add_test(tcase, without_metacopy_none_is_followed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
