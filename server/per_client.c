#include "config.h"

#include "server/per_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "server/export.h"
#include "server/template.h"

/* Whom an overlay is known to be of; one more takes the place of another. */
#define KNOWN 4096
/* How long the name of an address is believed, and that somebody has none of it, in
 * seconds. */
#define BELIEVED 300
#define BELIEVED_ABSENT 10
/* Lines about what cannot be opened, in seconds. */
#define LOG_PAUSE 10

/* An open one, by what its layers' paths came to be. */
struct own {
	struct nfsd_export export;
	struct nfsd_export_config config;
};

/* That a client has this one; or none. */
struct known {
	uint64_t client; /* its serial number; 0: there is none here */
	struct in6_addr address;
	time_t until;
	const struct nfsd_export *export;
};

struct nfsd_per_client {
	unsigned tables; /* that have it */
	struct nfsd_export_config config;
	bool read_only;
	unsigned kinds; /* of what its paths hold */
	struct nfsd_overlay_limits limits;
	struct nfsd_hosts *hosts;
	struct nfsd_log *log;
	struct ovl *base; /* NULL: what is lower is each client's own, too */
	unsigned char key[crypto_shorthash_KEYBYTES];

	pthread_mutex_t opening; /* held over opening one; before `lock` */
	time_t logged;           /* under it */
	pthread_mutex_t lock; /* guards what is below; nothing is waited for */
	struct own *owns[NFSD_PER_CLIENT_MAX]; /* by the ids of exports */
	size_t nowns;
	struct known known[KNOWN];
};

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* ---- paths -------------------------------------------------------------------- */

/* The same export with this client's paths. */
static int fill_in(const struct nfsd_per_client *each,
                   const struct nfsd_template_values *values,
                   struct nfsd_export_config *config)
{
	int err = nfsd_export_config_fill(&each->config, values, config);

	/* The state of what is shared is not its own. */
	if (err == 0 && each->base != NULL) {
		free(config->statedir);
		config->statedir = NULL;
	}
	return err;
}

/* ---- directories --------------------------------------------------------------- */

/*
 * What is above it as well; -EEXIST: it is there. By the calls that a server makes
 * which is locked up.
 */
static int make_dirs(const char *path, mode_t mode)
{
	char *copy = strdup(path);

	if (copy == NULL)
		return -ENOMEM;
	/* The last one tells whether those above it could be made. */
	for (char *slash = copy + 1; (slash = strchr(slash, '/')) != NULL;
	     slash++) {
		*slash = '\0';
		mkdirat(AT_FDCWD, copy, 0755);
		*slash = '/';
	}
	free(copy);
	return mkdirat(AT_FDCWD, path, mode) != 0 ? -errno : 0;
}

/*
 * The root of a new upper shows in place of the one below, and is to look like it: who
 * owns it, and what its mode is.
 */
static int make_upper(const struct nfsd_per_client *each,
                      const struct nfsd_export_config *config)
{
	struct stat st = { .st_mode = 0755,
		           .st_uid = geteuid(),
		           .st_gid = getegid() };
	int err;

	if (config->nlowerdirs > 0 && stat(config->lowerdirs[0], &st) != 0)
		return -errno;
	err = make_dirs(config->upperdir, st.st_mode & 07777);
	if (err == -EEXIST)
		return 0;
	if (err != 0)
		return err;
	/* Without root, its owner stays the server's user. */
	if (each->limits.as_root &&
	    fchownat(AT_FDCWD, config->upperdir, st.st_uid, st.st_gid, 0) != 0)
		err = -errno;
	/* A new owner takes setgid away. */
	if (err == 0 &&
	    fchmodat(AT_FDCWD, config->upperdir, st.st_mode & 07777, 0) != 0)
		err = -errno;
	if (err != 0)
		unlinkat(AT_FDCWD, config->upperdir, AT_REMOVEDIR);
	return err;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int have_dirs(const struct nfsd_per_client *each,
                     const struct nfsd_export_config *config, bool make)
{
	int err;

	if (config->upperdir == NULL)
		return 0;
	if (!make)
		return is_dir(config->upperdir) && is_dir(config->workdir)
		               ? 0
		               : -ENOENT;
	err = make_upper(each, config);
	if (err == 0)
		err = make_dirs(config->workdir, 0700);
	return err == -EEXIST ? 0 : err;
}

/* ---- what is open ---------------------------------------------------------------- */

/* The place of that id, or where it would be. The lock is held. */
static size_t place_of_id(const struct nfsd_per_client *each, uint64_t id)
{
	size_t low = 0, high = each->nowns;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (each->owns[mid]->export.id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct nfsd_export *nfsd_per_client_by_id(struct nfsd_per_client *each,
                                                uint64_t id)
{
	const struct nfsd_export *found = NULL;
	size_t at;

	pthread_mutex_lock(&each->lock);
	at = place_of_id(each, id);
	if (at < each->nowns && each->owns[at]->export.id == id)
		found = &each->owns[at]->export;
	pthread_mutex_unlock(&each->lock);
	return found;
}

/* Only who holds `opening` adds to them. */
static const struct nfsd_export *
find_open(const struct nfsd_per_client *each,
          const struct nfsd_export_config *config)
{
	char why[64];

	for (size_t i = 0; i < each->nowns; i++)
		if (nfsd_export_config_same(&each->owns[i]->config, config, why,
		                            sizeof(why)) == 1)
			return &each->owns[i]->export;
	return NULL;
}

static void add(struct nfsd_per_client *each, struct own *own)
{
	size_t at;

	pthread_mutex_lock(&each->lock);
	at = place_of_id(each, own->export.id);
	memmove(&each->owns[at + 1], &each->owns[at],
	        (each->nowns - at) * sizeof(struct own *));
	each->owns[at] = own;
	each->nowns++;
	pthread_mutex_unlock(&each->lock);
}

static void own_free(struct own *own)
{
	ovl_close(own->export.fs);
	nfsd_export_config_release(&own->config);
	free(own);
}

/* ---- opening ------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void
log_seldom(struct nfsd_per_client *each, int level, const char *format, ...)
{
	char line[1024];
	va_list args;

	if (each->logged != 0 && now() - each->logged < LOG_PAUSE)
		return;
	each->logged = now();
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	nfsd_log(each->log, level, "export %s: %s", each->config.path, line);
}

/* The configuration is the overlay's on success. */
static int open_own(struct nfsd_per_client *each,
                    struct nfsd_export_config *config,
                    const struct nfsd_export **export)
{
	const struct nfsd_overlay_limits limits = nfsd_overlay_limits_share(
		&each->limits, 2 * NFSD_PER_CLIENT_MAX);
	struct own *own = calloc(1, sizeof(*own));
	char why[512];
	int err;

	if (own == NULL)
		return -ENOMEM;
	err = nfsd_overlay_open(config, each->read_only, each->base, &limits,
	                        each->log, &own->export.fs, why, sizeof(why));
	if (err != 0) {
		free(own);
		/* What was in force before has it still. */
		if (err == -EBUSY)
			return -EINPROGRESS;
		log_seldom(each, LOG_ERR, "%s", why);
		return err;
	}
	own->config = *config;
	memset(config, 0, sizeof(*config));
	own->export.per_client = each;
	own->export.config = &own->config;
	own->export.id = ovl_export_id(own->export.fs);
	own->export.handle_key = ovl_handle_key(own->export.fs);
	if (nfsd_per_client_by_id(each, own->export.id) != NULL) {
		log_seldom(each, LOG_ERR, "upperdir %s: a copy of another's",
		           own->config.upperdir);
		own_free(own);
		return -EEXIST;
	}
	add(each, own);
	*export = &own->export;
	return 0;
}

static int find_or_open(struct nfsd_per_client *each,
                        struct nfsd_export_config *config, bool make,
                        const struct nfsd_export **export)
{
	int err;

	*export = find_open(each, config);
	if (*export != NULL)
		return 0;
	if (each->nowns == NFSD_PER_CLIENT_MAX) {
		log_seldom(each, LOG_ERR, "it has %d clients already",
		           NFSD_PER_CLIENT_MAX);
		return -EMFILE;
	}
	err = have_dirs(each, config, make);
	if (err == 0)
		err = open_own(each, config, export);
	else if (err != -ENOENT)
		log_seldom(each, LOG_ERR, "upperdir %s: %s", config->upperdir,
		           strerror(-err));
	return err;
}

static int open_for(struct nfsd_per_client *each,
                    const struct nfsd_client *client,
                    const struct in6_addr *address, bool make,
                    const struct nfsd_export **export)
{
	struct nfsd_export_config config;
	char name[NI_MAXHOST];
	struct nfsd_template_values values = { .address = address,
		                               .network = client };
	int err;

	if (each->kinds & NFSD_TEMPLATE_NAME) {
		err = nfsd_hosts_name(each->hosts, address, name);
		if (err != 0)
			return err;
		values.name = name;
	}
	err = fill_in(each, &values, &config);
	if (err != 0)
		return err;
	pthread_mutex_lock(&each->opening);
	err = find_or_open(each, &config, make, export);
	pthread_mutex_unlock(&each->opening);
	nfsd_export_config_release(&config);
	return err;
}

/* ---- whose it is ----------------------------------------------------------------- */

static struct known *place_of(struct nfsd_per_client *each, uint64_t client,
                              const struct in6_addr *address)
{
	struct {
		struct in6_addr address;
		uint64_t client;
	} key = { *address, client };
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, (unsigned char *)&key,
	                 sizeof(key), each->key);
	return &each->known[hash % KNOWN];
}

/* True: it is known. */
static bool recall(struct nfsd_per_client *each, uint64_t client,
                   const struct in6_addr *address,
                   const struct nfsd_export **export)
{
	struct known *known = place_of(each, client, address);
	bool is_known;

	pthread_mutex_lock(&each->lock);
	is_known = known->client == client &&
	           memcmp(&known->address, address, sizeof(*address)) == 0 &&
	           (known->until == 0 || now() < known->until);
	*export = known->export;
	pthread_mutex_unlock(&each->lock);
	return is_known;
}

/* NULL: he has none. */
static void keep(struct nfsd_per_client *each, uint64_t client,
                 const struct in6_addr *address,
                 const struct nfsd_export *export)
{
	time_t until = 0;

	if (export == NULL)
		until = now() + BELIEVED_ABSENT;
	else if (each->kinds & NFSD_TEMPLATE_NAME)
		until = now() + BELIEVED;
	pthread_mutex_lock(&each->lock);
	*place_of(each, client, address) = (struct known){
		.client = client,
		.address = *address,
		.until = until,
		.export = export,
	};
	pthread_mutex_unlock(&each->lock);
}

int nfsd_per_client_find(struct nfsd_per_client *each,
                         const struct nfsd_client *client,
                         const struct in6_addr *address, bool may_wait,
                         bool make, const struct nfsd_export **export)
{
	int err;

	if (recall(each, client->serial, address, export) &&
	    (*export != NULL || !make))
		return *export != NULL ? 0 : -ENOENT;
	if (!may_wait)
		return -EAGAIN;
	err = open_for(each, client, address, make, export);
	if (err == 0 || err == -ENOENT)
		keep(each, client->serial, address, err == 0 ? *export : NULL);
	return err;
}

/* ---- the whole --------------------------------------------------------------------- */

/* What all uppers are below: the server may be locked up when the first one comes. */
static int make_common(const struct nfsd_export_config *config, char *why,
                       size_t size)
{
	const char *const paths[] = { config->upperdir, config->workdir,
		                      config->statedir };
	char *common;
	int err = 0;

	for (size_t i = 0; err == 0 && i < 3; i++) {
		if (paths[i] == NULL ||
		    !(nfsd_template_kinds(paths[i]) & NFSD_TEMPLATE_CLIENT))
			continue;
		common = nfsd_template_common(paths[i]);
		err = common != NULL ? make_dirs(common, 0755) : -ENOMEM;
		if (err == -EEXIST)
			err = 0;
		if (err != 0)
			snprintf(why, size, "'%s': %s",
			         common != NULL ? common : paths[i],
			         strerror(-err));
		free(common);
	}
	return err;
}

/* What is lower is everybody's. */
static int open_base(struct nfsd_per_client *each,
                     const struct nfsd_overlay_limits *limits, char *why,
                     size_t size)
{
	struct nfsd_export_config shared = each->config, filled;
	int err;

	shared.upperdir = shared.workdir = NULL;
	err = nfsd_export_config_fill(&shared, NULL, &filled);
	if (err != 0) {
		snprintf(why, size, "%s", strerror(-err));
		return err;
	}
	err = nfsd_overlay_open(&filled, true, NULL, limits, each->log,
	                        &each->base, why, size);
	nfsd_export_config_release(&filled);
	return err;
}

int nfsd_per_client_new(const struct nfsd_export_config *config, bool read_only,
                        const struct nfsd_overlay_limits *limits,
                        struct nfsd_hosts *hosts, struct nfsd_log *log,
                        struct nfsd_per_client **out, char *why, size_t size)
{
	struct nfsd_per_client *each = calloc(1, sizeof(*each));
	const struct nfsd_overlay_limits half =
		nfsd_overlay_limits_share(limits, 2);
	int err = each == NULL ? -ENOMEM : 0;

	if (err == 0)
		err = nfsd_export_config_copy(config, &each->config);
	if (err != 0) {
		free(each);
		snprintf(why, size, "%s", strerror(-err));
		return err;
	}
	each->tables = 1;
	each->read_only = read_only;
	each->kinds = nfsd_export_config_kinds(config);
	each->limits = *limits;
	each->hosts = hosts;
	each->log = log;
	crypto_shorthash_keygen(each->key);
	pthread_mutex_init(&each->opening, NULL);
	pthread_mutex_init(&each->lock, NULL);
	err = make_common(config, why, size);
	if (err == 0 && config->nlowerdirs > 0 && config->upperdir != NULL &&
	    nfsd_export_config_lower_kinds(config) == 0)
		err = open_base(each, &half, why, size);
	if (err != 0) {
		nfsd_per_client_unref(each);
		return err;
	}
	*out = each;
	return 0;
}

void nfsd_per_client_ref(struct nfsd_per_client *each)
{
	each->tables++;
}

void nfsd_per_client_unref(struct nfsd_per_client *each)
{
	if (each == NULL || --each->tables > 0)
		return;
	for (size_t i = 0; i < each->nowns; i++)
		own_free(each->owns[i]);
	ovl_close(each->base);
	pthread_mutex_destroy(&each->opening);
	pthread_mutex_destroy(&each->lock);
	nfsd_export_config_release(&each->config);
	free(each);
}

const struct nfsd_export_config *
nfsd_per_client_config(const struct nfsd_per_client *each)
{
	return &each->config;
}

bool nfsd_per_client_read_only(const struct nfsd_per_client *each)
{
	return each->read_only;
}

void nfsd_per_client_each(struct nfsd_per_client *each, nfsd_per_client_fn *fn,
                          void *arg)
{
	pthread_mutex_lock(&each->lock);
	for (size_t i = 0; i < each->nowns; i++)
		fn(arg, &each->owns[i]->export);
	pthread_mutex_unlock(&each->lock);
}

static void add_stats(void *arg, const struct nfsd_export *export)
{
	struct ovl_stats *all = arg, one;

	ovl_stats(export->fs, &one);
	all->entries += one.entries;
	all->cache_bytes += one.cache_bytes;
	all->places += one.places;
	all->place_bytes += one.place_bytes;
	all->place_file_bytes += one.place_file_bytes;
	all->files += one.files;
	all->copyups += one.copyups;
	all->copied_bytes += one.copied_bytes;
	all->walks += one.walks;
	all->flushes += one.flushes;
}

void nfsd_per_client_stats(struct nfsd_per_client *each,
                           struct ovl_stats *stats)
{
	*stats = (struct ovl_stats){ 0 };
	if (each->base != NULL)
		ovl_stats(each->base, stats);
	nfsd_per_client_each(each, add_stats, stats);
}
