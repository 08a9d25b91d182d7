#include "config.h"

#include "overlay/may.h"

#include <unistd.h>

#include "overlay/perm.h"
#include "overlay/refresh.h"

static int look(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *node, struct ovl_attr *attr)
{
	return ovl_node_attr(node, fs->cache, caller->may_wait, attr);
}

int ovl_may_access(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *node, int want)
{
	struct ovl_attr attr;
	int err = look(fs, caller, node, &attr);

	return err ? err : ovl_perm_check(caller, &attr, want);
}

int ovl_may_which(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node, int want, int *granted)
{
	struct ovl_attr attr;
	int err = look(fs, caller, node, &attr);

	if (err)
		return err;
	*granted = ovl_perm_granted(caller, &attr, want & (R_OK | W_OK | X_OK));
	if ((want & OVL_DELETE_OK) && node->dir && !ovl_perm_add(caller, &attr))
		*granted |= OVL_DELETE_OK;
	return 0;
}

int ovl_may_read(struct ovl *fs, const struct ovl_caller *caller,
                 struct ovl_node *node, struct ovl_attr *attr)
{
	int err = look(fs, caller, node, attr);

	return err ? err : ovl_perm_read(caller, attr);
}

int ovl_may_write(struct ovl *fs, const struct ovl_caller *caller,
                  struct ovl_node *node)
{
	struct ovl_attr attr;
	int err = look(fs, caller, node, &attr);

	return err ? err : ovl_perm_write(caller, &attr);
}

int ovl_may_add(struct ovl *fs, const struct ovl_caller *caller,
                struct ovl_node *dir)
{
	struct ovl_attr attr;
	int err = look(fs, caller, dir, &attr);

	return err ? err : ovl_perm_add(caller, &attr);
}

int ovl_may_remove(struct ovl *fs, const struct ovl_caller *caller,
                   struct ovl_node *dir, struct ovl_node *victim)
{
	struct ovl_attr attr, victim_attr;
	int err = look(fs, caller, dir, &attr);

	if (!err)
		err = look(fs, caller, victim, &victim_attr);
	return err ? err : ovl_perm_remove(caller, &attr, &victim_attr);
}
