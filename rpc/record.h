/*
 * Record marking (RFC 5531, section 11): from a stream to records.
 *
 * An input is the receiving end of one connection. Bytes are read into its
 * buffer (orpc_input_room, orpc_input_fill), then records are taken out of it
 * (orpc_input_next) until it says ORPC_RECORD_PART. A record stays where it
 * arrived; the fragments of one that came in several are moved together, in
 * place. A record given out is in `buf` until that buffer is let go: who wants
 * it longer takes a reference (input->buf->refs++), and the input reads on
 * behind it or in another buffer.
 *
 * An input with nothing in it has no buffer, so idle connections cost none.
 * Lengths on the wire are only claims. A few inputs of a loop get a buffer for
 * the whole record ahead of its bytes; past these (ORPC_INPUTS_AHEAD) a buffer
 * grows fourfold whenever it is full, so memory follows what really arrived.
 *
 * Not thread-safe: it belongs to the loop of its connection, as the store does.
 */
#ifndef VENEER_RPC_RECORD_H
#define VENEER_RPC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/buf.h"

/* The four bytes ahead of each fragment; the top bit marks the last one. */
#define ORPC_MARK_SIZE 4
#define ORPC_MARK_LAST 0x80000000u

/* Fragments that one record may come in. */
#define ORPC_MAX_FRAGMENTS 4096

/* Inputs of one loop that may have a large buffer before its bytes arrive. */
#define ORPC_INPUTS_AHEAD 16

struct orpc_input {
	struct orpc_buf *buf;
	size_t pos, end;    /* [pos, end) is read and not yet looked at */
	size_t start, len;  /* the record in hand; 0 long before it begins */
	uint32_t left;      /* bytes to come of the fragment in hand */
	unsigned fragments; /* of the record in hand; 0: none begun */
	bool last;          /* the fragment in hand ends the record */
	bool ahead;         /* counted in orpc_bufs.ahead */
	size_t usual;       /* length of records lately */
};

enum orpc_record {
	ORPC_RECORD_PART, /* more bytes are needed */
	ORPC_RECORD_WHOLE,
	ORPC_RECORD_BROKEN, /* too long, or in too many fragments */
};

/* The buffer that a store needs for records of `max_record` bytes. */
size_t orpc_input_largest(size_t max_record);

/*
 * The size of the buffer that the input will ask for before the record in hand
 * is whole, or to read on between records; 0: what it has will do. When as
 * below.
 */
size_t orpc_input_claim(const struct orpc_input *input,
                        const struct orpc_bufs *bufs);

/* Is a record begun and not whole? */
bool orpc_input_is_midway(const struct orpc_input *input);

/* Forget how long records were lately: the next buffer is a small one. */
void orpc_input_be_modest(struct orpc_input *input);

/*
 * Where to read to, at least one byte. Only when orpc_input_next has said
 * ORPC_RECORD_PART, or on a fresh input. 0 or -ENOMEM.
 */
int orpc_input_room(struct orpc_input *input, struct orpc_bufs *bufs,
                    unsigned char **to, size_t *room);

/* `n` bytes have been read there. */
void orpc_input_fill(struct orpc_input *input, size_t n);

/*
 * The next whole record, aligned for XDR. One without a byte in it is skipped:
 * it says nothing, and harms nobody.
 */
enum orpc_record orpc_input_next(struct orpc_input *input, size_t max_record,
                                 unsigned char **record, size_t *len);

/* Let the buffer go if nothing is in it. */
void orpc_input_rest(struct orpc_input *input, struct orpc_bufs *bufs);

/* Let the buffer go with all that is in it. */
void orpc_input_release(struct orpc_input *input, struct orpc_bufs *bufs);

#endif
