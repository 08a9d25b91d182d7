/*
 * Flushing what is open, as surely as the kernel lets.
 */
#ifndef VENEER_OVERLAY_SYNC_H
#define VENEER_OVERLAY_SYNC_H

/* fdatasync, fsync, syncfs. */
enum ovl_sync_what { OVL_SYNC_DATA, OVL_SYNC_FILE, OVL_SYNC_ALL };

/* 0 or -errno. Blocks. */
int ovl_sync_fd(int fd, enum ovl_sync_what what);

#endif
