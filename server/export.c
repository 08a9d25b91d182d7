#include "config.h"

#include "server/export.h"

#include <errno.h>
#include <netinet/in.h>
#include <rpc/auth.h>
#include <stdlib.h>
#include <string.h>

#include "server/per_client.h"

/* No id (see chown(2)); whoever calls with it becomes anonymous. */
#define NO_ID UINT32_MAX

/* Tables come and go in one thread. */
struct nfsd_overlay {
	struct ovl *fs;
	unsigned tables; /* that have it */
};

/* Lists of pointers: what they point to stays where it is. */
struct nfsd_exports {
	struct nfsd_hosts *hosts;
	struct nfsd_groups *groups;
	struct nfsd_export **exports;
	size_t nexports;
	struct nfsd_export **by_id; /* the same, in that order */
	struct nfsd_point **points;
	size_t npoints;
	struct own_each {
		struct nfsd_per_client *per_client;
		const struct nfsd_point *point;
	} * per_client;
	size_t nper_client;
	uint64_t *gone; /* ids of what was exported before */
	size_t ngone;
	bool has_deferred;
};

struct nfsd_exports *nfsd_exports_new(struct nfsd_hosts *hosts,
                                      struct nfsd_groups *groups)
{
	struct nfsd_exports *exports = calloc(1, sizeof(*exports));

	if (exports == NULL)
		return NULL;
	exports->hosts = hosts;
	exports->groups = groups;
	return exports;
}

struct nfsd_groups *nfsd_exports_groups(const struct nfsd_exports *exports)
{
	return exports->groups;
}

struct nfsd_hosts *nfsd_exports_hosts(const struct nfsd_exports *exports)
{
	return exports->hosts;
}

static void point_free(struct nfsd_point *point)
{
	for (size_t i = 0; i < point->ngrants; i++)
		nfsd_client_release(&point->grants[i].client);
	free(point->grants);
	free(point->path);
	free(point);
}

static void overlay_unref(struct nfsd_overlay *overlay)
{
	if (--overlay->tables > 0)
		return;
	ovl_close(overlay->fs);
	free(overlay);
}

void nfsd_exports_free(struct nfsd_exports *exports)
{
	if (exports == NULL)
		return;
	for (size_t i = 0; i < exports->nexports; i++) {
		overlay_unref(exports->exports[i]->overlay);
		free(exports->exports[i]);
	}
	for (size_t i = 0; i < exports->npoints; i++)
		point_free(exports->points[i]);
	for (size_t i = 0; i < exports->nper_client; i++)
		nfsd_per_client_unref(exports->per_client[i].per_client);
	free(exports->per_client);
	free(exports->exports);
	free(exports->by_id);
	free(exports->points);
	free(exports->gone);
	free(exports);
}

/* ---- filling ----------------------------------------------------------------- */

static struct nfsd_point *find_point(const struct nfsd_exports *exports,
                                     const char *path)
{
	for (size_t i = 0; i < exports->npoints; i++)
		if (strcmp(exports->points[i]->path, path) == 0)
			return exports->points[i];
	return NULL;
}

/* Room for one more pointer in a list of `n`. */
static bool grow(void *list, size_t n)
{
	void ***pointers = list;
	void **larger = reallocarray(*pointers, n + 1, sizeof(*larger));

	if (larger != NULL)
		*pointers = larger;
	return larger != NULL;
}

static struct nfsd_point *have_point(struct nfsd_exports *exports,
                                     const char *path)
{
	struct nfsd_point *point = find_point(exports, path);

	if (point != NULL)
		return point;
	if (!grow(&exports->points, exports->npoints))
		return NULL;
	point = calloc(1, sizeof(*point));
	if (point == NULL)
		return NULL;
	point->path = strdup(path);
	if (point->path == NULL) {
		free(point);
		return NULL;
	}
	exports->points[exports->npoints++] = point;
	return point;
}

/* Into the list in the order of ids, which has room for it. */
static void insert_by_id(struct nfsd_exports *exports,
                         struct nfsd_export *export)
{
	size_t at = exports->nexports;

	for (; at > 0 && exports->by_id[at - 1]->id > export->id; at--)
		exports->by_id[at] = exports->by_id[at - 1];
	exports->by_id[at] = export;
}

/* The overlay is the caller's still where this fails. */
static int add_overlay(struct nfsd_exports *exports, const char *path,
                       const struct nfsd_export_config *config,
                       struct nfsd_overlay *overlay,
                       const struct nfsd_export **out)
{
	const uint64_t id = ovl_export_id(overlay->fs);
	struct nfsd_export *export;
	struct nfsd_point *point;

	if (nfsd_exports_by_id(exports, id) != NULL)
		return -EEXIST;
	point = have_point(exports, path);
	if (point == NULL || !grow(&exports->exports, exports->nexports) ||
	    !grow(&exports->by_id, exports->nexports))
		return -ENOMEM;
	export = malloc(sizeof(*export));
	if (export == NULL)
		return -ENOMEM;
	*export = (struct nfsd_export){
		.point = point,
		.overlay = overlay,
		.fs = overlay->fs,
		.id = id,
		.handle_key = ovl_handle_key(overlay->fs),
		.config = config,
	};
	insert_by_id(exports, export);
	exports->exports[exports->nexports++] = export;
	*out = export;
	return 0;
}

int nfsd_exports_add(struct nfsd_exports *exports, const char *path,
                     const struct nfsd_export_config *config, struct ovl *fs,
                     const struct nfsd_export **out)
{
	struct nfsd_overlay *overlay = malloc(sizeof(*overlay));
	int err = -ENOMEM;

	if (overlay != NULL) {
		*overlay = (struct nfsd_overlay){ .fs = fs, .tables = 1 };
		err = add_overlay(exports, path, config, overlay, out);
	}
	if (err != 0)
		free(overlay);
	return err;
}

int nfsd_exports_share(struct nfsd_exports *exports, const char *path,
                       const struct nfsd_export_config *config,
                       const struct nfsd_export *other,
                       const struct nfsd_export **out)
{
	int err = add_overlay(exports, path, config, other->overlay, out);

	if (err == 0)
		other->overlay->tables++;
	return err;
}

/* Behind those that are as specific: the first of them counts. */
static int add_grant(struct nfsd_point *point, struct nfsd_grant grant)
{
	struct nfsd_grant *grants;
	size_t at;

	grants = reallocarray(point->grants, point->ngrants + 1,
	                      sizeof(*grants));
	if (grants == NULL)
		return -ENOMEM;
	point->grants = grants;
	grant.client.text = strdup(grant.client.text);
	if (grant.client.text == NULL)
		return -ENOMEM;
	for (at = point->ngrants; at > 0; at--) {
		if (!nfsd_client_before(&grant.client, &grants[at - 1].client))
			break;
		grants[at] = grants[at - 1];
	}
	grants[at] = grant;
	point->ngrants++;
	return 0;
}

int nfsd_exports_allow(struct nfsd_exports *exports,
                       const struct nfsd_export *export,
                       const struct nfsd_client *client,
                       const struct nfsd_access *access)
{
	return add_grant(find_point(exports, export->point->path),
	                 (struct nfsd_grant){ .client = *client,
	                                      .access = *access,
	                                      .export = export });
}

static int have_per_client(struct nfsd_exports *exports,
                           struct nfsd_per_client *per_client,
                           const struct nfsd_point *point)
{
	struct own_each *list;

	for (size_t i = 0; i < exports->nper_client; i++)
		if (exports->per_client[i].per_client == per_client)
			return 0;
	list = reallocarray(exports->per_client, exports->nper_client + 1,
	                    sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	exports->per_client = list;
	list[exports->nper_client++] = (struct own_each){ per_client, point };
	nfsd_per_client_ref(per_client);
	return 0;
}

int nfsd_exports_allow_each(struct nfsd_exports *exports, const char *path,
                            struct nfsd_per_client *per_client,
                            const struct nfsd_client *client,
                            const struct nfsd_access *access)
{
	struct nfsd_point *point = have_point(exports, path);

	if (point == NULL || have_per_client(exports, per_client, point) != 0)
		return -ENOMEM;
	return add_grant(point,
	                 (struct nfsd_grant){ .client = *client,
	                                      .access = *access,
	                                      .per_client = per_client });
}

int nfsd_exports_defer(struct nfsd_exports *exports, const char *path,
                       const struct nfsd_client *client,
                       const struct nfsd_access *access)
{
	struct nfsd_point *point = have_point(exports, path);

	exports->has_deferred = true;
	if (point == NULL)
		return -ENOMEM;
	return add_grant(point, (struct nfsd_grant){ .client = *client,
	                                             .access = *access });
}

static bool was_exported(const struct nfsd_exports *exports, uint64_t id)
{
	for (size_t i = 0; i < exports->ngone; i++)
		if (exports->gone[i] == id)
			return true;
	return false;
}

/* Where a table's list of what is gone is in the making. */
struct following {
	struct nfsd_exports *exports;
	int err;
};

static void follow_id(struct following *following, uint64_t id)
{
	struct nfsd_exports *exports = following->exports;
	uint64_t *gone;

	if (following->err != 0 || nfsd_exports_by_id(exports, id) != NULL ||
	    was_exported(exports, id))
		return;
	gone = reallocarray(exports->gone, exports->ngone + 1, sizeof(*gone));
	if (gone == NULL) {
		following->err = -ENOMEM;
		return;
	}
	exports->gone = gone;
	gone[exports->ngone++] = id;
}

static void follow_own(void *following, const struct nfsd_export *export)
{
	follow_id(following, export->id);
}

int nfsd_exports_follow(struct nfsd_exports *exports,
                        const struct nfsd_exports *old)
{
	struct following following = { .exports = exports };

	for (size_t i = 0; i < old->ngone; i++)
		follow_id(&following, old->gone[i]);
	for (size_t i = 0; i < old->nexports; i++)
		follow_id(&following, old->exports[i]->id);
	for (size_t i = 0; i < old->nper_client; i++)
		nfsd_per_client_each(old->per_client[i].per_client, follow_own,
		                     &following);
	return following.err;
}

/* ---- finding ----------------------------------------------------------------- */

size_t nfsd_exports_nper_client(const struct nfsd_exports *exports)
{
	return exports->nper_client;
}

struct nfsd_per_client *
nfsd_exports_per_client(const struct nfsd_exports *exports, size_t index,
                        const struct nfsd_point **point)
{
	*point = exports->per_client[index].point;
	return exports->per_client[index].per_client;
}

const struct nfsd_point *
nfsd_exports_point_of(const struct nfsd_exports *exports,
                      const struct nfsd_export *export)
{
	if (export->per_client == NULL)
		return export->point;
	for (size_t i = 0; i < exports->nper_client; i++)
		if (exports->per_client[i].per_client == export->per_client)
			return exports->per_client[i].point;
	return NULL;
}

size_t nfsd_exports_count(const struct nfsd_exports *exports)
{
	return exports->nexports;
}

const struct nfsd_export *nfsd_exports_get(const struct nfsd_exports *exports,
                                           size_t index)
{
	return exports->exports[index];
}

size_t nfsd_exports_npoints(const struct nfsd_exports *exports)
{
	return exports->npoints;
}

const struct nfsd_point *nfsd_exports_point(const struct nfsd_exports *exports,
                                            size_t index)
{
	return exports->points[index];
}

static const struct nfsd_export *find_own(const struct nfsd_exports *exports,
                                          uint64_t id)
{
	const struct nfsd_export *found = NULL;

	for (size_t i = 0; found == NULL && i < exports->nper_client; i++)
		found = nfsd_per_client_by_id(exports->per_client[i].per_client,
		                              id);
	return found;
}

const struct nfsd_export *nfsd_exports_by_id(const struct nfsd_exports *exports,
                                             uint64_t id)
{
	size_t low = 0, high = exports->nexports;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (exports->by_id[mid]->id == id)
			return exports->by_id[mid];
		if (exports->by_id[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return find_own(exports, id);
}

int nfsd_exports_why_not(const struct nfsd_exports *exports, uint64_t id)
{
	if (!was_exported(exports, id))
		return -EBADFD;
	return exports->has_deferred ? -EINPROGRESS : -ESTALE;
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

const struct nfsd_point *
nfsd_exports_by_path(const struct nfsd_exports *exports, const char *path,
                     const char **below)
{
	const struct nfsd_point *nearest = NULL;

	for (size_t i = 0; i < exports->npoints; i++) {
		const struct nfsd_point *point = exports->points[i];
		const char *rest = path_below(path, point->path);

		if (rest == NULL)
			continue;
		if (nearest != NULL &&
		    strlen(nearest->path) >= strlen(point->path))
			continue;
		nearest = point;
		*below = rest;
	}
	return nearest;
}

/* ---- who may call --------------------------------------------------------------- */

static bool has_port_of_root(const struct sockaddr *peer)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

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

/* 1: the peer is one of them; 0: not; as nfsd_hosts_match. */
static int match(const struct nfsd_exports *exports,
                 const struct nfsd_client *client,
                 const struct in6_addr *address, bool may_wait)
{
	if (client->kind == NFSD_CLIENT_ANYBODY)
		return 1;
	if (address == NULL)
		return 0;
	if (!nfsd_client_needs_name(client))
		return nfsd_client_has_address(client, address);
	return nfsd_hosts_match(exports->hosts, client, address, may_wait);
}

int nfsd_exports_admit(const struct nfsd_exports *exports,
                       const struct nfsd_point *point,
                       const struct sockaddr *peer, bool may_wait,
                       const struct nfsd_grant **grant)
{
	struct in6_addr address;
	const bool has_address = nfsd_client_address(peer, &address);

	for (size_t i = 0; i < point->ngrants; i++) {
		const struct nfsd_grant *one = &point->grants[i];
		int is_one = match(exports, &one->client,
		                   has_address ? &address : NULL, may_wait);

		if (is_one < 0)
			return is_one;
		if (is_one == 0)
			continue;
		if (one->access.secure && !has_port_of_root(peer))
			return -EACCES;
		if (one->export == NULL && one->per_client == NULL)
			return -EINPROGRESS;
		*grant = one;
		return 0;
	}
	return -EACCES;
}

int nfsd_grant_export(const struct nfsd_grant *grant,
                      const struct sockaddr *peer, bool may_wait, bool make,
                      const struct nfsd_export **export)
{
	struct in6_addr address;

	*export = grant->export;
	if (grant->per_client == NULL)
		return 0;
	if (!nfsd_client_address(peer, &address))
		return -EACCES;
	return nfsd_per_client_find(grant->per_client, &grant->client, &address,
	                            may_wait, make, export);
}

int nfsd_exports_open_own(const struct nfsd_exports *exports,
                          const struct sockaddr *peer, bool may_wait)
{
	const struct nfsd_export *export;
	const struct nfsd_grant *grant;
	int err = 0;

	for (size_t i = 0; i < exports->nper_client; i++) {
		err = nfsd_exports_admit(exports, exports->per_client[i].point,
		                         peer, may_wait, &grant);
		if (err == 0)
			err = nfsd_grant_export(grant, peer, may_wait, false,
			                        &export);
		if (err == -EAGAIN || err == -EINPROGRESS)
			return err;
	}
	return 0;
}

/* One id under root_squash. */
static uint32_t squash_id(const struct nfsd_access *access, uint32_t id,
                          uint32_t anonymous)
{
	if (id == NO_ID || (id == 0 && access->root_squash))
		return anonymous;
	return id;
}

void nfsd_grant_squash(const struct nfsd_access *access,
                       const struct orpc_cred *cred, struct ovl_caller *caller,
                       uint32_t *groups)
{
	caller->read_only = access->read_only;
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
