/*
 * An inode number that is used again: a handle of what had it before is stale, and
 * that of what has it now works, also after a new start. On filesystems which give
 * numbers again soon, and on that of the test.
 */
#include "config.h"

#include <pthread.h>
#include <sys/sysmacros.h>

#include "overlay/dir.h"

#include "stage.h"

#define TRIES 200

/* The last is whatever the test's own directory is on. */
static const char *const types[] = { "ext4", "xfs", "btrfs", "tmpfs", NULL };
#define NTYPES (sizeof(types) / sizeof(types[0]))

/*
 * A file with more than nine bits is made in the work directory, as all others are
 * that are no files; one without in its place. Some filesystems give numbers out by
 * directory.
 */
#define MADE_ASIDE (S_IFREG | S_ISVTX)

static const mode_t kinds[] = { S_IFREG, MADE_ASIDE, S_IFDIR, S_IFLNK,
	                        S_IFIFO };
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

#define LOOPS ((int)(NTYPES * NKINDS))

/* ---- one object --------------------------------------------------------------- */

static struct ovl_id make(const char *name, mode_t kind)
{
	const struct ovl_setattr set = { .has_mode = true,
		                         .mode = 0644 | (kind & 07000) };
	struct ovl_node *dir = ovl_root(fs), *node = NULL;
	struct ovl_id id;
	int err;

	switch (kind & S_IFMT) {
	case S_IFREG:
		err = ovl_create(fs, &root, dir, name, OVL_GUARDED, &set, 0,
		                 &node, NULL);
		break;
	case S_IFDIR:
		err = ovl_mkdir(fs, &root, dir, name, &nothing, &node, NULL);
		break;
	case S_IFLNK:
		err = ovl_symlink(fs, &root, dir, name, "target", &nothing,
		                  &node, NULL);
		break;
	default:
		err = ovl_mknod(fs, &root, dir, name, kind, makedev(0, 0),
		                &nothing, &node, NULL);
		break;
	}
	ck_assert_msg(!err, "%s: %s", name, strerror(-err));
	id = ovl_node_id(node);
	ovl_node_unref(node);
	ovl_node_unref(dir);
	return id;
}

static void take_away(const char *name, mode_t kind)
{
	ck_assert_int_eq(S_ISDIR(kind) ? remove_dir("", name)
	                               : remove_name("", name),
	                 0);
}

static void assert_stale(struct ovl_id id)
{
	struct ovl_node *node = NULL;

	ck_assert_int_eq(resolve(id, &node), -ESTALE);
}

static void assert_works(struct ovl_id id)
{
	struct ovl_node *node = NULL;

	ck_assert_int_eq(resolve(id, &node), 0);
	ck_assert(same_id(ovl_node_id(node), id));
	ovl_node_unref(node);
}

/* ---- the same number again ------------------------------------------------------- */

/* The stage on a filesystem of the loop's type. False: it cannot be had. */
static bool stage_on(int loop)
{
	const char *type = types[(size_t)loop / NKINDS];

	if (type) {
		if (!tree_move_to(type))
			return false;
		stage_plant();
	}
	stage_open();
	return true;
}

/*
 * Make things in the upper until one has the inode number `ino`, which is free
 * now; that one's name is in `name`. Those that got other numbers keep them, or
 * they would be given out again and again. False: `ino` was never given out.
 */
static bool make_again(uint64_t ino, mode_t kind, char name[16],
                       struct ovl_id *id)
{
	char path[32];
	struct stat st;

	for (unsigned i = 0; i < TRIES; i++) {
		snprintf(name, 16, "new%u", i);
		*id = make(name, kind);
		snprintf(path, sizeof(path), "up/%s", name);
		ck_assert_int_eq(fstatat(tree, path, &st, AT_SYMLINK_NOFOLLOW),
		                 0);
		if (st.st_ino == ino)
			return true;
	}
	return false;
}

START_TEST(an_old_handle_of_a_number_used_again_is_stale)
{
	mode_t kind = kinds[(size_t)_i % NKINDS];
	struct ovl_id old, id;
	char name[16];

	if (!stage_on(_i))
		tree_skip("no filesystem of this type can be mounted");
	old = make("old", kind);
	take_away("old", kind);
	assert_stale(old);
	if (!make_again(old.fileid, kind, name, &id))
		tree_skip("no inode number came again");
	ck_assert_uint_eq(id.fileid, old.fileid);
	ck_assert_uint_ne(id.generation, old.generation);
	assert_stale(old);
	assert_works(id);
	stage_reopen();
	assert_stale(old);
	assert_works(id);
	take_away(name, kind);
	assert_stale(id);
	assert_stale(old);
}
END_TEST

/* A file in the upper that the server has no part in; its inode number. */
static uint64_t plant(const char *path)
{
	struct stat st;

	/* Where the server's come from. */
	tree_file("work/veneer/tmp/new", "new");
	ck_assert_int_eq(renameat(tree, "work/veneer/tmp/new", tree, path), 0);
	ck_assert_int_eq(fstatat(tree, path, &st, 0), 0);
	return st.st_ino;
}

/* While no server runs: the next one has seen neither. */
START_TEST(so_it_is_when_it_was_used_again_behind_the_back)
{
	char path[16] = "up/old";
	struct ovl_id old, id;
	uint64_t ino = 0;

	if (!stage_on(_i * (int)NKINDS))
		tree_skip("no filesystem of this type can be mounted");
	old = make("old", MADE_ASIDE);
	stage_close();
	ck_assert_int_eq(unlinkat(tree, path, 0), 0);
	for (unsigned i = 0; i < TRIES && ino != old.fileid; i++) {
		snprintf(path, sizeof(path), "up/new%u", i);
		ino = plant(path);
	}
	if (ino != old.fileid)
		tree_skip("no inode number came again");
	stage_open();
	assert_stale(old);
	id = id_of(strchr(path, '/') + 1);
	ck_assert_uint_eq(id.fileid, old.fileid);
	assert_works(id);
	assert_stale(old);
}
END_TEST

/*
 * A lower file is copied up, and removed; what gets the copy's inode is not taken
 * for it.
 */
START_TEST(a_number_that_a_copy_had_is_not_the_copy_s)
{
	struct ovl_id old, id;
	struct stat was;
	char name[16];

	if (!stage_on(_i * (int)NKINDS))
		tree_skip("no filesystem of this type can be mounted");
	stage_close();
	tree_file("low/old", "low");
	stage_open();
	old = id_of("old");
	write_text("old", "high");
	ck_assert(same_id(id_of("old"), old));
	ck_assert_int_eq(fstatat(tree, "up/old", &was, 0), 0);
	take_away("old", S_IFREG);
	assert_stale(old);
	if (!make_again(was.st_ino, MADE_ASIDE, name, &id))
		tree_skip("no inode number came again");
	ck_assert_uint_ne(id.fileid, old.fileid);
	stage_reopen();
	assert_stale(old);
	assert_works(id);
	ck_assert(same_id(id_of(name), id));
}
END_TEST

/* ---- while a walk has the number in its queue --------------------------------- */

static bool take_last(void *arg, const struct ovl_dirent *entry)
{
	snprintf(arg, 16, "%s", entry->name);
	return true;
}

static void *ask_for_none(void *arg)
{
	struct ovl_id id = { .fileid = UINT64_C(1) << 40 };
	struct ovl_node *node = NULL;

	resolve(id, &node);
	return arg;
}

/*
 * A walk that has queued what is beside that directory, and waits to read its names
 * in. (Whoever holds ovl_dir_lock may lock no other node: nodes share locks.)
 */
static pthread_t stop_a_walk(struct ovl_node *in)
{
	struct ovl_stats stats = { 0 };
	pthread_t thread;

	ck_assert(!ovl_dir_is_read_in(in));
	pthread_mutex_lock(&in->dir->change);
	ck_assert_int_eq(pthread_create(&thread, NULL, ask_for_none, NULL), 0);
	while (!stats.walks) {
		usleep(1000);
		ovl_stats(fs, &stats);
	}
	usleep(200000);
	return thread;
}

/*
 * Directories go, and files get their numbers, before their turn comes. That of the
 * last one in the listing comes first.
 */
START_TEST(a_number_that_a_directory_had_is_walked_no_further)
{
	enum { NDIRS = 20 };
	char name[16], last[16], file[16];
	struct ovl_node *in, *top;
	uint64_t inos[NDIRS];
	pthread_t walk;
	struct ovl_id id;
	unsigned again = 0;
	bool eof;

	if (!stage_on(_i * (int)NKINDS))
		tree_skip("no filesystem of this type can be mounted");
	for (unsigned i = 0; i < NDIRS; i++) {
		snprintf(name, sizeof(name), "dir%u", i);
		inos[i] = make(name, S_IFDIR).fileid;
	}
	stage_reopen_anew();
	top = ovl_root(fs);
	ck_assert_int_eq(ovl_readdir(fs, &root, top, 0, false, take_last, last,
	                             &eof),
	                 0);
	ovl_node_unref(top);
	in = get(last);
	walk = stop_a_walk(in);
	for (unsigned i = 0; i < NDIRS; i++) {
		snprintf(name, sizeof(name), "dir%u", i);
		if (!strcmp(name, last))
			continue;
		take_away(name, S_IFDIR);
		snprintf(file, sizeof(file), "file%u", i);
		id = make(file, MADE_ASIDE);
		for (unsigned k = 0; k < NDIRS; k++)
			again += id.fileid == inos[k];
	}
	pthread_mutex_unlock(&in->dir->change);
	pthread_join(walk, NULL);
	ovl_node_unref(in);
	assert_works(id);
	if (!again)
		tree_skip("no inode number came again");
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("reuse");

	tcase_add_loop_test(
		tcase, an_old_handle_of_a_number_used_again_is_stale, 0, LOOPS);
	tcase_add_loop_test(tcase,
	                    so_it_is_when_it_was_used_again_behind_the_back, 0,
	                    (int)NTYPES);
	tcase_add_loop_test(tcase, a_number_that_a_copy_had_is_not_the_copy_s,
	                    0, (int)NTYPES);
	tcase_add_loop_test(tcase,
	                    a_number_that_a_directory_had_is_walked_no_further,
	                    0, (int)NTYPES);
	return stage_run(suite_create("reuse"), tcase);
}
