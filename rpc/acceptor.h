/*
 * The acceptor: takes new connections from the listening sockets.
 *
 * It lives in one loop, and hands each connection to whoever it was made for.
 * Where the process has no descriptor or memory for one, it says so and leaves
 * its sockets alone for a moment: nothing would be won by asking at once again.
 */
#ifndef VENEER_RPC_ACCEPTOR_H
#define VENEER_RPC_ACCEPTOR_H

#include <sys/queue.h>
#include <sys/socket.h>

#include "rpc/loop.h"

struct orpc_acceptor;

/* Called in the loop; owns `fd`. */
typedef void orpc_newcomer_fn(void *arg, int fd,
                              const struct sockaddr_storage *peer);

/* Called in the loop: a connection could not be taken, for want of this. */
typedef void orpc_shortage_fn(void *arg, int err);

/* Before the loop runs. 0 or -errno. */
int orpc_acceptor_new(struct orpc_loop *loop, orpc_newcomer_fn *newcomer,
                      orpc_shortage_fn *shortage, void *arg,
                      struct orpc_acceptor **acceptor);

/* Take connections from `fd`, which is owned from now on. 0 or -errno. */
int orpc_acceptor_add(struct orpc_acceptor *acceptor, int fd);

/* Close the listening sockets: in the loop, or when it does not run. */
void orpc_acceptor_close(struct orpc_acceptor *acceptor);

/* When the loop does not run. NULL is fine. */
void orpc_acceptor_free(struct orpc_acceptor *acceptor);

#endif
