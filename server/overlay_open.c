#include "config.h"

#include "server/overlay_open.h"

/*
 * Copy-ups of large files at a time in an overlay, more are only in each other's
 * way; and calls that wait for one. They get few of the pool's threads, so that all
 * else goes on.
 */
#define MAX_COPIES 8
#define MAX_WAITING 4

/* What an overlay has at least; with less it would thrash. */
#define MIN_ENTRIES 100
#define MIN_FILES 64

static unsigned share(unsigned all, size_t n, unsigned least)
{
	const unsigned part = (unsigned)(all / n);

	if (part >= least)
		return part;
	return all < least ? all : least;
}

struct nfsd_overlay_limits
nfsd_overlay_limits_share(const struct nfsd_overlay_limits *all, size_t n)
{
	return (struct nfsd_overlay_limits){
		.max_entries = share(all->max_entries, n, MIN_ENTRIES),
		.max_files = share(all->max_files, n, MIN_FILES),
		.max_memory = all->max_memory / n,
		.accept_changed_lower = all->accept_changed_lower,
		.as_root = all->as_root,
	};
}

int nfsd_overlay_open(const struct nfsd_export_config *export, bool read_only,
                      const struct ovl *base,
                      const struct nfsd_overlay_limits *limits,
                      struct nfsd_log *log, struct ovl **fs, char *why,
                      size_t size)
{
	const struct ovl_config config = {
		.base = base,
		.lowerdirs = (const char *const *)export->lowerdirs,
		.nlowerdirs = base != NULL ? 0 : export->nlowerdirs,
		.ndatadirs = base != NULL ? 0 : export->ndatadirs,
		.upperdir = export->upperdir,
		.workdir = export->workdir,
		.statedir = export->statedir,
		.read_only = read_only,
		.userxattr = export->userxattr,
		/* Root is nobody's user: what is his stays so. */
		.has_host_uid = export->access.has_anonuid && !limits->as_root,
		.has_host_gid = export->access.has_anongid && !limits->as_root,
		.host_uid = export->access.anonuid,
		.host_gid = export->access.anongid,
		.accept_changed_lower = limits->accept_changed_lower,
		.redirect_dir = export->redirect_dir,
		.metacopy = export->metacopy,
		.cache = export->cache,
		.sync = export->sync,
		.max_entries = limits->max_entries,
		.max_files = limits->max_files,
		.max_memory = limits->max_memory,
		.max_copies = MAX_COPIES,
		.max_waiting = MAX_WAITING,
		.log = nfsd_log_line,
		.log_arg = log,
	};

	return ovl_open(&config, fs, why, size);
}
