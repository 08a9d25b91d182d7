/*
 * Random lower layers: small trees of a few names that meet one another, with
 * all that layers can hold: whiteouts of both kinds, opaque and redirected
 * directories, metacopy files, files over directories and the other way round,
 * links of both kinds, special files, sparse files, extended attributes, ACLs.
 */
#ifndef VENEER_TESTS_AGREEMENT_LAYERS_H
#define VENEER_TESTS_AGREEMENT_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

struct layers_kind {
	unsigned n;      /* how many */
	bool user;       /* an ordinary user's: attributes in user.overlay. */
	bool redirects;  /* directories may have overlay.redirect */
	bool metacopies; /* files may be without their data */
	bool data;       /* one more layer, of data alone */
	bool acls;
	bool marked_whiteouts; /* those by attribute as well */
};

/* A name, out of few; borrowed for good. */
const char *layers_name(uint64_t *random);

/*
 * Make layers in the directory `dir`: "l0" (top) to "lN", "data" if asked for. The same seed makes the
 * same layers.
 */
void layers_make(int dir, const struct layers_kind *kind, uint64_t seed);

#endif
