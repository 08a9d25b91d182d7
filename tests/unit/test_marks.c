/*
 * The forms of whiteouts and opaque directories beside the kernel's own device
 * 0:0 and "y": names of OCI images, in lower layers and in the upper, and
 * attributes, of which the kernel is the judge where it knows them.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "overlay/dir.h"
#include "overlay/fs.h"
#include "overlay/marks.h"

#include "stage.h"

/* ---- what is asked of the disk -------------------------------------------- */

static unsigned asked;

int __real_fstatat(int dir, const char *name, struct stat *st, int flags);
int __wrap_fstatat(int dir, const char *name, struct stat *st, int flags);
ssize_t __real_ovl_fd_get_xattr(int fd, const char *name, void *value,
                                size_t size);
ssize_t __wrap_ovl_fd_get_xattr(int fd, const char *name, void *value,
                                size_t size);

int __wrap_fstatat(int dir, const char *name, struct stat *st, int flags)
{
	asked++;
	return __real_fstatat(dir, name, st, flags);
}

ssize_t __wrap_ovl_fd_get_xattr(int fd, const char *name, void *value,
                                size_t size)
{
	asked++;
	return __real_ovl_fd_get_xattr(fd, name, value, size);
}

/* ---- what shows ------------------------------------------------------------- */

struct shown {
	char names[32][NAME_MAX + 1];
	unsigned n;
};

static bool take(void *arg, const struct ovl_dirent *entry)
{
	struct shown *shown = arg;

	if (strcmp(entry->name, ".") && strcmp(entry->name, "..")) {
		ck_assert_uint_lt(shown->n, 32);
		strcpy(shown->names[shown->n++], entry->name);
	}
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The names of a directory, sorted and parted by spaces; good until the next. */
static const char *listed(const char *path)
{
	static char text[sizeof(struct shown)];
	struct shown shown = { .n = 0 };
	struct ovl_node *dir = get(path), *child;
	bool eof = false;

	ck_assert_int_eq(
		ovl_readdir(fs, &root, dir, 0, false, take, &shown, &eof), 0);
	ck_assert(eof);
	ovl_node_unref(dir);
	qsort(shown.names, shown.n, sizeof(shown.names[0]), by_name);
	text[0] = '\0';
	for (unsigned i = 0; i < shown.n; i++) {
		if (i)
			strcat(text, " ");
		strcat(text, shown.names[i]);
		/* What is listed can be looked up. */
		dir = get(path);
		ck_assert_int_eq(
			ovl_lookup(fs, &root, dir, shown.names[i], &child), 0);
		ovl_node_unref(child);
		ovl_node_unref(dir);
	}
	return text;
}

static struct ovl_node *new_node;

static int create(struct ovl_node *dir, const char *name)
{
	return ovl_create(fs, &root, dir, name, OVL_UNCHECKED, &nothing, 0,
	                  &new_node, NULL);
}

static int make_fifo(struct ovl_node *dir, const char *name)
{
	return ovl_mknod(fs, &root, dir, name, S_IFIFO, 0, &nothing, &new_node,
	                 NULL);
}

static int make_symlink(struct ovl_node *dir, const char *name)
{
	return ovl_symlink(fs, &root, dir, name, "target", &nothing, &new_node,
	                   NULL);
}

static int make_directory(struct ovl_node *dir, const char *name)
{
	return ovl_mkdir(fs, &root, dir, name, &nothing, &new_node, NULL);
}

static int link_plain(struct ovl_node *dir, const char *name)
{
	struct ovl_node *file = get("plain");
	int err = ovl_link(fs, &root, file, dir, name, NULL);

	ovl_node_unref(file);
	return err;
}

static int rename_plain(struct ovl_node *dir, const char *name)
{
	return ovl_rename(fs, &root, dir, "plain", dir, name, NULL, NULL);
}

static int rename_dir(struct ovl_node *dir, const char *name)
{
	return ovl_rename(fs, &root, dir, "plain dir", dir, name, NULL, NULL);
}

/* Every way to make a name in the root. */
static const struct way {
	int (*make)(struct ovl_node *dir, const char *name);
	mode_t type;
} ways[] = {
	{ create, S_IFREG },       { make_fifo, S_IFIFO },
	{ make_symlink, S_IFLNK }, { make_directory, S_IFDIR },
	{ link_plain, S_IFREG },   { rename_plain, S_IFREG },
	{ rename_dir, S_IFDIR },
};
#define NWAYS ((int)(sizeof(ways) / sizeof(ways[0])))

static int make_by(const struct way *way, const char *name)
{
	struct ovl_node *dir = get("");
	int err;

	new_node = NULL;
	err = way->make(dir, name);
	ovl_node_unref(new_node);
	ovl_node_unref(dir);
	return err;
}

/* ---- attributes of overlays ---------------------------------------------------- */

static const char *attribute(const char *name)
{
	static char full[64];

	snprintf(full, sizeof(full), "%s.overlay.%s",
	         stage.userxattr ? "user" : "trusted", name);
	return full;
}

static bool mark(const char *path, const char *name, const char *value)
{
	return setxattr(tree_at(path), attribute(name), value, strlen(value),
	                0) == 0;
}

#define NO_ATTRIBUTES "no such attributes here"

/* ---- names of OCI images ---------------------------------------------------- */

START_TEST(a_mark_hides_what_is_below_and_not_beside_it)
{
	tree_file("high/.wh.gone", "");
	tree_file("low/gone", "below");
	tree_file("high/.wh.both", "");
	tree_file("high/both", "beside");
	tree_file("low/both", "below");
	tree_mkdir("high/.wh.any"); /* any type will do */
	tree_file("low/any", "");
	tree_file("high/.wh.none", "");
	tree_file("low/stays", "");
	stage_open();
	ck_assert_int_eq(seen("gone"), -ENOENT);
	ck_assert_int_eq(seen("any"), -ENOENT);
	ck_assert(has_text("both", "beside"));
	ck_assert_str_eq(listed(""), "both stays");
}
END_TEST

START_TEST(a_directory_beside_its_mark_merges_with_none_below)
{
	tree_file("high/.wh.dir", "");
	tree_mkdir("high/dir");
	tree_file("high/dir/new", "");
	tree_mkdir("low/dir");
	tree_file("low/dir/old", "");
	stage_open();
	ck_assert_str_eq(listed("dir"), "new");
	ck_assert_int_eq(seen("dir/old"), -ENOENT);
}
END_TEST

/* "up" over "high" over "low", all of them lower layers. */
static void use_three_lowers(void)
{
	static const char *three[] = { stage_paths[2], stage_paths[0],
		                       stage_paths[1] };

	stage.lowerdirs = three;
	stage.nlowerdirs = 3;
	stage.upperdir = stage.workdir = NULL;
	stage.statedir = stage_paths[3];
}

START_TEST(a_mark_in_the_middle_ends_the_merge)
{
	use_three_lowers();
	tree_mkdir("up/dir");
	tree_file("up/dir/top", "");
	tree_file("high/.wh.dir", "");
	tree_mkdir("low/dir");
	tree_file("low/dir/low", "");
	tree_mkdir("up/both");
	tree_file("up/both/top", "");
	tree_file("high/.wh.both", "");
	tree_mkdir("high/both");
	tree_file("high/both/middle", "");
	tree_mkdir("low/both");
	tree_file("low/both/low", "");
	stage_open();
	ck_assert_str_eq(listed("dir"), "top");
	ck_assert_str_eq(listed("both"), "middle top");
}
END_TEST

START_TEST(a_redirect_leads_past_the_mark_beside_it)
{
	static const char *const layers[] = { "high", "up" };
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/.wh.dir", layers[_i]);
	tree_file(path, "");
	snprintf(path, sizeof(path), "%s/dir", layers[_i]);
	tree_mkdir(path);
	if (!mark(path, "redirect", "/old"))
		tree_skip(NO_ATTRIBUTES);
	tree_mkdir("low/dir");
	tree_file("low/dir/hidden", "");
	tree_mkdir("low/old");
	tree_file("low/old/file", "");
	stage_open();
	ck_assert_str_eq(listed("dir"), "file");
}
END_TEST

START_TEST(a_redirect_heeds_the_marks_on_its_way)
{
	use_three_lowers();
	tree_mkdir("up/dir");
	tree_mkdir("up/other");
	if (!mark("up/dir", "redirect", "/a/b") ||
	    !mark("up/other", "redirect", "/a/c"))
		tree_skip(NO_ATTRIBUTES);
	tree_mkdir("high/a");
	tree_file("high/a/.wh.b", "");
	tree_mkdir("low/a");
	tree_mkdir("low/a/b");
	tree_file("low/a/b/hidden", "");
	tree_mkdir("low/a/c");
	tree_file("low/a/c/file", "");
	stage_open();
	ck_assert_str_eq(listed("dir"), "");
	ck_assert_str_eq(listed("other"), "file");
}
END_TEST

START_TEST(an_opaque_root_stops_redirects)
{
	use_three_lowers();
	tree_mkdir("up/dir");
	if (!mark("up/dir", "redirect", "/a"))
		tree_skip(NO_ATTRIBUTES);
	tree_file("high/.wh..wh..opq", "");
	tree_mkdir("low/a");
	tree_file("low/a/hidden", "");
	stage_open();
	ck_assert_str_eq(listed("dir"), "");
}
END_TEST

START_TEST(an_opaque_mark_hides_all_below)
{
	tree_mkdir("high/dir");
	tree_file("high/dir/.wh..wh..opq", "");
	tree_file("high/dir/new", "");
	tree_mkdir("low/dir");
	tree_file("low/dir/old", "");
	stage_open();
	ck_assert_str_eq(listed("dir"), "new");
	ck_assert_int_eq(seen("dir/old"), -ENOENT);
}
END_TEST

START_TEST(a_layers_root_may_be_opaque_too)
{
	tree_file("high/.wh..wh..opq", "");
	tree_file("high/new", "");
	tree_file("low/old", "");
	stage_open();
	ck_assert_str_eq(listed(""), "new");
	ck_assert_int_eq(seen("old"), -ENOENT);
}
END_TEST

START_TEST(marks_never_show)
{
	static const char *const marks[] = {
		".wh.",         ".wh..",        ".wh...",       ".wh.x",
		".wh..wh.aufs", ".wh..wh.plnk", ".wh..wh.orph",
	};
	char path[PATH_MAX];

	tree_mkdir("low/dir");
	tree_mkdir("up/dir");
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		snprintf(path, sizeof(path), "low/%s", marks[i]);
		tree_file(path, "");
		snprintf(path, sizeof(path), "low/dir/%s", marks[i]);
		tree_mkdir(path);
		snprintf(path, sizeof(path), "up/dir/%s", marks[i]);
		tree_file(path, "");
	}
	tree_file("low/.whale", "");
	stage_open();
	ck_assert_str_eq(listed(""), ".whale dir");
	ck_assert_str_eq(listed("dir"), "");
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		ck_assert_int_eq(seen(marks[i]), -ENOENT);
		snprintf(path, sizeof(path), "dir/%s", marks[i]);
		ck_assert_int_eq(seen(path), -ENOENT);
		ck_assert_int_eq(remove_name("", marks[i]), -ENOENT);
	}
	/* What looks empty is. */
	ck_assert_int_eq(remove_dir("", "dir"), 0);
	stage_reopen();
	ck_assert_int_eq(seen("dir"), -ENOENT);
	ck_assert(tree_has("low/dir/.wh.x"));
}
END_TEST

START_TEST(a_name_too_long_for_a_mark_is_a_name)
{
	char name[NAME_MAX + 1], path[PATH_MAX];

	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = '\0';
	tree_file("high/.wh.x", "");
	snprintf(path, sizeof(path), "high/%s", name);
	tree_mkdir(path);
	snprintf(path, sizeof(path), "low/%s", name);
	tree_mkdir(path);
	snprintf(path, sizeof(path), "low/%s/inside", name);
	tree_file(path, "");
	stage_open();
	ck_assert_str_eq(listed(name), "inside");
}
END_TEST

START_TEST(no_client_makes_a_mark)
{
	tree_file("low/plain", "");
	tree_file("low/file", "");
	tree_mkdir("up/plain dir");
	stage_open();
	ck_assert_int_eq(make_by(&ways[_i], ".wh.file"), -EACCES);
	ck_assert_int_eq(make_by(&ways[_i], ".wh..wh..opq"), -EACCES);
	ck_assert_int_eq(make_by(&ways[_i], ".wh."), -EACCES);
	ck_assert_int_eq(rename_name("", ".wh.file", "", "x"), -ENOENT);
	ck_assert_str_eq(listed(""), "file plain plain dir");
	ck_assert_int_eq(count_names("up"), 1);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	ck_assert_int_eq(make_by(&ways[_i], ".wha"), 0);
}
END_TEST

START_TEST(without_lower_layers_they_are_names_as_any_other)
{
	stage.nlowerdirs = 0;
	tree_file("up/.wh.old", "");
	tree_file("up/old", "");
	tree_file("up/plain", "");
	tree_mkdir("up/plain dir");
	stage_open();
	ck_assert_int_eq(make_by(&ways[_i], ".wh.new"), 0);
	ck_assert_int_eq(seen(".wh.new"), 0);
	ck_assert_int_eq(seen(".wh.old"), 0);
	ck_assert_int_eq(seen("old"), 0);
	ck_assert_int_eq(rename_name("", ".wh.new", "", ".wh..wh..opq"), 0);
	ck_assert_int_eq(remove_name("", ".wh.old"), 0);
}
END_TEST

/* ---- the same in the upper -------------------------------------------------- */

START_TEST(the_upper_s_marks_count)
{
	tree_file("up/.wh.gone", "");
	tree_file("low/gone", "");
	tree_file("up/.wh.both", "");
	tree_file("up/both", "upper");
	tree_file("low/both", "lower");
	tree_mkdir("up/opaque");
	tree_file("up/opaque/.wh..wh..opq", "");
	tree_mkdir("low/opaque");
	tree_file("low/opaque/old", "");
	tree_file("up/.wh.dir", "");
	tree_mkdir("up/dir");
	tree_mkdir("low/dir");
	tree_file("low/dir/old", "");
	stage_open();
	ck_assert_str_eq(listed(""), "both dir opaque");
	ck_assert_int_eq(seen("gone"), -ENOENT);
	ck_assert(has_text("both", "upper"));
	ck_assert_str_eq(listed("opaque"), "");
	ck_assert_str_eq(listed("dir"), "");
}
END_TEST

START_TEST(an_opaque_upper_root_shows_itself_alone)
{
	tree_file("up/.wh..wh..opq", "");
	tree_file("up/new", "");
	tree_file("low/old", "");
	stage_open();
	ck_assert_str_eq(listed(""), "new");
	ck_assert_int_eq(make_file("", "old"), 0);
	ck_assert_int_eq(remove_name("", "old"), 0);
	ck_assert_str_eq(listed(""), "new");
}
END_TEST

START_TEST(what_a_mark_hides_can_be_made_and_removed)
{
	const struct way *way = &ways[_i];

	tree_file("up/.wh.name", "");
	tree_file("up/plain", "");
	tree_mkdir("up/plain dir");
	tree_mkdir("low/name");
	tree_file("low/name/old", "");
	stage_open();
	ck_assert_int_eq(seen("name"), -ENOENT);
	ck_assert_int_eq(make_by(way, "name"), 0);
	ck_assert_uint_eq(attr_of("name").mode & S_IFMT, way->type);
	stage_reopen();
	ck_assert_uint_eq(attr_of("name").mode & S_IFMT, way->type);
	ck_assert_int_eq(seen("name/old"),
	                 S_ISDIR(way->type) ? -ENOENT : -ENOTDIR);
	if (S_ISDIR(way->type))
		ck_assert_int_eq(remove_dir("", "name"), 0);
	else
		ck_assert_int_eq(remove_name("", "name"), 0);
	ck_assert_int_eq(seen("name"), -ENOENT);
	stage_reopen();
	ck_assert_int_eq(seen("name"), -ENOENT);
}
END_TEST

/* ---- whiteouts by attribute ---------------------------------------------------- */

static bool xwhiteout(const char *path)
{
	tree_file(path, "");
	return mark(path, "whiteout", "y");
}

/* A directory "dir" of this layer, marked, in which "gone" is whited out. */
static bool make_xdir(const char *layer)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/dir", layer);
	tree_mkdir(path);
	if (!mark(path, "opaque", "x"))
		return false;
	snprintf(path, sizeof(path), "%s/dir/gone", layer);
	if (!xwhiteout(path))
		return false;
	snprintf(path, sizeof(path), "%s/dir/full", layer);
	tree_file(path, "full");
	ck_assert(mark(path, "whiteout", "y"));
	snprintf(path, sizeof(path), "%s/dir/empty", layer);
	tree_file(path, "");
	snprintf(path, sizeof(path), "%s/dir/sub", layer);
	return xwhiteout(path);
}

static void make_below(void)
{
	tree_mkdir("low/dir");
	tree_file("low/dir/gone", "");
	tree_file("low/dir/below", "");
	tree_file("low/dir/full", "lower");
	tree_mkdir("low/dir/sub");
	tree_file("low/dir/sub/file", "");
}

START_TEST(a_whiteout_by_attribute_hides)
{
	static const char *const layers[] = { "high", "up" };

	make_below();
	if (!make_xdir(layers[_i]))
		tree_skip(NO_ATTRIBUTES);
	stage_open();
	ck_assert_str_eq(listed("dir"), "below empty full");
	ck_assert_int_eq(seen("dir/gone"), -ENOENT);
	ck_assert_int_eq(seen("dir/sub"), -ENOENT);
	ck_assert(has_text("dir/full", "full"));
}
END_TEST

START_TEST(in_a_directory_that_is_not_marked_it_is_a_file)
{
	make_below();
	tree_mkdir("high/dir");
	if (!xwhiteout("high/dir/gone"))
		tree_skip(NO_ATTRIBUTES);
	stage_open();
	ck_assert_str_eq(listed("dir"), "below full gone sub");
}
END_TEST

START_TEST(it_gives_way_to_what_is_made)
{
	const struct way *way = &ways[_i];

	tree_file("low/name", "");
	tree_file("up/plain", "");
	tree_mkdir("up/plain dir");
	if (!mark("up", "opaque", "x") || !xwhiteout("up/name"))
		tree_skip(NO_ATTRIBUTES);
	stage_open();
	ck_assert_int_eq(seen("name"), -ENOENT);
	ck_assert_int_eq(make_by(way, "name"), 0);
	ck_assert_uint_eq(attr_of("name").mode & S_IFMT, way->type);
	stage_reopen();
	ck_assert_uint_eq(attr_of("name").mode & S_IFMT, way->type);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

/* ---- directories full of them --------------------------------------------------- */

/* In the upper, over "old" and "other" in the lower layer. */
static bool make_emptied(void)
{
	make_below();
	tree_mkdir("low/emptied");
	tree_file("low/emptied/old", "");
	tree_file("low/emptied/other", "");
	tree_mkdir("up/emptied");
	ck_assert_int_eq(mknodat(tree, "up/emptied/other", S_IFCHR, 0), 0);
	if (!mark("up/emptied", "opaque", "x") || !xwhiteout("up/emptied/old"))
		return false;
	tree_mkdir("low/oci");
	tree_file("low/oci/old", "");
	tree_mkdir("up/oci");
	tree_file("up/oci/.wh.old", "");
	tree_mkdir("low/opq");
	tree_file("low/opq/old", "");
	tree_mkdir("up/opq");
	tree_file("up/opq/.wh..wh..opq", "");
	tree_mkdir("up/new");
	tree_file("up/new/file", "");
	return true;
}

static const char *const emptied[] = { "emptied", "oci", "opq" };

START_TEST(a_directory_full_of_them_is_removed)
{
	if (!make_emptied())
		tree_skip(NO_ATTRIBUTES);
	stage_open();
	ck_assert_str_eq(listed(emptied[_i]), "");
	ck_assert_int_eq(remove_dir("", emptied[_i]), 0);
	stage_reopen();
	ck_assert_int_eq(seen(emptied[_i]), -ENOENT);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(a_directory_full_of_them_is_renamed_over)
{
	if (!make_emptied())
		tree_skip(NO_ATTRIBUTES);
	stage_open();
	ck_assert_int_eq(rename_name("", "new", "", emptied[_i]), 0);
	ck_assert_str_eq(listed(emptied[_i]), "file");
	ck_assert_int_eq(seen("new"), -ENOENT);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	stage_reopen();
	ck_assert_str_eq(listed(emptied[_i]), "file");
	ck_assert_int_eq(seen("new"), -ENOENT);
}
END_TEST

/* ---- others who know ---------------------------------------------------------------- */

/* A sorted list of all below, with the sizes of files, of a mount or a layer. */
static const char *const lister =
	"cd '%s' && find . -mindepth 1 \\( -type f -printf '%%P %%s\\n' -o "
	"-printf '%%P\\n' \\) | LC_ALL=C sort";

static void run(const char *command, char *output, size_t size)
{
	FILE *pipe = popen(command, "r");
	size_t n;

	ck_assert_ptr_nonnull(pipe);
	n = fread(output, 1, size - 1, pipe);
	output[n] = '\0';
	ck_assert_int_eq(pclose(pipe), 0);
}

/* The same of what is served. */
static void add_shown(const char *path, char *output, size_t size)
{
	char names[sizeof(struct shown)], child[PATH_MAX], *name, *rest;
	struct ovl_attr attr;
	size_t len;

	strcpy(names, listed(path));
	for (name = strtok_r(names, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest)) {
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "",
		         name);
		attr = attr_of(child);
		len = strlen(output);
		if (S_ISREG(attr.mode))
			snprintf(output + len, size - len, "%s %llu\n", child,
			         (unsigned long long)attr.size);
		else
			snprintf(output + len, size - len, "%s\n", child);
		if (S_ISDIR(attr.mode))
			add_shown(child, output, size);
	}
}

static bool kernel_is_older_than_6_8(void)
{
	unsigned major = 0, minor = 0;
	char release[64];

	run("uname -r", release, sizeof(release));
	sscanf(release, "%u.%u", &major, &minor);
	return major < 6 || (major == 6 && minor < 8);
}

/* The kernel reads whiteouts by attribute in lower layers only. */
START_TEST(the_kernel_sees_the_same)
{
	char options[3 * PATH_MAX], command[PATH_MAX], theirs[4096],
		ours[4096] = "";

	if (geteuid() != 0 || !tree_may_mount() || kernel_is_older_than_6_8())
		tree_skip("an overlay of Linux 6.8 needs root");
	make_below();
	ck_assert(make_xdir("high"));
	tree_mkdir("low/under");
	tree_file("low/under/file", "text");
	tree_file("low/top", "text");
	ck_assert(mark("high", "opaque", "x"));
	ck_assert(xwhiteout("high/top"));
	ck_assert(xwhiteout("high/under"));
	tree_mkdir("mnt");
	snprintf(options, sizeof(options), "lowerdir=%s:%s", stage_paths[0],
	         stage_paths[1]);
	if (mount("overlay", tree_at("mnt"), "overlay", 0, options))
		tree_skip("no overlay here");
	tree_mounted("mnt");
	snprintf(command, sizeof(command), lister, tree_at("mnt"));
	run(command, theirs, sizeof(theirs));
	stage_open();
	add_shown("", ours, sizeof(ours));
	ck_assert_str_eq(ours, theirs);
}
END_TEST

/* An image of three layers, as tar unpacks them. */
static const char *const image =
	"set -e; cd '%s'; umask 022; mkdir a b c\n"
	"mkdir -p a/etc/apt a/usr/bin a/var/cache/apt a/home/old a/mnt/x\n"
	"echo one >a/etc/passwd; echo deb >a/etc/apt/sources.list\n"
	"echo sh >a/usr/bin/sh; echo perl >a/usr/bin/perl\n"
	"ln -s sh a/usr/bin/dash; echo x >a/var/cache/apt/x\n"
	"echo h >a/home/old/file; echo y >a/mnt/x/y\n"
	"mkdir -p b/usr/bin b/var/cache/apt b/home b/mnt\n"
	": >b/usr/bin/.wh.perl; : >b/var/cache/apt/.wh..wh..opq\n"
	"echo lock >b/var/cache/apt/lock; : >b/home/.wh.old\n"
	": >b/mnt/.wh.x; mkdir b/mnt/x; echo z >b/mnt/x/z\n"
	"mkdir -p c/etc c/usr/bin c/home/old\n"
	": >c/etc/.wh.apt; echo three >c/etc/passwd\n"
	"echo perl5 >c/usr/bin/perl; : >c/usr/bin/.wh.dash\n"
	"for i in a b c; do tar -C $i -cf $i.tar .; rm -r $i; mkdir $i\n"
	"tar -C $i -xf $i.tar; done";

static const char image_shows[] = "etc\n"
				  "etc/passwd 6\n"
				  "home\n"
				  "home/old\n"
				  "mnt\n"
				  "mnt/x\n"
				  "mnt/x/z 2\n"
				  "usr\n"
				  "usr/bin\n"
				  "usr/bin/perl 6\n"
				  "usr/bin/sh 3\n"
				  "var\n"
				  "var/cache\n"
				  "var/cache/apt\n"
				  "var/cache/apt/lock 5\n";

static void unpack_image(char paths[3][PATH_MAX])
{
	char command[4096], output[64];

	snprintf(command, sizeof(command), image, tree_path);
	run(command, output, sizeof(output));
	strcpy(paths[0], tree_at("c"));
	strcpy(paths[1], tree_at("b"));
	strcpy(paths[2], tree_at("a"));
}

START_TEST(an_image_unpacked_by_tar_shows_as_meant)
{
	char paths[3][PATH_MAX], ours[4096] = "";
	const char *layers[] = { paths[0], paths[1], paths[2] };

	unpack_image(paths);
	stage.lowerdirs = layers;
	stage.nlowerdirs = 3;
	stage_open();
	add_shown("", ours, sizeof(ours));
	ck_assert_str_eq(ours, image_shows);
}
END_TEST

/* Yesterday's upper is tomorrow's lower. */
START_TEST(a_layer_shows_the_same_as_upper_and_as_lower)
{
	char paths[3][PATH_MAX], upper[4096] = "", lower[4096] = "";
	const char *below[] = { paths[1], paths[2] };
	const char *layers[] = { paths[0], paths[1], paths[2] };

	unpack_image(paths);
	stage.lowerdirs = below;
	stage.upperdir = paths[0];
	stage_open();
	add_shown("", upper, sizeof(upper));
	ck_assert_str_eq(upper, image_shows);
	/* And with changes of ours in it. */
	ck_assert_int_eq(remove_name("usr/bin", "sh"), 0);
	ck_assert_int_eq(make_dir("etc", "apt"), 0);
	ck_assert_int_eq(make_file("usr/bin", "dash"), 0);
	ck_assert_int_eq(remove_name("usr/bin", "dash"), 0);
	upper[0] = '\0';
	add_shown("", upper, sizeof(upper));
	stage_close();
	stage.lowerdirs = layers;
	stage.nlowerdirs = 3;
	stage.upperdir = stage_paths[2];
	stage.accept_changed_lower = true;
	stage_open();
	add_shown("", lower, sizeof(lower));
	ck_assert_str_eq(lower, upper);
}
END_TEST

/* ---- what it costs -------------------------------------------------------------------- */

static unsigned cost_of_listing(const char *path)
{
	struct ovl_node *dir = get(path);
	unsigned before = asked;

	ck_assert_int_eq(ovl_dir_lock(dir, true), 0);
	ovl_dir_unlock(dir);
	ovl_node_unref(dir);
	return asked - before;
}

START_TEST(a_name_costs_nothing_where_there_are_no_marks)
{
	unsigned few, many;
	char path[PATH_MAX];

	tree_mkdir("low/few");
	tree_mkdir("low/many");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "low/many/%u", i);
		tree_file(path, "");
	}
	stage_open();
	few = cost_of_listing("few");
	many = cost_of_listing("many");
	ck_assert_uint_eq(few, many);
	ck_assert_uint_le(few, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("marks");
	TCase *tcase = tcase_create("marks");

	tcase_add_test(tcase, a_mark_hides_what_is_below_and_not_beside_it);
	tcase_add_test(tcase,
	               a_directory_beside_its_mark_merges_with_none_below);
	tcase_add_test(tcase, a_mark_in_the_middle_ends_the_merge);
	tcase_add_loop_test(tcase, a_redirect_leads_past_the_mark_beside_it, 0,
	                    2);
	tcase_add_test(tcase, a_redirect_heeds_the_marks_on_its_way);
	tcase_add_test(tcase, an_opaque_root_stops_redirects);
	tcase_add_test(tcase, an_opaque_mark_hides_all_below);
	tcase_add_test(tcase, a_layers_root_may_be_opaque_too);
	tcase_add_test(tcase, marks_never_show);
	tcase_add_test(tcase, a_name_too_long_for_a_mark_is_a_name);
	tcase_add_loop_test(tcase, no_client_makes_a_mark, 0, NWAYS);
	tcase_add_loop_test(tcase,
	                    without_lower_layers_they_are_names_as_any_other, 0,
	                    NWAYS);
	tcase_add_test(tcase, the_upper_s_marks_count);
	tcase_add_test(tcase, an_opaque_upper_root_shows_itself_alone);
	tcase_add_loop_test(tcase, what_a_mark_hides_can_be_made_and_removed, 0,
	                    NWAYS);
	tcase_add_loop_test(tcase, a_whiteout_by_attribute_hides, 0, 2);
	tcase_add_test(tcase, in_a_directory_that_is_not_marked_it_is_a_file);
	tcase_add_loop_test(tcase, it_gives_way_to_what_is_made, 0, NWAYS);
	tcase_add_loop_test(tcase, a_directory_full_of_them_is_removed, 0, 3);
	tcase_add_loop_test(tcase, a_directory_full_of_them_is_renamed_over, 0,
	                    3);
	tcase_add_test(tcase, the_kernel_sees_the_same);
	tcase_add_test(tcase, an_image_unpacked_by_tar_shows_as_meant);
	tcase_add_test(tcase, a_layer_shows_the_same_as_upper_and_as_lower);
	tcase_add_test(tcase, a_name_costs_nothing_where_there_are_no_marks);
	return stage_run(suite, tcase);
}
