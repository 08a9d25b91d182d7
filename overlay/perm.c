#include "config.h"

#include "overlay/perm.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE_BITS 07777
#define ANY_EXEC (S_IXUSR | S_IXGRP | S_IXOTH)

_Static_assert(R_OK == 4 && W_OK == 2 && X_OK == 1,
               "access(2)'s bits are those of a mode");

static bool is_root(const struct ovl_caller *caller)
{
	return caller->uid == 0;
}

static bool is_owner(const struct ovl_caller *caller,
                     const struct ovl_attr *attr)
{
	return caller->uid == attr->uid;
}

bool ovl_perm_in_group(const struct ovl_caller *caller, uint32_t gid)
{
	unsigned i;

	if (caller->gid == gid)
		return true;
	for (i = 0; i < caller->ngroups; i++) {
		if (caller->groups[i] == gid)
			return true;
	}
	return false;
}

/* ---- access -------------------------------------------------------------- */

/*
 * Linux looks at no ACL whose mask is empty: who is named in it is then one of
 * the others, unless he is in the owning group. So do we.
 */
bool ovl_perm_needs_acl(const struct ovl_caller *caller,
                        const struct ovl_attr *attr)
{
	return !is_root(caller) && !is_owner(caller, attr) &&
	       attr->mode & S_IRWXG && !S_ISLNK(attr->mode);
}

static bool has(uint32_t bits, uint32_t want)
{
	return (bits & want) == want;
}

static bool fits_group(const struct ovl_acl_entry *entry,
                       const struct ovl_caller *caller,
                       const struct ovl_attr *attr)
{
	if (entry->tag == ACL_GROUP_OBJ)
		return ovl_perm_in_group(caller, attr->gid);
	return entry->id != (uint32_t)ACL_UNDEFINED_ID &&
	       ovl_perm_in_group(caller, entry->id);
}

/* The caller is not the owner. */
static bool acl_grants(const struct ovl_caller *caller,
                       const struct ovl_attr *attr, const struct ovl_acl *acl,
                       uint32_t want)
{
	uint32_t mask = attr->mode >> 3;
	bool member = false;

	for (unsigned i = 0; i < acl->n; i++) {
		const struct ovl_acl_entry *entry = &acl->entries[i];

		if (entry->tag == ACL_USER && entry->id == caller->uid &&
		    entry->id != (uint32_t)ACL_UNDEFINED_ID)
			return has(entry->perm & mask, want);
		if (entry->tag == ACL_GROUP_OBJ || entry->tag == ACL_GROUP) {
			if (!fits_group(entry, caller, attr))
				continue;
			member = true;
			if (has(entry->perm, want))
				return has(mask, want);
		}
	}
	return !member && has(attr->mode, want);
}

static bool grants(const struct ovl_caller *caller, const struct ovl_attr *attr,
                   const struct ovl_acl *acl, uint32_t want)
{
	if (is_root(caller))
		return !(want & X_OK) || S_ISDIR(attr->mode) ||
		       attr->mode & ANY_EXEC;
	if (is_owner(caller, attr))
		return has(attr->mode >> 6, want);
	if (acl && ovl_perm_needs_acl(caller, attr))
		return acl_grants(caller, attr, acl, want);
	if (ovl_perm_in_group(caller, attr->gid))
		return has(attr->mode >> 3, want);
	return has(attr->mode, want);
}

int ovl_perm_granted(const struct ovl_caller *caller,
                     const struct ovl_attr *attr, const struct ovl_acl *acl,
                     int want)
{
	int granted = 0;

	for (int bit = X_OK; bit <= R_OK; bit <<= 1) {
		if (want & bit && grants(caller, attr, acl, bit))
			granted |= bit;
	}
	return granted;
}

int ovl_perm_check(const struct ovl_caller *caller, const struct ovl_attr *attr,
                   const struct ovl_acl *acl, int want)
{
	return grants(caller, attr, acl, want) ? 0 : -EACCES;
}

int ovl_perm_read(const struct ovl_caller *caller, const struct ovl_attr *attr,
                  const struct ovl_acl *acl)
{
	if (is_owner(caller, attr) ||
	    ovl_perm_granted(caller, attr, acl, R_OK | X_OK))
		return 0;
	return -EACCES;
}

int ovl_perm_write(const struct ovl_caller *caller, const struct ovl_attr *attr,
                   const struct ovl_acl *acl)
{
	if (is_owner(caller, attr))
		return 0;
	return ovl_perm_check(caller, attr, acl, W_OK);
}

int ovl_perm_add(const struct ovl_caller *caller, const struct ovl_attr *dir,
                 const struct ovl_acl *acl)
{
	return ovl_perm_check(caller, dir, acl, W_OK | X_OK);
}

int ovl_perm_remove(const struct ovl_caller *caller, const struct ovl_attr *dir,
                    const struct ovl_acl *acl, const struct ovl_attr *victim)
{
	int ret = ovl_perm_check(caller, dir, acl, W_OK | X_OK);

	if (ret < 0)
		return ret;
	if (dir->mode & S_ISVTX && !is_root(caller) && !is_owner(caller, dir) &&
	    !is_owner(caller, victim))
		return -EPERM;
	return 0;
}

/* ---- setuid and setgid --------------------------------------------------- */

/* May set setgid on, or keep it on, what is of this group. */
static bool may_setgid(const struct ovl_caller *caller, uint32_t gid)
{
	return is_root(caller) || ovl_perm_in_group(caller, gid);
}

/*
 * The bits that a change of data or owner by this caller takes away. setgid
 * without group execution once meant mandatory locking: Linux leaves it to those
 * who could set it.
 */
static uint32_t privilege_bits(const struct ovl_caller *caller,
                               const struct ovl_attr *attr)
{
	uint32_t bits = attr->mode & S_ISUID;

	if (attr->mode & S_IXGRP || !may_setgid(caller, attr->gid))
		bits |= attr->mode & S_ISGID;
	return bits;
}

uint32_t ovl_perm_mode_after_write(const struct ovl_caller *caller,
                                   const struct ovl_attr *attr)
{
	if (is_root(caller) || !S_ISREG(attr->mode))
		return attr->mode;
	return attr->mode & ~privilege_bits(caller, attr);
}

/* The mode after a change of owner or group: root's clears the bits as well. */
static uint32_t mode_after_chown(const struct ovl_caller *caller,
                                 const struct ovl_attr *attr)
{
	if (S_ISDIR(attr->mode))
		return attr->mode;
	return attr->mode & ~privilege_bits(caller, attr);
}

/* ---- changing attributes ------------------------------------------------- */

/* chown(2): an owner is root's to give, a group its members' who own the file. */
static int check_owner(const struct ovl_caller *caller,
                       const struct ovl_attr *attr,
                       const struct ovl_setattr *set)
{
	if (is_root(caller))
		return 0;
	if (set->has_uid && (!is_owner(caller, attr) || set->uid != attr->uid))
		return -EPERM;
	if (set->has_gid &&
	    (!is_owner(caller, attr) ||
	     (set->gid != attr->gid && !ovl_perm_in_group(caller, set->gid))))
		return -EPERM;
	return 0;
}

static int check_mode(const struct ovl_caller *caller,
                      const struct ovl_attr *attr,
                      const struct ovl_setattr *set)
{
	if (set->has_mode && !is_root(caller) && !is_owner(caller, attr))
		return -EPERM;
	return 0;
}

/*
 * utimensat(2), but each time by itself: an NFS client that truncates sends a
 * size and "now" for the mtime alone.
 */
static int check_times(const struct ovl_caller *caller,
                       const struct ovl_attr *attr, const struct ovl_acl *acl,
                       const struct ovl_setattr *set)
{
	if (is_root(caller) || is_owner(caller, attr))
		return 0;
	if (set->set_atime == OVL_TIME_GIVEN ||
	    set->set_mtime == OVL_TIME_GIVEN)
		return -EPERM;
	if (set->set_atime == OVL_TIME_NOW || set->set_mtime == OVL_TIME_NOW)
		return ovl_perm_check(caller, attr, acl, W_OK);
	return 0;
}

/*
 * The mode that a change allowed ends with. A mode given stands after a
 * truncation that comes with it, as if it had been set next; with an owner or
 * group it gives no setuid and no executable setgid, as Linux's server has it.
 */
static uint32_t final_mode(const struct ovl_caller *caller,
                           const struct ovl_attr *attr,
                           const struct ovl_setattr *set)
{
	uint32_t mode = attr->mode;
	bool owned = (set->has_uid || set->has_gid) && !S_ISDIR(attr->mode);

	if (set->has_mode) {
		mode = set->mode;
		if (owned)
			mode &= ~S_ISUID;
		if (owned && mode & S_IXGRP)
			mode &= ~S_ISGID;
		if (!may_setgid(caller, set->has_gid ? set->gid : attr->gid))
			mode &= ~S_ISGID;
		return mode & MODE_BITS;
	}
	if (set->has_size)
		mode &= ovl_perm_mode_after_write(caller, attr);
	if (owned)
		mode &= mode_after_chown(caller, attr);
	return mode & MODE_BITS;
}

int ovl_perm_setattr(const struct ovl_caller *caller,
                     const struct ovl_attr *attr, const struct ovl_acl *acl,
                     struct ovl_setattr *set)
{
	int ret;

	if (set->has_size) {
		ret = ovl_perm_write(caller, attr, acl);
		if (ret < 0)
			return ret;
	}
	ret = check_owner(caller, attr, set);
	if (ret < 0)
		return ret;
	ret = check_mode(caller, attr, set);
	if (ret < 0)
		return ret;
	ret = check_times(caller, attr, acl, set);
	if (ret < 0)
		return ret;

	set->mode = final_mode(caller, attr, set);
	set->has_mode = set->has_mode || set->mode != (attr->mode & MODE_BITS);
	if (S_ISLNK(attr->mode))
		set->has_mode = false;
	return 0;
}

/* ---- new objects --------------------------------------------------------- */

void ovl_perm_create(const struct ovl_caller *caller,
                     const struct ovl_attr *dir, bool is_dir,
                     const struct ovl_setattr *set, uint32_t *uid,
                     uint32_t *gid, uint32_t *mode)
{
	bool inherits = dir->mode & S_ISGID;

	*uid = caller->uid;
	if (set->has_uid && is_root(caller))
		*uid = set->uid;

	*gid = inherits ? dir->gid : caller->gid;
	if (set->has_gid && may_setgid(caller, set->gid))
		*gid = set->gid;

	*mode = is_dir ? 0777 : 0666;
	if (set->has_mode)
		*mode = set->mode & MODE_BITS;
	if (*mode & S_IXGRP && !may_setgid(caller, *gid))
		*mode &= ~S_ISGID;
	if (is_dir && inherits)
		*mode |= S_ISGID;
}
