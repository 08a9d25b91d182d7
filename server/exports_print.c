#include "config.h"

#include "server/exports_print.h"

#include <string.h>

/* A byte that would mean something else in a file of exports. */
static void put_byte(unsigned char c, FILE *out)
{
	if (c <= ' ' || c == 0x7f || strchr("\"()#\\", c) != NULL)
		fprintf(out, "\\%03o", (unsigned)c);
	else
		putc(c, out);
}

static void put_text(const char *text, FILE *out)
{
	for (; *text != '\0'; text++)
		put_byte((unsigned char)*text, out);
}

/* In an option, where commas and colons mean something, too. */
static void put_dir(const char *dir, FILE *out)
{
	for (; *dir != '\0'; dir++) {
		if (strchr(",:\\", *dir) != NULL)
			put_byte('\\', out);
		put_byte((unsigned char)*dir, out);
	}
}

static void put_option(const char *name, const char *dir, FILE *out)
{
	if (dir == NULL)
		return;
	fprintf(out, ",%s=", name);
	put_dir(dir, out);
}

static void put_lowerdirs(const struct nfsd_export_config *config, FILE *out)
{
	const size_t nmerged = config->nlowerdirs - config->ndatadirs;

	for (size_t i = 0; i < config->nlowerdirs; i++) {
		fputs(i == 0 ? ",lowerdir=" : i >= nmerged ? "::" : ":", out);
		put_dir(config->lowerdirs[i], out);
	}
}

static void put_access(const struct nfsd_access *access, FILE *out)
{
	fprintf(out, ",%ssecure,%sroot_squash,%sall_squash,%smanage_gids",
	        access->secure ? "" : "in", access->root_squash ? "" : "no_",
	        access->all_squash ? "" : "no_",
	        access->manage_gids ? "" : "no_");
	/* Without root it makes a difference that they were given. */
	if (access->has_anonuid)
		fprintf(out, ",anonuid=%u", access->anonuid);
	if (access->has_anongid)
		fprintf(out, ",anongid=%u", access->anongid);
}

static void put_options(const struct nfsd_export_config *config, FILE *out)
{
	fprintf(out, "%s,%s", config->access.read_only ? "ro" : "rw",
	        nfsd_export_sync_name(config->sync));
	put_access(&config->access, out);
	fprintf(out, ",cache=%s,redirect_dir=%s,metacopy=%s%s",
	        nfsd_export_cache_name(config->cache),
	        nfsd_export_redirect_name(config->redirect_dir),
	        config->metacopy ? "on" : "off",
	        config->userxattr ? ",userxattr" : "");
	put_lowerdirs(config, out);
	put_option("upperdir", config->upperdir, out);
	put_option("workdir", config->workdir, out);
	put_option("statedir", config->statedir, out);
}

void nfsd_exports_print(const struct nfsd_exports_file *file, FILE *out)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct nfsd_exports_entry *entry = &file->entries[i];

		put_text(entry->config.path, out);
		fprintf(out, " %s",
		        entry->client.kind == NFSD_CLIENT_NETGROUP ? "@" : "");
		put_text(entry->client.text, out);
		putc('(', out);
		put_options(&entry->config, out);
		fputs(")\n", out);
	}
}
