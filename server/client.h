/*
 * The clients of an export, as exports(5) writes them: one host by its name or
 * address, a network, host names with wildcards, a netgroup, or everybody.
 *
 * Whether a host is one of them is decided by its address, or else by its name, for
 * which somebody has to ask: that may take long, and is not done here.
 */
#ifndef VENEER_SERVER_CLIENT_H
#define VENEER_SERVER_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Most specific first. */
enum nfsd_client_kind {
	NFSD_CLIENT_HOST,     /* by a name: whoever has an address of it */
	NFSD_CLIENT_NETWORK,  /* of one address, too */
	NFSD_CLIENT_WILDCARD, /* host names with "*", "?", "[...]" */
	NFSD_CLIENT_NETGROUP,
	NFSD_CLIENT_ANYBODY,
};

struct nfsd_client {
	enum nfsd_client_kind kind;
	char *text;      /* as it was written; a netgroup's without the "@" */
	uint64_t serial; /* that no other has been given */
	/* Of a network: the bits of its addresses that count. Those of IPv4 are
	 * mapped (::ffff:0:0/96). */
	struct in6_addr address;
	unsigned prefix;
};

/*
 * Take in what was written. 0, -ENOMEM, or -EINVAL with one line in `why`; then
 * there is nothing to release.
 */
int nfsd_client_parse(struct nfsd_client *client, const char *text, char *why,
                      size_t size);

void nfsd_client_release(struct nfsd_client *client);

/* An address as networks count them. False: it is of another family. */
bool nfsd_client_address(const struct sockaddr *peer, struct in6_addr *address);

/* Whether only a name can tell. */
bool nfsd_client_needs_name(const struct nfsd_client *client);

/* Whether this address is one of them; of such as need a name: false. */
bool nfsd_client_has_address(const struct nfsd_client *client,
                             const struct in6_addr *address);

/*
 * Whether a host of this name (or address, as text) is one of a netgroup, or of those
 * that a name with wildcards means; of other kinds: false. For a netgroup the system
 * is asked, which may block.
 */
bool nfsd_client_has_name(const struct nfsd_client *client, const char *name);

/* Whether `a` is more specific than `b`: of those that match, it counts. */
bool nfsd_client_before(const struct nfsd_client *a,
                        const struct nfsd_client *b);

#endif
