#include "config.h"

#include "tests/agreement/side.h"

#include <stdlib.h>
#include <string.h>

uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *byte = data;

	while (len--)
		h = (h ^ *byte++) * UINT64_C(0x100000001b3);
	return h;
}

static int by_name(const void *a, const void *b)
{
	const struct side_name *one = a, *other = b;

	return strcmp(one->name, other->name);
}

void names_sort(struct side_names *names)
{
	qsort(names->names, names->n, sizeof(names->names[0]), by_name);
}
