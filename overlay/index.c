#include "config.h"

#include "overlay/index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/xattr.h"

/* One link of the index; it stands in both trees. */
struct indexed {
	struct ovl_id id;
	uint64_t ino;
};

struct ovl_index {
	int dir;
	pthread_mutex_t lock;   /* guards what follows */
	void *by_id, *by_inode; /* tsearch trees of struct indexed */
};

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_ids(const void *a, const void *b)
{
	const struct indexed *x = a, *y = b;
	int order = compare(x->id.fileid, y->id.fileid);

	return order ? order : compare(x->id.generation, y->id.generation);
}

static int compare_inodes(const void *a, const void *b)
{
	const struct indexed *x = a, *y = b;

	return compare(x->ino, y->ino);
}

void ovl_index_name(struct ovl_id id, char name[OVL_INDEX_NAME_SIZE])
{
	snprintf(name, OVL_INDEX_NAME_SIZE, "%016" PRIx64 ".%016" PRIx64,
	         id.fileid, id.generation);
}

/* Take an entry out of both trees; the lock is held. */
static void drop(struct ovl_index *index, const struct indexed *like)
{
	struct indexed **slot = tfind(like, &index->by_id, compare_ids), *old;

	if (!slot)
		return;
	old = *slot;
	tdelete(old, &index->by_id, compare_ids);
	slot = tfind(old, &index->by_inode, compare_inodes);
	if (slot && *slot == old)
		tdelete(old, &index->by_inode, compare_inodes);
	free(old);
}

static int enter(struct ovl_index *index, struct ovl_id id, uint64_t ino)
{
	struct indexed *entry = malloc(sizeof(*entry));
	bool entered = false;

	if (!entry)
		return -ENOMEM;
	*entry = (struct indexed){ .id = id, .ino = ino };
	pthread_mutex_lock(&index->lock);
	drop(index, entry);
	if (tsearch(entry, &index->by_id, compare_ids)) {
		entered = tsearch(entry, &index->by_inode, compare_inodes);
		if (!entered)
			tdelete(entry, &index->by_id, compare_ids);
	}
	pthread_mutex_unlock(&index->lock);
	if (!entered)
		free(entry);
	return entered ? 0 : -ENOMEM;
}

static int read_in(struct ovl_index *index)
{
	int fd = openat(index->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct ovl_id id;
	int err = 0;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "%16" SCNx64 ".%16" SCNx64,
		           &id.fileid, &id.generation) == 2)
			err = enter(index, id, entry->d_ino);
	closedir(dir);
	return err;
}

int ovl_index_open(int workfd, struct ovl_index **index)
{
	struct ovl_index *fresh = calloc(1, sizeof(*fresh));
	int err;

	if (!fresh)
		return -ENOMEM;
	pthread_mutex_init(&fresh->lock, NULL);
	if (mkdirat(workfd, "index", 0700) && errno != EEXIST) {
		err = -errno;
		free(fresh);
		return err;
	}
	fresh->dir = openat(workfd, "index",
	                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	err = fresh->dir < 0 ? -errno : read_in(fresh);
	if (err)
		ovl_index_close(fresh);
	else
		*index = fresh;
	return err;
}

/* The other tree frees it. */
static void keep(void *entry)
{
	(void)entry;
}

void ovl_index_close(struct ovl_index *index)
{
	if (!index)
		return;
	tdestroy(index->by_inode, keep);
	tdestroy(index->by_id, free);
	if (index->dir >= 0)
		close(index->dir);
	pthread_mutex_destroy(&index->lock);
	free(index);
}

bool ovl_index_has(struct ovl_index *index, struct ovl_id id)
{
	struct indexed like = { .id = id };
	bool has;

	pthread_mutex_lock(&index->lock);
	has = tfind(&like, &index->by_id, compare_ids) != NULL;
	pthread_mutex_unlock(&index->lock);
	return has;
}

bool ovl_index_find(struct ovl_index *index, uint64_t ino, struct ovl_id *id)
{
	struct indexed like = { .ino = ino }, **slot;

	pthread_mutex_lock(&index->lock);
	slot = tfind(&like, &index->by_inode, compare_inodes);
	if (slot)
		*id = (*slot)->id;
	pthread_mutex_unlock(&index->lock);
	return slot != NULL;
}

int ovl_index_add(struct ovl_index *index, struct ovl_id id, int fd)
{
	char from[OVL_FD_PATH_SIZE], name[OVL_INDEX_NAME_SIZE];
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	ovl_index_name(id, name);
	if (unlinkat(index->dir, name, 0) && errno != ENOENT)
		return -errno;
	/* AT_EMPTY_PATH would ask for a capability. */
	ovl_fd_path(fd, from);
	if (linkat(AT_FDCWD, from, index->dir, name, AT_SYMLINK_FOLLOW))
		return -errno;
	return enter(index, id, st.st_ino);
}

int ovl_index_remove(struct ovl_index *index, struct ovl_id id)
{
	struct indexed like = { .id = id };
	char name[OVL_INDEX_NAME_SIZE];

	ovl_index_name(id, name);
	if (unlinkat(index->dir, name, 0) && errno != ENOENT)
		return -errno;
	pthread_mutex_lock(&index->lock);
	drop(index, &like);
	pthread_mutex_unlock(&index->lock);
	return 0;
}

int ovl_index_dir(const struct ovl_index *index)
{
	return index->dir;
}
