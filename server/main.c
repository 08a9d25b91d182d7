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
#include "server/log.h"
#include "server/options.h"
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

static int serve(const struct nfsd_options *options)
{
	struct nfsd_log log = { .fd = STDERR_FILENO,
		                .level = options->log_level };
	const sigset_t set = block_signals();
	struct nfsd_server *server = NULL;
	char why[512];
	int err;

	umask(0); /* modes are the clients' */
	raise_file_limit();
	err = nfsd_server_new(options, &log, true, &server, why, sizeof(why));
	if (err == 0)
		err = nfsd_server_start(server, why, sizeof(why));
	if (err == 0) {
		wait_for_end(server, options->exports != NULL, &set);
		nfsd_log(&log, LOG_INFO, "ending");
	} else {
		nfsd_log(&log, LOG_ERR, "%s", why);
	}
	nfsd_server_free(server);
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
