#include "config.h"

#include "overlay/mdbfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <syslog.h>
#include <unistd.h>

/* Threads that read at a time. */
#define READERS 1024

void ovl_mdbfile_say(const struct ovl_mdbfile *file, int level,
                     const char *what, int err)
{
	/* LMDB has errors of its own, which are negative. */
	ovl_log_line(&file->log, level, OVL_STORE_FILE ": %s%s%s", what,
	             err ? ": " : "", err ? mdb_strerror(err) : "");
}

/* ---- where it may be ------------------------------------------------------------ */

bool ovl_mdbfile_is_remote(uint32_t magic)
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

int ovl_mdbfile_unseal(struct ovl_mdbfile *file)
{
	int err = 0;

	if (file->sealed) /* which only this thread changes */
		err = ovl_seal_write(file->sealfd, NULL);
	if (err)
		return err;
	pthread_mutex_lock(&file->lock);
	file->sealed = false;
	file->turns++;
	pthread_mutex_unlock(&file->lock);
	return 0;
}

int ovl_mdbfile_seal(struct ovl_mdbfile *file)
{
	struct ovl_seal seal = { 0 };
	MDB_envinfo info;
	int err;

	mdb_env_info(file->env, &info);
	seal.transaction = info.me_last_txnid;
	if (fsync(file->fd))
		return -errno;
	err = ovl_seal_look(file->fd, &seal);
	if (!err)
		err = ovl_seal_write(file->sealfd, &seal);
	if (err)
		return err;
	pthread_mutex_lock(&file->lock);
	file->seal = seal;
	file->sealed = true;
	file->turns++;
	pthread_mutex_unlock(&file->lock);
	return 0;
}

bool ovl_mdbfile_is_whole(struct ovl_mdbfile *file)
{
	struct ovl_seal seal, now = { 0 };
	unsigned turns;
	bool sealed, same;

	pthread_mutex_lock(&file->lock);
	seal = file->seal;
	sealed = file->sealed;
	turns = file->turns;
	pthread_mutex_unlock(&file->lock);
	if (sealed && ovl_seal_fits(&seal, file->fd))
		return true;
	pthread_mutex_lock(&file->lock);
	same = file->turns == turns;
	pthread_mutex_unlock(&file->lock);
	if (sealed && same)
		return false;
	/* It is being written to: then it grows. */
	return !ovl_seal_look(file->fd, &now) && now.size >= seal.size;
}

/* ---- opening ---------------------------------------------------------------------- */

/* What is not kept open is not locked. */
static void close_files(struct ovl_mdbfile *file)
{
	if (file->env)
		mdb_env_close(file->env);
	file->env = NULL;
	if (file->fd >= 0)
		close(file->fd);
	if (file->sealfd >= 0)
		close(file->sealfd);
	file->fd = file->sealfd = -1;
}

/* Only one server maps the file, whatever it has been told of a statedir. */
static int open_file(struct ovl_mdbfile *file, int flags)
{
	struct stat st;

	file->fd = openat(file->dirfd, OVL_STORE_FILE,
	                  O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags,
	                  0600);
	if (file->fd < 0)
		return -errno;
	if (flock(file->fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(file->fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

static int open_seal(struct ovl_mdbfile *file, int flags)
{
	file->sealfd =
		openat(file->dirfd, OVL_STORE_SEAL,
	               O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags,
	               0600);
	return file->sealfd < 0 ? -errno : 0;
}

/* 0 or an error of LMDB's. */
static int open_tables(struct ovl_mdbfile *file)
{
	static const char *const names[] = { "upper", "lower" };
	MDB_txn *txn;
	int err;

	err = mdb_txn_begin(file->env, NULL, 0, &txn);
	if (err)
		return err;
	for (unsigned i = 0; i < OVL_NTABLES && !err; i++)
		err = mdb_dbi_open(txn, names[i],
		                   MDB_CREATE | MDB_INTEGERKEY | MDB_DUPSORT,
		                   &file->tables[i]);
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
static int open_env(struct ovl_mdbfile *file)
{
	char path[64];
	int err;

	/* What a killed server, or who knows who, has left there. */
	if (unlinkat(file->dirfd, OVL_STORE_LOCK, 0) && errno != ENOENT)
		return errno;
	err = mdb_env_create(&file->env);
	if (err)
		return err;
	mdb_env_set_maxdbs(file->env, OVL_NTABLES);
	mdb_env_set_maxreaders(file->env, READERS);
	err = mdb_env_set_mapsize(file->env, file->max);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" OVL_STORE_FILE,
	         file->dirfd);
	if (!err)
		err = mdb_env_open(file->env, path,
		                   MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC |
		                           MDB_NORDAHEAD,
		                   0600);
	return err ? err : open_tables(file);
}

/* Whether what is there is whole. 0; -ENOENT: nothing is there; -EINVAL: no. */
static int open_old(struct ovl_mdbfile *file)
{
	MDB_envinfo info;
	int err = open_file(file, 0);

	if (err)
		return err == -ELOOP || err == -EISDIR ? -EINVAL : err;
	err = open_seal(file, 0);
	if (!err)
		err = ovl_seal_read(file->sealfd, &file->seal);
	if (err)
		return -EINVAL;
	if (!ovl_seal_fits(&file->seal, file->fd))
		return -EINVAL;
	/* LMDB itself checks the first two pages before it maps any. */
	if (open_env(file))
		return -EINVAL;
	mdb_env_info(file->env, &info);
	if (info.me_last_txnid != file->seal.transaction)
		return -EINVAL;
	file->sealed = true;
	return 0;
}

/* 0 or -errno. */
static int open_new(struct ovl_mdbfile *file)
{
	int err;

	if ((unlinkat(file->dirfd, OVL_STORE_SEAL, 0) && errno != ENOENT) ||
	    (unlinkat(file->dirfd, OVL_STORE_FILE, 0) && errno != ENOENT))
		return -errno;
	file->sealed = false;
	err = open_file(file, O_CREAT | O_EXCL);
	if (!err)
		err = open_seal(file, O_CREAT | O_EXCL);
	if (err)
		return err;
	err = open_env(file);
	if (err) {
		ovl_mdbfile_say(file, LOG_WARNING, "cannot be used", err);
		return -EIO;
	}
	return ovl_mdbfile_seal(file);
}

int ovl_mdbfile_renew(struct ovl_mdbfile *file)
{
	int err;

	close_files(file);
	err = open_new(file);
	if (err)
		close_files(file);
	return err;
}

static int open_any(struct ovl_mdbfile *file)
{
	struct statfs fs;
	int err;

	if (fstatfs(file->dirfd, &fs))
		return -errno;
	if (ovl_mdbfile_is_remote((uint32_t)fs.f_type))
		return -EREMOTE;
	err = open_old(file);
	if (err == -EINVAL)
		ovl_mdbfile_say(file, LOG_WARNING,
		                "damaged, or not closed properly: begun anew",
		                0);
	return err == -EINVAL || err == -ENOENT ? ovl_mdbfile_renew(file) : err;
}

int ovl_mdbfile_open(struct ovl_mdbfile *file, int dirfd, size_t max,
                     const struct ovl_log *log)
{
	int err;

	*file = (struct ovl_mdbfile){
		.max = max, .log = *log, .fd = -1, .sealfd = -1
	};
	pthread_mutex_init(&file->lock, NULL);
	file->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	err = file->dirfd < 0 ? -errno : open_any(file);
	if (err)
		ovl_mdbfile_close(file);
	return err;
}

void ovl_mdbfile_close(struct ovl_mdbfile *file)
{
	close_files(file);
	if (file->dirfd >= 0)
		close(file->dirfd);
	pthread_mutex_destroy(&file->lock);
}
