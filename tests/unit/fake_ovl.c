#include "config.h"

#include "tests/unit/fake_ovl.h"

#include <stdlib.h>

uint64_t ovl_export_id(const struct ovl *fs)
{
	return fs->id;
}

const unsigned char *ovl_handle_key(const struct ovl *fs)
{
	return fs->key;
}

uint64_t ovl_begin(const struct ovl *fs)
{
	(void)fs;
	return 0;
}

void ovl_close(struct ovl *fs)
{
	fs->closed++;
}

/* What is linked here may name these, and calls none of them. */
int ovl_open(const struct ovl_config *config, struct ovl **fs, char *why,
             size_t size)
{
	(void)config;
	(void)fs;
	(void)why;
	(void)size;
	abort();
}

void ovl_stats(struct ovl *fs, struct ovl_stats *stats)
{
	(void)fs;
	(void)stats;
	abort();
}
