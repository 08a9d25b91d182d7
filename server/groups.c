#include "config.h"

#include "server/groups.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Users that are known at a time; one more takes the place of another. */
#define KNOWN 4096
/* How long, in seconds; and until it is asked again where it could not tell. */
#define BELIEVED 300
#define BELIEVED_UNTOLD 10

struct nfsd_group_list {
	atomic_uint refs;
	uint32_t n;
	uint32_t ids[]; /* group 0 comes first, if it is there */
};

struct known {
	uint32_t uid;
	time_t until;
	struct nfsd_group_list *list; /* NULL: there is none here */
};

struct nfsd_groups {
	struct nfsd_helper *helper;
	pthread_mutex_t lock; /* guards what is below */
	struct known known[KNOWN];
};

struct nfsd_groups *nfsd_groups_new(struct nfsd_helper *helper)
{
	struct nfsd_groups *groups = calloc(1, sizeof(*groups));

	if (groups == NULL)
		return NULL;
	groups->helper = helper;
	pthread_mutex_init(&groups->lock, NULL);
	return groups;
}

void nfsd_groups_free(struct nfsd_groups *groups)
{
	if (groups == NULL)
		return;
	for (size_t i = 0; i < KNOWN; i++)
		nfsd_group_list_unref(groups->known[i].list);
	pthread_mutex_destroy(&groups->lock);
	free(groups);
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* ---- lists --------------------------------------------------------------------- */

static void put_root_first(struct nfsd_group_list *list)
{
	for (uint32_t i = 1; i < list->n; i++) {
		if (list->ids[i] != 0)
			continue;
		list->ids[i] = list->ids[0];
		list->ids[0] = 0;
		return;
	}
}

static struct nfsd_group_list *new_list(const uint32_t *ids, size_t n)
{
	struct nfsd_group_list *list;

	list = malloc(sizeof(*list) + n * sizeof(list->ids[0]));
	if (list == NULL)
		return NULL;
	atomic_init(&list->refs, 1);
	list->n = (uint32_t)n;
	if (n > 0)
		memcpy(list->ids, ids, n * sizeof(list->ids[0]));
	put_root_first(list);
	return list;
}

static struct nfsd_group_list *list_ref(struct nfsd_group_list *list)
{
	atomic_fetch_add(&list->refs, 1);
	return list;
}

void nfsd_group_list_unref(struct nfsd_group_list *list)
{
	if (list != NULL && atomic_fetch_sub(&list->refs, 1) == 1)
		free(list);
}

const uint32_t *nfsd_group_list_ids(const struct nfsd_group_list *list,
                                    bool no_root, size_t *n)
{
	const size_t skip = no_root && list->n > 0 && list->ids[0] == 0;

	*n = list->n - skip;
	return list->ids + skip;
}

/* ---- asking -------------------------------------------------------------------- */

/* NULL: they are not known, or no longer. */
static struct nfsd_group_list *recall(struct nfsd_groups *groups, uint32_t uid)
{
	struct known *known = &groups->known[uid % KNOWN];
	struct nfsd_group_list *list = NULL;

	pthread_mutex_lock(&groups->lock);
	if (known->list != NULL && known->uid == uid && now() < known->until)
		list = list_ref(known->list);
	pthread_mutex_unlock(&groups->lock);
	return list;
}

/*
 * The system cannot tell: what it said last goes on, lest those who are at work lose
 * what their groups let them do. NULL: it has said nothing.
 */
static struct nfsd_group_list *go_on(struct nfsd_groups *groups, uint32_t uid)
{
	struct known *known = &groups->known[uid % KNOWN];
	struct nfsd_group_list *list = NULL;

	pthread_mutex_lock(&groups->lock);
	if (known->list != NULL && known->uid == uid) {
		known->until = now() + BELIEVED_UNTOLD;
		list = list_ref(known->list);
	}
	pthread_mutex_unlock(&groups->lock);
	return list;
}

static void keep(struct nfsd_groups *groups, uint32_t uid, int seconds,
                 struct nfsd_group_list *list)
{
	struct known *known = &groups->known[uid % KNOWN];
	struct nfsd_group_list *old;

	pthread_mutex_lock(&groups->lock);
	old = known->list;
	*known = (struct known){ uid, now() + seconds, list_ref(list) };
	pthread_mutex_unlock(&groups->lock);
	nfsd_group_list_unref(old);
}

int nfsd_groups_get(struct nfsd_groups *groups, uint32_t uid, bool may_wait,
                    struct nfsd_group_list **list)
{
	uint32_t ids[NFSD_HELPER_MAX_GROUPS];
	int n;

	*list = recall(groups, uid);
	if (*list != NULL)
		return 0;
	if (!may_wait)
		return -EAGAIN;
	n = nfsd_helper_groups(groups->helper, uid, ids);
	if (n == -EBUSY)
		return -EINPROGRESS;
	if (n < 0)
		*list = go_on(groups, uid);
	if (*list != NULL)
		return 0;
	*list = new_list(ids, n > 0 ? (size_t)n : 0);
	if (*list == NULL)
		return -ENOMEM;
	keep(groups, uid, n < 0 ? BELIEVED_UNTOLD : BELIEVED, *list);
	return 0;
}
