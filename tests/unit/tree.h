/*
 * A directory of a test's own, removed after it; and mounts in it, in a mount
 * namespace of the test's own, so that nothing of them stays.
 */
#ifndef VENEER_TESTS_UNIT_TREE_H
#define VENEER_TESTS_UNIT_TREE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/rmtree.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

static char tree_path[256];
static int tree = -1;       /* its descriptor */
static int tree_outer = -1; /* the same before tree_enter */
static char tree_mounts[8][NAME_MAX];
static unsigned tree_nmounts;
static bool tree_is_user; /* for a while */

/* For tcase_add_checked_fixture. */
static inline void tree_setup(void)
{
	umask(0);
	scratch_make(tree_path, sizeof(tree_path), "unit");
	tree = open(tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(tree, 0);
}

static inline void tree_teardown(void)
{
	if (tree_is_user)
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
	if (tree_outer >= 0) {
		close(tree);
		tree = tree_outer;
		*strrchr(tree_path, '/') = '\0';
	}
	while (tree_nmounts > 0)
		umount2(tree_mounts[--tree_nmounts], MNT_DETACH);
	ovl_rmtree_contents(tree);
	close(tree);
	rmdir(tree_path);
}

/* The full path of `name`; good until the call after next. */
static inline const char *tree_at(const char *name)
{
	static char paths[2][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, PATH_MAX, "%s/%s", tree_path, name);
	return path;
}

static inline void tree_mkdir(const char *name)
{
	ck_assert_int_eq(mkdirat(tree, name, 0755), 0);
}

static inline void tree_file(const char *name, const char *text)
{
	int fd = openat(tree, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline bool tree_file_is(const char *name, const char *text)
{
	char buffer[256] = "";
	int fd = openat(tree, name, O_RDONLY);
	ssize_t n = read(fd, buffer, sizeof(buffer) - 1);

	close(fd);
	return n == (ssize_t)strlen(text) && strcmp(buffer, text) == 0;
}

static inline bool tree_has(const char *name)
{
	return faccessat(tree, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline int tree_open(const char *name, int flags)
{
	int fd = openat(tree, name, flags | O_CLOEXEC | O_NOFOLLOW);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Skip this test, the rest of which cannot be had here. */
#define tree_skip(what)                                      \
	do {                                                 \
		printf("%s: skipped: %s\n", __func__, what); \
		fflush(stdout);                              \
		return;                                      \
	} while (0)

/* Whether the test may mount: what it mounts goes with its process. */
static inline bool tree_may_mount(void)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	/* The old descriptor sees the mounts of the old namespace. */
	close(tree);
	tree = open(tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return tree >= 0;
}

static inline void tree_mounted(const char *name)
{
	snprintf(tree_mounts[tree_nmounts++], NAME_MAX, "%s", tree_at(name));
}

static inline void tree_mount_tmpfs(const char *name, const char *options)
{
	ck_assert_int_eq(mount("none", tree_at(name), "tmpfs", 0, options), 0);
	tree_mounted(name);
}

/* Bind one directory or file of the tree over another. */
static inline void tree_bind(const char *what, const char *name)
{
	ck_assert_int_eq(
		mount(tree_at(what), tree_at(name), NULL, MS_BIND, NULL), 0);
	tree_mounted(name);
}

/* Run a command in the tree, silently. Whether it went well. */
__attribute__((format(printf, 1, 2))) static inline bool
tree_run_command(const char *format, ...)
{
	char words[512], command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	snprintf(command, sizeof(command),
	         "exec >/dev/null 2>&1; PATH=$PATH:/sbin:/usr/sbin; cd '%s' && "
	         "%s",
	         tree_path, words);
	return system(command) == 0;
}

/* Make a new filesystem of this type in the sparse file `image` of the tree. */
static inline bool tree_make_image(const char *type, const char *image)
{
	return tree_run_command("truncate -s 400M %s && mkfs.%s %s", image,
	                        type, image);
}

/* Mount it on the directory `name`; the loop device goes with the mount. */
static inline bool tree_mount_loop(const char *image, const char *name)
{
	if (!tree_run_command("mount -o loop %s %s", image, name))
		return false;
	tree_mounted(name);
	return true;
}

/*
 * Mount a new filesystem of this type, in a sparse file of the tree, on the
 * directory `name`. False where this machine cannot.
 */
static inline bool tree_mount_image(const char *type, const char *name)
{
	char image[NAME_MAX];

	snprintf(image, sizeof(image), "%.200s.img", name);
	return tree_make_image(type, image) && tree_mount_loop(image, name);
}

/* What was mounted on `name` last of all, and nobody uses any more. */
static inline void tree_unmount(const char *name)
{
	ck_assert_uint_gt(tree_nmounts, 0);
	ck_assert_str_eq(tree_mounts[--tree_nmounts], tree_at(name));
	ck_assert_msg(umount(tree_at(name)) == 0, "%s: %m", name);
}

/* The test goes on in this directory of its tree, as if it were all of it. */
static inline void tree_enter(const char *name)
{
	tree_outer = tree;
	ck_assert_int_eq(fchmod(tree_outer, 0755),
	                 0); /* for tree_become_user */
	strcat(tree_path, "/");
	strcat(tree_path, name);
	tree = open(tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(tree, 0);
}

/*
 * The test goes on on a new filesystem of this type. False where this user or
 * this machine cannot have one.
 */
static inline bool tree_move_to(const char *type)
{
	if (!tree_may_mount())
		return false;
	tree_mkdir("disk");
	if (strcmp(type, "tmpfs") == 0)
		tree_mount_tmpfs("disk", "size=400m,mode=755");
	else if (!tree_mount_image(type, "disk"))
		return false;
	tree_enter("disk");
	return true;
}

/* Let root go on as an ordinary user, who owns the tree, to the test's end. */
static inline void tree_become_user(void)
{
	ck_assert_int_eq(fchown(tree, 65534, 65534), 0);
	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
	ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
	tree_is_user = true;
}

/* How many descriptors the process has open. */
static inline unsigned tree_open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Run a suite of one case, each test in a tree of its own. */
static inline int tree_run(Suite *suite, TCase *tcase)
{
	tcase_add_checked_fixture(tcase, tree_setup, tree_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}

#endif
