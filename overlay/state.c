#include "config.h"

#include "overlay/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "overlay/beneath.h"

/*
 * The file, one fact a line:
 *
 *   veneer state 1
 *   export ID                                      (hexadecimal, as all keys)
 *   handle-key KEY
 *   cookie-key KEY
 *   layer NUMBER KIND INO GENERATION BIRTH HEIGHT  (by number, from 1)
 *   restacked SECONDS NANOSECONDS                  (once it was)
 */
#define FILE_NAME "state"
#define NEW_NAME "state.new"
#define FIRST_LINE "veneer state 1"
/* Milliseconds for which the coarse clock is waited for: a tick has 10 at most. */
#define CLOCK_TRIES 20
#define FILE_MAX (256 * 1024) /* OVL_LAYER_MAX lines of 120 are half of it */

#define KEY_HEX_SIZE (2 * OVL_KEY_BYTES + 1)
#define EXPORT_ID_BYTES 7

/* One that has been seen; its number is its place in the register. */
struct ovl_state_layer {
	uint64_t ino;
	uint64_t generation;
	uint64_t birth;  /* 0: not known */
	unsigned height; /* in the last stack, 1 is the bottom; 0: not in it */
	enum ovl_generation_kind kind;
};

static const char *const kind_names[] = {
	[OVL_GENERATION_HANDLE] = "handle",
	[OVL_GENERATION_BTIME] = "btime",
};

/* ---- reading ------------------------------------------------------------ */

static int fresh(struct ovl_state *state)
{
	struct ovl_state new = { .changed = true };

	if (sodium_init() < 0)
		return -EIO;
	while (new.export_id == 0) {
		unsigned char bytes[EXPORT_ID_BYTES];

		randombytes_buf(bytes, sizeof(bytes));
		for (size_t i = 0; i < sizeof(bytes); i++)
			new.export_id = new.export_id << 8 | bytes[i];
	}
	randombytes_buf(new.handle_key, sizeof(new.handle_key));
	randombytes_buf(new.cookie_key, sizeof(new.cookie_key));
	*state = new;
	return 0;
}

/* The whole file, terminated, to be freed. */
static int read_file(int dirfd, char **text)
{
	FILE *file = NULL;
	char *buffer = NULL;
	size_t len;
	int err;
	int fd = ovl_open_beneath(dirfd, FILE_NAME, O_RDONLY, 0, false);

	if (fd < 0)
		return fd;
	err = -ENOMEM;
	buffer = malloc(FILE_MAX);
	file = buffer ? fdopen(fd, "r") : NULL;
	if (!file)
		goto out;
	fd = -1;
	len = fread(buffer, 1, FILE_MAX, file);
	err = ferror(file) ? -EIO : 0;
	if (!err && (len == FILE_MAX || memchr(buffer, '\0', len)))
		err = -EINVAL;
	if (err)
		goto out;
	buffer[len] = '\0';
	*text = buffer;
	buffer = NULL;
out:
	if (fd >= 0)
		close(fd);
	if (file)
		fclose(file);
	free(buffer);
	return err;
}

static int parse_key(const char *hex, unsigned char key[OVL_KEY_BYTES])
{
	size_t len;

	if (strlen(hex) != KEY_HEX_SIZE - 1 ||
	    sodium_hex2bin(key, OVL_KEY_BYTES, hex, strlen(hex), NULL, &len,
	                   NULL) < 0 ||
	    len != OVL_KEY_BYTES)
		return -EINVAL;
	return 0;
}

static int parse_kind(const char *name, enum ovl_generation_kind *kind)
{
	for (size_t i = 0; i < sizeof(kind_names) / sizeof(*kind_names); i++) {
		if (strcmp(name, kind_names[i]) == 0) {
			*kind = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_layer(struct ovl_state *state, const char *value)
{
	struct ovl_state_layer layer, *layers;
	unsigned number;
	char kind[8];
	int end = 0;

	if (sscanf(value, "%u %7s %" SCNu64 " %" SCNx64 " %" SCNu64 " %u%n",
	           &number, kind, &layer.ino, &layer.generation, &layer.birth,
	           &layer.height, &end) != 6 ||
	    value[end] != '\0' || number != state->nlayers + 1 ||
	    number > OVL_LAYER_MAX || parse_kind(kind, &layer.kind) < 0)
		return -EINVAL;
	layers = reallocarray(state->layers, number, sizeof(*layers));
	if (!layers)
		return -ENOMEM;
	layers[state->nlayers++] = layer;
	state->layers = layers;
	return 0;
}

static int parse_time(struct timespec *time, const char *value)
{
	int end = 0;

	if (sscanf(value, "%" SCNd64 " %9ld%n", &time->tv_sec, &time->tv_nsec,
	           &end) != 2 ||
	    value[end] != '\0' || time->tv_nsec < 0)
		return -EINVAL;
	return 0;
}

/* What a state file must have. */
enum { HAS_EXPORT = 1, HAS_HANDLE_KEY = 2, HAS_COOKIE_KEY = 4, HAS_ALL = 7 };

static int parse_line(struct ovl_state *state, char *line, unsigned *seen)
{
	char *value = strchr(line, ' ');
	int end = 0;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (strcmp(line, "layer") == 0)
		return parse_layer(state, value);
	if (strcmp(line, "restacked") == 0)
		return parse_time(&state->restacked, value);
	if (strcmp(line, "export") == 0) {
		*seen |= HAS_EXPORT;
		if (sscanf(value, "%" SCNx64 "%n", &state->export_id, &end) !=
		            1 ||
		    value[end] != '\0' || state->export_id == 0 ||
		    state->export_id >> (8 * EXPORT_ID_BYTES) != 0)
			return -EINVAL;
		return 0;
	}
	if (strcmp(line, "handle-key") == 0) {
		*seen |= HAS_HANDLE_KEY;
		return parse_key(value, state->handle_key);
	}
	if (strcmp(line, "cookie-key") == 0) {
		*seen |= HAS_COOKIE_KEY;
		return parse_key(value, state->cookie_key);
	}
	return -EINVAL;
}

static int parse(struct ovl_state *state, char *text)
{
	char *save = NULL;
	char *line = strtok_r(text, "\n", &save);
	unsigned seen = 0;
	int err = 0;

	if (!line || strcmp(line, FIRST_LINE) != 0)
		return -EINVAL;
	while (!err && (line = strtok_r(NULL, "\n", &save)))
		err = parse_line(state, line, &seen);
	return !err && seen != HAS_ALL ? -EINVAL : err;
}

int ovl_state_load(struct ovl_state *state, int dirfd)
{
	struct ovl_state new = { 0 };
	char *text = NULL;
	int err = dirfd < 0 ? -ENOENT : read_file(dirfd, &text);

	if (err == -ENOENT)
		return fresh(state);
	if (err)
		return err;
	err = parse(&new, text);
	sodium_memzero(text, strlen(text));
	free(text);
	if (err)
		ovl_state_release(&new);
	else
		*state = new;
	return err;
}

void ovl_state_release(struct ovl_state *state)
{
	free(state->layers);
	sodium_memzero(state, sizeof(*state));
}

/* ---- writing ------------------------------------------------------------ */

static void print_key(FILE *file, const char *name,
                      const unsigned char key[OVL_KEY_BYTES])
{
	char hex[KEY_HEX_SIZE];

	sodium_bin2hex(hex, sizeof(hex), key, OVL_KEY_BYTES);
	fprintf(file, "%s %s\n", name, hex);
}

static void print_state(FILE *file, const struct ovl_state *state)
{
	fprintf(file, FIRST_LINE "\nexport %0*" PRIx64 "\n",
	        2 * EXPORT_ID_BYTES, state->export_id);
	print_key(file, "handle-key", state->handle_key);
	print_key(file, "cookie-key", state->cookie_key);
	for (size_t i = 0; i < state->nlayers; i++) {
		const struct ovl_state_layer *layer = &state->layers[i];

		fprintf(file,
		        "layer %zu %s %" PRIu64 " %" PRIx64 " %" PRIu64 " %u\n",
		        i + 1, kind_names[layer->kind], layer->ino,
		        layer->generation, layer->birth, layer->height);
	}
	if (state->restacked.tv_sec)
		fprintf(file, "restacked %" PRId64 " %09ld\n",
		        state->restacked.tv_sec, state->restacked.tv_nsec);
}

/* Make NEW_NAME, whole and on stable storage. */
static int write_new(int dirfd, const struct ovl_state *state)
{
	FILE *file;
	int err = 0;
	int fd;

	/* One of a crash may be there, with who knows what mode. */
	if (unlinkat(dirfd, NEW_NAME, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = ovl_open_beneath(dirfd, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL,
	                      0600, false);
	if (fd < 0)
		return fd;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	print_state(file, state);
	if (fflush(file) == EOF || fsync(fd) < 0)
		err = -errno;
	if (!err && ferror(file))
		err = -EIO;
	fclose(file);
	return err;
}

/* So that the rename survives a crash. */
static int sync_dir(int dirfd)
{
	int fd = ovl_open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0, false);
	int err;

	if (fd < 0)
		return fd;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int ovl_state_save(struct ovl_state *state, int dirfd)
{
	int err = write_new(dirfd, state);

	if (!err && renameat(dirfd, NEW_NAME, dirfd, FILE_NAME) < 0)
		err = -errno;
	if (err) {
		unlinkat(dirfd, NEW_NAME, 0);
		return err;
	}
	err = sync_dir(dirfd);
	if (!err)
		state->changed = false;
	return err;
}

/* ---- numbering ---------------------------------------------------------- */

static bool is_layer(const struct ovl_state_layer *seen,
                     const struct ovl_layer *layer)
{
	uint64_t generation = layer->root_generation;

	if (seen->ino != layer->root_ino)
		return false;
	/* A kernel may have learnt to tell, or a mount no longer tell. */
	if (seen->birth && layer->root_birth &&
	    seen->birth != layer->root_birth)
		return false;
	if (seen->kind != layer->generation_kind &&
	    ovl_layer_root_generation(layer, seen->kind, &generation) < 0)
		return false;
	return seen->generation == generation;
}

/* The register in the making, from which the old one stays untouched. */
struct numbering {
	const struct ovl_state *old;
	struct ovl_state_layer *seen; /* heights are of the new stack */
	size_t nseen;
	bool strict;
	unsigned old_height;
};

/*
 * The place of `layer`, which is at `height`, in the register; nseen where it
 * is unknown. Images may be twins: what has a place already is passed over.
 */
static size_t find(const struct numbering *job, const struct ovl_layer *layer,
                   unsigned height)
{
	bool as_before = job->strict && height <= job->old_height;
	size_t i;

	for (i = 0; i < job->old->nlayers; i++) {
		const struct ovl_state_layer *old = &job->old->layers[i];

		if (job->seen[i].height != 0 ||
		    (as_before && old->height != height))
			continue;
		if (is_layer(old, layer))
			return i;
	}
	return job->nseen;
}

/* Give `layer` its height in the register, and a new place where need be. */
static int place(struct numbering *job, const struct ovl_layer *layer,
                 unsigned height, char *why, size_t size)
{
	size_t i = find(job, layer, height);
	struct ovl_state_layer *seen = &job->seen[i];

	if (i == job->nseen && job->strict && height <= job->old_height) {
		snprintf(why, size,
		         "%s: not the lower layer that was number %u from the "
		         "bottom when the upper was last used",
		         layer->path, height);
		return -ESTALE;
	}
	if (i == OVL_LAYER_MAX) {
		snprintf(why, size, "%s: %d lower layers have been seen",
		         layer->path, OVL_LAYER_MAX);
		return -EOVERFLOW;
	}
	if (i == job->nseen) {
		job->nseen++;
		*seen = (struct ovl_state_layer){
			.ino = layer->root_ino,
			.generation = layer->root_generation,
			.kind = layer->generation_kind,
		};
	}
	seen->height = height;
	if (layer->root_birth)
		seen->birth = layer->root_birth;
	return 0;
}

/*
 * Later than any ctime that a client may have seen, of which some are taken from the
 * fine clock; and no later than any to come, most of which are taken from the coarse
 * one: so that has to catch up.
 */
static void take_time(struct timespec *now)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct timespec coarse;
	unsigned tries = 0;

	clock_gettime(CLOCK_REALTIME, now);
	do {
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
	} while (ovl_time_is_before(&coarse, now) && ++tries < CLOCK_TRIES);
}

/* It is to be saved; a stack that is no more what it was has become that now. */
static void restack(struct ovl_state *state)
{
	if (!state->changed)
		take_time(&state->restacked);
	state->changed = true;
}

static bool register_differs(const struct numbering *job)
{
	if (job->nseen != job->old->nlayers)
		return true;
	for (size_t i = 0; i < job->nseen; i++) {
		if (job->seen[i].height != job->old->layers[i].height ||
		    job->seen[i].birth != job->old->layers[i].birth)
			return true;
	}
	return false;
}

/* Nothing fails from here on. */
static void commit(struct numbering *job, struct ovl_state *state,
                   struct ovl_layer *layers, size_t n)
{
	for (size_t i = 0; i < job->nseen; i++) {
		const struct ovl_state_layer *seen = &job->seen[i];
		struct ovl_layer *layer;

		if (seen->height == 0)
			continue;
		layer = &layers[n - seen->height];
		layer->number = (unsigned)i + 1;
		layer->generation_kind = seen->kind;
		layer->root_generation = seen->generation;
	}
	if (register_differs(job))
		restack(state);
	free(state->layers);
	state->layers = job->seen;
	state->nlayers = job->nseen;
	job->seen = NULL;
}

static int begin(struct numbering *job, const struct ovl_state *state, size_t n,
                 bool strict)
{
	*job = (struct numbering){
		.old = state,
		.nseen = state->nlayers,
		.strict = strict,
	};
	/* One more, lest nothing at all look like a failure. */
	job->seen = calloc(state->nlayers + n + 1, sizeof(*job->seen));
	if (!job->seen)
		return -ENOMEM;
	for (size_t i = 0; i < state->nlayers; i++) {
		job->seen[i] = state->layers[i];
		job->seen[i].height = 0;
		if (state->layers[i].height > job->old_height)
			job->old_height = state->layers[i].height;
	}
	return 0;
}

int ovl_state_number(struct ovl_state *state, struct ovl_layer *layers,
                     size_t n, bool strict, char *why, size_t size)
{
	struct numbering job;
	int err = begin(&job, state, n, strict);

	if (err) {
		snprintf(why, size, "%s", strerror(-err));
		return err;
	}
	if (strict && n < job.old_height) {
		snprintf(why, size,
		         "%zu lower layers, but %u when the upper was last "
		         "used",
		         n, job.old_height);
		err = -ESTALE;
	}
	for (unsigned height = 1; !err && height <= n; height++)
		err = place(&job, &layers[n - height], height, why, size);
	if (!err)
		commit(&job, state, layers, n);
	free(job.seen);
	return err;
}

/* ---- sharing ------------------------------------------------------------ */

static bool are_same(const struct ovl_state_layer *a,
                     const struct ovl_state_layer *b)
{
	return a->ino == b->ino && a->generation == b->generation &&
	       a->kind == b->kind &&
	       (a->birth == b->birth || !a->birth || !b->birth);
}

/* 0: what has been seen there is where it was. */
static int check_shared(const struct ovl_state *state,
                        const struct ovl_state *base, bool strict, char *why,
                        size_t size)
{
	for (size_t i = 0; i < state->nlayers; i++) {
		const struct ovl_state_layer *old = &state->layers[i];

		if (i >= base->nlayers || !are_same(old, &base->layers[i])) {
			snprintf(why, size,
			         "lower layer %zu of the upper is not the one "
			         "that the others share",
			         i + 1);
			return -ESTALE;
		}
		if (strict && old->height &&
		    old->height != base->layers[i].height) {
			snprintf(why, size,
			         "the lower layer that was number %u from the "
			         "bottom when the upper was last used is not "
			         "there",
			         old->height);
			return -ESTALE;
		}
	}
	return 0;
}

static bool shares_all(const struct ovl_state *state,
                       const struct ovl_state *base)
{
	if (state->nlayers != base->nlayers ||
	    memcmp(state->cookie_key, base->cookie_key, OVL_KEY_BYTES))
		return false;
	for (size_t i = 0; i < state->nlayers; i++)
		if (state->layers[i].height != base->layers[i].height)
			return false;
	return true;
}

int ovl_state_share(struct ovl_state *state, const struct ovl_state *base,
                    bool strict, char *why, size_t size)
{
	struct ovl_state_layer *layers;
	int err = check_shared(state, base, strict, why, size);

	if (err || shares_all(state, base))
		return err;
	layers = calloc(base->nlayers + 1, sizeof(*layers));
	if (!layers) {
		snprintf(why, size, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	if (base->nlayers)
		memcpy(layers, base->layers, base->nlayers * sizeof(*layers));
	free(state->layers);
	state->layers = layers;
	state->nlayers = base->nlayers;
	memcpy(state->cookie_key, base->cookie_key, OVL_KEY_BYTES);
	restack(state);
	return 0;
}
