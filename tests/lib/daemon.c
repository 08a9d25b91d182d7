#include "config.h"

#include "tests/lib/daemon.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/scratch.h"

#define MAX_ARGUMENTS 32

/* Sanitizers make it slow. */
#define DEADLINE_MS 20000

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* ---- its directory ------------------------------------------------------- */

char *daemon_path(const struct daemon *daemon, const char *name,
                  char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s", daemon->top, name);

	ck_assert_int_lt(n, PATH_MAX);
	return path;
}

void daemon_mkdir(const struct daemon *daemon, const char *name)
{
	char path[PATH_MAX];

	ck_assert_int_eq(mkdir(daemon_path(daemon, name, path), 0755), 0);
}

void daemon_write(const struct daemon *daemon, const char *name,
                  const char *contents)
{
	char path[PATH_MAX];
	FILE *file = fopen(daemon_path(daemon, name, path), "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(contents, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static bool has_logged(const struct daemon *daemon, const char *line)
{
	char path[PATH_MAX], text[65536];
	FILE *file = fopen(daemon_path(daemon, "log", path), "re");
	size_t n;

	ck_assert_ptr_nonnull(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return strstr(text, line) != NULL;
}

void daemon_await_log(const struct daemon *daemon, const char *line)
{
	for (long ms = 0; !has_logged(daemon, line); ms += 10) {
		ck_assert_msg(ms < DEADLINE_MS, "not in the log: %s", line);
		sleep_ms(10);
	}
}

struct daemon *daemon_new(void)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	ck_assert_ptr_nonnull(daemon);
	umask(022);
	scratch_make(daemon->top, sizeof(daemon->top), "test");
	daemon_mkdir(daemon, "lower");
	daemon_mkdir(daemon, "upper");
	daemon_mkdir(daemon, "work");
	return daemon;
}

static int remove_one(const char *path, const struct stat *stat, int type,
                      struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void daemon_free(struct daemon *daemon)
{
	if (daemon->pid != 0)
		daemon_end(daemon, SIGKILL);
	nftw(daemon->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(daemon);
}

/* ---- the process --------------------------------------------------------- */

/* With both outputs to `fd`, which stays the caller's. */
static pid_t spawn(const char *const arguments[], int fd)
{
	const char *argv[MAX_ARGUMENTS + 2] = { getenv("VENEERD") };
	pid_t pid;

	ck_assert_msg(argv[0] != NULL, "VENEERD is not set");
	for (size_t i = 0; arguments[i] != NULL; i++) {
		ck_assert_uint_lt(i, MAX_ARGUMENTS);
		argv[i + 1] = arguments[i];
	}
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	for (int ms = 0; ms < DEADLINE_MS; ms += 5) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		sleep_ms(5);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	ck_abort_msg("veneerd does not end");
}

static int open_log(const struct daemon *daemon)
{
	char path[PATH_MAX];
	int fd = open(daemon_path(daemon, "log", path),
	              O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/*
 * Wait until the log says that it serves, and where. False: it has ended, since the
 * port that it had before is somebody else's at this moment.
 */
static bool is_ready(struct daemon *daemon, int log)
{
	static const char ready[] = "serving " DAEMON_EXPORT " on 127.0.0.1";
	char text[4096];
	const char *found = NULL;

	for (int ms = 0; found == NULL || strchr(found, '\n') == NULL;
	     ms += 5) {
		bool ended = waitpid(daemon->pid, NULL, WNOHANG) != 0;
		ssize_t n = pread(log, text, sizeof(text) - 1, 0);

		text[n < 0 ? 0 : n] = '\0';
		if (ended && strstr(text, "Address already in use") != NULL)
			return false;
		ck_assert_msg(!ended, "veneerd has ended: %s", text);
		ck_assert_msg(ms < DEADLINE_MS, "veneerd is late: %s", text);
		found = strstr(text, ready);
		sleep_ms(5);
	}
	/* There may be another address before. */
	found = strstr(found, " port ");
	ck_assert_ptr_nonnull(found);
	daemon->port = (uint16_t)atoi(found + strlen(" port "));
	return true;
}

/* The log, which is the caller's to close. */
static int begin(struct daemon *daemon, const char *const arguments[])
{
	char port[8];
	const char *all[MAX_ARGUMENTS + 1] = { "-p", port, "-b", "127.0.0.1" };
	bool has_file = false;
	size_t n = 4;
	int log = open_log(daemon);

	snprintf(port, sizeof(port), "%u", daemon->port);
	while (*arguments != NULL) {
		ck_assert_uint_lt(n + 1, MAX_ARGUMENTS);
		has_file |= strcmp(*arguments, "-e") == 0;
		all[n++] = *arguments++;
	}
	if (!has_file)
		all[n] = DAEMON_EXPORT;
	daemon->pid = spawn(all, log);
	return log;
}

void daemon_begin(struct daemon *daemon, const char *const arguments[])
{
	close(begin(daemon, arguments));
}

void daemon_serve(struct daemon *daemon, const char *const arguments[])
{
	bool ready = false;
	int log;

	for (int ms = 0; !ready; ms += 100) {
		ck_assert_msg(ms < DEADLINE_MS, "port %u stays in use",
		              daemon->port);
		if (ms > 0)
			sleep_ms(100);
		log = begin(daemon, arguments);
		ready = is_ready(daemon, log);
		close(log);
	}
}

void daemon_start(struct daemon *daemon, const char *options)
{
	char layers[1024];
	const char *const arguments[] = { "-o", layers, "-o", options, NULL };

	snprintf(layers, sizeof(layers),
	         "lowerdir=%1$s/lower,upperdir=%1$s/upper,workdir=%1$s/work",
	         daemon->top);
	daemon_serve(daemon, arguments);
}

int daemon_connect(const struct daemon *daemon)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(daemon->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address,
	                         sizeof(address)),
	                 0);
	return fd;
}

int daemon_end(struct daemon *daemon, int signal)
{
	pid_t pid = daemon->pid;

	daemon->pid = 0;
	ck_assert_int_eq(kill(pid, signal), 0);
	return wait_for(pid);
}

int daemon_run(const char *const arguments[], char *text, size_t size)
{
	FILE *output = tmpfile();
	size_t n;
	int status;

	ck_assert_ptr_nonnull(output);
	status = wait_for(spawn(arguments, fileno(output)));
	rewind(output);
	n = fread(text, 1, size - 1, output);
	text[n] = '\0';
	fclose(output);
	ck_assert_msg(WIFEXITED(status), "a signal ended it: %s", text);
	return WEXITSTATUS(status);
}
