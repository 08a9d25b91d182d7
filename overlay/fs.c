/*
 * What an open overlay is, and how much there is of it.
 */
#include "config.h"

#include "overlay/fs.h"

#include <errno.h>
#include <sys/statvfs.h>

uint64_t ovl_export_id(const struct ovl *fs)
{
	return fs->state.export_id;
}

const unsigned char *ovl_handle_key(const struct ovl *fs)
{
	return fs->state.handle_key;
}

bool ovl_read_only(const struct ovl *fs)
{
	return fs->read_only;
}

int ovl_statfs(struct ovl *fs, const struct ovl_caller *caller,
               struct ovl_statfs *stat)
{
	struct statvfs st;

	if (!caller->may_wait)
		return -EAGAIN;
	if (fstatvfs(fs->has_upper ? fs->upper.root : fs->stack->layers[0].root,
	             &st))
		return -errno;
	stat->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	stat->free_bytes = (uint64_t)st.f_bfree * st.f_frsize;
	stat->avail_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	stat->total_files = st.f_files;
	stat->free_files = st.f_ffree;
	stat->avail_files = st.f_favail;
	return 0;
}

void ovl_stats(struct ovl *fs, struct ovl_stats *stats)
{
	struct ovl_tree *lower = &fs->stack->tree, *upper = &fs->tree;

	*stats = (struct ovl_stats){ 0 };
	if (!fs->shares_stack) {
		stats->entries = atomic_load(&lower->weight);
		stats->cache_bytes = atomic_load(&lower->bytes);
		stats->places = ovl_map_count(lower->map);
		stats->place_bytes = ovl_map_bytes(lower->map);
		stats->place_file_bytes = ovl_map_file_bytes(lower->map);
		stats->files = ovl_fdcache_count(lower->fds);
		stats->walks = ovl_walk_count(&fs->stack->walk);
	}
	if (fs->has_upper) {
		stats->entries += atomic_load(&upper->weight);
		stats->cache_bytes += atomic_load(&upper->bytes);
		stats->places += ovl_map_count(upper->map);
		stats->place_bytes += ovl_map_bytes(upper->map);
		stats->files += ovl_fdcache_count(upper->fds);
		stats->walks += ovl_walk_count(&fs->walk);
		if (fs->shares_stack)
			stats->place_file_bytes =
				ovl_map_file_bytes(upper->map);
	}
	stats->copyups = atomic_load(&fs->copyups);
	stats->copied_bytes = atomic_load(&fs->copied_bytes);
	stats->flushes = atomic_load(&fs->flushes);
}
