#include "config.h"

#include "server/grace.h"

/*
 * Whoever enters counts himself in the phase that he sees, and only then looks at
 * what is in force. He may be held up between the two, by when the phase has changed:
 * so both phases have to be seen empty, one after the other, each while newcomers
 * count themselves in the other one.
 */
#define ROUNDS 2

void nfsd_grace_init(struct nfsd_grace *grace)
{
	for (unsigned i = 0; i < NFSD_GRACE_SLOTS; i++)
		for (unsigned k = 0; k < 2; k++)
			atomic_init(&grace->slots[i].inside[k], 0);
	atomic_init(&grace->phase, 0);
	grace->rounds = 0;
}

static unsigned slot_of_thread(void)
{
	static atomic_uint threads;
	static _Thread_local unsigned mine; /* from 1 */

	if (mine == 0)
		mine = atomic_fetch_add(&threads, 1) % NFSD_GRACE_SLOTS + 1;
	return mine - 1;
}

unsigned nfsd_grace_enter(struct nfsd_grace *grace)
{
	const unsigned slot = slot_of_thread();
	const unsigned phase = atomic_load(&grace->phase);

	atomic_fetch_add(&grace->slots[slot].inside[phase], 1);
	return slot << 1 | phase;
}

void nfsd_grace_leave(struct nfsd_grace *grace, unsigned entry)
{
	atomic_fetch_sub(&grace->slots[entry >> 1].inside[entry & 1], 1);
}

void nfsd_grace_begin(struct nfsd_grace *grace)
{
	atomic_fetch_xor(&grace->phase, 1);
	grace->rounds = ROUNDS;
}

static bool is_empty(struct nfsd_grace *grace, unsigned phase)
{
	for (unsigned i = 0; i < NFSD_GRACE_SLOTS; i++)
		if (atomic_load(&grace->slots[i].inside[phase]) != 0)
			return false;
	return true;
}

bool nfsd_grace_has_passed(struct nfsd_grace *grace)
{
	while (grace->rounds > 0) {
		if (!is_empty(grace, atomic_load(&grace->phase) ^ 1))
			return false;
		if (--grace->rounds > 0)
			atomic_fetch_xor(&grace->phase, 1);
	}
	return true;
}
