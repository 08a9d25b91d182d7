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

#include "overlay/fdcall.h"

struct indexed {
	struct ovl_id id; /* first: it is what entries are searched by */
	bool shown;
};

struct ovl_index {
	int dir;
	pthread_mutex_t lock; /* guards what follows */
	void *entries;        /* a tsearch tree of struct indexed */
};

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_ids(const void *a, const void *b)
{
	const struct ovl_id *x = a, *y = b;
	int order = compare(x->fileid, y->fileid);

	return order ? order : compare(x->generation, y->generation);
}

void ovl_index_name(struct ovl_id id, char name[OVL_INDEX_NAME_SIZE])
{
	snprintf(name, OVL_INDEX_NAME_SIZE, "%016" PRIx64 ".%016" PRIx64,
	         id.fileid, id.generation);
}

static void drop(struct ovl_index *index, const struct ovl_id *id)
{
	struct indexed **slot, *old = NULL;

	pthread_mutex_lock(&index->lock);
	slot = tfind(id, &index->entries, compare_ids);
	if (slot) {
		old = *slot;
		tdelete(old, &index->entries, compare_ids);
	}
	pthread_mutex_unlock(&index->lock);
	free(old);
}

static int enter(struct ovl_index *index, const struct ovl_id *id, bool shown)
{
	struct indexed *entry = malloc(sizeof(*entry)), **slot = NULL;
	bool is_new;

	if (!entry)
		return -ENOMEM;
	*entry = (struct indexed){ .id = *id };
	pthread_mutex_lock(&index->lock);
	slot = tsearch(entry, &index->entries, compare_ids);
	is_new = slot && *slot == entry;
	if (slot)
		(*slot)->shown = shown;
	pthread_mutex_unlock(&index->lock);
	if (!is_new)
		free(entry);
	return slot ? 0 : -ENOMEM;
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
			err = enter(index, &id, true);
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

void ovl_index_close(struct ovl_index *index)
{
	if (!index)
		return;
	tdestroy(index->entries, free);
	if (index->dir >= 0)
		close(index->dir);
	pthread_mutex_destroy(&index->lock);
	free(index);
}

bool ovl_index_has(struct ovl_index *index, struct ovl_id id)
{
	struct indexed **slot;
	bool has;

	pthread_mutex_lock(&index->lock);
	slot = tfind(&id, &index->entries, compare_ids);
	has = slot && (*slot)->shown;
	pthread_mutex_unlock(&index->lock);
	return has;
}

int ovl_index_add(struct ovl_index *index, struct ovl_id id, int fd)
{
	char from[OVL_FD_PATH_SIZE], name[OVL_INDEX_NAME_SIZE];

	ovl_index_name(id, name);
	if (unlinkat(index->dir, name, 0) && errno != ENOENT)
		return -errno;
	/* AT_EMPTY_PATH would ask for a capability. */
	ovl_fd_path(fd, from);
	if (linkat(AT_FDCWD, from, index->dir, name, AT_SYMLINK_FOLLOW))
		return -errno;
	return enter(index, &id, false);
}

void ovl_index_show(struct ovl_index *index, struct ovl_id id)
{
	struct indexed **slot;

	pthread_mutex_lock(&index->lock);
	slot = tfind(&id, &index->entries, compare_ids);
	if (slot)
		(*slot)->shown = true;
	pthread_mutex_unlock(&index->lock);
}

int ovl_index_remove(struct ovl_index *index, struct ovl_id id)
{
	char name[OVL_INDEX_NAME_SIZE];

	ovl_index_name(id, name);
	if (unlinkat(index->dir, name, 0) && errno != ENOENT)
		return -errno;
	drop(index, &id);
	return 0;
}

int ovl_index_dir(const struct ovl_index *index)
{
	return index->dir;
}
