#include "config.h"

#include "server/exports_open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/per_client.h"

struct opening {
	struct nfsd_exports *exports;
	const struct nfsd_exports *before;
	const struct nfsd_exports_entry *entries;
	/* Of each entry one of them; neither: deferred. */
	const struct nfsd_export **exported;
	struct nfsd_per_client **per_client;
	size_t n;
	bool may_defer;
	size_t ndeferred;
	size_t noverlays;
	struct nfsd_hosts *hosts;
	const struct nfsd_overlay_limits *limits;
	struct nfsd_log *log;
	char *why;
	size_t size;
};

static int fail(struct opening *o, int err, const char *path)
{
	snprintf(o->why, o->size, "export %s: %s", path,
	         err == -EEXIST ? "another one has the same layers, or state"
	                        : strerror(-err));
	return err;
}

/* Whether two entries are of one overlay. */
static bool are_same(const struct nfsd_exports_entry *a,
                     const struct nfsd_exports_entry *b)
{
	char why[64];

	return strcmp(a->config.path, b->config.path) == 0 &&
	       nfsd_export_config_same(&a->config, &b->config, why,
	                               sizeof(why)) == 1;
}

/* The first entry that has the overlay of the one at `i`: that one, or before it. */
static size_t first_same(const struct opening *o, size_t i)
{
	size_t k = 0;

	while (k < i && !are_same(&o->entries[k], &o->entries[i]))
		k++;
	return k;
}

/* Whether no client may change the overlay of that entry. */
static bool is_read_only(const struct opening *o,
                         const struct nfsd_exports_entry *entry)
{
	for (size_t i = 0; i < o->n; i++)
		if (are_same(&o->entries[i], entry) &&
		    !o->entries[i].config.access.read_only)
			return false;
	return true;
}

/* ---- what is open already ----------------------------------------------------- */

static bool same_id(bool has_a, uint32_t a, bool has_b, uint32_t b)
{
	return has_a == has_b && (!has_a || a == b);
}

/* Whether what is open by `config` is what that entry's would be, but for `ro`. */
static bool will_do(const struct opening *o,
                    const struct nfsd_export_config *config,
                    const struct nfsd_exports_entry *entry)
{
	const struct nfsd_access *a = &entry->config.access;
	const struct nfsd_access *b = &config->access;
	char why[64];

	if (nfsd_export_config_same(&entry->config, config, why, sizeof(why)) !=
	    1)
		return false;
	/* Without root the overlay shows what is not its clients' by these. */
	return o->limits->as_root || (same_id(a->has_anonuid, a->anonuid,
	                                      b->has_anonuid, b->anonuid) &&
	                              same_id(a->has_anongid, a->anongid,
	                                      b->has_anongid, b->anongid));
}

static const struct nfsd_export *
find_open(const struct opening *o, const struct nfsd_exports_entry *entry)
{
	const size_t n = o->before ? nfsd_exports_count(o->before) : 0;
	const bool read_only =
		is_read_only(o, entry) || entry->config.upperdir == NULL;

	for (size_t i = 0; i < n; i++) {
		const struct nfsd_export *export =
			nfsd_exports_get(o->before, i);

		if (will_do(o, export->config, entry) &&
		    ovl_read_only(export->fs) == read_only)
			return export;
	}
	return NULL;
}

static struct nfsd_per_client *
find_per_client(const struct opening *o, const struct nfsd_exports_entry *entry)
{
	const size_t n = o->before ? nfsd_exports_nper_client(o->before) : 0;
	const struct nfsd_point *point;

	for (size_t i = 0; i < n; i++) {
		struct nfsd_per_client *each =
			nfsd_exports_per_client(o->before, i, &point);

		if (will_do(o, nfsd_per_client_config(each), entry) &&
		    nfsd_per_client_read_only(each) == is_read_only(o, entry))
			return each;
	}
	return NULL;
}

/* ---- all of them ----------------------------------------------------------------- */

/* The same overlay at the entry's path, or a new one. */
static int add_overlay(struct opening *o,
                       const struct nfsd_exports_entry *entry,
                       const struct nfsd_export **export)
{
	const struct nfsd_export_config *config = &entry->config;
	const struct nfsd_export *open = find_open(o, entry);
	struct nfsd_overlay_limits limits;
	struct nfsd_export_config filled;
	struct ovl *fs;
	int err;

	if (open != NULL) {
		err = nfsd_exports_share(o->exports, config->path, config, open,
		                         export);
		return err == 0 ? 0 : fail(o, err, config->path);
	}
	err = nfsd_export_config_fill(config, NULL, &filled);
	if (err != 0)
		return fail(o, err, config->path);
	limits = nfsd_overlay_limits_share(o->limits, o->noverlays);
	err = nfsd_overlay_open(&filled, is_read_only(o, entry), NULL, &limits,
	                        o->log, &fs, o->why, o->size);
	nfsd_export_config_release(&filled);
	if (err != 0)
		return err;
	err = nfsd_exports_add(o->exports, config->path, config, fs, export);
	if (err != 0) {
		ovl_close(fs);
		return fail(o, err, config->path);
	}
	return 0;
}

/* A reference to it, of the opening. */
static int open_per_client(struct opening *o, size_t i)
{
	const struct nfsd_exports_entry *entry = &o->entries[i];
	const struct nfsd_overlay_limits limits =
		nfsd_overlay_limits_share(o->limits, o->noverlays);
	struct nfsd_per_client *each = find_per_client(o, entry);

	if (each == NULL)
		return nfsd_per_client_new(&entry->config,
		                           is_read_only(o, entry), &limits,
		                           o->hosts, o->log, &o->per_client[i],
		                           o->why, o->size);
	nfsd_per_client_ref(each);
	o->per_client[i] = each;
	return 0;
}

/* What the entry at `i` leads to. */
static int open_export(struct opening *o, size_t i)
{
	const size_t first = first_same(o, i);
	int err;

	if (first < i) {
		o->exported[i] = o->exported[first];
		o->per_client[i] = o->per_client[first];
		if (o->per_client[i] != NULL)
			nfsd_per_client_ref(o->per_client[i]);
		return 0;
	}
	if (nfsd_export_config_kinds(&o->entries[i].config) != 0)
		return open_per_client(o, i);
	err = add_overlay(o, &o->entries[i], &o->exported[i]);
	/* What is in force may have it. */
	if (err == -EBUSY && o->may_defer) {
		o->ndeferred++;
		return 0;
	}
	return err;
}

static int allow(struct opening *o, size_t i)
{
	const struct nfsd_exports_entry *entry = &o->entries[i];
	const struct nfsd_access *access = &entry->config.access;
	int err;

	if (o->per_client[i] != NULL) {
		err = nfsd_exports_allow_each(o->exports, entry->config.path,
		                              o->per_client[i], &entry->client,
		                              access);
		return err == 0 ? 0 : fail(o, err, entry->config.path);
	}
	err = o->exported[i] != NULL
	              ? nfsd_exports_allow(o->exports, o->exported[i],
	                                   &entry->client, access)
	              : nfsd_exports_defer(o->exports, entry->config.path,
	                                   &entry->client, access);
	return err == 0 ? 0 : fail(o, err, entry->config.path);
}

static int add_all(struct opening *o)
{
	int err = 0;

	for (size_t i = 0; i < o->n; i++)
		o->noverlays += first_same(o, i) == i;
	for (size_t i = 0; err == 0 && i < o->n; i++) {
		err = open_export(o, i);
		if (err == 0)
			err = allow(o, i);
	}
	return err;
}

int nfsd_exports_open(struct nfsd_exports *exports,
                      const struct nfsd_exports_entry *entries, size_t n,
                      const struct nfsd_exports *before,
                      const struct nfsd_overlay_limits *limits,
                      struct nfsd_log *log, size_t *ndeferred, char *why,
                      size_t size)
{
	struct opening o = {
		.exports = exports,
		.before = before,
		.entries = entries,
		.exported = calloc(n + 1, sizeof(struct nfsd_export *)),
		.per_client = calloc(n + 1, sizeof(struct nfsd_per_client *)),
		.hosts = nfsd_exports_hosts(exports),
		.n = n,
		.may_defer = ndeferred != NULL && before != NULL,
		.limits = limits,
		.log = log,
		.why = why,
		.size = size,
	};
	int err;

	if (o.exported == NULL || o.per_client == NULL) {
		snprintf(why, size, "%s", strerror(ENOMEM));
		err = -ENOMEM;
	} else {
		err = add_all(&o);
		for (size_t i = 0; i < n; i++)
			nfsd_per_client_unref(o.per_client[i]);
	}
	free(o.exported);
	free(o.per_client);
	if (err == 0 && ndeferred != NULL)
		*ndeferred = o.ndeferred;
	return err;
}
