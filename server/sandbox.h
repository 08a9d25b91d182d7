/*
 * What the server can still do once it serves, if a client should get it to run what
 * it pleases: open what lies below the directories given here (Landlock), and make the
 * system calls that serving takes (seccomp); nothing else.
 *
 * Life cycle: nfsd_sandbox_new, nfsd_sandbox_allow for each directory, then
 * nfsd_sandbox_enter once, while there is one thread: those that it starts are in it.
 * It cannot be left, nor does it grow: what is asked for afterwards is what
 * nfsd_sandbox_covers tells.
 */
#ifndef VENEER_SERVER_SANDBOX_H
#define VENEER_SERVER_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "server/log.h"

struct nfsd_sandbox;

enum nfsd_sandbox_use { NFSD_SANDBOX_READ, NFSD_SANDBOX_WRITE };

/* 0 or -ENOMEM. */
int nfsd_sandbox_new(struct nfsd_sandbox **sandbox);
void nfsd_sandbox_free(struct nfsd_sandbox *sandbox); /* NULL is fine */

/*
 * What is below this directory, or this file, can be used afterwards: the inode that
 * is there now, whatever the path comes to mean. 0, or -errno with one line in `why`.
 */
int nfsd_sandbox_allow(struct nfsd_sandbox *sandbox, const char *path,
                       enum nfsd_sandbox_use use, char *why, size_t size);

/*
 * Where the kernel has no Landlock, a line of the log says so, and all can be opened.
 * 0, or -errno with one line in `why`; then the process is to end.
 */
int nfsd_sandbox_enter(struct nfsd_sandbox *sandbox, const struct nfsd_log *log,
                       char *why, size_t size);

/*
 * Whether this directory can be used, or be made; for who is to serve it since the
 * exports have changed. `sandbox` may be NULL: there is none. 0, or -EACCES with one
 * line in `why` that says to start anew; or -errno: it cannot be looked for.
 */
int nfsd_sandbox_covers(const struct nfsd_sandbox *sandbox, const char *path,
                        enum nfsd_sandbox_use use, char *why, size_t size);

#endif
