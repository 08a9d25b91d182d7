/*
 * System calls that fail, or wait, for tests of what the server then says. The
 * program is linked with the linker's --wrap for each of them (FAULT_WRAPS of
 * tests/Makemodule.am), and stands for one process: the server's threads make
 * the calls, and the thread of the test, whose own calls never fail, arms and
 * disarms. The thread that writes the file of handles is let be: what it does, and
 * when, is no call's business.
 */
#ifndef VENEER_TESTS_LIB_FAULT_H
#define VENEER_TESTS_LIB_FAULT_H

#include <stdbool.h>

/* What fails, to be combined. */
enum {
	FAULT_LOOK = 1 << 0, /* statx, readlinkat, getxattr, statvfs, ... */
	FAULT_OPEN = 1 << 1, /* open, openat, openat2, of what is there */
	FAULT_READ = 1 << 2, /* preadv2, pread, getdents64, lseek, ... */
	FAULT_MAKE =
		1 << 3, /* openat of what is new, mkdirat, symlinkat, ... */
	FAULT_LINK = 1 << 4, /* linkat */
	FAULT_MOVE = 1 << 5, /* renameat2 */
	FAULT_FILL = 1 << 6, /* pwrite, copy_file_range, setxattr, ... */
	FAULT_ATTR = 1 << 7, /* chmod, chown, utimensat */
	FAULT_GONE = 1 << 8, /* unlinkat */
	FAULT_SYNC = 1 << 9, /* fsync, fdatasync, syncfs */
};

/*
 * From now on, the `nth` call of these kinds (from 1) fails with this errno;
 * with `lasting`, all that follow it as well.
 */
void fault_arm(unsigned kinds, unsigned nth, int error, int lasting);

/* No more: how many calls have failed. */
unsigned fault_disarm(void);

/* From now on, the first call of these kinds waits, and then is as any other. */
void fault_hold(unsigned kinds);

/* Wait until one does. False: none has, in many seconds. */
bool fault_await_held(void);

/* It goes on; where none has come, none waits any more. */
void fault_let_go(void);

/* Nobody may make a device of number 0:0, as on some machines. */
void fault_refuse_whiteouts(bool refuse);

/* Of which kinds those were. */
unsigned fault_struck_kinds(void);

#endif
