/*
 * veneerd as a user starts it: a process of its own, over layers in a directory
 * of its own, on a free port of loopback. What the program is, the environment
 * says: VENEERD.
 *
 * Life cycle: daemon_new, then daemon_start and daemon_end in turn,
 * daemon_free. It keeps its port and its layers from start to start. It does
 * not outlive the test. What goes wrong fails the test.
 */
#ifndef VENEER_TESTS_LIB_DAEMON_H
#define VENEER_TESTS_LIB_DAEMON_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DAEMON_EXPORT "/export"

struct daemon {
	char top[256]; /* holds the directories lower, upper and work */
	pid_t pid;     /* 0: does not run */
	uint16_t port; /* 0: any, until it has started once */
};

struct daemon *daemon_new(void);
void daemon_free(struct daemon *daemon); /* ends it, too */

/* Start it with export options beyond those of the layers; wait until it serves. */
void daemon_start(struct daemon *daemon, const char *options);

/* The same with all its arguments given, but for where it listens, and its export
 * unless there is a file of exports ("-e"); NULL ends them. */
void daemon_serve(struct daemon *daemon, const char *const arguments[]);

/* The same, not waiting until it serves. */
void daemon_begin(struct daemon *daemon, const char *const arguments[]);

/* A connection to it: a socket, the caller's. */
int daemon_connect(const struct daemon *daemon);

/* Send it a signal; the status (waitpid(2)) with which it ended, within seconds. */
int daemon_end(struct daemon *daemon, int signal);

/* Wait until it has logged a line with this in it; not for more than seconds. */
void daemon_await_log(const struct daemon *daemon, const char *line);

/* The path of something below its directory. */
char *daemon_path(const struct daemon *daemon, const char *name,
                  char path[PATH_MAX]);

/* Make a file below its directory, with these contents. */
void daemon_write(const struct daemon *daemon, const char *name,
                  const char *contents);
void daemon_mkdir(const struct daemon *daemon, const char *name);

/*
 * Run the program with these arguments (NULL ends them; without the name), when
 * it is to end by itself. Its exit status; what it said on standard output and
 * standard error, terminated, is in `text`.
 */
int daemon_run(const char *const arguments[], char *text, size_t size);

#endif
