/*
 * What belongs together in an export, once all of its options are there; and whether
 * two are the same.
 */
#include "config.h"

#include "server/export_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/template.h"

/* ---- where its state is ------------------------------------------------------ */

/*
 * The name of a path as one file name, as systemd-escape(1) does it: "/srv/a-b"
 * is "srv-a\x2db", so that no two paths share a name. To be freed; or NULL.
 */
static char *escape_path(const char *path)
{
	char *name = malloc(4 * strlen(path) + 1);
	char *out = name;

	if (name == NULL)
		return NULL;
	if (path[1] != '\0')
		path++;
	for (; *path != '\0'; path++) {
		if (*path == '/')
			*out++ = '-';
		else if (*path == '-' || *path == '\\')
			out += sprintf(out, "\\x%02x", (unsigned)*path);
		else
			*out++ = *path;
	}
	*out = '\0';
	return name;
}

/*
 * Where an export without a workdir keeps its state, or NULL where there is no
 * place: root's under /var/lib, a user's where the XDG base directories say.
 */
static char *default_statedir(const char *path, bool as_root)
{
	const char *xdg = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	char *name = escape_path(path);
	char *dir = NULL, *text;
	int n = -1;

	if (name == NULL)
		return NULL;
	if (as_root)
		n = asprintf(&dir, "/var/lib/veneer/%s", name);
	else if (xdg != NULL && xdg[0] == '/')
		n = asprintf(&dir, "%s/veneer/%s", xdg, name);
	else if (home != NULL && home[0] == '/')
		n = asprintf(&dir, "%s/.local/state/veneer/%s", home, name);
	free(name);
	if (n < 0)
		return NULL;
	text = nfsd_template_of(dir);
	free(dir);
	return text;
}

/* ---- each client's own --------------------------------------------------------- */

/* What of the client it holds. */
static unsigned kinds_of(const char *path)
{
	return path == NULL
	               ? 0
	               : nfsd_template_kinds(path) & ~NFSD_TEMPLATE_PERCENT;
}

unsigned nfsd_export_config_kinds(const struct nfsd_export_config *config)
{
	unsigned kinds = kinds_of(config->upperdir) | kinds_of(config->workdir);

	return kinds | kinds_of(config->statedir) |
	       nfsd_export_config_lower_kinds(config);
}

unsigned nfsd_export_config_lower_kinds(const struct nfsd_export_config *config)
{
	unsigned kinds = 0;

	for (size_t i = 0; i < config->nlowerdirs; i++)
		kinds |= kinds_of(config->lowerdirs[i]);
	return kinds;
}

/* What is wrong with where the client stands in its paths; NULL: nothing. */
static const char *check_kinds(const struct nfsd_export_config *config)
{
	const unsigned lower = nfsd_export_config_lower_kinds(config);
	const unsigned upper = kinds_of(config->upperdir);

	if (nfsd_export_config_kinds(config) & NFSD_TEMPLATE_WRONG)
		return "after \"%\" comes a, h or n, or another \"%\"";
	if (upper != kinds_of(config->workdir))
		return "upperdir= and workdir= do not hold the same of the client";
	if (config->upperdir != NULL && lower != 0 && upper == 0)
		return "lowerdir= holds the client, and upperdir= does not";
	if (config->upperdir == NULL && config->statedir != NULL &&
	    lower != kinds_of(config->statedir))
		return "lowerdir= and statedir= do not hold the same of the "
		       "client";
	if (upper != 0 && lower == 0 && kinds_of(config->statedir) != 0)
		return "statedir= is of all clients together, as lowerdir= is";
	if (upper != 0 && lower != 0 && config->statedir != NULL &&
	    kinds_of(config->statedir) != upper)
		return "upperdir= and statedir= do not hold the same of the "
		       "client";
	return NULL;
}

/* As lowerdir= has it, for the state of each client. */
static int divide_statedir(struct nfsd_export_config *config)
{
	const unsigned lower = nfsd_export_config_lower_kinds(config);
	char *divided;

	if (lower == 0 || config->upperdir != NULL)
		return 0;
	if (asprintf(&divided, "%s%s%s%s", config->statedir,
	             lower & NFSD_TEMPLATE_ADDRESS ? "/%a" : "",
	             lower & NFSD_TEMPLATE_NAME ? "/%h" : "",
	             lower & NFSD_TEMPLATE_NETWORK ? "/%n" : "") < 0)
		return -ENOMEM;
	free(config->statedir);
	config->statedir = divided;
	return 0;
}

/* ---- the same ------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_layers(const struct nfsd_export_config *a,
                        const struct nfsd_export_config *b)
{
	if (a->nlowerdirs != b->nlowerdirs || a->ndatadirs != b->ndatadirs)
		return false;
	for (size_t i = 0; i < a->nlowerdirs; i++)
		if (strcmp(a->lowerdirs[i], b->lowerdirs[i]) != 0)
			return false;
	return same_text(a->upperdir, b->upperdir) &&
	       same_text(a->workdir, b->workdir) &&
	       same_text(a->statedir, b->statedir);
}

int nfsd_export_config_same(const struct nfsd_export_config *a,
                            const struct nfsd_export_config *b, char *why,
                            size_t size)
{
	const char *other = NULL;

	if (!same_layers(a, b))
		return 0;
	if (a->userxattr != b->userxattr)
		other = "userxattr";
	else if (a->redirect_dir != b->redirect_dir)
		other = "redirect_dir=";
	else if (a->metacopy != b->metacopy)
		other = "metacopy=";
	else if (a->cache != b->cache)
		other = "cache=";
	else if (a->sync != b->sync)
		other = "sync, async or volatile";
	if (other == NULL)
		return 1;
	snprintf(why, size, "%s", other);
	return -EINVAL;
}

static char *copy_text(const char *text, bool *failed)
{
	char *copy = text == NULL ? NULL : strdup(text);

	*failed |= text != NULL && copy == NULL;
	return copy;
}

int nfsd_export_config_copy(const struct nfsd_export_config *from,
                            struct nfsd_export_config *to)
{
	bool failed = false;

	*to = *from;
	to->path = copy_text(from->path, &failed);
	to->upperdir = copy_text(from->upperdir, &failed);
	to->workdir = copy_text(from->workdir, &failed);
	to->statedir = copy_text(from->statedir, &failed);
	to->lowerdirs = calloc(from->nlowerdirs + 1, sizeof(char *));
	failed |= to->lowerdirs == NULL;
	for (size_t i = 0; !failed && i < from->nlowerdirs; i++)
		to->lowerdirs[i] = copy_text(from->lowerdirs[i], &failed);
	if (!failed)
		return 0;
	if (to->lowerdirs == NULL)
		to->nlowerdirs = 0;
	nfsd_export_config_release(to);
	return -ENOMEM;
}

/* In its place, if it is there. */
static int fill(char **path, const struct nfsd_template_values *values)
{
	char *filled;

	if (*path == NULL)
		return 0;
	filled = nfsd_template_fill(*path, values);
	if (filled == NULL)
		return -EACCES;
	free(*path);
	*path = filled;
	return 0;
}

int nfsd_export_config_fill(const struct nfsd_export_config *from,
                            const struct nfsd_template_values *values,
                            struct nfsd_export_config *to)
{
	int err = nfsd_export_config_copy(from, to);

	if (err != 0)
		return err;
	for (size_t i = 0; err == 0 && i < to->nlowerdirs; i++)
		err = fill(&to->lowerdirs[i], values);
	if (err == 0)
		err = fill(&to->upperdir, values);
	if (err == 0)
		err = fill(&to->workdir, values);
	if (err == 0)
		err = fill(&to->statedir, values);
	if (err != 0)
		nfsd_export_config_release(to);
	return err;
}

static int tell_dir(const char *path, bool writes, nfsd_export_dir_fn *fn,
                    void *arg)
{
	char *common;
	int err;

	if (path == NULL)
		return 0;
	common = nfsd_template_common(path);
	err = common != NULL ? fn(arg, common, writes) : -ENOMEM;
	free(common);
	return err;
}

int nfsd_export_config_dirs(const struct nfsd_export_config *config,
                            nfsd_export_dir_fn *fn, void *arg)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < config->nlowerdirs; i++)
		err = tell_dir(config->lowerdirs[i], false, fn, arg);
	if (err == 0)
		err = tell_dir(config->upperdir, true, fn, arg);
	if (err == 0)
		err = tell_dir(config->workdir, true, fn, arg);
	if (err == 0)
		err = tell_dir(config->statedir, true, fn, arg);
	return err;
}

/* ---- all together ----------------------------------------------------------------- */

int nfsd_export_config_finish(struct nfsd_export_config *config, char *why,
                              size_t size)
{
	const char *wrong = NULL;
	bool shares;

	if (config->path == NULL)
		wrong = "no export given";
	else if (config->nlowerdirs == 0 && config->upperdir == NULL)
		wrong = "neither lowerdir= nor upperdir= given";
	else if (config->upperdir != NULL && config->workdir == NULL)
		wrong = "upperdir= needs workdir=";
	else if (config->upperdir == NULL && config->workdir != NULL)
		wrong = "workdir= needs upperdir=";
	else
		wrong = check_kinds(config);
	if (wrong != NULL) {
		snprintf(why, size, "%s", wrong);
		return -EINVAL;
	}
	/* What is lower has a state of its own where many uppers share it. */
	shares = config->nlowerdirs > 0 && kinds_of(config->upperdir) != 0 &&
	         nfsd_export_config_lower_kinds(config) == 0;
	if (config->statedir == NULL && (config->workdir == NULL || shares)) {
		config->statedir =
			default_statedir(config->path, config->as_root);
		if (config->statedir == NULL) {
			snprintf(why, size,
			         "no statedir= given, and no HOME either");
			return -EINVAL;
		}
		return divide_statedir(config);
	}
	return 0;
}
