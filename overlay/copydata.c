#include "config.h"

#include "overlay/copydata.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)
/* In one system call, lest nobody hear of it for seconds. */
#define KERNEL_COPY_MAX (8 * 1024 * 1024)

struct copying {
	int from, to;
	uint64_t size; /* wanted */
	uint64_t data; /* how much of it is no hole, about */
	uint64_t done;
	struct ovl_copy_watch *watch;
	bool by_kernel; /* copy_file_range has not failed yet */
	char *buffer;   /* for when it has */
};

/* ---- one range ---------------------------------------------------------- */

/* What means that copy_file_range cannot, rather than that nobody could. */
static bool cannot(int err)
{
	return err == -EXDEV || err == -EOPNOTSUPP || err == -EINVAL ||
	       err == -ENOSYS || err == -EPERM;
}

/* The bytes copied; 0 at the end of `from`. */
static ssize_t copy_by_kernel(struct copying *job, uint64_t at, uint64_t count)
{
	off_t from_at = (off_t)at, to_at = (off_t)at;
	ssize_t n;

	if (count > KERNEL_COPY_MAX)
		count = KERNEL_COPY_MAX;
	n = copy_file_range(job->from, &from_at, job->to, &to_at, count, 0);
	return n < 0 ? -errno : n;
}

static int write_all(int fd, const char *data, size_t count, uint64_t at)
{
	while (count > 0) {
		ssize_t n = pwrite(fd, data, count, (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			at += (uint64_t)n;
			count -= (size_t)n;
		}
	}
	return 0;
}

static ssize_t copy_by_hand(struct copying *job, uint64_t at, uint64_t count)
{
	ssize_t n;
	int err;

	if (!job->buffer)
		job->buffer = malloc(BUFFER_SIZE);
	if (!job->buffer)
		return -ENOMEM;
	n = pread(job->from, job->buffer,
	          count < BUFFER_SIZE ? count : BUFFER_SIZE, (off_t)at);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	err = write_all(job->to, job->buffer, (size_t)n, at);
	return err ? err : n;
}

static int step(const struct copying *job, uint64_t at)
{
	const struct ovl_copy_progress progress = {
		.to = job->to,
		.at = at,
		.size = job->size,
		.done = job->done,
		.data = job->data,
	};

	if (!job->watch->step)
		return 0;
	return job->watch->step(job->watch->arg, &progress);
}

static void count(struct copying *job, uint64_t bytes)
{
	job->done += bytes;
	job->watch->copied += bytes;
}

static int copy_range(struct copying *job, uint64_t at, uint64_t end)
{
	while (at < end) {
		ssize_t n = -ENOSYS;
		int err = step(job, at);

		if (err)
			return err;
		if (job->by_kernel)
			n = copy_by_kernel(job, at, end - at);
		/* Some filesystems' files look empty to copy_file_range. */
		if (n == 0 || cannot((int)n)) {
			job->by_kernel = false;
			n = copy_by_hand(job, at, end - at);
		}
		if (n < 0 && n != -EINTR)
			return (int)n;
		if (n == 0)
			return 0; /* it has been cut meanwhile */
		if (n > 0) {
			at += (uint64_t)n;
			count(job, (uint64_t)n);
		}
	}
	return 0;
}

/* ---- all of them -------------------------------------------------------- */

/*
 * The next range with data from `at` on, in `*begin` and `*end`; false where
 * there is only a hole left. What cannot tell its holes has none.
 */
static bool next_data(const struct copying *job, uint64_t at, uint64_t *begin,
                      uint64_t *end)
{
	off_t data = lseek(job->from, (off_t)at, SEEK_DATA);
	off_t hole;

	if (data < 0 && errno == ENXIO)
		return false;
	*begin = data < 0 ? at : (uint64_t)data;
	hole = lseek(job->from, (off_t)*begin, SEEK_HOLE);
	*end = hole < 0 ? job->size : (uint64_t)hole;
	if (*end > job->size)
		*end = job->size;
	return *begin < *end;
}

static int copy_ranges(struct copying *job)
{
	uint64_t begin, end = 0;
	int err = 0;

	/* First the size: a hole at the end has nothing else that made it. */
	if (ftruncate(job->to, (off_t)job->size) < 0)
		return -errno;
	while (!err && end < job->size && next_data(job, end, &begin, &end))
		err = copy_range(job, begin, end);
	return err;
}

/*
 * Blocks shared with the original cost neither time nor space. But all are shared
 * at first: a file that was cut before would show what it has lost.
 */
static bool clone_data(struct copying *job, uint64_t full)
{
	struct stat there;

	if (fstat(job->to, &there) < 0 ||
	    (there.st_size > 0 && (uint64_t)there.st_size < full))
		return false;
	if (ioctl(job->to, FICLONE, job->from) < 0)
		return false;
	if (job->size < full && ftruncate(job->to, (off_t)job->size) < 0)
		return false;
	count(job, job->size);
	return true;
}

static int clone_or_copy(struct copying *job, uint64_t full)
{
	return clone_data(job, full) ? 0 : copy_ranges(job);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One that it has: such a file has no hole, and to share it would save nothing. */
static bool is_one_block(const struct stat *st)
{
	return st->st_size <= st->st_blksize &&
	       st->st_blocks * 512 >= st->st_size;
}

int ovl_copy_data(int from, int to, uint64_t size, struct ovl_copy_watch *watch)
{
	struct copying job = {
		.from = from,
		.to = to,
		.watch = watch,
		.by_kernel = true,
	};
	struct stat st;
	int err;

	if (fstat(from, &st) < 0)
		return -errno;
	job.size = least(size, (uint64_t)st.st_size);
	job.data = least(job.size, (uint64_t)st.st_blocks * 512);
	if (job.size == 0)
		return 0;
	err = is_one_block(&st) ? copy_range(&job, 0, job.size)
	                        : clone_or_copy(&job, (uint64_t)st.st_size);
	free(job.buffer);
	return err;
}
