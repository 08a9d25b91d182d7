#include "config.h"

#include "server/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "server/log.h"
#include "server/memory.h"
#include "server/number.h"
#include "server/template.h"

#define DEFAULT_ENTRIES 100000

const char nfsd_options_help[] =
	"Usage: veneerd -o OPTION[,OPTION...] [OPTIONS] /EXPORT\n"
	"       veneerd [-e FILE] [OPTIONS]\n"
	"       veneerd [-e FILE] --check\n"
	"Serve overlays of directories over NFS, version 3.\n"
	"\n"
	"  -e, --exports FILE       what to export, in the syntax of exports(5)\n"
	"                           (" NFSD_EXPORTS_FILE ")\n"
	"  --check                  print the exports as understood, serve nothing\n"
	"  -o OPTION[,OPTION...]    of the export, as below; repeatable\n"
	"  -p, --port PORT          of all programs, TCP and UDP (2049; 0: any)\n"
	"  -b, --bind ADDRESS       to listen on; repeatable (127.0.0.1 and ::1)\n"
	"  --rpcbind                register with rpcbind, or do not start\n"
	"  --no-rpcbind             do not register (default: only on port 2049)\n"
	"  --threads N              event loops (one a CPU)\n"
	"  --max-connections N      TCP connections (1024)\n"
	"  --max-entries N          files and directories in memory (100000)\n"
	"  --max-files N            open file descriptors (what the limit allows)\n"
	"  --max-memory SIZE        of caches and buffers; 512M, 2G (a quarter\n"
	"                           of the machine's memory)\n"
	"  --max-replies N          kept for calls that are sent again (65536)\n"
	"  --stats FILE             keep statistics in it\n"
	"  --accept-changed-lower   start though lower layers have changed\n"
	"  --user NAME              root becomes this user, and keeps only the\n"
	"                           capabilities that serving takes\n"
	"  --allow DIR              may be used later, when exports are read\n"
	"                           again; repeatable\n"
	"  --no-sandbox             do without seccomp and Landlock\n"
	"  --log-level LEVEL        err, warning, notice (default), info or debug\n"
	"  -h, --help               print this\n"
	"  -V, --version            print the version\n"
	"\n"
	"Options of the export:\n"
	"  lowerdir=TOP:...:BOTTOM  read-only layers; ::DATA for data alone\n"
	"  upperdir=DIR             writable layer; without it, read-only\n"
	"  workdir=DIR              on the file system of the upper\n"
	"  statedir=DIR             id, keys, register of layers (WORKDIR/veneer)\n"
	"  userxattr                marks in the user. name space (without root)\n"
	"  redirect_dir=on|follow|off|nofollow  renames of lower directories\n"
	"  metacopy=on|off          copy attributes up without the data\n"
	"  cache=auto|always|never  how long to trust what is known of the layers\n"
	"  ro, rw                   read-only; writable where there is an upper\n"
	"  sync, async, volatile    changes are stable at the reply, later, never\n"
	"  secure, insecure         calls from ports below 1024 only; from any\n"
	"  root_squash, no_root_squash, all_squash, no_all_squash\n"
	"  manage_gids, no_manage_gids  groups as the server knows them; as sent\n"
	"  anonuid=UID, anongid=GID who squashed callers become (65534)\n"
	"\n"
	"See veneerd(8).\n";

/* Long options without a letter. */
enum {
	OPT_RPCBIND = 256,
	OPT_NO_RPCBIND,
	OPT_ACCEPT_CHANGED_LOWER,
	OPT_THREADS,
	OPT_MAX_CONNECTIONS,
	OPT_MAX_ENTRIES,
	OPT_MAX_FILES,
	OPT_MAX_MEMORY,
	OPT_MAX_REPLIES,
	OPT_STATS,
	OPT_LOG_LEVEL,
	OPT_CHECK,
	OPT_USER,
	OPT_ALLOW,
	OPT_NO_SANDBOX,
};

static const char short_options[] = "+:o:e:p:b:hV";

static const struct option long_options[] = {
	{ "exports", required_argument, NULL, 'e' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "port", required_argument, NULL, 'p' },
	{ "bind", required_argument, NULL, 'b' },
	{ "rpcbind", no_argument, NULL, OPT_RPCBIND },
	{ "no-rpcbind", no_argument, NULL, OPT_NO_RPCBIND },
	{ "accept-changed-lower", no_argument, NULL, OPT_ACCEPT_CHANGED_LOWER },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS },
	{ "max-entries", required_argument, NULL, OPT_MAX_ENTRIES },
	{ "max-files", required_argument, NULL, OPT_MAX_FILES },
	{ "max-memory", required_argument, NULL, OPT_MAX_MEMORY },
	{ "max-replies", required_argument, NULL, OPT_MAX_REPLIES },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "user", required_argument, NULL, OPT_USER },
	{ "allow", required_argument, NULL, OPT_ALLOW },
	{ "no-sandbox", no_argument, NULL, OPT_NO_SANDBOX },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

void nfsd_options_init(struct nfsd_options *options)
{
	*options = (struct nfsd_options){
		.port = NFSD_PORT,
		.max_entries = DEFAULT_ENTRIES,
		.log_level = LOG_NOTICE,
		.as_root = geteuid() == 0,
	};
	nfsd_export_config_init(&options->export, options->as_root);
}

void nfsd_options_release(struct nfsd_options *options)
{
	nfsd_export_config_release(&options->export);
	nfsd_exports_file_release(&options->file);
}

/* The options that take a number. */
static int set_number(struct nfsd_options *options, int opt, const char *text)
{
	uint64_t min = 1, max, n;
	unsigned *field = NULL;

	switch (opt) {
	case 'p':
		min = 0;
		max = UINT16_MAX;
		break;
	case OPT_THREADS:
		field = &options->threads;
		max = 1024;
		break;
	case OPT_MAX_CONNECTIONS:
		field = &options->max_connections;
		max = 1000000;
		break;
	case OPT_MAX_ENTRIES:
		field = &options->max_entries;
		min = 100;
		max = 1000000000;
		break;
	case OPT_MAX_REPLIES:
		field = &options->max_replies;
		max = 100000000;
		break;
	default:
		field = &options->max_files;
		min = 16;
		max = 100000000;
		break;
	}
	if (nfsd_number_parse(text, min, max, &n) != 0)
		return -EINVAL;
	if (field != NULL)
		*field = (unsigned)n;
	else
		options->port = (uint16_t)n;
	return 0;
}

static int add_address(struct nfsd_options *options, const char *address)
{
	if (options->naddresses == NFSD_MAX_ADDRESSES)
		return -EINVAL;
	options->addresses[options->naddresses++] = address;
	return 0;
}

static int add_allowed(struct nfsd_options *options, const char *dir)
{
	if (options->nallowed == NFSD_MAX_ALLOWED || *dir == '\0')
		return -EINVAL;
	options->allowed[options->nallowed++] = dir;
	return 0;
}

static int set_log_level(struct nfsd_options *options, const char *name)
{
	int level = nfsd_log_level(name);

	if (level < 0)
		return -EINVAL;
	options->log_level = level;
	return 0;
}

/* One option but -o. -EINVAL: a bad value. */
static int set_option(struct nfsd_options *options, int opt, const char *value)
{
	switch (opt) {
	case 'h':
		options->action = NFSD_SHOW_HELP;
		return 0;
	case 'V':
		options->action = NFSD_SHOW_VERSION;
		return 0;
	case OPT_CHECK:
		options->action = NFSD_CHECK;
		return 0;
	case 'e':
		options->exports = value;
		return 0;
	case 'b':
		return add_address(options, value);
	case OPT_RPCBIND:
		options->rpcbind = NFSD_RPCBIND_YES;
		return 0;
	case OPT_NO_RPCBIND:
		options->rpcbind = NFSD_RPCBIND_NO;
		return 0;
	case OPT_ACCEPT_CHANGED_LOWER:
		options->accept_changed_lower = true;
		return 0;
	case OPT_MAX_MEMORY:
		return nfsd_number_parse_size(value, NFSD_MIN_MEMORY,
		                              SIZE_MAX / 2,
		                              &options->max_memory);
	case OPT_STATS:
		options->stats = value;
		return *value != '\0' ? 0 : -EINVAL;
	case OPT_LOG_LEVEL:
		return set_log_level(options, value);
	case OPT_USER:
		options->user = value;
		return *value != '\0' ? 0 : -EINVAL;
	case OPT_ALLOW:
		return add_allowed(options, value);
	case OPT_NO_SANDBOX:
		options->no_sandbox = true;
		return 0;
	default:
		return set_number(options, opt, value);
	}
}

/* `opt` as the user knows it; '?': a word that no option is. */
static void name_option(int opt, char **argv, char *name, size_t size)
{
	if (opt == '?' && optopt == 0) {
		snprintf(name, size, "%s", argv[optind - 1]);
		return;
	}
	if (opt == '?' || opt == ':')
		opt = optopt;
	for (const struct option *o = long_options; o->name != NULL; o++)
		if (o->val == opt) {
			snprintf(name, size, "--%s", o->name);
			return;
		}
	snprintf(name, size, "-%c", opt);
}

static int refuse(int opt, char **argv, char *why, size_t size)
{
	char name[64];

	name_option(opt, argv, name, sizeof(name));
	if (opt == '?')
		snprintf(why, size, "%s: unknown option (see --help)", name);
	else if (opt == ':')
		snprintf(why, size, "%s: needs a value", name);
	else
		snprintf(why, size, "%s: bad value \"%s\"", name, optarg);
	return -EINVAL;
}

/* The exports of the file. */
static int read_exports(struct nfsd_options *options, char *why, size_t size)
{
	int err;

	if (options->exports == NULL)
		options->exports = NFSD_EXPORTS_FILE;
	err = nfsd_exports_file_read(&options->file, options->exports,
	                             options->as_root, why, size);
	if (err == -ENOMEM)
		return err;
	return err != 0 ? -EINVAL : 0;
}

/* The words that are no options: the export's path. */
static int take_path(struct nfsd_options *options, int argc, char **argv,
                     char *why, size_t size)
{
	int err;

	if (argc - optind > 1) {
		snprintf(why, size, "\"%s\": only one export can be given",
		         argv[optind + 1]);
		return -EINVAL;
	}
	if (optind < argc) {
		err = nfsd_export_config_set_path(&options->export,
		                                  argv[optind], why, size);
		if (err != 0)
			return err;
	}
	err = nfsd_export_config_finish(&options->export, why, size);
	if (err == 0 && nfsd_export_config_kinds(&options->export) &
	                        NFSD_TEMPLATE_NETWORK) {
		snprintf(why, size, "%%n: everybody is no network");
		err = -EINVAL;
	}
	return err;
}

int nfsd_options_parse(struct nfsd_options *options, int argc, char **argv,
                       char *why, size_t size)
{
	bool has_export = false;
	int opt, err = 0;

	optind = 0; /* glibc: begin anew */
	while (err == 0 && (opt = getopt_long(argc, argv, short_options,
	                                      long_options, NULL)) != -1) {
		has_export |= opt == 'o';
		if (opt == 'o')
			err = nfsd_export_config_parse(&options->export, optarg,
			                               NULL, why, size);
		else if (opt == '?' || opt == ':' ||
		         set_option(options, opt, optarg) != 0)
			return refuse(opt, argv, why, size);
		if (options->action == NFSD_SHOW_HELP ||
		    options->action == NFSD_SHOW_VERSION)
			return 0;
	}
	if (err != 0)
		return err;
	has_export |= optind < argc;
	if (has_export && options->action == NFSD_CHECK) {
		snprintf(why, size, "--check: it is a file that is checked");
		return -EINVAL;
	}
	if (!has_export)
		return read_exports(options, why, size);
	if (options->exports != NULL) {
		snprintf(why, size,
		         "-e: either a file of exports, or one here");
		return -EINVAL;
	}
	return take_path(options, argc, argv, why, size);
}
