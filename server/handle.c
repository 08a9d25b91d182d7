#include "config.h"

#include "server/handle.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

#define HANDLE_VERSION UINT64_C(1)
#define ID_BITS 56
#define ID_MASK ((UINT64_C(1) << ID_BITS) - 1)

struct wire {
	uint64_t version_export; /* version in the top byte */
	uint64_t fileid;
	uint64_t generation;
	unsigned char mac[crypto_shorthash_BYTES];
};

_Static_assert(sizeof(struct wire) == NFSD_HANDLE_BYTES, "no padding");
_Static_assert(OVL_KEY_BYTES == crypto_shorthash_KEYBYTES, "the MAC's key");

static void sign(const struct nfsd_export *export, const struct wire *wire,
                 unsigned char mac[crypto_shorthash_BYTES])
{
	crypto_shorthash(mac, (const unsigned char *)wire,
	                 offsetof(struct wire, mac), export->handle_key);
}

void nfsd_handle_encode(const struct nfsd_export *export, struct ovl_id id,
                        unsigned char handle[NFSD_HANDLE_BYTES])
{
	struct wire wire = {
		.version_export =
			htobe64(HANDLE_VERSION << ID_BITS | export->id),
		.fileid = htobe64(id.fileid),
		.generation = htobe64(id.generation),
	};

	sign(export, &wire, wire.mac);
	memcpy(handle, &wire, sizeof(wire));
}

int nfsd_handle_decode(const struct nfsd_exports *exports, const void *handle,
                       size_t len, const struct nfsd_export **export,
                       struct ovl_id *id)
{
	unsigned char mac[crypto_shorthash_BYTES];
	const struct nfsd_export *found;
	struct wire wire;
	uint64_t head;

	if (len != sizeof(wire))
		return -EBADFD;
	memcpy(&wire, handle, sizeof(wire));
	head = be64toh(wire.version_export);
	if (head >> ID_BITS != HANDLE_VERSION)
		return -EBADFD;
	found = nfsd_exports_by_id(exports, head & ID_MASK);
	if (found == NULL)
		return nfsd_exports_why_not(exports, head & ID_MASK);
	sign(found, &wire, mac);
	if (sodium_memcmp(mac, wire.mac, sizeof(mac)) != 0)
		return -EBADFD;
	*export = found;
	id->fileid = be64toh(wire.fileid);
	id->generation = be64toh(wire.generation);
	return 0;
}
