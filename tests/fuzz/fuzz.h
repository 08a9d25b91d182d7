/*
 * What fuzz targets have in common: an input is read as a list of choices, and
 * what must hold ends the process where it does not, so that the input is kept.
 *
 * Each target is one source with LLVMFuzzerTestOneInput. With libFuzzer it makes
 * inputs of its own; in every other build replay.c gives it those of the corpus.
 */
#ifndef VENEER_TESTS_FUZZ_FUZZ_H
#define VENEER_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Once, before the first input. A target need not have it. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* assert(), whatever NDEBUG says. */
#define FUZZ_MUST(expr)                                         \
	do {                                                    \
		if (!(expr))                                    \
			fuzz_broken(__FILE__, __LINE__, #expr); \
	} while (0)

__attribute__((noreturn)) static inline void
fuzz_broken(const char *file, int line, const char *expr)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, expr);
	abort();
}

/* What is left of an input. Past its end there are zeros. */
struct fuzz_input {
	const uint8_t *at, *end;
};

static inline size_t fuzz_left(const struct fuzz_input *in)
{
	return (size_t)(in->end - in->at);
}

static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/* Of 0 to n - 1; n is 256 at most. */
static inline unsigned fuzz_choose(struct fuzz_input *in, unsigned n)
{
	return fuzz_byte(in) % n;
}

static inline uint32_t fuzz_word(struct fuzz_input *in)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < 4; i++)
		word = word << 8 | fuzz_byte(in);
	return word;
}

static inline uint64_t fuzz_long(struct fuzz_input *in)
{
	const uint64_t high = fuzz_word(in);

	return high << 32 | fuzz_word(in);
}

/* Up to `n` bytes, which are the input's; as many as there are. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *n)
{
	const uint8_t *bytes = in->at;

	if (*n > fuzz_left(in))
		*n = fuzz_left(in);
	in->at += *n;
	return bytes;
}

#endif
