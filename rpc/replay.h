/*
 * The duplicate request cache: calls that are carried out once, however often
 * their client sends them.
 *
 * A client that hears nothing sends its call again: on the same connection, on
 * a new one, or by UDP, perhaps from another port. The first call of a key (its
 * parts are in replay.c) is carried out; one that comes while the first runs
 * joins it, and gets its reply when there is one, whatever has become of the
 * first one's connection; one that comes later gets the reply that was kept.
 *
 * What runs is never forgotten: there is as much of it as calls may be in hand.
 * Of the replies that are kept, the oldest go where they are too many, or too
 * many bytes. How many may join is bounded, too.
 *
 * Thread-safe.
 */
#ifndef VENEER_RPC_REPLAY_H
#define VENEER_RPC_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "rpc/loop.h"
#include "rpc/orpc.h"

struct orpc_replays; /* all of a server */
struct orpc_replay;  /* a call that was begun; counted by reference */

/*
 * Keep so many replies (1 at least), which take so many bytes with all that
 * belongs to them, and let so many calls join others. 0 or -ENOMEM.
 */
int orpc_replays_new(size_t max_replies, size_t max_bytes, unsigned max_joined,
                     struct orpc_replays **replays);

/* When nothing runs any more, and nobody has joined. NULL is fine. */
void orpc_replays_free(struct orpc_replays *replays);

/* The fields of `stats` that begin with replay_. */
void orpc_replays_stats(struct orpc_replays *replays, struct orpc_stats *stats);

/* ---- a call --------------------------------------------------------------- */

enum orpc_replay_state {
	ORPC_REPLAY_FIRST, /* to be carried out; then one of the two below */
	ORPC_REPLAY_RUNS, /* orpc_replay_join or orpc_replay_unref must follow */
	ORPC_REPLAY_DONE, /* its reply has been copied */
	ORPC_REPLAY_NO_MEMORY,
};

/*
 * A call with `len` bytes of arguments has come. With the first two results
 * `*replay` is set, with the third `*reply_len`, for the bytes at `reply`, where
 * there is room for all that orpc_replay_end is given.
 */
enum orpc_replay_state orpc_replay_begin(struct orpc_replays *replays,
                                         const struct orpc_call *call,
                                         const unsigned char *args, size_t len,
                                         struct orpc_replay **replay,
                                         unsigned char *reply,
                                         size_t *reply_len);

/*
 * It has been carried out, with this reply, which goes to who has joined, and,
 * with `keep`, to who comes later. Without memory for a copy it is as abandoned.
 */
void orpc_replay_end(struct orpc_replay *replay, const unsigned char *reply,
                     size_t len, bool keep);

/* It has not been carried out, and will not be: the next one is the first. */
void orpc_replay_abandon(struct orpc_replay *replay);

void orpc_replay_unref(struct orpc_replay *replay);

/* ---- one that joins it ---------------------------------------------------- */

/*
 * Of the owner, who sets the first two and keeps it where it is until the task
 * has been run in that loop, and has called orpc_replay_part, or until
 * orpc_replay_leave was true.
 */
struct orpc_joiner {
	struct orpc_task task;
	struct orpc_loop *loop;
	struct orpc_replay *replay;
	LIST_ENTRY(orpc_joiner) others;
};

/*
 * Join: takes over the reference to `replay`, and has the task posted when that
 * has ended, or at once if it has. False, and nothing is taken: too many have
 * joined already, which does not matter to one that has no other way (`must`).
 */
bool orpc_replay_join(struct orpc_replay *replay, struct orpc_joiner *joiner,
                      bool must);

/* For the task: the reply, good until orpc_replay_part. NULL: abandoned. */
const unsigned char *orpc_joiner_reply(const struct orpc_joiner *joiner,
                                       size_t *len);
void orpc_replay_part(struct orpc_joiner *joiner);

/* Do not wait any longer. False: too late, the task is on its way. */
bool orpc_replay_leave(struct orpc_joiner *joiner);

#endif
