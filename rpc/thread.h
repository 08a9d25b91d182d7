/*
 * Threads that take no signals: those are for the thread that started us.
 */
#ifndef VENEER_RPC_THREAD_H
#define VENEER_RPC_THREAD_H

#include <pthread.h>

/* Names are cut to the 15 bytes that the kernel keeps. 0 or -errno. */
int orpc_thread_start(pthread_t *thread, const char *name, unsigned number,
                      void *(*fn)(void *), void *arg);

#endif
