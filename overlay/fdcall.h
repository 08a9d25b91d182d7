/*
 * Attributes of what is open, by a descriptor of any kind. The system calls for
 * that refuse an O_PATH one, which is reached through /proc/self/fd instead, at
 * several times the cost.
 */
#ifndef VENEER_OVERLAY_FDCALL_H
#define VENEER_OVERLAY_FDCALL_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* A path that leads to what is open as `fd`, whatever its name. */
#define OVL_FD_PATH_SIZE 32
void ovl_fd_path(int fd, char path[OVL_FD_PATH_SIZE]);

/* As fchmod(2) and futimens(3): 0 or -errno. */
int ovl_fd_chmod(int fd, mode_t mode);
int ovl_fd_utimens(int fd, const struct timespec times[2]);

/* As fgetxattr(2) and its kin, with full names: a length, 0 or -errno. */
ssize_t ovl_fd_get_xattr(int fd, const char *name, void *value, size_t size);
ssize_t ovl_fd_list_xattrs(int fd, char *names, size_t size);
int ovl_fd_set_xattr(int fd, const char *name, const void *value, size_t size);
int ovl_fd_remove_xattr(int fd, const char *name);

#endif
