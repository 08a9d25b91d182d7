/*
 * A directory of a test's own, in $TMPDIR or /tmp. Whoever makes it removes it.
 */
#ifndef VENEER_TESTS_LIB_SCRATCH_H
#define VENEER_TESTS_LIB_SCRATCH_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* `path` gets the path of a new one, mode 0700, of which `name` is a part. */
static inline void scratch_make(char *path, size_t size, const char *name)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(path, size, "%s/veneer-%s.XXXXXX", tmp ? tmp : "/tmp",
	                 name);

	ck_assert_uint_lt((size_t)n, size);
	ck_assert_msg(mkdtemp(path) != NULL, "%s: %m", path);
}

#endif
