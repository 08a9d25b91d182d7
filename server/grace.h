/*
 * What calls look at may be replaced while they do: a call enters, takes what is in
 * force, and leaves; who has replaced it waits until all calls have left that may
 * have taken the old one. To enter costs a few nanoseconds, and no two threads meet
 * there, as long as they are few.
 *
 * Any thread may enter; one at a time replaces.
 */
#ifndef VENEER_SERVER_GRACE_H
#define VENEER_SERVER_GRACE_H

#include <stdatomic.h>
#include <stdbool.h>

/* Threads take turns at them; a power of two. */
#define NFSD_GRACE_SLOTS 32

struct nfsd_grace {
	struct nfsd_grace_slot {
		/* Calls that entered in an even phase, and in an odd one. */
		atomic_uint inside[2];
	} __attribute__((aligned(64))) slots[NFSD_GRACE_SLOTS];
	atomic_uint phase;
	unsigned rounds; /* that are still to pass */
};

void nfsd_grace_init(struct nfsd_grace *grace);

/* What it returns is for nfsd_grace_leave, by whatever thread. */
unsigned nfsd_grace_enter(struct nfsd_grace *grace);
void nfsd_grace_leave(struct nfsd_grace *grace, unsigned entry);

/* Nobody who enters from now on can find the old any more. */
void nfsd_grace_begin(struct nfsd_grace *grace);

/* Whether all have left who entered before that. To be asked again until it is so. */
bool nfsd_grace_has_passed(struct nfsd_grace *grace);

#endif
