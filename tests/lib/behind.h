/*
 * The thread that writes the file of handles behind: what it does, and when, is
 * no call's business. Tests that count system calls, or have them fail, let it be.
 */
#ifndef VENEER_TESTS_LIB_BEHIND_H
#define VENEER_TESTS_LIB_BEHIND_H

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* Whether this is it, by the name that it has (overlay/writer.c). */
static inline bool is_behind(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return !strcmp(name, "handles");
}

#endif
