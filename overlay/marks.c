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

/* 1, 0 or -errno. */
static int is_whiteout(const struct ovl_layer *layer, int dirfd,
                       const char *name, const struct stat *st)
{
	int err;

	if (S_ISCHR(st->st_mode))
		return st->st_rdev == 0;
	if (!S_ISREG(st->st_mode) || st->st_size)
		return 0;
	err = ovl_xattr_may_hold_whiteouts(layer, dirfd);
	return err > 0 ? ovl_xattr_is_whiteout(layer, dirfd, name) : err;
}

int ovl_mark_seek(const struct ovl_layer *layer, int dirfd, const char *name)
{
	struct stat st;
	int err;

	if (ovl_mark_is_name(layer, name))
		return 0;
	if (!fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) {
		err = is_whiteout(layer, dirfd, name, &st);
		return err > 0 ? -ENOENT : err < 0 ? err : 1;
	}
	if (errno != ENOENT)
		return -errno;
	err = ovl_mark_hides(layer, dirfd, name);
	return err > 0 ? -ENOENT : err;
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
