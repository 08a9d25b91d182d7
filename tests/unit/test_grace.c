/*
 * What is replaced while calls have it: a call has the same from its beginning to its
 * end, and what was replaced goes only then.
 */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "server/grace.h"
#include "tests/lib/suite.h"

#define THREADS 4
#define ROUNDS 300

/* What is in force: memory that is freed when it is not any more. */
static int *_Atomic current;
static struct nfsd_grace grace;
static atomic_bool over;
static atomic_ulong calls;

static int *new_thing(int value)
{
	int *thing = malloc(sizeof(*thing));

	ck_assert_ptr_nonnull(thing);
	*thing = value;
	return thing;
}

static void setup(void)
{
	nfsd_grace_init(&grace);
	atomic_store(&current, new_thing(0));
	atomic_store(&over, false);
}

static void teardown(void)
{
	free(atomic_load(&current));
}

/* A freed one would not have kept its value; sanitizers see it for certain. */
static void *call(void *arg)
{
	unsigned entry;
	int *thing, value;

	(void)arg;
	while (!atomic_load(&over)) {
		entry = nfsd_grace_enter(&grace);
		thing = atomic_load(&current);
		value = *thing;
		sched_yield();
		if (*thing != value)
			abort();
		nfsd_grace_leave(&grace, entry);
		atomic_fetch_add(&calls, 1);
	}
	return NULL;
}

START_TEST(nothing_goes_while_a_call_has_it)
{
	pthread_t threads[THREADS];
	int *old;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, call, NULL),
		                 0);
	while (atomic_load(&calls) == 0)
		sched_yield();
	for (int i = 1; i <= ROUNDS; i++) {
		old = atomic_exchange(&current, new_thing(i));
		nfsd_grace_begin(&grace);
		while (!nfsd_grace_has_passed(&grace))
			sched_yield();
		*old = -1;
		free(old);
	}
	atomic_store(&over, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(whoever_is_inside_is_waited_for_and_nobody_else)
{
	unsigned first = nfsd_grace_enter(&grace), later;

	nfsd_grace_begin(&grace);
	ck_assert(!nfsd_grace_has_passed(&grace));
	later = nfsd_grace_enter(&grace);
	ck_assert(!nfsd_grace_has_passed(&grace));
	nfsd_grace_leave(&grace, later);
	ck_assert(!nfsd_grace_has_passed(&grace));
	nfsd_grace_leave(&grace, first);
	ck_assert(nfsd_grace_has_passed(&grace));
	/* And again, in the other phases. */
	for (int i = 0; i < 3; i++) {
		first = nfsd_grace_enter(&grace);
		nfsd_grace_begin(&grace);
		ck_assert(!nfsd_grace_has_passed(&grace));
		nfsd_grace_leave(&grace, first);
		ck_assert(nfsd_grace_has_passed(&grace));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("grace");
	TCase *tcase = tcase_create("grace");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, nothing_goes_while_a_call_has_it);
	tcase_add_test(tcase, whoever_is_inside_is_waited_for_and_nobody_else);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
