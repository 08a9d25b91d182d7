#include "config.h"

#include "rpc/record.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

/* What a connection begins to read into, and the least worth a system call. */
#define FIRST_READ (64u << 10)
#define LEAST_READ (4u << 10)
/*
 * Records as long as the last ones that one system call is to bring. Each call has
 * the sender woken: WRITEs of 64 KiB cost 33 us so, and 37 where it was 4.
 */
#define RECORDS_AT_ONCE 16

size_t orpc_input_largest(size_t max_record)
{
	return max_record + LEAST_READ;
}

static bool is_empty(const struct orpc_input *input)
{
	return input->fragments == 0 && input->pos == input->end;
}

static void let_go(struct orpc_input *input, struct orpc_bufs *bufs)
{
	orpc_bufs_put(bufs, input->buf);
	input->buf = NULL;
	input->pos = input->end = 0;
	if (input->ahead)
		bufs->ahead--;
	input->ahead = false;
}

void orpc_input_rest(struct orpc_input *input, struct orpc_bufs *bufs)
{
	if (is_empty(input))
		let_go(input, bufs);
}

void orpc_input_release(struct orpc_input *input, struct orpc_bufs *bufs)
{
	let_go(input, bufs);
	*input = (struct orpc_input){ 0 };
}

/*
 * Nothing but the record in hand and up to three bytes of its next mark are in
 * the input now. Bring them together at the front of `to`, which may be the
 * buffer they are in.
 */
static void move_to(struct orpc_input *input, struct orpc_buf *to)
{
	size_t len = input->len, raw = input->end - input->pos;

	if (input->buf) {
		memmove(to->data, input->buf->data + input->start, len);
		memmove(to->data + len, input->buf->data + input->pos, raw);
	}
	input->start = 0;
	input->pos = len;
	input->end = len + raw;
}

/* Is there room enough in the buffer to go on reading into it? */
static bool has_room(struct orpc_input *input)
{
	size_t room;

	if (!input->buf)
		return false;
	if (is_empty(input) && input->buf->refs == 1)
		input->pos = input->end = 0;
	room = input->buf->cap - input->end;
	return room >= LEAST_READ || (input->left > 0 && room >= input->left);
}

/* Does the record in hand end with the fragment in hand? */
static bool ends_here(const struct orpc_input *input)
{
	return input->left > 0 && input->last;
}

/*
 * The size of the buffer to go on with: four times what is there, or, where
 * this input may be ahead of its bytes, what the record in hand or the habit
 * of the connection calls for.
 */
static size_t wanted(struct orpc_input *input, struct orpc_bufs *bufs)
{
	size_t have = input->len + (input->end - input->pos);
	size_t size = 4 * have > FIRST_READ ? 4 * have : FIRST_READ;
	size_t claim = is_empty(input) ? RECORDS_AT_ONCE * input->usual
	                               : have + input->left + LEAST_READ;
	size_t largest = orpc_bufs_largest(bufs);

	if (claim > size && !input->ahead && bufs->ahead < ORPC_INPUTS_AHEAD) {
		input->ahead = true;
		bufs->ahead++;
	}
	if (claim > size && input->ahead)
		size = claim;
	else if (size > claim && ends_here(input))
		size = claim > FIRST_READ ? claim : FIRST_READ;
	return size < largest ? size : largest;
}

/* Room behind what is there, in this buffer or another. */
static int make_room(struct orpc_input *input, struct orpc_bufs *bufs)
{
	struct orpc_buf *old = input->buf, *buf;
	size_t size = wanted(input, bufs);

	if (old && old->refs == 1 && old->cap >= size) {
		move_to(input, old);
		return 0;
	}
	buf = orpc_bufs_take(bufs, size);
	if (!buf)
		return -ENOMEM;
	move_to(input, buf);
	orpc_bufs_put(bufs, old);
	input->buf = buf;
	return 0;
}

bool orpc_input_is_midway(const struct orpc_input *input)
{
	return !is_empty(input);
}

void orpc_input_be_modest(struct orpc_input *input)
{
	input->usual = 0;
}

size_t orpc_input_claim(const struct orpc_input *input,
                        const struct orpc_bufs *bufs)
{
	const struct orpc_buf *buf = input->buf;
	size_t largest = orpc_bufs_largest(bufs), size = FIRST_READ;
	bool alone = buf && buf->refs == 1;

	if (input->fragments == 0) {
		if (alone || (buf && buf->cap - input->end >= LEAST_READ))
			return 0;
		if (is_empty(input) && bufs->ahead < ORPC_INPUTS_AHEAD &&
		    RECORDS_AT_ONCE * input->usual > size)
			size = RECORDS_AT_ONCE * input->usual;
	} else if (ends_here(input)) {
		if (buf->cap - input->end >= input->left)
			return 0;
		if (input->len + input->left + LEAST_READ > size)
			size = input->len + input->left + LEAST_READ;
		if (alone && buf->cap >= orpc_bufs_size(bufs, size))
			return 0;
	} else {
		/* Nobody knows how many fragments are still to come. */
		if (alone && buf->cap == largest)
			return 0;
		size = largest;
	}
	return orpc_bufs_size(bufs, size);
}

int orpc_input_room(struct orpc_input *input, struct orpc_bufs *bufs,
                    unsigned char **to, size_t *room)
{
	int err = has_room(input) ? 0 : make_room(input, bufs);

	if (err)
		return err;
	*to = input->buf->data + input->end;
	*room = input->buf->cap - input->end;
	assert(*room > 0);
	return 0;
}

void orpc_input_fill(struct orpc_input *input, size_t n)
{
	assert(n <= input->buf->cap - input->end);
	input->end += n;
}

/*
 * Begin the fragment whose mark is next. False where it breaks a bound. The
 * record is put at the first aligned place, which lies within its mark where
 * it cannot be just behind: XDR in place wants 4-byte alignment, and odd
 * lengths before this one may have upset it.
 */
static bool begin_fragment(struct orpc_input *input, size_t max_record)
{
	uint32_t mark, len;

	memcpy(&mark, input->buf->data + input->pos, sizeof(mark));
	mark = be32toh(mark);
	len = mark & ~ORPC_MARK_LAST;
	if (len > max_record - input->len ||
	    input->fragments == ORPC_MAX_FRAGMENTS)
		return false;
	input->pos += ORPC_MARK_SIZE;
	if (input->fragments++ == 0)
		input->start = input->pos & ~(size_t)3;
	input->left = len;
	input->last = mark & ORPC_MARK_LAST;
	return true;
}

/* Put what has come of the fragment in hand behind the record so far. */
static void gather(struct orpc_input *input)
{
	size_t there = input->end - input->pos;
	size_t n = there < input->left ? there : input->left;
	unsigned char *to = input->buf->data + input->start + input->len;
	unsigned char *from = input->buf->data + input->pos;

	if (to != from)
		memmove(to, from, n);
	input->len += n;
	input->pos += n;
	input->left -= n;
}

/* The record in hand is whole: forget it, and say how long it was. */
static size_t end_record(struct orpc_input *input)
{
	size_t len = input->len;

	input->fragments = 0;
	input->len = 0;
	if (len > input->usual)
		input->usual = len;
	else
		input->usual -= input->usual / 16;
	return len;
}

enum orpc_record orpc_input_next(struct orpc_input *input, size_t max_record,
                                 unsigned char **record, size_t *len)
{
	for (;;) {
		if (input->left == 0) {
			if (input->end - input->pos < ORPC_MARK_SIZE)
				return ORPC_RECORD_PART;
			if (!begin_fragment(input, max_record))
				return ORPC_RECORD_BROKEN;
		}
		gather(input);
		if (input->left > 0)
			return ORPC_RECORD_PART;
		if (!input->last)
			continue;
		*len = end_record(input);
		if (*len == 0)
			continue;
		*record = input->buf->data + input->start;
		return ORPC_RECORD_WHOLE;
	}
}
