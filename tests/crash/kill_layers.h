/*
 * The layers of the kill test: for each client a directory of its own, with all
 * that there can be in it, and one for all.
 */
#ifndef VENEER_TESTS_CRASH_KILL_LAYERS_H
#define VENEER_TESTS_CRASH_KILL_LAYERS_H

#include <stdint.h>

/* The two lowers, by descriptors; letters from 'a'. As root, devices too. */
void kill_layers_make(int top, int bottom, unsigned clients);

/* Of all that a stat(2) tells of each object below: changes when anything does. */
uint64_t kill_layers_sum(const char *path);

#endif
