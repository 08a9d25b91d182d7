/*
 * An overlay: read-only lower layers and one writable upper, merged into one
 * tree. It knows no RPC and no NFS; what it is served through is not its
 * business.
 *
 * Two objects. A lower stack (struct ovl_stack, counted by reference) is the
 * merged view of the lower layers; it never changes. An overlay (struct ovl) is
 * one upper over a stack; any number of overlays share a stack, and with it
 * everything lower that is in memory.
 *
 * A node (struct ovl_node) is one object of the merged tree: a file, a
 * directory, a symlink... It is found by its identity (ovl_resolve) or by name
 * (ovl_lookup), and is counted: each function that hands one out gives the
 * caller a reference, to be dropped by ovl_node_unref.
 *
 * Threads: every function may be called from any thread. Where the caller does
 * not allow waiting (struct ovl_caller), a function that would have to wait for
 * a disk or for another thread returns -EAGAIN, having changed nothing; the
 * same call, waiting allowed, then does the work.
 *
 * Errors are negative errno values, with the meaning they have in POSIX.1 for
 * the system call of the same name, and besides:
 *   -EAGAIN        waiting is needed and not allowed
 *   -ESTALE        the object is gone
 *   -EINPROGRESS   still being looked for, or being copied up, which takes
 *                  long; ask again in a while
 * On failure out-parameters are untouched, but for struct ovl_change.
 */
#ifndef VENEER_OVERLAY_OVERLAY_H
#define VENEER_OVERLAY_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "overlay/attr.h"

struct ovl;
struct ovl_stack;
struct ovl_node;

/* ---- opening and closing -------------------------------------------- */

/* Levels as syslog(3) numbers them; one line, without a newline. */
typedef void ovl_log_fn(void *arg, int level, const char *line);

/* When what is cached is checked against the layers (virtiofsd's names). */
enum ovl_cache {
	OVL_CACHE_AUTO,   /* after a second */
	OVL_CACHE_ALWAYS, /* never: layers change through the server only */
	OVL_CACHE_NEVER,  /* at every call */
};

/* When a change is on stable storage (exports(5), overlayfs). */
enum ovl_sync {
	OVL_SYNC,     /* before its reply */
	OVL_ASYNC,    /* some time; what a crash leaves is consistent */
	OVL_VOLATILE, /* never asked for */
};

/* What becomes of a directory with a lower part that is renamed (overlayfs). */
enum ovl_redirect {
	OVL_REDIRECT_ON,       /* it is redirected */
	OVL_REDIRECT_FOLLOW,   /* it fails (-EXDEV); redirects are followed */
	OVL_REDIRECT_OFF,      /* the same */
	OVL_REDIRECT_NOFOLLOW, /* it fails, and so does what is redirected */
};

#define OVL_KEY_BYTES 16

struct ovl_config {
	/*
	 * An open overlay whose lower layers these are to be, too, with all that is
	 * in memory of them; NULL: it has its own. What both say of redirects and
	 * metacopies has to be the same. It may be closed before.
	 */
	const struct ovl *base;
	const char *const *lowerdirs; /* top first; of a base: none */
	size_t nlowerdirs;
	size_t ndatadirs;     /* the last of them, that have data alone */
	const char *upperdir; /* NULL: read-only */
	const char *workdir;  /* NULL where there is no upper */
	const char *statedir; /* NULL: WORKDIR/veneer */
	bool read_only;       /* even where there is an upper */
	/* The user. namespace, not trusted.: then owners, modes and devices live
	 * in overrides, too. What has none in the upper, and belongs to the user
	 * and group that the server runs as, shows these. */
	bool userxattr;
	bool has_host_uid, has_host_gid;
	uint32_t host_uid, host_gid;
	bool accept_changed_lower;
	enum ovl_redirect redirect_dir;
	bool metacopy; /* attributes are copied up alone, and such followed */
	enum ovl_cache cache;
	enum ovl_sync sync;
	unsigned max_entries; /* nodes in memory, of stack and overlay each */
	size_t max_memory;    /* bytes of what is cached of the layers, of stack
	                       * and overlay together; 0: no bound */
	unsigned max_files;   /* open descriptors of files and directories */
	/* Of the calls that copy up large files, and those that wait for such a
	 * copy, so many take their time; the others come again. 0: all do. */
	unsigned max_copies, max_waiting;
	ovl_log_fn *log; /* NULL: silent */
	void *log_arg;
};

/*
 * Open the layers, check them against each other and against the register of
 * the statedir, take the workdir's lock, clean the workdir.
 *
 * On failure `why` (of `size` bytes) holds one line that says what and where,
 * and nothing on disk has been touched. -ENOENT, -ENOTDIR, -EACCES: a layer;
 * -EINVAL: layers that overlap, upper and work on two filesystems, no layer at
 * all; -EBUSY: upper or work in use; -ESTALE: a lower layer is missing or
 * another than the register says, or has another number there than in the base's;
 * -ENOTSUP: a filesystem without what is needed.
 */
int ovl_open(const struct ovl_config *config, struct ovl **fs, char *why,
             size_t size);

/*
 * The end is near: copy-ups that take long are given up, and nobody waits for
 * them any more: -EINPROGRESS. All else goes on. For a caller who waits for the
 * calls that still run, before ovl_close.
 */
void ovl_wind_up(struct ovl *fs);

/* Flush, and let go of everything. No call may be running. NULL is fine. */
void ovl_close(struct ovl *fs);

/* The id of this export (random, kept in the statedir): 56 bits. */
uint64_t ovl_export_id(const struct ovl *fs);

/* The key for the MAC of handles, OVL_KEY_BYTES long, kept in the statedir. */
const unsigned char *ovl_handle_key(const struct ovl *fs);

bool ovl_read_only(const struct ovl *fs);

/*
 * When a call begins, for its struct ovl_caller: with cache=never it verifies each
 * directory once, with cache=auto it reads the clock for that once. With
 * cache=always 0: nobody asks for it.
 */
uint64_t ovl_begin(const struct ovl *fs);

/* ---- nodes ------------------------------------------------------------ */

/* The root directory, referenced. */
struct ovl_node *ovl_root(struct ovl *fs);

/*
 * The node of this identity. In memory it is found in constant time; else its
 * place is looked up, and at last the tree is walked. -ESTALE, -EAGAIN,
 * -EINPROGRESS (the walk goes on; up to a second has been waited).
 */
int ovl_resolve(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_id id, struct ovl_node **node);

/* Never changes while the object exists; the same after a restart. */
struct ovl_id ovl_node_id(const struct ovl_node *node);

/* S_IFMT part of the mode; never changes. */
mode_t ovl_node_type(const struct ovl_node *node);

struct ovl_node *ovl_node_ref(struct ovl_node *node);
void ovl_node_unref(struct ovl_node *node); /* NULL is fine */

/* ---- reading ------------------------------------------------------------ */

/*
 * Child of `dir` by that name; "." and ".." as well, the root's ".." being
 * itself. Search permission is asked for. -ENOENT, -ENOTDIR, -EACCES,
 * -ENAMETOOLONG (over 255 bytes), -EAGAIN.
 */
int ovl_lookup(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name, struct ovl_node **node);

int ovl_getattr(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, struct ovl_attr *attr);

/*
 * Of `want` (R_OK, W_OK, X_OK of access(2), OVL_DELETE_OK), the part that the
 * caller may do, in `granted`. On a read-only overlay W_OK is granted only for what
 * a write does not change: devices, FIFOs, sockets.
 */
#define OVL_DELETE_OK 8 /* remove names from this directory */
int ovl_access(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *node, int want, int *granted);

/* The target, not terminated: its length, or -errno (-EINVAL: no symlink). */
ssize_t ovl_readlink(struct ovl *fs, const struct ovl_caller *caller,
                     struct ovl_node *node, char *target, size_t size);

/*
 * Up to `count` bytes from `offset`; `*eof` says whether the file ends there.
 * The owner may read whatever the mode says, and so may who may execute.
 * -EISDIR, -EINVAL (no regular file), -EACCES, -EIO, -EAGAIN.
 */
ssize_t ovl_read(struct ovl *fs, const struct ovl_caller *caller,
                 struct ovl_node *node, void *data, size_t count,
                 uint64_t offset, bool *eof);

/* False: for this caller nothing can be read as below. */
bool ovl_may_splice(const struct ovl *fs, const struct ovl_caller *caller);

/*
 * The same into a pipe, by splice(2): no copy is made, and what is changed in the file
 * before the bytes are taken out of the pipe may show there. On an error, of which
 * -EOPNOTSUPP says that the file cannot be read so, or not by who may not wait, nothing
 * is in it.
 */
ssize_t ovl_read_to_pipe(struct ovl *fs, const struct ovl_caller *caller,
                         struct ovl_node *node, int pipe, size_t count,
                         uint64_t offset, bool *eof);

/* One name of a listing. */
struct ovl_dirent {
	const char *name; /* terminated; good during the callback only */
	size_t namelen;
	uint64_t fileid;
	uint64_t cookie; /* resumes after this name */
	bool same_hash;  /* as the entry before it: not to be parted from it */
	bool has_attr;   /* asked for, and at hand: attr and id are set */
	struct ovl_id id;
	struct ovl_attr attr;
};

/* Return false when this entry found no room: it was not taken. */
typedef bool ovl_fill_fn(void *arg, const struct ovl_dirent *entry);

/*
 * List `dir` from the first cookie greater than `cookie` (0: from the start),
 * "." and ".." first (cookies 1 and 2), until `fill` says no or the end is
 * reached, which `*eof` tells. Any cookie ever given out resumes after its
 * name, whatever has changed since. With `attrs`, entries carry attributes.
 * Names of one hash must not be split over two listings: where an entry with
 * `same_hash` finds no room, `fill` takes back those before it, up to and with
 * the last one without.
 * -ENOTDIR, -EACCES, -EAGAIN.
 */
int ovl_readdir(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, uint64_t cookie, bool attrs,
                ovl_fill_fn *fill, void *arg, bool *eof);

struct ovl_statfs {
	uint64_t total_bytes, free_bytes, avail_bytes;
	uint64_t total_files, free_files, avail_files;
};

/* Of the upper's filesystem; of the top lower's where there is no upper. */
int ovl_statfs(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_statfs *stat);

/* ---- changing ----------------------------------------------------------- */

/*
 * Every function below asks for permission as POSIX says, copies up what is
 * lower, and answers -EROFS on a read-only overlay. Names: -EEXIST, -ENOENT,
 * -ENOTDIR, -EISDIR, -ENAMETOOLONG, -EACCES, -EPERM; space: -ENOSPC, -EDQUOT,
 * -EFBIG, -EIO; then nothing has changed.
 *
 * struct ovl_change tells an object's attributes just before and just after the
 * change, with no other change of ours between but of a file's names: where there
 * was one, there is no `before` (RFC 1813, 2.6). What comes after, a flush, does
 * not count. It is filled as far as known, on failure too. It may be NULL.
 */

enum ovl_stable { OVL_UNSTABLE, OVL_DATA_SYNC, OVL_FILE_SYNC };

/*
 * Write `count` bytes at `offset`; the owner may, whatever the mode says.
 * Returns the count. Clears setuid and setgid where POSIX asks for it. Without a
 * `before` it tells no `after` either.
 */
ssize_t ovl_write(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node, const void *data, size_t count,
                  uint64_t offset, enum ovl_stable stable,
                  struct ovl_change *change);

/* Make earlier unstable writes stable; count 0: to the end of the file. */
int ovl_commit(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *node, uint64_t offset, uint64_t count,
               struct ovl_change *change);

/* Differs when unstable writes acknowledged before may have been lost. */
uint64_t ovl_write_verifier(struct ovl *fs);

/*
 * Set what `set` names; with a `guard` only where the ctime is this one, else
 * -EBADE. NULL: no guard.
 */
int ovl_setattr(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, const struct ovl_setattr *set,
                const struct timespec *guard, struct ovl_change *change);

/*
 * What is made new inherits the default ACL of its directory, where that has one:
 * an access ACL, which takes from the mode what it does not give, and a new
 * directory the default ACL too. No umask has a say.
 */
enum ovl_how { OVL_UNCHECKED, OVL_GUARDED, OVL_EXCLUSIVE };

/*
 * A regular file. UNCHECKED: an existing one is taken, and cut if `set` has a
 * size of 0. GUARDED: -EEXIST. EXCLUSIVE: `verifier` is kept with the file, and
 * an existing file of that verifier is taken; `set` is ignored, the mode is 0
 * until it is set.
 */
int ovl_create(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name, enum ovl_how how,
               const struct ovl_setattr *set, uint64_t verifier,
               struct ovl_node **node, struct ovl_change *change);

int ovl_mkdir(struct ovl *fs, const struct ovl_caller *caller,
              struct ovl_node *dir, const char *name,
              const struct ovl_setattr *set, struct ovl_node **node,
              struct ovl_change *change);

/* `target` is terminated, at most PATH_MAX - 1 bytes. */
int ovl_symlink(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir, const char *name, const char *target,
                const struct ovl_setattr *set, struct ovl_node **node,
                struct ovl_change *change);

/* `type`: S_IFCHR, S_IFBLK (root only), S_IFSOCK or S_IFIFO. */
int ovl_mknod(struct ovl *fs, const struct ovl_caller *caller,
              struct ovl_node *dir, const char *name, mode_t type, dev_t rdev,
              const struct ovl_setattr *set, struct ovl_node **node,
              struct ovl_change *change);

/* -EISDIR: a directory. */
int ovl_remove(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name,
               struct ovl_change *change);

int ovl_rmdir(struct ovl *fs, const struct ovl_caller *caller,
              struct ovl_node *dir, const char *name,
              struct ovl_change *change);

/*
 * -EXDEV: a directory with a lower part, and `redirect_dir` is not on, or its path
 * below is too long for an attribute. -EINVAL: into itself.
 */
int ovl_rename(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_node *from, const char *from_name,
               struct ovl_node *to, const char *to_name,
               struct ovl_change *from_change, struct ovl_change *to_change);

int ovl_link(struct ovl *fs, const struct ovl_caller *caller,
             struct ovl_node *node, struct ovl_node *dir, const char *name,
             struct ovl_change *change);

/* ---- looking in ---------------------------------------------------------- */

struct ovl_stats {
	uint64_t entries;     /* nodes and names in memory */
	uint64_t cache_bytes; /* of memory that these take */
	uint64_t places;      /* rows of where objects were last seen */
	uint64_t place_bytes; /* of memory that these take */
	uint64_t files;       /* descriptors open in the cache */
	uint64_t copyups;     /* objects copied up, ever */
	uint64_t copied_bytes;
	uint64_t walks;            /* of the whole tree for a handle */
	uint64_t flushes;          /* fsync, fdatasync, syncfs */
	uint64_t place_file_bytes; /* on disk that places take */
};

/* What is lower counts with the base alone, where there is one. */
void ovl_stats(struct ovl *fs, struct ovl_stats *stats);

#endif
