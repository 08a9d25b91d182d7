#include "config.h"

#include "overlay/copying.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "overlay/fs.h"
#include "overlay/node.h"

#define SECOND UINT64_C(1000000000)
/*
 * Until a copy is that old, whoever wants it waits: most are done by then, and a
 * client that is told to come again does so after seconds.
 */
#define GRACE SECOND
/* How often it is told how far a copy is. */
#define SAY_EVERY (3 * SECOND)
/* What may still have to be written to disk behind a copy. */
#define WRITE_BEHIND (64u * 1024 * 1024)

/* Who waits for a copy, on his own stack. */
struct ovl_joined {
	struct ovl_joined *next;
	uint64_t wanted;
	bool ended;
	int err; /* if it has */
};

/* ---- all of them ---------------------------------------------------------- */

void ovl_copies_init(struct ovl_copies *copies, unsigned max_large,
                     unsigned max_waiting)
{
	pthread_condattr_t attr;

	*copies = (struct ovl_copies){
		.max_large = max_large,
		.max_waiting = max_waiting,
	};
	pthread_mutex_init(&copies->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&copies->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void ovl_copies_release(struct ovl_copies *copies)
{
	pthread_mutex_destroy(&copies->lock);
	pthread_cond_destroy(&copies->changed);
}

void ovl_copies_stop(struct ovl_copies *copies)
{
	pthread_mutex_lock(&copies->lock);
	copies->over = true;
	pthread_cond_broadcast(&copies->changed);
	pthread_mutex_unlock(&copies->lock);
}

static struct ovl_copying *find(struct ovl_copies *copies, uint64_t fileid)
{
	struct ovl_copying *copying = copies->first;

	while (copying && copying->fileid != fileid)
		copying = copying->next;
	return copying;
}

/* ---- waiting for another --------------------------------------------------- */

/* The lock is held. False: `until`, as ovl_now counts, has come. */
static bool wait_until(struct ovl_copies *copies, uint64_t until)
{
	struct timespec time = { until / SECOND, until % SECOND };

	return pthread_cond_timedwait(&copies->changed, &copies->lock, &time) !=
	       ETIMEDOUT;
}

static void leave(struct ovl_copying *other, struct ovl_joined *joined)
{
	struct ovl_joined **link;

	for (link = &other->joined; *link != joined; link = &(*link)->next)
		;
	*link = joined->next;
}

/*
 * Wait for what another copy comes to; the lock is held. Any number of calls wait
 * for a copy that is young, but only so many for one that takes long. 0, or
 * -EINPROGRESS: so many do.
 */
static int wait_for_end(struct ovl_copies *copies,
                        const struct ovl_copying *other,
                        const struct ovl_joined *joined)
{
	const uint64_t until = other->began + GRACE;

	while (!joined->ended && !copies->over && copies->max_waiting &&
	       !other->large)
		if (!wait_until(copies, until))
			break;
	if (joined->ended)
		return 0;
	if (copies->max_waiting && copies->nwaiting >= copies->max_waiting)
		return -EINPROGRESS;
	copies->nwaiting++;
	while (!joined->ended && !copies->over)
		pthread_cond_wait(&copies->changed, &copies->lock);
	copies->nwaiting--;
	return joined->ended ? 0 : -EINPROGRESS;
}

/*
 * Join another copy, which is gone when it has ended; the lock is held. What came
 * of it, as far as it matters to who wants so many bytes, or -EINPROGRESS.
 */
static int join(struct ovl_copies *copies, struct ovl_copying *other,
                uint64_t wanted)
{
	struct ovl_joined joined = { .next = other->joined, .wanted = wanted };
	int err;

	other->joined = &joined;
	err = wait_for_end(copies, other, &joined);
	if (joined.ended)
		return joined.err;
	leave(other, &joined);
	return err;
}

/* ---- one copy -------------------------------------------------------------- */

int ovl_copying_begin(struct ovl *fs, struct ovl_copying *copying,
                      uint64_t fileid, uint64_t wanted)
{
	struct ovl_copies *copies = &fs->copies;
	struct ovl_copying *other;
	int err = 0;

	*copying = (struct ovl_copying){
		.fs = fs,
		.fileid = fileid,
		.wanted = wanted,
	};
	pthread_mutex_lock(&copies->lock);
	while (!err && (other = find(copies, fileid)))
		err = join(copies, other, wanted);
	if (!err) {
		copying->began = ovl_now();
		copying->next = copies->first;
		copies->first = copying;
	}
	pthread_mutex_unlock(&copies->lock);
	return err;
}

/* What would come of another attempt, too. */
static bool is_lasting(int err)
{
	return err == -ENOSPC || err == -EDQUOT || err == -EFBIG || err == -EIO;
}

/* The lock is held. */
static void tell_joined(struct ovl_copying *copying, int err)
{
	struct ovl_joined *joined;

	while ((joined = copying->joined)) {
		copying->joined = joined->next;
		joined->ended = true;
		/* Who wants less may find room for it. */
		if (is_lasting(err) && joined->wanted >= copying->wanted)
			joined->err = err;
	}
}

static void say_end(const struct ovl_copying *copying, int err);

void ovl_copying_end(struct ovl_copying *copying, int err)
{
	struct ovl_copies *copies = &copying->fs->copies;
	struct ovl_copying **link;

	if (copying->said)
		say_end(copying, err);
	pthread_mutex_lock(&copies->lock);
	for (link = &copies->first; *link != copying; link = &(*link)->next)
		;
	*link = copying->next;
	if (copying->large)
		copies->nlarge--;
	tell_joined(copying, err);
	pthread_cond_broadcast(&copies->changed);
	pthread_mutex_unlock(&copies->lock);
}

/* ---- on its way ------------------------------------------------------------ */

/* The lock is held. Not everybody is to wait for it any more. */
static void note_large(struct ovl_copies *copies, struct ovl_copying *copying)
{
	copying->large = true;
	copies->nlarge++;
	pthread_cond_broadcast(&copies->changed);
}

/* Whether it may go on; a large one needs leave to begin. */
static int check(struct ovl_copying *copying,
                 const struct ovl_copy_progress *progress)
{
	struct ovl_copies *copies = &copying->fs->copies;
	bool large = progress->data > OVL_COPY_LARGE ||
	             progress->done > OVL_COPY_LARGE;
	int err = 0;

	pthread_mutex_lock(&copies->lock);
	if (copies->over && (large || progress->done > 0)) {
		err = -EINPROGRESS;
	} else if (large && !copying->large) {
		if (copies->max_large && copies->nlarge >= copies->max_large)
			err = -EINPROGRESS;
		else
			note_large(copies, copying);
	}
	pthread_mutex_unlock(&copies->lock);
	return err;
}

/*
 * Have what was copied since the last step written to disk, and wait until what
 * was copied some time ago has been. An error that a wait here tells, the flush
 * at the end would not tell again.
 */
static int write_out(struct ovl_copying *copying,
                     const struct ovl_copy_progress *progress)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE |
	                     SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	uint64_t end;

	if (copying->fs->sync == OVL_VOLATILE || progress->at <= copying->at)
		return 0;
	sync_file_range(progress->to, (off_t)copying->at,
	                (off_t)(progress->at - copying->at),
	                SYNC_FILE_RANGE_WRITE);
	if (progress->at < copying->settled + 2 * WRITE_BEHIND)
		return 0;
	end = progress->at - WRITE_BEHIND;
	if (sync_file_range(progress->to, (off_t)copying->settled,
	                    (off_t)(end - copying->settled), all) &&
	    errno != ENOSYS)
		return -errno;
	copying->settled = end;
	return 0;
}

/* ---- in the log ------------------------------------------------------------ */

/* Put `name` and a slash before what starts at `*start`. False: no room. */
static bool put_before(char *path, char **start, const char *name)
{
	size_t len = strlen(name);

	if (len + 1 > (size_t)(*start - path))
		return false;
	*start -= len + 1;
	**start = '/';
	memcpy(*start + 1, name, len);
	return true;
}

/* What the log calls it: its path, or the end of that. */
static void find_path(struct ovl_copying *copying)
{
	char *path = copying->path, *start = path + sizeof(copying->path) - 1;
	char name[NAME_MAX + 1];
	struct ovl_node *at = copying->dir, *above;

	if (!at) {
		snprintf(path, sizeof(copying->path), "file %" PRIu64,
		         copying->fileid);
		return;
	}
	snprintf(name, sizeof(name), "%s", copying->name);
	*start = '\0';
	ovl_node_ref(at);
	while (at && put_before(path, &start, name)) {
		above = ovl_node_place(at, name);
		ovl_node_unref(at);
		at = above;
	}
	ovl_node_unref(at);
	memmove(path, start, strlen(start) + 1);
}

static uint64_t mebibytes(uint64_t bytes)
{
	return bytes >> 20;
}

static void say_progress(struct ovl_copying *copying)
{
	ovl_log_line(&copying->fs->log, LOG_NOTICE,
	             "copying up %s: %" PRIu64 " of %" PRIu64 " MiB",
	             copying->path, mebibytes(copying->at),
	             mebibytes(copying->size));
}

static void say_end(const struct ovl_copying *copying, int err)
{
	if (err)
		ovl_log_line(&copying->fs->log, LOG_WARNING,
		             "copying up %s: given up at %" PRIu64
		             " of %" PRIu64 " MiB: %s",
		             copying->path, mebibytes(copying->at),
		             mebibytes(copying->size),
		             err == -EINPROGRESS ? "the server ends"
		                                 : strerrordesc_np(-err));
	else
		ovl_log_line(&copying->fs->log, LOG_NOTICE,
		             "copied up %s: %" PRIu64 " MiB in %" PRIu64 " s",
		             copying->path, mebibytes(copying->size),
		             (ovl_now() - copying->began) / SECOND);
}

int ovl_copying_step(void *arg, const struct ovl_copy_progress *progress)
{
	struct ovl_copying *copying = arg;
	uint64_t now = ovl_now(), last = copying->said;
	int err;

	err = check(copying, progress);
	if (!err)
		err = write_out(copying, progress);
	if (err)
		return err;
	copying->at = progress->at;
	copying->size = progress->size;
	if (now - (last ? last : copying->began) >= SAY_EVERY) {
		if (!last)
			find_path(copying);
		copying->said = now;
		say_progress(copying);
	}
	return 0;
}
