/*
 * Rows of where an object was seen: a list of them, for who asks for one.
 */
#ifndef VENEER_OVERLAY_ROWS_H
#define VENEER_OVERLAY_ROWS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ovl_row {
	uint64_t parent;         /* fileid */
	bool gone;               /* not to be counted, if others say it again */
	uint8_t len;             /* 1 to 255 */
	char name[NAME_MAX + 1]; /* terminated */
};

/* Begins as { 0 }. */
struct ovl_rows {
	struct ovl_row *row;
	size_t n, size;
};

/* Add a row, unless it is there, gone or not. 0 or -ENOMEM. */
int ovl_rows_add(struct ovl_rows *rows, uint64_t parent, const char *name,
                 size_t len, bool gone);

/* Drop those that are gone. */
void ovl_rows_settle(struct ovl_rows *rows);

void ovl_rows_release(struct ovl_rows *rows);

#endif
