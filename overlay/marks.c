#include "config.h"

#include "overlay/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/xattr.h"

#define PREFIX ".wh."
#define PREFIX_LEN 4
#define OPAQUE ".wh..wh..opq"

bool ovl_mark_is_name(const struct ovl_layer *layer, const char *name)
{
	return layer->wh_names && !strncmp(name, PREFIX, PREFIX_LEN);
}

const char *ovl_mark_hidden(const char *mark)
{
	const char *name = mark + PREFIX_LEN;

	/* Nothing has these names; aufs' own begin with the prefix twice. */
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") ||
	    !strncmp(name, PREFIX, PREFIX_LEN))
		return NULL;
	return name;
}

static int has(int dirfd, const char *name)
{
	struct stat st;

	if (!fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return 1;
	/* What may not be searched shows nothing that could be hidden. */
	return errno == ENOENT || errno == EACCES ? 0 : -errno;
}

#define MARK_SIZE (PREFIX_LEN + NAME_MAX + 1)

/* False: no mark has room for a name so long. */
static bool mark_of(const char *name, char mark[MARK_SIZE])
{
	return snprintf(mark, MARK_SIZE, PREFIX "%s", name) <= NAME_MAX;
}

int ovl_mark_hides(const struct ovl_layer *layer, int dirfd, const char *name)
{
	char mark[MARK_SIZE];

	if (!layer->wh_names || !mark_of(name, mark))
		return 0;
	return has(dirfd, mark);
}

int ovl_mark_hide(int dirfd, const char *name)
{
	char mark[MARK_SIZE];

	if (!mark_of(name, mark))
		return -ENAMETOOLONG;
	if (mknodat(dirfd, mark, S_IFREG | 0600, 0) && errno != EEXIST)
		return -errno;
	return 0;
}

void ovl_mark_unhide(int dirfd, const char *name)
{
	char mark[MARK_SIZE];

	if (mark_of(name, mark))
		unlinkat(dirfd, mark, 0);
}

int ovl_mark_in(const struct ovl_layer *layer, int dirfd)
{
	return layer->wh_names ? has(dirfd, OPAQUE) : 0;
}

int ovl_mark_is_opaque(const struct ovl_layer *layer, int dirfd)
{
	int opaque = ovl_xattr_is_opaque(layer, dirfd);

	return opaque ? opaque : ovl_mark_in(layer, dirfd);
}
