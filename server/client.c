#include "config.h"

#include "server/client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/number.h"

#define BITS4 32
#define BITS6 128
/* The bits before an IPv4 address that is mapped. */
#define BITS_MAPPED (BITS6 - BITS4)

/* ---- addresses ------------------------------------------------------------- */

static struct in6_addr map(const struct in_addr *in)
{
	struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&mapped.s6_addr[12], in, sizeof(*in));
	return mapped;
}

bool nfsd_client_address(const struct sockaddr *peer, struct in6_addr *address)
{
	switch (peer->sa_family) {
	case AF_INET:
		*address = map(&((const struct sockaddr_in *)peer)->sin_addr);
		return true;
	case AF_INET6:
		*address = ((const struct sockaddr_in6 *)peer)->sin6_addr;
		return true;
	default:
		return false;
	}
}

/* A text that is an address; `*bits` gets how many it has. */
static bool parse_address(const char *text, struct in6_addr *address,
                          unsigned *bits)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) == 1) {
		*address = map(&in);
		*bits = BITS4;
		return true;
	}
	*bits = BITS6;
	return inet_pton(AF_INET6, text, address) == 1;
}

/* "255.255.252.0": the bits before the first 0, where no 1 comes after it. */
static bool parse_netmask(const char *text, unsigned *prefix)
{
	struct in_addr in;
	uint32_t mask;

	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	mask = ntohl(in.s_addr);
	*prefix = mask == 0 ? 0 : BITS4 - (unsigned)__builtin_ctz(mask);
	return mask == 0 || (~mask & (~mask + 1)) == 0;
}

static bool same_bits(const struct in6_addr *a, const struct in6_addr *b,
                      unsigned n)
{
	const unsigned whole = n / 8, rest = n % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 ||
	       (a->s6_addr[whole] ^ b->s6_addr[whole]) >> (8 - rest) == 0;
}

/* ---- what is written -------------------------------------------------------- */

static int refuse(const char *text, const char *what, char *why, size_t size)
{
	snprintf(why, size, "client \"%s\": %s", text, what);
	return -EINVAL;
}

/* `slash`: where its address ends, or NULL. */
static int parse_network(struct nfsd_client *client, const char *slash,
                         char *why, size_t size)
{
	const char *text = client->text;
	char address[INET6_ADDRSTRLEN] = "";
	unsigned bits;
	uint64_t prefix;

	if ((size_t)(slash - text) < sizeof(address))
		memcpy(address, text, slash - text);
	if (!parse_address(address, &client->address, &bits))
		return refuse(text, "what stands before \"/\" is no address",
		              why, size);
	if (nfsd_number_parse(slash + 1, 0, bits, &prefix) == 0)
		client->prefix = (unsigned)prefix;
	else if (bits != BITS4 || !parse_netmask(slash + 1, &client->prefix))
		return refuse(text,
		              bits == BITS4
		                      ? "neither a prefix of 0 to 32 bits nor "
		                        "a netmask"
		                      : "not a prefix of 0 to 128 bits",
		              why, size);
	if (bits == BITS4)
		client->prefix += BITS_MAPPED;
	client->kind = NFSD_CLIENT_NETWORK;
	return 0;
}

/* What may stand in a host name, or in a pattern for them. */
static bool is_name(const char *text)
{
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char)*text) &&
		    strchr("-._*?[]!^", *text) == NULL)
			return false;
	return true;
}

static int classify(struct nfsd_client *client, char *why, size_t size)
{
	char *text = client->text;
	const char *slash = strchr(text, '/');
	unsigned bits;

	if (*text == '\0')
		return refuse(text, "it is empty", why, size);
	if (strcmp(text, "*") == 0) {
		client->kind = NFSD_CLIENT_ANYBODY;
		return 0;
	}
	if (*text == '@') {
		if (text[1] == '\0')
			return refuse(text, "no netgroup named", why, size);
		memmove(text, text + 1, strlen(text));
		client->kind = NFSD_CLIENT_NETGROUP;
		return 0;
	}
	if (slash != NULL)
		return parse_network(client, slash, why, size);
	if (parse_address(text, &client->address, &bits)) {
		client->prefix = BITS6;
		client->kind = NFSD_CLIENT_NETWORK;
		return 0;
	}
	if (!is_name(text))
		return refuse(text, "neither a host nor an address", why, size);
	client->kind = strpbrk(text, "*?[") != NULL ? NFSD_CLIENT_WILDCARD
	                                            : NFSD_CLIENT_HOST;
	return 0;
}

int nfsd_client_parse(struct nfsd_client *client, const char *text, char *why,
                      size_t size)
{
	static atomic_uint_least64_t serials;
	int err;

	*client = (struct nfsd_client){
		.text = strdup(text),
		.serial = atomic_fetch_add(&serials, 1) + 1,
	};
	if (client->text == NULL)
		return -ENOMEM;
	err = classify(client, why, size);
	if (err != 0)
		nfsd_client_release(client);
	return err;
}

void nfsd_client_release(struct nfsd_client *client)
{
	free(client->text);
	client->text = NULL;
}

/* ---- who is one of them ------------------------------------------------------- */

bool nfsd_client_needs_name(const struct nfsd_client *client)
{
	return client->kind != NFSD_CLIENT_NETWORK &&
	       client->kind != NFSD_CLIENT_ANYBODY;
}

/* Addresses of IPv4 are mapped into IPv6, and are none of a network that holds those. */
static bool is_in_network(const struct in6_addr *address,
                          const struct nfsd_client *network)
{
	bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&network->address) &&
	               network->prefix >= BITS_MAPPED;

	return IN6_IS_ADDR_V4MAPPED(address) == is_ipv4 &&
	       same_bits(&network->address, address, network->prefix);
}

bool nfsd_client_has_address(const struct nfsd_client *client,
                             const struct in6_addr *address)
{
	switch (client->kind) {
	case NFSD_CLIENT_NETWORK:
		return is_in_network(address, client);
	case NFSD_CLIENT_ANYBODY:
		return true;
	default:
		return false;
	}
}

bool nfsd_client_has_name(const struct nfsd_client *client, const char *name)
{
	switch (client->kind) {
	case NFSD_CLIENT_WILDCARD:
		return fnmatch(client->text, name, FNM_CASEFOLD) == 0;
	case NFSD_CLIENT_NETGROUP:
		return innetgr(client->text, name, NULL, NULL) == 1;
	default:
		return false;
	}
}

/* One host is one host; of networks, the smaller ones come first. */
static unsigned rank(const struct nfsd_client *client)
{
	switch (client->kind) {
	case NFSD_CLIENT_HOST:
		return 0;
	case NFSD_CLIENT_NETWORK:
		return BITS6 - client->prefix;
	default:
		return BITS6 + client->kind;
	}
}

bool nfsd_client_before(const struct nfsd_client *a,
                        const struct nfsd_client *b)
{
	return rank(a) < rank(b);
}
