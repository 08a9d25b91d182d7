#include "config.h"

#include "server/memory.h"

#include <unistd.h>

#define LEAST ((uint64_t)64 << 20)
#define LEAST_A_LOOP ((uint64_t)16 << 20)

/* What sysconf(3) does not know is none. */
static uint64_t ask_system(int name)
{
	long n = sysconf(name);

	return n > 0 ? (uint64_t)n : 0;
}

uint64_t nfsd_memory_default(unsigned threads)
{
	uint64_t loops =
		threads != 0 ? threads : ask_system(_SC_NPROCESSORS_CONF);
	uint64_t total =
		ask_system(_SC_PHYS_PAGES) * ask_system(_SC_PAGESIZE) / 4;

	if (total < LEAST)
		total = LEAST;
	if (total < loops * LEAST_A_LOOP)
		total = loops * LEAST_A_LOOP;
	return total;
}

struct nfsd_memory nfsd_memory_divide(uint64_t total)
{
	struct nfsd_memory memory = { .buffers = (size_t)(total / 4),
		                      .replies = (size_t)(total / 64) };

	memory.cache = (size_t)total - memory.buffers - memory.replies;
	return memory;
}
