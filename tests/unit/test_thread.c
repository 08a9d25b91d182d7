#include "config.h"

#include "rpc/thread.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

static sigset_t mask; /* of the thread that ran last */
static volatile sig_atomic_t caught;

static void *note_mask(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return arg;
}

START_TEST(a_thread_takes_no_signals)
{
	pthread_t thread;

	ck_assert_int_eq(orpc_thread_start(&thread, "t", 0, note_mask, NULL),
	                 0);
	pthread_join(thread, NULL);
	ck_assert(sigismember(&mask, SIGTERM));
	ck_assert(sigismember(&mask, SIGHUP));
	ck_assert(sigismember(&mask, SIGUSR1));
	ck_assert(sigismember(&mask, SIGPIPE));
}
END_TEST

static void catch (int signal)
{
	caught = signal;
}

START_TEST(who_starts_it_takes_the_signals_that_he_took)
{
	sigset_t before, after;
	pthread_t thread;

	ck_assert_ptr_ne(signal(SIGUSR1, catch), SIG_ERR);
	sigemptyset(&before);
	sigaddset(&before, SIGHUP);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	ck_assert_int_eq(orpc_thread_start(&thread, "t", 0, note_mask, NULL),
	                 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert(sigismember(&after, SIGHUP));
	ck_assert(!sigismember(&after, SIGTERM));
	ck_assert(!sigismember(&after, SIGUSR1));
	raise(SIGUSR1);
	ck_assert_int_eq(caught, SIGUSR1);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(it_gets_its_argument)
{
	pthread_t thread;
	void *result = NULL;
	int thing;

	ck_assert_int_eq(orpc_thread_start(&thread, "t", 0, note_mask, &thing),
	                 0);
	pthread_join(thread, &result);
	ck_assert_ptr_eq(result, &thing);
}
END_TEST

static void *note_name(void *text)
{
	pthread_getname_np(pthread_self(), text, 32);
	return NULL;
}

static void assert_named(const char *name, unsigned number, const char *title)
{
	char text[32] = "";
	pthread_t thread;

	ck_assert_int_eq(
		orpc_thread_start(&thread, name, number, note_name, text), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(text, title);
}

START_TEST(it_has_a_name_and_a_number)
{
	assert_named("loop", 3, "loop/3");
	assert_named("a-name-too-long-for-the-kernel", 3, "a-name-too-long");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("thread");
	TCase *tcase = tcase_create("thread");

	tcase_add_test(tcase, a_thread_takes_no_signals);
	tcase_add_test(tcase, who_starts_it_takes_the_signals_that_he_took);
	tcase_add_test(tcase, it_gets_its_argument);
	tcase_add_test(tcase, it_has_a_name_and_a_number);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
