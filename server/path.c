#include "config.h"

#include "server/path.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool has_dotdot(const char *path)
{
	for (; *path != '\0'; path += strcspn(path, "/")) {
		path += strspn(path, "/");
		if (strcspn(path, "/") == 2 && strncmp(path, "..", 2) == 0)
			return true;
	}
	return false;
}

int nfsd_path_clean(char *path)
{
	const char *in = path;
	char *out = path;

	if (path[0] != '/' || has_dotdot(path))
		return -EINVAL;
	for (;;) {
		size_t len;

		in += strspn(in, "/");
		len = strcspn(in, "/");
		if (len == 0)
			break;
		if (len != 1 || *in != '.') {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
	return 0;
}
