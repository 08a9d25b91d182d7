/*
 * Each procedure that changes something, on what is lower, upper, merged, linked
 * or a metacopy, while each of its system calls fails in turn, for each reason
 * that there can be: the client is told, or nothing was lost by it; what it then
 * sees is as before or as after, and a server that is started anew over the same
 * layers shows the same; nothing is left behind; and the next call works.
 *
 * In the environment:
 *   TEST_SEED=NUMBER     chooses the sample
 *   FAULT_STRIDE=N       of the calls, about each Nth fails; 1: all (TEST_FULL)
 *   FAULT_KIND=N         with places of this kind alone: a loop's number
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/fault.h"
#include "tests/lib/fixture.h"
#include "tests/lib/nfs.h"
#include "tests/lib/suite.h"
#include "tests/protocol/operation.h"
#include "tests/protocol/place.h"
#include "tests/unit/seed.h"

#define OPTIONS "insecure,no_root_squash,sync,cache=never"
#define SAMPLE_STRIDE 150
/* With a sanitizer in it, or on a disk, the whole would take many hours. */
#define LONG_STRIDE 20
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WHOLE_STRIDE LONG_STRIDE
#else
#define WHOLE_STRIDE 1
#endif

#define SPACE (FAULT_MAKE | FAULT_LINK | FAULT_MOVE | FAULT_FILL)
#define ANY                                                          \
	(SPACE | FAULT_LOOK | FAULT_OPEN | FAULT_READ | FAULT_ATTR | \
	 FAULT_GONE | FAULT_SYNC)
/* What it takes to clean up. */
#define CLEANING \
	(FAULT_GONE | FAULT_OPEN | FAULT_READ | FAULT_LOOK | FAULT_ATTR)

static uint64_t seed;
static int stride;
static bool in_memory;

/* ---- what is tried --------------------------------------------------------- */

/* What is done in a place before. */
static operation_fn *const treatments[] = { NULL, operation_copy_attributes,
	                                    operation_copy_data };
#define TREATMENTS 3

/* How the overlay marks what it does in the upper. Without root, not the first. */
static const struct format {
	const char *options;
	bool no_devices; /* whiteouts are made by attribute */
} formats[] = {
	{ OPTIONS, false },
	{ OPTIONS ",userxattr", false },
	{ OPTIONS ",userxattr", true },
};
#define FORMATS (int)(sizeof(formats) / sizeof(formats[0]))

#define KINDS (PLACE_LAYOUTS * TREATMENTS * FORMATS)

static const struct fault_kind {
	unsigned kinds;
	int error;
	nfsstat3 status;
	bool lasting;
} faults[] = {
	{ ANY, EIO, NFS3ERR_IO, false },
	{ ANY, ENOSPC, NFS3ERR_NOSPC, false },
	{ ANY, EDQUOT, NFS3ERR_DQUOT, false },
	{ ANY, EMFILE, NFS3ERR_JUKEBOX, false },
	{ SPACE, ENOSPC, NFS3ERR_NOSPC, true },
	{ SPACE, EDQUOT, NFS3ERR_DQUOT, true },
	{ FAULT_OPEN, EMFILE, NFS3ERR_JUKEBOX, true },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* One operation in places of one kind. */
struct trial {
	const struct operation *operation;
	operation_fn *treatment;
	const struct fault_kind *fault;
	char after[PLACE_TEXT]; /* how the place looks when all went well */
	char what[256];         /* where it is, for a failure */
};

static struct place prepare(const struct trial *trial)
{
	struct place place = place_new();

	if (trial->treatment)
		ck_assert_int_eq(trial->treatment(&place), NFS3_OK);
	if (trial->operation->prepare)
		ck_assert_int_eq(trial->operation->prepare(&place), NFS3_OK);
	place_remember(&place);
	return place;
}

/* ---- what must hold -------------------------------------------------------- */

static void assert_as_after(const struct trial *trial, const char *now)
{
	ck_assert_msg(strcmp(now, trial->after) == 0, "%s:\n%snot:\n%s",
	              trial->what, now, trial->after);
}

static void assert_next_call_works(const struct trial *trial,
                                   const struct place *place, bool done)
{
	char now[PLACE_TEXT];
	nfsstat3 status;

	if (done) {
		nfs_new_file(place->client, place->dir, "probe", 0600);
		return;
	}
	status = trial->operation->call(place);
	ck_assert_msg(status == NFS3_OK, "%s: then status %d", trial->what,
	              status);
	place_tell(place, now);
	assert_as_after(trial, now);
}

/*
 * How the place looks. A name that is gone, but could not be unlinked from the work
 * directory, counts as a link until the next start (overlay/links.h).
 */
static void tell_counted(const struct trial *trial, struct place *place,
                         nfsstat3 status, char now[PLACE_TEXT])
{
	place_tell(place, now);
	if (status != NFS3_OK || !(fault_struck_kinds() & FAULT_GONE) ||
	    strcmp(now, trial->after) == 0)
		return;
	*place = place_after_restart(place);
	place_tell(place, now);
}

/* What is cut, and cannot be made longer again, stays so. */
static bool may_be_cut(const struct trial *trial)
{
	return trial->operation->cuts && trial->fault->lasting;
}

static void judge_place(const struct trial *trial, struct place *place,
                        nfsstat3 status)
{
	char now[PLACE_TEXT];
	bool done;

	tell_counted(trial, place, status, now);
	done = strcmp(now, trial->after) == 0;
	if (status == NFS3_OK)
		assert_as_after(trial, now);
	else if (!done && !may_be_cut(trial))
		place_assert_as_before(place, trial->what);
	assert_next_call_works(trial, place, done);
}

/* What cannot be cleaned up stays until the next start. */
static void judge_rubbish(const struct trial *trial, nfsstat3 status,
                          unsigned before)
{
	unsigned struck = fault_struck_kinds();

	if (trial->fault->lasting && (struck & CLEANING))
		return;
	if (status == NFS3_OK && (struck & CLEANING))
		return;
	ck_assert_msg(place_rubbish() == before, "%s: rubbish", trial->what);
}

/* ---- trying ---------------------------------------------------------------- */

/* Let the `nth` call fail. False: there are not so many. */
static bool try(struct trial *trial, unsigned nth)
{
	const struct fault_kind *fault = trial->fault;
	struct place place = prepare(trial);
	unsigned rubbish = place_rubbish(), struck;
	nfsstat3 status;

	snprintf(trial->what, sizeof(trial->what), "%s, %s of call %u%s",
	         trial->operation->name, strerrorname_np(fault->error), nth,
	         fault->lasting ? " and all after" : "");
	fault_arm(fault->kinds, nth, fault->error, fault->lasting);
	status = trial->operation->call(&place);
	struck = fault_disarm();
	ck_assert_msg(status == NFS3_OK ||
	                      (struck > 0 && status == fault->status),
	              "%s: status %d", trial->what, status);
	judge_rubbish(trial, status, rubbish);
	judge_place(trial, &place, status);
	return struck > 0;
}

static void learn(struct trial *trial)
{
	struct place place = prepare(trial);

	ck_assert_int_eq(trial->operation->call(&place), NFS3_OK);
	place_tell(&place, trial->after);
}

/* Whether this is in the sample: one of `n` is; of what is on a disk, fewer. */
static bool is_chosen(uint64_t *random, unsigned n)
{
	if (!in_memory)
		n *= 2;
	return stride < SAMPLE_STRIDE || test_random(random) % n == 0;
}

static void sweep(struct trial *trial, uint64_t *random)
{
	unsigned nth = 1;

	if (stride > 1)
		nth = 1 + (unsigned)(test_random(random) % (unsigned)stride);
	while (try(trial, nth))
		nth += stride == 1 ? 1
		                   : 1 + (unsigned)(test_random(random) %
		                                    (2 * (unsigned)stride));
}

START_TEST(each_call_fails_in_turn)
{
	const struct format *format = &formats[_i / PLACE_LAYOUTS / TREATMENTS];
	uint64_t random = seed + (uint64_t)_i;
	struct trial trial = {
		.treatment = treatments[_i / PLACE_LAYOUTS % TREATMENTS],
	};

	fault_refuse_whiteouts(format->no_devices);
	places_begin_as(_i % PLACE_LAYOUTS, format->options, in_memory);
	for (int i = 0; operation_changers[i].name != NULL; i++) {
		trial.operation = &operation_changers[i];
		if (!is_chosen(&random, 6))
			continue;
		learn(&trial);
		for (size_t f = 0; f < FAULTS; f++) {
			trial.fault = &faults[f];
			if (is_chosen(&random, 3))
				sweep(&trial, &random);
		}
	}
	places_assert_all_lasts();
	places_end();
}
END_TEST

/* Those kinds of places, from the first on. What main returns. */
static int run_kinds(int first, int end, int step)
{
	Suite *suite = suite_create("each fault");
	TCase *tcase = tcase_create("each fault");

	tcase_set_timeout(tcase, 3600);
	for (int i = first; i < end; i += step)
		tcase_add_loop_test(tcase, each_call_fails_in_turn, i, i + 1);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}

/*
 * On one processor, the nth from here: client and server take turns, and to wake up
 * on another takes as long as a call.
 */
static void stay_on(int nth)
{
	cpu_set_t set, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	nth = (nth + sched_getcpu()) % CPU_COUNT(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set) || nth-- > 0)
			continue;
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* So many at a time: all of them take the better part of an hour. */
static int run_all_kinds(int first, int end, int processes)
{
	int result = EXIT_SUCCESS, status;

	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			stay_on(i);
			return run_kinds(first + i, end, processes);
		}
		if (pid < 0)
			return EXIT_FAILURE;
	}
	while (wait(&status) > 0)
		if (status != 0)
			result = EXIT_FAILURE;
	return result;
}

int main(void)
{
	int first = geteuid() == 0 ? 0 : KINDS / FORMATS, end = KINDS;
	const char *kind = getenv("FAULT_KIND");

	seed = test_seed();
	in_memory = fixture_can_mount();
	stride = test_rounds("FAULT_STRIDE", SAMPLE_STRIDE,
	                     in_memory ? WHOLE_STRIDE : LONG_STRIDE);
	if (kind)
		return run_kinds(atoi(kind), atoi(kind) + 1, 1);
	return run_all_kinds(
		first, end,
		getenv("TEST_FULL") ? (int)sysconf(_SC_NPROCESSORS_ONLN) : 1);
}
