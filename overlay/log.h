/*
 * Lines for the log: where they go, and how they are made.
 */
#ifndef VENEER_OVERLAY_LOG_H
#define VENEER_OVERLAY_LOG_H

#include "overlay/overlay.h"

struct ovl_log {
	ovl_log_fn *fn; /* NULL: nobody listens */
	void *arg;
};

/* One line, cut at 767 bytes; `level` as in syslog(3). */
void ovl_log_line(const struct ovl_log *log, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
