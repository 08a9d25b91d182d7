#include "config.h"

#include "server/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

/* An address as the system knows it. */
static socklen_t unmap(const struct in6_addr *address,
                       struct sockaddr_storage *storage)
{
	struct sockaddr_in *in = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	memset(storage, 0, sizeof(*storage));
	if (IN6_IS_ADDR_V4MAPPED(address)) {
		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, &address->s6_addr[12],
		       sizeof(in->sin_addr));
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_addr = *address;
	return sizeof(*in6);
}

/* 1 or 0; below 0: nobody could tell. */
static int name_has_address(const char *name, const struct in6_addr *address)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		                        .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *at;
	struct in6_addr one;
	int err = getaddrinfo(name, NULL, &hints, &list), has = 0;

	if (err != 0)
		return err == EAI_NONAME ? 0 : -EIO;
	for (at = list; at != NULL && !has; at = at->ai_next)
		has = nfsd_client_address(at->ai_addr, &one) &&
		      memcmp(&one, address, sizeof(one)) == 0;
	freeaddrinfo(list);
	return has;
}

int nfsd_resolve_name(const struct in6_addr *address, char name[NI_MAXHOST])
{
	struct sockaddr_storage storage;
	socklen_t len = unmap(address, &storage);
	int err = getnameinfo((struct sockaddr *)&storage, len, name,
	                      NI_MAXHOST, NULL, 0, NI_NAMEREQD);

	if (err != 0)
		return err == EAI_NONAME ? 0 : -EIO;
	return name_has_address(name, address);
}

/* A netgroup may have its hosts by name or by address. */
static int is_in_netgroup(const struct nfsd_client *client,
                          const struct in6_addr *address,
                          pthread_mutex_t *netgroups)
{
	char text[INET6_ADDRSTRLEN], name[NI_MAXHOST];
	struct sockaddr_storage storage;
	socklen_t len = unmap(address, &storage);
	int has_name = nfsd_resolve_name(address, name), is_one;

	if (getnameinfo((struct sockaddr *)&storage, len, text, sizeof(text),
	                NULL, 0, NI_NUMERICHOST) != 0)
		return -EIO;
	pthread_mutex_lock(netgroups);
	is_one = nfsd_client_has_name(client, text) ||
	         (has_name > 0 && nfsd_client_has_name(client, name));
	pthread_mutex_unlock(netgroups);
	return has_name < 0 && !is_one ? has_name : is_one;
}

int nfsd_resolve(const struct nfsd_client *client,
                 const struct in6_addr *address, pthread_mutex_t *netgroups)
{
	char name[NI_MAXHOST];
	int has_name;

	switch (client->kind) {
	case NFSD_CLIENT_HOST:
		return name_has_address(client->text, address);
	case NFSD_CLIENT_NETGROUP:
		return is_in_netgroup(client, address, netgroups);
	default:
		has_name = nfsd_resolve_name(address, name);
		return has_name > 0 ? nfsd_client_has_name(client, name)
		                    : has_name;
	}
}

/* What a line of the user database takes, at the most. */
#define PASSWD_MAX (64 << 10)

_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "ids of 32 bits");

int nfsd_resolve_groups(uint32_t uid, uint32_t *ids, int max)
{
	struct passwd entry, *user = NULL;
	char *buffer = malloc(PASSWD_MAX);
	int err, n = max;

	if (buffer == NULL)
		return -ENOMEM;
	err = getpwuid_r(uid, &entry, buffer, PASSWD_MAX, &user);
	if (user == NULL)
		n = err != 0 && err != ENOENT ? -EIO : 0;
	else if (getgrouplist(user->pw_name, user->pw_gid, ids, &n) < 0)
		n = max; /* there are more */
	free(buffer);
	return n;
}
