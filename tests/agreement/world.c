#include "config.h"

#include "tests/agreement/world.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/agreement/side.h"
#include "tests/unit/seed.h"

#define USER_ID 1000
#define MAX_LAYERS 4
#define OPTIONS_SIZE 4000

void give_up(const struct world *world, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(world->out, format, args);
	va_end(args);
	fprintf(world->out, "\n");
	fflush(world->out);
	_exit(EXIT_FAILURE);
}

void world_at(const struct world *world, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", world->top, name);
}

/* ---- its namespaces -------------------------------------------------------- */

static bool write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return written;
}

/* As an ordinary user, who may mount in a namespace of his. */
static bool enter_as_user(void)
{
	char uids[64], gids[64];

	if (geteuid() == 0 && (setgroups(0, NULL) < 0 ||
	                       setresgid(USER_ID, USER_ID, USER_ID) < 0 ||
	                       setresuid(USER_ID, USER_ID, USER_ID) < 0))
		return false;
	/* Else his files in /proc are root's. */
	prctl(PR_SET_DUMPABLE, 1);
	snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	       write_to("/proc/self/setgroups", "deny") &&
	       write_to("/proc/self/uid_map", uids) &&
	       write_to("/proc/self/gid_map", gids);
}

static bool enter_as_root(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool world_enter(const struct world *world)
{
	umask(0);
	return (world->user ? enter_as_user() : enter_as_root()) &&
	       mount("none", world->top, "tmpfs", 0, "mode=755") == 0;
}

/* ---- what it is made of ---------------------------------------------------- */

/* A set of layers, and where to work on it. */
static void make_set(const struct world *world, const char *set, uint64_t seed)
{
	static const char *const dirs[] = { "up", "work", "mnt" };
	char path[PATH_MAX];
	int dir;

	world_at(world, set, path);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
	layers_make(dir, &world->layers, seed);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(mkdirat(dir, dirs[i], 0755), 0);
	close(dir);
}

/* Those by attribute, since Linux 6.8. */
static bool kernel_knows_marked_whiteouts(void)
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	return uname(&name) == 0 &&
	       sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 8));
}

/* As the kernel has it: metacopies need redirects, and users have neither. */
static void choose_options(struct world *world, uint64_t *random)
{
	unsigned less = test_random(random) % 6;

	world->redirects = !world->user && less != 1;
	world->metacopies = world->redirects && less != 2;
	world->max_entries = 100 << 4 * (test_random(random) % 3);
	world->max_files = 100 << 4 * (test_random(random) % 3);
	world->cache = test_random(random) % 3;
}

void world_make(struct world *world, uint64_t seed)
{
	uint64_t random = seed;

	choose_options(world, &random);
	world->layers = (struct layers_kind){
		.n = 1 + test_random(&random) % MAX_LAYERS,
		.user = world->user,
		.redirects = world->redirects,
		.metacopies = world->metacopies,
		.data = world->metacopies && test_random(&random) % 3 == 0,
		.acls = !world->user,
		.marked_whiteouts = kernel_knows_marked_whiteouts(),
	};
	make_set(world, "k", seed);
	make_set(world, "v", seed);
}

/* In the user. namespace, the kernel has nothing else, and does not hear of it. */
static const char *format_options(const struct world *world)
{
	if (world->user)
		return "userxattr";
	if (world->metacopies)
		return "redirect_dir=on,metacopy=on";
	return world->redirects ? "redirect_dir=on,metacopy=off"
	                        : "redirect_dir=off,metacopy=off";
}

/* Options that name the layers, for mount(2) and veneerd alike. */
static void add_layers(const struct world *world, const char *set,
                       char options[OPTIONS_SIZE])
{
	size_t n = strlen(options);

	n += snprintf(options + n, OPTIONS_SIZE - n, ",lowerdir=");
	for (unsigned i = 0; i < world->layers.n; i++)
		n += snprintf(options + n, OPTIONS_SIZE - n, "%s%s/%s/l%u",
		              i ? ":" : "", world->top, set, i);
	if (world->layers.data)
		n += snprintf(options + n, OPTIONS_SIZE - n, "::%s/%s/data",
		              world->top, set);
	n += snprintf(options + n, OPTIONS_SIZE - n,
	              ",upperdir=%1$s/%2$s/up,workdir=%1$s/%2$s/work",
	              world->top, set);
	ck_assert_uint_lt(n, OPTIONS_SIZE);
}

/* ---- the kernel ------------------------------------------------------------ */

void world_mount(const struct world *world, const char *set, bool index)
{
	char options[OPTIONS_SIZE], name[64], path[PATH_MAX];

	snprintf(options, sizeof(options), "%s,index=%s", format_options(world),
	         index && !world->user ? "on" : "off");
	add_layers(world, set, options);
	snprintf(name, sizeof(name), "%s/mnt", set);
	world_at(world, name, path);
	if (mount("overlay", path, "overlay", 0, options) < 0)
		give_up(world, "mount -o %s: %s", options, strerror(errno));
	kernel_side_open(path, world->user);
}

void world_unmount(const struct world *world, const char *set)
{
	char name[64], path[PATH_MAX];

	kernel_side_close();
	snprintf(name, sizeof(name), "%s/mnt", set);
	world_at(world, name, path);
	if (umount(path) < 0)
		give_up(world, "umount %s: %s", path, strerror(errno));
}

/* ---- veneerd --------------------------------------------------------------- */

void world_serve(const struct world *world, const char *set)
{
	static const char *const caches[] = { "auto", "always", "never" };
	char options[OPTIONS_SIZE], entries[16], files[16];
	const char *const arguments[] = {
		"-o",  options, "--max-entries", entries, "--max-files",
		files, NULL,
	};

	snprintf(options, sizeof(options),
	         "insecure,no_root_squash,async,cache=%s,%s%s",
	         caches[world->cache], format_options(world),
	         world->user ? ",redirect_dir=off,metacopy=off" : "");
	add_layers(world, set, options);
	snprintf(entries, sizeof(entries), "%u", world->max_entries);
	snprintf(files, sizeof(files), "%u", world->max_files);
	daemon_serve(world->daemon, arguments);
	nfs_side_open(world->daemon->port, DAEMON_EXPORT);
}

void world_stop(const struct world *world, int signal)
{
	int status;

	nfs_side_close();
	status = daemon_end(world->daemon, signal);
	if (status != (signal == SIGKILL ? SIGKILL : 0))
		give_up(world, "veneerd ended with status %#x", status);
}
