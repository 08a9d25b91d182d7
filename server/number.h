/*
 * Numbers in options: decimal, nothing around them.
 */
#ifndef VENEER_SERVER_NUMBER_H
#define VENEER_SERVER_NUMBER_H

#include <stdint.h>

/* 0, or -EINVAL: no number, or not from `min` to `max`. */
int nfsd_number_parse(const char *text, uint64_t min, uint64_t max,
                      uint64_t *number);

/*
 * The same, perhaps with K, M or G (or k, m, g) behind it: powers of 1024. The
 * range is of bytes, and so is `number`.
 */
int nfsd_number_parse_size(const char *text, uint64_t min, uint64_t max,
                           uint64_t *number);

#endif
