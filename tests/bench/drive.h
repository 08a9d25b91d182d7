/*
 * The driver: sends calls over connections, so many at a time, takes the replies,
 * and measures. It costs far less than a server: replies are read many at a time,
 * and of a long one only the beginning is looked at.
 */
#ifndef VENEER_TESTS_BENCH_DRIVE_H
#define VENEER_TESTS_BENCH_DRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/calls.h"

struct target {
	uint16_t nfs_port, mount_port; /* on 127.0.0.1 */
	pid_t pid;                     /* the server's process; 0: not known */
	unsigned connections;
	unsigned idle;  /* further ones, on which nothing happens */
	unsigned depth; /* calls in flight on each */
};

/* Latencies by powers of two: [i] counts those below 2 to the i microseconds. */
#define LATENCIES 32

struct figures {
	double cpu, wall;   /* microseconds a call */
	double median, p99; /* latency, microseconds */
	size_t latencies[LATENCIES];
};

/* What has been used so far, in microseconds: by the server, and by the clock. */
double drive_cpu(pid_t pid);
double drive_clock(void);

/* A connection to that port; the program ends where there is none. */
int drive_connect(uint16_t port);

/* From now on they come from this address of this machine. Borrowed. */
void drive_call_from(const char *address);

/*
 * Do them all; connection k does those whose number is k modulo the number of
 * connections, in order. The program ends where one fails: `has_status` says that
 * results begin with an nfsstat3, which is to be NFS3_OK.
 */
struct figures drive(const struct target *target, const struct calls *calls,
                     bool has_status);

/* One call, the last of `calls`, on this connection: the length of its results,
 * which are in `results`. The program ends where it is refused. */
size_t drive_one(int fd, const struct calls *calls, void *results, size_t room);

#endif
