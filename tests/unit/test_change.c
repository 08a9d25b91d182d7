/*
 * What a change tells of an object just before and just after it, while another
 * client changes the same object: never as its own what the other did.
 */
#include "config.h"

#include <pthread.h>

#include "overlay/fdcall.h"
#include "overlay/fs.h"
#include "tests/lib/behind.h"

#include "stage.h"

#define OTHERS 100 /* where the other client writes: far behind the end */
#define A_WHILE (200 * 1000) /* us, for another thread to come so far */

/* ---- what happens meanwhile ------------------------------------------------- */

enum moment { NEVER, IN_WRITE, IN_SET, IN_FLUSH };

static enum moment moment;
static void (*meanwhile)(void); /* once, in the next call of that kind */
static int flush_result;

static void at(enum moment when, void (*what)(void))
{
	moment = when;
	meanwhile = what;
}

static void pass(enum moment now)
{
	if (is_behind() || now != moment)
		return;
	moment = NEVER;
	meanwhile();
}

/* The linker's --wrap puts these in the place of the system's, and of ours. */
ssize_t __real_pwrite(int fd, const void *data, size_t count, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t count, off_t offset);
int __real_ovl_fd_utimens(int fd, const struct timespec times[2]);
int __wrap_ovl_fd_utimens(int fd, const struct timespec times[2]);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_syncfs(int fd);

ssize_t __wrap_pwrite(int fd, const void *data, size_t count, off_t offset)
{
	pass(IN_WRITE);
	return __real_pwrite(fd, data, count, offset);
}

int __wrap_ovl_fd_utimens(int fd, const struct timespec times[2])
{
	pass(IN_SET);
	return __real_ovl_fd_utimens(fd, times);
}

static int flush(void)
{
	if (is_behind())
		return 0;
	/* That of a copy which is not in its place yet is no other's. */
	if (tree_has("up/object"))
		pass(IN_FLUSH);
	if (!flush_result)
		return 0;
	errno = flush_result;
	return -1;
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return flush();
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	return flush();
}

int __wrap_syncfs(int fd)
{
	(void)fd;
	return flush();
}

/* ---- changes ---------------------------------------------------------------- */

static struct ovl_change change, other;
static const struct ovl_setattr touch = { .has_mode = true,
	                                  .mode = 0700,
	                                  .set_atime = OVL_TIME_NOW };

static void open_fs(void)
{
	flush_result = 0;
	stage.sync = OVL_SYNC;
	stage_open();
	/* It is as on a disk without a log. */
	fs->upper.never_waits = false;
	fs->batch.way = OVL_BATCH_EACH;
}

static void open_with_file(void)
{
	tree_file("up/object", "text");
	open_fs();
}

static void write_it(enum ovl_stable stable, uint64_t offset,
                     struct ovl_change *told)
{
	struct ovl_node *node = get("object");

	ck_assert_int_eq(
		ovl_write(fs, &root, node, "TEXT", 4, offset, stable, told), 4);
	ovl_node_unref(node);
}

static void set_it(struct ovl_change *told)
{
	struct ovl_node *node = get("object");

	ck_assert_int_eq(ovl_setattr(fs, &root, node, &touch, NULL, told), 0);
	ovl_node_unref(node);
}

static int commit_it(struct ovl_change *told)
{
	struct ovl_node *node = get("object");
	int err = ovl_commit(fs, &root, node, 0, 0, told);

	ovl_node_unref(node);
	return err;
}

static void write_by_other(void)
{
	write_it(OVL_UNSTABLE, OTHERS, &other);
}

static void set_by_other(void)
{
	set_it(&other);
}

static bool tells_both(const struct ovl_change *told)
{
	return told->has_before && told->has_after;
}

/* ---- alone -------------------------------------------------------------------- */

START_TEST(who_is_alone_is_told_both)
{
	open_with_file();
	write_it(OVL_UNSTABLE, 2, &change);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.before.size, 4);
	ck_assert_uint_eq(change.after.size, 6);
	write_it(OVL_FILE_SYNC, 3, &change);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.before.size, 6);
	ck_assert_uint_eq(change.after.size, 7);
	set_it(&change);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.after.mode & 07777, 0700);
	ck_assert_int_eq(commit_it(&change), 0);
	ck_assert(tells_both(&change));
}
END_TEST

START_TEST(so_is_he_whatever_the_type)
{
	ck_assert_int_eq(_i ? mkfifoat(tree, "up/object", 0600)
	                    : mkdirat(tree, "up/object", 0755),
	                 0);
	open_fs();
	set_it(&change);
	ck_assert(tells_both(&change));
	ck_assert_uint_ne(change.before.mode & 07777, 0700);
	ck_assert_uint_eq(change.after.mode & 07777, 0700);
}
END_TEST

/* ---- flushes ------------------------------------------------------------------ */

START_TEST(a_commit_changes_nothing_whoever_writes_meanwhile)
{
	open_with_file();
	write_it(OVL_UNSTABLE, 0, NULL);
	at(IN_FLUSH, write_by_other);
	ck_assert_int_eq(commit_it(&change), 0);
	ck_assert_int_eq(moment, NEVER);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.before.size, OTHERS + 4);
	ck_assert_uint_eq(change.after.size, OTHERS + 4);
	ck_assert(!memcmp(&change.before.ctime, &change.after.ctime,
	                  sizeof(struct timespec)));
	ck_assert(tells_both(&other));
}
END_TEST

START_TEST(so_does_one_that_fails)
{
	open_with_file();
	write_it(OVL_UNSTABLE, 0, NULL);
	flush_result = EIO;
	at(IN_FLUSH, write_by_other);
	ck_assert_int_eq(commit_it(&change), -EIO);
	flush_result = 0;
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.before.size, OTHERS + 4);
	ck_assert_uint_eq(change.after.size, OTHERS + 4);
}
END_TEST

START_TEST(a_write_is_over_before_its_flush)
{
	open_with_file();
	at(IN_FLUSH, write_by_other);
	write_it(_i, 2, &change);
	ck_assert_int_eq(moment, NEVER);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.before.size, 4);
	ck_assert_uint_eq(change.after.size, 6);
	ck_assert(tells_both(&other));
	ck_assert_uint_eq(other.before.size, 6);
	/* And what is kept of the file is the newer. */
	ck_assert_uint_eq(attr_of("object").size, OTHERS + 4);
}
END_TEST

START_TEST(a_setattr_is_over_before_its_flush)
{
	open_with_file();
	at(IN_FLUSH, write_by_other);
	set_it(&change);
	ck_assert_int_eq(moment, NEVER);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.after.mode & 07777, 0700);
	ck_assert_uint_eq(change.after.size, 4);
	ck_assert(tells_both(&other));
	ck_assert_uint_eq(attr_of("object").size, OTHERS + 4);
}
END_TEST

START_TEST(a_setattr_begins_after_its_copy_up)
{
	tree_file("low/object", "text");
	open_fs();
	at(IN_FLUSH, write_by_other); /* it is in place, and not flushed */
	set_it(&change);
	ck_assert_int_eq(moment, NEVER);
	ck_assert(tells_both(&change));
	ck_assert_uint_eq(change.before.size, OTHERS + 4);
	ck_assert_uint_eq(change.before.mode & 07777, 0644);
	ck_assert_uint_eq(change.after.size, OTHERS + 4);
	ck_assert_uint_eq(change.after.mode & 07777, 0700);
}
END_TEST

static const struct ovl_setattr only_mode = { .has_mode = true, .mode = 0700 };

static void set_mode(struct ovl_change *told)
{
	struct ovl_node *node = get("object");

	ck_assert_int_eq(ovl_setattr(fs, &root, node, &only_mode, NULL, told),
	                 0);
	ovl_node_unref(node);
}

START_TEST(a_mode_comes_with_the_copy)
{
	struct ovl_attr shown;
	struct stat lower;

	tree_file("low/object", "text");
	stage.metacopy = _i;
	open_fs();
	shown = attr_of("object");
	set_mode(&change);
	ck_assert(tells_both(&change));
	/* What the client had seen, which the copy's would not be. */
	ck_assert(!memcmp(&change.before.ctime, &shown.ctime,
	                  sizeof(struct timespec)));
	ck_assert_uint_eq(change.before.mode & 07777, 0644);
	ck_assert_uint_eq(change.after.mode & 07777, 0700);
	ck_assert_uint_eq(change.after.size, 4);
	shown = attr_of("object");
	ck_assert(!memcmp(&change.after.ctime, &shown.ctime,
	                  sizeof(struct timespec)));
	ck_assert_int_eq(stat(tree_at("low/object"), &lower), 0);
	ck_assert_uint_eq(lower.st_mode & 07777, 0644);
	ck_assert(has_text("object", "text"));
}
END_TEST

START_TEST(what_is_written_to_the_copy_since_is_not_claimed)
{
	tree_file("low/object", "text");
	open_fs();
	at(IN_FLUSH, write_by_other);
	set_mode(&change);
	ck_assert_int_eq(moment, NEVER);
	ck_assert(!change.has_before && change.has_after);
	ck_assert_uint_eq(change.after.mode & 07777, 0700);
	ck_assert_uint_eq(attr_of("object").size, OTHERS + 4);
	ck_assert_uint_eq(attr_of("object").mode & 07777, 0700);
}
END_TEST

/* ---- together ------------------------------------------------------------------- */

START_TEST(writes_at_one_time_claim_nothing)
{
	open_with_file();
	at(IN_WRITE, _i ? set_by_other : write_by_other);
	write_it(OVL_UNSTABLE, 0, &change);
	ck_assert_int_eq(moment, NEVER);
	/* A client may make up for itself a `before` of a write. */
	ck_assert(!change.has_before && !change.has_after);
	ck_assert(!other.has_before && other.has_after == (_i == 1));
	write_it(OVL_UNSTABLE, 0, &change);
	ck_assert(tells_both(&change));
}
END_TEST

START_TEST(what_is_set_at_one_time_is_not_claimed)
{
	open_with_file();
	at(IN_SET, _i ? set_by_other : write_by_other);
	set_it(&change);
	ck_assert_int_eq(moment, NEVER);
	ck_assert(!change.has_before && change.has_after);
	ck_assert(!other.has_before && other.has_after == (_i == 1));
	set_it(&change);
	ck_assert(tells_both(&change));
}
END_TEST

/* ---- directories ---------------------------------------------------------------- */

static pthread_t maker;

static void *make_in_it(void *unused)
{
	(void)unused;
	ck_assert_int_eq(make_file("object", "file"), 0);
	return NULL;
}

/* Give it time: whether it is made then, is the question. */
static bool is_made_by_other(void)
{
	ck_assert_int_eq(pthread_create(&maker, NULL, make_in_it, NULL), 0);
	for (unsigned i = 0; i < 100 && !tree_has("up/object/file"); i++)
		usleep(A_WHILE / 100);
	return tree_has("up/object/file");
}

static void make_in_vain(void)
{
	ck_assert(!is_made_by_other());
}

static void make_at_once(void)
{
	ck_assert(is_made_by_other());
}

static void open_with_dir(void)
{
	const struct timespec old[2] = { { 1000, 0 }, { 2000, 0 } };

	tree_mkdir("up/object");
	ck_assert_int_eq(utimensat(tree, "up/object", old, 0), 0);
	open_fs();
}

/* Whatever was made meanwhile, it is no part of the change. */
static void assert_apart(void)
{
	ck_assert_int_eq(moment, NEVER);
	ck_assert_int_eq(pthread_join(maker, NULL), 0);
	ck_assert(tells_both(&change));
	ck_assert_int_eq(change.after.mtime.tv_sec, 2000);
	ck_assert_int_gt(attr_of("object").mtime.tv_sec, 2000);
}

START_TEST(names_change_after_a_directory_s_attributes)
{
	open_with_dir();
	at(IN_SET, make_in_vain);
	set_it(&change);
	assert_apart();
}
END_TEST

START_TEST(and_may_change_while_these_are_flushed)
{
	open_with_dir();
	at(IN_FLUSH, make_at_once);
	set_it(&change);
	assert_apart();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("change");
	TCase *tcase = tcase_create("change");

	tcase_add_test(tcase, who_is_alone_is_told_both);
	tcase_add_loop_test(tcase, so_is_he_whatever_the_type, 0, 2);
	tcase_add_test(tcase,
	               a_commit_changes_nothing_whoever_writes_meanwhile);
	tcase_add_test(tcase, so_does_one_that_fails);
	tcase_add_loop_test(tcase, a_write_is_over_before_its_flush,
	                    OVL_DATA_SYNC, OVL_FILE_SYNC + 1);
	tcase_add_test(tcase, a_setattr_is_over_before_its_flush);
	tcase_add_test(tcase, a_setattr_begins_after_its_copy_up);
	tcase_add_loop_test(tcase, a_mode_comes_with_the_copy, 0, 2);
	tcase_add_test(tcase, what_is_written_to_the_copy_since_is_not_claimed);
	tcase_add_loop_test(tcase, writes_at_one_time_claim_nothing, 0, 2);
	tcase_add_loop_test(tcase, what_is_set_at_one_time_is_not_claimed, 0,
	                    2);
	tcase_add_test(tcase, names_change_after_a_directory_s_attributes);
	tcase_add_test(tcase, and_may_change_while_these_are_flushed);
	return stage_run(suite, tcase);
}
