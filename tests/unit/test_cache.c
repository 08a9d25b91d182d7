/*
 * Layers that are changed behind the server's back: with cache=never that shows
 * at once, with cache=auto within a second, and with cache=always it does not.
 * Each case changes one thing, in a directory of its own; so all of them can wait
 * together for that second.
 */
#include "config.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/xattr.h>
#include <time.h>

#include "overlay/fs.h"
#include "tests/lib/suite.h"

#include "stage.h"

/* A change is to show within a second; a busy machine may take longer. */
#define PATIENCE 10

/* ---- what is asked of the disk ---------------------------------------------- */

static _Thread_local unsigned asked; /* by the test's own thread */

int __real_statx(int dir, const char *name, int flags, unsigned mask,
                 struct statx *stx);
int __wrap_statx(int dir, const char *name, int flags, unsigned mask,
                 struct statx *stx);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);

int __wrap_statx(int dir, const char *name, int flags, unsigned mask,
                 struct statx *stx)
{
	asked++;
	return __real_statx(dir, name, flags, mask, stx);
}

int __wrap_fstat(int fd, struct stat *st)
{
	asked++;
	return __real_fstat(fd, st);
}

/* ---- the cases' own directory ------------------------------------------------- */

static const char *case_name; /* the directory of the case at hand */

/* `path` of a layer, in the case's directory; good until the call after next. */
static const char *in(const char *layer, const char *path)
{
	static char paths[2][PATH_MAX];
	static unsigned turn;
	char *to = paths[turn++ % 2];

	snprintf(to, PATH_MAX, "%s/%s%s%s", layer, case_name, *path ? "/" : "",
	         path);
	return to;
}

/* The same of what is served. */
static const char *at(const char *path)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s%s", case_name, *path ? "/" : "",
	         path);
	return full;
}

static void put(const char *layer, const char *path, const char *text)
{
	tree_file(in(layer, path), text);
}

static void put_dir(const char *layer, const char *path)
{
	tree_mkdir(in(layer, path));
}

static void drop(const char *layer, const char *path, int flags)
{
	ck_assert_int_eq(unlinkat(tree, in(layer, path), flags), 0);
}

/* Another file takes the place of this one, in one step. */
static void replace(const char *layer, const char *path, const char *text)
{
	tree_file("other", text);
	ck_assert_int_eq(renameat(tree, "other", tree, in(layer, path)), 0);
}

static void overwrite(const char *layer, const char *path, const char *text)
{
	int fd = openat(tree, in(layer, path), O_WRONLY | O_TRUNC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void whiteout(const char *layer, const char *path)
{
	ck_assert_int_eq(mknodat(tree, in(layer, path), S_IFCHR, 0), 0);
}

static bool set_attribute(const char *layer, const char *path, const char *name,
                          const char *value)
{
	char full[64];

	snprintf(full, sizeof(full), "%s.overlay.%s",
	         stage.userxattr ? "user" : "trusted", name);
	return setxattr(tree_at(in(layer, path)), full, value, strlen(value),
	                0) == 0;
}

/* ---- what shows: never an assertion, for it may show later ---------------------- */

static bool is_there(const char *path)
{
	return seen(at(path)) == 0;
}

static bool is_gone(const char *path)
{
	return seen(at(path)) == -ENOENT;
}

static bool reads(const char *path, const char *text)
{
	struct ovl_node *node;
	bool has;

	if (find(at(path), &node))
		return false;
	has = S_ISREG(ovl_node_type(node)) && node_has_text(node, text);
	ovl_node_unref(node);
	return has;
}

struct listing {
	const char *names[16];
	bool found[16];
	unsigned n, others;
};

static bool take(void *arg, const struct ovl_dirent *entry)
{
	struct listing *listing = arg;
	struct ovl_attr attr;
	struct ovl_node *node;
	unsigned i;

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return true;
	for (i = 0; i < listing->n; i++)
		if (!strcmp(entry->name, listing->names[i]))
			break;
	if (i == listing->n) {
		listing->others++;
		return true;
	}
	/* An object has one fileid everywhere. */
	listing->found[i] = true;
	if (resolve(entry->id, &node))
		return true;
	if (!ovl_getattr(fs, &root, node, &attr))
		ck_assert_uint_eq(attr.fileid, entry->fileid);
	ovl_node_unref(node);
	return true;
}

/* That the directory holds these names (up to a NULL), and no others. */
static bool lists(const char *path, ...)
{
	struct listing listing = { .n = 0 };
	struct ovl_node *dir;
	bool eof, whole;
	va_list names;

	va_start(names, path);
	while ((listing.names[listing.n] = va_arg(names, const char *)))
		listing.n++;
	va_end(names);
	if (find(at(path), &dir))
		return false;
	whole = !ovl_readdir(fs, &root, dir, 0, true, take, &listing, &eof) &&
	        eof && !listing.others;
	for (unsigned i = 0; i < listing.n; i++)
		whole = whole && listing.found[i];
	ovl_node_unref(dir);
	return whole;
}

/* What a client holds from before: up to two handles a case. */
static struct ovl_id kept[64][2];
static unsigned case_index;

static void keep(unsigned n, const char *path)
{
	kept[case_index][n] = id_of(at(path));
}

static int kept_node(unsigned n, struct ovl_node **node)
{
	return resolve(kept[case_index][n], node);
}

/* STALE, when it is used at the latest. */
static bool is_stale(unsigned n)
{
	struct ovl_node *node;
	struct ovl_attr attr;
	int err = kept_node(n, &node);

	if (err)
		return err == -ESTALE;
	err = ovl_getattr(fs, &root, node, &attr);
	ovl_node_unref(node);
	return err == -ESTALE;
}

static bool kept_reads(unsigned n, const char *text)
{
	struct ovl_node *node;
	bool has;

	if (kept_node(n, &node))
		return false;
	has = node_has_text(node, text);
	ovl_node_unref(node);
	return has;
}

/* ---- attributes and data -------------------------------------------------------- */

static void make_files(void)
{
	put("up", "up", "one");
	put("high", "high", "one");
	put("mid", "mid", "one");
	put("low", "low", "one");
}

static const char *const layers[] = { "up", "high", "mid", "low" };
#define NLAYERS (sizeof(layers) / sizeof(layers[0]))

static void read_files(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		ck_assert(reads(layers[i], "one"));
}

static void chmod_files(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		ck_assert_int_eq(
			fchmodat(tree, in(layers[i], layers[i]), 0640, 0), 0);
}

static bool files_have_modes(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		if ((attr_of(at(layers[i])).mode & 07777) != 0640)
			return false;
	return true;
}

static void write_files(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		overwrite(layers[i], layers[i], "the second");
}

static bool files_are_longer(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		if (!reads(layers[i], "the second"))
			return false;
	return true;
}

static void hold_upper_and_lowest(void)
{
	read_files();
	keep(0, "up");
	keep(1, "low");
}

static void replace_files(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		replace(layers[i], layers[i], "another");
}

static bool files_are_others(void)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		if (!reads(layers[i], "another"))
			return false;
	return is_stale(0) && is_stale(1);
}

/* Inode numbers are used again, at once on some filesystems. */
static void make_files_anew(void)
{
	for (unsigned i = 0; i < NLAYERS; i++) {
		drop(layers[i], layers[i], 0);
		put(layers[i], layers[i], "another");
	}
}

static void make_link(void)
{
	ck_assert_int_eq(symlinkat("one", tree, in("low", "link")), 0);
	put("low", "type", "file");
}

static void read_link(void)
{
	keep(0, "link");
	keep(1, "type");
}

static void change_type(void)
{
	drop("low", "link", 0);
	ck_assert_int_eq(symlinkat("two", tree, in("low", "link")), 0);
	drop("low", "type", 0);
	put_dir("low", "type");
	put("low", "type/inside", "");
}

static bool type_is_another(void)
{
	struct ovl_node *node;
	char target[8];
	bool two;

	if (find(at("link"), &node))
		return false;
	two = ovl_readlink(fs, &root, node, target, sizeof(target)) == 3 &&
	      !memcmp(target, "two", 3);
	ovl_node_unref(node);
	return two && is_there("type/inside") && is_stale(0) && is_stale(1);
}

/* ---- names ------------------------------------------------------------------------ */

static void make_merged(void)
{
	for (unsigned i = 0; i < NLAYERS; i++) {
		put_dir(layers[i], "dir");
		put(layers[i],
		    i == 0   ? "dir/u"
		    : i == 1 ? "dir/h"
		    : i == 2 ? "dir/m"
		             : "dir/l",
		    layers[i]);
	}
}

static void list_merged(void)
{
	ck_assert(lists("dir", "u", "h", "m", "l", NULL));
	ck_assert(is_gone("dir/new"));
}

static void add_names(void)
{
	put("up", "dir/u2", "");
	put("high", "dir/h2", "");
	put("mid", "dir/m2", "");
	put_dir("low", "dir/l2");
}

static bool names_are_added(void)
{
	return lists("dir", "u", "h", "m", "l", "u2", "h2", "m2", "l2", NULL) &&
	       is_there("dir/u2") && is_there("dir/h2") && is_there("dir/m2") &&
	       is_there("dir/l2");
}

static void drop_names(void)
{
	drop("up", "dir/u", 0);
	drop("high", "dir/h", 0);
	drop("mid", "dir/m", 0);
	drop("low", "dir/l", 0);
}

static bool names_are_gone(void)
{
	return lists("dir", NULL) && is_gone("dir/u") && is_gone("dir/h") &&
	       is_gone("dir/m") && is_gone("dir/l");
}

/* The times of a directory can be put back, as rsync and tar do. */
static void add_unseen(void)
{
	struct stat st;
	struct timespec times[2];

	for (unsigned i = 0; i < NLAYERS; i++) {
		ck_assert_int_eq(fstatat(tree, in(layers[i], "dir"), &st, 0),
		                 0);
		put(layers[i],
		    i == 0   ? "dir/u2"
		    : i == 1 ? "dir/h2"
		    : i == 2 ? "dir/m2"
		             : "dir/l2",
		    "");
		times[0] = st.st_atim;
		times[1] = st.st_mtim;
		ck_assert_int_eq(
			utimensat(tree, in(layers[i], "dir"), times, 0), 0);
	}
}

/* ---- what hides ---------------------------------------------------------------------- */

static void make_hidden(void)
{
	put("low", "file", "lower");
	put("low", "above", "lower");
	put_dir("low", "dir");
	put("low", "dir/file", "");
	put("low", "oci", "lower");
	put_dir("mid", "dir");
}

static void read_hidden(void)
{
	ck_assert(reads("file", "lower") && reads("above", "lower"));
	ck_assert(reads("oci", "lower") && is_there("dir/file"));
	keep(0, "file");
	keep(1, "dir/file");
}

static void hide(void)
{
	whiteout("high", "file");
	put("high", "above", "higher");
	put("high", ".wh.oci", "");
	whiteout("high", "dir");
}

static bool is_hidden(void)
{
	return is_gone("file") && is_gone("dir") && is_gone("oci") &&
	       reads("above", "higher") && lists("", "above", NULL) &&
	       is_stale(0) && is_stale(1);
}

static void hide_in_upper(void)
{
	whiteout("up", "file");
	put("up", "above", "higher");
	put("up", ".wh.oci", "");
	whiteout("up", "dir");
}

static void make_opaque(void)
{
	put_dir("high", "attr");
	put_dir("low", "attr");
	put("low", "attr/old", "");
	put_dir("high", "oci");
	put_dir("low", "oci");
	put("low", "oci/old", "");
	put_dir("up", "upper");
	put_dir("low", "upper");
	put("low", "upper/old", "");
}

static void list_opaque(void)
{
	ck_assert(lists("attr", "old", NULL));
	ck_assert(lists("oci", "old", NULL));
	ck_assert(lists("upper", "old", NULL));
	keep(0, "oci/old");
	keep(1, "upper/old");
}

static bool no_attributes;

static void become_opaque(void)
{
	no_attributes = !set_attribute("high", "attr", "opaque", "y") ||
	                !set_attribute("up", "upper", "opaque", "y");
	put("high", "oci/.wh..wh..opq", "");
}

static bool are_opaque(void)
{
	return lists("oci", NULL) && is_stale(0) &&
	       (no_attributes ||
	        (lists("attr", NULL) && lists("upper", NULL) && is_stale(1)));
}

/* ---- parts ----------------------------------------------------------------------------- */

static void make_parts(void)
{
	put_dir("low", "comes");
	put("low", "comes/old", "");
	put_dir("low", "comes/sub");
	put("low", "comes/sub/old", "old");
	put_dir("high", "goes");
	put("high", "goes/new", "");
	put_dir("low", "goes");
	put("low", "goes/old", "");
	put_dir("up", "upper");
	put("up", "upper/mine", "");
	put_dir("up", "upper/sub");
}

static void list_parts(void)
{
	ck_assert(lists("comes", "old", "sub", NULL));
	ck_assert(reads("comes/sub/old", "old"));
	ck_assert(lists("goes", "new", "old", NULL));
	ck_assert(lists("upper", "mine", "sub", NULL));
	keep(0, "comes");
	keep(1, "comes/sub/old");
}

static void change_parts(void)
{
	put_dir("mid", "comes");
	put("mid", "comes/new", "");
	put_dir("mid", "comes/sub");
	put("mid", "comes/sub/new", "");
	drop("high", "goes/new", 0);
	drop("high", "goes", AT_REMOVEDIR);
	put_dir("mid", "upper");
	put("mid", "upper/theirs", "");
	put_dir("mid", "upper/sub");
	put("mid", "upper/sub/theirs", "");
}

static bool parts_are_others(void)
{
	return lists("comes", "old", "new", "sub", NULL) &&
	       lists("comes/sub", "old", "new", NULL) &&
	       lists("goes", "old", NULL) &&
	       lists("upper", "mine", "theirs", "sub", NULL) &&
	       lists("upper/sub", "theirs", NULL) && kept_reads(1, "old");
}

/* What goes on with it afterwards. */
static void list_by_handle(void)
{
	make_dir(at("comes"), "through");
	keep(0, "comes/sub");
	ck_assert(reads("comes/sub/old", "old"));
}

static void add_deep(void)
{
	put_dir("high", "comes");
	put_dir("high", "comes/sub");
	put("high", "comes/sub/new", "");
}

static bool handle_shows_deep(void)
{
	struct listing listing = { .names = { "old", "new" }, .n = 2 };
	struct ovl_node *dir;
	bool eof;

	if (kept_node(0, &dir))
		return false;
	if (ovl_readdir(fs, &root, dir, 0, false, take, &listing, &eof))
		listing.others++;
	ovl_node_unref(dir);
	return listing.found[0] && listing.found[1] && !listing.others;
}

/* ---- moved ------------------------------------------------------------------------------- */

static void make_moving(void)
{
	put_dir("low", "a");
	put("low", "a/file", "moved");
	put_dir("low", "b");
	put_dir("up", "dir");
	put("up", "dir/file", "upper");
	put_dir("up", "gone");
}

static void read_moving(void)
{
	ck_assert(reads("a/file", "moved") && reads("dir/file", "upper"));
	ck_assert(is_there("b") && is_there("gone"));
	keep(0, "dir/file");
	keep(1, "gone");
}

static void move(void)
{
	ck_assert_int_eq(renameat(tree, in("low", "a/file"), tree,
	                          in("low", "b/there")),
	                 0);
	ck_assert_int_eq(renameat(tree, in("up", "dir"), tree,
	                          in("up", "elsewhere")),
	                 0);
	drop("up", "gone", AT_REMOVEDIR);
}

static bool have_moved(void)
{
	return is_gone("a/file") && reads("b/there", "moved") &&
	       is_gone("dir") && reads("elsewhere/file", "upper") &&
	       is_gone("gone") && is_stale(1) && kept_reads(0, "upper");
}

/* Two names, in directories of which one has more parts than the other. */
static void make_links(void)
{
	put_dir("high", "a");
	put_dir("low", "a");
	put_dir("low", "b");
	put("low", "a/x", "linked");
	ck_assert_int_eq(
		linkat(tree, in("low", "a/x"), tree, in("low", "b/y"), 0), 0);
}

static void read_links(void)
{
	ck_assert(reads("a/x", "linked") && reads("b/y", "linked"));
	keep(0, "a/x");
}

static void drop_link(void)
{
	drop("low", "a/x", 0);
}

static bool other_link_shows(void)
{
	return is_gone("a/x") && reads("b/y", "linked") &&
	       kept_reads(0, "linked");
}

/* ---- where redirects lead ------------------------------------------------------------------ */

/* Nothing is there, so far; and it is no place where anybody looks. */
static void make_targets(void)
{
	put_dir("up", "dir");
	put("up", "dir/u", "");
	set_attribute("up", "dir", "redirect", "/targets/far/way/to");
	put_dir("high", "other");
	put("high", "other/h", "");
	set_attribute("high", "other", "redirect", "/targets/far/there");
	put_dir("low", "far");
	put_dir("low", "far/way");
	put_dir("mid", "far");
}

static void list_targets(void)
{
	ck_assert(lists("dir", "u", NULL) && lists("other", "h", NULL));
	ck_assert(lists("far", "way", NULL) && lists("far/way", NULL));
}

static void make_what_they_lead_to(void)
{
	put_dir("low", "far/way/to");
	put("low", "far/way/to/l", "");
	put_dir("mid", "far/there");
	put("mid", "far/there/m", "");
}

static bool they_lead_there(void)
{
	return lists("dir", "u", "l", NULL) && lists("other", "h", "m", NULL);
}

/* ---- together with the server's own changes ------------------------------------------------ */

static void make_own(void)
{
	put_dir("up", "dir");
	put("up", "dir/old", "");
	put_dir("low", "dir");
	put("low", "dir/lower", "");
}

static void change_first(void)
{
	ck_assert_int_eq(make_file(at("dir"), "mine"), 0);
	ck_assert(lists("dir", "old", "lower", "mine", NULL));
}

/* Ours comes right after theirs, and moves the times once more. */
static void change_both(void)
{
	put("up", "dir/theirs", "");
	ck_assert_int_eq(make_file(at("dir"), "ours"), 0);
	put("low", "dir/below", "");
	ck_assert_int_eq(remove_name(at("dir"), "mine"), 0);
}

static bool both_show(void)
{
	return lists("dir", "old", "lower", "theirs", "ours", "below", NULL);
}

/* ---- all of them ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*prepare)(void);
	void (*use)(void); /* what the server is to remember */
	void (*change)(void);
	bool (*shows)(void);
} cases[] = {
	{ "modes", make_files, read_files, chmod_files, files_have_modes },
	{ "data", make_files, read_files, write_files, files_are_longer },
	{ "replaced", make_files, hold_upper_and_lowest, replace_files,
	  files_are_others },
	{ "anew", make_files, hold_upper_and_lowest, make_files_anew,
	  files_are_others },
	{ "types", make_link, read_link, change_type, type_is_another },
	{ "added", make_merged, list_merged, add_names, names_are_added },
	{ "unseen", make_merged, list_merged, add_unseen, names_are_added },
	{ "removed", make_merged, list_merged, drop_names, names_are_gone },
	{ "hidden", make_hidden, read_hidden, hide, is_hidden },
	{ "by upper", make_hidden, read_hidden, hide_in_upper, is_hidden },
	{ "opaque", make_opaque, list_opaque, become_opaque, are_opaque },
	{ "parts", make_parts, list_parts, change_parts, parts_are_others },
	{ "deep", make_parts, list_by_handle, add_deep, handle_shows_deep },
	{ "moved", make_moving, read_moving, move, have_moved },
	{ "links", make_links, read_links, drop_link, other_link_shows },
	{ "targets", make_targets, list_targets, make_what_they_lead_to,
	  they_lead_there },
	{ "own", make_own, change_first, change_both, both_show },
};
#define NCASES (sizeof(cases) / sizeof(cases[0]))

static char mid_path[PATH_MAX];
static const char *three_lowers[3];

/* Layers "high", "mid" and "low", with a directory for each case in each layer. */
static void setup(void)
{
	stage_setup();
	tree_mkdir("mid");
	strcpy(mid_path, tree_at("mid"));
	three_lowers[0] = stage_paths[0];
	three_lowers[1] = mid_path;
	three_lowers[2] = stage_paths[1];
	stage.lowerdirs = three_lowers;
	stage.nlowerdirs = 3;
	for (unsigned i = 0; i < NCASES; i++) {
		case_name = cases[i].name;
		for (unsigned n = 0; n < NLAYERS; n++)
			tree_mkdir(in(layers[n], ""));
		cases[i].prepare();
	}
}

static void each(void (*fn)(unsigned i))
{
	for (case_index = 0; case_index < NCASES; case_index++) {
		case_name = cases[case_index].name;
		fn(case_index);
	}
}

static void use(unsigned i)
{
	cases[i].use();
}

static void change(unsigned i)
{
	cases[i].change();
}

/* Those that have not shown so far. */
static unsigned left;
static bool has_shown[NCASES];

static void look(unsigned i)
{
	bool shows = cases[i].shows();

	ck_assert_msg(shows || !has_shown[i], "%s: shows no more",
	              cases[i].name);
	has_shown[i] = shows;
	left += !shows;
}

static void look_at_all(void)
{
	left = 0;
	each(look);
}

static void assert_all_show(void)
{
	for (unsigned i = 0; i < NCASES; i++)
		ck_assert_msg(has_shown[i], "%s: does not show", cases[i].name);
}

static void change_and_look(unsigned i)
{
	cases[i].use();
	cases[i].change();
	ck_assert_msg(cases[i].shows(), "%s: does not show", cases[i].name);
	ck_assert_msg(cases[i].shows(), "%s: shows once", cases[i].name);
}

static void use_is_unused(void)
{
	memset(has_shown, 0, sizeof(has_shown));
}

START_TEST(with_never_a_change_shows_at_once)
{
	stage.cache = OVL_CACHE_NEVER;
	stage_open();
	each(change_and_look);
}
END_TEST

START_TEST(with_auto_a_change_shows_within_a_second)
{
	time_t start = time(NULL);

	use_is_unused();
	stage.cache = OVL_CACHE_AUTO;
	stage_open();
	each(use);
	each(change);
	do {
		usleep(100000);
		look_at_all();
	} while (left && time(NULL) - start < PATIENCE);
	assert_all_show();
	look_at_all(); /* and goes on showing */
	assert_all_show();
}
END_TEST

/* The same without a single use between: it is not the polling that helps. */
START_TEST(with_auto_what_is_a_second_old_is_not_believed)
{
	stage.cache = OVL_CACHE_AUTO;
	stage_open();
	each(use);
	each(change);
	sleep(1);
	usleep(50000);
	use_is_unused();
	look_at_all();
	assert_all_show();
}
END_TEST

static void look_at_old(unsigned i)
{
	/* What the server itself does shows, and what it opens anew. */
	if (!strcmp(cases[i].name, "added") || !strcmp(cases[i].name, "unseen"))
		ck_assert(lists("dir", "u", "h", "m", "l", NULL));
	if (!strcmp(cases[i].name, "modes"))
		ck_assert(!files_have_modes());
	if (!strcmp(cases[i].name, "parts"))
		ck_assert(lists("comes", "old", "sub", NULL));
}

START_TEST(with_always_it_does_not_show)
{
	unsigned before;

	stage.cache = OVL_CACHE_ALWAYS;
	stage_open();
	each(use);
	each(change);
	sleep(1);
	usleep(50000);
	before = asked;
	each(look_at_old);
	ck_assert_uint_eq(asked, before);
}
END_TEST

/* ---- never the wrong file --------------------------------------------------------------- */

/* The number of its inode, its name and its time: all may be the same. */
START_TEST(a_handle_never_means_another_file)
{
	static const char *const where[] = { "low/number", "up/number" };
	static const enum ovl_cache modes[] = { OVL_CACHE_AUTO,
		                                OVL_CACHE_ALWAYS,
		                                OVL_CACHE_NEVER };
	struct ovl_node *node;
	struct ovl_id id;
	struct stat before, after;
	unsigned same = 0;
	char data[8];
	ssize_t n;
	bool eof;
	int err;

	stage.cache = modes[_i];
	stage.max_files = 2; /* few descriptors stay open */
	for (unsigned i = 0; i < 2; i++)
		tree_file(where[i], "before");
	for (unsigned i = 0; i < 40; i++) {
		const char *path = where[i % 2];

		stage_open();
		id = id_of("number");
		seen("data/up"); /* which the descriptor may make room for */
		stage_close();
		stage_open();
		ck_assert_int_eq(resolve(id, &node), 0);
		ck_assert_int_eq(fstatat(tree, path, &before, 0), 0);
		ck_assert_int_eq(unlinkat(tree, path, 0), 0);
		tree_file(path, "after!");
		ck_assert_int_eq(fstatat(tree, path, &after, 0), 0);
		same += before.st_ino == after.st_ino;
		n = ovl_read(fs, &root, node, data, sizeof(data), 0, &eof);
		ck_assert(n < 0 || i % 2 == 0 || !memcmp(data, "before", n));
		ovl_node_unref(node);
		err = resolve(id, &node);
		if (!err)
			ovl_node_unref(node);
		stage_close();
	}
	if (!same)
		printf("%s: no number was used again here\n", __func__);
}
END_TEST

/* ---- what it costs ------------------------------------------------------------------------- */

static uint64_t now(void)
{
	return ovl_now() / 1000000000;
}

/* A merged directory of four parts, two above it: within a second. */
START_TEST(with_auto_a_part_is_looked_at_once_a_second)
{
	struct ovl_node *dir;
	struct ovl_id id;
	uint64_t start, seconds;
	struct ovl_attr attr;

	stage.cache = OVL_CACHE_AUTO;
	stage_open();
	case_name = "added";
	ck_assert(lists("dir", "u", "h", "m", "l", NULL));
	id = id_of(at("dir"));
	sleep(1); /* what has just been made is looked at once more */
	resolve(id, &dir);
	ovl_node_unref(dir);
	start = now();
	asked = 0;
	for (unsigned i = 0; i < 20000; i++) {
		ck_assert_int_eq(resolve(id, &dir), 0);
		ck_assert_int_eq(ovl_getattr(fs, &root, dir, &attr), 0);
		ovl_node_unref(dir);
	}
	seconds = now() - start + 1;
	/* Three directories of four parts; and the directory and its parts may
	 * have to be found anew, once. */
	ck_assert_uint_le(asked, (seconds + 1) * 3 * 4 + 16);
}
END_TEST

/* The looks that it takes to find that directory, in the call of `caller`. */
static unsigned cost_of(const struct ovl_caller *caller, struct ovl_id id)
{
	const unsigned before = asked;
	struct ovl_node *dir;

	ck_assert_int_eq(ovl_resolve(fs, caller, id, &dir), 0);
	ovl_node_unref(dir);
	return asked - before;
}

START_TEST(with_never_a_part_is_looked_at_once_in_a_call)
{
	struct ovl_caller caller = root;
	unsigned cost, least = UINT_MAX;
	struct ovl_id id;

	stage.cache = OVL_CACHE_NEVER;
	stage_open();
	case_name = "added";
	ck_assert(lists("dir", "u", "h", "m", "l", NULL));
	id = id_of(at("dir"));
	for (unsigned i = 0; i < 20; i++) {
		caller.began = ovl_begin(fs);
		cost = cost_of(&caller, id);
		least = cost < least ? cost : least;
		ck_assert_uint_eq(cost_of(&caller, id), 0);
		usleep(20000); /* what is young is read in once more */
	}
	/* Three directories of four parts. */
	ck_assert_uint_eq(least, 3 * 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cache");
	TCase *tcase = tcase_create("cache");

	tcase_add_checked_fixture(tcase, setup, stage_teardown);
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, with_never_a_change_shows_at_once);
	tcase_add_test(tcase, with_auto_a_change_shows_within_a_second);
	tcase_add_test(tcase, with_auto_what_is_a_second_old_is_not_believed);
	tcase_add_test(tcase, with_always_it_does_not_show);
	tcase_add_loop_test(tcase, a_handle_never_means_another_file, 0, 3);
	tcase_add_test(tcase, with_auto_a_part_is_looked_at_once_a_second);
	tcase_add_test(tcase, with_never_a_part_is_looked_at_once_in_a_call);
	return suite_run(suite);
}
