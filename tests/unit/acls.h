/*
 * POSIX ACLs for tests: made at random or by hand, in the kernel's binary form,
 * and set by extended attributes, so that no tool is needed.
 */
#ifndef VENEER_TESTS_UNIT_ACLS_H
#define VENEER_TESTS_UNIT_ACLS_H

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "overlay/acl.h"
#include "tests/unit/seed.h"

#define ACLS_ACCESS "system.posix_acl_access"
#define ACLS_DEFAULT "system.posix_acl_default"

#define ACLS_MAX 10
#define ACLS_SIZE (4 + 8 * ACLS_MAX)

/* Entries in any order, with or without sense. */
struct acls {
	unsigned n;
	struct ovl_acl_entry entries[ACLS_MAX];
};

static inline void acls_add(struct acls *acls, uint16_t tag, uint32_t id,
                            uint16_t perm)
{
	acls->entries[acls->n++] = (struct ovl_acl_entry){ tag, perm, id };
}

/* Owner, group and others, as in a mode, and one user, with the mask rwx. */
static inline struct acls acls_with_user(uint32_t mode, uint32_t uid,
                                         uint16_t perm)
{
	struct acls acls = { .n = 0 };

	acls_add(&acls, ACL_USER_OBJ, -1, mode >> 6 & 7);
	acls_add(&acls, ACL_USER, uid, perm);
	acls_add(&acls, ACL_GROUP_OBJ, -1, mode >> 3 & 7);
	acls_add(&acls, ACL_MASK, -1, 7);
	acls_add(&acls, ACL_OTHER, -1, mode & 7);
	return acls;
}

/* One that makes sense, of users and groups 1001 to 1003. */
static inline struct acls acls_random(uint64_t *state)
{
	struct acls acls = { .n = 0 };
	unsigned users = test_random(state) % 4,
		 groups = test_random(state) % 4;

	acls_add(&acls, ACL_USER_OBJ, -1, test_random(state) % 8);
	for (unsigned i = 0; i < users; i++)
		acls_add(&acls, ACL_USER, 1001 + i, test_random(state) % 8);
	acls_add(&acls, ACL_GROUP_OBJ, -1, test_random(state) % 8);
	for (unsigned i = 0; i < groups; i++)
		acls_add(&acls, ACL_GROUP, 1001 + i, test_random(state) % 8);
	if (users || groups || test_random(state) % 2)
		acls_add(&acls, ACL_MASK, -1, test_random(state) % 8);
	acls_add(&acls, ACL_OTHER, -1, test_random(state) % 8);
	return acls;
}

static inline size_t acls_encode(const struct acls *acls,
                                 unsigned char bytes[ACLS_SIZE])
{
	unsigned char *to = bytes;

	memcpy(to, "\2\0\0\0", 4);
	to += 4;
	for (unsigned i = 0; i < acls->n; i++, to += 8) {
		const struct ovl_acl_entry *entry = &acls->entries[i];

		for (unsigned j = 0; j < 2; j++) {
			to[j] = entry->tag >> 8 * j;
			to[2 + j] = entry->perm >> 8 * j;
		}
		for (unsigned j = 0; j < 4; j++)
			to[4 + j] = entry->id >> 8 * j;
	}
	return to - bytes;
}

/* 0 or -errno. */
static inline int acls_set(const char *path, const char *kind,
                           const struct acls *acls)
{
	unsigned char bytes[ACLS_SIZE];
	size_t size = acls_encode(acls, bytes);

	return setxattr(path, kind, bytes, size, 0) < 0 ? -errno : 0;
}

/* Whether both have the same, or none. */
static inline bool acls_same(const char *path, const char *other,
                             const char *kind)
{
	unsigned char a[ACLS_SIZE] = { 0 }, b[ACLS_SIZE] = { 0 };
	ssize_t n = getxattr(path, kind, a, sizeof(a));

	return getxattr(other, kind, b, sizeof(b)) == n &&
	       !memcmp(a, b, sizeof(a));
}

#endif
