/*
 * The work directory: WORK/veneer, on the upper's filesystem, where objects are
 * made before they are renamed into place, and where what was half-made at a
 * crash is found and removed at the next start.
 *
 *   WORK/veneer/lock    flock(2)ed while a server runs
 *   WORK/veneer/tmp/    objects in the making: emptied at start
 *   WORK/veneer/index/  hard links that were copied up (see index.h)
 *   WORK/veneer/standins/  what symlinks cannot carry (see standin.h)
 *
 * Nothing outside WORK/veneer is touched. Thread-safe once open.
 */
#ifndef VENEER_OVERLAY_WORKDIR_H
#define VENEER_OVERLAY_WORKDIR_H

#include <stddef.h>
#include <stdint.h>

struct ovl_workdir;

/*
 * Make what is missing, take the lock, empty tmp/. -EBUSY: another server holds
 * it; -EXDEV: not on the filesystem of `upper` (a descriptor of its root), or
 * reached through another mount, or WORK/veneer is a mount; -ELOOP: WORK/veneer
 * is a symlink; -ENOENT, -ENOTDIR, -EACCES, -EROFS. Before the checks have
 * passed nothing is made, and before the lock is held nothing is removed.
 */
int ovl_workdir_open(const char *path, int upper, struct ovl_workdir **workdir);
void ovl_workdir_close(struct ovl_workdir *workdir); /* NULL is fine */

/* WORK/veneer, and WORK/veneer/tmp: borrowed descriptors. */
int ovl_workdir_fd(const struct ovl_workdir *workdir);
int ovl_workdir_tmp(const struct ovl_workdir *workdir);

/* WORK/veneer/lock, open for writing; it is empty, and its times mean nothing. */
int ovl_workdir_marker(const struct ovl_workdir *workdir);

/* A name for tmp/ that nobody else has, for the life of this server. */
#define OVL_TMPNAME_SIZE 24
void ovl_workdir_name(struct ovl_workdir *workdir, char name[OVL_TMPNAME_SIZE]);

/*
 * Remove `name` from tmp/, with all that is in it, however deep; nothing is
 * followed and no mount is entered (-EXDEV, -EBUSY). 0, also where it is not
 * there, or -errno.
 */
int ovl_workdir_discard(const struct ovl_workdir *workdir, const char *name);

#endif
