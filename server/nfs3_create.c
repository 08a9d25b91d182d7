#include "config.h"

#include "server/nfs3_request.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* "." and ".." are always there, whatever the directory. */
static int open_new(struct nfs3_request *request, const struct nfsd_fh *dir,
                    const struct nfsd_name *name)
{
	int err = nfs3_open(request, dir);

	if (err != 0)
		return err;
	if (name->error != 0)
		return name->error;
	return name->kind == NFSD_PLAIN ? 0 : -EEXIST;
}

/* The results of all four; takes the node. */
static int put_created(struct nfs3_request *request, struct ovl_node *node)
{
	nfs3_put_u32(request, TRUE);
	nfs3_put_handle(request, ovl_node_id(node));
	nfs3_put_attr(request, node);
	nfs3_put_wcc(request, 0);
	ovl_node_unref(node);
	return 0;
}

static const enum ovl_how hows[] = {
	[UNCHECKED] = OVL_UNCHECKED,
	[GUARDED] = OVL_GUARDED,
	[EXCLUSIVE] = OVL_EXCLUSIVE,
};

int nfs3_create(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct ovl_setattr set = { 0 };
	uint64_t verifier = 0;
	struct ovl_node *node;
	struct nfsd_name name;
	struct nfsd_fh dir;
	createhow3 how;
	int err;

	if (!nfsd_get_dirop(args, &dir, &name) || !xdr_createhow3(args, &how))
		return NFS3_GARBAGE;
	err = open_new(request, &dir, &name);
	if (err != 0)
		return err;
	if (how.mode == EXCLUSIVE) {
		memcpy(&verifier, how.createhow3_u.verf, sizeof(verifier));
		verifier = be64toh(verifier);
	} else {
		err = nfsd_sattr(&how.createhow3_u.obj_attributes, &set);
	}
	if (err == 0)
		err = ovl_create(request->fs, &request->caller,
		                 request->node[0], name.text, hows[how.mode],
		                 &set, verifier, &node, &request->change[0]);
	return err == 0 ? put_created(request, node) : err;
}

int nfs3_mkdir(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct ovl_setattr set;
	struct ovl_node *node;
	struct nfsd_name name;
	struct nfsd_fh dir;
	sattr3 sattr;
	int err;

	if (!nfsd_get_dirop(args, &dir, &name) || !xdr_sattr3(args, &sattr))
		return NFS3_GARBAGE;
	err = open_new(request, &dir, &name);
	if (err == 0)
		err = nfsd_sattr(&sattr, &set);
	if (err == 0)
		err = ovl_mkdir(request->fs, &request->caller, request->node[0],
		                name.text, &set, &node, &request->change[0]);
	return err == 0 ? put_created(request, node) : err;
}

int nfs3_symlink(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct nfsd_target target;
	struct ovl_setattr set;
	struct ovl_node *node;
	struct nfsd_name name;
	struct nfsd_fh dir;
	sattr3 sattr;
	int err;

	if (!nfsd_get_dirop(args, &dir, &name) || !xdr_sattr3(args, &sattr) ||
	    !nfsd_get_target(args, &target))
		return NFS3_GARBAGE;
	err = open_new(request, &dir, &name);
	if (err == 0)
		err = target.error;
	if (err == 0)
		err = nfsd_sattr(&sattr, &set);
	if (err == 0)
		err = ovl_symlink(request->fs, &request->caller,
		                  request->node[0], name.text, target.text,
		                  &set, &node, &request->change[0]);
	return err == 0 ? put_created(request, node) : err;
}

/* What MKNOD is to make. */
struct special {
	mode_t type; /* 0: nothing that MKNOD makes */
	dev_t rdev;
	const sattr3 *sattr;
};

static struct special special(const mknoddata3 *what)
{
	const devicedata3 *device = &what->mknoddata3_u.device;
	struct special special = {
		.sattr = &what->mknoddata3_u.pipe_attributes,
	};

	switch (what->type) {
	case NF3CHR:
	case NF3BLK:
		special.type = what->type == NF3CHR ? S_IFCHR : S_IFBLK;
		special.rdev =
			makedev(device->spec.specdata1, device->spec.specdata2);
		special.sattr = &device->dev_attributes;
		break;
	case NF3SOCK:
		special.type = S_IFSOCK;
		break;
	case NF3FIFO:
		special.type = S_IFIFO;
		break;
	default:
		break;
	}
	return special;
}

int nfs3_mknod(struct nfs3_request *request)
{
	XDR *args = &request->call->args;
	struct ovl_setattr set;
	struct special make;
	struct ovl_node *node;
	struct nfsd_name name;
	struct nfsd_fh dir;
	mknoddata3 what;
	int err;

	if (!nfsd_get_dirop(args, &dir, &name) || !xdr_mknoddata3(args, &what))
		return NFS3_GARBAGE;
	make = special(&what);
	err = open_new(request, &dir, &name);
	if (err != 0)
		return err;
	if (make.type == 0)
		return -EMEDIUMTYPE;
	err = nfsd_sattr(make.sattr, &set);
	if (err == 0)
		err = ovl_mknod(request->fs, &request->caller, request->node[0],
		                name.text, make.type, make.rdev, &set, &node,
		                &request->change[0]);
	return err == 0 ? put_created(request, node) : err;
}
