#include "config.h"

#include "server/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

/* Answers that are kept; one more takes the place of another. */
#define ANSWERS 4096
/* How long, in seconds; and where the system could not tell. */
#define BELIEVED 300
#define BELIEVED_UNTOLD 10
/* Threads that ask at a time: whoever waits for DNS is not to keep others from the
 * disk. */
#define MAX_ASKING 4
/* Lines about what cannot be told, in seconds. */
#define LOG_PAUSE 60

/* Whether one address is one of one client's. */
struct answer {
	uint64_t client; /* its serial number; 0: there is none here */
	struct in6_addr address;
	time_t until;
	bool is_one;
};

struct nfsd_hosts {
	const struct nfsd_log *log;
	unsigned char key[crypto_shorthash_KEYBYTES];
	pthread_mutex_t lock; /* guards what is below */
	struct answer answers[ANSWERS];
	unsigned asking;
	time_t logged;
	pthread_mutex_t netgroups; /* innetgr(3) is for one thread */
};

struct nfsd_hosts *nfsd_hosts_new(const struct nfsd_log *log)
{
	struct nfsd_hosts *hosts = calloc(1, sizeof(*hosts));

	if (hosts == NULL)
		return NULL;
	hosts->log = log;
	hosts->logged = -LOG_PAUSE;
	crypto_shorthash_keygen(hosts->key);
	pthread_mutex_init(&hosts->lock, NULL);
	pthread_mutex_init(&hosts->netgroups, NULL);
	return hosts;
}

void nfsd_hosts_free(struct nfsd_hosts *hosts)
{
	if (hosts == NULL)
		return;
	pthread_mutex_destroy(&hosts->lock);
	pthread_mutex_destroy(&hosts->netgroups);
	free(hosts);
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* ---- asking the system ------------------------------------------------------- */

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

/* The name that the address has, and that has it. As above. */
static int name_of(const struct in6_addr *address, char name[NI_MAXHOST])
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
static int is_in_netgroup(struct nfsd_hosts *hosts,
                          const struct nfsd_client *client,
                          const struct in6_addr *address)
{
	char text[INET6_ADDRSTRLEN], name[NI_MAXHOST];
	struct sockaddr_storage storage;
	socklen_t len = unmap(address, &storage);
	int has_name = name_of(address, name), is_one;

	if (getnameinfo((struct sockaddr *)&storage, len, text, sizeof(text),
	                NULL, 0, NI_NUMERICHOST) != 0)
		return -EIO;
	pthread_mutex_lock(&hosts->netgroups);
	is_one = nfsd_client_has_name(client, text) ||
	         (has_name > 0 && nfsd_client_has_name(client, name));
	pthread_mutex_unlock(&hosts->netgroups);
	return has_name < 0 && !is_one ? has_name : is_one;
}

static int ask(struct nfsd_hosts *hosts, const struct nfsd_client *client,
               const struct in6_addr *address)
{
	char name[NI_MAXHOST];
	int has_name;

	switch (client->kind) {
	case NFSD_CLIENT_HOST:
		return name_has_address(client->text, address);
	case NFSD_CLIENT_NETGROUP:
		return is_in_netgroup(hosts, client, address);
	default:
		has_name = name_of(address, name);
		return has_name > 0 ? nfsd_client_has_name(client, name)
		                    : has_name;
	}
}

/* ---- what it said ---------------------------------------------------------------- */

static struct answer *place_of(struct nfsd_hosts *hosts,
                               const struct nfsd_client *client,
                               const struct in6_addr *address)
{
	struct {
		struct in6_addr address;
		uint64_t client;
	} key = { *address, client->serial };
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, (unsigned char *)&key,
	                 sizeof(key), hosts->key);
	return &hosts->answers[hash % ANSWERS];
}

/* True: it is known. */
static bool recall(struct nfsd_hosts *hosts, const struct nfsd_client *client,
                   const struct in6_addr *address, int *is_one)
{
	struct answer *answer = place_of(hosts, client, address);
	bool known;

	pthread_mutex_lock(&hosts->lock);
	known = answer->client == client->serial &&
	        memcmp(&answer->address, address, sizeof(*address)) == 0 &&
	        now() < answer->until;
	*is_one = answer->is_one;
	pthread_mutex_unlock(&hosts->lock);
	return known;
}

/* Below 0: it could not tell; then nobody is let in, for a while. */
static void keep(struct nfsd_hosts *hosts, const struct nfsd_client *client,
                 const struct in6_addr *address, int is_one)
{
	bool to_log;

	pthread_mutex_lock(&hosts->lock);
	*place_of(hosts, client, address) = (struct answer){
		.client = client->serial,
		.address = *address,
		.is_one = is_one > 0,
		.until = now() + (is_one < 0 ? BELIEVED_UNTOLD : BELIEVED),
	};
	to_log = is_one < 0 && now() - hosts->logged >= LOG_PAUSE;
	if (to_log)
		hosts->logged = now();
	pthread_mutex_unlock(&hosts->lock);
	if (to_log)
		nfsd_log(hosts->log, LOG_WARNING,
		         "client %s: host names cannot be looked up now; who "
		         "calls is not taken for one",
		         client->text);
}

static bool begin_asking(struct nfsd_hosts *hosts)
{
	bool may;

	pthread_mutex_lock(&hosts->lock);
	may = hosts->asking < MAX_ASKING;
	hosts->asking += may;
	pthread_mutex_unlock(&hosts->lock);
	return may;
}

static void end_asking(struct nfsd_hosts *hosts)
{
	pthread_mutex_lock(&hosts->lock);
	hosts->asking--;
	pthread_mutex_unlock(&hosts->lock);
}

int nfsd_hosts_match(struct nfsd_hosts *hosts, const struct nfsd_client *client,
                     const struct in6_addr *address, bool may_wait)
{
	int is_one;

	if (recall(hosts, client, address, &is_one))
		return is_one;
	if (!may_wait)
		return -EAGAIN;
	if (!begin_asking(hosts))
		return -EINPROGRESS;
	is_one = ask(hosts, client, address);
	keep(hosts, client, address, is_one);
	end_asking(hosts);
	return is_one > 0;
}

int nfsd_hosts_name(struct nfsd_hosts *hosts, const struct in6_addr *address,
                    char *name)
{
	int has_name;

	if (!begin_asking(hosts))
		return -EINPROGRESS;
	has_name = name_of(address, name);
	end_asking(hosts);
	return has_name > 0 ? 0 : -EACCES;
}
