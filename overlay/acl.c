#include "config.h"

#include "overlay/acl.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "overlay/fdcall.h"
#include "overlay/layer.h"

/* What most ACLs fit into. */
#define SMALL_SIZE 512

#define PERM_BITS 7u

static const char *const xattr_names[] = {
	[OVL_ACL_ACCESS] = "system.posix_acl_access",
	[OVL_ACL_DEFAULT] = "system.posix_acl_default",
};

/* ---- life of a value ----------------------------------------------------- */

static struct ovl_acl *acl_new(size_t n)
{
	struct ovl_acl *acl;

	acl = malloc(sizeof(*acl) + n * sizeof(acl->entries[0]));
	if (!acl)
		return NULL;
	atomic_init(&acl->refs, 1);
	acl->n = n;
	return acl;
}

struct ovl_acl *ovl_acl_ref(struct ovl_acl *acl)
{
	if (acl)
		atomic_fetch_add_explicit(&acl->refs, 1, memory_order_relaxed);
	return acl;
}

void ovl_acl_unref(struct ovl_acl *acl)
{
	if (acl &&
	    atomic_fetch_sub_explicit(&acl->refs, 1, memory_order_acq_rel) == 1)
		free(acl);
}

/* ---- the kernel's binary form -------------------------------------------- */

/* Tags grow in the order that entries must have. */
static bool makes_sense(const struct ovl_acl *acl)
{
	const unsigned many = ACL_USER | ACL_GROUP;
	const unsigned needed = ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER;
	const unsigned all = needed | many | ACL_MASK;
	unsigned seen = 0, last = 0;

	for (unsigned i = 0; i < acl->n; i++) {
		unsigned tag = acl->entries[i].tag;

		if (!(tag & all) || (tag & (tag - 1)) ||
		    acl->entries[i].perm & ~PERM_BITS)
			return false;
		if (tag < last || (tag == last && !(tag & many)))
			return false;
		seen |= last = tag;
	}
	return (seen & needed) == needed && (!(seen & many) || seen & ACL_MASK);
}

int ovl_acl_parse(const void *data, size_t size, struct ovl_acl **acl)
{
	const unsigned char *entries = (const unsigned char *)data +
	                               sizeof(struct posix_acl_xattr_header);
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry raw;
	struct ovl_acl *new;
	size_t n;

	if (size < sizeof(header) || size > XATTR_SIZE_MAX ||
	    (size - sizeof(header)) % sizeof(raw))
		return -EIO;
	memcpy(&header, data, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EIO;
	n = (size - sizeof(header)) / sizeof(raw);
	if (!n) {
		*acl = NULL;
		return 0;
	}
	new = acl_new(n);
	if (!new)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		memcpy(&raw, entries + i * sizeof(raw), sizeof(raw));
		new->entries[i] = (struct ovl_acl_entry){
			.tag = le16toh(raw.e_tag),
			.perm = le16toh(raw.e_perm),
			.id = le32toh(raw.e_id),
		};
	}
	if (!makes_sense(new)) {
		ovl_acl_unref(new);
		return -EIO;
	}
	*acl = new;
	return 0;
}

size_t ovl_acl_size(const struct ovl_acl *acl)
{
	return sizeof(struct posix_acl_xattr_header) +
	       acl->n * sizeof(struct posix_acl_xattr_entry);
}

void ovl_acl_encode(const struct ovl_acl *acl, void *data)
{
	struct posix_acl_xattr_header header = {
		.a_version = htole32(POSIX_ACL_XATTR_VERSION),
	};
	unsigned char *to = data;

	memcpy(to, &header, sizeof(header));
	to += sizeof(header);
	for (unsigned i = 0; i < acl->n; i++) {
		const struct ovl_acl_entry *entry = &acl->entries[i];
		bool named = entry->tag & (ACL_USER | ACL_GROUP);
		struct posix_acl_xattr_entry raw = {
			.e_tag = htole16(entry->tag),
			.e_perm = htole16(entry->perm),
			.e_id = htole32(named ? entry->id
			                      : (uint32_t)ACL_UNDEFINED_ID),
		};

		memcpy(to, &raw, sizeof(raw));
		to += sizeof(raw);
	}
}

/* ---- inheritance ---------------------------------------------------------- */

/* One of owner, group and others, without a mask: the mode says as much. */
static bool is_minimal(const struct ovl_acl *acl)
{
	return acl->n == 3;
}

/* Which bits of a mode the entry goes with: how far up they are; -1: none. */
static int mode_shift(const struct ovl_acl *acl,
                      const struct ovl_acl_entry *entry)
{
	switch (entry->tag) {
	case ACL_USER_OBJ:
		return 6;
	case ACL_GROUP_OBJ:
		return is_minimal(acl) ? 3 : -1;
	case ACL_MASK:
		return 3;
	case ACL_OTHER:
		return 0;
	default:
		return -1;
	}
}

int ovl_acl_inherit(const struct ovl_acl *inherited, uint32_t *mode,
                    struct ovl_acl **access)
{
	struct ovl_acl *new = acl_new(inherited->n);

	if (!new)
		return -ENOMEM;
	for (unsigned i = 0; i < inherited->n; i++) {
		struct ovl_acl_entry *entry = &new->entries[i];
		int shift = mode_shift(inherited, &inherited->entries[i]);

		*entry = inherited->entries[i];
		if (shift < 0)
			continue;
		entry->perm &= *mode >> shift;
		*mode &= ~(PERM_BITS << shift) | (uint32_t)entry->perm << shift;
	}
	if (is_minimal(new)) {
		ovl_acl_unref(new);
		new = NULL;
	}
	*access = new;
	return 0;
}

/* ---- with a file ---------------------------------------------------------- */

bool ovl_acl_supported(int fd)
{
	return fgetxattr(fd, xattr_names[OVL_ACL_ACCESS], NULL, 0) >= 0 ||
	       errno != EOPNOTSUPP;
}

static int load_big(int fd, const char *name, struct ovl_acl **acl)
{
	void *value = malloc(XATTR_SIZE_MAX);
	ssize_t len;
	int err;

	if (!value)
		return -ENOMEM;
	len = ovl_fd_get_xattr(fd, name, value, XATTR_SIZE_MAX);
	err = len < 0 ? (int)len : ovl_acl_parse(value, len, acl);
	free(value);
	return err;
}

int ovl_acl_load(const struct ovl_layer *layer, int fd, enum ovl_acl_kind kind,
                 struct ovl_acl **acl)
{
	char value[SMALL_SIZE];
	struct ovl_acl *read = NULL;
	ssize_t len;
	int err = 0;

	if (layer->has_acls) {
		len = ovl_fd_get_xattr(fd, xattr_names[kind], value,
		                       sizeof(value));
		if (len >= 0)
			err = ovl_acl_parse(value, len, &read);
		else if (len == -ERANGE)
			err = load_big(fd, xattr_names[kind], &read);
		else
			err = (int)len;
	}
	if (err && err != -ENODATA && err != -EOPNOTSUPP)
		return err;
	if (read && kind == OVL_ACL_ACCESS && is_minimal(read)) {
		ovl_acl_unref(read);
		read = NULL;
	}
	*acl = read;
	return 0;
}

int ovl_acl_store(const struct ovl_layer *layer, int fd, enum ovl_acl_kind kind,
                  const struct ovl_acl *acl)
{
	size_t size = ovl_acl_size(acl);
	void *value;
	int err;

	if (!layer->has_acls)
		return -EOPNOTSUPP;
	value = malloc(size);
	if (!value)
		return -ENOMEM;
	ovl_acl_encode(acl, value);
	err = ovl_fd_set_xattr(fd, xattr_names[kind], value, size);
	free(value);
	return err;
}
