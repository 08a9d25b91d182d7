/*
 * Fibonacci hashing, for numbers that are dense, or stand at regular distances.
 */
#ifndef VENEER_OVERLAY_SPREAD_H
#define VENEER_OVERLAY_SPREAD_H

#include <stdint.h>

/* The upper bits of the result are the good ones. */
static inline uint64_t ovl_spread(uint64_t number)
{
	number ^= number >> 32;
	return number * UINT64_C(0x9e3779b97f4a7c15);
}

#endif
