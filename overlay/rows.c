#include "config.h"

#include "overlay/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool has(const struct ovl_rows *rows, uint64_t parent, const char *name,
                size_t len)
{
	const struct ovl_row *row = rows->row;

	for (size_t i = 0; i < rows->n; i++, row++)
		if (row->parent == parent && row->len == len &&
		    !memcmp(row->name, name, len))
			return true;
	return false;
}

int ovl_rows_add(struct ovl_rows *rows, uint64_t parent, const char *name,
                 size_t len, bool gone)
{
	size_t size = rows->size ? rows->size * 2 : 1;
	struct ovl_row *row;

	if (has(rows, parent, name, len))
		return 0;
	if (rows->n == rows->size) {
		row = reallocarray(rows->row, size, sizeof(*row));
		if (!row)
			return -ENOMEM;
		rows->row = row;
		rows->size = size;
	}
	row = &rows->row[rows->n++];
	row->parent = parent;
	row->gone = gone;
	row->len = (uint8_t)len;
	memcpy(row->name, name, len);
	row->name[len] = '\0';
	return 0;
}

void ovl_rows_settle(struct ovl_rows *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->n; i++) {
		if (rows->row[i].gone)
			continue;
		if (i != n)
			rows->row[n] = rows->row[i];
		n++;
	}
	rows->n = n;
}

void ovl_rows_release(struct ovl_rows *rows)
{
	free(rows->row);
	*rows = (struct ovl_rows){ 0 };
}
