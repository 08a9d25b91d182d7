#include "config.h"

#include "overlay/links.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/xattr.h"

/*
 * The value of OVL_XATTR_LINKS: '=' and the count, or '+' or '-' and the
 * difference. All have one length: another value takes no more space than the
 * one before, and names can be removed on a full disk.
 */
#define VALUE_FORMAT "%c%010u"
#define VALUE_LEN 11

/* How the count is kept with the copy. */
struct links {
	bool absolute;
	int64_t number;
};

/* How it looks, where that decides on what carries its attributes. */
static int look_at_self(const struct ovl_layer *layer, int fd,
                        struct ovl_real *self)
{
	*self = (struct ovl_real){ .type = S_IFREG };
	return layer->standins ? ovl_layer_look(layer, fd, "", self) : 0;
}

/* -ENODATA: there is none, or one that makes no sense. */
static int read_links(const struct ovl_layer *layer, int fd,
                      const struct ovl_real *self, struct links *links)
{
	char value[VALUE_LEN + 1] = "", *end;
	unsigned long number;
	ssize_t len = ovl_xattr_get_for(layer, fd, self, OVL_XATTR_LINKS, value,
	                                VALUE_LEN);

	if (len < 0 && len != -ERANGE)
		return (int)len;
	if (len != VALUE_LEN || !isdigit((unsigned char)value[1]))
		return -ENODATA;
	number = strtoul(value + 1, &end, 10);
	if (*end || number > UINT32_MAX || !strchr("=+-", value[0]))
		return -ENODATA;
	links->absolute = value[0] == '=';
	links->number = value[0] == '-' ? -(int64_t)number : (int64_t)number;
	return 0;
}

static int write_links(const struct ovl_layer *layer, int fd,
                       const struct ovl_real *self, const struct links *links)
{
	char sign = links->absolute ? '=' : links->number < 0 ? '-' : '+';
	int64_t number = links->number < 0 ? -links->number : links->number;
	char value[VALUE_LEN + 1];

	snprintf(value, sizeof(value), VALUE_FORMAT, sign, (unsigned)number);
	return ovl_xattr_set_for(layer, fd, self, OVL_XATTR_LINKS, value,
	                         VALUE_LEN);
}

static uint32_t count_of(const struct links *links, uint32_t nlink)
{
	int64_t count = links->number + (links->absolute ? 0 : nlink);

	return count < 0 ? 0 : (uint32_t)count;
}

static int count_links(const struct ovl_layer *layer, int fd,
                       const struct ovl_real *self, uint32_t nlink,
                       uint32_t *count)
{
	struct links links = { 0 };
	int err = read_links(layer, fd, self, &links);

	if (!err)
		*count = count_of(&links, nlink);
	else if (err == -ENODATA)
		*count = nlink ? nlink - 1 : 0; /* but for the index's own */
	return err == -ENODATA ? 0 : err ? err : 1;
}

int ovl_links_count(const struct ovl_layer *layer, int fd, uint32_t nlink,
                    uint32_t *count)
{
	struct ovl_real self;
	int err = look_at_self(layer, fd, &self);

	return err ? err : count_links(layer, fd, &self, nlink, count);
}

int ovl_links_set(const struct ovl_layer *layer, int fd, uint32_t count)
{
	const struct links links = { .absolute = true, .number = count };
	struct ovl_real self;
	int err = look_at_self(layer, fd, &self);

	return err ? err : write_links(layer, fd, &self, &links);
}

static int make(const struct ovl_layer *layer, int fd, bool absolute)
{
	struct links links = { 0 };
	struct ovl_real self;
	struct stat st;
	int err;

	err = look_at_self(layer, fd, &self);
	if (!err)
		err = read_links(layer, fd, &self, &links);
	if (err || links.absolute == absolute)
		return err == -ENODATA ? 0 : err;
	if (fstat(fd, &st))
		return -errno;
	links.number = count_of(&links, st.st_nlink);
	if (!absolute)
		links.number -= st.st_nlink;
	links.absolute = absolute;
	return write_links(layer, fd, &self, &links);
}

int ovl_links_make_absolute(const struct ovl_layer *layer, int fd)
{
	return make(layer, fd, true);
}

int ovl_links_make_relative(const struct ovl_layer *layer, int fd)
{
	return make(layer, fd, false);
}

int ovl_links_look(const struct ovl_layer *layer, int dirfd, const char *name,
                   struct ovl_real *real)
{
	int fd = dirfd, err;
	uint32_t count = 0;

	if (*name)
		fd = ovl_layer_open(layer, dirfd, name, O_PATH, false);
	if (fd < 0)
		return fd;
	err = ovl_layer_look(layer, fd, "", real);
	/* In this order: a change that comes in between is right already. */
	if (!err)
		err = count_links(layer, fd, real, real->attr.nlink, &count);
	if (*name)
		close(fd);
	if (err < 0)
		return err;
	real->attr.nlink = count ? count : 1;
	return 0;
}
