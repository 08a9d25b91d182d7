#include "config.h"

#include "tests/unit/fake_ovl.h"

uint64_t ovl_export_id(const struct ovl *fs)
{
	return fs->id;
}

const unsigned char *ovl_handle_key(const struct ovl *fs)
{
	return fs->key;
}

void ovl_close(struct ovl *fs)
{
	fs->closed++;
}
