#include "config.h"

#include "overlay/node.h"

#include <dirent.h>
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

	return &node->tree->locks[(place ^ place >> 8) % OVL_TREE_LOCKS].lock;
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
	struct ovl_node *lower = parent ? ovl_node_lower(parent) : NULL;
	unsigned shapes = 0;

	/* Each only grows: so does their sum. */
	if (parent) {
		shapes += atomic_load(&parent->dir->shape);
		if (lower)
			shapes += atomic_load(&lower->dir->shape);
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
static size_t acl_bytes(const struct ovl_acl *acl)
{
	return acl ? ovl_heap_bytes(sizeof(*acl) +
	                            acl->n * sizeof(acl->entries[0]))
	           : 0;
}

static size_t more_bytes(const struct ovl_more *more)
{
	size_t bytes;

	if (!more)
		return 0;
	bytes = ovl_heap_bytes(sizeof(*more)) + acl_bytes(more->access_acl);
	if (more->name)
		bytes += ovl_heap_bytes(strlen(more->name) + 1);
	if (more->data)
		bytes += ovl_heap_bytes(sizeof(*more->data)) +
		         redirect_bytes(more->data);
	return bytes;
}

static size_t node_size(size_t name_len)
{
	return sizeof(struct ovl_node) + name_len + 1;
}

/* What it takes, a directory's names aside: itself, its place in its tree's table,
 * what it has more, its parts. */
static size_t bytes_of(const struct ovl_node *node)
{
	const struct ovl_dir *dir = node->dir;
	size_t bytes = ovl_heap_bytes(node_size(strlen(node->name))) +
	               sizeof(node) + more_bytes(atomic_load(&node->more));

	if (!dir)
		return bytes;
	bytes += acl_bytes(dir->default_acl);
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
	ovl_acl_unref(dir->default_acl);
	free(dir);
}

static void more_free(struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	if (!more)
		return;
	if (more->data) {
		ovl_fdslot_clear(node->tree->fds, &more->data->fd, false);
		free(more->data->redirect);
		free(more->data);
	}
	ovl_acl_unref(more->access_acl);
	free(more->name);
	free(more);
}

static void node_free(struct ovl_node *node)
{
	dir_free(node);
	more_free(node);
	ovl_fdslot_clear(node->tree->fds, &node->fd, false);
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
		lower = ovl_node_lower(node);
		ovl_tree_discharge(node->tree, 1, bytes_of(node));
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
	dir->extra_links = spec->extra_links;
	for (unsigned i = 0; i < spec->nparts && !err; i++)
		err = part_init(&dir->parts[i], &spec->parts[i]);
	node->dir = dir;
	return !err && spec->empty ? set_empty(node) : err;
}

/* What it has more, from now on if it had nothing before. NULL: no memory. */
static struct ovl_more *have_more(struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	if (!more) {
		more = calloc(1, sizeof(*more));
		atomic_store(&node->more, more);
	}
	return more;
}

static bool is_device(mode_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

/* Whether its inode is not the one that its identity tells of. */
static bool is_copy(const struct ovl_node_spec *spec)
{
	return ovl_fileid_ino(spec->id.fileid) != spec->real->ino ||
	       spec->id.generation != spec->real->generation;
}

static int add_more(struct ovl_node *node, const struct ovl_node_spec *spec)
{
	struct ovl_more *more;

	if (!node->tree->upper && !spec->data && !is_copy(spec) &&
	    !is_device(spec->real->attr.mode))
		return 0;
	more = have_more(node);
	if (!more)
		return -ENOMEM;
	more->ino = spec->real->ino;
	more->ino_generation = spec->real->generation;
	more->data_used = spec->data_used;
	atomic_init(&more->metacopy, spec->metacopy);
	atomic_init(&more->placed, spec->copied_up);
	if (!spec->data)
		return 0;
	more->data = calloc(1, sizeof(*more->data));
	return more->data ? part_init(more->data, spec->data) : -ENOMEM;
}

struct ovl_node *ovl_node_new(struct ovl_tree *tree,
                              const struct ovl_node_spec *spec)
{
	const size_t name_len = spec->parent ? strlen(spec->name) : 0;
	struct ovl_node *node = calloc(1, node_size(name_len));

	if (!node)
		return NULL;
	node->id = spec->id;
	node->tree = tree;
	node->layer = (uint16_t)(spec->layer - tree->layers);
	node->d_type = IFTODT(spec->real->attr.mode);
	node->part = spec->part;
	node->foreign = spec->real->foreign;
	node->indexed = spec->indexed;
	node->open_ended = spec->open_ended;
	if (name_len)
		memcpy(node->name, spec->name, name_len);
	if (add_more(node, spec) ||
	    (S_ISDIR(spec->real->attr.mode) && add_dir(node, spec))) {
		node_free(node);
		return NULL;
	}
	ovl_node_adopt(node, spec->real, ovl_now());
	node->parent = spec->parent ? ovl_node_ref(spec->parent) : NULL;
	atomic_init(&node->seen, spec->seen);
	if (spec->parent)
		atomic_init(&node->verified,
		            atomic_load(&spec->parent->verified));
	if (spec->lower)
		have_more(node)->lower = ovl_node_ref(spec->lower);
	atomic_init(&node->refs, 2); /* the tree's and the caller's */
	atomic_init(&node->used, true);
	ovl_tree_charge(tree, 1, bytes_of(node));
	return node;
}

struct ovl_id ovl_node_id(const struct ovl_node *node)
{
	return node->id;
}

mode_t ovl_node_type(const struct ovl_node *node)
{
	return DTTOIF(node->d_type);
}

const struct ovl_layer *ovl_node_layer(const struct ovl_node *node)
{
	return &node->tree->layers[node->layer];
}

struct ovl_part *ovl_node_data(const struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return more ? more->data : NULL;
}

bool ovl_node_is_metacopy(const struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return more && atomic_load(&more->metacopy);
}

bool ovl_node_has_data(const struct ovl_node *node)
{
	return node->tree->upper ? !ovl_node_is_metacopy(node)
	                         : !ovl_node_data(node);
}

/*
 * One number for both: how many are under way, and above that how many have begun,
 * ever, which may wrap. Two numbers could be read and changed in an order in which
 * neither of two changes sees the other.
 */
#define UNDER_WAY 1u
#define BEGUN (1u << 16)

unsigned ovl_node_change_begin(struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return atomic_fetch_add(&more->changes, BEGUN + UNDER_WAY);
}

bool ovl_node_change_end(struct ovl_node *node, unsigned begun)
{
	struct ovl_more *more = atomic_load(&node->more);
	unsigned now = atomic_fetch_sub(&more->changes, UNDER_WAY);

	return begun % BEGUN == 0 && now == begun + BEGUN + UNDER_WAY;
}

uint64_t ovl_node_ino(const struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return more && more->ino ? more->ino : ovl_fileid_ino(node->id.fileid);
}

uint64_t ovl_node_ino_generation(const struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return more && more->ino ? more->ino_generation : node->id.generation;
}

bool ovl_node_is_of(const struct ovl_node *node, const struct ovl_real *real)
{
	return real->ino == ovl_node_ino(node) &&
	       real->generation == ovl_node_ino_generation(node) &&
	       (real->attr.mode & S_IFMT) == ovl_node_type(node);
}

/* ---- attributes ----------------------------------------------------------- */

void ovl_node_get_attr(const struct ovl_node *node, struct ovl_attr *attr)
{
	const struct ovl_kept_attr *kept = &node->attr;
	struct ovl_more *more = atomic_load(&node->more);

	*attr = (struct ovl_attr){
		.fileid = node->id.fileid,
		.size = kept->size,
		.used = kept->used,
		.mode = ovl_node_type(node) | node->mode,
		.nlink = kept->nlink,
		.uid = kept->uid,
		.gid = kept->gid,
		.rdev_major = more ? more->rdev_major : 0,
		.rdev_minor = more ? more->rdev_minor : 0,
		.atime = { kept->atime, kept->atime_ns },
		.mtime = { kept->mtime, kept->mtime_ns },
		.ctime = { kept->ctime, kept->ctime_ns },
	};
}

void ovl_node_set_attr(struct ovl_node *node, const struct ovl_attr *attr)
{
	struct ovl_more *more = atomic_load(&node->more);

	node->mode = attr->mode & ~S_IFMT;
	node->attr = (struct ovl_kept_attr){
		.size = attr->size,
		.used = attr->used,
		.atime = attr->atime.tv_sec,
		.mtime = attr->mtime.tv_sec,
		.ctime = attr->ctime.tv_sec,
		.atime_ns = (uint32_t)attr->atime.tv_nsec,
		.mtime_ns = (uint32_t)attr->mtime.tv_nsec,
		.ctime_ns = (uint32_t)attr->ctime.tv_nsec,
		.nlink = attr->nlink,
		.uid = attr->uid,
		.gid = attr->gid,
	};
	/* A device has more since it was made; others have no numbers. */
	if (more) {
		more->rdev_major = attr->rdev_major;
		more->rdev_minor = attr->rdev_minor;
	}
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
		strcpy(name,
		       ovl_node_name(node)); /* names have 255 bytes at most */
	}
	ovl_node_unlock(node);
	return parent;
}

/* Count its memory anew, which was that much before. */
static void count_anew(struct ovl_node *node, size_t before)
{
	ovl_tree_charge(node->tree, 0, bytes_of(node));
	ovl_tree_discharge(node->tree, 0, before);
}

const char *ovl_node_name(const struct ovl_node *node)
{
	struct ovl_more *more = atomic_load(&node->more);

	return more && more->name ? more->name : node->name;
}

/* 0 or -ENOMEM. */
static int set_name(struct ovl_node *node, const char *name)
{
	struct ovl_more *more;
	char *copy;

	if (!strcmp(ovl_node_name(node), name))
		return 0;
	copy = strdup(name);
	more = copy ? have_more(node) : NULL;
	if (!more) {
		free(copy);
		return -ENOMEM;
	}
	free(more->name);
	more->name = copy;
	return 0;
}

int ovl_node_set_place(struct ovl_node *node, struct ovl_node *parent,
                       const char *name)
{
	struct ovl_node *old_parent = NULL;
	size_t before;
	int err;

	ovl_node_lock(node);
	before = bytes_of(node);
	err = set_name(node, name);
	if (!err) {
		old_parent = node->parent;
		node->parent = ovl_node_ref(parent);
		/* Nothing is known of it at that place. */
		atomic_store(&node->seen, ovl_node_shapes(parent, node) - 1);
	}
	count_anew(node, before);
	ovl_node_unlock(node);
	ovl_node_unref(old_parent);
	return err;
}

struct ovl_acl *ovl_node_kept_acl(const struct ovl_node *node,
                                  enum ovl_acl_kind kind)
{
	struct ovl_more *more = atomic_load(&node->more);

	if (kind == OVL_ACL_DEFAULT)
		return node->dir->default_acl;
	return more ? more->access_acl : NULL;
}

int ovl_node_swap_acl(struct ovl_node *node, enum ovl_acl_kind kind,
                      struct ovl_acl **acl)
{
	const size_t before = bytes_of(node);
	struct ovl_acl *old = ovl_node_kept_acl(node, kind);
	struct ovl_more *more;

	if (*acl == old)
		return 0;
	if (kind == OVL_ACL_DEFAULT) {
		node->dir->default_acl = *acl;
	} else {
		more = have_more(node);
		if (!more)
			return -ENOMEM;
		more->access_acl = *acl;
	}
	*acl = old;
	count_anew(node, before);
	return 0;
}

void ovl_node_remember(struct ovl_node *node, struct ovl_node *dir,
                       const char *name)
{
	bool another;

	ovl_node_lock(node);
	another = !node->dir && node->attr.nlink > 1 &&
	          (node->parent != dir || strcmp(ovl_node_name(node), name));
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
	if (node->tree->upper)
		ovl_shown_forget(&node->tree->shown);
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
