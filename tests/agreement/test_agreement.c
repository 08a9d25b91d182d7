/*
 * The kernel's overlayfs is the judge: the same random steps on two like
 * overlays, one mounted by the kernel and one served by veneerd to libnfs, have
 * the same results and leave trees that look the same; each shows the layers
 * that the other wrote as the other does; and lower layers are never changed:
 * not a byte, not a time, not an attribute.
 *
 * In the environment:
 *   TEST_SEED=NUMBER         of the first sequence; the next has the next
 *   AGREEMENT_RUNS=N         so many sequences
 *   AGREEMENT_STEPS=N        so many steps in each
 *   AGREEMENT_VERBOSE=1      a line for each step
 *   AGREEMENT_KEPT=N,N,...   of the steps, these alone: what a failure prints
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/agreement/sequence.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#ifdef WITH_SANITIZERS
#define SAMPLE_RUNS 20
#else
#define SAMPLE_RUNS 60
#endif
#define ALL_RUNS 2000
#define SAMPLE_STEPS 60
#define MAX_JOBS 16
/* Shrinking ends when it has taken so long. */
#define SHRINKING_S 120

static uint64_t seed;
static char dir[256]; /* to be mounted on */

static int number_of(const char *variable, int otherwise)
{
	const char *given = getenv(variable);

	return given ? atoi(given) : otherwise;
}

/* ---- making a failure small ------------------------------------------------ */

static bool agrees(const struct sequence *sequence, char **report)
{
	struct running running = sequence_start(sequence, dir);
	int status;

	ck_assert_int_eq(waitpid(running.pid, &status, 0), running.pid);
	return sequence_end(&running, status, report);
}

static bool still_fails(const struct sequence *sequence)
{
	char *report;
	bool agreed = agrees(sequence, &report);

	free(report);
	return !agreed;
}

static bool any_kept(const bool *kept, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (kept[i])
			return true;
	return false;
}

/* Leave out what it fails without: half of the steps, a quarter, ... one. */
static void shrink(struct sequence *sequence, bool *kept)
{
	const time_t end = time(NULL) + SHRINKING_S;
	unsigned steps = sequence->steps;
	bool before[MAX_STEPS];

	for (unsigned size = steps; size > 0; size /= 2) {
		for (unsigned i = 0; i < steps && time(NULL) < end; i += size) {
			unsigned to = i + size < steps ? i + size : steps;

			if (!any_kept(kept, i, to))
				continue;
			memcpy(before, kept, sizeof(before));
			memset(kept + i, 0, to - i);
			if (!still_fails(sequence))
				memcpy(kept, before, sizeof(before));
		}
	}
}

static void read_kept(bool kept[MAX_STEPS])
{
	const char *text = getenv("AGREEMENT_KEPT");
	char *end;

	memset(kept, !text, MAX_STEPS);
	while (text && *text) {
		unsigned long i = strtoul(text, &end, 10);

		ck_assert(end != text && i < MAX_STEPS);
		kept[i] = true;
		text = *end == ',' ? end + 1 : end;
	}
}

/* What failed, as small as it gets, and how to see it again. */
static void tell_failure(struct sequence sequence, const char *first)
{
	bool kept[MAX_STEPS];
	const char *comma = "";
	char *report;

	printf("sequence %llu%s:\n%s", (unsigned long long)sequence.seed,
	       sequence.user ? " of an ordinary user" : "", first);
	fflush(stdout);
	read_kept(kept);
	sequence.kept = kept;
	/* A difference is seen where it begins, if it then still begins. */
	sequence.careful = true;
	sequence.careful = still_fails(&sequence);
	shrink(&sequence, kept);
	sequence.verbose = true;
	agrees(&sequence, &report);
	printf("what is left of it:\n%s", report);
	free(report);
	printf("again: TEST_SEED=%llu AGREEMENT_RUNS=1 AGREEMENT_STEPS=%u "
	       "AGREEMENT_KEPT=",
	       (unsigned long long)sequence.seed, sequence.steps);
	for (unsigned i = 0; i < sequence.steps; i++)
		if (kept[i]) {
			printf("%s%u", comma, i);
			comma = ",";
		}
	printf(" CK_RUN_CASE=%s\n", sequence.user ? "user" : "root");
	fflush(stdout);
}

/* ---- many sequences -------------------------------------------------------- */

struct job {
	struct sequence sequence;
	struct running running;
};

/* Wait for any; whether it agreed. */
static bool end_one(struct job *jobs, unsigned n)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);
	struct job *job = jobs;
	char *report;
	bool agreed;

	while (job < jobs + n && job->running.pid != pid)
		job++;
	ck_assert(job < jobs + n);
	job->running.pid = 0;
	agreed = sequence_end(&job->running, status, &report);
	if (!agreed)
		tell_failure(job->sequence, report);
	else
		fputs(report, stdout);
	free(report);
	return agreed;
}

static void start_one(struct job *jobs, const struct sequence *sequence)
{
	while (jobs->running.pid != 0)
		jobs++;
	jobs->sequence = *sequence;
	jobs->running = sequence_start(&jobs->sequence, dir);
}

/* So many at a time as there are processors. */
static void run_all(bool user, unsigned runs)
{
	struct job jobs[MAX_JOBS] = { 0 };
	long njobs = sysconf(_SC_NPROCESSORS_ONLN);
	static bool kept[MAX_STEPS];
	struct sequence sequence = {
		.seed = seed,
		.user = user,
		.steps = number_of("AGREEMENT_STEPS", SAMPLE_STEPS),
		.kept = kept,
		.verbose = number_of("AGREEMENT_VERBOSE", 0),
		.careful = number_of("AGREEMENT_VERBOSE", 0),
	};
	unsigned running = 0, failed = 0;

	read_kept(kept);
	ck_assert_uint_le(sequence.steps, MAX_STEPS);
	njobs = njobs < MAX_JOBS ? njobs : MAX_JOBS;
	while (running > 0 || (runs > 0 && !failed)) {
		if (running == njobs || runs == 0 || failed) {
			failed += !end_one(jobs, njobs);
			running--;
			continue;
		}
		start_one(jobs, &sequence);
		running++;
		runs--;
		sequence.seed++;
	}
	ck_assert_msg(!failed, "%u sequences failed: see above", failed);
}

START_TEST(kernel_and_veneer_agree)
{
	if (!sequence_is_possible(false, dir)) {
		printf("%s: skipped: no overlay can be mounted here\n",
		       __func__);
		return;
	}
	run_all(false, test_rounds("AGREEMENT_RUNS", SAMPLE_RUNS, ALL_RUNS));
}
END_TEST

START_TEST(kernel_and_veneer_agree_as_an_ordinary_user)
{
	if (!sequence_is_possible(true, dir)) {
		printf("%s: skipped: no user may mount an overlay, or run veneerd\n",
		       __func__);
		return;
	}
	run_all(true,
	        test_rounds("AGREEMENT_RUNS", SAMPLE_RUNS / 4, ALL_RUNS / 4));
}
END_TEST

/* ---- the suite ------------------------------------------------------------- */

static void setup(void)
{
	scratch_make(dir, sizeof(dir), "agreement");
	ck_assert_int_eq(chmod(dir, 0755), 0);
}

static void teardown(void)
{
	rmdir(dir);
}

static TCase *case_of(const char *name, const TTest *test)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 3600);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("agreement");

	seed = test_seed();
	suite_add_tcase(suite, case_of("root", kernel_and_veneer_agree));
	suite_add_tcase(suite,
	                case_of("user",
	                        kernel_and_veneer_agree_as_an_ordinary_user));
	return suite_run(suite);
}
