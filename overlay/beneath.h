/*
 * Opening below a directory, strictly: no symlink followed, no mount crossed,
 * no way up. By openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_XDEV; where the kernel has no openat2 (ENOSYS, or a seccomp filter
 * that says EPERM to it), component by component with O_NOFOLLOW, as strict.
 *
 * Thread-safe. No state but whether openat2 is there, found out once.
 */
#ifndef VENEER_OVERLAY_BENEATH_H
#define VENEER_OVERLAY_BENEATH_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Open `path` (relative, any length: longer ones than PATH_MAX are taken in
 * steps; "" or "." is `dirfd` itself, opened anew) below `dirfd`, which may be
 * O_PATH. O_CLOEXEC and O_NOFOLLOW are added; O_PATH opens a symlink itself;
 * `mode` counts with O_CREAT only. `cached`: only what needs no disk
 * (RESOLVE_CACHED), else -EAGAIN; the fallback always says -EAGAIN then.
 *
 * A descriptor or -errno: -ELOOP (a symlink on the way, or at its end without
 * O_PATH; -ENOTDIR there with O_DIRECTORY), -EXDEV (a mount on the way or at the
 * end, an absolute path, a ".." anywhere), -ENOENT, -ENOTDIR, -EACCES, ...
 */
int ovl_open_beneath(int dirfd, const char *path, int flags, mode_t mode,
                     bool cached);

/* For tests: act as if the kernel had no openat2. */
void ovl_beneath_force_fallback(bool force);

#endif
