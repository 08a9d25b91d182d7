/*
 * What stands in layers is somebody's who may mean harm: bad redirects and loops
 * of them, metacopies of nothing, whiteouts in odd places, forged origins. They
 * are opened, walked through and changed; that ends, what a listing says is what
 * a look-up finds, the lower layers stay as they are, and what is opened again is
 * what it was.
 *
 * An input: how the overlay is opened; the layers (image.h); then changes.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/overlay.h"
#include "overlay/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/place.h"

/* Objects that a walk looks at, and names it takes of a directory. */
#define MAX_NODES 160
#define MAX_NAMES 64
#define DEEPEST 24
#define MAX_CHANGES 24

static struct ovl *fs;
static char *paths[IMAGE_LAYERS], *work, *state;
static struct ovl_caller caller;
static bool hasty;  /* what is looked up is looked up without waiting first */
static bool unsure; /* identities of this input (image.h) */

/* What the last walk has found; each holds its node. */
static struct found {
	struct ovl_node *node;
	unsigned depth;
} found[MAX_NODES];
static unsigned nfound;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	image_init(fuzz_place_make());
	/* They stay until the end. */
	for (unsigned i = 0; i < IMAGE_LAYERS; i++)
		paths[i] = fuzz_place_path(image_layers[i]);
	work = fuzz_place_path("work");
	state = fuzz_place_path("state");
	return 0;
}

static bool is_sane(ssize_t err)
{
	switch (err) {
	case -EBADF:
	case -EFAULT:
	case -ENOSYS:
	case -EINTR:
		return false;
	case -EAGAIN:
		return !caller.may_wait;
	}
	return true;
}

/* Lines are the log's to print: they end. */
static void log_line(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	FUZZ_MUST(strlen(line) < 2 * PATH_MAX);
}

/* ---- walking ---------------------------------------------------------------- */

struct listing {
	unsigned count;
	uint64_t last; /* cookie */
	struct {
		char name[NAME_MAX + 1];
		uint64_t fileid;
		bool has_attr;
		struct ovl_attr attr;
	} names[MAX_NAMES];
};

static bool fill(void *arg, const struct ovl_dirent *entry)
{
	struct listing *list = arg;

	FUZZ_MUST(entry->namelen == strlen(entry->name));
	FUZZ_MUST(entry->namelen > 0 && entry->namelen <= NAME_MAX);
	FUZZ_MUST(strchr(entry->name, '/') == NULL);
	FUZZ_MUST(entry->cookie > list->last);
	FUZZ_MUST(strncmp(entry->name, ".wh.", 4) != 0);
	list->last = entry->cookie;
	if (entry->cookie <= 2)
		return true;
	if (list->count == MAX_NAMES)
		return false;
	strcpy(list->names[list->count].name, entry->name);
	list->names[list->count].fileid = entry->fileid;
	list->names[list->count].has_attr = entry->has_attr;
	if (entry->has_attr) {
		FUZZ_MUST(entry->id.fileid == entry->fileid);
		list->names[list->count].attr = entry->attr;
	}
	list->count++;
	return true;
}

/* A reference goes in, where there is room. */
static void keep(struct ovl_node *node, unsigned depth)
{
	if (nfound == MAX_NODES || depth > DEEPEST)
		ovl_node_unref(node);
	else
		found[nfound++] = (struct found){ node, depth };
}

static void forget_found(void)
{
	while (nfound > 0)
		ovl_node_unref(found[--nfound].node);
}

/* What can be read of an object, into the sum. */
static uint64_t read_object(struct ovl_node *node, const struct ovl_attr *attr)
{
	char data[64] = "", target[PATH_MAX];
	uint64_t sum = 1;
	bool eof = false;
	ssize_t n = 0;
	int granted = 0;

	if (S_ISREG(attr->mode)) {
		n = ovl_read(fs, &caller, node, data, sizeof(data), 0, &eof);
		FUZZ_MUST(n <= (ssize_t)sizeof(data));
		if (n >= 0 && attr->size < sizeof(data))
			FUZZ_MUST(eof && (uint64_t)n == attr->size);
		if (n > 0)
			sum = fuzz_sum(sum, data, (size_t)n);
	} else if (S_ISLNK(attr->mode)) {
		n = ovl_readlink(fs, &caller, node, target, sizeof(target));
		FUZZ_MUST(n <= (ssize_t)sizeof(target));
		if (n > 0)
			sum = fuzz_sum(sum, target, (size_t)n);
	}
	FUZZ_MUST(is_sane(n));
	FUZZ_MUST(is_sane(ovl_access(fs, &caller, node, 7, &granted)));
	return fuzz_sum(sum, &n, sizeof(n));
}

/* What a listing says of an object, and what it says itself. */
static void compare_attrs(const struct ovl_attr *a, const struct ovl_attr *b)
{
	if (unsure ||
	    (a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	     a->size == b->size && a->nlink == b->nlink))
		return;
	fprintf(stderr, "mode %o %o, owner %u %u, size %ju %ju, links %u %u\n",
	        a->mode, b->mode, a->uid, b->uid, (uintmax_t)a->size,
	        (uintmax_t)b->size, a->nlink, b->nlink);
	FUZZ_MUST(!"a listing and GETATTR say the same");
}

/* On an event loop it would be tried like this, without waiting. */
static void look_hastily(struct ovl_node *dir, const char *name)
{
	struct ovl_node *node = NULL;
	struct ovl_attr attr;
	int err;

	caller.may_wait = false;
	err = ovl_lookup(fs, &caller, dir, name, &node);
	FUZZ_MUST(is_sane(err) && (err == 0) == (node != NULL));
	if (err == 0)
		FUZZ_MUST(is_sane(ovl_getattr(fs, &caller, node, &attr)));
	ovl_node_unref(node);
	caller.may_wait = true;
}

/* One name of a listing. */
static uint64_t look_at(struct ovl_node *dir, unsigned depth,
                        const struct listing *list, unsigned i)
{
	const char *name = list->names[i].name;
	uint64_t sum = fuzz_sum(7, name, strlen(name));
	struct ovl_node *node, *again = NULL;
	struct ovl_attr attr;
	int err;

	if (hasty)
		look_hastily(dir, name);
	err = ovl_lookup(fs, &caller, dir, name, &node);
	FUZZ_MUST(is_sane(err));
	if (err != 0)
		return fuzz_sum(sum, &err, sizeof(err));
	err = ovl_getattr(fs, &caller, node, &attr);
	FUZZ_MUST(is_sane(err));
	if (err == 0) {
		FUZZ_MUST(unsure || attr.fileid == list->names[i].fileid);
		FUZZ_MUST(unsure || attr.fileid == ovl_node_id(node).fileid);
		FUZZ_MUST(unsure ||
		          (attr.mode & S_IFMT) == ovl_node_type(node));
		FUZZ_MUST(attr.nlink >= (S_ISDIR(attr.mode) ? 2 : 1));
		FUZZ_MUST(!S_ISCHR(attr.mode) || attr.rdev_major != 0 ||
		          attr.rdev_minor != 0);
		if (list->names[i].has_attr)
			compare_attrs(&list->names[i].attr, &attr);
		sum = fuzz_sum(sum, &attr.fileid, sizeof(attr.fileid));
		sum = fuzz_sum(sum, &attr.mode, sizeof(attr.mode));
		sum = fuzz_sum(sum, &attr.uid, sizeof(attr.uid));
		if (!S_ISDIR(attr.mode))
			sum = fuzz_sum(sum, &attr.size, sizeof(attr.size));
		sum ^= read_object(node, &attr);
		err = ovl_resolve(fs, &caller, ovl_node_id(node), &again);
		FUZZ_MUST(err == 0 || unsure);
		ovl_node_unref(again);
	}
	keep(node, depth + 1);
	return sum;
}

static uint64_t walk_dir(struct ovl_node *dir, unsigned depth, bool attrs)
{
	static struct listing list;
	uint64_t sum = 0;
	bool eof = false;
	int err;

	list.count = 0;
	list.last = 0;
	err = ovl_readdir(fs, &caller, dir, 0, attrs, fill, &list, &eof);
	FUZZ_MUST(is_sane(err));
	if (err != 0)
		return fuzz_sum(3, &err, sizeof(err));
	for (unsigned i = 0; i < list.count; i++)
		sum += look_at(dir, depth, &list, i);
	return sum;
}

/* Breadth first. Found nodes stay, up to the next walk. */
static uint64_t walk(bool attrs)
{
	uint64_t sum = 0;

	forget_found();
	keep(ovl_root(fs), 0);
	for (unsigned i = 0; i < nfound; i++)
		if (S_ISDIR(ovl_node_type(found[i].node)))
			sum = sum * 31 +
			      walk_dir(found[i].node, found[i].depth, attrs);
	return sum;
}

/* ---- changing ----------------------------------------------------------------- */

static struct ovl_node *choose_node(struct fuzz_input *in)
{
	return found[fuzz_byte(in) % nfound].node;
}

static ssize_t change_attributes(struct fuzz_input *in, struct ovl_node *node)
{
	const unsigned which = fuzz_byte(in);
	const struct ovl_setattr set = {
		.has_mode = which & 1,
		.mode = which >> 4,
		.has_uid = which & 2,
		.uid = which >> 5,
		.has_size = which & 4,
		.size = which >> 3,
		.set_mtime = which & 8 ? OVL_TIME_NOW : OVL_TIME_KEEP,
	};

	return ovl_setattr(fs, &caller, node, &set, NULL, NULL);
}

static ssize_t make_something(struct fuzz_input *in, struct ovl_node *dir,
                              const char *name)
{
	const struct ovl_setattr nothing = { 0 };
	struct ovl_node *node = NULL;
	int err;

	switch (fuzz_choose(in, 5)) {
	case 0:
		err = ovl_create(fs, &caller, dir, name, OVL_UNCHECKED,
		                 &nothing, 0, &node, NULL);
		break;
	case 1:
		err = ovl_create(fs, &caller, dir, name, OVL_EXCLUSIVE,
		                 &nothing, 5, &node, NULL);
		break;
	case 2:
		err = ovl_symlink(fs, &caller, dir, name, "target", &nothing,
		                  &node, NULL);
		break;
	case 3:
		err = ovl_mknod(fs, &caller, dir, name, S_IFIFO, 0, &nothing,
		                &node, NULL);
		break;
	default:
		err = ovl_mkdir(fs, &caller, dir, name, &nothing, &node, NULL);
		break;
	}
	FUZZ_MUST((err == 0) == (node != NULL));
	ovl_node_unref(node);
	return err;
}

static ssize_t change(struct fuzz_input *in)
{
	const unsigned kind = fuzz_choose(in, 8);
	struct ovl_node *a = choose_node(in), *b;
	const char *name = image_names[fuzz_choose(in, IMAGE_NAMES)];

	switch (kind) {
	case 0:
		return make_something(in, a, name);
	case 1:
		return change_attributes(in, a);
	case 2:
		return ovl_write(fs, &caller, a, "written", 7, fuzz_byte(in),
		                 OVL_UNSTABLE, NULL);
	case 3:
		return ovl_remove(fs, &caller, a, name, NULL);
	case 4:
		return ovl_rmdir(fs, &caller, a, name, NULL);
	case 5:
		b = choose_node(in);
		return ovl_link(fs, &caller, b, a, name, NULL);
	case 6:
		return ovl_commit(fs, &caller, a, 0, 0, NULL);
	default:
		b = choose_node(in);
		return ovl_rename(fs, &caller, a, name, b,
		                  image_names[fuzz_choose(in, IMAGE_NAMES)],
		                  NULL, NULL);
	}
}

/* ---- one input ------------------------------------------------------------------ */

struct setup {
	struct ovl_config config;
	const char *lowers[IMAGE_LOWERS + 1];
};

static void choose_setup(struct fuzz_input *in, struct setup *setup)
{
	const unsigned how = fuzz_byte(in), more = fuzz_byte(in);

	for (unsigned i = 0; i <= IMAGE_LOWERS; i++)
		setup->lowers[i] = paths[i];
	setup->config = (struct ovl_config){
		.lowerdirs = setup->lowers,
		.nlowerdirs = IMAGE_LOWERS + (how & 1),
		.ndatadirs = how & 1,
		.upperdir = how & 2 ? NULL : paths[IMAGE_LAYERS - 1],
		.workdir = how & 2 ? NULL : work,
		.statedir = how & 2 ? state : NULL,
		.userxattr = how & 4 || geteuid() != 0,
		.redirect_dir = (enum ovl_redirect)(how >> 3 & 3),
		.metacopy = !(how & 32),
		.cache = (enum ovl_cache)((how >> 6) % 3),
		.sync = OVL_ASYNC,
		.max_entries = more & 1 ? 8 : 1000,
		.max_files = more & 2 ? 8 : 100,
		.log = log_line,
	};
	/* The upper as one more layer to read. */
	if (more & 4 && how & 2)
		setup->lowers[0] = paths[IMAGE_LAYERS - 1];
	caller = (struct ovl_caller){ .may_wait = true,
		                      .uid = more & 8 ? 1000 : 0,
		                      .gid = more & 8 ? 1000 : 0 };
}

static bool open_overlay(const struct setup *setup)
{
	char why[512] = "";
	int err = ovl_open(&setup->config, &fs, why, sizeof(why));

	FUZZ_MUST(err == 0 || why[0] != '\0');
	FUZZ_MUST(is_sane(err) && err != -EBUSY);
	return err == 0;
}

static void close_overlay(void)
{
	forget_found();
	ovl_close(fs);
	fs = NULL;
}

/* Of all lower layers. */
static uint64_t lower_sum(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i <= IMAGE_LOWERS; i++)
		sum = sum * 31 + fuzz_place_sum(image_layers[i]);
	return sum;
}

/* What has been found is found by its handle, if need be by a walk over all. */
static void find_all(const struct setup *setup, bool anew)
{
	struct ovl_id ids[MAX_NODES];
	const unsigned n = nfound;

	for (unsigned i = 0; i < n; i++)
		ids[i] = ovl_node_id(found[i].node);
	close_overlay();
	if (anew)
		fuzz_place_remove(setup->config.statedir != NULL
		                          ? "state/" OVL_STORE_FILE
		                          : "work/veneer/" OVL_STORE_FILE);
	FUZZ_MUST(open_overlay(setup));
	for (unsigned i = 0; i < n; i++) {
		struct ovl_node *node = NULL;
		int err = ovl_resolve(fs, &caller, ids[i], &node);

		FUZZ_MUST(err == 0 || err == -EINPROGRESS || unsure);
		if (err == 0)
			FUZZ_MUST(ovl_node_id(node).fileid == ids[i].fileid);
		ovl_node_unref(node);
	}
}

static void run(struct fuzz_input *in, const struct setup *setup)
{
	const unsigned how = fuzz_byte(in);
	uint64_t sum;

	hasty = how & 64;
	sum = walk(how & 1);
	FUZZ_MUST(walk(how & 2) == sum || unsure);
	for (unsigned i = 0; i < MAX_CHANGES && fuzz_left(in) > 0; i++) {
		FUZZ_MUST(is_sane(change(in)));
		/* What is found later is to be changed, too. */
		if (i % 8 == 7)
			walk(how & 4);
	}
	sum = walk(how & 8);
	if (how & 16) {
		find_all(setup, how & 128);
		FUZZ_MUST(walk(how & 32) == sum || unsure);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct setup setup;
	uint64_t sum;

	for (unsigned i = 0; i < IMAGE_LAYERS; i++)
		fuzz_place_renew(image_layers[i]);
	fuzz_place_renew("work");
	fuzz_place_renew("state");
	choose_setup(&in, &setup);
	unsure = image_make(&in);
	sum = lower_sum();
	if (open_overlay(&setup)) {
		run(&in, &setup);
		close_overlay();
	}
	FUZZ_MUST(lower_sum() == sum);
	return 0;
}
