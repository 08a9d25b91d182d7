/*
 * Record marking: a stream, cut into reads in any way, gives the records that a
 * plain reading of RFC 5531, section 11, finds in it; some are held while the
 * input reads on, as calls in the pool hold theirs.
 *
 * An input: the bound on records, how reads are cut and what is held; then the
 * stream as it is, or a list of fragments to make it of, which may be long.
 */
#include "config.h"

#include <endian.h>

#include "rpc/record.h"
#include "tests/fuzz/fuzz.h"

#define MAX_STREAM (192u << 10)
#define MAX_CUTS 16
#define MAX_HELD 8
/* Reads that are cut; then they bring all there is room for. */
#define MAX_READS 1000

static const size_t bounds[] = { 1,    3,     16,    400,
	                         5000, 65536, 70000, (1u << 20) + 65536 };

static uint8_t stream[MAX_STREAM];
static size_t stream_len;

/* What is to come of it. */
static uint8_t expected[MAX_STREAM];
static size_t expected_len;

/* ---- the stream ----------------------------------------------------------- */

static void put(const void *bytes, size_t n)
{
	if (n > MAX_STREAM - stream_len)
		n = MAX_STREAM - stream_len;
	memcpy(stream + stream_len, bytes, n);
	stream_len += n;
}

static void put_mark(uint32_t mark)
{
	mark = htobe32(mark);
	put(&mark, sizeof(mark));
}

/* Bytes that tell where they are. */
static void put_pattern(size_t n)
{
	static uint8_t pattern[MAX_STREAM];

	if (pattern[1] == 0)
		for (size_t i = 0; i < MAX_STREAM; i++)
			pattern[i] = (uint8_t)(i * 7 + i / 251);
	put(pattern, n < MAX_STREAM ? n : MAX_STREAM);
}

/* Fragments: short ones with bytes of the input, long ones with others. */
static void put_fragments(struct fuzz_input *in)
{
	while (fuzz_left(in) > 0) {
		const unsigned kind = fuzz_byte(in);
		const uint32_t last = kind & 1 ? ORPC_MARK_LAST : 0;
		size_t n = fuzz_byte(in);
		const uint8_t *bytes;

		switch (kind >> 1 & 3) {
		case 0:
			put_mark(last | (uint32_t)n);
			bytes = fuzz_bytes(in, &n);
			put(bytes, n);
			break;
		case 1: /* of many sizes */
			n = (n << 8 | fuzz_byte(in)) * (1 + (kind >> 3 & 7));
			put_mark(last | (uint32_t)n);
			put_pattern(n);
			break;
		case 2: /* many, as short as can be */
			for (n *= 1 + (kind >> 3); n > 0; n--) {
				put_mark(kind & 128 ? 1 : 0);
				put_pattern(kind & 128 ? 1 : 0);
			}
			break;
		case 3:
			bytes = fuzz_bytes(in, &n);
			put(bytes, n);
			break;
		}
	}
}

static void make_stream(struct fuzz_input *in, bool raw)
{
	stream_len = 0;
	if (raw)
		put(in->at, fuzz_left(in));
	else
		put_fragments(in);
}

/* ---- one reading of it, bit by bit ---------------------------------------- */

struct model {
	size_t pos, len; /* in the stream; of the record that was found */
};

/* The next record, into `expected`. */
static enum orpc_record model_next(struct model *model, size_t bound)
{
	unsigned fragments = 0;
	bool last = false;

	expected_len = 0;
	while (!last) {
		uint32_t mark;

		if (stream_len - model->pos < sizeof(mark))
			return ORPC_RECORD_PART;
		memcpy(&mark, stream + model->pos, sizeof(mark));
		mark = be32toh(mark);
		last = mark & ORPC_MARK_LAST;
		mark &= ~ORPC_MARK_LAST;
		if (mark > bound - expected_len ||
		    fragments++ == ORPC_MAX_FRAGMENTS)
			return ORPC_RECORD_BROKEN;
		model->pos += sizeof(mark);
		if (mark > stream_len - model->pos)
			return ORPC_RECORD_PART;
		memcpy(expected + expected_len, stream + model->pos, mark);
		expected_len += mark;
		model->pos += mark;
		/* A record of nothing is none. */
		if (last && expected_len == 0) {
			last = false;
			fragments = 0;
		}
	}
	return ORPC_RECORD_WHOLE;
}

/* ---- the real one ----------------------------------------------------------- */

struct held {
	struct orpc_buf *buf;
	unsigned char *record;
	uint8_t *copy;
	size_t len;
};

struct reading {
	struct orpc_bufs bufs;
	struct orpc_input input;
	size_t bound;
	size_t cuts[MAX_CUTS];
	unsigned ncuts, turn;
	uint32_t holds; /* a bit for each record, in turn: whether it is held */
	unsigned nrecords;
	struct held held[MAX_HELD];
};

static void let_go(struct reading *reading, struct held *held)
{
	if (held->buf == NULL)
		return;
	FUZZ_MUST(memcmp(held->record, held->copy, held->len) == 0);
	orpc_bufs_put(&reading->bufs, held->buf);
	free(held->copy);
	held->buf = NULL;
}

static void hold(struct reading *reading, unsigned char *record, size_t len)
{
	struct held *held = &reading->held[reading->nrecords % MAX_HELD];

	let_go(reading, held);
	*held = (struct held){ reading->input.buf, record, malloc(len), len };
	FUZZ_MUST(held->copy != NULL);
	memcpy(held->copy, record, len);
	held->buf->refs++;
}

static size_t next_cut(struct reading *reading)
{
	if (reading->turn == MAX_READS)
		return MAX_STREAM;
	return reading->cuts[reading->turn++ % reading->ncuts];
}

/* Read on by one cut at most. */
static void read_some(struct reading *reading, size_t *at)
{
	struct orpc_input *input = &reading->input;
	const struct orpc_buf *before = input->buf;
	const size_t claim = orpc_input_claim(input, &reading->bufs);
	size_t room, n = next_cut(reading);
	unsigned char *to;

	FUZZ_MUST(orpc_input_room(input, &reading->bufs, &to, &room) == 0);
	FUZZ_MUST(room > 0);
	/* What it asks for was announced: memory is promised by that. */
	FUZZ_MUST(input->buf == before || input->buf->cap <= claim);
	n = n < room ? n : room;
	n = n < stream_len - *at ? n : stream_len - *at;
	memcpy(to, stream + *at, n);
	orpc_input_fill(input, n);
	*at += n;
}

/* Take out what is whole. False: nothing can come any more. */
static bool take_all(struct reading *reading, struct model *model)
{
	for (;;) {
		struct model next = *model;
		enum orpc_record got, wanted;
		unsigned char *record;
		size_t len;

		got = orpc_input_next(&reading->input, reading->bound, &record,
		                      &len);
		if (got == ORPC_RECORD_PART)
			return true;
		wanted = model_next(&next, reading->bound);
		FUZZ_MUST(got == wanted);
		if (got == ORPC_RECORD_BROKEN)
			return false;
		FUZZ_MUST(len == expected_len && len <= reading->bound);
		FUZZ_MUST(memcmp(record, expected, len) == 0);
		FUZZ_MUST((uintptr_t)record % 4 == 0);
		*model = next;
		if (reading->holds >> reading->nrecords % 32 & 1)
			hold(reading, record, len);
		/* Whoever decodes it may write on it. */
		else
			memset(record, 0xa5, len);
		reading->nrecords++;
	}
}

static void read_stream(struct reading *reading)
{
	struct model model = { 0 };
	bool open = true;
	size_t at = 0;

	orpc_bufs_init(&reading->bufs, orpc_input_largest(reading->bound));
	while (open && at < stream_len) {
		read_some(reading, &at);
		open = take_all(reading, &model);
		if (reading->holds & 1)
			orpc_input_rest(&reading->input, &reading->bufs);
		if (reading->holds & 2)
			orpc_input_be_modest(&reading->input);
	}
	if (open) {
		FUZZ_MUST(model_next(&model, reading->bound) ==
		          ORPC_RECORD_PART);
		FUZZ_MUST(model.pos == stream_len ||
		          orpc_input_is_midway(&reading->input));
	}
	for (unsigned i = 0; i < MAX_HELD; i++)
		let_go(reading, &reading->held[i]);
	orpc_input_release(&reading->input, &reading->bufs);
	FUZZ_MUST(reading->bufs.used == 0);
	FUZZ_MUST(reading->bufs.ahead == 0);
	orpc_bufs_release(&reading->bufs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct reading cut = { .ncuts = 1 }, whole = { .ncuts = 1 };
	struct reading bytes = { .ncuts = 1, .cuts = { 1 } };
	const unsigned how = fuzz_byte(&in);

	cut.bound = whole.bound = bytes.bound = bounds[how & 7];
	cut.holds = fuzz_word(&in);
	cut.ncuts = 1 + (how >> 3 & (MAX_CUTS - 1));
	for (unsigned i = 0; i < cut.ncuts; i++) {
		const size_t n = fuzz_byte(&in);

		/* Squares: small ones, and all sizes up to the bound. */
		cut.cuts[i] = n < 64 ? n + 1 : (n - 48) * (n - 48);
	}
	whole.cuts[0] = MAX_STREAM;
	make_stream(&in, how & 128);
	read_stream(&cut);
	read_stream(&whole);
	if (stream_len < MAX_READS)
		read_stream(&bytes);
	return 0;
}
