/*
 * The overlay's own extended attributes: the kernel's (as its documentation of
 * overlayfs gives them) and veneer's, in the `trusted.` namespace, or `user.`
 * with userxattr. Attributes of what is open by O_PATH, symlinks too, are
 * reached through /proc/self/fd. All functions block; `fd` may be O_PATH.
 */
#ifndef VENEER_OVERLAY_XATTR_H
#define VENEER_OVERLAY_XATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "overlay/attr.h"
#include "overlay/layer.h"

/* After "trusted." or "user.". */
#define OVL_XATTR_OPAQUE "overlay.opaque"
#define OVL_XATTR_REDIRECT "overlay.redirect"
#define OVL_XATTR_METACOPY "overlay.metacopy"
#define OVL_XATTR_WHITEOUT "overlay.whiteout"
#define OVL_XATTR_LINKS "overlay.veneer.links" /* links.h */
#define OVL_XATTR_ORIGIN "overlay.veneer.origin"
#define OVL_XATTR_OVERRIDE "overlay.veneer.override"
#define OVL_XATTR_VERIFIER "overlay.veneer.verifier"

/*
 * Raw access, by the name after the namespace. The length or -errno: -ENODATA
 * (none), -ERANGE (over `size`). -EOPNOTSUPP and, for user.* of what is no file
 * or directory, or closed by its mode, -EPERM and -EACCES count as -ENODATA when
 * reading.
 */
ssize_t ovl_xattr_get(const struct ovl_layer *layer, int fd, const char *name,
                      void *value, size_t size);
int ovl_xattr_set(const struct ovl_layer *layer, int fd, const char *name,
                  const void *value, size_t size);

/*
 * The same of an object that looks like `real`, of any type: what can carry no
 * attribute of the user. namespace has a stand-in (standin.h) in an upper, and
 * none in a lower layer.
 */
ssize_t ovl_xattr_get_for(const struct ovl_layer *layer, int fd,
                          const struct ovl_real *real, const char *name,
                          void *value, size_t size);
int ovl_xattr_set_for(const struct ovl_layer *layer, int fd,
                      const struct ovl_real *real, const char *name,
                      const void *value, size_t size);

/* 0 or -errno; -ENODATA: there was none. */
int ovl_xattr_remove(const struct ovl_layer *layer, int fd, const char *name);

/* Whether a full attribute name is an overlay's own: never copied up. */
bool ovl_xattr_private(const char *full_name);

/* The directory hides what is below it ("y"). 1, 0 or -errno. */
int ovl_xattr_is_opaque(const struct ovl_layer *layer, int fd);
int ovl_xattr_set_opaque(const struct ovl_layer *layer, int fd);

/*
 * Where in the layers below an object goes on: "/..." from their roots, or a name
 * in the same directory. get: 1 (a sound one is in `redirect`), 0 (none) or
 * -errno: -EIO, one that makes no sense. set: -EXDEV where the filesystem cannot
 * keep one so long, or -errno.
 */
#define OVL_REDIRECT_SIZE 4096
int ovl_xattr_get_redirect(const struct ovl_layer *layer, int fd,
                           char redirect[OVL_REDIRECT_SIZE]);
int ovl_xattr_set_redirect(const struct ovl_layer *layer, int fd,
                           const char *redirect);

/*
 * Whether a file has its attributes alone, its data being in a layer below: 1, 0
 * or -errno. Of `name` in the open directory `dirfd`, or of `fd` itself.
 */
int ovl_xattr_is_metacopy(const struct ovl_layer *layer, int fd);
int ovl_xattr_is_metacopy_at(const struct ovl_layer *layer, int dirfd,
                             const char *name);
int ovl_xattr_set_metacopy(const struct ovl_layer *layer, int fd);

/*
 * Whiteouts of another form (Linux 6.7): the directory is marked ("x") as one
 * that may hold such, but merges as any other; an empty regular file in it that
 * has the attribute is one. 1, 0 or -errno. set: an opaque one stays as it is.
 */
int ovl_xattr_may_hold_whiteouts(const struct ovl_layer *layer, int dirfd);
int ovl_xattr_is_whiteout(const struct ovl_layer *layer, int dirfd,
                          const char *name);
int ovl_xattr_set_whiteouts(const struct ovl_layer *layer, int fd);

/*
 * Where an object was born, and the upper's own inode and generation, so that a
 * copy of the file with its attributes is not mistaken for it. get: 0; -ENODATA
 * where there is none, or one that is another inode's, or that makes no sense;
 * -errno. set: 0 or -errno.
 */
int ovl_xattr_get_origin(const struct ovl_layer *layer, int fd,
                         const struct ovl_real *self, struct ovl_id *origin);
/* Whether it has one, whatever that says. 1, 0 or -errno. */
int ovl_xattr_has_origin_at(const struct ovl_layer *layer, int dirfd,
                            const char *name);
int ovl_xattr_set_origin(const struct ovl_layer *layer, int fd,
                         const struct ovl_real *self, struct ovl_id origin);

#endif
