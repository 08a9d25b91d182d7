/*
 * Random numbers for tests: a seed that is printed, so that a failure can be
 * run again with TEST_SEED=NUMBER in the environment.
 */
#ifndef VENEER_TESTS_UNIT_SEED_H
#define VENEER_TESTS_UNIT_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t test_seed(void)
{
	const char *given = getenv("TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (given)
		seed = strtoull(given, NULL, 0);
	printf("TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/*
 * How long a loop is: a sample, or the whole of it where TEST_FULL says so, or
 * what `variable` of the environment says.
 */
static inline int test_rounds(const char *variable, int sample, int whole)
{
	const char *given = getenv(variable);

	if (given)
		return atoi(given);
	return getenv("TEST_FULL") ? whole : sample;
}

/* The next number of a sequence (SplitMix64); `state` starts as the seed. */
static inline uint64_t test_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#endif
