#include "config.h"

#include "server/reload.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#define WHY_SIZE 512

struct checking {
	const struct nfsd_sandbox *sandbox;
	char *why;
};

static int check_dir(void *arg, const char *path, bool writes)
{
	const struct checking *checking = arg;

	return nfsd_sandbox_covers(checking->sandbox, path,
	                           writes ? NFSD_SANDBOX_WRITE
	                                  : NFSD_SANDBOX_READ,
	                           checking->why, WHY_SIZE);
}

/* Whether all can be opened that the file speaks of. */
static int check_dirs(const struct nfsd_reload *reload,
                      const struct nfsd_exports_file *file, char *why)
{
	struct checking checking = { reload->sandbox, why };
	int err = 0;

	for (size_t i = 0; err == 0 && i < file->count; i++) {
		strcpy(why, strerror(ENOMEM));
		err = nfsd_export_config_dirs(&file->entries[i].config,
		                              check_dir, &checking);
	}
	return err;
}

static const struct nfsd_exports_file *
or_first(const struct nfsd_reload *reload, const struct nfsd_exports_file *file)
{
	return file->count > 0 ? file : reload->first;
}

/*
 * A table of what the file says, which shares with what is in force. `may_defer`: what
 * needs a layer that is in use is left for later.
 */
static int make_exports(struct nfsd_reload *reload,
                        const struct nfsd_exports_file *file, bool may_defer,
                        struct nfsd_exports **made, char *why)
{
	const struct nfsd_exports *old = nfsd_serving_exports(reload->serving);
	struct nfsd_exports *exports =
		nfsd_exports_new(reload->hosts, reload->groups);
	size_t ndeferred = 0;
	int err;

	if (exports == NULL) {
		strcpy(why, strerror(ENOMEM));
		return -ENOMEM;
	}
	err = nfsd_exports_open(exports, file->entries, file->count, old,
	                        &reload->limits, reload->log,
	                        may_defer ? &ndeferred : NULL, why, WHY_SIZE);
	if (err == 0) {
		err = nfsd_exports_follow(exports, old);
		if (err != 0)
			strcpy(why, strerror(-err));
	}
	if (err != 0) {
		nfsd_exports_free(exports);
		return err;
	}
	reload->ndeferred = ndeferred;
	*made = exports;
	return 0;
}

/* The overlays of `a` that `b` has not. */
static size_t count_others(const struct nfsd_exports *a,
                           const struct nfsd_exports *b)
{
	size_t n = 0;

	for (size_t i = 0; i < nfsd_exports_count(a); i++)
		n += nfsd_exports_by_id(b, nfsd_exports_get(a, i)->id) == NULL;
	return n;
}

static void log_change(const struct nfsd_reload *reload,
                       const struct nfsd_exports *exports)
{
	const struct nfsd_exports *old = nfsd_serving_exports(reload->serving);

	nfsd_log(reload->log, LOG_NOTICE,
	         "%s: in force: %zu opened, %zu closed, %zu to be opened anew",
	         reload->path, count_others(exports, old),
	         count_others(old, exports), reload->ndeferred);
}

/* From now on; what was in force goes when the calls have ended that have it. */
static void put_in_force(struct nfsd_reload *reload,
                         struct nfsd_exports *exports)
{
	log_change(reload, exports);
	nfsd_serving_replace(reload->serving, exports);
	reload->is_under_way = true;
}

void nfsd_reload_begin(struct nfsd_reload *reload)
{
	struct nfsd_exports_file file = { 0 };
	struct nfsd_exports *exports;
	char why[WHY_SIZE];

	if (reload->is_under_way) {
		reload->again = true;
		return;
	}
	if (nfsd_exports_file_read(&file, reload->path, reload->limits.as_root,
	                           why, sizeof(why)) != 0) {
		nfsd_log(reload->log, LOG_ERR,
		         "%s; the exports stay as they are", why);
		return;
	}
	if (check_dirs(reload, &file, why) != 0 ||
	    make_exports(reload, &file, true, &exports, why) != 0) {
		nfsd_log(reload->log, LOG_ERR,
		         "%s: %s; the exports stay as they are", reload->path,
		         why);
		nfsd_exports_file_release(&file);
		return;
	}
	put_in_force(reload, exports);
	reload->before = reload->file;
	reload->file = file;
	reload->goes_back = false;
}

static void swap_files(struct nfsd_reload *reload)
{
	const struct nfsd_exports_file file = reload->file;

	reload->file = reload->before;
	reload->before = file;
}

/*
 * Back to the exports from before, which may have to wait for layers that those in
 * force have. False: they cannot be opened either.
 */
static bool go_back(struct nfsd_reload *reload, struct nfsd_exports **exports,
                    char *why)
{
	nfsd_log(reload->log, LOG_ERR, "%s: %s; back to the old exports",
	         reload->path, why);
	if (make_exports(reload, or_first(reload, &reload->before), true,
	                 exports, why) != 0)
		return false;
	reload->goes_back = true;
	swap_files(reload);
	return true;
}

/*
 * What is not in force any more has no layer by now. One that is in use still is so
 * by somebody else, or twice in the file: it is not waited for.
 */
static void open_deferred(struct nfsd_reload *reload)
{
	struct nfsd_exports *exports;
	char why[WHY_SIZE];

	if (make_exports(reload, or_first(reload, &reload->file), false,
	                 &exports, why) == 0 ||
	    (!reload->goes_back && go_back(reload, &exports, why))) {
		put_in_force(reload, exports);
		return;
	}
	nfsd_log(reload->log, LOG_ERR, "%s; its clients are told to wait", why);
	reload->ndeferred = 0;
}

bool nfsd_reload_step(struct nfsd_reload *reload)
{
	if (!reload->is_under_way)
		return true;
	if (!nfsd_serving_tidy(reload->serving))
		return false;
	reload->is_under_way = false;
	if (reload->ndeferred > 0)
		open_deferred(reload);
	if (reload->is_under_way)
		return false;
	nfsd_exports_file_release(&reload->before);
	if (!reload->again)
		return true;
	reload->again = false;
	nfsd_reload_begin(reload);
	return !reload->is_under_way;
}

void nfsd_reload_release(struct nfsd_reload *reload)
{
	nfsd_exports_file_release(&reload->file);
	nfsd_exports_file_release(&reload->before);
}
