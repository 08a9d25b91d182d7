/*
 * Opening and closing an overlay. All checks come first; only when they have
 * passed is anything made or removed.
 */
#include "config.h"

#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/check.h"
#include "overlay/find.h"
#include "overlay/heap.h"
#include "overlay/flush.h"
#include "overlay/fs.h"
#include "overlay/upper.h"
#include "overlay/whiteout.h"
#include "overlay/writer.h"
#include "overlay/xattr.h"

/* What is open, and not yet the overlay's. */
struct opening {
	const struct ovl_config *config;
	struct ovl *fs;
	struct ovl_layer *lowers;      /* its own, top first */
	size_t nlowers;                /* of which are open */
	const struct ovl_layer *below; /* the same, or the base's */
	size_t nbelow;
	char *statedir;
	struct ovl_writer
		*writer; /* of rows; NULL: there is no file for them */
	char *why;
	size_t size;
};

static int say(struct opening *o, int err, const char *what, const char *path)
{
	snprintf(o->why, o->size, "%s '%s': %s", what, path, strerror(-err));
	return err;
}

/* ---- the layers ------------------------------------------------------------------ */

static int open_layers(struct opening *o)
{
	const struct ovl_config *config = o->config;
	int err;

	if (config->nlowerdirs > OVL_LAYER_MAX)
		return say(o, -E2BIG, "lowerdir", config->lowerdirs[0]);
	o->lowers = calloc(config->nlowerdirs + 1, sizeof(*o->lowers));
	if (!o->lowers)
		return -ENOMEM;
	for (; o->nlowers < config->nlowerdirs; o->nlowers++) {
		err = ovl_layer_init(&o->lowers[o->nlowers],
		                     config->lowerdirs[o->nlowers],
		                     config->userxattr);
		if (err)
			return say(o, err, "lowerdir",
			           config->lowerdirs[o->nlowers]);
	}
	o->below = config->base ? config->base->stack->layers : o->lowers;
	o->nbelow = config->base ? config->base->stack->nlayers : o->nlowers;
	if (!config->upperdir)
		return 0;
	err = ovl_layer_init(&o->fs->upper, config->upperdir,
	                     config->userxattr);
	if (err)
		return say(o, err, "upperdir", config->upperdir);
	o->fs->upper.number = OVL_LAYER_UPPER;
	/* They would hide nothing: ordinary names. */
	o->fs->upper.wh_names = o->nbelow > 0;
	o->fs->has_upper = true;
	return 0;
}

/* ---- the checks --------------------------------------------------------------------- */

static int check_together(struct opening *o, struct ovl_place *places, size_t n,
                          const struct ovl_place *upper,
                          const struct ovl_place *work)
{
	struct stat upper_stat, work_stat;
	int err;

	err = ovl_check_overlap(places, n, o->why, o->size);
	if (err || !upper)
		return err;
	if (fstat(upper->fd, &upper_stat) || fstat(work->fd, &work_stat))
		return -errno;
	if (upper_stat.st_dev != work_stat.st_dev) {
		snprintf(o->why, o->size,
		         "upperdir '%s' and workdir '%s' are "
		         "on different filesystems",
		         upper->path, work->path);
		return -EINVAL;
	}
	return ovl_check_unused(upper, work, o->why, o->size);
}

static int check_places(struct opening *o, int work, int state, bool is_there)
{
	const struct ovl_config *config = o->config;
	struct ovl_place *places = calloc(o->nbelow + 3, sizeof(*places));
	struct ovl_place *upper = NULL;
	size_t n = 0;
	int err;

	if (!places)
		return -ENOMEM;
	for (; n < o->nbelow; n++)
		places[n] = (struct ovl_place){ .what = "lowerdir",
			                        .path = o->below[n].path,
			                        .fd = o->below[n].root };
	if (o->fs->has_upper) {
		upper = &places[n];
		places[n++] = (struct ovl_place){ .what = "upperdir",
			                          .path = config->upperdir,
			                          .fd = o->fs->upper.root };
		places[n++] = (struct ovl_place){ .what = "workdir",
			                          .path = config->workdir,
			                          .fd = work };
	}
	places[n++] = (struct ovl_place){ .what = "statedir",
		                          .path = o->statedir,
		                          .fd = state,
		                          .to_be_made = !is_there };
	err = check_together(o, places, n, upper, upper ? upper + 1 : NULL);
	free(places);
	return err;
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The lowest directory above `path` that is there. */
static int open_above(const char *path)
{
	char *above = strdup(path), *slash;
	int fd = above ? -ENOENT : -ENOMEM;

	while (fd == -ENOENT && (slash = strrchr(above, '/'))) {
		*slash = '\0';
		fd = open_dir(*above ? above : "/");
	}
	free(above);
	return fd == -ENOENT ? open_dir(".") : fd;
}

/* Check where the statedir is, or is to be made. */
static int check_statedir(struct opening *o, int work, int state)
{
	int above, err;

	if (state >= 0)
		return check_places(o, work, state, true);
	above = open_above(o->statedir);
	if (above < 0)
		return say(o, above, "statedir", o->statedir);
	err = check_places(o, work, above, false);
	close(above);
	return err;
}

/*
 * Check that all can be used together, and give the lower layers their numbers
 * by what is kept. Nothing is written.
 */
static int check_all(struct opening *o)
{
	const struct ovl_config *config = o->config;
	int work = -1, state, err = 0;
	bool strict;

	if (o->fs->has_upper) {
		work = open_dir(config->workdir);
		if (work < 0)
			return say(o, work, "workdir", config->workdir);
	}
	state = open_dir(o->statedir);
	if (state < 0 && state != -ENOENT)
		err = say(o, state, "statedir", o->statedir);
	if (!err)
		err = check_statedir(o, work, state);
	if (!err) {
		err = ovl_state_load(&o->fs->state, state);
		if (err)
			say(o, err, "state in", o->statedir);
	}
	if (!err) {
		strict = o->fs->has_upper && !o->fs->state.changed &&
		         !config->accept_changed_lower;
		err = config->base ? ovl_state_share(&o->fs->state,
		                                     &config->base->state,
		                                     strict, o->why, o->size)
		                   : ovl_state_number(&o->fs->state, o->lowers,
		                                      o->nlowers, strict,
		                                      o->why, o->size);
	}
	if (work >= 0)
		close(work);
	if (state >= 0)
		close(state);
	return err;
}

/* ---- what is kept ---------------------------------------------------------------------- */

/* As mkdir -p; only the owner may look in. */
static int make_dirs(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int save_state(struct opening *o)
{
	int dir, err = 0;

	if (!o->fs->state.changed)
		return 0;
	if (make_dirs(o->statedir))
		return say(o, -errno, "statedir", o->statedir);
	dir = open_dir(o->statedir);
	if (dir < 0)
		return say(o, dir, "statedir", o->statedir);
	err = ovl_state_save(&o->fs->state, dir);
	if (err)
		say(o, err, "state in", o->statedir);
	close(dir);
	return err;
}

/* The overlay's marks are extended attributes: the upper has to keep them. */
static int check_xattrs(struct opening *o)
{
	int fd = ovl_workdir_fd(o->fs->workdir), err;

	err = ovl_xattr_set(&o->fs->upper, fd, OVL_XATTR_OPAQUE, "y", 1);
	if (!err)
		return ovl_xattr_remove(&o->fs->upper, fd, OVL_XATTR_OPAQUE);
	snprintf(o->why, o->size,
	         "upperdir '%s' keeps no %s.* extended "
	         "attributes: %s",
	         o->config->upperdir, o->config->userxattr ? "user" : "trusted",
	         strerror(-err));
	return -ENOTSUP;
}

/* From here on the upper has overrides, if it is to have any. */
static int open_standins(struct opening *o)
{
	struct ovl *fs = o->fs;
	int err;

	if (!fs->upper.userxattr)
		return 0;
	err = ovl_standins_open(ovl_workdir_fd(fs->workdir), &fs->standins);
	if (err)
		return say(o, err, "workdir", o->config->workdir);
	fs->upper.standins = fs->standins;
	fs->upper.has_host_uid = o->config->has_host_uid;
	fs->upper.has_host_gid = o->config->has_host_gid;
	fs->upper.host_uid = o->config->host_uid;
	fs->upper.host_gid = o->config->host_gid;
	return 0;
}

static int open_workdir(struct opening *o)
{
	const char *path = o->config->workdir;
	int err;

	if (!o->fs->has_upper)
		return 0;
	err = ovl_workdir_open(path, o->fs->upper.root, &o->fs->workdir);
	if (err == -EBUSY) {
		snprintf(o->why, o->size,
		         "workdir '%s' is in use: another "
		         "server has it",
		         path);
		return err;
	}
	if (err)
		return say(o, err, "workdir", path);
	o->fs->upper.server_uid = geteuid();
	o->fs->upper.server_gid = getegid();
	ovl_batch_init(&o->fs->batch, ovl_workdir_marker(o->fs->workdir),
	               ovl_flush_heard, o->fs);
	err = check_xattrs(o);
	if (!err)
		err = open_standins(o);
	if (!err) {
		err = ovl_whiteout_choose(o->fs);
		if (err)
			say(o, err, "workdir", path);
	}
	return err;
}

/*
 * The file of where objects were seen. Without it all works as well, but for the
 * walks.
 */
static void open_rows(struct opening *o)
{
	struct ovl_store *store = NULL;
	int dir = open_dir(o->statedir), err = dir < 0 ? dir : 0;

	if (!err) {
		err = ovl_store_open(dir, OVL_STORE_MAX, &o->fs->log, &store);
		close(dir);
	}
	if (!err)
		err = ovl_writer_new(store, &o->writer);
	if (!err)
		return;
	ovl_store_close(store);
	ovl_log_line(
		&o->fs->log, LOG_NOTICE,
		"statedir '%s': places of files are kept in memory only: %s",
		o->statedir,
		err == -EREMOTE ? "it is on a network filesystem"
				: strerror(-err));
}

/* ---- trees --------------------------------------------------------------------------------- */

static int find_by_rows(void *arg, uint64_t fileid, struct ovl_node **node)
{
	struct ovl *fs = arg;

	return ovl_find_by_rows(fs, &fs->tree, fileid, node);
}

static int walk_look_up(void *arg, struct ovl_node *dir, const char *name,
                        struct ovl_node **node)
{
	return ovl_find_child(arg, dir, name, true, node);
}

static int walk_identify(void *arg, struct ovl_node *dir, const char *name,
                         uint64_t *fileid)
{
	return ovl_upper_identify(arg, dir, name, fileid);
}

static const struct ovl_walk_ways walk_ways = {
	.lookup = walk_look_up,
	.identify = walk_identify,
};

static int make_stack(struct opening *o, const struct ovl_config *config)
{
	struct ovl *fs = o->fs;
	int err;

	if (config->base) {
		fs->stack = ovl_stack_ref(config->base->stack);
		fs->shares_stack = true;
		return 0;
	}
	for (size_t i = 0; i < o->nlowers; i++)
		ovl_layer_isolate(&o->lowers[i]);
	err = ovl_stack_new(o->lowers, o->nlowers, config, o->writer,
	                    fs->state.cookie_key, &fs->stack);
	if (err)
		return err;
	o->lowers = NULL;
	o->nlowers = 0;
	return 0;
}

static int make_trees(struct opening *o)
{
	struct ovl_config config = *o->config;
	struct ovl *fs = o->fs;
	int err;

	/* The upper and what is lower share descriptors and memory. */
	if (fs->has_upper && o->nlowers) {
		config.max_files = (config.max_files + 1) / 2;
		config.max_memory = (config.max_memory + 1) / 2;
	}
	err = make_stack(o, &config);
	if (err || !fs->has_upper)
		return err;
	err = ovl_tree_init(&fs->tree, &fs->upper, true, &config, o->writer,
	                    fs->stack->cookie_key, ovl_flush_heard, fs);
	if (err)
		return err;
	fs->tree.writable = !fs->read_only;
	fs->tree.in_memory = fs->upper.never_waits && fs->stack->tree.in_memory;
	fs->tree.restacked = fs->state.restacked;
	fs->tree.find = find_by_rows;
	fs->tree.find_arg = fs;
	ovl_shown_init(&fs->tree.shown, &fs->stack->tree.changes);
	err = ovl_index_open(ovl_workdir_fd(fs->workdir), &fs->tree.index);
	if (err)
		return err;
	ovl_walk_init(&fs->walk, &fs->tree, &walk_ways, fs, &config);
	return ovl_upper_add_root(fs);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int check_config(struct opening *o)
{
	const struct ovl_config *config = o->config;

	if (config->base && (config->nlowerdirs || !config->upperdir)) {
		snprintf(o->why, o->size, "over a base: an upperdir alone");
		return -EINVAL;
	}
	if (!config->nlowerdirs && !config->upperdir) {
		snprintf(o->why, o->size, "neither lowerdir nor upperdir");
		return -EINVAL;
	}
	if (config->ndatadirs && config->ndatadirs >= config->nlowerdirs) {
		snprintf(o->why, o->size, "all lowerdirs have data alone");
		return -EINVAL;
	}
	if (!config->upperdir != !config->workdir) {
		snprintf(o->why, o->size, "upperdir and workdir go together");
		return -EINVAL;
	}
	if (config->statedir)
		o->statedir = strdup(config->statedir);
	else if (!config->workdir ||
	         asprintf(&o->statedir, "%s/veneer", config->workdir) < 0)
		o->statedir = NULL;
	if (!o->statedir) {
		snprintf(o->why, o->size, "no statedir");
		return -EINVAL;
	}
	return 0;
}

static struct ovl *new_fs(const struct ovl_config *config)
{
	struct ovl *fs = ovl_heap_aligned(_Alignof(struct ovl), sizeof(*fs));
	uint64_t verifier;

	if (!fs)
		return NULL;
	fs->cache = config->cache;
	fs->sync = config->sync;
	fs->redirect_dir = config->redirect_dir;
	fs->metacopy = config->metacopy;
	fs->read_only = config->read_only || !config->upperdir;
	fs->log = (struct ovl_log){ config->log, config->log_arg };
	fs->upper.root = -1;
	randombytes_buf(&verifier, sizeof(verifier));
	atomic_init(&fs->verifier, verifier);
	pthread_mutex_init(&fs->rename, NULL);
	ovl_copies_init(&fs->copies, config->max_copies, config->max_waiting);
	for (unsigned i = 0; i < OVL_OVERRIDE_LOCKS; i++)
		pthread_mutex_init(&fs->overriding[i], NULL);
	return fs;
}

int ovl_open(const struct ovl_config *config, struct ovl **fs, char *why,
             size_t size)
{
	struct opening o = { .config = config, .why = why, .size = size };
	int err;

	snprintf(why, size, "out of memory");
	if (sodium_init() < 0)
		return -ENOSYS;
	o.fs = new_fs(config);
	if (!o.fs)
		return -ENOMEM;
	err = check_config(&o);
	if (!err)
		err = open_layers(&o);
	if (!err)
		err = check_all(&o);
	if (!err)
		err = open_workdir(&o);
	if (!err)
		err = save_state(&o);
	if (!err)
		open_rows(&o);
	if (!err)
		err = make_trees(&o);
	ovl_writer_unref(o.writer);
	if (err)
		ovl_close(o.fs);
	else
		*fs = o.fs;
	while (o.nlowers)
		ovl_layer_release(&o.lowers[--o.nlowers]);
	free(o.lowers);
	free(o.statedir);
	return err;
}

void ovl_wind_up(struct ovl *fs)
{
	ovl_copies_stop(&fs->copies);
}

void ovl_close(struct ovl *fs)
{
	if (!fs)
		return;
	if (fs->has_upper && fs->tree.map) {
		ovl_walk_release(&fs->walk);
		ovl_tree_release(&fs->tree);
		ovl_index_close(fs->tree.index);
	}
	ovl_stack_unref(fs->stack);
	if (fs->has_upper)
		ovl_layer_release(&fs->upper);
	ovl_standins_close(fs->standins);
	if (fs->workdir)
		ovl_batch_release(&fs->batch);
	ovl_workdir_close(fs->workdir);
	ovl_state_release(&fs->state);
	pthread_mutex_destroy(&fs->rename);
	ovl_copies_release(&fs->copies);
	for (unsigned i = 0; i < OVL_OVERRIDE_LOCKS; i++)
		pthread_mutex_destroy(&fs->overriding[i]);
	free(fs);
}
