#include "config.h"

#include "server/export.h"

#include <errno.h>
#include <netinet/in.h>
#include <rpc/auth.h>
#include <stdlib.h>
#include <string.h>

/* A uid or gid that is none (chown's "leave it alone"). */
#define NO_ID UINT32_MAX

struct nfsd_exports {
	struct nfsd_export *list;
	size_t count;
};

struct nfsd_exports *nfsd_exports_new(void)
{
	return calloc(1, sizeof(struct nfsd_exports));
}

void nfsd_exports_free(struct nfsd_exports *exports)
{
	if (exports == NULL)
		return;
	for (size_t i = 0; i < exports->count; i++) {
		ovl_close(exports->list[i].fs);
		free(exports->list[i].path);
	}
	free(exports->list);
	free(exports);
}

int nfsd_exports_add(struct nfsd_exports *exports, const char *path,
                     struct ovl *fs, const struct nfsd_access *access)
{
	const uint64_t id = ovl_export_id(fs);
	struct nfsd_export *list;
	char *copy;

	for (size_t i = 0; i < exports->count; i++)
		if (strcmp(exports->list[i].path, path) == 0)
			return -EEXIST;
	if (nfsd_exports_by_id(exports, id) != NULL)
		return -EEXIST;

	list = reallocarray(exports->list, exports->count + 1, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	exports->list = list;
	copy = strdup(path);
	if (copy == NULL)
		return -ENOMEM;
	list[exports->count++] = (struct nfsd_export){
		.path = copy,
		.fs = fs,
		.id = id,
		.handle_key = ovl_handle_key(fs),
		.access = *access,
	};
	return 0;
}

size_t nfsd_exports_count(const struct nfsd_exports *exports)
{
	return exports->count;
}

const struct nfsd_export *nfsd_exports_get(const struct nfsd_exports *exports,
                                           size_t index)
{
	return &exports->list[index];
}

const struct nfsd_export *nfsd_exports_by_id(const struct nfsd_exports *exports,
                                             uint64_t id)
{
	for (size_t i = 0; i < exports->count; i++)
		if (exports->list[i].id == id)
			return &exports->list[i];
	return NULL;
}

/* Where `path` is `base` or lies below it: the rest of it. Both are clean. */
static const char *path_below(const char *path, const char *base)
{
	size_t len = strcmp(base, "/") == 0 ? 0 : strlen(base);

	if (strncmp(path, base, len) != 0)
		return NULL;
	path += len;
	if (*path == '\0')
		return path;
	return *path == '/' ? path + 1 : NULL;
}

const struct nfsd_export *
nfsd_exports_by_path(const struct nfsd_exports *exports, const char *path,
                     const char **below)
{
	const struct nfsd_export *nearest = NULL;

	for (size_t i = 0; i < exports->count; i++) {
		const struct nfsd_export *export = &exports->list[i];
		const char *rest = path_below(path, export->path);

		if (rest == NULL)
			continue;
		if (nearest != NULL &&
		    strlen(nearest->path) >= strlen(export->path))
			continue;
		nearest = export;
		*below = rest;
	}
	return nearest;
}

bool nfsd_export_admits(const struct nfsd_export *export,
                        const struct sockaddr *peer)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

	if (!export->access.secure)
		return true;
	switch (peer->sa_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohs(in->sin_port) < IPPORT_RESERVED;
	case AF_INET6:
		return ntohs(in6->sin6_port) < IPPORT_RESERVED;
	default:
		return false;
	}
}

/* One id under root_squash. */
static uint32_t squash_id(const struct nfsd_access *access, uint32_t id,
                          uint32_t anonymous)
{
	if (id == NO_ID || (id == 0 && access->root_squash))
		return anonymous;
	return id;
}

void nfsd_export_squash(const struct nfsd_export *export,
                        const struct orpc_cred *cred, struct ovl_caller *caller,
                        uint32_t *groups)
{
	const struct nfsd_access *access = &export->access;

	caller->groups = groups;
	caller->ngroups = 0;
	if (cred->flavor != AUTH_SYS || access->all_squash) {
		caller->uid = access->anonuid;
		caller->gid = access->anongid;
		return;
	}
	caller->uid = squash_id(access, cred->uid, access->anonuid);
	caller->gid = squash_id(access, cred->gid, access->anongid);
	for (uint32_t i = 0; i < cred->ngids && i < ORPC_MAX_GIDS; i++)
		groups[caller->ngroups++] =
			squash_id(access, cred->gids[i], access->anongid);
}
