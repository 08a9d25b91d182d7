/*
 * The handle decoder: of all that has 64 bytes or fewer, it takes what the
 * server gave out, and nothing else.
 *
 * An input: bytes as they are; or a handle of either export, with some of its
 * bytes changed and its length.
 */
#include "config.h"

#include <errno.h>
#include <sodium.h>

#include "server/handle.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/everybody.h"
#include "tests/unit/fake_ovl.h"

#define MAX_HANDLE 64

static struct ovl one = { .id = 0x11223344556677, .key = "0123456789abcde" };
static struct ovl two = { .id = 0x11223344556678, .key = "edcba9876543210" };
static struct nfsd_exports *exports;

static void free_exports(void)
{
	nfsd_exports_free(exports);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct nfsd_access access = { 0 };

	(void)argc;
	(void)argv;
	FUZZ_MUST(sodium_init() >= 0);
	exports = nfsd_exports_new(NULL, NULL);
	FUZZ_MUST(exports != NULL);
	FUZZ_MUST(add_for_everybody(exports, "/one", &one, &access) == 0);
	FUZZ_MUST(add_for_everybody(exports, "/two", &two, &access) == 0);
	return atexit(free_exports);
}

/* A handle with some of it changed: how many bytes, of MAX_HANDLE. */
static size_t make_handle(struct fuzz_input *in, unsigned char *handle)
{
	const struct nfsd_export *export =
		nfsd_exports_get(exports, fuzz_choose(in, 2));
	struct ovl_id id;
	size_t len;

	id.fileid = fuzz_long(in);
	id.generation = fuzz_long(in);
	nfsd_handle_encode(export, id, handle);
	len = fuzz_choose(in, 2) ? fuzz_choose(in, MAX_HANDLE + 1)
	                         : NFSD_HANDLE_BYTES;
	while (fuzz_left(in) >= 2) {
		const size_t at = fuzz_choose(in, MAX_HANDLE);

		handle[at] ^= fuzz_byte(in);
	}
	return len;
}

static void take_raw(struct fuzz_input *in, unsigned char *to, size_t *len)
{
	const uint8_t *bytes = fuzz_bytes(in, len);

	memcpy(to, bytes, *len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	unsigned char bytes[MAX_HANDLE] = { 0 }, again[NFSD_HANDLE_BYTES];
	const struct nfsd_export *export = NULL;
	struct ovl_id id = { 0 };
	unsigned char *handle;
	size_t len = MAX_HANDLE;
	int err;

	if (fuzz_choose(&in, 2))
		len = make_handle(&in, bytes);
	else
		take_raw(&in, bytes, &len);
	/* As long as it is: what is read behind it is found. */
	handle = malloc(len + (len == 0));
	FUZZ_MUST(handle != NULL);
	memcpy(handle, bytes, len);

	err = nfsd_handle_decode(exports, handle, len, &export, &id);
	FUZZ_MUST(err == 0 || err == -EBADFD);
	if (err == 0) {
		FUZZ_MUST(len == NFSD_HANDLE_BYTES);
		nfsd_handle_encode(export, id, again);
		FUZZ_MUST(memcmp(handle, again, len) == 0);
	} else {
		FUZZ_MUST(export == NULL && id.fileid == 0);
	}
	free(handle);
	return 0;
}
