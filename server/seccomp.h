/*
 * The system calls that the server makes once it serves. All others fail with ENOSYS,
 * for this process and all its threads, for good.
 */
#ifndef VENEER_SERVER_SECCOMP_H
#define VENEER_SERVER_SECCOMP_H

/* 0 or -errno: then none are refused. */
int nfsd_seccomp_enter(void);

#endif
