#include "config.h"

#include "overlay/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "overlay/acl.h"
#include "overlay/heap.h"
#include "overlay/overlay.h"
#include "overlay/refresh.h"
#include "overlay/tree.h"

uint64_t ovl_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- locking ------------------------------------------------------------- */

/* Nodes are allocated: the lowest bits of their addresses are the same. */
static pthread_mutex_t *lock_of(const struct ovl_node *node)
{
	uintptr_t place = (uintptr_t)node >> 4;

	return &node->tree->locks[(place ^ place >> 8) % OVL_TREE_LOCKS];
}

void ovl_node_lock(struct ovl_node *node)
{
	pthread_mutex_lock(lock_of(node));
}

bool ovl_node_trylock(struct ovl_node *node)
{
	return pthread_mutex_trylock(lock_of(node)) == 0;
}

void ovl_node_unlock(struct ovl_node *node)
{
	pthread_mutex_unlock(lock_of(node));
}

/* ---- what decides -------------------------------------------------------- */

unsigned ovl_node_shapes(const struct ovl_node *parent,
                         const struct ovl_node *node)
{
	unsigned shapes = 0;

	/* Each only grows: so does their sum. */
	if (parent) {
		shapes += atomic_load(&parent->dir->shape);
		if (parent->lower)
			shapes += atomic_load(&parent->lower->dir->shape);
	}
	if (node && node->dir)
		shapes += atomic_load(&node->dir->shape);
	return shapes;
}

/* ---- life of a node ----------------------------------------------------- */

struct ovl_node *ovl_node_ref(struct ovl_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

static size_t redirect_bytes(const struct ovl_part *part)
{
	return part->redirect ? ovl_heap_bytes(strlen(part->redirect) + 1) : 0;
}

/* Others may hold it too: then it counts for each. */
static size_t acl_bytes(const struct ovl_kept_acl *kept)
{
	return kept->acl ? ovl_heap_bytes(sizeof(*kept->acl) +
	                                  kept->acl->n *
	                                          sizeof(kept->acl->entries[0]))
	                 : 0;
}

/* What it takes: itself, its place in its tree's table, its name, its parts. */
static size_t bytes_of(const struct ovl_node *node)
{
	const struct ovl_dir *dir = node->dir;
	size_t bytes = ovl_heap_bytes(sizeof(*node)) + 2 * sizeof(node);

	if (node->name)
		bytes += ovl_heap_bytes(strlen(node->name) + 1);
	if (node->data)
		bytes += ovl_heap_bytes(sizeof(*node->data)) +
		         redirect_bytes(node->data);
	bytes += acl_bytes(&node->access_acl);
	if (!dir)
		return bytes;
	bytes += acl_bytes(&dir->default_acl);
	for (unsigned i = 0; i < dir->nparts; i++)
		bytes += redirect_bytes(&dir->parts[i]);
	return bytes + ovl_heap_bytes(sizeof(*dir) +
	                              dir->nparts * sizeof(dir->parts[0]));
}

static void dir_free(struct ovl_node *node)
{
	struct ovl_dir *dir = node->dir;

	if (!dir)
		return;
	ovl_node_set_names(node, NULL);
	for (unsigned i = 0; i < dir->nparts; i++) {
		ovl_fdslot_clear(node->tree->fds, &dir->parts[i].fd, false);
		free(dir->parts[i].redirect);
	}
	pthread_mutex_destroy(&dir->change);
	ovl_acl_unref(dir->default_acl.acl);
	free(dir);
}

static void node_free(struct ovl_node *node)
{
	dir_free(node);
	if (node->data) {
		ovl_fdslot_clear(node->tree->fds, &node->data->fd, false);
		free(node->data->redirect);
		free(node->data);
	}
	ovl_fdslot_clear(node->tree->fds, &node->fd, false);
	ovl_acl_unref(node->access_acl.acl);
	free(node->name);
	free(node);
}

void ovl_node_unref(struct ovl_node *node)
{
	struct ovl_node *parent, *lower;

	/* A loop over the ancestors: a deep tree must not exhaust the stack. */
	for (; node; node = parent) {
		if (atomic_fetch_sub_explicit(&node->refs, 1,
		                              memory_order_acq_rel) != 1)
			return;
		parent = node->parent;
		lower = node->lower;
		ovl_tree_discharge(node->tree, 1, node->bytes);
		node_free(node);
		/* A stack's node has none below it: no deeper than this. */
		ovl_node_unref(lower);
	}
}

struct ovl_node *ovl_node_if_dir(struct ovl_node *node)
{
	if (node && node->dir)
		return node;
	ovl_node_unref(node);
	return NULL;
}

/* 0 or -ENOMEM. */
static int part_init(struct ovl_part *part, const struct ovl_part *spec)
{
	part->layer = spec->layer;
	part->ino = spec->ino;
	part->generation = spec->generation;
	part->parent_part = spec->parent_part;
	part->stamp = spec->stamp;
	atomic_init(&part->marks, spec->layer->wh_names);
	if (!spec->redirect)
		return 0;
	part->redirect = strdup(spec->redirect);
	return part->redirect ? 0 : -ENOMEM;
}

/* Its names are known: there are none, but for what others put there at once. */
static int set_empty(struct ovl_node *node)
{
	struct ovl_dir *dir = node->dir;

	dir->names = ovl_tree_new_names(node->tree);
	if (!dir->names)
		return -ENOMEM;
	dir->young = true;
	dir->loaded = ovl_now();
	for (unsigned i = 0; i < dir->nparts; i++)
		atomic_store(&dir->parts[i].marks, false);
	ovl_node_count_names(node);
	return 0;
}

static int add_dir(struct ovl_node *node, const struct ovl_node_spec *spec)
{
	struct ovl_dir *dir;
	int err = 0;

	dir = calloc(1, sizeof(*dir) + spec->nparts * sizeof(dir->parts[0]));
	if (!dir)
		return -ENOMEM;
	pthread_mutex_init(&dir->change, NULL);
	dir->nparts = spec->nparts;
	for (unsigned i = 0; i < spec->nparts && !err; i++)
		err = part_init(&dir->parts[i], &spec->parts[i]);
	node->dir = dir;
	return !err && spec->empty ? set_empty(node) : err;
}

/* What takes memory of its own. 0 or -ENOMEM. */
static int fill(struct ovl_node *node, const struct ovl_node_spec *spec)
{
	if (spec->parent) {
		node->name = strdup(spec->name);
		if (!node->name)
			return -ENOMEM;
	}
	if (spec->data) {
		node->data = calloc(1, sizeof(*node->data));
		if (!node->data || part_init(node->data, spec->data))
			return -ENOMEM;
	}
	return S_ISDIR(node->type) ? add_dir(node, spec) : 0;
}

struct ovl_node *ovl_node_new(struct ovl_tree *tree,
                              const struct ovl_node_spec *spec)
{
	struct ovl_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->id = spec->id;
	node->tree = tree;
	node->layer = spec->layer;
	node->ino = spec->real->ino;
	node->ino_generation = spec->real->generation;
	node->type = spec->real->attr.mode & S_IFMT;
	node->part = spec->part;
	node->foreign = spec->real->foreign;
	node->indexed = spec->indexed;
	node->open_ended = spec->open_ended;
	node->extra_links = spec->extra_links;
	node->data_used = spec->data_used;
	atomic_init(&node->metacopy, spec->metacopy);
	atomic_init(&node->placed, spec->copied_up);
	atomic_init(&node->settled, 0);
	if (fill(node, spec)) {
		node_free(node);
		return NULL;
	}
	ovl_node_adopt(node, spec->real, ovl_now());
	node->parent = spec->parent ? ovl_node_ref(spec->parent) : NULL;
	atomic_init(&node->seen, spec->seen);
	if (spec->parent)
		atomic_init(&node->verified,
		            atomic_load(&spec->parent->verified));
	node->lower = spec->lower ? ovl_node_ref(spec->lower) : NULL;
	atomic_init(&node->refs, 2); /* the tree's and the caller's */
	atomic_init(&node->used, true);
	node->bytes = bytes_of(node);
	ovl_tree_charge(tree, 1, node->bytes);
	return node;
}

struct ovl_id ovl_node_id(const struct ovl_node *node)
{
	return node->id;
}

mode_t ovl_node_type(const struct ovl_node *node)
{
	return node->type;
}

bool ovl_node_has_data(const struct ovl_node *node)
{
	return node->tree->upper ? !atomic_load(&node->metacopy) : !node->data;
}

uint64_t ovl_node_used(struct ovl_node *node)
{
	uint64_t used;

	ovl_node_lock(node);
	used = node->attr.used;
	ovl_node_unlock(node);
	return used;
}

struct ovl_node *ovl_node_parent(struct ovl_node *node)
{
	struct ovl_node *parent;

	ovl_node_lock(node);
	parent = node->parent ? ovl_node_ref(node->parent) : NULL;
	ovl_node_unlock(node);
	return parent;
}

struct ovl_node *ovl_node_place(struct ovl_node *node, char *name)
{
	struct ovl_node *parent = NULL;

	ovl_node_lock(node);
	if (node->parent) {
		parent = ovl_node_ref(node->parent);
		strcpy(name, node->name); /* names have 255 bytes at most */
	}
	ovl_node_unlock(node);
	return parent;
}

void ovl_node_count(struct ovl_node *node)
{
	ovl_tree_discharge(node->tree, 0, node->bytes);
	node->bytes = bytes_of(node);
	ovl_tree_charge(node->tree, 0, node->bytes);
}

int ovl_node_set_place(struct ovl_node *node, struct ovl_node *parent,
                       const char *name)
{
	struct ovl_node *old_parent;
	char *old_name, *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	ovl_node_lock(node);
	old_parent = node->parent;
	old_name = node->name;
	node->parent = ovl_node_ref(parent);
	node->name = copy;
	ovl_node_count(node);
	/* Nothing is known of it at that place. */
	atomic_store(&node->seen, ovl_node_shapes(parent, node) - 1);
	ovl_node_unlock(node);
	ovl_node_unref(old_parent);
	free(old_name);
	return 0;
}

void ovl_node_remember(struct ovl_node *node, struct ovl_node *dir,
                       const char *name)
{
	bool another;

	ovl_node_lock(node);
	another = !node->dir && node->attr.nlink > 1 &&
	          (node->parent != dir || strcmp(node->name, name));
	ovl_node_unlock(node);
	if (another)
		ovl_map_put(node->tree->map, node->id.fileid, dir->id.fileid,
		            name, strlen(name));
}

void ovl_node_set_names(struct ovl_node *node, struct ovl_names *names)
{
	ovl_names_free(node->dir->former);
	ovl_names_free(node->dir->names);
	node->dir->former = NULL;
	node->dir->names = names;
	ovl_node_count_names(node);
}

void ovl_node_doubt_names(struct ovl_node *node)
{
	struct ovl_dir *dir = node->dir;

	if (!dir->names)
		return;
	ovl_names_free(dir->former);
	dir->former = dir->names;
	dir->names = NULL;
}

void ovl_node_count_names(struct ovl_node *node)
{
	struct ovl_dir *dir = node->dir;
	const struct ovl_names *sets[2] = { dir->names, dir->former };
	size_t weight = 0, bytes = 0;

	for (unsigned i = 0; i < 2; i++) {
		weight += sets[i] ? ovl_names_count(sets[i]) : 0;
		bytes += sets[i] ? ovl_names_bytes(sets[i]) : 0;
	}
	ovl_tree_charge_names(node->tree, dir, weight, bytes);
}
