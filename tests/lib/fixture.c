#include "config.h"

#include "tests/lib/fixture.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "tests/lib/scratch.h"

#define MAX_OPTIONS 65536

/* In a namespace of its own: a test that fails cleans nothing up. */
static bool mount_tmpfs(const char *top, const char *options)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", top, "tmpfs", 0, options) == 0;
}

bool fixture_can_mount(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(mount_tmpfs("/tmp", NULL) ? EXIT_SUCCESS : EXIT_FAILURE);
	if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
		return true;
	puts("no tmpfs can be mounted here");
	return false;
}

static void open_top(struct fixture *fixture)
{
	fixture->topfd = open(fixture->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fixture->topfd, 0);
}

static struct fixture *new_top(void)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	ck_assert_ptr_nonnull(fixture);
	umask(0);
	scratch_make(fixture->top, sizeof(fixture->top), "test");
	ck_assert_int_eq(chmod(fixture->top, 0755), 0);
	fixture->log = (struct nfsd_log){ STDERR_FILENO, LOG_WARNING };
	nfsd_options_init(&fixture->options);
	return fixture;
}

static void make_layers(struct fixture *fixture, unsigned lowers)
{
	char name[32];

	for (unsigned i = 0; i < lowers; i++) {
		snprintf(name, sizeof(name), "lower%u", i);
		fixture_mkdir(fixture, name, 0755);
	}
	fixture_mkdir(fixture, "upper", 0755);
	fixture_mkdir(fixture, "work", 0755);
	fixture_mkdir(fixture, "state", 0755);
}

struct fixture *fixture_new(unsigned lowers)
{
	struct fixture *fixture = new_top();

	open_top(fixture);
	make_layers(fixture, lowers);
	return fixture;
}

struct fixture *fixture_new_in_memory(unsigned lowers, const char *options)
{
	struct fixture *fixture = new_top();

	ck_assert(mount_tmpfs(fixture->top, options));
	fixture->mounted = true;
	open_top(fixture);
	make_layers(fixture, lowers);
	return fixture;
}

static int remove_one(const char *path, const struct stat *stat, int type,
                      struct FTW *ftw)
{
	(void)stat;
	(void)ftw;
	return type == FTW_DP || type == FTW_DNR ? rmdir(path) : unlink(path);
}

void fixture_free(struct fixture *fixture)
{
	if (fixture == NULL)
		return;
	fixture_stop(fixture);
	close(fixture->topfd);
	if (fixture->mounted)
		umount2(fixture->top, MNT_DETACH);
	nftw(fixture->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fixture);
}

/* "lowerdir=...,OPTIONS", for layers 0 to n - 1, those that are there. */
static void layer_options(struct fixture *fixture, const char *options,
                          char *text)
{
	const char *prefix = "lowerdir=";
	size_t len = 0;
	char name[32];

	text[0] = '\0';
	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof(name), "lower%u", i);
		if (!fixture_exists(fixture, name))
			break;
		len += (size_t)sprintf(text + len, "%s%s/%s", prefix,
		                       fixture->top, name);
		prefix = ":";
	}
	if (strcmp(options, "ro") != 0 && strncmp(options, "ro,", 3) != 0)
		len += (size_t)sprintf(text + len,
		                       "%supperdir=%s/upper,workdir=%s/work",
		                       len == 0 ? "" : ",", fixture->top,
		                       fixture->top);
	else
		len += (size_t)sprintf(text + len, ",statedir=%s/state",
		                       fixture->top);
	sprintf(text + len, ",%s", options);
}

void fixture_start(struct fixture *fixture, const char *options, bool listen)
{
	struct nfsd_options *o = &fixture->options;
	char *text = malloc(MAX_OPTIONS);
	char why[512] = "";

	ck_assert_ptr_nonnull(text);
	nfsd_options_release(o);
	nfsd_options_init(o);
	o->stats = fixture->stats;
	o->max_memory = fixture->max_memory;
	o->max_files = fixture->max_files;
	o->addresses[o->naddresses++] = "127.0.0.1";
	o->port = 0;
	o->threads = 2;
	o->rpcbind = NFSD_RPCBIND_NO;
	layer_options(fixture, options, text);
	ck_assert_msg(nfsd_export_config_parse(&o->export, text, NULL, why,
	                                       sizeof(why)) == 0,
	              "%s", why);
	ck_assert_int_eq(nfsd_export_config_set_path(&o->export, FIXTURE_EXPORT,
	                                             why, sizeof(why)),
	                 0);
	ck_assert_int_eq(
		nfsd_export_config_finish(&o->export, why, sizeof(why)), 0);
	ck_assert_msg(nfsd_server_new(o, &fixture->log, NULL, listen,
	                              &fixture->server, why, sizeof(why)) == 0,
	              "%s", why);
	ck_assert_msg(nfsd_server_start(fixture->server, why, sizeof(why)) == 0,
	              "%s", why);
	fixture->client = fixture_connect(fixture);
	free(text);
}

void fixture_stop(struct fixture *fixture)
{
	client_free(fixture->client);
	fixture->client = NULL;
	nfsd_server_free(fixture->server);
	fixture->server = NULL;
	nfsd_options_release(&fixture->options);
}

struct client *fixture_connect(struct fixture *fixture)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(nfsd_server_adopt(fixture->server, fds[0]), 0);
	return client_new(fds[1]);
}

/* Bind to any free port below 1024. */
static bool bind_privileged(int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (uint16_t port = 1023; port > 600; port--) {
		address.sin_port = htons(port);
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return true;
		if (errno != EADDRINUSE)
			return false;
	}
	return false;
}

static void connect_to_server(struct fixture *fixture, int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(nfsd_server_port(fixture->server));
	ck_assert_int_eq(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

struct client *fixture_connect_tcp(struct fixture *fixture, bool privileged)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	if (privileged && !bind_privileged(fd)) {
		close(fd);
		return NULL;
	}
	connect_to_server(fixture, fd);
	return client_new(fd);
}

struct client *fixture_connect_udp(struct fixture *fixture)
{
	return fixture_connect_from(fixture, SOCK_DGRAM, "127.0.0.1");
}

struct client *fixture_connect_from(struct fixture *fixture, int type,
                                    const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inet_pton(AF_INET, text, &address.sin_addr), 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
	                 0);
	connect_to_server(fixture, fd);
	return client_new(fd);
}

/* ---- layers ------------------------------------------------------------- */

void fixture_mkdir(struct fixture *fixture, const char *path, mode_t mode)
{
	ck_assert_msg(mkdirat(fixture->topfd, path, mode) == 0, "%s: %s", path,
	              strerror(errno));
}

void fixture_write(struct fixture *fixture, const char *path, const char *text,
                   mode_t mode)
{
	int fd = openat(fixture->topfd, path,
	                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

void fixture_symlink(struct fixture *fixture, const char *path,
                     const char *target)
{
	ck_assert_int_eq(symlinkat(target, fixture->topfd, path), 0);
}

bool fixture_exists(struct fixture *fixture, const char *path)
{
	struct stat stat;

	return fstatat(fixture->topfd, path, &stat, AT_SYMLINK_NOFOLLOW) == 0;
}

unsigned fixture_count(struct fixture *fixture, const char *path)
{
	struct dirent **names;
	int n = scandirat(fixture->topfd, path, &names, NULL, NULL), left = n;

	ck_assert_msg(n >= 2, "%s: %s", path, strerror(errno));
	while (left > 0)
		free(names[--left]);
	free(names);
	return (unsigned)n - 2;
}

void fixture_assert_text(struct fixture *fixture, const char *path,
                         const char *text)
{
	char got[4096];
	int fd = openat(fixture->topfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	n = read(fd, got, sizeof(got) - 1);
	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	close(fd);
	ck_assert_str_eq(got, text);
}
