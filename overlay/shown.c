#include "config.h"

#include "overlay/shown.h"

#include "overlay/spread.h"

static unsigned slot_of(uint64_t fileid)
{
	return (unsigned)(ovl_spread(fileid) >> (64 - OVL_SHOWN_BITS));
}

void ovl_shown_init(struct ovl_shown *shown, const _Atomic uint64_t *below)
{
	shown->below = below;
	atomic_init(&shown->changes, 0);
	for (unsigned i = 0; i < 1u << OVL_SHOWN_BITS; i++) {
		atomic_init(&shown->known[i].fileid, 0);
		atomic_init(&shown->known[i].at, 0);
	}
	pthread_mutex_init(&shown->lock, NULL);
}

uint64_t ovl_shown_changes(const struct ovl_shown *shown)
{
	/* Each only grows: so does their sum. */
	return atomic_load(&shown->changes) + atomic_load(shown->below);
}

/*
 * Looked at in the order against that of ovl_shown_add: what stands there together
 * with the present number of changes was put there since the last one.
 */
bool ovl_shown_has(const struct ovl_shown *shown, uint64_t fileid)
{
	const unsigned slot = slot_of(fileid);
	const uint64_t at = atomic_load(&shown->known[slot].at);

	return atomic_load(&shown->known[slot].fileid) == fileid &&
	       at == ovl_shown_changes(shown);
}

void ovl_shown_add(struct ovl_shown *shown, uint64_t changes, uint64_t fileid)
{
	const unsigned slot = slot_of(fileid);

	/* It is not worth waiting for. */
	if (pthread_mutex_trylock(&shown->lock))
		return;
	if (changes == ovl_shown_changes(shown)) {
		atomic_store(&shown->known[slot].fileid, fileid);
		atomic_store(&shown->known[slot].at, changes);
	}
	pthread_mutex_unlock(&shown->lock);
}

void ovl_shown_forget(struct ovl_shown *shown)
{
	atomic_fetch_add(&shown->changes, 1);
}
