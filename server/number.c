#include "config.h"

#include "server/number.h"

#include <errno.h>
#include <stdlib.h>

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
