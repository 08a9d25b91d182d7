/*
 * What the process may do beyond what every user may: root keeps the capabilities
 * that serving needs, as root or as another user, and nothing that is run later gets
 * more.
 *
 * All of it is done before there are threads: it is of the one that calls, and those
 * that it starts inherit it.
 */
#ifndef VENEER_SERVER_PRIVILEGES_H
#define VENEER_SERVER_PRIVILEGES_H

#include <stddef.h>
#include <sys/types.h>

/* Whom to become. */
struct nfsd_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* all that are his */
	int ngroups;
};

/* By his name or number. 0, or -errno with one line in `why`. */
int nfsd_user_find(const char *name, struct nfsd_user *user, char *why,
                   size_t size);
void nfsd_user_release(struct nfsd_user *user);

/*
 * Become this user, keeping all capabilities for now. 0, or -errno with one line in
 * `why`; then the process is to end.
 */
int nfsd_user_become(const struct nfsd_user *user, char *why, size_t size);

/* What capabilities are for. */
#define NFSD_FOR_FILES 1u /* everybody's files, whatever a layer may hold */
#define NFSD_FOR_PORTS 2u /* to listen on, or call from, below 1024 */

/*
 * Of the capabilities that there are, keep those for these purposes; the others are
 * out of reach for good. A user without any has none to lose. 0, or -errno with one
 * line in `why`.
 */
int nfsd_capabilities_keep(unsigned purposes, char *why, size_t size);

#endif
