/*
 * An export that is everybody's, for tests.
 */
#ifndef VENEER_TESTS_UNIT_EVERYBODY_H
#define VENEER_TESTS_UNIT_EVERYBODY_H

#include "server/export.h"

/* As nfsd_exports_add, and whoever calls has that access. */
static inline int add_for_everybody(struct nfsd_exports *exports,
                                    const char *path, struct ovl *fs,
                                    const struct nfsd_access *access)
{
	const struct nfsd_client anybody = { .kind = NFSD_CLIENT_ANYBODY,
		                             .text = "*" };
	const struct nfsd_export *export;
	int err = nfsd_exports_add(exports, path, NULL, fs, &export);

	return err != 0 ? err
	                : nfsd_exports_allow(exports, export, &anybody, access);
}

#endif
