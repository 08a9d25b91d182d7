/*
 * What one export is to be, as the user writes it: overlay options as in
 * mount(8), access options as in exports(5).
 *
 * Life cycle: nfsd_export_config_init, any number of _parse and one _set_path,
 * _finish, which checks what belongs together and fills in what was left open,
 * then _release. Errors: -EINVAL with one line in `why`, or -ENOMEM.
 */
#ifndef VENEER_SERVER_EXPORT_CONFIG_H
#define VENEER_SERVER_EXPORT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlay/overlay.h"

/* Bytes of an export's path (MOUNT's MNTPATHLEN). */
#define NFSD_EXPORT_PATH_MAX 1024

/* exports(5)'s nobody, where neither anonuid nor anongid says otherwise. */
#define NFSD_ANONYMOUS_ID 65534

/* Who may call, and who the callers become. */
struct nfsd_access {
	bool read_only;
	bool secure;      /* from a port below 1024 only */
	bool root_squash; /* uid 0 and gid 0 become anonymous */
	bool all_squash;  /* everybody does */
	bool manage_gids; /* groups are the server's to say, not the client's */
	uint32_t anonuid, anongid;
	bool has_anonuid, has_anongid; /* they have been given */
};

struct nfsd_export_config {
	char *path;       /* that clients mount */
	char **lowerdirs; /* top first */
	size_t nlowerdirs;
	size_t ndatadirs; /* the last of them, that have data alone */
	char *upperdir, *workdir, *statedir;
	bool as_root; /* root started the server, whoever it is by now */
	bool userxattr;
	enum ovl_redirect redirect_dir;
	bool metacopy;
	enum ovl_cache cache;
	enum ovl_sync sync;
	struct nfsd_access access;
};

/* The defaults, some of which depend on whether root started the server. */
void nfsd_export_config_init(struct nfsd_export_config *config, bool as_root);
void nfsd_export_config_release(struct nfsd_export_config *config);

/*
 * Take in "OPTION[=VALUE],...". A backslash takes the meaning from the comma or
 * colon (or backslash) after it, as overlayfs has it. The last of two that
 * contradict each other counts. `*at` (which may be NULL) gets the offset of the
 * option that is wrong.
 */
int nfsd_export_config_parse(struct nfsd_export_config *config,
                             const char *options, size_t *at, char *why,
                             size_t size);

/* The words of sync and its kin, of cache= and of redirect_dir=. */
const char *nfsd_export_sync_name(enum ovl_sync sync);
const char *nfsd_export_cache_name(enum ovl_cache cache);
const char *nfsd_export_redirect_name(enum ovl_redirect redirect_dir);

int nfsd_export_config_set_path(struct nfsd_export_config *config,
                                const char *path, char *why, size_t size);

/*
 * Whether two exports are of one overlay, of the same layers. -EINVAL: of the same
 * layers, but in different ways; `why` says in which option.
 */
int nfsd_export_config_same(const struct nfsd_export_config *a,
                            const struct nfsd_export_config *b, char *why,
                            size_t size);

/* What of a client its paths hold, and those of its lower layers (template.h). */
unsigned nfsd_export_config_kinds(const struct nfsd_export_config *config);
unsigned
nfsd_export_config_lower_kinds(const struct nfsd_export_config *config);

/* 0 or -ENOMEM. */
int nfsd_export_config_copy(const struct nfsd_export_config *from,
                            struct nfsd_export_config *to);

/*
 * The same, with what its paths hold of a client filled in: NULL where they hold
 * nothing. 0, -ENOMEM, -EACCES: a value that cannot stand in a path.
 */
struct nfsd_template_values;
int nfsd_export_config_fill(const struct nfsd_export_config *from,
                            const struct nfsd_template_values *values,
                            struct nfsd_export_config *to);

/*
 * Call `fn` for each directory that all is in which serving it takes; `writes`: not
 * for reading alone. 0, -ENOMEM, or what `fn` returned first that was not 0.
 */
typedef int nfsd_export_dir_fn(void *arg, const char *path, bool writes);
int nfsd_export_config_dirs(const struct nfsd_export_config *config,
                            nfsd_export_dir_fn *fn, void *arg);

int nfsd_export_config_finish(struct nfsd_export_config *config, char *why,
                              size_t size);

#endif
