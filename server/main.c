#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "server/exports_print.h"
#include "server/helper.h"
#include "server/log.h"
#include "server/options.h"
#include "server/privileges.h"
#include "server/server.h"

/* Those that main waits for; every thread inherits the block. */
static sigset_t block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);

	/* Write errors come back as errno: EPIPE, EFBIG. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return set;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The next signal; 0: none came for a while, though there is something to be done. */
static int next_signal(const sigset_t *set, bool is_busy)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int signal;

	do
		signal = is_busy ? sigtimedwait(set, NULL, &pause)
		                 : sigwaitinfo(set, NULL);
	while (signal < 0 && errno == EINTR);
	return signal < 0 ? 0 : signal;
}

/* Until a signal says to end. */
static void wait_for_end(struct nfsd_server *server, bool has_file,
                         const sigset_t *set)
{
	bool is_busy = false;

	for (;;) {
		switch (next_signal(set, is_busy)) {
		case SIGUSR1:
			nfsd_server_log_statistics(server);
			break;
		case SIGHUP:
			if (!has_file)
				return;
			nfsd_server_reload(server);
			break;
		case 0:
			break;
		default:
			return;
		}
		is_busy = !nfsd_server_reload_step(server);
	}
}

/* Who is to be served by, found while the system's list of users is in reach. */
static int find_user(const struct nfsd_options *options, struct nfsd_user *user,
                     char *why, size_t size)
{
	if (options->user == NULL)
		return 0;
	if (options->as_root)
		return nfsd_user_find(options->user, user, why, size);
	snprintf(why, size, "--user: only root can become another user");
	return -EPERM;
}

/* What the server is to do by another process; forked while all is in reach. */
static int start_helper(const struct nfsd_options *options,
                        const struct nfsd_user *user, struct nfsd_log *log,
                        struct nfsd_helper **helper, char *why, size_t size)
{
	const bool registers = options->rpcbind == NFSD_RPCBIND_YES ||
	                       (options->rpcbind == NFSD_RPCBIND_AUTO &&
	                        options->port == NFSD_PORT);

	return nfsd_helper_new(user, registers, log, helper, why, size);
}

/* Each step gives up what the one before it needed. */
static int begin(const struct nfsd_options *options,
                 const struct nfsd_user *user, struct nfsd_log *log,
                 struct nfsd_helper *helper, struct nfsd_server **server,
                 char *why, size_t size)
{
	int err = user != NULL ? nfsd_user_become(user, why, size) : 0;

	if (err == 0)
		err = nfsd_capabilities_keep(NFSD_FOR_FILES | NFSD_FOR_PORTS,
		                             why, size);
	if (err == 0)
		err = nfsd_server_new(options, log, helper, true, server, why,
		                      size);
	if (err == 0)
		err = nfsd_capabilities_keep(NFSD_FOR_FILES, why, size);
	if (err == 0 && !options->no_sandbox)
		err = nfsd_server_confine(*server, why, size);
	if (err == 0)
		err = nfsd_server_start(*server, why, size);
	return err;
}

static int serve(const struct nfsd_options *options)
{
	struct nfsd_log log = { .fd = STDERR_FILENO,
		                .level = options->log_level };
	const sigset_t set = block_signals();
	const struct nfsd_user *become = NULL;
	struct nfsd_user user = { 0 };
	struct nfsd_helper *helper = NULL;
	struct nfsd_server *server = NULL;
	char why[512];
	int err;

	umask(0); /* modes are the clients' */
	raise_file_limit();
	err = find_user(options, &user, why, sizeof(why));
	if (options->user != NULL)
		become = &user;
	if (err == 0)
		err = start_helper(options, become, &log, &helper, why,
		                   sizeof(why));
	if (err == 0)
		err = begin(options, become, &log, helper, &server, why,
		            sizeof(why));
	if (err == 0) {
		wait_for_end(server, options->exports != NULL, &set);
		nfsd_log(&log, LOG_INFO, "ending");
	} else {
		nfsd_log(&log, LOG_ERR, "%s", why);
	}
	nfsd_server_free(server);
	nfsd_helper_free(helper);
	nfsd_user_release(&user);
	return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const struct nfsd_log log = { .fd = STDERR_FILENO, .level = LOG_ERR };
	struct nfsd_options options;
	int status = EXIT_SUCCESS;
	char why[512] = "out of memory";

	nfsd_options_init(&options);
	if (nfsd_options_parse(&options, argc, argv, why, sizeof(why)) != 0) {
		nfsd_log(&log, LOG_ERR, "%s", why);
		status = EXIT_FAILURE;
	} else if (options.action == NFSD_SHOW_HELP) {
		fputs(nfsd_options_help, stdout);
	} else if (options.action == NFSD_SHOW_VERSION) {
		puts(PACKAGE_STRING);
	} else if (options.action == NFSD_CHECK) {
		nfsd_exports_print(&options.file, stdout);
	} else {
		status = serve(&options);
	}
	nfsd_options_release(&options);
	return status;
}
