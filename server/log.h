/*
 * The log: one line an event, to standard error (or another descriptor).
 *
 * A line goes out in one write(2), so lines of several threads never mix, and
 * there is no lock. What a client may have chosen (file names) can be in a
 * line: control characters come out as "?".
 *
 * Levels are those of syslog(3): LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO,
 * LOG_DEBUG.
 */
#ifndef VENEER_SERVER_LOG_H
#define VENEER_SERVER_LOG_H

struct nfsd_log {
	int fd;
	int level; /* lines above it are left out */
};

__attribute__((format(printf, 3, 4))) void
nfsd_log(const struct nfsd_log *log, int level, const char *format, ...);

/* The same for a finished line: an orpc_log_fn and an ovl_log_fn. */
void nfsd_log_line(void *log, int level, const char *line);

/* The level of this name ("warning"), or -1. */
int nfsd_log_level(const char *name);

#endif
