#include "config.h"

#include "rpc/thread.h"

#include <signal.h>
#include <stdio.h>

int orpc_thread_start(pthread_t *thread, const char *name, unsigned number,
                      void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	char title[16];
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* the thread inherits it */
	err = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	snprintf(title, sizeof(title), "%s/%u", name, number);
	pthread_setname_np(*thread, title); /* a help in top(1), no more */
	return 0;
}
