#include "config.h"

#include "server/hosts.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "server/helper.h"

/* Answers that are kept; one more takes the place of another. */
#define ANSWERS 4096
/* How long, in seconds; and until it is asked again where it could not tell. */
#define BELIEVED 300
#define BELIEVED_UNTOLD 10
/* Threads that ask at a time: whoever waits for DNS is not to keep others from the
 * disk. */
#define MAX_ASKING NFSD_HELPER_LOOKUPS
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
	struct nfsd_helper *helper;
	unsigned char key[crypto_shorthash_KEYBYTES];
	pthread_mutex_t lock; /* guards what is below */
	struct answer answers[ANSWERS];
	unsigned asking;
	time_t logged;
};

struct nfsd_hosts *nfsd_hosts_new(const struct nfsd_log *log,
                                  struct nfsd_helper *helper)
{
	struct nfsd_hosts *hosts = calloc(1, sizeof(*hosts));

	if (hosts == NULL)
		return NULL;
	hosts->log = log;
	hosts->helper = helper;
	hosts->logged = -LOG_PAUSE;
	crypto_shorthash_keygen(hosts->key);
	pthread_mutex_init(&hosts->lock, NULL);
	return hosts;
}

void nfsd_hosts_free(struct nfsd_hosts *hosts)
{
	if (hosts == NULL)
		return;
	pthread_mutex_destroy(&hosts->lock);
	free(hosts);
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
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

static bool is_about(const struct answer *answer,
                     const struct nfsd_client *client,
                     const struct in6_addr *address)
{
	return answer->client == client->serial &&
	       memcmp(&answer->address, address, sizeof(*address)) == 0;
}

/* True: it is known. */
static bool recall(struct nfsd_hosts *hosts, const struct nfsd_client *client,
                   const struct in6_addr *address, int *is_one)
{
	struct answer *answer = place_of(hosts, client, address);
	bool known;

	pthread_mutex_lock(&hosts->lock);
	known = is_about(answer, client, address) && now() < answer->until;
	*is_one = answer->is_one;
	pthread_mutex_unlock(&hosts->lock);
	return known;
}

/*
 * `told` below 0: it could not tell. Then what it said last goes on: who has mounted
 * is not to lose his files because a name server is down. Nobody new is let in.
 * Returns what is believed.
 */
static bool keep(struct nfsd_hosts *hosts, const struct nfsd_client *client,
                 const struct in6_addr *address, int told)
{
	struct answer *answer = place_of(hosts, client, address);
	bool is_one = told > 0, to_log;

	pthread_mutex_lock(&hosts->lock);
	if (told < 0)
		is_one = is_about(answer, client, address) && answer->is_one;
	*answer = (struct answer){
		.client = client->serial,
		.address = *address,
		.is_one = is_one,
		.until = now() + (told < 0 ? BELIEVED_UNTOLD : BELIEVED),
	};
	to_log = told < 0 && now() - hosts->logged >= LOG_PAUSE;
	if (to_log)
		hosts->logged = now();
	pthread_mutex_unlock(&hosts->lock);
	if (to_log)
		nfsd_log(hosts->log, LOG_WARNING,
		         "client %s: host names cannot be looked up now; who "
		         "calls and is not known is not taken for one",
		         client->text);
	return is_one;
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
	int is_one, told;

	if (recall(hosts, client, address, &is_one))
		return is_one;
	if (!may_wait)
		return -EAGAIN;
	if (!begin_asking(hosts))
		return -EINPROGRESS;
	told = nfsd_helper_is_client(hosts->helper, client, address);
	end_asking(hosts);
	/* Those who have given up are still being looked up. */
	return told == -EBUSY ? -EINPROGRESS
	                      : keep(hosts, client, address, told);
}

int nfsd_hosts_name(struct nfsd_hosts *hosts, const struct in6_addr *address,
                    char *name)
{
	int has_name;

	if (!begin_asking(hosts))
		return -EINPROGRESS;
	has_name = nfsd_helper_name(hosts->helper, address, name);
	end_asking(hosts);
	if (has_name == -EBUSY)
		return -EINPROGRESS;
	return has_name > 0 ? 0 : -EACCES;
}
