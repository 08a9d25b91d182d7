/*
 * Mounting a test's veneerd with libnfs, and the sequences of calls that tests
 * share. What goes wrong fails the test, with libnfs's own words.
 */
#ifndef VENEER_TESTS_LIBNFS_MOUNT_H
#define VENEER_TESTS_LIBNFS_MOUNT_H

#include <stddef.h>
#include <nfsc/libnfs.h>

#include "tests/lib/daemon.h"

/* Fails the test where a call of libnfs on `nfs` returns less than 0. */
#define ck_nfs(nfs, call)                                                     \
	do {                                                                  \
		int ck_result = (call);                                       \
		ck_assert_msg(ck_result >= 0, "%s: %d: %s", #call, ck_result, \
		              nfs_get_error(nfs));                            \
	} while (0)

/* Mount the export; `path` below it, or "" for all of it. */
struct nfs_context *mount_export(const struct daemon *daemon, const char *path);

void unmount_export(struct nfs_context *nfs);

/* Make a file, with these contents. */
void put_file(struct nfs_context *nfs, const char *path, const void *contents,
              size_t size);

/* The contents must be these, and no more. */
void check_file(struct nfs_context *nfs, const char *path, const void *contents,
                size_t size);

/* The number of names in a directory, beside `.` and `..`. */
size_t count_names(struct nfs_context *nfs, const char *path);

#endif
