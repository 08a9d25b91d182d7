#include "config.h"

#include "tests/bench/calls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_FRAGMENT 0x80000000u

static unsigned char data[CALLS_DATA];

const unsigned char *calls_data(void)
{
	return data;
}

static void *grown(void *bytes, size_t size)
{
	bytes = realloc(bytes, size);
	if (!bytes) {
		perror("load");
		exit(1);
	}
	return bytes;
}

static void put_bytes(struct calls *calls, const void *bytes, size_t len)
{
	if (calls->len + len > calls->room) {
		calls->room = 2 * (calls->len + len);
		calls->bytes = grown(calls->bytes, calls->room);
	}
	memcpy(calls->bytes + calls->len, bytes, len);
	calls->len += len;
}

void calls_put(struct calls *calls, uint32_t word)
{
	word = htonl(word);
	put_bytes(calls, &word, sizeof(word));
}

void calls_put64(struct calls *calls, uint64_t number)
{
	calls_put(calls, (uint32_t)(number >> 32));
	calls_put(calls, (uint32_t)number);
}

void calls_put_opaque(struct calls *calls, const void *bytes, uint32_t len)
{
	static const unsigned char zeros[3];

	calls_put(calls, len);
	put_bytes(calls, bytes, len);
	put_bytes(calls, zeros, -len % 4);
}

void calls_put_handle(struct calls *calls, const struct handle *handle)
{
	calls_put_opaque(calls, handle->bytes, handle->len);
}

void calls_put_name(struct calls *calls, const char *name)
{
	calls_put_opaque(calls, name, (uint32_t)strlen(name));
}

void calls_put_data(struct calls *calls, uint32_t len)
{
	calls_put(calls, len);
	calls->call[calls->n].data = len;
}

void calls_begin(struct calls *calls, uint32_t prog, uint32_t proc)
{
	if (calls->n == calls->ncall) {
		calls->ncall = 2 * calls->ncall + 64;
		calls->call =
			grown(calls->call, calls->ncall * sizeof(*calls->call));
	}
	calls->call[calls->n] = (struct call){ .at = calls->len };
	calls_put(calls, 0); /* the record's mark */
	calls_put(calls, (uint32_t)calls->n);
	calls_put(calls, 0); /* a call */
	calls_put(calls, 2);
	calls_put(calls, prog);
	calls_put(calls, 3);
	calls_put(calls, proc);
	calls_put(calls, 1); /* AUTH_SYS */
	calls_put(calls, 20);
	calls_put(calls, 0);
	calls_put_name(calls, ""); /* of no machine */
	calls_put(calls, 0);       /* root */
	calls_put(calls, 0);
	calls_put(calls, 0); /* in no other group */
	calls_put(calls, 0); /* no verifier */
	calls_put(calls, 0);
}

void calls_end(struct calls *calls)
{
	struct call *call = &calls->call[calls->n++];
	uint32_t mark;

	call->len = (uint32_t)(calls->len - call->at);
	mark = htonl(LAST_FRAGMENT | (call->len - 4 + call->data));
	memcpy(calls->bytes + call->at, &mark, sizeof(mark));
}

void calls_release(struct calls *calls)
{
	free(calls->bytes);
	free(calls->call);
	memset(calls, 0, sizeof(*calls));
}
