/*
 * Calls, encoded before the clock runs: a list of records as RFC 5531 has them on
 * a stream. What a call ends with may be data that many have in common (WRITE);
 * it is kept once.
 *
 * Life cycle: zeroed, calls_begin and calls_end in turn with what comes between,
 * calls_release. Without memory the program ends.
 */
#ifndef VENEER_TESTS_BENCH_CALLS_H
#define VENEER_TESTS_BENCH_CALLS_H

#include <stddef.h>
#include <stdint.h>

#define CALLS_DATA (1 << 20) /* the most that a call can end with */

#define NFS 100003
#define MOUNT 100005

enum proc {
	PROC_NULL = 0,
	PROC_GETATTR = 1,
	PROC_SETATTR = 2,
	PROC_LOOKUP = 3,
	PROC_ACCESS = 4,
	PROC_READ = 6,
	PROC_WRITE = 7,
	PROC_CREATE = 8,
	PROC_MKDIR = 9,
	PROC_REMOVE = 12,
	PROC_READDIRPLUS = 17,
};

struct handle {
	uint32_t len;
	unsigned char bytes[64];
};

struct call {
	size_t at; /* in the bytes */
	uint32_t len;
	uint32_t data; /* that follow, of the common data */
};

struct calls {
	unsigned char *bytes;
	size_t len, room;
	struct call *call;
	size_t n, ncall;
};

/* A call of that procedure, by root (AUTH_SYS); the xid is its number. */
void calls_begin(struct calls *calls, uint32_t prog, uint32_t proc);
void calls_put(struct calls *calls, uint32_t word);
void calls_put64(struct calls *calls, uint64_t number);
void calls_put_opaque(struct calls *calls, const void *bytes, uint32_t len);
void calls_put_handle(struct calls *calls, const struct handle *handle);
void calls_put_name(struct calls *calls, const char *name);
/* As an opaque, of the common data; `len` is a multiple of four. */
void calls_put_data(struct calls *calls, uint32_t len);
void calls_end(struct calls *calls);

/* What data is: the same for all. */
const unsigned char *calls_data(void);

void calls_release(struct calls *calls);

#endif
