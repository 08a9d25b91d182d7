/*
 * The parser of the file of exports: whatever it takes is printed by what
 * veneerd --check prints it with, and means the same when that is read; what it
 * refuses has a place in the text.
 *
 * An input is the text.
 */
#include "config.h"

#include <errno.h>

#include "server/exports_file.h"
#include "server/exports_print.h"
#include "tests/fuzz/fuzz.h"

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void compare_clients(const struct nfsd_client *a,
                            const struct nfsd_client *b)
{
	FUZZ_MUST(a->kind == b->kind);
	FUZZ_MUST(strcmp(a->text, b->text) == 0);
	FUZZ_MUST(memcmp(&a->address, &b->address, sizeof(a->address)) == 0);
	FUZZ_MUST(a->prefix == b->prefix);
}

static void compare_access(const struct nfsd_access *a,
                           const struct nfsd_access *b)
{
	FUZZ_MUST(a->read_only == b->read_only && a->secure == b->secure);
	FUZZ_MUST(a->root_squash == b->root_squash);
	FUZZ_MUST(a->all_squash == b->all_squash);
	FUZZ_MUST(a->anonuid == b->anonuid && a->anongid == b->anongid);
	FUZZ_MUST(a->has_anonuid == b->has_anonuid);
	FUZZ_MUST(a->has_anongid == b->has_anongid);
}

static void compare_configs(const struct nfsd_export_config *a,
                            const struct nfsd_export_config *b)
{
	FUZZ_MUST(strcmp(a->path, b->path) == 0);
	FUZZ_MUST(a->nlowerdirs == b->nlowerdirs);
	FUZZ_MUST(a->ndatadirs == b->ndatadirs);
	for (size_t i = 0; i < a->nlowerdirs; i++)
		FUZZ_MUST(strcmp(a->lowerdirs[i], b->lowerdirs[i]) == 0);
	FUZZ_MUST(same_text(a->upperdir, b->upperdir));
	FUZZ_MUST(same_text(a->workdir, b->workdir));
	FUZZ_MUST(same_text(a->statedir, b->statedir));
	FUZZ_MUST(a->userxattr == b->userxattr && a->metacopy == b->metacopy);
	FUZZ_MUST(a->redirect_dir == b->redirect_dir);
	FUZZ_MUST(a->cache == b->cache && a->sync == b->sync);
	compare_access(&a->access, &b->access);
}

/* To be freed. */
static char *print(const struct nfsd_exports_file *file, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	FUZZ_MUST(out != NULL);
	nfsd_exports_print(file, out);
	FUZZ_MUST(fclose(out) == 0);
	return text;
}

static void read_again(const struct nfsd_exports_file *file)
{
	struct nfsd_exports_file again;
	size_t len = 0, len_again = 0;
	char why[512] = "", *text = print(file, &len), *text_again;

	if (nfsd_exports_file_parse(&again, text, len, true, why,
	                            sizeof(why)) != 0) {
		fprintf(stderr, "%s\n%s\n", why, text);
		FUZZ_MUST(!"what was printed is read");
	}
	FUZZ_MUST(again.count == file->count);
	for (size_t i = 0; i < file->count; i++) {
		compare_clients(&file->entries[i].client,
		                &again.entries[i].client);
		compare_configs(&file->entries[i].config,
		                &again.entries[i].config);
	}
	text_again = print(&again, &len_again);
	FUZZ_MUST(len == len_again && memcmp(text, text_again, len) == 0);
	nfsd_exports_file_release(&again);
	free(text);
	free(text_again);
}

/* "LINE:COLUMN: " and what is wrong; both are in the text, or just behind it. */
static void check_refusal(const char *why, const uint8_t *data, size_t size)
{
	unsigned line = 0, column = 0, lines = 1;
	int n = 0;

	FUZZ_MUST(sscanf(why, "%u:%u: %n", &line, &column, &n) == 2 && n > 0);
	FUZZ_MUST(why[n] != '\0');
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	FUZZ_MUST(line >= 1 && line <= lines);
	FUZZ_MUST(column >= 1 && column <= size + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nfsd_exports_file file;
	char why[512] = "";
	int err = nfsd_exports_file_parse(&file, (const char *)data, size, true,
	                                  why, sizeof(why));

	FUZZ_MUST(err == 0 || err == -EINVAL);
	if (err == 0)
		read_again(&file);
	else
		check_refusal(why, data, size);
	nfsd_exports_file_release(&file);
	return 0;
}
