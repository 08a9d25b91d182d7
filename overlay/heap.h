/*
 * What memory a cache holds, for its bound.
 */
#ifndef VENEER_OVERLAY_HEAP_H
#define VENEER_OVERLAY_HEAP_H

#include <stddef.h>

/* What glibc's malloc really takes for `size` bytes, its own word included. */
static inline size_t ovl_heap_bytes(size_t size)
{
	return (size + sizeof(size_t) + 15) & ~(size_t)15;
}

#endif
