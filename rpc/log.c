#include "config.h"

#include "rpc/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#define APART_MS 60000

void orpc_log_init(struct orpc_log *log, orpc_log_fn *fn, void *arg)
{
	log->fn = fn;
	log->arg = arg;
	for (int i = 0; i < ORPC_LOG_KINDS; i++)
		atomic_init(&log->next_ms[i], 0);
}

/* Has the minute passed? Of several threads that ask at once, one is told. */
static bool is_due(struct orpc_log *log, enum orpc_log_kind kind)
{
	uint64_t next = atomic_load(&log->next_ms[kind]), ms;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return ms >= next && atomic_compare_exchange_strong(
				     &log->next_ms[kind], &next, ms + APART_MS);
}

void orpc_log_seldom(struct orpc_log *log, enum orpc_log_kind kind,
                     const char *format, ...)
{
	char line[256];
	va_list args;

	if (!log->fn || !is_due(log, kind))
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log->fn(log->arg, LOG_NOTICE, line);
}

void orpc_log_peer(const struct sockaddr *peer, char text[ORPC_PEER_TEXT])
{
	const struct sockaddr_in *in4 = (const void *)peer;
	const struct sockaddr_in6 *in6 = (const void *)peer;
	char host[INET6_ADDRSTRLEN] = "?";

	switch (peer->sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
		snprintf(text, ORPC_PEER_TEXT, "%s port %u", host,
		         ntohs(in4->sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, ORPC_PEER_TEXT, "%s port %u", host,
		         ntohs(in6->sin6_port));
		break;
	default:
		snprintf(text, ORPC_PEER_TEXT, "a local socket");
	}
}
