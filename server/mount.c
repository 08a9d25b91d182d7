#include "config.h"

#include "server/mount.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <rpc/auth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/handle.h"
#include "server/mount_prot.h"
#include "server/mount_table.h"
#include "server/path.h"
#include "server/status.h"

/*
 * How long what cannot be told yet is waited for: a name is looked up for 15 seconds at
 * most, so whoever waits for his turn has had the chance of one. A client waits longer
 * for an answer by TCP (Linux: a minute).
 */
#define PATIENCE_MS 20000
/* Until it is tried again, which costs next to nothing. */
#define PAUSE_MS 50

struct nfsd_mount {
	struct nfsd_serving *serving;
	struct nfsd_mount_table *table;
	pthread_mutex_t lock;   /* guards what is below */
	pthread_cond_t is_over; /* on CLOCK_MONOTONIC */
	unsigned waiting;
	bool over;
};

static void init_waiting(struct nfsd_mount *mount)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&mount->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&mount->is_over, &attr);
	pthread_condattr_destroy(&attr);
	mount->waiting = 0;
	mount->over = false;
}

struct nfsd_mount *nfsd_mount_new(struct nfsd_serving *serving)
{
	struct nfsd_mount *mount = malloc(sizeof(*mount));

	if (mount == NULL)
		return NULL;
	mount->serving = serving;
	mount->table = nfsd_mount_table_new();
	if (mount->table == NULL) {
		free(mount);
		return NULL;
	}
	init_waiting(mount);
	return mount;
}

void nfsd_mount_free(struct nfsd_mount *mount)
{
	if (mount == NULL)
		return;
	pthread_cond_destroy(&mount->is_over);
	pthread_mutex_destroy(&mount->lock);
	nfsd_mount_table_free(mount->table);
	free(mount);
}

void nfsd_mount_wind_up(struct nfsd_mount *mount)
{
	pthread_mutex_lock(&mount->lock);
	mount->over = true;
	pthread_cond_broadcast(&mount->is_over);
	pthread_mutex_unlock(&mount->lock);
}

/* The peer's address as text. */
static void host_name(const struct sockaddr *peer, char *name, socklen_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

	snprintf(name, size, "local");
	if (peer->sa_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, name, size);
	else if (peer->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &in6->sin6_addr, name, size);
}

/* ---- waiting ------------------------------------------------------------- */

static struct timespec after_ms(long ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += ms / 1000;
	time.tv_nsec += ms % 1000 * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

static bool has_come(struct timespec time)
{
	const struct timespec now = after_ms(0);

	return !ovl_time_is_before(&now, &time);
}

/* False: too many do, or the server ends. */
static bool begin_waiting(struct nfsd_mount *mount)
{
	bool may;

	pthread_mutex_lock(&mount->lock);
	may = !mount->over && mount->waiting < NFSD_MOUNT_MAX_WAITING;
	mount->waiting += may;
	pthread_mutex_unlock(&mount->lock);
	return may;
}

static void end_waiting(struct nfsd_mount *mount)
{
	pthread_mutex_lock(&mount->lock);
	mount->waiting--;
	pthread_mutex_unlock(&mount->lock);
}

/* False: the server ends. */
static bool wait_a_little(struct nfsd_mount *mount)
{
	const struct timespec until = after_ms(PAUSE_MS);
	bool over;

	pthread_mutex_lock(&mount->lock);
	while (!mount->over &&
	       pthread_cond_timedwait(&mount->is_over, &mount->lock, &until) !=
	               ETIMEDOUT)
		;
	over = mount->over;
	pthread_mutex_unlock(&mount->lock);
	return !over;
}

/* ---- MNT ---------------------------------------------------------------- */

/* Replace *node by its child of the first `len` bytes of `name`. */
static int descend(const struct nfsd_export *export,
                   const struct ovl_caller *caller, const char *name,
                   size_t len, struct ovl_node **node)
{
	char text[NAME_MAX + 1];
	struct ovl_node *child;
	int err;

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(text, name, len);
	text[len] = '\0';
	err = ovl_lookup(export->fs, caller, *node, text, &child);
	if (err != 0)
		return err;
	ovl_node_unref(*node);
	*node = child;
	return 0;
}

/*
 * The directory `below` the root of an export. It is looked up as root, as
 * Linux does: who mounts is root of his machine or nobody at all, and what
 * users may see is decided when they come. Symlinks are no directories.
 */
static int walk(const struct nfsd_export *export, bool may_wait,
                const char *below, struct ovl_id *id)
{
	const struct ovl_caller root = { .may_wait = may_wait };
	struct ovl_node *node = ovl_root(export->fs);
	int err = 0;

	while (err == 0 && *below != '\0') {
		size_t len = strcspn(below, "/");

		err = descend(export, &root, below, len, &node);
		below += len;
		below += strspn(below, "/");
	}
	if (err == 0 && !S_ISDIR(ovl_node_type(node)))
		err = -ENOTDIR;
	if (err == 0)
		*id = ovl_node_id(node);
	ovl_node_unref(node);
	return err;
}

/* The handle of what the clean `path` names. */
static int find(const struct nfsd_exports *exports,
                const struct orpc_call *call, const char *path,
                unsigned char handle[NFSD_HANDLE_BYTES])
{
	const struct nfsd_export *export;
	const struct nfsd_point *point;
	const struct nfsd_grant *grant;
	const char *below;
	struct ovl_id id;
	int err;

	point = nfsd_exports_by_path(exports, path, &below);
	if (point == NULL)
		return -ENOENT;
	err = nfsd_exports_admit(exports, point, call->peer, call->may_wait,
	                         &grant);
	if (err == 0)
		err = nfsd_grant_export(grant, call->peer, call->may_wait, true,
		                        &export);
	if (err == 0)
		err = walk(export, call->may_wait, below, &id);
	if (err == 0)
		nfsd_handle_encode(export, id, handle);
	return err;
}

/* The same of the exports in force. */
static int find_now(struct nfsd_mount *mount, const struct orpc_call *call,
                    const char *path, unsigned char handle[NFSD_HANDLE_BYTES])
{
	unsigned entry;
	int err = find(nfsd_serving_begin(mount->serving, &entry), call, path,
	               handle);

	nfsd_serving_end(mount->serving, entry);
	return err;
}

static bool is_for_later(int err)
{
	return err == -EAGAIN || err == -EINPROGRESS;
}

/*
 * NFS tells a client to come again; MOUNT has no status for that, and mount.nfs takes
 * each that there is as final. So, in the pool, it is tried again here, for a while.
 * Between tries nobody has the exports: a reload waits for those who have, and it may
 * be what is waited for.
 */
static int find_in_time(struct nfsd_mount *mount, const struct orpc_call *call,
                        const char *path,
                        unsigned char handle[NFSD_HANDLE_BYTES])
{
	const struct timespec until = after_ms(PATIENCE_MS);
	int err = find_now(mount, call, path, handle);

	if (!is_for_later(err) || !call->may_wait || !begin_waiting(mount))
		return err;
	while (is_for_later(err) && !has_come(until) && wait_a_little(mount))
		err = find_now(mount, call, path, handle);
	end_waiting(mount);
	return err;
}

static bool_t put_mnt3(XDR *xdr, int err, unsigned char *handle)
{
	/* In order of preference; BSD clients want to see AUTH_SYS. */
	int flavors[] = { AUTH_SYS, AUTH_NONE };
	mountres3 res = { .fhs_status = nfsd_status_mount3(err) };
	mountres3_ok *ok = &res.mountres3_u.mountinfo;

	ok->fhandle.fhandle3_len = NFSD_HANDLE_BYTES;
	ok->fhandle.fhandle3_val = (char *)handle;
	ok->auth_flavors.auth_flavors_len = 2;
	ok->auth_flavors.auth_flavors_val = flavors;
	return xdr_mountres3(xdr, &res);
}

static bool_t put_mnt1(XDR *xdr, int err, const unsigned char *handle)
{
	fhstatus res = { .fhs_status = nfsd_status_mount1(err) };

	memcpy(res.fhstatus_u.fhs_fhandle, handle, FHSIZE);
	return xdr_fhstatus(xdr, &res);
}

_Static_assert(FHSIZE == NFSD_HANDLE_BYTES, "version 1 takes the handle");

static enum orpc_status mnt(struct orpc_call *call, void *arg)
{
	unsigned char handle[NFSD_HANDLE_BYTES] = { 0 };
	char host[INET6_ADDRSTRLEN];
	struct nfsd_mount *mount = arg;
	dirpath path = NULL;
	bool_t ok;
	int err;

	if (!xdr_dirpath(&call->args, &path))
		return ORPC_GARBAGE_ARGS;
	err = nfsd_path_clean(path);
	if (err == 0)
		err = find_in_time(mount, call, path, handle);
	if (err == 0) {
		host_name(call->peer, host, sizeof(host));
		nfsd_mount_table_add(mount->table, host, path);
	}
	xdr_free((xdrproc_t)xdr_dirpath, &path);
	if (is_for_later(err) && !call->may_wait)
		return ORPC_WAIT;
	ok = call->vers == MOUNT_V1 ? put_mnt1(&call->results, err, handle)
	                            : put_mnt3(&call->results, err, handle);
	return ok ? ORPC_DONE : ORPC_SYSTEM_ERR;
}

/* ---- the others --------------------------------------------------------- */

static enum orpc_status null(struct orpc_call *call, void *arg)
{
	(void)call;
	(void)arg;
	return ORPC_DONE;
}

static enum orpc_status dump(struct orpc_call *call, void *arg)
{
	struct nfsd_mount *mount = arg;
	size_t room = nfsd_mount_table_bytes(mount->table);

	if (room > call->max_results)
		room = call->max_results;
	if (orpc_call_reserve(call, room) != 0 ||
	    !nfsd_mount_table_encode(mount->table, &call->results, room))
		return ORPC_SYSTEM_ERR;
	return ORPC_DONE;
}

static enum orpc_status umnt(struct orpc_call *call, void *arg)
{
	char host[INET6_ADDRSTRLEN];
	struct nfsd_mount *mount = arg;
	dirpath path = NULL;

	if (!xdr_dirpath(&call->args, &path))
		return ORPC_GARBAGE_ARGS;
	host_name(call->peer, host, sizeof(host));
	if (nfsd_path_clean(path) == 0)
		nfsd_mount_table_remove(mount->table, host, path);
	xdr_free((xdrproc_t)xdr_dirpath, &path);
	return ORPC_DONE;
}

static enum orpc_status umntall(struct orpc_call *call, void *arg)
{
	char host[INET6_ADDRSTRLEN];
	struct nfsd_mount *mount = arg;

	host_name(call->peer, host, sizeof(host));
	nfsd_mount_table_remove(mount->table, host, NULL);
	return ORPC_DONE;
}

/* The clients of a path as a list of groups; one without any is everybody's. */
static bool is_for_anybody(const struct nfsd_point *point)
{
	return point->ngrants == 1 &&
	       point->grants[0].client.kind == NFSD_CLIENT_ANYBODY;
}

/* As it was written; a netgroup's with its "@". To be freed. */
static char *group_name(const struct nfsd_client *client)
{
	char *name;

	return asprintf(&name, "%s%s",
	                client->kind == NFSD_CLIENT_NETGROUP ? "@" : "",
	                client->text) < 0
	               ? NULL
	               : name;
}

static size_t group_bytes(const struct nfsd_client *client)
{
	return 4 + 4 + RNDUP(1 + strlen(client->text));
}

static size_t export_bytes(const struct nfsd_point *point)
{
	size_t bytes = 4 + 4 + RNDUP(strlen(point->path)) + 4;

	for (size_t i = 0; i < point->ngrants; i++)
		bytes += group_bytes(&point->grants[i].client);
	return bytes;
}

static bool put_groups(XDR *xdr, const struct nfsd_point *point)
{
	bool_t yes = TRUE, no = FALSE;
	char *name;
	bool ok = true;

	for (size_t i = 0; ok && i < point->ngrants; i++) {
		if (is_for_anybody(point))
			break;
		name = group_name(&point->grants[i].client);
		ok = name != NULL && xdr_bool(xdr, &yes) &&
		     xdr_string(xdr, &name, (u_int)strlen(name));
		free(name);
	}
	return ok && xdr_bool(xdr, &no);
}

static enum orpc_status list_exports(struct orpc_call *call,
                                     const struct nfsd_exports *exports)
{
	const size_t count = nfsd_exports_npoints(exports);
	bool_t yes = TRUE, no = FALSE;
	XDR *xdr = &call->results;
	size_t bytes = 4;

	for (size_t i = 0; i < count; i++)
		bytes += export_bytes(nfsd_exports_point(exports, i));
	if (orpc_call_reserve(call, bytes) != 0)
		return ORPC_SYSTEM_ERR;
	for (size_t i = 0; i < count; i++) {
		const struct nfsd_point *point = nfsd_exports_point(exports, i);
		dirpath path = point->path;

		if (!xdr_bool(xdr, &yes) || !xdr_dirpath(xdr, &path) ||
		    !put_groups(xdr, point))
			return ORPC_SYSTEM_ERR;
	}
	return xdr_bool(xdr, &no) ? ORPC_DONE : ORPC_SYSTEM_ERR;
}

static enum orpc_status export_list(struct orpc_call *call, void *arg)
{
	struct nfsd_mount *mount = arg;
	enum orpc_status status;
	unsigned entry;

	status = list_exports(call, nfsd_serving_begin(mount->serving, &entry));
	nfsd_serving_end(mount->serving, entry);
	return status;
}

/* Both versions; version 1 has an EXPORTALL, which is EXPORT. */
static const struct orpc_proc procs[] = {
	[MOUNTPROC_NULL] = { "NULL", null, ORPC_AGAIN },
	[MOUNTPROC_MNT] = { "MNT", mnt, ORPC_AGAIN },
	[MOUNTPROC_DUMP] = { "DUMP", dump, ORPC_AGAIN },
	[MOUNTPROC_UMNT] = { "UMNT", umnt, ORPC_AGAIN },
	[MOUNTPROC_UMNTALL] = { "UMNTALL", umntall, ORPC_AGAIN },
	[MOUNTPROC_EXPORT] = { "EXPORT", export_list, ORPC_AGAIN },
	[MOUNTPROC_EXPORTALL] = { "EXPORTALL", export_list, ORPC_AGAIN },
};

static const struct orpc_version versions[] = {
	{ MOUNT_V1, procs, MOUNTPROC_EXPORTALL + 1 },
	{ MOUNT_V3, procs, MOUNTPROC3_EXPORT + 1 },
};

struct orpc_program nfsd_mount_program(struct nfsd_mount *mount)
{
	return (struct orpc_program){
		.prog = MOUNT_PROGRAM,
		.name = "MOUNT",
		.versions = versions,
		.nversions = sizeof(versions) / sizeof(versions[0]),
		.arg = mount,
	};
}
