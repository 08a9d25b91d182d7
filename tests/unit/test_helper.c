/*
 * The process that asks the system for the server: it answers, it ends with who
 * started it, and what becomes of those who ask when it does not answer.
 */
#include "config.h"

#include "server/helper.h"
#include "server/helper_internal.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

static struct nfsd_log logging = { STDERR_FILENO, LOG_ERR };
static struct nfsd_helper *helper;
static char why[256];

/* For whom nobody has to be asked, who may be out of reach. */
static struct nfsd_client client = { .kind = NFSD_CLIENT_HOST,
	                             .text = "192.0.2.1" };
static const struct in6_addr address = IN6ADDR_LOOPBACK_INIT;

static void setup(void)
{
	ck_assert_msg(nfsd_helper_new(NULL, false, &logging, &helper, why,
	                              sizeof(why)) == 0,
	              "%s", why);
}

static void teardown(void)
{
	nfsd_helper_free(helper);
}

static int ask(void)
{
	return nfsd_helper_is_client(helper, &client, &address);
}

/* Of what /proc says of a process; "": it has ended. */
static const char *status_of(pid_t pid, const char *field, char line[256])
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, 256, file) != NULL)
		if (strncmp(line, field, strlen(field)) == 0) {
			fclose(file);
			return line + strlen(field);
		}
	if (file != NULL)
		fclose(file);
	return "";
}

/* Within seconds: it is gone, or nobody has buried it yet. */
static void assert_ends(pid_t pid)
{
	char line[256];

	for (int i = 0; i < 1000; i++) {
		const char *state = status_of(pid, "State:\t", line);

		if (*state == '\0' || *state == 'Z')
			return;
		usleep(10000);
	}
	ck_abort_msg("%d is still there", (int)pid);
}

START_TEST(it_answers)
{
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(ask(), 0);
}
END_TEST

static void *ask_often(void *arg)
{
	for (unsigned i = 0; i < 50; i++)
		ck_assert_int_eq(ask(), 0);
	return arg;
}

START_TEST(many_ask_at_a_time)
{
	pthread_t threads[NFSD_HELPER_LOOKUPS];

	for (unsigned i = 0; i < NFSD_HELPER_LOOKUPS; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, ask_often, NULL), 0);
	for (unsigned i = 0; i < NFSD_HELPER_LOOKUPS; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(a_name_that_no_host_has_is_not_asked_for)
{
	char text[2 * NI_MAXHOST];
	const struct nfsd_client long_one = { .kind = NFSD_CLIENT_HOST,
		                              .text = text };

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(nfsd_helper_is_client(helper, &long_one, &address), 0);
	ck_assert_int_eq(ask(), 0);
}
END_TEST

START_TEST(it_has_no_capabilities_and_gets_none)
{
	char line[256];
	pid_t pid = nfsd_helper_pid(helper);

	ck_assert_str_eq(status_of(pid, "CapPrm:\t", line),
	                 "0000000000000000\n");
	ck_assert_str_eq(status_of(pid, "CapEff:\t", line),
	                 "0000000000000000\n");
	ck_assert_str_eq(status_of(pid, "NoNewPrivs:\t", line), "1\n");
}
END_TEST

/* ---- its end ------------------------------------------------------------------ */

START_TEST(signals_of_the_terminal_do_not_end_it)
{
	static const int signals[] = { SIGINT,  SIGTERM, SIGHUP,
		                       SIGQUIT, SIGUSR1, SIGPIPE };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		ck_assert_int_eq(kill(nfsd_helper_pid(helper), signals[i]), 0);
	ck_assert_int_eq(ask(), 0);
}
END_TEST

/* A process that starts one, and tells which; then it waits. */
static pid_t start_elsewhere(pid_t *its_helper)
{
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (nfsd_helper_new(NULL, false, &logging, &helper, why,
		                    sizeof(why)) != 0)
			_exit(1);
		*its_helper = nfsd_helper_pid(helper);
		if (write(ends[1], its_helper, sizeof(*its_helper)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(read(ends[0], its_helper, sizeof(*its_helper)),
	                 sizeof(*its_helper));
	close(ends[0]);
	close(ends[1]);
	return pid;
}

START_TEST(it_does_not_outlive_a_server_that_is_killed)
{
	pid_t other, pid = start_elsewhere(&other);

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	assert_ends(other);
}
END_TEST

START_TEST(it_ends_when_it_is_let_go)
{
	pid_t pid = nfsd_helper_pid(helper);

	nfsd_helper_free(helper);
	helper = NULL;
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

/* How often `text` is in what was logged. */
static unsigned count_in_log(int fd, const char *text)
{
	static char log[65536];
	ssize_t len = pread(fd, log, sizeof(log) - 1, 0);
	unsigned n = 0;

	log[len > 0 ? len : 0] = '\0';
	for (const char *at = log; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

START_TEST(that_it_has_ended_is_said_once)
{
	FILE *log = tmpfile();

	ck_assert_ptr_nonnull(log);
	logging = (struct nfsd_log){ fileno(log), LOG_WARNING };
	ck_assert_int_eq(kill(nfsd_helper_pid(helper), SIGKILL), 0);
	assert_ends(nfsd_helper_pid(helper));
	for (unsigned i = 0; i < 2 * HELPER_CHANNELS; i++)
		ck_assert_int_eq(ask(), -ENOTCONN);
	ck_assert_int_eq(nfsd_helper_unregister(helper, NULL, 0), -ENOTCONN);
	ck_assert_uint_eq(count_in_log(fileno(log), "helper process has ended"),
	                  1);
	fclose(log);
}
END_TEST

START_TEST(without_one_there_is_no_answer)
{
	ck_assert_int_eq(nfsd_helper_is_client(NULL, &client, &address),
	                 -ENOTCONN);
	ck_assert_int_eq(nfsd_helper_register(NULL, NULL, 0, NULL, 0, 0),
	                 -ENOTCONN);
}
END_TEST

/* ---- when it does not answer ------------------------------------------------------ */

static void *ask_in_vain(void *arg)
{
	ck_assert_int_eq(ask(), -ETIMEDOUT);
	return arg;
}

/* All of its threads: each of them stops when it gets to it. */
static void stop(pid_t pid)
{
	char path[64], line[256];
	struct dirent *entry;
	bool stopped = false;
	DIR *tasks;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	for (int i = 0; i < 1000 && !stopped; i++) {
		usleep(10000);
		tasks = opendir(path);
		ck_assert_ptr_nonnull(tasks);
		stopped = true;
		while ((entry = readdir(tasks)))
			if (entry->d_name[0] != '.' &&
			    *status_of(atoi(entry->d_name), "State:\t", line) !=
			            'T')
				stopped = false;
		closedir(tasks);
	}
	ck_assert(stopped);
}

/* Who asks is told in time, and all is well when it comes to itself. */
START_TEST(who_asks_one_that_hangs_does_not_hang)
{
	pthread_t threads[NFSD_HELPER_LOOKUPS];
	int tries = 0;

	stop(nfsd_helper_pid(helper));
	for (unsigned i = 0; i < NFSD_HELPER_LOOKUPS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_in_vain,
		                                NULL),
		                 0);
	for (unsigned i = 0; i < NFSD_HELPER_LOOKUPS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(ask(), -EBUSY);
	ck_assert_int_eq(kill(nfsd_helper_pid(helper), SIGCONT), 0);
	while (ask() == -EBUSY && tries++ < 1000)
		usleep(10000);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(ask(), 0);
}
END_TEST

/* ---- questions of a server that was taken over ------------------------------------- */

/* Its own helper, in a process, and the ends of its channels. */
static pid_t serve(int ends[HELPER_CHANNELS])
{
	int other[HELPER_CHANNELS], pair[2];
	pid_t pid;

	for (unsigned i = 0; i < HELPER_CHANNELS; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX,
		                            SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		                            pair),
		                 0);
		ends[i] = pair[0];
		other[i] = pair[1];
	}
	pid = fork();
	if (pid == 0) {
		for (unsigned i = 0; i < HELPER_CHANNELS; i++)
			close(ends[i]);
		helper_serve(other);
	}
	ck_assert_int_gt(pid, 0);
	for (unsigned i = 0; i < HELPER_CHANNELS; i++)
		close(other[i]);
	return pid;
}

static const struct bad_question {
	uint32_t what;
	size_t bytes;
} bad[] = {
	{ HELPER_IS_CLIENT, 0 },
	{ HELPER_IS_CLIENT, 7 },
	{ HELPER_IS_CLIENT, 100 },
	{ HELPER_REGISTER, offsetof(struct helper_question, client) },
	{ HELPER_UNREGISTER + 1, sizeof(struct helper_question) },
	{ UINT32_MAX, sizeof(struct helper_question) },
	{ HELPER_IS_CLIENT, sizeof(struct helper_question) + 1 },
};
#define NBAD (int)(sizeof(bad) / sizeof(bad[0]))

START_TEST(a_message_of_another_form_ends_it)
{
	char bytes[sizeof(struct helper_question) + 1] = { 0 };
	struct helper_question question = { .what = bad[_i].what };
	int ends[HELPER_CHANNELS], status;
	pid_t pid = serve(ends);

	memcpy(bytes, &question, sizeof(question));
	ck_assert_int_eq(send(ends[1], bytes, bad[_i].bytes, 0), bad[_i].bytes);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

static int ask_over(int fd, const struct helper_question *question)
{
	struct helper_answer answer;
	const size_t bytes = helper_question_bytes(question->what);

	ck_assert_int_eq(send(fd, question, bytes, 0), bytes);
	ck_assert_int_eq(recv(fd, &answer, sizeof(answer), 0), sizeof(answer));
	ck_assert_uint_eq(answer.number, question->number);
	return answer.result;
}

START_TEST(what_is_out_of_bounds_is_refused)
{
	struct helper_question question = { .number = 7,
		                            .what = HELPER_IS_CLIENT };
	int ends[HELPER_CHANNELS];
	pid_t pid = serve(ends);

	/* A text without an end. */
	memset(question.client.text, 'a', sizeof(question.client.text));
	ck_assert_int_eq(ask_over(ends[0], &question), -EINVAL);
	question = (struct helper_question){ .number = 8,
		                             .what = HELPER_REGISTER };
	question.registration.nprograms = HELPER_MAX_PROGRAMS + 1;
	ck_assert_int_eq(ask_over(ends[0], &question), -EINVAL);
	question.what = HELPER_UNREGISTER;
	ck_assert_int_eq(ask_over(ends[0], &question), -EINVAL);
	question.what = HELPER_REGISTER;
	question.registration.nprograms = 0;
	question.registration.naddresses = HELPER_MAX_ADDRESSES + 1;
	ck_assert_int_eq(ask_over(ends[0], &question), -EINVAL);
	question.registration.naddresses = 1;
	memset(question.registration.addresses, '1',
	       sizeof(question.registration.addresses[0]));
	ck_assert_int_eq(ask_over(ends[0], &question), -EINVAL);
	for (unsigned i = 0; i < HELPER_CHANNELS; i++)
		close(ends[i]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper");
	TCase *tcase = tcase_create("helper");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, it_answers);
	tcase_add_test(tcase, many_ask_at_a_time);
	tcase_add_test(tcase, a_name_that_no_host_has_is_not_asked_for);
	tcase_add_test(tcase, it_has_no_capabilities_and_gets_none);
	tcase_add_test(tcase, signals_of_the_terminal_do_not_end_it);
	tcase_add_test(tcase, it_does_not_outlive_a_server_that_is_killed);
	tcase_add_test(tcase, it_ends_when_it_is_let_go);
	tcase_add_test(tcase, that_it_has_ended_is_said_once);
	tcase_add_test(tcase, without_one_there_is_no_answer);
	tcase_add_test(tcase, who_asks_one_that_hangs_does_not_hang);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("messages");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_message_of_another_form_ends_it, 0, NBAD);
	tcase_add_test(tcase, what_is_out_of_bounds_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
