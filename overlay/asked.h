/*
 * The handles that have been asked for and were not found: what a walk is to
 * look for, and what it has found out. It outlives the calls that ask, which are
 * told to come again. Bounded: where there are more, the oldest are forgotten,
 * and ask anew.
 *
 * Not thread-safe: struct ovl_walk's lock guards it.
 */
#ifndef VENEER_OVERLAY_ASKED_H
#define VENEER_OVERLAY_ASKED_H

#include <stdbool.h>
#include <stdint.h>

struct ovl_asked;
struct ovl_node;

enum ovl_answer {
	OVL_ASKED, /* nothing is known so far */
	OVL_FOUND, /* it has been seen */
	OVL_GONE,  /* it is nowhere */
};

struct ovl_question {
	uint64_t fileid; /* 0: none */
	uint64_t when;   /* asked or answered: ns of ovl_now */
	/* Walks begun, and gone to the end, when it was asked. */
	unsigned begun, ended;
	/* To have been seen is no answer: all of its names are wanted. */
	bool everywhere;
	enum ovl_answer answer;
	struct ovl_node *node; /* FOUND: held, until somebody takes it */
	uint64_t until;        /* GONE: then it may be asked again, if... */
	unsigned losses;       /* ...the map has lost rows since */
};

struct ovl_asked *ovl_asked_new(void);        /* NULL: no memory */
void ovl_asked_free(struct ovl_asked *asked); /* NULL is fine */

/* The question of that fileid, or NULL. Good until another is added. */
struct ovl_question *ovl_asked_find(struct ovl_asked *asked, uint64_t fileid);

/* A new one, asked now, or the old one asked anew. */
struct ovl_question *ovl_asked_add(struct ovl_asked *asked, uint64_t fileid);

/* Whether that is asked, and not answered yet. */
bool ovl_asked_is_open(struct ovl_asked *asked, uint64_t fileid);

/*
 * It has been seen, as `node` (or NULL), which is held where there is room for
 * that. No effect where nobody asks, or where that is no answer.
 */
void ovl_asked_found(struct ovl_asked *asked, uint64_t fileid,
                     struct ovl_node *node);

/* The node that was found, which is the caller's to drop from then on; or NULL. */
struct ovl_node *ovl_asked_take(struct ovl_asked *asked,
                                struct ovl_question *question);

#endif
