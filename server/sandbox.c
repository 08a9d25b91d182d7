#include "config.h"

#include "server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "server/seccomp.h"

/* Of newer kernels than Debian 12's headers are of. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

/* Before, nothing may be renamed from one directory to another: no copy-up. */
#define ABI_RENAMES 2
#define ABI_TRUNCATE 3

/* ---- what may be done ---------------------------------------------------------- */

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITING                                                           \
	(READING | LANDLOCK_ACCESS_FS_WRITE_FILE |                        \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |     \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |     \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |   \
	 LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER |         \
	 LANDLOCK_ACCESS_FS_TRUNCATE)
/* The part of it that makes sense for what is no directory. */
#define OF_FILES                                                        \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	 LANDLOCK_ACCESS_FS_TRUNCATE)

/*
 * What this kernel is to refuse elsewhere. Not that anything is run, or devices are
 * told what to do: no system call is left for that. And at each rename the kernel looks
 * for who may do all of it, from both directories up, until it has found that: so
 * it does at the layer, and does not go on to the root of the mount.
 */
static uint64_t known_to(int abi)
{
	uint64_t known = WRITING;

	if (abi < ABI_TRUNCATE)
		known &= ~(uint64_t)LANDLOCK_ACCESS_FS_TRUNCATE;
	return known;
}

/* ---- where --------------------------------------------------------------------- */

struct place {
	int fd; /* O_PATH; -1 once it is a rule, which holds its inode */
	dev_t dev;
	ino_t ino;
	bool is_dir;
	enum nfsd_sandbox_use use;
};

struct nfsd_sandbox {
	struct place *places;
	size_t n;
	int mounts;  /* O_PATH of the list of them */
	bool inside; /* a domain of Landlock */
};

static int fail(int err, const char *what, char *why, size_t size)
{
	snprintf(why, size, "%s: %s", what, strerror(-err));
	return err;
}

int nfsd_sandbox_new(struct nfsd_sandbox **sandbox)
{
	struct nfsd_sandbox *fresh = calloc(1, sizeof(*fresh));

	if (fresh == NULL)
		return -ENOMEM;
	fresh->mounts = -1;
	*sandbox = fresh;
	return 0;
}

void nfsd_sandbox_free(struct nfsd_sandbox *sandbox)
{
	if (sandbox == NULL)
		return;
	for (size_t i = 0; i < sandbox->n; i++)
		if (sandbox->places[i].fd >= 0)
			close(sandbox->places[i].fd);
	if (sandbox->mounts >= 0)
		close(sandbox->mounts);
	free(sandbox->places);
	free(sandbox);
}

int nfsd_sandbox_allow(struct nfsd_sandbox *sandbox, const char *path,
                       enum nfsd_sandbox_use use, char *why, size_t size)
{
	struct place *places =
		reallocarray(sandbox->places, sandbox->n + 1, sizeof(*places));
	struct stat st;
	int fd, err;

	if (places == NULL)
		return fail(-ENOMEM, path, why, size);
	sandbox->places = places;
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return fail(err, path, why, size);
	}
	places[sandbox->n++] = (struct place){
		.fd = fd,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.is_dir = S_ISDIR(st.st_mode),
		.use = use,
	};
	return 0;
}

/* ---- Landlock, for which libc has no names --------------------------------------- */

static int landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	                    LANDLOCK_CREATE_RULESET_VERSION);
}

static int add_rule(int ruleset, int fd, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access,
		.parent_fd = fd,
	};

	return syscall(SYS_landlock_add_rule, ruleset,
	               LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0
	               ? -errno
	               : 0;
}

/*
 * Whether upper and workdir are in use is read from there, when another export is
 * opened. /proc makes an inode anew when it has forgotten one, and the rule is of this
 * one: so it is held.
 */
static int add_mounts(struct nfsd_sandbox *sandbox, int ruleset)
{
	sandbox->mounts = open("/proc/self/mountinfo", O_PATH | O_CLOEXEC);
	return sandbox->mounts >= 0 ? add_rule(ruleset, sandbox->mounts,
	                                       LANDLOCK_ACCESS_FS_READ_FILE)
	                            : 0;
}

#ifdef WITH_SANITIZERS
/* At the end they read how memory is laid out, and which threads there are. */
static int add_sanitizers(int ruleset)
{
	int fd = open("/proc", O_PATH | O_CLOEXEC), err;

	if (fd < 0)
		return 0;
	err = add_rule(ruleset, fd, READING);
	close(fd);
	return err;
}
#else
static int add_sanitizers(int ruleset)
{
	(void)ruleset;
	return 0;
}
#endif

static int add_rules(struct nfsd_sandbox *sandbox, int ruleset, uint64_t known)
{
	int err = add_mounts(sandbox, ruleset);

	if (err == 0)
		err = add_sanitizers(ruleset);
	for (size_t i = 0; err == 0 && i < sandbox->n; i++) {
		struct place *place = &sandbox->places[i];
		uint64_t access =
			place->use == NFSD_SANDBOX_WRITE ? WRITING : READING;

		if (!place->is_dir)
			access &= OF_FILES;
		err = add_rule(ruleset, place->fd, access & known);
		close(place->fd);
		place->fd = -1;
	}
	return err;
}

static int enter_domain(struct nfsd_sandbox *sandbox, int abi)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = known_to(abi),
	};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
	                           sizeof(attr), 0);
	int err = ruleset < 0 ? -errno : 0;

	if (err == 0)
		err = add_rules(sandbox, ruleset, attr.handled_access_fs);
	if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		err = -errno;
	if (ruleset >= 0)
		close(ruleset);
	sandbox->inside = err == 0;
	return err;
}

/* ---- entering ------------------------------------------------------------------ */

/* Landlock is for the thread that asks for it. */
static bool is_only_thread(void)
{
#ifndef WITH_SANITIZERS /* which have threads of their own */
	struct stat st;

	/* A directory each, beside "." and "..". */
	if (stat("/proc/self/task", &st) == 0)
		return st.st_nlink <= 3;
#endif
	return true;
}

int nfsd_sandbox_enter(struct nfsd_sandbox *sandbox, const struct nfsd_log *log,
                       char *why, size_t size)
{
	const int abi = landlock_abi();
	int err;

	if (!is_only_thread())
		return fail(-EBUSY, "sandbox: there are threads", why, size);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(-errno, "no_new_privs", why, size);
	if (abi < ABI_RENAMES)
		nfsd_log(log, LOG_INFO,
		         "the kernel has no Landlock (or Linux 5.13's): files "
		         "outside of the layers are kept from the server by "
		         "their owners and modes alone");
	err = abi < ABI_RENAMES ? 0 : enter_domain(sandbox, abi);
	if (err != 0)
		return fail(err, "Landlock (see --no-sandbox)", why, size);
	err = nfsd_seccomp_enter();
	if (err != 0)
		return fail(err, "seccomp (see --no-sandbox)", why, size);
	return 0;
}

/* ---- afterwards ---------------------------------------------------------------- */

/* What is there of `path`, opened, from the whole of it down to "/" or ".". */
static int open_existing(const char *path)
{
	char *existing = strdup(path), *slash;
	int fd;

	if (existing == NULL)
		return -ENOMEM;
	fd = open(existing, O_PATH | O_CLOEXEC);
	while (fd < 0 && errno == ENOENT && *existing != '\0') {
		slash = strrchr(existing, '/');
		if (slash == NULL)
			strcpy(existing, "."); /* shorter than none is long */
		else if (slash == existing)
			slash[1] = '\0';
		else
			*slash = '\0';
		fd = open(existing, O_PATH | O_CLOEXEC);
		if (slash == NULL || slash == existing)
			break;
	}
	if (fd < 0)
		fd = -errno;
	free(existing);
	return fd;
}

static bool is_place(const struct nfsd_sandbox *sandbox, const struct stat *st,
                     enum nfsd_sandbox_use use)
{
	for (size_t i = 0; i < sandbox->n; i++) {
		const struct place *place = &sandbox->places[i];

		if (place->dev == st->st_dev && place->ino == st->st_ino &&
		    (place->use == NFSD_SANDBOX_WRITE ||
		     use == NFSD_SANDBOX_READ))
			return true;
	}
	return false;
}

/* From there up, as the kernel does. 1, 0 or -errno. Takes `fd`. */
static int is_below_a_place(const struct nfsd_sandbox *sandbox, int fd,
                            enum nfsd_sandbox_use use)
{
	struct stat st, above = { 0 };
	int up, err = 0;

	while (fd >= 0) {
		if (fstat(fd, &st) != 0)
			err = -errno;
		if (err != 0 || is_place(sandbox, &st, use) ||
		    (st.st_dev == above.st_dev && st.st_ino == above.st_ino))
			break;
		above = st;
		up = openat(fd, "..", O_PATH | O_CLOEXEC);
		if (up < 0)
			err = -errno;
		close(fd);
		fd = up;
	}
	if (fd >= 0)
		close(fd);
	return err != 0 ? err : is_place(sandbox, &st, use);
}

int nfsd_sandbox_covers(const struct nfsd_sandbox *sandbox, const char *path,
                        enum nfsd_sandbox_use use, char *why, size_t size)
{
	int fd, is_covered;

	if (sandbox == NULL || !sandbox->inside)
		return 0;
	fd = open_existing(path);
	is_covered = fd < 0 ? fd : is_below_a_place(sandbox, fd, use);
	if (is_covered < 0)
		return fail(is_covered, path, why, size);
	if (is_covered)
		return 0;
	snprintf(why, size,
	         "%s: veneerd has locked itself out of it when it started "
	         "(Landlock): start it again, or with --allow for what is to "
	         "come later",
	         path);
	return -EACCES;
}
