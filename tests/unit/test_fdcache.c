#include "config.h"

#include "overlay/fdcache.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- flushes, watched (the linker's --wrap) ------------------------------ */

static atomic_uint fsyncs, fdatasyncs;
static int sync_errno;               /* what they fail with */
static struct ovl_fd *write_in_sync; /* is written to while one runs */
static void (*sync_hook)(int num);

int __wrap_fsync(int num);
int __wrap_fdatasync(int num);

static int watched_sync(int num)
{
	if (sync_hook)
		sync_hook(num);
	if (write_in_sync)
		ovl_fd_set_dirty(write_in_sync);
	errno = sync_errno;
	return sync_errno ? -1 : 0;
}

int __wrap_fsync(int num)
{
	fsyncs++;
	return watched_sync(num);
}

int __wrap_fdatasync(int num)
{
	fdatasyncs++;
	return watched_sync(num);
}

/* ---- helpers ------------------------------------------------------------- */

struct told {
	unsigned flushes, failures;
	int last;
};

static struct told told;
static struct ovl_fdcache *cache;

static void hear(void *arg, int result)
{
	struct told *heard = arg;

	heard->flushes++;
	heard->failures += result < 0;
	heard->last = result;
}

static void open_cache(unsigned max)
{
	told = (struct told){ 0 };
	fsyncs = 0;
	fdatasyncs = 0;
	sync_errno = 0;
	write_in_sync = NULL;
	sync_hook = NULL;
	cache = ovl_fdcache_new(max, hear, &told);
	ck_assert_ptr_nonnull(cache);
}

static void close_cache(void)
{
	ck_assert_uint_eq(ovl_fdcache_count(cache), 0);
	ovl_fdcache_free(cache);
}

static int new_num(void)
{
	int num = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(num, 0);
	return num;
}

static bool is_open(int num)
{
	return fcntl(num, F_GETFD) >= 0;
}

static struct ovl_fd *fill(struct ovl_fdslot *slot)
{
	struct ovl_fd *fd = ovl_fdslot_fill(cache, slot, new_num(), true);

	ck_assert_ptr_nonnull(fd);
	return fd;
}

/* Fill the slot and let go; the number of the descriptor. */
static int fill_idle(struct ovl_fdslot *slot, bool dirty)
{
	struct ovl_fd *fd = fill(slot);
	int num = ovl_fd_num(fd);

	if (dirty)
		ovl_fd_set_dirty(fd);
	ovl_fd_unref(cache, fd);
	return num;
}

static void touch(struct ovl_fdslot *slot)
{
	struct ovl_fd *fd = ovl_fdslot_get(cache, slot);

	ck_assert_ptr_nonnull(fd);
	ovl_fd_unref(cache, fd);
}

static void clear_all(struct ovl_fdslot *slots, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		ovl_fdslot_clear(cache, &slots[i], false);
}

/* ---- slots --------------------------------------------------------------- */

START_TEST(an_empty_slot_has_no_descriptor)
{
	struct ovl_fdslot slot = { 0 };

	open_cache(4);
	ck_assert_ptr_null(ovl_fdslot_get(cache, &slot));
	ck_assert(!ovl_fdslot_dirty(cache, &slot));
	ovl_fdslot_clear(cache, &slot, false);
	close_cache();
	ovl_fdcache_free(NULL);
}
END_TEST

START_TEST(a_slot_gives_back_what_was_put_in)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;
	int num;

	open_cache(4);
	num = fill_idle(&slot, false);
	fd = ovl_fdslot_get(cache, &slot);
	ck_assert_int_eq(ovl_fd_num(fd), num);
	ck_assert(is_open(num));
	ck_assert_uint_eq(ovl_fdcache_count(cache), 1);
	ovl_fd_unref(cache, fd);
	ovl_fdslot_clear(cache, &slot, false);
	ck_assert(!is_open(num));
	ck_assert_ptr_null(ovl_fdslot_get(cache, &slot));
	close_cache();
}
END_TEST

START_TEST(the_second_to_fill_a_slot_gets_the_firsts_descriptor)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *first, *second;
	int num;

	open_cache(4);
	first = fill(&slot);
	num = new_num();
	second = ovl_fdslot_fill(cache, &slot, num, true);
	ck_assert_ptr_eq(first, second);
	ck_assert(!is_open(num));
	ck_assert_uint_eq(ovl_fdcache_count(cache), 1);
	ovl_fd_unref(cache, first);
	ovl_fd_unref(cache, second);
	clear_all(&slot, 1);
	close_cache();
}
END_TEST

START_TEST(a_cleared_descriptor_is_closed_when_its_last_user_is_done)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd, *again, *fresh;
	int num;

	open_cache(4);
	fd = fill(&slot);
	again = ovl_fdslot_get(cache, &slot);
	num = ovl_fd_num(fd);
	ovl_fdslot_clear(cache, &slot, false);
	ck_assert_ptr_null(ovl_fdslot_get(cache, &slot));
	fresh = fill(&slot); /* the slot is free for another at once */
	ck_assert_ptr_ne(fresh, fd);
	ovl_fd_unref(cache, fd);
	ck_assert(is_open(num));
	ovl_fd_unref(cache, again);
	ck_assert(!is_open(num));
	ovl_fd_unref(cache, fresh);
	clear_all(&slot, 1);
	close_cache();
}
END_TEST

/* ---- the bound ----------------------------------------------------------- */

START_TEST(no_more_are_open_than_the_bound)
{
	enum { SLOTS = 500, MAX = 10 };
	struct ovl_fdslot slots[SLOTS] = { 0 };
	int nums[SLOTS], i;

	open_cache(MAX);
	for (i = 0; i < SLOTS; i++) {
		nums[i] = fill_idle(&slots[i], false);
		ck_assert_uint_le(ovl_fdcache_count(cache), MAX);
		ck_assert(is_open(nums[i]));
	}
	/* Those that are left are the newest. */
	for (i = 0; i < SLOTS; i++)
		ck_assert_int_eq(slots[i].held != NULL, i >= SLOTS - MAX);
	clear_all(slots, SLOTS);
	close_cache();
}
END_TEST

START_TEST(what_was_used_longest_ago_is_closed_first)
{
	struct ovl_fdslot slots[6] = { 0 };
	int i;

	open_cache(4);
	for (i = 0; i < 4; i++)
		fill_idle(&slots[i], false);
	touch(&slots[0]);
	fill_idle(&slots[4], false);
	ck_assert_ptr_null(slots[1].held);
	touch(&slots[2]);
	fill_idle(&slots[5], false);
	ck_assert_ptr_nonnull(slots[2].held);
	ck_assert_uint_eq(ovl_fdcache_count(cache), 4);
	clear_all(slots, 6);
	close_cache();
}
END_TEST

START_TEST(old_ones_go_before_new_ones_dirty_or_clean)
{
	enum { EACH = 64 };
	struct ovl_fdslot slots[3 * EACH] = { 0 };
	int i;

	open_cache(2 * EACH);
	for (i = 0; i < 2 * EACH; i++)
		fill_idle(&slots[i], i < EACH);
	for (; i < 3 * EACH; i++)
		fill_idle(&slots[i], false);
	for (i = 0; i < 3 * EACH; i++)
		ck_assert_int_eq(slots[i].held != NULL, i >= EACH);
	clear_all(slots, 3 * EACH);
	close_cache();
}
END_TEST

START_TEST(of_many_the_new_ones_stay)
{
	enum { SLOTS = 5000, MAX = 1200, NEW = MAX - MAX / 8 };
	static struct ovl_fdslot slots[SLOTS];
	struct rlimit limit;
	int i;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	open_cache(MAX);
	for (i = 0; i < SLOTS; i++) {
		fill_idle(&slots[i], i % 3 == 0);
		ck_assert_uint_le(ovl_fdcache_count(cache), MAX);
	}
	for (i = SLOTS - NEW; i < SLOTS; i++)
		ck_assert_ptr_nonnull(slots[i].held);
	ck_assert_uint_eq(ovl_fdcache_count(cache), MAX);
	clear_all(slots, SLOTS);
	close_cache();
}
END_TEST

START_TEST(a_descriptor_in_use_is_never_closed)
{
	struct ovl_fdslot slots[20] = { 0 };
	struct ovl_fd *fds[10];
	int i;

	open_cache(4);
	for (i = 0; i < 10; i++)
		fds[i] = fill(&slots[i]);
	for (i = 10; i < 20; i++)
		fill_idle(&slots[i], false);
	for (i = 0; i < 10; i++) {
		ck_assert(is_open(ovl_fd_num(fds[i])));
		ck_assert_ptr_eq(slots[i].held, fds[i]);
	}
	/* Once they are let go, the bound holds again. */
	for (i = 0; i < 10; i++)
		ovl_fd_unref(cache, fds[i]);
	ck_assert_uint_eq(ovl_fdcache_count(cache), 4);
	clear_all(slots, 20);
	close_cache();
}
END_TEST

/* ---- dirty ones ---------------------------------------------------------- */

START_TEST(attributes_stay_to_be_flushed_when_data_alone_were)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;

	open_cache(4);
	fd = fill(&slot);
	ovl_fd_set_dirty(fd);
	ck_assert_int_eq(ovl_fd_flush(fd, false, false), 0);
	ck_assert_int_eq(ovl_fd_flush(fd, false, false), 0);
	ck_assert_uint_eq(fdatasyncs, 1);
	ck_assert(ovl_fdslot_dirty(cache, &slot));
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), 0);
	ck_assert_uint_eq(fsyncs, 1);
	ck_assert(!ovl_fdslot_dirty(cache, &slot));
	ovl_fd_unref(cache, fd);
	ovl_fdslot_clear(cache, &slot, false);
	close_cache();
}
END_TEST

START_TEST(a_flush_makes_a_dirty_descriptor_clean)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;

	open_cache(4);
	fd = fill(&slot);
	ck_assert_int_eq(ovl_fd_flush(fd, false, false), 0);
	ck_assert_uint_eq(told.flushes, 0); /* nothing to flush */
	ovl_fd_set_dirty(fd);
	ck_assert(ovl_fdslot_dirty(cache, &slot));
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), 0);
	ck_assert(!ovl_fdslot_dirty(cache, &slot));
	ck_assert_uint_eq(fsyncs, 1);
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), 0);
	ck_assert_int_eq(ovl_fd_flush(fd, false, false), 0);
	ck_assert_uint_eq(fsyncs, 1);
	ck_assert_uint_eq(fdatasyncs, 0);
	ck_assert_int_eq(ovl_fd_flush(fd, true, true), 0);
	ck_assert_uint_eq(fsyncs, 2);
	ck_assert_uint_eq(told.flushes, 2);
	ck_assert_uint_eq(told.failures, 0);
	ovl_fd_unref(cache, fd);
	clear_all(&slot, 1);
	close_cache();
}
END_TEST

START_TEST(a_flush_that_fails_is_told_and_leaves_it_dirty)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;

	open_cache(4);
	fd = fill(&slot);
	ovl_fd_set_dirty(fd);
	sync_errno = EIO;
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), -EIO);
	ck_assert(ovl_fdslot_dirty(cache, &slot));
	ck_assert_int_eq(told.last, -EIO);
	sync_errno = 0;
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), 0);
	ck_assert(!ovl_fdslot_dirty(cache, &slot));
	ovl_fd_unref(cache, fd);
	clear_all(&slot, 1);
	close_cache();
}
END_TEST

START_TEST(a_write_that_lands_during_a_flush_leaves_it_dirty)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;

	open_cache(4);
	fd = fill(&slot);
	ovl_fd_set_dirty(fd);
	write_in_sync = fd;
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), 0);
	write_in_sync = NULL;
	ck_assert(ovl_fdslot_dirty(cache, &slot));
	ovl_fd_unref(cache, fd);
	clear_all(&slot, 1);
	close_cache();
}
END_TEST

START_TEST(who_may_not_wait_passes_over_dirty_ones)
{
	struct ovl_fdslot slots[4] = { 0 };
	int dirty, clean;

	open_cache(2);
	dirty = fill_idle(&slots[0], true);
	clean = fill_idle(&slots[1], false);
	ovl_fd_unref(cache,
	             ovl_fdslot_fill(cache, &slots[2], new_num(), false));
	ck_assert(is_open(dirty));
	ck_assert(!is_open(clean));
	ck_assert_uint_eq(told.flushes, 0);
	/* Who may wait flushes and closes it. */
	fill_idle(&slots[3], false);
	ck_assert_ptr_null(slots[0].held);
	ck_assert_uint_eq(fsyncs, 1);
	ck_assert_uint_eq(told.flushes, 1);
	clear_all(slots, 4);
	close_cache();
}
END_TEST

START_TEST(who_may_not_wait_leaves_the_bound_to_the_next_who_may)
{
	enum { SLOTS = 6 };
	struct ovl_fdslot slots[SLOTS + 1] = { 0 };
	struct ovl_fd *fd;
	int i;

	open_cache(2);
	for (i = 0; i < SLOTS; i++) {
		fd = ovl_fdslot_fill(cache, &slots[i], new_num(), false);
		ovl_fd_set_dirty(fd);
		ovl_fd_unref(cache, fd);
	}
	ck_assert_uint_eq(ovl_fdcache_count(cache), SLOTS);
	fill_idle(&slots[SLOTS], false);
	ck_assert_uint_eq(ovl_fdcache_count(cache), 2);
	ck_assert_uint_eq(told.flushes, SLOTS - 1);
	clear_all(slots, SLOTS + 1);
	close_cache();
}
END_TEST

START_TEST(a_failure_at_eviction_is_told)
{
	struct ovl_fdslot slots[2] = { 0 };

	open_cache(1);
	fill_idle(&slots[0], true);
	sync_errno = ENOSPC;
	fill_idle(&slots[1], false);
	ck_assert_ptr_null(slots[0].held);
	ck_assert_uint_eq(told.failures, 1);
	ck_assert_int_eq(told.last, -ENOSPC);
	ck_assert_uint_eq(ovl_fdcache_count(cache), 1);
	sync_errno = 0;
	clear_all(slots, 2);
	close_cache();
}
END_TEST

static struct ovl_fdslot *watched_slot;
static bool was_held;

static void see_whether_held(int num)
{
	struct ovl_fd *fd = ovl_fdslot_get(cache, watched_slot);

	was_held = fd && ovl_fd_num(fd) == num &&
	           ovl_fdslot_dirty(cache, watched_slot);
	if (fd)
		ovl_fd_unref(cache, fd);
}

/* Else a COMMIT that comes then would find nothing to wait for. */
START_TEST(while_it_is_flushed_it_still_stands_in_its_slot)
{
	struct ovl_fdslot slots[2] = { 0 };

	open_cache(1);
	watched_slot = &slots[0];
	sync_hook = see_whether_held;
	fill_idle(&slots[0], true);
	fill_idle(&slots[1], false); /* evicts */
	ck_assert(was_held);
	ck_assert_ptr_null(slots[0].held);

	was_held = false;
	fill_idle(&slots[0], true);
	ovl_fdslot_clear(cache, &slots[0], false);
	ck_assert(was_held);
	ck_assert_uint_eq(told.flushes, 2);
	clear_all(slots, 2);
	close_cache();
}
END_TEST

static struct ovl_fd *kept;

static void start_using(int num)
{
	(void)num;
	kept = ovl_fdslot_get(cache, watched_slot);
}

static void use_and_write(int num)
{
	start_using(num);
	ovl_fd_set_dirty(kept);
	ovl_fd_unref(cache, kept);
}

START_TEST(who_begins_to_use_it_while_it_is_flushed_keeps_it)
{
	struct ovl_fdslot slots[2] = { 0 };

	open_cache(1);
	watched_slot = &slots[0];
	fill_idle(&slots[0], true);
	sync_hook = start_using;
	fill_idle(&slots[1], false); /* would evict */
	sync_hook = NULL;
	ck_assert_ptr_eq(slots[0].held, kept);
	ck_assert(is_open(ovl_fd_num(kept)));
	ovl_fd_unref(cache, kept);
	clear_all(slots, 2);
	close_cache();
}
END_TEST

START_TEST(a_write_during_a_flush_that_fails_is_not_forgotten)
{
	struct ovl_fdslot slots[2] = { 0 };

	open_cache(1);
	watched_slot = &slots[0];
	fill_idle(&slots[0], true);
	sync_hook = use_and_write;
	sync_errno = EIO;
	fill_idle(&slots[1], false); /* would evict */
	sync_hook = NULL;
	sync_errno = 0;
	ck_assert_ptr_nonnull(slots[0].held);
	ck_assert(ovl_fdslot_dirty(cache, &slots[0]));
	clear_all(slots, 2);
	close_cache();
}
END_TEST

START_TEST(a_write_after_clearing_is_flushed_by_its_last_user)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;

	open_cache(4);
	fd = fill(&slot);
	ovl_fdslot_clear(cache, &slot, false);
	ovl_fd_set_dirty(fd);
	ck_assert_uint_eq(told.flushes, 0);
	ovl_fd_unref(cache, fd);
	ck_assert_uint_eq(told.flushes, 1);
	close_cache();
}
END_TEST

static unsigned writes_left;

static void write_for_a_while(int num)
{
	if (writes_left > 0) {
		writes_left--;
		use_and_write(num);
	} else {
		see_whether_held(num);
	}
}

/* Else a COMMIT would find nothing, while that write is yet to be flushed. */
START_TEST(what_is_written_while_it_is_cleared_is_flushed_in_its_slot)
{
	struct ovl_fdslot slot = { 0 };

	open_cache(4);
	watched_slot = &slot;
	was_held = false;
	writes_left = 2;
	fill_idle(&slot, true);
	sync_hook = write_for_a_while;
	ovl_fdslot_clear(cache, &slot, false);
	ck_assert_ptr_null(slot.held);
	ck_assert_uint_eq(told.flushes, 3);
	ck_assert(was_held);
	close_cache();
}
END_TEST

/* Its reply is not to wait for a reader, nor what it wrote for anybody. */
START_TEST(what_is_written_after_clearing_is_flushed_by_who_wrote_it)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *reader, *writer;

	open_cache(4);
	reader = fill(&slot);
	writer = ovl_fdslot_get(cache, &slot);
	ovl_fdslot_clear(cache, &slot, false);
	ovl_fd_set_dirty(writer);
	ovl_fd_unref(cache, writer);
	ck_assert_uint_eq(told.flushes, 1);
	ovl_fd_unref(cache, reader);
	ck_assert_uint_eq(told.flushes, 1);
	close_cache();
}
END_TEST

static void *flush(void *fd)
{
	ck_assert_int_eq(ovl_fd_flush(fd, true, false), 0);
	return NULL;
}

/* Who flushes it by other means is to tell of a failure first. */
START_TEST(two_flushes_take_turns_whoever_makes_them)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;
	pthread_t thread;

	open_cache(4);
	fd = fill(&slot);
	ovl_fd_set_dirty(fd);
	ovl_fd_flush_begin(fd);
	ck_assert_int_eq(pthread_create(&thread, NULL, flush, fd), 0);
	usleep(20000);
	ck_assert_uint_eq(fsyncs, 0);
	ovl_fd_flush_end(fd);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(fsyncs, 1);
	ovl_fd_unref(cache, fd);
	clear_all(&slot, 1);
	close_cache();
}
END_TEST

START_TEST(discarding_flushes_nothing)
{
	struct ovl_fdslot slot = { 0 };
	struct ovl_fd *fd;
	int num;

	open_cache(4);
	num = fill_idle(&slot, true);
	ovl_fdslot_clear(cache, &slot, true);
	ck_assert(!is_open(num));

	fd = fill(&slot); /* also where it is in use */
	ovl_fd_set_dirty(fd);
	ovl_fdslot_clear(cache, &slot, true);
	ovl_fd_unref(cache, fd);
	ck_assert_uint_eq(told.flushes, 0);
	ck_assert_uint_eq(fsyncs, 0);
	ck_assert_uint_eq(fdatasyncs, 0);
	close_cache();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fdcache");
	TCase *tcase = tcase_create("fdcache");

	tcase_add_test(tcase, an_empty_slot_has_no_descriptor);
	tcase_add_test(tcase, a_slot_gives_back_what_was_put_in);
	tcase_add_test(tcase,
	               the_second_to_fill_a_slot_gets_the_firsts_descriptor);
	tcase_add_test(
		tcase,
		a_cleared_descriptor_is_closed_when_its_last_user_is_done);
	tcase_add_test(tcase, no_more_are_open_than_the_bound);
	tcase_add_test(tcase, what_was_used_longest_ago_is_closed_first);
	tcase_add_test(tcase, old_ones_go_before_new_ones_dirty_or_clean);
	tcase_add_test(tcase, of_many_the_new_ones_stay);
	tcase_add_test(tcase, a_descriptor_in_use_is_never_closed);
	tcase_add_test(tcase,
	               attributes_stay_to_be_flushed_when_data_alone_were);
	tcase_add_test(tcase, a_flush_makes_a_dirty_descriptor_clean);
	tcase_add_test(tcase, a_flush_that_fails_is_told_and_leaves_it_dirty);
	tcase_add_test(tcase,
	               a_write_that_lands_during_a_flush_leaves_it_dirty);
	tcase_add_test(tcase, who_may_not_wait_passes_over_dirty_ones);
	tcase_add_test(tcase,
	               who_may_not_wait_leaves_the_bound_to_the_next_who_may);
	tcase_add_test(tcase, a_failure_at_eviction_is_told);
	tcase_add_test(tcase, while_it_is_flushed_it_still_stands_in_its_slot);
	tcase_add_test(tcase,
	               who_begins_to_use_it_while_it_is_flushed_keeps_it);
	tcase_add_test(tcase,
	               a_write_during_a_flush_that_fails_is_not_forgotten);
	tcase_add_test(tcase,
	               a_write_after_clearing_is_flushed_by_its_last_user);
	tcase_add_test(
		tcase,
		what_is_written_while_it_is_cleared_is_flushed_in_its_slot);
	tcase_add_test(
		tcase,
		what_is_written_after_clearing_is_flushed_by_who_wrote_it);
	tcase_add_test(tcase, two_flushes_take_turns_whoever_makes_them);
	tcase_add_test(tcase, discarding_flushes_nothing);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
