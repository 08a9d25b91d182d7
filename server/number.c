#include "config.h"

#include "server/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int nfsd_number_parse(const char *text, uint64_t min, uint64_t max,
                      uint64_t *number)
{
	unsigned long long n;
	char *end;

	/* strtoull takes signs and blanks too. */
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || n < min || n > max)
		return -EINVAL;
	*number = n;
	return 0;
}

/* How far the unit at the end shifts; 0: it is none. */
static unsigned unit_shift(char unit)
{
	static const char units[] = "KkMmGg";
	const char *found = unit != '\0' ? strchr(units, unit) : NULL;

	return found != NULL ? 10 * ((unsigned)(found - units) / 2 + 1) : 0;
}

int nfsd_number_parse_size(const char *text, uint64_t min, uint64_t max,
                           uint64_t *number)
{
	size_t len = strlen(text);
	unsigned shift = len > 0 ? unit_shift(text[len - 1]) : 0;
	char digits[32];
	uint64_t n;

	if (len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len + 1);
	if (shift > 0)
		digits[len - 1] = '\0';
	if (nfsd_number_parse(digits, 0, UINT64_MAX >> shift, &n) != 0)
		return -EINVAL;
	n <<= shift;
	if (n < min || n > max)
		return -EINVAL;
	*number = n;
	return 0;
}
