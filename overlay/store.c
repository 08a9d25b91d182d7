#include "config.h"

#include "overlay/store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <syslog.h>
#include <unistd.h>

#include "overlay/layer.h"
#include "overlay/seal.h"

/*
 * Changes made in one transaction of LMDB: each may touch a page of its own, and
 * those are in memory until it ends. A batch of more is several transactions; no
 * flush comes between them.
 */
#define TRANSACTION 2048

/* Threads that read at a time. */
#define READERS 1024

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
	int dirfd;
	size_t max;
	struct ovl_log log;
	bool told; /* that there is no file; the writer's, as all that follows */
	int err;   /* of the batch under way */
	MDB_txn *txn;
	MDB_cursor *cursors[OVL_NTABLES];
	unsigned nops; /* in the transaction */
	bool changed;  /* by the transaction */

	/* Shared by who reads, exclusive while the file is exchanged: */
	pthread_rwlock_t lock;
	MDB_env *env; /* NULL: no file */
	MDB_dbi tables[OVL_NTABLES];
	int fd;     /* the file, locked */
	int sealfd; /* its seal */
	atomic_bool broken;

	pthread_mutex_t seal_lock; /* guards what follows */
	struct ovl_seal seal;
	bool sealed;
	unsigned turns; /* of sealed */

	atomic_uint_fast64_t counts[OVL_NTABLES], bytes;
};

static void say(const struct ovl_store *store, int level, const char *what,
                int err)
{
	/* LMDB has errors of its own, which are negative. */
	ovl_log_line(&store->log, level, OVL_STORE_FILE ": %s%s%s", what,
	             err ? ": " : "", err ? mdb_strerror(err) : "");
}

/* ---- where it may be ------------------------------------------------------------ */

bool ovl_store_is_remote(uint32_t magic)
{
	static const uint32_t remote[] = {
		0x6969,     /* NFS */
		0x517b,     /* SMB */
		0xfe534d42, /* SMB2 */
		0xff534d42, /* CIFS */
		0x564c,     /* NCP */
		0x73757245, /* Coda */
		0x5346414f, /* AFS */
		0x6b414653, /* AFS, the kernel's own */
		0x01021997, /* 9P */
		0x00c36400, /* Ceph */
		0x0bd00bd0, /* Lustre */
		0x47504653, /* GPFS */
		0x7461636f, /* OCFS2 */
		0x01161970, /* GFS2 */
		0x20030528, /* OrangeFS */
		0x786f4256, /* a shared folder of VirtualBox */
		0x65735546, /* FUSE: sshfs and GlusterFS among others */
	};

	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if (magic == remote[i])
			return true;
	return false;
}

/* ---- the seal ------------------------------------------------------------------- */

/* From here on the file is not what the seal says. 0 or -errno. */
static int unseal(struct ovl_store *store)
{
	int err = 0;

	if (store->sealed) /* which only this thread changes */
		err = ovl_seal_write(store->sealfd, NULL);
	if (err)
		return err;
	pthread_mutex_lock(&store->seal_lock);
	store->sealed = false;
	store->turns++;
	pthread_mutex_unlock(&store->seal_lock);
	return 0;
}

/* What has been written is on stable storage before the seal says so. */
static int seal(struct ovl_store *store)
{
	struct ovl_seal seal = { 0 };
	MDB_envinfo info;
	int err;

	mdb_env_info(store->env, &info);
	seal.transaction = info.me_last_txnid;
	if (fsync(store->fd))
		return -errno;
	err = ovl_seal_look(store->fd, &seal);
	if (!err)
		err = ovl_seal_write(store->sealfd, &seal);
	if (err)
		return err;
	pthread_mutex_lock(&store->seal_lock);
	store->seal = seal;
	store->sealed = true;
	store->turns++;
	pthread_mutex_unlock(&store->seal_lock);
	return 0;
}

/*
 * Whether the file is still as we left it: that of a running server may be
 * damaged, too, and a page that is gone from under a mapping is SIGBUS. What is
 * done to it a moment later is not seen; nothing is perfect.
 */
static bool is_whole(struct ovl_store *store)
{
	struct ovl_seal seal, now = { 0 };
	unsigned turns;
	bool sealed, same;

	pthread_mutex_lock(&store->seal_lock);
	seal = store->seal;
	sealed = store->sealed;
	turns = store->turns;
	pthread_mutex_unlock(&store->seal_lock);
	if (sealed && ovl_seal_fits(&seal, store->fd))
		return true;
	pthread_mutex_lock(&store->seal_lock);
	same = store->turns == turns;
	pthread_mutex_unlock(&store->seal_lock);
	if (sealed && same)
		return false;
	/* It is being written to: then it grows. */
	return !ovl_seal_look(store->fd, &now) && now.size >= seal.size;
}

/* ---- opening ---------------------------------------------------------------------- */

/* What is not kept open is not locked. */
static void close_files(struct ovl_store *store)
{
	if (store->env)
		mdb_env_close(store->env);
	store->env = NULL;
	if (store->fd >= 0)
		close(store->fd);
	if (store->sealfd >= 0)
		close(store->sealfd);
	store->fd = store->sealfd = -1;
}

/* Only one server maps the file, whatever it has been told of a statedir. */
static int open_file(struct ovl_store *store, int flags)
{
	struct stat st;

	store->fd = openat(store->dirfd, OVL_STORE_FILE,
	                   O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags,
	                   0600);
	if (store->fd < 0)
		return -errno;
	if (flock(store->fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(store->fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

static int open_seal(struct ovl_store *store, int flags)
{
	store->sealfd =
		openat(store->dirfd, OVL_STORE_SEAL,
	               O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags,
	               0600);
	return store->sealfd < 0 ? -errno : 0;
}

/* The tables, and how many rows each has. 0 or an error of LMDB's. */
static int open_tables(struct ovl_store *store)
{
	static const char *const names[] = { "upper", "lower" };
	MDB_stat stat;
	MDB_txn *txn;
	int err;

	err = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (err)
		return err;
	for (unsigned i = 0; i < OVL_NTABLES && !err; i++) {
		err = mdb_dbi_open(txn, names[i],
		                   MDB_CREATE | MDB_INTEGERKEY | MDB_DUPSORT,
		                   &store->tables[i]);
		if (!err)
			err = mdb_stat(txn, store->tables[i], &stat);
		if (!err)
			atomic_store(&store->counts[i], stat.ms_entries);
	}
	if (err) {
		mdb_txn_abort(txn);
		return err;
	}
	return mdb_txn_commit(txn);
}

/*
 * Not MDB_WRITEMAP: a stray write of ours would go to the file. MDB_NOSYNC: what
 * is written is flushed once a batch, and the seal tells where it was not.
 */
static int open_env(struct ovl_store *store)
{
	char path[64];
	int err;

	/* What a killed server, or who knows who, has left there. */
	if (unlinkat(store->dirfd, OVL_STORE_LOCK, 0) && errno != ENOENT)
		return errno;
	err = mdb_env_create(&store->env);
	if (err)
		return err;
	mdb_env_set_maxdbs(store->env, OVL_NTABLES);
	mdb_env_set_maxreaders(store->env, READERS);
	err = mdb_env_set_mapsize(store->env, store->max);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" OVL_STORE_FILE,
	         store->dirfd);
	if (!err)
		err = mdb_env_open(store->env, path,
		                   MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC |
		                           MDB_NORDAHEAD,
		                   0600);
	return err ? err : open_tables(store);
}

static void note_bytes(struct ovl_store *store)
{
	struct stat st;

	if (!fstat(store->fd, &st))
		atomic_store(&store->bytes, (uint64_t)st.st_blocks * 512);
}

/* Whether what is there is whole. 0; -ENOENT: nothing is there; -EINVAL: no. */
static int open_old(struct ovl_store *store)
{
	MDB_envinfo info;
	int err = open_file(store, 0);

	if (err)
		return err == -ELOOP || err == -EISDIR ? -EINVAL : err;
	err = open_seal(store, 0);
	if (!err)
		err = ovl_seal_read(store->sealfd, &store->seal);
	if (err)
		return -EINVAL;
	if (!ovl_seal_fits(&store->seal, store->fd))
		return -EINVAL;
	/* LMDB itself checks the first two pages before it maps any. */
	if (open_env(store))
		return -EINVAL;
	mdb_env_info(store->env, &info);
	if (info.me_last_txnid != store->seal.transaction)
		return -EINVAL;
	store->sealed = true;
	return 0;
}

/* 0 or -errno. */
static int open_new(struct ovl_store *store)
{
	int err;

	if ((unlinkat(store->dirfd, OVL_STORE_SEAL, 0) && errno != ENOENT) ||
	    (unlinkat(store->dirfd, OVL_STORE_FILE, 0) && errno != ENOENT))
		return -errno;
	store->sealed = false;
	err = open_file(store, O_CREAT | O_EXCL);
	if (!err)
		err = open_seal(store, O_CREAT | O_EXCL);
	if (err)
		return err;
	err = open_env(store);
	if (err) {
		say(store, LOG_WARNING, "cannot be used", err);
		return -EIO;
	}
	return seal(store);
}

/* Nobody reads: the lock is held, or nobody knows of it yet. */
static int begin_anew(struct ovl_store *store)
{
	int err;

	close_files(store);
	for (unsigned i = 0; i < OVL_NTABLES; i++)
		atomic_store(&store->counts[i], 0);
	atomic_store(&store->bytes, 0);
	err = open_new(store);
	if (err)
		close_files(store);
	else
		note_bytes(store);
	atomic_store(&store->broken, err != 0);
	return err;
}

static int open_any(struct ovl_store *store)
{
	struct statfs fs;
	int err;

	if (fstatfs(store->dirfd, &fs))
		return -errno;
	if (ovl_store_is_remote((uint32_t)fs.f_type))
		return -EREMOTE;
	err = open_old(store);
	if (err == -EINVAL)
		say(store, LOG_WARNING,
		    "damaged, or not closed properly: begun anew", 0);
	if (err == -EINVAL || err == -ENOENT)
		err = begin_anew(store);
	else if (!err)
		note_bytes(store);
	return err;
}

int ovl_store_open(int dirfd, size_t max, const struct ovl_log *log,
                   struct ovl_store **store)
{
	struct ovl_store *fresh = calloc(1, sizeof(*fresh));
	pthread_rwlockattr_t attr;
	int err;

	if (!fresh)
		return -ENOMEM;
	fresh->max = max;
	fresh->log = *log;
	fresh->fd = fresh->sealfd = -1;
	pthread_rwlockattr_init(&attr);
	/* Else who reads all the time keeps out who exchanges the file. */
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fresh->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&fresh->seal_lock, NULL);
	fresh->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	err = fresh->dirfd < 0 ? -errno : open_any(fresh);
	if (err)
		ovl_store_close(fresh);
	else
		*store = fresh;
	return err;
}

void ovl_store_close(struct ovl_store *store)
{
	if (!store)
		return;
	close_files(store);
	if (store->dirfd >= 0)
		close(store->dirfd);
	pthread_rwlock_destroy(&store->lock);
	pthread_mutex_destroy(&store->seal_lock);
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

	err = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (err)
		return err;
	err = mdb_cursor_open(txn, store->tables[table], &cursor);
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
	if (store->env && !atomic_load(&store->broken) && is_whole(store))
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
	int err = mdb_txn_begin(store->env, NULL, 0, &store->txn);

	if (err) {
		store->txn = NULL;
		return err;
	}
	store->nops = 0;
	store->changed = false;
	for (unsigned i = 0; i < OVL_NTABLES && !err; i++)
		err = mdb_cursor_open(store->txn, store->tables[i],
		                      &store->cursors[i]);
	return err;
}

static void count(struct ovl_store *store)
{
	MDB_stat stat;

	for (unsigned i = 0; i < OVL_NTABLES; i++)
		if (!mdb_stat(store->txn, store->tables[i], &stat))
			atomic_store(&store->counts[i], stat.ms_entries);
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
		err = -unseal(store);
	if (err || !store->changed) {
		drop_transaction(store);
		return err;
	}
	count(store);
	store->txn = NULL;
	return mdb_txn_commit(txn);
}

void ovl_store_begin(struct ovl_store *store)
{
	store->err = 0;
	if (!store->env || atomic_load(&store->broken) || !is_whole(store)) {
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

void ovl_store_put(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len)
{
	struct value value;
	MDB_val key = key_of(&fileid);
	MDB_val data = data_of(&value, parent, name, len);
	int err;

	if (store->err)
		return;
	/* Most are there already, and cost no page then. */
	err = seek(store, table, &key, &data);
	if (err == MDB_NOTFOUND) {
		key = key_of(&fileid);
		data = data_of(&value, parent, name, len);
		store->changed = true;
		err = mdb_cursor_put(store->cursors[table], &key, &data, 0);
	}
	store->err = err;
}

void ovl_store_del(struct ovl_store *store, enum ovl_table table,
                   uint64_t fileid, uint64_t parent, const char *name,
                   size_t len)
{
	struct value value;
	MDB_val key = key_of(&fileid);
	MDB_val data = data_of(&value, parent, name, len);
	int err;

	if (store->err)
		return;
	err = seek(store, table, &key, &data);
	if (!err) {
		store->changed = true;
		err = mdb_cursor_del(store->cursors[table], 0);
	}
	store->err = err == MDB_NOTFOUND ? 0 : err;
}

/* A disk that is full may have room later: what is in the file is good. */
static bool is_passing(int err)
{
	return err == ENOSPC || err == EDQUOT || err == ENOMEM;
}

static int exchange(struct ovl_store *store, int why)
{
	int err;

	if (!store->told)
		say(store, LOG_WARNING,
		    why == MDB_MAP_FULL ? "full: begun anew"
		                        : "cannot be used: begun anew",
		    why == MDB_MAP_FULL ? 0 : why);
	pthread_rwlock_wrlock(&store->lock);
	err = begin_anew(store);
	pthread_rwlock_unlock(&store->lock);
	if (err && !store->told)
		say(store, LOG_WARNING, "cannot be begun anew", -err);
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
	if (!store->sealed && store->env) {
		int failed = -seal(store);

		if (failed && !is_passing(failed))
			return exchange(store, failed);
		note_bytes(store);
	}
	if (err && !store->told)
		say(store, LOG_WARNING, "places are not kept", err);
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
