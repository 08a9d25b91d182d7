#include "config.h"

#include "server/export_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/number.h"
#include "server/path.h"

void nfsd_export_config_init(struct nfsd_export_config *config, bool as_root)
{
	*config = (struct nfsd_export_config){
		/* Only root may use the trusted. namespace. */
		.as_root = as_root,
		.userxattr = !as_root,
		.redirect_dir = OVL_REDIRECT_ON,
		.metacopy = true,
		.cache = OVL_CACHE_AUTO,
		.sync = OVL_SYNC,
		.access = {
			.secure = true,
			.root_squash = true,
			.anonuid = NFSD_ANONYMOUS_ID,
			.anongid = NFSD_ANONYMOUS_ID,
		},
	};
}

static void free_lowerdirs(struct nfsd_export_config *config)
{
	for (size_t i = 0; i < config->nlowerdirs; i++)
		free(config->lowerdirs[i]);
	free(config->lowerdirs);
	config->lowerdirs = NULL;
	config->nlowerdirs = 0;
	config->ndatadirs = 0;
}

void nfsd_export_config_release(struct nfsd_export_config *config)
{
	free_lowerdirs(config);
	free(config->path);
	free(config->upperdir);
	free(config->workdir);
	free(config->statedir);
	*config = (struct nfsd_export_config){ 0 };
}

/* ---- the values of options -------------------------------------------- */

/* Bytes of `text` before the first `end` that no backslash precedes. */
static size_t span(const char *text, char end)
{
	size_t n = 0;

	while (text[n] != '\0' && text[n] != end)
		n += text[n] == '\\' && text[n + 1] != '\0' ? 2 : 1;
	return n;
}

/* A copy of `len` bytes of `text` without the backslashes that escape. */
static char *unescape(const char *text, size_t len)
{
	char *copy = malloc(len + 1);
	char *out = copy;

	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && i + 1 < len)
			i++;
		*out++ = text[i];
	}
	*out = '\0';
	return copy;
}

static int set_dir(char **dir, const char *value)
{
	char *copy;

	if (*value == '\0')
		return -EINVAL;
	copy = unescape(value, strlen(value));
	if (copy == NULL)
		return -ENOMEM;
	free(*dir);
	*dir = copy;
	return 0;
}

static int set_upperdir(struct nfsd_export_config *config, const char *value)
{
	return set_dir(&config->upperdir, value);
}

static int set_workdir(struct nfsd_export_config *config, const char *value)
{
	return set_dir(&config->workdir, value);
}

static int set_statedir(struct nfsd_export_config *config, const char *value)
{
	return set_dir(&config->statedir, value);
}

static int add_lowerdir(struct nfsd_export_config *config, const char *dir,
                        size_t len)
{
	char **list;

	if (len == 0)
		return -EINVAL;
	list = reallocarray(config->lowerdirs, config->nlowerdirs + 1,
	                    sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	config->lowerdirs = list;
	list[config->nlowerdirs] = unescape(dir, len);
	if (list[config->nlowerdirs] == NULL)
		return -ENOMEM;
	config->nlowerdirs++;
	return 0;
}

/* TOP:...:BOTTOM::DATA::DATA..., as overlayfs has it. */
static int set_lowerdir(struct nfsd_export_config *config, const char *value)
{
	bool data = false;
	int err;

	free_lowerdirs(config);
	for (;;) {
		size_t len = span(value, ':');

		err = add_lowerdir(config, value, len);
		config->ndatadirs += data;
		value += len;
		if (err != 0 || *value == '\0')
			return err;
		/* Below data there is nothing but data. */
		if (data && value[1] != ':')
			return -EINVAL;
		data = value[1] == ':';
		value += data ? 2 : 1;
	}
}

/* The place of `value` in a list of `n` words, or -EINVAL. */
static int find_word(const char *const *words, int n, const char *value)
{
	for (int i = 0; i < n; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return -EINVAL;
}

static const char *const cache_words[] = {
	[OVL_CACHE_AUTO] = "auto",
	[OVL_CACHE_ALWAYS] = "always",
	[OVL_CACHE_NEVER] = "never",
};

const char *nfsd_export_cache_name(enum ovl_cache cache)
{
	return cache_words[cache];
}

static int set_cache(struct nfsd_export_config *config, const char *value)
{
	int word = find_word(cache_words, 3, value);

	if (word < 0)
		return word;
	config->cache = word;
	return 0;
}

static const char *const redirect_words[] = {
	[OVL_REDIRECT_ON] = "on",
	[OVL_REDIRECT_FOLLOW] = "follow",
	[OVL_REDIRECT_OFF] = "off",
	[OVL_REDIRECT_NOFOLLOW] = "nofollow",
};

const char *nfsd_export_redirect_name(enum ovl_redirect redirect_dir)
{
	return redirect_words[redirect_dir];
}

static int set_redirect_dir(struct nfsd_export_config *config,
                            const char *value)
{
	int word = find_word(redirect_words, 4, value);

	if (word < 0)
		return word;
	config->redirect_dir = word;
	return 0;
}

static int set_metacopy(struct nfsd_export_config *config, const char *value)
{
	static const char *const words[] = { "off", "on" };
	int word = find_word(words, 2, value);

	if (word < 0)
		return word;
	config->metacopy = word;
	return 0;
}

/* The highest number is no id (see chown(2)). */
static int set_id(uint32_t *id, const char *value)
{
	uint64_t n;
	int err = nfsd_number_parse(value, 0, UINT32_MAX - 1, &n);

	if (err == 0)
		*id = (uint32_t)n;
	return err;
}

static int set_anonuid(struct nfsd_export_config *config, const char *value)
{
	int err = set_id(&config->access.anonuid, value);

	config->access.has_anonuid |= err == 0;
	return err;
}

static int set_anongid(struct nfsd_export_config *config, const char *value)
{
	int err = set_id(&config->access.anongid, value);

	config->access.has_anongid |= err == 0;
	return err;
}

/* ---- the options -------------------------------------------------------- */

static const struct {
	const char *name;
	int (*set)(struct nfsd_export_config *config, const char *value);
} valued[] = {
	{ "lowerdir", set_lowerdir }, { "upperdir", set_upperdir },
	{ "workdir", set_workdir },   { "statedir", set_statedir },
	{ "cache", set_cache },       { "redirect_dir", set_redirect_dir },
	{ "metacopy", set_metacopy }, { "anonuid", set_anonuid },
	{ "anongid", set_anongid },
};
#define NVALUED (sizeof(valued) / sizeof(valued[0]))

#define FIELD(name) offsetof(struct nfsd_export_config, name)

static const struct {
	const char *name;
	size_t field; /* a bool */
	bool value;
} flags[] = {
	{ "ro", FIELD(access.read_only), true },
	{ "rw", FIELD(access.read_only), false },
	{ "userxattr", FIELD(userxattr), true },
	{ "secure", FIELD(access.secure), true },
	{ "insecure", FIELD(access.secure), false },
	{ "root_squash", FIELD(access.root_squash), true },
	{ "no_root_squash", FIELD(access.root_squash), false },
	{ "all_squash", FIELD(access.all_squash), true },
	{ "no_all_squash", FIELD(access.all_squash), false },
	{ "manage_gids", FIELD(access.manage_gids), true },
	{ "no_manage_gids", FIELD(access.manage_gids), false },
};
#define NFLAGS (sizeof(flags) / sizeof(flags[0]))

static const struct {
	const char *name;
	enum ovl_sync sync;
} syncs[] = {
	{ "sync", OVL_SYNC },
	{ "async", OVL_ASYNC },
	{ "volatile", OVL_VOLATILE },
};
#define NSYNCS (sizeof(syncs) / sizeof(syncs[0]))

const char *nfsd_export_sync_name(enum ovl_sync sync)
{
	size_t i = 0;

	while (syncs[i].sync != sync)
		i++;
	return syncs[i].name;
}

/* What veneer does anyway. */
static const char *const matters_of_course[] = { "no_subtree_check", "hide",
	                                         "wdelay", "sec=sys" };
#define NOF_COURSE (sizeof(matters_of_course) / sizeof(matters_of_course[0]))

/* Options of exports(5) that make no sense here, with or without a value. */
static const struct {
	const char *name, *why;
} refused[] = {
	{ "subtree_check", "a handle does not tell the directory it came by" },
	{ "no_wdelay", "changes that arrive together share a flush" },
	{ "nohide", "other mounts inside a layer are not entered" },
	{ "crossmnt", "other mounts inside a layer are not entered" },
	{ "fsid", "the id of an export is in its statedir" },
	{ "sec", "there is sec=sys alone" },
	{ "xprtsec", "there is no TLS" },
	{ "mountpoint", "a layer that is missing is refused at start" },
	{ "mp", "a layer that is missing is refused at start" },
	{ "insecure_locks", "there are no locks: mount with nolock" },
	{ "secure_locks", "there are no locks: mount with nolock" },
	{ "auth_nlm", "there are no locks: mount with nolock" },
	{ "no_auth_nlm", "there are no locks: mount with nolock" },
	{ "no_acl", "ACLs count in every decision" },
	{ "nordirplus", "a client mounts with nordirplus, if it wants" },
	{ "refer", "it is of NFSv4" },
	{ "replicas", "it is of NFSv4" },
	{ "pnfs", "it is of NFSv4" },
	{ "no_pnfs", "it is of NFSv4" },
	{ "security_label", "it is of NFSv4" },
};
#define NREFUSED (sizeof(refused) / sizeof(refused[0]))

/* A line in `why` for an option that is none of ours; its name has `len` bytes. */
static int refuse_option(const char *option, size_t len, char *why, size_t size)
{
	for (size_t i = 0; i < NREFUSED; i++)
		if (strlen(refused[i].name) == len &&
		    strncmp(refused[i].name, option, len) == 0) {
			snprintf(why, size, "option %s: %s", refused[i].name,
			         refused[i].why);
			return -EINVAL;
		}
	snprintf(why, size, "unknown option \"%.*s%s\"", (int)len, option,
	         option[len] == '=' ? "=" : "");
	return -EINVAL;
}

static bool set_flag(struct nfsd_export_config *config, const char *name)
{
	for (size_t i = 0; i < NFLAGS; i++)
		if (strcmp(flags[i].name, name) == 0) {
			*(bool *)((char *)config + flags[i].field) =
				flags[i].value;
			return true;
		}
	for (size_t i = 0; i < NSYNCS; i++)
		if (strcmp(syncs[i].name, name) == 0) {
			config->sync = syncs[i].sync;
			return true;
		}
	return false;
}

/* One option, terminated, its value still escaped. */
static int set_option(struct nfsd_export_config *config, char *option,
                      char *why, size_t size)
{
	char *value = strchr(option, '=');
	int err;

	for (size_t i = 0; i < NOF_COURSE; i++)
		if (strcmp(matters_of_course[i], option) == 0)
			return 0;
	if (value == NULL) {
		if (set_flag(config, option))
			return 0;
		for (size_t i = 0; i < NVALUED; i++)
			if (strcmp(valued[i].name, option) == 0) {
				snprintf(why, size, "option %s: no value",
				         option);
				return -EINVAL;
			}
		return refuse_option(option, strlen(option), why, size);
	}
	*value++ = '\0';
	for (size_t i = 0; i < NVALUED; i++)
		if (strcmp(valued[i].name, option) == 0) {
			err = valued[i].set(config, value);
			if (err == -EINVAL)
				snprintf(why, size,
				         "option %s: bad value \"%s\"", option,
				         value);
			return err;
		}
	value[-1] = '=';
	return refuse_option(option, (size_t)(value - 1 - option), why, size);
}

int nfsd_export_config_parse(struct nfsd_export_config *config,
                             const char *options, size_t *at, char *why,
                             size_t size)
{
	const char *begin = options;
	int err = 0;

	while (err == 0 && *options != '\0') {
		size_t len = span(options, ',');
		char *option = strndup(options, len);

		if (option == NULL)
			return -ENOMEM;
		if (at != NULL)
			*at = (size_t)(options - begin);
		/* mount(8) lets ",," and a comma at the end pass. */
		if (len > 0)
			err = set_option(config, option, why, size);
		free(option);
		options += len;
		if (*options == ',')
			options++;
	}
	return err;
}

int nfsd_export_config_set_path(struct nfsd_export_config *config,
                                const char *path, char *why, size_t size)
{
	char *copy = strdup(path);

	if (copy == NULL)
		return -ENOMEM;
	if (nfsd_path_clean(copy) != 0 || strlen(copy) > NFSD_EXPORT_PATH_MAX) {
		snprintf(why, size,
		         "export \"%s\": not an absolute path without \"..\""
		         " of at most %d bytes",
		         path, NFSD_EXPORT_PATH_MAX);
		free(copy);
		return -EINVAL;
	}
	free(config->path);
	config->path = copy;
	return 0;
}
