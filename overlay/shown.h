/*
 * What of the stack is known to show as it is in an overlay: it has no upper part,
 * and nothing in the directories above hides it. What is found by its handle alone
 * need not ask so for each of those.
 *
 * A bounded memory: a newcomer may drive out another. It holds until something in the
 * overlay comes to stand where the stack has something, or others have changed a
 * directory of the overlay or of the stack. Thread-safe; who finds what he looks for
 * writes nothing.
 */
#ifndef VENEER_OVERLAY_SHOWN_H
#define VENEER_OVERLAY_SHOWN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OVL_SHOWN_BITS 9

struct ovl_shown {
	_Atomic uint64_t changes;      /* in the overlay */
	const _Atomic uint64_t *below; /* the same in the stack */
	struct {
		_Atomic uint64_t fileid; /* 0: none */
		_Atomic uint64_t at;     /* the sum of both then */
	} known[1u << OVL_SHOWN_BITS];
	pthread_mutex_t lock; /* who adds; nothing is locked in it */
};

/* `below` counts what others change in the stack; it is borrowed. */
void ovl_shown_init(struct ovl_shown *shown, const _Atomic uint64_t *below);

/* Whether the stack's node of that fileid is known to show. */
bool ovl_shown_has(const struct ovl_shown *shown, uint64_t fileid);

/* To be asked for before looking at what may hide it. */
uint64_t ovl_shown_changes(const struct ovl_shown *shown);

/* It shows, by what was looked at since `changes`. */
void ovl_shown_add(struct ovl_shown *shown, uint64_t changes, uint64_t fileid);

/* What may hide something has changed, and can be seen to have. */
void ovl_shown_forget(struct ovl_shown *shown);

#endif
