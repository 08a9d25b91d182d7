#include "config.h"

#include "tests/lib/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/behind.h"

/* ---- what is to fail ------------------------------------------------------ */

#define PATIENCE_SECONDS 30

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t held_or_let_go = PTHREAD_COND_INITIALIZER;

/* Guarded by `lock`. */
static struct {
	pthread_t test; /* the thread that arms */
	unsigned kinds; /* 0: nothing is armed */
	unsigned nth, seen, struck, struck_kinds;
	int error;
	bool lasting;
	unsigned to_hold; /* kinds; 0: none, or one is held */
	bool held;
} fault;

static atomic_bool whiteouts_refused;

void fault_refuse_whiteouts(bool refuse)
{
	atomic_store(&whiteouts_refused, refuse);
}

void fault_arm(unsigned kinds, unsigned nth, int error, int lasting)
{
	pthread_mutex_lock(&lock);
	fault.test = pthread_self();
	fault.kinds = kinds;
	fault.nth = nth;
	fault.seen = fault.struck = fault.struck_kinds = 0;
	fault.error = error;
	fault.lasting = lasting;
	pthread_mutex_unlock(&lock);
}

unsigned fault_disarm(void)
{
	unsigned struck;

	pthread_mutex_lock(&lock);
	fault.kinds = 0;
	struck = fault.struck;
	pthread_mutex_unlock(&lock);
	return struck;
}

void fault_hold(unsigned kinds)
{
	pthread_mutex_lock(&lock);
	fault.test = pthread_self();
	fault.to_hold = kinds;
	pthread_mutex_unlock(&lock);
}

bool fault_await_held(void)
{
	struct timespec until;
	bool held;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_SECONDS;
	pthread_mutex_lock(&lock);
	while (!fault.held &&
	       pthread_cond_timedwait(&held_or_let_go, &lock, &until) == 0)
		;
	held = fault.held;
	pthread_mutex_unlock(&lock);
	return held;
}

void fault_let_go(void)
{
	pthread_mutex_lock(&lock);
	fault.to_hold = 0;
	fault.held = false;
	pthread_cond_broadcast(&held_or_let_go);
	pthread_mutex_unlock(&lock);
}

static bool is_spared(void)
{
	return pthread_equal(fault.test, pthread_self()) || is_behind();
}

/* Wait, if this is the call that is to; the lock is held. */
static void wait_if_held(unsigned kind)
{
	if (!(fault.to_hold & kind) || is_spared())
		return;
	fault.to_hold = 0;
	fault.held = true;
	pthread_cond_broadcast(&held_or_let_go);
	while (fault.held)
		pthread_cond_wait(&held_or_let_go, &lock);
}

unsigned fault_struck_kinds(void)
{
	unsigned kinds;

	pthread_mutex_lock(&lock);
	kinds = fault.struck_kinds;
	pthread_mutex_unlock(&lock);
	return kinds;
}

/* Whether this call fails; then errno is set. */
static bool strikes(unsigned kind)
{
	bool strike = false;

	pthread_mutex_lock(&lock);
	wait_if_held(kind);
	if ((fault.kinds & kind) && !is_spared()) {
		fault.seen++;
		strike = fault.seen == fault.nth ||
		         (fault.lasting && fault.seen > fault.nth);
	}
	if (strike) {
		fault.struck++;
		fault.struck_kinds |= kind;
		errno = fault.error;
	}
	pthread_mutex_unlock(&lock);
	return strike;
}

/* ---- the calls (the linker's --wrap) -------------------------------------- */

#define WRAP(kind, type, name, parameters, arguments)                \
	type __real_##name parameters;                               \
	type __wrap_##name parameters;                               \
	type __wrap_##name parameters                                \
	{                                                            \
		return strikes(kind) ? -1 : __real_##name arguments; \
	}

WRAP(FAULT_LOOK, int, statx,
     (int dir, const char *path, int flags, unsigned mask, struct statx *stx),
     (dir, path, flags, mask, stx))
WRAP(FAULT_LOOK, int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(FAULT_LOOK, int, fstatat,
     (int dir, const char *path, struct stat *st, int flags),
     (dir, path, st, flags))
WRAP(FAULT_LOOK, int, name_to_handle_at,
     (int dir, const char *path, struct file_handle *handle, int *mount,
      int flags),
     (dir, path, handle, mount, flags))
WRAP(FAULT_LOOK, ssize_t, readlinkat,
     (int dir, const char *path, char *target, size_t size),
     (dir, path, target, size))
WRAP(FAULT_LOOK, ssize_t, getxattr,
     (const char *path, const char *name, void *value, size_t size),
     (path, name, value, size))
WRAP(FAULT_LOOK, ssize_t, listxattr,
     (const char *path, char *list, size_t size), (path, list, size))
WRAP(FAULT_LOOK, ssize_t, fgetxattr,
     (int fd, const char *name, void *value, size_t size),
     (fd, name, value, size))
WRAP(FAULT_LOOK, ssize_t, flistxattr, (int fd, char *list, size_t size),
     (fd, list, size))
WRAP(FAULT_LOOK, int, fstatvfs, (int fd, struct statvfs *st), (fd, st))
WRAP(FAULT_LOOK, int, fstatfs, (int fd, struct statfs *st), (fd, st))

WRAP(FAULT_READ, ssize_t, pread, (int fd, void *data, size_t n, off_t offset),
     (fd, data, n, offset))
WRAP(FAULT_READ, ssize_t, preadv2,
     (int fd, const struct iovec *iov, int n, off_t offset, int flags),
     (fd, iov, n, offset, flags))
WRAP(FAULT_READ, ssize_t, getdents64, (int fd, void *buffer, size_t size),
     (fd, buffer, size))
WRAP(FAULT_READ, off_t, lseek, (int fd, off_t offset, int whence),
     (fd, offset, whence))

WRAP(FAULT_MAKE, int, mkdirat, (int dir, const char *path, mode_t mode),
     (dir, path, mode))
int __real_mknodat(int dir, const char *path, mode_t mode, dev_t rdev);
int __wrap_mknodat(int dir, const char *path, mode_t mode, dev_t rdev);

int __wrap_mknodat(int dir, const char *path, mode_t mode, dev_t rdev)
{
	if (strikes(FAULT_MAKE))
		return -1;
	if (S_ISCHR(mode) && rdev == 0 && atomic_load(&whiteouts_refused)) {
		errno = EPERM;
		return -1;
	}
	return __real_mknodat(dir, path, mode, rdev);
}

WRAP(FAULT_MAKE, int, symlinkat,
     (const char *target, int dir, const char *path), (target, dir, path))
WRAP(FAULT_LINK, int, linkat,
     (int from, const char *old, int to, const char *new, int flags),
     (from, old, to, new, flags))
WRAP(FAULT_MOVE, int, renameat2,
     (int from, const char *old, int to, const char *new, unsigned flags),
     (from, old, to, new, flags))
WRAP(FAULT_GONE, int, unlinkat, (int dir, const char *path, int flags),
     (dir, path, flags))

WRAP(FAULT_FILL, ssize_t, pwrite,
     (int fd, const void *data, size_t n, off_t offset), (fd, data, n, offset))
WRAP(FAULT_FILL, ssize_t, copy_file_range,
     (int from, off_t *from_offset, int to, off_t *to_offset, size_t n,
      unsigned flags),
     (from, from_offset, to, to_offset, n, flags))
WRAP(FAULT_FILL, int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(FAULT_FILL, int, setxattr,
     (const char *path, const char *name, const void *value, size_t size,
      int flags),
     (path, name, value, size, flags))
WRAP(FAULT_FILL, int, removexattr, (const char *path, const char *name),
     (path, name))
WRAP(FAULT_FILL, int, fsetxattr,
     (int fd, const char *name, const void *value, size_t size, int flags),
     (fd, name, value, size, flags))
WRAP(FAULT_FILL, int, fremovexattr, (int fd, const char *name), (fd, name))
WRAP(FAULT_FILL, int, fallocate, (int fd, int mode, off_t offset, off_t size),
     (fd, mode, offset, size))

WRAP(FAULT_ATTR, int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(FAULT_ATTR, int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(FAULT_ATTR, int, fchownat,
     (int dir, const char *path, uid_t uid, gid_t gid, int flags),
     (dir, path, uid, gid, flags))
WRAP(FAULT_ATTR, int, utimensat,
     (int dir, const char *path, const struct timespec times[2], int flags),
     (dir, path, times, flags))
WRAP(FAULT_ATTR, int, futimens, (int fd, const struct timespec times[2]),
     (fd, times))

/* No power fails here: what is flushed need not reach a disk. */
#define WRAP_FLUSH(name, parameters)                 \
	int __wrap_##name parameters;                \
	int __wrap_##name parameters                 \
	{                                            \
		return strikes(FAULT_SYNC) ? -1 : 0; \
	}

WRAP_FLUSH(fsync, (__attribute__((unused)) int fd))
WRAP_FLUSH(fdatasync, (__attribute__((unused)) int fd))
WRAP_FLUSH(syncfs, (__attribute__((unused)) int fd))

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list list;

	if (flags & O_CREAT) {
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		va_end(list);
	}
	if (strikes(flags & O_CREAT ? FAULT_MAKE : FAULT_OPEN))
		return -1;
	return __real_openat(dir, path, flags, mode);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

/* Of what is there: by its path in /proc. */
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list list;

	if (flags & O_CREAT) {
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		va_end(list);
	}
	return strikes(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);

DIR *__wrap_fdopendir(int fd)
{
	return strikes(FAULT_READ) ? NULL : __real_fdopendir(fd);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	long argument;

	va_start(list, request);
	argument = va_arg(list, long);
	va_end(list);
	if (request == FICLONE && strikes(FAULT_FILL))
		return -1;
	return __real_ioctl(fd, request, argument);
}

/* openat2 has no function of its own; no other call has more arguments. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_openat2 && strikes(FAULT_OPEN))
		return -1;
	return __real_syscall(number, arguments[0], arguments[1], arguments[2],
	                      arguments[3], arguments[4], arguments[5]);
}
