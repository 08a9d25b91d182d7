#include "config.h"

#include "server/seccomp.h"

#include <errno.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * What is not on the list does not end the server. With another libc, or another
 * version of it, there may be calls that nobody here has seen, and they serve as well
 * without: of ENOSYS libc knows that an older kernel has no such call, and takes the
 * one before it. A server that ended there would take with it what its clients have not
 * yet made stable. Who has taken the server over gets as little from a call that fails
 * as from one that ends it.
 *
 * A build for tests (--enable-strict-sandbox) does end: so that a call which is missing
 * here shows, and not only the slower way around it.
 */
#ifdef STRICT_SANDBOX
#define REFUSED SCMP_ACT_KILL_PROCESS
#else
#define REFUSED SCMP_ACT_ERRNO(ENOSYS)
#endif

/* By name, as not every machine has all, nor every libseccomp knows all. */
static const char *const allowed[] = {
	/* files; where they may be, Landlock says */
	"open",
	"openat",
	"openat2",
	"close",
	"read",
	"pread64",
	"readv",
	"preadv",
	"preadv2",
	"write",
	"pwrite64",
	"writev",
	"pwritev",
	"pwritev2",
	"lseek",
	"_llseek",
	"ftruncate",
	"ftruncate64",
	"fallocate",
	"copy_file_range",
	"splice",
	"pipe2",
	"fsync",
	"fdatasync",
	"syncfs",
	"sync_file_range",
	"sync_file_range2",
	"flock",
	"fcntl",
	"fcntl64",
	"dup",
	"fadvise64",
	"readahead",
	"getdents64",
	"stat",
	"lstat",
	"fstat",
	"newfstatat",
	"fstatat64",
	"statx",
	"statfs",
	"fstatfs",
	"statfs64",
	"fstatfs64",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"name_to_handle_at",
	"mkdir",
	"mkdirat",
	"mknodat",
	"symlinkat",
	"linkat",
	"rename",
	"renameat",
	"renameat2",
	"unlink",
	"unlinkat",
	"rmdir",
	"chmod",
	"fchmod",
	"fchmodat",
	"fchmodat2",
	"fchown",
	"fchownat",
	"utimensat",
	"utimensat_time64",
	"getxattr",
	"fgetxattr",
	"lgetxattr",
	"setxattr",
	"fsetxattr",
	"lsetxattr",
	"listxattr",
	"flistxattr",
	"llistxattr",
	"removexattr",
	"fremovexattr",
	"lremovexattr",
	/* a private mount of a layer: detached ones alone, none is moved */
	"open_tree",
	"mount_setattr",
	/* connections that come, none that go: there is no socket(2) */
	"accept4",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	"recvmmsg_time64",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"shutdown",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"eventfd2",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_settime64",
	"poll",
	"ppoll",
	"ppoll_time64",
	/* memory */
	"brk",
	"munmap",
	"mremap",
	"madvise",
	"msync",
	"sysinfo", /* glibc's qsort asks it how much there is */
	/* threads and time */
	"futex",
	"futex_time64",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"membarrier",
	"sched_yield",
	"sched_getaffinity",
	"getcpu",
	"exit",
	"exit_group",
	"gettid",
	"setpriority", /* of a walk */
	"getpid",
	"clock_gettime",
	"clock_gettime64",
	"clock_getres",
	"clock_getres_time64",
	"clock_nanosleep",
	"clock_nanosleep_time64",
	"nanosleep",
	"gettimeofday",
	"time",
	"restart_syscall",
	/* signals */
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigtimedwait",
	"rt_sigtimedwait_time64",
	"sigreturn",
	/* the process itself */
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getrandom",
	"wait4", /* for the helper, at the end */
	"uname",
#ifdef WITH_SANITIZERS
	/* Sanitizers watch the stack of each thread, ask whether their report
	 * goes to a terminal, and look for leaks at the end, from a process of
	 * their own that stops this one. */
	"arch_prctl",
	"clone",
	"getdents",
	"getppid",
	"ioctl",
	"kill",
	"mmap",
	"mmap2",
	"mprotect",
	"prctl",
	"prlimit64",
	"process_vm_readv",
	"ptrace",
	"set_tid_address",
	"sigaltstack",
	"tgkill",
	"waitid",
#endif
};

/* Which argument of clone tells what is to be shared. */
#if defined(__s390__)
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

/* A call is allowed where (argument & mask) == value. */
static const struct {
	const char *name;
	unsigned argument;
	scmp_datum_t mask, value;
} allowed_if[] = {
	/* Threads, no processes. clone3 tells in memory, where no filter sees
	 * it: without it libc takes clone. */
	{ "clone", CLONE_FLAGS, CLONE_THREAD | CLONE_VM,
	  CLONE_THREAD | CLONE_VM },
	/* Nothing that is written can be run. */
	{ "mmap", 2, PROT_EXEC, 0 },
	{ "mmap2", 2, PROT_EXEC, 0 },
	{ "mprotect", 2, PROT_EXEC, 0 },
	{ "ioctl", 1, UINT32_MAX, FICLONE },
	{ "ioctl", 1, UINT32_MAX, FIONREAD },
	{ "prctl", 0, UINT32_MAX, PR_SET_NAME },
	/* Limits are read, of this process. */
	{ "prlimit64", 2, UINT64_MAX, 0 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* `condition`: NULL: whatever its arguments are. */
static int allow(scmp_filter_ctx filter, const char *name,
                 const struct scmp_arg_cmp *condition)
{
	int number = seccomp_syscall_resolve_name(name);

	/* Below 0: this machine has none. */
	if (number == __NR_SCMP_ERROR || number < 0)
		return 0;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number,
	                              condition != NULL, condition);
}

static int allow_if(scmp_filter_ctx filter, const char *name, unsigned argument,
                    scmp_datum_t mask, scmp_datum_t value)
{
	const struct scmp_arg_cmp condition =
		SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, value);

	return allow(filter, name, &condition);
}

/* What libc tries first. Where all that is refused is so, it needs no rule. */
static int refuse_clone3(scmp_filter_ctx filter)
{
	int number = seccomp_syscall_resolve_name("clone3");

	if (REFUSED == SCMP_ACT_ERRNO(ENOSYS) || number < 0)
		return 0;
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
}

static int fill(scmp_filter_ctx filter)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < COUNT(allowed); i++)
		err = allow(filter, allowed[i], NULL);
	for (size_t i = 0; err == 0 && i < COUNT(allowed_if); i++)
		err = allow_if(filter, allowed_if[i].name,
		               allowed_if[i].argument, allowed_if[i].mask,
		               allowed_if[i].value);
	err = err != 0 ? err : refuse_clone3(filter);
	/* abort(3) says so by a signal; no other process gets one. */
	if (err == 0)
		err = allow_if(filter, "tgkill", 0, UINT32_MAX,
		               (scmp_datum_t)getpid());
	return err;
}

int nfsd_seccomp_enter(void)
{
	scmp_filter_ctx filter = seccomp_init(REFUSED);
	int err;

	if (filter == NULL)
		return -ENOMEM;
	err = fill(filter);
	/* All threads; those that a sanitizer has started, too. */
	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* Found by halves, where the kernel does not know by itself (Linux 5.11)
	 * what is allowed whatever its arguments are. */
	if (err == 0) {
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		err = seccomp_load(filter);
	}
	seccomp_release(filter);
	return err;
}
