#include "config.h"

#include "overlay/standin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/beneath.h"

#define DIRECTORY "standins"
#define NAME_SIZE 36

struct ovl_standins {
	int dir;
};

int ovl_standins_open(int workfd, struct ovl_standins **standins)
{
	struct ovl_standins *fresh;
	int dir;

	if (mkdirat(workfd, DIRECTORY, 0700) && errno != EEXIST)
		return -errno;
	dir = ovl_open_beneath(workfd, DIRECTORY, O_RDONLY | O_DIRECTORY, 0,
	                       false);
	if (dir < 0)
		return dir;
	fresh = malloc(sizeof(*fresh));
	if (!fresh) {
		close(dir);
		return -ENOMEM;
	}
	fresh->dir = dir;
	*standins = fresh;
	return 0;
}

void ovl_standins_close(struct ovl_standins *standins)
{
	if (!standins)
		return;
	close(standins->dir);
	free(standins);
}

bool ovl_standin_needed(const struct ovl_real *real)
{
	return !S_ISREG(real->type) && !S_ISDIR(real->type);
}

static void name_of(uint64_t ino, uint64_t generation, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%" PRIx64 ".%" PRIx64, ino, generation);
}

int ovl_standin_open(const struct ovl_standins *standins,
                     const struct ovl_real *real, bool make)
{
	char name[NAME_SIZE];

	name_of(real->ino, real->generation, name);
	return ovl_open_beneath(standins->dir, name,
	                        O_RDONLY | (make ? O_CREAT : 0), 0600, false);
}

void ovl_standin_remove(const struct ovl_standins *standins, uint64_t ino,
                        uint64_t generation)
{
	char name[NAME_SIZE];

	if (!standins)
		return;
	name_of(ino, generation, name);
	unlinkat(standins->dir, name, 0);
}

int ovl_standins_dir(const struct ovl_standins *standins)
{
	return standins->dir;
}
