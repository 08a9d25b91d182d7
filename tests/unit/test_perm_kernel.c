/*
 * The kernel is the oracle of overlay/perm.h: random callers do random things
 * to random files, with and without ACLs, in a child that has become the caller,
 * and what came of it is compared. Needs root; skipped without.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "overlay/layer.h"
#include "overlay/perm.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/unit/acls.h"
#include "tests/unit/seed.h"

#define CALLERS 20
#define TRIALS 60 /* a caller */
#define PATH_SIZE 32
#define SKIPPED 77

struct person {
	uint32_t groups[3];
	struct ovl_caller caller;
};

/* One thing done to one object, and what came of it. */
struct trial {
	char path[PATH_SIZE];   /* of the object */
	char inside[PATH_SIZE]; /* of a name in it, where it is a directory */
	struct ovl_attr attr;
	struct ovl_attr victim;    /* of the name inside */
	struct ovl_acl *acl;       /* its access ACL, or NULL */
	struct ovl_acl *inherited; /* its default ACL, or NULL */
	struct ovl_acl *handed_on; /* to the name inside, or NULL */
	struct ovl_setattr set;
	int result; /* of the kernel: 0, a set of access(2)'s, or -errno */
};

/* `act` runs in the child; `expect` changes `attr` into what must be there. */
struct kind {
	bool in_directory;
	int (*act)(const struct trial *trial);
	int (*expect)(const struct ovl_caller *caller, struct trial *trial);
};

static uint64_t random_state;

static unsigned pick(unsigned n)
{
	return test_random(&random_state) % n;
}

static uint32_t pick_id(void)
{
	static const uint32_t ids[] = { 0, 1001, 1002, 1003 };

	return ids[pick(4)];
}

static int result_of(int ret)
{
	return ret < 0 ? -errno : 0;
}

/* ---- access -------------------------------------------------------------- */

static int act_access(const struct trial *trial)
{
	int want, set = 0;

	for (want = 1; want <= 7; want++) {
		if (faccessat(AT_FDCWD, trial->path, want, AT_EACCESS) == 0)
			set |= 1 << want;
	}
	return set;
}

static int expect_access(const struct ovl_caller *caller, struct trial *trial)
{
	int granted = ovl_perm_granted(caller, &trial->attr, trial->acl,
	                               R_OK | W_OK | X_OK);
	int want, set = 0;

	for (want = 1; want <= 7; want++) {
		if (!ovl_perm_check(caller, &trial->attr, trial->acl, want))
			set |= 1 << want;
	}
	for (want = 1; want <= 4; want <<= 1)
		ck_assert_int_eq(!(granted & want), !(set & 1 << want));
	return set;
}

/* ---- attributes ---------------------------------------------------------- */

static int act_chmod(const struct trial *trial)
{
	return result_of(chmod(trial->path, trial->set.mode));
}

static int act_chown(const struct trial *trial)
{
	return result_of(chown(
		trial->path, trial->set.has_uid ? trial->set.uid : (uid_t)-1,
		trial->set.has_gid ? trial->set.gid : (gid_t)-1));
}

static int act_touch(const struct trial *trial)
{
	return result_of(utimensat(AT_FDCWD, trial->path, NULL, 0));
}

static int act_set_times(const struct trial *trial)
{
	const struct timespec times[2] = { { 1, 2 }, { 3, 4 } };

	return result_of(utimensat(AT_FDCWD, trial->path, times, 0));
}

static int act_truncate(const struct trial *trial)
{
	return result_of(truncate(trial->path, 1));
}

static int expect_setattr(const struct ovl_caller *caller, struct trial *trial)
{
	struct ovl_setattr *set = &trial->set;
	int ret = ovl_perm_setattr(caller, &trial->attr, trial->acl, set);

	if (ret < 0)
		return ret;
	if (set->has_uid)
		trial->attr.uid = set->uid;
	if (set->has_gid)
		trial->attr.gid = set->gid;
	if (set->has_mode)
		trial->attr.mode = (trial->attr.mode & S_IFMT) | set->mode;
	return 0;
}

static int expect_chmod(const struct ovl_caller *caller, struct trial *trial)
{
	trial->set.has_mode = true;
	return expect_setattr(caller, trial);
}

static int expect_touch(const struct ovl_caller *caller, struct trial *trial)
{
	trial->set.set_atime = trial->set.set_mtime = OVL_TIME_NOW;
	return expect_setattr(caller, trial);
}

static int expect_set_times(const struct ovl_caller *caller,
                            struct trial *trial)
{
	trial->set.set_atime = trial->set.set_mtime = OVL_TIME_GIVEN;
	return expect_setattr(caller, trial);
}

static int expect_truncate(const struct ovl_caller *caller, struct trial *trial)
{
	int ret = ovl_perm_check(caller, &trial->attr, trial->acl, W_OK);

	if (ret < 0) /* the owner's privilege is NFS's alone */
		return ret;
	trial->set.has_size = true;
	return expect_setattr(caller, trial);
}

/* ---- data ---------------------------------------------------------------- */

static int act_write(const struct trial *trial)
{
	int fd = open(trial->path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = result_of(write(fd, "x", 1));
	close(fd);
	return ret;
}

static int expect_write(const struct ovl_caller *caller, struct trial *trial)
{
	int ret = ovl_perm_check(caller, &trial->attr, trial->acl, W_OK);

	if (ret == 0)
		trial->attr.mode =
			ovl_perm_mode_after_write(caller, &trial->attr);
	return ret;
}

/* ---- names --------------------------------------------------------------- */

static int act_unlink(const struct trial *trial)
{
	return result_of(unlink(trial->inside));
}

static int expect_unlink(const struct ovl_caller *caller, struct trial *trial)
{
	return ovl_perm_remove(caller, &trial->attr, trial->acl,
	                       &trial->victim);
}

static int act_create(const struct trial *trial)
{
	int fd = open(trial->inside, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
	              trial->set.mode);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int act_mkdir(const struct trial *trial)
{
	return result_of(mkdir(trial->inside, trial->set.mode));
}

/* What is made becomes the victim; it has gone before. */
static int expect_made(const struct ovl_caller *caller, struct trial *trial,
                       bool is_dir)
{
	struct ovl_attr *made = &trial->victim;
	int ret = ovl_perm_add(caller, &trial->attr, trial->acl);
	uint32_t mode;

	if (ret < 0)
		return ret;
	trial->set.has_mode = true;
	ovl_perm_create(caller, &trial->attr, is_dir, &trial->set, &made->uid,
	                &made->gid, &mode);
	if (trial->inherited)
		ck_assert_int_eq(ovl_acl_inherit(trial->inherited, &mode,
		                                 &trial->handed_on),
		                 0);
	made->mode = (is_dir ? S_IFDIR : S_IFREG) | mode;
	return 0;
}

static int expect_create(const struct ovl_caller *caller, struct trial *trial)
{
	return expect_made(caller, trial, false);
}

static int expect_mkdir(const struct ovl_caller *caller, struct trial *trial)
{
	return expect_made(caller, trial, true);
}

/* ---- one round ----------------------------------------------------------- */

static const struct kind access_file = { false, act_access, expect_access };
static const struct kind access_dir = { true, act_access, expect_access };
static const struct kind chmod_file = { false, act_chmod, expect_chmod };
static const struct kind chmod_dir = { true, act_chmod, expect_chmod };
static const struct kind chown_file = { false, act_chown, expect_setattr };
static const struct kind chown_dir = { true, act_chown, expect_setattr };
static const struct kind touching = { false, act_touch, expect_touch };
static const struct kind set_times = { false, act_set_times, expect_set_times };
static const struct kind truncating = { false, act_truncate, expect_truncate };
static const struct kind writing = { false, act_write, expect_write };
static const struct kind unlinking = { true, act_unlink, expect_unlink };
static const struct kind creating = { true, act_create, expect_create };
static const struct kind making = { true, act_mkdir, expect_mkdir };

static void get_attr(const char *path, struct ovl_attr *attr)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	*attr = (struct ovl_attr){
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
	};
}

/*
 * What is there has group execution with setgid: without it, kernels before 6.2
 * differ in what a write or chown leaves.
 */
static uint32_t pick_mode(void)
{
	uint32_t mode = pick(010000);

	return mode & S_ISGID ? mode | S_IXGRP : mode;
}

static struct ovl_acl *load_acl(const char *path, enum ovl_acl_kind kind)
{
	const struct ovl_layer layer = { .has_acls = true };
	int fd = open(path, O_PATH | O_CLOEXEC);
	struct ovl_acl *acl;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ovl_acl_load(&layer, fd, kind, &acl), 0);
	close(fd);
	return acl;
}

/* Every other object has one, where there can be any. */
static struct ovl_acl *give_acl(const char *path, enum ovl_acl_kind kind)
{
	struct acls acls = acls_random(&random_state);
	struct ovl_attr attr;
	int err;

	if (pick(2))
		return NULL;
	get_attr(path, &attr);
	/* The mode's group execution, with setgid: see pick_mode. */
	if (attr.mode & S_ISGID)
		acls.entries[acls.n - 2].perm |= X_OK;
	err = acls_set(path,
	               kind == OVL_ACL_ACCESS ? ACLS_ACCESS : ACLS_DEFAULT,
	               &acls);
	ck_assert(!err || err == -EOPNOTSUPP);
	return load_acl(path, kind);
}

static void give(const char *path, uint32_t mode, struct ovl_attr *attr)
{
	ck_assert_int_eq(chown(path, pick_id(), pick_id()), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
	get_attr(path, attr);
}

static void make_file(const char *path, struct ovl_attr *attr)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	give(path, pick_mode(), attr);
}

static void prepare(const struct kind *kind, struct trial *trial, unsigned i)
{
	bool makes = kind == &creating || kind == &making;

	*trial = (struct trial){ 0 };
	snprintf(trial->path, PATH_SIZE, "o%u", i);
	snprintf(trial->inside, PATH_SIZE, "o%u/name", i);
	if (kind->in_directory) {
		ck_assert_int_eq(mkdir(trial->path, 0700), 0);
		if (!makes)
			make_file(trial->inside, &trial->victim);
		give(trial->path, pick_mode(), &trial->attr);
		trial->inherited = give_acl(trial->path, OVL_ACL_DEFAULT);
	} else {
		make_file(trial->path, &trial->attr);
	}
	trial->acl = give_acl(trial->path, OVL_ACL_ACCESS);
	get_attr(trial->path, &trial->attr);
	trial->set.mode = pick(010000);
	if (kind == &making) /* mkdir(2) takes no others */
		trial->set.mode &= 01777;
	if (kind->act == act_chown) {
		trial->set.has_uid = pick(2);
		trial->set.has_gid = !trial->set.has_uid || pick(2);
		trial->set.uid = pick_id();
		trial->set.gid = pick_id();
	}
}

static void become(const struct ovl_caller *caller)
{
	if (setgroups(caller->ngroups, caller->groups) < 0 ||
	    setresgid(caller->gid, caller->gid, caller->gid) < 0 ||
	    setresuid(caller->uid, caller->uid, caller->uid) < 0)
		_exit(1);
	umask(0);
}

/* Have the kernel do it all, in a child that is the caller. */
static void act_as(const struct ovl_caller *caller, const struct kind *kind,
                   struct trial *trials)
{
	int results[TRIALS], pipes[2], status, i;
	pid_t child;

	ck_assert_int_eq(pipe(pipes), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		become(caller);
		for (i = 0; i < TRIALS; i++)
			results[i] = kind->act(&trials[i]);
		_exit(write(pipes[1], results, sizeof(results)) !=
		      sizeof(results));
	}
	close(pipes[1]);
	ck_assert_int_eq(read(pipes[0], results, sizeof(results)),
	                 sizeof(results));
	close(pipes[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	for (i = 0; i < TRIALS; i++)
		trials[i].result = results[i];
}

static void assert_same(const struct ovl_attr *real,
                        const struct ovl_attr *wanted, const char *what)
{
	ck_assert_msg(real->mode == wanted->mode && real->uid == wanted->uid &&
	                      real->gid == wanted->gid,
	              "%s: the kernel's is %o %u:%u, ours %o %u:%u", what,
	              real->mode, real->uid, real->gid, wanted->mode,
	              wanted->uid, wanted->gid);
}

static void assert_same_acl(struct ovl_acl *real, const struct ovl_acl *wanted,
                            const char *what)
{
	bool same = !real == !wanted;

	if (real && wanted)
		same = real->n == wanted->n &&
		       !memcmp(real->entries, wanted->entries,
		               real->n * sizeof(real->entries[0]));
	ck_assert_msg(same, "%s: the kernel hands on another ACL", what);
	ovl_acl_unref(real);
}

/* That the name inside is as it was to become. */
static void judge_made(const struct trial *trial, bool is_dir, const char *what)
{
	struct ovl_attr real;

	get_attr(trial->inside, &real);
	assert_same(&real, &trial->victim, what);
	assert_same_acl(load_acl(trial->inside, OVL_ACL_ACCESS),
	                trial->handed_on, what);
	assert_same_acl(load_acl(trial->inside, OVL_ACL_DEFAULT),
	                is_dir ? trial->inherited : NULL, what);
}

static void judge(const struct ovl_caller *caller, const struct kind *kind,
                  struct trial *trial)
{
	const struct ovl_attr before = trial->attr;
	struct ovl_attr real;
	char what[200];
	int ret;

	snprintf(what, sizeof(what),
	         "%s %o %u:%u %d by %u:%u (%u groups), mode %o uid %d gid %d",
	         trial->path, before.mode, before.uid, before.gid,
	         trial->acl ? (int)trial->acl->n : 0, caller->uid, caller->gid,
	         caller->ngroups, trial->set.mode,
	         trial->set.has_uid ? (int)trial->set.uid : -1,
	         trial->set.has_gid ? (int)trial->set.gid : -1);
	ret = kind->expect(caller, trial);
	ck_assert_msg(ret == trial->result, "%s: the kernel says %d, we %d",
	              what, trial->result, ret);
	get_attr(trial->path, &real);
	assert_same(&real, ret < 0 ? &before : &trial->attr, what);
	if (ret == 0 && (kind == &creating || kind == &making))
		judge_made(trial, kind == &making, what);
}

static void clean_up(const struct trial *trial)
{
	if (unlink(trial->inside) < 0)
		rmdir(trial->inside);
	if (unlink(trial->path) < 0)
		rmdir(trial->path);
	ovl_acl_unref(trial->acl);
	ovl_acl_unref(trial->inherited);
	ovl_acl_unref(trial->handed_on);
}

static void pick_person(struct person *person)
{
	unsigned i, n = pick(4);

	for (i = 0; i < n; i++)
		person->groups[i] = pick_id();
	person->caller = (struct ovl_caller){
		.uid = pick_id(),
		.gid = pick_id(),
		.groups = person->groups,
		.ngroups = n,
	};
}

static void agree(const struct kind *kind)
{
	struct trial *trials = calloc(TRIALS, sizeof(*trials));
	struct person person;
	unsigned i, j;

	random_state = test_seed();
	for (i = 0; i < CALLERS; i++) {
		pick_person(&person);
		for (j = 0; j < TRIALS; j++)
			prepare(kind, &trials[j], j);
		act_as(&person.caller, kind, trials);
		for (j = 0; j < TRIALS; j++)
			judge(&person.caller, kind, &trials[j]);
		for (j = 0; j < TRIALS; j++)
			clean_up(&trials[j]);
	}
	free(trials);
}

START_TEST(access_is_the_kernels)
{
	agree(&access_file);
	agree(&access_dir);
}
END_TEST

START_TEST(chmod_is_the_kernels)
{
	agree(&chmod_file);
	agree(&chmod_dir);
}
END_TEST

START_TEST(chown_is_the_kernels)
{
	agree(&chown_file);
	agree(&chown_dir);
}
END_TEST

START_TEST(times_are_the_kernels)
{
	agree(&touching);
	agree(&set_times);
}
END_TEST

START_TEST(truncation_and_writes_are_the_kernels)
{
	agree(&truncating);
	agree(&writing);
}
END_TEST

START_TEST(removing_and_adding_names_is_the_kernels)
{
	agree(&unlinking);
	agree(&creating);
	agree(&making);
}
END_TEST

/* ---- the folder ---------------------------------------------------------- */

static char folder[256];

/* Each test has its own; that of a test that failed is left to look at. */
static void enter_folder(void)
{
	scratch_make(folder, sizeof(folder), "perm");
	ck_assert_int_eq(chmod(folder, 0755), 0);
	ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}

int main(void)
{
	Suite *suite = suite_create("perm_kernel");
	TCase *tcase = tcase_create("perm_kernel");

	if (geteuid() != 0) {
		puts("skipped: becoming other users needs root");
		return SKIPPED;
	}
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, enter_folder, leave_folder);
	tcase_add_test(tcase, access_is_the_kernels);
	tcase_add_test(tcase, chmod_is_the_kernels);
	tcase_add_test(tcase, chown_is_the_kernels);
	tcase_add_test(tcase, times_are_the_kernels);
	tcase_add_test(tcase, truncation_and_writes_are_the_kernels);
	tcase_add_test(tcase, removing_and_adding_names_is_the_kernels);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
