/*
 * POSIX ACLs, as acl(5) describes them: values, what a new object inherits, and
 * how they are kept with a file. What they grant is decided in perm.h.
 *
 * A value never changes once it is made, and is counted by reference: any thread
 * may read one that it holds. NULL is no ACL, everywhere.
 */
#ifndef VENEER_OVERLAY_ACL_H
#define VENEER_OVERLAY_ACL_H

#include <linux/posix_acl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ovl_layer;

struct ovl_acl_entry {
	uint16_t tag;  /* ACL_USER_OBJ ... of <linux/posix_acl.h> */
	uint16_t perm; /* R_OK | W_OK | X_OK */
	uint32_t id;   /* of USER and GROUP; ACL_UNDEFINED_ID is nobody's */
};

/*
 * Sorted by tag: one USER_OBJ, GROUP_OBJ and OTHER each, any number of USER and
 * GROUP, and a MASK, without which there are none of these two.
 */
struct ovl_acl {
	atomic_uint refs;
	unsigned n;
	struct ovl_acl_entry entries[];
};

struct ovl_acl *ovl_acl_ref(struct ovl_acl *acl);
void ovl_acl_unref(struct ovl_acl *acl);

/* ---- the kernel's binary form --------------------------------------------- */

/*
 * The value of the extended attribute, in `*acl`: NULL where it has no entries.
 * Nothing in it is believed. 0, -EIO (it makes no sense), -ENOMEM.
 */
int ovl_acl_parse(const void *data, size_t size, struct ovl_acl **acl);

/* How many bytes ovl_acl_encode writes. */
size_t ovl_acl_size(const struct ovl_acl *acl);
void ovl_acl_encode(const struct ovl_acl *acl, void *data);

/* ---- inheritance ----------------------------------------------------------- */

/*
 * What something new gets of the default ACL of its directory: `*mode` loses the
 * permissions that neither it nor the ACL gives, and `*access` gets the access
 * ACL, or NULL where the mode says as much. No umask has a say. 0 or -ENOMEM,
 * then nothing has changed.
 */
int ovl_acl_inherit(const struct ovl_acl *inherited, uint32_t *mode,
                    struct ovl_acl **access);

/* ---- with a file ----------------------------------------------------------- */

enum ovl_acl_kind { OVL_ACL_ACCESS, OVL_ACL_DEFAULT };

/* Whether the filesystem of the directory open as `fd` keeps any. */
bool ovl_acl_supported(int fd);

/*
 * The ACL that a client sees of what is open as `fd` (O_PATH will do). An access
 * ACL that says no more than the mode counts as none, as does any where the
 * filesystem has none. 0, -EIO, -ENOMEM, -errno. Blocks.
 */
int ovl_acl_load(const struct ovl_layer *layer, int fd, enum ovl_acl_kind kind,
                 struct ovl_acl **acl);

/*
 * Give it one; an access ACL sets the permissions of the mode, too, and may take
 * setgid away. 0, -EOPNOTSUPP, -EPERM, -ENOSPC, ...
 */
int ovl_acl_store(const struct ovl_layer *layer, int fd, enum ovl_acl_kind kind,
                  const struct ovl_acl *acl);

#endif
