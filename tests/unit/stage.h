/*
 * An overlay to test, in a tree of the test's own (tree.h): layers "high" over
 * "low", "up" and "work"; and short words for what tests do with it. A test puts
 * into the layers what it needs, and then calls stage_open.
 */
#ifndef VENEER_TESTS_UNIT_STAGE_H
#define VENEER_TESTS_UNIT_STAGE_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/overlay.h"
#include "overlay/store.h"
#include "tests/lib/suite.h"

#include "tree.h"

static struct ovl_caller root = { .may_wait = true };
static const struct ovl_setattr nothing;
static struct ovl *fs;

static char stage_paths[4][PATH_MAX];
static const char *stage_lowers[2] = { stage_paths[0], stage_paths[1] };
/* How it is opened: set by stage_plant, and the test's to change. */
static struct ovl_config stage;

/* ---- setting it up -------------------------------------------------------- */

/* Layers in the tree as it is now, and how they are opened. */
static inline void stage_plant(void)
{
	static const char *const dirs[] = { "high", "low", "up", "work" };

	for (unsigned i = 0; i < 4; i++) {
		tree_mkdir(dirs[i]);
		strcpy(stage_paths[i], tree_at(dirs[i]));
	}
	stage = (struct ovl_config){
		.lowerdirs = stage_lowers,
		.nlowerdirs = 2,
		.upperdir = stage_paths[2],
		.workdir = stage_paths[3],
		.userxattr = geteuid() != 0,
		.sync = OVL_ASYNC,
		.max_entries = 1000,
		.max_files = 100,
	};
}

/* 0 or -errno; `why` is NULL or of 512 bytes. */
static inline int stage_try_open(char *why)
{
	char unasked[512];

	return ovl_open(&stage, &fs, why ? why : unasked, 512);
}

static inline void stage_open(void)
{
	char why[512] = "";
	int err = stage_try_open(why);

	ck_assert_msg(!err, "%s: %s", strerror(-err), why);
}

static inline void stage_close(void)
{
	ovl_close(fs);
	fs = NULL;
}

static inline void stage_reopen(void)
{
	stage_close();
	stage_open();
}

/* The same, and nothing is known of where objects are. */
static inline void stage_reopen_anew(void)
{
	stage_close();
	unlinkat(tree, "work/veneer/" OVL_STORE_FILE, 0);
	stage_open();
}

static inline void stage_setup(void)
{
	tree_setup();
	stage_plant();
}

static inline void stage_teardown(void)
{
	stage_close();
	tree_teardown();
}

/* Run a suite of one case, each test on a stage of its own. */
static inline int stage_run(Suite *suite, TCase *tcase)
{
	tcase_add_checked_fixture(tcase, stage_setup, stage_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}

/* ---- nodes ---------------------------------------------------------------- */

/* The node at a path ("" is the root). */
static inline int find(const char *path, struct ovl_node **node)
{
	struct ovl_node *at = ovl_root(fs), *next;
	char copy[PATH_MAX], *name, *rest;
	int err;

	strcpy(copy, path);
	for (name = strtok_r(copy, "/", &rest); name;
	     name = strtok_r(NULL, "/", &rest)) {
		err = ovl_lookup(fs, &root, at, name, &next);
		ovl_node_unref(at);
		if (err)
			return err;
		at = next;
	}
	*node = at;
	return 0;
}

static inline struct ovl_node *get(const char *path)
{
	struct ovl_node *node = NULL;
	int err = find(path, &node);

	ck_assert_msg(!err, "%s: %s", path, strerror(-err));
	return node;
}

/* What looking it up says. */
static inline int seen(const char *path)
{
	struct ovl_node *node = NULL;
	int err = find(path, &node);

	ovl_node_unref(node);
	return err;
}

static inline struct ovl_id id_of(const char *path)
{
	struct ovl_node *node = get(path);
	struct ovl_id id = ovl_node_id(node);

	ovl_node_unref(node);
	return id;
}

static inline bool same_id(struct ovl_id a, struct ovl_id b)
{
	return a.fileid == b.fileid && a.generation == b.generation;
}

/* ovl_resolve, as often as it asks for it. */
static inline int resolve(struct ovl_id id, struct ovl_node **node)
{
	int err = -EINPROGRESS;

	for (unsigned i = 0; i < 300 && err == -EINPROGRESS; i++) {
		err = ovl_resolve(fs, &root, id, node);
		/* As a client does: the walk goes on meanwhile. */
		if (err == -EINPROGRESS)
			usleep(10000);
	}
	return err;
}

/* ---- reading -------------------------------------------------------------- */

static inline struct ovl_attr attr_of(const char *path)
{
	struct ovl_node *node = get(path);
	struct ovl_attr attr;

	ck_assert_int_eq(ovl_getattr(fs, &root, node, &attr), 0);
	ovl_node_unref(node);
	return attr;
}

static inline bool node_has_text(struct ovl_node *node, const char *text)
{
	char data[256] = "";
	bool eof = false;
	ssize_t n = ovl_read(fs, &root, node, data, sizeof(data) - 1, 0, &eof);

	return n == (ssize_t)strlen(text) && eof && !strcmp(data, text);
}

static inline bool has_text(const char *path, const char *text)
{
	struct ovl_node *node = get(path);
	bool has = node_has_text(node, text);

	ovl_node_unref(node);
	return has;
}

/* ---- changing ------------------------------------------------------------- */

static inline void write_text(const char *path, const char *text)
{
	struct ovl_node *node = get(path);

	ck_assert_int_eq(ovl_write(fs, &root, node, text, strlen(text), 0,
	                           OVL_UNSTABLE, NULL),
	                 strlen(text));
	ovl_node_unref(node);
}

static inline int make_file(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir), *node = NULL;
	int err = ovl_create(fs, &root, in, name, OVL_GUARDED, &nothing, 0,
	                     &node, NULL);

	ovl_node_unref(in);
	ovl_node_unref(node);
	return err;
}

static inline int make_dir(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir), *node = NULL;
	int err = ovl_mkdir(fs, &root, in, name, &nothing, &node, NULL);

	ovl_node_unref(in);
	ovl_node_unref(node);
	return err;
}

static inline int remove_name(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir);
	int err = ovl_remove(fs, &root, in, name, NULL);

	ovl_node_unref(in);
	return err;
}

static inline int remove_dir(const char *dir, const char *name)
{
	struct ovl_node *in = get(dir);
	int err = ovl_rmdir(fs, &root, in, name, NULL);

	ovl_node_unref(in);
	return err;
}

static inline int rename_name(const char *from, const char *from_name,
                              const char *to, const char *to_name)
{
	struct ovl_node *a = get(from), *b = get(to);
	int err = ovl_rename(fs, &root, a, from_name, b, to_name, NULL, NULL);

	ovl_node_unref(a);
	ovl_node_unref(b);
	return err;
}

static inline int link_name(const char *path, const char *dir, const char *name)
{
	struct ovl_node *node = get(path), *in = get(dir);
	int err = ovl_link(fs, &root, node, in, name, NULL);

	ovl_node_unref(node);
	ovl_node_unref(in);
	return err;
}

/* ---- on disk -------------------------------------------------------------- */

static inline bool is_whiteout(const char *name)
{
	struct stat st;

	return fstatat(tree, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

/* How many names a directory of the tree has. */
static inline int count_names(const char *name)
{
	struct dirent **names;
	int n = scandirat(tree, name, &names, NULL, NULL), left = n;

	while (left > 0)
		free(names[--left]);
	free(names);
	return n - 2;
}

#endif
