/*
 * Hard links of lower files, and a server that is killed before each of the
 * system calls by which it changes the upper layer, or of which one fails: all
 * names show one file, and after the next start it has as many links as names.
 */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "seed.h"
#include "stage.h"

#define KILLED 42
#define MAX_CALLS 100

/* Of the calls, each so many-th, from a random one on; with no sanitizer all. */
#ifdef WITH_SANITIZERS
#define STRIDE 3
#else
#define STRIDE 1
#endif

static uint64_t seed;

static unsigned first_call(int number)
{
	uint64_t random = seed + (uint64_t)number;

	return 1 + test_random(&random) % STRIDE;
}

/* ---- the killing ---------------------------------------------------------- */

/* Calls until the end; 0: none is near. */
static unsigned calls_left;
static bool kills; /* the last one, else it fails */

/* -1: this call fails. */
static int count_call(void)
{
	if (!calls_left || --calls_left)
		return 0;
	if (kills)
		_exit(KILLED);
	errno = EIO;
	return -1;
}

int __real_linkat(int, const char *, int, const char *, int);
int __wrap_linkat(int, const char *, int, const char *, int);
int __real_mknodat(int, const char *, mode_t, dev_t);
int __wrap_mknodat(int, const char *, mode_t, dev_t);
int __real_renameat2(int, const char *, int, const char *, unsigned);
int __wrap_renameat2(int, const char *, int, const char *, unsigned);
int __real_ovl_fd_set_xattr(int, const char *, const void *, size_t);
int __wrap_ovl_fd_set_xattr(int, const char *, const void *, size_t);
int __real_unlinkat(int, const char *, int);
int __wrap_unlinkat(int, const char *, int);

int __wrap_linkat(int from, const char *from_name, int to, const char *to_name,
                  int flags)
{
	return count_call()
	               ? -1
	               : __real_linkat(from, from_name, to, to_name, flags);
}

int __wrap_mknodat(int dir, const char *name, mode_t mode, dev_t dev)
{
	return count_call() ? -1 : __real_mknodat(dir, name, mode, dev);
}

/* Before the next rename; false: that fails. */
static bool (*rename_hook)(void);

int __wrap_renameat2(int from, const char *from_name, int to,
                     const char *to_name, unsigned flags)
{
	bool (*hook)(void) = rename_hook;

	rename_hook = NULL;
	if (hook && !hook()) {
		errno = ENOSPC;
		return -1;
	}
	return count_call()
	               ? -1
	               : __real_renameat2(from, from_name, to, to_name, flags);
}

int __wrap_ovl_fd_set_xattr(int fd, const char *name, const void *value,
                            size_t size)
{
	return count_call() ? -errno
	                    : __real_ovl_fd_set_xattr(fd, name, value, size);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	return count_call() ? -1 : __real_unlinkat(dir, name, flags);
}

/* ---- the acts ------------------------------------------------------------- */

static int do_nothing(void)
{
	return 0;
}

static int write_to(const char *name)
{
	struct ovl_node *node = get(name);
	ssize_t n =
		ovl_write(fs, &root, node, "TEXT", 4, 0, OVL_UNSTABLE, NULL);

	ovl_node_unref(node);
	return n < 0 ? (int)n : 0;
}

static int write_a(void)
{
	return write_to("a");
}

static int write_b(void)
{
	return write_to("b");
}

static int remove_a(void)
{
	return remove_name("", "a");
}

static int remove_b(void)
{
	return remove_name("", "b");
}

static int remove_c(void)
{
	return remove_name("", "c");
}

static int leave_c(void)
{
	int err = remove_a();

	return err ? err : remove_b();
}

static int link_d(void)
{
	return link_name("b", "", "d");
}

static int link_over_whiteout(void)
{
	return link_name("c", "", "a");
}

static int rename_c(void)
{
	return rename_name("", "c", "", "d");
}

static int replace_b(void)
{
	return rename_name("", "other", "", "b");
}

static int replace_c(void)
{
	return rename_name("", "other", "", "c");
}

static int replace_other(void)
{
	return rename_name("", "b", "", "other");
}

static const struct {
	int (*before)(void);
	int (*act)(void);
} cases[] = {
	{ do_nothing, write_b },
	{ do_nothing, remove_b },
	{ do_nothing, link_d },
	{ do_nothing, rename_c },
	{ do_nothing, replace_b },
	{ do_nothing, replace_other },
	{ write_a, remove_a },
	{ write_a, remove_b },
	{ write_a, link_d },
	{ write_a, rename_c },
	{ write_a, replace_b },
	{ write_a, replace_other },
	{ remove_a, link_over_whiteout },
	{ leave_c, remove_c },
	{ leave_c, replace_c },
};

#define NCASES (sizeof(cases) / sizeof(cases[0]))

/* ---- what must hold ------------------------------------------------------- */

static const char *const names[] = { "a", "b", "c", "d", "other" };
#define NNAMES (sizeof(names) / sizeof(names[0]))

/*
 * How many names the file of this identity has; all tell the same of it. Where
 * not `exact`, it may have a link too many.
 */
static unsigned check_names(struct ovl_id id, bool exact)
{
	struct ovl_attr attr;
	uint32_t nlink = 0;
	bool changed = false;
	unsigned n = 0;

	for (unsigned i = 0; i < NNAMES; i++) {
		if (seen(names[i]) || !same_id(id_of(names[i]), id))
			continue;
		attr = attr_of(names[i]);
		if (n++ == 0) {
			nlink = attr.nlink;
			changed = has_text(names[i], "TEXT");
		}
		ck_assert_uint_eq(attr.nlink, nlink);
		ck_assert(has_text(names[i], changed ? "TEXT" : "text"));
	}
	ck_assert(n == nlink || (!exact && n < nlink));
	return n;
}

/* Each name that goes is counted, and the index ends empty. */
static void take_all_names(struct ovl_id id)
{
	for (unsigned i = 0; i < NNAMES; i++) {
		if (seen(names[i]) == 0)
			ck_assert_int_eq(remove_name("", names[i]), 0);
		check_names(id, true);
	}
	ck_assert_int_eq(count_names("work/veneer/index"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	stage_reopen();
	for (unsigned i = 0; i < NNAMES; i++)
		ck_assert_int_eq(seen(names[i]), -ENOENT);
}

/* ---- the cases ------------------------------------------------------------ */

static void make_lower(void)
{
	tree_file("low/a", "text");
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/b", 0), 0);
	ck_assert_int_eq(linkat(tree, "low/a", tree, "low/c", 0), 0);
	tree_file("low/other", "other");
}

/* The layers as they were; the state stays, as writing it takes time. */
static struct ovl_id make_anew(bool metacopy)
{
	static const char *const dirs[] = { "low", "up" };
	struct ovl_id id;
	int fd;

	stage_close();
	for (unsigned i = 0; i < 2; i++) {
		fd = tree_open(dirs[i], O_RDONLY | O_DIRECTORY);
		ck_assert_int_eq(ovl_rmtree_contents(fd), 0);
		close(fd);
	}
	stage.metacopy = metacopy;
	make_lower();
	stage_open();
	id = id_of("c");
	stage_close();
	return id;
}

/* All is as it was before the act, or as after it. */
static void check_all(unsigned number, struct ovl_id id)
{
	bool takes_last = cases[number].before == leave_c;

	stage_reopen();
	/* By another identity, it may be found through no name. */
	ck_assert_uint_ge(check_names(id, true) + takes_last, 1);
	ck_assert(!takes_last || seen("c") == 0 ||
	          cases[number].act == remove_c);
	take_all_names(id);
}

/* Whether the act was killed before its `call`th system call. */
static bool kill_at(unsigned number, unsigned call)
{
	pid_t pid = fork();
	int status, err;

	if (pid == 0) {
		kills = true;
		stage_open();
		err = cases[number].before();
		calls_left = call;
		err = err ? err : cases[number].act();
		_exit(err ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert(WEXITSTATUS(status) == EXIT_SUCCESS ||
	          WEXITSTATUS(status) == KILLED);
	return WEXITSTATUS(status) == KILLED;
}

START_TEST(names_and_links_agree_after_a_crash_at_any_point)
{
	bool killed = true;
	struct ovl_id id;
	unsigned call;

	for (call = first_call(_i); killed && call < MAX_CALLS;
	     call += STRIDE) {
		id = make_anew((unsigned)_i >= NCASES);
		killed = kill_at(_i % NCASES, call);
		stage_open();
		check_all(_i % NCASES, id);
	}
	ck_assert(!killed);
	ck_assert_uint_gt(call, 2);
}
END_TEST

static pthread_t remover;
static bool copy_fails;
static int removed;

static void *remove_another(void *unused)
{
	removed = remove_name("dir", "y");
	return unused;
}

/* A copy is about to be put into its place, by the name "x". */
static bool remove_meanwhile(void)
{
	ck_assert_int_eq(pthread_create(&remover, NULL, remove_another, NULL),
	                 0);
	usleep(50000); /* it may have done all it does by now, or wait */
	return !copy_fails;
}

START_TEST(names_and_links_agree_after_a_change_while_it_is_copied)
{
	tree_file("low/x", "text");
	tree_mkdir("low/dir");
	tree_mkdir("up/dir");
	ck_assert_int_eq(linkat(tree, "low/x", tree, "low/dir/y", 0), 0);
	ck_assert_int_eq(linkat(tree, "low/x", tree, "low/dir/z", 0), 0);
	stage.metacopy = _i / 2;
	stage_open();
	copy_fails = _i % 2;
	rename_hook = remove_meanwhile;
	ck_assert_int_eq(write_to("x"), copy_fails ? -ENOSPC : 0);
	pthread_join(remover, NULL);
	ck_assert_int_eq(removed, 0);
	ck_assert_uint_eq(attr_of("x").nlink, 2);
	ck_assert_uint_eq(attr_of("dir/z").nlink, 2);
	ck_assert_int_eq(write_to("x"), 0);
	ck_assert_int_eq(remove_name("", "x"), 0);
	ck_assert(has_text("dir/z", "TEXT"));
	ck_assert_uint_eq(attr_of("dir/z").nlink, 1);
	ck_assert_int_eq(remove_name("dir", "z"), 0);
	ck_assert_int_eq(count_names("work/veneer/index"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
}
END_TEST

START_TEST(names_and_links_agree_whichever_call_fails)
{
	unsigned number = _i % NCASES, call;
	bool failed = true;
	struct ovl_id id;

	for (call = first_call(_i); failed && call < MAX_CALLS;
	     call += STRIDE) {
		id = make_anew((unsigned)_i >= NCASES);
		stage_open();
		ck_assert_int_eq(cases[number].before(), 0);
		calls_left = call;
		cases[number].act(); /* it may do without that call */
		failed = calls_left == 0;
		calls_left = 0;
		check_names(id, false);
		check_all(number, id);
	}
	ck_assert(!failed);
	ck_assert_uint_gt(call, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("links, and what may fail");
	TCase *tcase = tcase_create("links, and what may fail");

	seed = test_seed();
	tcase_add_loop_test(tcase,
	                    names_and_links_agree_after_a_crash_at_any_point, 0,
	                    2 * NCASES);
	tcase_add_loop_test(tcase, names_and_links_agree_whichever_call_fails,
	                    0, 2 * NCASES);
	tcase_add_loop_test(
		tcase, names_and_links_agree_after_a_change_while_it_is_copied,
		0, 4);
	return stage_run(suite, tcase);
}
