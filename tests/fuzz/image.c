#include "config.h"

#include "tests/fuzz/image.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "overlay/layer.h"
#include "overlay/xattr.h"
#include "tests/fuzz/place.h"

#define MAX_OBJECTS 48
#define MAX_STEPS 160
#define MAX_VALUE 4200
#define DEEPEST 12

const char *const image_layers[IMAGE_LAYERS] = { "top", "middle", "bottom",
	                                         "data", "upper" };

static char longest[NAME_MAX + 1], longest_whiteout[NAME_MAX + 1];

const char *image_names[IMAGE_NAMES] = {
	"a",
	"b",
	"c",
	"d",
	".wh.a",
	".wh.b",
	".wh..wh..opq",
	".wh.",
	".wh..wh.plnk",
	".wh..",
	".wh...",
	"work",
	longest,
	longest_whiteout,
	"#1",
	"\xff\n",
};

/* What has been made; the roots of the layers are the first. */
struct object {
	unsigned layer, depth;
	bool is_dir;
	char path[PATH_MAX];
};

static struct object objects[MAX_OBJECTS];
static unsigned nobjects;
static int place;

void image_init(int fd)
{
	place = fd;
	memset(longest, 'n', NAME_MAX);
	memset(longest_whiteout, 'n', NAME_MAX);
	memcpy(longest_whiteout, ".wh.", 4);
}

static const struct object *choose_object(struct fuzz_input *in)
{
	return &objects[fuzz_byte(in) % nobjects];
}

/* A directory for something new: the one chosen, or the root of its layer. */
static const struct object *choose_dir(struct fuzz_input *in)
{
	const struct object *object = choose_object(in);

	return object->is_dir && object->depth < DEEPEST
	               ? object
	               : &objects[object->layer];
}

/* ---- objects -------------------------------------------------------------- */

/* NULL: there is no room for its path. */
static struct object *name_object(const struct object *dir, const char *name)
{
	struct object *object = &objects[nobjects];
	int n;

	if (nobjects == MAX_OBJECTS)
		return NULL;
	n = snprintf(object->path, sizeof(object->path), "%s/%s", dir->path,
	             name);
	if (n < 0 || (size_t)n >= sizeof(object->path))
		return NULL;
	object->layer = dir->layer;
	object->depth = dir->depth + 1;
	object->is_dir = false;
	return object;
}

static bool make_file(const char *path, unsigned size)
{
	int fd = openat(place, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	                0644);

	if (fd < 0)
		return false;
	/* Metacopies have the size of what they copy, and no data. */
	if (ftruncate(fd, size & 7) != 0 ||
	    (size & 8 && pwrite(fd, "data", 4, size & 7) != 4)) {
		close(fd);
		return false;
	}
	close(fd);
	return true;
}

static bool make_at(struct object *object, unsigned type, unsigned size)
{
	static const char *const targets[] = { "a", "/etc/passwd", "../../..",
		                               "b/c" };

	switch (type) {
	case 0:
	case 1:
	case 2:
		object->is_dir = true;
		return mkdirat(place, object->path, 0755) == 0;
	case 3:
	case 4:
		return make_file(object->path, size);
	case 5:
		return mknodat(place, object->path, S_IFCHR | 0600,
		               makedev(0, 0)) == 0;
	case 6:
		return symlinkat(targets[size & 3], place, object->path) == 0;
	case 7:
		return mknodat(place, object->path,
		               (size & 1 ? S_IFIFO : S_IFSOCK) | 0644, 0) == 0;
	default:
		return mknodat(place, object->path, S_IFCHR | 0644,
		               makedev(1, size & 1 ? 3 : 0)) == 0;
	}
}

static void make_object(struct fuzz_input *in)
{
	const struct object *dir = choose_dir(in);
	const unsigned what = fuzz_byte(in);
	const char *name = image_names[what % IMAGE_NAMES];
	const unsigned kind = fuzz_byte(in);
	struct object *object = name_object(dir, name);

	if (object != NULL && make_at(object, (kind & 15) % 9, kind >> 4))
		nobjects++;
}

static void make_link(struct fuzz_input *in)
{
	const struct object *from = choose_object(in), *dir = choose_dir(in);
	const char *name = image_names[fuzz_choose(in, IMAGE_NAMES)];
	struct object *object = name_object(dir, name);

	if (object != NULL && dir->layer == from->layer &&
	    linkat(place, from->path, place, object->path, 0) == 0)
		nobjects++;
}

/* ---- attributes ------------------------------------------------------------- */

static const char *const attributes[] = {
	OVL_XATTR_OPAQUE,   OVL_XATTR_REDIRECT, OVL_XATTR_METACOPY,
	OVL_XATTR_WHITEOUT, OVL_XATTR_ORIGIN,   OVL_XATTR_OVERRIDE,
	OVL_XATTR_LINKS,    OVL_XATTR_VERIFIER, "overlay.origin",
	"overlay.impure",   "overlay.nlink",    "overlay.veneer.unheard-of",
};
#define NATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

static const char *const words[] = {
	"y",      "x",       "",         "/a",  "/b",    "/a/b",   "/b/a",
	"/a/a/a", "a",       "b",        "c",   "..",    ".",      "/",
	"//",     "/a/../b", "/a/",      "a/b", "/c/d",  "/.wh.a", "/d",
	"/upper", "/../",    "/a/b/c/d", "yy",  "/a//b",
};
#define NWORDS (sizeof(words) / sizeof(words[0]))

/* The place in its layer: a redirect that leads somewhere. */
static size_t put_place(const struct object *object, char *value)
{
	const char *slash = strchr(object->path, '/');

	return (size_t)snprintf(value, MAX_VALUE, "%s",
	                        slash != NULL ? slash : "/");
}

/* An override (see override.c) of an owner, a mode and a device. */
static size_t put_override(struct fuzz_input *in, char *value)
{
	static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFCHR,  S_IFBLK,
		                        S_IFIFO, S_IFLNK, S_IFSOCK, 0 };
	uint32_t numbers[5];

	numbers[0] = htole32(fuzz_byte(in));
	numbers[1] = htole32(fuzz_byte(in));
	numbers[2] = types[fuzz_choose(in, 8)];
	numbers[2] = htole32(numbers[2] | fuzz_byte(in) << 4);
	numbers[3] = htole32(fuzz_choose(in, 2));
	numbers[4] = htole32(fuzz_choose(in, 2));
	memcpy(value, "veneer\1\1", 8);
	memcpy(value + 8, numbers, sizeof(numbers));
	return 8 + sizeof(numbers);
}

static size_t put_value(struct fuzz_input *in, char *value)
{
	const unsigned kind = fuzz_byte(in);
	size_t n = kind - 200;
	const uint8_t *bytes;

	if (kind < 2 * NWORDS) {
		strcpy(value, words[kind % NWORDS]);
		return strlen(value);
	}
	if (kind < 160)
		return put_place(&objects[kind % nobjects], value);
	if (kind < 190)
		return put_override(in, value);
	if (kind < 200) {
		n = kind < 195 ? NAME_MAX + kind - 192 : 4090 + kind - 195;
		memset(value, 'l', n);
		value[0] = kind & 1 ? '/' : 'l';
		return n;
	}
	bytes = fuzz_bytes(in, &n);
	memcpy(value, bytes, n);
	return n;
}

/* True: a directory has got a redirect. */
static bool set_attribute(struct fuzz_input *in)
{
	const struct object *object = choose_object(in);
	const unsigned which = fuzz_byte(in);
	char value[MAX_VALUE], name[64], *path;
	size_t n = put_value(in, value);
	int err;

	snprintf(name, sizeof(name), "%s.%s", which & 128 ? "user" : "trusted",
	         attributes[which % NATTRIBUTES]);
	path = fuzz_place_path(object->path);
	err = lsetxattr(path, name, value, n, 0);
	free(path);
	return err == 0 && object->is_dir &&
	       strcmp(attributes[which % NATTRIBUTES], OVL_XATTR_REDIRECT) == 0;
}

/* ---- origins ---------------------------------------------------------------- */

static int look(struct ovl_layer *layer, const struct object *object,
                struct ovl_real *real)
{
	char *path = fuzz_place_path(image_layers[object->layer]);
	const char *name = strchr(object->path, '/');
	int fd = -1, err = ovl_layer_init(layer, path, false);

	free(path);
	FUZZ_MUST(err == 0);
	if (name != NULL)
		fd = openat(layer->root, name + 1, O_PATH | O_NOFOLLOW);
	if (fd >= 0 && ovl_layer_look(layer, fd, "", real) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* One says that it was born as another, and it is its own word. Whether it counts. */
static bool forge_origin(struct fuzz_input *in)
{
	const struct object *object = choose_object(in);
	const struct object *other = choose_object(in);
	const unsigned number = fuzz_choose(in, IMAGE_LAYERS + 1);
	struct ovl_layer layer, other_layer;
	struct ovl_real real, other_real;
	int fd = look(&layer, object, &real);
	int other_fd = look(&other_layer, other, &other_real);
	bool counts = object->layer == IMAGE_LAYERS - 1;

	layer.userxattr = number & 1 && geteuid() != 0;
	if (fd >= 0 && other_fd >= 0)
		ovl_xattr_set_origin(
			&layer, fd, &real,
			(struct ovl_id){ ovl_fileid(number, other_real.ino),
		                         other_real.generation });
	if (fd >= 0)
		close(fd);
	if (other_fd >= 0)
		close(other_fd);
	ovl_layer_release(&layer);
	ovl_layer_release(&other_layer);
	return counts;
}

/* ---- all of it ---------------------------------------------------------------- */

static void set_mode(struct fuzz_input *in)
{
	const struct object *object = choose_object(in);
	/* Who is not root has to be able to put the place in order again. */
	const mode_t mode = fuzz_word(in) >> 16 | (geteuid() == 0 ? 0 : 0700);
	struct stat st;

	if (fstatat(place, object->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISLNK(st.st_mode) && !S_ISCHR(st.st_mode))
		fchmodat(place, object->path, mode & 07777, 0);
}

bool image_make(struct fuzz_input *in)
{
	unsigned steps = fuzz_byte(in);
	bool unsure = false;

	nobjects = 0;
	for (unsigned i = 0; i < IMAGE_LAYERS; i++)
		objects[nobjects++] =
			(struct object){ .layer = i, .is_dir = true };
	for (unsigned i = 0; i < IMAGE_LAYERS; i++)
		strcpy(objects[i].path, image_layers[i]);
	for (steps = steps % MAX_STEPS; steps > 0 && fuzz_left(in) > 0;
	     steps--) {
		switch (fuzz_choose(in, 12)) {
		case 0 ... 5:
			make_object(in);
			break;
		case 6 ... 8:
			unsure |= set_attribute(in);
			break;
		case 9:
			make_link(in);
			break;
		case 10:
			unsure |= forge_origin(in);
			break;
		case 11:
			set_mode(in);
			break;
		}
	}
	return unsure;
}
