/*
 * MNT of what cannot be told yet: an export that is to be opened anew, as while a file
 * of exports is read again.
 */
#include "config.h"

#include "server/mount.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/mount_prot.h"
#include "tests/lib/suite.h"
#include "tests/unit/everybody.h"
#include "tests/unit/fake_ovl.h"

/* Without padding, which libtirpc throws away into one buffer for all threads:
 * ThreadSanitizer takes that for a race. */
#define PATH "/exports"

static const struct nfsd_access access_of_all;
static struct ovl fs;
static struct nfsd_serving *serving;
static struct nfsd_mount *mount;

/* ---- the stand-in ------------------------------------------------------- */

struct ovl_node *ovl_root(struct ovl *of)
{
	return (struct ovl_node *)of;
}

struct ovl_id ovl_node_id(const struct ovl_node *node)
{
	(void)node;
	return (struct ovl_id){ .fileid = 1 };
}

mode_t ovl_node_type(const struct ovl_node *node)
{
	(void)node;
	return S_IFDIR;
}

void ovl_node_unref(struct ovl_node *node)
{
	(void)node;
}

int ovl_lookup(struct ovl *of, const struct ovl_caller *caller,
               struct ovl_node *dir, const char *name, struct ovl_node **node)
{
	(void)of;
	(void)caller;
	(void)dir;
	(void)name;
	(void)node;
	ck_abort();
}

/* ---- the server ---------------------------------------------------------- */

/* Not now. */
static struct nfsd_exports *deferred(void)
{
	const struct nfsd_client anybody = { .kind = NFSD_CLIENT_ANYBODY,
		                             .text = (char *)"*" };
	struct nfsd_exports *exports = nfsd_exports_new(NULL, NULL);

	ck_assert_ptr_nonnull(exports);
	ck_assert_int_eq(
		nfsd_exports_defer(exports, PATH, &anybody, &access_of_all), 0);
	return exports;
}

static struct nfsd_exports *opened(void)
{
	struct nfsd_exports *exports = nfsd_exports_new(NULL, NULL);

	ck_assert_ptr_nonnull(exports);
	ck_assert_int_eq(add_for_everybody(exports, PATH, &fs, &access_of_all),
	                 0);
	return exports;
}

static void setup(void)
{
	fs = (struct ovl){ .id = 1, .key = { 1 } };
	serving = nfsd_serving_new(deferred());
	ck_assert_ptr_nonnull(serving);
	mount = nfsd_mount_new(serving);
	ck_assert_ptr_nonnull(mount);
}

static void teardown(void)
{
	nfsd_mount_free(mount);
	nfsd_serving_free(serving);
}

static enum orpc_status call_mnt(bool may_wait, mountstat3 *status)
{
	const struct orpc_program program = nfsd_mount_program(mount);
	const struct orpc_version *version = &program.versions[1];
	const struct sockaddr peer = { .sa_family = AF_UNIX };
	char args[64], results[256];
	dirpath path = (char *)PATH;
	mountres3 res = { 0 };
	struct orpc_call call = { .vers = MOUNT_V3,
		                  .peer = &peer,
		                  .may_wait = may_wait };
	enum orpc_status said;

	ck_assert_uint_eq(version->vers, MOUNT_V3);
	xdrmem_create(&call.args, args, sizeof(args), XDR_ENCODE);
	ck_assert(xdr_dirpath(&call.args, &path));
	xdrmem_create(&call.args, args, sizeof(args), XDR_DECODE);
	xdrmem_create(&call.results, results, sizeof(results), XDR_ENCODE);
	said = version->procs[MOUNTPROC_MNT].fn(&call, program.arg);
	if (said != ORPC_DONE)
		return said;
	xdrmem_create(&call.results, results, sizeof(results), XDR_DECODE);
	ck_assert(xdr_mountres3(&call.results, &res));
	*status = res.fhs_status;
	xdr_free((xdrproc_t)xdr_mountres3, &res);
	return said;
}

/* ---- who mounts meanwhile -------------------------------------------------- */

struct caller {
	pthread_t thread;
	mountstat3 status;
};

static atomic_uint answered;

static void *run_caller(void *arg)
{
	struct caller *caller = arg;

	if (call_mnt(true, &caller->status) != ORPC_DONE)
		caller->status = MNT3ERR_NOTSUPP;
	atomic_fetch_add(&answered, 1);
	return NULL;
}

static void begin_calls(struct caller *callers, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(pthread_create(&callers[i].thread, NULL,
		                                run_caller, &callers[i]),
		                 0);
}

static void end_calls(struct caller *callers, int n, mountstat3 status)
{
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(pthread_join(callers[i].thread, NULL), 0);
		ck_assert_int_eq(callers[i].status, status);
	}
}

static void await_answers(unsigned n)
{
	for (int i = 0; i < 500 && atomic_load(&answered) < n; i++)
		usleep(10000);
	ck_assert_uint_eq(atomic_load(&answered), n);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

START_TEST(what_cannot_be_told_yet_is_for_the_pool)
{
	mountstat3 status;

	ck_assert_int_eq(call_mnt(false, &status), ORPC_WAIT);
}
END_TEST

/* As a reload does: what was in force has to go first. */
static void replace(struct nfsd_exports *exports)
{
	bool is_tidy = false;

	nfsd_serving_replace(serving, exports);
	for (int i = 0; i < 500 && !is_tidy; i++) {
		is_tidy = nfsd_serving_tidy(serving);
		usleep(10000);
	}
	ck_assert(is_tidy);
}

START_TEST(what_is_opened_anew_is_waited_for)
{
	struct caller callers[3];

	begin_calls(callers, 3);
	usleep(500000);
	replace(deferred());
	usleep(500000);
	ck_assert_uint_eq(atomic_load(&answered), 0);
	replace(opened());
	end_calls(callers, 3, MNT3_OK);
}
END_TEST

/* Of more than may wait, the others have an answer at once, though no good one. */
START_TEST(only_so_many_wait)
{
	struct caller callers[NFSD_MOUNT_MAX_WAITING + 2];
	int refused = 0;

	begin_calls(callers, NFSD_MOUNT_MAX_WAITING + 2);
	await_answers(2);
	usleep(200000);
	ck_assert_uint_eq(atomic_load(&answered), 2);
	replace(opened());
	for (int i = 0; i < NFSD_MOUNT_MAX_WAITING + 2; i++) {
		ck_assert_int_eq(pthread_join(callers[i].thread, NULL), 0);
		refused += callers[i].status == MNT3ERR_SERVERFAULT;
		ck_assert(callers[i].status == MNT3_OK ||
		          callers[i].status == MNT3ERR_SERVERFAULT);
	}
	ck_assert_int_eq(refused, 2);
	/* They have left room for others. */
	replace(deferred());
	begin_calls(callers, 2);
	usleep(200000);
	replace(opened());
	end_calls(callers, 2, MNT3_OK);
}
END_TEST

START_TEST(nobody_waits_where_the_server_ends)
{
	struct caller callers[3];
	double began;
	mountstat3 status = MNT3_OK;

	begin_calls(callers, 3);
	usleep(200000);
	ck_assert_uint_eq(atomic_load(&answered), 0);
	began = seconds();
	nfsd_mount_wind_up(mount);
	end_calls(callers, 3, MNT3ERR_SERVERFAULT);
	ck_assert_int_eq(call_mnt(true, &status), ORPC_DONE);
	ck_assert_int_eq(status, MNT3ERR_SERVERFAULT);
	ck_assert_double_lt(seconds() - began, 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mount");
	TCase *tcase = tcase_create("mount");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_cannot_be_told_yet_is_for_the_pool);
	tcase_add_test(tcase, what_is_opened_anew_is_waited_for);
	tcase_add_test(tcase, only_so_many_wait);
	tcase_add_test(tcase, nobody_waits_where_the_server_ends);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
