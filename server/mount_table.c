#include "config.h"

#include "server/mount_table.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/mount_prot.h"

struct entry {
	char *host, *path; /* one block, at `host` */
};

struct nfsd_mount_table {
	pthread_mutex_t lock;                       /* guards all below */
	struct entry entries[NFSD_MOUNT_TABLE_MAX]; /* oldest first */
	size_t count;
};

struct nfsd_mount_table *nfsd_mount_table_new(void)
{
	struct nfsd_mount_table *table = calloc(1, sizeof(*table));

	if (table != NULL)
		pthread_mutex_init(&table->lock, NULL);
	return table;
}

void nfsd_mount_table_free(struct nfsd_mount_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->entries[i].host);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static void drop(struct nfsd_mount_table *table, size_t i)
{
	free(table->entries[i].host);
	table->count--;
	memmove(&table->entries[i], &table->entries[i + 1],
	        (table->count - i) * sizeof(table->entries[0]));
}

static bool matches(const struct entry *entry, const char *host,
                    const char *path)
{
	return strcmp(entry->host, host) == 0 &&
	       (path == NULL || strcmp(entry->path, path) == 0);
}

static void remove_locked(struct nfsd_mount_table *table, const char *host,
                          const char *path)
{
	for (size_t i = table->count; i-- > 0;)
		if (matches(&table->entries[i], host, path))
			drop(table, i);
}

void nfsd_mount_table_add(struct nfsd_mount_table *table, const char *host,
                          const char *path)
{
	const size_t host_size = strlen(host) + 1, path_size = strlen(path) + 1;
	char *block = malloc(host_size + path_size);
	struct entry entry = { block, block + host_size };

	if (block == NULL)
		return;
	memcpy(entry.host, host, host_size);
	memcpy(entry.path, path, path_size);

	pthread_mutex_lock(&table->lock);
	remove_locked(table, host, path);
	if (table->count == NFSD_MOUNT_TABLE_MAX)
		drop(table, 0);
	table->entries[table->count++] = entry;
	pthread_mutex_unlock(&table->lock);
}

void nfsd_mount_table_remove(struct nfsd_mount_table *table, const char *host,
                             const char *path)
{
	pthread_mutex_lock(&table->lock);
	remove_locked(table, host, path);
	pthread_mutex_unlock(&table->lock);
}

/* "One follows", and two strings with their lengths. */
static size_t entry_bytes(const struct entry *entry)
{
	return 4 + 4 + RNDUP(strlen(entry->host)) + 4 +
	       RNDUP(strlen(entry->path));
}

size_t nfsd_mount_table_bytes(struct nfsd_mount_table *table)
{
	size_t bytes = 4;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < table->count; i++)
		bytes += entry_bytes(&table->entries[i]);
	pthread_mutex_unlock(&table->lock);
	return bytes;
}

/* In a loop: the generated codec of a list calls itself for each entry. */
bool_t nfsd_mount_table_encode(struct nfsd_mount_table *table, XDR *xdr,
                               size_t room)
{
	bool_t yes = TRUE, no = FALSE, ok = TRUE;
	size_t bytes = 4;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; ok && i < table->count; i++) {
		struct entry *entry = &table->entries[i];

		bytes += entry_bytes(entry);
		if (bytes > room)
			break;
		ok = xdr_bool(xdr, &yes) && xdr_mountname(xdr, &entry->host) &&
		     xdr_dirpath(xdr, &entry->path);
	}
	pthread_mutex_unlock(&table->lock);
	return ok && xdr_bool(xdr, &no);
}
