#include "config.h"

#include "overlay/store.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "overlay/mdbfile.h"

/*
 * Changes made in one transaction of LMDB: each may touch a page of its own, and
 * those are in memory until it ends. A batch of more is several transactions; no
 * flush comes between them.
 */
#define TRANSACTION 2048

/*
 * A row, as the value of its fileid, of which there may be several; LMDB takes
 * values of up to 511 bytes then.
 */
struct value {
	unsigned char parent[sizeof(uint64_t)];
	char name[NAME_MAX];
};
#define VALUE_SIZE(len) (offsetof(struct value, name) + (len))

struct ovl_store {
	bool told; /* that there is no file; the writer's, as all that follows */
	int err;   /* of the batch under way */
	MDB_txn *txn;
	MDB_cursor *cursors[OVL_NTABLES];
	unsigned nops; /* in the transaction */
	bool changed;  /* by the transaction */

	pthread_rwlock_t lock; /* exclusive while the file is exchanged */
	struct ovl_mdbfile file;
	atomic_bool broken;

	atomic_uint_fast64_t counts[OVL_NTABLES], bytes;
};

/* ---- opening ---------------------------------------------------------------------- */

static void note_bytes(struct ovl_store *store)
{
	struct stat st;

	if (!fstat(store->file.fd, &st))
		atomic_store(&store->bytes, (uint64_t)st.st_blocks * 512);
}

static void count(struct ovl_store *store, MDB_txn *txn)
{
	MDB_stat stat;

	for (unsigned i = 0; i < OVL_NTABLES; i++)
		if (!mdb_stat(txn, store->file.tables[i], &stat))
			atomic_store(&store->counts[i], stat.ms_entries);
}

static void count_first(struct ovl_store *store)
{
	MDB_txn *txn;

	note_bytes(store);
	if (mdb_txn_begin(store->file.env, NULL, MDB_RDONLY, &txn))
		return;
	count(store, txn);
	mdb_txn_abort(txn);
}

int ovl_store_open(int dirfd, size_t max, const struct ovl_log *log,
                   struct ovl_store **store)
{
	struct ovl_store *fresh = calloc(1, sizeof(*fresh));
	pthread_rwlockattr_t attr;
	int err;

	if (!fresh)
		return -ENOMEM;
	err = ovl_mdbfile_open(&fresh->file, dirfd, max, log);
	if (err) {
		free(fresh);
		return err;
	}
	pthread_rwlockattr_init(&attr);
	/* Else who reads all the time keeps out who exchanges the file. */
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fresh->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	count_first(fresh);
	*store = fresh;
	return 0;
}

void ovl_store_close(struct ovl_store *store)
{
	if (!store)
		return;
	ovl_mdbfile_close(&store->file);
	pthread_rwlock_destroy(&store->lock);
	free(store);
}

/* ---- reading ------------------------------------------------------------------------ */

static MDB_val key_of(uint64_t *fileid)
{
	return (MDB_val){ sizeof(*fileid), fileid };
}

/* 0 or -ENOMEM. A value that no row of ours has is passed over. */
static int add_value(struct ovl_rows *rows, const MDB_val *data)
{
	const struct value *value = data->mv_data;
	uint64_t parent;

	if (data->mv_size <= VALUE_SIZE(0) ||
	    data->mv_size > VALUE_SIZE(NAME_MAX))
		return 0;
	memcpy(&parent, value->parent, sizeof(parent));
	return ovl_rows_add(rows, parent, value->name,
	                    data->mv_size - VALUE_SIZE(0), false);
}

/* 0, -ENOMEM or an error of LMDB's. */
static int read_rows(struct ovl_store *store, enum ovl_table table,
                     uint64_t fileid, struct ovl_rows *rows)
{
	MDB_val key = key_of(&fileid), data;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int err;

	err = mdb_txn_begin(store->file.env, NULL, MDB_RDONLY, &txn);
	if (err)
		return err;
	err = mdb_cursor_open(txn, store->file.tables[table], &cursor);
	if (!err) {
		err = mdb_cursor_get(cursor, &key, &data, MDB_SET);
		while (!err) {
			err = add_value(rows, &data);
			if (!err)
				err = mdb_cursor_get(cursor, &key, &data,
				                     MDB_NEXT_DUP);
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return err == MDB_NOTFOUND ? 0 : err;
}

int ovl_store_get(struct ovl_store *store, enum ovl_table table,
                  uint64_t fileid, struct ovl_rows *rows)
{
	int err = -EIO;

	pthread_rwlock_rdlock(&store->lock);
	if (store->file.env && !atomic_load(&store->broken) &&
	    ovl_mdbfile_is_whole(&store->file))
		err = read_rows(store, table, fileid, rows);
	if (err && err != -ENOMEM) {
		atomic_store(&store->broken, true);
		err = -EIO;
	}
	pthread_rwlock_unlock(&store->lock);
	return err;
}

/* ---- writing ------------------------------------------------------------------------- */

static int begin_transaction(struct ovl_store *store)
{
	int err = mdb_txn_begin(store->file.env, NULL, 0, &store->txn);

	if (err) {
		store->txn = NULL;
		return err;
	}
	store->nops = 0;
	store->changed = false;
	for (unsigned i = 0; i < OVL_NTABLES && !err; i++)
		err = mdb_cursor_open(store->txn, store->file.tables[i],
		                      &store->cursors[i]);
	return err;
}

static void drop_transaction(struct ovl_store *store)
{
	if (store->txn)
		mdb_txn_abort(store->txn);
	store->txn = NULL;
}

/* Cursors of a transaction that writes are closed with it. */
static int end_transaction(struct ovl_store *store)
{
	MDB_txn *txn = store->txn;
	int err = 0;

	if (store->changed)
		err = -ovl_mdbfile_unseal(&store->file);
	if (err || !store->changed) {
		drop_transaction(store);
		return err;
	}
	count(store, txn);
	store->txn = NULL;
	return mdb_txn_commit(txn);
}

void ovl_store_begin(struct ovl_store *store)
{
	store->err = 0;
	if (!store->file.env || atomic_load(&store->broken) ||
	    !ovl_mdbfile_is_whole(&store->file)) {
		atomic_store(&store->broken, true);
		store->err = EIO;
	}
}

/* Whether there is a row, and the cursor on it. 0, MDB_NOTFOUND, an error. */
static int seek(struct ovl_store *store, enum ovl_table table, MDB_val *key,
                MDB_val *data)
{
	int err = 0;

	if (store->txn && store->nops >= TRANSACTION)
		err = end_transaction(store);
	if (!err && !store->txn)
		err = begin_transaction(store);
	store->nops++;
	return err ? err
	           : mdb_cursor_get(store->cursors[table], key, data,
	                            MDB_GET_BOTH);
}

static MDB_val data_of(struct value *value, uint64_t parent, const char *name,
                       size_t len)
{
	memcpy(value->parent, &parent, sizeof(parent));
	memcpy(value->name, name, len);
	return (MDB_val){ VALUE_SIZE(len), value };
}

/* Most rows are as they are to be, and cost no page then. 0 or an error. */
static int set_row(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len, bool is_there)
{
	struct value value;
	MDB_val key = key_of(&fileid);
	MDB_val data = data_of(&value, parent, name, len);
	int err = seek(store, table, &key, &data);

	if (err && err != MDB_NOTFOUND)
		return err;
	if (is_there == !err)
		return 0;
	store->changed = true;
	if (!is_there)
		return mdb_cursor_del(store->cursors[table], 0);
	key = key_of(&fileid);
	data = data_of(&value, parent, name, len);
	return mdb_cursor_put(store->cursors[table], &key, &data, 0);
}

void ovl_store_put(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len)
{
	if (!store->err)
		store->err =
			set_row(store, table, fileid, parent, name, len, true);
}

void ovl_store_del(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len)
{
	if (!store->err)
		store->err =
			set_row(store, table, fileid, parent, name, len, false);
}

/* A disk that is full may have room later: what is in the file is good. */
static bool is_passing(int err)
{
	return err == ENOSPC || err == EDQUOT || err == ENOMEM;
}

static int renew(struct ovl_store *store)
{
	int err = ovl_mdbfile_renew(&store->file);

	for (unsigned i = 0; i < OVL_NTABLES; i++)
		atomic_store(&store->counts[i], 0);
	atomic_store(&store->bytes, 0);
	if (!err)
		note_bytes(store);
	atomic_store(&store->broken, err != 0);
	return err;
}

static int exchange(struct ovl_store *store, int why)
{
	int err;

	if (!store->told)
		ovl_mdbfile_say(&store->file, LOG_WARNING,
		                why == MDB_MAP_FULL
		                        ? "full: begun anew"
		                        : "cannot be used: begun anew",
		                why == MDB_MAP_FULL ? 0 : why);
	pthread_rwlock_wrlock(&store->lock);
	err = renew(store);
	pthread_rwlock_unlock(&store->lock);
	if (err && !store->told)
		ovl_mdbfile_say(&store->file, LOG_WARNING,
		                "cannot be begun anew", -err);
	store->told = err != 0;
	return -ESTALE;
}

int ovl_store_end(struct ovl_store *store)
{
	int err = store->err;

	if (!err && store->txn)
		err = end_transaction(store);
	drop_transaction(store);
	if (err && !is_passing(err))
		return exchange(store, err);
	if (!store->file.sealed && store->file.env) {
		int failed = -ovl_mdbfile_seal(&store->file);

		if (failed && !is_passing(failed))
			return exchange(store, failed);
		note_bytes(store);
	}
	if (err && !store->told)
		ovl_mdbfile_say(&store->file, LOG_WARNING,
		                "places are not kept", err);
	store->told = err != 0;
	return -err;
}

uint64_t ovl_store_count(struct ovl_store *store, enum ovl_table table)
{
	return atomic_load(&store->counts[table]);
}

uint64_t ovl_store_bytes(struct ovl_store *store)
{
	return atomic_load(&store->bytes);
}
