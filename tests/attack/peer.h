/*
 * A well-behaved client: a connection of its own, on which it makes one call at a
 * time, GETATTR, LOOKUP and READ in turn, with a short rest in between. As any
 * client of NFS it comes again where its connection was closed, or where it was
 * told to: that is part of how long a call took. A call that fails fails the test.
 *
 * Life cycle: peer_new, then peer_begin and peer_end in turn, peer_free. The calls
 * are made in a thread between those two.
 */
#ifndef VENEER_TESTS_ATTACK_PEER_H
#define VENEER_TESTS_ATTACK_PEER_H

#include <stddef.h>

#include "tests/lib/daemon.h"

/* Of the calls that were made, in milliseconds. */
struct peer_times {
	size_t calls;
	double median, p99, worst;
	unsigned reconnected; /* times */
};

struct peer;

/* Its file is made in the lower layer, before the server starts. */
void peer_make_file(const struct daemon *daemon);

/* One of a server that runs, which must outlive it. */
struct peer *peer_new(const struct daemon *daemon);
void peer_free(struct peer *peer); /* NULL is fine */

void peer_begin(struct peer *peer);
struct peer_times peer_end(struct peer *peer);

#endif
