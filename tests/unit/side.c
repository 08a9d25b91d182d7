#include "config.h"

#include "side.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

const char *const act_names[ACT_KINDS] = {
	[ACT_CREATE] = "create",
	[ACT_CREATE_GUARDED] = "create guarded",
	[ACT_CREATE_EXCLUSIVE] = "create exclusive",
	[ACT_WRITE] = "write",
	[ACT_APPEND] = "append",
	[ACT_TRUNCATE] = "truncate",
	[ACT_MKDIR] = "mkdir",
	[ACT_RMDIR] = "rmdir",
	[ACT_UNLINK] = "unlink",
	[ACT_RENAME] = "rename",
	[ACT_LINK] = "link",
	[ACT_SYMLINK] = "symlink",
	[ACT_MKFIFO] = "mkfifo",
	[ACT_MKNOD] = "mknod",
	[ACT_CHMOD] = "chmod",
	[ACT_CHOWN] = "chown",
	[ACT_UTIMES] = "utimes",
};

/* FNV-1a: enough to tell test data apart. */
static uint64_t hash(const unsigned char *data, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	while (len--)
		h = (h ^ *data++) * UINT64_C(0x100000001b3);
	return h;
}

void facts_line(const struct facts *facts, char line[SIDE_LINE])
{
	bool dir = S_ISDIR(facts->mode);
	bool was_linked = facts->mtime.tv_sec == HARD_LINK_TIME;
	char time[64] = "now";

	if (facts->mtime.tv_sec < NOW_TIME)
		snprintf(time, sizeof(time), "%lld.%09ld",
		         (long long)facts->mtime.tv_sec, facts->mtime.tv_nsec);
	snprintf(
		line, SIDE_LINE,
		"%06o %u:%u links %u size %llu dev %u:%u mtime %s data %016llx",
		facts->mode, facts->uid, facts->gid,
		dir || was_linked ? 0 : facts->nlink,
		dir ? 0 : (unsigned long long)facts->size, major(facts->rdev),
		minor(facts->rdev), time,
		(unsigned long long)hash(facts->data, facts->len));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void add_tree(const struct side *side, const char *path, FILE *out)
{
	struct side_names *names = calloc(1, sizeof(*names));
	char line[SIDE_LINE], child[SIDE_PATH];
	int err = side->describe(path, line);

	ck_assert_ptr_nonnull(names);
	if (err)
		snprintf(line, sizeof(line), "%s", strerror(-err));
	fprintf(out, "/%s %s\n", path, line);
	if (!err && side->list(path, names) == 0) {
		qsort(names->name, names->n, sizeof(names->name[0]), by_name);
		for (unsigned i = 0; i < names->n; i++) {
			snprintf(child, sizeof(child), "%s%s%s", path,
			         *path ? "/" : "", names->name[i]);
			add_tree(side, child, out);
		}
	}
	free(names);
}

char *side_manifest(const struct side *side)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	add_tree(side, "", out);
	fclose(out);
	return text;
}
