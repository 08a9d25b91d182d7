/*
 * veneerd under attack: an attacker in a thread of its own does his worst for some
 * seconds, while a well-behaved client goes on. What became of that client, of the
 * server's memory and of its log is printed, and asserted:
 *   - no call fails, and 99 of 100 are answered within 250 ms (with sanitizers, 2 s)
 *     and twenty times what they took right before without the attacker, so that a
 *     slow or busy machine is no failure;
 *   - the server has no more memory than --max-memory and what the README says that
 *     it has by itself;
 *   - there are few lines in the log.
 *
 * Life cycle: siege_prepare makes the layers' directory, a test fills it, siege_start;
 * any number of siege_withstand; siege_end. One server at a time.
 */
#ifndef VENEER_TESTS_ATTACK_SIEGE_H
#define VENEER_TESTS_ATTACK_SIEGE_H

#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/client.h"
#include "tests/lib/daemon.h"

/* Then memory tells nothing, and a megabyte takes as long as many. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIEGE_IS_SANITIZED true
#elif defined(__clang__)
#define SIEGE_IS_SANITIZED \
	(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SIEGE_IS_SANITIZED false
#endif

#define SIEGE_MEMORY_MIB 64u
#define SIEGE_MEMORY "64M"

struct siege {
	struct daemon *daemon;
	struct client *client; /* for what a test asks by itself */
	const char *upper;     /* where upper and work are: "" or "/NAME" */
	const char *max_connections;
	atomic_bool over;       /* the attacker is to end */
	_Atomic uint64_t deeds; /* of the attacker, as he counts them */
};

/* What an attacker does, until the siege is over. */
typedef void siege_attack_fn(struct siege *siege);

void siege_prepare(struct siege *siege);
void siege_start(struct siege *siege, const char *max_connections);
void siege_stop(struct siege *siege);
void siege_restart(struct siege *siege); /* as it was started */
void siege_end(struct siege *siege);

/* Print and assert the above; `what` begins the line, `deeds` names his. */
void siege_withstand(struct siege *siege, const char *what, const char *deeds,
                     siege_attack_fn *attack);

/* A case of a test alone, so that CK_RUN_CASE can choose it. */
void siege_add(Suite *suite, const char *name, const TTest *test, SFun setup,
               SFun teardown);

/* A number of the statistics, as they are a second later. */
uint64_t siege_statistic(struct siege *siege, const char *name);

#endif
