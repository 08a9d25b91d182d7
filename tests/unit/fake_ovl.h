/*
 * An overlay that is nothing but an id and a key, for tests of what is above
 * it. Linked with a test, it stands in for the real one.
 */
#ifndef VENEER_TESTS_UNIT_FAKE_OVL_H
#define VENEER_TESTS_UNIT_FAKE_OVL_H

#include <stdint.h>

#include "overlay/overlay.h"

struct ovl {
	uint64_t id;
	unsigned char key[OVL_KEY_BYTES];
	unsigned closed; /* how often */
};

#endif
