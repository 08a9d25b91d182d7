/*
 * Memory: what a cache holds, for its bound, and what is to stand at its own place.
 */
#ifndef VENEER_OVERLAY_HEAP_H
#define VENEER_OVERLAY_HEAP_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What glibc's malloc really takes for `size` bytes, its own word included. */
static inline size_t ovl_heap_bytes(size_t size)
{
	return (size + sizeof(size_t) + 15) & ~(size_t)15;
}

/* As calloc(3), of one struct that has this alignment. */
static inline void *ovl_heap_aligned(size_t alignment, size_t size)
{
	void *bytes = aligned_alloc(alignment, size);

	return bytes ? memset(bytes, 0, size) : NULL;
}

#endif
