/*
 * The server's side: starting it, and asking.
 */
#include "config.h"

#include "server/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "server/helper_internal.h"

/* DNS itself takes so long where a server of several is silent. */
#define LOOKUP_MS 15000
/* It waits for rpcbind itself (rpc/rpcbind.c), which may hang at the first call. */
#define REGISTER_MS 10000
/* It has nothing to do but to become another user. */
#define START_MS 10000
#define END_MS 1000

/* Who wants to register does not wait for those who look up. */
#define REGISTER_CHANNEL NFSD_HELPER_LOOKUPS
/* Nor do users for hosts. */
#define USER_CHANNEL (REGISTER_CHANNEL + 1)
_Static_assert(HELPER_CHANNELS == USER_CHANNEL + NFSD_HELPER_USERS, "channels");

struct channel {
	int fd;
	bool taken;
	bool owed; /* the answer to its last question */
	uint32_t number;
};

struct nfsd_helper {
	pid_t pid;
	const struct nfsd_log *log;
	pthread_mutex_t lock; /* all below; of a taken channel only `taken` */
	struct channel channels[HELPER_CHANNELS];
	bool ended; /* and that was logged */
};

/* ---- starting it ------------------------------------------------------------- */

/* Its signals are the server's: it is to be there for that until the end. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGINT,  SIGTERM, SIGHUP,
		                       SIGQUIT, SIGUSR1, SIGPIPE };

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

static int lose_privileges(const struct nfsd_user *user, bool registers)
{
	char why[256];
	int err = user != NULL ? nfsd_user_become(user, why, sizeof(why)) : 0;

	if (err == 0)
		err = nfsd_capabilities_keep(registers ? NFSD_FOR_PORTS : 0,
		                             why, sizeof(why));
	return err;
}

static _Noreturn void become_helper(const struct nfsd_user *user,
                                    bool registers,
                                    const int channels[HELPER_CHANNELS])
{
	struct helper_answer ready = { 0 };

	ignore_signals();
	prctl(PR_SET_NAME, "veneerd-helper");
	ready.result = lose_privileges(user, registers);
	send(channels[0], &ready, sizeof(ready), MSG_NOSIGNAL);
	if (ready.result != 0)
		_exit(1);
	helper_serve(channels);
}

/* The one answer that must have come within that time. -errno: none has. */
static int receive(int fd, int ms, struct helper_answer *answer)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int n = poll(&pollfd, 1, ms);

	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	if (recv(fd, answer, sizeof(*answer), MSG_TRUNC | MSG_DONTWAIT) !=
	    sizeof(*answer))
		return -ENOTCONN;
	return 0;
}

/* Both ends of all channels. */
static int make_channels(struct nfsd_helper *helper, int other[HELPER_CHANNELS])
{
	int ends[2];

	for (unsigned i = 0; i < HELPER_CHANNELS; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		               ends) != 0)
			return -errno;
		helper->channels[i].fd = ends[0];
		other[i] = ends[1];
	}
	return 0;
}

static void close_channels(struct nfsd_helper *helper)
{
	for (unsigned i = 0; i < HELPER_CHANNELS; i++)
		if (helper->channels[i].fd >= 0)
			close(helper->channels[i].fd);
}

static int start(struct nfsd_helper *helper, const struct nfsd_user *user,
                 bool registers)
{
	int other[HELPER_CHANNELS], err;
	struct helper_answer ready;

	for (unsigned i = 0; i < HELPER_CHANNELS; i++)
		other[i] = -1;
	err = make_channels(helper, other);
	if (err == 0) {
		helper->pid = fork();
		if (helper->pid == 0) {
			close_channels(helper);
			become_helper(user, registers, other);
		}
		err = helper->pid < 0 ? -errno : 0;
	}
	for (unsigned i = 0; i < HELPER_CHANNELS; i++)
		if (other[i] >= 0)
			close(other[i]);
	if (err == 0)
		err = receive(helper->channels[0].fd, START_MS, &ready);
	return err == 0 ? ready.result : err;
}

int nfsd_helper_new(const struct nfsd_user *user, bool registers,
                    const struct nfsd_log *log, struct nfsd_helper **result,
                    char *why, size_t size)
{
	struct nfsd_helper *helper = calloc(1, sizeof(*helper));
	int err;

	if (helper != NULL) {
		helper->log = log;
		pthread_mutex_init(&helper->lock, NULL);
		for (unsigned i = 0; i < HELPER_CHANNELS; i++)
			helper->channels[i].fd = -1;
	}
	err = helper != NULL ? start(helper, user, registers) : -ENOMEM;
	if (err == 0) {
		*result = helper;
		return 0;
	}
	snprintf(why, size, "helper process: %s", strerror(-err));
	nfsd_helper_free(helper);
	return err;
}

void nfsd_helper_free(struct nfsd_helper *helper)
{
	if (helper == NULL)
		return;
	close_channels(helper); /* upon which it ends */
	/* At once, but for a disk or a debugger that holds it. */
	for (int ms = 0; helper->pid > 0 && ms < END_MS; ms++) {
		if (waitpid(helper->pid, NULL, WNOHANG) != 0)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	pthread_mutex_destroy(&helper->lock);
	free(helper);
}

pid_t nfsd_helper_pid(const struct nfsd_helper *helper)
{
	return helper->pid;
}

/* ---- asking -------------------------------------------------------------------- */

/* A late answer is nobody's any more. The lock is held. */
static bool is_free(struct channel *channel)
{
	struct helper_answer late;

	if (channel->taken)
		return false;
	if (channel->owed)
		channel->owed = receive(channel->fd, 0, &late) == -ETIMEDOUT;
	return !channel->owed;
}

static struct channel *take_channel(struct nfsd_helper *helper, unsigned from,
                                    unsigned n)
{
	struct channel *found = NULL;

	pthread_mutex_lock(&helper->lock);
	for (unsigned i = from; i < from + n && found == NULL; i++)
		if (is_free(&helper->channels[i]))
			found = &helper->channels[i];
	if (found != NULL)
		found->taken = true;
	pthread_mutex_unlock(&helper->lock);
	return found;
}

static void put_channel(struct nfsd_helper *helper, struct channel *channel)
{
	pthread_mutex_lock(&helper->lock);
	channel->taken = false;
	pthread_mutex_unlock(&helper->lock);
}

static bool has_ended(struct nfsd_helper *helper)
{
	bool ended;

	pthread_mutex_lock(&helper->lock);
	ended = helper->ended;
	pthread_mutex_unlock(&helper->lock);
	return ended;
}

static int note_end(struct nfsd_helper *helper)
{
	bool noted;

	pthread_mutex_lock(&helper->lock);
	noted = helper->ended;
	helper->ended = true;
	pthread_mutex_unlock(&helper->lock);
	if (!noted)
		nfsd_log(helper->log, LOG_WARNING,
		         "the helper process has ended: until veneerd is "
		         "started again, nobody is taken for a client that "
		         "is known by name");
	return -ENOTCONN;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Over a channel that is ours. */
static int exchange(struct channel *channel, struct helper_question *question,
                    struct helper_answer *answer, int ms)
{
	const size_t bytes = helper_question_bytes(question->what);
	const int64_t until = now_ms() + ms;
	int err;

	question->number = ++channel->number;
	if (send(channel->fd, question, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		return -ENOTCONN;
	channel->owed = true;
	do {
		const int64_t left = until - now_ms();

		err = receive(channel->fd, left > 0 ? (int)left : 0, answer);
	} while (err == -EINTR);
	if (err != 0)
		return err;
	channel->owed = false;
	return answer->number == question->number ? answer->result : -ENOTCONN;
}

/* Over one of these channels. */
static int ask(struct nfsd_helper *helper, unsigned from, unsigned n,
               struct helper_question *question, struct helper_answer *answer,
               int ms)
{
	struct channel *channel;
	int result;

	if (helper == NULL || has_ended(helper))
		return -ENOTCONN;
	channel = take_channel(helper, from, n);
	if (channel == NULL)
		return -EBUSY;
	result = exchange(channel, question, answer, ms);
	put_channel(helper, channel);
	return result == -ENOTCONN ? note_end(helper) : result;
}

int nfsd_helper_is_client(struct nfsd_helper *helper,
                          const struct nfsd_client *client,
                          const struct in6_addr *address)
{
	struct helper_question question = {
		.what = HELPER_IS_CLIENT,
		.client = { .kind = client->kind, .address = *address },
	};
	char *text = question.client.text;
	struct helper_answer answer;

	if (strlen(client->text) >= sizeof(question.client.text))
		return 0; /* no host has such a name */
	strcpy(text, client->text);
	return ask(helper, 0, NFSD_HELPER_LOOKUPS, &question, &answer,
	           LOOKUP_MS);
}

int nfsd_helper_name(struct nfsd_helper *helper, const struct in6_addr *address,
                     char *name)
{
	struct helper_question question = {
		.what = HELPER_NAME,
		.client = { .address = *address },
	};
	struct helper_answer answer;
	int result = ask(helper, 0, NFSD_HELPER_LOOKUPS, &question, &answer,
	                 LOOKUP_MS);

	if (result <= 0)
		return result;
	if (memchr(answer.name, '\0', sizeof(answer.name)) == NULL)
		return -EINVAL;
	strcpy(name, answer.name);
	return 1;
}

int nfsd_helper_groups(struct nfsd_helper *helper, uint32_t uid, uint32_t *ids)
{
	struct helper_question question = {
		.what = HELPER_GROUPS,
		.user = { .uid = uid },
	};
	struct helper_answer answer;
	int n = ask(helper, USER_CHANNEL, NFSD_HELPER_USERS, &question, &answer,
	            LOOKUP_MS);

	if (n > NFSD_HELPER_MAX_GROUPS)
		return -EINVAL;
	for (int i = 0; i < n; i++)
		ids[i] = answer.groups[i];
	return n;
}

static int put_programs(struct helper_registration *to,
                        const struct orpc_program *programs, size_t nprograms)
{
	for (size_t i = 0; i < nprograms; i++)
		for (size_t j = 0; j < programs[i].nversions; j++) {
			if (to->nprograms == HELPER_MAX_PROGRAMS)
				return -E2BIG;
			to->programs[to->nprograms].prog = programs[i].prog;
			to->programs[to->nprograms++].vers =
				programs[i].versions[j].vers;
		}
	return 0;
}

int nfsd_helper_register(struct nfsd_helper *helper,
                         const struct orpc_program *programs, size_t nprograms,
                         const char *const *addresses, size_t naddresses,
                         uint16_t port)
{
	struct helper_answer answer;
	struct helper_question question = { .what = HELPER_REGISTER };
	struct helper_registration *to = &question.registration;
	int err = put_programs(to, programs, nprograms);

	if (err != 0 || naddresses > HELPER_MAX_ADDRESSES)
		return -E2BIG;
	to->port = port;
	for (; to->naddresses < naddresses; to->naddresses++) {
		const char *address = addresses[to->naddresses];
		char *text = to->addresses[to->naddresses];

		if (strlen(address) >= sizeof(to->addresses[0]))
			return -E2BIG;
		strcpy(text, address);
	}
	return ask(helper, REGISTER_CHANNEL, 1, &question, &answer,
	           REGISTER_MS);
}

int nfsd_helper_unregister(struct nfsd_helper *helper,
                           const struct orpc_program *programs,
                           size_t nprograms)
{
	struct helper_answer answer;
	struct helper_question question = { .what = HELPER_UNREGISTER };
	int err = put_programs(&question.registration, programs, nprograms);

	return err != 0 ? err
	                : ask(helper, REGISTER_CHANNEL, 1, &question, &answer,
	                      REGISTER_MS);
}
