#include "config.h"

#include "overlay/asked.h"

#include <sodium.h>
#include <stdlib.h>

#include "overlay/node.h"
#include "overlay/overlay.h"

/* Questions, in sets; each has its place in one of them. */
#define SETS 1024
#define WAYS 4
/* Nodes that are held for those who come again. */
#define MAX_HELD 256

struct ovl_asked {
	struct ovl_question questions[SETS][WAYS];
	/* Inode numbers may be made to collide. */
	unsigned char key[crypto_shorthash_KEYBYTES];
	unsigned held;
};

struct ovl_asked *ovl_asked_new(void)
{
	struct ovl_asked *asked = calloc(1, sizeof(*asked));

	if (asked)
		randombytes_buf(asked->key, sizeof(asked->key));
	return asked;
}

void ovl_asked_free(struct ovl_asked *asked)
{
	if (!asked)
		return;
	for (unsigned i = 0; i < SETS; i++)
		for (unsigned k = 0; k < WAYS; k++)
			ovl_node_unref(asked->questions[i][k].node);
	free(asked);
}

static struct ovl_question *set_of(const struct ovl_asked *asked,
                                   uint64_t fileid)
{
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, (unsigned char *)&fileid,
	                 sizeof(fileid), asked->key);
	return (struct ovl_question *)asked->questions[hash % SETS];
}

struct ovl_question *ovl_asked_find(struct ovl_asked *asked, uint64_t fileid)
{
	struct ovl_question *set = set_of(asked, fileid);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].fileid == fileid)
			return &set[i];
	return NULL;
}

struct ovl_node *ovl_asked_take(struct ovl_asked *asked,
                                struct ovl_question *question)
{
	struct ovl_node *node = question->node;

	if (node)
		asked->held--;
	question->node = NULL;
	return node;
}

/* Where a question has its place: its own, or that of one to be forgotten. */
static struct ovl_question *place_for(struct ovl_asked *asked, uint64_t fileid)
{
	struct ovl_question *oldest = set_of(asked, fileid), *at = oldest;

	for (unsigned i = 0; i < WAYS; i++, at++) {
		if (at->fileid == fileid)
			return at;
		if (at->when < oldest->when)
			oldest = at;
	}
	return oldest;
}

struct ovl_question *ovl_asked_add(struct ovl_asked *asked, uint64_t fileid)
{
	struct ovl_question *at = place_for(asked, fileid);

	ovl_node_unref(ovl_asked_take(asked, at));
	*at = (struct ovl_question){ .fileid = fileid, .when = ovl_now() };
	return at;
}

bool ovl_asked_is_open(struct ovl_asked *asked, uint64_t fileid)
{
	const struct ovl_question *question = ovl_asked_find(asked, fileid);

	return question && question->answer == OVL_ASKED;
}

void ovl_asked_found(struct ovl_asked *asked, uint64_t fileid,
                     struct ovl_node *node)
{
	struct ovl_question *question = ovl_asked_find(asked, fileid);

	if (!question || question->everywhere)
		return;
	question->answer = OVL_FOUND;
	question->when = ovl_now();
	if (!question->node && node && asked->held < MAX_HELD) {
		question->node = ovl_node_ref(node);
		asked->held++;
	}
}
