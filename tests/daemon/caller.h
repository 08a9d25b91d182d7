/*
 * veneerd with a file of exports, and clients of it that call from an address of their
 * own: all of 127.0.0.0/8 is this machine, and ::1.
 */
#ifndef VENEER_TESTS_DAEMON_CALLER_H
#define VENEER_TESTS_DAEMON_CALLER_H

#include <arpa/inet.h>
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfs.h"

static char exports[PATH_MAX]; /* the file */

/* Each %1$s is the test's directory; what is the server's to replace has "%%". */
static inline void write_exports(const struct daemon *veneerd,
                                 const char *format)
{
	char text[8192];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), format, veneerd->top);
#pragma GCC diagnostic pop
	daemon_write(veneerd, "exports", text);
	daemon_path(veneerd, "exports", exports);
}

/* What is below `allowed` can be exported later; NULL: nothing can. */
static inline void serve_with(struct daemon *veneerd, const char *allowed,
                              const char *format)
{
	const char *const arguments[] = { "-e", exports,
		                          allowed ? "--allow" : NULL, allowed,
		                          NULL };

	write_exports(veneerd, format);
	daemon_serve(veneerd, arguments);
}

static inline void serve(struct daemon *veneerd, const char *format)
{
	serve_with(veneerd, NULL, format);
}

/*
 * From now on this process and those that it starts see, at `to`, what the test's
 * directory has under that name. For root.
 */
static inline void put_over(const struct daemon *veneerd, const char *name,
                            const char *to)
{
	char path[PATH_MAX];

	/* What is mounted here goes with the process. */
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount(daemon_path(veneerd, name, path), to, NULL,
	                       MS_BIND, NULL),
	                 0);
}

/* A client that calls from ::1. */
static inline struct client *call_by_ipv6(const struct daemon *veneerd)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
		                   .sin6_port = htons(veneerd->port),
		                   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return client_new(fd);
}

/* A client that calls from that address of IPv4. */
static inline struct client *call_from(const struct daemon *veneerd,
                                       const char *address)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons(veneerd->port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inet_pton(AF_INET, address, &from.sin_addr), 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return client_new(fd);
}

static inline mountstat3 mount_status(const struct daemon *veneerd,
                                      const char *address, const char *path)
{
	struct client *client = call_from(veneerd, address);
	mountstat3 status = nfs_mnt(client, path)->fhs_status;

	client_free(client);
	return status;
}

/* The handle that such a one gets. */
static inline nfs_fh3 mount_from(struct client *client, const char *path,
                                 char room[64])
{
	mountres3 *res = nfs_mnt(client, path);
	fhandle3 *handle = &res->mountres3_u.mountinfo.fhandle;

	ck_assert_int_eq(res->fhs_status, MNT3_OK);
	ck_assert_uint_le(handle->fhandle3_len, 64);
	memcpy(room, handle->fhandle3_val, handle->fhandle3_len);
	return (nfs_fh3){ { handle->fhandle3_len, room } };
}

#endif
