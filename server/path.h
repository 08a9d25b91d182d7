/*
 * Absolute paths as users and clients write them, made comparable.
 */
#ifndef VENEER_SERVER_PATH_H
#define VENEER_SERVER_PATH_H

/*
 * Clean `path` in place: no "//", no ".", no "/" at the end (but of the root).
 * 0, or -EINVAL: it is not absolute, or has a "..", which could mean two things
 * where there are symlinks; then `path` is as it was.
 */
int nfsd_path_clean(char *path);

#endif
