#include "config.h"

#include "tests/libnfs/mount.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nfs_context *mount_export(const struct daemon *daemon, const char *path)
{
	struct nfs_context *nfs = nfs_init_context();
	struct nfs_url *url;
	char text[256];

	ck_assert_ptr_nonnull(nfs);
	snprintf(text, sizeof(text),
	         "nfs://127.0.0.1" DAEMON_EXPORT "%s?nfsport=%u&mountport=%u",
	         path, daemon->port, daemon->port);
	url = nfs_parse_url_dir(nfs, text);
	ck_assert_msg(url != NULL, "%s", nfs_get_error(nfs));
	ck_nfs(nfs, nfs_mount(nfs, url->server, url->path));
	nfs_destroy_url(url);
	return nfs;
}

void unmount_export(struct nfs_context *nfs)
{
	ck_nfs(nfs, nfs_umount(nfs));
	nfs_destroy_context(nfs);
}

void put_file(struct nfs_context *nfs, const char *path, const void *contents,
              size_t size)
{
	struct nfsfh *file;

	ck_nfs(nfs, nfs_creat(nfs, path, 0644, &file));
	ck_nfs(nfs, nfs_pwrite(nfs, file, 0, size, contents));
	ck_nfs(nfs, nfs_close(nfs, file));
}

void check_file(struct nfs_context *nfs, const char *path, const void *contents,
                size_t size)
{
	char *found = malloc(size + 1);
	struct nfsfh *file;
	int n;

	ck_assert_ptr_nonnull(found);
	ck_nfs(nfs, nfs_open(nfs, path, O_RDONLY, &file));
	ck_nfs(nfs, n = nfs_pread(nfs, file, 0, size + 1, found));
	ck_assert_uint_eq((size_t)n, size);
	ck_assert(memcmp(found, contents, size) == 0);
	ck_nfs(nfs, nfs_close(nfs, file));
	free(found);
}

size_t count_names(struct nfs_context *nfs, const char *path)
{
	struct nfsdirent *entry;
	struct nfsdir *dir;
	size_t n = 0;

	ck_nfs(nfs, nfs_opendir(nfs, path, &dir));
	while ((entry = nfs_readdir(nfs, dir)) != NULL)
		n += strcmp(entry->name, ".") != 0 &&
		     strcmp(entry->name, "..") != 0;
	nfs_closedir(nfs, dir);
	return n;
}
