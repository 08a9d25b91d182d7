/*
 * How much memory there may be, and who gets what of it: the one place where
 * --max-memory is divided.
 */
#ifndef VENEER_SERVER_MEMORY_H
#define VENEER_SERVER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* The least that --max-memory can be. */
#define NFSD_MIN_MEMORY (16u << 20)

struct nfsd_memory {
	size_t cache;   /* of what is known of layers */
	size_t buffers; /* of calls and replies */
	size_t replies; /* that are kept for calls that come again */
};

/*
 * Where no option says: a quarter of the machine's memory, but 64 MiB, and 16
 * MiB for each event loop, at least. `threads` is as the option, 0: one a CPU.
 */
uint64_t nfsd_memory_default(unsigned threads);

struct nfsd_memory nfsd_memory_divide(uint64_t total);

#endif
