#include "config.h"

#include "rpc/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* The thread's, from its start on. */
struct start {
	void *(*fn)(void *);
	void *arg;
	char title[16];
};

static void *run(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	/* Its own: another's is written to a file, which not every server may
	 * open. A help in top(1), no more. */
	pthread_setname_np(pthread_self(), start.title);
	return start.fn(start.arg);
}

int orpc_thread_start(pthread_t *thread, const char *name, unsigned number,
                      void *(*fn)(void *), void *arg)
{
	struct start *start = malloc(sizeof(*start));
	sigset_t all, old;
	int err;

	if (!start)
		return -ENOMEM;
	*start = (struct start){ .fn = fn, .arg = arg };
	snprintf(start->title, sizeof(start->title), "%s/%u", name, number);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* the thread inherits it */
	err = pthread_create(thread, NULL, run, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		free(start);
	return -err;
}
