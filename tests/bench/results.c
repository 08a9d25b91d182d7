#include "config.h"

#include "tests/bench/results.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/drive.h"

void bench_fail(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

uint32_t results_take(struct results *results)
{
	uint32_t word;

	if (results->at + sizeof(word) > results->len)
		bench_fail("results are cut short");
	memcpy(&word, results->bytes + results->at, sizeof(word));
	results->at += sizeof(word);
	return ntohl(word);
}

uint64_t results_take64(struct results *results)
{
	uint64_t high = results_take(results);

	return high << 32 | results_take(results);
}

void results_pass(struct results *results, uint32_t len)
{
	results->at += (len + 3) & ~3u;
	if (results->at > results->len)
		bench_fail("results are cut short");
}

struct handle results_take_handle(struct results *results)
{
	struct handle handle = { .len = results_take(results) };
	size_t at = results->at;

	if (handle.len > sizeof(handle.bytes))
		bench_fail("a handle that is too long");
	results_pass(results, handle.len);
	memcpy(handle.bytes, results->bytes + at, handle.len);
	return handle;
}

struct results *results_ask(int fd, struct calls *calls)
{
	static struct results results;

	calls_end(calls);
	results.len = drive_one(fd, calls, results.bytes, RESULTS_MAX);
	results.at = 0;
	calls_release(calls);
	return &results;
}
