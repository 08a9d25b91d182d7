/*
 * Memory: what a cache holds, for its bound, and what is to stand at its own place.
 */
#ifndef VENEER_OVERLAY_HEAP_H
#define VENEER_OVERLAY_HEAP_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * What malloc really takes for `size` bytes, by jemalloc's classes: multiples of 16
 * up to 128, then four to each doubling. With glibc's it is about as much.
 */
static inline size_t ovl_heap_bytes(size_t size)
{
	size_t step = 16;

	while (size > 8 * step)
		step *= 2;
	return (size + step - 1) & ~(step - 1);
}

/* As calloc(3), of one struct that has this alignment. */
static inline void *ovl_heap_aligned(size_t alignment, size_t size)
{
	void *bytes = aligned_alloc(alignment, size);

	return bytes ? memset(bytes, 0, size) : NULL;
}

#endif
