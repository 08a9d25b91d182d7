#include "config.h"

#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include "server/number.h"

/* What each is for; without it, calls that the tests make fail. */
static const struct {
	cap_value_t capability;
	unsigned purpose;
} kept[] = {
	/* New objects, and what is copied up, get their owners. */
	{ CAP_CHOWN, NFSD_FOR_FILES },
	/* Modes are for clients (overlay/perm.c); the server gets everywhere. */
	{ CAP_DAC_OVERRIDE, NFSD_FOR_FILES },
	/* Modes, times, ACLs and attributes of others' files; O_NOATIME. */
	{ CAP_FOWNER, NFSD_FOR_FILES },
	/* The setgid bit of files of groups that the server is not in. */
	{ CAP_FSETID, NFSD_FOR_FILES },
	/* Devices. Whiteouts need none since Linux 5.8. */
	{ CAP_MKNOD, NFSD_FOR_FILES },
	/* security.capability, at copy-up. */
	{ CAP_SETFCAP, NFSD_FOR_FILES },
	/* Attributes in the trusted. namespace; mounts of layers of our own. */
	{ CAP_SYS_ADMIN, NFSD_FOR_FILES },
	{ CAP_NET_BIND_SERVICE, NFSD_FOR_PORTS },
};
#define NKEPT (sizeof(kept) / sizeof(kept[0]))

static int fail(int err, const char *what, char *why, size_t size)
{
	snprintf(why, size, "%s: %s", what, strerror(-err));
	return err;
}

/* ---- the user ---------------------------------------------------------------- */

/* All groups of this user, of which `gid` is one. 0 or -ENOMEM. */
static int find_groups(const char *name, struct nfsd_user *user)
{
	int n = 16;

	for (;;) {
		gid_t *groups =
			reallocarray(user->groups, (size_t)n, sizeof(*groups));

		if (groups == NULL)
			return -ENOMEM;
		user->groups = groups;
		user->ngroups = n;
		if (getgrouplist(name, user->gid, groups, &user->ngroups) >= 0)
			return 0;
		n = user->ngroups > n ? user->ngroups : 2 * n;
	}
}

int nfsd_user_find(const char *name, struct nfsd_user *user, char *why,
                   size_t size)
{
	const struct passwd *entry = getpwnam(name);
	struct nfsd_user found = { 0 };
	uint64_t number;
	int err;

	if (entry == NULL &&
	    nfsd_number_parse(name, 0, UINT32_MAX - 1, &number) == 0)
		entry = getpwuid((uid_t)number);
	if (entry == NULL) {
		snprintf(why, size, "--user: there is no user \"%s\"", name);
		return -EINVAL;
	}
	found.uid = entry->pw_uid;
	found.gid = entry->pw_gid;
	err = find_groups(entry->pw_name, &found);
	if (err != 0) {
		nfsd_user_release(&found);
		return fail(err, "--user", why, size);
	}
	*user = found;
	return 0;
}

void nfsd_user_release(struct nfsd_user *user)
{
	free(user->groups);
	*user = (struct nfsd_user){ 0 };
}

int nfsd_user_become(const struct nfsd_user *user, char *why, size_t size)
{
	if (cap_setgroups(user->gid, (size_t)user->ngroups, user->groups) !=
	            0 ||
	    cap_setuid(user->uid) != 0)
		return fail(-errno, "--user", why, size);
	return 0;
}

/* ---- capabilities -------------------------------------------------------------- */

/* None: so that not even a program that root runs gets any back. */
static int drop_bounding(void)
{
	for (cap_value_t i = 0; i < cap_max_bits(); i++)
		if (cap_get_bound(i) == 1 && cap_drop_bound(i) != 0)
			return -errno;
	return 0;
}

static bool has(cap_t caps, cap_value_t capability, cap_flag_t flag)
{
	cap_flag_value_t value = CAP_CLEAR;

	return cap_get_flag(caps, capability, flag, &value) == 0 &&
	       value == CAP_SET;
}

/* Those of `old` that are wanted, effective. To be freed; NULL: no memory. */
static cap_t choose(cap_t old, unsigned purposes)
{
	cap_t fresh = cap_init();

	for (size_t i = 0; fresh != NULL && i < NKEPT; i++) {
		const cap_value_t one = kept[i].capability;

		if ((kept[i].purpose & purposes) == 0 ||
		    !has(old, one, CAP_PERMITTED))
			continue;
		cap_set_flag(fresh, CAP_PERMITTED, 1, &one, CAP_SET);
		cap_set_flag(fresh, CAP_EFFECTIVE, 1, &one, CAP_SET);
	}
	return fresh;
}

int nfsd_capabilities_keep(unsigned purposes, char *why, size_t size)
{
	cap_t old = cap_get_proc(), fresh = NULL;
	const cap_value_t setpcap = CAP_SETPCAP;
	int err = old != NULL ? 0 : -errno;

	if (err == 0 && has(old, setpcap, CAP_PERMITTED)) {
		/* The user who was become has it permitted alone. */
		cap_set_flag(old, CAP_EFFECTIVE, 1, &setpcap, CAP_SET);
		err = cap_set_proc(old) != 0 ? -errno : drop_bounding();
	}
	if (err == 0) {
		fresh = choose(old, purposes);
		err = fresh == NULL || cap_set_proc(fresh) != 0 ? -errno : 0;
	}
	if (err == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		err = -errno;
	cap_free(old);
	cap_free(fresh);
	return err == 0 ? 0 : fail(err, "capabilities", why, size);
}
