/*
 * The names of one directory, ordered by cookie.
 *
 * A name's cookie is its 59-bit keyed hash times 16, plus a number (the tie)
 * that tells names of one hash apart; it is never below 16, so that 0 to 2 can
 * mean start, "." and "..", and never has the top bit. The set is kept in
 * ordered chunks: a change costs as little in a directory of a million names
 * as in one of ten.
 *
 * Life cycle: ovl_names_new, ovl_names_free. No locks: the owner's lock guards
 * the set, and records stay good until the set is changed.
 */
#ifndef VENEER_OVERLAY_NAMES_H
#define VENEER_OVERLAY_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* 64 bits of keyed hash; the set uses 59 of them. */
typedef uint64_t ovl_hash_fn(const unsigned char *key, const char *name,
                             size_t len);

/* SipHash-2-4 of libsodium; `key` has OVL_KEY_BYTES. */
uint64_t ovl_names_hash(const unsigned char *key, const char *name, size_t len);

/* What is hidden, but by no whiteout of its own name, stands in no part. */
#define OVL_PART_NONE UINT16_MAX

struct ovl_name {
	uint64_t cookie;
	uint64_t fileid; /* 0: not known yet */
	uint16_t part;   /* the directory's part (layer) that it stands in */
	uint8_t type;    /* DT_* of <dirent.h>; DT_WHT: a whiteout */
	uint8_t len;
	char name[]; /* terminated */
};

struct ovl_names;

/*
 * An empty set. `hash` is ovl_names_hash but in tests; `key` is borrowed.
 * `first_tie` (0 to 15) is where ties are tried from, upwards and around: sets
 * that are listed together start at different ones. NULL: no memory.
 */
struct ovl_names *ovl_names_new(ovl_hash_fn *hash, const unsigned char *key,
                                unsigned first_tie);
void ovl_names_free(struct ovl_names *set); /* NULL is fine */

/*
 * Insert a name, or replace what is kept of it (its cookie stays). `cookie`: 0,
 * or the one to give it (that of the same name in another set), if it is free.
 * `len` is 1 to 255. 0, -ENOMEM, -EOVERFLOW (16 names of one hash already).
 */
int ovl_names_put(struct ovl_names *set, const char *name, size_t len,
                  uint64_t cookie, uint64_t fileid, uint16_t part,
                  uint8_t type);

/* 0 or -ENOENT. */
int ovl_names_del(struct ovl_names *set, const char *name, size_t len);

/*
 * Borrowed, NULL where there is none. fileid, part and type may be changed. The set
 * remembers what was asked for: for the owner's lock this is a change as well.
 */
struct ovl_name *ovl_names_find(struct ovl_names *set, const char *name,
                                size_t len);

/* The first name whose cookie is greater than `cookie`, or NULL. */
struct ovl_name *ovl_names_after(const struct ovl_names *set, uint64_t cookie);

size_t ovl_names_count(const struct ovl_names *set);

/* Bytes of memory that the set takes. */
size_t ovl_names_bytes(const struct ovl_names *set);

/*
 * A walk in order, cheaper than ovl_names_after for each: start it at a cookie,
 * then take one after the other. Void once the set is changed.
 */
struct ovl_names_iter {
	const struct ovl_names *set;
	size_t chunk, slot;
};

struct ovl_names_iter ovl_names_iter(const struct ovl_names *set,
                                     uint64_t cookie);
struct ovl_name *ovl_names_next(struct ovl_names_iter *iter);

#endif
