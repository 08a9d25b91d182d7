#include "config.h"

#include "overlay/log.h"

#include <stdarg.h>
#include <stdio.h>

void ovl_log_line(const struct ovl_log *log, int level, const char *format, ...)
{
	char line[768];
	va_list args;

	if (!log->fn)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log->fn(log->arg, level, line);
}
