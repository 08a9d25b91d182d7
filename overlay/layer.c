#include "config.h"

#include "overlay/layer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "overlay/acl.h"
#include "overlay/beneath.h"
#include "overlay/override.h"
#include "overlay/xattr.h"

#define LIST_BUFFER (64 * 1024)
#define D_INO_SAMPLE 32

/* ---- generations -------------------------------------------------------- */

/*
 * Public and fixed: the hash makes 64 bits of a handle's up to 128 bytes, it
 * keeps no secret. It is on users' disks, in registers and origins.
 */
static const unsigned char generation_key[crypto_shorthash_KEYBYTES] =
	"veneer: handles";

static int generation_by_handle(int dirfd, const char *name,
                                uint64_t *generation)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[MAX_HANDLE_SZ];
	} h;
	unsigned char input[sizeof(h.handle.handle_type) + MAX_HANDLE_SZ];
	unsigned char hash[crypto_shorthash_BYTES];
	int mount_id;

	h.handle.handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(dirfd, name, &h.handle, &mount_id,
	                      AT_EMPTY_PATH) < 0)
		return -errno;
	memcpy(input, &h.handle.handle_type, sizeof(h.handle.handle_type));
	memcpy(input + sizeof(h.handle.handle_type), h.bytes,
	       h.handle.handle_bytes);
	crypto_shorthash(hash, input,
	                 sizeof(h.handle.handle_type) + h.handle.handle_bytes,
	                 generation_key);
	memcpy(generation, hash, sizeof(*generation));
	if (*generation == 0)
		*generation = 1;
	return 0;
}

/* In ns since 1970; 0 where the filesystem keeps none. */
static uint64_t birth_time(const struct statx *stx)
{
	if (!(stx->stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)stx->stx_btime.tv_sec * 1000000000 +
	       stx->stx_btime.tv_nsec;
}

static uint64_t generation_by_birth(const struct statx *stx)
{
	uint64_t birth = birth_time(stx);

	return birth ? birth : 1;
}

/* ---- looking ------------------------------------------------------------ */

static int stat_at(int dirfd, const char *name, struct statx *stx)
{
	if (statx(dirfd, name,
	          AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
	          STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, stx) < 0)
		return -errno;
	return 0;
}

/* Linux has told the mount since 5.8; before, the device must do. */
static uint64_t mount_of(const struct statx *stx)
{
	return (stx->stx_mask & STATX_MNT_ID) ? stx->stx_mnt_id : 0;
}

static bool is_foreign(const struct ovl_layer *layer, const struct statx *stx)
{
	return mount_of(stx) != layer->mount_id ||
	       stx->stx_dev_major != layer->dev_major ||
	       stx->stx_dev_minor != layer->dev_minor ||
	       stx->stx_ino >> OVL_INO_BITS != 0;
}

static struct timespec to_timespec(const struct statx_timestamp *t)
{
	return (struct timespec){ .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };
}

static void fill_attr(struct ovl_attr *attr, const struct statx *stx)
{
	*attr = (struct ovl_attr){
		.size = stx->stx_size,
		.used = stx->stx_blocks * 512,
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = stx->stx_uid,
		.gid = stx->stx_gid,
		.rdev_major = stx->stx_rdev_major,
		.rdev_minor = stx->stx_rdev_minor,
		.atime = to_timespec(&stx->stx_atime),
		.mtime = to_timespec(&stx->stx_mtime),
		.ctime = to_timespec(&stx->stx_ctime),
	};
}

/* `known`: its generation, or 0. */
static int look_on_disk(const struct ovl_layer *layer, int dirfd,
                        const char *name, uint64_t known, struct ovl_real *real)
{
	struct statx stx;
	uint64_t generation;
	bool foreign;
	int err;

	err = stat_at(dirfd, name, &stx);
	if (err)
		return err;
	foreign = is_foreign(layer, &stx);
	generation = known ? known : generation_by_birth(&stx);
	/* What is foreign may have no handle, and nobody keeps its generation. */
	if (!known && !foreign &&
	    layer->generation_kind == OVL_GENERATION_HANDLE) {
		err = generation_by_handle(dirfd, name, &generation);
		if (err)
			return err;
	}
	real->ino = stx.stx_ino;
	real->generation = generation;
	real->foreign = foreign;
	real->whiteout = S_ISCHR(stx.stx_mode) && stx.stx_rdev_major == 0 &&
	                 stx.stx_rdev_minor == 0;
	real->type = stx.stx_mode & S_IFMT;
	fill_attr(&real->attr, &stx);
	return 0;
}

int ovl_layer_look_on_disk(const struct ovl_layer *layer, int dirfd,
                           const char *name, struct ovl_real *real)
{
	return look_on_disk(layer, dirfd, name, 0, real);
}

static int look_with_override(const struct ovl_layer *layer, int fd,
                              uint64_t known, struct ovl_real *real)
{
	struct ovl_real found;
	int err;

	err = look_on_disk(layer, fd, "", known, &found);
	if (!err && !found.foreign && !found.whiteout)
		err = ovl_override_show(layer, fd, &found);
	if (!err)
		*real = found;
	return err;
}

int ovl_layer_look(const struct ovl_layer *layer, int dirfd, const char *name,
                   struct ovl_real *real)
{
	int fd, err;

	if (!layer->userxattr)
		return ovl_layer_look_on_disk(layer, dirfd, name, real);
	if (!*name)
		return look_with_override(layer, dirfd, 0, real);
	/* By its name it might be another's override, as files move. */
	fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = look_with_override(layer, fd, 0, real);
	close(fd);
	return err;
}

int ovl_layer_look_again(const struct ovl_layer *layer, int fd,
                         uint64_t generation, struct ovl_real *real)
{
	return layer->userxattr
	               ? look_with_override(layer, fd, generation, real)
	               : look_on_disk(layer, fd, "", generation, real);
}

/* ---- fileids ------------------------------------------------------------ */

uint64_t ovl_fileid(unsigned layer_number, uint64_t ino)
{
	assert(layer_number <= OVL_LAYER_MAX && ino >> OVL_INO_BITS == 0);
	return (uint64_t)layer_number << OVL_INO_BITS | ino;
}

unsigned ovl_fileid_layer(uint64_t fileid)
{
	return (unsigned)(fileid >> OVL_INO_BITS);
}

uint64_t ovl_fileid_ino(uint64_t fileid)
{
	return fileid & ((UINT64_C(1) << OVL_INO_BITS) - 1);
}

/* ---- opening ------------------------------------------------------------ */

int ovl_layer_open(const struct ovl_layer *layer, int dirfd, const char *path,
                   int flags, bool cached)
{
	bool lower = layer->number != OVL_LAYER_UPPER;
	int fd;

	assert(!lower || !(flags & (O_ACCMODE | O_CREAT | O_TRUNC)));
	if (lower && !(flags & O_PATH)) {
		fd = ovl_open_beneath(dirfd, path, flags | O_NOATIME, 0,
		                      cached);
		/* Only the owner and CAP_FOWNER may leave the atime alone. */
		if (fd != -EPERM)
			return fd;
	}
	return ovl_open_beneath(dirfd, path, flags, 0, cached);
}

/* ---- listing ------------------------------------------------------------ */

/* The type of a name that getdents leaves open; -ENOENT: it has gone. */
static int type_of(int dirfd, const char *name, uint8_t *type)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
	struct stat st;

	if (fstatat(dirfd, name, &st, flags) < 0)
		return -errno;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		*type = DT_WHT;
	else
		*type = IFTODT(st.st_mode);
	return 0;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' &&
	       (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* One listing of a directory. */
struct listing {
	const struct ovl_layer *layer;
	int fd;
	bool marked; /* to hold whiteouts by attribute */
	ovl_layer_name_fn *fn;
	void *arg;
};

static int list_entry(const struct listing *listing,
                      const struct dirent64 *entry)
{
	uint8_t type = entry->d_type;
	int err = 0;

	if (is_dot(entry->d_name))
		return 0;
	if (type == DT_UNKNOWN || type == DT_CHR)
		err = type_of(listing->fd, entry->d_name, &type);
	if (!err && type == DT_REG && listing->marked) {
		err = ovl_xattr_is_whiteout(listing->layer, listing->fd,
		                            entry->d_name);
		if (err > 0)
			type = DT_WHT;
	}
	if (err < 0)
		return err == -ENOENT ? 0 : err;
	return listing->fn(listing->arg, entry->d_name, strlen(entry->d_name),
	                   entry->d_ino, type);
}

static int list_batch(const struct listing *listing, const char *batch,
                      size_t size)
{
	size_t at = 0;
	int err = 0;

	while (!err && at < size) {
		const struct dirent64 *entry = (const void *)(batch + at);

		err = list_entry(listing, entry);
		at += entry->d_reclen;
	}
	return err;
}

static int list_all(const struct listing *listing)
{
	char *buffer = malloc(LIST_BUFFER);
	int err = buffer ? 0 : -ENOMEM;
	ssize_t n;

	while (!err) {
		n = getdents64(listing->fd, buffer, LIST_BUFFER);
		if (n <= 0) {
			err = n < 0 ? -errno : 0;
			break;
		}
		err = list_batch(listing, buffer, (size_t)n);
	}
	free(buffer);
	return err;
}

int ovl_layer_list(const struct ovl_layer *layer, int dirfd,
                   ovl_layer_name_fn *fn, void *arg)
{
	struct listing listing = { .layer = layer, .fn = fn, .arg = arg };
	int err;

	/* Its own: the place in a directory belongs to the open file. */
	listing.fd = ovl_layer_open(layer, dirfd, ".", O_RDONLY | O_DIRECTORY,
	                            false);
	if (listing.fd < 0)
		return listing.fd;
	err = ovl_xattr_may_hold_whiteouts(layer, listing.fd);
	listing.marked = err > 0;
	if (err >= 0)
		err = list_all(&listing);
	close(listing.fd);
	return err;
}

/* ---- opening a layer ---------------------------------------------------- */

/*
 * FUSE makes handles of numbers that its server gives out anew at each mount;
 * elsewhere they are kept on disk, or there are none.
 */
static enum ovl_generation_kind best_generation(int root,
                                                const struct statfs *fs)
{
	uint64_t generation;

	if (fs->f_type == FUSE_SUPER_MAGIC ||
	    generation_by_handle(root, "", &generation) < 0)
		return OVL_GENERATION_BTIME;
	return OVL_GENERATION_HANDLE;
}

/* When the root was made; of an image that never changes, the image. */
static uint64_t root_birth(const struct statx *stx, const struct statfs *fs)
{
	switch ((uint32_t)fs->f_type) {
	case SQUASHFS_MAGIC:
	case EROFS_SUPER_MAGIC_V1:
	case CRAMFS_MAGIC:
	case ISOFS_SUPER_MAGIC:
		return (uint64_t)stx->stx_mtime.tv_sec * 1000000000 +
		       stx->stx_mtime.tv_nsec;
	default:
		return birth_time(stx);
	}
}

struct d_ino_trial {
	const struct ovl_layer *layer;
	unsigned tried;
	bool differs;
};

static int try_d_ino(void *arg, const char *name, size_t len, uint64_t ino,
                     uint8_t type)
{
	struct d_ino_trial *trial = arg;
	struct statx stx;

	(void)len;
	(void)type;
	/* A mount point's own inode is not the one that is seen there. */
	if (stat_at(trial->layer->root, name, &stx) == 0 &&
	    !is_foreign(trial->layer, &stx) && stx.stx_ino != ino)
		trial->differs = true;
	return trial->differs || ++trial->tried == D_INO_SAMPLE ? -ECANCELED
	                                                        : 0;
}

static int find_out(struct ovl_layer *layer)
{
	struct d_ino_trial trial = { .layer = layer };
	struct statx stx;
	struct statfs fs;
	int err;

	err = stat_at(layer->root, "", &stx);
	if (err)
		return err;
	if (fstatfs(layer->root, &fs) < 0)
		return -errno;
	layer->mount_id = mount_of(&stx);
	layer->dev_major = stx.stx_dev_major;
	layer->dev_minor = stx.stx_dev_minor;
	layer->never_waits = (uint32_t)fs.f_type == TMPFS_MAGIC ||
	                     (uint32_t)fs.f_type == RAMFS_MAGIC;
	layer->has_acls = ovl_acl_supported(layer->root);
	layer->root_ino = stx.stx_ino;
	layer->root_birth = root_birth(&stx, &fs);
	layer->generation_kind = best_generation(layer->root, &fs);
	err = ovl_layer_root_generation(layer, layer->generation_kind,
	                                &layer->root_generation);
	if (err)
		return err;
	err = ovl_layer_list(layer, layer->root, try_d_ino, &trial);
	if (err && err != -ECANCELED)
		return err;
	layer->true_d_ino = !trial.differs;
	return 0;
}

int ovl_layer_init(struct ovl_layer *layer, const char *path, bool userxattr)
{
	struct ovl_layer new = {
		.root = -1,
		.number = OVL_LAYER_MAX, /* anything but the upper's */
		.userxattr = userxattr,
		.wh_names = true,
	};
	int err;

	new.path = strdup(path);
	if (!new.path)
		return -ENOMEM;
	new.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = new.root < 0 ? -errno : find_out(&new);
	if (err) {
		ovl_layer_release(&new);
		return err;
	}
	*layer = new;
	return 0;
}

/* A detached, read-only mount of what is open as `fd`; -1 where there is none. */
static int clone_mount(int fd)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME,
		.attr_clr = MOUNT_ATTR__ATIME,
	};
	int mount = open_tree(
		fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int root = -1;

	if (mount < 0)
		return -1;
	if (!mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		root = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(mount);
	return root;
}

void ovl_layer_isolate(struct ovl_layer *layer)
{
	int root = clone_mount(layer->root);
	struct statx stx;

	if (root < 0)
		return;
	if (stat_at(root, "", &stx)) {
		close(root);
		return;
	}
	close(layer->root);
	layer->root = root;
	layer->mount_id = mount_of(&stx);
}

void ovl_layer_release(struct ovl_layer *layer)
{
	free(layer->path);
	layer->path = NULL;
	if (layer->root >= 0)
		close(layer->root);
	layer->root = -1;
}

int ovl_layer_root_generation(const struct ovl_layer *layer,
                              enum ovl_generation_kind kind,
                              uint64_t *generation)
{
	struct statx stx;
	int err;

	if (kind == OVL_GENERATION_HANDLE)
		return generation_by_handle(layer->root, "", generation);
	err = stat_at(layer->root, "", &stx);
	if (!err)
		*generation = generation_by_birth(&stx);
	return err;
}
