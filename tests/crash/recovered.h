/*
 * What a server shows after a crash, against what was acknowledged before it.
 * `why` (RECOVERED_WHY bytes) says what is wrong; false then.
 */
#ifndef VENEER_TESTS_CRASH_RECOVERED_H
#define VENEER_TESTS_CRASH_RECOVERED_H

#include <stdbool.h>

#include "tests/crash/link.h"
#include "tests/crash/load.h"

#define RECOVERED_WHY 2048

/*
 * All that a connection was told is there, and nothing else, with the call in
 * flight carried out or not. Its old handles work, or are stale, as they should.
 */
bool recovered_all(struct crash_link *link, const struct load_worker *worker,
                   char *why);

/*
 * There is what may have been at some time: every name can be looked up, what has
 * no data that were never its own, no directory is in two places, links are
 * counted right, what was below is whole where it was copied up. Old handles mean
 * what they meant, or are stale.
 */
bool recovered_some(struct crash_link *link, const struct load *load,
                    const char *export, char *why);

#endif
