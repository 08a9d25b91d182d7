/*
 * The file of where objects were last seen: that rows are kept, and that nothing
 * anybody does to the file is worse than to lose it.
 */
#include "config.h"

#include "overlay/mdbfile.h"
#include "overlay/store.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "seed.h"
#include "tree.h"

#define ROWS 5000

static struct ovl_store *store;
static char said[4096];

static void hear(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	strncat(said, line, sizeof(said) - strlen(said) - 2);
	strcat(said, "\n");
}

static int try_open(size_t max)
{
	const struct ovl_log log = { .fn = hear };

	said[0] = '\0';
	return ovl_store_open(tree, max, &log, &store);
}

static void open_store(void)
{
	ck_assert_int_eq(try_open(OVL_STORE_MAX), 0);
}

static void close_store(void)
{
	ovl_store_close(store);
	store = NULL;
}

static void teardown(void)
{
	close_store();
	tree_teardown();
}

static void name_of(uint64_t fileid, char name[32])
{
	snprintf(name, 32, "file%llu", (unsigned long long)fileid);
}

/* A batch of rows. */
static int put_rows(uint64_t from, uint64_t to)
{
	char name[32];

	ovl_store_begin(store);
	for (uint64_t i = from; i < to; i++) {
		name_of(i, name);
		ovl_store_put(store, OVL_TABLE_UPPER, i, i + 1, name,
		              strlen(name));
	}
	return ovl_store_end(store);
}

static bool has_row(uint64_t fileid)
{
	struct ovl_rows rows = { 0 };
	char name[32];
	bool has;

	name_of(fileid, name);
	if (ovl_store_get(store, OVL_TABLE_UPPER, fileid, &rows))
		return false;
	has = rows.n == 1 && rows.row[0].parent == fileid + 1 &&
	      !strcmp(rows.row[0].name, name);
	ovl_rows_release(&rows);
	return has;
}

static unsigned count_rows(uint64_t from, uint64_t to)
{
	unsigned n = 0;

	for (uint64_t i = from; i < to; i++)
		n += has_row(i);
	return n;
}

static void fill(void)
{
	open_store();
	ck_assert_int_eq(put_rows(0, ROWS), 0);
	close_store();
}

START_TEST(rows_are_there_the_next_time)
{
	fill();
	open_store();
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(ovl_store_count(store, OVL_TABLE_UPPER), ROWS);
	ck_assert_uint_eq(ovl_store_count(store, OVL_TABLE_LOWER), 0);
	ck_assert_uint_eq(count_rows(0, ROWS), ROWS);
	ck_assert_uint_gt(ovl_store_bytes(store), ROWS * 20);
}
END_TEST

START_TEST(the_tables_are_apart)
{
	struct ovl_rows rows = { 0 };

	fill();
	open_store();
	ovl_store_begin(store);
	ovl_store_put(store, OVL_TABLE_LOWER, 1, 5, "lower", 5);
	ovl_store_del(store, OVL_TABLE_LOWER, 2, 3, "file2", 5);
	ck_assert_int_eq(ovl_store_end(store), 0);
	ck_assert(has_row(1));
	ck_assert(has_row(2));
	ck_assert_int_eq(ovl_store_get(store, OVL_TABLE_LOWER, 1, &rows), 0);
	ck_assert_uint_eq(rows.n, 1);
	ck_assert_str_eq(rows.row[0].name, "lower");
	ovl_rows_release(&rows);
}
END_TEST

START_TEST(a_batch_that_changes_nothing_writes_nothing)
{
	struct stat before, after;

	fill();
	open_store();
	ck_assert_int_eq(fstatat(tree, OVL_STORE_FILE, &before, 0), 0);
	usleep(20000);
	ck_assert_int_eq(put_rows(0, ROWS), 0);
	ck_assert_int_eq(fstatat(tree, OVL_STORE_FILE, &after, 0), 0);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
}
END_TEST

/* ---- damage ------------------------------------------------------------------ */

static int open_raw(const char *name)
{
	int fd = openat(tree, name, O_RDWR);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static uint64_t random_state;

static uint64_t below(uint64_t n)
{
	return test_random(&random_state) % n;
}

static void delete_file(const char *name)
{
	ck_assert_int_eq(unlinkat(tree, name, 0), 0);
}

static void cut(const char *name)
{
	struct stat st;
	int fd = open_raw(name);

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)below(st.st_size)), 0);
	close(fd);
}

static void lengthen(const char *name)
{
	struct stat st;
	int fd = open_raw(name);

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(ftruncate(fd, st.st_size + 1 + (off_t)below(99999)),
	                 0);
	close(fd);
}

/* Some of it, or all. */
static void fill_with_noise(const char *name)
{
	struct stat st;
	int fd = open_raw(name);
	size_t len;
	char *noise;

	ck_assert_int_eq(fstat(fd, &st), 0);
	len = below(2) ? (size_t)st.st_size : 1 + below(4096);
	if (len > (size_t)st.st_size)
		len = (size_t)st.st_size;
	noise = malloc(len);
	for (size_t i = 0; i < len; i++)
		noise[i] = (char)test_random(&random_state);
	ck_assert_int_eq(pwrite(fd, noise, len,
	                        (off_t)below(st.st_size - len + 1)),
	                 len);
	free(noise);
	close(fd);
}

/* Times put back, as by a tool that restores an older copy. */
static void replace_by_a_copy(const char *name)
{
	struct timespec times[2];
	struct stat st;
	char *text;
	int fd = open_raw(name);

	ck_assert_int_eq(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size);
	ck_assert_int_eq(read(fd, text, (size_t)st.st_size), st.st_size);
	close(fd);
	memset(text + st.st_size / 2, 0x5a, 64);
	delete_file(name);
	fd = openat(tree, name, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, text, (size_t)st.st_size), st.st_size);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	ck_assert_int_eq(futimens(fd, times), 0);
	close(fd);
	free(text);
}

static void put_a_symlink(const char *name)
{
	delete_file(name);
	ck_assert_int_eq(symlinkat("elsewhere", tree, name), 0);
}

typedef void damage_fn(const char *name);

static const struct {
	damage_fn *damage;
	const char *name;
	bool harmless;
} damages[] = {
	{ delete_file, OVL_STORE_FILE, false },
	{ cut, OVL_STORE_FILE, false },
	{ lengthen, OVL_STORE_FILE, false },
	{ fill_with_noise, OVL_STORE_FILE, false },
	{ replace_by_a_copy, OVL_STORE_FILE, false },
	{ put_a_symlink, OVL_STORE_FILE, false },
	{ delete_file, OVL_STORE_SEAL, false },
	{ cut, OVL_STORE_SEAL, false },
	{ fill_with_noise, OVL_STORE_SEAL, false },
	{ put_a_symlink, OVL_STORE_SEAL, false },
	{ delete_file, OVL_STORE_LOCK, true },
	{ cut, OVL_STORE_LOCK, true },
	{ fill_with_noise, OVL_STORE_LOCK, true },
};
#define NDAMAGES ((int)(sizeof(damages) / sizeof(damages[0])))

START_TEST(damage_costs_no_more_than_the_rows)
{
	const int rounds = test_rounds("TEST_ROUNDS", 3, 50);

	random_state = test_seed();
	for (int i = 0; i < rounds; i++) {
		fill();
		damages[_i].damage(damages[_i].name);
		open_store();
		ck_assert_uint_eq(count_rows(0, ROWS),
		                  damages[_i].harmless ? ROWS : 0);
		if (!damages[_i].harmless &&
		    !(damages[_i].damage == delete_file &&
		      !strcmp(damages[_i].name, OVL_STORE_FILE)))
			ck_assert_ptr_nonnull(strstr(said, "begun anew"));
		/* And it is as good as new. */
		ck_assert_int_eq(put_rows(0, ROWS), 0);
		ck_assert_uint_eq(count_rows(0, ROWS), ROWS);
		close_store();
		open_store();
		ck_assert_str_eq(said, "");
		ck_assert_uint_eq(count_rows(0, ROWS), ROWS);
		close_store();
	}
}
END_TEST

/* The same under a server that has it open. */
START_TEST(damage_while_it_is_open_costs_no_more_than_the_rows)
{
	fill();
	open_store();
	random_state = test_seed();
	usleep(20000); /* clocks of filesystems are coarse */
	damages[_i].damage(damages[_i].name);
	ck_assert_uint_eq(count_rows(0, ROWS), 0);
	ck_assert_int_eq(put_rows(0, 10), -ESTALE);
	ck_assert_ptr_nonnull(strstr(said, "begun anew"));
	ck_assert_int_eq(put_rows(0, ROWS), 0);
	ck_assert_uint_eq(count_rows(0, ROWS), ROWS);
	close_store();
	open_store();
	ck_assert_uint_eq(count_rows(0, ROWS), ROWS);
}
END_TEST

/* ---- kills ---------------------------------------------------------------------- */

/* Writes batches, and tells of each that has ended. */
static void write_until_killed(int to)
{
	open_store();
	for (uint64_t i = 0;; i++) {
		if (put_rows(i * 100, i * 100 + 100))
			_exit(1);
		if (write(to, &i, sizeof(i)) != sizeof(i))
			_exit(0);
	}
}

START_TEST(a_kill_at_any_moment_leaves_all_or_nothing)
{
	const int rounds = test_rounds("TEST_ROUNDS", 20, 300);
	unsigned lost = 0;

	random_state = test_seed();
	for (int i = 0; i < rounds; i++) {
		uint64_t n, last = 0;
		int fds[2];
		pid_t pid;

		ck_assert_int_eq(pipe(fds), 0);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			close(fds[0]);
			write_until_killed(fds[1]);
		}
		close(fds[1]);
		usleep(5000 + (useconds_t)below(30000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(fds[0], &n, sizeof(n)) == sizeof(n))
			last = n * 100 + 100;
		close(fds[0]);
		open_store();
		n = count_rows(0, last);
		ck_assert(n == last || n == 0);
		lost += n == 0;
		ck_assert_int_eq(put_rows(0, 10), 0);
		close_store();
	}
	printf("%d kills, rows lost by %u\n", rounds, lost);
}
END_TEST

/* ---- bounds ----------------------------------------------------------------------- */

START_TEST(when_it_is_full_it_is_begun_anew)
{
	const size_t max = (size_t)1 << 20;
	bool anew = false;
	struct stat st;
	int err;

	ck_assert_int_eq(try_open(max), 0);
	for (uint64_t i = 0; i < 40; i++) {
		err = put_rows(i * 1000, i * 1000 + 1000);
		ck_assert(err == 0 || err == -ESTALE);
		anew |= err == -ESTALE;
		if (!err)
			ck_assert_uint_eq(count_rows(i * 1000, i * 1000 + 1000),
			                  1000);
	}
	ck_assert(anew);
	ck_assert_ptr_nonnull(strstr(said, "full: begun anew"));
	ck_assert_int_eq(fstatat(tree, OVL_STORE_FILE, &st, 0), 0);
	ck_assert_int_le(st.st_size, max);
}
END_TEST

START_TEST(a_second_server_keeps_off)
{
	struct ovl_store *first;

	open_store();
	ck_assert_int_eq(put_rows(0, 10), 0);
	first = store;
	ck_assert_int_eq(try_open(OVL_STORE_MAX), -EBUSY);
	store = first;
	ck_assert_uint_eq(count_rows(0, 10), 10);
	ck_assert_int_eq(put_rows(10, 20), 0);
}
END_TEST

START_TEST(network_filesystems_have_no_file)
{
	ck_assert(ovl_mdbfile_is_remote(0x6969));
	ck_assert(ovl_mdbfile_is_remote(0xff534d42));
	ck_assert(!ovl_mdbfile_is_remote(0xef53));     /* ext4 */
	ck_assert(!ovl_mdbfile_is_remote(0x01021994)); /* tmpfs */
}
END_TEST

START_TEST(what_cannot_be_opened_is_an_error)
{
	tree_mkdir(OVL_STORE_FILE);
	ck_assert_int_lt(try_open(OVL_STORE_MAX), 0);
	ck_assert_ptr_null(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tcase = tcase_create("store");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, tree_setup, teardown);
	tcase_add_test(tcase, rows_are_there_the_next_time);
	tcase_add_test(tcase, the_tables_are_apart);
	tcase_add_test(tcase, a_batch_that_changes_nothing_writes_nothing);
	tcase_add_loop_test(tcase, damage_costs_no_more_than_the_rows, 0,
	                    NDAMAGES);
	/* Those that hit the mapped file itself. */
	tcase_add_loop_test(tcase,
	                    damage_while_it_is_open_costs_no_more_than_the_rows,
	                    1, 4);
	tcase_add_test(tcase, a_kill_at_any_moment_leaves_all_or_nothing);
	tcase_add_test(tcase, when_it_is_full_it_is_begun_anew);
	tcase_add_test(tcase, a_second_server_keeps_off);
	tcase_add_test(tcase, network_filesystems_have_no_file);
	tcase_add_test(tcase, what_cannot_be_opened_is_an_error);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
