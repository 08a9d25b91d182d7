/*
 * Asking a walk for an object: what is known of it, and when it is gone.
 */
#include "config.h"

#include "overlay/walk.h"

#include <errno.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)
/* How long a call waits for a walk before it is told to come again. */
#define WAIT SECOND
/* What was not to be found is not looked for again so soon, whatever changes. */
#define HOLD (5 * SECOND)
/* Walks after which an object is gone, though others change things meanwhile. */
#define ENOUGH 3

/* Only a walk begun from now on answers it for sure. */
static struct ovl_question *ask(struct ovl_walk *walk, uint64_t fileid)
{
	struct ovl_question *question = ovl_asked_add(walk->asked, fileid);

	question->begun = walk->begun;
	question->ended = walk->ended + walk->running;
	return question;
}

static bool is_over(const struct ovl_walk *walk,
                    const struct ovl_question *question)
{
	return (int)(walk->sure - question->begun) > 0 ||
	       (int)(walk->ended - question->ended) >= ENOUGH;
}

/*
 * An answer is good for a while. That it is gone: until rows have been lost, or
 * others have changed something, and then for some time still, lest each call
 * begin a walk.
 */
static bool is_good(struct ovl_walk *walk, const struct ovl_question *question)
{
	switch (question->answer) {
	case OVL_FOUND:
		return question->node || ovl_now() - question->when < WAIT;
	case OVL_GONE:
		return ovl_now() < question->until ||
		       question->losses == ovl_map_losses(walk->tree->map);
	default:
		return true;
	}
}

static void answer_gone(struct ovl_walk *walk, struct ovl_question *question)
{
	const uint64_t now = ovl_now();
	uint64_t hold = walk->not_until > now ? walk->not_until - now : 0;

	question->answer = OVL_GONE;
	question->when = now;
	question->until = now + HOLD + hold;
	question->losses = ovl_map_losses(walk->tree->map);
}

/* What is known of it; it is asked if it was not. The lock is held. */
static struct ovl_question *question_of(struct ovl_walk *walk, uint64_t fileid,
                                        bool everywhere)
{
	struct ovl_question *question = ovl_asked_find(walk->asked, fileid);

	if (!question || !is_good(walk, question) ||
	    (everywhere && !question->everywhere)) {
		question = ask(walk, fileid);
		question->everywhere = everywhere;
	}
	if (question->answer == OVL_ASKED && is_over(walk, question))
		answer_gone(walk, question);
	return question;
}

/* Wait until something happens, or until then. */
static void wait_a_moment(struct ovl_walk *walk, uint64_t until)
{
	const struct timespec at = { .tv_sec = (time_t)(until / SECOND),
		                     .tv_nsec = (long)(until % SECOND) };

	pthread_cond_timedwait(&walk->moment, &walk->lock, &at);
}

/* The lock is held, but while it waits. */
static int find_until(struct ovl_walk *walk, uint64_t fileid, bool everywhere,
                      uint64_t until, struct ovl_node **node)
{
	struct ovl_question *question;
	uint64_t now, next;
	int err;

	for (;;) {
		question = question_of(walk, fileid, everywhere);
		if (question->answer == OVL_FOUND)
			*node = ovl_asked_take(walk->asked, question);
		if (question->answer != OVL_ASKED)
			return question->answer == OVL_FOUND ? 0 : -ENOENT;
		now = ovl_now();
		if (now >= until || walk->stop)
			return -EINPROGRESS;
		next = until;
		/* One has ended since the caller looked: its rows tell. */
		if (!walk->running && ovl_map_complete(walk->tree->map))
			return -ENOENT;
		if (!walk->running && now >= walk->not_until) {
			err = ovl_walk_start(walk);
			if (err)
				return err;
		} else if (!walk->running && walk->not_until < until) {
			next = walk->not_until;
		}
		wait_a_moment(walk, next);
	}
}

int ovl_walk_find(struct ovl_walk *walk, uint64_t fileid, bool everywhere,
                  struct ovl_node **node)
{
	int err = -ENOMEM;

	*node = NULL;
	pthread_mutex_lock(&walk->lock);
	if (!walk->asked)
		walk->asked = ovl_asked_new();
	if (walk->asked)
		err = find_until(walk, fileid, everywhere, ovl_now() + WAIT,
		                 node);
	pthread_mutex_unlock(&walk->lock);
	return err;
}
