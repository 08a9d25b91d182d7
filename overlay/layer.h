/*
 * One layer: a directory tree on disk, and how its filesystem behaves.
 *
 * A layer is opened once, never changes after, and is read from any thread. The
 * functions here only read the tree; a lower layer is never opened for writing.
 */
#ifndef VENEER_OVERLAY_LAYER_H
#define VENEER_OVERLAY_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "overlay/attr.h"

/* Layer numbers have 10 bits, the upper is 0; inode numbers have 54. */
#define OVL_LAYER_UPPER 0
#define OVL_LAYER_MAX 1023
#define OVL_INO_BITS 54

/* What tells a reused inode number apart; the register keeps the choice. */
enum ovl_generation_kind {
	OVL_GENERATION_HANDLE, /* a hash of name_to_handle_at's bytes */
	OVL_GENERATION_BTIME,  /* the birth time */
};

struct ovl_standins;

struct ovl_layer {
	char *path;      /* as given, for messages */
	int root;        /* descriptor of its root: O_RDONLY | O_DIRECTORY */
	unsigned number; /* OVL_LAYER_UPPER to OVL_LAYER_MAX */
	uint64_t root_ino;
	uint64_t root_generation;
	/* In ns since 1970, 0 where it is not known. It tells images apart: the
	 * roots of all ext4 agree in inode and generation. */
	uint64_t root_birth;
	uint64_t mount_id; /* statx's: another one is another mount */
	uint32_t dev_major, dev_minor; /* of the root: others are not entered */
	enum ovl_generation_kind generation_kind;
	bool lowest;      /* no other is below it: redirects lead nowhere */
	bool userxattr;   /* overlay attributes are user.*, not trusted.* */
	bool wh_names;    /* names with ".wh." are marks (marks.h) */
	bool never_waits; /* tmpfs, ramfs: no disk behind it */
	bool has_acls;    /* its filesystem keeps POSIX ACLs */
	bool true_d_ino;  /* getdents tells the same inode numbers as statx */
	/* An upper's with userxattr, borrowed; else NULL. */
	struct ovl_standins *standins;
	uint32_t server_uid, server_gid; /* an upper's: whose new objects are */
	/* What the server's user has on disk without an override shows these. */
	bool has_host_uid, has_host_gid;
	uint32_t host_uid, host_gid;
};

/* What stands at a name in a layer. */
struct ovl_real {
	uint64_t ino;
	uint64_t generation; /* never 0 */
	/* Another mount or subvolume, or an inode number over 54 bits: not to be
	 * entered; `attr` is of what stands there. */
	bool foreign;
	bool whiteout; /* a character device 0:0 */
	mode_t type;   /* S_IFMT bits on disk: attr.mode may show others */
	struct ovl_attr attr; /* attr.fileid is left 0 */
};

/*
 * Open the root and find out what the filesystem can. The caller sets `number`
 * later (and the register, the kind of generation); until then the layer counts
 * as a lower one, whose ".wh." names are marks. 0; -ENOENT, -ENOTDIR, -EACCES, ...:
 * then nothing is kept.
 */
int ovl_layer_init(struct ovl_layer *layer, const char *path, bool userxattr);
void ovl_layer_release(struct ovl_layer *layer);

/*
 * Where the server may (CAP_SYS_ADMIN, Linux 5.12), reach the layer through a
 * mount of its own from here on, as the kernel's overlayfs does: read-only, so
 * that nothing can be written by mistake, and without access times, which
 * reading a symlink would change. What is mounted inside the layer does not show
 * through it. No effect where the server may not.
 */
void ovl_layer_isolate(struct ovl_layer *layer);

/* The generation that the root has by this kind. 0 or -EOPNOTSUPP, -errno. */
int ovl_layer_root_generation(const struct ovl_layer *layer,
                              enum ovl_generation_kind kind,
                              uint64_t *generation);

/*
 * Look at `name` in the open directory `dirfd` (or at `dirfd` itself, which may
 * be O_PATH, where `name` is ""), neither following nor reading it: how it shows,
 * by its override (override.h) where these are in use. Blocks.
 */
int ovl_layer_look(const struct ovl_layer *layer, int dirfd, const char *name,
                   struct ovl_real *real);

/*
 * The same, at what is open as `fd` and had that generation when it was looked at
 * first: it still has, as a descriptor leads to one inode for as long as it is open.
 * 0: not known.
 */
int ovl_layer_look_again(const struct ovl_layer *layer, int fd,
                         uint64_t generation, struct ovl_real *real);

/* The same as ovl_layer_look, without a look at overrides. */
int ovl_layer_look_on_disk(const struct ovl_layer *layer, int dirfd,
                           const char *name, struct ovl_real *real);

/* The fileid of an inode born in this layer. */
uint64_t ovl_fileid(unsigned layer_number, uint64_t ino);
unsigned ovl_fileid_layer(uint64_t fileid);
uint64_t ovl_fileid_ino(uint64_t fileid);

/*
 * ovl_open_beneath with `flags` (O_RDONLY, O_DIRECTORY, O_PATH, O_NONBLOCK...);
 * in a lower layer with O_NOATIME where that is allowed, and never for writing.
 */
int ovl_layer_open(const struct ovl_layer *layer, int dirfd, const char *path,
                   int flags, bool cached);

/*
 * Call `fn` for each name of the open directory `dirfd` (which is read from its
 * start through a descriptor of its own), but "." and "..". `type` is DT_* of
 * <dirent.h>, never DT_UNKNOWN: where getdents does not say, the name is looked
 * at; a whiteout (a character device 0:0, or one by an attribute) is DT_WHT;
 * names with ".wh." are as any other. `ino` is getdents', which true_d_ino says
 * how far to trust, and of a mount point the inode below the mount. `fn` returns
 * 0, or -errno to stop, which is returned then. Blocks.
 */
typedef int ovl_layer_name_fn(void *arg, const char *name, size_t len,
                              uint64_t ino, uint8_t type);
int ovl_layer_list(const struct ovl_layer *layer, int dirfd,
                   ovl_layer_name_fn *fn, void *arg);

#endif
