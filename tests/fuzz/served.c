#include "config.h"

#include "tests/fuzz/served.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include "rpc/orpc.h"
#include "server/export.h"
#include "server/export_config.h"
#include "server/exports_open.h"
#include "server/mount.h"
#include "server/nfs3.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/place.h"

#define TIMEOUT_SECONDS 25
#define LAST_FRAGMENT 0x80000000u
#define MAX_VERSIONS 4

enum { PROGRAM_NFS, PROGRAM_MOUNT, NPROGRAMS };

static struct nfsd_log log_errors = { STDERR_FILENO, LOG_ERR };
static struct orpc_server *rpc;
static struct nfsd_hosts *hosts;
static int client = -1;
static char *layers; /* the options that name them */

/* Of the input at hand. */
static struct nfsd_exports_entry entry;
static struct nfsd_serving *serving;
static struct nfsd_mount *mount;
static struct orpc_program programs[NPROGRAMS];

/* ---- the transport ---------------------------------------------------------- */

/* Each procedure of the tables it was given stands for that of this input. */
static enum orpc_status pass_on(struct orpc_call *call, void *arg)
{
	const struct orpc_program *program = arg;
	const struct orpc_version *version = program->versions;

	while (version->vers != call->vers)
		version++;
	return version->procs[call->proc].fn(call, program->arg);
}

/* The same tables, and every procedure passes on. They stay until the end. */
static struct orpc_program stand_in(struct orpc_program *program)
{
	struct orpc_program copy = *program;
	struct orpc_version *versions =
		calloc(program->nversions, sizeof(*versions));

	FUZZ_MUST(versions != NULL);
	for (size_t i = 0; i < program->nversions; i++) {
		const struct orpc_version *from = &program->versions[i];
		struct orpc_proc *procs = calloc(from->nprocs, sizeof(*procs));

		FUZZ_MUST(procs != NULL);
		for (uint32_t k = 0; k < from->nprocs; k++) {
			procs[k] = from->procs[k];
			if (procs[k].fn != NULL)
				procs[k].fn = pass_on;
		}
		versions[i] = (struct orpc_version){ from->vers, procs,
			                             from->nprocs };
	}
	copy.versions = versions;
	copy.arg = program;
	return copy;
}

static void hang_up(void)
{
	if (client >= 0)
		close(client);
	client = -1;
}

static void dial(void)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	int fds[2];

	hang_up();
	FUZZ_MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	FUZZ_MUST(orpc_server_adopt(rpc, fds[0]) == 0);
	client = fds[1];
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

static void stop(void)
{
	hang_up();
	orpc_server_free(rpc);
	nfsd_hosts_free(hosts);
	free(layers);
}

static void name_layers(const char *const *lowers, size_t n)
{
	size_t len = 0;
	FILE *out = open_memstream(&layers, &len);

	FUZZ_MUST(out != NULL);
	for (size_t i = 0; i < n; i++) {
		char *path = fuzz_place_path(lowers[i]);

		fprintf(out, "%s%s", i == 0 ? "lowerdir=" : ":", path);
		free(path);
	}
	fclose(out);
}

void served_init(const char *const *lowers, size_t n)
{
	static struct orpc_program stand_ins[NPROGRAMS];
	const struct orpc_config config = { .threads = 1, .workers = 2 };

	FUZZ_MUST(sodium_init() >= 0);
	name_layers(lowers, n);
	programs[PROGRAM_NFS] = nfsd_nfs3_program(NULL);
	programs[PROGRAM_MOUNT] = nfsd_mount_program(NULL);
	for (unsigned i = 0; i < NPROGRAMS; i++)
		stand_ins[i] = stand_in(&programs[i]);
	FUZZ_MUST(orpc_server_new(&config, stand_ins, NPROGRAMS, &rpc) == 0);
	FUZZ_MUST(orpc_server_start(rpc) == 0);
	hosts = nfsd_hosts_new(&log_errors, NULL);
	FUZZ_MUST(hosts != NULL);
	FUZZ_MUST(atexit(stop) == 0);
	dial();
}

/* ---- the overlay ------------------------------------------------------------- */

static void parse(const char *options, char *why, size_t size)
{
	char *upper = fuzz_place_path("upper"), *work = fuzz_place_path("work");
	char *text;

	FUZZ_MUST(asprintf(&text, "%s,upperdir=%s,workdir=%s,%s", layers, upper,
	                   work, options) > 0);
	nfsd_export_config_init(&entry.config, geteuid() == 0);
	FUZZ_MUST(nfsd_export_config_parse(&entry.config, text, NULL, why,
	                                   size) == 0);
	FUZZ_MUST(nfsd_export_config_set_path(&entry.config, SERVED_EXPORT, why,
	                                      size) == 0);
	FUZZ_MUST(nfsd_export_config_finish(&entry.config, why, size) == 0);
	free(text);
	free(upper);
	free(work);
}

void served_begin(const char *options)
{
	const struct nfsd_overlay_limits limits = {
		.max_entries = 1000,
		.max_files = 100,
		.max_memory = 16u << 20,
		.as_root = geteuid() == 0,
	};
	struct nfsd_exports *exports = nfsd_exports_new(hosts, NULL);
	char why[512] = "";

	fuzz_place_renew("upper");
	fuzz_place_renew("work");
	parse(options, why, sizeof(why));
	entry.client = (struct nfsd_client){ .kind = NFSD_CLIENT_ANYBODY,
		                             .text = (char[]){ "*" } };
	FUZZ_MUST(exports != NULL);
	if (nfsd_exports_open(exports, &entry, 1, NULL, &limits, &log_errors,
	                      NULL, why, sizeof(why)) != 0) {
		fprintf(stderr, "%s\n", why);
		FUZZ_MUST(!"the overlay can be opened");
	}
	serving = nfsd_serving_new(exports);
	FUZZ_MUST(serving != NULL);
	mount = nfsd_mount_new(serving);
	FUZZ_MUST(mount != NULL);
	programs[PROGRAM_NFS].arg = serving;
	programs[PROGRAM_MOUNT].arg = mount;
}

void served_end(void)
{
	nfsd_mount_free(mount);
	nfsd_serving_free(serving);
	nfsd_export_config_release(&entry.config);
}

/* ---- calls ------------------------------------------------------------------- */

static bool receive(void *to, size_t n)
{
	uint8_t *at = to;

	while (n > 0) {
		ssize_t got = recv(client, at, n, 0);

		/* libFuzzer has a clock that rings. */
		if (got < 0 && errno == EINTR)
			continue;
		/* Nothing for seconds is no answer at all. */
		FUZZ_MUST(got >= 0);
		if (got == 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

static void transmit(const uint8_t *from, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(client, from, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		FUZZ_MUST(sent > 0);
		from += sent;
		n -= (size_t)sent;
	}
}

size_t served_call(const uint8_t *record, size_t len, uint8_t *reply)
{
	static uint8_t wire[4 + SERVED_MAX_CALL];
	uint32_t mark = htonl(LAST_FRAGMENT | (uint32_t)len);

	FUZZ_MUST(len <= SERVED_MAX_CALL);
	memcpy(wire, &mark, sizeof(mark));
	memcpy(wire + sizeof(mark), record, len);
	len += sizeof(mark);
	transmit(wire, len);
	if (!receive(&mark, sizeof(mark))) {
		dial();
		return 0;
	}
	mark = ntohl(mark);
	FUZZ_MUST(mark & LAST_FRAGMENT);
	mark &= ~LAST_FRAGMENT;
	FUZZ_MUST(mark <= SERVED_MAX_REPLY && receive(reply, mark));
	return mark;
}
