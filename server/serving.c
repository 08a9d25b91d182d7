#include "config.h"

#include "server/serving.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/grace.h"

struct nfsd_serving {
	struct nfsd_grace grace;
	struct nfsd_exports *_Atomic exports;
	struct nfsd_exports *old; /* some calls may have them still; or NULL */
};

struct nfsd_serving *nfsd_serving_new(struct nfsd_exports *exports)
{
	struct nfsd_serving *serving;

	serving =
		aligned_alloc(_Alignof(struct nfsd_serving), sizeof(*serving));
	if (serving == NULL)
		return NULL;
	memset(serving, 0, sizeof(*serving));
	nfsd_grace_init(&serving->grace);
	atomic_init(&serving->exports, exports);
	return serving;
}

void nfsd_serving_free(struct nfsd_serving *serving)
{
	if (serving == NULL)
		return;
	nfsd_exports_free(serving->old);
	nfsd_exports_free(atomic_load(&serving->exports));
	free(serving);
}

const struct nfsd_exports *nfsd_serving_begin(struct nfsd_serving *serving,
                                              unsigned *entry)
{
	*entry = nfsd_grace_enter(&serving->grace);
	return atomic_load(&serving->exports);
}

void nfsd_serving_end(struct nfsd_serving *serving, unsigned entry)
{
	nfsd_grace_leave(&serving->grace, entry);
}

struct nfsd_exports *nfsd_serving_exports(struct nfsd_serving *serving)
{
	return atomic_load(&serving->exports);
}

struct nfsd_exports *nfsd_serving_old(struct nfsd_serving *serving)
{
	return serving->old;
}

void nfsd_serving_replace(struct nfsd_serving *serving,
                          struct nfsd_exports *exports)
{
	assert(serving->old == NULL);
	serving->old = atomic_exchange(&serving->exports, exports);
	nfsd_grace_begin(&serving->grace);
}

bool nfsd_serving_tidy(struct nfsd_serving *serving)
{
	if (serving->old == NULL)
		return true;
	if (!nfsd_grace_has_passed(&serving->grace))
		return false;
	nfsd_exports_free(serving->old);
	serving->old = NULL;
	return true;
}
