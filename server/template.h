/*
 * Paths that hold who the client is: %a is his address, %h his name, %n the network
 * that he is of (its address, "-" and the bits that count), %% a "%".
 */
#ifndef VENEER_SERVER_TEMPLATE_H
#define VENEER_SERVER_TEMPLATE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "server/client.h"

/* Which of them a path has; flags. */
enum {
	NFSD_TEMPLATE_ADDRESS = 1,
	NFSD_TEMPLATE_NAME = 2,
	NFSD_TEMPLATE_NETWORK = 4,
	NFSD_TEMPLATE_CLIENT = 7, /* any of the above */
	NFSD_TEMPLATE_PERCENT = 8,
	NFSD_TEMPLATE_WRONG = 16, /* a "%" that is none of them */
};

unsigned nfsd_template_kinds(const char *path);

/* What stands for this very path, to be freed; NULL: no memory. */
char *nfsd_template_of(const char *path);

/* Of one client. */
struct nfsd_template_values {
	const struct in6_addr *address;
	const char *name; /* NULL where no path wants it */
	const struct nfsd_client *network;
};

/*
 * The path of this client, to be freed. NULL: no memory, or a value that cannot stand
 * in a path (a name that is no host's).
 */
char *nfsd_template_fill(const char *path,
                         const struct nfsd_template_values *values);

/* The directory that all of its paths are below, to be freed; NULL: no memory. */
char *nfsd_template_common(const char *path);

#endif
