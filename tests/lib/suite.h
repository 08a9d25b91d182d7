/*
 * The end of a suite's main: run it, each case in a process of its own unless
 * libcheck's environment says otherwise.
 */
#ifndef VENEER_TESTS_LIB_SUITE_H
#define VENEER_TESTS_LIB_SUITE_H

#include <check.h>
#include <stdlib.h>

/* The suite goes. What main returns. */
static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
