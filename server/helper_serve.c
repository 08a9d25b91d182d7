/*
 * The helper's side: a thread a channel, which answers one question after another.
 */
#include "config.h"

#include "server/helper_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/rpcbind.h"
#include "rpc/thread.h"
#include "server/client.h"
#include "server/resolve.h"

struct serving {
	pthread_mutex_t netgroups; /* innetgr(3) is for one thread */
	struct channel {
		struct serving *serving;
		int fd;
	} channels[HELPER_CHANNELS];
};

static bool is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static int is_client(struct serving *serving,
                     const struct helper_question *question,
                     struct helper_answer *answer)
{
	const struct helper_client *asked = &question->client;
	struct nfsd_client client = { .kind = asked->kind,
		                      .text = (char *)asked->text };

	(void)answer;
	if (!is_text(asked->text, sizeof(asked->text)))
		return -EINVAL;
	return nfsd_resolve(&client, &asked->address, &serving->netgroups);
}

static int name(struct serving *serving, const struct helper_question *question,
                struct helper_answer *answer)
{
	(void)serving;
	return nfsd_resolve_name(&question->client.address, answer->name);
}

/* The programs of a registration, each of one version. -EINVAL, or how many. */
static int take_programs(const struct helper_registration *asked,
                         struct orpc_version versions[HELPER_MAX_PROGRAMS],
                         struct orpc_program programs[HELPER_MAX_PROGRAMS])
{
	if (asked->nprograms > HELPER_MAX_PROGRAMS)
		return -EINVAL;
	for (uint32_t i = 0; i < asked->nprograms; i++) {
		versions[i] = (struct orpc_version){
			.vers = asked->programs[i].vers,
		};
		programs[i] = (struct orpc_program){
			.prog = asked->programs[i].prog,
			.versions = &versions[i],
			.nversions = 1,
		};
	}
	return (int)asked->nprograms;
}

static int groups(struct serving *serving,
                  const struct helper_question *question,
                  struct helper_answer *answer)
{
	(void)serving;
	return nfsd_resolve_groups(question->user.uid, answer->groups,
	                           NFSD_HELPER_MAX_GROUPS);
}

static int set(struct serving *serving, const struct helper_question *question,
               struct helper_answer *answer)
{
	const struct helper_registration *asked = &question->registration;
	struct orpc_version versions[HELPER_MAX_PROGRAMS];
	struct orpc_program programs[HELPER_MAX_PROGRAMS];
	const char *addresses[HELPER_MAX_ADDRESSES];
	int n = take_programs(asked, versions, programs);

	(void)serving;
	(void)answer;
	if (n < 0 || asked->naddresses > HELPER_MAX_ADDRESSES ||
	    asked->port > UINT16_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < asked->naddresses; i++) {
		addresses[i] = asked->addresses[i];
		if (!is_text(addresses[i], sizeof(asked->addresses[i])))
			return -EINVAL;
	}
	return orpc_rpcbind_set(programs, (size_t)n, addresses,
	                        asked->naddresses, (uint16_t)asked->port);
}

static int unset(struct serving *serving,
                 const struct helper_question *question,
                 struct helper_answer *answer)
{
	struct orpc_version versions[HELPER_MAX_PROGRAMS];
	struct orpc_program programs[HELPER_MAX_PROGRAMS];
	int n = take_programs(&question->registration, versions, programs);

	(void)serving;
	(void)answer;
	if (n < 0)
		return n;
	orpc_rpcbind_unset(programs, (size_t)n);
	return 0;
}

#define BYTES(member)                               \
	(offsetof(struct helper_question, member) + \
	 sizeof(((struct helper_question *)NULL)->member))

static const struct {
	size_t bytes;
	int (*answer)(struct serving *serving,
	              const struct helper_question *question,
	              struct helper_answer *answer);
} kinds[] = {
	[HELPER_IS_CLIENT] = { BYTES(client), is_client },
	[HELPER_NAME] = { BYTES(client), name },
	[HELPER_GROUPS] = { BYTES(user), groups },
	[HELPER_REGISTER] = { BYTES(registration), set },
	[HELPER_UNREGISTER] = { BYTES(registration), unset },
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

size_t helper_question_bytes(uint32_t what)
{
	return what < NKINDS ? kinds[what].bytes : 0;
}

/* One question. False: there are no more. */
static bool answer_one(const struct channel *channel)
{
	struct helper_question question;
	struct helper_answer answer;
	ssize_t n = recv(channel->fd, &question, sizeof(question), MSG_TRUNC);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < (ssize_t)offsetof(struct helper_question, client) ||
	    (size_t)n != helper_question_bytes(question.what))
		return false;
	answer = (struct helper_answer){ .number = question.number };
	answer.result = kinds[question.what].answer(channel->serving, &question,
	                                            &answer);
	return send(channel->fd, &answer, sizeof(answer), MSG_NOSIGNAL) ==
	       sizeof(answer);
}

static void *answer_all(void *arg)
{
	const struct channel *channel = arg;

	while (answer_one(channel))
		;
	_exit(0); /* the server has ended, or is no longer what it was */
}

_Noreturn void helper_serve(const int channels[HELPER_CHANNELS])
{
	/* No events but that the other end is closed: then nobody asks. */
	struct pollfd end = { .fd = channels[0] };
	struct serving serving = { .netgroups = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread;

	for (unsigned i = 0; i < HELPER_CHANNELS; i++) {
		serving.channels[i] = (struct channel){ &serving, channels[i] };
		if (orpc_thread_start(&thread, "helper", i, answer_all,
		                      &serving.channels[i]) != 0)
			_exit(1);
	}
	while (poll(&end, 1, -1) <= 0)
		;
	_exit(0);
}
