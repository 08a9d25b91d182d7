/*
 * Who may do what: every permission decision of the overlay, and nothing else.
 *
 * Pure functions of a caller, of attributes (owner, group, mode) and of an access
 * ACL (NULL: none). The caller is judged as POSIX.1 says, by the first of owner,
 * group, others that fits; supplementary groups count; uid 0 may do everything,
 * but execute only what someone may execute. Each returns 0, -EACCES or -EPERM,
 * as the system call would. access(2)'s R_OK, W_OK, X_OK.
 *
 * With an ACL (acl(5)), of owner, a user named, groups, others: the mode's group
 * bits are the mask then, which bounds what users and groups named and the
 * owning group get. Any one of the groups that fit has to grant all that is
 * wanted. The permissions of the owner and of others, and the mask, are taken
 * from the mode, which agrees with the ACL: so an ACL known from before a chmod
 * does as well.
 */
#ifndef VENEER_OVERLAY_PERM_H
#define VENEER_OVERLAY_PERM_H

#include <stdbool.h>

#include "overlay/acl.h"
#include "overlay/attr.h"

/*
 * Whether an access ACL that the object may have can make a difference to this
 * caller. Where not, NULL will do.
 */
bool ovl_perm_needs_acl(const struct ovl_caller *caller,
                        const struct ovl_attr *attr);

/* The parts of `want` (R_OK | W_OK | X_OK) that are granted each by itself. */
int ovl_perm_granted(const struct ovl_caller *caller,
                     const struct ovl_attr *attr, const struct ovl_acl *acl,
                     int want);

/* 0 where all of `want` is granted together, else -EACCES. */
int ovl_perm_check(const struct ovl_caller *caller, const struct ovl_attr *attr,
                   const struct ovl_acl *acl, int want);

/*
 * Reading and writing a file's data by NFS, which has no open: the owner may,
 * whatever the mode says (it may have been open when the bit went), and who may
 * execute may read.
 */
int ovl_perm_read(const struct ovl_caller *caller, const struct ovl_attr *attr,
                  const struct ovl_acl *acl);
int ovl_perm_write(const struct ovl_caller *caller, const struct ovl_attr *attr,
                   const struct ovl_acl *acl);

/* Add a name to a directory: W_OK and X_OK. */
int ovl_perm_add(const struct ovl_caller *caller, const struct ovl_attr *dir,
                 const struct ovl_acl *acl);

/*
 * Take a name out of a directory, whose ACL this is: W_OK and X_OK (-EACCES); in a sticky one only
 * the owner of the directory or of `victim` may (-EPERM).
 */
int ovl_perm_remove(const struct ovl_caller *caller, const struct ovl_attr *dir,
                    const struct ovl_acl *acl, const struct ovl_attr *victim);

/*
 * chmod, chown, truncate and utimes, each judged by itself: the mode and times
 * given are the owner's to set (-EPERM), an owner root's, a group the owner's
 * who is in it (-EPERM); a size asks for ovl_perm_write, the time "now" for the
 * owner or W_OK (-EACCES). Whether the object is of a type that has a size is
 * the caller's question.
 *
 * On success `set` has been made what is really to be set: setgid taken out of a
 * mode whose caller is not in the file's (new) group; setuid and setgid cleared,
 * by adding a mode where need be, when the size is set, unless by root, and when
 * an owner or group is set, even to what it was and by root (as Linux does, but
 * for directories); no mode for a symlink, which has none. On failure `set` is
 * as before.
 */
int ovl_perm_setattr(const struct ovl_caller *caller,
                     const struct ovl_attr *attr, const struct ovl_acl *acl,
                     struct ovl_setattr *set);

/*
 * The whole mode, type included, that a file has after a write by this caller:
 * setuid goes, and setgid where the group may execute or the caller is not in
 * it, unless root writes (file_remove_privs() of Linux).
 */
uint32_t ovl_perm_mode_after_write(const struct ovl_caller *caller,
                                   const struct ovl_attr *attr);

/*
 * Owner, group and mode (without the type) of something new in `dir`: the
 * caller's; the directory's group where that has setgid, which new directories
 * inherit. setgid with group execution is taken out of the mode of a caller who
 * is not in that group.
 *
 * `set` may name a mode (default 0666, directories 0777: no umask, the client
 * has applied its own; what a default ACL takes of it is ovl_acl_inherit's
 * business), and an owner or group. One that is not the caller's to
 * give is ignored, as Linux's server does: clients of BSD's ways send the
 * directory's group with every creation, and squashed ones the owner root.
 */
void ovl_perm_create(const struct ovl_caller *caller,
                     const struct ovl_attr *dir, bool is_dir,
                     const struct ovl_setattr *set, uint32_t *uid,
                     uint32_t *gid, uint32_t *mode);

/* By the caller's own group or a supplementary one. */
bool ovl_perm_in_group(const struct ovl_caller *caller, uint32_t gid);

#endif
