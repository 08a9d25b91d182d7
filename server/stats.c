#include "config.h"

#include "server/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "rpc/thread.h"
#include "server/per_client.h"

#define INTERVAL_S 1

/* ---- the table ---------------------------------------------------------- */

struct metric {
	const char *name;  /* in the file, after "veneer_" */
	const char *type;  /* as Prometheus has it */
	const char *words; /* in the log, and in the file's comments */
	size_t offset;     /* of a uint64_t */
};

#define COUNTER "counter"
#define GAUGE "gauge"
#define OF_RPC(field) offsetof(struct orpc_stats, field)
#define OF_FS(field) offsetof(struct ovl_stats, field)

static const struct metric of_server[] = {
	{ "calls_total", COUNTER, "calls", OF_RPC(calls) },
	{ "calls_pooled_total", COUNTER, "calls that waited for a disk",
	  OF_RPC(pooled) },
	{ "connections", GAUGE, "connections", OF_RPC(connections) },
	{ "connections_accepted_total", COUNTER, "connections ever",
	  OF_RPC(accepted) },
	{ "connections_closed_idle_total", COUNTER, "closed for a newcomer",
	  OF_RPC(closed_idle) },
	{ "connections_closed_broken_total", COUNTER,
	  "closed for what they sent", OF_RPC(closed_broken) },
	{ "connections_closed_stuck_total", COUNTER,
	  "closed for holding memory", OF_RPC(closed_stuck) },
	{ "connections_waited_total", COUNTER, "waits for memory",
	  OF_RPC(waits) },
	{ "datagrams_dropped_total", COUNTER, "datagrams dropped",
	  OF_RPC(dropped) },
	{ "replay_hits_total", COUNTER, "calls again, answered as before",
	  OF_RPC(replay_hits) },
	{ "replay_joins_total", COUNTER, "calls again, while they ran",
	  OF_RPC(replay_joins) },
	{ "replay_misses_total", COUNTER, "first calls for a change",
	  OF_RPC(replay_misses) },
	{ "replies_kept", GAUGE, "replies kept", OF_RPC(replay_entries) },
	{ "reply_kept_bytes", GAUGE, "bytes of replies kept",
	  OF_RPC(replay_bytes) },
	{ "buffer_bytes", GAUGE, "bytes of calls and replies",
	  OF_RPC(buffer_bytes) },
	{ "buffer_spare_bytes", GAUGE, "bytes of spare buffers",
	  OF_RPC(spare_bytes) },
};

static const struct metric of_export[] = {
	{ "entries", GAUGE, "entries", OF_FS(entries) },
	{ "cache_bytes", GAUGE, "bytes of entries", OF_FS(cache_bytes) },
	{ "places", GAUGE, "places", OF_FS(places) },
	{ "place_bytes", GAUGE, "bytes of places", OF_FS(place_bytes) },
	{ "place_file_bytes", GAUGE, "bytes of places on disk",
	  OF_FS(place_file_bytes) },
	{ "open_files", GAUGE, "open files", OF_FS(files) },
	{ "copyups_total", COUNTER, "objects copied up", OF_FS(copyups) },
	{ "copied_bytes_total", COUNTER, "bytes copied up",
	  OF_FS(copied_bytes) },
	{ "walks_total", COUNTER, "walks for a handle", OF_FS(walks) },
	{ "flushes_total", COUNTER, "flushes", OF_FS(flushes) },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t value_of(const struct metric *metric, const void *stats)
{
	uint64_t value;

	memcpy(&value, (const char *)stats + metric->offset, sizeof(value));
	return value;
}

static void print_head(FILE *to, const struct metric *metric)
{
	fprintf(to, "# HELP veneer_%1$s %2$s\n# TYPE veneer_%1$s %3$s\n",
	        metric->name, metric->words, metric->type);
}

/* In quotes, as the value of a label. */
static void print_quoted(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else
			putc(*text, to);
	}
	putc('"', to);
}

void nfsd_stats_print(FILE *to, const struct orpc_stats *rpc,
                      const struct nfsd_export_stats *exports, size_t n)
{
	for (size_t i = 0; i < COUNT(of_server); i++) {
		print_head(to, &of_server[i]);
		fprintf(to, "veneer_%s %" PRIu64 "\n", of_server[i].name,
		        value_of(&of_server[i], rpc));
	}
	for (size_t i = 0; i < COUNT(of_export); i++) {
		print_head(to, &of_export[i]);
		for (size_t k = 0; k < n; k++) {
			fprintf(to, "veneer_%s{export=", of_export[i].name);
			print_quoted(to, exports[k].path);
			fprintf(to, "} %" PRIu64 "\n",
			        value_of(&of_export[i], &exports[k].fs));
		}
	}
}

/* All of one kind in one line. */
static void log_line(const struct nfsd_log *log, const char *head,
                     const struct metric *metrics, size_t n, const void *stats)
{
	char line[1024] = "";
	size_t len = 0;

	for (size_t i = 0; i < n && len < sizeof(line); i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len,
		                        "%s%s %" PRIu64, i == 0 ? "" : ", ",
		                        metrics[i].words,
		                        value_of(&metrics[i], stats));
	nfsd_log(log, LOG_NOTICE, "%s: %s", head, line);
}

void nfsd_stats_print_log(const struct nfsd_log *log,
                          const struct orpc_stats *rpc,
                          const struct nfsd_export_stats *exports, size_t n)
{
	log_line(log, "statistics", of_server, COUNT(of_server), rpc);
	for (size_t i = 0; i < n; i++)
		log_line(log, exports[i].path, of_export, COUNT(of_export),
		         &exports[i].fs);
}

/* ---- as they are now ------------------------------------------------------ */

/* Of these exports, to be freed; NULL: no memory, or none. */
static struct nfsd_export_stats *collect(const struct nfsd_exports *exports,
                                         size_t *count)
{
	const size_t alone = nfsd_exports_count(exports);
	const size_t n = alone + nfsd_exports_nper_client(exports);
	struct nfsd_export_stats *stats = calloc(n + 1, sizeof(*stats));
	const struct nfsd_point *point;

	*count = stats != NULL ? n : 0;
	for (size_t i = 0; i < *count; i++) {
		if (i < alone) {
			point = nfsd_exports_get(exports, i)->point;
			ovl_stats(nfsd_exports_get(exports, i)->fs,
			          &stats[i].fs);
		} else {
			nfsd_per_client_stats(nfsd_exports_per_client(exports,
			                                              i - alone,
			                                              &point),
			                      &stats[i].fs);
		}
		stats[i].path = point->path;
	}
	return stats;
}

/* Print them as they are now: to the file `to`, or, where that is NULL, the log. */
static void print_now(const struct nfsd_stats_source *source, FILE *to)
{
	struct nfsd_export_stats *exports;
	struct orpc_stats rpc;
	unsigned entry;
	size_t n;

	orpc_server_stats(source->rpc, &rpc);
	exports = collect(nfsd_serving_begin(source->serving, &entry), &n);
	if (to != NULL)
		nfsd_stats_print(to, &rpc, exports, n);
	else
		nfsd_stats_print_log(source->log, &rpc, exports, n);
	nfsd_serving_end(source->serving, entry);
	free(exports);
}

void nfsd_stats_log(const struct nfsd_stats_source *source)
{
	print_now(source, NULL);
}

/* The text of the file, to be freed; NULL: no memory. */
static char *make_text(const struct nfsd_stats_source *source, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);
	bool failed;

	if (to == NULL)
		return NULL;
	print_now(source, to);
	failed = ferror(to) != 0;
	if (fclose(to) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- the file ----------------------------------------------------------------- */

struct nfsd_stats {
	struct nfsd_stats_source source;
	char *path, *fresh_path;
	const char *name, *fresh; /* within the directory */
	int dirfd;
	int fd;      /* of the fresh file; -1: it is to be made */
	bool failed; /* the last time, and that was logged */
	bool started;
	pthread_t thread;
	pthread_mutex_t lock; /* over */
	pthread_cond_t wake;
	bool over;
};

/* Make the file that is to take the place of the old one. 0 or -errno. */
static int make_fresh(struct nfsd_stats *stats)
{
	if (stats->fd >= 0)
		return 0;
	/* One may be left of a server that was killed. */
	if (unlinkat(stats->dirfd, stats->fresh, 0) != 0 && errno != ENOENT)
		return -errno;
	stats->fd = openat(stats->dirfd, stats->fresh,
	                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                   0644);
	return stats->fd >= 0 ? 0 : -errno;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static void drop_fresh(struct nfsd_stats *stats)
{
	if (stats->fd < 0)
		return;
	close(stats->fd);
	stats->fd = -1;
	unlinkat(stats->dirfd, stats->fresh, 0);
}

/* Once. 0 or -errno: then the file is as it was. */
static int write_file(struct nfsd_stats *stats)
{
	size_t len;
	char *text = make_text(&stats->source, &len);
	int err = text != NULL ? make_fresh(stats) : -ENOMEM;

	if (err == 0)
		err = write_all(stats->fd, text, len);
	if (err == 0 && renameat(stats->dirfd, stats->fresh, stats->dirfd,
	                         stats->name) != 0)
		err = -errno;
	if (err == 0) {
		close(stats->fd);
		stats->fd = -1;
	} else {
		drop_fresh(stats);
	}
	free(text);
	return err;
}

/* The same, while it serves: that goes on, whatever becomes of the file. */
static void try_to_write(struct nfsd_stats *stats)
{
	int err = write_file(stats);

	if (err != 0 && !stats->failed)
		nfsd_log(stats->source.log, LOG_WARNING,
		         "statistics cannot be written to %s: %s", stats->path,
		         strerror(-err));
	stats->failed = err != 0;
}

static void *keep_writing(void *arg)
{
	struct nfsd_stats *stats = arg;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&stats->lock);
	while (!stats->over) {
		next.tv_sec += INTERVAL_S;
		while (!stats->over &&
		       pthread_cond_timedwait(&stats->wake, &stats->lock,
		                              &next) == 0)
			;
		if (stats->over)
			break;
		pthread_mutex_unlock(&stats->lock);
		try_to_write(stats);
		/* After a disk that hung there is nothing to catch up with. */
		clock_gettime(CLOCK_MONOTONIC, &next);
		pthread_mutex_lock(&stats->lock);
	}
	pthread_mutex_unlock(&stats->lock);
	return NULL;
}

/* What is no file must not be renamed over: /dev/null, for one. */
static int check_kind(const struct nfsd_stats *stats)
{
	struct stat st;

	if (fstatat(stats->dirfd, stats->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) ? 0 : -ENOTSUP;
}

/* Part the path into its directory, which is opened, and the name there. */
static int open_dir(struct nfsd_stats *stats)
{
	char *slash = strrchr(stats->path, '/');
	const char *dir = ".";

	stats->name = slash != NULL ? slash + 1 : stats->path;
	if (*stats->name == '\0')
		return -EISDIR;
	if (asprintf(&stats->fresh_path, "%s.new", stats->path) < 0) {
		stats->fresh_path = NULL;
		return -ENOMEM;
	}
	stats->fresh = stats->fresh_path + (stats->name - stats->path);
	if (slash == stats->path)
		dir = "/";
	else if (slash != NULL)
		dir = stats->path;
	if (slash != NULL && slash != stats->path)
		*slash = '\0';
	stats->dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (slash != NULL)
		*slash = '/';
	return stats->dirfd >= 0 ? 0 : -errno;
}

static void init_wake(struct nfsd_stats *stats)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&stats->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&stats->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int nfsd_stats_new(const char *path, const struct nfsd_stats_source *source,
                   struct nfsd_stats **result)
{
	struct nfsd_stats *stats = calloc(1, sizeof(*stats));
	int err;

	if (stats == NULL)
		return -ENOMEM;
	stats->source = *source;
	stats->dirfd = stats->fd = -1;
	init_wake(stats);
	stats->path = strdup(path);
	err = stats->path != NULL ? open_dir(stats) : -ENOMEM;
	if (err == 0)
		err = check_kind(stats);
	if (err != 0) {
		nfsd_stats_free(stats);
		return err;
	}
	*result = stats;
	return 0;
}

bool nfsd_stats_is_below(const struct nfsd_stats *stats, const char *dir)
{
	char link[64], here[PATH_MAX], there[PATH_MAX];
	ssize_t n;
	size_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", stats->dirfd);
	n = readlink(link, here, sizeof(here) - 1);
	if (n < 0 || realpath(dir, there) == NULL)
		return false;
	here[n] = '\0';
	len = strcmp(there, "/") != 0 ? strlen(there) : 0;
	return strncmp(here, there, len) == 0 &&
	       (here[len] == '/' || here[len] == '\0');
}

int nfsd_stats_prepare(struct nfsd_stats *stats)
{
	return make_fresh(stats);
}

int nfsd_stats_start(struct nfsd_stats *stats)
{
	int err = write_file(stats);

	if (err == 0)
		err = orpc_thread_start(&stats->thread, "stats", 0,
		                        keep_writing, stats);
	stats->started = err == 0;
	return err;
}

void nfsd_stats_stop(struct nfsd_stats *stats)
{
	if (stats == NULL || !stats->started)
		return;
	pthread_mutex_lock(&stats->lock);
	stats->over = true;
	pthread_cond_signal(&stats->wake);
	pthread_mutex_unlock(&stats->lock);
	pthread_join(stats->thread, NULL);
	stats->started = false;
	try_to_write(stats);
}

void nfsd_stats_free(struct nfsd_stats *stats)
{
	if (stats == NULL)
		return;
	nfsd_stats_stop(stats);
	drop_fresh(stats);
	if (stats->dirfd >= 0)
		close(stats->dirfd);
	pthread_cond_destroy(&stats->wake);
	pthread_mutex_destroy(&stats->lock);
	free(stats->fresh_path);
	free(stats->path);
	free(stats);
}
