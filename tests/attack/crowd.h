/*
 * What attackers have: many connections, none of which waits for anything, from an
 * address of their own; and calls as bytes, to be sent whole or in part.
 */
#ifndef VENEER_TESTS_ATTACK_CROWD_H
#define VENEER_TESTS_ATTACK_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/nfs3_prot.h"
#include "tests/lib/daemon.h"

/* A crowd of connections, of which -1 is none. */
struct crowd {
	const struct daemon *daemon;
	int receive_buffer; /* of each, in bytes; 0: as the system has it */
	unsigned n;
	struct crowd_member {
		int fd;
		size_t sent; /* bytes, for who counts them */
	} * members;
};

/* Nobody is connected yet. */
void crowd_init(struct crowd *crowd, const struct daemon *daemon, unsigned n);
void crowd_release(struct crowd *crowd);

/*
 * Connect him, if he is not, or no longer: closed by the server, he comes again.
 * False: he cannot, for now.
 */
bool crowd_connect(struct crowd *crowd, unsigned i);

/*
 * Send some of the `len` bytes, over and over from the first, as much as is taken
 * but `most`. How many were; a connection that is closed is none from then on.
 */
size_t crowd_send(struct crowd *crowd, unsigned i, const void *bytes,
                  size_t len, size_t most);

/* Take what has come, which is not looked at: how many bytes. */
size_t crowd_receive(struct crowd *crowd, unsigned i);

/*
 * How many connections a crowd can have: `wanted`, or what the limit on
 * descriptors, raised as far as it goes, leaves.
 */
unsigned crowd_limit(unsigned wanted);

/* ---- calls ----------------------------------------------------------------- */

/* A call of NFS with these arguments, as root: a record, to be freed. */
unsigned char *crowd_record(uint32_t proc, const void *args, size_t *len);

#endif
