#include "config.h"

#include "tests/agreement/choose.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/agreement/layers.h"
#include "tests/agreement/world.h"
#include "tests/unit/seed.h"

/* ---- paths ----------------------------------------------------------------- */

void known_add(struct known *known, const char *path, bool dir)
{
	struct known_path *to;

	for (unsigned i = 0; i < known->n; i++)
		if (!strcmp(known->paths[i].path, path)) {
			known->paths[i].dir = dir;
			return;
		}
	if (known->n == KNOWN_PATHS || strlen(path) >= SIDE_PATH / 2)
		return;
	to = &known->paths[known->n++];
	strcpy(to->path, path);
	to->dir = dir;
}

/* The paths in `from`, and itself, are in `to` now. */
static void known_move(struct known *known, const char *from, const char *to)
{
	size_t len = strlen(from);
	char path[SIDE_PATH];

	for (unsigned i = 0; i < known->n; i++) {
		struct known_path *moved = &known->paths[i];
		char next = moved->path[len];

		if (strncmp(moved->path, from, len) || (next && next != '/'))
			continue;
		snprintf(path, sizeof(path), "%.250s%.250s", to,
		         moved->path + len);
		if (strlen(path) < SIDE_PATH / 2)
			strcpy(moved->path, path);
	}
}

static bool chance(uint64_t *random, unsigned percent)
{
	return test_random(random) % 100 < percent;
}

static const struct known_path *some(const struct known *known,
                                     uint64_t *random)
{
	return &known->paths[test_random(random) % known->n];
}

static void random_dir(const struct known *known, uint64_t *random,
                       char path[SIDE_PATH])
{
	*path = '\0';
	for (unsigned i = 0; known->n > 0 && i < 5; i++) {
		const struct known_path *dir = some(known, random);

		if (!dir->dir || chance(random, 10))
			continue;
		strcpy(path, dir->path);
		return;
	}
}

static void name_in(const char *dir, const char *name, char path[SIDE_PATH])
{
	char joined[SIDE_PATH];

	snprintf(joined, sizeof(joined), "%.250s%s%.250s", dir, *dir ? "/" : "",
	         name);
	strcpy(path, joined);
}

/* Of something, or of nothing yet: `fresh` percent. */
static void random_path(const struct known *known, uint64_t *random,
                        unsigned fresh, char path[SIDE_PATH])
{
	char dir[SIDE_PATH];

	if (known->n > 0 && !chance(random, fresh)) {
		strcpy(path, some(known, random)->path);
		return;
	}
	random_dir(known, random, dir);
	name_in(dir, layers_name(random), path);
}

static void sibling(uint64_t *random, const char *path, char to[SIDE_PATH])
{
	char dir[SIDE_PATH];
	char *slash;

	strcpy(dir, path);
	slash = strrchr(dir, '/');
	*(slash ? slash : dir) = '\0';
	name_in(dir, layers_name(random), to);
}

/* ---- steps ----------------------------------------------------------------- */

/* Names come and go more often than the rest happens. */
static enum act_kind random_kind(uint64_t *random)
{
	static const enum act_kind frequent[] = {
		ACT_RENAME,      ACT_RENAME_WITHIN, ACT_RENAME_ONTO,
		ACT_RENAME_INTO, ACT_MKDIR,         ACT_RMDIR,
		ACT_UNLINK,      ACT_REMOVE_TREE,   ACT_LINK,
		ACT_CHMOD,       ACT_APPEND,        ACT_LIST,
		ACT_STAT_HELD,   ACT_READ_HELD,
	};
	const unsigned n = sizeof(frequent) / sizeof(frequent[0]);
	unsigned i = test_random(random) % (ACT_KINDS + n);

	return i < ACT_KINDS ? i : frequent[i - ACT_KINDS];
}

static bool is_making(enum act_kind kind)
{
	return kind <= ACT_CREATE_EXCLUSIVE_MODE || kind == ACT_MKDIR ||
	       (kind >= ACT_SYMLINK && kind <= ACT_MKNOD_BLOCK);
}

static void random_paths(struct act *act, const struct known *known,
                         uint64_t *random)
{
	char dir[SIDE_PATH];

	random_path(known, random, is_making(act->kind) ? 70 : 5, act->path);
	switch (act->kind) {
	case ACT_RENAME:
	case ACT_RENAME_BACK_AND_FORTH:
	case ACT_LINK:
		random_path(known, random, 75, act->to);
		break;
	case ACT_RENAME_ONTO:
	case ACT_LINK_ONTO:
	case ACT_SYMLINK:
		random_path(known, random, 0, act->to);
		break;
	case ACT_RENAME_INTO:
		random_dir(known, random, dir);
		name_in(dir, layers_name(random), act->to);
		break;
	case ACT_RENAME_WITHIN:
	case ACT_LINK_WITHIN:
	case ACT_REPLACE:
		sibling(random, act->path, act->to);
		break;
	case ACT_RENAME_TO_ITSELF:
		strcpy(act->to, act->path);
		break;
	default:
		break;
	}
}

/* What an ordinary user of a user namespace may not, or veneer does by an
 * override that the kernel knows nothing of. */
static bool is_for_user(enum act_kind kind)
{
	return kind != ACT_MKNOD_CHAR && kind != ACT_MKNOD_BLOCK &&
	       kind != ACT_CHMOD_SPECIAL &&
	       !(kind >= ACT_CHOWN && kind <= ACT_CHOWN_SAME);
}

static void random_caller(struct act *act, uint64_t *random, bool user)
{
	static const uint32_t callers[][2] = { { 0, 0 },
		                               { 1000, 1000 },
		                               { 1001, 1000 } };
	unsigned who = chance(random, 60) ? 0 : test_random(random) % 3;

	act->uid = user ? geteuid() : callers[who][0];
	act->gid = user ? getegid() : callers[who][1];
}

static struct act random_act(const struct known *known, uint64_t *random,
                             bool user)
{
	static const mode_t plain[] = { 0644, 0755, 0777, 0600, 0640, 0444 };
	static const mode_t special[] = { 04711, 02775, 01777, 02755,
		                          06755, 02644, 0,     0111 };
	struct act act = { .kind = random_kind(random) };

	while (user && !is_for_user(act.kind))
		act.kind = random_kind(random);
	random_caller(&act, random, user);
	if (act.kind == ACT_STAT_HELD || act.kind == ACT_READ_HELD)
		act.uid = act.gid = 0; /* who opened it may read it */
	random_paths(&act, known, random);
	act.mode =
		act.kind == ACT_CHMOD_SPECIAL || (!user && chance(random, 15))
			? special[test_random(random) % 8]
			: plain[test_random(random) % 6];
	act.owner = 1000 + test_random(random) % 2;
	act.group = 1000 + test_random(random) % 4;
	act.size = test_random(random) % 9000;
	act.time.tv_sec = test_random(random) % 1000000;
	act.time.tv_nsec = 123456789;
	return act;
}

static void learn(struct known *known, const struct act *act, uint64_t *random)
{
	if (is_making(act->kind))
		known_add(known, act->path, act->kind == ACT_MKDIR);
	else if (act->kind >= ACT_RENAME && act->kind <= ACT_RENAME_INTO &&
	         chance(random, 80))
		known_move(known, act->path, act->to);
	else if (act->kind >= ACT_LINK && act->kind <= ACT_LINK_ONTO)
		known_add(known, act->to, false);
}

void acts_make(struct act *acts, unsigned n, uint64_t seed, struct known *known,
               bool user)
{
	uint64_t random = seed;

	for (unsigned i = 0; i < n; i++) {
		acts[i] = random_act(known, &random, user);
		learn(known, &acts[i], &random);
	}
}
