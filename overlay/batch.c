#include "config.h"

#include "overlay/batch.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "overlay/sync.h"

/* The inode that a journal has, where it is within its filesystem. */
#define EXT4_JOURNAL_INO 8

struct object {
	int fd;
	int err;
	const struct object *same; /* that was there before, or NULL */
};

/* One call that waits; on its own stack. */
struct ovl_batch_member {
	struct ovl_batch_member *next;
	struct object objects[OVL_BATCH_OBJECTS];
	unsigned n;
	enum { WAITING, LEADING, DONE } state;
	pthread_cond_t turn; /* `state` has changed */
	int err;
};

/* ---- the filesystem --------------------------------------------------------- */

/*
 * Whether an ext4, ext3 or ext2 filesystem has a journal, which statfs does not
 * tell; false where that is not known (a journal on another device, no /proc).
 */
static bool has_journal(dev_t dev)
{
	char link[64], target[PATH_MAX], path[PATH_MAX + 64];
	const char *name;
	ssize_t len;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev),
	         minor(dev));
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	name = strrchr(target, '/');
	snprintf(path, sizeof(path), "/proc/fs/jbd2/%s-%d",
	         name ? name + 1 : target, EXT4_JOURNAL_INO);
	return access(path, F_OK) == 0;
}

static enum ovl_batch_way choose(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) || fstat(fd, &st))
		return OVL_BATCH_EACH;
	switch ((uint32_t)fs.f_type) {
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC: /* nothing of it outlives a crash */
		return OVL_BATCH_IN_ORDER;
	case EXT4_SUPER_MAGIC:
		return has_journal(st.st_dev) ? OVL_BATCH_IN_ORDER
		                              : OVL_BATCH_EACH_OR_ALL;
	/*
	 * Measured with 32 files, each moved into a directory of its own: 40 ms
	 * for an fsync of each directory, 8 ms for syncfs. But that writes
	 * everybody's data too, and so is not for the few.
	 */
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
		return OVL_BATCH_EACH_OR_ALL;
	default:
		return OVL_BATCH_EACH;
	}
}

/* ---- flushing ------------------------------------------------------------------ */

static int heard(struct ovl_batch *batch, int err)
{
	batch->heard(batch->arg, err);
	return err;
}

/*
 * The marker's change of times is the last thing in the log: when it is stable,
 * so is all before it. To flush a directory that was changed would say nothing
 * of another, changed later. Measured on ext4 and xfs: it costs what the fsync of
 * one directory does, however many there are; of 32 each, ext4 takes twice that.
 */
static int flush_log(struct ovl_batch *batch)
{
	int err = futimens(batch->marker, NULL) ? -errno : 0;

	if (!err)
		err = ovl_sync_fd(batch->marker, OVL_SYNC_FILE);
	return heard(batch, err);
}

static const struct object *find_same(const struct ovl_batch_member *first,
                                      const struct object *object)
{
	for (; first; first = first->next) {
		for (unsigned i = 0; i < first->n; i++) {
			if (&first->objects[i] == object)
				return NULL;
			/* Both are open now: the number tells. */
			if (first->objects[i].fd == object->fd)
				return &first->objects[i];
		}
	}
	return NULL;
}

/* How many objects there are. */
static unsigned count(struct ovl_batch_member *first)
{
	unsigned different = 0;

	for (struct ovl_batch_member *m = first; m; m = m->next) {
		for (unsigned i = 0; i < m->n; i++) {
			m->objects[i].same = find_same(first, &m->objects[i]);
			different += !m->objects[i].same;
		}
	}
	return different;
}

static void flush_each(struct ovl_batch *batch, struct ovl_batch_member *m)
{
	for (; m; m = m->next) {
		for (unsigned i = 0; i < m->n; i++) {
			struct object *object = &m->objects[i];

			object->err =
				object->same
					? object->same->err
					: heard(batch,
			                        ovl_sync_fd(object->fd,
			                                    OVL_SYNC_FILE));
			if (!m->err)
				m->err = object->err;
		}
	}
}

/* For all members from `first` on. */
static void flush(struct ovl_batch *batch, struct ovl_batch_member *first)
{
	struct ovl_batch_member *m;
	int err;

	if (batch->way == OVL_BATCH_IN_ORDER) {
		err = flush_log(batch);
	} else if (count(first) > OVL_BATCH_EACH_MAX &&
	           batch->way == OVL_BATCH_EACH_OR_ALL) {
		err = heard(batch, ovl_sync_fd(batch->marker, OVL_SYNC_ALL));
	} else {
		flush_each(batch, first);
		return;
	}
	for (m = first; m; m = m->next)
		m->err = err;
}

/* ---- batches ------------------------------------------------------------------- */

void ovl_batch_init(struct ovl_batch *batch, int marker,
                    ovl_batch_heard_fn *heard, void *arg)
{
	*batch = (struct ovl_batch){
		.way = choose(marker),
		.marker = marker,
		.heard = heard,
		.arg = arg,
	};
	batch->last = &batch->first;
	pthread_mutex_init(&batch->lock, NULL);
}

void ovl_batch_release(struct ovl_batch *batch)
{
	assert(!batch->first && !batch->flushing);
	pthread_mutex_destroy(&batch->lock);
}

static void set_state(struct ovl_batch_member *member, int state)
{
	member->state = state;
	pthread_cond_signal(&member->turn);
}

/* All who have gathered, taken out; the lock is held. */
static struct ovl_batch_member *take_gathered(struct ovl_batch *batch)
{
	struct ovl_batch_member *first = batch->first;

	batch->first = NULL;
	batch->last = &batch->first;
	batch->ngathered = 0;
	return first;
}

/* The lock is held, and let go of for the flush. */
static void lead(struct ovl_batch *batch)
{
	struct ovl_batch_member *members = take_gathered(batch), *next;

	pthread_mutex_unlock(&batch->lock);
	flush(batch, members);
	pthread_mutex_lock(&batch->lock);
	for (; members; members = next) {
		next = members->next; /* it may be gone once it is done */
		set_state(members, DONE);
	}
	if (batch->first)
		set_state(batch->first, LEADING);
	else
		batch->flushing = false;
}

int ovl_batch_flush(struct ovl_batch *batch, const int *fds, unsigned n)
{
	struct ovl_batch_member self = { .n = n };

	assert(n <= OVL_BATCH_OBJECTS);
	for (unsigned i = 0; i < n; i++)
		self.objects[i].fd = fds[i];
	pthread_cond_init(&self.turn, NULL);
	pthread_mutex_lock(&batch->lock);
	*batch->last = &self;
	batch->last = &self.next;
	batch->ngathered++;
	if (!batch->flushing) {
		batch->flushing = true;
		self.state = LEADING;
	}
	while (self.state == WAITING)
		pthread_cond_wait(&self.turn, &batch->lock);
	if (self.state == LEADING)
		lead(batch);
	pthread_mutex_unlock(&batch->lock);
	pthread_cond_destroy(&self.turn);
	return self.err;
}
