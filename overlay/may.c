#include "config.h"

#include "overlay/may.h"

#include <errno.h>

#include <unistd.h>

#include "overlay/perm.h"
#include "overlay/refresh.h"

/* The ACL, to be unreferenced, where it can matter to this caller; else NULL. */
static int look_at_acl(struct ovl *fs, const struct ovl_caller *caller,
                       struct ovl_node *node, const struct ovl_attr *attr,
                       struct ovl_acl **acl)
{
	*acl = NULL;
	if (!ovl_perm_needs_acl(caller, attr))
		return 0;
	return ovl_node_acl(node, OVL_ACL_ACCESS, fs->cache, caller->may_wait,
	                    acl);
}

static int look(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, struct ovl_attr *attr,
                struct ovl_acl **acl)
{
	int err = ovl_node_attr(node, fs->cache, caller->may_wait, attr);

	return err ? err : look_at_acl(fs, caller, node, attr, acl);
}

int ovl_may_change(const struct ovl *fs, const struct ovl_caller *caller)
{
	return fs->read_only || caller->read_only ? -EROFS : 0;
}

int ovl_may_access(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *node, int want)
{
	struct ovl_attr attr;
	struct ovl_acl *acl;
	int err = look(fs, caller, node, &attr, &acl);

	if (err)
		return err;
	err = ovl_perm_check(caller, &attr, acl, want);
	ovl_acl_unref(acl);
	return err;
}

int ovl_may_which(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node, int want, int *granted)
{
	struct ovl_attr attr;
	struct ovl_acl *acl;
	int err = look(fs, caller, node, &attr, &acl);

	if (err)
		return err;
	*granted = ovl_perm_granted(caller, &attr, acl, want);
	if ((want & OVL_DELETE_OK) && node->dir &&
	    !ovl_perm_add(caller, &attr, acl))
		*granted |= OVL_DELETE_OK;
	ovl_acl_unref(acl);
	return 0;
}

int ovl_may_read(struct ovl *fs, const struct ovl_caller *caller,
                 struct ovl_node *node, struct ovl_attr *attr)
{
	struct ovl_acl *acl;
	int err = look(fs, caller, node, attr, &acl);

	if (err)
		return err;
	err = ovl_perm_read(caller, attr, acl);
	ovl_acl_unref(acl);
	return err;
}

int ovl_may_write(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node)
{
	struct ovl_attr attr;
	struct ovl_acl *acl;
	int err = look(fs, caller, node, &attr, &acl);

	if (err)
		return err;
	err = ovl_perm_write(caller, &attr, acl);
	ovl_acl_unref(acl);
	return err;
}

int ovl_may_add(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir)
{
	struct ovl_attr attr;
	struct ovl_acl *acl;
	int err = look(fs, caller, dir, &attr, &acl);

	if (err)
		return err;
	err = ovl_perm_add(caller, &attr, acl);
	ovl_acl_unref(acl);
	return err;
}

int ovl_may_remove(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *dir, struct ovl_node *victim)
{
	struct ovl_attr attr, victim_attr;
	struct ovl_acl *acl;
	int err;

	err = ovl_node_attr(victim, fs->cache, caller->may_wait, &victim_attr);
	if (!err)
		err = look(fs, caller, dir, &attr, &acl);
	if (err)
		return err;
	err = ovl_perm_remove(caller, &attr, acl, &victim_attr);
	ovl_acl_unref(acl);
	return err;
}

int ovl_may_setattr(struct ovl *fs, const struct ovl_caller *caller,
                    struct ovl_node *node, const struct ovl_attr *attr,
                    struct ovl_setattr *set)
{
	struct ovl_acl *acl;
	int err = look_at_acl(fs, caller, node, attr, &acl);

	if (err)
		return err;
	err = ovl_perm_setattr(caller, attr, acl, set);
	ovl_acl_unref(acl);
	return err;
}
