#include "config.h"

#include "server/server.h"

#include <errno.h>
#include <libgen.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <syslog.h>

#include "rpc/orpc.h"
#include "server/exports_open.h"
#include "server/mount.h"
#include "server/memory.h"
#include "server/nfs3.h"
#include "server/per_client.h"
#include "server/reload.h"
#include "server/sandbox.h"
#include "server/stats.h"

/* How long clients have at the end to take their replies. */
#define STOP_TIMEOUT_MS 5000

/*
 * Threads for what may wait for a disk, which is what they mostly do. Those that
 * wait for a flush share it: the more there may be, the fewer flushes. Measured with
 * 64 clients that make files on a disk of 8 ms a flush: 280 files a second with 16
 * threads, 950 with 32, 1350 with 64.
 */
#define WORKERS 64

/* Of a reply where memory is short: all that may be long may be shorter. */
#define BRIEF_BYTES (32u << 10)

/* Descriptors that are neither connections nor the overlay's cache; half of them the
 * ends of pipes, for READ. */
#define OTHER_FILES 128

/* Connections, where no option says how many. */
#define DEFAULT_CONNECTIONS 1024

/* Fewer would thrash, more have shown no use. */
#define MIN_FILES 64
#define MAX_FILES 65536

enum { PROGRAM_NFS, PROGRAM_MOUNT, NPROGRAMS };

struct nfsd_server {
	const struct nfsd_options *options;
	struct nfsd_log *log;
	struct nfsd_helper *helper;
	struct nfsd_sandbox *sandbox; /* NULL: there is none */
	/* What is to be exported: of the file, or the one of the options. */
	const struct nfsd_exports_entry *entries;
	size_t nentries;
	struct nfsd_exports_entry single;
	struct nfsd_hosts *hosts;
	struct nfsd_groups *groups;
	struct nfsd_serving *serving;
	struct nfsd_reload reload;
	struct nfsd_mount *mount;
	struct orpc_program programs[NPROGRAMS];
	struct orpc_server *rpc;
	struct nfsd_stats *stats; /* NULL: no file of them */
	struct nfsd_memory memory;
	const char *addresses[NFSD_MAX_ADDRESSES]; /* that are listened on */
	size_t naddresses;
	uint16_t port;
	bool registered; /* with rpcbind */
};

__attribute__((format(printf, 4, 5))) static int
fail(int err, char *why, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return err;
}

/* ---- making ------------------------------------------------------------- */

static int listen_on(struct nfsd_server *server, const char *address)
{
	int err = orpc_server_listen(server->rpc, address, &server->port);

	if (err == 0)
		server->addresses[server->naddresses++] = address;
	return err;
}

static int listen_all(struct nfsd_server *server, char *why, size_t size)
{
	static const char loopback4[] = "127.0.0.1", loopback6[] = "::1";
	const struct nfsd_options *options = server->options;
	const char *address = loopback4;
	int err = 0;

	server->port = options->port;
	if (options->naddresses == 0) {
		err = listen_on(server, loopback4);
		/* A machine without IPv6 is served too. */
		if (err == 0 && listen_on(server, loopback6) != 0)
			nfsd_log(server->log, LOG_INFO, "no listening on %s",
			         loopback6);
	}
	for (size_t i = 0; err == 0 && i < options->naddresses; i++) {
		address = options->addresses[i];
		err = listen_on(server, address);
	}
	if (err == 0)
		return 0;
	return fail(err, why, size, "cannot listen on %s port %u: %s", address,
	            server->port, strerror(-err));
}

static bool has_per_client(const struct nfsd_server *server)
{
	for (size_t i = 0; i < server->nentries; i++)
		if (nfsd_export_config_kinds(&server->entries[i].config) != 0)
			return true;
	return false;
}

/* What the process may have open, less what others need. */
static unsigned max_files(const struct nfsd_server *server)
{
	const struct nfsd_options *options = server->options;
	struct rlimit limit = { .rlim_cur = 1024 };
	rlim_t others = OTHER_FILES;

	if (options->max_files != 0)
		return options->max_files;
	for (size_t i = 0; i < server->nentries; i++)
		others += server->entries[i].config.nlowerdirs;
	others += options->max_connections != 0 ? options->max_connections
	                                        : DEFAULT_CONNECTIONS;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < others + MIN_FILES)
		return MIN_FILES;
	/* Each client's overlay has a dozen descriptors of its own. */
	if (has_per_client(server))
		limit.rlim_cur = others + (limit.rlim_cur - others) / 2;
	if (limit.rlim_cur > others + MAX_FILES)
		return MAX_FILES;
	return (unsigned)(limit.rlim_cur - others);
}

static int open_exports(struct nfsd_server *server, char *why, size_t size)
{
	server->reload = (struct nfsd_reload){
		.path = server->options->exports,
		.serving = server->serving,
		.hosts = server->hosts,
		.groups = server->groups,
		.first = &server->options->file,
		.limits = {
			.max_entries = server->options->max_entries,
			.max_files = max_files(server),
			.max_memory = server->memory.cache,
			.accept_changed_lower =
				server->options->accept_changed_lower,
			.as_root = server->options->as_root,
		},
		.log = server->log,
	};
	return nfsd_exports_open(nfsd_serving_exports(server->serving),
	                         server->entries, server->nentries, NULL,
	                         &server->reload.limits, server->log, NULL, why,
	                         size);
}

/* The one export of the options is everybody's. Borrows from them. */
static void choose_entries(struct nfsd_server *server)
{
	const struct nfsd_options *options = server->options;

	if (options->file.count != 0) {
		server->entries = options->file.entries;
		server->nentries = options->file.count;
		return;
	}
	server->single = (struct nfsd_exports_entry){
		.client = { .kind = NFSD_CLIENT_ANYBODY, .text = "*" },
		.config = options->export,
	};
	server->entries = &server->single;
	server->nentries = 1;
}

/* Of exports that are yet to be filled in. */
static int make_serving(struct nfsd_server *server)
{
	struct nfsd_exports *exports =
		nfsd_exports_new(server->hosts, server->groups);

	if (exports == NULL)
		return -ENOMEM;
	server->serving = nfsd_serving_new(exports);
	if (server->serving == NULL)
		nfsd_exports_free(exports);
	return server->serving == NULL ? -ENOMEM : 0;
}

static int make_programs(struct nfsd_server *server)
{
	const struct nfsd_options *options = server->options;
	struct orpc_config config = {
		.threads = options->threads,
		.workers = WORKERS,
		.max_connections = options->max_connections,
		.max_bytes = server->memory.buffers,
		.max_brief = BRIEF_BYTES,
		.max_replies = options->max_replies,
		.max_reply_bytes = server->memory.replies,
		.log = nfsd_log_line,
		.log_arg = server->log,
	};

	server->hosts = nfsd_hosts_new(server->log, server->helper);
	if (server->hosts == NULL)
		return -ENOMEM;
	server->groups = nfsd_groups_new(server->helper);
	if (server->groups == NULL)
		return -ENOMEM;
	if (make_serving(server) != 0)
		return -ENOMEM;
	server->mount = nfsd_mount_new(server->serving);
	if (server->mount == NULL)
		return -ENOMEM;
	server->programs[PROGRAM_NFS] = nfsd_nfs3_program(server->serving);
	server->programs[PROGRAM_MOUNT] = nfsd_mount_program(server->mount);
	return orpc_server_new(&config, server->programs, NPROGRAMS,
	                       &server->rpc);
}

static struct nfsd_stats_source stats_source(const struct nfsd_server *server)
{
	return (struct nfsd_stats_source){ .log = server->log,
		                           .rpc = server->rpc,
		                           .serving = server->serving };
}

/* No layer is written to but through its export, the lower ones not at all. */
static bool is_in_layer(const struct nfsd_stats *stats,
                        const struct nfsd_export_config *export)
{
	const char *own[] = { export->upperdir, export->workdir };

	for (size_t i = 0; i < export->nlowerdirs; i++)
		if (nfsd_stats_is_below(stats, export->lowerdirs[i]))
			return true;
	for (size_t i = 0; i < 2; i++)
		if (own[i] != NULL && nfsd_stats_is_below(stats, own[i]))
			return true;
	return false;
}

static bool is_in_any_layer(const struct nfsd_server *server)
{
	for (size_t i = 0; i < server->nentries; i++)
		if (is_in_layer(server->stats, &server->entries[i].config))
			return true;
	return false;
}

static int open_stats(struct nfsd_server *server, char *why, size_t size)
{
	const struct nfsd_stats_source source = stats_source(server);
	const char *path = server->options->stats;
	int err;

	if (path == NULL)
		return 0;
	err = nfsd_stats_new(path, &source, &server->stats);
	if (err == 0 && is_in_any_layer(server))
		return fail(-EINVAL, why, size,
		            "statistics file %s: it is inside a layer", path);
	if (err == 0)
		err = nfsd_stats_prepare(server->stats);
	return err == 0 ? 0
	                : fail(err, why, size, "statistics file %s: %s", path,
	                       strerror(-err));
}

static void divide_memory(struct nfsd_server *server)
{
	const struct nfsd_options *options = server->options;

	server->memory = nfsd_memory_divide(
		options->max_memory != 0
			? options->max_memory
			: nfsd_memory_default(options->threads));
}

int nfsd_server_new(const struct nfsd_options *options, struct nfsd_log *log,
                    struct nfsd_helper *helper, bool listen,
                    struct nfsd_server **out, char *why, size_t size)
{
	struct nfsd_server *server;
	int err;

	if (sodium_init() < 0)
		return fail(-EIO, why, size, "libsodium cannot start");
	server = calloc(1, sizeof(*server));
	if (server == NULL)
		return fail(-ENOMEM, why, size, "%s", strerror(ENOMEM));
	server->options = options;
	server->log = log;
	server->helper = helper;

	choose_entries(server);
	divide_memory(server);
	err = make_programs(server);
	if (err == -ENOBUFS)
		fail(err, why, size,
		     "--max-memory: too little for so many event loops "
		     "(--threads)");
	else if (err != 0)
		fail(err, why, size, "%s", strerror(-err));
	/* Addresses first: taking one leaves no trace, opening layers does. */
	if (err == 0 && listen)
		err = listen_all(server, why, size);
	if (err == 0)
		err = open_stats(server, why, size);
	if (err == 0)
		err = open_exports(server, why, size);
	if (err != 0) {
		nfsd_server_free(server);
		return err;
	}
	*out = server;
	return 0;
}

/* ---- locking it up ------------------------------------------------------ */

struct allowing {
	struct nfsd_sandbox *sandbox;
	char *why;
	size_t size;
};

static int allow_dir(void *arg, const char *path, bool writes)
{
	const struct allowing *allowing = arg;

	return nfsd_sandbox_allow(allowing->sandbox, path,
	                          writes ? NFSD_SANDBOX_WRITE
	                                 : NFSD_SANDBOX_READ,
	                          allowing->why, allowing->size);
}

/* The directory of a file that is, or will be, another one of that name. */
static int allow_around(struct allowing *allowing, const char *file,
                        bool writes)
{
	char *copy = file != NULL ? strdup(file) : NULL;
	int err;

	if (file == NULL)
		return 0;
	if (copy == NULL)
		return fail(-ENOMEM, allowing->why, allowing->size, "%s",
		            strerror(ENOMEM));
	err = allow_dir(allowing, dirname(copy), writes);
	free(copy);
	return err;
}

static int allow_all(struct nfsd_server *server, char *why, size_t size)
{
	const struct nfsd_options *options = server->options;
	/* It is to be read again. */
	const char *exports =
		options->file.count != 0 ? options->exports : NULL;
	struct allowing allowing = { server->sandbox, why, size };
	int err = allow_around(&allowing, options->stats, true);

	if (err == 0)
		err = allow_around(&allowing, exports, false);
	for (size_t i = 0; err == 0 && i < server->nentries; i++)
		err = nfsd_export_config_dirs(&server->entries[i].config,
		                              allow_dir, &allowing);
	for (size_t i = 0; err == 0 && i < options->nallowed; i++)
		err = allow_dir(&allowing, options->allowed[i], true);
	return err;
}

int nfsd_server_confine(struct nfsd_server *server, char *why, size_t size)
{
	int err = nfsd_sandbox_new(&server->sandbox);

	if (err != 0)
		return fail(err, why, size, "%s", strerror(-err));
	server->reload.sandbox = server->sandbox;
	err = allow_all(server, why, size);
	return err == 0 ? nfsd_sandbox_enter(server->sandbox, server->log, why,
	                                     size)
	                : err;
}

/* ---- serving ------------------------------------------------------------ */

static int register_programs(struct nfsd_server *server, char *why, size_t size)
{
	const enum nfsd_rpcbind wish = server->options->rpcbind;
	int err;

	if (server->naddresses == 0 || wish == NFSD_RPCBIND_NO ||
	    (wish == NFSD_RPCBIND_AUTO && server->port != NFSD_PORT))
		return 0;
	err = nfsd_helper_register(server->helper, server->programs, NPROGRAMS,
	                           server->addresses, server->naddresses,
	                           server->port);
	server->registered = err == 0;
	if (err == 0)
		return 0;
	if (wish == NFSD_RPCBIND_YES)
		return fail(err, why, size, "rpcbind: %s", strerror(-err));
	nfsd_log(server->log, LOG_NOTICE,
	         "not registered with rpcbind (%s): clients need port=%u,"
	         "mountport=%u",
	         strerror(-err), server->port, server->port);
	return 0;
}

static void log_ready(const struct nfsd_server *server)
{
	const struct nfsd_exports *exports =
		nfsd_serving_exports(server->serving);
	char addresses[NFSD_MAX_ADDRESSES * 48] = "";
	size_t len = 0;

	for (size_t i = 0; i < server->naddresses && len < sizeof(addresses);
	     i++)
		len += (size_t)snprintf(addresses + len,
		                        sizeof(addresses) - len, "%s%s",
		                        i == 0 ? "" : ", ",
		                        server->addresses[i]);
	for (size_t i = 0; i < nfsd_exports_npoints(exports); i++)
		nfsd_log(server->log, LOG_NOTICE, "serving %s on %s port %u",
		         nfsd_exports_point(exports, i)->path, addresses,
		         server->port);
}

int nfsd_server_start(struct nfsd_server *server, char *why, size_t size)
{
	int err = orpc_server_start(server->rpc);

	if (err != 0)
		return fail(err, why, size, "cannot start threads: %s",
		            strerror(-err));
	err = register_programs(server, why, size);
	if (err == 0 && server->stats != NULL) {
		err = nfsd_stats_start(server->stats);
		if (err != 0)
			fail(err, why, size, "statistics file %s: %s",
			     server->options->stats, strerror(-err));
	}
	if (err == 0 && server->naddresses != 0)
		log_ready(server);
	return err;
}

uint16_t nfsd_server_port(const struct nfsd_server *server)
{
	return server->naddresses == 0 ? 0 : server->port;
}

int nfsd_server_adopt(struct nfsd_server *server, int fd)
{
	return orpc_server_adopt(server->rpc, fd);
}

void nfsd_server_log_statistics(struct nfsd_server *server)
{
	const struct nfsd_stats_source source = stats_source(server);

	nfsd_stats_log(&source);
}

void nfsd_server_reload(struct nfsd_server *server)
{
	nfsd_reload_begin(&server->reload);
}

bool nfsd_server_reload_step(struct nfsd_server *server)
{
	return nfsd_reload_step(&server->reload);
}

static void wind_up(void *arg, const struct nfsd_export *export)
{
	(void)arg;
	ovl_wind_up(export->fs);
}

static void wind_up_all(const struct nfsd_exports *exports)
{
	const struct nfsd_point *point;

	for (size_t i = 0; i < nfsd_exports_count(exports); i++)
		wind_up(NULL, nfsd_exports_get(exports, i));
	for (size_t i = 0; i < nfsd_exports_nper_client(exports); i++)
		nfsd_per_client_each(nfsd_exports_per_client(exports, i,
		                                             &point),
		                     wind_up, NULL);
}

/* Calls in flight are finished, but for those that would take long. */
static void stop(struct nfsd_server *server)
{
	struct nfsd_exports *old = nfsd_serving_old(server->serving);

	wind_up_all(nfsd_serving_exports(server->serving));
	if (old != NULL)
		wind_up_all(old);
	nfsd_mount_wind_up(server->mount);
	orpc_server_stop(server->rpc, STOP_TIMEOUT_MS);
}

void nfsd_server_free(struct nfsd_server *server)
{
	if (server == NULL)
		return;
	if (server->registered)
		nfsd_helper_unregister(server->helper, server->programs,
		                       NPROGRAMS);
	if (server->rpc != NULL)
		stop(server);
	nfsd_stats_free(server->stats);
	orpc_server_free(server->rpc);
	nfsd_mount_free(server->mount);
	nfsd_serving_free(server->serving);
	nfsd_reload_release(&server->reload);
	nfsd_groups_free(server->groups);
	nfsd_hosts_free(server->hosts);
	nfsd_sandbox_free(server->sandbox);
	free(server);
}
