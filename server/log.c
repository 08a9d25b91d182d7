#include "config.h"

#include "server/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

/* By number, as syslog(3) has them. */
static const char *const level_names[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};
#define NLEVELS (sizeof(level_names) / sizeof(level_names[0]))

int nfsd_log_level(const char *name)
{
	for (size_t i = 0; i < NLEVELS; i++)
		if (strcmp(name, level_names[i]) == 0)
			return (int)i;
	return strcmp(name, "error") == 0 ? LOG_ERR : -1;
}

static void blank_controls(char *line)
{
	for (; *line != '\0'; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
}

void nfsd_log_line(void *arg, int level, const char *line)
{
	const struct nfsd_log *log = arg;

	nfsd_log(log, level, "%s", line);
}

void nfsd_log(const struct nfsd_log *log, int level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	const size_t last = sizeof(line) - 1;
	size_t len;
	va_list args;

	if (level > log->level)
		return;
	len = (size_t)snprintf(line, sizeof(line), "veneerd: %s",
	                       level <= LOG_ERR       ? "error: "
	                       : level == LOG_WARNING ? "warning: "
	                                              : "");
	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - len, format, args);
	va_end(args);
	blank_controls(line);

	len = strnlen(line, last);
	line[len] = '\n';
	/* Where the log cannot be written, there is nobody to tell. */
	if (write(log->fd, line, len + 1) < 0)
		return;
}
